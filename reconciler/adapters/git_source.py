"""Manifests from a git repository: of a commit, read from git's own store, or of the work tree, read from disk."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reconciler.adapters.files import SUFFIXES, files_below, leads_out, link_to_folder
from reconciler.core.desired import Revision
from reconciler.core.names import Commit, RepositoryId
from reconciler.errors import Problem, ReconcilerError
from reconciler.ports import Checkout, Fork, Relation, SourceFile

if TYPE_CHECKING:
    import git

SYMLINK_MODE = 0o120000
MOST_SYMLINK_HOPS = 8

_FULL_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class GitSource:
    """
    One folder of manifests in one git repository. `folder` is relative to the top of the repository; together with the
    repository's name it is the owner's identity, so two folders of one repository do not release each other's models.
    """

    repo: "git.Repo"
    top: Path
    folder: PurePosixPath
    identity: RepositoryId
    remote: str | None

    def read(self, ref: str | None) -> Checkout:
        return self._commit(ref) if ref is not None else self._work_tree()

    def relation(self, commit: Commit, other: Commit) -> Relation:
        if commit == other:
            return Relation.SAME
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
        status, found, _ = self.repo.git.merge_base(ours, theirs, with_extended_output=True, with_exceptions=False)
        if status != 0:
            raise ReconcilerError(
                f"`{ref or 'HEAD'}` and `{base}` have no commit in common, as far as this clone goes back.",
                "Fetch the whole history of both (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )
        return Fork(Commit(found), int(self.repo.git.rev_list("--count", f"{found}..{theirs}")))

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        if ref is None:
            found = self.top / path
            if found.is_symlink() or (found.exists() and not found.is_file()):
                raise _no_plain_file(path)
            return SourceFile(path, found.read_bytes()) if found.exists() else None
        try:
            entry: Any = self._named(ref).tree / path
        except KeyError:
            return None
        if entry.type != "blob" or stat.S_IFMT(entry.mode) == SYMLINK_MODE:
            raise _no_plain_file(path)
        return SourceFile(path, entry.data_stream.read())

    def digest(self, ref: str, path: str) -> str | None:
        try:
            entry: Any = self._named(ref).tree / path
        except (KeyError, ValueError):
            return None
        return str(entry.hexsha)

    def contains_commit(self, commit: str, branch: str) -> bool | None:
        """The branch is the remote's, as far as it was fetched, or else the local one. None: git cannot tell."""
        name = commit.strip().lower()
        tip = self._tip(branch) if _FULL_NAME.fullmatch(name) and branch.isprintable() else None
        if tip is None:
            return None
        named = Commit(name)
        if not self._has(named):
            self._fetch(named)
        if not self._has(named):
            return None
        status, _, _ = self.repo.git.merge_base(
            "--is-ancestor",
            named,
            tip,
            with_extended_output=True,
            with_exceptions=False,
            env={"GIT_NO_REPLACE_OBJECTS": "1"},
        )
        if status == 1:
            return None if self._shallow() else False
        return True if status == 0 else None

    def _tip(self, branch: str) -> Commit | None:
        """The newest commit of a branch. Its name is taken for a name alone: no option, expression or pattern."""
        places = [f"refs/remotes/{self.remote}"] if self.remote is not None else []
        for place in (*places, "refs/heads"):
            status, found, _ = self.repo.git.show_ref(
                "--verify", "--hash", "--", f"{place}/{branch}", with_extended_output=True, with_exceptions=False
            )
            if status == 0 and _FULL_NAME.fullmatch(found):
                return Commit(found)
        return None

    def _shallow(self) -> bool:
        return self.repo.git.rev_parse("--is-shallow-repository") == "true"

    def line(self, commit: str, known: Iterable[Commit], most: int) -> Iterator[Commit]:
        if not self.repo.head.is_valid():
            return
        without = [f"^{one}" for one in known if self._has(one)]
        said: str = self.repo.git.rev_list("--first-parent", f"--max-count={most}", self._named(commit), *without)
        listed = [Commit(line) for line in said.split()]
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
        named: str = self.repo.git.rev_parse("--git-path", "shallow")
        return frozenset((Path(self.repo.working_dir) / named).read_text().split())

    def _contains(self, ancestor: Commit, commit: Commit) -> bool:
        status, _, _ = self.repo.git.merge_base(
            "--is-ancestor", ancestor, commit, with_extended_output=True, with_exceptions=False
        )
        return status == 0

    def _has(self, commit: Commit) -> bool:
        status, _, _ = self.repo.git.cat_file(
            "-e", f"{commit}^{{commit}}", with_extended_output=True, with_exceptions=False
        )
        return status == 0

    def _fetch(self, commit: Commit) -> None:
        """Another apply's commit may be newer than this clone; where it cannot be had, it stays unknown."""
        if self.remote is not None and _FULL_NAME.fullmatch(commit):
            self.repo.git.fetch(
                "--no-tags",
                "--no-write-fetch-head",
                self.remote,
                commit,
                with_exceptions=False,
                kill_after_timeout=30,
                env={"GIT_TERMINAL_PROMPT": "0"},
            )

    def _revision(self, commit: "git.Commit | None") -> Revision:
        if commit is None:
            return Revision(self.identity)
        author = f"{commit.author.name} <{commit.author.email}>"
        return Revision(self.identity, Commit(commit.hexsha), author, str(commit.summary))

    def _named(self, ref: str) -> "git.Commit":
        import git

        try:
            return self.repo.commit(ref)
        except (git.BadName, git.BadObject, ValueError, IndexError, NotImplementedError) as error:
            raise ReconcilerError(
                f"This repository has no commit `{ref}`.", "Correct the name, or fetch it first."
            ) from error

    def _commit(self, ref: str) -> Checkout:
        commit = self._named(ref)
        files, problems = _TreeReader(commit.tree).manifests(self.folder)
        dirty = self._dirty() if self._is_head(commit) else ()
        return Checkout(self._revision(commit), files, problems, dirty)

    def _work_tree(self) -> Checkout:
        folder = self.top / self.folder
        files, problems = files_below([folder] if folder.exists() else [], self.top)
        head = self.repo.head.commit if self.repo.head.is_valid() else None
        dirty = self._dirty()
        # What no commit holds has no commit to be known by; its history is still that of HEAD.
        return Checkout(self._revision(None if dirty else head), files, problems, dirty)

    def _is_head(self, commit: "git.Commit") -> bool:
        return self.repo.head.is_valid() and self.repo.head.commit == commit

    def _dirty(self) -> tuple[str, ...]:
        """The manifest files that are changed, staged, deleted, untracked, or ignored by git and read all the same."""
        if self.repo.bare:
            return ()
        listing: str = self.repo.git.status(
            "--porcelain=v1",
            "-z",
            "--untracked-files=all",
            "--ignored",
            "--no-renames",
            "--",
            # Git finds nothing at all by a path of one dot (seen in 2.39).
            f":(top,literal){'' if self.folder == PurePosixPath() else self.folder}",
        )
        names = {PurePosixPath(entry[3:]) for entry in listing.split("\0") if entry}
        manifests = (n for n in names if n.name.endswith(SUFFIXES) and not _is_hidden(n.relative_to(self.folder)))
        return tuple(sorted(map(str, manifests)))


def _no_plain_file(path: str) -> ReconcilerError:
    return ReconcilerError(
        f"{path} is a link or a folder, and a file was expected: what it leads to is not what a commit holds of it.",
        "Put the file itself there.",
    )


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


@dataclass(frozen=True, slots=True)
class _TreeReader:
    """Files of one commit; follows links as long as they stay inside the commit."""

    tree: Any

    def manifests(self, folder: PurePosixPath) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
        top = self._at(folder)
        files: list[SourceFile] = []
        problems: list[Problem] = []
        for entry in top.traverse() if top is not None and top.type == "tree" else ():
            path = PurePosixPath(str(entry.path))
            if entry.type != "blob" or _is_hidden(path.relative_to(folder)):
                continue
            named = path.name.endswith(SUFFIXES)
            if not named and stat.S_IFMT(entry.mode) != SYMLINK_MODE:
                continue
            found = self._followed(path, entry)
            if found is not None and found.type == "tree":
                problems.append(link_to_folder(str(path)))
            elif found is None:
                problems.extend([leads_out(str(path))] if named else [])
            elif named:
                files.append(SourceFile(str(path), found.data_stream.read()))
        return tuple(sorted(files, key=lambda file: file.path)), tuple(problems)

    def _followed(self, path: PurePosixPath, entry: Any) -> Any:
        for _ in range(MOST_SYMLINK_HOPS):
            if entry.type == "tree" or stat.S_IFMT(entry.mode) != SYMLINK_MODE:
                return entry
            target: str = entry.data_stream.read().decode("utf-8", "replace")
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
        except KeyError:
            return None


def open_source(folder: Path, identity: str | None = None, remote: str = "origin") -> GitSource:
    """
    The git repository around a folder of manifests, which need not exist yet. `identity` replaces the name that is made
    from the remote's URL. Raises ReconcilerError where there is no repository.
    """
    import git

    absolute = Path(os.path.abspath(folder))  # noqa: PTH100  # a link to a folder is part of its name here
    start = next(parent for parent in (absolute, *absolute.parents) if parent.exists())
    try:
        repo = git.Repo(start, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise ReconcilerError(
            f"{absolute} is not in a git repository.", "Run this inside one, or name it with --manifests."
        ) from error
    top = Path(repo.working_tree_dir or repo.git_dir)
    status, _, said = repo.git.rev_parse("--git-dir", with_extended_output=True, with_exceptions=False)
    if status != 0:
        raise ReconcilerError(
            f"git refuses to work in {top}: {' '.join(said.split())}",
            "Where the folder belongs to another user, `git config --global --add safe.directory <folder>` allows it.",
        )
    below = Path(os.path.realpath(start)) / absolute.relative_to(start)
    if not below.is_relative_to(os.path.realpath(top)):
        raise ReconcilerError(
            f"{absolute} is a link that leads out of the repository {top}.", "Name the folder itself with --manifests."
        )
    inside = PurePosixPath(below.relative_to(os.path.realpath(top)).as_posix())
    known = remote if remote in [r.name for r in repo.remotes] else None
    name = identity or _identity(repo, known, inside)
    return GitSource(repo, top, inside, RepositoryId(name), known)


def _identity(repo: "git.Repo", remote: str | None, folder: PurePosixPath) -> str:
    """`github.com/acme/models#manifests`; without a remote, the first commit stands for the repository."""
    if remote is not None:
        return f"{normal_url(repo.remote(remote).url)}#{folder}"
    if not repo.head.is_valid():
        raise ReconcilerError("This repository has no commit yet.", "Commit the manifests first.")
    roots: str = repo.git.rev_list("--max-parents=0", "HEAD")
    return f"git:{roots.splitlines()[-1][:16]}#{folder}"


def normal_url(url: str) -> str:
    """One name for one repository, however it is reached: no scheme, user, port or `.git`."""
    scp = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)", url)
    if scp:
        host, path = scp[1], scp[2]
    else:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
    return "/".join(part for part in (host.lower(), path.strip("/").removesuffix(".git")) if part)
