"""What a model was called when: by what commits declared, what applies called it, and what the registry calls it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from reconciler.core.history import Declaring, Names, Past, Renaming, Sighting, Turning, Word
from reconciler.core.names import ModelRef


@dataclass(frozen=True, slots=True)
class _Declared:
    """A commit that gave a model another name, and its place."""

    names: Names
    place: int
    declaring: Declaring


def with_renamings(past: Past) -> Past:
    """What is known of a model, with when it was renamed."""
    found = list(_renamings(past))
    happened = [number for number, one in enumerate(found) if one.happened]
    if happened and past.present is not None:
        # MLflow takes every version for touched when their model is renamed.
        last, touched = found[happened[-1]], min(past.present.touched.values(), default="")
        if last.earliest < touched < last.latest:
            found = [replace(one, latest=touched) if one.behind == last.behind else one for one in found]
    return replace(past, renamings=tuple(found))


def _renamings(past: Past) -> Iterator[Renaming]:
    declared = list(_declared(past))
    called = next((stretch.name for stretch in reversed(past.stretches) if stretch.name is not None), None)
    last: Sighting | None = None
    for number, sighting in enumerate(past.sightings):
        before = sighting.called
        if before is not None and before != called:
            if called is not None:
                between = last.finished_at if last else "", sighting.started_at
                yield from _unseen(declared, Names(called, before), number, sighting.place, sighting.word, *between)
            called = before
        if sighting.renamed is not None:
            names, at = sighting.renamed
            path = _path(declared, names, sighting.place)
            by = path[-1].declaring if path else None
            yield Renaming(names, number, Turning.RENAME, sighting.word, at, at, by, sighting.applying)
            called = names.after
        if before is not None:
            last = sighting
    yield from _since(past, declared, called, last)


def _declared(past: Past) -> Iterator[_Declared]:
    """The oldest first."""
    named = [stretch for stretch in reversed(past.stretches) if stretch.name is not None]
    for older, newer in pairwise(named):
        if older.name is not None and newer.name is not None and older.name != newer.name:
            yield _Declared(Names(older.name, newer.name), newer.start, newer.declaring)


def _path(declared: list[_Declared], names: Names, place: int | None) -> tuple[_Declared, ...]:
    """
    The commits by which a model got from one name to another, no later than a place; those before them are of no
    account from then on.
    """
    for first, one in enumerate(declared):
        if one.names.before == names.before:
            for end, other in enumerate(declared[first:], first + 1):
                if other.names.after == names.after and (place is None or place <= other.place):
                    found = tuple(declared[first:end])
                    del declared[:end]
                    return found
    return ()


def _unseen(
    declared: list[_Declared], names: Names, behind: int, place: int | None, word: Word, earliest: str, latest: str
) -> Iterator[Renaming]:
    """What nobody saw happen, between two moments."""
    path = _path(declared, names, place)
    if not path:
        note = "No commit declares it."
        yield Renaming(names, behind, Turning.RENAME, word, earliest, latest, note=note)
    for one in path:
        note = "No receipt tells of it: by hand, or by an apply whose receipt is missing."
        yield Renaming(one.names, behind, Turning.RENAME, word, earliest, latest, one.declaring, note=note)


def _since(past: Past, declared: list[_Declared], called: ModelRef | None, last: Sighting | None) -> Iterator[Renaming]:
    """What happened since the last apply that tells, by the registry as it is, and what is declared alone."""
    behind, present = len(past.sightings), past.present
    if present is None:
        while called is not None and (path := [one for one in declared if one.names.before == called][:1]):
            (one,) = path
            at, note = one.declaring.at, "Declared; whether and when it was applied is not known."
            yield Renaming(one.names, behind, Turning.RENAME, Word.GIT, at, at, one.declaring, note=note)
            del declared[: declared.index(one) + 1]
            called = one.names.after
        return
    if present.name is None or called is None:
        return
    earliest = last.finished_at if last else ""
    if present.name != called:
        names = Names(called, present.name)
        yield from _unseen(declared, names, behind, None, Word.MLFLOW, earliest, present.read_at)
    wanted = past.stretches[0].name if past.stretches else None
    if wanted is not None and wanted != present.name:
        names, path = Names(present.name, wanted), _path(declared, Names(present.name, wanted), None)
        if path:
            by, at = path[-1].declaring, path[-1].declaring.at
            yield Renaming(names, behind, Turning.PENDING, Word.GIT, at, "", by, note="Declared, and not there.")
        else:
            note, at = "Declared under this name, and not called so anymore.", present.read_at
            yield Renaming(names, behind, Turning.DRIFTED, Word.SHOWN, "", at, note=note)
