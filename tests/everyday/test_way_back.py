"""The way back is open: rollbacks, healing, and what one person on call can do, with the README's own gates on."""

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, LINUS, House, Request, Trigger
from tests.house.scenes import SLOTS, at_work, pins, readme_policy

WITH_FILES = readme_policy() + "      - artifact: {}\n"
"""The README's policy, and the files must be there."""


def promoted(house: House, slot: str = "Production", policy: str | None = None) -> Request:
    """v5 took v4's place in the slot."""
    at_work(house, slot, policy or readme_policy())
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.message
    return request


@SLOTS
def test_the_readmes_rollback_under_the_readmes_policy(house: House, slot: str) -> None:
    request = promoted(house, slot)

    house.revert(request, by=LINUS)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_rollback_to_a_version_whose_run_was_deleted(house: House, slot: str) -> None:
    request = promoted(house, slot, WITH_FILES)
    house.revert(request)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK

    house.runs.delete_run("churn", 4)
    house.merge(pins({slot: 4}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_rollback_to_a_version_whose_figure_passed_when_it_entered_and_is_gone(
    signing_house: House, slot: str
) -> None:
    """A gate that no rollback waives, of a fact that is gone: the record says that it passed then."""
    house = signing_house
    threshold = 'slots:\n- slot: [Production, "@champion*"]\n  gates:\n  - metric: {name: f1, threshold: 0.65}\n'
    at_work(house, slot, threshold)
    for version in (5, 6):
        house.merge(pins({slot: version}))
        assert house.apply().exit_code == ExitCode.OK

    house.runs.delete_run("churn", 5)
    house.merge(pins({slot: 5}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.verdicts(slot)[0].note


@SLOTS
def test_a_rollback_to_a_version_whose_files_are_gone_is_refused(house: House, slot: str) -> None:
    request = promoted(house, slot, WITH_FILES)

    house.files.lost.add(("churn", 4))
    house.revert(request)
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"artifact"})
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_drift_is_healed_by_an_apply_that_is_told_to(house: House, slot: str) -> None:
    promoted(house, slot)
    house.by_hand("churn", 6, slot)
    assert house.drift_of() is DriftStatus.DRIFTED

    done = house.apply(Trigger.DISPATCH, restore=["churn"])

    assert done.exit_code == ExitCode.OK, done.message
    assert done.kinds() == {slot: "restoration"}
    assert house.in_slot("churn", slot) == (5,)
    assert house.drift_of() is DriftStatus.IN_SYNC


@SLOTS
def test_drift_is_healed_where_the_reviewed_plan_shows_it(house: House, slot: str) -> None:
    promoted(house, slot)
    house.by_hand("churn", 6, slot)

    request = house.request(pins({slot: 5}, also="description: Churn\n"))
    planned = house.plan(request)
    house.merge(request)
    done = house.apply(reviewed=planned)

    assert planned.kinds() == {slot: "restoration"}
    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_an_apply_that_nobody_told_leaves_drift_as_it_is_and_names_both_ways_out(house: House, slot: str) -> None:
    promoted(house, slot)
    house.by_hand("churn", 6, slot)

    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (6,)
    assert "--restore churn" in done.message


def test_drift_in_a_slot_that_nothing_guards_is_healed_by_any_apply(house: House) -> None:
    at_work(house, "@open", readme_policy())
    house.by_hand("churn", 6, "@open")

    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", "@open") == (4,)


@SLOTS
def test_one_person_on_call_heals_while_the_forge_is_down(house: House, slot: str) -> None:
    promoted(house, slot)
    house.by_hand("churn", 6, slot)
    house.forge_is_down()

    done = house.apply(Trigger.DISPATCH, restore=["churn"])

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_one_person_on_call_rolls_back_by_a_signed_revert_while_the_forge_is_down(house: House, slot: str) -> None:
    request = promoted(house, slot)
    house.forge_is_down()

    house.push_revert(request, by=GRACE)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_change_that_is_held_back_is_withdrawn_without_being_judged(house: House, slot: str) -> None:
    at_work(house, slot, readme_policy())
    request = house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)
    assert house.drift_of() is DriftStatus.IN_SYNC


@SLOTS
def test_a_hand_that_put_the_wrong_one_in_and_the_declared_one_back_leaves_nothing_to_do(
    house: House, slot: str
) -> None:
    promoted(house, slot)

    house.by_hand("churn", 6, slot)
    house.by_hand("churn", 5, slot)
    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_rollback_over_several_versions(house: House) -> None:
    promoted(house)
    house.by_hand("churn", 6, "Staging")
    house.clock.later(days=4)
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({"Production": 4}), by=LINUS)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.kinds() == {"Production": "rollback"}
    assert house.in_slot("churn") == (4,)


@SLOTS
def test_a_rollback_where_somebody_deleted_our_record_on_the_model(house: House, slot: str) -> None:
    request = promoted(house, slot)
    house.delete_owner_record("churn")

    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_back_and_forth_between_three_versions(house: House, slot: str) -> None:
    at_work(house, slot, readme_policy())
    second = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.revert(second)
    assert house.apply().exit_code == ExitCode.OK
    house.by_hand("churn", 6, "Staging")
    house.clock.later(days=4)
    third = house.merge(pins({slot: 6}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.revert(third)
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({slot: 5}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.kinds() == {slot: "rollback"}
    assert house.in_slot("churn", slot) == (5,)


def test_one_model_of_several_is_put_back(house: House) -> None:
    at_work(house, "@champion", models=("churn", "fraud"))
    house.by_hand("churn", 3, "@champion")

    done = house.apply(Trigger.DISPATCH, restore=["churn"], targets=("churn",))

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", "@champion") == (4,)


def test_a_revert_of_a_model_that_was_never_applied_counts_no_model_below_zero(house: House) -> None:
    house.register("spam")
    house.push(policy=readme_policy())
    request = house.merge(pins({"Production": 1}, model="spam"))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.revert(request, by=LINUS)
    plan = house.plan().plan

    assert plan is not None
    assert [model.model for model in plan.models if model.blocked] == ["spam"]
    assert (plan.summary.unchanged, plan.summary.blocked) == (0, 1)
