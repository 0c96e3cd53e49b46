"""The demo tells its story to the end, and the README shows what it prints."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1000)

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0

SHOWN = [
    "find   v3  Production already, found and not judged",
    "RiskClassifier  blocked: path, soak, approvals",
    "fail     path before Production",
    "fail     soak before Production",
    "fail     approvals before Production",
    "pass     metric, signature before Production",
    "Plan: 1 blocked.",
    "(exit code 3)",
    "pass     path, soak, metric, signature, approvals before Production",
    "promote  v4  Staging -> Production",
    "Apply complete: 1 applied.",
    "roll back  v3  Archived -> Production",
    "waived     path before Production",
    "waived     approvals before Production",
    "pass       signature before Production",
    "Apply complete: 1 applied.",
    "drifted  v3 is in Archived, and should be in Production (last changed",
    "To put it back, run `reconciler apply --yes --restore RiskClassifier`.",
    "Drift: 1 drifted, 0 unknown, 0 pending, 0 in sync.",
    "(exit code 2)",
    "(exit code 3)",
    "Apply complete: 1 applied.",
    "Drift: 0 drifted, 0 unknown, 0 pending, 1 in sync.",
    "signed by      SHA256:",
    "0 failures, saw v3 → v4 → v3 → v4 → v3, 0 wrong.",
]
"""What somebody who watches sees, in this order."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints, from a copy: it leaves its folder beside itself."""
    top = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "examples" / "demo", top / "examples" / "demo")
    shutil.copy(ROOT / "README.md", top)
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, str(top / "examples" / "demo" / "demo.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_story_is_told_to_the_end(told: str) -> None:
    rest = told
    for line in SHOWN:
        before, found, rest = rest.partition(line)
        assert found, f"{line!r} is not in\n{before[-3000:]}"


def test_what_the_demo_says_itself_fits_a_terminal(told: str) -> None:
    printed_by_commands = re.compile(r"^\$ .*?(?=^\n\$|^\n━|\Z)", re.MULTILINE | re.DOTALL)

    assert not [line for line in printed_by_commands.sub("", told).splitlines() if len(line) > 80]


def test_the_readme_shows_what_the_demo_prints(told: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tour = readme[readme.index("## Gates before Production") : readme.index("## Commands")]
    shown = [line for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL) for line in block.splitlines()]
    printed = {comparable(line) for line in told.splitlines()}

    assert len(shown) > 20
    for line in shown:
        assert comparable(line) in printed, line


def comparable(line: str) -> str:
    """A line without what is another in every run, or on purpose: commits, times, and the registry's address."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "…", line.split(" #", maxsplit=1)[0].rstrip())
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "…", line)
    line = re.sub(r"\b\d+ (s|min|h|days?)\b( \d+ (s|min|h))?", "…", line)
    return re.sub(r" on (https|sqlite):\S+?(?=,|$)", " on …", line)
