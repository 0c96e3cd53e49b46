"""What a run, or a logged model, has for a version to be registered from."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from reconciler.core.desired import NoSource, Origin, Source
from reconciler.core.figures import main_figure
from reconciler.core.moments import moment_of
from reconciler.core.names import Original
from reconciler.core.snapshot import READY, source_digest
from reconciler.core.text import plain
from reconciler.evidence.artifacts import Artifacts, output_ids

MLMODEL = "MLmodel"
MOST_NAMED = 8


class _NotThereError(Exception):
    def __init__(self, code: str, why: str, fix: str, digests: frozenset[str] = frozenset()) -> None:
        super().__init__(why)
        self.found = NoSource(code, why, fix, digests)


def source_of(artifacts: Artifacts, origin: Origin) -> Source | NoSource:
    """
    What can be registered from an origin, or why nothing can. Raises what MLflow and its stores raise where they do
    not answer.
    """
    try:
        if origin.original is not None:
            return _of_original(artifacts, origin.original, origin.run_id)
        return _of_logged_model(artifacts, origin) if origin.model_id else _of_run(artifacts, origin)
    except _NotThereError as error:
        named = origin.model_id or origin.original
        return error.found if named else replace(error.found, digests=_made_before(artifacts, origin))


def _made_before(artifacts: Artifacts, origin: Origin) -> frozenset[str]:
    """What the source of a version is that was registered from a run: MLflow tells it of a deleted one, too."""
    path, run = str(origin.artifact_path), _asked(lambda: artifacts.tracking.get_run(str(origin.run_id)))
    if run is None:
        return frozenset()
    logged = (_asked(partial(artifacts.logged_model, model_id)) for model_id in output_ids(run))
    named = (_uris(model) for model in logged if model is not None and model.name == path)
    return _digests(_place(run, path), f"runs:/{origin.run_id}/{path}", *chain.from_iterable(named))


def _of_original(artifacts: Artifacts, original: Original, run_id: str | None) -> Source:
    """
    What a copy of a version is made of: MLflow's own client writes no more of it (`copy_model_version`). Where a run is
    named, the version must be of that one.
    """
    row = _asked(lambda: artifacts.row(original.model, original.version))
    if row is None:
        known = _asked(lambda: artifacts.model(original.model)) is not None
        named, what = (str(original), "version") if known else (f"registered model {original.model}", "model")
        raise _NotThereError("no-such-source", f"There is no {named}.", f"Name another {what}.", _digests(original.uri))
    if run_id is not None and row.run_id != run_id:
        came = f"from run {row.run_id}" if row.run_id else "from no run"
        said = f"The {original} that is there comes {came}, not from run {run_id}: it is another one."
        fix = "Copy another version, or correct the run."
        raise _NotThereError("another-original", said, fix, _digests(original.uri))
    if row.status != READY:
        fix = "Wait until its registration is complete, or name another version."
        raise _NotThereError("source-not-ready", f"The {original} is {row.status}, not {READY}.", fix)
    about = f"run {row.run_id}" if row.run_id else ""
    since, changed = int(row.creation_timestamp or 0), int(row.last_updated_timestamp or 0)
    return Source(str(row.run_id or ""), original.uri, _digests(original.uri), "", about, since, changed)


def _of_logged_model(artifacts: Artifacts, origin: Origin) -> Source:
    logged = _asked(lambda: artifacts.logged_model(str(origin.model_id)))
    if logged is None:
        raise _NotThereError("no-such-source", f"There is no {origin}.", "Correct its ID.")
    if origin.run_id not in {None, logged.source_run_id}:
        raise _NotThereError(
            "no-such-source",
            f"The {origin} comes from run {logged.source_run_id}, not from run {origin.run_id}.",
            "Correct one of the two.",
        )
    return _logged(logged, _finished(artifacts, str(logged.source_run_id)) if logged.source_run_id else None)


def _of_run(artifacts: Artifacts, origin: Origin) -> Source:
    path, run = str(origin.artifact_path), _finished(artifacts, str(origin.run_id))
    logged = [artifacts.logged_model(model_id) for model_id in output_ids(run)]
    named = next((model for model in logged if model.name == path), None)
    if named is not None:
        return _logged(named, run)
    repository = artifacts.of_run(str(origin.run_id))
    if MLMODEL in _names(repository, path):
        place = _place(run, path)
        return Source(str(origin.run_id), place, _digests(place, f"runs:/{origin.run_id}/{path}"), about=_about(run))
    there = [*(str(model.name) for model in logged), *_models_among(repository)]
    listed = ", ".join(f"`{plain(name, 80)}`" for name in dict.fromkeys(there[:MOST_NAMED]))
    raise _NotThereError(
        "no-such-source",
        f"Run {origin.run_id} has no model at `{plain(path, 80)}`; {f'it has: {listed}' if listed else 'it has none'}.",
        "Correct `artifact_path`." if listed else "Log the model in the run, or name another run.",
    )


def _logged(logged: Any, run: Any) -> Source:
    """A logged model, and the run that logged it, if it is known."""
    model_id, status = str(logged.model_id), str(getattr(logged, "status", "READY")).rpartition(".")[2]
    if status != "READY":
        raise _NotThereError(
            "source-not-ready",
            f"Logged model {model_id} is {status}, not READY.",
            "Wait until it is complete, or log it again.",
        )
    run_id = str(logged.source_run_id or "")
    uris = _uris(logged)
    return Source(run_id, uris[0], _digests(*uris), model_id, "" if run is None else _about(run))


def _finished(artifacts: Artifacts, run_id: str) -> Any:
    run = _asked(lambda: artifacts.tracking.get_run(run_id))
    if run is None:
        raise _NotThereError("no-such-source", f"There is no run {run_id}.", "Correct `run_id`.")
    if run.info.lifecycle_stage == "deleted":
        fix = "Restore it (`mlflow runs restore`), or name another run."
        raise _NotThereError("run-deleted", f"Run {run_id} was deleted.", fix)
    if run.info.status != "FINISHED":
        fix = "Wait until it has finished." if run.info.status in {"RUNNING", "SCHEDULED"} else "Name another run."
        raise _NotThereError("run-not-finished", f"Run {run_id} is {run.info.status}, not FINISHED.", fix)
    return run


def _asked(read: Any) -> Any:
    """What MLflow has by an ID, or None."""
    try:
        return read()
    except Exception as error:  # every store raises what the library under it does
        if getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _names(repository: Any, folder: str) -> Mapping[str, bool]:
    """What is in a folder, by name: whether it is a folder itself."""
    listed = repository.list_artifacts(folder or None) or ()
    return {str(entry.path).rpartition("/")[2]: bool(entry.is_dir) for entry in listed}


def _models_among(repository: Any) -> Iterable[str]:
    folders = sorted(name for name, is_folder in _names(repository, "").items() if is_folder)
    return [name for name in folders[:MOST_NAMED] if MLMODEL in _names(repository, name)]


def _place(run: Any, path: str) -> str:
    """Where the files are that a run logged at a path."""
    return f"{str(run.info.artifact_uri).rstrip('/')}/{path}"


def _uris(logged: Any) -> tuple[str, ...]:
    """All that the source of a version can be that was registered from a logged model; the first is what we write."""
    uris = (f"models:/{logged.model_id}", str(logged.artifact_location))
    return (*uris, f"runs:/{logged.source_run_id or ''}/{logged.name}")


def _digests(*uris: str) -> frozenset[str]:
    return frozenset(source_digest(uri) for uri in uris)


def _about(run: Any) -> str:
    """`finished 2026-11-20, f1 0.91`."""
    ended = moment_of(int(run.info.end_time)) if run.info.end_time else None
    said = (f"finished {ended.date().isoformat()}" if ended else "", plain(main_figure(run.data.metrics), 60))
    return ", ".join(filter(None, said))
