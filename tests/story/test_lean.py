"""A served registry needs nothing but what jobs install: MLflow's client, without what trains, serves or stores."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.releases import lean_python, with_python
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest

LEFT_OUT = ("pandas", "numpy", "sqlalchemy", "flask", "sklearn", "pyarrow", "matplotlib")

POLICY = """\
slots:
  - slot: Production
    gates:
      - path: {from: Staging}
      - metric: {name: f1, threshold: 0.9}
      - signature: {allow: [identical]}
      - artifact: {pinned: true}
"""

MLMODEL = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}
  sklearn: {sklearn_version: 1.7.2}
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}]'
  outputs: '[{"type": "long", "required": true}]'
"""


@pytest.fixture
def lean(reconciler: Reconciler) -> Reconciler:
    program, environment = with_python(lean_python(), reconciler.environment)
    return replace(reconciler, forked=False, program=program, environment=environment)


def test_what_jobs_install_is_lean() -> None:
    asked = f"from importlib.util import find_spec; print([n for n in {LEFT_OUT} if find_spec(n)])"
    found = subprocess.run([lean_python(), "-I", "-c", asked], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_every_command_for_a_server_runs_on_it(
    repository: Repository, registry: Registry, lean: Reconciler, model: str
) -> None:
    registry.register(model, versions=0)
    for score in (0.91, 0.93):
        registry.train(model, MLMODEL, f1=score)
    registry.move(model, 1, "Production")
    registry.move(model, 2, "Staging")
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.merge(manifest(model, production=1))
    adopted = lean("apply", "--yes", "--adopt")
    repository.merge(manifest(model, production=2))

    validated = lean("validate")
    planned = lean("plan", "--evidence", "all", "--report", f"html={repository.top / 'plan.html'}")
    judged = lean("gates", model, "--version", "2")
    applied = lean("apply", "--yes")
    drifted = lean("drift", "--files")
    checked = lean("check", model, "2", "--check", "loadable")

    assert adopted.code == 0, adopted.said
    assert validated.code == 0, validated.said
    assert planned.code == 0, planned.said
    assert "0.93" in planned.out
    assert judged.code == 0, judged.said
    assert (applied.code, registry.production(model)) == (0, [2]), applied.said
    assert drifted.code == 0, drifted.said
    assert checked.code == 3, checked.said
    assert "could not run: the library that loads models is not installed here: `pip install mlflow`" in checked.said


def test_a_database_in_place_is_told_what_to_install(repository: Repository, lean: Reconciler, tmp_path: Path) -> None:
    database = tmp_path / "registry.db"
    database.touch()
    repository.merge(manifest("churn", production=1))

    planned = lean("plan", "--registry-uri", f"sqlite:///{database}")

    assert planned.code == 1
    assert "Traceback" not in planned.said
    assert "Install `mlflow`, not only `mlflow-skinny`" in planned.said
