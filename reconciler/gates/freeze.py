"""When versions may be let in, by the calendar."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from reconciler.core.figures import duration
from reconciler.core.gate import NOW, Entrance, FactKey, Facts, Gate, Judgement, failed, passed, unknown
from reconciler.core.limits import WINDOW_YEARS, WINDOWS
from reconciler.core.moments import moment, to_the_minute
from reconciler.core.text import plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, GateKind, Key, Seconds, Surroundings, Words

# Clocks have been put back by more than this only where a country changed sides of the date line.
_PUT_BACK = timedelta(hours=3)
_MOST_ON_END = 400
_NEVER = datetime.max.replace(tzinfo=UTC)
_LONGEST = 3650 * 86400.0
_WEEKEND = {"start": "0 18 * * 5", "duration": "60h", "timezone": "Europe/Berlin"}


@dataclass(frozen=True, slots=True)
class Window:
    """
    A stretch of time that begins whenever a cron expression says so, by the clocks of a time zone, and lasts so many
    seconds, over a change of the clocks as well. A beginning that the clocks jump over is when they have jumped; of one
    that they show twice, the first counts.
    """

    start: Annotated[
        str,
        Key(
            "When it begins: a cron expression of minute, hour, day, month and day of the week.",
            examples=("0 18 * * 5",),
        ),
    ]
    seconds: Annotated[Seconds, Key("How long it lasts.", examples=("60h",), name="duration")]
    timezone: Annotated[str, Key("The time zone of `start`.", examples=("Europe/Berlin",))] = "UTC"

    def fault(self) -> str | None:
        """What is wrong with it, or None."""
        if not (math.isfinite(self.seconds) and 0 < self.seconds <= _LONGEST):
            return "a window must last longer than 0 seconds and at most ten years"
        try:
            _zone(self.timezone)
        except (ValueError, KeyError, OSError):
            return f"{plain(self.timezone, 60)} is not a time zone; expected UTC or a name such as Europe/Berlin"
        # croniter takes more than cron does: seconds and years, and `H` and `R`, which stand for what it draws by lot.
        if len(self.start.split()) != 5 or re.search(r"(?<![a-z])[hr](?![a-z])", self.start, re.IGNORECASE):
            return f"{plain(self.start, 60)} is not a cron expression with five fields"
        try:
            next(_walls(self.start, datetime(2026, 1, 1), back=False))  # noqa: DTZ001  # what clocks show, anywhere
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            return f"the cron expression {plain(self.start, 60)} cannot be read: {plain(str(error), 120)}"
        return None

    def around(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """When the one that is open now ends, those that follow without a break with it, or when the next one opens."""
        zone, lasts = _zone(self.timezone), timedelta(seconds=self.seconds)
        wall = now.astimezone(zone).replace(tzinfo=None)
        latest = next((b for b in self._starts(zone, wall + _PUT_BACK, back=True) if b <= now), None)
        later = (b for b in self._starts(zone, wall - _PUT_BACK, back=False) if b > now)
        if latest is None or latest + lasts <= now:
            return None, next(later, None)
        end = latest + lasts
        for begins in islice(later, _MOST_ON_END):
            if begins > end:
                return end, None
            end = begins + lasts
        return _NEVER, None

    def _starts(self, zone: tzinfo, wall: datetime, *, back: bool) -> Iterator[datetime]:
        return (_instant(begins, zone) for begins in _walls(self.start, wall, back=back))

    def __str__(self) -> str:
        return f"{plain(self.start, 60)} ({plain(self.timezone, 60)}), which lasts {duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing is let in inside any of the windows or, if `allow`, outside of all."""

    windows: Annotated[tuple[Window, ...], Key("The windows.", examples=([_WEEKEND],))]
    allow: Annotated[
        bool,
        Words((("deny", False), ("allow", True))),
        Key(
            "`deny`: nothing may enter inside a window; `allow`: nothing may enter outside.",
            examples=("allow",),
            name="mode",
        ),
    ] = False

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if len(self.windows) > WINDOWS:
            message = f" are {len(self.windows)}; at most {WINDOWS} are allowed."
            fix = "Combine windows that repeat."
            yield Fault(GateCode.TOO_MANY_WINDOWS, message, fix, ("windows", WINDOWS))
            return
        fix = "Write a cron expression such as `0 18 * * 5`, and a zone such as `Europe/Berlin`."
        for i, window in enumerate(self.windows):
            if why := window.fault():
                yield Fault(GateCode.INVALID_WINDOW, f": {why}.", fix, ("windows", i))

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (NOW,)

    def on_rollback(self) -> Gate | None:
        return None

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        now = moment(facts[NOW])
        if now is None:
            return unknown(f"the time is not known: {plain(facts[NOW], 40)} is not a time")
        for window in self.windows:
            if fault := _fault(window):
                return unknown(f"a window cannot be read: {fault}")
        try:
            around = [(window, *window.around(now)) for window in self.windows]
        except (ValueError, OverflowError):
            return unknown(f"no calendar goes as far as {plain(facts[NOW], 40)}")
        inside = [(end, window) for window, end, _ in around if end is not None]
        ahead = [(begins, window) for window, _, begins in around if begins is not None]
        if inside:
            end, window = max(inside, key=lambda pair: pair[0])
            until = f"{'with no end' if end == _NEVER else f'until {to_the_minute(end)}'}, by the window {window}"
            return passed(f"open {until}") if self.allow else failed(f"frozen {until}")
        begins, window = min(ahead, key=lambda pair: pair[0], default=(None, None))
        following = f"the next begins {to_the_minute(begins)}: {window}" if begins else "no further window"
        if self.allow:
            return failed(f"outside the open windows; {following}")
        return passed(f"no freeze now; {following}")


@lru_cache(maxsize=1024)
def _fault(window: Window) -> str | None:
    """The same of every entrance, and asked for each."""
    return window.fault()


def _zone(name: str) -> tzinfo:
    """Raises ValueError, KeyError or OSError where there is no such time zone."""
    if name == "UTC":
        return UTC
    if name in {"localtime", "posixrules", "Factory"} or name.startswith(("posix/", "right/")):
        raise ValueError(name)
    return ZoneInfo(name)


def _walls(start: str, wall: datetime, *, back: bool) -> Iterator[datetime]:
    """What clocks show whenever a window begins: from the first after that time on, or from the last before it back."""
    # Not above: it takes longer to import than most policies to read.
    from croniter import croniter

    # By the clocks alone: over their changes, croniter (7.0) goes from one to the next in ways of its own.
    cron: Any = croniter(start, wall, max_years_between_matches=WINDOW_YEARS)
    step: Any = cron.get_prev if back else cron.get_next
    while True:
        yield step(datetime)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """When clocks first show that time, or have jumped over it."""
    while True:
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return instant
        wall += timedelta(minutes=1)


FREEZE = GateKind(
    "freeze",
    Freeze,
    asks="enter outside all windows; with `mode: allow`, inside one",
    example={"windows": [_WEEKEND]},
)
