"""What a command shows elsewhere than on the terminal: in files, under a change request, on the page of a CI job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler import console
from reconciler.core.drift import Drift
from reconciler.core.review import Review
from reconciler.errors import BlockedError, ExitCode, LockError, ManifestError, ReconcilerError, StaleError
from reconciler.events import Receipt
from reconciler.ports import Forge
from reconciler.render import text
from reconciler.render.annotations import plan_annotations, problem_annotations
from reconciler.render.gitlab import code_quality, terraform_report
from reconciler.render.json import drift_document, review_document
from reconciler.render.markdown import drift_markdown, markdown, no_plan_markdown, receipt_markdown, refusal_markdown
from reconciler.render.verdicts import junit, sarif


def rendered(review: Review, form: str, key: str) -> str:
    """
    A review as `text` (without colours), `json`, `markdown`, `html`, or for a forge to read: `github` (annotations),
    `gitlab-terraform`, `code-quality`, `junit`, `sarif`.
    """
    match form:
        case "json":
            return json.dumps(review_document(review), indent=2, ensure_ascii=False) + "\n"
        case "markdown":
            return markdown(review, key)
        case "html":
            from reconciler.render.html import html_page

            return html_page(review)
        case "github":
            return plan_annotations(review)
        case "gitlab-terraform":
            return terraform_report(review.plan)
        case "junit":
            return junit(review)
        case "sarif":
            return sarif(review)
        case "code-quality":
            return code_quality((), review)
        case _:
            return "".join(f"{text.plain(line)}\n" for line in text.review_lines(review))


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a command's result goes besides the terminal: `reports` are pairs of a format and a file."""

    forge: Forge | None
    key: str
    reports: Sequence[tuple[str, Path]] = ()

    def review(self, review: Review, saved: Path | None) -> None:
        """A plan: every report, the comment, and the values that later steps may want."""
        for form, path in self.reports:
            console.write_file(path, rendered(review, form, self.key))
        if self.forge is None:
            return
        plan = review.plan
        self.forge.tell(
            {
                "changes": _told(bool(plan.changes)),
                "blocked": _told(plan.blocked),
                "digest": plan.digest,
                "plan-path": str(saved or ""),
            },
            markdown(review, self.key),
        )
        self._comment(markdown(review, self.key, self.forge.comment_limit))

    def no_plan(self, error: ReconcilerError) -> None:
        """
        Why there is no plan. An older one must not go on standing under a change request as if it were of the newest
        commit.
        """
        problems = error.problems if isinstance(error, ManifestError) else ()
        for form, path in self.reports:
            if form == "github":
                console.write_file(path, problem_annotations(problems))
            elif form == "code-quality":
                console.write_file(path, code_quality(problems, None))
        self.refused(error)
        try:
            self._comment(no_plan_markdown(self.key, str(error), problems))
        except ReconcilerError as silent:
            # What went wrong first is what the reader needs.
            console.note(str(silent))

    def refused(self, error: ReconcilerError) -> None:
        """Why a command ended without doing what it was asked to, for later steps and for the job's page."""
        if self.forge is not None:
            self.forge.tell({"failure-reason": _reason(error)}, refusal_markdown(str(error)))

    def _comment(self, body: str) -> None:
        address = None if self.forge is None else self.forge.comment(body, self.key)
        if address:
            console.say(f"Commented: {address}")

    def receipt(self, receipt: Receipt) -> None:
        """What an apply did."""
        if self.forge is not None:
            values = {
                "changes": _told(any(outcome.made for outcome in receipt.outcomes)),
                "blocked": _told(receipt.plan.blocked),
                "digest": receipt.plan.digest,
                **({"failure-reason": FAILURES[receipt.exit_code]} if receipt.exit_code in FAILURES else {}),
            }
            self.forge.tell(values, receipt_markdown(receipt))

    def drift(self, drift: Drift) -> None:
        """What drifted."""
        for form, path in self.reports:
            console.write_file(path, drift_rendered(drift, form))
        if self.forge is not None:
            self.forge.tell({"changes": _told(drift.drifted)}, drift_markdown(drift))


FAILURES: dict[ExitCode, str] = {
    ExitCode.ERROR: "error",
    ExitCode.BLOCKED: "blocked",
    ExitCode.STALE: "plan-changed",
    ExitCode.INTERRUPTED: "interrupted",
}


def drift_rendered(drift: Drift, form: str) -> str:
    """Drift as `text`, `json` or `markdown`, without the colours of the text."""
    match form:
        case "json":
            return json.dumps(drift_document(drift), indent=2, ensure_ascii=False) + "\n"
        case "markdown":
            return drift_markdown(drift)
        case _:
            return "".join(f"{text.plain(line)}\n" for line in text.drift_lines(drift))


def _reason(error: ReconcilerError) -> str:
    match error:
        case StaleError():
            return "plan-changed"
        case BlockedError():
            return "blocked"
        case LockError():
            return "locked"
        case ManifestError():
            return "invalid-manifests"
        case _:
            return "error"


def _told(value: bool) -> str:
    return "true" if value else "false"
