"""The command `reconciler`: what all its commands share, and how every error becomes a message and an exit code."""

import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

import click

from reconciler import console
from reconciler.cli.types import Choice
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import ExitCode, ReconcilerError, as_bug
from reconciler.version import __version__

COMPLETE = "_RECONCILER_COMPLETE"
"""The environment variable by which a shell asks what may come next; Click answers it."""


def main() -> None:
    """The entry point of the command `reconciler`."""
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
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and say how it ended: every error becomes a message and an exit code, never a traceback."""
    try:
        result: object = cli.main(arguments, prog_name="reconciler", complete_var=COMPLETE, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.ERROR
    except (KeyboardInterrupt, click.Abort):
        console.say("Interrupted: nothing was written.")
        return ExitCode.INTERRUPTED
    except ReconcilerError as error:
        console.show_error(error)
        return error.exit_code
    except SystemExit as error:
        if os.environ.get(COMPLETE):
            return error.code if isinstance(error.code, int) else ExitCode.ERROR
        console.show_error(as_bug(error))
        return ExitCode.ERROR
    except Exception as error:
        if console.is_full(error):
            console.deafen()
            console.say_error(f"Standard output could not be written: {error.strerror}.")
            return ExitCode.ERROR
        if os.environ.get("RECONCILER_DEBUG"):
            raise
        console.show_error(as_bug(error))
        return ExitCode.ERROR
    return result if isinstance(result, int) else ExitCode.OK


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
        console.deafen()
        raise click.exceptions.Exit(ExitCode.ERROR) from None


class _Commands(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _until_nobody_reads():
            return super().make_context(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = click.utils.make_str(args[0])
        if name not in self.commands and not name.startswith("-"):
            fix = did_you_mean(name, self.commands, "See `reconciler --help`.")
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
