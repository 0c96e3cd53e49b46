"""What each slot held at a moment, what is known against that, and what differs between two moments."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from reconciler.core.history import (
    FOREVER,
    Held,
    Past,
    Recalled,
    Sighting,
    Stretch,
    Turn,
    Turning,
    Word,
    declaring_at,
    lacks_receipts,
    slots_of,
    turns_of,
)
from reconciler.core.moments import after, is_later, seconds_of
from reconciler.core.names import ModelRef, Slot
from reconciler.core.past import CLOCKS_DIFFER_BY_LESS_THAN


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
    always = 0.0, float(FOREVER)
    spans = [always if one.word is Word.GIT else (seconds_of(one.earliest), seconds_of(one.latest)) for one in found]
    standing = _standing([min(span) for span in spans], [max(span) for span in spans], seconds_of(when))
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
    if held is None and present is not None and not is_later(present.read_at, when):
        held, word = present.held.get(slot, ()), Word.SHOWN
    return Then(
        past.model,
        slot,
        () if held is None else (Possible(held, word),),
        why=_why_released(past, slot, when) + ("." if held is not None else ": not known."),
    )


def _why_released(past: Past, slot: Slot, when: str) -> str:
    """What is said of a slot that was given up, and that git may have declared again since."""
    declared = _declared_by(past, when)
    again = declared is not None and slot in declared.held
    return "Declared again, and not known to have been applied" if again else "Not governed then"


def _declared_by(past: Past, when: str) -> Stretch | None:
    """What git had declared last by that moment."""
    return next((stretch for stretch in past.stretches if not is_later(stretch.declaring.at, when)), None)


def _why_nothing(past: Past, when: str) -> str:
    if not past.whole and past.stretches:
        return "This clone does not reach back that far: fetch all of it."
    if past.pruned and not is_later(when, past.pruned):
        return "The receipts of that time were pruned: if they were exported, pass `--receipts FOLDER`."
    return "Nothing is kept of that time."


def _possible(found: Sequence[Turn], when: str) -> tuple[Possible, ...]:
    """
    What may have been the state at a moment, by turns whose order is certain and whose times are not: clocks differ,
    and of moves by hand only the bounds are known.
    """
    if not found:
        return ()
    lows = [seconds_of(turn.earliest or turn.latest) for turn in found]
    highs = [seconds_of(turn.latest or turn.earliest) for turn in found]
    states: list[Possible] = []
    for number in _standing(lows, highs, seconds_of(when)):
        turn = found[max(number, 0)]
        if number >= 0:
            states.append(Possible(turn.after, turn.word, turn))
        elif turn.before is not None and min(lows) <= seconds_of(when):
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
    last = [*accumulate(highs, max), FOREVER]
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
    seen = [s for s in past.sightings if slot in s.after and not is_later(s.not_read_before, when)]
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
    if not there or not all(v in present.touched and not is_later(present.touched[v], when) for v in there):
        return None
    return there


def _unlike_git(past: Past, slot: Slot, when: str, possible: Sequence[Possible], say: Callable[[Held], str]) -> str:
    """What git declared of a slot at a moment, where that is not what it may have held."""
    holding = {one.held for one in possible}
    declared = _declared_by(past, when)
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
    declared = _declared_by(past, when)
    if declared is None or len({one.held for one in possible}) != 1:
        return ""
    declaring, _ = declaring_at(past, slot, declared.start)
    turn = next((one.turn for one in possible if one.turn is not None), None)
    if turn is not None and turn.turning is Turning.BY_HAND and declaring is not None:
        return "" if is_later(declaring.at, turn.earliest) else "somebody moved it by hand"
    seen = [s for s in past.sightings if slot in s.after and not is_later(s.finished_at, when)]
    if not seen or not seen[-1].blocked or seen[-1].after[slot] != possible[0].held:
        return ""
    alike = declaring is not None and declaring_at(past, slot, seen[-1].place)[0] == declaring
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
        if created and is_later(created, when):
            yield f"MLflow says that {say((version,))} was registered later, at {created}"


def _doubts(past: Past, slot: Slot, when: str, possible: Sequence[Possible], found: Sequence[Turn]) -> Iterator[str]:
    """What may have been otherwise at a moment, without anything left that says how."""
    seen = [s for s in past.sightings if slot in s.after]
    last = next((s for s in reversed(seen) if not is_later(s.finished_at, when)), None)
    following = next((s for s in seen if is_later(s.finished_at, when)), None)
    until = following.started_at if following else ""
    if past.pruned and not is_later(when, past.pruned):
        yield "receipts of that time were pruned, and may say otherwise"
    elif lacks_receipts(past, last, following, last.finished_at if last else "", until, found):
        yield "receipts of that time are missing, or are not proven, and may say otherwise"
    present = past.present
    if present is not None and last is not None and following is None and slot.stage is not None:
        # Whoever moved it away and back left no trace but this.
        differ = CLOCKS_DIFFER_BY_LESS_THAN.seconds
        for version in present.held.get(slot, ()):
            touched = present.touched.get(version, "")
            if is_later(touched, when) and is_later(touched, after(last.not_read_before, differ)):
                yield f"MLflow says that v{version} was moved or edited at {touched}: it may have been elsewhere before"
    for turn in (one.turn for one in possible):
        if turn is None or turn.declaring is None or turn.applying is None or not turn.applying.sequence:
            continue
        ahead = seconds_of(turn.declaring.at) - seconds_of(turn.latest)
        if turn.declaring.at and ahead > 0 and not is_later(when, after(turn.declaring.at, ahead)):
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
