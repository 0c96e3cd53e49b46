"""What was measured. Seconds are those of the fastest of several runs, taken in turns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

NEAR = "loopback"
FAR = "20 ms link"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    `plan` on one registry over one way there, beside what it is compared with. `plan`, `changed` and `script` are the
    work itself, with MLflow imported already; the same names with `_whole` are processes from start to end.
    """

    way: str
    models: int
    versions: int
    repeats: int
    requests: int
    size: int
    bare: float
    plan: float
    plan_whole: float
    peak_kib: int
    changed_models: int
    changed: float
    changed_whole: float
    changed_requests: int
    script_models: int
    script_requests: int
    script: float
    script_whole: float


@dataclass(frozen=True, slots=True)
class Applying:
    """
    `apply` of some promotions, beside its own write calls made bare on models of the same kind. `writing` is from the
    first write to the last, with the reads between them.
    """

    models: int
    of_models: int
    repeats: int
    writes: int
    reads: int
    threads: int
    apply: float
    apply_whole: float
    writing: float
    bare_in_turn: float
    bare_in_threads: float
    bare_reads: float


@dataclass(frozen=True, slots=True)
class Offline:
    """The commands that need no registry, as whole processes."""

    repeats: int
    python: float
    help: float
    help_imports: float
    validate_imports: float
    validate_few: float
    few: int
    validate_many: float
    many: int
    without_mlflow: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """The work of a command by how many models there are, all imported."""

    command: str
    seconds: Mapping[int, float]

    def exponents(self) -> tuple[tuple[int, int, float], ...]:
        """From one size to the next: 1 is as fast as the models, 2 is their square."""
        return tuple(
            (a, b, math.log(self.seconds[b] / self.seconds[a]) / math.log(b / a)) for a, b in pairwise(self.seconds)
        )


@dataclass(frozen=True, slots=True)
class Remembering:
    """`history` of one model and `as-of`, beside git's own listing of the files that each commit changed."""

    models: int
    commits: int
    receipts: int
    repeats: int
    listing: float
    history: float
    as_of: float


@dataclass(frozen=True, slots=True)
class Copying:
    """A version that is brought from another registry: the seconds of `cp`, of the bare requests, and of all of it."""

    mebibytes: int
    files: int
    repeats: int
    cp: float
    bare: float
    bring: float


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    python: str
    mlflow: str
    reconciler: str
    system: str
    date: str
    workers: str
    load_before: float
    load_after: float


@dataclass(frozen=True, slots=True)
class Results:
    machine: Machine
    offline: Offline
    readings: tuple[Reading, ...]
    applying: Applying
    growth: tuple[Growth, ...]
    remembering: Remembering
    copying: Copying

    def along(self, way: str) -> tuple[Reading, ...]:
        return tuple(reading for reading in self.readings if reading.way == way)

    def growth_kib(self) -> tuple[tuple[int, int, float], ...]:
        """From one size to the next: KiB of peak memory a version."""
        return tuple(
            (a.versions, b.versions, (b.peak_kib - a.peak_kib) / (b.versions - a.versions))
            for a, b in pairwise(self.along(NEAR))
        )
