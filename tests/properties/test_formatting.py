"""One layout however a manifest is written: the same meaning, each comment at its key, and nothing to do twice."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.desired import resolve
from reconciler.ports import SourceFile
from reconciler.reading.manifest import KEY_ORDER, parse
from reconciler.writing.canonical import canonical, comments
from tests.manifest_texts import Data, manifests, said


class Hand:
    """Somebody who writes a manifest in a way of their own: each key has its number, and comments name it."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.keys = 0

    def one_of(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def scalar(self, value: Any) -> str:
        if isinstance(value, str) and "'" not in value and value.isprintable() and self.one_of(True, False):
            return f"'{value}'"
        return json.dumps(value, ensure_ascii=False)

    def flow(self, value: Any) -> str:
        gap, inner = self.one_of("", " "), self.one_of("", " ", "  ")
        match value:
            case dict():
                pairs = (f"{self.scalar(key)}{gap}: {self.flow(item)}" for key, item in cast(Data, value).items())
                return "{" + inner + f"{gap},{inner}".join(pairs) + inner + "}"
            case list():
                return "[" + inner + f",{gap}".join(map(self.flow, cast(list[Any], value))) + inner + "]"
            case _:
                return self.scalar(value)

    def lines(self, value: Any, indent: int) -> list[str]:
        """A block that is indented by so many spaces."""
        entries: list[tuple[str, Any]] = (
            [("- ", item) for item in cast(list[Any], value)]
            if isinstance(value, list)
            else [(f"{self.scalar(key)}:", item) for key, item in cast(Data, value).items()]
        )
        lines: list[str] = []
        for head, item in entries:
            self.keys += 1
            number, margin = f"{'item' if head == '- ' else 'key'} {self.keys}", " " * indent
            lines.extend(self.one_of([], [], [""], ["", " "]))
            if above := self.one_of(True, False, False):
                lines.append(f"{margin}# above {number}")
            lines.extend([""] if above and self.keys > 1 and self.one_of(True, False, False) else [])
            beside = self.one_of("", "", f" # beside {number}", f"      # beside {number}  ")
            lines.extend(self.entry(head.strip(), item, margin, beside, number))
        return lines

    def entry(self, head: str, item: Any, margin: str, beside: str, number: str) -> list[str]:
        step = self.data.draw(st.integers(1, 5))
        text = isinstance(item, str) and item and re.fullmatch(r"[ -~]*[!-~]", item) and not item.startswith(" ")
        if text and self.one_of(True, False):
            style = self.one_of("|-", ">-")
            return [f"{margin}{head} {style}{beside}", f"{margin}{' ' * step}{item}"]
        if not isinstance(item, dict | list) or not item or self.one_of(True, False, False):
            space = " " * self.data.draw(st.integers(1, 3))
            return [f"{margin}{head}{space}{self.flow(item)}{beside}"]
        below = self.lines(cast(Any, item), len(margin) + step)
        if head == "-" and not beside and below[0].strip()[:1] not in {"", "#"}:
            below[0] = f"{margin}- {' ' * (step - 2)}{below[0].strip(' ')}" if step > 1 else below[0]
            return below if step > 1 else [f"{margin}-", *below]
        return [f"{margin}{head}{beside}", *below, *self.one_of([], [f"{margin} # below {number}"])]

    def manifest(self, value: Data) -> str:
        keys = self.data.draw(st.permutations(list(value)))
        lines = self.lines({key: value[key] for key in keys}, 0)
        head = self.one_of([], ["# yaml-language-server: $schema=x"], ["# of all", ""])
        return "\n".join([*head, *lines, *self.one_of([""], ["", "", ""])])


COMMENT = re.compile(r"# (above|beside|below) (item|key) (\d+)")


def belonging(text: str) -> Mapping[str, str]:
    """The key or the dash that each comment belongs to: on its line, or on the next one that says anything."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    for at, line in enumerate(lines):
        for comment in COMMENT.finditer(line):
            below = next((other for other in lines[at:] if other.strip() and not other.lstrip().startswith("#")), "")
            entry = below.strip() if comment[2] == "item" else below.strip().lstrip("- ")
            found[comment[0]] = {"below": "", "item": entry[:1], "key": re.split(r"[\"'] *:", entry)[0].strip("\"'")}[
                "below" if comment[1] == "below" else comment[2]
            ]
    return found


def declared(text: str) -> list[Data]:
    fragments, problems = parse([SourceFile("m.yaml", text.encode())])
    assert not problems, problems
    return [said(model) for model in resolve(fragments)[0].values()]


@given(manifests, st.data())
def test_any_manifest_is_brought_into_one_layout(value: Data, data: st.DataObject) -> None:
    text = Hand(data).manifest(value)
    fragments, problems = parse([SourceFile("m.yaml", text.encode())])
    if problems or resolve(fragments)[1]:
        return

    after = canonical(text, KEY_ORDER)

    assert declared(after) == declared(text)
    assert canonical(after, KEY_ORDER) == after
    assert sorted(comments(after)) == sorted(comments(text))
    assert belonging(after) == belonging(text)
    assert not re.search(r"\n\n\n|[ \t]\n", after)
