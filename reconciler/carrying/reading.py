"""What a version is made of, read from its own registry: its files one by one, and the figures of its run."""

import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.core.bundle import FileDigest
from reconciler.core.carried import Carried, CarriedModel, CarriedRun, Input, Point, is_kept
from reconciler.core.limits import VERSION_TAGS, VERSION_VALUES
from reconciler.core.names import ModelRef, Version
from reconciler.errors import ReconcilerError
from reconciler.evidence.artifacts import Artifacts, version_row
from reconciler.evidence.model_files import StoredFiles, readable
from reconciler.registry.mlflow import MlflowRegistry, translated

POINTS_PAGE = 5000
USUAL_PATH = "model"


class Reading:
    """One registry's versions; `folder` is ours, and has one of their files at a time."""

    def __init__(self, registry: MlflowRegistry, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        self._artifacts = Artifacts(registry)
        self._stores: dict[tuple[ModelRef, Version], StoredFiles] = {}
        self._held: AbstractContextManager[tuple[Path, FileDigest]] | None = None

    def describe(self, model: ModelRef, version: Version) -> Carried:
        """All but the files and the course of metrics. Raises ReconcilerError."""
        row = version_row(self._registry, model, version)
        with translated(self._registry.uri):
            logged, run = self._logged(row), self._run(str(row.run_id or ""))
            path = _path_of(str(row.source or "")) if logged is None else one_folder(str(logged.name))
            return Carried(
                str(row.run_id or ""),
                int(row.creation_timestamp or 0),
                path,
                None if run is None else _carried_run(run),
                None if logged is None else _carried_model(logged),
            )

    def points(self, run_id: str, metric: str, token: str | None) -> tuple[tuple[Point, ...], str | None]:
        """A page of the course of a metric, and what leads to the next one. Raises ReconcilerError."""
        with translated(self._registry.uri):
            page = self._artifacts.tracking.get_metric_history(run_id, metric, POINTS_PAGE, token)
            points = tuple(Point(metric, float(one.value), int(one.timestamp), int(one.step)) for one in page)
            return points, str(page.token) if getattr(page, "token", None) else None

    def listed(self, model: ModelRef, version: Version) -> Mapping[str, int]:
        """The paths of its files, and how many bytes the store says they have. Raises ReconcilerError."""
        row = version_row(self._registry, model, version)
        with readable(self._registry, model, version):
            place = self._artifacts.place(row)
            self._artifacts.refuse_here(place)
            files = StoredFiles(self._artifacts.repository(place), self._folder)
            self._stores[model, version] = files
            return files.listed()

    def fetch(self, model: ModelRef, version: Version, path: str) -> tuple[str, FileDigest]:
        """Where one of the files that were listed is now, until the next one is asked for. Raises ReconcilerError."""
        self.drop()
        with readable(self._registry, model, version):
            held = self._stores[model, version].at_hand(path)
            place, digest = held.__enter__()
            self._held = held
            return str(place), digest

    def drop(self) -> None:
        """The file that is here is not needed anymore."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None

    def _run(self, run_id: str) -> Any:
        return _unless_gone(lambda: self._artifacts.tracking.get_run(run_id)) if run_id else None

    def _logged(self, row: Any) -> Any:
        source = urlsplit(str(row.source or ""))
        model_id = str(getattr(row, "model_id", None) or "")
        if source.scheme == "models" and "/" not in source.path.strip("/"):
            model_id = source.path.strip("/")
        return _unless_gone(lambda: self._artifacts.logged_model(model_id)) if model_id.startswith("m-") else None


def new_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder of ours for one file at a time."""
    return tempfile.TemporaryDirectory(prefix="reconciler-copy-", ignore_cleanup_errors=True)


def _unless_gone(read: Any) -> Any:
    from importlib import import_module

    exceptions: Any = import_module("mlflow.exceptions")
    try:
        return read()
    except exceptions.MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _path_of(source: str) -> str:
    """What a run called the model, by the end of where its files are."""
    place = urlsplit(source)
    return USUAL_PATH if place.scheme == "models" else one_folder(place.path.rstrip("/").rpartition("/")[2])


def one_folder(name: str) -> str:
    """A name, if it is that of one folder, by whatever store or server it is read; where not, the usual one."""
    fits = re.fullmatch(r"[\w][\w. -]{0,199}", name) and name != "artifacts"
    return name if fits else USUAL_PATH


def _carried_run(run: Any) -> CarriedRun:
    _refuse_many(len(run.data.params), "parameters")
    _refuse_many(len(run.data.metrics), "metrics")
    info, tags = run.info, dict(run.data.tags)
    given = getattr(getattr(run, "inputs", None), "dataset_inputs", None) or ()
    _refuse_many(len(tags), "tags", VERSION_TAGS)
    _refuse_many(len(given), "datasets", VERSION_TAGS)
    return CarriedRun(
        str(info.run_name or ""),
        str(tags.get("mlflow.user") or info.user_id or ""),
        str(info.status),
        int(info.start_time or 0),
        None if info.end_time is None else int(info.end_time),
        {str(key): str(value) for key, value in run.data.params.items()},
        {str(key): str(value) for key, value in tags.items() if is_kept(key)},
        tuple(sorted(map(str, run.data.metrics))),
        tuple(map(_input, given)),
    )


def _input(one: Any) -> Input:
    dataset = one.dataset
    texts = (dataset.name, dataset.digest, dataset.source_type, dataset.source)
    name, digest, source_type, source = map(str, texts)
    tags = {str(tag.key): str(tag.value) for tag in one.tags}
    return Input(name, digest, source_type, source, dataset.schema, dataset.profile, tags)


def _carried_model(logged: Any) -> CarriedModel:
    points = tuple(
        Point(
            str(one.key),
            float(one.value),
            int(one.timestamp),
            int(one.step or 0),
            str(one.dataset_name or ""),
            str(one.dataset_digest or ""),
        )
        for one in logged.metrics or ()
    )
    _refuse_many(len(points), "metrics")
    texts = {str(key): str(value) for key, value in dict[Any, Any](logged.tags or {}).items()}
    tags = {key: value for key, value in texts.items() if is_kept(key)}
    params = {str(key): str(value) for key, value in dict[Any, Any](logged.params or {}).items()}
    _refuse_many(len(texts), "tags", VERSION_TAGS)
    _refuse_many(len(params), "parameters")
    return CarriedModel(str(logged.name), str(logged.model_type or ""), params, tags, points)


def _refuse_many(number: int, what: str, most: int = VERSION_VALUES) -> None:
    if number > most:
        raise ReconcilerError(f"Its run has {number:,} {what}; at most {most:,} are copied.", "Copy another version.")


def ordered(paths: Iterable[str]) -> list[str]:
    """The order in which files are brought: the one that makes a model of them comes last."""
    return sorted(paths, key=lambda path: (path == "MLmodel", path))
