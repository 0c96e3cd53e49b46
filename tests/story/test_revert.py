"""A revert undoes what its commit did, also where the commit added something."""

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest


def test_reverting_a_commit_that_added_a_stage_archives_what_it_put_there(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=1, staging=2))
    assert reconciler("apply", "--yes").code == 0
    assert registry.stages(model) == {1: "Production", 2: "Staging"}

    repository.revert()
    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert "no longer declared" in applied.out
    assert registry.stages(model) == {1: "Production", 2: "Archived"}
    assert reconciler("plan", "--detailed-exitcode").code == 0


def test_reverting_a_commit_that_added_a_stage_leaves_alone_what_somebody_else_put_there(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=1, staging=2))
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 3, "Staging")

    repository.revert()
    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert registry.stages(model) == {1: "Production", 2: "Archived", 3: "Staging"}


def test_reverting_a_commit_that_added_an_alias_deletes_it(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.set_alias(model, "by-hand", 1)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=1, challenger=2))
    assert reconciler("apply", "--yes").code == 0
    assert registry.aliases(model) == {"by-hand": 1, "challenger": 2}

    repository.revert()
    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert "delete alias" in applied.out
    assert registry.aliases(model) == {"by-hand": 1}


def test_reverting_a_commit_that_added_a_model_releases_it_and_leaves_the_registry_as_it_is(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    other = f"{model}-other"
    registry.register(model, other, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(other, production=2, champion=2), "other.yaml")
    assert reconciler("apply", "--yes").code == 0
    assert "reconciler.owner" in registry.tags(other)

    repository.revert()
    planned = reconciler("plan")
    applied = reconciler("apply", "--yes")

    assert "release" in planned.out
    assert applied.code == 0
    assert registry.stages(other) == {2: "Production"}
    assert registry.aliases(other) == {"champion": 2}
    assert "reconciler.owner" not in registry.tags(other)
    assert "reconciler.owner" in registry.tags(model)
    assert reconciler("plan", "--detailed-exitcode").code == 0


def test_a_revert_of_the_revert_brings_the_promotion_back(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2))
    assert reconciler("apply", "--yes").code == 0
    repository.revert()
    assert reconciler("apply", "--yes").code == 0
    assert registry.stages(model) == {1: "Production", 2: "Archived"}

    repository.revert()
    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert registry.stages(model) == {1: "Archived", 2: "Production"}
