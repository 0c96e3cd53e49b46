"""What a command shows elsewhere than on the terminal: in files, under a change request, on the page of a CI job."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from reconciler import console
from reconciler.core.drift import Drift
from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.core.names import Commit
from reconciler.core.review import Review
from reconciler.errors import (
    Failure,
    ManifestError,
    Problem,
    ReconcilerError,
    SeveralRegistriesError,
    Validation,
    contained,
    ending_of,
)
from reconciler.events import Receipt
from reconciler.ports import Forge, Request
from reconciler.render.formats import Format, rendered, rendered_validation
from reconciler.render.json import receipt_document
from reconciler.render.markdown import drift_markdown, markdown, no_plan_markdown, receipt_markdown, refusal_markdown
from reconciler.render.several import KEY, Part, several_markdown

SUMMARY_LENGTH = 300_000
"""UTF-16 units of a review on a job's page: of UTF-8's bytes, of which GitHub shows 1 MiB, at most three each."""


@dataclass(frozen=True, slots=True)
class Publication:
    """
    Where a command's result goes besides the terminal: `reports` are pairs of a format and a file. `key` is None where
    it is not known which registry and folder the command is for. Reports in Markdown have at most `limit`
    characters.
    """

    forge: Forge | None
    key: str | None
    reports: Sequence[tuple[Format, Path]] = ()
    limit: int | None = MARKDOWN_CHARACTERS

    def write_reports(self, review: Review) -> None:
        """A plan, in every report that was asked for. Raises ReconcilerError at the end for what cannot be written."""
        unwritten: list[ReconcilerError] = []
        for form, path in self.reports:
            try:
                console.write_file(path, rendered(review, form, self.key or "", self.limit))
            except ReconcilerError as error:
                unwritten.append(error)
        if unwritten:
            raise ReconcilerError(" ".join(error.message for error in unwritten), unwritten[0].fix)

    def review(self, review: Review, saved: Path | None) -> None:
        """A plan: the comment, and the values that later steps may want."""
        if self.forge is None:
            return
        key, plan = self.key or "", review.plan
        values = {
            "changes": _word(bool(plan.changes)),
            "blocked": _word(plan.blocked),
            "digest": plan.digest,
            "plan-path": str(saved or ""),
        }
        try:
            self._comment(markdown(review, key, self.forge.comment_limit))
        finally:
            self.forge.tell(values, markdown(review, key, SUMMARY_LENGTH))

    def no_plan(self, error: BaseException) -> None:
        """
        Why there is no plan, whatever ended it. An older one must not go on standing under a change request as if it
        were of the newest commit. Each place is tried, and what goes wrong with one is only noted: what ended the plan
        is what the reader needs.
        """
        problems = error.problems if isinstance(error, ManifestError) else ()
        if isinstance(error, SeveralRegistriesError):
            return
        message = ending_of(error).message
        self._try(lambda: self._withdraw(message, problems))
        for form, path in self.reports:
            if form is Format.GITHUB or form is Format.CODE_QUALITY:
                text = rendered_validation(Validation(0, 0, problems), form)
                self._try(partial(console.write_file, path, text))
        self._try(lambda: self.refused(error))

    def _withdraw(self, message: str, problems: tuple[Problem, ...]) -> None:
        if self.forge is None:
            return
        if self.key is None:
            self.forge.withdraw(lambda key: no_plan_markdown(key, message, problems))
        else:
            self._comment(no_plan_markdown(self.key, message, problems))

    def _try(self, work: Callable[[], None]) -> None:
        failure = contained(work)
        if isinstance(failure, Failure):
            console.note(failure.why)

    def refused(self, error: BaseException) -> None:
        """Why a command ended without doing what it was asked to, for later steps and for the job's page."""
        if self.forge is not None and not isinstance(error, SeveralRegistriesError):
            ending = ending_of(error)
            self.forge.tell({"failure-reason": ending.reason}, refusal_markdown(ending.message))

    def _comment(self, body: str) -> None:
        address = None if self.forge is None or self.key is None else self.forge.comment(body, self.key)
        if address:
            console.say(f"Commented: {address}")

    def receipt(self, receipt: Receipt) -> None:
        """What an apply did."""
        if self.forge is not None:
            values = {
                "changes": _word(any(outcome.made for outcome in receipt.outcomes)),
                "blocked": _word(receipt.plan.blocked),
                "digest": receipt.plan.digest,
            }
            if receipt.exit_code.reason:
                values["failure-reason"] = receipt.exit_code.reason
            self.forge.tell(values, receipt_markdown(receipt, SUMMARY_LENGTH))

    def drift(self, drift: Drift) -> None:
        """What drifted."""
        if self.forge is not None:
            self.forge.tell({"changes": _word(drift.drifted)}, drift_markdown(drift, SUMMARY_LENGTH))


@dataclass
class Gathered:
    """What commands for several registries publish, by registry: comments, job summaries, values for later steps."""

    comments: dict[str, str] = field(default_factory=dict[str, str])
    summaries: dict[str, str] = field(default_factory=dict[str, str])
    values: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    def add(self, other: "Gathered") -> None:
        self.comments |= other.comments
        self.summaries |= other.summaries
        self.values |= other.values

    def __bool__(self) -> bool:
        return bool(self.comments or self.values)

    def publish(self, forge: Forge | None) -> None:
        """All of it as one. Raises as the forge does."""
        if forge is None:
            return
        try:
            if self.comments:
                body = several_markdown([Part(name, text) for name, text in self.comments.items()])
                if address := forge.comment(body, KEY):
                    console.say(f"Commented: {address}")
        finally:
            summary = several_markdown([Part(name, text) for name, text in self.summaries.items()])
            forge.tell(self._together(), summary)

    def _together(self) -> dict[str, str]:
        """Whether any changes or is blocked, the first reason of a failure, and what is told of one alone as a list."""
        found: dict[str, str] = {}
        for name in dict.fromkeys(key for values in self.values.values() for key in values):
            told = [values[name] for values in self.values.values() if values.get(name)]
            if name in {"changes", "blocked"}:
                found[name] = _word("true" in told)
            else:
                found[name] = told[0] if name == "failure-reason" else " ".join(told)
        return found


UNKNOWN_KEY = "0" * 12
"""The key of what is said of a registry that could not even be opened."""
_HEADINGS = 400
"""Characters of a comment for the heading and the marker of one registry."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """A forge for one of `several` registries: what is published there is kept until the end."""

    registry: str
    forge: Forge
    several: int
    kept: Gathered

    @property
    def comment_limit(self) -> int:
        return self.forge.comment_limit // self.several - _HEADINGS

    def comment(self, body: str, key: str) -> str | None:
        del key  # its marker has it
        self.kept.comments[self.registry] = body
        return None

    def withdraw(self, write: Callable[[str], str]) -> None:
        self.kept.comments[self.registry] = write(UNKNOWN_KEY)

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:
        self.kept.values[self.registry] = {**self.kept.values.get(self.registry, {}), **outputs}
        if summary:
            self.kept.summaries[self.registry] = summary

    def reviewed(self, commit: Commit, key: str) -> str | None:
        return self.forge.reviewed(commit, key)

    def request(self, commit: Commit, *, merged: bool = False) -> Request | None:
        return self.forge.request(commit, merged=merged)


def keep_receipt(receipt: Receipt, path: Path) -> bool:
    """
    Write a receipt, or print it on one line of standard error, where a job's log has it, and say why it is not in its
    file: False then.
    """
    document = receipt_document(receipt)
    try:
        console.write_file(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    except ReconcilerError as error:
        console.say_error(f"{error} This is the receipt:")
        console.say(json.dumps(document))
        return False
    return True


def _word(value: bool) -> str:
    return "true" if value else "false"
