"""What is said of servers that answer, but not as MLflow does, and of databases that cannot be reached from here."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from reconciler.adapters.mlflow_registry import MlflowRegistry, translated
from reconciler.core.names import Ours, Version
from reconciler.errors import RegistryError
from reconciler.ports import Wanted
from tests.build import CHURN, OURS

WANTED = Wanted({CHURN: frozenset({Version(1)})}, Ours(OURS))
NOTHING: dict[str, Any] = {}


@contextmanager
def server(answers: Mapping[str, Any]) -> Generator[str]:
    """A server that answers each request whose path holds a key with that JSON, and all others with an empty object."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(next((answer for part, answer in answers.items() if part in self.path), NOTHING)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def listing(version: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "registered-models": {"registered_models": [{"name": CHURN}]},
        "model-versions": {"model_versions": [{"name": CHURN, **version}]},
    }


ODD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a text where a list belongs": {"registered-models": {"registered_models": "churn"}},
    "a stage that MLflow does not have": listing({"version": "1", "current_stage": "Canary"}),
    "no stages, as Unity Catalog": listing({"version": "1"}),
    "a version that is no number": listing({"version": "one", "current_stage": "None"}),
    "a version that is null": listing({"version": None, "current_stage": "None"}),
    "a list where an object belongs": {"registered-models": {"registered_models": [["churn"]]}},
    "an alias of no number": {
        "registered-models": {"registered_models": [{"name": CHURN, "aliases": [{"alias": "a", "version": "x"}]}]}
    },
}


@pytest.mark.parametrize("answers", ODD.values(), ids=ODD.keys())
def test_an_answer_that_mlflow_would_not_give_is_an_error_of_the_registry(answers: dict[str, Any]) -> None:
    with server(answers) as uri, pytest.raises(RegistryError) as refused:
        MlflowRegistry(uri, uri).snapshot(WANTED)

    assert refused.value.code == "unexpected-answer"
    assert uri in refused.value.message


def test_a_database_without_its_driver_is_told_by_name() -> None:
    uri = "mssql+pyodbc://ada:s3c/ret@db.acme.example/mlflow"

    with pytest.raises(RegistryError) as refused:
        MlflowRegistry(uri, uri).snapshot(WANTED)

    assert refused.value.code == "no-driver"
    assert "pyodbc" in refused.value.message
    assert "s3c" not in str(refused.value)


@pytest.mark.parametrize("said", ["No route to it", "No route to it."])
def test_what_was_said_ends_before_what_to_do_begins(said: str) -> None:
    with pytest.raises(RegistryError) as refused, translated("http://mlflow"):
        raise MlflowException(said)

    assert str(refused.value).startswith("http://mlflow said: No route to it. Check the address")
