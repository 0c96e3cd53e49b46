"""A plan and a receipt for the terminal: lines of styled pieces, so that whoever prints them decides about colour."""

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from reconciler.core.plan import Effect, Plan, Verb, effects_of
from reconciler.events import Outcome, OutcomeStatus, Receipt
from reconciler.render import words

Piece: TypeAlias = tuple[str, str]
"""A style (`add`, `remove`, `change`, `warn`, `error`, `name`, `faint` or empty) and the text that has it."""
Line: TypeAlias = tuple[Piece, ...]

STYLE_OF: dict[Verb, str] = {
    Verb.CREATE: "add",
    Verb.PROMOTE: "add",
    Verb.ROLL_BACK: "warn",
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


def plan_lines(plan: Plan, registry: str) -> Iterator[Line]:
    """The plan, a paragraph a model; the last line is the one that scripts may parse."""
    yield (("", f"Plan for {words.revision(plan.revision)} on {words.clean(registry)}"),)
    yield ()
    if not plan.models:
        yield (("", "No changes: the registry holds what is declared."),)
        yield ()
    for model in plan.models:
        yield (("name", words.clean(model.model)),)
        effects = effects_of(model)
        subjects = max((len(words.clean(effect.subject)) for effect in effects), default=0)
        moves = max((min(len(words.what_moves(effect)), 40) for effect in effects), default=0)
        for effect in effects:
            yield _effect_line(effect, subjects, moves)
        for blocker in model.blockers:
            yield (("error", "  blocked        "), ("", words.blocker(blocker)))
        yield ()
    for safety in plan.safeties:
        yield (("error", "Refused: "), ("", words.blocker(safety)))
        yield ()
    yield (("name", words.summary_line(plan.summary)),)


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
    count = Counter(outcome.status for outcome in receipt.outcomes)
    parts = [f"{count[OutcomeStatus.APPLIED]} applied"] if receipt.outcomes else ["nothing to change"]
    parts.extend(f"{count[s]} {s}" for s in OutcomeStatus if s is not OutcomeStatus.APPLIED and count[s])
    lead = "Interrupted" if receipt.interrupted else "Apply complete" if receipt.exit_code == 0 else "Apply incomplete"
    again = "" if receipt.exit_code == 0 else " Run it again when the cause is gone: what is done stays done."
    return (("name", f"{lead}: {', '.join(parts)}."), ("", again))
