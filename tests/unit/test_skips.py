"""In CI a test may be skipped for the reasons that are named there, and for no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TESTS = """
import pytest

def test_of_a_tool(): pytest.skip("gpg is not installed")
@pytest.mark.skipif(True, reason="root may write anywhere")
def test_of_a_permission(): ...
def test_of_nothing_else(): ...
"""


@pytest.mark.parametrize(
    ("allowed", "outcomes"),
    [(None, "1 passed, 2 skipped"), ("root", "1 failed, 1 passed, 1 skipped"), ("", "1 failed, 1 passed, 1 error")],
)
def test_what_may_not_be_skipped_fails(tmp_path: Path, allowed: str | None, outcomes: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if name != "RECONCILER_MAY_SKIP"}
    environment |= {"PYTHONPATH": str(TOP)} | ({} if allowed is None else {"RECONCILER_MAY_SKIP": allowed})

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "tests.conftest", "-rs", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcomes in ran.stdout
    assert allowed is not None or "gpg is not installed" in ran.stdout
