"""
Another registry behind a process of its own. MLflow's client finds addresses and credentials in the environment of its
process, in whatever thread it is, also in one that was given up: so what is read from one registry while another one is
written to is read by a process that never had the other's.

What is sent are values of the core. Of what comes back, nothing but such values is made: it was read from somebody
else's server.
"""

import inspect
import io
import pickle
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any, Final

from reconciler.core.bundle import FileDigest
from reconciler.core.carried import Carried, Point
from reconciler.core.changes import Change
from reconciler.core.desired import NoSource, Origin, Source
from reconciler.core.evidence import RunSummary, VersionFacts
from reconciler.core.gate import CheckFacts, Presence
from reconciler.core.limits import ANSWER_BYTES, ANSWER_SECONDS, FILES_SECONDS, LISTS_SECONDS
from reconciler.core.names import ModelRef, Version
from reconciler.core.snapshot import RegistrySnapshot
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.ports import Asked, Capabilities, Tries, Wanted

_LENGTH: Final = struct.Struct(">Q")
_VALUES: Final = ("reconciler.core.", "reconciler.ports")
_OF_FILES: Final = frozenset({"facts", "digest", "files", "fetch"})
_OF_MUCH: Final = frozenset({"snapshot", "gather", "runs", "listed"})
_WHAT_TO_DO: Final = "Check its address and its log, and run the command again."
# Without the current folder in its path, where a branch may have put modules.
PROGRAM = (sys.executable, "-P", "-m", "reconciler.elsewhere")

_PLAIN: Final = {("builtins", name): getattr(sys.modules["builtins"], name) for name in ("frozenset", "set")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a registry is, and what its process sees of the environment."""

    registry_uri: str
    tracking_uri: str
    environment: Mapping[str, str]


class _Values(pickle.Unpickler):
    """Makes values of the core, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        found = super().find_class(module, name) if module.startswith(_VALUES) and "." not in name else None
        if inspect.isclass(found) and found.__module__ == module and not issubclass(found, BaseException):
            return found
        raise pickle.UnpicklingError("no value of ours")


def send(stream: IO[bytes], value: object) -> None:
    """One message."""
    data = pickle.dumps(value, protocol=5)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def received(stream: IO[bytes]) -> Any:
    """The next message. Raises EOFError at the end, ValueError for one that is too long or has other things in it."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    if length > ANSWER_BYTES:
        raise ValueError("a message that is too long")
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    try:
        return _Values(io.BytesIO(data)).load()
    except Exception as error:
        raise ValueError("a message with something else in it") from error


class Elsewhere:
    """
    The ports of another registry, over its process, which is started when something is first asked and ends with us.
    One question is asked at a time. Nothing is written there.
    """

    def __init__(self, open_place: Callable[[], Place], uri: str = "", workspace: str = "") -> None:
        self._open, self.uri, self.workspace = open_place, uri, workspace
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False

    # What a registry has, as far as anything is read from it here.
    capabilities = Capabilities()
    tries = Tries()

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        return self._ask("snapshot", wanted)

    def names(self) -> tuple[ModelRef, ...]:
        return self._ask("names")

    def execute(self, change: Change) -> None:
        raise ReconcilerError(f"Nothing is written to {self.uri} from here ({type(change).__name__}).")

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        return self._ask("gather", tuple(asked))

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunSummary]:
        return self._ask("runs", tuple(run_ids))

    def sources(self, origins: Iterable[Origin]) -> Mapping[Origin, Source | NoSource]:
        return self._ask("sources", tuple(origins))

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        return self._ask("facts", model, version, signers)

    def present(self, model: ModelRef, version: Version) -> Presence:
        return self._ask("present", model, version)

    def digest(self, model: ModelRef, version: Version) -> str:
        return self._ask("digest", model, version)

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        return self._ask("files", model, version)

    def place(self, model: ModelRef, version: Version) -> str:
        return self._ask("place", model, version)

    def describe(self, model: ModelRef, version: Version) -> Carried:
        """What belongs to a version besides its files."""
        return self._ask("describe", model, version)

    def points(self, run_id: str, metric: str, token: str | None) -> tuple[tuple[Point, ...], str | None]:
        """A page of the course of a metric, and what leads to the next one."""
        return self._ask("points", run_id, metric, token)

    def listed(self, model: ModelRef, version: Version) -> Mapping[str, int]:
        """The paths of a version's files, with their sizes."""
        return self._ask("listed", model, version)

    def fetch(self, model: ModelRef, version: Version, path: str) -> tuple[Path, FileDigest]:
        """Where one of these files is now, until the next one is asked for."""
        place, digest = self._ask("fetch", model, version, path)
        return Path(place), digest

    def folder(self) -> Path:
        """A folder that is removed when the process ends, however we do."""
        return Path(self._ask("folder"))

    def drop(self) -> None:
        """The file that was fetched last is not needed anymore."""
        self._ask("drop")

    def _ask(self, what: str, *arguments: object) -> Any:
        seconds = FILES_SECONDS if what in _OF_FILES else LISTS_SECONDS if what in _OF_MUCH else ANSWER_SECONDS
        with self._guard:
            if self._given_up:
                raise self._late()
            process = self._started()
            patience = Timer(seconds, self._give_up, [process])
            patience.daemon = True
            patience.start()
            try:
                answer, goes_on = _answer(process, (what, arguments))
            except (OSError, EOFError, ValueError) as error:
                self._forget(process)
                raise (self._late() if self._given_up else self._lost()) from error
            except BaseException:
                # An answer that nobody waited for would be taken for that to the next question.
                self._forget(process)
                raise
            finally:
                patience.cancel()
            if not goes_on:
                self._forget(process)
        match answer:
            case ("value", value):
                return value
            case ("registry", str(code), str(message), str(fix)):
                raise RegistryError(code, message, fix)
            case ("error", str(message), str(fix)):
                raise ReconcilerError(message, fix)
            case _:
                raise self._lost()

    def _give_up(self, process: "subprocess.Popen[bytes]") -> None:
        """A server that answers byte by byte has its caller wait for ever, and what waits for our lock with it."""
        self._given_up = True
        _end(process)

    def _forget(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = None
        _end(process)

    def _late(self) -> ReconcilerError:
        return RegistryError("too-late", f"{self.uri} did not answer in time, and is not asked again.", _WHAT_TO_DO)

    def _lost(self) -> ReconcilerError:
        return ReconcilerError(f"The process that reads {self.uri} ended unexpectedly.", "Run the command again.")

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            place = self._open()
            self._process = subprocess.Popen(
                # In a session of its own: an interruption ends what we do, when the model in hand is finished.
                [*PROGRAM, place.registry_uri, place.tracking_uri],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict(place.environment),
                start_new_session=True,
            )
            weakref.finalize(self, _end, self._process)
        return self._process


def _answer(process: "subprocess.Popen[bytes]", question: object) -> Any:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    send(process.stdin, question)
    return received(process.stdout)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends with its input, which lets it remove its folder."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
