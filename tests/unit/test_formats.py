"""One table of formats: what it says is what options offer, and a new format needs no other place."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import Location, Problem, ReconcilerError, Validation
from reconciler.render import formats
from reconciler.render.formats import DRIFT, HISTORY, STATUS, VALIDATION, WRITTEN_PLAN, Format, ValidationFormat
from tests import exhibits
from tests.commands import COMMANDS

MEMBER = '    SARIF = "sarif", ""\n'
SHOWN = "Literal[Format.TEXT, Format.JSON, Format.MARKDOWN, Format.HTML]"
ARM = "        case Format.SARIF:\n"

GROWN = """
import sys
from types import ModuleType

name, source = "reconciler.render.formats", sys.argv[1]
sys.modules[name] = ModuleType(name)
exec(compile(source, name, "exec"), sys.modules[name].__dict__)

from reconciler.cli import run
from reconciler.render.formats import Format, rendered

for command in ("plan", "validate", "drift"):
    run([command, "--help"])
print(rendered(None, Format.TSV, ""))
"""


def grown(*edits: tuple[str, str]) -> "subprocess.CompletedProcess[str]":
    """What commands say with a format more, in a copy in memory."""
    source = Path(formats.__file__).read_text(encoding="utf-8")
    for place, more in edits:
        assert source.count(place) == 1, place
        source = source.replace(place, more)
    return subprocess.run([sys.executable, "-c", GROWN, source], capture_output=True, text=True, check=False)


def test_a_new_format_is_a_member_an_alias_and_an_arm() -> None:
    member = (MEMBER, f'{MEMBER}    TSV = "tsv", "is for a spreadsheet"\n')
    alias = (SHOWN, f"{SHOWN[:-1]}, Format.TSV]")
    arm = (ARM, f'        case Format.TSV:\n            return "model,version"\n{ARM}')

    done = grown(member, alias, arm)

    plan, validate, drift = done.stdout.split("Usage: ")[1:]
    assert "[text|json|markdown|html|tsv]" in plan
    assert "`tsv` is for a spreadsheet" in " ".join(plan.split())
    assert "tsv" not in validate
    assert drift.endswith("\nmodel,version\n")
    assert done.stderr == ""


def test_a_format_without_an_arm_is_refused_and_not_shown_as_text() -> None:
    done = grown((MEMBER, f'{MEMBER}    TSV = "tsv", ""\n'))

    assert "AssertionError: Expected code to be unreachable" in done.stderr


@pytest.mark.parametrize(
    ("command", "offered"), [("validate", VALIDATION), ("drift", DRIFT), ("status", STATUS), ("history", HISTORY)]
)
def test_options_offer_what_the_table_says(command: str, offered: tuple[Format, ...]) -> None:
    (option,) = [parameter for parameter in COMMANDS[command].params if parameter.name == "form"]

    assert list(getattr(option.type, "choices", ())) == [form.value for form in offered]


@pytest.mark.parametrize(("form", "instead"), [(Format.PROMETHEUS, "status"), (Format.CSV, "history")])
def test_a_plan_is_written_in_every_format_but_those_of_slots(form: Format, instead: str) -> None:
    assert {*Format} - {*WRITTEN_PLAN} == {Format.PROMETHEUS, Format.CSV}
    with pytest.raises(ReconcilerError, match=f"Use `{instead}`"):
        formats.rendered(exhibits.in_sync(), form, "")


@pytest.mark.parametrize("form", VALIDATION)
def test_problems_are_shown_in_every_format_that_validate_has(form: ValidationFormat) -> None:
    problem = Problem(Location("manifests/churn.yaml", 8, 15), "unknown-version", "There is no version 9.", "Name one.")

    shown = formats.rendered_validation(Validation(1, 1, (problem,)), form)

    assert "manifests/churn.yaml" in shown
    assert "There is no version 9." in shown
