"""
Registries that are opened in place: databases, and folders of files.

MLflow creates what is not there and migrates what is old as soon as it opens one, and waits for a database without an
end (seen in 2.9 to 3.18). So each is looked at before, by reading alone, and each call is given an end: by the driver,
by the database, and by us.
"""

import socket
import sys
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from urllib.parse import quote

from reconciler.errors import RegistryError
from reconciler.ports import UNREACHABLE, Tries
from reconciler.registry.unreachable import sentence

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import URL, Connection, Engine

PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The kinds of database that MLflow opens over a network, and where each listens by default."""

SERVICES: Final = {"databricks", "databricks-uc", "uc"}
"""Registries that are named by one word; any other word is a folder."""

DRIVERS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "postgresql": {
        "psycopg": ("psycopg", "psycopg[binary]"),
        "psycopg2": ("psycopg2", "psycopg2-binary"),
        "pg8000": ("pg8000", "pg8000"),
    },
    "mysql": {
        "pymysql": ("pymysql", "pymysql"),
        "mysqldb": ("MySQLdb", "mysqlclient"),
        "mysqlconnector": ("mysql.connector", "mysql-connector-python"),
    },
    "mssql": {"pyodbc": ("pyodbc", "pyodbc"), "pymssql": ("pymssql", "pymssql")},
}
"""For each kind of database the drivers as a URI spells them, with the Python module and the package of each."""

_SQLITE_REMEDIES: Final = {
    "SQLITE_BUSY": "Another process is writing to it: try again.",
    "SQLITE_READONLY": "Give this user permission to write to the file and its folder.",
    "SQLITE_CANTOPEN": "Give this user permission to read the file and its folder.",
    "SQLITE_NOTADB": "Correct the URI: that file is not an SQLite database.",
}

_PROBE_SECONDS: Final = 5.0


def dialect_of(uri: str) -> str:
    """The kind of database that a URI names; empty for servers, services and folders."""
    dialect = uri.partition(":")[0].partition("+")[0].lower()
    return dialect if dialect == "sqlite" or dialect in PORTS else ""


def refuse_unready(uri: str, shown: str, tries: Tries, *, runs: bool = False) -> None:
    """
    Raise RegistryError where MLflow, by opening this registry, would create or migrate anything; and where it cannot
    be opened. `shown` is the URI without credentials. `runs`: it is opened for its runs, not for its models. Servers
    and services pass: they look after themselves.
    """
    if dialect_of(uri):
        _refuse_unready_database(uri, shown, tries, runs=runs)
    elif uri.startswith("postgres:"):
        raise RegistryError(
            "unknown-scheme", f"{shown} is not an address that MLflow can open.", "Write `postgresql://…`."
        )
    elif uri.startswith("file:") or (":" not in uri and uri not in SERVICES):
        _refuse_unready_folder(uri, runs=runs)


def _refuse_unready_folder(uri: str, *, runs: bool) -> None:
    from mlflow.utils import file_utils

    untyped: Any = file_utils
    path = Path(untyped.local_file_uri_to_path(uri))
    # MLflow makes either folder where it is missing.
    if not (path / (".trash" if runs else "models")).is_dir():
        raise RegistryError(
            "no-such-folder",
            f"{path} is not an MLflow folder with {'runs' if runs else 'registered models'}.",
            "Correct the URI. MLflow would create such a folder; its newer releases do not support such folders.",
        )


def _refuse_unready_database(uri: str, shown: str, tries: Tries, *, runs: bool) -> None:
    url = _url(uri, shown)  # it says so where there is no SQLAlchemy
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    looked_at = _read_only(url, uri) if url.get_backend_name() == "sqlite" else url
    engine = _engine(looked_at, shown)
    bound(url, tries.longest / 2)
    with _connection(engine, shown, tries) as connection:
        try:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            if not tables & {"alembic_version", "experiments", "registered_models"}:
                raise RegistryError(
                    "empty-database",
                    f"There are no MLflow tables in {shown}.",
                    "Correct the URI. Or create the tables: start the server on this database once (`mlflow server "
                    f"--backend-store-uri {shown}`), or run `mlflow db upgrade {shown}`.",
                )
            query = sqlalchemy.text("SELECT version_num FROM alembic_version")
            rows = connection.execute(query).all() if "alembic_version" in tables else ()
            _refuse_other_schema(connection, tuple(str(row[0]) for row in rows), shown)
            _hasten(tries)
            if runs and not connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM experiments")).scalar():
                # MLflow would create the first experiment.
                raise RegistryError("no-runs", f"{shown} has no experiments, so it has no runs.")
        except SQLAlchemyError as error:
            raise database_error(shown, error) from error


def _url(uri: str, shown: str) -> "URL":
    try:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError
    except ModuleNotFoundError as error:
        raise RegistryError(
            "no-driver",
            f"{shown} needs the Python module {error.name}, which is not installed.",
            "Install `mlflow`, not only `mlflow-skinny`: direct access to a database needs the full package.",
        ) from error
    try:
        return sqlalchemy.make_url(uri)
    except (ArgumentError, ValueError):
        # What they say may quote a password.
        raise RegistryError(
            "no-database-address",
            f"{shown if '://' in uri else uri.partition(':')[0]} is not the address of a database.",
            "Write `DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE`, with `@`, `:`, `/` and `%` in the user and the "
            "password percent-encoded.",
        ) from None


def _read_only(url: "URL", uri: str) -> "URL":
    """The URL that reads a SQLite file, and cannot create it. Raises RegistryError where there is none."""
    named = url.database or ""
    path = Path(named)
    # MLflow takes the path from the text of the URI, and creates the folder that it finds there.
    text = uri.partition(":///")[2]
    if named in {"", ":memory:"} or named.startswith("file:") or not Path(text).parent.is_dir() or not path.is_file():
        where = f"at {path}" if named not in {"", ":memory:"} else "in memory"
        raise RegistryError(
            "no-such-database",
            f"There is no SQLite database {where}.",
            "Correct the URI: `sqlite:///` and the path as it is, relative or absolute. MLflow would create an empty "
            "registry there.",
        )
    place = quote(str(path.absolute()).lstrip("/"))
    query = {"mode": "ro", "uri": "true"}
    if _would_leave_a_log(path):
        query["immutable"] = "1"
    return url.set(database=f"file:///{place}", query=query)


def _would_leave_a_log(path: Path) -> bool:
    """
    Whether reading a SQLite database leaves a write-ahead log beside it: the database has one at work, and nobody has
    it open.
    """
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\x02\x02" and not Path(f"{path}-wal").exists()
    except OSError:
        return False


def _engine(url: "URL", shown: str) -> "Engine":
    import sqlalchemy
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        return sqlalchemy.create_engine(url, poolclass=NullPool)
    except NoSuchModuleError as error:
        known = ", ".join(f"`{url.get_backend_name()}+{name}`" for name in DRIVERS.get(url.get_backend_name(), ()))
        raise RegistryError(
            "no-driver", f"{shown}: SQLAlchemy has no such driver.", f"It has {known}." if known else ""
        ) from error
    except ImportError as error:
        _no_driver(url, shown, error)


def _no_driver(url: "URL", shown: str, error: ImportError) -> NoReturn:
    """Name what is installed, and how a URI asks for it."""
    drivers = DRIVERS.get(url.get_backend_name(), {})
    wanted = error.name or url.get_driver_name()
    if not isinstance(error, ModuleNotFoundError):
        message = f"{shown} needs the Python module {wanted}, which cannot be imported: {_said(error)}"
    else:
        message = f"{shown} needs the Python module {wanted}, which is not installed."
    package = next((package for module, package in drivers.values() if module.split(".")[0] == wanted), wanted)
    other = next((name for name, (module, _) in drivers.items() if module != wanted and _installed(module)), None)
    fix = f"Install it: `pip install '{package}'`."
    if other is not None:
        spelled = f"{url.get_backend_name()}+{other}://…"
        fix = f"{drivers[other][0]} is installed: write `{spelled}`, or `pip install '{package}'`."
    raise RegistryError("no-driver", message, fix) from error


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _connection(engine: "Engine", shown: str, tries: Tries) -> "Generator[Connection]":
    """
    One connection. It is tried again only where nothing answers: somebody who is refused may be locked out for asking
    often.
    """
    connection = None
    for number in tries.turns(sleep):
        try:
            connection = engine.connect()
            break
        except (*database_errors(), OSError, TypeError, UnicodeError) as error:
            if number == tries.most or _answers(shown):
                raise _unreachable(shown, error, opening=True) from error
    if connection is None:
        raise RegistryError(UNREACHABLE, f"{shown} was not contacted.")
    try:
        with connection:
            yield connection
    finally:
        engine.dispose()


@cache
def _migrations() -> "ScriptDirectory":
    """Those that the installed MLflow knows: scores of files, each of which is run to be read."""
    import mlflow.store.db_migrations as migrations
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(migrations.__path__[0]))


def _refuse_other_schema(connection: "Connection", found: tuple[str, ...], shown: str) -> None:
    """Raise RegistryError unless the schema is the one that the installed MLflow would make."""
    import mlflow
    import mlflow.store.db.utils as mlflow_db

    scripts = _migrations()
    heads = tuple(scripts.get_heads())
    release = f"MLflow {mlflow.__version__}, installed here,"
    revision = " and ".join(found) or "none"
    if found == heads:
        untyped: Any = mlflow_db
        if not untyped._all_tables_exist(connection):
            raise RegistryError(
                "damaged-schema",
                f"{shown} has the schema's revision {revision}, but not all of its tables.",
                "MLflow would create the missing ones, empty: restore them from a backup first.",
            )
    elif set(found) <= {script.revision for script in scripts.walk_revisions()}:
        raise RegistryError(
            "older-schema",
            f"{shown} has the schema of an older MLflow: its revision is {revision}; {release} needs "
            f"{' and '.join(heads)}.",
            "Install here the release of MLflow that its server runs. Or back the database up, upgrade the server, and "
            f"run `mlflow db upgrade {shown}`: older servers cannot use it afterwards.",
        )
    else:
        raise RegistryError(
            "newer-schema",
            f"{shown} has the schema of a newer MLflow: its revision is {revision}; {release} needs "
            f"{' and '.join(heads)}, and does not know revision {revision}.",
            "Upgrade MLflow in this job to the release that the server runs.",
        )


def _hasten(tries: Tries) -> None:
    """MLflow opens a database up to 15 times, for minutes and without a word (seen in 2.9 to 3.18)."""
    import mlflow.store.db.utils as mlflow_db

    untyped: Any = mlflow_db
    untyped.MAX_RETRY_COUNT = tries.most


def database_errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy raises; nothing while it is not imported: a registry that is a server does not need it."""
    module: Any = sys.modules.get("sqlalchemy.exc")
    return () if module is None else (module.SQLAlchemyError,)


def database_error(shown: str, error: Exception) -> RegistryError:
    """What a database or its driver said as an error of ours, with a remedy. `shown` has no credentials."""
    import sqlalchemy.exc

    of_statement = (
        sqlalchemy.exc.IntegrityError,
        sqlalchemy.exc.DataError,
        sqlalchemy.exc.ProgrammingError,
        sqlalchemy.exc.NotSupportedError,
    )
    if isinstance(error, of_statement):
        fix = "Check that this user may read and write MLflow's tables."
        return RegistryError("BAD_REQUEST", f"{shown} said: {_said(error)}", fix)
    return _unreachable(shown, error)


def _unreachable(shown: str, error: Exception, *, opening: bool = False) -> RegistryError:
    if dialect_of(shown) == "sqlite":
        name = str(getattr(getattr(error, "orig", None), "sqlite_errorname", "")).split("_", 2)
        fix = _SQLITE_REMEDIES.get("_".join(name[:2]), "Check that it is the database of an MLflow registry.")
    else:
        fix = _network_remedy(shown, opening=opening)
    return RegistryError(UNREACHABLE, f"{shown} said: {_said(error)}", fix)


def _said(error: BaseException) -> str:
    """The driver's own words, as a sentence, without the statement."""
    original: BaseException = getattr(error, "orig", None) or error
    fields: Any = original.args[0] if original.args else None
    # pg8000 has a dictionary of what PostgreSQL sent, with the message under M.
    text = str(cast("dict[str, object]", fields).get("M", "")) if isinstance(fields, dict) else str(original)
    return sentence(text.strip() or type(original).__name__)


def _place(shown: str) -> tuple[str, int] | None:
    """The host and port of a database; None where the URI names none, or several."""
    url = _url(shown, shown)
    return (url.host, url.port or PORTS.get(url.get_backend_name(), 0)) if url.host else None


def _answers(shown: str) -> bool:
    """Whether there is anything at the address of a database. One that is no host and port counts as there."""
    place = _place(shown)
    return place is None or _in_the_way(place) is None


def _in_the_way(place: tuple[str, int]) -> OSError | UnicodeError | None:
    """Why nothing answers at a host and port; None where something does."""
    try:
        socket.create_connection(place, _PROBE_SECONDS).close()
    except (OSError, UnicodeError) as error:
        return error
    return None


def _network_remedy(shown: str, *, opening: bool) -> str:
    """
    What to do about a connection that failed. Drivers tell the reasons apart in words alone, in the server's language;
    so the address is looked at once more.
    """
    place = _place(shown)
    if place is None:
        return "Check the address in the URI, the user, the password and the name of the database."
    host, port = place
    match _in_the_way(place):
        case None if opening:
            return (
                f"{host} answers at port {port}: check the user, the password and the name of the database in the URI."
            )
        case None:
            return "It answers again: check its log, and run the command again."
        case socket.gaierror() | UnicodeError():
            return f"The name {host} does not resolve: correct it in the URI."
        case OSError():
            return f"Nothing answers at {host}, port {port}: start the database, or correct host and port in the URI."


# Bounds

_seconds: Final[dict["URL", float]] = {}
"""How long one statement to each database may last, and one wait for the network."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)

_BUSY_TIMEOUT: Final = "PRAGMA busy_timeout"
"""What MLflow begins each session of a SQLite database with: it waits for other writers for 20 s (seen in 3.17)."""


def bound(url: "URL", seconds: float) -> None:
    """From now on no statement to this database lasts longer, whoever in this process connects to it."""
    _seconds[url] = max(seconds, 0.1)
    _listen()


@contextmanager
def attempt(seconds: float) -> Generator[None]:
    """
    Send no statement, and no commit, once so many seconds have passed. What was sent until then takes effect within as
    many seconds more: PostgreSQL and MySQL close the connection of a transaction that was idle for that long.
    """
    token = _deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


@cache
def _listen() -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _bound_connection)
    event.listen(Engine, "begin", _bound_transaction)
    event.listen(Engine, "before_cursor_execute", _bound_statement, retval=True)
    event.listen(Engine, "commit", _refuse_late)


def _bound_connection(dialect: Any, _record: object, _arguments: object, options: MutableMapping[str, Any]) -> None:
    """Options of each driver's `connect`. What the URI says itself stands."""
    if dialect.name not in PORTS:
        return
    asked = [seconds for url, seconds in _seconds.items() if _connects_to(dialect, url, options)]
    if not asked:
        return
    seconds = ceil(max(asked))
    bounds: Mapping[str, object] = {}
    match dialect.driver:
        case "psycopg" | "psycopg2" | "psycopg2cffi":
            # The kernel discards what is not acknowledged for so long; unlike `options`, poolers take these.
            third = max(seconds // 3, 1)
            bounds = {"connect_timeout": max(seconds, 2), "tcp_user_timeout": seconds * 1000, "keepalives": 1}
            bounds = {**bounds, "keepalives_idle": third, "keepalives_interval": third, "keepalives_count": 2}
        case "pg8000":
            bounds = {"timeout": seconds}
        case "pymysql" | "mysqldb":
            idle = f"SET SESSION wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}"
            bounds = {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
            bounds = {**bounds, "init_command": idle}
        case "mysqlconnector":
            bounds = {"connection_timeout": seconds}
        case "pyodbc":
            bounds = {"timeout": seconds}
        case _:
            pass
    for name, value in bounds.items():
        options.setdefault(name, value)


def _connects_to(dialect: Any, url: "URL", options: Mapping[str, Any]) -> bool:
    """SQLAlchemy does not tell which URL a connection is made for, but what it makes of the URL."""
    return url.get_backend_name() == dialect.name and dialect.create_connect_args(url)[1] == options


def _bound_transaction(connection: Any) -> None:
    """For this transaction alone: a pooler may hand the session to somebody else after it."""
    seconds = _seconds.get(connection.engine.url)
    if seconds is not None and connection.dialect.name == "postgresql":
        milliseconds = ceil(seconds * 1000)
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        settings = ", ".join(f"set_config('{name}', '{milliseconds}', true)" for name in names)
        connection.exec_driver_sql(f"SELECT {settings}")


def _bound_statement(
    connection: Any, _cursor: object, statement: str, parameters: object, _context: object, _many: object
) -> tuple[str, object]:
    _refuse_late(connection)
    seconds = _seconds.get(connection.engine.url)
    if seconds is not None and statement.startswith(_BUSY_TIMEOUT):
        statement = f"{_BUSY_TIMEOUT} = {ceil(min(seconds, 20) * 1000)}"
    return statement, parameters


def _refuse_late(connection: Any) -> None:
    deadline = _deadline.get()
    if deadline is not None and monotonic() > deadline and connection.engine.url in _seconds:
        raise TimeoutError("The call took too long and was canceled before it was committed.")
