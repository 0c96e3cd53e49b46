"""How long a version has been in a stage, by our own record of how it came there."""

from datetime import UTC, datetime, timedelta

from reconciler.core.gate import Stay
from reconciler.core.moments import moment
from reconciler.core.names import Slot
from reconciler.core.snapshot import VersionSnapshot

CALLS_TAKE_LESS_THAN = timedelta(minutes=5)
"""
What may lie between the time that a placement is recorded with and the move itself, with what two machines' clocks
differ by. A later change of the version may have been a move out of the stage and back.
"""


def stay_in(stage: Slot, version: VersionSnapshot) -> Stay | str:
    """
    Since when the version has been in the stage without a break, or why that is not known. A version that was changed
    after we placed it is counted from that change on: MLflow does not tell a new description from a move out and back.
    """
    if version.stage != stage:
        return Stay(None)
    placement = version.provenance.get(stage)
    if placement is None:
        return f"nobody recorded when v{version.version} entered {stage}"
    placed, touched = moment(placement.applied_at), _moment_of(version.updated_at)
    if placed is None:
        return f"the record of when v{version.version} entered {stage} cannot be read: `{placement.applied_at[:40]}`"
    if touched is None:
        return f"the registry gives no time at which v{version.version} can have been changed: {version.updated_at}"
    since = touched if touched > placed + CALLS_TAKE_LESS_THAN else placed
    return Stay(since.isoformat(timespec="seconds").replace("+00:00", "Z"))


def _moment_of(milliseconds: int) -> datetime | None:
    """A moment out of milliseconds since 1970; 0, where a registry says nothing, is earlier than any placement."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
