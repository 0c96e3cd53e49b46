"""A git repository of manifests, and the remote that it is pushed to."""

import atexit
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WITHOUT_CONFIGURATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}

QUICKLY = ("-c", "maintenance.auto=false", "-c", "core.fsync=none")
"""After each commit git asks, in two more processes, whether the repository is to be tidied up."""

AUTHOR = "Ada Lovelace"
EMAIL = "ada@example.org"


def git(where: Path, *arguments: str, **environment: str) -> str:
    """Run git as it is out of the box, as Ada unless the environment names somebody, and give what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    names = {f"GIT_{role}_NAME": AUTHOR for role in ("AUTHOR", "COMMITTER")}
    emails = {f"GIT_{role}_EMAIL": EMAIL for role in ("AUTHOR", "COMMITTER")}
    done = subprocess.run(
        ["git", *QUICKLY, *arguments],
        cwd=where,
        env={**inherited, **WITHOUT_CONFIGURATION, **names, **emails, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A clone that Ada works in, and its remote."""

    top: Path
    remote: Path

    def become(self, other: "Repository") -> None:
        """All that another one is, in this one's place."""
        for here, there in ((self.top, other.top), (self.remote, other.remote)):
            shutil.rmtree(here, ignore_errors=True)
            shutil.copytree(there, here, symlinks=True)
        config = self.top / ".git" / "config"
        config.write_text(config.read_text().replace(str(other.remote), str(self.remote)))

    @property
    def head(self) -> str:
        return git(self.top, "rev-parse", "HEAD")

    def write(self, text: str, name: str = "models.yaml") -> None:
        path = self.top / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def name_registry(self, *uris: str) -> None:
        """Commit a policy by which these addresses lead to one registry."""
        lines = ["registry-names:", *(f"  - {uri}" for uri in uris)]
        (self.top / "reconciler.yaml").write_text("\n".join(lines) + "\n")
        self.commit("Name the registry")

    def delete(self, name: str = "models.yaml") -> None:
        (self.top / "manifests" / name).unlink()

    def commit(self, message: str = "Say what is wanted", **environment: str) -> str:
        """Commit everything and push it, as a merge does."""
        git(self.top, "add", "--all")
        git(self.top, "commit", "--quiet", "--message", message, **environment)
        git(self.top, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return self.head

    def merge(self, text: str, name: str = "models.yaml") -> str:
        """Write a manifest, commit it and push it."""
        self.write(text, name)
        return self.commit()

    def propose(self, text: str, name: str = "models.yaml") -> str:
        """A commit that writes a manifest, on a branch off main that is not merged yet."""
        git(self.top, "checkout", "--quiet", "-B", "promote", "origin/main")
        self.write(text, name)
        git(self.top, "add", "manifests")
        git(self.top, "commit", "--quiet", "--message", "Promote")
        return self.head

    def merge_proposal(self) -> str:
        """The pull request's button: a merge commit on main."""
        git(self.top, "checkout", "--quiet", "-B", "main", "origin/main")
        git(self.top, "merge", "--quiet", "--no-ff", "--no-edit", "promote")
        git(self.top, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return self.head

    def revert(self) -> str:
        """Revert the newest commit, and push that."""
        git(self.top, "revert", "--no-edit", "HEAD")
        git(self.top, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return self.head


def new_repository(folder: Path, name: str = "models", objects: str = "sha1", **environment: str) -> Repository:
    """
    An empty bare remote, and a clone of it with a first commit; the environment is git's for that commit, and `objects`
    how names are made. Each kind is made once, and copied.
    """
    repository = Repository(folder / name, folder / f"{name}.git")
    repository.become(_new_repository(objects, tuple(environment.items())))
    return repository


@cache
def _new_repository(objects: str, environment: tuple[tuple[str, str], ...]) -> Repository:
    folder = Path(tempfile.mkdtemp(prefix="reconciler-repository-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    repository = Repository(folder / "models", folder / "models.git")
    init = ("init", "--quiet", "--template=", "--initial-branch=main", f"--object-format={objects}")
    git(folder, *init, "--bare", str(repository.remote))
    git(folder, *init, str(repository.top))
    for git_dir in (repository.top / ".git", repository.remote):
        (git_dir / "hooks").mkdir()
        (git_dir / "info").mkdir()
    git(repository.top, "remote", "add", "origin", str(repository.remote))
    (repository.top / "README.md").write_text("Models\n")
    repository.commit("Begin", **dict(environment))
    return repository


def manifest(
    model: str,
    *,
    staging: int | list[int] | None = None,
    production: int | list[int] | None = None,
    **aliases: int | None,
) -> str:
    """A manifest as people write it; what is None is not mentioned."""
    lines = ["---", f"model: {model}"]
    stages = {"Staging": staging, "Production": production}
    if any(declared is not None for declared in stages.values()):
        lines.append("stages:")
        lines.extend(f"  {stage}: {declared}" for stage, declared in stages.items() if declared is not None)
    if aliases:
        lines.append("aliases:")
        lines.extend(f"  {alias}: {'null' if version is None else version}" for alias, version in aliases.items())
    return "\n".join(lines) + "\n"
