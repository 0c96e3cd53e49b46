"""`reconciler audit`."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, opened, registry_options
from reconciler.core.text import amount
from reconciler.errors import ExitCode
from reconciler.render.formats import LIST, Format, ListFormat, rendered_audit


@cli.command(short_help="Verify the receipts of applies, or a bundle of evidence.")
@click.argument("file", metavar="[FILE.zip]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--signers",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The allowed signers whose signatures count in FILE.zip. Default: those of the repository around you.",
)
@registry_options
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit whose standing policy names signers."
)
@click.option("--push", is_flag=True, help="First push the receipts that are in this clone alone.")
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="--push with the SSH key that signs our records. Default: RECONCILER_SIGNING_KEY, its text or its path.",
)
@format_option(LIST)
def audit(
    file: Path | None,
    signers: Path | None,
    ref: str,
    push: bool,
    signing_key: Path | None,
    form: ListFormat,
    **settings: Any,
) -> int:
    """
    Verify that the kept receipts are as they were written: the chain, the signatures, and that it has every receipt
    that records in the registry name. Exits with 3 if something was changed, cut off, lost or forged, and with 2 if not
    everything can be proven: a clone that is too shallow, receipts that are not signed or not pushed.

    With FILE.zip, which `reconciler evidence` wrote: verify that instead, with no registry, repository or network.
    """
    from reconciler.project import audit_bundle
    from reconciler.render.history import audit_lines

    if file is None and signers is not None:
        raise click.UsageError("--signers needs FILE.zip.")
    if file is not None and (push or signing_key is not None):
        raise click.UsageError("--push is about the receipts of this repository, not about FILE.zip.")
    if signing_key is not None and not push:
        raise click.UsageError("--signing-key needs --push.")
    if file is not None:
        found = audit_bundle(file, signers)
    else:
        project = opened(settings)
        if push:
            console.say(f"Pushed: {amount(project.push_receipts(signing_key=signing_key), 'receipt')}.")
        found = project.audit(ref=ref)
    if form is Format.TEXT:
        console.show(audit_lines(found, console.width()))
    else:
        click.echo(rendered_audit(found, form), nl=False)
    if found.grave:
        return ExitCode.BLOCKED
    return ExitCode.CHANGES if found.findings else ExitCode.OK
