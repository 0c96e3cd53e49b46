"""
What runs inside the sandbox on our behalf, as a script of its own. It says how it went in the file
RECONCILER_CHECK_RESULT: a model whose code ends the process says nothing there, whatever its exit code.

Arguments, the last one in JSON but for a word, which is put into the result:

- `load WORD`: the model is loaded;
- `features`: the columns of a table but the targets are written to another one;
- `predict`: the model predicts from such a table, and its predictions are the result;
- `score`: predictions are held against the table with the targets. Here is no code of the model.
"""

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EVALUATED_AS_MODELS = ("classifier", "regressor")


def main(step: str, told: str) -> int:
    if step == "load":
        _load()
        _tell({"word": told})
        return 0
    asked: dict[str, Any] = json.loads(told)
    if step == "features":
        return features(asked)
    return predict(asked) if step == "predict" else score(asked)


def _load() -> Any:
    import mlflow.pyfunc

    loaded: Any = mlflow.pyfunc
    return loaded.load_model(os.environ["MODEL_PATH"])


def features(asked: Mapping[str, Any]) -> int:
    source, target, targets = Path(asked["data"]), Path(asked["features"]), asked["targets"]
    if targets is None:
        shutil.copyfile(source, target)
    elif source.suffix.lower() == ".csv":
        # As text: a number that is read and written again may be another one.
        with source.open(newline="", encoding="utf-8-sig") as reading, target.open("w", newline="") as writing:
            rows = csv.reader(reading)
            header = next(rows, list[str]())
            kept = [i for i, name in enumerate(header) if name != targets]
            csv.writer(writing).writerows([row[i] for i in kept if i < len(row)] for row in (header, *rows))
    else:
        table = _table(source)
        table.drop(columns=[name for name in table.columns if name == targets]).to_parquet(target)
    return 0


def predict(asked: Mapping[str, Any]) -> int:
    model = _load()
    table = _table(Path(asked["features"]))
    raw = _raw(model)
    probabilities = getattr(raw, "predict_proba", None)
    told = {
        "predictions": _listed((model if raw is None else raw).predict(table.copy())),
        "probabilities": None if probabilities is None else _listed(probabilities(table.copy())),
    }
    _tell(told)
    return 0


def _raw(model: Any) -> Any:
    """The model as its library made it, where MLflow evaluates that one (seen in 2.9 to 3.18)."""
    import mlflow.models.evaluation.default_evaluator as evaluator

    extract: Any = getattr(evaluator, "_extract_raw_model", None)
    raw = None if extract is None else extract(model)[1]
    # A bare Booster takes no table.
    return None if type(raw).__name__ == "Booster" else raw


def _listed(values: Any) -> Any:
    if hasattr(values, "columns") and len(values.columns) == 1:
        values = values.iloc[:, 0]
    if hasattr(values, "to_dict") and hasattr(values, "columns"):
        return values.to_dict("records")
    return values.tolist() if hasattr(values, "tolist") else list(values)


class _Answers:
    """What a model has predicted, in its place."""

    def __init__(self, predictions: Any) -> None:
        self._predictions = predictions

    def predict(self, _table: Any, **_options: Any) -> Any:
        return self._predictions


class _LikelyAnswers(_Answers):
    def __init__(self, predictions: Any, probabilities: Any) -> None:
        super().__init__(predictions)
        self._probabilities = probabilities

    def predict_proba(self, _table: Any, **_options: Any) -> Any:
        return self._probabilities


def score(asked: Mapping[str, Any]) -> int:
    # `evaluate` logs what it does to a run; nobody looks at this one. A database takes seconds to make its tables.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow
    import numpy as np

    flow: Any = mlflow
    flow.set_tracking_uri(Path(os.environ["HOME"], "evaluation").as_uri())
    flow.set_registry_uri(Path(os.environ["HOME"], "evaluation").as_uri())
    table = _table(Path(asked["data"]))
    told: Any = json.loads(Path(asked["predictions"]).read_bytes() or b"{}")
    predictions, probabilities = told.get("predictions"), told.get("probabilities")
    for answers in (predictions, probabilities):
        if answers is not None and len(answers) != len(table):
            print(f"it predicted {len(answers)} of {len(table)} rows")  # noqa: T201
            return 2
    if predictions is None:
        print("it predicted nothing")  # noqa: T201
        return 2
    options: dict[str, Any] = {"targets": asked["targets"], "model_type": asked["model_type"], "evaluators": "default"}
    if asked["model_type"] in EVALUATED_AS_MODELS:
        array = np.asarray(predictions)
        likely = None if probabilities is None else np.asarray(probabilities, dtype=float)
        options["model"] = _as_model(_Answers(array) if likely is None else _LikelyAnswers(array, likely))
    else:
        table["reconciler-predictions"] = predictions
        options["predictions"] = "reconciler-predictions"
    # Plots and explanations take minutes, and are shown to nobody.
    plain = {"log_explainer": False, "log_model_explainability": False}
    result = flow.models.evaluate(data=table, evaluator_config=plain, **options)
    numbers = {str(name): _number(value) for name, value in result.metrics.items()}
    metrics = {name: number for name, number in numbers.items() if number is not None}
    missed = faults(asked["thresholds"], result.metrics)
    for fault in missed:
        print(fault)  # noqa: T201
    _tell({"metrics": metrics, "faults": missed})
    return 1 if missed else 0


def _as_model(answers: _Answers) -> Any:
    """A model of the one kind that MLflow asks for probabilities whatever its library is."""
    import mlflow.models
    import mlflow.pyfunc

    models: Any = mlflow.models
    pyfunc: Any = mlflow.pyfunc
    described = models.Model()
    described.add_flavor("python_function", loader_module="mlflow.sklearn", env={})
    return pyfunc.PyFuncModel(described, answers)


def _table(path: Path) -> Any:
    import pandas as pd

    frames: Any = pd
    return frames.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else frames.read_csv(path)


def faults(thresholds: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[str]:
    """
    What is to be said of each threshold that is not met, in the order of the names. A bound is met by its own value, as
    with MLflow's `MetricThreshold`.
    """
    missed: list[str] = []
    for name, told in sorted(thresholds.items()):
        value, threshold = _number(metrics.get(name)), told["threshold"]
        if value is None or math.isnan(value):
            missed.append(f"{name} is not among the metrics, or is not a number")
        elif told["greater_is_better"] and value < threshold:
            missed.append(f"{name} is {_beside(value, threshold)}, but must be at least {threshold:.12g}")
        elif not told["greater_is_better"] and value > threshold:
            missed.append(f"{name} is {_beside(value, threshold)}, but must be at most {threshold:.12g}")
    return missed


def _beside(value: float, threshold: float) -> str:
    """A value in as many digits as it takes to see that it is not the threshold."""
    return next((text for text in (f"{value:.6g}", f"{value:.12g}") if float(text) != threshold), repr(value))


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes | bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _tell(told: Mapping[str, Any]) -> None:
    Path(os.environ["RECONCILER_CHECK_RESULT"]).write_text(json.dumps(told, default=str), encoding="utf-8")


if __name__ == "__main__":
    # As it ends here, threads that a model has begun do not keep it going.
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
