"""A promotion by a commit, and its way back by a revert."""

import json

from tests.story.command import Reconciler
from tests.story.registry import Registry, watched
from tests.story.repository import AUTHOR, EMAIL, Repository, manifest


def test_a_commit_promotes_and_its_revert_rolls_back_while_consumers_always_find_one_version(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=4)
    repository.merge(manifest(model, staging=4, production=3, champion=3))
    assert reconciler("apply", "--yes").code == 0

    with watched(lambda: registry.loads(model), lambda: registry.production(model)) as seen:
        repository.write(manifest(model, production=4, staging=[], champion=4))
        proposed = reconciler("plan")
        pending = reconciler("plan", "--detailed-exitcode")
        promotion = repository.commit("Promote v4")
        applied = reconciler.cold("apply", "--yes", "--receipt", "receipt.json")
        settled = reconciler("plan", "--detailed-exitcode")
        repository.revert()
        going_back = reconciler("plan")
        reverted = reconciler("apply", "--yes")

    assert proposed.code == 0
    assert "promote" in proposed.out
    assert proposed.out.splitlines()[-1].startswith("Plan: 1 to promote, 1 to archive")
    assert pending.code == 2
    assert (applied.code, settled.code) == (0, 0)
    assert "No changes" in settled.out
    assert "roll back" in going_back.out
    assert "2 to roll back" in going_back.out.splitlines()[-1]
    assert reverted.code == 0
    assert registry.stages(model) == {3: "Production", 4: "Staging"}
    assert registry.aliases(model) == {"champion": 3}
    for one in seen:
        assert one.never_other_than_one
        assert one.changes == [[3], [4], [3]]
    recorded = json.loads(registry.version_tags(model, 4)["reconciler.provenance"])["slots"]["Production"]
    assert recorded["commit"] == promotion
    assert recorded["author"] == f"{AUTHOR} <{EMAIL}>"
