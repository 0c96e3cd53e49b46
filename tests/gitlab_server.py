"""A server on the loopback interface that behaves like GitLab's REST API, as far as notes of merge requests go."""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

OURS = {"id": 7, "username": "project_42_bot"}
THEIRS = {"id": 8, "username": "mallory"}
HEAD = "cd" * 20
TOKEN = "glpat-secret.01"

COMMANDS = re.compile(r"(?m)^/(?:approve|assign|close|label|merge)\b.*")


@dataclass(frozen=True)
class Fault:
    """
    What the server does instead of its work, for a method if one is named. With `done` only the answer is lost; status
    0 is no fault at all.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = '{"message": "no"}'
    kind: str = "application/json"
    done: bool = False
    method: str = ""


@dataclass
class Gitlab:
    """The state of one project, 42, and what was asked of it. `faults` are used up one by one, a request each."""

    url: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    merge_requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    approvals: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    versions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    commits: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    request: dict[str, Any] = field(default_factory=dict[str, Any])
    faults: list[Fault] = field(default_factory=list[Fault])
    opened: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    asked: list[str] = field(default_factory=list[str])
    commands: list[str] = field(default_factory=list[str])

    @property
    def job(self) -> dict[str, str]:
        """The environment of a job for merge request 3."""
        return {
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_SERVER_URL": self.url,
            "CI_PROJECT_ID": "42",
            "CI_PROJECT_URL": f"{self.url}/acme/models",
            "CI_MERGE_REQUEST_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_PROJECT_URL": f"{self.url}/acme/models",
            "CI_MERGE_REQUEST_IID": "3",
            "GITLAB_TOKEN": TOKEN,
        }

    def note(self, body: str, author: Mapping[str, Any] = OURS, *, system: bool = False, request: int = 3) -> int:
        number = 100 + len(self.notes)
        self.notes.append({"id": number, "body": body, "author": author, "system": system, "noteable_iid": request})
        self.notes[-1]["updated_at"] = "2026-05-01T10:00:00.000Z"
        return number

    def push(self, at: str, head: str = HEAD, email: str = "ada@acme.example", name: str = "Ada") -> None:
        """A push to merge request 3, of one commit; `at` is a time of day."""
        number = 50 + len(self.versions)
        self.versions.insert(0, {"id": number, "head_commit_sha": head, "created_at": f"2026-05-01T{at}.000Z"})
        people = {
            f"{role}_{part}": v for role in ("author", "committer") for part, v in (("name", name), ("email", email))
        }
        self.commits.insert(0, {"id": head, **people})

    def approve(self, user: Mapping[str, Any], at: str | None, *, noted: str | None = None) -> None:
        """An approval of merge request 3, with the time that new servers give, and the note that all write."""
        self.approvals.append({"user": user, **({"approved_at": f"2026-05-01T{at}.000Z"} if at else {})})
        if noted:
            self.note("approved this merge request", user, system=True)
            self.notes[-1]["created_at"] = f"2026-05-01T{noted}.000Z"

    def bodies(self) -> list[str]:
        return [note["body"] for note in self.notes]

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], sent: Any) -> tuple[int, Any]:
        """The status and the answer to one request; a list is not yet cut into pages."""
        if method == "GET" and path == "/user":
            return 200, OURS
        if found := re.fullmatch(r"/projects/42/merge_requests/(\d+)/notes", path):
            request = int(found[1])
            if method == "POST":
                self.commands += COMMANDS.findall(sent["body"])
                number = self.note(sent["body"], request=request)
                return 201, next(note for note in self.notes if note["id"] == number)
            # GitLab gives the newest first.
            return 200, [note for note in reversed(self.notes) if note["noteable_iid"] == request]
        if path == "/projects/42/merge_requests" and method == "POST":
            number = 40 + len(self.opened)
            self.commands += COMMANDS.findall(sent["description"])
            address = f"https://gitlab.example/acme/models/-/merge_requests/{number}"
            self.opened.append({**sent, "iid": number, "web_url": address})
            return 201, self.opened[-1]
        if path == "/projects/42/merge_requests":
            names = ("source_branch", "target_branch")
            return 200, [one for one in self.opened if all(query[name] == [one[name]] for name in names)]
        if method == "GET" and path == "/projects/42/merge_requests/3":
            return 200, {"iid": 3, "sha": HEAD, "author": {"id": 1, "username": "ada"}, **self.request}
        if method == "GET" and path == "/projects/42/merge_requests/3/approvals":
            return 200, {"approved": bool(self.approvals), "approved_by": self.approvals}
        if method == "GET" and path == "/projects/42/merge_requests/3/versions":
            return 200, self.versions
        if method == "GET" and path == "/projects/42/merge_requests/3/commits":
            return 200, self.commits
        if method == "PUT" and (found := re.fullmatch(r"/projects/42/merge_requests/\d+/notes/(\d+)", path)):
            note = next(note for note in self.notes if note["id"] == int(found[1]))
            note["body"] = sent["body"]
            return 200, note
        if method == "DELETE" and (found := re.fullmatch(r"/projects/42/merge_requests/\d+/notes/(\d+)", path)):
            self.notes[:] = [note for note in self.notes if note["id"] != int(found[1])]
            return 204, None
        if method == "GET" and (found := re.fullmatch(r"/projects/42/repository/commits/(\w+)/merge_requests", path)):
            return 200, self.merge_requests
        return 404, {"message": "404 Not Found"}


@contextmanager
def gitlab_server() -> Generator[Gitlab]:
    """Such a server, for as long as it is needed."""
    state = Gitlab()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the signature is the library's
            pass

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            path, query = parts.path.removeprefix("/api/v4"), parse_qs(parts.query)
            sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            state.asked.append(f"{self.command} {path}")
            if state.faults and state.faults[0].method in {"", self.command}:
                fault = state.faults.pop(0)
                if fault.done:
                    state.answer(self.command, path, query, sent)
                if fault.status:
                    self._say(fault.status, fault.body, fault.kind, fault.headers)
                    return
            if self.headers.get("PRIVATE-TOKEN") != TOKEN:
                self._say(401, '{"message": "401 Unauthorized"}')
                return
            status, answer = state.answer(self.command, path, query, sent)
            headers: dict[str, str] = {}
            if isinstance(answer, list):
                answer = cast(list[Any], answer)
                page, size = (int(query.get(name, [usual])[0]) for name, usual in (("page", "1"), ("per_page", "20")))
                if len(answer) > page * size:
                    headers["X-Next-Page"] = str(page + 1)
                    # Behind a proxy, GitLab's links lead to the name that it knows itself by.
                    headers["Link"] = (
                        f'<http://gitlab.internal.invalid{parts.path}?page={page + 1}&per_page={size}>; rel="next"'
                    )
                answer = answer[(page - 1) * size : page * size]
            self._say(status, json.dumps(answer), headers=headers)

        def _say(
            self, status: int, body: str, kind: str = "application/json", headers: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the names are the library's

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
