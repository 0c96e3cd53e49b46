"""The documentation names what there is, and no more."""

import re
from pathlib import Path
from tokenize import COMMENT, tokenize

import pytest

from reconciler.cli import cli
from reconciler.core.access import ROLES
from reconciler.core.plan import Verb
from reconciler.errors import ExitCode
from reconciler.gates.prospects import CODES as DOUBTS
from reconciler.reading.gates import KINDS
from reconciler.reading.located import YamlCode
from reconciler.reading.manifest import CODES
from reconciler.reading.policy import CODES as POLICY_CODES
from reconciler.render.text import STYLE_OF

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "reconciler").rglob("*.py"))]


def words_in_tables(name: str) -> set[str]:
    """The words in code style in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([a-z0-9-]+)`", row)}


def test_every_code_of_a_manifest_problem_is_explained() -> None:
    assert set(CODES) <= words_in_tables("manifests.md")


def test_every_code_that_is_explained_exists() -> None:
    keys = {"model", "description", "owners", "tags", "stages", "aliases", "gates", "overrides", "hold"}
    for code in words_in_tables("manifests.md") - keys:
        assert any(f'"{code}"' in source for source in SOURCES), code


def test_every_code_of_a_policy_problem_is_explained() -> None:
    assert set(POLICY_CODES) - set(YamlCode) | DOUBTS <= words_in_tables("policy.md")


def test_every_kind_of_gate_is_explained() -> None:
    assert set(KINDS) <= words_in_tables("policy.md")


def test_every_blocker_is_explained() -> None:
    source = (ROOT / "reconciler/core/diff.py").read_text(encoding="utf-8")
    source += (ROOT / "reconciler/core/likeness.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'^ +"([a-z]+(?:-[a-z]+)+)",$', source, re.MULTILINE))
    codes |= set(re.findall(r'(?:block|Blocker)\(\s*"([a-z-]+)"', source))

    assert codes
    assert codes <= words_in_tables("plan.md")


def test_every_command_and_exit_code_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert all(f"`reconciler {name}" in readme for name in cli.commands)
    assert all(f"| {code.value} |" in readme for code in ExitCode)


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_link_in_the_documentation_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    options = {o for command in cli.commands.values() for p in command.params for o in (*p.opts, *p.secondary_opts)}
    git = {
        "--unshallow",
        "--force-with-lease",
        "--set-upstream",
        "--global",
        "--add",
        "--all",
        "--message",
        "--allow-empty",
        "--gpg-sign",
        "--no-edit",
        "--unified",
    }
    others = {
        "--update-golden",
        "--quick",
        "--data",
        "--header",
        "--request",
        "--create",
        "--strict",
        "--app-name",
        "--hash",
        "--require-hashes",
        *git,
    }

    for option in set(re.findall(r"(?<![-|\w])--[a-z][a-z-]+", text)) - others:
        assert option in options | {"--help", "--color"}, option
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / link).exists(), link


def test_each_decision_has_a_number_of_its_own() -> None:
    titles = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "adr").glob("*.md"))}

    assert [name[:5] for name in titles] == [f"{number:04}-" for number in range(1, len(titles) + 1)]
    for number, (name, text) in enumerate(titles.items(), 1):
        assert text.startswith(f"# {number}. "), name


CITED = re.compile(r"\b(?:tests/)?((?:[a-z_]+/)?test_[a-z0-9_]+\.py)(?:::(test_[a-z0-9_]+))?")


def test_a_test_that_a_comment_or_a_page_cites_exists() -> None:
    cited: list[tuple[Path, str, str]] = []
    for path in (*(ROOT / page for page in PAGES), *(ROOT / "docs" / "adr").glob("*.md"), ROOT / "Makefile"):
        cited += ((path, *found) for found in CITED.findall(path.read_text(encoding="utf-8")))
    for path in (*(ROOT / "reconciler").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        with path.open("rb") as file:
            told = (t.string for t in tokenize(file.readline) if t.type == COMMENT or t.string.startswith('"""'))
            cited += ((path, *found) for found in CITED.findall("\n".join(told)))
    examples = {"test_smoke.py"}  # what the output of somebody's check says

    assert len(cited) > 10
    for place, name, test in cited:
        if name in examples:
            continue
        file = place.parent / name if "/" not in name else ROOT / "tests" / name
        assert file.is_file(), f"{place.relative_to(ROOT)} cites {name}, and there is none"
        there = f"def {test}(" in file.read_text(encoding="utf-8")
        assert there or not test, f"{place.relative_to(ROOT)} cites {name}::{test}, and there is none"


def test_the_roles_in_the_documentation_are_those_that_the_command_makes() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    columns = ("registered_model", "registered_model_version", "prompt_version", "experiment")

    for role in ROLES:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{role.name}`"))
        cells = [re.match(r"[A-Z]*", cell.strip()) for cell in row.split("|")[2:-1]]
        shown = {column: cell[0] for column, cell in zip(columns, cells, strict=True) if cell and cell[0]}
        assert shown == role.grants


def test_every_verb_has_a_style() -> None:
    assert STYLE_OF.keys() == set(Verb)
