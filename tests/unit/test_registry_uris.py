"""Registry URIs as they are shown: enough to know the place by, and no secret."""

import pytest

from reconciler.registry.mlflow import MlflowRegistry

SHOWN = {
    "https://mlflow.acme.example/team-a": "https://mlflow.acme.example/team-a",
    "https://ada:s3cret@mlflow.acme.example": "https://mlflow.acme.example",
    "https://ada:s3c@ret@mlflow.acme.example": "https://mlflow.acme.example",
    "postgresql://ada:s3c/ret@db.acme.example/mlflow": "postgresql://db.acme.example/mlflow",
    "mysql+pymysql://db.acme.example/mlflow?user=ada&password=s3cret&ssl=1": (
        "mysql+pymysql://db.acme.example/mlflow?user=ada&password=…&ssl=1"
    ),
    "sqlite:////home/ada@acme/registry.db": "sqlite:////home/ada@acme/registry.db",
}


@pytest.mark.parametrize(("uri", "shown"), SHOWN.items())
def test_a_uri_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    assert MlflowRegistry(uri, uri).uri == shown
