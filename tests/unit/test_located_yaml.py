"""How YAML is read: what a scalar is taken for, where each value is, and what no text can make us do."""

import subprocess
import sys
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.reading.located import (
    MAX_ALIASED,
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    Kind,
    YamlCode,
    YamlMap,
    YamlScalar,
    YamlValue,
    read_documents,
    shown,
)

Layout: TypeAlias = "str | list[Layout]"


def read(text: str) -> list[Document]:
    return list(read_documents("a.yaml", text.encode()))


def root(text: str) -> YamlValue:
    """The value of the one document, which has nothing wrong with it."""
    [document] = read(text)
    assert document.problems == ()
    assert document.root is not None
    return document.root


def member(text: str, key: str) -> YamlScalar:
    mapping = root(text)
    assert isinstance(mapping, YamlMap)
    value = mapping[key]
    assert isinstance(value, YamlScalar)
    return value


def codes(text: str) -> list[str]:
    return [problem.code for document in read(text) for problem in document.problems]


def layout(value: YamlValue | None) -> Layout:
    """A value with its places, fit to be compared."""
    match value:
        case None:
            return "nothing"
        case YamlScalar():
            return f"{value.at} {value.kind} {value.plain} {value.text}"
        case YamlMap():
            return [f"{value.at}", *([f"{value.key_places[key]} {key}", layout(item)] for key, item in value.items())]
        case _:
            return [f"{value.at}", *map(layout, value)]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("4", Kind.INTEGER),
        ("0", Kind.INTEGER),
        ("-4", Kind.INTEGER),
        ("010", Kind.NUMBER),
        ("0x1F", Kind.NUMBER),
        ("0o17", Kind.NUMBER),
        ("4.0", Kind.NUMBER),
        ("1e3", Kind.NUMBER),
        ("+4", Kind.NUMBER),
        ("-.inf", Kind.NUMBER),
        (".nan", Kind.NUMBER),
        ("true", Kind.BOOLEAN),
        ("False", Kind.BOOLEAN),
        ("", Kind.NULL),
        ("~", Kind.NULL),
        ("null", Kind.NULL),
        ("yes", Kind.TEXT),
        ("on", Kind.TEXT),
        ("no", Kind.TEXT),
        ("None", Kind.TEXT),
        ("1_0", Kind.TEXT),
        ("1:30", Kind.TEXT),
        ("0b11", Kind.TEXT),
        ("2024-01-01", Kind.TEXT),
        ("'4'", Kind.TEXT),
        ('"true"', Kind.TEXT),
        ("!!str 4", Kind.TEXT),
        ("! 4", Kind.TEXT),
        ("|\n  4", Kind.TEXT),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(written: str, kind: Kind) -> None:
    assert member(f"key: {written}\n", "key").kind is kind


@pytest.mark.parametrize("written", ["010", "0x1F", "1_0", "1:30", "4.0", "1e3", "0123456789"])
def test_a_number_keeps_its_text(written: str) -> None:
    assert member(f"key: {written}\n", "key").text == written


def test_a_value_is_where_it_is_written() -> None:
    assert layout(root("a:\n  - b\n  - {c: é, 😀: e}\n")) == [
        "a.yaml:1:1",
        [
            "a.yaml:1:1 a",
            [
                "a.yaml:2:3",
                "a.yaml:2:5 text True b",
                [
                    "a.yaml:3:5",
                    ["a.yaml:3:6 c", "a.yaml:3:9 text True é"],
                    ["a.yaml:3:12 😀", "a.yaml:3:15 text True e"],
                ],
            ],
        ],
    ]


def test_an_empty_value_is_where_its_key_is() -> None:
    assert str(member("a: 1\nb:\n\n\n", "b").at) == "a.yaml:2:1"


def test_the_lines_of_a_document_count_from_the_beginning_of_the_file() -> None:
    documents = read("a: 1\n---\nb: 2\n...\n%YAML 1.2\n# directives belong to what follows\n---\nc: 3\n")

    assert [str(document.root.at) for document in documents if document.root is not None] == [
        "a.yaml:1:1",
        "a.yaml:3:1",
        "a.yaml:8:1",
    ]


def test_the_lines_of_windows_are_counted_alike() -> None:
    assert str(member("a: 1\r\nb: 2\r\n", "b").at) == "a.yaml:2:4"


def test_a_byte_order_mark_is_no_character() -> None:
    [document] = read_documents("a.yaml", b"\xef\xbb\xbfa: 1\n")

    assert document.problems == ()
    assert str(document.root.at if document.root else None) == "a.yaml:1:1"


@pytest.mark.parametrize("text", ["", "\n", "---\n", "---\n---\n", "# nothing\n", "--- null\n", "~"])
def test_empty_documents_are_skipped(text: str) -> None:
    assert read(text) == []


def test_an_alias_of_a_scalar_is_where_it_is_used() -> None:
    assert layout(root("a: &x 4\nb: *x\n")) == [
        "a.yaml:1:1",
        ["a.yaml:1:1 a", "a.yaml:1:4 integer True 4"],
        ["a.yaml:2:1 b", "a.yaml:2:4 integer True 4"],
    ]


def test_what_is_merged_yields_to_what_is_written_and_to_what_is_merged_before() -> None:
    assert layout(root("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\n"))[-1] == [
        "a.yaml:3:1 c",
        [
            "a.yaml:4:3",
            ["a.yaml:5:3 x", "a.yaml:5:6 integer True 3"],
            ["a.yaml:1:14 y", "a.yaml:1:17 integer True 1"],
            ["a.yaml:2:14 z", "a.yaml:2:17 integer True 2"],
        ],
    ]


def test_a_quoted_merge_key_is_a_key() -> None:
    assert member('"<<": 4\n', "<<").text == "4"


def test_aliases_may_stand_for_so_many_values_and_no_more() -> None:
    thousand = "a: &a [" + "x," * 999 + "]\n"
    ten = ", ".join(["*a"] * (MAX_ALIASED // 1000))

    assert codes(f"{thousand}b: [{ten}]\n") == []
    assert codes(f"{thousand}b: [{ten}]\nc: *a\n") == [YamlCode.ALIAS_EXPLOSION]


def test_without_aliases_there_may_be_any_number_of_values() -> None:
    assert codes("[" + "x," * (MAX_ALIASED + 1) + "]\n") == []


def test_lists_and_mappings_may_be_nested_so_deep_and_no_deeper() -> None:
    assert codes("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
    assert codes("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == [YamlCode.TOO_DEEP]


@pytest.mark.parametrize("text", ["[", "{a: ", "- ", "? ", "[{"])
def test_a_file_full_of_openings_is_refused_at_once(text: str) -> None:
    assert codes(text * (MAX_BYTES // len(text))) == [YamlCode.TOO_DEEP]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a: "never closed\nb: 1\n', "a.yaml:1:4"),
        ("a: [1,\n  2\n", "a.yaml:1:4"),
        ("a: 1\nb: {c: 1,\n", "a.yaml:2:4"),
        ("a: 1\nb\nc: 1\n", "a.yaml:2:1"),
        ("a: 1\n b: 2\n", "a.yaml:2:3"),
        ("a: b: c\n", "a.yaml:1:5"),
        ("a:\n\tb: 1\n", "a.yaml:2:1"),
        ("a: @b\n", "a.yaml:1:4"),
        ("---\na: 1\n...\nb: 2\n", "a.yaml:4:1"),
    ],
)
def test_what_is_not_yaml_is_reported_where_it_begins(text: str, place: str) -> None:
    [problem] = [problem for document in read(text) for problem in document.problems]

    assert (str(problem.location), problem.code) == (place, YamlCode.YAML_SYNTAX)


def test_a_broken_document_hides_neither_what_is_before_nor_what_is_after_it() -> None:
    before, broken, after = read("a: 1\n...\n]\n---\nc: 3\n")

    assert isinstance(before.root, YamlMap)
    assert [problem.code for problem in broken.problems] == [YamlCode.YAML_SYNTAX]
    assert isinstance(after.root, YamlMap)


def test_a_comment_that_looks_like_a_document_is_a_comment() -> None:
    assert len(read("# ---\na: 1\n --- \n")) == 1


def test_what_a_terminal_would_not_show_as_it_is_is_escaped() -> None:
    assert shown("a\x1b[31m\u202eé😀\n") == "a\\x1b[31m\\u202eé😀\\n"


def test_long_text_is_cut() -> None:
    assert shown("x" * 100) == "x" * 59 + "…"


# Pieces that mean something to YAML, so that what hypothesis makes of them is often nearly right.
PIECES = [
    *"ab5\t\\\"'@`!%*&{}[]?:#,|>-~é😀",
    *("model: x\n", "stages: ", "Production: ", "version: ", "aliases:\n  ", "tags: ", "- ", ": ", ", ", " #c", "\n  "),
    *("\n", "\n    ", "\r\n", "\n---\n", "\n...\n", "%YAML 1.1\n", "%TAG ! x\n", "<<: ", "&a ", "*a", "!t ", "!!str "),
    *("null", "0x1F", "|2", ">+", " |\n", '"\\x41"', '"\\q"', '"\\ud800"', '"\\U00110000"', '"q"', "'s'", "? ", "[]"),
    *("\0", "\r", "\u2028", "\ufeff", "\u202e", "\u00a0", "[key]"),
]
soup = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


@given(st.one_of(soup.map(str.encode), st.binary(), st.text().map(lambda text: text.encode("utf-16"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    lines = data.count(b"\n") + 1

    problems = [problem for document in read_documents("a.yaml", data) for problem in document.problems]

    for problem in problems:
        assert 1 <= problem.location.line <= lines
        assert problem.location.column >= 1
        assert str(problem).isprintable()


def test_a_yaml_without_the_c_parser_will_do() -> None:
    script = (
        "import yaml; del yaml.CSafeLoader\n"
        "from reconciler.reading.located import FAST_LOADER, read_documents\n"
        "[document] = read_documents('a.yaml', b'a: 1')\n"
        "print(FAST_LOADER, document.problems)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "None ()\n"


@given(soup)
def test_both_parsers_read_alike(text: str) -> None:
    fast, pure = read(text), list(read_documents("a.yaml", text.encode(), fast=None))

    assert [layout(document.root) for document in fast] == [layout(document.root) for document in pure]
    assert [document.problems for document in fast] == [document.problems for document in pure]
