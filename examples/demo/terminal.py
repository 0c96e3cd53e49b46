"""The terminal that the story is told on, and the folder that it happens in."""

import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".demo"
REPOSITORY = FOLDER / "models"
ORIGIN = FOLDER / "origin.git"
WIDTH = 80

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GIT_", "RECONCILER_"))},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    "MLFLOW_TRACKING_URI": "sqlite:///../registry.db",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **({"FORCE_COLOR": "1"} if COLOURS else {}),
}

BOLD, ITALIC, GREEN, RED, CYAN, MAGENTA, FAINT = "1", "3", "1;32", "1;31", "1;36", "1;35", "2"


def styled(text: str, style: str) -> str:
    return f"\033[{style}m{text}\033[0m" if COLOURS else text


def say(text: str = "") -> None:
    print(text, flush=True)


def chapter(title: str, text: str) -> None:
    """A heading, and what there is to see below it."""
    say(f"\n{styled(f'━━ {title} '.ljust(WIDTH, '━'), CYAN)}\n")
    say(styled(textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False), ITALIC))


def run(command: str, *, code: int = 0) -> None:
    """Show a command, run it in the repository with this very terminal, and insist on its exit code."""
    say(f"\n{styled('$', GREEN)} {styled(command, BOLD)}")
    words = shlex.split(command)
    if words[0] == "git" and COLOURS:
        words[1:1] = ["-c", "color.ui=always"]
    done = subprocess.run(words, cwd=REPOSITORY, env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != code:
        sys.exit(f"The demo ends here: `{command}` ended with exit code {done.returncode}, not {code}.")
    if code:
        say(styled(f"(exit code {code})", FAINT))


def git(*arguments: str, where: Path = REPOSITORY) -> str:
    """Run git without showing it, and give what it said."""
    done = subprocess.run(["git", *arguments], cwd=where, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def become(name: str, email: str) -> None:
    """From now on this is who commits."""
    for role in ("AUTHOR", "COMMITTER"):
        ENVIRONMENT[f"GIT_{role}_NAME"] = name
        ENVIRONMENT[f"GIT_{role}_EMAIL"] = email


def keygen(path: Path) -> str:
    """Make somebody an SSH key, and give its public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def fingerprint(key: Path) -> str:
    """`SHA256:…`, by which a key is known."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]
