"""A real PostgreSQL, for the tests that need one: its own process, data and port on the loopback interface."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.servers import MlflowServer, free_port

USER, PASSWORD = "ada", "s3cret word"
PATIENCE = 60.0
NUMBER = count()

UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to be root."""


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps them off the PATH."""
    onto_path = shutil.which("initdb")
    places = [Path(onto_path).resolve().parent] if onto_path else []
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(versions, key=lambda place: (len(place.parent.name), place.parent.name), reverse=True)
    return next((place for place in places if (place / "postgres").exists() and (place / "initdb").exists()), None)


class Postgres:
    """One server in a folder of its own, with as many databases as tests ask for."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._user = UNPRIVILEGED if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        words = self._folder / "password"
        words.write_text(PASSWORD)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", f"--username={USER}", f"--pwfile={words}"]
        made = subprocess.run(
            [self._place / "initdb", "--auth=scram-sha-256", *options, "--pgdata", self._data],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{made.stderr.decode(errors='replace')}")
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off"]
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._place / "postgres", "-D", self._data, "-p", str(self.port), *(f"-c{one}" for one in settings)],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> "psycopg.Connection":
        """A connection without any code of ours or MLflow's."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def uri(self, database: str, *, driver: str = "psycopg", password: str = PASSWORD, port: int | None = None) -> str:
        """The address of a database as MLflow takes it."""
        return f"postgresql+{driver}://{USER}:{password.replace(' ', '%20')}@127.0.0.1:{port or self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """A new database, empty or a copy of another one that nobody is connected to."""
        name = f"database_{next(NUMBER)}"
        with self.connect() as connection:
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def stop(self) -> None:
        if self._process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT):  # disconnect everybody and end; end at once
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE / 2)
                    break
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that the tests of a session share; skips the test where there is none."""
    place = binaries()
    if place is None:
        pytest.skip("initdb and postgres are neither on the PATH nor in /usr/lib/postgresql/*/bin")
    server = Postgres(place)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """A database with MLflow's tables and nothing in them, to be copied."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    name = postgres.create()
    SqlAlchemyStore(postgres.uri(name), "mlflow-artifacts:/").engine.dispose()
    return name


@pytest.fixture(scope="session")
def postgres_uri(postgres: Postgres, postgres_template: str) -> str:
    """A registry in PostgreSQL that the tests of a session share: each keeps to model names of its own."""
    return postgres.uri(postgres.create(postgres_template))


@pytest.fixture(scope="session")
def mlflow_server_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, postgres_template: str
) -> Iterator[str]:
    """An MLflow server on PostgreSQL with several workers, as in production: nothing but the database parts writers."""
    # With psycopg, MLflow fails to swap versions: PostgreSQL does not compare a number with text (seen in 3.17).
    backend = postgres.uri(postgres.create(postgres_template), driver="psycopg2")
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-postgres"), backend=backend, workers=2)
    server.start()
    yield server.uri
    server.kill()
