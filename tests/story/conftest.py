"""One registry server a session, one git repository and one name of a model a test."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.story.command import Reconciler, import_beforehand
from tests.story.registry import Registry
from tests.story.repository import WITHOUT_CONFIGURATION, Repository, new_repository

INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("server")


WIDE = {"COLUMNS": "200"}
"""So that what a test looks for stands on one line."""


@pytest.fixture(scope="session", autouse=True)
def _imported_beforehand() -> None:
    import_beforehand()


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest) -> Registry:
    """The registry that the tests share; that of another fixture where a test names one."""
    uri: str = request.getfixturevalue(getattr(request, "param", "mlflow_server"))
    return Registry(uri)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository of manifests, without any."""
    return new_repository(tmp_path)


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """The name of a model that no other test uses."""
    words = re.sub(r"\W+", "-", request.node.name.removeprefix("test_")[:40])
    return f"{words}-{uuid4().hex[:8]}"


@pytest.fixture
def command(tmp_path: Path) -> Callable[[Repository, str], Reconciler]:
    """Makes the command for a repository and a registry."""

    return partial(new_command, tmp_path)


def new_command(folder: Path, repository: Repository, uri: str) -> Reconciler:
    """The command for a repository and a registry; what it says is kept in the folder."""
    logs = folder / f"said-{uuid4().hex[:8]}"
    logs.mkdir()
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    mlflow = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Reconciler(repository.top, {**WIDE, **environment, **WITHOUT_CONFIGURATION, **mlflow}, logs)


@pytest.fixture
def reconciler(
    command: Callable[[Repository, str], Reconciler], repository: Repository, registry: Registry
) -> Reconciler:
    """The command in the test's repository, for the shared registry."""
    return command(repository, registry.uri)
