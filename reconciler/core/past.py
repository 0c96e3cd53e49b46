"""What trusted history says of one model: what was declared there and when, and which of our records it bears out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from reconciler.core.desired import Manifest, Pin, Source
from reconciler.core.moments import moment, moment_of
from reconciler.core.names import Commit, ModelRef, Ours, Slot, Version, registry_name, workspace_name
from reconciler.core.snapshot import ModelSnapshot, Ownership, Placement, VersionSnapshot, copy_of

CLOCKS_DIFFER_BY_LESS_THAN = timedelta(minutes=5)
"""
What may lie between the time that a placement is recorded with and the move itself, with what two machines' clocks
differ by.
"""

FOREVER = 1 << 62
"""Later than every time, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """
    A stretch of the trusted line over which a model's manifest was the same. `start` is the place of its oldest commit,
    `commit` that commit, and `since` its time in seconds since 1970.
    """

    start: int
    commit: Commit | None
    since: int
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Past:
    """
    One model's epochs, newest first. A place is a distance from the revision in hand, which has place 0: `places` has
    those of the commits on the trusted line, the first parents of the protected branch. `registries` are the names of
    the registry in hand; records are written with the first.

    Records must be signed where their place is before `signers_since`, that of the commit which first named
    signers; None: the policy names none. Once anything is signed (`sealed`), a record of before that proves no more
    that its version was in a slot and left it: those that git bore out were signed then. `signers_time` is that
    commit's time. `guarded_since` says since when (seconds since 1970) gates guard a slot. `governed_elsewhere` are
    the slots that were governed once by another folder of the repository, or of a model that was renamed and whose
    past does not count. Where it is not `whole`, what was before the last epoch is not known. `declared` is what the
    revision declares, with what its origins were found to be. `heirs` are the models that the name was given up for by
    the last commit that declared it otherwise, and those that took it over from them.
    """

    ours: Ours
    revision: Commit | None = None
    registries: tuple[str, ...] = ("",)
    workspace: str = ""
    epochs: tuple[Epoch, ...] = ()
    places: Mapping[Commit, int] = field(default_factory=dict[Commit, int])
    signers_since: int | None = None
    signers_time: int = FOREVER
    signers_changed: int = 0
    sealed: bool = False
    guarded_since: Mapping[Slot, int] = field(default_factory=dict[Slot, int])
    governed_elsewhere: frozenset[Slot] = frozenset()
    whole: bool = True
    disowned: ModelRef | None = None
    declared: Manifest | None = None
    heirs: frozenset[ModelRef] = frozenset()

    def place(self, commit: Commit | None) -> int | None:
        """Where on the trusted line a commit is, or None."""
        return 0 if commit == self.revision else None if commit is None else self.places.get(commit)

    def unsigned_counts(self, place: int) -> bool:
        """Whether a record of that place counts without a signature."""
        return self.signers_since is None or place >= self.signers_since

    def place_of(self, record: Placement | None, version: VersionSnapshot) -> int | None:
        """
        The place of a record's commit, or None for one that proves nothing: of another repository, registry or version,
        of a commit that is not on the trusted line, without the signature that it must have, or disproven by MLflow's
        own times.
        """
        if record is None or not self.is_ours(record):
            return None
        place = self.place(record.commit)
        if place is None:
            return None
        if record.identity is not None:
            if record.identity != version.identity:
                return None
            where = registry_name(record.registry), workspace_name(record.workspace)
            if where[0] not in self.registries or where[1] != self.workspace:
                return None
        if not self.unsigned_counts(place):
            signed = record.proven or self._was_in_place(record, version)
            return place if signed and record.identity is not None else None
        placed, created = moment(record.applied_at), moment_of(version.created_at)
        disproven = placed is not None and created is not None and created > placed + CLOCKS_DIFFER_BY_LESS_THAN
        return None if disproven else place

    def _was_in_place(self, record: Placement, version: VersionSnapshot) -> bool:
        """
        Whether a record by a key that is not listed anymore speaks of what was in place when its line was taken away:
        by MLflow's own time nobody has moved the version since then, for an alias too that the same apply set.
        """
        placed = version.provenance.get(version.stage.slot)
        key = (record.commit, record.plan)
        together = placed is not None and placed.retired and (placed.commit, placed.plan) == key
        there = record.slot.stage is version.stage or (record.slot.stage is None and together)
        return record.retired and there and version.touched <= self.signers_changed

    def is_ours(self, record: Placement) -> bool:
        """Whether it is a record of our repository, whatever the folder."""
        return self.ours.is_repository(record.repository)

    def was_called(self, name: ModelRef) -> bool:
        """Whether trusted history declared the model under that name, and gave it up for the next one."""
        return name == self.disowned or any(e.manifest is not None and e.manifest.name == name for e in self.epochs)

    def has_former_name(self, name: ModelRef) -> bool:
        """Whether the model was declared under another name before, and goes on from there."""
        return any(epoch.manifest is not None and epoch.manifest.name != name for epoch in self.epochs)

    def name_at(self, commit: Commit, name: ModelRef) -> ModelRef:
        """What a model of that name was called by a commit of the trusted line."""
        place = self.place(commit)
        epoch = None if place is None else self.epoch_at(place)
        return epoch.manifest.name if epoch is not None and epoch.manifest is not None else name

    def epoch_at(self, place: int) -> Epoch | None:
        return next((epoch for epoch in self.epochs if place <= epoch.start), None)

    def run(self, live: ModelSnapshot, slot: Slot, version: Version) -> Epoch | None:
        """
        The first epoch of the unbroken run, up to now, in which the slot was declared to hold the version; where it is
        the one that consumers of the slot get, in which it was declared to be that one. None: it is not declared now.
        """
        first: Epoch | None = None
        served = False
        for epoch in self.epochs:
            declared = self.declared_in(epoch, slot, live)
            if version not in declared:
                break
            if first is None:
                served = max(declared) == version
            elif served and max(declared) != version:
                break
            first = epoch
        return first

    def declared_in(self, epoch: Epoch | None, slot: Slot, live: ModelSnapshot) -> frozenset[Version]:
        """
        The versions that were declared for a slot. What was declared by its origin was the version that our record says
        an apply put there while it was; and what that origin means now, if it is declared still. Otherwise nobody
        knows: several versions may say that they are of one origin, and who registers one more would choose.
        """
        return frozenset[Version]().union(*(versions for _, versions in self.pins_in(epoch, slot, live)))

    def pins_in(
        self, epoch: Epoch | None, slot: Slot, live: ModelSnapshot
    ) -> tuple[tuple[Pin, frozenset[Version]], ...]:
        """The same by what declared it, in the order of the manifest."""
        if epoch is None:
            return ()
        return tuple((pin, self._declared_by(pin, epoch, slot, live)) for pin in pins_of(epoch.manifest, slot))

    def _declared_by(self, pin: Pin, epoch: Epoch, slot: Slot, live: ModelSnapshot) -> frozenset[Version]:
        if pin.version is not None:
            return meant_by(pin, live)
        now = (one for one in pins_of(self.declared, slot) if one.is_like(pin))
        return self._recorded(epoch, pin, slot, live).union(*(meant_by(one, live) for one in now))

    def _recorded(self, epoch: Epoch, pin: Pin, slot: Slot, live: ModelSnapshot) -> frozenset[Version]:
        """
        The versions that an apply put into a slot in the unbroken run of epochs that declared a pin without a number:
        by a signed record, whichever it is; by another one only the first that may be meant, as anybody can write such
        a record on one more.
        """
        meant = sorted(number for number, version in live.versions.items() if pin.means(version))
        records = {number: live.versions[number].provenance.get(slot) for number in meant}
        counting = {number: r for number, r in records.items() if r and (r.proven or number == meant[0])}
        return frozenset(
            number
            for number, record in counting.items()
            if (place := self.place_of(record, live.versions[number])) is not None
            and any(one.start == epoch.start and at <= place <= end for one, at, end in self._runs_of(pin, slot))
        )

    def _runs_of(self, pin: Pin, slot: Slot) -> Iterator[tuple[Epoch, int, int]]:
        """The epochs that declared a pin for a slot, each with the first and the last place of its unbroken run."""
        at, run = 0, list[Epoch]()
        for epoch in (*self.epochs, None):
            if epoch is not None and any(one.is_like(pin) for one in pins_of(epoch.manifest, slot)):
                run.append(epoch)
                continue
            yield from ((one, at, run[-1].start) for one in run)
            at, run = epoch.start + 1 if epoch else at, []

    def held(self, live: ModelSnapshot, slot: Slot, version: Version) -> bool:
        """Whether a record that counts says that this very declaration put the version there."""
        run, known = self.run(live, slot, version), live.versions.get(version)
        if known is None:
            return False
        record = known.provenance.get(slot)
        place = self.place_of(record, known)
        if run is None or place is None:
            return False
        if self.sealed and not (record and record.proven) and self._moved_since_sealed(slot, known):
            return False
        return place <= run.start or self._never_left(live, slot, known, place)

    def _moved_since_sealed(self, slot: Slot, version: VersionSnapshot) -> bool:
        """Whether somebody may have moved the version after signers were named, by MLflow's own time for stages."""
        until = self.signers_time + int(CLOCKS_DIFFER_BY_LESS_THAN.total_seconds())
        return slot.stage is None or version.touched > until

    def _never_left(self, live: ModelSnapshot, slot: Slot, version: VersionSnapshot, place: int) -> bool:
        """
        Whether the version was given up in git for something that never came in, and declared again: it is where our
        record says, no later one names another version, the last applied commit declares it, and MLflow's own time says
        that nobody moved it since. There is no such time for an alias; an apply that moved it wrote that down.
        """
        applied = self.place(live.owner.commit) if isinstance(live.owner, Ownership) else None
        epoch = None if applied is None else self.epoch_at(applied)
        then, now = self.declared_in(epoch, slot, live), self.declared_in(self.epochs[0], slot, live)
        if version.version not in then or (max(now) == version.version and max(then) != version.version):
            return False
        others = (self.place_of(v.provenance.get(slot), v) for v in live.versions.values() if v is not version)
        if any(other is not None and other < place for other in others):
            return False
        if slot.alias is not None:
            return live.aliases.get(slot.alias) == version.version and not version.provenance[slot].left
        return version.stage is slot.stage and is_unmoved_since(version.provenance[slot], version)

    def recorded(self, live: ModelSnapshot, slot: Slot, version: Version) -> bool:
        """The same, by a record that needs not be written anew: signed, where the policy names signers now."""
        held = self.held(live, slot, version)
        return held and (self.signers_since is None or live.versions[version].provenance[slot].proven)

    def first_governed(self, slot: Slot) -> Epoch | None:
        """The epoch in which the slot was first declared, whatever it was to hold."""
        governing = [e for e in self.epochs if e.manifest and slot in e.manifest.slots]
        return governing[-1] if governing else None


def is_unmoved_since(record: Placement, version: VersionSnapshot) -> bool:
    """Whether nobody has moved or edited a version since a record was written, by MLflow's own time."""
    written, touched = moment(record.applied_at), moment_of(version.updated_at)
    return written is not None and touched is not None and touched <= written + CLOCKS_DIFFER_BY_LESS_THAN


def named_since(past: Past, live: ModelSnapshot) -> int:
    """
    Since when a model has its name for certain, in milliseconds since 1970. One of our records on it says that it had
    it all along, signed where anybody signs; else MLflow's own times, as it takes every version for touched when their
    model is renamed.
    """
    for version in live.versions.values():
        for record in version.provenance.values():
            signed = record.proven or record.retired or past.signers_since is None
            if signed and past.place_of(record, version) is not None:
                return 0
    return min((version.updated_at for version in live.versions.values()), default=0)


def declared_versions(manifest: Manifest | None, slot: Slot, live: ModelSnapshot) -> frozenset[Version]:
    """
    The versions that a manifest declares for a slot, those that are gone by now too. What it declares is what stands
    now; of what stood before, `Past.declared_in` tells.
    """
    return frozenset(number for pin in pins_of(manifest, slot) for number in meant_by(pin, live))


def meant_by(pin: Pin, live: ModelSnapshot) -> frozenset[Version]:
    """
    What a pin means: the version with its number and its run; without a number, the first one of its origin. Others
    that say they are of the same origin are nobody's choice but theirs who registered them.
    """
    if pin.version is not None:
        known = live.versions.get(pin.version)
        return frozenset({pin.version}) if known is None or pin.means(known) else frozenset()
    return frozenset(sorted(number for number, version in live.versions.items() if pin.means(version))[:1])


def to_be_copied(manifest: Manifest | None, live: ModelSnapshot) -> ModelSnapshot:
    """The model with the copies that a manifest declares and that are still to be made, under their next numbers."""
    for pin in manifest.pins() if manifest else ():
        if pin.original is not None and not any(map(pin.means, live.versions.values())):
            number = Version(1 + max((*live.versions, *live.hidden), default=0))
            run_id = pin.source.run_id if isinstance(pin.source, Source) else ""
            since = pin.source.since if isinstance(pin.source, Source) else 0
            made = copy_of(number, pin.original, run_id, since)
            live = replace(live, versions={**live.versions, number: made})
    return live


def pins_of(manifest: Manifest | None, slot: Slot) -> tuple[Pin, ...]:
    """What a manifest declares for a slot."""
    if manifest is None:
        return ()
    if slot.stage is not None:
        declared = manifest.stages.get(slot.stage)
        return declared.value if declared else ()
    named = manifest.aliases.get(slot.alias) if slot.alias is not None else None
    return () if named is None or named.value is None else (named.value,)


def undeclared_tags(manifest: Manifest | None, version: VersionSnapshot) -> frozenset[str]:
    """Those of the tags that our record says a manifest set on a version, which this manifest does not set."""
    pins = manifest.pins() if manifest and version.tagged else ()
    return version.tagged.difference(*(pin.tags for pin in pins if pin.means(version)))
