"""
A review for a comment under a change request. Names and values stand in code spans; sentences do not, but for what a
forge could obey in them. See `spans.py`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.core.diff import ModelPlan
from reconciler.core.drift import Drift, DriftStatus, ModelDrift
from reconciler.core.evidence import Exhibit, VersionFacts
from reconciler.core.gate import Ruling
from reconciler.core.limits import CELL_CHARACTERS, DIFF_LINES, NOTES
from reconciler.core.overview import ModelOverview, Overview, SlotState
from reconciler.core.plan import Effect, Plan, Status, Verb, effects_of
from reconciler.core.review import Origin, Review, Weight, model_weight, weightiest
from reconciler.core.text import amount
from reconciler.errors import Problem
from reconciler.events import Outcome, OutcomeStatus, Receipt
from reconciler.render import words
from reconciler.render.alerts import alerts, counted
from reconciler.render.findings import Findings, MetricRow, Row, by_dataset, findings
from reconciler.render.folds import NAMED, folded
from reconciler.render.marker import Marker
from reconciler.render.overview import sorted_by_weight
from reconciler.render.spans import brief, cell, code, prose, raw


def markdown(review: Review, key: str, limit: int | None = None) -> str:
    """
    The comment. `key` tells the comments of several registries apart. Where it would have more than `limit` characters
    (counted as UTF-16 does, the strictest way of counting), what weighs least is left out: the evidence of whole
    models, the largest first; then models, those that bring nothing into a slot before those that do; and the comment
    says how many. The alerts stay.
    """
    sections = [_section(review, models, index) for index, models in enumerate(folded(review))]
    marker = _marker(review.plan, key, limit)
    body = ""
    for room in ROOMS:
        body = _fitted(review, marker, sections, room, limit)
        if limit is None or length(body) <= limit:
            break
    return body


@dataclass(frozen=True, slots=True)
class _Room:
    """How much there is room for of what is no model: lines of lists, lines of the policy's difference, characters."""

    lines: int
    difference: int
    text: int


ROOMS = (_Room(NOTES, DIFF_LINES, 600), _Room(NOTES, 0, 300), _Room(NOTES // 2, 0, 100), _Room(3, 0, 60))
"""The next is taken where a comment is too long with all of its models left out."""


def _fitted(review: Review, marker: Marker, sections: list["_Section"], room: _Room, limit: int | None) -> str:
    whole = _assembled(review, marker, sections, room)
    if limit is None or length(whole) <= limit:
        return whole
    # Replace the largest part by nothing until the rest fits; the parts are measured once, and the notes about what is
    # left out are short and of nearly constant length.
    excess = length(whole) - limit + SLACK
    by_evidence = sorted(sections, key=lambda s: (-length(s.evidence), s.index))
    by_changes = sorted(sections, key=lambda s: (-s.weight, -length(s.changes), s.index))
    kept = {section.index: section for section in sections}
    for section in by_evidence:
        if excess > 0 and section.evidence:
            excess -= length(section.evidence)
            kept[section.index] = replace(section, evidence="", short=True)
    for section in by_changes:
        if excess > 0:
            excess -= length(section.changes)
            kept[section.index] = replace(kept[section.index], changes="", evidence="")
    return _assembled(review, marker, [kept[index] for index in sorted(kept)], room)


SLACK = 400
"""Characters kept free for the notes about what was left out."""


def length(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class _Section:
    """
    One model, or several alike: their rows in the table of changes, and their evidence, either of which may be left
    out.
    """

    index: int
    models: int
    changes: str
    evidence: str
    weight: Weight
    short: bool = False


def _assembled(review: Review, marker: Marker, sections: Iterable[_Section], room: _Room) -> str:
    sections = list(sections)
    plan = review.plan
    changes = [section.changes for section in sections if section.changes]
    hidden = sum(section.models for section in sections if not section.changes)
    short = sum(section.short and bool(section.changes) for section in sections)
    parts = [
        f"{marker}\n### {words.summary_line(plan.summary)}",
        f"{STATUS[plan.status]} {_where(review)}",
        *_alerts(review, room),
        *_policy_effects(review, room),
        *(["| | model | | change | why |\n| --- | --- | --- | --- | --- |\n" + "".join(changes)] if changes else []),
        *(
            [f"**{_models(hidden)} left out here**, because the comment would be too long: see the whole plan."]
            if hidden
            else []
        ),
        *([f"Evidence of {_models(short)} left out here, because the comment would be too long."] if short else []),
        *_settled(review, room),
        *_policy(review, room),
        *(section.evidence for section in sections if section.evidence),
        _footer(review),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _models(count: int) -> str:
    return amount(count, "model is", "models are")


SENTENCE = 600
"""Characters of a sentence in a table."""

MOST_DIGESTS = 500
"""A plan of more models is known by its digest alone: their digests would take a fifth of the comment."""


def _marker(plan: Plan, key: str, limit: int | None) -> Marker:
    models, most = plan.model_digests, MOST_DIGESTS if limit is None else min(MOST_DIGESTS, limit // 100)
    return Marker(key, plan.digest, plan.revision.commit or "", models if len(models) <= most else frozenset[str]())


STATUS = {
    Status.IN_SYNC: "**No changes.** The registry matches the manifests.",
    Status.READY: "**Ready.**",
    Status.BLOCKED: "**Blocked.** What is blocked is not applied.",
}


def _where(review: Review) -> str:
    commit = review.plan.revision.commit
    told = f"commit {code(commit[:12])}" if commit else "the work tree"
    return f"For {told} on {_registry(review.registry, review.workspace)}."


def _registry(uri: str, workspace: str) -> str:
    return f"{code(uri)}, workspace {code(workspace)}" if workspace else code(uri)


def _alerts(review: Review, room: _Room) -> Iterator[str]:
    """What a reader must not miss; nothing of it is folded."""
    kept, left = weightiest(alerts(review), lambda alert: alert.weight, room.lines)
    for alert in kept:
        about = "" if alert.model is None else f"{code(alert.model)}: "
        yield f"> **{alert.kind}:** {about}{prose(alert.text, room.text)}"
    if left:
        yield f"> and {counted(alert.kind for alert in left)}"


def _policy_effects(review: Review, room: _Room) -> Iterator[str]:
    """What the proposed policy would admit and no longer guard, and whom it would refuse."""
    if review.policy is not None and review.policy.changed:
        lines = list(words.policy_effects(review.policy))
        if lines:
            yield "**The proposed policy:**\n\n" + "\n".join(_listed(lines, room))


def _listed(lines: Sequence[str], room: _Room) -> Iterator[str]:
    yield from (f"- {prose(line, room.text)}" for line in lines[: room.lines])
    if len(lines) > room.lines:
        yield f"- and {len(lines) - room.lines} more"


def _verdicts(model: ModelPlan) -> str:
    """Every gate of a model; what is refused is among the alerts too."""
    if not model.verdicts:
        return ""
    count = Counter(verdict.ruling for verdict in model.verdicts)
    told = ", ".join(f"{count[ruling]} {ruling}" for ruling in Ruling if count[ruling])
    lines = ["| gate | slot | | |", "| --- | --- | --- | --- |"]
    for verdict, slots in words.alike(model.verdicts):
        ruling = f"**{verdict.ruling}**" if verdict.ruling is not Ruling.PASS else "pass"
        note = f" ({prose(verdict.note, SENTENCE)})" if verdict.note else ""
        lines.append(f"| {cell(verdict.gate)} | {cell(slots)} | {ruling} | {prose(verdict.sentence, SENTENCE)}{note} |")
    summary = f"<summary><code>{raw(model.model)}</code> gates: {told}</summary>"
    return "\n\n".join([f"<details>{summary}", "\n".join(lines), "</details>"])


def _policy(review: Review, room: _Room) -> Iterator[str]:
    """The lines that a change of the policy edits."""
    note = review.policy
    if note is None or not note.difference:
        return
    if not room.difference:
        yield "The lines that the change of the policy edits are left out here, because the comment would be too long."
        return
    lines = [brief(line, CELL_CHARACTERS, strip=False) for line in note.difference[: room.difference]]
    more = len(note.difference) - room.difference
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0))
    body = "\n".join([*lines, *([f"… and {more} more lines"] if more > 0 else [])])
    yield "\n\n".join(
        ["<details><summary>The change of the policy</summary>", f"{fence}diff\n{body}\n{fence}", "</details>"]
    )


SIGN = {
    Verb.CREATE: "+",
    Verb.RENAME: "!",
    Verb.REGISTER: "+",
    Verb.COPY: "+",
    Verb.PROMOTE: "↑",
    Verb.ROLL_BACK: "↺",
    Verb.RESTORE: "↺",
    Verb.ADMIT: "!",
    Verb.FIND: "·",
    Verb.DEMOTE: "↓",
    Verb.ARCHIVE: "↓",
    Verb.UNSTAGE: "↓",
    Verb.SET_ALIAS: "→",
    Verb.MOVE_ALIAS: "→",
    Verb.DELETE_ALIAS: "-",
    Verb.DESCRIBE: "~",
    Verb.TAG: "~",
    Verb.UNTAG: "-",
    Verb.CLAIM: "·",
    Verb.ADOPT: "!",
    Verb.RELEASE: "-",
}
"""What stands at the beginning of a row, beside the word: colour and emoji do not survive everywhere."""


def _section(review: Review, models: tuple[ModelPlan, ...], index: int) -> _Section:
    model = models[0]
    if len(models) > 1:
        rows = _change_rows(review, model, _several(models), together=True)
        return _Section(index, len(models), rows, "", model_weight(model))
    name = cell(model.model)
    standing = words.standing(model)
    rows = f"| {'✕' if model.blocked else '!'} | {name} | **{prose(standing)}** | | |\n" if standing else ""
    rows += _change_rows(review, model, name)
    exhibits = review.evidence.of(model.model) if review.evidence is not None else ()
    read_at = review.evidence.read_at if review.evidence is not None else ""
    shown = [_verdicts(model), *(_exhibit(model.model, of, findings(of, read_at)) for of in exhibits)]
    evidence = "\n\n".join(part for part in shown if part)
    return _Section(index, 1, rows, evidence, model_weight(model))


def _several(models: Sequence[ModelPlan]) -> str:
    more = f" and {len(models) - NAMED} more" if len(models) > NAMED else ""
    return f"**{len(models)} models:** {', '.join(cell(model.model) for model in models[:NAMED])}{more}"


_HEAVY = frozenset({Verb.RENAME, Verb.PROMOTE, Verb.ROLL_BACK, Verb.RESTORE, Verb.ADMIT, Verb.ADOPT, Verb.RELEASE})


def _change_rows(review: Review, model: ModelPlan, whose: str, *, together: bool = False) -> str:
    effects = effects_of(model)
    _, found = words.found_together([effect for effect in effects if review.origin(effect) is not Origin.DRIFT])
    rows = [
        _change_row(review, effect, whose, blocked=model.blocked, together=together)
        for effect in effects
        if effect not in found
    ]
    if found:
        why = prose(words.reason_for_all(found[0].because) if together else words.reason(found[0].because))
        said = cell(words.what_is_found(found))
        rows.append(f"| {SIGN[Verb.FIND]} | {whose} | {Verb.FIND} | {said}, found and not judged | {why} |\n")
    return "".join(rows)


def _change_row(review: Review, effect: Effect, whose: str, *, blocked: bool = False, together: bool = False) -> str:
    subject = f" {cell(words.value(effect.subject))}" if effect.subject else ""
    drift = " (already pending without this change)" if review.origin(effect) is Origin.DRIFT else ""
    verb = f"**{effect.verb}**" if effect.verb in _HEAVY and not blocked else str(effect.verb)
    why = words.reason_for_all(effect.because) if together else words.reason(effect.because)
    return (
        f"| {SIGN[effect.verb]} | {whose} | {verb}{subject} | {cell(words.what_moves(effect))} "
        f"| {prose(why) if why else ''}{drift} |\n"
    )


def _settled(review: Review, room: _Room) -> Iterator[str]:
    if review.settled:
        lines = _listed([words.sentence(effect) for effect in review.settled], room)
        yield "**No longer pending once this is merged:**\n\n" + "\n".join(lines)


def _exhibit(name: str, exhibit: Exhibit, found: Findings) -> str:
    new = f"v{exhibit.pairing.candidate}"
    old = f"v{exhibit.pairing.incumbent}" if exhibit.pairing.incumbent is not None else ""
    differ = " that differ" if old else ""
    blocks = [
        *(metric_table(dataset, rows, new, old) for dataset, rows in by_dataset(found.metrics)),
        f"**Signature:** {prose(found.signature)}",
        *([_signature(found)] if found.signature_rows else []),
        *row_table(f"Parameters{differ}", found.params, new, old),
        *row_table("Lineage", found.lineage, new, old, ours=True),
        *row_table(f"Libraries{differ}", found.packages, new, old),
        *row_table(f"Tags{differ}", found.tags, new, old),
        *(
            ["**Missing:**\n\n" + "\n".join(f"- {prose(missing, SENTENCE)}" for missing in found.missing)]
            if found.missing
            else []
        ),
        *_links(exhibit),
    ]
    summary = f"<summary><code>{raw(f'{name}: {found.title}')}</code>{_verdict(found, beside=bool(old))}</summary>"
    return "\n\n".join([f"<details>{summary}", *blocks, "</details>"])


def _verdict(found: Findings, *, beside: bool) -> str:
    """What a reader who opens nothing should know."""
    count = {trend: sum(row.trend.value == trend for row in found.metrics) for trend in ("better", "worse")}
    compared = f"{count['better']} better, {count['worse']} worse" if beside else f"{len(found.metrics)} measured"
    told = [
        *([compared] if found.metrics else ["no metrics"]),
        f"signature {found.compatibility}" if beside else "nothing to compare with",
        *([f"{found.gaps} missing"] if found.gaps else []),
    ]
    return f": {', '.join(told)}"


def metric_table(dataset: str, rows: Sequence[MetricRow], new: str, old: str) -> str:
    """The metrics on one data set, of a version alone where `old` is empty."""
    head = f"metric on {cell(dataset)}" if dataset else "metric"
    if not old:
        alone = [f"| {cell(row.name)} | {row.candidate} |" for row in rows]
        return "\n".join([f"| {head} | {new} |", "| --- | ---: |", *alone])
    lines = [f"| {head} | {new} | {old} | change | |", "| --- | ---: | ---: | ---: | --- |"]
    for row in rows:
        verdict = (
            f"**{row.verdict}**" if row.verdict == "worse" else prose(row.verdict, SENTENCE) if row.verdict else ""
        )
        lines.append(f"| {cell(row.name)} | {row.candidate} | {row.incumbent} | {row.change} | {verdict} |")
    return "\n".join(lines)


def _signature(found: Findings) -> str:
    lines = ["| | | before | after | |", "| --- | --- | --- | --- | --- |"]
    for d in found.signature_rows:
        weight = "**breaking**" if d.breaking else "compatible"
        lines.append(
            f"| {d.where} | {cell(d.name)} | {cell(d.before or 'not there')} | {cell(d.after or 'not there')} "
            f"| {weight}: {prose(d.why, SENTENCE)} |"
        )
    return "\n".join(lines)


def row_table(title: str, rows: tuple[Row, ...], new: str, old: str, *, ours: bool = False) -> Iterator[str]:
    """A table of rows; `ours` are those whose labels we gave."""
    if rows:
        lines = (
            [f"| {title} | {new} | {old} |", "| --- | --- | --- |"]
            if old
            else [f"| {title} | {new} |", "| --- | --- |"]
        )
        for row in rows:
            label = row.label if ours else cell(row.label)
            lines.append(f"| {label} | {cell(row.candidate)} |{f' {cell(row.incumbent)} |' if old else ''}")
        yield "\n".join(lines)


def _links(exhibit: Exhibit) -> Iterator[str]:
    links = [link for facts in (exhibit.candidate, exhibit.incumbent) if facts is not None for link in _of(facts)]
    if links:
        yield " · ".join(links)


def _of(facts: VersionFacts) -> Iterator[str]:
    if link := _link(f"v{facts.version}", facts.url):
        yield link
    if facts.run is not None and (link := _link(f"run of v{facts.version}", facts.run.url)):
        yield link


def _link(text: str, url: str) -> str:
    """A link with a text of ours; nothing where the address could be more than an address."""
    return f"[{text}](<{url}>)" if re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]+", url) else ""


def _footer(review: Review) -> str:
    plan = review.plan
    lines = [f"Digest {code(plan.digest)}"]
    if plan.changes:
        apply = f"reconciler apply{words.of_one(review.named)} --yes --expect-digest {plan.digest}"
        lines.append(f"Merging applies this; by hand: {code(apply)}. {prose(words.ROLLBACK)}")
    return f"---\n<sub>{'<br>'.join(lines)}</sub>"


def no_plan_markdown(key: str, message: str, problems: Iterable[Problem] = ()) -> str:
    """What stands in the place of a plan that could not be made. Its digest is that of nothing."""
    problems = tuple(problems)
    lines = [f"- {prose(str(problem))}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"- and {len(problems) - MOST_PROBLEMS} more")
    told = "\n".join(lines) if lines else prose(message)
    return f"{Marker(key, '0' * 64)}\n### No plan\n\nWhat a merge would do is not known.\n\n{told}\n"


def refusal_markdown(message: str) -> str:
    """Why a command did nothing, for the page of a job."""
    return f"### Nothing done\n\n{prose(message)}\n"


MOST_PROBLEMS = 20


def receipt_markdown(receipt: Receipt, limit: int | None = None) -> str:
    """What an apply did, for the page of a job. What went wrong comes first where not all models fit."""
    well = {OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED}
    rows = [(outcome.status in well, _outcome_row(outcome)) for outcome in receipt.outcomes]
    commit = code((receipt.plan.revision.commit or "none")[:12])
    where = _registry(receipt.registry, receipt.workspace)
    parts = [
        f"### {words.receipt_sentence(receipt)}",
        f"Commit {commit} on {where}, {receipt.started_at} to {receipt.finished_at}.",
        *_table("| model | | calls | |\n| --- | --- | ---: | --- |\n", rows, limit),
        f"<sub>Digest {code(receipt.plan.digest)}</sub>",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _outcome_row(outcome: Outcome) -> str:
    said = prose(outcome.message, SENTENCE) if outcome.message else ""
    return f"| {cell(outcome.model)} | {outcome.status} | {len(outcome.made)} | {said} |\n"


def drift_markdown(drift: Drift, limit: int | None = None) -> str:
    """What drifted, for the page of a job. It comes first where not all models fit."""
    where = _registry(drift.registry, drift.workspace)
    parts = [f"### {words.drift_line(drift)}", f"On {where}. {words.files_line(drift)}".rstrip()]
    apart = [model for model in drift.models if model.status is not DriftStatus.IN_SYNC]
    rows = [(model.status is DriftStatus.PENDING, _drift_rows(model)) for model in apart]
    if ways := words.ways_out(drift):
        parts.append(prose(ways))
    parts += _table("| model | | found |\n| --- | --- | --- |\n", rows, limit)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def overview_markdown(overview: Overview, limit: int | None = None) -> str:
    """Every slot and how it stands, what somebody has to look at first."""
    drift = overview.drift
    parts = [f"### {words.overview_line(overview)}", f"On {_registry(drift.registry, drift.workspace)}."]
    if ways := words.ways_out(drift):
        parts.append(prose(ways))
    rows = [(False, _overview_rows(model)) for model in sorted_by_weight(overview.models)]
    parts += _table("| model | slot | state | version | since |\n| --- | --- | --- | --- | --- |\n", rows, limit)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _overview_rows(model: ModelOverview) -> str:
    name = cell(model.model)
    slots = [
        f"| {name} | {cell(slot.slot)} | {_state(slot.state)} | {prose(words.slot_says(slot))} "
        f"| {prose(since, SENTENCE) if (since := words.slot_since(slot)) else ''} |\n"
        for slot in model.slots
    ]
    remarks = [("", words.model_note(model))] if model.elsewhere else []
    remarks += [(f"**{label}**", text) for label, text in words.model_remarks(model)]
    return "".join((*slots, *(f"| {name} | | {label} | {prose(text, SENTENCE)} | |\n" for label, text in remarks)))


def _state(state: SlotState) -> str:
    return f"**{state}**" if state in {SlotState.DRIFTED, SlotState.UNKNOWN} else state.value


def _table(head: str, rows: Sequence[tuple[bool, str]], limit: int | None) -> Iterator[str]:
    """The rows of models, as many as fit, and how many do not. True is beside those that weigh less."""
    room = math.inf if limit is None else limit - 1000  # for what stands around the table
    kept = dict[int, str]()
    for index, (_, row) in sorted(enumerate(rows), key=lambda row: (row[1][0], row[0])):
        room -= length(row)
        if room < 0:
            break
        kept[index] = row
    if kept:
        yield head + "".join(kept[index] for index in sorted(kept))
    if left := len(rows) - len(kept):
        yield f"**{_models(left)} left out here**, because it would be too long: `--format json` has all."


def _drift_rows(model: ModelDrift) -> str:
    told = [
        *(("**drifted**", sentence) for sentence in words.drift_sentences(model)),
        *(("**drifted**", files.sentence) for files in model.replaced),
        *(("pending", words.sentence(effect)) for effect in model.pending),
        *(("**blocked**", words.blocker(blocker)) for blocker in model.blockers),
        *([("**unknown**", model.why)] if model.why else []),
    ]
    return "".join(f"| {cell(model.model)} | {label} | {prose(text, SENTENCE)} |\n" for label, text in told)
