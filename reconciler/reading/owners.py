"""A file that says who owns which models: `GLOB owner owner…` on a line, `#` before a comment."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from reconciler.core.limits import FILE_BYTES
from reconciler.core.names import look_alike_fault
from reconciler.core.text import plain
from reconciler.errors import Location, ManifestError, Problem, ReconcilerError
from reconciler.ports import SourceFile
from reconciler.reading.files import beginning
from reconciler.reading.repository import is_plain_file
from reconciler.reading.spelling import MAX_NAME

CODE = "invalid-owners"

Owners: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Patterns of model names with who owns what they match."""


def parse_owners(file: SourceFile) -> Owners:
    """
    Patterns of model names and who owns what they match, in the order of the file. A pattern or an owner with spaces
    stands in quotes. Raises ManifestError with every line that is wrong.
    """
    patterns: list[tuple[str, tuple[str, ...]]] = []
    problems: list[Problem] = []

    def wrong(number: int, message: str, fix: str = "Write a pattern of model names and its owners.") -> None:
        problems.append(Problem(Location(file.path, number, 1), CODE, message, fix))

    if len(file.data) > FILE_BYTES:
        wrong(1, f"The file has more than {FILE_BYTES} bytes.", "Split it, or use wider patterns.")
        raise ManifestError(tuple(problems))
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong(1 + file.data.count(b"\n", 0, error.start), "This is not UTF-8.", "Save the file as UTF-8.")
        raise ManifestError(tuple(problems)) from None
    for number, line in enumerate(text.split("\n"), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            wrong(number, "A quotation mark has no partner.", "Close the quotation, or quote the mark itself.")
            continue
        if not words:
            continue
        pattern, *owners = words
        if not owners:
            wrong(number, f"`{plain(pattern)}` has no owner.", "Write its owners behind it: `risk-* @acme/risk-ml`.")
        for owner in owners:
            if fault := owner_fault(owner):
                wrong(number, f"`{plain(owner)}` {fault}.")
        patterns.append((pattern, tuple(owners)))
    if problems:
        raise ManifestError(tuple(problems))
    return tuple(patterns)


def owners_in(path: Path) -> Owners:
    """The patterns of a file. Raises ReconcilerError where it cannot be read, and as `parse_owners` does."""
    try:
        data = beginning(path) if is_plain_file(path) else None
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Make it readable.") from error
    if data is None:
        raise ReconcilerError(f"{path} is no file.", "Name a file with a pattern and its owners on each line.")
    return parse_owners(SourceFile(str(path), data))


def checked_owners(owners: Iterable[tuple[str, Iterable[str]]]) -> Owners:
    """The same pairs. Raises ReconcilerError for an owner that no manifest could name."""
    pairs = tuple((pattern, tuple(names)) for pattern, names in owners)
    for owner in (name for _, names in pairs for name in names):
        if fault := owner_fault(owner):
            raise ReconcilerError(f"`{plain(owner)}` {fault}.", "Give a user, a team or an address: @acme/risk-ml.")
    return pairs


def owner_fault(owner: str) -> str | None:
    """Why a manifest could not name this owner, or None."""
    if not owner.strip() or len(owner) > MAX_NAME:
        return f"cannot be an owner: a name of 1 to {MAX_NAME} characters was expected"
    fault = look_alike_fault(owner)
    return None if fault is None else f"cannot be an owner: {fault}"
