"""`reconciler import`."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import opened, registry_options
from reconciler.cli.types import Choice
from reconciler.core.text import amount, clean
from reconciler.errors import ExitCode


@cli.command("import")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Import every model.")
@click.option("--match", metavar="GLOB", help="Import models whose name matches, such as `risk-*`.")
@click.option(
    "--split",
    type=Choice(["model", "slot"]),
    default="model",
    show_default=True,
    help="Write one file for each model, or one for each stage, so that CODEOWNERS can name different people.",
)
@click.option("--owner", "owner", metavar="OWNER", multiple=True, help="Owner of new models; may be repeated.")
@click.option(
    "--owners",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Owners by model: lines of `GLOB OWNER...`. The last line that matches wins, over --owner too.",
)
@click.option("--tags", is_flag=True, help="Declare tags too.")
@click.option("--descriptions", is_flag=True, help="Declare descriptions too.")
@click.option("--dry-run", is_flag=True, help="Show the diff and write nothing.")
@registry_options
def import_(
    models: tuple[str, ...],
    everything: bool,
    match: str | None,
    split: str,
    owner: tuple[str, ...],
    owners: Path | None,
    tags: bool,
    descriptions: bool,
    dry_run: bool,
    **settings: Any,
) -> int:
    """
    Write manifests that declare models as the registry has them now. A plan with them moves nothing. What a manifest
    declares already stays as it is; run it again to add what is new and to see what differs. Exits with 1 if a MODEL,
    or all that --match or --all mean, is left out.
    """
    from reconciler.core.adoption import Outcome
    from reconciler.project import owner_patterns
    from reconciler.render.adoption import import_lines
    from reconciler.render.layout import diff_lines

    adopted = opened(settings).adopt(
        models,
        match=match,
        everything=everything,
        split=split,
        owners=owner_patterns(owner, owners),
        tags=tags,
        descriptions=descriptions,
    )
    if dry_run:
        console.show(diff_lines(adopted.diff().rstrip("\n").split("\n")))
    else:
        adopted.write()
    console.show(import_lines(adopted.models, console.width()))
    for pattern in adopted.unmatched:
        console.note(f"`{clean(pattern)}` of the owners matches no model of the registry.")
    files = amount(len(adopted.files), "file")
    if dry_run:
        click.echo(f"Dry run: nothing was written. {files} would be.")
    elif adopted.files:
        click.echo(f"{files} written. See what a merge would do: reconciler plan")
    if adopted.code_owners:
        click.echo("\nAdd these lines to CODEOWNERS, below its other lines for manifests:")
        for line in adopted.code_owners:
            click.echo(clean(line))
    left_out = [model.model in models for model in adopted.models if model.outcome is Outcome.LEFT_OUT]
    return ExitCode.ERROR if any(left_out) or (left_out and len(left_out) == len(adopted.models)) else ExitCode.OK
