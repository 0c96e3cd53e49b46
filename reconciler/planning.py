"""From manifests and registry to a plan, to its review, and to what has drifted. Reads everything, writes nothing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import TypeAlias

from reconciler.core.changes import Claim, Release
from reconciler.core.desired import DesiredState, Manifest, expired, resolve
from reconciler.core.diff import diff
from reconciler.core.drift import Drift, ModelDrift, judge_drift
from reconciler.core.evidence import Evidence, Exhibit, Pairing, VersionFacts
from reconciler.core.gate import Verdict
from reconciler.core.likeness import look_alike_notes, standing_names
from reconciler.core.names import Commit, ModelName, Version
from reconciler.core.plan import Plan, PlanOptions, build_plan
from reconciler.core.policy import Policy
from reconciler.core.review import Base, PolicyNote, Review, Scope, base_of, pairings
from reconciler.core.snapshot import Ownership, RegistrySnapshot
from reconciler.errors import ManifestError, Problem, ReconcilerError, RegistryError, Severity
from reconciler.gates.prospects import doubts
from reconciler.judging import NO_RULES, Rules, judge, judge_one, judge_proposed, unguarded
from reconciler.ports import Asked, Relation, SourceFile, Wanted, World


@dataclass(frozen=True, slots=True)
class Declaration:
    """What git declares, the warnings about it, and the manifest files that differ from the commit."""

    desired: DesiredState
    warnings: tuple[Problem, ...] = ()
    dirty: tuple[str, ...] = ()


def declare(world: World, ref: str | None, *, now: str | None = None) -> Declaration:
    """
    Read, parse and merge the manifests of a commit, or of the work tree. Raises ManifestError with every problem;
    where `now` is given, an override whose time is over is one.
    """
    checkout = world.source.read(ref)
    fragments, unreadable = world.parse(checkout.files)
    models, contradictions = resolve(fragments)
    over = () if now is None else expired(models.values(), now)
    problems = tuple(sorted((*checkout.problems, *unreadable, *contradictions, *over)))
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise ManifestError(problems)
    return Declaration(DesiredState(checkout.revision, models), problems, checkout.dirty)


def make_plan(world: World, desired: DesiredState, options: PlanOptions, rules: Rules = NO_RULES) -> Plan:
    """What it would take to bring the registry to the desired state, and what the rules say. Writes nothing."""
    snapshot = _snapshot(world, options, desired)
    return judge(world, build_plan(desired, snapshot, options), snapshot, desired, rules)


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
    desired = declaration.desired
    notes: list[str] = []
    before = None if base is None else _before(world, base, ref, notes)
    states = [desired] if before is None else [desired, before]
    snapshot = _snapshot(world, options, *states)
    plan = judge(world, build_plan(desired, snapshot, options), snapshot, desired, rules)
    if fault := rewind_fault(world, plan.revision.commit, applied_before(plan)):
        notes.append(f"An apply would be refused: {fault}")
    return Review(
        plan=plan,
        registry=world.registry.uri,
        evidence=gather(world, pairings(plan, snapshot, scope), snapshot) if scope is not Scope.NONE else None,
        base=None if base is None or before is None else _pending(base, before, snapshot, options),
        notes=(
            *notes,
            *(str(doubt) for doubt in doubts(rules.proposed or Policy())),
            *unguarded(plan, snapshot, rules),
            *look_alike_notes(snapshot, desired, rules.names, rules.policy),
        ),
        policy=_policy_told(rules, judge_proposed(world, plan, snapshot, desired, rules)),
    )


def _policy_told(rules: Rules, proposed: tuple[Verdict, ...]) -> PolicyNote | None:
    """Which rules judged, and what would be different under those that the change proposes."""
    standing = rules.policy
    if rules.proposed is None and not standing.rules:
        return None
    difference: list[str] = []
    if rules.proposed is not None:
        lines = (standing.text.splitlines(), rules.proposed.text.splitlines())
        difference = list(unified_diff(*lines, f"standing {standing.path}", "proposed", lineterm="", n=1))
    return PolicyNote(standing.path, standing.commit, tuple(difference), proposed)


def _before(world: World, base: str, ref: str | None, notes: list[str]) -> DesiredState | None:
    """What was declared where the change left its base; None, with a note, where that cannot be read."""
    fork = world.source.fork(base, ref)
    if fork.behind:
        notes.append(
            f"{base} has {fork.behind} newer {'commit' if fork.behind == 1 else 'commits'}: a merge may do something "
            f"else than is shown here. Merge {base} into this first, or plan the merge commit."
        )
    try:
        return declare(world, fork.commit).desired
    except ManifestError as error:
        notes.append(
            f"The manifests of {short(fork.commit)} on {base} cannot be read, so drift is not told apart from this "
            f"change: {error.problems[0]}"
        )
        return None


def _pending(base: str, before: DesiredState, snapshot: RegistrySnapshot, options: PlanOptions) -> Base:
    """What would be done without the change under review, within the same targets, whatever the safeties say to it."""
    targets = options.targets
    chosen = {name: m for name, m in before.models.items() if not targets or name in targets}
    plan = build_plan(
        replace(before, models=chosen), snapshot, replace(options, targets=(), force=True, allow_empty=True)
    )
    kept = tuple(model for model in plan.models if not targets or model.model in targets)
    return base_of(base, replace(plan, models=kept))


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
        return Evidence(read_at, trouble="This registry has no evidence to show.")
    courses = {e: _course(e, snapshot) if len(moving) < MOST_COURSES else () for e in moving}
    whole = {(e.model, v) for e in moving for v in (e.candidate, e.incumbent) if v is not None}
    brief = {(e.model, v) for e, versions in courses.items() for v in versions} - whole
    asked = [*(Asked(*key) for key in sorted(whole)), *(Asked(*key, brief=True) for key in sorted(brief))]
    try:
        found = world.evidence.gather(asked)
    except RegistryError as error:
        return Evidence(read_at, trouble=str(error))
    facts = {(a.model, a.version): f for a, f in found.items()}

    def of(model: ModelName, version: Version) -> VersionFacts:
        return facts.get((model, version)) or VersionFacts(model, version)

    return Evidence(
        read_at,
        tuple(
            Exhibit(
                pairing,
                of(pairing.model, pairing.candidate),
                None if pairing.incumbent is None else of(pairing.model, pairing.incumbent),
                tuple(of(pairing.model, version) for version in versions),
            )
            for pairing, versions in courses.items()
        ),
    )


def _course(pairing: Pairing, snapshot: RegistrySnapshot) -> tuple[Version, ...]:
    """The last versions of the model, and the two that matter whatever their age, oldest first."""
    live = snapshot.models.get(pairing.model)
    last = sorted(live.versions)[-LAST_VERSIONS:] if live else []
    return tuple(sorted({*last, pairing.candidate, *([pairing.incumbent] if pairing.incumbent else [])}))


PolicyParser: TypeAlias = Callable[[SourceFile, Callable[[str], SourceFile | None]], Policy]
"""Reads a policy; the second argument finds the files of the same commit that it names. Raises ManifestError."""

POLICY_PATH = "reconciler.yaml"


def standing_commit(world: World, *, base: str | None, ref: str | None, policy_ref: str | None) -> str | None:
    """
    The commit whose policy judges: what was there before the change under review. That is where the change left its
    base, or else the commit before (the first parent), so that no change is judged by rules that it brings along.
    """
    if policy_ref is not None and set(policy_ref) != {"0"}:
        return policy_ref
    if base is not None:
        return world.source.fork(base, ref).commit
    line = tuple(world.source.line(ref or "HEAD", (), 2))
    return line[-1] if line else None


def read_rules(world: World, parse: PolicyParser, *, standing: str | None, ref: str | None) -> Rules:
    """
    The rules that stand, of that commit, and beside them those that `ref` (None: the work tree) proposes, if they are
    others. Raises ManifestError where either cannot be read: nothing is judged by half a policy.
    """
    source = world.source

    def read(at: str | None) -> Policy | None:
        file = source.file(at, POLICY_PATH)
        return None if file is None else parse(file, lambda path: source.file(at, path))

    if standing is None:
        return Rules(proposed=read(ref))
    before = _declared_before(world, standing)
    commit = None if before is None else before.revision.commit
    policy = replace(read(standing) or Policy(), commit=commit or Commit(standing))
    proposed = read(ref) or Policy()
    declared: Mapping[ModelName, Manifest] = {} if before is None else before.models
    return Rules(
        policy=policy,
        proposed=None if proposed.text == policy.text and proposed.signers == policy.signers else proposed,
        base=policy.commit,
        owners={name: manifest.owners.value if manifest.owners else () for name, manifest in declared.items()},
        tags={name: {key: tag.value for key, tag in manifest.tags.items()} for name, manifest in declared.items()},
        names=standing_names(declared),
    )


def _declared_before(world: World, commit: str) -> DesiredState | None:
    """What the trusted side declares; where it cannot be read, nobody owns anything."""
    try:
        return declare(world, commit).desired
    except ManifestError:
        return None


def judge_version(
    world: World, desired: DesiredState, model: ModelName, version: Version | None, rules: Rules
) -> tuple[Version, tuple[Verdict, ...]]:
    """
    Which version was asked about (the newest, if none was named), and what the gates before every slot of its model
    say to it. Raises ReconcilerError for a model or a version that is not there.
    """
    wanted = frozenset({version} if version is not None else set[Version]())
    live = world.registry.snapshot(Wanted({model: wanted})).models.get(model)
    if live is None or not live.versions:
        raise ReconcilerError(f"The registry has no versions of {model}.", "Correct the name, or register one first.")
    newest = max(live.versions)
    if version is not None and version not in live.versions:
        raise ReconcilerError(f"{model} has no version {version}; the newest is {newest}.", "Name one that it has.")
    chosen = newest if version is None else version
    return chosen, judge_one(world, live, chosen, desired, rules)


def find_drift(world: World, ref: str) -> Drift:
    """
    Where the registry differs from the commit that was last applied to it. What a newer commit asks for and nobody has
    applied yet is told apart. A model that holds what `ref` declares has not drifted.
    """
    desired = declare(world, ref).desired
    snapshot = _snapshot(world, PlanOptions(), desired)
    repository = desired.revision.repository
    applied: dict[Commit, DesiredState | str] = {}
    models: list[ModelDrift] = []
    for name in sorted(desired.models.keys() | {n for n, live in snapshot.models.items() if live.owned_by(repository)}):
        live = snapshot.models.get(name)
        now = diff(desired.models.get(name), live, desired.revision, name=name)
        if not now.proposals and not now.blocked:
            models.append(ModelDrift(name))
            continue
        owned = live.owned_by(repository) if live else None
        last = None if owned is None or owned.commit is None else _applied(world, owned.commit, desired, applied)
        models.append(judge_drift(now, last, live))
    return Drift(desired.revision, world.registry.uri, tuple(models))


def _applied(
    world: World, commit: Commit, head: DesiredState, known: dict[Commit, DesiredState | str]
) -> DesiredState | str:
    """What a commit declares that was applied before, or why it cannot be read."""
    if commit == head.revision.commit:
        return head
    if commit not in known:
        try:
            if head.revision.commit is not None:
                # Looks for it on the remote too.
                world.source.relation(commit, head.revision.commit)
            known[commit] = declare(world, commit).desired
        except ReconcilerError as error:
            known[commit] = str(error)
    return known[commit]


def _snapshot(world: World, options: PlanOptions, *states: DesiredState) -> RegistrySnapshot:
    """All that plans for these desired states need to see."""
    versions: dict[ModelName, frozenset[Version]] = {}
    for state in states:
        chosen = (m for name, m in state.models.items() if not options.targets or name in options.targets)
        for name, wanted in versions_named(chosen).items():
            versions[name] = versions.get(name, frozenset()) | wanted
    return world.registry.snapshot(Wanted(versions, states[0].revision.repository))


def applied_before(plan: Plan) -> dict[Commit | None, str]:
    """The commits that the models' own records name, for those models that the plan would write to."""
    found: dict[Commit | None, str] = {}
    for model in plan.models:
        for change in model.changes:
            before = change.before if isinstance(change, Claim | Release) else None
            if isinstance(before, Ownership) and before.repository == plan.revision.repository:
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


def versions_named(manifests: Iterable[Manifest]) -> dict[ModelName, frozenset[Version]]:
    return {m.name: frozenset(pin.version for pin in m.pins() if pin.version is not None) for m in manifests}


def rewinds(world: World, commit: Commit, applied: Commit) -> str | None:
    match world.source.relation(applied, commit):
        case Relation.SAME | Relation.ANCESTOR:
            return None
        case Relation.DESCENDANT:
            return f"{short(commit)} is older: apply the newer one; to go back, `git revert` what is to be undone."
        case Relation.UNRELATED:
            return f"{short(commit)} does not contain it: merge that commit first."
        case Relation.UNKNOWN:
            return "This clone does not have it: fetch the whole history (`git fetch --unshallow`, `fetch-depth: 0`)."


def short(commit: Commit | None) -> str:
    return commit[:12] if commit else "an uncommitted work tree"
