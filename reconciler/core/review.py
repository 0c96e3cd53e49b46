"""What a reviewer is shown: a plan, what of it the change under review brings about, and the evidence for it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias, TypeVar

from reconciler.core.diff import ModelPlan
from reconciler.core.entrances import brought_in, incumbent
from reconciler.core.evidence import Evidence, Pairing
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.limits import NOTES
from reconciler.core.loosening import Consequence, Exposure
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.plan import Effect, Plan, Subject, Value, Verb, effects_of
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot

T = TypeVar("T")


class Weight(IntEnum):
    """What a reader must see first, and what is left out last."""

    ENTRANCE = 1
    OVERRIDE = 2
    POLICY = 3
    UNGUARDED = 4
    WAIVER = 5
    REFUSAL = 6
    DOUBT = 7
    NOTE = 8


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader should know of how a plan was made."""

    text: str
    weight: Weight = Weight.NOTE


def weightiest(
    things: Iterable[T], weight: Callable[[T], Weight], most: int = NOTES
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """
    What to show and what to count, each in the order of weight. Of every weight at least one is shown: many of one kind
    push out nothing of another.
    """
    ordered = sorted(things, key=weight)
    firsts = {weight(thing): at for at, thing in reversed(list(enumerate(ordered)))}
    chosen = sorted(firsts.values())[:most]
    rest = [at for at in range(len(ordered)) if at not in set(chosen)]
    kept = {*chosen, *rest[: max(0, most - len(chosen))]}
    return (
        tuple(thing for at, thing in enumerate(ordered) if at in kept),
        tuple(thing for at, thing in enumerate(ordered) if at not in kept),
    )


def model_weight(model: ModelPlan) -> Weight:
    """How much a model's part of the plan weighs: what gates are asked about, then what moves, then the rest."""
    rulings = {verdict.ruling for verdict in model.verdicts}
    if rulings:
        return Weight.OVERRIDE if Ruling.OVERRIDDEN in rulings else Weight.ENTRANCE
    if any(effect.verb in _ENTERING for effect in effects_of(model)):
        return Weight.UNGUARDED
    return Weight.REFUSAL if model.blocked else Weight.NOTE


_ENTERING = frozenset(
    {
        Verb.RENAME,
        Verb.PROMOTE,
        Verb.ROLL_BACK,
        Verb.RESTORE,
        Verb.ADMIT,
        Verb.DEMOTE,
        Verb.SET_ALIAS,
        Verb.MOVE_ALIAS,
        Verb.DELETE_ALIAS,
        Verb.ADOPT,
    }
)


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


EffectKey: TypeAlias = tuple[ModelRef, Verb, Subject, Value, Value]


@dataclass(frozen=True, slots=True)
class PolicyNote:
    """
    The policy that judged, of which commit. Where the change proposes another one: the parts that differ, the
    difference as the lines of a unified diff, the verdicts that the proposed rules would give, and what these would
    change: for the entrances of this plan, and for every slot that a manifest declares. They decide nothing yet.
    """

    path: str
    commit: Commit | None
    difference: tuple[str, ...] = ()
    proposed: tuple[Verdict, ...] = ()
    parts: tuple[str, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    exposed: tuple[Exposure, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the change under review proposes another policy."""
        return bool(self.difference or self.parts)


@dataclass(frozen=True, slots=True)
class Applied:
    """An apply that a review is shown again of: when it began (RFC 3339), its receipt, and the digest of its plan."""

    at: str
    receipt: str
    digest: str


@dataclass(frozen=True, slots=True)
class Review:
    """
    All that renderings are made of. `base` is None where nothing was asked of it; so is `evidence`. `notes` are what
    the reader should know of how the plan was made. `policy` says which rules judged, where there are any. `applied` is
    None for what may still be applied. `named` is what the policy calls the registry, where it names several.
    """

    plan: Plan
    registry: str
    evidence: Evidence | None = None
    base: Base | None = None
    notes: tuple[Note, ...] = ()
    policy: PolicyNote | None = None
    workspace: str = ""
    applied: Applied | None = None
    named: str = ""

    @property
    def digest(self) -> str:
        """The digest of what was reviewed as a whole."""
        return self.plan.digest if self.applied is None else self.applied.digest

    @property
    def models(self) -> tuple[ModelPlan, ...]:
        """The models in the order in which people read of them: what weighs most first."""
        return tuple(sorted(self.plan.models, key=model_weight))

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
    pairs: dict[tuple[Version, Version | None], list[Slot]] = {}
    for slot, candidate in (place for change in model.changes if (place := brought_in(change)) is not None):
        if candidate not in live.versions:
            # It is to be registered first.
            continue
        in_stage = scope is Scope.STAGES and slot.stage is not None
        if slot in model.live_slots or in_stage or scope is Scope.ALL:
            pairs.setdefault((candidate, incumbent(live, slot, candidate, past=None)), []).append(slot)
    for (candidate, before), slots in pairs.items():
        yield Pairing(model.model, candidate, before, tuple(slots))
