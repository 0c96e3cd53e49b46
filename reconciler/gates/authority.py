"""Who decides over guarded models, and what a change would make different about that."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from reconciler.core.approval import OWNERS, eligible, persons
from reconciler.core.desired import Manifest
from reconciler.core.gate import Guard, Quorum
from reconciler.core.names import ModelRef, alias_slot
from reconciler.core.policy import Check, Policy, lines_of
from reconciler.core.text import amount, plain
from reconciler.errors import Problem, Severity, placeless
from reconciler.gates.approvals import Approvals
from reconciler.gates.check import CheckGate

FIRST_OWNERS = "its first owners"


@dataclass(frozen=True, slots=True)
class Side:
    """What one side lays down: that which stands, or that which a change proposes."""

    policy: Policy
    owners: Mapping[ModelRef, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Shift:
    """
    What a change makes different about who decides over a model: `its owners`, `the group risk`, `the signers`, `the
    check bias`. `asked` are the standing side's quorums that have to agree: those that guard the model, or else one of
    its owners. There are none where nobody who stands is in any, or where the model had no owners and gets its first.
    """

    model: ModelRef
    what: tuple[str, ...]
    asked: tuple[Quorum, ...]


def shifts(
    standing: Side, proposed: Side, guarded: Mapping[ModelRef, tuple[Guard, ...]], touched: Set[str] = frozenset()
) -> tuple[Shift, ...]:
    """
    The models that gates guard (with all guards that the standing side puts before their slots) whose owners, groups,
    signers or checks the change makes others. `touched` are paths of check files that it changes.
    """
    found: list[Shift] = []
    signers = ("the signers",) if _lines(standing.policy.signers) != _lines(proposed.policy.signers) else ()
    for model, guards in sorted(guarded.items()):
        what = (*_differences(model, guards, standing, proposed, touched), *signers)
        if guards and what:
            quorums = tuple(dict.fromkeys(_quorums(guards))) or (Quorum(1),)
            owners = standing.owners.get(model, ())
            asked = tuple(quorum for quorum in quorums if eligible(quorum, owners, standing.policy.groups))
            found.append(Shift(model, what, () if what == (FIRST_OWNERS,) else asked))
    return tuple(found)


def check_paths(check: Check) -> frozenset[str]:
    """The files and folders that a check runs, as far as it names them; a file stands for the folder that it is in."""
    named = (*check.command, check.pytest, check.notebook, str(check.evaluate.get("data") or ""))
    return frozenset(folder if (folder := path.rpartition("/")[0]) else path for path in named if path)


def _quorums(guards: Iterable[Guard]) -> Iterator[Quorum]:
    return (guard.gate.quorum for guard in guards if isinstance(guard.gate, Approvals))


def _differences(
    model: ModelRef, guards: tuple[Guard, ...], standing: Side, proposed: Side, touched: Set[str]
) -> Iterator[str]:
    owners = (*standing.owners.get(model, ()), *proposed.owners.get(model, ()))
    if set(standing.owners.get(model, ())) != set(proposed.owners.get(model, ())):
        yield "its owners" if standing.owners.get(model) else FIRST_OWNERS
    overriding = (guard.override for guard in guards if guard.override is not None)
    groups = {quorum.group for quorum in (*_quorums(guards), *overriding)} - {OWNERS}
    for group in sorted(groups.union(owners)):
        if set(standing.policy.groups.get(group, ())) != set(proposed.policy.groups.get(group, ())):
            yield f"the group {plain(group, 80)}"
    for name in sorted({guard.gate.check for guard in guards if isinstance(guard.gate, CheckGate)}):
        before, after = (side.policy.checks.get(name) for side in (standing, proposed))
        if placeless(before) != placeless(after) or (before and not touched.isdisjoint(check_paths(before))):
            yield f"the check {plain(name, 80)}"


def _lines(signers: str) -> frozenset[str]:
    return frozenset(line.strip() for line in lines_of(signers) if line.strip() and not line.strip().startswith("#"))


NOBODY_CAN_APPROVE = "nobody-can-approve"


def unapprovable(policy: Policy, models: Iterable[Manifest]) -> tuple[Problem, ...]:
    """
    Warnings about approvals that cannot be given: by the owners of a model that has too few, or whose owners are a team
    that the policy does not list, and by a group that lists too few.
    """
    problems: set[Problem | None] = set()
    for guard in (guard for rule in policy.rules for guard in rule.guards):
        problems.update(_too_few(quorum, guard, policy, None) for quorum in _asked(guard) if quorum.group != OWNERS)
    for manifest in models:
        slots = {*(stage.slot for stage in manifest.stages), *map(alias_slot, manifest.aliases)}
        about = (rule for rule in policy.rules if rule.applies_to(manifest.name, manifest.tag_values))
        standing = (g for rule in about if any(map(rule.guards_slot, slots)) for g in rule.guards)
        own = (guard for declared in manifest.gates.values() for guard in declared.value)
        for guard in (*standing, *own):
            problems.update(_too_few(quorum, guard, policy, manifest) for quorum in _asked(guard))
    return tuple(sorted(problem for problem in problems if problem is not None))


def _asked(guard: Guard) -> Iterator[Quorum]:
    yield from _quorums((guard,))
    if guard.override is not None:
        yield guard.override


def _too_few(quorum: Quorum, guard: Guard, policy: Policy, manifest: Manifest | None) -> Problem | None:
    owners = manifest.owner_names if manifest is not None else ()
    count = len(persons(eligible(quorum, owners, policy.groups)))
    required = quorum.required(by_bots=False)
    if count >= required:
        return None
    wanted = f"{guard.name} ({guard.at}) requires {amount(required, 'approval')} by"
    if quorum.group != OWNERS:
        message = f"{wanted} the group {plain(quorum.group, 80)}, which lists {count or 'no'} {_people(count)}."
        return Problem(guard.at, NOBODY_CAN_APPROVE, message, "List its members below `groups`.", Severity.WARNING)
    if manifest is None:
        return None
    at = manifest.owners.at if manifest.owners else manifest.model.at
    teams = sorted(plain(owner, 80) for owner in owners if not eligible(quorum, (owner,), policy.groups))
    named = f" ({', '.join(teams)}: no group of the policy)" if teams else ""
    message = f"{wanted} the owners of {manifest.name}, which has {count or 'no'} {_people(count)} as owners{named}."
    fix = "List the people of each team below `groups` in the policy." if teams else "Add `owners`."
    return Problem(at, NOBODY_CAN_APPROVE, message, fix, Severity.WARNING)


def _people(count: int) -> str:
    return "person" if count == 1 else "people"
