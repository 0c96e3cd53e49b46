"""Which checks are run when nobody names any, and which exist."""

import pytest

from reconciler.checking import checks_to_run
from reconciler.core.gate import Gate, Guard
from reconciler.core.names import ModelRef
from reconciler.core.policy import Check, Policy, Rule
from reconciler.errors import Location, ReconcilerError
from reconciler.gates.artifact import Artifact
from reconciler.gates.check import CheckGate

AT = Location("reconciler.yaml", 5, 3)
CHURN = ModelRef("churn")


def policy(gate: Gate, models: tuple[str, ...] = ("*",), **checks: Check) -> Policy:
    rule = Rule(("Production",), (Guard("it", gate, AT),), AT, models, {"tier": "1"})
    return Policy((rule,), checks=checks)


def names(found: tuple[Check, ...]) -> list[str]:
    return [check.name for check in found]


@pytest.mark.parametrize("gate", [Artifact(loadable=True), CheckGate("loadable")])
def test_a_model_is_loaded_where_a_gate_asks_for_it(gate: Gate) -> None:
    smoke = Check("smoke", AT, pytest="checks")

    assert names(checks_to_run(policy(gate, smoke=smoke), CHURN)) == ["smoke", "loadable"]
    assert names(checks_to_run(policy(gate, ("risk-*",), smoke=smoke), CHURN)) == ["smoke"]


def test_a_model_is_loaded_where_somebody_names_it() -> None:
    assert names(checks_to_run(policy(Artifact()), CHURN, ["loadable"])) == ["loadable"]


def test_there_is_nothing_to_run() -> None:
    with pytest.raises(ReconcilerError, match="no gate requires one"):
        checks_to_run(policy(Artifact()), CHURN)


def test_a_check_that_is_not_there() -> None:
    with pytest.raises(ReconcilerError, match=r"has no check bais \(it has: bias, loadable\)"):
        checks_to_run(policy(Artifact(), bias=Check("bias", AT, command=("true",))), CHURN, ["bais"])
