"""Workspaces of one server are registries of their own, on one server that has them and one that has none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import MlflowServer, new_database
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

Command = Callable[[Repository, str], Reconciler]

A, B = "team-a", "team-b"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two workspaces beside the default one."""
    running = MlflowServer(tmp_path_factory.mktemp("workspaces"), workspaces=True)
    running.start()
    for name in (A, B):
        Registry(running.uri, name).make_workspace()
    yield running.uri
    running.kill()


@pytest.fixture
def run(command: Command, repository: Repository, server: str) -> Reconciler:
    return command(repository, server)


def test_each_workspace_has_its_own_models_lock_and_last_commit(
    run: Reconciler, repository: Repository, server: str, model: str
) -> None:
    for workspace in ("", A, B):
        Registry(server, workspace).register(model, versions=2)
    first = repository.merge(manifest(model, production=1))
    second = repository.merge(manifest(model, production=2))

    newer = run("apply", "--yes", "--receipt", "a.json", MLFLOW_WORKSPACE=A)
    older = run("apply", "--yes", "--ref", first, MLFLOW_WORKSPACE=B)
    in_default = Registry(server).production(model)
    unset = run("apply", "--yes")
    named = run("apply", "--yes", "--ref", first, MLFLOW_WORKSPACE="default")

    assert (newer.code, older.code, unset.code) == (0, 0, 0), newer.said + older.said + unset.said
    assert [Registry(server, w).production(model) for w in (A, B, "")] == [[2], [1], [2]]
    assert in_default == []
    assert f"{server}, workspace {A}" in newer.out
    assert ", workspace" not in unset.out
    receipt = json.loads((repository.top / "a.json").read_text())
    assert (receipt["computed_from"]["workspace"], receipt["computed_from"]["commit"]) == (A, second)
    # `default` is what an unset variable means: the newer commit was applied to it.
    assert named.code == 4, named.said
    assert len(git(repository.remote, "for-each-ref", "refs/reconciler/locks").splitlines()) == 3
    records = Registry(server, A).version_tags(model, 2)["reconciler.provenance"]
    assert json.loads(records)["slots"]["Production"]["workspace"] == A


def test_a_saved_plan_and_drift_are_of_one_workspace(
    run: Reconciler, repository: Repository, server: str, model: str
) -> None:
    for workspace in (A, B):
        Registry(server, workspace).register(model, versions=2)
    repository.merge(manifest(model, production=1))

    planned = run("plan", "--out", "plan.json", MLFLOW_WORKSPACE=A)
    elsewhere = run("apply", "plan.json", MLFLOW_WORKSPACE=B)
    in_default = run("apply", "plan.json")
    untouched = Registry(server, B).stages(model)
    applied = run("apply", "plan.json", MLFLOW_WORKSPACE=A)
    Registry(server, A).move(model, 2, "Production", archive=True)
    drifted = run("drift", "--format", "json", MLFLOW_WORKSPACE=A)

    assert planned.code == 0, planned.said
    assert (elsewhere.code, in_default.code) == (1, 1)
    assert f"{server}, workspace {A}, and this is {server}, workspace {B}" in elsewhere.err
    assert untouched == {}
    assert applied.code == 0, applied.said
    assert drifted.code == 2
    assert json.loads(drifted.out)["workspace"] == A


def test_a_workspace_that_is_not_there_is_said(run: Reconciler, repository: Repository, model: str) -> None:
    repository.merge(manifest(model, production=1))

    unknown = run("plan", MLFLOW_WORKSPACE="team-c")
    impossible = run("plan", MLFLOW_WORKSPACE="../default")

    assert unknown.code == 1
    assert "team-c" in unknown.err
    assert impossible.code == 1
    assert "MLFLOW_WORKSPACE" in impossible.err


@pytest.mark.parametrize("command_line", [("plan",), ("apply", "--yes"), ("drift",), ("access",)])
def test_a_server_without_workspaces_is_refused_where_one_is_named(
    command: Command, repository: Repository, registry: Registry, model: str, command_line: tuple[str, ...]
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    refused = command(repository, registry.uri)(*command_line, MLFLOW_WORKSPACE=A)

    assert refused.code == 1
    assert "has no workspaces" in refused.err
    assert "--enable-workspaces" in refused.err
    assert registry.stages(model) == {}


def test_a_database_in_place_has_workspaces_only_where_mlflow_is_told_so(
    command: Command, repository: Repository, tmp_path: Path, server: str, model: str
) -> None:
    del server  # its database would be locked by it; this one is nobody's
    database = new_database(tmp_path / "registry.db")
    repository.merge(f"model: {model}\ndescription: Nothing is registered yet.\n")
    run = command(repository, f"sqlite:///{database}")

    refused = run("apply", "--yes", MLFLOW_WORKSPACE=A)
    told = run("apply", "--yes", MLFLOW_WORKSPACE=A, MLFLOW_ENABLE_WORKSPACES="true")
    unnamed = run("plan", MLFLOW_ENABLE_WORKSPACES="true")
    default = run("apply", "--yes", MLFLOW_WORKSPACE="default", MLFLOW_ENABLE_WORKSPACES="true")
    plain = run("plan", "--detailed-exitcode")

    assert (refused.code, told.code, unnamed.code) == (1, 1, 1), told.said
    assert "MLFLOW_ENABLE_WORKSPACES=true" in refused.err
    assert A in told.err
    assert "MLFLOW_WORKSPACE=default" in unnamed.err
    assert default.code == 0, default.said
    assert plain.code == 0, plain.said
