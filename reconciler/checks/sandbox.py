"""
Runs what we did not write: checks, and the code inside models. It gets its own process group, folders and environment,
and none of our credentials; when its time is over, or it ends and leaves processes behind, they are all killed.

It runs as another user, or in namespaces, or, where there is no secret to be found, as it is: `way_to_run` tries what
code could reach from there, and runs nothing where it could reach a credential. It is no virtual machine: the kernel is
shared, and commands, tests and notebooks have the network.
"""

import ctypes
import json
import os
import pwd
import re
import select
import signal
import site
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final

from reconciler.checks.reach import secret_names
from reconciler.core.names import ModelRef, Version
from reconciler.core.text import without_credentials, without_secrets
from reconciler.errors import ReconcilerError

KEEPER: Final = Path(__file__).with_name("keeper.py")
REACH: Final = Path(__file__).with_name("reach.py")
PACKAGE: Final = Path(__file__).parents[1]
"""All of us: whoever can write there is run by the next command."""
MOST_OUTPUT = 1024 * 1024
"""How many bytes of its output are kept: the first half of it from the beginning, the rest from the end."""

GRACE = 10.0
"""Seconds for the keeper to end what it has started."""

PR_SET_DUMPABLE = 4

INHERITED: Final = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ", "VIRTUAL_ENV"),
    # Without these a server whose certificate is the company's own could not be asked.
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_WORKSPACE"),
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

NOBODY: Final = 65534
"""Whom the kernel means by a user that has no name; root becomes this one in namespaces."""

SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store", "/gnu/store"),
    # Names of servers are resolved by a file that `/etc/resolv.conf` may be a link to.
    os.path.realpath("/etc/resolv.conf"),
)
"""What programs need to run, and everybody may read."""

CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH")


@dataclass(frozen=True, slots=True)
class Way:
    """How code is kept from what is ours: by a user of its own, in namespaces, by both or, where both fail, not."""

    user: str = ""
    namespaces: bool = False

    def identity(self) -> tuple[int, int]:
        """The user and group to become, or -1. Raises ReconcilerError where that is not possible."""
        if not self.user:
            return (NOBODY, NOBODY) if self.namespaces and os.geteuid() == 0 else (-1, -1)
        if os.geteuid() != 0:
            raise ReconcilerError(f"{USER_VARIABLE} names {self.user}, and only root can run checks as another user.")
        try:
            entry = pwd.getpwnam(self.user)
        except KeyError as error:
            raise ReconcilerError(
                f"{USER_VARIABLE} names {self.user}, a user who does not exist on this machine."
            ) from error
        if entry.pw_uid == 0:
            raise ReconcilerError(
                f"{USER_VARIABLE} names {self.user}, who is root.", "Name a user without permissions."
            )
        return entry.pw_uid, entry.pw_gid


OPEN: Final = Way()


@dataclass(frozen=True, slots=True)
class Subject:
    """The version that is looked at, a copy of its files, and where MLflow is."""

    model: ModelRef
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


COMMAND_FILES: Final = ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "BASH_ENV")
"""Files, by the variables that name them, through which later steps of a job are told what to run and with what."""

_CREDENTIAL_FILES: Final = (
    *(".netrc", ".git-credentials", ".config/git/credentials", ".aws/credentials", ".azure/msal_token_cache.json"),
    *(".config/gcloud/application_default_credentials.json", ".config/gcloud/credentials.db", ".docker/config.json"),
    *(".kube/config", ".databrickscfg", ".mlflow/credentials", ".pypirc", ".npmrc", ".config/gh/hosts.yml"),
    *(".config/glab-cli/config.yml", ".huggingface/token", ".cache/huggingface/token", ".ssh/id_*"),
)
_CREDENTIAL_FILE_VARIABLES: Final = (
    *("NETRC", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("KUBECONFIG", "DATABRICKS_CONFIG_FILE", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
)
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_SOCKETS: Final = (
    *("/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock"),
    *("/run/user/{}/bus", "/run/user/{}/docker.sock", "/run/user/{}/podman/podman.sock"),
)
_GIT_CREDENTIALS: Final = re.compile(r"(?i)extraheader|://[^/\s]*:[^/\s]*@")


def way_to_run(ours: Mapping[str, str], secret_files: Sequence[Path] = ()) -> Way:
    """
    How code that nobody trusts is to be run here: the first way from which it reaches no credential, as was tried.
    `secret_files` are such, besides those that are found. Raises ReconcilerError where there is no such way.
    """
    user = ours.get(USER_VARIABLE, "")
    ways = (Way(user, namespaces=True), Way(user)) if user else (Way(namespaces=True), OPEN)
    why: list[str] = []
    for way in ways:
        found = _reached_from(way, ours, secret_files)
        if not found:
            return way
        why.append(found)
    raise ReconcilerError(
        f"A check runs the model's code, and nothing here keeps it from credentials: {'; '.join(why)}.",
        f"Run it as root, with a user without permissions in {USER_VARIABLE}; or where the kernel allows namespaces; "
        "or in a job that holds no credentials.",
    )


def _reached_from(way: Way, ours: Mapping[str, str], secret_files: Sequence[Path]) -> str:
    """What code that is run this way could reach, or why it cannot be run so; nothing where all is well."""
    called = f"as {way.user}" if way.user else "as this user"
    called = f"{called}, in namespaces" if way.namespaces else called
    asked = {
        "read": _readable_secrets(ours, secret_files),
        "write": _run_later(ours, way),
        "sockets": _agent_sockets(ours),
    }
    with tempfile.TemporaryDirectory(prefix="reconciler-reach-") as top:
        folder = Path(os.path.realpath(top))
        folder.chmod(0o711)
        home = folder / "home"
        home.mkdir()
        chown(home, way)
        command = (sys.executable, "-I", "-S", str(REACH), json.dumps(asked))
        log = folder / "log"
        ended = run(command, home, Surroundings({}), GRACE, log, way=way, writable=(home,))
        said = log.read_text(errors="replace")
    if ended.exit_code != 0:
        return f"{called}, nothing can be run ({ended.trouble or said.strip() or 'it did not end'})"
    found: list[str] = json.loads(said)
    if way == OPEN and (names := secret_names(ours)):
        found.insert(0, f"our own environment has {', '.join(names[:5])}")
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"{called}, {', '.join(found[:5])}{more}" if found else ""


def _readable_secrets(ours: Mapping[str, str], secret_files: Sequence[Path]) -> list[str]:
    """Files that hold credentials, as far as they are known by their names or their contents."""
    home = Path(ours.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  # no user need be known
    found = [place for name in _CREDENTIAL_FILES for place in home.glob(name) if place.suffix != ".pub"]
    found += [Path(ours[name]) for name in _CREDENTIAL_FILE_VARIABLES if ours.get(name)]
    # GitLab's variables of the type `file` hold a path.
    found += [Path(ours[name]) for name in secret_names(ours) if ours[name].startswith("/")]
    found += [Path(_SERVICE_ACCOUNT), *secret_files, *(place.with_suffix("") for place in secret_files)]
    if ours.get("RUNNER_TEMP"):
        found += Path(ours["RUNNER_TEMP"]).glob("git-credentials-*.config")
    for config in (*_git_configs(), home / ".gitconfig", home / ".config/git/config"):
        with suppress(OSError):
            if _GIT_CREDENTIALS.search(config.read_text(errors="replace")):
                found.append(config)
    return sorted({str(place.absolute()) for place in found if place.is_file()})


def _git_configs() -> list[Path]:
    return [folder / ".git" / "config" for folder in (Path.cwd(), *Path.cwd().parents)]


def _run_later(ours: Mapping[str, str], way: Way) -> list[str]:
    """What others run, or obey, after the check: the later steps of the job and, where those have secrets, we."""
    found = [Path(ours[name]) for name in COMMAND_FILES if ours.get(name)]
    if way != OPEN:
        found += [PACKAGE, *PACKAGE.glob("*/"), *map(Path, site.getsitepackages()), *_git_configs()]
    return sorted({str(place) for place in found if place.exists()})


def _agent_sockets(ours: Mapping[str, str]) -> list[str]:
    found = [place.format(os.geteuid()) for place in _SOCKETS]
    found += [ours.get("SSH_AUTH_SOCK", ""), ours.get("DOCKER_HOST", "").removeprefix("unix://")]
    found += re.findall("unix:path=([^,;]+)", ours.get("DBUS_SESSION_BUS_ADDRESS", ""))
    return sorted({place for place in found if place and Path(place).is_socket()})


def surroundings(
    ours: Mapping[str, str],
    asked_for: Iterable[str],
    subject: Subject,
    home: Path,
    result: Path,
    *,
    reads: bool = True,
) -> Surroundings:
    """
    The environment of a check: a few variables of ours, those that the policy asks for and may have, and where the
    model is; with `reads`, the credentials that may read. `python` is the one that we run with.
    """
    names = tuple(dict.fromkeys(asked_for))
    refused = tuple(name for name in names if NEVER.fullmatch(name))
    given = {name: ours[name] for name in names if name in ours and name not in refused}
    read_only = {theirs: ours[mine] for mine, theirs in READ_ONLY.items() if reads and ours.get(mine)}
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
    way: Way = OPEN,
    *,
    writable: Sequence[Path] = (),
    network: bool = True,
) -> Finished:
    """
    Run a command in a folder for at most `timeout` seconds, its output in a file, which holds at most `most_output`
    bytes of it and none of the secrets. Nothing of it is alive afterwards. Where it is confined, it can write the
    `writable` places alone, and has no `network` where namespaces can take it.
    """
    _hide_from_children()
    uid, gid = way.identity()
    reading, writing = os.pipe()
    output = _Output(most_output)
    root = log.with_name("root")
    if way.namespaces:
        root.mkdir(exist_ok=True)
    order = {
        "report": writing,
        "uid": uid,
        "gid": gid,
        "namespaces": way.namespaces,
        "network": network,
        "root": str(root),
        "shown": shown(around.variables),
        "writable": [str(place) for place in writable],
        "folder": str(folder),
        "command": [str(word) for word in command],
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER), json.dumps(order)],
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


def shown(variables: Mapping[str, str]) -> list[str]:
    """The places that confined code can read: the system, our Python with its libraries, and certificates."""
    ours = (sys.prefix, sys.base_prefix, *site.getsitepackages(), Path(os.path.realpath(sys.executable)).parents[1])
    named = (variables[name] for name in CERTIFICATES if variables.get(name))
    places = dict.fromkeys(os.path.abspath(place) for place in (*SYSTEM, *ours, PACKAGE, *named))  # noqa: PTH100
    return sorted(place for place in places if place != "/" and Path(place).exists())


def chown(folder: Path, way: Way) -> None:
    """Give a folder to the user that commands run as, if there is one."""
    uid, gid = way.identity()
    if uid < 0:
        return
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):  # noqa: PTH118  # as `walk` gives them
            os.chown(path, uid, gid, follow_symlinks=False)


def redacted(data: bytes, secrets: Iterable[str]) -> bytes:
    """Output without secrets. It need not be text, and nor need a secret in the environment."""
    return without_secrets(data.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")


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
        log.write_bytes(redacted(bytes(self._head) + mark + b"".join(self._tail), secrets))
