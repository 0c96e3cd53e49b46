"""The workspace is part of what a registry is; nothing said, and `default`, are one workspace."""

from pathlib import Path

import pytest

from reconciler.core.names import Ours, Version, in_workspace, workspace_name
from reconciler.core.past import Past
from reconciler.core.review import Review
from reconciler.core.snapshot import Placement
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.git.lock import lock_ref
from reconciler.ports import Holder
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.render.json import plan_document
from reconciler.render.markdown import markdown
from reconciler.render.marker import comment_key
from reconciler.render.text import plain, plan_lines
from reconciler.wiring import Settings, open_world
from tests.build import FIRST, OURS, P, have
from tests.exhibits import URI, promotion_plan
from tests.story.repository import new_repository

A = "team-a"


@pytest.mark.parametrize("said", ["", "default", " default "])
def test_the_default_workspace_is_written_down_as_none(said: str) -> None:
    assert workspace_name(said) == ""


def test_a_lock_and_a_comment_are_of_one_workspace() -> None:
    names = [in_workspace(URI, workspace) for workspace in ("", A, "team-b")]

    assert len({lock_ref(name) for name in names}) == 3
    assert len({comment_key(OURS, name) for name in names}) == 3
    assert lock_ref(names[0]) == lock_ref(URI)


@pytest.mark.parametrize(
    ("recorded", "now", "counts"),
    [("", "", True), ("default", "", True), (A, A, True), ("", A, False), (A, "", False), (A, "team-b", False)],
)
def test_a_record_counts_in_its_own_workspace(recorded: str, now: str, *, counts: bool) -> None:
    version = have({1: P}).versions[Version(1)]
    record = Placement(P.slot, OURS, FIRST, identity=version.identity, registry=URI, workspace=recorded)
    past = Past(Ours(OURS), registries=(URI,), workspace=now, places={FIRST: 1})

    assert (past.place_of(record, version) == 1) is counts


def test_who_reads_a_plan_reads_its_workspace() -> None:
    plan = promotion_plan()

    assert f"{URI}, workspace {A}" in plain(next(iter(plan_lines(plan, URI, A, width=120))))
    assert f"`{URI}`, workspace `{A}`." in markdown(Review(plan, URI, workspace=A), "key")
    assert plan_document(plan, URI, A)["computed_from"].get("workspace") == A


class ClientBeforeWorkspaces:
    """What a store of MLflow before 3.10 says of workspaces: nothing."""


@pytest.mark.parametrize("said", ["default", ""])
def test_a_client_that_sends_no_workspace_reaches_the_default_one(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", said)

    MlflowRegistry(URI, URI).refuse_lacking_workspace(ClientBeforeWorkspaces())


def test_a_client_that_sends_no_workspace_is_refused_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", A)

    with pytest.raises(RegistryError, match="sends no workspace") as refused:
        MlflowRegistry(URI, URI).refuse_lacking_workspace(ClientBeforeWorkspaces())

    assert refused.value.code == "workspace-not-sent"


def _wait(_holder: Holder, _seconds: float) -> None:
    """Nobody else has the lock."""


def test_the_lock_of_a_database_is_beside_it_and_of_its_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository(tmp_path)
    monkeypatch.chdir(repository.top)
    uri = f"sqlite:///{tmp_path}/registry.db"

    def lock_files(workspace: str) -> set[str]:
        monkeypatch.setenv("MLFLOW_WORKSPACE", workspace)
        lock = open_world(Settings(registry_uri=uri, repository="models"), {}).lock
        assert lock is not None
        before = set(tmp_path.glob("registry*"))
        lock.acquire(1.0, _wait).release()
        return {path.name for path in set(tmp_path.glob("registry*")) - before if path.suffix == ".lock"}

    assert lock_files("default") == {"registry.db.reconciler.lock"}
    assert lock_files(A) == {f"registry.db.{A}.reconciler.lock"}


@pytest.mark.parametrize("said", ["../elsewhere", "Team A", "-a", "a" * 64])
def test_what_cannot_be_a_workspace_is_refused_before_anything_is_asked(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(new_repository(tmp_path).top)
    monkeypatch.setenv("MLFLOW_WORKSPACE", said)

    with pytest.raises(ReconcilerError, match="MLFLOW_WORKSPACE"):
        open_world(Settings(registry_uri=URI, repository="models"), {})
