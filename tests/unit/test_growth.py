"""What a hundred models more cost is the same, however many there are: counted, and never timed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.adopting import Adopted, Selection, adopt, read_declared
from reconciler.clocks import SystemClock
from reconciler.core.adoption import Adopt, Outcome
from reconciler.core.names import AliasName, ModelRef, Version
from reconciler.core.plan import PlanOptions, build_plan
from reconciler.core.snapshot import RegistrySnapshot
from reconciler.errors import Validation
from reconciler.ports import Checkout, SourceFile, Wanted, World
from reconciler.project import validation
from reconciler.rules import NO_RULES
from reconciler.testing.memory import MemoryRegistry
from reconciler.wiring import manifest_parser
from reconciler.writing.layout import Split
from tests.build import NOW, A, P, S, desired, have, owns, registry, want
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


@dataclass(frozen=True)
class WorkTree:
    """Files, and no commit that matters."""

    files: tuple[SourceFile, ...] = ()
    folder: str = "manifests"

    def read(self, ref: str | None) -> Checkout:
        return Checkout(NOW, self.files)

    def file(self, ref: str | None, path: str) -> SourceFile | None:
        return None


@dataclass
class CountedRegistry(MemoryRegistry):
    reads: int = 0

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        self.reads += 1
        return super().snapshot(wanted)

    def names(self) -> tuple[ModelRef, ...]:
        self.reads += 1
        return super().names()


def import_all(size: int, folder: Path) -> None:
    """A registry that nobody governed, and then one more alias for each of its models."""
    size //= 5  # each is written, read and written again
    live = [have({1: A, 2: P, 3: S}, {"champion": 2}, name=f"model-{number:03}") for number in range(size)]
    registry = CountedRegistry({model.name: model for model in live})
    first = import_into(WorkTree(), registry, folder)
    assert (len(first.files), registry.reads) == (size, 2)
    registry.models = {m.name: replace(m, aliases={**m.aliases, AliasName("old"): Version(1)}) for m in live}
    second = import_into(WorkTree(first.files), registry, folder)
    assert (len(second.files), {m.outcome for m in second.models}) == (size, {Outcome.ADDED})


def import_into(tree: WorkTree, registry: MemoryRegistry, folder: Path) -> Adopted:
    world = World(tree, manifest_parser(), registry, SystemClock())  # pyright: ignore[reportArgumentType]  # as much as it needs
    checkout, declaration = read_declared(world)
    everything = Selection(everything=True)
    return adopt(world, folder, checkout, declaration, NO_RULES, everything, Adopt(), Split.MODEL)


@pytest.mark.parametrize("work", [plan_all, validate_all, import_all])
def test_work_grows_as_the_models_do(tmp_path: Path, work: Callable[[int, Path], None]) -> None:
    work(SIZES[0], tmp_path)  # what is found out once is known after it
    counts: list[int] = []
    for size in SIZES:
        with counting() as calls:
            work(size, tmp_path)
        counts.append(sum(number for name, number in calls.items() if name.startswith("reconciler.")))

    first, second = counts[1] - counts[0], counts[2] - counts[1]
    assert second <= 1.05 * first, counts
