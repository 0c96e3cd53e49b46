"""
Changes of a YAML text in place: all that is not changed stays as it is, byte for byte, with comments, quotes and blank
lines. It works on the places at which PyYAML read a value, and writes nothing but what is set, added or taken away.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from itertools import islice
from typing import TypeAlias

import yaml

from reconciler.errors import ReconcilerError
from reconciler.writing.canonical import comments

Path: TypeAlias = Sequence[str | int]
"""Keys and indexes, from the top of a document to a value."""

Value: TypeAlias = "int | str | list[Value] | dict[str, Value] | None"
"""What can be written."""

_STEP = 2
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*(?: [A-Za-z_][\w.-]*)*", re.ASCII)
# The id of a run, as MLflow makes them: no reader of YAML takes one with such a letter for a number.
_RUN_ID = re.compile(r"(?!0b)(?=[0-9a-f]*[abcdf])[0-9a-f]{32}", re.ASCII)
_NO_TEXT = re.compile(r"(?i)true|false|yes|no|on|off|y|n|null|nan|inf")


class NotEditableError(ReconcilerError):
    """What is written there can only be changed by hand."""


def get(text: str, document: int, path: Path) -> bool:
    """Whether a document has a value at that path."""
    return _Document(text, document).find(path) is not None


def put(text: str, document: int, path: Path, value: Value, *, first: bool = False) -> str:
    """
    The text with a value at that path of one of its documents, counted from 0: in place of what is there, or added
    below what there is of the path, as the `first` of its keys if asked. Raises NotEditableError for what anchors,
    merges or tags make up.
    """
    edited = _Document(text, document)
    node = edited.find(path)
    if node is not None:
        return edited.with_value(path, node, value)
    for length in range(len(path) - 1, -1, -1):
        parent = edited.find(path[:length])
        if parent is not None:
            for key in reversed(path[length + 1 :]):
                value = {str(key): value}
            if first and isinstance(parent, yaml.MappingNode) and parent.value:
                return edited.with_first(parent, f"{path[length]}: {flow(value)}")
            return edited.with_entry(path[:length], parent, path[length], value)
    raise NotEditableError(f"The text has no document {document + 1}.")


def remove(text: str, document: int, path: Path) -> str:
    """The text without the value at that path; comments beside it stay. Raises as `put` does."""
    return _Document(text, document).without(path)


@dataclass(slots=True)
class _Document:
    """One document of a text, as PyYAML's nodes: their marks are places in the text."""

    text: str
    number: InitVar[int]
    root: yaml.Node | None = field(init=False)

    def __post_init__(self, number: int) -> None:
        self.root = next(islice(yaml.compose_all(self.text, yaml.SafeLoader), number, None), None)

    def find(self, path: Path) -> yaml.Node | None:
        node = self.root
        for key in path:
            if node is None:
                return None
            node = self._below(node, key)
        return node

    def _below(self, node: yaml.Node, key: str | int) -> yaml.Node | None:
        if isinstance(node, yaml.MappingNode):
            for its, value in _pairs(node):
                if its.value == key:
                    if value.start_mark.index < its.end_mark.index:
                        raise _by_hand(its, f"`{key}` repeats what an anchor holds")
                    return value
                if its.tag == "tag:yaml.org,2002:merge":
                    raise _by_hand(its, "a merge key adds to this mapping")
            return None
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            return _items(node)[key] if key < len(node.value) else None
        return None

    def with_value(self, path: Path, node: yaml.Node, value: Value) -> str:
        start, end = node.start_mark.index, self._end(node)
        if _has_properties(self.text, node):
            raise _by_hand(node, "it has an anchor or a tag")
        in_flow = self._in_flow(path[:-1])
        if not isinstance(value, dict | list) or not value or in_flow or self._rest(end):
            written = flow(value)
            # A block collection begins on a line of its own, and a value after its key.
            lead = self.text[:start].rpartition("\n")[2]
            if not lead.strip() and path and isinstance(path[-1], str):
                key = self._key(path)
                return self.text[: key.end_mark.index] + ": " + written + self._kept(key, start, end) + self.text[end:]
            gap = "" if start == 0 or self.text[start - 1].isspace() or in_flow else " "
            return self.text[:start] + gap + written + self.text[end:]
        parent = self._key(path).start_mark.column if path and isinstance(path[-1], str) else node.start_mark.column
        indent, before = parent + self._step(), self.text[:start].rstrip(" ")
        kept = "".join(f"{' ' * indent}{comment}\n" for comment in self._inside(start, end))
        return before + ("" if before.endswith("\n") else "\n") + kept + _block(value, indent) + self.text[end:]

    def _kept(self, key: yaml.Node, start: int, end: int) -> str:
        """Comments between a key and the value that stood below it, and inside of that."""
        between, indent = self.text[key.end_mark.index : start], " " * (key.start_mark.column + self._step())
        comments = [*re.findall(r"#[^\n]*", between.partition(":")[2]), *self._inside(start, end)]
        return "".join(f"  {comment}" if at == 0 else f"\n{indent}{comment}" for at, comment in enumerate(comments))

    def _inside(self, start: int, end: int) -> Iterator[str]:
        """The comments inside of a value, which is read with its indentation."""
        return comments(self.text[self.text.rfind("\n", 0, start) + 1 : end])

    def with_entry(self, path: Path, parent: yaml.Node, key: str | int, value: Value) -> str:
        """A mapping with one more key, or a list with one more item."""
        pair = "" if isinstance(key, int) else f"{_scalar(key)}: "
        if _has_properties(self.text, parent):
            raise _by_hand(parent, "it has an anchor or a tag")
        if not isinstance(parent, yaml.CollectionNode):
            if parent.value or not path:
                raise _by_hand(parent, "it is neither a mapping nor a list")
            return self.with_value(path, parent, {str(key): value})
        children: list[yaml.Node] = (
            [v for _, v in _pairs(parent)] if isinstance(parent, yaml.MappingNode) else _items(parent)
        )
        if parent.flow_style or not children:
            if not children:
                inner = f"{pair}{flow(value)}"
                brackets = f"{{{inner}}}" if isinstance(parent, yaml.MappingNode) else f"[{inner}]"
                return self.text[: parent.start_mark.index] + brackets + self.text[parent.end_mark.index :]
            at = self._end(children[-1])
            return f"{self.text[:at]}, {pair}{flow(value)}{self.text[at:]}"
        at, column = self._line_after(self._end(children[-1])), parent.start_mark.column
        dash = "- " if isinstance(key, int) else ""
        if isinstance(value, dict | list) and value:
            entry = " " * column + f"{dash}{pair}".rstrip() + "\n" + _block(value, column + self._step())
        else:
            entry = " " * column + f"{dash}{pair}{flow(value)}"
        before = self.text[:at]
        return f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{entry}\n{self.text[at:]}"

    def with_first(self, parent: yaml.MappingNode, entry: str) -> str:
        """A mapping with one more key, before all others."""
        if _has_properties(self.text, parent):
            raise _by_hand(parent, "it has an anchor or a tag")
        at = _pairs(parent)[0][0].start_mark
        gap = ", " if parent.flow_style else "\n" + " " * at.column
        return self.text[: at.index] + entry + gap + self.text[at.index :]

    def without(self, path: Path) -> str:
        node, parent = self.find(path), self.find(path[:-1])
        if node is None or not isinstance(parent, yaml.CollectionNode):
            return self.text
        if isinstance(parent, yaml.MappingNode):
            starts: list[yaml.Node] = [k for k, _ in _pairs(parent)]
            ends: list[yaml.Node] = [v for _, v in _pairs(parent)]
            at = next(i for i, k in enumerate(starts) if k.value == path[-1])
        else:
            starts = ends = _items(parent)
            at = int(path[-1])
        if len(starts) == 1:
            return self.with_value(path[:-1], parent, [] if isinstance(parent, yaml.SequenceNode) else {})
        begin, end = starts[at].start_mark.index, self._end(ends[at])
        if parent.flow_style and any(comments(self.text[parent.start_mark.index : parent.end_mark.index])):
            raise _by_hand(parent, "comments stand between its brackets")
        if parent.flow_style:
            if at + 1 < len(starts):
                return self.text[:begin] + self.text[starts[at + 1].start_mark.index :]
            return self.text[: self._end(ends[at - 1])] + self.text[end:]
        line = self.text.rfind("\n", 0, begin) + 1
        after = self._line_after(end)
        # Read where it stands: its lines are indented as the first is.
        lead, kept = self.text[line:begin], list(comments(" " * (begin - line) + self.text[begin:after]))
        own = lead.strip(" ") == ("-" if isinstance(parent, yaml.SequenceNode) else "")
        if not own:
            raise _by_hand(starts[at], "it begins on the line of something else")
        indent = " " * parent.start_mark.column
        return self.text[:line] + "".join(f"{indent}{comment}\n" for comment in kept) + self.text[after:]

    def _key(self, path: Path) -> yaml.Node:
        parent = self.find(path[:-1])
        if isinstance(parent, yaml.MappingNode):
            return next(key for key, _ in _pairs(parent) if key.value == path[-1])
        raise NotEditableError(f"`{path[-1]}` is not there.")

    def _end(self, node: yaml.Node) -> int:
        """Where a value ends: a block's mark is behind the comments and blank lines that follow it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            return self._end(_last(node))
        end = node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            return node.start_mark.index + len(self.text[node.start_mark.index : end].rstrip("\n"))
        return end

    def _rest(self, at: int) -> str:
        """What stands behind a place on its line."""
        return self.text[at:].partition("\n")[0].strip()

    def _line_after(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def _in_flow(self, path: Path) -> bool:
        nodes = (self.find(path[:length]) for length in range(len(path) + 1))
        return any(isinstance(node, yaml.CollectionNode) and node.flow_style for node in nodes)

    def _step(self) -> int:
        """By how much this document indents."""
        root = self.root
        if isinstance(root, yaml.MappingNode) and not root.flow_style:
            for _, value in _pairs(root):
                if isinstance(value, yaml.MappingNode) and not value.flow_style:
                    return value.start_mark.column - root.start_mark.column or _STEP
        return _STEP


def _pairs(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(node.value)


def _items(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value)


def _last(node: yaml.CollectionNode) -> yaml.Node:
    if isinstance(node, yaml.MappingNode):
        key, value = _pairs(node)[-1]
        # An alias has the marks of its anchor, and an empty value those of its key's colon.
        return key if value.start_mark.index < key.end_mark.index else value
    return _items(node)[-1]


def _has_properties(text: str, node: yaml.Node) -> bool:
    return text[node.start_mark.index : node.start_mark.index + 1] in {"&", "!", "*"}


def _by_hand(node: yaml.Node, why: str) -> NotEditableError:
    line = node.start_mark.line + 1
    return NotEditableError(f"Line {line} cannot be changed by a command: {why}.", "Change it by hand.")


def _scalar(value: int | str | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    plain = (_PLAIN.fullmatch(value) and not _NO_TEXT.fullmatch(value)) or _RUN_ID.fullmatch(value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def flow(value: Value) -> str:
    """A value on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return _scalar(value)


def _block(value: Value, column: int) -> str:
    """A mapping or a list as lines, each indented by `column` spaces, without the last line's end."""
    indent = " " * column
    if isinstance(value, dict):
        return "\n".join(
            f"{indent}{_scalar(key)}:\n{_block(item, column + _STEP)}"
            if isinstance(item, dict | list) and item
            else f"{indent}{_scalar(key)}: {flow(item)}"
            for key, item in value.items()
        )
    if isinstance(value, list):
        return "\n".join(f"{indent}- {flow(item)}" for item in value)
    return indent + _scalar(value)
