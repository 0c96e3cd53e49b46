"""Databases and folders that are opened in place: nothing is created or migrated, and no call lasts for ever."""

import hashlib
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from reconciler.cli import run
from reconciler.core.changes import TransitionStage
from reconciler.core.names import ModelRef, Version
from reconciler.errors import RegistryError
from reconciler.evidence.artifacts import Artifacts
from reconciler.ports import UNREACHABLE, Tries, Wanted
from reconciler.registry.mlflow import MlflowRegistry
from tests.build import N, P, S, have
from tests.contract.test_registry import InMlflow, read
from tests.postgres import PASSWORD, USER, Postgres
from tests.servers import free_port, new_database
from tests.story.repository import WITHOUT_CONFIGURATION

OLDER = "3500859a5d39"
"""A revision of MLflow's schema that is older than 2.9, and whose tables are not all there are today."""

ONCE = Tries(1, 0.0, 2.0)


def migrated(uri: str, revision: str) -> None:
    """A database whose schema MLflow left at some revision, by MLflow's own scripts."""
    import mlflow.store.db.utils as mlflow_db
    import sqlalchemy
    from alembic import command
    from mlflow.store.tracking.dbmodels.initial_models import Base

    untyped: Any = mlflow_db
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    config = untyped._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a command runs in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def database(here: Path) -> Path:
    return new_database(here / "registry.db")


def edited(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below, with the digest of each file."""
    below = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in below
    }


def refused(uri: str) -> RegistryError:
    with pytest.raises(RegistryError) as error:
        MlflowRegistry(uri, uri, tries=ONCE).snapshot(Wanted({}))
    return error.value


def at_older_schema(path: Path) -> str:
    path.unlink()
    migrated(f"sqlite:///{path}", OLDER)
    return "older-schema"


def at_newer_schema(path: Path) -> str:
    edited(path, "UPDATE alembic_version SET version_num = 'feedfacefeed'")
    return "newer-schema"


def without_a_table(path: Path) -> str:
    edited(path, "DROP TABLE model_versions")
    return "damaged-schema"


def at_older_schema_with_a_write_ahead_log(path: Path) -> str:
    code = at_older_schema(path)
    edited(path, "PRAGMA journal_mode = WAL")
    return code


def of_somebody_else(path: Path) -> str:
    path.unlink()
    edited(path, "CREATE TABLE invoices (number INTEGER)")
    return "empty-database"


def without_anything(path: Path) -> str:
    path.write_bytes(b"")
    return "empty-database"


def that_is_none(path: Path) -> str:
    path.write_text("not a database, though it is a file that is there")
    return UNREACHABLE


def that_is_missing(path: Path) -> str:
    path.unlink()
    return "no-such-database"


UNREADY = [
    at_older_schema,
    at_older_schema_with_a_write_ahead_log,
    at_newer_schema,
    without_a_table,
    of_somebody_else,
    without_anything,
    that_is_none,
    that_is_missing,
]


@pytest.mark.parametrize("unready", UNREADY, ids=lambda make: make.__name__)
def test_a_database_that_mlflow_would_create_or_migrate_is_refused_and_left_as_it_was(
    here: Path, database: Path, unready: Callable[[Path], str]
) -> None:
    code = unready(database)
    before = contents(here)

    error = refused(f"sqlite:///{database}")

    assert error.code == code
    assert str(database) in error.message
    assert error.fix
    assert contents(here) == before


def test_an_older_schema_is_told_with_both_revisions_and_the_command_that_upgrades_it(database: Path) -> None:
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    at_older_schema(database)

    error = refused(f"sqlite:///{database}")

    assert OLDER in error.message
    assert str(ScriptDirectory(migrations.__path__[0]).get_current_head()) in error.message
    assert f"`mlflow db upgrade sqlite:///{database}`" in error.fix


def test_a_newer_schema_asks_for_a_newer_mlflow_and_for_no_migration(database: Path) -> None:
    at_newer_schema(database)

    error = refused(f"sqlite:///{database}")

    assert "feedfacefeed" in error.message
    assert "Upgrade MLflow in this job" in error.fix
    assert "db upgrade" not in str(error)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///typo/registry.db", "sqlite://", "sqlite:///:memory:", "sqlite:///file:registry.db?uri=true",
        "sqlite:///file:typo/registry.db?mode=rwc&uri=true", "sqlite:///typo%2Fregistry.db", "sqlite+pysqlite:///typo.db",
        "sqlite:///registry%2Edb?x=typo/y", "./typo", "typo", "file:typo", "file://{here}/typo", "{here}", "mlruns",
    ],
)  # fmt: skip
@pytest.mark.parametrize("allowed", ["", "true"], ids=["", "file stores allowed"])
def test_a_mistyped_place_is_refused_and_nothing_is_made_there(
    here: Path, database: Path, monkeypatch: pytest.MonkeyPatch, uri: str, allowed: str
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", allowed or "false")
    (here / "mlruns").mkdir()
    before = contents(here)

    error = refused(uri.format(here=here))

    assert error.code in {"no-such-database", "no-such-folder"}
    assert contents(here) == before


@pytest.mark.parametrize(
    "uri", ["sqlite:///registry.db", "sqlite:////{here}/registry.db", "sqlite:///./registry.db?a=b"]
)
def test_a_registry_and_its_runs_are_read_without_a_trace(here: Path, database: Path, uri: str) -> None:
    before = contents(here)
    registry = MlflowRegistry(uri.format(here=here), uri.format(here=here))

    models = registry.snapshot(Wanted({ModelRef("nobody"): frozenset()})).models
    runs = Artifacts(registry).tracking.search_runs(["0"], "", 1)

    assert models == {}
    assert list(runs) == []
    assert contents(here) == before


def test_where_there_are_no_experiments_mlflow_makes_none(here: Path, database: Path) -> None:
    edited(database, "DELETE FROM experiments")
    before = contents(here)
    registry = MlflowRegistry(f"sqlite:///{database}", f"sqlite:///{database}")

    with pytest.raises(RegistryError, match="no experiments"):
        _ = Artifacts(registry).tracking

    assert contents(here) == before


COMMANDS = [
    ["plan"], ["plan", "--base", "HEAD", "--evidence", "all"], ["apply", "--yes"], ["drift"], ["gates", "Churn"],
    ["check", "Churn", "1"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_what_mlflow_would_migrate(
    here: Path,
    database: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    at_older_schema(database)
    (here / "manifests").mkdir()
    (here / "manifests" / "churn.yaml").write_text("model: Churn\nstages:\n  Production: 1\n")
    check = (
        'checks:\n  fine: {command: ["true"]}\nslots:\n  - slot: Production\n    gates:\n      - check: {name: fine}\n'
    )
    (here / "reconciler.yaml").write_text(check)
    for variable, value in WITHOUT_CONFIGURATION.items():
        monkeypatch.setenv(variable, value)
    for words in (["init", "--quiet"], ["add", "manifests", "reconciler.yaml"], ["commit", "--quiet", "--message=x"]):
        subprocess.run(["git", "-c", "user.name=Ada", "-c", "user.email=ada@acme.example", *words], check=True)
    before = database.read_bytes()

    code = run([*command, "--registry-uri", f"sqlite:///{database}"])

    said = capsys.readouterr()
    assert code == 1, said
    assert OLDER in said.err
    assert database.read_bytes() == before
    assert not (here / "mlruns").exists()


def test_a_call_that_took_too_long_is_not_committed(database: Path) -> None:
    uri = f"sqlite:///{database}"
    place = InMlflow(MlflowRegistry(uri, uri))
    live = replace(have({1: P, 2: S}), name=ModelRef("late"))
    place.seed(live)
    late = MlflowRegistry(uri, uri, tries=Tries(1, 0.0, 0.0))

    with pytest.raises(RegistryError, match="took too long") as error:
        late.execute(TransitionStage(live.name, Version(2), S, P, True, (Version(1),)))

    assert error.value.code == UNREACHABLE
    assert read(place, live.name)[live.name].occupants(P) == (1,)


@pytest.mark.timeout(60)
def test_a_database_that_somebody_else_writes_to_is_waited_for_as_long_as_one_call_may_last(database: Path) -> None:
    uri = f"sqlite:///{database}"
    live = replace(have({1: N}), name=ModelRef("busy"))
    InMlflow(MlflowRegistry(uri, uri)).seed(live)
    registry = MlflowRegistry(uri, uri, tries=ONCE)

    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryError, match="Another process is writing") as error:
            registry.execute(TransitionStage(live.name, Version(1), N, P))

    assert error.value.code == UNREACHABLE


# PostgreSQL


def unreachable_places(postgres: Postgres, database: str) -> dict[str, tuple[str, str]]:
    return {
        "a wrong password": (postgres.uri(database, password="wr0ng"), "check the user, the password"),
        "no such database": (postgres.uri("nowhere"), '"nowhere" does not exist'),
        "nothing listens": (postgres.uri(database, port=free_port()), "Nothing answers at 127.0.0.1, port"),
        "no such host": (f"postgresql+psycopg://{USER}:wr0ng@nowhere.invalid/x", "nowhere.invalid does not resolve"),
        "no tables": (postgres.uri("postgres"), "no MLflow tables"),
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "case", ["a wrong password", "no such database", "nothing listens", "no such host", "no tables"]
)
def test_a_database_that_cannot_be_opened_is_told_soon_with_a_remedy_and_without_a_password(
    postgres: Postgres, postgres_template: str, case: str
) -> None:
    uri, words = unreachable_places(postgres, postgres_template)[case]

    error = refused(uri)

    assert words in str(error)
    assert error.fix
    assert "wr0ng" not in str(error)
    assert PASSWORD not in str(error)


def test_an_older_schema_in_postgresql_is_refused_and_left_as_it_was(postgres: Postgres) -> None:
    name = postgres.create()
    migrated(postgres.uri(name), OLDER)

    error = refused(postgres.uri(name))

    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    with postgres.connect(name) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLDER,)]
        assert (connection.execute(tables).fetchone() or (99,))[0] < 20
    assert OLDER in error.message
    assert f"`mlflow db upgrade postgresql+psycopg://127.0.0.1:{postgres.port}/{name}`" in error.fix


def test_a_driver_that_is_missing_is_named_with_the_one_that_is_there() -> None:
    if find_spec("pg8000") is not None:
        pytest.skip("pg8000 is installed")

    error = refused("postgresql+pg8000://ada:wr0ng@db.acme.example/mlflow")

    assert "needs the Python module pg8000" in error.message
    assert "psycopg is installed: write `postgresql+psycopg://…`" in error.fix
    assert "pip install 'pg8000'" in error.fix
    assert "wr0ng" not in str(error)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgres://ada:wr0ng@h/db", "Write `postgresql://"),
        ("postgresql+nothing://ada:wr0ng@h/db", "`postgresql+psycopg`"),
        ("postgresql+psycopg://ada:wr0ng@h:port/db", "percent-encoded"),
        ("postgresql+psycopg:/ada:wr0ng", "percent-encoded"),
    ],
)
def test_what_is_no_address_of_a_database_is_told_how_to_write_one(uri: str, words: str) -> None:
    error = refused(uri)

    assert words in error.fix
    assert "wr0ng" not in str(error)


@pytest.fixture
def swap(postgres_uri: str, request: pytest.FixtureRequest) -> TransitionStage:
    """A promotion of a model of its own, which is not made yet."""
    name = ModelRef(f"swap-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}")
    InMlflow(MlflowRegistry(postgres_uri, postgres_uri)).seed(replace(have({1: P, 2: S}), name=name))
    return TransitionStage(name, Version(2), S, P, True, (Version(1),))


def in_production(uri: str, model: ModelRef) -> tuple[int, ...]:
    return read(InMlflow(MlflowRegistry(uri, uri)), model)[model].occupants(P)


@pytest.mark.timeout(60)
def test_a_row_that_somebody_else_holds_is_waited_for_as_long_as_one_call_may_last(
    postgres: Postgres, postgres_uri: str, swap: TransitionStage
) -> None:
    registry = MlflowRegistry(postgres_uri, postgres_uri, tries=ONCE)
    _ = registry.store

    with postgres.connect(postgres_uri.rpartition("/")[2]) as other, other.transaction():
        other.execute("SELECT 1 FROM model_versions WHERE name = %s FOR UPDATE", [swap.model])
        with pytest.raises(RegistryError, match="statement timeout") as error:
            registry.execute(swap)

    assert error.value.code == UNREACHABLE
    assert in_production(postgres_uri, swap.model) == (1,)


@contextmanager
def relay(port: int, released: Event) -> Generator[int]:
    """Passes bytes on to a port of this machine; a commit only once it is released. Its own port."""

    def passed_on(source: socket.socket, sink: socket.socket, *, from_client: bool) -> None:
        try:
            while data := source.recv(65536):
                if from_client and b"COMMIT" in data.upper():
                    released.wait(50)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def served() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            Thread(target=passed_on, args=(client, server), kwargs={"from_client": True}, daemon=True).start()
            Thread(target=passed_on, args=(server, client), kwargs={"from_client": False}, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=served, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.timeout(60)
def test_a_commit_that_was_held_up_for_longer_than_one_call_may_last_changes_nothing(
    postgres: Postgres, postgres_uri: str, swap: TransitionStage
) -> None:
    released = Event()
    released.set()
    with relay(postgres.port, released) as port:
        uri = postgres.uri(postgres_uri.rpartition("/")[2], port=port)
        registry = MlflowRegistry(uri, uri, tries=ONCE)
        _ = registry.store
        released.clear()

        with pytest.raises(RegistryError) as error:
            registry.execute(swap)
        released.set()

    assert error.value.code == UNREACHABLE
    assert in_production(postgres_uri, swap.model) == (1,)


def test_nothing_is_left_in_the_folder_of_a_command_by_a_registry_in_postgresql(here: Path, postgres_uri: str) -> None:
    registry = MlflowRegistry(postgres_uri, postgres_uri)

    registry.snapshot(Wanted({}))
    _ = Artifacts(registry).tracking

    assert list(here.iterdir()) == []
