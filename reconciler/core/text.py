"""
Text from outside, made fit to be shown: a terminal obeys some characters, a reader does not see others, and some of it
is secret. `plain` is for what becomes part of a sentence of ours, `clean` for sentences and names as they are shown.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from reconciler.core.looks import described, folded, is_ignorable, is_plain

MOST_SHOWN = 60
SHORTEST_SECRET = 4
LONGEST_TYPED = 256
"""A name longer than that was not typed: nothing that is near to it is looked for."""

_ISOLATE, _END = "\u2068", "\u2069"
_ISOLATED = re.compile(f"{_ISOLATE}([^{_ISOLATE}{_END}]*){_END}")
_EMOJI_STYLES = "\ufe0e\ufe0f"


@lru_cache(4096)
def clean(text: str) -> str:
    """
    The text on one line, with everything that a terminal would obey or a reader would not see written out. What reads
    from right to left is isolated, so that nothing around it changes its place.
    """
    if is_plain(text):
        return text
    bare = _ISOLATED.sub(lambda found: found[1] if _is_run(found[1]) else found[0], text)
    shown = "".join(map(_visible, bare, f" {bare}"))
    return _isolated(shown)


def _visible(character: str, before: str) -> str:
    if character == "\n":
        return "\\n"
    if character in _EMOJI_STYLES and unicodedata.category(before) == "So":
        return character
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or is_ignorable(character):
        return character.encode("unicode_escape").decode("ascii")
    return character


def _isolated(text: str) -> str:
    """Each stretch from one letter that is written from right to left to the last one before others come, isolated."""
    directions = "".join(_direction(c) for c in text)
    parts: list[str] = []
    end = 0
    for found in re.finditer("R(?:[^L]*R)?M*", directions):
        parts += [text[end : found.start()], _ISOLATE, text[found.start() : found.end()], _END]
        end = found.end()
    return "".join([*parts, text[end:]])


def _is_run(text: str) -> bool:
    return re.fullmatch("R(?:[^L]*R)?M*", "".join(_direction(c) for c in text)) is not None


def _direction(character: str) -> str:
    match unicodedata.bidirectional(character):
        case "R" | "AL":
            return "R"
        case "L" | "EN" | "AN":
            return "L"
        case "NSM":
            return "M"
        case _:
            return " "


def quoted(text: str) -> str:
    """A value that people wrote: cleaned, cut where it is long, in quotes."""
    return f'"{cut(clean(text), MOST_SHOWN)}"'


def cut(shown: str, longest: int) -> str:
    """Cleaned text of at most that length, marked where it was cut."""
    if len(shown) <= longest:
        return shown
    kept = shown[: longest - 1]
    return f"{kept}{_END if kept.rfind(_ISOLATE) > kept.rfind(_END) else ''}…"


def plain(text: str, limit: int = 300) -> str:
    """The text on one line and not too long, with spaces for what a terminal would obey or a reader would not see."""
    if not is_plain(text):
        text = "".join(c if c.isprintable() and not is_ignorable(c) else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def ended(text: str) -> str:
    """A text with an end, so that another sentence can follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def amount(number: int, noun: str, several: str = "") -> str:
    """`1 file`, `2 files`; `several` is the plural that is not formed like that."""
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def without_credentials(text: str) -> str:
    """
    The text, of which addresses are a part, without the user info in them, and without the passwords that databases
    take in the query. It rather cuts too much: a password may hold an `@`.
    """
    return re.sub(r"(?i)([?&][^=&\s]*(?:passw|secret|token)[^=&\s]*=)[^&\s]*", r"\1…", re.sub(r"://\S*@", "://", text))


def without_logins(prose: str) -> str:
    """What people wrote, as it is, but for the user info of its URLs: there are tokens in some of them."""
    return re.sub(r"(://)[^/?#\s@]*(?:@[^/?#\s@]*)*@", r"\1", prose)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with `***` in the place of secrets that are known. What is too short to be one is not looked for."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to do about a name that is not among the known ones: the nearest of these, if one is near."""
    near = nearest(name, known)
    if near is None:
        return otherwise
    odd = max((c for c in near if c not in name and folded(near) == folded(name)), default="a")
    return f"Did you mean `{plain(near)}`{'' if odd.isascii() else f', which has {described(odd)}'}?"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one is near to, whatever the case of letters, if there is one."""
    from difflib import get_close_matches

    by_folded = {one.casefold(): one for one in known}
    found = get_close_matches(name.casefold(), by_folded, 1, 0.55) if len(name) <= LONGEST_TYPED else []
    return by_folded[found[0]] if found else None
