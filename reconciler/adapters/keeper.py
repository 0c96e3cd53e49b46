"""
Runs beside reconciler, as a script of its own: starts one command and, when that ends or on SIGTERM, ends all that came
of it, also what has left the command's process group. Standard library alone, so that it starts at once.

Arguments: the descriptor to report on, the user and group to become (or -1), the folder to work in, then the command.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 5.0
"""Seconds for processes that were killed to be gone."""


class _Ended(BaseException):
    """Time is over."""


def main(arguments: list[str]) -> None:
    report, user, group = int(arguments[0]), int(arguments[1]), int(arguments[2])
    folder, command = arguments[3], arguments[4:]
    signal.signal(signal.SIGTERM, _end)
    _adopt_orphans()
    told: dict[str, object]
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _started(command, folder, user, group)
        told = {"exit": process.wait()}
    except _Ended:
        told = {"ended": True}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        told = {"trouble": why}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # all that there is without /proc
    told["left"] = _kill_descendants()
    os.write(report, json.dumps(told).encode())


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


def _started(command: list[str], folder: str, user: int, group: int) -> "subprocess.Popen[bytes]":
    identity = {} if user < 0 else {"user": user, "group": group, "extra_groups": list[int]()}
    return subprocess.Popen(  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_limit,  # noqa: PLW1509  # there are no threads here
        **identity,  # pyright: ignore[reportArgumentType]
    )


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _adopt_orphans() -> None:
    """Whatever loses its parent becomes our child, and so can be found; and we end with our own parent. Linux only."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _kill_descendants() -> int:
    """How many there were. They are stopped first: a process that goes on starting others could outrun us."""
    killed: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        alive = _descendants()
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        for pid in alive:
            killed.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not alive:
            break
        time.sleep(0.01)
    return len(killed)


def _descendants() -> list[int]:
    """By /proc; a zombie is none, it only waits for us."""
    children: dict[int, list[int]] = {}
    zombies: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        pid = int(entry.parent.name)
        children.setdefault(int(parent), []).append(pid)
        if state in {"Z", "X"}:
            zombies.add(pid)
    found, waiting = list[int](), [os.getpid()]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            waiting.append(pid)
            if pid not in zombies:
                found.append(pid)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
