"""Manifest files on disk."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from reconciler.core.limits import FILE_BYTES
from reconciler.errors import Location, Problem
from reconciler.ports import SourceFile

SUFFIXES = (".yaml", ".yml")


def files_below(paths: Iterable[Path], root: Path) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
    """
    The manifest files in these files and folders, hidden ones left out, in the order of their paths, named from `root`
    where they lie below it. A link that leads out of `root` is a problem, and so is a path that is not there.
    """
    files: dict[str, SourceFile] = {}
    problems: list[Problem] = []
    for path in paths:
        if not path.exists():
            problems.append(
                Problem(Location(_named(path, root)), "no-such-path", "There is nothing here.", "Correct the path.")
            )
        for file in [path] if path.is_file() else _manifests_in(path):
            name = _named(file, root)
            if file.is_symlink() and file.is_dir():
                problems.append(link_to_folder(name))
                continue
            # Unlike Path.resolve(), this does not raise for links that go round in circles.
            if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root)):
                problems.append(leads_out(name))
                continue
            try:
                files[name] = SourceFile(name, beginning(file))
            except OSError as error:
                problems.append(
                    Problem(Location(name), "unreadable-file", f"{error.strerror or error}.", "Make it readable.")
                )
    return tuple(files[name] for name in sorted(files)), tuple(problems)


def beginning(path: Path) -> bytes:
    """A file, or of one that is larger than we read, one byte more than that."""
    with path.open("rb") as file:
        return file.read(FILE_BYTES + 1)


def _manifests_in(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(parent) / f for f in folders if (Path(parent) / f).is_symlink())
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


def _named(path: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # without following links, unlike resolve()
    if absolute.is_relative_to(root):
        return absolute.relative_to(root).as_posix()
    return path.as_posix()


def link_to_folder(name: str) -> Problem:
    return Problem(
        Location(name),
        "link-to-folder",
        "This is a link to a folder, and such links are not followed.",
        "Put the folder itself here, or links to its files.",
    )


def leads_out(name: str) -> Problem:
    return Problem(
        Location(name),
        "link-out-of-repository",
        "This link leads out of the repository, so what it names is not reviewed with it.",
        "Put the file itself here.",
    )
