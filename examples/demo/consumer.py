"""
A consumer as there are many: it loads `models:/<name>/Production` over and over, scores one applicant with it, and
writes a line for each load. A line on its standard input is another address to load from. It stops when that is closed,
so it cannot outlive the demo.

    python consumer.py RiskClassifier
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from training import APPLICATION, quieten_mlflow

PAUSE = 0.4
PATIENCE = 90.0


@dataclass(frozen=True)
class Load:
    """One load: when it began and ended by the machine's monotonic clock, what came of it, or why nothing did."""

    began: float
    ended: float
    version: int = 0
    score: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Reign:
    """A span of time at whose every moment a version may have been the one in Production."""

    version: int
    since: float
    until: float


class Consumer:
    """The process, seen from the demo."""

    def __init__(self, model: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as lines:
            self._process = subprocess.Popen(
                [sys.executable, __file__, model], stdin=subprocess.PIPE, stdout=lines, stderr=subprocess.DEVNULL
            )

    def load_from(self, address: str) -> None:
        """Have it load from there from now on."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{address}\n".encode())
            self._process.stdin.flush()

    def loads(self) -> list[Load]:
        """All loads so far."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [Load(**json.loads(line)) for line in lines if line.endswith("\n")]

    def wait_for_load(self, since: float) -> list[Load]:
        """Come back when a load has ended that began after that moment; with all loads."""
        deadline = time.monotonic() + PATIENCE
        while not any(load.began > since for load in self.loads()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The consumer has stopped loading.")
            time.sleep(0.1)
        return self.loads()

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def wrong(loads: Sequence[Load], reigns: Sequence[Reign], scores: dict[int, float]) -> list[Load]:
    """
    The loads that gave a version which was not in Production at any moment between their beginning and their end, or a
    score that is not that version's.
    """

    def reigned(load: Load) -> bool:
        return any(r.version == load.version and r.since <= load.ended and load.began <= r.until for r in reigns)

    def scored(load: Load) -> bool:
        return abs(scores.get(load.version, -1.0) - load.score) < 1e-6

    return [load for load in loads if not load.error and not (reigned(load) and scored(load))]


def succession(loads: Sequence[Load]) -> list[tuple[int, int]]:
    """The versions in the order in which they were seen, and how often each was loaded before the next one came."""
    versions = (load.version for load in loads if not load.error)
    return [(version, len(list(loaded))) for version, loaded in groupby(versions)]


def consume(model: str) -> None:
    import mlflow
    import pandas as pd

    quieten_mlflow()
    client: Any = mlflow.MlflowClient()
    version_of = {row.run_id: int(row.version) for row in client.search_model_versions(f"name = '{model}'")}
    address = f"models:/{model}/Production"
    while True:
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            told = sys.stdin.readline()
            if not told:
                return
            address = told.strip()
        began = time.monotonic()
        try:
            loaded: Any = mlflow.pyfunc.load_model(address)
            score = float(loaded.predict(pd.DataFrame([APPLICATION]))[0][1])
            # The loaded files say themselves which run they come from: nobody is asked what Production is.
            load = Load(began, time.monotonic(), version_of[loaded.metadata.run_id], score)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong is what the demo wants to know
            load = Load(began, time.monotonic(), error=f"{type(error).__name__}: {error}")
        print(json.dumps(asdict(load)), flush=True)


if __name__ == "__main__":
    consume(sys.argv[1])
