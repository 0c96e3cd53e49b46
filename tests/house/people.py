"""The people of a house, and their keys."""

import atexit
import shutil
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha512
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from reconciler.checks.signing import RecordSeals
from reconciler.core.records import Seal, SealKind

RECORDS = "reconciler-record"
"""What a key's line must name for it to sign records."""

Claim: TypeAlias = tuple[bytes, Seal, str]
"""A record, its signature, and when it was made."""


@dataclass(frozen=True)
class Person:
    """Somebody with an address in git, a login at the forge, and an SSH key."""

    name: str
    email: str
    login: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"

    @property
    def key(self) -> Path:
        return key_of(self.login)

    @property
    def entry(self) -> str:
        """As a group or the owners of a manifest list them."""
        return f"{self} @{self.login}"


ADA = Person("Ada Lovelace", "ada@acme.example", "ada")
GRACE = Person("Grace Hopper", "grace@acme.example", "grace")
LINUS = Person("Linus Pauling", "linus@acme.example", "linus")
MALLORY = Person("Mallory Quick", "mallory@acme.example", "mallory")
FORGE = Person("GitHub", "noreply@github.com", "web-flow")
QUEUE_BOT = Person("github-merge-queue[bot]", "118344674+github-merge-queue[bot]@users.noreply.github.com", "queue")

STAFF = (ADA, GRACE, LINUS, MALLORY)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="reconciler-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def key_of(name: str) -> Path:
    """A private key of that name, made once a session."""
    path = _folder() / name
    _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
    return path


def public_half(key: Path) -> str:
    """`ssh-ed25519 AAAA…`, as a line of allowed signers has it."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


def person_line(person: Person) -> str:
    """Somebody's line among the allowed signers: for their signed commits."""
    return f"{person.email} {public_half(person.key)}\n"


def job_line(key: Path, valid_before: str = "", namespace: str = RECORDS) -> str:
    """The line of a key that signs records; `valid_before` is `YYYYMMDD` for a key that is retired."""
    options = f'namespaces="{namespace}"' + (f',valid-before="{valid_before}"' if valid_before else "")
    return f"apply@acme.example {options} {public_half(key)}\n"


@cache
def seal_with(key: Path, data: bytes) -> Seal:
    """
    A signature on a record, as the job makes it, in no process of its own: byte for byte what ssh-keygen makes, which
    verifies them all. See attacks/test_house.py::test_seals_are_those_that_ssh_keygen_makes.
    """
    signed = b"SSHSIG" + b"".join(map(_string, (RECORDS.encode(), b"", b"sha512", sha512(data).digest())))
    made = _string(b"ssh-ed25519") + _string(_private(key).sign(signed))
    public = b64decode(public_half(key).split()[1])
    fields = (public, RECORDS.encode(), b"", b"sha512", made)
    text = b64encode(b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(_string, fields))).decode()
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return Seal(
        SealKind.SSH, _fingerprint(key), f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"
    )


def _string(data: bytes) -> bytes:
    """As SSH writes strings."""
    return len(data).to_bytes(4, "big") + data


@cache
def _private(key: Path) -> Ed25519PrivateKey:
    private = load_ssh_private_key(key.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    return private


class Seals:
    """
    The port, by ssh-keygen. It is asked once a session about each record beside the same signers: its answer depends on
    nothing else, and every command of a house asks again.
    """

    def verified(self, claims: Iterable[Claim], signers: str) -> tuple[bool, ...]:
        asked = tuple(claims)
        new = [claim for claim in dict.fromkeys(asked) if (claim, signers) not in _VERIFIED]
        for claim, good in zip(new, _SEALS.verified(new, signers), strict=True):
            _VERIFIED[claim, signers] = good
        return tuple(_VERIFIED[claim, signers] for claim in asked)


_SEALS = RecordSeals()

_VERIFIED: dict[tuple[Claim, str], bool] = {}


@cache
def _fingerprint(key: Path) -> str:
    return _ssh_keygen("-l", "-E", "sha256", "-f", str(key)).split()[1]


def _ssh_keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, check=True, text=True).stdout
