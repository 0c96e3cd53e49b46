"""The review: a plan in a pull request, beside what it replaces; and only what was reviewed there is applied."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.names import Commit
from reconciler.render.marker import read_marker
from tests.github_server import REPOSITORY, TOKEN, Hub, serving
from tests.story.command import Ended, Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


@dataclass
class Actions:
    """GitHub Actions, as far as a job sees it: an event, files for outputs and the summary, and the API."""

    hub: Hub
    folder: Path
    reconciler: Reconciler
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    summary: str = ""

    def __call__(self, event: dict[str, Any], *arguments: str, **environment: str) -> Ended:
        files = {name: self.folder / name for name in ("event.json", "output", "summary.md")}
        for path in files.values():
            path.write_text("")
        files["event.json"].write_text(json.dumps(event))
        ended = self.reconciler(
            *arguments,
            "--publish",
            "auto",
            **{
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": self.hub.url,
                "GITHUB_REPOSITORY": REPOSITORY,
                "GITHUB_TOKEN": TOKEN,
                "GITHUB_EVENT_PATH": str(files["event.json"]),
                "GITHUB_OUTPUT": str(files["output"]),
                "GITHUB_STEP_SUMMARY": str(files["summary.md"]),
                **environment,
            },
        )
        self.outputs = dict(re.findall(r"(?m)^([\w-]+)<<(?:.+)\n(.*)\n", files["output"].read_text()))
        self.summary = files["summary.md"].read_text()
        return ended

    def pull_request(self, *arguments: str, **environment: str) -> Ended:
        """A job for pull request 7, with the merge commit checked out."""
        event = {"action": "synchronize", "number": 7, "pull_request": {"number": 7}}
        return self(event, "plan", "--base", "origin/main", *arguments, **environment)

    def push(self, commit: str, *arguments: str) -> Ended:
        """A job for what pull request 7 was merged as."""
        self.hub.pulls[commit] = [self.hub.merged(7, Commit(commit))]
        return self({"ref": "refs/heads/main"}, "apply", "--yes", *arguments)


@pytest.fixture
def actions(tmp_path: Path, reconciler: Reconciler) -> Iterator[Actions]:
    folder = tmp_path / "runner"
    folder.mkdir()
    with serving(Hub()) as hub:
        yield Actions(hub, folder, reconciler)


def test_a_reviewed_promotion_goes_from_the_comment_to_production(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=3)
    registry.move(model, 1, "Production")
    repository.propose(manifest(model, production=2))
    first = actions.pull_request("--out", "plan.json", "--report", "html=plan.html")
    repository.propose(manifest(model, production=3, champion=3))

    second = actions.pull_request("--out", "plan.json")
    digest = actions.outputs["digest"]
    merged = repository.merge_proposal()
    applied = actions.push(merged, "--expect-reviewed")

    assert (first.code, second.code, applied.code) == (0, 0, 0), applied.said
    (comment,) = actions.hub.bodies()
    marker = read_marker(comment)
    assert marker is not None
    assert marker.digest == digest == json.loads((repository.top / "plan.json").read_text())["digest"]
    assert "**promote** `v3`" in comment
    assert "#issuecomment-" in second.err
    assert registry.stages(model) == {1: "Archived", 3: "Production"}
    assert registry.aliases(model) == {"champion": 3}
    assert actions.outputs == {"changes": "true", "blocked": "false", "digest": digest}
    assert "Apply complete: 1 applied." in actions.summary
    assert "<!doctype html>" in (repository.top / "plan.html").read_text().lower()


def test_nothing_is_applied_that_the_comment_does_not_show(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=3)
    registry.move(model, 1, "Production")
    repository.propose(manifest(model, production=3))
    assert actions.pull_request().code == 0
    registry.move(model, 2, "Production", archive=True)

    refused = actions.push(repository.merge_proposal(), "--expect-reviewed")

    assert refused.code == 4
    assert registry.production(model) == [2]
    assert "reconciler.owner" not in registry.tags(model)
    assert actions.outputs["failure-reason"] == "plan-changed"
    assert "changed since the plan was made" in actions.summary


def test_a_commit_that_nobody_reviewed_is_refused(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    refused = actions({"ref": "refs/heads/main"}, "apply", "--yes", "--expect-reviewed")

    assert refused.code == 3
    assert "Nothing was reviewed" in refused.err
    assert actions.outputs["failure-reason"] == "blocked"
    assert registry.production(model) == []


def test_a_comment_that_somebody_else_wrote_was_not_the_review(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=1)
    repository.propose(manifest(model, production=1))
    assert actions.pull_request().code == 0
    for comment in actions.hub.comments[7]:
        comment["user"] = {"login": "mallory", "type": "User"}

    refused = actions.push(repository.merge_proposal(), "--expect-reviewed")

    assert refused.code == 3
    assert registry.production(model) == []


def test_an_apply_that_broke_off_is_finished_by_running_it_again(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    models = [f"{model}-{n}" for n in range(2)]
    registry.register(*models, versions=2)
    repository.propose("".join(manifest(name, production=2) for name in models))
    assert actions.pull_request().code == 0
    merged = repository.merge_proposal()
    assert actions.push(merged, "--expect-reviewed", "--target", models[0]).code == 0

    again = actions.push(merged, "--expect-reviewed")
    done = actions.push(merged, "--expect-reviewed")

    assert (again.code, done.code) == (0, 0), again.said
    assert [registry.production(name) for name in models] == [[2], [2]]


def test_merges_that_one_apply_brings_in_together_are_looked_up_one_by_one(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    models = [f"{model}-{n}" for n in range(2)]
    registry.register(*models, versions=2)
    repository.propose(manifest(models[0], production=2), "first.yaml")
    assert actions.pull_request().code == 0
    first = repository.merge_proposal()
    actions.hub.pulls[first] = [actions.hub.merged(7, Commit(first))]
    actions.hub.comments[8] = []
    repository.propose(manifest(models[1], production=2), "second.yaml")
    event = {"number": 8, "pull_request": {"number": 8}}
    assert actions(event, "plan", "--base", "origin/main").code == 0
    second = repository.merge_proposal()
    actions.hub.pulls[second] = [actions.hub.merged(8, Commit(second))]

    applied = actions({"ref": "refs/heads/main"}, "apply", "--yes", "--expect-reviewed")

    assert applied.code == 0, applied.said
    assert [registry.production(name) for name in models] == [[2], [2]]


def test_a_pull_request_with_broken_manifests_loses_the_plan_it_had(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=2)
    repository.propose(manifest(model, production=2))
    assert actions.pull_request().code == 0
    repository.propose(manifest(model, production=2) + "stages: {}\n")

    broken = actions.pull_request("--report", "github=annotations.txt", "--report", "code-quality=quality.json")

    assert broken.code == 1
    (comment,) = actions.hub.bodies()
    assert "### No plan" in comment
    assert "duplicate-key" in comment
    assert "promote" not in comment
    assert "::error file=manifests/models.yaml,line=" in (repository.top / "annotations.txt").read_text()
    assert json.loads((repository.top / "quality.json").read_text())[0]["check_name"] == "reconciler/duplicate-key"
    assert actions.outputs["failure-reason"] == "invalid-manifests"


def test_a_job_that_may_not_comment_says_so(
    repository: Repository, registry: Registry, actions: Actions, model: str
) -> None:
    registry.register(model, versions=2)
    repository.propose(manifest(model, production=2))

    refused = actions.pull_request(GITHUB_API_URL="http://127.0.0.1:9")

    assert refused.code == 1
    assert "127.0.0.1:9" in refused.err
    assert TOKEN not in refused.said
    assert "promote" in actions.summary


def test_drift_is_told_apart_from_the_change(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    moved, changed, healed = (f"{model}-{word}" for word in ("moved", "changed", "healed"))
    registry.register(moved, changed, healed, versions=3)
    before = "".join(manifest(name, production=1) for name in (moved, changed, healed))
    repository.merge(before)
    assert reconciler("apply", "--yes").code == 0
    for name in (moved, healed):
        registry.move(name, 2, "Production", archive=True)
    repository.propose(manifest(moved, production=1) + manifest(changed, production=3) + manifest(healed, production=2))

    shown = reconciler("plan", "--base", "origin/main", "--format", "json")
    told = reconciler("plan", "--base", "origin/main")

    document = json.loads(shown.out)
    assert document["base"] == {"ref": "origin/main", "commit": git(repository.top, "rev-parse", "origin/main")}
    origins = {(change["name"], change["origin"]) for change in document["resource_changes"]}
    assert origins == {(moved, "drift"), (changed, "change"), (healed, "change")}
    assert "admit  v2  Production already; no record that counts says how it came in" in told.out
    settled = {change["name"]: change["settled"] for change in document["resource_drift"]}
    assert settled == {moved: False, healed: True}
    assert "already pending without this change:" in told.out
    assert "No longer pending once this is merged:" in told.out


def test_a_change_that_is_behind_its_base_says_so(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.propose(manifest(model, production=2))
    git(repository.top, "checkout", "--quiet", "-B", "main", "origin/main")
    repository.merge("", "later.yaml")
    git(repository.top, "checkout", "--quiet", "promote")

    told = reconciler("plan", "--base", "origin/main")

    assert told.code == 0
    assert "origin/main has 1 newer commit" in told.err


def test_a_base_that_is_not_there_is_an_error_with_a_remedy(repository: Repository, reconciler: Reconciler) -> None:
    repository.merge(manifest("x", production=1))

    refused = reconciler("plan", "--base", "origin/nowhere")

    assert refused.code == 1
    assert "This repository has no commit `origin/nowhere`." in refused.err


def test_a_digest_is_enough_to_expect(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    repository.merge(manifest(model, production=2))
    digest = json.loads(reconciler("plan", "--format", "json").out)["digest"]
    repository.merge(manifest(model, production=3))

    refused = reconciler("apply", "--yes", "--expect-digest", digest)
    repository.revert()
    applied = reconciler("apply", "--yes", "--expect-digest", digest)
    again = reconciler("apply", "--yes", "--expect-digest", digest)

    assert (refused.code, applied.code, again.code) == (4, 0, 0)
    assert registry.production(model) == [2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--expect-digest", "abc"], "64 hexadecimal digits"),
        (["--expect-digest", "a" * 64, "--expect-reviewed"], "Give only one of"),
        (["--expect-reviewed"], "requires --publish"),
        (["--publish", "auto"], "not a job of GitHub Actions or GitLab CI"),
    ],
)
def test_expectations_that_cannot_be_met_are_usage_errors(
    repository: Repository, reconciler: Reconciler, arguments: list[str], told: str
) -> None:
    repository.merge(manifest("x", production=1))

    refused = reconciler("apply", "--yes", *arguments)

    assert refused.code == 1
    assert told in refused.err


def test_drift_is_what_differs_from_what_was_applied(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    moved, waiting, calm = (f"{model}-{word}" for word in ("moved", "waiting", "calm"))
    registry.register(moved, waiting, calm, versions=2)
    first = repository.merge("".join(manifest(name, production=1, champion=1) for name in (moved, waiting, calm)))
    in_no_registry = reconciler("drift")
    assert reconciler("apply", "--yes").code == 0
    in_sync = reconciler("drift")
    repository.merge(
        manifest(moved, production=1, champion=1)
        + manifest(waiting, production=2, champion=1)
        + manifest(calm, production=1, champion=1)
    )
    unapplied = reconciler("drift")
    registry.move(moved, 2, "Production", archive=True)
    registry.set_alias(moved, "champion", 2)

    drifted = reconciler("drift", "--format", "json")
    told = reconciler("drift")

    assert [ended.code for ended in (in_no_registry, in_sync, unapplied, drifted, told)] == [2, 0, 0, 2, 2]
    assert unapplied.out.rstrip().endswith("Drift: 0 drifted, 0 unknown, 1 pending, 2 in sync.")
    document = json.loads(drifted.out)
    models = {entry["model"]: entry for entry in document["models"]}
    assert {name: entry["status"] for name, entry in models.items()} == {moved: "drifted", waiting: "pending"}
    assert models[moved]["applied"] == first
    assert {change["sentence"] for change in models[moved]["drifted"]} == {
        "v1 is in Archived, but should be in Production",
        "v2 is in Production, but should be in Archived",
        "@champion names v2, but should name v1",
    }
    assert "@champion names v2, but should name v1" in told.out


def test_drift_from_a_commit_that_is_gone_is_unknown_and_not_fine(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    git(repository.top, "checkout", "--quiet", "-b", "gone")
    repository.write(manifest(model, production=1))
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message", "Applied from a branch")
    assert reconciler("apply", "--yes").code == 0
    git(repository.top, "checkout", "--quiet", "-B", "main", "origin/main")
    git(repository.top, "branch", "--quiet", "-D", "gone")
    git(repository.top, "reflog", "expire", "--expire=now", "--all")
    git(repository.top, "gc", "--quiet", "--prune=now")
    repository.merge(manifest(model, production=2))

    told = reconciler("drift")

    assert told.code == 2
    assert "1 unknown" in told.out


@dataclass(frozen=True)
class Ending:
    """What keeps the second plan of a change from being made, and what the comment says of it."""

    why: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])
    folder: str = ""


GATE = "slots: [{slot: Production, gates: [{uses: acme-exit}]}]\n"
ENDINGS = {
    "a folder stands in the place of a report": Ending(
        "could not be written", ("--report", "html=plan.html"), folder="plan.html"
    ),
    "the manifests are wrong": Ending("unknown-key", files={"manifests/models.yaml": "model: a\nstage: {}\n"}),
    "the base is not there, so that nothing can be opened": Ending("no commit", ("--base", "nowhere")),
    "no registry is named": Ending("No registry is configured", environment={"MLFLOW_TRACKING_URI": ""}),
    "a library ends the process": Ending("acme-exit failed on it: SystemExit: 0", files={"reconciler.yaml": GATE}),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_an_old_plan_never_stands_whatever_ends_the_new_one(
    repository: Repository, registry: Registry, actions: Actions, model: str, tmp_path: Path, case: str
) -> None:
    ending, library = ENDINGS[case], tmp_path / "library"
    about = library / "acme_gates-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gates\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[reconciler.gates]\nacme-exit = acme_gates:gate\n")
    (library / "acme_gates.py").write_text("raise SystemExit(0)\n")
    if "library" in case:
        actions.reconciler = actions.reconciler.cold
    registry.register(model, versions=2)
    repository.propose(manifest(model, production=2))
    first = actions.pull_request(GITHUB_SHA=repository.head)
    for name, text in ending.files.items():
        (repository.top / name).write_text(text)
    if ending.folder:
        (repository.top / ending.folder).mkdir()

    second = actions.pull_request(
        *ending.arguments, **{"GITHUB_SHA": "2" * 40, "PYTHONPATH": str(library), **ending.environment}
    )

    (comment,) = actions.hub.bodies()
    assert (first.code, second.code) == (0, 1), second.said
    assert "### No plan" in comment
    assert ending.why in comment
    assert actions.outputs["failure-reason"]
