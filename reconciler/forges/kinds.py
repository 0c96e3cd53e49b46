"""The forges that there are, and which of them a job runs on or a repository is at."""

import re
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.ports import Forge, Requests


class ForgeKind(StrEnum):
    """
    Where changes are reviewed. Each forge is a module of this package with that name, which has the functions
    `open_forge` and `variables_of`, and one line here: the variable that is `true` in its jobs, and what a repository
    that it serves has at its top.
    """

    GITHUB = "github", "GITHUB_ACTIONS", ".github"
    GITLAB = "gitlab", "GITLAB_CI", ".gitlab-ci.yml"
    NONE = "none"

    job: str
    trace: str

    def __new__(cls, value: str, job: str = "", trace: str = "") -> "ForgeKind":
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.job, kind.trace = job, trace
        return kind


def kind_of_job(environment: Mapping[str, str]) -> ForgeKind:
    """The forge whose job has this environment."""
    return next((kind for kind in ForgeKind if kind.job and environment.get(kind.job) == "true"), ForgeKind.NONE)


def host_of(url: str) -> str:
    """The host of a remote's address, or nothing where it is a path."""
    if "://" not in url:
        found = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):.+", url)
        return found[1].lower() if found else ""
    return urlsplit(url).hostname or ""


def kind_of_repository(host: str, top: Path) -> ForgeKind:
    """The forge of a repository, by the host of its remote; of one without a remote, by what lies at its top."""
    known = (kind for kind in ForgeKind if kind.trace)
    return next((k for k in known if k in host or (not host and (top / k.trace).exists())), ForgeKind.NONE)


def open_forge(kind: ForgeKind | None, environment: Mapping[str, str]) -> "Forge | None":
    """
    The forge of a job, or None for `ForgeKind.NONE`. Without a kind, the environment says which it is; raises
    ReconcilerError where it does not.
    """
    if kind is ForgeKind.NONE:
        return None
    kind = kind or kind_of_job(environment)
    if kind is ForgeKind.NONE:
        raise ReconcilerError(
            "This is not a job of GitHub Actions or GitLab CI, so there is nowhere to publish.",
            "Remove --publish, or name the forge.",
        )
    forge: Forge = import_module(f"{__package__}.{kind}").open_forge(environment)
    return forge


def requests_at(url: str, name: str, top: Path, environment: Mapping[str, str]) -> "Requests | None":
    """
    Where requests to the repository of a remote are opened: `url` is its address, `name` the host and path of that.
    What a job's environment says counts. None where the forge is not known.
    """
    kind = kind_of_job(environment)
    if kind is ForgeKind.NONE:
        kind = kind_of_repository(host_of(url), top)
    if kind is ForgeKind.NONE:
        return None
    host, _, path = name.partition("/")
    module = import_module(f"{__package__}.{kind}")
    requests: Requests = module.open_forge({**module.variables_of(host, path), **environment})
    return requests
