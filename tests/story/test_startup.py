"""What needs no registry starts at once, and nothing ends in a traceback."""

import subprocess
import sys

import pytest

from tests.story.command import Reconciler
from tests.story.repository import Repository, manifest

REPORTS_MLFLOW = """
import sys
from reconciler.cli import run
code = run(sys.argv[1:])
print("imported:", sorted(name for name in sys.modules if name.split(".")[0] == "mlflow"))
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["plan", "--help"], ["apply", "--help"], ["validate"], ["schema", "plan"]],
    ids=" ".join,
)
def test_what_needs_no_registry_does_not_import_mlflow(
    repository: Repository, reconciler: Reconciler, model: str, arguments: list[str]
) -> None:
    repository.write(manifest(model, production=1))

    done = subprocess.run(
        [sys.executable, "-c", REPORTS_MLFLOW, *arguments],
        cwd=repository.top,
        env=dict(reconciler.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_a_mistake_in_a_manifest_is_found_before_mlflow_is_imported(
    repository: Repository, reconciler: Reconciler
) -> None:
    repository.write("model: [unfinished\n")

    done = subprocess.run(
        [sys.executable, "-c", REPORTS_MLFLOW, "plan"],
        cwd=repository.top,
        env=dict(reconciler.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "manifests/models.yaml:" in done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ufeffmodel: x\n",
        "a: &a [*a]\n",
        "model: x\nstages: {Production: 1.5}\n",
        "- model: x\n",
        "model: !!python/object/apply:os.system [true]\n",
        "? [model]\n: x\n",
        "model: x\nstages: {Production: " + "[" * 5000 + "]" * 5000 + "}\n",
        "model: x\nstages:\n\tProduction: 1\n",
        "model: 2026-01-01\nstages: {Production: 99999999999999999999999}\n",
    ],
    ids=range(10),
)
def test_no_manifest_however_odd_ends_in_a_traceback(repository: Repository, reconciler: Reconciler, text: str) -> None:
    repository.write(text)

    checked = reconciler("validate")

    assert checked.code in {0, 1}
    assert "Traceback" not in checked.said
    assert "bug in reconciler" not in checked.said


def test_a_manifest_that_is_not_utf_8_is_told_with_its_name(repository: Repository, reconciler: Reconciler) -> None:
    folder = repository.top / "manifests"
    folder.mkdir()
    (folder / "latin.yaml").write_bytes("model: Kühe\n".encode("latin-1"))

    checked = reconciler("validate")

    assert checked.code == 1
    assert "manifests/latin.yaml" in checked.said
    assert "Traceback" not in checked.said
