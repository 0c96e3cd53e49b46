"""Who must have said yes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.approval import OWNERS, counted, eligible
from reconciler.core.gate import (
    APPROVALS,
    CHANGE,
    MODEL,
    ChangeFacts,
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
from reconciler.errors import Fault
from reconciler.gates.parameters import Between, GateCode, GateKind, Given, Key, Name, Surroundings

MAX_APPROVALS = 100

Count = Annotated[int, Between(1, MAX_APPROVALS), Key("The number of approvals.", examples=(2,))]
Group = Annotated[Name, Key("A group of the policy, or `owners`.", examples=("risk-committee",))]


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many people of a group have approved exactly what is to be applied; the authors of the change never count."""

    quorum: Quorum
    groups: Mapping[str, tuple[str, ...]]

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        return quorum_faults(self.quorum, around.groups)

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
            return failed(f"{wanted}, but it has no members: nobody can approve")
        authors = tuple(author for author in change.authors if author.strip())
        if not authors:
            return unknown("the author of the change is not known, and an author's own approval does not count")
        counting = counted(approvals, people, authors, change.people)
        if len(counting) >= required:
            return passed(f"approved by {_listed(counting)} of {group}")
        others = sorted({a.who for a in approvals if not counted((a,), people, authors, change.people)})
        found = f"only {_listed(counting)} approved" if counting else "no approval counts"
        beside = f"; approvals by authors and by people outside do not count: {_listed(others)}" if others else ""
        early = f"; {_approve_again(change, entrance)}" if change.early else ""
        return failed(f"{wanted}; {found}{beside}{early}")


def _approve_again(change: ChangeFacts, entrance: Entrance) -> str:
    """Why approvals came too early, and what to do."""
    version, who = str(change.original or f"v{entrance.candidate}"), _listed(change.early)
    if change.traded:
        return (
            f"approve again: every version of {plain(change.traded, 80)} was moved, edited or renamed after {who} "
            "approved, so another model may have its name now"
        )
    if change.renamable:
        return (
            f"approve again, since {version} was moved, edited or renamed after {who} approved; with its run pinned "
            "(`run_id` in `from`), such a change does not matter"
        )
    return f"approve again: {version} was not registered yet when {who} approved"


def _listed(people: Iterable[str]) -> str:
    return plain(", ".join(people))


def of_group(
    count: Count = 1,
    of: Group = OWNERS,
    groups: Annotated[Mapping[str, tuple[str, ...]] | None, Given("groups")] = None,
) -> Approvals:
    """The gate, by its keys."""
    return Approvals(Quorum(count, of), groups or {})


def quorum_faults(quorum: Quorum, groups: Mapping[str, tuple[str, ...]] | None) -> Iterator[Fault]:
    """What is wrong with a quorum that is written with `of` for its group; None: no policy is at hand."""
    if quorum.group == OWNERS or groups is None:
        return
    name = plain(quorum.group, 80)
    if quorum.group not in groups:
        there = ", ".join([OWNERS, *groups])
        message = f" is `{name}`, which is not a group of the policy; groups: {there}."
        yield Fault(GateCode.UNKNOWN_GROUP, message, "Name one of these, or add it below `groups`.", ("of",))
    elif quorum.count > (members := len(set(groups[quorum.group]))):
        message = f" requires {amount(quorum.count, 'approval')} from `{name}`, which has {amount(members, 'member')}."
        yield Fault(GateCode.NEVER_PASSES, message, "Require fewer, or add people to the group.")


APPROVALS_BY = GateKind(
    "approvals",
    Approvals,
    asks="have this many approvals from the group; people who [took part in the change](gates.md#approvals) do "
    "not count",
    example={"count": 2, "of": "owners"},
    make=of_group,
)
