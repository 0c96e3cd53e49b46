"""What the properties draw: models and declarations that most often do something, and odd ones that rarely can."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import hypothesis.strategies as st

from reconciler.core.desired import Manifest, Pin
from reconciler.core.names import ACTIVE_STAGES, ModelRef, Stage, Version
from reconciler.core.snapshot import ModelSnapshot
from tests.build import NOW, SOMEWHERE, THEIRS, A, N, P, S, have, owns, want, with_version

ALIASES = st.sampled_from(["champion", "challenger", "shadow"])
STAGES = st.sampled_from(list(Stage))
ACTIVE = st.sampled_from(ACTIVE_STAGES)
SLOTS = st.lists(st.one_of(ACTIVE, ALIASES), unique=True, max_size=4)
OWNERS = st.one_of(st.none(), SLOTS.map(lambda slots: owns(*slots)), SLOTS.map(lambda slots: owns(*slots, by=THEIRS)))

TAGS = st.one_of(
    st.just(dict[str, str]()), st.dictionaries(st.sampled_from(["checked", "risk"]), st.sampled_from(["yes", "no"]))
)
TAGGED = st.one_of(st.just(list[str]()), st.lists(st.sampled_from(["checked", "risk", "gone"]), unique=True))

FEW = st.sampled_from([1, 1, 1, 1, 0, 2])
"""How many versions are in a stage, or are declared for it: most often one."""


# What is drawn from is made once: to make it takes as long as to draw.
COUNTS = st.integers(2, 6)
ELSEWHERE = st.sampled_from([N, S, A])
PLACES = st.lists(STAGES.map(str), unique=True, max_size=3)
CALLED = st.sampled_from([None, None, None, ModelRef("attrition")])
OFTEN = st.sampled_from([True, True, True, True, False])
MOSTLY = st.sampled_from([True, True, True, False])
OTHERS = st.sets(st.sampled_from([S, A, N]))


@cache
def numbers_of(count: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(1, count + 1))


@cache
def orders(count: int) -> st.SearchStrategy[list[Version]]:
    return st.permutations([Version(number) for number in range(1, count + 1)])


@cache
def placed_among(count: int) -> st.SearchStrategy[dict[int, list[str]]]:
    return st.dictionaries(numbers_of(count), PLACES)


@cache
def aliases_of(count: int) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(ALIASES, numbers_of(count))


@cache
def declared_aliases_of(count: int) -> st.SearchStrategy[dict[str, int | None]]:
    return st.dictionaries(ALIASES, st.one_of(st.none(), numbers_of(count)))


@st.composite
def models(draw: st.DrawFn) -> ModelSnapshot:
    """A model of several versions, whoever brought them where they are; some are to be renamed."""
    count = draw(COUNTS)
    order = draw(orders(count))
    crowd = draw(FEW)
    stages: dict[int, Stage] = {number: P if at < crowd else draw(ELSEWHERE) for at, number in enumerate(order)}
    placed = draw(placed_among(count))
    live = have(stages, draw(aliases_of(count)), owner=draw(OWNERS), placed=placed)
    number = draw(numbers_of(count))
    live = replace(live, called=draw(CALLED))
    return with_version(live, number, tags=draw(TAGS), tagged=frozenset(draw(TAGGED)))


@st.composite
def manifests(draw: st.DrawFn, live: ModelSnapshot) -> Manifest:
    """A declaration of versions that the model has, each in one stage at most; most often not where it is now."""
    left = draw(orders(len(live.versions)))
    if draw(OFTEN):
        left = sorted(left, key=lambda number: number in live.occupants(P))
    owned = live.owned_by(NOW.ours)
    # Production is declared where we govern it: that it is not emptied without a word is a refusal with its own tests.
    governed = bool(owned and P in owned.stages) or draw(MOSTLY)
    tags = draw(TAGS)
    stages: dict[Stage, Sequence[Pin]] = {}
    for stage in (P, *draw(OTHERS)):
        if stage is P and not governed:
            left = [number for number in left if number not in live.occupants(P)]
            continue
        count = draw(FEW)
        stages[stage] = [Pin(SOMEWHERE, number, tags=tags if stage is P else {}) for number in sorted(left[:count])]
        left = left[count:]
    return want(stages, draw(declared_aliases_of(len(live.versions))))


CHANGES = models().flatmap(lambda live: st.tuples(st.just(live), manifests(live)))
"""A model, and what is declared of it."""

THERE_AND_BACK = models().flatmap(lambda live: st.tuples(st.just(live), manifests(live), manifests(live)))
"""A model, and two declarations of it, one after the other."""

NUMBERS = st.integers(1, 6)


@st.composite
def odd_models(draw: st.DrawFn) -> ModelSnapshot:
    """A model in any state that a registry can be in."""
    stages = draw(st.dictionaries(NUMBERS, STAGES, min_size=1, max_size=6))
    numbers = st.sampled_from(sorted(stages))
    placed = draw(st.dictionaries(numbers, st.lists(STAGES.map(str), unique=True, max_size=3)))
    return have(stages, draw(st.dictionaries(ALIASES, numbers)), owner=draw(OWNERS), placed=placed)


@st.composite
def odd_manifests(draw: st.DrawFn) -> Manifest:
    """Any declaration that does not contradict itself: of versions that are not there, too."""
    placed = draw(st.dictionaries(NUMBERS, STAGES, max_size=4))
    declared = {*placed.values(), *draw(st.sets(ACTIVE))}
    stages = {stage: sorted(v for v, s in placed.items() if s is stage) for stage in sorted(declared)}
    return want(stages, draw(st.dictionaries(ALIASES, st.one_of(st.none(), NUMBERS))))


ODD = st.tuples(odd_models(), odd_manifests())
"""A model and a declaration that have little to do with each other. Four in ten are blocked."""
