"""Every way of merging, with the README's own gates on: what is honest comes in, and goes back."""

import pytest

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import ADA, GRACE, LINUS, Done, House, Request, Trigger, Way
from tests.house.fixtures import EVERY_WAY
from tests.house.scenes import at_work, pins, readme_policy

BOTH = ("Production", "@champion")


def begin(house: House, way: Way, *models: str) -> None:
    """Of each model v4 is in Production and champion, and v5 has been in Staging for four days."""
    at_work(house, BOTH, readme_policy(), models=models)
    house.way = way


def promotion(house: House, model: str = "churn", version: int = 5) -> Request:
    """A request of two commits by Ada that Grace, who owns the model, has approved."""
    request = house.request(pins(dict.fromkeys(BOTH, version), model=model), title="Promote", by=ADA)
    house.amend(request, files={f"docs/{model}.md": "Why\n"}, title="Say why")
    house.approve(GRACE, request, signed=house.way is Way.PUSH)
    return request


def well(house: House, done: Done, version: int, model: str = "churn") -> None:
    """All is as declared, and nothing is left to do."""
    assert done.exit_code == ExitCode.OK, done.message
    assert [house.in_slot(model, slot) for slot in BOTH] == [(version,), (version,)]
    assert house.drift_of(model) is DriftStatus.IN_SYNC


@EVERY_WAY
def test_a_promotion(house: House, way: Way) -> None:
    begin(house, way, "churn")
    request = promotion(house)
    planned = house.plan(request)

    house.merge(request)
    done = house.apply()

    assert planned.exit_code == ExitCode.OK, planned.sentences()
    well(house, done, 5)


@EVERY_WAY
def test_two_merges_in_one_run(house: House, way: Way) -> None:
    begin(house, way, "churn", "fraud")
    first, second = promotion(house, "churn"), None
    if way is Way.QUEUE:
        second = promotion(house, "fraud")
        house.queue(first, second)
    else:
        house.merge(first)
        second = promotion(house, "fraud")
        house.merge(second)

    done = house.apply()

    well(house, done, 5, "churn")
    well(house, done, 5, "fraud")


@EVERY_WAY
def test_one_that_is_refused_and_then_another_merge(house: House, way: Way) -> None:
    begin(house, way, "churn", "fraud")
    house.by_hand("churn", 6, "Staging", beside=True)
    house.merge(promotion(house, "churn", 6))
    refused = house.apply()

    house.merge(promotion(house, "fraud"))
    done = house.apply()

    assert (refused.exit_code, refused.noes()) == (ExitCode.BLOCKED, {"soak"})
    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("fraud") == (5,)

    house.clock.later(days=3)
    later = house.apply(Trigger.SCHEDULE)

    well(house, later, 6)


@EVERY_WAY
def test_a_run_again_of_an_apply_that_was_killed(house: House, way: Way) -> None:
    begin(house, way, "churn")
    house.merge(promotion(house))

    killed = house.apply(killed_after=3)
    done = house.apply()

    assert killed.receipt is None
    well(house, done, 5)


@pytest.mark.parametrize("calls", range(1, 5))
def test_a_run_again_after_every_call_that_an_apply_can_be_killed_at(house: House, calls: int) -> None:
    begin(house, Way.MERGE, "churn")
    house.merge(promotion(house))

    house.apply(killed_after=calls)
    done = house.apply()

    well(house, done, 5)


@EVERY_WAY
def test_a_revert(house: House, way: Way) -> None:
    begin(house, way, "churn")
    request = house.merge(promotion(house))
    assert house.apply().exit_code == ExitCode.OK

    undo = house.request_revert(request, by=LINUS)
    planned = house.plan(undo)
    house.merge(undo)
    done = house.apply()

    assert planned.exit_code == ExitCode.OK, planned.sentences()
    assert done.kinds() == dict.fromkeys(BOTH, "rollback")
    well(house, done, 4)


@EVERY_WAY
def test_a_revert_of_a_revert(house: House, way: Way) -> None:
    begin(house, way, "churn")
    request = house.merge(promotion(house))
    assert house.apply().exit_code == ExitCode.OK
    undo = house.revert(request)
    assert house.apply().exit_code == ExitCode.OK

    house.revert(undo)
    done = house.apply()

    well(house, done, 5)


@EVERY_WAY
def test_a_schedule_and_then_a_dispatch_where_the_push_ran_nothing(house: House, way: Way) -> None:
    begin(house, way, "churn")
    house.merge(promotion(house))

    scheduled = house.apply(Trigger.SCHEDULE)
    dispatched = house.apply(Trigger.DISPATCH)

    well(house, scheduled, 5)
    assert (dispatched.exit_code, dispatched.plan and dispatched.plan.changes) == (ExitCode.OK, ())


@EVERY_WAY
def test_a_run_again_of_an_older_push_is_refused_and_moves_nothing(house: House, way: Way) -> None:
    begin(house, way, "churn")
    request = house.merge(promotion(house))
    assert house.apply().exit_code == ExitCode.OK
    house.revert(request)
    assert house.apply().exit_code == ExitCode.OK

    done = house.apply(of=request)

    assert done.exit_code == ExitCode.STALE
    assert house.in_slot("churn") == (4,)


def test_a_request_that_was_brought_up_to_date_after_its_approval(house: House) -> None:
    """The forge's button merges main into the branch: that merge changes nothing of its own, and is nobody's hand."""
    begin(house, Way.MERGE, "churn", "fraud")
    request = house.request(pins(dict.fromkeys(BOTH, 5)))
    house.merge(files={"docs/notes.md": "Notes\n"}, by=LINUS)
    house.update(request, by=GRACE)
    house.approve(GRACE, request)

    house.merge(request)
    done = house.apply()

    well(house, done, 5)


@pytest.mark.parametrize("trigger", [Trigger.PUSH, Trigger.SCHEDULE])
def test_a_branch_that_takes_main_in_before_main_moves_forward_to_it(house: House, trigger: Trigger) -> None:
    begin(house, Way.FAST_FORWARD, "churn")
    note = house.request(files={"docs/notes.md": "Notes\n"}, by=LINUS)
    house.merge(promotion(house))
    well(house, house.apply(), 5)

    house.update(note, by=LINUS)
    house.merge(note)
    done = house.apply(trigger)

    well(house, done, 5)
