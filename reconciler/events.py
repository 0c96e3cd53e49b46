"""What is told of a plan or an apply while it runs, and the receipt of what an apply did."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from threading import Lock
from typing import TypeAlias

from reconciler.core.changes import Change, Claim, simulate_all
from reconciler.core.desired import Revision
from reconciler.core.entrances import occupants
from reconciler.core.names import ModelRef, RepositoryId, Slot, Version, alias_slot
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.snapshot import Identity, ModelSnapshot, Ownership
from reconciler.errors import Ending, ExitCode, Failure, Problem, contained, ending_of
from reconciler.ports import Actor, Holder


class OutcomeStatus(StrEnum):
    """How one model fared in an apply."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    BLOCKED = "blocked"
    STALE = "stale"
    FAILED = "failed"
    SKIPPED = "skipped"


Held: TypeAlias = Mapping[Slot, tuple[Version, ...]]
"""What governed slots hold, lowest version first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one model fared: the calls that were made, in order, and why it is not as declared, if it is not. `left` is what
    the slots held of one that was left as it was because it is blocked: those that are governed, and those declared.
    """

    model: ModelRef
    status: OutcomeStatus
    made: tuple[Change, ...] = ()
    message: str = ""
    repaired: bool = False
    left: Held = field(default_factory=dict[Slot, tuple[Version, ...]])


@dataclass(frozen=True, slots=True)
class Witness:
    """
    What an apply saw of one model: its governed slots before its first call and after its last one. `read_back` is
    False where it was not read again, and `after` is what the calls that were made come to. `times` are those of the
    calls in `Outcome.made`, RFC 3339 in UTC; `identities` say which versions the numbers in the slots stand for.
    """

    before: Held = field(default_factory=dict[Slot, tuple[Version, ...]])
    after: Held = field(default_factory=dict[Slot, tuple[Version, ...]])
    read_back: bool = True
    times: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What one apply did. Times are RFC 3339 in UTC. `ending` says why it ended before it was done, if it did; what is not
    in `outcomes` was not begun then. `id` is the name by which records in the registry call it, `witnessed` what was
    seen of the models that were written to, and `unkept` why it could not be kept where receipts stay, if it could not.
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
    id: str = ""
    actor: Actor | None = None
    witnessed: Mapping[ModelRef, Witness] = field(default_factory=dict[ModelRef, Witness])
    unkept: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The worst of what happened: interrupted, failed, stale, blocked, or fine."""
        statuses = {outcome.status for outcome in self.outcomes}
        if self.ending is not None:
            return self.ending.exit_code
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.unkept or statuses & {OutcomeStatus.FAILED, OutcomeStatus.SKIPPED}:
            return ExitCode.ERROR
        if OutcomeStatus.STALE in statuses:
            return ExitCode.STALE
        return ExitCode.BLOCKED if OutcomeStatus.BLOCKED in statuses else ExitCode.OK

    @property
    def refused(self) -> bool:
        """Whether a model was left as it was because it is blocked."""
        return any(outcome.status is OutcomeStatus.BLOCKED for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Opened:
    """
    Which registry is spoken to, before anything is read; `key` tells our comments about it from others of ours. An
    apply says what its receipt is called, and who runs it.
    """

    registry: str
    workspace: str
    key: str
    receipt: str = ""
    actor: Actor | None = None


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
class ModelsRead:
    """What an apply read of some models: before it writes to them, and again after that. Others are not there."""

    asked: tuple[ModelRef, ...]
    models: Mapping[ModelRef, ModelSnapshot]


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


Event: TypeAlias = (
    Opened | Declared | LockWaiting | Planned | ModelsRead | ModelStarted | ChangeMade | ModelFinished | Noticed
)
Report: TypeAlias = Callable[[Event], None]


def unheard(_event: Event) -> None:
    """A report to nobody."""


@dataclass(slots=True)
class _Seen:
    """
    One model as it was read before its first call and last, how many calls had been made by then, and when each was.
    """

    first: ModelSnapshot | None = None
    last: ModelSnapshot | None = None
    calls_by_last: int = 0
    times: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Journal:
    """
    Hears what is told of an apply, from whichever thread, and passes it on. From that it makes the receipt of one that
    ended before it could give its own, and completes the other. What it is about is filled in as it comes to be known;
    `now` is asked for the times of calls.
    """

    started_at: str
    registry: str = ""
    workspace: str = ""
    plan: Plan = field(default_factory=lambda: Plan(Revision(RepositoryId("")), PlanOptions(), (), 0))
    made: dict[ModelRef, list[Change]] = field(default_factory=dict[ModelRef, list[Change]])
    finished: dict[ModelRef, Outcome] = field(default_factory=dict[ModelRef, Outcome])
    hearing: Lock = field(default_factory=Lock)
    now: Callable[[], str] = lambda: ""
    receipt: str = ""
    actor: Actor | None = None
    seen: dict[ModelRef, _Seen] = field(default_factory=dict[ModelRef, _Seen])

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
                self.receipt, self.actor = event.receipt, event.actor
            case Declared(revision):
                self.plan = replace(self.plan, revision=revision)
            case Planned(plan):
                self.plan = plan
            case ModelsRead(asked, models):
                for name in asked:
                    self._read(name, models.get(name))
            case ModelStarted(model):
                self.made.setdefault(model, [])
            case ChangeMade(change):
                self.made.setdefault(change.model, []).append(change)
                self.seen.setdefault(change.model, _Seen()).times.append(self.now())
            case ModelFinished(outcome):
                self.finished[outcome.model] = outcome
            case _:
                pass

    def _read(self, name: ModelRef, live: ModelSnapshot | None) -> None:
        calls = len(self.made.get(name, ()))
        seen = self.seen.setdefault(name, _Seen(live))
        if not calls:
            seen.first = live
        seen.last, seen.calls_by_last = live, calls

    def broken_off(self, error: BaseException, finished_at: str) -> Receipt:
        """The receipt of an apply that this ended."""
        ending = ending_of(error)
        with self.hearing:
            outcomes = {**self.finished, **{m: self._half_done(m, made) for m, made in self.made.items()}}
        return self.completed(
            Receipt(
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
        )

    def completed(self, receipt: Receipt) -> Receipt:
        """A receipt with its id, who ran the apply, and what was seen of the models that were written to."""
        with self.hearing:
            witnessed = {model: self._witness(model, made) for model, made in sorted(self.made.items())}
        return replace(receipt, id=self.receipt, actor=self.actor, witnessed=witnessed)

    def _witness(self, model: ModelRef, made: list[Change]) -> Witness:
        seen = self.seen.get(model, _Seen())
        since = made[seen.calls_by_last :]
        after = contained(lambda: simulate_all(seen.last, since)) if since else seen.last
        last = seen.last if isinstance(after, Failure) else after
        owners = [live.owner for live in (seen.first, last) if live] + [c.after for c in made if isinstance(c, Claim)]
        slots = _governed(owner for owner in owners if isinstance(owner, Ownership))
        before, held = held_in(seen.first, slots), held_in(last, slots)
        numbers = {number for there in (before, held) for versions in there.values() for number in versions}
        known = {v: one for live in (seen.first, last) if live for v, one in live.versions.items()}
        identities = tuple(known[number].identity for number in sorted(numbers & known.keys()))
        return Witness(before, held, not since, tuple(seen.times), identities)

    def _half_done(self, model: ModelRef, made: list[Change]) -> Outcome:
        known = self.finished.get(model)
        if known is not None and len(known.made) >= len(made):
            return known
        return Outcome(model, OutcomeStatus.FAILED, tuple(made), "Stopped: it may be half done.")


def _governed(owners: Iterable[Ownership]) -> tuple[Slot, ...]:
    found = [(*(stage.slot for stage in owner.stages), *map(alias_slot, owner.aliases)) for owner in owners]
    return tuple(sorted({slot for slots in found for slot in slots}))


def left_as_it_was(live: ModelSnapshot | None, owner: Ownership | None, declared: Iterable[Slot]) -> Held:
    """What the slots of a model hold that are governed, by our record on it, or declared."""
    return held_in(live, sorted({*_governed([owner] if owner else []), *declared}))


def held_in(live: ModelSnapshot | None, slots: Iterable[Slot]) -> Held:
    """What some slots of a model hold."""
    return {slot: tuple(sorted(occupants(live, slot))) if live else () for slot in slots}
