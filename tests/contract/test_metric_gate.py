"""That the metric gate says what MLflow's own validation says, where MLflow has an answer: in this process."""

from importlib import import_module
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reconciler.core.evidence import Metric as Measured
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import CANDIDATE, INCUMBENT, NOBODY, Entrance, Facts, Ruling
from reconciler.core.names import Slot, Version
from reconciler.gates.metric import Metric
from tests.build import CHURN

ENTRANCE = Entrance(CHURN, Version(5), Slot("Production"), Version(4))
# Some near each other, some on the edge of one another, and some at the ends of what a float can hold.
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-10, -1e-10, 0.45, 0.5, 0.55, 0.87, 0.89, 0.9, -1.0, -0.9, 1e308, -1e308, 5e-324]),
    st.floats(-1, 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAST = st.one_of(st.none(), st.sampled_from([0.01, 0.02, 0.1, 0.5]), st.floats(1e-9, 1, exclude_min=True))


def validates(gate: Metric, after: float, before: float | None) -> bool:
    """What MLflow says. 3.17 has it in one function, below those that want to have evaluated the models themselves."""
    validation: Any = import_module("mlflow.models.evaluation.validation")
    threshold = validation.MetricThreshold(
        threshold=gate.threshold,
        min_absolute_change=gate.min_absolute_change,
        min_relative_change=gate.min_relative_change,
        greater_is_better=gate.greater_is_better,
    )
    try:
        validation._validate({gate.name: threshold}, {gate.name: after}, {} if before is None else {gate.name: before})
    except validation.ModelValidationFailedException:
        return False
    return True


@settings(max_examples=300)  # MLflow is imported on the way
@given(VALUES, VALUES, st.one_of(st.none(), VALUES), LEAST, LEAST, st.booleans())
@example(0.45, 0.5, None, None, 0.1, False)
@example(0.55, 0.5, None, None, 0.1, True)
@example(0.5, 0.5, None, None, 0.0, True)
@example(1e-10, 0.0, None, None, 0.5, True)
@example(-1e-10, 0.0, None, None, 0.5, False)
@example(-0.9, -1.0, None, None, 0.1, True)
@example(0.89, 0.87, None, 0.02, None, True)
def test_the_gate_lets_in_what_mlflow_validates(
    after: float,
    before: float,
    threshold: float | None,
    absolute: float | None,
    relative: float | None,
    greater: bool,
) -> None:
    assume((threshold, absolute, relative) != (None, None, None))
    gate = Metric("f1", threshold, absolute, relative, greater)
    facts = Facts(
        {
            CANDIDATE: VersionFacts(CHURN, Version(5), metrics=(Measured("f1", after),)),
            INCUMBENT: VersionFacts(CHURN, Version(4), metrics=(Measured("f1", before),)),
        }
    )

    judgement = gate.judge(ENTRANCE, facts)

    assert judgement.ruling is (Ruling.PASS if validates(gate, after, before) else Ruling.FAIL)


@given(VALUES, VALUES, st.booleans())
def test_a_threshold_needs_no_incumbent_with_either(after: float, threshold: float, greater: bool) -> None:
    gate = Metric("f1", threshold, greater_is_better=greater)
    facts = Facts({CANDIDATE: VersionFacts(CHURN, Version(5), metrics=(Measured("f1", after),))})

    judgement = gate.judge(ENTRANCE, facts)

    assert judgement.ruling is (Ruling.PASS if validates(gate, after, None) else Ruling.FAIL)


def test_with_no_incumbent_mlflow_refuses_a_change_and_the_gate_does_not() -> None:
    gate = Metric("f1", min_absolute_change=0.1)
    facts = Facts({CANDIDATE: VersionFacts(CHURN, Version(5), metrics=(Measured("f1", 0.9),)), INCUMBENT: NOBODY})

    assert gate.judge(ENTRANCE, facts).ruling is Ruling.PASS
    assert not validates(gate, 0.9, None)


@pytest.mark.parametrize("least", [-0.1, 0.0])
def test_mlflow_takes_no_improvement_by_nothing(least: float) -> None:
    validation: Any = import_module("mlflow.models.evaluation.validation")

    with pytest.raises(validation.MetricThresholdClassException):
        validation.MetricThreshold(min_absolute_change=least, greater_is_better=True)
