"""Every slot and how it stands, to the letter; and what holds for the page and the metrics whatever is in them."""

import json
import re
from dataclasses import replace

import jsonschema
import pytest

from reconciler.core.drift import DriftStatus, ModelDrift
from reconciler.core.names import ModelRef
from reconciler.core.overview import Overview, SlotState, overview
from reconciler.core.past import Past
from reconciler.core.snapshot import Placement
from reconciler.reading.schemas import schema_text
from reconciler.render.formats import STATUS, Format, StatusFormat, rendered_status
from tests.build import CHURN, FIRST, OURS, THEIRS, A, P, S, desired, have, owns, registry, want, with_version
from tests.golden.test_golden import check
from tests.golden.test_html import Page
from tests.golden.test_reviews import drifted

SUFFIXES: dict[StatusFormat, str] = {
    Format.TEXT: "txt",
    Format.JSON: "json",
    Format.MARKDOWN: "md",
    Format.HTML: "html",
    Format.PROMETHEUS: "prom",
}
NASTY = ModelRef('nasty "<b>\\ | {{7}}')


def scene() -> Overview:
    """Slots that drifted, wait, are in sync, are nobody's and are another repository's."""
    found = drifted()
    in_sync = have({7: P}, {"stable": 7}, owner=owns(P, "stable"), name=NASTY)
    record = Placement(P.slot, OURS, FIRST, author="Ada <ada@acme.example>", applied_at="2026-05-01T10:00:00Z")
    in_sync = with_version(in_sync, 7, provenance={P.slot: record})
    churn = with_version(
        have({1: A, 2: S, 3: P}, {"champion": 3}, owner=owns(P, "champion")), 3, updated_at=1778421600000
    )
    waiting = have({1: P, 2: S}, owner=owns(P), name="waiting")
    drift = replace(
        found,
        models=(found.models[0], replace(found.models[1], model=ModelRef("gone")), found.models[2], ModelDrift(NASTY)),
    )
    declared = desired(
        want({P: [2]}, {"champion": 1}), want({P: [7]}, {"stable": 7}, name=NASTY), want({P: [2]}, name="waiting")
    )
    past = Past(drift.revision.ours, places={FIRST: 1})
    others = registry(have({1: P}, name="loose"), have({2: S}, {"x": 2}, owner=owns(S, by=THEIRS), name="theirs"))
    return overview(drift, declared, registry(churn, waiting, in_sync), {NASTY: past}, "2026-05-11T09:30:00Z", others)


@pytest.mark.parametrize("form", STATUS, ids=str)
def test_status(form: StatusFormat, update_golden: bool) -> None:
    text = rendered_status(scene(), form)

    check(f"status.{SUFFIXES[form]}", re.sub(r"(?s)<style>.*</style>", "<style>…</style>", text), update_golden)


def test_the_document_is_as_the_schema_says() -> None:
    jsonschema.validate(json.loads(rendered_status(scene(), Format.JSON)), json.loads(schema_text("status")))


def test_the_page_is_well_formed_and_shows_names_as_they_are() -> None:
    page = Page(rendered_status(scene(), Format.HTML))

    assert page.open == []
    assert NASTY in page.text
    assert {"script", "img", "b"}.isdisjoint(tag for tag, _ in page.elements)
    assert page.attributes("src") == page.attributes("style") == []


SAMPLE = re.compile(r'[a-z_]+(?:\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? \d+')


def test_every_metric_is_explained_and_typed_once_before_its_samples() -> None:
    lines = rendered_status(scene(), Format.PROMETHEUS).splitlines()

    seen: list[str] = []
    for line in lines:
        if line.startswith("# HELP "):
            seen.append(line.split()[2])
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {seen[-1]} gauge"
        else:
            assert SAMPLE.fullmatch(line), line
            assert re.split("[ {]", line)[0] == seen[-1]
    assert len(seen) == len(set(seen))


def test_no_slot_of_an_unknown_model_is_said_to_be_in_sync() -> None:
    whole = scene()
    models = tuple(replace(model, status=DriftStatus.UNKNOWN, drifted=(), pending=()) for model in whole.drift.models)
    live = registry(have({2: P}, {"champion": 1}, owner=owns(P, "champion")))
    declared = desired(want({P: [2]}, {"champion": 1}))

    found = overview(replace(whole.drift, models=models[:1]), declared, live, {}, whole.read_at)

    assert {slot.state for slot in found.models[0].slots} == {SlotState.UNKNOWN}


def test_by_whom_is_said_of_no_version_that_somebody_moved_there_by_hand() -> None:
    """A record of an earlier stay says nothing of this one."""
    record = Placement(P.slot, OURS, FIRST, author="Ada", applied_at="2026-05-01T10:00:00Z")
    live = with_version(have({2: A, 3: P}, owner=owns(P)), 3, provenance={P.slot: record})
    drift = replace(scene().drift, models=scene().drift.models[:1])
    past = Past(drift.revision.ours, places={FIRST: 1})

    found = overview(drift, desired(want({P: [2]})), registry(live), {CHURN: past}, scene().read_at)

    (slot,) = (slot for slot in found.models[0].slots if slot.slot == P.slot)
    assert slot.state is SlotState.DRIFTED
    assert slot.served is not None
    assert (slot.served.commit, slot.served.author) == (None, "")


def test_a_model_with_a_cause_and_no_slot_that_differs_drifted_as_a_whole() -> None:
    drift = replace(scene().drift, models=(ModelDrift(CHURN, DriftStatus.DRIFTED),))

    found = overview(drift, desired(want({P: [2]})), registry(have({2: P}, owner=owns(P))), {}, scene().read_at)

    assert [slot.state for slot in found.models[0].slots] == [SlotState.DRIFTED]
