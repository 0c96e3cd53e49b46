"""The demo tells its story to the end, and the pages show what it prints."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.story.command import command_on_disk, run_script

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
    "drifted  v3 is in Archived, but should be in Production (last changed",
    "To put it back, run `reconciler apply --yes --restore RiskClassifier`.",
    "Drift: 1 drifted, 0 unknown, 0 pending, 0 in sync.",
    "(exit code 2)",
    "(exit code 3)",
    "Apply complete: 1 applied.",
    "Drift: 0 drifted, 0 unknown, 0 pending, 1 in sync.",
    "set alias  @champion  -> v3",
    "claim  Production, @champion -> @champion",
    "Drift: 0 drifted, 0 unknown, 0 pending, 1 in sync.",
    "signed by      SHA256:",
    "0 failures, saw v3 → v4 → v3 → v4 → v3, 0 wrong.",
]
"""What somebody who watches sees, in this order."""


def test_the_demo_tells_its_story_to_the_end_at_80_columns_and_the_readme_shows_it(tmp_path: Path) -> None:
    told = what_the_demo_prints(tmp_path)

    rest = told
    for line in SHOWN:
        before, found, rest = rest.partition(line)
        assert found, f"{line!r} is not in\n{before[-3000:]}"
    by_itself = PRINTED_BY_COMMANDS.sub("", told).splitlines()
    assert not [line for line in by_itself if len(line) > 80]
    printed = {comparable(line) for line in told.splitlines()}
    shown = lines_of_the_pages()
    assert len(shown) > 20
    assert not [line for line in shown if comparable(line) not in printed]


AS_INSTALLED = """
import os, runpy, sys
_, sys.executable, demo = sys.argv
sys.argv = [demo]
sys.path[0] = os.path.dirname(demo)
runpy.run_path(demo, run_name="__main__")
"""
"""Another Python's environment for a script; it looks for commands beside its Python."""

PRINTED_BY_COMMANDS = re.compile(r"^\$ .*?(?=^\n\$|^\n━|\Z)", re.MULTILINE | re.DOTALL)


def what_the_demo_prints(top: Path) -> str:
    """From a copy: it leaves its folder beside itself. It is forked, and so are the commands that it shows."""
    shutil.copytree(ROOT / "examples" / "demo", top / "examples" / "demo")
    shutil.copy(ROOT / "README.md", top)
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    demo = top / "examples" / "demo" / "demo.py"
    starts = top / "starts.py"
    starts.write_text(AS_INSTALLED)
    with command_on_disk(top / "installed") as installed:
        python = str(installed / "bin" / "python")
        done = run_script(starts, python, str(demo), folder=top, environment=environment, patience=PATIENCE)
    assert done.code == 0, done.out[-3000:] + done.err[-3000:]
    return done.out


def lines_of_the_pages() -> list[str]:
    """What the README and the page on reviews show of the demo."""
    readme, review = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/review.md"))
    tour = readme[readme.index("## A promotion, and its rollback") :] + review[review.index("## Drift") :]
    return [line for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL) for line in block.splitlines()]


def comparable(line: str) -> str:
    """A line without what is another in every run, or on purpose: commits, times, and the registry's address."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "…", line.split(" #", maxsplit=1)[0].rstrip())
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "…", line)
    line = re.sub(r"\b\d+ (s|min|h|days?)\b( \d+ (s|min|h))?", "…", line)
    return re.sub(r" on (https|sqlite):\S+?(?=,|$)", " on …", line)
