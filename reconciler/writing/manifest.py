"""
Manifest files changed so that they declare something else of a model. What was written is read again, and must declare
that and nothing else: a file that cannot be changed safely is left to whoever keeps it.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import yaml

from reconciler.core.desired import Manifest, Pin, resolve
from reconciler.core.names import ModelRef, Slot, Stage, name_there
from reconciler.core.proposal import difference
from reconciler.errors import Severity
from reconciler.ports import ManifestParser, SourceFile
from reconciler.writing.edit import NotEditableError, Path, Value, get, put, remove
from reconciler.writing.layout import modeline

_BOM = "\ufeff"


def rewritten(
    files: Iterable[SourceFile],
    after: Manifest,
    parse: ManifestParser,
    place: Callable[[Slot], str],
    schema: str | None = None,
) -> tuple[SourceFile, ...]:
    """
    The files that must change for the manifests in `files` to declare `after` of its model, as they are then. `place`
    gives the path of the file for a slot that no file declares; one that is new leads editors to the `schema`. Raises
    NotEditableError where one cannot be changed by a command, and where the result would declare anything else.
    """
    texts = {file.path: FileText(file) for file in files}
    before = _declared(texts.values(), parse)
    declared = before.get(after.name) or Manifest(after.model)
    changes = difference(declared, after)

    def edit(path: Path, apply: "Callable[[str, int], str]") -> None:
        place_of, document = _home(texts, after.name, path, place)
        text = texts.setdefault(place_of, FileText(SourceFile(place_of, b"")))
        if not text.text.strip():
            text.text = modeline(place_of, schema) + put("model: _\n", 0, ["model"], str(after.name))
        with _told_of(place_of):
            text.text = apply(text.text, document)

    for stage, pins in changes.stages.items():
        there = declared.stages.get(stage)
        edit(["stages", stage], partial(_stage_changed, ["stages", stage], there and there.value, pins))
    for alias, target in changes.aliases.items():
        named = declared.aliases.get(alias)
        stage = next((one.stage for one in (after.aliases.get(alias), named) if one is not None and one.stage), "")
        if not stage:
            edit(["aliases", alias], partial(_alias_changed, ["aliases", alias], named and named.value, target))
            continue
        if any(
            get(text.text, at, ["aliases", alias])
            for text in texts.values()
            for at in _documents(text.text, after.name)
        ):
            # It stands beside its stage, and would say otherwise now.
            edit(["aliases", alias], partial(remove, path=["aliases", alias]))
        if stage not in {*declared.stages, *after.stages}:
            was, now = (None if pin is None else _in_stage(pin) for pin in (named and (named.value,), target))
            edit(["stages", stage], partial(_stage_changed, ["stages", stage], was, now))
    written, wanted = _texts_of(declared), _texts_of(after)
    for key in sorted(written.keys() - wanted.keys()):
        edit(key, partial(remove, path=key))
    for key, value in wanted.items():
        if written.get(key) != value:
            edit(key, partial(put, path=key, value=value))
    for text in texts.values():
        text.text = _without_stale_notes(FileText(text.file).text, text.text)
    changed = tuple(text for text in texts.values() if text.bytes != text.file.data)
    _prove(before, after, _declared(texts.values(), parse), changed)
    return tuple(SourceFile(text.file.path, text.bytes) for text in changed)


@contextmanager
def _told_of(file: str) -> Generator[None]:
    """What is raised names the file."""
    try:
        yield
    except NotEditableError as error:
        raise NotEditableError(f"{file}: {error.message[:1].lower()}{error.message[1:]}", error.fix) from error


def _texts_of(manifest: Manifest) -> Mapping[tuple[str, ...], Value]:
    """What a manifest says of the model itself, by the place where it is written."""
    return {
        **({} if manifest.description is None else {("description",): manifest.description.value}),
        **({} if manifest.owners is None else {("owners",): list(manifest.owners.value)}),
        **{("tags", key): tag.value for key, tag in manifest.tags.items()},
    }


_NOTE = re.compile(r"\s+# (?:run [^\n]{1,120}, )?\d{4}-\d{2}-\d{2}(?:, [^\s,]+ -?[\d.e+-]+)?$")
"""What an import writes beside a version: its run, its date and its main figure."""


def _without_stale_notes(before: str, after: str) -> str:
    """The text without what an import said of a version, on the lines that name another one now."""
    kept = Counter(before.split("\n"))
    lines: list[str] = []
    for line in after.split("\n"):
        same = kept[line] > 0
        kept[line] -= same
        lines.append(line if same else _NOTE.sub("", line))
    return "\n".join(lines)


class FileText:
    """A file's text with plain line ends, and the way back to its own bytes."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        text = file.data.decode()
        self.bom = _BOM if text.startswith(_BOM) else ""
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.text = text.removeprefix(_BOM).replace("\r\n", "\n")

    @property
    def bytes(self) -> bytes:
        mixed = self.file.data.decode().removeprefix(_BOM).replace("\r\n", "\n") == self.text
        return self.file.data if mixed else (self.bom + self.text.replace("\n", self.newline)).encode()


def _declared(texts: Iterable[FileText], parse: ManifestParser) -> Mapping[ModelRef, Manifest]:
    fragments, problems = parse([SourceFile(text.file.path, text.bytes) for text in texts])
    models, contradictions = resolve(fragments)
    wrong = [p for p in (*problems, *contradictions) if p.severity is Severity.ERROR]
    if wrong:
        raise NotEditableError(f"The manifests would be invalid: {wrong[0]}", "Change the file by hand.")
    return models


def _home(texts: Mapping[str, FileText], model: ModelRef, path: Path, place: Callable[[Slot], str]) -> tuple[str, int]:
    """The file and the document that declare a slot, or where it is to be declared."""
    documents = [(name, at) for name, text in texts.items() for at in _documents(text.text, model)]
    for name, at in documents:
        with _told_of(name):
            if get(texts[name].text, at, path):
                return name, at
    if path[0] not in {"stages", "aliases"} and documents:
        return documents[0]
    # A stage of the policy's own lives as an alias, and where aliases do.
    slot = Slot(str(path[1]) if path[0] == "stages" and path[1] in set(Stage) else f"@{path[1]}")
    wanted = place(slot)
    inside = [home for home in documents if home[0] == wanted]
    if inside or wanted not in texts:
        return inside[0] if inside else (wanted, 0)
    raise NotEditableError(f"{wanted} declares another model.", f"Declare {slot} of {model} by hand.")


def _documents(text: str, model: ModelRef) -> Iterable[int]:
    for at, root in enumerate(yaml.compose_all(text, yaml.SafeLoader)):
        if isinstance(root, yaml.MappingNode):
            values = {key.value: value.value for key, value in root.value if isinstance(key, yaml.ScalarNode)}
            if values.get("model") == model:
                yield at


def _in_stage(target: "tuple[Pin | None]") -> tuple[Pin, ...]:
    """What an alias names, as the stage says it that it stands for: nothing is an empty list."""
    return tuple(pin for pin in target if pin is not None)


def _stage_changed(
    path: Path, before: tuple[Pin, ...] | None, after: tuple[Pin, ...] | None, text: str, document: int
) -> str:
    if after is None:
        return remove(text, document, path)
    if before is None:
        return put(text, document, path, _pins(after))
    return _list_changed(text, document, path, before, after)


def _alias_changed(path: Path, before: Pin | None, after: "tuple[Pin | None] | None", text: str, document: int) -> str:
    if after is None:
        return remove(text, document, path)
    if before is None or after[0] is None:
        return put(text, document, path, _pin(after[0]))
    return _pin_changed(text, document, path, before, after[0])


def _list_changed(text: str, document: int, path: Path, before: tuple[Pin, ...], after: tuple[Pin, ...]) -> str:
    if not get(text, document, [*path, 0]):
        alone = len(before) == len(after) == 1
        return (
            _pin_changed(text, document, path, before[0], after[0])
            if alone
            else put(text, document, path, _pins(after))
        )
    if len(before) == len(after):
        for at, (was, pin) in enumerate(zip(before, after, strict=True)):
            text = _pin_changed(text, document, [*path, at], was, pin)
        return text
    kept = [pin for pin in before if pin in after]
    for at in reversed(range(len(before))):
        if before[at] not in kept:
            text = remove(text, document, [*path, at])
    for at, pin in enumerate((pin for pin in after if pin not in kept), len(kept)):
        text = put(text, document, [*path, at], _pin(pin))
    return text


def _pin_changed(text: str, document: int, path: Path, before: Pin, after: Pin) -> str:
    if before == replace(after, at=before.at):
        return text
    if not any(get(text, document, [*path, key]) for key in ("version", "run_id", "model_id", "from")):
        return put(text, document, path, _pin(after))
    had, wanted = _keys(before), _keys(after)
    if "version" in wanted and not get(text, document, [*path, "version"]):
        text = put(text, document, [*path, "version"], wanted["version"], first=True)
    for key in ("version", "run_id", "artifact_path", "model_id", "from", "comment", "tags"):
        there = get(text, document, [*path, key])
        if key in wanted and (not there or wanted[key] != had.get(key)):
            text = put(text, document, [*path, key], wanted[key])
        elif key not in wanted and there:
            text = remove(text, document, [*path, key])
    return text


def _keys(pin: Pin) -> dict[str, Value]:
    """What is written of a version in a mapping."""
    original: dict[str, Value] | None = None
    if pin.original is not None:
        run = {"run_id": pin.run_id} if pin.run_id is not None else {}
        registry = {"registry": pin.original.registry} if pin.original.registry else {}
        original = {**registry, "model": str(name_there(pin.original.model)), "version": pin.original.version, **run}
    written: dict[str, Value] = {
        "version": pin.version,
        "run_id": pin.run_id if original is None else None,
        "artifact_path": pin.artifact_path,
        "model_id": pin.model_id,
        "from": original,
        "comment": pin.comment,
        "tags": dict(pin.tags) or None,
    }
    return {key: value for key, value in written.items() if value is not None}


def _pin(pin: Pin | None) -> Value:
    if pin is None:
        return None
    written = _keys(pin)
    return pin.version if written.keys() == {"version"} else written


def _pins(pins: tuple[Pin, ...]) -> Value:
    written = [_pin(pin) for pin in pins]
    return written[0] if len(written) == 1 else written


def _prove(
    before: Mapping[ModelRef, Manifest],
    after: Manifest,
    declared: Mapping[ModelRef, Manifest],
    changed: tuple[FileText, ...],
) -> None:
    meant = {**before, after.name: after}
    same = meant.keys() == declared.keys() and not any(
        difference(meant[name], declared[name]) or _texts_of(meant[name]) != _texts_of(declared[name]) for name in meant
    )
    if not same:
        paths = ", ".join(text.file.path for text in changed)
        raise NotEditableError(f"{paths} would not declare what you want.", "Change it by hand.")
