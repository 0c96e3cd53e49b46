"""
Other environments than ours: other releases of MLflow, each with what a server of it and our command need, and what
jobs install. They are kept in `.releases/`, and made anew where they are missing.
"""

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

TOP = Path(__file__).parents[1]

SERVER = ("alembic", "flask", "gunicorn", "graphene", "pandas", "querystring_parser")
NEEDED = ("sqlalchemy<2.1", "setuptools<81")
"""What old releases need and do not ask for: docs/versions.md."""


LEAN = TOP / "reconciler" / "scaffold" / "reconciler.lock"


@cache
def python_with(release: str) -> Path:
    """The Python that has this release; the test is skipped where it cannot be installed."""
    ours = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [f"mlflow-skinny=={release}", *(one for one in ours if not one.startswith("mlflow")), *NEEDED, *SERVER]
    return _environment(release, wanted, f"MLflow {release}")


@cache
def lean_python() -> Path:
    """The Python that has what jobs install, and nothing else; the test is skipped where that cannot be installed."""
    lock = hashlib.sha256(LEAN.read_bytes()).hexdigest()[:12]
    return _environment(f"lean-{lock}", ["--no-deps", "--require-hashes", "-r", str(LEAN)], "What jobs install")


def with_python(python: Path, environment: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """How our command is run by another Python: the words, and the variables."""
    return (str(python), "-m", "reconciler"), {**environment, "PYTHONPATH": str(TOP)}


def _environment(name: str, wanted: Sequence[str], called: str) -> Path:
    folder = TOP / ".releases" / name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if ready.exists():
            return python
        uv = str(Path(sys.executable).with_name("uv"))
        for command in (
            (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
            # What is imported is compiled then; all of it would take longer than the tests.
            (uv, "pip", "install", "--quiet", "--python", str(python), *wanted),
        ):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"{called} cannot be installed here: {made.stderr.strip()[-300:]}")
        ready.touch()
    return python
