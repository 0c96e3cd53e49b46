"""What the rules that stand say of a plan: every version that it moves into a guarded slot is put before its gates."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.approval import counted, eligible
from reconciler.core.changes import SetAlias, TransitionStage
from reconciler.core.desired import DesiredState, Manifest, Pin, resolve
from reconciler.core.diff import ModelPlan
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    LOADABLE,
    MODEL,
    NOBODY,
    NOW,
    PRESENT,
    STAGE,
    ChangeFacts,
    Entrance,
    FactKey,
    Facts,
    Guard,
    ModelFacts,
    Override,
    Verdict,
    judge_guard,
)
from reconciler.core.likeness import StandingNames, refuse_look_alikes
from reconciler.core.names import OUR_TAG_PREFIX, Commit, ModelName, Stage, Version, alias_slot
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy
from reconciler.core.review import highest_occupant
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.core.stays import stay_in
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.gates.approvals import Approvals
from reconciler.ports import Asked, Relation, Reviews, World


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What the trusted side lays down: the policy of the commit before the change under review, and the owners and tags
    that the manifests of that commit declare. `proposed` is the policy as the change would have it, where that is
    another one.
    """

    policy: Policy = Policy()
    proposed: Policy | None = None
    base: Commit | None = None
    owners: Mapping[ModelName, tuple[str, ...]] = field(default_factory=dict[ModelName, tuple[str, ...]])
    tags: Mapping[ModelName, Mapping[str, str]] = field(default_factory=dict[ModelName, Mapping[str, str]])
    names: StandingNames = StandingNames()

    def guards(self, policy: Policy, live: ModelSnapshot, slot: str) -> tuple[Guard, ...]:
        """
        The gates of a policy before a slot. A rule is about a model by its tags in the registry, and by those that the
        trusted manifests declare: whoever can tag a model takes it out of no rule that a manifest puts it into.
        """
        return policy.guards(live.name, slot, live.tags, {**live.tags, **self.tags.get(live.name, {})})


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class _Case:
    """One entrance, the gates before it, and the overrides that the manifest asks for."""

    entrance: Entrance
    guards: tuple[Guard, ...]
    overrides: tuple[Override, ...]


def judge(world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> Plan:
    """The plan with the verdicts of the policy that stands, which block a model as a whole. Reads, writes nothing."""
    plan = refuse_look_alikes(plan, snapshot, desired, rules.names, rules.policy)
    return _judged(world, plan, snapshot, desired, rules, rules.policy)


def judge_proposed(
    world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules
) -> tuple[Verdict, ...]:
    """What the policy would say that the change under review proposes; it decides nothing yet."""
    if rules.proposed is None:
        return ()
    judged = _judged(world, plan, snapshot, desired, rules, rules.proposed)
    return tuple(verdict for model in judged.models for verdict in model.verdicts)


def _judged(
    world: World, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules, policy: Policy
) -> Plan:
    history = _History(world, rules.base)
    cases = {
        model.model: tuple(
            history.proven(case, snapshot.models.get(model.model))
            for case in _cases(rules, model, snapshot.models.get(model.model), desired.models.get(model.model), policy)
        )
        for model in plan.models
        if not model.blocked
    }
    facts = _Gathering(world, snapshot, desired, rules, policy).gather([c for group in cases.values() for c in group])
    models = tuple(
        replace(model, verdicts=tuple(facts.verdicts(cases[model.model]))) if cases.get(model.model) else model
        for model in plan.models
    )
    return replace(plan, models=models)


def judge_one(
    world: World, live: ModelSnapshot, version: Version, desired: DesiredState, rules: Rules
) -> tuple[Verdict, ...]:
    """What every guarded slot of a model would say to one version of it: why it can, or cannot, be promoted."""
    manifest = desired.models.get(live.name)
    slots = _guarded_slots(rules.policy, live, manifest)
    history = _History(world, rules.base)
    cases = [
        history.proven(_Case(entrance, guards, _overrides(manifest, slot)), live)
        for slot in slots
        if (guards := _guards(rules, rules.policy, live, manifest, slot))
        for entrance in [_entrance(live, version, slot)]
    ]
    snapshot = RegistrySnapshot({live.name: live})
    return tuple(_Gathering(world, snapshot, desired, rules, rules.policy).gather(cases).verdicts(cases))


def unguarded(plan: Plan, snapshot: RegistrySnapshot, rules: Rules) -> tuple[str, ...]:
    """Aliases that move to other versions, of models whose Production is guarded, with no gate before them."""
    told: list[str] = []
    for model in plan.models:
        live = snapshot.models.get(model.model)
        if live is None or not rules.guards(rules.policy, live, Stage.PRODUCTION):
            continue
        for change in model.changes:
            if not isinstance(change, SetAlias):
                continue
            slot = alias_slot(change.alias)
            if not rules.guards(rules.policy, live, slot):
                told.append(f"{slot} of {model.model} is moved, and no gate guards it as gates guard its Production.")
    return tuple(told)


def _guarded_slots(policy: Policy, live: ModelSnapshot, manifest: Manifest | None) -> list[str]:
    aliases = {*live.aliases, *(manifest.aliases if manifest else ())}
    named = {slot for rule in policy.rules for slot in rule.slots if not set(slot) & set("*?[")}
    slots = {*(stage.value for stage in Stage if stage.active), *map(alias_slot, aliases), *named}
    return sorted(slots, key=lambda slot: (slot.startswith("@"), slot))


def _cases(
    rules: Rules, model: ModelPlan, live: ModelSnapshot | None, manifest: Manifest | None, policy: Policy
) -> Iterable[_Case]:
    if live is None:
        return
    for change in model.changes:
        if isinstance(change, TransitionStage) and change.after.active:
            slot, version = change.after.value, change.version
        elif isinstance(change, SetAlias):
            slot, version = alias_slot(change.alias), change.after
        else:
            continue
        if guards := _guards(rules, policy, live, manifest, slot):
            yield _Case(_entrance(live, version, slot), guards, _overrides(manifest, slot))


def guarded(
    model: ModelPlan, live: ModelSnapshot | None, manifest: Manifest | None, rules: Rules
) -> tuple[Entrance, ...]:
    """What these calls would let into slots that gates guard."""
    return tuple(case.entrance for case in _cases(rules, model, live, manifest, rules.policy))


def _guards(
    rules: Rules, policy: Policy, live: ModelSnapshot, manifest: Manifest | None, slot: str
) -> tuple[Guard, ...]:
    """Those of the policy, then those by which the manifest tightens it for its model."""
    own = manifest.gates.get(slot) if manifest else None
    tightened = (_with_groups(guard, policy) for guard in (own.value if own else ()))
    return (*rules.guards(policy, live, slot), *tightened)


def _with_groups(guard: Guard, policy: Policy) -> Guard:
    """A manifest names groups; who is in them, the policy says."""
    gate = guard.gate
    return replace(guard, gate=replace(gate, groups=policy.groups)) if isinstance(gate, Approvals) else guard


def _overrides(manifest: Manifest | None, slot: str) -> tuple[Override, ...]:
    return tuple(o for o in (manifest.overrides if manifest else ()) if o.slot in {"", slot})


def _entrance(live: ModelSnapshot, version: Version, slot: str) -> Entrance:
    known = live.versions.get(version)
    if slot.startswith("@"):
        incumbent = next((v for alias, v in live.aliases.items() if alias_slot(alias) == slot), None)
        held = known is not None and incumbent != version and _has_been_named(live, slot, version, incumbent)
    else:
        stage = Stage(slot)
        incumbent = highest_occupant(live, stage, version)
        held = known is not None and known.has_held(stage)
    return Entrance(live.name, version, slot, incumbent, rollback=held)


def _has_been_named(live: ModelSnapshot, slot: str, version: Version, incumbent: Version | None) -> bool:
    """
    Whether our records show that an alias has named the version. One that begins with what the alias names still was
    written down and maybe not made; then the record of what took the version's place since shows it.
    """
    placement = live.versions[version].provenance.get(slot)
    if placement is None:
        return False
    others = (other.provenance.get(slot) for other in live.versions.values())
    made = placement.before != ("" if incumbent is None else f"v{incumbent}")
    return made or any(other is not None and other.before == f"v{version}" for other in others)


@dataclass(frozen=True, slots=True)
class _History:
    """
    What was declared by commits that the trusted side contains. The record on a version, which whoever may tag it can
    write, is believed to have held a slot only where the commit that it names did declare so.
    """

    world: World
    base: Commit | None
    declared: dict[Commit, Mapping[ModelName, Manifest]] = field(
        default_factory=dict[Commit, Mapping[ModelName, Manifest]]
    )

    def proven(self, case: _Case, live: ModelSnapshot | None) -> _Case:
        """The case, as a roll-back only if it can be proven that the version has held the slot."""
        entrance = case.entrance
        if not entrance.rollback or all(guard.waive_on_rollback is False for guard in case.guards):
            return case
        version = live.versions.get(entrance.candidate) if live else None
        placement = version.provenance.get(entrance.slot) if version else None
        if version and placement and placement.commit and self._declares(placement.commit, version, entrance):
            return case
        return replace(case, entrance=replace(entrance, rollback=False))

    def _declares(self, commit: Commit, version: VersionSnapshot, entrance: Entrance) -> bool:
        source = self.world.source
        if self.base is None or source.relation(commit, self.base) not in {Relation.SAME, Relation.ANCESTOR}:
            return False
        if commit not in self.declared:
            fragments, _ = self.world.parse(source.read(commit).files)
            self.declared[commit] = resolve(fragments)[0]
        manifest = self.declared[commit].get(entrance.model)
        return manifest is not None and any(
            (pin.version is None or pin.version == version.version) and pin.run_id in {None, version.run_id}
            for pin in _pins_of(manifest, entrance.slot)
        )


def _pins_of(manifest: Manifest, slot: str) -> tuple[Pin, ...]:
    if slot.startswith("@"):
        named = next((d.value for alias, d in manifest.aliases.items() if alias_slot(alias) == slot), None)
        return () if named is None else (named,)
    declared = manifest.stages.get(Stage(slot))
    return declared.value if declared else ()


@dataclass(frozen=True, slots=True)
class _Known:
    """The facts of some cases, and who approved."""

    rules: Rules
    policy: Policy
    facts: Mapping[Entrance, Facts]

    def verdicts(self, cases: Iterable[_Case]) -> Iterable[Verdict]:
        for case in cases:
            facts = self.facts[case.entrance]
            for guard in case.guards:
                override = next((o for o in case.overrides if o.gate == guard.name), None)
                yield judge_guard(guard, case.entrance, facts, override, self._approvers(guard, case, facts))

    def _approvers(self, guard: Guard, case: _Case, facts: Facts) -> tuple[str, ...] | None:
        if guard.override is None or facts.why_unknown(APPROVALS) or facts.why_unknown(CHANGE):
            return None
        if not facts[CHANGE].authors:
            # Whoever approved may be the author.
            return None
        people = eligible(guard.override, self.rules.owners.get(case.entrance.model, ()), self.policy.groups)
        return counted(facts[APPROVALS], people, facts[CHANGE].authors)


@dataclass(frozen=True, slots=True)
class _Gathering:
    """Finds out what gates ask for: what several of them need is looked up once, and what none needs is not."""

    world: World
    snapshot: RegistrySnapshot
    desired: DesiredState
    rules: Rules
    policy: Policy

    def gather(self, cases: Iterable[_Case]) -> _Known:
        wanted: dict[Entrance, set[FactKey[Any]]] = {}
        for case in cases:
            needs = wanted.setdefault(case.entrance, set())
            for guard in case.guards:
                needs.update(guard.gate.needs(case.entrance))
            if case.overrides:
                needs.update((NOW, APPROVALS, CHANGE))
        versions = self._versions(wanted)
        reviewed = self._reviewed(wanted)
        now = self.world.clock.now() if wanted else ""
        return _Known(
            self.rules,
            self.policy,
            {entrance: self._facts(entrance, needs, versions, reviewed, now) for entrance, needs in wanted.items()},
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
            return "this registry has no evidence to show"
        try:
            return self.world.evidence.gather(sorted(asked, key=lambda a: (a.model, a.version)))
        except RegistryError as error:
            return str(error)

    def _reviewed(self, wanted: Mapping[Entrance, set[FactKey[Any]]]) -> Callable[[ModelName], Reviews | str]:
        """Who approved what is declared of a model, looked up for those models where a gate asks."""
        asking = {entrance.model for entrance, needs in wanted.items() if {APPROVALS, CHANGE} & needs}
        found = {model: self._reviews_of(model) for model in sorted(asking)}
        return lambda model: found.get(model, "nobody asked")

    def _reviews_of(self, model: ModelName) -> Reviews | str:
        head = self.desired.revision.commit
        if head is None:
            return "what is in no commit yet can have been approved by nobody"
        if self.world.reviews is None:
            return "this command does not look for approvals"
        try:
            return self.world.reviews.find(self.rules.base, head, model, self.policy.signers)
        except ReconcilerError as error:
            return str(error)

    def _facts(
        self,
        entrance: Entrance,
        needs: set[FactKey[Any]],
        versions: Mapping[Asked, VersionFacts] | str,
        reviewed: Callable[[ModelName], Reviews | str],
        now: str,
    ) -> Facts:
        known: dict[FactKey[Any], object] = {}
        unknown: dict[FactKey[Any], str] = {}
        gone: set[FactKey[Any]] = set()
        for key in sorted(needs, key=str):
            value = self._fact(key, entrance, versions, reviewed, now)
            if isinstance(value, _Unknown):
                unknown[key] = value.why
                gone.update({key} if value.gone else ())
            else:
                known[key] = value
        return Facts(known, unknown, frozenset(gone))

    def _fact(
        self,
        key: FactKey[Any],
        entrance: Entrance,
        versions: Mapping[Asked, VersionFacts] | str,
        reviewed: Callable[[ModelName], Reviews | str],
        now: str,
    ) -> object:
        live = self.snapshot.models[entrance.model]
        candidate = live.versions.get(entrance.candidate)
        if key == NOW:
            return now
        if key == MODEL:
            tags = {k: v for k, v in live.tags.items() if not k.startswith(OUR_TAG_PREFIX)}
            return ModelFacts(live.name, live.description, tags, self.rules.owners.get(live.name, ()))
        if key == CANDIDATE:
            return _facts_of(versions, entrance.model, entrance.candidate)
        if key == INCUMBENT:
            return NOBODY if entrance.incumbent is None else _facts_of(versions, entrance.model, entrance.incumbent)
        if key in {CHANGE, APPROVALS}:
            return self._review_fact(key, reviewed(entrance.model))
        if key in {CHECKS, PRESENT, LOADABLE}:
            return self._check_fact(key, entrance)
        if candidate is None:
            return _Unknown(f"the registry does not show v{entrance.candidate}")
        if key == STAGE:
            return candidate.stage.value
        if key.name == "stay":
            stay = stay_in(Stage(key.argument), candidate)
            return _Unknown(stay) if isinstance(stay, str) else stay
        if key.name == "contained":
            return self._contained(key.argument, _facts_of(versions, entrance.model, entrance.candidate))
        return _Unknown("this release cannot look it up")

    def _review_fact(self, key: FactKey[Any], found: Reviews | str) -> object:
        if isinstance(found, str):
            return _Unknown(found)
        if key == APPROVALS:
            return found.approvals
        revision = self.desired.revision
        return ChangeFacts(revision.commit, found.authors, revision.subject, self.rules.base)

    def _check_fact(self, key: FactKey[Any], entrance: Entrance) -> object:
        checks = self.world.checks
        if checks is None:
            return _Unknown("this registry has no model files to look at")
        try:
            if key == CHECKS:
                return checks.facts(entrance.model, entrance.candidate, self.policy.signers)
            if key == PRESENT:
                return checks.present(entrance.model, entrance.candidate)
            return checks.loads(entrance.model, entrance.candidate)
        except ReconcilerError as error:
            return _Unknown(str(error))

    def _contained(self, branch: str, candidate: "VersionFacts | _Unknown") -> object:
        if isinstance(candidate, _Unknown):
            return candidate
        commit = candidate.run.git_commit if candidate.run else ""
        if not commit:
            gap = candidate.gap("version", "run")
            why = f"it is not known from which commit v{candidate.version} was trained"
            return _Unknown(why, gone=gap is not None and gap.gone)
        found = self.world.source.contains_commit(commit, branch)
        return _Unknown(f"git cannot tell whether {commit[:12]} is in {branch}") if found is None else found


@dataclass(frozen=True, slots=True)
class _Unknown:
    why: str
    gone: bool = False


def _facts_of(
    versions: Mapping[Asked, VersionFacts] | str, model: ModelName, version: Version
) -> VersionFacts | _Unknown:
    if isinstance(versions, str):
        return _Unknown(versions)
    return versions.get(Asked(model, version)) or _Unknown(f"nothing is known of v{version}")
