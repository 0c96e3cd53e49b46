"""The proof that a plan carries of itself, tried on runs that break a promise each; and who asks what is live."""

from dataclasses import replace

import pytest

from reconciler.core.changes import TransitionStage
from reconciler.core.desired import Manifest
from reconciler.core.names import Slot
from reconciler.core.plan import Limits, Plan, PlanOptions, Verb, broken_promise, build_plan, effects_of
from reconciler.core.review import Review, Scope, pairings
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import ModelSnapshot
from reconciler.render.annotations import plan_annotations
from tests.build import NOW, A, N, P, S, desired, have, owns, registry, want

BROKEN: dict[str, tuple[Manifest, list[ModelSnapshot], str]] = {
    "archive, then promote": (
        want({P: [2]}),
        [have({1: P, 2: S}), have({1: A, 2: S}), have({1: A, 2: P})],
        "Production would be empty",
    ),
    "Production emptied though nothing says so": (
        want({S: [1]}),
        [have({1: P}), have({1: S})],
        "Production would be empty",
    ),
    "promote, then archive": (
        want({P: [2]}),
        [have({1: P, 2: S}), have({1: P, 2: P}), have({1: A, 2: P})],
        "Production would hold 2 versions",
    ),
    "Staging left before its successor is there": (
        want({P: [2], S: [3]}),
        [have({1: P, 2: S, 3: N}), have({1: A, 2: P, 3: N}), have({1: A, 2: P, 3: S})],
        "Staging would be empty",
    ),
    "an alias deleted and set again": (
        want({}, {"champion": 2}),
        [have({1: N, 2: N}, {"champion": 1}), have({1: N, 2: N}), have({1: N, 2: N}, {"champion": 2})],
        "@champion would be missing",
    ),
}

KEPT: dict[str, tuple[Manifest, list[ModelSnapshot]]] = {
    "one swap": (want({P: [2]}), [have({1: P, 2: S}), have({1: A, 2: P})]),
    "emptied on purpose": (want({P: []}), [have({1: P}), have({1: A})]),
    "a crowd that dwindles": (want({P: [3]}), [have({1: P, 2: P, 3: P}), have({1: A, 2: P, 3: P}), have({3: P})]),
    "versions that trade places": (
        want({P: [2], S: [1]}),
        [have({1: P, 2: S}), have({1: A, 2: P}), have({1: S, 2: P})],
    ),
    "an alias that goes": (want({}, {"old": None}), [have({1: N}, {"old": 1}), have({1: N})]),
}


@pytest.mark.parametrize(("manifest", "states", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_run_that_breaks_a_promise_is_found_out(manifest: Manifest, states: list[ModelSnapshot], said: str) -> None:
    assert said in (broken_promise(manifest, states) or "nothing")


@pytest.mark.parametrize(("manifest", "states"), KEPT.values(), ids=KEPT.keys())
def test_a_run_that_keeps_them_is_not(manifest: Manifest, states: list[ModelSnapshot]) -> None:
    assert broken_promise(manifest, states) is None


def in_staging(*versions: int) -> Plan:
    """A plan for another version in Staging, where that is what consumers depend on."""
    revision = replace(NOW, slots=SlotMap(live=(S.value,)))
    limits = PlanOptions(limits=Limits(share=0.0, models=1))
    return build_plan(desired(want({S: versions}), revision=revision), LIVE_STAGING, limits)


LIVE_STAGING = registry(have({1: S, 2: P}, owner=owns(S), placed={1: ["Staging"]}))


def test_whatever_slot_is_live_is_swapped_in_one_call_and_counts_for_the_safeties() -> None:
    plan = in_staging(2)

    assert [c.exclusive for c in plan.changes if isinstance(c, TransitionStage)] == [True]
    assert [(safety.code, "have in Staging" in safety.message) for safety in plan.safeties] == [("mass-change", True)]


def test_verbs_evidence_and_annotations_ask_which_slot_is_live() -> None:
    plan = in_staging(2)

    assert [effect.verb for effect in effects_of(plan.models[0])][-2:] == [Verb.PROMOTE, Verb.ARCHIVE]
    assert [pairing.slots for pairing in pairings(plan, LIVE_STAGING, Scope.PRODUCTION)] == [("Staging",)]
    assert "title=Staging::churn: promote v2" in plan_annotations(Review(plan, "memory://"))


def test_whatever_slot_is_live_is_not_emptied_by_what_is_no_longer_declared() -> None:
    revision = replace(NOW, slots=SlotMap(live=(S.value,)))

    plan = build_plan(desired(want({}), revision=revision), LIVE_STAGING)

    assert ["Write `Staging: []`" in blocker.fix for model in plan.models for blocker in model.blockers] == [True]


def test_a_run_that_takes_a_live_alias_away_is_found_out() -> None:
    states = [have({1: P}, {"champion": 1}), have({1: P})]

    assert broken_promise(want({}), states, frozenset({Slot("@champion")})) == "@champion would be empty for a moment"
    assert broken_promise(want({}, {"champion": None}), states, frozenset({Slot("@champion")})) is None
