"""Nobody loosens a rule and walks through it: a waiting pin keeps the rules that stood before it was declared."""

from dataclasses import replace

import pytest

from reconciler.core.names import ModelRef
from reconciler.errors import ExitCode
from tests.house import GRACE, LINUS, MALLORY, House, Trigger, Way
from tests.house.scenes import APPROVALS, GATES, NO_RULES, SLOTS, SOAK, at_least, at_work, pins


def refused(house: House, slot: str = "Production") -> None:
    """No apply lets v6 in, whatever it runs for."""
    for trigger in Trigger:
        done = house.apply(trigger)
        assert done.exit_code == ExitCode.BLOCKED, done.message
        assert "soak" in done.noes(slot)
        assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_pin_that_was_refused_is_not_let_in_by_rules_that_were_loosened_since(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    house.merge(pins({slot: 6}))
    refused(house, slot)

    house.merge(policy=NO_RULES)
    refused(house, slot)
    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house, slot)


def test_a_pin_that_no_apply_has_seen_is_not_let_in_by_rules_that_were_loosened_since(house: House, way: Way) -> None:
    house.way = way
    at_work(house, policy=SOAK)
    house.merge(pins({"Production": 6}))
    house.merge(policy=NO_RULES)
    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house)


def test_a_pin_is_not_let_in_by_rules_that_came_with_it_in_one_request(house: House, way: Way) -> None:
    house.way = way
    at_work(house, policy=SOAK)
    request = house.request(policy=NO_RULES)
    house.amend(request, pins({"Production": 6}))
    house.merge(request)
    refused(house)

    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house)


@SLOTS
def test_rules_that_were_tightened_since_hold_for_a_pin_that_waits(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 6}))
    house.merge(policy=SOAK)

    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house, slot)


@SLOTS
def test_declaring_the_same_again_begins_no_new_change(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    house.merge(pins({slot: 6}))
    refused(house, slot)
    house.merge(policy=NO_RULES)

    house.merge(pins({slot: 6}, also="description: Moved about\n"))

    refused(house, slot)


@SLOTS
def test_a_pin_that_moves_to_another_file_begins_no_new_change(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    house.merge(pins({slot: 6}))
    refused(house, slot)
    house.merge(policy=NO_RULES)

    house.merge(files={"manifests/churn.yaml": None, "manifests/moved.yaml": pins({slot: 6})})

    refused(house, slot)


def test_a_policy_named_beside_it_replaces_none(house: House) -> None:
    at_work(house, policy=SOAK)
    house.merge(pins({"Production": 6}))
    loose = house.merge(policy=NO_RULES)

    done = house.apply(Trigger.DISPATCH, policy_ref=loose.merged)

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"soak"})


@SLOTS
def test_a_change_that_deletes_every_rule_is_not_said_to_be_refused_by_what_it_proposes(
    house: House, slot: str
) -> None:
    at_work(house, slot, SOAK)

    house.request(pins({slot: 6}), policy=NO_RULES)
    planned = house.plan()

    assert (planned.exit_code, planned.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert planned.review is not None
    assert planned.review.policy is not None
    assert [verdict for verdict in planned.review.policy.proposed if verdict.blocks] == []
    assert "would refuse 1" not in planned.text


def test_a_change_that_takes_one_rule_of_two_away_shows_what_the_other_says(house: House) -> None:
    at_work(house, policy=GATES)

    house.request(pins({"Production": 6}), policy=SOAK)
    planned = house.plan()

    assert planned.review is not None
    assert planned.review.policy is not None
    assert {verdict.gate for verdict in planned.review.policy.proposed} == {"soak"}


def hold(version: int, slot: str) -> str:
    """A manifest's word that a version must not come back."""
    named = f'"{slot}"' if slot.startswith("@") else slot
    return f"hold: {{slot: {named}, version: {version}, reason: It leaks personal data., until: 2027-01-01}}\n"


@SLOTS
def test_a_hold_is_not_lifted_by_the_change_that_needs_it_lifted(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 4}, also=hold(6, slot)))
    house.apply()

    house.merge(pins({slot: 6}))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_hold_keeps_a_version_from_coming_back_by_a_rollback(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 5}, also=hold(4, slot)))
    house.apply()

    house.merge(pins({slot: 4}, also=hold(4, slot)))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (5,)


@SLOTS
def test_a_hold_keeps_a_version_from_being_put_back(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 4}, also=hold(4, slot)))
    house.apply()

    done = house.apply(Trigger.DISPATCH, restore=["churn"])

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (6,)


@SLOTS
def test_a_hold_that_was_lifted_in_a_change_of_its_own_holds_nothing_back(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 4}, also=hold(6, slot)))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 4}))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({slot: 6}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK
    assert house.in_slot("churn", slot) == (6,)


@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_branch_that_takes_main_in_and_becomes_main_brings_no_old_rules_back(house: House, trigger: Trigger) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, policy=NO_RULES)
    request = house.request(pins({"Production": 6}), by=MALLORY)
    house.merge(policy=SOAK)
    assert house.apply().exit_code == ExitCode.OK

    house.update(request, by=MALLORY)
    house.merge(request)
    done = house.apply(trigger)

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"soak"})
    refused(house)


def test_nor_do_they_come_back_where_no_apply_has_seen_the_new_ones(house: House) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, policy=NO_RULES)
    request = house.request(pins({"Production": 6}), by=MALLORY)
    house.merge(policy=SOAK)

    house.update(request, by=MALLORY)
    house.merge(request)

    refused(house)  # the push's own apply is told what main was before, and the later ones remember it


def test_owners_of_yesterday_do_not_come_back_with_a_branch_that_takes_main_in(house: House) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 4}, owners=[GRACE, LINUS]), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    request = house.request(pins({"Production": 6}, owners=[GRACE, LINUS]), by=MALLORY)
    house.merge(pins({"Production": 4}, owners=[GRACE], also="description: Linus left\n"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.update(request, by=MALLORY, ours=True)
    house.approve(LINUS, request)
    house.merge(request)
    done = house.apply(Trigger.SCHEDULE)

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"approvals"})


@pytest.mark.parametrize("way", [Way.FAST_FORWARD, Way.REBASE])
def test_what_somebody_else_writes_beside_the_lock_makes_no_change_shorter(signing_house: House, way: Way) -> None:
    house = signing_house
    house.way = way
    at_work(house, policy=SOAK)
    request = house.request(policy=NO_RULES)
    house.amend(request, pins({"Production": 6}))
    house.merge(request)
    refused(house)

    house.remember(house.first_parent())

    refused(house)


def test_a_signature_on_another_commit_makes_no_change_shorter(signing_house: House) -> None:
    house = signing_house
    house.way = Way.REBASE
    at_work(house, policy=SOAK)
    request = house.request(policy=NO_RULES)
    house.amend(request, pins({"Production": 6}))
    house.merge(request)
    refused(house)

    assert house.lock is not None
    *_, genuine = house.lock.lease.heads
    house.remember(house.first_parent(), at=genuine.at, seal=genuine.seal)

    refused(house)


def test_who_writes_beside_the_lock_leads_nobody_along_the_side_of_a_merge(house: House) -> None:
    at_work(house, policy=SOAK)
    request = house.request(policy=NO_RULES, by=MALLORY)
    side = request.head
    house.amend(request, pins({"Production": 6}), by=MALLORY)
    house.merge(request)

    house.remember(side)

    refused(house)


@SLOTS
def test_a_pin_that_a_hold_stopped_is_not_let_in_by_the_next_merge(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.merge(pins({slot: 4}, also=hold(6, slot)))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.merge(files={"docs/notes.md": "Notes\n"})
    done = house.apply()

    assert "on hold" in done.message
    assert house.in_slot("churn", slot) == (4,)


def test_a_hold_that_is_lifted_in_the_same_push_holds_where_nobody_remembers_what_came_together(house: House) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, policy=NO_RULES)
    house.merge(pins({"Production": 4}, also=hold(6, "Production")))
    assert house.apply().exit_code == ExitCode.OK
    request = house.request(pins({"Production": 4}))
    house.amend(request, pins({"Production": 6}))
    house.merge(request)
    assert house.lock is not None

    house.lock.lease.heads = ()
    done = house.apply()

    assert "on hold" in done.message
    assert house.in_slot("churn") == (4,)


def test_a_hold_stops_what_was_put_there_by_hand_and_is_declared_then(house: House) -> None:
    at_work(house, "@champion", SOAK)
    held = "hold: {version: 6, reason: It leaks personal data., until: 2027-01-01}\n"
    house.merge(pins({"@champion": 4}, also=held))
    assert house.apply().exit_code == ExitCode.OK

    house.by_hand("churn", 6, "@champion-eu")
    house.merge(pins({"@champion": 4, "@champion-eu": 6}, also=held))
    done = house.apply()

    assert (done.exit_code, done.kinds()) == (ExitCode.BLOCKED, {"@champion-eu": "found"})
    assert "on hold" in done.message


@pytest.mark.parametrize(
    "after", ["", hold(6, "Production").replace("2027", "2026"), hold(6, "Staging"), hold(5, "Production")]
)
def test_the_review_says_that_a_change_lifts_or_shortens_a_hold(house: House, after: str) -> None:
    at_work(house, policy=SOAK)
    house.merge(pins({"Production": 4}, also=hold(6, "Production")))
    house.apply()

    house.request(pins({"Production": 4}, also=after))
    planned = house.plan()

    assert "This change lifts or shortens a hold: v6 of churn for Production (It leaks personal data.)." in planned.text


def own_gates(slot: str) -> str:
    """Gates that a manifest has for its model."""
    named = f'"{slot}"' if slot.startswith("@") else slot
    return f"gates:\n  {named}:\n  - soak: {{stage: Staging, for: 7d}}\n"


@SLOTS
@pytest.mark.parametrize("waits", [False, True])
def test_a_manifests_own_gates_are_not_dropped_by_the_change_that_needs_it_or_while_the_pin_waits(
    house: House, slot: str, waits: bool
) -> None:
    at_work(house, slot, at_least(0.1))
    house.merge(pins({slot: 4}, also=own_gates(slot)))
    assert house.apply().exit_code == ExitCode.OK

    if waits:
        house.merge(pins({slot: 6}, also=own_gates(slot)))
        refused(house, slot)
    house.merge(pins({slot: 6}))
    refused(house, slot)
    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house, slot)


def test_a_tag_that_is_taken_away_while_a_pin_waits_takes_the_model_out_of_no_rule(house: House) -> None:
    at_work(house, policy=SOAK.replace("- slot: [", "- tags: {tier: gold}\n  slot: ["))
    house.merge(pins({"Production": 4}, also="tags: {tier: gold}\n"))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 6}))
    refused(house)

    house.registry.models[ModelRef("churn")] = replace(house.registry.models[ModelRef("churn")], tags={})
    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house)


def test_a_gate_that_several_rules_have_is_said_once(house: House) -> None:
    at_work(house, policy=SOAK)
    house.merge(pins({"Production": 6}))
    refused(house)

    house.merge(pins({"Production": 6}, owners=[GRACE, LINUS]), approved_by=[GRACE])
    done = house.apply()

    assert [verdict.gate for verdict in done.verdicts()] == ["soak"]
