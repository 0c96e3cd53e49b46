"""Whether there is a model to serve."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.core.gate import LOADABLE, PRESENT, Entrance, FactKey, Facts, Judgement, failed, passed, unknown
from reconciler.core.names import plain


@dataclass(frozen=True, slots=True)
class Artifact:
    """The model's files are there and, if `loadable`, it was loaded."""

    loadable: bool = False

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (LOADABLE,) if self.loadable else (PRESENT,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        loading, version = facts[LOADABLE if self.loadable else PRESENT], f"v{entrance.candidate}"
        because = f": {plain(loading.why)}" if loading.why.strip() else ""
        if not loading.present:
            return failed(f"the files of {version} are not there{because}")
        if not self.loadable:
            return passed(f"the files of {version} are there")
        if loading.loaded is None:
            return unknown(f"nobody tried to load {version}{because}")
        return passed(f"{version} can be loaded") if loading.loaded else failed(f"{version} cannot be loaded{because}")
