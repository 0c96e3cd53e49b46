"""What is refused, with which exit code, and that the message says what to mend."""

import json
from pathlib import Path

import pytest

from tests.servers import free_port
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


def test_a_model_that_is_blocked_does_not_keep_the_others_from_going_on(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    good, bad = f"{model}-good", f"{model}-bad"
    registry.register(good, bad, versions=2)
    registry.move(bad, 1, "Production")
    repository.merge(manifest(good, production=2) + manifest(bad, production=9))

    planned = reconciler("plan", "--detailed-exitcode")
    applied = reconciler("apply", "--yes", "--receipt", "receipt.json")

    assert (planned.code, applied.code) == (3, 3)
    assert "manifests/models.yaml:8:15: unknown-version" in planned.out
    assert "(it has: 1, 2)" in planned.out
    assert registry.stages(good) == {2: "Production"}
    assert registry.stages(bad) == {1: "Production"}
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert {entry["model"]: entry["status"] for entry in receipt["models"]} == {good: "applied", bad: "blocked"}
    assert receipt["exit_code"] == 3


def test_a_registry_that_is_not_there_is_named_and_not_waited_for(
    repository: Repository, reconciler: Reconciler, model: str
) -> None:
    repository.merge(manifest(model, production=1))
    uri = f"http://127.0.0.1:{free_port()}"

    for arguments in (["plan"], ["apply", "--yes"]):
        refused = reconciler(*arguments, MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")

        assert refused.code == 1
        assert f"Error: {uri} is down: nothing listens at that port. Start the server" in refused.err
        assert "Traceback" not in refused.said


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("", "No registry is configured"),
        ("sqlite:///nowhere.db", "no SQLite database"),
        ("gopher://127.0.0.1", "gopher://127.0.0.1"),
    ],
)
def test_an_address_that_is_none_is_refused(
    repository: Repository, reconciler: Reconciler, model: str, uri: str, told: str
) -> None:
    repository.merge(manifest(model, production=1))

    refused = reconciler("plan", MLFLOW_TRACKING_URI=uri)

    assert refused.code == 1
    assert told in refused.err
    assert "Traceback" not in refused.said
    assert not (repository.top / "nowhere.db").exists()


def test_every_mistake_in_the_manifests_is_told_with_its_place(
    repository: Repository, reconciler: Reconciler, model: str
) -> None:
    repository.write(f"model: {model}\nstages:\n  Production: latest\naliases:\n  champion: 1\n  champion: 2\n")
    repository.write(f"model: {model}\nstage:\n  Production: 1\n", "typo.yaml")
    repository.commit()

    for arguments in (["validate"], ["plan"], ["apply", "--yes"]):
        refused = reconciler(*arguments)

        assert refused.code == 1
        for place in ("manifests/models.yaml:3:15: ", "manifests/models.yaml:6:3: ", "manifests/typo.yaml:2:1: "):
            assert place in refused.said
        assert "Traceback" not in refused.said


@pytest.mark.parametrize(
    "arguments",
    [
        ["plam"],
        ["plan", "--nope"],
        ["plan", "--format", "xml"],
        ["plan", "--max-change-percent", "120"],
        ["apply", "--parallelism", "0"],
        ["apply", "--yes", "no-such-plan.json"],
        ["validate", "nowhere"],
        ["plan", "--out", "nowhere/plan.json"],
        ["apply", "--yes", "--ref", "no-such-branch"],
        ["plan", "--target", "nobody"],
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_exits_with_1(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, arguments: list[str]
) -> None:
    repository.merge(manifest(model, production=1))

    refused = reconciler(*arguments)

    assert refused.code == 1
    assert refused.said.strip()
    assert "Traceback" not in refused.said


def test_a_saved_plan_keeps_the_options_that_it_was_made_with(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("plan", "--out", "plan.json").code == 0

    refused = reconciler("apply", "plan.json", "--adopt", "--target", model)

    assert refused.code == 1
    assert "give --target, --adopt to `plan` instead" in refused.err
    assert registry.stages(model) == {}


def test_without_a_terminal_to_ask_on_nothing_is_applied_unless_told_so(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    refused = reconciler("apply")

    assert refused.code == 1
    assert "--yes" in refused.err
    assert registry.stages(model) == {}


def test_outside_a_git_repository_there_is_nothing_to_plan(
    tmp_path: Path, repository: Repository, reconciler: Reconciler
) -> None:
    (tmp_path / "manifests").mkdir()

    refused = reconciler("plan", "--manifests", str(tmp_path / "manifests"))

    assert refused.code == 1
    assert "not in a git repository" in refused.err


def test_without_a_remote_to_keep_the_lock_on_an_apply_says_what_to_do(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    git(repository.top, "remote", "remove", "origin")

    refused = reconciler("apply", "--yes")
    locally = reconciler("apply", "--yes", "--lock", "file")

    assert refused.code == 1
    assert "--lock file" in refused.err
    assert locally.code == 0
    assert registry.stages(model) == {1: "Production"}


def test_a_remote_that_cannot_be_reached_stops_an_apply_before_it_writes(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    repository.remote.rename(repository.remote.with_name("moved.git"))

    refused = reconciler("apply", "--yes")

    assert refused.code == 1
    assert "--no-lock" in refused.err
    assert "Traceback" not in refused.said
    assert registry.stages(model) == {}
