"""GitLab, as a job of its CI sees it: the notes of merge requests through its REST API, and reports for other jobs."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

from reconciler.core.approval import is_bot
from reconciler.core.gate import Approval
from reconciler.core.moments import moment
from reconciler.core.names import Commit
from reconciler.core.text import clean, without_credentials, without_secrets
from reconciler.errors import ReconcilerError
from reconciler.forges.comments import Comment, named_author, put_up, refuse_stale, reviewed, withdraw
from reconciler.forges.patience import BusyError, Timing, patiently
from reconciler.ports import Push, Request

if TYPE_CHECKING:
    import gitlab
    import requests

# GitLab refuses notes beyond a million characters; a hundred are kept for what we have to escape.
COMMENT_LIMIT = 1_000_000 - 100

TOKENS = ("RECONCILER_GITLAB_TOKEN", "GITLAB_TOKEN")
"""The variables that may hold the token, the one for us alone first."""

_CONFLICT, _TOO_MANY = 409, 429

# A line that begins with a slash and a word is a command to GitLab, given with the rights of the token's user.
_QUICK_ACTION = re.compile(r"(?m)((?:^|\r)[ \t>]*)/(?=[A-Za-z_])")

_YES = "approved this merge request"
_PUSHED = re.compile(r"added (\d+) commits?\b")
_LED = re.compile(r"changed (?:automatically )?target branch|deleted the .* branch\. This merge request now targets")

_ADVICE = (
    "Make a project access token with the role Reporter and the scope `api`, and set it as the masked CI/CD variable "
    "GITLAB_TOKEN. The job's own CI_JOB_TOKEN cannot write notes."
)

T = TypeVar("T")


def _harmless(body: str) -> str:
    return _QUICK_ACTION.sub(r"\1\\/", body)


@dataclass(frozen=True, slots=True)
class _Note:
    """A note of a merge request, as far as it concerns us."""

    number: int
    body: str
    author: tuple[int, str]
    system: bool
    edited_at: str
    made_at: str


def open_forge(environment: Mapping[str, str]) -> "GitlabForge":
    """The forge of a job of GitLab CI."""
    return GitlabForge(environment)


def variables_of(host: str, path: str) -> dict[str, str]:
    """What a job of GitLab CI knows of the project at an address, for use outside of one."""
    return {"CI_SERVER_URL": f"https://{host}", "CI_PROJECT_ID": path}


class GitlabForge:
    """
    GitLab for the job whose environment this is. Nothing is asked of the server, and no token is missed, before there
    is something to say to it. `folder` is where the dotenv report goes.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path = Path(), timing: Timing = Timing()) -> None:
        self._environment = environment
        self._folder = folder
        self._timing = timing

    @property
    def comment_limit(self) -> int:
        return COMMENT_LIMIT

    def comment(self, body: str, key: str) -> str | None:
        number = self._environment.get("CI_MERGE_REQUEST_IID", "")
        if not number:
            return None
        project, page = self._project(), self._page()
        return self._patiently(lambda server: put_up(self._thread(server, project, page, number), body, key))

    def withdraw(self, write: Callable[[str], str]) -> None:
        if number := self._environment.get("CI_MERGE_REQUEST_IID", ""):
            project, page, current = self._project(), self._page(), self._environment.get("CI_COMMIT_SHA", "")
            self._patiently(lambda server: withdraw(self._thread(server, project, page, number), write, current))

    def reviewed(self, commit: Commit, key: str) -> str | None:
        project, page = self._needed("CI_PROJECT_ID"), self._environment.get("CI_PROJECT_URL", "")
        return self._patiently(lambda server: reviewed(self._merged(server, project, page, commit), key))

    def request(self, commit: Commit, *, merged: bool = False) -> Request | None:
        """
        GitLab tells who approves a merge request, but not which commit: it is the one that the newest push before the
        approval ended in, by the server's own times. A setting of the project could take older approvals back as well,
        but is not proof: it may be set later, and leaves those alone that a rebase in the browser passes by.
        """
        return self._patiently(lambda server: self._request(server, commit, merged=merged))

    def ready(self) -> None:
        self._needed("CI_PROJECT_ID")
        self._connect()

    def propose(self, branch: str, base: str, title: str, text: str) -> str:
        project = self._needed("CI_PROJECT_ID")

        def attempt(server: "gitlab.Gitlab") -> str:
            requests = cast("Any", server.projects.get(project, lazy=True)).mergerequests
            where = {"source_branch": branch, "target_branch": base}
            there: list[Any] = requests.list(state="opened", get_all=False, **where)
            fields = {**where, "title": title, "description": _harmless(text)}
            return str((there[0] if there else requests.create(fields)).web_url)

        return self._patiently(attempt)

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:  # noqa: ARG002  # GitLab has no place for it
        """
        The values as a dotenv report, each as the variable RECONCILER_OUTPUT_… of the jobs that come after. GitLab has
        no page for a job's summary: the note and the artifacts are it.
        """
        path = self._folder / (self._environment.get("RECONCILER_DOTENV") or "reconciler.env")
        text = "".join(f"{_variable(name)}={clean(value)}\n" for name, value in sorted(outputs.items()))
        # Written anew, beside and then in its place: what a checkout may have put there is neither kept nor followed.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8", errors="backslashreplace")
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ReconcilerError(
                f"{path} could not be written: {error.strerror}.", "Name another file with RECONCILER_DOTENV."
            ) from error

    def _project(self) -> str:
        """The pipeline of a fork runs in the fork's project; the merge request belongs to the one that it asks."""
        return self._environment.get("CI_MERGE_REQUEST_PROJECT_ID") or self._needed("CI_PROJECT_ID")

    def _page(self) -> str:
        return self._environment.get("CI_MERGE_REQUEST_PROJECT_URL") or self._needed("CI_PROJECT_URL")

    def _thread(
        self, server: "gitlab.Gitlab", project: str, page: str, number: str, merged_at: datetime | None = None
    ) -> "_Thread":
        author = named_author(self._environment)
        return _Thread(server, _notes_of(server, project, number), number, page, author, merged_at)

    def _merged(self, server: "gitlab.Gitlab", project: str, page: str, commit: Commit) -> "Iterator[_Thread]":
        """The notes of the merge requests by which a commit came to be."""
        lazy = server.projects.get(project, lazy=True)
        requests_of_commit = lazy.commits.get(commit, lazy=True).merge_requests(get_all=True)
        branch = self._environment.get("CI_COMMIT_BRANCH")
        for number, merged_at in sorted(_merged_as(requests_of_commit, commit, branch)):
            yield self._thread(server, project, page, str(number), moment(merged_at))

    def _request(self, server: "gitlab.Gitlab", commit: Commit, *, merged: bool) -> Request | None:
        if (number := self._environment.get("CI_MERGE_REQUEST_IID", "")) and not merged:
            found = _read_request(server, self._project(), number)
            ran_for = self._environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or self._environment.get(
                "CI_COMMIT_SHA"
            )
            refuse_stale(f"!{number}", found.head, ran_for or "")
            return found
        project = self._project()
        branch = (
            self._environment.get("CI_COMMIT_BRANCH")
            or self._environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
            or self._needed("CI_DEFAULT_BRANCH")
        )
        lazy = server.projects.get(project, lazy=True)
        requests_of_commit = lazy.commits.get(commit, lazy=True).merge_requests(get_all=True)
        # A commit in the middle of a branch that was moved forward belongs to its request as well; of several requests
        # with it, the first brought it to the branch.
        found = [request for request in map(_answer, requests_of_commit) if _is_merged(request, branch)]
        found.sort(
            key=lambda request: (commit not in _ends(request), str(request.get("merged_at")), _number(request["iid"]))
        )
        return _read_request(server, project, str(found[0]["iid"])) if found else None

    def _patiently(self, ask: "Callable[[gitlab.Gitlab], T]") -> T:
        server = self._connect()
        return patiently(lambda: self._once(server, ask), self._timing)

    def _once(self, server: "gitlab.Gitlab", ask: "Callable[[gitlab.Gitlab], T]") -> T:
        import gitlab
        import requests

        try:
            return ask(server)
        except gitlab.GitlabParsingError as error:
            raise _odd(server.url) from error
        except gitlab.GitlabError as error:
            raise self._refused(error, server.url) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            kind = "did not answer in time" if isinstance(error, requests.Timeout) else "cannot be reached"
            raise BusyError(
                ReconcilerError(f"{server.url} {kind}.", "Check CI_SERVER_URL and the network, and run the job again.")
            ) from error
        except requests.RequestException as error:
            raise _odd(server.url) from error

    def _refused(self, error: "gitlab.GitlabError", url: str) -> ReconcilerError:
        """What a status code means to the person who set the job up."""
        status = error.response_code
        if status == 401:
            return ReconcilerError(f"{url} does not accept the token (401): it expired or was revoked.", _ADVICE)
        if status == 403:
            return ReconcilerError(f"{url} does not let the token do this (403).", _ADVICE)
        if status == 404:
            return ReconcilerError(
                f"{url} has no such project, commit or merge request (404), or hides it from the token's user.",
                _ADVICE,
            )
        if status is None:
            return _odd(url)
        tokens = (self._environment.get(name, "").strip() for name in TOKENS)
        said = without_secrets(clean(str(error.error_message))[:200], tokens)
        return ReconcilerError(f"{url} refused ({status}): {said}.", "Is it GitLab 15 or newer?")

    def _connect(self) -> "gitlab.Gitlab":
        import gitlab
        import requests

        token = next((t for name in TOKENS if (t := self._environment.get(name, "").strip())), "")
        if not token:
            raise ReconcilerError(f"No token for GitLab: neither {' nor '.join(TOKENS)} is set.", _ADVICE)
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ReconcilerError(
                "The token for GitLab contains spaces or other invalid characters.", "Set the variable again."
            )
        address = self._environment.get("CI_API_V4_URL", "").rstrip("/").removesuffix("/api/v4")
        authorities = self._environment.get("CI_SERVER_TLS_CA_FILE", "")
        session = requests.Session()
        session.hooks["response"].append(_refuse_to_wait)
        # Requests (2.32) would send the token along to wherever it is sent on.
        session.max_redirects = 0
        return gitlab.Gitlab(
            address or self._needed("CI_SERVER_URL"),
            private_token=token,
            timeout=self._timing.timeout,
            session=session,
            # The token goes to the address that was named, wherever the links to further pages lead.
            keep_base_url=True,
            ssl_verify=authorities if Path(authorities).is_file() else True,
        )

    def _needed(self, name: str) -> str:
        if value := self._environment.get(name):
            return value
        raise ReconcilerError(f"{name} is not set; every job of GitLab CI sets it.", "Run this in a job, or set it.")


@dataclass(frozen=True, slots=True)
class _Thread:
    """The port `Thread`: the notes of a merge request. `page` is the project's, `author` who is named as ours."""

    server: "gitlab.Gitlab"
    notes: Any
    number: str
    page: str
    author: str
    merged_at: datetime | None

    @property
    def name(self) -> str:
        return f"!{self.number}"

    def us(self) -> str:
        return self.author or f"#{_answer(self.server.http_get('/user')).get('id')}"

    def harmless(self, body: str) -> str:
        return _harmless(body)

    def comments(self) -> Iterator[Comment]:
        notes = map(_read_note, self.notes.list(iterator=True, per_page=100))
        return (self._comment(note) for note in notes if not note.system)

    def add(self, body: str) -> Comment:
        return self._comment(_read_note(self.notes.create({"body": body})))

    def _comment(self, note: _Note) -> Comment:
        number, name = note.author
        names = frozenset({f"#{number}", name.casefold()} - {""})
        address = f"{self.page}/-/merge_requests/{self.number}#note_{note.number}"
        edited_at = moment(note.edited_at)
        edit, remove = partial(self._edit, note.number), partial(self._remove, note.number)
        return Comment(note.number, note.body, names, edited_at, address, edit, remove)

    def _edit(self, number: int, body: str) -> None:
        self.notes.update(number, {"body": body})

    def _remove(self, number: int) -> None:
        import gitlab

        try:
            self.notes.delete(number)
        except gitlab.GitlabError as error:
            if error.response_code != 404:
                raise


def _refuse_to_wait(answer: "requests.Response", *_: object, **__: object) -> None:
    """
    Whether and how long to wait is for us to say: python-gitlab (8.6) sleeps for as long as a server asks for, and
    falls over a date. See contract/test_gitlab.py::test_nobody_waits_for_an_hour.
    """
    status = answer.status_code
    if status != _TOO_MANY and status != _CONFLICT and status < 500:
        return
    asked = answer.headers.get("Retry-After", "")
    pause = float(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else None
    wanted = "" if pause is None else f" and asks to wait {pause:.0f} s"
    what = "received too many requests" if status == _TOO_MANY else "failed"
    url = without_credentials(answer.url.partition("/api/v4")[0])
    raise BusyError(ReconcilerError(f"{url} {what} ({status}){wanted}.", "Run the job again later."), pause)


def _read_request(server: "gitlab.Gitlab", project: str, number: str) -> Request:
    """
    A merge request as it stands, and who approves it. Who approves is asked before what is there: a push in between
    makes the approval the older of the two.
    """
    import gitlab

    place = f"/projects/{quote(project, safe='')}/merge_requests/{number}"
    given = _answer(server.http_get(f"{place}/approvals")).get("approved_by")
    notes = [_read_note(note) for note in _notes_of(server, project, number).list(iterator=True, per_page=100)]
    request = _answer(server.http_get(place))
    versions = [_answer(version) for version in server.http_list(f"{place}/versions", iterator=True, per_page=100)]
    commits = [_answer(commit) for commit in server.http_list(f"{place}/commits", iterator=True, per_page=100)]
    if not isinstance(given, list):
        raise gitlab.GitlabParsingError("no list of approvals")
    head, author = request.get("sha"), _answer(request.get("author") or {}).get("username")
    heads = {moment(str(version.get("created_at") or "")): version for version in versions}
    newest = max(versions, key=lambda version: _number(version.get("id")), default=dict[str, Any]())
    if not isinstance(head, str) or newest.get("head_commit_sha") != head or None in heads:
        raise ReconcilerError(
            f"GitLab does not say when !{number} was last updated, so it is not known whether approvals are for "
            "its present state.",
            "Run the job again in a minute.",
        )
    approvals: list[Approval] = []
    logins: dict[str, str] = {}
    led = max(
        (moment(note.made_at) for note in notes if note.system and _LED.match(note.body)), default=None, key=_when
    )
    for one in cast("list[Any]", given):
        user = _answer(_answer(one).get("user"))
        login = f"@{user.get('username')}"
        logins[str(user.get("name")).casefold()] = login
        when = moment(str(_answer(one).get("approved_at") or "")) or _noted(notes, user.get("id"))
        if when is None:
            raise ReconcilerError(
                f"GitLab does not say when {login} approved !{number}, so the approval may be for an earlier state.",
                "Ask them to approve it again.",
            )
        pushed = max((at for at in heads if at is not None and at < when), default=None)
        if pushed is not None and not is_bot(login) and (led is None or led < when):
            commit = Commit(str(heads[pushed].get("head_commit_sha")))
            approvals.append(Approval(login, f"approval of !{number} on GitLab", when.isoformat(), commit))
    approvals.sort(key=lambda approval: approval.who)
    makers: dict[Commit, tuple[str, ...]] = {}
    for commit in commits:
        # Whoever wrote a commit is told by the commit alone: an approver who is called the same may be who wrote it.
        made = [(str(commit.get(f"{role}_name")), str(commit.get(f"{role}_email"))) for role in ("author", "committer")]
        known = {logins[name.casefold()] for name, _ in made if name.casefold() in logins}
        makers[Commit(str(commit.get("id")))] = tuple(sorted({*known, *(f"{name} <{email}>" for name, email in made)}))
    pushes = tuple(
        Push(f"@{note.author[1]}", _commits_in(note.body)) for note in notes if note.system and _PUSHED.match(note.body)
    )
    ended = Commit(_ends(request)[-1]) if request.get("state") == "merged" else None
    return Request(Commit(head), tuple(approvals), f"@{author}" if author else "", makers, pushes, ended)


def _commits_in(note: str) -> tuple[str, ...]:
    """
    The beginnings of the names of the commits in GitLab's note of a push, without those of the target branch; none
    where it does not list each. Titles are escaped in it.
    """
    names: list[str] = []
    others = 0
    for item in re.findall(r"<li>(.*?)</li>", note):
        if merged := re.search(r" - (\d+) commits? from branch <code>", item):
            others += int(merged[1])
        elif named := re.match(r"([0-9a-f]{8,64}) - ", item):
            names.append(named[1])
    counted = _PUSHED.match(note)
    return tuple(names) if counted is not None and len(names) + others == int(counted[1]) else ()


def _when(at: datetime | None) -> datetime:
    """A note without a time is the newest: what it tells of happened after everything else, for all that is known."""
    return datetime.max.replace(tzinfo=UTC) if at is None else at


def _noted(notes: Iterable[_Note], user: object) -> datetime | None:
    """When a user last approved, by the note that GitLab itself writes about it; before GitLab 18 nothing else says."""
    moments = [moment(note.made_at) for note in notes if note.system and note.author[0] == user and note.body == _YES]
    return max((moment for moment in moments if moment is not None), default=None)


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _notes_of(server: "gitlab.Gitlab", project: str, number: str) -> Any:
    return server.projects.get(project, lazy=True).mergerequests.get(number, lazy=True).notes


def _merged_as(found: Any, commit: Commit, branch: str | None) -> Iterator[tuple[int, str]]:
    """
    The merge requests that ended in this very commit, on this branch: as a merge, squashed, or fast-forward. That a
    request merely contains the commit does not say that it was reviewed as what is there now.
    """
    for request in map(_answer, found):
        if _is_merged(request, branch) and commit in _ends(request):
            yield request["iid"], str(request.get("merged_at") or "")


def _is_merged(request: dict[str, Any], branch: str | None) -> bool:
    here = not branch or request.get("target_branch") == branch
    return isinstance(request.get("iid"), int) and request.get("state") == "merged" and here


def _ends(request: dict[str, Any]) -> list[str]:
    """The commits that a merge request became on its branch; the last one counts."""
    made = [str(request[name]) for name in ("squash_commit_sha", "merge_commit_sha") if request.get(name)]
    return made or [str(request.get("sha"))]


def _answer(value: Any) -> dict[str, Any]:
    import gitlab

    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType]  # JSON
    raise gitlab.GitlabParsingError("not an object")


def _read_note(note: Any) -> _Note:
    """A note as the API gives it, or the error that python-gitlab raises for what it cannot read itself."""
    import gitlab

    try:
        fields: dict[str, Any] = note.attributes
        author: dict[str, Any] = fields.get("author") or {}
        return _Note(
            int(fields["id"]),
            str(fields.get("body") or ""),
            (int(author.get("id") or 0), str(author.get("username") or "")),
            bool(fields.get("system")),
            str(fields.get("updated_at") or ""),
            str(fields.get("created_at") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise gitlab.GitlabParsingError("not a note") from error


def _odd(url: str) -> ReconcilerError:
    return ReconcilerError(
        f"The answer of {url} is not from GitLab's API.",
        "Check CI_SERVER_URL, and whether a proxy or a login page answers instead.",
    )


def _variable(name: str) -> str:
    return "RECONCILER_OUTPUT_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())
