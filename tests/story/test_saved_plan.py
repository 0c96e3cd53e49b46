"""What was reviewed is what is applied, or nothing is."""

import json
import re

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


def test_a_saved_plan_is_applied_without_another_question(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    head = repository.merge(manifest(model, production=2))

    planned = reconciler("plan", "--out", "plan.json")
    applied = reconciler("apply", "plan.json", "--receipt", "receipt.json")

    assert (planned.code, applied.code) == (0, 0)
    assert registry.stages(model) == {2: "Production"}
    plan = json.loads((repository.top / "plan.json").read_text())
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert plan["computed_from"]["commit"] == head
    assert receipt["plan_digest"] == plan["digest"]
    assert [(entry["model"], entry["status"]) for entry in receipt["models"]] == [(model, "applied")]
    assert receipt["exit_code"] == 0


def test_a_saved_plan_is_stale_once_somebody_has_moved_the_registry(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    registry.move(model, 1, "Production")
    repository.merge(manifest(model, production=2))
    assert reconciler("plan", "--out", "plan.json").code == 0
    registry.move(model, 3, "Production", archive=True)

    refused = reconciler("apply", "plan.json")

    assert refused.code == 4
    assert f"-{model}: archive v1" in refused.err
    assert f"+{model}: archive v3" in refused.err
    assert registry.production(model) == [3]
    assert "reconciler.owner" not in registry.tags(model)


def test_a_saved_plan_is_stale_once_there_is_another_commit(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=2))
    assert reconciler("plan", "--out", "plan.json").code == 0
    repository.merge(manifest(model, production=3))

    refused = reconciler("apply", "plan.json")

    assert refused.code == 4
    assert "The plan was made from commit" in refused.err
    assert registry.stages(model) == {}


def test_a_merge_makes_a_saved_plan_stale_and_what_is_said_then_applies_it(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("plan", "--out", "plan.json").code == 0
    git(repository.top, "commit", "--allow-empty", "--message", "Merge it")

    advice = re.search(r"`(--expect-digest \S+ --yes)`", reconciler("apply", "plan.json").err)

    assert advice is not None
    assert reconciler("apply", *advice[1].split()).code == 0
    assert registry.production(model) == [1]


def test_a_saved_plan_is_for_one_registry(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("plan", "--out", "plan.json").code == 0

    refused = reconciler("apply", "plan.json", "--registry-uri", "http://127.0.0.1:9")

    assert refused.code == 1
    assert registry.uri in refused.err
    assert registry.stages(model) == {}


def test_a_plan_of_the_work_tree_shows_what_no_commit_has_yet_and_cannot_be_applied(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    repository.write(manifest(model, production=2))

    planned = reconciler("plan", "--out", "plan.json")
    refused = reconciler("apply", "plan.json")

    assert planned.code == 0
    assert "v2" in planned.out
    assert "manifests/models.yaml" in planned.err
    assert refused.code == 1
    assert "manifests/models.yaml" in refused.err
    assert registry.stages(model) == {}


def test_manifests_that_are_not_committed_are_refused_by_name(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    repository.write(manifest(model, production=2))
    repository.write(manifest(f"{model}-other", production=2), "new.yaml")

    refused = reconciler("apply", "--yes")
    as_committed = reconciler("apply", "--yes", "--ref", "HEAD")

    assert refused.code == 1
    assert "manifests/models.yaml, manifests/new.yaml" in refused.err
    assert as_committed.code == 0
    assert registry.stages(model) == {1: "Production"}


def test_an_older_commit_is_refused_after_a_newer_one(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    repository.merge(manifest(model, production=2))
    assert reconciler("apply", "--yes").code == 0

    refused = reconciler("apply", "--yes", "--ref", "HEAD~1")
    still = registry.stages(model)
    allowed = reconciler("apply", "--yes", "--ref", "HEAD~1", "--allow-rewind", "HEAD~1")

    assert refused.code == 4
    assert "git revert" in refused.err
    assert still == {2: "Production"}
    assert allowed.code == 0
    assert registry.stages(model) == {1: "Production", 2: "Archived"}


def test_a_commit_of_another_branch_is_refused_until_it_holds_the_one_applied_last(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=1))
    repository.merge(manifest(model, production=2))
    assert reconciler("apply", "--yes").code == 0
    git(repository.top, "checkout", "--quiet", "-b", "aside", "HEAD~1")
    repository.write(manifest(model, production=3))
    git(repository.top, "commit", "--quiet", "--all", "--message", "Aside")

    refused = reconciler("apply", "--yes")

    assert refused.code == 4
    assert "merge that commit first" in refused.err
    assert registry.production(model) == [2]
