"""Timed processes, one after the other, and the few figures that are made of them."""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Usage(NamedTuple):
    """
    What a process took: seconds from start to end, seconds of CPU time, and the most memory. The last is never
    below what this process has, whose memory a new one shares at first; so MLflow is not imported here.
    """

    seconds: float
    cpu: float
    peak_kib: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of `probe.py`, and what it found."""

    whole: Usage
    found: Mapping[str, Any]

    @property
    def work(self) -> float:
        """The seconds without the imports."""
        return float(self.found["seconds"])


def run(command: Sequence[str], folder: Path) -> Usage:
    """Run a process that prints nothing of interest."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')[-4000:]}")
    # Kilobytes on Linux, bytes on macOS.
    peak = usage.ru_maxrss // 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return Usage(seconds, usage.ru_utime + usage.ru_stime, peak)


def run_forked(command: Sequence[str], folder: Path) -> Usage:
    """The same for a Python script, in a fork of this process, which has imported what the script does."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        if (pid := os.fork()) == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.chdir(folder)
            sys.argv[:] = command[1:]
            code = 1
            try:
                runpy.run_path(command[1], run_name="__main__")
                code = 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status, usage = os.wait4(pid, 0)
        if status:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')[-4000:]}")
    return Usage(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def environment() -> dict[str, str]:
    """Our own without what could steer MLflow or reconciler; and nothing is told to the outside."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RECONCILER_"))}
    return {**ours, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def probe(folder: Path, *arguments: str, forked: bool = False) -> Ran:
    """One run of `probe.py`, in a new process."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        whole = (run_forked if forked else run)(
            [sys.executable, str(ROOT / "tests/bench/probe.py"), str(result), *arguments], folder
        )
        return Ran(whole, json.loads(result.read_text(encoding="utf-8")))


def interleaved(repeats: int, **jobs: Callable[[], Ran]) -> dict[str, list[Ran]]:
    """Each job in turn, as often as asked for: what disturbs the machine for a while then disturbs them all."""
    ran: dict[str, list[Ran]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            ran[name].append(job())
    return ran


def fastest(runs: Sequence[Ran]) -> float:
    """The work of the run that was disturbed least."""
    return min(run.work for run in runs)


def fastest_whole(runs: Sequence[Ran]) -> float:
    return min(run.whole.seconds for run in runs)
