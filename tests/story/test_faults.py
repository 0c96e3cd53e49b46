"""Servers that die, connections that break, and proxies that answer for them."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event, Lock

import pytest

from tests.servers import MlflowServer
from tests.story.command import Reconciler
from tests.story.proxy import Answer, Cut, Hang, Judge, Pass, Request, Verdict, passes, proxy
from tests.story.registry import Registry, production_in, watched
from tests.story.repository import Repository, manifest

IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
}


def after_writes(number: int, verdict: Verdict) -> Judge:
    """So many writes go through, and from then on every request, reads too, meets with the verdict."""
    guard = Lock()
    left = number

    def judge(request: Request) -> Verdict:
        nonlocal left
        with guard:
            if left < 0 or (request.writes and left == 0):
                left = -1
                return verdict
            left -= request.writes
            return Pass()

    return judge


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server that a test may kill."""
    server = MlflowServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_server_that_is_killed_in_the_middle_of_an_apply_loses_nothing(
    repository: Repository, own_server: MlflowServer, reconciler: Reconciler, model: str
) -> None:
    models = [f"{model}-{number}" for number in range(5)]
    registry = Registry(own_server.uri)
    registry.register(*models, versions=2)
    repository.merge("".join(manifest(name, production=1, champion=1) for name in models))
    assert reconciler("apply", "--yes", MLFLOW_TRACKING_URI=own_server.uri).code == 0
    repository.merge("".join(manifest(name, production=2, champion=2) for name in models))
    writes = count(1)

    def kill_in_the_middle(request: Request) -> Verdict:
        if request.writes and next(writes) == 8:
            own_server.kill()
        return Pass()

    looks = [lambda name=name: production_in(own_server.database, name) for name in models]
    with proxy(own_server.uri, kill_in_the_middle) as front, watched(*looks) as seen:
        options = ["apply", "--yes", "--parallelism", "2"]
        broken = reconciler(*options, "--receipt", "receipt.json", MLFLOW_TRACKING_URI=front.uri, **IMPATIENT)
        own_server.start()
        again = reconciler(*options, MLFLOW_TRACKING_URI=front.uri)

    assert broken.code == 1
    assert "Traceback" not in broken.said
    assert "run it again" in broken.out
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert receipt["exit_code"] == 1
    assert {entry["status"] for entry in receipt["models"]} >= {"failed", "skipped"}
    assert again.code == 0
    assert [registry.production(name) for name in models] == [[2]] * 5
    assert [registry.aliases(name) for name in models] == [{"champion": 2}] * 5
    for one in seen:
        assert one.changes == [[1], [2]]


@pytest.mark.parametrize(
    ("verdict", "left_to"),
    [(Cut(), "Staging"), (Cut(done=True), "Archived")],
    ids=["before it arrives", "before its answer does"],
)
def test_whichever_write_the_connection_breaks_at_running_it_again_finishes_the_job(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, verdict: Verdict, left_to: str
) -> None:
    def declared(production: int, other: int) -> str:
        return manifest(model, production=production, staging=other if left_to == "Staging" else None, champion=1)

    registry.register(model, versions=2)
    repository.merge(declared(1, 2))
    assert reconciler("apply", "--yes").code == 0
    now, before = 1, 2
    for written in range(20):
        now, before = before, now
        repository.merge(declared(now, before))

        with (
            proxy(registry.uri, after_writes(written, verdict)) as front,
            watched(lambda: registry.production(model)) as (seen,),
        ):
            front_uri = {"MLFLOW_TRACKING_URI": front.uri}
            broken = reconciler("apply", "--yes", "--lock", "file", **front_uri, **IMPATIENT)
            front.judge = passes
            again = reconciler("apply", "--yes", "--lock", "file", **front_uri)

        assert "Traceback" not in broken.said
        assert again.code == 0, again.said
        assert registry.stages(model) == {now: "Production", before: left_to}
        assert seen.changes == [[before], [now]]
        if broken.code == 0:
            break
    else:
        pytest.fail("There are more writes than that.")


def test_an_apply_that_is_killed_loses_nothing_and_the_next_one_takes_its_lock_over(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1, champion=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2, champion=2))

    moved = Event()

    def hang_at_the_alias(request: Request) -> Verdict:
        if not request.path.endswith("/alias"):
            return Pass()
        moved.set()
        return Hang()

    with proxy(registry.uri, hang_at_the_alias) as front, watched(lambda: registry.production(model)) as (seen,):
        killed = reconciler.start("apply", "--yes", "--lock", "file", MLFLOW_TRACKING_URI=front.uri)
        killed.until(moved.is_set)
        killed.process.kill()
        killed.wait()
        front.judge = passes
        unfinished = registry.aliases(model)
        again = reconciler("apply", "--yes", "--lock", "file", MLFLOW_TRACKING_URI=front.uri)

    assert unfinished == {"champion": 1}
    assert again.code == 0
    assert "Took over the lock" in again.err
    assert registry.stages(model) == {1: "Archived", 2: "Production"}
    assert registry.aliases(model) == {"champion": 2}
    assert seen.changes == [[1], [2]]


def test_a_proxy_that_fails_now_and_then_does_not_keep_an_apply_from_its_end(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    models = [f"{model}-{number}" for number in range(4)]
    registry.register(*models, versions=2)
    repository.merge("".join(manifest(name, production=2, staging=1, champion=2) for name in models))
    requests = count(1)
    failed: set[Request] = set()

    def fail_every_third(request: Request) -> Verdict:
        # Never the same twice: a client that tries again a few times would, now and then, meet the third every time.
        if next(requests) % 3 or request in failed:
            return Pass()
        failed.add(request)
        return Answer(500, "Internal Server Error", "text/plain")

    with proxy(registry.uri, fail_every_third) as front:
        applied = reconciler("apply", "--yes", MLFLOW_TRACKING_URI=front.uri, MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR="0")

    assert applied.code == 0
    assert failed
    for name in models:
        assert registry.stages(name) == {1: "Staging", 2: "Production"}
        assert registry.aliases(name) == {"champion": 2}


HTML = "<!doctype html><title>Sign in</title><p>Please sign in."


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Answer(401, '{"error_code": "UNAUTHENTICATED", "message": "no"}'), "MLFLOW_TRACKING_USERNAME"),
        (Answer(401, "You are not authenticated.", "text/plain"), "MLFLOW_TRACKING_USERNAME"),
        (Answer(403, '{"error_code": "PERMISSION_DENIED", "message": "no"}'), "permission"),
        (Answer(403, "Invalid Host header", "text/plain"), "--allowed-hosts"),
        (Answer(404, "Not Found", "text/plain"), "address of an MLflow server"),
        (Answer(500, "Internal Server Error", "text/plain"), "answers with HTTP 500"),
        (Answer(200, HTML, "text/html"), "Check the address"),
        (Answer(200, "{}"), "MLflow server"),
        (Answer(200, "[]"), "Check the address"),
        (Cut(), "closes the connection"),
        (Hang(), "MLFLOW_HTTP_REQUEST_TIMEOUT"),
    ],
    ids=["401 JSON", "401", "403 JSON", "403 host", "404", "500", "200 HTML", "200 {}", "200 []", "cut", "hangs"],
)
def test_whatever_else_answers_is_told_clearly(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, verdict: Verdict, told: str
) -> None:
    repository.merge(manifest(model, production=1))

    with proxy(registry.uri, lambda _: verdict) as front:
        # Nothing is asked of the server behind, so nobody is slow but who never answers.
        environment = {**IMPATIENT, "MLFLOW_TRACKING_URI": front.uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
        planned = reconciler("plan", **environment)
        applied = reconciler("apply", "--yes", **environment)

    for one in (planned, applied):
        assert one.code == 1
        assert one.err.startswith("Error: ")
        assert front.uri in one.err
        assert told in one.err
        assert "Traceback" not in one.said
        assert "bug in reconciler" not in one.said


def test_a_write_that_is_not_permitted_fails_its_model_and_leaves_the_others_going(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    mine, theirs = f"{model}-mine", f"{model}-theirs"
    registry.register(mine, theirs, versions=1)
    repository.merge(manifest(mine, production=1) + manifest(theirs, production=1))
    moves = count(1)

    def forbid_one(request: Request) -> Verdict:
        if request.moves and next(moves) == 1:
            return Answer(403, '{"error_code": "PERMISSION_DENIED", "message": "not yours"}')
        return Pass()

    with proxy(registry.uri, forbid_one) as front:
        refused = reconciler("apply", "--yes", MLFLOW_TRACKING_URI=front.uri)
        again = reconciler("apply", "--yes", MLFLOW_TRACKING_URI=front.uri)

    assert refused.code == 1
    assert "not yours" in refused.out
    assert "1 applied, 1 failed" in refused.out
    assert again.code == 0
    assert [registry.production(name) for name in (mine, theirs)] == [[1], [1]]


def test_a_move_that_is_answered_for_but_never_made_is_found_by_reading_back(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, champion=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, champion=2))

    def swallow_aliases(request: Request) -> Verdict:
        return Answer(200, "{}") if request.writes and request.path.endswith("/alias") else Pass()

    with proxy(registry.uri, swallow_aliases) as front:
        applied = reconciler("apply", "--yes", MLFLOW_TRACKING_URI=front.uri)

    assert applied.code == 1
    assert "the registry does not match the manifests" in applied.out
    assert registry.aliases(model) == {"champion": 1}
