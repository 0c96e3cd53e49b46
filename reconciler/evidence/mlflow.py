"""
What MLflow knows of model versions: the registry's own word, the run, the logged model of MLflow 3, and the small files
beside the model. A model is never downloaded or loaded, only what describes it.

All of it is read at the same time, each thing failing by itself, and none of it may hold up a plan: what has not come
when the patience is over is named as missing. MLflow 2.9 has no logged models and no metrics with datasets; what an
installation lacks is found out by looking, not by its version.
"""

import math
import os
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from threading import Condition
from typing import Any, Final, Generic, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

from reconciler.core.desired import NoSource, Origin, Source
from reconciler.core.evidence import Dataset, Metric, Missing, RunFacts, RunSummary, VersionFacts
from reconciler.core.limits import VERSION_TAGS, VERSION_VALUES
from reconciler.core.moments import moment, moment_of, rfc3339
from reconciler.core.names import MLFLOW_TAG_PREFIX, OUR_TAG_PREFIX, ModelRef, Stage, Version
from reconciler.core.snapshot import PROVENANCE_TAG, decode_provenance
from reconciler.core.text import amount, plain, without_credentials, without_logins
from reconciler.errors import RegistryError, contained
from reconciler.evidence.artifacts import Artifacts, PlaceError, code_of, output_ids, remedy_of
from reconciler.evidence.mlmodel import (
    MAX_BYTES,
    TOO_LARGE,
    ModelFile,
    read_mlmodel,
    read_python_env,
    read_requirements,
)
from reconciler.evidence.model_files import read_small
from reconciler.evidence.origins import source_of
from reconciler.ports import UNREACHABLE, Asked, Tell, Work, untold
from reconciler.registry.mlflow import MlflowRegistry, translated
from reconciler.surroundings import SURROUNDINGS

DEFAULTS: Final = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

LONGEST = 30
"""How many times its patience a gathering may take, if one answer comes in after the other."""

MOST_FOLDERS = 100
"""How many folders of a model are looked into to add up its size."""

RUNS_AT_ONCE, EXPERIMENTS_PAGE, MOST_EXPERIMENTS = 100, 1000, 10_000

MLMODEL, REQUIREMENTS, PYTHON_ENV = "MLmodel", "requirements.txt", "python_env.yaml"

T = TypeVar("T")


class _Part(StrEnum):
    """What is asked for by itself; the value is the kind of work, and each kind has threads of its own."""

    kind: str

    VERSION = "version", "registry"
    RUN = "run", "runs"
    EXPERIMENT = "experiment", "runs"
    LOGGED_MODEL = "logged model", "models"
    LISTING = "listing", "files"
    MODEL_FILE = "model file", "files"
    PYTHON = "python", "files"
    REQUIREMENTS = "requirements", "files"
    SIZE = "size", "files"

    def __new__(cls, value: str, kind: str) -> "_Part":
        part = str.__new__(cls, value)
        part._value_ = value
        part.kind = kind
        return part


@dataclass(frozen=True, slots=True)
class _Got(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _Lacks:
    """Why there is no answer; `absent` where that is the answer, and `gone` where it is MLflow's own."""

    why: str
    absent: bool = False
    error: Exception | None = None

    @property
    def gone(self) -> bool:
        """A 404 may be a proxy's, and says nothing of what MLflow has."""
        return self.absent and getattr(self.error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"


_Answer: TypeAlias = _Got[Any] | _Lacks


@dataclass(slots=True)
class _Found:
    """What was asked about one version, and what has come back. Each answer is put once, by the thread that got it."""

    model: ModelRef
    version: Version
    brief: bool
    asked: set[_Part] = field(default_factory=set[_Part])
    answers: dict[_Part, _Answer] = field(default_factory=dict[_Part, _Answer])


@dataclass
class MlflowEvidence:
    """
    The evidence port over MLflow's stores. `parallelism` is how many threads there are for each kind of work;
    `patience` is in seconds without any answer: a plan that moves hundreds of models asks for longer than one model's.
    """

    registry_uri: str
    tracking_uri: str
    parallelism: int = 8
    patience: float = 20.0
    tell: Tell = untold

    @cached_property
    def registry(self) -> MlflowRegistry:
        return MlflowRegistry(self.registry_uri, self.tracking_uri, tell=self.tell)

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        """Raises RegistryError where the registry tells nothing of any version."""
        wanted = tuple(dict.fromkeys(asked))
        if not wanted:
            return {}
        for variable, value in DEFAULTS.items():
            os.environ.setdefault(variable, value)
        # Before the time runs: it takes seconds, and cannot hang.
        import_module("mlflow.store.artifact.artifact_repository_registry")

        found: dict[tuple[ModelRef, Version], _Found] = {}
        for one in wanted:
            known = found.setdefault((one.model, one.version), _Found(one.model, one.version, one.brief))
            known.brief = known.brief and one.brief
        versions = amount(len(found), "version")
        with Work(self.tell, f"Gathering evidence of {versions}", "answers") as work:
            crew = _Crew(self.parallelism, work.advance)
            reading = _Reading(self, crew)
            for version in found.values():
                reading.begin(version)
            crew.wait(self.patience)
        told = _Telling(self)
        facts = {key: told.contained(version) for key, version in found.items()}
        if all(_unread(version) for version in found.values()):
            self._refuse(found.values())
        return {one: facts[one.model, one.version] for one in wanted}

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunSummary]:
        wanted = sorted({run_id for run_id in run_ids if re.fullmatch(r"[\w-]+", run_id, re.ASCII)})
        found: dict[str, RunSummary] = {}
        if not wanted:
            return found
        try:
            with Work(self.tell, "Reading runs", "runs", len(wanted)) as work:
                tracking = Artifacts(self.registry).tracking
                experiments = list(_experiments(tracking))
                for begin in range(0, len(wanted), RUNS_AT_ONCE):
                    some = wanted[begin : begin + RUNS_AT_ONCE]
                    names = ", ".join(f"'{run_id}'" for run_id in some)
                    # 3: those that were deleted, too
                    for run in tracking.search_runs(experiments, f"attributes.run_id IN ({names})", 3, len(some)):
                        found[run.info.run_id] = RunSummary(str(run.info.run_name or ""), dict(run.data.metrics))
                    work.advance(len(some))
        except Exception:  # noqa: BLE001  # every tracking store raises what the library under it does
            return found
        return found

    def sources(self, origins: Iterable[Origin]) -> Mapping[Origin, Source | NoSource]:
        wanted = list(dict.fromkeys(origins))
        if not wanted:
            return {}
        import_module("mlflow.store.artifact.artifact_repository_registry")
        artifacts = Artifacts(self.registry)

        def look(origin: Origin) -> Source | NoSource:
            try:
                return source_of(artifacts, origin)
            except Exception as error:  # noqa: BLE001  # every store raises what the library under it does
                why = f"The {origin} is not known: {_said(error)}."
                return NoSource(
                    "source-not-read", why, remedy_of(error, "Check the address of the server and its log.")
                )

        with self.registry.readers(self.parallelism) as pool:
            return dict(zip(wanted, pool.map(look, wanted), strict=True))

    def _refuse(self, found: Iterable[_Found]) -> None:
        for version in found:
            answer = version.answers.get(_Part.VERSION)
            if isinstance(answer, _Lacks) and answer.error is not None:
                with translated(self.registry.uri):
                    raise answer.error
        raise RegistryError(
            UNREACHABLE, f"{self.registry.uri} {_too_late(self.patience)}.", "Check the address and the server's log."
        )


def _experiments(tracking: Any) -> Iterator[str]:
    token = None
    for _ in range(MOST_EXPERIMENTS // EXPERIMENTS_PAGE):
        page = tracking.search_experiments(3, EXPERIMENTS_PAGE, page_token=token)
        yield from (str(experiment.experiment_id) for experiment in page)
        token = page.token
        if not token:
            return


class _Crew:
    """
    Threads that do what is asked of them, a few for each kind of work: a server that hangs holds up its own kind alone.
    They do not keep the process from ending.
    """

    def __init__(self, width: int, advance: Callable[[], None]) -> None:
        self._width, self._advance = width, advance
        self._changed = Condition()
        self._waiting: dict[str, deque[Callable[[], None]]] = defaultdict(deque)
        self._threads: dict[str, int] = defaultdict(int)
        self._unfinished = 0
        self._finished = 0
        self._closed = False

    def do(self, kind: str, work: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                return
            self._unfinished += 1
            self._waiting[kind].append(work)
            if self._threads[kind] >= self._width:
                return
            self._threads[kind] += 1
        SURROUNDINGS.read(f"evidence-{kind}", lambda: self._serve(kind))

    def _serve(self, kind: str) -> None:
        while True:
            with self._changed:
                if self._closed or not self._waiting[kind]:
                    self._threads[kind] -= 1
                    return
                work = self._waiting[kind].popleft()
            try:
                work()
            finally:
                self._advance()
                with self._changed:
                    self._unfinished -= 1
                    self._finished += 1
                    self._changed.notify_all()

    def wait(self, patience: float) -> None:
        """
        Until all is done, what was asked for on the way included, or nothing was for so many seconds, or the whole took
        LONGEST times that; nothing is begun after.
        """
        deadline = time.monotonic() + LONGEST * patience
        with self._changed:
            while self._unfinished and time.monotonic() < deadline and self._moves(patience):
                pass
            self._closed = True

    def _moves(self, patience: float) -> bool:
        before = self._finished
        return self._changed.wait_for(lambda: self._finished != before, patience)


class _Reading:
    """Asks MLflow for one thing after the other, each as soon as it is known what to ask for."""

    def __init__(self, evidence: MlflowEvidence, crew: _Crew) -> None:
        self._crew = crew
        self._artifacts = Artifacts(evidence.registry)
        self._experiments: dict[str, str] = {}

    def begin(self, found: _Found) -> None:
        self._ask(
            found,
            _Part.VERSION,
            lambda: self._artifacts.row(found.model, found.version),
            f"the registry has no version {found.version} of {plain(found.model)}",
            lambda row: self._after_version(found, row),
        )

    def _ask(
        self,
        found: _Found,
        part: _Part,
        call: Callable[[], T],
        absent: str,
        then: Callable[[T], None] | None = None,
    ) -> None:
        """Have it asked for; `absent` is what to say where the answer is that there is no such thing."""

        def work() -> None:
            try:
                value = call()
            except Exception as error:  # noqa: BLE001  # every artifact store raises what the library under it does
                is_absent = code_of(error) in {"RESOURCE_DOES_NOT_EXIST", "404"}
                found.answers[part] = _Lacks(absent if is_absent else _said(error), is_absent, error)
                return
            if then is not None:
                then(value)
            found.answers[part] = _Got(value)

        found.asked.add(part)
        self._crew.do(part.kind, work)

    def _after_version(self, found: _Found, row: Any) -> None:
        model_id = _logged_model_id(row)
        if row.run_id:
            run_id = str(row.run_id)
            self._ask(
                found,
                _Part.RUN,
                lambda: self._artifacts.tracking.get_run(run_id),
                f"there is no run {plain(run_id, 60)}; it may have been permanently deleted",
                lambda run: self._after_run(found, row, run),
            )
        if model_id:
            self._ask_for_logged_model(found, lambda: self._artifacts.logged_model(model_id), model_id)
        if not found.brief:
            self._ask(
                found,
                _Part.LISTING,
                lambda: _Folder(self._artifacts.of_version(row)),
                "its files are gone",
                lambda folder: self._after_listing(found, folder),
            )

    def _ask_for_logged_model(self, found: _Found, call: Callable[[], Any], name: str) -> None:
        absent = f"the logged model {plain(name, 60)} was deleted or never existed"
        self._ask(found, _Part.LOGGED_MODEL, call, absent)

    def _after_run(self, found: _Found, row: Any, run: Any) -> None:
        if not found.brief:
            experiment = str(run.info.experiment_id)
            self._ask(found, _Part.EXPERIMENT, lambda: self._experiment_name(experiment), "it is gone")
        outputs = output_ids(run)
        if outputs and not _logged_model_id(row):
            self._ask_for_logged_model(found, lambda: self._registered_output(row, outputs), "of the run")

    def _experiment_name(self, experiment_id: str) -> str:
        if experiment_id not in self._experiments:
            self._experiments[experiment_id] = str(self._artifacts.tracking.get_experiment(experiment_id).name)
        return self._experiments[experiment_id]

    def _registered_output(self, row: Any, model_ids: Iterable[str]) -> Any:
        """The logged model that was registered, out of those that the run has logged; None where none can be told."""
        source = str(row.source or "").rstrip("/")
        place = self._artifacts.place(row).rstrip("/")
        by_name: list[Any] = []
        for model_id in model_ids:
            logged = self._artifacts.logged_model(model_id)
            if str(logged.artifact_location).rstrip("/") in {source, place}:
                return logged
            if source.rsplit("/", 1)[-1] == logged.name:
                by_name.append(logged)
        return by_name[0] if len(by_name) == 1 else None

    def _after_listing(self, found: _Found, folder: "_Folder") -> None:
        if MLMODEL in folder.sizes:
            self._ask(
                found,
                _Part.MODEL_FILE,
                lambda: folder.parsed(MLMODEL, read_mlmodel),
                "the MLmodel file is gone",
                lambda file: self._after_model_file(found, folder, file),
            )
        elif folder.sizes:
            self._ask(found, _Part.SIZE, folder.size, "its files are gone")
        if REQUIREMENTS in folder.sizes:
            self._ask(
                found, _Part.REQUIREMENTS, lambda: folder.parsed(REQUIREMENTS, read_requirements), "the file is gone"
            )

    def _after_model_file(self, found: _Found, folder: "_Folder", file: ModelFile) -> None:
        if file.size is None:
            self._ask(found, _Part.SIZE, folder.size, "its files are gone")
        if not file.python and PYTHON_ENV in folder.sizes:
            self._ask(found, _Part.PYTHON, lambda: folder.parsed(PYTHON_ENV, read_python_env), "the file is gone")


class _Folder:
    """The files of a model. Their names and sizes are known; the small ones can be read."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository
        self._listing: list[Any] = list(repository.list_artifacts(None))
        self.sizes: dict[str, int | None] = {f.path: f.file_size for f in self._listing if not f.is_dir}

    def parsed(self, name: str, parse: Callable[[bytes], T]) -> T:
        try:
            return parse(self._read(name))
        except ValueError as error:
            raise ValueError(f"the file {name} {error}") from error

    def _read(self, name: str) -> bytes:
        if (self.sizes[name] or 0) > MAX_BYTES:
            raise ValueError(TOO_LARGE)
        return read_small(self._repository, name)

    def size(self) -> int:
        """All files added up."""
        waiting, looked_into, total = deque(self._listing), 0, 0
        while waiting:
            entry = waiting.popleft()
            if entry.is_dir:
                looked_into += 1
                if looked_into > MOST_FOLDERS:
                    raise ValueError("it has too many folders to add up")
                waiting.extend(f for f in self._repository.list_artifacts(entry.path) if f.path != entry.path)
            elif entry.file_size is None:
                raise ValueError("the store does not report the sizes of its files")
            else:
                total += int(entry.file_size)
        return total


class _Telling:
    """What came back, in the core's words."""

    def __init__(self, evidence: MlflowEvidence) -> None:
        self._evidence = evidence

    def contained(self, found: _Found) -> VersionFacts:
        """The facts; of a version whose answers cannot be made sense of, that nothing is known."""
        facts = contained(lambda: _bounded(self.facts(found)))
        if isinstance(facts, VersionFacts):
            return facts
        rest = ("run", "metrics") if found.brief else _ALL
        missing = tuple(Missing(what, f"cannot be read: {plain(facts.why)}") for what in ("version", *rest))
        return VersionFacts(found.model, found.version, missing=missing)

    def facts(self, found: _Found) -> VersionFacts:
        answers = dict(found.answers)  # a thread that was given up may still put one
        answers.update(
            (part, _Lacks(_too_late(self._evidence.patience))) for part in tuple(found.asked) if part not in answers
        )
        version = answers[_Part.VERSION]
        if isinstance(version, _Lacks):
            rest = ("run", "metrics") if found.brief else _ALL
            missing = (Missing("version", version.why), *(Missing(what, version.why) for what in rest))
            return VersionFacts(found.model, found.version, missing=missing)
        row = version.value
        run, logged = _value(answers, _Part.RUN), _value(answers, _Part.LOGGED_MODEL)
        metrics = tuple(_metrics(run, logged))
        missing = list(_missing_origins(row, answers, metrics))
        if found.brief:
            return VersionFacts(found.model, found.version, metrics=metrics, missing=tuple(missing))
        missing += _missing_files(answers)
        file = _value(answers, _Part.MODEL_FILE) or ModelFile()
        size = file.size if file.size is not None else _value(answers, _Part.SIZE)
        staged_at, staged_until, why_staged = _staging(row)
        if why_staged:
            missing.append(Missing("staging", why_staged))
        requirements = _value(answers, _Part.REQUIREMENTS)
        return VersionFacts(
            model=found.model,
            version=found.version,
            description=_shown(row.description),
            tags=_tags(row.tags),
            created_at=_rfc3339(row.creation_timestamp),
            url=_page(self._evidence.registry_uri, f"models/{quote(row.name, safe='')}/versions/{found.version}"),
            run=None if run is None else self._run(run, _value(answers, _Part.EXPERIMENT) or ""),
            metrics=metrics,
            params=_params(run, logged),
            signature=file.signature,
            flavors=file.flavors or {},
            python=file.python or _value(answers, _Part.PYTHON) or "",
            requirements=None if requirements is None else tuple(_shown(line) for line in requirements),
            size=size,
            staged_at=staged_at,
            staged_until=staged_until,
            missing=tuple(missing),
        )

    def _run(self, run: Any, experiment: str) -> RunFacts:
        info, tags = run.info, dict(run.data.tags)
        place = f"experiments/{quote(str(info.experiment_id), safe='')}/runs/{quote(str(info.run_id), safe='')}"
        return RunFacts(
            run_id=str(info.run_id),
            name=_shown(getattr(info, "run_name", "") or tags.get("mlflow.runName")),
            experiment=_shown(experiment),
            status=str(info.status or ""),
            user=_shown(tags.get("mlflow.user") or getattr(info, "user_id", "")),
            source=_shown(tags.get("mlflow.source.name")),
            git_commit=_shown(tags.get("mlflow.source.git.commit")),
            started_at=_rfc3339(info.start_time),
            ended_at=_rfc3339(info.end_time),
            url=_page(self._evidence.tracking_uri, place),
            deleted=info.lifecycle_stage == "deleted",
        )


def _bounded(facts: VersionFacts) -> VersionFacts:
    """The facts without those of which there are too many: they are missing, whatever they say."""
    kept: dict[str, Any] = {}
    missing: list[Missing] = []
    nothing: dict[str, Any] = {"tags": {}, "params": {}, "metrics": (), "requirements": None}
    for what, values, most in (
        ("tags", facts.tags, VERSION_TAGS),
        ("params", facts.params, VERSION_VALUES),
        ("metrics", facts.metrics, VERSION_VALUES),
        ("requirements", facts.requirements or (), VERSION_VALUES),
    ):
        if len(values) > most:
            kept[what] = nothing[what]
            missing.append(Missing(what, f"there are {len(values)}; at most {most} are read"))
    return replace(facts, **kept, missing=(*facts.missing, *missing)) if kept else facts


_FROM_MODEL_FILE = ("signature", "flavors", "python")
_ALL = ("run", "metrics", *_FROM_MODEL_FILE, "requirements", "size")


def _unread(found: _Found) -> bool:
    answer = found.answers.get(_Part.VERSION)
    return not isinstance(answer, _Got) and not (isinstance(answer, _Lacks) and answer.absent)


def _missing_origins(row: Any, answers: Mapping[_Part, _Answer], metrics: tuple[Metric, ...]) -> Iterator[Missing]:
    """What there is not of the run, the logged model, and the metrics that both carry."""
    why_run = "" if row.run_id else "the version names no run"
    run, logged = answers.get(_Part.RUN), answers.get(_Part.LOGGED_MODEL)
    gone = isinstance(run, _Lacks) and run.gone
    if isinstance(run, _Lacks):
        why_run = run.why
    if why_run:
        yield Missing("run", why_run, gone)
    if not metrics:
        why_logged = logged.why if isinstance(logged, _Lacks) else ""
        unread = isinstance(logged, _Lacks) and not logged.gone
        yield Missing("metrics", why_run or why_logged or "none were logged", gone and not unread)
    if isinstance(logged, _Lacks):
        yield Missing("model", logged.why, logged.gone)


def _missing_files(answers: Mapping[_Part, _Answer]) -> Iterator[Missing]:
    """What there is not of the files beside the model."""
    listing = answers[_Part.LISTING]
    if isinstance(listing, _Lacks):
        yield from (Missing(what, listing.why) for what in (*_FROM_MODEL_FILE, "requirements", "size"))
        return
    beside = "the model has no such file" if listing.value.sizes else "its source holds no files"
    file = answers.get(_Part.MODEL_FILE, _Lacks(beside.replace("such", "MLmodel")))
    if isinstance(file, _Lacks):
        yield from (Missing(what, file.why) for what in _FROM_MODEL_FILE)
    else:
        yield from _missing_in(file.value, answers.get(_Part.PYTHON))
    # Where nobody had to add up the files, it is the MLmodel file that says, or would have said, how large they are.
    size = answers.get(_Part.SIZE, file)
    for what, lack in (("requirements", answers.get(_Part.REQUIREMENTS, _Lacks(beside))), ("size", size)):
        if isinstance(lack, _Lacks):
            yield Missing(what, lack.why)


def _missing_in(file: ModelFile, python: _Answer | None) -> Iterator[Missing]:
    if file.signature is None:
        yield Missing("signature", file.signature_fault)
    if not file.flavors:
        yield Missing("flavors", "the MLmodel file names none")
    if not file.python and not (isinstance(python, _Got) and python.value):
        yield Missing("python", python.why if isinstance(python, _Lacks) else "the MLmodel file does not say")


def _value(answers: Mapping[_Part, _Answer], part: _Part) -> Any:
    answer = answers.get(part)
    return answer.value if isinstance(answer, _Got) else None


def _metrics(run: Any, logged: Any) -> Iterator[Metric]:
    """
    The last value of each metric, on each dataset. What the logged model says counts before what the run says: of a run
    that has trained several models, the run has only the value that was logged last, and it may be another model's.
    """
    last: dict[tuple[str, Dataset | None], tuple[tuple[int, int], float]] = {}
    of_model: set[str] = set()
    of_run = _run_metrics(run)
    # A NaN that was logged for a model comes back as 0 from the model, and as NaN from the run (seen in MLflow 3.17).
    # See contract/test_evidence.py::test_a_metric_that_is_no_number_stays_none.
    no_numbers = {_moment(entry) for entry in of_run if math.isnan(entry.value)}
    for entry in getattr(logged, "metrics", None) or ():
        of_model.add(entry.key)
        _keep_last(last, entry, math.nan if _moment(entry) in no_numbers else entry.value)
    several = len(output_ids(run)) > 1
    for entry in of_run:
        if entry.key not in of_model and not (of_model and several):
            _keep_last(last, entry, entry.value)
    for (name, dataset), (_, value) in sorted(last.items(), key=lambda kv: (kv[0][0], str(kv[0][1] or ""))):
        yield Metric(name, value, dataset)


def _moment(entry: Any) -> tuple[str, int, int]:
    return str(entry.key), int(entry.step or 0), int(entry.timestamp or 0)


def _keep_last(last: dict[tuple[str, Dataset | None], tuple[tuple[int, int], float]], entry: Any, value: float) -> None:
    name, digest = getattr(entry, "dataset_name", None), getattr(entry, "dataset_digest", None)
    key = str(entry.key), Dataset(str(name), str(digest)) if name and digest else None
    when = int(entry.step or 0), int(entry.timestamp or 0)
    if key not in last or when >= last[key][0]:
        last[key] = when, float(value)


def _run_metrics(run: Any) -> list[Any]:
    if run is None:
        return []
    # `metrics` is a mapping from names to values, without the datasets that this list has (MLflow 3.17).
    return list(getattr(run.data, "_metric_objs", None) or ())


def _params(run: Any, logged: Any) -> dict[str, str]:
    params: dict[str, Any] = {**(run.data.params if run else {}), **(getattr(logged, "params", None) or {})}
    return {key: _shown(value) for key, value in sorted(params.items())}


def _tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Those that people have set."""
    ours = (OUR_TAG_PREFIX, MLFLOW_TAG_PREFIX)
    return {key: _shown(value) for key, value in sorted(tags.items()) if not key.startswith(ours)}


def _staging(row: Any) -> tuple[str, str, str]:
    """
    Since when it is or was in Staging, and until when, by our own record; and why that is not known. One that is there
    now, by nobody's record, is there since MLflow's own time of its last change, at the latest.
    """
    placed = decode_provenance(row.tags.get(PROVENANCE_TAG, ""))
    entered, now = placed.get(Stage.STAGING.slot), row.current_stage
    left = [moment(p.applied_at) for p in placed.values() if p.before == Stage.STAGING and p.slot != Stage.STAGING]
    # A record that begins where the version is still was written down and not made.
    made = entered is not None and (now == Stage.STAGING or entered.before != now)
    since = moment(entered.applied_at) if entered is not None and made else None
    if now == Stage.STAGING:
        known = rfc3339(since) if since else _rfc3339(row.last_updated_timestamp)
        return known, "", "" if known else "nobody recorded when it entered Staging"
    if since is None:
        return "", "", "nobody recorded when it entered Staging" if left or made else ""
    until = max((at for at in left if at is not None and at >= since), default=None)
    if until is None:
        return rfc3339(since), "", "nobody recorded when it left Staging"
    return rfc3339(since), rfc3339(until), ""


def _logged_model_id(row: Any) -> str:
    """The logged model that a version was made of: MLflow 3 names it as the source."""
    match = re.fullmatch(r"models:/+([^/@]+)", str(row.source or ""))
    return match[1] if match else str(getattr(row, "model_id", None) or "")


def _page(uri: str, place: str) -> str:
    """A page of MLflow's own, without the user info of the server's address; empty where there are no pages."""
    server = urlsplit(uri)
    if server.scheme not in {"http", "https"}:
        return ""
    return f"{server.scheme}://{server.netloc.rpartition('@')[2]}{server.path.rstrip('/')}/#/{place}"


def _rfc3339(milliseconds: Any) -> str:
    """A time as MLflow gives it; empty where there is none, or 0."""
    try:
        when = moment_of(int(milliseconds)) if int(milliseconds) else None
    except (TypeError, ValueError):
        when = None
    return "" if when is None else rfc3339(when)


def _shown(text: Any) -> str:
    return without_logins(str(text or ""))


def _too_late(patience: float) -> str:
    return f"did not answer within {patience:g} s"


def _said(error: Exception) -> str:
    """The failure as a short sentence, without line breaks and credentials."""
    if isinstance(error, ModuleNotFoundError):
        return f"the Python module {error.name} is needed to read it"
    code = code_of(error)
    if code in {"PERMISSION_DENIED", "UNAUTHENTICATED", "401", "403"}:
        return "the server does not permit reading it"
    if code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"} or re.fullmatch("5[0-9][0-9]", code):
        # Refused, timed out, 5xx: MLflow has one code for them all, and tells what it did at length (seen in 3.17).
        return "the server did not answer, or answered with an error"
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "the server's answer is not MLflow's"
    said = error.message if isinstance(error, RegistryError) else str(error)
    told = plain(without_credentials(said), 200) or type(error).__name__
    return told if type(error) in {ValueError, PlaceError} else f"cannot be read: {told}"
