"""Pages of a search, and the token of the next one, which is known before a page is read."""

import json
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.registry.pages import Page, answers, pages

ROWS = "registered_models"
WITHIN = 30.0

TEXTS = st.text(st.sampled_from('"\\{}[]:,abc= \n') | st.characters(codec="utf-8"), max_size=20)
TOKENS = st.none() | st.sampled_from(["", "eyJvZmZzZXQiOiAyNTB9", 'a"b', "next_page_token"]) | TEXTS
HOSTILE = st.sampled_from(
    ['"next_page_token": "evil"}', 'x", "next_page_token": "evil"}', '\\"next_page_token\\": "evil"}']
)
LEAVES = TEXTS | HOSTILE | st.integers()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2))
MODELS = st.lists(st.dictionaries(TEXTS | st.just("next_page_token"), VALUES, max_size=3), max_size=3)


def page(text: str) -> Page:
    return Page("/search", text.encode(), ROWS, lambda row: row)


@given(MODELS, TOKENS, st.booleans(), st.sampled_from([None, 1]))
def test_the_token_is_that_of_the_page_wherever_it_stands(
    rows: list[Any], token: str | None, first: bool, indent: int | None
) -> None:
    members = [(ROWS, rows), *([] if token is None else [("next_page_token", token)])]
    text = json.dumps(dict(reversed(members) if first else members), indent=indent)

    found = page(text)

    assert found.token == token
    assert list(found) == rows


def test_as_mlflow_writes_it_the_token_is_known_before_the_rows_are_read() -> None:
    found = page(json.dumps({ROWS: [{"name": "churn"}], "next_page_token": "eyJvZmZzZXQiOiAyNTB9"}, indent=2))

    assert (found.token, found.unread) == ("eyJvZmZzZXQiOiAyNTB9", True)


def test_the_next_page_is_on_its_way_while_one_is_read() -> None:
    second_asked = Event()

    def row(told: Any) -> Any:
        assert second_asked.wait(WITHIN)
        return told

    def search(_clause: str | None, token: str | None) -> Page:
        if token is None:
            return Page("/search", json.dumps({ROWS: [1], "next_page_token": "second"}).encode(), ROWS, row)
        second_asked.set()
        return page(json.dumps({ROWS: [2]}))

    assert [list(one) for one in pages(search, None)] == [[1], [2]]


@pytest.mark.parametrize("rows", [[], [1]], ids=["nothing in it", "was there"])
def test_pages_without_an_end_are_an_error(rows: list[int]) -> None:
    def search(_clause: str | None, _token: str | None) -> Page:
        return page(json.dumps({ROWS: rows, "next_page_token": "again"}))

    with pytest.raises(ValueError, match="no end"):
        list(pages(search, None))


def test_answers_come_in_the_order_of_the_questions_and_few_are_asked_at_a_time() -> None:
    under_way: set[int] = set()
    most: list[int] = []

    def ask(question: int) -> int:
        under_way.add(question)
        most.append(len(under_way))
        under_way.discard(question)
        return question * question

    assert list(answers(ask, range(20), 2)) == [number * number for number in range(20)]
    assert max(most) <= 2


def test_what_an_answer_raises_is_raised_where_it_is_waited_for() -> None:
    def ask(question: int) -> int:
        raise LookupError(question)

    with pytest.raises(LookupError, match="3"):
        next(answers(ask, [3, 4], 2))
