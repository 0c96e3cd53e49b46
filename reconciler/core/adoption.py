"""
What manifests must say for a registry as it is, so that a plan right after it claims and moves nothing, and what
somebody who adopts a registry should look at.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase

from reconciler.core.changes import Change, Claim, RecordProvenance, SetAlias
from reconciler.core.desired import Declared, DesiredState, Manifest, Pin, Revision
from reconciler.core.diff import ModelPlan
from reconciler.core.entrances import occupants
from reconciler.core.likeness import refuse_look_alikes, standing_names
from reconciler.core.names import (
    ACTIVE_STAGES,
    MLFLOW_TAG_PREFIX,
    OUR_TAG_PREFIX,
    AliasName,
    ModelRef,
    Stage,
    Version,
    alias_fault,
    look_alike_fault,
    model_name_fault,
    tag_key_fault,
)
from reconciler.core.past import declared_versions
from reconciler.core.plan import PlanOptions, build_plan
from reconciler.core.policy import Policy
from reconciler.core.proposal import NOWHERE, with_aliases
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot


@dataclass(frozen=True, slots=True)
class Adopt:
    """
    What to take over beside stages and aliases. `owners` are patterns of model names with who owns what they match; of
    several that match, the last one counts, as in CODEOWNERS.
    """

    tags: bool = False
    descriptions: bool = False
    owners: Sequence[tuple[str, tuple[str, ...]]] = ()

    def owners_of(self, model: ModelRef) -> tuple[str, ...]:
        """Who is to own a model; nobody where no pattern matches."""
        matching = [owners for pattern, owners in self.owners if fnmatchcase(model, pattern)]
        return matching[-1] if matching else ()


class Concern(IntEnum):
    """What a remark is about, the weightiest first."""

    REFUSED = 1
    DIFFERENT = 2
    SEVERAL = 3
    DANGLING = 4
    ARCHIVED = 5
    UNDECLARED = 6
    EMPTY = 7
    HIDDEN = 8
    UNOWNED = 9


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """Something about a model that whoever adopts it should look at."""

    concern: Concern
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Adoption:
    """
    What became of one model: what is declared `after`, of which `new` says whether no manifest had declared it before;
    None where it cannot be declared. `remarks` are for whoever adopts it, the weightiest first.
    """

    model: ModelRef
    before: Manifest | None
    after: Manifest | None
    remarks: tuple[Remark, ...] = ()

    @property
    def new(self) -> bool:
        return self.before is None and self.after is not None

    @property
    def left_out(self) -> bool:
        """Whether something of it is not declared that should be."""
        return any(remark.concern is Concern.REFUSED for remark in self.remarks)

    def refused(self, why: str) -> "Adoption":
        """The same model, left as it is declared, and why."""
        return replace(self, after=self.before, remarks=(Remark(Concern.REFUSED, why), *self.remarks))


class Outcome(StrEnum):
    """What an import makes of the manifests of one model."""

    NEW = "new"
    ADDED = "added to"
    LEFT_OUT = "left out"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Imported:
    """One model after an import: what became of it, the files that are new or changed, and what to look at."""

    model: ModelRef
    outcome: Outcome
    paths: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


def adopt(
    snapshot: RegistrySnapshot,
    declared: Mapping[ModelRef, Manifest],
    options: Adopt = Adopt(),
    slots: SlotMap = PLAIN,
) -> tuple[Adoption, ...]:
    """
    Every model of a snapshot with what must be declared of it. What a manifest declares is kept, also where the
    registry holds something else: that is said. Prompts are no models and are left out. `slots` says what stages are in
    the registry.
    """
    renamed = {former: name for name, manifest in declared.items() for former in manifest.former_names}
    return tuple(
        _adopted(live, declared.get(name), options, slots)
        if name in declared or name not in renamed
        else Adoption(name, None, None).refused(f"It is declared already, as a former name of {renamed[name]}.")
        for name, live in sorted(snapshot.models.items())
        if not live.hidden_model
    )


def claimable(
    adoptions: Iterable[Adoption], snapshot: RegistrySnapshot, revision: Revision, policy: Policy
) -> tuple[Adoption, ...]:
    """The adoptions, without the declarations that a plan would refuse or that would move anything; each says why."""
    listed = tuple(adoptions)
    models = {adoption.model: adoption.after for adoption in listed if adoption.after is not None}
    desired = DesiredState(revision, models)
    before = standing_names({a.model: a.before for a in listed if a.before is not None})
    bare = build_plan(desired, snapshot, PlanOptions())
    plans = {model.model: model for model in refuse_look_alikes(bare, snapshot, desired, before, policy).models}
    return tuple(_refused(adoption, plans.get(adoption.model)) for adoption in listed)


def _refused(adoption: Adoption, plan: ModelPlan | None) -> Adoption:
    if plan is None or adoption.after == adoption.before:
        return adoption
    reasons = [blocker.message for blocker in plan.blockers]
    if not reasons and adoption.new and not all(_moves_nothing(change, adoption.after) for change in plan.changes):
        reasons = ["A plan would move something."]
    if not reasons:
        return adoption
    return adoption.refused(f"It cannot be declared as it is: {' '.join(reasons)}")


def _moves_nothing(change: Change, after: Manifest | None) -> bool:
    """Whether a call takes nothing from anybody: our records, and an alias that now stands for what is in its stage."""
    if isinstance(change, SetAlias) and change.before is None and after is not None:
        return bool(after.aliases[change.alias].stage)
    return isinstance(change, Claim | RecordProvenance)


def _adopted(live: ModelSnapshot, before: Manifest | None, options: Adopt, slots: SlotMap) -> Adoption:
    fault = model_name_fault(live.name) or look_alike_fault(live.name)
    if fault is not None:
        return Adoption(live.name, before, before).refused(f"It cannot be declared: {fault}.")
    manifest = before or Manifest(Declared(live.name, NOWHERE))
    placed = {version for stage in manifest.stages for version in declared_versions(manifest, stage.slot, live)}
    stages = {
        s: d
        for s in ACTIVE_STAGES
        if s not in manifest.stages and slots.is_stage(s) and (d := _occupants(live, s, placed)) is not None
    }
    kept = {one.previous for one in slots.stages}
    aliases = {
        alias: Declared(Pin(NOWHERE, version), NOWHERE)
        for alias, version in sorted(live.aliases.items())
        if alias not in manifest.aliases and alias not in kept and _declarable(live, alias, version)
    }
    whole = with_aliases(
        replace(manifest, stages={**manifest.stages, **stages}, aliases={**manifest.aliases, **aliases}), slots
    )
    if (why := _at_odds(live, whole)) is not None:
        return Adoption(live.name, before, before).refused(why)
    owners = options.owners_of(live.name)
    after = replace(
        manifest,
        stages=whole.stages,
        aliases=whole.aliases,
        owners=manifest.owners or (Declared(owners, NOWHERE) if owners else None),
        description=manifest.description or _description(live, options),
        tags={**_tags(live, options), **manifest.tags},
    )
    remarks = sorted(_remarks(live, before, after, slots), key=lambda remark: remark.concern)
    return Adoption(live.name, before, after, tuple(remarks))


def _at_odds(live: ModelSnapshot, manifest: Manifest) -> str | None:
    """Why a stage and the alias that stands for it cannot be declared as they are: they say different things."""
    for stage, declared in manifest.stages.items():
        alias = next((alias for alias, one in manifest.aliases.items() if one.stage == stage), None)
        numbers = [pin.version for pin in declared.value]
        if alias is not None and (len(numbers) > 1 or live.aliases.get(alias, *numbers) not in numbers):
            names = f"v{live.aliases[alias]}" if alias in live.aliases else "nothing"
            there = _versions(number for number in numbers if number is not None)
            return f"{stage} holds {there}, but @{alias}, which stands for it, names {names}: make them agree first."
    return None


def _occupants(live: ModelSnapshot, stage: Stage, placed: Set[Version]) -> Declared[tuple[Pin, ...]] | None:
    """What a stage holds, without the versions that a manifest places in some stage already."""
    pins = tuple(Pin(NOWHERE, version) for version in live.occupants(stage) if version not in placed)
    return Declared(pins, NOWHERE) if pins else None


def _declarable(live: ModelSnapshot, alias: AliasName, version: Version) -> bool:
    return version in live.versions and alias_fault(alias) is None and look_alike_fault(alias) is None


def _description(live: ModelSnapshot, options: Adopt) -> Declared[str] | None:
    return Declared(live.description, NOWHERE) if options.descriptions and live.description else None


def _tags(live: ModelSnapshot, options: Adopt) -> dict[str, Declared[str]]:
    if not options.tags:
        return {}
    ours = (OUR_TAG_PREFIX, MLFLOW_TAG_PREFIX)
    return {
        key: Declared(value, NOWHERE)
        for key, value in sorted(live.tags.items())
        if not key.startswith(ours) and tag_key_fault(key) is None
    }


def _remarks(live: ModelSnapshot, before: Manifest | None, after: Manifest, slots: SlotMap) -> Iterator[Remark]:
    """What somebody who adopts a model should look at, the most important first."""
    for slot in sorted(slots.live_slots):
        there = occupants(live, slot)
        if len(there) > 1:
            yield Remark(Concern.SEVERAL, f"{len(there)} versions are in {slot}: {_versions(there)}.")
        if not there:
            yield Remark(Concern.EMPTY, f"{slot} is empty.")
    for alias, version in sorted(live.aliases.items()):
        if version not in live.versions:
            yield Remark(Concern.DANGLING, f"@{alias} names v{version}, which does not exist; it is not declared.")
        elif live.versions[version].stage is Stage.ARCHIVED:
            yield Remark(Concern.ARCHIVED, f"@{alias} names v{version}, which is archived.")
        if (fault := alias_fault(alias) or look_alike_fault(alias)) is not None:
            yield Remark(Concern.UNDECLARED, f"@{alias} cannot be declared: {fault}.")
    if not after.owner_names:
        yield Remark(Concern.UNOWNED, "Nobody owns it.")
    if live.hidden:
        hidden = _versions(sorted(live.hidden))
        yield Remark(Concern.HIDDEN, f"{hidden} cannot be seen in searches, and so cannot be governed.")
    if before is not None:
        yield from (Remark(Concern.DIFFERENT, text) for text in _differences(live, before))


def _differences(live: ModelSnapshot, before: Manifest) -> Iterator[str]:
    for stage in ACTIVE_STAGES:
        declared = before.stages.get(stage)
        if declared is None:
            continue
        numbers = sorted(number for pin in declared.value if (number := pin.version) is not None)
        if len(numbers) == len(declared.value) and numbers != list(live.occupants(stage)):
            holds = _versions(live.occupants(stage))
            yield f"{stage} is declared to hold {_versions(numbers)}, but holds {holds} ({declared.at})."
    for alias, declared in before.aliases.items():
        target, there = declared.value, live.aliases.get(alias)
        if (target is None and there is not None) or (target and target.version and target.version != there):
            names = f"{target}" if target else "nothing"
            named = f"v{there}" if there else "nothing"
            yield f"@{alias} is declared to name {names}, but names {named} ({declared.at})."


def _versions(versions: Iterable[Version]) -> str:
    return ", ".join(f"v{version}" for version in versions) or "nothing"
