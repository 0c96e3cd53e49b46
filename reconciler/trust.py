"""
The trusted side: the line of commits that a revision stands on, the policies that stood along it, and what it says of a
model's past. Read lazily, and no further back than it takes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice, takewhile
from typing import TypeAlias

from reconciler.core.desired import Manifest, Revision, resolve
from reconciler.core.entrances import occupants
from reconciler.core.names import ACTIVE_STAGES, Commit, ModelName, Slot, Version, alias_slot, names_of
from reconciler.core.past import FOREVER, Epoch, Past, declared_versions
from reconciler.core.policy import RECORDS, Policy, listed_for
from reconciler.core.snapshot import (
    ModelSnapshot,
    Ownership,
    Placement,
    RegistrySnapshot,
    VersionSnapshot,
    signed_bytes,
)
from reconciler.errors import LockError, ManifestError, ReconcilerError, Severity
from reconciler.ports import LineCommit, SourceFile, World

POLICY_PATH = "reconciler.yaml"

PolicyAt: TypeAlias = Callable[[str | None], Policy | None]
"""The policy of a commit, or of the work tree; None where there is none. Raises ManifestError for a broken one."""


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
    The first parents of the protected branch, as seen from a revision. `ahead` says that the revision is not on it yet:
    a change under review, or a work tree; it then has place 0, and `tip` place 1.
    """

    world: World
    policy_at: PolicyAt
    revision: Revision
    tip: Commit
    ahead: bool
    _read: dict[Commit, tuple[Manifest, ...] | None] = field(default_factory=dict[Commit, tuple[Manifest, ...] | None])

    _sealed: bool | None = None

    @cached_property
    def line(self) -> tuple[LineCommit, ...]:
        return self.world.source.first_parents(self.tip)

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
                f"This clone does not go back beyond {self.line[-1].commit[:12]}: what was before is not known.",
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
        return next((p for c, p in self.places.items() if p > place and c in self._heads), None)

    def end(self, place: int) -> int:
        """The place of the last commit of the change that a commit belongs to: what came to an apply with it."""
        later = [p for c, p in self.places.items() if p <= place and c in self._heads]
        return max(later, default=0)

    @cached_property
    def _heads(self) -> frozenset[Commit]:
        """Commits that an apply is known to have begun with. To know of none makes changes longer, never shorter."""
        try:
            return self.world.memory.heads() if self.world.memory else frozenset()
        except LockError:
            return frozenset()

    def hints(self, snapshot: RegistrySnapshot) -> tuple[int, ...]:
        """The places of commits that somebody applied, as far as records and the lock's memory say."""
        versions = chain.from_iterable(live.versions.values() for live in snapshot.models.values())
        records = chain.from_iterable(version.provenance.values() for version in versions)
        named = {*self._heads, *(r.commit for r in records if r.commit is not None)}
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
            for commit in {step.commit for step in self.world.source.steps(self.tip, path)} - found.keys():
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

    def signers_since(self, place: int) -> int | None:
        """The place of the commit that first named signers of records; None where nobody did as of `place`."""
        standing = (epoch for epoch in self.policies if epoch.start >= place)
        naming = list(takewhile(lambda epoch: epoch.policy.names_signers, standing))
        return naming[-1].start if naming else None

    def declared(self, commit: Commit) -> Mapping[ModelName, Manifest]:
        """What stands as of a commit: what it declares, or where that cannot be read, what the last one before did."""
        place = self.places.get(commit)
        before = () if place is None else islice(self.line, place - int(self.ahead) + 1, None)
        read = next((f for c in (commit, *(one.commit for one in before)) if (f := self._fragments(c)) is not None), ())
        return resolve(read)[0]

    def _fragments(self, commit: Commit) -> tuple[Manifest, ...] | None:
        """What the files of a commit declare; None where some cannot be read."""
        if commit not in self._read:
            fragments, problems = self.world.parse(self.world.source.read(commit).files)
            broken = any(problem.severity is Severity.ERROR for problem in problems)
            self._read[commit] = None if broken else fragments
        return self._read[commit]

    def pasts(
        self, desired: Mapping[ModelName, Manifest], snapshot: RegistrySnapshot
    ) -> tuple[RegistrySnapshot, Mapping[ModelName, Past]]:
        """
        The snapshot with its records verified, and what the line says of its models. `desired` are the manifests of the
        revision.
        """
        bare = Past(
            self.world.source.identity,
            self.revision.commit,
            self._registry_names(),
            self.world.registry.workspace,
            places=self.places,
            whole=not self.line[-1].cut,
            signers_since=self.signers_since(1),
        )
        models = dict(snapshot.models)
        if bare.signers_since is not None:
            settled = {name for name, live in models.items() if _is_in_place(live, desired.get(name))}
            models = self._verified({n: m for n, m in models.items() if n in settled}, desired) | self._verified(
                {n: m for n, m in models.items() if n not in settled}, None
            )
            if self._sealed is None:
                # Once for a command: what it signs itself says nothing of what was signed before.
                records = (r for m in models.values() for v in m.versions.values() for r in v.provenance.values())
                self._sealed = any(record.proven for record in records)
            named = self.line[bare.signers_since - int(self.ahead)]
            bare = replace(bare, sealed=self._sealed, signers_time=named.time, signers_changed=self._signers_changed())
        needs = {name: _need(live, desired.get(name), bare) for name, live in models.items()}
        epochs = self._epochs(needs, desired)
        pasts = {name: replace(bare, epochs=epochs[name]) for name in models}
        unknown = {
            name: slots for name, past in pasts.items() if (slots := _unknown(models[name], desired.get(name), past))
        }
        if unknown:
            if bare.signers_since is not None:
                models = models | self._verified({name: models[name] for name in unknown}, None)
            whole = self._epochs(dict.fromkeys(n for n in unknown if needs[n] is not None), desired)
            pasts |= {name: replace(bare, epochs=epochs) for name, epochs in whole.items()}
            pasts |= {name: self._adopting(models[name], slots, pasts[name]) for name, slots in unknown.items()}
        moved = {n for n, live in models.items() if pasts[n].governed_elsewhere or _came_from_elsewhere(live, bare)}
        for name, epochs in (self._epochs(dict.fromkeys(moved), desired, everywhere=True) if moved else {}).items():
            pasts[name] = replace(pasts[name], epochs=epochs)
        return RegistrySnapshot(dict(sorted(models.items()))), pasts

    def _adopting(self, live: ModelSnapshot, slots: frozenset[Slot], past: Past) -> Past:
        """With what tells found from moved by hand: since when slots are guarded, and which other folders declared."""
        # Whoever takes a tag away, in the registry or in git, takes the model out of no rule.
        declared = [epoch.manifest.tags.items() for epoch in past.epochs if epoch.manifest]
        tags = [live.tags, *({**live.tags, **{key: tag.value for key, tag in one}} for one in declared)]
        since = {
            slot: min(times)
            for slot in slots
            if (times := [e.since for e in self.policies if e.policy.guards(live.name, slot, *tags)])
        }
        elsewhere = self._declared_elsewhere(live.name)
        return replace(past, guarded_since=since, governed_elsewhere=slots & elsewhere)

    def _declared_elsewhere(self, name: ModelName) -> frozenset[Slot]:
        """The slots of a model that manifests in another folder of the repository declare, or did once."""
        found: set[Slot] = set()
        for path, data in self._elsewhere:
            if _may_name(data, {name}):
                for fragment in self._parsed(path, data) or ():
                    if fragment.name == name:
                        found.update(fragment.stages)
                        found.update(map(alias_slot, fragment.aliases))
        return frozenset(found)

    @cached_property
    def _elsewhere(self) -> tuple[tuple[str, bytes], ...]:
        """Every YAML file outside of our folder that ever was on the line."""
        here = f"{self.world.source.folder}/"
        return tuple(
            (path, data)
            for step in self.world.source.steps(self.tip, "")
            for path, data in chain(step.before.items(), step.after.items())
            if data is not None and here != "./" and not path.startswith(here)
        )

    def history(self, name: ModelName, desired: Mapping[ModelName, Manifest]) -> tuple[Epoch, ...]:
        """All that the line ever declared of a model, the newest first."""
        return self._epochs({name: None}, desired)[name]

    def _epochs(
        self, needs: Mapping[ModelName, int | None], desired: Mapping[ModelName, Manifest], *, everywhere: bool = False
    ) -> dict[ModelName, tuple[Epoch, ...]]:
        """
        Each model's epochs, back to beyond the place that it needs (None: to the first commit). `everywhere` follows a
        model that came from another folder of the repository.
        """
        found: dict[ModelName, list[Epoch]] = {name: [] for name in needs}
        if self.ahead:
            for name, epochs in found.items():
                epochs.append(Epoch(0, self.revision.commit, FOREVER, desired.get(name)))
        parts: dict[str, dict[ModelName, tuple[Manifest, ...]]] = {}
        mended: dict[str, LineCommit] = {}
        for fragment in (self._fragments(self.tip) or ()) if needs else ():
            beside = parts.setdefault(fragment.model.at.path, {})
            beside[fragment.name] = (*beside.get(fragment.name, ()), fragment)
        open_ends = dict(needs)

        def close(name: ModelName, one: LineCommit) -> None:
            own = [fragment for path in sorted(parts) for fragment in parts[path].get(name, ())]
            manifest = resolve(own)[0].get(name)
            found[name].append(Epoch(self.places[one.commit], one.commit, one.time, manifest))

        for step in self.world.source.steps(self.tip, "" if everywhere else None) if open_ends else ():
            one = self.line[self.places[step.commit] - int(self.ahead)]
            for path, data in step.after.items() if everywhere else ():
                if path not in parts:
                    read = None if data is None or not _may_name(data, open_ends) else self._parsed(path, data)
                    parts[path] = {n: tuple(f for f in read if f.name == n) for n in open_ends} if read else {}
            for name in [n for n, need in open_ends.items() if need is not None and need < self.places[step.commit]]:
                close(name, one)
                del open_ends[name]
            if not open_ends:
                break
            older: dict[str, dict[ModelName, tuple[Manifest, ...]]] = {}
            changed: dict[str, LineCommit] = {}
            for path, data in step.before.items():
                names = parts.get(path, {}).keys() | open_ends.keys()
                if data is None or not _may_name(data, names):
                    older[path] = {}
                elif (read := self._parsed(path, data)) is not None:
                    older[path] = {n: tuple(f for f in read if f.name == n) for n in {f.name for f in read}}
                else:
                    # What is declared since was declared when the file could be read again.
                    mended.setdefault(path, one)
                    continue
                changed[path] = mended.pop(path, one)
            for name in open_ends:
                since = [changed[path] for path, was in older.items() if parts.get(path, {}).get(name) != was.get(name)]
                if since:
                    close(name, min(since, key=lambda commit: self.places[commit.commit]))
            parts.update(older)
        for name in open_ends:
            close(name, self.line[-1])
        return {name: tuple(epochs) for name, epochs in found.items()}

    def _parsed(self, path: str, data: bytes) -> tuple[Manifest, ...] | None:
        """What a file declared; None where it could not be read. Then it was never applied."""
        fragments, problems = self.world.parse([SourceFile(path, data)])
        return None if any(problem.severity is Severity.ERROR for problem in problems) else fragments

    def _verified(
        self, models: Mapping[ModelName, ModelSnapshot], desired: Mapping[ModelName, Manifest] | None
    ) -> dict[ModelName, ModelSnapshot]:
        """With their records verified: all of them, or those of what is declared where it is."""
        claims: list[tuple[ModelName, Placement]] = []
        for name, live in models.items():
            for number, version in live.versions.items():
                for slot, record in version.provenance.items():
                    wanted = desired is None or number in declared_versions(desired.get(name), slot, live)
                    if wanted and record.seal is not None and record.identity == version.identity:
                        claims.append((name, record))
        good = self._sealed_by(claims, listed_for(RECORDS, self.standing.signers))
        once = {line for epoch in self.policies for line in listed_for(RECORDS, epoch.policy.signers)}
        retired = self._sealed_by([claim for claim in claims if id(claim[1]) not in good], sorted(once))

        def judged(record: Placement) -> Placement:
            return replace(record, proven=id(record) in good, retired=id(record) in retired)

        def of(version: VersionSnapshot) -> VersionSnapshot:
            return replace(version, provenance={slot: judged(r) for slot, r in version.provenance.items()})

        return {n: replace(m, versions={v: of(one) for v, one in m.versions.items()}) for n, m in models.items()}

    def _sealed_by(self, claims: Sequence[tuple[ModelName, Placement]], lines: Iterable[str]) -> frozenset[int]:
        """Which of these records, by their ids, a key of these lines signed."""
        if self.world.seals is None or not claims:
            return frozenset()
        signed = [(signed_bytes(name, r), r.seal, r.applied_at) for name, r in claims if r.seal is not None]
        proofs = self.world.seals.verified(signed, "\n".join(lines))
        return frozenset(id(record) for (_, record), proven in zip(claims, proofs, strict=True) if proven)

    def _signers_changed(self) -> int:
        """When a line of those who sign records was last taken away or changed; seconds since 1970."""
        epochs = [epoch for epoch in self.policies if epoch.start >= 1]
        lines = [frozenset(listed_for(RECORDS, epoch.policy.signers)) for epoch in epochs]
        older = zip(epochs, lines, lines[1:], strict=False)
        return next((epoch.since for epoch, now, before in older if before - now), 0)

    def _registry_names(self) -> tuple[str, ...]:
        """What the registry in hand is called: by its address, or by all that the policy says lead to it."""
        return names_of(self.world.registry.uri, self.standing.settings.registry_names)

    @property
    def standing(self) -> Policy:
        """The policy that stands before the revision."""
        return next((epoch.policy for epoch in self.policies if epoch.start >= 1), Policy())


def _came_from_elsewhere(live: ModelSnapshot, bare: Past) -> bool:
    """Whether a record speaks of another folder of the repository."""
    records = (r for version in live.versions.values() for r in version.provenance.values())
    return any(record.repository != bare.repository and bare.is_ours(record) for record in records)


def _is_in_place(live: ModelSnapshot, manifest: Manifest | None) -> bool:
    """Whether every slot that is, or was, governed holds just what is declared for it."""
    if manifest is None:
        return False
    declared = {*(s.value for s in ACTIVE_STAGES if s in manifest.stages), *map(alias_slot, manifest.aliases)}
    governed = set[Slot]()
    if isinstance(live.owner, Ownership):
        governed = {*(stage.value for stage in live.owner.stages), *map(alias_slot, live.owner.aliases)}
    return governed <= declared and all(
        declared_versions(manifest, slot, live) == frozenset(occupants(live, slot)) for slot in declared
    )


def _need(live: ModelSnapshot, manifest: Manifest | None, bare: Past) -> int | None:
    """How far back the line must be read to see whether all that is in place was put there; None: to its end."""
    if not _is_in_place(live, manifest):
        return None
    places = [
        bare.place_of(live.versions[number].provenance.get(slot), live.versions[number])
        for slot, number in _pinned(live, manifest)
    ]
    return max((place for place in places if place is not None), default=0) if None not in places else None


def _unknown(live: ModelSnapshot, manifest: Manifest | None, past: Past) -> frozenset[Slot]:
    """The slots with something in place that no record explains."""
    return frozenset(slot for slot, number in _pinned(live, manifest) if not past.held(live, slot, number))


def _pinned(live: ModelSnapshot, manifest: Manifest | None) -> Iterator[tuple[Slot, Version]]:
    """What is declared for a slot and in it."""
    if manifest is None:
        return
    for slot in (*(s.value for s in ACTIVE_STAGES if s in manifest.stages), *map(alias_slot, sorted(manifest.aliases))):
        there = live.versions.keys() & set(occupants(live, slot))
        yield from ((slot, number) for number in sorted(declared_versions(manifest, slot, live) & there))


def _may_name(data: bytes, names: Iterable[ModelName]) -> bool:
    """
    Whether a YAML file may declare one of some models. A name stands in it as it is, unless it is spelled by escapes,
    has quotes in it, or is folded where it has spaces.
    """
    return b"\\" in data or any(set(" '\"") & set(name) or name.encode() in data for name in names)
