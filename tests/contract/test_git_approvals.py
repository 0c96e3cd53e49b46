"""Who is believed to have approved by a commit, with real git and real keys, and every way in that was thought of."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.adapters.git_approvals import MOST_COMMITS, authors, signed_approvals
from reconciler.core.gate import Approval
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from tests.story.repository import WITHOUT_CONFIGURATION

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")

ADA, GRACE, MALLORY = "ada@acme.example", "grace@acme.example", "mallory@acme.example"
APPROVED = f"Approve\n\nApproved-by: Grace Hopper <{GRACE}>"


def run(where: Path, *command: str, given: bytes | None = None, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command,
        cwd=where,
        env={**inherited, **WITHOUT_CONFIGURATION, **environment},
        input=given,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


@dataclass
class Desk:
    """A repository in which anybody commits, and a key for each."""

    folder: Path

    @property
    def top(self) -> Path:
        return self.folder / "models"

    def git(self, *arguments: str, by: str = ADA, given: bytes | None = None, **environment: str) -> str:
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in self._named(by)}
        return run(self.top, "git", *arguments, given=given, **{**who, **environment})

    def _named(self, email: str) -> list[tuple[str, str]]:
        return [("NAME", email.partition("@")[0].title()), ("EMAIL", email)]

    def key(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            run(self.folder, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
        return path

    def signer(self, who: str, key: str = "", options: str = "") -> str:
        """A line of an allowed-signers file."""
        public = self.key(key or who).with_suffix(self.key(key or who).suffix + ".pub").read_text().split()
        return f"{who} {options}{' ' if options else ''}{public[0]} {public[1]}\n"

    def commit(
        self,
        message: str,
        *,
        by: str = GRACE,
        signed: str | None = None,
        text: str | None = None,
        settings: tuple[str, ...] = (),
        **environment: str,
    ) -> Commit:
        """A commit, signed with somebody's key; without a text it changes nothing."""
        if text is not None:
            (self.top / "churn.yaml").write_text(text)
            self.git("add", "--all")
        sign: tuple[str, ...] = ("--no-gpg-sign",)
        if signed is not None:
            settings = (*settings, "-c", "gpg.format=ssh", "-c", f"user.signingKey={self.key(signed)}")
            sign = ("--gpg-sign",)
        self.git(
            *settings,
            "commit",
            "--quiet",
            "--allow-empty",
            *sign,
            "--message",
            message,
            by=by,
            given=None,
            **environment,
        )
        return Commit(self.git("rev-parse", "HEAD"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    run(tmp_path, "git", "init", "--quiet", "--initial-branch=main", str(desk.top))
    return desk


@pytest.fixture
def base(desk: Desk) -> Commit:
    desk.commit("Begin", by=ADA, text="model: churn\n")
    return desk.commit("Promote v5", by=ADA, text="model: churn\nstages:\n  Production: 5\n")


def approvers(desk: Desk, base: Commit | None, signers: str, *, same: bool = True) -> list[str]:
    head = Commit(desk.git("rev-parse", "HEAD"))
    return [approval.who for approval in signed_approvals(desk.top, base, head, signers, lambda _: same)]


@needs_ssh
def test_a_signed_trailer_is_an_approval(desk: Desk, base: Commit) -> None:
    made = desk.commit(APPROVED, signed=GRACE)

    found = signed_approvals(desk.top, base, made, desk.signer(GRACE), lambda commit: commit == made)

    assert found == (Approval(GRACE, f"signed commit {made[:8]}"),)


ACCEPTED = {
    "the address alone": f"Yes\n\nApproved-by: {GRACE}",
    "another trailer": f"Yes\n\nReviewed-by: Grace <{GRACE}>",
    "another case": f"Yes\n\napproved-BY: Grace <{GRACE.upper()}>",
    "among others": f"Yes\n\nFixes: #1\nApproved-by: Ada <{ADA}>\nApproved-by: Grace <{GRACE}>",
    "folded": f"Yes\n\nApproved-by: Grace\n <{GRACE}>",
}
DOCUMENTED = re.compile(r"`git (commit --allow-empty --gpg-sign [^`]*)`")


@needs_ssh
@pytest.mark.parametrize("message", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_approval_may_be_written_in_several_ways(desk: Desk, base: Commit, message: str) -> None:
    desk.commit(message, signed=GRACE)

    assert approvers(desk, base, desk.signer(ADA) + desk.signer(GRACE)) == [GRACE]


@needs_ssh
def test_the_command_that_the_documentation_names_is_an_approval(desk: Desk, base: Commit) -> None:
    (command,) = DOCUMENTED.findall(Path("docs/gates.md").read_text())

    desk.git("-c", "gpg.format=ssh", "-c", f"user.signingkey={desk.key(GRACE)}", *shlex.split(command), by=GRACE)

    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


@needs_ssh
def test_everybody_is_named_once_in_the_order_of_the_alphabet(desk: Desk, base: Commit) -> None:
    for who in (GRACE, ADA, GRACE):
        desk.commit(f"Yes\n\nApproved-by: {who}", by=who, signed=who)

    assert approvers(desk, base, desk.signer(GRACE) + desk.signer(ADA)) == [ADA, GRACE]


@needs_ssh
def test_an_approval_on_a_branch_that_was_merged_counts(desk: Desk, base: Commit) -> None:
    desk.git("checkout", "--quiet", "-b", "side")
    desk.commit(APPROVED, signed=GRACE)
    desk.git("checkout", "--quiet", "main")
    desk.git("merge", "--quiet", "--no-ff", "--no-gpg-sign", "side", by=MALLORY)

    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


NOT_NAMED = {
    "no trailer": "Approve",
    "somebody else": f"Yes\n\nApproved-by: Ada <{ADA}>",
    "in the text and not at its end": f"Approved-by: Grace <{GRACE}>\n\nThat is what she said.",
    "a quotation": f"Yes\n\n> Approved-by: Grace <{GRACE}>",
    "a look-alike": "Yes\n\nApproved-by: Grace <grаce@acme.example>",  # a Cyrillic letter
    "letters of full width": "Yes\n\nApproved-by: Grace <ｇrace@acme.example>",
    "a look-alike for a letter in another case": f"Yes\n\nApproved-by: {GRACE.replace('a', 'ª', 1)}",
    "two addresses in one": f"Yes\n\nApproved-by: Grace <{GRACE}> <{ADA}>",
    "an address and more": f"Yes\n\nApproved-by: {GRACE}, {ADA}",
    "a name alone": "Yes\n\nApproved-by: Grace Hopper",
    "another trailer": f"Yes\n\nSigned-off-by: Grace <{GRACE}>",
    "a longer trailer": f"Yes\n\nNot-Approved-by: Grace <{GRACE}>",
    "nothing": "Yes\n\nApproved-by:",
}


@needs_ssh
@pytest.mark.parametrize("message", NOT_NAMED.values(), ids=NOT_NAMED.keys())
def test_who_signs_and_is_not_named_approves_nothing(desk: Desk, base: Commit, message: str) -> None:
    desk.commit(message, signed=GRACE)

    assert approvers(desk, base, desk.signer(GRACE) + desk.signer(ADA)) == []


def test_a_trailer_without_a_signature_is_nobodys(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED)

    assert approvers(desk, base, "") == []


@needs_ssh
def test_a_trailer_that_names_somebody_else_is_nobodys(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, by=GRACE, signed=MALLORY)

    assert approvers(desk, base, desk.signer(GRACE) + desk.signer(MALLORY)) == []


@needs_ssh
def test_a_key_that_is_not_listed_signs_for_nobody(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, signed=MALLORY)

    assert approvers(desk, base, desk.signer(GRACE)) == []
    assert approvers(desk, base, "") == []
    assert approvers(desk, base, "# nobody yet") == []


REFUSED_KEYS = {
    "for files alone": 'namespaces="file"',
    "no longer": 'valid-before="20200101"',
    "not yet": 'valid-after="20990101"',
    "an authority's": "cert-authority",
}


@needs_ssh
@pytest.mark.parametrize("options", REFUSED_KEYS.values(), ids=REFUSED_KEYS.keys())
def test_a_key_that_is_listed_for_something_else_signs_for_nobody(desk: Desk, base: Commit, options: str) -> None:
    desk.commit(APPROVED, signed=GRACE)

    assert approvers(desk, base, desk.signer(GRACE, options=options)) == []
    assert approvers(desk, base, desk.signer(GRACE, options='namespaces="git",valid-after="20200101"')) == [GRACE]


@needs_ssh
@pytest.mark.parametrize(
    ("options", "date"),
    [('valid-before="20200101"', "2019-06-01T00:00:00Z"), ('valid-after="20990101"', "2099-06-01T00:00:00Z")],
    ids=["dated back", "dated ahead"],
)
def test_a_date_that_is_made_up_does_not_revive_a_key(desk: Desk, base: Commit, options: str, date: str) -> None:
    desk.commit(APPROVED, signed=GRACE, GIT_COMMITTER_DATE=date)

    assert approvers(desk, base, desk.signer(GRACE, options=options)) == []


@needs_ssh
def test_a_key_is_one_person_however_many_it_is_listed_for(desk: Desk, base: Commit) -> None:
    several = desk.signer(f"{GRACE},{ADA}", key=GRACE) + desk.signer(MALLORY, key=GRACE)
    for who in (GRACE, ADA, MALLORY):
        desk.commit(f"Yes\n\nApproved-by: {who}", signed=GRACE)

    assert approvers(desk, base, several) == [GRACE]


@needs_ssh
def test_a_pattern_is_nobody(desk: Desk, base: Commit) -> None:
    desk.commit(f"Yes\n\nApproved-by: {GRACE}\nApproved-by: *@acme.example", signed=GRACE)

    assert GRACE not in approvers(desk, base, desk.signer("*@acme.example", key=GRACE))


@needs_ssh
def test_an_approval_of_something_else_is_none(desk: Desk, base: Commit) -> None:
    older = desk.commit(APPROVED, signed=GRACE)
    newer = desk.commit("Promote v6", by=ADA, text="model: churn\nstages:\n  Production: 6\n")
    asked: list[Commit] = []

    def same(commit: Commit) -> bool:
        asked.append(commit)
        return desk.git("rev-parse", f"{commit}^{{tree}}") == desk.git("rev-parse", f"{newer}^{{tree}}")

    assert signed_approvals(desk.top, base, newer, desk.signer(GRACE), same) == ()
    assert asked == [older]


@needs_ssh
def test_an_approval_before_the_change_is_none(desk: Desk, base: Commit) -> None:
    older = desk.commit(APPROVED, signed=GRACE)
    desk.commit("Promote v6", by=ADA, text="model: churn\n")

    assert approvers(desk, older, desk.signer(GRACE)) == []


SETTINGS = {
    "gpg.ssh.program": "true",
    "gpg.program": "true",
    "gpg.openpgp.program": "true",
    "gpg.x509.program": "true",
    "gpg.format": "openpgp",
    "gpg.ssh.allowedSignersFile": "/dev/null",
    "gpg.minTrustLevel": "never",
    "trailer.separators": "#",
    "log.showSignature": "true",
    "i18n.logOutputEncoding": "UTF-16",
    "alias.log": "!true",
    "core.commentChar": "A",
}


@needs_ssh
def test_what_the_repository_sets_changes_nothing(desk: Desk, base: Commit) -> None:
    true = desk.folder / "says-yes"
    true.write_text(f"#!/bin/sh\necho 'Good \"git\" signature for {GRACE} with ED25519 key SHA256:AAAA'\n")
    true.chmod(0o755)
    right, wrong = desk.commit(APPROVED, signed=GRACE), desk.commit(APPROVED, signed=MALLORY)
    for name, value in SETTINGS.items():
        desk.git("config", name, str(true) if value == "true" else value)
    (desk.top / ".gitattributes").write_text("* filter=evil\n")

    assert approvers(desk, right, desk.signer(GRACE)) == []
    assert [a.who for a in signed_approvals(desk.top, base, wrong, desk.signer(GRACE), lambda _: True)] == [GRACE]


@needs_ssh
def test_what_the_user_and_the_job_set_changes_nothing(
    desk: Desk, base: Commit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.gitconfig").write_text('[gpg "ssh"]\n\tprogram = true\n')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "gpg.ssh.program")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'gpg.ssh.program'='true'")
    desk.commit(APPROVED, signed=MALLORY)

    assert approvers(desk, base, desk.signer(GRACE)) == []


@needs_ssh
def test_a_commit_that_was_replaced_is_not_seen(desk: Desk, base: Commit) -> None:
    genuine = desk.commit(APPROVED, signed=GRACE)
    desk.git("reset", "--quiet", "--hard", base)
    other = desk.commit("Promote v6", by=MALLORY)
    desk.git("replace", other, genuine)

    assert signed_approvals(desk.top, base, other, desk.signer(GRACE), lambda _: True) == ()


def raw(desk: Desk, commit: str) -> bytes:
    return subprocess.run(["git", "cat-file", "commit", commit], cwd=desk.top, capture_output=True, check=True).stdout


def made_of(desk: Desk, data: bytes) -> Commit:
    """A commit of exactly these bytes, which the branch points to."""
    commit = desk.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=data)
    desk.git("update-ref", "refs/heads/main", commit)
    return Commit(commit)


@needs_ssh
def test_a_signature_in_the_message_is_a_text(desk: Desk, base: Commit) -> None:
    genuine = raw(desk, desk.commit(APPROVED, signed=GRACE))
    header, _, message = genuine.partition(b"\n\n")
    signature = header[header.index(b"gpgsig ") :]
    unsigned = header[: header.index(b"\ngpgsig ")]

    for forged in (
        unsigned + b"\n\n" + signature + b"\n\n" + message,
        unsigned + b"\n\nYes\n\n" + signature + b"\n" + message.partition(b"\n\n")[2],
        unsigned + b"\nx-" + signature + b"\n\n" + message,
    ):
        made_of(desk, forged)
        assert approvers(desk, base, desk.signer(GRACE)) == []


@needs_ssh
def test_a_signature_is_for_one_commit_and_no_other(desk: Desk, base: Commit) -> None:
    genuine = raw(desk, desk.commit(APPROVED, signed=GRACE))
    tree = desk.git("rev-parse", f"{base}~1^{{tree}}").encode()

    for forged in (
        b"tree " + tree + genuine[45:],
        genuine.replace(b"Approve\n", b"Approve!\n"),
        genuine.replace(b"author Grace", b"author Hopper"),
        genuine + b"And more\n",
        genuine.replace(b"\ngpgsig ", b"\nparent " + base.encode() + b"\ngpgsig ", 1),
    ):
        assert forged != genuine
        made_of(desk, forged)
        assert approvers(desk, base, desk.signer(GRACE)) == []
    made_of(desk, genuine)
    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


@needs_ssh
def test_two_signatures_are_not_better_than_one(desk: Desk, base: Commit) -> None:
    genuine = raw(desk, desk.commit(APPROVED, signed=GRACE))
    header, _, message = genuine.partition(b"\n\n")
    signature = header[header.index(b"gpgsig ") :]

    made_of(desk, header + b"\n" + signature + b"\n\n" + message.replace(b"Approve\n", b"Approve v6\n"))

    assert approvers(desk, base, desk.signer(GRACE)) == []


@needs_ssh
def test_a_shallow_clone_tells_what_it_has(desk: Desk, base: Commit, tmp_path: Path) -> None:
    made = desk.commit(APPROVED, signed=GRACE)
    deep, flat = tmp_path / "deep", tmp_path / "flat"
    for clone, depth in ((deep, 2), (flat, 1)):
        run(tmp_path, "git", "clone", "--quiet", f"--depth={depth}", f"file://{desk.top}", str(clone))

    found = signed_approvals(deep, base, made, desk.signer(GRACE), lambda _: True)

    assert [approval.who for approval in found] == [GRACE]
    with pytest.raises(ReconcilerError, match="fetch-depth: 0"):
        signed_approvals(flat, base, made, desk.signer(GRACE), lambda _: True)


@needs_ssh
def test_a_work_tree_of_its_own_and_borrowed_objects_are_looked_through(
    desk: Desk, base: Commit, tmp_path: Path
) -> None:
    made = desk.commit(APPROVED, signed=GRACE)
    desk.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    run(tmp_path, "git", "clone", "--quiet", "--shared", str(desk.top), str(tmp_path / "shared"))

    for top in (tmp_path / "tree", tmp_path / "shared"):
        assert len(signed_approvals(top, base, made, desk.signer(GRACE), lambda _: True)) == 1


@needs_ssh
def test_nothing_is_left_in_the_repository(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, signed=GRACE)
    before = sorted(path for path in (desk.top / ".git").rglob("*"))

    approvers(desk, base, desk.signer(GRACE))

    assert sorted(path for path in (desk.top / ".git").rglob("*")) == before


@pytest.mark.parametrize("name", ["HEAD", "--all", "main", "", "f" * 41])
def test_what_is_no_commit_in_full_is_refused(desk: Desk, base: Commit, name: str) -> None:
    with pytest.raises(ReconcilerError, match="not the full name of a commit"):
        signed_approvals(desk.top, base, Commit(name), "", lambda _: True)
    with pytest.raises(ReconcilerError, match="not the full name of a commit"):
        authors(desk.top, Commit(name), base)


def test_too_many_commits_are_not_looked_through(desk: Desk, base: Commit) -> None:
    entry = "commit refs/heads/main\ncommitter Ada <ada@acme.example> 0 +0000\ndata 2\nx\n"
    first = f"{entry}from {base}\n"
    desk.git("fast-import", "--quiet", given=(first + entry * MOST_COMMITS).encode())

    with pytest.raises(ReconcilerError, match=f"more than {MOST_COMMITS} commits"):
        approvers(desk, base, "")
    with pytest.raises(ReconcilerError, match=f"more than {MOST_COMMITS} commits"):
        authors(desk.top, base, Commit(desk.git("rev-parse", "HEAD")))
    assert authors(desk.top, Commit(desk.git("rev-parse", "HEAD~1")), Commit(desk.git("rev-parse", "HEAD"))) == ()


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A keyring of OpenPGP keys, as the machine's."""
    # The agent's socket needs a short path.
    folder = Path(f"/tmp/gnupg-{os.getpid()}-{id(tmp_path):x}")
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(folder))
    try:
        yield folder
    finally:
        if shutil.which("gpgconf"):
            subprocess.run(["gpgconf", "--kill", "all"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def pgp(desk: Desk, who: str) -> None:
    command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key"]
    run(desk.folder, *command, f"Somebody <{who}>", "ed25519", "sign", "never")


def pgp_commit(desk: Desk, message: str, key: str) -> Commit:
    settings = ("-c", "gpg.format=openpgp", "-c", f"user.signingKey={key}")
    desk.git(*settings, "commit", "--quiet", "--allow-empty", "--gpg-sign", "--message", message, by=GRACE)
    return Commit(desk.git("rev-parse", "HEAD"))


@needs_gpg
def test_an_openpgp_signature_by_a_key_that_is_trusted_counts(desk: Desk, base: Commit, keyring: Path) -> None:
    pgp(desk, GRACE)
    pgp_commit(desk, APPROVED, GRACE)

    assert approvers(desk, base, "") == [GRACE]


@needs_gpg
def test_an_openpgp_key_signs_for_its_owner_alone(desk: Desk, base: Commit, keyring: Path) -> None:
    pgp(desk, MALLORY)
    pgp_commit(desk, APPROVED, MALLORY)

    assert approvers(desk, base, "") == []


@needs_gpg
def test_an_openpgp_key_that_is_there_and_not_trusted_counts_for_nobody(
    desk: Desk, base: Commit, keyring: Path
) -> None:
    pgp(desk, GRACE)
    pgp_commit(desk, APPROVED, GRACE)
    fingerprint = next(
        line.split(":")[9]
        for line in run(desk.folder, "gpg", "--with-colons", "--list-keys", GRACE).splitlines()
        if line.startswith("fpr")
    )

    for level in ("2", "3", "4"):  # unknown, never, marginal
        run(desk.folder, "gpg", "--batch", "--import-ownertrust", given=f"{fingerprint}:{level}:\n".encode())
        assert approvers(desk, base, "") == []


@needs_gpg
def test_a_name_that_a_key_gave_itself_is_not_believed(desk: Desk, base: Commit, keyring: Path, tmp_path: Path) -> None:
    pgp(desk, ADA)
    mallory = tmp_path / "m"
    mallory.mkdir(mode=0o700)
    batch = ("gpg", "--batch", "--quiet", "--passphrase", "", "--yes")
    run(tmp_path, *batch, "--quick-generate-key", f"M <{MALLORY}>", "ed25519", "sign", "never", GNUPGHOME=str(mallory))
    secret = run(tmp_path, *batch, "--armor", "--export-secret-keys", MALLORY, GNUPGHOME=str(mallory)).encode()
    run(tmp_path, *batch, "--import", given=secret)
    run(tmp_path, *batch, "--default-key", ADA, "--quick-sign-key", fingerprint_of(tmp_path, MALLORY))
    run(tmp_path, *batch, "--quick-add-uid", MALLORY, f"Grace <{GRACE}>")
    run(tmp_path, *batch, "--quick-set-primary-uid", MALLORY, f"Grace <{GRACE}>")
    pgp_commit(desk, f"{APPROVED}", MALLORY)
    pgp_commit(desk, f"Yes\n\nApproved-by: {MALLORY}", MALLORY)
    subprocess.run(["gpgconf", "--kill", "all"], check=False, env={**os.environ, "GNUPGHOME": str(mallory)})

    assert approvers(desk, base, "") == [MALLORY]


def fingerprint_of(where: Path, who: str) -> str:
    listing = run(where, "gpg", "--with-colons", "--list-keys", who)
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))


def since(desk: Desk, base: Commit) -> tuple[str, ...]:
    return authors(desk.top, base, Commit(desk.git("rev-parse", "HEAD")))


def test_authors_are_all_who_had_a_hand_in_a_change(desk: Desk, base: Commit) -> None:
    desk.commit("One", by=ADA, text="1", GIT_COMMITTER_NAME="Mallory", GIT_COMMITTER_EMAIL=MALLORY)
    desk.commit(f"Two\n\nco-authored-by: Grace Hopper <{GRACE}>", by=ADA, text="2")

    assert since(desk, base) == (f"Ada <{ADA}>", f"Grace Hopper <{GRACE}>", f"Mallory <{MALLORY}>")


@needs_ssh
def test_who_approves_by_an_empty_commit_is_no_author(desk: Desk, base: Commit) -> None:
    desk.commit("Promote v6", by=ADA, text="6")
    desk.commit(APPROVED, signed=GRACE)

    assert since(desk, base) == (f"Ada <{ADA}>",)
    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


@needs_ssh
def test_who_changes_something_along_with_an_approval_is_an_author(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, signed=GRACE, text="6")

    assert since(desk, base) == (f"Grace <{GRACE}>",)
    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


def side(desk: Desk, base: Commit) -> None:
    """A branch of Ada's that changes one file, and a commit of hers on main that changes another."""
    desk.git("checkout", "--quiet", "-b", "side")
    desk.commit("Promote v6", by=ADA, text="model: churn\nstages:\n  Production: 6\n")
    desk.git("checkout", "--quiet", "main")
    (desk.top / "README.md").write_text("Models")
    desk.commit("Explain", by=ADA, text="model: churn\nstages:\n  Production: 5\n")


def test_who_merges_what_git_merges_by_itself_is_no_author(desk: Desk, base: Commit) -> None:
    side(desk, base)
    desk.git("merge", "--quiet", "--no-ff", "side", by=GRACE)

    assert since(desk, base) == (f"Ada <{ADA}>",)


@pytest.mark.parametrize("strategy", ["ours", "edited"])
def test_who_merges_something_else_is_an_author(desk: Desk, base: Commit, strategy: str) -> None:
    side(desk, base)
    if strategy == "ours":
        desk.git("merge", "--quiet", "--no-ff", "--strategy=ours", "side", by=GRACE)
    else:
        desk.git("merge", "--quiet", "--no-ff", "--no-commit", "side", by=GRACE)
        desk.commit("Merge", by=GRACE, text="model: churn\nstages:\n  Production: 7\n")

    assert f"Grace <{GRACE}>" in since(desk, base)


def test_a_mailmap_makes_nobody_else_the_author(desk: Desk, base: Commit) -> None:
    (desk.top / ".mailmap").write_text(f"Grace <{GRACE}> <{ADA}>\n")
    desk.commit("Promote v6", by=ADA, text="6")

    assert since(desk, base) == (f"Ada <{ADA}>",)


def test_without_a_base_the_whole_history_is_the_change(desk: Desk, base: Commit) -> None:
    assert authors(desk.top, None, base) == (f"Ada <{ADA}>",)
    assert approvers(desk, None, "") == []
