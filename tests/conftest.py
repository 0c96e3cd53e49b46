"""Fixtures for all kinds of tests."""

from tests.servers import mlflow_server

__all__ = ["mlflow_server"]
