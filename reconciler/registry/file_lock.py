"""One writer at a time on one machine, by an advisory lock on a file. The system releases it when the holder dies."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import cast

import filelock

from reconciler.core.heads import Head
from reconciler.core.limits import LOCK_BYTES
from reconciler.core.names import Commit, Ours
from reconciler.core.text import plain
from reconciler.errors import LockError
from reconciler.holders import UNKNOWN, Heads, Patience, heads_document, heads_in, kept_for, named, with_heads
from reconciler.ports import Clock, Holder, Lease, WaitReport

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class _Record:
    """
    What stands beside the lock file: who holds the lock, and of each repository the commit last applied and what
    applies remember of its branch.
    """

    holder: Holder | None = None
    applied: Mapping[str, str] = field(default_factory=dict[str, str])
    heads: Heads = field(default_factory=dict[str, tuple[Head, ...]])


@dataclass(frozen=True, slots=True)
class Timing:
    """How often who waits looks, in seconds."""

    poll: float = 0.2
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


class FileLock:
    """
    The lock of a registry that only this machine can reach. `ours` is the repository whose commits `applied` is
    about. A JSON file beside the lock file says who holds it and what was applied; the lock does not depend on it.
    """

    def __init__(self, path: Path, holder: Holder, ours: Ours, *, clock: Clock, timing: Timing = Timing()) -> None:
        self._path = path
        self._sidecar = path.with_name(f"{path.name}.json")
        self._holder = holder
        self._ours = ours
        self._clock = clock
        self._timing = timing

    def acquire(self, timeout: float, waiting: WaitReport) -> Lease:
        # Not bound to the thread: the thread that releases need not be the one that acquired.
        lock = filelock.FileLock(self._path, thread_local=False)
        patience = Patience(timeout, waiting, self._timing.sleep, self._timing.monotonic)
        while not self._took(lock):
            patience.pause(_read(self._sidecar).holder or UNKNOWN, str(self._path), self._timing.poll)
        try:
            before = _read(self._sidecar)
            record = replace(before, holder=replace(self._holder, since=self._clock.now()))
            _write(self._sidecar, record)
            return _FileLease(lock, self._path, self._sidecar, record, self._ours, _note(before.holder))
        except BaseException:
            lock.release()
            raise

    def heads(self) -> tuple[Head, ...]:
        return tuple(chain.from_iterable(kept_for(self._ours, _read(self._sidecar).heads)))

    def _took(self, lock: filelock.BaseFileLock) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
            raise _not_writable(self._path, error) from error
        return True


class _FileLease:
    def __init__(
        self, lock: filelock.BaseFileLock, path: Path, sidecar: Path, record: _Record, ours: Ours, note: str
    ) -> None:
        self._lock = lock
        self._path = path
        self._sidecar = sidecar
        self._record = record
        self._ours = ours
        self._note = note
        self._locked_file = _identity(path)

    @property
    def applied(self) -> Commit | None:
        return next((Commit(commit) for commit in kept_for(self._ours, self._record.applied) if commit), None)

    @property
    def note(self) -> str:
        return self._note

    def held(self) -> bool:
        # Who deletes the lock file lets the next one lock a new file of the same name.
        return self._lock.is_locked and self._locked_file is not None and self._locked_file == _identity(self._path)

    def mark(self, commit: Commit, heads: Iterable[Head] = ()) -> None:
        record = replace(
            self._record,
            applied={**self._record.applied, self._ours.name: commit},
            heads=with_heads(self._record.heads, self._ours.name, heads),
        )
        if self.held():
            _write(self._sidecar, record)
        self._record = record

    def release(self) -> None:
        if not self._lock.is_locked:
            return
        try:
            if not self.held():
                raise LockError(
                    f"The lock file {self._path} was removed while the lock was held, so another apply may have run.",
                    "Plan again to see what stands, and make sure that nothing deletes that file.",
                )
            _write(self._sidecar, replace(self._record, holder=None))
        finally:
            self._lock.release()


def _note(dead: Holder | None) -> str:
    return f"Took over the lock of {named(dead)}: it ended without releasing it." if dead else ""


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _read(sidecar: Path) -> _Record:
    """What the sidecar says; nothing where it is missing, unreadable or not ours."""
    try:
        with sidecar.open("rb") as file:
            text = file.read(LOCK_BYTES + 1)
        data: object = json.loads(text) if len(text) <= LOCK_BYTES else None
    except (OSError, ValueError, RecursionError):
        return _Record()
    if not isinstance(data, dict):
        return _Record()
    entry = cast(dict[str, object], data)
    applied = entry.get("applied")
    commits = cast(dict[str, object], applied) if isinstance(applied, dict) else {}
    known = {k: c for k, c in commits.items() if isinstance(c, str)}
    return _Record(_holder(entry.get("holder")), known, heads_in(entry.get("heads")))


def _holder(data: object) -> Holder | None:
    if not isinstance(data, dict):
        return None
    entry = cast(dict[str, object], data)
    who, since, run = (plain(str(entry.get(name, ""))) for name in ("who", "since", "run"))
    return Holder(who, since, run) if who else None


def _write(sidecar: Path, record: _Record) -> None:
    """Whole or not at all, whatever happens to this machine meanwhile. Only the holder writes, so one name will do."""
    holder = record.holder
    data = {
        "format": _FORMAT,
        "holder": {"who": holder.who, "since": holder.since, "run": holder.run} if holder else None,
        "applied": dict(sorted(record.applied.items())),
        "heads": heads_document(record.heads),
    }
    unfinished = sidecar.with_name(f"{sidecar.name}.new")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(sidecar)
    except OSError as error:
        raise _not_writable(sidecar, error) from error


def _not_writable(path: Path, error: Exception) -> LockError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return LockError(
        f"The lock file {path} cannot be written: {plain(reason)}.",
        "Make it writable for this user, or pass `--no-lock` if you are certain that nothing else is writing.",
    )
