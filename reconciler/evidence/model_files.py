"""
The files of a model version: fetched into a folder, told apart by a digest, found to be there. Whoever may register a
version chose their names, their sizes and what is in them.
"""

import errno
import hashlib
import os
import re
import stat
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from reconciler.core.bundle import FileDigest, total_digest
from reconciler.core.gate import Presence
from reconciler.core.names import ModelRef, Version
from reconciler.core.text import ended, plain, without_credentials
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.evidence.artifacts import Artifacts, remedy_of, version_row
from reconciler.evidence.mlmodel import MAX_BYTES, TOO_LARGE, named_files
from reconciler.ports import Work
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.surroundings import SURROUNDINGS

MOST_BYTES = 10 * 1024**3
MEBIBYTE = 1024**2
MOST_FILES = 10_000
MOST_FOLDERS = 1000
PATIENCE = 600.0
"""Seconds for one file to come."""

MOST_DECODED = 4
"""How many times the name of a file may be encoded in itself."""
DOWNLOADING: Final = "model-files"
"""The name of threads that download; one that was given up goes on until its process ends."""

MLMODEL: Final = "MLmodel"


class _FilesError(ValueError):
    """The files are not as they have to be. Says why, after the name of the version."""


@dataclass(frozen=True, slots=True)
class _Listed:
    path: str
    size: int | None


@contextmanager
def fetched(
    registry: MlflowRegistry, model: ModelRef, version: Version, most_bytes: int = MOST_BYTES
) -> Generator[Path]:
    """The version's files in a temporary folder, until the end of the block. Raises ReconcilerError."""
    row = version_row(registry, model, version)
    with tempfile.TemporaryDirectory(prefix="reconciler-model-") as folder:
        target = Path(folder) / "model"
        target.mkdir()
        downloading = Work(registry.tell, f"Downloading {plain(model, 80)} v{version}", "MiB")
        with readable(registry, model, version), downloading as work:
            repository = Artifacts(registry).of_version(row)
            if isinstance(repository, _local_repository()):
                _copy(Path(repository.artifact_dir), target, most_bytes)
            else:
                _download(repository, target, most_bytes, work)
        yield target


def digests(
    registry: MlflowRegistry, model: ModelRef, version: Version, most_bytes: int = MOST_BYTES
) -> tuple[FileDigest, ...]:
    """
    The digests of a version's files as they are now. All of them are downloaded for it, one after the other: MLflow
    keeps no digests, and the registry does not notice when a file is replaced in its store.
    """
    row = version_row(registry, model, version)
    comparing = Work(registry.tell, f"Reading {plain(model, 80)} v{version}", "MiB")
    with tempfile.TemporaryDirectory(prefix="reconciler-model-") as folder, readable(registry, model, version):
        files = StoredFiles(Artifacts(registry).of_version(row), Path(folder), most_bytes)
        with comparing as work:
            listed = files.listed()
            found: list[FileDigest] = []
            for path in listed:
                with files.at_hand(path, work, sum(listed.values())) as (_, digest):
                    found.append(digest)
    return tuple(found)


class StoredFiles:
    """
    The files of a model in a store, one of them at a time in a folder of ours. What a store says of them raises a
    ValueError where it is not as it has to be, and what MLflow raises where it does not answer.
    """

    def __init__(self, repository: Any, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.repository, self._folder, self._left, self._most = repository, folder, most_bytes, most_bytes
        self._local = Path(repository.artifact_dir) if isinstance(repository, _local_repository()) else None

    def listed(self) -> dict[str, int]:
        """The sizes of a model's files as the store has them, in the order of their paths."""
        sizes = self.found()
        _refuse_other_than_a_model(sizes)
        _refuse_size(sum(sizes.values()), self._most)
        return sizes

    def found(self) -> dict[str, int]:
        """The same of whatever is there."""
        if self._local is not None and not self._local.is_dir():
            return {}
        if self._local is not None:
            if (self._local / ".git").exists():
                raise _FilesError("they are a git repository")
            sizes = {path: place.lstat().st_size for path, place in _files(self._local)}
        else:
            sizes = {file.path: file.size or 0 for file in _listing(self.repository)}
        return {path: sizes[path] for path in sorted(sizes, key=os.fsencode)}

    @contextmanager
    def at_hand(self, path: str, work: Work | None = None, total: int = 0) -> "Generator[tuple[Path, FileDigest]]":
        """One file under its own name, with its digest, as long as the block lasts."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            place = Path(folder) / PurePosixPath(_safe(path)).name
            self._fetch(path, place, work, total)
            mode = place.lstat()
            if not stat.S_ISREG(mode.st_mode):
                raise _FilesError(f"{plain(path, 100)} is not a regular file")
            self._left -= mode.st_size
            _refuse_size(self._most - self._left, self._most)
            with place.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            yield place, FileDigest(path, content, mode.st_size)

    def _fetch(self, path: str, place: Path, work: Work | None, total: int) -> None:
        before = self._most - self._left

        def reached(there: int) -> None:
            if work is not None:
                work.reach((before + there) // MEBIBYTE, total // MEBIBYTE)

        if self._local is None:
            _download_one(self.repository, path, place, self._left, reached)
            return
        _copy_one(self._local, path, place, before, self._most)


def folder_digest(folder: Path) -> str:
    """The one digest of all files below."""
    return total_digest(_digests(folder))


def _digests(folder: Path) -> tuple[FileDigest, ...]:
    found: list[FileDigest] = []
    for path, place in sorted(_files(folder), key=lambda found: os.fsencode(found[0])):
        with place.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(FileDigest(path, content, place.lstat().st_size))
    return tuple(found)


def present(registry: MlflowRegistry, model: ModelRef, version: Version) -> Presence:
    """
    Whether the MLmodel file can be read, and all that it names is there. Weights are looked for, and not downloaded.
    Raises RegistryError where the registry or the store cannot be asked.
    """
    row = version_row(registry, model, version)
    try:
        why = _lacking(Artifacts(registry).of_version(row))
    except _FilesError as error:
        return Presence(False, str(error))
    except Exception as error:  # every store raises what the library under it does
        if not _is_absent(error):
            raise _unreadable(registry, model, version, error) from error
        why = "its files are gone"
    return Presence(not why, why)


def _lacking(repository: Any) -> str:
    """Why the model is not all there, or nothing."""
    top = _names_in(repository, "")
    if MLMODEL not in top:
        return "there is no MLmodel file" if top else "its files are gone"
    if (top[MLMODEL] or 0) > MAX_BYTES:
        return f"the file MLmodel {TOO_LARGE}"
    data = read_small(repository, MLMODEL)
    try:
        named = named_files(data)
    except ValueError as error:
        return f"the file MLmodel {error}"
    folders: dict[str, Mapping[str, int | None]] = {"": top}
    for path in named:
        parent, _, name = _safe(path).rpartition("/")
        if parent not in folders:
            folders[parent] = _names_in(repository, parent)
        if name not in folders[parent]:
            return f"{plain(path, 100)}, which the MLmodel file names, is not there"
    return ""


@contextmanager
def readable(registry: MlflowRegistry, model: ModelRef, version: Version) -> Generator[None]:
    """Whatever a store raises, as our own error."""
    try:
        yield
    except ReconcilerError:
        raise
    except _FilesError as error:
        raise ReconcilerError(f"The files of {plain(model)} v{version} cannot be used: {error}.") from error
    except Exception as error:  # every store raises what the library under it does
        raise _unreadable(registry, model, version, error) from error


def _unreadable(registry: MlflowRegistry, model: ModelRef, version: Version, error: Exception) -> RegistryError:
    code = str(getattr(error, "error_code", "") or "unreadable-files")
    said = plain(without_credentials(str(error)), 300) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        said = f"the Python module {error.name} is not installed"
    message = f"The files of {plain(model)} v{version} cannot be read from {registry.uri}: {ended(said)}"
    return RegistryError(code, message, remedy_of(error, "Check that they exist and that this user may read them."))


def _is_absent(error: Exception) -> bool:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST" or status == 404


def _local_repository() -> type[Any]:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    return LocalArtifactRepository


def _safe(path: str) -> str:
    """A path as the store gives it, if it stays inside. Raises ValueError."""
    parts, decoded = PurePosixPath(path).parts, path
    # As a server on the way may read it.
    for _ in range(MOST_DECODED):
        decoded = unquote(decoded)
    if (
        not parts
        or path.startswith("/")
        or {"..", "."} & {*parts, *path.split("/"), *decoded.split("/")}
        or decoded.count("/") != path.count("/")
        or re.search(r"[\x00-\x1f\x7f\\]", decoded)
    ):
        raise _FilesError(f"one has the path {plain(path, 100)!r}")
    return "/".join(parts)


def _listing(repository: Any) -> Iterator[_Listed]:
    waiting: deque[str | None] = deque([None])
    seen: set[str] = set()
    folders = 0
    while waiting:
        folder = waiting.popleft()
        folders += 1
        if folders > MOST_FOLDERS:
            raise _FilesError(f"they are in more than {MOST_FOLDERS} folders")
        for entry in repository.list_artifacts(folder):
            path = _safe(str(entry.path))
            if path == folder or path in seen:
                continue
            seen.add(path)
            if len(seen) > MOST_FILES:
                raise _FilesError(f"there are more than {MOST_FILES:,}")
            if entry.is_dir:
                waiting.append(path)
            else:
                yield _Listed(path, None if entry.file_size is None else int(entry.file_size))


def _download(repository: Any, target: Path, most_bytes: int, work: Work) -> None:
    files = list(_listing(repository))
    _refuse_other_than_a_model(file.path for file in files)
    total = sum(file.size or 0 for file in files)
    _refuse_size(total, most_bytes)
    left = most_bytes

    def reached(there: int) -> None:
        work.reach((most_bytes - left + there) // MEBIBYTE, total // MEBIBYTE)

    for file in files:
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        _download_one(repository, file.path, place, left, reached)
        size = place.lstat().st_size
        if not stat.S_ISREG(place.lstat().st_mode):
            raise _FilesError(f"{plain(file.path, 100)} is not a regular file")
        left -= size
        _refuse_size(most_bytes - left, most_bytes)


def _download_one(
    repository: Any, path: str, place: Path, most_bytes: int, reached: Callable[[int], None] = lambda _: None
) -> None:
    """
    In a thread, which is given up when the file grows beyond what was announced, or does not come: `download_artifacts`
    would have us wait for it.
    """
    failed: list[BaseException] = []

    def work() -> None:
        try:
            repository._download_file(path, str(place))
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for
            failed.append(error)

    thread = SURROUNDINGS.read(DOWNLOADING, work)
    deadline = time.monotonic() + PATIENCE
    while thread.is_alive():
        thread.join(0.05)
        if place.exists():
            size = place.stat().st_size
            _refuse_size(size, most_bytes)
            reached(size)
        if time.monotonic() > deadline:
            raise _FilesError(f"{plain(path, 100)} was not received within {PATIENCE:g} s")
    if failed:
        raise failed[0]
    if not place.exists():
        raise _FilesError(f"{plain(path, 100)} was not received")


def _copy(source: Path, target: Path, most_bytes: int) -> None:
    """Files of a store that is a folder: MLflow's own way follows links."""
    total = 0
    # Whoever registers a version can name any folder of this machine: the home of its user, or the checkout.
    if (source / ".git").exists():
        raise _FilesError("they are a git repository")
    files = list(_files(source))
    _refuse_other_than_a_model(path for path, _ in files)
    for path, place in files:
        _refuse_size(total + place.lstat().st_size, most_bytes)
        copied = target / _safe(path)
        copied.parent.mkdir(parents=True, exist_ok=True)
        total = _copy_one(source, path, copied, total, most_bytes)


def _copy_one(top: Path, path: str, place: Path, before: int, most: int) -> int:
    """One of the files below a folder. Together with those `before` it may have so many bytes; gives the sum."""
    with os.fdopen(_opened(top, path), "rb") as reading, place.open("xb") as writing:
        if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
            raise _FilesError(f"{plain(path, 100)} is not a regular file")
        while block := reading.read(MEBIBYTE):
            # It may grow while it is read.
            before += len(block)
            _refuse_size(before, most)
            writing.write(block)
    return before


def _opened(top: Path, path: str) -> int:
    """
    A descriptor of what is at a path below a folder, that no link leads to: whoever may write there can put one, or a
    pipe, in the place of what was listed, in the moment before it is opened.
    """
    *folders, name = PurePosixPath(path).parts
    inside = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=inside)
            os.close(inside)
            inside = below
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise _FilesError(f"{plain(path, 100)} is a link, or behind one") from error
        raise
    finally:
        os.close(inside)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below, by its path inside. Raises ValueError for a link, a pipe or the like."""
    count = 0
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            place = Path(parent) / name
            mode = place.lstat().st_mode
            path = place.relative_to(folder).as_posix()
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise _FilesError(f"{plain(path, 100)} is a link, or not a regular file")
            count += 1
            if count > MOST_FILES:
                raise _FilesError(f"there are more than {MOST_FILES:,}")
            yield path, place


def _refuse_other_than_a_model(paths: Iterable[str]) -> None:
    found = set(paths)
    if MLMODEL not in found:
        raise _FilesError("there is no MLmodel file among them" if found else "there are none")


def _refuse_size(size: int, most: int) -> None:
    if size > most:
        raise _FilesError(f"they take more than {most:,} bytes")


def _names_in(repository: Any, folder: str) -> Mapping[str, int | None]:
    """What is directly in a folder, with the sizes of files."""
    entries: Iterable[Any] = repository.list_artifacts(folder or None)
    return {PurePosixPath(str(e.path)).name: None if e.is_dir else e.file_size for e in entries}


def read_small(repository: Any, name: str) -> bytes:
    """
    The content of a file beside the model, or the beginning of one that is larger than such files are. It is given up
    as soon as it grows beyond that: what a store says of sizes may be wrong, or nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / name
        _download_one(repository, name, place, MAX_BYTES)
        with place.open("rb") as file:
            return file.read(MAX_BYTES + 1)
