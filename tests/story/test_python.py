"""The documentation of the Python face, as a notebook runs it, on a real registry."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

POLICY = """
slots:
  - slot: Production
    gates:
      - path: {from: Staging}
"""


@pytest.fixture
def promoted(repository: Repository, registry: Registry, model: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A commit that asks for version 2 in Production, which is in Staging, in a folder where we stand."""
    registry.register(model, versions=3)
    registry.move(model, 1, "Production")
    registry.move(model, 2, "Staging")
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.commit("Lay down rules")
    repository.merge(manifest(model, production=1))
    repository.merge(manifest(model, production=2))
    monkeypatch.chdir(repository.top)
    return model


def test_the_page_runs_as_a_notebook(promoted: str, registry: Registry, capfd: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8").replace("https://mlflow.acme.example", registry.uri)
    blocks = re.findall(r"```python\n(.*?)```", text.replace("RiskClassifier", promoted), re.DOTALL)
    environment, printed = dict(os.environ), list[str]()

    def note(*words: object) -> None:
        printed.append(" ".join(map(str, words)))

    names: dict[str, Any] = {"print": note}

    for block in blocks:
        exec(block, names)  # noqa: S102  # the page's own

    review, receipt = names["review"], names["receipt"]
    assert [problem.code for problem in names["problems"]] == ["testimony-only"]
    assert registry.production(promoted) == [2]
    assert receipt.exit_code == 0
    assert "<iframe sandbox" in review._repr_html_()
    assert f"{promoted} v2 into Production path pass v2 is in stage Staging" in printed
    assert [str(v.ruling) for v in names["verdicts"]] == ["fail"]
    assert dict(os.environ) == environment
    assert capfd.readouterr() == ("", "")


def test_an_apply_through_the_face_is_gated_as_the_command_is(promoted: str, registry: Registry) -> None:
    project = reconciler.open(".", registry=registry.uri)
    review = project.plan(ref="HEAD")
    registry.move(promoted, 2, "Archived")

    with pytest.raises(reconciler.StaleError):
        project.apply(review)
    receipt = project.apply(yes=True)

    assert receipt.exit_code == 3
    assert registry.production(promoted) == [1]


def test_importing_it_is_cheap() -> None:
    code = "import reconciler, sys; print(*sorted(n for n in sys.modules if n in sys.argv or 'reconciler' in n))"

    heavy = ("mlflow", "git", "yaml", "pydantic", "click")

    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)

    assert done.stdout == "reconciler reconciler.version\n"
