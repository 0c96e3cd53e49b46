"""Fixtures for all kinds of tests, and which of them may be skipped."""

import gc
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from multiprocessing.util import Finalize
from pathlib import Path

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


MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3
"""Bytes; many times what the first half of a run was seen to use."""


def pytest_configure() -> None:
    """
    Temporary files are kept in memory where there is room, until the run is over: repositories and databases are
    written all the time, and a disk is waited for. Where TMPDIR is set they are there, and stay.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    memory = os.statvfs(MEMORY)
    if memory.f_bavail * memory.f_frsize < ROOM or memory.f_flag & os.ST_NOEXEC:
        return
    folder = tempfile.mkdtemp(prefix="r-", dir=MEMORY)  # short, as addresses of sockets are
    Path(folder).chmod(0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    # Behind multiprocessing's own: it has a folder in there. A process that is forked from this one leaves it.
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)


def pytest_collection_finish() -> None:
    """What is there before the first test stays: it need not be searched for garbage again and again."""
    gc.collect()
    gc.freeze()


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
