"""`reconciler receipts`: receipts as plain files, and no longer kept than they must be."""

from pathlib import Path
from typing import Any

import click

from reconciler.cli.group import cli
from reconciler.cli.options import opened, registry_options
from reconciler.core.text import amount
from reconciler.errors import ExitCode


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@registry_options
@click.option(
    "--prune-before",
    "before",
    metavar="WHEN",
    help="Then remove those that were kept before a time, a date, or `400 days ago`. Needs the key that signs records.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="For --prune-before: the SSH key that signs our records. Default: RECONCILER_SIGNING_KEY, its text or path.",
)
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit whose standing policy names signers."
)
def receipts(folder: Path, before: str | None, signing_key: Path | None, ref: str, **settings: Any) -> int:
    """
    Write each receipt of an apply that FOLDER does not have yet to a file there, as it is signed. `reconciler audit
    FOLDER` verifies them without git.

    --prune-before then takes old receipts out of the chain on the remote. A signed beginning, which names them, stands
    in their place.
    """
    from reconciler.render.history import pruned

    if signing_key is not None and before is None:
        raise click.UsageError("--signing-key needs --prune-before.")
    done = opened(settings).export_receipts(folder, prune_before=before or "", signing_key=signing_key, ref=ref)
    click.echo(f"Exported: {amount(done.exported, 'receipt')} to {click.format_filename(folder)}.")
    if done.pruned is not None:
        click.echo(pruned(done.pruned))
    elif before is not None:
        click.echo(f"Nothing to prune: no receipt was kept before {before}.")
    click.echo(f"Kept: {amount(done.kept, 'receipt')}.")
    return ExitCode.OK
