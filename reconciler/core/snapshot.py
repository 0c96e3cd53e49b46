"""What the registry held at one moment, and the two records of ours that it carries."""

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from sys import intern
from typing import Any, TypeAlias, cast

from reconciler.core.names import (
    ACTIVE_STAGES,
    AliasName,
    Commit,
    ModelRef,
    Original,
    Ours,
    RepositoryId,
    Slot,
    Stage,
    Version,
    slot_called,
)
from reconciler.core.records import Seal, as_commit, as_text, canonical, compact, read_record, read_seal, seal_document

OWNER_TAG = "reconciler.owner"
PROVENANCE_TAG = "reconciler.provenance"
TAGS_TAG = "reconciler.tags"
ORIGINAL_TAG = "reconciler.original"
READY = "READY"


@dataclass(frozen=True, slots=True)
class Ownership:
    """
    Which stages and aliases of a model a repository governs, and the commit that was last applied to it: the registered
    model's tag `reconciler.owner`. `model` is the name that the model had then; empty in records of older releases.
    """

    repository: RepositoryId
    stages: tuple[Stage, ...] = ()
    aliases: tuple[AliasName, ...] = ()
    commit: Commit | None = None
    model: ModelRef | None = field(default=None, compare=False)

    def governs_like(self, other: "Ownership") -> bool:
        """Whether both name the same repository and slots, whatever the commit."""
        return (self.repository, self.stages, self.aliases) == (other.repository, other.stages, other.aliases)


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A `reconciler.owner` tag that this release cannot read: somebody else's until a person says otherwise."""

    text: str


OwnerRecord: TypeAlias = Ownership | UnreadableRecord


def source_digest(uri: str | None) -> str:
    """Tells one source from another without repeating it: a path may hold what is nobody else's business."""
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:16] if uri else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Which version a number means: a model that was deleted and registered again counts from 1 once more. `source` is a
    digest of where its files are.
    """

    version: Version
    run_id: str
    created_at: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """
    How a version came into a slot. `before` is where it was, for a stage, or what the alias named, for an alias.
    `applied_at` is RFC 3339 in UTC; `plan` is the digest of the plan that was carried out; `override` says which gates'
    no was overridden for it, on whose word and why; `passed` has the keys of the gates that had nothing against it;
    `files` is the digest of the version's files, where a gate asked for it.

    `identity` and `registry` say of which version in which registry this is: a record that was copied to another one
    proves nothing there. `sequence` counts the placements of a version. `left` is written when an alias comes to name
    another version. `receipt` names the receipt of the apply; empty in records of older releases. `proven` is set by
    whoever verified `seal`, and `retired` where its key was listed once and is not anymore.
    """

    slot: Slot
    repository: RepositoryId
    commit: Commit | None
    before: str = ""
    author: str = ""
    applied_at: str = ""
    plan: str = ""
    override: str = ""
    passed: tuple[str, ...] = ()
    found: bool = False
    left: bool = False
    files: str = ""
    identity: Identity | None = None
    registry: str = ""
    workspace: str = ""
    sequence: int = 0
    receipt: str = ""
    seal: Seal | None = None
    proven: bool = field(default=False, compare=False)
    retired: bool = field(default=False, compare=False)


Provenance: TypeAlias = Mapping[Slot, Placement]
"""The newest placement of a version in each slot: the model version's tag `reconciler.provenance`."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """
    What the tag `reconciler.original` says that a version was copied from: a version in another registry, its run, and
    when it was registered, in milliseconds since 1970. Anybody can write it: only equal files bear it out.
    """

    run_id: str
    created_at: int
    registry: str = ""
    workspace: str = ""
    model: ModelRef = ModelRef("")
    version: Version = Version(0)


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """
    One model version. `created_at`, in milliseconds since 1970, tells it from another one of the same number.
    `updated_at` moves with every change of the version, ours too, so it is no part of what is compared. `tags` are
    without those of MLflow and ours; `tagged` are the keys of those that manifests set: the tag `reconciler.tags`. Of
    these, trusted history shows no manifest for those in `unset`, so they are not removed.
    `source` is the digest of where its files are, `model_id` the logged model that it was made of, if MLflow says so,
    and `original` the version that it was copied from: by MLflow's own word, or, in another registry, by what its
    `attribution` says.
    """

    version: Version
    stage: Stage = Stage.NONE
    status: str = READY
    run_id: str = ""
    description: str = ""
    created_at: int = 0
    provenance: Provenance = field(default_factory=dict[Slot, Placement])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    tagged: frozenset[str] = frozenset()
    unset: frozenset[str] = field(default=frozenset(), compare=False)
    updated_at: int = field(default=0, compare=False)
    source: str = field(default="", compare=False)
    model_id: str = field(default="", compare=False)
    original: Original | None = field(default=None, compare=False)
    attribution: Attribution | None = field(default=None, compare=False)

    @property
    def identity(self) -> Identity:
        return Identity(self.version, self.run_id, self.created_at, self.source)

    def is_made_of(self, uri: str) -> bool:
        """Whether its files are there."""
        return self.source == source_digest(uri)

    @property
    def touched(self) -> int:
        """When it was last moved or edited, by MLflow's own time, in seconds since 1970."""
        return self.updated_at // 1000

    @property
    def is_planned_copy(self) -> bool:
        """Whether it is to be copied from another registry, and is not there yet: no tag says of which."""
        return self.attribution is not None and not self.attribution.registry

    def may_be_copied_from(self, run_id: str, since: int) -> bool:
        """
        Whether the original that it names may be one of that run, registered at `since`. A copy is no older, and of the
        same run; one from another registry has a run of its own, and says of which original it is.
        """
        if self.original is not None and self.original.registry:
            said = self.attribution
            return said is not None and (said.run_id, said.created_at) == (run_id, since)
        return self.run_id == run_id and not 0 < self.created_at < since

    def placed_by(self, ours: Ours) -> bool:
        """Whether that repository put the version into the stage it is in."""
        placement = self.provenance.get(self.stage.slot)
        return placement is not None and ours.owns(placement.repository, placement.commit)


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """
    One registered model. `hidden` has the stages of versions that the registry has but does not list: MLflow leaves
    whatever is tagged as a prompt out of its searches, and what cannot be seen cannot be reconciled. `called` is what
    the registry calls it still, where it is to be renamed.
    """

    name: ModelRef
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    aliases: Mapping[AliasName, Version] = field(default_factory=dict[AliasName, Version])
    versions: Mapping[Version, VersionSnapshot] = field(default_factory=dict[Version, VersionSnapshot])
    owner: OwnerRecord | None = None
    hidden: Mapping[Version, Stage] = field(default_factory=dict[Version, Stage])
    hidden_model: bool = False
    called: ModelRef | None = None

    def occupants(self, stage: Stage) -> tuple[Version, ...]:
        """The versions that are in the stage now, lowest first."""
        return tuple(sorted(v.version for v in self.versions.values() if v.stage is stage))

    def owned_by(self, ours: Ours) -> Ownership | None:
        """The ownership record, if it is that repository's, under whichever of its names."""
        if isinstance(self.owner, Ownership) and ours.owns(self.owner.repository, self.owner.commit):
            return self.owner
        return None


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """The models that a plan needs to see: those declared, and those that carry our ownership record."""

    models: Mapping[ModelRef, ModelSnapshot] = field(default_factory=dict[ModelRef, ModelSnapshot])

    def orphans(self, ours: Ours, declared: Container[ModelRef]) -> frozenset[ModelRef]:
        """The models with a record of this repository and folder that no manifest declares."""
        owners = {name: live.owned_by(ours) for name, live in self.models.items() if name not in declared}
        return frozenset(name for name, owner in owners.items() if owner and ours.has_folder(owner.repository))


def encode_owner(owner: Ownership) -> str:
    """The value of the tag `reconciler.owner`."""
    return compact(
        {
            "format": 1,
            "repository": owner.repository,
            "stages": list(owner.stages),
            "aliases": list(owner.aliases),
            "commit": owner.commit,
            **({"model": owner.model} if owner.model else {}),
        }
    )


def decode_owner(text: str) -> OwnerRecord:
    """The record in a tag `reconciler.owner`; what cannot be read is kept as it is, never guessed at."""
    try:
        record = read_record(text)
        if record["format"] != 1:
            return UnreadableRecord(text)
        commit, model = record["commit"], record.get("model")
        return Ownership(
            repository=RepositoryId(_shared(record["repository"])),
            stages=tuple(sorted((Stage(s) for s in record["stages"]), key=list(Stage).index)),
            aliases=tuple(sorted(AliasName(_shared(a)) for a in record["aliases"])),
            commit=None if commit is None else Commit(intern(as_commit(commit))),
            model=None if model is None else ModelRef(as_text(model)),
        )
    except (ValueError, KeyError, TypeError):
        return UnreadableRecord(text)


def copy_of(number: Version, original: Original, run_id: str, since: int) -> VersionSnapshot:
    """A version as it will be once it is copied from an original of that run, which was registered at `since`."""
    source, said = source_digest(original.uri), Attribution(run_id, since) if original.registry else None
    return VersionSnapshot(number, run_id=run_id, source=source, original=original, attribution=said)


def encode_attribution(said: Attribution) -> str:
    """The value of the tag `reconciler.original`."""
    return compact({"format": 1, **asdict(said)})


def decode_attribution(text: str | None) -> Attribution | None:
    """What a tag `reconciler.original` says; None where there is none, or it cannot be read."""
    try:
        record = read_record(text) if text is not None else {}
        if record.get("format") != 1:
            return None
        texts = (as_text(record[key]) for key in ("run_id", "registry", "workspace", "model"))
        run_id, registry, workspace, model = texts
        version = Version(int(record["version"]))
        if not registry:
            return None
        return Attribution(run_id, int(record["created_at"]), registry, workspace, ModelRef(model), version)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def encode_tagged(keys: Iterable[str]) -> str:
    """The value of the tag `reconciler.tags`."""
    return compact({"format": 1, "keys": sorted(keys)})


def decode_tagged(text: str) -> frozenset[str]:
    """The keys in a tag `reconciler.tags`; none where it cannot be read: then nothing is removed because of it."""
    try:
        record = read_record(text)
        return frozenset(as_text(key) for key in record["keys"]) if record["format"] == 1 else frozenset()
    except (ValueError, KeyError, TypeError):
        return frozenset()


def encode_provenance(provenance: Provenance) -> str:
    """The value of the tag `reconciler.provenance`."""
    slots = {slot: {**_fields(p), "signature": seal_document(p.seal)} for slot, p in sorted(provenance.items())}
    return compact({"format": 2, "slots": slots})


def signed_bytes(model: ModelRef, placement: Placement) -> bytes:
    """
    What the signature on a placement is made of: everything but itself, and the model, so that a record that is copied
    to another version, model or registry does not verify.
    """
    document = {**_fields(placement), "slot": placement.slot, "model": model, "purpose": "reconciler-record"}
    return canonical(document)


def _fields(p: Placement) -> dict[str, object]:
    identity = p.identity
    return {
        "commit": p.commit,
        "author": p.author,
        "applied_at": p.applied_at,
        "plan": p.plan,
        "repository": p.repository,
        "before": p.before,
        **({"override": p.override} if p.override else {}),
        **({"passed": list(p.passed)} if p.passed else {}),
        **({"found": True} if p.found else {}),
        **({"left": True} if p.left else {}),
        **({"files": p.files} if p.files else {}),
        **({"workspace": p.workspace} if p.workspace else {}),
        **({"receipt": p.receipt} if p.receipt else {}),
        "registry": p.registry,
        "sequence": p.sequence,
        "version": None if identity is None else [*astuple(identity)],
    }


def decode_provenance(text: str) -> Provenance:
    """
    The placements in a tag `reconciler.provenance`, of this release or the one before. One that cannot be read counts
    as none: it then proves nothing, so nothing is archived because of it.
    """
    try:
        record = read_record(text)
        if record["format"] not in {1, 2}:
            return {}
        slots = cast("dict[str, dict[str, Any]]", record["slots"])
        return {(named := slot_called(slot)): _placement(named, p) for slot, p in slots.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _shared(value: object) -> str:
    """A text of a record, by one object for all records that say the same: one apply writes into thousands of them."""
    return intern(as_text(value))


def _placement(slot: Slot, p: Mapping[str, Any]) -> Placement:
    return Placement(
        slot=slot,
        repository=RepositoryId(_shared(p["repository"])),
        commit=None if p["commit"] is None else Commit(intern(as_commit(p["commit"]))),
        before=_shared(p["before"]),
        author=_shared(p["author"]),
        applied_at=_shared(p["applied_at"]),
        plan=_shared(p["plan"]),
        override=as_text(p.get("override", "")),
        passed=tuple(_shared(gate) for gate in p.get("passed", ())),
        found=p.get("found", False) is True,
        left=p.get("left", False) is True,
        files=as_text(p.get("files", "")),
        identity=_identity(p.get("version")),
        registry=_shared(p.get("registry", "")),
        workspace=_shared(p.get("workspace", "")),
        sequence=int(p.get("sequence", 0)),
        receipt=_shared(p.get("receipt", "")),
        seal=read_seal(p.get("signature")),
    )


def _identity(value: Any) -> Identity | None:
    if value is None:
        return None
    version, run_id, created_at, source = value
    return Identity(Version(int(version)), as_text(run_id), int(created_at), as_text(source))


def governed_stages(stages: Mapping[Stage, object]) -> tuple[Stage, ...]:
    """The declared stages that ownership is about: `None` and `Archived` are where versions are put, not slots."""
    return tuple(stage for stage in ACTIVE_STAGES if stage in stages)
