"""What is wrong, and what goes to Production, as GitHub shows it beside the lines of a manifest: workflow commands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.evidence import Exhibit, compare
from reconciler.core.plan import Effect, Verb, effects_of
from reconciler.core.review import Review
from reconciler.core.signature import Compatibility
from reconciler.core.text import amount, clean
from reconciler.errors import Location, Problem, Severity
from reconciler.render import words
from reconciler.render.alerts import alerts
from reconciler.render.findings import signature_sentence, title

MOST = 10
"""How many of each level GitHub shows of a step; it drops the rest without a word."""


class Level(StrEnum):
    """The commands that make an annotation, the gravest first."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One remark, beside a line or on its own."""

    level: Level
    title: str
    message: str
    at: Location | None = None

    def __str__(self) -> str:
        at = self.at or Location("")
        properties = {"file": at.path, "line": at.line, "col": at.column, "title": clean(self.title)}
        told = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value)
        return f"::{self.level} {told}::{_data(clean(self.message))}"


def problem_annotations(problems: Iterable[Problem]) -> str:
    """What is wrong with the manifests."""
    return _lines(
        Annotation(
            Level.ERROR if problem.severity is Severity.ERROR else Level.WARNING,
            problem.code,
            f"{problem.message} {problem.fix}".rstrip(),
            problem.location,
        )
        for problem in problems
    )


def plan_annotations(review: Review) -> str:
    """What blocks, what a reviewer should be warned of, and what enters Production."""
    return _lines(_of_plan(review))


def _of_plan(review: Review) -> Iterator[Annotation]:
    """Of each level the weightiest first: GitHub shows no more than a few."""
    for alert in alerts(review):
        if alert.blocker is not None:
            what = "The plan" if alert.model is None else alert.model
            text = f"{what} is blocked: {alert.blocker.message} {alert.blocker.fix}".rstrip()
            yield Annotation(Level.ERROR, alert.blocker.code, text, alert.at)
        else:
            level = Level.ERROR if alert.kind == "Refused" else Level.WARNING
            about = "" if alert.model is None else f"{alert.model}: "
            yield Annotation(level, alert.kind, f"{about}{alert.text}", alert.at)
    effects = [effect for model in review.models for effect in effects_of(model)]
    for exhibit in review.evidence.exhibits if review.evidence is not None else ():
        yield from _signature(exhibit, effects)
    for model in review.models:
        for effect in effects_of(model):
            if effect.verb in _ENTERS and (slot := effect.slot) in model.live_slots:
                yield Annotation(Level.NOTICE, str(slot), words.sentence(effect), effect.because.at)


_ENTERS = frozenset({Verb.PROMOTE, Verb.ROLL_BACK, Verb.RESTORE, Verb.ADMIT, Verb.SET_ALIAS, Verb.MOVE_ALIAS})


def _signature(exhibit: Exhibit, effects: Iterable[Effect]) -> Iterator[Annotation]:
    comparison = compare(exhibit.candidate, exhibit.incumbent)
    if exhibit.incumbent is None or comparison.signature.compatibility is not Compatibility.BREAKING:
        return
    pairing = exhibit.pairing
    version = pairing.candidate
    places = [e.because.at for e in effects if e.model == pairing.model and version in (e.subject, e.after)]
    yield Annotation(
        Level.WARNING,
        "Signature",
        f"{pairing.model} {title(exhibit)}: {signature_sentence(exhibit, comparison)}",
        next((place for place in places if place is not None), None),
    )


def _lines(annotations: Iterable[Annotation]) -> str:
    by_level: dict[Level, list[Annotation]] = {level: [] for level in Level}
    for annotation in annotations:
        by_level[annotation.level].append(annotation)
    lines = [str(annotation) for found in by_level.values() for annotation in found[:MOST]]
    more = [amount(len(found) - MOST, level) for level, found in by_level.items() if len(found) > MOST]
    if more:
        lines.append(
            f"Not shown beside the lines, because GitHub shows at most {MOST} of each kind: {', '.join(more)}."
        )
    return "".join(f"{line}\n" for line in lines)


def failure_annotation(registry: str, why: str) -> str:
    """That there is no result for one of several registries."""
    return f"::error title={_property(registry)}::{_data(clean(why))}\n"


def _data(text: str) -> str:
    """
    The message of a command. The runner ends a line at a carriage return, too, and undoes these three (its
    ActionCommand.cs, in 2026).
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A value before the message: a colon or a comma would end it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
