"""A repository begins to govern what is there: nothing is refused and nothing moves, and the way back is open."""

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, House
from tests.house.scenes import GATES, SLOTS, at_work, pins, readme_policy

BOTH = ("Production", "@champion")


def test_fifty_models_are_adopted_under_the_readmes_policy(house: House) -> None:
    names = [f"model-{number:02}" for number in range(50)]
    for name in names:
        house.register(name, 2)
        for slot in BOTH:
            house.by_hand(name, 2, slot)
    house.push(policy=readme_policy())
    before = {name: house.in_slot(name) for name in names}

    request = house.request(*(pins(dict.fromkeys(BOTH, 2), model=name) for name in names))
    planned = house.plan(request)
    house.merge(request)
    done = house.apply()

    assert planned.exit_code == ExitCode.OK, planned.text
    assert all(planned.kinds(name) == dict.fromkeys(BOTH, "found") for name in names)
    assert "found" in planned.text
    assert done.exit_code == ExitCode.OK, done.message
    assert {name: house.in_slot(name) for name in names} == before
    assert {house.drift_of(name) for name in names[:2]} == {DriftStatus.IN_SYNC}


def test_a_policy_and_the_manifests_that_it_guards_come_in_one_request(house: House) -> None:
    house.register("churn", 4)
    house.by_hand("churn", 4, "Production")

    house.merge(pins({"Production": 4}), policy=readme_policy())
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (4,)


def test_what_is_waiting_for_its_first_apply_is_no_drift(house: House) -> None:
    at_work(house)
    house.register("fresh", 1)

    house.merge(pins({"@open": 1}, model="fresh"))

    assert house.drift_of("fresh") is DriftStatus.PENDING
    assert not house.drift().drifted


@SLOTS
def test_the_first_rollback_after_adoption(house: House, slot: str) -> None:
    at_work(house, slot, readme_policy())
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    promoted = house.apply()
    assert promoted.exit_code == ExitCode.OK, promoted.message

    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.kinds() == {slot: "rollback"}
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_the_plan_the_summary_and_the_gates_call_the_same_a_rollback(house: House, slot: str) -> None:
    at_work(house, slot, readme_policy())
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.request(pins({slot: 4}))
    planned = house.plan()

    assert planned.plan is not None
    assert planned.kinds() == {slot: "rollback"}
    verbs = planned.verbs()
    assert "roll back" in verbs["v4" if slot == "Production" else slot]
    if slot == "Production":
        # Aliases have a figure of their own.
        assert planned.plan.summary.roll_back == 1


def test_what_goes_down_to_a_stage_that_it_came_from_has_one_name_everywhere(house: House) -> None:
    """The gates before Staging and the plan agree on whether a version that leaves Production for it is rolled back."""
    at_work(house, policy="slots:\n- slot: Staging\n  gates:\n  - approvals: {count: 1, of: owners}\n")
    house.merge(pins({"Staging": 5, "Production": 4}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Staging": 6, "Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.request(pins({"Staging": 5, "Production": 6}))
    planned = house.plan()

    rolled_back = planned.kinds().get("Staging") == "rollback"
    assert ("roll back" in planned.verbs()["v5"]) == rolled_back
    assert bool(planned.noes("Staging")) != rolled_back


@SLOTS
def test_a_version_that_was_in_staging_at_adoption_has_soaked_since_its_last_move(house: House, slot: str) -> None:
    at_work(house, slot, GATES)
    house.clock.later(days=-3)

    house.merge(pins({slot: 5}), approved_by=[GRACE])
    early = house.apply()
    house.clock.later(days=3)
    late = house.apply()

    assert (early.exit_code, early.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert "1 day" in early.sentences(slot)
    assert late.exit_code == ExitCode.OK, late.message
    assert house.in_slot("churn", slot) == (5,)


def test_a_fact_that_is_missing_says_who_can_supply_it(house: House) -> None:
    at_work(house)
    house.runs.delete_run("churn", 5)

    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"metric"})
    assert "the owner of the run can restore it (`mlflow runs restore`)" in done.sentences()
