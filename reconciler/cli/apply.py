"""`reconciler apply`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import opened, options_of, plan_options, publish_option, registry_options
from reconciler.errors import ExitCode, ReconcilerError

if TYPE_CHECKING:
    from reconciler.events import Receipt
    from reconciler.publishing import Publication


@cli.command(short_help="Bring the registry to what a commit declares.")
@click.argument("saved", metavar="[PLAN]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@registry_options
@click.option("--ref", metavar="REF", help="Apply this commit instead of HEAD, whatever is in the work tree.")
@plan_options
@click.option("--yes", is_flag=True, help="Do not ask. Needed where there is no terminal, unless PLAN is given.")
@click.option(
    "--allow-rewind", "rewind_to", metavar="COMMIT", help="Apply this commit though it does not contain the last one."
)
@click.option(
    "--restore",
    metavar="MODEL",
    multiple=True,
    help="Put this model, and no other, back where it is declared, if somebody moved it by hand; may be repeated.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SSH key that signs our records. Default: RECONCILER_SIGNING_KEY, its text or its path.",
)
@click.option("--expect-digest", metavar="DIGEST", help="Apply only what has this digest: the one that was reviewed.")
@click.option(
    "--expect-reviewed",
    is_flag=True,
    help="Apply only what our comment shows under the change request that the commit came from. Needs --publish.",
)
@click.option("--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, help="Models at a time.")
@click.option(
    "--lock",
    type=click.Choice(["auto", "git", "file"]),
    default="auto",
    show_default=True,
    help="Where the lock is: a ref on the git remote, or a file on this machine (auto: for sqlite:/// only).",
)
@click.option("--no-lock", is_flag=True, help="Apply without a lock, because you know that nobody else does.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the lock.",
)
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write what was done to this file.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@publish_option
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
    """Bring the registry to what a commit declares: HEAD, or --ref; with a saved PLAN, only if it still holds."""
    from reconciler.clocks import SystemClock
    from reconciler.core.plan import StalePlanError
    from reconciler.events import Journal
    from reconciler.project import saved_plan
    from reconciler.publishing import Publication, keep_receipt
    from reconciler.reporter import Reporter, show_difference

    console.refuse_unwritable(receipt)
    _refuse_two_expectations(saved is not None, expect_digest, expect_reviewed)
    if saved is not None:
        _refuse_plan_options(context)
    asking = saved is None and not yes
    if asking and not (sys.stdin.isatty() and sys.stdout.isatty() and log_format == "text"):
        raise click.UsageError("There is no terminal to ask on: review a plan, then pass --yes or the saved plan.")
    if expect_reviewed and publish == "none":
        raise click.UsageError("--expect-reviewed needs --publish, to know where the review was.")
    clock = SystemClock()
    journal, reporter = Journal(clock.now()), Reporter(log_format, clock.now)

    def carry_out() -> "tuple[Receipt, Publication]":
        document = None if saved is None else saved_plan(saved)
        project = opened(settings, publish)
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
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | click.Abort)
        if receipt is not None:
            keep_receipt(journal.broken_off(KeyboardInterrupt() if stopped else error, clock.now()), receipt)
        if not stopped or not journal.begun:
            raise
        console.say("Broken off: the models in hand may be half done. Run it again: what is done stays done.")
        return ExitCode.INTERRUPTED
    kept = receipt is None or keep_receipt(done, receipt)
    reporter.finish(done)
    publication.receipt(done)
    if reporter.unheard:
        console.say_error(f"Standard output could not be written: {reporter.unheard}. The apply went on without it.")
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
