"""Gates: who may enter a slot. A gate is told the facts it asks for, and answers with one plain sentence."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from hashlib import sha256
from inspect import isroutine
from typing import Any, Generic, Protocol, TypeVar, cast

from reconciler.core.evidence import VersionFacts
from reconciler.core.names import Commit, ModelRef, Original, Slot, Version
from reconciler.core.text import amount, plain
from reconciler.errors import Location

T = TypeVar("T")


class Kind(StrEnum):
    """
    How a version comes into a slot; `core/entrances.py` says which it is. RESUMED: an apply that broke off had let it
    in.
    """

    NEW = "new"
    ROLLBACK = "rollback"
    RESTORATION = "restoration"
    RESUMED = "resumed"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    A version about to become visible in a slot: what gates judge. `incumbent` is the one that consumers find there now,
    or None. `moves` is False where it is there already and only now declared. `unproven` says which unsigned evidence
    a rollback, a restoration or a find rests on, or nothing. `passed_before` has the keys of the
    gates that the version passed when it entered, or was let in, by the record of it. `may_have_left` says that a
    record has the version there already, and that it may have been moved out by hand since.
    """

    model: ModelRef
    candidate: Version
    slot: Slot
    incumbent: Version | None = None
    kind: Kind = Kind.NEW
    moves: bool = True
    unproven: str = ""
    passed_before: frozenset[str] = frozenset()
    may_have_left: bool = False

    @property
    def rollback(self) -> bool:
        return self.kind is Kind.ROLLBACK

    @property
    def puts_back(self) -> bool:
        """Whether it undoes what somebody did by hand, or may do so."""
        return self.kind is Kind.RESTORATION or self.may_have_left

    def __str__(self) -> str:
        return f"{self.model} v{self.candidate} into {self.slot}"


@dataclass(frozen=True, slots=True)
class FactKey(Generic[T]):
    """
    The name of something that may be known of an entrance; `argument` tells facts of one kind apart. With a `model`,
    what is asked about is the version of that model which the candidate was copied from.
    """

    name: str
    argument: str = ""
    model: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".rstrip() + (f" in {self.model}" if self.model else "")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The registered model. `owners` are those that the trusted side declares, not the change under review."""

    name: ModelRef
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """
    The change under review. `authors` had a hand in it, as `Name <email>` and as the forge's logins where known;
    `people` has, in one text each, the names that are known to be one person's. `by_bots`: nobody but bots is known to
    have made it. `early` approved before the candidate was registered, which counts for nothing; where it is declared
    as a copy, before the `original` was, or, if that one is `renamable`, before it was last moved, edited or renamed.
    `traded` is the model whose name another one may have had when they approved.
    """

    commit: Commit | None
    authors: tuple[str, ...] = ()
    subject: str = ""
    base: Commit | None = None
    people: tuple[str, ...] = ()
    by_bots: bool = False
    early: tuple[str, ...] = ()
    original: Original | None = None
    renamable: bool = False
    traded: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """
    Somebody's yes to exactly what is to be applied. `who` is an email address or a forge's `@login`; `how` says what
    proves it: `signed commit 1a2b3c4d`, `review on GitHub`; `at` is when it was given (RFC 3339), and `commit` what to.
    """

    who: str
    how: str
    at: str
    commit: Commit | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a version has been in a slot without a break: since when (RFC 3339 in UTC). None: it is not there."""

    since: str | None


@dataclass(frozen=True, slots=True)
class Placed:
    """
    The version of another model that the candidate was copied from, None where it is no copy from there, and where that
    version is now: its stage, and all its slots.
    """

    version: Version | None = None
    stage: str = ""
    slots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether the model's files are there; `why` says what is missing."""

    present: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The digest of the candidate's files now, and the one recorded when it first entered the slot, if any."""

    now: str
    recorded: str = ""


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """
    What a named check found on one version: the digest of the model's files that it ran on, when it ended (RFC 3339 in
    UTC), and whether a signature that we trust is on it. `original` is where the candidate's original was checked.
    """

    check: str
    passed: bool
    digest: str
    ended_at: str
    signed: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    log: str = ""
    ran: str = ""
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """
    The digest of the candidate's files now, and the records of checks on it. `original` is what can be checked in its
    place as long as it is a copy that is still to be made; `lost` is one that is not there anymore, with its records.
    """

    digest: str
    records: tuple[CheckRecord, ...] = ()
    original: Original | None = None
    lost: Original | None = None


@dataclass(frozen=True, slots=True)
class Nobody:
    """There is no incumbent: known, and not a missing fact."""


NOBODY = Nobody()

CANDIDATE: FactKey[VersionFacts] = FactKey("candidate")
INCUMBENT: FactKey[VersionFacts | Nobody] = FactKey("incumbent")
MODEL: FactKey[ModelFacts] = FactKey("model")
STAGE: FactKey[str] = FactKey("stage")
"""The stage that the candidate is in now."""
SLOTS: FactKey[tuple[str, ...]] = FactKey("slots")
"""
The slots that the candidate is in now, by all names that a policy may call them: `Staging`, `@challenger`, and `Canary`
where an alias stands for it.
"""
NOW: FactKey[str] = FactKey("now")
CHANGE: FactKey[ChangeFacts] = FactKey("change")
APPROVALS: FactKey[tuple[Approval, ...]] = FactKey("approvals")
CHECKS: FactKey[CheckFacts] = FactKey("checks")
PRESENT: FactKey[Presence] = FactKey("artifact")
PINNED: FactKey[Pinned] = FactKey("artifact", "pinned")


def stay(stage: str, model: str = "") -> FactKey[Stay]:
    """How long the candidate has been in that slot; or how long its original has, in that slot of another model."""
    return FactKey("stay", stage, model)


def placed(model: str) -> FactKey[Placed]:
    """Where the version of another model is that the candidate was copied from."""
    return FactKey("original", model=model)


def contained(branch: str) -> FactKey[bool]:
    """Whether the commit that the candidate was trained from is in that branch."""
    return FactKey("contained", branch)


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What is known of one entrance. What was asked for and is not known is in `unknown`, with the reason; those of them
    that nobody can look up anymore, as their run was deleted, are in `gone` too.
    """

    known: Mapping[FactKey[Any], object] = field(default_factory=dict[FactKey[Any], object])
    unknown: Mapping[FactKey[Any], str] = field(default_factory=dict[FactKey[Any], str])
    gone: frozenset[FactKey[Any]] = frozenset()

    def __getitem__(self, key: FactKey[T]) -> T:
        return cast(T, self.known[key])

    def why_unknown(self, key: FactKey[Any]) -> str | None:
        """Why a fact is not known, or None if it is."""
        return None if key in self.known else self.unknown.get(key) or "it was not looked up"


class Ruling(StrEnum):
    """PASS and the two that were let through lead in; FAIL and UNKNOWN do not."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"
    OVERRIDDEN = "overridden"

    @property
    def blocks(self) -> bool:
        return self in {Ruling.FAIL, Ruling.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What one gate says: PASS, FAIL or UNKNOWN, and why in one sentence. `gone` where the only reason that it is no pass
    is that what it asks about was deleted.
    """

    ruling: Ruling
    sentence: str
    gone: bool = False


def passed(sentence: str) -> Judgement:
    return Judgement(Ruling.PASS, sentence)


def failed(sentence: str, *, gone: bool = False) -> Judgement:
    return Judgement(Ruling.FAIL, sentence, gone)


def unknown(sentence: str, *, gone: bool = False) -> Judgement:
    return Judgement(Ruling.UNKNOWN, sentence, gone)


class Gate(Protocol):
    """
    A judge. Pure: it takes no clock and asks nobody. Gates of other packages come by the entry point group
    `reconciler.gates`. One that speaks of the way in or of the moment has a method `on_rollback` too, which gives what
    remains of it in a rollback, or None; one without it is about the version itself, and remains as it is.
    """

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        """What it must be told. Where one of these is not known, it is not asked, and the answer is UNKNOWN."""
        ...

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement: ...


def on_rollback(gate: Gate) -> Gate | None:
    """What remains of a gate in a rollback, where the policy does not say otherwise; None where it is waived."""
    remains = getattr(gate, "on_rollback", None)
    return cast("Gate | None", remains()) if callable(remains) else gate


@dataclass(frozen=True, slots=True)
class Quorum:
    """
    So many distinct approvers out of a group of the policy, or `owners`, those of the model. The authors of the change
    never count.
    """

    count: int
    group: str = "owners"

    def required(self, *, by_bots: bool) -> int:
        """How many; one more where only bots made the change, as whoever started them may be one of the approvers."""
        return max(1, self.count) + by_bots


@dataclass(frozen=True, slots=True)
class Guard:
    """
    A gate as a policy places it. `name` is what reports and overrides call it. `waive_on_rollback` is None where the
    gate itself says what remains of it in a rollback; True waives it whole, False waives nothing. `override` says whose
    approval lets a version in against its no; without it nobody's does. `key` is kept by whoever puts another gate
    around this one; `kind` is what the policy calls any gate like it.
    """

    name: str
    gate: Gate
    at: Location
    waive_on_rollback: bool | None = None
    override: Quorum | None = None
    key: str = field(default="", compare=False)
    kind: str = field(default="", compare=False)

    def keyed(self) -> "Guard":
        """The same, with the key: the name, and a digest of what is asked, so that a tighter gate is another one."""
        digest = sha256(repr(_plainly(self.gate)).encode()).hexdigest()
        return self if self.key else replace(self, key=f"{self.name} {digest[:8]}")


def _plainly(value: object) -> object:
    """A value without where it was written, and in one order."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = [(part.name, _plainly(getattr(value, part.name))) for part in fields(value) if part.compare]
        return None if isinstance(value, Location) else [type(value).__qualname__, parts]
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return sorted(((repr(_plainly(key)), _plainly(one)) for key, one in items), key=repr)
    if isinstance(value, Set):
        return sorted(repr(_plainly(one)) for one in cast("Set[object]", value))
    if isinstance(value, tuple | list):
        return [_plainly(one) for one in cast("Iterable[object]", value)]
    # What a function does is the release's, not the policy's.
    return value.__name__ if isroutine(value) else value


@dataclass(frozen=True, slots=True)
class Override:
    """A manifest's request to let a version in against one gate's no, until a date (RFC 3339), with the reason."""

    gate: str
    reason: str
    until: str
    at: Location
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What was decided at one gate. `sentence` is the gate's own; `note` says why it was let through all the same, and on
    whose word, or why a request to do so was refused. `key` tells the gate from another one of that name.
    """

    entrance: Entrance
    gate: str
    ruling: Ruling
    sentence: str
    at: Location
    note: str = ""
    key: str = field(default="", compare=False)

    @property
    def blocks(self) -> bool:
        return self.ruling.blocks


def judge_guard(
    guard: Guard,
    entrance: Entrance,
    facts: Facts,
    override: Override | None = None,
    approvers: Iterable[str] | None = None,
) -> Verdict:
    """
    One gate's verdict on one entrance. A fact that is missing never passes. Then, and only against a no: a rollback
    waives what speaks of the way in or of the moment, unless the policy says otherwise, and what is gone if this very
    gate was passed before; where an apply that broke off had let the version in, so much is waived of the gates that it
    passed then; and an override counts if the policy allows one, it has not expired, and its quorum is reached;
    `approvers` are those whose word counts for it, None where that is not known.
    """
    guard = guard.keyed()
    judgement = _judgement(guard.gate, entrance, facts)
    verdict = _verdict(guard, entrance, judgement)
    if verdict.blocks and entrance.rollback:
        verdict = _rolled_back(verdict, guard, judgement, facts)
    elif verdict.blocks and entrance.kind is Kind.RESUMED and guard.key in entrance.passed_before:
        verdict = _rolled_back(verdict, replace(guard, waive_on_rollback=None), judgement, facts)
    if not verdict.blocks or override is None:
        return verdict
    return _overridden(verdict, guard, override, facts, approvers)


def _judgement(gate: Gate, entrance: Entrance, facts: Facts) -> Judgement:
    gaps = [(key, why) for key in gate.needs(entrance) if (why := facts.why_unknown(key)) is not None]
    if not gaps:
        return gate.judge(entrance, facts)
    told = "; ".join(f"{key} ({plain(why)})" for key, why in sorted(gaps, key=str))
    return unknown(f"not known: {told}", gone=all(key in facts.gone for key, _ in gaps))


def _verdict(guard: Guard, entrance: Entrance, judgement: Judgement) -> Verdict:
    return Verdict(entrance, guard.name, judgement.ruling, judgement.sentence, guard.at, key=guard.key)


def _rolled_back(verdict: Verdict, guard: Guard, judgement: Judgement, facts: Facts) -> Verdict:
    """The verdict on a rollback that the whole gate said no to."""
    if guard.waive_on_rollback is False:
        return verdict
    entrance = verdict.entrance
    resumed = entrance.kind is Kind.RESUMED
    before = f"v{entrance.candidate} has been in {entrance.slot} before"
    if resumed:
        before = f"an interrupted apply had let v{entrance.candidate} into {entrance.slot}"
    if guard.waive_on_rollback:
        return _let_in(verdict, Ruling.WAIVED, f"{before}, and the policy waives this gate for a rollback")
    remaining = on_rollback(guard.gate)
    if remaining is None:
        waived = "it passed this gate then" if resumed else "a rollback waives this gate"
        return _let_in(verdict, Ruling.WAIVED, f"{before}, and {waived}")
    if remaining != guard.gate:
        judgement = _judgement(remaining, entrance, facts)
        if not judgement.ruling.blocks:
            rest = "it passed the rest of this gate then" if resumed else "a rollback waives the rest of this gate"
            note = f"{before}, and {rest}: {judgement.sentence}"
            return _let_in(verdict, Ruling.WAIVED, note)
        verdict = _verdict(guard, entrance, judgement)
    if judgement.gone and guard.key in entrance.passed_before:
        note = f"{before} and passed this gate then; the data that it needs has been deleted since"
        return _let_in(verdict, Ruling.WAIVED, note)
    return verdict


def _overridden(
    verdict: Verdict, guard: Guard, override: Override, facts: Facts, approvers: Iterable[str] | None
) -> Verdict:
    def refused(why: str) -> Verdict:
        return replace(verdict, note=f"override refused: {why}")

    if guard.override is None:
        return refused("the policy lets nobody override this gate")
    if facts.why_unknown(NOW) is not None or override.until <= facts[NOW]:
        return refused(f"it expired on {override.until}")
    if approvers is None:
        return refused("it is not known who approved it")
    distinct = sorted(set(approvers))
    required = guard.override.required(by_bots=facts.why_unknown(CHANGE) is None and facts[CHANGE].by_bots)
    if len(distinct) < required:
        found = f"only {', '.join(distinct)}" if distinct else "nobody"
        return refused(f"it needs {amount(required, 'approval')} from {guard.override.group}, but {found} approved")
    note = f"overridden until {override.until} by {', '.join(distinct)} ({override.at}): {override.reason}"
    return _let_in(verdict, Ruling.OVERRIDDEN, note)


def _let_in(verdict: Verdict, ruling: Ruling, note: str) -> Verdict:
    return replace(verdict, ruling=ruling, note=note)
