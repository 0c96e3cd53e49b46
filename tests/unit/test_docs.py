"""The documentation names what there is, and no more."""

import re
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens
from typing import Any, cast

import pytest

from reconciler.core.access import ROLES
from reconciler.core.plan import Verb
from reconciler.errors import ExitCode
from reconciler.gates.catalogue import CATALOGUE
from reconciler.gates.parameters import Parameter, Words, keys_of, unwrapped
from reconciler.gates.prospects import CODES as DOUBTS
from reconciler.reading.located import YamlCode
from reconciler.reading.manifest import CODES, ManifestSpec
from reconciler.reading.policy import CODES as POLICY_CODES
from reconciler.reading.policy import PolicySpec
from reconciler.reading.spelling import Spec
from reconciler.reading.spelling import keys_of as keys_of_spec
from reconciler.render.text import STYLE_OF
from tests.commands import COMMANDS

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "reconciler").rglob("*.py"))]


def words_in_tables(name: str) -> set[str]:
    """The words in code style in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([a-z0-9-]+)`", row)}


def test_every_code_of_a_manifest_problem_is_explained() -> None:
    assert set(CODES) <= words_in_tables("manifests.md")


def test_every_code_that_is_explained_exists() -> None:
    for code in words_in_tables("manifests.md") - set(keys_of_spec(ManifestSpec)):
        assert any(f'"{code}"' in source for source in SOURCES), code


@pytest.mark.parametrize(("page", "spec"), [("manifests.md", ManifestSpec), ("policy.md", PolicySpec)])
def test_every_key_is_explained(page: str, spec: type[Spec]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.partition("| key | value | what it does |\n| --- | --- | --- |\n")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(keys_of_spec(spec))


def test_every_code_of_a_policy_problem_is_explained() -> None:
    assert set(POLICY_CODES) - set(YamlCode) | DOUBTS <= words_in_tables("policy.md")


def shown(parameter: Parameter) -> str:
    """A key as the table of gates shows it: in brackets if it may be left out, with what it is then."""
    default: Any = parameter.default
    for mark in unwrapped(parameter.type)[1]:
        if isinstance(mark, Words):
            default = next(word for word, value in mark.pairs if value == default)
    if isinstance(default, frozenset | tuple):
        default = ", ".join(sorted(map(str, cast("Iterable[object]", default)), reverse=True))
    usual = "" if default in (None, "") else f": {str(default).lower() if isinstance(default, bool) else default}"
    return f"`{parameter.key}`" if parameter.required else f"[`{parameter.key}`{usual}]"


def test_the_table_of_gates_is_what_the_gates_say(update_golden: bool) -> None:
    """If it is not: `pytest --update-golden`."""
    page = ROOT / "docs" / "policy.md"
    rows = [
        f"| `{kind.name}` | {', '.join(map(shown, keys_of(kind.factory)))} | {kind.asks} |"
        for kind in CATALOGUE.values()
    ]
    head, before, rest = page.read_text(encoding="utf-8").partition(
        "| kind | keys | a version must |\n| --- | --- | --- |\n"
    )
    table, last, after = rest.partition("| `uses` |")

    if update_golden:
        page.write_text(head + before + "".join(f"{row}\n" for row in rows) + last + after, encoding="utf-8")
    else:
        assert table.splitlines() == rows


def test_every_blocker_is_explained() -> None:
    source = (ROOT / "reconciler/core/diff.py").read_text(encoding="utf-8")
    source += (ROOT / "reconciler/core/likeness.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'^ +"([a-z]+(?:-[a-z]+)+)",$', source, re.MULTILINE))
    codes |= set(re.findall(r'(?:block|Blocker)\(\s*"([a-z-]+)"', source))

    assert codes
    assert codes <= words_in_tables("plan.md")


def test_every_command_and_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert all(f"`reconciler {name}" in page for name in COMMANDS)
    assert all(f"| {code.value} |" in page for code in ExitCode)


def test_the_readme_is_read_in_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_link_in_the_documentation_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    options = {o for command in COMMANDS.values() for p in command.params for o in (*p.opts, *p.secondary_opts)}
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
        "--stdin",
        "--unified",
        "--name-only",
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
        assert option in options | {"--help", "--color", "--quiet"}, option
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
        text = path.read_text(encoding="utf-8")
        if not CITED.search(text):
            continue
        tokens = generate_tokens(StringIO(text).readline)
        told = (t.string for t in tokens if t.type == COMMENT or t.string.startswith('"""'))
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
