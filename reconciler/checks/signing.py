"""
Signatures on the records of checks: an HMAC with a key that jobs share, or SSH's, whose public keys the policy lists.
Nothing here tells a key.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from reconciler.core.moments import moment
from reconciler.core.policy import RECORDS, lines_of, listed_for
from reconciler.core.records import Seal, SealKind
from reconciler.errors import Location, Problem, ReconcilerError
from reconciler.ports import SourceFile

KEY_VARIABLE: Final = "RECONCILER_CHECK_HMAC_KEY"
NAMESPACE: Final = "reconciler-check"
VERIFIERS = 4
SHORTEST_KEY = 32
PATIENCE = 30.0

_ALLOWED = re.compile(
    r"""(?i)(?:"[^"]+"|[^\s"#][^\s"]*)\s+(?:(?:(?:cert-authority|namespaces="[^"]+"|valid-(?:after|before)="[0-9]{8}"""
    r"""(?:[0-9]{4}(?:[0-9]{2})?)?Z?"),?)+\s+)?((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+)\s+([a-z0-9+/]+=*)(?:\s.*)?"""
)
_AUTHORITY = re.compile("(?i)cert-authority")
_LISTED = re.compile(r"""\s*(?:"([^"]*)"|([^\s"]+))\s""")
"""Whom a line lists with its key."""

_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?")


def signers_problems(file: SourceFile) -> Iterator[Problem]:
    """The lines of an allowed-signers file that ssh-keygen would pass over, or stop at."""
    listed = False
    for number, line in enumerate(lines_of(file.data.decode("utf-8", "replace")), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        listed = True
        found = _ALLOWED.fullmatch(line.strip())
        if found is None or not _is_key(found[1], found[2]):
            yield Problem(
                Location(file.path, number, 1),
                "invalid-signer",
                "This line lists no key: expected a name, options such as `namespaces`, and a public key.",
                "Write `ada@acme.example ssh-ed25519 AAAA…`, as in the file `….pub` of the key.",
            )
    if not listed:
        message, fix = "The file of signers lists no key, so no signature counts.", "Add a line, or remove `signers`."
        yield Problem(Location(file.path), "no-signers", message, fix)


def _is_key(kind: str, text: str) -> bool:
    """Whether this is a whole public key: parts with their lengths before them, of which the first is the kind."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    parts: list[bytes] = []
    at = 0
    while at < len(key):
        length = int.from_bytes(key[at : at + 4], "big")
        parts.append(key[at + 4 : at + 4 + length])
        at += 4 + length
    return at == len(key) and len(parts) > 1 and parts[0] == kind.encode()


class Signer(Protocol):
    def sign(self, data: bytes) -> Seal:
        """Raises ReconcilerError where it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class HmacSigner:
    key: bytes = field(repr=False)

    def sign(self, data: bytes) -> Seal:
        return Seal(SealKind.HMAC, _key_id(self.key), hmac.new(self.key, data, hashlib.sha256).hexdigest())


@dataclass(frozen=True, slots=True)
class SshSigner:
    """
    `key` is a private key, or a public one whose private half an agent has. `namespace` keeps a signature on one thing
    from counting for another.
    """

    key: Path
    namespace: str = NAMESPACE

    def sign(self, data: bytes) -> Seal:
        done = _ssh_keygen(["-Y", "sign", "-n", self.namespace, "-f", str(self.key.absolute())], data)
        text = done.stdout.decode("ascii", "replace")
        if done.returncode != 0 or not _ARMOR.fullmatch(text):
            raise ReconcilerError(
                f"ssh-keygen did not sign with {self.key}: {_last_line(done.stderr)}",
                "Name a private key without a passphrase, or a public one whose private half your agent has.",
            )
        return Seal(SealKind.SSH, _fingerprint(text), text)


def hmac_key(environment: Mapping[str, str]) -> bytes | None:
    """
    The shared key, or None where none is set. It may be in hex or base64; what reads as neither is taken as it is.
    Raises ReconcilerError where it is too short.
    """
    text = environment.get(KEY_VARIABLE, "").strip()
    if not text:
        return None
    key = _decoded(text)
    if len(key) < SHORTEST_KEY:
        raise ReconcilerError(
            f"The key in {KEY_VARIABLE} has {len(key)} bytes; the minimum is {SHORTEST_KEY}.",
            "Make one with `openssl rand -hex 32`.",
        )
    return key


def verify(data: bytes, seal: Seal | None, signers: str, key: bytes | None, at: str) -> bool:
    """
    Whether a signature is good and by somebody whose records count: by the shared key, or by a key whose line of the
    allowed-signers text names our namespace itself and was valid `at` that time (RFC 3339). Whatever cannot be verified
    is not.
    """
    if seal is None:
        return False
    match seal.kind:
        case SealKind.HMAC:
            if key is None:
                return False
            good = HmacSigner(key).sign(data)
            same_key = hmac.compare_digest(good.key.encode(), seal.key.encode("utf-8", "replace"))
            return hmac.compare_digest(good.value.encode(), seal.value.encode("utf-8", "replace")) and same_key
        case SealKind.SSH:
            return _verify_ssh(data, seal, listed_for(NAMESPACE, signers), NAMESPACE, at, {})


@dataclass(frozen=True, slots=True)
class RecordSeals:
    """
    The port `Seals`, by SSH. Whom a line lists with a key is asked once, and so is what turned out good: to the same
    question about the same time there is no other answer.
    """

    _good: "set[tuple[bytes, Seal, str, tuple[str, ...]]]" = field(
        default_factory=set[tuple[bytes, Seal, str, tuple[str, ...]]], init=False, compare=False, repr=False
    )
    _principals: "_Principals" = field(
        default_factory=dict[tuple[str, str], tuple[str, ...]], init=False, compare=False
    )

    def verified(self, claims: Iterable[tuple[bytes, Seal, str]], signers: str) -> tuple[bool, ...]:
        lines = listed_for(RECORDS, signers)

        def check(claim: tuple[bytes, Seal, str]) -> bool:
            data, seal, at = claim
            if (*claim, lines) in self._good:
                return True
            good = seal.kind is SealKind.SSH and _verify_ssh(data, seal, lines, RECORDS, at, self._principals)
            if good:
                self._good.add((*claim, lines))
            return good

        asked = tuple(claims)
        # By the first, the others know whom a line lists.
        first = tuple(map(check, asked[:1]))
        with ThreadPoolExecutor(VERIFIERS) as pool:
            return (*first, *pool.map(check, asked[1:]))


_Principals: TypeAlias = dict[tuple[str, str], tuple[str, ...]]
"""Whom a line lists with a key."""


def _verify_ssh(
    data: bytes, seal: Seal, lines: Sequence[str], namespace: str, at: str, principals: _Principals
) -> bool:
    """
    Whether a key of one of these lines made a signature. Whom a line lists with it is asked once; to verify takes the
    time and the namespace into account again.
    """
    # A key that was retired stays good for what it signed before.
    time = _as_ssh_time(at)
    if not time or not _ARMOR.fullmatch(seal.value) or _fingerprint(seal.value) != seal.key:
        return False
    with tempfile.TemporaryDirectory() as folder:
        allowed, signature = Path(folder) / "allowed_signers", Path(folder) / "signature"
        signature.write_text(seal.value, encoding="ascii")
        files = ["-f", str(allowed), "-s", str(signature), f"-Overify-time={time}"]
        # Line by line: ssh-keygen stops at the first that has the key, and a date or a namespace may rule that one out
        # and not the next (seen in OpenSSH 9.2). See unit/test_signing.py::test_a_key_of_several_lines_counts_by_one.
        public = base64.b64encode(_public_key(seal.value)).decode("ascii")
        for line in lines:
            if public not in line and not _AUTHORITY.search(line):
                continue
            allowed.write_text(f"{line}\n", encoding="utf-8", errors="replace")
            if (line, public) not in principals and not _AUTHORITY.search(line):
                named = _LISTED.match(line)
                principals[line, public] = tuple(filter(None, (named[1] or named[2] or "").split(","))) if named else ()
            elif (line, public) not in principals:
                # Whom a certificate is of, it says itself.
                found = _ssh_keygen(["-Y", "find-principals", *files], b"")
                if found.returncode == 0:
                    principals[line, public] = tuple(found.stdout.decode("utf-8", "replace").splitlines())
            for who in principals.get((line, public), ()):
                if _ssh_keygen(["-Y", "verify", "-n", namespace, "-I", who, *files], data).returncode == 0:
                    return True
        return False


def _as_ssh_time(at: str) -> str:
    """As ssh-keygen reads it in UTC, or nothing for what is no time."""
    named = moment(at)
    return "" if named is None else named.strftime("%Y%m%d%H%M%S")


def _ssh_keygen(arguments: Sequence[str], data: bytes) -> "subprocess.CompletedProcess[bytes]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in os.environ}
    if "PATH" in kept:
        # A program of that name in the work tree would call every signature good.
        kept["PATH"] = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if Path(part).is_absolute())
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            # No terminal: it would ask for a passphrase there.
            start_new_session=True,
            # In UTC, so that a date in the signers' file means the same on every machine.
            env=kept | {"SSH_ASKPASS_REQUIRE": "never", "TZ": "UTC"},
        )
    except FileNotFoundError as error:
        raise ReconcilerError(
            "SSH signatures need the program ssh-keygen, which is not installed.", "Install OpenSSH's client."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ReconcilerError(f"ssh-keygen did not finish within {PATIENCE:g} s.") from error


def _fingerprint(armored: str) -> str:
    """The public key inside a signature, as `ssh-keygen -l` names it; nothing where there is none."""
    public = _public_key(armored)
    if not public:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode("ascii").rstrip("=")


def _public_key(armored: str) -> bytes:
    match = _ARMOR.fullmatch(armored)
    try:
        blob = base64.b64decode(match[1].replace("\n", ""), validate=True) if match else b""
    except binascii.Error:
        return b""
    length = int.from_bytes(blob[10:14], "big")
    if not blob.startswith(b"SSHSIG") or len(blob) < 14 + length:
        return b""
    return blob[14 : 14 + length]


def _key_id(key: bytes) -> str:
    """Tells keys apart without giving them away: made by the key, of something that is never signed."""
    return hmac.new(key, b"reconciler: the name of this key", hashlib.sha256).hexdigest()[:16]


def _decoded(text: str) -> bytes:
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[-1] if c.isprintable())[:300] if lines else "no message"
