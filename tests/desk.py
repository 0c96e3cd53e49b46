"""A repository in which anybody commits under any name, with real git, and a key for each."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.names import Commit
from tests.story.repository import WITHOUT_CONFIGURATION

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
