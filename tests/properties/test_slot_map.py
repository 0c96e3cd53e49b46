"""What holds where aliases stand for stages: for every registry, every declaration and every way to say it."""

from dataclasses import replace
from typing import TypeAlias

from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.core.changes import SetAlias, TransitionStage, simulate, simulate_all
from reconciler.core.desired import Manifest, resolve
from reconciler.core.diff import ModelPlan, diff
from reconciler.core.entrances import occupants
from reconciler.core.names import AliasName, Slot, alias_slot
from reconciler.core.plan import broken_promise
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.core.snapshot import ModelSnapshot
from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse
from tests.build import CHURN, NOW, P, S, have
from tests.properties.states import models

CHAMPION, BEFORE = AliasName("champion"), AliasName("before")
PRODUCTION = StageAlias("Production", CHAMPION, BEFORE)
STAGING, CANARY = StageAlias("Staging", AliasName("challenger")), StageAlias("Canary", AliasName("canary"))

# Two stages of MLflow's that are live cannot trade places: no call moves both, and such a plan is refused by its proof.
MAPS = st.builds(
    SlotMap,
    st.sampled_from([(PRODUCTION, STAGING, CANARY), (CANARY, PRODUCTION, STAGING)]),
    st.booleans(),
    st.sampled_from([("Production",), ("Production", "Canary")]),
)
Case: TypeAlias = tuple[ModelSnapshot, Manifest, SlotMap]


def declared(slots: SlotMap, **versions: int | None) -> Manifest:
    """A manifest as people write it: None is `[]`."""
    lines = [f"  {stage}: {[] if version is None else version}" for stage, version in versions.items()]
    text = "\n".join([f"model: {CHURN}", "stages:", *lines]) if lines else f"model: {CHURN}"
    fragments, problems = parse([SourceFile("m.yaml", text.encode())], slots=slots)
    assert problems == ()
    return resolve(fragments)[0][CHURN]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    live, slots = draw(models()), draw(MAPS)
    names = [one.stage for one in slots.stages]
    chosen = draw(st.lists(st.sampled_from(names), unique=True))
    left = draw(st.permutations([None, *sorted(live.versions)]))
    return live, declared(slots, **{name: left.pop() for name in chosen if left}), slots


def planned(live: ModelSnapshot | None, manifest: Manifest, slots: SlotMap) -> ModelPlan:
    return diff(manifest, live, replace(NOW, slots=slots), name=CHURN, adopt=True)


@given(cases())
@example((have({1: P, 2: S}, {"champion": 1}), declared(SlotMap((PRODUCTION,)), Production=2), SlotMap((PRODUCTION,))))
def test_a_plan_is_whole_and_whoever_looks_up_a_stage_or_its_alias_finds_what_was_declared(case: Case) -> None:
    live, manifest, slots = case
    plan = planned(live, manifest, slots)
    assume(not plan.blocked)
    states = [live]
    for change in plan.changes:
        states.append(simulate(states[-1], change))

    assert planned(states[-1], manifest, slots).changes == ()
    assert broken_promise(manifest, states, slots.live_slots) is None
    for one in slots.stages:
        place = [alias_slot(one.alias), *([Slot(one.stage)] if slots.is_stage(one.stage) else [])]
        for slot in place:
            seen = [occupants(state, slot) for state in states]
            if one.stage in {d.stage for d in manifest.aliases.values()}:
                assert seen[-1] == tuple(p.version for p in (manifest.aliases[one.alias].value,) if p is not None)
            if slot.holds_one or (slot in slots.live_slots and len(seen[0]) <= 1):
                assert set(seen) <= {seen[0], seen[-1]}


@given(cases())
def test_no_stage_is_moved_where_aliases_are_all_there_is(case: Case) -> None:
    live, manifest, slots = case
    assume(slots.aliases_only)

    plan = planned(live, manifest, slots)

    assert not any(isinstance(change, TransitionStage) for change in plan.changes)


@given(cases())
def test_what_leaves_a_stage_is_kept_before_it_leaves_and_by_nothing_else(case: Case) -> None:
    live, manifest, slots = case
    plan = planned(live, manifest, slots)
    assume(not plan.blocked)
    after = simulate_all(live, plan.changes)
    assert after is not None
    was, now = live.aliases.get(CHAMPION), after.aliases.get(CHAMPION)

    left = was is not None and now is not None and was != now
    assert after.aliases.get(BEFORE) == (was if left else live.aliases.get(BEFORE))
    named = [c.alias for c in plan.changes if isinstance(c, SetAlias)]
    if BEFORE in named:
        assert named.index(BEFORE) < named.index(CHAMPION)
