"""An approval is of one thing, by somebody who had no hand in it."""

from dataclasses import replace

import pytest

from reconciler.errors import ExitCode
from tests.house import ADA, GRACE, LINUS, MALLORY, House, Way
from tests.house.people import public_half
from tests.house.scenes import APPROVALS, SLOTS, SOAK, at_work, pins

BY = pytest.mark.parametrize("by_commit", [False, True], ids=["by the forge", "by a signed commit"])


def refused(house: House, slot: str = "Production") -> None:
    """An apply lets nothing in, for want of an approval."""
    done = house.apply()
    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"approvals"}), done.sentences(slot)
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
@pytest.mark.parametrize("way", [Way.MERGE, Way.FAST_FORWARD, Way.PUSH])
def test_a_change_under_another_name_that_its_maker_signs_is_not_approved_by_its_maker(
    house: House, slot: str, way: Way
) -> None:
    at_work(house, slot, APPROVALS)

    house.request(pins({slot: 6}), by=LINUS, sealed_by=GRACE, trailer=f"Approved-by: {GRACE}")
    house.merge(house.forge.requests[-1], way=way)

    refused(house, slot)


def test_who_signs_a_change_under_another_name_cannot_approve_it_by_a_second_commit(house: House) -> None:
    at_work(house, policy=APPROVALS)

    request = house.request(pins({"Production": 6}), by=LINUS, sealed_by=GRACE)
    house.approve(GRACE, signed=True)
    house.merge(request, way=Way.PUSH)

    refused(house)


@SLOTS
def test_an_approval_of_a_closed_request_that_a_merge_takes_nothing_of_is_none_of_another(
    house: House, slot: str
) -> None:
    at_work(house, slot, APPROVALS)
    closed = house.request(pins({slot: 6}))
    house.approve(GRACE, signed=True)
    house.close(closed)

    other = house.merge_ours(closed)
    house.amend(other, pins({slot: 6}))
    house.merge(other)

    refused(house, slot)


@BY
def test_an_approval_of_a_change_that_was_withdrawn_is_none_of_the_one_made_since(
    house: House, by_commit: bool
) -> None:
    at_work(house, policy=SOAK + "  - approvals: {count: 1, of: owners}\n")
    house.by_hand("churn", 6, "Staging", beside=True)
    first = house.request(pins({"Production": 6}))
    house.approve(GRACE, signed=by_commit)
    house.merge(first)
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.revert(first)
    house.apply()
    house.clock.later(days=4)

    house.merge(pins({"Production": 6}))

    refused(house)


@BY
@SLOTS
def test_the_maker_of_a_pin_does_not_approve_it_in_somebody_elses_later_change(
    house: House, slot: str, by_commit: bool
) -> None:
    at_work(house, slot, APPROVALS)
    house.merge(pins({slot: 6}), by=GRACE)
    refused(house, slot)

    later = house.request(pins({slot: 6}, also="description: Churn\n"), by=ADA)
    house.approve(GRACE, later, signed=by_commit)
    house.merge(later)

    refused(house, slot)


@BY
def test_an_approval_of_something_else_in_the_same_run_is_none_of_this(house: House, by_commit: bool) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 6}))

    later = house.request(files={"docs/notes.md": "Notes\n"}, by=LINUS)
    house.approve(GRACE, later, signed=by_commit)
    house.merge(later)

    refused(house)


def test_an_approval_before_the_last_push_is_of_what_was_there_then(house: House) -> None:
    at_work(house, policy=APPROVALS)
    request = house.request(pins({"Production": 5}))
    house.approve(GRACE)

    house.amend(request, pins({"Production": 6}))
    house.merge(request)

    refused(house)


def test_who_pushed_to_the_request_does_not_approve_it(house: House) -> None:
    at_work(house, policy=APPROVALS)
    request = house.request(pins({"Production": 6}))
    house.amend(request, files={"docs/notes.md": "Notes\n"}, by=GRACE)
    house.approve(GRACE)

    house.merge(request)

    refused(house)


def test_owners_whom_the_change_itself_names_approve_nothing(house: House) -> None:
    at_work(house, policy=APPROVALS)

    house.request(pins({"Production": 6}, owners=[LINUS]))
    house.approve(LINUS)
    house.merge(house.forge.requests[-1])

    refused(house)


def test_owners_whom_a_change_named_that_was_held_back_approve_nothing_in_the_next(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 6}, owners=[MALLORY]))
    refused(house)

    later = house.request(pins({"Production": 6}, owners=[MALLORY], also="description: Churn\n"), by=ADA)
    house.approve(MALLORY, later)
    house.merge(later)

    refused(house)


def test_one_key_under_two_names_is_one_person(house: House) -> None:
    second = replace(GRACE, email="second@acme.example")
    house.list_signer(f"{second.email} {public_half(GRACE.key)}\n")
    group = "groups:\n  risk: [grace@acme.example, second@acme.example]\n"
    at_work(house, policy=group + APPROVALS.replace("count: 1, of: owners", "count: 2, of: risk"))

    request = house.request(pins({"Production": 6}))
    house.approve(GRACE, signed=True)
    house.approve(GRACE, signed=True, author=second)
    house.merge(request)

    refused(house)


TRAILERS = ["Co-authored-by", "Signed-off-by", "Reported-by"]


@SLOTS
@pytest.mark.parametrize("trailer", TRAILERS)
@BY
def test_a_name_in_somebody_elses_trailer_takes_nobodys_vote(
    house: House, slot: str, trailer: str, by_commit: bool
) -> None:
    at_work(house, slot, APPROVALS)

    request = house.request(pins({slot: 6}), trailer=f"{trailer}: {GRACE}")
    house.approve(GRACE, signed=by_commit)
    house.merge(request)
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.OK, set())
    assert house.in_slot("churn", slot) == (6,)


def undecided(house: House) -> None:
    """An apply lets nothing in: who decides was changed, and those who stand did not agree."""
    done = house.apply()
    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert "edits who decides about churn" in done.message
    assert house.in_slot("churn") == (4,)


def test_owners_whom_nobody_approved_do_not_stand_after_the_next_merge(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 4}, owners=[MALLORY]))
    undecided(house)
    house.merge(files={"docs/notes.md": "Notes\n"}, approved_by=[GRACE])
    house.apply()

    house.merge(pins({"Production": 6}, owners=[MALLORY]), approved_by=[MALLORY])

    undecided(house)


def test_owners_do_not_become_others_by_leaving_the_manifest_out_for_a_while(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(files={"manifests/churn.yaml": None})
    assert house.apply(allow_empty=True).exit_code == ExitCode.BLOCKED
    house.merge(pins({"Production": 4}, owners=[MALLORY]))
    undecided(house)

    house.merge(pins({"Production": 6}, owners=[MALLORY]), approved_by=[MALLORY])

    undecided(house)


def test_a_pin_that_owners_approved_who_never_counted_is_not_let_in_when_they_leave(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 4}, owners=[MALLORY]))
    undecided(house)
    house.merge(pins({"Production": 6}, owners=[MALLORY]), approved_by=[MALLORY])
    undecided(house)

    house.merge(pins({"Production": 6}, owners=[GRACE]), by=MALLORY, approved_by=[LINUS])
    house.apply()
    house.merge(files={"docs/notes.md": "Notes\n"})

    refused(house)


def test_a_group_that_nobody_approved_does_not_stand_after_the_next_merge(house: House) -> None:
    group = "groups:\n  risk: [{}]\n"
    policy = APPROVALS.replace("of: owners", "of: risk")
    at_work(house, policy=group.format(GRACE.email) + policy)
    house.merge(policy=group.format(MALLORY.email) + policy)
    undecided(house)
    house.merge(files={"docs/notes.md": "Notes\n"})
    house.apply()

    house.merge(pins({"Production": 6}), approved_by=[MALLORY])

    undecided(house)
