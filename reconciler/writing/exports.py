"""
Receipts as plain files in a folder, to be kept when they are pruned, and verified without git. A file is one receipt,
byte for byte what the next one names the digest of: `sha256sum` tells it.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from reconciler.core.chain import Chain, Pruning, Stored, digest_of
from reconciler.core.limits import RECEIPT_BYTES
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError

SIGNERS = "allowed_signers"
"""The file with the keys that signed, as the policy listed them when the receipts were exported."""

_NAME = re.compile(r"(?a)(\d{8,12})-([A-Za-z0-9-]{1,80})\.json")
_ID = re.compile(r"(?a)[0-9]{8}T[0-9]{6}Z-[0-9a-f]{1,40}")
_PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class Exported:
    """The receipts in a folder: `NUMBER-ID.json` is one; `NUMBER-pruned.json` says that those up to it were pruned."""

    folder: Path

    def write(self, chain: Chain, signers: str) -> int:
        """
        Add what is not there yet, and say how many receipts that were: each file whole, the oldest first. What is in
        this clone alone has no place in the chain yet, and waits. Raises ReconcilerError where not all of the chain
        could be read, where the folder has another receipt by that number, and where it cannot be written.
        """
        if chain.untold or chain.cut:
            why = chain.untold or "this clone is too shallow."
            raise ReconcilerError(
                f"Not all receipts at {chain.place} could be read: {why}",
                "Nothing was written. Fetch the whole repository (`git fetch --unshallow`), or look at the remote.",
            )
        placed = islice(chain.numbered, len(chain.stored) - chain.unpushed)
        wanted = {_name(number, one): one.text.encode("utf-8", "surrogateescape") for number, one in placed}
        if chain.pruned is not None:
            wanted[_pruned_name(chain.pruned)] = chain.pruned.text.encode("ascii")
        try:
            self.folder.mkdir(exist_ok=True)
            there = {path.name: path for path in self._files()}
            numbers = {_number(name): name for name in there if not _is_pruning(name)}
            for name, data in wanted.items():
                other = name if _is_pruning(name) else numbers.get(_number(name), name)
                if other in there and (other != name or there[other].read_bytes() != data):
                    raise ReconcilerError(
                        f"{self.folder / other} is not what {chain.place} has by that number, so nothing was written.",
                        "See `reconciler audit`, and `reconciler audit FOLDER`. Or export to another folder.",
                    )
            new = [name for name in wanted if name not in there]
            for name in sorted(new):
                self._write(name, wanted[name])
            text = signers.encode("utf-8", "surrogateescape")
            kept = self.folder / SIGNERS
            if text and not (kept.is_file() and kept.read_bytes() == text):
                self._write(SIGNERS, text)
            self._settle()
        except OSError as error:
            raise ReconcilerError(
                f"{error.filename or self.folder} could not be written: {error.strerror or error}.",
                "Name a writable folder, in one that is there. What was written is whole, and the rest is added later.",
            ) from error
        return sum(not _is_pruning(name) for name in new)

    def read(self) -> Chain:
        """
        The chain of receipts in the folder. Where it does not begin with the first, it begins with what says that those
        before were pruned. Raises ReconcilerError where there are none, and where they cannot be read.
        """
        try:
            files = [Stored(Commit(""), _text(path), file=path.name) for path in self._files()]
        except OSError as error:
            raise ReconcilerError(
                f"{error.filename or self.folder} could not be read: {error.strerror or error}.", "Name a folder."
            ) from error
        if not files:
            raise ReconcilerError(f"{self.folder} has no receipts.", "Export them: `reconciler receipts FOLDER`.")
        stored = tuple(one for one in files if not _is_pruning(one.file))
        prunings = [one.pruning for one in files if _is_pruning(one.file)]
        first = _number(stored[0].file) if stored else 0
        wanted = (one for one in prunings if one is not None and (not stored or one.count == first - 1))
        return Chain(f"{self.folder}", stored, pruned=None if first == 1 else max(wanted, key=_count, default=None))

    def _files(self) -> Iterator[Path]:
        yield from sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())

    def _write(self, name: str, data: bytes) -> None:
        """The whole file or none, whatever comes in between."""
        draft = self.folder / f".{name}.{os.getpid()}"
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)

    def _settle(self) -> None:
        """That names are on disk, too: what is exported may be pruned next."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _count(pruning: Pruning) -> int:
    return pruning.count


def _name(number: int, one: Stored) -> str:
    # Whoever can push chose the id.
    fits = one.link is not None and _ID.fullmatch(one.link.id)
    return f"{number:08d}-{one.link.id if one.link and fits else digest_of(one.text)[:40]}.json"


def _pruned_name(pruning: Pruning) -> str:
    return f"{pruning.count:08d}-{_PRUNED}.json"


def _is_pruning(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found[2] == _PRUNED


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def _text(path: Path) -> str:
    """What is in a file; of one that is longer than a receipt may be, the beginning, which is none."""
    with path.open("rb") as file:
        return file.read(RECEIPT_BYTES + 1).decode("utf-8", "surrogateescape")
