"""What must have been written about a version."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reconciler.core.gate import CANDIDATE, Entrance, FactKey, Facts, Judgement, failed, passed, unknown
from reconciler.core.names import MAX_DESCRIPTION
from reconciler.core.text import amount, plain


@dataclass(frozen=True, slots=True)
class Description:
    """
    The version's description has so many characters that can be seen, and matches a pattern (`*`, `?`, `[…]`) as a
    whole, letter by letter: `*JIRA-*` asks for a ticket anywhere.
    """

    minimum: int = 1
    pattern: str = ""

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, version = facts[CANDIDATE], f"v{entrance.candidate}"
        if why := candidate.why_missing("version", "description"):
            return unknown(f"the description of {version} is not known: {plain(why)}")
        text = candidate.description[:MAX_DESCRIPTION].strip()
        length = sum(1 for c in text if not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf"})
        if length < self.minimum:
            has = "no description" if not length else f"a description of {amount(length, 'character')}"
            return failed(f"{version} has {has}; {amount(self.minimum, 'character')} required")
        if self.pattern and not fnmatchcase(text, self.pattern):
            return failed(f"the description of {version} does not match {plain(self.pattern, 80)}")
        return passed(f"{version} has a description of {amount(length, 'character')}")
