"""GitHub: the comment under a pull request, what of it was reviewed, and the files by which a job tells of itself."""

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote

from reconciler.core.gate import Approval
from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.core.names import Commit
from reconciler.core.text import plain
from reconciler.errors import ReconcilerError
from reconciler.forges.comments import Comment, named_author, put_up, refuse_stale, reviewed, withdraw
from reconciler.forges.patience import BusyError, Timing, patiently
from reconciler.ports import Push, Request

if TYPE_CHECKING:
    from github import Github
    from github.GitAuthor import GitAuthor
    from github.GithubException import GithubException
    from github.IssueComment import IssueComment
    from github.NamedUser import NamedUser
    from github.Organization import Organization
    from github.PullRequest import PullRequest
    from github.Repository import Repository

T = TypeVar("T")

COMMENT_LIMIT = MARKDOWN_CHARACTERS
"""
GitHub's message speaks of 65,536 characters. What is refused was measured by others as 65,536 code points for a pull
request's text, and 262,144 bytes of UTF-8 for a comment: as many code points of four bytes each are within both.
"""

SUMMARY_LIMIT = 1024 * 1024
"""Bytes in the file of a step's summary; a larger one is not shown at all."""

ACTIONS = "github-actions[bot]"
"""Who comments with the token of a GitHub Actions job."""

_A_MINUTE = 60.0

_MOST_COMMITS = 250
"""Commits of a pull request that GitHub lists."""

_MOST_PAGES = 10
"""Pages of a branch's activity that are read: a thousand pushes."""

_PUSHED = frozenset({"push", "force_push", "branch_creation"})

_BROWSER = "web-flow"
"""Who commits what is made in the browser, for whoever is its author."""

_DECISIVE = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})

_CUT = "The rest is left out: GitHub shows 1024 KiB of a summary. The whole plan is in the files of this run."

_WRITE = (
    "Give the job `permissions: pull-requests: write`. The token of a pull request from a fork, or by Dependabot, can "
    "only read, whatever `permissions` says: run `reconciler validate` there, which needs no token."
)
_OPEN = (
    "Give the job `permissions: contents: write, pull-requests: write`, and let GitHub Actions create pull requests "
    "(Settings, Actions, General)."
)
_READ = "Give the job `permissions: pull-requests: read`, and check that the token is for this repository."


def open_forge(environment: Mapping[str, str]) -> "GithubForge":
    """The forge of a job of GitHub Actions."""
    return GithubForge(environment)


def variables_of(host: str, path: str) -> dict[str, str]:
    """What a job of GitHub Actions knows of the repository at an address, for use outside of one."""
    api = "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
    return {"GITHUB_API_URL": api, "GITHUB_REPOSITORY": path}


class GithubForge:
    """
    The port `Forge` for a job of GitHub Actions, or whatever has the same environment variables. Nothing is asked of
    GitHub before it is needed.
    """

    def __init__(self, environment: Mapping[str, str], timing: Timing = Timing()) -> None:
        self._environment = environment
        self._api = (environment.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")
        self._timing = timing
        self._connection: Github | None = None
        self._author: str | None = None

    @property
    def comment_limit(self) -> int:
        return COMMENT_LIMIT

    def comment(self, body: str, key: str) -> str | None:
        number = self._pull_request()
        if number is None:
            return None
        place = f"commenting on {self._repository_name}#{number}"
        return self._patiently(place, _WRITE, lambda: put_up(self._thread(number), body, key))

    def withdraw(self, write: Callable[[str], str]) -> None:
        number = self._pull_request()
        if number is not None:
            place = f"withdrawing the comment on {self._repository_name}#{number}"
            current = self._environment.get("GITHUB_SHA", "")
            self._patiently(place, _WRITE, lambda: withdraw(self._thread(number), write, current))

    def reviewed(self, commit: str, key: str) -> str | None:
        place = f"looking up how {commit[:12]} came into {self._repository_name}"
        return self._patiently(place, _READ, lambda: reviewed(self._merged(commit), key))

    def request(self, commit: Commit, *, merged: bool = False) -> Request | None:
        place = f"looking up who approved {commit[:12]} in {self._repository_name}"
        return self._patiently(place, _READ, lambda: self._request(commit, merged=merged))

    def ready(self) -> None:
        self._github()

    def propose(self, branch: str, base: str, title: str, text: str) -> str:
        place = f"opening a pull request for {branch} in {self._repository_name}"

        def attempt() -> str:
            repository = self._repository()
            owner = self._repository_name.partition("/")[0]
            there = next(iter(repository.get_pulls(state="open", head=f"{owner}:{branch}", base=base)), None)
            pull = there or repository.create_pull(base=base, head=branch, title=title, body=text)
            return pull.html_url

        return self._patiently(place, _OPEN, attempt)

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:
        text = "".join(_heredoc(name, value) for name, value in outputs.items())
        if text and (path := self._environment.get("GITHUB_OUTPUT")):
            _append(Path(path), text)
        if summary and (path := self._environment.get("GITHUB_STEP_SUMMARY")):
            _append(Path(path), fitting(summary, SUMMARY_LIMIT - _size(Path(path))))

    def _thread(self, number: int, merged_at: datetime | None = None) -> "_Thread":
        return _Thread(self._repository(), number, merged_at, self._us)

    def _merged(self, commit: str) -> "Iterator[_Thread]":
        """The comments of the pull request by which a commit came to be."""
        merged = [pull for pull in self._repository().get_commit(commit).get_pulls() if pull.merged_at is not None]
        # A commit in the middle of a rebased branch belongs to its request as well, without being its merge commit.
        pull = min(merged, key=lambda pull: (pull.merge_commit_sha != commit, pull.number), default=None)
        if pull is not None:
            yield self._thread(pull.number, pull.merged_at)

    def _request(self, commit: Commit, *, merged: bool) -> Request | None:
        """
        Whose last word on it is a yes, and who made it. What was approved before the request was led to another branch
        was another change.
        """
        pull = self._in_question(commit, merged=merged)
        if pull is None:
            return None
        if pull.commits > _MOST_COMMITS:
            raise ReconcilerError(
                f"#{pull.number} has {pull.commits} commits; GitHub lists only {_MOST_COMMITS}, so the "
                "authors of the others are not known.",
                "Split it, or squash its commits.",
            )
        events = list(pull.get_issue_events())
        led = max((event.created_at for event in events if event.event == "base_ref_changed"), default=None)
        said = [review for review in pull.get_reviews() if review.state in _DECISIVE]
        # Of each person the last word counts. A comment takes none back.
        last = {_login(review.user): review for review in sorted(said, key=lambda r: (r.submitted_at, r.id))}
        approvals = tuple(
            Approval(
                f"@{login}",
                f"review of #{pull.number} on GitHub",
                review.submitted_at.astimezone(UTC).isoformat(),
                Commit(review.commit_id or ""),
            )
            for login, review in sorted(last.items())
            if review.state == "APPROVED" and _is_person(review.user)
            if led is None or review.submitted_at > led
        )
        makers: dict[Commit, tuple[str, ...]] = {}
        parents: dict[str, tuple[str, ...]] = {}
        for one in pull.get_commits():
            parents[one.sha] = tuple(parent.sha for parent in one.parents)
            logins = {
                f"@{login}" for login in (_login(one.author), _login(one.committer)) if login and login != _BROWSER
            }
            people = {_person(person) for person in (one.commit.author, one.commit.committer)}
            makers[Commit(one.sha)] = tuple(sorted(logins | people - {""}))
        pushes = self._pushes(pull, parents)
        if pushes is None:
            forced = {_login(event.actor) for event in events if event.event == "head_ref_force_pushed"} - {""}
            pushes = tuple(Push(f"@{login}") for login in sorted(forced))
        opened = _login(pull.user)
        return Request(
            Commit(pull.head.sha),
            approvals,
            f"@{opened}" if opened else "",
            makers,
            pushes,
            Commit(pull.merge_commit_sha) if pull.merged_at is not None and pull.merge_commit_sha else None,
        )

    def _pushes(self, pull: "PullRequest", parents: Mapping[str, tuple[str, ...]]) -> tuple[Push, ...] | None:
        """Who pushed which commits of a request. None where GitHub does not tell: old servers, private forks."""
        from github.GithubException import GithubException

        name = cast("Any", pull.head.repo) and pull.head.repo.full_name
        asked: dict[str, Any] = {"ref": f"refs/heads/{pull.head.ref}", "per_page": 100}
        found: list[Push] = []
        for _ in range(_MOST_PAGES if name else 0):
            try:
                headers, told = self._github().requester.requestJsonAndCheck("GET", f"/repos/{name}/activity", asked)
            except GithubException as error:
                if error.status in {403, 404} and _wait_told(error) is None:
                    return None
                raise
            for entry in cast("list[dict[str, Any]]", told):
                login, after = _part(entry, "actor").get("login"), str(entry.get("after"))
                if login and after in parents and entry.get("activity_type") in _PUSHED:
                    commits = _reached(after, parents) - _reached(str(entry.get("before")), parents)
                    found.append(Push(f"@{login}", tuple(sorted(commits))))
            following = re.search(r'[?&]after=([^&>]+)[^>]*>; rel="next"', str(headers.get("link", "")))
            if following is None:
                return tuple(found)
            asked["after"] = unquote(following[1])
        return None

    def _in_question(self, commit: Commit, *, merged: bool) -> "PullRequest | None":
        """The pull request that the job runs for, or the one that brought this very commit to the job's branch."""
        repository = self._repository()
        queued = _part(self._event(), "merge_group")
        number = None if merged else self._pull_request()
        if number is not None:
            pull = repository.get_pull(number)
            meant: object = _part(_part(self._event(), "pull_request"), "head").get("sha")
            refuse_stale(f"#{number}", pull.head.sha, str(meant or ""))
            return pull
        if not merged and commit == queued.get("head_sha"):
            # Nobody but GitHub writes to these branches.
            found = re.fullmatch(r"refs/heads/gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+", str(queued.get("head_ref")))
            return repository.get_pull(int(found[1])) if found else None
        branch = self._branch()
        merged_here = [
            pull
            for pull in repository.get_commit(commit).get_pulls()
            if pull.merged_at is not None and pull.base.ref == branch
        ]
        # A commit in the middle of a rebased branch belongs to its request as well; the first brought it to the branch.
        first = min(merged_here, key=lambda p: (p.merge_commit_sha != commit, p.merged_at, p.number), default=None)
        # What the list has of a pull request lacks how many commits it has.
        return None if first is None else repository.get_pull(first.number)

    def _branch(self) -> str:
        """The branch that the job runs for, or merges into; for a tag, the one that changes are merged into."""
        into: object = _part(_part(self._event(), "pull_request"), "base").get("ref")
        reference = f"refs/heads/{into}" if into else self._environment.get("GITHUB_REF", "")
        found = re.fullmatch(r"refs/heads/(?:gh-readonly-queue/)?(.+?)(?:/pr-\d+-[0-9a-f]+)?", reference)
        branch: object = found[1] if found else _part(self._event(), "repository").get("default_branch")
        if isinstance(branch, str) and branch:
            return branch
        raise ReconcilerError(
            "The branch of this job is not known, so no approval is known.",
            "GitHub Actions sets GITHUB_REF; elsewhere, set it to `refs/heads/main`.",
        )

    def _us(self) -> str:
        if self._author is None:
            self._author = named_author(self._environment) or self._viewer().casefold()
        return self._author

    def _viewer(self) -> str:
        """
        Whose the token is. `GET /user` answers this for people only; GraphQL's `viewer` also for the token of a job and
        of any other app, whose name nothing else in a job tells.
        """
        from github.GithubException import GithubException

        try:
            _, answer = self._github().requester.graphql_query("query { viewer { login } }", {})
        except GithubException as error:
            if error.status == 401 or error.status >= 500 or _wait_told(error) is not None:
                raise
            return ACTIONS
        login: object = cast("Any", answer.get("data") or {}).get("viewer", {}).get("login")
        return login if isinstance(login, str) and login else ACTIONS

    @property
    def _repository_name(self) -> str:
        return self._environment.get("GITHUB_REPOSITORY", "")

    def _repository(self) -> "Repository":
        return self._github().get_repo(self._repository_name)

    def _github(self) -> "Github":
        if self._connection is None:
            from github import Auth, Github

            token = self._environment.get("GITHUB_TOKEN") or self._environment.get("GH_TOKEN")
            if not token:
                raise ReconcilerError(
                    "No token for GitHub.", "Set GITHUB_TOKEN in the step: `${{ github.token }}` is the job's."
                )
            if "/" not in self._repository_name:
                raise ReconcilerError(
                    "GITHUB_REPOSITORY does not name a repository.",
                    "It is set by GitHub Actions; elsewhere, set it to `owner/name`.",
                )
            self._connection = Github(
                auth=Auth.Token(token),
                base_url=self._api,
                timeout=self._timing.timeout,
                per_page=100,
                retry=None,  # see patience.py
                seconds_between_requests=None,
                seconds_between_writes=None,
                lazy=True,
            )
        return self._connection

    def _pull_request(self) -> int | None:
        """The number of the pull request that the job runs for; pushes, merge queues and schedules have none."""
        if not self._environment.get("GITHUB_EVENT_PATH"):
            found = re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", self._environment.get("GITHUB_REF", ""))
            return int(found[1]) if found else None
        event = self._event()
        request, issue = _part(event, "pull_request"), _part(event, "issue")
        number: object = request.get("number") or (issue.get("number") if issue.get("pull_request") else None)
        return number if isinstance(number, int) else None

    def _event(self) -> dict[str, Any]:
        path = self._environment.get("GITHUB_EVENT_PATH")
        return _read_event(Path(path)) if path else {}

    def _patiently(self, place: str, permission: str, attempt: Callable[[], T]) -> T:
        """
        Try, and try again where that may help. Everything that goes wrong becomes a ReconcilerError; none of them can
        hold the token.
        """
        return patiently(lambda: self._once(place, permission, attempt), self._timing)

    def _once(self, place: str, permission: str, attempt: Callable[[], T]) -> T:
        from github.GithubException import BadAttributeException, GithubException
        from requests import RequestException

        try:
            return attempt()
        except GithubException as error:
            wait = _wait_told(error)
            refusal = self._refused(place, permission, error, wait)
            if wait is None and error.status < 500:
                raise refusal from None
            raise BusyError(refusal, wait) from None
        except RequestException as error:
            raise BusyError(
                ReconcilerError(
                    f"{self._api} did not answer while {place} ({type(error).__name__}).",
                    "Run the job again; if it keeps failing, check GITHUB_API_URL and the proxy.",
                )
            ) from None
        except (BadAttributeException, AssertionError, RuntimeError, ValueError, TypeError) as error:
            # PyGithub 2.10 says so in its own words where an answer, or a redirection, is not one of GitHub's.
            raise ReconcilerError(
                f"{self._api} did not answer like GitHub while {place} ({type(error).__name__}).",
                "Check GITHUB_API_URL, and whether a proxy answers instead.",
            ) from None

    def _refused(self, place: str, permission: str, error: "GithubException", wait: float | None) -> ReconcilerError:
        said = _said(error)
        if wait is not None:
            return ReconcilerError(
                f"GitHub's rate limit was reached while {place}; wait for {wait:.0f} s.",
                "Run the job again after that. What was planned or applied stands.",
            )
        match error.status:
            case 401:
                fix = "Set GITHUB_TOKEN to a token that is valid: `${{ github.token }}` is the job's."
            case 403:
                fix = permission
            case 404 | 410:
                fix = f"Check GITHUB_REPOSITORY, and that the token can read it. {permission}"
            case 422:
                fix = "The text may be too long, the conversation locked, or the commit not pushed yet."
            case status if status >= 500:
                fix = "This is an error at GitHub: run the job again, and see https://www.githubstatus.com."
            case _:
                fix = "Check GITHUB_API_URL and GITHUB_REPOSITORY."
        return ReconcilerError(f"GitHub answered {error.status}{said} while {place}.", fix)


@dataclass(frozen=True, slots=True)
class _Thread:
    """The port `Thread`: the comments under a pull request."""

    repository: "Repository"
    number: int
    merged_at: datetime | None
    us: Callable[[], str]

    @property
    def name(self) -> str:
        return f"#{self.number}"

    def harmless(self, body: str) -> str:
        return body

    def comments(self) -> Iterator[Comment]:
        return map(_comment, self.repository.get_issue(self.number).get_comments())

    def add(self, body: str) -> Comment:
        return _comment(self.repository.get_issue(self.number).create_comment(body))


def _comment(comment: "IssueComment") -> Comment:
    user = cast("Any", comment.user)  # null where the account is gone
    login, kind = ("", "") if user is None else (user.login.casefold(), user.type)
    # People may be called as a bot is.
    names = frozenset({login} if login and (kind == "Bot" or not login.endswith("[bot]")) else ())

    def remove() -> None:
        from github.GithubException import GithubException

        try:
            comment.delete()
        except GithubException as error:
            if error.status != 404:
                raise

    body, address = comment.body or "", comment.html_url
    return Comment(comment.id, body, names, comment.updated_at, address, comment.edit, remove)


def fitting(text: str, limit: int) -> str:
    """
    The text, or as many of its paragraphs as fit into this many bytes with a word about the rest. It is cut only where
    no fence and no `<details>` is open, which would swallow what follows.
    """
    text = text.encode(errors="backslashreplace").decode().rstrip("\n") + "\n"
    if len(text.encode()) <= limit:
        return text
    note = f"\n{_CUT}\n"
    left = limit - len(note.encode())
    kept, whole, depth, fenced = 0, 0, 0, False
    for paragraph in re.split(r"(?<=\n)(?=\n)", text):
        kept += len(paragraph.encode())
        if kept > left:
            break
        depth += paragraph.count("<details") - paragraph.count("</details>")
        fenced ^= len(re.findall(r"^ {0,3}```", paragraph, re.MULTILINE)) % 2 == 1
        if depth <= 0 and not fenced:
            whole = kept
    return text.encode()[:whole].decode() + note if left >= 0 else ""


def _wait_told(error: "GithubException") -> float | None:
    """
    The seconds that a rate limit asks to wait, or None where the error is not one. The time that is left is counted
    from GitHub's clock, not from ours.
    """
    from github.GithubException import RateLimitExceededException

    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status not in {403, 429}:
        return None
    told = headers.get("retry-after", "")
    if told.isdigit():
        return float(told)
    if headers.get("x-ratelimit-remaining") == "0":
        with suppress(ValueError):
            reset = float(headers.get("x-ratelimit-reset", ""))
            return max(0.0, reset - parsedate_to_datetime(headers.get("date", "")).timestamp()) + 1
        return _A_MINUTE
    # The secondary limits come without a header at times; then GitHub's documentation asks for a minute.
    return _A_MINUTE if error.status == 429 or isinstance(error, RateLimitExceededException) else None


def _said(error: "GithubException") -> str:
    data: Any = error.data
    if not isinstance(data, dict):
        return ""
    answer = cast("dict[str, Any]", data)
    details = answer.get("errors")
    reasons: list[object] = [answer.get("message")]
    for detail in cast("list[Any]", details) if isinstance(details, list) else []:
        reasons.append(cast("dict[str, Any]", detail).get("message") if isinstance(detail, dict) else detail)
    said = "; ".join(reason for reason in reasons if isinstance(reason, str) and reason)
    return f" ({plain(said, 200)})" if said else ""


def _login(user: "NamedUser | Organization | None") -> str:
    """Nothing where the account is gone, or GitHub does not know whose the commit's address is."""
    from github.GithubException import IncompletableObject

    try:
        return user.login if user is not None else ""
    except IncompletableObject:
        return ""


def _person(person: "GitAuthor") -> str:
    """`Name <email>`; nothing where GitHub committed for the author."""
    return "" if person.email == "noreply@github.com" else f"{person.name} <{person.email}>"


def _reached(commit: str, parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The commits of a request that one of them contains."""
    found: set[str] = set()
    left = [commit]
    while left:
        if (one := left.pop()) in parents and one not in found:
            found.add(one)
            left.extend(parents[one])
    return found


def _is_person(user: "NamedUser | None") -> bool:
    return user is not None and bool(_login(user)) and user.type == "User"


def _heredoc(name: str, value: str) -> str:
    delimiter = f"end-{secrets.token_hex(16)}"
    while delimiter in value:
        delimiter = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _read_event(path: Path) -> dict[str, Any]:
    try:
        event: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReconcilerError(
            f"The event of this job cannot be read from {path} ({type(error).__name__}).",
            "GitHub Actions writes it; unset GITHUB_EVENT_PATH outside of GitHub Actions.",
        ) from error
    return cast("dict[str, Any]", event) if isinstance(event, dict) else {}


def _part(event: dict[str, Any], name: str) -> dict[str, Any]:
    part = event.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(path: Path, text: str) -> None:
    size: int | None = None
    try:
        size = _size(path)
        with path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
    except OSError as error:
        if size is not None and path.is_file():
            # Half a value is another value.
            with suppress(OSError):
                os.truncate(path, size)
        raise ReconcilerError(
            f"{path} cannot be written to ({error.strerror}).",
            "GitHub Actions names it in GITHUB_OUTPUT or GITHUB_STEP_SUMMARY; unset the variable elsewhere.",
        ) from error
