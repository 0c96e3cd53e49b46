"""
A review for a comment under a change request. All that comes from outside stands in code spans, where neither Markdown
nor HTML, mentions, issue references or a forge's slash commands are obeyed.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from reconciler.core.diff import ModelPlan
from reconciler.core.drift import Drift, DriftStatus, ModelDrift
from reconciler.core.evidence import Exhibit, VersionFacts
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.plan import Effect, Plan, Status, Verb, effects_of
from reconciler.core.review import Origin, Review
from reconciler.errors import Problem
from reconciler.events import Receipt
from reconciler.render import words
from reconciler.render.clean import clean, cut
from reconciler.render.findings import Findings, Row, findings
from reconciler.render.marker import Marker

LONGEST_CELL = 200
"""A cell is cut here: a description may have thousands of characters, and the page shows it whole."""


def markdown(review: Review, key: str, limit: int | None = None) -> str:
    """
    The comment. `key` tells the comments of several registries apart. Where it would have more than `limit` characters
    (counted as UTF-16 does, the strictest way of counting), whole models are left out: first the largest evidence, then
    the largest changes, blocked models last; and the comment says how many.
    """
    sections = [_section(review, model.model, index) for index, model in enumerate(review.plan.models)]
    marker = _marker(review.plan, key, limit)
    whole = _assembled(review, marker, sections)
    if limit is None or length(whole) <= limit:
        return whole
    # Replace the largest part by nothing until the rest fits; the parts are measured once, and the notes about what is
    # left out are short and of nearly constant length.
    excess = length(whole) - limit + SLACK
    by_evidence = sorted(sections, key=lambda s: (-length(s.evidence), s.index))
    by_changes = sorted(sections, key=lambda s: (s.blocked, -length(s.changes), s.index))
    kept = {section.index: section for section in sections}
    for section in by_evidence:
        if excess > 0 and section.evidence:
            excess -= length(section.evidence)
            kept[section.index] = replace(section, evidence="", short=True)
    for section in by_changes:
        if excess > 0:
            excess -= length(section.changes)
            kept[section.index] = replace(kept[section.index], changes="", evidence="")
    return _assembled(review, marker, [kept[index] for index in sorted(kept)])


SLACK = 400
"""Characters kept free for the notes about what was left out."""


def length(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class _Section:
    """One model: its rows in the table of changes, and its evidence, either of which may be left out."""

    index: int
    changes: str
    evidence: str
    blocked: bool
    short: bool = False


def _assembled(review: Review, marker: Marker, sections: Iterable[_Section]) -> str:
    sections = list(sections)
    plan = review.plan
    changes = [section.changes for section in sections if section.changes]
    hidden = sum(not section.changes for section in sections)
    short = sum(section.short and bool(section.changes) for section in sections)
    parts = [
        f"{marker}\n### {words.summary_line(plan.summary)}",
        f"{_status(plan)} {_where(review)}",
        *_alerts(review),
        *(["| | model | | change | why |\n| --- | --- | --- | --- | --- |\n" + "".join(changes)] if changes else []),
        *(
            [f"**{_models(hidden)} left out here**, because the comment would be too long: see the whole plan."]
            if hidden
            else []
        ),
        *([f"Evidence of {_models(short)} left out here, because the comment would be too long."] if short else []),
        *_settled(review),
        *_policy(review),
        *(section.evidence for section in sections if section.evidence),
        _footer(review),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _models(count: int) -> str:
    return "1 model is" if count == 1 else f"{count} models are"


MOST_DIGESTS = 500
"""A plan of more models is known by its digest alone: their digests would take a fifth of the comment."""


def _marker(plan: Plan, key: str, limit: int | None) -> Marker:
    models, most = plan.model_digests, MOST_DIGESTS if limit is None else min(MOST_DIGESTS, limit // 100)
    return Marker(key, plan.digest, plan.revision.commit or "", models if len(models) <= most else frozenset[str]())


STATUS = {
    Status.IN_SYNC: "**No changes.** The registry holds what is declared.",
    Status.READY: "**Ready.**",
    Status.BLOCKED: "**Blocked.** What is blocked is not applied.",
}


def _status(plan: Plan) -> str:
    return STATUS[plan.status]


def _where(review: Review) -> str:
    commit = review.plan.revision.commit
    told = f"commit {code(commit[:12])}" if commit else "the work tree"
    return f"For {told} on {code(review.registry)}."


def _alerts(review: Review) -> Iterator[str]:
    """What a reader must not miss. A long list of it is cut: every blocked model is in the table too."""
    alerts = [
        *(("Refused", words.blocker(safety)) for safety in review.plan.safeties),
        *(("Note", note) for note in review.notes),
        *([("No evidence", trouble)] if (trouble := review.evidence.trouble if review.evidence else "") else []),
        *([("Drift", pending)] if (pending := words.pending_line(review)) else []),
        *([("Policy", words.policy_line(policy))] if (policy := review.policy) and policy.difference else []),
        *(
            ("Overridden", _told(model, v))
            for model in review.plan.models
            for v in model.verdicts
            if v.note and not v.blocks
        ),
        *(
            ("Blocked", f"{clean(model.model)}: {words.blocker(blocker)}")
            for model in review.plan.models
            for blocker in model.blockers
        ),
        *(("Refused", _told(model, v)) for model in review.plan.models for v in model.verdicts if v.blocks),
    ]
    for kind, told in alerts[:MOST_ALERTS]:
        yield f"> **{kind}:** {code(told, 600)}"
    if len(alerts) > MOST_ALERTS:
        yield f"> and {len(alerts) - MOST_ALERTS} more"


MOST_ALERTS = 20


def _told(model: ModelPlan, verdict: Verdict) -> str:
    return f"{clean(model.model)}: {words.verdict(verdict)}"


def _verdicts(model: ModelPlan) -> str:
    """Every gate of a model; what is refused is among the alerts too."""
    if not model.verdicts:
        return ""
    count = Counter(verdict.ruling for verdict in model.verdicts)
    told = ", ".join(f"{count[ruling]} {ruling}" for ruling in Ruling if count[ruling])
    lines = ["| gate | slot | | |", "| --- | --- | --- | --- |"]
    for verdict in sorted(model.verdicts, key=lambda v: not v.blocks):
        ruling = f"**{verdict.ruling}**" if verdict.ruling is not Ruling.PASS else "pass"
        note = f" {cell(verdict.note)}" if verdict.note else ""
        lines.append(
            f"| {cell(verdict.gate)} | {cell(verdict.entrance.slot)} | {ruling} | {cell(verdict.sentence)}{note} |"
        )
    summary = f"<summary><code>{_raw(model.model)}</code> gates: {told}</summary>"
    return "\n\n".join([f"<details>{summary}", "\n".join(lines), "</details>"])


def _policy(review: Review) -> Iterator[str]:
    """What a change of the policy would change, and whom the proposed rules would refuse."""
    note = review.policy
    if note is None or not note.difference:
        return
    lines = [clean(line)[:LONGEST_CELL] for line in note.difference[:MOST_LINES]]
    more = len(note.difference) - MOST_LINES
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0))
    body = "\n".join([*lines, *([f"… and {more} more lines"] if more > 0 else [])])
    noes = [f"- {code(words.verdict(verdict), 300)}" for verdict in note.proposed if verdict.blocks][:MOST_ALERTS]
    told = (
        ["The proposed rules would refuse:\n\n" + "\n".join(noes)]
        if noes
        else ["The proposed rules would refuse nothing."]
    )
    yield "\n\n".join(
        ["<details><summary>The change of the policy</summary>", f"{fence}diff\n{body}\n{fence}", *told, "</details>"]
    )


MOST_LINES = 60


SIGN = {
    Verb.CREATE: "+",
    Verb.PROMOTE: "↑",
    Verb.ROLL_BACK: "↺",
    Verb.DEMOTE: "↓",
    Verb.ARCHIVE: "↓",
    Verb.UNSTAGE: "↓",
    Verb.SET_ALIAS: "→",
    Verb.MOVE_ALIAS: "→",
    Verb.DELETE_ALIAS: "-",
    Verb.DESCRIBE: "~",
    Verb.TAG: "~",
    Verb.CLAIM: "·",
    Verb.ADOPT: "!",
    Verb.RELEASE: "-",
}
"""What stands at the beginning of a row, beside the word: colour and emoji do not survive everywhere."""


def _section(review: Review, name: str, index: int) -> _Section:
    model = review.plan.models[index]
    rows = "".join(_change_row(review, effect, refused=model.blocked) for effect in effects_of(model))
    if model.blockers:
        rows += f"| ✕ | {cell(name)} | **blocked** | | {cell(', '.join(b.code for b in model.blockers))} |\n"
    exhibits = review.evidence.of(model.model) if review.evidence is not None else ()
    read_at = review.evidence.read_at if review.evidence is not None else ""
    shown = [_verdicts(model), *(_exhibit(name, exhibit, findings(exhibit, read_at)) for exhibit in exhibits)]
    evidence = "\n\n".join(part for part in shown if part)
    return _Section(index, rows, evidence, model.blocked)


def _change_row(review: Review, effect: Effect, *, refused: bool) -> str:
    subject = f" {cell(effect.subject)}" if effect.subject else ""
    drift = " (pending already, without this change)" if review.origin(effect) is Origin.DRIFT else ""
    drift = f"{drift} **refused by a gate**" if refused else drift
    important = effect.verb in {Verb.PROMOTE, Verb.ROLL_BACK, Verb.ADOPT, Verb.RELEASE}
    verb = f"**{effect.verb}**" if important else str(effect.verb)
    return (
        f"| {SIGN[effect.verb]} | {cell(effect.model)} | {verb}{subject} | {cell(words.what_moves(effect))} "
        f"| {cell(words.reason(effect.because))}{drift} |\n"
    )


def _settled(review: Review) -> Iterator[str]:
    if review.settled:
        lines = [f"- {code(words.sentence(effect), 300)}" for effect in review.settled[:MOST_ALERTS]]
        more = len(review.settled) - MOST_ALERTS
        lines.extend([f"- and {more} more"] if more > 0 else [])
        yield "**No longer pending once this is merged:**\n\n" + "\n".join(lines)


def _exhibit(name: str, exhibit: Exhibit, found: Findings) -> str:
    new = f"v{exhibit.pairing.candidate}"
    old = f"v{exhibit.pairing.incumbent}" if exhibit.pairing.incumbent is not None else ""
    differ = " that differ" if old else ""
    blocks = [
        *([_metrics(found, new, old)] if found.metrics else []),
        f"**Signature:** {code(found.signature)}",
        *([_signature(found)] if found.signature_rows else []),
        *_rows(f"Parameters{differ}", found.params, new, old),
        *_rows("Lineage", found.lineage, new, old, ours=True),
        *_rows(f"Libraries{differ}", found.packages, new, old),
        *_rows(f"Tags{differ}", found.tags, new, old),
        *(["**Missing:**\n\n" + "\n".join(f"- {code(missing)}" for missing in found.missing)] if found.missing else []),
        *_links(exhibit),
    ]
    summary = f"<summary><code>{_raw(f'{name}: {found.title}')}</code>{_verdict(found, beside=bool(old))}</summary>"
    return "\n\n".join([f"<details>{summary}", *blocks, "</details>"])


def _verdict(found: Findings, *, beside: bool) -> str:
    """What a reader who opens nothing should know."""
    count = {trend: sum(row.trend.value == trend for row in found.metrics) for trend in ("better", "worse")}
    compared = f"{count['better']} better, {count['worse']} worse" if beside else f"{len(found.metrics)} measured"
    told = [
        *([compared] if found.metrics else ["no metrics"]),
        f"signature {found.compatibility}" if beside else "nothing to compare with",
        *([f"{len(found.missing)} missing"] if found.missing else []),
    ]
    return f": {', '.join(told)}"


def _metrics(found: Findings, new: str, old: str) -> str:
    if not old:
        alone = [f"| {cell(row.name)} | {row.candidate} |" for row in found.metrics]
        return "\n".join([f"| metric | {new} |", "| --- | ---: |", *alone])
    lines = [f"| metric | {new} | {old} | change | |", "| --- | ---: | ---: | ---: | --- |"]
    for row in found.metrics:
        said = f"**{row.verdict}**" if row.verdict == "worse" else row.verdict
        told = said if row.verdict.isalpha() or row.verdict == "worse" else cell(row.verdict) if row.verdict else ""
        lines.append(f"| {cell(row.name)} | {row.candidate} | {row.incumbent} | {row.change} | {told} |")
    return "\n".join(lines)


def _signature(found: Findings) -> str:
    lines = ["| | | before | after | |", "| --- | --- | --- | --- | --- |"]
    for d in found.signature_rows:
        weight = "**breaking**" if d.breaking else "compatible"
        lines.append(
            f"| {d.where} | {cell(d.name)} | {cell(d.before or 'not there')} | {cell(d.after or 'not there')} "
            f"| {weight}: {d.why if '`' not in d.why else cell(d.why)} |"
        )
    return "\n".join(lines)


def _rows(title: str, rows: tuple[Row, ...], new: str, old: str, *, ours: bool = False) -> Iterator[str]:
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
        apply = f"reconciler apply --yes --expect-digest {plan.digest}"
        lines.append(
            f"Merging applies this; by hand: {code(apply)}. To roll back, {code('git revert')} it and merge that."
        )
    return f"---\n<sub>{'<br>'.join(lines)}</sub>"


def no_plan_markdown(key: str, message: str, problems: Iterable[Problem] = ()) -> str:
    """What stands in the place of a plan that could not be made. Its digest is that of nothing."""
    problems = tuple(problems)
    lines = [f"- {code(str(problem))}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"- and {len(problems) - MOST_PROBLEMS} more")
    told = "\n".join(lines) if lines else code(message)
    return f"{Marker(key, '0' * 64)}\n### No plan\n\nWhat a merge would do is not known.\n\n{told}\n"


def refusal_markdown(message: str) -> str:
    """Why a command did nothing, for the page of a job."""
    return f"### Nothing done\n\n{code(message)}\n"


MOST_PROBLEMS = 20


def receipt_markdown(receipt: Receipt) -> str:
    """What an apply did, for the page of a job."""
    rows = "".join(
        f"| {cell(outcome.model)} | {outcome.status} | {len(outcome.made)} "
        f"| {cell(outcome.message) if outcome.message else ''} |\n"
        for outcome in receipt.outcomes
    )
    commit = code((receipt.plan.revision.commit or "none")[:12])
    parts = [
        f"### {words.receipt_sentence(receipt)}",
        f"Commit {commit} on {code(receipt.registry)}, {receipt.started_at} to {receipt.finished_at}.",
        *([f"| model | | calls | |\n| --- | --- | ---: | --- |\n{rows}"] if rows else []),
        f"<sub>Digest {code(receipt.plan.digest)}</sub>",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def drift_markdown(drift: Drift) -> str:
    """What drifted, for the page of a job."""
    parts = [f"### {words.drift_line(drift)}", f"On {code(drift.registry)}."]
    rows = "".join(_drift_rows(model) for model in drift.models if model.status is not DriftStatus.IN_SYNC)
    if rows:
        parts.append(f"| model | | found |\n| --- | --- | --- |\n{rows}")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _drift_rows(model: ModelDrift) -> str:
    told = [
        *(("**drifted**", words.drift_sentence(effect)) for effect in model.drifted),
        *(("pending", words.sentence(effect)) for effect in model.pending),
        *(("**blocked**", words.blocker(blocker)) for blocker in model.blockers),
        *([("**unknown**", model.why)] if model.why else []),
    ]
    return "".join(f"| {cell(model.model)} | {label} | {cell(text)} |\n" for label, text in told)


def code(text: str, longest: int = 2000) -> str:
    """A code span that holds this text: its fence is longer than any run of backticks in it (CommonMark 6.1)."""
    shown = _cut(text, longest)
    if not shown:
        return "`–`"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """
    The same for a cell of a table. Renderers disagree about what a pipe behind backslashes means there, even in a code
    span, so a text with a pipe is written as HTML, with everything in it that could mean something as a number.
    """
    shown = _cut(text, LONGEST_CELL)
    if "|" not in shown:
        return code(shown)
    return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in shown)}</code>"


def _cut(text: str, longest: int) -> str:
    return cut(clean(text).strip(), longest)


def _raw(text: str) -> str:
    """Text inside a block of HTML, in which Markdown is not obeyed."""
    return html.escape(clean(text))
