"""Manifest × snapshot → the ordered calls of one model, or the reasons why there can be none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.changes import (
    Change,
    Claim,
    CreateModel,
    DeleteAlias,
    DescribeModel,
    DescribeVersion,
    RecordProvenance,
    RecordTags,
    RegisterVersion,
    Release,
    RenameModel,
    SetAlias,
    TagModel,
    TagVersion,
    TransitionStage,
    UntagVersion,
    simulate_all,
)
from reconciler.core.desired import DesiredState, Manifest, NoSource, Pin, Revision, Source
from reconciler.core.entrances import before_move, entrances, is_another, occupants
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import Approval, Entrance, Verdict
from reconciler.core.names import (
    ACTIVE_STAGES,
    MAX_TAG_VALUE,
    AliasName,
    LiveSlots,
    ModelRef,
    Ours,
    Slot,
    Stage,
    Version,
    alias_slot,
)
from reconciler.core.past import Past
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import (
    ORIGINAL_TAG,
    READY,
    Identity,
    ModelSnapshot,
    Ownership,
    Placement,
    RegistrySnapshot,
    UnreadableRecord,
    VersionSnapshot,
    encode_owner,
    governed_stages,
    source_digest,
)
from reconciler.errors import Location


class Why(StrEnum):
    """What asks for a change."""

    DECLARED = "declared"
    DISPLACED = "displaced"
    UNDECLARED = "no longer declared"
    GOVERNED = "governed"
    RELEASED = "released"
    RENAMED = "renamed"
    LEFT = "what left"


@dataclass(frozen=True, slots=True)
class Reason:
    """What asks for a change, and where; `by` are the versions that take its place."""

    why: Why
    at: Location | None = None
    by: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call, and what asks for it. The versions that the same call archives are there because of `archives`."""

    change: Change
    because: Reason
    archives_because: Reason | None = None


UNAPPROVED = "unapproved-change"
"""The code of a blocker that an approval takes away. What was reviewed is the same with it and without it."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a model cannot be changed to match the manifests. Codes are words that scripts may rely on."""

    code: str
    message: str
    fix: str
    at: Location | None = None


@dataclass(frozen=True, slots=True)
class Grounds:
    """
    What gates knew of a version that enters a slot: the digest of its files, where one asked for it, who approved what
    is declared, and what MLflow knows of the version, where one asked for that.
    """

    files: str = ""
    approvals: tuple[Approval, ...] = ()
    facts: VersionFacts | None = None

    def joined(self, other: "Grounds") -> "Grounds":
        """What one set of rules asked for, and another one."""
        approvals = {*self.approvals, *other.approvals}
        ordered = tuple(sorted(approvals, key=lambda a: (a.at, a.who, a.how)))
        return Grounds(self.files or other.files, ordered, self.facts or other.facts)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """
    The ordered calls for one model; where it cannot be brought to what is declared, there are none. `identities` are
    those of the versions they touch, and `entrances` what they bring into slots, or what is newly declared there.
    `verdicts` are what the gates said; one that blocks keeps the model as it is. `guarded` are those slots that have
    gates, and `grounds` what the gates knew of what enters. `slots` says what stages are in the registry.
    """

    model: ModelRef
    proposals: tuple[Proposal, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    identities: tuple[Identity, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    entrances: tuple[Entrance, ...] = ()
    guarded: frozenset[Slot] = field(default=frozenset(), compare=False)
    grounds: Mapping[tuple[Version, Slot], Grounds] = field(
        default_factory=dict[tuple[Version, Slot], Grounds], compare=False
    )
    past: Past | None = field(default=None, compare=False, repr=False)
    slots: SlotMap = field(default=PLAIN, compare=False, repr=False)

    @property
    def live_slots(self) -> LiveSlots:
        """The slots that consumers depend on."""
        return self.slots.live_slots

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(proposal.change for proposal in self.proposals)

    @property
    def blocked(self) -> bool:
        return bool(self.blockers) or any(verdict.blocks for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a version or an alias is to end."""

    because: Reason
    stage: Stage = Stage.ARCHIVED


@dataclass(slots=True)
class _Bound:
    """A manifest whose pins are bound to the version numbers that the registry has."""

    stages: dict[Stage, dict[Version, Pin]] = field(default_factory=dict[Stage, dict[Version, Pin]])
    aliases: dict[AliasName, tuple[Version | None, Location]] = field(
        default_factory=dict[AliasName, tuple[Version | None, Location]]
    )
    comments: dict[Version, tuple[str, Location]] = field(default_factory=dict[Version, tuple[str, Location]])
    registered: dict[Version, tuple[Source, Pin]] = field(default_factory=dict[Version, tuple[Source, Pin]])
    copies: dict[Version, Source] = field(default_factory=dict[Version, Source])
    tags: dict[Version, dict[str, tuple[str, Location]]] = field(
        default_factory=dict[Version, dict[str, tuple[str, Location]]]
    )

    def slots(self) -> Iterator[tuple[Slot, Version, Location]]:
        """What is declared for each slot, and where."""
        for stage, pins in self.stages.items():
            yield from ((stage.slot, version, pin.at) for version, pin in pins.items() if stage.active)
        for alias, (version, at) in sorted(self.aliases.items()):
            if version is not None:
                yield alias_slot(alias), version, at


def diff(
    manifest: Manifest | None,
    live: ModelSnapshot | None,
    revision: Revision,
    *,
    name: ModelRef,
    adopt: bool = False,
    past: Past | None = None,
) -> ModelPlan:
    """
    The calls that turn `live` into what `manifest` declares, in the order in which they are to be made: a live slot is
    filled before anything leaves it, other active stages wherever the calls allow it, and our record of what we govern
    is widened before, and narrowed after, everything it speaks of, so that a crash between any two calls is mended by
    planning again. It names the commit only at the end: an apply that broke off is not one. `adopt` takes a model over
    from another repository's ownership record. `past` tells what is where this declaration put it; without it, all of
    what is in place counts as that.
    """
    owned = live.owned_by(revision.ours) if live else None
    if manifest is None:
        if owned is None or not revision.ours.has_folder(owned.repository):
            return ModelPlan(name)
        return ModelPlan(name, (Proposal(Release(name, owned), Reason(Why.RELEASED)),))

    blockers = list(_owner_blockers(manifest, live, revision, adopt=adopt))
    if live is not None and live.called is not None and past is not None and not past.was_called(live.called):
        blockers.append(_never_called(manifest, live.called))
    bound = _bind(manifest, live, blockers)
    registrations = [
        Proposal(
            RegisterVersion(
                name, version, source.uri, source.run_id, source.model_id, source.about, pin.original, source.since
            ),
            Reason(Why.DECLARED, pin.at),
        )
        for version, (source, pin) in sorted(bound.registered.items())
    ]
    # What is planned is planned for the versions that will be there.
    there = simulate_all(live or ModelSnapshot(name), (p.change for p in registrations)) if registrations else live
    targets = _targets(manifest, bound, there, owned, revision)
    if there is not None:
        blockers.extend(_emptied_blockers(manifest, bound, there, targets, revision.live_slots))
        blockers.extend(_unnamed_blockers(manifest, there, owned, revision.slots, past))
        blockers.extend(_identity_blockers(bound, there, past))

    final = Ownership(
        revision.repository, governed_stages(manifest.stages), tuple(sorted(manifest.aliases)), revision.commit, name
    )
    widest = _union(final, owned)
    widest = replace(widest, commit=owned.commit, model=owned.model) if owned else replace(widest, commit=None)
    if len(encode_owner(widest)) > MAX_TAG_VALUE:
        blockers.append(
            Blocker(
                "record-too-large",
                f"{name} declares {len(manifest.aliases)} aliases: the record of what we govern would not fit into "
                f"{MAX_TAG_VALUE} characters, the most that a registered model's tag holds on every store.",
                "Declare fewer aliases.",
                manifest.model.at,
            )
        )
    if blockers:
        return ModelPlan(name, blockers=tuple(blockers))

    before = there if there is not None else ModelSnapshot(name)
    moves = _Moves(manifest, bound, before, targets, revision, past)
    # Records of what is there come first: a new description sets MLflow's time of the version, which tells found from
    # moved by hand.
    work = [*moves.records(), *_descriptions(manifest, bound, before), *moves.proposals(owned)]
    behind = owned is not None and past is not None and _broke_off(bound, before, owned, past)
    # A former name in our record is no reason to write; what is written for another reason has the present one.
    same = (
        owned is not None
        and revision.ours.has_folder(owned.repository)
        and owned.governs_like(replace(final, repository=owned.repository))
    )
    if not registrations and not work and same and not behind and before.called is None:
        return ModelPlan(name)

    governed = Reason(Why.GOVERNED, manifest.model.at)
    proposals = [] if live is not None else [Proposal(CreateModel(name), Reason(Why.DECLARED, manifest.model.at))]
    if before.called is not None:
        at = manifest.formerly.at if manifest.formerly else manifest.model.at
        proposals.append(Proposal(RenameModel(name, before.called), Reason(Why.DECLARED, at)))
    if before.owner != widest:
        renamed = owned is not None and owned.repository != final.repository
        because = Reason(Why.RENAMED) if renamed else governed
        proposals.append(Proposal(Claim(name, before.owner, widest), because))
    proposals.extend(registrations)
    proposals.extend(work)
    if widest != final:
        proposals.append(Proposal(Claim(name, widest, final), governed))
    entering = entrances(manifest, before, (p.change for p in work), past)
    return ModelPlan(
        name,
        tuple(proposals),
        identities=tuple(_identities(work, before, bound)),
        entrances=entering,
        past=past,
        slots=revision.slots,
    )


def _identities(work: Iterable[Proposal], live: ModelSnapshot, bound: _Bound) -> Iterator[Identity]:
    """
    Of what is touched. A copy has its original's, before it is made and after: who agreed to one agreed to the other.
    """
    touched = bound.registered.keys() & bound.copies.keys()
    for proposal in work:
        match proposal.change:
            case TransitionStage(version=version, archives=archives):
                touched.update((version, *archives))
            case (
                SetAlias(after=version)
                | DescribeVersion(version=version)
                | TagVersion(version=version)
                | UntagVersion(version=version)
            ):
                touched.add(version)
            case _:
                pass
    for number in sorted(touched - (bound.registered.keys() - bound.copies.keys())):
        identity, original = live.versions[number].identity, bound.copies.get(number)
        if original is not None and original.elsewhere:
            # Its own run and place, it has of the apply that made it.
            identity = replace(identity, run_id=original.run_id, source=source_digest(original.uri))
        yield identity if original is None else replace(identity, created_at=original.since)


def _union(final: Ownership, owned: Ownership | None) -> Ownership:
    if owned is None:
        return final
    return replace(
        final,
        stages=governed_stages(dict.fromkeys([*final.stages, *owned.stages])),
        aliases=tuple(sorted({*final.aliases, *owned.aliases})),
    )


def _owner_blockers(
    manifest: Manifest, live: ModelSnapshot | None, revision: Revision, *, adopt: bool
) -> Iterator[Blocker]:
    at = manifest.model.at
    if live is None:
        return
    if live.hidden_model:
        yield Blocker(
            "hidden-model",
            f"{live.name} exists, but the registry hides it from searches: it has the tag `mlflow.prompt.is_prompt`.",
            "Remove that tag if it is a model, or this manifest if it is a prompt.",
            at,
        )
    owned = live.owned_by(revision.ours)
    for version, stage in sorted(live.hidden.items()):
        if stage.active and stage in manifest.stages:
            yield _hidden_version(live.name, version, manifest.stages[stage].at)
        elif owned and stage in owned.stages:
            # Whether we put it there, and have to take it back, is in its provenance, which is hidden too.
            yield _hidden_version(live.name, version, at)
    if adopt:
        return
    match live.owner:
        case Ownership(repository=other, commit=commit) if not owned and revision.ours.named(other):
            yield Blocker(
                "owned-by-another-repository",
                f"{live.name} is governed by `{other}`, a former name of this repository, for "
                f"{f'commit {commit[:12]}' if commit else 'no commit'}, which is not on this branch.",
                "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`). If another repository "
                "uses that name now, leave the model to it, or pass --adopt to take it over.",
                at,
            )
        case Ownership(repository=other) if not owned:
            yield Blocker(
                "owned-by-another-repository",
                f"{live.name} is governed by `{other}`; this is `{revision.repository}`.",
                "If that is a former name of this repository, first merge it under `formerly` in reconciler.yaml, in "
                "a separate change. Otherwise pass --adopt to take the model over, or leave it to that repository.",
                at,
            )
        case UnreadableRecord():
            yield Blocker(
                "unreadable-ownership-record",
                f"The ownership record of {live.name} is damaged, or was written by a newer release.",
                "Upgrade, or pass --adopt to rewrite it.",
                at,
            )
        case _:
            pass


def to_rename(
    desired: Mapping[ModelRef, Manifest], models: Mapping[ModelRef, ModelSnapshot], ours: Ours
) -> dict[ModelRef, ModelRef]:
    """
    The models that a plan renames, with what they are called still: the registry has no model of the present name and
    one of a former name, which carries our own record of itself.
    """
    found: dict[ModelRef, ModelRef] = {}
    for name, manifest in desired.items():
        there = [former for former in manifest.former_names if former in models]
        if name not in models and len(there) == 1 and _is_ours(models[there[0]], manifest, ours):
            found[name] = there[0]
    return found


def _is_ours(live: ModelSnapshot, manifest: Manifest, ours: Ours) -> bool:
    """Whether a model carries our own record, by a name that it had, and not a copy of another model's."""
    record = live.owned_by(ours)
    names = {None, *manifest.former_names}
    return record is not None and ours.has_folder(record.repository) and record.model in names


def as_renamed(models: Mapping[ModelRef, ModelSnapshot], renames: Mapping[ModelRef, ModelRef]) -> RegistrySnapshot:
    """These models under the names that they are to have."""
    left = frozenset(renames.values())
    kept = {name: live for name, live in models.items() if name not in left}
    moved = {name: replace(models[former], name=name, called=former) for name, former in renames.items()}
    return RegistrySnapshot(dict(sorted({**kept, **moved}.items())))


def former_name_blockers(
    manifest: Manifest, models: Mapping[ModelRef, ModelSnapshot], revision: Revision
) -> Iterator[Blocker]:
    """Why a model is not renamed by a plan that the registry still has by a former name."""
    there = [name for name in manifest.former_names if name in models]
    for name in there:
        at = manifest.formerly.at if manifest.formerly else manifest.model.at
        message = f"{manifest.name} lists {name} as a former name, but the registry has a model {name}"
        if manifest.name in models:
            yield Blocker(
                "former-name-in-use",
                f"{message} beside {manifest.name}.",
                f"Remove `{name}` from `formerly` if it is another model; else decide which of the two to keep.",
                at,
            )
        elif len(there) > 1:
            yield Blocker(
                "former-name-in-use",
                f"{message}, and more that it lists.",
                "Leave only one of them in `formerly`.",
                at,
            )
        else:
            yield Blocker(
                "former-name-in-use",
                f"{message} that {revision.repository} does not govern.",
                f"To have it renamed, first declare it as {name} and apply that; or rename it in the registry "
                f"(`MlflowClient().rename_registered_model`). Remove `{name}` from `formerly` if it is another model.",
                at,
            )


def _never_called(manifest: Manifest, former: ModelRef) -> Blocker:
    """Anybody can write our record on any model: only trusted history says that it is ours to rename."""
    return Blocker(
        "former-name-in-use",
        f"{manifest.name} lists {former} as a former name, but no commit of this branch declared {former} and gave it "
        f"up for {manifest.name}.",
        f"First declare it as {former} and apply that; then rename it in its manifest, by one commit. Or rename it in "
        "the registry (`MlflowClient().rename_registered_model`).",
        manifest.formerly.at if manifest.formerly else manifest.model.at,
    )


def renamed(
    desired: DesiredState,
    models: Mapping[ModelRef, ModelSnapshot],
    pasts: Mapping[ModelRef, Past],
    *,
    adopt: bool = False,
) -> dict[ModelRef, Blocker]:
    """
    Why models are left as they are because one of them was renamed in the registry, and no manifest says so: the name
    that is declared still, and the one that carries its records. A copy of a record is none where the model itself has
    its own. With `adopt`, what is declared and there is taken for what it is called.
    """
    found: dict[ModelRef, Blocker] = {}
    for name, live in sorted(models.items()):
        before = _name_before(name, live, desired, models, pasts)
        original = None if before is None else desired.models[before]
        if before is None or original is None:
            found |= _unnamed(name, live, desired, models, pasts.get(name))
            continue
        another = f" The {before} that is there now is another one." if before in models else ""
        cure = "Rename it" if name in desired.models else f"Declare {name} with `formerly: {before}`, or rename it"
        blocker = Blocker(
            "renamed-in-registry",
            f"The registered model {name} carries the records of {before}, which this repository declares: it was "
            f"renamed in the registry.{another}",
            f"{cure} back (`MlflowClient().rename_registered_model`). If {name} only has a copy of the tag "
            "`reconciler.owner`, delete it there.",
            original.model.at,
        )
        for one in (before, name):
            if not (adopt and one in models and one in desired.models):
                found.setdefault(one, blocker)
    return found


def _unnamed(
    name: ModelRef,
    live: ModelSnapshot,
    desired: DesiredState,
    models: Mapping[ModelRef, ModelSnapshot],
    past: Past | None,
) -> dict[ModelRef, Blocker]:
    """
    The same where manifests alone gave a model another name, and it is not told which: by several commits that came to
    an apply together, or by taking back the one that had it renamed. Nobody meant to give the model up.
    """
    record = live.owned_by(desired.revision.ours)
    if (
        past is None
        or name in desired.models
        or record is None
        or not desired.revision.ours.has_folder(record.repository)
    ):
        return {}
    gone = [manifest for other, manifest in sorted(desired.models.items()) if other not in models]
    heir = next((manifest for manifest in gone if manifest.name in past.heirs), None)
    other = heir or next((manifest for manifest in gone if past.was_called(manifest.name)), None)
    if other is None:
        return {}
    if heir is not None:
        fix = f"Add {name} to `formerly` of {heir.name}."
    else:
        fix = (
            f"Declare it as {name} again and apply that; then rename it in its manifest, by one commit, with "
            f"`formerly: {name}`."
        )
    blocker = Blocker(
        "renamed-by-manifests",
        f"No manifest declares {name} anymore. This repository's history gives it the name {other.name}, which is "
        f"declared, and of which the registry has no model.",
        f"{fix} To release {name} instead, first remove {other.name} and apply that.",
        other.model.at,
    )
    return {name: blocker, other.name: blocker}


def _name_before(
    name: ModelRef,
    live: ModelSnapshot,
    desired: DesiredState,
    models: Mapping[ModelRef, ModelSnapshot],
    pasts: Mapping[ModelRef, Past],
) -> ModelRef | None:
    """The declared model whose records another one carries, and that has none of its own."""
    ours = desired.revision.ours
    record = live.owned_by(ours)
    if record is None or not ours.has_folder(record.repository):
        return None
    if record.model is None:
        return _name_by_history(name, record, desired, models, pasts)
    own = models[record.model].owned_by(ours) if record.model in models else None
    kept = own is not None and own.model in {None, record.model}
    return None if record.model == name or record.model not in desired.models or kept else record.model


def _name_by_history(
    name: ModelRef,
    record: Ownership,
    desired: DesiredState,
    models: Mapping[ModelRef, ModelSnapshot],
    pasts: Mapping[ModelRef, Past],
) -> ModelRef | None:
    """
    The same for a record that names no model: it is of a commit that did not declare this one, and one that is declared
    and gone has the same slots.
    """
    past = pasts.get(name)
    place = None if past is None or name in desired.models else past.place(record.commit)
    epoch = None if past is None or place is None else past.epoch_at(place)
    if epoch is None or epoch.manifest is not None:
        return None
    gone = (manifest for other, manifest in sorted(desired.models.items()) if other not in models)
    slots = (record.stages, record.aliases)
    return next((m.name for m in gone if (governed_stages(m.stages), tuple(sorted(m.aliases))) == slots), None)


def _hidden_version(name: ModelRef, version: Version, at: Location) -> Blocker:
    return Blocker(
        "hidden-version",
        f"v{version} of {name} exists, but the registry hides it from searches: it, or another version "
        "of the model, has the tag `mlflow.prompt.is_prompt`.",
        "Remove that tag.",
        at,
    )


def _bind(manifest: Manifest, live: ModelSnapshot | None, blockers: list[Blocker]) -> _Bound:
    bound = _Bound()

    def bind(pin: Pin) -> Version | None:
        version = _bound_version(manifest.name, pin, live, blockers, bound.registered)
        if version is None:
            return None
        if pin.original is not None and isinstance(pin.source, Source):
            bound.copies[version] = pin.source
        tags = bound.tags.setdefault(version, {})
        for key, value in pin.tags.items():
            kept, at = tags.setdefault(key, (value, pin.at))
            if kept != value:
                blockers.append(
                    Blocker(
                        "conflicting-tag",
                        f"{pin} is v{version} of {manifest.name}, which has another value of the tag `{key}` at {at}.",
                        "A tag has one value: keep one of the two.",
                        pin.at,
                    )
                )
        if pin.comment is None:
            return version
        comment, at = bound.comments.setdefault(version, (pin.comment, pin.at))
        if comment != pin.comment:
            blockers.append(
                Blocker(
                    "conflicting-comment",
                    f"{pin} is v{version} of {manifest.name}, which has another comment at {at}.",
                    "A version has one description: keep one of the two comments.",
                    pin.at,
                )
            )
        return version

    placed: dict[Version, Stage] = {}
    for stage, declared in manifest.stages.items():
        bound.stages[stage] = {}
        for pin in declared.value:
            version = bind(pin)
            if version is None:
                continue
            if version in placed:
                blockers.append(
                    Blocker(
                        "version-in-two-stages",
                        f"{pin} is v{version}, which {manifest.name} declares in {placed[version]} too.",
                        "A version is in one stage: keep one of the two.",
                        pin.at,
                    )
                )
                continue
            placed[version] = stage
            bound.stages[stage][version] = pin
    for alias, declared in manifest.aliases.items():
        pin = declared.value
        if pin is None:
            bound.aliases[alias] = (None, declared.at)
        elif (version := bind(pin)) is not None:
            bound.aliases[alias] = (version, declared.at)
    return bound


def _bound_version(
    name: ModelRef,
    pin: Pin,
    live: ModelSnapshot | None,
    blockers: list[Blocker],
    registered: dict[Version, tuple[Source, Pin]],
) -> Version | None:
    """
    The version that a pin means. Where none is made of its origin yet, the one that is to be `registered`: with the
    next number, once for each origin.
    """

    def block(code: str, message: str, fix: str) -> None:
        blocker = Blocker(code, message, fix, pin.at)
        if blocker not in blockers:
            blockers.append(blocker)

    versions = live.versions if live else dict[Version, VersionSnapshot]()
    if pin.origin is not None:
        made = sorted(v.version for v in versions.values() if pin.means(v))
        if not made:
            other = next((v for v in versions.values() if pin.names_original_of(v)), None)
            if other is not None and isinstance(pin.source, Source):
                gone = "which was deleted or renamed since"
                said = f"v{other.version} of {name} is a copy of another {pin.original}, {gone}."
                fix = f"Declare v{other.version} by its number, or copy another version."
                if pin.original is not None and pin.original.registry:
                    fix = (
                        f"Copy another version; or remove the tag `{ORIGINAL_TAG}` of v{other.version}, if it is wrong."
                    )
                block("another-original", said, fix)
                return None
            return _registered(pin, live, block, registered)
        # More than one is made of the same files: the first that was registered.
        return _if_ready(name, versions[made[0]], block)
    if live is None:
        block("unknown-model", f"The registry has no model {name}.", f"Register {pin} of {name} first.")
        return None
    version = pin.version
    if version is None:
        found = sorted(v.version for v in versions.values() if v.run_id == pin.run_id)
        if not found:
            block(
                "unknown-run",
                f"No version of {name} comes from run {pin.run_id}.",
                "Register the run's model first, or correct the run.",
            )
            return None
        if len(found) > 1:
            block(
                "ambiguous-run",
                f"{len(found)} versions of {name} come from run {pin.run_id}: {_listed(found)}.",
                "Name the version beside the run.",
            )
            return None
        version = found[0]

    if version in live.hidden:
        blockers.append(_hidden_version(name, version, pin.at))
        return None
    if version not in versions:
        known = f"it has: {_listed(versions)}" if versions else "it has none"
        gone = "" if not versions or version > max(versions) else ", or it was deleted"
        block(
            "unknown-version",
            f"{name} has no version {version}{gone} ({known}).",
            "Register it first, or name one of these." if versions else "Register it first.",
        )
        return None
    found_version = versions[version]
    _if_ready(name, found_version, block)
    if pin.run_id is not None and found_version.run_id != pin.run_id:
        came = f"from run {found_version.run_id}" if found_version.run_id else "from no run"
        block(
            "wrong-run",
            f"v{version} of {name} comes {came}, not from run {pin.run_id}.",
            "Correct the version or the run: what was reviewed must be what is applied.",
        )
    return version


def _if_ready(name: ModelRef, version: VersionSnapshot, block: "Callable[[str, str, str], None]") -> Version:
    if version.status != READY:
        block(
            "version-not-ready",
            f"v{version.version} of {name} is {version.status}, not {READY}.",
            "Wait until its registration is complete, or register it again.",
        )
    return version.version


def _registered(
    pin: Pin,
    live: ModelSnapshot | None,
    block: "Callable[[str, str, str], None]",
    registered: dict[Version, tuple[Source, Pin]],
) -> Version | None:
    """The number of the version that is to be registered from a pin's origin, if something can be."""
    if not isinstance(pin.source, Source):
        lacking = pin.source or NoSource("not-registered", f"No version is made of {pin.origin}.", "Apply first.")
        block(lacking.code, lacking.why, lacking.fix)
        return None
    same = next((number for number, (source, _) in registered.items() if source == pin.source), None)
    if same is not None:
        return same
    known = {*(live.versions if live else ()), *(live.hidden if live else ()), *registered}
    number = Version(1 + max(known, default=0))
    registered[number] = (pin.source, pin)
    return number


def _listed(versions: Iterable[Version], most: int = 8) -> str:
    numbers = sorted(versions)
    shown = ", ".join(str(number) for number in numbers[-most:])
    return shown if len(numbers) <= most else f"… {shown}"


def _targets(
    manifest: Manifest, bound: _Bound, live: ModelSnapshot | None, owned: Ownership | None, revision: Revision
) -> dict[Version, _Target]:
    """Where each version that must not stay as it is, or that is declared, is to end."""
    targets = {
        version: _Target(Reason(Why.DECLARED, pin.at), stage)
        for stage, pins in bound.stages.items()
        for version, pin in pins.items()
    }
    if live is None:
        return targets
    # Stages that the policy has given up for aliases are let go of as they are.
    governed = () if revision.slots.aliases_only or owned is None else owned.stages
    undeclared = set(governed) - manifest.stages.keys()
    for version, snapshot in sorted(live.versions.items()):
        stage = snapshot.stage
        if version in targets or not stage.active:
            continue
        if stage in manifest.stages:
            declared = bound.stages[stage]
            targets[version] = _Target(Reason(Why.DISPLACED, manifest.stages[stage].at, tuple(sorted(declared))))
        elif stage in undeclared and snapshot.placed_by(revision.ours):
            targets[version] = _Target(Reason(Why.UNDECLARED))
    return targets


def _emptied_blockers(
    manifest: Manifest,
    bound: _Bound,
    live: ModelSnapshot,
    targets: Mapping[Version, _Target],
    live_slots: LiveSlots,
) -> Iterator[Blocker]:
    """A live stage is emptied only by a manifest that says so: `Production: []`."""
    for stage in ACTIVE_STAGES:
        there = live.occupants(stage)
        staying = [v for v in there if v not in targets or targets[v].stage is stage]
        # Where it is declared, the manifest says that it is to be empty, or its pins could not be bound, which is said.
        if stage.slot not in live_slots or not there or staying or bound.stages.get(stage) or stage in manifest.stages:
            continue
        moved = next(targets[v].because for v in there)
        which = _listed(there)
        if moved.why is Why.UNDECLARED:
            message = f"No manifest declares {stage} of {live.name} anymore; v{which} is there because one did."
        else:
            message = (
                f"v{which} would leave {stage} of {live.name}, which no manifest declares, and {stage} would be empty."
            )
        yield Blocker(
            "production-would-be-empty",
            message,
            f"Write `{stage}: []` if it should be empty, or name the version that belongs there.",
            moved.at or manifest.model.at,
        )


def _unnamed_blockers(
    manifest: Manifest, live: ModelSnapshot, owned: Ownership | None, slots: SlotMap, past: Past | None
) -> Iterator[Blocker]:
    """A live alias is removed only by a manifest that says so: `champion: null`, or `[]` for the stage that it is."""
    for alias in owned.aliases if owned else ():
        slot = alias_slot(alias)
        gone = alias in live.aliases and alias not in manifest.aliases and _was_governed(past, slot, slots)
        if gone and slot in slots.live_slots:
            stage = slots.stage_of(slot)
            empty = f"aliases: {{{alias}: null}}" if stage is None else f"stages: {{{stage}: []}}"
            yield Blocker(
                "production-would-be-empty",
                f"No manifest declares {slot} of {live.name} anymore, which consumers depend on; it names "
                f"v{live.aliases[alias]} because one did.",
                f"Write `{empty}` if it should be empty, or name the version that belongs there.",
                manifest.model.at,
            )


def _broke_off(bound: _Bound, live: ModelSnapshot, owned: Ownership, past: Past) -> bool:
    """Whether an apply put something where it is and did not get to write down that it was done."""
    applied = past.place(owned.commit)
    places = (
        past.place_of(live.versions[version].provenance.get(slot), live.versions[version])
        for slot, version, _ in bound.slots()
    )
    return applied is not None and any(place is not None and place < applied for place in places)


def _identity_blockers(bound: _Bound, live: ModelSnapshot, past: Past | None) -> Iterator[Blocker]:
    """A number that came to mean another version is not what was declared."""
    for slot, version, at in bound.slots() if past else ():
        if past and is_another(live, slot, version, past):
            yield Blocker(
                "another-version",
                f"v{version} of {live.name} is not the version that was put into {slot}: "
                "the model was registered again.",
                "Remove it from the manifest and apply; then declare the version that you want.",
                at,
            )


def _descriptions(manifest: Manifest, bound: _Bound, live: ModelSnapshot) -> Iterator[Proposal]:
    described = manifest.description
    if described is not None and described.value != live.description:
        yield Proposal(DescribeModel(live.name, live.description, described.value), Reason(Why.DECLARED, described.at))
    for key, declared in sorted(manifest.tags.items()):
        if live.tags.get(key) != declared.value:
            yield Proposal(
                TagModel(live.name, key, live.tags.get(key), declared.value), Reason(Why.DECLARED, declared.at)
            )
    for version, (comment, at) in sorted(bound.comments.items()):
        before = live.versions[version].description
        if before != comment:
            yield Proposal(DescribeVersion(live.name, version, before, comment), Reason(Why.DECLARED, at))
    governed = Reason(Why.GOVERNED, manifest.model.at)
    for number, version in sorted(live.versions.items()):
        yield from _tags(live.name, version, bound.tags.get(number, {}), governed)


def _tags(
    name: ModelRef, live: VersionSnapshot, declared: Mapping[str, tuple[str, Location]], governed: Reason
) -> Iterator[Proposal]:
    """The tags that a version is to have, and without those that a manifest set once and does not declare anymore."""
    number, final = live.version, frozenset(declared) | (live.tagged & live.unset)
    widest = final | live.tagged
    if widest != live.tagged:
        yield Proposal(RecordTags(name, number, tuple(sorted(live.tagged)), tuple(sorted(widest))), governed)
    for key, (value, at) in sorted(declared.items()):
        if live.tags.get(key) != value:
            yield Proposal(TagVersion(name, number, key, live.tags.get(key), value), Reason(Why.DECLARED, at))
    for key in sorted(live.tagged - final):
        if key in live.tags:
            yield Proposal(UntagVersion(name, number, key, live.tags[key]), Reason(Why.UNDECLARED))
    if widest != final:
        yield Proposal(RecordTags(name, number, tuple(sorted(widest)), tuple(sorted(final))), governed)


class _Moves:
    """The moves of one model in an order that keeps live slots occupied; walks a private copy of the live stages."""

    def __init__(
        self,
        manifest: Manifest,
        bound: _Bound,
        live: ModelSnapshot,
        targets: Mapping[Version, _Target],
        revision: Revision,
        past: Past | None,
    ) -> None:
        self.manifest = manifest
        self.bound = bound
        self.live = live
        self.targets = targets
        self.revision = revision
        self.past = past
        self.stage_now = {version: snapshot.stage for version, snapshot in live.versions.items()}
        self.unrecorded = self._placements()
        self.out: list[Proposal] = []

    def records(self) -> list[Proposal]:
        """
        The records of what is in a slot already and not yet known to be there by this declaration: what is found at
        adoption, what was moved by hand and is now declared, what an older release put there.
        """
        unknown = tuple(self._unknown())
        for slot, version in unknown:
            self._note(version, slot)
        unsigned = tuple(self._unsigned())
        for version, record in unsigned:
            self.unrecorded.setdefault(version, []).append(record)
        for version in sorted({*(version for _, version in unknown), *(version for version, _ in unsigned)}):
            self._record(version)
        out, self.out = self.out, []
        return out

    def _unsigned(self) -> Iterator[tuple[Version, Placement]]:
        """The records of before signers were named that git bears out, to be signed as they are."""
        past = self.past
        if past is None or past.signers_since is None or past.sealed:
            return
        for number, version in self.live.versions.items():
            written = {placement.slot for placement in self.unrecorded.get(number, ())}
            for slot, record in version.provenance.items():
                counts = not record.proven and past.place_of(record, version) is not None
                if counts and slot not in written and slot.active:
                    yield number, self._signed_anew(version, record)

    def _unknown(self) -> Iterator[tuple[Slot, Version]]:
        for slot, version, _ in self.bound.slots() if self.past else ():
            if self.past and version in occupants(self.live, slot) and not self.past.recorded(self.live, slot, version):
                yield slot, version

    def proposals(self, owned: Ownership | None) -> list[Proposal]:
        entering = self._entrants(live=False)
        # New blood enters Staging first, so that the version that leaves it for Production leaves it occupied. One that
        # comes down from a live stage has to wait: a cycle is broken at Staging, never at Production.
        for version in entering:
            if not self._is_live(self.live.versions[version].stage):
                self._move(version)
        for version in self._entrants(live=True):
            self._move(version)
        for version in entering:
            self._move(version)
        for version in sorted(self.targets, key=lambda v: (self.targets[v].stage is not Stage.ARCHIVED, v)):
            self._move(version)
        self._set_aliases()
        self._delete_aliases(owned)
        return self.out

    def _is_live(self, stage: Stage) -> bool:
        return stage.slot in self.revision.live_slots

    def _entrants(self, *, live: bool) -> list[Version]:
        """The versions that come into active stages, into those that are live or into the others."""
        return [
            version
            for version, target in sorted(self.targets.items())
            if target.stage.active and self._is_live(target.stage) is live
            if target.stage is not self.stage_now[version]
        ]

    def _move(self, version: Version) -> None:
        before, target = self.stage_now[version], self.targets[version]
        if before is target.stage:
            return
        others = tuple(v for v, stage in sorted(self.stage_now.items()) if stage is target.stage and v != version)
        exclusive = self._exclusive(target.stage, others)
        archives = others if exclusive else ()
        for moved in (*archives, version):
            self._record(moved)
        transition = TransitionStage(
            self.live.name,
            version,
            before,
            target.stage,
            exclusive,
            archives,
        )
        self.out.append(Proposal(transition, target.because, self.targets[archives[0]].because if archives else None))
        self.stage_now[version] = target.stage
        for archived in archives:
            self.stage_now[archived] = Stage.ARCHIVED

    def _exclusive(self, stage: Stage, others: tuple[Version, ...]) -> bool:
        """
        Whether the entry is MLflow's swap. Where a live stage is for one version, always: two are then never there,
        whatever else goes wrong. Elsewhere only if all that it archives belongs into Archived, so that nothing that
        goes from Staging to Production passes through Archived on the way.
        """
        if len(self.bound.stages.get(stage, ())) != 1 or not stage.active:
            return False
        return self._is_live(stage) or all(
            v in self.targets and self.targets[v].stage is Stage.ARCHIVED for v in others
        )

    def _placements(self) -> dict[Version, list[Placement]]:
        """What is to be recorded of each version that moves or that an alias comes to name: once, before it does."""
        self.unrecorded = dict[Version, list[Placement]]()
        for version, target in sorted(self.targets.items()):
            if self.stage_now[version] is not target.stage:
                self._note(version, target.stage.slot)
        for alias, (version, _) in sorted(self.bound.aliases.items()):
            named = self.live.aliases.get(alias)
            if version is not None and version != named:
                self._note(version, alias_slot(alias))
            if named is not None and version != named:
                self._note_left(named, alias_slot(alias))
        return self.unrecorded

    def _note_left(self, number: Version, slot: Slot) -> None:
        """That an alias stops naming a version, beside our record that it did: for a stage the next stage says it."""
        version, past = self.live.versions.get(number), self.past
        record = version.provenance.get(slot) if version else None
        if version and record and past and not record.left and past.place_of(record, version) is not None:
            self.unrecorded.setdefault(number, []).append(self._signed_anew(version, replace(record, left=True)))

    def _signed_anew(self, version: VersionSnapshot, record: Placement) -> Placement:
        """What is known of a placement, to be signed by the key of today."""
        past = self.past
        registry, workspace = (past.registries[0], past.workspace) if past else (record.registry, record.workspace)
        identified = replace(record, identity=version.identity, registry=registry, workspace=workspace)
        return replace(identified, sequence=_next(version), seal=None, proven=True)

    def _note(self, version: Version, slot: Slot) -> None:
        past, known = self.past, self.live.versions[version]
        if past is not None and past.recorded(self.live, slot, version):
            # It is being put back: how it came there is recorded. MLflow keeps no time of an alias, so there a record
            # says since when; one from before the move would count the time in which it named something else.
            if slot.stage is None:
                again = replace(known.provenance[slot], applied_at="", left=False)
                self.unrecorded.setdefault(version, []).append(self._signed_anew(known, again))
            return
        repository, commit, author = self.revision.repository, self.revision.commit, self.revision.author
        before = before_move(self.live, slot, version)
        placement = Placement(slot, repository, commit, before, author, sequence=_next(known))
        if past is not None:
            placement = replace(
                placement,
                found=version in occupants(self.live, slot),
                identity=known.identity,
                registry=past.registries[0],
                workspace=past.workspace,
                proven=True,
            )
        self.unrecorded.setdefault(version, []).append(placement)

    def _record(self, version: Version) -> None:
        placements = self.unrecorded.pop(version, None)
        if placements:
            before = self.live.versions[version].provenance
            self.out.append(
                Proposal(
                    RecordProvenance(self.live.name, version, before, tuple(placements)),
                    Reason(Why.GOVERNED, self.manifest.model.at),
                )
            )

    def _set_aliases(self) -> None:
        for alias, (version, at) in sorted(self.bound.aliases.items()):
            before = self.live.aliases.get(alias)
            if version is not None and version != before:
                if before is not None:
                    self._record(before)
                self._record(version)
                self._keep_previous(alias, before, at)
                self.out.append(Proposal(SetAlias(self.live.name, alias, before, version), Reason(Why.DECLARED, at)))

    def _keep_previous(self, alias: AliasName, before: Version | None, at: Location) -> None:
        """
        What an alias names is kept by another one before it leaves: whoever plans again after a crash in between finds
        the same to do. Where nothing leaves, that one stays where it is, for nothing declares what it names; and where
        somebody else put there what leaves, it is not kept.
        """
        previous = self.revision.slots.previous_of(alias)
        leaving = None if before is None else self.live.versions.get(before)
        if previous is None or before is None or leaving is None:
            return
        record = leaving.provenance.get(alias_slot(alias))
        if self.past is not None and self.past.place_of(record, leaving) is None:
            return
        if any(hold.version == before and hold.slot in {None, alias_slot(previous)} for hold in self.manifest.holds):
            return
        named = self.live.aliases.get(previous)
        if named != before:
            because = Reason(Why.LEFT, at, (before,))
            self.out.append(Proposal(SetAlias(self.live.name, previous, named, before), because))

    def _delete_aliases(self, owned: Ownership | None) -> None:
        for alias, before in sorted(self.live.aliases.items()):
            if alias in self.bound.aliases:
                version, at = self.bound.aliases[alias]
                because = Reason(Why.DECLARED, at) if version is None else None
            else:
                governed = _was_governed(self.past, alias_slot(alias), self.revision.slots)
                was_ours = owned is not None and alias in owned.aliases and governed
                because = Reason(Why.UNDECLARED) if was_ours else None
            if because is not None:
                self._record(before)
                self.out.append(Proposal(DeleteAlias(self.live.name, alias, before), because))


def _was_governed(past: Past | None, slot: Slot, slots: SlotMap) -> bool:
    """
    Whether git declared an alias once, as far as it is known: our own record is anybody's to write. One that stood for
    a stage, and does not anymore, is let go of as it is.
    """
    if past is None or not past.whole:
        return True
    declared = (e.manifest.aliases.get(slot.alias) for e in past.epochs if e.manifest and slot.alias is not None)
    last = next((one for one in declared if one is not None), None)
    return last is not None and last.stage in {"", slots.stage_of(slot)}


def _next(version: VersionSnapshot) -> int:
    return 1 + max((placement.sequence for placement in version.provenance.values()), default=0)


def leftover(
    manifest: Manifest | None,
    live: ModelSnapshot | None,
    revision: Revision,
    changes: Iterable[Change],
    name: ModelRef,
    past: Past | None = None,
) -> tuple[Change, ...]:
    """What would still be to do after the calls: empty, or the plan is wrong."""
    return diff(manifest, simulate_all(live, changes), revision, name=name, adopt=True, past=past).changes
