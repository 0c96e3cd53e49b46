"""The nouns: models, versions, stages, aliases, and the slots that consumers look a version up in."""

import re
import unicodedata
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NewType, TypeAlias

from reconciler.core.looks import described, is_plain, plainer, unseen_fault

Version = NewType("Version", int)
AliasName = NewType("AliasName", str)
TagKey = NewType("TagKey", str)
ModelRef = NewType("ModelRef", str)
"""
The name of a registered model; of one in another registry of the policy, behind that one's name and a `/`, which MLflow
takes in no model's name: `dev/risk`.
"""
Commit = NewType("Commit", str)
RepositoryId = NewType("RepositoryId", str)

ANY_CASE = ("github.com/", "gitlab.com/", "bitbucket.org/", "codeberg.org/")
"""Forges that tell no two repositories apart by upper and lower case."""


@dataclass(frozen=True, slots=True)
class Ours:
    """
    One repository and folder by all its names: the one it has, and those that the standing policy says it had. A former
    name without a folder stands for this folder of the former repository. `line` are the commits of the trusted line:
    what a former name says of another commit is somebody's who has that name today. Whose a record is, is decided here.
    """

    name: RepositoryId
    formerly: tuple[RepositoryId, ...] = ()
    line: Container[Commit | None] = ()

    def owns(self, owner: RepositoryId, commit: Commit | None) -> bool:
        """Whether a record of that owner, for that commit, is of this repository and folder."""
        return self.named(owner) and (_place(owner) == _place(self.name) or commit in self.line)

    def named(self, owner: RepositoryId) -> bool:
        """Whether that is this repository and folder, by any of its names."""
        return _place(owner) in self._places

    def is_repository(self, owner: RepositoryId) -> bool:
        """Whether that is this repository, by any of its names, whatever the folder."""
        repository = _place(owner)[0]
        return any(repository == one for one, _ in self._places)

    def has_folder(self, owner: RepositoryId) -> bool:
        """Whether that is this folder: of a folder that became several, only the manifests tell what is whose."""
        return _place(owner)[1] == _place(self.name)[1]

    @property
    def _places(self) -> frozenset[tuple[str, str]]:
        return _places(self.name, self.formerly)


@lru_cache(64)
def _places(name: RepositoryId, formerly: tuple[RepositoryId, ...]) -> frozenset[tuple[str, str]]:
    """A repository and its folder by all names; they are the same for every record that a command asks about."""
    folder = _place(name)[1]
    former = [_place(one) for one in formerly]
    return frozenset([_place(name), *former, *((one, folder) for one, its in former if not its)])


@lru_cache(1024)
def _place(owner: RepositoryId) -> tuple[str, str]:
    """The repository, by one spelling, and the folder."""
    repository, _, folder = owner.partition("#")
    return folded_repository(repository), folder


def folded_repository(repository: str) -> str:
    """A repository's name in lower case, where its forge takes it in any."""
    lower = repository.lower()
    return lower if lower.startswith(ANY_CASE) else repository


@dataclass(frozen=True, slots=True, order=True)
class VersionTag:
    """A tag of a version, by its key."""

    version: Version
    key: str


class Stage(StrEnum):
    """MLflow's four stages, in the order in which a version usually goes through them."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"

    @property
    def active(self) -> bool:
        """Whether consumers are expected to load from this stage."""
        return self in ACTIVE_STAGES

    @property
    def slot(self) -> "Slot":
        """The stage as a place where consumers look a version up."""
        return _STAGE_SLOTS[self]


_STAGES: dict[str, Stage] = {stage.value: stage for stage in Stage}

ACTIVE_STAGES = (Stage.STAGING, Stage.PRODUCTION)


REGISTRY_NAME = "^[a-z][a-z0-9-]{0,39}$"
"""What a policy may call one of several registries: nothing of it can be a `/`."""


def in_registry(registry: str, model: ModelRef) -> ModelRef:
    """A model of a registry by the name that it has among those of all: its own, where no registry is named."""
    return ModelRef(f"{registry}/{model}") if registry else model


def registry_of(model: ModelRef) -> str:
    """The other registry that a model is in; empty for ours."""
    return model.rpartition("/")[0]


def name_there(model: ModelRef) -> ModelRef:
    """What a model is called in its own registry."""
    return ModelRef(model.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Original:
    """A version of another registered model, here or in another registry, of which one is a copy."""

    model: ModelRef
    version: Version

    def __str__(self) -> str:
        return f"v{self.version} of {self.model}"

    @property
    def registry(self) -> str:
        """The other registry that it is in; empty for ours."""
        return registry_of(self.model)

    @property
    def uri(self) -> str:
        """
        The source of its copies, as MLflow's own client writes it (`copy_model_version`, seen in 3.17). It is that of
        none where the original is in another registry: nothing that MLflow has leads there.
        """
        return f"models:/{self.model}/{self.version}"

    @classmethod
    def named_by(cls, source: str | None) -> "Original | None":
        """The version that a source names as what it was copied from. MLflow takes no `/` in the name of a model."""
        named = re.fullmatch(r"models:/([^/]+)/([1-9][0-9]{0,17})", source or "")
        return None if named is None else cls(ModelRef(named[1]), Version(int(named[2])))


class Slot(str):
    """
    A place where consumers look a version up: a stage by its name, or an alias behind an `@`. Exactly one of `stage`
    and `alias` is there. It is written, compared and sorted as its text. Raises ValueError for a text that is neither.
    """

    __slots__ = ("alias", "stage")

    stage: Stage | None
    alias: AliasName | None

    def __new__(cls, text: str) -> "Slot":
        slot = super().__new__(cls, text)
        slot.alias = AliasName(text[1:]) if text.startswith("@") and text != "@" else None
        slot.stage = _STAGES.get(text)
        if slot.alias is None and slot.stage is None:
            raise ValueError(f"{text!r} is neither a stage nor an `@alias`")
        return slot

    @property
    def active(self) -> bool:
        """Whether consumers are expected to load from it: every alias, and those stages."""
        return self.stage is None or self.stage.active

    @property
    def holds_one(self) -> bool:
        """Whether it names at most one version, as an alias does; a stage may hold several."""
        return self.alias is not None


_STAGE_SLOTS = {stage: Slot(stage.value) for stage in Stage}

LiveSlots: TypeAlias = frozenset[Slot]

LIVE: LiveSlots = frozenset({Stage.PRODUCTION.slot})
"""The slots that consumers depend on, where nobody says which: what is there must never be missing."""


@lru_cache(4096)
def slot_called(text: str) -> Slot:
    """
    The slot of that text: one object for all models that have it, as thousands have the same few. Raises ValueError as
    `Slot` does.
    """
    return Slot(text)


def alias_slot(alias: AliasName) -> Slot:
    """The slot of an alias: `@champion`, as in `models:/RiskClassifier@champion`."""
    return slot_called(f"@{alias}")


_USUAL_PORTS = {"http": ":80", "https": ":443"}


def registry_name(uri: str) -> str:
    """What a registry's address says of which one it is: the same for everybody, whoever they log in as."""
    found = re.fullmatch(r"(?is)([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", uri.strip())
    if found:
        scheme, authority, rest = found.groups()
        scheme, host = scheme.lower(), authority.rpartition("@")[2].lower()
        uri = f"{scheme}://{host.removesuffix(_USUAL_PORTS.get(scheme, ' '))}{rest}"
    return uri.strip().rstrip("/")


def names_of(uri: str, listed: Iterable[str]) -> tuple[str, ...]:
    """What the registry at an address is called, the name that is written down first: `listed` are names of one."""
    name, names = registry_name(uri), tuple(map(registry_name, listed))
    return names if name in names else (name,)


DEFAULT_WORKSPACE = "default"

WORKSPACE = re.compile(r"[a-z0-9][-a-z0-9]{0,61}[a-z0-9]")
"""What a workspace may be called. MLflow: `WorkspaceNameValidator`."""


def workspace_name(text: str) -> str:
    """A workspace as it is written down: nothing for the default one, which a registry has that has no others."""
    name = text.strip()
    return "" if name == DEFAULT_WORKSPACE else name


def in_workspace(registry: str, workspace: str) -> str:
    """A registry and the workspace of it that is meant, as one word that nobody reads: for locks and comments."""
    return f"{registry}#{workspace}" if workspace else registry


# The tightest limit of any store behind MLflow holds everywhere: PostgreSQL's columns are shorter than SQLite's, and a
# manifest that is right on one must be right on the other.
# See contract/test_registry.py::test_what_we_accept_every_store_accepts.
MAX_MODEL_NAME = 256
MAX_ALIAS = 255
MAX_DESCRIPTION = 5000
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 5000

# Letters and digits of any script, `_` and `-`: ECMA and Python regular expressions read this negation alike.
ALIAS_PATTERN = r"^[^\s\x00-,./:-@\[-^`{-\x9f]{1,255}$"
RESERVED_ALIAS = re.compile(r"(?i)latest|v[0-9]+")
MODEL_NAME_PATTERN = r"^[^/:\x00-\x1f\x7f-\x9f]{1,256}$"
TAG_KEY_PATTERN = r"^[A-Za-z0-9_\-. :/]{1,250}$"
OUR_TAG_PREFIX = "reconciler."
MLFLOW_TAG_PREFIX = "mlflow."


def model_name_fault(name: str) -> str | None:
    """Why MLflow or we would refuse this model name, or None. MLflow: `_validate_model_name`."""
    if not name.strip() or name in {".", ".."}:
        return "a model name cannot be blank, `.` or `..`"
    if "/" in name or ":" in name:
        return "a model name cannot contain `/` or `:`, which `models:/name/stage` needs"
    if why := unseen_fault(name):
        return why
    if len(name) > MAX_MODEL_NAME:
        return f"a model name has at most {MAX_MODEL_NAME} characters; this one has {len(name)}"
    return None


def alias_fault(alias: str) -> str | None:
    """Why MLflow or we would refuse this alias, or None. MLflow: `_validate_model_alias_name`."""
    if RESERVED_ALIAS.fullmatch(alias):
        return f"`{alias}` is reserved by MLflow: `latest` and `v` plus a number already have a meaning"
    if not alias or len(alias) > MAX_ALIAS:
        return f"an alias has 1 to {MAX_ALIAS} characters; this one has {len(alias)}"
    if not re.fullmatch(r"[\w-]+", alias):
        return "an alias consists of letters, digits, `_` and `-`"
    return unseen_fault(alias)


def tag_key_fault(key: str) -> str | None:
    """Why MLflow or we would refuse this tag key, or None. MLflow: `_validate_tag_name`."""
    if key.startswith((OUR_TAG_PREFIX, MLFLOW_TAG_PREFIX)):
        return f"tags that begin with `{OUR_TAG_PREFIX}` or `{MLFLOW_TAG_PREFIX}` are written by the tools themselves"
    if not re.fullmatch(TAG_KEY_PATTERN.strip("^$"), key):
        return f"a tag key has 1 to {MAX_TAG_KEY} characters: letters, digits, `_`, `-`, `.`, `:`, `/` and space"
    if key.startswith("/") or "//" in key or ".." in key or key.endswith("/") or key == ".":
        return "a tag key cannot look like a path"
    return None


def has_control_characters(text: str, allowed: str = "") -> bool:
    """
    Whether the text holds characters that a terminal or a reviewer would not see as they are: control codes, and format
    characters such as bidirectional overrides (Unicode categories Cc and Cf, and line separators).
    """
    return not is_plain(text) and any(
        c not in allowed and unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in text
    )


# The scripts with letters that look like Latin ones. Whole words in them are fine, as are letters of all other scripts.
_CONFUSABLE_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")


def look_alike_fault(text: str) -> str | None:
    """
    Why this name does not read as it looks, however long it has stood, or None. It holds what nobody sees; or letters
    that stand for others, such as full-width ones; or one word mixes Latin letters with letters of another script that
    are drawn alike, such as a Cyrillic `а` in `champion`.
    """
    if why := unseen_fault(text):
        return why
    if (plain_letters := plainer(text)) is not None:
        apart = next(filter(unicodedata.combining, text), "")
        if apart and plain_letters == unicodedata.normalize("NFC", text):
            return f"it is `{plain_letters}` with accents as separate characters, such as {described(apart)}"
        return f"it imitates `{plain_letters}` with similar letters"
    if text.isascii():
        return None
    drawn = "".join(c for c in text if unicodedata.category(c)[0] not in "CM")
    for word in re.findall(r"[^\W_]+", drawn):
        scripts = {letter: _script(letter) for letter in word}
        own = "LATIN" if "LATIN" in scripts.values() else next(filter(None, scripts.values()), None)
        for letter, script in scripts.items():
            if script is not None and script != own:
                return f"its letter `{letter}` is {described(letter)}, in a word of {str(own).capitalize()} letters"
    return None


def _script(letter: str) -> str | None:
    first = unicodedata.name(letter, "").partition(" ")[0]
    return first if first in _CONFUSABLE_SCRIPTS else None
