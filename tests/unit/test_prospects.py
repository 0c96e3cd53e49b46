"""What is said of a policy when it is proposed: rules that nothing can pass, and what they rest on."""

from pathlib import Path

import pytest

from reconciler.core.desired import resolve
from reconciler.core.policy import Policy
from reconciler.errors import Severity
from reconciler.gates.prospects import CODES, doubts, doubts_of
from reconciler.ports import SourceFile
from reconciler.project import validate
from reconciler.reading.manifest import parse
from reconciler.reading.policy import parse_policy

STAGING = "path: {from: Staging}"
WITNESS = "approvals: {count: 1}"


def policy(text: str) -> Policy:
    read, problems = parse_policy(SourceFile("reconciler.yaml", text.encode()))
    assert read is not None, problems
    return read


def rules(*gates: str, slot: str = "Production", also: str = "") -> Policy:
    listed = "".join(f"      - {{{gate}}}\n" for gate in gates)
    return policy(f"slots:\n  - slot: {slot!r}\n    gates:\n{listed}{also}")


def codes(read: Policy) -> list[str]:
    return [problem.code for problem in doubts(read)]


@pytest.mark.parametrize(
    ("gates", "slot"),
    [
        ([STAGING, "soak: {stage: Archived, for: 1d}", WITNESS], "Production"),
        (["path: {from: [None, Archived]}", "soak: {stage: Staging, for: 1d}"], "@champion"),
        (["path: {from: Production}", WITNESS], "Production"),
        (["soak: {stage: Production, for: 1d}"], "Prod*"),
        (["soak: {stage: Staging, for: 9d}", "age: {max: 7d}"], "Production"),
        (["age: {min: 9d}", "age: {max: 7d}", WITNESS], "@champion*"),
    ],
)
def test_a_rule_that_no_version_can_pass_is_said(gates: list[str], slot: str) -> None:
    assert codes(rules(*gates, slot=slot)) == ["never-passes"]


def test_two_rules_that_hold_together_are_seen_together() -> None:
    other = "  - slot: '*'\n    gates:\n      - soak: {stage: Archived, for: 1d}\n"

    assert "never-passes" in codes(rules(STAGING, WITNESS, also=other))


@pytest.mark.parametrize(
    "gate", [f"{STAGING}, waive-on-rollback: false", "soak: {stage: Staging, for: 1d}, waive-on-rollback: false"]
)
def test_a_rule_that_no_rollback_can_pass_is_said(gate: str) -> None:
    assert codes(rules(gate, WITNESS)) == ["no-rollback-passes"]


@pytest.mark.parametrize(
    "gates",
    [
        [STAGING],
        ["metric: {name: f1, threshold: 0.8}", "tags: {require: {validated-by: '*'}}"],
        ["description: {min-length: 20}", "lineage: {commit: true, branch: main}"],
        ["check: {name: bias}"],
    ],
)
def test_a_slot_that_a_writers_own_word_opens_is_said(gates: list[str]) -> None:
    listed = "checks: {bias: {pytest: checks}}\n" if "check" in gates[0] else ""
    read = policy(
        listed
        + "slots:\n  - slot: [Production, '@champion']\n    gates:\n"
        + "".join(f"      - {{{g}}}\n" for g in gates)
    )

    assert codes(read) == ["testimony-only"]


@pytest.mark.parametrize(
    "read",
    [
        rules(STAGING, "soak: {stage: Staging, for: 3d}"),
        rules("path: {from: [Staging, Archived]}, waive-on-rollback: false", WITNESS),
        rules("path: {from: Production}", WITNESS, slot="@champion"),
        rules("soak: {stage: Staging, for: 3d}", "age: {max: 7d}"),
        rules(STAGING, also=f"  - slot: '*'\n    gates:\n      - {WITNESS}\n"),
        rules("artifact: {}", slot="Staging"),
        rules("artifact: {}", slot="@*"),
        policy(
            "checks: {bias: {pytest: checks}}\n"
            "slots:\n- slot: Production\n  gates:\n  - check: {name: bias, signed: true}\n"
        ),
        policy("registry: https://mlflow.acme.example\n"),
    ],
    ids=range(9),
)
def test_what_can_be_passed_is_passed_over(read: Policy) -> None:
    assert codes(read) == []


OWNED = "model: churn\nstages: {Production: 4}\n"


def test_a_group_that_the_policy_lists_can_approve() -> None:
    read = policy(
        "groups: {acme/risk-ml: ['@ada', '@grace']}\nslots:\n- slot: '*'\n  gates:\n  - approvals: {count: 2}\n"
    )
    models, _ = resolve(parse([SourceFile("a.yaml", (OWNED + "owners: [acme/risk-ml]\n").encode())])[0])

    assert doubts_of(models, read) == ()


def test_a_manifest_that_excludes_what_the_policy_requires_is_said() -> None:
    tightened = OWNED + "gates: {Production: [{soak: {stage: Archived, for: 1d}}]}\n"
    models, _ = resolve(parse([SourceFile("a.yaml", tightened.encode())])[0])

    assert [p.code for p in doubts_of(models, rules(STAGING))] == ["never-passes"]


def test_validate_says_so_and_is_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "manifests" / "churn.yaml").write_text(OWNED)
    (tmp_path / "reconciler.yaml").write_text(
        "slots:\n- slot: Production\n  gates:\n  - path: {from: Staging}\n    waive-on-rollback: false\n"
        "- slot: '@champion'\n  gates:\n  - artifact: {}\n- slot: Production\n  models: churn\n  gates:\n"
        "  - approvals: {count: 1}\n  - age: {min: 9d}\n  - age: {max: 7d}\n"
    )
    monkeypatch.chdir(tmp_path)

    problems = validate([Path("manifests")])

    assert {problem.severity for problem in problems} == {Severity.WARNING}
    assert {problem.code for problem in problems} == CODES | {"nobody-can-approve"}
