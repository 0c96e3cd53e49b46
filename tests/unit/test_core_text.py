"""Text from outside, made fit to be shown."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.checks.sandbox import redacted
from reconciler.core.text import (
    amount,
    clean,
    cut,
    did_you_mean,
    plain,
    quoted,
    without_credentials,
    without_logins,
    without_secrets,
)

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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://alice:s3cret@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        (
            "fatal: 'https://a:p@ss@host/a.git/': 403, see http://b:c@d/e",
            "fatal: 'https://host/a.git/': 403, see http://d/e",
        ),
        ("git@github.com:acme/models.git", "git@github.com:acme/models.git"),
        ("https://host/a.git", "https://host/a.git"),
    ],
)
def test_user_names_and_passwords_are_cut_out_of_urls(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\n b\t\x1b[31mc", "a b [31mc"), ("Zoë", "Zoë"), ("", ""), ("x" * 400, "x" * 299 + "…")],
)
def test_text_from_outside_is_one_short_line_without_control_characters(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:p/w?@host/db?sslpassword=s3cret&x=1", "postgresql://host/db?sslpassword=…&x=1"),
        ("https://host/a.git?private_token=s3cret", "https://host/a.git?private_token=…"),
    ],
)
def test_secrets_in_the_query_of_an_address_are_cut_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("git+https://bot:t0k@n@host/r@main, ask ada@acme.example", "git+https://host/r@main, ask ada@acme.example"),
        ("see https://host/notes?by=ada@acme.example", "see https://host/notes?by=ada@acme.example"),
    ],
)
def test_what_people_wrote_loses_the_logins_of_its_urls_and_nothing_else(text: str, shown: str) -> None:
    assert without_logins(text) == shown


def test_secrets_that_are_known_are_hidden_wherever_they_stand() -> None:
    assert without_secrets("a s3cret, and as3cretb; no", ["s3cret", "no", ""]) == "a ***, and a***b; no"


def test_output_that_is_no_text_keeps_all_but_the_secrets() -> None:
    assert redacted(b"\xff s3cret\xfe \x00", ["s3cret\udcfe"]) == b"\xff *** \x00"


def test_one_is_counted_as_one() -> None:
    assert [amount(number, "model") for number in (0, 1, 2)] == ["0 models", "1 model", "2 models"]
    assert [amount(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("riskclassifer", "Did you mean `RiskClassifier`?"),
        ("caf\u00e9", "Did you mean `cafe\u0301`, which has U+0301 COMBINING ACUTE ACCENT?"),
        ("zzz", "Correct it."),
        ("x" * 1000, "Correct it."),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(typed: str, fix: str) -> None:
    assert did_you_mean(typed, ["RiskClassifier", "cafe\u0301", "x" * 999], "Correct it.") == fix
