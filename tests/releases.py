"""
Other releases of MLflow, each in an environment of its own, with what a server of it and our command need. They are
kept in `.releases/`, and made anew where they are missing.
"""

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

TOP = Path(__file__).parents[1]

SERVER = ("alembic", "flask", "gunicorn", "graphene", "pandas", "querystring_parser")
NEEDED = ("sqlalchemy<2.1", "setuptools<81")
"""What old releases need and do not ask for: docs/versions.md."""


@cache
def python_with(release: str) -> Path:
    """The Python that has this release; the test is skipped where it cannot be installed."""
    folder = TOP / ".releases" / release
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if ready.exists():
            return python
        ours = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
        wanted = [f"mlflow-skinny=={release}", *(one for one in ours if not one.startswith("mlflow")), *NEEDED, *SERVER]
        uv = str(Path(sys.executable).with_name("uv"))
        for command in (
            (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
            (uv, "pip", "install", "--quiet", "--python", str(python), *wanted),
        ):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"MLflow {release} cannot be installed here: {made.stderr.strip()[-300:]}")
        ready.touch()
    return python
