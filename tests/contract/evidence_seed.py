"""
Fills a server for test_evidence.py as data scientists do, with MLflow's fluent functions. In a process of their own,
because they keep their settings for the whole process. Prints what the server has made up.
"""

import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

CHURN, PLAIN, HOSTILE, STAGED = sys.argv[1:]
COMMIT = "c0ffee" * 6 + "abcd"
VAGUE = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.10}
  xgboost: {xgb_version: 2.10, data: model.xgb}
"""
ASKED_FOR = """\
# what it needs
xgboost==2.10   # the library

--extra-index-url https://ada:s3cret@pypi.acme.example/simple
scoring @ git+https://t0ken@github.com/acme/scoring.git@v1
"""

mlflow_: Any = mlflow
client: Any = MlflowClient()
mlflow_.set_experiment("evidence <b>")
rows: Any = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "visits": [1, 0, 1, 0]})
churned = np.array([0, 1, 0, 1])
held_out = mlflow_.data.from_pandas(rows.assign(churned=churned), name="held-out", targets="churned")
last_year = mlflow_.data.from_pandas(rows.assign(churned=1 - churned), name="last year", targets="churned")


def log_model(**options: Any) -> Any:
    model: Any = LogisticRegression()
    model.fit(rows, churned)
    return mlflow_.sklearn.log_model(
        model,
        name="model",
        signature=mlflow_.models.infer_signature(rows, model.predict(rows), params={"threshold": 0.5}),
        pip_requirements=["scikit-learn==1.9.1"],
        **options,
    )


with mlflow_.start_run(run_name="train") as run:
    mlflow_.log_params({"C": 1, "note": HOSTILE})
    mlflow_.set_tags({"mlflow.source.git.commit": COMMIT, "mlflow.user": "ada"})
    mlflow_.set_tag("mlflow.source.name", "https://ada:s3cret@git.acme.example/train.git#main.py")
    mlflow_.log_metric("loss", 0.9, step=1)
    mlflow_.log_metric("loss", 0.3, step=2)
    trained = log_model(params={"penalty": "l1"})
    mlflow_.log_param("penalty", "l2")
    for value, step in ((0.5, 1), (0.93, 2)):
        mlflow_.log_metric("auc", value, step=step, dataset=held_out, model_id=trained.model_id)
    mlflow_.log_metric("auc", 0.81, dataset=last_year, model_id=trained.model_id)
    mlflow_.log_metric("undefined", float("nan"), model_id=trained.model_id)
    folder = Path("vague")
    folder.mkdir()
    (folder / "MLmodel").write_text(VAGUE)
    (folder / "requirements.txt").write_text(ASKED_FOR)
    (folder / "data").mkdir()
    (folder / "data" / "model.xgb").write_bytes(b"x" * 1000)
    mlflow_.log_artifacts(str(folder), "vague")
    mlflow_.log_artifact(str(folder / "data" / "model.xgb"), "bare")
with mlflow_.start_run(run_name="two at once") as several:
    first, second = log_model(), log_model()
    mlflow_.log_metric("auc", 0.95, dataset=held_out, model_id=first.model_id)
    mlflow_.log_metric("auc", 0.55, dataset=held_out, model_id=second.model_id)
    mlflow_.log_metric("f1", 0.4, model_id=second.model_id)
with mlflow_.start_run(run_name="deleted") as deleted:
    mlflow_.log_metric("auc", 0.6)
    mlflow_.log_artifacts(str(folder), "vague")

mlflow_.register_model(trained.model_uri, CHURN, tags={"reconciler.provenance": STAGED, "mlflow.note": "x"})
client.set_model_version_tag(CHURN, "1", "review", HOSTILE)
client.update_model_version(CHURN, "1", "Trained on\nMonday.")
mlflow_.register_model(first.model_uri, CHURN)
client.copy_model_version(f"models:/{CHURN}/1", CHURN)

store = client._get_registry_client().store
store.transition_model_version_stage(CHURN, "1", "Production", False)
store.transition_model_version_stage(CHURN, "2", "Staging", False)
client.create_registered_model(PLAIN)
artifacts = run.info.artifact_uri
for source, run_id in (
    (f"{artifacts}/bare", run.info.run_id),
    (f"runs:/{run.info.run_id}/vague", run.info.run_id),
    ("teapot://shelf/model", None),
    (f"{artifacts}/nothing", run.info.run_id),
    ("teapot://shelf/model", "0" * 32),
    (f"runs:/{deleted.info.run_id}/vague", deleted.info.run_id),
    (f"runs:/{run.info.run_id}/model", run.info.run_id),
):
    store.create_model_version(PLAIN, source, run_id=run_id)
client.delete_run(deleted.info.run_id)
print(run.info.run_id, trained.model_id, held_out.digest, last_year.digest)
