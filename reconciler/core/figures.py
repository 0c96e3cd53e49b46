"""How numbers, sizes and times are written: the same by every gate and in every rendering."""

import math
from collections.abc import Mapping

from reconciler.core import moments

DIGITS = 4
SMALLEST, LARGEST = 1e-6, 1e15


def number(value: float) -> str:
    """
    Four significant digits, and every digit before the point: `0.9123`, `0.00001`, `12,346`. What is beyond ordinary
    sizes is written with an exponent.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = abs(value)
    if not SMALLEST <= size < LARGEST:
        mantissa, exponent = f"{value:.{DIGITS - 1}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}"
    # The exponent after rounding: 9.99999 has as many digits before the point as 10.
    exponent = int(f"{size:.{DIGITS - 1}e}".split("e")[1])
    text = _trimmed(f"{value:.{max(0, DIGITS - 1 - exponent)}f}")
    return f"{int(text):,}" if abs(float(text)) >= 10_000 else text


def main_figure(metrics: Mapping[str, float]) -> str:
    """The first of a run's metrics by name, in short: `f1 0.91`; nothing where there is none."""
    name, value = min(metrics.items(), default=("", 0.0))
    return f"{name} {value:.4g}" if metrics else ""


def signed(value: float) -> str:
    """A difference, with its sign: `+0.031`."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def percent(relative: float) -> str:
    """A relative difference: `+5.1 %`; one below a tenth of a percent keeps two digits."""
    value = relative * 100
    if not math.isfinite(value) or abs(value) >= 1000:
        return f"{signed(value)} %"
    if abs(value) >= 0.1:
        return f"{'+' if value > 0 else ''}{_trimmed(f'{value:.1f}')} %"
    return f"{signed(float(f'{value:.1e}'))} %"


def apart(value: float, other: float) -> tuple[str, str]:
    """Two numbers that are compared: with every digit where they would look the same and are not."""
    short = number(value), number(other)
    return (repr(value), repr(other)) if short[0] == short[1] and value != other else short


def size(count: float) -> str:
    """A number of bytes, in binary units: `12.3 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    value, unit = float(count), 0
    while abs(round(value, 1)) >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    return f"{_trimmed(f'{value:.1f}')} {units[unit]}"


def duration(seconds: float) -> str:
    """A stretch of time, by its two largest units: `0.4 s`, `3 min 5 s`, `2 h 5 min`, `3 days 4 h`, `41 days`."""
    if not math.isfinite(seconds):
        return f"{number(seconds)} s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{_trimmed(f'{seconds:.1f}')} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    hours = round(seconds / 3600)
    if hours < 10 * 24:
        return _two(hours // 24, "day" if hours < 48 else "days", hours % 24, "h")
    return f"{number(round(seconds / 86400))} days"


def between(start: str, end: str) -> float | None:
    """The seconds from one RFC 3339 time to another; None where one of them is not a time."""
    first, last = moments.moment(start), moments.moment(end)
    return None if first is None or last is None else (last - first).total_seconds()


def moment(text: str) -> str:
    """An RFC 3339 time to the minute, in UTC: `2026-05-01 10:00 UTC`; what is not a time stays as it is."""
    when = moments.moment(text)
    return text if when is None else moments.to_the_minute(when)


def later(text: str, seconds: float) -> str:
    """The moment so many seconds after an RFC 3339 time, as `moment` has it; empty where there is no such moment."""
    return moment(moments.after(text, seconds))


def _trimmed(text: str) -> str:
    trimmed = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if trimmed == "-0" else trimmed


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    parts = [f"{value} {unit}" for value, unit in ((large, large_unit), (small, small_unit)) if value]
    return " ".join(parts)
