"""
Approvals by signed commits, and who made a change, out of git's own store.

Git is asked in an empty repository of our own that borrows the objects of the one at hand. So nothing that a checkout
or a job may have left behind has a say in who signed what: no setting that names another program to verify with, no
replaced or grafted commit, no alias, no mailmap. Objects alone, which are what their names say, are read where they
are.
"""

import base64
import binascii
import os
import re
import shutil
import string
import subprocess
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.core.gate import Approval
from reconciler.core.moments import moment_of
from reconciler.core.names import Commit
from reconciler.core.policy import lines_of
from reconciler.core.text import plain
from reconciler.errors import ReconcilerError
from reconciler.git.runner import EMPTY_TREES, FULL_NAME, Answer, Git, scrubbed

MOST_COMMITS = 500
"""A change of more commits than this is not looked through."""

_TIMEOUT = 60.0
_NAMESPACE = "git"

_SSH, _PGP = b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"
_BY_GITHUB = re.compile(r"<noreply@github\.com>$")
_ADDRESS = re.compile(r"[^<>]*<([^<>\s@]+@[^<>\s@]+)>|([^<>\s@]+@[^<>\s@]+)")
_BAD_PGP = frozenset({"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "TRUST_NEVER"})
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Change:
    """
    What git tells of a change. `line` is the request's own, newest first; `approvals` were given on it. `hands` are
    the people behind each commit that changes something, `idle` the commits that change nothing, and `signed` says
    whether a hand is known by a key. `people` has, in one text each, names that are one person's. `reviewed` is the
    line that ends in the head that a forge names, if one does, and `valid` are those commits on it that approvals were
    given to, and after which nobody changed anything.
    """

    line: tuple[Commit, ...] = ()
    reviewed: tuple[Commit, ...] = ()
    approvals: tuple[Approval, ...] = ()
    hands: Mapping[Commit, frozenset[str]] = field(default_factory=dict[Commit, frozenset[str]])
    idle: frozenset[Commit] = frozenset()
    people: tuple[str, ...] = ()
    valid: frozenset[Commit] = frozenset()
    signed: bool = False


def read_change(
    git: Git,
    base: Commit | None,
    head: Commit,
    signers: str = "",
    *,
    tip: Commit | None = None,
    merged_as: Commit | None = None,
    earlier: Iterable[Commit] = (),
) -> Change:
    """
    Who approved the change from `base` to `head` by signed commits, and who made it. `signers` is an allowed-signers
    file of the trusted side. Where a forge tells, `tip` is the head that was reviewed, `merged_as` the last commit that
    became of it, and `earlier` are heads that reviews were given to. Where the tip is not in `head`, the forge made the
    commits anew (squash, rebase), and whoever had it do so is not one of those who made the change. Raises
    ReconcilerError where git cannot tell.

    An approval is a commit on the request's own line that names its signer in a trailer `Approved-by` or `Reviewed-by`.
    SSH keys are those of `signers`, and must be valid at the time that the commit claims as well as now; OpenPGP keys
    are those of the machine's keyring that are fully trusted.
    """
    with _store(git, head, signers) as store:
        people: set[str] = {" ".join(sorted(names)) for names in store.keys.values() if len(names) > 1}
        # A forge that moves the branch forward to the tip brings what comes after `head` along with it.
        known = () if base is None else (base,)
        store.walk_together(tuple(dict.fromkeys((head, tip or head))), known)
        line = store.line(base, tip if tip is not None and store.contains(head, tip, known) else head)
        approvals: list[Approval] = []
        for commit, at, named in store.claims(line, known):
            who = store.signer(commit, named, people) if named else None
            if who is not None:
                approvals.append(Approval(who, f"signed commit {commit[:8]}", at, commit))
        hands, idle, signed = store.makers(known, head, tip, merged_as)
        reviewed = line if tip is None else store.first_parents(tip, known)
        given = {*earlier, *(approval.commit for approval in approvals if approval.commit), *reviewed[:1]}
        valid = store.unchanged_since(given.intersection(reviewed), known, idle, reviewed)
    return Change(line, reviewed, tuple(approvals), hands, idle, tuple(sorted(people)), valid, signed)


STORE = "store.git"
_SHA1 = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
_SHA256 = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"


@contextmanager
def _store(git: Git, head: Commit, signers: str = "") -> "Generator[_Store]":
    """A repository of our own with the objects of another one, for as long as it is needed."""
    with TemporaryDirectory(prefix="reconciler-") as folder:
        place = Path(folder)
        shared = git.common
        text = signers if signers.endswith("\n") else f"{signers}\n"
        (place / "signers").write_text(text, encoding="utf-8")
        store = _Store(place, git, tuple(filter(None, map(_line_of, lines_of(text)))))
        (store.folder / "objects/info").mkdir(parents=True)
        (store.folder / "refs").mkdir()
        (store.folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
        (store.folder / "config").write_text(_SHA256 if len(head) == 64 else _SHA1, encoding="utf-8")
        (store.folder / "objects/info/alternates").write_text(f"{shared / 'objects'}\n", encoding="utf-8")
        if (shared / "shallow").is_file():
            shutil.copyfile(shared / "shallow", store.folder / "shallow")
        yield store


@dataclass(frozen=True, slots=True)
class _Store:
    """`lines` are those of the signers file that list a key."""

    place: Path
    reader: Git
    """The repository that the objects are borrowed of."""
    lines: tuple["_Line", ...]
    _walks: dict[tuple[Commit, tuple[Commit, ...]], Mapping[Commit, "_Made"]] = field(
        default_factory=dict[tuple[Commit, tuple[Commit, ...]], Mapping[Commit, "_Made"]]
    )

    @property
    def folder(self) -> Path:
        return self.place / STORE

    def git(self, *arguments: str, may_fail: bool = False) -> Answer:
        settings = {
            "gpg.format": "ssh",
            "gpg.program": "gpg",
            "gpg.openpgp.program": "gpg",
            "gpg.ssh.program": "ssh-keygen",
            # Nothing is known here of whom to trust with such a certificate.
            "gpg.x509.program": "false",
            "gpg.minTrustLevel": "fully",
            "gpg.ssh.allowedSignersFile": str(self.place / "signers"),
            "i18n.logOutputEncoding": "UTF-8",
        }
        git = Git(self.folder, self.place, settings, isolated=True)
        answer = git.read(*arguments, may_fail=True)
        if answer.code != 0 and not may_fail:
            raise _cannot_look(answer.fault)
        return answer

    def stored(self, commit: Commit) -> bytes:
        """A commit as it is stored."""
        kind, data = self.reader.object(commit) or ("", b"")
        if kind != "commit":
            raise _cannot_look(f"there is no commit {commit[:12]}")
        return data

    def tree_of(self, commit: str) -> str:
        about = self.reader.about(f"{commit}^{{tree}}")
        if about is None:
            raise _cannot_look(f"there is no commit {commit[:12]}")
        return about[0]

    def since(self, head: Commit, known: tuple[Commit, ...]) -> Mapping[Commit, "_Made"]:
        """
        The commits in `head` and in none of the known ones. What one walk came by is not walked again. Raises
        ReconcilerError where they are too many.
        """
        if (head, known) not in self._walks:
            walked = (found for (_, same), found in self._walks.items() if same == known and head in found)
            around = next(walked, None)
            inside = set[Commit]() if around is None else _with_ancestors(head, _parents(around))
            self._walks[head, known] = (
                self._walk((head,), known, MOST_COMMITS + 1)
                if around is None
                else {commit: one for commit, one in around.items() if commit in inside}
            )
        found = self._walks[head, known]
        if len(found) > MOST_COMMITS:
            since = f" since {known[0][:12]}" if known else ""
            raise ReconcilerError(
                f"{head[:12]} has more than {MOST_COMMITS} commits{since}: too many to check.",
                "Apply in smaller steps, or compare with a newer base.",
            )
        return found

    def walk_together(self, heads: tuple[Commit, ...], known: tuple[Commit, ...]) -> None:
        """Look at all of what is asked for next in one walk, where that comes to its end."""
        most = MOST_COMMITS * len(heads) + 1
        found = self._walk(heads, known, most)
        if len(found) < most:
            for head in heads:
                inside = _with_ancestors(head, _parents(found)) & found.keys()
                self._walks[head, known] = {commit: one for commit, one in found.items() if commit in inside}

    def _walk(self, heads: tuple[Commit, ...], known: tuple[Commit, ...], most: int) -> Mapping[Commit, "_Made"]:
        for commit in (*heads, *known):
            if not FULL_NAME.fullmatch(commit):
                raise ReconcilerError(f"`{plain(commit, 80)}` is not a full commit ID.")
        excluded = [f"^{commit}" for commit in known]
        said = self.git("log", "-z", f"--max-count={most}", f"--format={_MADE}", "--no-patch", *heads, *excluded, "--")
        parts = said.out.decode(errors="replace").split("\0")
        if len(parts) % _PARTS != 1:
            raise _cannot_look("what it says of them cannot be read")
        made = map(_made, *(parts[number::_PARTS][: len(parts) // _PARTS] for number in range(_PARTS)))
        return {one.commit: one for one in made}

    def line(self, base: Commit | None, head: Commit) -> tuple[Commit, ...]:
        """
        The request's own commits, newest first: from the reviewed head back by first parents to where it left the base.
        Where `head` is the merge that brought a request to the base, the reviewed head is its second parent; a merge of
        several at once (an octopus) has no one line. Otherwise `head` itself was reviewed: a branch that is not merged
        yet, with merges of the base or without, or one that was moved forward, rebased, squashed or pushed.
        """
        known = () if base is None else (base,)
        walked = self.since(head, known)
        made = walked.get(head)
        if made is not None and base is not None and len(made.parents) > 1:
            first, second, *more = made.parents
            if first not in walked:  # the base contains it
                if more:
                    return ()
                head = second
        return self.first_parents(head, known)

    def first_parents(self, head: Commit, known: tuple[Commit, ...]) -> tuple[Commit, ...]:
        made, line = self.since(head, known), list[Commit]()
        following = (head,)
        while following and following[0] in made:
            line.append(following[0])
            following = made[following[0]].parents
        return tuple(line)

    def contains(self, commit: Commit, other: Commit, known: tuple[Commit, ...]) -> bool:
        """Whether `other` contains the commit. Whoever asks walks back from both to the known ones anyway."""
        if commit == other:
            return True
        if commit not in known and other not in known and commit in self.since(commit, known):
            return commit in self.since(other, known)
        return self.git("merge-base", "--is-ancestor", commit, other, may_fail=True).code == 0

    def claims(
        self, line: tuple[Commit, ...], known: tuple[Commit, ...]
    ) -> Iterator[tuple[Commit, str, frozenset[str]]]:
        """Each commit of a line, when it was made, and the addresses that its trailers name as approving."""
        made = self.since(line[0], known) if line else dict[Commit, _Made]()
        for commit in line:
            found = (_ADDRESS.fullmatch(value.strip()) for value in made[commit].trailers)
            names = frozenset((m[1] or m[2]).translate(_ASCII_LOWER) for m in found if m)
            yield commit, made[commit].at, names

    @property
    def keys(self) -> dict[bytes, frozenset[str]]:
        """Whose each key is by the signers file, whatever it is listed for, and whether it is still valid."""
        found: dict[bytes, frozenset[str]] = {}
        for line in self.lines:
            found[line.key] = found.get(line.key, frozenset()) | line.principals
        return found

    def signer(self, commit: Commit, named: frozenset[str], people: set[str]) -> str | None:
        """The one of those who are named whose signature is on the commit, if any."""
        payload, signature = _taken_apart(self.stored(commit))
        if signature.startswith(_SSH):
            return self._ssh_signer(named, payload, signature)
        return self._pgp_signer(commit, named, people) if signature.startswith(_PGP) else None

    def _ssh_signer(self, named: frozenset[str], payload: bytes, signature: bytes) -> str | None:
        key, made = _public_key(signature), _made_at(payload)
        # Line by line: of several with one key, ssh-keygen looks at the first alone, which may not be the valid one.
        for line in self.lines if made is not None else ():
            for person in sorted(line.principals) if line.key == key else ():
                # Whether the key was valid at the time that the commit claims is for whoever makes it to say; so it is
                # asked once more whether it is valid now, if the line says until when.
                if person.translate(_ASCII_LOWER) in named and all(
                    _is_by(line, person, self.place, payload, signature, at)
                    for at in ((made, None) if line.is_dated else (made,))
                ):
                    return person
        return None

    def _pgp_signer(self, commit: Commit, named: frozenset[str], people: set[str]) -> str | None:
        _needed("gpg")
        done = self.git("verify-commit", "--raw", commit, may_fail=True)
        words = _status(done) if done.code == 0 else []
        said = [word[0] for word in words]
        trusted = "TRUST_FULLY" in said or "TRUST_ULTIMATE" in said
        valid = [word for word in words if word[0] == "VALIDSIG"]
        if said.count("GOODSIG") != 1 or len(valid) != 1 or not trusted or not _BAD_PGP.isdisjoint(said):
            return None
        # The trust is that of the key's best name. Whoever holds a key may add names to it, which nobody vouches for.
        addresses = self._pgp_names(valid[0][-1], trusted=True)
        people.add(" ".join(addresses))
        return next((address for address in addresses if address.translate(_ASCII_LOWER) in named), None)

    def _pgp_names(self, fingerprint: str, *, trusted: bool) -> list[str]:
        """The addresses that a key is known by, of those alone that are vouched for if that is asked."""
        listing = ["gpg", "--batch", "--no-tty", "--with-colons", "--fixed-list-mode", "--list-keys", fingerprint]
        keys = _run(listing, self.place).stdout.decode(errors="replace")
        addresses: list[str] = []
        for line in keys.splitlines():
            fields = line.split(":")
            if fields[0] != "uid" or len(fields) < 10 or (trusted and fields[1] not in {"f", "u"}):
                continue
            if found := _ADDRESS.fullmatch(fields[9].strip()):
                addresses.append(found[1] or found[2])
        return addresses

    def makers(
        self, known: tuple[Commit, ...], head: Commit, tip: Commit | None, merged_as: Commit | None
    ) -> tuple[dict[Commit, frozenset[str]], frozenset[Commit], bool]:
        """Who made each commit that changes something, which change nothing, and whether a known key signed any."""
        made = self.since(head, known)
        if tip is not None and not self.contains(tip, head, known):
            reviewed = self.since(tip, known)
            # What the forge makes anew, it gives to the same authors with the same words; if it squashes, it is the one
            # commit at the end. Whoever had it do so is the committer.
            same = {one.words for one in reviewed.values()}
            kept = {name: one for name, one in made.items() if name != merged_as and one.words not in same}
            made = kept | dict(reviewed)
        hands: dict[Commit, frozenset[str]] = {}
        idle = {commit for commit, one in made.items() if self._is_nothing(one, made)}
        keys, signed = self.keys, False
        for commit, one in made.items():
            if commit in idle:
                continue
            signers = self._whose_key(commit, keys)
            signed = signed or bool(signers)
            hands[commit] = frozenset({*one.people, *signers})
        return hands, frozenset(idle), signed

    def _whose_key(self, commit: Commit, keys: Mapping[bytes, frozenset[str]]) -> frozenset[str]:
        """Everybody whom the key that signed a commit is known to be of, valid still or not; nobody where none did."""
        payload, signature = _taken_apart(self.stored(commit))
        if signature.startswith(_SSH) and (names := keys.get(_public_key(signature))):
            _needed("ssh-keygen")
            file = self.place / "signature"
            file.write_bytes(signature)
            command = ["ssh-keygen", "-Y", "check-novalidate", "-n", _NAMESPACE, "-s", str(file)]
            return names if _run(command, self.place, payload).returncode == 0 else frozenset()
        if signature.startswith(_PGP) and shutil.which("gpg"):
            words = _status(self.git("verify-commit", "--raw", commit, may_fail=True))
            found = [word[-1] for word in words if word[0] == "VALIDSIG"]
            return frozenset(name for key in found for name in self._pgp_names(key, trusted=False))
        return frozenset()

    def unchanged_since(
        self, given: Iterable[Commit], known: tuple[Commit, ...], idle: frozenset[Commit], line: tuple[Commit, ...]
    ) -> frozenset[Commit]:
        """Those of some commits of a line after which no commit changes anything."""
        given = set(given)
        walked = self.since(line[0], known) if given else dict[Commit, _Made]()
        parents = _parents(walked)
        busy = parents.keys() - idle
        return frozenset(commit for commit in given if busy <= _with_ancestors(commit, parents))

    def _is_nothing(self, made: "_Made", around: Mapping[Commit, "_Made"]) -> bool:
        """Whether a commit changes nothing of its own; `around` are others, its parents among them as far as known."""
        match made.parents:
            case []:
                return made.tree in EMPTY_TREES
            case [parent]:
                return self.tree_of(parent) == made.tree
            case [ours, theirs]:
                # Of two sides one of which contains the other, the newer is what git merges them to.
                for older, newer in ((ours, theirs), (theirs, ours)):
                    inside = _with_ancestors(newer, _parents(around))
                    if any(older in around[commit].parents for commit in inside if commit in around):
                        return self.tree_of(newer) == made.tree
                # Before git 2.38 it fails: whoever merged is an author then.
                done = self.git("merge-tree", "--write-tree", ours, theirs, may_fail=True)
                return done.code == 0 and done.text.partition("\n")[0] == made.tree
            case _:
                return False


def is_signed_by(stored: bytes, who: str, signers: str) -> bool:
    """
    Whether a commit, as git has it, has a signature by an SSH key that an allowed-signers text lists for somebody, and
    lists for the time that the commit claims. No repository is needed. Raises ReconcilerError without `ssh-keygen`.
    """
    payload, signature = _taken_apart(stored)
    key, made = _public_key(signature), _made_at(payload)
    if not key or made is None:
        return False
    with TemporaryDirectory(prefix="reconciler-") as folder:
        return any(
            _is_by(line, person, Path(folder), payload, signature, made)
            for line in filter(None, map(_line_of, lines_of(signers)))
            for person in (line.principals if line.key == key else ())
            if person.translate(_ASCII_LOWER) == who.translate(_ASCII_LOWER)
        )


def _made_at(payload: bytes) -> datetime | None:
    """When a commit claims to have been made."""
    found = re.search(rb"^committer .* (\d{1,15}) [+-]\d{4}$", payload.partition(b"\n\n")[0], re.MULTILINE)
    return None if found is None else moment_of(int(found[1]) * 1000)


def _is_by(line: "_Line", person: str, place: Path, payload: bytes, signature: bytes, at: datetime | None) -> bool:
    """Whether a signature is by the key of a line that lists it for somebody, at that time or, for None, now."""
    _needed("ssh-keygen")
    file, one = place / "signature", place / "signer"
    file.write_bytes(signature)
    one.write_text(f"{line.text}\n", encoding="utf-8", errors="replace")
    command = ["ssh-keygen", "-Y", "verify", "-n", _NAMESPACE, "-f", str(one), "-I", person, "-s", str(file)]
    if at is not None:
        command.append(f"-Overify-time={at:%Y%m%d%H%M%S}")
    return _run(command, place, payload, TZ="UTC").returncode == 0


def _cannot_look(fault: str) -> ReconcilerError:
    return ReconcilerError(
        f"git cannot list the commits of this change: {fault}.",
        "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
    )


def _parents(made: Mapping[Commit, "_Made"]) -> Mapping[Commit, Sequence[Commit]]:
    return {commit: one.parents for commit, one in made.items()}


def _with_ancestors(commit: Commit, parents: Mapping[Commit, Sequence[Commit]]) -> Set[Commit]:
    """A commit and what it contains, of those whose parents are known."""
    found, waiting = {commit}, [commit]
    while waiting:
        new = [one for one in parents.get(waiting.pop(), ()) if one not in found]
        found.update(new)
        waiting.extend(new)
    return found


_MADE = (
    "%H%n%T%n%P%n%an <%ae>%n%cn <%ce>%n%cI%x00%(trailers:key=Approved-by,key=Reviewed-by,valueonly,unfold)%x00%at %B"
)
"""The format that `_made` reads, in parts that have lines of their own."""
_PARTS = 3


@dataclass(frozen=True, slots=True)
class _Made:
    """
    One commit: its tree, its parents, the people who are named in it, when it was made, what its trailers say of who
    approves, and what stays where a forge makes it anew.
    """

    commit: Commit
    tree: str
    parents: tuple[Commit, ...]
    people: frozenset[str]
    at: str
    trailers: tuple[str, ...]
    words: tuple[str, str]


def _made(header: str, trailers: str, message: str) -> _Made:
    commit, tree, parents, author, committer, at = header.split("\n")
    # GitHub is the committer of whatever is made in the browser.
    people = {author, *([] if _BY_GITHUB.search(committer) else [committer])}
    return _Made(
        Commit(commit),
        tree,
        tuple(map(Commit, parents.split())),
        frozenset(people),
        at,
        tuple(trailers.split("\n")),
        (author, message.strip()),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of an allowed-signers file: whose a key is. Principals that are patterns are nobody."""

    text: str
    principals: frozenset[str]
    key: bytes

    @property
    def is_dated(self) -> bool:
        """Whether it may say from when, or until when, the key counts."""
        return "valid-" in self.text.lower()


def _line_of(text: str) -> _Line | None:
    """A line that lists a key; authorities are not known here, as nothing says whom they may vouch for."""
    words = re.findall(r'(?:[^\s"]|"[^"]*"?)+', text)
    if not words or words[0].startswith("#"):
        return None
    named = words[0].strip('"').split(",")
    principals = frozenset(name for name in named if name and not re.search(r"[*?!\s]", name))
    for number, kind in enumerate(words[1:-1], 1):
        with suppress(binascii.Error, ValueError):
            key = base64.b64decode(words[number + 1], validate=True)
            if key[4:].startswith(kind.encode()) and int.from_bytes(key[:4], "big") == len(kind):
                options = ",".join(words[1:number]).lower()
                return None if "cert-authority" in options else _Line(text.strip(), principals, key)
    return None


def _status(done: Answer) -> list[list[str]]:
    """What gpg said, word by word."""
    lines = done.err.decode(errors="replace").splitlines()
    words = (line.removeprefix("[GNUPG:] ").split() for line in lines if line.startswith("[GNUPG:] "))
    return [word for word in words if word]


def _public_key(signature: bytes) -> bytes:
    """The public key inside an SSH signature; nothing where there is none."""
    matched = re.fullmatch(
        rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n*", signature
    )
    try:
        blob = base64.b64decode(matched[1].replace(b"\n", b""), validate=True) if matched else b""
    except binascii.Error:
        return b""
    length = int.from_bytes(blob[10:14], "big")
    return blob[14 : 14 + length] if blob.startswith(b"SSHSIG") and len(blob) >= 14 + length else b""


def _taken_apart(commit: bytes) -> tuple[bytes, bytes]:
    """
    What of a commit is signed, and the signature: that of the header for the names that this repository's commits have.
    No header of the other kind is signed. As git does it, but for where the header is: before the people, git still
    takes it for a signature, and no longer looks for parents behind it.
    """
    name = b"gpgsig-sha256" if commit.find(b"\n") == len("tree ") + 64 else b"gpgsig"
    header, blank, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    into, behind = kept, not commit.startswith(b"tree ")
    for line in header.split(b"\n"):
        if line.startswith(b" "):
            into.append(line[1:] if into is signature else line)
            continue
        behind = behind or line.startswith(b"gpgsig")
        if behind and line.startswith((b"parent ", b"author ", b"committer ")):
            return commit, b""
        if line.startswith(name + b" "):
            into = signature
            into.append(line.removeprefix(name + b" "))
        else:
            into = [] if line.startswith(b"gpgsig") else kept
            into.append(line)
    return b"\n".join(kept) + blank + message, b"\n".join([*signature, b""])


def _needed(program: str) -> None:
    if shutil.which(program) is None:
        raise ReconcilerError(f"A commit signature needs `{program}`, which is not installed.", f"Install `{program}`.")


def _run(command: list[str], folder: Path, given: bytes = b"", **more: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            check=False,
            cwd=folder,
            env=scrubbed(os.environ) | more,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise ReconcilerError(f"`{command[0]}` cannot be run in {folder}.", "Install it, or check the PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise ReconcilerError(
            f"`{command[0]}` did not finish within {_TIMEOUT:.0f} s while approvals were looked up.", "Run it again."
        ) from error
