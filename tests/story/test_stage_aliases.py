"""A team leaves stages for aliases: both are moved together, then aliases alone."""

import re

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest

BOTH = """\
stages:
  Production: {alias: champion, previous: champion-previous}
  Canary: canary
live: [Production, Canary]
"""
ALONE = f"mode: alias\n{BOTH}"


def test_a_team_leaves_stages_for_aliases(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    def applied(*options: str) -> str:
        done = reconciler("apply", "--yes", *options)
        assert done.code == 0, done.said
        return done.out

    registry.register(model, versions=4)
    repository.merge(manifest(model, production=1))
    applied()
    path = repository.top / "manifests" / "models.yaml"

    (repository.top / "reconciler.yaml").write_text(BOTH)
    repository.commit("An alias stands for Production, and another one is Canary")
    assert reconciler("drift").code == 0, "it is pending, and nobody moved anything"
    assert re.search("set alias +@champion +-> v1", applied())
    path.write_text(path.read_text().replace("Production: 1", "Production: 1\n  Canary: 2"))
    repository.commit("v2 is the canary")
    assert re.search("promote +@canary +-> v2", applied())
    assert registry.aliases(model) == {"champion": 1, "canary": 2}
    assert registry.production(model) == [1]

    promoted = reconciler("promote", model, "2")
    assert promoted.code == 0, promoted.said
    repository.commit("Promote it")
    applied()
    assert registry.production(model) == [2]
    assert registry.aliases(model) == {"champion": 2, "canary": 2, "champion-previous": 1}

    (repository.top / "reconciler.yaml").write_text(ALONE)
    repository.commit("Nobody loads by stage anymore")
    assert reconciler("drift").code == 0
    applied()
    promoted = reconciler("promote", model, "3", "--to", "Canary")
    assert promoted.code == 0, promoted.said
    repository.commit("v3 is the canary")
    applied()
    promoted = reconciler("promote", model, "--from", "Canary")
    assert promoted.code == 0, promoted.said
    assert "Production: 3" in path.read_text()
    repository.commit("Promote it")
    applied()
    assert registry.aliases(model) == {"champion": 3, "canary": 3, "champion-previous": 2}
    assert registry.production(model) == [2]

    back = reconciler("rollback", model)
    assert back.code == 0, back.said
    assert "Production: 2" in path.read_text()
    repository.commit("Roll it back")
    applied()
    assert registry.aliases(model) == {"champion": 2, "canary": 3, "champion-previous": 3}
    registry.set_alias(model, "champion", 4)
    assert reconciler("apply", "--yes", "--restore", model).code == 0
    assert registry.aliases(model)["champion-previous"] == 3, "what nobody declared is not kept"
    assert reconciler("plan", "--detailed-exitcode").code == 0
    assert reconciler("drift").code == 0
