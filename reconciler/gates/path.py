"""Where a version must come from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.gate import SLOTS, STAGE, Entrance, FactKey, Facts, Gate, Judgement, failed, passed, placed
from reconciler.core.names import ModelRef
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.copies import OTHER_MODEL, OTHER_REGISTRY, called, not_copied, other_model, registry_faults
from reconciler.gates.parameters import GateKind, Key, Name, SlotName, Surroundings, stage_faults


@dataclass(frozen=True, slots=True)
class Path:
    """
    The candidate is in one of these slots now. A version that is already in the stage that a slot belongs to, as for
    `@champion` beside Production, comes from there only if that stage is listed. With a `model`, this is asked of the
    version of that model which the candidate was copied from.
    """

    slots: Annotated[
        tuple[SlotName, ...],
        Key("One stage or alias, or several.", examples=("Staging", ["None", "@challenger"]), name="from"),
    ]
    model: Annotated[Name, OTHER_MODEL] = ""
    registry: Annotated[Name, OTHER_REGISTRY] = ""

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        yield from registry_faults(self.registry, self.model, around)
        # What stages another registry has, only its own manifests are read by.
        yield from () if self.registry else stage_faults(self.slots, around, "from")

    @property
    def original(self) -> ModelRef:
        """The model whose versions are asked about, where it is not the candidate's."""
        return other_model(self.registry, self.model)

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (placed(self.original),) if self.model else (STAGE, SLOTS)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        version = f"v{entrance.candidate}"
        if self.model:
            original = facts[placed(self.original)]
            if original.version is None:
                return failed(not_copied(entrance, self.original))
            stage, found, version = original.stage, original.slots, called(original.version, entrance, self.original)
        else:
            stage, found = facts[STAGE], facts[SLOTS]
        through = next((slot for slot in self.slots if slot in found), None)
        named = f" and named by {through}" if through is not None and through != stage else ""
        here = f"{version} is in stage {plain(stage, 40)}{named}"
        if through is not None:
            return passed(here)
        return failed(f"{here}; it must come from {' or '.join(self.slots) or 'nowhere: the policy lists no slot'}")


PATH = GateKind(
    "path",
    Path,
    asks="be in this slot now, or in one of these; with `model`: its [original](gates.md#copies) there must",
    example={"from": "Staging"},
)
