"""Our belief about the ids of runs: MLflow accepts every one that a manifest may name."""

from hypothesis import given
from mlflow.utils.validation import (
    _validate_run_id,  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]  # MLflow has no public one
)

from tests.manifest_texts import run_ids


@given(run_ids)
def test_mlflow_accepts_every_run_id_that_we_accept(run_id: str) -> None:
    _validate_run_id(run_id)
