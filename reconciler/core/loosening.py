"""What a change of the policy would let in: the gates before each slot are compared, and not only what they say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.core.gate import Entrance, Guard, Verdict
from reconciler.core.names import ModelRef, Slot, Version
from reconciler.core.policy import Policy, PolicySettings
from reconciler.core.slot_map import PLAIN


class Shift(StrEnum):
    """How an entrance fares under the proposed policy, the gravest first."""

    UNGUARDED = "unguarded"
    ADMITTED = "admitted"
    FEWER_GATES = "fewer gates"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Consequence:
    """
    What the proposed policy would change for one entrance of the plan. `refused_by` are the gates that refuse it: of
    the standing policy or, for REFUSED, of the proposed one. `dropped` are those that would no longer apply.
    """

    entrance: Entrance
    shift: Shift
    refused_by: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def admits(self) -> bool:
        """Whether the proposed policy would admit what the current one refuses."""
        return self.shift in {Shift.UNGUARDED, Shift.ADMITTED} and bool(self.refused_by)


@dataclass(frozen=True, slots=True)
class Exposure:
    """
    A slot of a model that the proposed policy would guard less. `dropped` gates would not be asked; `relaxed` ones
    could be waived or overridden where they cannot be now; `left` counts all that would be asked.
    """

    model: ModelRef
    slot: Slot
    dropped: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    left: int = 0


def consequences(standing: Iterable[Verdict], proposed: Iterable[Verdict]) -> tuple[Consequence, ...]:
    """The entrances that would fare differently, the gravest first. A gate that was asked has a verdict."""
    now, then = _by_entrance(standing), _by_entrance(proposed)
    found = (_consequence(now.get(key, ()), then.get(key, ())) for key in sorted(now.keys() | then.keys()))
    changed = [consequence for consequence in found if consequence is not None]
    return tuple(sorted(changed, key=lambda c: (not c.admits, list(Shift).index(c.shift))))


def _by_entrance(verdicts: Iterable[Verdict]) -> Mapping[tuple[ModelRef, Slot, Version], tuple[Verdict, ...]]:
    found: dict[tuple[ModelRef, Slot, Version], tuple[Verdict, ...]] = {}
    for verdict in verdicts:
        entrance = verdict.entrance
        key = entrance.model, entrance.slot, entrance.candidate
        found[key] = (*found.get(key, ()), verdict)
    return found


def _consequence(now: tuple[Verdict, ...], then: tuple[Verdict, ...]) -> Consequence | None:
    entrance = (now or then)[0].entrance
    asked = {verdict.gate for verdict in then}
    dropped = tuple(verdict.gate for verdict in now if verdict.gate not in asked)
    noes_now, noes_then = (tuple(v.gate for v in side if v.blocks) for side in (now, then))
    if not then:
        return Consequence(entrance, Shift.UNGUARDED, noes_now, dropped)
    if noes_now and not noes_then:
        return Consequence(entrance, Shift.ADMITTED, noes_now, dropped)
    if noes_then and not noes_now:
        return Consequence(entrance, Shift.REFUSED, noes_then, dropped)
    return Consequence(entrance, Shift.FEWER_GATES, noes_now, dropped) if dropped else None


def exposures(
    slots: Iterable[tuple[ModelRef, Slot]],
    standing: Callable[[ModelRef, Slot], tuple[Guard, ...]],
    proposed: Callable[[ModelRef, Slot], tuple[Guard, ...]],
) -> tuple[Exposure, ...]:
    """The slots that would be guarded less, those that nothing would guard first."""
    found = (_exposure(model, slot, standing(model, slot), proposed(model, slot)) for model, slot in slots)
    less = [exposure for exposure in found if exposure is not None]
    return tuple(sorted(less, key=lambda e: (e.left > 0, e.model, e.slot)))


def _exposure(model: ModelRef, slot: Slot, now: tuple[Guard, ...], then: tuple[Guard, ...]) -> Exposure | None:
    names = {guard.name: guard for guard in then}
    dropped = tuple(g.name for g in now if g.name not in names and not any(g.gate == other.gate for other in then))
    relaxed = tuple(g.name for g in now if (other := names.get(g.name)) is not None and _is_relaxed(g, other))
    return Exposure(model, slot, dropped, relaxed, len(then)) if dropped or relaxed else None


_WAIVES = (False, None, True)
"""What a rollback waives, the least first: nothing, what speaks of the way in, all of a gate."""


def _is_relaxed(now: Guard, then: Guard) -> bool:
    waived = _WAIVES.index(then.waive_on_rollback) > _WAIVES.index(now.waive_on_rollback)
    if then.override is None:
        return waived
    same_group = now.override is not None and now.override.group == then.override.group
    return waived or not (same_group and now.override is not None and then.override.count >= now.override.count)


def changed_parts(standing: Policy, proposed: Policy) -> tuple[str, ...]:
    """Which parts of a policy differ, whatever they are written like."""
    parts = (
        ("rules", _essence(standing) != _essence(proposed)),
        ("groups", standing.groups != proposed.groups),
        ("signers", standing.signers != proposed.signers),
        ("checks", _checks(standing) != _checks(proposed)),
        ("missing receipts", standing.missing_receipts != proposed.missing_receipts),
        ("what stages and live slots are", standing.settings.slots != proposed.settings.slots),
        ("registries", standing.registries != proposed.registries),
        ("settings", _of_one(standing) != _of_one(proposed)),
    )
    return tuple(name for name, differs in parts if differs)


def _of_one(policy: Policy) -> PolicySettings:
    """What is said of the registry in hand, but for its slots."""
    return replace(policy.settings, slots=PLAIN, registries={})


def _essence(policy: Policy) -> list[object]:
    """The rules without their places."""
    return [
        [
            rule.slots,
            rule.models,
            rule.tags,
            rule.registries,
            [(guard.name, guard.gate, guard.waive_on_rollback, guard.override) for guard in rule.guards],
        ]
        for rule in policy.rules
    ]


def _checks(policy: Policy) -> dict[str, object]:
    return {
        name: (c.command, c.pytest, c.notebook, c.evaluate, c.timeout, c.environment)
        for name, c in policy.checks.items()
    }
