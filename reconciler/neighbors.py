"""
The registries of a policy beside the one in hand: what is asked about a model of another one, `dev/risk`, is asked
there, and comes back under that name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.core.bundle import FileDigest
from reconciler.core.desired import Manifest, NoSource, Origin, Source, resolve
from reconciler.core.evidence import RunSummary, VersionFacts
from reconciler.core.gate import CheckFacts, Presence
from reconciler.core.names import Commit, ModelRef, Original, Version, in_registry, name_there, registry_of
from reconciler.core.snapshot import Attribution, ModelSnapshot, RegistrySnapshot, VersionSnapshot, source_digest
from reconciler.errors import Failure, ReconcilerError, RegistryError, Severity, contained
from reconciler.ports import (
    Asked,
    Checks,
    EvidenceSource,
    Neighbor,
    Neighbors,
    RegistryAround,
    Runs,
    Wanted,
    World,
)


def beside(world: World, neighbors: Neighbors, called: Mapping[tuple[str, str], str]) -> World:
    """
    A world in which models of other registries can be asked about. `called` has what the policy calls each registry, by
    the name and the workspace that records have of it; ours is empty.
    """
    evidence, checks, runs = world.evidence, world.checks, world.runs
    return replace(
        world,
        registry=_RegistryAmongOthers(world.registry, neighbors, called),
        evidence=evidence and _EvidenceAmongOthers(evidence, neighbors),
        checks=checks and _ChecksAmongOthers(checks, neighbors),
        runs=runs and _RunsAmongOthers(runs, neighbors),
        neighbors=neighbors,
    )


def neighbor_of(world: World, registry: str) -> Neighbor:
    """Another registry of the policy. Raises ReconcilerError where it names none of that name."""
    if world.neighbors is None:
        raise ReconcilerError(f"The policy names no registry `{registry}`.", "Name it under `registries`.")
    return world.neighbors.of(registry)


def declared_beside(world: World, registry: str, commit: Commit | None) -> Mapping[ModelRef, Manifest]:
    """
    What the manifests of another registry declare in a commit, or in the work tree, by the names that models have
    there. Raises ReconcilerError where one of them cannot be read.
    """
    other = neighbor_of(world, registry).world
    checkout = other.source.read(commit)
    fragments, problems = other.parse(checkout.files)
    if wrong := next((one for one in (*checkout.problems, *problems) if one.severity is Severity.ERROR), None):
        raise ReconcilerError(f"The manifests of {registry} cannot be read: {wrong}")
    return resolve(fragments)[0]


def readable_beside(world: World, commit: Commit | None) -> Mapping[str, Mapping[ModelRef, Manifest]]:
    """The same of all other registries whose manifests can be read: what is wrong with one is for its own plan."""
    names = () if world.neighbors is None else world.neighbors.names
    found = {name: contained(lambda name=name: declared_beside(world, name, commit)) for name in names}
    return {name: models for name, models in found.items() if not isinstance(models, Failure)}


def _by_registry(models: Iterable[ModelRef]) -> dict[str, list[ModelRef]]:
    found: dict[str, list[ModelRef]] = {}
    for model in models:
        found.setdefault(registry_of(model), []).append(model)
    return found


@dataclass(frozen=True, slots=True)
class _RegistryAmongOthers(RegistryAround):
    neighbors: Neighbors
    called: Mapping[tuple[str, str], str]

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        models: dict[ModelRef, ModelSnapshot] = {}
        split = _by_registry(wanted.models)
        for name, refs in split.items() if wanted.models else (("", ()),):
            here = {name_there(ref): wanted.models[ref] for ref in refs}
            if name:
                read = self.neighbors.of(name).world.registry.snapshot(Wanted(here))
            else:
                read = self.registry.snapshot(Wanted(here, wanted.owned_by))
            models |= {in_registry(name, ref): self._among(live, name) for ref, live in read.models.items()}
        if wanted.models and "" not in split and wanted.owned_by is not None:
            read = self.registry.snapshot(Wanted({}, wanted.owned_by))
            models |= {ref: self._among(live, "") for ref, live in read.models.items()}
        return RegistrySnapshot(dict(sorted(models.items())))

    def _among(self, live: ModelSnapshot, registry: str) -> ModelSnapshot:
        """A model by its name among those of all registries, and its versions with their originals."""

        def named(version: VersionSnapshot) -> VersionSnapshot:
            if (own := version.original) is not None:
                return replace(version, original=replace(own, model=in_registry(registry, own.model)))
            return replace(version, original=self._original(version.attribution))

        attributed = registry or any(version.attribution for version in live.versions.values())
        versions = {n: named(version) for n, version in live.versions.items()} if attributed else live.versions
        return replace(live, name=in_registry(registry, live.name), versions=versions)

    def _original(self, said: Attribution | None) -> Original | None:
        """The version that is said to be a copy's original, if the policy names its registry."""
        name = None if said is None else self.called.get((said.registry, said.workspace))
        if said is None or name is None or registry_of(said.model):
            return None
        return Original(in_registry(name, said.model), said.version)


@dataclass(frozen=True, slots=True)
class _EvidenceAmongOthers:
    source: EvidenceSource
    neighbors: Neighbors

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        wanted, found = tuple(asked), dict[Asked, VersionFacts]()
        for name in _by_registry(one.model for one in wanted):
            here = {one: replace(one, model=name_there(one.model)) for one in wanted if registry_of(one.model) == name}
            source = self._source(name)
            facts = source.gather(here.values())
            found |= {one: replace(facts[at], model=one.model) for one, at in here.items() if at in facts}
        return found

    def _source(self, name: str) -> EvidenceSource:
        source = self.neighbors.of(name).world.evidence if name else self.source
        if source is None:
            raise ReconcilerError(f"The registry {name} has no evidence.")
        return source


@dataclass(frozen=True, slots=True)
class _ChecksAmongOthers:
    source: Checks
    neighbors: Neighbors

    def _of(self, model: ModelRef) -> Checks:
        name = registry_of(model)
        source = self.neighbors.of(name).world.checks if name else self.source
        if source is None:
            raise ReconcilerError(f"The registry {name} has no model files.")
        return source

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        return self._of(model).facts(name_there(model), version, signers)

    def present(self, model: ModelRef, version: Version) -> Presence:
        return self._of(model).present(name_there(model), version)

    def digest(self, model: ModelRef, version: Version) -> str:
        return self._of(model).digest(name_there(model), version)

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        return self._of(model).files(name_there(model), version)

    def place(self, model: ModelRef, version: Version) -> str:
        return self._of(model).place(name_there(model), version)


@dataclass(frozen=True, slots=True)
class _RunsAmongOthers:
    source: Runs
    neighbors: Neighbors

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunSummary]:
        return self.source.runs(run_ids)

    def sources(self, origins: Iterable[Origin]) -> Mapping[Origin, Source | NoSource]:
        wanted, found = tuple(origins), dict[Origin, Source | NoSource]()
        for name in dict.fromkeys(map(_registry_of_origin, wanted)):
            some = [origin for origin in wanted if _registry_of_origin(origin) == name]
            found |= self._elsewhere(name, some) if name else self.source.sources(some)
        return found

    def _elsewhere(self, name: str, origins: Iterable[Origin]) -> Iterable[tuple[Origin, Source | NoSource]]:
        there = {origin: replace(origin, original=_there(origin)) for origin in origins}

        def ask() -> Mapping[Origin, Source | NoSource]:
            runs = self.neighbors.of(name).world.runs
            if runs is None:
                raise RegistryError("no-runs", f"Nothing can be copied from {name}.")
            return runs.sources(there.values())

        asked = contained(ask)
        if isinstance(asked, Failure):
            fix = f"Check the address and the log of {name}, and that its variables are set here."
            lost = NoSource("source-not-read", f"What is to be copied from {name} is not known: {asked.why}", fix)
            return [(origin, lost) for origin in there]
        return list(self._named(name, there, asked))

    def _named(
        self, name: str, there: Mapping[Origin, Origin], asked: Mapping[Origin, Source | NoSource]
    ) -> Iterator[tuple[Origin, Source | NoSource]]:
        """What was found, as it is among all registries."""
        for origin, at in there.items():
            source, original = asked.get(at), origin.original
            if isinstance(source, Source) and original is not None:
                digests = frozenset({source_digest(original.uri)})
                yield origin, replace(source, uri=original.uri, digests=digests, elsewhere=True)
            elif isinstance(source, NoSource):
                yield origin, replace(source, why=f"{name}: {source.why}")


def _registry_of_origin(origin: Origin) -> str:
    return "" if origin.original is None else origin.original.registry


def _there(origin: Origin) -> Original | None:
    original = origin.original
    return None if original is None else replace(original, model=name_there(original.model))
