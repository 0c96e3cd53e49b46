"""What was in each slot when, and the audit of receipts, as documents for programs."""

from typing import Literal

# On Python 3.11 pydantic, which makes the schemas, cannot look into those of `typing`.
from typing_extensions import TypedDict

from reconciler.core.as_of import AsOf, Between, Possible, Then
from reconciler.core.chain import Acknowledged, Audit, Finding, Pruning
from reconciler.core.history import Applying, Declaring, Ending, History, Recalled, Turn
from reconciler.render.json import FORMAT_VERSION, TOOL, Tool

WordOf = Literal[
    "signed receipt", "receipt", "record in the registry", "git", "MLflow's times", "the registry as it is now"
]


class AcknowledgedDocument(TypedDict):
    """Why the policy says that a receipt is missing, and which commit, by whom, made it say so."""

    receipt: str
    reason: str
    commit: str | None
    author: str


class FindingDocument(TypedDict):
    """
    What is wrong with the receipts: where in the chain (0: of the whole), and a sentence; and who answers for it, if
    that is in the policy.
    """

    flaw: Literal[
        "lost",
        "rewritten",
        "damaged",
        "broken",
        "forged",
        "missing",
        "contradicted",
        "shallow",
        "unsigned",
        "unpushed",
        "unknown",
        "stale",
        "acknowledged",
    ]
    grave: bool
    sequence: int
    sentence: str
    acknowledged: AcknowledgedDocument | None


class PrunedDocument(TypedDict):
    """How many of the first receipts were pruned, when the last of them was kept, and when they were pruned."""

    count: int
    until: str
    at: str


class SourcesDocument(TypedDict):
    """
    What was read, and when. `registry_not_read` says why the registry was not, and is empty where it was; `receipts` is
    how many are kept, and `pruned` (null: nothing) what a signed beginning stands in the place of.
    """

    repository: str
    commit: str | None
    registry: str
    workspace: str
    read_at: str
    receipts: int
    pruned: PrunedDocument | None
    registry_not_read: str
    findings: list[FindingDocument]


class DeclaringDocument(TypedDict):
    """
    The commit that declared something. `at` is its committer's time; `request` the one that its message names. `commit`
    is empty where the clone does not reach back to it; then it was before `at`.
    """

    commit: str
    at: str
    author: str
    merged_by: str
    subject: str
    request: str


class ApplyingDocument(TypedDict):
    """The apply that did something: its receipt, the number of that in the chain, the commit, and who ran it."""

    receipt: str
    sequence: int
    commit: str | None
    who: str
    person: str
    run: str
    signed: bool


class OpinionDocument(TypedDict):
    """What a gate said of a version that entered."""

    gate: str
    ruling: str
    sentence: str
    note: str


class NamesDocument(TypedDict):
    """What a model was called before it was renamed, and after that."""

    before: str
    after: str


class RefusalDocument(TypedDict):
    """How many applies refused the same for the same, as far as receipts tell, and the last of them."""

    applies: int
    last: ApplyingDocument


class EndedDocument(TypedDict):
    """
    What became of what did not come in: when (RFC 3339, UTC; empty where that is not known), and by which commit and
    apply. Where it came in and `applying` is null, no apply is known to have done it.
    """

    fate: Literal["came in", "given up", "still declared", "not known"]
    at: str
    declaring: DeclaringDocument | None
    applying: ApplyingDocument | None


class TurnDocument(TypedDict):
    """
    A slot came to hold something else: `before` is null where that is not known. It was between `earliest` and `latest`
    (RFC 3339, UTC), which are the same where the moment is known, and empty where nothing is. `word` is whose word it
    is. `pending` is what is declared and not there yet, `drifted` what was applied and is not there anymore. Where
    `renamed` is not null, it is the name of the model that turned; `model` is the one that git gives it now.
    `refused` is what applies refused, the first time at `earliest` and the last time at `latest`; `not applied` what
    was declared from `earliest` to `latest`, and what no apply brought in or refused. Only these have an `ending`.
    """

    model: str
    slot: str
    turning: Literal[
        "promote",
        "roll back",
        "restore",
        "vacate",
        "find",
        "moved by hand",
        "not known how",
        "released",
        "renamed",
        "declare",
        "refused",
        "not applied",
        "pending",
        "drifted",
    ]
    before: list[int] | None
    after: list[int]
    earliest: str
    latest: str
    word: WordOf
    declaring: DeclaringDocument | None
    applying: ApplyingDocument | None
    comment: str
    verdicts: list[OpinionDocument]
    note: str
    renamed: NamesDocument | None
    refusal: RefusalDocument | None
    ending: EndedDocument | None


class HeadDocument(TypedDict):
    """What a document begins with."""

    format_version: str
    tool: Tool


class SourcedDocument(HeadDocument):
    """The same, with what was read."""

    sources: SourcesDocument


class HistoryDocument(SourcedDocument):
    """Every change of occupant, model by model, oldest first; `since` and `until` are empty where there is no bound."""

    since: str
    until: str
    turns: list[TurnDocument]


class PossibleDocument(TypedDict):
    """What a slot may have held, on whose word, and the turn by which it came there."""

    versions: list[int]
    word: WordOf
    turn: TurnDocument | None


class ThenDocument(TypedDict):
    """
    What a slot held at a moment: one of `possible`, none where nothing is known. `certain` where it is only one, no
    source says otherwise, and it is known to have been applied. `why` says why not; `differences` are what other
    sources say, `explained` what git declared and is known not to have been there then, and why. `model` is the name
    that it had then, `now` the one that it has now; where it is not known which of some `names` it had, both are the
    latter.
    """

    model: str
    names: list[str]
    now: str
    slot: str
    certain: bool
    possible: list[PossibleDocument]
    differences: list[str]
    explained: list[str]
    why: str


class AsOfDocument(SourcedDocument):
    """What each slot held at a moment (RFC 3339, UTC). `notes` say which moment a commit stands for."""

    when: str
    notes: list[str]
    slots: list[ThenDocument]


class ChangedDocument(TypedDict):
    """A slot that held something else at one moment than at another, or may have."""

    before: ThenDocument
    after: ThenDocument


class BetweenDocument(SourcedDocument):
    """
    What changed between two moments (RFC 3339, UTC); `notes` say which moments commits stand for. Where `possible` is
    empty on one side, it is not known what was there.
    """

    before: str
    after: str
    notes: list[str]
    slots: list[ChangedDocument]


class AuditDocument(HeadDocument):
    """
    Whether receipts are as they were written: how many, of these how many signed by a key that counts, the times of the
    first and the last, those that were `pruned` before them, how many records in the registry name one (null: it was
    not read), and what is wrong. `about` is the version that a bundle is about; empty for the receipts themselves.
    """

    place: str
    about: str
    receipts: int
    signed: int
    first: str
    last: str
    pruned: PrunedDocument | None
    records: int | None
    grave: bool
    findings: list[FindingDocument]


_HEAD: HeadDocument = {"format_version": FORMAT_VERSION, "tool": TOOL}


def _sourced(recalled: Recalled) -> SourcedDocument:
    return {**_HEAD, "sources": sources_document(recalled)}


def history_document(history: History) -> HistoryDocument:
    """What `history --format json` prints."""
    return {
        **_sourced(history.of),
        "since": history.since,
        "until": history.until,
        "turns": [turn_document(turn) for turn in history.turns],
    }


def as_of_document(as_of: AsOf) -> AsOfDocument:
    """What `as-of --format json` prints."""
    return {
        **_sourced(as_of.of),
        "when": as_of.when,
        "notes": list(as_of.notes),
        "slots": [_then(then) for then in as_of.slots],
    }


def between_document(between: Between) -> BetweenDocument:
    """What `diff --format json` prints."""
    return {
        **_sourced(between.of),
        "before": between.before,
        "after": between.after,
        "notes": list(between.notes),
        "slots": [{"before": _then(before), "after": _then(after)} for before, after in between.slots],
    }


def audit_document(audit: Audit) -> AuditDocument:
    """What `audit --format json` prints."""
    return {
        **_HEAD,
        "place": audit.place,
        "about": audit.about,
        "receipts": audit.receipts,
        "signed": audit.signed,
        "first": audit.first,
        "last": audit.last,
        "pruned": _pruned(audit.pruned),
        "records": audit.records,
        "grave": audit.grave,
        "findings": [_finding(finding) for finding in audit.findings],
    }


def sources_document(recalled: Recalled) -> SourcesDocument:
    """What was read."""
    return {
        "repository": recalled.revision.repository,
        "commit": recalled.revision.commit,
        "registry": recalled.registry,
        "workspace": recalled.workspace,
        "read_at": recalled.read_at,
        "receipts": recalled.receipts,
        "pruned": _pruned(recalled.pruned),
        "registry_not_read": recalled.untold,
        "findings": [_finding(finding) for finding in recalled.findings],
    }


def _pruned(pruning: Pruning | None) -> PrunedDocument | None:
    return None if pruning is None else {"count": pruning.count, "until": pruning.until, "at": pruning.at}


def _finding(finding: Finding) -> FindingDocument:
    known = finding.acknowledged
    return {
        "flaw": finding.flaw.value,
        "grave": finding.grave,
        "sequence": finding.sequence,
        "sentence": finding.sentence,
        "acknowledged": None if known is None else acknowledged_document(known),
    }


def acknowledged_document(known: Acknowledged) -> AcknowledgedDocument:
    """Who answers for a missing receipt, as a document."""
    return {"receipt": known.receipt, "reason": known.reason, "commit": known.commit, "author": known.author}


def turn_document(turn: Turn) -> TurnDocument:
    """A turn as a document."""
    return {
        "model": turn.model,
        "slot": turn.slot,
        "turning": turn.turning.value,
        "before": None if turn.before is None else list(turn.before),
        "after": list(turn.after),
        "earliest": turn.earliest,
        "latest": turn.latest,
        "word": turn.word.value,
        "declaring": None if turn.declaring is None else _declaring(turn.declaring),
        "applying": None if turn.applying is None else _applying(turn.applying),
        "comment": turn.comment,
        "verdicts": [
            {"gate": said.gate, "ruling": said.ruling, "sentence": said.sentence, "note": said.note}
            for said in turn.opinions
        ],
        "note": turn.note,
        "renamed": None if turn.renamed is None else {"before": turn.renamed.before, "after": turn.renamed.after},
        "refusal": None
        if turn.refusal is None
        else {"applies": turn.refusal.applies, "last": _applying(turn.refusal.last)},
        "ending": None if turn.ending is None else _ending(turn.ending),
    }


def _ending(ending: Ending) -> EndedDocument:
    return {
        "fate": ending.fate.value,
        "at": ending.at,
        "declaring": None if ending.declaring is None else _declaring(ending.declaring),
        "applying": None if ending.applying is None else _applying(ending.applying),
    }


def _declaring(declaring: Declaring) -> DeclaringDocument:
    return {
        "commit": declaring.commit,
        "at": declaring.at,
        "author": declaring.author,
        "merged_by": declaring.merged_by,
        "subject": declaring.subject,
        "request": declaring.request,
    }


def _applying(applying: Applying) -> ApplyingDocument:
    return {
        "receipt": applying.receipt,
        "sequence": applying.sequence,
        "commit": applying.commit,
        "who": applying.who,
        "person": applying.person,
        "run": applying.run,
        "signed": applying.signed,
    }


def _then(then: Then) -> ThenDocument:
    return {
        "model": then.model,
        "names": list(then.names),
        "now": then.now or then.model,
        "slot": then.slot,
        "certain": then.certain,
        "possible": [_possible(one) for one in then.possible],
        "differences": list(then.differences),
        "explained": list(then.explained),
        "why": then.why,
    }


def _possible(possible: Possible) -> PossibleDocument:
    return {
        "versions": list(possible.held),
        "word": possible.word.value,
        "turn": None if possible.turn is None else turn_document(possible.turn),
    }
