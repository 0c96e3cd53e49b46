"""The proof that a plan carries of itself, tried on runs that break a promise each."""

import pytest

from reconciler.core.desired import Manifest
from reconciler.core.plan import broken_promise
from reconciler.core.snapshot import ModelSnapshot
from tests.build import A, N, P, S, have, want

BROKEN: dict[str, tuple[Manifest, list[ModelSnapshot], str]] = {
    "archive, then promote": (
        want({P: [2]}),
        [have({1: P, 2: S}), have({1: A, 2: S}), have({1: A, 2: P})],
        "Production is empty",
    ),
    "Production emptied though nothing says so": (
        want({S: [1]}),
        [have({1: P}), have({1: S})],
        "Production is empty",
    ),
    "promote, then archive": (
        want({P: [2]}),
        [have({1: P, 2: S}), have({1: P, 2: P}), have({1: A, 2: P})],
        "Production holds 2 versions",
    ),
    "Staging left before its successor is there": (
        want({P: [2], S: [3]}),
        [have({1: P, 2: S, 3: N}), have({1: A, 2: P, 3: N}), have({1: A, 2: P, 3: S})],
        "Staging is empty",
    ),
    "an alias deleted and set again": (
        want({}, {"champion": 2}),
        [have({1: N, 2: N}, {"champion": 1}), have({1: N, 2: N}), have({1: N, 2: N}, {"champion": 2})],
        "@champion is missing",
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
