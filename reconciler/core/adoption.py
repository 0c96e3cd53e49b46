"""
What manifests must say for a registry as it is, so that a plan right after it claims and moves nothing, and what
somebody who adopts a registry should look at.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from reconciler.core.changes import Claim
from reconciler.core.desired import Declared, DesiredState, Manifest, Pin, Revision
from reconciler.core.diff import ModelPlan
from reconciler.core.entrances import occupants
from reconciler.core.likeness import refuse_look_alikes, standing_names
from reconciler.core.names import (
    ACTIVE_STAGES,
    LIVE,
    MLFLOW_TAG_PREFIX,
    OUR_TAG_PREFIX,
    AliasName,
    ModelName,
    Stage,
    Version,
    alias_fault,
    look_alike_fault,
    model_name_fault,
    tag_key_fault,
)
from reconciler.core.plan import PlanOptions, build_plan
from reconciler.core.policy import Policy
from reconciler.core.proposal import NOWHERE
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

    def owners_of(self, model: ModelName) -> tuple[str, ...]:
        """Who is to own a model; nobody where no pattern matches."""
        matching = [owners for pattern, owners in self.owners if fnmatchcase(model, pattern)]
        return matching[-1] if matching else ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """
    What became of one model: what is declared `after`, of which `new` says whether no manifest had declared it before;
    None where it cannot be declared. `remarks` are for whoever adopts it.
    """

    model: ModelName
    before: Manifest | None
    after: Manifest | None
    remarks: tuple[str, ...] = ()

    @property
    def new(self) -> bool:
        return self.before is None and self.after is not None


def adopt(
    snapshot: RegistrySnapshot, declared: Mapping[ModelName, Manifest], options: Adopt = Adopt()
) -> tuple[Adoption, ...]:
    """
    Every model of a snapshot with what must be declared of it. What a manifest declares is kept, also where the
    registry holds something else: that is said. Prompts are no models and are left out.
    """
    return tuple(
        _adopted(live, declared.get(name), options)
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
    if not reasons and adoption.new and not all(isinstance(change, Claim) for change in plan.changes):
        reasons = ["A plan would move something."]
    if not reasons:
        return adoption
    why = f"It cannot be declared as it is: {' '.join(reasons)}"
    return replace(adoption, after=adoption.before, remarks=(why, *adoption.remarks))


def _adopted(live: ModelSnapshot, before: Manifest | None, options: Adopt) -> Adoption:
    fault = model_name_fault(live.name) or look_alike_fault(live.name)
    if fault is not None:
        return Adoption(live.name, before, before, (f"It cannot be declared: {fault}.",))
    manifest = before or Manifest(Declared(live.name, NOWHERE))
    stages = {s: d for s in ACTIVE_STAGES if s not in manifest.stages and (d := _occupants(live, s)) is not None}
    aliases = {
        alias: Declared(Pin(NOWHERE, version), NOWHERE)
        for alias, version in sorted(live.aliases.items())
        if alias not in manifest.aliases and _declarable(live, alias, version)
    }
    owners = options.owners_of(live.name)
    after = replace(
        manifest,
        stages={**manifest.stages, **stages},
        aliases={**manifest.aliases, **aliases},
        owners=manifest.owners or (Declared(owners, NOWHERE) if owners else None),
        description=manifest.description or _description(live, options),
        tags={**_tags(live, options), **manifest.tags},
    )
    return Adoption(live.name, before, after, tuple(_remarks(live, before, after)))


def _occupants(live: ModelSnapshot, stage: Stage) -> Declared[tuple[Pin, ...]] | None:
    pins = tuple(Pin(NOWHERE, version) for version in live.occupants(stage))
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


def _remarks(live: ModelSnapshot, before: Manifest | None, after: Manifest) -> Iterator[str]:
    """What somebody who adopts a model should look at, the most important first."""
    for slot in sorted(LIVE):
        there = occupants(live, slot)
        if len(there) > 1:
            yield f"{len(there)} versions are in {slot}: {_versions(there)}."
        if not there:
            yield f"{slot} is empty."
    for alias, version in sorted(live.aliases.items()):
        if version not in live.versions:
            yield f"@{alias} names v{version}, which does not exist; it is not declared."
        elif live.versions[version].stage is Stage.ARCHIVED:
            yield f"@{alias} names v{version}, which is archived."
        if (fault := alias_fault(alias) or look_alike_fault(alias)) is not None:
            yield f"@{alias} cannot be declared: {fault}."
    if not after.owner_names:
        yield "Nobody owns it."
    if live.hidden:
        yield f"{_versions(sorted(live.hidden))} cannot be seen in searches, and so cannot be governed."
    if before is not None:
        yield from _differences(live, before)


def _differences(live: ModelSnapshot, before: Manifest) -> Iterator[str]:
    for stage in ACTIVE_STAGES:
        declared = before.stages.get(stage)
        if declared is None:
            continue
        numbers = sorted(number for pin in declared.value if (number := pin.version) is not None)
        if len(numbers) == len(declared.value) and numbers != list(live.occupants(stage)):
            yield f"{stage} is declared to hold {_versions(numbers)}, but holds {_versions(live.occupants(stage))}."
    for alias, declared in before.aliases.items():
        target, there = declared.value, live.aliases.get(alias)
        if (target is None and there is not None) or (target and target.version and target.version != there):
            names = f"{target}" if target else "nothing"
            yield f"@{alias} is declared to name {names}, but names {f'v{there}' if there else 'nothing'}."


def _versions(versions: Iterable[Version]) -> str:
    return ", ".join(f"v{version}" for version in versions) or "nothing"
