"""Where a version must come from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.gate import SLOTS, STAGE, Entrance, FactKey, Facts, Gate, Judgement, failed, passed
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateKind, Key, SlotName, Surroundings, stage_faults


@dataclass(frozen=True, slots=True)
class Path:
    """
    The candidate is in one of these slots now. A version that is already in the stage that a slot belongs to, as for
    `@champion` beside Production, comes from there only if that stage is listed.
    """

    slots: Annotated[
        tuple[SlotName, ...],
        Key("One stage or alias, or several.", examples=("Staging", ["None", "@challenger"]), name="from"),
    ]

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        return stage_faults(self.slots, around, "from")

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (STAGE, SLOTS)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        stage, found = facts[STAGE], facts[SLOTS]
        through = next((slot for slot in self.slots if slot in found), None)
        named = f" and named by {through}" if through is not None and through != stage else ""
        here = f"v{entrance.candidate} is in stage {plain(stage, 40)}{named}"
        if through is not None:
            return passed(here)
        return failed(f"{here}; it must come from {' or '.join(self.slots) or 'nowhere: the policy lists no slot'}")


PATH = GateKind("path", Path, asks="be in this slot now, or in one of these", example={"from": "Staging"})
