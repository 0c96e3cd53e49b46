"""Pages of a search: the next one is on its way while one is read."""

import json
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from reconciler.surroundings import SURROUNDINGS

T = TypeVar("T")
Q = TypeVar("Q")
Search = Callable[[str | None, str | None], Any]
"""Gives the page of a filter that a token names, or the first one: rows, and the token of the next page."""

_LAST_MEMBER = re.compile(rb'"next_page_token"\s*:\s*"([A-Za-z0-9+/=_-]+)"\s*\}\s*\Z')


class Page:
    """
    A page in JSON, as it came. Which one comes next is known before the rest of it is read, where that stands at its
    very end, as MLflow's server writes it (seen in 3.17): the brace behind it is that of the whole, so nothing in a tag
    or a description is taken for it. `key` has the rows, each of which `row` reads when its turn comes: once, and what
    it came from is let go of then.
    """

    def __init__(self, place: str, body: bytes, key: str, row: Callable[[Any], Any]) -> None:
        self._place, self._body, self._key, self._row = place, body, key, row
        self._entries: list[Any] | None = None
        self._length = 0
        found = _LAST_MEMBER.search(body, max(0, len(body) - 1000))
        self._token = None if found is None else found[1].decode("ascii")

    @property
    def token(self) -> str | None:
        if self._token is None:
            self._read()
        return self._token

    def __iter__(self) -> Iterator[Any]:
        """Raises ValueError for JSON of another shape."""
        entries = self._read()
        while entries:
            with self._of_one_shape():
                row = self._row(entries.pop())
            yield row

    def __len__(self) -> int:
        self._read()
        return self._length

    @property
    def unread(self) -> bool:
        return self._entries is None

    def _read(self) -> list[Any]:
        if self._entries is None:
            text, self._body = self._body.decode("utf-8", "replace"), b""
            try:
                told = json.loads(text)
            except RecursionError as error:
                raise ValueError(f"{self._place}: JSON that is nested too deeply") from error
            del text
            with self._of_one_shape():
                self._entries = [*told.get(self._key, ())][::-1]
                self._length = len(self._entries)
                self._token = text_of(told.get("next_page_token"))
        return self._entries

    @contextmanager
    def _of_one_shape(self) -> Generator[None]:
        try:
            yield
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{self._place}: {error!r}") from error


def text_of(told: Any) -> str | None:
    """What is a text, or nothing; a number, or anything else, would break what reads it much later."""
    if told is not None and not isinstance(told, str):
        raise TypeError("something else where a text belongs")
    return told


def is_unread(page: Any) -> bool:
    """Whether there is something left to do with a page while the next one is on its way."""
    return isinstance(page, Page) and page.unread


def next_of(page: Any, seen: set[str]) -> str | None:
    """The token of the page after this one, noted among those `seen`. Raises ValueError for one that was there."""
    token = page.token or None
    if token is not None and token in seen:
        raise ValueError("the pages have no end")
    if token is not None:
        seen.add(token)
    return token


def pages(search: Search, clause: str | None) -> Iterator[Any]:
    """Until there are no more. Raises ValueError for a page without an end: it has nothing in it, or was there."""
    seen: set[str] = set()
    page = search(clause, None)
    while True:
        token = next_of(page, seen)
        following: Callable[[], Any] | None = None
        if token is not None and is_unread(page):
            following = asked(partial(search, clause, token))
        yield page
        if token is None:
            return
        if not page:
            raise ValueError("the pages have no end")
        page = search(clause, token) if following is None else following()


def asked(question: Callable[[], T]) -> Callable[[], T]:
    """Asks in a thread of its own, and gives what waits for the answer: nobody has to, and no exit of Python does."""
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            answer.set_exception(error)

    SURROUNDINGS.read("reconciler-page", ask)
    return answer.result


def answers(ask: Callable[[Q], T], questions: Iterable[Q], width: int) -> Iterator[T]:
    """The answers to questions, in their order; so many are asked at a time."""
    waiting: deque[Callable[[], T]] = deque()
    for question in questions:
        if len(waiting) == width:
            yield waiting.popleft()()
        waiting.append(asked(partial(ask, question)))
    while waiting:
        yield waiting.popleft()()
