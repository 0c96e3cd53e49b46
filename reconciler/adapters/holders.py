"""Who holds a lock: how this process names itself, and what those who wait for the lock are told."""

import getpass
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from reconciler.core.names import Ours, RepositoryId, plain
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
    return Holder(plain(who), now, plain(without_user_info(_run(environment))))


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


def without_user_info(text: str) -> str:
    """The text with `user:password@` cut out of its URLs. It rather cuts too much: a password may hold an `@`."""
    return re.sub(r"://\S*@", "://", text)


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


MOST_HEADS = 100
"""How many commits that applies began with a lock remembers of each repository."""


def with_head(heads: Mapping[str, tuple[str, ...]], key: str, commit: str) -> dict[str, tuple[str, ...]]:
    """The commits that applies began with, and this one, the newest last."""
    known = tuple(head for head in heads.get(key, ()) if head != commit)
    return {**heads, key: (*known, commit)[-MOST_HEADS:]}


def kept_for(ours: Ours, entries: Mapping[str, T]) -> tuple[T, ...]:
    """What a lock's record keeps for a repository, that under its present name first."""
    names = sorted((name for name in entries if ours.named(RepositoryId(name))), key=lambda name: name != ours.name)
    return tuple(entries[name] for name in names)


def heads_in(entry: object) -> dict[str, tuple[str, ...]]:
    """The same as a lock's record has them; what cannot be read is forgotten, which makes changes longer."""
    if not isinstance(entry, dict):
        return {}
    lists = cast("dict[str, object]", entry).items()
    return {k: tuple(str(c) for c in cast("list[object]", v)) for k, v in lists if isinstance(v, list)}
