"""Annotations are read here as GitHub's runner reads them: what comes out must be what was said, and nothing more."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.desired import Pin
from reconciler.core.diff import Blocker, ModelPlan
from reconciler.core.names import ModelRef, Version
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.review import Note, Review
from reconciler.core.text import clean
from reconciler.errors import Location, Problem, Severity
from reconciler.render.annotations import plan_annotations, problem_annotations
from tests import exhibits
from tests.build import NOW, A, P, S, at, have, owns, want
from tests.exhibits import plan_of
from tests.runner import Command, lines, read


def commands(text: str) -> list[Command | None]:
    """What the runner makes of it, line by line."""
    return [read(line) for line in lines(text)]


def problem(message: str = "Wrong.", *, path: str = "manifests/churn.yaml", code: str = "unknown-key") -> Problem:
    return Problem(Location(path, 8, 15), code, message, "Mend it.")


def test_a_problem_stands_at_its_place() -> None:
    text = problem_annotations([problem("Wrong: 50%, or\nso.")])

    assert text == (
        "::error file=manifests/churn.yaml,line=8,col=15,title=unknown-key::Wrong: 50%25, or\\nso. Mend it.\n"
    )


def test_a_warning_is_a_warning_and_a_whole_file_has_no_line() -> None:
    warning = Problem(Location("manifests/a,b:c%.yaml"), "odd-name", "Odd.", "", Severity.WARNING)

    text = problem_annotations([warning])

    assert text == "::warning file=manifests/a%2Cb%3Ac%25.yaml,title=odd-name::Odd.\n"


def test_nothing_wrong_is_nothing_said() -> None:
    assert problem_annotations([]) == ""


def test_errors_come_first_and_no_more_than_github_shows() -> None:
    warnings = [Problem(at(n), "odd", f"Odd {n}.", "", Severity.WARNING) for n in range(1, 12)]
    errors = [problem(f"Wrong {n}.") for n in range(1, 14)]

    *shown, last = problem_annotations([*warnings, *errors]).splitlines()

    assert [line.split(" ")[0] for line in shown] == ["::error"] * 10 + ["::warning"] * 10
    assert last == "Not shown beside the lines, because GitHub shows at most 10 of each kind: 3 errors, 1 warning."
    assert read(last) is None


def test_a_promotion_to_production_is_a_notice_at_its_line() -> None:
    pinned = Pin(at(6), Version(2))
    review = Review(plan_of((want({P: [pinned]}), have({1: P, 2: S}, owner=owns(P)))), "sqlite:///x")

    text = plan_annotations(review)

    assert text == (
        "::notice file=manifests/churn.yaml,line=6,col=3,title=Production::churn: promote v2: Staging -> Production\n"
    )


def test_a_roll_back_to_production_is_a_notice_too_and_other_moves_are_none() -> None:
    review = Review(
        plan_of((want({P: [1], S: [3]}), have({1: A, 2: P, 3: A}, owner=owns(P), placed={1: [P]}))), "sqlite:///x"
    )

    assert [c and c.data for c in commands(plan_annotations(review))] == ["churn: roll back v1: Archived -> Production"]


def test_what_blocks_is_an_error_at_its_line() -> None:
    review = Review(plan_of((want({P: [9]}), have({1: P}, owner=owns(P)))), "sqlite:///x")

    (command,) = commands(plan_annotations(review))

    assert command is not None
    assert (command.name, command.properties["title"]) == ("error", "unknown-version")
    assert command.properties["file"] == "manifests/churn.yaml"
    assert command.data.startswith("churn is blocked: ")


def test_a_plan_that_is_refused_as_a_whole_is_an_error_without_a_place() -> None:
    plan = Plan(NOW, PlanOptions(), (), 1, (Blocker("mass-change", "Too much.", "Pass --force."),))

    text = plan_annotations(Review(plan, "sqlite:///x", notes=(Note("An apply would be refused."),)))

    assert text == (
        "::error title=mass-change::The plan is blocked: Too much. Pass --force.\n"
        "::warning title=Note::An apply would be refused.\n"
    )


def test_a_signature_that_breaks_its_callers_is_a_warning_at_the_line_that_lets_it_in() -> None:
    (warning,) = (c for c in commands(plan_annotations(exhibits.breaking_signature())) if c and c.name == "warning")

    assert warning.properties["file"] == "manifests/risk-classifier.yaml"
    assert warning.properties["title"] == "Signature"
    assert warning.data.startswith("risk-classifier v5 for Production")
    assert "breaking: today's callers would notice" in warning.data


def test_evidence_that_could_not_be_read_is_a_warning() -> None:
    review = exhibits.no_evidence_at_all()

    titles = [c.properties["title"] for c in commands(plan_annotations(review)) if c and c.name == "warning"]

    assert "No evidence" in titles


SCENES = [exhibits.better, exhibits.blocked, exhibits.in_sync, exhibits.hostile, exhibits.fleet]


@pytest.mark.parametrize("scene", SCENES)
def test_every_line_is_an_annotation_of_ours(scene: Callable[[], Review]) -> None:
    for command in commands(plan_annotations(scene())):
        assert command is None or command.name in {"error", "warning", "notice"}


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["::", "error", "##[", "add-mask]", "\n", "\r", "%0A", "%25", "%3A", ",", ":", "=", " ", "\u2028"]
        ),
        max_size=12,
    ).map("".join),
)


@given(path=HOSTILE.filter(lambda path: bool(path.strip())), code=HOSTILE, message=HOSTILE)
def test_no_text_from_outside_starts_a_command_or_leaves_its_place(path: str, code: str, message: str) -> None:
    read_back = commands(problem_annotations([problem(message, path=path, code=code)]))

    assert len(read_back) == 1
    command = read_back[0]
    assert command is not None
    assert command.name == "error"
    assert command.properties.keys() <= {"file", "line", "col", "title"}
    assert command.properties["file"] == path
    assert command.properties["line"] == "8"
    assert command.properties.get("title", "").rstrip() == clean(code).rstrip()
    assert command.data == clean(f"{message} Mend it.")


@given(name=HOSTILE, message=HOSTILE)
def test_no_name_in_a_registry_starts_a_command(name: str, message: str) -> None:
    model = ModelPlan(ModelRef(name), (), (Blocker("unknown-model", message, "", at(3)),))

    (command,) = commands(plan_annotations(Review(Plan(NOW, PlanOptions(), (model,), 1), "sqlite:///x")))

    assert command is not None
    assert (command.name, command.properties["title"]) == ("error", "unknown-model")
    assert command.data == clean(f"{name} is blocked: {message} ".rstrip())
