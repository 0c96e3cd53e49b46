"""
What was in each slot when, and why: from receipts, what git declared, and the registry as it is now. Entries in, turns
out. Receipts are in the order of their chain, whatever the clocks of those who wrote them said; git's history is in the
order of the trusted line. Only one that was kept late is put where its times and what it saw agree that it belongs.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice
from typing import TypeAlias

from reconciler.core.chain import Finding, Pruning
from reconciler.core.desired import Revision
from reconciler.core.moments import after, is_later, moment, seconds_of
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.past import CLOCKS_DIFFER_BY_LESS_THAN

Held: TypeAlias = tuple[Version, ...]
"""What a slot holds, lowest version first."""

FOREVER = 1 << 62
"""What is behind every number of a receipt, and after every moment."""


class Word(StrEnum):
    """Whose word something is, the surest first."""

    SIGNED = "signed receipt"
    RECEIPT = "receipt"
    RECORD = "record in the registry"
    GIT = "git"
    MLFLOW = "MLflow's times"
    SHOWN = "the registry as it is now"


class Turning(StrEnum):
    """How a slot came to hold something else, or to be governed."""

    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    RESTORE = "restore"
    VACATE = "vacate"
    FIND = "find"
    BY_HAND = "moved by hand"
    UNKNOWN = "not known how"
    RELEASE = "released"
    RENAME = "renamed"
    DECLARE = "declare"
    REFUSED = "refused"
    NOT_APPLIED = "not applied"
    PENDING = "pending"
    DRIFTED = "drifted"


_OF_NOW = frozenset({Turning.PENDING, Turning.DRIFTED})
"""What is only declared, or is not there anymore, now."""

_ONLY_WANTED = frozenset({Turning.REFUSED, Turning.NOT_APPLIED})
"""What was declared, and did not come in then."""


class Fate(StrEnum):
    """What became of something that was declared and did not come in."""

    CAME_IN = "came in"
    GIVEN_UP = "given up"
    WAITING = "still declared"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Declaring:
    """
    The commit that declared something: its committer's time (RFC 3339, UTC), the author of the change, who committed or
    merged it, the subject, and the request by the number that the subject names. Where the clone does not reach back to
    the commit, that is empty, and `at` the time of the oldest one that it has.
    """

    commit: Commit
    at: str = ""
    author: str = ""
    merged_by: str = ""
    subject: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a gate said of a version that entered."""

    gate: str
    ruling: str
    sentence: str
    note: str = ""

    @property
    def refuses(self) -> bool:
        """Whether it keeps the version out."""
        return self.ruling in {"fail", "unknown"}


@dataclass(frozen=True, slots=True)
class Applying:
    """The apply that did something: its receipt and the number of that in the chain, the commit, and who ran it."""

    receipt: str
    sequence: int = 0
    commit: Commit | None = None
    who: str = ""
    person: str = ""
    run: str = ""
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    A stretch of the trusted line over which a model was declared alike: the place of its oldest commit, that commit,
    and what was declared for each slot, with the comments. A place is a distance from the newest commit, which has 0.
    `name` is what the model was called; None: it was not declared.
    """

    start: int
    declaring: Declaring
    held: Mapping[Slot, Held] = field(default_factory=dict[Slot, Held])
    comments: Mapping[Slot, str] = field(default_factory=dict[Slot, str])
    name: ModelRef | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What a model was called before it was renamed, and after that."""

    before: ModelRef
    after: ModelRef


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    What one receipt says of a model: what its slots held before the apply and after it, when the last call about each
    slot was made, how versions came in, and what gates said. `place` is that of the commit, None for one that is not on
    the trusted line. `sure` says whether the model was read back, `done` whether it was as declared in the end, and
    `released` whether the apply gave the model up. `blocked` says that the model was left as it was, for which
    `message` has the reasons: then the slots are those that the plan was made from, or none where nobody kept them.
    `name` is what calls show the registry to have called it in the end, None where they show nothing; `renamed` are the
    names, and the time, of the call that gave it another one.
    """

    applying: Applying
    started_at: str
    finished_at: str
    before: Mapping[Slot, Held]
    after: Mapping[Slot, Held]
    place: int | None = None
    moved_at: Mapping[Slot, str] = field(default_factory=dict[Slot, str])
    kinds: Mapping[tuple[Version, Slot], str] = field(default_factory=dict[tuple[Version, Slot], str])
    opinions: Mapping[tuple[Version, Slot], tuple[Opinion, ...]] = field(
        default_factory=dict[tuple[Version, Slot], tuple[Opinion, ...]]
    )
    sure: bool = True
    done: bool = True
    released: bool = False
    name: ModelRef | None = None
    renamed: tuple[Names, str] | None = None
    blocked: bool = False
    message: str = ""

    @property
    def not_read_after(self) -> str:
        """When `before` had been read at the latest."""
        return self.finished_at if self.blocked else self.started_at

    @property
    def not_read_before(self) -> str:
        """When `after` was read at the earliest."""
        return self.started_at if self.blocked else self.finished_at

    @property
    def word(self) -> Word:
        return Word.SIGNED if self.applying.signed else Word.RECEIPT

    @property
    def called(self) -> ModelRef | None:
        """What the registry called the model when the apply began; None where nothing shows that."""
        return self.renamed[0].before if self.renamed else self.name


@dataclass(frozen=True, slots=True)
class Placed:
    """
    What a record in the registry that counts says of a version in a slot: when, and by which commit, it came in.
    `place` is that of the commit, `signed` says whether a key that counts signed the record.
    """

    at: str
    commit: Commit | None = None
    receipt: str = ""
    place: int | None = None
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """
    The registry as it is: what the slots of a model hold, when MLflow last saw each version in a stage move or be
    edited, when each was registered, and the place of the commit that was applied last. `unreceipted` are the records,
    of versions that left too, that count and whose receipt is not kept. `name` is what the registry calls the model,
    None where it has none.
    """

    read_at: str
    held: Mapping[Slot, Held] = field(default_factory=dict[Slot, Held])
    touched: Mapping[Version, str] = field(default_factory=dict[Version, str])
    created: Mapping[Version, str] = field(default_factory=dict[Version, str])
    applied: int | None = None
    unreceipted: Mapping[tuple[Version, Slot], Placed] = field(default_factory=dict[tuple[Version, Slot], Placed])
    name: ModelRef | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How it ended that something did not come in: when (RFC 3339, UTC; empty: not known), and by which commit or apply.
    Where it came in and `applying` is None, no apply is known to have done it.
    """

    fate: Fate
    at: str = ""
    declaring: Declaring | None = None
    applying: Applying | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many applies refused the same for the same, as far as receipts tell, and the last of them."""

    applies: int
    last: Applying


@dataclass(frozen=True, slots=True)
class Turn:
    """
    A slot came to hold something else, or was found to hold something: `before` is None where that is not known. It was
    between `earliest` and `latest` (RFC 3339, UTC), which are the same where the moment is known; empty: not known.
    PENDING is what is declared and not there yet, DRIFTED what was applied and is not there anymore. With `renamed`, it
    is the name of the model that turned.
    REFUSED is what applies refused, the first time at `earliest` and the last time at `latest`; NOT_APPLIED what was
    declared and given up between the two, and what no apply brought in or refused. Both have an `ending`.
    """

    model: ModelRef
    slot: Slot
    before: Held | None
    after: Held
    turning: Turning
    word: Word
    earliest: str = ""
    latest: str = ""
    declaring: Declaring | None = None
    applying: Applying | None = None
    comment: str = ""
    opinions: tuple[Opinion, ...] = ()
    note: str = ""
    renamed: Names | None = None
    refusal: Refusal | None = None
    ending: Ending | None = None

    @property
    def happened(self) -> bool:
        """Whether the slot, or the name, turned, and was not only to turn."""
        return self.turning not in _OF_NOW | _ONLY_WANTED

    @property
    def of_now(self) -> bool:
        """Whether it says what is to be done now, and not what was."""
        return self.turning in _OF_NOW

    @property
    def by(self) -> str:
        """By when it had been; of what did not come in, when it was first declared or refused."""
        first, second = (self.earliest, self.latest) if self.ending is not None else (self.latest, self.earliest)
        return first or second

    @property
    def exact(self) -> bool:
        """Whether the moment is known."""
        return bool(self.earliest) and self.earliest == self.latest


@dataclass(frozen=True, slots=True)
class Renaming:
    """
    A model got another name, or is to: behind so many of its sightings, and otherwise as a `Turn`. An empty `earliest`:
    it is not known after what.
    """

    names: Names
    behind: int
    turning: Turning
    word: Word
    earliest: str = ""
    latest: str = ""
    declaring: Declaring | None = None
    applying: Applying | None = None
    note: str = ""

    @property
    def happened(self) -> bool:
        """Whether it was, and is not only declared."""
        return self.turning is Turning.RENAME


@dataclass(frozen=True, slots=True)
class Past:
    """
    All that is known of one model. `stretches` are newest first, `sightings` in the order of the chain; `pruned` is
    when the last receipt was kept that is no longer there (RFC 3339, UTC), empty where none was pruned. `missing` are
    the receipts that records name and the chain lacks, with the times of these records; `broken` the numbers at which
    the chain is not as it was written, 0 where that may be anywhere. `renamings` are in the order in which they came
    about; `model` is what git calls it now.
    """

    model: ModelRef
    stretches: tuple[Stretch, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    present: Present | None = None
    whole: bool = True
    pruned: str = ""
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    broken: tuple[int, ...] = ()
    renamings: tuple[Renaming, ...] = ()
    turns_found: dict[Slot, "tuple[Turn, ...]"] = field(
        default_factory=dict[Slot, "tuple[Turn, ...]"], init=False, compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class Recalled:
    """
    What is known of some models, sorted by name, when it was read (RFC 3339, UTC), and where. `receipts` is how many
    are kept; `untold` says why the registry was not read, if it was not; `findings` are what is wrong with the
    receipts, and `pruned` stands in the place of those that were pruned.
    """

    revision: Revision
    registry: str
    workspace: str
    read_at: str
    models: tuple[Past, ...]
    receipts: int = 0
    untold: str = ""
    findings: tuple[Finding, ...] = ()
    pruned: Pruning | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Every change of occupant that may have been between two moments, model by model, oldest first."""

    of: Recalled
    turns: tuple[Turn, ...]
    since: str = ""
    until: str = ""


def turns(past: Past, only: Collection[Slot] | None = None) -> tuple[Turn, ...]:
    """
    Every change of occupant of a model's slots, or of some, and what was refused, oldest first; of one slot, in the
    order in which they came about.
    """
    found: list[tuple[tuple[bool, str, str], Turn]] = []
    for slot in slots_of(past):
        if only is not None and slot not in only:
            continue
        own = turns_of(past, slot)
        # Of one slot, the order is known; the clocks of two applies may differ.
        whens = accumulate(((turn.by, turn.earliest or turn.latest) for turn in own), max)
        found.extend(((turn.of_now, *when), turn) for turn, when in zip(own, whens, strict=True))
    return tuple(turn for _, turn in sorted(found, key=lambda one: one[0]))


def in_order(sightings: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """
    Sightings, given in the order of the chain, in that of the applies: a receipt that could not be pushed comes behind
    later ones. Clocks alone may be wrong. So one is put before those that by their times came later unless what they
    saw fits as it is, or fits better: unless fewer slots changed between one apply and the next. What saw nothing stays
    behind the same one.
    """
    behind: dict[str, list[Sighting]] = {}
    last_seen = ""
    for one in sightings:
        if one.before or one.after:
            last_seen = one.applying.receipt
        else:
            behind.setdefault(last_seen, []).append(one)
    found = [*behind.get("", ())]
    for one in _seen_in_order([one for one in sightings if one.before or one.after]):
        found.append(one)
        found.extend(behind.get(one.applying.receipt, ()))
    return tuple(found)


def _seen_in_order(sightings: Sequence[Sighting]) -> Sequence[Sighting]:
    found: list[Sighting] = []
    for number, one in enumerate(sightings):
        at = len(found)
        while at and found[at - 1].started_at > one.finished_at:
            at -= 1
        following = sightings[number + 1] if number + 1 < len(sightings) else None
        if at < len(found):
            earlier, last = found[at - 1] if at else None, found[-1]
            stays = _changed(last, one) + _changed(one, following) + _changed(earlier, found[at])
            moved = _changed(earlier, one) + _changed(one, found[at]) + _changed(last, following)
            at = at if moved <= stays and stays else len(found)
        found.insert(at, one)
    return found


def _changed(one: Sighting | None, following: Sighting | None) -> int:
    """How many slots held something else, or had another name, when an apply began than when another one had ended."""
    if one is None or following is None:
        return 0
    renamed = None not in {one.name, following.called} and one.name != following.called
    return renamed + sum(following.before.get(slot, held) != held for slot, held in one.after.items())


def slots_of(past: Past) -> tuple[Slot, ...]:
    """The slots that were governed at any time."""
    declared = (slot for stretch in past.stretches for slot in stretch.held)
    seen = (slot for sighting in past.sightings for slot in (*sighting.before, *sighting.after))
    return tuple(sorted({*declared, *seen}))


def turns_of(past: Past, slot: Slot) -> tuple[Turn, ...]:
    """The same of one slot, in the order in which they came about. They are found once, for whatever moment asks."""
    if slot not in past.turns_found:
        past.turns_found[slot] = _turns_of(past, slot)
    return past.turns_found[slot]


def _turns_of(past: Past, slot: Slot) -> tuple[Turn, ...]:
    seen = [(n, s) for n, s in enumerate(past.sightings) if slot in s.before or slot in s.after or s.blocked]
    first = next((s for _, s in seen if slot in s.before or slot in s.after), None)
    found = [*_declared_before(past, slot, first)]
    state = found[-1].after if found and found[-1].turning is not Turning.RELEASE else None
    former: Sighting | None = None
    renamings = deque(past.renamings)
    beside: list[tuple[int, Turn]] = []
    wanted = _Wanted(past, slot)
    for number, sighting in seen:
        there, then = sighting.before.get(slot, ()), sighting.after.get(slot, ())
        given_up = bool(found) and found[-1].turning is Turning.RELEASE
        if (slot not in sighting.before and slot not in sighting.after) or (sighting.blocked and given_up):
            # Nothing is governed by what is refused.
            wanted.refuse(sighting, state, len(found))
            continue
        if state is not None and there != state:
            found.extend(_unseen(past, slot, state, there, former, sighting, found))
        elif state is not None and former is not None:
            wanted.pass_over(former, sighting, state, len(found))
        while renamings and renamings[0].behind <= number:
            beside.append((len(found), _renamed(past, slot, there, renamings.popleft())))
        if (turn := _turn_of(past, slot, sighting, there, then, found)) is not None:
            found.append(turn)
        state, former = then, sighting
        wanted.refuse(sighting, state, len(found))
        if sighting.released or (sighting.done and _is_dropped(past, slot, sighting.place)):
            found.append(_release(past, slot, sighting, then))
            # From here on anybody may move it.
            state = None
    if state is not None:
        beside.extend((len(found), _renamed(past, slot, state, renaming)) for renaming in renamings)
        if former is not None:
            wanted.pass_over(former, None, state, len(found))
    found.extend(_since(past, slot, state, former, found))
    beside.extend(wanted.turns(found))
    beside.sort(key=lambda one: (one[0], one[1].earliest or one[1].latest))
    for at, turn in reversed(beside):
        found.insert(at, turn)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Run:
    """An unbroken run of stretches that declare the same for a slot: the numbers of the newest and of the oldest."""

    newest: int
    oldest: int


@dataclass(slots=True)
class _Refused:
    """
    What applies refused alike: behind so many turns, what was there, what was wanted, and the run that declared that.
    """

    at: int
    before: Held | None
    after: Held
    run: _Run | None
    by: list[Sighting]


@dataclass(slots=True)
class _Wanted:
    """What was declared for a slot and did not come in: what applies refused, and what none brought in or refused."""

    past: Past
    slot: Slot
    runs: list[_Run] = field(init=False)
    refused: dict[tuple[object, ...], _Refused] = field(default_factory=dict[tuple[object, ...], _Refused])
    passed: list[tuple[int, _Run, Held, Sighting, Sighting | None]] = field(
        default_factory=list[tuple[int, _Run, Held, Sighting, "Sighting | None"]]
    )

    def __post_init__(self) -> None:
        held = [stretch.held.get(self.slot) for stretch in self.past.stretches]
        starts = [number for number, one in enumerate(held) if not number or one != held[number - 1]]
        ends = [*(start - 1 for start in starts[1:]), len(held) - 1]
        self.runs = [_Run(start, end) for start, end in zip(starts, ends, strict=False) for _ in range(start, end + 1)]

    def refuse(self, sighting: Sighting, state: Held | None, at: int) -> None:
        """An apply left the model as it was, when so many turns had been made."""
        if not sighting.blocked:
            return
        run = self._run_at(sighting.place)
        declared = self.past.stretches[run.oldest].held.get(self.slot) if run else None
        noes = {
            version: tuple(said.gate for said in some if said.refuses)
            for (version, slot), some in sighting.opinions.items()
            if slot == self.slot and any(said.refuses for said in some)
        }
        before = sighting.before.get(self.slot) if sighting.before else state
        wanted = declared if declared is not None and noes.keys() <= {*declared} else tuple(sorted(noes))
        if not noes and (declared is None or before in {None, declared}):
            return
        key = (run or sighting.applying.commit, wanted, frozenset(gate for some in noes.values() for gate in some))
        self.refused.setdefault(key, _Refused(at, before, wanted, run, [])).by.append(sighting)

    def pass_over(self, former: Sighting, following: Sighting | None, state: Held, at: int) -> None:
        """An apply, or the registry as it is now, found the slot as the apply before had left it."""
        present = self.past.present
        if following is None and (present is None or present.held.get(self.slot, ()) != state):
            return
        first, last = self._run_at(former.place), self._run_at(following.place if following else 0)
        if first is None or last is None:
            return
        number = first.newest - 1
        while number > last.oldest:
            run = self.runs[number]
            self.passed.append((at, run, state, former, following))
            number = run.newest - 1

    def turns(self, found: Sequence[Turn]) -> Iterator[tuple[int, Turn]]:
        """The turns that these come to, and behind how many of those that were made each belongs."""
        for one in self.refused.values():
            yield one.at, self._refused(one, found)
        told = {one.run for one in self.refused.values()}
        for at, run, state, former, following in self.passed:
            wanted = self.past.stretches[run.oldest].held.get(self.slot)
            if wanted is not None and wanted != state and run not in told:
                yield at, self._passed_over(run, wanted, state, former, following, found)

    def _run_at(self, place: int | None) -> _Run | None:
        at = len(self.runs) if place is None else _stretch_at(self.past, place)
        return self.runs[at] if at < len(self.runs) else None

    def _refused(self, one: _Refused, found: Sequence[Turn]) -> Turn:
        first, last = one.by[0], one.by[-1]
        opinions = tuple(
            said for (version, slot), some in first.opinions.items() if slot == self.slot and version in one.after
            for said in some
        )  # fmt: skip
        judged = any(said.refuses for said in opinions)
        declaring, comment = declaring_at(self.past, self.slot, first.place)
        signed = all(sighting.word is Word.SIGNED for sighting in one.by)
        return Turn(
            self.past.model,
            self.slot,
            one.before,
            one.after,
            Turning.REFUSED,
            Word.SIGNED if signed else Word.RECEIPT,
            first.finished_at,
            last.finished_at,
            declaring,
            first.applying,
            comment,
            opinions,
            "" if judged else f"The model was left as it was. {first.message}".rstrip(),
            refusal=Refusal(len(one.by), last.applying),
            ending=self._ending(one, declaring, found),
        )

    def _ending(self, one: _Refused, declaring: Declaring | None, found: Sequence[Turn]) -> Ending:
        """The first turn after it by which it came in while it was declared, or else the commit that gave it up."""
        if one.run is None:
            return Ending(Fate.UNKNOWN)
        newer = self.past.stretches[one.run.newest - 1].declaring if one.run.newest else None
        for turn in found[one.at :]:
            in_time = turn.declaring is None and (newer is None or not is_later(turn.latest, newer.at))
            if turn.happened and turn.after == one.after and (turn.declaring == declaring or in_time):
                return Ending(Fate.CAME_IN, turn.latest, turn.declaring, turn.applying)
        return Ending(Fate.WAITING) if newer is None else Ending(Fate.GIVEN_UP, newer.at, newer)

    def _passed_over(
        self,
        run: _Run,
        wanted: Held,
        state: Held,
        former: Sighting,
        following: Sighting | None,
        found: Sequence[Turn],
    ) -> Turn:
        past, by, newer = (
            self.past,
            self.past.stretches[run.oldest],
            self.past.stretches[run.newest - 1].declaring,
        )
        seen = (
            f"the apply of receipt {following.applying.receipt} found the slot as it was before"
            if following
            else "the slot is as it was before"
        )
        until = following.started_at if following else past.present.read_at if past.present else ""
        lacking = lacks_receipts(past, former, following, former.finished_at, until, found)
        note = f"No receipt tells of it: {seen}."
        return Turn(
            past.model,
            self.slot,
            state,
            wanted,
            Turning.NOT_APPLIED,
            Word.GIT,
            by.declaring.at,
            newer.at,
            by.declaring,
            comment=by.comments.get(self.slot, ""),
            note=f"{note} Receipts of that time are missing, and may say otherwise." if lacking else note,
            ending=Ending(Fate.GIVEN_UP, newer.at, newer),
        )


def _is_dropped(past: Past, slot: Slot, place: int | None) -> bool:
    """Whether a slot was not declared anymore at a place."""
    at = len(past.stretches) if place is None else _stretch_at(past, place)
    return at < len(past.stretches) and slot not in past.stretches[at].held


def _stretch_at(past: Past, place: int) -> int:
    """Which stretch a place is in, by its number; what is behind all of them is in none."""
    return bisect_left(past.stretches, place, key=lambda stretch: stretch.start)


def _renamed(past: Past, slot: Slot, held: Held, renaming: Renaming) -> Turn:
    """What a model's other name means for one of its slots."""
    return Turn(
        past.model,
        slot,
        held,
        held,
        renaming.turning,
        renaming.word,
        renaming.earliest,
        renaming.latest,
        renaming.declaring,
        renaming.applying,
        note=renaming.note,
        renamed=renaming.names,
    )


def _declared_before(past: Past, slot: Slot, first: Sighting | None) -> Iterator[Turn]:
    """What git declared before the first receipt; whether and when that was applied, only the registry may tell."""
    state: Held | None = None
    earlier = set[Held]()
    applied = past.stretches
    if first is not None:
        # What a commit off the line declared has no place: then all that git says was before it, by its own times.
        applied = tuple(
            s
            for s in past.stretches
            if (
                s.start > _start_of(past, first.place) if first.place is not None else s.declaring.at < first.started_at
            )
        )
    elif past.present is not None and past.present.applied is not None:
        place = past.present.applied
        applied = tuple(s for s in past.stretches if s.start >= _start_of(past, place))
    for stretch in reversed(applied):
        held = stretch.held.get(slot)
        at = stretch.declaring.at
        if held is None and state is not None:
            by = stretch.declaring
            yield Turn(past.model, slot, state, state, Turning.RELEASE, Word.GIT, at, at, by, note=_NOT_GOVERNED)
            state = None
        if held is None or held == state or (first is None and _never_was(past, slot, held, at)):
            continue
        record = _record_of(past, slot, held, stretch, first)
        turning = Turning.ROLL_BACK if held in earlier else Turning.DECLARE if held else Turning.VACATE
        yield Turn(
            past.model,
            slot,
            state,
            held,
            turning,
            Word.GIT if record is None else Word.RECORD,
            record.at if record is not None else at if stretch.declaring.commit else "",
            record.at if record is not None else "" if stretch.declaring.commit else at,
            stretch.declaring,
            None if record is None else Applying(record.receipt, commit=record.commit, signed=record.signed),
            stretch.comments.get(slot, ""),
        )
        earlier.add(held)
        state = held


def _never_was(past: Past, slot: Slot, held: Held, at: str) -> bool:
    """Whether MLflow's times disprove that what git declared came to be: what would have left has not moved since."""
    there = past.present.held.get(slot, ()) if past.present and slot.stage is not None else ()
    touched = (
        [past.present.touched.get(version, "") for version in there if version not in held] if past.present else []
    )
    return any(moment(time) is not None and is_later(at, time) for time in touched)


def _start_of(past: Past, place: int) -> int:
    """The start of the stretch that a place is in."""
    at = _stretch_at(past, place)
    return past.stretches[at].start if at < len(past.stretches) else place


def _record_of(past: Past, slot: Slot, held: Held, stretch: Stretch, first: Sighting | None) -> Placed | None:
    """
    What a record whose receipt is not kept says of when the version that consumers get came into a slot, if it came
    there while that was declared, from a stretch on, and before the first receipt.
    """
    record = past.present.unreceipted.get((held[-1], slot)) if past.present and held else None
    if record is None or record.place is None or (first and is_later(record.at, first.started_at)):
        return None
    newer = past.stretches[_stretch_at(past, record.place) : _stretch_at(past, stretch.start) + 1]
    return record if newer and all(one.held.get(slot) == held for one in newer) else None


def _turn_of(past: Past, slot: Slot, sighting: Sighting, there: Held, then: Held, found: Sequence[Turn]) -> Turn | None:
    at = sighting.moved_at.get(slot) or sighting.finished_at
    entered = [version for version in then if version not in there]
    kinds = {sighting.kinds.get((version, slot), "") for version in entered or then}
    if there == then and sighting.blocked:
        return None
    if there == then:
        again = bool(found) and found[-1].turning is Turning.RELEASE
        if "found" not in kinds and not again:
            return None
        turning, at = Turning.FIND, sighting.started_at
    elif not entered:
        turning = Turning.VACATE
    elif "rollback" in kinds:
        turning = Turning.ROLL_BACK
    elif "restoration" in kinds:
        turning = Turning.RESTORE
    elif kinds == {""} and any(turn.before == then or turn.after == then for turn in found[:-1]):
        turning = Turning.ROLL_BACK
    else:
        turning = Turning.PROMOTE
    declaring, comment = declaring_at(past, slot, sighting.place)
    opinions = tuple(said for version in then for said in sighting.opinions.get((version, slot), ()))
    note = "" if sighting.sure else "The registry was not read after the last call."
    return Turn(
        past.model,
        slot,
        there,
        then,
        turning,
        sighting.word,
        at,
        at,
        declaring,
        sighting.applying,
        comment,
        opinions,
        note,
    )


def _release(past: Past, slot: Slot, sighting: Sighting, then: Held) -> Turn:
    at, word, by = sighting.finished_at, sighting.word, sighting.applying
    declaring = declaring_at(past, slot, sighting.place)[0] if _is_dropped(past, slot, sighting.place) else None
    return Turn(past.model, slot, then, then, Turning.RELEASE, word, at, at, declaring, by, note=_NOT_GOVERNED)


_NOT_GOVERNED = "No longer declared: not governed from here on."


def declaring_at(past: Past, slot: Slot, place: int | None) -> tuple[Declaring | None, str]:
    """The commit that first declared what is declared for a slot at a place, in its unbroken run, and the comment."""
    if place is None:
        return None, ""
    at = _stretch_at(past, place)
    if at == len(past.stretches):
        return None, ""
    first = run = past.stretches[at]
    for older in islice(past.stretches, at, None):
        if older.held.get(slot) != first.held.get(slot):
            break
        run = older
    return run.declaring, first.comments.get(slot, "")


def _unseen(
    past: Past,
    slot: Slot,
    state: Held,
    there: Held,
    former: Sighting | None,
    seen: Sighting | None,
    found: Sequence[Turn],
) -> Iterator[Turn]:
    """
    How a slot came to hold something else than the apply before, or git, had left there, until the next apply, or the
    registry as it is (None), showed that: by records of applies whose receipts are missing, or by hand. Whose receipts
    may be missing is not blamed on a person.
    """
    present = past.present
    earliest = former.not_read_before if former else (found[-1].earliest if found else "")
    latest = seen.not_read_after if seen else present.read_at if present else ""
    records = list(_records(past, slot, state, there, earliest, latest))
    if records:
        for record, held in records:
            yield _by_record(past, slot, state, held, record, found)
            state = held
        return
    if former is None and seen is not None:
        turning = Turning.UNKNOWN
        note = "Seen by the first apply of which a receipt is kept"
        note += f": {_BY_GIT_ALONE}" if not past.pruned else ", after others."
    elif former is None and found and found[-1].word is Word.GIT:
        turning, note = Turning.UNKNOWN, f"Seen in the registry as it is now: {_BY_GIT_ALONE}"
    else:
        lacking = lacks_receipts(past, former, seen, earliest, latest, found)
        turning = Turning.UNKNOWN if lacking else Turning.BY_HAND
        note = "Moved by hand, or by an apply whose receipt is missing. " if lacking else ""
        note += (
            f"Seen by the apply of receipt {seen.applying.receipt}." if seen else "Seen in the registry as it is now."
        )
    if seen is None and present is not None:
        touched = _moved_by(present, slot, state, there)
        latest = touched if touched and is_later(touched, earliest) else present.read_at
    word = seen.word if seen else Word.SHOWN if present is None or latest == present.read_at else Word.MLFLOW
    yield Turn(past.model, slot, state, there, turning, word, earliest, latest, note=note)


def _moved_by(present: Present, slot: Slot, state: Held, there: Held) -> str:
    """
    By when MLflow saw a stage get what it holds now; empty: it does not say. A version has not moved since it was last
    seen to change, so the one that is there was there by then, and where none came in, those that left were elsewhere.
    """
    if slot.stage is None:
        return ""
    if set(there) - set(state):
        return present.touched.get(there[-1], "")
    times = [present.touched.get(version, "") for version in state if version not in there]
    return max(times, key=seconds_of) if all(times) else ""


_BY_GIT_ALONE = "somebody moved it, or the declaration was never applied."


def _records(
    past: Past, slot: Slot, state: Held, there: Held, earliest: str, latest: str
) -> Iterator[tuple[Placed, Held]]:
    """The records between two moments that explain, one after the other, how a slot came to hold what it did."""
    known = past.present.unreceipted if past.present else dict[tuple[Version, Slot], Placed]()
    if set(there) < set(state) and slot.stage is not None:
        # A version is in one stage: the record of the one that it came into says when it left.
        went: dict[Version, Placed] = {}
        for (version, where), record in sorted(known.items(), key=lambda one: seconds_of(one[1].at)):
            moved = version in state and where != slot and where.stage is not None
            if moved and _between(record.at, earliest, latest) and not _declares(past, slot, version, record.place):
                went.setdefault(version, record)
        left = set(state) - set(there)
        if left <= went.keys():
            yield max((went[version] for version in left), key=lambda record: seconds_of(record.at)), there
        return
    fitting = sorted(
        (
            (record, version)
            for (version, where), record in known.items()
            if where == slot and _between(record.at, earliest, latest)
        ),
        key=lambda pair: (seconds_of(pair[0].at), pair[1]),
    )
    entered = set(there) - set(state)
    if not entered or not entered <= {version for _, version in fitting}:
        return
    if len(there) == 1 and len(state) <= 1:
        last = next(n for n, (_, version) in enumerate(fitting) if version == there[0])
        yield from ((record, (version,)) for record, version in fitting[: last + 1] if (version,) != state)
    else:
        yield max((r for r, version in fitting if version in entered), key=lambda record: seconds_of(record.at)), there


def _declares(past: Past, slot: Slot, version: Version, place: int | None) -> bool:
    """Whether a version was declared for a slot at a place, as far as that is known."""
    at = len(past.stretches) if place is None else _stretch_at(past, place)
    return at == len(past.stretches) or version in past.stretches[at].held.get(slot, ())


def _by_record(past: Past, slot: Slot, state: Held, there: Held, record: Placed, found: Sequence[Turn]) -> Turn:
    earlier = any(there in {turn.before, turn.after} for turn in found)
    declaring, comment = declaring_at(past, slot, record.place)
    return Turn(
        past.model,
        slot,
        state,
        there,
        Turning.VACATE if set(there) < set(state) else Turning.ROLL_BACK if earlier else Turning.PROMOTE,
        Word.RECORD,
        record.at,
        record.at,
        declaring,
        Applying(record.receipt, commit=record.commit, signed=record.signed),
        comment,
        note="No receipt is kept of it: the record on the version says so.",
    )


def lacks_receipts(
    past: Past, former: Sighting | None, seen: Sighting | None, earliest: str, latest: str, found: Sequence[Turn]
) -> bool:
    """Whether receipts may be missing of what was between an apply and the next one."""
    first = former.applying.sequence if former else 0
    last = seen.applying.sequence if seen else FOREVER
    if any(number == 0 or first < number <= last for number in past.broken):
        return True
    explained = {turn.applying.receipt for turn in found if turn.applying}
    return any(_between(at, earliest, latest) for name, at in past.missing.items() if name not in explained)


def _between(text: str, earliest: str, latest: str) -> bool:
    """Whether a moment is between two others, by clocks that may differ; no bound is any."""
    differ = CLOCKS_DIFFER_BY_LESS_THAN.total_seconds()
    return not is_later(after(earliest, -differ), text) and not (latest and is_later(text, after(latest, differ)))


def _since(past: Past, slot: Slot, state: Held | None, last: Sighting | None, found: Sequence[Turn]) -> Iterator[Turn]:
    """What happened since the last receipt, by the registry as it is, and what is declared and not there yet."""
    present = past.present
    declared = past.stretches[0].held.get(slot) if past.stretches else None
    if present is None:
        return
    there = present.held.get(slot, ())
    if state is None and found and found[-1].turning is Turning.RELEASE:
        given_up = found[-1]
        if there != given_up.after:
            note = "Seen in the registry as it is now; not governed."
            turning = Turning.UNKNOWN if given_up.word is Word.GIT else Turning.BY_HAND
            since, latest = given_up.latest, present.read_at
            yield Turn(past.model, slot, given_up.after, there, turning, Word.SHOWN, since, latest, note=note)
    elif state is None and there and declared is not None:
        touched = present.touched.get(there[-1], "") if slot.stage is not None else ""
        yield Turn(
            past.model,
            slot,
            None,
            there,
            Turning.FIND,
            Word.MLFLOW if touched else Word.SHOWN,
            "",
            touched,
            note="No apply and no commit says more.",
        )
    elif state is not None and there != state:
        yield from _unseen(past, slot, state, there, last, None, found)
    if declared is not None and declared != there:
        stretch = declaring_at(past, slot, 0)
        refused, opinions = _refused(past, slot, [version for version in declared if version not in there])
        applied = state == declared and any(turn.after == declared and turn.word is not Word.GIT for turn in found)
        # An apply that refuses to put back what somebody moved leaves the slot so: it was applied all the same.
        last_applied = next((turn for turn in reversed(found) if turn.happened and turn.applying is not None), None)
        applied |= last_applied is not None and (last_applied.after, last_applied.declaring) == (declared, stretch[0])
        yield Turn(
            past.model,
            slot,
            there,
            declared,
            Turning.DRIFTED if applied else Turning.PENDING,
            Word.SHOWN if applied else Word.GIT,
            stretch[0].at if stretch[0] and not applied else "",
            present.read_at if applied else "",
            stretch[0],
            comment=stretch[1],
            opinions=opinions,
            note="Applied, and not there anymore." if applied else _not_there(refused, last, judged=bool(opinions)),
        )


def _refused(past: Past, slot: Slot, entering: Sequence[Version]) -> tuple[str, tuple[Opinion, ...]]:
    """Why what is declared now was not let in, and by which receipt, as far as one says so of this declaration."""
    declared = past.stretches[0].held.get(slot)
    newest = ""
    for sighting in reversed(past.sightings):
        at = len(past.stretches) if sighting.place is None else _stretch_at(past, sighting.place)
        alike = at < len(past.stretches) and all(one.held.get(slot) == declared for one in past.stretches[: at + 1])
        noes = (sighting.opinions.get((version, slot), ()) for version in entering)
        noes = (some for some in noes if any(said.refuses for said in some))
        if sighting.blocked and (opinions := next(noes, ())):
            return (sighting.applying.receipt, opinions) if alike else (newest, ())
        if sighting.blocked and alike:
            newest = newest or sighting.applying.receipt
    return newest, ()


def _not_there(refused: str, last: Sighting | None, *, judged: bool) -> str:
    if last is not None and last.place is None and last.applying.commit:
        return f"The last apply was of {last.applying.commit[:12]}, which is not in this history: fetch what is new."
    if not refused:
        return "Declared, and not there: `reconciler plan` says why."
    if not judged:
        return f"Declared, and not there: the model was left as it was, and receipt {refused} says why."
    return f"Declared, and not there: gates refused it, as receipt {refused} says."


def within(found: Iterable[Turn], since: str = "", until: str = "") -> tuple[Turn, ...]:
    """The turns that may have been between two moments; each may be empty. What is pending is of now."""

    def may_be(turn: Turn) -> bool:
        if turn.of_now:
            return not until
        latest, earliest = turn.latest or turn.earliest, turn.earliest or turn.latest
        return not (since and is_later(since, latest)) and not (until and is_later(earliest, until))

    return tuple(turn for turn in found if may_be(turn))
