"""Rules change, one step at a time, and what no rule could ever let in is said when it is proposed."""

from dataclasses import replace

import pytest

from reconciler.core.names import AliasName
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.errors import ExitCode, Problem
from tests.house import ADA, GRACE, LINUS, Done, House, Trigger, Way
from tests.house.fixtures import EVERY_WAY
from tests.house.scenes import APPROVALS, GATES, NO_RULES, SLOTS, SOAK, TRIED, at_least, at_work, pins


@SLOTS
def test_a_rule_is_tightened_and_then_a_version_that_meets_it_is_promoted(house: House, slot: str) -> None:
    at_work(house, slot, at_least(0.6))
    house.merge(policy=at_least(0.69))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({slot: 5}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_a_rule_is_loosened_and_then_a_version_that_meets_it_is_promoted(house: House, slot: str) -> None:
    at_work(house, slot, at_least(0.9))
    house.merge(policy=at_least(0.69))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({slot: 5}))
    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_out_of_a_rule_that_can_never_pass_one_gets_by_declaring_again_after_it_is_mended(
    house: House, slot: str
) -> None:
    at_work(house, slot, at_least(0.9))
    request = house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.revert(request)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(policy=at_least(0.69))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 5}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_what_is_in_already_stays_when_the_rules_are_tightened(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(policy=at_least(0.9))
    house.merge(pins({slot: 5}, also="description: Churn\n"))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (5,)


def test_a_model_gets_its_owners_in_one_change_and_is_promoted_in_the_next(house: House) -> None:
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(APPROVALS, pins({"Production": 1}, owners=[]))
    house.merge(pins({"Production": 1}, owners=[GRACE]))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({"Production": 2}, owners=[GRACE]), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (2,)


def test_owners_hand_a_model_over_with_their_approval(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 4}, owners=[LINUS]), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({"Production": 5}, owners=[LINUS]), by=ADA, approved_by=[LINUS])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (5,)


def test_a_model_that_is_new_is_promoted_under_gates_once_it_has_been_declared(house: House) -> None:
    at_work(house)
    house.register("fresh", 1)
    house.merge(pins({"Staging": 1}, model="fresh"))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)

    house.merge(pins({"Production": 1}, model="fresh"), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.sentences(model="fresh")
    assert house.in_slot("fresh") == (1,)


# What `validate` says of rules that nobody can meet


def said_by_validate(house: House, policy: str, *manifests: str) -> list[Problem]:
    house.push(*manifests, policy=policy)
    return list(house.validate())


def test_a_policy_in_which_no_rollback_can_pass_is_pointed_out(house: House) -> None:
    problems = said_by_validate(
        house, SOAK.replace("waive-on-rollback: true", "waive-on-rollback: false"), pins({"Production": 4})
    )

    assert any("rollback" in problem.message or "roll back" in problem.message for problem in problems)


def test_approvals_of_owners_whom_no_manifest_names_are_pointed_out(house: House) -> None:
    problems = said_by_validate(house, APPROVALS, pins({"Production": 4}, owners=[]))

    assert any("owners" in problem.message for problem in problems)


def test_approvals_of_a_team_that_is_no_group_are_pointed_out(house: House) -> None:
    manifest = pins({"Production": 4}, owners=[], also='owners: ["@acme/risk-ml"]\n')

    problems = said_by_validate(house, APPROVALS, manifest)

    assert any("@acme/risk-ml" in problem.message for problem in problems)


def test_nothing_is_pointed_out_of_rules_that_can_be_met(house: House) -> None:
    assert said_by_validate(house, GATES, pins({"Production": 4})) == []


@EVERY_WAY
def test_owners_change_twice_with_approvals_and_the_last_ones_let_a_version_in(house: House, way: Way) -> None:
    at_work(house, policy=APPROVALS)
    house.way = way
    for owners, by in (([GRACE, LINUS], GRACE), ([LINUS], GRACE), ([LINUS, GRACE], LINUS)):
        request = house.request(pins({"Production": 4}, owners=owners))
        house.approve(by, request, signed=way is Way.PUSH)
        house.merge(request)
        done = house.apply()
        assert done.exit_code == ExitCode.OK, done.message

    request = house.request(pins({"Production": 5}, owners=[LINUS, GRACE]))
    house.approve(LINUS, request, signed=way is Way.PUSH)
    house.merge(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (5,)


def test_owners_that_were_refused_are_taken_back_and_the_model_goes_on(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 4}, owners=[LINUS]))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.merge(pins({"Production": 4}))
    house.apply()
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (5,)


def test_owners_that_were_refused_are_approved_later_and_let_a_version_in(house: House) -> None:
    at_work(house, policy=APPROVALS)
    request = house.merge(pins({"Production": 4}, owners=[LINUS]))
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.merge(pins({"Production": 5}, owners=[LINUS]), approved_by=[LINUS])
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.approve(GRACE, request)
    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (5,)


def test_an_override_that_is_over_stops_its_own_model_alone(house: House) -> None:
    policy = SOAK.replace("for: 3d}\n", "for: 3d}\n    override: {approvals: 1, of: owners}\n")
    at_work(house, policy=policy, models=("churn", "risk"))
    over = "overrides:\n- {gate: soak, slot: Production, reason: It cannot wait for INC-1., until: 2026-03-10}\n"
    house.merge(pins({"Production": 6}, also=over), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.by_hand("risk", 1, "Staging")
    house.clock.later(days=15)

    house.merge(pins({"Production": 1}, model="risk"))
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("risk") == (1,)

    house.merge(
        pins({"Production": 4}, model="risk"), files={"manifests/churn.yaml": pins({"Production": 4}, also=over)}
    )
    planned, done = house.plan(), house.apply()

    for plan in (planned.plan, done.plan):
        assert plan is not None
        assert [(m.model, b.code) for m in plan.models for b in m.blockers] == [("churn", "expired-override")]
    assert done.exit_code == ExitCode.BLOCKED
    assert (house.in_slot("churn"), house.in_slot("risk")) == ((6,), (4,))


@pytest.mark.parametrize("challenger", [{"@challenger": 6}, {"@challenger": 5}, {"@challenger": None}, {}], ids=str)
def test_what_has_soaked_in_an_alias_is_promoted_by_a_change_that_takes_it_out_or_leaves_it(
    house: House, challenger: dict[str, int | None]
) -> None:
    at_work(house, policy='slots:\n- slot: Production\n  gates:\n  - soak: {stage: "@challenger", for: 3d}\n')
    house.merge(pins({"Production": 4, "@challenger": 6}))
    house.apply()
    house.clock.later(days=4)

    house.merge(pins({"Production": 6, **challenger}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.sentences()


def _stands(stage: str, alias: str, previous: str = "") -> StageAlias:
    return StageAlias(stage, AliasName(alias), AliasName(previous) if previous else None)


def _settled(house: House, slots: SlotMap, policy: str) -> None:
    """v4 is in Production and named by @champion, v5 in Staging."""
    house.slots = slots
    house.register("churn", 6)
    for version, slot in ((4, "Production"), (4, "@champion"), (5, "Staging")):
        house.by_hand("churn", version, slot)
    house.begin(policy, pins({"Production": 4}))
    house.clock.later(days=4)


def _went_well(done: Done, slot: str = "Production") -> None:
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot)}"


KEPT = SlotMap((_stands("Production", "champion", "champion-previous"),))
KEEPS = "stages: {Production: {alias: champion, previous: champion-previous}}\n"


def test_what_keeps_the_version_that_left_is_no_entrance_that_a_pattern_guards(house: House) -> None:
    _settled(house, KEPT, KEEPS + GATES)

    house.merge(pins({"Production": 5}), approved_by=[GRACE])

    _went_well(house.apply(), "@champion-previous")


def test_a_version_on_hold_can_be_replaced_where_an_alias_keeps_what_left(house: House) -> None:
    _settled(house, KEPT, KEEPS)

    house.merge(pins({"Production": 5}, also="hold: {version: 4, reason: It leaks personal data.}\n"))

    _went_well(house.apply())


def test_the_way_back_from_aliases_alone_to_stages_is_open(house: House) -> None:
    both = SlotMap((_stands("Production", "champion"), _stands("Staging", "staging")))
    policy = f"stages: {{Production: champion, Staging: staging}}\n{TRIED}"
    house.slots = both
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.by_hand("churn", 5, "Staging")
    house.begin(policy, pins({"Production": 4, "Staging": 5}))
    house.slots = replace(both, aliases_only=True, standing=both)
    alone = house.merge(policy=f"mode: alias\n{policy}")
    _went_well(house.apply())
    house.slots = replace(both, aliases_only=True)
    house.merge(pins({"Production": 4, "Staging": 6}))
    _went_well(house.apply())
    house.clock.later(days=4)
    house.merge(pins({"Production": 6, "Staging": 5}))
    _went_well(house.apply(), "@champion")

    house.slots = replace(both, standing=house.slots)
    house.revert(alone)

    _went_well(house.apply())
