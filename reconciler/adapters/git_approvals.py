"""
Approvals by signed commits, and who made a change, out of git's own store.

Git is asked in an empty repository of our own that borrows the objects of the one at hand. So nothing that a checkout
or a job may have left behind has a say in who signed what: no setting that names another program to verify with, no
replaced or grafted commit, no alias, no mailmap.
"""

import os
import re
import shutil
import string
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.adapters.git_runner import FULL_NAME, Answer, Git, git_at, scrubbed
from reconciler.core.gate import Approval
from reconciler.core.names import Commit, plain
from reconciler.errors import ReconcilerError

MOST_COMMITS = 500
"""A change of more commits than this is not looked through."""

_TIMEOUT = 60.0
_NAMESPACE = "git"
_EMPTY_TREES = frozenset(
    {
        "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
    }
)

_SSH, _PGP = b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"
_GOOD_SSH = re.compile(r'Good "git" signature for (\S+) with \S+ key SHA256:\S+')
_ADDRESS = re.compile(r"[^<>]*<([^<>\s@]+@[^<>\s@]+)>|([^<>\s@]+@[^<>\s@]+)")
_BAD_PGP = frozenset({"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "TRUST_NEVER"})
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def signed_approvals(
    top: Path, base: Commit | None, head: Commit, signers: str, same: Callable[[Commit], bool]
) -> tuple[Approval, ...]:
    """
    Who approved by a commit after `base`, up to `head`: it names them in a trailer `Approved-by` or `Reviewed-by`, and
    is signed by them. SSH keys are those of `signers`, an allowed-signers file of the trusted side, and must be valid
    at the time that the commit claims as well as now; OpenPGP keys are those of the machine's keyring that are fully
    trusted. `same` says whether what a commit declares is what is to be applied; an approval of anything else is none.

    A key stands for one person, the first that `signers` names for it. Raises ReconcilerError where git cannot tell.
    """
    found: dict[str, Approval] = {}
    with _store(top, head, signers) as store:
        for commit, named in store.claims(base, head):
            who = store.signer(commit, named) if named else None
            if who is not None and who not in found and same(commit):
                found[who] = Approval(who, f"signed commit {commit[:8]}")
    return tuple(found[who] for who in sorted(found))


def authors(top: Path, base: Commit | None, head: Commit) -> tuple[str, ...]:
    """
    Who made the commits after `base`, up to `head`, that change something: authors, committers and co-authors, as
    `Name <email>`. A merge changes something where it is not what git makes of its parents by itself. Raises
    ReconcilerError where git cannot tell.
    """
    with _store(top, head) as store:
        return tuple(sorted({person for people in store.makers(base, head) for person in people}))


@contextmanager
def _store(top: Path, head: Commit, signers: str = "") -> "Generator[_Store]":
    """A repository of our own with the objects of the one at `top`, for as long as it is needed."""
    with TemporaryDirectory(prefix="reconciler-") as folder:
        place = Path(folder)
        there = git_at(top)
        objects, shallow = _located(there, "objects"), _located(there, "shallow")
        (place / "signers").write_text(signers if signers.endswith("\n") else f"{signers}\n", encoding="utf-8")
        store = _Store(place)
        kind = "sha256" if len(head) == 64 else "sha1"
        store.folder.mkdir()
        store.git("init", "--quiet", "--template=", f"--object-format={kind}")
        (store.folder / "objects/info").mkdir(exist_ok=True)
        (store.folder / "objects/info/alternates").write_text(f"{objects}\n", encoding="utf-8")
        if shallow.is_file():
            shutil.copyfile(shallow, store.folder / "shallow")
        yield store


def _located(git: Git, part: str) -> Path:
    return Path(git.read("rev-parse", "--path-format=absolute", "--git-path", part).text)


@dataclass(frozen=True, slots=True)
class _Store:
    place: Path

    @property
    def folder(self) -> Path:
        return self.place / "store.git"

    @property
    def signers(self) -> Path:
        return self.place / "signers"

    def git(self, *arguments: str, may_fail: bool = False) -> Answer:
        settings = {
            "gpg.format": "ssh",
            "gpg.program": "gpg",
            "gpg.openpgp.program": "gpg",
            "gpg.ssh.program": "ssh-keygen",
            # Nothing is known here of whom to trust with such a certificate.
            "gpg.x509.program": "false",
            "gpg.minTrustLevel": "fully",
            "gpg.ssh.allowedSignersFile": str(self.signers),
            "i18n.logOutputEncoding": "UTF-8",
        }
        answer = Git(self.folder, self.place, settings, isolated=True).read(*arguments, may_fail=True)
        if answer.code != 0 and not may_fail:
            raise ReconcilerError(
                f"git cannot look through the commits of this change: {answer.fault}.",
                "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )
        return answer

    def walk(self, base: Commit | None, head: Commit, form: str) -> list[list[str]]:
        """The commits, newest first, each as the lines of a format."""
        for commit in (head, *([] if base is None else [base])):
            if not FULL_NAME.fullmatch(commit):
                raise ReconcilerError(f"`{plain(commit, 80)}` is not the full name of a commit.")
        without = [] if base is None else [f"^{base}"]
        most = f"--max-count={MOST_COMMITS + 1}"
        said = self.git("log", "-z", most, f"--format={form}", "--no-patch", head, *without, "--").out
        commits = [commit for commit in said.decode(errors="replace").split("\0") if commit]
        if len(commits) > MOST_COMMITS:
            since = f" since {base[:12]}" if base is not None else ""
            raise ReconcilerError(
                f"{head[:12]} has more than {MOST_COMMITS} commits{since}: too many to look through.",
                "Apply in smaller steps, or compare with a newer base.",
            )
        return [commit.split("\n") for commit in commits]

    def claims(self, base: Commit | None, head: Commit) -> Iterator[tuple[Commit, frozenset[str]]]:
        """Each commit with the addresses that its trailers name as approving."""
        trailers = "%(trailers:key=Approved-by,key=Reviewed-by,valueonly,unfold)"
        for commit, *values in self.walk(base, head, f"%H%n{trailers}"):
            found = (_ADDRESS.fullmatch(value.strip()) for value in values)
            yield Commit(commit), frozenset((m[1] or m[2]).translate(_ASCII_LOWER) for m in found if m)

    def signer(self, commit: Commit, named: frozenset[str]) -> str | None:
        """The one of those who are named whose signature is on the commit, if any."""
        payload, signature = _taken_apart(self.git("cat-file", "commit", commit).out)
        if signature.startswith(_SSH):
            return self._ssh_signer(commit, named, payload, signature)
        return self._pgp_signer(commit, named) if signature.startswith(_PGP) else None

    def _ssh_signer(self, commit: Commit, named: frozenset[str], payload: bytes, signature: bytes) -> str | None:
        _needed("ssh-keygen")
        said = self._verified(commit)
        who = {found[1] for line in said if (found := _GOOD_SSH.fullmatch(line))}
        if len(who) != 1 or (person := who.pop()).translate(_ASCII_LOWER) not in named:
            return None
        # Git asks whether the key was valid at the time that the commit claims, which is for whoever makes it to say.
        file = self.place / "signature"
        file.write_bytes(signature)
        command = ["ssh-keygen", "-Y", "verify", "-n", _NAMESPACE, "-f", str(self.signers), "-I", person]
        done = _run([*command, "-s", str(file)], self.place, payload)
        return person if done.returncode == 0 else None

    def _pgp_signer(self, commit: Commit, named: frozenset[str]) -> str | None:
        _needed("gpg")
        words = [
            line.removeprefix("[GNUPG:] ").split() for line in self._verified(commit) if line.startswith("[GNUPG:] ")
        ]
        said = [word[0] for word in words if word]
        trusted = "TRUST_FULLY" in said or "TRUST_ULTIMATE" in said
        valid = [word for word in words if word[:1] == ["VALIDSIG"]]
        if said.count("GOODSIG") != 1 or len(valid) != 1 or not trusted or not _BAD_PGP.isdisjoint(said):
            return None
        # The trust is that of the key's best name. Whoever holds a key may add names to it, which nobody vouches for.
        listing = ["gpg", "--batch", "--no-tty", "--with-colons", "--fixed-list-mode", "--list-keys", valid[0][-1]]
        keys = _run(listing, self.place).stdout.decode(errors="replace")
        for line in keys.splitlines():
            fields = line.split(":")
            if fields[0] != "uid" or len(fields) < 10 or fields[1] not in {"f", "u"}:
                continue
            found = _ADDRESS.fullmatch(fields[9].strip())
            if found and (address := found[1] or found[2]).translate(_ASCII_LOWER) in named:
                return address
        return None

    def _verified(self, commit: Commit) -> list[str]:
        """What the program that verifies said of a signature, or nothing where git does not take it for good."""
        done = self.git("verify-commit", "--raw", commit, may_fail=True)
        return done.err.decode(errors="replace").splitlines() if done.code == 0 else []

    def makers(self, base: Commit | None, head: Commit) -> Iterator[set[str]]:
        """Of each commit that changes something, those who made it."""
        form = "%H%n%T%n%P%n%an <%ae>%n%cn <%ce>%n%(trailers:key=Co-authored-by,valueonly,unfold)"
        for _, tree, parents, *people in self.walk(base, head, form):
            if not self._is_nothing(tree, parents.split()):
                yield {person.strip() for person in people if person.strip()}

    def _is_nothing(self, tree: str, parents: list[str]) -> bool:
        match parents:
            case []:
                return tree in _EMPTY_TREES
            case [parent]:
                return self.git("rev-parse", "--verify", f"{parent}^{{tree}}").text == tree
            case [ours, theirs]:
                # Before git 2.38 it fails: whoever merged is an author then.
                done = self.git("merge-tree", "--write-tree", ours, theirs, may_fail=True)
                return done.code == 0 and done.text.partition("\n")[0] == tree
            case _:
                return False


def _taken_apart(commit: bytes) -> tuple[bytes, bytes]:
    """What of a commit is signed, and the signature."""
    header, _, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    into = kept
    for line in header.split(b"\n"):
        if not line.startswith(b" "):
            name, _, value = line.partition(b" ")
            into = signature if name in {b"gpgsig", b"gpgsig-sha256"} else kept
            into.append(value if into is signature else line)
        else:
            into.append(line[1:] if into is signature else line)
    return b"\n".join(kept) + b"\n\n" + message, b"\n".join(signature) + b"\n"


def _needed(program: str) -> None:
    if shutil.which(program) is None:
        raise ReconcilerError(
            f"A commit is signed in a way that `{program}` verifies, and there is none.", f"Install `{program}`."
        )


def _run(command: list[str], folder: Path, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            check=False,
            cwd=folder,
            env=scrubbed(os.environ),
            timeout=_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise ReconcilerError(f"`{command[0]}` cannot be run in {folder}.", "Is it installed?") from error
    except subprocess.TimeoutExpired as error:
        raise ReconcilerError(
            f"`{command[0]}` did not finish within {_TIMEOUT:.0f} s while approvals were looked up.", "Run it again."
        ) from error
