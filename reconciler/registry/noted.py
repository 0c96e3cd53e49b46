"""
A registry whose tags hold none of our records: they are kept in a notebook beside it. That of another repository is not
seen, so the registry itself has a mark that says whose a model is; where the two differ, the mark counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.core.changes import Change, Claim, RecordProvenance, RecordTags, Release, RenameModel
from reconciler.core.names import ModelRef, Ours, Version
from reconciler.core.snapshot import (
    OWNER_TAG,
    PROVENANCE_TAG,
    TAGS_TAG,
    ModelSnapshot,
    Ownership,
    RegistrySnapshot,
    VersionSnapshot,
    decode_owner,
    decode_provenance,
    decode_tagged,
    encode_owner,
    encode_provenance,
    encode_tagged,
)
from reconciler.ports import Notebook, Notes, RegistryAround, Wanted

_NOTHING = Notes()


@dataclass(frozen=True, slots=True)
class NotedRegistry(RegistryAround):
    """The registry port: models and slots as `registry` has them, records as the `notebook` does."""

    notebook: Notebook

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        notes = self.notebook.read()
        owned = (name for name, note in notes.items() if wanted.owned_by and self._is_owned(note, wanted.owned_by))
        # A record of a version is about one that is to be looked at.
        models = {ModelRef(name): frozenset[Version]() for name in owned} | dict(wanted.models)
        models = {
            ref: versions | {Version(number) for number in notes.get(ref, _NOTHING).versions}
            for ref, versions in models.items()
        }
        read = self.registry.snapshot(Wanted(models))
        return RegistrySnapshot({ref: _noted(live, notes.get(ref, _NOTHING)) for ref, live in read.models.items()})

    def _is_owned(self, note: Notes, ours: Ours) -> bool:
        owner = decode_owner(note.model.get(OWNER_TAG, ""))
        return isinstance(owner, Ownership) and ours.owns(owner.repository, owner.commit)

    def execute(self, change: Change) -> None:
        match change:
            case Claim():
                self._note(change.model, OWNER_TAG, encode_owner(change.after))
                self.registry.execute(change)
            case Release():
                self.registry.execute(change)
                self._note(change.model, OWNER_TAG, None)
            case RecordProvenance():
                self._note(change.model, PROVENANCE_TAG, encode_provenance(change.after), change.version)
            case RecordTags():
                text = encode_tagged(change.after) if change.after else None
                self._note(change.model, TAGS_TAG, text, change.version)
            case RenameModel():
                self.registry.execute(change)
                self.notebook.change(lambda notes: _rename(notes, change.before, change.model))
            case _:
                self.registry.execute(change)

    def _note(self, model: ModelRef, key: str, text: str | None, version: Version | None = None) -> None:
        """Keep a value under a key, or nothing."""

        def edit(notes: dict[str, Notes]) -> None:
            note = notes.get(model, _NOTHING)
            if version is None:
                note = replace(note, model=_with(note.model, key, text))
            else:
                versions = {**note.versions, version: _with(note.versions.get(version, {}), key, text)}
                note = replace(note, versions={number: kept for number, kept in versions.items() if kept})
            notes[model] = note

        self.notebook.change(edit)


def _with(kept: Mapping[str, str], key: str, text: str | None) -> dict[str, str]:
    rest = {other: value for other, value in kept.items() if other != key}
    return rest if text is None else {**rest, key: text}


def _rename(notes: dict[str, Notes], before: str, after: str) -> None:
    if before in notes:
        notes[after] = notes.pop(before)


def _noted(live: ModelSnapshot, note: Notes) -> ModelSnapshot:
    """A model with what is noted of it."""

    def of(version: VersionSnapshot) -> VersionSnapshot:
        kept = note.versions.get(version.version, {})
        record, tagged = kept.get(PROVENANCE_TAG), kept.get(TAGS_TAG)
        return replace(
            version,
            provenance={} if record is None else decode_provenance(record),
            tagged=frozenset() if tagged is None else decode_tagged(tagged),
        )

    owner, mark = note.model.get(OWNER_TAG), live.owner
    ours = None if owner is None else decode_owner(owner)
    if isinstance(ours, Ownership) and isinstance(mark, Ownership) and mark.repository != ours.repository:
        ours = mark
    return replace(
        live,
        owner=ours or mark,
        versions={number: of(version) for number, version in live.versions.items()},
    )
