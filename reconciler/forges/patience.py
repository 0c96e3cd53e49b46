"""How patiently a forge is asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from reconciler.errors import ReconcilerError
from reconciler.ports import Tries

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """
    How often a question is asked, how many seconds may pass between its first try and its last, and how many one
    request may take. A job that stands still costs money, and is better run again.
    """

    tries: Tries = Tries(most=4, pause=1.0)
    most_waited: float = 60.0
    timeout: int = 20
    sleep: Callable[[float], object] = time.sleep


class BusyError(Exception):
    """The forge did not do it, and may if it is asked again. `pause` is how long it wants to be left alone."""

    def __init__(self, error: ReconcilerError, pause: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause = pause


def patiently(ask: Callable[[], T], timing: Timing) -> T:
    """
    Ask until there is an answer. It is the whole question that is asked again, not its last request, as urllib3's Retry
    would: a comment that was made by a request whose answer was lost is found then, and not made twice.
    """
    waited, number = 0.0, 1
    while True:
        try:
            return ask()
        except BusyError as busy:
            number += 1
            pause = timing.tries.before(number) if busy.pause is None else busy.pause
            if number > timing.tries.most or waited + pause > timing.most_waited:
                raise busy.error from busy.__cause__
        timing.sleep(pause)
        waited += pause
