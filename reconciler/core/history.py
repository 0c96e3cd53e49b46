"""
What was in each slot when, and why: from receipts, what git declared, and the registry as it is now. Entries in, turns
out. Receipts are in the order of their chain, whatever the clocks of those who wrote them said; git's history is in the
order of the trusted line. Only one that was kept late is put where its times and what it saw agree that it belongs.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate, islice, pairwise
from typing import TypeAlias

from reconciler.core.chain import Finding, Pruning
from reconciler.core.desired import Revision
from reconciler.core.moments import after, moment
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.past import CLOCKS_DIFFER_BY_LESS_THAN

Held: TypeAlias = tuple[Version, ...]
"""What a slot holds, lowest version first."""


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


@dataclass(frozen=True, slots=True)
class Possible:
    """What a slot may have held at a moment, on whose word, and by which turn it came there, if that is known."""

    held: Held
    word: Word
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Then:
    """
    What a slot held at a moment: one possibility or several, none where nothing is known. `differences` say what other
    sources have to say, and `explained` what git declared and is known not to have been there then: it was refused, or
    somebody moved the slot by hand. `why` is what is not known and why. `model` is the name that it had then, and `now`
    the one that it has now; where it is not known which of some `names` it had, both are the latter.
    """

    model: ModelRef
    slot: Slot
    possible: tuple[Possible, ...] = ()
    differences: tuple[str, ...] = ()
    why: str = ""
    names: tuple[ModelRef, ...] = ()
    now: ModelRef | None = None
    explained: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """
        Whether one thing alone is possible, under one name, no source says otherwise, and it is known to have been
        applied.
        """
        by_git = all(possible.word is Word.GIT for possible in self.possible)
        one = len({possible.held for possible in self.possible}) == 1 and len(self.names) <= 1
        return one and not self.differences and not by_git


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


@dataclass(frozen=True, slots=True)
class AsOf:
    """What each slot held at a moment (RFC 3339, UTC). `notes` say which moment a commit stands for."""

    of: Recalled
    when: str
    slots: tuple[Then, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Between:
    """
    The slots that held something else, or may have, at one moment than at another, and those of which it is not known
    what they held at one of them. `notes` say which moments commits stand for.
    """

    of: Recalled
    before: str
    after: str
    slots: tuple[tuple[Then, Then], ...]
    notes: tuple[str, ...] = ()

    @property
    def unknown(self) -> int:
        """Of how many slots it is not known what they held at one of the moments."""
        return sum(not (one.possible and two.possible) for one, two in self.slots)


def turns(past: Past, only: Slot | None = None) -> tuple[Turn, ...]:
    """
    Every change of occupant of a model's slots, and what was refused, oldest first; of one slot, in the order in which
    they came about.
    """
    found: list[tuple[tuple[bool, str, str], Turn]] = []
    for slot in slots_of(past) if only is None else {only}.intersection(slots_of(past)):
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
    """The same of one slot, in the order in which they came about."""
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
        declaring, comment = _declaring(self.past, self.slot, first.place)
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
            in_time = turn.declaring is None and (newer is None or not _later(turn.latest, newer.at))
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
        lacking = _lacks_receipts(past, former, following, former.finished_at, until, found)
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
    return any(moment(time) is not None and _later(at, time) for time in touched)


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
    if record is None or record.place is None or (first and _later(record.at, first.started_at)):
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
    declaring, comment = _declaring(past, slot, sighting.place)
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
    declaring = _declaring(past, slot, sighting.place)[0] if _is_dropped(past, slot, sighting.place) else None
    return Turn(past.model, slot, then, then, Turning.RELEASE, word, at, at, declaring, by, note=_NOT_GOVERNED)


_NOT_GOVERNED = "No longer declared: not governed from here on."


def _declaring(past: Past, slot: Slot, place: int | None) -> tuple[Declaring | None, str]:
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
        lacking = _lacks_receipts(past, former, seen, earliest, latest, found)
        turning = Turning.UNKNOWN if lacking else Turning.BY_HAND
        note = "Moved by hand, or by an apply whose receipt is missing. " if lacking else ""
        note += (
            f"Seen by the apply of receipt {seen.applying.receipt}." if seen else "Seen in the registry as it is now."
        )
    if seen is None and present is not None:
        touched = _moved_by(present, slot, state, there)
        latest = touched if touched and _later(touched, earliest) else present.read_at
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
    return max(times, key=_seconds) if all(times) else ""


_BY_GIT_ALONE = "somebody moved it, or the declaration was never applied."


def _records(
    past: Past, slot: Slot, state: Held, there: Held, earliest: str, latest: str
) -> Iterator[tuple[Placed, Held]]:
    """The records between two moments that explain, one after the other, how a slot came to hold what it did."""
    known = past.present.unreceipted if past.present else dict[tuple[Version, Slot], Placed]()
    if set(there) < set(state) and slot.stage is not None:
        # A version is in one stage: the record of the one that it came into says when it left.
        went: dict[Version, Placed] = {}
        for (version, where), record in sorted(known.items(), key=lambda one: _seconds(one[1].at)):
            moved = version in state and where != slot and where.stage is not None
            if moved and _between(record.at, earliest, latest) and not _declares(past, slot, version, record.place):
                went.setdefault(version, record)
        left = set(state) - set(there)
        if left <= went.keys():
            yield max((went[version] for version in left), key=lambda record: _seconds(record.at)), there
        return
    fitting = sorted(
        (
            (record, version)
            for (version, where), record in known.items()
            if where == slot and _between(record.at, earliest, latest)
        ),
        key=lambda pair: (_seconds(pair[0].at), pair[1]),
    )
    entered = set(there) - set(state)
    if not entered or not entered <= {version for _, version in fitting}:
        return
    if len(there) == 1 and len(state) <= 1:
        last = next(n for n, (_, version) in enumerate(fitting) if version == there[0])
        yield from ((record, (version,)) for record, version in fitting[: last + 1] if (version,) != state)
    else:
        yield max((r for r, version in fitting if version in entered), key=lambda record: _seconds(record.at)), there


def _declares(past: Past, slot: Slot, version: Version, place: int | None) -> bool:
    """Whether a version was declared for a slot at a place, as far as that is known."""
    at = len(past.stretches) if place is None else _stretch_at(past, place)
    return at == len(past.stretches) or version in past.stretches[at].held.get(slot, ())


def _by_record(past: Past, slot: Slot, state: Held, there: Held, record: Placed, found: Sequence[Turn]) -> Turn:
    earlier = any(there in {turn.before, turn.after} for turn in found)
    declaring, comment = _declaring(past, slot, record.place)
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


def _lacks_receipts(
    past: Past, former: Sighting | None, seen: Sighting | None, earliest: str, latest: str, found: Sequence[Turn]
) -> bool:
    """Whether receipts may be missing of what was between an apply and the next one."""
    first = former.applying.sequence if former else 0
    last = seen.applying.sequence if seen else _FOREVER
    if any(number == 0 or first < number <= last for number in past.broken):
        return True
    explained = {turn.applying.receipt for turn in found if turn.applying}
    return any(_between(at, earliest, latest) for name, at in past.missing.items() if name not in explained)


def _between(text: str, earliest: str, latest: str) -> bool:
    """Whether a moment is between two others, by clocks that may differ; no bound is any."""
    differ = CLOCKS_DIFFER_BY_LESS_THAN.total_seconds()
    return not _later(after(earliest, -differ), text) and not (latest and _later(text, after(latest, differ)))


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
        stretch = _declaring(past, slot, 0)
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


def _later(text: str, other: str) -> bool:
    """Whether a moment is after another one; a text that is none is before every other."""
    one, two = moment(text), moment(other)
    return one is not None and (two is None or one > two)


def within(found: Iterable[Turn], since: str = "", until: str = "") -> tuple[Turn, ...]:
    """The turns that may have been between two moments; each may be empty. What is pending is of now."""

    def may_be(turn: Turn) -> bool:
        if turn.of_now:
            return not until
        latest, earliest = turn.latest or turn.earliest, turn.earliest or turn.latest
        return not (since and _later(since, latest)) and not (until and _later(earliest, until))

    return tuple(turn for turn in found if may_be(turn))


def as_of(past: Past, when: str, say: Callable[[Held], str], ended: str = "") -> tuple[Then, ...]:
    """
    What each slot of a model that was ever governed held at a moment. `say` writes down what a slot holds. `ended`: the
    receipt of the apply whose end is meant, as the next one may have begun in the same second.
    """
    names, now = _names(past, when)
    why = f"It was renamed from {names[0]} to {names[-1]}, and it is not known at which moment." if names[1:] else ""

    def named(then: Then) -> Then:
        whole = " ".join(part for part in (then.why, why) if part)
        return replace(then, model=now if why else names[0], names=names, now=now, why=whole)

    return tuple(named(_slot_as_of(past, slot, when, say, ended)) for slot in slots_of(past))


def _names(past: Past, when: str) -> tuple[tuple[ModelRef, ...], ModelRef]:
    """What a model may have been called at a moment, and what it is called now."""
    if not past.renamings:
        return (past.model,), past.model
    found = [one for one in past.renamings if one.happened]
    names = [past.renamings[0].names.before, *(one.names.after for one in found)]
    # Whether and when what git alone says was done is not known. Of two applies, the clocks may differ.
    always = 0.0, float(_FOREVER)
    spans = [always if one.word is Word.GIT else (_seconds(one.earliest), _seconds(one.latest)) for one in found]
    standing = _standing([min(span) for span in spans], [max(span) for span in spans], _seconds(when))
    return tuple(dict.fromkeys(names[number + 1] for number in standing)), names[-1]


def _slot_as_of(past: Past, slot: Slot, when: str, say: Callable[[Held], str], ended: str) -> Then:
    found = [turn for turn in turns_of(past, slot) if turn.happened and turn.renamed is None]
    sighted = _sighted(past, slot, when)
    possible = tuple(_as_sighted(one, sighted) for one in _possible(found, when)) or sighted
    left = next((s for s in past.sightings if s.applying.receipt == ended and s.sure and slot in s.after), None)
    possible = possible if left is None else (_as_left(left, slot, possible, found),)
    if released := _released(past, slot, possible, when):
        return released
    by_mlflow = _by_mlflow(past, slot, when)
    why = ""
    if not possible:
        possible = () if by_mlflow is None else (Possible(by_mlflow, Word.MLFLOW),)
        why = "" if by_mlflow is not None else _why_nothing(past, when)
    elif len({one.held for one in possible}) > 1:
        why = _why_several(possible)
    unlike_git = _unlike_git(past, slot, when, possible, say)
    explanation = _explanation(past, slot, when, possible) if unlike_git else ""
    differences = (
        *((unlike_git,) if unlike_git and not explanation else ()),
        *_differences(past, possible, by_mlflow, when, say),
        *_doubts(past, slot, when, possible, found),
    )
    explained = (f"{unlike_git}: {explanation}",) if explanation else ()
    return Then(past.model, slot, possible, differences, why, explained=explained)


def _released(past: Past, slot: Slot, possible: Sequence[Possible], when: str) -> Then | None:
    """What is known of a slot that was given up by that moment: what the registry shows now, as far as it shows it."""
    if not any(one.turn is not None and one.turn.turning is Turning.RELEASE for one in possible):
        return None
    present = past.present
    held, word = _by_mlflow(past, slot, when), Word.MLFLOW
    if held is None and present is not None and not _later(present.read_at, when):
        held, word = present.held.get(slot, ()), Word.SHOWN
    return Then(
        past.model,
        slot,
        () if held is None else (Possible(held, word),),
        why=_why_released(past, slot, when) + ("." if held is not None else ": not known."),
    )


def _why_released(past: Past, slot: Slot, when: str) -> str:
    """What is said of a slot that was given up, and that git may have declared again since."""
    declared = next((s for s in past.stretches if not _later(s.declaring.at, when)), None)
    again = declared is not None and slot in declared.held
    return "Declared again, and not known to have been applied" if again else "Not governed then"


def _why_nothing(past: Past, when: str) -> str:
    if not past.whole and past.stretches:
        return "This clone does not reach back that far: fetch all of it."
    if past.pruned and not _later(when, past.pruned):
        return "The receipts of that time were pruned: if they were exported, pass `--receipts FOLDER`."
    return "Nothing is kept of that time."


def _possible(found: Sequence[Turn], when: str) -> tuple[Possible, ...]:
    """
    What may have been the state at a moment, by turns whose order is certain and whose times are not: clocks differ,
    and of moves by hand only the bounds are known.
    """
    if not found:
        return ()
    lows = [_seconds(turn.earliest or turn.latest) for turn in found]
    highs = [_seconds(turn.latest or turn.earliest) for turn in found]
    states: list[Possible] = []
    for number in _standing(lows, highs, _seconds(when)):
        turn = found[max(number, 0)]
        if number >= 0:
            states.append(Possible(turn.after, turn.word, turn))
        elif turn.before is not None and min(lows) <= _seconds(when):
            # What was there before the first turn is known of the moment before it alone.
            states.append(Possible(turn.before, turn.word))
    return tuple(_once(states))


def _standing(lows: Sequence[float], highs: Sequence[float], at: float) -> Iterator[int]:
    """
    By which of some turns, whose order is certain, and each of which was between two moments, it may have been so at a
    moment: their numbers, -1 for before the first.
    """
    # No turn is before one that it comes after in the order, or after one that it comes before.
    first = list(accumulate(reversed(lows), min))[::-1]
    last = [*accumulate(highs, max), _FOREVER]
    if at < last[0]:
        yield -1
    for number, low in enumerate(first):
        ended = last[number + 1]
        # Of one whose moment is not known, the lower bound is when it was seen not to have been yet.
        began = low < at if low == lows[number] < highs[number] else low <= at
        if (began and at < ended) or low == at == ended:
            yield number


def _sighted(past: Past, slot: Slot, when: str) -> tuple[Possible, ...]:
    """What an apply left in a slot that nothing is known to have changed by that moment."""
    seen = [s for s in past.sightings if slot in s.after and not _later(s.not_read_before, when)]
    return (Possible(seen[-1].after[slot], seen[-1].word),) if seen else ()


def _as_left(left: Sighting, slot: Slot, possible: Sequence[Possible], found: Sequence[Turn]) -> Possible:
    """What an apply left in a slot when it ended, by whichever turn that came there."""
    held = left.after[slot]
    turn = next((turn for turn in reversed(found) if turn.after == held), None)
    return next((one for one in possible if one.held == held), Possible(held, left.word, turn))


def _as_sighted(one: Possible, sighted: Sequence[Possible]) -> Possible:
    """What git declared is known to have been applied where an apply left it so."""
    word = next((other.word for other in sighted if other.held == one.held), one.word)
    return replace(one, word=word) if one.word is Word.GIT else one


def _once(states: Iterable[Possible]) -> Iterator[Possible]:
    seen: dict[Held, Possible] = {}
    for state in states:
        seen[state.held] = state if state.turn is not None or state.held not in seen else seen[state.held]
    yield from seen.values()


_FOREVER = 1 << 62


def _seconds(text: str) -> float:
    when = moment(text)
    return 0.0 if when is None else when.timestamp()


def _why_several(possible: Sequence[Possible]) -> str:
    turned = [one.turn for one in possible if one.turn is not None]
    if any(turn.turning is Turning.BY_HAND for turn in turned):
        return "Somebody moved it by hand, and nobody knows at which moment."
    if any(turn.turning is Turning.UNKNOWN for turn in turned):
        return "It is not known how it came there, and at which moment."
    if any(not one < two for one, two in pairwise(turn.earliest for turn in turned)):
        return "The clocks of two applies differ: by their times, each was after the other."
    return "It was being applied at that moment."


def _by_mlflow(past: Past, slot: Slot, when: str) -> Held | None:
    """
    What MLflow's times show of a moment: a version that is in a stage now, and has not been touched since, was there.
    Several: of some of them only. There is no such time for aliases.
    """
    present = past.present
    if present is None or slot.stage is None:
        return None
    there = present.held.get(slot, ())
    if not there or not all(v in present.touched and not _later(present.touched[v], when) for v in there):
        return None
    return there


def _unlike_git(past: Past, slot: Slot, when: str, possible: Sequence[Possible], say: Callable[[Held], str]) -> str:
    """What git declared of a slot at a moment, where that is not what it may have held."""
    holding = {one.held for one in possible}
    declared = next((s for s in past.stretches if not _later(s.declaring.at, when)), None)
    held = declared.held.get(slot) if declared else None
    by_git = all(one.word is Word.GIT for one in possible)
    if declared is not None and held is not None and holding and held not in holding:
        by = declared.declaring
        return f"git declared {say(held)} ({f'commit {by.commit[:12]}' if by.commit else f'before {by.at}'})"
    if holding and held is None and past.stretches and not by_git and past.whole:
        return "git did not declare the slot"
    return ""


def _explanation(past: Past, slot: Slot, when: str, possible: Sequence[Possible]) -> str:
    """
    Why a slot did not hold at a moment what git declared then, where that is known: an apply refused it before, and saw
    what the slot held, or somebody had moved the slot by hand since. Empty where nothing says so.
    """
    number = next((n for n, s in enumerate(past.stretches) if not _later(s.declaring.at, when)), None)
    if number is None or len({one.held for one in possible}) != 1:
        return ""
    declaring, _ = _declaring(past, slot, past.stretches[number].start)
    turn = next((one.turn for one in possible if one.turn is not None), None)
    if turn is not None and turn.turning is Turning.BY_HAND and declaring is not None:
        return "" if _later(declaring.at, turn.earliest) else "somebody moved it by hand"
    seen = [s for s in past.sightings if slot in s.after and not _later(s.finished_at, when)]
    if not seen or not seen[-1].blocked or seen[-1].after[slot] != possible[0].held:
        return ""
    alike = declaring is not None and _declaring(past, slot, seen[-1].place)[0] == declaring
    return f"receipt {seen[-1].applying.receipt} says that it was refused" if alike else ""


def _differences(
    past: Past, possible: Sequence[Possible], by_mlflow: Held | None, when: str, say: Callable[[Held], str]
) -> Iterator[str]:
    """What MLflow has to say against what a slot may have held at a moment."""
    holding = {one.held for one in possible}
    if by_mlflow is not None and holding and by_mlflow not in holding:
        yield f"by MLflow's times, {say(by_mlflow)} was there and has not moved since"
    present = past.present
    for version in sorted({version for held in holding for version in held}):
        created = present.created.get(version, "") if present else ""
        if created and _later(created, when):
            yield f"MLflow says that {say((version,))} was registered later, at {created}"


def _doubts(past: Past, slot: Slot, when: str, possible: Sequence[Possible], found: Sequence[Turn]) -> Iterator[str]:
    """What may have been otherwise at a moment, without anything left that says how."""
    seen = [s for s in past.sightings if slot in s.after]
    last = next((s for s in reversed(seen) if not _later(s.finished_at, when)), None)
    following = next((s for s in seen if _later(s.finished_at, when)), None)
    until = following.started_at if following else ""
    if past.pruned and not _later(when, past.pruned):
        yield "receipts of that time were pruned, and may say otherwise"
    elif _lacks_receipts(past, last, following, last.finished_at if last else "", until, found):
        yield "receipts of that time are missing, or are not proven, and may say otherwise"
    present = past.present
    if present is not None and last is not None and following is None and slot.stage is not None:
        # Whoever moved it away and back left no trace but this.
        differ = CLOCKS_DIFFER_BY_LESS_THAN.seconds
        for version in present.held.get(slot, ()):
            touched = present.touched.get(version, "")
            if _later(touched, when) and _later(touched, after(last.not_read_before, differ)):
                yield f"MLflow says that v{version} was moved or edited at {touched}: it may have been elsewhere before"
    for turn in (one.turn for one in possible):
        if turn is None or turn.declaring is None or turn.applying is None or not turn.applying.sequence:
            continue
        ahead = _seconds(turn.declaring.at) - _seconds(turn.latest)
        if turn.declaring.at and ahead > 0 and not _later(when, after(turn.declaring.at, ahead)):
            yield (
                f"by their clocks, it was applied at {turn.latest}, before it was committed at {turn.declaring.at}: "
                "one is wrong"
            )


def changed(
    past: Past, before: str, after: str, say: Callable[[Held], str], ended: tuple[str, str] = ("", "")
) -> tuple[tuple[Then, Then], ...]:
    """The slots of a model that held something else, or may have, at a moment than at another, or were called so."""
    pairs = zip(as_of(past, before, say, ended[0]), as_of(past, after, say, ended[1]), strict=True)

    def what(then: Then) -> tuple[set[Held], tuple[ModelRef, ...]]:
        return {one.held for one in then.possible}, then.names

    return tuple((one, two) for one, two in pairs if what(one) != what(two))
