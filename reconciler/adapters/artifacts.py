"""Where MLflow keeps the files of a model version or a run, and the way to them."""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.adapters.mlflow_registry import MlflowRegistry, refuse_missing_database

MOST_OUTPUTS = 16
MOST_HOPS = 4


@dataclass
class Artifacts:
    """The files beside one registry. What cannot be found raises ValueError, or what MLflow and its stores raise."""

    registry: MlflowRegistry

    @cached_property
    def tracking(self) -> Any:
        """MLflow's tracking store, which is opened when it is first needed."""
        uri = self.registry.tracking_uri
        refuse_missing_database(uri)
        if urlsplit(uri).scheme in {"", "file"} and not Path(urlsplit(uri).path).is_dir():
            raise ValueError("the tracking URI names a folder that is not there")
        _ = self.registry.store  # it sets how long to try, and what MLflow may log
        import mlflow.tracking._tracking_service.client as mlflow_client

        client: Any = mlflow_client.TrackingServiceClient(uri)
        return client.store

    def of_version(self, row: Any) -> Any:
        """The artifact repository of a model version, as the registry's store gives the version."""
        return self._repository(self._place(row))

    def of_run(self, run_id: str) -> Any:
        """The artifact repository of a run."""
        return self._repository(str(self.tracking.get_run(run_id).info.artifact_uri))

    def _place(self, row: Any) -> str:
        store: Any = self.registry.store
        uri = str(store.get_model_version_download_uri(row.name, str(row.version)) or "")
        for _ in range(MOST_HOPS):
            scheme, path = urlsplit(uri).scheme, urlsplit(uri).path.strip("/")
            if scheme == "runs":
                run_id, _, folder = path.partition("/")
                uri = self._place_in_run(run_id, folder)
            elif scheme == "models" and "/" in path:
                name, _, version = path.rpartition("/")
                uri = str(store.get_model_version_download_uri(name, version) or "")
            elif scheme == "models":
                uri = str(self._logged_model(path).artifact_location)
            else:
                return uri
        raise ValueError("its source only ever points to another one")

    def _place_in_run(self, run_id: str, folder: str) -> str:
        uris: Any = import_module("mlflow.utils.uri")
        run = self.tracking.get_run(run_id)
        outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or ()
        for output in outputs[:MOST_OUTPUTS]:
            logged = self._logged_model(str(output.model_id))
            if logged.name == folder:
                return str(logged.artifact_location)
        return str(uris.append_to_uri_path(run.info.artifact_uri, folder))

    def _logged_model(self, model_id: str) -> Any:
        read = getattr(self.tracking, "get_logged_model", None)
        if read is None:
            raise ValueError("this MLflow client knows no logged models; use MLflow 3")
        return read(model_id)

    def _repository(self, uri: str) -> Any:
        """
        Over HTTP, only on the servers that we were told of: MLflow sends its user's password or token to whatever host
        a version names as its source (seen in 3.17). See contract/test_checks.py::test_another_server_is_not_asked.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        tracking = self.registry.tracking_uri
        if urlsplit(uri).scheme == "mlflow-artifacts":
            if urlsplit(tracking).scheme not in {"http", "https"}:
                raise ValueError("its files are kept by a tracking server, and the tracking URI names none")
            proxied: Any = import_module("mlflow.store.artifact.mlflow_artifacts_repo")
            uri = str(proxied.MlflowArtifactsRepository.resolve_uri(uri, tracking))
        ours = {_host(tracking), _host(self.registry.registry_uri)}
        if urlsplit(uri).scheme in {"http", "https"} and _host(uri) not in ours:
            raise ValueError("its files are on another server, which is not asked")
        return get_artifact_repository(uri)


def _host(uri: str) -> tuple[str, str | None, int | None]:
    place = urlsplit(uri)
    return place.scheme, place.hostname, place.port
