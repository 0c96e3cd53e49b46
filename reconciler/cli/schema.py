"""`reconciler schema`."""

from pathlib import Path

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.types import Choice


@cli.command()
@click.argument(
    "name",
    type=Choice(
        [
            *("manifest", "policy", "plan", "receipt", "drift", "status", "access", "history", "as-of", "diff"),
            *("audit", "bundle"),
        ]
    ),
    default="manifest",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
def schema(name: str, output: Path | None) -> None:
    """Print the JSON Schema (draft-07) of manifests, the policy, or what a command prints as JSON."""
    from reconciler.offline import schema as schema_named

    text = schema_named(name)
    if output is None:
        click.echo(text, nl=False)
    else:
        console.write_file(output, text)
