"""What a manifest declares once what was changed by hand is kept."""

from dataclasses import replace

import pytest

from reconciler.core.desired import Declared, Manifest, Pin, Revision
from reconciler.core.diff import diff
from reconciler.core.drift import DriftStatus, ModelDrift, judge_drift
from reconciler.core.keeping import kept, newly_declared
from reconciler.core.names import Ours, Version
from reconciler.core.past import Epoch, Past
from reconciler.core.proposal import difference
from reconciler.core.snapshot import ModelSnapshot
from tests.build import CHURN, FIRST, NOW, OURS, SECOND, SOMEWHERE, A, N, P, S, have, owns, want, with_version


def drift_of(manifest: Manifest, live: ModelSnapshot) -> ModelDrift:
    """What drifted since the manifest was applied."""
    revision: Revision = NOW
    past = Past(Ours(OURS), SECOND, epochs=(Epoch(1, FIRST, 0, manifest),), places={FIRST: 1})
    return judge_drift(diff(manifest, live, revision, name=CHURN), live, revision, past, 1)


ALL = (S, P, "champion")


@pytest.mark.parametrize(
    ("before", "live", "after"),
    [
        pytest.param(
            want({P: [1]}), have({1: A, 2: P}, owner=owns(P)), want({P: [2]}), id="another version in Production"
        ),
        pytest.param(want({P: [1]}), have({1: N}, owner=owns(P)), want({P: []}), id="Production empty"),
        pytest.param(
            want({P: [1], S: [2]}),
            have({1: A, 2: P}, owner=owns(S, P)),
            want({P: [2], S: []}),
            id="promoted by hand, and Staging empty",
        ),
        pytest.param(
            want({P: [1], A: [2]}), have({1: P, 2: P}, owner=owns(P)), want({P: [1, 2]}), id="out of what was archived"
        ),
        pytest.param(
            want({P: [1]}, {"champion": 1}),
            have({1: P, 2: N}, {"champion": 2}, owner=owns(P, "champion")),
            want({P: [1]}, {"champion": 2}),
            id="an alias moved",
        ),
        pytest.param(
            want({P: [1]}, {"champion": 1}),
            have({1: P}, owner=owns(P, "champion")),
            want({P: [1]}, {"champion": None}),
            id="an alias deleted",
        ),
        pytest.param(
            want({P: [Pin(SOMEWHERE, Version(1), "run-1", "It won.")]}),
            with_version(have({1: P, 2: P}, owner=owns(P)), 1, description="It won."),
            want({P: [Pin(SOMEWHERE, Version(1), "run-1", "It won."), Pin(SOMEWHERE, Version(2), "run-2")]}),
            id="one beside it, with its run as its neighbor",
        ),
    ],
)
def test_what_was_changed_by_hand_is_declared(before: Manifest, live: ModelSnapshot, after: Manifest) -> None:
    drift = drift_of(before, live)
    assert drift.status is DriftStatus.DRIFTED

    result = kept(before, drift, live)

    assert not difference(result, after)
    assert newly_declared(before, result)
    assert drift_of(result, live).status is not DriftStatus.DRIFTED


def test_descriptions_and_tags_are_kept_as_they_are_now() -> None:
    before = want({P: [1]}, description="Ours.", tags={"tier": "1", "gone": "x"})
    live = replace(have({1: P}, owner=owns(P)), description="Theirs.", tags={"tier": "2"})

    result = kept(before, drift_of(before, live), live)

    assert result.description == Declared("Theirs.", before.description.at if before.description else SOMEWHERE)
    assert result.tag_values == {"tier": "2"}
    assert newly_declared(before, result) == ()


def test_comments_and_tags_of_versions_are_kept_as_they_are_now() -> None:
    pin = Pin(SOMEWHERE, Version(1), comment="Ours.", tags={"checked": "yes", "gone": "x"})
    before = want({P: [pin]})
    live = with_version(have({1: P}, owner=owns(P)), 1, description="Theirs.", tags={"checked": "no", "more": "y"})

    result = kept(before, drift_of(before, live), live)

    (declared,) = result.stages[P].value
    assert (declared.comment, declared.tags) == ("Theirs.", {"checked": "no"})
    assert newly_declared(before, result) == ()


def test_a_slot_that_did_not_drift_and_one_that_nobody_declares_stay_as_they_are() -> None:
    before = want({P: [1]}, {"champion": 1})
    live = have({1: A, 2: P, 3: S}, {"champion": 1, "mine": 3}, owner=owns(P, "champion"))

    result = kept(before, drift_of(before, live), live)

    assert not difference(result, want({P: [2]}, {"champion": 1}))
