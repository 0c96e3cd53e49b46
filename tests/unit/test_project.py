"""What the public face adds to the pages below it: limits, expectations, surroundings, a page for notebooks."""

import gc
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reconciler
from reconciler.core.plan import Limits
from reconciler.core.policy import Policy, PolicySettings
from reconciler.core.review import Review as WholeReview
from reconciler.ports import World
from reconciler.project import Options, Project, Review, expectation, in_python, plan_options
from reconciler.registry.mlflow import TIMEOUT, imported
from reconciler.rules import NO_RULES, Rules
from reconciler.wiring import LockKind
from tests import exhibits

STRICT = Rules(Policy(settings=PolicySettings(max_change_percent=5, max_change_models=2)))


@pytest.mark.parametrize(
    ("rules", "options", "limits"),
    [
        pytest.param(NO_RULES, {}, Limits(), id="as usual"),
        pytest.param(STRICT, {}, Limits(0.05, 2), id="by the policy"),
        pytest.param(STRICT, {"max_change_percent": 50.0}, Limits(0.5, 2), id="by who asks, and the policy"),
    ],
)
def test_a_plan_keeps_within_the_standing_policys_limits(rules: Rules, options: Options, limits: Limits) -> None:
    assert plan_options(rules, options).limits == limits


class _Reached(Exception):  # noqa: N818  # no error
    """As far as these tests go: a world would be opened."""


class Place:
    """An opener that notes what it was asked for."""

    asked: dict[str, Any]

    def __call__(
        self, lock: LockKind, *, base: str | None = None, ref: str | None = None, policy_ref: str | None = None
    ) -> World:
        self.asked = {"lock": lock, "base": base, "ref": ref, "policy_ref": policy_ref}
        os.environ[TIMEOUT] = "1"
        raise _Reached


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, "No approval of the plan. Pass a review", id="nothing"),
        pytest.param({"reviewed": "plan.json"}, "`plan.json` is not the digest of a plan", id="no digest"),
        pytest.param({"expect_reviewed": True}, "Open the project with `forge`", id="nowhere to look it up"),
        pytest.param(
            {"reviewed": Review(exhibits.better()), "force": True}, "own options: give force to `plan`", id="options"
        ),
    ],
)
def test_an_apply_is_told_what_was_agreed_to(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(reconciler.ReconcilerError, match=expected):
        Project(Place()).apply(**given)


def test_a_review_stands_for_what_its_saved_plan_stands_for(tmp_path: Path) -> None:
    review = Review(exhibits.better())
    saved = tmp_path / "plan.json"
    saved.write_text(review.to_json(), encoding="utf-8")

    assert expectation(review) == expectation(saved)


@pytest.mark.parametrize(
    ("passed", "variable", "judging"),
    [(None, "main", "main"), ("v1", "main", "v1"), ("0" * 40, "", None), (None, "0" * 40, None)],
)
def test_the_jobs_policy_judges_unless_another_is_named(
    passed: str | None, variable: str, judging: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_POLICY_REF", variable)
    place = Place()

    with pytest.raises(_Reached):
        Project(place).plan(policy_ref=passed)

    assert place.asked["policy_ref"] == judging


def test_the_environment_is_left_as_it_was_whatever_happens() -> None:
    before = dict(os.environ)

    with pytest.raises(_Reached):
        Project(Place()).drift()

    assert dict(os.environ) == before


class Importer(Place):
    """An opener that needs MLflow."""

    apart = 0

    def __call__(self, *given: Any, **named: Any) -> World:
        imported()
        self.apart = gc.get_freeze_count()
        return super().__call__(*given, **named)


def test_python_looks_for_garbage_where_it_did_before() -> None:
    place, apart = Importer(), gc.get_freeze_count()
    gc.unfreeze()  # what the tests set apart themselves

    try:
        with pytest.raises(_Reached):
            Project(place).drift()
        after = gc.get_freeze_count()
    finally:
        if apart:
            gc.freeze()

    assert place.apart > 0
    assert after == 0


class _Frame(HTMLParser):
    """The frame's attributes."""

    attributes: dict[str, str | None]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "iframe"
        self.attributes = dict(attrs)


@pytest.mark.parametrize("whole", [exhibits.better(), exhibits.hostile()], ids=["a promotion", "hostile"])
def test_a_notebook_shows_the_page_in_a_frame_that_runs_nothing(whole: WholeReview) -> None:
    review, frame = Review(whole), _Frame()

    frame.feed(review._repr_html_())  # pyright: ignore[reportPrivateUsage]  # IPython's name for it

    assert frame.attributes["sandbox"] is None  # nothing is allowed
    assert frame.attributes["srcdoc"] == review.to_html()


def test_whatever_the_face_lists_is_there() -> None:
    assert all(getattr(reconciler, name) is not None for name in reconciler.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        reconciler.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("for_command", "for_python"),
    [
        ("Give one of --from SLOT, --run ID and --latest.", "Give one of `source`, `run_id` and `latest`."),
        ("Pass `--check loadable`.", "Pass `names`."),
        ("Pass --no-lock, or --lock file.", 'Pass `lock="none"`, or `lock="file"`.'),
        ("Pass --allow-rewind 0123456789ab to apply it.", "Pass `allow_rewind` to apply it."),
        ("Use `reconciler demote A --from Production`.", "Use `reconciler demote A --from Production`."),
        ("Delete it: git push origin --delete b", "Delete it: git push origin --delete b"),
        ("Fetch it (`git fetch --unshallow`).", "Fetch it (`git fetch --unshallow`)."),
    ],
)
def test_a_remedy_names_parameters_in_the_place_of_options(for_command: str, for_python: str) -> None:
    assert in_python(for_command) == for_python


@pytest.mark.parametrize(
    ("by_command", "remedy"), [(False, "one of `source`, `run_id` and `latest`"), (True, "one of --from SLOT")]
)
def test_who_asks_is_answered_in_own_words(by_command: bool, remedy: str) -> None:
    project = Project(Place(), by_command=by_command)

    with pytest.raises(reconciler.ReconcilerError, match=remedy):
        project.promote("churn")
