"""Drift: the registry differs from the commit that was last applied to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.core.desired import Revision
from reconciler.core.diff import Blocker, ModelPlan, Why, diff
from reconciler.core.gate import Kind
from reconciler.core.names import Commit, ModelName, Stage
from reconciler.core.past import Past
from reconciler.core.plan import Effect, Verb, effects_of, needs_review
from reconciler.core.review import effect_key
from reconciler.core.snapshot import ModelSnapshot

INACTIVE = frozenset({Stage.NONE.value, Stage.ARCHIVED.value})


class DriftStatus(StrEnum):
    """How a model stands to what was last applied to it. PENDING: as applied, but a newer commit asks for more."""

    IN_SYNC = "in sync"
    PENDING = "pending"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """
    One model. `drifted` is what would bring it back to the commit last applied, `pending` what a newer one asks for
    beyond that; `blockers` are why it cannot be brought back; `why` says why it is not known how far it drifted.
    """

    model: ModelName
    status: DriftStatus = DriftStatus.IN_SYNC
    applied: Commit | None = None
    drifted: tuple[Effect, ...] = ()
    pending: tuple[Effect, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """All governed models, sorted by name, as seen from one commit."""

    revision: Revision
    registry: str
    models: tuple[ModelDrift, ...]

    def count(self, status: DriftStatus) -> int:
        return sum(model.status is status for model in self.models)

    @property
    def drifted(self) -> bool:
        """Whether somebody has to look: unknown is not yes."""
        return any(model.status in {DriftStatus.DRIFTED, DriftStatus.UNKNOWN} for model in self.models)


def judge_drift(
    now: ModelPlan, live: ModelSnapshot | None, revision: Revision, past: Past, newest_applied: int | None
) -> ModelDrift:
    """
    A model beside what was applied to it last, as far as trusted history bears our record of that out. A record that is
    missing, damaged, foreign or older than what it should speak of leaves it unknown, unless the declaration is younger
    than every commit that was applied: `newest_applied` is the place of the newest of these.
    """
    effects = effects_of(now)
    owned = live.owned_by(revision.ours) if live else None
    if owned is None:
        declared = [epoch for epoch in past.epochs if epoch.manifest is not None]
        if newest_applied is None or (declared and declared[-1].start < newest_applied):
            return ModelDrift(now.model, DriftStatus.PENDING, pending=effects, blockers=now.blockers)
        return _unknown(now, None, "its ownership record is missing, damaged, or another repository's")
    applied = past.place(owned.commit)
    if owned.commit is None or applied is None:
        return _unknown(now, owned.commit, "its ownership record names a commit that is not on this branch")
    if live is not None and any(place < applied for place in _recorded(live, past)):
        return _unknown(
            now, owned.commit, "a version's record is newer than its ownership record: did an apply break off?"
        )
    if not needs_review(now) and not now.blocked and all(e.verb is Verb.CLAIM for e in effects):
        return ModelDrift(now.model, applied=owned.commit)
    epoch = past.epoch_at(applied)
    back = diff(epoch.manifest if epoch else None, live, replace(revision, commit=owned.commit), name=now.model)
    drifted = tuple(effect for effect in effects_of(back) if effect.because.why is not Why.RENAMED)
    if not drifted and not back.blocked:
        by_hand = [e for e in now.entrances if not e.moves and e.kind is not Kind.FOUND]
        if by_hand:
            return _unknown(now, owned.commit, f"no record says how v{by_hand[0].candidate} came to {by_hand[0].slot}")
        return ModelDrift(now.model, DriftStatus.PENDING, owned.commit, pending=effects, blockers=now.blockers)
    known = {effect_key(effect) for effect in drifted}
    pending = tuple(effect for effect in effects if effect_key(effect) not in known)
    return ModelDrift(now.model, DriftStatus.DRIFTED, owned.commit, drifted, pending, back.blockers)


def _unknown(now: ModelPlan, commit: Commit | None, why: str) -> ModelDrift:
    drifted = effects_of(now)
    return ModelDrift(now.model, DriftStatus.UNKNOWN, commit, drifted=drifted, blockers=now.blockers, why=why)


def _recorded(live: ModelSnapshot, past: Past) -> Iterable[int]:
    """The places of the records of what was put into slots."""
    for version in live.versions.values():
        for slot, record in version.provenance.items():
            place = past.place_of(record, version)
            if place is not None and slot not in INACTIVE:
                yield place
