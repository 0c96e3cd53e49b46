"""
Changes of manifests that commands propose: which version is meant, what the files are then, and what a plan says to it.
Reads everything, writes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from shlex import quote

from reconciler.core.adoption import Adopt, Adoption, adopt, claimable
from reconciler.core.desired import Declared, Manifest, Pin, each_pin, hold_on
from reconciler.core.drift import ModelDrift
from reconciler.core.evidence import RunSummary
from reconciler.core.figures import main_figure
from reconciler.core.keeping import kept, newly_declared
from reconciler.core.moments import moment_of
from reconciler.core.names import AliasName, ModelRef, Slot, Stage, Version, alias_slot
from reconciler.core.past import Past, declared_versions, meant_by, pins_of
from reconciler.core.plan import PlanOptions
from reconciler.core.proposal import NOWHERE, Choice, is_same, named, placed, proposed, unplaced, way_back, with_aliases
from reconciler.core.review import Review, Scope
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.core.text import did_you_mean
from reconciler.errors import ReconcilerError
from reconciler.gates.approvals import Approvals
from reconciler.planning import Declaration, make_review, with_names, with_past, with_sources
from reconciler.ports import SourceFile, Wanted, World
from reconciler.rules import Rules

Rewrite = Callable[[Iterable[SourceFile], Manifest, Callable[[Slot], str]], tuple[SourceFile, ...]]
"""Files, what they are to declare of a model, and where a slot of it goes → the files that must change for that."""


@dataclass(frozen=True, slots=True)
class Setting:
    """
    What a proposal starts from: a model as it is declared, with the numbers of its versions and as it is `written`; as
    it is in the registry; and its past. `slots` says what stages are in the registry, and `look_up` gives a pin with
    what there is now of what it names.
    """

    manifest: Manifest
    live: ModelSnapshot
    past: Past
    slots: SlotMap = PLAIN
    written: Manifest | None = None
    look_up: Callable[[Pin], Pin] = field(default=lambda pin: pin, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """
    What is to be declared of a model, and that in a line: `Promote RiskClassifier v5 to Production`. `returning` is how
    a version that comes back was declared, where that was not by its number. `note` is what the files do not show.
    """

    after: Manifest
    title: str
    returning: Pin | None = None
    note: str = ""


def promotion(
    start: Setting,
    choice: Choice,
    slot: Slot,
    now: str,
    *,
    instead: Version | None = None,
    beside: bool = False,
    comment: str | None = None,
) -> Step:
    """A version enters a slot. Raises ReconcilerError for none, for several, and for one that is held out of it."""
    version = choice.among(start.live)
    return _entering(start, "Promote", version, slot, now, instead=instead, beside=beside, comment=comment)


def demotion(
    start: Setting, version: Version | None, source: Stage, to: Stage | None, now: str, comment: str | None = None
) -> Step:
    """
    A version leaves a stage, for another one or for Archived, which is then what an apply does with it and need not be
    declared. Raises ReconcilerError where it is not declared there, or nobody says which of several it is.
    """
    declared = pins_of(start.manifest, source.slot)
    if version is None and len(declared) != 1:
        several = ", ".join(map(str, declared)) or "no version"
        raise ReconcilerError(f"{start.manifest.name} declares {several} in {source}.", "Name the version that leaves.")
    leaving = next((pin for pin in declared if version in {None, pin.version}), Pin(NOWHERE, version))
    which = f" v{leaving.version}" if leaving.version is not None else f", {_shown(leaving)},"
    title = f"Demote {start.manifest.name}{which} from {source}" + (f" to {to}" if to else "")
    after = unplaced(start.manifest, leaving, source)
    note = _meaning(start, [leaving], "leaves")
    if to is None or to is Stage.ARCHIVED:
        return Step(after, title, note=note)
    if leaving.version is None:
        entering = leaving if comment is None else replace(leaving, comment=comment)
    else:
        refuse_held(start.manifest, leaving.version, to.slot, now)
        entering = _pin(start, to.slot, leaving.version, comment)
    return Step(placed(after, entering, to), title, note=note)


def unnaming(start: Setting, alias: AliasName) -> Step:
    """
    An alias that must not exist. Raises ReconcilerError where neither the manifest nor the registry knows it, and where
    it moves with a stage.
    """
    _refuse_unknown(start, alias)
    if (stage := start.slots.twin_of(alias_slot(alias))) is not None:
        raise ReconcilerError(
            f"{alias} stands for {stage}, and moves with it.", f"Empty {stage}, or change `stages` of the policy first."
        )
    return Step(named(start.manifest, alias, None), f"Remove the alias {alias} of {start.manifest.name}")


def _refuse_unknown(start: Setting, alias: AliasName) -> None:
    known = {*start.manifest.aliases, *start.live.aliases}
    if alias not in known:
        fix = did_you_mean(alias, known, "Correct the name.")
        raise ReconcilerError(f"{start.manifest.name} has no alias {alias}.", fix)


def return_to(start: Setting, slot: Slot, now: str, version: Version | None = None, comment: str | None = None) -> Step:
    """
    The version that a slot was declared to hold before, or `version`, comes back. Raises ReconcilerError, with what
    became of each candidate, where there is none.
    """
    if slot.alias is not None:
        _refuse_unknown(start, slot.alias)
    declared: Pin | None = None
    if version is None:
        version, declared = way_back(start.past, start.manifest, start.live, slot, now)
    else:
        version = Choice(version=version).among(start.live)
    current = sorted(declared_versions(start.manifest, slot, start.live))
    instead = current[0] if len(current) == 1 else None
    step = _entering(start, "Roll back", version, slot, now, instead=instead, comment=comment)
    if declared is None or declared.version is not None:
        return step
    # As it was declared, if that means this version still; else its number does.
    return replace(
        step, returning=declared if meant_by(start.look_up(declared), start.live) == frozenset({version}) else None
    )


def keeping(start: Setting, drift: ModelDrift, now: str) -> Step | None:
    """
    What was changed by hand stays: the manifest declares it. None where no manifest can. Raises ReconcilerError for a
    version that is held out of where it is.
    """
    # An alias that stands for a stage says what that holds, and no manifest can say otherwise.
    after = with_aliases(kept(start.manifest, drift, start.live), start.slots)
    if after == start.manifest:
        return None
    moves = newly_declared(start.manifest, after)
    for slot, version in moves:
        if version is not None:
            refuse_held(start.manifest, version, slot, now)
    where = ", ".join(f"{slot} {'empty' if version is None else f'v{version}'}" for slot, version in moves)
    return Step(after, f"Keep {start.manifest.name} as it was changed by hand" + (f": {where}" if where else ""))


def _entering(
    start: Setting,
    verb: str,
    version: Version,
    slot: Slot,
    now: str,
    *,
    instead: Version | None = None,
    beside: bool = False,
    comment: str | None = None,
) -> Step:
    refuse_held(start.manifest, version, slot, now)
    pin = _pin(start, slot, version, comment)
    after = proposed(start.manifest, pin, slot, instead=instead, beside=beside)
    _refuse_emptied(start, after, version, slot)
    where = f"to {slot}" if verb == "Promote" or slot.alias else f"in {slot}"
    title = f"{verb} {start.manifest.name} {'to ' if verb == 'Roll back' else ''}v{version} {where}"
    left = [
        one for one in pins_of(start.manifest, slot) if not any(is_same(one, other) for other in pins_of(after, slot))
    ]
    return Step(after, title, note=_meaning(start, left, f"makes way for v{version}"))


def _shown(pin: Pin) -> str:
    """A version that is declared, by its number or else by what it is made of."""
    return str(pin) if pin.version is not None or pin.original is None else f"the copy of {pin.original}"


def _meaning(start: Setting, pins: Iterable[Pin], what: str) -> str:
    """What happens to versions that the files do not name by their numbers: they say which these are."""
    written = {pin.at: pin for pin in (start.written.pins() if start.written else ())}
    spelled = [(pin, written[pin.at]) for pin in pins if pin.at in written and written[pin.at].version is None]
    named = [f"{pin}, which is declared as {_shown(raw)}," for pin, raw in spelled if pin.version is not None]
    return f"{' and '.join(named)} {what}." if named else ""


def _refuse_emptied(start: Setting, after: Manifest, version: Version, slot: Slot) -> None:
    """Raises ReconcilerError where a version that enters a slot would leave a live one empty: that is a demotion."""
    live_slots = start.slots.live_slots
    emptied = next(
        (live for live in sorted(live_slots) if pins_of(start.manifest, live) and not pins_of(after, live)), None
    )
    if emptied is not None:
        raise ReconcilerError(
            f"v{version} of {after.name} is the only version declared in {emptied}, which would be empty.",
            f"To move it all the same, use `reconciler demote {quote(after.name)} --from {emptied} --to {slot}`.",
        )


def _pin(start: Setting, slot: Slot, version: Version, comment: str | None) -> Pin:
    """
    A version as its manifest names versions in that slot: with its run where those are pinned to theirs; in a slot that
    is empty, where any is; and where the manifest pins this version elsewhere. A version keeps its tags where it goes.
    """
    there, pinned = pins_of(start.manifest, slot), [pin for pin in start.manifest.pins() if pin.run_id is not None]
    with_run = any(pin in there or not there or pin.version == version for pin in pinned)
    run_id = start.live.versions[version].run_id if with_run else ""
    tags = {key: value for pin in start.manifest.pins() if pin.version == version for key, value in pin.tags.items()}
    return Pin(NOWHERE, version, run_id or None, comment, tags if slot.stage else {})


@dataclass(frozen=True, slots=True)
class Proposal:
    """
    A change of manifests: the files as they are to be, `before` as they were (None: there was none), and the review of
    a plan with them. `approvals` are the gates that only ask for approvals; `notes` say what the files do not show.
    Nothing is written yet.
    """

    models: tuple[ModelRef, ...]
    title: str
    files: tuple[SourceFile, ...]
    before: Mapping[str, bytes | None]
    review: Review
    approvals: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[str, ...]:
        """What refuses it and would not be satisfied by an approval: gates by their names, and blockers by theirs."""
        found = [
            *(blocker.code for model in self.review.plan.models for blocker in model.blockers),
            *(v.gate for m in self.review.plan.models for v in m.verdicts if v.blocks and v.gate not in self.approvals),
        ]
        return tuple(dict.fromkeys(found))

    def diff(self) -> tuple[str, ...]:
        """A unified diff, as git shows it, as lines."""
        return diff_of(self.files, self.before)


def diff_of(files: Iterable[SourceFile], before: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """The unified diff to files as they are to be, as lines. None: there was no such file."""
    return tuple(line for file in files for line in _diff(file, before[file.path]))


def _diff(file: SourceFile, before: bytes | None) -> Iterable[str]:
    old, new = (data.decode(errors="replace").splitlines() for data in (before or b"", file.data))
    left = "/dev/null" if before is None else f"a/{file.path}"
    return unified_diff(old, new, left, f"b/{file.path}", lineterm="")


def setting(world: World, declaration: Declaration, name: ModelRef, rules: Rules, *, whole: bool = False) -> Setting:
    """
    Where a proposal for a model starts. A model that no manifest declares yet starts with nothing declared. Its past
    goes back as far as a plan needs it, or is the `whole` of it. Raises ReconcilerError for a model that the registry
    does not have.
    """
    live = world.registry.snapshot(Wanted({name: frozenset()})).models.get(name)
    if live is None or live.hidden_model:
        known = {*declaration.desired.models, *world.registry.names()}
        fix = did_you_mean(name, known, "Correct the name, or register it first.")
        raise ReconcilerError(f"The registry has no model {name}.", fix)
    rules, desired = with_names(rules, declaration.desired)
    snapshot, pasts = with_past(rules, desired, RegistrySnapshot({name: live}))
    written, live = desired.models.get(name) or Manifest(Declared(name, NOWHERE)), snapshot.models[name]
    past = pasts.get(name, Past(desired.revision.ours))
    if whole and rules.trunk is not None and name in pasts:
        # What is no part of its past by the rules for renames and folders, is none here.
        epochs = past.epochs if past.governed_elsewhere else rules.trunk.history(name, desired.models)
        past = replace(past, epochs=epochs)
        live = rules.trunk.verified({name: live}, {name: past})[name]

    def look_up(pin: Pin) -> Pin:
        asked = replace(desired, models={name: named(Manifest(written.model), AliasName("_"), pin)})
        return next(iter(with_sources(world, asked).models[name].pins()))

    return Setting(_numbered(written, live), live, past, world.slots, written, look_up)


def _numbered(manifest: Manifest, live: ModelSnapshot) -> Manifest:
    """The manifest with the number of each version that it names by its run or origin, where that is one version."""

    def number(pin: Pin) -> Pin:
        made = sorted(v.version for v in live.versions.values() if pin.version is None and pin.means(v))
        if len(made) != 1 and (not made or pin.origin is None):
            return pin
        # The run of an original in another registry is not its copy's.
        run_id = pin.run_id and live.versions[made[0]].run_id
        return replace(pin, version=made[0], run_id=run_id, artifact_path=None, model_id=None, original=None)

    return each_pin(manifest, number)


def _as_written(manifest: Manifest, before: Manifest, returning: Pin | None) -> Manifest:
    """
    The manifest with those versions named by their run or origin alone that are so in the files, at the same place, and
    with one that comes back as it was declared.
    """
    written = {pin.at: pin for pin in before.pins() if pin.version is None}
    if returning is not None:
        written[NOWHERE] = returning

    def spelled(pin: Pin) -> Pin:
        there = written.get(pin.at)
        return pin if there is None else replace(there, comment=pin.comment, tags=pin.tags)

    return each_pin(manifest, spelled)


def homes_of(world: World, files: Iterable[SourceFile]) -> dict[ModelRef, list[str]]:
    """The paths of the files that declare each model, or a part of it."""
    homes: dict[ModelRef, list[str]] = {}
    for file in files:
        for name in dict.fromkeys(fragment.name for fragment in world.parse([file])[0]):
            homes.setdefault(name, []).append(file.path)
    return homes


def refuse_held(manifest: Manifest, version: Version, slot: Slot, now: str) -> None:
    """Raises ReconcilerError where a hold keeps a version out of a slot: it is not proposed until that is lifted."""
    hold = hold_on(manifest.holds, version, slot, now)
    if hold is not None:
        until = f" until {hold.until}" if hold.until else ""
        raise ReconcilerError(
            f"v{version} of {manifest.name} is held out of {slot}{until}: {hold.reason} ({hold.at}).",
            "Lift the hold in a separate change, or propose another version.",
        )


def changed_files(
    files: Iterable[SourceFile],
    before: Manifest | None,
    step: Step,
    rewrite: Rewrite,
    place: Callable[[Slot], str],
) -> tuple[SourceFile, ...]:
    """
    The files that must change for the manifests to declare what a step asks for, as they are then: none where they
    declare that already. Raises ReconcilerError where one can only be changed by hand.
    """
    after = step.after if before is None else _as_written(step.after, before, step.returning)
    return rewrite(files, after, place)


def propose(
    world: World,
    declaration: Declaration,
    steps: Sequence[tuple[Setting, Step]],
    changed: tuple[SourceFile, ...],
    before: Mapping[str, bytes],
    options: PlanOptions,
    rules: Rules,
) -> Proposal:
    """The change with the review of a plan: `world` and `declaration` are those with the changed files in place."""
    review = make_review(world, declaration, options, scope=Scope.ALL, base=None, ref=None, rules=rules)
    guards = (
        guard
        for start, step in steps
        for slot in step.after.slots
        for guard in rules.guards(rules.policy, start.live, slot, start.manifest)
    )
    approvals = frozenset(guard.name for guard in guards if isinstance(guard.gate, Approvals))
    kept = {file.path: before.get(file.path) for file in changed}
    title = steps[0][1].title if len(steps) == 1 else f"Keep what was changed by hand of {len(steps)} models"
    notes = tuple(step.note for _, step in steps if step.note)
    return Proposal(tuple(step.after.name for _, step in steps), title, changed, kept, review, approvals, notes)


@dataclass(frozen=True, slots=True)
class Import:
    """What an import found, model by model, and what is known of the versions that it declares anew."""

    adoptions: tuple[Adoption, ...]
    about: Mapping[ModelRef, Mapping[Version, str]]


def survey(world: World, declaration: Declaration, rules: Rules, names: Iterable[ModelRef], options: Adopt) -> Import:
    """These models of the registry with what must be declared of each, read in bulk."""
    snapshot = world.registry.snapshot(Wanted(dict.fromkeys(names, frozenset())))
    rules, desired = with_names(rules, declaration.desired)
    adoptions = adopt(snapshot, desired.models, options, world.slots)
    adoptions = claimable(adoptions, snapshot, desired.revision, rules.policy)
    return Import(adoptions, _about(world, adoptions, snapshot))


def _about(
    world: World, adoptions: Iterable[Adoption], snapshot: RegistrySnapshot
) -> Mapping[ModelRef, Mapping[Version, str]]:
    """What each version that is newly declared is: the run that it came from, when, and its first figure."""
    declared = {
        adoption.model: {pin.version for pin in adoption.after.pins()}
        for adoption in adoptions
        if adoption.new and adoption.after is not None
    }
    versions = [
        (model, live)
        for model, numbers in declared.items()
        for live in snapshot.models[model].versions.values()
        if live.version in numbers
    ]
    run_ids = {live.run_id for _, live in versions if live.run_id}
    runs: Mapping[str, RunSummary] = {} if world.runs is None else world.runs.runs(run_ids)
    about: dict[ModelRef, dict[Version, str]] = {}
    for model, live in versions:
        if words := _described(runs.get(live.run_id or ""), live.created_at):
            about.setdefault(model, {})[live.version] = words
    return about


def _described(run: RunSummary | None, created_at: int) -> str:
    figure = main_figure(run.metrics) if run else ""
    return ", ".join(
        [
            *([f"run {run.name}"] if run and run.name else []),
            *([at.date().isoformat()] if created_at and (at := moment_of(created_at)) else []),
            *([figure] if figure else []),
        ]
    )
