"""Histories of commits, applies and moves by hand, beside a replay that knows it all: what is told is never wrong."""

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.as_of import Possible, as_of
from reconciler.core.history import (
    Applying,
    Declaring,
    Fate,
    Held,
    Names,
    Opinion,
    Past,
    Present,
    Sighting,
    Stretch,
    Turning,
    turns_of,
    within,
)
from reconciler.core.moments import after, moment_meant, rfc3339
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.renames import with_renamings
from reconciler.render.words import held as said

SLOT = Slot("Production")
START = "2026-03-28T22:00:00Z"


def at(minute: float) -> str:
    return after(START, minute * 60)


@dataclass
class Story:
    """What really happened in one slot, minute by minute, and what is kept of it."""

    declared: list[tuple[int, Held]] = field(default_factory=lambda: [(0, (Version(1),))])
    states: list[tuple[int, Held]] = field(default_factory=lambda: [(0, ())])
    sightings: list[Sighting] = field(default_factory=list[Sighting])
    refused: list[tuple[int, int, Held]] = field(default_factory=list[tuple[int, int, Held]])
    """What applies refused: when, the number of the commit, and what it declared."""
    bare: list[tuple[int, Sighting]] = field(default_factory=list[tuple[int, Sighting]])
    """Receipts of refusals that do not say what was there, behind so many others."""
    applied: list[int] = field(default_factory=list[int])
    """The minutes of the applies that left a receipt, by the true clock."""
    names: list[tuple[int, ModelRef]] = field(default_factory=lambda: [(0, ModelRef("a"))])
    """What the registry calls the model."""
    named: list[tuple[int, ModelRef]] = field(default_factory=lambda: [(0, ModelRef("a"))])
    """What git calls it, by the number of the commit."""
    handled: bool = False
    hands: int = 0
    now: int = 0

    @property
    def state(self) -> Held:
        return self.states[-1][1]

    def truth(self, minute: float) -> Held:
        return next(state for since, state in reversed(self.states) if since <= minute)

    def name(self, minute: float) -> ModelRef:
        return next(name for since, name in reversed(self.names) if since <= minute)

    def name_at(self, number: int) -> ModelRef:
        """What a commit calls the model."""
        return next(name for since, name in reversed(self.named) if since <= number)

    def commit(self, held: Held) -> None:
        self.declared.append((self.now, held))

    def rename(self, by_hand: bool) -> None:
        """By a commit, and by hand in the registry, or by the next apply."""
        self.commit(self.declared[-1][1])
        self.named.append((len(self.declared) - 1, ModelRef(f"{self.now}")))
        if by_hand:
            self.names.append((self.now, self.named[-1][1]))

    def hand(self, held: Held) -> None:
        if not self.handled and held != self.state:
            self.states.append((self.now, held))
            self.handled, self.hands = True, self.hands + 1

    def apply(self, behind: int, skew: int) -> None:
        """Of the newest commit but so many, by a clock that is wrong by so much."""
        number = max(len(self.declared) - 1 - behind, max((s.place or 0 for s in self.sightings), default=0))
        number = max(number, next((n for n, name in self.named if name == self.names[-1][1]), 0))
        held, name = self.declared[number][1], self.name_at(number)
        if held == self.state and name == self.names[-1][1]:
            return
        renamed = None
        if name != self.names[-1][1]:
            renamed = Names(self.names[-1][1], name), at(self.now + skew)
            self.names.append((self.now, name))
        self.sightings.append(
            Sighting(
                Applying(f"r{len(self.sightings)}", len(self.sightings) + 1, Commit(str(number))),
                at(self.now + skew),
                at(self.now + skew),
                {SLOT: self.state},
                {SLOT: held},
                number,
                {SLOT: at(self.now + skew)},
                name=name,
                renamed=renamed,
            )
        )
        if held != self.state:
            self.states.append((self.now, held))
        self.applied.append(self.now)
        self.handled = False

    def refuse(self, behind: int, bare: bool) -> None:
        """An apply whose gates refuse what the newest commit but so many declares."""
        number = max(len(self.declared) - 1 - behind, max((s.place or 0 for s in self.sightings), default=0))
        held = self.declared[number][1]
        if held == self.state or not held:
            return
        self.refused.append((self.now, number, held))
        there = {} if bare else {SLOT: self.state}
        name = f"x{len(self.refused)}"
        opinions = {(held[-1], SLOT): (Opinion("soak", "fail", "Too soon"),)}
        made = Sighting(Applying(name, 0), at(self.now), at(self.now), there, there, number, opinions=opinions)
        made = replace(made, blocked=True, done=False, applying=Applying(name, len(self.sightings) + 1))
        if bare:
            self.bare.append((len(self.sightings), made))
            return
        self.sightings.append(made)
        self.applied.append(self.now)
        self.handled = False

    @property
    def kept(self) -> list[Sighting]:
        found = [*self.sightings]
        for behind, made in reversed(self.bare):
            found.insert(behind, made)
        return found

    def run(self, number: int) -> range:
        """The numbers of the commits around one that declare the same without a break."""
        first = last = number
        while first and self.declared[first - 1][1] == self.declared[number][1]:
            first -= 1
        while last + 1 < len(self.declared) and self.declared[last + 1][1] == self.declared[number][1]:
            last += 1
        return range(first, last + 1)

    def past(self) -> Past:
        newest = len(self.declared) - 1
        stretches = [
            Stretch(
                newest - number, Declaring(Commit(str(number)), at(minute)), {SLOT: held}, name=self.name_at(number)
            )
            for number, (minute, held) in enumerate(self.declared)
        ]
        seen = tuple(replace(s, place=newest - (s.place or 0)) for s in self.kept)
        present = Present(at(self.now), {SLOT: self.state}, name=self.names[-1][1])
        return with_renamings(Past(self.named[-1][1], tuple(reversed(stretches)), seen, present))


HELD = st.lists(st.integers(1, 3).map(Version), max_size=2, unique=True).map(lambda held: tuple(sorted(held)))
COMMIT = st.tuples(st.just("commit"), HELD)
HAND = st.tuples(st.just("hand"), HELD)
APPLY = st.tuples(st.just("apply"), st.integers(0, 2))
RENAME = st.tuples(st.just("rename"), st.booleans())
REFUSE = st.tuples(st.just("refuse"), st.tuples(st.integers(0, 2), st.booleans()))


@st.composite
def stories(draw: st.DrawFn, *, hands: bool = True, skew: int = 0) -> Story:
    story = Story()
    happening = [COMMIT, APPLY, APPLY, RENAME, REFUSE, *([HAND] if hands else [])]
    for what, value in draw(st.lists(st.one_of(happening), min_size=1, max_size=14)):
        story.now += draw(st.integers(1, 90))
        match what, value:
            case "rename", bool(by_hand):
                story.rename(by_hand)
            case "refuse", (int(behind), bool(bare)):
                story.refuse(behind, bare)
            case "apply", int(behind):
                story.apply(behind, draw(st.integers(-skew, skew)))
            case "commit", tuple(held):
                story.commit(held)
            case _, tuple(held):
                story.hand(held)
            case _:
                pass
    story.now += 30
    return story


def possible(story: Story, minute: float) -> tuple[Possible, ...]:
    (then,) = as_of(story.past(), at(minute), said)
    return then.possible


def moments(story: Story) -> list[float]:
    """Between all that happened, from the first receipt on."""
    ends = [since for since, _ in story.states[1:]] + [story.now]
    return [m for since in ends for m in (since - 0.5, since + 0.5) if story.applied[0] < m < story.now]


@given(stories())
@settings(max_examples=400, deadline=None)
def test_what_was_there_is_always_among_what_is_told(story: Story) -> None:
    for minute in moments(story) if story.applied else ():
        assert story.truth(minute) in {one.held for one in possible(story, minute)}


@given(stories(hands=False))
@settings(max_examples=300, deadline=None)
def test_where_nobody_moves_anything_by_hand_it_is_certain(story: Story) -> None:
    for minute in moments(story) if story.applied else ():
        assert [one.held for one in possible(story, minute)] == [story.truth(minute)]


@given(stories(hands=False, skew=60))
@settings(max_examples=300, deadline=None)
def test_clocks_that_differ_by_an_hour_move_what_is_told_by_no_more_than_that(story: Story) -> None:
    first = next((minute for minute, s in zip(story.applied, story.sightings, strict=True) if s.before != s.after), 0)
    for minute in moments(story) if first else ():
        if minute < first:
            # What was only seen, and by one clock was changed before that, is not known.
            continue
        # By halves: two applies may say the same second, between which there is nothing.
        near = (one.held for d in sorted(range(-122, 123), key=abs) for one in possible(story, minute + d / 2))
        assert story.truth(minute) in near


@given(stories())
@settings(max_examples=300, deadline=None)
def test_the_turns_are_what_a_replay_of_the_whole_story_sees(story: Story) -> None:
    found = [turn for turn in turns_of(story.past(), SLOT) if turn.happened and turn.renamed is None]
    changing = [(minute, s) for minute, s in zip(story.applied, story.sightings, strict=True) if s.before != s.after]
    if not changing:
        return
    since_then, first = changing[0][0], changing[0][1].applying
    start = next(n for n, turn in enumerate(found) if turn.applying == first)
    replayed = [state for since, state in story.states if since >= since_then]

    assert [turn.after for turn in found[start:]] == replayed
    assert sum(turn.turning is Turning.BY_HAND for turn in found[start:]) <= story.hands
    for turn in found[start:]:
        if turn.applying is not None:
            number = int(turn.applying.commit or "0")
            while number and story.declared[number - 1][1] == turn.after:
                number -= 1
            assert turn.declaring is not None
            assert turn.declaring.commit == str(number)


@given(stories())
@settings(max_examples=300, deadline=None)
def test_every_other_name_is_told_and_no_name_that_a_model_did_not_have_is_certain(story: Story) -> None:
    past = story.past()
    if not story.applied:
        return

    turns = [turn for turn in turns_of(past, SLOT) if turn.renamed]
    renamed = [turn.renamed.after for turn in turns if turn.happened and turn.renamed]
    pending = [turn.renamed.after for turn in turns if turn.turning is Turning.PENDING and turn.renamed]

    assert [name for _, name in story.names[1:] if name not in renamed] == []
    assert pending == ([] if story.names[-1][1] == story.named[-1][1] else [story.named[-1][1]])
    for minute in moments(story):
        (then,) = as_of(past, at(minute), said)
        assert story.name(minute) in then.names
        assert not then.certain or then.model == story.name(minute)
    exact = {turn.earliest for turn in turns if turn.exact}
    assert {at(minute) for minute, _ in story.names[1:] if minute in story.applied} <= exact


@given(stories(hands=False))
@settings(max_examples=300, deadline=None)
def test_what_was_refused_is_told_once_with_how_it_ended(story: Story) -> None:
    found = turns_of(story.past(), SLOT)
    told = [turn for turn in found if turn.turning is Turning.REFUSED]
    wanted: dict[tuple[int, Held], list[int]] = {}
    for minute, number, held in story.refused:
        wanted.setdefault((story.run(number).start, held), []).append(minute)

    assert [(t.declaring and t.declaring.commit, t.after, t.earliest, t.latest) for t in told] == [
        (str(start), held, at(minutes[0]), at(minutes[-1])) for (start, held), minutes in wanted.items()
    ]
    for turn, ((start, held), minutes) in zip(told, wanted.items(), strict=True):
        run = story.run(start)
        came_in = [
            minute
            for minute, seen in zip(story.applied, story.sightings, strict=True)
            if not seen.blocked and seen.place in run and seen.after[SLOT] == held and minute > minutes[0]
        ]
        given_up = run.stop < len(story.declared)
        assert turn.refusal is not None
        assert turn.ending is not None
        assert turn.refusal.applies == len(minutes)
        fate = Fate.CAME_IN if came_in else Fate.GIVEN_UP if given_up else Fate.WAITING
        when = at(came_in[0]) if came_in else at(story.declared[run.stop][0]) if given_up else ""
        assert (turn.ending.fate, turn.ending.at) == (fate, when)


@given(stories(hands=False))
@settings(max_examples=300, deadline=None)
def test_what_is_told_as_not_applied_was_declared_and_was_never_there_while_it_was(story: Story) -> None:
    for turn in turns_of(story.past(), SLOT):
        if turn.turning is not Turning.NOT_APPLIED:
            continue
        assert turn.declaring is not None
        assert turn.ending is not None
        assert turn.ending.declaring is not None
        run = range(int(turn.declaring.commit), int(turn.ending.declaring.commit))
        assert run == story.run(run.start)
        assert all(seen.place not in run for seen in story.kept)
        there = [state for since, state in story.states if turn.earliest <= at(since) <= turn.latest]
        assert turn.after not in there
        assert turn.before in {state for _, state in story.states}


@given(stories(), st.integers(0, 600), st.integers(0, 600))
@settings(max_examples=200, deadline=None)
def test_what_is_left_out_by_a_span_of_time_was_not_in_it(story: Story, one: int, two: int) -> None:
    since, until = at(min(one, two)), at(max(one, two))
    found = turns_of(story.past(), SLOT)
    kept = within(found, since, until)

    for turn in found:
        if turn not in kept and turn.happened:
            assert (turn.latest or turn.earliest) < since or (turn.earliest or turn.latest) > until


def test_the_stories_are_of_every_kind() -> None:
    seen = Counter[str]()

    @given(stories())
    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    def count(story: Story) -> None:
        seen["receipts"] += len(story.applied) > 2
        seen["hands"] += story.hands > 0 and bool(story.applied)
        seen["uncertain"] += any(len(possible(story, m)) > 1 for m in (moments(story) if story.applied else ()))
        found = turns_of(story.past(), SLOT)
        seen.update(turn.turning.value for turn in found)
        seen.update(turn.ending.fate.value for turn in found if turn.ending is not None)
        seen["by a plan"] += any(sighting.renamed for sighting in story.sightings)

    count()

    assert (
        min(
            seen[kind]
            for kind in (
                *("receipts", "hands", "uncertain", "promote", "roll back", "vacate", "renamed", "by a plan"),
                *("refused", "came in", "given up", "still declared"),
            )
        )
        > 10
    ), seen
    assert seen["not applied"] > 3


@given(st.integers(0, 2_000_000_000), st.sampled_from(["Z", "+01:00", "-05:30", "+14:00"]))
def test_a_moment_is_the_same_in_every_zone(seconds: int, zone: str) -> None:
    from datetime import UTC, datetime, timedelta, timezone

    sign = -1 if zone.startswith("-") else 1
    offset = timedelta() if zone == "Z" else sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    when = datetime.fromtimestamp(seconds, UTC)
    text = when.astimezone(timezone(offset)).replace(tzinfo=None).isoformat() + zone

    assert moment_meant(text, START) == when
    named = moment_meant(f"{when.date()}{zone}", START)
    assert named is not None
    assert rfc3339(named) == rfc3339(datetime(when.year, when.month, when.day, tzinfo=UTC) - offset)


def test_a_slot_that_an_apply_saw_and_left_as_it_was_is_known_from_then_on() -> None:
    seen = Sighting(Applying("r", 1), at(1), at(2), {SLOT: ()}, {SLOT: ()}, 0)
    past = Past(ModelRef("churn"), (Stretch(0, Declaring(Commit("c")), {SLOT: ()}),), (seen,))

    assert [one.held for then in as_of(past, at(3), said) for one in then.possible] == [()]
    assert [then.possible for then in as_of(past, at(1), said)] == [()]
