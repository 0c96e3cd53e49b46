"""Whatever time is written, it is read as the same moment, or as none: never as another one."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.figures import between, later
from reconciler.core.figures import moment as told
from reconciler.core.moments import after, moment, moment_of, rfc3339, to_the_minute

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)  # noqa: DTZ001  # the zones are drawn
TEXTS = st.text("0123456789-:.+TZW ", max_size=30)


@given(TIMES)
def test_a_time_is_read_as_what_was_written_whatever_its_zone(when: datetime) -> None:
    assert moment(when.isoformat()) == when
    assert moment(rfc3339(when)) == when.replace(microsecond=0)


@given(st.datetimes())
def test_a_time_without_a_zone_is_no_moment_for_anybody(when: datetime) -> None:
    text = when.isoformat()

    assert moment(text) is None
    assert between(text, text) is None
    assert after(text, 1) == later(text, 1) == ""
    assert told(text) == text


@given(TEXTS | st.datetimes().map(lambda when: f"{when.isoformat()}-23:59"))
def test_a_text_is_the_moment_that_datetime_makes_of_it_or_none(text: str) -> None:
    found = moment(text)

    assert found is None or (found == datetime.fromisoformat(text) and found.tzinfo is UTC)  # noqa: TID251


@given(TIMES, TIMES)
def test_times_compare_as_their_texts_do(first: datetime, second: datetime) -> None:
    assert (rfc3339(first) <= rfc3339(second)) == (
        first.astimezone(UTC).replace(microsecond=0) <= second.astimezone(UTC).replace(microsecond=0)
    )
    assert (to_the_minute(first) <= to_the_minute(second)) or rfc3339(first) > rfc3339(second)


@given(TIMES, st.floats())
def test_later_is_as_many_seconds_later_or_nothing(when: datetime, seconds: float) -> None:
    found = moment(after(when.isoformat(), seconds))

    assert found is None or abs((found - when).total_seconds() - seconds) <= 1


@given(st.integers())
def test_milliseconds_are_a_moment_or_none(milliseconds: int) -> None:
    when = moment_of(milliseconds)

    assert when is None or abs(when.timestamp() * 1000 - milliseconds) < 1
