"""Since when a version is in a stage, by our record and by the time of its last change."""

from dataclasses import replace

import pytest

from reconciler.core.gate import Stay
from reconciler.core.moments import moment
from reconciler.core.names import AliasName, Slot, Stage, Version
from reconciler.core.snapshot import ModelSnapshot, Placement, VersionSnapshot
from reconciler.core.stays import stay_in
from tests.build import CHURN, FIRST, OURS, N, P, S


def milliseconds(time: str) -> int:
    when = moment(time)
    assert when is not None
    return int(when.timestamp() * 1000)


def placed(slot: Slot, applied_at: str, *, stage: Stage = S, touched: str = "") -> VersionSnapshot:
    """Version 5, which our record shows to have been put into a slot."""
    placement = Placement(slot, OURS, FIRST, "None", applied_at=applied_at)
    updated_at = milliseconds(touched) if touched else 0
    return VersionSnapshot(Version(5), stage, provenance={slot: placement}, updated_at=updated_at)


def of(version: VersionSnapshot) -> ModelSnapshot:
    return ModelSnapshot(CHURN, versions={version.version: version})


CHAMPION = Slot("@champion")
PLACED = "2026-05-01T10:00:00Z"

KNOWN: dict[str, tuple[VersionSnapshot, str | None]] = {
    "it is not there": (placed(S.slot, PLACED, stage=P), None),
    "it was never there": (VersionSnapshot(Version(5)), None),
    "our move is the last change": (placed(S.slot, PLACED, touched="2026-05-01T10:00:02Z"), PLACED),
    "the other clock is behind": (placed(S.slot, PLACED, touched="2026-05-01T09:58:00Z"), PLACED),
    "other calls of the same apply": (placed(S.slot, PLACED, touched="2026-05-01T10:05:00Z"), PLACED),
    "changed later": (placed(S.slot, PLACED, touched="2026-05-08T12:30:00Z"), "2026-05-08T12:30:00Z"),
    "a registry that gives no times": (placed(S.slot, PLACED), PLACED),
    "another zone": (placed(S.slot, "2026-05-01T12:00:00+02:00"), PLACED),
    "fractions of seconds": (placed(S.slot, "2026-05-01T10:00:00.250Z"), PLACED),
}


@pytest.mark.parametrize(("version", "since"), KNOWN.values(), ids=KNOWN.keys())
def test_a_stay_counts_from_our_move_or_from_any_later_change(version: VersionSnapshot, since: str | None) -> None:
    assert stay_in(S.slot, Version(5), of(version), None) == Stay(since)


NOT_KNOWN: dict[str, VersionSnapshot] = {
    "a registry without times, and no record": VersionSnapshot(Version(5), S),
    "a record of another slot": placed(CHAMPION, PLACED),
    "a record without a time": placed(S.slot, ""),
    "a record without a time zone": placed(S.slot, "2026-05-01T10:00:00"),
    "a record with no time": placed(S.slot, "last week"),
    "a time that no calendar has in UTC": placed(S.slot, "0001-01-01T00:00:00+10:00"),
    "a last change beyond all calendars": replace(placed(S.slot, PLACED), updated_at=10**18),
}


@pytest.mark.parametrize("version", NOT_KNOWN.values(), ids=NOT_KNOWN.keys())
def test_a_stay_that_is_not_known_says_why(version: VersionSnapshot) -> None:
    stay = stay_in(S.slot, Version(5), of(version), None)

    assert isinstance(stay, str)
    assert "the registry has no valid time for the move of v5" in stay


def test_what_a_hand_moved_stays_since_mlflow_says_so() -> None:
    version = VersionSnapshot(Version(5), S, updated_at=milliseconds(PLACED))

    assert stay_in(S.slot, Version(5), of(version), None) == Stay(PLACED)


def test_only_a_record_says_since_when_an_alias_names_a_version() -> None:
    unrecorded, recorded = VersionSnapshot(Version(5)), placed(CHAMPION, PLACED, stage=N)

    def named(version: VersionSnapshot) -> Stay | str:
        live = replace(of(version), aliases={AliasName("champion"): Version(5)})
        return stay_in(CHAMPION, Version(5), live, None)

    assert "no valid record says when @champion was set to v5" in str(named(unrecorded))
    assert named(recorded) == Stay(PLACED)


def test_the_time_of_the_last_change_makes_no_version_another_one() -> None:
    version = placed(S.slot, PLACED)

    assert replace(version, updated_at=1) == version
