"""The bench itself, on a small registry: that it runs, and what does not depend on how busy the machine is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measure import ROOT

REQUESTS_OF_A_PLAN = 2
"""A page of models and a page of versions."""


@pytest.mark.server
@pytest.mark.timeout(900)
def test_plan_asks_for_pages_and_never_for_models(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"

    subprocess.run(
        [sys.executable, ROOT / "tests/bench/run.py", "--quick", "--page", page, "--results", figures], check=True
    )

    results = json.loads(figures.read_text(encoding="utf-8"))
    for reading in results["readings"]:
        assert reading["models"] == 50
        assert reading["requests"] == reading["changed_requests"] == REQUESTS_OF_A_PLAN
        assert reading["script_requests"] == 3 * reading["models"]
    applying = results["applying"]
    assert applying["writes"] == 5 * applying["models"]
    # To plan, before the wave's first write, and after its last.
    assert applying["reads"] == 3 * REQUESTS_OF_A_PLAN
    assert results["offline"]["without_mlflow"]
    # That they tell the whole past is checked where it is measured.
    assert results["remembering"]["receipts"] == 100
    assert results["copying"]["bring"] > results["copying"]["cp"]
    assert page.read_text(encoding="utf-8").startswith("# Benchmarks\n")
