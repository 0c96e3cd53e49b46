"""Plans and receipts keep to their published schemas, and a saved plan is read back as it was."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.errors import ReconcilerError
from reconciler.pipeline import Reviewed
from reconciler.project import expectation
from reconciler.reading import plan as plan_file
from reconciler.reading.schemas import SCHEMAS, schema_text
from reconciler.render.formats import Format, rendered
from reconciler.render.json import plan_document, receipt_document
from tests.golden.test_golden import RECEIPT, SCENES, URI
from tests.golden.test_reviews import REVIEWS

ROOT = Path(__file__).parents[2]


def validator(name: str) -> Any:
    return jsonschema.Draft7Validator(SCHEMAS[name]())


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_current(name: str) -> None:
    assert (ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8") == schema_text(name)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_draft_7(name: str) -> None:
    schema = SCHEMAS[name]()

    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("title", SCENES)
def test_every_plan_keeps_to_the_schema(title: str) -> None:
    validator("plan").validate(plan_document(SCENES[title], URI))


@pytest.mark.parametrize("title", REVIEWS)
def test_every_review_keeps_to_the_schema(title: str) -> None:
    validator("plan").validate(json.loads(rendered(REVIEWS[title](), Format.JSON, "0123456789ab")))


def test_a_receipt_keeps_to_the_schema() -> None:
    validator("receipt").validate(receipt_document(RECEIPT))


def test_the_schema_refuses_what_is_no_plan() -> None:
    document = plan_document(SCENES["a promotion"], URI)
    broken = {**document, "resource_changes": [{**document["resource_changes"][0], "change": {"actions": ["destroy"]}}]}

    assert not validator("plan").is_valid(broken)


@pytest.mark.parametrize("title", SCENES)
def test_a_saved_plan_is_read_back_as_it_was(title: str, tmp_path: Path) -> None:
    plan = SCENES[title]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(plan, URI)))

    document = plan_file.read(path)

    assert document == plan_document(plan, URI)
    expected = expectation(document)
    assert expected.options == plan.options
    assert expected.reviewed == Reviewed(plan.digest, plan.revision.commit, models=plan.model_digests)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "no format_version"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{}", "no format_version"),
        (b'{"format_version": "1.2"}', "format_version `1`"),
        (b'{"format_version": "2.7"}', "tool"),
    ],
)
def test_what_is_no_plan_is_refused_with_what_to_do(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)

    with pytest.raises(ReconcilerError) as refused:
        plan_file.read(path)

    assert said in refused.value.message
    assert "reconciler plan --out" in refused.value.fix


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match=r"missing\.json"):
        plan_file.read(tmp_path / "missing.json")


def test_keys_that_a_later_minor_release_adds_are_let_through(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**plan_document(SCENES["a promotion"], URI), "checks": [], "format_version": "2.9"}))

    assert plan_file.read(path)["digest"] == SCENES["a promotion"].digest
