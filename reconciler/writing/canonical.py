"""
The canonical layout of a YAML text: order of keys, indentation, spaces, quotes and blank lines. Comments stay with what
they belong to; anchors and strings of several lines stay as they are. It works on the places of PyYAML's events, and
leaves a document alone that is written in a way it does not know.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import yaml

Order: TypeAlias = Mapping[tuple[str, ...], Sequence[str]]
"""The order of keys, by the path of their mapping; `*` is any key, and any item of a list."""

_Path: TypeAlias = tuple[str, ...]

_STEP = 2
_SEPARATOR = re.compile(r"^---(?=[ \n]|\Z)", re.MULTILINE)
_NOT_SPLIT = re.compile(r"^(?:%|---\t|\.\.\.(?:\s|\Z))", re.MULTILINE)
_PROPERTIES = re.compile(r"[&!][^\s,\[\]{}]*(?: +[&!][^\s,\[\]{}]*)*")
_COLON = re.compile(r" *:(?=[ \n]|\Z)")
_TRIVIA = re.compile(r"(?:(?:(?<=[ \n])|\A)#[^\n]*|[ \n])*")
_OF_DOCUMENT = re.compile(r"|#|#\s*yaml-language-server:.*")
"""A line above the first key behind which what belongs to that key begins: blank, without words, or for editors."""


class _UnusualError(Exception):
    """What is written in a way that is left alone."""


@dataclass(slots=True)
class _Node:
    """A value and its properties in the text. `parts`: keys and values in turn, or items; None for a scalar."""

    at: int
    end: int
    style: str = ""
    flow: bool = True
    mapping: bool = False
    parts: "list[_Node] | None" = None

    @property
    def pairs(self) -> "list[tuple[_Node, _Node]]":
        parts = self.parts or []
        return list(zip(parts[::2], parts[1::2], strict=True))


@dataclass(slots=True)
class _Entry:
    """
    A key or a dash with its value. `lead` are the lines above it; `inline` is a value that is no block, as lines, the
    first of which stands at the column `hanging` of a line of its own if not None, below the comments `above`. `beside`
    and `after` are comments behind the key and behind the value, with their columns; `kept` says that the value ends
    with line ends that belong to it.
    """

    lead: list[str]
    column: int
    head: str
    key: str = "*"
    inline: list[str] = field(default_factory=list[str])
    hanging: int | None = None
    above: list[str] = field(default_factory=list[str])
    block: "_Block | None" = None
    beside: tuple[int, str] | None = None
    after: tuple[int, str] | None = None
    kept: bool = False

    @property
    def joined(self) -> bool:
        """Whether what is in an item begins on the line of its dash."""
        return self.head == "-" and self.block is not None and not (self.inline or self.beside)


@dataclass(slots=True)
class _Block:
    """A mapping or a list without brackets. `tail` are comments below its last entry."""

    column: int
    entries: list[_Entry] = field(default_factory=list[_Entry])
    tail: list[str] = field(default_factory=list[str])


def canonical(text: str, order: Order) -> str:
    """A text of YAML documents, with `\\n` at the ends of its lines, in the canonical layout."""
    if _NOT_SPLIT.search(text):
        return text
    cuts = sorted({0, *(found.start() for found in _SEPARATOR.finditer(text)), len(text)})
    whole, parted = "", False
    for start, end in pairwise(cuts):
        piece = text[start:end]
        line, _, body = piece.partition("\n") if piece.startswith("---") else ("", "", piece)
        try:
            if line.removeprefix("---").strip(" ") and not line.removeprefix("---").lstrip(" ").startswith("#"):
                raise _UnusualError
            lines, closed = _Document(body, order).lines()
        except _UnusualError:
            whole, parted = whole + piece, False
            continue
        if line:
            whole += "\n" * parted + line.rstrip() + "\n"
        whole += "".join(f"{written}\n" for written in lines)
        parted = closed
    return whole


def comments(text: str) -> Iterator[str]:
    """The comments in a piece of a text, told from `#` in values by PyYAML's own tokens."""
    ends = [0]
    for token in yaml.scan(text, yaml.SafeLoader):
        for piece in text[ends[-1] : token.start_mark.index].split("\n"):
            if piece.strip().startswith("#"):
                yield piece.strip()
        ends.append(max(ends[-1], token.end_mark.index))


class _Document:
    """One document: read into entries that hold their comments, then written."""

    def __init__(self, text: str, order: Order) -> None:
        self.text, self.order = text, order
        self.at = 0
        self.before: tuple[_Entry, Literal["beside", "after"]] | None = None
        """What the comment on the rest of the line belongs to."""
        self.ended: list[_Block] = []
        """The blocks that ended with what was read last, innermost first."""
        self.anchored = False
        self.root = self._tree()

    def lines(self) -> tuple[list[str], bool]:
        """Its lines, and whether a blank line may follow: not where it would belong to the last value."""
        out: list[str] = []
        if self.root is None:
            return _closed(self._above(len(self.text), -1)), False
        entry = self._root()
        head: list[str] = []
        block = entry.block
        if block is not None:
            self._above(len(self.text), -1)
            lead, entry.lead = block.entries[0].lead, []
            cut = max((at for at, line in enumerate(lead, 1) if _OF_DOCUMENT.fullmatch(line)), default=0)
            head, block.entries[0].lead = lead[:cut], lead[cut:]
        out.extend(_single(head, opening=True))
        if block is not None:
            kept = self._write(block, 0, (), out, None)
        else:
            tail = self._above(len(self.text), -1)
            out.extend(_single(entry.lead, opening=True))
            kept = self._write_entry(entry, 0, (), out, "")
            out.extend(_closed(_single(tail)))
        return out, not kept

    def _tree(self) -> _Node | None:
        stack: list[_Node] = []
        inside: list[list[_Node]] = [[]]
        for event in yaml.parse(self.text, yaml.SafeLoader):
            if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                continue
            if event.start_mark is None or event.end_mark is None:
                raise _UnusualError
            start, end = event.start_mark.index, event.end_mark.index
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop().end = end
                inside.pop()
                continue
            node = _Node(start, end)
            self.anchored |= event.anchor is not None
            if isinstance(event, yaml.ScalarEvent):
                node.style = event.style or ""
            elif isinstance(event, yaml.AliasEvent):
                node.style = "*"
            elif isinstance(event, yaml.CollectionStartEvent):
                node.flow, node.mapping = bool(event.flow_style), isinstance(event, yaml.MappingStartEvent)
                node.parts = []
            inside[-1].append(node)
            if node.parts is not None:
                stack.append(node)
                inside.append(node.parts)
        return next(iter(inside[0]), None)

    # Reading

    def _root(self) -> _Entry:
        node = self.root
        if node is None:
            raise _UnusualError
        entry = _Entry([], 0, "")
        if node.flow:
            entry.lead = self._above(node.at, -1)
            self._inline(entry, node, ())
        else:
            if self._properties(node):
                raise _UnusualError
            entry.block = self._block(node, ())
        return entry

    def _block(self, node: _Node, path: _Path) -> _Block:
        block = _Block(self._column(self._content()))
        for key, value in node.pairs if node.mapping else ((None, part) for part in node.parts or []):
            start = self._content()
            if not self.text.startswith("-", start) if key is None else start != key.at:
                raise _UnusualError
            entry = _Entry(self._above(start, self._column(start)), self._column(start), "-")
            self.at = start + 1
            if key is not None:
                colon = _COLON.match(self.text, key.end)
                if colon is None or key.style == "*" or self._properties(key):
                    raise _UnusualError
                entry.head, entry.key = self._scalar(key) + ":", self.text[key.at : key.end].strip("\"'")
                self.at = colon.end()
            block.entries.append(entry)
            self.before = (entry, "beside")
            self._value(entry, value, (*path, entry.key))
        self.ended.append(block)
        return block

    def _value(self, entry: _Entry, node: _Node, path: _Path) -> None:
        if node.at == node.end and node.parts is None:
            return
        if node.flow:
            start = self._content()
            if start != node.at:
                raise _UnusualError
            if "\n" in self.text[self.at : start]:
                entry.above = self._above(start, -1)
                entry.hanging = self._column(start)
            elif self.text[self.at : start].strip(" "):
                raise _UnusualError
            self._inline(entry, node, path)
            return
        properties = self._properties(node)
        if properties:
            if self._content() != node.at:
                raise _UnusualError
            entry.inline = [properties]
            self.at = node.at + len(properties)
        start = self._content()
        if "\n" not in self.text[self.at : start]:
            if entry.head != "-" or properties or self.text[self.at : start].strip(" "):
                raise _UnusualError
            self.before, self.at = None, start
        entry.block = self._block(node, path)

    def _inline(self, entry: _Entry, node: _Node, path: _Path) -> None:
        written = self.text[node.at : node.end]
        if node.style in {"|", ">"}:
            header = written.removeprefix(self._properties(node)).lstrip(" ").partition("\n")[0]
            if not written.endswith("\n"):
                raise _UnusualError
            entry.kept = "+" in header.partition("#")[0]
            first, *lines = written.removesuffix("\n").split("\n")
            margin = next((_indent(line) for line in lines if line.strip(" ")), 0)
            while lines and not entry.kept and not lines[-1].strip(" ") and len(lines[-1]) <= margin:
                lines.pop()
            self.at = node.at + len("\n".join([first, *lines]))
            written = "\n".join([first.rstrip(), *lines])
        else:
            self.at = node.end
            if "\n" not in written:
                written = self._in_line(node, path)
        entry.inline = written.split("\n")
        self.before = (entry, "after")

    def _in_line(self, node: _Node, path: _Path) -> str:
        try:
            return self._flow(node, path)
        except _UnusualError:
            return self.text[node.at : node.end]

    def _flow(self, node: _Node, path: _Path) -> str:
        """A value on one line. Raises _UnusualError where brackets hold anything but keys, values and items."""
        properties = self._properties(node)
        lead = f"{properties} " if properties else ""
        if node.parts is None:
            return self._scalar(node)
        opening = self.text[node.at + len(properties) :].lstrip(" ")[:1]
        if opening != ("{" if node.mapping else "["):
            raise _UnusualError
        if not node.mapping:
            if any(part.at == part.end for part in node.parts):
                raise _UnusualError
            return f"{lead}[{', '.join(self._flow(part, (*path, '*')) for part in node.parts)}]"
        written: dict[str, str] = {}
        for key, value in node.pairs:
            between = self.text[key.end : value.at]
            if value.at == value.end or key.parts is not None or key.style == "*" or between.strip(" ") != ":":
                raise _UnusualError
            name = self.text[key.at : key.end].strip("\"'")
            written[name] = f"{self._scalar(key)}: {self._flow(value, (*path, name))}"
        if len(written) != len(node.pairs):
            raise _UnusualError
        return f"{lead}{{{', '.join(written[name] for name in self._sorted(written, path))}}}"

    def _scalar(self, node: _Node) -> str:
        """A scalar as it is written, but between double quotes where single ones are not needed."""
        written = self.text[node.at : node.end]
        if node.style != "'" or not written.startswith("'") or "\n" in written:
            return written
        inside = written[1:-1].replace("''", "'")
        return written if {'"', "\\"} & set(inside) else f'"{inside}"'

    def _above(self, to: int, column: int) -> list[str]:
        """
        The lines before a place: comments, and blank ones as ''. What is indented more than the column of what comes
        there stays with the blocks that ended before it. A comment on the rest of the line goes to what is on it.
        """
        first, *lines = self.text[self.at : to].split("\n")
        opening = self.at == 0 and (bool(lines) or to == len(self.text))
        comment = first.strip()
        if comment and not opening:
            if self.before is None:
                raise _UnusualError
            setattr(*self.before, (self._column(self.at) + first.index(comment), comment))
        own = [*([first] if opening else []), *(lines if to == len(self.text) else lines[:-1])]
        own = [line.rstrip() for line in own]
        if any(line and not line.lstrip(" ").startswith("#") for line in own):
            raise _UnusualError
        self.at, self.before = to, None
        ended, self.ended = self.ended, []
        stay = next((at for at, line in enumerate(own) if line and _indent(line) <= column), len(own)) if ended else 0
        stay = len(_closed(own[:stay]))
        for line in own[:stay]:
            while len(ended) > 1 and line and _indent(line) < ended[0].column:
                ended.pop(0)
            ended[0].tail.append(line.lstrip(" "))
        return [line.lstrip(" ") for line in own[stay:]]

    def _content(self) -> int:
        """Where the next thing is that is neither space nor comment."""
        found = _TRIVIA.match(self.text, self.at)
        return found.end() if found else self.at

    def _column(self, at: int) -> int:
        return at - self.text.rfind("\n", 0, at) - 1

    def _properties(self, node: _Node) -> str:
        found = _PROPERTIES.match(self.text, node.at, node.end if node.flow else len(self.text))
        return found[0] if found else ""

    # Writing

    def _sorted(self, keys: Iterable[str], path: _Path) -> list[str]:
        known = next((keys for at, keys in self.order.items() if _matches(at, path)), ())
        if self.anchored:
            return list(keys)
        return sorted(keys, key=lambda key: known.index(key) if key in known else len(known))

    def _write(self, block: _Block, indent: int, path: _Path, out: list[str], dash: str | None) -> bool:
        """Write a block behind `dash`, which its first line begins with; and say whether it ends as `kept` says."""
        kept, entries = False, block.entries
        if entries[0].head != "-":
            order = self._sorted([entry.key for entry in entries], path)
            entries = sorted(entries, key=lambda entry: order.index(entry.key))
        for number, entry in enumerate(entries):
            lead = _single(entry.lead, opening=number == 0 or kept)
            margin = " " * (indent if dash is None or number else _indent(dash))
            out.extend(f"{margin}{line}".rstrip() for line in lead)
            kept = self._write_entry(entry, indent, (*path, entry.key), out, None if number else dash)
        tail = _single(block.tail, opening=kept)
        out.extend(f"{' ' * indent}{line}".rstrip() for line in tail)
        return kept and not tail

    def _write_entry(self, entry: _Entry, indent: int, path: _Path, out: list[str], dash: str | None) -> bool:
        shift, prefix = indent - entry.column, " " * indent if dash is None else dash
        if entry.joined and entry.block is not None:
            return self._write(entry.block, indent + _STEP, path, out, f"{prefix}- ")
        inline = entry.inline if entry.hanging is None else []
        first = " ".join(part for part in (entry.head, *inline[:1]) if part)
        out.append(f"{prefix}{first}")
        if entry.hanging is not None:
            _comment(out, entry.beside, shift)
            out.extend(f"{' ' * (indent + _STEP)}{line}".rstrip() for line in _single(entry.above, opening=True))
            column = indent + _STEP if len(entry.inline) == 1 else max(entry.hanging + shift, indent + 1)
            out.append(" " * column + entry.inline[0])
        out.extend(_shifted(line, shift) for line in entry.inline[1:])
        _comment(out, entry.after if entry.hanging is not None else entry.beside or entry.after, shift)
        if entry.block is not None:
            return self._write(entry.block, indent + _STEP, path, out, None)
        return entry.kept


def _matches(pattern: _Path, path: _Path) -> bool:
    return len(pattern) == len(path) and all(one in {"*", other} for one, other in zip(pattern, path, strict=True))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _shifted(line: str, shift: int) -> str:
    if shift >= 0:
        return " " * shift + line if line else line
    return line[min(-shift, _indent(line)) :]


def _comment(out: list[str], comment: tuple[int, str] | None, shift: int) -> None:
    """Put a comment behind the last line: where it was, if there is room for two spaces before it."""
    if comment is not None:
        column, text = comment
        out[-1] = out[-1].ljust(max(len(out[-1]) + 2, column + shift)) + text


def _single(lines: Iterable[str], *, opening: bool = False) -> list[str]:
    """Lines with one blank line in place of several, and none at the beginning of a block."""
    kept: list[str] = []
    for line in lines:
        if line or (kept[-1] if kept else not opening):
            kept.append(line)
    return kept


def _closed(lines: list[str]) -> list[str]:
    """Lines without blank ones at the end."""
    end = max((at for at, line in enumerate(lines, 1) if line), default=0)
    return lines[:end]
