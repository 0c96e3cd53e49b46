"""A forge in memory: requests, their reviews with the times, and how they were merged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.gate import Approval
from reconciler.core.names import Commit
from reconciler.ports import Request as Asked
from tests.house.people import Person


class Way(StrEnum):
    """How a request becomes a part of main."""

    MERGE = "merge commit"
    SQUASH = "squash"
    REBASE = "rebase"
    QUEUE = "merge queue"
    FAST_FORWARD = "fast-forward"
    PUSH = "direct push"


@dataclass(frozen=True)
class Review:
    """What somebody said of a request, of which commit and when."""

    who: Person
    of: Commit
    at: str
    approves: bool = True


@dataclass
class Request:
    """
    A change on a branch. `landed` are the commits that it became on main, oldest first: none until it is merged. One
    that was pushed to main directly is none of the forge's.
    """

    number: int
    opener: Person
    branch: str
    forks_from: Commit
    head: Commit
    reviews: list[Review] = field(default_factory=list[Review])
    hands: dict[Commit, Person] = field(default_factory=dict[Commit, Person])
    landed: tuple[Commit, ...] = ()
    merged_at: str = ""
    closed: bool = False
    at_the_forge: bool = True

    @property
    def merged(self) -> Commit | None:
        return self.landed[-1] if self.landed else None

    def copied(self) -> "Request":
        """The same, which goes its own way from now on."""
        return replace(self, reviews=list(self.reviews), hands=dict(self.hands))


@dataclass
class Forge:
    """The port `Forge`. `job` is the request that the job runs for, while there is one."""

    requests: list[Request] = field(default_factory=list[Request])
    job: Request | None = None
    down: Callable[[], None] | None = None
    comments: list[str] = field(default_factory=list[str])

    def withdraw(self, write: Callable[[str], str]) -> None:
        """There are no comments."""

    @property
    def comment_limit(self) -> int:
        return 65_536

    def comment(self, body: str, key: str) -> str | None:
        self.comments.append(body)
        return "https://forge.example/1"

    def reviewed(self, commit: Commit, key: str) -> str | None:
        return None

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:
        pass

    def request(self, commit: Commit, *, merged: bool = False) -> Asked | None:
        if self.down is not None:
            self.down()
        request = (None if merged else self.job) or self._merged_as(commit)
        return None if request is None else self._told(request)

    def _merged_as(self, commit: Commit) -> Request | None:
        merged = [r for r in self.requests if r.at_the_forge and not r.closed and commit in r.landed]
        return min(merged, key=lambda request: (request.merged != commit, request.number), default=None)

    def _told(self, request: Request) -> Asked:
        """Of each person the last word counts, and of a commit that they name."""
        last = {review.who: review for review in request.reviews}
        approvals = tuple(
            Approval(f"@{who.login}", f"review of #{request.number}", review.at, review.of)
            for who, review in sorted(last.items(), key=lambda item: item[0].login)
            if review.approves and who != request.opener
        )
        makers = {commit: (f"@{person.login}", str(person)) for commit, person in request.hands.items()}
        return Asked(request.head, approvals, f"@{request.opener.login}", makers, merged_as=request.merged)
