"""What a hundred models more cost is the same, however many there are: counted, and never timed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core.plan import PlanOptions, build_plan
from reconciler.errors import Validation
from reconciler.project import validation
from tests.build import P, S, desired, have, owns, registry, want
from tests.counting import counting

SIZES = (50, 100, 150)


def plan_all(size: int, _folder: Path) -> None:
    """A plan in which every model changes."""
    names = [f"model-{number:03}" for number in range(size)]
    wanted = desired(*(want({P: [2]}, {"champion": 2}, name=name) for name in names))
    there = registry(*(have({1: P, 2: S}, {"champion": 1}, owner=owns(P, "champion"), name=name) for name in names))
    plan = build_plan(wanted, there, PlanOptions(force=True))
    assert (plan.summary.promote, plan.summary.unchanged, len(plan.model_digests)) == (size, 0, size)


def validate_all(size: int, folder: Path) -> None:
    """Manifests, each in a file of its own."""
    place = folder / f"of-{size}"
    (place / ".git").mkdir(parents=True, exist_ok=True)
    (place / "manifests").mkdir(exist_ok=True)
    for number in range(size):
        text = f"model: model-{number}\nstages:\n  Production: 1\n"
        (place / "manifests" / f"model-{number}.yaml").write_text(text)
    assert validation([place / "manifests"]) == Validation(size, size)


@pytest.mark.parametrize("work", [plan_all, validate_all])
def test_work_grows_as_the_models_do(tmp_path: Path, work: Callable[[int, Path], None]) -> None:
    work(SIZES[0], tmp_path)  # what is found out once is known after it
    counts: list[int] = []
    for size in SIZES:
        with counting() as calls:
            work(size, tmp_path)
        counts.append(sum(number for name, number in calls.items() if name.startswith("reconciler.")))

    first, second = counts[1] - counts[0], counts[2] - counts[1]
    assert second <= 1.05 * first, counts
