"""The plan: every model's calls, what is blocked, what the safeties say, and the proof that it does what it claims."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias, assert_never

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
    simulate,
    simulate_all,
)
from reconciler.core.desired import DesiredState, Manifest, Revision
from reconciler.core.diff import (
    UNAPPROVED,
    Blocker,
    ModelPlan,
    Proposal,
    Reason,
    Why,
    diff,
    former_name_blockers,
    leftover,
    renamed,
)
from reconciler.core.entrances import occupants
from reconciler.core.gate import Kind
from reconciler.core.names import (
    ACTIVE_STAGES,
    LIVE,
    LiveSlots,
    ModelRef,
    Slot,
    Stage,
    TagKey,
    Version,
    VersionTag,
    alias_slot,
)
from reconciler.core.past import Past, pins_of
from reconciler.core.snapshot import ModelSnapshot, Ownership, RegistrySnapshot, UnreadableRecord
from reconciler.core.text import did_you_mean, some
from reconciler.errors import BlockedError, Failure, ReconcilerError, StaleError, contained


@dataclass(frozen=True, slots=True)
class Limits:
    """
    When a plan is too much to carry out without being asked twice: it moves what is in a live slot of more than
    `share` of the governed models, and of at least `models` of them. octoDNS has MAX_SAFE_UPDATE_PCENT and
    MIN_EXISTING_RECORDS for this.
    """

    share: float = 0.30
    models: int = 10


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the person who asks for a plan may widen or narrow. `targets` empty means every model."""

    targets: tuple[str, ...] = ()
    adopt: bool = False
    force: bool = False
    allow_empty: bool = False
    limits: Limits = Limits()


class Verb(StrEnum):
    """What a change means to the people who read it."""

    CREATE = "create"
    RENAME = "rename"
    REGISTER = "register"
    COPY = "copy"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    RESTORE = "restore"
    ADMIT = "admit"
    FIND = "find"
    DEMOTE = "demote"
    ARCHIVE = "archive"
    UNSTAGE = "unstage"
    SET_ALIAS = "set alias"
    MOVE_ALIAS = "move alias"
    DELETE_ALIAS = "delete alias"
    DESCRIBE = "describe"
    TAG = "tag"
    UNTAG = "untag"
    CLAIM = "claim"
    ADOPT = "adopt"
    RELEASE = "release"


Subject: TypeAlias = Version | Slot | TagKey | VersionTag | None
"""What an effect is about: a version, an alias by its slot, a tag, or None for the model itself."""

Value: TypeAlias = Version | Stage | tuple[Slot, ...] | str | UnreadableRecord | None
"""
What there is before or after an effect: the version that an alias names, a version's stage, the slots that are
governed, or the text of a description, a tag or a name. None: nothing is there.
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What a reader sees of a plan: one thing that is different afterwards. A version that passes through Archived inside
    MLflow's swap is one effect, from where it was to where it ends, and `through` says so. `change` is the call that
    does it.
    """

    model: ModelRef
    verb: Verb
    subject: Subject
    before: Value
    after: Value
    because: Reason
    change: Change
    through: Stage | None = None

    @property
    def slot(self) -> Slot | None:
        """The slot in which something else is afterwards."""
        if isinstance(self.subject, Slot):
            return self.subject
        return self.after.slot if isinstance(self.after, Stage) else None


@dataclass(frozen=True, slots=True)
class Summary:
    """
    The figures of the last line. Promotions, archivals and roll-backs count versions; what is left is `other`. `kinds`
    are all of these by their verb, in the order of verbs and without those that there are none of.
    """

    promote: int = 0
    archive: int = 0
    roll_back: int = 0
    aliases: int = 0
    other: int = 0
    unchanged: int = 0
    blocked: int = 0
    kinds: tuple[tuple[Verb, int], ...] = ()


NO_PASTS: Mapping[ModelRef, Past] = {}

MODEL_DIGEST = 20
"""Hexadecimal digits of a model's own digest: 80 bits."""


class Status(StrEnum):
    IN_SYNC = "in sync"
    READY = "ready"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What would be done, to which revision's end. `models` holds those with calls or blockers only, and `undeclared`
    names those of them that no manifest declares, which are not among the `governed` ones; `safeties` are reasons to
    refuse the plan as a whole.
    """

    revision: Revision
    options: PlanOptions
    models: tuple[ModelPlan, ...]
    governed: int
    safeties: tuple[Blocker, ...] = ()
    fingerprint: str = ""
    undeclared: frozenset[ModelRef] = frozenset()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The calls of the models that nothing blocks: what an apply makes."""
        return tuple(change for model in self.models if not model.blocked for change in model.changes)

    @property
    def blocked(self) -> bool:
        return bool(self.safeties) or any(model.blocked for model in self.models)

    @property
    def status(self) -> Status:
        if self.blocked:
            return Status.BLOCKED
        return Status.READY if self.changes else Status.IN_SYNC

    @property
    def digest(self) -> str:
        """
        What was reviewed, as one word: equal digests ask for the same calls on the same versions. The commit, the
        reasons and our records of them are left out, so that a merge or a moved line does not make it another plan.
        """
        return digest_of(self.models)

    @property
    def model_digests(self) -> frozenset[str]:
        """The digests of the models that have calls, each by itself and cut to what still tells them apart."""
        return frozenset(digest_of([model])[:MODEL_DIGEST] for model in self.models if needs_review(model))

    @property
    def summary(self) -> Summary:
        seen = {model.model: effects_of(model) for model in self.models}
        effects = [effect for model in self.models if not model.blocked for effect in seen[model.model]]
        back = [effect for effect in effects if effect.verb is Verb.ROLL_BACK]
        # An alias that is promoted stands for a stage that the registry does not have.
        versions = [e for e in effects if not isinstance(e.change, SetAlias | DeleteAlias) or e.verb is Verb.PROMOTE]
        count = {verb: sum(effect.verb is verb for effect in versions) for verb in Verb}
        named = (Verb.PROMOTE, Verb.ARCHIVE, Verb.ROLL_BACK)
        roll_back = len({(e.model, e.after if isinstance(e.subject, Slot) else e.subject) for e in back})
        kinds = {**count, Verb.ROLL_BACK: roll_back}
        order = (*named, *(verb for verb in Verb if verb not in named))
        return Summary(
            promote=count[Verb.PROMOTE],
            archive=count[Verb.ARCHIVE],
            roll_back=roll_back,
            aliases=len(effects) - len(versions),
            other=len(versions) - sum(count[verb] for verb in named),
            unchanged=self.governed
            - len({m.model for m in self.models if m.blocked or seen[m.model]} - self.undeclared),
            blocked=sum(model.blocked for model in self.models),
            kinds=tuple((verb, kinds[verb]) for verb in order if kinds[verb]),
        )


class UnsoundPlanError(BlockedError):
    """The plan would break a promise of its own: a fault of ours, found before anything was written."""


class StalePlanError(StaleError):
    """What would be done now is not what was reviewed; carries the plan as it is now."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("The registry changed since the plan was made.", "Plan again, and review the new plan.")
        self.plan = plan


def build_plan(
    desired: DesiredState,
    snapshot: RegistrySnapshot,
    options: PlanOptions = PlanOptions(),
    pasts: Mapping[ModelRef, Past] = NO_PASTS,
) -> Plan:
    """
    The one plan for this desired state, this snapshot and what trusted history says of each model, proven by replay. In
    the snapshot, what is to be renamed has its new name already. Raises BlockedError where nothing is declared but the
    registry holds models of ours.
    """
    repository, ours = desired.revision.repository, desired.revision.ours
    # What is to be renamed in the registry is not given up.
    former = {name for manifest in desired.models.values() for name in manifest.former_names}
    orphans = snapshot.orphans(ours, desired.models) - former
    strays = renamed(desired, snapshot.models, pasts, adopt=options.adopt)
    if not desired.models and orphans and not options.allow_empty:
        raise BlockedError(
            f"No manifest declares anything, but the registry holds {len(orphans)} models that `{repository}` governs: "
            f"{some(sorted(orphans))}.",
            "Check that this is the right manifest folder. To release all of them, pass --allow-empty.",
        )
    _refuse_unknown_targets(options.targets, desired.models.keys() | orphans)
    names = sorted(name for name in desired.models.keys() | orphans if not options.targets or name in options.targets)
    models: list[ModelPlan] = []
    for name in names:
        manifest, live = desired.models.get(name), snapshot.models.get(name)
        model = _proven(manifest, live, desired.revision, name, options, pasts.get(name))
        if manifest is not None and (taken := tuple(former_name_blockers(manifest, snapshot.models, desired.revision))):
            model = ModelPlan(name, blockers=(*taken, *(b for b in model.blockers if b.code != "unknown-model")))
        if name in strays:
            model = ModelPlan(name, blockers=(strays[name],))
        if model.proposals or model.blocked:
            models.append(model)
    undeclared = frozenset(names) - desired.models.keys() - strays.keys()
    governed = len(names) - len(undeclared)
    return Plan(
        revision=desired.revision,
        options=options,
        models=tuple(models),
        governed=governed,
        safeties=tuple(_mass_change(models, governed, snapshot, options, desired.revision.live_slots)),
        fingerprint=fingerprint(snapshot.models.get(model.model) for model in models),
        undeclared=undeclared,
    )


def _proven(
    manifest: Manifest | None,
    live: ModelSnapshot | None,
    revision: Revision,
    name: ModelRef,
    options: PlanOptions,
    past: Past | None,
) -> ModelPlan:
    """One model's plan, with its proof. Where there is none, that model is blocked, and no other."""

    def made() -> ModelPlan:
        model = diff(manifest, live, revision, name=name, adopt=options.adopt, past=past)
        prove(model, manifest, live, revision, past)
        return model

    model = contained(made)
    if not isinstance(model, Failure):
        return model
    at = None if manifest is None else manifest.model.at
    return ModelPlan(name, blockers=(Blocker("not-planned", f"{name} cannot be planned: {model.why}.", "", at),))


def _refuse_unknown_targets(targets: Iterable[str], known: Set[ModelRef]) -> None:
    for target in targets:
        if target not in known:
            fix = did_you_mean(target, known, "Correct the name; it is case-sensitive.")
            raise ReconcilerError(f"No manifest declares {target}, and this repository does not own it.", fix)


def prove(
    model: ModelPlan,
    manifest: Manifest | None,
    live: ModelSnapshot | None,
    revision: Revision,
    past: Past | None = None,
) -> None:
    """
    Replay the calls on the snapshot and check every prefix: a live slot is never found empty unless it was or is to be,
    never holds two where one is declared, other stages and aliases do not vanish on the way, and nothing is left to do
    at the end. Raises UnsoundPlanError.
    """
    if not model.changes:
        return
    states = list(_prefixes(live, model.changes))
    if broken := broken_promise(manifest, states, revision.live_slots):
        raise UnsoundPlanError(f"The plan for {model.model} would break a promise: {broken}.", "Please report this.")
    if rest := leftover(manifest, live, revision, model.changes, model.model, past):
        raise UnsoundPlanError(f"The plan for {model.model} would be incomplete: {rest[0]}.", "Please report this.")


def broken_promise(
    manifest: Manifest | None, states: Sequence[ModelSnapshot], live_slots: LiveSlots = LIVE
) -> str | None:
    """The first promise that a run through these states breaks, in words, or None."""
    first, last = states[0], states[-1]
    relieved: set[Version] = set()
    for slot in sorted(live_slots):
        crowds = [occupants(state, slot) for state in states]
        relieved.update(crowds[0])
        if broken := _broken_for_consumers(manifest, slot, crowds):
            return broken
    for stage in ACTIVE_STAGES:
        staged = [state.occupants(stage) for state in states]
        entering = set(staged[-1]) - set(staged[0])
        # One that comes down from a live slot has to wait there until it is relieved.
        trading = bool(entering) and entering <= relieved
        if stage.slot not in live_slots and staged[0] and staged[-1] and not all(staged) and not trading:
            return f"{stage} would be empty for a moment"
    for alias in sorted(first.aliases.keys() & last.aliases.keys()):
        if not all(alias in state.aliases for state in states):
            return f"{alias_slot(alias)} would be missing for a moment"
    return None


def _broken_for_consumers(manifest: Manifest | None, slot: Slot, crowds: Sequence[tuple[Version, ...]]) -> str | None:
    """What goes wrong for those who look a live slot up, given who is in it from call to call."""
    pins = pins_of(manifest, slot)
    to_be_empty = manifest is not None and slot in manifest.slots and not pins
    if crowds[0] and not all(crowds) and not (to_be_empty and not crowds[-1]):
        return f"{slot} would be empty for a moment"
    if len(pins) == 1:
        for before, after in pairwise(crowds):
            if len(after) > max(1, len(before)):
                return f"{slot} would hold {len(after)} versions for a moment where one is declared"
    return None


def _prefixes(live: ModelSnapshot | None, changes: Iterable[Change]) -> Iterable[ModelSnapshot]:
    if live is not None:
        yield live
    for change in changes:
        live = simulate(live, change)
        yield live


def _mass_change(
    models: Iterable[ModelPlan],
    governed: int,
    snapshot: RegistrySnapshot,
    options: PlanOptions,
    live_slots: LiveSlots,
) -> Iterable[Blocker]:
    moved = [m.model for m in models if _moves_what_is_live(m, snapshot.models.get(m.model), live_slots)]
    limit = options.limits
    if options.force or len(moved) < limit.models or len(moved) <= limit.share * governed:
        return
    yield Blocker(
        "mass-change",
        f"This would change what {len(moved)} of {governed} governed models have in {' or '.join(sorted(live_slots))} "
        f"({len(moved) / governed:.0%}); the limit is {limit.share:.0%} for {limit.models} or more models.",
        "Pass --force if that is intended, or raise the limit with --max-change-percent "
        "(RECONCILER_MAX_CHANGE_PERCENT).",
    )


def _moves_what_is_live(model: ModelPlan, live: ModelSnapshot | None, live_slots: LiveSlots) -> bool:
    """Whether consumers of a live slot that is occupied find something else in it afterwards."""
    after = simulate_all(live, model.changes)
    if live is None or after is None:
        return False
    crowds = [(occupants(live, slot), occupants(after, slot)) for slot in live_slots]
    # Whoever looks a model up by the name that it had finds nothing.
    return any(there and (there != then or live.called is not None) for there, then in crowds)


def effects_of(model: ModelPlan) -> tuple[Effect, ...]:
    """
    What a reader sees of one model's calls, in the order of the calls that bring it about, and of what is newly
    declared where it is already.
    """
    of_calls = (effect for proposal in model.proposals for effect in _effects(proposal, model))
    return (*of_calls, *_unmoved_effects(model))


def _unmoved_effects(model: ModelPlan) -> Iterable[Effect]:
    for entrance in model.entrances:
        if entrance.moves:
            continue
        proposal = next(
            p
            for p in model.proposals
            if isinstance(p.change, RecordProvenance) and p.change.version == entrance.candidate
        )
        verb = _ENTERS.get(entrance.kind, Verb.ADMIT)
        version, slot, because, change = entrance.candidate, entrance.slot, proposal.because, proposal.change
        if slot.stage is not None:
            yield Effect(model.model, verb, version, slot.stage, slot.stage, because, change)
        else:
            yield Effect(model.model, verb, slot, version, version, because, change)


_ENTERS = {Kind.ROLLBACK: Verb.ROLL_BACK, Kind.RESTORATION: Verb.RESTORE, Kind.FOUND: Verb.FIND}
"""What an entrance of a kind is called; a new one by what it does."""


def _enters(model: ModelPlan, version: Version, slot: Slot) -> Verb | None:
    kinds = [e.kind for e in model.entrances if (e.candidate, e.slot) == (version, slot) and e.moves]
    return _ENTERS.get(kinds[0]) if kinds else None


def _effects(proposal: Proposal, model: ModelPlan) -> Iterable[Effect]:
    change, because = proposal.change, proposal.because

    def effect(verb: Verb, subject: Subject, before: Value, after: Value) -> Effect:
        return Effect(model.model, verb, subject, before, after, because, change)

    match change:
        case CreateModel():
            yield effect(Verb.CREATE, None, None, change.model)
        case RenameModel():
            yield effect(Verb.RENAME, None, change.before, change.model)
        case RegisterVersion():
            verb = Verb.REGISTER if change.original is None else Verb.COPY
            yield effect(verb, change.version, None, _origin(change))
        case Release():
            yield effect(Verb.RELEASE, None, change.before.repository, None)
        case Claim():
            yield from _claim_effects(change, because, model)
        case DescribeModel():
            yield effect(Verb.DESCRIBE, None, change.before, change.after)
        case TagModel():
            yield effect(Verb.TAG, TagKey(change.key), change.before, change.after)
        case DescribeVersion():
            yield effect(Verb.DESCRIBE, change.version, change.before, change.after)
        case TagVersion():
            yield effect(Verb.TAG, VersionTag(change.version, change.key), change.before, change.after)
        case UntagVersion():
            yield effect(Verb.UNTAG, VersionTag(change.version, change.key), change.before, None)
        case RecordProvenance() | RecordTags():
            pass
        case TransitionStage():
            yield from _stage_effects(proposal, change, model)
        case SetAlias():
            yield effect(_alias_verb(change, model), alias_slot(change.alias), change.before, change.after)
        case DeleteAlias():
            yield effect(Verb.DELETE_ALIAS, alias_slot(change.alias), change.before, None)
        case _:
            assert_never(change)


def _alias_verb(change: SetAlias, model: ModelPlan) -> Verb:
    """A live alias that moves with no stage is what consumers load from: its versions are promoted."""
    slot = alias_slot(change.alias)
    if (entered := _enters(model, change.after, slot)) is not None:
        return entered
    if slot in model.live_slots and model.slots.twin_of(slot) is None:
        return Verb.PROMOTE
    return Verb.SET_ALIAS if change.before is None else Verb.MOVE_ALIAS


def _claim_effects(change: Claim, because: Reason, model: ModelPlan) -> Iterable[Effect]:
    """
    What is governed before and after all of it, said once: a record that is widened first and narrowed last, or that
    only follows its model's other changes, says nothing new in between.
    """
    claims = [c for c in model.changes if isinstance(c, Claim)]
    if change is not claims[0]:
        return
    before, after = change.before, claims[-1].after
    if isinstance(before, Ownership) and because.why is Why.RENAMED:
        yield Effect(model.model, Verb.CLAIM, None, before.repository, after.repository, because, change)
        before = replace(before, repository=after.repository)
    if before is None:
        yield Effect(model.model, Verb.CLAIM, None, None, _governed(after), because, change)
    elif isinstance(before, UnreadableRecord) or before.repository != after.repository:
        owner = before if isinstance(before, UnreadableRecord) else before.repository
        yield Effect(model.model, Verb.ADOPT, None, owner, after.repository, because, change)
    elif not before.governs_like(after):
        yield Effect(model.model, Verb.CLAIM, None, _governed(before), _governed(after), because, change)


def _governed(owner: Ownership) -> tuple[Slot, ...]:
    return (*(stage.slot for stage in owner.stages), *map(alias_slot, owner.aliases))


def _stage_effects(proposal: Proposal, change: TransitionStage, model: ModelPlan) -> Iterable[Effect]:
    moves = [c for c in model.changes if isinstance(c, TransitionStage)]
    own = {c.version for c in moves}
    swapped = next((c.after for c in moves[: moves.index(change)] if change.version in c.archives), None)
    before = swapped or change.before
    yield Effect(
        model.model,
        _enters(model, change.version, change.after.slot) or _stage_verb(before, change, model.live_slots),
        change.version,
        before,
        change.after,
        proposal.because,
        change,
        through=change.before if swapped else None,
    )
    for version in change.archives:
        if version not in own:
            because = proposal.archives_because or proposal.because
            yield Effect(model.model, Verb.ARCHIVE, version, change.after, Stage.ARCHIVED, because, change)


def _stage_verb(before: Stage, change: TransitionStage, live_slots: LiveSlots) -> Verb:
    match change.after:
        case Stage.ARCHIVED:
            return Verb.ARCHIVE
        case Stage.NONE:
            return Verb.UNSTAGE
        case after if before.slot in live_slots and after.slot not in live_slots:
            return Verb.DEMOTE
        case _:
            return Verb.PROMOTE


def digest_of(models: Iterable[ModelPlan]) -> str:
    """
    The digest of some models' calls and blockers; see Plan.digest. That a copy is made first is in its identity: it is
    no other plan when it was made already, by an apply that broke off.
    """
    essence = [
        [
            model.model,
            [_essence(c) for c in model.changes if _counts(c) and not _is_copied(c)],
            sorted(b.code for b in model.blockers if b.code != UNAPPROVED),
            [asdict(identity) for identity in model.identities],
            [[e.candidate, e.slot, e.kind] for e in model.entrances if not e.moves],
        ]
        for model in models
        if model.proposals or any(b.code != UNAPPROVED for b in model.blockers)
    ]
    return _sha256(essence)


def fingerprint(models: Iterable[ModelSnapshot | None]) -> str:
    """What some models looked like, as one word: any difference that a plan could depend on makes it another one."""
    return _sha256([None if model is None else _state(model) for model in models])


def needs_review(model: ModelPlan) -> bool:
    """Whether a model's calls do something that a reviewer is to see, besides our own records."""
    return any(_counts(change) for change in model.changes) or bool(model.entrances)


def _counts(change: Change) -> bool:
    if isinstance(change, RecordProvenance | RecordTags):
        return False
    if isinstance(change, Claim) and change.before is not None:
        return not isinstance(change.before, type(change.after)) or not change.before.governs_like(change.after)
    return True


def _is_copied(change: Change) -> bool:
    return isinstance(change, RegisterVersion) and change.original is not None


def _origin(change: RegisterVersion) -> str:
    """What a version is made of, for readers: `run 8c1f0c9d (finished 2026-11-20, f1 0.91)`."""
    return f"{change.made_of} ({change.about})" if change.about else change.made_of


def _essence(change: Change) -> list[object]:
    facts = asdict(change)
    facts.pop("about", None)
    for record in ("before", "after"):
        if isinstance(facts.get(record), dict):
            facts[record].pop("commit", None)
    return [type(change).__name__, facts]


def _state(model: ModelSnapshot) -> list[object]:
    def version(number: Version) -> list[object]:
        v = model.versions[number]
        tags = [sorted(v.tags.items()), sorted(v.tagged)] if v.tags or v.tagged else []
        return [v.version, v.stage, v.status, v.run_id, v.description, v.created_at, *tags]

    owner = model.owner and asdict(model.owner)
    aliases = sorted(model.aliases.items())
    return [
        model.name,
        *([model.called] if model.called is not None else []),
        model.description,
        sorted(model.tags.items()),
        aliases,
        [version(v) for v in sorted(model.versions)],
        owner,
    ]


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
