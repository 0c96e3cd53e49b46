"""
`make bench`: measure reconciler against a real MLflow server, side by side with what it is compared with, and write
`docs/benchmarks.md`. `--quick` does the same with a small registry, to see that it still works.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import fleet, page
from tests.bench.copying import measure_copying
from tests.bench.measure import ROOT, Ran, environment, fastest, fastest_whole, interleaved, probe, run
from tests.bench.past import LongPast
from tests.bench.probe import import_beforehand
from tests.bench.results import FAR, NEAR, Applying, Growth, Machine, Offline, Reading, Remembering, Results
from tests.bench.server import mlflow_server, slow_link
from tests.bench.workshop import Sent, Workshop

ROUND_TRIP = 0.020
THREADS = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `sizes` are numbers of model versions, each with how often it is measured."""

    sizes: Mapping[int, int]
    script_models: int
    apply_at: int
    apply_models: int
    apply_repeats: int
    offline_repeats: int
    past_models: int
    past_commits: int
    past_repeats: int
    copied_mebibytes: int
    workers: int | None = None
    forked: bool = False


FULL = Scale({200: 4, 2_000: 4, 10_000: 3}, 80, 2_000, 50, 2, 10, 200, 20_000, 3, 64)
QUICK = Scale({250: 1}, 5, 250, 4, 1, 1, 10, 200, 1, 4, workers=1, forked=True)


def measure(scale: Scale, folder: Path) -> Results:
    before = os.getloadavg()[0]
    workshop = Workshop(folder, forked=scale.forked)
    if scale.forked:
        given = environment()
        os.environ.clear()
        os.environ.update(given)
        import_beforehand()
    readings: list[Reading] = []
    applying: Applying | None = None
    offline: Offline | None = None
    growth: dict[str, dict[int, float]] = {}
    with (
        mlflow_server(workshop.database, folder, scale.workers) as near,
        slow_link(near, ROUND_TRIP, folder) as far,
    ):
        workshop.name_registry(near, far)
        for versions, repeats in scale.sizes.items():
            workshop.grow(versions // fleet.VERSIONS)
            for way, uri in {NEAR: near, FAR: far}.items():
                say(f"plan: {versions} versions, {way}")
                readings.append(measure_reading(workshop, way, uri, repeats, scale.script_models))
            say(f"all of {workshop.models} models")
            for command, seconds in measure_all(workshop, near).items():
                growth.setdefault(command, {})[workshop.models] = seconds
            if versions == scale.apply_at:
                say(f"apply: {scale.apply_models} models")
                applying = measure_applying(workshop, near, scale.apply_models, scale.apply_repeats)
                say("offline commands")
                offline = measure_offline(workshop, scale.offline_repeats)
        say(f"history and as-of: {scale.past_commits} commits")
        remembering = measure_remembering(scale, folder, near)
        say(f"a copy of {scale.copied_mebibytes} MiB from another registry")
        copying = measure_copying(near, folder, scale.copied_mebibytes, min(2, scale.past_repeats))
    assert applying is not None
    assert offline is not None
    grown = tuple(Growth(command, seconds) for command, seconds in growth.items())
    return Results(machine(scale, before), offline, tuple(readings), applying, grown, remembering, copying)


def measure_reading(workshop: Workshop, way: str, uri: str, repeats: int, script_models: int) -> Reading:
    pages: list[Sent] = []

    def plan() -> Ran:
        ran = workshop.plan(uri)
        pages[:] = ran.found["sent"]
        return ran

    ran = interleaved(repeats, plan=plan, bare=lambda: workshop.replay([pages]))

    changed_models = max(1, workshop.models // 100)
    workshop.declare(range(workshop.models - changed_models, workshop.models), fleet.PROMOTED)
    changed = interleaved(max(1, repeats // 2), plan=lambda: workshop.plan(uri, promoted=changed_models))["plan"]
    workshop.forget_last_commit()

    every = -(-workshop.models // script_models)
    script = workshop.script(uri, every)
    asked = len(range(0, workshop.models, every))
    scripted = script.work * workshop.models / asked
    return Reading(
        way=way,
        models=workshop.models,
        versions=workshop.models * fleet.VERSIONS,
        repeats=repeats,
        requests=len(pages),
        size=sum(entry["bytes"] for entry in pages),
        bare=fastest(ran["bare"]),
        plan=fastest(ran["plan"]),
        plan_whole=fastest_whole(ran["plan"]),
        peak_kib=max(run.whole.peak_kib for run in ran["plan"]),
        changed_models=changed_models,
        changed=fastest(changed),
        changed_whole=fastest_whole(changed),
        changed_requests=len(changed[0].found["sent"]),
        script_models=asked,
        script_requests=round(script.found["requests"] * workshop.models / asked),
        script=scripted,
        script_whole=scripted + script.whole.seconds - script.work,
    )


def measure_all(workshop: Workshop, uri: str) -> dict[str, float]:
    """The work of commands that look at every model, or change every one."""
    found = {"`validate`": fastest([workshop.validate()]), "`drift`": fastest([workshop.drift(uri)])}
    workshop.declare(range(workshop.models), fleet.REPLACED)
    changed = workshop.plan(uri, promoted=workshop.models, force=True)
    workshop.forget_last_commit()
    return {**found, "`plan`, every model changes": fastest([changed])}


def measure_applying(workshop: Workshop, uri: str, models: int, repeats: int) -> Applying:
    """
    Each time three blocks of models of one kind are promoted: one by apply, and the others by the same calls, made
    bare. Their manifests follow, so that a last plan can tell whether all three came to the same: the bare calls write
    records too, but of other versions.
    """
    applied: list[Ran] = []
    in_turn: list[Ran] = []
    in_threads: list[Ran] = []
    reads: list[Ran] = []
    for first in range(0, 3 * models * repeats, 3 * models):
        block = range(first, first + models)
        workshop.declare(block, fleet.PROMOTED)
        applied.append(workshop.apply(uri, THREADS))
        sent: list[Sent] = applied[-1].found["sent"]
        reads.append(workshop.replay([[entry for entry in sent if entry["method"] == "GET"]]))
        writes = [[entry for entry in sent if is_write_to(number, entry)] for number in block]
        in_turn.append(workshop.replay(moved(writes, block, models)))
        in_threads.append(workshop.replay(moved(writes, block, 2 * models), THREADS))
        workshop.declare(range(first + models, first + 3 * models), fleet.PROMOTED)
    # What was written bare before is admitted by the apply of the next round, as it is declared by then.
    workshop.plan(uri, admitted=2 * models)
    workshop.apply(uri, THREADS)
    sent = applied[0].found["sent"]
    writes_only = [entry for entry in sent if entry["method"] != "GET"]
    return Applying(
        models=models,
        of_models=workshop.models,
        repeats=repeats,
        writes=len(writes_only),
        reads=len(sent) - len(writes_only),
        threads=THREADS,
        apply=fastest(applied),
        apply_whole=fastest_whole(applied),
        writing=min(writing(run.found["sent"]) for run in applied),
        bare_in_turn=fastest(in_turn),
        bare_in_threads=fastest(in_threads),
        bare_reads=fastest(reads),
    )


def is_write_to(number: int, entry: Sent) -> bool:
    return entry["method"] != "GET" and fleet.model_name(number) in entry["body"]


def moved(groups: Sequence[Sequence[Sent]], block: Iterable[int], by: int) -> list[list[dict[str, Any]]]:
    """The same calls on other models."""
    return [
        [{**e, "body": e["body"].replace(fleet.model_name(n), fleet.model_name(n + by))} for e in group]
        for n, group in zip(block, groups, strict=True)
    ]


def writing(sent: Sequence[Sent]) -> float:
    """From the first write to the end of the last."""
    writes = [entry for entry in sent if entry["method"] != "GET"]
    return max(entry["ended"] for entry in writes) - min(entry["began"] for entry in writes)


def measure_remembering(scale: Scale, folder: Path, uri: str) -> Remembering:
    """Of models that the registry has, as others declare them: by a repository of their own."""
    place = folder / "past"
    place.mkdir()
    past = LongPast(place, scale.past_models, scale.past_commits, uri, forked=scale.forked)
    ran = interleaved(scale.past_repeats, listing=past.listing, history=past.history, as_of=past.as_of)
    return Remembering(
        models=past.models,
        commits=past.commits,
        receipts=past.commits // 2,
        repeats=scale.past_repeats,
        listing=fastest(ran["listing"]),
        history=fastest(ran["history"]),
        as_of=fastest(ran["as_of"]),
    )


def measure_offline(workshop: Workshop, repeats: int) -> Offline:
    reconciler = str(Path(sys.executable).with_name("reconciler"))
    examples = ROOT / "manifests"
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [reconciler, "--help"],
        "help_imports": [sys.executable, "-c", "import click"],
        "validate_imports": [sys.executable, "-c", "import click, yaml; from pydantic import BaseModel"],
        "few": [reconciler, "validate", str(examples)],
        "many": [reconciler, "validate", str(workshop.manifests)],
    }
    fastest_of = dict.fromkeys(commands, float("inf"))
    for _ in range(repeats + 1):
        for name, command in commands.items():
            fastest_of[name] = min(fastest_of[name], run(command, workshop.repository).seconds)
    loaded = [
        probe(workshop.repository, "offline", *arguments).found
        for arguments in (("--help",), ("validate", str(workshop.manifests)), ("schema", "manifest"))
    ]
    return Offline(
        repeats=repeats,
        python=fastest_of["python"],
        help=fastest_of["help"],
        help_imports=fastest_of["help_imports"],
        validate_imports=fastest_of["validate_imports"],
        validate_few=fastest_of["few"],
        few=len(list(examples.rglob("*.yaml"))),
        validate_many=fastest_of["many"],
        many=workshop.models,
        without_mlflow=not any(found["mlflow"] for found in loaded),
    )


def machine(scale: Scale, load_before: float) -> Machine:
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        mlflow=version("mlflow"),
        reconciler=version("mlflow-reconciler"),
        system=f"{platform.system()} {platform.machine()}",
        date=datetime.now(UTC).date().isoformat(),  # noqa: TID251  # the day is said on the page
        workers="MLflow's default number of" if scale.workers is None else str(scale.workers),
        load_before=load_before,
        load_after=os.getloadavg()[0],
    )


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit("Ended.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small registry, once; writes no page unless asked to")
    parser.add_argument("--page", type=Path, help="where to write the page (docs/benchmarks.md)")
    parser.add_argument("--results", type=Path, help="where to write the figures, as JSON")
    options = parser.parse_args()
    # Whoever ends us ends the server too.
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as folder:
        results = measure(QUICK if options.quick else FULL, Path(folder))
    text = page.page(results)
    where = options.page or (None if options.quick else ROOT / "docs/benchmarks.md")
    if where is not None:
        where.write_text(text, encoding="utf-8")
    if options.results is not None:
        options.results.write_text(json.dumps(asdict(results), indent=2), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
