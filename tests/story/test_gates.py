"""What must hold before a version enters Production, and every way past it that we could think of."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.clocks import SystemClock
from reconciler.core.snapshot import PROVENANCE_TAG
from tests.story.command import Ended, Reconciler
from tests.story.registry import Registry
from tests.story.repository import EMAIL, Repository, git, manifest

FROM_STAGING = """\
slots:
  - slot: [Production, "@champion*"]
    gates:
      - path: {from: Staging}
"""

STRICT = """\
groups:
  risk: [grace@example.org, linus@example.org]
slots:
  - slot: [Production, "@champion*"]
    models: ["*"]
    gates:
      - path: {from: Staging}
      - approvals: {count: 1, of: risk}
"""


def lay_down(repository: Repository, policy: str, **files: str) -> str:
    """Put a policy on main, where it stands."""
    (repository.top / "reconciler.yaml").write_text(policy)
    for name, text in files.items():
        (repository.top / name).write_text(text)
    return repository.commit("Lay down the rules")


def rulings(planned: Ended) -> dict[tuple[str, str], str]:
    """By slot and gate."""
    return {(v["slot"], v["gate"]): v["ruling"] for v in json.loads(planned.out)["verdicts"]}


def plan(reconciler: Reconciler, *arguments: str) -> Ended:
    return reconciler("plan", "--base", "origin/main", "--format", "json", "--evidence", "none", *arguments)


def test_a_version_that_was_never_in_staging_stays_out(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(model, production=2))

    refused = plan(reconciler)
    repository.merge_proposal()
    applied = reconciler("apply", "--yes", "--receipt", "receipt.json")
    registry.move(model, 2, "Staging")
    let_in = reconciler("apply", "--yes")

    assert refused.code == 3
    assert rulings(refused) == {("Production", "path"): "fail"}
    assert applied.code == 3
    assert f"{model}" in applied.out
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert [(m["model"], m["status"]) for m in receipt["models"]] == [(model, "blocked")]
    assert receipt["verdicts"][0]["ruling"] == "fail"
    assert let_in.code == 0
    assert registry.production(model) == [2]


def test_one_models_gate_lets_the_others_pass(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    ready, early = f"{model}-ready", f"{model}-early"
    registry.register(ready, early, versions=1)
    registry.move(ready, 1, "Staging")
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(ready, production=1) + manifest(early, production=1))
    repository.merge_proposal()

    applied = reconciler("apply", "--yes")

    assert applied.code == 3
    assert registry.production(ready) == [1]
    assert registry.production(early) == []


def test_by_an_alias(repository: Repository, registry: Registry, reconciler: Reconciler, model: str) -> None:
    registry.register(model, versions=2)
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(model, champion=2, **{"Champion-eu": 2}))

    refused = plan(reconciler)
    repository.merge_proposal()
    applied = reconciler("apply", "--yes")

    assert refused.code == 3
    assert rulings(refused) == {("@champion", "path"): "fail", ("@Champion-eu", "path"): "fail"}
    assert applied.code == 3
    assert registry.aliases(model) == {}


def test_an_alias_that_no_gate_guards_is_pointed_out(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, FROM_STAGING.replace('[Production, "@champion*"]', "Production"))
    repository.propose(manifest(model, serving=1))

    planned = plan(reconciler)

    assert planned.code == 0
    assert "@serving" in planned.err
    assert "no gate guards it" in planned.err


def test_by_renaming_a_file(repository: Repository, registry: Registry, reconciler: Reconciler, model: str) -> None:
    registry.register(model, versions=1)
    lay_down(repository, FROM_STAGING)
    git(repository.top, "checkout", "--quiet", "-B", "promote", "origin/main")
    git(repository.top, "mv", "reconciler.yaml", "old.yaml")
    propose_here(repository, manifest(model, production=1), "elsewhere.yml")

    refused = plan(reconciler)
    repository.merge_proposal()
    applied = reconciler("apply", "--yes")

    assert (refused.code, applied.code) == (3, 3)
    assert json.loads(refused.out)["policy"]["difference"]
    assert registry.production(model) == []


def propose_here(repository: Repository, text: str, name: str = "models.yaml") -> None:
    repository.write(text, name)
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message", "Promote")


def test_by_a_link_in_the_place_of_the_policy(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    (repository.top / "rules.yaml").write_text(FROM_STAGING)
    (repository.top / "reconciler.yaml").symlink_to("rules.yaml")
    repository.commit("Link the rules")
    repository.merge(manifest(model, production=1))

    refused = reconciler("apply", "--yes")

    assert refused.code == 1
    assert "reconciler.yaml is a link or a folder" in refused.err
    assert registry.production(model) == []


def test_by_a_clone_that_is_too_shallow_to_know_the_rules(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, FROM_STAGING)
    (repository.top / "reconciler.yaml").write_text("groups: {nobody: [nobody@example.org]}\n")
    repository.merge(manifest(model, production=1))
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository.remote}", "shallow")

    refused = replace(reconciler, folder=tmp_path / "shallow")("apply", "--yes")

    assert refused.code == 1
    assert "This clone does not reach back beyond" in refused.err
    assert registry.production(model) == []


@pytest.mark.parametrize("commits", [1, 2], ids=["in one commit", "in two commits, which are rebased"])
def test_by_editing_the_policy_in_the_same_pull_request(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, commits: int
) -> None:
    registry.register(model, versions=1)
    before = lay_down(repository, FROM_STAGING)
    git(repository.top, "checkout", "--quiet", "-B", "promote", "origin/main")
    (repository.top / "reconciler.yaml").write_text("groups: {}\n")
    if commits == 2:
        git(repository.top, "commit", "--quiet", "--all", "--message", "Loosen")
    propose_here(repository, manifest(model, production=1))

    refused = plan(reconciler)
    told = reconciler("plan", "--base", "origin/main")
    git(repository.top, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    applied = reconciler("apply", "--yes", "--policy-ref", before)

    assert (refused.code, applied.code) == (3, 3)
    assert rulings(refused) == {("Production", "path"): "fail"}
    assert "-      - path: {from: Staging}" in json.loads(refused.out)["policy"]["difference"]
    assert "judged by the current policy" in told.out
    assert registry.production(model) == []


def test_a_stricter_policy_says_what_it_would_refuse_and_refuses_nothing_yet(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    git(repository.top, "checkout", "--quiet", "-B", "promote", "origin/main")
    (repository.top / "reconciler.yaml").write_text(FROM_STAGING)
    propose_here(repository, manifest(model, production=1))

    planned = plan(reconciler)

    assert planned.code == 0
    (would,) = json.loads(planned.out)["policy"]["proposed"]
    assert (would["gate"], would["ruling"]) == ("path", "fail")


def test_by_a_manifest_that_loosens(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(model, production=1) + "gates:\n  Production:\n    - path: {from: None}\n")

    refused = plan(reconciler)

    assert refused.code == 3
    assert [v["ruling"] for v in json.loads(refused.out)["verdicts"]] == ["fail", "pass"]


def test_a_manifest_may_tighten(repository: Repository, registry: Registry, reconciler: Reconciler, model: str) -> None:
    registry.register(model, versions=1)
    registry.move(model, 1, "Staging")
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(model, production=1) + "gates:\n  Production:\n    - description: {min-length: 10}\n")

    refused = plan(reconciler)

    assert refused.code == 3
    assert set(rulings(refused).values()) == {"pass", "fail"}


def test_by_forging_the_record_of_how_long_it_was_in_staging(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    registry.move(model, 1, "Staging")
    placement = {"commit": None, "author": "", "applied_at": "2020-01-01T00:00:00Z", "plan": "", "repository": "x"}
    forged = {"format": 1, "slots": {"Staging": {**placement, "before": "None"}}}
    registry.set_version_tag(model, 1, PROVENANCE_TAG, json.dumps(forged))
    lay_down(repository, FROM_STAGING.replace("path: {from: Staging}", "soak: {stage: Staging, for: 3d}"))
    repository.propose(manifest(model, production=1))

    refused = plan(reconciler)

    assert refused.code == 3
    assert rulings(refused) == {("Production", "soak"): "fail"}


def test_by_a_tag_that_shadows_a_fact(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    for key in ("metrics", "f1", "candidate.metrics.f1", "stage", "current_stage"):
        registry.set_version_tag(model, 1, key, "Staging" if "stage" in key else "1.0")
    lay_down(
        repository,
        FROM_STAGING.replace(
            "- path: {from: Staging}", "- path: {from: Staging}\n      - metric: {name: f1, threshold: 0.5}"
        )
        + '      - cel: {condition: "candidate.metrics.f1 > 0.5"}\n',
    )
    repository.propose(manifest(model, production=1))

    refused = plan(reconciler)

    assert refused.code == 3
    assert rulings(refused) == {
        ("Production", "path"): "fail",
        ("Production", "metric"): "unknown",
        ("Production", "cel"): "unknown",
    }


def test_by_a_look_alike_letter(repository: Repository, registry: Registry, reconciler: Reconciler, model: str) -> None:
    look_alike = f"ch\u0430mpion-{model}"
    registry.register(look_alike, versions=1)
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(look_alike, production=1))

    refused = plan(reconciler)

    assert refused.code == 1
    assert "look-alike-letters" in refused.err


def test_by_a_trailer_that_nobody_signed(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    registry.move(model, 1, "Staging")
    lay_down(repository, STRICT)
    repository.propose(manifest(model, production=1))
    git(
        repository.top,
        *("commit", "--quiet", "--allow-empty", "--message", "Approve\n\nApproved-by: Grace <grace@example.org>"),
    )

    refused = plan(reconciler)

    assert refused.code == 3
    assert rulings(refused) == {("Production", "path"): "pass", ("Production", "approvals"): "fail"}


def ssh_key(folder: Path, name: str) -> Path:
    import subprocess

    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def approve(repository: Repository, key: Path, who: str, trailer: str | None = None) -> None:
    """
    An empty commit by somebody who says yes, and signs it: not in the second in which a version was touched last, since
    one that is dated in whole seconds may be from before that.
    """
    before = SystemClock().now()
    while SystemClock().now() == before:
        time.sleep(0.01)
    git(
        repository.top,
        *("-c", f"user.name={who}", "-c", f"user.email={who}", "-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"),
        *("commit", "--quiet", "--allow-empty", "--gpg-sign", f"--author={who} <{who}>"),
        *("--message", f"Approve\n\nApproved-by: {trailer or who}"),
    )


def test_a_signed_approval_lets_it_in_and_only_for_what_was_approved(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    registry.register(model, versions=2)
    for version in (1, 2):
        registry.move(model, version, "Staging")
    grace, ada = ssh_key(tmp_path, "grace"), ssh_key(tmp_path, "ada")
    signers = "".join(
        f"{who} {key.with_suffix('.pub').read_text()}" for who, key in (("grace@example.org", grace), (EMAIL, ada))
    )
    lay_down(repository, STRICT + "signers: signers\n", signers=signers)
    repository.propose(manifest(model, production=1))
    alone = plan(reconciler)
    approve(repository, ada, EMAIL)
    by_the_author = plan(reconciler)
    approve(repository, ada, EMAIL, "grace@example.org")
    in_her_name = plan(reconciler)
    approve(repository, grace, "grace@example.org")
    approved = plan(reconciler)
    repository.write(manifest(model, production=2))
    git(repository.top, "commit", "--quiet", "--all", "--message", "Another one after all")
    another = plan(reconciler)
    git(repository.top, "revert", "--no-edit", "HEAD")
    reverted = plan(reconciler)
    approve(repository, grace, "grace@example.org")
    repository.merge_proposal()
    applied = reconciler("apply", "--yes")

    codes = [ended.code for ended in (alone, by_the_author, in_her_name, approved, another, reverted)]
    assert codes == [3, 3, 3, 0, 3, 3], approved.said
    assert rulings(approved)[("Production", "approvals")] == "pass"
    assert applied.code == 0, applied.said
    assert registry.production(model) == [1]


OVERRIDABLE = STRICT.replace(
    "- path: {from: Staging}", "- path: {from: Staging}\n        override: {approvals: 1, of: risk}"
).replace("      - approvals: {count: 1, of: risk}\n", "")


def test_an_override_needs_whom_the_policy_names_and_stands_out(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    registry.register(model, versions=1)
    grace = ssh_key(tmp_path, "grace")
    signers = f"grace@example.org {grace.with_suffix('.pub').read_text()}"
    lay_down(repository, OVERRIDABLE + "signers: signers\n", signers=signers)
    request = "overrides:\n  - {gate: path, reason: The incumbent leaks personal data., until: 2999-01-01}\n"
    repository.propose(manifest(model, production=1) + request)
    asked = plan(reconciler)
    approve(repository, grace, "grace@example.org")
    granted = plan(reconciler)
    repository.merge_proposal()
    applied = reconciler("apply", "--yes", "--receipt", "receipt.json")

    assert (asked.code, granted.code, applied.code) == (3, 0, 0), granted.said
    assert "it needs 1 approval from risk, but nobody approved" in json.loads(asked.out)["verdicts"][0]["note"]
    verdict = json.loads(granted.out)["verdicts"][0]
    assert verdict["ruling"] == "overridden"
    assert "leaks personal data" in verdict["note"]
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert receipt["verdicts"][0]["ruling"] == "overridden"
    assert "leaks personal data" in registry.version_tags(model, 1)[PROVENANCE_TAG]
    assert registry.production(model) == [1]


def test_an_override_that_is_over_fails_validation_and_lets_nothing_in(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, OVERRIDABLE)
    request = "overrides:\n  - {gate: path, reason: The incumbent leaks personal data., until: 2020-01-01}\n"
    repository.propose(manifest(model, production=1) + request)

    validated, planned = reconciler("validate"), plan(reconciler)

    assert (validated.code, planned.code) == (1, 3)
    assert "expired-override" in validated.out
    assert "The override of path" in planned.out


def test_a_rollback_passes_what_speaks_of_the_way_in(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2))
    assert reconciler("apply", "--yes").code == 0
    lay_down(repository, FROM_STAGING)
    repository.propose(manifest(model, production=1))

    planned = plan(reconciler)
    repository.merge_proposal()
    applied = reconciler("apply", "--yes")

    assert rulings(planned) == {("Production", "path"): "waived"}
    assert "has been in Production before" in json.loads(planned.out)["verdicts"][0]["note"]
    assert (planned.code, applied.code) == (0, 0)
    assert registry.production(model) == [1]


def test_by_taking_away_the_tag_that_puts_a_model_under_a_rule(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, staging=1) + "tags: {tier: '1'}\n")
    assert reconciler("apply", "--yes").code == 0
    lay_down(
        repository,
        FROM_STAGING.replace("    gates:", "    tags: {tier: '1'}\n    gates:").replace("Staging}", "Archived}"),
    )
    registry.set_tag(model, "tier", "3")
    repository.propose(manifest(model, production=1))

    refused = plan(reconciler)

    assert refused.code == 3
    assert rulings(refused) == {("Production", "path"): "fail"}


def test_by_forging_the_record_that_it_has_been_in_production(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    commit = lay_down(repository, FROM_STAGING + "        waive-on-rollback: true\n")
    placement = {"author": "", "applied_at": "2020-01-01T00:00:00Z", "plan": "", "repository": "x", "before": "None"}
    forged = {"format": 1, "slots": {"Production": {**placement, "commit": commit}}}
    registry.set_version_tag(model, 2, PROVENANCE_TAG, json.dumps(forged))
    repository.propose(manifest(model, production=2))

    refused = plan(reconciler)

    assert refused.code == 3
    assert rulings(refused) == {("Production", "path"): "fail"}


def test_by_a_condition_that_never_ends(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    rows = ", ".join(["1"] * 60)
    bomb = f"[{rows}].map(a, [{rows}].map(b, a)).size() > 0"
    for _ in range(2):
        bomb = f"[{rows}].all(x, {bomb})" if len(bomb) < 1500 else bomb
    lay_down(repository, FROM_STAGING + f'      - cel: {{condition: "{bomb}"}}\n')
    repository.propose(manifest(model, production=1))

    refused = plan(reconciler)

    assert refused.code in {1, 3}
    assert registry.production(model) == []


def test_why_a_version_cannot_be_promoted_is_answered_outside_of_a_pull_request(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Staging")
    lay_down(repository, FROM_STAGING)
    repository.merge(manifest(model, staging=1))

    newest, older = reconciler("gates", model), reconciler("gates", model, "--version", "1", "--format", "json")
    missing = reconciler("gates", model, "--version", "9")

    assert (newest.code, older.code, missing.code) == (3, 0, 1)
    assert f"{model} v2" in newest.out
    assert "closed" in newest.out
    assert {v["slot"] for v in json.loads(older.out)} == {"Production"}
    assert "has no version 9" in missing.err


def test_a_broken_policy_judges_nothing(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, "slots:\n  - slot: Production\n    gates:\n      - pth: {from: Staging}\n")
    repository.propose(manifest(model, production=1))

    planned, validated = plan(reconciler), reconciler("validate")

    assert (planned.code, validated.code) == (1, 1)
    assert "reconciler.yaml:4" in planned.err
    assert "reconciler.yaml:4" in validated.out


def test_a_policy_may_say_where_things_are_and_how_much_may_change(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    models = [f"{model}-{n}" for n in range(3)]
    registry.register(*models, versions=2)
    for name in models:
        registry.move(name, 1, "Production")
    lay_down(
        repository,
        f"registry: {registry.uri}\nmanifests: wanted\nlimits: {{max-change-percent: 10, max-change-models: 2}}\n",
    )
    (repository.top / "wanted").mkdir()
    (repository.top / "wanted" / "models.yaml").write_text("".join(manifest(n, production=2) for n in models))
    repository.commit()

    planned = reconciler("plan", MLFLOW_TRACKING_URI="")

    assert planned.code == 3
    assert "the limit is 10%" in planned.out
    assert registry.uri in planned.out


def test_another_registry_in_a_pull_request_does_not_lead_its_plan_there(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    lay_down(repository, f"registry: {registry.uri}\n")
    git(repository.top, "checkout", "--quiet", "-B", "promote", "origin/main")
    (repository.top / "reconciler.yaml").write_text("registry: http://127.0.0.1:9\n")
    propose_here(repository, manifest(model, production=1))

    planned = reconciler("plan", "--base", "origin/main", MLFLOW_TRACKING_URI="")

    assert planned.code == 0
    assert f"on {registry.uri}" in planned.out


GATE_PACKAGE = Path(__file__).parents[1] / "gate_package"


@pytest.mark.parametrize(
    ("tag", "ruling"), [("3.5", "pass"), ("20", "fail"), ("cheap", "unknown")], ids=["cheap", "dear", "untold"]
)
def test_a_gate_that_another_package_brings(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tag: str, ruling: str
) -> None:
    registry.register(model, versions=1)
    registry.set_version_tag(model, 1, "cost-per-million", tag)
    policy = "slots:\n  - slot: Production\n    gates:\n      - uses: acme-cost\n        with: {most: 12.5}\n"
    lay_down(repository, policy)
    repository.propose(manifest(model, production=1))

    planned = reconciler.cold(
        *("plan", "--base", "origin/main", "--format", "json", "--evidence", "none"), PYTHONPATH=str(GATE_PACKAGE)
    )

    assert rulings(planned) == {("Production", "acme-cost"): ruling}


def test_a_gate_that_nobody_brings_is_an_error_with_its_place(repository: Repository, reconciler: Reconciler) -> None:
    lay_down(repository, "slots:\n  - slot: Production\n    gates:\n      - uses: acme-cost\n        with: {most: 1}\n")

    validated = reconciler("validate", "manifests", "reconciler.yaml")

    assert validated.code == 1
    assert "reconciler.yaml:4" in validated.out
    assert "acme-cost" in validated.out
