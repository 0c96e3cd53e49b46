"""What the pipeline needs from outside, in the core's words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from threading import Lock as Guard
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reconciler.core.files import SourceFile
from reconciler.core.names import Commit, ModelRef, Ours, RepositoryId, Version
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.errors import Problem

if TYPE_CHECKING:
    # Not at run time: reading and checking manifests has no use for the rest of the core, and starts faster without.
    from reconciler.core.bundle import FileDigest
    from reconciler.core.chain import Chain, Link, Pruning, Stored
    from reconciler.core.changes import Brought, Change, RegisterVersion
    from reconciler.core.check_record import Ran, Recorded
    from reconciler.core.desired import Manifest, NoSource, Origin, Revision, Source
    from reconciler.core.evidence import RunSummary, VersionFacts
    from reconciler.core.gate import Approval, CheckFacts, Presence
    from reconciler.core.heads import Head
    from reconciler.core.policy import Check, Policy
    from reconciler.core.records import Seal
    from reconciler.core.snapshot import RegistrySnapshot


@dataclass(frozen=True, slots=True)
class Working:
    """
    How far some work is that may take long: what it is, how many `units` are done, and of how many, where that is
    known. `over` says that nothing of it is under way anymore.
    """

    what: str
    done: int = 0
    total: int | None = None
    units: str = ""
    over: bool = False


Tell: TypeAlias = Callable[[Working], None]
"""Hears how far work is, in any thread."""


def untold(_working: Working) -> None:
    """To nobody."""


class Work:
    """Work that may take long, told of while it is entered, by however many threads at a time."""

    def __init__(self, tell: Tell, what: str, units: str = "", total: int | None = None) -> None:
        self._tell, self._now, self._inside, self._counting = tell, Working(what, 0, total, units), 0, Guard()

    def __enter__(self) -> "Work":
        self._change(0, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._change(0, -1)

    def advance(self, number: int = 1) -> None:
        """So many units more are done."""
        self._change(number, 0)

    def reach(self, done: int, total: int) -> None:
        """So many units of so many are done."""
        self._now = replace(self._now, total=total)
        self._change(done - self._now.done, 0)

    def _change(self, done: int, inside: int) -> None:
        with self._counting:
            self._inside += inside
            self._now = replace(self._now, done=self._now.done + done, over=not self._inside)
            self._tell(self._now)


@dataclass(frozen=True, slots=True)
class Checkout:
    """
    The manifest files of one commit, or of the work tree; `dirty` ones differ between HEAD and the work tree. `absent`:
    neither it nor any commit before it has the folder.
    """

    revision: "Revision"
    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...] = ()
    dirty: tuple[str, ...] = ()
    absent: bool = False


class Relation(StrEnum):
    """How one commit stands to another in history."""

    SAME = "same"
    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    UNRELATED = "unrelated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fork:
    """The newest commit that two histories share, and how many commits the base has that the other does not."""

    commit: Commit
    behind: int


@dataclass(frozen=True, slots=True)
class LineCommit:
    """
    A commit that the protected branch was at: whether it merges another line, its time, in seconds since 1970, and
    whether a shallow clone ends with it.
    """

    commit: Commit
    merge: bool
    time: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A commit on a line that changes files, and these files before and after it: None where there is none."""

    commit: Commit
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class CommitNote:
    """
    What a commit says of itself: who wrote the change (of a merge: what it brings in), who committed or merged it, when
    (seconds since 1970, by the committer's clock), and its message. Of a merge, `brought` is the subject of the commit
    by that author.
    """

    author: str
    committer: str
    time: int
    message: str
    brought: str = ""


class ManifestSource(Protocol):
    """A git repository."""

    @property
    def identity(self) -> RepositoryId:
        """The name under which it owns models: the repository's, and the folder's."""
        ...

    @property
    def folder(self) -> object:
        """The folder of manifests, from the top of the repository; `.` for the top itself."""
        ...

    def read(self, ref: str | None) -> Checkout:
        """The manifests of a commit, or of the work tree when `ref` is None."""
        ...

    def files_in(self, commit: Commit, folder: str) -> tuple[SourceFile, ...] | None:
        """The files of manifests that a commit has in another folder; None where some cannot be read."""
        ...

    def fork(self, base: str, ref: str | None) -> Fork:
        """
        Where a commit, or HEAD, left the history of `base`. Raises ReconcilerError where they have none in common, or
        the clone is too shallow to tell.
        """
        ...

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        """
        A file of a commit, or of the work tree, by its path from the top of the repository, or None. Raises
        ReconcilerError where a link or a folder is there: what it says must not be passed over.
        """
        ...

    def stored(self, commit: Commit) -> bytes | None:
        """A commit as git has it, with the signature on it; None where it is not to be had."""
        ...

    def digest(self, ref: str, path: str) -> str | None:
        """What tells a file or folder of a commit from another one, by its path from the top, or None."""
        ...

    def contains_commit(self, commit: str, branch: str) -> bool | None:
        """
        Whether a branch contains a commit that somebody names; the text may be anything. None where git cannot tell.
        """
        ...

    def line(self, commit: str, known: Iterable[Commit], most: int) -> Iterable[Commit]:
        """
        The commit, and those before it as its branch saw them (first parents), newest first, without what `known`
        commits contain; at most so many. None where there is no such commit yet. Raises ReconcilerError where the
        clone is too shallow to tell which is next.
        """
        ...

    def trunk(self, tip: Commit, anchors: Sequence[Commit], files: Iterable[str] = ()) -> tuple[LineCommit, ...]:
        """
        The commits that a branch was at, newest first, as far back as this clone goes: its tip, and those before it by
        first parents, but for where only another parent leads to an anchor, a commit that the branch is known to have
        been at. Of anchors that cannot be on one line, the first one given counts. `files` are those, beside the
        manifests, whose `steps` will be asked for: to read all at once takes no longer.
        """
        ...

    def steps(self, line: Sequence[LineCommit], path: str | None = None, *, elsewhere: bool = False) -> Iterable[Step]:
        """
        Those commits of a line that change something below `path` (None: the folder of manifests; empty: anything), the
        newest first, with the YAML files, or the one file, that they change; `elsewhere`: but for those in the folder
        of manifests.
        """
        ...

    def described(self, commits: Iterable[Commit]) -> Mapping[Commit, CommitNote]:
        """What these commits say of themselves; those that this clone lacks are left out."""
        ...

    def relation(self, commit: Commit, other: Commit) -> Relation:
        """How `commit` stands to `other`: ANCESTOR means that `other` contains it. UNKNOWN where git cannot tell."""
        ...


class ManifestParser(Protocol):
    """YAML, or whatever manifests are written in."""

    def __call__(self, files: Iterable[SourceFile]) -> "tuple[tuple[Manifest, ...], tuple[Problem, ...]]":
        """The fragments that could be read, and everything wrong with the rest."""
        ...


Expect: TypeAlias = Callable[[Iterable[ModelRef]], None]
"""Called with models whose versions the next snapshot will be asked for: they may be read already."""


def unexpected(_names: Iterable[ModelRef]) -> None:
    """For registries of which nothing is read ahead."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a snapshot must show: these models, with these versions, and all that carry this repository's record. Of one
    that is found by its record alone, versions may be left out.
    """

    models: Mapping[ModelRef, frozenset[Version]]
    owned_by: Ours | None = None


UNREACHABLE = "unreachable"
"""The code of a RegistryError after which it is of no use to go on."""


@dataclass(frozen=True, slots=True)
class Tries:
    """
    How often a call is tried, the pause before the second try, which doubles each time, and how long one
    try can last at most; both in seconds.
    """

    most: int = 1
    pause: float = 0.0
    longest: float = 0.0

    def before(self, number: int) -> float:
        """The pause before a try, by its number from 1."""
        return self.pause * 2 ** (number - 2) if number > 1 else 0.0

    def turns(self, wait: Callable[[float], object]) -> Iterator[int]:
        """The number of each try, from 1, after the pause before it."""
        for number in range(1, self.most + 1):
            if number > 1:
                wait(self.before(number))
            yield number


@dataclass(frozen=True, slots=True)
class Capabilities:
    """
    What a registry has. Without `searches`, models are found by name alone, in no order. Without `records`, what we
    note of models and versions fits into none of its tags, and is kept beside it. Without `registers`, versions are not
    made from runs through this client. The key of a tag has none of the `reserved` characters.
    """

    stages: bool = True
    aliases: bool = True
    searches: bool = True
    records: bool = True
    registers: bool = True
    reserved: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """What we note of a model where its registry has no tags for it: the values that these tags would have, by key."""

    model: Mapping[str, str] = field(default_factory=dict[str, str])
    versions: Mapping[int, Mapping[str, str]] = field(default_factory=dict[int, Mapping[str, str]])


class Notebook(Protocol):
    """Where notes are kept of the models of one registry. All calls raise RegistryError."""

    def read(self) -> Mapping[str, Notes]:
        """All of them, by the names of the models."""
        ...

    def change(self, edit: Callable[[dict[str, Notes]], None]) -> None:
        """Keep them as an edit leaves them, which may be made again. Returns when they are kept."""
        ...


class Registry(Protocol):
    """A model registry. All calls raise RegistryError; one whose code is UNREACHABLE may be worth another try."""

    @property
    def capabilities(self) -> Capabilities:
        """What it has, as far as that is known without asking it."""
        ...

    @property
    def uri(self) -> str:
        """Where it is, fit to be shown: without user name and password."""
        ...

    @property
    def workspace(self) -> str:
        """The part of the registry that is worked in, where it has several; else empty."""
        ...

    @property
    def tries(self) -> Tries:
        """How patiently a call is made."""
        ...

    def snapshot(self, wanted: Wanted) -> "RegistrySnapshot":
        """What the registry holds now, read in bulk."""
        ...

    def names(self) -> tuple[ModelRef, ...]:
        """Every registered model, in the order of names; MLflow lists no prompts among them."""
        ...

    def execute(self, change: "Change") -> None:
        """Try one call once. Repeating a call that was made already does no harm."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryAround:
    """A registry port around another one, to which it passes on what it has nothing to add to."""

    registry: Registry

    @property
    def uri(self) -> str:
        return self.registry.uri

    @property
    def workspace(self) -> str:
        return self.registry.workspace

    @property
    def tries(self) -> Tries:
        return self.registry.tries

    @property
    def capabilities(self) -> Capabilities:
        return self.registry.capabilities

    def names(self) -> tuple[ModelRef, ...]:
        return self.registry.names()

    def snapshot(self, wanted: Wanted) -> "RegistrySnapshot":
        return self.registry.snapshot(wanted)

    def execute(self, change: "Change") -> None:
        self.registry.execute(change)


@dataclass(frozen=True, slots=True)
class Asked:
    """A version that evidence is asked for; `brief` asks for its metrics alone."""

    model: ModelRef
    version: Version
    brief: bool = False


class EvidenceSource(Protocol):
    """What is known of model versions: runs, logged models, and the files that describe a model."""

    def gather(self, asked: Iterable[Asked]) -> "Mapping[Asked, VersionFacts]":
        """
        The facts of all that is asked for, read at the same time. What there is not, or cannot be read, is named in
        the facts' `missing`; nothing is raised for it. Raises RegistryError where nothing at all can be read.
        """
        ...


class Runs(Protocol):
    """The runs that versions came from."""

    def runs(self, run_ids: Iterable[str]) -> "Mapping[str, RunSummary]":
        """These runs by their ids, read in bulk, without those that cannot be read; nothing is raised for it."""
        ...

    def sources(self, origins: "Iterable[Origin]") -> "Mapping[Origin, Source | NoSource]":
        """What can be registered from each of these, or why nothing can; nothing is raised for it."""
        ...


@dataclass(frozen=True, slots=True)
class Reviews:
    """
    Who approved a change, with what proves it, and who had a hand in it: `Name <email>` and forges' `@logins`. `people`
    has, in one text each, the names that are known to be one person's. `by_bots`: nobody but bots is known to have made
    the change.
    """

    approvals: "tuple[Approval, ...]" = ()
    authors: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    by_bots: bool = False


class Reviewers(Protocol):
    """Where approvals are kept: signed commits, the reviews of a forge."""

    def find(self, base: Commit | None, head: Commit, model: ModelRef | None, signers: str) -> Reviews:
        """
        Who approved what `head` declares of a model, since `base`, and who had a hand in what lies between: one change.
        Without a model, who approved all of the change as it is now. `signers` is the text of an allowed-signers file.
        Raises ReconcilerError where that cannot be known.
        """
        ...


@dataclass(frozen=True, slots=True)
class Push:
    """Who pushed which commits of a request, by their names or the beginnings of these; nothing: it is not known."""

    who: str
    commits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """
    A change request as its forge tells of it. `head` is its last commit; `merged_as` is the one that a merge, squash or
    rebase made of it on the branch, the last of several, and None before that. Each approval names the commit that it
    was given to. `opened_by` is a `@login`; `makers` are the people behind each commit, as far as the forge knows them.
    """

    head: Commit
    approvals: "tuple[Approval, ...]" = ()
    opened_by: str = ""
    makers: Mapping[Commit, tuple[str, ...]] = field(default_factory=dict[Commit, tuple[str, ...]])
    pushes: tuple[Push, ...] = ()
    merged_as: Commit | None = None


class Checks(Protocol):
    """What was recorded of a version by checks, and whether its files are there. All raise ReconcilerError."""

    def facts(self, model: ModelRef, version: Version, signers: str) -> "CheckFacts":
        """The digest of the version's files now, and the records on it; `signers` says whose signatures count."""
        ...

    def present(self, model: ModelRef, version: Version) -> "Presence":
        """Whether the model's files are there. Nothing of the model is downloaded."""
        ...

    def digest(self, model: ModelRef, version: Version) -> str:
        """The digest of the version's files now. All of them are downloaded, and none is run."""
        ...

    def files(self, model: ModelRef, version: Version) -> "tuple[FileDigest, ...]":
        """The digests of the version's files one by one, which the digest is made of."""
        ...

    def place(self, model: ModelRef, version: Version) -> str:
        """What tells where the version's files are from where others are. Nothing is downloaded."""
        ...


class Bench(Protocol):
    """One version's files and the trusted ones, at hand as long as the block lasts."""

    @property
    def digest(self) -> str:
        """Of the version's files, as they are checked."""
        ...

    def run(self, check: "Check") -> "Ran":
        """Run one check. What goes wrong with it is its outcome. Raises ReconcilerError where the files moved."""
        ...

    def keep(self, check: str, ran: "Ran", at: str) -> tuple[str, tuple[str, ...]]:
        """Keep what it has left for people to read: where, and what there is to know about that."""
        ...


class Benches(Protocol):
    """Where checks are run, and their records written. All calls raise ReconcilerError."""

    def bench(
        self, model: ModelRef, version: Version, tree: str, secret_files: Iterable[str] = ()
    ) -> AbstractContextManager[Bench]:
        """
        A place to run checks on a version. `tree` is the folder with the files of the trusted commit; no check may
        read `secret_files`. Raises ReconcilerError also where model code could reach a credential.
        """
        ...

    def record(self, model: ModelRef, version: Version, record: "Recorded") -> None:
        """Write down what a check found, over what it found before, and read it back."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a person or job, since when (RFC 3339), and the page or process where it runs."""

    who: str
    since: str
    run: str = ""


class SignRecord(Protocol):
    """Signs a record of ours. Raises ReconcilerError where it cannot."""

    def __call__(self, data: bytes, /) -> "Seal": ...


@dataclass(frozen=True, slots=True)
class Appended:
    """
    A receipt was kept: why it is on this machine alone for now, empty where it is where it belongs; and what it was put
    behind, None where it is the first.
    """

    alone: str = ""
    behind: "Stored | None" = None


class Receipts(Protocol):
    """Where the receipts of applies stay, as a chain. All calls raise ReconcilerError."""

    @property
    def place(self) -> str:
        """Where that is, fit to be shown."""
        ...

    @property
    def local(self) -> bool:
        """Whether what is on this machine alone counts as kept: nobody applies to the registry from elsewhere."""
        ...

    def append(self, link: "Link", sign: SignRecord | None) -> Appended:
        """Keep a receipt at the end of the chain, wherever it was before. Raises where it is nowhere."""
        ...

    def push(self, sign: SignRecord | None) -> int:
        """Bring what is on this machine alone to where it belongs, and say how many receipts that were."""
        ...

    def read(self, counts: "Callable[[Pruning], bool]" = ...) -> "Chain":
        """
        All that is kept. `counts` says whether what stands in the place of pruned receipts is signed; that of one that
        is not has no say in what was lost.
        """
        ...

    def prune(self, pruning: "Pruning", sign: SignRecord | None) -> int:
        """
        Put this in the place of the receipts that it names, and say how many are kept behind it; none that is added
        meanwhile is lost.
        """
        ...


@dataclass(frozen=True, slots=True)
class Actor:
    """Who runs an apply: user, host and process, the page of the CI job, and who started that by the forge's word."""

    who: str
    run: str = ""
    person: str = ""


class Memory(Protocol):
    """What the applies of a repository remember of each other, beside their lock. Raises LockError."""

    def heads(self) -> "tuple[Head, ...]":
        """What the last applies remember of the branch, the newest last. It may be written by others than applies."""
        ...


class Seals(Protocol):
    """Who verifies signatures on records."""

    def verified(self, claims: "Iterable[tuple[bytes, Seal, str]]", signers: str) -> tuple[bool, ...]:
        """
        For each of some signed bytes, their signature and the time they say they were signed (RFC 3339): whether it is
        by a key that the allowed-signers text lists for records, and lists for that time. Raises ReconcilerError where
        nothing can be verified.
        """
        ...


class Lease(Protocol):
    """A lock that is held. `applied` is the last commit that anyone applied under it."""

    @property
    def applied(self) -> Commit | None: ...

    @property
    def note(self) -> str:
        """What the holder should be told about how it got the lock: a dead holder's that was taken over, say."""
        ...

    def held(self) -> bool:
        """Whether it is certain that nobody else has the lock, or gets it while one try of a call lasts."""
        ...

    def mark(self, commit: Commit, heads: "Iterable[Head]" = ()) -> None:
        """
        Remember that this commit is being applied: from now on it is the one that `applied` names. The `heads` are
        remembered too, in the place of others of the same commits.
        """
        ...

    def release(self) -> None: ...


WaitReport: TypeAlias = Callable[[Holder, float], None]


class Lock(Protocol):
    """One writer at a time."""

    def acquire(self, timeout: float, waiting: WaitReport) -> Lease:
        """
        Wait at most `timeout` seconds; `waiting` is told who holds it and for how many seconds we have waited. Raises
        LockError, with the holder's name in it, when the time is over.
        """
        ...


class Forge(Protocol):
    """
    Where changes are reviewed, as a job of its CI sees it: GitHub, GitLab. What it is told comes from the job's own
    environment. All calls raise ReconcilerError, with a remedy.
    """

    @property
    def comment_limit(self) -> int:
        """How many characters a comment may have."""
        ...

    def comment(self, body: str, key: str) -> str | None:
        """
        Show this under the change request that the job runs for, in the one comment of ours that begins with a marker
        with this key: made, or brought up to date in place. The comment's address, or None where the job runs for no
        change request.
        """
        ...

    def withdraw(self, write: Callable[[str], str]) -> None:
        """
        Put what `write` makes of a key in the place of every comment of ours with that key under the change request,
        but for those of the commit that the job runs for: they may be another job's.
        """
        ...

    def reviewed(self, commit: Commit, key: str) -> str | None:
        """
        The body of that comment under the change request by which `commit` came to be, or None: a commit that was
        pushed without one, or a request that was never commented on.
        """
        ...

    def request(self, commit: Commit, *, merged: bool = False) -> Request | None:
        """
        The change request that the job runs for, or by which `commit` came to be, as it stands: approvals that were
        taken back are none, nor are those of bots. `merged`: `commit` is not what the job runs for, but one that is on
        the branch already. None where there is no such request. The error says why it is not known.
        """
        ...

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:
        """Hand values to the steps or jobs that come after, and show the summary, Markdown, on the job's page."""
        ...


class Requests(Protocol):
    """Where change requests are opened. Raises ReconcilerError, with a remedy."""

    def ready(self) -> None:
        """Raises where a request could not be opened, as far as that is known without asking: no token, no project."""
        ...

    def propose(self, branch: str, base: str, title: str, text: str) -> str:
        """
        Open a request to merge a branch that was pushed into another one, and say its address. One that is open
        already is the same request.
        """
        ...


class Clock(Protocol):
    def now(self) -> str:
        """The time, RFC 3339 in UTC."""
        ...


class Stopwatch(Protocol):
    """Processor time, and an end to what takes too much of it."""

    def spent(self) -> float:
        """The seconds that this thread, and processes that it waited for, have taken so far."""
        ...

    def stopping(self, seconds: float) -> AbstractContextManager[None]:
        """Raises OverBudgetError in the block once this thread has taken so many seconds more."""
        ...


class Carrier(Protocol):
    """Brings what versions of other registries are made of to where a copy can be registered from it."""

    def bring(self, change: "RegisterVersion") -> "Brought":
        """
        The files of an original, compared with those that are there then, and its run's figures. Goes on where one that
        was broken off ended, and registers nothing. Raises ReconcilerError; a RegistryError whose code is UNREACHABLE
        may be worth another try.
        """
        ...

    def keeps(self, model: ModelRef, version: Version) -> bool:
        """Whether the files of one of our versions are where copies are brought to. Raises ReconcilerError."""
        ...


@dataclass(frozen=True, slots=True)
class Neighbor:
    """
    Another registry that the policy names, which is read and never written to. `world` is that of its own folder of
    manifests; `policy_at` reads what the policy of a commit says of it.
    """

    world: "World"
    policy_at: "Callable[[str | None], Policy | None]"


class Neighbors(Protocol):
    """The other registries that the policy which stands names."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the policy calls them."""
        ...

    def of(self, name: str) -> Neighbor:
        """One of them. Raises ReconcilerError for a name that the policy does not have."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """
    All that is outside, handed to the pipeline. `lock` is None by the explicit choice of the user alone. `named` is
    what the policy calls the registry, where it names several, and `neighbors` are the others. `slots` says what stages
    are by the revision in hand; what was declared before is read by what they were then.
    """

    source: ManifestSource
    parse: ManifestParser
    registry: Registry
    clock: Clock
    lock: Lock | None = None
    evidence: EvidenceSource | None = None
    reviews: Reviewers | None = None
    checks: Checks | None = None
    benches: Benches | None = None
    memory: Memory | None = None
    seals: Seals | None = None
    stopwatch: Stopwatch | None = None
    runs: Runs | None = None
    receipts: Receipts | None = None
    tell: Tell = untold
    slots: SlotMap = PLAIN
    parse_past: Callable[[SlotMap], ManifestParser] | None = None
    named: str = ""
    neighbors: Neighbors | None = None
    carrier: Carrier | None = None
    ahead: Callable[[], AbstractContextManager[Expect]] = partial(nullcontext, unexpected)
    """While it is entered, what the next snapshot shows may be read beside all else."""

    def parser(self, slots: SlotMap) -> ManifestParser:
        """What reads manifests that were declared when stages were these in the registry."""
        return self.parse if self.parse_past is None else self.parse_past(slots)
