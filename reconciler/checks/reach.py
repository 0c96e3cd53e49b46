"""
Tries what code could reach that runs where this runs: a script of its own, and what of it sandbox.py needs to know. It
prints a JSON list, one text for each thing that it reached. Standard library alone.

Argument: JSON with `read` and `write`, files and folders, and `sockets`.
"""

import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(
    r"(?i)(?:^|_)(?:PASS|PASSWD|PWD|PW|PASSPHRASE|SECRETS?|TOKENS?|KEYS?|APIKEY|CREDENTIALS?|CREDS|JWT|COOKIE|DSN|PAT)"
    r"(?:_|$)|(?:PASSWORD|SECRET|TOKEN|APIKEY|CREDENTIALS?)$|^AWS_CONTAINER_CREDENTIALS_"
)
_HARMLESS = re.compile("PWD|OLD_?PWD|GIT_CONFIG_KEY_[0-9]+")
_VALUE = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@|(?i:authorization:|bearer )|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:gh[opsu]_|github_pat_|glpat-|glptt-|xox[bp]-)\w{10}"
)
_AGENTS = ("Runner.Worker", "Runner.Listener", "gitlab-runner", "buildkite-agent", "ssh-agent", "gpg-agent")
"""Processes whose memory holds what their environment does not."""


def secret_names(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that look like a credential, by their names or values."""
    return tuple(
        name
        for name, value in sorted(variables.items())
        if value.strip() and not _HARMLESS.fullmatch(name) and (_NAME.search(name) or _VALUE.search(value))
    )


def reached(read: Iterable[str], write: Iterable[str], sockets: Iterable[str]) -> Iterator[str]:
    yield from _processes()
    for place in read:
        with suppress(OSError), open(place, "rb") as file:  # noqa: PTH123
            file.read(1)
            yield f"{place} can be read"
    for place in write:
        if _can_write(place):
            yield f"{place} can be written"
    for place in sockets:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(1.0)
            tried.connect(place)
            yield f"{place} answers"


def _processes() -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        name = "a process"
        with suppress(OSError):
            name = (folder / "comm").read_text(errors="replace").strip()
            told = (folder / "environ").read_bytes().decode("utf-8", "replace").split("\0")
            if names := secret_names(dict(line.split("=", 1) for line in told if "=" in line)):
                yield f"the environment of {name} ({folder.name}) has {', '.join(names[:5])}"
        with suppress(OSError):
            if name in {agent[:15] for agent in _AGENTS}:
                os.close(os.open(folder / "mem", os.O_RDONLY))
                yield f"the memory of {name} ({folder.name}) can be read"


def _can_write(place: str) -> bool:
    try:
        if Path(place).is_dir():
            probe = Path(place) / f".reconciler-{os.getpid()}"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            probe.unlink()
        else:
            os.close(os.open(place, os.O_WRONLY | os.O_APPEND))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps([*reached(asked["read"], asked["write"], asked["sockets"])]))
