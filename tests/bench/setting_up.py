"""
What setting up costs, in bare clones of the commit at hand: `make demo` from nothing, and what a job of CI installs.
Prints seconds, mebibytes and packages; a second run finds the package cache warm.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parents[2]


def timed(*command: str, folder: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return time.perf_counter() - began


def size(environment: Path) -> str:
    packages = {path.name for path in environment.rglob("*.dist-info")}
    files = {path.stat().st_ino: path.stat().st_size for path in environment.rglob("*") if path.is_file()}
    return f"{len(packages)} packages, {sum(files.values()) / 2**20:.0f} MiB"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        clone, job = Path(scratch) / "clone", Path(scratch) / "job"
        timed("git", "clone", "--quiet", str(TOP), str(clone), folder=Path(scratch))
        ready = timed("make", ".venv/.ready", folder=clone)
        print(f"make demo, setting up: {ready:.0f} s, {size(clone / '.venv')}", flush=True)
        shown = timed("make", "demo", folder=clone)
        print(f"make demo, the rest:   {shown:.0f} s; {ready + shown:.0f} s in all", flush=True)
        lock = str(clone / "reconciler" / "scaffold" / "reconciler.lock")
        timed(sys.executable, "-m", "venv", str(job), folder=clone)
        pip = (str(job / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes")
        print(f"a job's dependencies:  {timed(*pip, '-r', lock, folder=clone):.0f} s, {size(job)}")


if __name__ == "__main__":
    main()
