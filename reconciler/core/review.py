"""What a reviewer is shown: a plan, what of it the change under review brings about, and the evidence for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from reconciler.core.changes import SetAlias, TransitionStage
from reconciler.core.diff import ModelPlan
from reconciler.core.evidence import Evidence, Pairing
from reconciler.core.gate import Verdict
from reconciler.core.names import Commit, ModelName, Slot, Stage, Version, alias_slot
from reconciler.core.plan import Effect, Plan, effects_of
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot


class Scope(StrEnum):
    """For which entrances evidence is fetched; each takes in those before it."""

    NONE = "none"
    PRODUCTION = "production"
    STAGES = "stages"
    ALL = "all"


class Origin(StrEnum):
    """Whether an effect comes from the change under review, or would come about without it."""

    CHANGE = "change"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Base:
    """What a plan is compared with: the commit before the change under review, and the effects pending there."""

    ref: str
    commit: Commit | None
    pending: tuple[Effect, ...] = ()
    keys: frozenset["EffectKey"] = frozenset()


EffectKey: TypeAlias = tuple[ModelName, str, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class PolicyNote:
    """
    The policy that judged, of which commit. Where the change proposes another one: the difference, as the lines of a
    unified diff, and the verdicts that the proposed rules would give; they decide nothing yet.
    """

    path: str
    commit: Commit | None
    difference: tuple[str, ...] = ()
    proposed: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """
    All that renderings are made of. `base` is None where nothing was asked of it; so is `evidence`. `notes` are what
    the reader should know of how the plan was made. `policy` says which rules judged, where there are any.
    """

    plan: Plan
    registry: str
    evidence: Evidence | None = None
    base: Base | None = None
    notes: tuple[str, ...] = ()
    policy: PolicyNote | None = None

    def origin(self, effect: Effect) -> Origin | None:
        """Where an effect comes from; None where there is no base to tell."""
        if self.base is None:
            return None
        return Origin.DRIFT if effect_key(effect) in self.base.keys else Origin.CHANGE

    @property
    def settled(self) -> tuple[Effect, ...]:
        """What is pending on the base, and is no longer once the change is merged: it declares what is there."""
        if self.base is None:
            return ()
        kept = {effect_key(effect) for model in self.plan.models for effect in effects_of(model)}
        return tuple(effect for effect in self.base.pending if effect_key(effect) not in kept)


def effect_key(effect: Effect) -> EffectKey:
    """What makes two effects of two plans the same one."""
    return (effect.model, effect.verb, effect.subject, effect.before, effect.after)


def base_of(ref: str, plan: Plan) -> Base:
    """The plan of the commit before the change, as what the change is compared with."""
    return pending_on(ref, plan.revision.commit, (effect for model in plan.models for effect in effects_of(model)))


def pending_on(ref: str, commit: Commit | None, effects: Iterable[Effect]) -> Base:
    """A base with these effects pending."""
    pending = tuple(effects)
    return Base(ref, commit, pending, frozenset(map(effect_key, pending)))


def pairings(plan: Plan, snapshot: RegistrySnapshot, scope: Scope) -> tuple[Pairing, ...]:
    """The versions that the plan moves in and that evidence is asked for, in the order of the plan."""
    return tuple(
        pairing for model in plan.models for pairing in _pairings(model, snapshot.models.get(model.model), scope)
    )


def _pairings(model: ModelPlan, live: ModelSnapshot | None, scope: Scope) -> Iterable[Pairing]:
    if live is None or scope is Scope.NONE:
        return
    found: dict[tuple[Version, Version | None], list[Slot]] = {}
    for candidate, slot, incumbent in _moves(model, live):
        if slot == Stage.PRODUCTION or scope is Scope.ALL or (scope is Scope.STAGES and not slot.startswith("@")):
            found.setdefault((candidate, incumbent), []).append(slot)
    for (candidate, incumbent), slots in found.items():
        yield Pairing(model.model, candidate, incumbent, tuple(slots))


def _moves(model: ModelPlan, live: ModelSnapshot) -> Iterable[tuple[Version, Slot, Version | None]]:
    for change in model.changes:
        if isinstance(change, TransitionStage) and change.after.active:
            yield change.version, change.after.value, highest_occupant(live, change.after, change.version)
        elif isinstance(change, SetAlias):
            yield change.after, alias_slot(change.alias), change.before


def highest_occupant(live: ModelSnapshot, stage: Stage, candidate: Version) -> Version | None:
    return max((version for version in live.occupants(stage) if version != candidate), default=None)
