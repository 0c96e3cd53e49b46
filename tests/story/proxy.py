"""What can stand between the command and its server: a proxy that slows, cuts, refuses, or answers for it."""

import http.client
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, TypeAlias
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """A request that came by."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    authorization: str = ""

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def moves(self) -> bool:
        """Whether it asks for a transition to another stage."""
        return self.path.endswith("/transition-stage")


@dataclass(frozen=True)
class Answer:
    """What the proxy says in place of the server."""

    status: int
    body: str = ""
    kind: str = "application/json"


@dataclass(frozen=True)
class Pass:
    """Hand the request on, and the server's answer back."""


@dataclass(frozen=True)
class Cut:
    """Close the connection without an answer, after the server has done its work or before."""

    done: bool = False


@dataclass(frozen=True)
class Hang:
    """Keep the connection open and say nothing."""


Verdict: TypeAlias = Answer | Pass | Cut | Hang
Judge: TypeAlias = Callable[[Request], Verdict]


@dataclass
class Proxy:
    """Every request is put before `judge`, each in a thread of its own: a judge may wait for something to happen."""

    server: str
    judge: Judge
    uri: str = ""
    closing: Event = field(default_factory=Event)


def passes(_request: Request) -> Verdict:
    return Pass()


@dataclass
class HeldMoves:
    """Hands on all but moves, which wait until they are released; `writing` is set once there is one."""

    writing: Event = field(default_factory=Event)
    released: Event = field(default_factory=Event)

    def __call__(self, request: Request) -> Verdict:
        if request.moves:
            self.writing.set()
            self.released.wait()
        return Pass()


@contextmanager
def proxy(server: str, judge: Judge = passes) -> Generator[Proxy]:
    """A proxy in front of a server."""
    front = Proxy(server, judge)

    class Handler(_Handler):
        proxy = front

    with _Server(("127.0.0.1", 0), Handler) as listener:
        front.uri = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            front.closing.set()
            listener.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here all the time; that is what this is for."""


_OF_ONE_HOP = {"host", "connection", "transfer-encoding"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    proxy: Proxy

    def _handle(self) -> None:
        body = self._chunks() if "Transfer-Encoding" in self.headers else self._rest()
        asked, let_in_by = urlsplit(self.path), self.headers.get("Authorization", "")
        match self.proxy.judge(Request(self.command, asked.path, asked.query, body, let_in_by)):
            case Answer(status, text, kind):
                self._answer(status, text.encode(), kind)
            case Hang():
                self.close_connection = True
                self.proxy.closing.wait()
            case Cut(done):
                self.close_connection = True
                if done:
                    self._forward(body)
            case Pass():
                try:
                    status, answer, kind = self._forward(body)
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                else:
                    self._answer(status, answer, kind)

    def _rest(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> bytes:
        """A body of unknown length, as requests sends an empty file."""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self, body: bytes) -> tuple[int, bytes, str]:
        server = http.client.HTTPConnection(urlsplit(self.proxy.server).netloc, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_ONE_HOP}
            server.request(self.command, self.path, body if self.command == "PUT" else body or None, headers)
            answer = server.getresponse()
            return answer.status, answer.read(), answer.getheader("Content-Type", "")
        finally:
            server.close()

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _handle  # noqa: N815  # the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        pass
