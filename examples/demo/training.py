"""What the data scientists did before the story begins: models that were trained, measured, and registered."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# The types of scikit-learn and MLflow are partial.

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APPLICATION = {"income": 0.4, "debt": -1.2, "age": 0.9, "tenure": 0.1, "assets": 1.5, "arrears": -0.3}
"""One applicant, whose score tells the models apart."""


@dataclass(frozen=True)
class Trained:
    """A registered version, what it is, and how it scores the one applicant."""

    version: int
    kind: str
    f1: float
    score: float


def quieten_mlflow() -> None:
    """Leave the terminal to the story: no deprecations, no migrations of the database, no hints about pickles."""
    warnings.simplefilter("ignore")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def train(name: str, data: int, degrees: Iterable[int], artifacts: Path) -> list[Trained]:
    """
    Train on the same data a logistic regression over products of up to so many features, for each of these degrees, and
    register each as the next version of a new model.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature
    from mlflow.sklearn import log_model
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    quieten_mlflow()
    rows, labels = make_classification(2000, 6, n_informative=5, n_redundant=0, flip_y=0.03, random_state=data)
    applications = pd.DataFrame(rows, columns=pd.Index(APPLICATION))
    x_train, x_test, y_train, y_test = train_test_split(applications, labels, random_state=data)
    client: Any = mlflow.MlflowClient()
    experiment = client.create_experiment(name, artifact_location=artifacts.as_uri())
    client.create_registered_model(name)
    trained: list[Trained] = []
    for degree in degrees:
        kind = f"degree {degree}"
        with mlflow.start_run(experiment_id=experiment, run_name=kind) as run:
            regression = LogisticRegression(max_iter=3000)
            model: Any = make_pipeline(PolynomialFeatures(degree), StandardScaler(), regression)
            model.fit(x_train, y_train)
            f1 = float(f1_score(y_test, model.predict(x_test)))
            score = float(model.predict_proba(pd.DataFrame([APPLICATION]))[0][1])
            mlflow.log_metric("f1", f1)
            logged = log_model(
                model,
                name="model",
                signature=infer_signature(x_test, model.predict_proba(x_test)),
                pip_requirements=["scikit-learn"],
                pyfunc_predict_fn="predict_proba",
            )
            registered = client.create_model_version(name, logged.model_uri, run.info.run_id)
            trained.append(Trained(int(registered.version), kind, f1, score))
    return trained
