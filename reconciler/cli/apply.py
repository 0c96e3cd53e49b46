"""`reconciler apply`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler import console
from reconciler.cli.completion import complete_model
from reconciler.cli.group import cli
from reconciler.cli.options import opened, options_of, plan_options, progress_shown, publish_option, registry_options
from reconciler.cli.several import each_registry
from reconciler.cli.types import Choice
from reconciler.errors import ExitCode, ReconcilerError, SeveralRegistriesError

if TYPE_CHECKING:
    from reconciler.events import Receipt
    from reconciler.publishing import Publication


@cli.command()
@click.argument("saved", metavar="[PLAN]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@registry_options
@click.option("--ref", metavar="REF", help="Apply this commit instead of HEAD, and ignore the work tree.")
@plan_options
@click.option("--yes", is_flag=True, help="Do not ask. Required without a terminal, unless PLAN is given.")
@click.option(
    "--allow-rewind",
    "rewind_to",
    metavar="COMMIT",
    help="Apply a commit that does not contain this one, which was applied last.",
)
@click.option(
    "--restore",
    metavar="MODEL",
    shell_complete=complete_model,
    multiple=True,
    help="Restore only this model to what is declared, if somebody moved it by hand. Repeatable.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SSH key that signs our records. Default: RECONCILER_SIGNING_KEY, its text or its path.",
)
@click.option(
    "--expect-digest", metavar="DIGEST", help="Apply only a plan with this digest: the one that was reviewed."
)
@click.option(
    "--expect-reviewed",
    is_flag=True,
    help="Apply only the plan in our comment on the pull or merge request of this commit. Requires --publish.",
)
@click.option(
    "--parallelism",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Number of models to apply in parallel.",
)
@click.option(
    "--lock",
    type=Choice(["auto", "git", "file"]),
    default="auto",
    show_default=True,
    help="Where to keep the lock: a ref on the git remote, or a local file. auto: a file for sqlite:/// only.",
)
@click.option("--no-lock", is_flag=True, help="Apply without a lock. Only safe if nothing else applies.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the lock.",
)
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write a JSON receipt to this file.")
@click.option("--log-format", type=Choice(["text", "json"]), default="text", show_default=True)
@publish_option
@each_registry(writes=lambda _: True)
@click.pass_context
def apply(
    context: click.Context,
    saved: Path | None,
    ref: str | None,
    yes: bool,
    rewind_to: str | None,
    restore: tuple[str, ...],
    signing_key: Path | None,
    expect_digest: str | None,
    expect_reviewed: bool,
    parallelism: int,
    lock: str,
    no_lock: bool,
    lock_timeout: float,
    receipt: Path | None,
    log_format: str,
    publish: str,
    policy_ref: str | None,
    **settings: Any,
) -> int:
    """Make the registry match a commit: HEAD, or --ref. With a saved PLAN, only if it still holds."""
    from reconciler.clocks import SystemClock
    from reconciler.core.plan import StalePlanError
    from reconciler.events import Journal
    from reconciler.project import saved_plan
    from reconciler.publishing import Publication, keep_receipt
    from reconciler.render.json import receipt_document
    from reconciler.reporter import Reporter, show_difference

    console.refuse_unwritable(receipt)
    _refuse_two_expectations(saved is not None, expect_digest, expect_reviewed)
    if saved is not None:
        _refuse_plan_options(context)
    asking = saved is None and not yes
    if asking and not (sys.stdin.isatty() and sys.stdout.isatty() and log_format == "text"):
        raise click.UsageError("No terminal to ask for confirmation. Review a plan, then pass --yes or the saved plan.")
    if expect_reviewed and publish == "none":
        raise click.UsageError("--expect-reviewed requires --publish, which names the forge of the review.")
    clock = SystemClock()
    progress = progress_shown()
    journal, reporter = Journal(clock.now(), now=clock.now), Reporter(log_format, clock.now, progress=progress)

    def carry_out() -> "tuple[Receipt, Publication]":
        document = None if saved is None else saved_plan(saved)
        project = opened(settings, publish, progress)
        publication = Publication(project.forge, None)
        try:
            done = project.apply(
                expect_digest if document is None else document,
                yes=yes,
                expect_reviewed=expect_reviewed,
                confirm=reporter.confirm if asking else None,
                ref=ref,
                policy_ref=policy_ref,
                restore=restore,
                allow_rewind=rewind_to,
                signing_key=signing_key,
                parallelism=parallelism,
                lock="none" if no_lock else lock,
                lock_timeout=lock_timeout,
                stop=reporter.stop,
                report=journal.passing_on(reporter.report),
                **(options_of(settings) if document is None else {}),
            )
        except ReconcilerError as error:
            if document is not None and isinstance(error, StalePlanError):
                show_difference(document, error.plan)
            publication.refused(error)
            raise
        return done, publication

    try:
        with reporter:
            done, publication = carry_out()
    except SeveralRegistriesError:
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | click.Abort)
        if receipt is not None:
            keep_receipt(journal.broken_off(KeyboardInterrupt() if stopped else error, clock.now()), receipt)
        if not stopped or not journal.begun:
            raise
        console.say("Stopped: models in progress may be half done. Run it again: what is done stays done.")
        return ExitCode.INTERRUPTED
    kept = receipt is None or keep_receipt(done, receipt)
    if done.unkept and (receipt is None or not kept):
        console.say_error("The receipt is not where others find it. This is it:")
        console.say(json.dumps(receipt_document(done)))
    reporter.finish(done)
    publication.receipt(done)
    if reporter.unheard:
        console.say_error(f"Standard output could not be written: {reporter.unheard}. The apply continued without it.")
    return done.exit_code if kept and not reporter.unheard else ExitCode.ERROR


def _refuse_plan_options(context: click.Context) -> None:
    from click.core import ParameterSource

    given = [
        f"--{name.replace('targets', 'target').replace('_', '-')}"
        for name in ("targets", "adopt", "force", "allow_empty", "max_change_percent")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"A saved plan has its own options: give {', '.join(given)} to `plan` instead.")


def _refuse_two_expectations(saved: bool, digest: str | None, reviewed: bool) -> None:
    from reconciler.project import is_digest

    given = [
        name
        for name, is_given in (
            ("a saved plan", saved),
            ("--expect-digest", digest is not None),
            ("--expect-reviewed", reviewed),
        )
        if is_given
    ]
    if len(given) > 1:
        raise click.UsageError(f"Give only one of {' and '.join(given)}: each says what was reviewed.")
    if digest is not None and not is_digest(digest):
        raise click.UsageError(f"`{digest}` is not the digest of a plan, which has 64 hexadecimal digits.")
