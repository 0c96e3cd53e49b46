"""How things are said: the same in the terminal, in JSON, in a log, and wherever else people read of a change."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from reconciler.core.changes import (
    Change,
    Claim,
    CreateModel,
    DeleteAlias,
    DescribeModel,
    DescribeVersion,
    RecordProvenance,
    RecordTags,
    RegisterVersion,
    Release,
    RenameModel,
    SetAlias,
    TagModel,
    TagVersion,
    TransitionStage,
    UntagVersion,
)
from reconciler.core.desired import Revision
from reconciler.core.diff import Blocker, ModelPlan, Reason, Why
from reconciler.core.drift import Drift, DriftStatus, ModelDrift, touched
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.loosening import Consequence, Shift
from reconciler.core.moments import moment, moment_of, to_the_minute
from reconciler.core.names import Slot, Version, VersionTag
from reconciler.core.overview import ModelOverview, Overview, SlotOverview, SlotState
from reconciler.core.plan import Effect, Subject, Summary, Value, Verb, effects_of
from reconciler.core.review import Origin, PolicyNote, Review
from reconciler.core.snapshot import UnreadableRecord
from reconciler.core.text import amount, clean, quoted
from reconciler.events import OutcomeStatus, Receipt
from reconciler.ports import Holder

ONLY_RECORDS = "only our own records of it are written"
"""What is said of a model of which nothing else is different afterwards."""


def reason(because: Reason) -> str:
    """What asks for a change: `declared in manifests/x.yaml:9`, `displaced by v4`, `no longer declared`."""
    match because.why:
        case Why.DECLARED:
            return f"declared in {clean(_line(because))}"
        case Why.DISPLACED if because.by:
            return f"displaced by {versions(because.by)}"
        case Why.DISPLACED:
            return f"must be empty: {clean(_line(because))}"
        case Why.UNDECLARED:
            return "no longer declared"
        case Why.GOVERNED:
            return f"governed by {clean(_line(because))}"
        case Why.LEFT:
            return f"keeps {versions(because.by)}, which leaves, as the policy says"
        case Why.RENAMED:
            return "the repository was renamed"
        case Why.RELEASED:
            return "no manifest declares this model anymore"


def brief_reason(because: Reason, file: str) -> str:
    """The same, of what is declared the place alone: `line 9` of that file, `manifests/x.yaml:9` of others."""
    if because.why not in {Why.DECLARED, Why.GOVERNED} or because.at is None:
        return reason(because)
    return f"line {because.at.line}" if file == because.at.path and because.at.line else clean(_line(because))


def reason_for_all(because: Reason) -> str:
    """The same for several models at once, which are declared in different places."""
    return "" if because.why in {Why.DECLARED, Why.GOVERNED, Why.DISPLACED, Why.LEFT} else reason(because)


def _line(because: Reason) -> str:
    at = because.at
    return "" if at is None else f"{at.path}:{at.line}" if at.line else at.path


def versions(numbers: Iterable[Version]) -> str:
    """`v4`, `v4 and v5`, `v3, v4 and v5`."""
    words = [f"v{number}" for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def value(of: Subject | Value) -> str:
    """What an effect is about, or what there is before or after it, unescaped: `v5`, `@champion`, `Production`."""
    match of:
        case None:
            return ""
        case int():
            return f"v{of}"
        case str():
            return str(of)
        case tuple():
            return ", ".join(of) or "no stage, no alias"
        case VersionTag():
            return f"v{of.version} {of.key}"
        case UnreadableRecord():
            return "an unreadable record"
        case _:
            assert_never(of)


def subject(effect: Effect) -> str:
    """What an effect is about: `v5`, `@champion`, a tag's key; nothing for the model itself."""
    return clean(value(effect.subject))


def what_is_found(effects: Iterable[Effect]) -> str:
    """`Staging v3, @champion v2`: what stays where it is, slot by slot."""
    return ", ".join(
        f"{effect.subject} {value(effect.after)}"
        if isinstance(effect.subject, Slot)
        else f"{value(effect.after)} {value(effect.subject)}"
        for effect in effects
    )


def found_together(effects: Sequence[Effect]) -> tuple[list[Effect], list[Effect]]:
    """What is said of a model line by line, and what is found of it and said in one, where that is more than one."""
    found = [effect for effect in effects if effect.verb is Verb.FIND]
    several = found if len({effect.because for effect in found}) == 1 < len(found) else []
    return [effect for effect in effects if effect not in several], several


def what_moves(effect: Effect) -> str:
    """The part of an effect between its subject and its reason: `Staging -> Production`."""
    before, after = value(effect.before), value(effect.after)
    match effect.verb:
        case Verb.CREATE:
            return "a registered model without versions"
        case Verb.RENAME:
            return f"{clean(before)} -> {clean(after)}; models:/{clean(before)}/… finds nothing from then on"
        case Verb.REGISTER | Verb.COPY:
            return f"from {clean(after)}"
        case Verb.DESCRIBE:
            return quoted(after)
        case Verb.TAG:
            return f"{'' if effect.before is None else quoted(before) + ' -> '}{quoted(after)}"
        case Verb.UNTAG:
            return f"{quoted(before)} ->"
        case Verb.CLAIM:
            return f"{'' if effect.before is None else clean(before) + ' -> '}{clean(after)}"
        case Verb.ADOPT:
            return f"{clean(before)} -> {clean(after)}"
        case Verb.RELEASE:
            return "stages, aliases and versions stay as they are"
        case Verb.FIND:
            return f"{after} already, found and not judged"
        case _ if effect.before == effect.after:
            return f"{after} already, put there by hand"
        case Verb.SET_ALIAS:
            return f"-> {after}"
        case Verb.DELETE_ALIAS:
            return f"{before} ->"
        case _:
            through = f" (through {effect.through})" if effect.through else ""
            return f"{before} -> {after}{through}"


def sentence(effect: Effect) -> str:
    """One effect in one line: `RiskClassifier: promote v5: Staging -> Production`."""
    about = f"{effect.verb} {subject(effect)}".rstrip()
    return f"{clean(effect.model)}: {about}: {what_moves(effect)}"


def call(change: Change) -> str:
    """One call, as it is made: for progress and logs."""
    match change:
        case CreateModel():
            return "create the registered model"
        case RenameModel():
            return f"rename the registered model {clean(change.before)} to {clean(change.model)}"
        case Claim():
            return "write the ownership record"
        case Release():
            return "remove the ownership record"
        case DescribeModel():
            return "describe the model"
        case TagModel():
            return f"tag {clean(change.key)}"
        case DescribeVersion():
            return f"describe v{change.version}"
        case RegisterVersion():
            verb = "register" if change.original is None else "copy"
            return f"{verb} v{change.version} from {clean(change.made_of)}"
        case RecordTags():
            return f"record the tags of v{change.version}"
        case TagVersion():
            return f"tag v{change.version} {clean(change.key)}"
        case UntagVersion():
            return f"untag v{change.version} {clean(change.key)}"
        case RecordProvenance():
            return f"record provenance of v{change.version}"
        case TransitionStage():
            archived = f", archiving {versions(change.archives)}" if change.archives else ""
            return f"move v{change.version}: {change.before} -> {change.after}{archived}"
        case SetAlias():
            before = "" if change.before is None else f"v{change.before} "
            return f"set @{clean(change.alias)}: {before}-> v{change.after}"
        case DeleteAlias():
            return f"delete @{clean(change.alias)}: v{change.before} ->"
        case _:
            assert_never(change)


def blocker(block: Blocker) -> str:
    """Why a model is blocked, with the place that asks for what cannot be."""
    at = f"{clean(str(block.at))}: " if block.at else ""
    return f"{at}{block.code}: {clean(block.message)} {clean(block.fix)}".rstrip()


def verdict(of: Verdict, where: str = "") -> str:
    """What a gate said: `soak before Production: v5 has been in Staging for 2 h; 3 days required`."""
    note = f" ({clean(of.note)})" if of.note else ""
    return f"{clean(of.gate)} before {where or clean(of.entrance.slot)}: {clean(of.sentence)}{note}"


def alike(verdicts: Iterable[Verdict]) -> Iterator[tuple[Verdict, str]]:
    """
    Each verdict once, those that refuse first, with the slots that it is the same for: a stage and an alias of it,
    as in `Production, @champion`.
    """
    slots: dict[tuple[object, ...], list[Verdict]] = {}
    for of in sorted(verdicts, key=lambda v: not v.blocks):
        same = (of.entrance.model, of.entrance.candidate, of.gate, of.ruling, of.sentence, of.note)
        slots.setdefault(same, []).append(of)
    for same in slots.values():
        yield same[0], ", ".join(dict.fromkeys(clean(of.entrance.slot) for of in same))


def passes(verdicts: Iterable[Verdict]) -> str:
    """Which gates said yes, in one line: `path before Production; metric before Production, @champion`."""
    gates: dict[tuple[Version, str], list[str]] = {}
    for of, where in alike(of for of in verdicts if of.ruling is Ruling.PASS):
        gates.setdefault((of.entrance.candidate, where), []).append(clean(of.gate))
    several = len({candidate for candidate, _ in gates}) > 1
    return "; ".join(
        f"{f'v{candidate}: ' if several else ''}{', '.join(dict.fromkeys(names))} before {where}"
        for (candidate, where), names in gates.items()
    )


def standing(model: ModelPlan) -> str:
    """What is most to be said of a model: `blocked: soak, metric`, `let in by an override: soak`, or nothing."""
    refusing = [of.gate for of in model.verdicts if of.blocks]
    if obstacles := dict.fromkeys([*(block.code for block in model.blockers), *refusing]):
        return f"blocked: {names([*obstacles], 8)}"
    overridden = dict.fromkeys(of.gate for of in model.verdicts if of.ruling is Ruling.OVERRIDDEN)
    return f"let in by an override: {names([*overridden], 8)}" if overridden else ""


def policy_line(note: PolicyNote) -> str:
    """Which rules judged."""
    commit = f"commit {note.commit[:12]}" if note.commit else "no commit: there are none yet"
    if not note.changed:
        return f"Judged by {clean(note.path)} of {commit}."
    parts = f" ({', '.join(note.parts)})" if note.parts else ""
    edits = f"This change edits {clean(note.path)}{parts}. It is judged by the current policy, of {commit}"
    admitted = sum(consequence.admits for consequence in note.consequences)
    open_slots = sum(not exposure.left for exposure in note.exposed)
    weaker = len(note.exposed) - open_slots
    refused = len({str(verdict.entrance) for verdict in note.proposed if verdict.blocks})
    would = [
        *([f"admit {amount(admitted, 'entrance')} that the current one refuses"] if admitted else []),
        *([f"leave {amount(open_slots, 'slot')} without a gate"] if open_slots else []),
        *([f"guard {amount(weaker, 'slot')} less"] if weaker else []),
        *([f"refuse {amount(refused, 'entrance')}"] if refused else []),
    ]
    return f"{edits}; the proposed policy would {' and '.join(would) or 'give the same verdicts'}."


def policy_effects(note: PolicyNote) -> Iterator[str]:
    """What the proposed policy would change, a line each: what it admits, where it guards less, what it refuses."""
    grave = [c for c in note.consequences if c.shift is not Shift.REFUSED]
    yield from map(consequence, grave)
    alike: dict[tuple[str, tuple[str, ...], tuple[str, ...], bool], list[str]] = {}
    for e in note.exposed:
        alike.setdefault((e.slot, e.dropped, e.relaxed, e.left > 0), []).append(e.model)
    for (slot, dropped, relaxed, guarded), models in alike.items():
        where = f"{clean(slot)} of {names(models)}"
        if not guarded:
            yield f"{where}: no gate would guard it. Today: {names(dropped)}."
        elif dropped:
            yield f"{where}: {names(dropped)} would no longer apply."
        if relaxed:
            yield f"{where}: {names(relaxed)} could be waived or overridden more easily."
    yield from (consequence(c) for c in note.consequences if c.shift is Shift.REFUSED)


def consequence(of: Consequence) -> str:
    """How one entrance fares under the proposed policy."""
    where = clean(str(of.entrance))
    match of.shift:
        case Shift.UNGUARDED if of.refused_by:
            return (
                f"{where}: the proposed policy would admit what the current one refuses ({names(of.refused_by)}): "
                "no gate would guard it."
            )
        case Shift.UNGUARDED:
            return f"{where}: no gate would guard it. Today: {names(of.dropped)}."
        case Shift.ADMITTED:
            return f"{where}: the proposed policy would admit what the current one refuses ({names(of.refused_by)})."
        case Shift.FEWER_GATES:
            return f"{where}: {names(of.dropped)} would no longer apply."
        case Shift.REFUSED:
            return f"{where}: the proposed policy would refuse it ({names(of.refused_by)})."


def names(texts: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`; of none, `nothing`."""
    shown = [clean(text) for text in texts[:most]]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(shown)}{more}" or "nothing"


def summary_line(summary: Summary) -> str:
    """
    The last line of a plan, which scripts may parse: a number and words that never change for each kind of change that
    there is, in one order.
    """
    parts = [f"{number} {label}" for number, label, _ in summary_parts(summary)]
    changes = summary.kinds or summary.aliases or summary.blocked
    return f"Plan: {', '.join(parts if changes else ['no changes', *parts])}."


def summary_parts(summary: Summary) -> Iterator[tuple[int, str, Verb | None]]:
    """The figures that are not 0, with what they count, and the verb where that is one."""
    for verb, number in summary.kinds:
        yield number, _to_do(verb, number), verb
    if summary.aliases:
        yield summary.aliases, f"{'alias' if summary.aliases == 1 else 'aliases'} to move", Verb.MOVE_ALIAS
    if summary.blocked:
        yield summary.blocked, "blocked", None
    if summary.unchanged:
        yield summary.unchanged, "unchanged", None


def _to_do(verb: Verb, number: int) -> str:
    models, texts, tags = (noun if number == 1 else f"{noun}s" for noun in ("model", "description", "tag"))
    match verb:
        case Verb.DESCRIBE:
            return f"{texts} to write"
        case Verb.TAG:
            return f"{tags} to set"
        case Verb.CREATE | Verb.RENAME | Verb.CLAIM | Verb.ADOPT | Verb.RELEASE:
            return f"{models} to {verb}"
        case Verb.FIND:
            return "found and not judged"
        case _:
            return f"to {verb}"


def pending_line(review: Review) -> str:
    """How much of a plan was pending before the change under review; nothing where nothing was asked or was."""
    if review.base is None:
        return ""
    count = sum(review.origin(effect) is Origin.DRIFT for model in review.plan.models for effect in effects_of(model))
    settled = len(review.settled)
    told = [
        *(
            [f"{amount(count, 'change')} pending on {clean(review.base.ref)} already without this change"]
            if count
            else []
        ),
        *([f"{amount(settled, 'change')} pending there and no longer once this is merged"] if settled else []),
    ]
    return f"{'; '.join(told)}." if told else ""


def drift_sentences(model: ModelDrift) -> Iterator[str]:
    """
    The same of all that drifted of a model, with the time by which that was done where MLflow keeps one:
    `v4 is in None, but should be in Production (last changed 2026-05-10 14:00 UTC)`.
    """
    for effect in model.drifted:
        changed_at = model.changed_at.get(effect.subject) if isinstance(effect.subject, int) else None
        when = moment_of(changed_at) if changed_at else None
        changed = f" (last changed {to_the_minute(when)})" if when is not None else ""
        yield f"{drift_sentence(effect)}{changed}"


def ways_out(drift: Drift) -> str:
    """What to do about what drifted: the two ways, and nothing where nothing did."""
    models = [shlex.quote(clean(m.model)) for m in drift.models if m.status is DriftStatus.DRIFTED and m.drifted]
    if not models:
        return ""
    options = " ".join(f"--restore {name}" for name in (models if len(models) <= WAYS else ["MODEL"]))
    return (
        f"To put it back, run `reconciler apply{of_one(drift.named)} --yes {options}`. To keep what is there, run "
        f"`reconciler drift{of_one(drift.named)} --adopt --open-pr`: gates judge it then."
    )


def of_one(registry: str) -> str:
    """The option by which a command is about one of several registries, behind its name."""
    return f" --registry {registry}" if registry else ""


ROLLBACK = "To roll back, `git revert` the commit (`git revert -m 1` a merge commit) and merge that."

WAYS = 3
"""So many models are named in a command; of more, `MODEL` stands for each."""


def drift_sentence(effect: Effect) -> str:
    """What is there, and what should be by the commit applied last: `v4 is in None, but should be in Production`."""
    about, there, applied = subject(effect), value(effect.before), value(effect.after)
    is_alias = isinstance(effect.subject, Slot)
    if effect.before == effect.after and effect.before is not None:
        place = f"names {there}" if is_alias else f"is in {there}"
        return f"{about} {place}, but no record says that an apply put it there"
    match effect.verb:
        case _ if is_alias:
            should = f"should name {applied}" if applied else "should not be there"
            return f"{about} names {there or 'nothing'}, but {should}"
        case Verb.TAG:
            return f"tag {about} is {quoted(there)}, but should be {quoted(applied)}"
        case Verb.DESCRIBE:
            return f"the description of {about or 'the model'} is {quoted(there)}, but should be {quoted(applied)}"
        case Verb.CREATE:
            return "the registered model is gone"
        case Verb.REGISTER | Verb.COPY:
            return f"no version is made of {clean(applied)}"
        case Verb.CLAIM | Verb.ADOPT | Verb.RELEASE:
            return (
                f"our ownership record says {clean(there or 'nothing')}, but should say {clean(applied or 'nothing')}"
            )
        case _:
            return f"{about} is in {there}, but should be in {applied}"


def files_line(drift: Drift) -> str:
    """How many files were compared; nothing where that was not asked for."""
    if drift.compared is None:
        return ""
    if not drift.compared:
        return "Files: none recorded. `artifact: {pinned: true}` records those of versions that enter from then on."
    return f"Files: those of {amount(drift.compared, 'version')} compared."


def drift_line(drift: Drift) -> str:
    """The last line of `drift`, which scripts may parse."""
    return (
        f"Drift: {drift.count(DriftStatus.DRIFTED)} drifted, {drift.count(DriftStatus.UNKNOWN)} unknown, "
        f"{drift.count(DriftStatus.PENDING)} pending, {drift.count(DriftStatus.IN_SYNC)} in sync."
    )


def slot_says(slot: SlotOverview) -> str:
    """What is in a slot, and what should be where that differs: `v6; declared: v5`."""
    there = held(tuple(occupant.version for occupant in slot.actual))
    if slot.declared is None:
        return there if slot.state is SlotState.UNGOVERNED else f"{there}; no longer declared"
    same = slot.declared == tuple(occupant.version for occupant in slot.actual)
    return there if same else f"{there}; declared: {held(slot.declared)}"


def held(numbers: Sequence[Version]) -> str:
    """What a slot holds: `v4`, `v4 and v5`, `empty`."""
    return versions(numbers) if numbers else "empty"


def slot_since(slot: SlotOverview) -> str:
    """`since 2026-05-01 10:00 UTC, 1b9c02f4a7de by Ada`; nothing where nobody knows."""
    occupant = slot.served
    when = moment(occupant.since) if occupant else None
    if occupant is None or when is None:
        return ""
    if occupant.commit is None:
        return f"last changed {to_the_minute(when)}"
    author = clean(occupant.author.partition(" <")[0])
    return f"since {to_the_minute(when)}, {occupant.commit[:12]}{f' by {author}' if author else ''}"


def model_note(model: ModelOverview) -> str:
    """Who else governs a model, or which commit was applied to one that is not in sync."""
    if model.drift is None:
        return f"governed by {clean(model.elsewhere)}" if model.elsewhere else "not governed"
    apart = model.drift.status is not DriftStatus.IN_SYNC
    return f"last applied: {model.drift.applied[:12]}" if apart and model.drift.applied else ""


def model_remarks(model: ModelOverview) -> Iterator[tuple[str, str]]:
    """What drift says of a model that its slots do not show, with a word before it."""
    if model.drift is None:
        return
    slots = {slot.slot for slot in model.slots}
    for effect in model.drift.drifted:
        if slots.isdisjoint(touched(effect)):
            yield "drifted", drift_sentence(effect)
    for effect in model.drift.pending:
        if slots.isdisjoint(touched(effect)):
            yield "pending", sentence(effect)
    for files in model.drift.replaced:
        yield "drifted", clean(files.sentence)
    for blocked in model.drift.blockers:
        yield "blocked", blocker(blocked)
    if model.drift.why:
        yield "unknown", clean(model.drift.why)


def overview_line(of: Overview) -> str:
    """The last line of `status`, which scripts may parse."""
    counts = of.counts
    shown = [state for state in SlotState if state is not SlotState.UNGOVERNED or counts[state]]
    return f"Status: {', '.join(f'{counts[state]} {state}' for state in shown)}."


def revision(of: Revision) -> str:
    """What was planned for: a commit, with its subject, or the work tree."""
    if of.commit is None:
        return "the work tree"
    subject = f" ({clean(of.subject)})" if of.subject else ""
    return f"commit {of.commit[:12]}{subject}"


def registry(uri: str, workspace: str) -> str:
    """Which registry: `https://mlflow.acme.example, workspace team-a`."""
    return f"{clean(uri)}, workspace {clean(workspace)}" if workspace else clean(uri)


def holder(of: Holder) -> str:
    """Who holds a lock: `ci@runner pid 42 since 2026-05-01T10:00:00Z, run https://…`."""
    run = f", run {clean(of.run)}" if of.run else ""
    return f"{clean(of.who)} since {clean(of.since)}{run}"


def what_next(receipt: Receipt) -> str:
    """What to do after an apply; nothing where all went well."""
    return "" if receipt.exit_code == 0 else "Fix the cause and run it again: what is done stays done."


def receipt_sentence(receipt: Receipt) -> str:
    """How an apply ended: `Apply complete: 3 applied.`"""
    count = Counter(outcome.status for outcome in receipt.outcomes)
    parts = [f"{count[OutcomeStatus.APPLIED]} applied"] if receipt.outcomes else ["nothing to change"]
    parts.extend(f"{count[s]} {s}" for s in OutcomeStatus if s is not OutcomeStatus.APPLIED and count[s])
    lead = "Interrupted" if receipt.interrupted else "Apply complete" if receipt.exit_code == 0 else "Apply incomplete"
    return f"{lead}: {', '.join(parts)}."
