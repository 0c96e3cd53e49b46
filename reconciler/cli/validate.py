"""`reconciler validate`."""

from pathlib import Path

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option
from reconciler.errors import ExitCode
from reconciler.render.formats import VALIDATION, Format, ValidationFormat, rendered_validation


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@format_option(VALIDATION)
def validate(paths: tuple[Path, ...], form: ValidationFormat) -> int:
    """
    Check manifests and the policy, offline. PATHS are files or folders. Default: RECONCILER_MANIFESTS, the policy's
    folder, or `manifests` at the top of the repository. Reports every problem with its place.
    """
    from reconciler.offline import validation
    from reconciler.render.problems import validation_lines

    result = validation(paths)
    if form is Format.TEXT:
        console.show(validation_lines(result))
    else:
        click.echo(rendered_validation(result, form), nl=False)
    return ExitCode.ERROR if result.errors else ExitCode.OK
