"""Settings → World: construction, and no rule. The only place that knows the edges by name."""

import hashlib
import re
import secrets
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from reconciler.clocks import SystemClock
from reconciler.core.names import WORKSPACE, Commit, Ours, in_workspace, names_of
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.text import plain
from reconciler.errors import ManifestError, Problem, ReconcilerError, Severity

if TYPE_CHECKING:
    from reconciler.carrying.writing import Origin
    from reconciler.checking import Sign
    from reconciler.core.desired import Manifest
    from reconciler.core.policy import Policy, PolicySettings
    from reconciler.gates.parameters import GateFactory
    from reconciler.git.lock import GitLock
    from reconciler.git.source import GitSource
    from reconciler.places import Side
    from reconciler.ports import Actor, Clock, Forge, ManifestParser, Neighbor, Seals, SourceFile, Tell, World
    from reconciler.reading.gates import GateBuilder
    from reconciler.registry.access import Credentials, MlflowAccess
    from reconciler.registry.file_lock import FileLock
    from reconciler.registry.mlflow import MlflowRegistry
    from reconciler.trust import PolicyAt, Trunk


class LockKind(StrEnum):
    """Where the lock of an apply is kept."""

    AUTO = "auto"
    GIT = "git"
    FILE = "file"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What the user says about where things are. `start` is where we stand; `manifests` is below it, if relative. `named`
    is what the policy calls the registry that is meant, where it names several.
    """

    start: Path = Path()
    manifests: Path | None = None
    registry_uri: str | None = None
    repository: str | None = None
    remote: str = "origin"
    lock: LockKind = LockKind.AUTO
    named: str = ""


def open_world(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    forge: "Forge | None" = None,
    base: str | None = None,
    ref: str | None = None,
    policy_ref: str | None = None,
    tell: "Tell | None" = None,
) -> "World":
    """
    Everything that the pipeline needs. Nothing is connected yet: a mistake in a manifest is found before seconds are
    spent on a registry. What neither option nor environment says is taken from the policy that stands, as gates are: a
    change must not lead its own plan or apply, and the credentials with it, to another registry. Raises ReconcilerError
    where there is no repository, where no registry is named, and where a commit's name could mean two; and
    SeveralRegistriesError where the policy names several and none is meant.
    """
    from reconciler.checks.signing import RecordSeals
    from reconciler.checks.versions import MlflowChecks
    from reconciler.clocks import ProcessorStopwatch
    from reconciler.evidence.mlflow import MlflowEvidence
    from reconciler.forges.reviewers import GitAndForge
    from reconciler.git.lock import GitLock
    from reconciler.git.notebook import GitNotebook, notebook_ref
    from reconciler.git.receipts import GitReceipts
    from reconciler.git.source import open_source
    from reconciler.places import refuse_file_of_credentials, refuse_same, registry_uri
    from reconciler.ports import World, untold
    from reconciler.registry.mlflow import MlflowRegistry
    from reconciler.registry.noted import NotedRegistry
    from reconciler.surroundings import SURROUNDINGS

    tell = tell or untold
    around = SURROUNDINGS.before(environment)
    settings, policy, folder, like = _standing_settings(settings, environment, base, ref, policy_ref)
    environment = _as_shown(policy, environment)
    source = open_source(folder, settings.repository, settings.remote, like=like)
    uri = registry_uri(settings.registry_uri, environment, policy, partial(_registries_in, source, ref))
    tracking = environment.get("MLFLOW_TRACKING_URI") or uri
    registry = MlflowRegistry(uri, tracking, tell=tell)
    if settings.named:
        here = names_of(uri, policy.registry_names)[0], registry.workspace
        refuse_same(settings.named, policy, environment, here)
        refuse_file_of_credentials(settings.named, policy.prefix, uri, environment)
    clock = SystemClock()
    attempt, name = registry.tries.longest, _lock_name(registry, policy)
    ours = Ours(source.identity, policy.formerly)
    lock = _lock(settings, registry, name, source, ours, clock, environment, attempt)
    memory = lock or _lock(
        replace(settings, lock=LockKind.AUTO), registry, name, source, ours, clock, environment, attempt, may_lack=True
    )
    slots = _slots(source, ref, settings.named, policy.slots)
    known: _Known = {}
    registries = tuple(policy.registries)
    parse = manifest_parser(slots, known=known, named=settings.named, registries=registries)
    parse_past = cache(partial(manifest_parser, past=True, known=known, named=settings.named, registries=registries))
    checks, evidence = MlflowChecks(uri, tracking, environment, tell=tell), MlflowEvidence(uri, tracking, tell=tell)
    beside = None
    if not registry.capabilities.records:
        beside = NotedRegistry(registry, GitNotebook(source.git, source.remote, notebook_ref(name)))
    world = World(
        source,
        parse,
        beside or registry,
        clock,
        lock,
        evidence,
        GitAndForge(source, lambda commit: parse_past(own_slots(source, commit, settings.named) or slots), forge),
        checks,
        checks,
        memory=memory,
        seals=RecordSeals(),
        stopwatch=ProcessorStopwatch(),
        runs=evidence,
        receipts=GitReceipts(source.git, source.remote, local=not isinstance(lock, GitLock)),
        tell=tell,
        slots=slots,
        parse_past=parse_past,
        named=settings.named,
        ahead=partial(registry.ahead, ours),
    )
    if not settings.named:
        return world
    return _among_others(world, registry, _Neighbors(settings, policy, around, ref, source), policy)


def _among_others(
    world: "World", registry: "MlflowRegistry", neighbors: "_Neighbors", policy: "PolicySettings"
) -> "World":
    """The world, in which models of the other registries of the policy can be asked about, and copied."""
    from reconciler.carrying.writing import MlflowCarrier
    from reconciler.neighbors import beside

    carrier = MlflowCarrier(registry, neighbors.origin_of, policy.experiment, world.tell)
    return replace(beside(world, neighbors, neighbors.called), carrier=carrier)


@dataclass
class _Neighbors:
    """
    The other registries of the policy that stands, which alone says where they are: each is opened when it is first
    asked about, by its part of the environment `around` all of them, and read by a process that sees no other part.
    """

    settings: Settings
    policy: "PolicySettings"
    around: Mapping[str, str]
    ref: str | None
    source: "GitSource"
    _opened: "dict[str, tuple[Neighbor, Origin]]" = field(default_factory=dict, init=False)
    _guard: Lock = field(default_factory=Lock, init=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self.policy.registries if name != self.settings.named)

    @property
    def called(self) -> Mapping[tuple[str, str], str]:
        """What the policy calls each, ours included, by the name and the workspace that records have of it."""
        from reconciler.places import named_registry
        from reconciler.registry.mlflow import workspace_of
        from reconciler.surroundings import seen_by

        found: dict[tuple[str, str], str] = {}
        for name, its in self.policy.registries.items():
            seen = seen_by(its, self.around)
            if uri := named_registry(None, seen) or its.registry:
                known_as = "" if name == self.settings.named else name
                found.update(((one, workspace_of(seen)), known_as) for one in names_of(uri, its.registry_names))
        return found

    def of(self, name: str) -> "Neighbor":
        return self._open(name)[0]

    def origin_of(self, name: str) -> "Origin":
        """What reads one of them for copies, and what records have it called."""
        return self._open(name)[1]

    def _open(self, name: str) -> "tuple[Neighbor, Origin]":
        with self._guard:
            if name not in self._opened:
                if name not in self.names:
                    known = ", ".join(self.names) or "no other"
                    raise ReconcilerError(f"The policy that stands names no registry `{plain(name, 80)}`: {known}.")
                self._opened[name] = self._neighbor(name, self.policy.of(name))
            return self._opened[name]

    def _neighbor(self, name: str, its: "PolicySettings") -> "tuple[Neighbor, Origin]":
        from reconciler.carrying.process import Elsewhere, Place
        from reconciler.carrying.writing import Origin
        from reconciler.checks.signing import RecordSeals
        from reconciler.core.text import without_credentials
        from reconciler.git.source import open_source
        from reconciler.places import named_registry, refuse_file_of_credentials, registry_uri
        from reconciler.ports import Neighbor, World
        from reconciler.registry.mlflow import MlflowRegistry, workspace_of
        from reconciler.surroundings import PREFIX, seen_alone, seen_by

        seen = seen_by(its, self.around)
        uri = named_registry(None, seen) or its.registry or ""
        workspace = workspace_of(seen)

        def place() -> Place:
            at = registry_uri(None, seen, its)
            refuse_file_of_credentials(name, its.prefix, at, seen)
            alone = seen_alone(its, self.policy.registries.values(), self.around, (SIGNING_KEY,))
            return Place(at, seen.get("MLFLOW_TRACKING_URI") or at, {**alone, PREFIX: its.prefix})

        elsewhere = Elsewhere(place, without_credentials(uri) or name, workspace)
        folder, named = self.source.top / str(its.manifests), self.settings.repository
        source = open_source(folder, named, self.settings.remote, like=self.source)
        slots, registries = _slots(source, self.ref, name, its.slots), tuple(self.policy.registries)
        known: _Known = {}
        parse = manifest_parser(slots, known=known, named=name, registries=registries)
        parse_past = cache(partial(manifest_parser, past=True, known=known, named=name, registries=registries))
        clock, ours = SystemClock(), Ours(source.identity, its.formerly)
        there, locked = MlflowRegistry(uri, uri, workspace=workspace), replace(self.settings, lock=LockKind.AUTO)
        # Manifests are read and judged also where nothing says where their registry is.
        lock = _lock_name(there, its) if uri else None
        memory = lock and _lock(locked, there, lock, source, ours, clock, self.around, 0.0, may_lack=True)
        world = World(
            source,
            parse,
            elsewhere,
            clock,
            evidence=elsewhere,
            checks=elsewhere,
            memory=memory or None,
            seals=RecordSeals(),
            runs=elsewhere,
            slots=slots,
            parse_past=parse_past,
            named=name,
        )
        identity = names_of(uri, its.registry_names)[0]
        return Neighbor(world, policy_reader(world)), Origin(elsewhere, identity, workspace)


def _as_shown(policy: "PolicySettings", environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment as it is for a registry; MLflow's client sees it so, too."""
    from reconciler.surroundings import SURROUNDINGS

    return SURROUNDINGS.show(policy) if policy.prefix else environment


def surroundings_of(settings: Settings, environment: Mapping[str, str]) -> Mapping[str, str]:
    """
    The environment as it is for the registry that is named among several, by the policy that stands; as it is, where
    none is named. Raises ReconcilerError for one that the policy does not name.
    """
    if not settings.named:
        return environment
    return _as_shown(_standing_settings(settings, environment, None, None, None)[1], environment)


def actor_of(environment: Mapping[str, str], now: str) -> "Actor":
    """Who this process is, and who started the CI job that it is in."""
    from reconciler.git.branch import author_of_job
    from reconciler.holders import this_process
    from reconciler.ports import Actor

    holder = this_process(environment, now)
    return Actor(holder.who, holder.run, plain(author_of_job(environment) or ""))


def new_receipt_id(now: str) -> str:
    """A name that no other receipt has, and that sorts by time: `20260501T100000Z-1f3a9c0b2d`."""
    return f"{re.sub('[^0-9TZ]', '', now)}-{secrets.token_hex(5)}"


def _slots(source: "GitSource", ref: str | None, named: str, standing: SlotMap) -> SlotMap:
    """What stages are in the registry, by the policy of what is read, and beside it by the one that stands."""
    own = own_slots(source, ref, named)
    # What is wrong with a policy is said where its rules are read.
    return standing if own is None or own == standing else replace(own, standing=standing)


def own_slots(source: "GitSource", ref: str | None, named: str = "") -> SlotMap | None:
    """What stages are by the policy of a commit, or of the work tree, itself; None where it cannot be read."""
    settings = _own_settings(source, ref)
    return None if settings is None else settings.of(named).slots


def _registries_in(source: "GitSource", ref: str | None) -> tuple[str, ...]:
    """The registries that the policy of a commit, or of the work tree, names itself."""
    settings = _own_settings(source, ref)
    return () if settings is None else tuple(settings.registries)


def _own_settings(source: "GitSource", ref: str | None) -> "PolicySettings | None":
    from reconciler.core.policy import PolicySettings
    from reconciler.reading.policy import settings_of
    from reconciler.trust import POLICY_PATH

    file = None if ref is not None and source.head is None else source.file(ref, POLICY_PATH)
    try:
        return PolicySettings() if file is None else settings_of(file)
    except ManifestError:
        return None


def _standing_settings(
    settings: Settings, environment: Mapping[str, str], base: str | None, ref: str | None, policy_ref: str | None
) -> "tuple[Settings, PolicySettings, Path, GitSource]":
    """
    The settings with the registry that is meant, what the policy that stands says of it and of former names, the folder
    of manifests, and the repository as it was read for that.
    """
    from reconciler.core.policy import USUAL_FOLDER, PolicySettings
    from reconciler.git.source import open_source
    from reconciler.places import Search, chosen, named_registry
    from reconciler.surroundings import seen_by

    named = None if settings.manifests is None else settings.start / settings.manifests
    source = open_source(named or settings.start, settings.repository or "-", settings.remote)
    if source.head is None:
        for commit in (base, ref, policy_ref):
            if commit is not None:
                source.meant(commit)
        return settings, PolicySettings(), named or source.top / USUAL_FOLDER, source
    search = Search(
        source,
        lambda of: bool(named_registry(settings.registry_uri, seen_by(of, environment))),
        named is not None,
        partial(_remembered, settings, environment),
        settings.named,
    )
    side = search.standing(base=base, ref=ref, policy_ref=policy_ref)
    if side.settings.registries and not side.settings.prefix:
        # None is meant yet, or one that is not there.
        meant = replace(settings, named=chosen(settings.named, side.settings))
        return _standing_settings(meant, environment, base, ref, policy_ref)
    if settings.named and not side.settings.prefix:
        chosen(settings.named, side.settings)
    if settings.named and named is not None:
        raise ReconcilerError(
            f"The manifests of {settings.named} are in {side.settings.manifests}, as the policy says.",
            "Leave out --manifests, and RECONCILER_MANIFESTS.",
        )
    return settings, side.settings, named or side.source.top / side.source.folder, side.source


def _remembered(settings: Settings, environment: Mapping[str, str], side: "Side", tip: Commit) -> "Trunk | None":
    """A branch by what applies remember of it beside the lock of the registry that a side names, if it names one."""
    from reconciler.checks.signing import RecordSeals
    from reconciler.core.desired import Revision
    from reconciler.git.source import open_source
    from reconciler.places import named_registry
    from reconciler.ports import World
    from reconciler.registry.mlflow import MlflowRegistry
    from reconciler.trust import Trunk

    environment = _as_shown(side.settings, environment)
    uri = named_registry(settings.registry_uri, environment) or side.settings.registry
    if uri is None:
        return None
    named = None if settings.manifests is None else settings.start / settings.manifests
    folder = named or side.source.top / side.source.folder
    source = open_source(folder, settings.repository, settings.remote, like=side.source)
    clock, registry = SystemClock(), MlflowRegistry(uri, uri)
    name = _lock_name(registry, side.settings)
    beside = replace(settings, lock=LockKind.AUTO)
    ours = Ours(source.identity, side.settings.formerly)
    memory = _lock(beside, registry, name, source, ours, clock, environment, 0.0, may_lack=True)
    parse = manifest_parser(side.settings.slots, past=True)
    world = World(source, parse, registry, clock, memory=memory, seals=RecordSeals(), named=settings.named)
    return Trunk(world, policy_reader(world), Revision(source.identity, tip), tip, ahead=False)


def gate_builder() -> "GateBuilder":
    """What gates are made with: the evaluator of conditions, and the gates that other packages bring."""
    from reconciler.reading.gates import GateBuilder

    return GateBuilder(_evaluate, _compile_fault, plugins=gates_of_packages)


def gates_of_packages() -> "dict[str, Callable[[], GateFactory]]":
    """What loads each gate that another package brings, by the name that a policy `uses`."""
    from importlib.metadata import entry_points

    return {point.name: point.load for point in entry_points(group="reconciler.gates")}


def _evaluate(condition: str, variables: Mapping[str, object]) -> bool | str:
    from reconciler.conditions import cel

    return cel.evaluate(condition, variables)


def _compile_fault(condition: str) -> str | None:
    from reconciler.conditions import cel

    return cel.compile_fault(condition)


_Read: TypeAlias = "tuple[tuple[Manifest, ...], tuple[Problem, ...]]"
_Known: TypeAlias = "dict[tuple[SourceFile, bool, object], _Read]"


def manifest_parser(
    slots: SlotMap = PLAIN,
    *,
    past: bool = False,
    known: "_Known | None" = None,
    named: str = "",
    registries: tuple[str, ...] = (),
) -> "ManifestParser":
    """
    Reads manifests, each file once for the run of a command, however many commits have it. `slots` says what their
    stages are in the registry: some that were declared in the `past` may be nothing there now. The policy has it
    `named`, if it names several, which are `registries`. Parsers that share what is `known` read a file that nothing is
    wrong with once between them.
    """
    from reconciler.reading.manifest import parse, within_limits

    memory = {} if known is None else known
    means = slots.stages, slots.aliases_only

    def read(file: "SourceFile") -> _Read:
        return kept(file, then=True) if past and kept(file, then=False)[1] else kept(file, then=False)

    def kept(file: "SourceFile", *, then: bool) -> _Read:
        if (file, then, means) not in memory:
            memory[file, then, means] = parse(
                [file], gate_builder, slots=slots, past=then, named=named, registries=registries
            )
        return memory[file, then, means]

    def parse_each(files: "Iterable[SourceFile]") -> _Read:
        listed, over = within_limits(files)
        each = [read(file) for file in listed]
        return tuple(chain.from_iterable(f for f, _ in each)), (*over, *chain.from_iterable(p for _, p in each))

    return parse_each


class SignKind(StrEnum):
    """What the records of checks are signed with."""

    NONE = "none"
    HMAC = "hmac"
    SSH = "ssh"


def signer_of(kind: SignKind, key: Path | None, environment: Mapping[str, str]) -> "Sign | None":
    """What signs a record; None where none is asked for. Raises ReconcilerError where there is no key."""
    from reconciler.checks.signing import KEY_VARIABLE, HmacSigner, SshSigner, hmac_key

    match kind:
        case SignKind.NONE:
            return None
        case SignKind.HMAC:
            secret = hmac_key(environment)
            if secret is None:
                raise ReconcilerError("No key to sign with.", f"Set {KEY_VARIABLE}.")
            return HmacSigner(secret).sign
        case SignKind.SSH:
            if key is None:
                raise ReconcilerError("No key to sign with.", "Name one with --signing-key.")
            return SshSigner(key).sign


SIGNING_KEY = "RECONCILER_SIGNING_KEY"


@contextmanager
def record_signer(key: Path | None, environment: Mapping[str, str]) -> "Generator[Sign | None]":
    """
    What signs our records: the key named by an option, or the one in the environment, as its text or its path. None
    where there is none. A key that came as text is in a file of our own as long as the block lasts.
    """
    from reconciler.checks.signing import SshSigner
    from reconciler.core.policy import RECORDS

    text = environment.get(SIGNING_KEY, "").strip()
    if key is not None or not text:
        yield None if key is None else SshSigner(key, RECORDS).sign
    elif not text.startswith("-----BEGIN"):
        yield SshSigner(Path(text), RECORDS).sign
    else:
        with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
            file = Path(folder) / "key"
            file.touch(0o600)
            file.write_text(f"{text}\n", encoding="ascii")
            yield SshSigner(file, RECORDS).sign


@contextmanager
def trusted_files(world: "World", commit: Commit | None) -> Generator[str]:
    """A folder with the files of the policy's commit, for its checks to run in."""
    from reconciler.git.source import GitSource
    from reconciler.git.tree import exported

    if commit is None or not isinstance(world.source, GitSource):
        raise ReconcilerError("No commit to take the checks from.", "Commit the policy and its files first.")
    with exported(world.source.git, commit) as folder:
        yield str(folder)


def top_of(world: "World") -> Path:
    """The top of the repository, whose work tree commands write to."""
    from reconciler.git.source import GitSource

    if not isinstance(world.source, GitSource):
        raise ReconcilerError("There is no work tree to write to.", "Run this in a clone of the repository.")
    return world.source.top


def policy_reader(world: "World", standing: Callable[[], str | None] = lambda: None) -> "PolicyAt":
    """
    Reads the policy of a commit, or of the work tree, each once; what it says of the registry in hand, that has its
    name and folder by the policy of the `standing` commit.
    """
    from reconciler.core.policy import PolicySettings
    from reconciler.reading.policy import parse_policy, settings_of, signers_path
    from reconciler.trust import POLICY_PATH

    known: dict[tuple[bytes, str], Policy] = {}

    @cache
    def now() -> PolicySettings | None:
        commit = standing()
        file = None if commit is None else world.source.file(commit, POLICY_PATH)
        return None if file is None else settings_of(file)

    def policy_at(ref: str | None) -> "Policy | None":
        file = world.source.file(ref, POLICY_PATH)
        if file is None:
            return None
        named = signers_path(file)
        beside = None if named is None else world.source.file(ref, named)
        text = "" if beside is None else beside.data.decode("utf-8", "replace")
        if (file.data, text) not in known:
            policy, problems = parse_policy(file, gate_builder(), text)
            if policy is None or any(problem.severity is Severity.ERROR for problem in problems):
                raise ManifestError(problems)
            several = world.named or policy.registries
            about = policy.of(world.named, str(world.source.folder), now() if several else None)
            known[file.data, text] = replace(about, signers_path=named or "")
        return known[file.data, text]

    return policy_at


def record_seals() -> "Seals":
    """What verifies signatures on our records."""
    from reconciler.checks.signing import RecordSeals

    return RecordSeals()


def open_forge(publish: str, environment: Mapping[str, str]) -> "Forge | None":
    """
    The forge with that name; for `auto` the one whose job this is, and None for `none`. Raises ReconcilerError for
    `auto` outside of a job.
    """
    from reconciler.forges import kinds

    return kinds.open_forge(None if publish == "auto" else kinds.ForgeKind(publish), environment)


def registry_access(uri: str) -> "MlflowAccess":
    """What asks a registry who may write to it."""
    from reconciler.registry.access import MlflowAccess

    return MlflowAccess(uri)


def checked_user(environment: Mapping[str, str]) -> "Credentials":
    """The user whom `access --check` is about. Raises ReconcilerError where only half of the credentials is there."""
    from reconciler.registry.access import credentials_of

    return credentials_of(environment)


def _lock_name(registry: "MlflowRegistry", policy: "PolicySettings") -> str:
    """What a lock, and what applies remember beside it, is about: the registry by one name, and its workspace."""
    workspace = registry.workspace
    if workspace and not WORKSPACE.fullmatch(workspace):
        raise ReconcilerError(
            f"MLFLOW_WORKSPACE is `{plain(workspace)}`, which is not a valid workspace name.",
            "It has 2 to 63 lower-case letters, digits and hyphens.",
        )
    return in_workspace(names_of(registry.registry_uri, policy.registry_names)[0], workspace)


def _lock(
    settings: Settings,
    registry: "MlflowRegistry",
    name: str,
    source: "GitSource",
    ours: Ours,
    clock: "Clock",
    environment: Mapping[str, str],
    attempt: float,
    *,
    may_lack: bool = False,
) -> "FileLock | GitLock | None":
    """
    The lock that was asked for, of the registry of that name. `attempt` is how many seconds one call to it may take.
    """
    from reconciler.core.text import without_credentials
    from reconciler.holders import this_process
    from reconciler.registry.mlflow import sqlite_path

    if settings.lock is LockKind.NONE:
        return None
    holder, uri = this_process(environment, clock.now()), registry.registry_uri
    database = sqlite_path(uri)
    if settings.lock is LockKind.FILE or (settings.lock is LockKind.AUTO and database is not None):
        from reconciler.registry.file_lock import FileLock

        if database is None:
            name = hashlib.sha256(without_credentials(name).encode()).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"reconciler-{name}.lock"
        else:
            part = f".{registry.workspace}" if registry.workspace else ""
            path = database.resolve().with_name(f"{database.name}{part}.reconciler.lock")
        return FileLock(path, holder, ours, clock=clock)
    if source.remote is None and may_lack:
        return None
    if source.remote is None:
        raise ReconcilerError(
            f"No git remote `{settings.remote}` to keep the lock on, but other machines may write to "
            f"{without_credentials(uri)} too.",
            "Add the remote, name another one with --remote, or pass --lock file if only this machine applies.",
        )
    from reconciler.git.lock import GitLock, lock_ref

    return GitLock(source.git, source.remote, lock_ref(name), holder, ours, clock=clock, attempt=attempt)
