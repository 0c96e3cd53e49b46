"""
What runs inside the sandbox on our behalf, as a script of its own: load a model, or evaluate it. It says how it went in
the file RECONCILER_CHECK_RESULT: a model whose code ends the process says nothing there, whatever its exit code.

Arguments: `load` and a word; or `evaluate`, a word, and what to evaluate, in JSON. The word is put into the result.
"""

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    if arguments[0] == "load":
        return load(arguments[1])
    return evaluate(arguments[1], json.loads(arguments[2]))


def load(word: str) -> int:
    import mlflow.pyfunc

    loaded: Any = mlflow.pyfunc
    loaded.load_model(os.environ["MODEL_PATH"])
    _tell({"word": word})
    return 0


def evaluate(word: str, asked: Mapping[str, Any]) -> int:
    import mlflow

    flow: Any = mlflow
    # `evaluate` logs what it does to a run; nobody looks at this one.
    flow.set_tracking_uri(f"sqlite:///{os.environ['HOME']}/evaluation.db")
    flow.set_registry_uri(f"sqlite:///{os.environ['HOME']}/evaluation.db")
    result = flow.models.evaluate(
        model=os.environ["MODEL_PATH"],
        data=_table(Path(asked["data"])),
        targets=asked["targets"],
        model_type=asked["model_type"],
        evaluators="default",
        # Plots and explanations take minutes, and are shown to nobody.
        evaluator_config={"log_explainer": False, "log_model_explainability": False},
    )
    metrics = {str(name): float(value) for name, value in result.metrics.items() if _is_number(value)}
    missed = faults(asked["thresholds"], result)
    for fault in missed:
        print(fault)  # noqa: T201
    _tell({"word": word, "metrics": metrics, "faults": missed})
    return 1 if missed else 0


def _table(path: Path) -> Any:
    import pandas as pd

    frames: Any = pd
    return frames.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else frames.read_csv(path)


def faults(thresholds: Mapping[str, Mapping[str, Any]], result: Any) -> list[str]:
    """What MLflow says of each threshold that is not met, in the order of the names."""
    import mlflow
    from mlflow.exceptions import MlflowException

    flow: Any = mlflow
    missed: list[str] = []
    for name, told in sorted(thresholds.items()):
        value = result.metrics.get(name)
        if not _is_number(value) or math.isnan(float(value)):
            missed.append(f"{name} is not among the metrics, or no number")
            continue
        threshold = flow.models.MetricThreshold(**told)
        try:
            flow.validate_evaluation_results({name: threshold}, result)
        except MlflowException as error:
            if type(error).__name__ != "ModelValidationFailedException":
                raise
            bound = "at least" if told["greater_is_better"] else "at most"
            missed.append(f"{name} is {float(value):.6g}, and has to be {bound} {told['threshold']:g}")
    return missed


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str | bytes | bool)


def _tell(told: Mapping[str, Any]) -> None:
    Path(os.environ["RECONCILER_CHECK_RESULT"]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    # As it ends here, threads that a model has begun do not keep it going.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
