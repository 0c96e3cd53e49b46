"""
Where a command finds its manifests and its registry: where options and environment say, or else the policy that stands.
A change must not lead its own plan or apply, and the credentials with it, to another registry.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.core.names import Commit, names_of, workspace_name
from reconciler.core.policy import USUAL_FOLDER, PolicySettings
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import NoRegistryError, ReconcilerError, SeveralRegistriesError
from reconciler.planning import standing_commit
from reconciler.reading.policy import settings_of
from reconciler.surroundings import WORKSPACE, seen_by
from reconciler.trust import POLICY_PATH

ANYWHERE = PolicySettings()

if TYPE_CHECKING:
    from reconciler.git.source import GitSource
    from reconciler.trust import Trunk


@dataclass(frozen=True, slots=True)
class Side:
    """What the policy of one commit says of places, and the repository with the folder of manifests by that policy."""

    settings: PolicySettings
    source: "GitSource"


@dataclass(frozen=True, slots=True)
class Search:
    """
    `source` is the repository, with the folder that is named, if one is. `has_registry` says whether option or
    environment name the registry that settings are about; `folder_named` says whether the folder of manifests is
    named. `remembered` gives the line that ends in a commit by what applies remember beside the lock of the registry
    that a side names, or None where it names none. `named` is what policies call the registry, where they name several.
    """

    source: "GitSource"
    has_registry: Callable[[PolicySettings], bool]
    folder_named: bool
    remembered: Callable[[Side, Commit], "Trunk | None"]
    named: str = ""

    def standing(self, *, base: str | None, ref: str | None, policy_ref: str | None) -> Side:
        """
        The side that stands before what is planned. Raises ReconcilerError where a commit's name could mean two, and
        where the policies before it differ and nothing tells which of them the branch was at.
        """
        for name in (base, ref, policy_ref):
            if name is not None:
                self.source.meant(name)
        # Whether anything is changed depends on the folder, which is where HEAD says, if it is HEAD that is changed.
        changed = self._at("HEAD").source if ref is None and base is None and not policy_ref else self.source
        standing = standing_commit(changed, base=base, ref=ref, policy_ref=policy_ref)
        side = self._at(standing or "HEAD")
        tip = self.source.meant(ref or "HEAD")
        parents = self.source.parents(tip)
        if standing not in parents or base is not None or policy_ref:
            return side
        before = [self._at(commit) for commit in parents]
        sides = [self._at(tip), *before]
        if len(set(map(self._places, sides))) == 1:
            return side
        remembered = {self._places(at): at for at in map(self._at, self._remembered(sides, tip))}
        if len(remembered) > 1 or (not remembered and len(set(map(self._places, before))) > 1):
            raise _undecided(tip, (*remembered.values(), *before))
        return next(iter(remembered.values()), side)

    def _at(self, commit: str) -> Side:
        file = self.source.file(commit, POLICY_PATH)
        settings = PolicySettings() if file is None else settings_of(file).of(self.named)
        if self.folder_named:
            return Side(settings, self.source)
        return Side(settings, replace(self.source, folder=PurePosixPath(settings.manifests or USUAL_FOLDER)))

    def _places(self, side: Side) -> tuple[object, ...]:
        """What a policy decides of where credentials go and manifests are: what is named elsewhere, it does not."""
        registry = None if self.has_registry(side.settings) else side.settings.registry
        folder = None if self.folder_named else side.settings.manifests
        return registry, side.settings.registry_names, side.settings.prefix, side.settings.workspace, folder

    def _remembered(self, sides: Iterable[Side], tip: Commit) -> set[Commit]:
        """The commits that stand before a change, by what applies remember of the branch."""
        commits: set[Commit] = set()
        for side in sides:
            trunk = self.remembered(side, tip)
            place = None if trunk is None else trunk.before(0)
            if trunk is not None and place is not None and (standing := trunk.at(place)) is not None:
                commits.add(standing.commit)
        return commits


def _undecided(tip: Commit, sides: Iterable[Side]) -> ReconcilerError:
    policies = (side.settings for side in sides)
    named = " and ".join(sorted({f"{policy.registry}, {policy.manifests or 'manifests'}/" for policy in policies}))
    return ReconcilerError(
        f"The policies before {tip[:12]} name different places: {named}. It is not known which the branch used.",
        "Pass --policy-ref with the previous commit of the branch, or name the registry by an option.",
    )


def named_registry(option: str | None, environment: Mapping[str, str]) -> str:
    """The registry that an option or the environment names, which is taken as it is; empty where none does."""
    named = option or environment.get("MLFLOW_REGISTRY_URI") or environment.get("MLFLOW_TRACKING_URI") or ""
    return named.strip()


def refuse_same(named: str, settings: PolicySettings, environment: Mapping[str, str], here: tuple[str, str]) -> None:
    """
    Raises ReconcilerError where another one of the policy's registries is the same one by the address that it has now,
    `here` being the name and the workspace of ours: what one folder declares would pass by the rules of the other.
    """
    for other, its in settings.registries.items():
        seen = seen_by(its, environment)
        uri = named_registry(None, seen) or its.registry or ""
        there = names_of(uri, its.registry_names)[0], workspace_name(seen.get(WORKSPACE, ""))
        if other != named and uri and there == here:
            raise ReconcilerError(
                f"{named} and {other} are the same registry, {here[0]}.",
                "Give each an address or a workspace of its own: all models of one registry are in one folder.",
            )


def refuse_file_of_credentials(named: str, prefix: str, uri: str, environment: Mapping[str, str]) -> None:
    """
    Raises ReconcilerError where MLflow's client would send what a file has as credentials to one of several registries:
    it is for none of them.
    """
    file = Path(environment.get("HOME", "~")).expanduser() / ".mlflow" / "credentials"
    user, password = (f"MLFLOW_TRACKING_{word}" for word in ("USERNAME", "PASSWORD"))
    if uri.startswith("http") and not (environment.get(user) and environment.get(password)) and file.is_file():
        raise ReconcilerError(
            f"MLflow's client would send the credentials in {file} to {named}.",
            f"Set {prefix}{user} and {prefix}{password}, or move the file away while several registries are governed.",
        )


def chosen(named: str, settings: PolicySettings) -> str:
    """
    Which of the registries of the policy that stands is meant: the one that is `named`, or the only one; empty where it
    names none. Raises SeveralRegistriesError where it could be several, and ReconcilerError for one that is not there.
    """
    names = tuple(settings.registries)
    if named and named not in settings.registries:
        there = f"it names {', '.join(names)}" if names else "it names none"
        otherwise = f"{'Name one of these. ' if names else ''}One that a change adds is known from the next change on."
        raise ReconcilerError(
            f"The policy that stands names no registry `{plain(named, 80)}`: {there}.",
            did_you_mean(named, names, otherwise),
        )
    if not named and len(names) > 1:
        raise SeveralRegistriesError(names)
    return named or next(iter(names), "")


def registry_uri(
    option: str | None,
    environment: Mapping[str, str],
    settings: PolicySettings = ANYWHERE,
    coming: Callable[[], Iterable[str]] = tuple,
) -> str:
    """
    The registry that is named by option or environment, or else by the policy's settings. MLflow itself falls back to
    `sqlite:///mlflow.db` in the current folder, which is created empty where it is missing: nothing that a deployment
    should rest on. `coming` gives the registries that the change in hand names.
    """
    uri = named_registry(option, environment) or (settings.registry or "").strip()
    # An address in the environment would be for all their folders, so nobody is told to set one.
    if not uri and (names := ", ".join(coming())):
        raise NoRegistryError(
            f"No registry is known yet: {POLICY_PATH} names {names}, and counts from the change after this one.",
            "Commit it by itself, then go on with the next change; `git commit --allow-empty` begins one.",
        )
    if not uri:
        variables = f"{settings.prefix}MLFLOW_TRACKING_URI or {settings.prefix}MLFLOW_REGISTRY_URI"
        raise NoRegistryError(
            "No registry is configured.",
            f"Set {variables}, pass --registry-uri, or name it in reconciler.yaml, where it takes effect with the next "
            "change.",
        )
    return uri.rstrip("/") if uri.startswith("http") else uri


def registry_uri_given(option: str | None, environment: Mapping[str, str]) -> str:
    """The registry that option or environment name: an administrator's password goes where no file leads it."""
    try:
        return registry_uri(option, environment)
    except ReconcilerError as error:
        fix = "Set MLFLOW_TRACKING_URI, pass --registry-uri, or name one of several registries with --registry."
        raise ReconcilerError(error.message, fix) from error
