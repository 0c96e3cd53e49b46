"""
Our records about the models of one registry in a ref on the git remote, for registries whose tags do not hold them.

The ref points to a chain of commits. Each has a file a model, with the values that the tags would have had. It is only
changed by compare-and-swap, and while the lock of that registry is held: those who change it at the same time are
threads of one apply, whose changes go together in one push.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from urllib.parse import quote, unquote

from reconciler.core.limits import NOTEBOOK_BYTES, NOTEBOOK_MODELS, NOTEBOOK_VERSIONS
from reconciler.core.names import registry_name
from reconciler.core.records import canonical
from reconciler.core.text import amount
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.git.objects import Trees, contents
from reconciler.git.remote_ref import RemoteRef
from reconciler.git.runner import Git
from reconciler.ports import UNREACHABLE, Notes

NOTEBOOKS = "refs/reconciler/records"

_TRIES = 5
_SUFFIX = ".json"
_FILE = 0o100644

Edit = Callable[[dict[str, Notes]], None]


def notebook_ref(registry_uri: str) -> str:
    """The ref for a registry, by the name that its lock goes by, too."""
    return f"{NOTEBOOKS}/{hashlib.sha256(registry_name(registry_uri).encode()).hexdigest()[:16]}"


class _UnreadableError(ReconcilerError):
    """What the ref holds is not what we write."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A change that somebody waits for."""

    edit: Edit
    done: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class GitNotebook:
    """The notes of one registry. `remote` is a name or URL as `git` knows it; None where there is none."""

    git: Git
    remote: str | None
    ref: str
    timeout: float = 30.0
    _known: dict[str, dict[str, Notes]] = field(default_factory=dict[str, dict[str, Notes]], compare=False, repr=False)
    _waiting: list[_Waiting] = field(default_factory=list[_Waiting], compare=False, repr=False)
    _queue: Lock = field(default_factory=Lock, compare=False, repr=False)
    _pushing: Lock = field(default_factory=Lock, compare=False, repr=False)

    def read(self) -> Mapping[str, Notes]:
        try:
            remote = self._remote()
            return self._notes(remote, remote.value())
        except ReconcilerError as error:
            raise self._fault(error) from error

    def change(self, edit: Edit) -> None:
        mine = _Waiting(edit)
        with self._queue:
            self._waiting.append(mine)
        with self._pushing:
            if not mine.done:
                with self._queue:
                    batch = self._waiting[:]
                    self._waiting.clear()
                self._keep(batch)
        if isinstance(mine.error, ReconcilerError):
            raise self._fault(mine.error) from mine.error
        if mine.error is not None:
            raise mine.error

    def _keep(self, batch: list[_Waiting]) -> None:
        error: Exception | None = ReconcilerError("The change was broken off.")
        try:
            self._push([one.edit for one in batch])
            error = None
        except Exception as caught:  # noqa: BLE001  # each of those who wait hears of it
            error = caught
        finally:
            for one in batch:
                one.done, one.error = True, error

    def _push(self, edits: list[Edit]) -> None:
        remote = self._remote()
        # What it was when it was last read or written here; where that is not so anymore, the push says so.
        tip = next(iter(self._known), None)
        tip = remote.value() if tip is None else tip
        for _ in range(_TRIES):
            notes = dict(self._notes(remote, tip))
            for edit in edits:
                edit(notes)
            if len(notes) > NOTEBOOK_MODELS:
                raise ReconcilerError(f"{remote.ref} would hold records of more than {NOTEBOOK_MODELS:,} models.")
            value = remote.commit(b"Records of models\n", [tip] if tip else [], tree=self._tree(tip, notes))
            tip = remote.swap(tip, value)
            if tip == value:
                self._known.clear()
                self._known[value] = notes
                return
        raise remote.fault(f"{remote.place} was changed by others each of {_TRIES} times that we tried to push to it.")

    def _tree(self, tip: str, notes: Mapping[str, Notes]) -> str:
        """A tree with a file for each model; what did not change is not written anew."""
        before, entries = self._known.get(tip, {}), self._entries(tip)
        changed = [name for name, note in notes.items() if before.get(name) != note]
        blobs = self._written(canonical(_document(name, notes[name])) for name in changed)
        entries.update(zip(map(_file, changed), blobs, strict=True))
        kept = {_file(name) for name in notes}
        lines = (f"100644 blob {blob}\t{path}\0" for path, blob in sorted(entries.items()) if path in kept)
        return self.git.read("mktree", "-z", stdin="".join(lines).encode()).text

    def _written(self, texts: Iterable[bytes]) -> list[str]:
        """The blobs of some texts, which are in git from now on, however many by one process."""
        with TemporaryDirectory(prefix="reconciler-") as folder:
            files: list[str] = []
            for number, text in enumerate(texts):
                files.append(f"{folder}/{number}")
                Path(files[-1]).write_bytes(text)
            listed = "".join(f"{file}\n" for file in files).encode()
            write = ("hash-object", "-w", "--no-filters", "--stdin-paths")
            return self.git.read(*write, stdin=listed).text.split() if files else []

    def _entries(self, tip: str) -> dict[str, str]:
        """The files of a commit and their blobs."""
        if not tip:
            return {}
        found: dict[str, str] = {}
        root = self.git.about(f"{tip}^{{tree}}")
        if root is None:
            raise ReconcilerError(f"git has no commit {tip[:12]} here.", "Fetch the whole repository.")
        for entry in Trees(self.git).read([root[0]])[root[0]]:
            if entry.mode != _FILE or not entry.name.endswith(_SUFFIX):
                raise _UnreadableError(f"{self.ref} holds something else than our records.", _REMAKE)
            found[entry.name] = entry.id
        if len(found) > NOTEBOOK_MODELS:
            raise _UnreadableError(
                f"{self.ref} holds {amount(len(found), 'file')}; at most {NOTEBOOK_MODELS:,}.", _REMAKE
            )
        return found

    def _notes(self, remote: RemoteRef, tip: str) -> dict[str, Notes]:
        if not tip:
            return {}
        if tip not in self._known:
            if self.git.about(tip) is None:
                remote.fetch()
            entries = self._entries(tip)
            texts = dict(contents(self.git, entries.values(), most=NOTEBOOK_BYTES))
            notes = {_name(path): _read(texts[blob]) for path, blob in entries.items()}
            self._known.clear()
            self._known[tip] = notes
        return self._known[tip]

    def _remote(self) -> RemoteRef:
        if self.remote is None:
            raise ReconcilerError(
                "The tags of this registry do not hold our records, so they are kept on the git remote, and this "
                "repository has none.",
                "Add one (`git remote add origin …`), or name it with --remote.",
            )
        return RemoteRef(self.git, self.remote, self.ref, self.timeout).found()

    def _fault(self, error: ReconcilerError) -> RegistryError:
        code = "records-unreadable" if isinstance(error, _UnreadableError) else UNREACHABLE
        return RegistryError(code, error.message, error.fix)


_REMAKE = (
    "Whoever may push refs wrote it. Restore the ref from another clone, or delete it: models are adopted anew then."
)


def _file(model: str) -> str:
    return quote(model, safe=" ") + _SUFFIX


def _name(path: str) -> str:
    return unquote(path.removesuffix(_SUFFIX))


def _document(name: str, note: Notes) -> dict[str, object]:
    versions = {str(number): dict(kept) for number, kept in sorted(note.versions.items())}
    return {"model": name, "record": dict(note.model), "versions": versions}


def _read(text: bytes | None) -> Notes:
    """
    What a file says; a damaged one is a record that cannot be read, as a damaged tag is. Then who owns the model is not
    known, and nothing is proven.
    """
    try:
        document = json.loads(text or b"")
        record, versions = document["record"], document["versions"]
        if len(versions) > NOTEBOOK_VERSIONS:
            # Each is asked for, be it there or not.
            raise ValueError("too many versions")
        return Notes(_texts(record), {int(number): _texts(kept) for number, kept in versions.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        from reconciler.core.snapshot import OWNER_TAG

        return Notes({OWNER_TAG: "damaged"})


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in (*value, *value.values())):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON
        raise TypeError("not texts by keys")
    return value  # pyright: ignore[reportUnknownVariableType]  # JSON
