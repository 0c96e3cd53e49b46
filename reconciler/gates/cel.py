"""A condition of one's own, in the Common Expression Language."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from reconciler.core.evidence import Metric, RunFacts, VersionFacts
from reconciler.core.gate import (
    CANDIDATE,
    CHANGE,
    INCUMBENT,
    MODEL,
    ChangeFacts,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    ModelFacts,
    Nobody,
    failed,
    passed,
    unknown,
)
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, GateKind, Given, Key, Prose, Surroundings, nobody_evaluates

VARIABLES: Mapping[str, FactKey[Any]] = {
    "candidate": CANDIDATE,
    "incumbent": INCUMBENT,
    "model": MODEL,
    "change": CHANGE,
}


_TEXT = re.compile(r"""(?s)(\"{3}|'{3}).*?\1|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Cel:
    """
    A condition that must be true; `message` is what to say where it is false. `evaluate` answers with a bool, or with
    the reason why there is no answer. The condition is told of these, and asks only for those that it names:

    - `candidate`, `incumbent` (null where there is none): `version` (int), `description`, `created_at` (RFC 3339),
      `url`, `tags` (name → text), `params` (name → text), `metrics` (name → number, of those measured once),
      `metrics_on` (dataset's name → metric's name → number), `datasets` (name → digest), `flavors` (name → the
      library's version), `python`, `requirements` (list of text), `size` (bytes), `signature` (`inputs`, `outputs`,
      `params`: lists of text such as `age: long`, or null), `run`, and `missing` (what is not known → why).
    - `run`: `run_id`, `name`, `experiment`, `status`, `user`, `source`, `commit`, `started_at`, `ended_at`, `url`,
      `deleted` (bool).
    - `model`: `name`, `description`, `tags`, `owners` (list).
    - `change`: `commit` (or null), `base` (or null), `subject`, `authors` (list).

    What is not known is not there, so that a condition that asks for it has no answer; `has(…)` tells. The same is true
    of numbers that are not finite. Tags are nowhere but under `tags`: no tag can pass for a fact.
    """

    condition: Annotated[
        Prose, Key("The condition that must be true.", examples=("candidate.metrics.f1 > incumbent.metrics.f1",))
    ]
    message: Annotated[Prose, Key("The message if it is not true.", examples=("It is not better.",))] = ""
    evaluate: Annotated[Callable[[str, Mapping[str, object]], bool | str], Given("evaluate")] = nobody_evaluates

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if why := around.compile_fault(self.condition):
            message = f" is not a valid condition: {plain(why).rstrip('.')}."
            yield Fault(GateCode.INVALID_CONDITION, message, "Write it in CEL, such as `1 < 2`.", ("condition",))

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        # A word inside a text counts too: to be told more than is used does no harm.
        words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", self.condition))
        return tuple(key for name, key in VARIABLES.items() if name in words)

    def on_rollback(self) -> Gate | None:
        """Nothing of what compares with the incumbent or is about the change; the rest as it is."""
        names = set(_IDENTIFIER.findall(_TEXT.sub("", self.condition)))
        return None if names & {"incumbent", "change"} else self

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        condition = plain(self.condition)
        needed = frozenset(self.needs(entrance))
        answer = self.evaluate(self.condition, variables(facts, needed))
        if answer is True:
            return passed(f"the condition is true: {condition}")
        if answer is False:
            return failed(plain(self.message) or f"the condition is false: {condition}")
        gaps = sorted({gap.what for gap in facts[CANDIDATE].missing}) if CANDIDATE in needed else []
        missing = f"; not known for v{entrance.candidate}: {', '.join(gaps)}" if gaps else ""
        return unknown(f"the condition {condition} cannot be evaluated: {plain(str(answer))}{missing}")


def variables(facts: Facts, needed: frozenset[FactKey[Any]]) -> dict[str, object]:
    """The four variables, as plain values; null what a condition does not ask for."""
    told: dict[str, object] = dict.fromkeys(VARIABLES, cast("object", None))
    if CANDIDATE in needed:
        told["candidate"] = _version(facts[CANDIDATE])
    if INCUMBENT in needed:
        incumbent = facts[INCUMBENT]
        told["incumbent"] = None if isinstance(incumbent, Nobody) else _version(incumbent)
    if MODEL in needed:
        told["model"] = _model(facts[MODEL])
    if CHANGE in needed:
        told["change"] = _change(facts[CHANGE])
    return told


def _version(facts: VersionFacts) -> dict[str, object]:
    told: dict[str, object] = {"version": int(facts.version), "missing": {gap.what: gap.why for gap in facts.missing}}
    if facts.why_missing("version"):
        return told
    told.update((name, value) for name, value in _parts(facts) if value is not None and not facts.why_missing(name))
    return told


def _parts(facts: VersionFacts) -> Iterator[tuple[str, object]]:
    """Everything that may be known of a version; None is not known."""
    yield "description", facts.description
    yield "created_at", facts.created_at or None
    yield "url", facts.url
    yield "tags", dict(facts.tags)
    yield "params", None if facts.why_missing("run") and not facts.params else dict(facts.params)
    yield "run", None if facts.run is None else _run(facts.run)
    if facts.metrics or not facts.why_missing("metrics", "run", "model"):
        finite = [metric for metric in facts.metrics if math.isfinite(metric.value)]
        yield "metrics", _measured_once(facts.metrics)
        yield "metrics_on", _by_dataset(finite)
        yield "datasets", _datasets(facts.metrics)
    yield "flavors", dict(facts.flavors) or None
    yield "python", facts.python or None
    yield "requirements", None if facts.requirements is None else list(facts.requirements)
    yield "size", facts.size
    if (signature := facts.signature) is not None:
        parts = {"inputs": signature.inputs, "outputs": signature.outputs, "params": signature.params}
        yield "signature", {name: None if part is None else list(map(str, part)) for name, part in parts.items()}


def _measured_once(metrics: Iterable[Metric]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for metric in metrics:
        values.setdefault(metric.name, []).append(metric.value)
    return {name: found[0] for name, found in values.items() if len(found) == 1 and math.isfinite(found[0])}


def _by_dataset(metrics: Iterable[Metric]) -> dict[str, dict[str, float]]:
    """Without the datasets whose name stands for two."""
    found = list(metrics)
    names = _datasets(found)
    told: dict[str, dict[str, float]] = {name: {} for name in names}
    for metric in found:
        if metric.dataset is not None and metric.dataset.name in told:
            told[metric.dataset.name][metric.name] = metric.value
    return told


def _datasets(metrics: Iterable[Metric]) -> dict[str, str]:
    digests: dict[str, set[str]] = {}
    for metric in metrics:
        if metric.dataset is not None:
            digests.setdefault(metric.dataset.name, set()).add(metric.dataset.digest)
    return {name: next(iter(found)) for name, found in sorted(digests.items()) if len(found) == 1}


def _run(run: RunFacts) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "user": run.user,
        "source": run.source,
        "commit": run.git_commit,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "url": run.url,
        "deleted": run.deleted,
    }


def _model(model: ModelFacts) -> dict[str, object]:
    return {
        "name": str(model.name),
        "description": model.description,
        "tags": dict(model.tags),
        "owners": list(model.owners),
    }


def _change(change: ChangeFacts) -> dict[str, object]:
    return {
        "commit": change.commit,
        "base": change.base,
        "subject": change.subject,
        "authors": list(change.authors),
    }


CEL = GateKind(
    "cel",
    Cel,
    asks="make this condition, written in the [Common Expression Language](https://cel.dev), true",
    example={"condition": "candidate.metrics.f1 > incumbent.metrics.f1", "message": "It is not better."},
)
