"""
Evidence in words, as rows that every rendering lays out in its own way. What stands in a row may come from outside:
whoever shows it escapes it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.core import figures
from reconciler.core.evidence import (
    Comparison,
    Dataset,
    Exhibit,
    Metric,
    MetricDelta,
    RunFacts,
    Trend,
    ValueDelta,
    VersionFacts,
    compare,
)
from reconciler.core.names import Version
from reconciler.core.signature import Compatibility, SignatureDifference
from reconciler.core.text import amount


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of both versions; `same` where it is there and equal, and so of little interest."""

    label: str
    candidate: str
    incumbent: str
    same: bool = False


@dataclass(frozen=True, slots=True)
class MetricRow:
    """
    One metric of both versions, how far apart they are, and what that means. `dataset` is what both were measured on,
    or empty.
    """

    name: str
    dataset: str
    candidate: str
    incumbent: str
    change: str
    verdict: str
    trend: Trend


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is to be said of one exhibit."""

    title: str
    metrics: tuple[MetricRow, ...]
    signature: str
    compatibility: Compatibility
    signature_rows: tuple[SignatureDifference, ...]
    params: tuple[Row, ...]
    lineage: tuple[Row, ...]
    packages: tuple[Row, ...]
    tags: tuple[Row, ...]
    missing: tuple[str, ...]
    gaps: int


NOTHING = "–"


def findings(exhibit: Exhibit, read_at: str) -> Findings:
    """What is known of an exhibit, as of `read_at` (RFC 3339 in UTC)."""
    comparison = compare(exhibit.candidate, exhibit.incumbent)
    return Findings(
        title=title(exhibit),
        metrics=tuple(_metric_row(delta) for delta in comparison.metrics),
        signature=signature_sentence(exhibit, comparison),
        compatibility=comparison.signature.compatibility,
        signature_rows=comparison.signature.differences,
        params=_rows(comparison.params),
        lineage=tuple(_lineage(exhibit.candidate, exhibit.incumbent, read_at)),
        packages=(*_rows(comparison.flavors, "no version"), *_rows(comparison.requirements)),
        tags=_rows(comparison.tags),
        missing=tuple(_missing(exhibit)),
        gaps=sum(len(facts.missing) for facts in (exhibit.candidate, exhibit.incumbent) if facts is not None),
    )


def title(exhibit: Exhibit) -> str:
    """`v5 for Production and @champion, beside v4`."""
    pairing = exhibit.pairing
    slots = list(pairing.slots)
    told = slots[0] if len(slots) == 1 else f"{', '.join(slots[:-1])} and {slots[-1]}"
    empty = "which is empty now" if len(slots) == 1 else "which are empty now"
    beside = empty if pairing.incumbent is None else f"beside v{pairing.incumbent}"
    return f"v{pairing.candidate} for {told}, {beside}"


def signature_sentence(exhibit: Exhibit, comparison: Comparison) -> str:
    """The verdict and why, without the differences one by one."""
    verdict = comparison.signature
    if exhibit.incumbent is None:
        return "nothing to compare with"
    count = sum(d.breaking for d in verdict.differences)
    match verdict.compatibility:
        case Compatibility.UNKNOWN:
            return f"unknown: {verdict.why}"
        case Compatibility.IDENTICAL:
            return "identical"
        case Compatibility.COMPATIBLE:
            return "compatible: today's callers need not change"
        case Compatibility.BREAKING:
            return f"breaking: today's callers would notice {amount(count, 'difference')}"


def _metric_row(delta: MetricDelta) -> MetricRow:
    change = "" if delta.delta is None else figures.signed(delta.delta)
    if delta.relative is not None:
        change = f"{change} ({figures.percent(delta.relative)})"
    return MetricRow(
        name=delta.name,
        dataset=_on(delta),
        candidate=_value(delta.candidate),
        incumbent=_value(delta.incumbent),
        change=change,
        verdict=verdict(delta),
        trend=delta.trend,
    )


def verdict(delta: MetricDelta) -> str:
    """What the difference means, in words: a name that does not say which way is up gets none."""
    match delta.trend:
        case Trend.DIFFERENT:
            return ""
        case Trend.ADDED:
            return "new"
        case Trend.GONE:
            return "no longer measured"
        case Trend.UNKNOWN:
            return delta.why
        case Trend.NOT_COMPARABLE:
            datasets = " and ".join(_dataset(m.dataset) for m in (delta.candidate, delta.incumbent) if m and m.dataset)
            return f"not comparable: {delta.why}{f' ({datasets})' if datasets else ''}"
        case _:
            return delta.trend.value


def _on(delta: MetricDelta) -> str:
    """The dataset, where both were measured on it."""
    known = {m.dataset for m in (delta.candidate, delta.incumbent) if m is not None and m.dataset is not None}
    if delta.trend is Trend.NOT_COMPARABLE or len(known) != 1:
        return ""
    return _dataset(next(iter(known)))


def by_dataset(metrics: Iterable[MetricRow]) -> tuple[tuple[str, tuple[MetricRow, ...]], ...]:
    """The metrics by what they were measured on, so that it is said once; those of no one dataset come last."""
    rows: dict[str, list[MetricRow]] = {}
    for row in sorted(metrics, key=lambda row: not row.dataset):
        rows.setdefault(row.dataset, []).append(row)
    return tuple((dataset, tuple(of)) for dataset, of in rows.items())


def _dataset(dataset: Dataset) -> str:
    return f"{dataset.name} {dataset.digest[:8]}".strip()


def _value(metric: Metric | None) -> str:
    return NOTHING if metric is None else figures.number(metric.value)


def _rows(deltas: tuple[ValueDelta, ...], empty: str = '""') -> tuple[Row, ...]:
    def told(value: str | None) -> str:
        return NOTHING if value is None else value or empty

    return tuple(Row(delta.name, told(delta.candidate), told(delta.incumbent)) for delta in deltas)


def _lineage(candidate: VersionFacts, incumbent: VersionFacts | None, now: str) -> Iterator[Row]:
    sides = (_told(candidate, now), _told(incumbent, now) if incumbent else {})
    # In the order of the version that more is known of: the other's labels are among them.
    for label in max(sides, key=len) | sides[0] | sides[1]:
        new, old = sides[0].get(label, NOTHING), sides[1].get(label, NOTHING)
        if not new == old == NOTHING:
            yield Row(label, new, old, same=new == old)


def _told(facts: VersionFacts, now: str) -> dict[str, str]:
    """What is known of where one version comes from, label by label; what is not known is left out."""
    age, staged = figures.between(facts.created_at, now), figures.between(facts.staged_at, facts.staged_until or now)
    told = {
        **(run_facts(facts.run) if facts.run else {}),
        "registered": facts.created_at and f"{figures.moment(facts.created_at)}{_ago(age)}",
        "in Staging": _staged(facts, staged),
        "size": "" if facts.size is None else figures.size(facts.size),
        "Python": facts.python,
        "description": facts.description,
    }
    return {label: value for label, value in told.items() if value}


def run_facts(run: RunFacts) -> dict[str, str]:
    """A run, label by label."""
    took = figures.between(run.started_at, run.ended_at)
    name = f"{run.name} ({run.run_id})" if run.name and run.name != run.run_id else run.run_id
    finished = run.status in {"", "FINISHED"}
    return {
        "run": f"{'deleted: ' if run.deleted else ''}{'' if finished else f'{run.status}: '}{name}",
        "experiment": run.experiment,
        "git commit": run.git_commit,
        "source": run.source,
        "trained by": run.user,
        "trained": run.started_at and figures.moment(run.started_at),
        "took": "" if took is None else figures.duration(took),
    }


def _staged(facts: VersionFacts, seconds: float | None) -> str:
    if not facts.staged_at:
        return ""
    span = "" if seconds is None else f"{figures.duration(seconds)}, "
    until = f"until {figures.moment(facts.staged_until)}" if facts.staged_until else "still there"
    return f"{span}since {figures.moment(facts.staged_at)}, {until}"


def _ago(seconds: float | None) -> str:
    return "" if seconds is None or seconds < 0 else f" ({figures.duration(seconds)} ago)"


def _missing(exhibit: Exhibit) -> Iterator[str]:
    for facts in (exhibit.candidate, exhibit.incumbent):
        if facts is not None:
            by_why: dict[str, list[str]] = {}
            for missing in facts.missing:
                by_why.setdefault(missing.why, []).append(missing.what)
            if by_why:
                parts = (f"{', '.join(what)} ({why})" for why, what in by_why.items())
                yield f"{_named(facts.version)}: {'; '.join(parts)}"


def _named(version: Version) -> str:
    return f"v{version}"
