"""What the commands print."""

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from reconciler.core.text import clean
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.render.layout import WIDTH, Line, flowed

if TYPE_CHECKING:
    from reconciler.core.review import Note

STYLES: dict[str, dict[str, Any]] = {
    "": {},
    "add": {"fg": "green"},
    "remove": {"fg": "red"},
    "change": {"fg": "yellow"},
    "warn": {"fg": "magenta"},
    "error": {"fg": "red", "bold": True},
    "name": {"bold": True},
    "faint": {"dim": True},
}


def styled(line: Line) -> str:
    """A line with its styles as ANSI codes; `click.echo` leaves them out where they do not belong."""
    return "".join(click.style(text, **STYLES[style]) if text and STYLES[style] else text for style, text in line)


def show(lines: Iterable[Line], *, err: bool = False) -> None:
    for line in lines:
        click.echo(styled(line), err=err)


def width() -> int:
    """How many columns there are: those of the terminal, or as many as COLUMNS says; elsewhere 80."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def say(message: str) -> None:
    """A message for the person at the terminal, on standard error."""
    click.echo(message, err=True)


def say_error(message: str) -> None:
    _say_after(("error", "Error: "), message)


def show_error(error: ReconcilerError, registry: str = "") -> None:
    """What ended a command, for one of several registries: every problem of manifests on a line of its own."""
    from reconciler.render.problems import problem_lines

    if isinstance(error, ManifestError):
        show(problem_lines(error.problems), err=True)
    else:
        say_error(f"{registry}: {error}" if registry else str(error))


def note(message: str) -> None:
    _say_after(("warn", "Note: "), message)


def show_notes(notes: Iterable["Note"]) -> None:
    """What a reader should know of how a plan was made, the weightiest first."""
    from reconciler.core.review import weightiest

    shown, left = weightiest(tuple(notes), lambda note: note.weight)
    for one in shown:
        note(one.text)
    if left:
        note(f"And {len(left)} more, which `reconciler plan --format json` shows.")


def _say_after(head: tuple[str, str], message: str) -> None:
    """On one line where no terminal is, so that a log can be searched."""
    columns = width() if sys.stderr.isatty() else sys.maxsize
    for line in flowed((head,), (("", clean(message)),), columns):
        say(styled(line))


def show_key(path: Path, forge: str) -> None:
    """Where the private key is, and what is to be done with it. The key itself is not shown."""
    shown = shlex.quote(os.path.relpath(path))
    target = {
        "github": f"Make it the secret RECONCILER_SIGNING_KEY of the environment `production`:\n"
        f"  gh secret set RECONCILER_SIGNING_KEY --env production < {shown}",
        "gitlab": "Make it the CI/CD variable RECONCILER_SIGNING_KEY: type File, protected, with the environment scope "
        "`model-registry`.",
    }.get(forge, f"Give it to the apply: export RECONCILER_SIGNING_KEY={shown}")
    click.echo(styled((("error", "The private key for signed records is on this disk:"), ("", f" {shown}"))))
    click.echo(f"Anyone who has it can forge records of what was applied. {target}")
    click.echo(f"Then delete it here: rm {shown}")


def deafen() -> None:
    """Print into the void from now on. Python would otherwise complain once more when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Why an open stream takes no more."""


def is_full(error: Exception) -> TypeGuard[OSError]:
    """Whether it is standard output that takes no more."""
    return isinstance(error, OSError) and error.filename is None and error.errno in FULL


def _in_place(path: Path) -> bool:
    """Whether a path is to be written to and not replaced: `/dev/stdout`, a pipe, a link to one of these."""
    for _ in range(40):
        # In `/dev/shm` are files as anywhere; they are in memory.
        if path.is_absolute() and path.parts[1:2] in {("dev",), ("proc",)} and path.parts[1:3] != ("dev", "shm"):
            return True
        if not path.is_symlink():
            break
        path = Path(os.path.abspath(path.parent / path.readlink()))  # noqa: PTH100  # a step, and not all of them
    return path.exists() and not path.is_file()


def refuse_unwritable(path: Path | None) -> None:
    """Find out before the work, not after it, that its result cannot be written."""
    if path is not None and not os.access(path if _in_place(path) else path.resolve().parent, os.W_OK):
        raise ReconcilerError(f"{path} cannot be written.", "Name a file in an existing, writable folder.")


def write_file(path: Path, text: str) -> None:
    """The whole file or the one that was there before."""
    # Names of files may hold bytes that are no text; in JSON they are then written as escapes.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """The same, for what is no text."""
    # A link stays one: what it leads to is replaced.
    whole = path if _in_place(path) else path.resolve()
    draft = whole if whole is path else whole.with_name(f".{whole.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        if draft != whole:
            draft.replace(whole)
    except OSError as error:
        if draft != whole:
            with suppress(OSError):
                draft.unlink()
        raise ReconcilerError(
            f"{path} could not be written: {error.strerror or error}.", "Name a file in a writable folder."
        ) from error
