"""A commit on a branch of its own, as people make theirs, with the git that is installed."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.git.branch import author_of_job, branch_of_job, push_change
from reconciler.ports import SourceFile

FILE = SourceFile("manifests/new/churn.yaml", b"model: churn\n")


def git(place: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example")
    done = subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def clone(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    form = f"--object-format={request.param}"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", form, "remote.git")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", form, "clone")
    top = tmp_path / "clone"
    for name, value in (("user.name", "Ada"), ("user.email", "ada@acme.example"), ("commit.gpgsign", "false")):
        git(top, "config", name, value)
    git(top, "remote", "add", "origin", str(tmp_path / "remote.git"))
    (top / "README").write_text("first\n")
    git(top, "add", "README")
    git(top, "commit", "--quiet", "--message", "First")
    git(top, "push", "--quiet", "origin", "main")
    return top


def push(top: Path, branch: str = "promote/churn", author: str | None = None, message: str = "Promote churn") -> str:
    return push_change(top, branch, [FILE], message, remote="origin", start="HEAD", environment={}, author=author)


def test_a_branch_with_one_commit_is_pushed_and_the_checkout_is_not_touched(clone: Path) -> None:
    (clone / "README").write_text("at work\n")
    (clone / "staged").touch()
    git(clone, "add", "staged")
    before = git(clone, "status", "--porcelain")

    commit = push(clone, author="grace <1+grace@users.noreply.github.com>")

    remote = clone.parent / "remote.git"
    assert git(remote, "rev-parse", "promote/churn") == commit
    assert git(remote, "log", "-1", "--format=%an, %ce: %s", commit) == "grace, ada@acme.example: Promote churn"
    assert git(remote, "diff", "--name-only", "main", commit) == FILE.path
    assert git(remote, "show", f"{commit}:{FILE.path}") == "model: churn"
    assert git(clone, "status", "--porcelain") == before
    assert len(git(clone, "worktree", "list").splitlines()) == 1


def test_the_hooks_of_whoever_commits_have_their_say(clone: Path) -> None:
    hook = clone / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(ReconcilerError, match=r"git commit failed: .*not today.* Nothing was changed"):
        push(clone)
    assert len(git(clone, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("setting", ["url", "pushurl"])
def test_a_remote_by_a_relative_path_is_the_one_that_git_itself_pushes_to(clone: Path, setting: str) -> None:
    git(clone, "config", f"remote.origin.{setting}", "../remote.git")

    commit = push(clone)

    assert git(clone.parent / "remote.git", "rev-parse", "promote/churn") == commit


def test_a_branch_that_is_there_is_not_overwritten(clone: Path) -> None:
    first = push(clone)

    with pytest.raises(ReconcilerError, match=r"git push failed: .*stale info"):
        push(clone, message="Promote churn again")
    assert git(clone.parent / "remote.git", "rev-parse", "promote/churn") == first


def test_a_variable_that_leads_git_elsewhere_is_refused(clone: Path) -> None:
    with pytest.raises(ReconcilerError, match="GIT_DIR points git to another repository"):
        push_change(clone, "b", [FILE], "m", remote="origin", start="HEAD", environment={"GIT_DIR": "/elsewhere"})


@pytest.mark.parametrize(
    ("environment", "author"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "grace", "GITHUB_ACTOR_ID": "7"},
            "grace <7+grace@users.noreply.github.com>",
        ),
        (
            {"GITLAB_CI": "true", "GITLAB_USER_NAME": "Grace", "GITLAB_USER_EMAIL": "grace@acme.example"},
            "Grace <grace@acme.example>",
        ),
        ({"GITHUB_ACTOR": "grace", "GITHUB_ACTOR_ID": "7"}, None),
        ({}, None),
    ],
)
def test_what_a_job_commits_is_of_whoever_started_it(environment: dict[str, str], author: str | None) -> None:
    assert author_of_job(environment) == author


@pytest.mark.parametrize(
    ("environment", "branch"),
    [
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/release/1"}, "release/1"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge"}, None),
        ({"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "trunk"}, "trunk"),
        ({"GITHUB_REF": "refs/heads/main"}, None),
    ],
)
def test_a_request_of_a_job_is_for_the_branch_of_the_job(environment: dict[str, str], branch: str | None) -> None:
    assert branch_of_job(environment) == branch
