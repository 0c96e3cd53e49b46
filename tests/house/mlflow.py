"""MLflow in memory as MLflow behaves: its times, its records as text, its deletions; and what it knows of versions."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from reconciler.core.bundle import FileDigest, total_digest
from reconciler.core.changes import Change, RecordProvenance, RegisterVersion, RenameModel, SetAlias, TransitionStage
from reconciler.core.desired import NoSource, Origin, Source
from reconciler.core.evidence import Dataset, Metric, Missing, RunFacts, RunSummary, VersionFacts
from reconciler.core.gate import CheckFacts, CheckRecord, Presence
from reconciler.core.names import AliasName, ModelRef, Original, Stage, Version, alias_slot
from reconciler.core.signature import Column, Scalar, Signature
from reconciler.core.snapshot import (
    ModelSnapshot,
    Provenance,
    RegistrySnapshot,
    VersionSnapshot,
    decode_provenance,
    encode_provenance,
    source_digest,
)
from reconciler.errors import RegistryError
from reconciler.ports import Asked, Wanted
from reconciler.testing.memory import MemoryRegistry

HOLDOUT = Dataset("holdout", "9f2c7a1b")
SIGNATURE = Signature(inputs=(Column("income", Scalar("double")),), outputs=(Column("", Scalar("long")),), params=())


class KilledError(BaseException):
    """The process is gone, as by SIGKILL: nothing may catch this."""


@dataclass
class Clock:
    """The house's time. It goes by one second each time it is looked at, and by days when somebody says so."""

    at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> str:
        self.at += timedelta(seconds=1)
        return self.stamp

    @property
    def stamp(self) -> str:
        return self.at.isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def milliseconds(self) -> int:
        return int(self.at.timestamp() * 1000)

    def later(self, **span: float) -> None:
        self.at += timedelta(**span)

    @contextmanager
    def ahead(self, **span: float) -> Generator[None]:
        """Somebody's own clock, as long as the block lasts."""
        at = self.at
        self.at += timedelta(**span)
        yield
        self.at = at


@dataclass(slots=True)
class Mlflow(MemoryRegistry):
    """Moves set the versions' times; records are kept as the text of a tag; the process may be killed between calls."""

    clock: Clock = field(default_factory=Clock)
    calls_left: int | None = None
    calls: list[Change] = field(default_factory=list[Change])
    renamed: Callable[[ModelRef, ModelRef], None] = lambda before, after: None
    copied: Callable[[RegisterVersion], None] = lambda change: None
    read: Callable[[Wanted], None] = lambda wanted: None

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        self.read(wanted)
        return MemoryRegistry.snapshot(self, wanted)

    def execute(self, change: Change) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise KilledError
            self.calls_left -= 1
        before = self.models.get(change.model)
        # The base class is named, as a slotted dataclass is made anew and `super()` does not find it.
        MemoryRegistry.execute(self, change)
        self.calls.append(change)
        touched = {change.version} if isinstance(change, TransitionStage) else set[Version]()
        if isinstance(change, RegisterVersion) and change.version not in (before.versions if before else {}):
            made = self.models[change.model].versions[change.version]
            self.put(change.model, replace(made, created_at=self.clock.milliseconds))
            self.copied(change)
        self._stamp(before, self.models[change.model], touched)
        if isinstance(change, RenameModel):
            self.renamed(change.before, change.model)
        if isinstance(change, RecordProvenance):
            kept = encode_provenance(self.models[change.model].versions[change.version].provenance)
            self.record(change.model, change.version, kept)

    def _stamp(self, before: ModelSnapshot | None, after: ModelSnapshot, touched: set[Version]) -> None:
        known: Mapping[Version, VersionSnapshot] = {} if before is None else before.versions
        for number, version in after.versions.items():
            was = known.get(number)
            if number in touched or was is None or (was.stage, was.description) != (version.stage, version.description):
                self.put(after.name, replace(version, updated_at=self.clock.milliseconds))

    def put(self, model: str, version: VersionSnapshot) -> None:
        """Write one version as it is given."""
        live = self.models[ModelRef(model)]
        self.models[live.name] = replace(live, versions={**live.versions, version.version: version})

    def record(self, model: str, number: int, text: str) -> None:
        """Write the tag `reconciler.provenance`, as whoever may write to the registry can."""
        live = self.models[ModelRef(model)]
        self.put(model, replace(live.versions[Version(number)], provenance=decode_provenance(text)))

    def provenance(self, model: str, number: int) -> Provenance:
        return self.models[ModelRef(model)].versions[Version(number)].provenance

    def register(self, model: str, run_id: str, **fields: object) -> Version:
        """A new version, in no stage; its number follows the highest that there is."""
        live = self.models.get(ModelRef(model)) or ModelSnapshot(ModelRef(model))
        number = Version(max(live.versions, default=0) + 1)
        moment = self.clock.milliseconds
        version = VersionSnapshot(number, run_id=run_id, created_at=moment, updated_at=moment)
        self.models[live.name] = replace(live, versions={**live.versions, number: version})
        self.put(model, replace(version, **fields))  # pyright: ignore[reportArgumentType]  # any field
        return number

    def copy(self, original: str, number: int, model: str, *, run_id: str = "") -> Version:
        """As anybody copies a version with MLflow's client; who does not use that may say that it is of another run."""
        first, name = Original(ModelRef(original), Version(number)), ModelRef(model)
        run = run_id or self.models[first.model].versions[first.version].run_id
        live = self.models.setdefault(name, ModelSnapshot(name))
        copy = Version(max(live.versions, default=0) + 1)
        self.execute(RegisterVersion(name, copy, first.uri, run, original=first))
        return copy

    def move(self, model: str, number: int, slot: str, *, beside: bool = False) -> None:
        """
        Move a version by hand, as MLflow's page does it: whoever is in an active stage is archived, unless the new one
        is put `beside` it. A slot is a stage, or an alias behind an `@`.
        """
        live, version = self.models[ModelRef(model)], Version(number)
        if slot.startswith("@"):
            alias = AliasName(slot[1:])
            MemoryRegistry.execute(self, SetAlias(live.name, alias, live.aliases.get(alias), version))
            return
        stage = Stage(slot)
        exclusive = stage.active and not beside
        archives = tuple(v for v in live.occupants(stage) if v != version) if exclusive else ()
        change = TransitionStage(live.name, version, live.versions[version].stage, stage, exclusive, archives)
        MemoryRegistry.execute(self, change)
        self._stamp(live, self.models[live.name], {version})

    def rename(self, model: str, name: str) -> None:
        """As MLflow does it: all is kept but the times of the last change, of the model's versions too."""
        live = self.models.pop(ModelRef(model))
        moment = self.clock.milliseconds
        versions = {number: replace(version, updated_at=moment) for number, version in live.versions.items()}
        self.models[ModelRef(name)] = replace(live, name=ModelRef(name), versions=versions)
        self.renamed(live.name, ModelRef(name))

    def delete_version(self, model: str, number: int) -> None:
        live = self.models[ModelRef(model)]
        aliases = {alias: version for alias, version in live.aliases.items() if version != number}
        versions = {version: kept for version, kept in live.versions.items() if version != number}
        self.models[live.name] = replace(live, aliases=aliases, versions=versions)

    def holds(self, model: str, slot: str) -> tuple[int, ...]:
        """The versions that are in a slot now."""
        live = self.models[ModelRef(model)]
        if slot.startswith("@"):
            return tuple(version for alias, version in live.aliases.items() if alias_slot(alias) == slot)
        return live.occupants(Stage(slot))


@dataclass
class Sources:
    """What copies can be made of: the versions that are there."""

    registry: Mlflow

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunSummary]:
        return {}

    def sources(self, origins: Iterable[Origin]) -> Mapping[Origin, Source | NoSource]:
        return {origin: self._of(origin.original, origin.run_id) for origin in origins}

    def _of(self, original: Original | None, run_id: str | None) -> Source | NoSource:
        live = None if original is None else self.registry.models.get(original.model)
        version = None if live is None or original is None else live.versions.get(original.version)
        if version is None or original is None:
            digests = frozenset({source_digest(original.uri)}) if original else frozenset[str]()
            return NoSource("no-such-source", f"There is no {original}.", "Name another version.", digests)
        digests = frozenset({source_digest(original.uri)})
        if run_id not in {None, version.run_id}:
            return NoSource("another-original", f"The {original} is of another run.", "Copy another version.", digests)
        about, since = f"run {version.run_id}", version.created_at
        return Source(version.run_id, original.uri, digests, "", about, since, version.updated_at)


@dataclass
class Runs:
    """The evidence for versions: their runs and figures, until somebody deletes them."""

    facts: dict[tuple[ModelRef, Version], VersionFacts] = field(
        default_factory=dict[tuple[ModelRef, Version], VersionFacts]
    )

    def log(self, model: str, number: Version, run_id: str, f1: float, at: str) -> None:
        """Figures on one data set, and a signature that is everybody's."""
        self.facts[ModelRef(model), number] = VersionFacts(
            ModelRef(model),
            number,
            created_at=at,
            run=RunFacts(run_id, status="FINISHED", git_commit="1" * 40),
            metrics=(Metric("f1", f1, HOLDOUT),),
            signature=SIGNATURE,
            flavors={"sklearn": "1.4.2"},
            requirements=("scikit-learn==1.4.2",),
            size=1000,
        )

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        gone = Missing("version", "the registry has no such version")
        return {
            a: self.facts.get((a.model, a.version)) or VersionFacts(a.model, a.version, missing=(gone,)) for a in asked
        }

    def copied(self, change: RegisterVersion, at: str) -> None:
        """A copy has the figures of the run that it names."""
        named = (facts for facts in self.facts.values() if facts.run and facts.run.run_id == change.run_id)
        if (facts := next(named, None)) is not None:
            fresh = replace(facts, model=change.model, version=change.version, created_at=at)
            self.facts[change.model, change.version] = fresh

    def delete_run(self, model: str, number: int) -> None:
        """The run is gone for good, and its figures with it; the version and its files are there."""
        key = ModelRef(model), Version(number)
        why = "the run was deleted"
        gaps = (Missing("run", why, gone=True), Missing("metrics", why, gone=True))
        self.facts[key] = replace(self.facts[key], run=None, metrics=(), missing=gaps)


@dataclass
class Files:
    """
    The files of versions: there, unless somebody deletes them, and the same, unless somebody overwrites them. `read`
    are those that were downloaded.
    """

    lost: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    digests: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    read: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    places: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    records: dict[tuple[str, int], tuple[CheckRecord, ...]] = field(
        default_factory=dict[tuple[str, int], tuple[CheckRecord, ...]]
    )
    server: str = ""

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        self._refuse_lost(model, version)
        records = self.records.get((model, version), ())
        # Files of what nobody has checked are not read for it.
        return CheckFacts(self.known(model, version) if records else "", records)

    def place(self, model: ModelRef, version: Version) -> str:
        """Where they are: a copy's are where its original's were when it was made."""
        return self.places.get((model, version), f"{self.server}{model}-{version}")

    def copied(self, change: RegisterVersion) -> None:
        if (original := change.original) is not None:
            self.places[change.model, change.version] = self.place(original.model, original.version)
            replaced = self.digests.get((original.model, original.version))
            self.digests |= {} if replaced is None else {(change.model, change.version): replaced}

    def present(self, model: ModelRef, version: Version) -> Presence:
        there = (model, version) not in self.lost
        return Presence(there, why="" if there else "its files are gone")

    def digest(self, model: ModelRef, version: Version) -> str:
        self.read.add((model, version))
        self._refuse_lost(model, version)
        return self.known(model, version)

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        self._refuse_lost(model, version)
        return self._listed(model, version)

    def known(self, model: ModelRef, version: Version) -> str:
        """The digest of files, whether or not they can be read."""
        return self.digests.get((model, version)) or total_digest(self._listed(model, version))

    def _listed(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        content = sha256(self.digests.get((model, version), self.place(model, version)).encode()).hexdigest()
        return (FileDigest("MLmodel", content, 1000),)

    def _refuse_lost(self, model: ModelRef, version: Version) -> None:
        if (model, version) in self.lost:
            raise RegistryError("RESOURCE_DOES_NOT_EXIST", f"The files of {model} v{version} are gone.")
