"""What is about our comment, whatever the forge: which one is ours, that there is one, and whether it came in time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from reconciler.errors import ReconcilerError, StaleError
from reconciler.render.marker import read_marker

AUTHOR = "RECONCILER_COMMENT_AUTHOR"
"""Names the account that our comments are by, where it is not the one that the token is of."""

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Comment:
    """
    A comment that somebody wrote. `names` tell its author from every other one, in lower case; there are none where the
    account is gone, or may only look like another. `edited_at` is when it became what it says, None where that is not
    known. To remove one that is gone already is no error.
    """

    number: int
    body: str
    names: frozenset[str]
    edited_at: datetime | None
    address: str
    edit: Callable[[str], object]
    remove: Callable[[], object]


class Thread(Protocol):
    """The comments under one change request, as a forge reads and writes them: each call once."""

    @property
    def name(self) -> str:
        """The request as people call it: `#7`."""
        ...

    @property
    def merged_at(self) -> datetime | None: ...

    def us(self) -> str:
        """Who we are: one of the `names` that our comments have. It is asked where one looks like ours."""
        ...

    def harmless(self, body: str) -> str:
        """A body that this forge shows and does not carry out."""
        ...

    def comments(self) -> Iterable[Comment]: ...

    def add(self, body: str) -> Comment: ...


def named_author(environment: Mapping[str, str]) -> str:
    """The account that our comments are by, where it is named."""
    return environment.get(AUTHOR, "").removeprefix("@").casefold()


def put_up(thread: Thread, body: str, key: str) -> str:
    """Show this in the one comment of ours with this key, the oldest of several. Its address."""
    body = thread.harmless(body)
    comments = ours(thread, key)
    if not comments:
        return thread.add(body).address
    first, *others = comments
    if not _same(first.body, body):
        first.edit(body)
    for other in others:
        # Two jobs that found none at the same time made one each.
        other.remove()
    return first.address


def withdraw(thread: Thread, write: Callable[[str], str], current: str) -> None:
    """Put what `write` makes of a key in the place of our comments, but for those of the `current` commit."""
    for comment in ours(thread, None):
        marker = read_marker(comment.body)
        body = "" if marker is None else thread.harmless(write(marker.key))
        if marker is not None and marker.commit != current and not _same(comment.body, body):
            comment.edit(body)


def reviewed(threads: Iterable[Thread], key: str) -> str | None:
    """
    What our comment says under the first of some merged requests that has one: of several, the one that was written
    last. Raises StaleError where it is not certain that it said so before the merge.
    """
    for thread in threads:
        comments = ours(thread, key)
        if not comments:
            continue
        last = max(comments, key=lambda comment: (comment.edited_at or _NEVER, comment.number))
        if last.edited_at is None or thread.merged_at is None or last.edited_at > thread.merged_at:
            raise StaleError(
                f"The plan under {thread.name} was written after the merge, so nobody reviewed it before: "
                f"{last.address}.",
                "Review the present plan with `reconciler plan`, and apply it without --expect-reviewed.",
            )
        return last.body
    return None


def ours(thread: Thread, key: str | None) -> list[Comment]:
    """
    The comments that begin with our marker and this key (None: any) and are by the author whom we expect, the oldest
    first. Anybody can write the marker.
    """
    marked = [c for c in thread.comments() if (marker := read_marker(c.body)) and key in {None, marker.key}]
    us = thread.us() if marked else ""
    return sorted((comment for comment in marked if us in comment.names), key=lambda comment: comment.number)


def refuse_stale(name: str, head: str, ran_for: str) -> None:
    """Raise ReconcilerError where a request is not at the commit anymore that the job runs for; empty: not known."""
    if ran_for and ran_for != head:
        raise ReconcilerError(
            f"{name} was updated since this job began: its approvals are not for {ran_for[:12]}.",
            "See the job of the newer commit.",
        )


def _same(body: str, other: str) -> bool:
    """Whether two bodies say the same: an editor in the browser ends lines with a carriage return."""
    first, second = (text.replace("\r\n", "\n").strip() for text in (body, other))
    return first == second
