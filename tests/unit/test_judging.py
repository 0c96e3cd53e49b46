"""A plan before its gates: what is looked up, what blocks, and what a policy that is only proposed may do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from reconciler.core.evidence import Metric, VersionFacts
from reconciler.core.gate import (
    CANDIDATE,
    Approval,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Guard,
    Judgement,
    Override,
    Quorum,
    Ruling,
    failed,
    passed,
)
from reconciler.core.names import AliasName, ModelRef, Slot, Version
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.policy import Policy, Rule
from reconciler.core.review import Scope
from reconciler.core.snapshot import Placement
from reconciler.deciders import not_judged
from reconciler.errors import Failure, Location, ReconcilerError, RegistryError, contained
from reconciler.events import OutcomeStatus
from reconciler.gates.approvals import Approvals
from reconciler.gates.metric import Metric as MetricGate
from reconciler.gates.path import Path
from reconciler.pipeline import ApplyRequest, apply
from reconciler.planning import declare, judge_version, make_plan, make_review
from reconciler.ports import UNREACHABLE, Asked, Reviews, World
from reconciler.rules import Rules
from tests.build import CHURN, FIRST, OURS, SECOND, THIRD, A, N, P, S, have, owns, want, with_version
from tests.world import Stage, stage

POLICY = Location("reconciler.yaml", 4, 9)


@dataclass(frozen=True)
class Says:
    """A gate that has made up its mind."""

    judgement: Judgement
    asks: tuple[FactKey[Any], ...] = ()

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return self.asks

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        return self.judgement


NO, YES = Says(failed("no")), Says(passed("yes"))


def guard(gate: Gate, name: str = "gate", **more: Any) -> Guard:
    return Guard(name, gate, POLICY, **more)


def rules(*guards: Guard, slot: str = "Production", **more: Any) -> Rules:
    return Rules(policy=Policy((Rule((slot,), guards, POLICY),), **more), base=FIRST)


def promotion(**aliases: int) -> Stage:
    """v2 is to go to Production in v1's place; another model is to be described."""
    wanted = want({P: [2]}, {**aliases})
    live = have({1: P, 2: S}, owner=owns(P))
    other, described = have({1: P}, name="other", owner=owns(P)), want({P: [1]}, name="other", description="New.")
    return stage({FIRST: (), SECOND: (wanted, described)}, live, other)


@dataclass
class Known:
    """Evidence, and how often it was asked for."""

    facts: Mapping[int, VersionFacts] = field(default_factory=dict[int, VersionFacts])
    asked: list[Asked] = field(default_factory=list[Asked])
    dead: bool = False

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        if self.dead:
            raise RegistryError(UNREACHABLE, "http://mlflow does not answer.")
        asked = list(asked)
        self.asked.extend(asked)
        return {a: self.facts.get(a.version, VersionFacts(a.model, a.version)) for a in asked}


@dataclass
class Said:
    """Approvals, or why there is no telling."""

    reviews: Reviews | str

    def find(self, base: object, head: object, model: object, signers: object) -> Reviews:
        if isinstance(self.reviews, str):
            raise ReconcilerError(self.reviews)
        return self.reviews


def plan_of(world: World, by: Rules) -> Plan:
    return make_plan(world, declare(world, "HEAD").desired, PlanOptions(), by)


def rulings(plan: Plan) -> list[tuple[str, str, Ruling]]:
    return [(v.entrance.slot, v.gate, v.ruling) for model in plan.models for v in model.verdicts]


def test_a_no_blocks_its_model_and_no_other() -> None:
    place = promotion()

    plan = plan_of(place.world, rules(guard(NO)))

    assert {model.model: model.blocked for model in plan.models} == {CHURN: True, "other": False}
    assert {change.model for change in plan.changes} == {"other"}
    assert (plan.summary.promote, plan.summary.blocked) == (0, 1)


def test_what_is_blocked_by_a_gate_is_not_applied_and_the_rest_is() -> None:
    place = promotion()

    receipt = apply(place.world, ApplyRequest(rules=rules(guard(NO))), place.events.append)

    assert {o.model: o.status for o in receipt.outcomes} == {
        CHURN: OutcomeStatus.BLOCKED,
        "other": OutcomeStatus.APPLIED,
    }
    assert place.registry.model(CHURN).occupants(P) == (1,)
    assert place.registry.model("other").description == "New."


def test_the_digest_is_the_same_whatever_gates_say() -> None:
    place = promotion()

    assert plan_of(place.world, rules(guard(NO))).digest == plan_of(place.world, rules(guard(YES))).digest


def test_a_slot_that_no_rule_guards_is_open() -> None:
    place = promotion()

    assert rulings(plan_of(place.world, rules(guard(NO), slot="Staging"))) == []


def test_an_alias_is_a_slot_like_any_other() -> None:
    place = promotion(champion=2)

    assert rulings(plan_of(place.world, rules(guard(NO), slot="@champion"))) == [("@champion", "gate", Ruling.FAIL)]


def test_evidence_is_looked_up_once_and_for_those_who_ask_alone() -> None:
    place, known = promotion(), Known()
    world = replace(place.world, evidence=known)

    plan_of(world, rules(guard(YES)))
    nothing = list(known.asked)
    plan_of(world, rules(guard(Says(passed("yes"), (CANDIDATE,)), "a"), guard(Says(passed("yes"), (CANDIDATE,)), "b")))

    assert nothing == []
    assert known.asked == [Asked(CHURN, Version(2))]


@pytest.mark.parametrize("evidence", [None, Known(dead=True)], ids=["there is none", "it does not answer"])
def test_without_evidence_a_gate_that_needs_it_does_not_pass(evidence: Known | None) -> None:
    place = promotion()

    plan = plan_of(replace(place.world, evidence=evidence), rules(guard(MetricGate("f1", threshold=0.1))))

    assert rulings(plan) == [("Production", "gate", Ruling.UNKNOWN)]


def test_a_gate_is_told_what_is_known_of_both_versions() -> None:
    place = promotion()
    facts = {n: VersionFacts(CHURN, Version(n), metrics=(Metric("f1", f1),)) for n, f1 in ((1, 0.8), (2, 0.9))}

    plan = plan_of(
        replace(place.world, evidence=Known(facts)), rules(guard(MetricGate("f1", min_absolute_change=0.05)))
    )

    assert rulings(plan) == [("Production", "gate", Ruling.PASS)]


def approved(by: str, *authors: str) -> Said:
    return Said(Reviews((Approval(by, "signed", APPROVED_AT),), authors or ("Ada <ada@acme.example>",)))


APPROVED_AT = "2026-05-01T09:00:00Z"


@pytest.mark.parametrize(
    ("reviews", "ruling"),
    [
        (approved("grace@acme.example"), Ruling.PASS),
        (approved("grace@acme.example", "Grace <grace@acme.example>"), Ruling.FAIL),
        (approved("mallory@acme.example"), Ruling.FAIL),
        (Said("the forge did not answer"), Ruling.UNKNOWN),
        (None, Ruling.UNKNOWN),
    ],
    ids=["approved", "by the author", "by somebody else", "not known", "nobody looks"],
)
def test_an_approval_is_of_the_group_and_not_the_authors(reviews: Said | None, ruling: Ruling) -> None:
    place = promotion()
    gate = Approvals(Quorum(1, "risk"), {"risk": ("grace@acme.example",)})

    plan = plan_of(replace(place.world, reviews=reviews), rules(guard(gate)))

    assert rulings(plan) == [("Production", "gate", ruling)]


def test_owners_are_those_of_the_trusted_side() -> None:
    place = promotion()
    gate, reviews = Approvals(Quorum(1), {}), approved("grace@acme.example")

    nobody = plan_of(replace(place.world, reviews=reviews), rules(guard(gate)))
    owned = plan_of(
        replace(place.world, reviews=reviews),
        replace(rules(guard(gate)), owners={CHURN: ("grace@acme.example",)}),
    )

    assert rulings(nobody) == [("Production", "gate", Ruling.FAIL)]
    assert rulings(owned) == [("Production", "gate", Ruling.PASS)]


def test_a_manifests_gates_come_on_top_and_know_the_policys_groups() -> None:
    place = promotion()
    own = guard(Approvals(Quorum(1, "risk"), {}), "own")
    declared = replace(
        want({P: [2]}),
        gates={"Production": replace(want({P: [2]}).stages[P], value=(own,))},  # pyright: ignore[reportArgumentType]
    )
    place.history.commits[SECOND] = (declared,)

    plan = plan_of(
        replace(place.world, reviews=approved("grace@acme.example")),
        rules(guard(NO), groups={"risk": ("grace@acme.example",)}),
    )

    churn = next(model for model in plan.models if model.model == CHURN)
    assert [(v.gate, v.ruling) for v in churn.verdicts] == [("gate", Ruling.FAIL), ("own", Ruling.PASS)]


def test_an_override_needs_its_quorum() -> None:
    place = promotion()
    asked = Override("gate", "The incumbent leaks.", "2999-01-01T00:00:00Z", POLICY)
    place.history.commits[SECOND] = (replace(want({P: [2]}), overrides=(asked,)),)
    by = rules(guard(NO, override=Quorum(1, "risk")), groups={"risk": ("grace@acme.example",)})

    ruled = [
        rulings(plan_of(replace(place.world, reviews=reviews), by))[0][2]
        for reviews in (approved("mallory@acme.example"), approved("grace@acme.example"), None)
    ]

    assert ruled == [Ruling.FAIL, Ruling.OVERRIDDEN, Ruling.FAIL]


@pytest.mark.parametrize("gate", ["approvals", "override"])
def test_an_approval_of_a_version_that_was_not_registered_yet_is_of_another_one(gate: str) -> None:
    place = promotion()
    quorum, groups = Quorum(1, "risk"), {"risk": ("grace@acme.example",)}
    if gate == "override":
        asked = Override("gate", "The incumbent leaks.", "2999-01-01T00:00:00Z", POLICY)
        place.history.commits[SECOND] = (replace(want({P: [2]}), overrides=(asked,)),)
    by = rules(guard(NO, override=quorum) if gate == "override" else guard(Approvals(quorum, groups)), groups=groups)
    place.registry.write(with_version(place.registry.model(CHURN), 2, created_at=1777628700000))  # 09:45

    plan = plan_of(replace(place.world, reviews=approved("grace@acme.example")), by)

    assert rulings(plan) == [("Production", "gate", Ruling.FAIL)]
    if gate == "approvals":
        (verdict,) = plan.models[0].verdicts
        assert verdict.sentence.endswith("v2 was not registered yet when grace@acme.example approved")


def test_a_change_by_bots_alone_needs_one_more_for_an_override() -> None:
    place = promotion()
    asked = Override("gate", "The incumbent leaks.", "2999-01-01T00:00:00Z", POLICY)
    place.history.commits[SECOND] = (replace(want({P: [2]}), overrides=(asked,)),)
    by = rules(guard(NO, override=Quorum(1, "risk")), groups={"risk": ("grace@acme.example", "@ada")})
    by_bots = Reviews((Approval("grace@acme.example", "signed", APPROVED_AT),), ("@ci[bot]",), by_bots=True)
    both = replace(by_bots, approvals=(*by_bots.approvals, Approval("@ada", "review", APPROVED_AT)))

    ruled = [rulings(plan_of(replace(place.world, reviews=Said(said)), by))[0][2] for said in (by_bots, both)]

    assert ruled == [Ruling.FAIL, Ruling.OVERRIDDEN]


def test_a_policy_that_is_proposed_decides_nothing() -> None:
    place = promotion()
    by = replace(rules(guard(YES)), proposed=rules(guard(NO, "stricter")).policy)

    review = make_review(
        place.world, declare(place.world, "HEAD"), PlanOptions(), scope=Scope.NONE, base=None, ref=None, rules=by
    )

    assert rulings(review.plan) == [("Production", "gate", Ruling.PASS)]
    assert review.policy is not None
    assert [(v.gate, v.ruling) for v in review.policy.proposed] == [("stricter", Ruling.FAIL)]


def test_a_version_may_be_asked_about_before_anybody_promotes_it() -> None:
    place = promotion()
    by = rules(guard(Path(("Staging",))))

    newest, let_in = judge_version(place.world, declare(place.world, "HEAD").desired, CHURN, None, by)
    _, kept_out = judge_version(place.world, declare(place.world, "HEAD").desired, CHURN, Version(1), by)

    assert newest == 2
    assert [v.ruling for v in let_in] == [Ruling.PASS]
    assert [v.ruling for v in kept_out] == [Ruling.FAIL]


@pytest.mark.parametrize(("model", "version"), [("nobody", None), ("churn", 9)])
def test_what_is_not_there_cannot_be_asked_about(model: str, version: int | None) -> None:
    place = promotion()
    wanted = None if version is None else Version(version)

    with pytest.raises(ReconcilerError):
        judge_version(place.world, declare(place.world, "HEAD").desired, ModelRef(model), wanted, rules())


def described(*, moved_at: int) -> Stage:
    """v2 is in Production already, so that no gate is asked; a hand takes it out before that read of the registry."""
    live = have({1: A, 2: P}, owner=owns(P))
    place = stage({FIRST: (), SECOND: (want({P: [2]}, description="New."),)}, live)

    def taken_out(number: int) -> None:
        if number == moved_at:
            place.registry.write(with_version(place.registry.model(CHURN), 2, stage=N))

    place.registry.before_read = taken_out
    return place


@pytest.mark.parametrize(
    ("moved_at", "status"),
    [(2, OutcomeStatus.STALE), (3, OutcomeStatus.FAILED)],
    ids=["before the first write", "before it is read back"],
)
def test_what_was_not_judged_does_not_enter_when_a_model_is_planned_anew(moved_at: int, status: OutcomeStatus) -> None:
    place = described(moved_at=moved_at)

    receipt = apply(place.world, ApplyRequest(rules=rules(guard(NO))), place.events.append)

    assert [outcome.status for outcome in receipt.outcomes] == [status]
    assert place.registry.model(CHURN).occupants(P) == ()


def test_what_was_judged_is_put_back_where_a_hand_took_it_out() -> None:
    place = promotion()

    def taken_out(number: int) -> None:
        if number == 3:
            place.registry.write(with_version(place.registry.model(CHURN), 2, stage=N))

    place.registry.before_read = taken_out

    receipt = apply(place.world, ApplyRequest(rules=rules(guard(YES))), place.events.append)

    assert [outcome.repaired for outcome in receipt.outcomes if outcome.model == CHURN] == [True]
    assert place.registry.model(CHURN).occupants(P) == (2,)


@pytest.mark.parametrize(("recorded", "occupants"), [(True, (3,)), (False, (2,))])
def test_a_newer_commits_version_enters_if_our_record_shows_that_it_was_let_in(
    recorded: bool, occupants: tuple[int, ...]
) -> None:
    commits = {FIRST: (want({P: [1]}),), SECOND: (want({P: [2]}),), THIRD: (want({P: [3]}),)}
    place = stage(commits, have({1: P, 2: S, 3: S}, owner=owns(P)), head=SECOND)

    def newer_was_there(number: int) -> None:
        if number == 3:
            live = replace(place.registry.model(CHURN), owner=owns(P, commit=THIRD))
            placed = {P.slot: Placement(P.slot, OURS, THIRD, "Staging")} if recorded else {}
            place.registry.write(with_version(live, 3, provenance=placed))

    place.registry.before_read = newer_was_there

    receipt = apply(place.world, ApplyRequest(rules=rules(guard(YES))), place.events.append)

    assert receipt.exit_code != 0
    assert place.registry.model(CHURN).occupants(P) == occupants


@pytest.mark.parametrize(
    ("named", "also", "ruling"),
    [(1, {}, Ruling.FAIL), (2, {}, Ruling.WAIVED), (1, {1: ["@champion"]}, Ruling.WAIVED)],
    ids=["a call that was never made", "a call that was made", "another one took its place since"],
)
def test_a_record_of_an_alias_that_was_never_moved_is_no_roll_back(
    named: int, also: Mapping[int, list[str]], ruling: Ruling
) -> None:
    live = have({1: P, 2: S, 3: S}, {"champion": named}, owner=owns("champion"), placed=also)
    champion = Slot("@champion")
    live = with_version(live, 3, provenance={champion: Placement(champion, OURS, FIRST, "v1")})
    if also:
        live = with_version(live, 1, provenance={champion: Placement(champion, OURS, FIRST, "v3")})
    declared = (want({}, {AliasName("champion"): 3}),)
    place = stage({FIRST: declared, SECOND: declared}, live)

    plan = plan_of(place.world, rules(guard(NO, waive_on_rollback=True), slot="@champion"))

    assert rulings(plan) == [("@champion", "gate", ruling)]


def test_what_says_itself_what_to_do_gets_no_other_remedy() -> None:
    def shallow() -> None:
        raise ReconcilerError("The clone is shallow.", "Fetch the whole history (`git fetch --unshallow`).")

    def broken() -> None:
        raise ValueError("no number")

    faults = [contained(work) for work in (shallow, broken)]
    blockers = [not_judged(ModelRef("churn"), fault) for fault in faults if isinstance(fault, Failure)]

    assert [(blocker.message.partition(": ")[2], blocker.fix) for blocker in blockers] == [
        ("The clone is shallow. Fetch the whole history (`git fetch --unshallow`).", ""),
        ("ValueError: no number.", "Correct its data in the registry, or report this."),
    ]
