"""Fixtures for all kinds of tests."""

import pytest

from tests.postgres import mlflow_server_on_postgres, postgres, postgres_template, postgres_uri
from tests.servers import mlflow_server, server_with_users

__all__ = [
    "mlflow_server",
    "mlflow_server_on_postgres",
    "postgres",
    "postgres_template",
    "postgres_uri",
    "server_with_users",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what people read anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
