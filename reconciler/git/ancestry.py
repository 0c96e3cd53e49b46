"""
Which commits contain which, as far as what they say of their parents shows it. That never changes, so it is read once
for a command, whoever asks; and what it shows is certain. Of what it does not show, git itself must be asked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.names import Commit
from reconciler.git.line import Step
from reconciler.git.runner import Git

NEAR = 8
"""So many commits are looked at, one after the other; from then on, to start git takes no longer."""

NEAR_ON_LINE = 64
"""So many where one is all that there is to look at, by first parents."""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Of one repository; `lines` are those by first parents that were read, by their tips."""

    git: Git
    lines: dict[Commit, tuple[Step, ...]] = field(default_factory=dict[Commit, tuple[Step, ...]], init=False)
    _places: dict[Commit, Mapping[Commit, int]] = field(
        default_factory=dict[Commit, Mapping[Commit, int]], init=False, repr=False
    )

    def keep(self, line: Sequence[Step]) -> None:
        """Remember a line, unless a shallow clone cuts it off: to fetch makes it longer."""
        if line and not line[-1].parents:
            self.lines[line[0].commit] = tuple(line)
            self._places[line[0].commit] = {step.commit: place for place, step in enumerate(line)}

    def shows(self, commit: Commit, other: Commit) -> bool:
        """Whether it is certain that `other` contains the commit. If not, that says nothing."""
        if commit == other:
            return True
        waiting, seen = [other], {other}
        for one in waiting:
            if any(places.get(commit, -1) > places[one] for places in self._places.values() if one in places):
                return True
            parents = self.parents(one) if len(seen) <= NEAR else ()
            if commit in parents:
                return True
            waiting.extend(parent for parent in parents if parent not in seen)
            seen.update(parents)
        return False

    def since(self, tip: Commit, known: Collection[Commit], most: int) -> tuple[Commit, ...] | None:
        """
        The commits by first parents from a tip on, at most so many and none that is in known ones; None where it takes
        git to tell, as where a shallow clone is cut.
        """
        line: list[Commit] = []
        one: Commit | None = tip
        while one is not None and one not in known and len(line) < min(most, NEAR_ON_LINE):
            parents = self.git.parents(one)
            if parents is None:
                return None
            line.append(one)
            one = Commit(parents[0]) if parents else None
        if one is not None and one in known:
            # What is before that one on the line is in none of those that it contains.
            return tuple(line) if all(self.shows(other, one) for other in known) else None
        whole = one is None or len(line) == most
        return tuple(line) if whole and not known else None

    def parents(self, commit: Commit) -> tuple[Commit, ...]:
        """Those that a commit itself names; none where it is not here."""
        return tuple(map(Commit, self.git.parents(commit) or ()))
