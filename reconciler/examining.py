"""What is wrong with a set-up: the repository and its remote, the manifests, the policy, the registry, the jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.policy import Policy
from reconciler.core.text import amount, plain, without_credentials
from reconciler.errors import ReconcilerError, Validation
from reconciler.git.runner import Git
from reconciler.ports import Registry


class Health(StrEnum):
    """How something is: fine, in need of a look, or broken."""

    FINE = "fine"
    LOOK = "look"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a part of the set-up, and how to mend it if it is not fine."""

    about: str
    health: Health
    sentence: str
    remedy: str = ""


Examination = Callable[[], tuple[Health, str, str]]
"""Finds out about one part: how it is, in a sentence, and how to mend it. What it raises says that it is broken."""


def examined(examinations: Mapping[str, Examination]) -> tuple[Finding, ...]:
    """What each found out, in their order; none keeps another from being made."""
    found: list[Finding] = []
    for about, examine in examinations.items():
        try:
            found.append(Finding(about, *examine()))
        except ReconcilerError as error:
            found.append(Finding(about, Health.BROKEN, error.message, error.fix))
    return tuple(found)


def repository(git: Git) -> tuple[Health, str, str]:
    """Whether there is history to plan and apply from."""
    head = git.commit("HEAD")
    if head is None:
        return Health.BROKEN, f"{git.top} has no commit yet.", "Commit the manifests."
    if git.shallow is not None:
        sentence = "This clone is shallow: whether one commit contains another may not be known."
        return Health.LOOK, sentence, "Fetch the whole history: git fetch --unshallow (in CI: fetch-depth 0)."
    return Health.FINE, f"{git.top}, at {head[:12]}.", ""


def remote(git: Git, name: str) -> tuple[Health, str, str]:
    """Whether the remote that names the repository can be reached."""
    url = git.url(name)
    if not url:
        sentence = f"There is no remote {plain(name)}: it names this repository, and keeps the lock of an apply."
        return Health.BROKEN, sentence, f"Add it (git remote add {plain(name)} URL), or name another with --remote."
    answer = git.reach("ls-remote", "--quiet", name, "HEAD")
    shown = plain(without_credentials(url), 200)
    if answer.code != 0:
        sentence = f"{shown} cannot be reached: {answer.fault}"
        return Health.BROKEN, sentence, "Check the address, and that this user's credentials may read it."
    return Health.FINE, f"{plain(name)} is {shown}.", ""


def lock(git: Git, name: str) -> tuple[Health, str, str]:
    """Whether this user could take the lock of an apply, which is a ref of the remote. Nothing is pushed."""
    if not git.url(name) or git.commit("HEAD") is None:
        return Health.BROKEN, "The lock is a ref of the remote, and there is none to push to.", "Add the remote."
    answer = git.reach("push", "--dry-run", "--quiet", name, "HEAD:refs/reconciler/doctor")
    if answer.code != 0:
        sentence = f"This user may not push to {plain(name)}, so it cannot take the lock of an apply: {answer.fault}"
        return Health.LOOK, sentence, "Only the job that applies has to: give it a token that may push."
    return Health.FINE, f"This user may push to {plain(name)}, where the lock of an apply is a ref.", ""


def manifests(validation: Validation) -> tuple[Health, str, str]:
    """Whether the manifests of the work tree can be planned."""
    counted = f"{amount(validation.models, 'model')} in {amount(validation.files, 'file')}"
    if validation.errors:
        problem = validation.problems[0]
        return Health.BROKEN, f"{amount(validation.errors, 'error')}: {problem}", "See all: reconciler validate"
    if not validation.files:
        return Health.LOOK, "There are no manifests.", "Write them: reconciler import --all, or reconciler init"
    if validation.problems:
        warnings = amount(len(validation.problems), "warning")
        return Health.LOOK, f"{counted}; {warnings}.", "See them: reconciler validate"
    return Health.FINE, f"{counted}.", ""


def policy(standing: Policy | None) -> tuple[Health, str, str]:
    """Whether anything is guarded, and records are signed, by the policy of HEAD."""
    if standing is None or not standing.rules:
        return Health.LOOK, "No gate guards any slot.", "Add rules to reconciler.yaml: docs/policy.md has them."
    if not standing.names_signers:
        sentence = (
            "The policy names no signers of records: those in the registry prove nothing to whoever may write there."
        )
        return Health.LOOK, sentence, "Create a key and list it: reconciler init"
    return Health.FINE, f"{amount(len(standing.rules), 'rule')}; records are signed.", ""


def registry(registry: Registry) -> tuple[Health, str, str]:
    """Whether the registry answers."""
    names = registry.names()
    where = f"{registry.uri}, workspace {registry.workspace}" if registry.workspace else registry.uri
    return Health.FINE, f"{where} has {amount(len(names), 'model')}.", ""
