"""What must have been written about a version."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from reconciler.core.gate import CANDIDATE, Entrance, FactKey, Facts, Judgement, failed, passed, unknown
from reconciler.core.names import MAX_DESCRIPTION
from reconciler.core.text import amount, plain
from reconciler.gates.parameters import Between, GateKind, Key


@dataclass(frozen=True, slots=True)
class Description:
    """
    The version's description has so many characters that can be seen, and matches a pattern (`*`, `?`, `[…]`) as a
    whole, letter by letter: `*JIRA-*` asks for a ticket anywhere.
    """

    minimum: Annotated[
        int, Between(1, MAX_DESCRIPTION), Key("The minimum length.", examples=(20,), name="min-length")
    ] = 1
    pattern: Annotated[str, Key("A pattern that the whole description must match.", examples=("*A/B*",))] = ""

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


DESCRIPTION = GateKind(
    "description",
    Description,
    asks="have a description of at least this length that matches the pattern as a whole",
    example={"min-length": 20},
)
