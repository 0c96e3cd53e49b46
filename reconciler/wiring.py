"""Settings → World: the only place that knows the edges by name."""

import hashlib
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.clocks import SystemClock
from reconciler.core.names import WORKSPACE, Commit, Ours, in_workspace, names_of
from reconciler.core.text import plain
from reconciler.errors import Location, ManifestError, Problem, ReconcilerError, Severity
from reconciler.ports import Clock, Forge, ManifestParser, SourceFile, World

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from reconciler.checking import Sign
    from reconciler.core.desired import Manifest, Revision
    from reconciler.core.gate import Gate
    from reconciler.core.plan import PlanOptions
    from reconciler.core.policy import Policy, PolicySettings
    from reconciler.git.lock import GitLock
    from reconciler.git.source import GitSource
    from reconciler.judging import Rules
    from reconciler.pipeline import Reviewed
    from reconciler.reading.gates import GateBuilder
    from reconciler.registry.access import Credentials, MlflowAccess
    from reconciler.registry.file_lock import FileLock
    from reconciler.registry.mlflow import MlflowRegistry
    from reconciler.render.json import PlanDocument
    from reconciler.trust import PolicyAt


class LockKind(StrEnum):
    """Where the lock of an apply is kept."""

    AUTO = "auto"
    GIT = "git"
    FILE = "file"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line and the environment say about where things are."""

    manifests: Path | None = None
    registry_uri: str | None = None
    repository: str | None = None
    remote: str = "origin"
    lock: LockKind = LockKind.AUTO


def open_world(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    forge: Forge | None = None,
    base: str | None = None,
    ref: str | None = None,
    policy_ref: str | None = None,
) -> World:
    """
    Everything that the pipeline needs. Nothing is connected yet: a mistake in a manifest is found before seconds are
    spent on a registry. What neither option nor environment says is taken from the policy that stands, as gates are: a
    change must not lead its own plan or apply, and the credentials with it, to another registry. Raises ReconcilerError
    where there is no repository, where no registry is named, and where a commit's name could mean two.
    """
    from reconciler.checks.signing import RecordSeals
    from reconciler.checks.versions import MlflowChecks
    from reconciler.clocks import ProcessorStopwatch
    from reconciler.evidence.mlflow import MlflowEvidence
    from reconciler.forges.reviewers import GitAndForge
    from reconciler.git.source import open_source
    from reconciler.registry.mlflow import MlflowRegistry

    said, folder = _standing_settings(settings, environment, base, ref, policy_ref)
    source = open_source(folder, settings.repository, settings.remote)
    uri = registry_uri(settings, environment, said.registry)
    tracking = environment.get("MLFLOW_TRACKING_URI") or uri
    registry = MlflowRegistry(uri, tracking)
    clock = SystemClock()
    attempt, name = registry.tries.longest, _lock_name(registry, said)
    ours = Ours(source.identity, said.formerly)
    lock = _lock(settings, registry, name, source, ours, clock, environment, attempt)
    memory = lock or _lock(
        replace(settings, lock=LockKind.AUTO), registry, name, source, ours, clock, environment, attempt, may_lack=True
    )
    parse = manifest_parser()
    checks = MlflowChecks(uri, tracking, environment)
    return World(
        source,
        parse,
        registry,
        clock,
        lock,
        MlflowEvidence(uri, tracking),
        GitAndForge(source, parse, forge),
        checks,
        checks,
        memory=memory,
        seals=RecordSeals(),
        stopwatch=ProcessorStopwatch(),
    )


def _standing_settings(
    settings: Settings, environment: Mapping[str, str], base: str | None, ref: str | None, policy_ref: str | None
) -> "tuple[PolicySettings, Path]":
    """What the policy that stands says of the registry and of former names, and the folder of manifests."""
    from reconciler.core.policy import PolicySettings
    from reconciler.git.source import open_source
    from reconciler.planning import standing_commit
    from reconciler.reading.policy import settings_of
    from reconciler.trust import POLICY_PATH

    source = open_source(settings.manifests or Path.cwd(), settings.repository or "-", settings.remote)
    for text in (base, ref, policy_ref):
        if text is not None:
            source.meant(text)
    usual = settings.manifests or Path("manifests")
    if source.head is None:
        return PolicySettings(), usual

    def at(commit: str) -> "tuple[PolicySettings, GitSource]":
        file = source.file(commit, POLICY_PATH)
        said = PolicySettings() if file is None else settings_of(file)
        if settings.manifests is not None:
            return said, source
        folder = source.folder / "manifests" if said.manifests is None else PurePosixPath(said.manifests)
        return said, replace(source, folder=folder)

    # Whether anything is changed depends on the folder, which is where HEAD says, if it is HEAD that is changed.
    looked_at = at("HEAD")[1] if ref is None and base is None and not policy_ref else source
    standing = standing_commit(looked_at, base=base, ref=ref, policy_ref=policy_ref)
    said, found = at(standing or "HEAD")
    tip = source.meant(ref or "HEAD")
    parents = source.parents(tip)
    if standing in parents and base is None and not policy_ref:
        sides = [at(commit) for commit in (tip, *parents)]
        if len({_places(settings, environment, one) for one, _ in sides}) > 1:
            commits = _standing_by_memory(settings, environment, tip, sides)
            known = {_places(settings, environment, at(commit)[0]): at(commit) for commit in commits}
            if len(known) > 1 or (not known and len({_places(settings, environment, one) for one, _ in sides[1:]}) > 1):
                raise _undecided(tip, [one for one, _ in (*known.values(), *sides[1:])])
            said, found = next(iter(known.values()), (said, found))
    return said, settings.manifests or found.top / found.folder


def _places(settings: Settings, environment: Mapping[str, str], said: "PolicySettings") -> tuple[object, ...]:
    """What a policy decides of where credentials go and manifests are: what is named elsewhere, it does not."""
    registry = None if named_registry(settings, environment) else said.registry
    return registry, said.registry_names, None if settings.manifests else said.manifests


def _standing_by_memory(
    settings: Settings,
    environment: Mapping[str, str],
    tip: Commit,
    sides: "Iterable[tuple[PolicySettings, GitSource]]",
) -> set[Commit]:
    """The commits that stand before a change, by what applies remember beside the locks of registries that it names."""
    from reconciler.checks.signing import RecordSeals
    from reconciler.core.desired import Revision
    from reconciler.git.source import open_source
    from reconciler.registry.mlflow import MlflowRegistry
    from reconciler.trust import Trunk

    told: set[Commit] = set()
    for said, found in sides:
        uri = named_registry(settings, environment) or said.registry
        if uri is None:
            continue
        source = open_source(settings.manifests or found.top / found.folder, settings.repository, settings.remote)
        clock, registry = SystemClock(), MlflowRegistry(uri, uri)
        name = _lock_name(registry, said)
        beside = replace(settings, lock=LockKind.AUTO)
        ours = Ours(source.identity, said.formerly)
        memory = _lock(beside, registry, name, source, ours, clock, environment, 0.0, may_lack=True)
        world = World(source, manifest_parser(), registry, clock, memory=memory, seals=RecordSeals())
        trunk = Trunk(world, policy_reader(world), Revision(source.identity, tip), tip, ahead=False)
        place = trunk.before(0)
        if place is not None and (standing := trunk.at(place)) is not None:
            told.add(standing.commit)
    return told


def _undecided(tip: Commit, sides: "Iterable[PolicySettings]") -> ReconcilerError:
    named = " and ".join(sorted({f"{said.registry}, {said.manifests or 'manifests'}/" for said in sides}))
    return ReconcilerError(
        f"The policies before {tip[:12]} name different places: {named}. Which of them the branch was at is not known.",
        "Pass --policy-ref with the commit that the branch was at before, or name the registry by an option.",
    )


def gate_builder() -> "GateBuilder":
    """What gates are made with: the evaluator of conditions, and the gates that other packages bring."""
    from reconciler.reading.gates import GateBuilder, GateFactory

    def plugins() -> dict[str, GateFactory]:
        from importlib.metadata import entry_points

        return {point.name: partial(_made_by, point) for point in entry_points(group="reconciler.gates")}

    return GateBuilder(_evaluate, _compile_fault, plugins)


def _made_by(point: "EntryPoint", parameters: Mapping[str, object]) -> "Gate":
    """Another package's gate. It is imported when a file uses it, so that a broken one is blamed on nobody else."""
    return point.load()(parameters)


def _evaluate(condition: str, variables: Mapping[str, object]) -> bool | str:
    from reconciler.conditions import cel

    return cel.evaluate(condition, variables)


def _compile_fault(condition: str) -> str | None:
    from reconciler.conditions import cel

    return cel.compile_fault(condition)


def manifest_parser() -> ManifestParser:
    """Reads manifests, each file once for the run of a command."""
    from reconciler.reading.manifest import parse

    build = gate_builder()
    known: dict[SourceFile, tuple[tuple[Manifest, ...], tuple[Problem, ...]]] = {}

    def parse_each(files: Iterable[SourceFile]) -> "tuple[tuple[Manifest, ...], tuple[Problem, ...]]":
        """Each file once, however many commits have it."""
        read: list[tuple[tuple[Manifest, ...], tuple[Problem, ...]]] = []
        for file in files:
            if file not in known:
                known[file] = parse([file], build)
            read.append(known[file])
        return tuple(chain.from_iterable(f for f, _ in read)), tuple(chain.from_iterable(p for _, p in read))

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
                raise ReconcilerError("There is no key to sign with.", f"Set {KEY_VARIABLE}.")
            return HmacSigner(secret).sign
        case SignKind.SSH:
            if key is None:
                raise ReconcilerError("There is no key to sign with.", "Name one with --signing-key.")
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
def trusted_files(world: World, commit: Commit | None) -> Generator[str]:
    """A folder with the files of the policy's commit, for its checks to run in."""
    from reconciler.git.source import GitSource
    from reconciler.git.tree import exported

    if commit is None or not isinstance(world.source, GitSource):
        raise ReconcilerError("There is no commit to take the checks from.", "Commit the policy and its files first.")
    with exported(world.source.git, commit) as folder:
        yield str(folder)


def policy_reader(world: World) -> "PolicyAt":
    """Reads the policy of a commit, or of the work tree, each once."""
    from reconciler.reading.policy import parse_policy, signers_path
    from reconciler.trust import POLICY_PATH

    known: dict[tuple[bytes, str], Policy] = {}

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
            known[file.data, text] = replace(policy, signers_path=named or "")
        return known[file.data, text]

    return policy_at


def load_rules(
    world: World,
    revision: "Revision",
    *,
    base: str | None = None,
    ref: str | None = None,
    policy_ref: str | None = None,
    ahead: bool = False,
) -> "Rules":
    """
    The rules that judge a revision, as `planning.read_rules` gives them. `ahead` says that what is judged comes after
    it. Raises ManifestError for a wrong policy.
    """
    from reconciler.planning import open_trunk, read_rules

    policy_at = policy_reader(world)
    trunk = open_trunk(world, policy_at, revision, base=base, ahead=ahead, policy_ref=policy_ref)
    return read_rules(trunk, policy_at, ref=ref)


def open_forge(publish: str, environment: Mapping[str, str]) -> Forge | None:
    """
    The forge with that name; for `auto` the one whose job this is, and None for `none`. Raises ReconcilerError for
    `auto` outside of a job.
    """
    from reconciler.forges import kinds

    return kinds.open_forge(None if publish == "auto" else kinds.ForgeKind(publish), environment)


def comment_key(repository: str, registry: str) -> str:
    """What tells our comments apart under one change request: a folder of manifests and a registry, as one word."""
    return hashlib.sha256(f"{repository}\n{registry}".encode()).hexdigest()[:12]


def what_was_reviewed(forge: Forge, key: str, commit: Commit) -> "Reviewed | None":
    """What our comment says under the change request that a commit came from."""
    from reconciler.pipeline import Reviewed
    from reconciler.render.marker import read_marker

    body = forge.reviewed(commit, key)
    marker = None if body is None else read_marker(body)
    return marker and Reviewed(marker.digest, any_commit=True, models=marker.models)


def named_registry(settings: Settings, environment: Mapping[str, str]) -> str:
    """The registry that an option or the environment names, which is taken as it is."""
    named = (
        settings.registry_uri or environment.get("MLFLOW_REGISTRY_URI") or environment.get("MLFLOW_TRACKING_URI") or ""
    )
    return named.strip()


def registry_uri(settings: Settings, environment: Mapping[str, str], policy: str | None = None) -> str:
    """
    The registry that is named by option or environment, or else by the policy. MLflow itself falls back to
    `sqlite:///mlflow.db` in the current folder, which is created empty where it is missing: nothing that a deployment
    should rest on.
    """
    uri = named_registry(settings, environment) or (policy or "").strip()
    if not uri:
        raise ReconcilerError(
            "No registry is named.",
            "Set MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI, pass --registry-uri, or name it in reconciler.yaml, where "
            "it holds from the next change on.",
        )
    return uri.rstrip("/") if uri.startswith("http") else uri


def registry_uri_given(option: str | None, environment: Mapping[str, str]) -> str:
    """The registry that option or environment name: an administrator's password goes where no file leads it."""
    try:
        return registry_uri(Settings(registry_uri=option), environment)
    except ReconcilerError as error:
        raise ReconcilerError(error.message, "Set MLFLOW_TRACKING_URI, or pass --registry-uri.") from error


def registry_access(uri: str) -> "MlflowAccess":
    """What asks a registry who may write to it."""
    from reconciler.registry.access import MlflowAccess

    return MlflowAccess(uri)


def checked_user(environment: Mapping[str, str]) -> "Credentials":
    """The user whom `access --check` is about. Raises ReconcilerError where only half of the credentials is there."""
    from reconciler.registry.access import credentials_of

    return credentials_of(environment)


def _lock_name(registry: "MlflowRegistry", said: "PolicySettings") -> str:
    """What a lock, and what applies remember beside it, is about: the registry by one name, and its workspace."""
    workspace = registry.workspace
    if workspace and not WORKSPACE.fullmatch(workspace):
        raise ReconcilerError(
            f"MLFLOW_WORKSPACE is `{plain(workspace)}`, which cannot be the name of a workspace.",
            "It has 2 to 63 lower-case letters, digits and hyphens.",
        )
    return in_workspace(names_of(registry.registry_uri, said.registry_names)[0], workspace)


def _lock(
    settings: Settings,
    registry: "MlflowRegistry",
    name: str,
    source: "GitSource",
    ours: Ours,
    clock: Clock,
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
            f"There is no git remote `{settings.remote}` to keep the lock on, and other machines may write to "
            f"{without_credentials(uri)} too.",
            "Add the remote, name another one with --remote, or pass --lock file if only this machine applies.",
        )
    from reconciler.git.lock import GitLock, lock_ref

    return GitLock(source.git, source.remote, lock_ref(name), holder, ours, clock=clock, attempt=attempt)


def check_files(paths: list[Path]) -> tuple[int, int, tuple[Problem, ...]]:
    """
    How many manifest files and models these files and folders hold, and what is wrong with them and with the policy,
    which is looked at in any case. Needs no git.
    """
    from reconciler.core.desired import expired, resolve
    from reconciler.gates.authority import unapprovable
    from reconciler.reading.files import files_below
    from reconciler.reading.manifest import parse
    from reconciler.reading.repository import top_above

    top = top_above(paths[0]) or Path.cwd()
    named = [path for path in paths if path.name == POLICY_NAME and path.is_file()]
    files, unreadable = files_below([path for path in paths if path not in named], top)
    policy, broken = _policy_in([*named, *([top / POLICY_NAME] if os.path.lexists(top / POLICY_NAME) else [])], top)
    build = gate_builder()
    if policy is not None:
        build = replace(build, groups=policy.groups, checks=frozenset(policy.checks))
    fragments, wrong = parse(files, build)
    models, contradictory = resolve(fragments)
    over = expired(models.values(), SystemClock().now())
    doubtful: tuple[Problem, ...] = ()
    if policy is not None:
        from reconciler.gates.prospects import doubts, doubts_of

        doubtful = (*doubts(policy), *doubts_of(models, policy), *unapprovable(policy, models.values()))
    return len(files), len(models), tuple(sorted({*unreadable, *wrong, *contradictory, *over, *broken, *doubtful}))


POLICY_NAME = "reconciler.yaml"


def _policy_in(paths: list[Path], top: Path) -> "tuple[Policy | None, tuple[Problem, ...]]":
    """The last of some policies, and what is wrong with all of them."""
    policy: Policy | None = None
    problems: list[Problem] = []
    for path in paths:
        from reconciler.reading.files import beginning, content_problem, no_plain_file
        from reconciler.reading.policy import parse_policy

        shown = os.path.relpath(path, top) if path.is_absolute() else str(path)
        if path.is_symlink() or not path.is_file():
            problems.append(no_plain_file(shown))
            continue
        file = SourceFile(shown, beginning(path))
        if amiss := content_problem(shown, file.data):
            problems.append(amiss)
            continue
        policy, wrong = parse_policy(file, gate_builder())
        problems.extend((*wrong, *_signers_in(file, top)))
    return policy, (*problems, *_policies_by_other_names(top))


def _signers_in(file: SourceFile, top: Path) -> Iterator[Problem]:
    """What is wrong with the file of signers that a policy names."""
    from reconciler.checks.signing import signers_problems
    from reconciler.reading.files import beginning, content_problem
    from reconciler.reading.policy import signers_named
    from reconciler.reading.repository import on_the_way

    named = signers_named(file)
    if named is None:
        return
    path = top / named.value
    if on_the_way(top, PurePosixPath(named.value).parent) or path.is_symlink() or not path.is_file():
        message = f"`signers` is `{named.value}`, and there is no such file: no signature would count."
        yield Problem(named.at, "no-signers", message, "Correct the path from the top of the repository, or add it.")
        return
    signers = SourceFile(named.value, beginning(path))
    amiss = content_problem(named.value, signers.data)
    yield from signers_problems(signers) if amiss is None else [amiss]


def _policies_by_other_names(top: Path) -> Iterator[Problem]:
    """Files that look like a policy, and are read by nothing: whoever wrote them believes that something is guarded."""
    meant = {POLICY_NAME, POLICY_NAME.removesuffix("yaml") + "yml"}
    for name in sorted(os.listdir(top)):  # noqa: PTH208  # the names alone
        if name.casefold() in meant and name != POLICY_NAME:
            message = f"This looks like a policy, and is not read: a policy is in {POLICY_NAME}."
            yield Problem(Location(name), "odd-policy-name", message, "Rename it.")


def schema_text(name: str) -> str:
    """One of the published JSON Schemas, as it stands in `schemas/`."""
    from reconciler.reading import schemas

    return schemas.schema_text(name)


def read_plan(path: Path) -> "PlanDocument":
    """A plan that `plan --out` saved. Raises ReconcilerError for anything else."""
    from reconciler.reading.plan import read

    return read(path)


def reviewed_of(document: "PlanDocument") -> "Reviewed":
    """What of a saved plan must still hold when it is applied."""
    from reconciler.pipeline import Reviewed

    commit = document["base"]["commit"]
    models = frozenset(document.get("model_digests", []))
    return Reviewed(document["digest"], None if commit is None else Commit(commit), models=models)


def options_of(document: "PlanDocument") -> "PlanOptions":
    """The options that a saved plan was made with."""
    from reconciler.core.plan import Limits, PlanOptions

    options = document["options"]
    return PlanOptions(
        targets=tuple(options["targets"]),
        adopt=options["adopt"],
        force=options["force"],
        allow_empty=options["allow_empty"],
        limits=Limits(options["max_change_share"], options["max_change_models"]),
    )
