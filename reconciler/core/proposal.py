"""Which version is meant, and what a manifest says after it was promoted, demoted or named: values in, values out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.desired import Declared, Manifest, Pin, hold_on
from reconciler.core.entrances import occupants
from reconciler.core.names import AliasName, Slot, Stage, Version, alias_slot
from reconciler.core.past import Past, meant_by, pins_of
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import ModelSnapshot
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import Location, ReconcilerError

NOWHERE = Location("")
"""Where something is declared that no file holds yet."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which version is meant: exactly one of these is given."""

    version: Version | None = None
    slot: Slot | None = None
    run_id: str | None = None
    latest: bool = False

    def __post_init__(self) -> None:
        refuse_unless_one(self.version, self.slot, self.run_id, latest=self.latest)

    def among(self, live: ModelSnapshot) -> Version:
        """The version that is meant, as the registry has it now. Raises ReconcilerError for none, and for several."""
        if self.version is not None:
            return _the_one([v for v in live.versions if v == self.version], f"version {self.version}", live)
        if self.slot is not None:
            return _the_one(occupants(live, self.slot), f"version in {self.slot}", live, self.slot)
        if self.run_id is not None:
            made = [v.version for v in live.versions.values() if v.run_id == self.run_id]
            return _the_one(made, f"version from the run {plain(self.run_id, 80)}", live)
        return max(live.versions) if live.versions else _the_one([], "version", live)


def refuse_unless_one(*given: object, latest: bool) -> None:
    """Raises ReconcilerError where a version is named in no way, or in several."""
    if sum(one is not None for one in given) + latest != 1:
        raise ReconcilerError(
            "Exactly one version is required: none was named, or more than one.",
            "Give a version number, or one of --from SLOT, --run ID and --latest.",
        )


def _the_one(found: Iterable[Version], what: str, live: ModelSnapshot, slot: Slot | None = None) -> Version:
    versions = sorted(found)
    if len(versions) == 1:
        return versions[0]
    if versions:
        several = ", ".join(f"v{version}" for version in versions)
        raise ReconcilerError(f"{live.name} has more than one {what}: {several}.", "Name the one that you want.")
    newest = f"the newest is v{max(live.versions)}" if live.versions else "it has no versions"
    aliases = [alias_slot(alias) for alias in live.aliases]
    fix = did_you_mean(slot, aliases, "Name one that it has.") if slot and slot.alias else "Name one that it has."
    raise ReconcilerError(f"{live.name} has no {what}; {newest}.", fix)


@dataclass(frozen=True, slots=True)
class _State:
    """
    What a slot was declared to hold: the versions with the pins that declared them, and the pins of which nobody knows
    what came in by them.
    """

    versions: Mapping[Version, Pin]
    unknown: tuple[Pin, ...] = ()

    def is_like(self, other: "_State") -> bool:
        spelled, others = ({(p.version, p.run_id, p.origin) for p in one.unknown} for one in (self, other))
        return self.versions.keys() == other.versions.keys() and spelled == others


def way_back(past: Past, manifest: Manifest, live: ModelSnapshot, slot: Slot, now: str) -> tuple[Version, Pin]:
    """
    The version that a slot was declared to hold before the one that it is now, and the pin that declared it: the newest
    one that is still there and that no hold keeps out. What was rolled back from already is not gone back to. Raises
    ReconcilerError, with what became of each, where there is none.
    """
    reasons: dict[Version | str, str] = {}
    current = _state((pin, meant_by(pin, live)) for pin in pins_of(manifest, slot))
    for state in reversed(_undone(past, slot, live, current)):
        for version in sorted(state.versions.keys() - current.versions.keys() - reasons.keys(), reverse=True):
            hold = hold_on(manifest.holds, version, slot, now)
            if version not in live.versions:
                reasons[version] = f"v{version} is not in the registry anymore"
            elif hold is not None:
                reasons[version] = f"v{version} is held: {plain(hold.reason, 120).rstrip('.')}"
            else:
                return version, state.versions[version]
        if state is not current:
            reasons |= {str(pin): f"{pin} never came in, or is not in the registry anymore" for pin in state.unknown}
    why = "; ".join(reasons.values()) or "no commit of the branch declared another version before"
    raise ReconcilerError(f"{manifest.name} has nothing to go back to in {slot}: {why}.", "Name one with --version.")


def _undone(past: Past, slot: Slot, live: ModelSnapshot, current: _State) -> list[_State]:
    """What a slot was declared to hold, oldest first, each once: to declare something again undoes what came since."""
    states: list[_State] = []
    epochs = [_state(past.pins_in(epoch, slot, live)) for epoch in reversed(past.epochs) if epoch.manifest]
    for state in (*epochs, current):
        again = next((at for at, known in enumerate(states) if known.is_like(state)), None)
        states = [*states[:again], state]
    return states


def _state(pins: Iterable[tuple[Pin, frozenset[Version]]]) -> _State:
    listed = tuple(pins)
    # One that names another version by a number that was given anew names none that could come back.
    unknown = tuple(pin for pin, versions in listed if not versions)
    return _State({version: pin for pin, versions in listed for version in versions}, unknown)


def is_same(pin: Pin, other: Pin) -> bool:
    """Whether two references of a manifest are to one version: by its number, where one of them has it."""
    return pin.version == other.version if pin.version or other.version else pin.is_like(other)


def placed(
    manifest: Manifest, pin: Pin, stage: Stage, *, instead: Version | None = None, beside: bool = False
) -> Manifest:
    """
    The manifest with a version declared in a stage and in no other one. It takes the place of the version that is
    declared there, of `instead` where there are several, or stands beside them. Raises ReconcilerError where several
    are declared and nothing says which of them leaves.
    """
    others = {s: _without(declared, pin) for s, declared in manifest.stages.items() if s is not stage}
    kept = {s: declared for s, declared in others.items() if declared.value or s.active}
    declared = manifest.stages.get(stage) or Declared((), NOWHERE)
    return replace(
        manifest, stages={**kept, stage: replace(declared, value=_among(declared.value, pin, stage, instead, beside))}
    )


def _among(pins: tuple[Pin, ...], pin: Pin, stage: Stage, instead: Version | None, beside: bool) -> tuple[Pin, ...]:
    numbers = [other.version for other in pins]
    if any(is_same(other, pin) for other in pins):
        # It stays declared as it is: only what is said of it changes.
        return tuple(_commented(other, pin.comment) if is_same(other, pin) else other for other in pins)
    if instead is not None and beside:
        raise ReconcilerError("One version leaves, or all stay: not both.", "Pass --instead-of or --beside.")
    if instead is not None:
        if instead not in numbers:
            listed = ", ".join(map(str, pins)) or "nothing"
            raise ReconcilerError(f"v{instead} is not declared in {stage}; declared: {listed}.", "Name one of these.")
        return tuple(pin if other.version == instead else other for other in pins)
    if beside or not stage.active:
        return (*pins, pin)
    if len(pins) > 1:
        listed = ", ".join(map(str, pins))
        raise ReconcilerError(
            f"{stage} of the manifest holds several versions: {listed}.",
            "Name the one to replace with --instead-of, or keep all of them with --beside.",
        )
    return (pin,)


def _commented(pin: Pin, comment: str | None) -> Pin:
    return pin if comment is None else replace(pin, comment=comment)


def unplaced(manifest: Manifest, pin: Pin, stage: Stage) -> Manifest:
    """
    The manifest without a version in a stage. The stage stays declared, so that what leaves it is archived. Raises
    ReconcilerError where the version is not declared there.
    """
    declared = manifest.stages.get(stage)
    if declared is None or not any(is_same(other, pin) for other in declared.value):
        raise ReconcilerError(f"{pin} of {manifest.name} is not declared in {stage}.", "See its manifest.")
    left = _without(declared, pin)
    stages = {s: d for s, d in {**manifest.stages, stage: left}.items() if d.value or s.active}
    return replace(manifest, stages=stages)


def proposed(
    manifest: Manifest, pin: Pin, slot: Slot, *, instead: Version | None = None, beside: bool = False
) -> Manifest:
    """The manifest with a version declared for a slot, as `placed` and `named` give it."""
    if slot.alias is not None:
        return named(manifest, slot.alias, pin)
    return placed(manifest, pin, Stage(slot), instead=instead, beside=beside)


def named(manifest: Manifest, alias: AliasName, pin: Pin | None) -> Manifest:
    """The manifest with an alias that names a version; None: the alias must not exist."""
    declared = manifest.aliases.get(alias) or Declared(None, NOWHERE)
    if declared.value is not None and pin is not None and is_same(declared.value, pin):
        pin = _commented(declared.value, pin.comment)
    after = replace(declared, value=pin)
    return replace(manifest, aliases={**manifest.aliases, alias: after})


def with_aliases(manifest: Manifest, slots: SlotMap) -> Manifest:
    """The manifest with the aliases that stand for its stages on the versions that these hold."""
    aliases = {
        alias: replace(declared, stage=_own_stage(alias, slots)) if declared.at == NOWHERE else declared
        for alias, declared in manifest.aliases.items()
        if not declared.stage or not slots.is_stage(declared.stage)
    }
    for stage, declared in manifest.stages.items():
        if (alias := slots.alias_of(stage)) is not None:
            aliases[alias] = Declared(next(iter(declared.value), None), declared.at, stage)
    return replace(manifest, aliases=aliases)


def _own_stage(alias: AliasName, slots: SlotMap) -> str:
    """The stage under which an alias is declared anew that stands for one which the registry does not have."""
    stage = slots.stage_of(alias_slot(alias))
    return "" if stage is None or slots.is_stage(stage) else stage


def _without(declared: Declared[tuple[Pin, ...]], pin: Pin) -> Declared[tuple[Pin, ...]]:
    return replace(declared, value=tuple(other for other in declared.value if not is_same(other, pin)))


@dataclass(frozen=True, slots=True)
class Difference:
    """What one declaration of a model says otherwise than another one. None: it does not declare that slot."""

    stages: Mapping[Stage, tuple[Pin, ...] | None]
    aliases: Mapping[AliasName, tuple[Pin | None] | None]

    def __bool__(self) -> bool:
        return bool(self.stages or self.aliases)


def difference(before: Manifest, after: Manifest) -> Difference:
    """The slots of which two declarations of a model differ, in the order of the first; places make no difference."""
    stages = {
        stage: None if (declared := after.stages.get(stage)) is None else declared.value
        for stage in dict.fromkeys((*before.stages, *after.stages))
        if _pins(before.stages.get(stage)) != _pins(after.stages.get(stage))
    }
    aliases = {
        alias: None if (declared := after.aliases.get(alias)) is None else (declared.value,)
        for alias in dict.fromkeys((*before.aliases, *after.aliases))
        if _target(before.aliases.get(alias)) != _target(after.aliases.get(alias))
    }
    return Difference(stages, aliases)


def _pins(declared: Declared[tuple[Pin, ...]] | None) -> object:
    return None if declared is None else [_fields(pin) for pin in declared.value]


def _target(declared: Declared[Pin | None] | None) -> object:
    return None if declared is None else [_fields(declared.value)]


def _fields(pin: Pin | None) -> object:
    return None if pin is None else (pin.version, pin.run_id, pin.comment, dict(pin.tags), pin.origin)
