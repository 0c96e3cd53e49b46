"""Text from outside, made fit to be shown."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.render.clean import clean, cut, quoted

ODD = st.text(st.characters() | st.sampled_from("אبa1- \u2066\u2068\u2069\u202e\ufe0f\u034f"), max_size=30)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("churn", "churn"),
        ("Müller_v2", "Müller_v2"),
        ("信用スコア", "信用スコア"),
        ("a\u202eb", r"a\u202eb"),
        ("a\ufe0fb", r"a\ufe0fb"),
        ("a\u034fb", r"a\u034fb"),
        ("a\u3164b", r"a\u3164b"),
        ("a\U000e0061b", r"a\U000e0061b"),
        ("⚠\ufe0f", "⚠\ufe0f"),
        ("a\u2069b", r"a\u2069b"),
        ("א\u2069 v4", "\u2068א\u2069\\u2069 v4"),
    ],
)
def test_what_a_reader_would_not_see_is_written_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@א: v4 -> v5", "@\u2068א\u2069: v4 -> v5"),
        ("סיכון-אשראי v2", "\u2068סיכון-אשראי\u2069 v2"),
        ("مخاطر", "\u2068مخاطر\u2069"),
    ],
)
def test_a_name_from_right_to_left_moves_nothing_around_it(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(ODD)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(ODD, st.integers(2, 30))
def test_no_isolate_is_left_open_and_nothing_from_right_to_left_is_outside_of_one(text: str, longest: int) -> None:
    for shown in (clean(text), cut(clean(text), longest), quoted(text)):
        outside = re.sub("\u2068[^\u2068\u2069]*\u2069", "", shown)

        assert not {"R", "AL", "FSI", "PDI"} & {unicodedata.bidirectional(c) for c in outside}
