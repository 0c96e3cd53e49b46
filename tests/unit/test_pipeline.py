"""An apply from end to end, with everything that can go wrong on the way, and nothing outside."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier, Thread

import pytest

from reconciler.core.changes import Change, Claim, RecordProvenance, TransitionStage, simulate
from reconciler.core.desired import Manifest
from reconciler.core.names import Commit, Version
from reconciler.core.plan import Plan, PlanOptions, StalePlanError
from reconciler.errors import BlockedError, ExitCode, ReconcilerError, RegistryError, StaleError
from reconciler.events import (
    ChangeMade,
    Event,
    Journal,
    LockWaiting,
    ModelFinished,
    Noticed,
    Outcome,
    OutcomeStatus,
    Planned,
    Receipt,
)
from reconciler.pipeline import ApplyRequest, Reviewed, apply
from reconciler.planning import declare, make_plan
from reconciler.ports import Expect, Relation, Tries, WaitReport
from tests.build import CHURN, FIRST, SECOND, THIRD, A, N, P, S, have, owns, want, with_version
from tests.world import FakeLease, FakeLock, Stage, is_transition, refuse, stage, unreachable


def plan_of(place: Stage) -> Plan:
    return make_plan(place.world, declare(place.world, "HEAD").desired, PlanOptions())


def applied(place: Stage, request: ApplyRequest | None = None) -> Receipt:
    return apply(place.world, request or ApplyRequest(parallelism=1), place.events.append)


def fleet(count: int, stages: Callable[[int], Manifest]) -> tuple[Manifest, ...]:
    return tuple(stages(i) for i in range(count))


def promotion(models: int = 1) -> Stage:
    """Each model has v1 in Production and v2 in Staging; HEAD promotes v2."""
    names = [f"model-{i}" for i in range(models)]
    return stage(
        {
            FIRST: tuple(want({P: [1]}, name=n) for n in names),
            SECOND: tuple(want({P: [2]}, {"champion": 2}, name=n) for n in names),
        },
        *(have({1: P, 2: S}, {"champion": 1}, owner=owns(P, "champion"), name=n) for n in names),
    )


def statuses(receipt: Receipt) -> dict[str, OutcomeStatus]:
    return {outcome.model: outcome.status for outcome in receipt.outcomes}


def only(receipt: Receipt) -> Outcome:
    (outcome,) = receipt.outcomes
    return outcome


def notices(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Noticed))


def test_what_is_applied_needs_no_second_apply() -> None:
    place = promotion(20)

    receipt = applied(place, ApplyRequest(options=PlanOptions(force=True), parallelism=8))

    assert receipt.exit_code == ExitCode.OK
    assert set(statuses(receipt).values()) == {OutcomeStatus.APPLIED}
    assert plan_of(place).changes == ()
    assert all(model.occupants(P) == (2,) for model in place.registry.models.values())


def test_a_second_apply_makes_no_call() -> None:
    place = promotion()
    applied(place)
    place.registry.calls.clear()

    receipt = applied(place)

    assert receipt.exit_code == ExitCode.OK
    assert place.registry.calls == []


def test_the_provenance_says_who_when_and_by_which_plan() -> None:
    place = promotion()
    plan = plan_of(place)

    receipt = applied(place)

    placement = place.registry.model("model-0").versions[Version(2)].provenance[P.slot]
    assert placement.commit == SECOND
    assert placement.author == "Ada <ada@acme.example>"
    assert placement.before == "Staging"
    assert placement.plan == plan.digest == receipt.plan.digest
    assert receipt.started_at < placement.applied_at < receipt.finished_at


def test_models_that_are_read_are_read_by_the_wave_not_one_by_one() -> None:
    place = promotion(9)

    applied(place, ApplyRequest(parallelism=5))

    assert place.registry.reads == 1 + 2 + 1


def test_what_was_written_is_read_back_where_what_comes_next_cannot_be_read() -> None:
    place = promotion(9)

    def before_read(number: int) -> None:
        if number == 3:
            raise RegistryError("BAD_ANSWER", "An odd answer.")

    place.registry.before_read = before_read
    receipt = applied(place, ApplyRequest(parallelism=5))

    assert set(statuses(receipt).values()) == {OutcomeStatus.APPLIED}
    assert place.registry.reads == 1 + 4 + 1


def test_what_an_apply_plans_from_is_asked_for_when_it_has_the_lock_and_not_before() -> None:
    place = promotion(3)
    seen: list[object] = []

    @contextmanager
    def ahead() -> Generator[Expect]:
        seen.append("begun")
        yield lambda names: seen.append(sorted(names))
        seen.append(f"{place.registry.reads} read")

    class Noting(FakeLock):
        def acquire(self, timeout: float, waiting: WaitReport) -> FakeLease:
            seen.append("locked")
            return super().acquire(timeout, waiting)

    place.lock = Noting()
    receipt = apply(replace(place.world, ahead=ahead), ApplyRequest(), place.events.append)

    assert receipt.exit_code == ExitCode.OK
    assert seen == ["locked", "begun", ["model-0", "model-1", "model-2"], "1 read"]


def test_one_models_failure_leaves_the_others_going() -> None:
    place = promotion(3)
    place.registry.before_call = refuse(TransitionStage, "model-1")

    receipt = applied(place)

    assert statuses(receipt) == {
        "model-0": OutcomeStatus.APPLIED,
        "model-1": OutcomeStatus.FAILED,
        "model-2": OutcomeStatus.APPLIED,
    }
    assert receipt.exit_code == ExitCode.ERROR
    assert "Permission denied" in receipt.outcomes[1].message


def test_one_model_for_which_the_registry_breaks_leaves_the_others_going() -> None:
    place = promotion(3)

    def before_call(_number: int, change: Change) -> None:
        if change.model == "model-1":
            unreachable()

    place.registry.before_call = before_call

    receipt = applied(place)

    assert list(statuses(receipt).values()) == [OutcomeStatus.APPLIED, OutcomeStatus.FAILED, OutcomeStatus.APPLIED]


@pytest.mark.parametrize("fatal", range(5))
def test_whichever_call_fails_running_it_again_finishes_the_job(fatal: int) -> None:
    place = promotion()
    crowds: list[int] = []

    def before_call(number: int, change: Change) -> None:
        crowds.append(len(place.registry.model("model-0").occupants(P)))
        if number == fatal:
            unreachable()

    place.registry.before_call = before_call
    first = applied(place)
    place.registry.before_call = lambda _number, _change: None
    second = applied(place)

    assert (first.exit_code, second.exit_code) == (ExitCode.ERROR, ExitCode.OK)
    assert set(crowds) == {1}
    assert plan_of(place).changes == ()


def test_when_the_registry_is_gone_no_further_model_is_begun() -> None:
    place = promotion(3)
    place.registry.before_read = lambda number: unreachable() if number >= 3 else None

    receipt = applied(place)

    assert list(statuses(receipt).values()) == [OutcomeStatus.FAILED, OutcomeStatus.SKIPPED, OutcomeStatus.SKIPPED]
    assert "Not read back" in receipt.outcomes[0].message
    assert {change.model for change in place.registry.calls} == {"model-0"}


def test_a_blocked_model_is_told_and_the_others_go_on() -> None:
    place = promotion(2)
    place.registry.write(have({1: P}, owner=owns(P), name="model-0"))

    receipt = applied(place)

    assert statuses(receipt) == {"model-0": OutcomeStatus.BLOCKED, "model-1": OutcomeStatus.APPLIED}
    assert receipt.exit_code == ExitCode.BLOCKED
    assert "no version 2" in receipt.outcomes[0].message


def test_manifests_that_no_commit_holds_are_refused_by_name() -> None:
    place = promotion()
    place.history.dirty = ("manifests/churn.yaml",)

    with pytest.raises(ReconcilerError, match=r"manifests/churn\.yaml"):
        applied(place)

    assert place.registry.calls == []


def test_a_named_commit_is_applied_whatever_is_in_the_work_tree() -> None:
    place = promotion()
    place.history.dirty = ("manifests/churn.yaml",)

    assert applied(place, ApplyRequest(ref=SECOND)).exit_code == ExitCode.OK


def test_a_saved_plan_is_applied_if_nothing_moved() -> None:
    place = promotion()

    receipt = applied(place, ApplyRequest(reviewed=Reviewed(plan_of(place).digest, SECOND)))

    assert receipt.exit_code == ExitCode.OK


def test_a_saved_plan_is_refused_when_the_registry_moved() -> None:
    place = promotion()
    reviewed = Reviewed(plan_of(place).digest, SECOND)
    place.registry.write(have({1: P, 2: A, 3: P}, {"champion": 1}, owner=owns(P, "champion"), name="model-0"))

    with pytest.raises(StalePlanError) as stale:
        applied(place, ApplyRequest(reviewed=reviewed))

    assert stale.value.exit_code == ExitCode.STALE
    assert stale.value.plan.summary.archive == 2
    assert place.registry.calls == []


def test_a_saved_plan_is_refused_when_a_version_is_another_one_of_the_same_number() -> None:
    place = promotion()
    reviewed = Reviewed(plan_of(place).digest, SECOND)
    place.registry.write(with_version(place.registry.model("model-0"), 2, created_at=9999))

    with pytest.raises(StalePlanError):
        applied(place, ApplyRequest(reviewed=reviewed))


def test_a_saved_plan_of_another_commit_is_refused() -> None:
    place = promotion()

    with pytest.raises(StaleError, match="aaaaaaaaaaaa"):
        applied(place, ApplyRequest(reviewed=Reviewed(plan_of(place).digest, FIRST)))


def moved_before_the_writes(place: Stage, *, to: int) -> None:
    """Somebody moves Production by hand after the plan was made and before the model is read again."""

    def before_read(number: int) -> None:
        if number == to:
            place.registry.write(have({1: A, 2: S, 3: P}, {"champion": 1}, owner=owns(P, "champion"), name="model-0"))

    place.registry.before_read = before_read


def test_a_model_that_moved_since_the_plan_is_planned_anew() -> None:
    place = promotion()
    moved_before_the_writes(place, to=2)

    receipt = applied(place)

    assert only(receipt).status is OutcomeStatus.APPLIED
    assert "planned again" in notices(place.events)
    assert place.registry.model("model-0").versions[Version(3)].stage is A
    assert "Archived" in place.registry.model("model-0").versions[Version(3)].provenance


def test_a_model_that_moved_since_it_was_reviewed_is_stale() -> None:
    place = promotion()
    digest = plan_of(place).digest
    moved_before_the_writes(place, to=3)

    receipt = applied(place, ApplyRequest(reviewed=Reviewed(digest, SECOND)))

    assert only(receipt).status is OutcomeStatus.STALE
    assert receipt.exit_code == ExitCode.STALE
    assert place.registry.calls == []


def test_a_person_who_says_no_changes_nothing() -> None:
    place = promotion()

    with pytest.raises(ReconcilerError, match="Nothing was applied"):
        applied(place, ApplyRequest(confirm=lambda plan: False))

    assert place.registry.calls == []
    assert isinstance(place.events[0], Planned)


def test_a_person_who_says_yes_gets_what_was_shown_or_nothing() -> None:
    place = promotion()

    def moves_meanwhile(plan: Plan) -> bool:
        place.registry.write(have({1: P, 2: S, 3: P}, owner=owns(P, "champion"), name="model-0"))
        return True

    with pytest.raises(StalePlanError):
        applied(place, ApplyRequest(confirm=moves_meanwhile))


def test_an_older_commit_than_the_one_applied_last_is_refused() -> None:
    place = promotion()
    applied(place)
    place.registry.calls.clear()

    with pytest.raises(StaleError, match="git revert"):
        applied(replace(place, lock=FakeLock()), ApplyRequest(ref=FIRST))

    assert place.registry.calls == []


def test_an_older_commit_is_applied_by_explicit_choice() -> None:
    place = promotion()
    applied(place)

    receipt = applied(place, ApplyRequest(ref=FIRST, rewind_to=FIRST))

    assert receipt.exit_code == ExitCode.OK
    assert place.registry.model("model-0").occupants(P) == (1,)


def test_a_late_job_does_not_undo_a_revert_that_had_nothing_to_do() -> None:
    commits = {FIRST: (want({P: [1]}),), SECOND: (want({P: [2]}),), THIRD: (want({P: [1]}),)}
    place = stage(commits, have({1: P, 2: S}, owner=owns(P)))
    assert applied(place).plan.changes == ()

    with pytest.raises(StaleError):
        applied(place, ApplyRequest(ref=SECOND))

    assert place.registry.model(CHURN).occupants(P) == (1,)


@pytest.mark.parametrize(("relation", "word"), [(Relation.UNRELATED, "merge"), (Relation.UNKNOWN, "unshallow")])
def test_a_commit_that_does_not_contain_the_last_one_is_refused(relation: Relation, word: str) -> None:
    stranger = Commit("f" * 40)
    place = promotion()
    place.registry.write(have({1: P, 2: S}, owner=owns(P, commit=stranger), name="model-0"))
    place.history.strangers[stranger] = relation

    with pytest.raises(StaleError, match=word):
        applied(place)


def test_the_lock_is_released_whatever_happens() -> None:
    place = promotion()
    place.registry.before_read = unreachable

    with pytest.raises(ReconcilerError):
        applied(place)

    assert place.lock is not None
    assert place.lock.lease.released


def test_who_holds_the_lock_is_said_while_waiting() -> None:
    from reconciler.ports import Holder

    place = promotion()
    place.lock = FakeLock(holder=Holder("ci@runner", "2026-05-01T09:00:00Z", "https://ci/1"))

    applied(place)

    assert isinstance(place.events[0], LockWaiting)


def test_an_apply_without_a_lock_says_so() -> None:
    place = promotion()
    place.lock = None

    receipt = applied(place)

    assert not receipt.locked
    assert "without a lock" in notices(place.events)


def test_when_the_lock_is_lost_no_further_call_is_made() -> None:
    place = promotion(3)
    place.lock = FakeLock(FakeLease(lost_after=5))

    receipt = applied(place)

    assert receipt.exit_code == ExitCode.ERROR
    assert statuses(receipt)["model-2"] is OutcomeStatus.SKIPPED
    assert len(place.registry.calls) < 5
    assert any("lock was lost" in outcome.message for outcome in receipt.outcomes)


def two_promotions() -> Stage:
    """Two models with v1 in Production; the second commit promotes v2 of both, and the third v3."""

    def declared(version: int) -> tuple[Manifest, ...]:
        return fleet(2, lambda i: want({P: [version]}, {"champion": version}, name=f"model-{i}"))

    names = ("model-0", "model-1")
    models = [have({1: P, 2: S, 3: S}, {"champion": 1}, owner=owns(P, "champion"), name=name) for name in names]
    place = stage({FIRST: declared(1), SECOND: declared(2), THIRD: declared(3)}, *models)
    place.lock = FakeLock()
    return place


@pytest.mark.parametrize("call", range(10))
def test_a_call_that_outlives_its_lock_changes_nothing_in_the_end(call: int) -> None:
    place = two_promotions()
    lock = place.lock
    assert lock is not None
    others: list[Receipt] = []

    def cut_off(number: int, _change: Change) -> None:
        if number == call and not lock.lease.taken:
            # Somebody takes the lock over and applies the newer commit before our call arrives.
            lock.lease.taken = True
            place.registry.before_call = lambda _number, _change: None
            others.append(applied(place, ApplyRequest(ref=THIRD, parallelism=1)))

    place.registry.before_call = cut_off

    late = applied(place, ApplyRequest(ref=SECOND, parallelism=1))

    (newer,) = others
    assert newer.exit_code == ExitCode.OK
    assert late.exit_code != ExitCode.OK
    assert [place.registry.model(f"model-{i}").occupants(P) for i in range(2)] == [(3,), (3,)]
    assert [dict(place.registry.model(f"model-{i}").aliases) for i in range(2)] == [{"champion": 3}] * 2
    assert plan_of(place).changes == ()
    assert "lost and taken again" in notices(place.events)


def test_a_lock_that_cannot_be_taken_again_leaves_word_of_the_models_in_hand() -> None:
    place = two_promotions()
    lock = place.lock
    assert lock is not None

    def cut_off(number: int, _change: Change) -> None:
        if number == 1:
            lock.lease.taken = True
            lock.refuses = "The lock is held by bob."

    place.registry.before_call = cut_off

    receipt = applied(place, ApplyRequest(ref=SECOND, parallelism=1))

    assert receipt.exit_code == ExitCode.ERROR
    assert statuses(receipt) == {"model-0": OutcomeStatus.FAILED, "model-1": OutcomeStatus.SKIPPED}
    assert "the present state is not known. The lock is held by bob." in receipt.outcomes[0].message


@pytest.mark.parametrize("read", range(2, 7))
def test_whoever_took_a_lock_over_finds_what_the_dead_holders_last_call_did(read: int) -> None:
    place = two_promotions()
    assert place.lock is not None
    place.lock.lease.note = "Took over the lock of alice: it gave no sign of life."

    def lands(number: int) -> None:
        if number == read:
            live = place.registry.model("model-1")
            late = TransitionStage(live.name, Version(2), live.versions[Version(2)].stage, P, exclusive=True)
            place.registry.write(simulate(live, late))

    place.registry.before_read = lands

    receipt = applied(place, ApplyRequest(parallelism=1))

    assert [place.registry.model(f"model-{i}").occupants(P) for i in range(2)] == [(3,), (3,)]
    assert receipt.exit_code == ExitCode.OK


@pytest.mark.parametrize("done", [False, True])
def test_a_call_is_tried_again_unless_it_took_place(done: bool) -> None:
    place = promotion()
    place.registry.tries = Tries(3)
    moves: list[Change] = []

    def fail_twice(_number: int, change: Change) -> None:
        if isinstance(change, TransitionStage):
            moves.append(change)
            if done:
                place.registry.write(simulate(place.registry.model("model-0"), change))
            if len(moves) < 3:
                unreachable()

    place.registry.before_call = fail_twice

    receipt = applied(place)

    assert receipt.exit_code == ExitCode.OK
    assert len(moves) == (1 if done else 3)
    assert place.registry.model("model-0").occupants(P) == (2,)


def test_a_refusal_is_not_tried_again() -> None:
    place = promotion()
    place.registry.tries = Tries(3)
    place.registry.before_call = refuse(TransitionStage, "model-0")

    receipt = applied(place)

    assert receipt.exit_code == ExitCode.ERROR
    assert not any(is_transition(change) for change in place.registry.calls)


def test_no_call_is_tried_again_without_the_lock() -> None:
    place = promotion()
    lock = place.lock
    assert lock is not None
    place.registry.tries = Tries(3)
    tried: list[Change] = []

    def cut_off(_number: int, change: Change) -> None:
        tried.append(change)
        lock.lease.taken = True
        lock.refuses = "The lock is held by bob."
        unreachable()

    place.registry.before_call = cut_off

    receipt = applied(place)

    assert receipt.exit_code == ExitCode.ERROR
    assert len(tried) == 1


def test_an_interruption_finishes_the_model_in_hand_and_skips_the_rest() -> None:
    place = promotion(3)
    request = ApplyRequest(parallelism=1)
    place.registry.before_call = lambda number, change: request.stop.set()

    receipt = applied(place, request)

    assert list(statuses(receipt).values()) == [OutcomeStatus.APPLIED, OutcomeStatus.SKIPPED, OutcomeStatus.SKIPPED]
    assert receipt.exit_code == ExitCode.INTERRUPTED
    assert {change.model for change in place.registry.calls} == {"model-0"}


def test_many_models_at_once_need_force() -> None:
    place = promotion(12)

    with pytest.raises(BlockedError, match=r"12 of 12 .* 30%") as refused:
        applied(place)

    assert "--force" in str(refused.value)
    assert "--max-change-percent" in str(refused.value)
    assert place.registry.calls == []
    assert applied(place, ApplyRequest(options=PlanOptions(force=True))).exit_code == ExitCode.OK


def test_a_call_that_says_it_worked_and_did_not_is_found_out() -> None:
    place = promotion()
    place.registry.swallows = is_transition

    receipt = applied(place)

    assert only(receipt).status is OutcomeStatus.FAILED
    assert "does not match the manifests" in only(receipt).message


def test_a_record_that_was_not_kept_is_written_again() -> None:
    place = promotion()
    swallowed: list[Change] = []

    def first_record(change: Change) -> bool:
        if isinstance(change, RecordProvenance) and not swallowed:
            swallowed.append(change)
            return True
        return False

    place.registry.swallows = first_record

    receipt = applied(place)

    assert only(receipt).repaired
    assert all(v.provenance for v in place.registry.model("model-0").versions.values())


def test_a_version_that_was_deleted_meanwhile_needs_no_record() -> None:
    place = promotion(2)

    def incumbent_is_deleted(number: int) -> None:
        if number == 3:
            model = place.registry.model("model-0")
            kept = {n: v for n, v in model.versions.items() if n != 1}
            place.registry.write(replace(model, versions=kept))

    place.registry.before_read = incumbent_is_deleted

    receipt = applied(place)

    assert set(statuses(receipt).values()) == {OutcomeStatus.APPLIED}


def test_a_double_that_a_hand_made_meanwhile_is_repaired() -> None:
    place = promotion()

    def another_enters(number: int) -> None:
        if number == 3:
            place.registry.write(with_version(place.registry.model("model-0"), 1, stage=P))

    place.registry.before_read = another_enters

    receipt = applied(place)

    assert only(receipt).repaired
    assert place.registry.model("model-0").occupants(P) == (2,)


def three_commits() -> Stage:
    commits = {FIRST: (want({P: [1]}),), SECOND: (want({P: [2]}),), THIRD: (want({P: [3]}),)}
    place = stage(commits, have({1: P, 2: N, 3: N}, owner=owns(P)))
    place.lock = None
    return place


def test_a_newer_commit_that_got_in_between_wins() -> None:
    place = three_commits()

    def newer_enters(number: int) -> None:
        if number == 3:
            place.registry.before_read = lambda _number: None
            applied(place, ApplyRequest(ref=THIRD))
            # Both swaps at once, each having archived only what it saw: both stay.
            place.registry.write(with_version(place.registry.model(CHURN), 2, stage=P))

    place.registry.before_read = newer_enters

    receipt = applied(place, ApplyRequest(ref=SECOND))

    assert only(receipt).status is OutcomeStatus.STALE
    assert receipt.exit_code == ExitCode.STALE
    assert place.registry.model(CHURN).occupants(P) == (3,)
    assert place.registry.model(CHURN).owner == owns(P, commit=THIRD)


def test_an_older_swap_that_comes_last_is_undone_by_the_one_who_made_it() -> None:
    place = three_commits()

    def newer_is_done_before_our_first_call(number: int, change: Change) -> None:
        if number == 0:
            place.registry.before_call = lambda _number, _change: None
            assert applied(place, ApplyRequest(ref=THIRD)).exit_code == ExitCode.OK

    place.registry.before_call = newer_is_done_before_our_first_call

    receipt = applied(place, ApplyRequest(ref=SECOND))

    assert only(receipt).status is OutcomeStatus.STALE
    assert place.registry.model(CHURN).occupants(P) == (3,)
    assert place.registry.model(CHURN).owner == owns(P, commit=THIRD)


@pytest.mark.parametrize("attempt", range(20))
def test_of_two_applies_at_once_the_newer_commit_wins_and_no_double_stays(attempt: int) -> None:
    place = three_commits()
    swaps = Barrier(2, timeout=0.2)
    execute = place.registry.execute

    def atomic_but_not_isolated(change: Change) -> None:
        """As MLflow's swap: each archives what it saw, and neither saw the other."""
        if not isinstance(change, TransitionStage):
            return execute(change)
        seen = place.registry.model(CHURN)
        try:
            swaps.wait()
        except Exception:  # noqa: BLE001  # nobody else came: then it is a swap like any other
            return execute(change)
        blind = replace(change, archives=tuple(v for v in seen.occupants(P) if v != change.version), exclusive=False)
        with place.registry.lock:
            after = simulate(place.registry.models[CHURN], blind)
            for archived in blind.archives:
                after = with_version(after, archived, stage=A)
            place.registry.models[CHURN] = after
        return None

    place.registry.execute = atomic_but_not_isolated  # pyright: ignore[reportAttributeAccessIssue]  # a method in its place
    exits: dict[Commit, int] = {}

    def run(commit: Commit) -> None:
        try:
            exits[commit] = applied(place, ApplyRequest(ref=commit)).exit_code
        except StaleError as stale:
            exits[commit] = stale.exit_code

    threads = [Thread(target=run, args=(commit,)) for commit in (SECOND, THIRD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert place.registry.model(CHURN).occupants(P) == (3,)
    assert exits[THIRD] == ExitCode.OK
    assert place.registry.model(CHURN).owner == owns(P, commit=THIRD)


def test_the_record_names_the_commit_after_everything_else_is_done() -> None:
    place = promotion()

    applied(place)

    claims = [call for call in place.registry.calls if isinstance(call, Claim) and call.model == "model-0"]
    assert claims == [call for call in place.registry.calls if call.model == "model-0"][-1:]
    assert [claim.after.commit for claim in claims] == [SECOND]


def test_what_breaks_one_model_in_its_thread_costs_that_model_only() -> None:
    place = promotion(3)

    def report(event: Event) -> None:
        if isinstance(event, ChangeMade) and is_transition(event.change) and event.change.model == "model-1":
            raise RuntimeError("broken")

    receipt = apply(place.world, ApplyRequest(options=PlanOptions(force=True)), report)

    assert statuses(receipt) == {
        "model-0": OutcomeStatus.APPLIED,
        "model-1": OutcomeStatus.FAILED,
        "model-2": OutcomeStatus.APPLIED,
    }
    (broken,) = [outcome for outcome in receipt.outcomes if outcome.model == "model-1"]
    assert broken.message == "It was interrupted: RuntimeError: broken"
    assert any(map(is_transition, broken.made))


def test_a_journal_says_what_was_done_until_something_unknown_ended_the_apply() -> None:
    place, journal = promotion(3), Journal("2026-05-01T10:00:00Z", "memory://")

    def report(event: Event) -> None:
        if isinstance(event, ModelFinished) and event.outcome.model == "model-1":
            raise SystemExit(7)
        if isinstance(event, ChangeMade) and is_transition(event.change) and event.change.model == "model-2":
            raise SystemExit(7)

    with pytest.raises(SystemExit) as ended:
        apply(place.world, ApplyRequest(options=PlanOptions(force=True), parallelism=1), journal.passing_on(report))
    receipt = journal.broken_off(ended.value, "2026-05-01T10:00:07Z")

    assert receipt.exit_code == ExitCode.ERROR
    assert receipt.ending is not None
    assert receipt.ending.reason == "error"
    assert statuses(receipt) == {"model-0": OutcomeStatus.APPLIED, "model-1": OutcomeStatus.APPLIED}
    assert receipt.plan.changes


def test_a_journal_tells_of_a_model_that_is_half_done() -> None:
    place, journal = promotion(), Journal("2026-05-01T10:00:00Z", "memory://")

    def report(event: Event) -> None:
        if isinstance(event, ChangeMade) and is_transition(event.change):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as ended:
        apply(place.world, ApplyRequest(parallelism=1), journal.passing_on(report))
    receipt = journal.broken_off(ended.value, "2026-05-01T10:00:07Z")

    assert (receipt.exit_code, receipt.interrupted) == (ExitCode.INTERRUPTED, True)
    half = only(receipt)
    assert half.status is OutcomeStatus.FAILED
    assert any(map(is_transition, half.made))
    assert place.lock is not None
    assert place.lock.lease.released
