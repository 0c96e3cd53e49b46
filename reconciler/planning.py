"""From manifests and registry to a plan, to its review, and to what has drifted. Reads everything, writes nothing."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from functools import partial
from typing import TypeAlias

from reconciler.core.bundle import FileDigest
from reconciler.core.changes import Claim, Release, RenameModel
from reconciler.core.desired import (
    DesiredState,
    Hold,
    Manifest,
    NoSource,
    Origin,
    Pin,
    Revision,
    Source,
    copied_between_registries,
    each_pin,
    resolve,
)
from reconciler.core.diff import as_renamed, diff, renamed, to_rename
from reconciler.core.drift import Drift, DriftStatus, ModelDrift, judge_drift, recorded_files, with_files
from reconciler.core.evidence import Evidence, Exhibit, Missing, Pairing, VersionFacts, compare
from reconciler.core.gate import CheckFacts, Guard, Presence, Verdict
from reconciler.core.likeness import look_alike_notes
from reconciler.core.limits import COMPARED_LINES
from reconciler.core.loosening import changed_parts, consequences, exposures
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.overview import Overview, overview
from reconciler.core.past import Past
from reconciler.core.plan import NO_PASTS, Plan, PlanOptions, build_plan
from reconciler.core.policy import Policy
from reconciler.core.review import Base, Note, PolicyNote, Review, Scope, Weight, base_of, pairings
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import ModelSnapshot, Ownership, RegistrySnapshot
from reconciler.core.text import did_you_mean, plain, some
from reconciler.deciders import unasked
from reconciler.errors import Failure, Location, ManifestError, Problem, ReconcilerError, Severity, contained
from reconciler.gates.authority import check_paths
from reconciler.gates.prospects import doubts
from reconciler.judging import compared_files, judge, judge_one, judge_proposed, left_behind, unguarded
from reconciler.neighbors import readable_beside
from reconciler.originals import as_copied, with_originals
from reconciler.ports import (
    Asked,
    Checkout,
    Checks,
    EvidenceSource,
    Expect,
    LineCommit,
    ManifestSource,
    Relation,
    Wanted,
    World,
)
from reconciler.rules import NO_RULES, Rules, rules_of
from reconciler.trust import POLICY_PATH, PolicyAt, Trunk


@dataclass(frozen=True, slots=True)
class Declaration:
    """What git declares, the warnings about it, and the manifest files that differ from the commit."""

    desired: DesiredState
    warnings: tuple[Problem, ...] = ()
    dirty: tuple[str, ...] = ()


def declare(world: World, ref: str | None) -> Declaration:
    """Read, parse and merge the manifests of a commit, or of the work tree. Raises as `declared_in` does."""
    return declared_in(world, world.source.read(ref))


def declared_in(world: World, checkout: Checkout) -> Declaration:
    """
    What the manifests of a checkout declare. Raises ManifestError with every problem, and ReconcilerError where there
    never was a folder of manifests: to release all models is not what a typing error means.
    """
    if checkout.absent:
        where = "here" if checkout.revision.commit is None else f"in {short(checkout.revision.commit)}"
        raise ReconcilerError(
            f"There is no folder `{world.source.folder}` {where}, and no earlier commit has it.",
            "Create it and commit it, or name the folder of manifests with --manifests, or with `manifests` in "
            f"{POLICY_PATH}. In a shallow clone, fetch the whole history.",
        )
    return declaration_of(world, checkout)


def declaration_of(world: World, checkout: Checkout) -> Declaration:
    """What the manifests of a checkout declare. Raises ManifestError with every problem."""
    fragments, unreadable = world.parse(checkout.files)
    models, contradictions = resolve(fragments)
    problems = tuple(sorted((*checkout.problems, *unreadable, *contradictions)))
    lacking = () if any(problem.severity is Severity.ERROR for problem in problems) else _lacking(world, models)
    problems = tuple(sorted((*problems, *lacking)))
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise ManifestError(problems)
    desired = with_sources(world, DesiredState(replace(checkout.revision, slots=world.slots), models))
    circles = {one.location: one for one in _copied_in_circles(world, checkout.revision.commit, models)}
    return Declaration(_without_circles(desired, circles) if circles else desired, problems, checkout.dirty)


def _without_circles(desired: DesiredState, circles: Mapping[Location, Problem]) -> DesiredState:
    """
    Without what there is to copy in circles over several registries. These models alone are blocked: what is merged
    into the folder of one registry must not end the applies of another.
    """

    def lacking(pin: Pin) -> Pin:
        circle = circles.get(pin.at)
        return pin if circle is None else replace(pin, source=NoSource(circle.code, circle.message, circle.fix))

    return replace(desired, models={name: each_pin(model, lacking) for name, model in desired.models.items()})


def _copied_in_circles(world: World, commit: Commit | None, models: Mapping[ModelRef, Manifest]) -> Iterable[Problem]:
    """Copies of what is copied from here, over other registries of the policy."""
    pins = (pin for manifest in models.values() for pin in manifest.pins())
    if not any(pin.original is not None and pin.original.registry for pin in pins):
        return ()
    return copied_between_registries(world.named, models, readable_beside(world, commit))


def _lacking(world: World, models: Mapping[ModelRef, Manifest]) -> Iterable[Problem]:
    """What manifests declare that the registry does not have."""
    there, uri = world.registry.capabilities, world.registry.uri
    for name, manifest in sorted(models.items()):
        for stage, declared in manifest.stages.items() if not there.stages else ():
            alias = world.slots.alias_of(stage)
            fix = f"Declare an alias, `{stage.lower()}`, or have one stand for it in the policy, with `mode: alias`."
            if alias is not None:
                fix = f"`{alias}` stands for it: write `mode: alias` in the policy, or declare the alias itself."
            yield Problem(declared.at, "no-stages", f"{uri} has no stages, and {name} declares {stage}.", fix)
        for alias, declared in manifest.aliases.items() if not there.aliases else ():
            message = f"{uri} has no aliases, and {name} declares `{alias}`."
            yield Problem(declared.at, "no-aliases", message, "Declare a stage instead.")
        for pin in manifest.pins():
            if pin.origin is not None and not there.registers:
                message = f"{name} declares a version by its run, and in {uri} none is registered from here."
                fix = "Register it with `mlflow.register_model`, and declare its number."
                yield Problem(pin.at, "registers-nothing", message, fix)
        tags = [*((key, tag.at) for key, tag in manifest.tags.items())]
        for key, at in (*tags, *((key, pin.at) for pin in manifest.pins() for key in pin.tags)):
            if set(key) & set(there.reserved):
                message = f"In {uri}, the key of a tag has none of `{there.reserved}`; `{key}` of {name} has."
                yield Problem(at, "reserved-character", message, "Take another key.")


def with_sources(world: World, desired: DesiredState) -> DesiredState:
    """The same, with what there is to register the versions from that are named by what they are made of."""
    pins = (pin for manifest in desired.models.values() for pin in manifest.pins())
    origins = {origin for pin in pins if (origin := pin.origin) is not None}
    if not origins:
        return desired
    none = NoSource("source-not-read", "This registry has no runs to register versions from.", "Name a version.")
    found: Mapping[Origin, Source | NoSource] = {} if world.runs is None else world.runs.sources(origins)

    def sourced(pin: Pin) -> Pin:
        return pin if pin.origin is None else replace(pin, source=found.get(pin.origin, none))

    return replace(desired, models={name: each_pin(model, sourced) for name, model in desired.models.items()})


def make_plan(world: World, desired: DesiredState, options: PlanOptions, rules: Rules = NO_RULES) -> Plan:
    """What it would take to bring the registry to the desired state, and what the rules say. Writes nothing."""
    return plan_and_snapshot(world, desired, options, rules)[0]


def plan_and_snapshot(
    world: World, desired: DesiredState, options: PlanOptions, rules: Rules = NO_RULES
) -> tuple[Plan, RegistrySnapshot]:
    """The same, with what was read for it."""
    rules, desired = with_names(rules, desired)
    with world.ahead() as expect:
        look_ahead(expect, desired, options.targets)
        if rules.trunk is not None:
            rules.trunk.prepare()
        read = _snapshot(world, options, desired)
    snapshot, pasts = with_past(rules, desired, read)
    world = under_former_names(world, snapshot)
    return judge(world, build_plan(desired, snapshot, options, pasts), snapshot, desired, rules), snapshot


def with_names(rules: Rules, desired: DesiredState) -> tuple[Rules, DesiredState]:
    """
    The rules of models that were renamed, under the names that they have now, and the desired state of a repository
    that is known by its former names, too.
    """
    known_as = None if rules.trunk is None else rules.trunk.ours
    renames = {name: manifest.former_names for name, manifest in desired.models.items() if manifest.former_names}
    return rules.called(renames), replace(desired, revision=replace(desired.revision, known_as=known_as))


def with_past(
    rules: Rules, desired: DesiredState, snapshot: RegistrySnapshot, names: Iterable[ModelRef] | None = None
) -> tuple[RegistrySnapshot, Mapping[ModelRef, Past]]:
    """
    The snapshot with its records verified, and what trusted history says of its models, those that are to be made for
    copies too: of all that are declared, or of those that the snapshot is about.
    """
    if rules.trunk is None:
        return snapshot, NO_PASTS
    new = {
        name: ModelSnapshot(name)
        for name in (desired.models if names is None else names)
        if name not in snapshot.models and _has_copies(desired.models.get(name))
    }
    verified, pasts = rules.trunk.pasts(desired.models, RegistrySnapshot({**snapshot.models, **new}))
    there = {name: live for name, live in verified.models.items() if name in snapshot.models}
    return RegistrySnapshot(there), {name: past for name, past in pasts.items() if name in there or name in new}


def _has_copies(manifest: Manifest | None) -> bool:
    return manifest is not None and any(pin.original is not None for pin in manifest.pins())


def make_review(
    world: World,
    declaration: Declaration,
    options: PlanOptions,
    *,
    scope: Scope,
    base: str | None,
    ref: str | None,
    rules: Rules = NO_RULES,
) -> Review:
    """
    The plan with what a reviewer needs beside it: evidence for what it moves in, and what of it is none of the change's
    doing. Reads the registry once for all of it, and the evidence of moving versions alone.
    """
    rules, desired = with_names(rules, declaration.desired)
    notes: list[Note] = []
    before = None if base is None else _before(world, base, ref, rules, notes)
    states = [desired] if before is None else [desired, before]
    if rules.trunk is not None:
        rules.trunk.prepare()
    snapshot, pasts = with_past(rules, desired, _snapshot(world, options, *states))
    world = under_former_names(world, snapshot)
    bare = build_plan(desired, snapshot, options, pasts)
    plan = judge(world, bare, snapshot, desired, rules)
    if fault := rewind_fault(world, plan.revision.commit, applied_before(plan)):
        notes.append(Note(f"An apply would be refused: {fault}", Weight.REFUSAL))
    pending = (
        None
        if base is None or before is None
        else _pending(base, before, _as_before(snapshot, before), options, _pasts_of(before, rules, pasts, snapshot))
    )
    return Review(
        plan=plan,
        registry=world.registry.uri,
        workspace=world.registry.workspace,
        named=world.named,
        evidence=_evidence(world, plan, snapshot, scope),
        base=None if base is None or before is None else pending,
        notes=(
            *(Note(text, Weight.POLICY) for text in unasked(plan, snapshot, desired, rules)),
            *notes,
            *(Note(str(doubt), Weight.DOUBT) for doubt in doubts(rules.proposed or Policy())),
            *_registries_changed(rules),
            *_owners_changed(rules, desired),
            *_receipts_given_up(rules),
            *_tags_dropped(rules, desired),
            *_former_names_dropped(rules, desired),
            *_holds_lifted(rules, desired, world.clock.now()),
            *([] if before is None else _gates_dropped(before, desired)),
            *(Note(text, Weight.UNGUARDED) for text in unguarded(plan, snapshot, desired, rules)),
            *(Note(text, Weight.DOUBT) for text in left_behind(plan, snapshot)),
            *_renamed(plan),
            *_unproven(plan),
            *(Note(text) for text in look_alike_notes(snapshot, desired, rules.names, rules.policy)),
        ),
        policy=_policy_note(rules, plan, snapshot, desired, judge_proposed(world, bare, snapshot, desired, rules)),
    )


def _evidence(world: World, plan: Plan, snapshot: RegistrySnapshot, scope: Scope) -> Evidence | None:
    """What is known of that which the plan moves in, and of its copies what is known of their originals."""
    if scope is Scope.NONE:
        return None
    copied = as_copied(plan, snapshot)
    return gather(with_originals(world, plan), pairings(plan, copied, scope), copied)


def _registries_changed(rules: Rules) -> tuple[Note, ...]:
    """Which registries the change names, and which it does not name anymore."""
    before, after = {*rules.policy.registries}, {*(rules.proposed or rules.policy).registries}
    added, dropped = sorted(after - before), sorted(before - after)
    came = f"This change names registries: {_names(added)}. They are planned from the change after it."
    left = f"This change names registries no more: {_names(dropped)}. Their models stay as they are, under our name."
    return tuple(Note(text, Weight.POLICY) for names, text in ((added, came), (dropped, left)) if names)


def _owners_changed(rules: Rules, desired: DesiredState) -> tuple[Note, ...]:
    """One note for all models whose owners the change edits: they say who may approve what comes after it."""
    changed = [
        f"{name} ({_names(before)} -> {_names(after)})"
        for name, before in sorted(rules.owners.items())
        if (manifest := desired.models.get(name)) is not None and (after := manifest.owner_names) != before
    ]
    return (Note(f"This change edits the owners of {_names(changed)}.", Weight.POLICY),) if changed else ()


def _receipts_given_up(rules: Rules) -> tuple[Note, ...]:
    """One note for the missing receipts that the change acknowledges."""
    known = {one.receipt for one in rules.policy.missing_receipts}
    more = rules.proposed.missing_receipts if rules.proposed else ()
    added = [f"{one.receipt} ({plain(one.reason, 200)})" for one in more if one.receipt not in known]
    text = (
        "This change acknowledges that receipts are missing, so `audit` will not take their applies for cut off: "
        f"{_names(added)}."
    )
    return (Note(text, Weight.POLICY),) if added else ()


def _tags_dropped(rules: Rules, desired: DesiredState) -> tuple[Note, ...]:
    """One note for the tags that put models under rules and that the manifests would no longer declare."""
    selectors = {key for rule in rules.policy.rules for key in rule.tags}
    dropped = [
        f"{key} of {name}"
        for name, tags in sorted(rules.tags.items())
        for key in sorted(tags.keys() & selectors)
        if (manifest := desired.models.get(name)) is not None
        and (key not in manifest.tags or manifest.tags[key].value != tags[key])
    ]
    text = f"This change edits tags that rules of the policy select models by: {_names(dropped)}."
    return (Note(text, Weight.POLICY),) if dropped else ()


def _former_names_dropped(rules: Rules, desired: DesiredState) -> tuple[Note, ...]:
    """One note for the former names that put models under rules, and that the manifests would no longer declare."""
    dropped = [
        f"{former} of {name}"
        for name, names in sorted(rules.formerly.items())
        for former in names
        if (manifest := desired.models.get(name)) is not None and former not in manifest.former_names
    ]
    text = f"This change removes former names, and with them the rules for these names: {_names(dropped)}."
    return (Note(text, Weight.POLICY),) if dropped else ()


def _holds_lifted(rules: Rules, desired: DesiredState, now: str) -> tuple[Note, ...]:
    """One note for what the change lets come back: holds that it lifts, makes shorter or has for less."""
    lifted = [
        f"v{hold.version} of {name}{f' for {hold.slot}' if hold.slot else ''} ({plain(hold.reason, 200)})"
        for name, holds in sorted(rules.holds.items())
        for hold in holds
        if hold.stands(now)
        and not any(
            _holds_as_long(other, hold) for other in (desired.models[name].holds if name in desired.models else ())
        )
    ]
    text = f"This change lifts or shortens a hold: {_names(lifted)}."
    return (Note(text, Weight.POLICY),) if lifted else ()


def _holds_as_long(other: Hold, hold: Hold) -> bool:
    """Whether one hold keeps out all that another one does."""
    longer = not other.until or (bool(hold.until) and other.until >= hold.until)
    return other.version == hold.version and other.slot in {None, hold.slot} and longer


def _gates_dropped(before: DesiredState, desired: DesiredState) -> tuple[Note, ...]:
    """One note for the gates that manifests have of their own and would no longer have."""
    dropped = [
        f"{guard.name} before {slot} of {name}"
        for name, manifest in sorted(before.models.items())
        if (after := desired.models.get(name)) is not None
        for slot, guards in manifest.gates.items()
        for guard in guards.value
        if not any(guard.gate == other.gate for other in (after.gates[slot].value if slot in after.gates else ()))
    ]
    text = f"This change edits gates of manifests: {_names(dropped)}."
    return (Note(text, Weight.POLICY),) if dropped else ()


def _renamed(plan: Plan) -> tuple[Note, ...]:
    """One note for the models that get another name."""
    changes = (change for model in plan.models for change in model.changes)
    renames = [f"{change.before} -> {change.model}" for change in changes if isinstance(change, RenameModel)]
    text = (
        f"This renames {_names(renames)}: whoever looks a model up by its former name (`models:/NAME/…`) finds "
        "nothing from then on. MLflow takes every version for moved at that time, so a soak begins anew."
    )
    return (Note(text, Weight.UNGUARDED),) if renames else ()


def _unproven(plan: Plan) -> tuple[Note, ...]:
    """One note for what counts as a way back by evidence that anybody who writes to the registry could have forged."""
    doubtful = [
        f"v{entrance.candidate} of {entrance.model} ({entrance.slot})"
        for model in plan.models
        for entrance in model.entrances
        if entrance.unproven and entrance.slot in model.guarded
    ]
    text = f"No signed record proves that these were there before: {_names(doubtful)}."
    return (Note(text, Weight.DOUBT),) if doubtful else ()


def _names(names: Sequence[str]) -> str:
    return some(names) or "nobody"


def _policy_note(
    rules: Rules, plan: Plan, snapshot: RegistrySnapshot, desired: DesiredState, verdicts: tuple[Verdict, ...]
) -> PolicyNote | None:
    """Which rules judged, and what would be different under those that the change proposes, by these verdicts."""
    standing, proposed = rules.policy, rules.proposed
    if proposed is None:
        return PolicyNote(standing.path, standing.commit) if standing.rules else None
    before, after = (policy.text.splitlines()[:COMPARED_LINES] for policy in (standing, proposed))
    difference = list(unified_diff(before, after, f"standing {standing.path}", "proposed", lineterm="", n=1))
    unread = sum(max(0, len(policy.text.splitlines()) - COMPARED_LINES) for policy in (standing, proposed))
    declared: Mapping[ModelRef, Manifest] = {}
    if rules.trunk is not None and rules.base is not None:
        declared = rules.trunk.declared(rules.base)
    slots = (
        (name, slot)
        for name, manifest in sorted(desired.models.items())
        if name in snapshot.models
        for slot in dict.fromkeys((*manifest.slots, *(declared[name].slots if name in declared else ())))
    )

    def guards(policy: Policy, name: ModelRef, slot: Slot) -> tuple[Guard, ...]:
        return rules.guards(policy, snapshot.models[name], slot, desired.models[name], policy.settings.slots)

    return PolicyNote(
        standing.path,
        standing.commit,
        (*difference, *([f"… {unread} more lines were not compared"] if unread else [])),
        verdicts,
        changed_parts(standing, proposed),
        consequences((v for model in plan.models for v in model.verdicts), verdicts),
        exposures(
            slots,
            partial(guards, standing),
            partial(guards, proposed),
        ),
    )


def _before(world: World, base: str, ref: str | None, rules: Rules, notes: list[Note]) -> DesiredState | None:
    """What was declared where the change left its base; None, with a note, where that cannot be read."""
    fork = world.source.fork(base, ref)
    if fork.behind:
        text = (
            f"{base} has {fork.behind} newer {'commit' if fork.behind == 1 else 'commits'}: a merge may do something "
            f"different from what is shown here. Merge {base} into this first, or plan the merge commit."
        )
        notes.append(Note(text, Weight.DOUBT))
    try:
        slots = world.slots if rules.trunk is None else rules.trunk.slots_of(fork.commit)
        then = replace(world, parse=world.parser(slots), slots=slots)
        return with_names(rules, declaration_of(then, world.source.read(fork.commit)).desired)[1]
    except ManifestError as error:
        text = (
            f"The manifests of {short(fork.commit)} on {base} cannot be read, so drift is not separated "
            f"from this change: {error.problems[0]}"
        )
        notes.append(Note(text, Weight.DOUBT))
        return None


def _pending(
    base: str,
    before: DesiredState,
    snapshot: RegistrySnapshot,
    options: PlanOptions,
    pasts: Mapping[ModelRef, Past],
) -> Base:
    """What would be done without the change under review, within the same targets, whatever the safeties say to it."""
    targets = options.targets
    chosen = {name: m for name, m in before.models.items() if not targets or name in targets}
    wide = replace(options, targets=(), force=True, allow_empty=True)
    plan = build_plan(replace(before, models=chosen), snapshot, wide, pasts)
    kept = tuple(model for model in plan.models if not targets or model.model in targets)
    return base_of(base, replace(plan, models=kept))


def _pasts_of(
    before: DesiredState, rules: Rules, pasts: Mapping[ModelRef, Past], snapshot: RegistrySnapshot
) -> Mapping[ModelRef, Past]:
    """What history says as of the commit before a change."""
    ahead = rules.trunk is not None and rules.trunk.ahead
    commit = before.revision.commit
    then = {n: replace(p, epochs=p.epochs[1:], revision=commit) if ahead else p for n, p in pasts.items()}
    return {_name_in(before, snapshot.models.get(name) or ModelSnapshot(name)): past for name, past in then.items()}


def _name_in(before: DesiredState, live: ModelSnapshot) -> ModelRef:
    """The name that a model has for a declaration: one that it is to get by a later one is not known yet."""
    return live.name if live.called is None or live.name in before.models else live.called


def _as_before(snapshot: RegistrySnapshot, before: DesiredState) -> RegistrySnapshot:
    """The models, without the new names that only a later declaration gives them."""

    def unnamed(live: ModelSnapshot) -> ModelSnapshot:
        name = _name_in(before, live)
        return live if name == live.name else replace(live, name=name, called=None)

    models = (unnamed(live) for live in snapshot.models.values())
    return RegistrySnapshot(dict(sorted((live.name, live) for live in models)))


LAST_VERSIONS = 8
"""How many of a model's versions the course of its metrics is shown over."""

MOST_COURSES = 25
"""From this many entrances on, only the two versions themselves are looked at: nobody reads so many courses."""


def gather(world: World, moving: Iterable[Pairing], snapshot: RegistrySnapshot) -> Evidence:
    """The evidence for some entrances. That there is none keeps no plan from being made."""
    moving = tuple(moving)
    read_at = world.clock.now()
    if not moving:
        return Evidence(read_at)
    if world.evidence is None:
        return Evidence(read_at, trouble="This registry has no evidence.")
    courses = {e: _course(e, snapshot) if len(moving) < MOST_COURSES else () for e in moving}
    whole = {(e.model, v) for e in moving for v in (e.candidate, e.incumbent) if v is not None}
    brief = {(e.model, v) for e, versions in courses.items() for v in versions} - whole
    asked = [*(Asked(*key) for key in sorted(whole)), *(Asked(*key, brief=True) for key in sorted(brief))]
    gather = world.evidence.gather
    found = contained(lambda: gather(asked))
    if isinstance(found, Failure):
        return Evidence(read_at, trouble=found.why)
    facts = {(a.model, a.version): f for a, f in found.items()}

    def of(model: ModelRef, version: Version) -> VersionFacts:
        return facts.get((model, version)) or VersionFacts(model, version)

    return Evidence(
        read_at,
        tuple(
            _comparable(
                Exhibit(
                    pairing,
                    of(pairing.model, pairing.candidate),
                    None if pairing.incumbent is None else of(pairing.model, pairing.incumbent),
                    tuple(of(pairing.model, version) for version in versions),
                )
            )
            for pairing, versions in courses.items()
        ),
    )


def _comparable(exhibit: Exhibit) -> Exhibit:
    """The exhibit, if it can be made sense of; or one that says why there is none: every rendering compares it."""
    compared = contained(lambda: compare(exhibit.candidate, exhibit.incumbent))
    if not isinstance(compared, Failure):
        return exhibit

    def unread(facts: VersionFacts) -> VersionFacts:
        return VersionFacts(facts.model, facts.version, missing=(Missing("version", plain(compared.why)),))

    old = exhibit.incumbent
    return Exhibit(exhibit.pairing, unread(exhibit.candidate), None if old is None else unread(old))


def _course(pairing: Pairing, snapshot: RegistrySnapshot) -> tuple[Version, ...]:
    """The last versions of the model, and the two that matter whatever their age, oldest first."""
    live = snapshot.models.get(pairing.model)
    last = sorted(live.versions)[-LAST_VERSIONS:] if live else []
    return tuple(sorted({*last, pairing.candidate, *([pairing.incumbent] if pairing.incumbent else [])}))


def standing_commit(
    source: ManifestSource, *, base: str | None, ref: str | None, policy_ref: str | None = None
) -> str | None:
    """
    The commit whose policy holds, its gates and its addresses alike: what was there before the change under review.
    That is where the change left its base; HEAD, for what is in no commit yet (`ref` is None, and the work tree is not
    as HEAD has it); or else the commit before (the first parent). So no change is judged by rules that it brings along.
    """
    if policy_ref is not None:
        return policy_ref
    if base is not None:
        return source.fork(base, ref).commit
    newest = tuple(source.line(ref or "HEAD", (), 1))
    if newest and ref is None and _is_changed(source):
        return newest[0]
    line = tuple(source.line(ref or "HEAD", (), 2)) if newest else ()
    return line[-1] if line else None


def _is_changed(source: ManifestSource) -> bool:
    """Whether the work tree has other manifests, or another policy, than HEAD."""
    return source.file(None, POLICY_PATH) != source.file("HEAD", POLICY_PATH) or bool(source.read(None).dirty)


def open_trunk(
    world: World,
    policy_at: PolicyAt,
    revision: Revision,
    *,
    base: str | None,
    ahead: bool = False,
    policy_ref: str | None = None,
) -> Trunk | None:
    """
    The trusted line that a revision stands on: what its change left `base` at, or else its own commit, whose work tree
    may be `ahead` of it; led through the commit of `policy_ref`. None where there is no commit yet.
    """
    line = tuple(world.source.line("HEAD" if revision.commit is None else revision.commit, (), 1))
    if not line:
        return None
    tip = line[0] if base is None else world.source.fork(base, revision.commit).commit
    named = None if policy_ref is None else next(iter(world.source.line(policy_ref, (), 1)))
    return Trunk(world, policy_at, revision, tip, ahead or revision.commit != tip, named)


def read_rules(trunk: Trunk | None, policy_at: PolicyAt, *, ref: str | None) -> Rules:
    """
    The rules that stand: those before the change in hand, and beside them those of the commit that is named, and those
    that stand by first parents where the line is led elsewhere by a hint: these can add a policy and replace none.
    `ref` (None: the work tree) may propose others. Raises ManifestError where one of these cannot be read: nothing is
    judged by half a policy.
    """
    proposed = policy_at(ref)
    if trunk is None:
        return Rules(proposed=proposed)

    def of(commit: Commit) -> Rules:
        return rules_of(trunk, replace(policy_at(commit) or Policy(), commit=commit), commit)

    standing = _standing_on(trunk)
    beside = () if trunk.named is None else (of(trunk.named),)
    if trunk.doubted is not None and (other := _standing_on(trunk.doubted)) is not None:
        beside = (*beside, of(other.commit))
    if standing is None:
        return Rules(proposed=proposed, trunk=trunk, beside=beside)
    rules = of(standing.commit)
    same = ((proposed or Policy()).text, (proposed or Policy()).signers) == (rules.policy.text, rules.policy.signers)
    touched = frozenset[str]() if ref is None else _touched(trunk.world, standing.commit, ref, rules.policy)
    return replace(rules, proposed=None if same else proposed or Policy(), beside=beside, touched=touched)


def _standing_on(trunk: Trunk) -> LineCommit | None:
    """The last commit before the change in hand."""
    known = trunk.before(0)
    return trunk.at(1 if known is None else known)


def _touched(world: World, standing: str, ref: str, policy: Policy) -> frozenset[str]:
    """The files of checks that differ between two commits."""
    paths = {path for check in policy.checks.values() for path in check_paths(check)}
    return frozenset(p for p in paths if world.source.digest(standing, p) != world.source.digest(ref, p))


def judge_version(
    world: World, desired: DesiredState, model: ModelRef, version: Version | None, rules: Rules
) -> tuple[Version, tuple[Verdict, ...]]:
    """
    Which version was asked about (the newest, if none was named), and what the gates before every slot of its model
    say to it. Raises ReconcilerError for a model or a version that is not there.
    """
    wanted = frozenset({version} if version is not None else set[Version]())
    live = world.registry.snapshot(Wanted({model: wanted})).models.get(model)
    live = refuse_unknown(world, model, live, version)
    chosen = max(live.versions) if version is None else version
    rules, desired = with_names(rules, desired)
    snapshot, pasts = with_past(rules, desired, RegistrySnapshot({model: live}))
    return chosen, judge_one(world, snapshot.models[model], chosen, desired, rules, pasts.get(model))


@dataclass(frozen=True, slots=True)
class Survey:
    """What drifted, and what it was found by."""

    drift: Drift
    desired: DesiredState
    snapshot: RegistrySnapshot
    pasts: Mapping[ModelRef, Past]


LeftAlone: TypeAlias = Callable[[ModelRef, int, int, Collection[int]], bool]
"""See `reconciler.recalling.left_alone`."""


def find_overview(
    world: World,
    ref: str,
    rules: Rules,
    names: Iterable[str] = (),
    *,
    everything: bool = False,
    left_alone: LeftAlone | None = None,
) -> Overview:
    """
    Every governed slot of the models that are named, or of all; with `everything` also what nobody governs. Raises
    ReconcilerError for a model that is not there.
    """
    found = survey_drift(world, ref, rules, left_alone=left_alone)
    known = {model.model for model in found.drift.models}
    others = [name for name in world.registry.names() if name not in known] if everything else []
    chosen = set(names) or {*known, *others}
    if missing := sorted(chosen - {*known, *others}):
        fix = did_you_mean(missing[0], known, "Correct the name, or pass --all for models that no manifest declares.")
        raise ReconcilerError(f"No manifest declares a model {plain(missing[0])}.", fix)
    drift = replace(found.drift, models=tuple(model for model in found.drift.models if model.model in chosen))
    wanted = Wanted({name: frozenset[Version]() for name in others if name in chosen})
    rest = world.registry.snapshot(wanted) if wanted.models else RegistrySnapshot({})
    read_at = world.clock.now()
    return overview(drift, found.desired, found.snapshot, found.pasts, read_at, rest if everything else None)


def refuse_unknown(
    world: World, model: ModelRef, live: ModelSnapshot | None, version: Version | None = None
) -> ModelSnapshot:
    """A model as the registry has it. Raises ReconcilerError where it has none, no version of it, or not this one."""
    if live is None:
        fix = did_you_mean(model, world.registry.names(), "Correct the name, or register one first.")
        raise ReconcilerError(f"The registry has no versions of {model}.", fix)
    if not live.versions:
        raise ReconcilerError(f"{model} has no versions yet.", "Register one first.")
    if version is not None and version not in live.versions:
        raise ReconcilerError(
            f"{model} has no version {version}; the newest is {max(live.versions)}.", "Name one that it has."
        )
    return live


def find_drift(
    world: World, ref: str, rules: Rules, *, files: bool = False, left_alone: LeftAlone | None = None
) -> Drift:
    """
    Where the registry differs from the commit that was last applied to it. What a newer commit asks for and nobody has
    applied yet is told apart. With `files`, those that were recorded are downloaded and compared. `left_alone` is asked
    where neither records nor MLflow's times tell what was refused.
    """
    return survey_drift(world, ref, rules, files=files, left_alone=left_alone).drift


def survey_drift(
    world: World, ref: str, rules: Rules, *, files: bool = False, left_alone: LeftAlone | None = None
) -> Survey:
    """The same, with what it was found by."""
    rules, desired = with_names(rules, declare(world, ref).desired)
    ours = desired.revision.ours
    snapshot = _snapshot(world, PlanOptions(), desired)
    if orphans := snapshot.orphans(ours, desired.models):
        # What a record alone led to was read without its versions.
        declared = {name: live for name, live in snapshot.models.items() if name not in orphans}
        snapshot = RegistrySnapshot({**declared, **read_again(world, desired, orphans).models})
    snapshot, pasts = with_past(rules, desired, snapshot)
    owned = {name: record for name, live in snapshot.models.items() if (record := live.owned_by(ours))}
    places = [pasts[name].place(record.commit) for name, record in owned.items() if name in pasts]
    hints = rules.trunk.hints(snapshot) if rules.trunk else ()
    applied = frozenset(place for place in (*places, *hints) if place is not None)
    newest = min(applied, default=None)

    compared: set[tuple[ModelRef, Version]] = set()
    strays = renamed(desired, snapshot.models, pasts)

    def slots_then(name: ModelRef) -> SlotMap | None:
        place = pasts[name].place(owned[name].commit) if name in owned and name in pasts else None
        if rules.trunk is None or place is None or world.slots == PLAIN:
            return None
        return next((epoch.policy.settings.slots for epoch in rules.trunk.standing_at(place)), PLAIN)

    def was_left(name: ModelRef, since: int, first: int) -> bool:
        past = pasts[name]
        then = past.epoch_at(place) if (place := past.place(owned[name].commit)) is not None else None
        # What declares the model as its record has it changes nothing, and has no receipt where nothing else changed.
        changing = {
            one for one in applied if (at := past.epoch_at(one)) is None or not then or at.manifest != then.manifest
        }
        # Where the remote does not answer, it is not known.
        return left_alone is not None and contained(partial(left_alone, name, since, first, changing)) is True

    def drift_of(name: ModelRef) -> ModelDrift:
        live, past, manifest = snapshot.models.get(name), pasts.get(name, Past(ours)), desired.models.get(name)
        if name in strays:
            record = owned.get(name)
            return ModelDrift(name, DriftStatus.DRIFTED, record and record.commit, blockers=(strays[name],))
        now = diff(manifest, live, desired.revision, name=name, past=pasts.get(name))
        drift = judge_drift(now, live, desired.revision, past, newest, slots_then(name), partial(was_left, name))
        if not files or live is None:
            return drift
        then = recorded_files(live, manifest, past)
        compared.update((name, one.version) for one in then)
        return with_files(drift, compared_files(world, name, then))

    models: list[ModelDrift] = []
    for name in sorted(desired.models.keys() | snapshot.orphans(ours, desired.models)):
        drift = contained(partial(drift_of, name))
        unknown = isinstance(drift, Failure)
        models.append(ModelDrift(name, DriftStatus.UNKNOWN, why=drift.why) if unknown else drift)
    number = len(compared) if files else None
    drift = Drift(desired.revision, world.registry.uri, tuple(models), number, world.registry.workspace, world.named)
    return Survey(drift, desired, snapshot, pasts)


def _snapshot(world: World, options: PlanOptions, *states: DesiredState) -> RegistrySnapshot:
    """All that plans for these desired states need to see; what is to be renamed for the first, under its new name."""
    versions: dict[ModelRef, frozenset[Version]] = {}
    for state in states:
        for name, wanted in _versions_wanted(state, options.targets).items():
            versions[name] = versions.get(name, frozenset()) | wanted
    first = states[0]
    read = world.registry.snapshot(Wanted(versions, first.revision.ours))
    return as_renamed(read.models, to_rename(first.models, read.models, first.revision.ours))


def _versions_wanted(state: DesiredState, targets: Collection[str]) -> dict[ModelRef, frozenset[Version]]:
    """The models that a plan for some of a desired state, or all, needs to see, and which versions of each."""
    versions = versions_named(m for name, m in state.models.items() if not targets or name in targets)
    for former in (n for manifest in state.models.values() for n in manifest.former_names):
        versions.setdefault(former, frozenset())
    return versions


def look_ahead(expect: Expect, desired: DesiredState, targets: Collection[str]) -> None:
    """Tell the registry which models a plan is going to ask for."""
    expect(_versions_wanted(desired, targets))


def read_again(world: World, desired: DesiredState, names: Iterable[ModelRef]) -> RegistrySnapshot:
    """Some models anew; what is to be renamed, under its new name."""
    wanted = dict.fromkeys(names, frozenset[Version]())
    chosen = {name: desired.models[name] for name in wanted if name in desired.models}
    wanted |= versions_named(chosen.values())
    read = world.registry.snapshot(Wanted(wanted))
    return as_renamed(read.models, to_rename(chosen, read.models, desired.revision.ours))


def under_former_names(world: World, snapshot: RegistrySnapshot) -> World:
    """The world, in which what is known of models that are to be renamed is looked up by the names that they have."""
    called = {name: live.called for name, live in snapshot.models.items() if live.called is not None}
    if not called:
        return world
    evidence, checks = world.evidence, world.checks
    return replace(
        world,
        evidence=evidence and _EvidenceByFormerNames(evidence, called),
        checks=checks and _ChecksByFormerNames(checks, called),
    )


@dataclass(frozen=True, slots=True)
class _EvidenceByFormerNames:
    source: EvidenceSource
    called: Mapping[ModelRef, ModelRef]

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        asked_as = {one: replace(one, model=self.called.get(one.model, one.model)) for one in asked}
        found = self.source.gather(asked_as.values())
        return {one: replace(found[other], model=one.model) for one, other in asked_as.items() if other in found}


@dataclass(frozen=True, slots=True)
class _ChecksByFormerNames:
    source: Checks
    called: Mapping[ModelRef, ModelRef]

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        return self.source.facts(self.called.get(model, model), version, signers)

    def present(self, model: ModelRef, version: Version) -> Presence:
        return self.source.present(self.called.get(model, model), version)

    def digest(self, model: ModelRef, version: Version) -> str:
        return self.source.digest(self.called.get(model, model), version)

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        return self.source.files(self.called.get(model, model), version)

    def place(self, model: ModelRef, version: Version) -> str:
        return self.source.place(self.called.get(model, model), version)


def applied_before(plan: Plan) -> dict[Commit | None, str]:
    """The commits that the models' own records name, for those models that the plan would write to."""
    found: dict[Commit | None, str] = {}
    for model in plan.models:
        for change in model.changes:
            before = change.before if isinstance(change, Claim | Release) else None
            if isinstance(before, Ownership) and plan.revision.ours.named(before.repository):
                found.setdefault(before.commit, model.model)
    return found


def rewind_fault(world: World, commit: Commit | None, applied: Mapping[Commit | None, str]) -> str | None:
    """
    Why a commit must not be applied over those that were applied before, each with what it was applied to: one that
    does not contain them would undo them unseen. None if it may be applied.
    """
    for before, where in applied.items():
        if commit is not None and before is not None and (fault := rewinds(world, commit, before)):
            return f"{short(before)} was the last commit applied to {where}. {fault}"
    return None


def versions_named(manifests: Iterable[Manifest]) -> dict[ModelRef, frozenset[Version]]:
    """The numbers that manifests name of each model, by every name that it has or had."""
    return {
        name: frozenset(pin.version for pin in m.pins() if pin.version is not None)
        for m in manifests
        for name in (*m.former_names, m.name)
    }


def rewinds(world: World, commit: Commit, applied: Commit) -> str | None:
    match world.source.relation(applied, commit):
        case Relation.SAME | Relation.ANCESTOR:
            return None
        case Relation.DESCENDANT:
            return f"{short(commit)} is older: apply the newer one; to go back, `git revert` the unwanted commits."
        case Relation.UNRELATED:
            return f"{short(commit)} does not contain it: merge that commit first."
        case Relation.UNKNOWN:
            return "This clone does not have it: fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`)."


def short(commit: Commit | None) -> str:
    return commit[:12] if commit else "an uncommitted work tree"
