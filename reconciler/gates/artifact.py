"""Whether there is a model to serve."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.gate import (
    PINNED,
    PRESENT,
    Entrance,
    FactKey,
    Facts,
    Judgement,
    Ruling,
    failed,
    passed,
)
from reconciler.core.policy import LOADABLE
from reconciler.core.text import plain
from reconciler.gates.check import CheckGate
from reconciler.gates.parameters import GateKind, Key

LOADED = CheckGate(LOADABLE, signed=True)
"""A signed record says that the model was loaded. Nobody who judges loads it: that would run its code."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """
    The model's files are there; if `loadable`, a signed record of the check `loadable` says that exactly these were
    loaded; if `pinned`, they are the ones that were recorded when the version first entered the slot.
    """

    loadable: Annotated[
        bool, Key("Require a signed record of the check `loadable` for these files.", examples=(True,))
    ] = False
    pinned: Annotated[
        bool,
        Key("Require the files that were recorded when the version first entered.", examples=(True,)),
    ] = False

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (PRESENT, *(LOADED.needs(entrance) if self.loadable else ()), *((PINNED,) if self.pinned else ()))

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        files, version = facts[PRESENT], f"v{entrance.candidate}"
        if not files.present:
            because = f": {plain(files.why)}" if files.why.strip() else ""
            return failed(f"the files of {version} are missing{because}")
        sentences = [f"the files of {version} are there"]
        if self.pinned:
            pinned = facts[PINNED]
            if pinned.recorded and pinned.recorded != pinned.now:
                return failed(
                    f"the files of {version} were replaced: {_short(pinned.recorded)} entered, "
                    f"{_short(pinned.now)} is there now"
                )
            sentences.append(f"{'still ' if pinned.recorded else ''}with the digest {_short(pinned.now)}")
        if self.loadable:
            loaded = LOADED.judge(entrance, facts)
            if loaded.ruling is not Ruling.PASS:
                return loaded
            sentences.append(loaded.sentence)
        return passed(", ".join(sentences))


def _short(digest: str) -> str:
    return plain(digest, 23)


ARTIFACT = GateKind(
    "artifact",
    Artifact,
    asks="have its files; with `loadable`, a signed record of the check `loadable` on exactly these files; "
    "with `pinned`, the recorded files",
    example={"loadable": True},
)
