"""`reconciler history`, `as-of` and `diff`: what was in each slot when, and why."""

from pathlib import Path
from typing import Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model, complete_slot
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, opened, registry_options, report_option
from reconciler.cli.several import each_registry
from reconciler.errors import ExitCode
from reconciler.render.formats import (
    HISTORY,
    LIST,
    Format,
    HistoryFormat,
    ListFormat,
    rendered_as_of,
    rendered_between,
    rendered_history,
)

_MODELS = click.argument("models", metavar="[MODEL]...", nargs=-1, shell_complete=complete_model)
_REF = click.option(
    "--ref", metavar="REF", default="HEAD", show_default=True, help="The commit whose history tells what was declared."
)
_RECEIPTS = click.option(
    "--receipts",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Also read receipts that were pruned and that `reconciler receipts FOLDER` exported.",
)


@cli.command()
@_MODELS
@click.option(
    "--slot", metavar="SLOT", shell_complete=complete_slot, help="Only this stage, with what stands for it, or @alias."
)
@click.option("--since", metavar="WHEN", help="Only what may have been later: a time, a date, or `3 days ago`.")
@click.option("--until", metavar="WHEN", help="Only what may have been earlier.")
@registry_options
@_REF
@_RECEIPTS
@format_option(HISTORY)
@report_option(HISTORY, "history")
@each_registry()
def history(
    models: tuple[str, ...],
    slot: str | None,
    since: str | None,
    until: str | None,
    ref: str,
    receipts: Path | None,
    form: HistoryFormat,
    reports: tuple[tuple[HistoryFormat, Path], ...],
    **settings: Any,
) -> int:
    """
    Show every change of what the slots of MODEL, or of all models, hold: from what to what, when, declared by which
    commit, applied by whom, and what gates said. By receipts, git and the registry together. Writes nothing to the
    registry.
    """
    from reconciler.render.history import history_lines

    for _, path in reports:
        console.refuse_unwritable(path)
    found = opened(settings).history(
        models, slot=slot, since=since or "", until=until or "", ref=ref, receipts=receipts
    )
    if form is Format.TEXT:
        console.show(history_lines(found, console.width()))
    else:
        click.echo(rendered_history(found, form), nl=False)
    for written, path in reports:
        console.write_file(path, rendered_history(found, written))
    return ExitCode.OK


@cli.command("as-of")
@click.argument("when")
@_MODELS
@registry_options
@_REF
@_RECEIPTS
@format_option(LIST)
@each_registry()
def as_of(
    when: str, models: tuple[str, ...], ref: str, receipts: Path | None, form: ListFormat, **settings: Any
) -> int:
    """
    Show what each slot of MODEL, or of all models, held at a moment, on whose word, and where sources differ. WHEN is
    `2026-03-03T10:00:00Z`, another time with its zone, a date (its first moment, in UTC), `3 days ago`, or a commit:
    the end of the apply that applied it, or else its committer's time.
    """
    from reconciler.render.history import as_of_lines

    found = opened(settings).as_of(when, models, ref=ref, receipts=receipts)
    if form is Format.TEXT:
        console.show(as_of_lines(found, console.width()))
    else:
        click.echo(rendered_as_of(found, form), nl=False)
    return ExitCode.OK


@cli.command()
@click.argument("before", metavar="WHEN")
@click.argument("after", metavar="[WHEN]", default="now")
@click.option(
    "--target",
    "models",
    metavar="MODEL",
    shell_complete=complete_model,
    multiple=True,
    help="Only this model. Repeatable.",
)
@registry_options
@_REF
@_RECEIPTS
@format_option(LIST)
@each_registry()
def diff(
    before: str,
    after: str,
    models: tuple[str, ...],
    ref: str,
    receipts: Path | None,
    form: ListFormat,
    **settings: Any,
) -> int:
    """
    Show which slots hold something else than at an earlier moment, or held at another one. WHEN is as for `as-of`.
    Exits with 2 if anything changed.
    """
    from reconciler.render.history import between_lines

    found = opened(settings).changed(before, after, models, ref=ref, receipts=receipts)
    if form is Format.TEXT:
        console.show(between_lines(found, console.width()))
    else:
        click.echo(rendered_between(found, form), nl=False)
    return ExitCode.CHANGES if found.slots else ExitCode.OK
