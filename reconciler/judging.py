"""What the rules that stand say of a plan: every version that it moves into a guarded slot is put before its gates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from reconciler.budget import Budget, Share
from reconciler.core.approval import counted, eligible, in_time
from reconciler.core.changes import SetAlias, simulate_all
from reconciler.core.desired import DesiredState, Hold, Manifest, expired, hold_on
from reconciler.core.diff import UNAPPROVED, Blocker, ModelPlan
from reconciler.core.drift import FilesThen, Replaced, files_then
from reconciler.core.entrances import entrance_of
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    MODEL,
    NOBODY,
    NOW,
    PINNED,
    PRESENT,
    STAGE,
    ChangeFacts,
    Entrance,
    FactKey,
    Facts,
    Guard,
    Kind,
    ModelFacts,
    Override,
    Pinned,
    Ruling,
    Verdict,
    judge_guard,
)
from reconciler.core.likeness import StandingNames, refuse_look_alikes, standing_names
from reconciler.core.names import ACTIVE_STAGES, OUR_TAG_PREFIX, Commit, ModelName, Slot, Stage, Version, alias_slot
from reconciler.core.past import Epoch, Past
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.policy import Policy
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.core.stays import stay_in
from reconciler.core.text import amount, plain
from reconciler.errors import Failure, ReconcilerError, contained
from reconciler.gates.approvals import Approvals
from reconciler.gates.authority import Shift, Side, check_paths, shifts
from reconciler.gates.check import CheckGate
from reconciler.ports import Asked, Reviews, World
from reconciler.trust import Trunk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What the trusted side lays down: the policy of the commit before the change under review, and the owners, tags,
    holds and gates that the manifests of that commit declare. `proposed` is the policy as the change would have it,
    where that is another one; `touched` are files of checks that it changes.
    """

    policy: Policy = Policy()
    proposed: Policy | None = None
    base: Commit | None = None
    owners: Mapping[ModelName, tuple[str, ...]] = field(default_factory=dict[ModelName, tuple[str, ...]])
    tags: Mapping[ModelName, Mapping[str, str]] = field(default_factory=dict[ModelName, Mapping[str, str]])
    touched: frozenset[str] = frozenset()
    names: StandingNames = StandingNames()
    holds: Mapping[ModelName, tuple[Hold, ...]] = field(default_factory=dict[ModelName, tuple[Hold, ...]])
    gates: Mapping[ModelName, Mapping[Slot, tuple[Guard, ...]]] = field(
        default_factory=dict[ModelName, Mapping[Slot, tuple[Guard, ...]]]
    )
    trunk: Trunk | None = None
    beside: tuple["Rules", ...] = ()
    formerly: Mapping[ModelName, tuple[ModelName, ...]] = field(default_factory=dict[ModelName, tuple[ModelName, ...]])
    renames: Mapping[ModelName, tuple[ModelName, ...]] = field(default_factory=dict[ModelName, tuple[ModelName, ...]])
    _older: dict[int, tuple["Rules", ...]] = field(
        default_factory=dict[int, tuple["Rules", ...]], init=False, compare=False, repr=False
    )

    def called(self, renames: Mapping[ModelName, tuple[ModelName, ...]]) -> "Rules":
        """The same, with what the trusted manifests say of a model that was renamed under the name that it has now."""
        if not renames:
            return self

        def now(before: Mapping[ModelName, T]) -> dict[ModelName, T]:
            found = dict(before)
            for name, names in renames.items():
                former = next((one for one in names if one in found), None)
                if name not in found and former is not None:
                    found[name] = found.pop(former)
            return found

        return replace(
            self,
            owners=now(self.owners),
            tags=now(self.tags),
            holds=now(self.holds),
            gates=now(self.gates),
            formerly=now(self.formerly),
            beside=tuple(rules.called(renames) for rules in self.beside),
            renames=renames,
        )

    def guards(self, policy: Policy, live: ModelSnapshot, slot: Slot, manifest: Manifest | None) -> tuple[Guard, ...]:
        """
        The gates of a policy before a slot. A rule is about a model by its tags in the registry, by those that the
        trusted manifests declare, and by those of the change, and by former names of these as by its own: nobody who
        tags or renames a model, or stops to say so, takes it out of a rule that one of these puts it into.
        """
        proposed = manifest.tag_values if manifest else {}
        standing = self.tags.get(live.name, {})
        tags = (live.tags, {**live.tags, **standing}, {**live.tags, **proposed})
        return policy.guards(live.name, slot, *tags, formerly=self.former_names(live.name, manifest))

    def former_names(self, name: ModelName, manifest: Manifest | None) -> tuple[ModelName, ...]:
        """What a model was called, by the trusted manifests or by those of the change."""
        return (*self.formerly.get(name, ()), *(manifest.former_names if manifest else ()))

    def judging(self, place: int) -> tuple["Rules", ...]:
        """
        All by which a pin is judged: what stands today, and what stood before the change that declared it, which is at
        a place of the trusted line. So a rule that is loosened meanwhile lets nothing in that has been waiting.
        """
        if place not in self._older:
            older = () if self.trunk is None else _stood_before(self.trunk, place)
            self._older[place] = tuple(rules.called(self.renames) for rules in older)
        return (self, *self.beside, *self._older[place])

    def judging_model(self, name: ModelName, place: int, past: Past | None) -> tuple["Rules", ...]:
        """
        Those that differ in what they say of one model. Where it is not known where its change began, what its
        manifests said at any time before counts, too: nobody lifts a hold and walks past it in one push.
        """
        found = list(self.judging(place))
        if self.trunk is not None and past is not None and self._begins_nowhere(place):
            for epoch in past.epochs:
                if epoch.start > place and epoch.manifest is not None:
                    found.append(
                        replace(self, holds={name: epoch.manifest.holds}, gates={name: _own_gates(epoch.manifest)})
                    )
        distinct: list[Rules] = []
        for one in found:
            if not any(one.says_the_same(other, name) for other in distinct):
                distinct.append(one)
        return tuple(distinct)

    def _begins_nowhere(self, place: int) -> bool:
        end = self.trunk.at(place) if self.trunk else None
        return end is not None and not end.merge and self.trunk is not None and self.trunk.before(place) is None

    def says_the_same(self, other: "Rules", name: ModelName) -> bool:
        """Whether two say the same of one model."""

        def about(rules: Rules) -> list[object]:
            texts = (rules.policy.rules, rules.policy.text, rules.policy.signers, rules.policy.groups)
            return [*texts, *(one.get(name) for one in (rules.owners, rules.tags, rules.holds, rules.gates))]

        return about(self) == about(other)

    def decided_by(self, side: Side | None, name: ModelName) -> "Rules | None":
        """The same with the owners, groups and signers of another side, where that has others for the model."""
        if side is None:
            return None
        owners, groups, signers = side.owners.get(name, ()), side.policy.groups, side.policy.signers
        if (owners, groups, signers) == (self.owners.get(name, ()), self.policy.groups, self.policy.signers):
            return None
        rules = (
            replace(rule, guards=tuple(_with_groups(guard, groups) for guard in rule.guards))
            for rule in self.policy.rules
        )
        policy = replace(self.policy, rules=tuple(rules), groups=groups, signers=signers)
        return replace(self, policy=policy, owners={**self.owners, name: owners})


NO_RULES = Rules()


def rules_of(trunk: Trunk, policy: Policy, commit: Commit) -> Rules:
    """The rules of a policy, with the owners and tags that a trusted commit declares."""
    declared = trunk.declared(commit)
    models = declared.items()
    return Rules(
        policy=policy,
        base=commit,
        owners={name: manifest.owner_names for name, manifest in models},
        tags={name: manifest.tag_values for name, manifest in models},
        holds={name: manifest.holds for name, manifest in models},
        gates={name: _own_gates(manifest) for name, manifest in models},
        names=standing_names(declared),
        formerly={name: manifest.former_names for name, manifest in models if manifest.former_names},
        trunk=trunk,
    )


def _stood_before(trunk: Trunk, place: int) -> Iterable[Rules]:
    """What stood before the change at a place, and before the one in hand."""
    for at in dict.fromkeys((place, 0)):
        before = trunk.before(at)
        one = trunk.at(at + 1 if before is None else before)
        if one is not None:
            epochs = (*trunk.standing_at(1), *trunk.standing_before(at))
            for policy in [epoch.policy for epoch in epochs] or [Policy()]:
                yield rules_of(trunk, policy, one.commit)


def _own_gates(manifest: Manifest) -> Mapping[Slot, tuple[Guard, ...]]:
    return {slot: declared.value for slot, declared in manifest.gates.items()}


@dataclass(frozen=True, slots=True)
class _Change:
    """
    The change that declared something: its commits are those of `head` that are not of `base`. `last` came to an apply
    with them: where no request tells what belongs to it, approvals may be on what was pushed along.
    """

    base: Commit | None
    head: Commit | None
    last: Commit | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """
    One entrance, the gates before it by some rules, and the overrides that the manifest asks for. `change` declared the
    pin; `latest` is the last one that changed the manifest, and brought the overrides.
    """

    entrance: Entrance
    guards: tuple[Guard, ...]
    overrides: tuple[Override, ...]
    rules: Rules
    change: _Change
    latest: _Change

    def restrained(self, share: Share) -> "_Case":
        """The same, with gates that cost their model alone."""
        return replace(self, guards=share.restrained(self.guards))


def judge(world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> Plan:
    """
    The plan with the verdicts of the policy that stands, and with the holds of the trusted side and of the change, each
    of which blocks a model as a whole. Reads, writes nothing.
    """
    plan = refuse_look_alikes(plan, snapshot, desired, rules.names, rules.policy)
    now = world.clock.now() if any(model.entrances or _overrides_of(model, desired) for model in plan.models) else ""
    plan = replace(plan, models=tuple(_without_expired(model, desired, now) for model in plan.models))
    deciders = _Deciders(world, plan, snapshot, desired, rules)
    judged = _judged(world, plan, snapshot, desired, rules, None, deciders)

    def refused(model: ModelPlan) -> tuple[Blocker, ...]:
        return (
            *_held_back(model, snapshot, desired, rules, now),
            *_moved_by_hand(model),
            *_other_files(world, model, snapshot, desired, rules),
        )

    models: list[ModelPlan] = []
    for model in judged.models:
        blockers = contained(partial(refused, model))
        more = (_broken(model.model, blockers),) if isinstance(blockers, Failure) else blockers
        models.append(replace(model, blockers=(*model.blockers, *more)))
    return _unapproved(replace(judged, models=tuple(models)), snapshot, desired, rules, deciders)


def _overrides_of(model: ModelPlan, desired: DesiredState) -> tuple[Override, ...]:
    manifest = desired.models.get(model.model)
    return manifest.overrides if manifest else ()


def _without_expired(model: ModelPlan, desired: DesiredState, now: str) -> ModelPlan:
    """The model, blocked where an override of its manifest is over, so that nobody leaves it lying about."""
    over = expired([desired.models[model.model]], now) if _overrides_of(model, desired) else ()
    blockers = (Blocker(problem.code, problem.message, problem.fix, problem.location) for problem in over)
    return replace(model, blockers=(*model.blockers, *blockers))


def _held_back(
    model: ModelPlan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules, now: str
) -> Iterable[Blocker]:
    """
    What a hold keeps from coming back, or from being declared where somebody put it. One that stood before the change
    of the pin is not lifted by the change that needs it lifted, and not while the pin waits.
    """
    proposed = desired.models.get(model.model)
    for entrance in model.entrances:
        standing = rules.judging_model(
            model.model, _place(model, snapshot.models.get(model.model), entrance), model.past
        )
        holds = (
            *chain.from_iterable(r.holds.get(model.model, ()) for r in standing),
            *(proposed.holds if proposed else ()),
        )
        hold = hold_on(holds, entrance.candidate, entrance.slot, now)
        if hold is not None:
            yield Blocker(
                "on-hold",
                f"v{entrance.candidate} of {model.model} is on hold for {entrance.slot}: {plain(hold.reason)}",
                "Declare another version; or lift the hold in a separate change, and then declare this one again.",
                hold.at,
            )


def _place(model: ModelPlan, live: ModelSnapshot | None, entrance: Entrance) -> int:
    """Where on the trusted line the change is that declared an entrance."""
    run = model.past.run(live, entrance.slot, entrance.candidate) if model.past and live else None
    return run.start if run else 0


def _moved_by_hand(model: ModelPlan) -> Iterable[Blocker]:
    for entrance in model.entrances:
        if not entrance.moves and any(v.blocks and v.entrance == entrance for v in model.verdicts):
            yield Blocker(
                "moved-by-hand",
                f"v{entrance.candidate} of {model.model} was moved into {entrance.slot} by hand, but gates refuse it.",
                "Move it back in the registry, or override these gates in the manifest and get that approved.",
            )


def _other_files(
    world: World, model: ModelPlan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules
) -> Iterable[Blocker]:
    """What is put back must be what it was: no gate judges it, so the files that a gate pins are compared here."""
    live, manifest, past = snapshot.models.get(model.model), desired.models.get(model.model), model.past
    if live is None or past is None:
        return
    for entrance in model.entrances:
        if entrance.kind is not Kind.RESTORATION:
            continue
        judging = rules.judging_model(model.model, _place(model, live, entrance), past)
        guards = [guard for one in judging for guard in _guards(one, one.policy, live, manifest, entrance.slot)]
        then = files_then(live.versions[entrance.candidate], entrance.slot, past)
        if then is None or not any(PINNED in guard.gate.needs(entrance) for guard in guards):
            continue
        (found,) = compared_files(world, model.model, [then])
        if found is not None:
            yield Blocker(
                "files-replaced",
                f"v{then.version} of {model.model} cannot be put back into {then.slot}: "
                f"{found if isinstance(found, str) else found.sentence}.",
                "Put the files back as they were, or declare another version.",
            )


def compared_files(world: World, model: ModelName, recorded: Iterable[FilesThen]) -> tuple[Replaced | str | None, ...]:
    """For each record of files: what they are now if they were replaced, or why that is not known, or None."""
    digests: dict[Version, str | Failure] = {}
    found: list[Replaced | str | None] = []
    for then in recorded:
        if then.version not in digests:
            digests[then.version] = contained(partial(_digest_of, world, model, then.version))
        now = digests[then.version]
        if isinstance(now, Failure):
            found.append(
                f"it is not known whether the files of v{then.version} are still the same as when it entered: {now.why}"
            )
        else:
            found.append(None if now == then.digest else Replaced(then, now))
    return tuple(found)


def _digest_of(world: World, model: ModelName, version: Version) -> str:
    if world.checks is None:
        raise ReconcilerError("This registry has no model files.")
    return world.checks.digest(model, version)


def _shifts(plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> tuple[Shift, ...]:
    """What the change makes different about who decides over the models of the plan."""
    names = rules.owners.keys() | desired.models.keys()
    guarded: dict[ModelName, tuple[Guard, ...]] = {}
    for name in names if rules.base is not None else ():
        live = snapshot.models.get(name) or ModelSnapshot(name)
        tags = (live.tags, {**live.tags, **rules.tags.get(name, {})})
        if not plan.options.targets or name in plan.options.targets:
            called = (name, *rules.former_names(name, desired.models.get(name)))
            about = (rule for rule in rules.policy.rules if rule.is_about(called, tags))
            guarded[name] = tuple(guard for rule in about for guard in rule.guards)
    owners = {name: manifest.owner_names for name, manifest in desired.models.items()}
    proposed = rules.policy if rules.proposed is None else rules.proposed
    return shifts(Side(rules.policy, rules.owners), Side(proposed, owners), guarded, rules.touched)


def unasked(plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> tuple[str, ...]:
    """What the change makes different about who decides, and nobody could be asked about, in one sentence."""
    blocked = {model.model for model in plan.models if any(b.code == UNAPPROVED for b in model.blockers)}
    found = (s for s in _shifts(plan, snapshot, desired, rules) if not s.asked and s.model not in blocked)
    alone = [f"{s.model} ({', '.join(s.what)})" for s in found]
    if not alone:
        return ()
    more = f", and of {len(alone) - 10} more" if len(alone) > 10 else ""
    told = "This change decides who may approve, and needed no approval, because nobody may approve yet: of "
    return (f"{told}{', '.join(alone[:10])}{more}.",)


def _unapproved(
    plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules, deciders: "_Deciders"
) -> Plan:
    """
    The plan, with those models blocked about whose owners, groups, signers or checks nobody who stands was asked: in
    the change in hand, or in one before it that still waits for an answer.
    """
    shifted = {shift.model for shift in _shifts(plan, snapshot, desired, rules)}
    models = {model.model: model for model in plan.models}
    for name in sorted(shifted | {model.model for model in plan.models if model.changes or model.entrances}):
        model = models.get(name) or ModelPlan(name)
        standing = contained(partial(deciders.of, name))
        blocker = _broken(name, standing) if isinstance(standing, Failure) else standing.blocker
        if blocker is not None and blocker not in model.blockers:
            models[name] = replace(model, blockers=(*model.blockers, blocker))
    return replace(plan, models=tuple(models[name] for name in sorted(models)))


@dataclass(frozen=True, slots=True)
class _Standing:
    """
    Who decides over a model: the sides that count, each from a place of the trusted line on, the newest first. The
    blocker says what of today's manifests and policy does not count yet.
    """

    sides: tuple[tuple[int, Side], ...]
    blocker: Blocker | None = None

    def at(self, place: int | None) -> Side | None:
        """The side that counted as of a place; None before the first that is known."""
        return None if place is None else next((side for start, side in self.sides if start >= place), None)


@dataclass
class _Deciders:
    """
    Who decides over the models of a plan. Owners, groups, signers and checks count along a chain alone: from what the
    line first laid down, or from where our record shows that an apply let the model through, over shifts that those who
    counted until then approved. What they refused counts at no later time, whatever was merged since.
    """

    world: World
    plan: Plan
    snapshot: RegistrySnapshot
    desired: DesiredState
    rules: Rules
    _found: dict[ModelName, _Standing] = field(default_factory=dict[ModelName, _Standing])
    _reviews: dict[tuple[_Change, str], Reviews | str] = field(default_factory=dict[tuple[_Change, str], Reviews | str])
    _digests: dict[tuple[int, str], str | None] = field(default_factory=dict[tuple[int, str], str | None])
    _pasts: Mapping[ModelName, Past | None] = field(init=False)

    def __post_init__(self) -> None:
        self._pasts = {model.model: model.past for model in self.plan.models}

    def of(self, name: ModelName) -> _Standing:
        if name not in self._found:
            self._found[name] = self._standing(name)
        return self._found[name]

    def _standing(self, name: ModelName) -> _Standing:
        if self.rules.base is None:
            return _Standing(())
        begin, epochs = self._begin(name)
        sides: list[tuple[int, Side]] = [(begin, self._side(name, begin, epochs))]
        blocker: Blocker | None = None
        before = begin
        for place in self._places(begin, epochs):
            since, counting = sides[-1]
            side, guards = self._side(name, place, epochs), self._guards(name, counting, place, epochs)
            shift = self._shift(name, guards, (since, counting), (place, side))
            here = self._shift(name, guards, (before, self._side(name, before, epochs)), (place, side))
            before = place
            if shift is not None and shift.asked:
                # Whoever approved what changes nothing about it was not asked.
                if here is None:
                    continue
                found = self._approvals(self._change(place), counting.policy.signers)
                blocker = _blocker(shift, found, counting, place)
                if blocker is not None:
                    continue
            blocker = None
            sides.append((place, side))
        return _Standing(tuple(reversed(sides)), blocker)

    def _shift(
        self, name: ModelName, guards: tuple[Guard, ...], standing: tuple[int, Side], proposed: tuple[int, Side]
    ) -> Shift | None:
        """What shifts from one place to another."""
        (since, before), (place, after) = standing, proposed
        touched = self._touched(before, guards, since, place)
        return next(iter(shifts(before, after, {name: guards}, touched)), None)

    def _begin(self, name: ModelName) -> tuple[int, tuple[Epoch, ...]]:
        """The place from which on shifts are looked at, and what was declared since."""
        trunk, live = self.rules.trunk, self.snapshot.models.get(name)
        if trunk is None:
            return 1, ()
        past = self._pasts.get(name)
        found = [
            past.place_of(record, version)
            for version in (live.versions.values() if past and live else ())
            for record in version.provenance.values()
            if past is not None and (record.proven or not past.sealed)
        ]
        # What the commit in hand shows of itself is no answer: it is asked again.
        begin = min((place for place in found if place), default=None)
        epochs = past.epochs if past else ()
        if begin is None or not epochs or epochs[-1].start < begin:
            epochs = trunk.history(name, self.desired.models)
        if begin is None:
            begin = epochs[-1].start
            # Raises where this clone ends before history does.
            trunk.at(begin + 1)
        return begin, epochs

    def _side(self, name: ModelName, place: int, epochs: tuple[Epoch, ...]) -> Side:
        """What is laid down as of a place."""
        trunk, rules = self.rules.trunk, self.rules
        if place == 0:
            policy, manifest = rules.policy if rules.proposed is None else rules.proposed, self.desired.models.get(name)
        elif trunk is None:
            return Side(rules.policy, rules.owners)
        else:
            policy = next((epoch.policy for epoch in trunk.standing_at(place)), Policy())
            manifest = next((epoch.manifest for epoch in epochs if epoch.start >= place), None)
        return Side(policy, {name: manifest.owner_names if manifest else ()})

    def _places(self, begin: int, epochs: tuple[Epoch, ...]) -> list[int]:
        """Where something may have shifted since a place, the oldest first."""
        found = {0} if self.rules.trunk is None or self.rules.trunk.ahead else set[int]()
        found.update(epoch.start for epoch in epochs)
        if self.rules.trunk is not None:
            policies = self.rules.trunk.policies
            found.update(epoch.start for epoch in policies)
            paths = {
                path for epoch in policies for check in epoch.policy.checks.values() for path in check_paths(check)
            }
            for path in sorted(paths):
                found.update(self._moves(path, begin, 0))
        return sorted((place for place in found if place < begin), reverse=True)

    def _moves(self, path: str, older: int, newer: int) -> Iterable[int]:
        """The places at which a file of a check became another one; what was taken back in between is none."""
        if older <= newer or self._digest(older, path) == self._digest(newer, path):
            return
        middle = (older + newer) // 2
        if middle == newer:
            yield newer
            return
        yield from self._moves(path, older, middle)
        yield from self._moves(path, middle, newer)

    def _digest(self, place: int, path: str) -> str | None:
        trunk = self.rules.trunk
        one = trunk.at(place) if trunk else None
        ref = one.commit if one else self.plan.revision.commit
        if ref is None:
            return None
        if (place, path) not in self._digests:
            self._digests[place, path] = self.world.source.digest(ref, path)
        return self._digests[place, path]

    def _touched(self, side: Side, guards: tuple[Guard, ...], since: int, place: int) -> frozenset[str]:
        """The files of checks that are others at a place than they were when a side began to count."""
        if self.rules.trunk is None or (place == 0 and self.plan.revision.commit is None):
            return self.rules.touched
        named = {guard.gate.check for guard in guards if isinstance(guard.gate, CheckGate)}
        paths = {path for name in named if (check := side.policy.checks.get(name)) for path in check_paths(check)}
        return frozenset(path for path in paths if self._digest(since, path) != self._digest(place, path))

    def _guards(self, name: ModelName, side: Side, place: int, epochs: tuple[Epoch, ...]) -> tuple[Guard, ...]:
        """All gates that a side's policy has about a model, by its names, and its tags in the registry and in git."""
        if self.plan.options.targets and name not in self.plan.options.targets:
            return ()
        live = self.snapshot.models.get(name) or ModelSnapshot(name)
        before = [epoch.manifest for epoch in epochs if epoch.start > place and epoch.manifest]
        names = {name, *self.rules.former_names(name, self.desired.models.get(name))}
        names.update(former for manifest in before for former in manifest.former_names)
        declared = [self.rules.tags.get(name, {}), *(one.tag_values for one in before)]
        tags = [live.tags, *({**live.tags, **one} for one in declared)]
        about = (rule for rule in side.policy.rules if rule.is_about(names, tags))
        return tuple(guard for rule in about for guard in rule.guards)

    def _change(self, place: int) -> _Change:
        if self.rules.trunk is None:
            return _Change(self.rules.base, self.plan.revision.commit)
        return _change(self.rules, self.plan, place)

    def _approvals(self, change: _Change, signers: str) -> Reviews | str:
        """Who approved a change as a whole, looked up once for all models."""
        if (change, signers) not in self._reviews:
            found = _find(self.world, change, None, signers)
            if not isinstance(found, str):
                found = replace(found, approvals=in_time(found.approvals, 0, self.world.clock.now())[0])
            self._reviews[change, signers] = found
        return self._reviews[change, signers]


def _find(world: World, change: _Change, model: ModelName | None, signers: str) -> Reviews | str:
    """Who approved what a change declares of a model, or the change as a whole."""
    head = change.head
    if head is None:
        return "uncommitted changes cannot have been approved"
    if world.reviews is None:
        return "this command does not look for approvals"
    find = world.reviews.find
    reviews = contained(lambda: find(change.base, head, model, signers))
    last = change.last
    if not isinstance(reviews, Failure) and not reviews.approvals and last is not None and last != head:
        reviews = contained(lambda: find(change.base, last, model, signers))
    return reviews.why if isinstance(reviews, Failure) else reviews


def _blocker(shift: Shift, found: Reviews | str, standing: Side, place: int) -> Blocker | None:
    if isinstance(found, str):
        missing = f"who approved it is not known: {found}"
    elif not found.authors:
        missing = "its author is not known, and an author's own approval does not count"
    else:
        lacking: list[str] = []
        for quorum in shift.asked:
            people = eligible(quorum, standing.owners.get(shift.model, ()), standing.policy.groups)
            counting = counted(found.approvals, people, found.authors, found.people)
            if len(counting) < (required := quorum.required(by_bots=found.by_bots)):
                lacking.append(
                    f"{amount(required, 'approval')} from {plain(quorum.group, 80)}, but "
                    f"{', '.join(counting) or 'nobody'} approved"
                )
        if not lacking:
            return None
        missing = f"it requires {'; '.join(lacking)}"
    which = "An earlier change" if place else "This change"
    return Blocker(
        UNAPPROVED,
        f"{which} edits who decides about {shift.model} ({', '.join(shift.what)}), and {missing}.",
        "Have it approved by the present owners and groups, or revert it."
        if place
        else "Have it approved by the present owners and groups, or remove it from the change.",
    )


def judge_proposed(
    world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules
) -> tuple[Verdict, ...]:
    """What the policy would say that the change under review proposes; it decides nothing yet."""
    if rules.proposed is None:
        return ()
    # Without the verdicts of the rules that stand: they would keep the models that they refuse from being judged.
    bare = replace(plan, models=tuple(replace(model, verdicts=()) for model in plan.models))
    deciders = _Deciders(world, bare, snapshot, desired, rules)
    judged = _judged(world, bare, snapshot, desired, rules, rules.proposed, deciders)
    verdicts: list[Verdict] = []
    for model, now in zip(judged.models, plan.models, strict=True):
        # What cannot be judged is not unguarded.
        lost = () if model.blockers == now.blockers else now.verdicts
        verdicts.extend(replace(v, ruling=Ruling.UNKNOWN, sentence=model.blockers[0].message, note="") for v in lost)
        verdicts.extend(model.verdicts)
    return tuple(verdicts)


def _judged(
    world: World,
    plan: Plan,
    snapshot: RegistrySnapshot,
    desired: DesiredState,
    rules: Rules,
    policy: Policy | None,
    deciders: _Deciders,
) -> Plan:
    budget = Budget(world.stopwatch)

    def cases_of(model: ModelPlan) -> tuple[_Case, ...]:
        live, manifest, share = snapshot.models.get(model.model), desired.models.get(model.model), budget.share()
        return tuple(case.restrained(share) for case in _cases(rules, model, live, manifest, plan, policy, deciders))

    cases = {model.model: contained(partial(cases_of, model)) for model in plan.models if not model.blockers}
    groups = {name: group for name, group in cases.items() if not isinstance(group, Failure)}
    facts = _Gathering(world, snapshot, desired, plan).gather([c for group in groups.values() for c in group])

    def judged(model: ModelPlan) -> ModelPlan:
        live, manifest = snapshot.models.get(model.model), desired.models.get(model.model)
        group = cases.get(model.model, ())
        if isinstance(group, Failure):
            return replace(model, blockers=(_broken(model.model, group),))
        verdicts = contained(lambda: _distinct(facts.verdicts(group)))
        if isinstance(verdicts, Failure):
            return replace(model, blockers=(_broken(model.model, verdicts),))
        judged_slots = {case.entrance.slot for case in group}
        guarded = judged_slots | {e.slot for e in model.entrances if is_guarded(rules, live, manifest, e.slot)}
        files = {
            (case.entrance.candidate, case.entrance.slot): known[PINNED].now
            for case in group
            if (known := facts.facts[id(case)]).why_unknown(PINNED) is None
        }
        return replace(model, verdicts=verdicts, guarded=frozenset(guarded), files=files)

    return replace(plan, models=tuple(map(judged, plan.models)))


def _distinct(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Each thing that is said once: several rules may have one gate, and differ in what is not asked about."""
    said: dict[tuple[object, ...], Verdict] = {}
    for verdict in verdicts:
        said.setdefault((verdict.entrance, verdict.gate, verdict.ruling, verdict.sentence, verdict.note), verdict)
    return tuple(said.values())


def _broken(name: ModelName, failure: Failure) -> Blocker:
    """A model that cannot be judged. The others are."""
    why = f"The entrances of {name} could not be judged: {failure.why}."
    return Blocker("not-judged", why, "Correct its data in the registry, or report this.")


def judge_one(
    world: World, live: ModelSnapshot, version: Version, desired: DesiredState, rules: Rules, past: Past | None = None
) -> tuple[Verdict, ...]:
    """What every guarded slot of a model would say to one version of it: why it can, or cannot, be promoted."""
    manifest = desired.models.get(live.name)
    entering = tuple(entrance_of(live, slot, version, past) for slot in _guarded_slots(rules.policy, live, manifest))
    model = ModelPlan(live.name, entrances=entering)
    plan = Plan(desired.revision, PlanOptions(), (model,), 1)
    share = Budget(world.stopwatch).share()
    snapshot = RegistrySnapshot({live.name: live})
    deciders = _Deciders(world, replace(plan, models=(replace(model, past=past),)), snapshot, desired, rules)
    cases = tuple(case.restrained(share) for case in _cases(rules, model, live, manifest, plan, None, deciders))
    return _distinct(_Gathering(world, snapshot, desired, plan).gather(cases).verdicts(cases))


def left_behind(plan: Plan, snapshot: RegistrySnapshot) -> tuple[str, ...]:
    """Aliases that go on naming a version which leaves a stage that consumers load from."""
    found: list[str] = []
    for model in plan.models:
        live = snapshot.models.get(model.model)
        after = simulate_all(live, model.changes)
        if live is None or after is None:
            continue
        for alias, version in sorted(after.aliases.items()):
            stage = live.versions[version].stage if version in live.versions else Stage.NONE
            stays = live.aliases.get(alias) == version
            if stays and stage.active and after.versions[version].stage is not stage:
                found.append(f"{alias_slot(alias)} of {model.model} still names v{version}, which leaves {stage}.")
    return tuple(found)


def unguarded(plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> tuple[str, ...]:
    """Aliases that move to other versions, of models with gates before a live slot, and no gate before the alias."""
    sentences: list[str] = []
    for model in plan.models:
        live, manifest = snapshot.models.get(model.model), desired.models.get(model.model)
        if live is None:
            continue
        guards = partial(rules.guards, rules.policy, live, manifest=manifest)
        guarded = next((slot for slot in sorted(model.live_slots) if guards(slot)), None)
        slots = [alias_slot(change.alias) for change in model.changes if isinstance(change, SetAlias)]
        sentences.extend(
            f"{slot} of {model.model} is moved; no gate guards it, while gates guard its {guarded}."
            for slot in slots
            if guarded is not None and not guards(slot)
        )
    return tuple(sentences)


def _guarded_slots(policy: Policy, live: ModelSnapshot, manifest: Manifest | None) -> list[Slot]:
    aliases = {*live.aliases, *(manifest.aliases if manifest else ())}
    named = {Slot(slot) for rule in policy.rules for slot in rule.slots if not set(slot) & set("*?[")}
    slots = {*(stage.slot for stage in ACTIVE_STAGES), *map(alias_slot, aliases), *named}
    return sorted(slots, key=lambda slot: (slot.stage is None, slot))


def _cases(
    rules: Rules,
    model: ModelPlan,
    live: ModelSnapshot | None,
    manifest: Manifest | None,
    plan: Plan,
    policy: Policy | None,
    deciders: _Deciders,
) -> Iterable[_Case]:
    """The entrances that are judged, by each of the rules that judge them, or by one policy alone."""
    if live is None:
        return
    for entrance in model.entrances:
        if entrance.kind in EXEMPT:
            continue
        place = _place(model, live, entrance)
        latest = model.past.epochs[0].start if model.past and model.past.epochs else 0
        seen: list[tuple[Guard, tuple[tuple[str, ...], str]]] = []
        for judging in _judging(rules, model, place, deciders) if policy is None else (rules,):
            people = (judging.owners.get(model.model, ()), judging.policy.signers)
            found = (
                _guards(judging, judging.policy, live, manifest, entrance.slot)
                if policy is None
                else _proposed_guards(judging, policy, live, manifest, entrance.slot)
            )
            guards = tuple(g for g in found if not any(_same(g, other) and people == by for other, by in seen))
            seen.extend((guard, people) for guard in guards)
            if guards:
                change, last = (_change(judging, plan, at) for at in (place, latest))
                yield _Case(entrance, guards, _overrides(manifest, entrance.slot), judging, change, last)


def _judging(rules: Rules, model: ModelPlan, place: int, deciders: _Deciders) -> Iterable[Rules]:
    """All by which a pin of a model is judged; where who decides is not settled, by those who were before, too."""
    for one in rules.judging_model(model.model, place, model.past):
        yield one
        at = rules.trunk.places.get(one.base) if rules.trunk and one.base else None
        older = one.decided_by(deciders.of(model.model).at(at), model.model)
        if older is not None:
            yield older


EXEMPT = frozenset({Kind.RESTORATION, Kind.FOUND})
"""What no gate is asked about: it was, or it was there before there was anything to ask."""


def _same(guard: Guard, other: Guard) -> bool:
    """Whether two policies have the same gate, wherever in the file."""
    return replace(guard, at=other.at) == other


def _change(rules: Rules, plan: Plan, place: int) -> _Change:
    """
    The change that a place of the trusted line is the end of. A merge tells by itself where it began; else it is what
    came to an apply together, or the commit alone where that is not known.
    """
    trunk, head = rules.trunk, plan.revision.commit
    if trunk is None:
        return _Change(rules.base, head)
    end = trunk.at(place)
    if end is None:
        return _Change(trunk.tip, head)
    known = None if end.merge else trunk.before(place)
    before = trunk.at(place + 1 if known is None else known)
    last = end if end.merge else trunk.at(trunk.end(place))
    return _Change(before.commit if before else None, end.commit, last.commit if last else head)


def is_guarded(rules: Rules, live: ModelSnapshot | None, manifest: Manifest | None, slot: Slot) -> bool:
    """Whether gates are before a slot."""
    if live is None:
        return False
    return any(_guards(one, one.policy, live, manifest, slot) for one in (rules, *rules.beside))


def _guards(
    rules: Rules, policy: Policy, live: ModelSnapshot, manifest: Manifest | None, slot: Slot
) -> tuple[Guard, ...]:
    """
    Those of the policy, then those by which the manifest tightens it for its model, as it stands and as it is proposed.
    """
    standing = tuple(_with_groups(guard, policy.groups) for guard in rules.gates.get(live.name, {}).get(slot, ()))
    found = _proposed_guards(rules, policy, live, manifest, slot)
    return (*found, *(guard for guard in standing if not any(_same(guard, other) for other in found)))


def _proposed_guards(
    rules: Rules, policy: Policy, live: ModelSnapshot, manifest: Manifest | None, slot: Slot
) -> tuple[Guard, ...]:
    """The same, by what the manifest says now."""
    own = manifest.gates.get(slot) if manifest else None
    tightened = (_with_groups(guard, policy.groups) for guard in (own.value if own else ()))
    return (*rules.guards(policy, live, slot, manifest), *tightened)


def _with_groups(guard: Guard, groups: Mapping[str, tuple[str, ...]]) -> Guard:
    """A manifest names groups; who is in them, the policy says."""
    gate = guard.gate
    return replace(guard, gate=replace(gate, groups=groups)) if isinstance(gate, Approvals) else guard


def _overrides(manifest: Manifest | None, slot: Slot) -> tuple[Override, ...]:
    return tuple(o for o in (manifest.overrides if manifest else ()) if o.slot in {None, slot})


@dataclass(frozen=True, slots=True)
class _Known:
    """The facts of some cases, and who approved."""

    facts: Mapping[int, Facts]
    latest: Mapping[int, Facts]

    def verdicts(self, cases: Iterable[_Case]) -> Iterable[Verdict]:
        for case in cases:
            facts = self.facts[id(case)]
            for guard in case.guards:
                override = next((o for o in case.overrides if o.gate == guard.name), None)
                approvers = None if override is None else self._approvers(guard, case, self.latest[id(case)])
                yield judge_guard(guard, case.entrance, facts, override, approvers)

    def _approvers(self, guard: Guard, case: _Case, facts: Facts) -> tuple[str, ...] | None:
        if guard.override is None or facts.why_unknown(APPROVALS) or facts.why_unknown(CHANGE):
            return None
        if not facts[CHANGE].authors:
            # Whoever approved may be the author.
            return None
        owners = case.rules.owners.get(case.entrance.model, ())
        people = eligible(guard.override, owners, case.rules.policy.groups)
        # Who made the pin is one of the authors, whoever asks for the override.
        pinned = self.facts[id(case)]
        made = pinned[CHANGE].authors if pinned.why_unknown(CHANGE) is None else ()
        return counted(facts[APPROVALS], people, (*facts[CHANGE].authors, *made), facts[CHANGE].people)


@dataclass
class _Gathering:
    """Finds out what gates ask for: what several of them need is looked up once, and what none needs is not."""

    world: World
    snapshot: RegistrySnapshot
    desired: DesiredState
    plan: Plan
    reviews: dict[tuple[_Change, ModelName, str], Reviews | str] = field(
        default_factory=dict[tuple[_Change, ModelName, str], Reviews | str]
    )
    pasts: Mapping[ModelName, Past | None] = field(init=False)

    def __post_init__(self) -> None:
        self.pasts = {model.model: model.past for model in self.plan.models}

    def gather(self, cases: Iterable[_Case]) -> _Known:
        cases = tuple(cases)
        wanted: dict[Entrance, set[FactKey[Any]]] = {}
        for case in cases:
            needs = wanted.setdefault(case.entrance, set())
            for guard in case.guards:
                needs.update(guard.gate.needs(case.entrance))
            if case.overrides:
                needs.update((NOW, CHANGE))
        versions = self._versions(wanted)
        now = self.world.clock.now() if wanted else ""
        return _Known(
            {id(case): self._facts(case, case.change, wanted[case.entrance], versions, now) for case in cases},
            {
                id(case): self._facts(case, case.latest, {APPROVALS, CHANGE}, versions, now)
                for case in cases
                if case.overrides
            },
        )

    def _versions(self, wanted: Mapping[Entrance, set[FactKey[Any]]]) -> Mapping[Asked, VersionFacts] | str:
        asked = {
            Asked(entrance.model, version)
            for entrance, needs in wanted.items()
            for key, version in ((CANDIDATE, entrance.candidate), (INCUMBENT, entrance.incumbent))
            if version is not None and (key in needs or any(need.name == "contained" for need in needs))
        }
        if not asked:
            return {}
        if self.world.evidence is None:
            return "this registry has no evidence"
        gather, ordered = self.world.evidence.gather, sorted(asked, key=lambda a: (a.model, a.version))
        gathered = contained(lambda: gather(ordered))
        return gathered.why if isinstance(gathered, Failure) else gathered

    def _reviews_of(self, case: _Case, change: _Change) -> Reviews | str:
        """Who approved what a change declares of a model, looked up for those models where a gate asks."""
        key = (change, case.entrance.model, case.rules.policy.signers)
        if key not in self.reviews:
            self.reviews[key] = _find(self.world, change, case.entrance.model, case.rules.policy.signers)
        return self.reviews[key]

    def _facts(
        self,
        case: _Case,
        change: _Change,
        needs: set[FactKey[Any]],
        versions: Mapping[Asked, VersionFacts] | str,
        now: str,
    ) -> Facts:
        known: dict[FactKey[Any], object] = {}
        unknown: dict[FactKey[Any], str] = {}
        gone: set[FactKey[Any]] = set()
        for key in sorted(needs, key=str):
            value = contained(partial(self._fact, key, case, change, versions, now))
            if isinstance(value, _Unknown | Failure):
                unknown[key] = value.why
                gone.update({key} if isinstance(value, _Unknown) and value.gone else ())
            else:
                known[key] = value
        return Facts(known, unknown, frozenset(gone))

    def _fact(
        self,
        key: FactKey[Any],
        case: _Case,
        change: _Change,
        versions: Mapping[Asked, VersionFacts] | str,
        now: str,
    ) -> object:
        entrance = case.entrance
        live = self.snapshot.models[entrance.model]
        candidate = live.versions.get(entrance.candidate)
        if key == NOW:
            return now
        if key == MODEL:
            tags = {k: v for k, v in live.tags.items() if not k.startswith(OUR_TAG_PREFIX)}
            return ModelFacts(live.name, live.description, tags, case.rules.owners.get(live.name, ()))
        if key == CANDIDATE:
            return _facts_of(versions, entrance.model, entrance.candidate)
        if key == INCUMBENT:
            return NOBODY if entrance.incumbent is None else _facts_of(versions, entrance.model, entrance.incumbent)
        if key in {CHANGE, APPROVALS}:
            return self._review_fact(key, change, self._reviews_of(case, change), candidate, now)
        if key in {CHECKS, PRESENT, PINNED}:
            return self._check_fact(key, entrance, case.rules.policy.signers)
        if candidate is None:
            return _Unknown(f"the registry does not show v{entrance.candidate}")
        if key == STAGE:
            return candidate.stage.value
        if key.name == "stay":
            past = self.pasts.get(live.name)
            stay = stay_in(Slot(key.argument), candidate.version, live, past)
            return _Unknown(stay) if isinstance(stay, str) else stay
        if key.name == "contained":
            return self._contained(key.argument, _facts_of(versions, entrance.model, entrance.candidate))
        return _Unknown("this release cannot look it up")

    def _review_fact(
        self, key: FactKey[Any], change: _Change, found: Reviews | str, candidate: VersionSnapshot | None, now: str
    ) -> object:
        if isinstance(found, str):
            return _Unknown(found)
        if candidate is None:
            return _Unknown("the registry does not show the version, so approvals of it are not known")
        approvals, early = in_time(found.approvals, candidate.created_at, now)
        if key == APPROVALS:
            return approvals
        names = tuple(sorted({a.who for a in early} - {a.who for a in approvals}))
        subject = self.desired.revision.subject
        return ChangeFacts(change.head, found.authors, subject, change.base, found.people, found.by_bots, names)

    def _check_fact(self, key: FactKey[Any], entrance: Entrance, signers: str) -> object:
        checks = self.world.checks
        if checks is None:
            return _Unknown("this registry has no model files")
        if key == CHECKS:
            return checks.facts(entrance.model, entrance.candidate, signers)
        if key == PRESENT:
            return checks.present(entrance.model, entrance.candidate)
        return Pinned(checks.digest(entrance.model, entrance.candidate), self._recorded_files(entrance))

    def _recorded_files(self, entrance: Entrance) -> str:
        """The digest of the files that the version entered the slot with, by a record that counts."""
        version = self.snapshot.models[entrance.model].versions.get(entrance.candidate)
        past = self.pasts.get(entrance.model)
        record = version.provenance.get(entrance.slot) if version else None
        if version is None or record is None or (past is not None and past.place_of(record, version) is None):
            return ""
        return record.files

    def _contained(self, branch: str, candidate: "VersionFacts | _Unknown") -> object:
        if isinstance(candidate, _Unknown):
            return candidate
        commit = candidate.run.git_commit if candidate.run else ""
        if not commit:
            gap = candidate.gap("version", "run")
            why = f"it is not known from which commit v{candidate.version} was trained"
            return _Unknown(why, gone=gap is not None and gap.gone)
        found = self.world.source.contains_commit(commit, branch)
        return _Unknown(f"git cannot determine whether {commit[:12]} is in {branch}") if found is None else found


@dataclass(frozen=True, slots=True)
class _Unknown:
    why: str
    gone: bool = False


def _facts_of(
    versions: Mapping[Asked, VersionFacts] | str, model: ModelName, version: Version
) -> VersionFacts | _Unknown:
    if isinstance(versions, str):
        return _Unknown(versions)
    return versions.get(Asked(model, version)) or _Unknown(f"nothing is known about v{version}")
