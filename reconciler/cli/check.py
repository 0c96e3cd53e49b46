"""`reconciler check`."""

from pathlib import Path
from typing import Any

import click

from reconciler.cli.completion import complete_model, complete_version
from reconciler.cli.group import cli
from reconciler.cli.options import opened, registry_options
from reconciler.cli.types import Choice, VersionNumber
from reconciler.errors import ExitCode


@cli.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("version", shell_complete=complete_version, type=VersionNumber())
@registry_options
@click.option(
    "--check",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this check of the policy, or `loadable`. Repeatable.",
)
@click.option("--base", metavar="REF", help="Use the policy of the merge base with this branch.")
@click.option("--policy-ref", metavar="REF", help="Use the policy, and the files it names, of this commit.")
@click.option(
    "--sign",
    type=Choice(["none", "hmac", "ssh"]),
    default="none",
    show_default=True,
    help="Sign the record: with the key in RECONCILER_CHECK_HMAC_KEY, or with --signing-key.",
)
@click.option("--signing-key", type=click.Path(path_type=Path, dir_okay=False), help="An SSH key to sign with.")
@click.option("--dry-run", is_flag=True, help="Run the checks, and record nothing.")
def check(
    model: str,
    version: int,
    names: tuple[str, ...],
    base: str | None,
    policy_ref: str | None,
    sign: str,
    signing_key: Path | None,
    dry_run: bool,
    **settings: Any,
) -> int:
    """
    Run the policy's checks on a VERSION of MODEL, and record the results on the version, where gates read them. The
    built-in check `loadable` loads the model. Checks come from the policy's own commit. This is the only command that
    runs code of a model, and it refuses to where that code could reach a credential. Exits with 3 if a check fails.
    """
    from reconciler.reporter import CheckReporter

    results = opened(settings).check(
        model,
        version,
        names,
        base=base,
        policy_ref=policy_ref,
        sign=sign,
        signing_key=signing_key,
        record=not dry_run,
        report=CheckReporter().report,
    )
    if not dry_run and not all(result.written for result in results):
        return ExitCode.ERROR
    return ExitCode.OK if all(result.passed for result in results) else ExitCode.BLOCKED
