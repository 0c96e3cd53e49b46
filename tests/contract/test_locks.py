"""What both locks promise: a ref on a git remote, reached from two clones, and a file."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from reconciler.core.heads import Head
from reconciler.core.names import Commit, Ours, RepositoryId
from reconciler.core.records import Seal, SealKind
from reconciler.errors import LockError
from reconciler.git.lock import GitLock
from reconciler.git.lock import Timing as GitTiming
from reconciler.git.runner import Git
from reconciler.ports import Holder, Lease, Lock
from reconciler.registry.file_lock import FileLock
from reconciler.registry.file_lock import Timing as FileTiming
from tests.contract.test_git_lock import REF, FakeTime, SetClock, clone_of, git

FIRST, SECOND = Commit("1" * 40), Commit("2" * 40)
SIGNED = Head(SECOND, "2026-01-01T12:00:00Z", seal=Seal(SealKind.SSH, "SHA256:key", "-----BEGIN"))

Make: TypeAlias = Callable[..., GitLock | FileLock]


@pytest.fixture(params=["git", "file"])
def lock_of(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the lock of somebody; that of anybody but alice is reached from another clone."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    remote = tmp_path / "remote.git"
    if request.param == "git":
        git(tmp_path, "init", "--quiet", "--template=", "--bare", "--initial-branch=main", str(remote))

    def make(
        who: str = "alice", *, key: str = "models", formerly: str = "", fake: FakeTime | None = None
    ) -> GitLock | FileLock:
        ours = Ours(RepositoryId(key), (RepositoryId(formerly),) if formerly else ())
        holder, fake = Holder(who, "", "job 7"), fake or FakeTime()
        clock, sleep, monotonic = SetClock(), fake.sleep, fake.monotonic
        if request.param == "file":
            path = tmp_path / "mlflow.db.lock"
            return FileLock(path, holder, ours, clock=clock, timing=FileTiming(2.5, sleep, monotonic))
        place = tmp_path / ("clone" if who == "alice" else "other")
        repository = Git((place if place.exists() else clone_of(remote, place)) / ".git", place)
        timing = GitTiming(heartbeat=3600, poll=2.5, sleep=sleep, monotonic=monotonic)
        return GitLock(repository, "origin", REF, holder, ours, clock=clock, timing=timing)

    return make


def nobody_told(_holder: Holder, _seconds: float) -> None: ...


def now_or_never(lock: Lock) -> Lease:
    return lock.acquire(0, nobody_told)


def test_one_holds_it_until_it_is_released(lock_of: Make) -> None:
    lease = now_or_never(lock_of())
    with pytest.raises(LockError, match="alice"):
        now_or_never(lock_of("bob"))
    held = lease.held()
    lease.release()

    assert (held, lease.held(), lease.note) == (True, False, "")
    now_or_never(lock_of("bob")).release()


def test_who_waits_is_told_for_whom_at_once_and_then_every_five_seconds(lock_of: Make) -> None:
    lease = now_or_never(lock_of())
    told: list[tuple[Holder, float]] = []
    fake = FakeTime()

    with pytest.raises(LockError) as refusal:
        lock_of("bob", fake=fake).acquire(12, lambda holder, seconds: told.append((holder, seconds)))

    alice = Holder("alice", "2026-01-01T12:00:00Z", "job 7")
    assert told == [(alice, 0), (alice, 5), (alice, 10)]
    assert fake.seconds == 12
    for part in (alice.who, alice.since, alice.run, "12 s", "--lock-timeout", "--no-lock"):
        assert part in str(refusal.value)
    assert any(place in str(refusal.value) for place in (f"{REF} on origin", "mlflow.db.lock"))
    lease.release()


def test_who_waits_gets_the_lock_when_it_is_released(lock_of: Make) -> None:
    first = now_or_never(lock_of())

    second = lock_of("bob", fake=FakeTime(meanwhile=[first.release])).acquire(5, nobody_told)

    assert second.held()
    assert second.note == ""
    second.release()


def test_a_waiter_that_is_interrupted_does_not_keep_the_lock(lock_of: Make) -> None:
    first = now_or_never(lock_of())

    def interrupt(_holder: Holder, _seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lock_of("bob").acquire(60, interrupt)
    first.release()

    now_or_never(lock_of("carol")).release()


def test_a_lock_is_held_by_the_process_and_not_by_the_thread_that_took_it(lock_of: Make) -> None:
    lease = now_or_never(lock_of())

    with ThreadPoolExecutor(1) as elsewhere:
        held = elsewhere.submit(lease.held).result()
        elsewhere.submit(lease.release).result()

    assert held
    now_or_never(lock_of("bob")).release()


def test_releasing_twice_does_not_release_the_lock_of_the_next(lock_of: Make) -> None:
    first = now_or_never(lock_of())
    first.release()
    second = now_or_never(lock_of("bob"))

    first.release()

    assert second.held()
    second.release()


def test_the_last_commit_is_known_to_the_next_holder_of_the_same_repository_alone(lock_of: Make) -> None:
    first = now_or_never(lock_of(key="models"))
    first.mark(FIRST)
    first.release()
    second = now_or_never(lock_of("bob", key="elsewhere"))
    second_knew = second.applied
    second.mark(SECOND)
    second.release()
    third = now_or_never(lock_of("bob", key="models"))

    assert first.applied == FIRST
    assert second_knew is None
    assert third.applied == FIRST
    third.release()


def test_what_applies_remember_of_the_branch_is_there_for_the_next(lock_of: Make) -> None:
    for head in (Head(FIRST, began=False), Head(SECOND), SIGNED):
        lease = now_or_never(lock_of(key="models"))
        lease.mark(head.commit, [head])
        lease.release()

    assert lock_of("bob", key="models").heads() == (Head(FIRST, began=False), SIGNED)
    assert lock_of("bob", key="elsewhere").heads() == ()


def test_what_was_applied_under_a_former_name_is_remembered(lock_of: Make) -> None:
    lease = now_or_never(lock_of(key="github.com/Acme/old#m"))
    lease.mark(FIRST, [Head(FIRST)])
    lease.release()
    lock = lock_of(key="github.com/acme/models#m", formerly="github.com/acme/old")

    lease = now_or_never(lock)
    before = lease.applied
    lease.mark(SECOND, [Head(SECOND)])
    lease.release()

    assert (before, lease.applied) == (FIRST, SECOND)
    assert {head.commit for head in lock.heads()} == {FIRST, SECOND}
    assert lock_of(key="github.com/acme/models#m").heads() == (Head(SECOND),)
