"""What the terminal says first, what it says once, and what it never folds."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from reconciler.cli import cli
from reconciler.core.changes import RecordProvenance
from reconciler.core.diff import Proposal
from reconciler.core.gate import Entrance, Kind
from reconciler.core.names import ModelRef, Slot, Version
from reconciler.core.review import Review
from reconciler.render.formats import Format, rendered
from reconciler.render.layout import plain
from reconciler.render.text import drift_lines, review_lines
from tests import exhibits
from tests.build import P, have, want
from tests.exhibits import plan_of
from tests.golden.test_reviews import drifted


def lines(review: Review) -> list[str]:
    return [plain(line) for line in review_lines(review)]


def found(review: Review) -> Review:
    """The same, where each model's version was found in a slot that is guarded now."""
    models = (
        replace(m, entrances=(Entrance(m.model, Version(1), Slot("Staging"), kind=Kind.FOUND),))
        for m in review.plan.models
    )
    return replace(review, plan=replace(review.plan, models=tuple(models)))


def test_two_hundred_models_alike_are_a_few_lines() -> None:
    shown = lines(replace(exhibits.crowded(200), policy=None))

    assert len(shown) < 20
    assert shown[-1] == "Plan: 1 to promote, 1 to archive, 200 models to claim."
    assert any("190 more" in line for line in shown)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_what_enters_a_guarded_slot_is_never_folded(form: str) -> None:
    shown = rendered(found(exhibits.crowded(30)), Format(form), "0123456789ab", None)

    assert all(f"a-model-{number:03}" in shown for number in range(30))


def adopted(count: int) -> Review:
    """Models that are declared as the registry has them: nothing moves, and all of it is found."""
    entered = (
        Entrance(ModelRef("x"), Version(1), slot, kind=Kind.FOUND, moves=False) for slot in (P.slot, Slot("@champion"))
    )
    entrances = tuple(entered)
    names = [ModelRef(f"model-{number:03}") for number in range(count)]
    plan = plan_of(*((want({P: [1]}, {"champion": 1}, name=n), have({1: P}, {"champion": 1}, name=n)) for n in names))
    models = (
        replace(
            model,
            entrances=tuple(replace(entrance, model=model.model) for entrance in entrances),
            proposals=(*model.proposals, Proposal(RecordProvenance(model.model, Version(1), {}, ()), governed)),
        )
        for model in plan.models
        for governed in [model.proposals[0].because]
    )
    return Review(replace(plan, models=tuple(models)), "https://mlflow.acme.example")


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_what_is_found_of_a_model_is_one_line_and_of_many_alike_too_where_there_is_no_policy(form: str) -> None:
    many = rendered(adopted(200), Format(form), "0123456789ab", None)
    judged = replace(adopted(200), policy=exhibits.crowded(1).policy)

    assert many.count("Production v1, @champion v1") == 1
    assert rendered(judged, Format(form), "0123456789ab", None).count("Production v1, @champion v1") == 200


def test_two_models_alike_are_shown_one_by_one() -> None:
    shown = lines(replace(exhibits.crowded(2), policy=None))

    assert "a-model-000  manifests/a-model-000.yaml" in shown
    assert "a-model-001  manifests/a-model-001.yaml" in shown


def test_a_blocked_model_says_so_first_and_shows_nothing_in_green() -> None:
    shown = list(review_lines(exhibits.gated()))

    (head,) = [line for line in shown if plain(line).startswith("risk-classifier")]
    assert plain(head).startswith("risk-classifier  blocked: soak, bias")
    assert [plain(line) for line in shown if line and line[0][0] == "add" and "promote" in plain(line)] == []


def test_the_same_verdict_on_a_stage_and_its_alias_is_one_line() -> None:
    assert sum("soak before Production, @champion" in line for line in lines(exhibits.gated())) == 1


def test_drift_says_when_and_the_two_ways_out() -> None:
    drift = drifted()
    first, *others = drift.models
    models = (replace(first, changed_at={Version(3): 1_778_421_600_000}), *others)

    shown = "\n".join(plain(line) for line in drift_lines(replace(drift, models=models), 200))

    assert "v3 is in Production, but should be in Archived (last changed 2026-05-10 14:00 UTC)" in shown
    assert "v2 is in Staging, but should be in Production\n" in shown
    assert "To put it back, run `reconciler apply --yes --restore churn`. To keep what is there, run " in shown


def test_a_restore_of_a_strange_name_can_be_pasted_into_a_shell() -> None:
    drift = drifted()
    first = replace(drift.models[0], model=ModelRef("a b; rm -rf ~"))

    shown = "\n".join(plain(line) for line in drift_lines(replace(drift, models=(first,)), 200))

    assert "--restore 'a b; rm -rf ~'`" in shown


def test_a_command_that_is_misspelled_is_pointed_out() -> None:
    assert "Did you mean `drift`?" in CliRunner().invoke(cli, ["drfit"]).output
