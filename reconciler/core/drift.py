"""Drift: the registry differs from the commit that was last applied to it."""

from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.desired import DesiredState, Revision
from reconciler.core.diff import Blocker, ModelPlan, diff
from reconciler.core.names import Commit, ModelName
from reconciler.core.plan import Effect, effects_of
from reconciler.core.review import effect_key
from reconciler.core.snapshot import ModelSnapshot


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


def judge_drift(now: ModelPlan, last: DesiredState | str | None, live: ModelSnapshot | None) -> ModelDrift:
    """
    A model that is not as `now`'s commit declares: has it drifted from what was applied last, or was it never brought
    there? `last` is None where nothing was applied, and a text where it cannot be read.
    """
    effects = effects_of(now)
    if last is None:
        return ModelDrift(now.model, DriftStatus.PENDING, pending=effects, blockers=now.blockers)
    if isinstance(last, str):
        return ModelDrift(now.model, DriftStatus.UNKNOWN, drifted=effects, blockers=now.blockers, why=last)
    commit = last.revision.commit
    back = diff(last.models.get(now.model), live, last.revision, name=now.model)
    drifted = effects_of(back)
    if not drifted and not back.blocked:
        return ModelDrift(now.model, DriftStatus.PENDING, commit, pending=effects, blockers=now.blockers)
    known = {effect_key(effect) for effect in drifted}
    pending = tuple(effect for effect in effects if effect_key(effect) not in known)
    return ModelDrift(now.model, DriftStatus.DRIFTED, commit, drifted, pending, back.blockers)
