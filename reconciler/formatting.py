"""Manifest files brought into the canonical layout: all of them or none, and what they declare proven the same."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from reconciler.core.files import SourceFile
from reconciler.errors import ManifestError, ReconcilerError, Severity
from reconciler.proposing import diff_of
from reconciler.reading.files import files_below
from reconciler.reading.located import YamlMap, YamlScalar, YamlValue, read_documents
from reconciler.reading.manifest import KEY_ORDER, parse
from reconciler.reading.repository import top_above
from reconciler.validating import POLICY_NAME
from reconciler.writing.canonical import canonical, comments
from reconciler.writing.files import write_files
from reconciler.writing.manifest import FileText

if TYPE_CHECKING:
    from reconciler.reading.gates import GateBuilder

_Plain: TypeAlias = "tuple[str, str] | tuple[_Plain, ...] | dict[str, _Plain]"


@dataclass(frozen=True, slots=True)
class Formatted:
    """
    Manifest files in the canonical layout. `looked_at` is how many there are; `files` are those that differ from it, as
    they are to be, and `before` is what is in them.
    """

    top: Path
    looked_at: int
    files: tuple[SourceFile, ...]
    before: Mapping[str, bytes | None]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that differ from the canonical layout."""
        return tuple(file.path for file in self.files)

    def diff(self) -> str:
        """What is different in the files, as a unified diff."""
        return "".join(f"{line}\n" for line in self.diff_lines())

    def diff_lines(self) -> tuple[str, ...]:
        """The same, as lines."""
        return diff_of(self.files, self.before)

    def write(self) -> tuple[str, ...]:
        """Write all of the files, or none; their paths. Raises ReconcilerError where one changed since it was read."""
        return write_files(self.top, self.files, self.before)


def format_files(paths: Iterable[Path], build: "Callable[[], GateBuilder]") -> Formatted:
    """
    The manifests in these files and folders in the canonical layout; nothing is written yet. Raises ManifestError with
    every problem of every file, and ReconcilerError for the policy, which is no manifest.
    """
    paths = tuple(paths)
    top = top_above(paths[0]) or Path.cwd()
    if any(path.name == POLICY_NAME for path in paths):
        raise ReconcilerError(f"{POLICY_NAME} is the policy, not a manifest.", "Name manifests, or their folder.")
    found, unreadable = files_below(paths, top)
    # What its stages are in the registry makes no difference to how a file is laid out.
    _, wrong = parse(found, build, past=True)
    problems = tuple(sorted(p for p in {*unreadable, *wrong} if p.severity is Severity.ERROR))
    if problems:
        raise ManifestError(problems)
    real = {os.path.relpath(os.path.realpath(top / file.path), os.path.realpath(top)): file for file in found}
    files = tuple(SourceFile(path, file.data) for path, file in sorted(real.items()))
    changed = tuple(after for file in files if (after := _formatted(file)) != file)
    before = {file.path: file.data for file in files}
    return Formatted(top, len(files), changed, {file.path: before[file.path] for file in changed})


def _formatted(file: SourceFile) -> SourceFile:
    text = FileText(file)
    before, text.text = text.text, canonical(text.text, KEY_ORDER)
    after = SourceFile(file.path, text.bytes)
    if _meaning(after) != _meaning(file) or sorted(comments(before)) != sorted(comments(text.text)):
        raise ReconcilerError(
            f"{file.path} would not mean the same in the canonical layout.",
            "Nothing was written. Please report the file as a bug, and leave it out until then.",
        )
    return after


def _meaning(file: SourceFile) -> list[object]:
    return [_plain(document.root) for document in read_documents(file.path, file.data) if document.root is not None]


def _plain(value: YamlValue) -> _Plain:
    """A value without its places and quotes; the order of keys makes no difference."""
    match value:
        case YamlScalar():
            return value.text, value.kind
        case YamlMap():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return tuple(_plain(item) for item in value)
