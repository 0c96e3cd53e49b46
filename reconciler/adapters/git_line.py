"""The first-parent line of a branch, read in bulk: its commits, what each of them changed, and blobs by their ids."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from reconciler.adapters.git_runner import FULL_NAME, Git
from reconciler.core.names import Commit, plain
from reconciler.errors import ReconcilerError

_FILES = frozenset({b"100644", b"100755", b"100664"})
_ABSENT = b"000000"


@dataclass(frozen=True, slots=True)
class Step:
    """A commit, its parents, and its committer's time in seconds, which is whatever the committer's clock said."""

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
    """A commit on the line, and what it changed against its first parent."""

    step: Step
    changes: tuple[FileChange, ...]


def first_parents(git: Git, commit: Commit, most: int | None = None) -> tuple[Step, ...]:
    """
    The commit and those before it by first parents, newest first. In a shallow clone the last one has parents that
    the clone lacks; `parents` is what the commit itself says. Raises ReconcilerError for what is no commit here.
    """
    limit = () if most is None else (f"--max-count={most}",)
    answer = git.read("log", "--first-parent", "-z", *limit, "--format=%H %ct %P", "--no-patch", _named(commit), "--")
    steps = [_step_of(line) for line in answer.text.split("\0") if line]
    if steps and not steps[-1].parents:
        # `%P` is empty where a shallow clone ends, as if history began there.
        header = git.read("cat-file", "commit", steps[-1].commit).out.partition(b"\n\n")[0].split(b"\n")
        parents = (line.removeprefix(b"parent ").decode() for line in header if line.startswith(b"parent "))
        steps[-1] = replace(steps[-1], parents=tuple(Commit(parent) for parent in parents))
    return tuple(steps)


def changes_along(git: Git, commit: Commit, *paths: PurePosixPath) -> tuple[StepChanges, ...]:
    """
    The commits on the first-parent line that change something at or below these paths (none: anywhere), newest first:
    a merge by what it changed of its first parent. Where a path is a link, a change of what it leads to is not among
    them. In a shallow clone, its last commit seems to add all there is.
    """
    below = [str(path) for path in paths if path.parts] if all(path.parts for path in paths) else []
    answer = git.read(
        "log",
        "--first-parent",
        "--diff-merges=first-parent",
        "--root",
        "--raw",
        "--no-renames",
        "--no-abbrev",
        "--no-textconv",
        "--no-ext-diff",
        "--ignore-submodules=none",
        "-z",
        "--format=%x01%H %ct %P",
        _named(commit),
        "--",
        *below,
    )
    return tuple(_parsed(iter(answer.out.split(b"\0"))))


def blobs(git: Git, ids: Iterable[str]) -> Mapping[str, bytes]:
    """The contents of objects by their full ids. Raises ReconcilerError where one is not there."""
    wanted = sorted(set(ids))
    for name in wanted:
        _named(name)
    found: dict[str, bytes] = {}
    out = git.read("cat-file", "--batch", stdin="".join(f"{name}\n" for name in wanted).encode()).out if wanted else b""
    at = 0
    for name in wanted:
        end = out.index(b"\n", at)
        words = out[at:end].split(b" ")
        if len(words) != 3 or words[1] != b"blob":
            raise ReconcilerError(f"git has no file {name[:12]} here.", "Fetch the whole repository.")
        at = end + 1 + int(words[2])
        found[name] = out[end + 1 : at]
        at += 1
    return found


def _parsed(tokens: Iterator[bytes]) -> Iterator[StepChanges]:
    step: Step | None = None
    changes: list[FileChange] = []
    for token in (token.removeprefix(b"\n") for token in tokens):
        if token.startswith(b"\1"):
            if step is not None:
                yield StepChanges(step, tuple(changes))
            step, changes = _step_of(token[1:].decode()), []
        elif token.startswith(b":"):
            changes.append(_change(token, next(tokens)))
    if step is not None:
        yield StepChanges(step, tuple(changes))


def _step_of(line: str) -> Step:
    name, time, *parents = line.split(" ")
    return Step(Commit(name), tuple(Commit(parent) for parent in parents if parent), int(time))


def _change(token: bytes, path: bytes) -> FileChange:
    before_mode, after_mode, before, after, _ = token[1:].split(b" ")
    modes = {before_mode, after_mode} - {_ABSENT}
    return FileChange(
        path.decode("utf-8", "surrogateescape"),
        None if before_mode == _ABSENT else before.decode(),
        None if after_mode == _ABSENT else after.decode(),
        modes <= _FILES,
    )


def _named(name: str) -> str:
    if not FULL_NAME.fullmatch(name):
        raise ReconcilerError(f"`{plain(name, 80)}` is not a full name.", "Resolve it first.")
    return name
