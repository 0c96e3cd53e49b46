"""Two applies at once, with the lock and without it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event
from uuid import uuid4

import pytest

from tests.story.command import Reconciler, Running
from tests.story.conftest import new_command
from tests.story.proxy import Judge, Pass, Request, Verdict, passes, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest, new_repository


@dataclass(frozen=True)
class CutOff:
    """A runner that was stopped in the middle of a write, and a second one that waits for the lock of the first."""

    registry: Registry
    model: str
    reconciler: Reconciler
    first: Running
    second: Running
    released: Event

    def goes_on(self) -> None:
        """The first one's write arrives, and the first one is there again."""
        self.released.set()
        if not self.first.ended:
            os.kill(self.first.process.pid or 0, signal.SIGCONT)


PLACES = ["mlflow_server", "mlflow_server_on_postgres"]


@pytest.fixture(scope="module", autouse=True)
def cut_off_runners(  # pyright: ignore[reportUnusedFunction]
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, CutOff]]:
    """Begun before the other tests, which run while the second ones wait: a dead runner's lock holds for 45 seconds."""
    wanted = [name for name in PLACES if any(f"cut_off[{name}]" in item.name for item in request.session.items)]
    with ExitStack() as stack:
        runners = {name: new_cut_off(request, tmp_path_factory.mktemp("cut-off"), name, stack) for name in wanted}
        yield runners
        for runner in runners.values():
            runner.goes_on()
            runner.first.process.kill()
            runner.second.process.kill()


def new_cut_off(request: pytest.FixtureRequest, folder: Path, place: str, stack: ExitStack) -> CutOff:
    registry = Registry(request.getfixturevalue(place))
    model = f"cut-off-{uuid4().hex[:8]}"
    registry.register(model, versions=3)
    writing, released = Event(), Event()
    front = stack.enter_context(proxy(registry.uri))
    repository = new_repository(folder)
    repository.name_registry(registry.uri, front.uri)
    repository.merge(manifest(model, production=1, staging=2))
    reconciler = new_command(folder, repository, registry.uri)
    assert reconciler("apply", "--yes").code == 0
    older = repository.merge(manifest(model, production=2, staging=1))
    newer = repository.merge(manifest(model, production=1, staging=2))

    front.judge = held_at_move(writing, released)
    impatient = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    first = reconciler.start("apply", "--yes", "--ref", older, MLFLOW_TRACKING_URI=front.uri, **impatient)
    first.until(writing.is_set)
    os.kill(first.process.pid or 0, signal.SIGSTOP)
    second = reconciler.start("apply", "--yes", "--ref", newer, **impatient)
    return CutOff(registry, model, reconciler, first, second, released)


@pytest.fixture(params=PLACES)
def cut_off(request: pytest.FixtureRequest, cut_off_runners: dict[str, CutOff]) -> CutOff:
    return cut_off_runners[request.param]


def side_by_side() -> Judge:
    """Of the moves to another stage each waits a moment for a second one, and then both go at once."""
    barrier = Barrier(2)

    def judge(request: Request) -> Verdict:
        if request.moves:
            try:
                barrier.wait(0.5)
            except BrokenBarrierError:
                barrier.reset()
        return Pass()

    return judge


@pytest.mark.parametrize(
    ("registry", "judge", "rounds"),
    [
        pytest.param("mlflow_server", lambda: passes, 4, id="as it happens"),
        pytest.param("mlflow_server", side_by_side, 6, id="their moves made to meet"),
        pytest.param(
            "mlflow_server_on_postgres",
            side_by_side,
            2,
            id="their moves made to meet, on PostgreSQL",
            marks=pytest.mark.timeout(600),  # a server with several workers takes its time to start
        ),
    ],
    indirect=["registry"],
)
def test_of_two_unlocked_applies_at_once_the_newer_commit_wins_and_one_version_is_in_production(
    repository: Repository,
    registry: Registry,
    reconciler: Reconciler,
    model: str,
    judge: Callable[[], Judge],
    rounds: int,
) -> None:
    registry.register(model, versions=2 * rounds + 1)
    with proxy(registry.uri) as front:
        repository.name_registry(registry.uri, front.uri)
        repository.merge(manifest(model, production=1))
        assert reconciler("apply", "--yes").code == 0

        for number in range(1, rounds + 1):
            older = repository.merge(manifest(model, production=2 * number))
            newer = repository.merge(manifest(model, production=2 * number + 1))
            front.judge = judge()
            both = [
                reconciler.start("apply", "--yes", "--no-lock", "--ref", commit, MLFLOW_TRACKING_URI=front.uri)
                for commit in ((older, newer) if number % 2 else (newer, older))
            ]
            first, second = (one.wait() for one in both)

            of_older, of_newer = (first, second) if number % 2 else (second, first)
            told = f"round {number}\nolder: {of_older}\nnewer: {of_newer}"
            assert registry.production(model) == [2 * number + 1], told
            assert of_newer.code == 0, told
            assert of_older.code in {0, 4}, told
            again = reconciler("plan", "--detailed-exitcode")
            assert again.code == 0, f"{told}\n{again.out}"


def held_at_write(number: int, held: Event, released: Event) -> Judge:
    """The write of that number, counted from 1, and all that come after it wait until they are released."""
    writes = count(1)

    def judge(request: Request) -> Verdict:
        if request.writes and next(writes) >= number:
            held.set()
            released.wait()
        return Pass()

    return judge


def held_at_move(held: Event, released: Event) -> Judge:
    """Every move to another stage waits until it is released."""

    def judge(request: Request) -> Verdict:
        if request.moves:
            held.set()
            released.wait()
        return Pass()

    return judge


@pytest.mark.parametrize("late", ["older", "newer"])
def test_whichever_write_one_of_two_unlocked_applies_is_late_with_the_newer_commit_wins(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, late: str
) -> None:
    registry.register(model, versions=40)
    with proxy(registry.uri) as front:
        repository.name_registry(registry.uri, front.uri)
        repository.merge(manifest(model, production=1, champion=1))
        assert reconciler("apply", "--yes").code == 0

        for number in range(1, 20):
            commits = {
                "older": repository.merge(manifest(model, production=2 * number, champion=2 * number)),
                "newer": repository.merge(manifest(model, production=2 * number + 1, champion=2 * number + 1)),
            }
            held, released = Event(), Event()
            options = ["apply", "--yes", "--no-lock", "--ref"]
            front.judge = held_at_write(number, held, released)
            slow = reconciler.start(*options, commits.pop(late), MLFLOW_TRACKING_URI=front.uri)
            slow.until(lambda now=slow, held=held: held.is_set() or now.ended)
            met = held.is_set()
            (other,) = commits.values()
            fast = reconciler(*options, other)
            released.set()
            ended = {late: slow.wait(), "older" if late == "newer" else "newer": fast}

            told = f"late with write {number}: {ended}"
            assert registry.production(model) == [2 * number + 1], told
            assert registry.aliases(model) == {"champion": 2 * number + 1}, told
            assert ended["newer"].code == 0, told
            assert ended["older"].code in {0, 4}, told
            again = reconciler("plan", "--detailed-exitcode")
            assert again.code == 0, f"{told}\n{again.out}"
            if not met:
                break
        else:
            pytest.fail("There are more writes than that.")


def waits_for(other: Running, running: Running) -> Callable[[], bool]:
    return lambda: f"pid {other.process.pid} " in running.said


def test_a_second_apply_waits_for_the_lock_and_says_who_has_it(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    older = repository.merge(manifest(model, production=1))
    newer = repository.merge(manifest(model, production=2))
    writing, released = Event(), Event()

    with proxy(registry.uri, held_at_write(1, writing, released)) as front:
        uri = {"MLFLOW_TRACKING_URI": front.uri}
        first = reconciler.start("apply", "--yes", "--ref", older, **uri)
        first.until(writing.is_set)
        second = reconciler.start("apply", "--yes", "--ref", newer, **uri)
        second.until(waits_for(first, second))
        meanwhile = registry.stages(model)
        released.set()
        ended = [first.wait(), second.wait()]

    assert [one.code for one in ended] == [0, 0]
    assert "Waiting for the lock" in ended[1].err
    assert "held by " in ended[1].err
    assert meanwhile == {}
    assert registry.stages(model) == {1: "Archived", 2: "Production"}


def test_an_older_commit_that_waited_for_the_lock_is_refused(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    older = repository.merge(manifest(model, production=1))
    newer = repository.merge(manifest(model, production=2))
    writing, released = Event(), Event()

    with proxy(registry.uri, held_at_write(1, writing, released)) as front:
        uri = {"MLFLOW_TRACKING_URI": front.uri}
        first = reconciler.start("apply", "--yes", "--ref", newer, **uri)
        first.until(writing.is_set)
        second = reconciler.start("apply", "--yes", "--ref", older, **uri)
        second.until(waits_for(first, second))
        released.set()
        ended = [first.wait(), second.wait()]

    assert [one.code for one in ended] == [0, 4]
    assert registry.stages(model) == {2: "Production"}


def test_who_cannot_have_the_lock_in_time_writes_nothing_and_says_who_has_it(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    older = repository.merge(manifest(model, production=1))
    newer = repository.merge(manifest(model, production=2))
    writing, released = Event(), Event()

    with proxy(registry.uri, held_at_write(1, writing, released)) as front:
        uri = {"MLFLOW_TRACKING_URI": front.uri}
        first = reconciler.start("apply", "--yes", "--ref", older, **uri)
        first.until(writing.is_set)
        second = reconciler("apply", "--yes", "--ref", newer, "--lock-timeout", "0", **uri)
        released.set()
        of_first = first.wait()

    assert second.code == 1
    assert f"pid {first.process.pid}" in second.err
    assert "--lock-timeout" in second.err
    assert of_first.code == 0
    assert registry.stages(model) == {1: "Production"}


def test_production_is_never_left_empty_by_a_runner_that_was_cut_off(cut_off: CutOff) -> None:
    second = cut_off.second.wait()
    cut_off.goes_on()
    first = cut_off.first.wait()

    registry, model, reconciler = cut_off.registry, cut_off.model, cut_off.reconciler
    told = f"{second.said}\n{first.said}"
    assert second.code == 0, told
    assert "Took over the lock" in second.err, told
    assert first.code in {1, 4}, told
    assert "The lock was lost and taken again" in first.err, told
    assert registry.stages(model) == {1: "Production", 2: "Staging"}, told
    assert reconciler("plan", "--detailed-exitcode").code == 0
