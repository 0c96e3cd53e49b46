"""How good a version must be, by itself and beside the one that it replaces."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

from reconciler.core.evidence import RESTORE, VersionFacts
from reconciler.core.evidence import Metric as Measured
from reconciler.core.figures import apart, number, percent
from reconciler.core.gate import (
    CANDIDATE,
    INCUMBENT,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    Nobody,
    Ruling,
    failed,
    passed,
    unknown,
)
from reconciler.core.text import plain
from reconciler.gates.parameters import GateKind, Key, NotNegative

_Pair: TypeAlias = tuple[Measured, Measured]

LOG_IT = "the author can log it on its run"

_LEAST = 1e-10
"""What an improvement on 0 must come to, since there is no part of 0."""


@dataclass(frozen=True, slots=True)
class Metric:
    """
    A threshold, and improvements on the incumbent; all that are given must hold.

    As `mlflow.models.MetricThreshold` has it (MLflow 3.17; see contract/test_metric_gate.py): the threshold and both
    changes hold when they are met exactly; where lower is better, an improvement goes down; a relative change is a part
    of the size of the incumbent's value, whatever its sign, and where that is 0, any improvement by 1e-10 will do. A
    candidate that is equal to the incumbent has improved by nothing.

    What MLflow does not do: figures on different datasets are not compared, what is no finite number is not known, and
    where there is no incumbent the changes hold. `dataset` is the name or the digest of the one to look at; without it,
    it is the only one on which there are figures of all versions that are asked about.
    """

    name: Annotated[str, Key("The name of the metric.", examples=("f1",))]
    threshold: Annotated[
        float | None, Key("The minimum value; the maximum with `greater-is-better: false`.", examples=(0.8,))
    ] = None
    min_absolute_change: Annotated[
        NotNegative | None, Key("The required improvement over the incumbent.", examples=(0.01,))
    ] = None
    min_relative_change: Annotated[
        NotNegative | None,
        Key("The required improvement, as a fraction of the incumbent's value.", examples=(0.02,)),
    ] = None
    greater_is_better: Annotated[bool, Key("False if a lower value is better.", examples=(False,))] = True
    dataset: Annotated[str, Key("The name or digest of the dataset.", examples=("holdout",))] = ""

    @property
    def compares(self) -> bool:
        return self.min_absolute_change is not None or self.min_relative_change is not None

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE, INCUMBENT) if self.compares else (CANDIDATE,)

    def on_rollback(self) -> Gate | None:
        """The threshold, without what compares with the incumbent, which is the version to get away from."""
        if self.compares and self.threshold is None:
            return None
        return replace(self, min_absolute_change=None, min_relative_change=None)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate = facts[CANDIDATE]
        incumbent = facts[INCUMBENT] if self.compares else Nobody()
        if isinstance(incumbent, Nobody):
            measured = self._one(candidate, self._of(candidate))
            if isinstance(measured, Judgement):
                return measured
            return _together((*self._alone(measured), *self._without_incumbent(measured)))
        pair = self._pair(candidate, incumbent)
        if isinstance(pair, Judgement):
            # A figure that is below the threshold is below it, whatever it is compared with.
            alone = self._one(candidate, self._of(candidate))
            told = () if isinstance(alone, Judgement) else tuple(self._alone(alone))
            return _together((*told, pair))
        return _together((*self._alone(pair[0]), *self._beside(pair, incumbent)))

    def _of(self, facts: VersionFacts) -> list[Measured]:
        """The figures of a version that come into question."""
        of_name = (m for m in facts.metrics if m.name == self.name)
        if not self.dataset:
            return list(of_name)
        return [m for m in of_name if m.dataset is not None and self.dataset in {m.dataset.name, m.dataset.digest}]

    def _none(self, facts: VersionFacts) -> Judgement:
        where = f" on {plain(self.dataset, 80)}" if self.dataset else ""
        gap = facts.gap("version", "metrics", "run", "model")
        why = plain(gap.why if gap else "it was not logged")
        name, gone = plain(self.name, 80), gap is not None and gap.gone
        told = f"{name} of v{facts.version}{where} is not known: {why}"
        if gone or facts.gap("version", "run") is None:
            told = f"{told}; {RESTORE if gone else LOG_IT}"
        return unknown(told, gone=gone)

    def _one(self, facts: VersionFacts, found: list[Measured]) -> Measured | Judgement:
        """The one figure there is of a version."""
        metric = plain(self.name, 80)
        if not found:
            return self._none(facts)
        if len(found) > 1:
            names = ", ".join(sorted({_named(m) for m in found}))
            return unknown(
                f"{metric} of v{facts.version} was measured on several datasets: {plain(names)}; the gate must name one"
            )
        if not math.isfinite(found[0].value):
            return unknown(f"{metric} of v{facts.version} is {number(found[0].value)}, not a finite number")
        return found[0]

    def _pair(self, candidate: VersionFacts, incumbent: VersionFacts) -> _Pair | Judgement:
        """The two figures to compare: those on the same data."""
        after, before = self._of(candidate), self._of(incumbent)
        for facts, found in ((candidate, after), (incumbent, before)):
            if not found:
                return self._none(facts)
        common = {_digest(m) for m in after} & {_digest(m) for m in before}
        if not common:
            return unknown(
                f"{plain(self.name, 80)} cannot be compared: v{candidate.version} was measured on "
                f"{plain(_data(after))}, v{incumbent.version} on {plain(_data(before))}"
            )
        sides = [
            self._one(facts, [m for m in found if _digest(m) in common])
            for facts, found in ((candidate, after), (incumbent, before))
        ]
        match sides:
            case [Measured() as new, Measured() as old]:
                return new, old
            case _:
                return next(side for side in sides if isinstance(side, Judgement))

    def _alone(self, measured: Measured) -> Iterator[Judgement]:
        value, told = measured.value, f"{self._told(measured)} is "
        if self.threshold is None:
            if not self.compares:
                yield passed(told + number(value))
            return
        met = value >= self.threshold if self.greater_is_better else value <= self.threshold
        shown, threshold = apart(value, self.threshold)
        better, worse = ("above", "below") if self.greater_is_better else ("below", "above")
        place = worse if not met else "exactly" if value == self.threshold else better
        yield (passed if met else failed)(f"{told}{shown}, {place} the threshold {threshold}")

    def _without_incumbent(self, measured: Measured) -> Iterator[Judgement]:
        if self.compares:
            yield passed(f"{self._told(measured)} is {number(measured.value)}; there is no incumbent to compare with")

    def _beside(self, pair: _Pair, incumbent: VersionFacts) -> Iterator[Judgement]:
        after, before = pair[0].value, pair[1].value
        shown, old = apart(after, before)
        how = "as good as" if after == before else "better than" if self._improves(after, before) else "worse than"
        beside = f"{self._told(pair[0])} is {shown}, {how} the {old} of v{incumbent.version}"
        if self.min_absolute_change is not None:
            asked = before + self.min_absolute_change if self.greater_is_better else before - self.min_absolute_change
            met = after >= asked if self.greater_is_better else after <= asked
            by, least = apart(abs(after - before), self.min_absolute_change)
            yield _ruled(met, f"{beside}{_by(after, before, by)}; improvement of {least} required")
        if self.min_relative_change is not None:
            gain = after - before if self.greater_is_better else before - after
            if before == 0:
                asked = _LEAST if self.greater_is_better else -_LEAST
                met = after >= asked if self.greater_is_better else after <= asked
                yield _ruled(met, f"{beside}; improvement required, and nothing is relative to 0")
            else:
                part = gain / abs(before)
                by, least = _parts(abs(part), self.min_relative_change)
                met = part >= self.min_relative_change
                yield _ruled(met, f"{beside}{_by(after, before, by)}; improvement of {least} required")

    def _told(self, measured: Measured) -> str:
        where = "" if measured.dataset is None else f" on {plain(measured.dataset.name, 80)}"
        return plain(self.name, 80) + where

    def _improves(self, after: float, before: float) -> bool:
        return after > before if self.greater_is_better else after < before


def _ruled(met: bool, sentence: str) -> Judgement:
    return passed(sentence) if met else failed(sentence)


def _by(after: float, before: float, difference: str) -> str:
    return "" if after == before else f" by {difference}"


def _parts(part: float, least: float) -> tuple[str, str]:
    write: Callable[[float], str] = lambda value: percent(value).removeprefix("+")  # noqa: E731
    shown = write(part), write(least)
    return (f"{part * 100!r} %", f"{least * 100!r} %") if shown[0] == shown[1] and part != least else shown


def _together(judgements: Iterable[Judgement]) -> Judgement:
    """One no is a no, and what is not known is no yes; of several of a kind, each is told."""
    told = tuple(judgements)
    for ruling in (Ruling.FAIL, Ruling.UNKNOWN):
        if found := [j for j in told if j.ruling is ruling]:
            return Judgement(ruling, "; ".join(j.sentence for j in found), all(j.gone for j in found))
    return passed("; ".join(j.sentence for j in told))


def _digest(measured: Measured) -> str:
    return measured.dataset.digest if measured.dataset else ""


def _named(measured: Measured) -> str:
    return f"{measured.dataset.name} ({measured.dataset.digest})" if measured.dataset else "an unknown dataset"


def _data(found: Iterable[Measured]) -> str:
    return ", ".join(sorted({_named(m) for m in found}))


METRIC = GateKind(
    "metric",
    Metric,
    asks="have a value that meets the threshold, and improves on the incumbent's by this much on the same dataset; "
    "without either, any value",
    example={"name": "f1", "threshold": 0.8},
)
