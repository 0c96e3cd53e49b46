"""
What a registry holds as files of manifests: which models are meant, which files are new or change, and what whoever
adopts the registry should look at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from shlex import quote

from reconciler.core.adoption import Adopt, Adoption, Imported, Outcome
from reconciler.core.desired import DesiredState, Manifest, resolve
from reconciler.core.entrances import occupants
from reconciler.core.limits import FOLDER_BYTES, FOLDER_FILES
from reconciler.core.names import ModelRef, Slot, Stage, Version
from reconciler.core.snapshot import ModelSnapshot
from reconciler.core.text import amount, did_you_mean, plain
from reconciler.errors import ReconcilerError, Severity
from reconciler.planning import Declaration, declaration_of, refuse_unknown
from reconciler.ports import Checkout, SourceFile, Wanted, Work, World
from reconciler.proposing import diff_of, homes_of, survey
from reconciler.rules import Rules
from reconciler.writing.codeowners import PLACES, owner_lines
from reconciler.writing.edit import NotEditableError
from reconciler.writing.files import write_files
from reconciler.writing.layout import BY_SLOT, SCHEMA, Split, home_of, new_files, schema_of, taken_by
from reconciler.writing.manifest import rewritten


@dataclass(frozen=True, slots=True)
class Selection:
    """Which models of the registry: those with these names, those that a pattern matches, or all of them."""

    models: tuple[str, ...] = ()
    match: str | None = None
    everything: bool = False

    def among(self, names: tuple[ModelRef, ...], declared: Iterable[ModelRef]) -> tuple[ModelRef, ...]:
        """The models that are meant. Raises ReconcilerError where none is, and for a name that the registry lacks."""
        if self.everything:
            if self.models or self.match is not None:
                named = ", ".join(map(plain, self.models[:10])) or f"`{plain(self.match or '')}`"
                raise ReconcilerError(f"--all imports every model, and {named} was named too.", "Pass one of the two.")
            return names
        if not self.models and self.match is None:
            raise _nothing_named(names, frozenset(declared))
        for name in self.models:
            if name not in names:
                fix = did_you_mean(name, names, "Correct the name, or register the model first.")
                raise ReconcilerError(f"The registry has no model {plain(name)}.", fix)
        chosen = tuple(
            name for name in names if name in self.models or (self.match is not None and fnmatchcase(name, self.match))
        )
        if not chosen:
            raise ReconcilerError(
                f"None of the registry's {amount(len(names), 'model')} matches `{plain(self.match or '')}`.",
                "`*` stands for any letters, and `?` for one; capitals matter.",
            )
        return chosen


def _nothing_named(names: tuple[ModelRef, ...], declared: frozenset[ModelRef]) -> ReconcilerError:
    if not names:
        return ReconcilerError("The registry has no models.", "Register one first.")
    new = [name for name in names if name not in declared]
    shown = ", ".join(plain(name, 80) for name in new[:10])
    more = f" and {len(new) - 10} more" if len(new) > 10 else ""
    undeclared = f"not declared: {shown}{more}" if new else "all of them are declared"
    return ReconcilerError(
        f"The registry has {amount(len(names), 'model')}; {undeclared}.",
        "Say which to import: names of models, --match GLOB, or --all.",
    )


@dataclass(frozen=True, slots=True)
class Adopted:
    """
    What an import makes: `models` one by one, and `files`, which are new or changed. `before` holds these as they were
    read; None: there was none. `code_owners` are lines to add to CODEOWNERS, `unmatched` the patterns of owners that no
    model of the registry matches. Nothing is written yet.
    """

    top: Path
    models: tuple[Imported, ...]
    files: tuple[SourceFile, ...]
    before: Mapping[str, bytes | None]
    code_owners: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()

    def diff(self) -> str:
        """What is different in the files, as a unified diff."""
        return "".join(f"{line}\n" for line in diff_of(self.files, self.before))

    def write(self) -> None:
        """
        Write all of the files, or none. Raises ReconcilerError where one cannot be written, and where one is no longer
        as it was read: nothing is overwritten.
        """
        write_files(self.top, self.files, self.before)


def read_declared(world: World) -> tuple[Checkout, Declaration]:
    """The manifests of the work tree; none where there never was a folder of them."""
    checkout = world.source.read(None)
    declaration = (
        Declaration(DesiredState(replace(checkout.revision, slots=world.slots), {}))
        if checkout.absent
        else declaration_of(world, checkout)
    )
    return checkout, declaration


def adopt(
    world: World,
    top: Path,
    checkout: Checkout,
    declaration: Declaration,
    rules: Rules,
    selection: Selection,
    options: Adopt,
    split: Split,
    schema: str | None = None,
) -> Adopted:
    """
    The files that declare the selected models as the registry has them. What is declared stays as it is. `schema` is
    what new ones lead editors to where no manifest does so yet. Raises ReconcilerError where the folder would hold more
    than is read.
    """
    known = world.registry.names()
    names = selection.among(known, declaration.desired.models)
    found = survey(world, declaration, rules, names, options)
    tree = _Tree(world, checkout, split, schema)
    models: list[Imported] = []
    with Work(world.tell, "Writing manifests", "models", len(found.adoptions)) as work:
        for adoption in found.adoptions:
            models.append(tree.place(adoption, found.about.get(adoption.model, {})))
            work.advance()
        tree.prove()
    changed = tuple(tree.files[path] for path in sorted(tree.files) if tree.files[path] != tree.read.get(path))
    before = {file.path: tree.read[file.path].data if file.path in tree.read else None for file in changed}
    owned = [(tree.homes[a.model], a.after) for a in found.adoptions if a.after is not None and a.model in tree.homes]
    code_owners = _code_owners(world, tree.folder, owned) if split is Split.SLOT else ()
    unmatched = tuple(glob for glob, _ in options.owners if not any(fnmatchcase(name, glob) for name in known))
    return Adopted(top, tuple(models), changed, before, code_owners, unmatched)


@dataclass(frozen=True, slots=True)
class Begun:
    """
    One model as its registry holds it: the files that declare it so and are new, the paths of those that declare it
    already, and what whoever begins should look at.
    """

    new: tuple[SourceFile, ...]
    declared: tuple[str, ...]
    remarks: tuple[str, ...]


def begin(
    world: World, top: Path, rules: Rules, model: ModelRef, version: Version | None, owners: tuple[str, ...]
) -> Begun:
    """
    The manifests that declare one model as the registry holds it, a file for each stage. `version` is what Production
    is said to hold. Raises ReconcilerError for a model or a version that is not there, one that Production does not
    hold, and what cannot be declared.
    """
    checkout, declaration = read_declared(world)
    options, selection = Adopt(owners=[("*", owners)] if owners else []), Selection((model,))
    # The schema that the first line of a manifest names is written with it.
    adopted = adopt(world, top, checkout, declaration, rules, selection, options, Split.SLOT, schema=SCHEMA)
    if version is not None:
        live = world.registry.snapshot(Wanted({model: frozenset({version})})).models.get(model)
        production = world.slots.declared(world.slots.place(Stage.PRODUCTION))
        _refuse_elsewhere(refuse_unknown(world, model, live, version), version, production)
    one = next(iter(adopted.models), None)
    declared = tuple(homes_of(world, checkout.files).get(model, ()))
    remarks = [str(remark) for remark in one.remarks] if one else [f"{plain(model)} is a prompt."]
    if not declared and (one is None or one.outcome is Outcome.LEFT_OUT):
        raise ReconcilerError(remarks[0], "Nothing was written.")
    if declared and (lacking := [o for o in owners if o not in declaration.desired.models[model].owner_names]):
        remarks.append(f"Add to its owners: {', '.join(lacking)}")
    new = tuple(file for file in adopted.files if adopted.before[file.path] is None)
    if len(new) < len(adopted.files):
        remarks.append(f"The registry holds more than is declared. Add it: reconciler import {quote(model)}")
    return Begun(new, declared, tuple(remarks))


def _refuse_elsewhere(live: ModelSnapshot, version: Version, production: Slot) -> None:
    there = occupants(live, production)
    if version in there:
        return
    promotion = f"reconciler promote {quote(live.name)} {version}"
    if not there:
        raise ReconcilerError(
            f"{production} of {plain(live.name)} is empty: v{version} is not in it.",
            f"First declare what is there, without --version; then promote it in a change of its own: {promotion}",
        )
    raise ReconcilerError(
        f"{production} of {plain(live.name)} holds {', '.join(f'v{one}' for one in there)}, not v{version}.",
        f"First declare what is there: --version {there[-1]}; then promote it in a change of its own: {promotion}",
    )


class _Tree:
    """The files of manifests as they are to be."""

    def __init__(self, world: World, checkout: Checkout, split: Split, schema: str | None) -> None:
        self.world, self.split = world, split
        self.folder = str(world.source.folder)
        self.read = {file.path: file for file in checkout.files}
        self.files = dict(self.read)
        self.taken = taken_by(self.files)
        self.schema = schema_of(checkout.files, world.source.file(None, SCHEMA) is not None) or schema
        self.homes = homes_of(world, checkout.files)

    def place(self, adoption: Adoption, about: Mapping[Version, str]) -> Imported:
        """Put what is to be declared of a model into its files."""
        after = adoption.after
        if adoption.left_out or after is None:
            return Imported(adoption.model, Outcome.LEFT_OUT, (), adoption.remarks)
        if adoption.new:
            texts = new_files(after, self.folder, self.split, self.taken, about, schema=self.schema)
            self._take(SourceFile(path, text.encode()) for path, text in texts.items())
            self.homes[adoption.model] = list(texts)
            return Imported(adoption.model, Outcome.NEW, tuple(texts), adoption.remarks)
        try:
            changed = self._rewritten(after)
        except NotEditableError as error:
            return Imported(adoption.model, Outcome.LEFT_OUT, (), adoption.refused(str(error)).remarks)
        self._take(changed)
        outcome = Outcome.ADDED if changed else Outcome.SAME
        return Imported(adoption.model, outcome, tuple(file.path for file in changed), adoption.remarks)

    def _rewritten(self, after: Manifest) -> tuple[SourceFile, ...]:
        homes = self.homes[after.name]

        def place(slot: Slot) -> str:
            path = home_of(slot, after.name, homes, (), self.folder)
            if path not in homes and path.casefold() in self.taken:
                raise NotEditableError(f"{path} declares another model.", f"Declare {slot} by hand.")
            return path

        return rewritten([self.files[path] for path in homes], after, self.world.parse, place, self.schema)

    def _take(self, files: Iterable[SourceFile]) -> None:
        for file in files:
            self.files[file.path] = file
            self.taken |= taken_by([file.path])

    def prove(self) -> None:
        """Raises ReconcilerError where the folder would hold more than is read, or what is wrong."""
        size = sum(len(file.data) for file in self.files.values())
        if len(self.files) > FOLDER_FILES or size > FOLDER_BYTES:
            raise ReconcilerError(
                f"{self.folder} would hold {len(self.files)} files of {size} bytes; at most {FOLDER_FILES} files of "
                f"{FOLDER_BYTES} bytes are read.",
                "Nothing was written. Import fewer models, or into several folders: --match GLOB --manifests FOLDER",
            )
        fragments, problems = self.world.parse(self.files.values())
        wrong = [p for p in (*problems, *resolve(fragments)[1]) if p.severity is Severity.ERROR]
        if wrong:
            raise ReconcilerError(f"The manifests would be wrong: {wrong[0]}", "Nothing was written.")


def _code_owners(world: World, folder: str, owned: Iterable[tuple[Iterable[str], Manifest]]) -> tuple[str, ...]:
    """The lines that CODEOWNERS lacks for models of which each slot has a file."""
    owners = {
        str(PurePosixPath(path).parent.relative_to(folder)): manifest.owner_names
        for paths, manifest in owned
        for path in paths
        if PurePosixPath(path).name in BY_SLOT and str(PurePosixPath(path).parent) != folder
    }
    text = "\n".join(_text_of(world, path) for path in PLACES)
    return tuple(owner_lines(owners.items(), folder, text))


def _text_of(world: World, path: str) -> str:
    """What a file of the work tree says; nothing where there is none, or a link."""
    try:
        file = world.source.file(None, path)
    except ReconcilerError:
        return ""
    return "" if file is None else file.data.decode("utf-8", "replace")
