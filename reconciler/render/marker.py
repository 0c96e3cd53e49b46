"""The first line of our comments: which of them it is, and what was reviewed, for a later run to read."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Marker:
    """
    `key` tells the comments of several registries or manifest folders apart; `digest` is the plan's. Anyone can write
    this line into a comment of their own, so it is to be believed in a comment by the author whom we expect, and there
    alone.
    """

    key: str
    digest: str
    commit: str = ""

    def __str__(self) -> str:
        return f"<!-- reconciler:plan key={self.key} digest={self.digest} commit={self.commit or 'none'} -->"


_MARKER = re.compile(r"<!-- reconciler:plan key=([0-9a-f]+) digest=([0-9a-f]{64}) commit=([0-9a-f]+|none) -->")


def read_marker(body: str) -> Marker | None:
    """The marker that a comment begins with."""
    found = _MARKER.match(body)
    return found and Marker(found[1], found[2], "" if found[3] == "none" else found[3])
