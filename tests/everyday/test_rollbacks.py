"""The way back is open: what a rollback has to pass, and what it has not."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.conditions import cel
from reconciler.core.evidence import Dataset, Metric, Missing, RunFacts, VersionFacts
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    MODEL,
    NOW,
    PRESENT,
    SLOTS,
    STAGE,
    ChangeFacts,
    CheckFacts,
    CheckRecord,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Guard,
    Judgement,
    Kind,
    ModelFacts,
    Presence,
    Ruling,
    Stay,
    Verdict,
    contained,
    failed,
    judge_guard,
    on_rollback,
    stay,
)
from reconciler.core.names import Commit, Slot, Version
from reconciler.core.policy import Policy
from reconciler.core.signature import Column, Compatibility, Scalar, Signature
from reconciler.gates.age import Age
from reconciler.gates.artifact import Artifact
from reconciler.gates.cel import Cel
from reconciler.gates.check import CheckGate
from reconciler.gates.description import Description
from reconciler.gates.freeze import Freeze, Window
from reconciler.gates.lineage import Lineage
from reconciler.gates.metric import Metric as MetricGate
from reconciler.gates.packages import Flavors, Requirements
from reconciler.gates.path import Path
from reconciler.gates.prospects import doubts
from reconciler.gates.signature import SignatureGate
from reconciler.gates.soak import Soak
from reconciler.gates.tags import Tags
from reconciler.ports import SourceFile
from reconciler.reading.policy import parse_policy
from tests.build import CHURN, SOMEWHERE
from tests.house.scenes import readme_policy
from tests.manifest_texts import TOP

NOW_IS = "2026-05-11T09:30:00Z"
HOLDOUT = Dataset("holdout", "9f2c7a1b")
BACK = Entrance(CHURN, Version(4), Slot("Production"), Version(5), kind=Kind.ROLLBACK)


def passed(guard: Guard) -> Entrance:
    """The way back of a version that passed this very gate."""
    return replace(BACK, passed_before=frozenset({guard.keyed().key}))


AGE, FEE = Column("age", Scalar("long"), required=True), Column("fee", Scalar("double"), required=True)
DELETED = (Missing("run", "there is no run run-4", gone=True), Missing("metrics", "there is no run run-4", gone=True))
SILENT = tuple(Missing(what, "the server did not answer") for what in ("run", "metrics"))


def version(number: int, f1: float, *columns: Column, **more: Any) -> VersionFacts:
    return VersionFacts(
        CHURN,
        Version(number),
        created_at="2026-01-01T00:00:00Z",
        run=RunFacts(f"run-{number}", status="FINISHED", git_commit="ab" * 20),
        metrics=(Metric("f1", f1, HOLDOUT),),
        signature=Signature(inputs=columns),
        **more,
    )


V4, V5 = version(4, 0.80, AGE, FEE), version(5, 0.85, AGE)
KNOWN: dict[FactKey[Any], object] = {
    CANDIDATE: V4,
    INCUMBENT: V5,
    STAGE: "Archived",
    SLOTS: ("Archived",),
    stay("Staging"): Stay(None),
    NOW: NOW_IS,
    MODEL: ModelFacts(CHURN, owners=("grace@acme.example",)),
    CHANGE: ChangeFacts(Commit("c" * 40), ("Ada <ada@acme.example>",)),
    APPROVALS: (),
    PRESENT: Presence(present=True),
    CHECKS: CheckFacts("abc", (CheckRecord("bias", True, "abc", "2026-01-02T00:00:00Z"),)),
    contained("main"): True,
}


def verdict(gate: Gate, waive: bool | None = None, entrance: Entrance = BACK) -> Verdict:
    return judge_guard(Guard("gate", gate, SOMEWHERE, waive), entrance, Facts(KNOWN))


OF_THE_WAY_IN = [
    Path(("Staging",)),
    Soak("Staging", 259200.0),
    MetricGate("f1", min_absolute_change=0.01),
    MetricGate("f1", threshold=0.7, min_relative_change=0.02),
    Age(None, 86400.0),
    Freeze((Window("* * * * *", 3600.0),)),
    CheckGate("bias", max_age=86400.0),
    SignatureGate(frozenset({Compatibility.IDENTICAL, Compatibility.COMPATIBLE})),
    Cel("candidate.metrics.f1 > incumbent.metrics.f1", evaluate=cel.evaluate),
    Cel("'@grace' in change.authors", evaluate=cel.evaluate),
]


@pytest.mark.parametrize("gate", OF_THE_WAY_IN, ids=lambda gate: type(gate).__name__)
def test_what_a_gate_says_of_the_way_in_or_of_the_moment_is_waived(gate: Gate) -> None:
    forth = verdict(gate, entrance=replace(BACK, kind=Kind.NEW))
    back = verdict(gate)

    assert forth.blocks
    assert back.ruling is Ruling.WAIVED
    assert back.note.startswith("v4 has been in Production before, and a rollback waives ")


@pytest.mark.parametrize("gate", OF_THE_WAY_IN, ids=lambda gate: type(gate).__name__)
def test_the_policy_may_say_otherwise(gate: Gate) -> None:
    assert verdict(gate, waive=False).blocks
    assert verdict(gate, waive=True).ruling is Ruling.WAIVED


OF_THE_VERSION = [
    MetricGate("f1", threshold=0.9),
    MetricGate("f1", threshold=0.9, min_absolute_change=0.01),
    Tags({"validated-by": "*"}),
    Description(20),
    Lineage(branch="develop"),
    Flavors(("sklearn",)),
    Requirements(pinned=True),
    CheckGate("smoke", max_age=86400.0),
    CheckGate("bias", max_age=86400.0, signed=True),
    Cel("candidate.metrics.f1 > 0.9", evaluate=cel.evaluate),
    Cel("candidate.tags['incumbent'] == 'change'", evaluate=cel.evaluate),
]


@pytest.mark.parametrize("gate", OF_THE_VERSION, ids=lambda gate: type(gate).__name__)
def test_what_it_says_of_the_version_itself_is_not(gate: Gate) -> None:
    assert verdict(gate).blocks
    assert verdict(gate, waive=True).ruling is Ruling.WAIVED


def test_the_files_and_a_signature_must_be_there() -> None:
    facts = Facts({**KNOWN, PRESENT: Presence(present=False), CANDIDATE: replace(V4, signature=None)})

    for gate in (Artifact(), SignatureGate(frozenset({Compatibility.IDENTICAL}))):
        guard = Guard("gate", gate, SOMEWHERE)
        assert judge_guard(guard, passed(guard), facts).blocks


def test_a_gate_of_another_package_is_not_waived_unless_it_says_so() -> None:
    class Theirs:
        def needs(self, entrance: Entrance) -> tuple[()]:
            return ()

        def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
            return failed("no")

    class Yielding(Theirs):
        def on_rollback(self) -> None:
            return None

    assert (on_rollback(theirs := Theirs()), on_rollback(Yielding())) == (theirs, None)
    assert verdict(theirs).blocks
    assert verdict(Yielding()).ruling is Ruling.WAIVED


ON_A_RUN = [Lineage(), Lineage(branch="main"), MetricGate("f1", threshold=0.7), MetricGate("f1")]


@pytest.mark.parametrize("gate", ON_A_RUN, ids=range(4))
def test_what_is_gone_is_waived_if_the_record_says_that_its_gate_was_passed(gate: Gate) -> None:
    gone = replace(V4, run=None, metrics=(), missing=DELETED)
    facts = Facts({**KNOWN, CANDIDATE: gone})

    guard = Guard("gate", gate, SOMEWHERE)

    assert judge_guard(guard, passed(guard), facts).ruling is Ruling.WAIVED
    assert judge_guard(replace(guard, at=replace(SOMEWHERE, line=99)), passed(guard), facts).ruling is Ruling.WAIVED
    assert judge_guard(guard, BACK, facts).blocks
    assert judge_guard(Guard("other", gate, SOMEWHERE), passed(guard), facts).blocks
    assert judge_guard(guard, passed(replace(guard, gate=MetricGate("f1", threshold=0.1))), facts).blocks
    assert judge_guard(replace(guard, waive_on_rollback=False), passed(guard), facts).blocks
    assert judge_guard(guard, replace(passed(guard), kind=Kind.NEW), facts).blocks


@pytest.mark.parametrize("gate", ON_A_RUN, ids=range(4))
def test_what_could_not_be_read_is_not(gate: Gate) -> None:
    silent = replace(V4, run=None, metrics=(), missing=SILENT)

    guard = Guard("gate", gate, SOMEWHERE)

    assert judge_guard(guard, passed(guard), Facts({**KNOWN, CANDIDATE: silent})).blocks


def test_a_run_in_the_bin_is_gone_too() -> None:
    binned = replace(V4, run=RunFacts("run-4", status="FINISHED", deleted=True))

    guard = Guard("gate", Lineage(), SOMEWHERE)

    assert judge_guard(guard, passed(guard), Facts({**KNOWN, CANDIDATE: binned})).note == (
        "v4 has been in Production before and passed this gate then; the data that it needs has been deleted since"
    )


def test_a_fact_that_is_gone_before_the_gate_is_asked_counts_alike() -> None:
    branch = contained("main")
    known = {key: value for key, value in KNOWN.items() if key != branch}
    guard = Guard("gate", Lineage(branch="main"), SOMEWHERE)

    gone = judge_guard(guard, passed(guard), Facts(known, {branch: "its run was deleted"}, frozenset({branch})))
    silent = judge_guard(guard, passed(guard), Facts(known, {branch: "git did not answer"}))

    assert (gone.ruling, silent.ruling) == (Ruling.WAIVED, Ruling.UNKNOWN)


def test_a_figure_that_is_too_low_is_not_let_in_because_another_is_gone() -> None:
    facts = Facts({**KNOWN, INCUMBENT: replace(V5, metrics=(), missing=DELETED)})

    guard = Guard("gate", MetricGate("f1", 0.9, 0.01), SOMEWHERE)

    assert judge_guard(guard, passed(guard), facts).blocks


def policy_of(text: str) -> Policy:
    read, problems = parse_policy(SourceFile("reconciler.yaml", text.encode()))
    assert read is not None, problems
    return read


README_POLICY = readme_policy()


@pytest.mark.parametrize("slot", [Slot("Production"), Slot("@champion")])
def test_the_readmes_own_policy_lets_the_readmes_own_rollback_pass(slot: Slot) -> None:
    guards = policy_of(README_POLICY).guards(CHURN, slot, {})
    back = replace(BACK, slot=slot)

    verdicts = [judge_guard(guard, back, Facts(KNOWN)) for guard in guards]

    assert [v.gate for v in verdicts] == ["path", "soak", "metric", "signature", "approvals"]
    assert {v.ruling for v in verdicts} == {Ruling.WAIVED}
    assert all(judge_guard(guard, replace(back, kind=Kind.NEW), Facts(KNOWN)).blocks for guard in guards)


@pytest.mark.parametrize("text", [README_POLICY, TOP.joinpath("examples/policy/reconciler.yaml").read_text("utf-8")])
def test_nothing_is_doubtful_in_the_policies_that_we_show(text: str) -> None:
    assert doubts(policy_of(text)) == ()
