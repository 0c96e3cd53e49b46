"""The command `reconciler`: what all its commands share, and how every error becomes a message and an exit code."""

import gc
import os
import sys
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from reconciler.cli.types import Choice
from reconciler.errors import ExitCode, ReconcilerError, as_bug
from reconciler.version import __version__

SUMMARIES: Mapping[str, str] = {
    "access": "Show who can write the governed slots.",
    "alias": "Propose what an alias names.",
    "apply": "Make the registry match a commit.",
    "as-of": "Show what each slot held at a moment.",
    "audit": "Verify the receipts of applies, an export of them, or a bundle of evidence.",
    "check": "Run the policy's checks on a version.",
    "completion": "Print what makes a shell complete commands, models, versions and slots.",
    "demote": "Propose that a version leaves a stage.",
    "diff": "Show which slots changed between two moments or commits.",
    "doctor": "Show what is wrong with this set-up, and how to mend it.",
    "drift": "Show what was moved by hand since the last apply.",
    "evidence": "Put together all that there is to show for a version.",
    "fmt": "Bring manifests into the canonical layout.",
    "gates": "Show why a version can or cannot be promoted.",
    "history": "Show every change of a slot: from, to, when, by whom.",
    "import": "Write manifests for what the registry holds.",
    "init": "Set up this git repository.",
    "plan": "Show what an apply would do, and the evidence for it.",
    "promote": "Propose a version for a stage or an alias.",
    "receipts": "Export the receipts of applies to files; prune old ones.",
    "rollback": "Propose the version that a slot held before.",
    "schema": "Print a JSON Schema.",
    "status": "Show every governed slot: declared, actual, since when.",
    "validate": "Check manifests and the policy, offline.",
}
"""
Every command, and what the list of them says of it. The list is shown without importing them: that takes longer than
all the rest of `--help`.
"""

_MODULES = {
    "import": "import_",
    **dict.fromkeys(("as-of", "diff"), "history"),
    **dict.fromkeys(("demote", "alias", "rollback"), "promote"),
}
"""The modules of the commands that are not in one of their name."""

COMPLETE = "_RECONCILER_COMPLETE"
"""The environment variable by which a shell asks what may come next; Click answers it."""


def main() -> None:
    """The entry point of the command `reconciler`."""
    # What a command makes while it starts is no garbage; as often as is usual, looking for some takes a tenth of it.
    gc.set_threshold(50_000)
    # No gate and no manifest is any plugin's business, and looking through all that is installed for some takes longer
    # than reading manifests.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if not sys.warnoptions:
        # Libraries warn their callers' authors; the user of a command is not one of them.
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A letter that the terminal's encoding lacks is no reason to break off.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    if code == ExitCode.INTERRUPTED:
        # Python would wait for threads that only read, and that a server keeps waiting.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    # What is left now goes with the process.
    gc.disable()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and say how it ended: every error becomes a message and an exit code, never a traceback."""
    try:
        result: object = cli.main(arguments, prog_name="reconciler", complete_var=COMPLETE, standalone_mode=False)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        code = _shown(error)
        if code is None:
            raise
        return code
    return result if isinstance(result, int) else ExitCode.OK


def _shown(error: BaseException) -> int | None:
    """The exit code of what ended a command, once its message is shown; None where its traceback is asked for."""
    from reconciler import console

    match error:
        case click.ClickException():
            error.show()
        case KeyboardInterrupt() | click.Abort():
            console.say("Interrupted: nothing was written.")
            return ExitCode.INTERRUPTED
        case ReconcilerError():
            console.show_error(error)
            return error.exit_code
        case SystemExit():
            if os.environ.get(COMPLETE):
                return error.code if isinstance(error.code, int) else ExitCode.ERROR
            console.show_error(as_bug(error))
        case Exception() if console.is_full(error):
            console.deafen()
            console.say_error(f"Standard output could not be written: {error.strerror}.")
        case _:
            if os.environ.get("RECONCILER_DEBUG"):
                return None
            console.show_error(as_bug(error))
    return ExitCode.ERROR


def _colour(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    if value == "auto" and os.environ.get("NO_COLOR"):
        value = "never"
    elif value == "auto" and os.environ.get("FORCE_COLOR"):
        value = "always"
    # Where this is None, Click decides by looking at the stream.
    context.color = {"auto": None, "always": True, "never": False}[value]


@contextmanager
def _until_nobody_reads() -> Generator[None]:
    """End quietly when the reader has seen enough (`reconciler plan | head`): Click and Rich make a bare exit of it."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        from reconciler.console import deafen

        deafen()
        raise click.exceptions.Exit(ExitCode.ERROR) from None


class _Commands(click.Group):
    """The commands of the table, of which each is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # Click's own
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in SUMMARIES:
            import_module(f"reconciler.cli.{_MODULES.get(cmd_name, cmd_name)}")
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.short_help = SUMMARIES[name or str(cmd.name)]
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # Click's own
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _until_nobody_reads():
            return super().make_context(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = click.utils.make_str(args[0])
        if name not in SUMMARIES and not name.startswith("-"):
            if ctx.resilient_parsing:
                # Whoever presses Tab wants no message, and nothing follows a word that is no command.
                return name, click.Command(name), args[1:]
            from reconciler.core.text import did_you_mean, plain

            fix = did_you_mean(name, SUMMARIES, "See `reconciler --help`.")
            raise click.UsageError(f"There is no command `{plain(name, 80)}`. {fix}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _until_nobody_reads():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.option(
    "--color",
    type=Choice(["auto", "always", "never"]),
    default="auto",
    callback=_colour,
    expose_value=False,
    help="Color the output. Also respects NO_COLOR and FORCE_COLOR.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress of long work.")
@click.pass_context
def cli(context: click.Context, quiet: bool) -> None:
    """
    GitOps for the MLflow Model Registry: stages and aliases are declared in YAML files in git, `plan` shows what a
    merge would do, `apply` does it, `git revert` undoes it.

    Exit codes: 0 fine, 1 error, 2 changes pending (--detailed-exitcode), 3 blocked, 4 stale, 130 interrupted.
    """
    context.obj = quiet
