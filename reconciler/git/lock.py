"""
One writer at a time, by a ref on the git remote: whoever applies from that repository can reach it, on any machine.

The ref points to a commit without parents or files, whose message is the record: who holds the lock, or held it last.
Every write is a push that succeeds only if the ref still has the value that we saw. The holder renews its record all
the time; who has watched the same record for its whole time to live knows that the holder is dead. No two machines'
clocks are compared: one that is wrong can make nobody wait less.
"""

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from threading import Event, Lock, Thread
from typing import cast

from reconciler.core.heads import Head
from reconciler.core.limits import LOCK_BYTES, LOCK_SECONDS
from reconciler.core.moments import after
from reconciler.core.names import Commit, Ours, registry_name
from reconciler.core.text import plain, without_credentials
from reconciler.errors import LockError
from reconciler.git.remote_ref import RemoteRef
from reconciler.git.runner import Git
from reconciler.holders import UNKNOWN, Heads, Patience, heads_document, heads_in, kept_for, named, with_heads
from reconciler.ports import Clock, Holder, Lease, WaitReport

LOCKS = "refs/reconciler/locks"

_FORMAT = 1
_HELD, _FREE = "held", "free"

# A push that the remote refuses while the ref has not changed is either forbidden, or met another push in the very act.
# See contract/test_git_lock.py::test_exactly_one_of_many_that_take_a_free_lock_at_once_gets_it.
_REFUSALS = 3
_AFTER_REFUSAL = 0.3

# How often in a row a read may fail while we wait, or be overtaken by the next write, before we say so.
_READS = 5

_log = logging.getLogger(__name__)


def lock_ref(registry_uri: str) -> str:
    """The name of the lock of a registry: the same for everybody who writes to it, whoever they log in as."""
    digest = hashlib.sha256(registry_name(registry_uri).encode()).hexdigest()
    return f"{LOCKS}/{digest[:16]}"


class _GitError(LockError):
    """Git could not do what it was asked to; it may help to try again."""


class _RefusedError(_GitError):
    """The remote was reached, and refused to change a ref that nobody else had changed."""


def _elapsed() -> float:
    """Seconds that also pass while the machine sleeps: on waking up, a laptop must know that its lock has run out."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Timing:
    """
    How long a holder that gives no sign is believed to be alive, how often a live one gives one, how often who waits
    looks, and how long git may take; in seconds.
    """

    ttl: float = 45.0
    heartbeat: float = 15.0
    poll: float = 1.0
    git: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = _elapsed


class GitLock:
    """
    The lock of a registry, kept as `ref` on `remote`, a name or URL as `git`'s repository knows it. `ours` is the
    repository whose commits `applied` is about. `attempt` is how many seconds a holder's last call to the registry may
    take, beside the time for which it is believed to be alive.
    """

    def __init__(
        self,
        git: Git,
        remote: str,
        ref: str,
        holder: Holder,
        ours: Ours,
        *,
        clock: Clock,
        attempt: float = 0.0,
        timing: Timing = Timing(),
    ) -> None:
        self._remote = _Remote(git, remote, ref, timing.git)
        self._holder = holder
        self._ours = ours
        self._clock = clock
        self._ttl = timing.ttl + attempt
        self._attempt = attempt
        self._timing = timing

    def acquire(self, timeout: float, waiting: WaitReport) -> Lease:
        patience = Patience(timeout, waiting, self._timing.sleep, self._timing.monotonic)
        remote = self._remote.found()
        seen = self._look(remote, None)
        while True:
            why = self._may_take(seen)
            if why is not None:
                if lease := self._take(remote, seen, why):
                    return lease
                seen = self._look(remote, seen)  # somebody was faster: the one to wait for is not the one just seen
            holder = seen.record.holder if seen.record else UNKNOWN
            patience.pause(holder, remote.place, self._timing.poll, self._hint(seen))
            seen = self._look(remote, seen)

    def heads(self) -> tuple[Head, ...]:
        _, record = self._remote.found().read()
        return tuple(chain.from_iterable(kept_for(self._ours, record.heads))) if record else ()

    def _look(self, remote: "_Remote", before: "_Sight | None") -> "_Sight":
        """Read the ref. One that did not change keeps the time at which it was first seen."""
        try:
            value, record = remote.read()
        except _GitError:
            if before is None or before.failures == _READS:
                raise
            return replace(before, failures=before.failures + 1)
        if before is not None and value == before.value:
            return replace(before, failures=0)
        return _Sight(value, record, self._timing.monotonic())

    def _life(self, seen: "_Sight") -> float:
        return max(self._ttl, seen.record.ttl if seen.record else 0.0)

    def _hint(self, seen: "_Sight") -> str:
        remote = plain(without_credentials(self._remote.name))
        return (
            f"If it died, its lock can be taken after {self._life(seen):.0f} s without a sign of life. If there is "
            "no such apply, somebody else who can push wrote this: delete it "
            f"(`git push {remote} :{self._remote.ref}`)."
        )

    def _may_take(self, seen: "_Sight") -> str | None:
        """Why the lock may be taken: empty if it is free, else how we know that its holder is dead. None if not."""
        record = seen.record
        if record is None or not record.held:
            return ""
        if self._timing.monotonic() - seen.since >= self._life(seen):
            return f"it gave no sign of life for {self._life(seen):.0f} s"
        return None

    def _take(self, remote: "_Remote", seen: "_Sight", why: str) -> "_GitLease | None":
        before = seen.record or _Record()
        now = self._clock.now()
        record = _Record(
            state=_HELD,
            holder=replace(self._holder, since=now),
            expires=after(now, self._ttl),
            ttl=self._ttl,
            token=before.token + 1,
            applied=before.applied,
            heads=before.heads,
        )
        for attempt in range(1, _REFUSALS + 1):
            began = self._timing.monotonic()
            value = remote.write(record)
            try:
                found = remote.swap(seen.value, value)
            except _RefusedError:
                if attempt == _REFUSALS:
                    raise
                self._timing.sleep(_AFTER_REFUSAL)
                continue
            if found != value:
                return None
            note = f"Took over the lock of {named(before.holder)}: {why}." if why else ""
            return _GitLease(
                remote,
                record,
                value,
                began,
                note,
                self._ours,
                self._clock,
                self._attempt,
                self._timing,
            )
        return None


class _GitLease:
    """
    Renews the record in a thread of its own until it is released, or until somebody else has changed the ref. It is
    held for as long as nobody can have counted the whole time to live since the last renewal that arrived.
    """

    def __init__(
        self,
        remote: "_Remote",
        record: "_Record",
        value: str,
        began: float,
        note: str,
        ours: Ours,
        clock: Clock,
        attempt: float,
        timing: Timing,
    ) -> None:
        self._life = record.ttl - attempt
        # A push that hangs must leave time for another one.
        self._remote = replace(remote, timeout=min(remote.timeout, self._life / 3))
        self._record = record
        self._value = value
        self._pushed = set[str]()
        self._renewed = began
        self._note = note
        self._ours = ours
        self._clock = clock
        self._timing = timing
        self._lost = False
        self._guard = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._renew_until_ended, name="reconciler-lock", daemon=True)
        self._thread.start()

    @property
    def applied(self) -> Commit | None:
        return next((Commit(commit) for commit in kept_for(self._ours, self._record.applied) if commit), None)

    @property
    def note(self) -> str:
        return self._note

    def held(self) -> bool:
        # The margin is for clocks that do not run equally fast.
        renewed = self._timing.monotonic() - self._renewed < self._life * 0.9
        return not self._ended.is_set() and not self._lost and renewed

    def mark(self, commit: Commit, heads: Iterable[Head] = ()) -> None:
        with self._guard:
            self._record = replace(
                self._record,
                applied={**self._record.applied, self._ours.name: commit},
                heads=with_heads(self._record.heads, self._ours.name, heads),
            )

    def release(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        if not self._lost:
            self._free()
        if self._lost:
            raise self._robbed()

    def _free(self) -> None:
        try:
            try:
                self._push(_FREE)
            except _GitError:
                self._push(_FREE)
        except _GitError as error:
            raise LockError(
                f"The lock was not released; others must wait {self._record.ttl:.0f} s for it. {error.message}",
                error.fix,
            ) from error

    def _renew_until_ended(self) -> None:
        pause = self._timing.heartbeat
        while not self._lost and not self._ended.wait(pause):
            try:
                self._push(_HELD)
                pause = self._timing.heartbeat
            except LockError as error:
                _log.warning("The lock was not renewed, trying again: %s", error)
                pause = min(self._timing.heartbeat, self._life / 15)

    def _push(self, state: str) -> None:
        """
        Write the record anew, or find that somebody else has changed it. A push that seemed to fail may have arrived
        all the same, now or later; what it left behind is ours and no reason to think that the lock is lost.
        """
        with self._guard:
            record = replace(self._record, state=state, expires=after(self._clock.now(), self._record.ttl))
        began = self._timing.monotonic()
        value = self._remote.write(record)
        self._pushed.add(value)
        found = self._remote.swap(self._value, value)
        while found != value and found in self._pushed:
            self._pushed.remove(found)
            self._value = found
            found = self._remote.swap(found, value)
        if found == value:
            self._value = value
            self._pushed.clear()
            self._renewed = began
        else:
            self._lost = True

    def _robbed(self) -> LockError:
        try:
            _, record = self._remote.read()
            thief = named(record.holder) if record else "somebody who deleted it"
        except LockError:
            thief = named(UNKNOWN)
        return LockError(
            f"The lock that we held since {self._record.holder.since} was lost to {thief}; it is {self._remote.place}.",
            "Two may have written at the same time: plan again to see what stands.",
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """What the lock's ref says. `token` grows by one each time that somebody takes the lock."""

    state: str = _FREE
    holder: Holder = UNKNOWN
    expires: str = ""
    ttl: float = 0.0
    token: int = 0
    applied: Mapping[str, str] = field(default_factory=dict[str, str])
    heads: Heads = field(default_factory=dict[str, tuple[Head, ...]])

    @property
    def held(self) -> bool:
        return self.state == _HELD

    def message(self) -> str:
        """
        As a commit message, no two alike: pushing what is there already succeeds whatever we expected to find there
        (git 2.39), so that two who write the same would both believe that they had won.
        See contract/test_git_lock.py::test_two_that_write_the_same_words_at_once_do_not_both_get_the_lock.
        """
        return json.dumps(
            {
                "format": _FORMAT,
                "state": self.state,
                "who": self.holder.who,
                "since": self.holder.since,
                "run": self.holder.run,
                "expires": self.expires,
                "ttl": self.ttl,
                "token": self.token,
                "applied": dict(sorted(self.applied.items())),
                "heads": heads_document(self.heads),
                "nonce": secrets.token_hex(8),
            },
            indent=1,
        )


def _parsed(message: str) -> _Record | None:
    """The record in a commit message, or None where it is none of ours. Anybody who can push may have written it."""
    try:
        data: object = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    entry = cast(dict[str, object], data)
    state, token, ttl, applied = (entry.get(name) for name in ("state", "token", "ttl", "applied"))
    if entry.get("format") != _FORMAT or not isinstance(state, str) or state not in {_HELD, _FREE}:
        return None
    if not isinstance(token, int) or not isinstance(ttl, int | float) or not isinstance(applied, dict):
        return None
    if not ttl >= 0 or ttl == inf:  # or no number at all
        return None
    texts = [entry.get(name) for name in ("who", "since", "run", "expires")]
    if not all(isinstance(text, str) for text in texts):
        return None
    who, since, run, expires = (plain(str(text)) for text in texts)
    commits = {key: commit for key, commit in cast(dict[str, object], applied).items() if isinstance(commit, str)}
    holder = Holder(who or UNKNOWN.who, since, run)
    return _Record(state, holder, expires, float(min(ttl, LOCK_SECONDS)), token, commits, heads_in(entry.get("heads")))


@dataclass(frozen=True, slots=True)
class _Sight:
    """The value of the ref, when it was first seen, and how often in a row it could not be read since."""

    value: str
    record: _Record | None
    since: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Remote(RemoteRef):
    """The lock's ref on the remote."""

    def read(self) -> tuple[str, _Record | None]:
        """The value of the ref and the record behind it. Raises LockError where what is there is not ours."""
        for _ in range(_READS):
            value = self.value()
            if not value:
                return "", None
            found = self.object(value, LOCK_BYTES)
            if found is None:
                self.fetch()
                found = self.object(value, LOCK_BYTES)
            if found is not None:
                kind, content = found
                message = content.decode(errors="replace").partition("\n\n")[2]
                record = _parsed(message) if kind == "commit" else None
                if record is None:
                    raise self._foreign()
                return value, record
        raise self.fault(f"{self.ref} could not be read: what it points to is not there to be fetched.")

    def write(self, record: _Record) -> str:
        """Make the commit of a record, here and not yet there."""
        return self.commit(record.message().encode("ascii"))

    def fault(self, message: str, *, refused: bool = False) -> _GitError:
        fix = (
            "The lock needs a remote that can be reached and that this job may push to (on GitHub: `permissions: "
            "contents: write`, and no rule that guards refs/reconciler/). Mend that; or pass `--lock file` if every "
            "apply runs on this machine, `--no-lock` if you are certain that nothing else is writing."
        )
        return _RefusedError(message, fix) if refused else _GitError(message, fix)

    def _foreign(self) -> LockError:
        remote = self.shown
        return LockError(
            f"{self.ref} on {remote} is not a lock record that this version can read, so it was left alone.",
            "Update reconciler if a newer version wrote it. Otherwise somebody else who can push did: look at it (`git "
            f"fetch {remote} {self.ref} && git show FETCH_HEAD`), and delete it (`git push {remote} :{self.ref}`).",
        )
