"""What reviewers read, to the letter: the plan with its evidence, as text, Markdown and JSON, and what has drifted."""

import json
from collections.abc import Callable

import pytest

from reconciler.core.desired import Manifest
from reconciler.core.diff import diff
from reconciler.core.drift import Drift, DriftStatus, FilesThen, ModelDrift, Replaced, judge_drift, with_files
from reconciler.core.names import Ours, Version
from reconciler.core.past import Epoch, Past
from reconciler.core.review import Review
from reconciler.render.formats import DriftFormat, Format, rendered, rendered_drift
from reconciler.render.markdown import no_plan_markdown, receipt_markdown
from tests import exhibits
from tests.build import CHURN, FIRST, NOW, OURS, SECOND, A, P, S, have, owns, want
from tests.golden.test_golden import RECEIPT, check, file_name, news

KEY = "0123456789ab"

REVIEWS: dict[str, Callable[[], Review]] = {
    "a better version": exhibits.better,
    "a breaking signature": exhibits.breaking_signature,
    "missing evidence": exhibits.missing_evidence,
    "no evidence at all": exhibits.no_evidence_at_all,
    "different datasets": exhibits.different_datasets,
    "no incumbent": exhibits.no_incumbent,
    "a blocked plan": exhibits.blocked,
    "hostile evidence": exhibits.hostile,
    "refused by gates": exhibits.gated,
    "rules deleted": exhibits.unguarded,
    "much that weighs little": lambda: exhibits.crowded(30),
}


WHOLE = ("a better version", "refused by gates")
"""The reviews whose JSON is kept to the letter. Of the others, what these do not have."""


@pytest.mark.parametrize("title", REVIEWS)
@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("markdown", "md")])
def test_a_review(title: str, form: str, suffix: str, update_golden: bool) -> None:
    text = rendered(REVIEWS[title](), Format(form), KEY)

    check(f"review-{file_name(title, suffix)}", text, update_golden)
    assert all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("title", WHOLE)
def test_a_review_as_json(title: str, update_golden: bool) -> None:
    check(f"review-{file_name(title, 'json')}", rendered(REVIEWS[title](), Format.JSON, KEY), update_golden)


def test_the_other_reviews_as_json(update_golden: bool) -> None:
    documents = {title: json.loads(rendered(review(), Format.JSON, KEY)) for title, review in REVIEWS.items()}

    check("reviews-more.json.txt", news(documents, WHOLE), update_golden)


@pytest.mark.parametrize("title", ["a better version", "a blocked plan", "hostile evidence", "refused by gates"])
@pytest.mark.parametrize(("form", "suffix"), [("junit", "junit.xml"), ("sarif", "sarif")])
def test_verdicts_for_other_programs(title: str, form: str, suffix: str, update_golden: bool) -> None:
    check(f"review-{file_name(title, suffix)}", rendered(REVIEWS[title](), Format(form), KEY), update_golden)


def drifted() -> Drift:
    """One that a hand moved, one that a merge has not reached, one unknown, one with other files, and one in sync."""
    revision = NOW
    live = have({1: A, 2: S, 3: P}, {"champion": 3}, owner=owns(P, "champion"))
    declared = want({P: [2]}, {"champion": 2})
    newer = want({P: [2]}, {"champion": 1})
    now = diff(newer, live, revision, name=CHURN)
    waiting = have({1: P, 2: S}, owner=owns(P), name="waiting")

    def past(applied: Manifest) -> Past:
        epochs = (Epoch(0, SECOND, 0, None), Epoch(1, FIRST, 0, applied))
        return Past(Ours(OURS), SECOND, epochs=epochs, places={FIRST: 1})

    return Drift(
        revision,
        exhibits.URI,
        (
            judge_drift(now, live, revision, past(declared), 1),
            ModelDrift(CHURN, DriftStatus.UNKNOWN, FIRST, why="This clone does not have commit aaaaaaaaaaaa."),
            judge_drift(
                diff(want({P: [2]}, name="waiting"), waiting, revision, name=waiting.name),
                waiting,
                revision,
                past(want({P: [1]}, name="waiting")),
                1,
            ),
            with_files(
                ModelDrift(CHURN, applied=FIRST),
                [Replaced(FilesThen(Version(3), P.slot, f"sha256:{'a' * 64}"), f"sha256:{'b' * 64}")],
            ),
            ModelDrift(CHURN),
        ),
        compared=2,
    )


@pytest.mark.parametrize(
    ("form", "suffix"), [(Format.TEXT, "txt"), (Format.MARKDOWN, "md"), (Format.JSON, "json")], ids=str
)
def test_drift(form: DriftFormat, suffix: str, update_golden: bool) -> None:
    check(f"drift.{suffix}", rendered_drift(drifted(), form), update_golden)


def test_a_receipt_as_markdown(update_golden: bool) -> None:
    check("receipt.md", receipt_markdown(RECEIPT), update_golden)


def test_a_comment_without_a_plan(update_golden: bool) -> None:
    check(
        "no-plan.md",
        no_plan_markdown(KEY, f"https://mlflow.acme.example did not answer. {exhibits.NASTY}"),
        update_golden,
    )


def test_a_document_is_strict_json() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    for review in REVIEWS.values():
        json.loads(rendered(review(), Format.JSON, KEY), parse_constant=refuse)
