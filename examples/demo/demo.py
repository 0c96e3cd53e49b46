"""
A promotion by a commit and a rollback by a revert, with the real commands, on a real MLflow registry with models that
are really trained, while a consumer keeps loading what is in Production.

    make demo
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from consumer import Consumer, Load, Reign, succession, wrong
from terminal import (
    BOLD,
    ENVIRONMENT,
    FOLDER,
    GREEN,
    MAGENTA,
    ORIGIN,
    RED,
    REPOSITORY,
    become,
    chapter,
    git,
    run,
    say,
    styled,
)
from training import Trained, quieten_mlflow, train

RISK = REPOSITORY / "manifests" / "risk.yaml"
FRAUD = REPOSITORY / "manifests" / "fraud.yaml"

AS_IT_IS = """\
model: RiskClassifier
description: Scores consumer loan applications.
owners: ["@acme/risk-ml"]
stages:
  Production: {{version: 3, comment: "F1 {0:.3f} on the holdout set."}}
aliases:
  baseline: 1
"""
PROMOTED = '{{version: 4, comment: "Two weeks of A/B test on Staging. F1 {1:.3f}, v3 had {0:.3f}."}}'

FRAUD_DETECTOR = """\
model: FraudDetector
stages:
  Production: 2
aliases:
  champion: 2
"""


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    make_repository()

    risk = the_registry_as_it_is()
    declare_production(risk)
    consumer = Consumer("RiskClassifier", FOLDER / "consumer.jsonl")
    try:
        swaps = while_it_is_consumed(consumer, risk)
    finally:
        consumer.stop()
    answer_the_auditor("RiskClassifier")
    return judge(consumer.loads(), swaps, risk)


def make_repository() -> None:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(ORIGIN), where=FOLDER)
    git("init", "--quiet", "--initial-branch=main", str(REPOSITORY), where=FOLDER)
    git("remote", "add", "origin", str(ORIGIN))
    RISK.parent.mkdir()


def the_registry_as_it_is() -> list[Trained]:
    chapter(
        "1. The registry as it is",
        "Models are trained, measured, and registered. Somebody has put RiskClassifier v3 into Production and v4 into "
        "Staging by hand. Who, when, and why? MLflow does not know.",
    )
    import mlflow

    risk = train("RiskClassifier", 9, (1, 2, 3, 4), FOLDER / "artifacts")
    fraud = train("FraudDetector", 3, (1, 2), FOLDER / "artifacts")
    quieten_mlflow()
    client: Any = mlflow.MlflowClient()
    client.transition_model_version_stage("RiskClassifier", "3", "Production")
    client.transition_model_version_stage("RiskClassifier", "4", "Staging")

    for name, versions in (("RiskClassifier", risk), ("FraudDetector", fraud)):
        stages = {int(v.version): v.current_stage for v in client.search_model_versions(f"name = '{name}'")}
        say(f"\n  {styled(name, BOLD)}")
        for one in versions:
            stage = "" if stages[one.version] == "None" else stages[one.version]
            say(f"    v{one.version}  {one.kind}  F1 {one.f1:.3f}  {stage}".rstrip())
    return risk


def declare_production(risk: Sequence[Trained]) -> None:
    chapter(
        "2. Production is declared in git",
        "The manifests say what is to be: RiskClassifier as it is, and FraudDetector v2 in Production. They do not "
        "mention Staging, so that stays the data scientists' own.",
    )
    become("Grace Hopper", "grace@acme.example")
    RISK.write_text(AS_IT_IS.format(risk[2].f1))
    FRAUD.write_text(FRAUD_DETECTOR)
    run("cat manifests/risk.yaml")
    run("reconciler validate")
    run("git add manifests")
    run("git commit --quiet -m 'Declare what is in Production'")
    run("git push --quiet -u origin main")
    run("reconciler plan")
    run("reconciler apply --yes")


def while_it_is_consumed(consumer: Consumer, risk: Sequence[Trained]) -> list[tuple[float, float]]:
    """Promote and roll back; says from when to when each of the two applies ran."""
    chapter(
        "3. A consumer",
        "From now on another process loads models:/RiskClassifier/Production over and over, and scores an applicant "
        "with each model that it gets. It must never find none, and never a wrong one.",
    )
    show_seen(consumer)

    chapter(
        "4. A promotion is a one-line change",
        "Reviewed as any other change, planned in the pull request, applied on merge.",
    )
    declared = RISK.read_text().splitlines()
    declared[4] = f"  Production: {PROMOTED.format(risk[2].f1, risk[3].f1)}"
    RISK.write_text("\n".join(declared) + "\n")
    run("git diff --unified=1")
    run("reconciler plan")
    run("git commit --quiet -a -m 'Promote RiskClassifier v4'")
    run("git push --quiet")
    promotion = timed_apply("--receipt ../receipt.json")
    show_seen(consumer)

    chapter(
        "5. A mistake",
        "Somebody asks for a version that does not exist. The plan says so, and where, before anything is merged.",
    )
    become("Ada Lovelace", "ada@acme.example")
    RISK.write_text(RISK.read_text().replace("version: 4", "version: 7"))
    run("reconciler plan", code=3)
    run("git restore manifests/risk.yaml")

    chapter("6. A rollback is a revert", "v4 disappoints. The commit that promoted it is reverted; that is all.")
    run("git revert --no-edit HEAD")
    run("git push --quiet")
    run("reconciler plan")
    rollback = timed_apply()
    show_seen(consumer)
    return [promotion, rollback]


def timed_apply(options: str = "") -> tuple[float, float]:
    began = time.monotonic()
    run(f"reconciler apply --yes {options}".rstrip())
    return began, time.monotonic()


def show_seen(consumer: Consumer) -> None:
    """What the consumer has seen up to now, as a line: `v3 ×21 → v4 ×5`."""
    loads = consumer.wait_for_load(time.monotonic())
    told = " → ".join(f"v{version} ×{count}" for version, count in succession(loads))
    say(f"\n  {styled('The consumer has loaded', MAGENTA)} {told}")


def answer_the_auditor(model: str) -> None:
    import mlflow

    chapter(
        "7. The auditor's question", "Nothing is left to do. And what is in Production, since when, and who decided it?"
    )
    run("reconciler plan --detailed-exitcode")
    client: Any = mlflow.MlflowClient()
    (version,) = [v for v in client.search_model_versions(f"name = '{model}'") if v.current_stage == "Production"]
    record = json.loads(version.tags["reconciler.provenance"])["slots"]["Production"]
    say(f"\n  {styled(f'{model} v{version.version} is in Production', BOLD)}")
    answers = {
        "since": record["applied_at"],
        "by commit": git("show", "--no-patch", "--format=%h %s", record["commit"]),
        "written by": record["author"],
        "of repository": record["repository"],
        "it came from": record["before"],
        "by plan": record["plan"][:12],
    }
    for question, answer in answers.items():
        say(f"    {question:14} {answer}")


def judge(loads: Sequence[Load], swaps: Sequence[tuple[float, float]], risk: Sequence[Trained]) -> int:
    """The last line: what the consumer saw, and whether that was what it should have seen."""
    (promoting, promoted), (reverting, reverted) = swaps
    reigns = [Reign(3, 0, promoted), Reign(4, promoting, reverted), Reign(3, reverting, loads[-1].ended)]
    failed = [load for load in loads if load.error]
    mistaken = wrong(loads, reigns, {one.version: one.score for one in risk})
    for load in (*failed, *mistaken)[:5]:
        say(f"  {load}")
    seen = [version for version, _ in succession(loads)]
    good = not failed and not mistaken and seen == [3, 4, 3]
    told = (
        f"Consumer: {len(loads)} loads of models:/RiskClassifier/Production, {len(failed)} failures, "
        f"saw {' → '.join(f'v{version}' for version in seen)}, {len(mistaken)} wrong."
    )
    say(f"\n{styled(told, GREEN if good else RED)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
