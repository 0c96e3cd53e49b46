"""The example of a policy for conftest, judged by a Rego interpreter on the documents that plans really are."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from regopy import Interpreter

from reconciler.core.review import Review
from reconciler.render.formats import Format, rendered
from tests import exhibits

POLICY = Path(__file__).parents[2] / "examples/policy/conftest/plan.rego"


def told(review: Review, rule: str) -> list[str]:
    interpreter: Any = Interpreter()
    interpreter.add_module("plan", POLICY.read_text(encoding="utf-8"))
    interpreter.set_input(json.loads(rendered(review, Format.JSON, "0")))
    return sorted(cast("list[str]", json.loads(str(interpreter.query(f"data.main.{rule}")))["expressions"][0]))


@pytest.mark.parametrize(
    ("review", "denied"),
    [
        (exhibits.in_sync(), []),
        (exhibits.breaking_signature(), ["risk-classifier v5: its signature would break today's callers"]),
        (
            exhibits.better(),
            ["model[demand-forecast].alias[challenger]: an alias is deleted: services that load it would find nothing"],
        ),
    ],
)
def test_what_the_example_denies(review: Review, denied: list[str]) -> None:
    assert told(review, "deny") == denied


def test_what_the_example_warns_of() -> None:
    assert "risk-classifier v5: latency_ms is worse" in told(exhibits.better(), "warn")
