"""Fixtures for all kinds of tests, and which of them may be skipped."""

import os
import re
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.postgres import mlflow_server_on_postgres, postgres, postgres_template, postgres_uri
from tests.servers import mlflow_server, mlflow_server_alone, server_with_users

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

__all__ = [
    "mlflow_server",
    "mlflow_server_alone",
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Where RECONCILER_MAY_SKIP is set, as in CI, a test that is skipped for another reason than that pattern finds fails:
    what is missing there is a fault of the set-up, and nobody reads a green run.
    """
    report = yield
    allowed = os.environ.get("RECONCILER_MAY_SKIP")
    if allowed is not None and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not (allowed and re.search(allowed, reason)):
            report.outcome = "failed"
            report.longrepr = f"{reason}, and RECONCILER_MAY_SKIP does not allow it."
    return report
