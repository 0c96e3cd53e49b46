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
from reconciler.core.text import amount, plain


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
        change, approvals = facts[CHANGE], facts[APPROVALS]
        people = eligible(self.quorum, facts[MODEL].owners if self.quorum.group == OWNERS else (), self.groups)
        required = self.quorum.required(by_bots=change.by_bots)
        group = "the model's owners" if self.quorum.group == OWNERS else f"the group {plain(self.quorum.group, 80)}"
        wanted = f"{amount(required, 'approval')} by {group} required"
        if change.by_bots:
            wanted += " (one more, because only bots are known to have made the change)"
        if not people:
            return failed(f"{wanted}, and nobody is in it: nobody can give it")
        authors = tuple(author for author in change.authors if author.strip())
        if not authors:
            return unknown("who wrote the change is not known, and an author's own approval does not count")
        counting = counted(approvals, people, authors, change.people)
        if len(counting) >= required:
            return passed(f"approved by {_listed(counting)} of {group}")
        others = sorted({a.who for a in approvals if not counted((a,), people, authors, change.people)})
        found = f"only {_listed(counting)} approved" if counting else "nobody whose approval counts approved"
        beside = f"; the authors' own and other people's do not count: {_listed(others)}" if others else ""
        early = f"; approve again: v{entrance.candidate} was not registered yet when {_listed(change.early)} approved"
        return failed(f"{wanted}; {found}{beside}{early if change.early else ''}")


def _listed(people: Iterable[str]) -> str:
    return plain(", ".join(people))
