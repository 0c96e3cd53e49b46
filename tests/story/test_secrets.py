"""Passwords are used and never told."""

import pytest

from tests.servers import free_port
from tests.story.command import Reconciler
from tests.story.proxy import Answer, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

PASSWORD = "hunter2-s3cret"


def with_password(uri: str) -> str:
    return uri.replace("http://", f"http://ada:{PASSWORD}@")


def test_a_password_in_the_address_of_the_registry_is_nowhere_to_be_found(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=2, champion=2) + manifest(f"{model}-unknown", production=1))
    uri = with_password(registry.uri)

    ended = [
        reconciler("plan", "--out", "plan.json", MLFLOW_TRACKING_URI=uri),
        reconciler("plan", "--format", "json", MLFLOW_TRACKING_URI=uri),
        reconciler.cold(
            *("apply", "plan.json", "--receipt", "receipt.json", "--log-format", "json"), MLFLOW_TRACKING_URI=uri
        ),
    ]

    assert [one.code for one in ended] == [3, 3, 3]
    assert registry.stages(model) == {2: "Production"}
    written = [(repository.top / name).read_text() for name in ("plan.json", "receipt.json")]
    tags = [*registry.tags(model).values(), *registry.version_tags(model, 2).values()]
    locks = git(repository.top, "ls-remote", "origin")
    for text in (*(one.said for one in ended), *written, *tags, locks):
        assert PASSWORD not in text
        assert "ada:" not in text


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_password_is_not_told_when_the_server_refuses(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, status: int
) -> None:
    repository.merge(manifest(model, production=1))

    with proxy(registry.uri, lambda _: Answer(status, f"no entry at {with_password(registry.uri)}")) as front:
        refused = reconciler(
            *("apply", "--yes", "--log-format", "json", "--receipt", "receipt.json"),
            MLFLOW_TRACKING_URI=with_password(front.uri),
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        )

    assert refused.code == 1
    assert PASSWORD not in refused.said


def test_a_password_is_not_told_when_nobody_answers(repository: Repository, reconciler: Reconciler, model: str) -> None:
    repository.merge(manifest(model, production=1))
    uri = f"http://ada:{PASSWORD}@127.0.0.1:{free_port()}/mlflow"

    refused = reconciler("plan", MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")

    assert refused.code == 1
    assert PASSWORD not in refused.said


def test_a_token_in_the_address_of_the_git_remote_is_not_told(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    git(repository.top, "remote", "set-url", "origin", f"http://x:{PASSWORD}@127.0.0.1:{free_port()}/acme/models.git")

    planned = reconciler("plan", "--format", "json", "--out", "plan.json")
    refused = reconciler("apply", "--yes")
    applied = reconciler("apply", "--yes", "--no-lock", "--receipt", "receipt.json")

    assert (planned.code, refused.code, applied.code) == (0, 1, 0)
    assert "127.0.0.1/acme/models#manifests" in planned.out
    written = [(repository.top / name).read_text() for name in ("plan.json", "receipt.json")]
    tags = [*registry.tags(model).values(), *registry.version_tags(model, 1).values()]
    for text in (planned.said, refused.said, applied.said, *written, *tags):
        assert PASSWORD not in text
