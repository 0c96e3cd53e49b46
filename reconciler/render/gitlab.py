"""What GitLab shows beside a merge request: the widget for Terraform plans, and code quality."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, TypedDict

from reconciler.core.diff import Blocker
from reconciler.core.plan import Plan
from reconciler.core.review import Review
from reconciler.core.text import clean
from reconciler.errors import Problem, Severity
from reconciler.render.json import plan_document

Grade = Literal["info", "minor", "major", "critical", "blocker"]


class Lines(TypedDict):
    begin: int


class Place(TypedDict):
    path: str
    lines: Lines


class Finding(TypedDict):
    """One entry of a code quality report; GitLab ignores a report in which one of these is missing."""

    description: str
    check_name: str
    fingerprint: str
    severity: Grade
    location: Place


_COUNTED_AS: dict[str, str] = {"create": "create", "update": "update", "delete": "delete", "forget": "update"}
"""GitLab's widget has no place for what Terraform forgets; a model that is released loses a tag, and is still there."""


def terraform_report(plan: Plan) -> str:
    """The figures for `artifacts:reports:terraform`: no names, as anybody who sees the merge request sees them."""
    actions = (action for c in plan_document(plan, "")["resource_changes"] for action in c["change"]["actions"])
    count = Counter(_COUNTED_AS[action] for action in actions)
    return json.dumps({kind: count[kind] for kind in ("create", "update", "delete")}) + "\n"


def code_quality(problems: Iterable[Problem], review: Review | None = None) -> str:
    """
    The findings for `artifacts:reports:codequality`: what is wrong with the manifests, and what a plan blocks on.
    GitLab knows a finding by its fingerprint: one that only moved to another line is not told as a new one.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    findings: list[Finding] = []
    for grade, path, line, code, text in (*_problems(problems), *(_blocked(review.plan) if review else ())):
        same = (path, code, text)
        identity = json.dumps([*same, seen[same]])
        seen[same] += 1
        findings.append(
            {
                "description": text,
                "check_name": f"reconciler/{code}",
                "fingerprint": hashlib.sha256(identity.encode()).hexdigest(),
                "severity": grade,
                "location": {"path": path, "lines": {"begin": max(line, 1)}},
            }
        )
    return json.dumps(findings, indent=2) + "\n"


_Row = tuple[Grade, str, int, str, str]


def _problems(problems: Iterable[Problem]) -> Iterator[_Row]:
    for problem in sorted(problems):
        grade = "critical" if problem.severity is Severity.ERROR else "minor"
        text = clean(f"{problem.message} {problem.fix}".strip())
        yield grade, clean(problem.location.path), problem.location.line, problem.code, text


def _blocked(plan: Plan) -> Iterator[_Row]:
    # What is wrong with the plan as a whole stands nowhere in particular.
    folder = plan.revision.repository.rpartition("#")[2]
    for safety in plan.safeties:
        yield "blocker", *_row(safety, folder, "")
    for model in plan.models:
        for blocker in model.blockers:
            yield "critical", *_row(blocker, folder, f"{model.model}: ")


def _row(blocker: Blocker, folder: str, lead: str) -> tuple[str, int, str, str]:
    text = clean(f"{lead}{blocker.message} {blocker.fix}".strip())
    path, line = (folder, 0) if blocker.at is None else (blocker.at.path, blocker.at.line)
    return clean(path), line, blocker.code, text
