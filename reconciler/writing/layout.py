"""Which file a slot of a model is declared in, and the text of a file that is new."""

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePosixPath

from reconciler.core.desired import Manifest
from reconciler.core.names import Slot, Stage, Version
from reconciler.core.text import plain
from reconciler.ports import SourceFile
from reconciler.writing.edit import flow

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST = 80
SCHEMA = "schemas/manifest.schema.json"
_ALIASES = "aliases.yaml"
BY_SLOT = frozenset({_ALIASES, *(f"{stage.lower()}.yaml" for stage in Stage)})


class Split(StrEnum):
    """Whether a model is one file, or each of its stages one, so that CODEOWNERS can name other people for each."""

    MODEL = "model"
    SLOT = "slot"


def file_stem(model: str) -> str:
    """`RiskClassifier` -> `risk-classifier`: a name for its file or folder that is one on every system."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", unicodedata.normalize("NFKD", model))
    name = re.sub(r"[^a-z0-9._]+", "-", words.encode("ascii", "ignore").decode().lower()).strip("-._")
    if _DEVICE.fullmatch(name):
        name = f"model-{name}"
    if name and len(name) <= _LONGEST:
        return name
    return _told_apart(name[: _LONGEST - 20].strip("-._") or "model", model)


def _told_apart(stem: str, model: str) -> str:
    return f"{stem}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def slot_file(slot: Slot) -> str:
    """The file of a slot where each has its own: `production.yaml`, and `aliases.yaml` for all aliases."""
    return _ALIASES if slot.alias is not None else f"{slot.lower()}.yaml"


def home_of(slot: Slot, model: str, declaring: Iterable[str], others: Iterable[str], folder: str) -> str:
    """
    Where a slot is to be declared that no file declares. `declaring` are the paths that declare its model: the layout
    that they have is kept. A model that no file declares yet gets files of its own in `folder`, laid out as those of
    the `others`.
    """
    listed = sorted(declaring)
    beside = listed or sorted(others)
    split = [path for path in beside if PurePosixPath(path).name in BY_SLOT]
    if listed:
        return str(PurePosixPath(split[0]).with_name(slot_file(slot))) if split else listed[0]
    stem = f"{folder}/{file_stem(model)}"
    return f"{stem}/{slot_file(slot)}" if 2 * len(split) > len(beside) else f"{stem}.yaml"


def taken_by(paths: Iterable[str]) -> set[str]:
    """
    What these files take up: their own names and those of their folders, as a system has them that takes upper and
    lower case for the same.
    """
    places = (PurePosixPath(path.casefold()) for path in paths)
    return {str(name) for place in places for name in (place, *place.parents)}


def new_files(
    manifest: Manifest,
    folder: str,
    split: Split,
    taken: Set[str],
    about: Mapping[Version, str] = {},  # read only
    *,
    schema: str | None = None,
) -> dict[str, str]:
    """
    The files that declare a model whole, by path. `taken` is what other models' files take up: none of it is used.
    `about` says in a comment what a version is, and the first line leads editors to the `schema`.
    """
    stem = file_stem(manifest.name)
    for name in (stem, _told_apart(stem, manifest.name)):
        stems = str(PurePosixPath(folder) / name)
        parts = {f"{stems}.yaml": manifest} if split is Split.MODEL else _parts(manifest, stems)
        if stems.casefold() not in taken and not any(path.casefold() in taken for path in parts):
            break
    return {
        path: modeline(path, schema) + _text(part, about, whole=at == 0)
        for at, (path, part) in enumerate(parts.items())
    }


def modeline(path: str, schema: str | None = SCHEMA) -> str:
    """The first line of a manifest, by which editors find the schema: a URL, or a path from the top. Empty for none."""
    if schema is None:
        return ""
    there = schema if "://" in schema else posixpath.relpath(schema, posixpath.dirname(path) or ".")
    return f"# yaml-language-server: $schema={there}\n"


_MODELINE = re.compile(r"(?m)^#[ \t]*yaml-language-server:[ \t]*\$schema=(\S+)")


def schema_of(files: Iterable[SourceFile], usual: bool) -> str | None:
    """
    The schema that most of these manifests lead editors to, as a URL or as a path from the top; where none does, the
    one that `init` writes, if that is there.
    """
    found: Counter[str] = Counter()
    for file in files:
        for named in _MODELINE.findall(file.data.decode("utf-8", "replace"))[:1]:
            place = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), named))
            if "://" in named or not place.startswith(("../", "/")):
                found[named if "://" in named else place] += 1
    return max(found, key=lambda one: (found[one], one), default=SCHEMA if usual else None)


def _parts(manifest: Manifest, folder: str) -> dict[str, Manifest]:
    stages = {
        f"{folder}/{slot_file(stage.slot)}": replace(manifest, stages={stage: declared}, aliases={})
        for stage, declared in sorted(manifest.stages.items(), key=lambda entry: -list(Stage).index(entry[0]))
    }
    # What moves with a stage is written with it.
    named = {alias: declared for alias, declared in manifest.aliases.items() if declared.stage not in manifest.stages}
    aliases = {f"{folder}/{_ALIASES}": replace(manifest, stages={}, aliases=named)} if named else {}
    return {**stages, **aliases} or {f"{folder}/{slot_file(Stage.PRODUCTION.slot)}": manifest}


def _text(manifest: Manifest, about: Mapping[Version, str], *, whole: bool) -> str:
    lines = [f"model: {flow(str(manifest.name))}"]
    if whole and manifest.description is not None:
        lines.append(f"description: {flow(manifest.description.value)}")
    if whole and manifest.owners is not None:
        lines.append(f"owners: {flow(list(manifest.owners.value))}")
    if whole and manifest.tags:
        lines += ["tags:", *(f"  {flow(key)}: {flow(tag.value)}" for key, tag in manifest.tags.items())]
    rows: list[tuple[str, Version | None]] = []
    staged = {d.stage: tuple(filter(None, [d.value])) for d in manifest.aliases.values() if d.stage}
    for stage, pins in {**staged, **{str(stage): d.value for stage, d in manifest.stages.items()}}.items():
        if not rows:
            rows.append(("stages:", None))
        if len(pins) == 1:
            rows.append((f"  {stage}: {pins[0].version}", pins[0].version))
        else:
            rows.append((f"  {stage}:" if pins else f"  {stage}: []", None))
            rows += [(f"    - {pin.version}", pin.version) for pin in pins]
    aliases = {alias: declared for alias, declared in manifest.aliases.items() if not declared.stage}
    if aliases:
        rows.append(("aliases:", None))
    for alias, declared in aliases.items():
        target = declared.value
        rows.append((f"  {flow(str(alias))}: {flow(target and target.version)}", target and target.version))
    wide = max((len(row) for row, version in rows if version in about), default=0)
    for row, version in rows:
        note = plain(about[version], 120) if version is not None and version in about else ""
        lines.append(f"{row:<{wide}}  # {note}" if note else row)
    return "\n".join(lines) + "\n"
