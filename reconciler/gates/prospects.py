"""What can be said of a policy before anything is judged by it: rules that nothing can pass, and what they rest on."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.core.desired import Manifest
from reconciler.core.gate import Gate, Guard, on_rollback
from reconciler.core.names import ModelRef, Slot, Stage, alias_slot
from reconciler.core.policy import Policy, Rule, matches
from reconciler.core.text import plain
from reconciler.errors import Location, Problem, Severity
from reconciler.gates.age import Age
from reconciler.gates.approvals import Approvals
from reconciler.gates.catalogue import CATALOGUE
from reconciler.gates.check import CheckGate
from reconciler.gates.path import Path
from reconciler.gates.soak import Soak

CODES: Final = frozenset({"never-passes", "no-rollback-passes", "testimony-only"})
"""Every code of a problem that is found here; all are warnings."""

_OURS: Final = frozenset(kind.gate for kind in CATALOGUE.values())
_NOT_LIVE: Final = frozenset({Stage.NONE.value, Stage.STAGING.value, Stage.ARCHIVED.value, "@*"})
"""Slots that consumers need not depend on; `@*` says what any alias takes, and others say more of those that matter."""


def doubts(policy: Policy) -> tuple[Problem, ...]:
    """Rules that no version could pass, or no rollback; and slots that a writer's own word opens."""
    found: list[Problem] = []
    for rule in policy.rules:
        for slot in _slots(rule):
            guards = _before(policy, rule, slot)
            found.extend(_impossible(guards, slot, policy))
            if slot not in _NOT_LIVE and not any(map(_is_witness, guards)):
                message = f"What guards {plain(slot, 80)} here checks only what authors state about their own version."
                fix = "Add `approvals`, a `soak`, or a `check` with `signed: true`."
                found.append(_warning(rule.at, "testimony-only", message, fix))
    return _distinct(found)


def doubts_of(models: Mapping[ModelRef, Manifest], policy: Policy) -> tuple[Problem, ...]:
    """Slots of these models that no version could enter, as their own gates exclude it."""
    found: list[Problem] = []
    for name, manifest in models.items():
        tags = {key: declared.value for key, declared in manifest.tags.items()}
        for slot in _declared_slots(manifest):
            own = manifest.gates.get(slot)
            guards = policy.guards(name, slot, tags, formerly=manifest.former_names) + (own.value if own else ())
            found.extend(_impossible(guards, slot, policy) if own else ())
    return _distinct(found)


def _before(policy: Policy, rule: Rule, slot: str) -> tuple[Guard, ...]:
    """The gates of a rule before a slot, or a pattern of slots, and those of the rules that always hold with it."""
    others = (
        other
        for other in policy.rules
        if other is not rule
        and other.models == ("*",)
        and not other.tags
        and any(pattern == slot or matches(pattern, slot) for pattern in other.slots)
    )
    return tuple(guard for one in (rule, *others) for guard in one.guards)


def _slots(rule: Rule) -> Iterator[str]:
    """The slots of a rule; a pattern stands for the stages that it matches, or else for its aliases."""
    for pattern in rule.slots:
        stages = [stage.value for stage in Stage if stage.active and matches(pattern, stage)]
        yield from stages or [pattern]


def _declared_slots(manifest: Manifest) -> Iterator[Slot]:
    yield from (stage.slot for stage, declared in manifest.stages.items() if stage.active and declared.value)
    yield from (alias_slot(alias) for alias, declared in manifest.aliases.items() if declared.value is not None)


def _impossible(guards: tuple[Guard, ...], slot: str, policy: Policy) -> Iterator[Problem]:
    yield from _too_old(guards, slot)
    if policy.settings.slots.aliases_only:
        # A version can be named by any number of aliases.
        return
    if found := _excluded([(guard, guard.gate) for guard in guards], frozenset(Stage) - {slot}):
        guard, stages = found
        excluded = "it would be there already" if slot in stages else "other gates before it exclude that"
        message = (
            f"No version can pass {plain(guard.name, 80)} before {plain(slot, 80)}: it must come from "
            f"{_listed(stages)}, and {excluded}."
        )
        yield _warning(guard.at, "never-passes", message, "Name the stage that versions come from.")
    if slot not in {stage.value for stage in Stage if stage.active}:
        return
    rest = [(guard, gate) for guard in guards if (gate := _on_rollback(guard)) is not None]
    if found := _excluded(rest, frozenset({Stage.ARCHIVED})):
        guard, stages = found
        message = (
            f"No rollback can pass {plain(guard.name, 80)} before {slot}: a version that has left {slot} is in "
            f"Archived, and it must come from {_listed(stages)}."
        )
        fix = "Remove `waive-on-rollback: false`: a rollback waives this gate then."
        yield _warning(guard.at, "no-rollback-passes", message, fix)


def _on_rollback(guard: Guard) -> Gate | None:
    if guard.waive_on_rollback is None:
        return on_rollback(guard.gate)
    return None if guard.waive_on_rollback else guard.gate


def _excluded(gates: Iterable[tuple[Guard, Gate]], stages: frozenset[str]) -> tuple[Guard, frozenset[str]] | None:
    """The first gate that leaves no stage for a version to come from, and the stages that it names."""
    for guard, gate in gates:
        named = _stages(gate)
        if named is None:
            continue
        stages &= named
        if not stages:
            return guard, named
    return None


def _stages(gate: Gate) -> frozenset[str] | None:
    """The stages that a version must be in one of; None where an alias will do, which may name any version."""
    match gate:
        case Path(model=""):
            slots = frozenset(gate.slots)
        case Soak(model=""):
            slots = frozenset({gate.stage})
        case _:
            return None
    return slots if slots <= frozenset(Stage) else None


def _too_old(guards: tuple[Guard, ...], slot: str) -> Iterator[Problem]:
    soaks = (gate for guard in guards if isinstance(gate := guard.gate, Soak) and not gate.model)
    least = max((gate.seconds for gate in soaks), default=0.0)
    least = max([least, *(gate.minimum or 0.0 for guard in guards if isinstance(gate := guard.gate, Age))])
    for guard in guards:
        if isinstance(guard.gate, Age) and guard.gate.maximum is not None and guard.gate.maximum < least:
            message = (
                f"No version can pass {plain(guard.name, 80)} before {plain(slot, 80)}: once it has waited as long as "
                "other gates require, it is too old."
            )
            yield _warning(guard.at, "never-passes", message, "Raise `max`, or shorten the others.")


def _is_witness(guard: Guard) -> bool:
    """Whether a gate rests on more than a writer's own word. What a gate of another package rests on is not known."""
    gate = guard.gate
    return (
        isinstance(gate, Approvals | Soak) or (isinstance(gate, CheckGate) and gate.signed) or type(gate) not in _OURS
    )


def _warning(at: Location, code: str, message: str, fix: str) -> Problem:
    return Problem(at, code, message, fix, Severity.WARNING)


def _listed(stages: Iterable[str]) -> str:
    return " or ".join(sorted(stages))


def _distinct(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """One of a kind at a place, in the order of places."""
    return tuple(sorted({(p.location, p.code): p for p in sorted(problems, reverse=True)}.values()))
