"""A plan and a receipt for the terminal: lines of styled pieces, so that whoever prints them decides about colour."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from reconciler.core.diff import ModelPlan
from reconciler.core.drift import Drift, DriftStatus
from reconciler.core.evidence import Exhibit, Trend
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.names import ModelName, Version
from reconciler.core.plan import Effect, Plan, Verb, effects_of
from reconciler.core.review import Origin, Review
from reconciler.core.signature import Compatibility
from reconciler.events import Outcome, OutcomeStatus, Receipt
from reconciler.render import words
from reconciler.render.clean import cut
from reconciler.render.findings import Findings, findings

Piece: TypeAlias = tuple[str, str]
"""A style (`add`, `remove`, `change`, `warn`, `error`, `name`, `faint` or empty) and the text that has it."""
Line: TypeAlias = tuple[Piece, ...]

STYLE_OF: dict[Verb, str] = {
    Verb.CREATE: "add",
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


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for _, text in line)


def plan_lines(plan: Plan, registry: str, workspace: str = "") -> Iterator[Line]:
    """The plan, a paragraph a model; the last line is the one that scripts may parse."""
    return review_lines(Review(plan, registry, workspace=workspace))


def review_lines(review: Review) -> Iterator[Line]:
    """The plan, and with it what the evidence shows and what was pending before the change under review."""
    plan = review.plan
    where = words.registry(review.registry, review.workspace)
    yield (("", f"Plan for {words.revision(plan.revision)} on {where}"),)
    yield ()
    if not plan.models:
        yield (("", "No changes: the registry holds what is declared."),)
        yield ()
    for model in review.models:
        yield from _model_lines(review, model)
        yield ()
    if review.settled:
        yield (("warn", "No longer pending once this is merged:"),)
        for effect in review.settled:
            yield (("", f"  {words.sentence(effect)}"),)
        yield ()
    if review.evidence is not None and review.evidence.trouble:
        yield (("warn", "No evidence: "), ("", words.clean(review.evidence.trouble)))
        yield ()
    for safety in plan.safeties:
        yield (("error", "Refused: "), ("", words.blocker(safety)))
        yield ()
    if review.policy is not None:
        for line in review.policy.difference:
            yield (({"+": "add", "-": "remove"}.get(line[:1], "faint"), f"  {words.clean(line)}"),)
        yield (("warn" if review.policy.changed else "faint", words.policy_line(review.policy)),)
        for text in words.policy_effects(review.policy):
            yield (("warn", f"  {text}"),)
        yield ()
    if pending := words.pending_line(review):
        yield (("warn", pending),)
    yield (("name", words.summary_line(plan.summary)),)


def _model_lines(review: Review, model: ModelPlan) -> Iterator[Line]:
    yield (("name", words.clean(model.model)),)
    effects = effects_of(model)
    subjects = max((len(words.clean(effect.subject)) for effect in effects), default=0)
    moves = max((min(len(words.what_moves(effect)), 40) for effect in effects), default=0)
    ours = [effect for effect in effects if review.origin(effect) is not Origin.DRIFT]
    for effect in ours:
        yield _effect_line(effect, subjects, moves)
    if len(ours) < len(effects):
        yield (("warn", "  pending already, without this change:"),)
    for effect in effects:
        if effect not in ours:
            yield _effect_line(effect, subjects, moves)
    for blocker in model.blockers:
        yield (("error", "  blocked        "), ("", words.blocker(blocker)))
    yield from verdict_lines(model.verdicts)
    if review.evidence is not None:
        for exhibit in review.evidence.of(model.model):
            yield from _exhibit_lines(findings(exhibit, review.evidence.read_at), exhibit)


RULING_STYLE: dict[Ruling, str] = {
    Ruling.PASS: "add",
    Ruling.FAIL: "error",
    Ruling.UNKNOWN: "warn",
    Ruling.WAIVED: "change",
    Ruling.OVERRIDDEN: "change",
}


def verdict_lines(verdicts: Iterable[Verdict]) -> Iterator[Line]:
    """What the gates said, those that refuse first: a line each."""
    for verdict in sorted(verdicts, key=lambda v: not v.blocks):
        yield ((RULING_STYLE[verdict.ruling], f"  {verdict.ruling.ljust(13)}  "), ("", words.verdict(verdict)))


def gates_lines(model: ModelName, version: Version, verdicts: Sequence[Verdict]) -> Iterator[Line]:
    """What the gates of a model say to one version, slot by slot."""
    yield (("name", f"{words.clean(model)} v{version}"),)
    if not verdicts:
        yield (("", "  No gate guards any slot of it."),)
    for slot in dict.fromkeys(verdict.entrance.slot for verdict in verdicts):
        ruled = [verdict for verdict in verdicts if verdict.entrance.slot == slot]
        noes = sum(verdict.blocks for verdict in ruled)
        yield ()
        yield (
            ("error" if noes else "add", f"  {'closed' if noes else 'open'}".ljust(10)),
            ("name", words.clean(slot)),
            ("faint", f"  {len(ruled) - noes} of {len(ruled)} gates let it in"),
        )
        for verdict in sorted(ruled, key=lambda v: not v.blocks):
            note = f" ({words.clean(verdict.note)})" if verdict.note else ""
            told = f"{words.clean(verdict.gate)}: {words.clean(verdict.sentence)}{note}"
            yield ((RULING_STYLE[verdict.ruling], f"    {verdict.ruling.ljust(10)}  "), ("", told))


TREND_STYLE: dict[Trend, str] = {Trend.BETTER: "add", Trend.WORSE: "remove", Trend.NOT_COMPARABLE: "warn"}

COMPATIBILITY_STYLE: dict[Compatibility, str] = {
    Compatibility.IDENTICAL: "add",
    Compatibility.COMPATIBLE: "add",
    Compatibility.BREAKING: "error",
    Compatibility.UNKNOWN: "warn",
}

WIDEST = 48
"""Cells are cut to this many characters on a terminal; the other renderings show them whole."""


def _exhibit_lines(found: Findings, exhibit: Exhibit) -> Iterator[Line]:
    new, old = f"v{exhibit.pairing.candidate}", f"v{exhibit.pairing.incumbent}" if exhibit.incumbent else ""
    yield (("faint", f"  evidence for {words.clean(found.title)}"),)
    if found.metrics:
        table = [
            ("metric", new, *((old, "change", "") if old else ())),
            *((m.name, m.candidate, *((m.incumbent, m.change, m.verdict) if old else ())) for m in found.metrics),
        ]
        styles = ["faint", *(TREND_STYLE.get(m.trend, "") for m in found.metrics)]
        yield from _table(table, styles)
    yield (
        (COMPATIBILITY_STYLE[found.compatibility] if exhibit.incumbent else "faint", "    signature  "),
        ("", words.clean(found.signature)),
    )
    for d in found.signature_rows:
        shown = words.clean(f"{d.where} {d.name}: {d.before or 'not there'} -> {d.after or 'not there'}: {d.why}")
        yield (("remove" if d.breaking else "faint", "      - " if d.breaking else "      + "), ("", shown))
    differing = [row for row in (*found.lineage, *found.params, *found.packages, *found.tags) if not row.same]
    if differing:
        yield from _table(
            [
                ("", new, *((old,) if old else ())),
                *((row.label, row.candidate, *((row.incumbent,) if old else ())) for row in differing),
            ],
            ["faint", *("" for _ in differing)],
        )
    for missing in found.missing:
        yield (("warn", "    missing  "), ("", words.clean(missing)))


def _table(rows: Sequence[tuple[str, ...]], styles: Sequence[str]) -> Iterator[Line]:
    shown = [tuple(cut(words.clean(cell), WIDEST) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    for row, style in zip(shown, styles, strict=True):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False))
        first = style if style == "faint" else ""
        yield ((first, f"    {text}"), (style, f"  {row[-1]}")) if row[-1] else ((first, f"    {text}".rstrip()),)


def drift_lines(drift: Drift) -> Iterator[Line]:
    """What drifted and what waits, a paragraph a model; the last line is the one that scripts may parse."""
    where = words.registry(drift.registry, drift.workspace)
    yield (("", f"Drift on {where}, as seen from {words.revision(drift.revision)}"),)
    yield ()
    for model in drift.models:
        if model.status is DriftStatus.IN_SYNC:
            continue
        since = f"  since {model.applied[:12]} was applied" if model.applied else ""
        yield (("name", words.clean(model.model)), ("faint", since if model.status is DriftStatus.DRIFTED else ""))
        for effect in model.drifted:
            yield (("remove", "  drifted   "), ("", words.drift_sentence(effect)))
        for files in model.replaced:
            yield (("remove", "  drifted   "), ("", words.clean(files.sentence)))
        for effect in model.pending:
            yield (
                ("faint", f"  pending   {effect.verb} {words.clean(effect.subject)}".rstrip()),
                ("", f"  {words.what_moves(effect)}"),
            )
        for blocker in model.blockers:
            yield (("error", "  blocked   "), ("", words.blocker(blocker)))
        if model.why:
            yield (("warn", "  unknown   "), ("", words.clean(model.why)))
        yield ()
    if compared := words.files_line(drift):
        yield (("faint", compared),)
    yield (("name", words.drift_line(drift)),)


def _effect_line(effect: Effect, subjects: int, moves: int) -> Line:
    subject = words.clean(effect.subject).ljust(subjects)
    return (
        (STYLE_OF[effect.verb], f"  {effect.verb.ljust(13)}  "),
        ("", f"{subject}{'  ' if subjects else ''}{words.what_moves(effect).ljust(moves)}"),
        ("faint", f"  {words.reason(effect.because)}"),
    )


def outcome_line(outcome: Outcome) -> Line:
    """How one model fared."""
    repaired = " Repaired after another writer had changed it at the same time." if outcome.repaired else ""
    calls = f"{len(outcome.made)} {'call' if len(outcome.made) == 1 else 'calls'}"
    return (
        (OUTCOME_STYLE[outcome.status], f"{outcome.status.ljust(9)}  "),
        ("name", words.clean(outcome.model)),
        ("faint", f"  {calls}" if outcome.made else ""),
        ("", f"  {words.clean(outcome.message)}" if outcome.message else ""),
        ("warn", repaired),
    )


def receipt_line(receipt: Receipt) -> Line:
    """The last line of an apply."""
    again = "" if receipt.exit_code == 0 else " Run it again when the cause is gone: what is done stays done."
    return (("name", words.receipt_sentence(receipt)), ("", again))
