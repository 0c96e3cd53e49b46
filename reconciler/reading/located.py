"""
YAML text → plain values that know where they are written. Safe on any bytes, and guesses nothing: `yes`, `1:30` and
`010` are never taken for a boolean or for another number. Knows nothing of manifests.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import TypeAlias, final

import yaml

from reconciler.core import limits
from reconciler.core.looks import is_plain, is_unseen
from reconciler.errors import Location, Problem

MAX_BYTES = limits.FILE_BYTES
MAX_DEPTH = limits.MANIFEST_NESTING
MAX_ALIASED = limits.ALIASED_VALUES


class YamlCode(StrEnum):
    """What can be wrong with a file before anyone asks what it says."""

    FILE_TOO_LARGE = "file-too-large"
    NOT_UTF_8 = "not-utf-8"
    CONTROL_CHARACTER = "control-character"
    YAML_SYNTAX = "yaml-syntax"
    TOO_DEEP = "too-deep"
    UNKNOWN_TAG = "unknown-tag"
    DUPLICATE_KEY = "duplicate-key"
    INVALID_KEY = "invalid-key"
    INVALID_MERGE = "invalid-merge"
    UNKNOWN_ANCHOR = "unknown-anchor"
    RECURSIVE_ALIAS = "recursive-alias"
    ALIAS_EXPLOSION = "alias-explosion"
    TOO_MANY_DOCUMENTS = "too-many-documents"
    TOO_MANY_VALUES = "too-many-values"
    TOO_MANY_PROBLEMS = "too-many-problems"


class Kind(StrEnum):
    """
    What YAML 1.2 takes a scalar for. INTEGER is one that has no other spelling; NUMBER is any other number (`010`,
    `4.0`, `1e3`, `0x1F`), which we never convert.
    """

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class YamlScalar:
    """A value as it is written; `plain` if without quotes."""

    text: str
    kind: Kind
    plain: bool
    at: Location


@final
class YamlList(list["YamlValue"]):
    """A list and the place where it begins."""

    __slots__ = ("at",)

    def __init__(self, at: Location) -> None:
        super().__init__()
        self.at = at


@final
class YamlMap(dict[str, "YamlValue"]):
    """A mapping by the text of its keys, the place where it begins, and the places of its keys."""

    __slots__ = ("at", "key_places")

    def __init__(self, at: Location) -> None:
        super().__init__()
        self.at = at
        self.key_places: dict[str, Location] = {}


YamlValue: TypeAlias = YamlScalar | YamlList | YamlMap


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, if it could be read to the end, and what is wrong with it as YAML."""

    root: YamlValue | None
    problems: tuple[Problem, ...] = ()


# The C parser is twenty times as fast. It reads what these characters are used for differently from the pure one
# (PyYAML 6.0.3 with libyaml 0.2.5); all else that it accepts, the two read alike. What it refuses is read again by the
# pure one, so that problems and their places are the same on every machine.
# See unit/test_located_yaml.py::test_both_parsers_read_alike.
_READ_DIFFERENTLY = re.compile(r"[\t?!]|[|>][-+0-9]{0,2}#")
FAST_LOADER: "type[yaml.CSafeLoader] | None" = getattr(yaml, "CSafeLoader", None)
"""PyYAML's C parser, where it was built with one."""


def read_documents(path: str, data: bytes, fast: "type[yaml.CSafeLoader] | None" = FAST_LOADER) -> Iterator[Document]:
    """The documents of a file, without the empty ones. One that is broken does not keep the others from being read."""
    if len(data) > MAX_BYTES:
        yield _refuse(
            Location(path),
            YamlCode.FILE_TOO_LARGE,
            f"The file has more than {MAX_BYTES} bytes.",
            "Split it: a model's declaration may be spread over several files.",
        )
        return
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        yield _refuse(Location(path, 1, 1), YamlCode.NOT_UTF_8, "The file is UTF-16 or UTF-32.", "Save it as UTF-8.")
        return
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        yield _refuse(
            _place_of(path, 0, before, len(before)),
            YamlCode.NOT_UTF_8,
            f"The byte 0x{data[error.start]:02X} is not UTF-8.",
            "Save the file as UTF-8.",
        )
        return
    line, values = 0, _Count()
    for number, part in enumerate(_split(text)):
        if number > limits.DOCUMENTS:
            yield _refuse(
                Location(path, line + 1, 1),
                YamlCode.TOO_MANY_DOCUMENTS,
                f"The file has more than {limits.DOCUMENTS} documents.",
                "Split it: a model's declaration may be spread over several files.",
            )
            return
        hidden = tuple(islice(_control_characters(path, line, part), limits.PROBLEMS))
        if hidden:
            yield Document(None, hidden)
        else:
            yield from _read_part(path, line, part, fast, values)
        if values.full:
            return
        line += part.count("\n")


def shown(text: str, limit: int = 60) -> str:
    """Text from a file, fit for a message: what a terminal would not show as it is escaped, and long text cut."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    cut = text if len(text) <= limit else text[: limit - 1]
    escaped = (
        cut
        if is_plain(cut)
        else "".join(c.encode("unicode_escape").decode("ascii") if is_unseen(c) else c for c in cut)
    )
    return escaped if len(cut) == len(text) else f"{escaped}…"


# `---` at the beginning of a line separates documents whatever is around it, so a file can be cut there before it is
# parsed: a broken document cannot hide the others. The directives of a document stand above its `---`.
_SEPARATOR = re.compile(r"^(?:%[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\r?\n|%[^\n]*\n){0,20})?---(?=[ \t\r\n]|\Z)", re.MULTILINE)

# What YAML forbids; what PyYAML takes for a line break but no reviewer sees as one; and what makes a line read
# differently from how it is parsed (bidirectional overrides). The class of all other characters is as good a pattern,
# and takes ten times as long to compile.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]|\r(?!\n)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def _split(text: str) -> Iterator[str]:
    start = 0
    for separator in _SEPARATOR.finditer(text):
        if separator.start() > start:
            yield text[start : separator.start()]
            start = separator.start()
    yield text[start:]


def _control_characters(path: str, line: int, text: str) -> Iterator[Problem]:
    if not _HIDDEN.search(text):
        return
    for number, content in enumerate(text.split("\n"), line + 1):
        # The line feed is put back, so that a carriage return before it is seen to be part of a line end.
        if found := _HIDDEN.search(f"{content}\n"):
            yield Problem(
                Location(path, number, found.start() + 1),
                YamlCode.CONTROL_CHARACTER,
                f"`{shown(found.group())}` is a control character: the text is not what it seems.",
                "Remove it; a line ends with `\\n` or `\\r\\n`.",
            )


def _place_of(path: str, line: int, text: str, index: int) -> Location:
    return Location(path, line + text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _refuse(at: Location, code: YamlCode, message: str, fix: str) -> Document:
    return Document(None, (Problem(at, code, message, fix),))


def _read_part(
    path: str, line: int, text: str, fast: "type[yaml.CSafeLoader] | None", values: "_Count"
) -> Iterator[Document]:
    if fast is not None and not _READ_DIFFERENTLY.search(text):
        before = values.number
        with suppress(yaml.YAMLError, _RefusedError):
            yield from list(_Composer(path, line, values).documents(yaml.parse(text, fast)))
            return
        if values.full:
            # The other parser, which is twenty times as slow, would come to the same end.
            yield Document(None, (_too_many_values(Location(path, line + 1, 1)),))
            return
        values.number = before
    composer = _Composer(path, line, values)
    loader = yaml.SafeLoader(text)
    try:
        yield from composer.documents(_events(loader))
    except yaml.MarkedYAMLError as error:
        inside = composer.open[-1].value.at if composer.open else None
        problem = _syntax_problem(path, line, text, error, inside)
    except _RefusedError as error:
        problem = error.problem
    except (ValueError, OverflowError):
        # The pure parser converts numbers in escapes and directives without asking whether they fit (PyYAML 6.0.3).
        problem = Problem(
            Location(path, line + loader.line + 1, loader.column + 1),
            YamlCode.YAML_SYNTAX,
            "This is not YAML: the number here is out of range.",
            "Escapes go up to `\\U0010FFFF`; the YAML version is 1.2.",
        )
    else:
        return
    yield Document(None, (*composer.problems, problem))


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # pyright: ignore[reportUnknownMemberType]  # untyped upstream


def _syntax_problem(path: str, line: int, text: str, error: yaml.MarkedYAMLError, inside: Location | None) -> Problem:
    """`inside` is where the list or mapping begins that was being read."""
    mark, opened = error.problem_mark, error.context_mark
    index = len(text) if mark is None else mark.index
    said = shown(error.problem or "it cannot be read", 200)
    end = len(text.rstrip())
    # PyYAML says where it lost patience, which for what was never finished is of less use than where it began. Its
    # errors have no codes, so it takes their text (6.0.3) to find the better place, and the better advice below.
    unfinished = index >= end or (mark is not None and mark.column == 0 and text.startswith("...", index))
    if opened is not None and (unfinished or said == "could not find expected ':'"):
        index = opened.index
    at = _place_of(path, line, text, min(index, max(end - 1, 0)))
    if unfinished and index >= end and inside is not None:
        at = inside
    if text.startswith("\t", index):
        return Problem(
            at,
            YamlCode.YAML_SYNTAX,
            "This is not YAML: tabs cannot indent, or separate a key from its value.",
            "Use spaces.",
        )
    where = "" if error.context is None else f" {shown(error.context, 200)}"
    return Problem(at, YamlCode.YAML_SYNTAX, f"This is not YAML: {said}{where}.", _syntax_fix(text, index, said))


def _syntax_fix(text: str, index: int, said: str) -> str:
    if text.startswith(("@", "`", "%"), index):
        return f"Put the value in quotes: without them it cannot begin with `{text[index]}`."
    if said == "mapping values are not allowed here":
        return "A string that contains `: ` needs quotes; otherwise check the indentation."
    if said == "could not find expected ':'":
        return "Write `key: value`."
    if said.startswith("expected '<document start>'"):
        return "Begin every document after the first with `---`."
    return "Check the indentation, brackets and quotes from here on."


class _RefusedError(Exception):
    """Ends the reading of a document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A list or mapping that has begun. `size` counts the values in it, those that aliases stand for included."""

    value: YamlList | YamlMap
    anchor: str | None
    size: int = 1
    key: YamlValue | None = None
    merged: YamlValue | None = None


@dataclass(slots=True)
class _Count:
    """The values of a file so far, in all of its documents."""

    number: int = 0

    @property
    def full(self) -> bool:
        return self.number > limits.VALUES


def _too_many_values(at: Location) -> Problem:
    return Problem(
        at,
        YamlCode.TOO_MANY_VALUES,
        f"The file has more than {limits.VALUES} values.",
        "Split it: a model's declaration may be spread over several files.",
    )


@dataclass(slots=True)
class _Composer:
    """
    Events → documents. Not PyYAML's own composer: that one calls itself for every level and would let the text decide
    how deep. Aliases are followed by reference, never copied, and counted as if they were.
    """

    path: str
    line: int
    values: _Count = field(default_factory=_Count)
    problems: list[Problem] = field(default_factory=list[Problem])
    open: list[_Open] = field(default_factory=list[_Open])
    anchors: dict[str, tuple[YamlValue, int] | None] = field(
        default_factory=dict[str, tuple[YamlValue, int] | None],
    )
    aliased: int = 0
    root: YamlValue | None = None

    def documents(self, events: Iterator[yaml.Event]) -> Iterator[Document]:
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._add(self._scalar(event), event.anchor)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._begin(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentEndEvent():
                    empty = isinstance(self.root, YamlScalar) and self.root.kind is Kind.NULL
                    if self.problems or not empty:
                        yield Document(None if empty else self.root, tuple(self.problems))
                    self.problems, self.anchors, self.aliased, self.root = [], {}, 0, None
                case _:
                    pass

    def _at(self, event: yaml.Event) -> Location:
        mark = event.start_mark
        return Location(self.path, self.line + mark.line + 1, mark.column + 1) if mark else Location(self.path)

    def _scalar(self, event: yaml.ScalarEvent) -> YamlScalar:
        at, text, plain = self._at(event), event.value, not event.style
        if _SURROGATE.search(text):
            self._note(
                at,
                YamlCode.CONTROL_CHARACTER,
                f"`{shown(text)}` contains one half of a surrogate pair.",
                "Write the character itself, or its `\\U` escape.",
            )
            text = _SURROGATE.sub("\ufffd", text)
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            self._unknown_tag(at, event.tag)
        kind = _kind(text) if plain and event.tag not in {"!", "tag:yaml.org,2002:str"} else Kind.TEXT
        return YamlScalar(text, kind, plain, at)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        at = self._at(event)
        if len(self.open) >= MAX_DEPTH:
            raise _RefusedError(
                Problem(
                    at,
                    YamlCode.TOO_DEEP,
                    f"Lists and mappings are nested more than {MAX_DEPTH} deep here.",
                    "Close the brackets that are open; a manifest is four deep.",
                )
            )
        value, tag = (
            (YamlMap(at), "tag:yaml.org,2002:map")
            if isinstance(event, yaml.MappingStartEvent)
            else (YamlList(at), "tag:yaml.org,2002:seq")
        )
        if event.tag not in {None, "!", tag}:
            self._unknown_tag(at, event.tag)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.open.append(_Open(value, event.anchor))

    def _end(self) -> None:
        done = self.open.pop()
        if isinstance(done.value, YamlMap) and done.merged is not None:
            self._merge(done.value, done.merged)
        self._add(done.value, done.anchor, done.size)

    def _alias(self, event: yaml.AliasEvent) -> None:
        at, name = self._at(event), event.anchor or ""
        if name not in self.anchors:
            raise _RefusedError(
                Problem(
                    at,
                    YamlCode.UNKNOWN_ANCHOR,
                    f"`*{shown(name)}` refers to an anchor that this document does not have above this line.",
                    f"Put `&{shown(name)}` before the intended value, or quote a string that begins with `*`.",
                )
            )
        target = self.anchors[name]
        if target is None:
            raise _RefusedError(
                Problem(
                    at,
                    YamlCode.RECURSIVE_ALIAS,
                    f"`*{shown(name)}` is inside the value that it refers to.",
                    "Write the value out.",
                )
            )
        value, size = target
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise _RefusedError(
                Problem(
                    at,
                    YamlCode.ALIAS_EXPLOSION,
                    f"With `*{shown(name)}` the aliases of this document stand for more than {MAX_ALIASED} values.",
                    "Write the values out, or remove them.",
                )
            )
        self._add(replace(value, at=at) if isinstance(value, YamlScalar) else value, None, size)

    def _add(self, value: YamlValue, anchor: str | None, size: int = 1) -> None:
        self.values.number += 1
        if self.values.full:
            raise _RefusedError(_too_many_values(value.at))
        if anchor is not None:
            self.anchors[anchor] = (value, size)
        if not self.open:
            self.root = value
            return
        parent = self.open[-1]
        parent.size += size
        if isinstance(parent.value, YamlList):
            parent.value.append(value)
        elif parent.key is None:
            parent.key = value
        else:
            key, parent.key = parent.key, None
            self._set(parent, parent.value, key, value)

    def _set(self, parent: _Open, mapping: YamlMap, key: YamlValue, value: YamlValue) -> None:
        if not isinstance(key, YamlScalar):
            self._note(
                key.at, YamlCode.INVALID_KEY, f"The key is {described(key)}; expected a string.", "Write a name."
            )
            return
        if isinstance(value, YamlScalar) and value.plain and not value.text:
            value = replace(value, at=key.at)
        first = mapping.key_places.get(key.text)
        if first is not None:
            self._note(
                key.at,
                YamlCode.DUPLICATE_KEY,
                f"The key `{shown(key.text)}` is already on line {first.line}.",
                "Keep one of the two.",
            )
            return
        mapping.key_places[key.text] = key.at
        if key.text == "<<" and key.plain:
            parent.merged = value
        else:
            mapping[key.text] = value

    def _merge(self, mapping: YamlMap, merged: YamlValue) -> None:
        """What the mapping says itself goes before what is merged into it, and what is merged first before the rest."""
        at = mapping.key_places.pop("<<")
        for source in merged if isinstance(merged, YamlList) else [merged]:
            if not isinstance(source, YamlMap):
                self._note(
                    at,
                    YamlCode.INVALID_MERGE,
                    f"`<<` has {described(source)}; expected a mapping or a list of mappings.",
                    "Name the anchor of a mapping: `<<: *name`.",
                )
                continue
            for key, value in source.items():
                if key not in mapping:
                    mapping[key] = value
                    mapping.key_places[key] = source.key_places[key]

    def _unknown_tag(self, at: Location, tag: str | None) -> None:
        self._note(
            at,
            YamlCode.UNKNOWN_TAG,
            f"The tag `{shown((tag or '').replace('tag:yaml.org,2002:', '!!', 1))}` is not accepted: tags "
            "change the meaning of YAML.",
            "Remove the tag; a string that looks like a number needs quotes instead.",
        )

    def _note(self, at: Location, code: YamlCode, message: str, fix: str) -> None:
        # One more than are shown, so that it is seen that there are more.
        if len(self.problems) <= limits.PROBLEMS:
            self.problems.append(Problem(at, code, message, fix))


def first_problems(problems: list[Problem], path: str) -> list[Problem]:
    """The problems of a file, or the first of them and how manymore there are."""
    if len(problems) <= limits.PROBLEMS:
        return problems
    more = f"The file has more than {limits.PROBLEMS} problems; the others are not listed."
    kept = sorted(problems)[: limits.PROBLEMS]
    return [*kept, Problem(Location(path), YamlCode.TOO_MANY_PROBLEMS, more, "Correct these first.")]


def described(value: YamlValue) -> str:
    """A value as people wrote it, for a message."""
    match value:
        case YamlMap():
            return "a mapping"
        case YamlList():
            return "a list"
        case YamlScalar(text="", plain=True):
            return "empty"
        case YamlScalar(plain=True):
            return f"`{shown(value.text)}`"
        case YamlScalar():
            return f'`"{shown(value.text)}"`'


# The core schema of YAML 1.2. Where YAML 1.1 reads more into a text (`yes`, `1_000`, `1:30`), it stays a text.
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), Kind.NULL),
    **dict.fromkeys(("true", "True", "TRUE", "false", "False", "FALSE"), Kind.BOOLEAN),
}


def _kind(text: str) -> Kind:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return Kind.INTEGER
    return Kind.NUMBER if _NUMBER.fullmatch(text) else Kind.TEXT
