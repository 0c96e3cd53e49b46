"""Text from outside, made fit to be shown: a terminal obeys some characters, and a reader does not see others."""

import unicodedata

MOST_SHOWN = 60


def clean(text: str) -> str:
    """The text on one line, with everything that a terminal would obey or a reader would not see written out."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == "\n":
        return "\\n"
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def quoted(text: str) -> str:
    """A value that people wrote: cleaned, cut where it is long, in quotes."""
    shown = clean(text)
    return f'"{shown if len(shown) <= MOST_SHOWN else shown[: MOST_SHOWN - 1] + "…"}"'
