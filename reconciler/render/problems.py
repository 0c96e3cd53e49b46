"""What is wrong with manifests and policy, for a terminal and for programs."""

from collections.abc import Iterable, Iterator
from typing import TypedDict

from reconciler.core.text import clean
from reconciler.errors import Problem, Severity, Validation
from reconciler.render.layout import Line


class ProblemDocument(TypedDict):
    path: str
    line: int
    column: int
    severity: str
    code: str
    message: str
    fix: str


class ValidationDocument(TypedDict):
    valid: bool
    problems: list[ProblemDocument]


def validation_lines(validation: Validation) -> Iterator[Line]:
    """Every problem on a line of its own; the last line sums up."""
    yield from problem_lines(validation.problems)
    verdict = ("remove", _count(validation.errors, "error")) if validation.errors else ("add", "valid")
    yield ("", f"{_count(validation.files, 'file')}, {_count(validation.models, 'model')}: "), verdict, ("", ".")


def problem_lines(problems: Iterable[Problem]) -> Iterator[Line]:
    """`manifests/churn.yaml:8:15: unknown-version: …`, a line each."""
    for problem in problems:
        style, kind = ("error", "") if problem.severity is Severity.ERROR else ("warn", "warning: ")
        yield (
            ("name", clean(f"{problem.location}: ")),
            (style, f"{kind}{problem.code}: "),
            ("", clean(f"{problem.message} {problem.fix}".rstrip())),
        )


def validation_document(validation: Validation) -> ValidationDocument:
    return {"valid": not validation.errors, "problems": [_document(problem) for problem in validation.problems]}


def _document(problem: Problem) -> ProblemDocument:
    at = problem.location
    return {
        "path": at.path,
        "line": at.line,
        "column": at.column,
        "severity": problem.severity.value,
        "code": problem.code,
        "message": problem.message,
        "fix": problem.fix,
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
