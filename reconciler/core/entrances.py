"""
Who enters which slot, instead of whom, and how: new, a rollback, a restoration, or found there. Plans, gates, evidence,
reviews and drift all ask here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.core.changes import Change, SetAlias, TransitionStage, simulate_all
from reconciler.core.desired import Manifest
from reconciler.core.gate import Entrance, Kind
from reconciler.core.names import ACTIVE_STAGES, Slot, Version, alias_slot
from reconciler.core.past import FOREVER, Epoch, Past, declared_versions, is_unmoved_since
from reconciler.core.snapshot import ModelSnapshot, Ownership, Placement, VersionSnapshot

UNSIGNED = "its record is not signed"


def entrances(
    manifest: Manifest | None, live: ModelSnapshot | None, changes: Iterable[Change], past: Past | None
) -> tuple[Entrance, ...]:
    """
    Every version that becomes what consumers find in a slot: by a call, in the order of the calls; because another one
    leaves; without any call, because it is newly declared where somebody put it by hand; and because its model gets
    another name, under which it has no past. What this declaration has already put there is none. Without a `past`
    nothing is known but our records.
    """
    if live is None:
        return ()
    changes = tuple(changes)
    moved = list(_moved(live, changes))
    stay = [(slot, version) for slot, version in _unmoved(manifest, live, changes) if (slot, version) not in moved]
    entering = [_entrance(live, slot, version, past, moves=True) for slot, version in moved]
    entering += [_entrance(live, slot, version, past, moves=False) for slot, version in stay]
    seen = {*moved, *stay}
    entering += [
        Entrance(live.name, version, slot) for slot, version in _carried(live, past) if (slot, version) not in seen
    ]
    return tuple(entrance for entrance in entering if entrance is not None)


def entrance_of(live: ModelSnapshot, slot: Slot, version: Version, past: Past | None) -> Entrance:
    """What it would be if a version entered a slot."""
    return _entrance(live, slot, version, past, moves=version not in occupants(live, slot)) or Entrance(
        live.name, version, slot, incumbent(live, slot, version, past)
    )


def occupants(live: ModelSnapshot, slot: Slot) -> tuple[Version, ...]:
    """The versions in a slot, lowest first. Consumers of a stage get the highest."""
    if slot.stage is not None:
        return live.occupants(slot.stage)
    return tuple(version for alias, version in live.aliases.items() if alias == slot.alias)


def brought_in(change: Change) -> tuple[Slot, Version] | None:
    """The slot that a call brings a version into, and which; None for one that brings none."""
    if isinstance(change, TransitionStage) and change.after.active:
        return change.after.slot, change.version
    return (alias_slot(change.alias), change.after) if isinstance(change, SetAlias) else None


def in_place(manifest: Manifest | None, live: ModelSnapshot) -> Iterator[tuple[Slot, Version]]:
    """What is declared for a slot and in it: nothing has to move, whether or not this declaration put it there."""
    for slot in manifest.slots if manifest else ():
        there = live.versions.keys() & set(occupants(live, slot))
        yield from ((slot, version) for version in sorted(declared_versions(manifest, slot, live) & there))


def before_move(live: ModelSnapshot, slot: Slot, version: Version) -> str:
    """What a record says of where a version comes from: what is in a slot that holds one, or else its own stage."""
    if slot.holds_one:
        return "".join(f"v{named}" for named in occupants(live, slot))
    return live.versions[version].stage


def was_let_in(live: ModelSnapshot, alias: Slot, version: Version, past: Past, stage: str = "") -> bool:
    """
    Whether an alias names a version by a record that counts, of a commit that declared it so; if a stage is named, one
    that declared it for that stage.
    """
    known = live.versions.get(version)
    record = known.provenance.get(alias) if known else None
    if known is None or record is None or record.left or version not in occupants(live, alias):
        return False
    place = past.place_of(record, known)
    then = None if place is None or (past.sealed and not record.proven) else past.epoch_at(place)
    if then is None or then.manifest is None or alias.alias is None:
        return False
    declared = then.manifest.aliases.get(alias.alias)
    meant = declared is not None and (not stage or declared.stage == stage)
    return meant and version in declared_versions(then.manifest, alias, live)


def incumbent(live: ModelSnapshot, slot: Slot, candidate: Version, past: Past | None) -> Version | None:
    """
    The version that a candidate takes the place of: the one that was declared before and let in, or else the one that
    is there; without a `past`, always that. So nobody chooses whom gates compare a candidate with by moving a version
    by hand.
    """
    if past is not None:
        for epoch in past.epochs:
            declared = past.declared_in(epoch, slot, live) or declared_versions(epoch.manifest, slot, live)
            if declared and candidate not in declared:
                known = live.versions.get(max(declared))
                if known is not None and not _never_came_in(live, slot, known, epoch, past):
                    return known.version
    return max((version for version in occupants(live, slot) if version != candidate), default=None)


def _never_came_in(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, epoch: Epoch, past: Past) -> bool:
    """
    Whether a version that was declared was never put there. That no record says it was is not enough, for anybody can
    take a record away: by MLflow's own time nobody has touched it since, or what an alias names is there by our record.
    """
    if past.place_of(version.provenance.get(slot), version) is not None or version.version in occupants(live, slot):
        return False
    if slot.stage is not None:
        return version.touched < epoch.since
    named = (live.versions[v] for v in occupants(live, slot) if v in live.versions)
    return any(past.place_of(other.provenance.get(slot), other) is not None for other in named)


def _moved(live: ModelSnapshot, changes: tuple[Change, ...]) -> Iterator[tuple[Slot, Version]]:
    """What calls bring into a slot, and what consumers get because a call takes something out."""
    yield from (place for change in changes if (place := brought_in(change)) is not None)
    after = simulate_all(live, changes)
    for stage in ACTIVE_STAGES:
        before, now = live.occupants(stage), after.occupants(stage) if after else ()
        if now and now[-1] in before and now[-1] != before[-1]:
            yield stage.slot, now[-1]


def _carried(live: ModelSnapshot, past: Past | None) -> Iterator[tuple[Slot, Version]]:
    """
    What a call that renames the model brings into the slots of its new name. Where it goes on from its former name, as
    trusted history says, it was in these slots by the same rules already.
    """
    if live.called is None or past is None or past.has_former_name(live.name):
        return
    for slot in (*(stage.slot for stage in ACTIVE_STAGES), *map(alias_slot, sorted(live.aliases))):
        yield from ((slot, version) for version in occupants(live, slot) if version in live.versions)


def _unmoved(
    manifest: Manifest | None, live: ModelSnapshot, changes: tuple[Change, ...]
) -> Iterator[tuple[Slot, Version]]:
    """What is declared where it is already, and stays."""
    after = simulate_all(live, changes) or live
    yield from ((slot, version) for slot, version in in_place(manifest, live) if version in occupants(after, slot))


def _entrance(live: ModelSnapshot, slot: Slot, version: Version, past: Past | None, *, moves: bool) -> Entrance | None:
    """The entrance, or None for a version that this declaration put where it is."""
    known = live.versions.get(version)
    entrance = Entrance(live.name, version, slot, moves=moves)
    if known is None or (past is None and not moves):
        return None if not moves else entrance
    record = known.provenance.get(slot)
    if past is None:
        kind = Kind.ROLLBACK if _made(live, slot, known, record) else Kind.NEW
        return replace(entrance, kind=kind, incumbent=incumbent(live, slot, version, None))
    passed = frozenset(record.passed if record else ())
    held = past.held(live, slot, version)
    if held:
        if not moves:
            return None
        if _was_applied(live, slot, known, past):
            there = incumbent(live, slot, version, None)
            return replace(entrance, kind=Kind.RESTORATION, incumbent=there, unproven=_unproven(record))
        entrance = replace(entrance, may_have_left=not _has_waited(live, slot, known, past))
    entrance = replace(entrance, incumbent=incumbent(live, slot, version, past))
    if held and _broke_off(live, slot, known):
        return replace(entrance, kind=Kind.RESUMED, passed_before=passed)
    if _has_held_and_left(live, slot, known, past):
        return replace(entrance, kind=Kind.ROLLBACK, unproven=_unproven(record), passed_before=passed)
    if not moves and _is_found(live, slot, known, past):
        return replace(entrance, kind=Kind.FOUND, incumbent=None)
    return entrance


def _unproven(record: Placement | None) -> str:
    return "" if record is None or record.proven else UNSIGNED


def _was_applied(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, past: Past) -> bool:
    """
    Whether this declaration went through, and did not break off between its record and the move: the model's ownership
    record, which names its commit last of all, says so, or nothing contradicts the version's own.
    """
    run = past.run(live, slot, version.version)
    applied = past.place(live.owner.commit) if isinstance(live.owner, Ownership) else None
    if run is not None and applied is not None:
        return applied <= run.start
    return _made(live, slot, version, version.provenance.get(slot))


def _broke_off(live: ModelSnapshot, slot: Slot, version: VersionSnapshot) -> bool:
    """
    Whether the apply that recorded the entrance let it in and broke off before the move. A signed record says so; one
    that is not signed is borne out if the same apply put the version into another slot, where it is.
    """
    record = version.provenance[slot]
    return record.proven or any(
        other.slot != slot
        and (other.commit, other.plan, other.applied_at) == (record.commit, record.plan, record.applied_at)
        and version.version in occupants(live, other.slot)
        for other in version.provenance.values()
        if other.slot.active
    )


def _has_waited(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, past: Past) -> bool:
    """
    Whether the move that a record was written before never happened, as far as MLflow can tell. The version is in the
    stage that it was in, and nobody moved it since. The alias names what it named, which says little: so it must be
    this very commit's apply that broke off, or one that put the version into a stage, where it is.
    """
    record = version.provenance[slot]
    unmoved = is_unmoved_since(record, version)
    if record.before != before_move(live, slot, version.version):
        return False
    if slot.stage is not None:
        return unmoved
    beside = version.provenance.get(version.stage.slot)
    same = beside is not None and (beside.commit, beside.plan) == (record.commit, record.plan)
    return record.commit == past.revision or (unmoved and same)


def _has_held_and_left(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, past: Past) -> bool:
    """
    Whether the version was put there by an earlier declaration, which was given up since. One that is declared now and
    was never applied is waiting: its record, whoever wrote it, is no proof.
    """
    record = version.provenance.get(slot)
    place = past.place_of(record, version)
    if place is None or not _made(live, slot, version, record):
        return False
    if past.sealed and not (record and record.proven):
        return False
    run, then = past.run(live, slot, version.version), past.epoch_at(place)
    declared = past.declared_in(then, slot, live)
    if version.version not in declared or (run is not None and place <= run.start):
        return False
    now = past.declared_in(past.epochs[0], slot, live) if past.epochs else frozenset[Version]()
    return max(declared) == version.version or (bool(now) and max(now) != version.version)


def _made(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, record: Placement | None) -> bool:
    """
    Whether our records show that the version has been in the slot. One that begins where the version is still, or with
    what the alias still names, was written down and maybe not made; then the record of what came later shows it.
    """
    if record is None:
        return slot.stage is not None and any(p.before == slot for p in version.provenance.values())
    if record.found or record.left or version.version in occupants(live, slot):
        return True
    if record.before != before_move(live, slot, version.version):
        return True
    if not slot.holds_one:
        return any(p.before == slot for p in version.provenance.values())
    others = (other.provenance.get(slot) for other in live.versions.values())
    return any(other is not None and other.before == f"v{version.version}" for other in others)


def _is_found(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, past: Past) -> bool:
    """
    Whether the version was there when the slot was first governed: no commit of the trusted line declared the slot
    otherwise, in whatever folder, and for a stage MLflow's own time of its last move is before gates guarded the slot.
    """
    run = past.run(live, slot, version.version)
    if run is None or governed_otherwise(live, slot, version.version, past):
        return False
    if slot in past.governed_elsewhere or not past.whole:
        return False
    applied = past.place(owner.commit) if (owner := live.owned_by(past.ours)) else None
    if applied is not None and applied > max(epoch.start for epoch in past.epochs if epoch.manifest):
        # We governed the model before any manifest declared it: under another name.
        return False
    if slot.stage is None:
        return True
    before = min(past.guarded_since.get(slot, FOREVER), run.since)
    return version.touched <= before


def governed_otherwise(live: ModelSnapshot, slot: Slot, version: Version, past: Past) -> bool:
    """Whether something else was declared for a slot first: then what is there came in later, and was not found."""
    first = past.first_governed(slot)
    return first is not None and past.run(live, slot, version) != first


def is_another(live: ModelSnapshot, slot: Slot, version: Version, past: Past) -> bool:
    """
    Whether our record shows that what was declared was another version of the same number: the model was deleted, and
    registered again.
    """
    known = live.versions[version]
    record = known.provenance.get(slot)
    if record is None or record.identity in {None, known.identity} or not past.is_ours(record):
        return False
    run, place = past.run(live, slot, version), past.place(record.commit)
    return run is not None and place is not None and place <= run.start
