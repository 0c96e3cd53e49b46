"""A plan and a receipt for the terminal: lines of styled pieces, so that whoever prints them decides about colour."""

import re
from collections.abc import Iterable, Iterator, Sequence

from reconciler.core.diff import ModelPlan
from reconciler.core.drift import Drift, DriftStatus
from reconciler.core.evidence import Exhibit, Trend
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.names import ModelRef, Version
from reconciler.core.plan import Effect, Plan, Verb, effects_of
from reconciler.core.review import Origin, Review
from reconciler.core.signature import Compatibility
from reconciler.core.text import amount, cut
from reconciler.events import Outcome, OutcomeStatus, Receipt
from reconciler.render import words
from reconciler.render.findings import Findings, by_dataset, findings
from reconciler.render.folds import NAMED, folded
from reconciler.render.layout import WIDTH, Line, cells, flowed, padded, plain, table

STYLE_OF: dict[Verb, str] = {
    Verb.CREATE: "add",
    Verb.RENAME: "warn",
    Verb.REGISTER: "add",
    Verb.COPY: "add",
    Verb.PROMOTE: "add",
    Verb.ROLL_BACK: "warn",
    Verb.RESTORE: "warn",
    Verb.ADMIT: "warn",
    Verb.FIND: "faint",
    Verb.DEMOTE: "remove",
    Verb.ARCHIVE: "remove",
    Verb.UNSTAGE: "remove",
    Verb.SET_ALIAS: "add",
    Verb.MOVE_ALIAS: "change",
    Verb.DELETE_ALIAS: "remove",
    Verb.DESCRIBE: "change",
    Verb.TAG: "change",
    Verb.UNTAG: "remove",
    Verb.CLAIM: "faint",
    Verb.ADOPT: "warn",
    Verb.RELEASE: "remove",
}

OUTCOME_STYLE: dict[OutcomeStatus, str] = {
    OutcomeStatus.APPLIED: "add",
    OutcomeStatus.UNCHANGED: "faint",
    OutcomeStatus.BLOCKED: "warn",
    OutcomeStatus.STALE: "warn",
    OutcomeStatus.FAILED: "error",
    OutcomeStatus.SKIPPED: "warn",
}


def plan_lines(plan: Plan, registry: str, workspace: str = "", width: int = WIDTH) -> Iterator[Line]:
    """The plan, a paragraph a model; the last line is the one that scripts may parse."""
    return review_lines(Review(plan, registry, workspace=workspace), width)


def review_lines(review: Review, width: int = WIDTH) -> Iterator[Line]:
    """The plan, and with it what the evidence shows and what was pending before the change under review."""
    plan = review.plan
    where = words.registry(review.registry, review.workspace)
    yield from flowed((), _said(f"Plan for {words.revision(plan.revision)} on {where}"), width)
    yield ()
    if not plan.models:
        yield (("", "No changes: the registry matches the manifests."),)
        yield ()
    for models in folded(review):
        yield from _model_lines(review, models, width)
        yield ()
    if review.settled:
        yield (("warn", "No longer pending once this is merged:"),)
        for effect in review.settled:
            yield from flowed((("", "  "),), _said(words.sentence(effect)), width)
        yield ()
    if review.evidence is not None and review.evidence.trouble:
        yield from flowed((("warn", "No evidence: "),), _said(words.clean(review.evidence.trouble)), width)
        yield ()
    for safety in plan.safeties:
        yield from flowed((("error", "Refused: "),), _said(words.blocker(safety)), width)
        yield ()
    if review.policy is not None:
        for line in review.policy.difference:
            yield (({"+": "add", "-": "remove"}.get(line[:1], "faint"), f"  {words.clean(line)}"),)
        style = "warn" if review.policy.changed else "faint"
        yield from flowed((), ((style, words.policy_line(review.policy)),), width)
        for text in words.policy_effects(review.policy):
            yield from flowed((("", "  "),), (("warn", text),), width)
        yield ()
    if pending := words.pending_line(review):
        yield from flowed((), (("warn", pending),), width)
    yield (("name", words.summary_line(plan.summary)),)


def _said(text: str) -> Line:
    return (("", text),)


def _model_lines(review: Review, models: tuple[ModelPlan, ...], width: int) -> Iterator[Line]:
    model, effects = models[0], effects_of(models[0])
    if len(models) > 1:
        file, names = "", words.names([model.model for model in models], NAMED)
        yield from flowed((("name", f"{len(models)} models"), ("", "  ")), _said(names), width)
    else:
        file = _only_file(effects)
        said = words.standing(model)
        standing = [("error" if model.blocked else "warn", said), ("", "  ")] if said else []
        place = [("faint", words.clean(file))] if file else []
        yield from flowed((("name", words.clean(model.model)), ("", "  ")), (*standing, *place), width)
    if not effects and not model.blocked:
        yield from flowed((("faint", "  record  "),), _said(words.ONLY_RECORDS), width)
    labels = [*(e.verb for e in effects), *(v.ruling for v in model.verdicts), *(["blocked"] if model.blockers else [])]
    labelled = max(map(len, labels), default=0)

    def why(effect: Effect) -> str:
        return words.reason_for_all(effect.because) if len(models) > 1 else words.brief_reason(effect.because, file)

    ours = [effect for effect in effects if review.origin(effect) is not Origin.DRIFT]
    single, found = words.found_together(ours)
    yield from _effect_lines([(e, why(e)) for e in single], model, labelled, width)
    if found:
        head = (STYLE_OF[Verb.FIND], f"  {Verb.FIND.ljust(labelled)}  ")
        said = f"{words.clean(words.what_is_found(found))}: found, not judged"
        yield from flowed((head,), _said(said), width)
    if len(ours) < len(effects):
        yield (("warn", "  already pending without this change:"),)
    waiting = [effect for effect in effects if review.origin(effect) is Origin.DRIFT]
    yield from _effect_lines([(e, why(e)) for e in waiting], model, labelled, width)
    for blocker in model.blockers:
        yield from flowed((("error", f"  {'blocked'.ljust(labelled)}  "),), _said(words.blocker(blocker)), width)
    yield from verdict_lines(model.verdicts, width, labelled)
    if review.evidence is not None:
        for exhibit in review.evidence.of(model.model):
            yield from _exhibit_lines(findings(exhibit, review.evidence.read_at), exhibit, width)


def _only_file(effects: Iterable[Effect]) -> str:
    """The manifest that asks for all of it, where that is one."""
    files = {effect.because.at.path for effect in effects if effect.because.at is not None}
    return files.pop() if len(files) == 1 else ""


RULING_STYLE: dict[Ruling, str] = {
    Ruling.PASS: "add",
    Ruling.FAIL: "error",
    Ruling.UNKNOWN: "warn",
    Ruling.WAIVED: "change",
    Ruling.OVERRIDDEN: "change",
}


def verdict_lines(verdicts: Iterable[Verdict], width: int, labelled: int) -> Iterator[Line]:
    """What the gates said: those that refuse first, a line for each that did not simply pass; then those that did."""
    verdicts = tuple(verdicts)
    for verdict, where in words.alike(verdicts):
        if verdict.ruling is not Ruling.PASS:
            head = (RULING_STYLE[verdict.ruling], f"  {verdict.ruling.ljust(labelled)}  ")
            yield from flowed((head,), _said(words.verdict(verdict, where)), width)
    if sentence := words.passes(verdicts):
        head = (RULING_STYLE[Ruling.PASS], f"  {Ruling.PASS.ljust(labelled)}  ")
        yield from flowed((head,), _said(sentence), width)


def gates_lines(model: ModelRef, version: Version, verdicts: Sequence[Verdict], width: int) -> Iterator[Line]:
    """What the gates of a model say to one version, slot by slot."""
    yield (("name", f"{words.clean(model)} v{version}"),)
    if not verdicts:
        yield (("", "  No gate guards any of its slots."),)
    for slot in dict.fromkeys(verdict.entrance.slot for verdict in verdicts):
        ruled = [verdict for verdict in verdicts if verdict.entrance.slot == slot]
        noes = sum(verdict.blocks for verdict in ruled)
        yield ()
        yield (
            ("error" if noes else "add", f"  {'closed' if noes else 'open'}".ljust(10)),
            ("name", words.clean(slot)),
            ("faint", f"  {len(ruled) - noes} of {len(ruled)} gates pass"),
        )
        for verdict in sorted(ruled, key=lambda v: not v.blocks):
            note = f" ({words.clean(verdict.note)})" if verdict.note else ""
            said = f"{words.clean(verdict.gate)}: {words.clean(verdict.sentence)}{note}"
            yield from flowed(
                ((RULING_STYLE[verdict.ruling], f"    {verdict.ruling.ljust(10)}  "),), _said(said), width
            )


TREND_STYLE: dict[Trend, str] = {Trend.BETTER: "add", Trend.WORSE: "remove", Trend.NOT_COMPARABLE: "warn"}

COMPATIBILITY_STYLE: dict[Compatibility, str] = {
    Compatibility.IDENTICAL: "add",
    Compatibility.COMPATIBLE: "add",
    Compatibility.BREAKING: "error",
    Compatibility.UNKNOWN: "warn",
}


def _exhibit_lines(found: Findings, exhibit: Exhibit, width: int) -> Iterator[Line]:
    new, old = f"v{exhibit.pairing.candidate}", f"v{exhibit.pairing.incumbent}" if exhibit.incumbent else ""
    yield from flowed((("faint", "  "),), (("faint", f"evidence for {words.clean(found.title)}"),), width)
    for dataset, metrics in by_dataset(found.metrics):
        heads = [_brief(f"on {dataset}") if dataset else "metric", new, *((old, "change", "") if old else ())]
        rows = [tuple(("faint", head) for head in heads)]
        for m in metrics:
            beside = (m.incumbent, m.change) if old else ()
            told = (("", _brief(text)) for text in (m.name, m.candidate, *beside))
            rows.append((*told, *([(TREND_STYLE.get(m.trend, ""), words.clean(m.verdict))] if old else [])))
        yield from table(rows, width, 4)
    style = COMPATIBILITY_STYLE[found.compatibility] if exhibit.incumbent else "faint"
    yield from flowed(((style, "    signature  "),), _said(words.clean(found.signature)), width)
    for d in found.signature_rows:
        shown = words.clean(f"{d.where} {d.name}: {d.before or 'not there'} -> {d.after or 'not there'}: {d.why}")
        head = ("remove" if d.breaking else "faint", "      - " if d.breaking else "      + ")
        yield from flowed((head,), _said(shown), width)
    differing = [row for row in (*found.lineage, *found.params, *found.packages, *found.tags) if not row.same]
    if differing:
        rows = [("", new, old), *((row.label, row.candidate, row.incumbent) for row in differing)]
        shown = [row if old else row[:2] for row in rows]
        styles = ["faint", *("" for _ in differing)]
        yield from table(
            [tuple((s, _brief(cell)) for cell in row) for s, row in zip(styles, shown, strict=True)], width, 4
        )
    for missing in found.missing:
        yield from flowed((("warn", "    missing  "),), _said(words.clean(missing)), width)


def _brief(text: str) -> str:
    """A cell, cut where it is long, with ids and digests cut as git cuts them: the other renderings show them whole."""
    return cut(re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1…", words.clean(text)), LONGEST_CELL)


LONGEST_CELL = 160


def drift_lines(drift: Drift, width: int) -> Iterator[Line]:
    """What drifted and what is pending, a paragraph a model; the last line is the one that scripts may parse."""
    where = words.registry(drift.registry, drift.workspace)
    seen = f"Drift on {where}, as seen from {words.revision(drift.revision)}"
    yield from flowed((), _said(seen), width)
    yield ()
    for model in drift.models:
        if model.status is DriftStatus.IN_SYNC:
            continue
        since = f"  since {model.applied[:12]} was applied" if model.applied else ""
        yield (("name", words.clean(model.model)), ("faint", since if model.status is DriftStatus.DRIFTED else ""))
        for sentence in words.drift_sentences(model):
            yield from flowed((("remove", "  drifted  "),), _said(sentence), width)
        for files in model.replaced:
            yield from flowed((("remove", "  drifted  "),), _said(words.clean(files.sentence)), width)
        for effect in model.pending:
            what = f"{effect.verb} {words.subject(effect)}".rstrip()
            yield from flowed((("faint", "  pending  "),), _said(f"{what}: {words.what_moves(effect)}"), width)
        for blocker in model.blockers:
            yield from flowed((("error", "  blocked  "),), _said(words.blocker(blocker)), width)
        if model.why:
            yield from flowed((("warn", "  unknown  "),), _said(words.clean(model.why)), width)
        yield ()
    if compared := words.files_line(drift):
        yield from flowed((), (("faint", compared),), width)
    if ways := words.ways_out(drift):
        yield from flowed((), _said(ways), width)
    yield (("name", words.drift_line(drift)),)


def _effect_lines(effects: Sequence[tuple[Effect, str]], model: ModelPlan, labelled: int, width: int) -> Iterator[Line]:
    """
    What moves and why, in columns. Of a blocked model nothing is done, so nothing of it is green. A reason that has no
    room beside the others in its column follows its move, or stands below it.
    """
    subjects = max((cells(words.subject(effect)) for effect, _ in effects), default=0)
    moves = [words.what_moves(effect) for effect, _ in effects]
    widest = max((cells(move) for move in moves if cells(move) <= width // 2), default=0)
    for (effect, why), move in zip(effects, moves, strict=True):
        style = "faint" if model.blocked else STYLE_OF[effect.verb]
        subject = padded(words.subject(effect), subjects) + ("  " if subjects else "")
        head = ((style, f"  {effect.verb.ljust(labelled)}  "), ("", subject))
        used = cells(plain(head))
        room = width - used - 2 - cells(why)
        if cells(move) <= room:
            aligned = padded(move, widest) if widest <= room else move
            yield from flowed(head, (("", aligned), ("", "  "), ("faint", why)), width)
        else:
            yield from flowed(head, (("", move),), width)
            yield from flowed((("", " " * used),), (("faint", why),), width)


def outcome_line(outcome: Outcome) -> Line:
    """How one model fared."""
    return tuple(piece for part in _outcome(outcome) for piece in part)


def outcome_lines(outcome: Outcome, width: int) -> Iterator[Line]:
    """The same in as many lines as it takes."""
    yield from flowed(*_outcome(outcome), width)


def _outcome(outcome: Outcome) -> tuple[Line, Line]:
    repaired = " Repaired after another writer had changed it at the same time." if outcome.repaired else ""
    calls = amount(len(outcome.made), "call")
    return (
        ((OUTCOME_STYLE[outcome.status], f"{outcome.status.ljust(9)}  "),),
        (
            ("name", words.clean(outcome.model)),
            ("faint", f"  {calls}" if outcome.made else ""),
            ("", f"  {words.clean(outcome.message)}" if outcome.message else ""),
            ("warn", repaired),
        ),
    )


def receipt_lines(receipt: Receipt, width: int) -> Iterator[Line]:
    """How an apply ended; the last line is the one that scripts may parse."""
    if again := words.what_next(receipt):
        yield from flowed((), _said(again), width)
    yield (("name", words.receipt_sentence(receipt)),)
