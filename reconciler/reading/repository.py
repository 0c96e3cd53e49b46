"""Where a repository begins, and what inside of it looks like another one. Asks the file system alone, never git."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from reconciler.errors import Location, Problem, ReconcilerError

DOT_GIT = ".git"

# HFS+ leaves these out when it compares names, so that `.g<ZWNJ>it` is `.git` there.
_UNSEEN = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF],
)


def looks_like_dot_git(name: str) -> bool:
    """Whether some file system takes this name for `.git`: in capitals, with dots and spaces behind it, in 8.3 form."""
    folded = name.translate(_UNSEEN).casefold().partition(":")[0].rstrip(" .")
    return folded in {".git", "git~1"}


def looks_like_repository(names: Iterable[str]) -> bool:
    """Whether git would take a folder with these names in it for a repository, on some file system."""
    folded = {name.casefold() for name in names}
    return "head" in folded and ("commondir" in folded or {"objects", "refs"} <= folded)


def nested(path: str) -> Problem:
    return Problem(
        Location(path),
        "nested-repository",
        "This is, or looks like, a separate git repository: its content is not reviewed with this one.",
        "Remove it and put its manifests here as files, or run this inside it.",
    )


def top_above(path: Path) -> Path | None:
    """
    The top of the repository that a path is in: the nearest folder with a `.git` above where we stand, if the path is
    below it, or else above the path itself. Raises ReconcilerError where the path is in a repository within another
    one, and we stand in neither.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # a link to a folder is part of its name here
    tops = [parent for parent in (absolute, *absolute.parents) if os.path.lexists(parent / DOT_GIT)]
    here = Path.cwd()
    around = next((top for top in tops if here.is_relative_to(top)), None)
    if around is not None or len(tops) < 2:
        return around or next(iter(tops), None)
    raise ReconcilerError(
        f"{absolute} is in the repository {tops[0]}, which is inside of {tops[1]}.",
        "Run this inside the one that you want.",
    )


def git_dir_of(top: Path) -> Path:
    """
    Where the repository at `top` is kept: its folder `.git`, or, in a linked work tree and in a submodule that somebody
    works in, where the file of that name says. Raises ReconcilerError where that is a part of the work tree.
    """
    entry = top / DOT_GIT
    place = entry
    if entry.is_file():
        said = _line_of(entry)
        if not said.startswith("gitdir: "):
            raise ReconcilerError(f"{entry} is not a git repository.", "Remove it, or clone the repository again.")
        place = top / said.removeprefix("gitdir: ")
    place = Path(os.path.abspath(place))  # noqa: PTH100  # git matches its settings by the name as it is given
    if not (place / "HEAD").is_file() and not (place / "HEAD").is_symlink():
        raise ReconcilerError(f"{entry} is not a git repository.", "Remove it, or clone the repository again.")
    common = place / _line_of(place / "commondir") if (place / "commondir").is_file() else place
    own = Path(os.path.realpath(top)) / DOT_GIT
    for part in (place, common, common / "objects", common / "refs", common / "config"):
        real = Path(os.path.realpath(part))
        if real.is_relative_to(own.parent) and not (real.is_relative_to(own) and own.is_dir()):
            raise ReconcilerError(
                f"What git keeps of {top} is in {real}, inside its work tree: any commit could change it.",
                "Clone the repository again.",
            )
    return place


def _line_of(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()[:4096]).rstrip("\r\n")
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Make it readable.") from error


def on_the_way(top: Path, below: PurePosixPath) -> tuple[Problem, ...]:
    """What is wrong with the folders from `top` to a folder below it: links, and repositories of their own."""
    place = top
    for number, part in enumerate(below.parts, 1):
        place = place / part
        name = "/".join(below.parts[:number])
        if looks_like_dot_git(part) or is_nested(place):
            return (nested(name),)
        if place.is_symlink():
            return (
                Problem(
                    Location(name),
                    "link-to-folder",
                    "This is a link, which may lead out of the repository; expected a folder.",
                    "Name the folder itself, with --manifests or in reconciler.yaml.",
                ),
            )
        if not place.is_dir():
            return ()
    return ()


def is_nested(folder: Path) -> bool:
    """Whether a folder on disk is, or looks like, a repository."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # the names alone
    except OSError:
        return False
    return looks_like_repository(names) or any(looks_like_dot_git(name) for name in names)


def is_plain_file(path: Path | str) -> bool:
    """Whether this is, or is a link to, a file with contents: no pipe, device or socket."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False
