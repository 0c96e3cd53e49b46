"""The calls that a plan is made of, each with its before and after, and what each does to a snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from reconciler.core.names import AliasName, ModelRef, Original, Stage, Version
from reconciler.core.snapshot import (
    Attribution,
    ModelSnapshot,
    OwnerRecord,
    Ownership,
    Placement,
    Provenance,
    VersionSnapshot,
    copy_of,
    source_digest,
)


@dataclass(frozen=True, slots=True)
class CreateModel:
    """Make the registered model, without versions."""

    model: ModelRef


@dataclass(frozen=True, slots=True)
class RenameModel:
    """Give a registered model, which was called `before`, the name `model`. All that is in it goes along."""

    model: ModelRef
    before: ModelRef


@dataclass(frozen=True, slots=True)
class Claim:
    """Write our ownership record. `before` is what the record said, if there was one."""

    model: ModelRef
    before: OwnerRecord | None
    after: Ownership


@dataclass(frozen=True, slots=True)
class Release:
    """Remove our ownership record, and nothing else."""

    model: ModelRef
    before: Ownership


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What an apply has brought from another registry for a version to be registered from: where its files are here, the
    run and the logged model that were made for them, and what the version is to say of its original.
    """

    source: str
    run_id: str
    model_id: str
    attribution: Attribution


@dataclass(frozen=True, slots=True)
class RegisterVersion:
    """
    Register a version from what a run logged, or as a copy of the `original` that was registered at `since`, in
    milliseconds since 1970. `version` is the number that it gets if none was deleted above those that are there.
    `about` is for readers. `brought` says where an original's files are that came from another registry.
    """

    model: ModelRef
    version: Version
    uri: str
    run_id: str
    model_id: str = ""
    about: str = ""
    original: Original | None = None
    since: int = 0
    brought: Brought | None = None

    @property
    def made_of(self) -> str:
        """For readers: a run, a logged model, or a version of another registered model."""
        if self.original is not None:
            return str(self.original)
        return f"run {self.run_id}" if self.run_id else f"logged model {self.model_id}"


@dataclass(frozen=True, slots=True)
class DescribeModel:
    """Set the description of the registered model."""

    model: ModelRef
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TagModel:
    """Set a tag of the registered model. `before` is None where there was none."""

    model: ModelRef
    key: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class DescribeVersion:
    """Set the description of a version: the manifest's comment."""

    model: ModelRef
    version: Version
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RecordTags:
    """Write down which tags of a version a manifest sets: more before they are set, fewer after they are removed."""

    model: ModelRef
    version: Version
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagVersion:
    """Set a tag of a version. `before` is None where there was none."""

    model: ModelRef
    version: Version
    key: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class UntagVersion:
    """Remove a tag of a version that a manifest had set."""

    model: ModelRef
    version: Version
    key: str
    before: str


@dataclass(frozen=True, slots=True)
class RecordProvenance:
    """Write down where a version is about to be put, and why; the other slots' placements stay as `before` has them."""

    model: ModelRef
    version: Version
    before: Provenance
    placements: tuple[Placement, ...]

    @property
    def after(self) -> Provenance:
        return {**self.before, **{p.slot: p for p in self.placements}}


@dataclass(frozen=True, slots=True)
class TransitionStage:
    """
    Move a version to a stage. `exclusive` archives every other occupant in the same transaction
    (`archive_existing_versions=True`): `archives` says which those are.
    """

    model: ModelRef
    version: Version
    before: Stage
    after: Stage
    exclusive: bool = False
    archives: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAlias:
    """Point an alias at a version, in one upsert."""

    model: ModelRef
    alias: AliasName
    before: Version | None
    after: Version


@dataclass(frozen=True, slots=True)
class DeleteAlias:
    """Remove an alias."""

    model: ModelRef
    alias: AliasName
    before: Version


Change: TypeAlias = (
    CreateModel
    | RenameModel
    | Claim
    | Release
    | RegisterVersion
    | DescribeModel
    | TagModel
    | DescribeVersion
    | RecordTags
    | TagVersion
    | UntagVersion
    | RecordProvenance
    | TransitionStage
    | SetAlias
    | DeleteAlias
)


def simulate(live: ModelSnapshot | None, change: Change) -> ModelSnapshot:
    """
    The model after the call, as the registry would have it. What this says of MLflow is checked against a real server
    in contract/test_registry.py. Raises ValueError for a call that the registry would refuse.
    """
    if isinstance(change, CreateModel):
        if live is not None:
            raise ValueError(f"{change.model} exists already")
        return ModelSnapshot(change.model)
    if live is None:
        raise ValueError(f"{change.model} does not exist")
    match change:
        case RenameModel():
            if live.called != change.before:
                raise ValueError(f"{live.name} is not called {change.before}")
            return replace(live, called=None)
        case Claim():
            return replace(live, owner=change.after)
        case Release():
            return replace(live, owner=None)
        case RegisterVersion():
            if change.version in live.versions:
                raise ValueError(f"{live.name} has a version {change.version} already")
            return replace(live, versions={**live.versions, change.version: _made(change)})
        case DescribeModel():
            return replace(live, description=change.after)
        case TagModel():
            return replace(live, tags={**live.tags, change.key: change.after})
        case DescribeVersion() | RecordTags() | TagVersion() | UntagVersion() | RecordProvenance():
            version = _written(_version(live, change.version), change)
            return replace(live, versions={**live.versions, version.version: version})
        case TransitionStage():
            return _transition(live, change)
        case SetAlias():
            _version(live, change.after)
            return replace(live, aliases={**live.aliases, change.alias: change.after})
        case DeleteAlias():
            return replace(live, aliases={a: v for a, v in live.aliases.items() if a != change.alias})
        case _:
            assert_never(change)


def _made(change: RegisterVersion) -> VersionSnapshot:
    """What a call registers."""
    if (brought := change.brought) is not None:
        place, said = source_digest(brought.source), brought.attribution
        return VersionSnapshot(change.version, run_id=brought.run_id, source=place, attribution=said)
    if change.original is not None:
        return copy_of(change.version, change.original, change.run_id, change.since)
    source = source_digest(change.uri)
    return VersionSnapshot(change.version, run_id=change.run_id, source=source, model_id=change.model_id)


def is_registered(live: ModelSnapshot, change: RegisterVersion) -> bool:
    """Whether some version was made of the same files, for the same run; or as a copy of the same original."""
    versions = live.versions.values()
    if change.brought is not None:
        # As the registry itself has it, which knows none of the policy's names.
        return any(version.attribution == change.brought.attribution for version in versions)
    if change.original is not None and change.original.registry:
        copies = (version for version in versions if version.original == change.original)
        return any(copy.may_be_copied_from(change.run_id, change.since) for copy in copies)
    digest = source_digest(change.uri)
    return any((v.source, v.run_id) == (digest, change.run_id) for v in versions)


def copies_in(changes: Iterable[Change]) -> tuple[RegisterVersion, ...]:
    """The calls that make a copy of another model's version."""
    return tuple(c for c in changes if isinstance(c, RegisterVersion) and c.original is not None)


def simulate_all(live: ModelSnapshot | None, changes: Iterable[Change]) -> ModelSnapshot | None:
    """The model after all of the calls."""
    for change in changes:
        live = simulate(live, change)
    return live


def _transition(live: ModelSnapshot, change: TransitionStage) -> ModelSnapshot:
    if change.exclusive and not change.after.active:
        # The server answers such a call with a 500, which clients retry for minutes (seen in MLflow 3.17).
        raise ValueError(f"archive_existing_versions is not for {change.after}")
    versions = dict(live.versions)
    versions[change.version] = replace(_version(live, change.version), stage=change.after)
    if change.exclusive:
        for other in live.occupants(change.after):
            if other != change.version:
                versions[other] = replace(versions[other], stage=Stage.ARCHIVED)
    return replace(live, versions=versions)


def _version(live: ModelSnapshot, version: Version) -> VersionSnapshot:
    if version not in live.versions:
        raise ValueError(f"{live.name} has no version {version}")
    return live.versions[version]


def _written(
    version: VersionSnapshot, change: DescribeVersion | RecordTags | TagVersion | UntagVersion | RecordProvenance
) -> VersionSnapshot:
    """The version after a call that writes what is kept beside it."""
    match change:
        case DescribeVersion():
            return replace(version, description=change.after)
        case RecordTags():
            return replace(version, tagged=frozenset(change.after))
        case TagVersion():
            return replace(version, tags={**version.tags, change.key: change.after})
        case UntagVersion():
            return replace(version, tags={key: value for key, value in version.tags.items() if key != change.key})
        case RecordProvenance():
            return replace(version, provenance=change.after)
        case _:
            assert_never(change)
