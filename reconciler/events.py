"""What is told of a plan or an apply while it runs, and the receipt of what an apply did."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from threading import Lock
from typing import TypeAlias

from reconciler.core.changes import Change
from reconciler.core.desired import Revision
from reconciler.core.names import ModelRef, RepositoryId
from reconciler.core.plan import Plan, PlanOptions
from reconciler.errors import Ending, ExitCode, Problem, ending_of
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

    model: ModelRef
    status: OutcomeStatus
    made: tuple[Change, ...] = ()
    message: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What one apply did. Times are RFC 3339 in UTC. `ending` says why it ended before it was done, if it did; what is not
    in `outcomes` was not begun then.
    """

    plan: Plan
    registry: str
    started_at: str
    finished_at: str = ""
    outcomes: tuple[Outcome, ...] = ()
    interrupted: bool = False
    locked: bool = True
    workspace: str = ""
    ending: Ending | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The worst of what happened: interrupted, failed, stale, blocked, or fine."""
        statuses = {outcome.status for outcome in self.outcomes}
        if self.ending is not None:
            return self.ending.exit_code
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if statuses & {OutcomeStatus.FAILED, OutcomeStatus.SKIPPED}:
            return ExitCode.ERROR
        if OutcomeStatus.STALE in statuses:
            return ExitCode.STALE
        return ExitCode.BLOCKED if OutcomeStatus.BLOCKED in statuses else ExitCode.OK


@dataclass(frozen=True, slots=True)
class Opened:
    """Which registry is spoken to, before anything is read; `key` tells our comments about it from others of ours."""

    registry: str
    workspace: str
    key: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What was read from git, before the registry is, and the warnings about it."""

    revision: Revision
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class LockWaiting:
    holder: Holder
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    plan: Plan


@dataclass(frozen=True, slots=True)
class ModelStarted:
    model: ModelRef
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


Event: TypeAlias = Opened | Declared | LockWaiting | Planned | ModelStarted | ChangeMade | ModelFinished | Noticed
Report: TypeAlias = Callable[[Event], None]


def unheard(_event: Event) -> None:
    """A report to nobody."""


@dataclass(slots=True)
class Journal:
    """
    Hears what is told of an apply, from whichever thread, and passes it on. From that it makes the receipt of one that
    ended before it could give its own. What it is about is filled in as it comes to be known.
    """

    started_at: str
    registry: str = ""
    workspace: str = ""
    plan: Plan = field(default_factory=lambda: Plan(Revision(RepositoryId("")), PlanOptions(), (), 0))
    made: dict[ModelRef, list[Change]] = field(default_factory=dict[ModelRef, list[Change]])
    finished: dict[ModelRef, Outcome] = field(default_factory=dict[ModelRef, Outcome])
    hearing: Lock = field(default_factory=Lock)

    @property
    def begun(self) -> bool:
        """Whether any call may have been made."""
        return bool(self.made)

    def passing_on(self, report: Report) -> Report:
        """Hears each event before others do: what they make of it may end the apply."""

        def heard(event: Event) -> None:
            with self.hearing:
                self._hear(event)
            report(event)

        return heard

    def _hear(self, event: Event) -> None:
        match event:
            case Opened(registry, workspace):
                self.registry, self.workspace = registry, workspace
            case Declared(revision):
                self.plan = replace(self.plan, revision=revision)
            case Planned(plan):
                self.plan = plan
            case ModelStarted(model):
                self.made.setdefault(model, [])
            case ChangeMade(change):
                self.made.setdefault(change.model, []).append(change)
            case ModelFinished(outcome):
                self.finished[outcome.model] = outcome
            case _:
                pass

    def broken_off(self, error: BaseException, finished_at: str) -> Receipt:
        """The receipt of an apply that this ended."""
        ending = ending_of(error)
        with self.hearing:
            outcomes = {**self.finished, **{m: self._half_done(m, made) for m, made in self.made.items()}}
        return Receipt(
            plan=self.plan,
            registry=self.registry,
            workspace=self.workspace,
            started_at=self.started_at,
            finished_at=finished_at,
            outcomes=tuple(outcome for _, outcome in sorted(outcomes.items())),
            interrupted=ending.exit_code is ExitCode.INTERRUPTED,
            locked=self.begun,
            ending=ending,
        )

    def _half_done(self, model: ModelRef, made: list[Change]) -> Outcome:
        known = self.finished.get(model)
        if known is not None and len(known.made) >= len(made):
            return known
        return Outcome(model, OutcomeStatus.FAILED, tuple(made), "Stopped: it may be half done.")
