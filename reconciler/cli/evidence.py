"""`reconciler evidence`."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model, complete_version
from reconciler.cli.group import cli
from reconciler.cli.options import opened, registry_options
from reconciler.cli.types import VersionNumber
from reconciler.errors import ExitCode, ReconcilerError


@cli.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("version", shell_complete=complete_version, type=VersionNumber())
@click.option(
    "--out",
    metavar="FILE.zip",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write. Default: MODEL-vN-evidence.zip, which must not be there yet.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SSH key that signs the list of what is in it. Default: RECONCILER_SIGNING_KEY, its text or its path.",
)
@click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit whose history tells what was declared."
)
@registry_options
def evidence(model: str, version: int, out: Path | None, signing_key: Path | None, ref: str, **settings: Any) -> int:
    """
    Write a bundle of evidence for an auditor: what the reviews of VERSION of MODEL showed, verdicts, approvals with
    their proofs, receipts with their place in the chain, our records, a model card, and digests of all files of the
    version, which are downloaded for it. The same state gives the same bytes. `reconciler audit FILE.zip` verifies it
    anywhere, offline. Writes nothing to the registry.
    """
    from reconciler.render.bundle import bundle_lines

    console.refuse_unwritable(out or Path("evidence.zip"))
    found = opened(settings).evidence(model, version, ref=ref, signing_key=signing_key)
    path, data = out or Path(found.name), found.to_zip()
    if out is None and path.exists() and path.read_bytes() != data:
        raise ReconcilerError(f"{path} is another bundle.", "Move it away, or name the file to write with --out.")
    console.write_bytes(path, data)
    console.show(bundle_lines(found.whole, str(path), len(data), console.width()))
    return ExitCode.OK
