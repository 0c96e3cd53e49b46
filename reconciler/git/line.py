"""The line of commits that a branch was at, read in bulk: what each of them changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.git.objects import full
from reconciler.git.runner import Git

_FILES = frozenset({b"100644", b"100755", b"100664"})
_ABSENT = b"000000"
_LONGEST_TIME = 18


@dataclass(frozen=True, slots=True)
class Step:
    """
    A commit, its parents, and its committer's time in seconds, which is whatever the committer's clock said; 0 where
    there is none.
    """

    commit: Commit
    parents: tuple[Commit, ...]
    committed: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """
    A path and its blobs before and after; None where there was none. Where it is or was no plain file (a link, a
    submodule), `plain` is False and the ids are those of what git has there.
    """

    path: str
    before: str | None
    after: str | None
    plain: bool = True


@dataclass(frozen=True, slots=True)
class StepChanges:
    """A commit on the line, and what it changed against the one before it there."""

    commit: Commit
    changes: tuple[FileChange, ...]


def trunk(
    git: Git, tip: Commit, anchors: Sequence[Commit] = (), plain: tuple[Step, ...] | None = None
) -> tuple[Step, ...]:
    """
    The commits that a branch was at, newest first: its tip, and those before it by first parents (`plain`, if they were
    read already). Where that would miss an anchor, a commit that the branch is known to have been at, the line follows
    the parents that contain the anchor: whoever merges the branch into their own and has it moved forward to the merge,
    names their own side first. Of anchors that cannot be on one line, the first one given counts; one that the tip does
    not contain does not.
    """
    plain = plain or first_parents(git, tip)
    if {step.commit for step in plain}.issuperset(anchors):
        return plain
    steps = {step.commit: step for step in _steps(git, "--topo-order", full(tip))}
    bits = {commit: 1 << number for number, commit in enumerate(dict.fromkeys(a for a in anchors if a in steps))}
    # Which anchors each commit contains, itself among them: parents come before their children.
    holds: dict[Commit, int] = {}
    for commit, step in reversed(steps.items()):
        holds[commit] = bits.get(commit, 0)
        for parent in step.parents:
            holds[commit] |= holds.get(parent, 0)
    fixed: list[Commit] = []
    for anchor, bit in bits.items():
        if all(holds[other] & bit or holds[anchor] & bits[other] for other in fixed):
            fixed.append(anchor)
    # The more anchors one of them contains, the newer it is.
    ahead = sorted(fixed, key=lambda anchor: sum(bool(holds[anchor] & bits[other]) for other in fixed))
    line: list[Step] = []
    step: Step | None = steps[tip]
    while step is not None:
        line.append(step)
        if ahead and ahead[-1] == step.commit:
            ahead.pop()
        bit = bits[ahead[-1]] if ahead else 0
        known = [parent for parent in step.parents if parent in steps]
        step = next((steps[parent] for parent in known if holds[parent] & bit == bit), None)
    return _ending(git, line)


def first_parents(git: Git, commit: Commit) -> tuple[Step, ...]:
    """
    The commit and those before it by first parents, newest first. In a shallow clone the last one has parents that
    the clone lacks; `parents` is what the commit itself says. Raises ReconcilerError for what is no commit here.
    """
    return _ending(git, list(_steps(git, "--first-parent", full(commit))))


def line_and_changes(git: Git, tip: Commit, *paths: PurePosixPath) -> tuple[tuple[Step, ...], tuple[StepChanges, ...]]:
    """
    The line by first parents, as `first_parents` reads it, and what it changed, as `changes_along` does: by one walk
    and one process of git, since whoever asks for a line asks for that next.
    """
    # All commits, those that change nothing there too, each against its first parent.
    walk = ("--first-parent", "--full-history", "--sparse", "--no-follow", "--diff-merges=first-parent")
    answer = git.read("log", "-z", _FORM, *walk, *_DIFFERENCES, full(tip), "--", *_below(paths))
    steps: list[Step] = []
    changes: dict[Commit, list[FileChange]] = {}
    tokens = iter(answer.out.split(b"\0"))
    for token in tokens:
        if token.startswith((b":", b"\n:")):
            changes.setdefault(steps[-1].commit, []).append(_change(token.removeprefix(b"\n"), next(tokens)))
        elif token:
            steps.append(_step_of(token.decode()))
    return _ending(git, steps), tuple(StepChanges(commit, tuple(found)) for commit, found in changes.items())


_FORM = "--format=%H %ct %P"


def _steps(git: Git, *what: str) -> Iterator[Step]:
    answer = git.read("log", "-z", _FORM, "--no-patch", *what, "--")
    return (_step_of(line) for line in answer.text.split("\0") if line)


def _ending(git: Git, steps: list[Step]) -> tuple[Step, ...]:
    """With the parents that the last commit itself names: `%P` is empty where a shallow clone ends."""
    if steps and not steps[-1].parents:
        steps[-1] = replace(steps[-1], parents=tuple(map(Commit, git.parents(steps[-1].commit) or ())))
    return tuple(steps)


_DIFFERENCES = (
    "-r",
    "--raw",
    "--no-relative",
    "--no-renames",
    "--no-abbrev",
    "--no-color",
    "--no-textconv",
    "--no-ext-diff",
    "--ignore-submodules=none",
)


def _below(paths: Sequence[PurePosixPath]) -> list[str]:
    """As git takes them; without any of them, it looks everywhere."""
    return [str(path) for path in paths] if all(path.parts for path in paths) else []


def changes_along(git: Git, line: Sequence[Commit], *paths: PurePosixPath) -> tuple[StepChanges, ...]:
    """
    Those of the commits of a line that change something at or below these paths (none: anywhere), newest first: each by
    what differs from the next of them, the last by all there is. Where a path is a link, a change of what it leads to
    is not among them. Raises ReconcilerError where one is no commit here.
    """
    pairs = zip(line, [*line[1:], None], strict=False)
    answer = git.read(
        *("diff-tree", "--stdin", "--root", "-m", "--always", "-z", *_DIFFERENCES, "--", *_below(paths)),
        stdin="".join(f"{full(one)} {before or ''}".rstrip() + "\n" for one, before in pairs).encode(),
    )
    found = tuple(_parsed(iter(answer.out.split(b"\0"))))
    if [one.commit for one in found] != list(line):  # git passes over what it does not have, and says nothing
        raise ReconcilerError(f"git in {git.top} lacks commits of its history.", "Fetch the whole repository.")
    return tuple(one for one in found if one.changes)


def _parsed(tokens: Iterator[bytes]) -> Iterator[StepChanges]:
    commit: Commit | None = None
    changes: list[FileChange] = []
    for token in tokens:
        if token.startswith(b":"):
            changes.append(_change(token, next(tokens)))
            continue
        if commit is not None:
            yield StepChanges(commit, tuple(changes))
        commit, changes = Commit(token.decode()), []
        if not token:
            return


def _step_of(line: str) -> Step:
    name, time, *parents = line.split(" ")
    # Whoever makes a commit by hand can leave the time out, or make it too long a number.
    committed = int(time) if time and len(time) <= _LONGEST_TIME else 0
    return Step(Commit(name), tuple(Commit(parent) for parent in parents if parent), committed)


def _change(token: bytes, path: bytes) -> FileChange:
    before_mode, after_mode, before, after, _ = token[1:].split(b" ")
    modes = {before_mode, after_mode} - {_ABSENT}
    return FileChange(
        path.decode("utf-8", "surrogateescape"),
        None if before_mode == _ABSENT else before.decode(),
        None if after_mode == _ABSENT else after.decode(),
        modes <= _FILES,
    )
