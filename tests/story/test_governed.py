"""What is declared is kept as declared, what is not is nobody's business, and Production is emptied only on request."""

from collections.abc import Callable
from pathlib import Path

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest, new_repository


def test_production_that_is_no_longer_mentioned_is_refused_and_nothing_changes(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1, champion=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, champion=2))

    planned = reconciler("plan")
    applied = reconciler("apply", "--yes")

    assert (planned.code, applied.code) == (3, 3)
    assert "Production: []" in planned.out
    assert registry.stages(model) == {1: "Production"}
    assert registry.aliases(model) == {"champion": 1}


def test_production_is_emptied_by_an_empty_list(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1, champion=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=[], champion=2))

    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert registry.stages(model) == {1: "Archived"}
    assert registry.aliases(model) == {"champion": 2}


def test_a_move_by_hand_is_shown_by_a_plan_and_taken_back_by_an_apply(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=1, champion=1))
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 3, "Production", archive=True)
    registry.set_alias(model, "champion", 3)

    planned = reconciler("plan", "--detailed-exitcode")
    applied = reconciler("apply", "--yes")

    assert planned.code == 2
    assert "displaced by v1" in planned.out
    assert "restore  @champion" in planned.out
    assert applied.code == 0
    assert registry.stages(model) == {1: "Production", 3: "Archived"}
    assert registry.aliases(model) == {"champion": 1}


def test_a_second_version_that_somebody_put_beside_the_declared_one_leaves_production(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 3, "Production")

    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert registry.stages(model) == {1: "Production", 3: "Archived"}


def test_a_stage_that_no_manifest_mentions_is_left_to_the_data_scientists(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 3, "Staging")
    registry.set_alias(model, "candidate", 3)

    planned = reconciler("plan", "--detailed-exitcode")

    assert planned.code == 0


def test_the_model_of_another_repository_is_refused_until_it_is_adopted(
    repository: Repository,
    registry: Registry,
    reconciler: Reconciler,
    command: Callable[[Repository, str], Reconciler],
    tmp_path: Path,
    model: str,
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    second = new_repository(tmp_path, "second")
    second.merge(manifest(model, production=2))
    theirs = command(second, registry.uri)

    refused = theirs("apply", "--yes")
    still = registry.stages(model)
    adopted = theirs("apply", "--yes", "--adopt")

    assert refused.code == 3
    assert "owned-by-another-repository" in refused.out
    assert still == {1: "Production"}
    assert adopted.code == 0
    assert registry.stages(model) == {1: "Archived", 2: "Production"}
    assert reconciler("plan").code == 3


def test_an_empty_folder_of_manifests_is_not_read_as_release_everything(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.delete()
    repository.commit("Clean up")

    refused = [reconciler("plan"), reconciler("apply", "--yes")]
    owned = registry.tags(model)
    released = reconciler("apply", "--yes", "--allow-empty")

    for one in refused:
        assert one.code == 3
        assert model in one.err
        assert "--allow-empty" in one.err
    assert "reconciler.owner" in owned
    assert released.code == 0
    assert "reconciler.owner" not in registry.tags(model)
    assert registry.stages(model) == {1: "Production"}


def test_a_change_to_very_many_models_at_once_has_to_be_forced(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    models = [f"{model}-{number}" for number in range(12)]
    registry.register(*models, versions=2)
    repository.merge("".join(manifest(name, production=1) for name in models))
    assert reconciler("apply", "--yes").code == 0
    repository.merge("".join(manifest(name, production=2) for name in models))

    planned = reconciler("plan")
    refused = reconciler("apply", "--yes")
    before = [registry.production(name) for name in models]
    forced = reconciler("apply", "--yes", "--force")

    assert (planned.code, refused.code, forced.code) == (3, 3, 0)
    for said in (planned.said, refused.said):
        assert "12 of 12" in said
        assert "30%" in said
        assert "--max-change-percent" in said
        assert "RECONCILER_MAX_CHANGE_PERCENT" in said
    assert before == [[1]] * 12
    assert [registry.production(name) for name in models] == [[2]] * 12


def test_tags_of_a_version_are_set_kept_and_undone_and_satisfy_no_gate(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.set_version_tag(model, 2, "validated-by", "nightly")
    gate = "slots: [{slot: Production, gates: [{tags: {require: {checked: 'yes', validated-by: '*'}}}]}]\n"
    (repository.top / "reconciler.yaml").write_text(gate)
    staged = f"model: {model}\nstages:\n  Staging: {{version: 2, tags: {{checked: 'yes', risk: low}}}}\n"
    repository.merge(staged)

    set_ = reconciler("apply", "--yes")
    tags = registry.version_tags(model, 2)
    registry.set_version_tag(model, 2, "risk", "high")
    drifted = reconciler("drift")
    restored = reconciler("apply", "--yes")
    again = registry.version_tags(model, 2)

    assert (set_.code, drifted.code, restored.code) == (0, 2, 0), set_.said
    assert tags["checked"] == "yes"
    assert tags["risk"] == "low" == again["risk"]
    assert "risk" in drifted.out

    repository.merge(f"model: {model}\nstages:\n  Production: {{version: 2, tags: {{risk: low}}}}\n")
    refused = reconciler("apply", "--yes")
    repository.merge(f"model: {model}\nstages:\n  Staging: 2\n")
    undone = reconciler("apply", "--yes")

    assert refused.code == 3
    assert "has the tag checked from its manifest, which does not count" in refused.out
    assert undone.code == 0, undone.said
    assert {key for key in registry.version_tags(model, 2) if key != "reconciler.provenance"} == {"validated-by"}
