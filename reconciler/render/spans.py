"""
Text in Markdown that a forge shows and does not obey: in code spans neither Markdown nor HTML, mentions, references,
links or slash commands mean anything.
"""

import html
import re
from collections.abc import Iterator

from reconciler.core.limits import CELL_CHARACTERS
from reconciler.core.text import clean


def code(text: str, longest: int = 2000) -> str:
    """A code span that holds this text: its fence is longer than any run of backticks in it (CommonMark 6.1)."""
    return _span(brief(text, longest))


def _span(shown: str) -> str:
    if not shown:
        return "`–`"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """
    The same for a cell of a table. Renderers disagree about what a pipe behind backslashes means there, even in a code
    span, so a text with a pipe is written as HTML, with everything in it that could mean something as a number.
    """
    return _cell(brief(text, CELL_CHARACTERS))


def _cell(shown: str) -> str:
    if "|" not in shown:
        return _span(shown)
    return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in shown)}</code>"


def prose(text: str, longest: int = 2000) -> str:
    """
    A sentence, ours or another's, that may stand in a table too. Plain words and figures stay as they are; whatever a
    forge could take for more stands in code spans, and so does what stands between backticks.
    """
    shown = brief(text, longest)
    return "".join(gap + (_cell(part) if coded else part) for gap, part, coded in _parts(shown)) or "`–`"


def _parts(text: str) -> Iterator[tuple[str, str, bool]]:
    """Gap, part, and whether it goes into a code span; two that do and are neighbors are one."""
    held: tuple[str, str] | None = None
    for gap, part, coded in _words(text):
        if coded:
            held = (gap, part) if held is None else (held[0], held[1] + gap + part)
            continue
        if held is not None:
            yield *held, True
            held = None
        yield gap, part, False
    if held is not None:
        yield *held, True


_WORD = re.compile(r"(\s*)(?:`([^`]+)`|(\u2068[^\u2069]*\u2069|[^\s`\u2068]+|.))")
_AROUND = re.compile(r"""([("']*)(.*?)([)"'.,;:?]*)""", re.DOTALL)
_HARMLESS = re.compile(
    r"[^\W_]+(?:['’-][^\W_]+)*%?"  # words, and with hyphens
    r"|\d+(?:[.,]\d+)*%?|\d\d?:\d\d(?::\d\d)?"  # figures and times
    r"|->|[-–…]|"
)
_REFERENCE = re.compile(r"[0-9a-f]{7,}|[a-z][a-z0-9]*-\d+", re.IGNORECASE)
"""A commit, or something in a tracker (`GH-7`)."""


def _words(text: str) -> Iterator[tuple[str, str, bool]]:
    for number, found in enumerate(_WORD.finditer(text)):
        gap, marked, word = (" " if found[1] else ""), found[2], found[3]
        if marked is not None:
            yield gap, marked, True
            continue
        around = _AROUND.fullmatch(word)
        before, core, after = around.groups() if around else ("", word, "")
        first = number == 0 and not (core[:1].isalpha() or (core[:1].isdigit() and not after))
        if first or not _HARMLESS.fullmatch(core) or _REFERENCE.fullmatch(core):
            if first:
                yield gap, word, True
                continue
            if before:
                yield gap, before, False
                gap = ""
            yield gap, core, True
            if after:
                yield "", after, False
        else:
            yield gap, word, False


def brief(text: str, longest: int, *, strip: bool = True) -> str:
    """Cleaned text of at most that length, marked where it was cut."""
    # Of a long text only the beginning is looked at; of what is cut here, nothing would be shown.
    text = text[: 2 * longest] + " …" if len(text) > 2 * longest else text
    shown = clean(text).strip() if strip else clean(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def raw(text: str) -> str:
    """Text inside a block of HTML, in which Markdown is not obeyed."""
    return html.escape(clean(text))
