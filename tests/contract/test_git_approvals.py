"""Who is believed to have approved by a commit, with real git and real keys, and every way in that was thought of."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.approval import counted
from reconciler.core.gate import Approval
from reconciler.core.names import Commit
from reconciler.core.policy import listed_for
from reconciler.errors import ReconcilerError
from reconciler.forges.reviewers import GitAndForge
from reconciler.git.approvals import MOST_COMMITS, Change, read_change
from reconciler.git.runner import git_at
from reconciler.git.source import open_source
from reconciler.ports import Request
from reconciler.reading.manifest import parse
from tests.counting import counting
from tests.desk import ADA, APPROVED, GRACE, MALLORY, Desk, run

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    run(tmp_path, "git", "init", "--quiet", "--initial-branch=main", str(desk.top))
    return desk


@pytest.fixture
def base(desk: Desk) -> Commit:
    desk.commit("Begin", by=ADA, text="model: churn\n")
    return desk.commit("Promote v5", by=ADA, text="model: churn\nstages:\n  Production: 5\n")


def change(desk: Desk, base: Commit | None, signers: str = "", **more: object) -> Change:
    return read_change(git_at(desk.top), base, Commit(desk.git("rev-parse", "HEAD")), signers, **more)  # pyright: ignore[reportArgumentType]


def approvers(desk: Desk, base: Commit | None, signers: str) -> list[str]:
    return sorted({approval.who for approval in change(desk, base, signers).approvals})


def hands(desk: Desk, base: Commit | None, signers: str = "", **more: object) -> list[str]:
    return sorted({name for names in change(desk, base, signers, **more).hands.values() for name in names})


@needs_ssh
def test_a_signed_trailer_is_an_approval(desk: Desk, base: Commit) -> None:
    made = desk.commit(APPROVED, signed=GRACE, GIT_COMMITTER_DATE="2026-05-01T10:00:00Z")

    found = change(desk, base, desk.signer(GRACE)).approvals

    assert found == (Approval(GRACE, f"signed commit {made[:8]}", "2026-05-01T10:00:00+00:00", made),)


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
@pytest.mark.parametrize(("options", "times"), [("", 1), ('valid-after="20200101"', 2)])
def test_a_signature_is_verified_once_more_where_its_line_says_when_it_counts(
    desk: Desk, base: Commit, options: str, times: int
) -> None:
    desk.commit(APPROVED, signed=GRACE)
    signers = desk.signer(GRACE, options=options)

    with counting() as calls:
        assert approvers(desk, base, signers) == [GRACE]

    assert calls["reconciler.git.approvals._is_by"] == times


@needs_ssh
@pytest.mark.parametrize("time", [b"", b" " + b"9" * 5000 + b" +0000"], ids=["none", "none that is any"])
def test_a_signature_on_a_commit_that_names_no_time_is_nobodys(desk: Desk, base: Commit, time: bytes) -> None:
    unsigned = raw(desk, desk.commit(APPROVED))
    timeless = re.sub(rb"(?m)^(committer .*>) .*$", rb"\1" + time, unsigned)
    timeless = timeless.replace(
        b"\n\nApprove\n\n", b"\n\nApprove\n\ncommitter Grace <g@b.example> 1767225600 +0000\n\n"
    )
    assert b"1767225600" in timeless
    file = desk.folder / "payload"
    file.write_bytes(timeless)
    run(desk.folder, "ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(desk.key(GRACE)), str(file))
    signature = b"gpgsig " + b"\n ".join(file.with_suffix(".sig").read_bytes().splitlines())
    header, _, message = timeless.partition(b"\n\n")
    made_of(desk, header + b"\n" + signature + b"\n\n" + message)

    assert approvers(desk, base, desk.signer(GRACE)) == []


@needs_ssh
def test_a_key_is_one_person_however_many_it_is_listed_for(desk: Desk, base: Commit) -> None:
    several = desk.signer(f"{GRACE},{ADA}", key=GRACE) + desk.signer(MALLORY, key=GRACE)
    for who in (GRACE, ADA, MALLORY):
        desk.commit(f"Yes\n\nApproved-by: {who}", signed=GRACE)

    found = change(desk, base, several)

    assert len(found.approvals) == 3
    assert counted(found.approvals, (GRACE, ADA, MALLORY), ("@x",), found.people) == (ADA,)


@needs_ssh
def test_a_pattern_is_nobody(desk: Desk, base: Commit) -> None:
    desk.commit(f"Yes\n\nApproved-by: {GRACE}\nApproved-by: *@acme.example", signed=GRACE)

    assert GRACE not in approvers(desk, base, desk.signer("*@acme.example", key=GRACE))


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
    assert [a.who for a in read_change(git_at(desk.top), base, wrong, desk.signer(GRACE)).approvals] == [GRACE]


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

    assert read_change(git_at(desk.top), base, other, desk.signer(GRACE)).approvals == ()


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
def test_a_signature_is_over_the_commit_as_it_is_and_its_names_are_read_as_they_are_meant(
    desk: Desk, base: Commit
) -> None:
    message = f"Godkänn\n\nApproved-by: Grace Höpper <{GRACE}>\n".encode("latin-1")
    old = ("-c", "i18n.commitEncoding=ISO-8859-1", "-c", "gpg.format=ssh", "-c", f"user.signingKey={desk.key(GRACE)}")
    names: dict[str, Any] = {"GIT_AUTHOR_NAME": os.fsdecode("Ågren".encode("latin-1"))}
    commit = ("commit", "--quiet", "--allow-empty", "--gpg-sign", "--file=-")
    desk.git(*old, *commit, by=GRACE, given=message, **names)
    made = Commit(desk.git("rev-parse", "HEAD"))
    (desk.top / "churn.yaml").write_text("model: churn\n")
    desk.git(*old, "commit", "--quiet", "--all", "--message", "x", by=ADA, **names)

    assert b"\nencoding ISO-8859-1\n" in raw(desk, made)
    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]
    assert hands(desk, base) == ["Ada <ada@acme.example>", f"Ågren <{ADA}>"]


@needs_ssh
def test_commits_named_by_sha256_are_signed_like_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.top.mkdir()
    desk.git("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    base = desk.commit("Begin", by=ADA, text="model: churn\n")
    desk.commit("Promote v5", by=ADA, text="model: churn\nstages:\n  Production: 5\n")
    desk.commit(APPROVED, signed=GRACE)
    wrong = desk.commit(APPROVED, signed=MALLORY)

    found = read_change(git_at(desk.top), base, wrong, desk.signer(GRACE))

    assert len(wrong) == 64
    assert [approval.who for approval in found.approvals] == [GRACE]
    assert len(found.idle) == 2


@needs_ssh
@pytest.mark.parametrize("where", ["tree", "parent", "author", "the names by SHA-256", "another one"])
def test_a_signature_is_where_git_writes_it(desk: Desk, base: Commit, where: str) -> None:
    """
    Elsewhere, it is over the same bytes, and git reads another commit: one without parents, where it is before them. So
    it does where another one is there. Under the header for SHA-256, git sees none.
    """
    genuine = raw(desk, desk.commit(APPROVED, signed=GRACE))
    header, _, message = genuine.partition(b"\n\n")
    begin = header.index(b"gpgsig ")
    rest, signature = header[:begin].splitlines(keepends=True), header[begin:] + b"\n"
    if where.startswith("the "):
        rest.append(signature.replace(b"gpgsig ", b"gpgsig-sha256 "))
    elif where == "another one":
        rest = [rest[0], b"gpgsig-sha256 x\n", *rest[1:], signature]
    else:
        at = next(number for number, line in enumerate(rest, 1) if line.startswith(where.encode()))
        rest.insert(at, signature)

    made = made_of(desk, b"".join(rest) + b"\n" + message)

    assert made != desk.git("hash-object", "-t", "commit", "--stdin", given=genuine)
    assert approvers(desk, base, desk.signer(GRACE)) == []
    assert not change(desk, base, desk.signer(GRACE)).signed


@needs_ssh
@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_a_line_of_signers_ends_where_it_does_for_ssh_keygen(desk: Desk, base: Commit, separator: str) -> None:
    """What a comment seems to hold on one line, it does."""
    desk.commit(APPROVED, signed=GRACE)
    listed = desk.signer(GRACE)
    for_records = desk.signer(GRACE, options='namespaces="reconciler-record"')

    assert approvers(desk, base, f"# Left: {separator}{listed}") == []
    assert listed_for("reconciler-record", f"# Left: {separator}{for_records}") == ()
    assert approvers(desk, base, f"# Here:\r\n{listed[:-1]}\r\n") == [GRACE]


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

    found = read_change(git_at(deep), base, made, desk.signer(GRACE)).approvals

    assert [approval.who for approval in found] == [GRACE]
    with pytest.raises(ReconcilerError, match="fetch-depth: 0"):
        read_change(git_at(flat), base, made, desk.signer(GRACE))


@needs_ssh
def test_a_work_tree_of_its_own_and_borrowed_objects_are_looked_through(
    desk: Desk, base: Commit, tmp_path: Path
) -> None:
    made = desk.commit(APPROVED, signed=GRACE)
    desk.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    run(tmp_path, "git", "clone", "--quiet", "--shared", str(desk.top), str(tmp_path / "shared"))

    for top in (tmp_path / "tree", tmp_path / "shared"):
        assert len(read_change(git_at(top), base, made, desk.signer(GRACE)).approvals) == 1


@needs_ssh
def test_nothing_is_left_in_the_repository(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, signed=GRACE)
    before = sorted(path for path in (desk.top / ".git").rglob("*"))

    approvers(desk, base, desk.signer(GRACE))

    assert sorted(path for path in (desk.top / ".git").rglob("*")) == before


@pytest.mark.parametrize("name", ["HEAD", "--all", "main", "", "f" * 41])
def test_what_is_no_commit_in_full_is_refused(desk: Desk, base: Commit, name: str) -> None:
    with pytest.raises(ReconcilerError, match="not a full commit ID"):
        read_change(git_at(desk.top), base, Commit(name))
    with pytest.raises(ReconcilerError, match="not a full commit ID"):
        read_change(git_at(desk.top), Commit(name), base)


def test_twenty_commits_take_as_many_processes_as_two(desk: Desk, base: Commit) -> None:
    processes, signers = list[int](), desk.signer(GRACE)
    for number in range(20):
        desk.commit(f"Change {number}", by=ADA, text=f"model: churn  # {number}\n")
        if number in {1, 19}:
            with counting() as calls:
                assert len(change(desk, base, signers).hands) == number + 1
            processes.append(calls["subprocess.Popen.__init__"])

    assert processes[0] == processes[1]


def test_too_many_commits_are_not_looked_through(desk: Desk, base: Commit) -> None:
    entry = "commit refs/heads/main\ncommitter Ada <ada@acme.example> 0 +0000\ndata 2\nx\n"
    first = f"{entry}from {base}\n"
    desk.git("fast-import", "--quiet", given=(first + entry * MOST_COMMITS).encode())

    with pytest.raises(ReconcilerError, match=f"more than {MOST_COMMITS} commits"):
        approvers(desk, base, "")
    assert hands(desk, Commit(desk.git("rev-parse", "HEAD~1"))) == []


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
    mallory = keyring / "m"
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


def test_who_wrote_and_who_committed_has_a_hand_and_who_is_only_named_has_none(desk: Desk, base: Commit) -> None:
    desk.commit("One", by=ADA, text="1", GIT_COMMITTER_NAME="Mallory", GIT_COMMITTER_EMAIL=MALLORY)
    desk.commit(f"Two\n\nco-authored-by: Grace Hopper <{GRACE}>", by=ADA, text="2")

    assert hands(desk, base) == [f"Ada <{ADA}>", f"Mallory <{MALLORY}>"]


@needs_ssh
def test_who_approves_by_an_empty_commit_is_no_author(desk: Desk, base: Commit) -> None:
    desk.commit("Promote v6", by=ADA, text="6")
    desk.commit(APPROVED, signed=GRACE)

    assert hands(desk, base) == [f"Ada <{ADA}>"]
    assert approvers(desk, base, desk.signer(GRACE)) == [GRACE]


@needs_ssh
def test_who_changes_something_along_with_an_approval_is_an_author(desk: Desk, base: Commit) -> None:
    desk.commit(APPROVED, signed=GRACE, text="6")

    assert hands(desk, base) == [f"Grace <{GRACE}>"]
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

    assert hands(desk, base) == [f"Ada <{ADA}>"]


def forked(desk: Desk, base: Commit, way: str) -> None:
    """A merge of two sides of which the second, or the first, contains the other."""
    desk.git("checkout", "--quiet", "-b", "side")
    desk.commit("Promote v6", by=ADA, text="model: churn\nstages:\n  Production: 6\n")
    tree = desk.git("rev-parse", "side^{tree}") if way.startswith("as it is") else desk.git("rev-parse", "main^{tree}")
    sides = ("main", "side") if way.endswith("forward") else ("side", "main")
    parents = [part for side in sides for part in ("-p", side)]
    merged = desk.git("commit-tree", *parents, "-m", "Merge", tree, by=GRACE)
    desk.git("update-ref", "refs/heads/main", merged)
    desk.git("checkout", "--quiet", "main")


@pytest.mark.parametrize("way", ["as it is, forward", "as it is, backward", "undone, forward", "undone, backward"])
def test_who_merges_what_one_side_contains_is_an_author_if_it_comes_out_otherwise(
    desk: Desk, base: Commit, way: str
) -> None:
    forked(desk, base, way)

    with counting() as calls:
        found = hands(desk, base)

    assert (f"Grace <{GRACE}>" in found) == way.startswith("undone")
    # What git would merge them to is known without it: one walk, and one process that reads.
    assert calls["subprocess.Popen.__init__"] == 3  # HEAD is asked for by the test itself


@pytest.mark.parametrize("strategy", ["ours", "edited"])
def test_who_merges_something_else_is_an_author(desk: Desk, base: Commit, strategy: str) -> None:
    side(desk, base)
    if strategy == "ours":
        desk.git("merge", "--quiet", "--no-ff", "--strategy=ours", "side", by=GRACE)
    else:
        desk.git("merge", "--quiet", "--no-ff", "--no-commit", "side", by=GRACE)
        desk.commit("Merge", by=GRACE, text="model: churn\nstages:\n  Production: 7\n")

    assert f"Grace <{GRACE}>" in hands(desk, base)


def test_a_mailmap_makes_nobody_else_the_author(desk: Desk, base: Commit) -> None:
    (desk.top / ".mailmap").write_text(f"Grace <{GRACE}> <{ADA}>\n")
    desk.commit("Promote v6", by=ADA, text="6")

    assert hands(desk, base) == [f"Ada <{ADA}>"]


def test_without_a_base_the_whole_history_is_the_change(desk: Desk, base: Commit) -> None:
    assert hands(desk, None) == [f"Ada <{ADA}>"]
    assert approvers(desk, None, "") == []


# The request's own line.


def shape(desk: Desk, base: Commit, kind: str) -> tuple[Commit, Commit, list[Commit]]:
    """Base, head, and the line that is expected, of a change that came in one of the ways that there are."""
    desk.git("checkout", "--quiet", "-b", "request", base)
    one = desk.commit("One", by=ADA, text="6")
    main = base
    if kind == "a branch that took main in":
        desk.git("checkout", "--quiet", "main")
        (desk.top / "README.md").write_text("Models")
        main = desk.commit("Explain", by=MALLORY, text="5")
        desk.git("checkout", "--quiet", "request")
        desk.git("merge", "--quiet", "--no-ff", "--no-edit", "--strategy-option=ours", "main")
        merge = Commit(desk.git("rev-parse", "HEAD"))
        return main, desk.commit("Two", by=ADA), [Commit(desk.git("rev-parse", "HEAD")), merge, one]
    two = desk.commit("Two", by=ADA)
    if kind in {"a branch that is not merged", "a fast-forward, a rebase or a push"}:
        return base, two, [two, one]
    if kind == "a side branch within it":
        desk.git("checkout", "--quiet", "-b", "side", one)
        (desk.top / "side").write_text("x")
        desk.commit("Side", by=MALLORY, text="6")
        desk.git("checkout", "--quiet", "request")
        desk.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
        merge = Commit(desk.git("rev-parse", "HEAD"))
        return base, merge, [merge, two, one]
    desk.git("checkout", "--quiet", "main")
    (desk.top / "README.md").write_text("Models")
    before = desk.commit("Another request", by=MALLORY, text=(desk.top / "churn.yaml").read_text())
    if kind == "a squash":
        return before, desk.commit("One and two (#7)", by=ADA, text="6"), [Commit(desk.git("rev-parse", "HEAD"))]
    if kind == "an octopus":
        desk.git("branch", "other", base)
        desk.git("checkout", "--quiet", "other")
        (desk.top / "other").write_text("x")
        desk.commit("Other", by=MALLORY, text=(desk.top / "churn.yaml").read_text())
        desk.git("checkout", "--quiet", "main")
        desk.git("merge", "--quiet", "--no-ff", "--no-edit", "request", "other")
        return before, Commit(desk.git("rev-parse", "HEAD")), []
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "request")
    first = Commit(desk.git("rev-parse", "HEAD"))
    if kind == "a merge commit":
        return before, first, [two, one]
    # Two requests that a queue merged into one another, of which the last is looked at.
    desk.git("checkout", "--quiet", "-b", "second", before)
    (desk.top / "second").write_text("x")
    three = desk.commit("Three", by=MALLORY, text=(desk.top / "churn.yaml").read_text())
    desk.git("checkout", "--quiet", "main")
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "second")
    last = Commit(desk.git("rev-parse", "HEAD"))
    return (first, last, [three]) if kind == "a merge queue" else (before, last, [last, first])


SHAPES = (
    "a branch that is not merged",
    "a branch that took main in",
    "a side branch within it",
    "a merge commit",
    "a squash",
    "a fast-forward, a rebase or a push",
    "a merge queue",
    "two merges at once, which are no one request",
    "an octopus",
)


@pytest.mark.parametrize("kind", SHAPES)
def test_the_line_of_a_request_is_its_own_commits_by_first_parents(desk: Desk, base: Commit, kind: str) -> None:
    start, head, line = shape(desk, base, kind)

    assert list(read_change(git_at(desk.top), start, head).line) == line


@needs_ssh
def test_whoever_signs_what_changes_something_has_a_hand_under_every_name_of_the_key(desk: Desk, base: Commit) -> None:
    desk.commit("Promote v6", by=ADA, signed=GRACE, text="6")
    signers = desk.signer(f"{GRACE},g.hopper@acme.example", key=GRACE, options='valid-before="20200101"')

    assert hands(desk, base, signers) == [f"Ada <{ADA}>", "g.hopper@acme.example", GRACE]


@needs_ssh
def test_a_signature_that_is_not_by_the_key_in_it_makes_nobody_a_hand(desk: Desk, base: Commit) -> None:
    genuine = raw(desk, desk.commit("Promote v6", by=ADA, signed=GRACE, text="6"))

    made_of(desk, genuine.replace(b"Promote v6", b"Promote v7"))

    assert hands(desk, base, desk.signer(GRACE)) == [f"Ada <{ADA}>"]


def test_github_is_nobody_where_it_commits_for_the_author(desk: Desk, base: Commit) -> None:
    email = "noreply@github.com"
    desk.commit("Promote v6", by=ADA, text="6", GIT_COMMITTER_NAME="GitHub", GIT_COMMITTER_EMAIL=email)

    assert hands(desk, base) == [f"Ada <{ADA}>"]


@pytest.mark.parametrize("way", ["squash", "rebase"])
def test_whoever_presses_the_button_has_no_hand_in_it(desk: Desk, base: Commit, way: str) -> None:
    desk.git("checkout", "--quiet", "-b", "request")
    desk.commit("One", by=ADA, text="6")
    tip = desk.commit("Two", by=MALLORY, text="7")
    desk.git("checkout", "--quiet", "main")
    (desk.top / "README.md").write_text("Models")
    start = desk.commit("Another", by=ADA, text="model: churn\nstages:\n  Production: 5\n")
    if way == "squash":
        desk.commit("One and two (#7)", by=ADA, text="7", GIT_COMMITTER_NAME="Grace", GIT_COMMITTER_EMAIL=GRACE)
    else:
        desk.git("cherry-pick", f"{base}..{tip}", by=GRACE)

    remade = hands(desk, start, tip=tip, merged_as=desk.git("rev-parse", "HEAD"))
    by_git_alone = hands(desk, start)

    assert remade == [f"Ada <{ADA}>", f"Mallory <{MALLORY}>"]
    assert f"Grace <{GRACE}>" in by_git_alone


@dataclass
class OneRequest:
    """A forge that knows of one request."""

    known: Request

    def request(self, head: Commit, *, merged: bool = False) -> Request:
        return self.known


@needs_ssh
def test_what_a_squash_left_on_no_branch_is_fetched(desk: Desk, base: Commit, tmp_path: Path) -> None:
    desk.git("checkout", "--quiet", "-b", "request")
    early = desk.commit("Promote v6", by=MALLORY, text="model: churn\nstages:\n  Production: 6\n")
    late = desk.commit("Promote v7", by=ADA, text="model: churn\nstages:\n  Production: 7\n")
    desk.git("update-ref", "refs/pull/1/head", late)
    desk.git("checkout", "--quiet", "main")
    desk.git("merge", "--quiet", "--squash", "request")
    head = desk.commit("Promote (#1)", by=ADA)
    desk.git("branch", "--quiet", "-D", "request")
    # Of a head that was pushed over, a review may be all that tells.
    other = desk.commit("Aside", by=ADA)
    desk.git("reset", "--quiet", "--hard", head)
    desk.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", "--single-branch", desk.top.as_uri(), str(clone))
    source = open_source(clone / "manifests", "acme.example/models#manifests")
    reviews = (Approval("@grace", "review", "2026-05-01T10:00:00Z", other),)
    forge: Any = OneRequest(Request(late, reviews, merged_as=head))
    assert [source.git.about(commit) for commit in (late, other)] == [None, None]

    found = GitAndForge(source, lambda _: parse, forge).find(base, head, None, "")

    assert found.authors == (f"Ada <{ADA}>", f"Mallory <{MALLORY}>")
    assert found.approvals == ()
    assert all(source.git.about(commit) for commit in (early, late, other))


def test_what_is_pushed_along_with_a_squash_is_somebodys(desk: Desk, base: Commit) -> None:
    desk.git("checkout", "--quiet", "-b", "request")
    tip = desk.commit("One", by=ADA, text="6")
    desk.git("checkout", "--quiet", "main")
    desk.commit("Sneaked in", by=MALLORY, text="7")
    desk.commit("One (#7)", by=ADA, text="6", GIT_COMMITTER_NAME="Grace", GIT_COMMITTER_EMAIL=GRACE)

    assert hands(desk, base, tip=tip, merged_as=desk.git("rev-parse", "HEAD")) == [
        f"Ada <{ADA}>",
        f"Mallory <{MALLORY}>",
    ]


def test_an_earlier_head_is_valid_as_long_as_nobody_changed_anything_since(desk: Desk, base: Commit) -> None:
    desk.git("checkout", "--quiet", "-b", "request")
    first = desk.commit("One", by=ADA, text="6")
    second = desk.commit("Two", by=ADA, text="7")
    desk.git("checkout", "--quiet", "main")
    (desk.top / "README.md").write_text("Models")
    main = desk.commit("Explain", by=MALLORY, text="model: churn\nstages:\n  Production: 5\n")
    desk.git("checkout", "--quiet", "request")
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "main", by=GRACE)
    tip = Commit(desk.git("rev-parse", "HEAD"))

    found = read_change(git_at(desk.top), main, tip, tip=tip, earlier=(first, second, main))

    assert found.valid == {second, tip}


@needs_ssh
def test_what_came_along_when_a_branch_was_moved_forward_is_on_its_line(desk: Desk, base: Commit) -> None:
    head = desk.commit("Promote v6", by=ADA, text="6")
    tip = desk.commit(APPROVED, signed=GRACE)

    found = read_change(git_at(desk.top), base, head, desk.signer(GRACE), tip=tip, merged_as=tip)

    assert (found.line, [approval.who for approval in found.approvals]) == ((tip, head), [GRACE])
