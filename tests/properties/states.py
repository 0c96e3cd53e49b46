"""What the properties draw: models and declarations that most often do something, and odd ones that rarely can."""

from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st

from reconciler.core.desired import Manifest, Pin
from reconciler.core.names import ACTIVE_STAGES, ModelRef, Stage
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


@st.composite
def models(draw: st.DrawFn) -> ModelSnapshot:
    """A model of several versions, whoever brought them where they are; some are to be renamed."""
    numbers = range(1, draw(st.integers(2, 6)) + 1)
    order = draw(st.permutations(numbers))
    crowd = draw(FEW)
    elsewhere = st.sampled_from([N, S, A])
    stages = {number: P if at < crowd else draw(elsewhere) for at, number in enumerate(order)}
    named = st.sampled_from(numbers)
    placed = draw(st.dictionaries(named, st.lists(STAGES.map(str), unique=True, max_size=3)))
    live = have(stages, draw(st.dictionaries(ALIASES, named)), owner=draw(OWNERS), placed=placed)
    number = draw(named)
    live = replace(live, called=draw(st.sampled_from([None, None, None, ModelRef("attrition")])))
    return with_version(live, number, tags=draw(TAGS), tagged=frozenset(draw(TAGGED)))


@st.composite
def manifests(draw: st.DrawFn, live: ModelSnapshot) -> Manifest:
    """A declaration of versions that the model has, each in one stage at most; most often not where it is now."""
    left = draw(st.permutations(sorted(live.versions)))
    if draw(st.sampled_from([True, True, True, True, False])):
        left = sorted(left, key=lambda number: number in live.occupants(P))
    owned = live.owned_by(NOW.ours)
    # Production is declared where we govern it: that it is not emptied without a word is a refusal with its own tests.
    governed = bool(owned and P in owned.stages) or draw(st.sampled_from([True, True, True, False]))
    tags = draw(st.fixed_dictionaries(dict.fromkeys(live.versions, TAGS)))
    tags = draw(TAGS)
    stages: dict[Stage, Sequence[Pin]] = {}
    for stage in (P, *draw(st.sets(st.sampled_from([S, A, N])))):
        if stage is P and not governed:
            left = [number for number in left if number not in live.occupants(P)]
            continue
        count = draw(FEW)
        stages[stage] = [Pin(SOMEWHERE, number, tags=tags if stage is P else {}) for number in sorted(left[:count])]
        left = left[count:]
    named = st.one_of(st.none(), st.sampled_from(sorted(live.versions)))
    return want(stages, draw(st.dictionaries(ALIASES, named)))


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
