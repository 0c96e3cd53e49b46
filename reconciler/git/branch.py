"""
A commit on a branch of its own, pushed for others to review. It is made as people make theirs: by their identity, with
their hooks and their signature, through GitPython. Their checkout is not touched.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.core.names import Commit
from reconciler.core.text import plain
from reconciler.errors import ReconcilerError
from reconciler.ports import SourceFile

_LEADS_ASTRAY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


def push_change(
    top: Path,
    branch: str,
    files: Iterable[SourceFile],
    message: str,
    *,
    remote: str,
    start: str,
    environment: Mapping[str, str],
    author: str | None = None,
) -> Commit:
    """
    Commit `files` on top of `start` and push that as `branch`, which must be new. The files are written to a work tree
    of their own, which is removed again. `author` is `Name <email>`, where it is not whoever commits. Raises
    ReconcilerError with what git says.
    """
    from git import Repo
    from git.exc import GitCommandError

    if astray := [name for name in _LEADS_ASTRAY if name in environment]:
        raise ReconcilerError(f"{', '.join(astray)} points git to another repository.", "Unset it, and run this again.")
    repo = Repo(top)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        place = Path(folder) / "tree"
        try:
            repo.git.worktree("add", "--quiet", "--detach", str(place), start)
            tree = Repo(place)
            for file in files:
                path = place / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.data)
                tree.git.add("--", file.path)
            tree.git.commit("--quiet", "--message", message, *([f"--author={author}"] if author else []))
            commit = Commit(tree.git.rev_parse("HEAD"))
            # A lease on nothing: a branch of that name that is there already is somebody's. From the checkout, because
            # git reads the relative path of a remote from where it runs.
            lease = f"--force-with-lease=refs/heads/{branch}:"
            repo.git.push("--quiet", lease, remote, f"{commit}:refs/heads/{branch}")
        except GitCommandError as error:
            said = plain(" ".join(str(error.stderr).split()), 400)
            raise ReconcilerError(
                f"git {error.command[1]} failed: {said}", "Nothing was changed in this checkout."
            ) from error
        finally:
            if place.exists():
                repo.git.worktree("remove", "--force", str(place))
    return commit


def branch_of_job(environment: Mapping[str, str]) -> str | None:
    """The branch that the CI job runs for, which a request of it is to be merged into. None outside of a job."""
    ref = environment.get("GITHUB_REF", "") if environment.get("GITHUB_ACTIONS") == "true" else ""
    if ref.startswith("refs/heads/"):
        return ref.removeprefix("refs/heads/")
    return environment.get("CI_COMMIT_BRANCH") or None if environment.get("GITLAB_CI") == "true" else None


def author_of_job(environment: Mapping[str, str]) -> str | None:
    """
    Who started the CI job that this is, as the author of a commit by which the forge knows them: what a bot commits for
    somebody is theirs, and they do not approve it. None outside of a job.
    """
    login, number = environment.get("GITHUB_ACTOR", ""), environment.get("GITHUB_ACTOR_ID", "")
    if environment.get("GITHUB_ACTIONS") == "true" and login and number:
        return f"{login} <{number}+{login}@users.noreply.github.com>"
    name, mail = environment.get("GITLAB_USER_NAME", ""), environment.get("GITLAB_USER_EMAIL", "")
    return f"{name} <{mail}>" if environment.get("GITLAB_CI") == "true" and mail else None
