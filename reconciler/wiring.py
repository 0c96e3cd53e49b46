"""Settings → World: the only place where ports meet adapters."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.names import Commit
from reconciler.errors import Problem, ReconcilerError
from reconciler.ports import Clock, Forge, Lock, World

if TYPE_CHECKING:
    from reconciler.adapters.git_source import GitSource
    from reconciler.core.plan import PlanOptions
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

    manifests: Path
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


def open_world(settings: Settings, environment: Mapping[str, str]) -> World:
    """
    Everything that the pipeline needs. Nothing is connected yet: a mistake in a manifest is found before seconds are
    spent on a registry. Raises ReconcilerError where there is no repository, or no registry is named.
    """
    from reconciler.adapters.git_source import open_source
    from reconciler.adapters.manifest_yaml import parse
    from reconciler.adapters.mlflow_evidence import MlflowEvidence
    from reconciler.adapters.mlflow_registry import MlflowRegistry

    source = open_source(settings.manifests, settings.repository, settings.remote)
    uri = registry_uri(settings, environment)
    tracking = environment.get("MLFLOW_TRACKING_URI") or uri
    registry = MlflowRegistry(uri, tracking)
    clock = SystemClock()
    lock = _lock(settings, uri, source, clock, environment)
    return World(source, parse, registry, clock, lock, MlflowEvidence(uri, tracking))


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


def registry_uri(settings: Settings, environment: Mapping[str, str]) -> str:
    """
    The registry that is named by option or environment. MLflow itself falls back to `sqlite:///mlflow.db` in the
    current folder, which is created empty where it is missing: nothing that a deployment should rest on.
    """
    uri = (
        settings.registry_uri or environment.get("MLFLOW_REGISTRY_URI") or environment.get("MLFLOW_TRACKING_URI") or ""
    )
    if not uri.strip():
        raise ReconcilerError(
            "No registry is named.", "Set MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI, or pass --registry-uri."
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
    """How many manifest files and models these files and folders hold, and what is wrong with them. Needs no git."""
    from reconciler.adapters.files import files_below
    from reconciler.adapters.manifest_yaml import parse
    from reconciler.core.desired import resolve

    files, unreadable = files_below(paths, repository_top(paths[0]))
    fragments, wrong = parse(files)
    models, contradictory = resolve(fragments)
    return len(files), len(models), tuple(sorted((*unreadable, *wrong, *contradictory)))


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
