"""
Changes of manifests that commands propose: which version is meant, what the files are then, and what a plan says to it.
Reads everything, writes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches, unified_diff

from reconciler.core.adoption import Adopt, Adoption, adopt, claimable
from reconciler.core.desired import Declared, Manifest
from reconciler.core.evidence import RunSummary
from reconciler.core.moments import moment_of
from reconciler.core.names import ModelName, Slot, Version
from reconciler.core.past import Past
from reconciler.core.plan import PlanOptions
from reconciler.core.proposal import NOWHERE
from reconciler.core.review import Review, Scope
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.errors import ReconcilerError
from reconciler.judging import Rules
from reconciler.planning import Declaration, make_review, with_names, with_past
from reconciler.ports import SourceFile, Wanted, World

Rewrite = Callable[[Iterable[SourceFile], Manifest, Callable[[str], str]], tuple[SourceFile, ...]]
"""Files, what they are to declare of a model, and where a slot of it goes → the files that must change for that."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a proposal starts from: a model as it is declared, as it is in the registry, and its past."""

    manifest: Manifest
    live: ModelSnapshot
    past: Past


@dataclass(frozen=True, slots=True)
class Proposal:
    """
    A change of manifests: the files as they are to be, `before` as they were (None: there was none), and the review of
    a plan with them. Nothing is written yet.
    """

    model: ModelName
    files: tuple[SourceFile, ...]
    before: Mapping[str, bytes | None]
    review: Review

    def diff(self) -> tuple[str, ...]:
        """A unified diff, as git shows it, as lines."""
        return tuple(line for file in self.files for line in diff_of(file, self.before[file.path]))


def diff_of(file: SourceFile, before: bytes | None) -> Iterable[str]:
    """The unified diff to a file as it is to be; None: there was none."""
    old, new = (data.decode(errors="replace").splitlines() for data in (before or b"", file.data))
    left = "/dev/null" if before is None else f"a/{file.path}"
    return unified_diff(old, new, left, f"b/{file.path}", lineterm="")


def setting(world: World, declaration: Declaration, name: ModelName, rules: Rules) -> Setting:
    """
    Where a proposal for a model starts. A model that no manifest declares yet starts with nothing declared. Raises
    ReconcilerError for one that the registry does not have.
    """
    live = world.registry.snapshot(Wanted({name: frozenset()})).models.get(name)
    if live is None or live.hidden_model:
        near = get_close_matches(name, {*declaration.desired.models, *world.registry.names()}, 1)
        fix = f"Did you mean {near[0]}?" if near else "Correct the name, or register it first."
        raise ReconcilerError(f"The registry has no model {name}.", fix)
    rules, desired = with_names(rules, declaration.desired)
    snapshot, pasts = with_past(rules, desired, RegistrySnapshot({name: live}))
    manifest = desired.models.get(name) or Manifest(Declared(name, NOWHERE))
    return Setting(manifest, snapshot.models[name], pasts.get(name, Past(desired.revision.ours)))


def refuse_held(manifest: Manifest, version: Version, slot: Slot, now: str) -> None:
    """Raises ReconcilerError where a hold keeps a version out of a slot: it is not proposed until that is lifted."""
    hold = next((hold for hold in manifest.holds if hold.holds(version, slot, now)), None)
    if hold is not None:
        until = f" until {hold.until}" if hold.until else ""
        raise ReconcilerError(
            f"v{version} of {manifest.name} is held out of {slot}{until}: {hold.reason} ({hold.at}).",
            "Lift the hold by a change of its own, or propose another version.",
        )


def propose(
    world: World,
    declaration: Declaration,
    files: Iterable[SourceFile],
    after: Manifest,
    rules: Rules,
    rewrite: Rewrite,
    place: Callable[[str], str],
    scope: Scope = Scope.ALL,
) -> Proposal:
    """
    The change that makes the manifests declare `after` of its model. Raises ReconcilerError where they do already, and
    where a file can only be changed by hand.
    """
    listed = tuple(files)
    changed = rewrite(listed, after, place)
    if not changed:
        raise ReconcilerError(f"The manifests declare that of {after.name} already.", "There is nothing to propose.")
    before: dict[str, bytes | None] = {file.path: file.data for file in listed}
    desired = replace(declaration.desired, models={**declaration.desired.models, after.name: after})
    review = make_review(
        world,
        replace(declaration, desired=desired),
        PlanOptions(targets=(after.name,)),
        scope=scope,
        base=None,
        ref=None,
        rules=rules,
    )
    return Proposal(after.name, changed, {file.path: before.get(file.path) for file in changed}, review)


@dataclass(frozen=True, slots=True)
class Import:
    """What an import found, model by model, and what is known of the versions that it declares anew."""

    adoptions: tuple[Adoption, ...]
    about: Mapping[ModelName, Mapping[Version, str]]


def survey(world: World, declaration: Declaration, rules: Rules, names: Iterable[ModelName], options: Adopt) -> Import:
    """These models of the registry with what must be declared of each, read in bulk."""
    snapshot = world.registry.snapshot(Wanted(dict.fromkeys(names, frozenset())))
    rules, desired = with_names(rules, declaration.desired)
    adoptions = claimable(adopt(snapshot, desired.models, options), snapshot, desired.revision, rules.policy)
    return Import(adoptions, _about(world, adoptions, snapshot))


def _about(
    world: World, adoptions: Iterable[Adoption], snapshot: RegistrySnapshot
) -> Mapping[ModelName, Mapping[Version, str]]:
    """What each version that is newly declared is: the run that it came from, when, and its first figure."""
    declared = {
        adoption.model: {pin.version for pin in adoption.after.pins()}
        for adoption in adoptions
        if adoption.new and adoption.after is not None
    }
    versions = [
        (model, live)
        for model, numbers in declared.items()
        for live in snapshot.models[model].versions.values()
        if live.version in numbers
    ]
    run_ids = {live.run_id for _, live in versions if live.run_id}
    runs: Mapping[str, RunSummary] = {} if world.runs is None else world.runs.runs(run_ids)
    about: dict[ModelName, dict[Version, str]] = {}
    for model, live in versions:
        if words := _described(runs.get(live.run_id or ""), live.created_at):
            about.setdefault(model, {})[live.version] = words
    return about


def _described(run: RunSummary | None, created_at: int) -> str:
    figure = min(run.metrics.items(), default=None) if run else None
    return ", ".join(
        [
            *([f"run {run.name}"] if run and run.name else []),
            *([at.date().isoformat()] if created_at and (at := moment_of(created_at)) else []),
            *([f"{figure[0]} {figure[1]:.4g}"] if figure else []),
        ]
    )
