"""From an empty repository to a promotion: the jobs that `init` writes, run by their own scripts."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.forges.kinds import ForgeKind
from reconciler.scaffold import First, Jobs, Scaffold, scaffold
from reconciler.scaffold.keys import key_path
from tests.github_server import PULL_REQUEST, PUSH, REPOSITORY, Hub, serving
from tests.github_server import TOKEN as GITHUB_TOKEN
from tests.gitlab_server import Gitlab, gitlab_server
from tests.servers import QUIET
from tests.story.command import command_on_disk
from tests.story.conftest import INHERITED
from tests.story.registry import Registry
from tests.story.repository import WITHOUT_CONFIGURATION, Repository, git

OWNER = "@acme/risk-ml"
SOURCE = f"git+https://git.acme.example/mlops/mlflow-reconciler@{'a1' * 20}"


@dataclass
class Runner:
    """Clones as a runner does, for each job anew, and runs a job's scripts in one shell after the other."""

    repository: Repository
    registry: Registry
    folder: Path
    installed: Path
    jobs: int = 0
    printed: str = ""
    at: Path = field(default_factory=Path)

    def check_out(self, ref: str) -> None:
        """A clone of its own, at a ref of the remote."""
        self.jobs += 1
        self.at = self.folder / f"job-{self.jobs}"
        git(self.folder, "clone", "--quiet", str(self.repository.remote), str(self.at))
        git(self.at, "checkout", "--quiet", "--detach", ref)

    def run(self, script: str, environment: Mapping[str, str]) -> int:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.at,
            env={
                **{name: os.environ[name] for name in INHERITED if name in os.environ},
                **WITHOUT_CONFIGURATION,
                **QUIET,
                "PATH": f"{self.installed / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "MLFLOW_TRACKING_URI": self.registry.uri,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        self.printed = done.stdout + done.stderr
        return done.returncode

    @property
    def signing_key(self) -> str:
        """The secret of the job that applies, as `init` made it."""
        path = key_path(self.repository.top / ".git")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def branch(self, name: str) -> None:
        """Ada begins a change, from where the default branch is now."""
        git(self.repository.top, "fetch", "--quiet", "origin")
        git(self.repository.top, "checkout", "--quiet", "-B", name, "origin/main")

    def push(self, name: str) -> None:
        git(self.repository.top, "add", "--all")
        git(self.repository.top, "commit", "--quiet", "--message", f"Do {name}")
        git(self.repository.top, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{name}")

    def merge(self, name: str) -> str:
        """The merge button: the commit that the default branch is then at."""
        top = self.repository.top
        git(top, "fetch", "--quiet", "origin")
        git(top, "checkout", "--quiet", "-B", "main", "origin/main")
        git(top, "merge", "--quiet", "--no-ff", "--message", f"Merge {name}", f"origin/{name}")
        git(top, "push", "--quiet", "origin", "main")
        return self.repository.head


@pytest.fixture
def runner(repository: Repository, registry: Registry, tmp_path: Path) -> Iterator[Runner]:
    folder = tmp_path / "runner"
    folder.mkdir()
    with command_on_disk(tmp_path / "installed") as installed:
        yield Runner(repository, registry, folder, installed)


def lay(repository: Repository, first: First = First(), *, forge: ForgeKind, from_base: bool = False) -> Scaffold:
    return scaffold(repository.top, first, Jobs(forge, from_base, SOURCE))


def promote(repository: Repository, model: str, version: int) -> None:
    (path,) = (repository.top / "manifests").glob(f"{model}/production.yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)Production: \d+$", f"Production: {version}", text), encoding="utf-8")


# GitLab


@dataclass
class GitlabCi:
    """The pipelines of merge request 3, and of the default branch."""

    runner: Runner
    gitlab: Gitlab

    def job(self, name: str, variables: Mapping[str, str]) -> int:
        """Run the scripts of a job, except for what installs the command, which is installed."""
        content = yaml.safe_load((self.runner.at / ".gitlab/reconciler.gitlab-ci.yml").read_text(encoding="utf-8"))
        job = {**content[".reconciler"], **content[f"reconciler:{name}"]}
        variables_of_all: dict[str, str] = content[".reconciler"]["variables"]
        _, install, *before = job["before_script"]
        assert "RECONCILER_INSTALL" in install
        of_the_server = {
            key: value for key, value in self.gitlab.job.items() if not key.startswith("CI_MERGE_REQUEST_")
        }
        environment = {**variables_of_all, "GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main", **of_the_server}
        script = "\n".join([f"venv={self.runner.installed}", *before, *job["script"]])
        return self.runner.run(script, {**environment, **variables})

    def on_merge_request(self, branch: str, *names: str) -> list[int]:
        """The jobs of a pipeline for a merge request: GitLab checks out the source branch."""
        self.runner.check_out(f"origin/{branch}")
        of_the_request = {key: value for key, value in self.gitlab.job.items() if key.startswith("CI_MERGE_REQUEST_")}
        target = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_PIPELINE_SOURCE": "merge_request_event"}
        return [self.job(name, {**of_the_request, **target}) for name in names]

    def on_default_branch(self, name: str, **variables: str) -> int:
        self.runner.check_out("origin/main")
        commit = git(self.runner.at, "rev-parse", "HEAD")
        key = {"RECONCILER_SIGNING_KEY": self.runner.signing_key} if name == "apply" else {}
        return self.job(name, {"CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": commit, **key, **variables})

    def merge(self, branch: str) -> None:
        commit = self.runner.merge(branch)
        self.gitlab.merge_requests = [
            {
                "iid": 3,
                "state": "merged",
                "target_branch": "main",
                "merge_commit_sha": commit,
                "merged_at": "2026-05-01T12:00:00.000Z",
            }
        ]

    def report(self, name: str) -> Any:
        return json.loads((self.runner.at / name).read_text(encoding="utf-8"))


@pytest.fixture
def gitlab_ci(runner: Runner) -> Iterator[GitlabCi]:
    with gitlab_server() as gitlab:
        yield GitlabCi(runner, gitlab)


def test_gitlab_reviews_and_applies_the_first_manifests_and_a_promotion(
    gitlab_ci: GitlabCi, runner: Runner, repository: Repository, registry: Registry, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")

    # The repository is laid out, with what is in Production now.
    runner.branch("begin")
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITLAB)
    runner.push("begin")
    assert gitlab_ci.on_merge_request("begin", "validate", "plan") == [0, 0], runner.printed
    assert gitlab_ci.report("reconciler-problems.json") == []
    gitlab_ci.merge("begin")
    assert gitlab_ci.on_default_branch("apply") == 0, runner.printed
    assert registry.stages(model) == {1: "Production"}

    # A version is promoted, while somebody else changes the default branch.
    runner.branch("promote")
    promote(repository, model, 2)
    runner.push("promote")
    runner.branch("elsewhere")
    (repository.top / "notes.md").write_text("Notes\n")
    runner.push("elsewhere")
    runner.merge("elsewhere")
    assert gitlab_ci.on_merge_request("promote", "validate", "plan") == [0, 0], runner.printed
    assert (runner.at / "notes.md").exists()
    assert len(gitlab_ci.gitlab.notes) == 1
    assert "v2" in gitlab_ci.gitlab.bodies()[0]
    assert gitlab_ci.report("reconciler-figures.json")["update"] == 2
    assert gitlab_ci.report("reconciler-blocked.json") == []
    assert "RECONCILER_OUTPUT_CHANGES=true" in (runner.at / "reconciler.env").read_text()
    assert registry.production(model) == [1]
    gitlab_ci.merge("promote")
    assert gitlab_ci.on_default_branch("apply") == 0, runner.printed

    assert registry.production(model) == [2]
    assert gitlab_ci.report("reconciler-receipt.json")["exit_code"] == 0
    assert gitlab_ci.on_default_branch("drift") == 0, runner.printed

    # Somebody moves a version by hand.
    registry.move(model, 1, "Production", archive=True)
    assert gitlab_ci.on_default_branch("drift") == 2, runner.printed


def test_gitlab_applies_nothing_that_was_not_reviewed(
    gitlab_ci: GitlabCi, runner: Runner, repository: Repository, registry: Registry, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    lay(repository, First(model, 2, OWNER), forge=ForgeKind.GITLAB)
    repository.commit("Promote without a merge request")

    code = gitlab_ci.on_default_branch("apply")

    assert code == 3, runner.printed
    assert registry.production(model) == [1]


def test_gitlab_applies_what_was_not_reviewed_when_somebody_says_so(
    gitlab_ci: GitlabCi, runner: Runner, repository: Repository, registry: Registry, model: str
) -> None:
    registry.register(model, versions=1)
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITLAB)
    repository.commit("Promote without a merge request")

    code = gitlab_ci.on_default_branch("apply", RECONCILER_COMPARE="false")

    assert code == 0, runner.printed
    assert registry.production(model) == [1]


def test_gitlab_says_why_there_is_no_plan_of_what_cannot_be_merged(
    gitlab_ci: GitlabCi, runner: Runner, repository: Repository, model: str
) -> None:
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITLAB)
    repository.commit("Begin")
    for name, version in (("ours", 2), ("theirs", 3)):
        runner.branch(name)
        promote(repository, model, version)
        runner.push(name)
    runner.merge("theirs")

    codes = gitlab_ci.on_merge_request("ours", "validate", "plan")

    assert codes == [0, 1]
    assert "this conflicts with main" in runner.printed
    assert gitlab_ci.gitlab.notes == []


def test_a_fresh_example_is_a_valid_and_empty_plan(gitlab_ci: GitlabCi, runner: Runner, repository: Repository) -> None:
    runner.branch("begin")
    lay(repository, forge=ForgeKind.GITLAB)
    runner.push("begin")

    assert gitlab_ci.on_merge_request("begin", "validate", "plan") == [0, 0], runner.printed
    assert gitlab_ci.report("reconciler-figures.json") == {"create": 0, "update": 0, "delete": 0}


# GitHub


@dataclass
class Actions:
    """The workflows of pull request 7, and of the default branch."""

    runner: Runner
    hub: Hub
    head: str = ""
    before: str = ""

    def job(self, workflow: str, job: str, event: Mapping[str, Any], *, name: str = "", where: str = "") -> int:
        """Run the steps of a job that are scripts, except for what installs the command, which is installed."""
        path = self.runner.at / where / f".github/workflows/reconciler-{workflow}.yml"
        temp = self.runner.at.with_name(f"{self.runner.at.name}-{job}")
        temp.mkdir()
        (temp / "reconciler").symlink_to(self.runner.installed)
        (temp / "event.json").write_text(json.dumps(event))
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        top = self.runner.at
        for step in content["jobs"][job]["steps"]:
            if "run" not in step or "reconciler-install.sh" in step["run"]:
                continue
            environment = {key: self._evaluated(str(value)) for key, value in step.get("env", {}).items()}
            self.runner.at = top / step.get("working-directory", "")
            code = self.runner.run(
                step["run"],
                {
                    "CI": "true",
                    "GITHUB_ACTIONS": "true",
                    "GITHUB_API_URL": self.hub.url,
                    "GITHUB_SERVER_URL": "https://github.com",
                    "GITHUB_REPOSITORY": REPOSITORY,
                    "GITHUB_RUN_ID": "1",
                    "GITHUB_EVENT_NAME": name,
                    "GITHUB_EVENT_PATH": str(temp / "event.json"),
                    "GITHUB_OUTPUT": str(temp / "output"),
                    "GITHUB_STEP_SUMMARY": str(temp / "summary.md"),
                    "RUNNER_TEMP": str(temp),
                    **environment,
                },
            )
            self.runner.at = top
            if code:
                return code
        return 0

    def _evaluated(self, text: str) -> str:
        values = {
            "github.token": GITHUB_TOKEN,
            "github.server_url": "https://github.com",
            "github.event.pull_request.base.ref": "main",
            "github.event.merge_group.base_sha || "
            "format('refs/remotes/origin/{0}', github.event.pull_request.base.ref)": "refs/remotes/origin/main",
            "github.event.pull_request.head.sha": self.head,
            "secrets.RECONCILER_SIGNING_KEY": self.runner.signing_key,
            "github.event.before": self.before,
            "github.event_name == 'push' || inputs.compare": "true",
            "vars.MLFLOW_TRACKING_URI": self.runner.registry.uri,
            "vars.MLFLOW_WORKSPACE": "",
            "secrets.MLFLOW_TRACKING_USERNAME": "",
            "secrets.MLFLOW_TRACKING_PASSWORD": "",
        }
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values[found[1]], text)

    def on_pull_request(self, branch: str, *jobs: str) -> list[int]:
        """GitHub checks out the merge of the branch into the default branch, which is its first parent."""
        self.runner.check_out("origin/main")
        git(self.runner.at, "merge", "--quiet", "--no-ff", "--message", "Merge", f"origin/{branch}")
        return [self.job("plan", job, PULL_REQUEST, name="pull_request") for job in jobs]

    def on_pull_request_target(self, branch: str, *jobs: str, meant: str = "") -> list[int]:
        """The default branch and the merge are checked out into folders of their own, as the workflow says."""
        self.runner.check_out("origin/main")
        top = self.runner.at
        self.runner.check_out("origin/main")
        change = self.runner.at
        git(change, "merge", "--quiet", "--no-ff", "--message", "Merge", f"origin/{branch}")
        self.head = meant or git(change, "rev-parse", f"origin/{branch}")
        self.runner.at = top.with_name(f"{top.name}-workspace")
        self.runner.at.mkdir()
        top.rename(self.runner.at / "base")
        change.rename(self.runner.at / "change")
        return [self.job("plan", job, PULL_REQUEST, name="pull_request_target", where="base") for job in jobs]

    def on_push(self, workflow: str) -> int:
        self.runner.check_out("origin/main")
        self.before = git(self.runner.at, "rev-parse", "HEAD^1")
        return self.job(workflow, workflow, PUSH, name="push")

    def merge(self, branch: str) -> None:
        commit = self.runner.merge(branch)
        self.hub.pulls[commit] = [self.hub.merged(7, commit)]


@pytest.fixture
def actions(runner: Runner) -> Iterator[Actions]:
    with serving(Hub()) as hub:
        yield Actions(runner, hub)


def test_github_reviews_and_applies_the_first_manifests_and_a_promotion(
    actions: Actions, runner: Runner, repository: Repository, registry: Registry, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")

    runner.branch("begin")
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITHUB)
    runner.push("begin")
    assert actions.on_pull_request("begin", "validate", "plan") == [0, 0], runner.printed
    actions.merge("begin")
    assert actions.on_push("apply") == 0, runner.printed
    assert registry.stages(model) == {1: "Production"}

    runner.branch("promote")
    promote(repository, model, 2)
    runner.push("promote")
    assert actions.on_pull_request("promote", "validate", "plan") == [0, 0], runner.printed
    assert len(actions.hub.bodies()) == 1
    assert "v2" in actions.hub.bodies()[0]
    assert registry.production(model) == [1]
    actions.merge("promote")
    assert actions.on_push("apply") == 0, runner.printed

    assert registry.production(model) == [2]
    assert actions.on_push("drift") == 0, runner.printed

    registry.move(model, 1, "Production", archive=True)
    assert actions.on_push("drift") == 2, runner.printed


def test_a_plan_from_the_default_branch_shows_the_change_and_obeys_nothing_in_it(
    actions: Actions, runner: Runner, repository: Repository, registry: Registry, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITHUB, from_base=True)
    repository.commit("Begin")
    runner.branch("promote")
    promote(repository, model, 2)
    (repository.top / ".github/workflows/reconciler-plan.yml").write_text("on: push\njobs: {}\n")
    (repository.top / "reconciler").mkdir()
    (repository.top / "reconciler" / "__init__.py").write_text("raise SystemExit('theirs')\n")
    runner.push("promote")

    codes = actions.on_pull_request_target("promote", "validate", "plan")

    assert codes == [0, 0], runner.printed
    (body,) = actions.hub.bodies()
    assert "v2" in body
    assert "theirs" not in runner.printed
    assert registry.production(model) == [1]


def test_a_plan_from_the_default_branch_refuses_a_merge_of_an_older_commit(
    actions: Actions, runner: Runner, repository: Repository, model: str
) -> None:
    lay(repository, First(model, 1, OWNER), forge=ForgeKind.GITHUB, from_base=True)
    newer = repository.commit("Begin")
    runner.branch("promote")
    promote(repository, model, 2)
    runner.push("promote")

    codes = actions.on_pull_request_target("promote", "validate", "plan", meant=newer)

    assert codes == [1, 1]
    assert "GitHub has no merge of this commit" in runner.printed
    assert actions.hub.bodies() == []
