"""Signatures on records: whose counts, and what no key is."""

import base64
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.checks import signing
from reconciler.checks.signing import HmacSigner, RecordSeals, SshSigner, hmac_key, signers_problems
from reconciler.core.policy import RECORDS
from reconciler.core.records import Seal, SealKind
from reconciler.errors import ReconcilerError
from reconciler.ports import SourceFile
from reconciler.project import validate
from tests.counting import counting

KEY = b"\x01" * 32
DATA = b"what was found"
NOON = "2026-11-26T12:00:00Z"


def verify(data: bytes, seal: Seal | None, signers: str, key: bytes | None, at: str = NOON) -> bool:
    return signing.verify(data, seal, signers, key, at)


ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH's ssh-keygen is not installed")


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        f" {KEY.hex()}\n",
    ],
)
def test_a_key_may_be_in_hex_or_base64(text: str) -> None:
    assert hmac_key({"RECONCILER_CHECK_HMAC_KEY": text}) == KEY


def test_a_key_that_is_neither_is_taken_as_it_is() -> None:
    text = "correct horse battery staple, and so on"

    assert hmac_key({"RECONCILER_CHECK_HMAC_KEY": text}) == text.encode()


@pytest.mark.parametrize(
    "text", ["short", "ab" * 31, "a" * 32, "0123456789abcdef" * 2, base64.b64encode(b"x" * 31).decode()]
)
def test_a_short_key_is_refused_and_not_told(text: str) -> None:
    with pytest.raises(ReconcilerError, match="minimum is 32") as refused:
        hmac_key({"RECONCILER_CHECK_HMAC_KEY": text})

    assert text not in str(refused.value)


def test_no_key_is_none() -> None:
    assert hmac_key({}) is None
    assert hmac_key({"RECONCILER_CHECK_HMAC_KEY": " "}) is None


def test_a_signer_does_not_show_its_key() -> None:
    assert "x01" not in repr(HmacSigner(KEY))


def test_only_the_same_key_and_data_verify() -> None:
    seal = HmacSigner(KEY).sign(DATA)

    assert verify(DATA, seal, "", KEY)
    assert not verify(DATA + b" ", seal, "", KEY)
    assert not verify(DATA, seal, "", b"\x02" * 32)
    assert not verify(DATA, seal, "", None)
    assert not verify(DATA, None, "", KEY)
    assert not verify(DATA, replace(seal, key="another"), "", KEY)
    assert not verify(DATA, replace(seal, value="é\ud800"), "", KEY)
    assert KEY.hex() not in repr(seal)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ci", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


CHECKS = 'namespaces="reconciler-check"'


def listed(key: Path, options: str = CHECKS, who: str = "ci@acme.example") -> str:
    kind, public, *_ = key.with_suffix(".pub").read_text().split()
    return " ".join(part for part in (who, options, kind, public) if part) + "\n"


@ssh
def test_a_listed_key_counts(key: Path) -> None:
    seal = SshSigner(key).sign(DATA)

    assert seal.kind is SealKind.SSH
    assert seal.key.startswith("SHA256:")
    assert verify(DATA, seal, listed(key), None)
    assert verify(DATA, seal, "# the jobs\n" + listed(key, 'namespaces="git,reconciler-check"'), None)
    assert verify(DATA, seal, listed(key, who='"the ci job"'), None)
    assert not verify(DATA + b" ", seal, listed(key), None)


@ssh
def test_what_was_proven_is_not_proven_again_and_what_was_not_is(key: Path) -> None:
    signer, seals = SshSigner(key, RECORDS), RecordSeals()
    line = listed(key, f'namespaces="{RECORDS}"')
    good, bad = (DATA, signer.sign(DATA), NOON), (DATA + b"!", signer.sign(DATA), NOON)

    def proven(*claims: tuple[bytes, Seal, str], signers: str = line) -> tuple[tuple[bool, ...], int]:
        with counting() as calls:
            found = seals.verified(claims, signers)
        return found, calls["subprocess.Popen.__init__"]

    assert proven(good, bad) == ((True, False), 2)
    assert proven(good, bad) == ((True, False), 1)
    assert proven(good, signers=line.replace(RECORDS, "git")) == ((False,), 0)
    assert proven((*good[:2], "2026-11-27T12:00:00Z")) == ((True,), 1)


@ssh
def test_a_key_of_several_lines_counts_by_one(key: Path) -> None:
    seal = SshSigner(key).sign(DATA)
    lines = listed(key, "", "ada@acme.example") + listed(key, 'namespaces="git"') + listed(key, who="ci@acme.example")

    assert verify(DATA, seal, lines, None)


@ssh
@pytest.mark.parametrize(
    "options",
    [
        "",
        'namespaces="git"',
        'namespaces="*"',
        'namespaces="reconciler-*"',
        'namespaces="reconciler-record"',
        'namespaces="reconciler-check,!reconciler-check"',
        'valid-after="20200101"',
        f"cert-authority,{CHECKS}",
    ],
)
def test_a_key_that_is_listed_for_something_else_does_not_count(key: Path, options: str) -> None:
    assert not verify(DATA, SshSigner(key).sign(DATA), listed(key, options), None)


@ssh
def test_a_retired_key_counts_for_what_it_signed_in_its_time(key: Path) -> None:
    seal = SshSigner(key).sign(DATA)
    retired = listed(key, f'{CHECKS},valid-after="20260101",valid-before="20260601"')

    assert verify(DATA, seal, retired, None, "2026-03-01T00:00:00Z")
    assert verify(DATA, seal, retired, None, "2026-01-01T01:00:00+00:30")
    assert not verify(DATA, seal, retired, None, "2025-12-31T23:00:00Z")
    assert not verify(DATA, seal, retired, None, "2026-06-01T00:00:01Z")
    assert not verify(DATA, seal, retired, None, "some day")


@ssh
@pytest.mark.parametrize(("options", "counts"), [(CHECKS, True), ("", False), ('namespaces="git"', False)])
def test_a_certificate_counts_where_the_line_of_its_authority_says_so(
    key: Path, tmp_path: Path, options: str, counts: bool
) -> None:
    authority = make_key(tmp_path / "authority")
    names = ("-n", "nobody@acme.example,ci@acme.example", "-V", "20260101:20270101")
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "ci", *names, f"{key}.pub"], check=True)
    seal = SshSigner(Path(f"{key}-cert.pub")).sign(DATA)
    line = listed(authority, ",".join(filter(None, ["cert-authority", options])))

    assert verify(DATA, seal, line, None) is counts
    assert not verify(DATA, seal, line, None, "2027-02-01T00:00:00Z")
    assert not verify(DATA, seal, line.replace("ci@acme.example", "cd@acme.example"), None)


@ssh
def test_a_program_called_ssh_keygen_in_the_work_tree_is_not_asked(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = SshSigner(key).sign(b"data")
    (tmp_path / "ssh-keygen").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    assert not verify(b"other data", seal, listed(key), None)


@ssh
def test_the_name_of_the_key_is_what_ssh_calls_it(key: Path) -> None:
    told = subprocess.run(["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True).stdout

    assert SshSigner(key).sign(DATA).key in told.split()


@ssh
def test_the_longest_signature_leaves_room_for_the_record(tmp_path: Path) -> None:
    key = make_key(tmp_path / "rsa", kind="rsa")
    assert len(SshSigner(key).sign(DATA).value) < 1700


@ssh
def test_a_key_that_is_not_listed_does_not_count(key: Path, tmp_path: Path) -> None:
    seal = SshSigner(key).sign(DATA)
    other = make_key(tmp_path / "other")

    assert not verify(DATA, seal, listed(other), None)
    assert not verify(DATA, seal, "", None)
    assert not verify(DATA, seal, "no such\nfile at all", None)


@ssh
def test_a_signature_for_another_purpose_does_not_count(key: Path) -> None:
    done = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key)], input=DATA, capture_output=True, check=True
    )
    ours = SshSigner(key).sign(DATA)

    assert not verify(DATA, replace(ours, value=done.stdout.decode()), listed(key), None)


@ssh
@pytest.mark.parametrize("part", ["key", "value"])
def test_a_signature_cannot_be_altered(key: Path, part: str) -> None:
    seal = SshSigner(key).sign(DATA)
    changed = {"key": "SHA256:" + "A" * 43, "value": seal.value.replace("\n", "\n\n", 3)[:-40]}

    assert not verify(DATA, replace(seal, **{part: changed[part]}), listed(key), None)


@pytest.mark.parametrize(
    "value", ["", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n", "\x00", "-" * 99]
)
def test_what_is_no_signature_does_not_count(value: str) -> None:
    assert not verify(DATA, Seal(SealKind.SSH, "", value), "ci ssh-ed25519 AAAA", None)


@ssh
def test_a_key_with_a_passphrase_is_not_asked_for(tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", "secret phrase")

    with pytest.raises(ReconcilerError, match="ssh-keygen did not sign") as refused:
        SshSigner(key).sign(DATA)

    assert "secret phrase" not in str(refused.value)
    assert "passphrase" in refused.value.fix


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="ssh-keygen"):
        SshSigner(tmp_path / "none").sign(DATA)


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIbV7GBW9dwWfZGWWCwSlE7rRtn6hAyjkIYdQhIMSJqr"

LISTED = {
    "a key": f"ada@acme.example {PUBLIC}",
    "a comment behind it": f"ada@acme.example,grace@acme.example {PUBLIC} Ada's laptop",
    "namespaces": f'job namespaces="reconciler-record,reconciler-check" {PUBLIC}',
    "a retired key": f'"job" namespaces="git",valid-after="20200101",valid-before="20260501120000Z" {PUBLIC}',
    "an authority": f"*@acme.example cert-authority {PUBLIC}",
}
BROKEN = {
    "a key alone": PUBLIC,
    "half a key": f"ada@acme.example {PUBLIC[:60]}",
    "a name alone": "ada@acme.example",
    "another kind": f"ada@acme.example {PUBLIC.replace('ed25519', 'rsa')}",
    "no such option": f"ada@acme.example namespace=git {PUBLIC}",
    "a date as people write it": f'ada@acme.example valid-before="2026-05-01" {PUBLIC}',
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
}


@pytest.mark.parametrize("line", LISTED.values(), ids=LISTED)
def test_a_line_that_lists_a_key_is_none_to_complain_of(line: str) -> None:
    assert list(signers_problems(SourceFile("signers", f"# Keys\n\n{line}\n".encode()))) == []


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_line_that_lists_no_key_is_told_with_its_number(line: str) -> None:
    (problem,) = signers_problems(SourceFile("signers", f"# Keys\n{line}\nada@acme.example {PUBLIC}\n".encode()))

    assert (str(problem.location), problem.code) == ("signers:2:1", "invalid-signer")


@ssh
def test_what_is_complained_of_is_what_ssh_keygen_does_not_read(tmp_path: Path) -> None:
    def find(line: str) -> bool:
        (tmp_path / "signers").write_text(f"{line}\n")
        command = ["ssh-keygen", "-Y", "match-principals", "-I", "ada@acme.example", "-f", str(tmp_path / "signers")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    ours = [line for name, line in LISTED.items() if name in {"a key", "a comment behind it", "an authority"}]

    assert all(map(find, ours))
    assert not any(map(find, BROKEN.values()))


@pytest.mark.parametrize(
    ("signers", "place"),
    [(None, "reconciler.yaml:1:10"), ("# none yet\n", "keys/signers"), ("ada\n", "keys/signers:1:1")],
    ids=["missing", "empty", "broken"],
)
def test_validate_looks_at_the_signers_that_the_policy_names(tmp_path: Path, signers: str | None, place: str) -> None:
    for folder in (".git", "manifests", "keys"):
        (tmp_path / folder).mkdir()
    (tmp_path / "reconciler.yaml").write_text("signers: keys/signers\n")
    if signers is not None:
        (tmp_path / "keys/signers").write_text(signers)

    problems = validate([tmp_path / "manifests"])

    assert [str(problem.location) for problem in problems] == [place]
