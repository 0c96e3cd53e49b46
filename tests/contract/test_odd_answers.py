"""What is said of servers that answer, but not as MLflow does, and of databases that cannot be reached from here."""

import json
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import trustme
from mlflow.exceptions import MlflowException

from reconciler.carrying import process
from reconciler.carrying.process import Elsewhere
from reconciler.core.names import ModelRef, Ours, Version
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.ports import UNREACHABLE, Wanted
from reconciler.registry.mlflow import MlflowRegistry, importable, translated
from tests.build import CHURN, OURS
from tests.story.command import warm_reader

WANTED = Wanted({CHURN: frozenset({Version(1)})}, Ours(OURS))
NOTHING: dict[str, Any] = {}


@contextmanager
def server(answers: Mapping[str, Any]) -> Generator[str]:
    """
    A server that answers each request whose path holds a key with that JSON, or those bytes, and all others with an
    empty object.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = next((answer for part, answer in answers.items() if part in self.path), NOTHING)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def listing(version: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "registered-models": {"registered_models": [{"name": CHURN}]},
        "model-versions": {"model_versions": [{"name": CHURN, **version}]},
    }


def odd(**version: Any) -> dict[str, Any]:
    return listing({"version": "1", "current_stage": "None", **version})


ODD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a text where a list belongs": {"registered-models": {"registered_models": "churn"}},
    "a stage that MLflow does not have": listing({"version": "1", "current_stage": "Canary"}),
    "no stages, as Unity Catalog": listing({"version": "1"}),
    "a version that is no number": listing({"version": "one", "current_stage": "None"}),
    "a version that is null": listing({"version": None, "current_stage": "None"}),
    "a list where an object belongs": {"registered-models": {"registered_models": [["churn"]]}},
    "a tag whose key is no text": odd(tags=[{"key": 5, "value": "x"}]),
    "a tag whose value is no text": odd(tags=[{"key": "a", "value": 5}]),
    "a stage that is no text": odd(current_stage={"a": 1}),
    "a run that is no text": odd(run_id=["a"]),
    "a description that is no text": odd(description={"a": 1}),
    "a source that is no text": odd(source=5),
    "a status that is no text": odd(status=5),
    "a time that is a list": odd(creation_timestamp=[1]),
    "a time without end": odd(creation_timestamp=float("inf")),
    "a page that is no text": {"registered-models": {"registered_models": [{"name": CHURN}], "next_page_token": 5}},
    "pages without end": {"registered-models": {"registered_models": [{"name": CHURN}], "next_page_token": "a"}},
    "pages without anything": {"registered-models": {"next_page_token": "a"}},
    "lists in lists without end": {"registered-models": b'{"registered_models":' + b"[" * 100_000},
    "an alias of no number": {
        "registered-models": {"registered_models": [{"name": CHURN, "aliases": [{"alias": "a", "version": "x"}]}]}
    },
}


@pytest.mark.parametrize("answers", ODD.values(), ids=ODD.keys())
def test_an_answer_that_mlflow_would_not_give_is_an_error_of_the_registry(answers: dict[str, Any]) -> None:
    with server(answers) as uri, pytest.raises(RegistryError) as refused:
        MlflowRegistry(uri, uri).snapshot(WANTED)

    assert refused.value.code == "unexpected-answer"
    assert uri in refused.value.message


def test_pages_of_all_versions_that_come_again_are_not_read_for_ever() -> None:
    many = [ModelRef(f"m{number:03}") for number in range(500)]
    row = {"name": many[0], "version": "1", "current_stage": "None"}
    again = {"model_versions": [row], "next_page_token": "a"}

    with server({"model-versions": again}) as uri, pytest.raises(RegistryError, match="no end"):
        MlflowRegistry(uri, uri).snapshot(Wanted(dict.fromkeys(many, frozenset[Version]()), Ours(OURS)))


@contextmanager
def listener(answer: Callable[[socket.socket], object] | None, backlog: int = 8) -> Generator[int]:
    """A port, and what is done with whoever connects to it; nobody is let in where that is None."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as door:
        guests: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while answer is not None:
                    guest, _ = door.accept()
                    guests.append(guest)
                    with suppress(OSError):
                        answer(guest)

        Thread(target=serve, daemon=True).start()
        try:
            yield door.getsockname()[1]
        finally:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            for guest in guests:
                guest.close()


def _read(guest: socket.socket) -> None:
    guest.recv(65536)


def _reset(guest: socket.socket) -> None:
    guest.recv(65536)
    guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    guest.close()


def _fail(guest: socket.socket) -> None:
    guest.recv(65536)
    guest.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _encrypt(authority: Any, *, ask: bool = False) -> Callable[[socket.socket], object]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)

    def answer(guest: socket.socket) -> None:
        with context.wrap_socket(guest, server_side=True) as wrapped:
            wrapped.recv(65536)

    return answer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MAX_RETRIES": "1", "BACKOFF_FACTOR": "0", "TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("scheme", "answer", "said", "remedy"),
    [
        ("http", _read, "accepts requests but does not answer in time. ", "MLFLOW_HTTP_REQUEST_TIMEOUT"),
        ("http", _reset, "closes the connection. ", "`https://`"),
        ("http", socket.socket.close, "closes the connection. ", "`https://`"),
        ("http", _encrypt(trustme.CA()), "closes the connection. ", "`https://`"),
        ("http", _fail, "answers with HTTP 503 every time. ", "log of the server"),
        (
            "https",
            _encrypt(trustme.CA()),
            "has a certificate that is not trusted here (",
            "MLFLOW_TRACKING_SERVER_CERT_PATH",
        ),
        ("https", _fail, "does not use TLS at that port. ", "`http://`"),
    ],
)
def test_a_server_that_does_not_answer_is_told_of_by_what_it_did(
    scheme: str, answer: Callable[[socket.socket], object], said: str, remedy: str
) -> None:
    with listener(answer) as port, pytest.raises(RegistryError) as refused:
        MlflowRegistry(f"{scheme}://127.0.0.1:{port}", "").snapshot(WANTED)

    assert refused.value.code == UNREACHABLE
    assert str(refused.value).startswith(f"{scheme}://127.0.0.1:{port} {said}")
    assert remedy in refused.value.fix


@pytest.mark.usefixtures("impatient")
def test_what_a_server_did_is_told_whatever_else_went_wrong_before() -> None:
    with listener(_fail) as port:
        registry = MlflowRegistry(f"http://127.0.0.1:{port}", "")
        try:
            raise KeyError("of a caller")
        except KeyError:
            with pytest.raises(RegistryError, match="answers with HTTP 503 every time"):
                registry.snapshot(WANTED)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("whole", [1, 0], ids=["once", "every time"])
def test_an_answer_that_breaks_off_is_asked_for_again(whole: int) -> None:
    said, asked = json.dumps(odd()["model-versions"] | odd()["registered-models"]).encode(), list[bytes]()

    def answer(guest: socket.socket) -> None:
        asked.append(guest.recv(65536))
        length = len(said) if whole and len(asked) > whole else len(said) + 1
        guest.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length + said)
        guest.close()

    with listener(answer) as port:
        registry = MlflowRegistry(f"http://127.0.0.1:{port}", "")
        if whole:
            assert registry.snapshot(WANTED).models[CHURN].versions.keys() == {Version(1)}
        else:
            with pytest.raises(RegistryError, match="closes the connection"):
                registry.snapshot(WANTED)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_asks_for_our_certificate_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "authority.pem"))

    with listener(_encrypt(authority, ask=True)) as port, pytest.raises(RegistryError) as refused:
        MlflowRegistry(f"https://127.0.0.1:{port}", "").snapshot(WANTED)

    assert "MLFLOW_TRACKING_CLIENT_CERT_PATH" in refused.value.fix


@pytest.mark.usefixtures("impatient")
def test_an_address_where_nothing_is_is_told_of() -> None:
    with ExitStack() as full:
        port = full.enter_context(listener(None, backlog=0))
        for _ in range(4):  # what the queue of an idle listener holds, so that the next one waits for ever
            waiting = full.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        with pytest.raises(RegistryError, match=r"cannot be reached: nothing answers at that address\. .* firewall"):
            MlflowRegistry(f"http://127.0.0.1:{port}", "").snapshot(WANTED)
    with pytest.raises(RegistryError, match=rf":{port} is down: nothing listens at that port\. Start the server"):
        MlflowRegistry(f"http://127.0.0.1:{port}", "").snapshot(WANTED)
    with pytest.raises(RegistryError, match=r"has a host name that is not known here\. .* DNS"):
        MlflowRegistry("http://mlflow.invalid", "").snapshot(WANTED)


@pytest.mark.usefixtures("impatient")
def test_a_proxy_that_is_down_is_not_blamed_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener(_read) as port:
        pass
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")

    with pytest.raises(RegistryError, match="behind a proxy that refuses the connection"):
        MlflowRegistry("http://mlflow.example", "").snapshot(WANTED)


def test_a_registry_without_slots_is_refused_by_name_and_not_asked() -> None:
    with pytest.raises(RegistryError, match="has neither stages nor aliases") as refused:
        MlflowRegistry("uc:http://127.0.0.1:9", "").snapshot(WANTED)

    assert refused.value.code == "no-slots"


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [("pkg_resources", "`setuptools<81`"), ("sqlalchemy.pool", "`sqlalchemy<2.1`"), ("flask", "Reinstall it")],
)
def test_an_mlflow_that_cannot_be_imported_is_told_of_and_what_it_lacks(missing: str, remedy: str) -> None:
    with (
        pytest.raises(RegistryError, match=r"MLflow [\d.]+ cannot be imported here: no such thing\.") as refused,
        importable(),
    ):
        raise ImportError("no such thing", name=missing)

    assert remedy in refused.value.fix


def test_a_database_without_its_driver_is_told_by_name() -> None:
    uri = "mssql+pyodbc://ada:s3c/ret@db.acme.example/mlflow"

    with pytest.raises(RegistryError) as refused:
        MlflowRegistry(uri, uri).snapshot(WANTED)

    assert refused.value.code == "no-driver"
    assert "pyodbc" in refused.value.message
    assert "s3c" not in str(refused.value)


@pytest.mark.parametrize("said", ["No route to it", "No route to it."])
def test_what_was_said_ends_before_what_to_do_begins(said: str) -> None:
    with pytest.raises(RegistryError) as refused, translated("http://mlflow"):
        raise MlflowException(said)

    assert str(refused.value).startswith("http://mlflow said: No route to it. Check the address")


@dataclass
class Asking:
    """Another registry that never answers, and the processes that were begun to ask it."""

    elsewhere: Elsewhere
    begun: list["subprocess.Popen[bytes]"]
    connected: Event
    folder: Path


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Asking]:
    begun: list[subprocess.Popen[bytes]] = []
    connected, real = Event(), subprocess.Popen[bytes]

    def begin(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        begun.append(real(*arguments, **options))
        return begun[-1]

    monkeypatch.setattr(process, "PROGRAM", (warm_reader(),))
    monkeypatch.setattr(process.subprocess, "Popen", begin)
    with listener(lambda _: connected.set()) as port:
        uri = f"http://127.0.0.1:{port}"
        place = process.Place(uri, uri, {"TMPDIR": str(tmp_path)})
        yield Asking(Elsewhere(lambda: place, uri), begun, connected, tmp_path)


def test_another_registry_that_never_answers_is_given_up_once(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.2)

    for _ in range(2):
        with pytest.raises(RegistryError, match="did not answer in time, and is not asked again"):
            asking.elsewhere.names()

    assert [one.poll() is None for one in asking.begun] == [False]


def test_what_asks_it_ends_with_who_wants_to_know_and_leaves_nothing(asking: Asking) -> None:
    lost: list[str] = []

    def ask() -> None:
        try:
            asking.elsewhere.names()
        except ReconcilerError as error:
            lost.append(error.message)

    waiting = Thread(target=ask)
    waiting.start()
    assert asking.connected.wait(60)
    there = [*asking.folder.iterdir()]
    (child,) = asking.begun
    assert child.stdin is not None
    child.stdin.close()  # as it is when we are killed
    child.wait(30)
    waiting.join(30)

    assert [place.name.partition("-copy-")[0] for place in there] == ["reconciler"]
    assert [*asking.folder.iterdir()] == []
    assert lost == [f"The process that reads {asking.elsewhere.uri} ended unexpectedly."]


def test_an_answer_that_nobody_waited_for_is_none_to_the_next_question(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "received", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asking.elsewhere.names()

    assert [one.poll() is None for one in asking.begun] == [False]


def test_a_process_that_goes_on_with_what_nobody_waits_for_is_ended(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(_: object) -> tuple[tuple[str, tuple[str, ...]], bool]:
        return ("value", ()), False

    monkeypatch.setattr(process, "received", last)

    assert asking.elsewhere.names() == ()
    assert [one.poll() is None for one in asking.begun] == [False]
