"""`reconciler promote`, `demote`, `alias` and `rollback`: changes of manifests, for review."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler import console
from reconciler.cli.completion import complete_alias, complete_model, complete_slot, complete_stage, complete_version
from reconciler.cli.group import cli
from reconciler.cli.options import opened, registry_options, with_options
from reconciler.cli.types import VersionNumber
from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from reconciler.project import Proposal

F = TypeVar("F", bound=Callable[..., Any])


def proposal_options(command: F) -> F:
    """Why a version changes its place, and what is done with that change."""
    comment = click.option("--comment", metavar="TEXT", help="Why, as the version's description in MLflow will say it.")
    return with_options(command, [comment, request_options])


def request_options(command: F) -> F:
    """What is done with a change of manifests, beside writing it into the work tree."""
    options = [
        click.option("--message", metavar="TEXT", help="The commit's message, and the request's title and text."),
        click.option("--branch", metavar="NAME", help="The new branch for --open-pr; else named after what it does."),
        click.option("--open-pr", is_flag=True, help="Push the change on a new branch and open a change request."),
        click.option("--dry-run", is_flag=True, help="Show the change and what a plan says to it, and write nothing."),
        click.option(
            "--if-allowed",
            is_flag=True,
            help="Write nothing, and exit with 3, where a gate refuses it that no approval could satisfy.",
        ),
    ]
    return with_options(command, options)


def choice_options(command: F) -> F:
    """Which version is meant, where its number is not given."""
    options = [
        click.option(
            "--from",
            "source",
            metavar="SLOT",
            shell_complete=complete_slot,
            help="The version that is in this stage, or `@alias`, now.",
        ),
        click.option("--run", "run_id", metavar="ID", help="The version that came from this run."),
        click.option("--latest", is_flag=True, help="The newest version."),
    ]
    return with_options(command, options)


to_option = click.option(
    "--to",
    "slot",
    metavar="SLOT",
    shell_complete=complete_slot,
    default="Production",
    show_default=True,
    help="A stage, or `@alias`.",
)


@cli.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("version", shell_complete=complete_version, type=VersionNumber(), required=False)
@to_option
@choice_options
@click.option(
    "--instead-of",
    "instead",
    type=VersionNumber(),
    metavar="N",
    shell_complete=complete_version,
    help="The one that leaves, of several.",
)
@click.option("--beside", is_flag=True, help="Keep those that are declared there, and add this one.")
@proposal_options
@registry_options
def promote(
    model: str,
    version: int | None,
    slot: str,
    source: str | None,
    run_id: str | None,
    latest: bool,
    instead: int | None,
    beside: bool,
    comment: str | None,
    **settings: Any,
) -> int:
    """
    Change the manifest so that SLOT holds VERSION of MODEL: the number itself is written, however it was chosen. Shows
    the difference and what a plan and its gates say to it. The registry is not touched: review and merge the change.
    """
    project = opened(settings)
    proposal = project.promote(
        model,
        version,
        to=slot,
        source=source,
        run_id=run_id,
        latest=latest,
        instead=instead,
        beside=beside,
        comment=comment,
    )
    return carried_out(proposal, settings)


@cli.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("version", shell_complete=complete_version, type=VersionNumber(), required=False)
@click.option(
    "--from",
    "source",
    metavar="STAGE",
    shell_complete=complete_stage,
    default="Production",
    show_default=True,
    help="Where it leaves.",
)
@click.option(
    "--to",
    "slot",
    metavar="STAGE",
    shell_complete=complete_stage,
    help="Where it goes to; else to Archived, and nothing says so.",
)
@proposal_options
@registry_options
def demote(model: str, version: int | None, source: str, slot: str | None, comment: str | None, **settings: Any) -> int:
    """Change the manifest so that a version of MODEL leaves a stage. The stage stays governed, and may be empty."""
    proposal = opened(settings).demote(model, version, source=source, to=slot, comment=comment)
    return carried_out(proposal, settings)


@cli.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("name", shell_complete=complete_alias)
@click.argument("version", shell_complete=complete_version, type=VersionNumber(), required=False)
@choice_options
@click.option("--remove", is_flag=True, help="The alias must not exist.")
@proposal_options
@registry_options
def alias(
    model: str,
    name: str,
    version: int | None,
    source: str | None,
    run_id: str | None,
    latest: bool,
    remove: bool,
    comment: str | None,
    **settings: Any,
) -> int:
    """Change the manifest so that the alias NAME of MODEL names a version, or must not exist."""
    project = opened(settings)
    if remove:
        return carried_out(project.unname(model, name), settings)
    proposal = project.alias(model, name, version, source=source, run_id=run_id, latest=latest, comment=comment)
    return carried_out(proposal, settings)


@cli.command()
@click.argument("model", shell_complete=complete_model)
@to_option
@click.option(
    "--version", type=VersionNumber(), metavar="N", shell_complete=complete_version, help="Go back to this version."
)
@proposal_options
@registry_options
def rollback(model: str, slot: str, version: int | None, comment: str | None, **settings: Any) -> int:
    """
    Change the manifest so that SLOT of MODEL holds again what it was declared to hold before: the newest version that
    is still there and that no hold keeps out.
    """
    proposal = opened(settings).rollback(model, to=slot, version=version, comment=comment)
    return carried_out(proposal, settings)


def carried_out(proposal: "Proposal", settings: dict[str, Any]) -> int:
    """Show a change of manifests and what a plan says to it; then write it, or open the request."""
    from reconciler.render.layout import diff_lines
    from reconciler.render.text import review_lines

    if not proposal.changed:
        console.note(f"The manifests of {', '.join(proposal.whole.models)} declare that already: nothing changes.")
        return ExitCode.OK
    if settings["open_pr"]:
        proposal.refuse_request()
    console.show((*diff_lines(proposal.whole.diff()), ()))
    for text in proposal.whole.notes:
        console.note(text)
    console.show(review_lines(proposal.review.whole, console.width()))
    console.show_notes(proposal.review.notes)
    refused = proposal.refused
    if refused and settings["if_allowed"]:
        console.note(f"Not proposed: it is refused by {', '.join(refused)}, and no approval changes that.")
        return ExitCode.BLOCKED
    if refused:
        console.note(f"As things are, {', '.join(refused)} refuse it, and no approval changes that.")
    if settings["dry_run"]:
        return ExitCode.OK
    if settings["open_pr"]:
        click.echo(proposal.open_request(settings["branch"], settings["message"]))
        return ExitCode.OK
    paths = proposal.write()
    console.note(f"Wrote {', '.join(paths)}. Commit it and open a change request, or run this with --open-pr.")
    return ExitCode.OK
