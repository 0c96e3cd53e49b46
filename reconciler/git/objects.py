"""Files and folders of commits, read out of git's own store: as they are there, whatever they are called."""

import math
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reconciler.core.limits import FILE_BYTES
from reconciler.core.names import Commit
from reconciler.core.text import plain
from reconciler.errors import Location, Problem, ReconcilerError
from reconciler.git.runner import FULL_NAME, Git
from reconciler.reading.repository import looks_like_dot_git, nested

_ENTRY = re.compile(rb"(?s)([0-7]{1,6}) (.*?)\0")

MOST_FOLDER_BYTES = 1 << 26
"""A folder that takes more than this in git's store is not read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder of a commit has by one name: its mode, and the full name of the object."""

    name: str
    mode: int
    id: str

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_executable(self) -> bool:
        return bool(self.mode & 0o100)


@dataclass(frozen=True, slots=True)
class Trees:
    """The folders of commits, each read once. Whatever else a tree has in it, a submodule for one, is neither kind."""

    git: Git
    known: dict[str, tuple[Entry, ...]] = field(default_factory=dict[str, tuple[Entry, ...]])

    def root(self, commit: Commit) -> Entry:
        """The top folder of a commit. Raises ReconcilerError where there is no such commit."""
        about = self.git.about(f"{full(commit)}^{{tree}}")
        if about is None:
            raise ReconcilerError(f"This repository has no commit `{commit}`.", "Fetch it first.")
        return Entry("", stat.S_IFDIR, about[0])

    def read(self, ids: Iterable[str]) -> Mapping[str, tuple[Entry, ...]]:
        """What is in some folders, each read once."""
        asked = set(ids)
        for name, data in contents(self.git, asked - self.known.keys(), "tree", MOST_FOLDER_BYTES):
            if data is None:
                raise ReconcilerError(f"A folder with the name {name[:12]} in git is too large.", "Split it.")
            self.known[name] = tuple(_entries_of(data, len(name) // 2))
        return {name: self.known[name] for name in asked}

    def entries(self, folder: Entry, path: PurePosixPath) -> tuple[Entry, ...] | Problem:
        """What is in a folder; a Problem where there are names that no git would check out."""
        found = self.read([folder.id])[folder.id]
        return odd_name(found, path) or found

    def at(self, root: Entry, path: PurePosixPath) -> Entry | None:
        """What a path leads to, without following links."""
        place: Entry | None = root
        for part in path.parts:
            if place is None or not place.is_folder:
                return None
            place = next((entry for entry in self.read([place.id])[place.id] if entry.name == part), None)
        return place


def odd_name(entries: Iterable[Entry], path: PurePosixPath) -> Problem | None:
    """What is wrong with the first of the names in a folder that no git would check out."""
    seen: set[str] = set()
    for entry in entries:
        if looks_like_dot_git(entry.name):
            return nested(str(path / entry.name))
        if entry.name in seen or entry.name in {"", ".", ".."} or "/" in entry.name:
            why = "appears twice" if entry.name in seen else "is not a file name"
            message = f"`{plain(entry.name, 80)}` {why}: git would not check it out."
            return Problem(Location(str(path)), "unreadable-file", message, "Create the commit again with git.")
        seen.add(entry.name)
    return None


def blobs(git: Git, ids: Iterable[str]) -> Mapping[str, bytes]:
    """
    The contents of files by their ids, and of a larger one than we read, one byte more than that. Raises
    ReconcilerError where one is not there.
    """
    read = contents(git, ids, "blob", FILE_BYTES)
    return {n: git.beginning("cat-file", "blob", n, most=FILE_BYTES + 1) if d is None else d for n, d in read}


def contents(
    git: Git, ids: Iterable[str], kind: str = "blob", most: float = math.inf
) -> Iterator[tuple[str, bytes | None]]:
    """Objects of one kind, one after the other; None for one that has more bytes than `most`."""
    return git.many(sorted({full(name) for name in ids}), kind, most)


def _entries_of(data: bytes, length: int) -> Iterable[Entry]:
    """The entries of a tree: a mode, a name, and `length` bytes of an id each."""
    at = 0
    while at < len(data):
        found = _ENTRY.match(data, at)
        id_ = b"" if found is None else data[found.end() : found.end() + length]
        if found is None or len(id_) != length:
            raise ReconcilerError("A folder of this commit is damaged.", "Run `git fsck` to find it.")
        yield Entry(found[2].decode("utf-8", "surrogateescape"), int(found[1], 8), id_.hex())
        at = found.end() + length


def full(name: str) -> str:
    """The full name of an object, as it was given. Raises ReconcilerError for anything else."""
    if not FULL_NAME.fullmatch(name):
        raise ReconcilerError(f"`{plain(name, 80)}` is not a full commit ID.", "Resolve it first.")
    return name
