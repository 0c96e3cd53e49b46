"""
A ref of ours on a git remote, through git's own commands: read, fetched, and changed by compare-and-swap alone, so that
of several who push at the same time each one knows whether it was their push that arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError
from reconciler.git.runner import FULL_NAME, Answer, Git, GitTimeoutError

R = TypeVar("R", bound="RemoteRef")

_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--refmap=",
    "--no-prune",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    "--no-write-commit-graph",
    "--",
)

_PUSH = (
    "push",
    "--porcelain",
    "--no-verify",
    "--no-signed",
    "--no-follow-tags",
    "--recurse-submodules=no",
)


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """
    `ref` on `name`, a remote or URL as `git`'s repository knows it. A value is the commit that the ref points to, empty
    where there is no such ref. `url` is where everything is read from and pushed to, once `found`.
    """

    git: Git
    name: str
    ref: str
    timeout: float
    url: str = ""

    @property
    def place(self) -> str:
        return f"{self.ref} on {self.shown}"

    @property
    def shown(self) -> str:
        return plain(without_credentials(self.name))

    def found(self: R) -> R:
        """
        With the URL that the remote pushes to. Reading from the same place matters where manifests come from a mirror
        of it; and a URL has none of the configuration of a remote that makes git write refs of its own here.
        """
        if (url := self.git.push_url(self.name)) is not None:
            return replace(self, url=url)
        answer = self.run("remote", "get-url", "--push", "--", self.name)
        if answer.code == 2:  # there is no remote of that name: it is a URL or a path
            return replace(self, url=self.name)
        return replace(self, url=self.said(answer, "remote").decode().strip())

    def value(self) -> str:
        answer = self.said(self.run("ls-remote", "--", self.url, self.ref), "ls-remote")
        for line in answer.decode(errors="replace").splitlines():
            value, _, ref = line.partition("\t")
            if ref == self.ref:  # the pattern also finds refs that merely end in it
                return value
        return ""

    def object(self, value: str, most: int) -> tuple[str, bytes] | None:
        """
        The kind and the contents of what the ref points to, without these where it has more bytes than that; None where
        it is not here yet.
        """
        try:
            about = self.git.about(value) if FULL_NAME.fullmatch(value) else None
            return None if about is None else (about[1], b"") if about[2] > most else self.git.object(value)
        except ReconcilerError as error:
            raise self.fault(error.message) from error

    def commit(self, message: bytes, parents: Sequence[str] = (), tree: str = "") -> str:
        """Make a commit, without files unless a tree is given, here and not yet there."""
        tree = tree or self.git.empty_tree()
        named = [part for parent in parents for part in ("-p", parent)]
        answer = self.run("commit-tree", "--no-gpg-sign", *named, "-F", "-", tree, stdin=message)
        return self.said(answer, "commit-tree").decode().strip()

    def swap(self, expected: str, value: str) -> str:
        """
        Let the ref point to `value` if it still points to `expected`, and say where it points now. Not what git says
        about a push that failed decides, for it may have arrived, and the reasons have no codes: the ref decides.
        """
        lease = f"--force-with-lease={self.ref}:{expected}"
        answer = self.run(*_PUSH, lease, "--", self.url, f"{value}:{self.ref}")
        if answer.code == 0:
            return value
        try:
            found = self.value()
        except ReconcilerError:
            found = expected
        if found != expected:
            return found
        refused = any(line.startswith(b"!\t") for line in answer.out.splitlines())
        raise self.fault(f"git push to {self.shown} failed: {answer.fault}", refused=refused)

    def fetch(self) -> None:
        """Bring what the ref points to, and all before it, into the clone; no ref of the clone is touched."""
        # Not by the object's name, which not every server allows. Not with --depth, which makes the user's clone
        # shallow (git 2.39).
        # See contract/test_git_lock.py::test_the_clone_of_the_user_is_left_as_it_was.
        answer = self.run(*_FETCH, self.url, self.ref)
        if answer.code != 0 and self.value():  # a ref that is gone by now is no failure
            self.said(answer, "fetch")

    def said(self, answer: Answer, verb: str) -> bytes:
        """What git said. Raises `fault` where it failed."""
        if answer.code != 0:
            raise self.fault(f"git {verb} with {self.shown} failed: {answer.fault}")
        return answer.out

    def run(self, *arguments: str, stdin: bytes = b"") -> Answer:
        try:
            return self.git.reach(*arguments, stdin=stdin, timeout=self.timeout)
        except GitTimeoutError:
            message = f"git {arguments[0]} with {self.shown} did not finish within {self.timeout:.0f} s."
            raise self.fault(message) from None
        except ReconcilerError as error:
            raise self.fault(error.message) from error

    def fault(self, message: str, *, refused: bool = False) -> ReconcilerError:  # noqa: ARG002  # others tell them apart
        """The error to raise; `refused`: the remote was reached, and refused although nobody else was faster."""
        return ReconcilerError(message)
