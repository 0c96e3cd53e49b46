"""What a manifest declares if what was changed by hand is to be kept: values in, values out."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from reconciler.core.desired import Declared, Manifest, Pin
from reconciler.core.drift import ModelDrift, touched
from reconciler.core.entrances import occupants
from reconciler.core.names import AliasName, Slot, Stage, Version, VersionTag
from reconciler.core.plan import Subject, Verb
from reconciler.core.proposal import NOWHERE
from reconciler.core.snapshot import ModelSnapshot


def kept(manifest: Manifest, drift: ModelDrift, live: ModelSnapshot) -> Manifest:
    """
    The manifest with what is there in place of what drifted: versions in declared slots, and descriptions and tags that
    it declares. What it does not declare, and what no manifest can declare, such as other files, stays as it is.
    """
    slots = frozenset(slot for effect in drift.drifted for slot in touched(effect))
    edited = {effect.subject for effect in drift.drifted if effect.verb in {Verb.DESCRIBE, Verb.TAG, Verb.UNTAG}}
    stages = _stages(manifest, slots, live)
    aliases = {alias: _named(alias, named, slots, live) for alias, named in manifest.aliases.items()}
    tags = {
        key: tag if key not in edited else replace(tag, value=live.tags[key])
        for key, tag in manifest.tags.items()
        if key not in edited or key in live.tags
    }
    description = manifest.description
    if description is not None and None in edited:
        description = replace(description, value=live.description) if live.description else None
    return replace(
        manifest,
        description=description,
        tags=tags,
        stages={s: replace(d, value=tuple(_edited(p, edited, live) for p in d.value)) for s, d in stages.items()},
        aliases={a: replace(d, value=d.value and _edited(d.value, edited, live)) for a, d in aliases.items()},
    )


def newly_declared(before: Manifest, after: Manifest) -> tuple[tuple[Slot, Version | None], ...]:
    """The slots of which something else is declared, each with every version that is; None for an empty one."""
    found: list[tuple[Slot, Version | None]] = []
    for stage, declared in after.stages.items():
        known = before.stages.get(stage)
        if stage.active and [p.version for p in declared.value] != [p.version for p in (known.value if known else ())]:
            found.extend((stage.slot, pin.version) for pin in declared.value)
            found.extend([] if declared.value else [(stage.slot, None)])
    for alias, named in after.aliases.items():
        earlier = before.aliases.get(alias)
        number, other = named.value and named.value.version, earlier and earlier.value and earlier.value.version
        if number != other:
            found.append((Slot(f"@{alias}"), number))
    return tuple(found)


def _stages(
    manifest: Manifest, slots: frozenset[Slot], live: ModelSnapshot
) -> Mapping[Stage, Declared[tuple[Pin, ...]]]:
    held = {
        stage: tuple(_pin(number, declared.value, live) for number in occupants(live, stage.slot))
        if stage.active and stage.slot in slots
        else declared.value
        for stage, declared in manifest.stages.items()
    }
    # A version that was moved is declared where it is now, and nowhere else.
    left = {
        stage: tuple(pin for pin in pins if not _elsewhere(pin, stage, slots, live)) for stage, pins in held.items()
    }
    return {s: replace(d, value=left[s]) for s, d in manifest.stages.items() if left[s] or s.active}


def _elsewhere(pin: Pin, stage: Stage, slots: frozenset[Slot], live: ModelSnapshot) -> bool:
    version = None if pin.version is None else live.versions.get(pin.version)
    return version is not None and version.stage is not stage and bool({stage.slot, version.stage.slot} & slots)


def _named(
    alias: AliasName, named: Declared[Pin | None], slots: frozenset[Slot], live: ModelSnapshot
) -> Declared[Pin | None]:
    if Slot(f"@{alias}") not in slots:
        return named
    number = live.aliases.get(alias)
    return replace(named, value=None if number is None else _pin(number, [named.value] if named.value else (), live))


def _pin(number: Version, there: Iterable[Pin], live: ModelSnapshot) -> Pin:
    """The version as it is declared there already, or as its neighbors are: with its run, if they are."""
    listed = tuple(there)
    known = next((pin for pin in listed if pin.version == number), None)
    if known is not None:
        return known
    with_run = any(pin.run_id is not None for pin in listed)
    version = live.versions.get(number)
    return Pin(NOWHERE, number, (version.run_id or None) if with_run and version else None)


def _edited(pin: Pin, edited: Set[Subject], live: ModelSnapshot) -> Pin:
    """The pin with the comment and the tags that its version has now, where it declares some that were edited."""
    version = None if pin.version is None else live.versions.get(pin.version)
    if version is None:
        return pin
    comment = version.description or None if version.version in edited and pin.comment is not None else pin.comment
    tags = {
        key: version.tags[key] if VersionTag(version.version, key) in edited else text
        for key, text in pin.tags.items()
        if VersionTag(version.version, key) not in edited or key in version.tags
    }
    return replace(pin, comment=comment, tags=tags)
