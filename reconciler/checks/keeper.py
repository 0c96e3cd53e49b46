"""
Runs beside reconciler, as a script of its own: starts one command, confined as it is told, and when that ends or on
SIGTERM, ends all that came of it, also what has left the command's process group. Standard library alone, so that it
starts at once. Linux only, but for a command that is not confined.

Argument: `_Order` of sandbox.py, in JSON.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY = 1
# The same on every architecture, as all that Linux has had since 5.0.
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446

LANDLOCK_READ = 0b1101  # execute, read a file, read a folder
LANDLOCK_FILE = 0b100_0000_0000_0111  # execute, write, read, truncate
LANDLOCK_RIGHTS = {1: 0x1FFF, 2: 0x3FFF}
LANDLOCK_ALL = 0x7FFF

DEVICES = ("null", "zero", "full", "random", "urandom")
PATIENCE = 5.0
"""Seconds for processes that were killed to be gone."""


class _Ended(BaseException):
    """Time is over."""


def main(told: dict[str, Any]) -> None:
    report = int(told["report"])
    try:
        if told["namespaces"]:
            _enter_namespaces(report, network=bool(told["network"]))
            _change_root(told["root"], told["shown"], told["writable"])
            if not told["network"]:
                _raise_loopback()
    except OSError as error:
        os.write(report, json.dumps({"trouble": f"no namespaces: {_said(error)}"}).encode())
        return
    signal.signal(signal.SIGTERM, _end)
    _adopt_orphans()
    # Whoever could read or trace us could report in our place.
    _prctl(PR_SET_DUMPABLE, 0)
    ended: dict[str, object]
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _started(told)
        ended = {"exit": process.wait()}
    except _Ended:
        ended = {"ended": True}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        ended = {"trouble": _said(error)}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # all that there is without /proc
    ended["left"] = _kill_descendants()
    os.write(report, json.dumps(ended).encode())


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


def _said(error: Exception) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)


def _started(told: dict[str, Any]) -> "subprocess.Popen[bytes]":
    user, group = int(told["uid"]), int(told["gid"])
    identity = {} if user < 0 else {"user": user, "group": group, "extra_groups": list[int]()}
    confined = user >= 0 or told["namespaces"]
    # The /tmp of namespaces is new and empty; everybody's has other people's files.
    scratch = ["/dev", "/tmp"] if told["namespaces"] else ["/dev"]  # noqa: S108
    limit = partial(_limit, [*told["shown"], "/proc", "/sys"], [*told["writable"], *scratch], confined)
    return subprocess.Popen(  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
        told["command"],
        cwd=told["folder"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=limit,  # noqa: PLW1509  # there are no threads here
        **identity,  # pyright: ignore[reportArgumentType]
    )


def _limit(shown: Iterable[str], writable: Iterable[str], confined: bool) -> None:
    """In the command's process, as the user that it runs as, just before it begins."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if confined:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)  # no sudo, and nothing like it
        _landlock(shown, writable)


# What other users and namespaces leave open: files that everybody may read or write, abstract sockets, signals.


def _landlock(shown: Iterable[str], writable: Iterable[str]) -> None:
    """The command can read and write these places alone, and trace nothing outside; where the kernel has Landlock."""
    release = _syscall(SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if release < 1:
        return
    rights = LANDLOCK_RIGHTS.get(release, LANDLOCK_ALL)
    attributes = struct.pack("QQQ", rights, 0, 0b11 if release >= 6 else 0)
    size = 24 if release >= 6 else 16 if release >= 4 else 8
    rules = _syscall(SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)
    if rules < 0:
        return
    for places, allowed in ((shown, LANDLOCK_READ), (writable, rights)):
        for place in places:
            with suppress(OSError):
                descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
                access = allowed & rights & (LANDLOCK_ALL if Path(place).is_dir() else LANDLOCK_FILE)
                _syscall(SYS_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", access, descriptor), 0)
                os.close(descriptor)
    _syscall(SYS_LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)


# Namespaces: no other process, socket or file than those that are shown. Raises OSError where the kernel refuses.


def _enter_namespaces(report: int, *, network: bool) -> None:
    """Come back as the first process of new namespaces; the one that was called waits for it, and passes on its end."""
    user, group = os.geteuid(), os.getegid()
    wanted = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (0 if network else CLONE_NEWNET)
    _call("unshare", wanted | (CLONE_NEWUSER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    first = os.fork()
    if first:
        os.close(report)

        def pass_on(number: int, _frame: FrameType | None) -> None:
            os.kill(first, number)

        signal.signal(signal.SIGTERM, pass_on)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.waitpid(first, 0)
        os._exit(0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _change_root(top: str, shown: Iterable[str], writable: Iterable[str]) -> None:
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", top, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    for place in ("/proc", "/dev/shm", "/tmp"):  # noqa: S108  # new and empty ones
        Path(top + place).mkdir(parents=True)
    _mount("proc", f"{top}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for place in ("/dev/shm", "/tmp"):  # noqa: S108
        _mount("tmpfs", top + place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for place in sorted(shown):
        _show(top, place, read_only=True)
    for place in writable:
        _show(top, place, read_only=False)
    _show(top, "/sys", read_only=True)
    graphics = [str(place) for pattern in ("nvidia*", "dri", "kfd") for place in Path("/dev").glob(pattern)]
    for place in (*(f"/dev/{name}" for name in DEVICES), *graphics):
        _show(top, place, read_only=False)
    for name, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"), ("stderr", "self/fd/2")):
        Path(f"{top}/dev/{name}").symlink_to(f"/proc/{target}")
    _make_read_only(top, 0)
    os.chdir(top)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def _show(top: str, place: str, *, read_only: bool) -> None:
    """Put what is at a place into the new root, under the same name."""
    source, target = Path(place), Path(top + place)
    if not source.exists() or target.is_symlink() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        _show(top, str(source.resolve()), read_only=read_only)
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount(str(source), str(target), None, MS_BIND | MS_REC)
    if read_only:
        _make_read_only(str(target), AT_RECURSIVE)


def _make_read_only(place: str, flags: int) -> None:
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    if _syscall(SYS_MOUNT_SETATTR, AT_FDCWD, place.encode(), flags, attributes, size) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    _call("mount", words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])


def _raise_loopback() -> None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def _call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    called: Callable[..., int] | None = getattr(libc, name, None)
    if called is None:
        raise OSError(0, f"this system has no {name}")
    if called(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _syscall(number: int, *arguments: Any) -> int:
    with suppress(OSError, AttributeError):
        called: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
        return called(number, *arguments)
    return -1


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _adopt_orphans() -> None:
    """Whatever loses its parent becomes our child, and so can be found; and we end with our own parent."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getpid() != 1:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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
    main(json.loads(sys.argv[1]))
