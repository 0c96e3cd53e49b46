"""Who holds a lock: how this process names itself, and what those who wait for the lock are told."""

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias, TypeVar, cast

from reconciler.core.heads import Head, document_of, read_head
from reconciler.core.limits import HEADS, LOCK_BYTES
from reconciler.core.names import Ours, RepositoryId
from reconciler.core.text import plain, without_credentials
from reconciler.errors import LockError
from reconciler.ports import Holder, WaitReport

T = TypeVar("T")

SAID_EVERY = 5.0
"""Seconds between two words about whom we are waiting for."""

UNKNOWN = Holder("somebody whose name is not recorded", "")

_FIX = (
    "Wait for it to finish and try again, wait longer with `--lock-timeout`, or pass `--no-lock` if you are certain "
    "that nothing else is writing."
)


def this_process(environment: Mapping[str, str], now: str) -> Holder:
    """The name under which this process holds locks: user, host and process, and the page of its CI job, if any."""
    who = f"{_user(environment)}@{socket.gethostname()} pid {os.getpid()}"
    return Holder(plain(who), now, plain(without_credentials(_run(environment))))


def _user(environment: Mapping[str, str]) -> str:
    for variable in ("LOGNAME", "USER", "USERNAME"):
        if name := environment.get(variable):
            return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that /etc/passwd does not know; OSError from Python 3.13 on
        return f"uid-{os.getuid()}"


def _run(environment: Mapping[str, str]) -> str:
    """The page where people can watch this job: GitHub Actions, GitLab CI, Jenkins."""
    github = [environment.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    if all(github):
        server, repository, run = github
        return f"{server}/{repository}/actions/runs/{run}"
    return environment.get("CI_JOB_URL") or environment.get("BUILD_URL") or ""


def named(holder: Holder) -> str:
    """A holder as people are told about it."""
    since = f", since {holder.since}" if holder.since else ""
    run = f", run {holder.run}" if holder.run else ""
    return f"{holder.who}{since}{run}"


class Patience:
    """Waits for a lock: says whom it is waiting for right away and then every few seconds, and in the end gives up."""

    def __init__(
        self, timeout: float, waiting: WaitReport, sleep: Callable[[float], None], monotonic: Callable[[], float]
    ) -> None:
        self._timeout = timeout
        self._waiting = waiting
        self._sleep = sleep
        self._monotonic = monotonic
        self._began = monotonic()
        self._say_at = 0.0

    def pause(self, holder: Holder, place: str, interval: float, hint: str = "") -> None:
        """
        Sleep until it is time to try again. Raises LockError when the time is over, with the holder, the place of the
        lock, and the hint where there is one.
        """
        waited = self._monotonic() - self._began
        if waited >= self._timeout:
            message = f"The lock is held by {named(holder)}. Gave up after {waited:.0f} s; the lock is {place}."
            raise LockError(message, f"{hint} {_FIX}".lstrip())
        if waited >= self._say_at:
            self._waiting(holder, waited)
            self._say_at = waited + SAID_EVERY
        self._sleep(min(interval, self._timeout - waited))


Heads: TypeAlias = Mapping[str, tuple[Head, ...]]
"""What applies remember of each repository, the newest last."""


def with_heads(heads: Heads, key: str, more: Iterable[Head]) -> Heads:
    """With these for a repository, in the place of others of the same commits: as many as a record has room for."""
    more = tuple(more)
    known = tuple(head for head in heads.get(key, ()) if head.commit not in {new.commit for new in more})
    kept = {**heads, key: (*known, *more)[-HEADS:]}
    while len(json.dumps(heads_document(kept), indent=2)) > LOCK_BYTES // 2:
        longest = max(kept, key=lambda name: len(kept[name]))
        kept[longest] = kept[longest][1:]
    return kept


def kept_for(ours: Ours, entries: Mapping[str, T]) -> tuple[T, ...]:
    """What a lock's record keeps for a repository, that under its present name first."""
    names = sorted((name for name in entries if ours.named(RepositoryId(name))), key=lambda name: name != ours.name)
    return tuple(entries[name] for name in names)


def heads_document(heads: Heads) -> dict[str, list[dict[str, object]]]:
    """As a lock's record has them."""
    return {key: [document_of(head) for head in found] for key, found in sorted(heads.items()) if found}


def heads_in(entry: object) -> Heads:
    """The same as a lock's record has them; what cannot be read is forgotten, which makes changes longer."""
    if not isinstance(entry, dict):
        return {}
    lists = cast("dict[str, object]", entry).items()
    return {
        key: tuple(_readable(cast("list[object]", found)[-HEADS:])) for key, found in lists if isinstance(found, list)
    }


def _readable(found: Iterable[object]) -> Iterator[Head]:
    for one in found:
        with suppress(KeyError, TypeError, ValueError):
            yield read_head(one)
