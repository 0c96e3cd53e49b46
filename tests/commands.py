"""Every command, imported: the command line itself imports the one that is asked for."""

from collections.abc import Mapping
from typing import cast

import click

from reconciler.cli import cli

_CONTEXT = click.Context(cli)

COMMANDS: Mapping[str, click.Command] = {
    name: cast(click.Command, cli.get_command(_CONTEXT, name)) for name in cli.list_commands(_CONTEXT)
}
