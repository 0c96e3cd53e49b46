"""Which version a proposal means, and the way back."""

import pytest

from reconciler.core.desired import Hold, Manifest
from reconciler.core.names import Commit, Ours, Slot, Version
from reconciler.core.past import Epoch, Past
from reconciler.core.proposal import Choice, way_back
from reconciler.core.snapshot import ModelSnapshot
from reconciler.errors import ReconcilerError
from tests.build import OURS, SOMEWHERE, A, P, S, have, want

LIVE = have({1: A, 2: P, 3: S, 4: S}, {"champion": 2})
PRODUCTION = Slot("Production")


@pytest.mark.parametrize(
    ("choice", "version"),
    [
        (Choice(version=Version(1)), 1),
        (Choice(slot=PRODUCTION), 2),
        (Choice(slot=Slot("@champion")), 2),
        (Choice(run_id="run-3"), 3),
        (Choice(latest=True), 4),
    ],
)
def test_a_choice_means_one_version(choice: Choice, version: int) -> None:
    assert choice.among(LIVE) == version


@pytest.mark.parametrize(
    ("choice", "live", "message"),
    [
        (Choice(version=Version(9)), LIVE, "churn has no version 9; the newest is v4. Name one that it has."),
        (Choice(slot=Slot("Staging")), LIVE, "churn has more than one version in Staging: v3, v4. Name the one"),
        (Choice(run_id="run-9"), LIVE, "churn has no version from the run run-9; the newest is v4."),
        (Choice(latest=True), have({}), "churn has no version; it has no versions."),
    ],
)
def test_a_choice_that_means_none_or_several_is_refused(choice: Choice, live: ModelSnapshot, message: str) -> None:
    with pytest.raises(ReconcilerError) as refused:
        choice.among(live)

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("given", [{}, {"latest": True, "version": Version(1)}])
def test_exactly_one_way_to_say_it_is_given(given: dict[str, object]) -> None:
    with pytest.raises(ReconcilerError, match=r"none was named, or more than one\. Give a version number"):
        Choice(**given)  # pyright: ignore[reportArgumentType]


def past(*versions: int) -> Past:
    """A slot that held these versions, the newest first."""
    return Past(
        Ours(OURS),
        epochs=tuple(
            Epoch(place, Commit(f"{version:040}"), 100 - place, want({P: [version]}))
            for place, version in enumerate(versions)
        ),
    )


def held(manifest: Manifest, version: int) -> Manifest:
    hold = Hold(Version(version), "It leaks personal data.", SOMEWHERE)
    return Manifest(manifest.model, stages=manifest.stages, holds=(hold,))


def test_the_way_back_is_the_version_that_was_declared_before() -> None:
    version, pin = way_back(past(4, 3, 2), want({P: [4]}), LIVE, PRODUCTION, "2026-01-01T00:00:00Z")

    assert (version, pin.version) == (3, 3)


def test_a_version_that_is_gone_or_held_is_not_gone_back_to() -> None:
    manifest = held(want({P: [4]}), 3)

    assert way_back(past(4, 7, 3, 2), manifest, LIVE, PRODUCTION, "2026-01-01T00:00:00Z")[0] == 2
    with pytest.raises(ReconcilerError, match=r"v7 is not in the registry anymore; v3 is held: It leaks personal"):
        way_back(past(4, 7, 3), manifest, LIVE, PRODUCTION, "2026-01-01T00:00:00Z")


def test_a_model_without_a_past_has_nothing_to_go_back_to() -> None:
    with pytest.raises(ReconcilerError, match=r"no commit of the branch declared another version before\. Name one"):
        way_back(past(4, 4), want({P: [4]}), LIVE, PRODUCTION, "2026-01-01T00:00:00Z")


def test_what_was_rolled_back_from_is_not_gone_forward_to() -> None:
    with pytest.raises(ReconcilerError, match="declared another version before"):
        way_back(past(2, 3, 2), want({P: [2]}), LIVE, PRODUCTION, "2026-01-01T00:00:00Z")

    assert way_back(past(3, 4, 3, 2), want({P: [3]}), LIVE, PRODUCTION, "2026-01-01T00:00:00Z")[0] == 2
