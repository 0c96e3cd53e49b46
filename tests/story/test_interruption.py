"""Ctrl-C in the middle of an apply."""

import json
import signal
from threading import Event

import pytest

from tests.story.command import Reconciler
from tests.story.proxy import HeldMoves, Pass, Request, Verdict, passes, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_apply_finishes_the_models_in_hand_and_skips_the_rest(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, number: int
) -> None:
    models = [f"{model}-{letter}" for letter in "abcdef"]
    registry.register(*models, versions=1)
    repository.merge("".join(manifest(name, production=1, champion=1) for name in models))
    started = reconciler.cold if number == signal.SIGINT else reconciler
    held = HeldMoves()

    with proxy(registry.uri, held) as front:
        running = started.start(
            *("apply", "--yes", "--parallelism", "2", "--receipt", "receipt.json"),
            MLFLOW_TRACKING_URI=front.uri,
        )
        running.until(held.writing.is_set)
        running.interrupt(number)
        running.until(lambda: "Interrupted: finishing" in running.said)
        held.released.set()
        interrupted = running.wait()
        front.judge = passes
        stages = [registry.stages(name) for name in models]
        again = reconciler("apply", "--yes", MLFLOW_TRACKING_URI=front.uri)

    assert interrupted.code == 130
    assert interrupted.out.splitlines()[-1].startswith("Interrupted: 2 applied, 4 skipped")
    assert stages == [{1: "Production"}] * 2 + [{}] * 4
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert receipt["interrupted"] is True
    assert receipt["exit_code"] == 130
    assert [entry["status"] for entry in receipt["models"]] == ["applied"] * 2 + ["skipped"] * 4
    assert again.code == 0
    for name in models:
        assert registry.stages(name) == {1: "Production"}
        assert registry.aliases(name) == {"champion": 1}


def test_an_apply_that_is_interrupted_before_its_first_write_writes_nothing(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    reading, released = Event(), Event()

    def judge(request: Request) -> Verdict:
        reading.set()
        released.wait()
        return Pass()

    with proxy(registry.uri, judge) as front:
        running = reconciler.start("apply", "--yes", "--receipt", "receipt.json", MLFLOW_TRACKING_URI=front.uri)
        running.until(reading.is_set)
        running.interrupt(signal.SIGTERM)
        released.set()
        interrupted = running.wait()

    assert interrupted.code == 130
    receipt = json.loads((repository.top / "receipt.json").read_text())
    assert (receipt["ending"]["reason"], receipt["exit_code"], receipt["models"]) == ("interrupted", 130, [])
    assert "nothing was written" in interrupted.err
    assert "Traceback" not in interrupted.said
    assert registry.stages(model) == {}
    assert reconciler("apply", "--yes").code == 0


@pytest.mark.parametrize("words", [("plan",), ("drift",), ("apply", "--yes", "--receipt", "receipt.json")])
def test_ctrl_c_while_a_server_hangs_ends_the_command(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, words: tuple[str, ...]
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    asked, released = Event(), Event()

    def judge(request: Request) -> Verdict:
        if "/search" in request.path:
            asked.set()
            released.wait()
        return Pass()

    with proxy(registry.uri, judge) as front:
        running = reconciler.cold.start(*words, MLFLOW_TRACKING_URI=front.uri, MLFLOW_HTTP_REQUEST_TIMEOUT="9000")
        running.until(asked.is_set)
        running.interrupt(signal.SIGINT)
        interrupted = running.wait()
        released.set()

    assert interrupted.code == 130
    assert "Interrupted" in interrupted.err
    assert "Traceback" not in interrupted.said


def test_a_second_ctrl_c_does_not_claim_that_nothing_was_written(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1, champion=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2, champion=2))
    writing, released = Event(), Event()

    def judge(request: Request) -> Verdict:
        if request.path.endswith("/alias"):
            writing.set()
            released.wait()
        return Pass()

    with proxy(registry.uri, judge) as front:
        running = reconciler.start("apply", "--yes", "--receipt", "receipt.json", MLFLOW_TRACKING_URI=front.uri)
        running.until(writing.is_set)
        running.interrupt(signal.SIGINT)
        running.until(lambda: "Interrupted: finishing" in running.said)
        running.interrupt(signal.SIGINT)
        released.set()
        interrupted = running.wait()

    assert interrupted.code == 130
    receipt = json.loads((repository.top / "receipt.json").read_text())
    (entry,) = receipt["models"]
    assert (receipt["ending"]["reason"], entry["model"], entry["status"]) == ("interrupted", model, "failed")
    assert "transition_model_version_stage" in [call["method"] for call in entry["calls"]]
    assert "Traceback" not in interrupted.said
    assert "nothing was written" not in interrupted.said
    assert registry.production(model) == [2]
    assert reconciler("apply", "--yes").code == 0
