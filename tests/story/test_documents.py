"""What programs read: plans, receipts, and logs."""

import json
from typing import Any

import pytest

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_plans_and_receipts_are_what_the_published_schemas_say(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    import jsonschema

    one, two, three = (f"{model}-{number}" for number in range(3))
    registry.register(one, two, versions=3)
    registry.set_alias(two, "stale", 1)
    repository.merge(
        manifest(one, production=1, champion=1)
        + "description: Scores loans.\ntags: {domain: credit}\n"
        + manifest(two, production=9)
        + f"---\nmodel: {three}\ndescription: To come.\n"
    )

    planned = reconciler("plan", "--format", "json", "--out", "plan.json")
    applied = reconciler.cold("apply", "--yes", "--receipt", "receipt.json", "--log-format", "json")

    assert (planned.code, applied.code) == (3, 3)
    plan, receipt = (json.loads((repository.top / name).read_text()) for name in ("plan.json", "receipt.json"))
    assert json.loads(planned.out) == plan
    for name, document in (("plan", plan), ("receipt", receipt)):
        schema: Any = json.loads(reconciler("schema", name).out)
        jsonschema.validate(document, schema)
    events = [json.loads(line) for line in applied.out.splitlines()]
    assert {"planned_change", "apply_start", "apply_complete", "apply_summary"} <= {event["type"] for event in events}
    assert (planned.err, applied.err) == ("", "")


def test_the_log_of_an_apply_without_changes_is_json_too(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0

    applied = reconciler("apply", "--yes", "--log-format", "json", "--no-lock")

    assert applied.code == 0
    assert all("@message" in json.loads(line) for line in applied.out.splitlines())
