"""Names that pass for others: what is newly declared is refused, and everything else that looks alike is told."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from reconciler.core.desired import DesiredState, Manifest
from reconciler.core.diff import Blocker, ModelPlan
from reconciler.core.looks import Look, drawn, looks, mixed_word, skeleton, telling_apart
from reconciler.core.names import AliasName, ModelRef, Stage, alias_slot, name_there
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy, matches, spells
from reconciler.core.snapshot import Ownership, RegistrySnapshot
from reconciler.errors import Location

N = TypeVar("N", bound=str)

_RESERVED = ("latest", *(stage.value for stage in Stage))
_NUMBERED = re.compile("[vV][0-9lO]+")
"""The skeleton of `v10`, which MLflow reserves."""


@dataclass(frozen=True, slots=True)
class StandingNames:
    """The names that the trusted side declares: its models with their aliases, and who owns any."""

    aliases: Mapping[ModelRef, frozenset[AliasName]] = field(default_factory=dict[ModelRef, frozenset[AliasName]])
    owners: frozenset[str] = frozenset()


def standing_names(models: Mapping[ModelRef, Manifest]) -> StandingNames:
    """The names that manifests declare."""
    return StandingNames({name: frozenset(m.aliases) for name, m in models.items()}, frozenset(_owners(models)))


def refuse_look_alikes(
    plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, standing: StandingNames, policy: Policy
) -> Plan:
    """
    The plan without the calls of models that are newly declared under a name that passes for another, or have such an
    alias. A name is new until the trusted side declares it and an apply of ours has brought it in: a name that was
    refused is still refused when the next change is applied.
    """
    likeness = _Likeness(snapshot, desired, standing, policy)
    models = [(model, tuple(likeness.faults(model.model))) for model in plan.models]
    return replace(plan, models=tuple(_blocked(model, faults) for model, faults in models))


def _blocked(model: ModelPlan, faults: tuple[Blocker, ...]) -> ModelPlan:
    return ModelPlan(model.model, blockers=(*model.blockers, *faults)) if faults else model


def look_alike_notes(
    snapshot: RegistrySnapshot, desired: DesiredState, standing: StandingNames, policy: Policy
) -> tuple[str, ...]:
    """What a reviewer should know of names that look alike and are not refused."""
    return tuple(_Likeness(snapshot, desired, standing, policy).notes())


class _Likeness:
    """The names of one plan beside those that they could pass for."""

    def __init__(
        self, snapshot: RegistrySnapshot, desired: DesiredState, standing: StandingNames, policy: Policy
    ) -> None:
        self._live, self._manifests, self._standing = snapshot.models, desired.models, standing
        self._ours, self._rules = desired.revision.ours, policy.rules
        self._groups = {name for group in policy.groups.items() for name in (group[0], *group[1])}
        self._models = _by_looks({*desired.models, *standing.aliases})

    def faults(self, name: ModelRef) -> Iterator[Blocker]:
        """Why a model's name or its aliases are refused."""
        manifest = self._manifests.get(name)
        if manifest is None:
            return
        if not name.isascii() and self._is_new(name):
            other, patterns = _alike(name, self._models), (p for rule in self._rules for p in rule.models)
            yield from _faults("model", name, other, _passing(name, patterns), manifest.model.at)
        for alias, declared in manifest.aliases.items():
            if not alias.isascii() and declared.value is not None and self._is_new_alias(name, alias):
                patterns = (p for rule in self._rules for p in rule.slots)
                other = _alike(alias, self._aliases(name, manifest)) or _numbered(alias)
                yield from _faults("alias", alias, other, _passing(alias_slot(alias), patterns), declared.at)

    def notes(self) -> Iterator[str]:
        """What looks alike and is not refused: old names, ASCII, aliases set by hand, owners."""
        told: set[str] = set()
        for name in _told_first(self._manifests):
            other = _alike(name, self._models)
            if other and name not in told and (name.isascii() or not self._is_new(name)):
                yield f"The model {name} looks like the model {other}: {telling_apart(name, other)}."
            told.add(other)
        for name, manifest in sorted(self._manifests.items()):
            yield from self._notes_on_aliases(name, manifest)
        yield from self._notes_on_originals()
        declared = _owners(self._manifests)
        people = _by_looks({*declared, *self._standing.owners, *self._groups})
        for owner in sorted(set(declared) - self._standing.owners):
            if other := _alike(owner, people):
                yield f"The new owner {owner} looks like {other}: {telling_apart(owner, other)}."

    def _notes_on_originals(self) -> Iterator[str]:
        """What is copied from a model that no manifest declares, and that passes for one which some manifest does."""
        originals = {pin.original.model for m in self._manifests.values() for pin in m.pins() if pin.original}
        for name in sorted(originals - self._manifests.keys()):
            called = name_there(name)
            if other := _alike(called, self._models):
                apart = telling_apart(called, other)
                yield f"The model {name}, from which versions are copied, looks like the model {other}: {apart}."

    def _notes_on_aliases(self, name: ModelRef, manifest: Manifest) -> Iterator[str]:
        live, names = self._live.get(name), self._aliases(name, manifest)
        declared = {alias for alias, pin in manifest.aliases.items() if pin.value is not None}
        told: set[str] = set()
        for alias in _told_first(declared | set(live.aliases if live else ())):
            patterns = (p for rule in self._rules for p in rule.slots)
            other = _alike(alias, names) or _numbered(alias) or _passing(alias_slot(alias), patterns)
            if other and alias not in declared:
                what = "is set in the registry, no manifest declares it, and it"
                yield f"The alias @{alias} of {name} {what} looks like `{other}`: {telling_apart(alias, other)}."
            elif other and alias not in told and (alias.isascii() or not self._is_new_alias(name, alias)):
                yield f"The alias @{alias} of {name} looks like `{other}`: {telling_apart(alias, other)}."
            told.add(other)

    def _is_new(self, name: ModelRef) -> bool:
        return name not in self._standing.aliases or self._owned(name) is None

    def _is_new_alias(self, name: ModelRef, alias: AliasName) -> bool:
        owned = self._owned(name)
        return owned is None or alias not in owned.aliases or alias not in self._standing.aliases.get(name, ())

    def _owned(self, name: ModelRef) -> Ownership | None:
        live = self._live.get(name)
        return live.owned_by(self._ours) if live else None

    def _aliases(self, name: ModelRef, manifest: Manifest) -> "_Looks":
        """What an alias could pass for: the model's, wherever they are declared or set, and words that are reserved."""
        live = self._live.get(name)
        beside = self._standing.aliases.get(name, frozenset())
        return _by_looks({*manifest.aliases, *beside, *(live.aliases if live else ()), *_RESERVED})


_Looks: TypeAlias = Mapping[Look, tuple[str, ...]]


def _by_looks(names: Iterable[str]) -> _Looks:
    found: dict[Look, tuple[str, ...]] = {}
    for name in sorted(names):
        for look in looks(name):
            found[look] = (*found.get(look, ()), name)
    return found


def _alike(name: str, names: _Looks) -> str:
    """Another name that looks like this one, or nothing; one that differs by case alone is for a warning elsewhere."""
    others = sorted({other for look in looks(name) for other in names.get(look, ())})
    return next((other for other in others if other.casefold() != name.casefold()), "")


def _told_first(names: Iterable[N]) -> list[N]:
    """Names in the order in which a pair is told of the first: by the letter that is not ASCII, if there is one."""
    return sorted(names, key=lambda name: (name.isascii(), name))


def _numbered(alias: str) -> str:
    """The `v10` that an alias looks like, or nothing."""
    return drawn(alias) if not alias.isascii() and _NUMBERED.fullmatch(skeleton(alias)) else ""


def _passing(name: str, patterns: Iterable[str]) -> str:
    """A pattern of the policy that a name matches by what it looks like and not by its letters, or nothing."""
    return next((p for p in patterns if matches(p, name) and not spells(p, name)), "")


def _faults(noun: str, name: str, other: str, pattern: str, at: Location) -> Iterator[Blocker]:
    if other or pattern:
        whose = f"`{other}`" if other else f"`{pattern}`, which the policy names"
        message = f"The {noun} `{name}` is new and looks like {whose}: {telling_apart(name, other or pattern)}."
        yield Blocker("looks-like-another", message, "Write the intended name, or one that looks different.", at)
    if mixed := mixed_word(name):
        word, scripts = mixed
        message = f"The {noun} `{name}` is new, and `{word}` in it mixes {' and '.join(scripts)} letters."
        yield Blocker("mixed-scripts", message, "Write each word in one script, with `_` or `-` between them.", at)


def _owners(models: Mapping[ModelRef, Manifest]) -> tuple[str, ...]:
    return tuple(owner for manifest in models.values() if manifest.owners for owner in manifest.owners.value)
