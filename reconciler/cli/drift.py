"""`reconciler drift`."""

from typing import Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, limit_option, opened, publish_option, registry_options
from reconciler.cli.promote import carried_out, request_options
from reconciler.cli.several import each_registry
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.render.formats import DRIFT, DriftFormat, Format, rendered_drift


@cli.command()
@registry_options
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit to compare the registry with."
)
@click.option(
    "--files",
    is_flag=True,
    help="Download the files of versions whose digest was recorded (`artifact: {pinned: true}`), and compare them.",
)
@click.option("--adopt", is_flag=True, help="Change the manifests so that they declare what drifted as it is now.")
@click.option(
    "--target",
    "targets",
    metavar="MODEL",
    shell_complete=complete_model,
    multiple=True,
    help="--adopt only this model. Repeatable.",
)
@request_options
@format_option(DRIFT)
@limit_option
@publish_option
@each_registry(writes=lambda given: bool(given["adopt"]))
def drift(
    ref: str,
    files: bool,
    adopt: bool,
    targets: tuple[str, ...],
    form: DriftFormat,
    limit: int | None,
    publish: str,
    **settings: Any,
) -> int:
    """
    Show where the registry differs from the commit that was last applied to it: what was moved by hand. Exits with 2
    if it does. Writes nothing to the registry.

    With --adopt: change the manifests so that they keep it. Shows the difference and what a plan and its gates say to
    it. Exits with 0 if that was written or proposed.
    """
    if adopt:
        return _adopted(ref, files, targets, form, publish, settings)
    if given := [name for name in ("open_pr", "dry_run", "if_allowed", "branch", "message") if settings[name]]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} needs --adopt.")
    if targets:
        raise click.UsageError("--target needs --adopt.")
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


def _adopted(
    ref: str, files: bool, targets: tuple[str, ...], form: DriftFormat, publish: str, settings: dict[str, Any]
) -> int:
    if ref != "HEAD" or files or form is not Format.TEXT or publish != "none":
        raise click.UsageError("--adopt goes with neither --ref, --files, --format nor --publish.")
    proposal = opened(settings).keep(targets)
    if proposal is None:
        console.note("Nothing drifted.")
        return ExitCode.OK
    return carried_out(proposal, settings)
