"""Our beliefs about a file as a lock: real files and real processes, one holder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

import reconciler
from reconciler.core.heads import Head
from reconciler.core.limits import LOCK_BYTES
from reconciler.core.names import Commit, Ours, RepositoryId
from reconciler.errors import LockError
from reconciler.ports import Holder, Lease
from reconciler.registry.file_lock import FileLock

FIRST, SECOND = Commit("1" * 40), Commit("2" * 40)


class SetClock:
    def now(self) -> str:
        return "2026-01-01T12:00:00Z"


def lock_of(path: Path, who: str = "alice@box pid 1") -> FileLock:
    return FileLock(path, Holder(who, "", "job 7"), Ours(RepositoryId("models")), clock=SetClock())


def nobody_told(_holder: Holder, _seconds: float) -> None: ...


def now_or_never(lock: FileLock) -> Lease:
    return lock.acquire(0, nobody_told)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db.lock"


@pytest.fixture
def sidecar(path: Path) -> Path:
    return path.with_name("mlflow.db.lock.json")


def test_a_lock_that_is_taken_marked_and_released_leaves_a_record_of_it(path: Path, sidecar: Path) -> None:
    lease = now_or_never(lock_of(path))
    held, while_held = lease.held(), json.loads(sidecar.read_text())
    lease.mark(FIRST, [Head(FIRST, "2026-01-01T12:00:00Z")])
    lease.release()

    assert held
    assert not lease.held()
    assert lease.note == ""
    assert while_held == {
        "format": 1,
        "holder": {"who": "alice@box pid 1", "since": "2026-01-01T12:00:00Z", "run": "job 7"},
        "applied": {},
        "heads": {},
    }
    assert json.loads(sidecar.read_text()) == {
        "format": 1,
        "holder": None,
        "applied": {"models": FIRST},
        "heads": {"models": [{"commit": FIRST, "at": "2026-01-01T12:00:00Z", "began": True, "signature": None}]},
    }
    assert sorted(file.name for file in path.parent.iterdir()) == ["mlflow.db.lock", "mlflow.db.lock.json"]


def test_the_folder_of_the_lock_is_made(tmp_path: Path) -> None:
    lease = now_or_never(lock_of(tmp_path / "state" / "locks" / "registry.lock"))

    assert lease.held()
    lease.release()


CHILD = """
import sys, time
from pathlib import Path
from reconciler.registry.file_lock import FileLock, Timing
from reconciler.core.names import Ours
from reconciler.ports import Holder

class Clock:
    def now(self): return "2026-01-01T12:00:00Z"

def nobody_told(holder, seconds): ...

path, counter, turns = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
lock = FileLock(path, Holder("the child", "", "run 13"), Ours("models"), clock=Clock(), timing=Timing(poll=0.01))
if turns == 0:
    lease = lock.acquire(60, nobody_told)
    lease.mark("1" * 40)
    counter.write_text("held")
    time.sleep(600)
for _ in range(turns):
    lease = lock.acquire(200, nobody_told)
    count = int(counter.read_text())
    time.sleep(0.005)
    counter.write_text(str(count + 1))
    lease.release()
"""


@contextmanager
def child(path: Path, counter: Path, turns: int) -> Generator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(reconciler.__file__).parent.parent)}
    arguments = [sys.executable, "-c", CHILD, str(path), str(counter), str(turns)]
    process = subprocess.Popen(arguments, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_no_increment_is_lost_among_processes(path: Path, tmp_path: Path) -> None:
    counter, turns = tmp_path / "counter", 15
    counter.write_text("0")

    with child(path, counter, turns) as one, child(path, counter, turns) as two, child(path, counter, turns) as three:
        codes = [process.wait(250) for process in (one, two, three)]

    assert codes == [0, 0, 0]
    assert int(counter.read_text()) == 3 * turns


def test_the_lock_of_a_holder_that_was_killed_is_free_and_its_last_commit_known(path: Path, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    with child(path, sign, 0) as process:
        deadline = time.monotonic() + 60
        while not sign.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(LockError, match="the child"):
            now_or_never(lock_of(path))
        process.send_signal(signal.SIGKILL)
        process.wait()

    lease = lock_of(path, "the heir").acquire(60, nobody_told)

    assert lease.applied == FIRST
    assert lease.note == (
        "Took over the lock of the child, since 2026-01-01T12:00:00Z, run run 13: it ended without releasing it."
    )
    lease.release()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"holder": 7, "applied": 7}',
        b'{"applied": {"models": 7}}',
        b'{"applied": {"models": "' + FIRST.encode() + b'"}}' + b" " * LOCK_BYTES + b"}",
    ],
)
def test_a_sidecar_that_makes_no_sense_is_no_obstacle(path: Path, sidecar: Path, content: bytes) -> None:
    first = now_or_never(lock_of(path))
    sidecar.write_bytes(content)

    with pytest.raises(LockError, match="held by somebody whose name is not recorded"):
        now_or_never(lock_of(path, "bob"))
    first.release()
    sidecar.write_bytes(content)
    second = now_or_never(lock_of(path))

    assert second.applied is None
    assert second.note == ""
    second.release()


def test_a_sidecar_that_is_gone_is_written_anew(path: Path, sidecar: Path) -> None:
    lease = now_or_never(lock_of(path))
    sidecar.unlink()

    lease.mark(FIRST)
    lease.release()

    assert json.loads(sidecar.read_text())["applied"] == {"models": FIRST}


def test_a_holder_whose_lock_file_is_deleted_knows_and_says_so(path: Path) -> None:
    first = now_or_never(lock_of(path))
    path.unlink()
    second = now_or_never(lock_of(path, "bob"))

    assert not first.held()
    with pytest.raises(LockError, match="was removed while the lock was held"):
        first.release()
    first.release()
    assert second.held()
    second.release()


def test_a_lock_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()

    for place in (file / "mlflow.lock", folder):
        with pytest.raises(LockError, match=r"cannot be written: .*--no-lock") as refusal:
            now_or_never(lock_of(place))
        assert str(place) in str(refusal.value)


def test_a_sidecar_that_cannot_be_written_is_an_error_and_leaves_the_lock_free(path: Path, sidecar: Path) -> None:
    sidecar.mkdir()
    with pytest.raises(LockError, match="cannot be written"):
        now_or_never(lock_of(path))
    sidecar.rmdir()

    now_or_never(lock_of(path)).release()


def test_a_sidecar_that_can_no_longer_be_written_does_not_keep_the_lock(path: Path, sidecar: Path) -> None:
    lease = now_or_never(lock_of(path))
    sidecar.unlink()
    sidecar.mkdir()

    with pytest.raises(LockError, match="cannot be written"):
        lease.release()
    sidecar.rmdir()

    now_or_never(lock_of(path, "bob")).release()
