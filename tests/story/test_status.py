"""Every slot and how it stands, and what to do about what drifted, on a real registry."""

import json
from pathlib import Path

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


def test_status_follows_a_model_from_its_apply_to_its_drift(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    registry.register(model, f"{model}-loose", versions=3)
    registry.set_alias(f"{model}-loose", "mine", 2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=1, staging=2))

    before = json.loads(reconciler("status", "--format", "json").out)
    assert {slot["slot"]: slot["state"] for slot in before["models"][0]["slots"]} == {
        "Production": "in sync",
        "Staging": "pending",
    }

    assert reconciler("apply", "--yes").code == 0
    applied = reconciler("status", model)
    assert applied.code == 0, applied.said
    assert applied.out.splitlines()[-1] == "Status: 0 drifted, 0 unknown, 0 pending, 2 in sync."
    document = json.loads(reconciler("status", "--format", "json").out)
    for slot in document["models"][0]["slots"]:
        (occupant,) = slot["actual"]
        assert occupant["commit"] in git(repository.top, "log", "--format=%H")
        assert occupant["author"]
        assert occupant["since"]

    registry.move(model, 3, "Production", archive=True)
    files = [tmp_path / "page.html", tmp_path / "slots.prom", tmp_path / "status.md"]
    reports = [f"--report={form}={file}" for form, file in zip(("html", "prometheus", "markdown"), files, strict=True)]
    drifted = reconciler("status", "--all", *reports)
    assert drifted.code == 2
    assert reconciler("drift").code == 2
    assert "drifted       Production  v3; declared: v1" in drifted.out
    assert "last changed" in drifted.out
    assert f"{model}-loose  not governed" in drifted.out
    assert f'reconciler_slot_state{{model="{model}",slot="Production",state="drifted"}} 1' in files[1].read_text()
    assert all(model in file.read_text() for file in files)

    wrong = reconciler("status", f"{model}x")
    assert wrong.code == 1
    assert f"Did you mean `{model}`?" in wrong.err


POLICY = """
slots:
  - slot: Production
    gates:
      - path: {from: Staging}
"""


def test_what_was_moved_by_hand_is_kept_by_a_change_of_the_manifests(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, staging=1) + "# the end\n")
    assert reconciler("apply", "--yes").code == 0
    assert "Nothing drifted." in reconciler("drift", "--adopt").err
    registry.move(model, 3, "Staging", archive=True)
    assert "`reconciler drift --adopt --open-pr`" in " ".join(reconciler("drift").out.split())

    shown = reconciler("drift", "--adopt", "--dry-run")
    assert shown.code == 0, shown.said
    assert "+  Staging: 3" in shown.out
    assert git(repository.top, "status", "--porcelain") == ""

    assert reconciler("drift", "--adopt", "--target", f"{model}x").code == 1
    assert reconciler("drift", "--dry-run").code == 1
    written = reconciler("drift", "--adopt", "--target", model)
    assert written.code == 0, written.said
    assert (repository.top / "manifests" / "models.yaml").read_text().endswith("# the end\n")
    repository.commit("Keep it")
    assert reconciler("apply", "--yes").code == 0
    assert reconciler("drift").code == 0
    assert registry.stages(model)[3] == "Staging"


def test_a_gate_that_would_refuse_what_was_moved_by_hand_is_named_before(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.commit("Lay down rules")
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 2, "Production", archive=True)

    shown = reconciler("drift", "--adopt")
    assert shown.code == 0, shown.said
    assert "As things are, moved-by-hand" in shown.err
    assert "Production: 2" in (repository.top / "manifests" / "models.yaml").read_text()
    git(repository.top, "checkout", "--", "manifests")
    assert reconciler("drift", "--adopt", "--if-allowed").code == 3
    assert git(repository.top, "status", "--porcelain") == ""
