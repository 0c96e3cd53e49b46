"""Every slot beside what is declared for it: the result of drift, slot by slot. Nothing is compared a second time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.desired import DesiredState, Manifest
from reconciler.core.drift import Drift, DriftStatus, ModelDrift, touched
from reconciler.core.entrances import occupants
from reconciler.core.moments import moment_of, rfc3339
from reconciler.core.names import ACTIVE_STAGES, Commit, ModelRef, Ours, Slot, Version, alias_slot
from reconciler.core.past import Past, declared_versions, to_be_copied
from reconciler.core.snapshot import ModelSnapshot, Ownership, RegistrySnapshot
from reconciler.errors import Location


class SlotState(StrEnum):
    """How a slot stands: as `DriftStatus` for models, or not governed by any manifest. The gravest comes first."""

    DRIFTED = "drifted"
    UNKNOWN = "unknown"
    PENDING = "pending"
    IN_SYNC = "in sync"
    UNGOVERNED = "not governed"


@dataclass(frozen=True, slots=True)
class Occupant:
    """
    A version in a slot. `since` is RFC 3339 in UTC, and empty where nothing says it; `commit` and `author` are those of
    the apply that put it there. Without a commit, `since` is when MLflow last saw the version move or be edited.
    """

    version: Version
    since: str = ""
    commit: Commit | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class SlotOverview:
    """A slot with what is declared for it (None: nothing), where that is written, and what is in it, lowest first."""

    slot: Slot
    state: SlotState
    declared: tuple[Version, ...] | None
    actual: tuple[Occupant, ...]
    at: Location | None = None

    @property
    def served(self) -> Occupant | None:
        """The version that consumers of the slot get."""
        return self.actual[-1] if self.actual else None


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """A model's slots, and what drift says of it. `elsewhere` is the other repository that governs it, if one does."""

    model: ModelRef
    slots: tuple[SlotOverview, ...]
    drift: ModelDrift | None = None
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Models sorted by name, with the drift that is shown of them; `read_at` is RFC 3339 in UTC."""

    drift: Drift
    models: tuple[ModelOverview, ...]
    read_at: str

    @property
    def counts(self) -> Mapping[SlotState, int]:
        """How many slots are in each state."""
        counted = Counter(slot.state for model in self.models for slot in model.slots)
        return {state: counted[state] for state in SlotState}

    @property
    def drifted(self) -> bool:
        """Whether somebody has to look, as drift says it."""
        return self.drift.drifted


def overview(
    drift: Drift,
    desired: DesiredState,
    snapshot: RegistrySnapshot,
    pasts: Mapping[ModelRef, Past],
    read_at: str,
    others: RegistrySnapshot | None = None,
) -> Overview:
    """
    The slots of all models that drift is about. With `others`, the other models of the registry, also the slots that no
    manifest declares.
    """
    models = [
        _model(one, desired.models.get(one.model), snapshot.models.get(one.model), pasts, desired.revision.ours, others)
        for one in drift.models
    ]
    for live in others.models.values() if others else ():
        if not live.hidden_model and (slots := tuple(_ungoverned(live, ()))):
            owner = live.owner.repository if isinstance(live.owner, Ownership) else "an unreadable record"
            models.append(ModelOverview(live.name, slots, elsewhere=owner if live.owner else ""))
    return Overview(drift, tuple(sorted(models, key=lambda model: model.model)), read_at)


def _model(
    drift: ModelDrift,
    manifest: Manifest | None,
    live: ModelSnapshot | None,
    pasts: Mapping[ModelRef, Past],
    ours: Ours,
    others: RegistrySnapshot | None,
) -> ModelOverview:
    live = live or ModelSnapshot(drift.model)
    governed = tuple(_governed(manifest, live, ours))
    slots = [_slot(slot, drift, manifest, live, pasts.get(drift.model)) for slot in governed]
    if others is not None:
        slots.extend(_ungoverned(live, governed))
    return ModelOverview(drift.model, tuple(slots), drift)


def _governed(manifest: Manifest | None, live: ModelSnapshot, ours: Ours) -> Iterator[Slot]:
    """The slots that are declared, or that were and that our record still names."""
    owned = live.owned_by(ours)
    stages = {*(manifest.stages if manifest else ()), *(owned.stages if owned else ())}
    aliases = {*(manifest.aliases if manifest else ()), *(owned.aliases if owned else ())}
    yield from (stage.slot for stage in ACTIVE_STAGES if stage in stages)
    yield from map(alias_slot, sorted(aliases))


def _ungoverned(live: ModelSnapshot, governed: Iterable[Slot]) -> Iterator[SlotOverview]:
    """The other slots that hold something."""
    slots = (*(stage.slot for stage in ACTIVE_STAGES), *map(alias_slot, sorted(live.aliases)))
    for slot in slots:
        if slot not in set(governed) and (held := occupants(live, slot)):
            actual = tuple(_occupant(live, slot, version, None) for version in held)
            yield SlotOverview(slot, SlotState.UNGOVERNED, None, actual)


def _slot(
    slot: Slot, drift: ModelDrift, manifest: Manifest | None, live: ModelSnapshot, past: Past | None
) -> SlotOverview:
    declared = tuple(sorted(declared_versions(manifest, slot, to_be_copied(manifest, live))))
    there = occupants(live, slot)
    place = _place(manifest, slot)
    state = _state(slot, drift, same=declared == there)
    trusted = past if state in {SlotState.IN_SYNC, SlotState.PENDING} else None
    actual = tuple(_occupant(live, slot, version, trusted) for version in there)
    return SlotOverview(slot, state, None if place is None else declared, actual, place)


def _place(manifest: Manifest | None, slot: Slot) -> Location | None:
    if manifest is None:
        return None
    if slot.stage is not None:
        declared = manifest.stages.get(slot.stage)
        return declared and declared.at
    named = None if slot.alias is None else manifest.aliases.get(slot.alias)
    return named and named.at


def _state(slot: Slot, drift: ModelDrift, *, same: bool) -> SlotState:
    drifted = {slot_of for effect in drift.drifted for slot_of in touched(effect)}
    drifted |= {replaced.then.slot for replaced in drift.replaced}
    pending = {slot_of for effect in drift.pending for slot_of in touched(effect)}
    match drift.status:
        case DriftStatus.UNKNOWN:
            return SlotState.UNKNOWN
        case DriftStatus.DRIFTED if slot in drifted or not (drifted or drift.drifted):
            return SlotState.DRIFTED
        case DriftStatus.IN_SYNC:
            return SlotState.IN_SYNC
        case _:
            return SlotState.IN_SYNC if same and slot not in pending else SlotState.PENDING


def _occupant(live: ModelSnapshot, slot: Slot, version: Version, past: Past | None) -> Occupant:
    """A version with what a record that counts says of how it came there; else with MLflow's own time, for a stage."""
    known = live.versions.get(version)
    if known is None:
        return Occupant(version)
    record = known.provenance.get(slot)
    counts = past is not None and record is not None and past.place_of(record, known) is not None
    # What was found there was put there by somebody else.
    if record is not None and counts and not record.left and not record.found:
        return Occupant(version, record.applied_at, record.commit, record.author)
    touched = moment_of(known.updated_at) if slot.stage is not None and known.updated_at else None
    return Occupant(version, rfc3339(touched) if touched else "")
