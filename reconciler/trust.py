"""
The trusted side: the line of commits that a revision stands on, the policies that stood along it, and what it says of a
model's past. Read lazily, and no further back than it takes.
"""

import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice, pairwise, takewhile
from typing import TypeAlias

from reconciler.core.desired import Manifest, Pin, Revision, resolve
from reconciler.core.entrances import governed_otherwise, in_place, occupants
from reconciler.core.gate import Guard
from reconciler.core.heads import Head
from reconciler.core.heads import signed_bytes as head_bytes
from reconciler.core.limits import HEADS
from reconciler.core.moments import moment
from reconciler.core.names import (
    AliasName,
    Commit,
    ModelRef,
    Ours,
    RepositoryId,
    Slot,
    Version,
    alias_slot,
    names_of,
)
from reconciler.core.past import FOREVER, Epoch, Past, declared_versions, pins_of, undeclared_tags
from reconciler.core.policy import RECORDS, Policy, lines_of, listed_for
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import (
    ModelSnapshot,
    Ownership,
    Placement,
    RegistrySnapshot,
    VersionSnapshot,
    signed_bytes,
)
from reconciler.errors import LockError, ManifestError, ReconcilerError, Severity
from reconciler.ports import LineCommit, Relation, SourceFile, Step, World

POLICY_PATH = "reconciler.yaml"
FEW_NAMES = 8

PolicyAt: TypeAlias = Callable[[str | None], Policy | None]
"""The policy of a commit, or of the work tree; None where there is none. Raises ManifestError for a broken one."""


_Part: TypeAlias = Mapping[ModelRef, tuple[Manifest, ...]]
"""What a file declares of each model."""


class _Declared:
    """
    What files declare, so kept that what they say of one model is found without a look at the others. `unread` are
    those that name none of the models which are looked for, each with what it declared when it was last read: most
    files of a long history are of no account.
    """

    def __init__(self, parts: Mapping[str, _Part]) -> None:
        self.parts: dict[str, _Part] = {}
        self.unread: dict[str, tuple[bytes, _Part]] = {}
        self.claims = Counter[ModelRef]()
        """How often each name is called a former one."""
        self._files: dict[ModelRef, set[str]] = {}
        for path, part in parts.items():
            self.put(path, part)

    def put(self, path: str, part: _Part) -> None:
        """What a file declares now, whatever it declared before."""
        for name, fragments in self.parts.get(path, {}).items():
            self._files[name].discard(path)
            for former in chain.from_iterable(fragment.former_names for fragment in fragments):
                self.claims[former] -= 1
                if not self.claims[former]:
                    del self.claims[former]
        for name, fragments in part.items():
            self._files.setdefault(name, set()).add(path)
            self.claims.update(chain.from_iterable(fragment.former_names for fragment in fragments))
        self.parts[path] = part
        self.unread.pop(path, None)

    def leave(self, path: str, data: bytes) -> None:
        """That a file is so now, and need not be read yet."""
        _, newer = self.unread.get(path, (b"", self.parts.get(path, {})))
        self.put(path, {})
        self.unread[path] = data, newer

    def learn(self, names: Set[ModelRef], read: Callable[[str, bytes], _Part | None]) -> None:
        """Read what may name some models; where that cannot be read, what it declared of them later stands."""
        for path, (data, newer) in tuple(self.unread.items()):
            if _may_name(data, names):
                part = read(path, data)
                self.put(path, {name: newer[name] for name in newer.keys() & names} if part is None else part)

    def claimant(self, former: ModelRef) -> ModelRef:
        """Who calls a name a former one. Raises StopIteration where nobody does."""
        parts = chain.from_iterable(part.items() for part in self.parts.values())
        return next(name for name, some in parts if any(former in one.former_names for one in some))

    def has(self, name: ModelRef, without: Set[str] = frozenset()) -> bool:
        """Whether a file declares a model, but for some files."""
        files = self._files.get(name)
        return bool(files) and any(path not in without for path in files)

    def of(self, name: ModelRef) -> list[Manifest]:
        """The fragments of a model, in the order of their files."""
        return [fragment for path in sorted(self._files.get(name, ())) for fragment in self.parts[path][name]]

    def before(self, older: Mapping[str, _Part | bytes]) -> Callable[[ModelRef], bool]:
        """What tells whether a file declared a model before a change, with some files as they were then."""
        then = frozenset(chain.from_iterable(map(_known, older.values())))
        return lambda name: name in then or self.has(name, older.keys())

    def differing(self, older: Mapping[str, _Part | bytes], names: Set[ModelRef]) -> dict[ModelRef, list[str]]:
        """Those of some models that files declared otherwise before a change, and which files."""
        found: dict[ModelRef, list[str]] = {}
        for path, was in ((path, _known(was)) for path, was in older.items()):
            now = self.parts.get(path, {})
            for name in (now.keys() | was.keys()) & names:
                if now.get(name) != was.get(name):
                    found.setdefault(name, []).append(path)
        return found

    def formers(self, names: Iterable[ModelRef]) -> frozenset[ModelRef]:
        """What some models say that they were called."""
        return frozenset(chain.from_iterable(fragment.former_names for name in names for fragment in self.of(name)))


def _known(was: _Part | bytes) -> _Part:
    """What a file declares of the models that are looked for: nothing, where it was not read."""
    return {} if isinstance(was, bytes) else was


class _Called:
    """What models that are looked for were called at the time, and which of them by a name."""

    def __init__(self, names: Iterable[ModelRef]) -> None:
        self.names = {name: name for name in names}
        self.by = {name: {name} for name in self.names}

    def name(self, model: ModelRef, name: ModelRef) -> None:
        self.drop(model)
        self.names[model] = name
        self.by.setdefault(name, set()).add(model)

    def drop(self, model: ModelRef) -> None:
        """It is looked for no more."""
        name = self.names.pop(model)
        self.by[name].discard(model)
        if not self.by[name]:
            del self.by[name]


@dataclass(frozen=True, slots=True)
class PolicyEpoch:
    """A stretch of the line with one policy: the place of its oldest commit, that commit and its time."""

    start: int
    commit: Commit
    since: int
    policy: Policy


@dataclass
class Trunk:
    """
    The commits that the protected branch was at, as seen from a revision. `ahead` says that the revision is not on it
    yet: a change under review, or a work tree; it then has place 0, and `tip` place 1. `named` is a commit that the
    branch was at by the word of whoever runs this: a forge's workflow names the one before a push.

    First parents are the line for as long as nobody moves the branch forward to a commit whose first parent it was
    never at. So the line is led through what is known of where the branch was: `named`, and what applies remember,
    unless `unremembered`.
    """

    world: World
    policy_at: PolicyAt
    revision: Revision
    tip: Commit
    ahead: bool
    named: Commit | None = None
    unremembered: bool = False
    forgotten: frozenset[Commit] = frozenset()
    _read: dict[Commit, tuple[Manifest, ...] | None] = field(default_factory=dict[Commit, tuple[Manifest, ...] | None])
    _proven: dict[tuple[Head, str], bool] = field(default_factory=dict[tuple[Head, str], bool])
    _sealed: bool | None = None
    _walked: dict[tuple[ModelRef, bool], tuple[int | None, tuple[Epoch, ...]]] = field(
        default_factory=dict[tuple[ModelRef, bool], tuple[int | None, tuple[Epoch, ...]]], init=False
    )
    _heirs: dict[ModelRef, dict[int, ModelRef]] = field(default_factory=dict[ModelRef, dict[int, ModelRef]], init=False)

    @cached_property
    def line(self) -> tuple[LineCommit, ...]:
        heads = () if self.unremembered else self._remembered[::-1]
        if {one.commit for one in self._unremembered_line}.issuperset(head.commit for head in heads):
            return self._unremembered_line
        known = tuple(head.commit for head in self._signed(heads, self._at_hand))
        anchors = (*known, *self._named) if self._at_hand.names_signers else (*self._named, *known)
        return self.world.source.trunk(self.tip, anchors, self._policy_files)

    @cached_property
    def _unremembered_line(self) -> tuple[LineCommit, ...]:
        return self.world.source.trunk(self.tip, self._named, self._policy_files)

    @cached_property
    def _policy_files(self) -> tuple[str, ...]:
        """The files whose changes along the line make its policies, as far as the tip's own policy tells."""
        try:
            policy = self.policy_at(self.tip) or Policy()
        except ReconcilerError:
            # Where it counts, it is read again, and that is said.
            policy = Policy()
        return tuple(filter(None, (POLICY_PATH, policy.signers_path)))

    @property
    def _named(self) -> tuple[Commit, ...]:
        return () if self.named is None else (self.named,)

    @cached_property
    def doubted(self) -> "Trunk | None":
        """
        The line as it would be if nothing were remembered, where it would be another one and what is remembered is not
        signed: whoever can write beside the lock could have led it there. So both must agree.
        """
        if self.line == self._unremembered_line or self._at_hand.names_signers:
            return None
        return replace(self, unremembered=True)

    @cached_property
    def _at_hand(self) -> Policy:
        """
        The policy whose signers say what is remembered, and so which line it is: for want of one that stands by that
        line, that of the commit that is named, or of the tip, which nobody brings to the branch unreviewed.
        """
        if self.named is not None and self.world.source.relation(self.named, self.tip) is Relation.ANCESTOR:
            policy = self.policy_at(self.named)
            if policy is not None and policy.names_signers:
                return policy
        return self.policy_at(self.tip) or Policy()

    @cached_property
    def places(self) -> Mapping[Commit, int]:
        return {one.commit: place for place, one in enumerate(self.line, int(self.ahead))}

    def at(self, place: int) -> LineCommit | None:
        """
        The commit at a place; None for a revision that is ahead, and beyond the first commit. Raises ReconcilerError
        where the clone does not go back that far.
        """
        index = place - int(self.ahead)
        if index >= len(self.line) and self.line[-1].cut:
            raise ReconcilerError(
                f"This clone does not reach back beyond {self.line[-1].commit[:12]}: earlier commits are not known.",
                "Fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`, `GIT_DEPTH: 0`).",
            )
        return self.line[index] if 0 <= index < len(self.line) else None

    def before(self, place: int) -> int | None:
        """
        The place of the last commit before the change that the commit at `place` belongs to: commits that came to an
        apply together are one change. None: it is not known where that change began.
        """
        if place == 0 and self.ahead:
            return 1
        return next((p for p in sorted(self._began) if p > place and self.vouched(self._began[p])), None)

    def end(self, place: int) -> int:
        """The place of the last commit of the change that a commit belongs to: what came to an apply with it."""
        later = (p for p in sorted(self._began, reverse=True) if p <= place)
        return next((p for p in later if self.vouched(self._began[p])), 0)

    @cached_property
    def _began(self) -> Mapping[int, tuple[Head, ...]]:
        """What is remembered of commits that an apply began with, by their places."""
        began = {place: tuple(head for head in heads if head.began) for place, heads in self._by_place.items()}
        return {place: heads for place, heads in began.items() if heads}

    @cached_property
    def _by_place(self) -> Mapping[int, tuple[Head, ...]]:
        """What is remembered of the commits of the line, by their places."""
        found: dict[int, tuple[Head, ...]] = {}
        for head in self._remembered:
            if (place := self.places.get(head.commit)) is not None:
                found[place] = (*found.get(place, ()), head)
        return found

    @cached_property
    def _remembered(self) -> tuple[Head, ...]:
        """What applies remember, the newest last. To know of none makes changes longer, never shorter."""
        try:
            heads = self.world.memory.heads() if self.world.memory else ()
        except LockError:
            return ()
        return tuple(head for head in heads if head.commit not in self.forgotten)

    def vouched(self, heads: Sequence[Head]) -> tuple[Head, ...]:
        """Those that count: signed, where the standing policy names signers."""
        return self._signed(heads, self.standing)

    def _signed(self, heads: Sequence[Head], policy: Policy) -> tuple[Head, ...]:
        if not policy.names_signers:
            return tuple(heads)
        new = [h for h in heads if h.seal is not None and (h, policy.signers) not in self._proven]
        if new and self.world.seals is not None:
            # What was signed before the repository got its present name was signed under a former one.
            name, hash_sign, folder = self.world.source.identity.partition("#")
            for former in (name, *policy.settings.formerly):
                whose = RepositoryId(former if "#" in former else f"{former}{hash_sign}{folder}")
                claims = ((head_bytes(whose, h), h.seal, h.at) for h in new if h.seal is not None)
                proofs = self.world.seals.verified(claims, policy.signers)
                good = {head for head, proven in zip(new, proofs, strict=True) if proven}
                self._proven.update({(head, policy.signers): head in good for head in new})
                new = [head for head in new if head not in good]
        return tuple(head for head in heads if self._proven.get((head, policy.signers), False))

    def seen(self, place: int) -> int:
        """
        When an apply first saw the commit at a place, in seconds since 1970: whoever pushes a commit chooses the time
        that it names, and not this one.
        """
        since = [heads for at, heads in self._by_place.items() if at <= place]
        times = (moment(head.at) for head in self.vouched(tuple(chain.from_iterable(since))))
        return min((int(time.timestamp()) for time in times if time is not None), default=FOREVER)

    def not_to_forget(self, more: int) -> tuple[Head, ...]:
        """What must be remembered anew before so much more is: the oldest, if without it this were another line."""
        over = len(self._remembered) + more - HEADS
        oldest = self._remembered[: max(over, 0)]
        if not oldest or self.line == self._unremembered_line:
            return ()
        without = replace(self, forgotten=frozenset(head.commit for head in oldest))
        return () if without.line == self.line else oldest

    def remembers(self, head: Head, *, signed: bool) -> bool:
        """Whether as much is remembered; by a signature that counts now and for the next change, if that is asked."""
        known = tuple(h for h in self._remembered if h.commit == head.commit and (h.began or not head.began))
        if not signed:
            return bool(known)
        policies = (self.standing, self._at_hand, self.policy_at(self.revision.commit) or Policy())
        naming = [policy for policy in policies if policy.names_signers]
        if not naming:
            return any(head.seal for head in known)
        return all(self._signed(known, policy) for policy in naming)

    def hints(self, snapshot: RegistrySnapshot) -> tuple[int, ...]:
        """The places of commits that somebody applied, as far as records and the lock's memory say."""
        versions = chain.from_iterable(live.versions.values() for live in snapshot.models.values())
        records = chain.from_iterable(version.provenance.values() for version in versions)
        named = {*(head.commit for head in self._remembered), *(r.commit for r in records if r.commit is not None)}
        return tuple(self.places[commit] for commit in named if commit in self.places)

    @cached_property
    def policies(self) -> tuple[PolicyEpoch, ...]:
        """
        Every policy along the line, the newest first: each time that its file was changed, or the one with the signers
        that it names. A broken one of the past is passed over.
        """
        found: dict[Commit, PolicyEpoch] = {}
        paths, seen = [POLICY_PATH], {POLICY_PATH}
        while paths:
            path = paths.pop()
            for commit in {step.commit for step in self.world.source.steps(self.line, path)} - found.keys():
                try:
                    policy = self.policy_at(commit) or Policy()
                except ManifestError:
                    continue
                place = self.places[commit]
                found[commit] = PolicyEpoch(place, commit, self.line[place - int(self.ahead)].time, policy)
            named = {epoch.policy.signers_path for epoch in found.values()} - seen - {""}
            paths, seen = [*paths, *sorted(named)], seen | named
        return tuple(sorted(found.values(), key=lambda epoch: epoch.start))

    def standing_before(self, place: int) -> tuple[PolicyEpoch, ...]:
        """
        The policies that stood before the change at a place: one, or none where there was no policy yet, or every one
        before that place where it is not known where the change began.
        """
        known = self.before(place)
        if known is not None:
            return self.standing_at(known)
        distinct = {e.policy.text + e.policy.signers: e for e in self.policies if e.start > place}
        return tuple(distinct.values())

    def standing_at(self, place: int) -> tuple[PolicyEpoch, ...]:
        """The policy as of a place, if there was one."""
        return tuple(islice((epoch for epoch in self.policies if epoch.start >= place), 1))

    def slots_of(self, commit: Commit) -> SlotMap:
        """What stages were in the registry by the policy of a commit itself."""
        place = self.places.get(commit)
        if place is not None:
            return self._slots_at(place)
        try:
            return (self.policy_at(commit) or Policy()).settings.slots
        except ManifestError:
            return self.world.slots

    def _slots_at(self, place: int) -> SlotMap:
        """The same as of a place. What a manifest declared is what it was when it did: no change says otherwise."""
        if place == 0:
            return self.world.slots
        starts, slots = self._slots_along
        return slots[bisect_left(starts, place)]

    @cached_property
    def _slots_along(self) -> tuple[list[int], list[SlotMap]]:
        """Up to which places which stages were in the registry; what is behind the last has none but MLflow's."""
        epochs = self.policies
        return [epoch.start for epoch in epochs], [*(epoch.policy.settings.slots for epoch in epochs), PLAIN]

    @cached_property
    def all_slots(self) -> tuple[SlotMap, ...]:
        """Whatever stages were at some time."""
        return tuple(dict.fromkeys((self.world.slots, PLAIN, *(e.policy.settings.slots for e in self.policies))))

    @cached_property
    def _turns(self) -> tuple[int, ...]:
        """The places at which stages became something else in the registry, the newest first."""
        starts = [epoch.start for epoch in self.policies]
        return tuple(at for at in starts if not self._slots_at(at).reads_like(self._slots_at(at + 1)))

    def _steps(self, *, everywhere: bool) -> Iterator[Step]:
        """
        The commits that changed files; and those by whose policy stages became something else in the registry, as if
        they had changed every file.
        """
        turns = deque(self._turns)
        for step in self._changing(everywhere=everywhere):
            while turns and turns[0] < self.places[step.commit]:
                yield from self._turned(turns.popleft())
            if turns and turns[0] == self.places[step.commit]:
                yield from self._turned(turns.popleft(), step)
            else:
                yield step
        for turn in turns:
            yield from self._turned(turn)

    def _turned(self, place: int, step: Step | None = None) -> Iterator[Step]:
        at = place - int(self.ahead)
        step = step or Step(self.line[at].commit, {}, {})
        files = self.world.source.read(self.line[at + 1].commit).files if at + 1 < len(self.line) else ()
        yield replace(step, before={**{file.path: file.data for file in files}, **step.before})

    def signers_since(self, place: int) -> int | None:
        """The place of the commit that first named signers of records; None where nobody did as of `place`."""
        standing = (epoch for epoch in self.policies if epoch.start >= place)
        naming = list(takewhile(lambda epoch: epoch.policy.names_signers, standing))
        return naming[-1].start if naming else None

    def declared(self, commit: Commit) -> Mapping[ModelRef, Manifest]:
        """What stands as of a commit: what it declares, or where that cannot be read, what the last one before did."""
        place = self.places.get(commit)
        before = () if place is None else islice(self.line, place - int(self.ahead) + 1, None)
        read = next((f for c in (commit, *(one.commit for one in before)) if (f := self._fragments(c)) is not None), ())
        return resolve((*read, *self._in_former_folders(commit)))[0]

    def _in_former_folders(self, commit: Commit) -> Iterable[Manifest]:
        """
        What a commit declares where the registry in hand had its manifests then, if the policy has moved them since:
        nobody loses a hold, a gate or owners on the way.
        """
        here = str(self.world.source.folder)
        if here not in self.standing.folders:
            return
        place = self.places.get(commit)
        then = Policy() if place is None else next((one.policy for one in self.standing_at(place)), Policy().of(""))
        for folder in sorted(then.folders) if here not in then.folders else ():
            parse = self.world.parser(self.slots_of(commit))
            fragments, problems = parse(self.world.source.files_in(commit, folder) or ())
            if not any(problem.severity is Severity.ERROR for problem in problems):
                yield from fragments

    def prepare(self) -> None:
        """Read what every past begins with, while the registry's answers are on their way."""
        self._fragments(self.tip)

    def _fragments(self, commit: Commit) -> tuple[Manifest, ...] | None:
        """What the files of a commit declare; None where some cannot be read."""
        if commit not in self._read:
            parse = self.world.parser(self.slots_of(commit))
            fragments, problems = parse(self.world.source.read(commit).files)
            broken = any(problem.severity is Severity.ERROR for problem in problems)
            self._read[commit] = None if broken else fragments
        return self._read[commit]

    def pasts(
        self, desired: Mapping[ModelRef, Manifest], snapshot: RegistrySnapshot
    ) -> tuple[RegistrySnapshot, Mapping[ModelRef, Past]]:
        """
        The snapshot with its records verified, and what the line says of its models. `desired` are the manifests of the
        revision.
        """
        bare = Past(
            self.ours,
            self.revision.commit,
            self._registry_names(),
            self.world.registry.workspace,
            places=self.places,
            whole=not self.line[-1].cut,
            signers_since=self.signers_since(1),
        )
        models = dict(snapshot.models)
        if bare.signers_since is not None:
            models |= self._verified(
                {name: live for name, live in models.items() if _is_in_place(live, desired.get(name))}, desired, {}
            )
        needs = {name: _need(live, desired.get(name), bare) for name, live in models.items()}
        pasts = self._pasts(bare, needs, desired, models)
        if bare.signers_since is not None:
            unsettled = {name: live for name, live in models.items() if not _is_in_place(live, desired.get(name))}
            models |= self._verified(unsettled, None, pasts)
            bare = self._sealing(bare, models)
            pasts = {name: self._sealing(past, models) for name, past in pasts.items()}
        unknown = {
            name: slots for name, past in pasts.items() if (slots := _unknown(models[name], desired.get(name), past))
        }
        if unknown:
            whole = dict.fromkeys(name for name in unknown if needs[name] is not None)
            pasts |= self._pasts(bare, whole, desired, models)
            if bare.signers_since is not None:
                models |= self._verified({name: models[name] for name in unknown}, None, pasts)
            pasts |= {name: self._adopting(models[name], slots, pasts[name]) for name, slots in unknown.items()}
        moved = {n for n, live in models.items() if pasts[n].governed_elsewhere or _came_from_elsewhere(live, bare)}
        if moved:
            found = self._pasts(bare, dict.fromkeys(moved), desired, models, everywhere=True)
            pasts |= {name: replace(pasts[name], epochs=self._as_seen(past.epochs)) for name, past in found.items()}
        models = {n: _with_unset(live, desired.get(n), pasts[n]) for n, live in models.items()}
        pasts |= {n: replace(pasts[n], heirs=self._last_heirs(n, desired)) for n in pasts.keys() - desired.keys()}
        return RegistrySnapshot(dict(sorted(models.items()))), pasts

    def _sealing(self, past: Past, models: Mapping[ModelRef, ModelSnapshot]) -> Past:
        """With what is known of signatures, by all models whose records were verified."""
        if past.signers_since is None:
            return past
        if self._sealed is None:
            # Once for a command: what it signs itself says nothing of what was signed before.
            records = (r for m in models.values() for v in m.versions.values() for r in v.provenance.values())
            self._sealed = any(record.proven for record in records)
        named = self.line[past.signers_since - int(self.ahead)]
        return replace(past, sealed=self._sealed, signers_time=named.time, signers_changed=self._signers_changed)

    def _pasts(
        self,
        bare: Past,
        needs: Mapping[ModelRef, int | None],
        desired: Mapping[ModelRef, Manifest],
        models: Mapping[ModelRef, ModelSnapshot],
        *,
        everywhere: bool = False,
    ) -> dict[ModelRef, Past]:
        epochs = self._epochs(needs, desired, everywhere=everywhere)
        pasts = {
            name: self._let_in(replace(bare, epochs=epochs[name], declared=desired.get(name)), models[name])
            for name in needs
        }
        return {name: self._as_meant(past, models[name]) for name, past in pasts.items()}

    def _as_meant(self, past: Past, live: ModelSnapshot) -> Past:
        """
        Without what an alias named before it came to stand for a stage whose gates did not guard it until then: what
        was let in there was let in past these.
        """
        newest: dict[AliasName, Epoch] = {}
        lost: set[AliasName] = set()
        epochs: list[Epoch] = []
        for epoch in past.epochs:
            manifest = epoch.manifest
            for alias, declared in manifest.aliases.items() if manifest else ():
                now = newest.get(alias, epoch)
                meant = now.manifest.aliases[alias].stage if now.manifest else ""
                if declared.stage != meant and self._gains_gates(now, epoch, alias_slot(alias), live):
                    lost.add(alias)
                newest[alias] = epoch
            kept = {alias: one for alias, one in manifest.aliases.items() if alias not in lost} if manifest else {}
            epochs.append(replace(epoch, manifest=replace(manifest, aliases=kept)) if manifest and lost else epoch)
        if not lost:
            return past
        elsewhere = past.governed_elsewhere.union(map(alias_slot, lost))
        return replace(past, epochs=tuple(epochs), governed_elsewhere=elsewhere)

    def _let_in(self, past: Past, live: ModelSnapshot) -> Past:
        """
        Without what was before a rename that brought the model before gates which did not guard it under its former
        name: what was let in there was let in past these.
        """
        for number, (now, then) in enumerate(pairwise(past.epochs), 1):
            if now.manifest and then.manifest and now.manifest.name != then.manifest.name:
                governed = frozenset((*now.manifest.slots, *then.manifest.slots, *_occupied(live)))
                if any(self._gains_gates(now, then, slot, live) for slot in governed):
                    first = self.line[-1]
                    none = Epoch(self.places[first.commit], first.commit, first.time, None)
                    epochs, former = (*past.epochs[:number], none), then.manifest.name
                    return replace(past, epochs=epochs, governed_elsewhere=governed, disowned=former)
        return past

    def _gains_gates(self, now: Epoch, then: Epoch, slot: Slot, live: ModelSnapshot) -> bool:
        """
        Whether a gate guards a slot by what it and its model are called now, and did not by what they were called then,
        when that was changed.
        """

        def guards(policy: Policy, epoch: Epoch, manifest: Manifest, formerly: Iterable[ModelRef]) -> tuple[Guard, ...]:
            declared = {**live.tags, **manifest.tag_values}
            slots = self._slots_at(epoch.start)
            return policy.guards(manifest.name, slot, live.tags, declared, formerly=formerly, slots=slots)

        return any(
            guard not in guards(standing.policy, then, then.manifest, then.manifest.former_names)
            for standing in self.standing_before(now.start)
            if now.manifest and then.manifest
            for guard in guards(standing.policy, now, now.manifest, ())
        )

    def _adopting(self, live: ModelSnapshot, slots: frozenset[Slot], past: Past) -> Past:
        """With what tells found from moved by hand: since when slots are guarded, and which other folders declared."""
        # Whoever takes a tag away, in the registry or in git, takes the model out of no rule.
        declared = (epoch.manifest.tag_values for epoch in past.epochs if epoch.manifest)
        tags = [live.tags, *({**live.tags, **one} for one in declared)]
        former = _names(past, live.name)
        guarded = {
            slot: [
                min(e.since, self.seen(e.start))
                for e in self.policies
                if e.policy.guards(live.name, slot, *tags, formerly=former, slots=self.world.slots)
            ]
            for slot in slots
        }
        since = {slot: min(times) for slot, times in guarded.items() if times}
        elsewhere = self._declared_elsewhere(live.name) | past.governed_elsewhere
        if self.doubted is not None:
            manifest = past.epochs[0].manifest
            epochs = self.doubted._epochs({live.name: None}, {} if manifest is None else {live.name: manifest})
            elsewhere |= _governed_otherwise(live, slots, replace(past, epochs=epochs[live.name]))
        return replace(
            past, epochs=self._as_seen(past.epochs), guarded_since=since, governed_elsewhere=slots & elsewhere
        )

    def _as_seen(self, epochs: Iterable[Epoch]) -> tuple[Epoch, ...]:
        """With no later time than that at which an apply first saw them."""
        return tuple(replace(epoch, since=min(epoch.since, self.seen(epoch.start))) for epoch in epochs)

    def _declared_elsewhere(self, name: ModelRef) -> frozenset[Slot]:
        """The slots of a model that manifests in another folder of the repository declare, or did once."""
        found: set[Slot] = set()
        for path, data in self._elsewhere:
            if _may_name(data, {name}):
                for slots in self.all_slots:
                    for fragment in self._parsed(path, data, slots) or ():
                        if fragment.name == name:
                            found.update(fragment.slots)
        return frozenset(found)

    @cached_property
    def _elsewhere(self) -> tuple[tuple[str, bytes], ...]:
        """Every YAML file outside of our folder that ever was on the line."""
        if str(self.world.source.folder) == ".":
            return ()
        return tuple(
            (path, data)
            for step in self._changing(everywhere=True, elsewhere=True)
            for path, data in chain(step.before.items(), step.after.items())
            if data is not None
        )

    def _changing(self, *, everywhere: bool, elsewhere: bool = False) -> Iterable[Step]:
        """
        The commits that changed files of our folder, or of any, or of any other; without those of another registry's
        folder that never was ours: a model of the same name there is another one.
        """
        steps = self.world.source.steps(self.line, "" if everywhere else None, elsewhere=elsewhere)
        if not everywhere:
            return steps
        ours = frozenset(chain.from_iterable(epoch.policy.folders for epoch in self.policies if epoch.start >= 1))
        others = tuple(f"{folder}/" for folder in self.standing.others - ours)
        if not others:
            return steps
        here = f"{self.world.source.folder}/"

        def kept(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
            return {p: data for p, data in files.items() if p.startswith(here) or not p.startswith(others)}

        return (replace(step, before=kept(step.before), after=kept(step.after)) for step in steps)

    def history(self, name: ModelRef, desired: Mapping[ModelRef, Manifest]) -> tuple[Epoch, ...]:
        """All that the line ever declared of a model, the newest first."""
        return self.histories((name,), desired)[name]

    def histories(
        self, names: Iterable[ModelRef], desired: Mapping[ModelRef, Manifest], *, everywhere: bool = False
    ) -> Mapping[ModelRef, tuple[Epoch, ...]]:
        """The same of several, by one walk; `everywhere` in other folders of the repository, too."""
        return self._epochs(dict.fromkeys(names), desired, everywhere=everywhere)

    @cached_property
    def names(self) -> frozenset[ModelRef]:
        """Every name by which the line ever declared a model, as far as the clone reaches back."""
        found = {fragment.name for fragment in self._fragments(self.tip) or ()}
        for step in self.world.source.steps(self.line, None):
            for path, data in step.before.items():
                found.update((self._part(path, data, self.world.slots) if data else None) or ())
        return frozenset(found)

    def heirs(self, name: ModelRef, desired: Mapping[ModelRef, Manifest]) -> Mapping[int, ModelRef]:
        """The models that a name was given up for, by the places of the commits that did so, as `histories` found."""
        found: dict[int, ModelRef] = {}
        for place, heir in self._heirs.get(name, {}).items():
            epochs = self.history(heir, desired)
            if any(
                now.start == place and then.manifest is not None and then.manifest.name == name
                for now, then in pairwise(epochs)
            ):
                found[place] = heir
        return found

    def _last_heirs(self, name: ModelRef, desired: Mapping[ModelRef, Manifest]) -> frozenset[ModelRef]:
        """The models that a name which is declared no more was last given up for, and those they were renamed to."""
        found, left = set[ModelRef](), [name]
        while left:
            one = left.pop()
            epochs = self.history(one, desired)
            heir = self.heirs(one, desired).get(epochs[0].start) if epochs and epochs[0].manifest is None else None
            if heir is not None and heir not in found:
                found.add(heir)
                left.append(heir)
        return frozenset(found)

    def _epochs(
        self,
        needs: Mapping[ModelRef, int | None],
        desired: Mapping[ModelRef, Manifest],
        *,
        everywhere: bool = False,
    ) -> dict[ModelRef, tuple[Epoch, ...]]:
        """
        Each model's epochs, back to beyond the place that it needs (None: to the first commit). A model that a commit
        first declares, and calls what it gave up by the same commit, goes on under its former name. `everywhere`
        follows a model that came from another folder of the repository. What was read so far back is not read again.
        """

        def is_read(name: ModelRef, need: int | None) -> bool:
            back, _ = self._walked.get((name, everywhere), (-1, ()))
            return back is None or (need is not None and need <= back)

        unread = {name: need for name, need in needs.items() if not is_read(name, need)}
        for name, epochs in self._walk(unread, desired, everywhere=everywhere).items() if unread else ():
            self._walked[name, everywhere] = unread[name], epochs
        return {name: self._walked[name, everywhere][1] for name in needs}

    def _walk(
        self, needs: Mapping[ModelRef, int | None], desired: Mapping[ModelRef, Manifest], *, everywhere: bool
    ) -> dict[ModelRef, tuple[Epoch, ...]]:
        found: dict[ModelRef, list[Epoch]] = {name: [] for name in needs}
        files = _Declared(_by_file(self._fragments(self.tip) or ()))
        called = _Called(needs)
        mended: dict[str, LineCommit] = {}
        due = deque(sorted((need, name) for name, need in needs.items() if need is not None))
        if self.ahead:
            proposed = _Declared({"": {name: (manifest,) for name, manifest in desired.items()}})
            for name, epochs in found.items():
                epochs.append(Epoch(0, self.revision.commit, FOREVER, desired.get(name)))
                self._inherit(0, name, proposed, files.has)
                called.name(name, _name_before(name, proposed, files.has))

        def close(name: ModelRef, one: LineCommit) -> None:
            manifest = resolve(files.of(called.names[name]))[0].get(called.names[name])
            found[name].append(Epoch(self.places[one.commit], one.commit, one.time, manifest))

        for step in self._steps(everywhere=everywhere) if needs else ():
            one = self.line[self.places[step.commit] - int(self.ahead)]
            now, then = (self._slots_at(self.places[step.commit] + back) for back in (0, 1))
            self._look_at_others(step.after if everywhere else {}, files, called.names.keys(), now)
            while due and due[0][0] < self.places[step.commit]:
                _, name = due.popleft()
                close(name, one)
                called.drop(name)
            if not called.names:
                break
            older = self._before(step, called.by.keys(), then)
            changed: dict[str, LineCommit] = {}
            for path in step.before:
                # What is declared since a file could not be read, was declared when it could be read again.
                since_then = mended.setdefault(path, one)
                if path in older:
                    changed[path] = since_then
                    del mended[path]
            differing, was_there = files.differing(older, called.by.keys()), files.before(older)
            if formers := files.formers(key for key in differing if not was_there(key)):
                files.learn(formers, partial(self._part, slots=now))
                older |= self._before(step, formers | called.by.keys(), then)
                was_there = files.before(older)
            renamed = dict[ModelRef, ModelRef]()
            for key, paths in differing.items():
                since = min((changed[path] for path in paths), key=lambda commit: self.places[commit.commit])
                self._inherit(self.places[since.commit], key, files, was_there)
                for name in called.by[key]:
                    close(name, since)
                    renamed[name] = _name_before(key, files, was_there)
            for name, key in renamed.items():
                called.name(name, key)
            for path, was in older.items():
                if isinstance(was, bytes):
                    files.leave(path, was)
                else:
                    files.put(path, was)
        for name in called.names:
            close(name, self.line[-1])
        return {name: tuple(epochs) for name, epochs in found.items()}

    def _inherit(self, place: int, name: ModelRef, after: _Declared, was_there: Callable[[ModelRef], bool]) -> None:
        """Note which other model may have been given a name that a change gave up."""
        if was_there(name) and not after.has(name) and after.claims[name] == 1:
            self._heirs.setdefault(name, {})[place] = after.claimant(name)

    def _look_at_others(
        self, after: Mapping[str, bytes | None], files: _Declared, names: Set[ModelRef], slots: SlotMap
    ) -> None:
        """Learn of files that no newer commit changed, as a commit left them."""
        for path, data in after.items():
            if path not in files.parts:
                if data and not _may_name(data, names):
                    files.leave(path, data)
                else:
                    files.put(path, (self._part(path, data, slots) if data else None) or {})

    def _before(self, step: Step, names: Set[ModelRef], slots: SlotMap) -> dict[str, _Part | bytes]:
        """
        What the files that a commit changed declared before it, or the file itself where it names none of some models;
        nothing of those that cannot be read.
        """
        found: dict[str, _Part | bytes] = {}
        for path, data in step.before.items():
            if data is None:
                found[path] = {}
            elif not _may_name(data, names):
                found[path] = data
            elif (read := self._part(path, data, slots)) is not None:
                found[path] = read
        return found

    def _part(self, path: str, data: bytes, slots: SlotMap) -> _Part | None:
        """What a file declared of each model; None where it could not be read."""
        read = self._parsed(path, data, slots)
        return None if read is None else _by_model(read)

    def _parsed(self, path: str, data: bytes, slots: SlotMap) -> tuple[Manifest, ...] | None:
        """What a file declared; None where it could not be read. Then it was never applied."""
        fragments, problems = self.world.parser(slots)([SourceFile(path, data)])
        return None if any(problem.severity is Severity.ERROR for problem in problems) else fragments

    def verified(
        self, models: Mapping[ModelRef, ModelSnapshot], pasts: Mapping[ModelRef, Past]
    ) -> Mapping[ModelRef, ModelSnapshot]:
        """With all of their records verified."""
        return self._verified(models, None, pasts)

    def _verified(
        self,
        models: Mapping[ModelRef, ModelSnapshot],
        desired: Mapping[ModelRef, Manifest] | None,
        pasts: Mapping[ModelRef, Past],
    ) -> dict[ModelRef, ModelSnapshot]:
        """
        With their records verified: all of them, or those of what is declared where it is. A record is of a model by
        any name that it has in its past.
        """
        claims: list[tuple[ModelRef, Placement]] = []
        for name, live in models.items():
            for number, version in live.versions.items():
                for slot, record in version.provenance.items():
                    wanted = desired is None or number in declared_versions(desired.get(name), slot, live)
                    if wanted and record.seal is not None and record.identity == version.identity:
                        claims.extend((called, record) for called in _names(pasts.get(name), name))
        good = self._sealed_by(claims, self.standing.signers)
        once = dict.fromkeys(line for epoch in self.policies for line in lines_of(epoch.policy.signers))
        retired = self._sealed_by([claim for claim in claims if id(claim[1]) not in good], "\n".join(once))

        def judged(record: Placement) -> Placement:
            return replace(record, proven=id(record) in good, retired=id(record) in retired)

        def of(version: VersionSnapshot) -> VersionSnapshot:
            return replace(version, provenance={slot: judged(r) for slot, r in version.provenance.items()})

        return {n: replace(m, versions={v: of(one) for v, one in m.versions.items()}) for n, m in models.items()}

    def _sealed_by(self, claims: Sequence[tuple[ModelRef, Placement]], signers: str) -> frozenset[int]:
        """Which of these records, by their ids, a key signed that an allowed-signers text lists for records."""
        if self.world.seals is None or not claims:
            return frozenset()
        signed = [(signed_bytes(name, r), r.seal, r.applied_at) for name, r in claims if r.seal is not None]
        proofs = self.world.seals.verified(signed, signers)
        return frozenset(id(record) for (_, record), proven in zip(claims, proofs, strict=True) if proven)

    @cached_property
    def _signers_changed(self) -> int:
        """When a line of those who sign records was last taken away or changed; seconds since 1970."""
        epochs = [epoch for epoch in self.policies if epoch.start >= 1]
        lines = [frozenset(listed_for(RECORDS, epoch.policy.signers)) for epoch in epochs]
        older = zip(epochs, lines, lines[1:], strict=False)
        return next((epoch.since for epoch, now, before in older if before - now), 0)

    @cached_property
    def ours(self) -> Ours:
        """
        The repository by its name, and by those that it had, by the policy that stood before the change in hand: by
        every one that may have, where it is not known where that began.
        """
        standing = [epoch.policy.settings.formerly for epoch in self.standing_before(0)]
        named = standing[0] if standing else ()
        known = tuple(name for name in named if all(name in names for names in standing))
        return Ours(self.revision.repository, known, self.places)

    def _registry_names(self) -> tuple[str, ...]:
        """What the registry in hand is called: by its address, or by all that the policy says lead to it."""
        return names_of(self.world.registry.uri, self.standing.settings.registry_names)

    @property
    def standing(self) -> Policy:
        """The policy that stands before the revision."""
        return next((epoch.policy for epoch in self.policies if epoch.start >= 1), Policy())


def _by_file(fragments: Iterable[Manifest]) -> dict[str, _Part]:
    found: dict[str, list[Manifest]] = {}
    for fragment in fragments:
        found.setdefault(fragment.model.at.path, []).append(fragment)
    return {path: _by_model(some) for path, some in found.items()}


def _by_model(fragments: Iterable[Manifest] | None) -> dict[ModelRef, tuple[Manifest, ...]]:
    found: dict[ModelRef, tuple[Manifest, ...]] = {}
    for fragment in fragments or ():
        found[fragment.name] = (*found.get(fragment.name, ()), fragment)
    return found


def _occupied(live: ModelSnapshot) -> Iterable[Slot]:
    """The slots in which consumers find something, whether or not anybody declared it."""
    stages = {version.stage.slot for version in live.versions.values() if version.stage.active}
    return (*sorted(stages), *map(alias_slot, sorted(live.aliases)))


def _came_from_elsewhere(live: ModelSnapshot, bare: Past) -> bool:
    """Whether a record speaks of another folder of the repository."""
    records = (r for version in live.versions.values() for r in version.provenance.values())
    return any(bare.is_ours(record) and not bare.ours.has_folder(record.repository) for record in records)


def _name_before(name: ModelRef, after: _Declared, was_there: Callable[[ModelRef], bool]) -> ModelRef:
    """
    What a model was called before a change of the manifests: something else only if that one is the first to declare
    it, calls another name its former one, as nothing else does, and gives that one up.
    """
    if was_there(name):
        return name
    formers = chain.from_iterable(fragment.former_names for fragment in after.of(name))
    return next((f for f in formers if was_there(f) and not after.has(f) and after.claims[f] == 1), name)


def _names(past: Past | None, name: ModelRef) -> frozenset[ModelRef]:
    """The names of a model, as far back as its past goes."""
    return frozenset((name, *(epoch.manifest.name for epoch in (past.epochs if past else ()) if epoch.manifest)))


def _is_in_place(live: ModelSnapshot, manifest: Manifest | None) -> bool:
    """Whether every slot that is, or was, governed holds just what is declared for it."""
    if manifest is None:
        return False
    declared = set(manifest.slots)
    governed = set[Slot]()
    if isinstance(live.owner, Ownership):
        governed = {*(stage.slot for stage in live.owner.stages), *map(alias_slot, live.owner.aliases)}
    return governed <= declared and all(
        declared_versions(manifest, slot, live) == frozenset(occupants(live, slot))
        and not any(_is_to_be_made(pin, live) for pin in pins_of(manifest, slot))
        for slot in declared
    )


def _is_to_be_made(pin: Pin, live: ModelSnapshot) -> bool:
    """Whether no version is made yet of what a pin names."""
    return pin.origin is not None and not any(map(pin.means, live.versions.values()))


def _need(live: ModelSnapshot, manifest: Manifest | None, bare: Past) -> int | None:
    """How far back the line must be read to see whether all that is in place was put there; None: to its end."""
    if live.called is not None or not _is_in_place(live, manifest):
        return None
    if any(undeclared_tags(manifest, version) for version in live.versions.values()):
        return None
    places = [
        bare.place_of(live.versions[number].provenance.get(slot), live.versions[number])
        for slot, number in in_place(manifest, live)
    ]
    return max((place for place in places if place is not None), default=0) if None not in places else None


def _with_unset(live: ModelSnapshot, manifest: Manifest | None, past: Past) -> ModelSnapshot:
    """
    With those tags marked that are to be removed by the word of our record, and that no manifest of trusted history
    sets: where records are in a ref, whoever can push refs may have written it.
    """
    unset: dict[Version, frozenset[str]] = {}
    for number, version in live.versions.items():
        left = undeclared_tags(manifest, version)
        for epoch in past.epochs if left else ():
            left &= undeclared_tags(epoch.manifest, version)
        if left:
            unset[number] = left
    if not unset:
        return live
    versions = {n: replace(v, unset=unset.get(n, frozenset())) for n, v in live.versions.items()}
    return replace(live, versions=versions)


def _unknown(live: ModelSnapshot, manifest: Manifest | None, past: Past) -> frozenset[Slot]:
    """The slots with something in place that no record explains."""
    return frozenset(slot for slot, number in in_place(manifest, live) if not past.held(live, slot, number))


def _governed_otherwise(live: ModelSnapshot, slots: Iterable[Slot], past: Past) -> frozenset[Slot]:
    """The slots that something else than what is in them was declared for before."""
    return frozenset(
        slot for slot in slots for version in occupants(live, slot) if governed_otherwise(live, slot, version, past)
    )


def _may_name(data: bytes, names: Collection[ModelRef]) -> bool:
    """
    Whether a YAML file may declare one of some models. A name stands in it as it is, unless it is spelled by escapes,
    has quotes in it, or is folded where it has spaces.
    """
    if b"\\" in data:
        return True
    if len(names) > FEW_NAMES:
        # Of thousands of names, one by one, most files have one among their words.
        words = set(re.split(r"[\s\[\]{},\"']+", data.decode("utf-8", "surrogateescape")))
        if not words.isdisjoint(names):
            return True
    return any(set(" '\"") & set(name) or name.encode() in data for name in names)
