"""What was in each slot when, for a terminal and for a spreadsheet; and the audit of receipts for a terminal."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from reconciler.core.as_of import AsOf, Between, Possible, Then
from reconciler.core.chain import Audit, Finding, Flaw, Pruning
from reconciler.core.history import (
    Declaring,
    Fate,
    History,
    Recalled,
    Turn,
    Turning,
    Word,
)
from reconciler.core.moments import moment, to_the_minute, to_the_second
from reconciler.core.text import amount, clean
from reconciler.render import words
from reconciler.render.layout import WIDTH, Line, Piece, flowed, padded

TONE = {
    Turning.PROMOTE: "add",
    Turning.ROLL_BACK: "change",
    Turning.RESTORE: "change",
    Turning.VACATE: "remove",
    Turning.FIND: "faint",
    Turning.BY_HAND: "warn",
    Turning.UNKNOWN: "warn",
    Turning.RELEASE: "faint",
    Turning.RENAME: "change",
    Turning.DECLARE: "",
    Turning.REFUSED: "remove",
    Turning.NOT_APPLIED: "faint",
    Turning.PENDING: "change",
    Turning.DRIFTED: "remove",
}
"""The style of each way of turning, as of the verbs of a plan."""


def history_lines(history: History, width: int = WIDTH) -> Iterator[Line]:
    """Each model with its turns, oldest first; the last line is the one that scripts may parse."""
    yield from _head("History", history.of, width)
    for model, found in groupby(history.turns, key=lambda turn: turn.model):
        yield ()
        yield (("name", clean(model)),)
        shown = list(found)
        wide = min(max(len(turn.slot) for turn in shown), 24)
        for turn in shown:
            head: Line = (("faint", f"  {when(turn)}  "), ("", f"{padded(clean(turn.slot), wide)}  "))
            body: Line = ((TONE[turn.turning], f"{moved(turn)}"), ("", f"  {turn.turning}"))
            yield from flowed(head, body, width)
            for text in told(turn):
                yield from flowed((("", "      "),), (("faint", text),), width)
    yield ()
    yield from flowed((), (("name", history_line(history)),), width)


def _head(what: str, of: Recalled, width: int, more: Sequence[str] = ()) -> Iterator[Line]:
    where = f"{what} of {words.registry(of.registry, of.workspace)}, as seen from {words.revision(of.revision)}"
    yield from flowed((), (("", where),), width)
    for note in (*notes(of), *more):
        yield from flowed((("warn", "Note: "),), (("", note),), width)


def notes(of: Recalled) -> Iterator[str]:
    """What a reader should know of the sources."""
    if of.untold:
        yield f"The registry was not read, so what it shows is left out: {clean(of.untold)}"
    if of.pruned is not None:
        yield f"{pruned(of.pruned)} To have them told of too, name the folder of their export: `--receipts FOLDER`."
    if not all(past.whole for past in of.models):
        yield "This clone is shallow: who declared what before is not known. Fetch all of it (`git fetch --unshallow`)."
    lacking = {finding.flaw for finding in of.findings if finding.grave}
    if lacking:
        are = "missing" if lacking & {Flaw.LOST, Flaw.MISSING, Flaw.REWRITTEN} else "not as they were written"
        yield f"Receipts are {are}: run `reconciler audit`."
    yield from (clean(finding.sentence) for finding in of.findings[:_SHOWN])
    settled = not any(finding.grave or finding.unproven for finding in of.findings[:_SHOWN])
    if of.findings and not settled and (not lacking or len(of.findings) > _SHOWN):
        yield "`reconciler audit` says more."


_SHOWN = 3
"""So many of the findings are shown above an answer, the gravest first."""


def pruned(pruning: Pruning) -> str:
    """`Receipts no. 1 to 40, up to 2025-05-01 10:00 UTC, were pruned on 2026-05-01 10:00 UTC.`"""
    which = "Receipt no. 1" if pruning.count == 1 else f"Receipts no. 1 to {pruning.count}"
    was = "was" if pruning.count == 1 else "were"
    return f"{which}, up to {_minute(pruning.until)}, {was} pruned on {_minute(pruning.at)}."


def when(turn: Turn) -> str:
    """When it was, or began: `2026-05-01 10:00 UTC`, `by 2026-05-01 10:00 UTC`, or `not known when`."""
    if turn.ending is not None and turn.earliest:
        return _second(turn.earliest)
    text = turn.latest or turn.earliest
    named = moment(text)
    if named is None:
        return "not known when"
    return to_the_second(named) if turn.exact or not turn.latest else f"by {to_the_second(named)}"


def moved(turn: Turn) -> str:
    """`v3 -> v4`; `v4` for what was found; `? -> v4` where it is not known what was there; `churn -> churn-eu`."""
    if turn.renamed is not None:
        return f"{clean(turn.renamed.before)} -> {clean(turn.renamed.after)}"
    after = words.held(turn.after)
    if turn.turning in {Turning.FIND, Turning.RELEASE}:
        return after
    return f"{'?' if turn.before is None else words.held(turn.before)} -> {after}"


def told(turn: Turn) -> Iterator[str]:
    """What else is known of a turn, a line each: by whom, by which apply, what gates said, and how sure it is."""
    if turn.declaring is not None:
        yield declared_by(turn)
    if turn.applying is not None:
        yield applied_by(turn)
    elif turn.word is Word.GIT and turn.happened:
        yield "Declared in git; whether and when it was applied is not known."
    if turn.earliest and not turn.exact and turn.latest and turn.ending is None:
        yield f"After {_second(turn.earliest)}."
    if turn.comment:
        yield f'"{clean(turn.comment)}"'
    yield from opinions(turn)
    if turn.note:
        yield clean(turn.note)
    yield from ended(turn)


def ended(turn: Turn) -> Iterator[str]:
    """How often it was refused, and what became of it: `Given up by Ada in d4c0ffee1234 (#15, …): Revert v4`."""
    refusal, ending = turn.refusal, turn.ending
    if refusal is not None and refusal.applies > 1:
        again = amount(refusal.applies - 1, "more receipt")
        says = "says" if refusal.applies == 2 else "say"
        yield f"{again} {says} the same, the last of {_second(turn.latest)}: {clean(refusal.last.receipt)}"
    if ending is None:
        return
    match ending.fate:
        case Fate.CAME_IN if ending.applying is not None:
            yield f"Came in {_second(ending.at)}: {clean(ending.applying.receipt)}"
        case Fate.CAME_IN:
            yield f"Came in by {_second(ending.at)}, by no apply that is known." if ending.at else "Came in later."
        case Fate.GIVEN_UP if ending.declaring is not None:
            yield _by("Given up", ending.declaring)
        case Fate.WAITING:
            yield "Still declared."
        case _:
            yield "What became of it is not known."


def declared_by(turn: Turn) -> str:
    """`Declared by Ada in 1b9c02f4a7de (#12, 2026-05-01 09:55 UTC): Promote v4`."""
    return "" if turn.declaring is None else _by("Declared", turn.declaring)


def _by(verb: str, by: Declaring) -> str:
    if not by.commit:
        return f"{verb} before {_minute(by.at)}, by a commit that this clone does not have."
    author = f" by {clean(_person(by.author))}" if by.author else ""
    merged = f", merged by {clean(_person(by.merged_by))}" if by.merged_by else ""
    about = ", ".join(part for part in (clean(by.request), _minute(by.at)) if part)
    return f"{verb}{author}{merged} in {by.commit[:12]} ({about}){f': {clean(by.subject)}' if by.subject else ''}"


def applied_by(turn: Turn) -> str:
    """`Applied by https://ci.acme.example/7, started by Ada: signed receipt 20260501T100000Z-1f3a9c0b2d`."""
    by = turn.applying
    if by is None:
        return ""
    where = clean(by.run or by.who)
    person = f", started by {clean(_person(by.person))}" if by.person else ""
    word = f"signed {turn.word}" if turn.word is Word.RECORD and by.signed else f"{turn.word}"
    named = f"{word} {by.receipt}" if by.receipt else word
    verb = "Refused" if turn.turning is Turning.REFUSED else "Applied"
    return f"{verb}{f' by {where}' if where else ''}{person}: {clean(named)}"


def opinions(turn: Turn) -> Iterator[str]:
    """What gates said: those that passed in one line, the others one by one."""
    passed = [said.gate for said in turn.opinions if said.ruling == "pass" and said.gate != "approvals"]
    if passed:
        yield f"{_PASSED}{', '.join(dict.fromkeys(clean(gate) for gate in passed))}"
    for said in turn.opinions:
        if said.ruling != "pass" or said.gate == "approvals":
            note = f" ({clean(said.note)})" if said.note else ""
            label = "" if said.ruling == "pass" else f"{said.ruling.capitalize()}: "
            yield f"{label}{clean(said.gate)}: {clean(said.sentence)}{note}"


_PASSED = "Passed: "


def _person(text: str) -> str:
    return text.partition(" <")[0] or text


def _minute(text: str) -> str:
    named = moment(text)
    return clean(text) if named is None else to_the_minute(named)


def _second(text: str) -> str:
    named = moment(text)
    return clean(text) if named is None else to_the_second(named)


def history_line(history: History) -> str:
    """The last line of `history`, which scripts may parse."""
    count = Counter(turn.turning for turn in history.turns)
    parts = [f"{count[turning]} {turning}" for turning in Turning if count[turning]]
    return f"History: {', '.join(parts) or 'nothing'}."


def as_of_lines(as_of: AsOf, width: int = WIDTH) -> Iterator[Line]:
    """What each slot held at a moment; the last line is the one that scripts may parse."""
    yield from _head(f"As of {as_of.when}: slots", as_of.of, width, as_of.notes)
    for model, found in groupby(as_of.slots, key=lambda then: then.model):
        yield ()
        yield (("name", clean(model)),)
        shown = list(found)
        wide = min(max(len(then.slot) for then in shown), 24)
        for then in shown:
            head: Line = (("", f"  {padded(clean(then.slot), wide)}  "),)
            yield from flowed(head, ((_tone(then), what(then)), *_word(then)), width)
            for text in remarks(then):
                yield from flowed((("", "      "),), (("faint", text),), width)
    yield ()
    yield (("name", as_of_line(as_of)),)


def _tone(then: Then) -> str:
    return "" if then.certain else "warn"


def what(then: Then) -> str:
    """`v4`, `v3 or v4`, `not known`."""
    return " or ".join(words.held(one.held) for one in then.possible) or "not known"


def _word(then: Then) -> tuple[Piece, ...]:
    words_of = dict.fromkeys(one.word for one in then.possible)
    return (("faint", f"  by {' and '.join(words_of)}"),) if words_of else ()


def remarks(then: Then) -> Iterator[str]:
    """How it came there, why that is not certain, and what other sources say."""
    for one in then.possible:
        if one.turn is not None:
            yield since(one, several=len(then.possible) > 1)
    if then.now not in {None, then.model}:
        yield f"Now called {clean(str(then.now))}."
    if then.why:
        yield clean(then.why)
    for difference in then.differences:
        yield f"But {clean(difference)}."
    for text in then.explained:
        shown = clean(text)
        yield f"{shown[:1].upper()}{shown[1:]}."


def since(possible: Possible, *, several: bool = False) -> str:
    """How a slot came to hold something: `Since 2026-05-01 10:00 UTC (promote). Declared by Ada in 1b9c02f4a7de`."""
    turn = possible.turn
    if turn is None:
        return ""
    lead = f"{words.held(possible.held)}: " if several else ""
    by = f" {declared_by(turn)}" if turn.declaring is not None else ""
    start = (
        f"Since {when(turn)}" if turn.exact or not turn.latest else f"Since some moment before {_second(turn.latest)}"
    )
    unknown = "Whether and when" if possible.word is Word.GIT else "When"
    doubt = f" {unknown} that was applied is not known." if turn.word is Word.GIT else ""
    return f"{lead}{start} ({turn.turning}).{by}{doubt}"


def as_of_line(as_of: AsOf) -> str:
    """The last line of `as-of`, which scripts may parse."""
    certain = sum(then.certain for then in as_of.slots)
    unclear = sum(bool(then.possible) and not then.certain for then in as_of.slots)
    unknown = len(as_of.slots) - certain - unclear
    return f"As of {as_of.when}: {certain} certain, {unclear} not certain, {unknown} not known."


def between_lines(between: Between, width: int = WIDTH) -> Iterator[Line]:
    """What changed between two moments; the last line is the one that scripts may parse."""
    yield from _head(f"Between {between.before} and {between.after}: slots", between.of, width, between.notes)
    for model, found in groupby(between.slots, key=lambda pair: pair[1].model):
        yield ()
        yield (("name", clean(model)),)
        shown = list(found)
        wide = min(max(len(then.slot) for _, then in shown), 24)
        for one, two in shown:
            head: Line = (("", f"  {padded(clean(two.slot), wide)}  "),)
            yield from flowed(head, ((_tone(two), f"{what(one)} -> {what(two)}"), *_word(two)), width)
            if one.model != two.model:
                yield from flowed((("", "      "),), (("faint", f"Called {clean(one.model)} before."),), width)
            for text in remarks(two):
                yield from flowed((("", "      "),), (("faint", text),), width)
    yield ()
    count = len(between.slots) - between.unknown
    yield (
        (
            "name",
            f"Diff: {amount(count, 'slot')} changed{f', {between.unknown} not known' if between.unknown else ''}.",
        ),
    )


def audit_lines(audit: Audit, width: int = WIDTH) -> Iterator[Line]:
    """What was verified and what is wrong; the last line is the one that scripts may parse."""
    span = f", {_minute(audit.first)} to {_minute(audit.last)}" if audit.first else ""
    signed = f", {audit.signed} signed by a listed key" if audit.receipts else ""
    lead = f"{clean(audit.about)}: " if audit.about else ""
    where = "in" if audit.about else "at"
    text = f"{lead}{amount(audit.receipts, 'receipt')} {where} {clean(audit.place)}{span}{signed}"
    yield from flowed((), (("", text),), width)
    if audit.pruned is not None:
        yield from flowed((), (("", pruned(audit.pruned)),), width)
    if audit.records is not None:
        there = "bundle" if audit.about else "registry"
        named = f"{amount(audit.records, 'record')} in the {there} {'names' if audit.records == 1 else 'name'} one"
        yield from flowed((), (("", named),), width)
    for finding in audit.findings:
        yield from flowed((_label(finding),), (("", clean(finding.sentence)),), width)
    yield (("name", audit_line(audit)),)


def _label(finding: Finding) -> Piece:
    tone = "error" if finding.grave else "warn" if finding.unproven else "faint"
    return (tone, f"  {finding.flaw.ljust(12)}  ")


def audit_line(audit: Audit) -> str:
    """The last line of `audit`, which scripts may parse."""
    grave, unproven = (sum(getattr(finding, which) for finding in audit.findings) for which in ("grave", "unproven"))
    settled = len(audit.findings) - grave - unproven
    more = f", {settled} acknowledged" if settled else ""
    return f"Audit: {audit.receipts} receipts, {grave} wrong, {unproven} not proven{more}."


COLUMNS = (
    *("model", "slot", "turning", "before", "after", "earliest", "latest", "word"),
    *("commit", "declared_at", "author", "merged_by", "request", "subject"),
    *("receipt", "sequence", "applied_commit", "who", "person", "run", "comment", "verdicts", "note"),
    *("name_before", "name_after"),
    *("refusals", "last_receipt", "fate", "fate_at", "fate_commit", "fate_author", "fate_request", "fate_receipt"),
    "sentences",
)


def history_csv(history: History) -> str:
    """One line a turn, with the columns of `COLUMNS`. What people wrote can be no formula of a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_row, history.turns))
    return out.getvalue()


def _row(turn: Turn) -> Iterable[object]:
    by, applying = turn.declaring, turn.applying
    yield _cell(turn.model)
    yield turn.slot
    yield turn.turning.value
    yield "" if turn.before is None else _numbers(turn.before)
    yield _numbers(turn.after)
    yield turn.earliest
    yield turn.latest
    yield turn.word.value
    declared = (by.commit, by.at, by.author, by.merged_by, by.request, by.subject) if by else ("",) * 6
    yield from map(_cell, declared)
    yield _cell(applying.receipt) if applying else ""
    yield applying.sequence if applying else ""
    ran = (applying.commit or "", applying.who, applying.person, applying.run) if applying else ("",) * 4
    yield from map(_cell, ran)
    yield _cell(turn.comment)
    yield _cell("; ".join(f"{said.gate}: {said.ruling}" for said in turn.opinions))
    yield _cell(turn.note)
    yield from map(_cell, (turn.renamed.before, turn.renamed.after) if turn.renamed else ("", ""))
    yield turn.refusal.applies if turn.refusal else ""
    yield _cell(turn.refusal.last.receipt) if turn.refusal else ""
    ending = turn.ending
    yield ending.fate.value if ending else ""
    yield ending.at if ending else ""
    given_up = ending.declaring if ending else None
    yield from map(_cell, (given_up.commit, given_up.author, given_up.request) if given_up else ("",) * 3)
    yield _cell(ending.applying.receipt) if ending and ending.applying else ""
    yield _cell("; ".join(said for said in opinions(turn) if not said.startswith(_PASSED)))


def _numbers(held: Sequence[int]) -> str:
    return " ".join(map(str, held))


def _cell(text: str) -> str:
    shown = clean(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
