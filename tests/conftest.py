"""Fixtures for all kinds of tests."""

from pathlib import Path

import pytest

from tests.servers import mlflow_server, server_with_users

__all__ = ["mlflow_server", "server_with_users"]

NOT_YET = Path(__file__).with_name("not_yet.txt")
"""The tests of what is promised and not built yet, a line each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what people read anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    listed = frozenset(NOT_YET.read_text(encoding="utf-8").splitlines()) if NOT_YET.exists() else frozenset[str]()
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.xfail(strict=False, reason=f"not built yet: see {NOT_YET.name}"))


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
