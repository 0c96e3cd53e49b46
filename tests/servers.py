"""A real MLflow server, for the tests that need one: its own processes, database and port on the loopback interface."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

MLFLOW = Path(sys.executable).with_name("mlflow")

QUIET = {
    # Nothing of what the tests do leaves this machine.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}

PATIENCE = 240.0
"""Seconds after which a server is given up; it takes some fifteen to start, and a busy machine a hundred."""


def free_port() -> int:
    """A port on the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


ADMINISTRATOR = ("admin", "correct horse battery")
"""Who may do everything on a server with users, and the password."""

BASIC_AUTH = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/users.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@cache
def _template() -> Path:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = Path(tempfile.mkdtemp(prefix="reconciler-database-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    SqlAlchemyStore(f"sqlite:///{folder}/registry.db", "mlflow-artifacts:/").engine.dispose()
    return folder / "registry.db"


def new_database(path: Path) -> Path:
    """A SQLite database with MLflow's tables and nothing in them, which takes seconds to make: a copy of the first."""
    return Path(shutil.copy(_template(), path))


class Nursery:
    """The process that servers are forked from; see `nursery.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **QUIET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(self._process.kill)

    def start(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> "Forked":
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {"arguments": arguments, "folder": str(folder), "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))


nursery = cache(Nursery)


class Forked:
    """A process that is not our child, as far as `subprocess.Popen` would be asked about it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    def wait(self) -> None:
        while self.poll() is None:
            time.sleep(0.01)


class MlflowServer:
    """
    `mlflow server` on a SQLite database in a folder, with users and workspaces or without; or on another database, with
    several workers. It can be killed and started again on the same database.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: bool = False,
        workspaces: bool = False,
        mlflow: Path = MLFLOW,
        backend: str = "",
        workers: int = 1,
    ) -> None:
        self._users, self._workspaces = users, workspaces
        self._mlflow = mlflow
        self._backend = backend
        self._workers = workers
        self.database = folder / "registry.db"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def start(self) -> None:
        """Start it, and come back when it answers."""
        # One worker: it starts in half the time, and its answers on a connection that is kept open do not wait 40 ms
        # for a delayed acknowledgement, as they do with several (seen in MLflow 3.17). It still has many threads.
        ours = self._mlflow == MLFLOW
        if ours and not self._backend and not self.database.exists():
            nursery()  # it imports while the tables are made
            new_database(self.database)
        command = [
            *(str(self._mlflow), "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", str(self._workers)),
            *("--backend-store-uri", self._backend or f"sqlite:///{self.database}"),
            *("--artifacts-destination", str(self._folder / "artifacts")),
        ]
        if self._workers > 1:
            # Those of uvicorn, the default, end each other on a busy machine (seen in MLflow 3.17).
            command += [
                "--gunicorn-opts",
                "--worker-class gthread --threads 8 --timeout 120 --preload --no-control-socket",
            ]
        if self._workspaces:
            command += ["--enable-workspaces"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        if self._users:
            settings = self._folder / "basic_auth.ini"
            settings.write_text(BASIC_AUTH.format(folder=self._folder))
            command += ["--app-name", "basic-auth"]
            inherited["MLFLOW_AUTH_CONFIG_PATH"] = str(settings)
            inherited["MLFLOW_AUTH_ADMIN_PASSWORD"] = ADMINISTRATOR[1]
            inherited["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "for tests alone"
        environment = {**inherited, **QUIET}
        if ours:
            self._process = nursery().start(command[2:], self._folder, environment, self._log)
        else:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait(self, process: "subprocess.Popen[bytes] | Forked") -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"mlflow server did not start:\n{said}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """End it and the workers that it started, at once and without a word."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server that the tests of a session share: each keeps to model names of its own."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server.uri
    server.kill()


@pytest.fixture(scope="session")
def mlflow_server_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same, for a test that looks at all that a registry holds."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-alone"))
    server.start()
    yield server.uri
    server.kill()


@pytest.fixture(scope="session")
def server_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same, with MLflow's basic-auth: users, roles and grants."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-users"), users=True)
    server.start()
    yield server.uri
    server.kill()
