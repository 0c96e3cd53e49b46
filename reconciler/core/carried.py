"""What goes with a version from one registry to another besides its files: the figures of its run and logged model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KEPT_RUN_TAGS = frozenset({"mlflow.runName", "mlflow.user", "mlflow.note.content"})
KEPT_PREFIXES = ("mlflow.source.", "mlflow.project.")


def is_kept(key: str) -> bool:
    """
    Whether a tag of a run is true of its copy, too: people's own are, and where it was trained from. What MLflow and we
    write of a run's place among others, of its page or of its records, is of the one run alone.
    """
    if not key.startswith(("mlflow.", "reconciler.")):
        return True
    return key in KEPT_RUN_TAGS or key.startswith(KEPT_PREFIXES)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, as it was logged."""

    key: str
    value: float
    timestamp: int
    step: int
    dataset: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """A dataset that a run was given; `tags` say what for."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CarriedRun:
    """A run, but for the course of its `metrics`, whose names are here. Times are in milliseconds since 1970."""

    name: str
    user: str
    status: str
    start: int
    end: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[str, ...]
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class CarriedModel:
    """A logged model of MLflow 3."""

    name: str
    type: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """
    A version as it is to be copied: its run and when it was registered, in milliseconds since 1970, and what belongs to
    it. `path` is what its run calls the model; `run` and `model` are None where it has none, or they are gone.
    """

    run_id: str
    created_at: int
    path: str
    run: CarriedRun | None = None
    model: CarriedModel | None = None
