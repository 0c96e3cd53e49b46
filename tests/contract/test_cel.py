"""What conditions come to in a real process, and that none of them gets out of it or holds it for long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.conditions.cel import MOST_CHARACTERS, compile_fault, evaluate, evaluate_all

NAN, INFINITY = float("nan"), float("inf")

VARIABLES: dict[str, object] = {
    "metrics": {"auc": 0.93, "epochs": 3.0, "steps": 7, "loss": NAN, "best": INFINITY},
    "params": {"lr": "0.1"},
    "tags": {"approved-by": "Zoë", "日本": "語"},
    "list": [1, 2, 3],
    "gaps": [1.0, NAN],
    "nothing": None,
}

HOLDS: dict[str, bool] = {
    "true": True,
    "metrics.auc > 0.9": True,
    "metrics.auc > 0.95": False,
    "metrics.epochs == 3": True,
    "metrics.steps >= 6.5": True,
    "metrics.best > 1e300": True,
    "has(metrics.auc)": True,
    "has(metrics.f1)": False,
    "has(metrics.f1) && metrics.f1 > 0.9": False,
    "!has(metrics.f1) || metrics.f1 > 0.9": True,
    "metrics.f1 > 0.9 || true": True,
    "has(metrics.loss)": False,
    "gaps[1] == null": True,
    "double(params.lr) < 0.2": True,
    "tags['approved-by'] == 'Zoë'": True,
    "tags['日本'] == '語'": True,
    "'approved-by' in tags": True,
    "tags['approved-by'].matches('^Z')": True,
    "list.all(x, x > 0)": True,
    "list.exists(x, list.exists(y, x + y == 5))": True,
    "list.filter(x, x > 1).size() == 2": True,
    "metrics.all(name, metrics[name] > 0.5)": True,
    "nothing == null": True,
    "1 == '1'": False,
    "timestamp('2026-05-01T00:00:00Z') < timestamp('2026-05-01T00:00:01Z')": True,
    "true // as it should be": True,
    "'all(all(all(' != '.map(.map(.map('": True,
}


def test_conditions_are_true_or_false_as_the_language_has_it() -> None:
    answers = evaluate_all([(condition, VARIABLES) for condition in HOLDS])

    assert dict(zip(HOLDS, answers, strict=True)) == HOLDS


NEITHER: dict[str, str] = {
    "": "empty",
    " \n": "empty",
    "metrics.f1 > 0.9": "there is no value `f1`",
    "metrics.f1 > 0.9 && true": "there is no value `f1`",
    "metrics.loss < 0.1": "there is no value `loss`",
    "metrics.loss != 0.1": "there is no value `loss`",
    "!(metrics.loss > 0.1)": "there is no value `loss`",
    "gaps[1] > 0.1": "No such overload",
    "0.0 / 0.0 > 1.0": "No such overload",
    "metric.auc > 0.9": "there is no value `metric`",
    "open('/etc/passwd') == ''": "there is no value `open`",
    "nothing": "null",
    "nothing > 1": "No such overload",
    "metrics.auc": "result is a number",
    "metrics": "result is a map",
    "list": "result is a list",
    "'true'": "result is a string",
    "1": "result is a number",
    "optional.of(true)": "not true or false",
    "b'true'": "not true or false",
    "metrics.auc > '0.9'": "No such overload",
    "list[7] == 1": "out of bounds",
    "1 / 0 == 1": "division by zero",
    "9223372036854775807 + 1 > 0": "verflow",
    "int(params.lr) == 0": "string parse error",
    "metrics.auc >": "cannot be read at 1:14",
    "metrics.auc > 0.9 0.8": "cannot be read at 1:19",
    "tags.日本 == '語'": "cannot be read at 1:6",
    "((": "cannot be read",
    "'open": "cannot be read",
    "'a'.matches('(a{1000}){1000}')": "cannot be evaluated",
    "list.all(x, list.all(y, list.all(z, true)))": "3 deep",
    "list . map (x, [1].filter(y, [y.map(z, z)] == []))": "3 deep",
    "[list.all(x, {'a': list.all(y, (list.all(z, true)))}.a)][0]": "3 deep",
    "'\\'' == '' || list.all(x, list.all(y, list.all(z, true)))": "3 deep",
    "r'\\' == '' || list.all(x, list.all(y, list.all(z, true)))": "3 deep",
    "'''''' == '' || list.all(x, list.all(y, list.all(z, true)))": "3 deep",
    "// '\nlist.all(x, list.all(y, list.all(z, true)))": "3 deep",
    "true || " * 300 + "true": "the maximum is",
    "(" * 990 + "true" + ")" * 990: "cannot be read",
    "[" * 990 + "]" * 990 + " == []": "cannot be read",
}


def test_whatever_is_neither_says_why() -> None:
    answers = evaluate_all([(condition, VARIABLES) for condition in NEITHER])

    for (condition, why), answer in zip(NEITHER.items(), answers, strict=True):
        assert isinstance(answer, str), condition
        assert why in answer, condition


MUCH = [1] * 290
LONG = f"{MUCH}".replace(" ", "")
DOUBLED = ".map(a, a + a + a + a + a + a + a + a)" * 50

BOMBS: dict[str, tuple[str, str]] = {
    "lists of lists of lists": (f"{LONG}.map(x, {LONG}.map(y, {LONG})).size() > 0", "longer than 1.5 s"),
    "each step as long as the list": ("many" + ".map(x, many)" * 30 + ".size() > 0", "longer than 1.5 s"),
    "a text that doubles": (f"['a']{DOUBLED}.size() > 0", "its process crashed"),
    "a list that doubles": (f"[many]{DOUBLED}.size() > 0", "its process crashed"),
}


@pytest.mark.parametrize(("condition", "why"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_within_its_limits_and_costs_its_neighbours_nothing(condition: str, why: str) -> None:
    variables = {"many": list(range(3000))}
    assert len(condition) <= MOST_CHARACTERS

    before, bomb, after = evaluate_all(
        [("true", variables), (condition, variables), ("many.size() == 3000", variables)],
        seconds=1.5 if "longer" in why else 5.0,
        megabytes=128,
    )

    assert (before, after) == (True, True)
    assert isinstance(bomb, str)
    assert why in bomb


class Odd:
    pass


CANNOT_BE_HANDED_ON: dict[str, object] = {
    "an object": Odd(),
    "bytes": b"1",
    "a set": {1},
    "half a character": "\ud800",
    "keys that are no texts": {(1, 2): 3},
}


@pytest.mark.parametrize("value", CANNOT_BE_HANDED_ON.values(), ids=CANNOT_BE_HANDED_ON.keys())
def test_what_is_not_json_is_neither_true_nor_false(value: object) -> None:
    assert isinstance(evaluate("true && x == 1", {"x": value}), str)


def test_what_goes_too_deep_or_is_too_much_is_neither_true_nor_false() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    endless: dict[str, object] = {}
    endless["x"] = endless

    assert isinstance(evaluate("true", {"x": deep}), str)
    assert isinstance(evaluate("true", endless), str)
    assert "too large" in str(evaluate("true", {"x": "a" * (9 << 20)}))


def test_nothing_to_evaluate_needs_no_process() -> None:
    assert evaluate_all([]) == ()


def test_the_process_has_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")

    assert evaluate("true", {}) is True


READABLE = ["true", "metrics.auc > 0.9 && has(tags.owner)", "list.exists(x, x in tags)"]


@pytest.mark.parametrize("condition", READABLE)
def test_a_condition_that_can_be_read_has_no_fault(condition: str) -> None:
    assert compile_fault(condition) is None


UNREADABLE = {
    "": "empty",
    "metrics.auc >": "cannot be read at 1:14",
    "has(metrics)": "has()",
    "x" * 2001: "2,001 characters; the maximum is 2,000",
    "a.map(x, a.map(y, a.map(z, z)))": "3 deep",
}


@pytest.mark.parametrize(("condition", "fault"), UNREADABLE.items())
def test_a_condition_that_cannot_be_read_says_where(condition: str, fault: str) -> None:
    assert fault in str(compile_fault(condition))


PUNCTUATION = [" && ", " || ", "!", "==", "<", "+", "-", "/", "?", ":", ",", "\n", "\0", "\ud800", "é"]
SNIPPETS = st.sampled_from(
    [
        *PUNCTUATION,
        "x",
        "y.z",
        "1",
        "2.5",
        "null",
        "true",
        "has(",
        "'a",
        "'",
        '"',
        "'''",
        "r'",
        "\\",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".map(x,",
        ".all(",
        "//",
    ]
)
CONDITIONS = st.lists(SNIPPETS, max_size=20).map("".join) | st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(CONDITIONS, st.dictionaries(st.sampled_from(["x", "y", "z"]), JSON)), max_size=20))
@settings(max_examples=25)
def test_no_condition_and_no_value_raises(tasks: list[tuple[str, dict[str, object]]]) -> None:
    answers = evaluate_all(tasks)

    assert len(answers) == len(tasks)
    assert all(isinstance(answer, bool) or answer for answer in answers)
