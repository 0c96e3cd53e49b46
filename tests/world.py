"""A world without git, clock or server, whose registry can be made to fail, to lie, and to be written to by others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from reconciler.core.changes import Change, TransitionStage
from reconciler.core.desired import Manifest, Revision
from reconciler.core.heads import Head
from reconciler.core.names import Commit, ModelRef, RepositoryId
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.errors import LockError, Problem, RegistryError
from reconciler.events import Event
from reconciler.holders import with_heads
from reconciler.ports import (
    UNREACHABLE,
    Checkout,
    CommitNote,
    Fork,
    Holder,
    LineCommit,
    Relation,
    SourceFile,
    Step,
    WaitReport,
    Wanted,
    World,
)
from reconciler.testing.memory import MemoryRegistry
from tests.build import OURS


@dataclass
class History:
    """Commits in a line, each with its manifests: a stand-in for git and for YAML at once."""

    commits: dict[Commit, tuple[Manifest, ...]]
    head: Commit
    dirty: tuple[str, ...] = ()
    identity: RepositoryId = OURS
    folder: str = "manifests"
    files: dict[tuple[Commit, str], str] = field(default_factory=dict[tuple[Commit, str], str])
    strangers: dict[Commit, Relation] = field(default_factory=dict[Commit, Relation])

    def read(self, ref: str | None) -> Checkout:
        commit = self.head if ref in {None, "HEAD"} else Commit(str(ref))
        revision = Revision(OURS, commit, "Ada <ada@acme.example>", "Promote")
        return Checkout(revision, (SourceFile(commit, b""),), dirty=self.dirty)

    def parse(self, files: Iterable[SourceFile]) -> tuple[tuple[Manifest, ...], tuple[Problem, ...]]:
        (file,) = files
        return self.commits[Commit(file.path)], ()

    def fork(self, base: str, ref: str | None) -> Fork:
        line = list(self.commits)
        ours, theirs = line.index(Commit(ref or self.head)), line.index(Commit(base))
        return Fork(line[min(ours, theirs)], max(0, theirs - ours))

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        return None

    def files_in(self, commit: Commit, folder: str) -> tuple[SourceFile, ...] | None:
        return ()

    def stored(self, commit: Commit) -> bytes | None:
        return None

    def digest(self, ref: str, path: str) -> str | None:
        return self.files.get((Commit(ref), path))

    def contains_commit(self, commit: str, branch: str) -> bool | None:
        return None

    def line(self, commit: str, known: Iterable[Commit], most: int) -> tuple[Commit, ...]:
        line = list(self.commits)
        commit = self.head if commit == "HEAD" else Commit(commit)
        since = max((line.index(one) for one in known if one in line), default=-1)
        return tuple(reversed(line[since + 1 : line.index(commit) + 1]))[:most]

    def trunk(self, tip: Commit, anchors: Sequence[Commit], files: Iterable[str] = ()) -> tuple[LineCommit, ...]:
        line = list(self.commits)
        until = line[: line.index(tip) + 1]
        return tuple(LineCommit(commit, merge=False, time=n) for n, commit in reversed(list(enumerate(until))))

    def steps(self, line: Sequence[LineCommit], path: str | None = None, *, elsewhere: bool = False) -> Iterator[Step]:
        """Each commit is a file of its own, which takes the place of the one before."""
        until = [one.commit for one in reversed(line)] if path is None else []
        for commit, before in zip(reversed(until), [*reversed(until[:-1]), None], strict=False):
            older = {} if before is None else {before: b""}
            newer = {} if before is None else {before: None}
            yield Step(commit, {commit: None, **older}, {commit: b"", **newer})

    def described(self, commits: Iterable[Commit]) -> dict[Commit, CommitNote]:
        line = list(self.commits)
        ada = "Ada <ada@acme.example>"
        return {commit: CommitNote(ada, ada, line.index(commit), "Promote") for commit in commits if commit in line}

    def relation(self, commit: Commit, other: Commit) -> Relation:
        if commit in self.strangers:
            return self.strangers[commit]
        line = list(self.commits)
        if commit not in line or other not in line:
            return Relation.UNKNOWN
        distance = line.index(commit) - line.index(other)
        return Relation.SAME if distance == 0 else Relation.ANCESTOR if distance < 0 else Relation.DESCENDANT


@dataclass
class TroubledRegistry(MemoryRegistry):
    """Counts calls and reads; `before_call` and `before_read` may raise, or write behind our back."""

    before_call: Callable[[int, Change], None] = lambda _n, _change: None
    before_read: Callable[[int], None] = lambda _n: None
    swallows: Callable[[Change], bool] = lambda _change: False
    calls: list[Change] = field(default_factory=list[Change])
    reads: int = 0

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        self.reads += 1
        self.before_read(self.reads)
        return super().snapshot(wanted)

    def execute(self, change: Change) -> None:
        self.before_call(len(self.calls), change)
        self.calls.append(change)
        if not self.swallows(change):
            super().execute(change)

    def write(self, model: ModelSnapshot) -> None:
        """What somebody else does."""
        self.models[model.name] = model

    def model(self, name: str) -> ModelSnapshot:
        return self.models[ModelRef(name)]


@dataclass
class Ticks:
    """A clock that goes by one second each time it is looked at."""

    ticks: int = 0

    def now(self) -> str:
        self.ticks += 1
        return f"2026-05-01T10:00:{self.ticks:02}Z"


@dataclass
class FakeLease:
    applied: Commit | None = None
    note: str = ""
    lost_after: int = 10**9
    taken: bool = False
    released: bool = False
    heads: tuple[Head, ...] = ()

    def held(self) -> bool:
        self.lost_after -= 1
        return self.lost_after >= 0 and not self.taken

    def mark(self, commit: Commit, heads: Iterable[Head] = ()) -> None:
        self.applied = commit
        self.heads = with_heads({"": self.heads}, "", heads)[""]

    def release(self) -> None:
        self.released = True


@dataclass
class FakeLock:
    lease: FakeLease = field(default_factory=FakeLease)
    holder: Holder | None = None
    refuses: str = ""

    def heads(self) -> tuple[Head, ...]:
        return self.lease.heads

    def acquire(self, timeout: float, waiting: WaitReport) -> FakeLease:
        if self.holder is not None:
            waiting(self.holder, 0.0)
        if self.refuses:
            raise LockError(self.refuses)
        if self.lease.taken:
            self.lease = FakeLease(self.lease.applied, heads=self.lease.heads)
        return self.lease


@dataclass
class Stage:
    """All of it, set up for one test."""

    history: History
    registry: TroubledRegistry
    lock: FakeLock | None = field(default_factory=FakeLock)
    events: list[Event] = field(default_factory=list[Event])

    @property
    def world(self) -> World:
        return World(self.history, self.history.parse, self.registry, Ticks(), self.lock)


def stage(commits: dict[Commit, tuple[Manifest, ...]], *models: ModelSnapshot, head: Commit | None = None) -> Stage:
    """Commits, the oldest first, and what the registry holds; HEAD is the last commit unless it is said."""
    registry = TroubledRegistry({model.name: model for model in models})
    return Stage(History(commits, head or list(commits)[-1]), registry)


def unreachable(*_: object) -> None:
    raise RegistryError(UNREACHABLE, "http://mlflow does not answer.", "Check the address.")


def refuse(kind: type[Change], model: str) -> Callable[[int, Change], None]:
    """Refuse one kind of call for one model."""

    def before_call(_number: int, change: Change) -> None:
        if isinstance(change, kind) and change.model == model:
            raise RegistryError("PERMISSION_DENIED", "http://mlflow said: Permission denied.", "Give it.")

    return before_call


def is_transition(change: Change) -> bool:
    return isinstance(change, TransitionStage)
