"""Settings → World: the only place where ports meet adapters."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.names import Commit
from reconciler.errors import ManifestError, Problem, ReconcilerError, Severity
from reconciler.ports import Clock, Forge, Lock, ManifestParser, SourceFile, World

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from reconciler.adapters.gate_yaml import GateBuilder
    from reconciler.adapters.git_source import GitSource
    from reconciler.checking import Sign
    from reconciler.core.gate import Gate
    from reconciler.core.plan import PlanOptions
    from reconciler.core.policy import Policy, PolicySettings
    from reconciler.judging import Rules
    from reconciler.pipeline import Reviewed
    from reconciler.render.json import PlanDocument


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


class ForgeKind(StrEnum):
    """Where a command's result is published, besides the terminal."""

    NONE = "none"
    AUTO = "auto"
    GITHUB = "github"
    GITLAB = "gitlab"


class SystemClock:
    """The time of this machine."""

    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")  # noqa: TID251  # the one clock


def open_world(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    forge: Forge | None = None,
    base: str | None = None,
    ref: str | None = None,
) -> World:
    """
    Everything that the pipeline needs. Nothing is connected yet: a mistake in a manifest is found before seconds are
    spent on a registry. What neither option nor environment says is taken from the policy, of the base where there is
    one: a change under review must not lead its own plan, and the credentials with it, to another registry. Raises
    ReconcilerError where there is no repository, or no registry is named.
    """
    from reconciler.adapters.git_source import open_source
    from reconciler.adapters.mlflow_checks import MlflowChecks
    from reconciler.adapters.mlflow_evidence import MlflowEvidence
    from reconciler.adapters.mlflow_registry import MlflowRegistry
    from reconciler.adapters.reviewers import GitAndForge

    said = _policy_settings(settings, base, ref)
    folder = settings.manifests or Path(said.manifests or "manifests")
    source = open_source(folder, settings.repository, settings.remote)
    uri = registry_uri(settings, environment, said.registry)
    tracking = environment.get("MLFLOW_TRACKING_URI") or uri
    registry = MlflowRegistry(uri, tracking)
    clock = SystemClock()
    lock = _lock(settings, uri, source, clock, environment)
    parse = _manifest_parser()
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
    )


def _policy_settings(settings: Settings, base: str | None, ref: str | None) -> "PolicySettings":
    """What the policy says of registry and manifests; what is wrong with it is told when its rules are read."""
    from reconciler.adapters.git_source import open_source
    from reconciler.adapters.policy_yaml import parse_policy
    from reconciler.core.policy import PolicySettings
    from reconciler.planning import POLICY_PATH

    source = open_source(settings.manifests or Path("manifests"), settings.repository or "-", settings.remote)
    if not source.repo.head.is_valid():
        return PolicySettings()
    file = source.file(source.fork(base, ref).commit if base else ref or "HEAD", POLICY_PATH)
    policy = None if file is None else parse_policy(file, gate_builder())[0]
    return PolicySettings() if policy is None else policy.settings


def gate_builder() -> "GateBuilder":
    """What gates are made with: the evaluator of conditions, and the gates that other packages bring."""
    from reconciler.adapters.gate_yaml import GateBuilder, GateFactory

    def plugins() -> dict[str, GateFactory]:
        from importlib.metadata import entry_points

        return {point.name: partial(_made_by, point) for point in entry_points(group="reconciler.gates")}

    return GateBuilder(_evaluate, _compile_fault, plugins)


def _made_by(point: "EntryPoint", parameters: Mapping[str, object]) -> "Gate":
    """Another package's gate. It is imported when a file uses it, so that a broken one is blamed on nobody else."""
    return point.load()(parameters)


def _evaluate(condition: str, variables: Mapping[str, object]) -> bool | str:
    from reconciler.adapters import cel

    return cel.evaluate(condition, variables)


def _compile_fault(condition: str) -> str | None:
    from reconciler.adapters import cel

    return cel.compile_fault(condition)


def _manifest_parser() -> ManifestParser:
    from reconciler.adapters.manifest_yaml import parse

    build = gate_builder()
    return lambda files: parse(files, build)


class SignKind(StrEnum):
    """What the records of checks are signed with."""

    NONE = "none"
    HMAC = "hmac"
    SSH = "ssh"


def signer_of(kind: SignKind, key: Path | None, environment: Mapping[str, str]) -> "Sign | None":
    """What signs a record; None where none is asked for. Raises ReconcilerError where there is no key."""
    from reconciler.adapters.signing import KEY_VARIABLE, HmacSigner, SshSigner, hmac_key

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


@contextmanager
def trusted_files(world: World, commit: Commit | None) -> Generator[str]:
    """A folder with the files of the policy's commit, for its checks to run in."""
    from reconciler.adapters.git_source import GitSource
    from reconciler.adapters.trusted_tree import exported

    if commit is None or not isinstance(world.source, GitSource):
        raise ReconcilerError("There is no commit to take the checks from.", "Commit the policy and its files first.")
    with exported(world.source.repo, commit) as folder:
        yield str(folder)


def load_rules(
    world: World, *, base: str | None = None, ref: str | None = None, policy_ref: str | None = None
) -> "Rules":
    """The rules that judge a change, as `planning.read_rules` gives them. Raises ManifestError for a wrong policy."""
    from reconciler.adapters.policy_yaml import parse_policy, signers_path
    from reconciler.planning import read_rules, standing_commit

    def parse(file: SourceFile, beside: Callable[[str], SourceFile | None]) -> "Policy":
        named = signers_path(file)
        signers = None if named is None else beside(named)
        text = "" if signers is None else signers.data.decode("utf-8", "replace")
        policy, problems = parse_policy(file, gate_builder(), text)
        if policy is None or any(problem.severity is Severity.ERROR for problem in problems):
            raise ManifestError(problems)
        return policy

    standing = standing_commit(world, base=base, ref=ref, policy_ref=policy_ref)
    return read_rules(world, parse, standing=standing, ref=ref)


def open_forge(kind: ForgeKind, environment: Mapping[str, str]) -> Forge | None:
    """The forge whose job this is, or None where nothing is to be published. Raises ReconcilerError outside of one."""
    on_github, on_gitlab = environment.get("GITHUB_ACTIONS") == "true", environment.get("GITLAB_CI") == "true"
    if kind is ForgeKind.NONE:
        return None
    if kind is ForgeKind.GITHUB or (kind is ForgeKind.AUTO and on_github):
        from reconciler.adapters.github import GithubForge

        return GithubForge(environment)
    if kind is ForgeKind.GITLAB or (kind is ForgeKind.AUTO and on_gitlab):
        from reconciler.adapters.gitlab import GitlabForge

        return GitlabForge(environment)
    raise ReconcilerError(
        "This is no job of GitHub Actions or GitLab CI, so there is nowhere to publish.",
        "Leave --publish away, or name the forge.",
    )


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


def registry_uri(settings: Settings, environment: Mapping[str, str], policy: str | None = None) -> str:
    """
    The registry that is named by option or environment, or else by the policy. MLflow itself falls back to
    `sqlite:///mlflow.db` in the current folder, which is created empty where it is missing: nothing that a deployment
    should rest on.
    """
    uri = (
        settings.registry_uri
        or environment.get("MLFLOW_REGISTRY_URI")
        or environment.get("MLFLOW_TRACKING_URI")
        or policy
        or ""
    )
    if not uri.strip():
        raise ReconcilerError(
            "No registry is named.",
            "Set MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI, pass --registry-uri, or name it in reconciler.yaml.",
        )
    return uri.strip().rstrip("/") if uri.startswith("http") else uri.strip()


def _lock(
    settings: Settings,
    uri: str,
    source: "GitSource",
    clock: Clock,
    environment: Mapping[str, str],
) -> Lock | None:
    from reconciler.adapters.holders import this_process
    from reconciler.adapters.mlflow_registry import sqlite_path, without_credentials

    if settings.lock is LockKind.NONE:
        return None
    holder = this_process(environment, clock.now())
    database = sqlite_path(uri)
    if settings.lock is LockKind.FILE or (settings.lock is LockKind.AUTO and database is not None):
        from reconciler.adapters.file_lock import FileLock

        if database is None:
            name = hashlib.sha256(without_credentials(uri).encode()).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"reconciler-{name}.lock"
        else:
            path = database.resolve().with_name(f"{database.name}.reconciler.lock")
        return FileLock(path, holder, source.identity, clock=clock)
    if source.remote is None:
        raise ReconcilerError(
            f"There is no git remote `{settings.remote}` to keep the lock on, and other machines may write to "
            f"{without_credentials(uri)} too.",
            "Add the remote, name another one with --remote, or pass --lock file if only this machine applies.",
        )
    from reconciler.adapters.git_lock import GitLock, lock_ref

    return GitLock(source.top, source.remote, lock_ref(uri), holder, source.identity, clock=clock)


def check_files(paths: list[Path]) -> tuple[int, int, tuple[Problem, ...]]:
    """
    How many manifest files and models these files and folders hold, and what is wrong with them and with the policy,
    which is looked at in any case. Needs no git.
    """
    from reconciler.adapters.files import files_below
    from reconciler.adapters.manifest_yaml import parse
    from reconciler.core.desired import expired, resolve

    top = repository_top(paths[0])
    named = [path for path in paths if path.name == POLICY_NAME and path.is_file()]
    files, unreadable = files_below([path for path in paths if path not in named], top)
    policy, broken = _policy_in([*named, *([top / POLICY_NAME] if (top / POLICY_NAME).is_file() else [])], top)
    build = gate_builder()
    if policy is not None:
        build = replace(build, groups=policy.groups, checks=frozenset(policy.checks))
    fragments, wrong = parse(files, build)
    models, contradictory = resolve(fragments)
    over = expired(models.values(), SystemClock().now())
    doubtful: tuple[Problem, ...] = ()
    if policy is not None:
        from reconciler.gates.prospects import doubts, doubts_of

        doubtful = (*doubts(policy), *doubts_of(models, policy))
    return len(files), len(models), tuple(sorted({*unreadable, *wrong, *contradictory, *over, *broken, *doubtful}))


POLICY_NAME = "reconciler.yaml"


def _policy_in(paths: list[Path], top: Path) -> "tuple[Policy | None, tuple[Problem, ...]]":
    """The last of some policies, and what is wrong with all of them."""
    policy: Policy | None = None
    problems: list[Problem] = []
    for path in paths:
        from reconciler.adapters.policy_yaml import parse_policy

        shown = os.path.relpath(path, top) if path.is_absolute() else str(path)
        policy, wrong = parse_policy(SourceFile(shown, path.read_bytes()), gate_builder())
        problems.extend(wrong)
    return policy, tuple(problems)


def schema_text(name: str) -> str:
    """One of the published JSON Schemas, as it stands in `schemas/`."""
    from reconciler.adapters import schemas

    return schemas.schema_text(name)


def read_plan(path: Path) -> "PlanDocument":
    """A plan that `plan --out` saved. Raises ReconcilerError for anything else."""
    from reconciler.adapters.plan_file import read

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


def repository_top(path: Path) -> Path:
    """The folder above a path that holds a `.git`, or the current folder where there is none."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # without following links, unlike resolve()
    return next((parent for parent in (absolute, *absolute.parents) if (parent / ".git").exists()), Path.cwd())
