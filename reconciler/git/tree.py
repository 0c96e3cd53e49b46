"""The files of one commit in a folder of their own, so that nothing of the change under review is run."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from reconciler.core.names import Commit
from reconciler.errors import Problem, ReconcilerError
from reconciler.git.objects import Entry, Trees, contents
from reconciler.git.runner import Git


@contextmanager
def exported(git: Git, commit: Commit) -> Generator[Path]:
    """
    The tree of a commit, until the end of the block: blobs as git has them, through no filter, attribute or hook; no
    submodules, and no links that lead out of the repository. Raises ReconcilerError where there is no such commit.
    """
    trees = Trees(git)
    root = trees.root(commit)
    with tempfile.TemporaryDirectory(prefix="reconciler-tree-") as folder:
        top = Path(os.path.realpath(folder)) / "tree"
        top.mkdir()
        _export(trees, root, top)
        yield top


def _export(trees: Trees, root: Entry, top: Path) -> None:
    places: dict[str, list[tuple[Path, Entry]]] = {}
    waiting = [(PurePosixPath(), root)]
    for path, folder in waiting:
        entries = trees.entries(folder, path)
        if isinstance(entries, Problem):
            raise ReconcilerError(f"The commit cannot be read from git: {entries}")
        for entry in entries:
            place = path / entry.name
            if entry.is_folder:
                (top / place).mkdir()
                waiting.append((place, entry))
            elif entry.is_file or entry.is_link:
                places.setdefault(entry.id, []).append((top / place, entry))
    links: dict[Path, str] = {}
    for name, data in contents(trees.git, places):
        for place, entry in places[name]:
            if entry.is_link:
                links[place] = (data or b"").decode("utf-8", "surrogateescape")
                continue
            place.write_bytes(data or b"")
            place.chmod(0o755 if entry.is_executable else 0o644)
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
