"""`reconciler status`."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, limit_option, opened, registry_options, report_option
from reconciler.cli.several import each_registry
from reconciler.errors import ExitCode
from reconciler.render.formats import STATUS, Format, StatusFormat, rendered_status


@cli.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1, shell_complete=complete_model)
@click.option("--all", "everything", is_flag=True, help="Show also the slots and models that nobody governs.")
@registry_options
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit to compare the registry with."
)
@format_option(STATUS)
@report_option(STATUS, "status")
@limit_option
@each_registry()
def status(
    models: tuple[str, ...],
    everything: bool,
    ref: str,
    form: StatusFormat,
    reports: tuple[tuple[StatusFormat, Path], ...],
    limit: int | None,
    **settings: Any,
) -> int:
    """
    Show every governed slot of MODEL, or of all models: what is declared, what is there, whether that is in sync, since
    when, and by which commit and whom. Exits with 2 if something drifted, as `drift` does. Writes nothing.
    """
    from reconciler.render.overview import overview_lines

    for _, path in reports:
        console.refuse_unwritable(path)
    result = opened(settings).status(models, everything=everything, ref=ref)
    if form is Format.TEXT:
        console.show(overview_lines(result, console.width()))
    else:
        click.echo(rendered_status(result, form, limit), nl=False)
    for written, path in reports:
        console.write_file(path, rendered_status(result, written, limit))
    return ExitCode.CHANGES if result.drifted else ExitCode.OK
