"""`reconciler gates`."""

import json
from typing import Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model, complete_version
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, opened, publish_option, registry_options
from reconciler.cli.types import VersionNumber
from reconciler.errors import ExitCode
from reconciler.render.formats import LIST, Format, ListFormat


@cli.command()
@click.argument("model", shell_complete=complete_model)
@registry_options
@click.option(
    "--version",
    type=VersionNumber(),
    metavar="N",
    shell_complete=complete_version,
    help="The version to judge. Default: the newest.",
)
@click.option("--ref", metavar="REF", default="HEAD", show_default=True, help="Commit whose manifests apply.")
@click.option("--policy-ref", metavar="REF", help="Commit whose policy applies. Default: --ref.")
@format_option(LIST)
@publish_option
def gates(
    model: str, version: int | None, ref: str, policy_ref: str | None, form: ListFormat, publish: str, **settings: Any
) -> int:
    """
    Show the verdicts of all gates on one version of MODEL: why it can or cannot be promoted. Exits with 3 if a gate
    refuses it. Writes nothing.
    """
    from reconciler.core.names import ModelRef
    from reconciler.render.json import verdict_document
    from reconciler.render.text import gates_lines

    chosen, verdicts = opened(settings, publish).judged(model, version, ref=ref, policy_ref=policy_ref)
    if form is Format.JSON:
        click.echo(json.dumps([verdict_document(verdict) for verdict in verdicts], indent=2, ensure_ascii=False))
    else:
        console.show(gates_lines(ModelRef(model), chosen, verdicts, console.width()))
    return ExitCode.BLOCKED if any(verdict.blocks for verdict in verdicts) else ExitCode.OK
