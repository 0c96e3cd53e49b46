"""
A bundle of evidence as a zip file: the same bytes for the same content, whoever writes it and when; and read without
trust in what it says of itself. Nothing in it is ever written to a disk.
"""

import struct
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

from reconciler.core.limits import BUNDLE_BYTES, BUNDLE_FILES
from reconciler.core.text import plain
from reconciler.errors import ReconcilerError

_EPOCH = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
_UNIX = 3
_ENCRYPTED = 0x1
_END = "<4s4H2LH"
_LIST_BYTES = 300 * BUNDLE_FILES
"""What the list at the end of the archive may take; names in it are shorter than this."""


class ArchiveError(ValueError):
    """The archive is not one of ours. Says why, after its name."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """
    The archive. Nothing is compressed, as another release of zlib compresses to other bytes. Raises ReconcilerError
    where there is more than can be verified later.
    """
    if len(files) > BUNDLE_FILES or sum(map(len, files.values())) > BUNDLE_BYTES:
        raise ReconcilerError(
            f"The bundle would have more than {BUNDLE_FILES:,} files or {BUNDLE_BYTES // 1024**2} MiB.",
            "Report this: no version should have so many receipts.",
        )
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = _READABLE
            archive.writestr(info, files[name])
    return out.getvalue()


def read_archive(path: Path) -> bytes:
    """The bytes of an archive. Raises ReconcilerError for one that cannot be read, ArchiveError for too large a one."""
    try:
        with path.open("rb") as file:
            data = file.read(BUNDLE_BYTES + _LIST_BYTES + 1)
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Name a bundle of evidence.") from error
    if len(data) > BUNDLE_BYTES + _LIST_BYTES:
        raise ArchiveError(f"has more than {(BUNDLE_BYTES + _LIST_BYTES) // 1024**2} MiB")
    return data


def unpacked(data: bytes) -> Mapping[str, bytes]:
    """The files of an archive by their names. Raises ArchiveError where it is damaged, or made to harm who opens it."""
    _refuse_odd_end(data)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_odd_entries(entries)
            return {entry.filename: archive.read(entry) for entry in entries}
    except ArchiveError:
        raise
    except Exception as error:  # whatever zipfile makes of hostile bytes
        raise ArchiveError(f"is damaged: {plain(str(error), 200) or type(error).__name__}") from error


def _refuse_odd_end(data: bytes) -> None:
    """Before zipfile reads the list of files into memory: that it is a short one, and nothing is around the archive."""
    size = struct.calcsize(_END)
    if len(data) < size:
        raise ArchiveError("is not a zip file")
    magic, disk, start_disk, here, entries, length, start, comment = struct.unpack(_END, data[-size:])
    if magic != b"PK\5\6" or comment:
        raise ArchiveError("is not a zip file, is cut off, or has something behind its end")
    if (disk, start_disk, here) != (0, 0, entries) or data[-size - 20 : -size].startswith(b"PK\6\7"):
        raise ArchiveError("is not an archive as reconciler writes it")
    if entries > BUNDLE_FILES or length > _LIST_BYTES:
        raise ArchiveError(f"has more than {BUNDLE_FILES:,} files")
    if start + length + size != len(data):
        raise ArchiveError("has something before its beginning, or is cut off")


def _refuse_odd_entries(entries: Iterable[zipfile.ZipInfo]) -> None:
    seen = set[str]()
    total = 0
    for entry in entries:
        name = entry.filename
        shown = plain(name, 100)
        if name in seen:
            raise ArchiveError(f"has the file {shown} twice")
        seen.add(name)
        parts = PurePosixPath(name).parts
        # `orig_filename` is what stands in the archive: zipfile cuts names at a null byte.
        if (
            name != entry.orig_filename
            or name != "/".join(parts)
            or not name.isprintable()
            or {".", "..", "/"} & set(parts)
            or "\\" in name
            or ":" in name
        ):
            raise ArchiveError(f"has a file with the name {shown!r}, which could lead elsewhere")
        kind = entry.external_attr >> 16 & 0o170000
        if kind not in {0, 0o100000} or entry.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"has {shown}, which is a link, or encrypted")
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ArchiveError(f"has {shown}, which is compressed in an unusual way")
        total += entry.file_size
        if total > BUNDLE_BYTES:
            raise ArchiveError(f"unpacks to more than {BUNDLE_BYTES // 1024**2} MiB")
