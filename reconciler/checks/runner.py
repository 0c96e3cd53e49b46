"""
Runs the checks of a policy. What a check is comes from the trusted policy, and the files that it names from the tree of
the same commit, `trusted_tree.exported`: a change under review cannot rewrite the check that it has to pass. Each check
gets fresh copies of that tree and of the model, so that none finds what another one has left.

Of an evaluation and of `loadable`, the model's code sees nothing but the model and the features: it says what it
predicts, and its predictions are scored by a process that has the answers and not the model.
"""

import json
import math
import os
import re
import secrets
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias, cast

from reconciler.checks.sandbox import (
    MOST_OUTPUT,
    OPEN,
    Finished,
    Subject,
    Surroundings,
    Way,
    chown,
    redacted,
    run,
    surroundings,
)
from reconciler.core.check_record import CheckOutcome, Ran
from reconciler.core.figures import number
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import LOADABLE, Check
from reconciler.core.text import plain

INSIDE: Final = Path(__file__).with_name("inside.py")
MOST_RESULT = 1024 * 1024
MOST_NOTEBOOK = 20 * 1024 * 1024
MOST_PREDICTIONS = 256 * 1024 * 1024
MOST_METRICS = 1000
MOST_TOLD = 4
TABLES = (".csv", ".parquet", ".pq")


class _CannotRun(Exception):  # noqa: N818  # no fault of anybody's: it is answered with an outcome
    """Why a check cannot be begun."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where one check runs: copies of the trusted files and of the model, a home, a place for what is to be kept."""

    tree: Path
    subject: Subject
    home: Path
    kept: Path
    result: Path
    log: Path


_Understood: TypeAlias = Callable[[Finished], tuple[CheckOutcome, str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class _Command:
    """What is run, how a person would say it, and how its end is understood."""

    words: tuple[str, ...]
    ran: str
    understood: _Understood


@dataclass(frozen=True, slots=True)
class _Settings:
    """What is the same for all that one check runs."""

    environment: Mapping[str, str]
    most_output: int
    way: Way


def run_check(
    check: Check,
    tree: Path,
    subject: Subject,
    workspace: Path,
    environment: Mapping[str, str],
    *,
    most_output: int = MOST_OUTPUT,
    way: Way = OPEN,
) -> Ran:
    """
    Run one check on one version. `tree` has the files of the trusted commit; `workspace` is an empty folder that the
    caller keeps as long as the result's files are needed. Whatever goes wrong with the check is its outcome; nothing is
    raised for it.
    """
    ran = _ran(check, tree, subject, workspace, _Settings(environment, most_output, way))
    lines = _bytes(workspace / "log.txt", most_output * 2).decode("utf-8", "replace").splitlines()
    return replace(ran, output=tuple(plain(line, 200) for line in lines if line.strip())[-SHOWN:])


SHOWN = 10
"""So many lines of what a check printed are shown where it failed; the log has all."""


def _ran(check: Check, tree: Path, subject: Subject, workspace: Path, settings: "_Settings") -> Ran:
    environment = settings.environment
    try:
        if check.evaluate:
            return _evaluated(check, tree, subject, workspace, settings)
        if check.name == LOADABLE:
            return _loaded(check, subject, workspace, settings)
        bench = _prepared(workspace, tree, subject)
        command = _command(check, bench)
    except _CannotRun as error:
        return Ran(CheckOutcome.ERROR, _said_to_run(check), f"could not run: {error}")
    around = surroundings(environment, check.environment, bench.subject, bench.home, bench.result)
    finished = _run(command.words, bench, around, check.timeout, settings)
    outcome, sentence, metrics = _outcome(command, finished, check.timeout)
    files = tuple(str(path) for path in _kept(bench, around))
    notes = tuple(f"{name} is never handed to a check" for name in around.refused)
    return Ran(outcome, command.ran, sentence, dict(sorted(metrics.items())), files, (*notes, *_left(finished)))


def _run(
    words: tuple[str, ...],
    bench: _Bench,
    around: Surroundings,
    timeout: float,
    settings: _Settings,
    *,
    network: bool = True,
) -> Finished:
    places = (bench.tree, bench.subject.files, bench.home, bench.kept)
    for folder in places:
        chown(folder, settings.way)
    most, way = settings.most_output, settings.way
    return run(words, bench.tree, around, timeout, bench.log, most, way, writable=places, network=network)


def _left(finished: Finished) -> tuple[str, ...]:
    if not finished.left:
        return ()
    return (f"it left {finished.left} running, which {'was' if finished.left == 1 else 'were'} killed",)


def _prepared(workspace: Path, tree: Path | None, subject: Subject | None) -> _Bench:
    """A place to run something: with copies of the tree and of the model, or with an empty folder in place of one."""
    copies, home, kept, model = (workspace / name for name in ("tree", "home", "kept", "model"))
    for source, target in ((tree, copies), (subject and subject.files, model)):
        if source is None:
            target.mkdir()
        else:
            shutil.copytree(source, target, symlinks=True)
    home.mkdir()
    kept.mkdir()
    # A user that it may run as has to get there, and need not look around.
    workspace.chmod(0o711)
    subject = subject or Subject(ModelRef(""), Version(0), model, "", "")
    return _Bench(copies, replace(subject, files=model), home, kept, home / "result.json", workspace / "log.txt")


def _loaded(check: Check, subject: Subject, workspace: Path, settings: _Settings) -> Ran:
    """Whether `mlflow.pyfunc.load_model` loads the model, with the libraries that are installed here."""
    _refuse_without_pandas()
    bench = _prepared(workspace, None, subject)
    word = secrets.token_hex(16)
    words = (sys.executable, "-I", str(INSIDE), "load", word)

    def understood(end: Finished) -> tuple[CheckOutcome, str, Mapping[str, float]]:
        if end.exit_code == 0 and _result(bench).get("word") == word:
            return CheckOutcome.PASSED, "it was loaded", {}
        return CheckOutcome.FAILED, _last_line(bench.log) or f"loading ended with {_ended(end.exit_code)}", {}

    finished = _inside_run(words, bench, check.timeout, settings)
    command = _Command(words, _said_to_run(check), understood)
    outcome, sentence, metrics = _outcome(command, finished, check.timeout)
    return Ran(outcome, command.ran, sentence, metrics, (str(bench.log),), _left(finished))


def _refuse_without_pandas() -> None:
    """MLflow loads no model without it: that says nothing of the model."""
    if find_spec("pandas") is None:
        raise _CannotRun(
            "the library that loads models is not installed here: `pip install mlflow`, and what the model needs"
        )


def _inside_run(words: tuple[str, ...], bench: _Bench, timeout: float, settings: _Settings) -> Finished:
    """Run what needs neither credentials nor the network: there is nothing that a model could take or tell."""
    around = surroundings(settings.environment, (), bench.subject, bench.home, bench.result, reads=False)
    return _run(words, bench, around, timeout, settings, network=False)


def _evaluated(check: Check, tree: Path, subject: Subject, workspace: Path, settings: _Settings) -> Ran:
    """The features are taken out of the data; the model predicts from them; the predictions are scored."""
    _refuse_without_pandas()
    asked, ran = _evaluation(check.evaluate), _said_to_run(check)
    for name in ("features", "predicting", "scoring"):
        (workspace / name).mkdir()
    splitting = _prepared(workspace / "features", tree, None)
    data = _inside(splitting.tree, asked["data"])
    if data.suffix.lower() not in TABLES:
        raise _CannotRun(f"{asked['data']} is neither CSV nor Parquet")
    predicting = _prepared(workspace / "predicting", None, subject)
    scoring = _prepared(workspace / "scoring", tree, None)
    features = f"features{data.suffix.lower()}"
    predictions = scoring.tree / "predictions.json"
    deadline = time.monotonic() + check.timeout
    log, notes = workspace / "log.txt", list[str]()

    def step(bench: _Bench, name: str, told: Mapping[str, object]) -> Finished:
        words = (sys.executable, "-I", str(INSIDE), name, json.dumps(told))
        end = _inside_run(words, bench, max(0.1, deadline - time.monotonic()), settings)
        notes.extend(_left(end))
        with log.open("ab") as file:
            file.write(_bytes(bench.log, MOST_OUTPUT * 2))
        return end

    def answered(end: Finished, understood: _Understood) -> Ran:
        outcome, sentence, metrics = _outcome(_Command((), ran, understood), end, check.timeout)
        return Ran(outcome, ran, sentence, dict(sorted(metrics.items())), (str(log),), tuple(notes))

    end = step(splitting, "features", {**asked, "data": str(data), "features": str(splitting.kept / features)})
    if end.exit_code != 0:
        return answered(end, lambda end: _broke_down(splitting, end))
    (predicting.tree / features).write_bytes(_bytes(splitting.kept / features, MOST_PREDICTIONS))
    end = step(predicting, "predict", {"features": str(predicting.tree / features)})
    if end.exit_code != 0:
        return answered(end, lambda end: _broke_down(predicting, end))
    predictions.write_bytes(_bytes(predicting.result, MOST_PREDICTIONS))
    same_data = str(scoring.tree / data.relative_to(splitting.tree))
    end = step(scoring, "score", {**asked, "data": same_data, "predictions": str(predictions)})
    return answered(end, lambda end: _scored(scoring, end, len(asked["thresholds"])))


def _broke_down(bench: _Bench, end: Finished) -> tuple[CheckOutcome, str, Mapping[str, float]]:
    return CheckOutcome.ERROR, _last_line(bench.log) or f"it ended with {_ended(end.exit_code)}", {}


def _scored(bench: _Bench, end: Finished, thresholds: int) -> tuple[CheckOutcome, str, Mapping[str, float]]:
    if end.exit_code not in {0, 1} or "faults" not in (result := _result(bench)):
        return _broke_down(bench, end)
    faults = [plain(str(fault)) for fault in cast("list[object]", result["faults"])]
    if faults or end.exit_code != 0:
        return CheckOutcome.FAILED, "; ".join(faults), _metrics(result)
    return CheckOutcome.PASSED, f"all {thresholds} thresholds are met", _metrics(result)


def _command(check: Check, bench: _Bench) -> _Command:
    told = _said_to_run(check)
    if check.command:
        return _Command(check.command, told, lambda end: _by_exit_code(end, bench))
    if check.pytest:
        return _pytest(check, bench, told)
    if check.notebook:
        return _notebook(check, bench, told)
    raise _CannotRun("the policy names nothing to run")


def _said_to_run(check: Check) -> str:
    if check.command:
        return f"command: {plain(shlex.join(check.command))}"
    if check.pytest:
        return f"pytest: {plain(check.pytest)}"
    if check.notebook:
        return f"notebook: {plain(check.notebook)}"
    if check.name == LOADABLE:
        return "load: mlflow.pyfunc.load_model"
    return f"evaluate: {plain(str(check.evaluate.get('data', '')))}"


def _pytest(check: Check, bench: _Bench, told: str) -> _Command:
    if find_spec("pytest") is None:
        raise _CannotRun("pytest is not installed here: `pip install pytest`")
    place = _inside(bench.tree, check.pytest)
    report = bench.kept / "junit.xml"
    words = (sys.executable, "-m", "pytest", str(place), f"--junitxml={report}", "-p", "no:cacheprovider")

    def understood(end: Finished) -> tuple[CheckOutcome, str, Mapping[str, float]]:
        counts = _junit(report)
        if counts is None:
            return CheckOutcome.ERROR, f"pytest wrote no report, and ended with {_ended(end.exit_code)}", {}
        metrics = {**counts, **_metrics(_result(bench))}
        bad = counts["failures"] + counts["errors"]
        ran = counts["tests"] - counts["skipped"]
        if end.exit_code == 0 and not bad and ran > 0:
            return CheckOutcome.PASSED, f"{ran:g} tests passed", metrics
        if ran <= 0:
            return CheckOutcome.ERROR, "no test was run", metrics
        if bad:
            return CheckOutcome.FAILED, f"{bad:g} of {ran:g} tests failed", metrics
        return CheckOutcome.ERROR, f"pytest ended with {_ended(end.exit_code)}", metrics

    return _Command(words, told, understood)


def _notebook(check: Check, bench: _Bench, told: str) -> _Command:
    missing = [name for name in ("papermill", "ipykernel") if find_spec(name) is None]
    if missing:
        raise _CannotRun(f"{missing[0]} is not installed here: `pip install ipykernel papermill`")
    place = _inside(bench.tree, check.notebook)
    subject = bench.subject
    parameters = {
        "model_uri": f"models:/{subject.model}/{subject.version}",
        "model_name": subject.model,
        "model_version": str(subject.version),
        "model_path": str(subject.files),
    }
    raw = [word for name, value in parameters.items() for word in ("-r", name, value)]
    executed = str(bench.kept / "executed.ipynb")
    # Named here, whatever the notebook says of itself: notebooks written by hand often say nothing.
    fixed = ("-k", "python3", "-l", "python", "--cwd", str(bench.tree), "--no-progress-bar", "--log-output")
    words = (sys.executable, "-m", "papermill", str(place), executed, *raw, *fixed)
    return _Command(words, told, lambda end: _by_exit_code(end, bench))


def _evaluation(told: Mapping[str, object]) -> dict[str, Any]:
    """What the policy says of an evaluation, if it can be carried out."""
    if not told.get("data") or not told.get("model_type"):
        raise _CannotRun("MLflow needs `data` and `model-type` to evaluate")
    thresholds = cast("Mapping[str, Mapping[str, Any]]", told.get("thresholds") or {})
    if not thresholds:
        raise _CannotRun("it has no thresholds, so anything would pass")
    for name, threshold in sorted(thresholds.items()):
        if "threshold" not in threshold or threshold.keys() - {"threshold", "greater_is_better"}:
            # Which version to compare with depends on the slot, and a check is made before anybody asks for one.
            raise _CannotRun(
                f"{plain(name)} must have a `threshold` and nothing else: there is no version to compare with"
            )
    return {
        "data": str(told["data"]),
        "targets": told.get("targets"),
        "model_type": str(told["model_type"]),
        "thresholds": {name: {"greater_is_better": True, **threshold} for name, threshold in thresholds.items()},
    }


def _inside(tree: Path, name: str) -> Path:
    """A file or folder of the trusted tree."""
    path = PurePosixPath(name)
    place = tree / path
    if path.is_absolute() or not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(tree)):
        raise _CannotRun(f"{plain(name)} leads out of the repository")
    if not place.exists():
        raise _CannotRun(f"{plain(name)} is not in the policy's commit")
    return place


def _outcome(command: _Command, end: Finished, timeout: float) -> tuple[CheckOutcome, str, Mapping[str, float]]:
    if end.timed_out:
        return CheckOutcome.TIMEOUT, f"did not end within {timeout:g} s", {}
    if end.exit_code is None:
        return CheckOutcome.ERROR, f"could not run: {plain(end.trouble, 200)}", {}
    return command.understood(end)


def _by_exit_code(end: Finished, bench: _Bench) -> tuple[CheckOutcome, str, Mapping[str, float]]:
    metrics = _metrics(_result(bench))
    if end.exit_code == 0:
        found = ", ".join(f"{name} {number(value)}" for name, value in sorted(metrics.items())[:MOST_TOLD])
        return CheckOutcome.PASSED, f"ended with exit code 0{f'; {found}' if found else ''}", metrics
    said = _last_line(bench.log)
    return CheckOutcome.FAILED, f"ended with {_ended(end.exit_code)}{f': {said}' if said else ''}", metrics


def _ended(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"


def _result(bench: _Bench) -> dict[str, Any]:
    """What the check has written down. It is as little to be trusted as the check's output."""
    try:
        told: object = json.loads(_bytes(bench.result, MOST_RESULT) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    told = result.get("metrics")
    if not isinstance(told, dict):
        return {}
    metrics: dict[str, float] = {}
    for name, value in sorted(cast("dict[str, Any]", told).items())[:MOST_METRICS]:
        if isinstance(value, int | float) and not isinstance(value, bool) and name and plain(name, 250) == name:
            metrics[name] = _as_float(value)
    return metrics


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _junit(report: Path) -> dict[str, float] | None:
    """The counts at the top of a JUnit file, looked for as text: an XML parser does what the file tells it to."""
    text = _bytes(report, 65536).decode("utf-8", "replace")
    match = re.search(r"<testsuite\s([^>]*)>", text)
    if not match:
        return None
    told = dict(re.findall(r'(\w+)="([0-9]{1,9})"', match[1]))
    names = ("tests", "failures", "errors", "skipped")
    return {name: float(told[name]) for name in names} if told.keys() >= set(names) else None


def _kept(bench: _Bench, around: Surroundings) -> list[Path]:
    """The log, and what else there is to look at, without secrets; what is too large is left out."""
    files = [bench.log]
    for name in ("executed.ipynb", "junit.xml"):
        data = _bytes(bench.kept / name, MOST_NOTEBOOK + 1)
        if data and len(data) <= MOST_NOTEBOOK:
            place = bench.log.with_name(name)
            place.write_bytes(redacted(data, around.secrets))
            files.append(place)
    return files


def _bytes(path: Path, most: int) -> bytes:
    """The beginning of a file that a check may have written: a link or a pipe in its place is not read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _last_line(log: Path) -> str:
    lines = _bytes(log, MOST_OUTPUT * 2).decode("utf-8", "replace").strip().splitlines()
    return plain(lines[-1], 200) if lines else ""
