"""Who must have said yes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.approval import OWNERS, counted, eligible
from reconciler.core.gate import (
    APPROVALS,
    CHANGE,
    MODEL,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    Quorum,
    failed,
    passed,
    unknown,
)
from reconciler.core.names import plain


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many people of a group have approved exactly what is to be applied; the authors of the change never count."""

    quorum: Quorum
    groups: Mapping[str, tuple[str, ...]]

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (APPROVALS, CHANGE, MODEL) if self.quorum.group == OWNERS else (APPROVALS, CHANGE)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        group = "the model's owners" if self.quorum.group == OWNERS else f"the group {plain(self.quorum.group, 80)}"
        owners = facts[MODEL].owners if self.quorum.group == OWNERS else ()
        people = eligible(self.quorum, owners, self.groups)
        if not people:
            return failed(f"an approval by {group} is asked for, and nobody is in it: nobody can give it")
        authors = tuple(author for author in facts[CHANGE].authors if author.strip())
        if not authors:
            return unknown("who wrote the change is not known, and an author's own approval does not count")
        approvals = facts[APPROVALS]
        counting = counted(approvals, people, authors)
        asked = max(1, self.quorum.count)
        if len(counting) >= asked:
            return passed(f"approved by {_listed(counting)} of {group}")
        others = sorted({a.who for a in approvals if not counted((a,), people, authors)})
        told = f"only {_listed(counting)} approved" if counting else "nobody whose word counts approved"
        beside = f"; the authors' own and other people's do not count: {_listed(others)}" if others else ""
        wanted = f"an approval by {group} is" if asked == 1 else f"{asked} approvals by {group} are"
        return failed(f"{wanted} asked for, {told}{beside}")


def _listed(people: Iterable[str]) -> str:
    return plain(", ".join(people))
