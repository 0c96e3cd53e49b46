"""Drift: the registry differs from the commit that was last applied to it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.desired import Manifest, Revision
from reconciler.core.diff import Blocker, ModelPlan, Why, diff
from reconciler.core.entrances import occupants
from reconciler.core.gate import Entrance, Kind
from reconciler.core.names import Commit, ModelRef, Slot, Stage, Version
from reconciler.core.past import Past, declared_versions
from reconciler.core.plan import Effect, Subject, Value, Verb, effects_of, needs_review
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import ModelSnapshot, VersionSnapshot
from reconciler.core.text import plain


class DriftStatus(StrEnum):
    """How a model stands to what was last applied to it. PENDING: as applied, but a newer commit asks for more."""

    IN_SYNC = "in sync"
    PENDING = "pending"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FilesThen:
    """The digest of a version's files when it entered a slot, by a record that counts."""

    version: Version
    slot: Slot
    digest: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """A version whose files are not those that entered a slot: their digest then, and now."""

    then: FilesThen
    now: str

    @property
    def sentence(self) -> str:
        """`the files of v5 were replaced since it entered Production: sha256:… then, sha256:… now`."""
        digests = f"{plain(self.then.digest, 23)} then, {plain(self.now, 23)} now"
        return f"the files of v{self.then.version} were replaced since it entered {self.then.slot}: {digests}"


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """
    One model. `drifted` is what would bring it back to the commit last applied, `pending` what a newer one asks for
    beyond that; `blockers` are why it cannot be brought back; `why` says why it is not known how far it drifted;
    `replaced` are the versions whose files are others now; `changed_at` is when MLflow last saw a version move or be
    edited, in milliseconds since 1970: a move by hand was made then or before.
    """

    model: ModelRef
    status: DriftStatus = DriftStatus.IN_SYNC
    applied: Commit | None = None
    drifted: tuple[Effect, ...] = ()
    pending: tuple[Effect, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    why: str = ""
    replaced: tuple[Replaced, ...] = ()
    changed_at: Mapping[Version, int] = field(default_factory=dict[Version, int])


@dataclass(frozen=True, slots=True)
class Drift:
    """
    All governed models, sorted by name, as seen from one commit. `compared` is how many versions had their files looked
    at; None where that was not asked for. `named` is what the policy calls the registry, where it names several.
    """

    revision: Revision
    registry: str
    models: tuple[ModelDrift, ...]
    compared: int | None = None
    workspace: str = ""
    named: str = ""

    def count(self, status: DriftStatus) -> int:
        """How many models have that status; pending counts those too that drifted and have more to come."""
        also_pending = status is DriftStatus.PENDING
        return sum(model.status is status or (also_pending and bool(model.pending)) for model in self.models)

    @property
    def drifted(self) -> bool:
        """Whether somebody has to look: unknown is not yes."""
        return any(model.status in {DriftStatus.DRIFTED, DriftStatus.UNKNOWN} for model in self.models)


def judge_drift(
    now: ModelPlan,
    live: ModelSnapshot | None,
    revision: Revision,
    past: Past,
    newest_applied: int | None,
    slots_then: SlotMap | None = None,
    left_alone: Callable[[int, int], bool] | None = None,
) -> ModelDrift:
    """
    A model beside what was applied to it last, as far as trusted history bears our record of that out. A record that is
    missing, damaged, foreign or older than what it should speak of leaves it unknown, unless the declaration is younger
    than every commit that was applied: `newest_applied` is the place of the newest of these. `slots_then` says what
    stages were in the registry by the commit that was applied to it last; `left_alone`, whether receipts prove that no
    apply has changed it since what it had is declared no longer, and that all since another place have refused it.
    """
    effects = effects_of(now)
    owned = live.owned_by(revision.ours) if live else None
    if owned is None:
        declared = [epoch for epoch in past.epochs if epoch.manifest is not None]
        younger = newest_applied is not None and declared and declared[-1].start < newest_applied
        # Where nothing is known to have been applied, somebody may have taken all records away.
        untouched = newest_applied is None and all(e.kind is Kind.FOUND for e in now.entrances)
        if younger or untouched:
            return ModelDrift(now.model, DriftStatus.PENDING, pending=effects, blockers=now.blockers)
        return _unknown(now, None, "its ownership record is missing, damaged, or another repository's")
    applied = past.place(owned.commit)
    if owned.commit is None or applied is None:
        return _unknown(now, owned.commit, "its ownership record names a commit that is not on this branch")
    if live is not None and any(place < applied for place in _recorded(live, past)):
        return _unknown(
            now, owned.commit, "a version's record is newer than its ownership record: was an apply interrupted?"
        )
    if not needs_review(now) and not now.blocked and all(e.verb is Verb.CLAIM for e in effects):
        return ModelDrift(now.model, applied=owned.commit)
    epoch = past.epoch_at(applied)
    then = epoch.manifest if epoch else None
    if then is not None and slots_then is not None:
        revision = replace(revision, slots=slots_then)
    # What was applied under a former name asks for no other.
    there = replace(live, called=None) if live is not None and (then is None or then.name != now.model) else live
    back = diff(then, there, replace(revision, commit=owned.commit), name=now.model)
    # Nothing declares what an alias names that is kept on the version that left: it follows what is put back.
    aside = {Why.RENAMED, Why.LEFT}
    drifted = tuple(effect for effect in effects_of(back) if effect.because.why not in aside)
    if not drifted and not back.blocked:
        by_hand = [e for e in now.entrances if not e.moves and e.kind is not Kind.FOUND]
        if by_hand:
            return _unknown(now, owned.commit, f"no record says how v{by_hand[0].candidate} came to {by_hand[0].slot}")
        came_by = newest_applied is not None and past.epoch_at(newest_applied) is not epoch
        moved = [e for e in now.entrances if came_by and live and not _never_moved(e, live, past)]
        later = [one.start for one in past.epochs if epoch is None or one.start < epoch.start]
        if moved and not (live and later and _all_refused(moved, live, past, max(later), left_alone)):
            said = "whether an apply put it there, and somebody put the older records back, is not known"
            return _unknown(now, owned.commit, f"v{moved[0].candidate} is declared in {moved[0].slot}, but {said}")
        return ModelDrift(now.model, DriftStatus.PENDING, owned.commit, pending=effects, blockers=now.blockers)
    # What is to be put back is called something else where no past is looked at; it is the same thing all the same.
    known = {_moves(effect) for effect in drifted}
    pending = tuple(effect for effect in effects if _moves(effect) not in known)
    changed_at = {number: version.updated_at for number, version in live.versions.items()} if live else {}
    return ModelDrift(
        now.model, DriftStatus.DRIFTED, owned.commit, drifted, pending, back.blockers, changed_at=changed_at
    )


def _never_moved(entrance: Entrance, live: ModelSnapshot, past: Past) -> bool:
    """
    Whether nobody has moved a version since it was declared for a slot, by MLflow's own time, which no record that was
    taken away or put back can change. There is none for aliases.
    """
    run = past.run(live, entrance.slot, entrance.candidate)
    version = live.versions.get(entrance.candidate)
    if run is None or version is None or entrance.slot.stage is None:
        return False
    return version.touched < run.since


def _all_refused(
    entrances: Iterable[Entrance],
    live: ModelSnapshot,
    past: Past,
    first: int,
    left_alone: Callable[[int, int], bool] | None,
) -> bool:
    """
    Whether no apply let these in since they were declared, nor anything else since `first`, the place where what the
    model's record speaks of was declared no longer: so that nobody can have put an older record back.
    """
    runs = [past.run(live, entrance.slot, entrance.candidate) for entrance in entrances]
    declared = [run.start for run in runs if run is not None]
    return left_alone is not None and len(declared) == len(runs) and left_alone(max(declared), first)


def _moves(effect: Effect) -> tuple[Subject, Value, Value]:
    return effect.subject, effect.before, effect.after


def touched(effect: Effect) -> Iterator[Slot]:
    """The slots in which something else is after an effect, or that are governed only then."""
    if isinstance(effect.subject, Slot):
        yield effect.subject
    for value in (effect.before, effect.after):
        if isinstance(value, Stage):
            yield value.slot
    before, after = (set(v) if isinstance(v, tuple) else set[Slot]() for v in (effect.before, effect.after))
    yield from before ^ after


def recorded_files(live: ModelSnapshot, manifest: Manifest | None, past: Past) -> tuple[FilesThen, ...]:
    """What is recorded of the files of versions that are in a slot, or declared to be."""
    return tuple(
        then
        for number, version in sorted(live.versions.items())
        for slot in sorted(version.provenance)
        if slot.active
        and (number in occupants(live, slot) or number in declared_versions(manifest, slot, live))
        and (then := files_then(version, slot, past)) is not None
    )


def files_then(version: VersionSnapshot, slot: Slot, past: Past) -> FilesThen | None:
    """The files that a version entered a slot with, if a record that counts has their digest."""
    record = version.provenance.get(slot)
    counts = record is not None and record.files and past.place_of(record, version) is not None
    return FilesThen(version.version, slot, record.files) if record is not None and counts else None


def with_files(drift: ModelDrift, compared: Iterable[Replaced | str | None]) -> ModelDrift:
    """The same, with what became of its files: replaced, the same (None), or why that is not known."""
    compared = tuple(compared)
    replaced = tuple(one for one in compared if isinstance(one, Replaced))
    whys = tuple(one for one in compared if isinstance(one, str))
    status = DriftStatus.UNKNOWN if whys else DriftStatus.DRIFTED if replaced else drift.status
    if drift.status is DriftStatus.UNKNOWN:
        status = drift.status
    why = "; ".join(dict.fromkeys((*([drift.why] if drift.why else ()), *whys)))
    return replace(drift, status=status, why=why, replaced=replaced)


def _unknown(now: ModelPlan, commit: Commit | None, why: str) -> ModelDrift:
    drifted = effects_of(now)
    return ModelDrift(now.model, DriftStatus.UNKNOWN, commit, drifted=drifted, blockers=now.blockers, why=why)


def _recorded(live: ModelSnapshot, past: Past) -> Iterable[int]:
    """The places of the records of what was put into slots."""
    for version in live.versions.values():
        for slot, record in version.provenance.items():
            place = past.place_of(record, version)
            if place is not None and slot.active:
                yield place
