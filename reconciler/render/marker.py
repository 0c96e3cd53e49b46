"""The first line of our comments: which of them it is, and what was reviewed, for a later run to read."""

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Marker:
    """
    `key` tells the comments of several registries or manifest folders apart; `digest` is the plan's, and `models` has
    those of the models that it changes, one by one. Anyone can write this line into a comment of their own, so it is to
    be believed in a comment by the author whom we expect, and there alone.
    """

    key: str
    digest: str
    commit: str = ""
    models: frozenset[str] = frozenset()

    def __str__(self) -> str:
        models = f" models={','.join(sorted(self.models))}" if self.models else ""
        return f"<!-- reconciler:plan key={self.key} digest={self.digest} commit={self.commit or 'none'}{models} -->"


_MARKER = re.compile(
    r"<!-- reconciler:plan key=([0-9a-f]+) digest=([0-9a-f]{64}) commit=([0-9a-f]+|none)(?: models=([0-9a-f,]+))? -->"
)


def comment_key(repository: str, registry: str) -> str:
    """What tells our comments apart under one change request: a folder of manifests and a registry, as one word."""
    return hashlib.sha256(f"{repository}\n{registry}".encode()).hexdigest()[:12]


def read_marker(body: str) -> Marker | None:
    """The marker that a comment begins with."""
    return next(iter(read_markers(body)), None)


def read_markers(body: str) -> tuple[Marker, ...]:
    """The markers of the lines that a comment begins with: one, or those of its parts behind that of the whole."""
    markers: list[Marker] = []
    at = 0
    while found := _MARKER.match(body, at):
        models = frozenset(found[4].split(",")) if found[4] else frozenset[str]()
        markers.append(Marker(found[1], found[2], "" if found[3] == "none" else found[3], models))
        at = found.end() + 1
        if body[found.end() : at] != "\n":
            break
    return tuple(markers)
