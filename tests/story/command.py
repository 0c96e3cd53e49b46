"""
`reconciler` as people run it: a process of its own, with its own folder, environment, streams and signals, and without
a terminal.

Most of these processes are forked from one that has imported MLflow already: that import costs three seconds of
computing, which would be nine tenths of what the stories take. `reconciler.cold` is the installed command instead.
"""

import atexit
import json
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

from tests.servers import QUIET

RECONCILER = Path(sys.executable).with_name("reconciler")

PATIENCE = 150.0
"""Seconds after which a command is taken to hang."""

_FORKS = multiprocessing.get_context("forkserver")


def import_beforehand() -> None:
    """Start the process that the others are forked from."""
    os.environ.update(QUIET)  # read by MLflow while it is imported
    _FORKS.set_forkserver_preload(["tests.story.frozen"])
    multiprocessing.forkserver.ensure_running()


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Running:
    """A command that was started. `wait` for every one of them."""

    process: "BaseProcess | subprocess.Popen[bytes]"
    out: Path
    err: Path
    patience: float = PATIENCE

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.out.read_text() + self.err.read_text()

    def interrupt(self, number: int) -> None:
        """Send a signal to it and to what it has started, as a terminal does when Ctrl-C is pressed."""
        os.killpg(self.process.pid or 0, number)

    @property
    def ended(self) -> bool:
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll() is not None
        return not self.process.is_alive()

    def until(self, happened: Callable[[], bool]) -> None:
        """Come back when something has happened; it is an error if the command ends before, or if it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if self.ended or time.monotonic() > deadline:
                raise AssertionError(f"It did not come to that:\n{self.said}")
            time.sleep(0.01)

    def wait(self) -> Ended:
        try:
            code = self._code()
        finally:
            if not self.ended:
                self.process.kill()
        return Ended(code, self.out.read_text(), self.err.read_text())

    def _code(self) -> int:
        if isinstance(self.process, subprocess.Popen):
            return self.process.wait(self.patience)
        self.process.join(self.patience)
        code = self.process.exitcode
        if code is None:
            raise AssertionError(f"It does not end:\n{self.said}")
        return code


@dataclass(frozen=True)
class Reconciler:
    """The command, in one folder and with one environment."""

    folder: Path
    environment: Mapping[str, str]
    logs: Path
    forked: bool = True
    program: Sequence[str] = (str(RECONCILER),)
    reads_forked: bool = True
    """Whether what reads another registry for a forked command is forked as well."""

    @property
    def cold(self) -> "Reconciler":
        """The same, as it is installed."""
        return replace(self, forked=False)

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run it to its end."""
        return self.start(*arguments, **environment).wait()

    def start(self, *arguments: str, **environment: str) -> Running:
        out, err = (self.logs / f"{uuid4().hex}.{stream}" for stream in ("out", "err"))
        out.touch()
        err.touch()
        variables = {**self.environment, **environment}
        if not self.forked:
            with out.open("ab") as stdout, err.open("ab") as stderr:
                process = subprocess.Popen(
                    [*self.program, *arguments],
                    cwd=self.folder,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    process_group=0,
                )
            return Running(process, out, err)
        reader = warm_reader() if self.reads_forked else ""
        fork = _FORKS.Process(target=_run, args=(arguments, self.folder, variables, out, err, reader), daemon=True)
        fork.start()
        return Running(fork, out, err)

    def on(self, terminal: int, *arguments: str, **environment: str) -> BaseProcess:
        """Start it, forked, with an open file as all its streams."""
        told = (Opened(terminal), arguments, self.folder, {**self.environment, **environment})
        fork = _FORKS.Process(target=_run_on, args=told, daemon=True)
        fork.start()
        return fork


def run_script(
    script: Path, *arguments: str, folder: Path, environment: Mapping[str, str], patience: float = PATIENCE
) -> Ended:
    """A script of Python to its end, by a process that has imported MLflow already."""
    import_beforehand()
    with tempfile.TemporaryDirectory() as logs:
        out, err = (Path(logs) / stream for stream in ("out", "err"))
        out.touch()
        err.touch()
        fork = _FORKS.Process(target=_script, args=(script, arguments, folder, environment, out, err), daemon=True)
        fork.start()
        return Running(fork, out, err, patience).wait()


_SHIM = """\
#!{python} -IS
import json, os, socket, sys
if sys.argv[0].endswith("python"):
    if sys.argv[1:4] != ["-I", "-m", "reconciler"]:
        os.execv({python!r}, [{python!r}, *sys.argv[1:]])
    del sys.argv[1:4]
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    asked.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    asked.shutdown(socket.SHUT_WR)
    code, *said = json.load(asked.makefile())
for stream, text in zip((sys.stdout, sys.stderr), said):
    stream.buffer.write(text.encode("utf-8", "surrogateescape"))
sys.exit(code)
"""


@contextmanager
def command_on_disk(folder: Path) -> Generator[Path]:
    """
    A folder like that of a virtual environment, for scripts and jobs: `bin/reconciler`, and `bin/python -I -m
    reconciler`, have the work done by a process that is forked. Python is itself for all else, and without `-I`.
    """
    import_beforehand()
    (folder / "bin").mkdir(parents=True)
    logs = folder / "said"
    logs.mkdir()

    class Asked(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            arguments, place, environment = json.load(self.rfile)
            ended = Reconciler(Path(place), environment, logs)(*arguments)
            self.wfile.write(json.dumps([ended.code, ended.out, ended.err]).encode())

    # The address of a socket may have a hundred letters.
    with tempfile.TemporaryDirectory(prefix="warm-") as short:
        address = f"{short}/asked"
        with socketserver.ThreadingUnixStreamServer(address, Asked) as server:
            for name in ("reconciler", "python"):
                shim = folder / "bin" / name
                shim.write_text(_SHIM.format(python=sys.executable, address=address))
                shim.chmod(0o755)
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield folder
            finally:
                server.shutdown()
                thread.join()


@dataclass(frozen=True)
class Opened:
    """An open file, by its number here, or in the process that it was handed to."""

    number: int

    def __reduce__(self) -> Any:
        return _handed, (DupFd(self.number),)


def _handed(passed: Any) -> Opened:
    return Opened(passed.detach())


def _run_on(opened: Opened, arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> None:
    place = f"/proc/self/fd/{opened.number}"
    _become(folder, environment, Path(place), Path(place), Path(place))
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")  # as for a terminal
    sys.argv = ["reconciler", *arguments]

    from reconciler.cli import main

    main()


_READER = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    socket.send_fds(asked, [b"."], [0, 1])
    asked.sendall(json.dumps([sys.argv[1:], dict(os.environ)]).encode())
    asked.shutdown(socket.SHUT_WR)
    asked.recv(1)
"""


@cache
def warm_reader() -> str:
    """
    A program in the place of `python -P -m reconciler.elsewhere`, whose work is done by a process that is forked, with
    its streams and its environment. It ends with that, and that with its input.
    """
    import_beforehand()
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # short, as addresses of sockets are
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(folder / "asked"))
    door.listen()

    def serve() -> None:
        while True:
            asked, _ = door.accept()
            _FORKS.Process(target=_read, args=(asked,), daemon=True).start()
            asked.close()

    Thread(target=serve, daemon=True).start()
    program = folder / "reader"
    program.write_text(_READER.format(python=sys.executable, address=str(folder / "asked")))
    program.chmod(0o755)
    return str(program)


def _read(asked: socket.socket) -> None:
    """What reads another registry, with the streams and the environment of who asked."""
    os.setsid()
    multiprocessing.current_process().daemon = False
    _, streams, _, _ = socket.recv_fds(asked, 1, 2)
    for stream, opened in enumerate(streams):
        os.dup2(opened, stream)
        os.close(opened)
    sys.stdin = os.fdopen(0)
    arguments, environment = json.load(asked.makefile())
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environment)

    from reconciler.elsewhere import main

    main(*arguments)


def _run(
    arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], out: Path, err: Path, reader: str
) -> None:
    _become(folder, environment, out, err)
    sys.argv = ["reconciler", *arguments]

    from reconciler.carrying import process
    from reconciler.cli import main

    if reader:
        process.PROGRAM = (reader,)
    main()


def _script(
    script: Path, arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], out: Path, err: Path
) -> None:
    _become(folder, environment, out, err)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def _become(folder: Path, environment: Mapping[str, str], out: Path, err: Path, asked: Path = Path(os.devnull)) -> None:
    os.setpgid(0, 0)
    multiprocessing.current_process().daemon = False  # so that it may fork, as a command may
    for stream, path in ((0, asked), (1, out), (2, err)):
        opened = os.open(path, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, stream)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
