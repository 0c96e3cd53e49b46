"""
A review as one page, for a browser: it fetches nothing and runs nothing. How it looks is in page.html.jinja; here is
what it is made of. Every text that the template puts out is escaped, and what a reader would not see is written out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import cast

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from reconciler.core import figures
from reconciler.core.diff import Blocker, ModelPlan
from reconciler.core.drift import DriftStatus
from reconciler.core.evidence import Comparison, Dataset, Exhibit, MetricDelta, Trend, VersionFacts, compare
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.history import Held, History, Turn, Turning
from reconciler.core.names import ModelRef
from reconciler.core.overview import Overview, SlotState
from reconciler.core.plan import Effect, Plan, Status, Verb, effects_of
from reconciler.core.review import Applied, Origin, Review, Weight, weightiest
from reconciler.core.signature import Compatibility
from reconciler.core.text import amount, clean
from reconciler.render import charts, words
from reconciler.render.findings import Findings, findings, verdict
from reconciler.render.folds import folded
from reconciler.render.history import TONE, moved, notes, told, when
from reconciler.render.overview import REMARK, STYLE, sorted_by_weight
from reconciler.render.text import STYLE_OF
from reconciler.version import __version__

FEW = 5
"""Up to so many models are shown opened up, and without a table of contents."""

GLYPH = {
    Trend.BETTER: "▲",
    Trend.WORSE: "▼",
    Trend.SAME: "=",
    Trend.DIFFERENT: "≠",
    Trend.ADDED: "+",
    Trend.GONE: "–",
    Trend.NOT_COMPARABLE: "?",
    Trend.UNKNOWN: "?",
}
IN_WORDS = (Verb.CREATE, Verb.RENAME, Verb.REGISTER, Verb.COPY, Verb.RELEASE)
"""What is said of these is a sentence, and not where something was and will be."""


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the changes of a model: either `said`, or from `before` to `after`."""

    model: str
    verb: str
    tone: str
    subject: str
    said: str
    before: str
    after: str
    note: str
    reason: str
    prose: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one origin."""

    title: str
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A short fact at a glance, and the tone it is said in."""

    label: str
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric, what its difference means in a word or three, and why, where that needs saying."""

    delta: MetricDelta
    told: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """One exhibit: the candidate, and the incumbent if there is one."""

    anchor: str
    exhibit: Exhibit
    comparison: Comparison
    found: Findings
    metrics: tuple[Judged, ...]
    params_unknown: str
    glance: tuple[Said, ...]
    dataset: str
    bars: charts.Bars | None
    lines: tuple[charts.Line, ...]
    links: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Section:
    """
    One model: what is to happen to it, or why nothing can, and the evidence; or `names`, several alike. `verdicts` are
    said once for the slots that they are the same for.
    """

    anchor: str
    model: str
    blockers: tuple[Blocker, ...]
    groups: tuple[Group, ...]
    beside: tuple[Beside, ...]
    marks: tuple[Said, ...]
    gist: str
    verdicts: tuple[tuple[Verdict, str], ...] = ()
    names: tuple[ModelRef, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether a gate keeps the model as it is."""
        return any(verdict.blocks for verdict, _ in self.verdicts)

    @property
    def rulings(self) -> str:
        """`1 fail, 4 pass`."""
        count = Counter(verdict.ruling for verdict, _ in self.verdicts)
        return ", ".join(f"{count[ruling]} {ruling}" for ruling in Ruling if count[ruling])


RULED: dict[Ruling, str] = {
    Ruling.PASS: "good",
    Ruling.FAIL: "bad",
    Ruling.UNKNOWN: "warn",
    Ruling.WAIVED: "change",
    Ruling.OVERRIDDEN: "change",
}
"""The tone of a ruling's badge; the word itself is in it."""


def html_page(review: Review) -> str:
    """The whole page, to be written to a file as UTF-8."""
    plan = review.plan
    sections = tuple(_section(f"m{position}", models, review) for position, models in enumerate(folded(review), 1))
    grave = [note for note in review.notes if note.weight <= Weight.UNGUARDED]
    notes, left = weightiest([note for note in review.notes if note not in grave], lambda note: note.weight)
    return _template("page.html.jinja").render(
        review=review,
        grave=sorted(grave, key=lambda note: note.weight),
        notes=notes,
        more=len(left),
        overridden=[(s, v, slots) for s in sections for v, slots in s.verdicts if v.ruling is Ruling.OVERRIDDEN],
        effects=tuple(words.policy_effects(review.policy)) if review.policy else (),
        plan=plan,
        status=status(plan) if review.applied is None else _applied(review.applied),
        tiles=_tiles(plan),
        widened=_widened(plan),
        sections=sections,
        refusals=tuple(section for section in sections if section.refused),
        settled=tuple(map(_move, review.settled)),
        few=len(sections) <= FEW,
        version=__version__,
    )


def several_page(pages: Sequence[tuple[str, str, str]]) -> str:
    """The pages of several registries, by their names, on one; where there is none, why."""
    # As they are, line feeds and all: what of them is other people's text was cleaned when they were made.
    framed = [(name, escape(page), failed) for name, page, failed in pages]
    return _template("several.html.jinja").render(names=[name for name, _, _ in pages], pages=framed)


def overview_page(overview: Overview) -> str:
    """The page of every slot and how it stands, what somebody has to look at first."""
    counts, verdict_of_all = overview.counts, _standing(overview)
    return _template("overview.html.jinja").render(
        what="status",
        of=overview.drift,
        read_at=overview.read_at,
        verdict=verdict_of_all,
        sentence=verdict_of_all.text,
        tiles=[Said(state, str(counts[state]), STYLE[state] if counts[state] else "none") for state in SlotState],
        counted="Slots",
        ways=words.ways_out(overview.drift),
        models=sorted_by_weight(overview.models),
        empty="No models are governed.",
        version=__version__,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a lane: what the slot held, and for how large a part of the whole time."""

    label: str
    share: int
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that did not come in: when, in percent of the time that is drawn."""

    percent: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A slot over time."""

    slot: str
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A turn as the page has it."""

    when: str
    slot: str
    moved: str
    turning: str
    tone: str
    badge: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Biography:
    """A model over time: a lane a slot, and its turns, newest first."""

    model: str
    lanes: tuple[Lane, ...]
    start: str
    end: str
    turns: tuple[Told, ...]


def history_page(history: History) -> str:
    """The page of every change of occupant, model by model."""
    of = history.of
    counts = Counter(turn.turning for turn in history.turns)
    models = [_biography(list(found), history) for _, found in groupby(history.turns, key=lambda turn: turn.model)]
    bounds = [
        *([f"since {figures.moment(history.since)}"] if history.since else []),
        *([f"until {figures.moment(history.until)}"] if history.until else []),
    ]
    names = f" of {models[0].model}" if len(models) == 1 else ""
    return _template("history.html.jinja").render(
        what="history",
        of=of,
        read_at=of.read_at,
        title=f"History{names}{f' {chr(32).join(bounds)}' if bounds else ''}",
        sentence=f"As seen from {words.revision(of.revision)}.",
        tiles=[Said(turning, str(counts[turning]), TONE[turning]) for turning in Turning if counts[turning]],
        notes=tuple(notes(of)),
        grave=any(finding.grave for finding in of.findings),
        counted="Changes",
        models=models,
        empty="Nothing changed.",
        version=__version__,
    )


def _biography(turns: list[Turn], history: History) -> Biography:
    times = sorted(time for turn in turns for time in (turn.earliest, turn.latest) if time)
    start, end = history.since or (times[0] if times else history.of.read_at), history.until or history.of.read_at
    own = {slot: [turn for turn in turns if turn.slot == slot] for slot in sorted({turn.slot for turn in turns})}
    lanes = tuple(
        Lane(slot, tuple(_spans(some, start, end)), tuple(_kept_out(some, start, end))) for slot, some in own.items()
    )
    told_of = tuple(
        Told(
            when(turn),
            turn.slot,
            moved(turn).replace("->", "→"),
            turn.turning,
            "pending" if turn.of_now else f"{TONE[turn.turning]}{' kept-out' if turn.ending else ''}",
            _badge(TONE[turn.turning]),
            tuple(told(turn)),
        )
        for turn in reversed(turns)
    )
    return Biography(turns[0].model, lanes, start, end, told_of)


def _spans(turns: list[Turn], start: str, end: str) -> Iterable[Span]:
    """
    What a slot held from one moment to another. Where it is not known when it turned, both are named; what was there
    before the first turn is known of the moment before it alone.
    """
    happened = [turn for turn in turns if turn.happened and turn.renamed is None]
    if not happened:
        return
    whole = max(figures.between(start, end) or 0.0, 1.0)

    def span(label: str, tone: str, since: str, until: str) -> Iterable[Span]:
        share = round(1000 * max(figures.between(since, until) or 0.0, 0.0) / whole)
        if share:
            title = f"{label or 'not known'}: {figures.moment(since)} to {figures.moment(until)}"
            yield Span(label if share >= 40 else "", share, f"{tone}{'' if share >= 40 else ' tight'}", title)

    def of(held: Held | None) -> tuple[str, str]:
        if not held:
            return "" if held is None else words.held(held), "none"
        return words.held(held), "odd" if max(held) % 2 else ""

    at = start
    held: Held | None = None
    for turn in happened:
        latest = min(max(turn.latest or turn.earliest, at), end)
        earliest = min(max(turn.earliest or latest, at), latest)
        yield from span(*of(held), at, earliest)
        yield from span(f"{of(held)[0] or 'not known'} or {of(turn.after)[0]}", "hand", earliest, latest)
        at, held = latest, turn.after
    yield from span(*of(held), at, end)


def _kept_out(turns: list[Turn], start: str, end: str) -> Iterable[Mark]:
    """What did not come in, where it would have."""
    whole = max(figures.between(start, end) or 0.0, 1.0)
    for turn in turns:
        since = figures.between(start, turn.earliest) if turn.ending is not None and turn.earliest else None
        if since is not None and 0 <= since <= whole:
            title = f"{moved(turn)}, {turn.turning}: {figures.moment(turn.earliest)}"
            yield Mark(round(100 * since / whole, 1), TONE[turn.turning], title)


def _standing(overview: Overview) -> Said:
    """How the registry stands as a whole, in a word and in a sentence."""
    count = {status: overview.drift.count(status) for status in DriftStatus}
    if overview.drifted:
        apart = count[DriftStatus.DRIFTED] + count[DriftStatus.UNKNOWN]
        return Said("Drifted", f"Somebody has to look at {amount(apart, 'model')}.", "bad")
    if count[DriftStatus.PENDING]:
        return Said("Pending", f"An apply is due for {amount(count[DriftStatus.PENDING], 'model')}.", "calm")
    return Said("In sync", "Every governed slot holds what the manifests declare.", "good")


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("reconciler.render", ""),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # jinja2 types its table of filters by those that it brings along.
    table = cast("dict[str, Callable[..., object]]", environment.filters)
    table |= FILTERS
    return environment.get_template(name)


def _tone(trend: Trend) -> str:
    return trend.replace(" ", "-")


def _shown(value: object) -> object:
    """What jinja2 is to escape for an expression: every text goes through here, except markup of the template's own."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def link(url: str) -> str:
    """The address, if it is one that may be followed; otherwise nothing."""
    return url if re.fullmatch(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+", url) else ""


def dataset_told(dataset: Dataset) -> str:
    """`holdout-2026-04 (9f2c7a1b)`."""
    return f"{dataset.name} ({dataset.digest[:8]})"


def judged(delta: MetricDelta) -> Judged:
    """What a metric's difference means, and why, apart."""
    told, _, why = verdict(delta).partition(": ")
    return Judged(delta, told or delta.trend, why)


def _lack(facts: VersionFacts | None, *whats: str) -> str:
    """Why there is no such evidence, of several sorts the first that is missing."""
    return next((why for what in whats if facts and (why := facts.why_missing(what))), "")


def status(plan: Plan) -> Said:
    """The verdict on the plan as a whole, in a word and in a sentence."""
    changes = sum(len(effects_of(model)) for model in plan.models if not model.blocked)
    moving = sum(not model.blocked for model in plan.models)
    stuck = len(plan.models) - moving
    todo = f"{amount(changes, 'change')} to {amount(moving, 'model')}"
    match plan.status:
        case Status.IN_SYNC:
            return Said("In sync", "The registry matches the manifests. There is nothing to apply.", "calm")
        case Status.READY:
            return Said("Ready", f"{todo}. Nothing blocks it.", "good")
        case Status.BLOCKED if plan.safeties:
            return Said("Blocked", f"{todo}, all refused.", "bad")
        case Status.BLOCKED:
            others = f" {todo} can be applied." if changes else ""
            return Said("Blocked", f"{amount(stuck, 'model')} cannot be changed to match the manifests.{others}", "bad")


def _applied(by: Applied) -> Said:
    return Said("Applied", f"{figures.moment(by.at)}, receipt {by.receipt}.", "calm")


def _tiles(plan: Plan) -> tuple[Said, ...]:
    return tuple(
        Said(label, str(count), STYLE_OF[verb] if verb is not None else "error" if label == "blocked" else "none")
        for count, label, verb in words.summary_parts(plan.summary)
    )


def _widened(plan: Plan) -> tuple[str, ...]:
    """The options that make the plan another one than usual."""
    options = plan.options
    flags = {"--adopt": options.adopt, "--force": options.force, "--allow-empty": options.allow_empty}
    return (*(f"--target {name}" for name in options.targets), *(flag for flag, given in flags.items() if given))


def _section(anchor: str, models: tuple[ModelPlan, ...], review: Review) -> Section:
    model, effects = models[0], effects_of(models[0])
    together = len(models) > 1
    evidence = review.evidence
    exhibits = evidence.of(model.model) if evidence else ()
    beside = tuple(
        _beside(f"{anchor}e{position}", exhibit, evidence.read_at if evidence else "")
        for position, exhibit in enumerate(exhibits, 1)
    )
    verbs = Counter(effect.verb for effect in effects)
    return Section(
        anchor=anchor,
        model=f"{len(models)} models" if together else model.model,
        blockers=model.blockers,
        groups=tuple(_groups(model, review, together=together)),
        beside=beside,
        marks=tuple(_marks(model, beside)),
        gist=", ".join(f"{verb} {count}" if count > 1 else verb for verb, count in verbs.items()),
        verdicts=tuple(words.alike(model.verdicts)),
        names=tuple(one.model for one in models) if together else (),
    )


def _groups(model: ModelPlan, review: Review, *, together: bool) -> Iterable[Group]:
    origins: dict[Origin | None, list[Move]] = {}
    for effect in effects_of(model):
        move = _move(effect, together=together)
        # Of a blocked model nothing is done, so nothing of it is green.
        origins.setdefault(review.origin(effect), []).append(replace(move, tone="") if model.blocked else move)
    titles = {
        None: "Changes",
        Origin.CHANGE: "This change",
        Origin.DRIFT: "Already pending without this change (drift)",
    }
    for origin, title in titles.items():
        if origin in origins:
            yield Group(title, tuple(origins[origin]))


def _move(effect: Effect, *, together: bool = False) -> Move:
    prose = effect.verb in {Verb.DESCRIBE, Verb.TAG, Verb.UNTAG}
    return Move(
        model=effect.model,
        verb=effect.verb,
        tone=STYLE_OF[effect.verb],
        subject=words.value(effect.subject),
        said=words.what_moves(effect) if effect.verb in IN_WORDS else "",
        before=words.value(effect.before),
        after=words.value(effect.after),
        note=f"through {effect.through}" if effect.through else "",
        reason=words.reason_for_all(effect.because) if together else words.reason(effect.because),
        prose=prose,
    )


def _marks(model: ModelPlan, beside: Iterable[Beside]) -> Iterable[Said]:
    """What a reviewer must not miss of a model, whether or not its section is open."""
    if standing := words.standing(model):
        yield Said("", standing, "bad" if model.blocked else "warn")
    for one in beside:
        if one.comparison.signature.compatibility is Compatibility.BREAKING:
            yield Said("", f"v{one.exhibit.candidate.version}: breaking signature", "bad")
        if worse := sum(delta.trend is Trend.WORSE for delta in one.comparison.metrics):
            yield Said("", f"v{one.exhibit.candidate.version}: {amount(worse, 'metric')} worse", "warn")
        if one.exhibit.candidate.missing:
            yield Said("", f"v{one.exhibit.candidate.version}: evidence missing", "warn")


def _beside(anchor: str, exhibit: Exhibit, read_at: str) -> Beside:
    comparison = compare(exhibit.candidate, exhibit.incumbent)
    metrics = tuple(judged(delta) for delta in comparison.metrics)
    lacks = [_lack(facts, "version", "run") for facts in (exhibit.candidate, exhibit.incumbent) if facts]
    return Beside(
        anchor=anchor,
        exhibit=exhibit,
        comparison=comparison,
        found=findings(exhibit, read_at),
        metrics=metrics,
        params_unknown=next(filter(None, lacks), ""),
        glance=tuple(_glance(exhibit, metrics, comparison.signature.compatibility, read_at)),
        dataset=_only_dataset(comparison.metrics),
        bars=charts.bars(comparison),
        lines=charts.lines(exhibit, comparison),
        links={"run": (_run_url(exhibit.candidate), _run_url(exhibit.incumbent))},
    )


def _run_url(facts: VersionFacts | None) -> str:
    return facts.run.url if facts and facts.run else ""


def _only_dataset(deltas: Iterable[MetricDelta]) -> str:
    """The dataset that everything was measured on, where that is one."""
    datasets = {metric.dataset for d in deltas for metric in (d.candidate, d.incumbent) if metric is not None}
    only = datasets.pop() if len(datasets) == 1 else None
    return "" if only is None else dataset_told(only)


def _glance(
    exhibit: Exhibit, metrics: tuple[Judged, ...], compatibility: Compatibility, read_at: str
) -> Iterable[Said]:
    candidate, incumbent = exhibit.candidate, exhibit.incumbent
    if metrics and incumbent is not None:
        trends = {metric.delta.trend for metric in metrics}
        counts = Counter(metric.told for metric in sorted(metrics, key=_rank))
        doubtful = trends & {Trend.WORSE, Trend.NOT_COMPARABLE}
        tone = "warn" if doubtful else "good" if Trend.BETTER in trends else ""
        yield Said("Metrics", ", ".join(f"{count} {told}" for told, count in counts.items()), tone)
    else:
        yield Said("Metrics", f"{len(metrics)} measured" if metrics else "none known")
    if incumbent is not None:
        tones = {Compatibility.BREAKING: "bad", Compatibility.UNKNOWN: "warn"}
        yield Said("Signature", compatibility, tones.get(compatibility, "good"))
    yield Said("Size", _size(candidate.size, incumbent and incumbent.size))
    yield Said("Registered", _ago(figures.between(candidate.created_at, read_at)))
    yield Said("In Staging", _staged(candidate, read_at))


def _rank(metric: Judged) -> int:
    return list(Trend).index(metric.delta.trend)


def _size(size: int | None, before: int | None) -> str:
    if size is None or before is None:
        return "not known" if size is None else figures.size(size)
    difference = size - before
    return f"{figures.size(size)} ({'+' if difference > 0 else ''}{figures.size(difference) if difference else 'same'})"


def _ago(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{figures.duration(max(seconds, 0))} ago"


def _staged(facts: VersionFacts, read_at: str) -> str:
    seconds = figures.between(facts.staged_at, facts.staged_until or read_at)
    if seconds is None:
        return "no record of it"
    return f"{figures.duration(max(seconds, 0))}{', until it left' if facts.staged_until else ', still there'}"


_TONE = {"add": "good", "remove": "bad", "error": "bad", "faint": ""}


def _badge(style: str) -> str:
    """The tone of a badge, by the style that the terminal has for the same."""
    return _TONE.get(style, style)


def _badge_of_state(state: SlotState) -> str:
    return "good" if state is SlotState.IN_SYNC else _badge(STYLE[state])


def _badge_of_remark(label: str) -> str:
    return _badge(REMARK[label])


FILTERS: dict[str, Callable[..., object]] = {
    "says": words.slot_says,
    "since": words.slot_since,
    "note": words.model_note,
    "remarks": words.model_remarks,
    "state": _badge_of_state,
    "remark": _badge_of_remark,
    "moment": figures.moment,
    "number": figures.number,
    "signed": figures.signed,
    "percent": figures.percent,
    "revision": words.revision,
    "link": link,
    "dataset": dataset_told,
    "glyph": GLYPH.__getitem__,
    "ruled": RULED.__getitem__,
    "told": words.verdict,
    "policy": words.policy_line,
    "tone": _tone,
}
