"""Moments as text: RFC 3339. What leaves open in which time zone it is, names no moment."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache


@lru_cache(4096)
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


def is_later(text: str, other: str) -> bool:
    """Whether a moment is after another one; a text that is none is before every other."""
    one, two = moment(text), moment(other)
    return one is not None and (two is None or one > two)


def seconds_of(text: str) -> float:
    """A moment in seconds since 1970; 0 for a text that is none."""
    when = moment(text)
    return 0.0 if when is None else when.timestamp()


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


def to_the_second(when: datetime) -> str:
    """The same where the order of two moments may matter: `2026-05-01 10:00:27 UTC`; full minutes without seconds."""
    whole = when.second == when.microsecond == 0
    return (
        to_the_minute(when) if whole else f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"
    )


_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(Z|[+-]\d{2}:\d{2})?", re.ASCII)
_AGO = re.compile(r"(\d{1,6}) ?(s|sec|second|m|min|minute|h|hour|d|day|w|week)s?(?: ago)?", re.ASCII | re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_meant(text: str, now: str) -> datetime | None:
    """
    The moment that somebody names at another one: RFC 3339; a date, whose first moment in UTC, or in the zone behind
    it, is meant; `now`, `yesterday` (24 hours ago), or `3 days ago`. None for anything else, and for a time that leaves
    open in which zone it is.
    """
    text = text.strip()
    if found := _DATE.fullmatch(text):
        return moment(f"{found[1]}T00:00:00{found[2] or 'Z'}")
    if text.lower() in {"now", "today", "yesterday"}:
        named = moment(now)
        if named is None or text.lower() == "now":
            return named
        return moment(f"{named.date()}T00:00:00Z") if text.lower() == "today" else named - timedelta(days=1)
    if found := _AGO.fullmatch(text):
        return moment(after(now, -int(found[1]) * _UNITS[found[2][0].lower()]))
    return moment(text)
