"""
What versions were copied from. A copy has its original's identity: what is known of that counts for it, before the copy
is made and after, as far as MLflow's own fields show that it is one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler.core.bundle import FileDigest
from reconciler.core.changes import CreateModel, copies_in, simulate_all
from reconciler.core.desired import DesiredState, Manifest, Pin, Source
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import CheckFacts, Presence
from reconciler.core.limits import COPIES_OF_COPIES
from reconciler.core.names import ModelRef, Original, Slot, Version, name_there, registry_of
from reconciler.core.past import Past, named_since, pins_of
from reconciler.core.plan import Plan
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.errors import Failure, ReconcilerError, contained
from reconciler.neighbors import declared_beside, neighbor_of
from reconciler.ports import Asked, Checks, Clock, EvidenceSource, Wanted, World
from reconciler.trust import Trunk


def as_copied(plan: Plan, snapshot: RegistrySnapshot) -> RegistrySnapshot:
    """The registry with the copies that a plan makes: gates judge them as what they will be."""
    models = dict(snapshot.models)
    for model in plan.models:
        copies = copies_in(model.changes)
        made = (change for change in model.changes if isinstance(change, CreateModel) or change in copies)
        live = simulate_all(models.get(model.model), made) if copies else None
        if live is not None:
            models[model.model] = live
    return RegistrySnapshot(dict(sorted(models.items())))


def with_originals(world: World, plan: Plan) -> World:
    """The world, in which what is known of the copies that a plan makes is what is known of their originals."""
    changes = (change for model in plan.models for change in copies_in(model.changes))
    originals = {(change.model, change.version): change.original for change in changes if change.original is not None}
    if not originals:
        return world
    evidence, checks = world.evidence, world.checks
    return replace(
        world,
        evidence=evidence and _EvidenceOfOriginals(evidence, originals, world.clock),
        checks=checks and _ChecksOfOriginals(checks, originals),
    )


@dataclass(frozen=True, slots=True)
class _EvidenceOfOriginals:
    source: EvidenceSource
    originals: Mapping[tuple[ModelRef, Version], Original]
    clock: Clock

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        asked_as = {one: self._asked_as(one) for one in asked}
        found = self.source.gather(asked_as.values())
        return {
            one: found[other] if one == other else self._of_copy(one, found[other])
            for one, other in asked_as.items()
            if other in found
        }

    def _asked_as(self, one: Asked) -> Asked:
        original = self.originals.get((one.model, one.version))
        return one if original is None else replace(one, model=original.model, version=original.version)

    def _of_copy(self, one: Asked, facts: VersionFacts) -> VersionFacts:
        """What is written on a version itself, a copy does not take along; and it is registered when it is made."""
        bare = replace(facts, model=one.model, version=one.version, description="", tags={}, url="")
        return replace(bare, created_at=self.clock.now(), staged_at="", staged_until="")


@dataclass(frozen=True, slots=True)
class _ChecksOfOriginals:
    source: Checks
    originals: Mapping[tuple[ModelRef, Version], Original]

    def _of(self, model: ModelRef, version: Version) -> tuple[ModelRef, Version]:
        original = self.originals.get((model, version))
        return (model, version) if original is None else (original.model, original.version)

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        if (model, version) in self.originals:
            return CheckFacts("", original=self.originals[model, version])
        return self.source.facts(model, version, signers)

    def present(self, model: ModelRef, version: Version) -> Presence:
        return self.source.present(*self._of(model, version))

    def digest(self, model: ModelRef, version: Version) -> str:
        return self.source.digest(*self._of(model, version))

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        return self.source.files(*self._of(model, version))

    def place(self, model: ModelRef, version: Version) -> str:
        return self.source.place(*self._of(model, version))


def copy_pin(manifest: Manifest | None, slot: Slot, version: VersionSnapshot, *, found: bool = True) -> Pin | None:
    """
    The pin that declares a version for a slot as the copy of one, which was `found` there or may be gone; None where it
    is not named so.
    """
    pins = (pin for pin in pins_of(manifest, slot) if pin.original is not None)
    return next((pin for pin in pins if (not found or isinstance(pin.source, Source)) and pin.means(version)), None)


@dataclass(frozen=True, slots=True)
class Found:
    """An original that is there, and its model."""

    original: Original
    live: ModelSnapshot
    version: VersionSnapshot


@dataclass(frozen=True, slots=True)
class Lost:
    """Why an original is not known: what was copied is `gone`, deleted or under another name, or too far away."""

    original: Original
    why: str
    gone: bool = True


@dataclass
class Originals:
    """What versions were copied from, in models of whoever governs them: each is read once, when a gate asks."""

    world: World
    snapshot: RegistrySnapshot
    desired: DesiredState
    _read: dict[ModelRef, ModelSnapshot | None] = field(default_factory=dict[ModelRef, ModelSnapshot | None])
    _pasts: dict[ModelRef, tuple[ModelSnapshot, Past]] = field(
        default_factory=dict[ModelRef, tuple[ModelSnapshot, Past]]
    )

    def of(self, model: ModelRef, version: VersionSnapshot) -> Iterator[Found | Lost]:
        """
        Its original, the original of that, and so on; last the one that is lost, where what a version names as its
        original is not, or not anymore, what it was copied from. Raises ReconcilerError where that cannot be known.
        """
        for _ in range(COPIES_OF_COPIES):
            original = version.original
            if original is None:
                return
            self.read([original])
            live = self._read[original.model]
            there = None if live is None else live.versions.get(original.version)
            if live is None or there is None:
                said = f"{original}, from which v{version.version} of {model} was copied, is not there anymore"
                yield Lost(original, said)
                return
            if (fault := copy_fault(self.world, model, version, there.run_id, there.created_at)) is not None:
                yield Lost(original, fault)
                return
            yield Found(original, live, there)
            model, version = original.model, there
        if version.original is not None:
            yield Lost(version.original, f"only {COPIES_OF_COPIES} copies of copies are followed", gone=False)

    def by_name(
        self, version: VersionSnapshot, renames: Callable[[ModelRef], Iterable[ModelRef]], *, back: bool = False
    ) -> Iterator[Original]:
        """
        All that it may have been copied from, by the names in sources and those that models got since: nothing proves
        it, so it may only make rules stricter. Raises ReconcilerError where there are more than are followed, and where
        a registry does not answer; then those behind it are not known, which does not keep one from coming `back`.
        """
        seen: set[Original] = set()
        copies = [version]
        for _ in range(COPIES_OF_COPIES):
            named = {
                Original(name, first.version)
                for copy in copies
                if (first := copy.original) is not None
                for name in (first.model, *renames(first.model))
            }
            fresh = sorted(named - seen, key=str)
            yield from fresh
            seen.update(fresh)
            read = contained(partial(self.read, fresh)) if back and any(one.registry for one in fresh) else None
            if isinstance(read, Failure):
                return
            self.read(fresh)
            there = ((self._read[one.model], one.version) for one in fresh)
            copies = [live.versions[number] for live, number in there if live is not None and number in live.versions]
        if any(copy.original is not None for copy in copies):
            raise ReconcilerError(
                f"Only {COPIES_OF_COPIES} copies of copies are followed, so it is not known whether an original of "
                f"v{version.version} is on hold."
            )

    def read(self, originals: Iterable[Original]) -> None:
        """Read the models of these versions together. Raises ReconcilerError."""
        wanted = {one.model: frozenset({one.version}) for one in originals if one.model not in self._read}
        # One that is to be renamed has its name still; what our record alone led to was read without its versions.
        known = self.snapshot.models
        here = {n: live for n in wanted if (live := known.get(n)) and live.called is None and live.versions}
        if missing := {name: versions for name, versions in wanted.items() if name not in here}:
            here |= self.world.registry.snapshot(Wanted(missing)).models
        self._read |= {name: here.get(name) for name in wanted}

    def live(self, original: Original) -> VersionSnapshot | None:
        """A version whose model was read, if it is there."""
        live = self._read[original.model]
        return None if live is None else live.versions.get(original.version)

    def named_since(self, original: Original, trunk: Trunk | None) -> int:
        """Since when the model of an original has its name for certain, in milliseconds since 1970."""
        self.read([original])
        live, version = self._read[original.model], self.live(original)
        if live is None or version is None:
            return 0
        there, past = self.verified(Found(original, live, version), trunk)
        return named_since(past, there)

    def verified(self, found: Found, trunk: Trunk | None) -> tuple[ModelSnapshot, Past]:
        """
        The model of an original with its records verified, and what is known of its past. They count as those of our
        own models do; of another repository's, none does.
        """
        name = found.original.model
        if name not in self._pasts and trunk is not None and found.original.registry:
            self._pasts[name] = self._verified_there(found, trunk)
        if name not in self._pasts and trunk is not None:
            models = {
                n: live
                for n, live in self._read.items()
                if live is not None and n not in self._pasts and not registry_of(n)
            }
            there, pasts = trunk.pasts(self.desired.models, RegistrySnapshot(models))
            self._pasts |= {n: (there.models[n], past) for n, past in pasts.items()}
        return self._pasts.get(name, (found.live, Past(self.desired.revision.ours)))

    def _verified_there(self, found: Found, trunk: Trunk) -> tuple[ModelSnapshot, Past]:
        """The same where the original is in another registry: by the manifests and the rules that are for that one."""
        there = neighbor_of(self.world, found.original.registry)
        ours = replace(trunk.revision, repository=there.world.source.identity, known_as=None, slots=there.world.slots)
        line = Trunk(there.world, there.policy_at, ours, trunk.tip, trunk.ahead, trunk.named, trunk.unremembered)
        name = name_there(found.original.model)
        declared = declared_beside(self.world, found.original.registry, self.desired.revision.commit)
        live, pasts = line.pasts(declared, RegistrySnapshot({name: replace(found.live, name=name)}))
        return replace(live.models[name], name=found.live.name), pasts[name]


def copy_fault(world: World, model: ModelRef, version: VersionSnapshot, run_id: str, since: int) -> str | None:
    """
    Why a version is no copy of its original, which is of that run and was registered at `since`, by MLflow's own
    fields: the runs, the times of both, and where the files are. Where that is in another registry, no field of
    MLflow's leads from one to the other, and what says so is anybody's to write: so the files themselves are compared,
    all of them; and they are to be where we bring copies to, as nobody else may replace them there. Raises
    ReconcilerError where these cannot be known.
    """
    original = version.original
    if original is None:
        return f"v{version.version} of {model} is no copy"
    if not version.may_be_copied_from(run_id, since):
        return f"v{version.version} of {model} is a copy of another {original}, which was deleted or renamed since"
    if world.checks is None:
        raise ReconcilerError(f"It is not known where the files of {original} are.")
    if version.is_planned_copy:
        return None
    if original.registry:
        same = world.checks.digest(model, version.version) == world.checks.digest(original.model, original.version)
        if not same:
            return f"v{version.version} of {model} does not have the files of {original}, although its tag says so"
        if world.carrier is None or registry_of(model) or world.carrier.keeps(model, version.version):
            return None
        return (
            f"v{version.version} of {model} has the files of {original}, but not where an apply copies to: whoever put "
            "them there may replace them. Delete that version, and it is copied"
        )
    if world.checks.place(model, version.version) != world.checks.place(original.model, original.version):
        return f"v{version.version} of {model} has other files than {original}"
    return None
