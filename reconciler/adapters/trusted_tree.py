"""The files of one commit in a folder of their own, so that nothing of the change under review is run."""

import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from reconciler.adapters.repository import looks_like_dot_git
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    import git

SYMLINK_MODE = 0o120000


@contextmanager
def exported(repo: "git.Repo", commit: Commit) -> Generator[Path]:
    """
    The tree of a commit, until the end of the block: blobs as git has them, through no filter, attribute or hook; no
    submodules, and no links that lead out of it. Raises ReconcilerError where there is no such commit.
    """
    import git

    try:
        tree = repo.commit(commit).tree
    except (git.BadName, git.BadObject, ValueError, IndexError) as error:
        raise ReconcilerError(f"This repository has no commit `{commit}`.", "Fetch it first.") from error
    with tempfile.TemporaryDirectory(prefix="reconciler-tree-") as folder:
        top = Path(os.path.realpath(folder)) / "tree"
        top.mkdir()
        try:
            _export(tree, top)
        except ValueError as error:  # GitPython refuses names that no git would check out
            raise ReconcilerError(f"The files of {commit[:12]} cannot be taken out of git: {error}.") from error
        yield top


def _export(tree: Any, top: Path) -> None:
    links: dict[Path, str] = {}
    for entry in tree.traverse():
        path = PurePosixPath(str(entry.path))
        if path.is_absolute() or any(part in {"", ".", ".."} or looks_like_dot_git(part) for part in path.parts):
            raise ReconcilerError(f"The commit has a file named {path!s}, which cannot be taken out of it.")
        place = top / path
        if entry.type == "tree":
            place.mkdir(exist_ok=True)
        elif entry.type == "blob" and stat.S_IFMT(entry.mode) == SYMLINK_MODE:
            links[place] = entry.data_stream.read().decode("utf-8", "surrogateescape")
        elif entry.type == "blob":
            with place.open("xb") as file:
                entry.stream_data(file)
            place.chmod(0o755 if entry.mode & 0o100 else 0o644)
    _link(links, top)


def _link(links: dict[Path, str], top: Path) -> None:
    """Links are made when all else is there, so that no file is written through one."""
    for place, target in links.items():
        if not target.startswith("/"):
            place.symlink_to(target)
    # By where they come out, since a link may lead through another one.
    for place in links:
        if place.is_symlink() and not Path(os.path.realpath(place)).is_relative_to(top):
            place.unlink()
