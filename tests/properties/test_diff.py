"""What holds for every state and every wish."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reconciler.core.changes import TransitionStage, simulate, simulate_all
from reconciler.core.desired import Manifest
from reconciler.core.diff import ModelPlan, diff
from reconciler.core.names import ACTIVE_STAGES, AliasName, Stage, Version
from reconciler.core.plan import broken_promise
from reconciler.core.snapshot import ModelSnapshot
from tests.build import CHURN, NOW, THEIRS, P, S, have, owns, want

K = TypeVar("K")
V = TypeVar("V")

NUMBERS = st.integers(1, 6)
ALIASES = st.sampled_from(["champion", "challenger", "shadow"])
STAGES = st.sampled_from(list(Stage))
ACTIVE = st.sampled_from(ACTIVE_STAGES)


@st.composite
def models(draw: st.DrawFn) -> ModelSnapshot:
    """A model in any state that a registry can be in, whoever brought it there."""
    stages = draw(st.dictionaries(NUMBERS, STAGES, min_size=1, max_size=6))
    numbers = st.sampled_from(sorted(stages))
    slots = st.lists(st.one_of(ACTIVE, ALIASES), unique=True, max_size=4)
    owner = draw(st.one_of(st.none(), slots.map(lambda s: owns(*s)), slots.map(lambda s: owns(*s, by=THEIRS))))
    placed = draw(st.dictionaries(numbers, st.lists(STAGES.map(str), unique=True, max_size=3)))
    return have(stages, draw(st.dictionaries(ALIASES, numbers)), owner=owner, placed=placed)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any declaration that does not contradict itself."""
    placed = draw(st.dictionaries(NUMBERS, STAGES, max_size=4))
    declared = {*placed.values(), *draw(st.sets(ACTIVE))}
    stages = {stage: sorted(v for v, s in placed.items() if s is stage) for stage in sorted(declared)}
    return want(stages, draw(st.dictionaries(ALIASES, st.one_of(st.none(), NUMBERS))))


def planned(live: ModelSnapshot | None, manifest: Manifest | None) -> ModelPlan:
    return diff(manifest, live, NOW, name=CHURN, adopt=True)


def run(live: ModelSnapshot, plan: ModelPlan) -> list[ModelSnapshot]:
    """The state at the start and after each call."""
    states = [live]
    for change in plan.changes:
        states.append(simulate(states[-1], change))
    return states


def backwards(mapping: Mapping[K, V]) -> dict[K, V]:
    return dict(reversed(list(mapping.items())))


def slots(live: ModelSnapshot | None) -> object:
    """What consumers and reviewers see, without our records."""
    assert live is not None
    return {v.version: v.stage for v in live.versions.values()}, dict(live.aliases)


@given(models(), manifests())
def test_applying_and_planning_again_leaves_nothing(live: ModelSnapshot, manifest: Manifest) -> None:
    plan = planned(live, manifest)
    assume(not plan.blocked)

    after = simulate_all(live, plan.changes)

    assert planned(after, manifest) == ModelPlan(CHURN)


@given(models(), manifests())
@example(have({1: P, 2: S}), want({P: [2], S: [1]}))
def test_production_is_never_empty_and_never_double_on_the_way(live: ModelSnapshot, manifest: Manifest) -> None:
    states = run(live, planned(live, manifest))

    assert broken_promise(manifest, states) is None
    occupied = [bool(state.occupants(P)) for state in states]
    assert all(occupied) or not (occupied[0] and occupied[-1])
    if P in manifest.stages and len(manifest.stages[P].value) == 1:
        assert all(len(state.occupants(P)) <= max(1, len(live.occupants(P))) for state in states)


@given(models(), manifests())
def test_staging_is_emptied_on_the_way_only_to_break_a_cycle(live: ModelSnapshot, manifest: Manifest) -> None:
    states = run(live, planned(live, manifest))

    before, after = live.occupants(S), states[-1].occupants(S)
    entrants = [v for v in after if v not in before]
    if before and after and not all(live.versions[v].stage is P for v in entrants):
        assert all(state.occupants(S) for state in states)
    if before and after and not entrants:
        assert all(state.occupants(S) for state in states)


@given(models(), manifests())
def test_an_alias_that_is_there_before_and_after_is_there_throughout(live: ModelSnapshot, manifest: Manifest) -> None:
    states = run(live, planned(live, manifest))

    for alias in live.aliases.keys() & states[-1].aliases.keys():
        assert all(alias in state.aliases for state in states)


@given(models(), manifests())
def test_what_is_not_governed_is_untouched(live: ModelSnapshot, manifest: Manifest) -> None:
    owned = live.owned_by(NOW.ours)
    declared = {pin.version for stage in manifest.stages.values() for pin in stage.value}
    governed = {*manifest.stages, *(owned.stages if owned else ())}
    names = {*manifest.aliases, *(owned.aliases if owned else ())}

    after = simulate_all(live, planned(live, manifest).changes)

    assert after is not None
    assert after.versions.keys() == live.versions.keys()
    assert after.tags == live.tags
    for number, version in live.versions.items():
        if number not in declared and version.stage not in governed:
            assert after.versions[number].stage is version.stage
    for alias in live.aliases.keys() - names:
        assert after.aliases[alias] == live.aliases[alias]


@given(models(), manifests(), st.data())
def test_a_crash_between_any_two_calls_is_mended_by_planning_again(
    live: ModelSnapshot, manifest: Manifest, data: st.DataObject
) -> None:
    plan = planned(live, manifest)
    states = run(live, plan)
    crashed = data.draw(st.sampled_from(states))

    again = run(crashed, planned(crashed, manifest))

    assert slots(again[-1]) == slots(states[-1])
    assert broken_promise(manifest, again) is None


@given(models(), manifests(), manifests(), st.data())
@settings(max_examples=300)
def test_there_and_back_leaves_nothing_behind_even_after_a_crash(
    live: ModelSnapshot, first: Manifest, second: Manifest, data: st.DataObject
) -> None:
    there = simulate_all(live, planned(live, first).changes)
    assume(there is not None and not planned(live, first).blocked)
    assert there is not None
    away = data.draw(st.sampled_from(run(there, planned(there, second))))
    plan = planned(away, first)
    # Production that only the second commit declared is not emptied without a word; that refusal has its own test.
    assume(not plan.blocked)

    back = simulate_all(away, plan.changes)

    assert back is not None
    for stage in ACTIVE_STAGES:
        if stage in first.stages:
            assert back.occupants(stage) == there.occupants(stage)
        elif stage in second.stages:
            assert set(back.occupants(stage)) <= set(there.occupants(stage))
    for alias in {*first.aliases, *second.aliases}:
        assert back.aliases.get(alias) == (
            there.aliases.get(alias) if alias in first.aliases else _kept(alias, second, there, away)
        )


def _kept(alias: AliasName, second: Manifest, there: ModelSnapshot, away: ModelSnapshot) -> Version | None:
    """An alias that only the second commit declared is gone, unless that commit was broken off before it claimed it."""
    owned = away.owned_by(NOW.ours)
    return None if owned and alias in owned.aliases else there.aliases.get(alias)


@given(models(), manifests())
def test_the_order_in_which_things_are_listed_does_not_matter(live: ModelSnapshot, manifest: Manifest) -> None:
    shuffled = replace(
        live,
        versions=backwards(live.versions),
        aliases=backwards(live.aliases),
    )
    turned = replace(
        manifest,
        stages=backwards(manifest.stages),
        aliases=backwards(manifest.aliases),
    )

    assert planned(shuffled, turned).changes == planned(live, manifest).changes


@given(models(), manifests())
def test_a_swap_is_never_asked_for_where_mlflow_refuses_it(live: ModelSnapshot, manifest: Manifest) -> None:
    for change in planned(live, manifest).changes:
        if isinstance(change, TransitionStage):
            assert change.before is not change.after
            assert change.after.active or not change.exclusive
