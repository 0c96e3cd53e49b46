"""A version is copied from one registry to another: two real servers, one of them with users."""

import pytest

from tests.story.repository import git
from tests.story.test_registries import Two, two

__all__ = ["two"]

MLMODEL = "flavors: {}\nsignature: {inputs: '[]', outputs: '[]'}\n"

POLICY = """\
registries:
  dev: {mode: alias, stages: {Production: champion}}
  prod: {limits: {max-change-percent: 50}}
slots:
- slot: Production
  registries: prod
  gates:
  - path: {from: Production, registry: dev, model: MODEL}
  - metric: {name: f1, threshold: 0.5}
  - artifact: {}
"""


def copy_of(model: str, version: int, registry: str = "dev") -> str:
    return f"{{from: {{registry: {registry}, model: {model}, version: {version}}}}}"


@pytest.fixture
def pair(two: Two) -> Two:
    """dev has a fourth version, in a run with figures and files; gates of prod ask about dev."""
    two.dev.train(two.model, MLMODEL, f1=0.64)
    (two.repository.top / "reconciler.yaml").write_text(POLICY.replace("MODEL", two.model))
    two.declare("dev", production=4)
    two.declare("prod", production=[])
    two.repository.commit("Ask about dev")
    applied = two.run("apply", "--yes")
    assert applied.code == 0, applied.said
    return two


def test_a_version_is_copied_from_another_registry_and_promoted_by_one_plan(pair: Two) -> None:
    two = pair
    two.declare("prod", production=copy_of(two.model, 4))
    two.repository.commit("Promote what dev has")
    git(two.repository.top, "push", "--quiet", "origin", "HEAD:main")

    planned = two.run("plan", "--registry", "prod")
    print(planned.said)
    applied = two.run("apply", "--registry", "prod", "--yes")
    print(applied.said)
    again = two.run("plan", "--registry", "prod", "--detailed-exitcode")
    print(again.said)
    assert again.code == 0
