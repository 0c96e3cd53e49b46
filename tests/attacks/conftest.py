"""Houses, and a repository that somebody attacks with the command in it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli import run
from tests.house.fixtures import house, houses, plain_house, signed, signing_house, way
from tests.story.repository import WITHOUT_CONFIGURATION, Repository, new_repository

__all__ = ["house", "houses", "plain_house", "signed", "signing_house", "way"]


@pytest.fixture(autouse=True)
def _as_out_of_the_box(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in [name for name in os.environ if name.startswith(("GIT_", "MLFLOW_", "RECONCILER_"))]:
        monkeypatch.delenv(name)
    for name, value in WITHOUT_CONFIGURATION.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path)


@dataclass(frozen=True)
class Said:
    """How a command ended, and all that it said."""

    code: int
    text: str


@pytest.fixture
def command(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """The command in the repository, for a registry that does not answer: what is refused is refused before."""
    monkeypatch.chdir(repository.top)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def call(*arguments: str) -> Said:
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return Said(code, out + err)

    return call
