"""A server on the loopback interface that answers as GitHub's REST API does, as far as one repository's reviews go."""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from reconciler.core.names import Commit

TOKEN = "ghs_NeverToBeSeen"
REPOSITORY = "acme/models"
MERGED = Commit("ab" * 20)
HEAD = "cd" * 20

ADA = {"login": "ada", "type": "User"}
BOT = {"login": "github-actions[bot]", "type": "Bot"}

PULL_REQUEST = {"action": "synchronize", "number": 7, "pull_request": {"number": 7}}
PUSH = {"ref": "refs/heads/main", "before": "…", "after": "…"}


@dataclass
class Fault:
    """What the server does instead of answering; `applied` carries the request out all the same."""

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    method: str = ""
    hang: bool = False
    applied: bool = False


@dataclass
class Hub:
    """The state of a GitHub with one repository: comments, pull requests, and whose the token is."""

    viewer: dict[str, str] = field(default_factory=lambda: dict(BOT))
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict[int, list[dict[str, Any]]])
    pulls: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    reviews: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    commits: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    activity: list[dict[str, Any]] | None = None
    opened: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[Fault] = field(default_factory=list[Fault])
    requests: list[str] = field(default_factory=list[str])
    page: int = 100
    url: str = ""
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    closing: Event = field(default_factory=Event)

    def add(self, body: str, user: dict[str, str] | None, *, pull: int = 7, updated: str = "10:00:00") -> None:
        number = next(self.ids)
        comment = {
            "id": number,
            "url": f"{self.url}/repos/{REPOSITORY}/issues/comments/{number}",
            "html_url": f"https://github.example/{REPOSITORY}/pull/{pull}#issuecomment-{number}",
            "body": body,
            "user": user and {**user, "url": f"{self.url}/users/{user['login']}"},
            "created_at": f"2026-05-01T{updated}Z",
            "updated_at": f"2026-05-01T{updated}Z",
        }
        self.comments.setdefault(pull, []).append(comment)

    def bodies(self, pull: int = 7) -> list[str]:
        return [comment["body"] for comment in self.comments.get(pull, [])]

    def merged(self, number: int, merge_commit: str = MERGED, at: str | None = "12:00:00") -> dict[str, Any]:
        return {
            "number": number,
            "url": f"{self.url}/repos/{REPOSITORY}/pulls/{number}",
            "issue_url": f"{self.url}/repos/{REPOSITORY}/issues/{number}",
            "merge_commit_sha": merge_commit,
            "merged_at": at and f"2026-05-01T{at}Z",
            "base": {"ref": "main"},
        }

    def review(
        self, user: dict[str, str] | None, state: str = "APPROVED", commit: str = HEAD, at: str | None = "11:00:00"
    ) -> None:
        """A review of pull request 7."""
        number = next(self.ids)
        submitted = {"submitted_at": f"2026-05-01T{at}Z"} if at else {}
        self.reviews.append({"id": number, "user": user, "state": state, "commit_id": commit, **submitted})

    def written(
        self, author: dict[str, str] | None, name: str, email: str, sha: str = HEAD, parent: str = "", **other: Any
    ) -> None:
        """A commit of pull request 7."""
        person = {"name": name, "email": email, "date": "2026-05-01T09:00:00Z"}
        detail = {"author": person, "committer": person}
        parents = [{"sha": parent, "url": f"{self.url}/repos/{REPOSITORY}/commits/{parent}"}] if parent else []
        known = {"sha": sha, "author": author, "committer": author, "commit": detail, "parents": parents}
        self.commits.append({**known, **other})

    def event(self, name: str, at: str, actor: dict[str, str] | None = None) -> None:
        """Something that happened to pull request 7."""
        self.events.append({"id": next(self.ids), "event": name, "actor": actor, "created_at": f"2026-05-01T{at}Z"})

    def pushed(self, actor: dict[str, str], after: str, before: str = "0" * 40, kind: str = "push") -> None:
        """A push to the branch of pull request 7, which servers before 2023 tell nothing of."""
        entry = {"actor": actor, "before": before, "after": after, "ref": "refs/heads/promote", "activity_type": kind}
        self.activity = [entry, *(self.activity or [])]

    def writes(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET") and "graphql" not in request]

    def answer(self, method: str, target: str, data: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(f"/repos/{REPOSITORY}")
        if path == "/graphql":
            return 200, {"data": {"viewer": {"login": self.viewer["login"]}}}, {}
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            number = int(found[1])
            if method == "POST":
                self.add(data["body"], self.viewer, pull=number)
                return 201, self.comments[number][-1], {}
            return self._paged(self.comments.get(number, []), parts.path, parts.query)
        if found := re.fullmatch(r"/issues/comments/(\d+)", path):
            return self._one(method, int(found[1]), data)
        if path == "/pulls/7":
            repository = {"full_name": REPOSITORY, "url": f"{self.url}/repos/{REPOSITORY}"}
            head = {"sha": HEAD, "ref": "promote", "repo": repository}
            usual = {"user": ADA, "head": head, "commits": len(self.commits)}
            return 200, {**self.merged(7), **usual, **self.details}, {}
        if path == "/pulls" and method == "POST":
            number = 40 + len(self.opened)
            address = f"https://github.example/{REPOSITORY}/pull/{number}"
            self.opened.append({**data, "number": number, "html_url": address})
            return 201, {**self.opened[-1], "head": {"ref": data["head"]}, "base": {"ref": data["base"]}}, {}
        if path == "/pulls":
            asked = parse_qs(parts.query)
            head, base = asked["head"][0].partition(":")[2], asked["base"][0]
            there = [pull for pull in self.opened if (pull["head"], pull["base"]) == (head, base)]
            return 200, [{**pull, "head": {"ref": head}, "base": {"ref": base}} for pull in there], {}
        if path == "/issues/7/events":
            return self._paged(self.events, parts.path, parts.query)
        if path == "/activity" and self.activity is not None:
            return self._by_cursor(self.activity, parts.path, parts.query)
        if path == "/pulls/7/reviews":
            return self._paged(self.reviews, parts.path, parts.query)
        if path == "/pulls/7/commits":
            return self._paged(self.commits, parts.path, parts.query)
        if found := re.fullmatch(r"/commits/(\w+)/pulls", path):
            return self._paged(self.pulls.get(found[1], []), parts.path, parts.query)
        return 404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}, {}

    def _one(self, method: str, number: int, data: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        for comments in self.comments.values():
            for comment in comments:
                if comment["id"] == number and method == "DELETE":
                    comments.remove(comment)
                    return 204, None, {}
                if comment["id"] == number and method == "PATCH":
                    comment["body"] = data["body"]
                    return 200, comment, {}
        return 404, {"message": "Not Found"}, {}

    def _by_cursor(self, items: list[dict[str, Any]], path: str, query: str) -> tuple[int, Any, dict[str, str]]:
        asked = parse_qs(query)
        assert asked["ref"] == ["refs/heads/promote"]
        size, start = min(int(asked["per_page"][0]), self.page), int(asked.get("after", ["0="])[0].rstrip("="))
        more = f'<{self.url}{path}?per_page={size}&after={start + size}%3D&ref=x>; rel="next"'
        return 200, items[start : start + size], {"Link": more} if start + size < len(items) else {}

    def _paged(self, items: list[dict[str, Any]], path: str, query: str) -> tuple[int, Any, dict[str, str]]:
        asked = parse_qs(query)
        page, size = int(asked.get("page", ["1"])[0]), min(int(asked.get("per_page", ["30"])[0]), self.page)
        last = max(1, -(-len(items) // size))
        links = [f'<{self.url}{path}?per_page={size}&page={last}>; rel="last"']
        if page < last:
            links.insert(0, f'<{self.url}{path}?per_page={size}&page={page + 1}>; rel="next"')
        return 200, items[(page - 1) * size : page * size], {"Link": ", ".join(links)} if last > 1 else {}


@contextmanager
def serving(hub: Hub) -> Generator[Hub]:
    """A server with that state, for as long as it is needed."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            hub.requests.append(f"{self.command} {self.path}")
            assert self.headers["Authorization"] == f"token {TOKEN}"
            fault = next((f for f in hub.faults if f.method in {"", self.command}), None)
            if fault is not None:
                hub.faults.remove(fault)
                if fault.applied:
                    hub.answer(self.command, self.path, data)
                if fault.hang:
                    hub.closing.wait(30)
                else:
                    self.say(fault.status, fault.body, fault.headers)
            else:
                self.say(*hub.answer(self.command, self.path, data))

        def say(self, status: int, body: Any, headers: dict[str, str]) -> None:
            raw = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815  # as http.server has it

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Fri, 01 May 2026 10:00:00 GMT"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
