"""Manifest files on disk, and what of names and contents is wrong wherever files are read from."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Set
from functools import cache, partial
from pathlib import Path, PurePosixPath

from reconciler.core.limits import FILE_BYTES
from reconciler.core.names import has_control_characters
from reconciler.errors import Location, Problem
from reconciler.ports import SourceFile
from reconciler.reading.repository import (
    DOT_GIT,
    is_plain_file,
    looks_like_dot_git,
    looks_like_repository,
    nested,
    on_the_way,
)

SUFFIXES = (".yaml", ".yml")
DEEPEST = 64
"""How many folders deep a manifest may be."""

_LFS_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def files_below(paths: Iterable[Path], root: Path) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
    """
    The manifest files in these files and folders, hidden ones left out, in the order of their paths, named from `root`
    where they lie below it. What looks like a manifest and is not read is a problem: a link that leads out of `root`, a
    suffix in capitals, a manifest renamed to `.bak`, a repository within this one; and so is a path that is not there.
    """
    files: dict[str, SourceFile] = {}
    problems: list[Problem] = []
    places = _Places(root)
    for path in paths:
        if not path.exists():
            problems.append(
                Problem(Location(_named(path, root)), "no-such-path", "There is nothing here.", "Correct the path.")
            )
            continue
        below = PurePosixPath(_named(path if path.is_dir() else path.parent, root))
        if not below.is_absolute() and ".." not in below.parts and (amiss := on_the_way(root, below)):
            problems.extend(amiss)
            continue
        found_below = [(path, _named(path, root))] if not path.is_dir() else _manifests_in(path, root, problems)
        for file, name in found_below:
            found = _read(file, name, places)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                files[name] = found
    return tuple(files[name] for name in sorted(files)), tuple(dict.fromkeys(problems))


def name_problem(path: str, beside: Set[str] = frozenset()) -> Problem | None:
    """
    Why a file looks like a manifest by its name, and yet is not read; None for one that is, or is no manifest. `beside`
    are the names in its folder: `churn.yaml.bak` beside `churn.yaml` is a copy, and without it, it is what that became.
    """
    name = path.rpartition("/")[2]
    if name.endswith(SUFFIXES) and path.isascii() and path.isprintable():
        return None
    shown = path if path.isprintable() else path.encode("ascii", "backslashreplace").decode()
    if name.endswith(SUFFIXES):
        if has_control_characters(path) or any("\ud800" <= letter <= "\udfff" for letter in path):
            return Problem(
                Location(shown),
                "unreadable-name",
                "The name of this file contains bytes that are not text, or invisible characters.",
                "Rename it.",
            )
        return None
    folded = unicodedata.normalize("NFKC", name).casefold().strip().rstrip(".")
    renamed = any(suffix in folded for suffix in SUFFIXES)
    if not renamed or (not folded.endswith(SUFFIXES) and any(one in beside for one in _manifests_within(name))):
        return None
    return Problem(
        Location(shown),
        "odd-suffix",
        "This looks like a manifest but is not read: its name must end in `.yaml` or `.yml`, in lower case.",
        "Rename it, or remove it. Names that begin with a dot are ignored.",
    )


def _manifests_within(name: str) -> Iterator[str]:
    """The names of manifests that a name holds, as that of a copy does."""
    for suffix in SUFFIXES:
        for found in re.finditer(re.escape(suffix), name):
            yield from (name[start : found.end()] for start in range(found.start() + 1))


def content_problem(path: str, data: bytes) -> Problem | None:
    """Why the contents of a file are not those that are meant."""
    if data.startswith(_LFS_POINTERS):
        return Problem(
            Location(path),
            "lfs-pointer",
            "This is a Git LFS pointer. Its target is not in a commit, so it cannot be applied.",
            "Get the file with `git lfs pull`, keep it out of LFS with `git lfs untrack`, and commit it.",
        )
    return None


class _Places:
    """Where files really are, below `root`: what there is to know of a folder is asked once for all files in it."""

    def __init__(self, root: Path) -> None:
        # Unlike Path.resolve(), this does not raise for links that go round in circles.
        self._top = Path(os.path.realpath(root))
        self._way = cache(partial(on_the_way, self._top))
        self._leads_out = cache(self._folder_leads_out)

    def leads_out(self, file: str) -> bool:
        """Whether a file is elsewhere than below the root, or links and other repositories are on the way to it."""
        if os.path.islink(file):  # noqa: PTH114  # of thousands of files
            return self._leads_out(os.path.dirname(os.path.realpath(file)))  # noqa: PTH120
        return self._leads_out(os.path.dirname(file))  # noqa: PTH120

    def _folder_leads_out(self, folder: str) -> bool:
        real = Path(os.path.realpath(folder))
        return not real.is_relative_to(self._top) or bool(self._way(PurePosixPath(real.relative_to(self._top))))


def _read(file: str | Path, name: str, places: _Places) -> SourceFile | Problem:
    """A file by its place and its name."""
    file = str(file)
    if os.path.islink(file) and os.path.isdir(file):  # noqa: PTH112, PTH114  # of thousands of files
        return link_to_folder(name)
    if amiss := name_problem(name):
        return amiss
    if places.leads_out(file):
        return leads_out(name)
    try:
        if os.path.exists(file) and not is_plain_file(file):  # noqa: PTH110
            return _unreadable(name, "This is not a file")
        data = beginning(file)
    except OSError as error:
        return _unreadable(name, error.strerror or str(error))
    return content_problem(name, data) or SourceFile(name, data)


def beginning(path: str | Path) -> bytes:
    """A file, or of one that is larger than we read, one byte more than that."""
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(FILE_BYTES + 1)


def _manifests_in(folder: Path, root: Path, problems: list[Problem]) -> Iterator[tuple[str | Path, str]]:
    """Each with its name."""

    def unlisted(error: OSError) -> None:
        problems.append(_unreadable(_named(Path(error.filename), root), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=unlisted):
        here = Path(parent)
        named = _named(here, root)
        above = "" if named == "." else f"{named.rstrip('/')}/"
        entries = [*folders, *names]
        # At its top, the repository itself is kept in `.git`.
        foreign = [n for n in entries if looks_like_dot_git(n) and not (n == DOT_GIT and here.samefile(root))]
        problems.extend(nested(f"{above}{name}") for name in sorted(foreign))
        if looks_like_repository(entries):
            problems.append(nested(named))
        if folders and len(PurePosixPath(named).parts) >= DEEPEST:
            problems.append(too_deep(named))
            folders.clear()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not looks_like_dot_git(f))
        yield from ((here / f, f"{above}{f}") for f in folders if (here / f).is_symlink())
        beside = frozenset(names)
        for name in sorted(names):
            if name.startswith("."):
                continue
            if amiss := name_problem(f"{above}{name}", beside):
                problems.append(amiss)
            elif name.endswith(SUFFIXES):
                yield f"{parent}/{name}", f"{above}{name}"


def _named(path: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # without following links, unlike resolve()
    if absolute.is_relative_to(root):
        return absolute.relative_to(root).as_posix()
    return path.as_posix()


def _unreadable(name: str, why: str) -> Problem:
    return Problem(Location(name), "unreadable-file", f"{why}.", "Make it readable.")


def too_deep(name: str) -> Problem:
    return Problem(
        Location(name),
        "too-deep",
        f"This is more than {DEEPEST} folders deep and is not read.",
        "Move it up.",
    )


def link_to_folder(name: str) -> Problem:
    return Problem(
        Location(name),
        "link-to-folder",
        "This is a link to a folder; such links are not followed.",
        "Put the folder itself here, or links to its files.",
    )


def no_plain_file(name: str) -> Problem:
    return Problem(
        Location(name),
        "no-plain-file",
        "This is a link, or not a file; expected a file. The target of a link is not part of the commit.",
        "Put the file itself here.",
    )


def leads_out(name: str) -> Problem:
    return Problem(
        Location(name),
        "link-out-of-repository",
        "This link leads out of the repository, so its target is not reviewed with it.",
        "Put the file itself here.",
    )
