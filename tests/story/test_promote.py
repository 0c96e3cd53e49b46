"""From a version number to a pull request, and back: the commands that change manifests."""

import re
from collections.abc import Iterator

import pytest

from tests.github_server import TOKEN, Hub, serving
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as hub:
        yield hub


def test_a_promotion_is_written_reviewed_merged_applied_and_rolled_back(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1) + "# the end\n")
    assert reconciler("apply", "--yes").code == 0
    registry.move(model, 2, "Staging")

    promoted = reconciler("promote", model, "--from", "Staging", "--comment", "Won the test: +4 %")
    assert promoted.code == 0, promoted.said
    assert "+  Production: {version: 2" in promoted.out or "+    version: 2" in promoted.out
    assert re.search("promote +v2 +Staging -> Production", promoted.out)
    assert registry.production(model) == [1]

    repository.commit("Promote it")
    assert reconciler("apply", "--yes").code == 0
    assert registry.production(model) == [2]

    back = reconciler("rollback", model)
    assert back.code == 0, back.said
    assert re.search("roll back +v1 +Archived -> Production", back.out)
    repository.commit("Roll it back")
    assert reconciler("apply", "--yes").code == 0
    assert registry.production(model) == [1]
    assert (repository.top / "manifests" / "models.yaml").read_text().endswith("# the end\n")


def test_a_pull_request_is_opened_from_a_job_and_the_checkout_is_not_touched(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, hub: Hub
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    job = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": hub.url,
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_ACTOR": "grace",
        "GITHUB_ACTOR_ID": "7",
        "GIT_AUTHOR_NAME": "robot",
        "GIT_AUTHOR_EMAIL": "robot@example.org",
        "GIT_COMMITTER_NAME": "robot",
        "GIT_COMMITTER_EMAIL": "robot@example.org",
    }

    done = reconciler("promote", model, "--latest", "--open-pr", **job)

    assert done.code == 0, done.said
    assert done.out.splitlines()[-1] == "https://github.example/acme/models/pull/40"
    (opened,) = hub.opened
    assert (opened["title"], opened["base"]) == (f"Promote {model} v2 to Production", "main")
    branch = opened["head"]
    assert git(repository.remote, "log", "-1", "--format=%an <%ae>", branch).startswith("grace <7+grace@users.")
    assert "+  Production: 2" in git(repository.remote, "show", "--format=", branch)
    assert git(repository.top, "status", "--porcelain") == ""

    (repository.top / "manifests" / "models.yaml").write_text(manifest(model, production=1, staging=2))
    refused = reconciler("promote", model, "--latest", "--open-pr", **job)
    assert refused.code == 1
    assert "The work tree has changes of its own: manifests/models.yaml." in refused.err


def test_what_cannot_be_meant_is_refused_with_the_remedy(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=2) + "hold: {version: 1, slot: Staging, reason: It leaks data.}\n")

    for arguments, message in (
        ((model,), "Exactly one version is required"),
        ((model, "7"), "has no version 7; the newest is v2"),
        ((model, "1", "--to", "production"), "Did you mean `Production`?"),
        ((model, "1", "--to", "Staging"), "v1 of .* is held out of Staging: It leaks data"),
        ((model, "2", "--to", "Staging"), "the only version declared in Production, which would be empty. To move it"),
        ((model[:-1], "1"), f"Did you mean `{model}`?"),
    ):
        refused = reconciler("promote", *arguments)
        assert refused.code == 1
        assert re.search(message.replace("?", r"\?"), refused.err), refused.err
    same = reconciler("promote", model, "v2", "--open-pr")
    assert (same.code, "declare that already: nothing changes" in same.err) == (0, True), same.said
    unknown = reconciler("promote", model, "v1", "--to", "@champion", "--open-pr", "--dry-run")
    assert (unknown.code, unknown.out) == (1, ""), unknown.said
    assert "no request can be opened" in unknown.err
    assert git(repository.top, "status", "--porcelain") == ""
