"""
The one way in which git is run.

Nothing that a commit can bring along has a say in it. The git directory is given by its absolute path, so that no
folder of the work tree is ever taken for a repository. What reads, reads from git's own store alone and sees no work
tree: no attributes, no filters, no mailmap, no settings of submodules. No hook, no fsmonitor, no replaced or grafted
commit, and of the variables that git itself heeds only those that say how to reach a remote.
"""

import os
import re
import select
import signal
import subprocess
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError
from reconciler.reading.repository import DOT_GIT, git_dir_of

FULL_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""The name of a commit, in full."""

_TREE, _PARENT = re.compile(rb"tree ([0-9a-fA-F]+)\n"), re.compile(rb"parent ([0-9a-fA-F]+)\n")

_LASTING = re.compile(rf"(?:{FULL_NAME.pattern})(?:\^\{{(?:commit|tree)\}})?")
_MOST_KNOWN = 1 << 16

LONGEST_KEPT, MOST_KEPT = 1 << 16, 1 << 24
"""Objects of so many bytes are read once; of all together, so many bytes are kept."""

_LOCAL_TIMEOUT = 120.0

# So many questions of 74 bytes, for a name by SHA-256, fit into the smallest pipe there is, of 4 KiB.
_AT_ONCE = 50

EMPTY_TREES = (
    "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
)
"""The names of the folder that has no files, by SHA-1 and by SHA-256."""

_OF_REPOSITORY = frozenset({"local", "worktree"})
"""The scopes of settings that are a repository's own."""

_NEVER_THERE = f"{os.devnull}/none"

_SETTINGS = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.pager": "cat",
    "diff.external": "",
    "diff.orderFile": os.devnull,
    "diff.relative": "false",
    "log.mailmap": "false",
    "log.showRoot": "true",
    "log.showSignature": "false",
    "gc.auto": "0",
    "i18n.logOutputEncoding": "UTF-8",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "push.recurseSubmodules": "no",
    "push.gpgSign": "false",
}
"""Over all that is configured: git takes the last word, and this is it."""

# Credentials, proxies and the user's own configuration. Whatever else git heeds leads it somewhere else.
_KEPT = re.compile(
    "GIT_(?:ASKPASS|SSH|SSH_COMMAND|SSH_VARIANT|SSL_.*|PROXY_.*|HTTP_.*|ALLOW_PROTOCOL|PROTOCOL_FROM_USER|EXEC_PATH"
    "|CONFIG_GLOBAL|CONFIG_SYSTEM|CONFIG_NOSYSTEM|CONFIG_COUNT|CONFIG_KEY_[0-9]+|CONFIG_VALUE_[0-9]+"
    "|TEST_ASSUME_DIFFERENT_OWNER)"
)
_USERS_OWN = re.compile("GIT_CONFIG_.*")


class GitTimeoutError(ReconcilerError):
    """Git did not finish in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call of git ended, and what it said."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Its output as text, without the last line's end."""
        return self.out.decode("utf-8", "surrogateescape").removesuffix("\n")

    @property
    def fault(self) -> str:
        """What it complained of, and why a push was refused, fit to be shown: without secrets, advice and progress."""
        lines = [*self.err.decode(errors="replace").splitlines()]
        lines += [line for line in self.out.decode(errors="replace").splitlines() if line.startswith("!\t")]
        wanted = (line for line in lines if not line.startswith(("hint:", "To ")))
        return plain(without_credentials(" ".join(wanted)), 600) or f"git ended with exit code {self.code}"


class _Objects:
    """One `git cat-file` that answers about many objects: to start it takes longer than most answers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._read = bytearray()
        self._known: dict[str, tuple[str, str, int]] = {}
        self._texts: dict[str, tuple[str, bytes]] = {}
        self._kept = 0

    def read(self, git: "Git", name: str) -> tuple[str, bytes] | None:
        """The kind and the contents of an object by its full name; None where it is not there."""
        if (kept := self.kept(name)) is None:
            line, data = self.ask(git, "contents", name)[0]
            if (about := _about(line)) is None:
                return None
            kept = about[1], data
            self.keep(name, *kept)
        return kept

    def kept(self, name: str) -> tuple[str, bytes] | None:
        return self._texts.get(name)

    def keep(self, name: str, kind: str, data: bytes) -> None:
        """Remember an object by its full name: another one never has it."""
        if len(data) <= LONGEST_KEPT and self._kept + len(data) <= MOST_KEPT and name not in self._texts:
            self._texts[name] = kind, data
            self._kept += len(data)

    def about(self, git: "Git", name: str) -> tuple[str, str, int] | None:
        """What `_about` says of one; what is asked of an object by its own name has one answer, and is asked once."""
        if (known := self._known.get(name)) is not None:
            return known
        found = _about(self.ask(git, "info", name)[0][0])
        if found is not None and _LASTING.fullmatch(name) and len(self._known) < _MOST_KNOWN:
            self._known[name] = found
        return found

    def ask(self, git: "Git", what: str, *names: str) -> list[tuple[bytes, bytes]]:
        """
        Of each object the line about it, and its contents where `what` is `contents` and not `info`. All are asked for
        before the first answer is read, so no more at once than a pipe holds. Raises ReconcilerError where git gives
        up.
        """
        with self._lock:
            process = self._process or self._started(git)
            try:
                if process.stdin is not None:
                    process.stdin.write("".join(f"{what} {name}\n" for name in names).encode() + b"flush\n")
                    process.stdin.flush()
                return self._answers(process, git, what, len(names))
            except BaseException as error:
                # What is left in the pipe answers no other question.
                self._end()
                if isinstance(error, BrokenPipeError):
                    raise _given_up(git) from error
                raise

    def _started(self, git: "Git") -> "subprocess.Popen[bytes]":
        self._process = _begun(
            # By itself, git hands over each object with a call of its own.
            git.command("cat-file", "--batch-command", "--buffer"),
            git.folder,
            git.environment(seen=git.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _closed, self._process)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            _closed(self._process)
        self._process, self._read = None, bytearray()

    def _answers(
        self, process: "subprocess.Popen[bytes]", git: "Git", what: str, count: int
    ) -> list[tuple[bytes, bytes]]:
        """The next so many. What was read is shortened once, behind the last of them."""
        found: list[tuple[bytes, bytes]] = []
        begin = 0
        for _ in range(count):
            while (end := self._read.find(b"\n", begin)) < 0:
                self._more(process, git)
            line, begin = bytes(self._read[begin:end]), end + 1
            words = line.split(b" ")
            size = 0 if what == "info" or len(words) != 3 or not words[2].isdigit() else int(words[2]) + 1
            while len(self._read) < begin + size:
                self._more(process, git)
            found.append((line, bytes(self._read[begin : begin + size - 1]) if size else b""))
            begin += size
        del self._read[:begin]
        return found

    def _more(self, process: "subprocess.Popen[bytes]", git: "Git") -> None:
        if process.stdout is None or not _readable(process.stdout.fileno(), _LOCAL_TIMEOUT):
            raise _timed_out(_LOCAL_TIMEOUT, git.top)
        piece = os.read(process.stdout.fileno(), 1 << 16)
        if not piece:
            raise _given_up(git)
        self._read += piece


def _about(line: bytes) -> tuple[str, str, int] | None:
    """What git's line about an object says: its full name, its kind and its size; None where there is none."""
    words = line.decode(errors="replace").split(" ")
    return (words[0], words[1], int(words[2])) if len(words) == 3 and words[2].isdigit() else None


def parents_of(commit: str, stored: bytes) -> tuple[str, ...] | None:
    """
    The parents that a commit names where git looks for them: right behind its tree. A line of that kind further down is
    nothing to git, and no forge refuses it. None for what git cannot read. See
    attacks/test_git.py::test_a_commit_has_the_parents_that_git_says.
    """
    tree = _TREE.match(stored)
    if tree is None or len(tree[1]) != len(commit):
        return None
    found: list[str] = []
    at = tree.end()
    while stored.startswith(b"parent ", at):
        line = _PARENT.match(stored, at)
        if line is None or len(line[1]) != len(commit):
            return None
        found.append(line[1].decode().lower())
        at = line.end()
    return tuple(found)


def _closed(process: "subprocess.Popen[bytes]") -> None:
    """End one that only reads: there is nothing that it could leave half-done."""
    process.kill()
    with suppress(BrokenPipeError):
        process.communicate()


def _given_up(git: "Git") -> ReconcilerError:
    return ReconcilerError(f"git cat-file in {git.top} ended.", "Check the repository with `git fsck`.")


@dataclass(frozen=True, slots=True)
class Git:
    """
    One repository: its git directory and the top of its work tree, both absolute. `settings` go over the usual ones;
    an `isolated` one knows nothing of the user's configuration. The environment is that of its first call: to scrub it
    takes half as long as most calls.
    """

    folder: Path
    top: Path
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    isolated: bool = False
    _objects: _Objects = field(default_factory=_Objects, compare=False, repr=False)
    _kept: dict[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    _settings: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]], compare=False, repr=False)
    _empty: list[str] = field(default_factory=list[str], compare=False, repr=False)

    def about(self, name: str) -> tuple[str, str, int] | None:
        """The full name, the kind and the size in bytes of an object; None where there is none."""
        return self._objects.about(self, name)

    def commit(self, expression: str) -> str | None:
        """The full name of the commit that an expression of one line leads to, if there is one."""
        about = self.about(f"{expression}^{{commit}}") if expression.isprintable() else None
        return about[0] if about else None

    def object(self, name: str) -> tuple[str, bytes] | None:
        """The kind and the contents of an object by its full name; None where it is not there."""
        return self._objects.read(self, name)

    def contents(self, name: str) -> bytes:
        """All of an object that is there, by its full name."""
        return (self.object(name) or ("", b""))[1]

    def parents(self, commit: str) -> tuple[str, ...] | None:
        """
        The parents that a commit itself names, whatever of them a shallow clone has; None where this is no commit that
        git can read.
        """
        kind, data = self.object(commit) or ("", b"")
        return parents_of(commit, data) if kind == "commit" else None

    @property
    def shallow(self) -> frozenset[str] | None:
        """The commits whose parents a shallow clone lacks; None where the clone has the whole history."""
        try:
            return frozenset((self.common / "shallow").read_text(encoding="ascii", errors="replace").split())
        except FileNotFoundError:
            return None

    def many(
        self, names: Sequence[str], kind: str, most: float, *, may_lack: bool = False
    ) -> Iterator[tuple[str, bytes | None]]:
        """
        The contents of objects of one kind by their full names; None for one that has more bytes than `most`. One that
        is not there is None, too, if that `may` be; otherwise, ReconcilerError is raised.
        """
        for begin in range(0, len(names), _AT_ONCE):
            some = names[begin : begin + _AT_ONCE]
            read = {name: kept for name in some if (kept := self._objects.kept(name)) is not None}
            asked = [name for name in some if name not in read]
            abouts = [_about(line) for line, _ in self._objects.ask(self, "info", *asked)] if asked else []
            new = {about[0]: about[1:] for about in abouts if about is not None}
            there = {*(name for name, kept in read.items() if kept[0] == kind), *(n for n in new if new[n][0] == kind)}
            if not (may_lack or there.issuperset(some)):
                lacking = next(name for name in some if name not in there)
                raise ReconcilerError(f"git has no {kind} {lacking[:12]} here.", "Fetch the whole repository.")
            small = [name for name, (its, size) in new.items() if its == kind and size <= most]
            for name, (_, data) in zip(
                small, self._objects.ask(self, "contents", *small) if small else (), strict=True
            ):
                read[name] = kind, data
                self._objects.keep(name, kind, data)
            for name in some:
                its, data = read.get(name, ("", b""))
                yield name, data if its == kind and len(data) <= most else None

    def read(self, *arguments: str, stdin: bytes = b"", may_fail: bool = False) -> Answer:
        """Ask git's own store. Raises ReconcilerError where git says no, unless it may."""
        environment = self.environment(seen=self.folder)
        answer = _run(self.command(*arguments), self.folder, environment, stdin, _LOCAL_TIMEOUT)
        if answer.code != 0 and not may_fail:
            raise ReconcilerError(
                f"git {arguments[0]} in {self.top} failed: {answer.fault}.",
                "Check the repository with `git fsck`.",
            )
        return answer

    def beginning(self, *arguments: str, most: int) -> bytes:
        """The first bytes of what git's own store says, without waiting for the rest."""
        process = _begun(
            self.command(*arguments),
            self.folder,
            self.environment(seen=self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            said = b"" if process.stdout is None else process.stdout.read(most)
            end(process)
        return said

    def reach(self, *arguments: str, stdin: bytes = b"", timeout: float = 30.0) -> Answer:
        """
        Talk to a remote, by the user's own credentials and from the top of the work tree, where relative addresses
        begin. It never waits for anybody: there is no terminal to ask a password on. Raises GitTimeoutError.
        """
        return _run(self.command(*arguments), self.top, self.environment(seen=self.top), stdin, timeout)

    def empty_tree(self) -> str:
        """The name of the folder that has no files, which is there from now on. Raises ReconcilerError."""
        if not self._empty:
            objects = self.common / "objects"
            there = next((name for name in EMPTY_TREES if (objects / name[:2] / name[2:]).is_file()), None)
            self._empty.append(there or self.read("mktree").text)
        return self._empty[0]

    def url(self, remote: str) -> str:
        """The address of a remote as it is configured, or nothing where there is no such remote."""
        if self._settings:
            return next(iter(self._settings.get(f"remote.{remote}.url", ())), "")
        return self.read("config", "--get-all", "-z", f"remote.{remote}.url", may_fail=True).text.partition("\0")[0]

    def push_url(self, remote: str) -> str | None:
        """
        The address that is pushed to, where the settings alone say so: no other address stands for it, and none is
        taken back.
        """
        urls = self._settings.get(f"remote.{remote}.url", ())
        pushed = self._settings.get(f"remote.{remote}.pushurl", ())
        replaced = any(name.startswith("url.") for name in self._settings)
        return None if replaced or not urls or "" in {*urls, *pushed} else (pushed or urls)[0]

    @property
    def common(self) -> Path:
        """The git directory that all work trees of the repository share; git's own file leads there from others."""
        named = self.folder / "commondir"
        return Path(os.path.realpath(self.folder / named.read_text().rstrip())) if named.is_file() else self.folder

    def keep_settings(self, settings: Iterable[str]) -> None:
        """Remember settings, each a name and, on a line of its own, its value: what several calls would ask for."""
        found: dict[str, tuple[str, ...]] = {}
        for setting in settings:
            name, _, value = setting.partition("\n")
            found[name] = (*found.get(name, ()), value)
        self._settings.clear()
        self._settings.update(found)

    def command(self, *arguments: str) -> list[str]:
        pairs = [part for name, value in {**_SETTINGS, **self.settings}.items() for part in ("-c", f"{name}={value}")]
        return ["git", f"--git-dir={self.folder}", "--no-pager", "--no-replace-objects", *pairs, *arguments]

    def environment(self, seen: Path | None = None) -> dict[str, str]:
        """The environment of such a call; `seen` is what git takes for its work tree."""
        if not self._kept:
            kept = scrubbed(os.environ)
            if self.isolated:
                kept = {name: value for name, value in kept.items() if not _USERS_OWN.fullmatch(name)}
                kept |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
            self._kept.update(kept)
        return {**self._kept, "GIT_WORK_TREE": str(seen or self.folder)}


def git_at(top: Path) -> Git:
    """The repository at `top`, which was opened before."""
    return Git(git_dir_of(top), top)


def open_git(top: Path) -> Git:
    """
    The repository at `top`. Raises ReconcilerError where git refuses to work there, and where its configuration comes
    out of the work tree, so that any commit could change it.
    """
    git = git_at(top)
    # Here alone git looks for a repository itself, at this place: of one whose owner it does not trust it lists no
    # settings. See contract/test_git_source.py::test_a_repository_of_another_user_is_an_error_in_the_words_of_git.
    answer = _looked_for(git, "config", "--list", "--show-scope", "--show-origin", "-z")
    listed = answer.text.split("\0")
    place = top
    trusted = answer.code == 0 and not _OF_REPOSITORY.isdisjoint(listed[::3])
    if not trusted:
        refusal = _looked_for(git, "rev-parse", "--git-dir")
        if refusal.code != 0:
            raise ReconcilerError(
                f"git refuses to work in {top}: {refusal.fault}",
                "If the folder belongs to another user, allow it with `git config --global --add safe.directory "
                "<folder>`.",
            )
    if not trusted or Path(os.path.realpath(git.folder)) != git.folder:
        # It has no settings of its own; or a link leads there, and what is included by `gitdir` is included by the name
        # that git is given from now on, not by the one that it finds.
        listed = git.read("config", "--list", "--show-scope", "--show-origin", "-z", may_fail=True).text.split("\0")
        place = git.folder
    _refuse_included(git, {place / o.removeprefix("file:") for o in listed[1::3] if o.startswith("file:")})
    git.keep_settings(listed[2::3])
    return git


def _looked_for(git: Git, *arguments: str) -> Answer:
    """What git says where it has to find the repository itself, and nowhere else than at its top."""
    environment = git.environment()
    del environment["GIT_WORK_TREE"]
    environment["GIT_CEILING_DIRECTORIES"] = os.path.realpath(git.top.parent)
    return _run(["git", *git.command()[2:], *arguments], git.top, environment, b"", _LOCAL_TIMEOUT)


def _refuse_included(git: Git, files: Iterable[Path]) -> None:
    inside, kept = Path(os.path.realpath(git.top)), Path(os.path.realpath(git.top / DOT_GIT))
    for path in (Path(os.path.realpath(file)) for file in files):
        if path.is_relative_to(inside) and not path.is_relative_to(kept):
            raise ReconcilerError(
                f"git's configuration of {git.top} comes from {path}, inside its work tree: any "
                "commit could change it.",
                "Remove the `include.path` that names it (`git config --show-origin --get-all include.path`).",
            )


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what leads git to other places; programs are found where paths are absolute, alone."""
    kept = {name: value for name, value in environment.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    if "PATH" in kept:
        kept["PATH"] = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if Path(part).is_absolute())
    # Jobs often have no identity, and commits of our own are records that say who it is.
    people = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "reconciler"), ("EMAIL", "reconciler@localhost"))
    }
    return {
        **kept,
        **people,
        "GIT_GRAFT_FILE": _NEVER_THERE,
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GCM_INTERACTIVE": "never",
        "LANGUAGE": "C",
        "LC_ALL": "C",
    }


def _run(command: list[str], place: Path, environment: Mapping[str, str], stdin: bytes, timeout: float) -> Answer:
    """With files in place of pipes, which a connection shared in the background would keep open."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        process = _begun(command, place, environment, stdin=given, stdout=out, stderr=err)
        try:
            code = _wait(process, timeout)
        except subprocess.TimeoutExpired:
            end(process)
            # Not from the error, which carries the command and what secrets are in it.
            raise _timed_out(timeout, place) from None
        except BaseException:
            end(process)
            raise
        out.seek(0)
        err.seek(0)
        return Answer(code, out.read(), err.read())


def _begun(
    command: list[str], place: Path, environment: Mapping[str, str], *, stdin: Any, stdout: Any, stderr: Any
) -> "subprocess.Popen[bytes]":
    """Start git in a session of its own, which Ctrl-C does not reach."""
    try:
        return subprocess.Popen(
            command, cwd=place, env=environment, start_new_session=True, stdin=stdin, stdout=stdout, stderr=stderr
        )
    except (OSError, ValueError) as error:  # a ValueError is a NUL in an argument
        raise ReconcilerError(
            f"git could not be started in {place}: {error}.", "Install it, or check the PATH."
        ) from error


def _timed_out(timeout: float, place: Path) -> GitTimeoutError:
    return GitTimeoutError(f"git did not finish within {timeout:.0f} s in {place}.", "Run it again.")


def _wait(process: "subprocess.Popen[bytes]", timeout: float) -> int:
    """
    Its code, as soon as it ends. Python's own waiting with a time-out sleeps in between, half as long again as most
    calls of git take; asking the kernel needs Linux.
    """
    try:
        watched = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return process.wait(timeout)
    try:
        _readable(watched, timeout)
    finally:
        os.close(watched)
    return process.wait(0)


def _readable(descriptor: int, timeout: float) -> bool:
    """Whether something is there to be read within so many seconds. Unlike `select`, this takes any descriptor."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def end(process: "subprocess.Popen[bytes]") -> None:
    """End git and the connection that it opened. Asked first, it removes its lock files; killed, it leaves them."""
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses where only the dead are left
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
