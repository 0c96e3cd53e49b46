"""Files of a work tree: all that a command makes are written, or none of them."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from reconciler.errors import ReconcilerError
from reconciler.ports import SourceFile


def is_there(top: Path, path: str) -> bool:
    """Whether a file is there. Raises ReconcilerError for anything in its way that is neither a folder nor a file."""
    place = top
    *folders, _ = parts = PurePosixPath(path).parts
    for depth, part in enumerate(parts, 1):
        above, place = place, place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            if not os.access(above, os.W_OK | os.X_OK):
                raise ReconcilerError(f"{above} is not writable.", "Nothing was written. Make it writable.") from None
            return False
        except OSError as error:
            raise ReconcilerError(f"{place} cannot be looked at: {error.strerror}.", "Nothing was written.") from error
        if not (stat.S_ISDIR(mode) if depth <= len(folders) else stat.S_ISREG(mode)):
            kind = "a link" if stat.S_ISLNK(mode) else "not a folder" if depth <= len(folders) else "not a file"
            raise ReconcilerError(
                f"{place} is {kind}, but a file must be written there.",
                "Nothing was written. Move it out of the way.",
            )
    return True


def write_files(
    top: Path, wanted: Iterable[SourceFile], read: Mapping[str, bytes | None] | None = None
) -> tuple[str, ...]:
    """
    Write all of the files, or none: what was made is taken away again when one cannot be written. Their paths. Raises
    ReconcilerError then, for what `is_there` refuses, and where a file is no longer as it was `read`; None: not there.
    """
    wanted = tuple(wanted)
    for file in wanted:
        there = (top / file.path).read_bytes() if is_there(top, file.path) else None
        if read is not None and there != read[file.path]:
            raise ReconcilerError(f"{file.path} changed while this ran.", "Nothing was written. Run it again.")
    made: list[tuple[Path, bytes | None]] = []
    whole = False
    try:
        for file in wanted:
            path = top / file.path
            for folder in reversed(path.relative_to(top).parents):
                if not (top / folder).exists():
                    (top / folder).mkdir()
                    made.append((top / folder, None))
            before = path.read_bytes() if path.exists() else None
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            made.append((draft, None))
            draft.write_bytes(file.data)
            draft.rename(path)
            made[-1] = (path, before)
        whole = True
    except OSError as error:
        raise ReconcilerError(
            f"{error.filename} could not be written: {error.strerror}.",
            "The files that were written are removed again.",
        ) from error
    finally:
        if not whole:
            _take_back(made)
    return tuple(file.path for file in wanted)


def _take_back(made: list[tuple[Path, bytes | None]]) -> None:
    for path, before in reversed(made):
        try:
            if before is not None:
                path.write_bytes(before)
            elif path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue  # the rest is to be taken back all the same
