"""The limits in the code and those in the documentation are the same ones."""

import re
from pathlib import Path

from reconciler.core.limits import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def test_the_documentation_has_every_limit_of_the_code_and_no_other() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Limits\n")[2].partition("\n## ")[0]

    rows = [tuple(line.split(" | ")) for line in re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[2:]]

    assert rows == [(limit.subject, limit.most, limit.beyond) for limit in TABLE]
