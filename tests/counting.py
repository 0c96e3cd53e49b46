"""What a piece of work calls, and how often: a test of how work grows asserts on this, and never on seconds."""

import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def counting() -> Generator[Counter[str]]:
    """The functions that are called as long as the block lasts, in this thread and in new ones, by module and name."""
    calls = Counter[str]()

    def heard(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            calls[f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"] += 1

    before = sys.getprofile()
    threading.setprofile(heard)
    sys.setprofile(heard)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # pyright: ignore[reportArgumentType]  # that is how it is taken away
