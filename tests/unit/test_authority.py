"""Who decides over guarded models: which changes of that need the word of those who stand."""

from dataclasses import replace
from pathlib import Path as Path_
from typing import Any

import pytest

from reconciler.core.gate import Approval, Guard, Quorum
from reconciler.core.names import Commit, ModelRef
from reconciler.core.plan import PlanOptions
from reconciler.core.policy import Check, Policy, Rule
from reconciler.core.review import Scope
from reconciler.errors import Location, Severity
from reconciler.gates.approvals import Approvals
from reconciler.gates.authority import Shift, Side, check_paths, shifts, unapprovable
from reconciler.gates.check import CheckGate
from reconciler.gates.path import Path
from reconciler.planning import declare, make_plan, make_review
from reconciler.ports import Reviews, SourceFile
from reconciler.project import validate
from reconciler.reading.manifest import parse
from reconciler.reading.policy import parse_policy
from reconciler.rules import Rules
from tests.build import CHURN, FIRST, SECOND, P, have, owns, want
from tests.world import Stage, stage

AT = Location("reconciler.yaml", 4, 9)
BIAS = Check("bias", AT, ("python", "checks/bias.py"))
GROUPS = {"risk": ("@grace",), "@acme/ml": ("@ada",)}
OWNED = {CHURN: ("@acme/ml",)}
STANDING = Side(Policy(groups=GROUPS, checks={"bias": BIAS}, signers="# keys\na@b key\n"), OWNED)


def guards(*gates: Any, **more: Any) -> dict[ModelRef, tuple[Guard, ...]]:
    return {CHURN: tuple(Guard(type(gate).__name__, gate, AT, **more) for gate in gates)}


BY_OWNERS, BY_RISK = Approvals(Quorum(2), GROUPS), Approvals(Quorum(1, "risk"), GROUPS)


def proposed(*, owners: Any = None, **policy: Any) -> Side:
    return Side(replace(STANDING.policy, **policy), OWNED if owners is None else owners)


CHANGES: dict[str, tuple[Side, tuple[str, ...]]] = {
    "nothing": (proposed(), ()),
    "owners": (proposed(owners={CHURN: ("@mallory",)}), ("its owners",)),
    "no owners anymore": (proposed(owners={}), ("its owners",)),
    "owners in another order": (Side(STANDING.policy, {CHURN: ("@acme/ml", "@acme/ml")}), ()),
    "a group that owns it": (proposed(groups={**GROUPS, "@acme/ml": ("@mallory",)}), ("the group @acme/ml",)),
    "a group that a gate asks": (proposed(groups={**GROUPS, "risk": ()}), ("the group risk",)),
    "a group that nothing asks": (proposed(groups={**GROUPS, "other": ("@mallory",)}), ()),
    "the signers": (proposed(signers="a@b other\n"), ("the signers",)),
    "a remark on the signers": (proposed(signers="# other\n\na@b key"), ()),
    "what a check runs": (proposed(checks={"bias": replace(BIAS, command=("true",))}), ("the check bias",)),
    "where a check is written": (proposed(checks={"bias": replace(BIAS, at=Location("x"))}), ()),
    "no such check anymore": (proposed(checks={}), ("the check bias",)),
    "a check that no gate asks for": (proposed(checks={"bias": BIAS, "new": BIAS}), ()),
    "gates": (proposed(rules=(Rule(("Production",), (), AT),)), ()),
    "several": (
        proposed(owners={CHURN: ("@mallory",)}, signers="", groups={}),
        ("its owners", "the group @acme/ml", "the group risk", "the signers"),
    ),
}


@pytest.mark.parametrize(("side", "what"), CHANGES.values(), ids=CHANGES.keys())
def test_what_a_change_makes_different_about_who_decides(side: Side, what: tuple[str, ...]) -> None:
    found = shifts(STANDING, side, guards(BY_OWNERS, BY_RISK, CheckGate("bias")))

    assert [shift.what for shift in found] == ([what] if what else [])


def test_the_group_that_may_override_decides_too() -> None:
    found = shifts(STANDING, proposed(groups={}), guards(Path(("Staging",)), override=Quorum(1, "risk")))

    assert [shift.what for shift in found] == [("the group @acme/ml", "the group risk")]


def test_a_file_that_a_check_runs_is_a_part_of_it() -> None:
    check = replace(BIAS, pytest="tests", notebook="a/b/c.ipynb", evaluate={"data": "data/holdout.csv"})

    assert check_paths(check) == {"python", "checks", "tests", "a/b", "data"}
    assert [s.what for s in shifts(STANDING, STANDING, guards(CheckGate("bias")), {"checks"})] == [("the check bias",)]
    assert shifts(STANDING, STANDING, guards(CheckGate("bias")), {"docs"}) == ()


def test_the_quorums_that_guard_a_model_are_asked_or_else_one_of_its_owners() -> None:
    side = proposed(owners={CHURN: ("@mallory",)})

    asked = [shifts(STANDING, side, guards(*gates))[0].asked for gates in ([BY_OWNERS, BY_RISK], [Path(("Staging",))])]

    assert asked == [(Quorum(2), Quorum(1, "risk")), (Quorum(1),)]


def test_a_model_that_nothing_guards_is_everybodys() -> None:
    assert shifts(STANDING, proposed(owners={}), {CHURN: ()}) == ()


def test_nobody_is_asked_about_the_first_owners() -> None:
    first = Side(STANDING.policy, {})

    found = shifts(first, STANDING, guards(BY_OWNERS, BY_RISK))

    assert found == (Shift(CHURN, ("its first owners",), ()),)


GRACE = Approval("@grace", "review", "2026-05-01T09:00:00Z", Commit("c" * 40))


class Said:
    """Who approved a change as a whole."""

    def __init__(self, *approvals: Approval, authors: tuple[str, ...] = ("@ada",)) -> None:
        self.reviews = Reviews(approvals, authors)
        self.asked: list[object] = []

    def find(self, base: object, head: object, model: object, signers: object) -> Reviews:
        self.asked.append(model)
        return self.reviews


def owners_change() -> Stage:
    wanted = replace(want({P: [1]}), owners=replace(want({P: [1]}).model, value=("@mallory",)))  # pyright: ignore[reportArgumentType]
    return stage({FIRST: (), SECOND: (wanted,)}, have({1: P}, owner=owns(P)))


def rules(**more: Any) -> Rules:
    rule = Rule(("Production",), (Guard("path", Path(("Staging",)), AT),), AT)
    return Rules(policy=Policy((rule,), groups=GROUPS), base=FIRST, owners={CHURN: ("@grace",)}, **more)


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        (Said(), ["unapproved-change"]),
        (Said(GRACE), []),
        (Said(GRACE, authors=("@grace",)), ["unapproved-change"]),
        (Said(GRACE, authors=()), ["unapproved-change"]),
        (Said(replace(GRACE, who="@mallory")), ["unapproved-change"]),
        (Said(replace(GRACE, at="2099-01-01T00:00:00Z")), ["unapproved-change"]),
        (None, ["unapproved-change"]),
    ],
    ids=["by nobody", "by an owner", "by its author", "by whom", "by the new owner", "ahead of time", "no commit"],
)
def test_other_owners_need_the_word_of_those_who_stand(said: Said | None, codes: list[str]) -> None:
    world = replace(owners_change().world, reviews=said)

    plan = make_plan(world, declare(world, "HEAD").desired, PlanOptions(), rules())

    assert [blocker.code for model in plan.models for blocker in model.blockers] == codes
    assert said is None or said.asked == [None]
    assert plan.digest == make_plan(world, declare(world, "HEAD").desired, PlanOptions()).digest


def test_a_model_that_was_not_asked_for_is_not_asked_about() -> None:
    place = owners_change()
    place.history.commits[SECOND] += (want({P: [1]}, name="other"),)
    world = replace(place.world, reviews=Said())

    plan = make_plan(world, declare(world, "HEAD").desired, PlanOptions(targets=("other",)), rules())

    assert not any(model.blockers for model in plan.models if model.model == CHURN)


def test_first_owners_are_said_at_the_top_of_the_review() -> None:
    world = replace(owners_change().world, reviews=Said())
    by = replace(rules(), owners={})

    review = make_review(world, declare(world, "HEAD"), PlanOptions(), scope=Scope.NONE, base=None, ref=None, rules=by)

    assert review.notes[0].text == (
        "This change decides who may approve, and needed no approval, because nobody may approve "
        "yet: of churn (its first owners)."
    )
    assert not review.plan.blocked


def policy_of(text: str) -> Policy:
    policy, problems = parse_policy(SourceFile("reconciler.yaml", text.encode()))
    assert policy is not None, problems
    return policy


GATED = "slots:\n  - slot: [Production, '@champion']\n    gates: [{approvals: {count: 2}}]\n"
OF_RISK = GATED.replace("count: 2", "count: 2, of: risk")
TWO = "owners: [ada@acme.example, '@grace']\nstages: {Production: 1}\n"

VAIN: dict[str, tuple[str, str, list[tuple[str, int, str]]]] = {
    "two owners": (GATED, TWO, []),
    "no owners": (GATED, "stages: {Production: 1}\n", [("m.yaml", 1, "has no people as owners")]),
    "no owners of what nothing guards": (GATED, "stages: {Staging: 1}\n", []),
    "no owners of what an alias serves": (GATED, "aliases: {champion: 1}\n", [("m.yaml", 1, "has no people")]),
    "one owner": (GATED, "owners: ['@grace']\nstages: {Production: 1}\n", [("m.yaml", 2, "has 1 person as owners")]),
    "one owner by two names": (
        f"groups: {{'@acme/ml': ['@grace', 'g@a.b @grace']}}\n{GATED}",
        "owners: ['@acme/ml']\nstages: {Production: 1}\n",
        [("m.yaml", 2, "has 1 person as owners")],
    ),
    "a team that is no group": (
        GATED,
        "owners: ['@acme/ml']\nstages: {Production: 1}\n",
        [("m.yaml", 2, "(@acme/ml: no group of the policy)")],
    ),
    "a team that is one": (
        f"groups: {{'@acme/ml': ['@grace', '@ada']}}\n{GATED}",
        "owners: ['@acme/ml']\nstages: {Production: 1}\n",
        [],
    ),
    "a group of one by two names": (
        f"groups: {{risk: ['@a', 'a@b.c @a']}}\n{OF_RISK}",
        TWO,
        [("reconciler.yaml", 4, "the group risk, which lists 1 person")],
    ),
    "who may override": (
        "slots: [{slot: Production, gates: [{description: {}, override: {approvals: 1}}]}]\n",
        "stages: {Production: 1}\n",
        [("m.yaml", 1, "requires 1 approval by the owners of churn")],
    ),
    "a gate of the manifest": (
        "slots: [{slot: Staging, gates: [{description: {}}]}]\n",
        "stages: {Production: 1}\ngates: {Production: [{approvals: {}}]}\n",
        [("m.yaml", 1, "requires 1 approval by the owners of churn")],
    ),
}


@pytest.mark.parametrize(("policy", "manifest", "expected"), VAIN.values(), ids=VAIN.keys())
def test_approvals_that_nobody_can_give_are_warned_of(
    policy: str, manifest: str, expected: list[tuple[str, int, str]]
) -> None:
    fragments, wrong = parse([SourceFile("m.yaml", f"model: churn\n{manifest}".encode())])
    assert not wrong

    problems = unapprovable(policy_of(policy), fragments)

    assert [(p.location.path, p.location.line) for p in problems] == [(path, line) for path, line, _ in expected]
    assert {(p.code, p.severity) for p in problems} <= {("nobody-can-approve", Severity.WARNING)}
    for problem, (_, _, part) in zip(problems, expected, strict=True):
        assert part in problem.message


def test_validate_warns_of_approvals_that_nobody_can_give(tmp_path: Path_) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "reconciler.yaml").write_text(GATED)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yaml").write_text("model: churn\nstages: {Production: 1}\n")

    problems = validate([tmp_path / "manifests"])

    assert [(p.code, p.severity) for p in problems] == [("nobody-can-approve", Severity.WARNING)]
