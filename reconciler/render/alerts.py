"""What a reader must not miss of a review, in the order of its weight: the same in every rendering."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.core.diff import Blocker, ModelPlan
from reconciler.core.gate import Ruling, Verdict
from reconciler.core.review import Review, Weight
from reconciler.errors import Location
from reconciler.render import words
from reconciler.render.verdicts import asked_at


@dataclass(frozen=True, slots=True)
class Alert:
    """
    One of them. `kind` is the word that it begins with, `model` the model that `text` is about, if it is about one;
    `at` is the line of a file.
    """

    weight: Weight
    kind: str
    text: str
    at: Location | None = None
    model: str | None = None
    blocker: Blocker | None = None


def alerts(review: Review) -> tuple[Alert, ...]:
    """All of them, the most important first."""
    return tuple(sorted(_alerts(review), key=lambda alert: alert.weight))


def counted(kinds: Iterable[str]) -> str:
    """`12 more (Overridden: 3, Note: 9)`."""
    count = Counter(kinds)
    return f"{count.total()} more ({', '.join(f'{kind}: {number}' for kind, number in count.items())})"


def _alerts(review: Review) -> Iterator[Alert]:
    plan, policy = review.plan, review.policy
    if policy is not None and policy.changed:
        yield Alert(Weight.POLICY, "Policy", words.policy_line(policy), Location(policy.path))
    for note in review.notes:
        yield Alert(note.weight, KINDS.get(note.weight, "Note"), note.text)
    for safety in plan.safeties:
        yield Alert(Weight.REFUSAL, "Refused", words.blocker(safety), safety.at, blocker=safety)
    for model in plan.models:
        for blocker in model.blockers:
            yield Alert(Weight.REFUSAL, "Blocked", words.blocker(blocker), blocker.at, model.model, blocker)
        yield from (_of_verdict(model, *of) for of in words.alike(model.verdicts) if of[0].ruling is not Ruling.PASS)
    if review.evidence is not None and review.evidence.trouble:
        yield Alert(Weight.DOUBT, "No evidence", review.evidence.trouble)
    if pending := words.pending_line(review):
        yield Alert(Weight.DOUBT, "Drift", pending)


KINDS: dict[Weight, str] = {
    Weight.POLICY: "Policy",
    Weight.UNGUARDED: "Unguarded",
}


def _of_verdict(model: ModelPlan, verdict: Verdict, where: str) -> Alert:
    text, at, name = words.verdict(verdict, where), asked_at(model, verdict), model.model
    match verdict.ruling:
        case Ruling.OVERRIDDEN:
            return Alert(Weight.OVERRIDE, "Overridden", text, at, name)
        case Ruling.WAIVED:
            return Alert(Weight.WAIVER, "Waived", text, at, name)
        case _:
            return Alert(Weight.REFUSAL, "Refused", text, at, name)
