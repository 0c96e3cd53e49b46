"""`reconciler drift`."""

from typing import Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, limit_option, opened, publish_option, registry_options
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.render.formats import DRIFT, DriftFormat, Format, rendered_drift


@cli.command(short_help="Show what was moved by hand since the last apply.")
@registry_options
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit to compare the registry with."
)
@click.option(
    "--files",
    is_flag=True,
    help="Download the files of versions whose digest was recorded (`artifact: {pinned: true}`), and compare them.",
)
@format_option(DRIFT)
@limit_option
@publish_option
def drift(ref: str, files: bool, form: DriftFormat, limit: int | None, publish: str, **settings: Any) -> int:
    """
    Show where the registry differs from the commit that was last applied to it: what was moved by hand. Exits with 2
    if it does. Writes nothing.
    """
    from reconciler.publishing import Publication
    from reconciler.render.text import drift_lines

    project = opened(settings, publish)
    publication = Publication(project.forge, None)
    try:
        result = project.drift(ref, files=files)
    except ReconcilerError as error:
        publication.refused(error)
        raise
    if form is Format.TEXT:
        console.show(drift_lines(result, console.width()))
    else:
        click.echo(rendered_drift(result, form, limit), nl=False)
    publication.drift(result)
    return ExitCode.CHANGES if result.drifted else ExitCode.OK
