"""Whoever may write to the registry hides no move from whoever looks for drift, and closes no way back."""

import pytest

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, House
from tests.house.scenes import APPROVALS, GATES, NO_RULES, SLOTS, at_work, pins

SEEN = {DriftStatus.DRIFTED, DriftStatus.UNKNOWN}


@SLOTS
def test_deleting_our_record_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.delete_owner_record("churn")

    assert house.drift_of() is DriftStatus.UNKNOWN
    assert house.drift().drifted


@SLOTS
def test_damaging_our_record_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.damage_owner_record("churn")

    assert house.drift_of() is DriftStatus.UNKNOWN


@SLOTS
def test_what_was_moved_by_hand_is_drift_and_is_not_said_to_be_waiting_too(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    (model,) = house.drift().models

    assert model.status is DriftStatus.DRIFTED
    assert model.drifted
    assert not model.pending


@SLOTS
def test_a_record_that_names_a_pushed_branch_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)
    mine = house.push_branch("mine", pins({slot: 6}))

    house.by_hand("churn", 6, slot)
    house.point_owner_record_at("churn", mine)

    assert house.drift_of() in SEEN


@SLOTS
def test_a_record_that_names_a_branch_that_is_gone_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.point_owner_record_at("churn", "f" * 40)

    assert house.drift_of() in SEEN


@SLOTS
def test_a_record_that_names_an_older_commit_of_main_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    old = house.owner_record("churn")
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK

    house.by_hand("churn", 4, slot)
    house.put_owner_record("churn", old)

    assert house.drift_of() in SEEN


@SLOTS
def test_a_record_that_names_a_commit_on_the_side_of_a_merge_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)
    request = house.request(pins({slot: 6}))
    side = request.head
    house.amend(request, pins({slot: 4}, also="description: Churn\n"))
    house.merge(request)
    house.apply()

    house.by_hand("churn", 6, slot)
    house.point_owner_record_at("churn", side)

    assert house.drift_of() in SEEN


@SLOTS
def test_a_record_that_names_the_commit_which_was_held_back_hides_no_move(house: House, slot: str) -> None:
    at_work(house, slot)
    held = house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.by_hand("churn", 6, slot)
    house.point_owner_record_at("churn", str(held.merged))

    assert house.drift_of() in SEEN


@SLOTS
def test_a_move_that_main_comes_to_declare_and_gates_refuse_is_drift_still(house: House, slot: str) -> None:
    at_work(house, slot)
    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    assert house.drift_of() is DriftStatus.DRIFTED


@SLOTS
@pytest.mark.parametrize("record", ["of a pushed branch", "of nobody's commit", "deleted"])
def test_no_record_keeps_an_apply_from_putting_things_back(house: House, slot: str, record: str) -> None:
    at_work(house, slot)
    mine = house.push_branch("mine", pins({slot: 6}))
    house.by_hand("churn", 6, slot)
    if record == "deleted":
        house.delete_owner_record("churn")
    else:
        house.point_owner_record_at("churn", mine if record == "of a pushed branch" else "f" * 40)

    house.merge(files={"docs/notes.md": "Notes\n"})
    done = house.apply(restore=["churn"])

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_record_that_names_what_was_held_back_makes_no_restoration_of_it(house: House, slot: str) -> None:
    at_work(house, slot)
    held = house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.point_owner_record_at("churn", str(held.merged))
    done = house.apply(restore=["churn"])

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_record_that_names_an_older_commit_makes_no_restoration_of_what_that_declared(
    house: House, slot: str
) -> None:
    at_work(house, slot, APPROVALS)
    old = house.owner_record("churn")
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.put_owner_record("churn", old)
    done = house.apply(restore=["churn"])

    assert house.in_slot("churn", slot) == (6,)
    assert done.plan is not None
    assert "restoration" not in done.kinds().values()


def test_a_version_that_was_registered_again_is_no_restoration(house: House) -> None:
    at_work(house, policy=NO_RULES)
    owner, record = house.owner_record("churn"), house.record_on("churn", 4)
    house.delete_model("churn")
    house.register("churn", 6)
    house.put_owner_record("churn", owner)
    house.put_record("churn", 4, record)

    done = house.apply(restore=["churn"])

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn") == ()


@SLOTS
def test_healing_never_rides_along_with_something_else(house: House, slot: str) -> None:
    at_work(house, slot)
    house.by_hand("churn", 6, slot)

    house.merge(pins({slot: 4}, also="description: Churn\n"))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (6,)
    assert "--restore churn" in f"{done.message}\n{done.sentences(slot)}"


@SLOTS
def test_a_soak_begins_anew_with_every_edit(house: House, slot: str) -> None:
    at_work(house, slot, GATES)

    house.describe("churn", 5)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})


@SLOTS
def test_a_soak_begins_anew_when_the_version_was_out_and_in_again(house: House, slot: str) -> None:
    at_work(house, slot, GATES)

    house.by_hand("churn", 5, "Archived")
    house.by_hand("churn", 5, "Staging")
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})


@SLOTS
def test_a_forged_record_of_staging_makes_no_soak(house: House, slot: str) -> None:
    at_work(house, slot, GATES)
    house.by_hand("churn", 6, "Staging", beside=True)

    house.forge_record("churn", 6, "Staging", house.main, before="None")
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
