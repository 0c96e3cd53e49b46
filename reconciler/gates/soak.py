"""How long a version must have been tried."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.figures import between, duration, later, moment
from reconciler.core.gate import NOW, Entrance, FactKey, Facts, Gate, Judgement, failed, passed, placed, stay, unknown
from reconciler.core.names import ModelRef
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.copies import OTHER_MODEL, OTHER_REGISTRY, called, not_copied, other_model, registry_faults
from reconciler.gates.parameters import GateKind, Key, Name, Seconds, SlotName, Surroundings, stage_faults


@dataclass(frozen=True, slots=True)
class Soak:
    """
    The candidate is in a slot now, and has been for so many seconds without a break; with a `model`, the version of
    that model which the candidate was copied from.
    """

    stage: Annotated[SlotName, Key("The stage, or an alias.", examples=("Staging", "@challenger"))]
    seconds: Annotated[Seconds, Key("How long, at least.", examples=("3d", "12h"), name="for")]
    model: Annotated[Name, OTHER_MODEL] = ""
    registry: Annotated[Name, OTHER_REGISTRY] = ""

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        yield from registry_faults(self.registry, self.model, around)
        # What stages another registry has, only its own manifests are read by.
        yield from () if self.registry else stage_faults((self.stage,), around, "stage")

    @property
    def original(self) -> ModelRef:
        """The model whose versions are asked about, where it is not the candidate's."""
        return other_model(self.registry, self.model)

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (stay(self.stage, self.original), NOW, *((placed(self.original),) if self.model else ()))

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        required = f"{duration(self.seconds)} required"
        version, since = f"v{entrance.candidate}", facts[stay(self.stage, self.original)].since
        if self.model:
            original = facts[placed(self.original)].version
            if original is None:
                return failed(not_copied(entrance, self.original))
            version = called(original, entrance, self.original)
        if since is None:
            return failed(f"{version} is not in {self.stage}; {required} there")
        held = between(since, facts[NOW])
        if held is None:
            return unknown(
                f"it is not known since when {version} has been in {self.stage}: {plain(since, 40)} is not a time"
            )
        if held < 0:
            return failed(
                f"{version} has been in {self.stage} since {moment(since)}, which is in the future: a clock is wrong"
            )
        told = f"{version} has been in {self.stage} for {duration(held)}"
        if held >= self.seconds:
            return passed(f"{told}; {required}")
        if duration(held) == duration(self.seconds):
            return failed(f"{told}; {required}: {duration(self.seconds - held)} to go")
        reached = later(since, self.seconds)
        return failed(f"{told}; {required}{f', reached {reached}' if reached else ''}")


SOAK = GateKind(
    "soak",
    Soak,
    asks="have been in this slot for at least this long, without a break; with `model`: its "
    "[original](gates.md#copies) there must",
    example={"stage": "Staging", "for": "3d"},
)
