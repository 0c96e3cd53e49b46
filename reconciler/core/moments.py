"""Moments as text: RFC 3339. What leaves open in which time zone it is, names no moment."""

from datetime import UTC, datetime, timedelta


def moment(text: str) -> datetime | None:
    """The moment, in UTC; None for a text that names none, or that leaves open in which time zone."""
    try:
        named = datetime.fromisoformat(text)  # noqa: TID251  # the one reader
        return named.astimezone(UTC) if named.tzinfo else None
    except (ValueError, OverflowError):
        return None


def moment_of(milliseconds: int) -> datetime | None:
    """A moment out of milliseconds since 1970, as MLflow counts; None where there is no such moment."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def rfc3339(when: datetime) -> str:
    """A moment in UTC to the second, so that times compare as their texts do: `2026-05-01T10:00:00Z`."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def after(text: str, seconds: float) -> str:
    """The moment so many seconds after another, written; empty where there is no such moment."""
    when = moment(text)
    try:
        return "" if when is None else rfc3339(when + timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return ""


def to_the_minute(when: datetime) -> str:
    """A moment as people read it, to the minute: `2026-05-01 10:00 UTC`."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'minutes')} UTC"
