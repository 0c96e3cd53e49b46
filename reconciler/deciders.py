"""Who decides over a model, and who approved a change: owners, groups and signers count along a chain of approvals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler.core.approval import counted, eligible, in_time
from reconciler.core.desired import DesiredState
from reconciler.core.diff import UNAPPROVED, Blocker, ModelPlan
from reconciler.core.gate import (
    Guard,
)
from reconciler.core.names import Commit, ModelRef
from reconciler.core.past import Epoch, Past
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.core.text import amount, ended, plain
from reconciler.errors import Failure, contained
from reconciler.gates.authority import Shift, Side, check_paths, shifts
from reconciler.gates.check import CheckGate
from reconciler.ports import Reviews, World
from reconciler.rules import Rules


@dataclass(frozen=True, slots=True)
class CommitRange:
    """
    The change that declared something: its commits are those of `head` that are not of `base`. `last` came to an apply
    with them: where no request tells what belongs to it, approvals may be on what was pushed along.
    """

    base: Commit | None
    head: Commit | None
    last: Commit | None = None


def change_at(rules: Rules, plan: Plan, place: int) -> CommitRange:
    """
    The change that a place of the trusted line is the end of. A merge tells by itself where it began; else it is what
    came to an apply together, or the commit alone where that is not known.
    """
    trunk, head = rules.trunk, plan.revision.commit
    if trunk is None:
        return CommitRange(rules.base, head)
    end = trunk.at(place)
    if end is None:
        return CommitRange(trunk.tip, head)
    known = None if end.merge else trunk.before(place)
    before = trunk.at(place + 1 if known is None else known)
    last = end if end.merge else trunk.at(trunk.end(place))
    return CommitRange(before.commit if before else None, end.commit, last.commit if last else head)


def find_reviews(
    world: World, change: CommitRange, model: ModelRef | None, signers: str, past: Past | None = None
) -> Reviews | str:
    """
    Who approved what a change declares of a model, by the name that its `past` says that it had then, or the change as
    a whole.
    """
    head = change.head
    if head is None:
        return "uncommitted changes cannot have been approved"
    if world.reviews is None:
        return "this command does not look for approvals"
    find = world.reviews.find

    def called(commit: Commit) -> ModelRef | None:
        return model if model is None or past is None else past.name_at(commit, model)

    reviews = contained(lambda: find(change.base, head, called(head), signers))
    last = change.last
    if not isinstance(reviews, Failure) and not reviews.approvals and last is not None and last != head:
        reviews = contained(lambda: find(change.base, last, called(last), signers))
    return reviews.why if isinstance(reviews, Failure) else reviews


@dataclass(frozen=True, slots=True)
class _Standing:
    """
    Who decides over a model: the sides that count, each from a place of the trusted line on, the newest first. The
    blocker says what of today's manifests and policy does not count yet.
    """

    sides: tuple[tuple[int, Side], ...]
    blocker: Blocker | None = None

    def at(self, place: int | None) -> Side | None:
        """The side that counted as of a place; None before the first that is known."""
        return None if place is None else next((side for start, side in self.sides if start >= place), None)


@dataclass
class Deciders:
    """
    Who decides over the models of a plan. Owners, groups, signers and checks count along a chain alone: from what the
    line first laid down, or from where our record shows that an apply let the model through, over shifts that those who
    counted until then approved. What they refused counts at no later time, whatever was merged since.
    """

    world: World
    plan: Plan
    snapshot: RegistrySnapshot
    desired: DesiredState
    rules: Rules
    _found: dict[ModelRef, _Standing] = field(default_factory=dict[ModelRef, _Standing])
    _reviews: dict[tuple[CommitRange, str], Reviews | str] = field(
        default_factory=dict[tuple[CommitRange, str], Reviews | str]
    )
    _digests: dict[tuple[int, str], str | None] = field(default_factory=dict[tuple[int, str], str | None])
    _pasts: Mapping[ModelRef, Past | None] = field(init=False)

    def __post_init__(self) -> None:
        self._pasts = {model.model: model.past for model in self.plan.models}

    def of(self, name: ModelRef) -> _Standing:
        if name not in self._found:
            self._found[name] = self._standing(name)
        return self._found[name]

    def _standing(self, name: ModelRef) -> _Standing:
        if self.rules.base is None:
            return _Standing(())
        begin, epochs = self._begin(name)
        sides: list[tuple[int, Side]] = [(begin, self._side(name, begin, epochs))]
        blocker: Blocker | None = None
        before = begin
        for place in self._places(begin, epochs):
            since, counting = sides[-1]
            side, guards = self._side(name, place, epochs), self._guards(name, counting, place, epochs)
            shift = self._shift(name, guards, (since, counting), (place, side))
            here = self._shift(name, guards, (before, self._side(name, before, epochs)), (place, side))
            before = place
            if shift is not None and shift.asked:
                # Whoever approved what changes nothing about it was not asked.
                if here is None:
                    continue
                found = self._approvals(self._change(place), counting.policy.signers)
                blocker = _blocker(shift, found, counting, place)
                if blocker is not None:
                    continue
            blocker = None
            sides.append((place, side))
        return _Standing(tuple(reversed(sides)), blocker)

    def _shift(
        self, name: ModelRef, guards: tuple[Guard, ...], standing: tuple[int, Side], proposed: tuple[int, Side]
    ) -> Shift | None:
        """What shifts from one place to another."""
        (since, before), (place, after) = standing, proposed
        touched = self._touched(before, guards, since, place)
        return next(iter(shifts(before, after, {name: guards}, touched)), None)

    def _begin(self, name: ModelRef) -> tuple[int, tuple[Epoch, ...]]:
        """The place from which on shifts are looked at, and what was declared since."""
        trunk, live = self.rules.trunk, self.snapshot.models.get(name)
        if trunk is None:
            return 1, ()
        past = self._pasts.get(name)
        found = [
            past.place_of(record, version)
            for version in (live.versions.values() if past and live else ())
            for record in version.provenance.values()
            if past is not None and (record.proven or not past.sealed)
        ]
        # What the commit in hand shows of itself is no answer: it is asked again.
        begin = min((place for place in found if place), default=None)
        epochs = past.epochs if past else ()
        if begin is None or not epochs or epochs[-1].start < begin:
            epochs = trunk.history(name, self.desired.models)
        if begin is None:
            begin = epochs[-1].start
            # Raises where this clone ends before history does.
            trunk.at(begin + 1)
        return begin, epochs

    def _side(self, name: ModelRef, place: int, epochs: tuple[Epoch, ...]) -> Side:
        """What is laid down as of a place."""
        trunk, rules = self.rules.trunk, self.rules
        if place == 0:
            policy, manifest = rules.policy if rules.proposed is None else rules.proposed, self.desired.models.get(name)
        elif trunk is None:
            return Side(rules.policy, rules.owners)
        else:
            policy = next((epoch.policy for epoch in trunk.standing_at(place)), Policy())
            manifest = next((epoch.manifest for epoch in epochs if epoch.start >= place), None)
        return Side(policy, {name: manifest.owner_names if manifest else ()})

    def _places(self, begin: int, epochs: tuple[Epoch, ...]) -> list[int]:
        """Where something may have shifted since a place, the oldest first."""
        found = {0} if self.rules.trunk is None or self.rules.trunk.ahead else set[int]()
        found.update(epoch.start for epoch in epochs)
        if self.rules.trunk is not None:
            policies = self.rules.trunk.policies
            found.update(epoch.start for epoch in policies)
            paths = {
                path for epoch in policies for check in epoch.policy.checks.values() for path in check_paths(check)
            }
            for path in sorted(paths):
                found.update(self._moves(path, begin, 0))
        return sorted((place for place in found if place < begin), reverse=True)

    def _moves(self, path: str, older: int, newer: int) -> Iterable[int]:
        """The places at which a file of a check became another one; what was taken back in between is none."""
        if older <= newer or self._digest(older, path) == self._digest(newer, path):
            return
        middle = (older + newer) // 2
        if middle == newer:
            yield newer
            return
        yield from self._moves(path, older, middle)
        yield from self._moves(path, middle, newer)

    def _digest(self, place: int, path: str) -> str | None:
        trunk = self.rules.trunk
        one = trunk.at(place) if trunk else None
        ref = one.commit if one else self.plan.revision.commit
        if ref is None:
            return None
        if (place, path) not in self._digests:
            self._digests[place, path] = self.world.source.digest(ref, path)
        return self._digests[place, path]

    def _touched(self, side: Side, guards: tuple[Guard, ...], since: int, place: int) -> frozenset[str]:
        """The files of checks that are others at a place than they were when a side began to count."""
        if self.rules.trunk is None or (place == 0 and self.plan.revision.commit is None):
            return self.rules.touched
        named = {guard.gate.check for guard in guards if isinstance(guard.gate, CheckGate)}
        paths = {path for name in named if (check := side.policy.checks.get(name)) for path in check_paths(check)}
        return frozenset(path for path in paths if self._digest(since, path) != self._digest(place, path))

    def _guards(self, name: ModelRef, side: Side, place: int, epochs: tuple[Epoch, ...]) -> tuple[Guard, ...]:
        """All gates that a side's policy has about a model, by its names, and its tags in the registry and in git."""
        if self.plan.options.targets and name not in self.plan.options.targets:
            return ()
        live = self.snapshot.models.get(name) or ModelSnapshot(name)
        before = [epoch.manifest for epoch in epochs if epoch.start > place and epoch.manifest]
        names = {name, *self.rules.former_names(name, self.desired.models.get(name))}
        names.update(former for manifest in before for former in manifest.former_names)
        declared = [self.rules.tags.get(name, {}), *(one.tag_values for one in before)]
        tags = [live.tags, *({**live.tags, **one} for one in declared)]
        about = (rule for rule in side.policy.rules if rule.is_about(names, tags))
        return tuple(guard for rule in about for guard in rule.guards)

    def _change(self, place: int) -> CommitRange:
        if self.rules.trunk is None:
            return CommitRange(self.rules.base, self.plan.revision.commit)
        return change_at(self.rules, self.plan, place)

    def _approvals(self, change: CommitRange, signers: str) -> Reviews | str:
        """Who approved a change as a whole, looked up once for all models."""
        if (change, signers) not in self._reviews:
            found = find_reviews(self.world, change, None, signers)
            if not isinstance(found, str):
                found = replace(found, approvals=in_time(found.approvals, 0, self.world.clock.now())[0])
            self._reviews[change, signers] = found
        return self._reviews[change, signers]


def _blocker(shift: Shift, found: Reviews | str, standing: Side, place: int) -> Blocker | None:
    if isinstance(found, str):
        missing = f"who approved it is not known: {found}"
    elif not found.authors:
        missing = "its author is not known, and an author's own approval does not count"
    else:
        lacking: list[str] = []
        for quorum in shift.asked:
            people = eligible(quorum, standing.owners.get(shift.model, ()), standing.policy.groups)
            counting = counted(found.approvals, people, found.authors, found.people)
            if len(counting) < (required := quorum.required(by_bots=found.by_bots)):
                lacking.append(
                    f"{amount(required, 'approval')} from {plain(quorum.group, 80)}, but "
                    f"{', '.join(counting) or 'nobody'} approved"
                )
        if not lacking:
            return None
        missing = f"it requires {'; '.join(lacking)}"
    which = "An earlier change" if place else "This change"
    return Blocker(
        UNAPPROVED,
        f"{which} edits who decides about {shift.model} ({', '.join(shift.what)}), and {missing}.",
        "Have it approved by the present owners and groups, or revert it."
        if place
        else "Have it approved by the present owners and groups, or remove it from the change.",
    )


def _shifts(plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> tuple[Shift, ...]:
    """What the change makes different about who decides over the models of the plan."""
    names = rules.owners.keys() | desired.models.keys()
    guarded: dict[ModelRef, tuple[Guard, ...]] = {}
    for name in names if rules.base is not None else ():
        live = snapshot.models.get(name) or ModelSnapshot(name)
        tags = (live.tags, {**live.tags, **rules.tags.get(name, {})})
        if not plan.options.targets or name in plan.options.targets:
            called = (name, *rules.former_names(name, desired.models.get(name)))
            about = (rule for rule in rules.policy.rules if rule.is_about(called, tags))
            guarded[name] = tuple(guard for rule in about for guard in rule.guards)
    owners = {name: manifest.owner_names for name, manifest in desired.models.items()}
    proposed = rules.policy if rules.proposed is None else rules.proposed
    return shifts(Side(rules.policy, rules.owners), Side(proposed, owners), guarded, rules.touched)


def unasked(plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules) -> tuple[str, ...]:
    """What the change makes different about who decides, and nobody could be asked about, in one sentence."""
    blocked = {model.model for model in plan.models if any(b.code == UNAPPROVED for b in model.blockers)}
    found = (s for s in _shifts(plan, snapshot, desired, rules) if not s.asked and s.model not in blocked)
    alone = [f"{s.model} ({', '.join(s.what)})" for s in found]
    if not alone:
        return ()
    more = f", and of {len(alone) - 10} more" if len(alone) > 10 else ""
    told = "This change decides who may approve, and needed no approval, because nobody may approve yet: of "
    return (f"{told}{', '.join(alone[:10])}{more}.",)


def refuse_unapproved(
    plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, rules: Rules, deciders: "Deciders"
) -> Plan:
    """
    The plan, with those models blocked about whose owners, groups, signers or checks nobody who stands was asked: in
    the change in hand, or in one before it that still waits for an answer.
    """
    shifted = {shift.model for shift in _shifts(plan, snapshot, desired, rules)}
    models = {model.model: model for model in plan.models}
    for name in sorted(shifted | {model.model for model in plan.models if model.changes or model.entrances}):
        model = models.get(name) or ModelPlan(name)
        standing = contained(partial(deciders.of, name))
        blocker = not_judged(name, standing) if isinstance(standing, Failure) else standing.blocker
        if blocker is not None and blocker not in model.blockers:
            models[name] = replace(model, blockers=(*model.blockers, blocker))
    # One that was dropped before it was ever applied is in no plan but for this.
    added = models.keys() - {model.model for model in plan.models} - desired.models.keys()
    return replace(plan, models=tuple(models[name] for name in sorted(models)), undeclared=plan.undeclared | added)


def not_judged(name: ModelRef, failure: Failure) -> Blocker:
    """A model that cannot be judged. The others are."""
    why = f"The entrances of {name} could not be judged: {ended(failure.why)}"
    return Blocker("not-judged", why, "" if failure.remedied else "Correct its data in the registry, or report this.")
