"""In CI a test may be skipped for the reasons that are named there, and for no other."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
TESTS = """
import pytest

def test_of_a_tool(): pytest.skip("gpg is not installed")
@pytest.mark.skipif(True, reason="root may write anywhere")
def test_of_a_permission(): ...
def test_of_nothing_else(): ...
"""


def test_what_may_not_be_skipped_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "tests.conftest", "-rs", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TOP), "RECONCILER_MAY_SKIP": "root"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 failed, 1 passed, 1 skipped" in ran.stdout
    assert "gpg is not installed, and RECONCILER_MAY_SKIP does not allow it." in ran.stdout
