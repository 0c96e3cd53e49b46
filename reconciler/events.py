"""What is told of an apply while it runs, and the receipt of what it did."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from reconciler.core.changes import Change
from reconciler.core.names import ModelName
from reconciler.core.plan import Plan
from reconciler.errors import ExitCode
from reconciler.ports import Holder


class OutcomeStatus(StrEnum):
    """How one model fared in an apply."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    BLOCKED = "blocked"
    STALE = "stale"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one model fared: the calls that were made, in order, and why it is not as declared, if it is not."""

    model: ModelName
    status: OutcomeStatus
    made: tuple[Change, ...] = ()
    message: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one apply did. Times are RFC 3339 in UTC."""

    plan: Plan
    registry: str
    started_at: str
    finished_at: str = ""
    outcomes: tuple[Outcome, ...] = ()
    interrupted: bool = False
    locked: bool = True
    workspace: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The worst of what happened: interrupted, failed, stale, blocked, or fine."""
        statuses = {outcome.status for outcome in self.outcomes}
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if statuses & {OutcomeStatus.FAILED, OutcomeStatus.SKIPPED}:
            return ExitCode.ERROR
        if OutcomeStatus.STALE in statuses:
            return ExitCode.STALE
        return ExitCode.BLOCKED if OutcomeStatus.BLOCKED in statuses else ExitCode.OK


@dataclass(frozen=True, slots=True)
class LockWaiting:
    holder: Holder
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    plan: Plan


@dataclass(frozen=True, slots=True)
class ModelStarted:
    model: ModelName
    calls: int


@dataclass(frozen=True, slots=True)
class ChangeMade:
    change: Change


@dataclass(frozen=True, slots=True)
class ModelFinished:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that a person should know, and that stops nothing."""

    message: str


Event: TypeAlias = LockWaiting | Planned | ModelStarted | ChangeMade | ModelFinished | Noticed
Report: TypeAlias = Callable[[Event], None]
