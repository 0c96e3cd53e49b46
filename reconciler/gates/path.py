"""Where a version must come from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.gate import STAGE, Entrance, FactKey, Facts, Gate, Judgement, failed, passed
from reconciler.core.text import plain
from reconciler.gates.parameters import GateKind, Key, StageName


@dataclass(frozen=True, slots=True)
class Path:
    """
    The candidate is in one of these stages now. A version that is already in the stage that a slot belongs to, as for
    `@champion` beside Production, comes from there only if that stage is listed.
    """

    stages: Annotated[
        tuple[StageName, ...], Key("One stage, or several.", examples=("Staging", ["None", "Staging"]), name="from")
    ]

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (STAGE,)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        stage = facts[STAGE]
        here = f"v{entrance.candidate} is in stage {plain(stage, 40)}"
        if stage in self.stages:
            return passed(here)
        return failed(f"{here}; it must come from {' or '.join(self.stages) or 'nowhere: the policy lists no stage'}")


PATH = GateKind("path", Path, asks="be in this stage now, or in one of these", example={"from": "Staging"})
