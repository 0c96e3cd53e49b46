"""
What names look like: characters that nobody sees, letters that are drawn alike, and words of several scripts.

Letters are compared by their skeletons, after Unicode Technical Standard 39. Its data is that of the library
`confusable-homoglyphs`; it is read when the first name comes that is not ASCII.
"""

import string
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import groupby
from typing import TypeAlias

# Unicode's Default_Ignorable_Code_Point (17.0), which Python does not have: drawn as nothing where they are not in use.
_IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_IGNORABLE_FROM = tuple(first for first, _ in _IGNORABLE)
_BLANK = frozenset("\u1680\u2800\U0001d159")
"""What is drawn as empty space and is no ignorable: an ogham space, a braille pattern, a note head."""

# What NFKC changes in Thai and Lao are the letters that every keyboard there types (UAX 31, section 5.1).
_TYPED_LIKE_THIS = str.maketrans({"\u0e33": "", "\u0eb3": ""})

# What the standard has of ASCII, so that names in ASCII need no table.
# See unit/test_looks.py::test_the_skeletons_of_ascii_are_those_of_the_library.
_ASCII = str.maketrans({"0": "O", "1": "l", "I": "l", "|": "l", "m": "rn", '"': "''", "`": "'", "%": "º/₀"})

_JAPANESE = frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"})
_CHINESE = frozenset({"LATIN", "HAN", "BOPOMOFO"})
_KOREAN = frozenset({"LATIN", "HAN", "HANGUL"})
_WRITTEN_TOGETHER = (_JAPANESE, _CHINESE, _KOREAN)
_NO_SCRIPT = frozenset({"COMMON", "INHERITED"})


def is_ignorable(character: str) -> bool:
    """Whether Unicode calls it default ignorable: a variation selector, a filler, a joiner, a tag."""
    at = bisect_right(_IGNORABLE_FROM, ord(character)) - 1
    return at >= 0 and ord(character) <= _IGNORABLE[at][1]


def is_unseen(character: str) -> bool:
    """Whether a reader would not see it, or no font is sure to draw it; a space in ASCII is seen well enough."""
    if character.isascii():
        # What is printable in ASCII are its letters, digits, signs and the space: most of what is ever asked about.
        return not character.isprintable()
    category = unicodedata.category(character)
    unseen = category in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"} or (category == "Zs" and character != " ")
    return unseen or character in _BLANK or is_ignorable(character)


def is_plain(text: str) -> bool:
    """Whether it is ASCII, of which what Python calls printable is seen: most texts are, and need no closer look."""
    return text.isascii() and text.isprintable()


def unseen_fault(name: str) -> str | None:
    """Which character of a name nobody sees, or None."""
    if is_plain(name):
        return None
    return next((f"it holds {described(c)}, which nobody sees" for c in name if is_unseen(c)), None)


def plainer(name: str) -> str | None:
    """How a name is spelled without letters that stand for others, such as full-width ones or ligatures (NFKC)."""
    if name.isascii() or unicodedata.is_normalized("NFKC", name.translate(_TYPED_LIKE_THIS)):
        return None
    return unicodedata.normalize("NFKC", name)


def described(character: str) -> str:
    """A character by its number and name, for those who cannot tell it by sight."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def folded(text: str) -> str:
    """A text as it is compared where a difference that nobody sees must make none."""
    return unicodedata.normalize("NFKC", text).casefold()


Look: TypeAlias = tuple[bool, str]


def looks(name: str) -> frozenset[Look]:
    """What two names that look alike have in common: the skeleton, of the letters as they are or of small ones."""
    return frozenset({(False, skeleton(name)), (True, skeleton(name.lower()))})


def telling_apart(name: str, other: str) -> str:
    """Which letter of a name is not the one that it looks like; of two names in ASCII, that they are two."""
    letter = next((c for c in name if not c.isascii() and c not in other), "")
    return f"its letter `{letter}` is {described(letter)}" if letter else "they differ only in letters that look alike"


@lru_cache(4096)
def skeleton(text: str) -> str:
    """The text with each letter replaced by the one that all drawn like it stand for (UTS 39, section 4)."""
    if text.isascii():
        return text.translate(_ASCII)
    prototypes = _prototypes()
    seen = (c for c in unicodedata.normalize("NFD", text) if not is_ignorable(c))
    return unicodedata.normalize("NFD", "".join(prototypes.get(c, c) for c in seen))


def drawn(text: str) -> str:
    """The text with each letter replaced by one of ASCII that is drawn like it, where there is one."""
    if text.isascii():
        return text
    letters = _in_ascii()
    return "".join(letters.get(c, c) for c in unicodedata.normalize("NFKD", text) if not is_ignorable(c))


def mixed_word(name: str) -> tuple[str, tuple[str, ...]] | None:
    """
    The first word that mixes scripts which are not written together, and these; None where there is none. Latin beside
    what Japanese, Chinese or Korean is written in is no mixture (UTS 39: "highly restrictive").
    """
    if name.isascii():
        return None
    letters = "".join(c for c in name if unicodedata.category(c)[0] not in "CM")
    for is_word, group in groupby(letters, lambda c: c.isalnum()):
        word = "".join(group)
        scripts = frozenset(map(_script, word)) - _NO_SCRIPT if is_word else frozenset[str]()
        if len(scripts) > 1 and not any(scripts <= together for together in _WRITTEN_TOGETHER):
            return word, tuple(sorted(script.capitalize() for script in scripts))
    return None


@cache
def _script(character: str) -> str:
    from confusable_homoglyphs import categories

    return str(categories.alias(character))  # pyright: ignore[reportUnknownMemberType]  # untyped upstream


@cache
def _prototypes() -> Mapping[str, str]:
    """
    Which letter stands for a class of letters drawn alike. The library lists the pairs of the standard both ways round:
    a class is a star, and what stands for it is in the middle. It puts marks around what is written from right to left.
    """
    from confusable_homoglyphs import confusables

    pairs: dict[str, set[str]] = {}
    for one, others in confusables.confusables_data.items():
        bare = (other["c"].replace("\u200e", "") for other in others)
        pairs.setdefault(one.replace("\u200e", ""), set()).update(bare)
    found: dict[str, str] = {}
    for one, others in pairs.items():
        if len(one) == 1 and len(others) == 1:
            (other,) = others
            # Of a class of two, either may stand for both.
            found[one] = min(one, other) if len(pairs[other]) == 1 and len(other) == 1 else other
    return {
        one: "".join(found.get(c, c) for c in unicodedata.normalize("NFD", prototype))
        for one, prototype in found.items()
    }


@cache
def _in_ascii() -> Mapping[str, str]:
    """For each letter that is drawn like one of ASCII, that one: of several the prototype, such as `l` of `1`, `I`."""
    prototypes = _prototypes()
    own_last = sorted(string.ascii_letters + string.digits, key=lambda c: c not in prototypes)
    letters = {prototypes.get(c, c): c for c in own_last}
    return {c: letters[stands] for c, stands in prototypes.items() if not c.isascii() and stands in letters}
