"""Clients and servers of the MLflow releases that are supported do the same, whichever is the older."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.releases import python_with, with_python
from tests.servers import MlflowServer
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest

INSTALLED = "installed"
OLDER = ("2.9.2", "3.0.1")
"""The oldest that is supported, and the first with LoggedModels. `make releases` asks for more."""

ASKED = os.environ.get("RECONCILER_RELEASES", "").split()
# Each is a client once, and once the server of the next; what is asked for is both with the installed one.
RING = list(zip((*OLDER, INSTALLED), (INSTALLED, *OLDER), strict=True))
PAIRS = [pair for release in ASKED for pair in ((release, INSTALLED), (INSTALLED, release))] or RING


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mlflow_server: str) -> Iterator[Callable[[str], Registry]]:
    """Servers by their release, started when they are first asked for."""
    servers: dict[str, MlflowServer] = {}

    def serve(release: str) -> Registry:
        if release == INSTALLED:
            return Registry(mlflow_server)
        if release not in servers:
            mlflow = python_with(release).with_name("mlflow")
            servers[release] = MlflowServer(tmp_path_factory.mktemp(f"mlflow-{release}"), mlflow=mlflow)
            servers[release].start()
        return Registry(servers[release].uri)

    yield serve
    for server in servers.values():
        server.kill()


def of_release(reconciler: Reconciler, release: str) -> Reconciler:
    if release == INSTALLED:
        return reconciler
    program, environment = with_python(python_with(release), reconciler.environment)
    return replace(reconciler, forked=False, program=program, environment=environment)


@pytest.mark.parametrize(("client", "server"), PAIRS, ids=str)
def test_a_promotion_its_rollback_and_a_move_by_hand(
    client: str,
    server: str,
    served: Callable[[str], Registry],
    repository: Repository,
    command: Callable[[Repository, str], Reconciler],
    model: str,
    tmp_path: Path,
) -> None:
    registry = served(server)
    reconciler = of_release(command(repository, registry.uri), client)
    registry.register(model, versions=3)
    registry.move(model, 1, "Production")
    repository.merge(manifest(model, production=1))
    adopted = reconciler("apply", "--yes", "--adopt")
    assert (adopted.code, registry.production(model)) == (0, [1]), adopted.said

    repository.merge(manifest(model, production=2, staging=3, champion=2))
    planned = reconciler("plan", "--evidence", "all")
    assert planned.code == 0, planned.said
    assert "promote" in planned.out
    promoted = reconciler("apply", "--yes", "--receipt", str(tmp_path / "receipt.json"))
    assert (promoted.code, registry.stages(model)) == (0, {1: "Archived", 2: "Production", 3: "Staging"}), promoted.said
    assert registry.aliases(model) == {"champion": 2}

    registry.move(model, 3, "Production", archive=True)
    drifted = reconciler("drift")
    assert drifted.code == 2, drifted.said
    assert model in drifted.out

    repository.revert()
    reverted = reconciler("apply", "--yes")
    assert (reverted.code, registry.production(model), registry.aliases(model)) == (0, [1], {}), reverted.said
