"""Where the marks of the page's two charts stand. page.html.jinja draws them; whatever is drawn, a table says too."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.core import figures
from reconciler.core.evidence import Comparison, Exhibit, Metric, MetricDelta, Trend, VersionFacts, higher_is_better

JUDGED = (Trend.BETTER, Trend.WORSE, Trend.SAME)
MOST_BARS = 12
MOST_LINES = 4
MOST_NAME = 20

BAR_STEP, BAR_TOP, BAR_MIDDLE, BAR_REACH = 22, 24, 240, 66
LINE_LEFT, LINE_RIGHT, LINE_TOP, LINE_BOTTOM = 46, 228, 12, 76
"""In the units of the drawings: 380 across for the bars, 240 by 100 for a line."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One metric: to the right of the middle where it is better, to the left where it is worse."""

    name: str
    told: str
    trend: Trend
    x: float
    y: float
    width: float
    cut: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """The metrics that have a better and a worse, by how much they differ; `limit` is where a bar ends at the edge."""

    bars: tuple[Bar, ...]
    limit: str
    height: int
    description: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Dot:
    """The metric of one version; `role` is `candidate`, `incumbent` or empty."""

    label: str
    told: str
    role: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """One metric over the model's last versions, as far as they were measured on the candidate's data."""

    name: str
    direction: str
    change: str
    trend: Trend
    low: str
    high: str
    points: str
    dots: tuple[Dot, ...]
    description: str
    left_out: int


def bars(comparison: Comparison) -> Bars | None:
    """How much better or worse the metrics are, relative to the incumbent; None where there is nothing to draw."""
    found = [d for d in comparison.metrics if d.trend in JUDGED and d.relative is not None]
    if not any(d.relative for d in found):
        return None
    found.sort(key=lambda d: (-_worth(d), d.name))
    # The best and the worst are what a reviewer looks for.
    half = MOST_BARS // 2
    shown = found if len(found) <= MOST_BARS else [*found[:half], *found[-half:]]
    # Neither one metric that exploded nor noise alone is to set the scale.
    limit = min(max(0.01, *(abs(_worth(d)) for d in shown)), 1.0)
    return Bars(
        tuple(_bar(delta, position, limit) for position, delta in enumerate(shown)),
        figures.percent(limit).removeprefix("+"),
        BAR_TOP + BAR_STEP * len(shown) + 6,
        "; ".join(f"{d.name} {_percent(d)}, {d.trend}" for d in shown),
        len(found) - len(shown),
    )


def lines(exhibit: Exhibit, comparison: Comparison) -> tuple[Line, ...]:
    """The metrics that say most, over the model's versions: those with a verdict first, then by how much differs."""
    if exhibit.incumbent is None:
        return ()
    versions = _versions(exhibit, exhibit.incumbent)
    comparable = [d for d in comparison.metrics if d.candidate and d.incumbent and d.trend is not Trend.NOT_COMPARABLE]
    comparable.sort(key=lambda d: (d.trend not in JUDGED, -abs(d.relative or 0), d.name))
    drawn = (_line(delta, versions, exhibit) for delta in comparable)
    return tuple(line for line in drawn if line is not None)[:MOST_LINES]


def _worth(delta: MetricDelta) -> float:
    size = abs(delta.relative or 0)
    return -size if delta.trend is Trend.WORSE else size


def _bar(delta: MetricDelta, position: int, limit: float) -> Bar:
    worth = _worth(delta)
    width = round(min(abs(worth) / limit, 1.0) * BAR_REACH, 1)
    return Bar(
        name=_short(delta.name),
        told=_percent(delta),
        trend=delta.trend,
        x=round(BAR_MIDDLE - width if worth < 0 else BAR_MIDDLE, 1),
        y=BAR_TOP + BAR_STEP * position,
        width=width,
        cut=abs(worth) > limit,
    )


def _percent(delta: MetricDelta) -> str:
    return figures.percent(delta.relative or 0)


def _line(delta: MetricDelta, versions: Sequence[VersionFacts], exhibit: Exhibit) -> Line | None:
    measured = {facts.version: metric for facts in versions if (metric := _same(facts.metrics, delta)) is not None}
    values = [metric.value for metric in measured.values()]
    if len(values) < 3:  # two points say no more than the table
        return None
    low, high = min(values), max(values)
    roles = {exhibit.pairing.incumbent: "incumbent", exhibit.candidate.version: "candidate"}
    step = (LINE_RIGHT - LINE_LEFT) / (len(values) - 1)
    dots = tuple(
        Dot(
            label=f"v{number}",
            told=figures.number(metric.value),
            role=roles.get(number, ""),
            x=round(LINE_LEFT + position * step, 1),
            y=round(_height(metric.value, low, high), 1),
        )
        for position, (number, metric) in enumerate(measured.items())
    )
    higher = higher_is_better(delta.name)
    return Line(
        name=delta.name,
        direction="" if higher is None else "higher is better" if higher else "lower is better",
        change="" if delta.relative is None else _percent(delta),
        trend=delta.trend,
        low=figures.number(low),
        high=figures.number(high),
        points=" ".join(f"{dot.x},{dot.y}" for dot in dots),
        dots=dots,
        description="; ".join(f"{d.label} {d.told}{f' ({d.role})' if d.role else ''}" for d in dots),
        left_out=len(versions) - len(dots),
    )


def _versions(exhibit: Exhibit, incumbent: VersionFacts) -> list[VersionFacts]:
    """The versions of which an exhibit knows the metrics, in their order."""
    known = {facts.version: facts for facts in (*exhibit.history, incumbent, exhibit.candidate)}
    return [known[number] for number in sorted(known)]


def _height(value: float, low: float, high: float) -> float:
    # Each is halved, so that the difference of the two largest numbers is one still.
    share = 0.5 if low == high else (value / 2 - low / 2) / (high / 2 - low / 2)
    return LINE_BOTTOM - share * (LINE_BOTTOM - LINE_TOP)


def _same(metrics: Iterable[Metric], delta: MetricDelta) -> Metric | None:
    """The finite value of the same metric on the same data."""
    digest = delta.candidate and delta.candidate.dataset and delta.candidate.dataset.digest
    for metric in metrics:
        if metric.name == delta.name and (metric.dataset and metric.dataset.digest) == digest:
            return metric if math.isfinite(metric.value) else None
    return None


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 1]}…"
