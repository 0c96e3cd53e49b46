"""
What one model may cost: its own verdicts and its share of the time. A gate that breaks down or takes too long answers
`unknown`, and the others are asked all the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from reconciler.core.gate import Entrance, FactKey, Facts, Gate, Guard, Judgement, Ruling, on_rollback, unknown
from reconciler.core.limits import GATE_SECONDS, GATES, JUDGING_SECONDS, MODEL_SHARE
from reconciler.core.text import plain
from reconciler.errors import Failure, OverBudgetError, contained
from reconciler.ports import Stopwatch

T = TypeVar("T")


@dataclass(slots=True)
class Budget:
    """The CPU time for judging by one policy. Without a stopwatch there is no limit."""

    stopwatch: Stopwatch | None
    used: float = 0.0

    @property
    def left(self) -> float:
        return JUDGING_SECONDS - self.used

    def share(self) -> "Share":
        """What one model may use: a part of what is left, so that none uses it up for those that come after."""
        return Share(self)


@dataclass(slots=True)
class Share:
    """The time that the gates of one model may take."""

    budget: Budget
    most: float | None = field(default=None, init=False)
    used: float = field(default=0.0, init=False)

    def restrained(self, guards: Iterable[Guard]) -> tuple[Guard, ...]:
        """The same guards, whose gates break nothing and end in time. Those beyond what one slot may have are one."""
        guards = tuple(guards)
        kept = tuple(replace(g, gate=_Restrained(g.gate, self)) for g in map(Guard.keyed, guards[:GATES]))
        if len(guards) <= GATES:
            return kept
        return (*kept, Guard("too-many-gates", _TooMany(len(guards)), guards[GATES].at))

    def within(self, work: Callable[[], T]) -> T | Failure:
        """What came of some work of one gate, or why nothing did."""
        stopwatch = self.budget.stopwatch
        if stopwatch is None:
            return contained(work)
        if self.most is None:
            self.most = MODEL_SHARE * self.budget.left
        left = self.most - self.used
        if left <= 0:
            return Failure("the gates of this model took all the CPU time that it has")
        seconds = min(GATE_SECONDS, left)
        began = stopwatch.spent()
        try:
            with stopwatch.stopping(seconds):
                return contained(work)
        except OverBudgetError:
            return Failure(f"it took more than {seconds:.2g} s of CPU time")
        finally:
            spent = stopwatch.spent() - began
            self.used += spent
            self.budget.used += spent


_ANSWERS = frozenset({Ruling.PASS, Ruling.FAIL, Ruling.UNKNOWN})


@dataclass(frozen=True, slots=True)
class _Restrained:
    """A gate that answers whatever the one inside does."""

    gate: Gate
    share: Share

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        needs = self._needs(entrance)
        return () if isinstance(needs, Failure) else needs

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        needs = self._needs(entrance)
        answer = needs if isinstance(needs, Failure) else self.share.within(lambda: self._answer(entrance, facts))
        return unknown(f"the gate gave no answer: {plain(answer.why)}") if isinstance(answer, Failure) else answer

    def on_rollback(self) -> "Gate | None":
        """What remains of the gate inside; all of it where that cannot be found out."""
        rest = self.share.within(lambda: on_rollback(self.gate))
        return self if isinstance(rest, Failure) else None if rest is None else replace(self, gate=rest)

    def _needs(self, entrance: Entrance) -> tuple[FactKey[Any], ...] | Failure:
        return self.share.within(lambda: tuple(self.gate.needs(entrance)))

    def _answer(self, entrance: Entrance, facts: Facts) -> Judgement:
        answer = cast("object", self.gate.judge(entrance, facts))
        if isinstance(answer, Judgement) and answer.ruling in _ANSWERS:
            return Judgement(answer.ruling, str(answer.sentence), bool(answer.gone))
        raise TypeError(f"expected pass, fail or unknown, not {type(answer).__name__}")


@dataclass(frozen=True, slots=True)
class _TooMany:
    """Stands for the gates that are not asked."""

    count: int

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:  # noqa: ARG002  # as a gate is asked
        return ()

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:  # noqa: ARG002  # as a gate is asked
        return unknown(f"{self.count} gates guard {entrance.slot}; at most {GATES} are allowed")
