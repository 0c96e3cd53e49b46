"""What git declares: fragments of models, each value with the place that declares it, and what they add up to."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from reconciler.core.looks import looks, telling_apart
from reconciler.core.names import (
    ACTIVE_STAGES,
    AliasName,
    Commit,
    LiveSlots,
    ModelRef,
    Original,
    Ours,
    RepositoryId,
    Slot,
    Stage,
    Version,
    alias_slot,
    in_registry,
)
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.errors import Location, Problem, Severity

if TYPE_CHECKING:
    # Not at run time: most manifests have neither gates nor overrides, and evidence takes a while to import.
    from reconciler.core.gate import Guard, Override
    from reconciler.core.snapshot import VersionSnapshot

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Declared(Generic[T]):
    """
    A value and the place in a manifest that declares it. `stage` is the one under which an alias is declared that
    stands for it, by its name in manifests.
    """

    value: T
    at: Location
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What a version is made of: the model that a run logged at a path, a logged model by its ID, or a version of another
    model, which must be of the run, if one is named.
    """

    run_id: str | None = None
    artifact_path: str | None = None
    model_id: str | None = None
    original: Original | None = None

    def __str__(self) -> str:
        if self.original is not None:
            return str(self.original)
        return f"logged model {self.model_id}" if self.model_id else f"`{self.artifact_path}` of run {self.run_id}"


@dataclass(frozen=True, slots=True)
class Source:
    """
    An origin that is there: a version of it is registered with `uri`, for its run, and its source has one of the
    `digests`, whoever registered it. `about` says when the run finished, and its main figure. `since` is when the
    original of copies was registered, in milliseconds since 1970, and `changed` when it was last moved, edited or
    renamed; 0 where the registry does not say. `elsewhere`: that is in another registry.
    """

    run_id: str
    uri: str
    digests: frozenset[str]
    model_id: str = ""
    about: str = ""
    since: int = 0
    changed: int = field(default=0, compare=False)
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class NoSource:
    """
    Why nothing can be registered from an origin, with what is there instead. A version that was made of it before has
    a source with one of the `digests`.
    """

    code: str
    why: str
    fix: str
    digests: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Pin:
    """
    A reference to a model version that cannot come to mean another one: its number, the run it came from, or both, in
    which case both must hold. Or what it is made of, its `origin`: then it is registered if there is none, and `source`
    is what was found there; a copy has the run of its `original`. `tags` are those that the version is to have.
    """

    at: Location
    version: Version | None = None
    run_id: str | None = None
    comment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    artifact_path: str | None = None
    model_id: str | None = None
    original: Original | None = None
    source: Source | NoSource | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.version is not None:
            return f"v{self.version}"
        return f"the version from {self.origin or f'run {self.run_id}'}"

    @property
    def origin(self) -> Origin | None:
        """What the version is made of, where that is what names it."""
        if self.artifact_path is None and self.model_id is None and self.original is None:
            return None
        return Origin(self.run_id, self.artifact_path, self.model_id, self.original)

    def is_like(self, other: "Pin") -> bool:
        """Whether both name a version in the same way, whatever they say of it besides."""
        return (self.version, self.run_id, self.origin) == (other.version, other.run_id, other.origin)

    def means(self, version: "VersionSnapshot") -> bool:
        """
        Whether it refers to that version. Where no source was looked up, a path means every version of the run; else
        another model of the run is not what was declared, also where nothing can be registered anymore.
        """
        if self.original is not None:
            said = version.attribution if self.original.registry else None
            run_id = version.run_id if said is None else said.run_id
            return (
                self.run_id in {None, run_id}
                and self.names_original_of(version)
                and (
                    not isinstance(self.source, Source)
                    or version.may_be_copied_from(self.source.run_id, self.source.since)
                )
            )
        if self.version not in {None, version.version} or self.run_id not in {None, version.run_id}:
            return False
        if self.origin is None or (self.model_id is not None and version.model_id == self.model_id):
            return True
        if isinstance(self.source, Source) or (self.source is not None and self.model_id is None):
            return version.source in self.source.digests
        return self.model_id is None or version.is_made_of(f"models:/{self.model_id}")

    def names_original_of(self, version: "VersionSnapshot") -> bool:
        """
        Whether a version was copied from one of the number and the model that the pin names, be it the one that is
        there now or one that was deleted.
        """
        if self.original is not None and self.original.registry:
            return version.original == self.original
        return self.original is not None and version.is_made_of(self.original.uri)


@dataclass(frozen=True, slots=True)
class Hold:
    """
    A version that must not come back into a slot (None: any), and why; until a moment (RFC 3339 in UTC), or until it
    is lifted where that is empty.
    """

    version: Version
    reason: str
    at: Location
    slot: Slot | None = None
    until: str = ""

    def holds(self, version: Version, slot: Slot, now: str) -> bool:
        """Whether it keeps that version out of that slot at `now`."""
        return self.version == version and self.slot in {None, slot} and self.stands(now)

    def stands(self, now: str) -> bool:
        """Whether it is not over yet."""
        return not self.until or self.until > now


def hold_on(holds: "Iterable[Hold]", version: Version, slot: Slot, now: str) -> Hold | None:
    """The first of some holds that keeps a version out of a slot at `now`."""
    return next((hold for hold in holds if hold.holds(version, slot, now)), None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    The declaration of one registered model, or a part of it. `stages` may be empty, and a stage's pins too. `gates` are
    judged besides those of the policy: a manifest may tighten for its model, never loosen.
    """

    model: Declared[ModelRef]
    description: Declared[str] | None = None
    owners: Declared[tuple[str, ...]] | None = None
    tags: Mapping[str, Declared[str]] = field(default_factory=dict[str, Declared[str]])
    stages: Mapping[Stage, Declared[tuple[Pin, ...]]] = field(default_factory=dict[Stage, Declared[tuple[Pin, ...]]])
    aliases: Mapping[AliasName, Declared[Pin | None]] = field(default_factory=dict[AliasName, Declared[Pin | None]])
    gates: "Mapping[Slot, Declared[tuple[Guard, ...]]]" = field(
        default_factory=dict[Slot, Declared[tuple["Guard", ...]]]
    )
    overrides: "tuple[Override, ...]" = ()
    holds: tuple[Hold, ...] = ()
    formerly: Declared[tuple[ModelRef, ...]] | None = None

    @property
    def name(self) -> ModelRef:
        return self.model.value

    @property
    def former_names(self) -> tuple[ModelRef, ...]:
        """What the registered model was called before, the newest name first."""
        return self.formerly.value if self.formerly else ()

    @property
    def owner_names(self) -> tuple[str, ...]:
        return self.owners.value if self.owners else ()

    @property
    def tag_values(self) -> dict[str, str]:
        return {key: tag.value for key, tag in self.tags.items()}

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots that it declares and that consumers load from: stages in their order, then aliases in theirs."""
        stages = (stage.slot for stage in ACTIVE_STAGES if stage in self.stages)
        return (*stages, *map(alias_slot, sorted(self.aliases)))

    def pins(self) -> Iterable[Pin]:
        """Every reference to a version, in the order of the manifest."""
        yield from chain.from_iterable(declared.value for declared in self.stages.values())
        yield from (declared.value for declared in self.aliases.values() if declared.value is not None)


def each_pin(manifest: Manifest, change: "Callable[[Pin], Pin]") -> Manifest:
    """The manifest with each of its pins changed."""
    return replace(
        manifest,
        stages={s: replace(d, value=tuple(map(change, d.value))) for s, d in manifest.stages.items()},
        aliases={
            alias: declared if declared.value is None else replace(declared, value=change(declared.value))
            for alias, declared in manifest.aliases.items()
        },
    )


@dataclass(frozen=True, slots=True)
class Revision:
    """
    Where manifests were read: which repository and folder (together the owner's identity), which commit, and who wrote
    it. `commit` is None for a work tree with changes that no commit holds.
    `known_as` are its names, and `slots` what stages are in the registry.
    """

    repository: RepositoryId
    commit: Commit | None = None
    author: str = ""
    subject: str = ""
    known_as: Ours | None = field(default=None, compare=False, repr=False)
    slots: SlotMap = field(default=PLAIN, compare=False, repr=False)

    @property
    def live_slots(self) -> LiveSlots:
        """The slots that consumers depend on."""
        return self.slots.live_slots

    @property
    def ours(self) -> Ours:
        """The repository by all its names."""
        return self.known_as or Ours(self.repository)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """All manifests of one commit, or of the work tree, merged per model."""

    revision: Revision
    models: Mapping[ModelRef, Manifest] = field(default_factory=dict[ModelRef, Manifest])


def resolve(fragments: Iterable[Manifest]) -> tuple[dict[ModelRef, Manifest], tuple[Problem, ...]]:
    """
    Fragments merged per model, in the order of names, and everything that contradicts itself. The same key declared
    twice keeps its first declaration and is a problem that names both places.
    """
    merged: dict[ModelRef, Manifest] = {}
    problems: list[Problem] = []
    for fragment in fragments:
        known = merged.get(fragment.name)
        merged[fragment.name] = fragment if known is None else _merge(known, fragment, problems)
    for manifest in merged.values():
        problems.extend(_contradictions(manifest))
    problems.extend(_claimed(merged))
    problems.extend(_copied_in_circles(merged))
    problems.extend(_look_alikes("model", [(str(m.name), m.model.at) for m in merged.values()]))
    return dict(sorted(merged.items())), tuple(sorted(problems))


def _claimed(models: Mapping[ModelRef, Manifest]) -> Iterable[Problem]:
    """Former names that are somebody's still, or that two models claim."""
    claims: dict[ModelRef, Manifest] = {}
    for manifest in models.values():
        for name in manifest.former_names:
            other = models.get(name) or claims.get(name)
            claims.setdefault(name, manifest)
            if other is not None and manifest.formerly is not None:
                yield Problem(
                    manifest.formerly.at,
                    "former-name-taken",
                    f"`{name}` cannot be a former name of {manifest.name}: {other.model.at} "
                    f"{'declares it' if other.name == name else f'says the same of {other.name}'}.",
                    "Declare a renamed model under its present name only, and list each former name under one model.",
                )


def _copied_in_circles(models: Mapping[ModelRef, Manifest]) -> Iterable[Problem]:
    """Copies of what is, over other models, copied from the same model."""
    return _circles(_copied(models), models)


def copied_between_registries(
    named: str, models: Mapping[ModelRef, Manifest], others: Mapping[str, Mapping[ModelRef, Manifest]]
) -> Iterable[Problem]:
    """The same for copies from other registries of the policy, which has `named` the one of these models."""
    copied = _copied(models, named)
    for other, theirs in others.items():
        copied |= _copied(theirs, other)
    # One from this registry by its name is reported as that.
    across = {
        pin.at
        for model in models.values()
        for pin in model.pins()
        if pin.original is not None and pin.original.registry not in {"", named}
    }
    for problem in _circles(copied, (in_registry(named, name) for name in models)):
        if problem.location in across:
            yield problem


def _copied(models: Mapping[ModelRef, Manifest], registry: str = "") -> dict[ModelRef, dict[ModelRef, Location]]:
    """What the models of a registry are copied from, and where that is declared, by names that all registries know."""

    def known(original: Original) -> ModelRef:
        return original.model if original.registry else in_registry(registry, original.model)

    return {
        in_registry(registry, name): {
            known(pin.original): pin.at for pin in manifest.pins() if pin.original is not None
        }
        for name, manifest in models.items()
    }


def _circles(copied: Mapping[ModelRef, Mapping[ModelRef, Location]], models: Iterable[ModelRef]) -> Iterable[Problem]:
    """Those of some models that are copied in a circle."""
    circles = _together(copied)
    for name in models:
        for original, at in copied[name].items():
            if circles.get(original) == circles[name]:
                yield Problem(
                    at,
                    "copied-in-a-circle",
                    f"{name} is copied from {original}, and that from {name}.",
                    "Copy in one direction: each environment from the one before it.",
                )


def _together(copied: Mapping[ModelRef, Collection[ModelRef]]) -> dict[ModelRef, int]:
    """
    Models by a number that those have in common that lead to each other: Kosaraju's strongly connected components, as
    a way for each model would take a time that grows with their square.
    """
    left, seen = list[ModelRef](), set[ModelRef]()
    for start in copied:
        path = [] if start in seen else [(start, iter(copied[start]))]
        seen.add(start)
        while path:
            name, originals = path[-1]
            following = next((one for one in originals if one not in seen), None)
            if following is None:
                left.append(name)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(copied.get(following, ()))))
    copies: dict[ModelRef, list[ModelRef]] = {}
    for name, originals in copied.items():
        for original in originals:
            copies.setdefault(original, []).append(name)
    found: dict[ModelRef, int] = {}
    for number, start in enumerate(reversed(left)):
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = number
                waiting.extend(copies.get(name, ()))
    return found


def _merge(first: Manifest, second: Manifest, problems: list[Problem]) -> Manifest:
    def union(key: str, a: Mapping[K, Declared[T]], b: Mapping[K, Declared[T]]) -> dict[K, Declared[T]]:
        for name in sorted(a.keys() & b.keys(), key=str):
            stage = a[name].stage or b[name].stage
            if not stage:
                problems.append(_declared_twice(first.name, f"{key}.{name}", a[name].at, b[name].at))
            elif not _same_alias(a[name], b[name]):
                problems.append(_stands_for(first.name, f"{key}.{name}", stage, a[name], b[name]))
        # What a stage says of its alias, whatever stands beside it.
        return {**b, **a, **{name: one for name, one in b.items() if one.stage}}

    def either(key: str, a: Declared[T] | None, b: Declared[T] | None) -> Declared[T] | None:
        if a is not None and b is not None:
            problems.append(_declared_twice(first.name, key, a.at, b.at))
        return a or b

    def both(key: str) -> Any:
        a: Any = getattr(first, key)
        b: Any = getattr(second, key)
        match a:
            case tuple():
                return cast("tuple[Any, ...]", a) + b
            case Mapping():
                return union(key, cast("Mapping[Any, Declared[Any]]", a), b)
            case _:
                return either(key, a, b)

    return replace(first, **{part.name: both(part.name) for part in fields(first) if part.name != "model"})


def _same_alias(first: Declared[Any], second: Declared[Any]) -> bool:
    """Whether an alias is declared beside its stage, and alike."""
    one, other = first.value, second.value
    same = one is other or (one is not None and other is not None and replace(one, at=other.at) == other)
    return same and (not first.stage or not second.stage)


def _stands_for(model: ModelRef, key: str, stage: str, first: Declared[Any], second: Declared[Any]) -> Problem:
    beside, own = (first, second) if second.stage else (second, first)
    return Problem(
        beside.at,
        "alias-of-a-stage",
        f"`{key}` of {model} says otherwise than {stage} at {own.at}, for which this alias stands.",
        "Remove it: the alias moves with the stage.",
    )


def _declared_twice(model: ModelRef, key: str, first: Location, second: Location) -> Problem:
    return Problem(
        second,
        "declared-twice",
        f"`{key}` of {model} is already declared at {first}.",
        "Keep one of the two.",
    )


def expired(manifests: Iterable[Manifest], now: str) -> tuple[Problem, ...]:
    """Every override whose time is over at `now` (RFC 3339 in UTC), in the order of places."""
    return tuple(
        sorted(
            Problem(
                override.at,
                "expired-override",
                f"The override of {override.gate} for {manifest.name} ended on {override.until}, and it is {now}.",
                "Remove it; if it is still needed, get a later date approved.",
            )
            for manifest in manifests
            for override in manifest.overrides
            if override.until <= now
        )
    )


def _contradictions(manifest: Manifest) -> Iterable[Problem]:
    stage_of: dict[Version | Origin | str, tuple[Stage, Pin]] = {}
    for stage, declared in manifest.stages.items():
        for pin in declared.value:
            key = pin.version if pin.version is not None else pin.origin or str(pin.run_id)
            if key in stage_of:
                other, first = stage_of[key]
                yield Problem(
                    pin.at,
                    "version-in-two-stages" if other is not stage else "version-listed-twice",
                    f"{pin} of {manifest.name} is already declared in {other} at {first.at}.",
                    "A version is in one stage: keep one of the two.",
                )
            else:
                stage_of[key] = (stage, pin)

    by_version: dict[Version, Pin] = {}
    for pin in manifest.pins():
        if pin.version is None:
            continue
        known = by_version.get(pin.version)
        if known is None:
            by_version[pin.version] = pin
            continue
        if None not in (known.run_id, pin.run_id) and known.run_id != pin.run_id:
            yield Problem(
                pin.at,
                "conflicting-run",
                f"v{pin.version} of {manifest.name} is pinned to another run at {known.at}.",
                "A version comes from one run: correct one of the two.",
            )
        if None not in (known.comment, pin.comment) and known.comment != pin.comment:
            yield Problem(
                pin.at,
                "conflicting-comment",
                f"v{pin.version} of {manifest.name} has another comment at {known.at}.",
                "A version has one description: keep one of the two comments.",
            )
        for key in sorted(known.tags.keys() & pin.tags.keys()):
            if known.tags[key] != pin.tags[key]:
                yield Problem(
                    pin.at,
                    "conflicting-tag",
                    f"v{pin.version} of {manifest.name} has another value of the tag `{key}` at {known.at}.",
                    "A tag has one value: keep one of the two.",
                )
        by_version[pin.version] = replace(
            known,
            tags={**pin.tags, **known.tags},
            run_id=known.run_id or pin.run_id,
            comment=known.comment if known.comment is not None else pin.comment,
        )

    overridden: dict[tuple[str, Slot | None], Override] = {}
    for override in manifest.overrides:
        known_override = overridden.setdefault((override.gate, override.slot), override)
        if known_override is not override:
            yield _declared_twice(manifest.name, f"overrides: {override.gate}", known_override.at, override.at)

    yield from _look_alikes("alias", [(str(alias), d.at) for alias, d in manifest.aliases.items()])


def _look_alikes(noun: str, names: Iterable[tuple[str, Location]]) -> Iterable[Problem]:
    """Warnings: which of two may be refused because it is new, only a plan knows."""
    places = dict(names)
    by_case: dict[str, str] = {}
    by_looks: dict[object, str] = {}
    for name, at in sorted(places.items()):
        if (other := by_case.setdefault(name.casefold(), name)) != name:
            yield Problem(
                at,
                "differs-by-case-only",
                f"The {noun} `{name}` and the {noun} `{other}` at {places[other]} are different names in MLflow.",
                "If they should be the same, spell them alike.",
                Severity.WARNING,
            )
            continue
        found = [by_looks.setdefault(look, name) for look in sorted(looks(name))]
        if other := next((one for one in found if one != name), None):
            yield Problem(
                at,
                "looks-like-another",
                f"The {noun} `{name}` looks like `{other}` at {places[other]}: {telling_apart(name, other)}.",
                "If they should be the same, spell them alike; a plan refuses a new name that is not ASCII.",
                Severity.WARNING,
            )
