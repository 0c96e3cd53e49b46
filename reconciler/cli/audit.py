"""`reconciler audit`."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, opened, registry_options
from reconciler.cli.several import each_registry
from reconciler.core.text import amount
from reconciler.errors import ExitCode
from reconciler.render.formats import LIST, Format, ListFormat, rendered_audit


@cli.command()
@click.argument("what", metavar="[FOLDER|FILE.zip]", type=click.Path(path_type=Path, exists=True), required=False)
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
@click.option(
    "--signers",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="For FOLDER or FILE.zip: the allowed-signers file whose keys count. Default: the one of the policy at HEAD "
    "here.",
)
@format_option(LIST)
@each_registry()
def audit(
    what: Path | None,
    ref: str,
    push: bool,
    signing_key: Path | None,
    signers: Path | None,
    form: ListFormat,
    **settings: Any,
) -> int:
    """
    Verify that the kept receipts are as they were written: the chain, the signatures, and that it has every receipt
    that records in the registry name. Exits with 3 if something was changed, cut off, lost or forged, and with 2 if not
    everything can be proven: a clone that is too shallow, receipts that are not signed or not pushed.

    With FOLDER, verify receipts that `reconciler receipts` exported there, by the chain and the signatures alone. With
    FILE.zip, verify what `reconciler evidence` wrote. Neither needs a registry, a repository or the network.
    """
    from reconciler.project import audit_bundle, audit_files
    from reconciler.render.history import audit_lines

    if what is None and signers is not None:
        raise click.UsageError(
            "--signers needs FOLDER or FILE.zip: the receipts on the remote are verified by the policy's."
        )
    if what is not None and push:
        raise click.UsageError("--push is about the receipts of this clone, and FOLDER or FILE.zip about others.")
    if signing_key is not None and not push:
        raise click.UsageError("--signing-key needs --push.")
    if what is not None:
        found = audit_files(what, signers=signers) if what.is_dir() else audit_bundle(what, signers)
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
    return ExitCode.CHANGES if found.unproven else ExitCode.OK
