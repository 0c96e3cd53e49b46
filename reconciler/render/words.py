"""How things are said: the same in the terminal, in JSON, in a log, and wherever else people read of a change."""

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
    Release,
    SetAlias,
    TagModel,
    TransitionStage,
)
from reconciler.core.desired import Revision
from reconciler.core.diff import Blocker, Reason, Why
from reconciler.core.drift import Drift, DriftStatus
from reconciler.core.gate import Verdict
from reconciler.core.loosening import Consequence, Shift
from reconciler.core.names import Version
from reconciler.core.plan import Effect, Summary, Verb, effects_of
from reconciler.core.review import Origin, PolicyNote, Review
from reconciler.events import OutcomeStatus, Receipt
from reconciler.ports import Holder
from reconciler.render.clean import clean, quoted


def reason(because: Reason) -> str:
    """What asks for a change: `declared in manifests/x.yaml:9`, `displaced by v4`, `no longer declared`."""
    match because.why:
        case Why.DECLARED:
            return f"declared in {clean(_line(because))}"
        case Why.DISPLACED if because.by:
            return f"displaced by {versions(because.by)}"
        case Why.DISPLACED:
            return f"to be empty by {clean(_line(because))}"
        case Why.UNDECLARED:
            return "no longer declared"
        case Why.GOVERNED:
            return f"governed by {clean(_line(because))}"
        case Why.RENAMED:
            return "the repository has another name now"
        case Why.RELEASED:
            return "no manifest declares this model any more"


def _line(because: Reason) -> str:
    at = because.at
    return "" if at is None else f"{at.path}:{at.line}" if at.line else at.path


def versions(numbers: Iterable[Version]) -> str:
    """`v4`, `v4 and v5`, `v3, v4 and v5`."""
    words = [f"v{number}" for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def what_moves(effect: Effect) -> str:
    """The part of an effect between its subject and its reason: `Staging -> Production`."""
    before, after = effect.before, effect.after
    match effect.verb:
        case Verb.CREATE:
            return "a registered model without versions"
        case Verb.DESCRIBE:
            return quoted(after or "")
        case Verb.TAG:
            return f"{'' if before is None else quoted(before) + ' -> '}{quoted(after or '')}"
        case Verb.CLAIM:
            return f"{'' if before is None else clean(before) + ' -> '}{clean(after or '')}"
        case Verb.ADOPT:
            return f"{clean(before or '')} -> {clean(after or '')}"
        case Verb.RELEASE:
            return "stages, aliases and versions stay as they are"
        case Verb.FIND:
            return f"{after} already, found and not judged"
        case _ if before == after:
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
    subject = f" {clean(effect.subject)}" if effect.subject else ""
    return f"{clean(effect.model)}: {effect.verb}{subject}: {what_moves(effect)}"


def call(change: Change) -> str:
    """One call, as it is made: for progress and logs."""
    match change:
        case CreateModel():
            return "create the registered model"
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


def verdict(of: Verdict) -> str:
    """What a gate said: `soak before Production: v5 has been in Staging for 2 h, 3 days are asked for`."""
    note = f" ({clean(of.note)})" if of.note else ""
    return f"{clean(of.gate)} before {clean(of.entrance.slot)}: {clean(of.sentence)}{note}"


def policy_line(note: PolicyNote) -> str:
    """Which rules judged."""
    commit = f"commit {note.commit[:12]}" if note.commit else "no commit: there are none yet"
    if not note.changed:
        return f"Judged by {clean(note.path)} of {commit}."
    parts = f" ({', '.join(note.parts)})" if note.parts else ""
    edits = f"This change edits {clean(note.path)}{parts}. It is judged by the rules that stand, of {commit}"
    admitted = sum(consequence.admits for consequence in note.consequences)
    open_slots = sum(not exposure.left for exposure in note.exposed)
    weaker = len(note.exposed) - open_slots
    refused = len({str(verdict.entrance) for verdict in note.proposed if verdict.blocks})
    would = [
        *([f"admit {_counted(admitted, 'entrance')} that these refuse"] if admitted else []),
        *([f"leave {_counted(open_slots, 'slot')} without a gate"] if open_slots else []),
        *([f"guard {_counted(weaker, 'slot')} less"] if weaker else []),
        *([f"refuse {_counted(refused, 'entrance')}"] if refused else []),
    ]
    return f"{edits}; the proposed policy would {', '.join(would) or 'give the same verdicts'}."


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
            yield f"{where}: {names(dropped)} would no longer be asked."
        if relaxed:
            yield f"{where}: {names(relaxed)} could be waived or overridden more easily."
    yield from (consequence(c) for c in note.consequences if c.shift is Shift.REFUSED)


def consequence(of: Consequence) -> str:
    """How one entrance fares under the proposed policy."""
    where = clean(str(of.entrance))
    match of.shift:
        case Shift.UNGUARDED if of.refused_by:
            return (
                f"{where}: the proposed policy would admit what the standing one refuses ({names(of.refused_by)}): "
                "no gate would guard it."
            )
        case Shift.UNGUARDED:
            return f"{where}: no gate would guard it. Today: {names(of.dropped)}."
        case Shift.ADMITTED:
            return f"{where}: the proposed policy would admit what the standing one refuses ({names(of.refused_by)})."
        case Shift.FEWER_GATES:
            return f"{where}: {names(of.dropped)} would no longer be asked."
        case Shift.REFUSED:
            return f"{where}: the proposed policy would refuse it ({names(of.refused_by)})."


def names(texts: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`; of none, `nothing`."""
    shown = [clean(text) for text in texts[:most]]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(shown)}{more}" or "nothing"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summary_line(summary: Summary) -> str:
    """
    The last line of a plan, which scripts may parse: the words are the same for one and for many. The part about other
    changes is there only if there are some.
    """
    parts = [
        f"{summary.promote} to promote",
        f"{summary.archive} to archive",
        f"{summary.roll_back} to roll back",
        f"{summary.aliases} aliases to move",
        *([f"{summary.other} other changes"] if summary.other else []),
        f"{summary.unchanged} unchanged",
        f"{summary.blocked} blocked",
    ]
    return f"Plan: {', '.join(parts)}."


def pending_line(review: Review) -> str:
    """How much of a plan was pending before the change under review; nothing where nothing was asked or was."""
    if review.base is None:
        return ""
    count = sum(review.origin(effect) is Origin.DRIFT for model in review.plan.models for effect in effects_of(model))
    settled = len(review.settled)
    told = [
        *([f"{changes(count)} pending on {clean(review.base.ref)} already, without this change"] if count else []),
        *([f"{changes(settled)} pending there and no longer once this is merged"] if settled else []),
    ]
    return f"{'; '.join(told)}." if told else ""


def changes(count: int) -> str:
    """`1 change`, `2 changes`."""
    return f"{count} {'change' if count == 1 else 'changes'}"


def drift_sentence(effect: Effect) -> str:
    """What is there, and what should be by the commit applied last: `v4 is in None, and should be in Production`."""
    found, applied = effect.before, effect.after
    if found == applied and found is not None:
        what = f"names {found}" if effect.subject.startswith("@") else f"is in {found}"
        return f"{clean(effect.subject)} {what}, and no record says that an apply put it there"
    match effect.verb:
        case _ if effect.subject.startswith("@"):
            should = f"should name {applied}" if applied else "should not be there"
            return f"{clean(effect.subject)} names {found or 'nothing'}, and {should}"
        case Verb.TAG:
            return f"tag {clean(effect.subject)} is {quoted(found or '')}, and should be {quoted(applied or '')}"
        case Verb.DESCRIBE:
            whose = clean(effect.subject) or "the model"
            return f"the description of {whose} is {quoted(found or '')}, and should be {quoted(applied or '')}"
        case Verb.CREATE:
            return "the registered model is gone"
        case Verb.CLAIM | Verb.ADOPT | Verb.RELEASE:
            return (
                f"our ownership record says {clean(found or 'nothing')}, and should say {clean(applied or 'nothing')}"
            )
        case _:
            return f"{clean(effect.subject)} is in {found}, and should be in {applied}"


def files_line(drift: Drift) -> str:
    """How many files were compared; nothing where that was not asked for."""
    if drift.compared is None:
        return ""
    if not drift.compared:
        return "Files: none is recorded. `artifact: {pinned: true}` records those of versions that enter from then on."
    return f"Files: those of {drift.compared} {'version' if drift.compared == 1 else 'versions'} compared."


def drift_line(drift: Drift) -> str:
    """The last line of `drift`, which scripts may parse."""
    return (
        f"Drift: {drift.count(DriftStatus.DRIFTED)} drifted, {drift.count(DriftStatus.UNKNOWN)} unknown, "
        f"{drift.count(DriftStatus.PENDING)} waiting for an apply, {drift.count(DriftStatus.IN_SYNC)} in sync."
    )


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


def receipt_sentence(receipt: Receipt) -> str:
    """How an apply ended: `Apply complete: 3 applied.`"""
    count = Counter(outcome.status for outcome in receipt.outcomes)
    parts = [f"{count[OutcomeStatus.APPLIED]} applied"] if receipt.outcomes else ["nothing to change"]
    parts.extend(f"{count[s]} {s}" for s in OutcomeStatus if s is not OutcomeStatus.APPLIED and count[s])
    lead = "Interrupted" if receipt.interrupted else "Apply complete" if receipt.exit_code == 0 else "Apply incomplete"
    return f"{lead}: {', '.join(parts)}."
