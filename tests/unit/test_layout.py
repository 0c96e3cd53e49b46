"""Lines fit the terminal: sentences are broken between words, nothing is left out, and columns stay columns."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.review import Review
from reconciler.render.layout import Line, cells, flowed, plain, table
from reconciler.render.text import review_lines
from tests import exhibits

WORDS = st.lists(st.text("abc,漢é", min_size=1, max_size=12), min_size=1, max_size=30)


@given(WORDS, st.integers(0, 30), st.integers(40, 120))
def test_a_sentence_is_broken_between_words_and_loses_none(words: list[str], head: int, width: int) -> None:
    lines = list(flowed((("error", "h" * head),), tuple(("", f" {word}") for word in words), width))

    assert all(cells(plain(line)) <= width for line in lines)
    assert " ".join(plain(line).strip() for line in lines).split() == f"{'h' * head} {' '.join(words)}".split()


def test_a_sentence_is_continued_below_itself() -> None:
    lines = flowed((("error", "  fail  "),), (("", "three days are required there"),), 24)

    assert [plain(line) for line in lines] == ["  fail  three days are", "        required there"]


def test_a_word_that_is_wider_than_the_terminal_stays_whole() -> None:
    address = f"https://mlflow.acme.example/{'x' * 80}"

    assert [plain(line) for line in flowed((), (("", f"see {address} there"),), 40)] == [
        "see",
        address,
        "there",
    ]


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5), st.integers(60, 120))
def test_a_table_fits_and_leaves_nothing_out(rows: list[tuple[list[str], ...]], width: int) -> None:
    shown: list[Line] = [tuple(("", " ".join(cell)) for cell in row) for row in rows]

    lines = [plain(line) for line in table(shown, width, 4)]

    assert all(cells(line) <= width for line in lines)
    assert sorted("".join(lines).replace(" ", "")) == sorted("".join(w for row in rows for c in row for w in c))


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize(
    "review", [exhibits.better, exhibits.gated, exhibits.missing_evidence, exhibits.different_datasets]
)
def test_a_plan_fits_the_terminal(review: Callable[[], Review], width: int) -> None:
    *lines, summary = [plain(line) for line in review_lines(review(), width)]

    assert [line for line in lines if cells(line) > width] == []
    assert summary.startswith("Plan: ")
