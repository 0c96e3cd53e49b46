"""The table of commands, from which each is imported when it is asked for."""

import re
from importlib import import_module
from pkgutil import iter_modules

import pytest
from click.testing import CliRunner

from reconciler import cli as commands
from reconciler.cli import cli
from reconciler.cli.group import SUMMARIES
from tests.commands import COMMANDS


def test_the_table_has_every_command_in_order_and_nothing_else() -> None:
    for module in iter_modules(commands.__path__):
        import_module(f"{commands.__name__}.{module.name}")

    assert list(SUMMARIES) == sorted(cli.commands)


@pytest.mark.parametrize("name", SUMMARIES)
def test_each_command_is_found_by_its_name(name: str) -> None:
    assert COMMANDS[name].name == name
    assert COMMANDS[name].get_short_help_str() == SUMMARIES[name]


def test_the_list_is_what_click_would_make_of_the_commands() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=200, max_content_width=200).output

    listed = re.findall(r"^  ([a-z-]+) +([A-Z].+)$", shown.partition("Commands:\n")[2], re.MULTILINE)

    assert listed == [(name, command.get_short_help_str(200)) for name, command in COMMANDS.items()]


def test_the_module_of_a_command_is_no_name_of_it() -> None:
    done = CliRunner().invoke(cli, ["import_"])

    assert done.exit_code == 2
    assert "There is no command `import_`. Did you mean `import`?" in done.output
