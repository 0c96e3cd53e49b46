"""How numbers, sizes and times are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.figures import apart, between, duration, moment, number, percent, signed, size


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.91234567, "0.9123"),
        (0.9, "0.9"),
        (0.99999, "1"),
        (0.00001, "0.00001"),
        (0.0000123456, "0.00001235"),
        (1.5e-7, "1.5e-7"),
        (12.34567, "12.35"),
        (9999.96, "10,000"),
        (1234.5, "1234"),
        (12345.6, "12,346"),
        (-123456789.0, "-123,456,789"),
        (1e15, "1e15"),
        (5e-324, "4.941e-324"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_a_number(value: float, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize(("value", "told"), [(0.031, "+0.031"), (-2.0, "-2"), (0.0, "0"), (math.inf, "+∞")])
def test_a_difference_has_its_sign(value: float, told: str) -> None:
    assert signed(value) == told


@pytest.mark.parametrize(
    ("relative", "told"),
    [
        (0.0513, "+5.1 %"),
        (-0.05, "-5 %"),
        (0.0, "0 %"),
        (0.00042, "+0.042 %"),
        (-0.0000042, "-0.00042 %"),
        (2.5, "+250 %"),
        (12.345, "+1234 %"),
        (1234.5, "+123,450 %"),
        (math.nan, "NaN %"),
    ],
)
def test_a_relative_difference(relative: float, told: str) -> None:
    assert percent(relative) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1024**2 - 1, "1 MiB"),
        (12_900_000, "12.3 MiB"),
        (-1536, "-1.5 KiB"),
        (3 * 1024**6, "3072 PiB"),
    ],
)
def test_a_size(count: int, told: str) -> None:
    assert size(count) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (86399, "1 day"),
        (90_000, "1 day 1 h"),
        (273_600, "3 days 4 h"),
        (41 * 86400, "41 days"),
        (1e9, "11,574 days"),
        (float("inf"), "∞ s"),
        (float("nan"), "NaN s"),
        (-60, "-1 min"),
    ],
)
def test_a_duration(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_time_between_two_moments() -> None:
    assert between("2026-05-01T10:00:00Z", "2026-05-01T12:00:01.5+02:00") == 1.5
    assert between("2026-05-02T00:00:00Z", "2026-05-01T00:00:00Z") == -86400
    assert between("2026-05-02T00:00:00Z", "2026-05-01T00:00:00") is None
    assert between("", "2026-05-01T00:00:00Z") is None
    assert between("2026-05-01T00:00:00Z", "soon") is None


def test_a_moment_is_told_to_the_minute_in_utc() -> None:
    assert moment("2026-05-01T12:34:56.789+02:00") == "2026-05-01 10:34 UTC"
    assert moment("0001-01-01T00:00:00+10:00") == "0001-01-01T00:00:00+10:00"
    assert moment("") == ""


@given(st.floats())
def test_every_number_can_be_told(value: float) -> None:
    told = number(value)

    assert len(told) <= 20
    # The largest numbers are rounded to more than there is.
    if abs(value) < 1e308 and value:
        assert float(told.replace(",", "")) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "other", "told"),
    [
        (0.81, 0.85, ("0.81", "0.85")),
        (0.85, 0.85, ("0.85", "0.85")),
        (0.849999, 0.85, ("0.849999", "0.85")),
        (0.1 + 0.2, 0.3, ("0.30000000000000004", "0.3")),
    ],
)
def test_two_numbers_that_are_not_the_same_do_not_look_it(value: float, other: float, told: tuple[str, str]) -> None:
    assert apart(value, other) == told


@given(st.floats())
def test_every_duration_can_be_told(seconds: float) -> None:
    assert duration(seconds)
