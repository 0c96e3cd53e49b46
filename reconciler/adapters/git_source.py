"""Manifests from a git repository: of a commit, read from git's own store, or of the work tree, read from disk."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from reconciler.adapters.files import (
    DEEPEST,
    SUFFIXES,
    beginning,
    content_problem,
    files_below,
    leads_out,
    link_to_folder,
    name_problem,
    too_deep,
)
from reconciler.adapters.git_line import FileChange, blobs, changes_along, first_parents, trunk
from reconciler.adapters.git_refs import branch_tip, resolve
from reconciler.adapters.git_runner import FULL_NAME, Git, GitTimeoutError, open_git, opened
from reconciler.adapters.repository import (
    looks_like_dot_git,
    looks_like_repository,
    nested,
    on_the_way,
    top_above,
)
from reconciler.core.desired import Revision
from reconciler.core.limits import FILE_BYTES
from reconciler.core.names import Commit, RepositoryId, folded_repository, plain
from reconciler.errors import Location, ManifestError, Problem, ReconcilerError
from reconciler.ports import Checkout, Fork, LineCommit, Relation, SourceFile, Step

if TYPE_CHECKING:
    import git

SYMLINK_MODE = 0o120000
MOST_SYMLINK_HOPS = 8
MOST_LINK = 4096

STEPS_AT_ONCE = 50
"""How many commits' files are read from git in one call, when history is walked."""

MOST_ENTRIES = 200_000
"""A commit can hold one folder a million times over, at no cost to whoever makes it."""


@dataclass(frozen=True, slots=True)
class GitSource:
    """
    One folder of manifests in one git repository. `folder` is relative to the top of the repository; together with the
    repository's name it is the owner's identity, so two folders of one repository do not release each other's models.
    """

    git: Git
    repo: "git.Repo"
    folder: PurePosixPath
    identity: RepositoryId
    remote: str | None
    _relations: dict[tuple[Commit, Commit], Relation] = field(
        default_factory=dict[tuple[Commit, Commit], Relation], init=False, compare=False, repr=False
    )

    @property
    def top(self) -> Path:
        return self.git.top

    def meant(self, text: str) -> Commit:
        """
        The commit that somebody names. Raises ReconcilerError where there is none, or where several things are called
        that; here a full name of a commit, too, may be that of a branch.
        """
        return resolve(self.git, text)

    @property
    def head(self) -> Commit | None:
        """The commit that HEAD is at, if there is any yet."""
        answer = self.git.read("rev-parse", "--verify", "--quiet", "HEAD^{commit}", may_fail=True)
        return Commit(answer.text) if FULL_NAME.fullmatch(answer.text) else None

    def parents(self, commit: Commit) -> tuple[Commit, ...]:
        """What a commit was made on top of, the first one first."""
        return first_parents(self.git, commit, 1)[0].parents

    def trunk(self, tip: Commit, anchors: Sequence[Commit]) -> tuple[LineCommit, ...]:
        steps = trunk(self.git, tip, anchors)
        cut = bool(steps) and bool(steps[-1].parents)
        return tuple(
            LineCommit(step.commit, len(step.parents) > 1, step.committed, cut and step is steps[-1]) for step in steps
        )

    def steps(self, line: Sequence[LineCommit], path: str | None = None) -> Iterator[Step]:
        below = self.folder if path is None else PurePosixPath(path)
        changed = [
            (one.commit, [change for change in one.changes if self._reads(change, path)])
            for one in changes_along(self.git, [one.commit for one in line], below)
        ]
        for begin in range(0, len(changed), STEPS_AT_ONCE):
            some = changed[begin : begin + STEPS_AT_ONCE]
            ids = {name for _, changes in some for c in changes for name in (c.before, c.after) if name is not None}
            texts = blobs(self.git, ids)
            for commit, changes in some:
                if changes:
                    yield Step(
                        commit,
                        {c.path: None if c.before is None else texts[c.before] for c in changes},
                        {c.path: None if c.after is None else texts[c.after] for c in changes},
                    )

    def _reads(self, change: FileChange, path: str | None) -> bool:
        """Whether it is a file that manifests are read from, or the one that was asked for."""
        named = PurePosixPath(change.path)
        if path:
            return change.plain and change.path == path
        top = self.folder if path is None else PurePosixPath()
        return (
            change.plain
            and named.name.endswith(SUFFIXES)
            and not any(part.startswith(".") for part in named.relative_to(top).parts)
        )

    def read(self, ref: str | None) -> Checkout:
        return self._commit(ref) if ref is not None else self._work_tree()

    def relation(self, commit: Commit, other: Commit) -> Relation:
        """As many models ask about the same two commits, what is certain is asked of git once."""
        if commit == other:
            return Relation.SAME
        if (known := self._relations.get((commit, other))) is not None:
            return known
        found = self._looked_up(commit, other)
        if found is not Relation.UNKNOWN:
            self._relations[commit, other] = found
        return found

    def _looked_up(self, commit: Commit, other: Commit) -> Relation:
        if not self._has(commit):
            self._fetch(commit)
        if not (self._has(commit) and self._has(other)):
            return Relation.UNKNOWN
        if self._contains(commit, other):
            return Relation.ANCESTOR
        if self._contains(other, commit):
            return Relation.DESCENDANT
        return Relation.UNKNOWN if self._shallow() else Relation.UNRELATED

    def fork(self, base: str, ref: str | None) -> Fork:
        ours, theirs = self._named(ref or "HEAD"), self._named(base)
        answer = self.git.read("merge-base", ours.hexsha, theirs.hexsha, may_fail=True)
        if answer.code != 0:
            raise ReconcilerError(
                f"`{ref or 'HEAD'}` and `{base}` have no commit in common, as far as this clone goes back.",
                "Fetch the whole history of both (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )
        found = Commit(answer.text)
        return Fork(found, int(self.git.read("rev-list", "--count", f"{found}..{theirs.hexsha}").text))

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        if ref is None:
            found = self.top / path
            amiss = on_the_way(self.top, PurePosixPath(path).parent)
            if amiss or found.is_symlink() or (found.exists() and not found.is_file()):
                raise _no_plain_file(path)
            return SourceFile(path, beginning(found)) if found.exists() else None
        entry: Any = self._named(ref).tree
        for part in PurePosixPath(path).parts:
            entries = _entries(entry, PurePosixPath()) if entry.type == "tree" else None
            if entries is None:
                raise _no_plain_file(path)
            if isinstance(entries, Problem):
                raise ManifestError((entries,))
            entry = next((one for one in entries if _name(one) == part), None)
            if entry is None:
                return None
        if entry.type != "blob" or stat.S_IFMT(entry.mode) == SYMLINK_MODE:
            raise _no_plain_file(path)
        return SourceFile(path, entry.data_stream.read(FILE_BYTES + 1))

    def digest(self, ref: str, path: str) -> str | None:
        try:
            entry: Any = self._named(ref).tree / path
        except (KeyError, ValueError):
            return None
        return str(entry.hexsha)

    def contains_commit(self, commit: str, branch: str) -> bool | None:
        """The branch is the remote's, as far as it was fetched, or else the local one. None: git cannot tell."""
        name = commit.strip().lower()
        tip = branch_tip(self.git, branch, self.remote) if FULL_NAME.fullmatch(name) else None
        if tip is None:
            return None
        named = Commit(name)
        if not self._has(named):
            self._fetch(named)
        if not self._has(named):
            return None
        code = self.git.read("merge-base", "--is-ancestor", named, tip, may_fail=True).code
        if code == 1:
            return None if self._shallow() else False
        return True if code == 0 else None

    def _shallow(self) -> bool:
        return self.git.read("rev-parse", "--is-shallow-repository").text == "true"

    def line(self, commit: str, known: Iterable[Commit], most: int) -> Iterator[Commit]:
        if self.head is None:
            return
        without = [f"^{one}" for one in known if self._has(one)]
        count = f"--max-count={most}"
        listing = self.git.read("rev-list", "--first-parent", count, self._named(commit).hexsha, *without).text
        listed = [Commit(line) for line in listing.split()]
        yield from listed
        if 0 < len(listed) < most and listed[-1] in self._cut_off():
            raise ReconcilerError(
                f"This clone does not go back beyond {listed[-1][:12]}, so what was there before is not known.",
                "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )

    def _cut_off(self) -> frozenset[str]:
        """The commits whose parents a shallow clone lacks."""
        if not self._shallow():
            return frozenset()
        named = self.git.read("rev-parse", "--path-format=absolute", "--git-path", "shallow").text
        return frozenset(Path(named).read_text().split())

    def _contains(self, ancestor: Commit, commit: Commit) -> bool:
        return self.git.read("merge-base", "--is-ancestor", ancestor, commit, may_fail=True).code == 0

    def _has(self, commit: Commit) -> bool:
        if not FULL_NAME.fullmatch(commit):
            return False
        return self.git.read("cat-file", "-e", f"{commit}^{{commit}}", may_fail=True).code == 0

    def _fetch(self, commit: Commit) -> None:
        """Another apply's commit may be newer than this clone; where it cannot be had, it stays unknown."""
        if self.remote is None or not FULL_NAME.fullmatch(commit):
            return
        quietly = ("--no-tags", "--no-write-fetch-head", "--refmap=", "--no-prune", "--no-recurse-submodules")
        try:
            self.git.reach("fetch", "--quiet", *quietly, "--no-auto-maintenance", "--", self.remote, commit)
        except GitTimeoutError:
            return

    def _revision(self, commit: "git.Commit | None") -> Revision:
        if commit is None:
            return Revision(self.identity)
        author = f"{commit.author.name} <{commit.author.email}>"
        return Revision(self.identity, Commit(commit.hexsha), author, str(commit.summary))

    def _named(self, ref: str) -> "git.Commit":
        import git

        # What we found out before is asked for by its full name, and is not to be mistaken for a branch.
        name = ref if FULL_NAME.fullmatch(ref) else resolve(self.git, ref)
        try:
            return self.repo.commit(name)
        except (git.BadName, git.BadObject, ValueError) as error:
            raise ReconcilerError(
                f"This repository has no commit `{ref}`.", "Correct the name, or fetch it first."
            ) from error

    def _commit(self, ref: str) -> Checkout:
        commit = self._named(ref)
        tree = _TreeReader(commit.tree)
        files, problems = tree.manifests(self.folder)
        dirty = self._differing(commit, self._on_disk()[0]) if commit.hexsha == self.head else ()
        return Checkout(self._revision(commit), files, problems, dirty)

    def _work_tree(self) -> Checkout:
        files, problems = self._on_disk()
        name = self.head
        head = None if name is None else self._named(name)
        dirty = self._differing(head, files)
        # What no commit holds has no commit to be known by; its history is still that of HEAD.
        return Checkout(self._revision(None if dirty else head), files, problems, dirty)

    def _on_disk(self) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
        folder = self.top / self.folder
        return files_below([folder] if os.path.lexists(folder) else [], self.top)

    def _differing(self, head: "git.Commit | None", files: Iterable[SourceFile]) -> tuple[str, ...]:
        """
        The manifest files that are not on disk as HEAD has them, byte by byte. Git's own word on that rests on times
        and sizes, on what it is told to assume, and on filters.
        """
        kept = {} if head is None else _TreeReader(head.tree).found(self.folder)[0]
        on_disk = {file.path: file.data for file in files}
        return tuple(
            path
            for path in sorted(kept.keys() | on_disk.keys())
            if path not in kept or path not in on_disk or _blob_name(on_disk[path], kept[path]) != kept[path].hexsha
        )


def _blob_name(data: bytes, like: Any) -> str:
    """The name that git would give to a file."""
    kind = hashlib.sha256 if len(like.hexsha) == 64 else partial(hashlib.sha1, usedforsecurity=False)
    return kind(b"blob %d\0" % len(data) + data).hexdigest()


def _no_plain_file(path: str) -> ReconcilerError:
    return ReconcilerError(
        f"{path} is a link or a folder, and a file was expected: what it leads to is not what a commit holds of it.",
        "Put the file itself there.",
    )


@dataclass(frozen=True, slots=True)
class _TreeReader:
    """Files of one commit; follows links as long as they stay inside the commit."""

    tree: Any

    def manifests(self, folder: PurePosixPath) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
        found, problems = self.found(folder)
        files: list[SourceFile] = []
        for path in sorted(found):
            data = found[path].data_stream.read(FILE_BYTES + 1)
            if amiss := content_problem(path, data):
                problems.append(amiss)
            else:
                files.append(SourceFile(path, data))
        return tuple(files), tuple(problems)

    def found(self, folder: PurePosixPath) -> tuple[dict[str, Any], list[Problem]]:
        """The manifest files below a folder, not yet read, and what looks like one and is not to be read."""
        place = self._folder(folder)
        if place is None or isinstance(place, Problem):
            return {}, [] if place is None else [place]
        blobs: dict[str, Any] = {}
        problems: list[Problem] = []
        waiting = [(folder, place)]
        seen = 0
        while waiting:
            above, tree = waiting.pop()
            entries = _entries(tree, above)
            if isinstance(entries, Problem):
                problems.append(entries)
                continue
            seen += len(entries)
            if seen > MOST_ENTRIES:
                raise ReconcilerError(f"{folder} holds more than {MOST_ENTRIES} files.", "Name a smaller folder.")
            if looks_like_repository(_name(entry) for entry in entries):
                problems.append(nested(str(above)))
            for entry in entries:
                path = above / _name(entry)
                match self._sorted(path, entry):
                    case Problem() as problem:
                        problems.append(problem)
                    case None:
                        pass
                    case found if found.type == "tree":
                        waiting.append((path, found))
                    case found:
                        blobs[str(path)] = found
        return blobs, problems

    def _folder(self, folder: PurePosixPath) -> Any:
        """The folder in this commit; None where there is none, a Problem where there is something else."""
        place = self.tree
        for number, part in enumerate(folder.parts, 1):
            name = PurePosixPath(*folder.parts[:number])
            entries = _entries(place, name.parent)
            if isinstance(entries, Problem):
                return entries
            if number > 1 and _is_repository(entries):
                return nested(str(name.parent))
            place = next((entry for entry in entries if _name(entry) == part), None)
            if place is None:
                return None
            if place.type == "submodule" or looks_like_dot_git(part):
                return nested(str(name))
            if place.type != "tree":
                return link_to_folder(str(name))
        return place

    def _sorted(self, path: PurePosixPath, entry: Any) -> Any:
        """A folder to look into, the file behind an entry, a Problem, or None for what is not ours to read."""
        if entry.type == "submodule" or looks_like_dot_git(path.name):
            return nested(str(path))
        if path.name.startswith("."):
            return None
        if entry.type == "tree":
            return too_deep(str(path)) if len(path.parts) > DEEPEST else entry
        if amiss := name_problem(str(path)):
            return amiss
        named = path.name.endswith(SUFFIXES)
        if not named and stat.S_IFMT(entry.mode) != SYMLINK_MODE:
            return None
        found = self._followed(path, entry)
        if found is not None and found.type == "tree":
            return link_to_folder(str(path))
        if named and (found is None or found.type != "blob"):
            return leads_out(str(path))
        return found if named else None

    def _followed(self, path: PurePosixPath, entry: Any) -> Any:
        for _ in range(MOST_SYMLINK_HOPS):
            if entry.type == "tree" or stat.S_IFMT(entry.mode) != SYMLINK_MODE:
                return entry
            target: str = entry.data_stream.read(MOST_LINK).decode("utf-8", "replace")
            inside = os.path.normpath(path.parent / target)
            if target.startswith("/") or inside.startswith(".."):
                return None
            path = PurePosixPath(inside)
            entry = self._at(path)
            if entry is None:
                return None
        return None

    def _at(self, path: PurePosixPath) -> Any:
        if not path.parts:
            return self.tree
        try:
            return self.tree / str(path)
        except (KeyError, ValueError):
            return None


def _entries(tree: Any, path: PurePosixPath) -> list[Any] | Problem:
    """What is in a folder of a commit. GitPython refuses names that no git would check out."""
    try:
        return list(tree)
    except ValueError as error:
        if odd := next((name for name in _names(tree) if looks_like_dot_git(name)), None):
            return nested(str(path / odd))
        return Problem(
            Location(str(path)), "unreadable-file", f"This folder cannot be read: {plain(str(error))}.", "Mend it."
        )


def _name(entry: Any) -> str:
    """Not `entry.name`, which looks a submodule up in `.gitmodules`."""
    return PurePosixPath(str(entry.path)).name


def _names(tree: Any) -> Iterator[str]:
    data: bytes = tree.data_stream.read()
    while data:
        name, _, data = data.partition(b" ")[2].partition(b"\0")
        data = data[len(tree.binsha) :]
        yield name.decode("utf-8", "surrogateescape")


def _is_repository(entries: list[Any]) -> bool:
    names = [_name(entry) for entry in entries]
    return looks_like_repository(names) or any(looks_like_dot_git(name) for name in names)


def open_source(folder: Path, identity: str | None = None, remote: str = "origin") -> GitSource:
    """
    The git repository around a folder of manifests, which need not exist yet. `identity` replaces the name that is made
    from the remote's URL. Raises ReconcilerError where there is no repository, and ManifestError where the folder is a
    link, or a repository within the repository.
    """
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100  # a link to a folder is part of its name here
    top = top_above(absolute)
    if top is None:
        raise ReconcilerError(
            f"{absolute} is not in a git repository.", "Run this inside one, or name it with --manifests."
        )
    inside = PurePosixPath(absolute.relative_to(top).as_posix())
    if amiss := on_the_way(top, inside):
        raise ManifestError(amiss)
    git = open_git(top)
    url = git.url(remote)
    return GitSource(
        git, opened(git), inside, RepositoryId(identity or _identity(git, url, inside)), remote if url else None
    )


def _identity(git: Git, url: str, folder: PurePosixPath) -> str:
    """`github.com/acme/models#manifests`; without a remote, the first commit stands for the repository."""
    if url:
        if _ALIAS.fullmatch(url):
            url = git.read("ls-remote", "--get-url", "--", url).text
        return f"{normal_url(url)}#{folder}"
    roots = git.read("rev-list", "--max-parents=0", "HEAD", may_fail=True).text.split()
    if not roots:
        raise ReconcilerError("This repository has no commit yet.", "Commit the manifests first.")
    return f"git:{roots[-1][:16]}#{folder}"


# `gh:acme/models`, which the user's `url.<base>.insteadOf` may stand for.
_ALIAS = re.compile(r"[A-Za-z0-9_-]+:(?!//).+")

# The same hosts by other names, for those whom a firewall keeps from the usual ones.
_SAME_HOST = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


def normal_url(url: str) -> str:
    """
    One name for one repository, however it is reached: no scheme, user, port, `www.` or `.git`, and no capitals where
    its forge takes it in any case.
    """
    scp = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)", url)
    if scp:
        host, path = scp[1], scp[2]
    else:
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path)
    host = host.lower().removeprefix("www.")
    steps = "/".join(part for part in path.split("/") if part).removesuffix(".git")
    return folded_repository("/".join(part for part in (_SAME_HOST.get(host, host), steps) if part))
