"""`reconciler fmt`."""

from pathlib import Path

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.core.text import amount
from reconciler.errors import ExitCode


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing, and exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Show what would change, and write nothing.")
def fmt(paths: tuple[Path, ...], check: bool, diff: bool) -> int:
    """
    Bring manifests into the canonical layout: the order of keys, indentation, spaces, quotes and blank lines. Comments,
    anchors and strings of several lines are kept. PATHS are files or folders; default: those that
    `validate` checks. Where a file is invalid, nothing is written.
    """
    from reconciler.offline import fmt
    from reconciler.render.layout import diff_lines

    formatted = fmt(paths)
    if diff:
        console.show(diff_lines(formatted.diff_lines()))
    elif check:
        for path in formatted.paths:
            click.echo(path)
    different, files = len(formatted.files), amount(formatted.looked_at, "file")
    if check or diff:
        console.say(f"{different} of {files} would change." + (" Run `reconciler fmt`." if different else ""))
        return ExitCode.ERROR if check and different else ExitCode.OK
    for path in formatted.write():
        click.echo(path)
    console.say(f"{different} of {files} changed.")
    return ExitCode.OK
