"""
Runs what we did not write: checks, and the code inside models. It gets its own process group, folders and environment,
and none of our credentials; when its time is over, or it ends and leaves processes behind, they are all killed.

It keeps honest code from doing harm by mistake, and a hostile model from what it could most easily take. It is no
virtual machine: the network is open, and without a user of its own it may read what the user of this process may read.
"""

import ctypes
import json
import os
import pwd
import re
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final

from reconciler.adapters.mlflow_registry import without_credentials
from reconciler.core.names import ModelName, Version
from reconciler.errors import ReconcilerError

KEEPER: Final = Path(__file__).with_name("keeper.py")
MOST_OUTPUT = 1024 * 1024
"""How many bytes of its output are kept: the first half of it from the beginning, the rest from the end."""

GRACE = 10.0
"""Seconds for the keeper to end what it has started."""

PR_SET_DUMPABLE = 4

INHERITED: Final = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ", "VIRTUAL_ENV"),
    # Without these a server whose certificate is the company's own could not be asked.
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"),
)

NEVER: Final = re.compile(
    r"(?i)MLFLOW_TRACKING_(?!SERVER_CERT_PATH$|INSECURE_TLS$).*|MLFLOW_REGISTRY_URI|AWS_.*|AZURE_.*|GOOGLE_APPLICATION_.*"
    r"|DATABRICKS_.*|GITHUB_TOKEN|GH_.*TOKEN|GITLAB_TOKEN|CI_JOB_TOKEN|CI_JOB_JWT.*|CI_.*PASSWORD|ACTIONS_.*TOKEN"
    r"|RECONCILER_.*|SSH_AUTH_SOCK|SSH_AGENT_PID|GIT_.*|HOME|TMPDIR|PATH|MODEL_(URI|NAME|VERSION|PATH)|LD_.*|DYLD_.*"
)
"""What the policy cannot ask for either: credentials that may write, and what we set ourselves."""

READ_ONLY: Final = {
    "RECONCILER_CHECK_USERNAME": "MLFLOW_TRACKING_USERNAME",
    "RECONCILER_CHECK_PASSWORD": "MLFLOW_TRACKING_PASSWORD",
    "RECONCILER_CHECK_TOKEN": "MLFLOW_TRACKING_TOKEN",
}
"""Credentials that may read, by the names under which they reach a check."""

USER_VARIABLE: Final = "RECONCILER_CHECK_USER"


@dataclass(frozen=True, slots=True)
class Subject:
    """The version that is looked at, a copy of its files, and where MLflow is."""

    model: ModelName
    version: Version
    files: Path
    tracking_uri: str
    registry_uri: str


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `exit_code` is None where it did not come to its end; `trouble` says why it never began."""

    exit_code: int | None
    timed_out: bool = False
    trouble: str = ""
    left: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment of a command, what in it must not be shown, and the names that the policy was refused."""

    variables: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def surroundings(
    ours: Mapping[str, str], asked_for: Iterable[str], subject: Subject, home: Path, result: Path
) -> Surroundings:
    """
    The environment of a check: a few variables of ours, those that the policy asks for and may have, and where the
    model is. `python` is the one that we run with.
    """
    names = tuple(dict.fromkeys(asked_for))
    refused = tuple(name for name in names if NEVER.fullmatch(name))
    given = {name: ours[name] for name in names if name in ours and name not in refused}
    read_only = {theirs: ours[mine] for mine, theirs in READ_ONLY.items() if ours.get(mine)}
    variables = {
        **{name: ours[name] for name in INHERITED if name in ours},
        **given,
        **read_only,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), ours.get("PATH") or os.defpath)),
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": without_credentials(subject.tracking_uri),
        "MLFLOW_REGISTRY_URI": without_credentials(subject.registry_uri),
        "MODEL_URI": f"models:/{subject.model}/{subject.version}",
        "MODEL_NAME": subject.model,
        "MODEL_VERSION": str(subject.version),
        "MODEL_PATH": str(subject.files),
        "RECONCILER_CHECK_RESULT": str(result),
    }
    secret = (value for name, value in given.items() if re.search("(?i)passw|secret|token|key|credential", name))
    return Surroundings(variables, tuple({*read_only.values(), *secret}), refused)


def run(
    command: Sequence[str],
    folder: Path,
    around: Surroundings,
    timeout: float,
    log: Path,
    most_output: int = MOST_OUTPUT,
    user: str = "",
) -> Finished:
    """
    Run a command in a folder for at most `timeout` seconds, its output in a file, which holds at most `most_output`
    bytes of it and none of the secrets. Nothing of it is alive afterwards. `user` is whom it runs as, which needs root.
    """
    _hide_from_children()
    identity = _identity(user)
    reading, writing = os.pipe()
    output = _Output(most_output)
    keeper = [sys.executable, "-I", "-S", str(KEEPER), str(writing), *map(str, identity), str(folder), *command]
    try:
        process = subprocess.Popen(
            keeper,
            env=dict(around.variables),
            stdin=subprocess.DEVNULL,
            stdout=output.into,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        os.close(reading)
        output.begun()
        output.save(log, around.secrets)
        return Finished(None, trouble=str(error))
    finally:
        os.close(writing)
    output.begun()
    with os.fdopen(reading, "rb") as report:
        timed_out = False
        try:
            if not select.select([report], [], [], timeout)[0]:
                timed_out = True
                process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                timed_out = True
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.save(log, around.secrets)
        said = report.read(65536) if select.select([report], [], [], 0)[0] else b""
    return _finished(said, timed_out)


def chown(folder: Path, user: str) -> None:
    """Give a folder to the user that commands run as, if there is one."""
    uid, gid = _identity(user)
    if uid < 0:
        return
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):  # noqa: PTH118  # as `walk` gives them
            os.chown(path, uid, gid, follow_symlinks=False)


def without_secrets(data: bytes, secrets: Iterable[str]) -> bytes:
    for secret in secrets:
        if len(secret) >= 4:
            data = data.replace(secret.encode(), b"***")
    return data


def _finished(said: bytes, timed_out: bool) -> Finished:
    try:
        told: dict[str, Any] = json.loads(said or b"{}")
    except ValueError:
        told = {}
    left = int(told.get("left", 0))
    if timed_out or "ended" in told:
        return Finished(None, timed_out=True, left=left)
    if "trouble" in told:
        return Finished(None, trouble=str(told["trouble"]))
    if "exit" not in told:
        return Finished(None, trouble="its keeper was killed")
    return Finished(int(told["exit"]), left=left)


def _identity(user: str) -> tuple[int, int]:
    if not user:
        return -1, -1
    if os.geteuid() != 0:
        raise ReconcilerError(f"{USER_VARIABLE} names {user}, and only root can run checks as another user.")
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise ReconcilerError(f"{USER_VARIABLE} names {user}, whom this machine does not know.") from error
    return entry.pw_uid, entry.pw_gid


def _hide_from_children() -> None:
    """
    From now on, processes of the same user cannot read our environment and memory in /proc; root can. It is not taken
    back: something that got away from its keeper must not find it undone.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


class _Output:
    """Reads all that a command says, and keeps the beginning and the end."""

    def __init__(self, most: int) -> None:
        self._pipe, self.into = os.pipe()
        self._half = most // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0
        self._thread = Thread(target=self._read, name="check-output", daemon=True)
        self._thread.start()

    def begun(self) -> None:
        """The command has its end of the pipe; ours must go, or there would be no end to read."""
        os.close(self.into)

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while block := os.read(self._pipe, 65536):
                self._take(block)

    def _take(self, block: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        if block:
            self._tail.append(block)
            self._tail_size += len(block)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._half:
            gone = len(self._tail.popleft())
            self._tail_size -= gone
            self._dropped += gone

    def save(self, log: Path, secrets: Iterable[str]) -> None:
        self._thread.join(2.0)
        if not self._thread.is_alive():
            os.close(self._pipe)
        mark = f"\n… {self._dropped} bytes are left out here …\n".encode() if self._dropped else b""
        log.write_bytes(without_secrets(bytes(self._head) + mark + b"".join(self._tail), secrets))
