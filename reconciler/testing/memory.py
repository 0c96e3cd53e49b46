"""
A registry in memory, and what is known of its versions: the reference for what the calls do, for tests and for plans
without a server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from reconciler.core.changes import Change, CreateModel, RegisterVersion, RenameModel, is_registered, simulate
from reconciler.core.desired import NoSource, Origin, Source
from reconciler.core.evidence import Missing, RunSummary, VersionFacts
from reconciler.core.names import ModelRef, Version
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.errors import RegistryError
from reconciler.ports import Asked, Capabilities, Tries, Wanted


@dataclass(slots=True)
class MemoryRegistry:
    """Passes the same contract tests as MLflow. Calls are atomic, one after the other."""

    models: dict[ModelRef, ModelSnapshot] = field(default_factory=dict[ModelRef, ModelSnapshot])
    uri: str = "memory://"
    workspace: str = ""
    tries: Tries = Tries()
    capabilities: Capabilities = Capabilities()
    lock: Lock = field(default_factory=Lock)

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        owner = wanted.owned_by
        with self.lock:
            return RegistrySnapshot(
                {
                    name: model if name in wanted.models else _without_versions(model)
                    for name, model in sorted(self.models.items())
                    if name in wanted.models or (owner is not None and model.owned_by(owner))
                }
            )

    def names(self) -> tuple[ModelRef, ...]:
        with self.lock:
            return tuple(sorted(name for name, model in self.models.items() if not model.hidden_model))

    def execute(self, change: Change) -> None:
        with self.lock:
            live = self.models.get(change.model)
            if isinstance(change, RenameModel):
                self._rename(change, live)
                return
            if isinstance(change, CreateModel) and live is not None:
                return
            if isinstance(change, RegisterVersion) and live is not None and is_registered(live, change):
                return
            try:
                self.models[change.model] = simulate(live, change)
            except ValueError as error:
                raise RegistryError("RESOURCE_DOES_NOT_EXIST", f"{error}.") from error

    def _rename(self, change: RenameModel, there: ModelSnapshot | None) -> None:
        before = self.models.get(change.before)
        if before is None and there is None:
            raise RegistryError("RESOURCE_DOES_NOT_EXIST", f"{change.before} does not exist.")
        if before is not None and there is not None:
            raise RegistryError("RESOURCE_ALREADY_EXISTS", f"{change.model} exists already.")
        if before is not None:
            del self.models[change.before]
            self.models[change.model] = replace(before, name=change.model)


def _without_versions(model: ModelSnapshot) -> ModelSnapshot:
    """A model that is found by its record alone: its own entry shows the newest version of each stage, and no other."""
    newest = {version.stage: number for number, version in sorted(model.versions.items()) if version.stage.active}
    return replace(model, versions={}, hidden={number: stage for stage, number in newest.items()})


@dataclass(frozen=True, slots=True)
class MemoryEvidence:
    """What there is to know, written down beforehand."""

    versions: Mapping[tuple[ModelRef, Version], VersionFacts] = field(
        default_factory=dict[tuple[ModelRef, Version], VersionFacts]
    )
    origins: Mapping[Origin, Source | NoSource] = field(default_factory=dict[Origin, Source | NoSource])

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        return {version: self._facts(version) for version in asked}

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunSummary]:
        known = {
            facts.run.run_id: RunSummary(facts.run.name, {metric.name: metric.value for metric in facts.metrics})
            for facts in self.versions.values()
            if facts.run is not None
        }
        return {run_id: known[run_id] for run_id in run_ids if run_id in known}

    def sources(self, origins: Iterable[Origin]) -> Mapping[Origin, Source | NoSource]:
        why = "Nothing is known of runs here."
        return {origin: self.origins.get(origin) or NoSource("no-such-source", why, "Name one.") for origin in origins}

    def _facts(self, version: Asked) -> VersionFacts:
        facts = self.versions.get((version.model, version.version))
        if facts is None:
            why = f"the registry has no version {version.version} of {version.model}"
            return VersionFacts(version.model, version.version, missing=(Missing("version", why),))
        if version.brief:
            gaps = tuple(gap for gap in facts.missing if gap.what in {"version", "run", "metrics", "model"})
            return VersionFacts(version.model, version.version, metrics=facts.metrics, missing=gaps)
        return facts
