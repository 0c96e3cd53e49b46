"""The time of this machine, and CPU time: how much was taken, and an end to what takes too much."""

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from reconciler.core.moments import rfc3339
from reconciler.errors import OverBudgetError

_PULSE = 0.05
"""Seconds of the process's time between two looks at the thread's, once the first limit is near."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> str:
        return rfc3339(datetime.now(UTC))  # noqa: TID251  # the one clock


class ProcessorStopwatch:
    """
    The port `Stopwatch` by the clock of the calling thread. Work on the main thread is interrupted wherever Python
    looks for signals, which loops, `re` and waiting do; on another thread it is found out when it ends.
    """

    def spent(self) -> float:
        children = os.times()
        return time.thread_time() + children.children_user + children.children_system

    @contextmanager
    def stopping(self, seconds: float) -> Generator[None]:
        began, armed = time.thread_time(), True

        def over() -> bool:
            return time.thread_time() - began >= seconds

        def alarm(_number: int, _frame: FrameType | None) -> None:
            # The timer counts all threads of the process, and only this one's time is limited.
            if armed and over():
                raise OverBudgetError

        if threading.current_thread() is not threading.main_thread():
            yield
            if over():
                raise OverBudgetError
            return
        before = signal.signal(signal.SIGPROF, alarm)
        # Again and again: somebody may catch the first.
        signal.setitimer(signal.ITIMER_PROF, max(seconds, _PULSE), _PULSE)
        try:
            yield
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
