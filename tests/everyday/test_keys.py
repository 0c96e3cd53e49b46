"""Keys come and go, and no record of before loses what it says."""

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, House, Trigger
from tests.house.people import job_line, key_of, person_line
from tests.house.scenes import GATES, SLOTS, at_work, pins


@SLOTS
def test_a_new_key_is_listed_and_the_old_one_retired_and_a_rollback_rests_on_its_records(
    signing_house: House, slot: str
) -> None:
    house = signing_house
    at_work(house, slot)
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.clock.later(days=1)
    house.rotate("second", retired=f"{house.clock.at:%Y%m%d}")
    house.merge(policy=GATES + "\n", approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)
    assert house.drift_of() is DriftStatus.IN_SYNC


@SLOTS
def test_a_rotation_that_is_taken_back(signing_house: House, slot: str) -> None:
    house = signing_house
    at_work(house, slot)
    first = house.key
    house.rotate("second")
    house.merge(policy=GATES + "\n", approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.rotate(first)
    house.merge(policy=GATES, approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_signers_are_named_for_the_first_time(plain_house: House, slot: str) -> None:
    """The next apply signs what it finds in agreement with main, so that a rollback rests on it."""
    house = plain_house
    at_work(house, slot)
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.signed = True
    house.list_signer(job_line(key_of(house.key)))
    house.merge(policy=GATES + "\n", approved_by=[GRACE])
    named = house.apply()
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK
    house.revert(request)
    done = house.apply()

    assert named.exit_code == ExitCode.OK, named.message
    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_signers_are_given_up(signing_house: House, slot: str) -> None:
    house = signing_house
    at_work(house, slot)
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.signed, house.signers = False, person_line(GRACE)
    house.merge(policy=GATES + "\n", approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn", slot) == (4,)


def test_a_change_of_the_signers_leaves_what_is_in_as_it_is(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    house.rotate("second", retired=f"{house.clock.at:%Y%m%d}")
    house.merge(policy=GATES + "\n", approved_by=[GRACE])

    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (4,)
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_key_is_lost_and_what_it_signed_stays_where_it_is(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    house.merge(pins({"Production": 5, "@champion": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=1)
    lost = job_line(key_of(house.key))
    house.rotate("second")
    house.signers = house.signers.replace(lost, "")
    house.merge(policy=GATES + "\n", approved_by=[GRACE])

    done = house.apply()
    house.merge(files={"docs/notes.md": "Notes\n"})
    next_one = house.apply()
    house.clock.later(days=1)
    house.merge(pins({"Production": 5, "@champion": 5}, also="description: It scores.\n"))
    later = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert next_one.exit_code == ExitCode.OK, next_one.message
    assert later.exit_code == ExitCode.OK, later.message
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_key_that_no_line_lists_writes_nothing(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    request = house.merge(pins({"Production": 5}), approved_by=[GRACE])
    listed, house.key = house.key, "stray"
    before = house.record_on("churn", 5)

    refused = house.apply()
    unchanged = house.record_on("churn", 5)
    house.key = listed
    done = house.apply()
    house.revert(request)
    back = house.apply()

    assert refused.exit_code == ExitCode.ERROR
    assert "lets the key" in refused.message
    assert unchanged == before
    assert (done.exit_code, back.exit_code) == (ExitCode.OK, ExitCode.OK), f"{done.message}\n{back.message}"
