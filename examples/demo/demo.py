"""
Gates before Production, with the real commands, on a real MLflow registry with models that are really trained, while
a consumer keeps loading what is in Production: a promotion that is refused and then made, its rollback by a revert, a
move by hand that is found and taken back, and stages that are left for aliases.

    make demo
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
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
    fingerprint,
    git,
    keygen,
    run,
    say,
    styled,
)
from training import Trained, quieten_mlflow, train

MODEL = "RiskClassifier"
MANIFEST = REPOSITORY / "manifests" / "risk-classifier" / "production.yaml"
README = Path(__file__).resolve().parents[2] / "README.md"
ADA, GRACE = ("Ada Lovelace", "ada@acme.example"), ("Grace Hopper", "grace@acme.example")
SOAK = 10.0


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    make_repository()

    trained = the_registry_as_it_is()
    put_gates_before_production()
    consumer = Consumer(MODEL, FOLDER / "consumer.jsonl")
    try:
        swaps = while_it_is_consumed(consumer)
    finally:
        consumer.stop()
    answer_the_auditor()
    return judge(consumer.loads(), swaps, trained)


def make_repository() -> None:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(ORIGIN), where=FOLDER)
    git("init", "--quiet", "--initial-branch=main", str(REPOSITORY), where=FOLDER)
    os.chdir(REPOSITORY)
    git("remote", "add", "origin", str(ORIGIN))
    git("config", "gpg.format", "ssh")
    git("config", "user.signingKey", str(FOLDER / "grace"))


def policy() -> str:
    """The policy that the README shows, with a soak that is short enough to watch."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (shown,) = (block for block in blocks if re.search(r"^slots:", block, re.MULTILINE))
    short = re.sub(r"for: \w+", f"for: {SOAK:.0f}s", shown)
    assert short != shown
    return short


def registry() -> Any:
    import mlflow

    quieten_mlflow()
    return mlflow.MlflowClient()


def the_registry_as_it_is() -> list[Trained]:
    chapter(
        "1. The registry as it is",
        "Models are trained, measured, and registered. Somebody has put v3 into Production by hand. Who, when, and "
        "why? MLflow does not know.",
    )
    trained = train(MODEL, 9, (1, 2, 3, 4), FOLDER / "artifacts")
    registry().transition_model_version_stage(MODEL, "3", "Production")
    say(f"\n  {styled(MODEL, BOLD)}")
    for one in trained:
        stage = "  Production" if one.version == 3 else ""
        say(f"    v{one.version}  logistic regression, {one.kind}  F1 {one.f1:.3f}{stage}")
    return trained


def put_gates_before_production() -> None:
    chapter(
        "2. Gates before Production",
        "Git declares what is there, and a policy what must hold before anything else gets there. `init` makes the "
        "key that signs records, and names it in the policy. v3 is found there, and not judged.",
    )
    become(*GRACE)
    run(f"reconciler init --model {MODEL} --version 3 --owner {GRACE[1]}")
    (REPOSITORY / "reconciler.yaml").write_text(policy())
    public = keygen(FOLDER / "grace")
    with (REPOSITORY / ".reconciler" / "allowed_signers").open("a") as signers:
        signers.write(f"{GRACE[1]} {public}\n")
    run("cat reconciler.yaml")
    run("git add --all")
    run("git commit --quiet -m 'Declare what is in Production'")
    run("git push --quiet --set-upstream origin main")
    ENVIRONMENT["RECONCILER_SIGNING_KEY"] = ".git/reconciler/signing-key"
    say(f"\n{styled('$', GREEN)} {styled('export RECONCILER_SIGNING_KEY=.git/reconciler/signing-key', BOLD)}")
    run("reconciler apply --yes")


def while_it_is_consumed(consumer: Consumer) -> list[tuple[float, float]]:
    """From when to when each of the moves of Production took place: promotion, rollback, by hand, and back."""
    chapter(
        "3. A consumer",
        f"From now on another process loads models:/{MODEL}/Production over and over, and scores an applicant with "
        "each model that it gets. It must never find none, and never a wrong one.",
    )
    show_seen(consumer)
    refuse()
    promotion = promote()
    show_seen(consumer)
    rollback = roll_back()
    show_seen(consumer)
    moved = time.monotonic()
    registry().transition_model_version_stage(MODEL, "4", "Production", archive_existing_versions=True)
    by_hand = moved, time.monotonic()
    healing = heal(consumer)
    leave_stages(consumer)
    return [promotion, rollback, by_hand, healing]


def refuse() -> None:
    chapter(
        "4. A promotion that the gates refuse",
        "Ada asks for v4, a one-line change. It is better, but nobody has tried it, and nobody has approved it.",
    )
    become(*ADA)
    run("git switch --quiet --create promote-v4")
    # The comment behind the number tells which run v3 came from.
    MANIFEST.write_text(re.sub(r"Production: 3.*", "Production: 4", MANIFEST.read_text()))
    run("git diff --unified=0")
    run("git commit --quiet --all -m 'Promote v4'")
    run("reconciler plan --base main --evidence none", code=3)


def promote() -> tuple[float, float]:
    chapter(
        "5. The gates are met",
        f"v4 is moved to Staging and tried for {SOAK:.0f} seconds. Grace, who owns the model, approves by a commit "
        "that she signs. Then the plan passes, and the merge is applied.",
    )
    registry().transition_model_version_stage(MODEL, "4", "Staging")
    staged = time.monotonic()
    become(*GRACE)
    run(f"git commit --quiet --allow-empty -S -m Approve -m 'Approved-by: {GRACE[1]}'")
    time.sleep(max(0.0, staged + SOAK + 1 - time.monotonic()))
    run("reconciler plan --base main")
    run("git switch --quiet main")
    run("git merge --quiet --no-ff -m 'Promote v4' promote-v4")
    run("git push --quiet")
    return timed("reconciler apply --yes --receipt ../receipt.json")


def roll_back() -> tuple[float, float]:
    chapter(
        "6. A rollback is a revert",
        "v4 disappoints. The merge is reverted. v3 was in Production before, so the gates waive what they say of the "
        "way in, and nothing that they say of the version itself.",
    )
    run("git revert --no-edit -m 1 HEAD")
    run("git push --quiet")
    return timed("reconciler apply --yes")


def heal(consumer: Consumer) -> tuple[float, float]:
    chapter(
        "7. A move by hand",
        "Somebody moves v4 into Production again, on MLflow's page. `drift` finds it. An apply puts nothing back that "
        "nobody looked at, and says which two ways lead back. One of them is taken.",
    )
    show_seen(consumer)
    run("reconciler drift", code=2)
    run("reconciler apply --yes", code=3)
    healing = timed(f"reconciler apply --yes --restore {MODEL}")
    run("reconciler drift")
    show_seen(consumer)
    return healing


def leave_stages(consumer: Consumer) -> None:
    chapter(
        "8. Stages are left for aliases",
        "MLflow deprecates stages. First an alias stands for each. Then consumers go over to it, one after the other. "
        "At last the stages are no longer moved. The manifest and the gates stay as they are.",
    )
    become(*GRACE)
    change_policy("stages: {Production: champion, Staging: challenger}", "Aliases stand for the stages")
    run("reconciler apply --yes")
    consumer.load_from(f"models:/{MODEL}@champion")
    say(f"\n  {styled('The consumer', MAGENTA)} loads models:/{MODEL}@champion from now on.")
    consumer.wait_for_load(time.monotonic())
    change_policy("mode: alias", "Nobody loads by stage anymore")
    run("reconciler apply --yes")
    run("reconciler drift")
    show_seen(consumer)


def change_policy(line: str, why: str) -> None:
    """Merge another line of the policy."""
    with (REPOSITORY / "reconciler.yaml").open("a") as policy:
        policy.write(f"{line}\n")
    run("git diff --unified=0")
    run(f"git commit --quiet --all -m '{why}'")
    run("git push --quiet")


def timed(command: str) -> tuple[float, float]:
    began = time.monotonic()
    run(command)
    return began, time.monotonic()


def show_seen(consumer: Consumer) -> None:
    """What the consumer has seen up to now, as a line: `v3 ×21 → v4 ×5`."""
    loads = consumer.wait_for_load(time.monotonic())
    told = " → ".join(f"v{version} ×{count}" for version, count in succession(loads))
    say(f"\n  {styled('The consumer has loaded', MAGENTA)} {told}")


def answer_the_auditor() -> None:
    chapter("9. The auditor's question", "What is in Production, since when, and who decided it? A signed record says.")
    (version,) = [v for v in registry().search_model_versions(f"name = '{MODEL}'") if v.current_stage == "Production"]
    record = json.loads(version.tags["reconciler.provenance"])["slots"]["Production"]
    say(f"\n  {styled(f'{MODEL} v{version.version} is in Production', BOLD)}")
    answers = {
        "since": record["applied_at"],
        "by commit": git("show", "--no-patch", "--format=%h %s", record["commit"]),
        "written by": record["author"],
        "it came from": record["before"],
        "gates passed": ", ".join(record["passed"]),
        "signed by": record["signature"]["key"],
    }
    assert record["signature"]["key"] == fingerprint(REPOSITORY / ".git" / "reconciler" / "signing-key")
    for question, answer in answers.items():
        say(f"    {question:14} {answer}")


def judge(loads: Sequence[Load], swaps: Sequence[tuple[float, float]], trained: Sequence[Trained]) -> int:
    """The last line: what the consumer saw, and whether that was what it should have seen."""
    expected = [3, 4, 3, 4, 3]
    begins, ends = [0.0, *(began for began, _ in swaps)], [*(ended for _, ended in swaps), loads[-1].ended]
    reigns = [Reign(*reign) for reign in zip(expected, begins, ends, strict=True)]
    failed = [load for load in loads if load.error]
    mistaken = wrong(loads, reigns, {one.version: one.score for one in trained})
    for load in (*failed, *mistaken)[:5]:
        say(f"  {load}")
    seen = [version for version, _ in succession(loads)]
    good = not failed and not mistaken and seen == expected
    told = (
        f"Consumer: {len(loads)} loads, {len(failed)} failures, "
        f"saw {' → '.join(f'v{version}' for version in seen)}, {len(mistaken)} wrong."
    )
    say(f"\n{styled(told, GREEN if good else RED)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
