"""Evidence as a document for programs: a part of the plan's."""

import hashlib
import math
from collections.abc import Iterable
from typing import Any, Literal

# On Python 3.11 pydantic, which reads these documents back, cannot look into those of `typing`.
from typing_extensions import TypedDict

from reconciler.core.evidence import (
    Comparison,
    Evidence,
    Exhibit,
    Metric,
    MetricDelta,
    RunFacts,
    ValueDelta,
    VersionFacts,
    compare,
)
from reconciler.core.records import canonical
from reconciler.core.signature import Column, Parameter, Signature, SignatureVerdict

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A number, or the word for one that JSON has none for."""


class DatasetDocument(TypedDict):
    """The data that a metric was measured on."""

    name: str
    digest: str


class MetricDocument(TypedDict):
    """The last value that was logged; `dataset` is null where MLflow does not know it."""

    name: str
    value: Number
    dataset: DatasetDocument | None


class RunDocument(TypedDict):
    """Where a version was trained. Times are RFC 3339 in UTC; what is not known is empty."""

    run_id: str
    name: str
    experiment: str
    status: str
    user: str
    source: str
    git_commit: str
    started_at: str
    ended_at: str
    url: str
    deleted: bool


class MissingDocument(TypedDict):
    """Evidence that there is none of, and why."""

    what: str
    why: str


class FactsDocument(TypedDict):
    """What is known of one version. `size` is in bytes, `requirements` null where they are not known."""

    version: int
    description: str
    tags: dict[str, str]
    created_at: str
    url: str
    run: RunDocument | None
    metrics: list[MetricDocument]
    params: dict[str, str]
    flavors: dict[str, str]
    python: str
    requirements: list[str] | None
    size: int | None
    staged_at: str
    staged_until: str
    missing: list[MissingDocument]


class WrittenSignature(TypedDict):
    """What a model takes and gives, a line each; null where that was not logged."""

    inputs: list[str] | None
    outputs: list[str] | None
    params: list[str] | None


class KnownDocument(FactsDocument):
    """The same, with the signature, null where there is none."""

    signature: WrittenSignature | None


class MetricDeltaDocument(TypedDict):
    """One metric of both versions; `delta` and `relative` are null where they would mean nothing."""

    name: str
    candidate: MetricDocument | None
    incumbent: MetricDocument | None
    trend: Literal["better", "worse", "same", "different", "added", "gone", "not comparable", "not known"]
    delta: float | None
    relative: float | None
    why: str


class ValueDeltaDocument(TypedDict):
    """Something that differs; null is "not there"."""

    name: str
    candidate: str | None
    incumbent: str | None


class SignatureDifferenceDocument(TypedDict):
    """One thing in which the signatures differ; null is "not there"."""

    where: str
    name: str
    before: str | None
    after: str | None
    breaking: bool
    why: str


class SignatureDocument(TypedDict):
    """Whether whoever calls the incumbent can call the candidate instead."""

    compatibility: Literal["identical", "compatible", "breaking", "unknown"]
    why: str
    differences: list[SignatureDifferenceDocument]


class ComparisonDocument(TypedDict):
    """The candidate beside the incumbent: every metric, and of the rest what differs."""

    metrics: list[MetricDeltaDocument]
    params: list[ValueDeltaDocument]
    tags: list[ValueDeltaDocument]
    flavors: list[ValueDeltaDocument]
    requirements: list[ValueDeltaDocument]
    signature: SignatureDocument


class PointDocument(TypedDict):
    """The metrics of one of the model's last versions."""

    version: int
    metrics: list[MetricDocument]


class ExhibitDocument(TypedDict):
    """A version that moves into slots, beside the one that is there now; `incumbent` is null where none is."""

    model: str
    slots: list[str]
    candidate: FactsDocument
    incumbent: FactsDocument | None
    comparison: ComparisonDocument
    history: list[PointDocument]


class EvidenceDocument(TypedDict):
    """What was found, when (RFC 3339 in UTC), and, where nothing could be, why."""

    read_at: str
    trouble: str
    exhibits: list[ExhibitDocument]


def evidence_document(evidence: Evidence) -> EvidenceDocument:
    """Evidence as it stands in the plan's document."""
    return {
        "read_at": evidence.read_at,
        "trouble": evidence.trouble,
        "exhibits": [_exhibit(exhibit) for exhibit in evidence.exhibits],
    }


def facts_document(facts: VersionFacts) -> KnownDocument:
    """What is known of one version, its signature included."""
    return {**_facts(facts), "signature": None if facts.signature is None else _written(facts.signature)}


def evidence_digests(facts: VersionFacts) -> dict[str, str]:
    """
    The SHA-256 of each part of what is known of a version that there is, but for what is about where it is now, or was
    read from: by these it is told later which parts are what gates were shown.
    """
    document: dict[str, Any] = {**facts_document(facts)}
    if document["run"] is not None:
        document["run"] = {key: value for key, value in document["run"].items() if key != "url"}
    passing = {"version", "url", "missing", "staged_until"}
    parts = sorted(part for part, value in document.items() if part not in passing and value not in ("", {}, [], None))
    return {part: hashlib.sha256(canonical(document[part])).hexdigest() for part in parts}


def _written(signature: Signature) -> WrittenSignature:
    def lines(schema: Iterable[Column | Parameter] | None) -> list[str] | None:
        return None if schema is None else [str(one) for one in schema]

    return {
        "inputs": lines(signature.inputs),
        "outputs": lines(signature.outputs),
        "params": lines(signature.params),
    }


def _exhibit(exhibit: Exhibit) -> ExhibitDocument:
    return {
        "model": exhibit.pairing.model,
        "slots": list(exhibit.pairing.slots),
        "candidate": _facts(exhibit.candidate),
        "incumbent": None if exhibit.incumbent is None else _facts(exhibit.incumbent),
        "comparison": _comparison(compare(exhibit.candidate, exhibit.incumbent)),
        "history": [
            {"version": point.version, "metrics": [_metric(metric) for metric in point.metrics]}
            for point in exhibit.history
        ],
    }


def _facts(facts: VersionFacts) -> FactsDocument:
    return {
        "version": facts.version,
        "description": facts.description,
        "tags": dict(facts.tags),
        "created_at": facts.created_at,
        "url": facts.url,
        "run": None if facts.run is None else _run(facts.run),
        "metrics": [_metric(metric) for metric in facts.metrics],
        "params": dict(facts.params),
        "flavors": dict(facts.flavors),
        "python": facts.python,
        "requirements": None if facts.requirements is None else list(facts.requirements),
        "size": facts.size,
        "staged_at": facts.staged_at,
        "staged_until": facts.staged_until,
        "missing": [{"what": missing.what, "why": missing.why} for missing in facts.missing],
    }


def _run(run: RunFacts) -> RunDocument:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "user": run.user,
        "source": run.source,
        "git_commit": run.git_commit,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "url": run.url,
        "deleted": run.deleted,
    }


def _metric(metric: Metric) -> MetricDocument:
    dataset = metric.dataset
    return {
        "name": metric.name,
        "value": _number(metric.value),
        "dataset": None if dataset is None else {"name": dataset.name, "digest": dataset.digest},
    }


def _number(value: float) -> Number:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _comparison(comparison: Comparison) -> ComparisonDocument:
    return {
        "metrics": [_metric_delta(delta) for delta in comparison.metrics],
        "params": [_value(delta) for delta in comparison.params],
        "tags": [_value(delta) for delta in comparison.tags],
        "flavors": [_value(delta) for delta in comparison.flavors],
        "requirements": [_value(delta) for delta in comparison.requirements],
        "signature": _signature(comparison.signature),
    }


def _metric_delta(delta: MetricDelta) -> MetricDeltaDocument:
    return {
        "name": delta.name,
        "candidate": None if delta.candidate is None else _metric(delta.candidate),
        "incumbent": None if delta.incumbent is None else _metric(delta.incumbent),
        "trend": delta.trend.value,
        "delta": delta.delta,
        "relative": delta.relative,
        "why": delta.why,
    }


def _value(delta: ValueDelta) -> ValueDeltaDocument:
    return {"name": delta.name, "candidate": delta.candidate, "incumbent": delta.incumbent}


def _signature(verdict: SignatureVerdict) -> SignatureDocument:
    return {
        "compatibility": verdict.compatibility.value,
        "why": verdict.why,
        "differences": [
            {
                "where": difference.where,
                "name": difference.name,
                "before": difference.before,
                "after": difference.after,
                "breaking": difference.breaking,
                "why": difference.why,
            }
            for difference in verdict.differences
        ],
    }
