"""
Fills a server for test_checks.py, in a process of its own: MLflow keeps its settings for the whole process. Prints
where the files are that a test replaces.
"""

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

(MODEL,) = sys.argv[1:]
SPEAKS = """
import json, os
print("SEEN", json.dumps(dict(os.environ)), flush=True)
"""


class Hostile:
    """Runs when it is unpickled: says what it sees, then ends the process as if all were well, or hangs."""

    def __init__(self, then: str) -> None:
        self.then = then

    def __reduce__(self) -> Any:
        return exec, (SPEAKS + self.then,)


mlflow_: Any = mlflow
client: Any = MlflowClient()
rows: Any = pd.DataFrame({"age": [float(n) for n in range(40)], "visits": [float(n % 3) for n in range(40)]})
churned = (rows["age"] > 20).astype(int)
model: Any = LogisticRegression()
model.fit(rows, churned)

options = {"pip_requirements": ["scikit-learn"], "serialization_format": "cloudpickle"}
runless = mlflow_.sklearn.log_model(model, name="model", **options)

with mlflow_.start_run(run_name="train") as run:
    good = mlflow_.sklearn.log_model(model, name="model", **options)
    mlflow_.sklearn.save_model(model, "plain", **options)
    for name, then in (("leaves", "os._exit(0)"), ("hangs", "import time; time.sleep(300)")):
        shutil.copytree("plain", name)
        (Path(name) / "model.pkl").write_bytes(pickle.dumps(Hostile(then)))
        mlflow_.log_artifacts(name, name)
    mlflow_.log_artifacts("plain", "replaced")
    Path("plain/model.pkl").unlink()
    mlflow_.log_artifacts("plain", "gap")

store = client._get_registry_client().store
mlflow_.register_model(good.model_uri, MODEL)
mlflow_.register_model(runless.model_uri, MODEL)
artifacts = run.info.artifact_uri
for folder in ("leaves", "hangs", "replaced", "gap", "nothing"):
    store.create_model_version(MODEL, f"{artifacts}/{folder}", run_id=run.info.run_id)
print(run.info.run_id, artifacts.removeprefix("mlflow-artifacts:/"))
