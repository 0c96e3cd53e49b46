"""Moments as text: RFC 3339, and never without a time zone."""

from datetime import UTC, datetime


def moment(text: str) -> datetime | None:
    """The moment, in UTC; None for a text that names none, or that leaves open in which time zone."""
    try:
        named = datetime.fromisoformat(text)
        return named.astimezone(UTC) if named.tzinfo else None
    except (ValueError, OverflowError):
        return None


def moment_of(milliseconds: int) -> datetime | None:
    """A moment out of milliseconds since 1970, as MLflow counts; None where there is no such moment."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
