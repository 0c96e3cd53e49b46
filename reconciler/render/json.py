"""
Plans, receipts and events as documents for programs: Terraform's shapes where they fit, so that policies written for
`input.resource_changes[_].change.actions` work. A new field is a new minor `format_version`; a changed one a new major.
"""

from itertools import zip_longest
from typing import Any, Literal, NotRequired, assert_never

# On Python 3.11 pydantic, which reads these documents back, cannot look into those of `typing`.
from typing_extensions import TypedDict

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
from reconciler.core.diff import Blocker, ModelPlan
from reconciler.core.drift import Drift, DriftStatus
from reconciler.core.gate import Approval, Entrance, Verdict
from reconciler.core.names import ModelRef, Slot, VersionTag, name_there
from reconciler.core.overview import Overview, SlotState
from reconciler.core.plan import Effect, Plan, Value, Verb, effects_of
from reconciler.core.review import Origin, PolicyNote, Review
from reconciler.core.snapshot import OWNER_TAG, PROVENANCE_TAG, TAGS_TAG
from reconciler.errors import Location
from reconciler.events import (
    ChangeMade,
    Declared,
    Event,
    LockWaiting,
    ModelFinished,
    ModelsRead,
    ModelStarted,
    Noticed,
    Opened,
    Outcome,
    OutcomeStatus,
    Planned,
    Receipt,
    Witness,
)
from reconciler.render import words
from reconciler.render.evidence_json import EvidenceDocument, evidence_digests, evidence_document
from reconciler.version import __version__

FORMAT_VERSION = "2.0"

Action = Literal["create", "update", "delete", "forget"]


class Tool(TypedDict):
    """Which program wrote the document."""

    name: str
    version: str


class Place(TypedDict):
    """A place in a manifest; line and column count from 1."""

    path: str
    line: int
    column: int


class Base(TypedDict):
    """The commit before the change under review, where its history leaves that of `ref`."""

    ref: str
    commit: str | None


class ComputedFrom(TypedDict):
    """
    What the plan was computed from. `commit` is null for a work tree that no commit holds; `workspace` is empty for the
    default one.
    """

    repository: str
    commit: str | None
    author: str
    registry: str
    workspace: NotRequired[str]
    fingerprint: str


class Options(TypedDict):
    """What was widened or narrowed when the plan was made; applying the file does the same."""

    targets: list[str]
    adopt: bool
    force: bool
    allow_empty: bool
    max_change_share: float
    max_change_models: int


class Figures(TypedDict):
    """The figures of the plan's last line."""

    promote: int
    archive: int
    roll_back: int
    aliases: int
    other: int
    unchanged: int
    blocked: int


class ChangeDocument(TypedDict):
    """`before` is null where nothing was there, `after` where nothing will be."""

    actions: list[Action]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Thing(TypedDict):
    """One thing that is, or is to be, different."""

    address: str
    type: str
    name: str
    change: ChangeDocument
    sentence: str


class ResourceChange(Thing):
    """
    One thing that is different afterwards. `call` is the index, in `calls`, of the call that does it; `origin` says,
    where a base was given, whether the change under review asks for it.
    """

    verb: str
    action_reason: str
    manifest: Place | None
    call: int
    origin: NotRequired[Literal["change", "drift"]]


class Pending(Thing):
    """
    One thing that would be different without the change under review too: the registry is not as the commit before it
    declares. `settled` where the change makes it needless.
    """

    verb: str
    action_reason: str
    settled: bool


class Call(TypedDict):
    """One call, by the name it has in MLflow's client, in the order in which the calls of its model are made."""

    model: str
    method: str
    arguments: dict[str, Any]


class Block(TypedDict):
    """Why a model, or with a null `model` the whole plan, cannot be carried out."""

    model: str | None
    code: str
    message: str
    fix: str
    manifest: Place | None


class VerdictDocument(TypedDict):
    """
    What one gate said to one version that is to enter a slot. `fail` and `unknown` keep the whole model as it is;
    `note` says why a no was waived or overridden, and on whose word.
    """

    model: str
    version: int
    slot: str
    incumbent: int | None
    rollback: bool
    gate: str
    ruling: Literal["pass", "fail", "unknown", "waived", "overridden"]
    sentence: str
    note: str
    policy: Place | None


class PolicyDocument(TypedDict):
    """
    The rules that judged, of which commit. Where the change proposes others: the difference, as lines of a unified
    diff, what the proposed rules would say, which parts of the policy differ, and in sentences what the proposed policy
    would admit, guard less and refuse; it decides nothing yet.
    """

    path: str
    commit: str | None
    difference: list[str]
    proposed: list[VerdictDocument]
    parts: NotRequired[list[str]]
    effects: NotRequired[list[str]]


class PlanDocument(TypedDict):
    """What an apply would do, and why."""

    format_version: str
    tool: Tool
    computed_from: ComputedFrom
    options: Options
    status: Literal["in sync", "ready", "blocked"]
    digest: str
    summary: Figures
    resource_changes: list[ResourceChange]
    calls: list[Call]
    blocked: list[Block]
    base: NotRequired[Base | None]
    resource_drift: NotRequired[list[Pending]]
    evidence: NotRequired[EvidenceDocument | None]
    notes: NotRequired[list[str]]
    model_digests: NotRequired[list[str]]
    verdicts: NotRequired[list[VerdictDocument]]
    policy: NotRequired[PolicyDocument | None]


class MadeCall(Call):
    """A call that was made: when (RFC 3339, UTC), and what was there before and is after it, if that is one value."""

    at: NotRequired[str]
    before: NotRequired[str | int | None]
    after: NotRequired[str | int | None]


class HeldDocument(TypedDict):
    """What a governed slot held before the first call and after the last one."""

    slot: str
    before: list[int]
    after: list[int]


class IdentityDocument(TypedDict):
    """Which version a number stood for: its run, its creation time in milliseconds, and a digest of its source."""

    version: int
    run_id: str
    created_at: int
    source: str


class ApprovalDocument(TypedDict):
    """
    Somebody's yes to what was declared, which gates were told of: what proves it, when it was given (RFC 3339), and to
    which commit. One by signature is that commit. Whether it counted, the verdicts say.
    """

    who: str
    how: str
    at: str
    commit: str | None


class EntranceDocument(TypedDict):
    """
    A version that came into a slot, and how. Where a gate asked for it: `files` is the digest of its files, `approvals`
    were known, and `evidence` has the SHA-256 of each part that there is of the version's evidence, in canonical JSON
    (keys sorted, no spaces, ASCII).
    """

    version: int
    slot: str
    kind: Literal["new", "rollback", "restoration", "resumed", "found"]
    files: NotRequired[str]
    approvals: NotRequired[list[ApprovalDocument]]
    evidence: NotRequired[dict[str, str]]


class OutcomeDocument(TypedDict):
    """
    How one model fared, and the calls that were made. `slots`, of models that were written to, are as read from the
    registry; where `read_back` is false, `after` is what the calls come to. Of a model that is blocked, and was written
    nothing to, they are as read for the plan, and those that are declared are among them.
    """

    model: str
    status: Literal["applied", "unchanged", "blocked", "stale", "failed", "skipped"]
    message: str
    repaired: bool
    calls: list[MadeCall]
    slots: NotRequired[list[HeldDocument]]
    read_back: NotRequired[bool]
    versions: NotRequired[list[IdentityDocument]]
    entrances: NotRequired[list[EntranceDocument]]


class ActorDocument(TypedDict):
    """Who ran an apply: user, host and process, the page of the CI job, and who started that by the forge's word."""

    who: str
    run: str
    person: str


class EndingDocument(TypedDict):
    """Why an apply ended before it was done: a word that programs may rely on, and a sentence."""

    reason: str
    message: str


class ReceiptDocument(TypedDict):
    """
    What one apply did. Times are RFC 3339 in UTC. `ending` is null where it came to its end; where it did not,
    `plan_digest` is empty if there was no plan yet, and models that are not listed were not begun. Provenance in the
    registry names the receipt by its `id`.
    """

    format_version: str
    tool: Tool
    computed_from: ComputedFrom
    plan_digest: str
    started_at: str
    finished_at: str
    exit_code: int
    interrupted: bool
    locked: bool
    models: list[OutcomeDocument]
    verdicts: NotRequired[list[VerdictDocument]]
    ending: NotRequired[EndingDocument | None]
    id: NotRequired[str]
    actor: NotRequired[ActorDocument | None]


EventDocument = TypedDict(
    "EventDocument",
    {
        "@level": Literal["info", "warn", "error"],
        "@message": str,
        "@timestamp": str,
        "type": str,
        "model": NotRequired[str],
        "call": NotRequired[Call],
        "calls": NotRequired[int],
        "status": NotRequired[str],
        "change": NotRequired[ResourceChange],
        "changes": NotRequired[Figures],
        "digest": NotRequired[str],
        "holder": NotRequired[dict[str, str]],
    },
)
"""One line of `--log-format json`, in the shape of Terraform's machine-readable output."""

TOOL: Tool = {"name": "reconciler", "version": __version__}


def plan_document(plan: Plan, registry: str, workspace: str = "") -> PlanDocument:
    """A plan as a document, without what a review adds."""
    calls: list[Call] = []
    changes: list[ResourceChange] = []
    blocked = [_block(safety, None) for safety in plan.safeties]
    for model in plan.models:
        index = {id(change): len(calls) + i for i, change in enumerate(model.changes)}
        changes.extend(_resource_change(effect, index[id(effect.change)]) for effect in effects_of(model))
        calls.extend(call_document(change) for change in model.changes)
        blocked.extend(_block(blocker, model.model) for blocker in model.blockers)
    options = plan.options
    return {
        "format_version": FORMAT_VERSION,
        "tool": TOOL,
        "computed_from": _computed_from(plan, registry, workspace),
        "options": {
            "targets": list(options.targets),
            "adopt": options.adopt,
            "force": options.force,
            "allow_empty": options.allow_empty,
            "max_change_share": options.limits.share,
            "max_change_models": options.limits.models,
        },
        "status": plan.status.value,
        "digest": plan.digest,
        "model_digests": sorted(plan.model_digests),
        "summary": _figures(plan),
        "resource_changes": changes,
        "calls": calls,
        "blocked": blocked,
        "verdicts": [verdict_document(verdict) for model in plan.models for verdict in model.verdicts],
    }


def verdict_document(verdict: Verdict) -> VerdictDocument:
    """A verdict as a document."""
    entrance = verdict.entrance
    return {
        "model": entrance.model,
        "version": entrance.candidate,
        "slot": entrance.slot,
        "incumbent": entrance.incumbent,
        "rollback": entrance.rollback,
        "gate": verdict.gate,
        "ruling": verdict.ruling.value,
        "sentence": verdict.sentence,
        "note": verdict.note,
        "policy": _place(verdict.at),
    }


def _policy(note: PolicyNote) -> PolicyDocument:
    return {
        "path": note.path,
        "commit": note.commit,
        "difference": list(note.difference),
        "proposed": [verdict_document(verdict) for verdict in note.proposed],
        "parts": list(note.parts),
        "effects": list(words.policy_effects(note)),
    }


def review_document(review: Review) -> PlanDocument:
    """The review of a plan as a document: what `plan --format json` prints and `plan --out` saves."""
    document = plan_document(review.plan, review.registry, review.workspace)
    document["digest"] = review.digest
    document["evidence"] = None if review.evidence is None else evidence_document(review.evidence)
    document["notes"] = [note.text for note in sorted(review.notes, key=lambda note: note.weight)]
    document["policy"] = None if review.policy is None else _policy(review.policy)
    if review.base is None:
        return document
    document["base"] = {"ref": review.base.ref, "commit": review.base.commit}
    document["resource_drift"] = [_pending(effect, effect in review.settled) for effect in review.base.pending]
    effects = [effect for model in review.plan.models for effect in effects_of(model)]
    for effect, change in zip(effects, document["resource_changes"], strict=True):
        change["origin"] = "drift" if review.origin(effect) is Origin.DRIFT else "change"
    return document


class ReplacedFiles(TypedDict):
    """A version whose files are not those that entered the slot: their digest then, and now."""

    version: int
    slot: str
    then: str
    now: str
    sentence: str


class ModelDriftDocument(TypedDict):
    """One model that is not in sync. `applied` is the commit that was applied last."""

    model: str
    status: Literal["in sync", "pending", "drifted", "unknown"]
    applied: str | None
    drifted: list[Thing]
    pending: list[Thing]
    blocked: list[Block]
    why: str
    replaced: list[ReplacedFiles]


class OccupantDocument(TypedDict):
    """
    A version in a slot. `commit` and `author` are those of the apply that put it there; with a null commit, `since` is
    when MLflow last saw the version move or be edited, and null where it does not keep that.
    """

    version: int
    since: str | None
    commit: str | None
    author: str


class SlotDocument(TypedDict):
    """A stage, or an alias behind `@`. `declared` is null where no manifest declares the slot."""

    slot: str
    state: Literal["in sync", "pending", "drifted", "unknown", "not governed"]
    declared: list[int] | None
    actual: list[OccupantDocument]
    manifest: Place | None


class Remark(TypedDict):
    """What is to be said of a model beside its slots."""

    kind: str
    sentence: str


class ModelStatusDocument(TypedDict):
    """A model. `governed_by` is the repository and folder; null for nobody. `applied` is the commit applied last."""

    model: str
    status: Literal["in sync", "pending", "drifted", "unknown", "not governed"]
    governed_by: str | None
    applied: str | None
    slots: list[SlotDocument]
    remarks: list[Remark]


class StatusFigures(TypedDict):
    """The figures of the last line: slots."""

    drifted: int
    unknown: int
    pending: int
    in_sync: int
    not_governed: int


class StatusDocument(TypedDict):
    """Every slot: what is declared, what is there, since when and by which commit. `drifted`: somebody has to look."""

    format_version: str
    tool: Tool
    repository: str
    commit: str | None
    registry: str
    workspace: str
    read_at: str
    drifted: bool
    summary: StatusFigures
    models: list[ModelStatusDocument]


class DriftFigures(TypedDict):
    """The figures of the last line: models."""

    drifted: int
    unknown: int
    pending: int
    in_sync: int


class DriftDocument(TypedDict):
    """
    Where the registry differs from the commit that was last applied to it. `files_compared` is how many versions had
    their files compared; null without `--files`.
    """

    format_version: str
    tool: Tool
    repository: str
    commit: str | None
    registry: str
    workspace: str
    files_compared: int | None
    summary: DriftFigures
    models: list[ModelDriftDocument]


def drift_document(drift: Drift) -> DriftDocument:
    """Drift as a document: what `drift --format json` prints."""
    return {
        "format_version": FORMAT_VERSION,
        "tool": TOOL,
        "repository": drift.revision.repository,
        "commit": drift.revision.commit,
        "registry": drift.registry,
        "workspace": drift.workspace,
        "files_compared": drift.compared,
        "summary": {
            "drifted": drift.count(DriftStatus.DRIFTED),
            "unknown": drift.count(DriftStatus.UNKNOWN),
            "pending": drift.count(DriftStatus.PENDING),
            "in_sync": drift.count(DriftStatus.IN_SYNC),
        },
        "models": [
            {
                "model": model.model,
                "status": model.status.value,
                "applied": model.applied,
                "drifted": [_thing(effect, words.drift_sentence(effect)) for effect in model.drifted],
                "pending": [_thing(effect, words.sentence(effect)) for effect in model.pending],
                "blocked": [_block(blocker, model.model) for blocker in model.blockers],
                "why": model.why,
                "replaced": [
                    {
                        "version": files.then.version,
                        "slot": files.then.slot,
                        "then": files.then.digest,
                        "now": files.now,
                        "sentence": words.clean(files.sentence),
                    }
                    for files in model.replaced
                ],
            }
            for model in drift.models
            if model.status is not DriftStatus.IN_SYNC
        ],
    }


def status_document(overview: Overview) -> StatusDocument:
    """Every slot as a document: what `status --format json` prints."""
    drift, counts = overview.drift, overview.counts
    return {
        "format_version": FORMAT_VERSION,
        "tool": TOOL,
        "repository": drift.revision.repository,
        "commit": drift.revision.commit,
        "registry": drift.registry,
        "workspace": drift.workspace,
        "read_at": overview.read_at,
        "drifted": overview.drifted,
        "summary": {
            "drifted": counts[SlotState.DRIFTED],
            "unknown": counts[SlotState.UNKNOWN],
            "pending": counts[SlotState.PENDING],
            "in_sync": counts[SlotState.IN_SYNC],
            "not_governed": counts[SlotState.UNGOVERNED],
        },
        "models": [
            {
                "model": model.model,
                "status": "not governed" if model.drift is None else model.drift.status.value,
                "governed_by": model.elsewhere or (None if model.drift is None else drift.revision.repository),
                "applied": model.drift and model.drift.applied,
                "slots": [
                    {
                        "slot": slot.slot,
                        "state": slot.state.value,
                        "declared": None if slot.declared is None else list(slot.declared),
                        "actual": [
                            {
                                "version": occupant.version,
                                "since": occupant.since or None,
                                "commit": occupant.commit,
                                "author": occupant.author,
                            }
                            for occupant in slot.actual
                        ],
                        "manifest": _place(slot.at),
                    }
                    for slot in model.slots
                ],
                "remarks": [{"kind": kind, "sentence": text} for kind, text in words.model_remarks(model)],
            }
            for model in overview.models
        ],
    }


def receipt_document(receipt: Receipt) -> ReceiptDocument:
    """The receipt as a document: what `apply --receipt` writes."""
    ending, actor = receipt.ending, receipt.actor
    planned = {model.model: model for model in receipt.plan.models}
    return {
        "format_version": FORMAT_VERSION,
        "tool": TOOL,
        "id": receipt.id,
        "actor": None if actor is None else {"who": actor.who, "run": actor.run, "person": actor.person},
        "computed_from": _computed_from(receipt.plan, receipt.registry, receipt.workspace),
        "plan_digest": receipt.plan.digest if receipt.plan.fingerprint or ending is None else "",
        "started_at": receipt.started_at,
        "finished_at": receipt.finished_at,
        "exit_code": int(receipt.exit_code),
        "interrupted": receipt.interrupted,
        "locked": receipt.locked,
        "ending": None if ending is None else {"reason": ending.reason, "message": ending.message},
        "models": [
            _outcome(outcome, receipt.witnessed.get(outcome.model), planned.get(outcome.model))
            for outcome in receipt.outcomes
        ],
        "verdicts": [verdict_document(verdict) for model in receipt.plan.models for verdict in model.verdicts],
    }


def _outcome(outcome: Outcome, witness: Witness | None, planned: ModelPlan | None) -> OutcomeDocument:
    times = witness.times if witness else ()
    document: OutcomeDocument = {
        "model": outcome.model,
        "status": outcome.status.value,
        "message": outcome.message,
        "repaired": outcome.repaired,
        "calls": [_made(change, at) for change, at in zip_longest(outcome.made, times[: len(outcome.made)])],
    }
    if witness is None:
        if outcome.left:
            document["slots"] = [
                {"slot": slot, "before": list(held), "after": list(held)} for slot, held in outcome.left.items()
            ]
        return document
    document["slots"] = [
        {"slot": slot, "before": list(held), "after": list(witness.after.get(slot, ()))}
        for slot, held in witness.before.items()
    ]
    document["read_back"] = witness.read_back
    document["versions"] = [
        {"version": one.version, "run_id": one.run_id, "created_at": one.created_at, "source": one.source}
        for one in witness.identities
    ]
    document["entrances"] = [_entrance(entrance, planned) for entrance in planned.entrances] if planned else []
    return document


def _entrance(entrance: Entrance, planned: ModelPlan) -> EntranceDocument:
    document: EntranceDocument = {
        "version": entrance.candidate,
        "slot": entrance.slot,
        "kind": entrance.kind.value,
    }
    grounds = planned.grounds.get((entrance.candidate, entrance.slot))
    if grounds is None:
        return document
    if grounds.files:
        document["files"] = grounds.files
    document["approvals"] = [_approval(approval) for approval in grounds.approvals]
    if grounds.facts is not None:
        document["evidence"] = evidence_digests(grounds.facts)
    return document


def _approval(approval: Approval) -> ApprovalDocument:
    return {"who": approval.who, "how": approval.how, "at": approval.at, "commit": approval.commit}


def _made(change: Change, at: str | None) -> MadeCall:
    call: MadeCall = {**call_document(change)}
    if at:
        call["at"] = at
    match change:
        case SetAlias() | TransitionStage() | DescribeModel() | DescribeVersion() | TagModel() | TagVersion():
            call["before"], call["after"] = change.before, change.after
        case DeleteAlias() | UntagVersion():
            call["before"], call["after"] = change.before, None
        case _:
            pass
    return call


def event_documents(event: Event, now: str) -> list[EventDocument]:
    """An event of an apply as lines for a log; `now` is RFC 3339 in UTC."""

    def line(kind: str, message: str, level: Literal["info", "warn", "error"] = "info") -> EventDocument:
        return {"@level": level, "@message": message, "@timestamp": now, "type": kind}

    match event:
        case Opened() | Declared() | ModelsRead():
            return []
        case LockWaiting(holder, seconds):
            told = line("lock_waiting", f"Waiting {seconds:.0f} s for the lock, held by {words.holder(holder)}.")
            return [{**told, "holder": {"who": holder.who, "since": holder.since, "run": holder.run}}]
        case Planned(plan):
            return [
                *(
                    {**line("planned_change", change["sentence"]), "change": change}
                    for change in plan_document(plan, "")["resource_changes"]
                ),
                *(
                    line("diagnostic", f"{model.model}: {words.blocker(blocker)}", "warn")
                    for model in plan.models
                    for blocker in model.blockers
                ),
                {
                    **line("change_summary", words.summary_line(plan.summary)),
                    "changes": _figures(plan),
                    "digest": plan.digest,
                },
            ]
        case ModelStarted(model, calls):
            return [{**line("apply_start", f"{model}: {calls} calls"), "model": model, "calls": calls}]
        case ChangeMade(change):
            told = line("apply_progress", f"{change.model}: {words.call(change)}")
            return [{**told, "model": change.model, "call": call_document(change)}]
        case ModelFinished(outcome):
            fine = outcome.status in {OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED}
            told = line(
                "apply_complete" if fine else "apply_errored",
                f"{outcome.model}: {outcome.status}. {outcome.message}".rstrip(),
                "info" if fine else "error",
            )
            return [{**told, "model": outcome.model, "status": outcome.status, "calls": len(outcome.made)}]
        case Noticed(message):
            return [line("diagnostic", message, "warn")]
        case _:
            assert_never(event)


def call_document(change: Change) -> Call:
    """The call as it is made, by its name in `MlflowClient`."""
    method, arguments = _call(change)
    return {"model": change.model, "method": method, "arguments": {"name": change.model, **arguments}}


def _call(change: Change) -> tuple[str, dict[str, Any]]:
    match change:
        case CreateModel():
            return "create_registered_model", {}
        case RenameModel():
            return "rename_registered_model", {"name": change.before, "new_name": change.model}
        case Claim():
            return "set_registered_model_tag", {"key": OWNER_TAG}
        case Release():
            return "delete_registered_model_tag", {"key": OWNER_TAG}
        case DescribeModel():
            return "update_registered_model", {"description": change.after}
        case TagModel():
            return "set_registered_model_tag", {"key": change.key, "value": change.after}
        case DescribeVersion():
            return "update_model_version", {"version": change.version, "description": change.after}
        case RegisterVersion():
            return "create_model_version", _registered(change)
        case RecordTags():
            return "set_model_version_tag", {"version": change.version, "key": TAGS_TAG, "keys": list(change.after)}
        case TagVersion():
            arguments = {"version": change.version, "key": change.key, "value": change.after}
            return "set_model_version_tag", arguments
        case UntagVersion():
            return "delete_model_version_tag", {"version": change.version, "key": change.key}
        case RecordProvenance():
            slots = [placement.slot for placement in change.placements]
            return "set_model_version_tag", {"version": change.version, "key": PROVENANCE_TAG, "slots": slots}
        case TransitionStage():
            return "transition_model_version_stage", {
                "version": change.version,
                "stage": change.after.value,
                "archive_existing_versions": change.exclusive,
                "archives": list(change.archives),
            }
        case SetAlias():
            return "set_registered_model_alias", {"alias": change.alias, "version": change.after}
        case DeleteAlias():
            return "delete_registered_model_alias", {"alias": change.alias}
        case _:
            assert_never(change)


def _registered(change: RegisterVersion) -> dict[str, Any]:
    original = change.original
    if original is not None and original.registry:
        # Where its files will be here, and of which run, is known once they are.
        there = {"registry": original.registry, "model": name_there(original.model), "version": original.version}
        return {"from": {**there, "run_id": change.run_id}}
    model_id = {"model_id": change.model_id} if change.model_id else {}
    return {"source": change.uri, "run_id": change.run_id, **model_id}


def _computed_from(plan: Plan, registry: str, workspace: str) -> ComputedFrom:
    return {
        "repository": plan.revision.repository,
        "commit": plan.revision.commit,
        "author": plan.revision.author,
        "registry": registry,
        "workspace": workspace,
        "fingerprint": plan.fingerprint,
    }


def _figures(plan: Plan) -> Figures:
    summary = plan.summary
    return {
        "promote": summary.promote,
        "archive": summary.archive,
        "roll_back": summary.roll_back,
        "aliases": summary.aliases,
        "other": summary.other,
        "unchanged": summary.unchanged,
        "blocked": summary.blocked,
    }


def _place(at: Location | None) -> Place | None:
    return None if at is None else {"path": at.path, "line": at.line, "column": at.column}


def _block(blocker: Blocker, model: ModelRef | None) -> Block:
    return {
        "model": model,
        "code": blocker.code,
        "message": blocker.message,
        "fix": blocker.fix,
        "manifest": _place(blocker.at),
    }


def _resource_change(effect: Effect, call: int) -> ResourceChange:
    return {
        **_thing(effect, words.sentence(effect)),
        "verb": effect.verb.value,
        "action_reason": words.reason(effect.because),
        "manifest": _place(effect.because.at),
        "call": call,
    }


def _pending(effect: Effect, settled: bool) -> Pending:
    return {
        **_thing(effect, words.sentence(effect)),
        "verb": effect.verb.value,
        "action_reason": words.reason(effect.because),
        "settled": settled,
    }


def _thing(effect: Effect, sentence: str) -> Thing:
    kind, address, attribute = _resource(effect)
    before, after = (_attributes(kind, attribute, value) for value in (effect.before, effect.after))
    action: Action = "create" if before is None else "delete" if after is None else "update"
    return {
        "address": address,
        "type": kind,
        "name": effect.model,
        "change": {"actions": ["forget" if effect.verb is Verb.RELEASE else action], "before": before, "after": after},
        "sentence": sentence,
    }


def _attributes(kind: str, attribute: dict[str, Any], value: Value) -> dict[str, Any] | None:
    if value is None:
        return None
    return {**attribute, _VALUE[kind]: value if isinstance(value, int) else words.value(value)}


_VALUE = {
    "mlflow_registered_model": "name",
    "mlflow_registered_model_governance": "slots",
    "mlflow_registered_model_owner": "repository",
    "mlflow_registered_model_alias": "version",
    "mlflow_registered_model_description": "description",
    "mlflow_registered_model_tag": "value",
    "mlflow_model_version_description": "description",
    "mlflow_model_version": "origin",
    "mlflow_model_version_stage": "stage",
    "mlflow_model_version_tag": "value",
}


def _resource(effect: Effect) -> tuple[str, str, dict[str, Any]]:
    """The type, the address, and what identifies the thing inside its model."""
    model = effect.model
    match effect.verb, effect.subject:
        case ((Verb.CREATE | Verb.RENAME), _):
            return "mlflow_registered_model", f"model[{model}]", {}
        case ((Verb.REGISTER | Verb.COPY), version):
            return "mlflow_model_version", f"model[{model}].version[{version}]", {"version": version}
        case Verb.CLAIM, _:
            return "mlflow_registered_model_governance", f"model[{model}].governed", {}
        case ((Verb.ADOPT | Verb.RELEASE), _):
            return "mlflow_registered_model_owner", f"model[{model}].owner", {}
        case _, Slot() as slot:
            return "mlflow_registered_model_alias", f"model[{model}].alias[{slot.alias}]", {"alias": slot.alias}
        case _, VersionTag(version, key):
            address = f"model[{model}].version[{version}].tag[{key}]"
            return "mlflow_model_version_tag", address, {"version": version, "key": key}
        case Verb.TAG, key:
            return "mlflow_registered_model_tag", f"model[{model}].tag[{key}]", {"key": key}
        case Verb.DESCRIBE, None:
            return "mlflow_registered_model_description", f"model[{model}].description", {}
        case Verb.DESCRIBE, version:
            address = f"model[{model}].version[{version}].description"
            return "mlflow_model_version_description", address, {"version": version}
        case _, version:
            return "mlflow_model_version_stage", f"model[{model}].version[{version}].stage", {"version": version}
