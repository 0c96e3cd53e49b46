"""What is known of a version that a plan moves in, beside the one that it takes the place of."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.names import ModelRef, Slot, Version
from reconciler.core.signature import Signature, SignatureVerdict, judge_signature


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data that a metric was measured on; equal digests are equal data."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Metric:
    """The last value that was logged. `dataset` is None where MLflow does not know it."""

    name: str
    value: float
    dataset: Dataset | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What tells a run from others: its name, and its metrics as they ended."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Where a version was trained. Times are RFC 3339 in UTC; `url` is empty where the registry has no pages."""

    run_id: str
    name: str = ""
    experiment: str = ""
    status: str = ""
    user: str = ""
    source: str = ""
    git_commit: str = ""
    started_at: str = ""
    ended_at: str = ""
    url: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """
    Evidence that there is none of, and why: `run`, `metrics`, `model`, `signature`, `requirements`, `size`, … It is
    `gone` where the server says that what it comes from is there no more; what it did not answer is only missing.
    """

    what: str
    why: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """
    What is known of one version. Where something is None or empty, `missing` says why, unless there is nothing to know.
    `metrics` and `params` are by name; `size` is in bytes; `flavors` has the version of each library; `staged_at` and
    `created_at` are RFC 3339 in UTC, `staged_until` is empty while it is still in Staging. `self_declared` are tags
    that a manifest sets: where a gate reads them, they are not among `tags`, as a change does not vouch for itself.
    """

    model: ModelRef
    version: Version
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    created_at: str = ""
    url: str = ""
    run: RunFacts | None = None
    metrics: tuple[Metric, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    signature: Signature | None = None
    flavors: Mapping[str, str] = field(default_factory=dict[str, str])
    python: str = ""
    requirements: tuple[str, ...] | None = None
    size: int | None = None
    staged_at: str = ""
    staged_until: str = ""
    self_declared: frozenset[str] = frozenset()
    missing: tuple[Missing, ...] = ()

    def why_missing(self, *whats: str) -> str:
        """Why there is no such evidence, the first that there is none of, or nothing where there is all."""
        gap = self.gap(*whats)
        return "" if gap is None else gap.why or "nobody says why"

    def gap(self, *whats: str) -> Missing | None:
        """The first of such evidence that there is none of."""
        return next((gap for what in whats for gap in self.missing if gap.what == what), None)


RESTORE = "the owner of the run can restore it (`mlflow runs restore`), unless it was permanently deleted"
"""What to do about evidence that went with a run."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """
    A version that a plan moves into slots, and the one that consumers find there before: of several, the highest, as
    `models:/name/Production` resolves to it. None where the slot was empty.
    """

    model: ModelRef
    candidate: Version
    incumbent: Version | None
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A pairing with what is known of both versions, and the metrics of the model's last versions, oldest first."""

    pairing: Pairing
    candidate: VersionFacts
    incumbent: VersionFacts | None = None
    history: tuple[VersionFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, when (RFC 3339 in UTC), and, where nothing could be, why."""

    read_at: str
    exhibits: tuple[Exhibit, ...] = ()
    trouble: str = ""
    _by_model: Mapping[ModelRef, tuple[Exhibit, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[ModelRef, list[Exhibit]] = {}
        for exhibit in self.exhibits:
            found.setdefault(exhibit.pairing.model, []).append(exhibit)
        object.__setattr__(self, "_by_model", {model: tuple(exhibits) for model, exhibits in found.items()})

    def of(self, model: ModelRef) -> tuple[Exhibit, ...]:
        """The exhibits of one model."""
        return self._by_model.get(model, ())


class Trend(StrEnum):
    """What a difference of a metric means."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    DIFFERENT = "different"
    ADDED = "added"
    GONE = "gone"
    NOT_COMPARABLE = "not comparable"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class MetricDelta:
    """One metric of two versions. `delta` and `relative` are None where they would mean nothing."""

    name: str
    candidate: Metric | None
    incumbent: Metric | None
    trend: Trend
    delta: float | None = None
    relative: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ValueDelta:
    """A parameter, a tag, a flavour or a requirement that differs; None is "not there"."""

    name: str
    candidate: str | None
    incumbent: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate beside the incumbent: every metric, and of the rest what differs."""

    metrics: tuple[MetricDelta, ...]
    params: tuple[ValueDelta, ...]
    tags: tuple[ValueDelta, ...]
    flavors: tuple[ValueDelta, ...]
    requirements: tuple[ValueDelta, ...]
    signature: SignatureVerdict


# The names that scikit-learn, `mlflow.models.evaluate` and the boosting libraries give their metrics. A name that says
# neither is shown without a verdict: a guess would be believed.
_LOWER = re.compile(
    r"loss|log_?loss|(^|_)error|rmse|mse|mae|mape|smape|wape|rmsle|deviance|perplexity|brier|hinge|hamming"
    r"|latency|duration|(^|_)time(_|$)|(^|_)ece(_|$)|false_(positive|negative)s?|(^|_)(fp|fn|fpr|fnr|wer|cer)(_|$)"
    r"|toxicity|divergence|distance|(^|_)aic(_|$)|(^|_)bic(_|$)"
)
_HIGHER = re.compile(
    r"accuracy|(^|_)acc(_|$)|precision|recall|sensitivity|specificity|(^|_)f(1|beta|_1|0_5|2)(_|$)|f1|auc|auroc|auprc|gini"
    r"|(^|_)r2|r_squared|ndcg|(^|_)map(_|$)|(^|_)mrr(_|$)|hit_rate|kappa|mcc|matthews|jaccard|iou|dice|bleu|rouge|meteor"
    r"|true_(positive|negative)s?|(^|_)(tp|tn|tpr|tnr|ks)(_|$)|explained_variance|likelihood|exact_match|lift|silhouette"
)


def higher_is_better(metric: str) -> bool | None:
    """Which way a metric improves, by its name; None where the name does not say."""
    name = re.sub(r"[^a-z0-9]+", "_", metric.lower())
    lower, higher = bool(_LOWER.search(name)), bool(_HIGHER.search(name))
    return None if lower == higher else higher


def compare(candidate: VersionFacts, incumbent: VersionFacts | None) -> Comparison:
    """
    The candidate beside the incumbent; with no incumbent, everything is new. What is missing of one of them is not
    known, and so neither gone nor different.
    """
    beside = incumbent or VersionFacts(candidate.model, candidate.version)

    def known(values: tuple[ValueDelta, ...], *whats: str) -> tuple[ValueDelta, ...]:
        return () if _lacks(candidate, *whats) or _lacks(beside, *whats) else values

    deltas = compare_metrics(candidate.metrics, beside.metrics)
    return Comparison(
        metrics=tuple(_as_far_as_known(delta, candidate, beside) for delta in deltas),
        params=known(_values(candidate.params, beside.params), "version", "run", "params"),
        tags=known(_values(candidate.tags, beside.tags), "version", "tags"),
        flavors=known(_values(candidate.flavors, beside.flavors), "version", "flavors"),
        requirements=_values(_pins(candidate.requirements), _pins(beside.requirements))
        if candidate.requirements is not None and (incumbent is None or incumbent.requirements is not None)
        else (),
        signature=judge_signature(candidate.signature, beside.signature),
    )


def _lacks(facts: VersionFacts, *whats: str) -> bool:
    return any(facts.why_missing(what) for what in whats)


def _as_far_as_known(delta: MetricDelta, candidate: VersionFacts, incumbent: VersionFacts) -> MetricDelta:
    """A metric that only one version has is new, or gone, if it is known that the other has none."""
    for trend, facts in ((Trend.GONE, candidate), (Trend.ADDED, incumbent)):
        lost = _lacks(facts, "version", "run") or (not facts.metrics and _lacks(facts, "metrics"))
        if delta.trend is trend and lost:
            return replace(delta, trend=Trend.UNKNOWN, why=f"not known for v{facts.version}")
    return delta


def compare_metrics(candidate: Iterable[Metric], incumbent: Iterable[Metric]) -> Iterator[MetricDelta]:
    """
    Metric by metric, by name; one that was measured on several datasets, dataset by dataset. Figures on different
    datasets are not compared: what changed may be the data.
    """
    new, old = _by_name(candidate), _by_name(incumbent)
    for name in sorted(new.keys() | old.keys()):
        yield from _pair(name, new.get(name, {}), old.get(name, {}))


def _pair(name: str, new: dict[str, Metric], old: dict[str, Metric]) -> Iterator[MetricDelta]:
    common = new.keys() & old.keys()
    for digest in sorted(common):
        yield _delta(name, new[digest], old[digest])
    lone_new, lone_old = ([side[d] for d in sorted(side.keys() - common)] for side in (new, old))
    if common:
        yield from (MetricDelta(name, metric, None, Trend.ADDED) for metric in lone_new)
        yield from (MetricDelta(name, None, metric, Trend.GONE) for metric in lone_old)
        return
    for position in range(max(len(lone_new), len(lone_old))):
        after = lone_new[position] if position < len(lone_new) else None
        before = lone_old[position] if position < len(lone_old) else None
        if after is None or before is None:
            yield MetricDelta(name, after, before, Trend.GONE if after is None else Trend.ADDED)
        else:
            known = after.dataset and before.dataset
            why = "measured on different datasets" if known else "the dataset of only one of them is known"
            yield MetricDelta(name, after, before, Trend.NOT_COMPARABLE, why=why)


def _delta(name: str, after: Metric, before: Metric) -> MetricDelta:
    if not (math.isfinite(after.value) and math.isfinite(before.value)):
        same = after.value == before.value or (math.isnan(after.value) and math.isnan(before.value))
        trend, why = (Trend.SAME, "") if same else (Trend.NOT_COMPARABLE, "not a finite number")
        return MetricDelta(name, after, before, trend, why=why)
    delta = after.value - before.value
    higher = higher_is_better(name)
    if delta == 0:
        trend = Trend.SAME
    elif higher is None:
        trend = Trend.DIFFERENT
    else:
        trend = Trend.BETTER if (delta > 0) == higher else Trend.WORSE
    relative = delta / abs(before.value) if before.value else None
    if not math.isfinite(delta) or (relative is not None and not math.isfinite(relative)):
        return MetricDelta(name, after, before, trend)
    return MetricDelta(name, after, before, trend, delta, relative)


def _by_name(metrics: Iterable[Metric]) -> dict[str, dict[str, Metric]]:
    found: dict[str, dict[str, Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.name, {})[metric.dataset.digest if metric.dataset else ""] = metric
    return found


def _values(candidate: Mapping[str, str], incumbent: Mapping[str, str]) -> tuple[ValueDelta, ...]:
    return tuple(
        ValueDelta(key, candidate.get(key), incumbent.get(key))
        for key in sorted(candidate.keys() | incumbent.keys())
        if candidate.get(key) != incumbent.get(key)
    )


def _pins(requirements: Iterable[str] | None) -> dict[str, str]:
    """Requirements by the name of what they require (PEP 503), with what they ask of it; a URL is known by itself."""
    found: dict[str, str] = {}
    for line in requirements or ():
        matched = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?\s*(.*)", line)
        if matched is None or line.lstrip().startswith(("-", "git+", "http")):
            found[line.strip()] = line.strip()
        else:
            found[re.sub(r"[-_.]+", "-", matched[1]).lower()] = f"{matched[2] or ''}{matched[3]}".strip() or "any"
    return found
