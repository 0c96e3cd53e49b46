"""
The formats in which results are shown and written: which there are, which result has which, and what makes each. A new
one is a member of `Format`, its name in the aliases of the results that have it, and an arm for each of these.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, assert_never, get_args

from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.core.as_of import AsOf, Between
    from reconciler.core.chain import Audit
    from reconciler.core.drift import Drift
    from reconciler.core.history import History
    from reconciler.core.overview import Overview
    from reconciler.core.review import Review
    from reconciler.errors import Validation
    from reconciler.render.layout import Line

# What makes a format is imported when it is asked for: to check manifests, nothing of plans is needed.


class Format(StrEnum):
    """A format, by the word that options take, and what options say of it, if anything."""

    TEXT = "text", ""
    JSON = "json", ""
    MARKDOWN = "markdown", ""
    HTML = "html", "is a page of its own"
    CSV = "csv", "is for a spreadsheet"
    GITHUB = "github", "annotates the lines of a pull request"
    GITLAB_TERRAFORM = "gitlab-terraform", "is GitLab's widget of changes"
    CODE_QUALITY = "code-quality", "is GitLab's report"
    JUNIT = "junit", ""
    SARIF = "sarif", ""
    PROMETHEUS = "prometheus", "is a file for node_exporter's textfile collector"

    note: str

    def __new__(cls, word: str, note: str) -> "Format":
        member = str.__new__(cls, word)
        member._value_ = word
        member.note = note
        return member


ValidationFormat: TypeAlias = Literal[Format.TEXT, Format.JSON, Format.GITHUB, Format.CODE_QUALITY]
ShownPlanFormat: TypeAlias = Literal[Format.TEXT, Format.JSON, Format.MARKDOWN, Format.HTML]
"""What a plan is shown in; it is written to files in more."""
StatusFormat: TypeAlias = Literal[Format.TEXT, Format.JSON, Format.MARKDOWN, Format.HTML, Format.PROMETHEUS]
HistoryFormat: TypeAlias = Literal[Format.TEXT, Format.JSON, Format.HTML, Format.CSV]
DriftFormat: TypeAlias = Literal[Format.TEXT, Format.JSON, Format.MARKDOWN]
ListFormat: TypeAlias = Literal[Format.TEXT, Format.JSON]
"""What all other results are shown in."""

VALIDATION: Final[tuple[ValidationFormat, ...]] = get_args(ValidationFormat)
SHOWN_PLAN: Final[tuple[ShownPlanFormat, ...]] = get_args(ShownPlanFormat)
WRITTEN_PLAN: Final[tuple[Format, ...]] = tuple(form for form in Format if form not in {Format.PROMETHEUS, Format.CSV})
STATUS: Final[tuple[StatusFormat, ...]] = get_args(StatusFormat)
HISTORY: Final[tuple[HistoryFormat, ...]] = get_args(HistoryFormat)
DRIFT: Final[tuple[DriftFormat, ...]] = get_args(DriftFormat)
LIST: Final[tuple[ListFormat, ...]] = get_args(ListFormat)


def notes(formats: Iterable[Format]) -> str:
    """What an option says of the formats that it takes: "`html` is a page of its own."."""
    noted = ", ".join(f"`{form}` {form.note}" for form in formats if form.note)
    return f"{noted}." if noted else ""


def rendered_validation(validation: "Validation", form: ValidationFormat) -> str:
    """What is wrong with manifests and policy."""
    match form:
        case Format.TEXT:
            from reconciler.render.problems import validation_lines

            return _unstyled(validation_lines(validation))
        case Format.JSON:
            from reconciler.render.problems import validation_document

            return _indented(validation_document(validation), ensure_ascii=True)
        case Format.GITHUB:
            from reconciler.render.annotations import problem_annotations

            return problem_annotations(validation.problems)
        case Format.CODE_QUALITY:
            from reconciler.render.gitlab import code_quality

            return code_quality(validation.problems)
        case _:
            assert_never(form)


def rendered(review: "Review", form: Format, key: str, limit: int | None = MARKDOWN_CHARACTERS) -> str:
    """
    A plan with its evidence. `key` is the one of our comment, which Markdown begins with; Markdown has at most `limit`
    characters, if not None.
    """
    match form:
        case Format.TEXT:
            from reconciler.render.text import review_lines

            return _unstyled(review_lines(review))
        case Format.JSON:
            from reconciler.render.json import review_document

            return _indented(review_document(review))
        case Format.MARKDOWN:
            from reconciler.render.markdown import markdown

            return markdown(review, key, limit)
        case Format.HTML:
            from reconciler.render.html import html_page

            return html_page(review)
        case Format.GITHUB:
            from reconciler.render.annotations import plan_annotations

            return plan_annotations(review)
        case Format.GITLAB_TERRAFORM:
            from reconciler.render.gitlab import terraform_report

            return terraform_report(review.plan)
        case Format.CODE_QUALITY:
            from reconciler.render.gitlab import code_quality

            return code_quality((), review)
        case Format.JUNIT:
            from reconciler.render.verdicts import junit

            return junit(review)
        case Format.SARIF:
            from reconciler.render.verdicts import sarif

            return sarif(review)
        case Format.PROMETHEUS:
            raise ReconcilerError(f"A plan cannot be written as {form}.", "Use `status` for the state of every slot.")
        case Format.CSV:
            raise ReconcilerError(f"A plan cannot be written as {form}.", "Use `history` for every change of a slot.")
        case _:
            assert_never(form)


def rendered_drift(drift: "Drift", form: DriftFormat, limit: int | None = MARKDOWN_CHARACTERS) -> str:
    """What has drifted; Markdown has at most `limit` characters, if not None."""
    match form:
        case Format.TEXT:
            from reconciler.render.layout import WIDTH
            from reconciler.render.text import drift_lines

            return _unstyled(drift_lines(drift, WIDTH))
        case Format.JSON:
            from reconciler.render.json import drift_document

            return _indented(drift_document(drift))
        case Format.MARKDOWN:
            from reconciler.render.markdown import drift_markdown

            return drift_markdown(drift, limit)
        case _:
            assert_never(form)


def rendered_status(overview: "Overview", form: StatusFormat, limit: int | None = MARKDOWN_CHARACTERS) -> str:
    """Every slot and how it stands; Markdown has at most `limit` characters, if not None."""
    match form:
        case Format.TEXT:
            from reconciler.render.overview import overview_lines

            return _unstyled(overview_lines(overview))
        case Format.JSON:
            from reconciler.render.json import status_document

            return _indented(status_document(overview))
        case Format.MARKDOWN:
            from reconciler.render.markdown import overview_markdown

            return overview_markdown(overview, limit)
        case Format.HTML:
            from reconciler.render.html import overview_page

            return overview_page(overview)
        case Format.PROMETHEUS:
            from reconciler.render.overview import prometheus

            return prometheus(overview)
        case _:
            assert_never(form)


def rendered_history(history: "History", form: HistoryFormat) -> str:
    """Every change of occupant."""
    match form:
        case Format.TEXT:
            from reconciler.render.history import history_lines

            return _unstyled(history_lines(history))
        case Format.JSON:
            from reconciler.render.history_json import history_document

            return _indented(history_document(history))
        case Format.HTML:
            from reconciler.render.html import history_page

            return history_page(history)
        case Format.CSV:
            from reconciler.render.history import history_csv

            return history_csv(history)
        case _:
            assert_never(form)


def rendered_as_of(as_of: "AsOf", form: ListFormat) -> str:
    """What each slot held at a moment."""
    if form is Format.JSON:
        from reconciler.render.history_json import as_of_document

        return _indented(as_of_document(as_of))
    from reconciler.render.history import as_of_lines

    return _unstyled(as_of_lines(as_of))


def rendered_between(between: "Between", form: ListFormat) -> str:
    """What changed between two moments."""
    if form is Format.JSON:
        from reconciler.render.history_json import between_document

        return _indented(between_document(between))
    from reconciler.render.history import between_lines

    return _unstyled(between_lines(between))


def rendered_audit(audit: "Audit", form: ListFormat) -> str:
    """Whether receipts are as they were written."""
    if form is Format.JSON:
        from reconciler.render.history_json import audit_document

        return _indented(audit_document(audit))
    from reconciler.render.history import audit_lines

    return _unstyled(audit_lines(audit))


def _indented(document: object, *, ensure_ascii: bool = False) -> str:
    import json

    return json.dumps(document, indent=2, ensure_ascii=ensure_ascii) + "\n"


def _unstyled(lines: "Iterable[Line]") -> str:
    from reconciler.render.layout import plain

    return "".join(f"{plain(line)}\n" for line in lines)
