"""How long a version has been in a slot: for a stage by MLflow's own time of its last move, else by our record."""

from dataclasses import replace
from datetime import datetime
from itertools import dropwhile

from reconciler.core.entrances import occupants
from reconciler.core.gate import Stay
from reconciler.core.moments import moment, moment_of, rfc3339
from reconciler.core.names import Slot, Version
from reconciler.core.past import CLOCKS_DIFFER_BY_LESS_THAN, Epoch, Past, declared_versions
from reconciler.core.snapshot import ModelSnapshot, VersionSnapshot


def stay_in(slot: Slot, version: Version, live: ModelSnapshot, past: Past | None, before: int = 0) -> Stay | str:
    """
    Since when the version has been in the slot without a break, or why that is not known. Every move sets a version's
    own time in MLflow, and so does a new description: an edit makes the stay shorter, never longer. An alias leaves no
    time in MLflow, so there a record that counts must say it, of the very declaration by which the alias names it now.
    What the change that is judged does away with itself has lasted until then: it came after the commit at `before`.
    """
    known = live.versions[version]
    if version not in occupants(live, slot):
        return Stay(None)
    record = known.provenance.get(slot)
    if slot.stage is None:
        counts = past is None or _has_stayed(live, slot, known, past, before)
    else:
        counts = past is None or past.place_of(record, known) is not None
    placed = moment(record.applied_at) if record is not None and counts else None
    if slot.stage is None:
        if placed is None:
            return f"no valid record says when {slot} was set to v{version}; the next apply writes one"
        return _since(placed)
    touched = moment_of(known.updated_at) if known.updated_at else placed
    if touched is None:
        return f"the registry has no valid time for the move of v{version}: {known.updated_at}"
    if placed is not None and touched <= placed + CLOCKS_DIFFER_BY_LESS_THAN:
        return _since(placed)
    return _since(touched)


def _has_stayed(live: ModelSnapshot, slot: Slot, version: VersionSnapshot, past: Past, before: int) -> bool:
    """Whether an alias was declared to name a version, without a break, since our record was written."""
    record, number = version.provenance.get(slot), version.version
    if record is None or record.left:
        return False

    def done_away(epoch: Epoch) -> bool:
        return epoch.start < before and number not in declared_versions(epoch.manifest, slot, live)

    lasted = replace(past, epochs=tuple(dropwhile(done_away, past.epochs)))
    return lasted.held(live, slot, number)


def _since(when: datetime) -> Stay:
    return Stay(rfc3339(when))
