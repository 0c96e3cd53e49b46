"""Our beliefs about git as a lock: real clones, real bare repositories, real pushes, one holder."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

import reconciler
from reconciler.core.heads import Head
from reconciler.core.limits import HEADS, LOCK_BYTES
from reconciler.core.names import Commit, Ours, RepositoryId
from reconciler.core.records import Seal, SealKind
from reconciler.errors import LockError
from reconciler.git.lock import GitLock, Timing, lock_ref
from reconciler.git.runner import Git
from reconciler.ports import Clock, Holder, Lease

REF = lock_ref("https://mlflow.example.org")
RUN = "https://github.com/acme/models/actions/runs/7"
NEVER = 3600.0
FIRST, SECOND = Commit("1" * 40), Commit("2" * 40)


@dataclass
class SetClock:
    text: str = "2026-01-01T12:00:00Z"

    def now(self) -> str:
        return self.text


@dataclass
class FakeTime:
    """Time that passes when somebody sleeps. `meanwhile` is what else happens then."""

    seconds: float = 0.0
    meanwhile: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for happen in self.meanwhile:
            happen()


def git(where: Path, *arguments: str, stdin: str = "") -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=where, input=stdin, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def lock_of(
    repo: Path,
    who: str = "alice@box pid 1",
    *,
    key: str = "models",
    run: str = RUN,
    remote: str = "origin",
    clock: Clock | None = None,
    fake: FakeTime | None = None,
    ttl: float = 45.0,
    attempt: float = 0.0,
    heartbeat: float = NEVER,
    poll: float = 0.05,
    git_timeout: float = 30.0,
) -> GitLock:
    times: dict[str, Any] = {"sleep": fake.sleep, "monotonic": fake.monotonic} if fake else {}
    return GitLock(
        Git(repo / ".git" if (repo / ".git").exists() else repo, repo),
        remote,
        REF,
        Holder(who, "", run),
        Ours(RepositoryId(key)),
        clock=clock or SetClock(),
        attempt=attempt,
        timing=Timing(ttl, heartbeat, poll, git_timeout, **times),
    )


def nobody_told(_holder: Holder, _seconds: float) -> None: ...


def now_or_never(lock: GitLock) -> Lease:
    return lock.acquire(0, nobody_told)


def steal(clone: Path) -> None:
    """Take the lock from a live holder, as whoever waits by a watch that runs much too fast would."""
    lock_of(clone, "mallory", fake=FakeTime(), poll=50).acquire(10_000, nobody_told)


def value_on(remote: Path) -> str:
    return git(remote, "for-each-ref", "--format=%(objectname)", REF)


def record_on(remote: Path) -> dict[str, Any]:
    return json.loads(git(remote, "cat-file", "commit", REF).partition("\n\n")[2])


def eventually(claim: Callable[[], object], within: float = 60.0) -> bool:
    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def hook(repo: Path, name: str, script: str) -> None:
    git_dir = repo / ".git" if (repo / ".git").is_dir() else repo
    path = git_dir / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bare = tmp_path_factory.mktemp("pristine") / "remote.git"
    git(bare.parent, "init", "--quiet", "--template=", "--bare", "--shared", "--initial-branch=main", str(bare))
    commit = ""
    for text in ("one", "two", "three"):
        parent = ["-p", commit] if commit else []
        commit = git(bare, "commit-tree", git(bare, "mktree"), "-m", text, *parent)
    git(bare, "update-ref", "refs/heads/main", commit)
    return bare


@pytest.fixture
def remote(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "remote.git")


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return clone_of(remote, tmp_path / "clone")


def clone_of(remote: Path, place: Path, *options: str) -> Path:
    git(remote.parent, "clone", "--quiet", "--template=", *options, remote.as_uri(), str(place))
    return place


@pytest.fixture
def other(remote: Path, tmp_path: Path) -> Path:
    return clone_of(remote, tmp_path / "other")


def test_a_lock_that_is_taken_marked_and_released_leaves_a_record_of_it(remote: Path, clone: Path) -> None:
    lease = now_or_never(lock_of(clone))
    held, while_held = lease.held(), record_on(remote)
    lease.mark(FIRST)
    lease.release()

    assert held
    assert not lease.held()
    assert lease.note == ""
    assert (
        while_held.items()
        >= {
            "format": 1,
            "state": "held",
            "who": "alice@box pid 1",
            "since": "2026-01-01T12:00:00Z",
            "run": RUN,
            "expires": "2026-01-01T12:00:45Z",
            "token": 1,
            "applied": {},
        }.items()
    )
    assert record_on(remote).items() >= {"state": "free", "token": 1, "applied": {"models": FIRST}}.items()
    assert git(remote, "log", "--format=%an %P|%T", REF) == f"reconciler |{git(remote, 'mktree')}"


def test_no_increment_is_lost_among_contenders(remote: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    contenders, turns = 4, 3

    def contend(number: int) -> None:
        lock = lock_of(clone_of(remote, tmp_path / f"clone{number}"), f"contender {number}", ttl=300)
        for _ in range(turns):
            lease = lock.acquire(200, nobody_told)
            count = int(counter.read_text())
            time.sleep(0.02)
            counter.write_text(str(count + 1))
            lease.release()

    with ThreadPoolExecutor(contenders) as pool:
        list(pool.map(contend, range(contenders)))

    assert int(counter.read_text()) == contenders * turns
    assert record_on(remote)["token"] == contenders * turns


@pytest.mark.parametrize("dead", [False, True], ids=["free", "left by the dead"])
def test_exactly_one_of_many_that_take_a_free_lock_at_once_gets_it(remote: Path, tmp_path: Path, dead: bool) -> None:
    if dead:
        now_or_never(lock_of(clone_of(remote, tmp_path / "dead"), "dead"))
    contenders = 6
    clones = [clone_of(remote, tmp_path / f"clone{number}") for number in range(contenders)]
    together = Barrier(contenders)

    def contend(clone: Path) -> Lease | str:
        fake = FakeTime()
        lock = lock_of(clone, clone.name, ttl=300, fake=fake, poll=300)

        def all_have_looked() -> None:
            # Who came later would find the winner's record, and wait until that one is dead, too.
            fake.meanwhile.clear()
            together.wait(60)

        if dead:
            fake.meanwhile.append(all_have_looked)
        together.wait(60)
        try:
            return lock.acquire(300 if dead else 0, nobody_told)
        except LockError as error:
            return str(error)

    with ThreadPoolExecutor(contenders) as pool:
        outcomes = list(pool.map(contend, clones))

    winners = [clone.name for clone, outcome in zip(clones, outcomes, strict=True) if not isinstance(outcome, str)]
    assert len(winners) == 1
    assert record_on(remote)["who"] == winners[0]
    assert all(f"held by {winners[0]}" in outcome for outcome in outcomes if isinstance(outcome, str))


def test_two_that_write_the_same_words_at_once_do_not_both_get_the_lock(remote: Path, clone: Path, other: Path) -> None:
    faster: list[Lease] = []

    class Overtaken(SetClock):
        """Asked for the time after the lock was seen to be free, and before it is taken."""

        def now(self) -> str:
            if not faster:
                faster.append(now_or_never(lock_of(other, "the same")))
            return super().now()

    with pytest.raises(LockError, match="held by the same"):
        now_or_never(lock_of(clone, "the same", clock=Overtaken()))

    assert faster[0].held()
    faster[0].release()


def test_what_an_older_version_remembered_is_read_as_unsigned_and_what_is_damaged_is_forgotten(
    remote: Path, clone: Path
) -> None:
    damaged = ["main", 7, None, {"commit": FIRST, "began": 1}, {"commit": FIRST, "signature": "none"}, {}]
    heads = [FIRST, *damaged, {"commit": SECOND}]
    git(remote, "update-ref", REF, commit_with(remote, OURS | {"heads": {"models": heads, "odd": 7}}))

    assert lock_of(clone).heads() == (Head(FIRST), Head(SECOND))


def test_the_record_stays_as_short_as_one_must_be_however_many_repositories_share_the_lock(
    remote: Path, clone: Path
) -> None:
    seal = Seal(SealKind.SSH, "SHA256:" + "k" * 43, "s" * 1600)
    lease = now_or_never(lock_of(clone))
    for number in range(3 * HEADS):
        head = Head(Commit(f"{number:040x}"), "2026-01-01T12:00:00Z", seal=seal)
        lease.mark(head.commit, [head])
    lease.release()
    for repository in ("second", "third"):
        lease = now_or_never(lock_of(clone, key=repository))
        for number in range(HEADS):
            lease.mark(FIRST, [Head(Commit(f"{number:040x}"), seal=seal)])
        lease.release()

    assert int(git(remote, "cat-file", "-s", REF)) < LOCK_BYTES
    for repository in ("models", "second", "third"):
        known = lock_of(clone, key=repository).heads()
        assert 10 < len(known) <= HEADS
    assert lock_of(clone, key="models").heads()[-1].commit == Commit(f"{3 * HEADS - 1:040x}")


def test_a_mark_is_carried_by_the_next_heartbeat(remote: Path, clone: Path) -> None:
    lease = now_or_never(lock_of(clone, heartbeat=0.05))
    lease.mark(FIRST)

    assert eventually(lambda: record_on(remote)["applied"] == {"models": FIRST})
    assert record_on(remote)["state"] == "held"
    lease.release()


def test_releasing_twice_does_nothing_more(remote: Path, clone: Path) -> None:
    lease = now_or_never(lock_of(clone))
    lease.release()
    after_first = value_on(remote)

    lease.release()

    assert value_on(remote) == after_first


def test_heartbeats_keep_the_lock_of_a_live_holder_beyond_its_time_to_live(
    remote: Path, clone: Path, other: Path
) -> None:
    lease = now_or_never(lock_of(clone, heartbeat=0.05))
    seen = [value_on(remote)]

    def until_it_beats() -> None:
        assert eventually(lambda: value_on(remote) != seen[-1])
        seen.append(value_on(remote))

    waiter = lock_of(other, "bob", fake=FakeTime(meanwhile=[until_it_beats]), poll=40)

    with pytest.raises(LockError, match="alice"):
        waiter.acquire(300, nobody_told)

    assert lease.held()
    lease.release()


HOLD = """
import sys, time
from pathlib import Path
from reconciler.git.lock import GitLock, Timing
from reconciler.git.runner import git_at
from reconciler.core.heads import Head
from reconciler.core.names import Ours
from reconciler.ports import Holder

class Clock:
    def now(self): return "2026-01-01T12:00:00Z"

repo, ref, commit = sys.argv[1:]
holder = Holder("the deceased", "", "run 13")
lock = GitLock(git_at(Path(repo)), "origin", ref, holder, Ours("models"), clock=Clock(), timing=Timing(3, 0.3))
lease = lock.acquire(60, lambda holder, seconds: None)
lease.mark(commit, [Head(commit)])
time.sleep(600)
"""


def test_the_lock_of_a_holder_that_was_killed_is_taken_over(remote: Path, clone: Path, other: Path) -> None:
    root = str(Path(reconciler.__file__).parent.parent)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(clone), REF, FIRST], env={**os.environ, "PYTHONPATH": root}
    )
    try:
        assert eventually(lambda: value_on(remote) and record_on(remote)["applied"], within=120)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()

    lease = lock_of(other, "the heir", ttl=3).acquire(60, nobody_told)

    assert lease.applied == FIRST
    assert "the deceased, since 2026-01-01T12:00:00Z, run run 13" in lease.note
    assert "no sign of life for 3 s" in lease.note
    assert record_on(remote)["token"] == 2
    lease.release()


def test_a_silent_holder_is_believed_to_live_for_its_whole_time(clone: Path, other: Path) -> None:
    now_or_never(lock_of(clone, ttl=45))
    waiter = lock_of(other, "bob", fake=FakeTime(), poll=11)

    with pytest.raises(LockError, match="45 s without a sign of life"):
        waiter.acquire(44, nobody_told)

    assert waiter.acquire(60, nobody_told).note.endswith("it gave no sign of life for 45 s.")


def test_a_holder_with_a_longer_time_to_live_is_given_it(clone: Path, other: Path) -> None:
    now_or_never(lock_of(clone, ttl=100))

    with pytest.raises(LockError, match="alice"):
        lock_of(other, "bob", ttl=45, fake=FakeTime(), poll=33).acquire(99, nobody_told)


def test_who_writes_into_the_lock_that_it_is_held_forever_holds_it_for_an_hour(remote: Path, clone: Path) -> None:
    git(remote, "update-ref", REF, commit_with(remote, OURS | {"state": "held", "ttl": 1e300}))
    waiter = lock_of(clone, fake=FakeTime(), poll=600)

    with pytest.raises(LockError, match=r"after 3600 s without .* delete it \(`git push origin :refs/reconciler"):
        waiter.acquire(3000, nobody_told)
    assert waiter.acquire(3601, nobody_told).held()


@pytest.mark.parametrize("year", [1970, 2025, 2026, 2027, 9999])
def test_a_clock_that_is_wrong_makes_nobody_wait_less(clone: Path, other: Path, year: int) -> None:
    now_or_never(lock_of(clone))
    waiter = lock_of(other, "bob", clock=SetClock(f"{year}-01-01T13:00:00Z"), fake=FakeTime(), poll=22)

    with pytest.raises(LockError, match="alice"):
        waiter.acquire(44, nobody_told)

    assert waiter.acquire(60, nobody_told).note.endswith("it gave no sign of life for 45 s.")


def test_a_holder_makes_no_call_that_may_last_until_others_take_the_lock(clone: Path, other: Path) -> None:
    fake = FakeTime()
    lease = now_or_never(lock_of(clone, fake=fake, ttl=45, attempt=60))

    fake.seconds = 40.0
    begins_a_call = lease.held()
    fake.seconds = 41.0

    assert begins_a_call
    assert not lease.held()
    with pytest.raises(LockError, match="105 s without a sign of life"):
        lock_of(other, "bob", fake=FakeTime(), poll=26).acquire(104, nobody_told)


def test_a_holder_that_cannot_renew_its_lock_gives_up_before_others_may_take_it(clone: Path) -> None:
    fake = FakeTime()
    lease = now_or_never(lock_of(clone, fake=fake, ttl=45))

    held = {seconds: (setattr(fake, "seconds", seconds), lease.held())[1] for seconds in (0.0, 40.0, 41.0, 45.0, 500.0)}

    assert held == {0.0: True, 40.0: True, 41.0: False, 45.0: False, 500.0: False}


def test_the_time_to_live_counts_from_the_start_of_a_push_and_not_from_its_end(remote: Path, clone: Path) -> None:
    arrived = remote / "arrived"
    hook(remote, "pre-receive", f"touch '{arrived}'")
    slow = FakeTime()
    slow.monotonic = lambda: 44.0 if arrived.exists() else 0.0

    lease = now_or_never(lock_of(clone, fake=slow, ttl=45))

    assert arrived.exists()
    assert not lease.held()


def test_the_time_to_live_counts_from_the_start_of_a_heartbeat_and_not_from_its_end(remote: Path, clone: Path) -> None:
    arrived, next_one = remote / "arrived", remote / "next"
    slow = FakeTime()
    slow.monotonic = lambda: 44.0 if arrived.exists() else 0.0
    lease = now_or_never(lock_of(clone, fake=slow, ttl=45, heartbeat=0.05))

    hook(remote, "pre-receive", f"[ ! -e '{arrived}' ] || {{ touch '{next_one}'; exit 1; }}; touch '{arrived}'")

    assert eventually(next_one.exists)
    assert not lease.held()
    (remote / "hooks" / "pre-receive").unlink()
    lease.release()


def test_a_lock_is_held_again_once_an_unreachable_remote_is_back_and_nobody_took_it(remote: Path, clone: Path) -> None:
    fake, away = FakeTime(), remote.with_name("away.git")
    lease = now_or_never(lock_of(clone, fake=fake, heartbeat=0.05))

    remote.rename(away)
    fake.seconds += 45
    lost = not lease.held()
    away.rename(remote)

    assert lost
    assert eventually(lease.held)
    lease.release()
    assert record_on(remote)["state"] == "free"


def test_a_holder_whose_lock_was_taken_knows_and_says_so(remote: Path, clone: Path, other: Path) -> None:
    lease = now_or_never(lock_of(clone, heartbeat=1.0))

    steal(other)

    assert eventually(lambda: not lease.held())
    with pytest.raises(LockError, match=r"since 2026-01-01T12:00:00Z was lost to mallory.*plan again"):
        lease.release()
    lease.release()
    assert record_on(remote)["who"] == "mallory"
    assert record_on(remote)["state"] == "held"


def test_a_holder_that_finds_its_lock_taken_only_when_releasing_it_says_so(
    remote: Path, clone: Path, other: Path
) -> None:
    lease = now_or_never(lock_of(clone))
    steal(other)

    with pytest.raises(LockError, match="lost to mallory"):
        lease.release()

    assert not lease.held()
    assert record_on(remote)["who"] == "mallory"


def test_a_lock_that_somebody_deleted_is_lost(remote: Path, clone: Path) -> None:
    lease = now_or_never(lock_of(clone))
    git(remote, "update-ref", "-d", REF)

    with pytest.raises(LockError, match="deleted it"):
        lease.release()

    assert value_on(remote) == ""


def test_a_heartbeat_that_hung_but_arrived_does_not_look_like_a_thief(remote: Path, clone: Path) -> None:
    lease = now_or_never(lock_of(clone, ttl=9, heartbeat=0.05))
    first = value_on(remote)
    hanging = remote / "hooks" / "post-receive"
    hook(remote, "post-receive", 'rm "$0"; exec sleep 30')

    assert eventually(lambda: not hanging.exists())
    assert eventually(lambda: value_on(remote) != first)
    lease.release()

    assert record_on(remote).items() >= {"state": "free", "who": "alice@box pid 1"}.items()


OURS: dict[str, Any] = {
    "format": 1,
    "state": "free",
    "who": "alice",
    "since": "",
    "run": "",
    "expires": "",
    "ttl": 45,
    "token": 1,
    "applied": {},
}


def commit_of_people(remote: Path) -> str:
    return git(remote, "rev-parse", "main")


def tag_with_the_words_of_a_record(remote: Path) -> str:
    git(remote, "tag", "-a", "-m", json.dumps(OURS), "v1", "main")
    return git(remote, "rev-parse", "v1")


def file_with_the_words_of_a_record(remote: Path) -> str:
    return git(remote, "hash-object", "-w", "--stdin", stdin=f"\n\n{json.dumps(OURS)}")


def commit_with(remote: Path, words: object) -> str:
    return git(remote, "commit-tree", git(remote, "mktree"), "-m", json.dumps(words))


def record_of_a_newer_version(remote: Path) -> str:
    return commit_with(remote, OURS | {"format": 2})


def record_that_counts_in_words(remote: Path) -> str:
    return commit_with(remote, OURS | {"token": "one"})


def record_in_an_unknown_state(remote: Path) -> str:
    return commit_with(remote, OURS | {"state": "shared"})


def record_that_lives_forever(remote: Path) -> str:
    return commit_with(remote, OURS | {"ttl": float("inf")})


def record_that_lives_for_no_number(remote: Path) -> str:
    return commit_with(remote, OURS | {"ttl": float("nan")})


def record_that_died_before_it_was_born(remote: Path) -> str:
    return commit_with(remote, OURS | {"ttl": -1})


def record_that_is_too_long(remote: Path) -> str:
    message = json.dumps(OURS | {"heads": {"models": [FIRST] * (LOCK_BYTES // 40)}})
    return git(remote, "commit-tree", git(remote, "mktree"), "-F", "-", stdin=message)


def list_of_people(remote: Path) -> str:
    return commit_with(remote, [1])


def test_the_words_of_a_record_are_a_record_where_they_should_be(remote: Path, clone: Path) -> None:
    git(remote, "update-ref", REF, commit_with(remote, OURS))

    now_or_never(lock_of(clone)).release()

    assert record_on(remote)["token"] == 2


@pytest.mark.parametrize(
    "make",
    [
        commit_of_people,
        tag_with_the_words_of_a_record,
        file_with_the_words_of_a_record,
        record_of_a_newer_version,
        record_that_counts_in_words,
        record_in_an_unknown_state,
        record_that_lives_forever,
        record_that_lives_for_no_number,
        record_that_died_before_it_was_born,
        record_that_is_too_long,
        list_of_people,
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(remote: Path, clone: Path, make: Callable[[Path], str]) -> None:
    theirs = make(remote)
    git(remote, "update-ref", REF, theirs)

    with pytest.raises(LockError) as refusal:
        lock_of(clone, fake=FakeTime()).acquire(300, nobody_told)

    assert REF in str(refusal.value)
    assert f"git push origin :{REF}" in str(refusal.value)
    assert value_on(remote) == theirs


def test_a_remote_that_refuses_the_push_is_quoted_with_what_to_do(remote: Path, clone: Path) -> None:
    hook(remote, "pre-receive", "echo You may only read. >&2; exit 1")

    with pytest.raises(LockError) as refusal:
        lock_of(clone, fake=FakeTime()).acquire(60, nobody_told)

    for part in ("git push to origin failed", "You may only read.", "contents: write", "--no-lock"):
        assert part in str(refusal.value)


def test_a_push_that_is_refused_once_is_tried_again(remote: Path, clone: Path) -> None:
    hook(remote, "pre-receive", 'rm "$0"; echo cannot lock ref >&2; exit 1')

    lease = lock_of(clone, fake=FakeTime()).acquire(0, nobody_told)

    assert lease.held()
    lease.release()


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_asks_for_a_password_or_forbids_is_an_error(clone: Path, status: int) -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="models"')
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # the name is theirs

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            with pytest.raises(LockError, match=r"git ls-remote with .* failed: fatal: .*contents: write"):
                now_or_never(lock_of(clone, remote=f"http://127.0.0.1:{server.server_port}/models.git"))
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "address", ["nowhere", "/no/such/repository.git", "git://127.0.0.1:1/models.git", "http://127.0.0.1:1/models.git"]
)
def test_a_remote_that_is_not_there_is_an_error_that_says_so(clone: Path, address: str) -> None:
    with pytest.raises(LockError) as refusal:
        lock_of(clone, remote=address).acquire(60, nobody_told)

    for part in (f"git ls-remote with {address} failed: ", "fatal: ", "contents: write", "--no-lock"):
        assert part in str(refusal.value)


def test_a_remote_that_never_answers_is_not_waited_for(clone: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"git://127.0.0.1:{silent.getsockname()[1]}/models.git"

        with pytest.raises(LockError, match=r"did not finish within 1 s.*--no-lock"):
            lock_of(clone, remote=address, git_timeout=1).acquire(60, nobody_told)


def test_a_remote_that_fails_while_we_wait_is_asked_again(remote: Path, clone: Path, other: Path) -> None:
    lease, away, fake = now_or_never(lock_of(clone)), remote.with_name("away.git"), FakeTime()
    happenings = iter([lambda: remote.rename(away), bool, lambda: away.rename(remote), lease.release])

    def next_happens() -> None:
        next(happenings)()

    fake.meanwhile.append(next_happens)

    taken = lock_of(other, "bob", fake=fake, poll=1).acquire(30, nobody_told)

    assert taken.held()
    assert fake.seconds == 4


def test_a_remote_that_went_away_for_good_while_we_wait_is_an_error(remote: Path, clone: Path, other: Path) -> None:
    now_or_never(lock_of(clone))
    fake = FakeTime(meanwhile=[lambda: remote.exists() and shutil.rmtree(remote)])

    with pytest.raises(LockError, match="git ls-remote with origin failed"):
        lock_of(other, fake=fake, poll=1).acquire(40, nobody_told)


def test_a_folder_without_a_repository_is_an_error(tmp_path: Path, remote: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LockError, match="git"):
            now_or_never(lock_of(folder, remote=str(remote)))


@pytest.mark.parametrize("named", [False, True], ids=["URL", "name"])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_passwords_are_not_shown(clone: Path, named: bool, silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if silent else 1
        address = f"http://alice:s3cret@127.0.0.1:{port}/models.git"
        git(clone, "remote", "add", "backup", address)

        with pytest.raises(LockError) as refusal:
            lock_of(clone, remote="backup" if named else address, git_timeout=1).acquire(60, nobody_told)

    assert "s3cret" not in "".join(traceback.format_exception(refusal.value))


def test_passwords_that_the_remote_repeats_are_not_shown(remote: Path, clone: Path) -> None:
    hook(remote, "pre-receive", "echo Not for https://bot:s3cret@example.org/models. >&2; exit 1")

    with pytest.raises(LockError, match=r"Not for https://example\.org/models\.") as refusal:
        lock_of(clone, fake=FakeTime()).acquire(60, nobody_told)

    assert "s3cret" not in str(refusal.value)


def state_of(clone: Path) -> dict[str, object]:
    git_dir = Path(git(clone, "rev-parse", "--absolute-git-dir"))
    files = ("FETCH_HEAD", "HEAD", "config", "packed-refs", "shallow")
    contents = {name: (git_dir / name).read_text() if (git_dir / name).exists() else None for name in files}
    return {
        **contents,
        "refs": git(clone, "for-each-ref"),
        "shallow?": git(clone, "rev-parse", "--is-shallow-repository"),
        "history": git(clone, "log", "--format=%H", "main"),
    }


@pytest.mark.parametrize("options", [(), ("--depth=1",), ("--mirror",), ("--bare", "--filter=blob:none")], ids=str)
def test_the_clone_of_the_user_is_left_as_it_was(
    remote: Path, other: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    git(remote, "config", "uploadpack.allowFilter", "true")
    clone = clone_of(remote, tmp_path / "clone", *options)
    before = state_of(clone)
    theirs = now_or_never(lock_of(other))

    ours = lock_of(clone, fake=FakeTime(meanwhile=[theirs.release]), heartbeat=0.05).acquire(10, nobody_told)
    value = value_on(remote)
    assert eventually(lambda: value_on(remote) != value)
    ours.mark(FIRST)
    ours.release()

    assert state_of(clone) == before
    assert record_on(remote).items() >= {"state": "free", "token": 2}.items()


def test_settings_and_hooks_of_the_user_do_not_matter(
    remote: Path, clone: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "commit.gpgSign": "true",
        "core.logAllRefUpdates": "always",
        "fetch.prune": "true",
        "fetch.pruneTags": "true",
        "gpg.program": "false",
        "i18n.commitEncoding": "latin1",
        "push.default": "nothing",
        "push.followTags": "true",
        "push.gpgSign": "true",
        "push.recurseSubmodules": "check",
        "remote.origin.fetch": "+refs/*:refs/*",
        "user.useConfigOnly": "true",
    }.items():
        git(clone, "config", name, value)
    for name in ("pre-push", "reference-transaction", "post-checkout"):
        hook(clone, name, "exit 1")
    for name in ("receive.denyNonFastForwards", "receive.denyDeletes", "receive.fsckObjects"):
        git(remote, "config", name, "true")
    theirs = now_or_never(lock_of(other))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    lock = lock_of(clone, "Zoë", fake=FakeTime(meanwhile=[theirs.release]))
    lease = lock.acquire(10, nobody_told)
    lease.release()

    monkeypatch.delenv("GIT_DIR")
    assert record_on(remote).items() >= {"who": "Zoë", "state": "free"}.items()


def test_the_lock_is_where_pushes_go_and_not_where_fetches_come_from(remote: Path, clone: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--mirror", str(remote), str(mirror))
    git(clone, "remote", "set-url", "origin", str(mirror))
    git(clone, "remote", "set-url", "--push", "origin", str(remote))

    now_or_never(lock_of(clone)).release()
    now_or_never(lock_of(clone)).release()

    assert record_on(remote)["token"] == 2
    assert value_on(mirror) == ""


@pytest.mark.parametrize("existing", [False, True], ids=["a new lock", "an old lock"])
def test_a_branch_that_git_could_mean_in_place_of_the_lock_is_not_overwritten(
    remote: Path, clone: Path, existing: bool
) -> None:
    if existing:
        now_or_never(lock_of(clone)).release()
    branch = f"refs/heads/{REF}"
    git(remote, "update-ref", branch, "main")

    with pytest.raises(LockError, match="git push to origin failed"):
        lock_of(clone, fake=FakeTime()).acquire(60, nobody_told)

    assert git(remote, "rev-parse", branch) == git(remote, "rev-parse", "main")


def test_a_repository_with_sha256_names_has_a_lock_too(tmp_path: Path) -> None:
    for place, options in ((tmp_path / "r.git", ["--bare"]), (tmp_path / "clone", [])):
        git(tmp_path, "init", "--quiet", "--object-format=sha256", *options, str(place))

    for _ in range(2):
        now_or_never(lock_of(tmp_path / "clone", remote=str(tmp_path / "r.git"))).release()

    assert len(value_on(tmp_path / "r.git")) == 64
    assert record_on(tmp_path / "r.git")["token"] == 2


def test_words_from_the_record_cannot_paint_the_terminal(clone: Path, other: Path) -> None:
    now_or_never(lock_of(clone, "\x1b[31mred\u202e" + "x" * 5000))

    with pytest.raises(LockError) as refusal:
        now_or_never(lock_of(other))

    assert re.search(r"held by \[31mred x+…, since", str(refusal.value))
    assert str(refusal.value).isprintable()


def test_the_lock_of_a_registry_has_one_name_for_everybody() -> None:
    plain = lock_ref("https://mlflow.example.org/team")

    same = [
        "https://alice:pa@ss@mlflow.example.org/team",
        "https://bob@MLflow.example.org/team/",
        "HTTPS://mlflow.example.org/team",
    ]

    assert re.fullmatch(r"refs/reconciler/locks/[0-9a-f]{16}", plain)
    assert {lock_ref(uri) for uri in same} == {plain}


def test_registries_have_locks_of_their_own() -> None:
    uris = ["https://a", "http://a", "https://a/b", "https://a/B", "sqlite:///a.db", "sqlite:///b.db", "databricks"]

    assert len({lock_ref(uri) for uri in uris}) == len(uris)
