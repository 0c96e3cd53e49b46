"""Manifests from a git repository: of a commit, read from git's own store, or of the work tree, read from disk."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from reconciler.core.desired import Revision
from reconciler.core.names import Commit, RepositoryId, folded_repository
from reconciler.core.text import plain
from reconciler.errors import ManifestError, Problem, ReconcilerError
from reconciler.git.ancestry import Ancestry
from reconciler.git.line import Step as LineStep
from reconciler.git.line import StepChanges, changes_along, line_and_changes, trunk
from reconciler.git.objects import Entry, Trees, blobs, odd_name
from reconciler.git.refs import branch_tip, resolve
from reconciler.git.runner import FULL_NAME, Git, GitTimeoutError, open_git, parents_of
from reconciler.ports import Checkout, CommitNote, Fork, LineCommit, Relation, SourceFile, Step
from reconciler.reading.files import (
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
from reconciler.reading.repository import (
    looks_like_repository,
    nested,
    on_the_way,
    top_above,
)

MOST_SYMLINK_HOPS = 8
MOST_LINK = 4096

STEPS_AT_ONCE = 50
"""How many commits' files are read from git in one call, when history is walked."""

MOST_KEPT, LONGEST_KEPT = 10_000, 1 << 16
"""Of so many files of the line, none longer than that, what they were last is kept until the commit that made it."""

MOST_APPROVALS = 20
"""So many commits without a change are passed over when it is asked who wrote what was merged."""

MOST_ENTRIES = 200_000
"""A commit can hold one folder a million times over, at no cost to whoever makes it."""


@dataclass(frozen=True, slots=True)
class GitSource:
    """
    One folder of manifests in one git repository. `folder` is relative to the top of the repository; together with the
    repository's name it is the owner's identity, so two folders of one repository do not release each other's models.
    `drafts` stand in for files of the work tree, as if they were written already; all others are read once, and what a
    name means is asked once, so that a command sees one state of them.
    """

    git: Git
    trees: Trees
    ancestry: Ancestry
    folder: PurePosixPath
    identity: RepositoryId
    remote: str | None
    drafts: tuple[SourceFile, ...] = ()
    _disk: dict[PurePosixPath, tuple[tuple[SourceFile, ...], tuple[Problem, ...]]] = field(
        default_factory=dict[PurePosixPath, tuple[tuple[SourceFile, ...], tuple[Problem, ...]]],
        compare=False,
        repr=False,
    )
    _dirty: dict[tuple[PurePosixPath, Commit | None], tuple[str, ...]] = field(
        default_factory=dict[tuple[PurePosixPath, "Commit | None"], tuple[str, ...]], compare=False, repr=False
    )
    _names: dict[str, Commit] = field(default_factory=dict[str, Commit], compare=False, repr=False)
    _relations: dict[tuple[Commit, Commit], Relation] = field(
        default_factory=dict[tuple[Commit, Commit], Relation], compare=False, repr=False
    )
    _forks: dict[tuple[Commit, Commit], Fork] = field(
        default_factory=dict[tuple[Commit, Commit], Fork], compare=False, repr=False
    )
    _along: list[tuple[tuple[Commit, ...], tuple[PurePosixPath, ...], tuple[StepChanges, ...]]] = field(
        default_factory=list[tuple[tuple[Commit, ...], tuple[PurePosixPath, ...], tuple[StepChanges, ...]]],
        compare=False,
        repr=False,
    )
    _followed: set[PurePosixPath] = field(default_factory=set[PurePosixPath], compare=False, repr=False)
    """The files whose changes are asked for along lines."""
    _revisions: dict[Commit, Revision] = field(
        default_factory=dict[Commit, Revision], init=False, compare=False, repr=False
    )

    @property
    def top(self) -> Path:
        return self.git.top

    def meant(self, text: str) -> Commit:
        """
        The commit that somebody names. Raises ReconcilerError where there is none, or where several things are called
        that; here a full name of a commit, too, may be that of a branch.
        """
        self._names[text] = resolve(self.git, text)
        return self._names[text]

    @property
    def head(self) -> Commit | None:
        """The commit that HEAD is at, if there is any yet."""
        name = self.git.commit("HEAD")
        return None if name is None else Commit(name)

    def parents(self, commit: Commit) -> tuple[Commit, ...]:
        """What a commit was made on top of, the first one first."""
        return self.ancestry.parents(commit)

    def trunk(self, tip: Commit, anchors: Sequence[Commit], files: Iterable[str] = ()) -> tuple[LineCommit, ...]:
        self._followed.update(map(PurePosixPath, files))
        steps = trunk(self.git, tip, anchors, self._by_first_parents(tip))
        cut = bool(steps) and bool(steps[-1].parents)
        return tuple(
            LineCommit(step.commit, len(step.parents) > 1, step.committed, cut and step is steps[-1]) for step in steps
        )

    def steps(self, line: Sequence[LineCommit], path: str | None = None, *, elsewhere: bool = False) -> Iterator[Step]:
        below = self.folder if path is None else PurePosixPath(path)
        reads = cache(partial(self._reads, asked=path, elsewhere=elsewhere))
        changed = [
            (one.commit, changes)
            for one in self._changed(tuple(one.commit for one in line), below)
            if (changes := [change for change in one.changes if change.plain and reads(change.path)])
        ]
        # What a file was before one commit is what it was after the one that made it so.
        last: dict[str, str] = {}
        kept: dict[str, bytes] = {}
        for begin in range(0, len(changed), STEPS_AT_ONCE):
            some = changed[begin : begin + STEPS_AT_ONCE]
            ids = {name for _, changes in some for c in changes for name in (c.before, c.after) if name is not None}
            texts = {name: kept[name] for name in ids & kept.keys()}
            texts |= blobs(self.git, ids - texts.keys())
            for commit, changes in some:
                yield Step(
                    commit,
                    {c.path: None if c.before is None else texts[c.before] for c in changes},
                    {c.path: None if c.after is None else texts[c.after] for c in changes},
                )
                for change in changes:
                    before = change.before
                    kept.pop(last.pop(change.path, ""), None)
                    if before is not None and len(kept) < MOST_KEPT and len(texts[before]) <= LONGEST_KEPT:
                        last[change.path], kept[before] = before, texts[before]

    def _by_first_parents(self, tip: Commit) -> tuple[LineStep, ...]:
        """A line by first parents. Whoever asks for it asks next what it changed, so git is asked for both."""
        if (known := self.ancestry.lines.get(tip)) is not None:
            return known
        paths = (self.folder, *sorted(self._followed))
        line, changes = line_and_changes(self.git, tip, *paths)
        self._along.append((tuple(step.commit for step in line), paths, changes))
        self.ancestry.keep(line)
        return line

    def _changed(self, line: tuple[Commit, ...], below: PurePosixPath) -> Iterable[StepChanges]:
        """
        What a line changed below a path. Whoever first asks for one path asks for the others, too: git is asked for
        all.
        """
        known = [(paths, found) for commits, paths, found in self._along if commits == line]
        for paths, found in known:
            if any(path == below or not path.parts for path in paths):
                return found
        paths = (below, *(() if known else (self.folder, *sorted(self._followed))))
        found = changes_along(self.git, line, *paths)
        self._along.append((line, paths, found))
        return found

    def _reads(self, path: str, *, asked: str | None, elsewhere: bool) -> bool:
        """Whether it is a file that manifests are read from, or the one that was asked for."""
        if asked:
            return path == asked
        named, top = PurePosixPath(path), self.folder if asked is None else PurePosixPath()
        if elsewhere and named.is_relative_to(self.folder):
            return False
        return (
            named.name.endswith(SUFFIXES)
            and named.is_relative_to(top)
            and not any(part.startswith(".") for part in named.relative_to(top).parts)
        )

    def described(self, commits: Iterable[Commit]) -> Mapping[Commit, CommitNote]:
        found: dict[Commit, CommitNote] = {}
        for commit in sorted(set(commits)):
            if (header := self._header(commit)) is None:
                continue
            people, parents, message = header
            brought = self._header(self._changing(parents[1])) if len(parents) > 1 else None
            author = (brought[0] if brought else people).get("author", "")
            committer = people.get("author" if brought else "committer", "")
            time = re.search(r" (\d{1,18}) [+-]\d{4}$", people.get("committer", ""))
            subject = brought[2].partition("\n")[0] if brought else ""
            found[commit] = CommitNote(
                _person(author), _person(committer), int(time[1]) if time else 0, message, subject
            )
        return found

    def _changing(self, tip: Commit) -> Commit:
        """The tip of what was merged; of an approval, which is a commit that changes no file, what it approves."""
        commit = tip
        for _ in range(MOST_APPROVALS):
            header = self._header(commit)
            parent = header[1][0] if header is not None and len(header[1]) == 1 else None
            above = None if parent is None else self._header(parent)
            if header is None or above is None or parent is None:
                return tip
            if header[0]["tree"] != above[0]["tree"]:
                return commit
            commit = parent
        return tip

    def _header(self, commit: Commit) -> tuple[dict[str, str], list[Commit], str] | None:
        """The people and the tree, the parents and the message of a commit as git has it."""
        stored = self._stored(commit)
        if stored is None:
            return None
        head, _, message = stored.decode("utf-8", "replace").partition("\n\n")
        fields = [line.partition(" ") for line in head.split("\n")]
        people = {key: value for key, _, value in fields if key in {"author", "committer", "tree"}}
        return people, list(map(Commit, parents_of(commit, stored) or ())), message

    def read(self, ref: str | None) -> Checkout:
        return self._commit(ref) if ref is not None else self._work_tree()

    def files_in(self, commit: Commit, folder: str) -> tuple[SourceFile, ...] | None:
        files, problems = self._tree(self._named(commit)).manifests(PurePosixPath(folder))
        return None if problems else files

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
        if self.ancestry.shows(commit, other):
            return Relation.ANCESTOR
        answer = self.git.read("merge-base", commit, other, may_fail=True)
        match answer.code, answer.text:
            case 0, base if base == commit:
                return Relation.ANCESTOR
            case 0, base if base == other:
                return Relation.DESCENDANT
            case 0 | 1, _ if self.git.shallow is None:
                return Relation.UNRELATED
            case _:
                return Relation.UNKNOWN

    def fork(self, base: str, ref: str | None) -> Fork:
        ours, theirs = self._named(ref or "HEAD"), self._named(base)
        if (ours, theirs) not in self._forks:
            found = self._forked(ours, theirs)
            if found is None:
                raise ReconcilerError(
                    f"`{ref or 'HEAD'}` and `{base}` have no commit in common in this clone.",
                    "Fetch the whole history of both (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
                )
            self._forks[ours, theirs] = found
        return self._forks[ours, theirs]

    def _forked(self, ours: Commit, theirs: Commit) -> Fork | None:
        if self.ancestry.shows(theirs, ours):
            return Fork(theirs, 0)
        answer = self.git.read("merge-base", ours, theirs, may_fail=True)
        if answer.code != 0:
            return None
        found = Commit(answer.text)
        behind = 0 if found == theirs else int(self.git.read("rev-list", "--count", f"{found}..{theirs}").text)
        return Fork(found, behind)

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        if ref is None:
            found = self.top / path
            amiss = on_the_way(self.top, PurePosixPath(path).parent)
            if amiss or found.is_symlink() or (found.exists() and not found.is_file()):
                raise _no_plain_file(path)
            return _usable(SourceFile(path, beginning(found))) if found.exists() else None
        entry = self.trees.root(self._named(ref))
        above = PurePosixPath()
        for part in PurePosixPath(path).parts:
            if not entry.is_folder:
                raise _no_plain_file(path)
            entries = self.trees.entries(entry, above)
            if isinstance(entries, Problem):
                raise ManifestError((entries,))
            found = next((one for one in entries if one.name == part), None)
            if found is None:
                return None
            entry, above = found, above / part
        if not entry.is_file:
            raise _no_plain_file(path)
        return _usable(SourceFile(path, blobs(self.git, [entry.id])[entry.id]))

    def stored(self, commit: Commit) -> bytes | None:
        if not self._has(commit):
            # After a squash it is on no branch, and forges give it out all the same.
            self._fetch(commit)
        return self._stored(commit)

    def _stored(self, commit: Commit) -> bytes | None:
        kind, data = (self.git.object(commit) if FULL_NAME.fullmatch(commit) else None) or ("", b"")
        return data if kind == "commit" else None

    def digest(self, ref: str, path: str) -> str | None:
        entry = self.trees.at(self.trees.root(self._named(ref)), PurePosixPath(path))
        return None if entry is None else entry.id

    def contains_commit(self, commit: str, branch: str) -> bool | None:
        """The branch is the remote's, as far as it was fetched, or else the local one. None: git cannot tell."""
        name = commit.strip().lower()
        tip = branch_tip(self.git, branch, self.remote) if FULL_NAME.fullmatch(name) else None
        if tip is None:
            return None
        match self.relation(Commit(name), tip):
            case Relation.SAME | Relation.ANCESTOR:
                return True
            case Relation.UNKNOWN:
                return None
            case Relation.DESCENDANT | Relation.UNRELATED:
                return False

    def line(self, commit: str, known: Iterable[Commit], most: int) -> Iterator[Commit]:
        if self.head is None:
            return
        tip, without = self._named(commit), [one for one in known if self._has(one)]
        if most == 1 and not without:
            yield tip
            return
        listed = self.ancestry.since(tip, without, most)
        if listed is None:
            excluded = (f"^{one}" for one in without)
            listing = self.git.read("rev-list", "--first-parent", f"--max-count={most}", tip, *excluded).text
            listed = tuple(map(Commit, listing.split()))
        yield from listed
        if 0 < len(listed) < most and listed[-1] in (self.git.shallow or ()):
            raise ReconcilerError(
                f"This clone does not reach back beyond {listed[-1][:12]}, so earlier commits are not known.",
                "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )

    def _has(self, commit: Commit) -> bool:
        return bool(FULL_NAME.fullmatch(commit)) and self.git.commit(commit) is not None

    def _fetch(self, commit: Commit) -> None:
        """Another apply's commit may be newer than this clone; where it cannot be had, it stays unknown."""
        if self.remote is None or not FULL_NAME.fullmatch(commit):
            return
        quietly = ("--no-tags", "--no-write-fetch-head", "--refmap=", "--no-prune", "--no-recurse-submodules")
        try:
            self.git.reach("fetch", "--quiet", *quietly, "--no-auto-maintenance", "--", self.remote, commit)
        except GitTimeoutError:
            return

    def _revision(self, commit: Commit | None) -> Revision:
        if commit is None:
            return Revision(self.identity)
        if commit not in self._revisions:
            stored = self.git.contents(commit)
            author, subject = author_and_subject(stored)
            if b"\nencoding " in stored:
                form = "--format=%an <%ae>%x00%s"
                said = self.git.read("log", "-1", "--no-patch", form, commit, "--").out.decode("utf-8", "replace")
                author, _, subject = said.removesuffix("\n").partition("\0")
            self._revisions[commit] = Revision(self.identity, commit, author, subject)
        return self._revisions[commit]

    def _named(self, ref: str) -> Commit:
        # What we found out before is asked for by its full name, and is not to be mistaken for a branch.
        if not FULL_NAME.fullmatch(ref):
            # HEAD is looked up without a process, so it may move.
            return self._names[ref] if ref in self._names and ref != "HEAD" else self.meant(ref)
        name = self.git.commit(ref)
        if name is None:
            raise ReconcilerError(f"This repository has no commit `{ref}`.", "Correct the name, or fetch it first.")
        return Commit(name)

    def _commit(self, ref: str) -> Checkout:
        commit = self._named(ref)
        files, problems = self._tree(commit).manifests(self.folder)
        dirty = self._differing(commit) if commit == self.head else ()
        return Checkout(self._revision(commit), files, problems, dirty, self._was_never_in(commit))

    def _work_tree(self) -> Checkout:
        files, problems = self._on_disk()
        head = self.head
        dirty = self._differing(head)
        absent = (
            not files and not os.path.lexists(self.top / self.folder) and (head is None or self._was_never_in(head))
        )
        # What no commit holds has no commit to be known by; its history is still that of HEAD.
        return Checkout(self._revision(None if dirty else head), files, problems, dirty, absent)

    def _was_never_in(self, commit: Commit) -> bool:
        """Whether neither a commit nor any before it has the folder."""
        if self._tree(commit).folder(self.folder) is not None:
            return False
        if (changed := self._changed_before(commit)) is not None:
            return not changed
        return not self.git.read("rev-list", "--max-count=1", commit, "--", str(self.folder)).text

    def _changed_before(self, commit: Commit) -> bool | None:
        """
        Whether anything was in the folder on the line that ends in a commit, by what was read of a line that goes on to
        the first commit; None where that was not read.
        """
        for line, paths, changes in self._along:
            followed = self.ancestry.lines.get(line[0]) if commit in line and self.folder in paths else None
            if followed is not None and tuple(step.commit for step in followed) == line:
                older = frozenset(line[line.index(commit) :])
                files = (file for one in changes if one.commit in older for file in one.changes)
                return any(PurePosixPath(file.path).is_relative_to(self.folder) for file in files)
        return None

    def _tree(self, commit: Commit) -> "_TreeReader":
        return _TreeReader(self.trees, self.trees.root(commit))

    def _on_disk(self) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
        if self.folder not in self._disk:
            folder = self.top / self.folder
            self._disk[self.folder] = files_below([folder] if os.path.lexists(folder) else [], self.top)
        files, problems = self._disk[self.folder]
        drafts = {file.path: file for file in self.drafts}
        kept = (file for file in files if file.path not in drafts)
        return tuple(sorted((*kept, *self.drafts), key=lambda file: file.path)) if drafts else files, problems

    def _differing(self, head: Commit | None) -> tuple[str, ...]:
        """
        The manifest files that are not on disk as HEAD has them, byte by byte. Git's own word on that rests on times
        and sizes, on what it is told to assume, and on filters. As files are read once, they are compared once.
        """
        if self.drafts:
            return self._compared(head)
        if (self.folder, head) not in self._dirty:
            self._dirty[self.folder, head] = self._compared(head)
        return self._dirty[self.folder, head]

    def _compared(self, head: Commit | None) -> tuple[str, ...]:
        files = self._on_disk()[0]
        kept = {} if head is None else self._tree(head).found(self.folder)[0]
        on_disk = {file.path: file.data for file in files}
        return tuple(
            path
            for path in sorted(kept.keys() | on_disk.keys())
            if path not in kept or path not in on_disk or _blob_name(on_disk[path], kept[path].id) != kept[path].id
        )


def _person(line: str) -> str:
    """`Ada <ada@acme.example>`, without the time behind it."""
    return plain(line.rpartition(">")[0] + ">") if ">" in line else plain(line)


def _blob_name(data: bytes, like: str) -> str:
    """The name that git would give to a file."""
    kind = hashlib.sha256 if len(like) == 64 else partial(hashlib.sha1, usedforsecurity=False)
    return kind(b"blob %d\0" % len(data) + data).hexdigest()


def _usable(file: SourceFile) -> SourceFile:
    if amiss := content_problem(file.path, file.data):
        raise ManifestError((amiss,))
    return file


def _no_plain_file(path: str) -> ReconcilerError:
    return ReconcilerError(
        f"{path} is a link or a folder; expected a file. The target of a link is not part of the commit.",
        "Put the file itself there.",
    )


@dataclass(frozen=True, slots=True)
class _TreeReader:
    """Files of one commit; follows links as long as they stay inside the commit."""

    trees: Trees
    root: Entry

    def manifests(self, folder: PurePosixPath) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
        found, problems = self.found(folder)
        texts = blobs(self.trees.git, (entry.id for entry in found.values()))
        files: list[SourceFile] = []
        for path in sorted(found):
            data = texts[found[path].id]
            if amiss := content_problem(path, data):
                problems.append(amiss)
            else:
                files.append(SourceFile(path, data))
        return tuple(files), tuple(problems)

    def found(self, folder: PurePosixPath) -> tuple[dict[str, Entry], list[Problem]]:
        """The manifest files below a folder, not yet read, and what looks like one and is not to be read."""
        place = self.folder(folder)
        if place is None or isinstance(place, Problem):
            return {}, [] if place is None else [place]
        files: dict[str, Entry] = {}
        problems: list[Problem] = []
        waiting = [(folder, place)]
        seen = 0
        while waiting:
            known = self.trees.read(entry.id for _, entry in waiting)
            below: list[tuple[PurePosixPath, Entry]] = []
            for above, tree in waiting:
                entries = known[tree.id]
                seen += len(entries)
                if seen > MOST_ENTRIES:
                    raise ReconcilerError(f"{folder} holds more than {MOST_ENTRIES} files.", "Name a smaller folder.")
                if amiss := odd_name(entries, above):
                    problems.append(amiss)
                    continue
                names = frozenset(entry.name for entry in entries)
                if looks_like_repository(names):
                    problems.append(nested(str(above)))
                for entry in entries:
                    path = above / entry.name
                    match self._sorted(path, entry, names):
                        case Problem() as problem:
                            problems.append(problem)
                        case None:
                            pass
                        case found if found.is_folder:
                            below.append((path, found))
                        case found:
                            files[str(path)] = found
            waiting = below
        return files, problems

    def folder(self, folder: PurePosixPath) -> Entry | Problem | None:
        """The folder in this commit; None where there is none, a Problem where there is something else."""
        place = self.root
        for number, part in enumerate(folder.parts, 1):
            name = PurePosixPath(*folder.parts[:number])
            entries = self.trees.entries(place, name.parent)
            if isinstance(entries, Problem):
                return entries
            if number > 1 and looks_like_repository(entry.name for entry in entries):
                return nested(str(name.parent))
            found = next((entry for entry in entries if entry.name == part), None)
            if found is None:
                return None
            if not (found.is_folder or found.is_link or found.is_file):
                return nested(str(name))
            if not found.is_folder:
                return link_to_folder(str(name))
            place = found
        return place

    def _sorted(self, path: PurePosixPath, entry: Entry, beside: Set[str]) -> Entry | Problem | None:
        """A folder to look into, the file behind an entry, a Problem, or None for what is not ours to read."""
        if not (entry.is_folder or entry.is_link or entry.is_file):
            return nested(str(path))
        if path.name.startswith("."):
            return None
        if entry.is_folder:
            return too_deep(str(path)) if len(path.parts) > DEEPEST else entry
        if amiss := name_problem(str(path), beside):
            return amiss
        named = path.name.endswith(SUFFIXES)
        if not named and not entry.is_link:
            return None
        found = self._followed(path, entry)
        if found is not None and found.is_folder:
            return link_to_folder(str(path))
        if named and (found is None or not found.is_file):
            return leads_out(str(path))
        return found if named else None

    def _followed(self, path: PurePosixPath, entry: Entry) -> Entry | None:
        for _ in range(MOST_SYMLINK_HOPS):
            if not entry.is_link:
                return entry
            target = blobs(self.trees.git, [entry.id])[entry.id][:MOST_LINK].decode("utf-8", "replace")
            inside = os.path.normpath(path.parent / target)
            if target.startswith("/") or inside.startswith(".."):
                return None
            path = PurePosixPath(inside)
            found = self.trees.at(self.root, path)
            if found is None:
                return None
            entry = found
        return None


def author_and_subject(stored: bytes) -> tuple[str, str]:
    """What git says of a commit in UTF-8 as `%an <%ae>` and `%s`, from how it is stored: without a process for each."""
    header, _, message = stored.partition(b"\0")[0].partition(b"\n\n")
    # Of several, git takes the last.
    authors = [line for line in header.split(b"\n") if line.startswith(b"author ")]
    author = re.match(rb"author ([^<]*)<([^>]*)>", authors[-1]) if authors else None
    named = b"%b <%b>" % (author[1].rstrip(), author[2]) if author else b" <>"
    lines = [line.rstrip() for line in message.split(b"\n")]
    begin = next((number for number, line in enumerate(lines) if line), len(lines))
    end = next((number for number, line in enumerate(lines) if number > begin and not line), len(lines))
    return named.decode("utf-8", "replace"), b" ".join(lines[begin:end]).decode("utf-8", "replace")


def open_source(
    folder: Path, identity: str | None = None, remote: str = "origin", *, like: GitSource | None = None
) -> GitSource:
    """
    The git repository around a folder of manifests, which need not exist yet. `identity` replaces the name that is made
    from the remote's URL. What a source `like` it, of the same repository, has read is not read again. Raises
    ReconcilerError where there is no repository, and ManifestError where the folder is a link, or a repository within
    the repository.
    """
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100  # a link to a folder is part of its name here
    top = top_above(absolute)
    if top is None:
        raise ReconcilerError(
            f"{absolute} is not in a git repository.",
            "Run this inside a git repository, or name a folder in one with --manifests.",
        )
    inside = PurePosixPath(absolute.relative_to(top).as_posix())
    if amiss := on_the_way(top, inside):
        raise ManifestError(amiss)
    git = like.git if like is not None and like.top == top else open_git(top)
    url = git.url(remote)
    named = RepositoryId(identity or _identity(git, url, inside))
    if like is not None and like.git is git:
        return replace(like, folder=inside, identity=named, remote=remote if url else None)
    return GitSource(git, Trees(git), Ancestry(git), inside, named, remote if url else None)


def _identity(git: Git, url: str, folder: PurePosixPath) -> str:
    """`github.com/acme/models#manifests`; without a remote, the first commit stands for the repository."""
    if url:
        if _ALIAS.fullmatch(url):
            url = git.read("ls-remote", "--get-url", "--", url).text
        return f"{normal_url(url)}#{folder}"
    roots = git.read("rev-list", "--max-parents=0", "HEAD", may_fail=True).text.split()
    if not roots:
        # Nothing can be applied from here, so it owns nothing under this name.
        return f"git:{'0' * 40}#{folder}"
    return f"git:{roots[-1][:16]}#{folder}"


# `gh:acme/models`, which the user's `url.<base>.insteadOf` may stand for.
_ALIAS = re.compile(r"[A-Za-z0-9_-]+:(?!//).+")

_SCP = re.compile(r"\[?(?:[^@/\[]+@)?([^:/\[\]]+)(?::[0-9]+\])?:(?!//)(.+)")

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
    url = url.strip()
    # Git takes `[git@host:2222]:path`, too; and people write `ssh.github.com:443/acme/models`, where only a port fits.
    if scp := _SCP.fullmatch(url):
        host, path = scp[1], scp[2]
    else:
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path)
    host = host.lower().removesuffix(".").removeprefix("www.")
    if scp and host in _SAME_HOST:
        path = path.removeprefix("443/")
    steps = "/".join(part for part in path.split("/") if part)
    name = folded_repository("/".join(part for part in (_SAME_HOST.get(host, host), steps) if part))
    return name.removesuffix(".git")
