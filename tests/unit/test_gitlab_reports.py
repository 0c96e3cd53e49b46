"""What GitLab shows beside a merge request."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.review import Review
from reconciler.errors import Location, Problem, Severity
from reconciler.render.gitlab import code_quality, terraform_report
from tests.golden.test_golden import SCENES, URI

# https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format, as of GitLab 18
REPORT = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^/.]"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}

WRONG = Problem(Location("manifests/a.yaml", 7, 3), "unknown-stage", "There is no stage `Prod`.", "Write Production.")


def findings(text: str) -> list[dict[str, Any]]:
    return json.loads(text)


@pytest.mark.parametrize(
    ("title", "figures"),
    [
        ("nothing to do", {"create": 0, "update": 0, "delete": 0}),
        ("a promotion", {"create": 0, "update": 5, "delete": 0}),
        ("a roll-back", {"create": 0, "update": 3, "delete": 0}),
    ],
)
def test_the_widget_counts_what_the_plan_changes(title: str, figures: dict[str, int]) -> None:
    assert json.loads(terraform_report(SCENES[title])) == figures


def test_a_model_that_is_released_is_not_counted_as_deleted() -> None:
    scene = SCENES["blocked, adopted, created and released"]
    released = replace(scene, models=tuple(model for model in scene.models if model.model == "released"))

    assert json.loads(terraform_report(released)) == {"create": 0, "update": 1, "delete": 0}


def test_a_problem_is_a_finding_at_its_line() -> None:
    (finding,) = findings(code_quality([WRONG]))

    assert finding["location"] == {"path": "manifests/a.yaml", "lines": {"begin": 7}}
    assert finding["check_name"] == "reconciler/unknown-stage"
    assert finding["description"] == "There is no stage `Prod`. Write Production."
    assert finding["severity"] == "critical"


def test_a_warning_is_minor_and_a_file_as_a_whole_begins_at_its_first_line() -> None:
    warning = replace(WRONG, location=Location("manifests/a.yaml"), severity=Severity.WARNING)

    (finding,) = findings(code_quality([warning]))

    assert finding["severity"] == "minor"
    assert finding["location"]["lines"] == {"begin": 1}


def test_what_blocks_a_model_is_a_finding_where_it_is_asked_for() -> None:
    scene = SCENES["blocked, adopted, created and released"]

    (finding,) = findings(code_quality([], Review(scene, URI)))

    assert finding["check_name"] == "reconciler/unknown-version"
    assert finding["location"]["path"].startswith("manifests/")
    assert finding["description"].startswith("blocked: ")


def test_what_blocks_the_whole_plan_stands_at_the_folder() -> None:
    (finding,) = findings(code_quality([], Review(SCENES["too much at once"], URI)))

    assert (finding["severity"], finding["location"]["path"]) == ("blocker", "manifests")


def test_nothing_wrong_is_an_empty_report() -> None:
    assert findings(code_quality([], Review(SCENES["nothing to do"], URI))) == []


def test_a_finding_that_moved_to_another_line_is_the_same_one() -> None:
    moved = replace(WRONG, location=replace(WRONG.location, line=70))

    assert [f["fingerprint"] for f in findings(code_quality([WRONG]))] == [
        f["fingerprint"] for f in findings(code_quality([moved]))
    ]


TEXTS = st.text(st.characters(), min_size=1, max_size=3)
PROBLEMS = st.builds(
    Problem,
    st.builds(Location, st.sampled_from(["manifests/a.yaml", "manifests/b\x1b\udce4.yaml"]), st.integers(0, 3)),
    st.sampled_from(["unknown-key", "unknown-stage"]),
    st.one_of(st.just("Same."), TEXTS.map(lambda text: f"Wrong: {text}")),
    st.just("Mend it."),
    st.sampled_from(Severity),
)


@given(st.lists(PROBLEMS, max_size=8), st.sampled_from(sorted(SCENES)), st.randoms())
def test_every_report_is_one_that_gitlab_reads_and_no_two_findings_are_one(
    problems: list[Problem], title: str, chance: Any
) -> None:
    shuffled = chance.sample(problems, len(problems))

    text = code_quality(problems, Review(SCENES[title], URI))

    report = findings(text)
    jsonschema.validate(report, REPORT)
    assert len({finding["fingerprint"] for finding in report}) == len(report) >= len(problems)
    assert code_quality(shuffled, Review(SCENES[title], URI)) == text
