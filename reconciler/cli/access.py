"""`reconciler access`."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, opened, registry_options
from reconciler.cli.types import Choice
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.render.formats import LIST, Format, ListFormat

if TYPE_CHECKING:
    from reconciler.core.access import Governed


@cli.command()
@registry_options
@click.option(
    "--check",
    "identity",
    type=Choice(["person", "plan", "check", "apply"]),
    is_flag=False,
    flag_value="person",
    help="Test the user in RECONCILER_ACCESS_USERNAME and RECONCILER_ACCESS_PASSWORD: a person, "
    "or the job of the named command. Uses scratch models and removes them.",
)
@format_option(LIST)
def access(identity: str | None, form: ListFormat, **settings: Any) -> int:
    """
    Show whether the registry's server can leave the governed slots to the job alone, with which roles, and what remains
    possible. With --check, test it; exits with 3 if the test fails. The registry's address never comes from the policy.
    """
    from reconciler import project
    from reconciler.render.access import access_document, access_lines
    from reconciler.reporter import Uninterrupted

    uri, named = settings["registry_uri"], settings["named"] or ""
    if identity is None:
        result = replace(project.access(uri, named=named), governed=_governed(settings))
    else:
        try:
            with Uninterrupted() as ending:
                result = project.access(uri, identity, named=named, ending=ending.begin)
        except KeyboardInterrupt:
            console.say("Interrupted: no scratch model is left.")
            return ExitCode.INTERRUPTED
    if form is Format.JSON:
        click.echo(json.dumps(access_document(result), indent=2, ensure_ascii=False))
    else:
        console.show(access_lines(result, console.width()))
    if result.proof is None or result.proof.holds:
        return ExitCode.OK
    return ExitCode.ERROR if result.proof.leftovers else ExitCode.BLOCKED


def _governed(settings: dict[str, Any]) -> "Governed | None":
    """What HEAD declares, where there is a repository: whoever runs the server need not have one."""
    try:
        return opened(settings).governed()
    except ReconcilerError as error:
        console.note(f"The governed slots are not listed: {error}")
        return None
