"""The key that signs records: its public half is named to the policy, its private half kept out of the work tree."""

import re
import subprocess
from pathlib import Path

from reconciler.core.policy import lines_of
from reconciler.errors import ReconcilerError

NAMESPACES = "reconciler-record,reconciler-check"
PATIENCE = 30.0

_NAMESPACES = re.compile(r'namespaces="([^"]*)"')


def names_a_key(signers: str) -> bool:
    """Whether an allowed-signers text has a key for records: one whose line says so itself."""
    lines = [line for line in lines_of(signers) if not line.lstrip().startswith("#")]
    return any("reconciler-record" in found.split(",") for line in lines for found in _NAMESPACES.findall(line))


def key_path(git_directory: Path) -> Path:
    """In git's own folder: no commit, push or clone takes it along, whatever is ignored."""
    return git_directory / "reconciler" / "signing-key"


def signer_line(git_directory: Path) -> str:
    """A line for the file of signers. The key is made unless it is there. Raises ReconcilerError where it cannot be."""
    path = key_path(git_directory)
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ReconcilerError(f"{path.parent} could not be created: {error.strerror}.") from error
        _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "reconciler", "-f", str(path))
        path.with_name(f"{path.name}.pub").unlink(missing_ok=True)
    kind, public = _ssh_keygen("-y", "-P", "", "-f", str(path)).split()[:2]
    return f'reconciler namespaces="{NAMESPACES}" {kind} {public}\n'


def _ssh_keygen(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReconcilerError(
            "Creating the key for signed records needs ssh-keygen, which cannot be run here.",
            "Nothing was written. Install OpenSSH's client, or pass --no-signing-key.",
        ) from error
    if done.returncode != 0:
        raise ReconcilerError(
            f"ssh-keygen created no key: {done.stderr.decode('utf-8', 'replace').strip().splitlines()[-1:]}.",
            "Nothing was written. Pass --no-signing-key to continue without.",
        )
    return done.stdout.decode("ascii", "replace")
