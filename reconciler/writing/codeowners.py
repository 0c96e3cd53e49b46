"""The lines of CODEOWNERS for models of which each slot has a file of its own."""

import re
from collections.abc import Iterable, Iterator

from reconciler.core.names import Stage
from reconciler.writing.layout import slot_file

OWNER = re.compile(r"@[\w.-]+(/[\w.-]+)*|[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)
"""Whom a forge can ask: a user, a team or an address."""

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""Where forges look."""

_GUARDED = ("aliases.yaml", slot_file(Stage.PRODUCTION.slot))


def owner_lines(owned: Iterable[tuple[str, tuple[str, ...]]], folder: str, there: str) -> Iterator[str]:
    """
    A line for each file of a slot that consumers load from, without those that `there` has already. `owned` are folders
    of models below `folder` with who owns them; where these are the same for all, a pattern stands for their folders.
    """
    owners_of = {_escaped(place): [name for name in owners if OWNER.fullmatch(name)] for place, owners in sorted(owned)}
    lists = list(owners_of.values())
    alike = len(lists) > 1 and all(owners == lists[0] for owners in lists)
    known = {" ".join(line.split()) for line in there.splitlines()}
    root = f"/{_escaped(folder)}/" if folder != "." else "/"
    for place, owners in [("**", lists[0])] if alike else owners_of.items():
        for name in _GUARDED if owners else ():
            line = f"{f'{root}{place}/{name}':<32} {' '.join(owners)}"
            if " ".join(line.split()) not in known:
                yield line


def _escaped(path: str) -> str:
    """A path as a pattern that matches it alone."""
    return re.sub(r"([\s#*?\[\]!\\])", r"\\\1", path)
