"""Lines for a terminal: styled pieces, wrapped between words and set in columns, so that they fit its width."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from reconciler.core.text import clean

Piece: TypeAlias = tuple[str, str]
"""A style (`add`, `remove`, `change`, `warn`, `error`, `name`, `faint` or empty) and the text that has it."""
Line: TypeAlias = tuple[Piece, ...]

WIDTH = 80
"""Where there is no terminal to tell."""

NARROWEST_CELL = 8


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for _, text in line)


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in {"Mn", "Me", "Cf"} else 1 + (unicodedata.east_asian_width(c) in {"W", "F"})
        for c in text
    )


def padded(text: str, width: int) -> str:
    """The text and as many spaces as make it that wide."""
    return text + " " * (width - cells(text))


def diff_lines(diff: Iterable[str], indent: str = "") -> Iterator[Line]:
    """The lines of a unified diff in its colours."""
    for line in diff:
        yield (({"+": "add", "-": "remove", "@": "faint"}.get(line[:1], ""), indent + clean(line)),)


def flowed(head: Line, body: Line, width: int) -> Iterator[Line]:
    """
    The body beside its head, and continued below itself. It is broken between words only: a word that is wider than
    the terminal stays whole, so that it can be copied.
    """
    used = cells(plain(head))
    hang = used if used <= width // 2 else 4
    line = list(head)
    for gap, word in _words(body):
        size = cells(plain(word))
        if used > hang and used + len(gap) + size > width:
            yield _merged(line)
            line, used = [("", " " * hang), *word], hang + size
        else:
            line += [(word[0][0] if line and line[-1][0] == word[0][0] else "", gap), *word]
            used += len(gap) + size
    yield _merged(line)


def _words(body: Line) -> Iterator[tuple[str, Line]]:
    """Each word, which may have several styles, with the spaces before it."""
    gap, word = "", list[Piece]()
    for style, text in body:
        for part in re.findall(" +|[^ ]+", text):
            if not part.startswith(" "):
                word.append((style, part))
            elif word:
                yield gap, tuple(word)
                gap, word = part, []
            else:
                gap += part
    if word:
        yield gap, tuple(word)


def _merged(line: Iterable[Piece]) -> Line:
    merged = list[Piece]()
    for style, text in line:
        if merged and merged[-1][0] == style:
            merged[-1] = (style, merged[-1][1] + text)
        elif text:
            merged.append((style, text))
    if merged:
        merged[-1] = (merged[-1][0], merged[-1][1].rstrip(" "))
    return tuple(merged)


def table(rows: Sequence[Line], width: int, indent: int) -> Iterator[Line]:
    """Rows of cells, a piece each. Where they are too wide, the widest columns are made narrower and wrapped."""
    widths = [max(cells(row[column][1]) for row in rows) for column in range(len(rows[0]))]
    room = width - indent - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > NARROWEST_CELL:
        widths[widths.index(max(widths))] -= 1
    for row in rows:
        columns = [list(_broken(text, wide)) for (_, text), wide in zip(row, widths, strict=True)]
        for at in range(max(map(len, columns))):
            line: list[Piece] = [("", " " * indent)]
            for (style, _), lines, wide in zip(row, columns, widths, strict=True):
                text = lines[at] if at < len(lines) else ""
                line += [(style, text), ("", " " * (wide - cells(text) + 2))]
            yield _merged(line)


def _broken(text: str, width: int) -> Iterator[str]:
    """The lines of a cell. What is wider than its column is broken anywhere: nothing of it is left out."""
    line = ""
    for word in text.split(" "):
        if line and cells(line) + 1 + cells(word) <= width:
            line += f" {word}"
            continue
        if line:
            yield line
        line = word
        while cells(line) > width:
            end = next(n for n in range(1, len(line) + 1) if cells(line[: n + 1]) > width)
            yield line[:end]
            line = line[end:]
    yield line
