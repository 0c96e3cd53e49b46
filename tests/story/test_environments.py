"""Environments as registered models: a version of one is copied to the next by a reviewed change, once."""

from tests.story.command import Reconciler
from tests.story.proxy import Cut, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, git
from tests.story.test_faults import IMPATIENT, after_writes

SIGNATURE = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}
signature:
  inputs: '[{"name": "income", "type": "double", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
"""
POLICY = """\
slots:
  - slot: Production
    gates:
      - path: {{from: Staging, model: {staging}}}
      - metric: {{name: f1, threshold: 0.9}}
      - signature: {{}}
      - artifact: {{pinned: true}}
"""


def copied(model: str, original: str, version: int, stage: str = "'None'") -> str:
    return f"model: {model}\nstages:\n  {stage}: {{from: {{model: {original}, version: {version}}}}}\n"


def test_a_version_is_copied_and_promoted_in_one_plan_and_judged_by_what_it_was_made_of(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    staging = f"{model}-staging"
    registry.register(staging, versions=0)
    registry.train(staging, SIGNATURE, f1=0.8)
    registry.train(staging, SIGNATURE, f1=0.93)
    registry.move(staging, 2, "Staging")
    runs = registry.versions(staging)
    (repository.top / "reconciler.yaml").write_text(POLICY.format(staging=staging))
    repository.commit("Guard Production")
    repository.merge(copied(model, staging, 1, "Production"))
    worse = reconciler("plan")
    assert worse.code == 3, worse.said
    assert "metric" in worse.out
    assert f"v1 of {staging}, the original of v1, is in stage None" in " ".join(worse.out.split())
    repository.merge(copied(model, staging, 2, "Production"))

    planned = reconciler("plan")
    assert planned.code == 0, planned.said
    shown = " ".join(planned.out.split())
    assert f"copy v1 from v2 of {staging} (run {runs[2]})" in shown, planned.out
    assert "promote v1 None -> Production" in shown
    assert "0.93" in shown, "the figures of the original"
    promoted = reconciler("apply", "--yes")
    assert promoted.code == 0, promoted.said
    assert "pass path, metric, signature, artifact before Production" in " ".join(promoted.out.split())
    assert registry.production(model) == [1]
    assert registry.versions(model) == {1: runs[2]}
    assert reconciler("drift").code == 0
    assert reconciler("gates", model, "--version", "1").code == 0

    git(repository.top, "revert", "--no-edit", "-m", "1", "HEAD")
    git(repository.top, "push", "--quiet", "origin", "HEAD")
    reconciler("apply", "--yes")
    assert registry.versions(model) == {1: runs[2]}, "a copy stays"


def test_a_copy_whose_answer_is_lost_is_made_once(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    staging = f"{model}-staging"
    registry.register(staging, versions=1)
    repository.merge(copied(model, staging, 1))

    for written in range(6):
        with proxy(registry.uri, after_writes(written, Cut(done=True))) as front:
            front_uri = {"MLFLOW_TRACKING_URI": front.uri}
            broken = reconciler("apply", "--yes", "--lock", "file", **front_uri, **IMPATIENT)
        assert "Traceback" not in broken.said
        assert len(registry.versions(model) if written else {}) <= 1
        if broken.code == 0:
            break
    done = reconciler("apply", "--yes")

    assert done.code == 0, done.said
    assert len(registry.versions(model)) == 1


def test_an_original_that_was_registered_again_is_another_one(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    staging = f"{model}-staging"
    registry.register(staging, versions=1)
    repository.merge(copied(model, staging, 1))
    assert reconciler("apply", "--yes").code == 0
    registry.delete(staging)
    gone = reconciler("plan")
    registry.register(staging, versions=1)
    again = reconciler("plan")

    assert gone.code == 0, gone.said
    assert again.code == 3, again.said
    assert f"v1 of {model} is a copy of another v1 of {staging}" in again.said
