"""How old a version may be."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.figures import between, duration, moment
from reconciler.core.gate import CANDIDATE, NOW, Entrance, FactKey, Facts, Gate, Judgement, failed, passed, unknown
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, GateKind, Key, Seconds, Surroundings


@dataclass(frozen=True, slots=True)
class Age:
    """The seconds since a version was registered are within bounds; None is no bound."""

    minimum: Annotated[Seconds | None, Key("The minimum age.", examples=("1h",), name="min")] = None
    maximum: Annotated[Seconds | None, Key("The maximum age.", examples=("90d",), name="max")] = None

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if self.minimum is None and self.maximum is None:
            yield Fault(GateCode.ASKS_NOTHING, " has no bound.", "Add `min`, `max` or both.")
        elif self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            yield Fault(
                GateCode.NEVER_PASSES, " has a `min` that is not less than its `max`.", "Make `min` less than `max`."
            )

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE, NOW)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, version = facts[CANDIDATE], f"v{entrance.candidate}"
        age = between(candidate.created_at, facts[NOW])
        if age is None or candidate.why_missing("version", "created_at"):
            why = candidate.why_missing("version", "created_at") or "the registry does not say when it was registered"
            return unknown(f"the age of {version} is not known: {plain(why)}")
        if age < 0:
            return failed(
                f"{version} was registered at {moment(candidate.created_at)}, which is in the future: a clock is wrong"
            )
        told = f"{version} was registered {duration(age)} ago"
        if self.minimum is not None and not age >= self.minimum:
            lacking = f", {duration(self.minimum - age)} to go" if duration(self.minimum) == duration(age) else ""
            return failed(f"{told}; at least {duration(self.minimum)} required{lacking}")
        if self.maximum is not None and not age <= self.maximum:
            over = f", {duration(age - self.maximum)} over" if duration(self.maximum) == duration(age) else ""
            return failed(f"{told}; at most {duration(self.maximum)} allowed{over}")
        least = [f"at least {duration(self.minimum)} required"] if self.minimum is not None else []
        most = [f"at most {duration(self.maximum)} allowed"] if self.maximum is not None else []
        return passed("; ".join([told, *least, *most]))


AGE = GateKind(
    "age",
    Age,
    asks="have been registered for at least `min` and at most `max`; give one of them or both",
    example={"min": "1h", "max": "90d"},
    least=1,
)
