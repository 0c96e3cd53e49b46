"""What a run logged is registered by the merge that declares it, once."""

import json

from tests.story.command import Reconciler
from tests.story.proxy import Cut, passes, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository
from tests.story.test_faults import IMPATIENT, after_writes


def declared(model: str, run_id: str, *, stage: str = "Staging", path: str = "model") -> str:
    return f"model: {model}\nstages:\n  {stage}: {{run_id: {run_id}, artifact_path: {path}}}\n"


def test_a_model_is_made_of_a_run_by_one_merge_and_once(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    run_id = registry.log(f1=0.91)
    repository.merge(declared(model, run_id))

    early = reconciler("plan")
    registry.end_run(run_id)
    planned = reconciler("plan")
    applied = reconciler("apply", "--yes", "--receipt", "receipt.json")
    again = reconciler("apply", "--yes")
    drift = reconciler("drift")

    assert (early.code, planned.code) == (3, 0), planned.said
    assert f"Run {run_id} is RUNNING, not FINISHED." in early.out
    assert f"register  v1  from run {run_id} (finished 2025-11-20, f1 0.91)" in " ".join(planned.out.split(" "))
    assert (applied.code, again.code, drift.code) == (0, 0, 0), applied.said + drift.said
    assert "Repaired" not in applied.out
    assert registry.versions(model) == {1: run_id}
    assert registry.stages(model) == {1: "Staging"}
    assert "create_model_version" in (repository.top / "receipt.json").read_text()
    assert "0 drifted" in drift.out

    registry.delete_run(run_id)
    gone = reconciler("plan")
    promoted = reconciler("promote", model, "--from", "Staging")

    assert (gone.code, promoted.code) == (0, 0), gone.said + promoted.said
    written = (repository.top / "manifests" / "models.yaml").read_text()
    pinned = f"  Production:\n    version: 1\n    run_id: {run_id}\n"
    assert written == f"model: {model}\nstages:\n  Staging: []\n{pinned}"


def test_a_run_without_that_model_and_one_that_is_gone_are_named(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    run_id = registry.log()
    registry.end_run(run_id)
    repository.merge(declared(model, run_id, path="classifier"))
    elsewhere = reconciler("plan")
    registry.delete_run(run_id)
    deleted = reconciler("plan")
    repository.merge(declared(model, "f" * 32))
    unknown = reconciler("plan")

    assert (elsewhere.code, deleted.code, unknown.code) == (3, 3, 3)
    assert f"Run {run_id} has no model at `classifier`; it has: `model`." in elsewhere.out
    assert f"Run {run_id} was deleted." in deleted.out
    assert f"There is no run {'f' * 32}." in unknown.out
    assert registry.versions(model) == {}


def test_nothing_is_registered_into_a_guarded_slot_and_the_records_know_what_was_registered(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    (repository.top / "reconciler.yaml").write_text("slots: [{slot: Production, gates: [{description: {}}]}]\n")
    repository.commit()
    run_id = registry.log()
    registry.end_run(run_id)
    repository.merge(declared(model, run_id, stage="Production"))

    refused = reconciler("apply", "--yes")
    repository.merge(declared(model, run_id, stage="None"))
    registered = reconciler("apply", "--yes")
    second = registry.log()
    registry.end_run(second)
    repository.merge(declared(model, second))
    staged = reconciler("apply", "--yes")

    assert refused.code == 3
    assert "not-registered-yet" in refused.out
    assert registered.code == 0, registered.said
    assert (staged.code, "Repaired" in staged.out) == (0, False), staged.said
    assert (registry.versions(model), registry.stages(model)) == ({1: run_id, 2: second}, {2: "Staging"})
    record = json.loads(registry.version_tags(model, 2)["reconciler.provenance"])["slots"]["Staging"]
    number, run, created_at, source = record["version"]
    assert (number, run, created_at > 0, len(source)) == (2, second, True, 16)


def test_whichever_write_loses_its_answer_it_is_registered_once(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    written = -1
    for written in range(20):
        run_id = registry.log()
        registry.end_run(run_id)
        repository.merge(declared(model, run_id))

        with proxy(registry.uri, after_writes(written, Cut(done=True))) as front:
            front_uri = {"MLFLOW_TRACKING_URI": front.uri}
            broken = reconciler("apply", "--yes", "--lock", "file", **front_uri, **IMPATIENT)
            front.judge = passes
            again = reconciler("apply", "--yes", "--lock", "file", **front_uri)

        assert "Traceback" not in broken.said
        assert again.code == 0, again.said
        assert list(registry.versions(model).values()).count(run_id) == 1
        assert [registry.versions(model)[v] for v, s in registry.stages(model).items() if s == "Staging"] == [run_id]
        if broken.code == 0:
            break
    assert written > 3
