"""The people of a house, and their keys."""

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

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
    """A signature on a record, as the job makes it: the same on the same record, so each is made once."""
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", RECORDS, "-f", str(key)], input=data, capture_output=True, check=True
    )
    return Seal(SealKind.SSH, _fingerprint(key), done.stdout.decode())


class Seals:
    """
    The port, by ssh-keygen. It is asked once a session about each record beside the same signers: its answer depends on
    nothing else, and every command of a house asks again.
    """

    def verified(self, claims: Iterable[Claim], signers: str) -> tuple[bool, ...]:
        asked = tuple(claims)
        new = [claim for claim in dict.fromkeys(asked) if (claim, signers) not in _VERIFIED]
        for claim, good in zip(new, RecordSeals().verified(new, signers), strict=True):
            _VERIFIED[claim, signers] = good
        return tuple(_VERIFIED[claim, signers] for claim in asked)


_VERIFIED: dict[tuple[Claim, str], bool] = {}


@cache
def _fingerprint(key: Path) -> str:
    return _ssh_keygen("-l", "-E", "sha256", "-f", str(key)).split()[1]


def _ssh_keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, check=True, text=True).stdout
