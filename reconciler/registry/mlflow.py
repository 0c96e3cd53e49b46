"""
An MLflow Model Registry: a server, or a database opened in place.

It goes through the store under `MlflowClient`, which has the same authentication, TLS, workspace and retry code: the
client itself reads the registered model before each write (to tell models from prompts) and warns that stages are
deprecated, so it needs two requests where the store needs one. Seen in MLflow 3.17; contract/test_registry.py notices.
"""

import gc
import json
import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from sys import intern, modules
from threading import Event as Flag
from threading import Lock
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar, assert_never
from urllib.parse import quote

from reconciler.core.changes import (
    Change,
    Claim,
    CreateModel,
    DeleteAlias,
    DescribeModel,
    DescribeVersion,
    RecordProvenance,
    RecordTags,
    RegisterVersion,
    Release,
    RenameModel,
    SetAlias,
    TagModel,
    TagVersion,
    TransitionStage,
    UntagVersion,
    is_registered,
)
from reconciler.core.names import (
    ANY_CASE,
    MLFLOW_TAG_PREFIX,
    OUR_TAG_PREFIX,
    AliasName,
    ModelRef,
    Original,
    Ours,
    Stage,
    Version,
    workspace_name,
)
from reconciler.core.snapshot import (
    ORIGINAL_TAG,
    OWNER_TAG,
    PROVENANCE_TAG,
    TAGS_TAG,
    ModelSnapshot,
    OwnerRecord,
    Ownership,
    Provenance,
    RegistrySnapshot,
    VersionSnapshot,
    decode_attribution,
    decode_owner,
    decode_provenance,
    decode_tagged,
    encode_attribution,
    encode_owner,
    encode_provenance,
    encode_tagged,
    source_digest,
)
from reconciler.core.text import plain, without_credentials
from reconciler.errors import Failure, RegistryError, contained
from reconciler.ports import UNREACHABLE, Capabilities, Expect, Tell, Tries, Wanted, Work, unexpected, untold
from reconciler.registry.database import (
    attempt,
    database_error,
    database_errors,
    dialect_of,
    refuse_unready,
)
from reconciler.registry.pages import Page, Search, answers, asked, is_unread, next_of, pages, text_of
from reconciler.registry.unreachable import sentence, was_cut_off, why_unreachable
from reconciler.surroundings import SURROUNDINGS

RETRIES, BACKOFF, TIMEOUT = (f"MLFLOW_HTTP_REQUEST_{name}" for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "TIMEOUT"))

WORKSPACE_VARIABLE: Final = "MLFLOW_WORKSPACE"

# MLflow's own defaults keep trying a dead server for four minutes, and a hanging one for twenty. Every call we make may
# be repeated without harm, so a few tries are right; whoever sets these variables knows better.
HTTP_DEFAULTS: Final = {RETRIES: "3", BACKOFF: "1", TIMEOUT: "30"}

# The last one logs what it raises, with a traceback (seen in 3.17).
_HUSHED: Final = {"mlflow": logging.ERROR, "alembic": logging.ERROR, "mlflow.store": logging.CRITICAL}
_LOUD: Final[dict[str, int]] = {}
_FROZEN: Final = set[str]()


def hush() -> None:
    """Keep MLflow's loggers from saying on standard error what we say ourselves, until `unhush`."""
    for name, level in _HUSHED.items():
        _LOUD.setdefault(name, logging.getLogger(name).level)
        logging.getLogger(name).setLevel(level)


def unhush() -> None:
    """Make the loggers as loud as they were."""
    while _LOUD:
        name, level = _LOUD.popitem()
        logging.getLogger(name).setLevel(level)


# Characters of a tag's value up to which it may be the same in many versions.
SHORT = 100

MODELS_PAGE = 250
VERSIONS_PAGE = 1000
# A filter that lists names travels in the URL, and proxies commonly take 8 KiB of it.
MOST_NAMES = 200
MOST_FILTER_CHARACTERS = 5000
# A registry that takes no lists of names is asked for each of this many, and read from end to end for more.
FEW_NAMES = 16
# From this many batches on it is worth a page to find out whether the registry holds hardly anything else.
BATCHES_WORTH_A_PROBE = 3
READERS = 3
# For a service that is made for many clients, and has to be asked for each model.
READERS_EACH = 8

BY_NAME = ["name ASC"]
BY_NAME_AND_VERSION = ["name ASC", "version_number ASC"]

# What the import of MLflow's client, and so of all that a request needs, is known by.
_CLIENT: Final = "mlflow.tracking._model_registry.client"

OWNER_MARK: Final = "reconciler_owner"
"""Where our records fit into no tags, this one says to other repositories whose the model is."""

T = TypeVar("T")


class _Store(Protocol):
    """The part of MLflow's `AbstractStore` that is used here."""

    def search_registered_models(
        self, filter_string: str | None, max_results: int, order_by: list[str] | None, page_token: str | None
    ) -> Any: ...
    def search_model_versions(
        self, filter_string: str | None, max_results: int, order_by: list[str] | None, page_token: str | None
    ) -> Any: ...
    def get_registered_model(self, name: str) -> Any: ...
    def get_model_version(self, name: str, version: str) -> Any: ...
    def create_registered_model(self, name: str) -> Any: ...
    def rename_registered_model(self, name: str, new_name: str) -> Any: ...
    def create_model_version(self, name: str, source: str, **more: Any) -> Any: ...
    def update_registered_model(self, name: str, description: str) -> Any: ...
    def update_model_version(self, name: str, version: str, description: str) -> Any: ...
    def set_registered_model_tag(self, name: str, tag: Any) -> None: ...
    def delete_registered_model_tag(self, name: str, key: str) -> None: ...
    def set_model_version_tag(self, name: str, version: str, tag: Any) -> None: ...
    def delete_model_version_tag(self, name: str, version: str, key: str) -> None: ...
    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool
    ) -> Any: ...
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None: ...
    def delete_registered_model_alias(self, name: str, alias: str) -> None: ...


def sqlite_path(uri: str) -> Path | None:
    """The file behind a `sqlite:///` URI; None for every other registry, and for a database in memory."""
    match = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(match[1]) if match and match[1] != ":memory:" else None


def refuse_without_slots(uri: str) -> None:
    """Raise RegistryError for a registry that has neither stages nor aliases: there is nothing to govern."""
    if _scheme(uri) == "uc":
        raise RegistryError(
            "no-slots",
            f"{uri} is an open-source Unity Catalog server, for which MLflow's client has neither stages nor aliases.",
            "Name an MLflow server, or Unity Catalog on Databricks (`--registry-uri databricks-uc`).",
        )


# What MLflow's clients for these say themselves, and for Unity Catalog's tags, which take no `.` in a key and no more
# than 1,000 characters in a value, what Databricks' documentation and its server say.
_CAPABILITIES: Final = {
    "databricks": Capabilities(aliases=False),
    "databricks-uc": Capabilities(stages=False, searches=False, records=False, registers=False, reserved=".,-=/:"),
}


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()


_Versions: TypeAlias = dict[ModelRef, dict[Version, VersionSnapshot]]


@dataclass(slots=True)
class _Begun:
    """What is being read ahead of a snapshot: models by the filters of our record, and versions by their models."""

    clauses: Sequence[str]
    rows: Callable[[], list[Any]] | None = None
    names: frozenset[ModelRef] = frozenset()
    versions: Callable[[], _Versions] | None = None


@dataclass
class MlflowRegistry:
    """
    The registry port over one of MLflow's stores, which is opened when it is first needed: importing MLflow takes
    seconds, and manifests may turn out to be wrong before. `takes_lists` is False once it has refused `name IN (…)`,
    which servers before MLflow 3 do.
    """

    registry_uri: str
    tracking_uri: str
    takes_lists: bool = True
    tries: Tries = field(default_factory=lambda: _tries(os.environ))
    workspace: str = field(default_factory=lambda: workspace_of(os.environ))
    tell: Tell = untold
    _begun: "_Begun | None" = field(default=None, init=False, compare=False, repr=False)

    @property
    def uri(self) -> str:
        # A path may hold an `@`, and has no user info before it.
        return self.registry_uri if sqlite_path(self.registry_uri) else without_credentials(self.registry_uri)

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES.get(_scheme(self.registry_uri), Capabilities())

    @cached_property
    def reading(self) -> Work:
        return Work(self.tell, "Reading the registry", "models and versions")

    @cached_property
    def store(self) -> _Store:
        for variable, value in HTTP_DEFAULTS.items():
            os.environ.setdefault(variable, value)
        refuse_without_slots(self.registry_uri)
        with importable(), _collector_off():
            refuse_unready(self.registry_uri, self.uri, self.tries)
        clients = imported()
        hush()
        with importable(), translated(self.uri):
            client: Any = clients.ModelRegistryClient(self.registry_uri, self.tracking_uri)
            self.refuse_lacking_workspace(client.store)
            return _swift(client.store)

    @contextmanager
    def readers(self, width: int) -> Generator[ThreadPoolExecutor]:
        """
        Threads that only read. Who interrupts them waits for no server that hangs, and they ask for nothing more:
        by then the environment may be another registry's.
        """
        pool, interrupted = ThreadPoolExecutor(width), False
        try:
            yield pool
        except KeyboardInterrupt:
            self.__dict__["store"], interrupted = _Interrupted(), True
            raise
        finally:
            pool.shutdown(wait=not interrupted, cancel_futures=interrupted)

    def refuse_lacking_workspace(self, store: Any) -> None:
        """
        Raise RegistryError where the workspace that MLFLOW_WORKSPACE names would not be the one that is written to. A
        client that is older than workspaces sends no name, and what it writes lands in the default one.
        """
        said = os.environ.get(WORKSPACE_VARIABLE, "").strip()
        if not said and not (_is_in_place(store) and getattr(store, "supports_workspaces", False)):
            return
        if not said:
            raise RegistryError(
                "no-workspace",
                f"{WORKSPACE_VARIABLE} is not set, and a database that is opened in place with "
                "MLFLOW_ENABLE_WORKSPACES has no default workspace.",
                f"Set {WORKSPACE_VARIABLE}=default, or the workspace that you want.",
            )
        if not hasattr(store, "supports_workspaces"):
            if self.workspace:
                raise RegistryError(
                    "workspace-not-sent",
                    f"{WORKSPACE_VARIABLE} is `{plain(said)}`, and the installed MLflow sends no workspace: what it "
                    "writes would land in the default one.",
                    f"Install MLflow 3.10 or newer, or unset {WORKSPACE_VARIABLE}.",
                )
            return
        if not self._has_workspaces(store) and (self.workspace or not _is_in_place(store)):
            raise RegistryError(
                "no-workspaces",
                f"{WORKSPACE_VARIABLE} is `{plain(said)}`, and {self.uri} has no workspaces.",
                f"Start the server with --enable-workspaces (for a database that is opened in place, set "
                f"MLFLOW_ENABLE_WORKSPACES=true), or unset {WORKSPACE_VARIABLE}.",
            )
        if self.workspace and _is_in_place(store):
            self._refuse_missing_workspace()

    def _refuse_missing_workspace(self) -> None:
        """A server says that it has no such workspace; a database that is opened in place takes any name."""
        import mlflow.tracking._workspace.registry as mlflow_workspaces
        from mlflow.utils.workspace_utils import resolve_workspace_store_uri

        uri = resolve_workspace_store_uri(tracking_uri=self.registry_uri)
        workspaces: Any = mlflow_workspaces
        workspaces.get_workspace_store(workspace_uri=uri).get_workspace(self.workspace)

    def _has_workspaces(self, store: Any) -> bool:
        """What the server says, asked as often as any call is tried: MLflow's client asks it once."""
        from mlflow.exceptions import MlflowException

        for number in self.tries.turns(time.sleep):
            try:
                return bool(store.supports_workspaces)
            except MlflowException as error:
                if error.error_code == "INVALID_PARAMETER_VALUE":
                    # It knows of no such question.
                    return False
                if number == self.tries.most:
                    raise
        return False

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        """
        Pages of models, for aliases and tags, beside pages of versions, for stages: either lacks the other's. MLflow
        asks a server again by itself where it does not answer; a database is asked again here, and a server whose
        answer breaks off.
        """
        return self._patiently(lambda: self._snapshot(wanted))

    def names(self) -> tuple[ModelRef, ...]:
        def read() -> tuple[ModelRef, ...]:
            with translated(self.uri):
                return tuple(sorted(self._ref(model) for model in self._all(self._search_models, None)))

        return self._patiently(read)

    def _ref(self, row: Any) -> ModelRef:
        """The model that a row of MLflow's is, or is of."""
        return ModelRef(row.name)

    def _patiently(self, read: Callable[[], T]) -> T:
        with self.reading:
            _ = self.store  # opened before threads race for it
            in_place, failed = dialect_of(self.registry_uri), None
            for _ in self.tries.turns(time.sleep):
                try:
                    return read()
                except RegistryError as error:
                    if error.code != UNREACHABLE or not (in_place or was_cut_off(error)):
                        raise
                    failed = error
        raise failed or RegistryError(UNREACHABLE, f"{self.uri} was not contacted.")

    def _snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        from mlflow.exceptions import MlflowException

        with translated(self.uri):
            if not self.capabilities.searches:
                return self._read_each(wanted)
            try:
                return self._read(wanted)
            except MlflowException as error:
                if not self.takes_lists or error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
            self.takes_lists = False
            return self._read(wanted)

    def _read(self, wanted: Wanted) -> RegistrySnapshot:
        begun, self._begun = self._begun, None
        with self.readers(READERS) as pool, _awaited() as awaited:
            models_read = pool.submit(self._models, wanted, begun, awaited(self._search_models))
            versions = self._wanted_versions(wanted.models.keys(), begun, awaited(self._search_versions))
            models = models_read.result()
            found = {name: _assembled(model, versions.get(name, {})) for name, model in models.items()}
            missing = sorted(wanted.models.keys() - found.keys())
            found.update((model.name, model) for model in pool.map(self._unlisted_model, missing) if model is not None)
            doubtful = [found[name] for name in sorted(wanted.models) if name in found]
            completed = pool.map(self._completed, doubtful, (wanted.models[model.name] for model in doubtful))
            found.update((model.name, model) for model in completed)
        return RegistrySnapshot(dict(sorted(found.items())))

    def _read_each(self, wanted: Wanted) -> RegistrySnapshot:
        """
        Model by model. In Unity Catalog, a search takes one name and no order, and shows neither tags nor aliases; so
        versions that a manifest or an alias names are asked for by their numbers.
        """

        def read(ref: ModelRef) -> ModelSnapshot | None:
            model = _or_none(lambda: self.store.get_registered_model(ref))
            if model is None:
                return None
            if model.name != ref:
                _unexpected_answer(f"the model {ref}", self.uri)
            rows = self._versions_where(_name_filter(ref))
            versions = {v.version: v for v in (_version_snapshot(row, {}) for row in rows)}
            named = {*wanted.models[ref], *(Version(int(number)) for number in model.aliases.values())}
            for number in sorted(named):
                row = _or_none(lambda number=number: self.store.get_model_version(ref, str(number)))
                if row is None:
                    versions.pop(number, None)
                elif row.name != ref:
                    _unexpected_answer(f"version {number} of {ref}", self.uri)
                else:
                    versions[number] = _version_snapshot(row)
            live = _model_snapshot(ref, model, versions, _owner_of(model))
            mark = live.tags.get(OWNER_MARK)
            if mark is None:
                return live
            tags = {key: value for key, value in live.tags.items() if key != OWNER_MARK}
            return replace(live, tags=tags, owner=decode_owner(mark))

        with self.readers(READERS_EACH) as pool:
            found = [model for model in pool.map(read, sorted(wanted.models)) if model is not None]
        return RegistrySnapshot({model.name: model for model in found})

    @contextmanager
    def ahead(self, ours: Ours) -> Generator[Expect]:
        """
        While this lasts, the models that carry our record are read beside whatever else is done, as every plan needs
        them, and the versions of those models that are said to be expected. All that is for the next snapshot. Where
        MLflow is not imported yet nothing begins: that takes seconds, and manifests may turn out to be wrong before.
        """
        # A workspace is asked for first, and with patience; a database answers while Python waits for it.
        served = _scheme(self.registry_uri) in {"http", "https"} and not os.environ.get(WORKSPACE_VARIABLE, "").strip()
        known = _CLIENT in modules and self.capabilities.records and self.capabilities.searches
        if not served or not known or isinstance(contained(lambda: self.store), Failure):
            # What is wrong with the store is the snapshot's to say.
            yield unexpected
            return
        begun = _Begun(_owned_filters(ours))
        _ = self.reading  # made before threads race for it

        def rows(search: Search) -> list[Any]:
            with self.reading:
                return [row for clause in begun.clauses for row in self._all(search, clause)]

        def versions(names: frozenset[ModelRef], search: Search) -> _Versions:
            SURROUNDINGS.looks_when_it_says()  # other threads search for it
            with self.reading:
                return self._versions(names, search)

        def expect(names: Iterable[ModelRef]) -> None:
            if self._begun is begun and begun.versions is None:
                begun.names = frozenset(names)
                begun.versions = asked(partial(versions, begun.names, awaited(self._search_versions)))

        with _awaited() as awaited:
            begun.rows, self._begun = asked(partial(rows, awaited(self._search_models))), begun
            try:
                yield expect
            finally:
                self._begun = None

    def _owned_rows(self, ours: Ours, begun: "_Begun | None", search: Search) -> Iterable[Any]:
        """What searches for our record find: models of ours, and perhaps others."""
        clauses = _owned_filters(ours)
        if begun is None or begun.rows is None or begun.clauses != clauses:
            return (row for clause in clauses for row in self._all(search, clause))
        rows, begun.rows = deque(begun.rows()), None
        # Each is let go of as soon as it is taken.
        return (rows.popleft() for _ in range(len(rows)))

    def _models(self, wanted: Wanted, begun: "_Begun | None", search: Search) -> "dict[ModelRef, _Listed]":
        """The models that carry our record, in one query, and whatever else is declared, by name."""
        found: dict[ModelRef, _Listed] = {}
        if wanted.owned_by is not None:
            for row in self._owned_rows(wanted.owned_by, begun, search):
                ref, owner = self._ref(row), _owner_of(row)
                if _is_of(owner, wanted.owned_by) or ref in wanted.models:
                    found[ref] = _listed(ref, row, owner)
        rest = sorted(wanted.models.keys() - found.keys())
        for clause in self._filters(rest):
            for row in self._all(search, clause):
                if (ref := self._ref(row)) in wanted.models:
                    found[ref] = _listed(ref, row, _owner_of(row))
        return found

    def _wanted_versions(self, names: Set[ModelRef], begun: "_Begun | None", search: Search) -> _Versions:
        """The versions of these models, as far as they are being read already, and those of the others."""
        if begun is None or begun.versions is None or not begun.names <= names:
            return self._versions(names, search)
        rest = self._versions(names - begun.names, search)
        found, begun.versions = {**begun.versions(), **rest}, None
        return found

    def _versions(self, names: Iterable[ModelRef], search: Search) -> _Versions:
        """
        The versions of these models, by whole pages as long as those hold hardly anything else, and by name otherwise.
        A row costs the server the same either way (seen in MLflow 3.17): foreign rows are what a page wastes, requests
        are what a list of names does.
        """
        remaining = set(names)
        found: _Versions = {}

        def take(rows: Iterable[Any]) -> list[ModelRef]:
            """Whose versions these are, one by one; those that are wanted are kept."""
            owners: list[ModelRef] = []
            for row in rows:
                owners.append(ref := self._ref(row))
                if ref in remaining:
                    version = _version_snapshot(row)
                    found.setdefault(ref, {})[version.version] = version
            return owners

        token: str | None = None
        seen: set[str] = set()
        following: Callable[[], Any] | None = None
        complete = 0
        while following is not None or self._fills_batches(remaining):
            page = search(None, token) if following is None else following()
            token, following = next_of(page, seen), None
            if token is not None and complete and is_unread(page) and self._many(len(remaining) - complete):
                # The page before was of these models, and this one will not be the last of its kind.
                following = asked(partial(search, None, token))
            owners = take(page)
            self.reading.advance(len(owners))
            if token is None:
                return found
            if not owners:
                break
            taken = sum(owner in remaining for owner in owners)
            # The page's last model may go on in the next page; the others are complete.
            names = set(owners) - {owners[-1]}
            complete = len(names & remaining)
            remaining -= names
            if taken < 0.9 * len(owners):
                break

        def of(clause: str | None) -> list[tuple[ModelRef, VersionSnapshot]]:
            refs = ((self._ref(row), row) for row in self._all(search, clause))
            return [(ref, _version_snapshot(row)) for ref, row in refs if ref in remaining]

        for versions in answers(of, self._filters(remaining), READERS - 1):
            for ref, one in versions:
                found.setdefault(ref, {})[one.version] = one
        return found

    def _filters(self, names: Iterable[ModelRef]) -> Sequence[str | None]:
        """What to search for to find these models, and perhaps others; None searches through all there is."""
        ordered = sorted(ref for ref in names)
        if self.takes_lists:
            return list(_name_filters(ordered))
        return [_name_filter(name) for name in ordered] if len(ordered) <= FEW_NAMES else [None]

    def _fills_batches(self, names: Collection[ModelRef]) -> bool:
        """Whether these models take so many requests by name; of thousands it is plain without a filter being made."""
        return self._many(len(names)) or len(self._filters(names)) >= BATCHES_WORTH_A_PROBE

    def _many(self, number: int) -> bool:
        """Whether so many models take so many requests, whatever they are called."""
        return self.takes_lists and number > MOST_NAMES * (BATCHES_WORTH_A_PROBE - 1)

    def _versions_where(self, clause: str | None) -> list[Any]:
        return list(self._all(self._search_versions, clause))

    def _search_models(self, clause: str | None, token: str | None) -> Any:
        return self.store.search_registered_models(clause, MODELS_PAGE, self._by(BY_NAME), token)

    def _search_versions(self, clause: str | None, token: str | None) -> Any:
        return self.store.search_model_versions(clause, VERSIONS_PAGE, self._by(BY_NAME_AND_VERSION), token)

    def _by(self, order: list[str]) -> list[str] | None:
        return order if self.capabilities.searches else None

    def _all(self, search: Search, clause: str | None) -> Iterator[Any]:
        """What all pages of a search hold, counted."""
        for page in pages(search, clause):
            self.reading.advance(len(page))
            yield from page

    def _unlisted_model(self, ref: ModelRef) -> ModelSnapshot | None:
        model = _or_none(lambda: self.store.get_registered_model(ref))
        if model is None:
            return None
        if model.name != ref:
            _unexpected_answer(f"the model {ref}", self.uri)
        # It is there and no search lists it: MLflow takes it for a prompt.
        return replace(_model_snapshot(ref, model, {}, _owner_of(model)), hidden_model=True)

    def _completed(self, model: ModelSnapshot, declared: frozenset[Version]) -> ModelSnapshot:
        """
        Ask for the versions that ought to be there and are not listed: gone, newer than the listing, or hidden, because
        one version that is tagged as a prompt hides all versions of its model (seen in MLflow 3.17).
        """
        if model.hidden_model:
            return model
        there = {
            number: stage
            for number in sorted({*declared, *model.hidden} - model.versions.keys())
            if (stage := self._stage_of(model.name, number)) is not None
        }
        if not there:
            return replace(model, hidden={})
        rows = self._versions_where(_name_filter(model.name))
        rows = (row for row in rows if self._ref(row) == model.name)
        versions = {v.version: v for v in (_version_snapshot(row) for row in rows)}
        return replace(model, versions=versions, hidden={n: s for n, s in there.items() if n not in versions})

    def _stage_of(self, ref: ModelRef, number: Version) -> Stage | None:
        row = _or_none(lambda: self.store.get_model_version(ref, str(number)))
        if row is None:
            return None
        if row.name != ref:
            _unexpected_answer(f"version {number} of {ref}", self.uri)
        return _stage(row.current_stage)

    def execute(self, change: Change) -> None:
        """One request. Repeating it does no harm: each sets something to what it may be already."""
        _ = self.store
        with translated(self.uri), _ONCE, attempt(self.tries.longest / 2):
            self._execute(change)

    def _execute(self, change: Change) -> None:
        from mlflow.entities.model_registry import RegisteredModelTag

        store, model = self.store, change.model
        match change:
            case CreateModel():
                self._create(model)
            case RenameModel():
                self._rename(change.before, model)
            case Claim():
                store.set_registered_model_tag(model, RegisteredModelTag(*self._owner_tag(change.after)))
            case Release():
                key, _ = self._owner_tag(change.before)
                _or_none(lambda: store.delete_registered_model_tag(model, key))
            case RegisterVersion():
                self._register(change)
            case DescribeModel():
                store.update_registered_model(model, change.after)
            case TagModel():
                store.set_registered_model_tag(model, RegisteredModelTag(change.key, change.after))
            case DescribeVersion():
                store.update_model_version(model, str(change.version), change.after)
            case RecordTags():
                value = encode_tagged(change.after) if change.after else None
                self._tag_version(model, change.version, TAGS_TAG, value)
            case TagVersion():
                self._tag_version(model, change.version, change.key, change.after)
            case UntagVersion():
                self._tag_version(model, change.version, change.key, None)
            case RecordProvenance():
                self._tag_version(model, change.version, PROVENANCE_TAG, encode_provenance(change.after))
            case TransitionStage():
                self._transition(change)
            case SetAlias():
                store.set_registered_model_alias(model, change.alias, str(change.after))
            case DeleteAlias():
                # Unity Catalog says that there is none; a database says nothing.
                _or_none(lambda: store.delete_registered_model_alias(model, change.alias))
            case _:
                assert_never(change)

    def _owner_tag(self, owner: Ownership) -> tuple[str, str]:
        if self.capabilities.records:
            return OWNER_TAG, encode_owner(owner)
        return OWNER_MARK, encode_owner(replace(owner, stages=(), aliases=()))

    def _tag_version(self, model: str, version: Version, key: str, value: str | None) -> None:
        from mlflow.entities.model_registry import ModelVersionTag

        if value is None:
            self.store.delete_model_version_tag(model, str(version), key)
        else:
            self.store.set_model_version_tag(model, str(version), ModelVersionTag(key, value))

    def _register(self, change: RegisterVersion) -> None:
        """Unless it is there: a call that is repeated, as its answer got lost, makes no second version."""
        name = change.model
        rows = (row for row in self._versions_where(_name_filter(name)) if row.name == name)
        versions = {row.version: row for row in map(_version_snapshot, rows)}
        if not is_registered(ModelSnapshot(change.model, versions=versions), change):
            self._create_version(change)

    def _create_version(self, change: RegisterVersion) -> None:
        from mlflow.entities.model_registry import ModelVersionTag

        name, brought = change.model, change.brought
        if brought is None:
            model_id = {"model_id": change.model_id} if change.model_id else {}
            self.store.create_model_version(name, change.uri, run_id=change.run_id or None, **model_id)
            return
        # The tag is there as soon as the version is: no apply can end between the two.
        said: dict[str, Any] = {"tags": [ModelVersionTag(ORIGINAL_TAG, encode_attribution(brought.attribution))]}
        said |= {"model_id": brought.model_id} if brought.model_id else {}
        self.store.create_model_version(name, brought.source, run_id=brought.run_id, **said)

    def _create(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.store.create_registered_model(name)
        except MlflowException as error:
            # A retry of a request whose answer got lost finds what the first one made.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _rename(self, before: str, after: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.store.rename_registered_model(before, after)
        except MlflowException as error:
            # A retry of a request whose answer got lost finds nothing left to rename.
            gone = error.error_code == "RESOURCE_DOES_NOT_EXIST"
            if not gone or _or_none(lambda: self.store.get_registered_model(after)) is None:
                raise

    def _transition(self, change: TransitionStage) -> None:
        # PostgreSQL compares a number with text only where the driver is psycopg2 (seen in MLflow 3.17).
        name, number = change.model, str(change.version)
        sent = int(number) if dialect_of(self.registry_uri) else number
        moved = self.store.transition_model_version_stage(name, sent, str(change.after), change.exclusive)
        if (moved.name, str(moved.version), moved.current_stage) != (name, number, change.after):
            _unexpected_answer(f"the move of {change.model} v{change.version} to {change.after}", self.uri)


class _Once:
    """
    While a call is made, MLflow's client tries nothing again by itself: it could not see that the lock was lost
    meanwhile. It reads how often from the environment, so this holds for all threads, for as long as one is inside.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._inside = 0
        self._before: str | None = None

    def __enter__(self) -> None:
        with self._guard:
            if self._inside == 0:
                self._before = os.environ.get(RETRIES)
                os.environ[RETRIES] = "0"
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._inside -= 1
            if self._inside == 0 and self._before is not None:
                os.environ[RETRIES] = self._before
            elif self._inside == 0:
                os.environ.pop(RETRIES, None)


_ONCE = _Once()


def workspace_of(environment: Mapping[str, str]) -> str:
    """The workspace that MLflow's own client would name; empty for the default one."""
    return workspace_name(environment.get(WORKSPACE_VARIABLE, ""))


def _tries(environment: Mapping[str, str]) -> Tries:
    """What MLflow's own variables ask for. It refuses what is no number by itself."""
    told = {name: environment.get(name, "") for name in HTTP_DEFAULTS}
    retries, backoff, timeout = (
        float(told[name] if re.fullmatch(r"[0-9.]{1,9}", told[name]) else default)
        for name, default in HTTP_DEFAULTS.items()
    )
    # The time-out is one for connecting and one for each wait for an answer.
    return Tries(1 + int(retries), backoff, 2 * timeout)


@contextmanager
def _awaited() -> Generator[Callable[[Search], Search]]:
    """
    What makes searches of searches that end with this: who reads in a thread then asks for no more pages, as nobody
    waits for them, and the environment may be another registry's by then.
    """
    over = Flag()

    def until_over(search: Search) -> Search:
        def asking(clause: str | None, token: str | None) -> Any:
            SURROUNDINGS.looks()
            if over.is_set():
                raise RegistryError("not-needed", "Nobody waits for this page.")
            return search(clause, token)

        return asking

    try:
        yield until_over
    finally:
        over.set()


class _Interrupted:
    """A store after Ctrl-C."""

    def __getattr__(self, name: str) -> Any:
        raise RegistryError("interrupted", f"`{name}` was not asked for: the command was interrupted.")


@contextmanager
def importable() -> Generator[None]:
    """Around imports of MLflow: a fresh install of an old release takes libraries that are too new for it."""
    try:
        yield
    except ImportError as error:
        wanted = {"pkg_resources": "setuptools<81", "sqlalchemy": "sqlalchemy<2.1"}.get(
            (error.name or "").split(".")[0]
        )
        raise RegistryError(
            "mlflow-not-importable",
            f"MLflow {version('mlflow-skinny')} cannot be imported here: {error}.",
            f"Install `{wanted}`, which this release needs." if wanted else "Reinstall it with its dependencies.",
        ) from error


def imported() -> Any:
    """What opens registries, of MLflow's client. Raises RegistryError where it cannot be imported."""
    with importable(), _collector_off():
        import mlflow.tracking._model_registry.client as mlflow_client

        return mlflow_client


@contextmanager
def _collector_off() -> Generator[None]:
    """
    Importing MLflow makes some 150,000 objects that are not garbage, and Python's search among them for what is
    takes a sixth of the time, and is repeated while pages are read if they are not set apart.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        _freeze()
    finally:
        if enabled:
            gc.enable()


def _freeze() -> None:
    # What somebody else has set apart could not be told from ours later.
    if _FROZEN or not gc.get_freeze_count():
        gc.freeze()
        _FROZEN.add("ours")


def thaw() -> None:
    """Let Python look for garbage everywhere again: in a notebook there is more than MLflow."""
    if _FROZEN:
        _FROZEN.clear()
        gc.unfreeze()


def _swift(store: Any) -> Any:
    """The store, or what is faster and does the same."""
    from mlflow.store.model_registry.rest_store import RestStore

    # Stores that are derived from it have other endpoints.
    return _SwiftRestStore(store) if type(store) is RestStore else store


def _is_in_place(store: Any) -> bool:
    """Whether a store is a database that is opened without a server."""
    return hasattr(store, "engine")


_LATER: Final = ("auth", "aws_sigv4")
"""What of MLflow's credentials takes something from the environment when a request is sent."""


class _SwiftRestStore:
    """
    MLflow's REST store, but its searches are read from the JSON at once. The store makes protocol buffers of it first,
    in Python code, which takes a third of the CPU time of a plan (seen in MLflow 3.17). And no answer waits for the
    acknowledgement of its beginning. Requests, retries and errors are MLflow's.
    """

    def __init__(self, store: Any) -> None:
        # MLflow gives everybody in this process the same one.
        self._store, self._theirs = copy(store), store
        if all(hasattr(store, name) for name in ("_get_endpoint_from_method", "_get_response_from_method")):
            self._store._call_endpoint = self._call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _call(self, api: Any, body: Any, *more: Any, **options: Any) -> Any:
        """What MLflow's store does with each call."""
        from mlflow.utils import proto_json_utils, rest_utils

        if any((*more, *options.values())):
            return self._theirs._call_endpoint(api, body, *more, **options)
        rest: Any = rest_utils
        protos: Any = proto_json_utils
        endpoint, method = self._store._get_endpoint_from_method(api)
        said = {"params" if method == "GET" else "json": None if body is None else json.loads(body)}
        with _caused():
            response = rest.http_request(self._store.get_host_creds(), endpoint, method, hooks=_HOOKS, **said)
        response = rest.verify_rest_response(response, endpoint)
        answer = self._store._get_response_from_method(api)
        if response.status_code != HTTPStatus.NO_CONTENT:
            protos.parse_dict(js_dict=json.loads(response.text), message=answer)
        return answer

    def search_registered_models(self, *asked: Any) -> Any:
        return self._page("registered-models", "registered_models", _model_row, asked)

    def search_model_versions(self, *asked: Any) -> Any:
        return self._page("model-versions", "model_versions", _version_row, asked)

    def _page(self, path: str, key: str, row: Callable[[Any], Any], asked: Iterable[Any]) -> Page:
        from mlflow.utils import rest_utils

        rest: Any = rest_utils
        endpoint = f"/api/2.0/mlflow/{path}/search"
        named = zip(("filter", "max_results", "order_by", "page_token"), asked, strict=True)
        parameters = {name: value for name, value in named if value is not None}
        credentials = self._store.get_host_creds()
        if not any(getattr(credentials, kind, None) for kind in _LATER):
            SURROUNDINGS.has_looked()
        with _caused():
            response = rest.http_request(credentials, endpoint, "GET", params=parameters, hooks=_HOOKS)
        if not response.ok or not response.content.startswith(b"{"):
            response = rest.verify_rest_response(response, endpoint)
        # What looks right, MLflow's check would parse as a whole, to see that it is JSON; then it is parsed again.
        return Page(endpoint, response.content, key, row)


@contextmanager
def _caused() -> Generator[None]:
    """
    What went wrong with a request stays known by its cause: MLflow leaves that to the context of its error, which
    Python makes another one where the error comes out of a thread while something else is handled.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        error.__cause__ = error.__cause__ or error.__context__
        raise


def _acknowledge(response: Any, *_: object, **__: object) -> None:
    """
    Says at once that the beginning of an answer has arrived. With several workers, MLflow's server sends the rest when
    it hears that (seen in 3.17: Nagle's algorithm is on); Linux says it after 40 ms otherwise.
    """
    connection = getattr(response.raw, "_connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None and (quick := getattr(socket, "TCP_QUICKACK", None)) is not None:
        with suppress(OSError, ValueError):
            sock.setsockopt(socket.IPPROTO_TCP, quick, 1)


_HOOKS: Final = {"response": _acknowledge}


class _Shown(NamedTuple):
    """What the entry of a model shows of a version."""

    version: Any
    current_stage: str | None


def _model_row(told: Mapping[str, Any]) -> SimpleNamespace:
    """A registered model in JSON, with the attributes of MLflow's entity that are read here."""
    return SimpleNamespace(
        name=text_of(told.get("name", "")),
        description=text_of(told.get("description")),
        tags=_tags(told),
        aliases={text_of(alias["alias"]): alias["version"] for alias in told.get("aliases", ())},
        latest_versions=[
            _Shown(version.get("version", ""), text_of(version.get("current_stage", "")))
            for version in told.get("latest_versions", ())
        ],
    )


def _version_row(told: Mapping[str, Any]) -> SimpleNamespace:
    """The same of a model version."""
    return SimpleNamespace(
        name=text_of(told.get("name", "")),
        version=told.get("version", ""),
        current_stage=text_of(told.get("current_stage", "")),
        status=text_of(told.get("status")),
        run_id=text_of(told.get("run_id")),
        description=text_of(told.get("description")),
        creation_timestamp=told.get("creation_timestamp"),
        last_updated_timestamp=told.get("last_updated_timestamp"),
        source=text_of(told.get("source")),
        tags=_tags(told),
    )


def _tags(told: Mapping[str, Any]) -> dict[str | None, str | None]:
    return {text_of(tag["key"]): text_of(tag.get("value", "")) for tag in told.get("tags", ())}


def _owned_filters(ours: Ours) -> Sequence[str]:
    """Narrowed to our own records where the repository's names can be quoted in a filter."""
    names = [ours.name, *ours.formerly]
    if not all(re.fullmatch(r"[\w./:#@+-]+", name, re.ASCII) for name in names):
        names = [""]
    return [f"tags.`{OWNER_TAG}` {'ILIKE' if name.startswith(ANY_CASE) else 'LIKE'} '%{name}%'" for name in names]


def _owner_of(model: Any) -> OwnerRecord | None:
    record = model.tags.get(OWNER_TAG)
    return None if record is None else decode_owner(record)


def _is_of(owner: OwnerRecord | None, ours: Ours) -> bool:
    return isinstance(owner, Ownership) and ours.owns(owner.repository, owner.commit)


UNQUOTABLE: Final = r"""['"`\\]"""


def _name_filter(name: str) -> str:
    """
    Finds one model, and perhaps others: a name that cannot be quoted inside a filter is looked for by a pattern with
    `_`, any one character, where the trouble is.
    """
    if re.search(UNQUOTABLE, name):
        return "name LIKE '" + re.sub(UNQUOTABLE, "_", name) + "'"
    return f"name = '{name}'"


def _name_filters(names: Iterable[str]) -> Iterator[str]:
    """Finds these models, many with one filter where that is possible."""
    batch: list[str] = []
    size = 0
    for name in names:
        if re.search(UNQUOTABLE, name):
            yield _name_filter(name)
            continue
        length = len(quote(f"'{name}',"))
        if batch and (len(batch) >= MOST_NAMES or size + length > MOST_FILTER_CHARACTERS):
            yield f"name IN ({','.join(batch)})"
            batch, size = [], 0
        batch.append(f"'{name}'")
        size += length
    if batch:
        yield f"name IN ({','.join(batch)})"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model as a listing of models shows it: without its versions, but for which of them are in active stages."""

    model: ModelSnapshot
    active: tuple[tuple[Version, Stage], ...]


def _listed(ref: ModelRef, row: Any, owner: OwnerRecord | None) -> _Listed:
    active = (
        (Version(int(v.version)), stage) for v in row.latest_versions if (stage := _stage(v.current_stage)).active
    )
    return _Listed(_model_snapshot(ref, row, _NO_VERSIONS, owner), tuple(active))


def _assembled(listed: _Listed, versions: Mapping[Version, VersionSnapshot]) -> ModelSnapshot:
    """One model, with the versions that its own entry shows in an active stage and the listing does not, if any."""
    unlisted = {number: stage for number, stage in listed.active if number not in versions}
    return replace(listed.model, versions=dict(sorted(versions.items())), hidden=unlisted)


# One for all that have none, as most versions do. Nobody changes what a snapshot holds.
_NO_VERSIONS: Final[Mapping[Version, VersionSnapshot]] = {}
_NO_PLACEMENTS: Final[Provenance] = {}
_NOTHING_TAGGED: Final = frozenset[str]()


def _model_snapshot(
    ref: ModelRef, model: Any, versions: Mapping[Version, VersionSnapshot], owner: OwnerRecord | None
) -> ModelSnapshot:
    return ModelSnapshot(
        name=ref,
        description=model.description or "",
        tags={_one(key): _one(value) for key, value in model.tags.items() if key != OWNER_TAG},
        # REST gives numbers as text, a database in place gives them as numbers (seen in MLflow 3.17).
        aliases={AliasName(alias): Version(int(version)) for alias, version in sorted(model.aliases.items())},
        versions=dict(sorted(versions.items())),
        owner=owner,
    )


_OF_TOOLS = (OUR_TAG_PREFIX, MLFLOW_TAG_PREFIX)


_SPELLED: Final = {stage.value: stage for stage in Stage}
_SPELLED_ALIKE: Final = {stage.casefold() for stage in Stage}


def _stage(text: str | None) -> Stage:
    """
    The stage that a version is found in: `None` where the registry has no stages, and for one that a hand or an old
    tool wrote in other letters, `production`. MLflow takes it over into a database and then compares it to the letter
    (seen in 3.17).
    """
    if text is None:
        return Stage.NONE
    stage = _SPELLED.get(text)
    if stage is None and text.casefold() in _SPELLED_ALIKE:
        return Stage.NONE
    return stage or Stage(text)


def _one(text: Any) -> Any:
    """The text by one object for all that say the same: keys and values of tags are few, and versions are many."""
    return intern(text) if type(text) is str else text


@lru_cache(1024)
def _same_tags(*items: tuple[str, str]) -> Mapping[str, str]:
    """Tags by one object for all versions that have the same ones, as many have."""
    return dict(items)


def _tags_of(shown: Mapping[str, Any]) -> Mapping[str, str]:
    """A version's tags without those of tools."""
    items = [(_one(key), _one(str(value))) for key, value in shown.items() if not key.startswith(_OF_TOOLS)]
    # A long value is hardly that of another version, and is not kept any longer than this one.
    return _same_tags(*items) if all(len(value) <= SHORT for _, value in items) else dict(items)


def _version_snapshot(row: Any, tags: Mapping[str, Any] | None = None) -> VersionSnapshot:
    """A version as a row of a registry shows it; with other `tags`, where it shows none."""
    shown: Mapping[str, Any] = row.tags if tags is None else tags
    record, tagged = shown.get(PROVENANCE_TAG), shown.get(TAGS_TAG)
    return VersionSnapshot(
        version=Version(int(row.version)),
        stage=_stage(row.current_stage),
        status=_one(row.status),
        run_id=row.run_id or "",
        description=row.description or "",
        created_at=int(row.creation_timestamp or 0),
        updated_at=int(row.last_updated_timestamp or 0),
        provenance=_NO_PLACEMENTS if record is None else decode_provenance(record),
        tags=_tags_of(shown),
        tagged=_NOTHING_TAGGED if tagged is None else decode_tagged(tagged),
        source=source_digest(getattr(row, "source", None)),
        model_id=str(getattr(row, "model_id", None) or ""),
        original=Original.named_by(getattr(row, "source", None)),
        attribution=decode_attribution(shown.get(ORIGINAL_TAG)),
    )


def _or_none(get: Callable[[], T]) -> T | None:
    from mlflow.exceptions import MlflowException

    try:
        return get()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _unexpected_answer(asked: str, uri: str) -> NoReturn:
    raise RegistryError(
        "unexpected-answer",
        f"{uri} gave an unexpected answer when asked for {asked}.",
        "Check that it is an MLflow server, and that no proxy answers in its place.",
    )


_WHAT_TO_DO: Final = {
    "UNAUTHENTICATED": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
    "PERMISSION_DENIED": "Give this user the permission; or, if the server speaks of its Host header, name this host "
    "in its --allowed-hosts.",
    "ENDPOINT_NOT_FOUND": "Check that this is the address of an MLflow server, with its path prefix if any.",
    UNREACHABLE: "Check the address and the server's log. MLFLOW_HTTP_REQUEST_MAX_RETRIES and "
    "MLFLOW_HTTP_REQUEST_TIMEOUT control how long to try.",
}


def remedy_for(code: str) -> str:
    """What to do about an error of MLflow's, where that is known."""
    return SURROUNDINGS.named(_WHAT_TO_DO.get(code, ""))


@contextmanager
def translated(uri: str) -> Generator[None]:
    """MLflow's errors as ours: decided by their code, and told without credentials."""
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if isinstance(error.__cause__, database_errors()):
            raise database_error(uri, error.__cause__) from error
        # Refused, unresolved, timed out, 5xx to the last try: MLflow has one code for them all (seen in 3.17).
        code = UNREACHABLE if error.error_code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"} else error.error_code
        if code == UNREACHABLE and (told := why_unreachable(error)):
            raise RegistryError(code, f"{uri} {told[0]}.", SURROUNDINGS.named(told[1])) from error
        said, fix = without_credentials(" ".join(str(error).split())), remedy_for(code)
        raise RegistryError(code, f"{uri} said: {sentence(said)}", fix) from error
    except database_errors() as error:
        raise database_error(uri, error) from error
    except (ParseError, ValueError, TypeError, OverflowError) as error:
        # JSON of another shape, a stage that is none, a version that is no number or null, a time without end.
        raise RegistryError(
            "unexpected-answer",
            f"{uri} did not answer like MLflow ({without_credentials(str(error))[:600]}).",
            "Check that it is an MLflow server, of a release that has stages.",
        ) from error
    except ModuleNotFoundError as error:
        raise RegistryError("no-driver", f"{uri} needs the Python module {error.name}.", "Install it.") from error
