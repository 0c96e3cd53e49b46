"""
Where MLflow keeps what describes a model version: its row, its run, its logged model and its files, and the way to
them. Whoever may register a version chose where its files are said to be.
"""

from collections.abc import Callable
from importlib import import_module
from threading import Lock
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from reconciler.core.names import ModelRef, Original, Version
from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError
from reconciler.registry.database import dialect_of, refuse_unready
from reconciler.registry.mlflow import MlflowRegistry, remedy_for, sqlite_path, translated
from reconciler.surroundings import SURROUNDINGS

MOST_OUTPUTS = 16
"""How many models that a run has logged are looked at to find the one that was registered."""

MOST_HOPS = 4

T = TypeVar("T")


class _Once(Generic[T]):
    """Made by the first who asks for it; the others wait, and meet the same failure."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: tuple[T] | Exception | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._made is None:
                try:
                    self._made = (self._make(),)
                except Exception as error:  # noqa: BLE001  # told again to all who ask
                    self._made = error
        if isinstance(self._made, Exception):
            raise self._made
        return self._made[0]


class Artifacts:
    """
    What is beside one registry; threads may share it. What cannot be found raises ValueError, or what MLflow and its
    stores raise.
    """

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry
        self._store: _Once[Any] = _Once(lambda: registry.store)
        self._tracking: _Once[Any] = _Once(self._open_tracking)

    @property
    def tracking(self) -> Any:
        """MLflow's tracking store, which is opened when it is first needed."""
        return self._tracking()

    def row(self, model: ModelRef, version: Version) -> Any:
        """A version as the registry has it."""
        row = self._store().get_model_version(model, str(version))
        if (row.name, int(row.version)) != (model, version):
            raise ValueError("the server answered with another version")
        return row

    def model(self, name: ModelRef) -> Any:
        """A registered model as the registry has it."""
        return self._store().get_registered_model(name)

    def of_version(self, row: Any) -> Any:
        """The artifact repository of a version."""
        return self.repository(self._named_by(row.name, str(row.version)))

    def of_run(self, run_id: str) -> Any:
        """The artifact repository of a run."""
        return self.repository(str(self.tracking.get_run(run_id).info.artifact_uri))

    def place(self, row: Any) -> str:
        """Where the files of a version are, as the URI of a store."""
        return self._followed(self._named_by(row.name, str(row.version)))

    def named_place(self, model: ModelRef, version: Version) -> str:
        """
        Where the registry says that the files of a version are: the same for a copy and its original. MLflow keeps that
        with the copy; older servers lead from one to the other.
        """
        uri = self._named_by(model, str(version))
        for _ in range(MOST_HOPS):
            original = Original.named_by(uri)
            if original is None:
                return uri
            uri = self._named_by(original.model, str(original.version))
        raise ValueError("its source only leads from one version to another")

    def logged_model(self, model_id: str) -> Any:
        read = getattr(self.tracking, "get_logged_model", None)
        if read is None:
            raise ValueError("this MLflow client does not support logged models; use MLflow 3")
        return read(model_id)

    def refuse_here(self, uri: str) -> None:
        """
        Raise ReconcilerError for files on this machine's disk, if their registry is elsewhere: whoever writes to that
        would choose what is read of the machine that applies, and where to write on it.
        """
        tracking = self._registry.tracking_uri
        if urlsplit(self._followed(uri)).scheme in {"", "file"} and sqlite_path(tracking) is None:
            raise ReconcilerError(
                f"{without_credentials(tracking)} has files on the disk of whoever asks for them: `{plain(uri)}`.",
                "Have the server serve them (`mlflow server --artifacts-destination`), or have an object store.",
            )

    def _open_tracking(self) -> Any:
        uri = self._registry.tracking_uri
        refuse_unready(uri, without_credentials(uri), self._registry.tries, runs=True)
        self._store()  # it sets how long to try, and what MLflow may log
        import mlflow.tracking._tracking_service.utils as tracking_service

        untyped: Any = tracking_service
        # Some releases create the folder for files of new runs, if it is a local one (seen in 2.9 to 3.1).
        return untyped._get_store(uri, "mlflow-artifacts:/" if dialect_of(uri) else None)

    def _named_by(self, name: str, version: str) -> str:
        return str(self._store().get_model_version_download_uri(name, version) or "")

    def _followed(self, uri: str) -> str:
        """The URI of a store that one of MLflow's own URIs leads to."""
        for _ in range(MOST_HOPS):
            scheme, path = urlsplit(uri).scheme, urlsplit(uri).path.strip("/")
            if scheme == "runs":
                run_id, _, folder = path.partition("/")
                uri = self._place_in_run(run_id, folder)
            elif scheme == "models" and "/" in path:
                name, _, version = path.rpartition("/")
                uri = self._named_by(name, version)
            elif scheme == "models":
                uri = str(self.logged_model(path).artifact_location)
            else:
                return uri
        raise ValueError("its source only leads from one version to another")

    def _place_in_run(self, run_id: str, folder: str) -> str:
        uris: Any = import_module("mlflow.utils.uri")
        run = self.tracking.get_run(run_id)
        for model_id in output_ids(run):
            logged = self.logged_model(model_id)
            if logged.name == folder:
                return str(logged.artifact_location)
        return str(uris.append_to_uri_path(run.info.artifact_uri, folder))

    def repository(self, uri: str) -> Any:
        """
        MLflow's way to the files there. Over HTTP, only on the servers that we were told of: MLflow sends its user's
        password or token to whatever host a version names as its source (seen in 3.17). MLflow is given no URI that it
        would follow by itself, to a server that was not looked at.
        See contract/test_evidence.py::test_a_source_on_another_server_is_not_asked.
        """
        stores: Any = import_module("mlflow.store.artifact.artifact_repository_registry")
        tracking = self._registry.tracking_uri
        uri = self._followed(uri)
        scheme = urlsplit(uri).scheme
        if scheme not in stores.get_registered_artifact_repositories():
            said = f"MLflow does not support stores of the kind {plain(scheme, 30)}"
            raise PlaceError(said, "Install MLflow's plug-in for it here, or register a version from another store.")
        if scheme == "mlflow-artifacts":
            if urlsplit(tracking).scheme not in {"http", "https"}:
                raise PlaceError(
                    "its files are on a tracking server, but the tracking URI does not name one",
                    SURROUNDINGS.named("Set MLFLOW_TRACKING_URI to the address of that server."),
                )
            proxied: Any = import_module("mlflow.store.artifact.mlflow_artifacts_repo")
            uri = str(proxied.MlflowArtifactsRepository.resolve_uri(uri, tracking))
        ours = {_host(tracking), _host(self._registry.registry_uri)}
        place = urlsplit(uri)
        # For requests, which sends it, the host ends at a backslash; for urlsplit it goes on to the next slash.
        if place.scheme in {"http", "https"} and (_host(uri) not in ours or "\\" in place.netloc):
            raise PlaceError(
                "its files are on another server, which is not contacted",
                "Register a version whose files are where this registry keeps them: what lets in here is sent nowhere "
                "else.",
            )
        return stores.get_artifact_repository(uri)


class PlaceError(ValueError):
    """Files are where they are not read from; `fix` says what to do."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def code_of(error: Exception) -> str:
    """MLflow's word for what went wrong, or the HTTP status that an artifact store answered with."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return str(getattr(error, "error_code", None) or status or "")


def remedy_of(error: Exception, otherwise: str) -> str:
    """What to do where a version, its run or its files cannot be read."""
    if isinstance(error, PlaceError):
        return error.fix
    if isinstance(error, ModuleNotFoundError):
        return "Install what MLflow needs for that kind of store here, such as boto3 for S3."
    code = code_of(error)
    return remedy_for({"401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED"}.get(code, code)) or otherwise


def version_row(registry: MlflowRegistry, model: ModelRef, version: Version) -> Any:
    """A version as the registry has it. Raises RegistryError where there is none."""
    _ = registry.store
    with translated(registry.uri):
        return Artifacts(registry).row(model, version)


def output_ids(run: Any) -> list[str]:
    """The models that a run has logged, as far as they are looked at."""
    outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or ()
    return [str(output.model_id) for output in outputs][:MOST_OUTPUTS]


def _host(uri: str) -> tuple[str, str | None, int | None]:
    place = urlsplit(uri)
    return place.scheme, place.hostname, place.port
