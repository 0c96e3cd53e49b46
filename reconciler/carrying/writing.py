"""
Brings what a version of another registry is made of to ours: a run with its figures, a logged model where there was
one, and the files, each compared as it is here with what it was there. Only then can a version be registered from it.

What was brought when an apply ended is found by a tag of the run, which says of which original it is. Anybody can write
that: so nothing counts as brought that was not compared.
"""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import unquote

from reconciler.carrying.process import Elsewhere
from reconciler.carrying.reading import ordered
from reconciler.core.bundle import FileDigest
from reconciler.core.carried import Carried, CarriedModel, CarriedRun, Point
from reconciler.core.changes import Brought, RegisterVersion
from reconciler.core.limits import CARRIED_POINTS, COPYING_SECONDS
from reconciler.core.names import ModelRef, Original, Version, name_there
from reconciler.core.policy import COPIES
from reconciler.core.snapshot import ORIGINAL_TAG, Attribution, encode_attribution
from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.evidence.artifacts import Artifacts, output_ids, version_row
from reconciler.evidence.mlflow import DEFAULTS
from reconciler.evidence.model_files import MEBIBYTE, StoredFiles, readable
from reconciler.ports import UNREACHABLE, Tell, Work, untold
from reconciler.registry.database import dialect_of
from reconciler.registry.mlflow import MlflowRegistry, translated
from reconciler.registry.unreachable import why_unreachable

T = TypeVar("T")

METRICS_AT_ONCE, OTHERS_AT_ONCE = 1000, 100
"""What MLflow takes in one call."""
RUNNING = "RUNNING"
MOST_HOMES = 5
"""How many runs that say they are of one original are looked at."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Another registry: what reads it, and what records have it called."""

    elsewhere: Elsewhere
    name: str
    workspace: str


@dataclass(frozen=True, slots=True)
class _Home:
    """
    Where the files of an original go: the run that was made for them, and the logged model, if one was. In one that is
    `done` they are, and nothing is written to it.
    """

    run: Any
    logged: Any
    path: str
    original: Original
    done: bool = False

    @property
    def named(self) -> tuple[ModelRef, Version]:
        """The original, as its own registry knows it."""
        return name_there(self.original.model), self.original.version

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def source(self) -> str:
        if self.logged is not None:
            return f"models:/{self.logged.model_id}"
        return f"{str(self.run.info.artifact_uri).rstrip('/')}/{self.path}"

    @property
    def model_id(self) -> str:
        return "" if self.logged is None else str(self.logged.model_id)


@dataclass
class MlflowCarrier:
    """The port `Carrier`, to an MLflow registry. One original at a time is brought: two may be the same."""

    registry: MlflowRegistry
    origin_of: Callable[[str], Origin]
    experiment: str = COPIES
    tell: Tell = untold
    _guard: Lock = field(default_factory=Lock, init=False, repr=False)

    def bring(self, change: RegisterVersion) -> Brought:
        original = change.original
        if original is None or not original.registry:
            raise ReconcilerError("Only what is in another registry is brought.")
        for variable, value in DEFAULTS.items():
            os.environ.setdefault(variable, value)
        origin, model = self.origin_of(original.registry), name_there(original.model)
        with self._guard, Work(self.tell, f"Copying {original}", "MiB") as work:
            carried = origin.elsewhere.describe(model, original.version)
            if (carried.run_id, carried.created_at) != (change.run_id, change.since):
                raise ReconcilerError(f"{original} is another one than was planned for: plan and apply again.")
            said = Attribution(
                carried.run_id, carried.created_at, origin.name, origin.workspace, model, original.version
            )
            with self._writable(original):
                home = self._home(original, said, carried, origin.elsewhere)
                self._bring_files(origin.elsewhere, home, work)
                self._bring_figures(origin.elsewhere, carried, home)
            return Brought(home.source, home.run_id, home.model_id, said)

    def keeps(self, model: ModelRef, version: Version) -> bool:
        row = version_row(self.registry, model, version)
        with readable(self.registry, model, version):
            found = self._tracking.get_experiment_by_name(self.experiment)
            place = Artifacts(self.registry).place(row)
        top = "" if found is None else str(found.artifact_location).rstrip("/")
        return bool(top) and place.startswith(f"{top}/") and ".." not in unquote(place).split("/")

    @property
    def _tracking(self) -> Any:
        return Artifacts(self.registry).tracking

    def _home(self, original: Original, said: Attribution, carried: Carried, elsewhere: Elsewhere) -> _Home:
        """
        The run of an apply that was broken off; one from which a version was made already, if its files are these
        still; or a new one. Where a version may rest on a run nothing is written: it may be in Production.
        """
        tracking, text = self._tracking, encode_attribution(said)
        mark = hashlib.sha256(text.encode()).hexdigest()
        experiment = self._experiment()
        # 1: those that were not deleted
        condition = f"tags.`{ORIGINAL_TAG}` LIKE '{mark} %'"
        for found in tracking.search_runs([experiment], condition, 1, MOST_HOMES, ["attributes.start_time ASC"]):
            # A search shows no outputs.
            run = tracking.get_run(found.info.run_id)
            if str(run.info.status) == RUNNING and not self._is_rested_on(str(run.info.run_id)):
                return self._home_in(run, original, carried, experiment)
            ids = output_ids(run) if carried.model is not None else []
            logged = next((tracking.get_logged_model(model_id) for model_id in ids), None)
            if self._is_whole(home := _Home(run, logged, carried.path, original, done=True), elsewhere):
                return home
        entities: Any = import_module("mlflow.entities")
        copied = carried.run
        name = copied.name if copied and copied.name else f"{said.model} v{said.version}"
        start, tags = copied.start if copied else 0, [entities.RunTag(ORIGINAL_TAG, f"{mark} {text}")]
        made = tracking.create_run(experiment, copied.user if copied else "", start, tags, name)
        return self._home_in(tracking.get_run(made.info.run_id), original, carried, experiment)

    def _home_in(self, run: Any, original: Original, carried: Carried, experiment: str) -> _Home:
        logged = None if carried.model is None else self._logged(carried.model, run, experiment)
        return _Home(run, logged, carried.path, original)

    def _is_rested_on(self, run_id: str) -> bool:
        """Whether any version is of that run, whoever registered it."""
        return bool(self.registry.store.search_model_versions(f"run_id = '{run_id}'", 1, None, None))

    def _is_whole(self, home: _Home, elsewhere: Elsewhere) -> bool:
        """Whether all files of the original are there as they are now, and no others."""
        artifacts, folder = Artifacts(self.registry), elsewhere.folder()
        sizes = elsewhere.listed(*home.named)
        if self._there(artifacts, home, folder) != sizes:
            return False
        for path in sizes:
            _, digest = elsewhere.fetch(*home.named, path)
            elsewhere.drop()
            if self._here(artifacts, home, folder, path) != digest:
                return False
        return True

    def _experiment(self) -> str:
        """
        That of all copies, by its ID. It is not called like that of the original, whose name anybody could have taken
        here before: who made an experiment says where its files are, and can write to them.
        """
        tracking, name = self._tracking, self.experiment
        found = tracking.get_experiment_by_name(name)
        if found is None and dialect_of(self.registry.tracking_uri):
            raise ReconcilerError(
                f"There is no experiment `{plain(name, 80)}` in {self.registry.uri}, and where the files of a new one "
                "would be, only its server knows.",
                "Create the experiment there, with a place for its files, or name the server in the place of its "
                "database.",
            )
        if found is None:
            try:
                return str(tracking.create_experiment(name, None, None))
            except Exception as error:
                if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = tracking.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage == "deleted":
            raise ReconcilerError(
                f"The experiment `{plain(name, 80)}` was deleted in {self.registry.uri}, and copies go there.",
                "Restore it (`mlflow experiments restore`).",
            )
        return str(found.experiment_id)

    def _logged(self, model: CarriedModel, run: Any, experiment: str) -> Any:
        """The logged model of the run: made, where it has none yet. None where this server has no logged models."""
        tracking, entities = self._tracking, import_module("mlflow.entities")
        values: Any = entities
        if not hasattr(tracking, "create_logged_model"):
            return None
        for model_id in output_ids(run):
            return tracking.get_logged_model(model_id)
        try:
            made = tracking.create_logged_model(
                experiment,
                model.name,
                str(run.info.run_id),
                [values.LoggedModelTag(key, value) for key, value in sorted(model.tags.items())],
                [values.LoggedModelParameter(key, value) for key, value in sorted(model.params.items())],
                model.type or None,
            )
        except Exception as error:
            if getattr(error, "error_code", "") == "ENDPOINT_NOT_FOUND":
                return None
            raise
        tracking.log_outputs(str(run.info.run_id), [values.LoggedModelOutput(made.model_id, 0)])
        return made

    def _bring_files(self, elsewhere: Elsewhere, home: _Home, work: Work) -> None:
        """Those that are not here yet, or not as they are there, one after the other; each is read back."""
        if home.done:
            return
        artifacts, folder = Artifacts(self.registry), elsewhere.folder()
        if home.logged is not None:
            top, below = str(home.logged.artifact_location), ""
        else:
            top, below = str(home.run.info.artifact_uri), home.path
        artifacts.refuse_here(top)
        writing = artifacts.repository(top)
        sizes = elsewhere.listed(*home.named)
        there = self._there(artifacts, home, folder)
        done, total, until = 0, sum(sizes.values()), time.monotonic() + COPYING_SECONDS
        for path in ordered(sizes):
            if time.monotonic() > until:
                raise ReconcilerError(
                    f"The files of {home.original} did not come within {COPYING_SECONDS / 3600:g} h.",
                    "Apply again: it goes on with those that are still to come.",
                )
            place, digest = elsewhere.fetch(*home.named, path)
            kept = path in there and there[path] == digest.size
            if not kept:
                self._write(writing, place, below, path)
            # One file at a time is on this machine.
            elsewhere.drop()
            if kept and self._here(artifacts, home, folder, path) != digest:
                place, digest = elsewhere.fetch(*home.named, path)
                self._write(writing, place, below, path)
                elsewhere.drop()
                kept = False
            if not kept and self._here(artifacts, home, folder, path) != digest:
                raise ReconcilerError(
                    f"{plain(path, 100)} of {home.original} is not what was sent after it was written to "
                    f"{self.registry.uri}: nothing was registered.",
                    "Check its artifact store, and apply again.",
                )
            done += digest.size
            work.reach(done // MEBIBYTE, total // MEBIBYTE)
        if more := sorted(self._there(artifacts, home, folder).keys() - sizes.keys()):
            raise ReconcilerError(
                f"Run {home.run_id}, into which {home.original} is copied, has files that it does not have, such as "
                f"{plain(more[0], 100)}: nothing was registered.",
                f"Delete the run (`mlflow runs delete --run-id {home.run_id}`), and apply again.",
            )

    def _write(self, writing: Any, place: Path, below: str, path: str) -> None:
        parent = "/".join(filter(None, (below, path.rpartition("/")[0])))
        writing.log_artifact(str(place), parent or None)

    def _stored(self, artifacts: Artifacts, home: _Home, folder: Path) -> StoredFiles:
        place = home.logged.artifact_location if home.logged is not None else home.source
        return StoredFiles(artifacts.repository(str(place)), folder)

    def _there(self, artifacts: Artifacts, home: _Home, folder: Path) -> Mapping[str, int]:
        """What has been brought already, with sizes."""
        return self._stored(artifacts, home, folder).found()

    def _here(self, artifacts: Artifacts, home: _Home, folder: Path, path: str) -> FileDigest:
        """A file as it is read here."""
        with self._stored(artifacts, home, folder).at_hand(path) as (_, digest):
            return digest

    def _bring_figures(self, elsewhere: Elsewhere, carried: Carried, home: _Home) -> None:
        """What the run has logged, and how it ended: that comes last, so a run that is not ended is not complete."""
        if home.done:
            return
        tracking, values = self._tracking, import_module("mlflow.entities")
        entities: Any = values
        if carried.run is not None and str(home.run.info.status) == RUNNING:
            self._log(carried.run, home.run_id, entities)
            left = CARRIED_POINTS
            for metric in carried.run.metrics:
                for page in _pages(elsewhere, carried.run_id, metric):
                    left -= len(page)
                    if left < 0:
                        raise ReconcilerError(
                            f"Its run has more than {CARRIED_POINTS:,} values of metrics.", "Copy another version."
                        )
                    for some in _batches(page, METRICS_AT_ONCE):
                        metrics = [entities.Metric(p.key, p.value, p.timestamp, p.step) for p in some]
                        tracking.log_batch(home.run_id, metrics, [], [])
        if home.logged is not None and carried.model is not None:
            for some in _batches(carried.model.points, METRICS_AT_ONCE):
                tracking.log_batch(home.run_id, [_of_model(p, home.model_id, entities) for p in some], [], [])
            status: Any = import_module("mlflow.entities.logged_model_status")
            tracking.finalize_logged_model(home.model_id, status.LoggedModelStatus.READY)
        if str(home.run.info.status) == RUNNING:
            ended = carried.run.status if carried.run else "FINISHED"
            end = carried.run.end if carried.run else None
            number = entities.RunStatus.from_string(ended)
            tracking.update_run_info(home.run_id, number, end or home.run.info.start_time, None)

    def _log(self, run: CarriedRun, run_id: str, entities: Any) -> None:
        tracking = self._tracking
        for some in _batches(sorted(run.params.items()), OTHERS_AT_ONCE):
            tracking.log_batch(run_id, [], [entities.Param(key, value) for key, value in some], [])
        for some in _batches(sorted(run.tags.items()), OTHERS_AT_ONCE):
            tracking.log_batch(run_id, [], [], [entities.RunTag(key, value) for key, value in some])
        inputs = [
            entities.DatasetInput(
                entities.Dataset(one.name, one.digest, one.source_type, one.source, one.schema, one.profile),
                [entities.InputTag(key, value) for key, value in sorted(one.tags.items())],
            )
            for one in run.inputs
        ]
        for some in _batches(inputs, OTHERS_AT_ONCE):
            tracking.log_inputs(run_id, list(some))

    @contextmanager
    def _writable(self, original: Original) -> Generator[None]:
        """Whatever our registry's servers and stores raise, as our own error."""
        try:
            with translated(self.registry.uri):
                yield
        except ReconcilerError:
            raise
        except Exception as error:  # every store raises what the library under it does
            status = getattr(getattr(error, "response", None), "status_code", 0) or 0
            passing = why_unreachable(error) is not None or status in {408, 429} or status >= 500
            said = plain(without_credentials(str(error)), 300) or type(error).__name__
            raise RegistryError(
                UNREACHABLE if passing else "not-copied",
                f"{original} could not be copied to {self.registry.uri}: {said.rstrip('.')}.",
                "Check its log, and that this user may create runs there and write their files.",
            ) from error


def _pages(elsewhere: Elsewhere, run_id: str, metric: str) -> Iterator[tuple[Point, ...]]:
    token: str | None = None
    while True:
        page, token = elsewhere.points(run_id, metric, token)
        yield page
        if token is None:
            return
        if not page:
            raise ReconcilerError("The course of one of its metrics has no end.", "Copy another version.")


def _of_model(point: Point, model_id: str, entities: Any) -> Any:
    told = {"model_id": model_id, "dataset_name": point.dataset or None, "dataset_digest": point.digest or None}
    return entities.Metric(point.key, point.value, point.timestamp, point.step, **told)


def _batches(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    rest = iter(items)
    while some := tuple(islice(rest, size)):
        yield some
