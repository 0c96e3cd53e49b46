"""`reconciler plan`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import (
    format_option,
    limit_option,
    opened,
    options_of,
    plan_options,
    publish_option,
    registry_options,
    report_option,
)
from reconciler.cli.several import each_registry
from reconciler.cli.types import Choice
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.render.formats import SHOWN_PLAN, WRITTEN_PLAN, Format, ShownPlanFormat

if TYPE_CHECKING:
    from reconciler.events import Event


@cli.command()
@registry_options
@click.option("--ref", metavar="REF", help="Plan this commit instead of the work tree.")
@click.option(
    "--base",
    metavar="REF",
    envvar="RECONCILER_BASE",
    show_envvar=True,
    help="The branch to compare with: separates this change from what is already pending without it.",
)
@plan_options
@click.option(
    "--evidence",
    type=Choice(["none", "production", "stages", "all"]),
    default="production",
    envvar="RECONCILER_EVIDENCE",
    show_default=True,
    show_envvar=True,
    help="For which slots to show evidence of entering versions beside those they replace; `all` includes aliases.",
)
@format_option(SHOWN_PLAN)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan for `apply FILE`.")
@report_option(WRITTEN_PLAN, "plan")
@limit_option
@publish_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with code 2 if there is something to change.")
@each_registry()
def plan(
    ref: str | None,
    base: str | None,
    evidence: str,
    form: ShownPlanFormat,
    out: Path | None,
    reports: tuple[tuple[Format, Path], ...],
    limit: int | None,
    publish: str,
    detailed_exitcode: bool,
    policy_ref: str | None,
    **settings: Any,
) -> int:
    """Show what an apply would do, and the evidence for it. Writes nothing to the registry."""
    from reconciler.events import Declared, Opened
    from reconciler.publishing import Publication
    from reconciler.render import words
    from reconciler.render.problems import problem_lines
    from reconciler.render.text import review_lines

    project = opened(settings, publish)
    publication = Publication(project.forge, None, reports)

    def hear(event: "Event") -> None:
        nonlocal publication
        if isinstance(event, Opened):
            publication = replace(publication, key=event.key, limit=limit)
        elif isinstance(event, Declared):
            console.show(problem_lines(event.warnings), err=True)

    try:
        for path in (out, *(path for _, path in reports)):
            console.refuse_unwritable(path)
        review = project.plan(ref, base, policy_ref=policy_ref, evidence=evidence, report=hear, **options_of(settings))
        if form is Format.TEXT:
            console.show(review_lines(review.whole, console.width()))
        else:
            click.echo(review.rendered(form, limit), nl=False)
        if out is not None:
            console.write_file(out, review.to_json())
        publication.write_reports(review.whole)
        if review.dirty:
            console.note(
                f"The work tree differs from the commit: {words.names(review.dirty, 8)}. `--ref HEAD` plans the commit."
            )
        console.show_notes(review.notes)
    except BaseException as error:
        # Whatever ended it: an older plan must not go on standing as if it were of this commit.
        publication.no_plan(error)
        raise
    try:
        publication.review(review.whole, out)
    except ReconcilerError:
        # There is a plan, and the forge does not take it: it takes no other word either.
        raise
    except BaseException as error:
        publication.no_plan(error)
        raise
    if review.blocked:
        return ExitCode.BLOCKED
    return ExitCode.CHANGES if review.changed and detailed_exitcode else ExitCode.OK
