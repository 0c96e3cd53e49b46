"""What is asked of a server before it is needed, so that nothing of ours waits: by what arrives there, and when."""

import json
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient

from reconciler.core.changes import TagModel, TagVersion
from reconciler.core.names import ModelRef, Ours, RepositoryId, Version
from reconciler.core.policy import PolicySettings
from reconciler.core.snapshot import OWNER_TAG, Ownership, RegistrySnapshot, encode_owner
from reconciler.errors import ManifestError, RegistryError
from reconciler.ports import Wanted
from reconciler.registry import mlflow as mlflow_registry
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.surroundings import SURROUNDINGS
from tests.build import CHURN, OURS

FRAUD = ModelRef("fraud")
OWN = Ours(OURS)
WITHIN = 30.0
MODELS, VERSIONS = "registered-models", "model-versions"
TAGS = [{"key": "framework", "value": "lightgbm"}]
OWNED = [{"key": OWNER_TAG, "value": encode_owner(Ownership(OURS))}]


class Server:
    """
    A registry of `churn` and `fraud`, whose models come in two pages. It notes what it is asked for, and answers when
    it is let.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.arrived: Queue[str] = Queue()
        self.answering = Event()
        self.answering.set()
        self.uri = ""

    def answer(self, path: str) -> dict[str, Any]:
        if "set-tag" in path:
            self.asked.append("set-tag")
            return {}
        asked = parse_qs(urlsplit(path).query)
        what = MODELS if MODELS in path else VERSIONS
        question = " ".join([what, *asked.get("filter", ["all"]), *asked.get("page_token", [])])
        self.asked.append(question)
        self.arrived.put(question)
        assert self.answering.wait(WITHIN)
        if what == VERSIONS:
            names = [name for name in (CHURN, FRAUD) if f"'{name}'" in asked["filter"][0]]
            row = {"version": "1", "current_stage": "None", "tags": TAGS}
            return {"model_versions": [{"name": name, **row} for name in names]}
        if "page_token" in asked:
            return {"registered_models": [{"name": FRAUD, "tags": OWNED}]}
        return {"registered_models": [{"name": CHURN, "tags": OWNED}], "next_page_token": "second"}

    def wait_for(self, what: str) -> str:
        """The next question of a kind."""
        while True:
            question = self.arrived.get(timeout=WITHIN)
            if question.startswith(what):
                return question


@pytest.fixture
def server() -> Generator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            body = json.dumps(server.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.uri = f"http://127.0.0.1:{httpd.server_port}"
    thread = Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.answering.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def registry(server: Server) -> MlflowRegistry:
    registry = MlflowRegistry(server.uri, server.uri)
    _ = registry.store  # MLflow is imported
    return registry


def wanted(*names: ModelRef) -> Wanted:
    return Wanted({name: frozenset({Version(1)}) for name in names}, OWN)


def names_of(snapshot: RegistrySnapshot) -> dict[ModelRef, list[Version]]:
    return {name: sorted(model.versions) for name, model in snapshot.models.items()}


BOTH = {CHURN: [Version(1)], FRAUD: [Version(1)]}


def test_what_a_plan_needs_is_on_its_way_before_a_snapshot_asks_for_it(
    server: Server, registry: MlflowRegistry
) -> None:
    plain = MlflowRegistry(server.uri, server.uri)
    expected = names_of(plain.snapshot(wanted(CHURN, FRAUD)))
    without = sorted(server.asked)
    server.asked.clear()
    while not server.arrived.empty():
        server.arrived.get()

    with registry.ahead(OWN) as expect:
        server.wait_for(MODELS)
        expect([CHURN, FRAUD])
        server.wait_for(VERSIONS)
        found = names_of(registry.snapshot(wanted(CHURN, FRAUD)))

    assert found == expected == BOTH
    assert sorted(server.asked) == without


def test_what_is_wanted_and_was_not_expected_is_asked_for_besides(server: Server, registry: MlflowRegistry) -> None:
    with registry.ahead(OWN) as expect:
        expect([CHURN])
        found = names_of(registry.snapshot(wanted(CHURN, FRAUD)))

    assert found == BOTH
    versions = sorted(question for question in server.asked if question.startswith(VERSIONS))
    assert versions == [f"{VERSIONS} name IN ('churn')", f"{VERSIONS} name IN ('fraud')"]


def test_what_was_expected_and_is_not_wanted_is_no_part_of_the_snapshot(
    server: Server, registry: MlflowRegistry
) -> None:
    with registry.ahead(OWN) as expect:
        expect([CHURN, FRAUD])
        found = names_of(registry.snapshot(wanted(CHURN)))

    # Found by its record alone, and so without its versions.
    assert found == {CHURN: [Version(1)], FRAUD: []}


def test_records_of_another_name_are_asked_for_anew(server: Server, registry: MlflowRegistry) -> None:
    with registry.ahead(Ours(RepositoryId("acme/other"))):
        found = names_of(registry.snapshot(wanted(CHURN, FRAUD)))

    assert found == BOTH
    assert any(OURS in question for question in server.asked)


def test_one_snapshot_alone_shows_what_was_read_ahead(server: Server, registry: MlflowRegistry) -> None:
    with registry.ahead(OWN) as expect:
        expect([CHURN])
        registry.snapshot(wanted(CHURN))
        before = len(server.asked)
        registry.snapshot(wanted(CHURN))

    # The second one is of its own moment: two pages of models, and one of versions.
    assert len(server.asked) - before == 3


@contextmanager
def given_up(registry: MlflowRegistry) -> Generator[None]:
    with suppress(ManifestError), registry.ahead(OWN):
        yield
        raise ManifestError(())


def test_no_page_is_asked_for_that_nobody_waits_for(server: Server, registry: MlflowRegistry) -> None:
    server.answering.clear()

    with given_up(registry):
        server.wait_for(MODELS)
        begun = registry._begun  # pyright: ignore[reportPrivateUsage]  # whether it has ended
    server.answering.set()

    assert begun is not None
    assert begun.rows is not None
    with pytest.raises(RegistryError, match="Nobody waits"):
        begun.rows()
    assert len(server.asked) == 1


def test_who_gives_up_waits_for_no_answer_that_is_on_its_way(
    server: Server, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.surroundings.LATE_SECONDS", 5.0)
    monkeypatch.setenv("OTHER_MLFLOW_TRACKING_TOKEN", "of another one")
    server.answering.clear()

    SURROUNDINGS.enter([])
    with suppress(ManifestError), registry.ahead(OWN) as expect:
        server.wait_for(MODELS)
        expect([CHURN])
        server.wait_for(VERSIONS)
        raise ManifestError(())
    try:
        seen = dict(SURROUNDINGS.show(PolicySettings(prefix="OTHER_")))
    finally:
        SURROUNDINGS.leave()

    assert seen["MLFLOW_TRACKING_TOKEN"] == "of another one"
    assert not server.answering.is_set()


def test_nothing_is_read_ahead_that_would_import_mlflow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mlflow.tracking._model_registry.client")
    registry = MlflowRegistry(server.uri, server.uri)

    with registry.ahead(OWN) as expect:
        expect([CHURN])

    assert "store" not in vars(registry)
    assert server.asked == []


def test_what_went_wrong_ahead_is_said_when_it_is_needed(
    server: Server, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd: Callable[[str], Any] = lambda _path: {"registered_models": [{"name": 7}]}  # noqa: E731
    monkeypatch.setattr(server, "answer", odd)

    with registry.ahead(OWN), pytest.raises(RegistryError, match="did not answer like MLflow"):
        registry.snapshot(wanted(CHURN))


def test_what_versions_have_alike_is_kept_once(registry: MlflowRegistry) -> None:
    with registry.ahead(OWN) as expect:
        expect([CHURN, FRAUD])
        found = registry.snapshot(wanted(CHURN, FRAUD)).models

    one, other = (found[name].versions[Version(1)] for name in (CHURN, FRAUD))
    assert one.tags == {"framework": "lightgbm"}
    assert all(getattr(one, name) is getattr(other, name) for name in ("tags", "provenance", "tagged"))
    assert found[CHURN].owner == found[FRAUD].owner


def test_nothing_of_the_answers_is_kept(registry: MlflowRegistry) -> None:
    with registry.ahead(OWN) as expect:
        begun = registry._begun  # pyright: ignore[reportPrivateUsage]  # what it holds
        expect([CHURN, FRAUD])
        registry.snapshot(wanted(CHURN, FRAUD))

        assert begun is not None
        assert (begun.rows, begun.versions) == (None, None)


def test_no_answer_waits_for_the_acknowledgement_of_its_beginning(
    server: Server, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly: list[bool] = []

    def noting(response: Any, **options: Any) -> None:
        connection = response.raw._connection
        acknowledge(response, **options)
        quickly.append(bool(connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)))

    hooks = mlflow_registry._HOOKS  # pyright: ignore[reportPrivateUsage]  # what every request is sent with
    acknowledge = hooks["response"]
    monkeypatch.setitem(hooks, "response", noting)

    registry.snapshot(wanted(CHURN, FRAUD))
    registry.execute(TagModel(CHURN, "domain", None, "credit"))
    registry.execute(TagVersion(CHURN, Version(1), "domain", None, "credit"))

    assert len(quickly) == len(server.asked)
    assert all(quickly)


def test_the_store_that_others_in_this_process_use_stays_as_it_is(server: Server, registry: MlflowRegistry) -> None:
    client: Any = MlflowClient(server.uri, server.uri)
    others = client._get_registry_client().store

    assert registry.store is not others
    assert "_call_endpoint" not in vars(others)
