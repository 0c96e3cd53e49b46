"""States and wishes, said briefly."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler import testing
from reconciler.core.desired import Declared, DesiredState, Manifest, Pin, Revision
from reconciler.core.names import ACTIVE_STAGES, AliasName, Commit, ModelRef, RepositoryId, Slot, Stage, Version
from reconciler.core.snapshot import ModelSnapshot, OwnerRecord, Ownership, Placement, RegistrySnapshot
from reconciler.errors import Location

N, S, P, A = Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED

CHURN = ModelRef("churn")
OURS = RepositoryId("github.com/acme/models#manifests")
THEIRS = RepositoryId("github.com/acme/others#manifests")
FIRST, SECOND, THIRD = (Commit(digit * 40) for digit in "abc")
NOW = Revision(OURS, SECOND, "Ada <ada@acme.example>", "Promote churn")
SOMEWHERE = Location("manifests/churn.yaml", 1, 8)


def at(line: int) -> Location:
    """A place in the manifest of churn."""
    return Location("manifests/churn.yaml", line, 3)


def pin(reference: int | str | Pin) -> Pin:
    """A version by its number, or by its run."""
    if isinstance(reference, Pin):
        return reference
    if isinstance(reference, str):
        return Pin(SOMEWHERE, run_id=reference)
    return Pin(SOMEWHERE, Version(reference))


def want(
    stages: Mapping[Stage, Sequence[int | str | Pin]] | None = None,
    aliases: Mapping[str, int | str | Pin | None] | None = None,
    *,
    name: str = CHURN,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Manifest:
    """What is declared: `want({P: [2], S: []}, {"champion": 2})`."""
    return Manifest(
        model=Declared(ModelRef(name), SOMEWHERE),
        description=None if description is None else Declared(description, at(2)),
        tags={key: Declared(value, at(3)) for key, value in (tags or {}).items()},
        stages={s: Declared(tuple(map(pin, pins)), at(5 + i)) for i, (s, pins) in enumerate((stages or {}).items())},
        aliases={
            AliasName(alias): Declared(None if named is None else pin(named), at(10 + i))
            for i, (alias, named) in enumerate((aliases or {}).items())
        },
    )


def have(
    versions: Mapping[int, Stage],
    aliases: Mapping[str, int] | None = None,
    *,
    owner: OwnerRecord | None = None,
    name: str = CHURN,
    placed: Mapping[int, Sequence[str]] | None = None,
) -> ModelSnapshot:
    """
    What is there: `have({1: A, 2: P}, {"champion": 2}, owner=owns(P))`. `placed` says which slots our records show a
    version to have been put into. Version n comes from run `run-n`.
    """
    model = testing.have(versions, aliases, owner=owner, name=name)
    for number, slots in (placed or {}).items():
        model = with_version(
            model, number, provenance={slot: Placement(slot, OURS, FIRST) for slot in map(Slot, slots)}
        )
    return model


def owns(*slots: Stage | str, by: RepositoryId = OURS, commit: Commit | None = FIRST) -> Ownership:
    """Our record, with the stages and the aliases that it names."""
    return Ownership(
        by,
        tuple(stage for stage in ACTIVE_STAGES if stage in slots),
        tuple(sorted(AliasName(slot) for slot in slots if not isinstance(slot, Stage))),
        commit,
    )


def with_version(model: ModelSnapshot, number: int, **fields: object) -> ModelSnapshot:
    """The model with some fields of one of its versions different."""
    version = replace(model.versions[Version(number)], **fields)  # pyright: ignore[reportArgumentType]  # any field
    return replace(model, versions={**model.versions, Version(number): version})


def desired(*manifests: Manifest, revision: Revision = NOW) -> DesiredState:
    return DesiredState(revision, {manifest.name: manifest for manifest in manifests})


def registry(*models: ModelSnapshot) -> RegistrySnapshot:
    return RegistrySnapshot({model.name: model for model in models})
