"""Processes that the bench starts and ends: an MLflow server, and a slow link to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.bench.measure import environment

HERE = Path(__file__).parent
STARTS_WITHIN = 180.0


@contextmanager
def mlflow_server(database: str, folder: Path, workers: int | None = None) -> Generator[str]:
    """A server with MLflow's own settings, in a process group of its own; `workers` None leaves MLflow's default."""
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    command += [] if workers is None else ["--workers", str(workers)]
    uri = f"http://127.0.0.1:{port}"
    with _running(command, folder / "server.log") as process:
        _wait_for(uri, process, folder / "server.log")
        yield uri


@contextmanager
def slow_link(uri: str, round_trip: float, folder: Path) -> Generator[str]:
    """The same server, as far away as `round_trip` seconds make it."""
    port, target = _free_port(), uri.rpartition(":")[2]
    command = [sys.executable, str(HERE / "link.py"), str(port), target, str(round_trip)]
    with _running(command, folder / "link.log") as process:
        _wait_for(f"http://127.0.0.1:{port}", process, folder / "link.log")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], log: Path) -> Generator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(15)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def _wait_for(uri: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{uri}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise SystemExit(f"{uri} did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
