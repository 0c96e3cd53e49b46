"""What the rules that stand say of a plan: every version that it moves into a guarded slot is put before its gates."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from reconciler.budget import Budget
from reconciler.core.changes import SetAlias, simulate_all
from reconciler.core.desired import DesiredState, Hold, Manifest, NoSource, Pin, Source, expired, hold_on
from reconciler.core.diff import Blocker, Grounds, ModelPlan
from reconciler.core.drift import FilesThen, Replaced, files_then
from reconciler.core.entrances import entrance_of, was_let_in
from reconciler.core.gate import (
    PINNED,
    Entrance,
    Guard,
    Kind,
    Override,
    Ruling,
    Verdict,
)
from reconciler.core.likeness import refuse_look_alikes
from reconciler.core.names import (
    ACTIVE_STAGES,
    ModelRef,
    Original,
    Slot,
    Stage,
    Version,
    alias_slot,
    in_registry,
    name_there,
    registry_of,
)
from reconciler.core.past import Past, declared_versions, pins_of
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.policy import Policy
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import ORIGINAL_TAG, ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.core.text import ended, plain, some
from reconciler.deciders import Deciders, change_at, not_judged, refuse_unapproved
from reconciler.errors import Failure, ReconcilerError, contained
from reconciler.facts import Case, Gathering, Known
from reconciler.neighbors import declared_beside
from reconciler.originals import Originals, as_copied, copy_fault, copy_pin, with_originals
from reconciler.ports import World
from reconciler.rules import Rules, guards_before, is_guarded, is_same_gate, place_of, proposed_guards


def judge(world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> Plan:
    """
    The plan with the verdicts of the policy that stands, and with the holds of the trusted side and of the change, each
    of which blocks a model as a whole. Reads, writes nothing.
    """
    plan = refuse_look_alikes(plan, snapshot, desired, rules.names, rules.policy)
    here, there = world, snapshot
    world, snapshot = with_originals(world, plan), as_copied(plan, snapshot)
    now = world.clock.now() if any(model.entrances or _overrides_of(model, desired) for model in plan.models) else ""
    plan = replace(plan, models=tuple(_without_expired(model, desired, now) for model in plan.models))
    deciders = Deciders(world, plan, snapshot, desired, rules)
    judged = _judged(world, plan, snapshot, desired, rules, None, deciders)
    originals = Originals(world, snapshot, desired)

    def refused(model: ModelPlan) -> tuple[Blocker, ...]:
        return (
            *_held_back(model, originals, rules, now),
            *_moved_by_hand(model),
            *_unregistered(model, snapshot, desired, rules),
            *_other_files(world, model, snapshot, desired, rules),
            *_other_originals(here, model, there, desired),
        )

    models: list[ModelPlan] = []
    for model in judged.models:
        blockers = contained(partial(refused, model))
        more = (not_judged(model.model, blockers),) if isinstance(blockers, Failure) else blockers
        models.append(replace(model, blockers=(*model.blockers, *more)))
    return refuse_unapproved(replace(judged, models=tuple(models)), snapshot, desired, rules, deciders)


def _overrides_of(model: ModelPlan, desired: DesiredState) -> tuple[Override, ...]:
    manifest = desired.models.get(model.model)
    return manifest.overrides if manifest else ()


def _without_expired(model: ModelPlan, desired: DesiredState, now: str) -> ModelPlan:
    """The model, blocked where an override of its manifest is over, so that nobody leaves it lying about."""
    over = expired([desired.models[model.model]], now) if _overrides_of(model, desired) else ()
    blockers = (Blocker(problem.code, problem.message, problem.fix, problem.location) for problem in over)
    return replace(model, blockers=(*model.blockers, *blockers))


def _held_back(model: ModelPlan, originals: Originals, rules: Rules, now: str) -> Iterable[Blocker]:
    """
    What a hold keeps from coming back, or from being declared where somebody put it. One that stood before the change
    of the pin is not lifted by the change that needs it lifted, and not while the pin waits.
    """
    desired, live = originals.desired, originals.snapshot.models.get(model.model)

    def holds_on(slot: Slot, standing: Iterable[Rules]) -> Iterator[Hold]:
        """Those on a slot by any of its names."""
        proposed = desired.models.get(model.model)
        for one in standing:
            for hold in (*one.holds.get(model.model, ()), *(proposed.holds if proposed else ())):
                yield replace(hold, slot=slot) if hold.slot and one.is_about(hold.slot, slot) else hold

    for entrance in model.entrances:
        standing = rules.judging_model(model.model, place_of(model, live, entrance), model.past)
        named = f"v{entrance.candidate} of {model.model}"
        hold = hold_on(holds_on(entrance.slot, standing), entrance.candidate, entrance.slot, now)
        version = live.versions.get(entrance.candidate) if live else None
        if hold is None and version is not None and version.original is not None:
            # What a hold keeps from every slot is not let in under another name.
            declared = _Declared(originals.world, desired, rules.judging(place_of(model, live, entrance)))
            # Where there are other registries, an original of its original may be in one.
            may_be_held = originals.world.neighbors is not None or declared.holds_any(now)
            back = entrance.kind in WAY_BACK
            for original in originals.by_name(version, declared.names_now, back=back) if may_be_held else ():
                hold = declared.hold_on(original, now)
                if hold is not None:
                    named = f"{named}, a copy of {original},"
                    break
        if hold is not None:
            yield Blocker(
                "on-hold",
                f"{named} is on hold for {entrance.slot}: {ended(plain(hold.reason))}",
                "Declare another version; or lift the hold in a separate change, and then declare this one again.",
                hold.at,
            )


@dataclass(frozen=True, slots=True)
class _Declared:
    """
    What manifests say of originals, those that stand and those of the change: of models of other registries those in
    the folders of these, by the same commits.
    """

    world: World
    desired: DesiredState
    standing: tuple[Rules, ...]
    _beside: dict[str, list[Mapping[ModelRef, Manifest]]] = field(
        default_factory=dict[str, list[Mapping[ModelRef, Manifest]]]
    )

    def holds_any(self, now: str) -> bool:
        """Whether any of our own models has a version that is held out of every slot."""
        own = {*self.desired.models, *chain.from_iterable(one.holds for one in self.standing)}
        return any(_everywhere(hold, now) for name in own for hold in self._holds(name))

    def hold_on(self, original: Original, now: str) -> Hold | None:
        """What keeps a version from every slot."""
        holds = (hold for hold in self._holds(original.model) if _everywhere(hold, now))
        return next((hold for hold in holds if hold.version == original.version), None)

    def names_now(self, model: ModelRef) -> Iterator[ModelRef]:
        """What a model may be called now, that had a name once."""
        if registry := registry_of(model):
            for declared in self._declared_in(registry):
                names = (name for name, manifest in declared.items() if name_there(model) in manifest.former_names)
                yield from (in_registry(registry, name) for name in names)
            return
        proposed = ((name, manifest.former_names) for name, manifest in self.desired.models.items())
        for name, formers in chain(chain.from_iterable(one.formerly.items() for one in self.standing), proposed):
            if model in formers:
                yield name

    def _holds(self, model: ModelRef) -> Iterator[Hold]:
        if registry := registry_of(model):
            for declared in self._declared_in(registry):
                manifest = declared.get(name_there(model))
                yield from manifest.holds if manifest else ()
            return
        yield from chain.from_iterable(one.holds.get(model, ()) for one in self.standing)
        proposed = self.desired.models.get(model)
        yield from proposed.holds if proposed else ()

    def _declared_in(self, registry: str) -> Iterable[Mapping[ModelRef, Manifest]]:
        """Raises ReconcilerError where manifests cannot be read: what they hold is not known."""
        if registry not in self._beside:
            commits = {*(one.base for one in self.standing if one.base is not None), self.desired.revision.commit}
            ordered = sorted(commits, key=str)
            self._beside[registry] = [declared_beside(self.world, registry, commit) for commit in ordered]
        return self._beside[registry]


def _everywhere(hold: Hold, now: str) -> bool:
    return hold.slot is None and hold.stands(now)


def _moved_by_hand(model: ModelPlan) -> Iterable[Blocker]:
    for entrance in model.entrances:
        if not entrance.moves and any(v.blocks and v.entrance == entrance for v in model.verdicts):
            yield Blocker(
                "moved-by-hand",
                f"v{entrance.candidate} of {model.model} was moved into {entrance.slot} by hand, but gates refuse it.",
                "Move it back in the registry, or override these gates in the manifest and get that approved.",
            )


def _unregistered(
    model: ModelPlan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules
) -> Iterable[Blocker]:
    """Gates judge what is registered, and approvals count from then on: nothing is registered into a guarded slot."""
    live, manifest = snapshot.models.get(model.model) or ModelSnapshot(model.model), desired.models.get(model.model)
    for entrance in model.entrances:
        if entrance.candidate in live.versions:
            continue
        judging = rules.judging_model(model.model, place_of(model, live, entrance), model.past)
        if any(guards_before(one, one.policy, live, manifest, entrance.slot) for one in judging):
            yield Blocker(
                "not-registered-yet",
                f"v{entrance.candidate} of {model.model} would be registered by this change, and gates guard "
                f"{entrance.slot}: they judge only versions that are registered.",
                "Declare it under `None`, or in a stage without gates, and apply that; then declare it here.",
                manifest.model.at if manifest else None,
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
        judging = rules.judging_model(model.model, place_of(model, live, entrance), past)
        guards = [guard for one in judging for guard in guards_before(one, one.policy, live, manifest, entrance.slot)]
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


def _other_originals(
    world: World, model: ModelPlan, snapshot: RegistrySnapshot, desired: DesiredState
) -> Iterable[Blocker]:
    """What would enter a slot as the copy of a version that it is no copy of."""
    live, manifest = snapshot.models.get(model.model), desired.models.get(model.model)
    for entrance in model.entrances:
        version = None if live is None else live.versions.get(entrance.candidate)
        pin = None if version is None else copy_pin(manifest, entrance.slot, version, found=False)
        if version is None or pin is None:
            continue
        # Only a tag says of which original a copy from another registry is: so it is compared before any slot.
        elsewhere = pin.original is not None and bool(pin.original.registry)
        if not elsewhere and (entrance.slot not in model.guarded or entrance.kind in EXEMPT):
            continue
        if elsewhere and not isinstance(pin.source, Source) and not _was_that_copy(pin, entrance, version, model.past):
            # What was let in before may come back while its original cannot be asked about; a tag lets nothing in, and
            # makes neither what was found there a copy, nor what was there once for itself.
            lacking = pin.source or NoSource("source-not-read", f"{pin.original} is not known.", "Apply again.")
            yield Blocker(lacking.code, lacking.why, lacking.fix, pin.at)
            continue
        if world.checks is None or not isinstance(pin.source, Source):
            continue
        if (fault := copy_fault(world, model.model, version, pin.source.run_id, pin.source.since)) is not None:
            fix = f"Declare v{version.version} by its number, or copy another version."
            if elsewhere:
                # What is in a registry, and says that it is a copy, may be anybody's: nobody is told to declare it.
                fix = f"Remove the tag `{ORIGINAL_TAG}` of v{version.version}, and it is copied anew."
            yield Blocker("another-original", f"{fault}.", fix, pin.at)


def _was_that_copy(pin: Pin, entrance: Entrance, version: VersionSnapshot, past: Past | None) -> bool:
    """Whether a version comes back that was let in before as a copy of the same original, by a record that counts."""
    record = version.provenance.get(entrance.slot)
    place = None if past is None else past.place_of(record, version)
    if past is None or record is None or place is None or entrance.kind not in WAY_BACK - {Kind.FOUND}:
        return False
    then = past.epoch_at(place)
    copied = (one.original for one in pins_of(then.manifest if then else None, entrance.slot))
    return pin.original in copied and (record.proven or not past.sealed)


def compared_files(world: World, model: ModelRef, recorded: Iterable[FilesThen]) -> tuple[Replaced | str | None, ...]:
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


def _digest_of(world: World, model: ModelRef, version: Version) -> str:
    if world.checks is None:
        raise ReconcilerError("This registry has no model files.")
    return world.checks.digest(model, version)


def judge_proposed(
    world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules
) -> tuple[Verdict, ...]:
    """What the policy would say that the change under review proposes; it decides nothing yet."""
    if rules.proposed is None:
        return ()
    # Without the verdicts of the rules that stand: they would keep the models that they refuse from being judged.
    world, snapshot = with_originals(world, plan), as_copied(plan, snapshot)
    bare = replace(plan, models=tuple(replace(model, verdicts=()) for model in plan.models))
    deciders = Deciders(world, bare, snapshot, desired, rules)
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
    deciders: Deciders,
) -> Plan:
    budget = Budget(world.stopwatch)

    def cases_of(model: ModelPlan) -> tuple[Case, ...]:
        live, manifest, share = snapshot.models.get(model.model), desired.models.get(model.model), budget.share()
        return tuple(case.restrained(share) for case in _cases(rules, model, live, manifest, plan, policy, deciders))

    cases = {model.model: contained(partial(cases_of, model)) for model in plan.models if not model.blockers}
    groups = {name: group for name, group in cases.items() if not isinstance(group, Failure)}
    known: dict[ModelRef, list[Known]] = defaultdict(list)
    for one in Gathering(world, snapshot, desired, plan).gather([c for group in groups.values() for c in group]):
        known[one.case.entrance.model].append(one)

    def judged(model: ModelPlan) -> ModelPlan:
        live, manifest = snapshot.models.get(model.model), desired.models.get(model.model)
        if isinstance(failure := cases.get(model.model), Failure):
            return replace(model, blockers=(not_judged(model.model, failure),))
        judged_cases = known[model.model]
        verdicts = contained(lambda: _distinct(judged_cases))
        if isinstance(verdicts, Failure):
            return replace(model, blockers=(not_judged(model.model, verdicts),))
        judged_slots = {one.case.entrance.slot for one in judged_cases}
        guarded = judged_slots | {e.slot for e in model.entrances if is_guarded(rules, live, manifest, e.slot)}
        grounds: dict[tuple[Version, Slot], Grounds] = defaultdict(Grounds)
        for one in judged_cases:
            entering = (one.case.entrance.candidate, one.case.entrance.slot)
            grounds[entering] = grounds[entering].joined(one.grounds)
        return replace(model, verdicts=verdicts, guarded=frozenset(guarded), grounds=dict(grounds))

    return replace(plan, models=tuple(map(judged, plan.models)))


def _distinct(known: Iterable[Known]) -> tuple[Verdict, ...]:
    """Each thing that is said once: several rules may have one gate, and differ in what is not asked about."""
    said: dict[tuple[object, ...], Verdict] = {}
    for verdict in chain.from_iterable(one.verdicts() for one in known):
        said.setdefault((verdict.entrance, verdict.gate, verdict.ruling, verdict.sentence, verdict.note), verdict)
    return tuple(said.values())


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
    deciders = Deciders(world, replace(plan, models=(replace(model, past=past),)), snapshot, desired, rules)
    cases = tuple(case.restrained(share) for case in _cases(rules, model, live, manifest, plan, None, deciders))
    return _distinct(Gathering(world, snapshot, desired, plan).gather(cases))


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
    found: dict[tuple[Slot, Slot], list[str]] = defaultdict(list)
    kept = {alias_slot(one.previous) for one in desired.revision.slots.stages if one.previous is not None}
    for model in plan.models:
        live, manifest = snapshot.models.get(model.model), desired.models.get(model.model)
        if live is None:
            continue
        guards = partial(rules.guards, rules.policy, live, manifest=manifest)
        guarded = next((slot for slot in sorted(model.live_slots) if guards(slot)), None)
        slots = {alias_slot(change.alias) for change in model.changes if isinstance(change, SetAlias)} - kept
        for slot in sorted(slots):
            if guarded is not None and not guards(slot):
                found[slot, guarded].append(str(model.model))
    return tuple(
        f"{slot} of {some(names)} is moved; no gate guards it, while gates guard {guarded}."
        for (slot, guarded), names in found.items()
    )


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
    deciders: Deciders,
) -> Iterable[Case]:
    """The entrances that are judged, by each of the rules that judge them, or by one policy alone."""
    if live is None:
        return
    for entrance in model.entrances:
        if entrance.kind in EXEMPT:
            continue
        place = place_of(model, live, entrance)
        latest = model.past.epochs[0].start if model.past and model.past.epochs else 0
        seen: list[tuple[Guard, tuple[object, ...]]] = []
        for judging in _judging(rules, model, place, deciders) if policy is None else (rules,):
            settings = (policy or judging.policy).settings
            # One gate asks different things where different people may approve, or its stages are other slots.
            asks = (judging.owners.get(model.model, ()), judging.policy.signers, settings.meanings)
            found = (
                guards_before(judging, judging.policy, live, manifest, entrance.slot)
                if policy is None
                else proposed_guards(judging, policy, live, manifest, entrance.slot)
            )
            if (other := _judged_as(entrance, plan.revision.slots, live, manifest, model.past)) is not None:
                # What guards that slot is asked before that slot, or was.
                asked = guards_before(judging, policy or judging.policy, live, manifest, other)
                found = tuple(guard for guard in found if guard not in asked)
            guards = tuple(g for g in found if not any(is_same_gate(g, other) and asks == by for other, by in seen))
            seen.extend((guard, asks) for guard in guards)
            if guards:
                change, last = (change_at(judging, plan, at) for at in (place, latest))
                yield Case(entrance, guards, _overrides(manifest, entrance.slot), judging, change, last, settings)


def _judged_as(
    entrance: Entrance, slots: SlotMap, live: ModelSnapshot, manifest: Manifest | None, past: Past | None
) -> Slot | None:
    """
    The slot by whose gates a version is let into another one, too. For an alias, the stage that it stands for, if that
    is to hold the same version: it is there, or enters and is judged. For a stage, the alias that stood for it when the
    version was let in there, and names it still. For an alias that is kept on what left, the one that it leaves.
    """
    slot, version = entrance.slot, entrance.candidate
    twin = slots.twin_of(slot)
    if twin is not None:
        return twin if version in declared_versions(manifest, twin, live) else None
    if past is None:
        return None
    if slot.stage is not None:
        alias = slots.alias_of(slot)
        if alias is None or slots.twin_of(alias_slot(alias)) != slot:
            return None
        held = past.held(live, alias_slot(alias), version) and was_let_in(live, alias_slot(alias), version, past, slot)
        return alias_slot(alias) if held else None
    leaving = (alias_slot(one.alias) for one in slots.stages if one.previous == slot.alias)
    return next((one for one in leaving if was_let_in(live, one, version, past)), None)


def _judging(rules: Rules, model: ModelPlan, place: int, deciders: Deciders) -> Iterable[Rules]:
    """All by which a pin of a model is judged; where who decides is not settled, by those who were before, too."""
    for one in rules.judging_model(model.model, place, model.past):
        yield one
        at = rules.trunk.places.get(one.base) if rules.trunk and one.base else None
        older = one.decided_by(deciders.of(model.model).at(at), model.model)
        if older is not None:
            yield older


WAY_BACK = frozenset({Kind.ROLLBACK, Kind.RESTORATION, Kind.RESUMED, Kind.FOUND})
"""What was let in before, or was there: it stays possible while another registry does not answer."""

EXEMPT = frozenset({Kind.RESTORATION, Kind.FOUND})
"""What no gate is asked about: it was, or it was there before there was anything to ask."""


def _overrides(manifest: Manifest | None, slot: Slot) -> tuple[Override, ...]:
    return tuple(o for o in (manifest.overrides if manifest else ()) if o.slot in {None, slot})
