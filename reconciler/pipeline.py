"""From a plan to a receipt: the only way to write to a registry."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, takewhile, zip_longest
from threading import Event as Flag
from threading import Lock
from typing import TypeAlias

from reconciler.core.changes import (
    Change,
    Claim,
    CreateModel,
    RecordProvenance,
    RecordTags,
    RegisterVersion,
    Release,
    RenameModel,
    copies_in,
    simulate,
)
from reconciler.core.desired import DesiredState, Source
from reconciler.core.diff import Blocker, Grounds, ModelPlan, Proposal, Reason, Why, diff
from reconciler.core.gate import Entrance, Kind, Ruling, Verdict
from reconciler.core.heads import Head
from reconciler.core.heads import signed_bytes as head_bytes
from reconciler.core.names import Commit, ModelRef, Ours, Slot, Version
from reconciler.core.past import Past
from reconciler.core.plan import (
    MODEL_DIGEST,
    Plan,
    PlanOptions,
    StalePlanError,
    UnsoundPlanError,
    digest_of,
    effects_of,
    prove,
)
from reconciler.core.policy import RECORDS
from reconciler.core.records import Seal
from reconciler.core.snapshot import (
    READY,
    ModelSnapshot,
    Ownership,
    Placement,
    RegistrySnapshot,
    signed_bytes,
)
from reconciler.errors import (
    BlockedError,
    Failure,
    LockError,
    ReconcilerError,
    RegistryError,
    StaleError,
    contained,
)
from reconciler.events import (
    ChangeMade,
    LockWaiting,
    ModelFinished,
    ModelsRead,
    ModelStarted,
    Noticed,
    Outcome,
    OutcomeStatus,
    Planned,
    Receipt,
    Report,
    left_as_it_was,
)
from reconciler.judging import judge
from reconciler.originals import copy_fault
from reconciler.planning import (
    Declaration,
    applied_before,
    declare,
    make_plan,
    plan_and_snapshot,
    read_again,
    rewind_fault,
    rewinds,
    short,
    with_names,
    with_past,
    with_sources,
)
from reconciler.ports import UNREACHABLE, Holder, Lease, Relation, Wanted, World
from reconciler.rules import NO_RULES, Rules, is_guarded

Sign: TypeAlias = Callable[[bytes], Seal]

# Characters of a tag that may tell of overrides: PostgreSQL's tags have 5,000, and there may be several slots.
MOST_OVERRIDE = 600

# How often what the read-back finds is mended before we say that somebody else keeps undoing it.
REPAIRS = 3


class _Refusal(str):
    """Why a copy that was made does not enter a slot: nothing went wrong, and gates refuse it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reviewed:
    """
    What was reviewed: the digest of a plan, those of its models one by one where they are known, and, for a saved plan,
    the commit it was made from. Digests alone stand for the same changes from whatever commit, as a merge makes another
    commit out of what was reviewed.
    """

    digest: str
    commit: Commit | None = None
    any_commit: bool = False
    models: frozenset[str] = frozenset()

    def covers(self, plan: Plan) -> bool:
        """
        Whether all that the plan would do was reviewed. What was reviewed and is done already, by an apply that ended
        half-way, say, is no reason to refuse the rest.
        """
        return plan.digest == self.digest or plan.model_digests <= self.models


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """
    What to apply and how. Without a `ref` it is HEAD, and refused while manifests in the work tree differ from it.
    `confirm` is asked with the plan before anything is locked or written; what it agreed to is
    then what is applied, or nothing. `look_up` finds what was reviewed for a commit, if anything was: then nothing is
    applied that was not. `rules` are judged anew, by what is known now. `restore` names the models that are put back
    where somebody moved them by hand, whether or not a review showed it. `rewind_to` is the one commit that may be
    applied although it does not contain the one applied last. `sign` signs our records; `receipt` is what they call
    the receipt of this apply. `stop` is set to finish the models in hand and skip the rest.
    """

    ref: str | None = None
    options: PlanOptions = PlanOptions()
    reviewed: Reviewed | None = None
    confirm: Callable[[Plan], bool] | None = None
    look_up: Callable[[Commit], Reviewed | None] | None = None
    rules: Rules = NO_RULES
    restore: frozenset[str] = frozenset()
    rewind_to: Commit | None = None
    sign: Sign | None = None
    receipt: str = ""
    parallelism: int = 8
    lock_timeout: float = 60.0
    stop: Flag = field(default_factory=Flag)

    @property
    def asks_for_review(self) -> bool:
        """Whether somebody agreed to the plan, and to nothing else."""
        return self.reviewed is not None or self.confirm is not None or self.look_up is not None


def apply(world: World, request: ApplyRequest, report: Report) -> Receipt:
    """
    Make the registry match a commit. Raises before the first write what refuses the whole: ManifestError,
    BlockedError, StaleError, LockError. What goes wrong with one model later is in the receipt.
    """
    started_at = world.clock.now()
    declaration = declare(world, request.ref or "HEAD")
    rules, desired = with_names(request.rules, declaration.desired)
    request = replace(request, rules=rules)
    commit = _committed(declaration, request)
    for warning in declaration.warnings:
        report(Noticed(str(warning)))
    reviewed = request.reviewed
    if reviewed is not None and not reviewed.any_commit and reviewed.commit != commit:
        raise StaleError(
            f"The plan was made from commit {short(reviewed.commit)}, and this is {short(commit)}.",
            f"After a merge, pass `--expect-digest {reviewed.digest} --yes` instead of the file: it applies the "
            "same changes from any commit. Or plan again from this one, or pass --ref to apply that one.",
        )

    _refuse_unknown_key(world, request, started_at)
    shown = False
    if request.confirm is not None and reviewed is None:
        plan = make_plan(world, desired, request.options, request.rules)
        report(Planned(plan))
        shown = True
        _refuse_unsafe(plan)
        if plan.changes and not request.confirm(plan):
            raise ReconcilerError("Nothing was applied.")
        reviewed = Reviewed(plan.digest, commit)

    with _locked(world, request, report) as lease:
        _refuse_rewind(world, commit, None if lease is None else lease.applied, request)
        plan, snapshot = plan_and_snapshot(world, desired, request.options, request.rules)
        if not shown:
            report(Planned(plan))
        if reviewed is not None and not reviewed.covers(plan):
            raise StalePlanError(plan)
        unreviewed = plan.model_digests if not request.asks_for_review else frozenset[str]()
        if request.look_up is not None:
            unreviewed = _unreviewed(world, request.look_up, plan, commit, request)
        plan = _without_unseen(plan, unreviewed, request, world.named)
        if request.sign is None and _must_sign(request.rules):
            report(Noticed(_UNSIGNED))
            plan = _without_unsigned_again(_without_new(plan))
        _refuse_unsafe(plan)
        _refuse_all_rewound(world, commit, plan, request)
        if lease is not None:
            lease.mark(commit, _new_heads(world, commit, request))
        with ExitStack() as leases:
            run = _Run(world, request, report, lease, desired, plan, commit, leases, snapshot.models)
            outcomes = tuple(run.outcomes())
            if lease is not None and lease.note:
                outcomes = run.look_again(outcomes)
    return Receipt(
        plan=plan,
        registry=world.registry.uri,
        workspace=world.registry.workspace,
        started_at=started_at,
        finished_at=world.clock.now(),
        outcomes=outcomes,
        interrupted=request.stop.is_set(),
        locked=lease is not None,
    )


def _new_heads(world: World, commit: Commit, request: ApplyRequest) -> tuple[Head, ...]:
    """What is to be remembered of the branch beside the lock: where it is, and where it was before, if we know."""
    trunk, now = request.rules.trunk, world.clock.now()
    heads = [Head(commit, now)]
    if trunk is not None and trunk.named is not None and trunk.named in trunk.places and trunk.named != commit:
        heads.insert(0, Head(trunk.named, now, began=False))
    if trunk is not None:
        heads = [head for head in heads if not trunk.remembers(head, signed=request.sign is not None)]
    kept = () if trunk is None else trunk.not_to_forget(len(heads))
    if request.sign is None:
        return (*kept, *heads)
    sign, owner = request.sign, world.source.identity
    return (*kept, *(replace(head, seal=sign(head_bytes(owner, head))) for head in heads))


def _committed(declaration: Declaration, request: ApplyRequest) -> Commit:
    if declaration.dirty and request.ref is None:
        raise ReconcilerError(
            "These manifests differ from the commit: " + ", ".join(declaration.dirty) + ".",
            "Commit or stash them: only committed manifests are applied. (`--ref HEAD` applies the commit as it is.)",
        )
    commit = declaration.desired.revision.commit
    if commit is None:
        raise ReconcilerError("No commit to apply.", "Commit the manifests first.")
    return commit


def _refuse_unsafe(plan: Plan) -> None:
    if plan.safeties:
        raise BlockedError(
            " ".join(safety.message for safety in plan.safeties), " ".join(safety.fix for safety in plan.safeties)
        )


def _refuse_rewind(world: World, commit: Commit, applied: Commit | None, request: ApplyRequest) -> None:
    fault = rewind_fault(world, commit, {applied: "the registry, as the lock has it"})
    if request.rewind_to != commit and fault:
        raise StaleError(
            fault,
            f"Pass --allow-rewind {commit[:12]} to apply it anyway. If nobody applied {short(applied)}, somebody "
            "else who can push wrote it into the lock: delete the lock's ref, below `refs/reconciler/locks`.",
        )


def _refuse_all_rewound(world: World, commit: Commit, plan: Plan, request: ApplyRequest) -> None:
    """Refuse as a whole what every single model would refuse: one model's record is no word on the others."""
    faults: list[str] = []
    for model in plan.models:
        if not model.changes or model.blocked:
            continue
        applied = applied_before(replace(plan, models=(model,)))
        fault = rewind_fault(world, commit, applied)
        if fault is None or model.model in request.restore or request.rewind_to == commit:
            return
        faults.append(fault)
    if faults:
        raise StaleError(faults[0], f"Pass --allow-rewind {commit[:12]} to apply it anyway.")


_UNSIGNED = (
    "The policy names who signs records, but this apply has no key: its records do not count until an "
    "apply with the key. Pass --signing-key, or set RECONCILER_SIGNING_KEY."
)


def _refuse_unknown_key(world: World, request: ApplyRequest, now: str) -> None:
    """
    Refuse a key that no line lists for records, by the policy that stands or by the one of this commit: what it signs
    would count for nothing, and take the place of records that do.
    """
    policies = [p for p in (request.rules.policy, request.rules.proposed) if p is not None and p.names_signers]
    if request.sign is None or world.seals is None or not policies:
        return
    data = b"reconciler"
    seal = request.sign(data)
    for policy in policies:
        if world.seals.verified([(data, seal, now)], policy.signers)[0]:
            return
    raise ReconcilerError(
        f"No line of {policies[-1].signers_path} lets the key {seal.key} sign records now.",
        "Pass the key that is listed there, or have its line merged first: ADDRESS "
        f'namespaces="{RECORDS}" KEY, without a `valid-before` in the past.',
    )


def _must_sign(rules: Rules) -> bool:
    return rules.policy.names_signers


def _without_new(plan: Plan) -> Plan:
    """Without what is new in guarded slots: nothing but a signed record could say later that the gates pass."""
    return _blocked(
        plan,
        lambda model: next((e for e in model.entrances if e.kind is Kind.NEW and e.slot in model.guarded), None),
        lambda entrance: Blocker(
            "no-signing-key",
            f"v{entrance.candidate} would enter {entrance.slot}, but its record could not be signed.",
            "Pass --signing-key, or set RECONCILER_SIGNING_KEY.",
        ),
    )


def _without_unsigned_again(plan: Plan) -> Plan:
    """Without models of which only our records would be written: unsigned, they would be what they are already."""
    kept = (m for m in plan.models if m.blocked or effects_of(m) or not _only_records(m.changes))
    return replace(plan, models=tuple(kept))


def _only_records(changes: Iterable[Change]) -> bool:
    return all(isinstance(change, RecordProvenance) for change in changes)


def _without_unseen(plan: Plan, unreviewed: frozenset[str], request: ApplyRequest, registry: str) -> Plan:
    """Without what would be put back unseen: a repair of drift never rides along with another change."""
    option = f" --registry {registry}" if registry else ""
    return _blocked(
        plan,
        lambda model: (
            None
            if model.model in request.restore or digest_of([model])[:MODEL_DIGEST] not in unreviewed
            else next((e for e in model.entrances if e.puts_back and e.slot in model.guarded), None)
        ),
        lambda entrance: Blocker(
            "restoration-not-reviewed",
            f"v{entrance.candidate} of {entrance.model} is declared in {entrance.slot}; somebody changed that by hand.",
            f"Apply a reviewed plan that restores it, or run `reconciler apply{option} --restore {entrance.model}`.",
        ),
    )


def _blocked(plan: Plan, find: Callable[[ModelPlan], Entrance | None], say: Callable[[Entrance], Blocker]) -> Plan:
    models = (
        model if (entrance := find(model)) is None else replace(model, blockers=(*model.blockers, say(entrance)))
        for model in plan.models
    )
    return replace(plan, models=tuple(models))


LOOK_BACK = 30
"""How many merges back what was reviewed is looked for, when several are applied at once."""


def _unreviewed(
    world: World, look_up: Callable[[Commit], Reviewed | None], plan: Plan, commit: Commit, request: ApplyRequest
) -> frozenset[str]:
    """
    The digests of models that no review shows, and that are only put back where somebody moved them by hand; raises
    StaleError or BlockedError for others. Several merges may be waiting for one apply: a queue of jobs keeps the newest
    only. So what the last one's review does not show may be in the review of one before it.
    """
    unreviewed, found = plan.model_digests, False
    applied = frozenset(before for before in applied_before(plan) if before is not None)
    for merged in _merged_since(world, applied, commit, request) if unreviewed else ():
        reviewed = look_up(merged)
        if reviewed is not None:
            found = True
            unreviewed = frozenset[str]() if reviewed.covers(plan) else unreviewed - reviewed.models
        if not unreviewed:
            break
    put_back = {digest_of([model])[:MODEL_DIGEST] for model in plan.models if _only_puts_back(model)}
    if unreviewed <= put_back:
        return unreviewed
    if found:
        raise StalePlanError(plan)
    raise BlockedError(
        f"Nothing was reviewed for commit {short(commit)}: no comment of ours on a request shows its plan.",
        "Merge it through a pull or merge request, or apply it without --expect-reviewed.",
    )


def _merged_since(world: World, applied: Collection[Commit], commit: Commit, request: ApplyRequest) -> Iterable[Commit]:
    """What the branch was at since, the newest first."""
    if request.rules.trunk is None:
        return world.source.line(commit, applied, LOOK_BACK)
    line = (one.commit for one in request.rules.trunk.line)
    return islice(takewhile(lambda merged: merged not in applied, line), LOOK_BACK)


def _only_puts_back(model: ModelPlan) -> bool:
    renames = any(isinstance(change, RenameModel) for change in model.changes)
    return bool(model.entrances) and not renames and all(entrance.puts_back for entrance in model.entrances)


@contextmanager
def _locked(world: World, request: ApplyRequest, report: Report) -> Generator[Lease | None]:
    if world.lock is None:
        report(Noticed("Applying without a lock: a second apply could write at the same time."))
        yield None
        return
    lease = world.lock.acquire(request.lock_timeout, partial(_say_waiting, report))
    try:
        if lease.note:
            report(Noticed(lease.note))
        yield lease
    finally:
        _released(lease, report)


def _say_waiting(report: Report, holder: Holder, seconds: float) -> None:
    report(LockWaiting(holder, seconds))


def _released(lease: Lease, report: Report) -> None:
    try:
        lease.release()
    except LockError as error:
        report(Noticed(str(error)))


_NOT_AS_DECLARED = (
    "Every call succeeded, but the registry does not match the manifests. Check whether something else writes to it."
)


@dataclass(frozen=True, slots=True)
class _Tried:
    """
    The calls of one model that were made, and what stopped the rest. `begun` says that one may have been made, and its
    answer lost. `known` are the commits that its records named
    just before: another one that turns up later was applied at the same time.
    """

    plan: ModelPlan
    made: tuple[Change, ...] = ()
    error: str = ""
    begun: bool = False
    known: frozenset[Commit] = frozenset()


@dataclass(slots=True)
class _Run:
    """
    Carries out one plan, some models at a time: read them again, write each in its own thread, read them back, and with
    them the ones that come next. Reading by the wave costs two requests a wave, where a read of each model would cost
    more than its writes.
    """

    world: World
    request: ApplyRequest
    report: Report
    lease: Lease | None
    desired: DesiredState
    plan: Plan
    commit: Commit
    leases: ExitStack
    found: Mapping[ModelRef, ModelSnapshot]
    """The models as the plan was made from them."""
    lost: str = ""
    """Why no further model is begun: the registry is gone, or the lock was."""
    pasts: dict[ModelRef, Past] = field(default_factory=dict[ModelRef, Past])
    ahead: Mapping[ModelRef, ModelSnapshot] | None = None
    """The models of the next wave, if they were read with those of the last one."""
    planned: dict[ModelRef, ModelPlan] = field(init=False)
    digest: str = field(init=False)
    judging: Lock = field(default_factory=Lock)
    """Judging what was copied looks up things that models share."""

    def __post_init__(self) -> None:
        self.planned = {model.model: model for model in self.plan.models}
        self.digest = self.plan.digest

    def outcomes(self) -> Iterator[Outcome]:
        for model in self.plan.models:
            if model.blocked:
                yield self._finished(self._left(model, self.found.get(model.model)))
        pending = [model for model in self.plan.models if model.changes and not model.blocked]
        size = max(1, self.request.parallelism)
        waves = [pending[start : start + size] for start in range(0, len(pending), size)]
        with ThreadPoolExecutor(size) as pool:
            for wave, following in zip_longest(waves, waves[1:], fillvalue=list[ModelPlan]()):
                for outcome in self._wave(pool, wave, following):
                    yield self._finished(outcome)

    def look_again(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """
        Read everything once more, and put back what moved meanwhile: the holder whose lock we took over may have had a
        call under way, which arrived after we had read.
        """
        if self._halted():
            return outcomes
        try:
            plan = make_plan(self.world, self.desired, self.plan.options, self.request.rules)
        except ReconcilerError as error:
            self.report(Noticed(f"The result of the dead holder's last call is not known: {error}"))
            return outcomes
        found = {outcome.model: outcome for outcome in outcomes}
        for model in plan.models:
            before = found.get(model.model, Outcome(model.model, OutcomeStatus.UNCHANGED))
            if model.changes and before.status in {OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED}:
                now = self._put_back(model)
                found[model.model] = replace(now, made=(*before.made, *now.made), repaired=True)
                self.report(ModelFinished(found[model.model]))
        return tuple(found.values())

    def _put_back(self, model: ModelPlan) -> Outcome:
        planned = self._let_in(model.model)
        new = [e for e in model.entrances if e.kind is not Kind.RESTORATION and (e.candidate, e.slot) not in planned]
        if model.blocked or new:
            told = f"It changed while this was applied: plan and apply again. {_told(model)}".rstrip()
            return Outcome(model.model, OutcomeStatus.FAILED, message=told)
        (outcome,) = self._settle_all([self._execute(model)])
        return outcome

    def _finished(self, outcome: Outcome) -> Outcome:
        self.report(ModelFinished(outcome))
        return outcome

    def _wave(
        self, pool: ThreadPoolExecutor, planned: list[ModelPlan], following: list[ModelPlan]
    ) -> Iterator[Outcome]:
        if why := self._halted():
            yield from (Outcome(model.model, OutcomeStatus.SKIPPED, message=why) for model in planned)
            return
        try:
            fresh = self._read(model.model for model in planned) if self.ahead is None else self.ahead
        except RegistryError as error:
            self._note(error)
            yield from (Outcome(m.model, OutcomeStatus.FAILED, message=f"Not begun: {error}") for m in planned)
            return
        ready: list[ModelPlan] = []
        for model in planned:
            decided = contained(partial(self._decide, model, fresh.get(model.model)))
            if isinstance(decided, Failure):
                decided = Outcome(model.model, OutcomeStatus.FAILED, message=f"Not begun: {decided.why}")
            if isinstance(decided, Outcome):
                yield decided
            else:
                ready.append(decided)
        tried = list(pool.map(self._make_calls, ready))
        known = {name: _commits_in(live, self.desired.revision.ours) for name, live in fresh.items()}
        tried = [replace(t, known=known.get(t.plan.model, frozenset())) for t in tried]
        yield from self._settle_all(tried, [model.model for model in following])

    def _read(self, names: Iterable[ModelRef]) -> Mapping[ModelRef, ModelSnapshot]:
        names = list(names)
        if not names:
            return {}
        read = read_again(self.world, self.desired, names)
        snapshot, pasts = with_past(self.request.rules, self.desired, read, names)
        self.pasts.update(pasts)
        self.report(ModelsRead(tuple(names), snapshot.models))
        return snapshot.models

    def _read_back(self, names: list[ModelRef], following: list[ModelRef]) -> Mapping[ModelRef, ModelSnapshot]:
        """The models that were written and, in the same requests, those that come next."""
        self.ahead = None
        if not following:
            return self._read(names)
        try:
            read = self._read([*names, *following])
        except RegistryError as error:
            if error.code == UNREACHABLE:
                raise
            # What is wrong with the next ones is for their own wave to say.
            return self._read(names)
        self.ahead = {name: read[name] for name in following if name in read}
        return read

    def _diff(self, name: ModelRef, live: ModelSnapshot | None) -> ModelPlan:
        return diff(
            self.desired.models.get(name),
            live,
            self.desired.revision,
            name=name,
            adopt=self.plan.options.adopt,
            past=self.pasts.get(name),
        )

    def _judged(self, model: ModelPlan, live: ModelSnapshot | None, goal: DesiredState) -> tuple[Entrance, ...]:
        """What these calls bring into slots that gates guard, whether or not it is judged."""
        manifest = goal.models.get(model.model)
        return tuple(e for e in model.entrances if is_guarded(self.request.rules, live, manifest, e.slot))

    def _decide(self, planned: ModelPlan, live: ModelSnapshot | None) -> ModelPlan | Outcome:
        """What to do with a model now that it was read again: as planned, planned anew, or nothing."""
        name = planned.model
        owner = live.owned_by(self.desired.revision.ours) if live else None
        chosen = self.request.rewind_to == self.commit or name in self.request.restore
        applied = owner.commit if owner and not chosen else None
        if applied is not None and (fault := rewinds(self.world, self.commit, applied)):
            return Outcome(name, OutcomeStatus.STALE, message=f"{short(applied)} was applied to it. {fault}")
        if not chosen and live is not None and (newer := self._in_progress(live)):
            why = f"{short(newer)}, which is newer, is being applied to it, or that apply was interrupted."
            return Outcome(name, OutcomeStatus.STALE, message=why)
        if owner is not None and owner.model not in _recorded_names(planned) and self._is_of_another(name, owner):
            why = f"It carries the records of {owner.model} now: one of them was renamed in the registry. Plan again."
            return Outcome(name, OutcomeStatus.STALE, message=why)
        now = self._diff(name, live)
        if digest_of([now]) == digest_of([planned]):
            made = tuple(copy for copy in copies_in(planned.changes) if copy not in now.changes)
            if made and live is not None and (why := self._refused(now, live, made)):
                left = self._left(now, live)
                return replace(left, message=why) if isinstance(why, _Refusal) else _failed(name, why)
            return now
        entering = self._judged(now, live, self.desired)
        if self.request.asks_for_review or planned.verdicts or entering:
            return Outcome(name, OutcomeStatus.STALE, message="It changed since the plan was made: plan again.")
        if now.blocked:
            return self._left(now, live)
        if not now.changes:
            return Outcome(name, OutcomeStatus.UNCHANGED, message="Somebody else already made it match the manifests.")
        try:
            prove(now, self.desired.models.get(name), live, self.desired.revision, self.pasts.get(name))
        except UnsoundPlanError as error:
            return Outcome(name, OutcomeStatus.FAILED, message=str(error))
        self.report(Noticed(f"{name} changed since the plan was made; it was planned again."))
        return now

    def _left(self, model: ModelPlan, live: ModelSnapshot | None) -> Outcome:
        """A model that is left as it was, with what was there. One that nobody declares was read without that."""
        manifest = self.desired.models.get(model.model)
        owner = live.owned_by(self.desired.revision.ours) if live else None
        outcome = Outcome(model.model, OutcomeStatus.BLOCKED, message=_told(model))
        return replace(outcome, left=left_as_it_was(live, owner, manifest.slots)) if manifest else outcome

    def _is_of_another(self, name: ModelRef, record: Ownership) -> bool:
        """Whether a record is of another model that is declared: one of the two was renamed."""
        return record.model not in {None, name} and record.model in self.desired.models

    def _in_progress(self, live: ModelSnapshot) -> Commit | None:
        """A newer commit that a version's record names: these are written first, the ownership record last."""
        trunk = self.request.rules.trunk
        named = _commits_in(live, self.desired.revision.ours) - {self.commit}
        unknown = sorted(commit for commit in named if trunk is None or commit not in trunk.places)
        relation = self.world.source.relation
        return next((c for c in unknown if relation(c, self.commit) is Relation.DESCENDANT), None)

    def _make_calls(self, model: ModelPlan) -> _Tried:
        if why := self._halted():
            return _Tried(model, error=why)
        return self._execute(model, ModelStarted(model.model, len(model.changes)))

    def _execute(self, model: ModelPlan, first: ModelStarted | None = None) -> _Tried:
        """The calls of one model; whatever goes wrong with it, what was made is known, and the others go on."""
        made: list[Change] = []

        def make_all() -> str:
            if first is not None:
                self.report(first)
            left = deque(model.changes)
            while left:
                change = left.popleft()
                call = self._brought(change)
                if why := call if isinstance(call, str) else self._make(call):
                    return why
                made.append(change)
                self.report(ChangeMade(change))
                rest: tuple[Change, ...] | str = tuple(left)
                if isinstance(change, RegisterVersion) and _is_last(change, left):
                    rest = self._registered(model, tuple(left))
                elif isinstance(change, RenameModel) and (why := self._renamed(change, model)):
                    return why
                if isinstance(rest, str):
                    return rest
                left = deque(rest)
            return ""

        ended = contained(make_all)
        error = f"It was interrupted: {ended.why}" if isinstance(ended, Failure) else ended
        return _Tried(model, tuple(made), error, begun=True)

    def _registered(self, model: ModelPlan, planned: tuple[Change, ...]) -> tuple[Change, ...] | str:
        """
        What is left to do with a model whose versions have just been registered, by what the registry made of them; or
        why it is not what was planned for them.
        """
        name, copies = model.model, copies_in(model.changes)
        live: ModelSnapshot | None = None
        for _ in self.world.registry.tries.turns(Flag().wait):
            live = self._read([name]).get(name)
            if live is not None and all(version.status == READY for version in live.versions.values()):
                break
        now = self._diff(name, live)
        if now.blocked:
            return _told(now)
        if _without_records(now.changes) != _without_records(planned):
            done = "copied" if copies else "registered"
            return f"It was {done}, but not under the number that was planned: plan and apply again."
        # Where nothing is moved, what is left is to write down the commit; a plan of that alone would not.
        rest = now.changes or tuple(change for change in planned if isinstance(change, Claim))
        return (self._refused(now, live, copies) if copies and live is not None else "") or rest

    def _refused(self, now: ModelPlan, live: ModelSnapshot, copies: tuple[RegisterVersion, ...]) -> str:
        """
        Why what has just been copied is not let in, or nothing. Each copy is compared with its original, which may be
        another one by now; and all gates that knew the original alone are asked about the copy, which they know no
        better by.
        """
        name, planned = now.model, self._planned(now.model)
        manifest = self.desired.models[name]
        there = with_sources(self.world, replace(self.desired, models={name: manifest})).models[name]
        for pin, fresh in zip(manifest.pins(), there.pins(), strict=True):
            if pin.original is not None and isinstance(pin.source, Source) and pin.source != fresh.source:
                return f"{pin.original} changed while it was copied: plan and apply again."
        for copy in copies:
            made = [v for v in live.versions.values() if v.original == copy.original]
            made = [version for version in made if version.may_be_copied_from(copy.run_id, copy.since)]
            if not made:
                return f"{copy.original} was copied, but no copy of it is there: plan and apply again."
            if self.world.checks is None:
                continue
            if (fault := copy_fault(self.world, name, made[0], copy.run_id, copy.since)) is not None:
                return f"{fault}: plan and apply again."
        with self.judging:
            snapshot, plan = RegistrySnapshot({name: live}), replace(self.plan, models=(now,))
            judged = judge(self.world, plan, snapshot, self.desired, self.request.rules)
        model = next(one for one in judged.models if one.model == name)
        if model.blocked:
            named = ", ".join(f"v{copy.version}" for copy in copies)
            return _Refusal(f"{named} was copied and moved nowhere. {_told(model)}")
        if _asked(model) != _asked(planned):
            return "It was copied, but something else is asked about it now than was planned: plan and apply again."
        self.planned[name] = model
        return ""

    def _renamed(self, change: RenameModel, planned: ModelPlan) -> str:
        """
        Why a model that has just been renamed is not the one that was planned for, or nothing: whoever renamed another
        one, or moved something, in the same moment, is not followed.
        """
        live = self._read([change.model]).get(change.model)
        now, record = self._diff(change.model, live), live.owned_by(self.desired.revision.ours) if live else None
        before = next((claim.before for claim in planned.changes if isinstance(claim, Claim)), record)
        rest = _without_records(planned.changes[1:])
        if record == before and now.identities == planned.identities and _without_records(now.changes) == rest:
            return "" if not now.blocked else _told(now)
        return f"{change.before} was renamed, but what is there now is not what was planned: plan and apply again."

    def _brought(self, change: Change) -> Change | str:
        """
        A call, once what it needs is there: what is to be copied from another registry is brought here first, however
        long that takes, so that the call itself is short and made while the lock is certainly held. Or why it is not.
        """
        if not isinstance(change, RegisterVersion) or change.original is None or not change.original.registry:
            return change
        carrier, why = self.world.carrier, ""
        if carrier is None:
            return f"Nothing can be copied from {change.original.registry} here."
        for _ in self.world.registry.tries.turns(Flag().wait):
            if lost := self._lease_lost():
                return lost
            brought = contained(partial(carrier.bring, change))
            if not isinstance(brought, Failure):
                return replace(change, brought=brought)
            why = brought.why
            if brought.code != UNREACHABLE:
                break
        return why

    def _make(self, change: Change) -> str:
        """
        Make one call, or say why it could not be made. It is tried again where the fault may pass, after reading
        whether it took place, and each time only while nobody else can have the lock.
        """
        tries, why = self.world.registry.tries, ""
        stamped = contained(partial(self._stamped, change))
        if isinstance(stamped, Failure):
            return stamped.why
        for number in tries.turns(Flag().wait):
            if lost := self._lease_lost():
                return lost
            if number > 1 and self._took_place(stamped):
                return ""
            failure = contained(partial(self.world.registry.execute, stamped))
            if not isinstance(failure, Failure):
                return ""
            why = failure.why
            if failure.code != UNREACHABLE:
                break
        return why

    def _took_place(self, change: Change) -> bool:
        """Whether the registry shows what a call would make of it; a call that cannot be read about did not."""

        def shown() -> bool:
            if isinstance(change, RenameModel):
                there = self.world.registry.snapshot(Wanted(dict.fromkeys((change.model, change.before), frozenset())))
                return change.model in there.models and change.before not in there.models
            live = self.world.registry.snapshot(Wanted({change.model: frozenset()})).models.get(change.model)
            return live is not None if isinstance(change, CreateModel) else simulate(live, change) == live

        return contained(shown) is True

    def _stamped(self, change: Change) -> Change:
        if not isinstance(change, RecordProvenance):
            return change
        now, digest, model = self.world.clock.now(), self.digest, self._planned(change.model)
        placements: list[Placement] = []
        for planned in change.placements:
            stamped = planned
            if planned.plan and not planned.applied_at:
                stamped = replace(planned, applied_at=now)  # it is put back by what let it in
            elif not planned.applied_at:
                entering = (change.version, planned.slot)
                verdicts = [v for v in model.verdicts if (v.entrance.candidate, v.entrance.slot) == entering]
                kinds = frozenset(e.kind for e in model.entrances if (e.candidate, e.slot) == entering)
                passed = _passed(verdicts, change.before.get(planned.slot), kinds)
                stamped = replace(planned, applied_at=now, plan=digest, override=_overridden(verdicts), passed=passed)
                stamped = replace(stamped, files=_files(model, change, planned), receipt=self.request.receipt)
            if self.request.sign is not None and stamped.identity is not None:
                stamped = replace(stamped, seal=self.request.sign(signed_bytes(change.model, stamped)))
            placements.append(stamped)
        return replace(change, placements=tuple(placements))

    def _settle_all(self, tried: list[_Tried], following: list[ModelRef] | None = None) -> Iterator[Outcome]:
        if any(t.begun for t in tried) and self._lease_lost():
            tried = self._regain(tried)
        whole = [t for t in tried if not t.error]
        try:
            live = self._read_back([t.plan.model for t in whole], following or [])
        except RegistryError as error:
            self._note(error)
            yield from (Outcome(t.plan.model, OutcomeStatus.FAILED, t.made, f"Not read back: {error}") for t in whole)
            tried = [t for t in tried if t.error]
            live = dict[ModelRef, ModelSnapshot]()
        for t in tried:
            if not t.error:
                settled = contained(partial(self._settle, t, live.get(t.plan.model)))
                failed = isinstance(settled, Failure)
                name, made = t.plan.model, t.made
                yield Outcome(name, OutcomeStatus.FAILED, made, settled.why) if failed else settled
            elif t.made or not self._halted():
                yield Outcome(t.plan.model, _status_of(t.error), t.made, t.error)
            else:
                yield Outcome(t.plan.model, OutcomeStatus.SKIPPED, message=t.error)

    def _regain(self, tried: list[_Tried]) -> list[_Tried]:
        """
        Take the lock again. Whoever had it meanwhile read the models in hand before our last call arrived, perhaps: so
        they are read once more, and brought to what the newest of all applied commits declares.
        """
        lock, waiting = self.world.lock, partial(_say_waiting, self.report)
        try:
            lease = lock.acquire(self.request.lock_timeout, waiting) if lock else None
        except LockError as error:
            told = f"{self.lost} It could not be taken again, so the present state is not known. {error}"
            return [replace(t, error=told) if t.begun else t for t in tried]
        if lease is not None:
            self.leases.callback(_released, lease, self.report)
            self.lease = lease
        self.report(Noticed("The lock was lost and taken again: the models in progress are read again."))
        return [replace(t, error="") if t.begun else t for t in tried]

    def _settle(self, tried: _Tried, live: ModelSnapshot | None) -> Outcome:
        """
        Compare what is there with what is declared, and mend it. Two writers at once can leave two versions in
        Production, or the older one's, each call having returned 200. Of two commits the descendant wins: whichever
        writer sees both last brings the model to what that one declares, also if it came to apply the other.
        """
        name, made, goal = tried.plan.model, tried.made, self.desired
        repairs = 0
        while True:
            if live is not None and (newer := self._newer_commit(live, tried.known, goal.revision.commit)):
                try:
                    goal = with_names(self.request.rules, declare(self.world, newer).desired)[1]
                except ReconcilerError as error:
                    why = f"{short(newer)} was applied to it at the same time, and cannot be read here: {error}"
                    return Outcome(name, OutcomeStatus.STALE, made, why)
            rest = self._unsettled(goal, name, live, made)
            if not rest.changes and not rest.blocked:
                break
            if rest.blocked or repairs == REPAIRS:
                return Outcome(name, OutcomeStatus.FAILED, made, f"{_NOT_AS_DECLARED} {_told(rest)}".rstrip())
            if unjudged := self._unjudged(rest, live, goal):
                why = f"{unjudged} was not judged by any gate in this apply: plan and apply again."
                return Outcome(name, OutcomeStatus.FAILED, made, f"{_NOT_AS_DECLARED} {why}")
            repairs += 1
            again = self._execute(rest)
            made = (*made, *again.made)
            if again.error:
                return Outcome(name, OutcomeStatus.FAILED, made, again.error)
            try:
                live = self._read([name]).get(name)
            except RegistryError as error:
                self._note(error)
                return Outcome(name, OutcomeStatus.FAILED, made, f"Not read back: {error}")
        if goal is self.desired:
            return Outcome(name, OutcomeStatus.APPLIED, made, repaired=repairs > 0)
        why = f"{short(goal.revision.commit)}, which is newer, was applied at the same time: the model matches it."
        return Outcome(name, OutcomeStatus.STALE, made, why, repaired=repairs > 0)

    def _unsettled(
        self, goal: DesiredState, name: ModelRef, live: ModelSnapshot | None, made: Iterable[Change]
    ) -> ModelPlan:
        """What the read-back still lacks, our records included: the provenance written, the commit in the ownership."""
        owner = live.owned_by(goal.revision.ours) if live else None
        if owner is not None and self._is_of_another(name, owner):
            message = f"It carries the records of {owner.model}: one of them was renamed in the meantime."
            return ModelPlan(name, blockers=(Blocker("renamed-in-registry", message, "Plan again."),))
        rest = diff(goal.models.get(name), live, goal.revision, name=name, adopt=self.plan.options.adopt)
        if rest.blocked or rest.changes or live is None:
            return rest
        lacking = tuple(Proposal(c, Reason(Why.GOVERNED)) for c in _lacking_records(live, made, goal.revision.commit))
        return replace(rest, proposals=lacking)

    def _unjudged(self, rest: ModelPlan, live: ModelSnapshot | None, goal: DesiredState) -> Entrance | None:
        """
        What a repair would let into a guarded slot without any gate having been asked: neither before this apply, nor,
        by the record of it, before that of the newer commit.
        """
        let_in = self._let_in(rest.model)
        for entrance in self._judged(rest, live, goal):
            version = live.versions[entrance.candidate] if live else None
            record = version.provenance.get(entrance.slot) if version else None
            by_the_newer = goal is not self.desired and record is not None and record.commit == goal.revision.commit
            if (entrance.candidate, entrance.slot) not in let_in and not by_the_newer:
                return entrance
        return None

    def _let_in(self, model: ModelRef) -> frozenset[tuple[Version, Slot]]:
        """What the plan brings into the slots of a model."""
        return frozenset((e.candidate, e.slot) for e in self._planned(model).entrances)

    def _planned(self, model: ModelRef) -> ModelPlan:
        return self.planned.get(model) or ModelPlan(model)

    def _newer_commit(self, live: ModelSnapshot, known: frozenset[Commit], commit: Commit | None) -> Commit | None:
        """A commit that turned up in the model's records since we began and that `commit` must not undo."""
        if self.request.rewind_to == self.commit or commit is None:
            return None
        appeared = _commits_in(live, self.desired.revision.ours) - known - {commit}
        return next((other for other in sorted(appeared) if self._outranks(other, commit)), None)

    def _outranks(self, other: Commit, commit: Commit) -> bool:
        match self.world.source.relation(other, commit):
            case Relation.SAME | Relation.ANCESTOR:
                return False
            case Relation.DESCENDANT | Relation.UNKNOWN:
                return True
            case Relation.UNRELATED:
                # Any rule will do that both sides come to alike.
                return other > commit

    def _halted(self) -> str:
        """Why no further model is begun, or nothing."""
        if self.request.stop.is_set():
            return "Not begun: interrupted."
        return self._lease_lost() or self.lost

    def _lease_lost(self) -> str:
        if self.lease is None or self.lease.held():
            return ""
        self.lost = "Stopped: the lock was lost, so another apply may be writing."
        return self.lost

    def _note(self, error: RegistryError) -> None:
        if error.code == UNREACHABLE:
            self.lost = "Not begun: the registry does not answer."


def _without_records(changes: Iterable[Change]) -> list[Change]:
    """The calls that move or describe something: our records know of a version only once it is registered."""
    return [change for change in changes if not isinstance(change, Claim | RecordProvenance | RecordTags)]


def _is_last(change: RegisterVersion, left: Sequence[Change]) -> bool:
    """Whether no other version is registered next, and there is something to do with this one, or to compare."""
    return not isinstance(left[0], RegisterVersion) if left else change.original is not None


def _failed(name: ModelRef, why: str) -> Outcome:
    return Outcome(name, OutcomeStatus.FAILED, message=why)


def _status_of(error: str) -> OutcomeStatus:
    return OutcomeStatus.BLOCKED if isinstance(error, _Refusal) else OutcomeStatus.FAILED


def _asked(model: ModelPlan) -> tuple[object, ...]:
    """What comes into which slots of a model, how, and which gates were asked about it."""
    entering = frozenset((e.candidate, e.slot, e.incumbent, e.kind, e.moves) for e in model.entrances)
    return entering, frozenset((v.entrance.candidate, v.entrance.slot, v.key) for v in model.verdicts)


def _files(model: ModelPlan, change: RecordProvenance, planned: Placement) -> str:
    """The digest of the files that enter, as a gate had it read, or as it was when they entered before."""
    before = change.before.get(planned.slot)
    same = before is not None and before.identity in {None, planned.identity}
    grounds = model.grounds.get((change.version, planned.slot), Grounds())
    return grounds.files or (before.files if before is not None and same else "")


def _recorded_names(planned: ModelPlan) -> frozenset[ModelRef | None]:
    """The name that the record of a model had when it was planned."""
    records = (c.before for c in planned.changes if isinstance(c, Claim | Release))
    return frozenset(record.model for record in records if isinstance(record, Ownership))


def _commits_in(live: ModelSnapshot | None, ours: Ours) -> frozenset[Commit]:
    """The commits of a repository that a model's records name."""
    if live is None:
        return frozenset()
    owner = live.owned_by(ours)
    placements = (p for version in live.versions.values() for p in version.provenance.values())
    named = {owner.commit if owner else None, *(p.commit for p in placements if ours.named(p.repository))}
    return frozenset(commit for commit in named if commit is not None)


def _lacking_records(live: ModelSnapshot, made: Iterable[Change], commit: Commit | None) -> Iterator[Change]:
    """Our records that were written for this commit and are not there: each as the call that writes it again."""
    made = list(made)
    for change in made:
        # A version that is gone by now needs no record.
        if isinstance(change, RecordProvenance) and change.version in live.versions:
            kept = live.versions[change.version].provenance
            ours = [placement for placement in change.placements if placement.commit == commit]
            if any(p.slot not in kept or kept[p.slot].commit != commit for p in ours):
                yield replace(change, before=kept)
    if isinstance(live.owner, Ownership) and live.owner.commit != commit and any(isinstance(c, Claim) for c in made):
        yield Claim(live.name, live.owner, replace(live.owner, commit=commit))


def _overridden(verdicts: Iterable[Verdict]) -> str:
    """Which gates' no was overridden for an entrance, on whose word and why; cut to what a tag has room for."""
    return "; ".join(f"{v.gate}: {v.note}" for v in verdicts if v.ruling is Ruling.OVERRIDDEN)[:MOST_OVERRIDE]


def _passed(verdicts: Iterable[Verdict], before: Placement | None, kinds: frozenset[Kind]) -> tuple[str, ...]:
    """
    The keys of the gates that had nothing against an entrance, now or, where they are waived now, when it was there
    before; where it is there already, or only put back, those of then stay.
    """
    verdicts, then = tuple(verdicts), frozenset(before.passed if before else ())
    now = {v.key for v in verdicts if v.ruling is Ruling.PASS}
    waived = {v.key for v in verdicts if v.ruling is Ruling.WAIVED}
    noes = {v.key for v in verdicts if v.blocks or v.ruling is Ruling.OVERRIDDEN}
    kept = then if kinds <= {Kind.RESTORATION, Kind.RESUMED} else waived & then
    return tuple(sorted((now | kept) - noes))


def _told(model: ModelPlan) -> str:
    """Why a model is blocked."""
    noes = [f"{v.entrance.slot}: {v.gate}: {v.sentence}." for v in model.verdicts if v.blocks]
    return " ".join([*(f"{b.message} {b.fix}" for b in model.blockers), *noes])
