"""What the trusted side lays down: the policies, owners, tags, holds and gates by which a change is judged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeVar

from reconciler.core.desired import Hold, Manifest
from reconciler.core.diff import ModelPlan
from reconciler.core.gate import (
    Entrance,
    Guard,
)
from reconciler.core.likeness import StandingNames, standing_names
from reconciler.core.names import Commit, ModelRef, Slot
from reconciler.core.past import Past
from reconciler.core.policy import Policy
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import ModelSnapshot
from reconciler.gates.approvals import Approvals
from reconciler.gates.authority import Side
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
    owners: Mapping[ModelRef, tuple[str, ...]] = field(default_factory=dict[ModelRef, tuple[str, ...]])
    tags: Mapping[ModelRef, Mapping[str, str]] = field(default_factory=dict[ModelRef, Mapping[str, str]])
    touched: frozenset[str] = frozenset()
    names: StandingNames = StandingNames()
    holds: Mapping[ModelRef, tuple[Hold, ...]] = field(default_factory=dict[ModelRef, tuple[Hold, ...]])
    gates: Mapping[ModelRef, Mapping[Slot, tuple[Guard, ...]]] = field(
        default_factory=dict[ModelRef, Mapping[Slot, tuple[Guard, ...]]]
    )
    trunk: Trunk | None = None
    beside: tuple["Rules", ...] = ()
    formerly: Mapping[ModelRef, tuple[ModelRef, ...]] = field(default_factory=dict[ModelRef, tuple[ModelRef, ...]])
    renames: Mapping[ModelRef, tuple[ModelRef, ...]] = field(default_factory=dict[ModelRef, tuple[ModelRef, ...]])
    _older: dict[int, tuple["Rules", ...]] = field(
        default_factory=dict[int, tuple["Rules", ...]], init=False, compare=False, repr=False
    )

    def called(self, renames: Mapping[ModelRef, tuple[ModelRef, ...]]) -> "Rules":
        """The same, with what the trusted manifests say of a model that was renamed under the name that it has now."""
        if not renames:
            return self

        def now(before: Mapping[ModelRef, T]) -> dict[ModelRef, T]:
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

    def guards(
        self, policy: Policy, live: ModelSnapshot, slot: Slot, manifest: Manifest | None, slots: SlotMap | None = None
    ) -> tuple[Guard, ...]:
        """
        The gates of a policy before a slot. A rule is about a model by its tags in the registry, by those that the
        trusted manifests declare, and by those of the change, and by former names of these as by its own: nobody who
        tags or renames a model, or stops to say so, takes it out of a rule that one of these puts it into. What slots
        stand for is what the change says, and what the policy before it does; else what `slots` say.
        """
        proposed = manifest.tag_values if manifest else {}
        standing = self.tags.get(live.name, {})
        tags = (live.tags, {**live.tags, **standing}, {**live.tags, **proposed})
        if slots is None:
            slots = PLAIN if self.trunk is None else self.trunk.world.slots
        return policy.guards(live.name, slot, *tags, formerly=self.former_names(live.name, manifest), slots=slots)

    def is_about(self, named: Slot, slot: Slot) -> bool:
        """Whether what manifests say of one slot is about another, by what stages are here or are to be."""
        here = self.policy.settings.slots
        return here.is_about(named, slot) or (self.trunk is not None and self.trunk.world.slots.is_about(named, slot))

    def former_names(self, name: ModelRef, manifest: Manifest | None) -> tuple[ModelRef, ...]:
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

    def judging_model(self, name: ModelRef, place: int, past: Past | None) -> tuple["Rules", ...]:
        """
        Those that differ in what they say of one model. Where it is not known where its change began, what its
        manifests said at any time before counts, too: nobody lifts a hold and walks past it in one push.
        """
        found = list(self.judging(place))
        if self.trunk is not None and past is not None and self._begins_nowhere(place):
            for epoch in past.epochs:
                if epoch.start > place and epoch.manifest is not None:
                    found.append(
                        replace(self, holds={name: epoch.manifest.holds}, gates={name: own_gates(epoch.manifest)})
                    )
        distinct: list[Rules] = []
        for one in found:
            if not any(one.says_the_same(other, name) for other in distinct):
                distinct.append(one)
        return tuple(distinct)

    def _begins_nowhere(self, place: int) -> bool:
        end = self.trunk.at(place) if self.trunk else None
        return end is not None and not end.merge and self.trunk is not None and self.trunk.before(place) is None

    def says_the_same(self, other: "Rules", name: ModelRef) -> bool:
        """Whether two say the same of one model."""

        def about(rules: Rules) -> list[object]:
            texts = (rules.policy.rules, rules.policy.text, rules.policy.signers, rules.policy.groups)
            return [*texts, *(one.get(name) for one in (rules.owners, rules.tags, rules.holds, rules.gates))]

        return about(self) == about(other)

    def decided_by(self, side: Side | None, name: ModelRef) -> "Rules | None":
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
        gates={name: own_gates(manifest) for name, manifest in models},
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


def own_gates(manifest: Manifest) -> Mapping[Slot, tuple[Guard, ...]]:
    return {slot: declared.value for slot, declared in manifest.gates.items()}


def is_guarded(rules: Rules, live: ModelSnapshot | None, manifest: Manifest | None, slot: Slot) -> bool:
    """Whether gates are before a slot."""
    if live is None:
        return False
    return any(guards_before(one, one.policy, live, manifest, slot) for one in (rules, *rules.beside))


def guards_before(
    rules: Rules, policy: Policy, live: ModelSnapshot, manifest: Manifest | None, slot: Slot
) -> tuple[Guard, ...]:
    """
    Those of the policy, then those by which the manifest tightens it for its model, as it stands and as it is proposed.
    """
    own = rules.gates.get(live.name, {})
    tightened = chain.from_iterable(guards for named, guards in own.items() if rules.is_about(named, slot))
    standing = tuple(_with_groups(guard, policy.groups) for guard in tightened)
    found = proposed_guards(rules, policy, live, manifest, slot)
    return (*found, *(guard for guard in standing if not any(is_same_gate(guard, other) for other in found)))


def proposed_guards(
    rules: Rules, policy: Policy, live: ModelSnapshot, manifest: Manifest | None, slot: Slot
) -> tuple[Guard, ...]:
    """The same, by what the manifest says now."""
    own = manifest.gates.items() if manifest else ()
    guards = chain.from_iterable(declared.value for named, declared in own if rules.is_about(named, slot))
    tightened = (_with_groups(guard, policy.groups) for guard in guards)
    return (*rules.guards(policy, live, slot, manifest), *tightened)


def is_same_gate(guard: Guard, other: Guard) -> bool:
    """Whether two policies have the same gate, wherever in the file."""
    return replace(guard, at=other.at) == other


def _with_groups(guard: Guard, groups: Mapping[str, tuple[str, ...]]) -> Guard:
    """A manifest names groups; who is in them, the policy says."""
    gate = guard.gate
    return replace(guard, gate=replace(gate, groups=groups)) if isinstance(gate, Approvals) else guard


def place_of(model: ModelPlan, live: ModelSnapshot | None, entrance: Entrance) -> int:
    """Where on the trusted line the change is that declared an entrance."""
    run = model.past.run(live, entrance.slot, entrance.candidate) if model.past and live else None
    return run.start if run else 0
