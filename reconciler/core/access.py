"""Who may write what in a registry: what its server can tell apart, what our commands need, and what a check showed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reconciler.core.desired import DesiredState
from reconciler.core.names import Commit, ModelRef, Slot, alias_slot


class ServerKind(StrEnum):
    """What a registry can tell apart when somebody writes to it."""

    DATABASE = "database"
    MANAGED = "managed"
    OPEN = "open"
    BASIC_AUTH = "basic-auth"
    GRANTS = "grants"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Server:
    """A registry as it was found. `release` and `user` are empty and `administrator` is None where it does not tell."""

    uri: str
    kind: ServerKind
    release: str = ""
    user: str = ""
    administrator: bool | None = None
    workspace: str = ""


class Identity(StrEnum):
    """As whom somebody signs in: a person (or whatever else is not ours), or the job of one of our commands."""

    PERSON = "person"
    PLAN = "plan"
    CHECK = "check"
    APPLY = "apply"


class Act(StrEnum):
    """What somebody may try to do to a registered model, in the order in which a check tries it."""

    READ = "read"
    REGISTER = "register-version"
    MOVE_STAGE = "move-stage"
    MOVE_STAGE_OF_OWN = "move-stage-of-own-model"
    MOVE_STAGE_AS_PROMPT = "move-stage-as-prompt"
    TAG_VERSION = "tag-version"
    DESCRIBE_VERSION = "describe-version"
    DELETE_VERSION = "delete-version"
    SET_ALIAS = "set-alias"
    DELETE_ALIAS = "delete-alias"
    TAG_MODEL = "tag-model"
    DESCRIBE_MODEL = "describe-model"
    RENAME_MODEL = "rename-model"
    DELETE_MODEL = "delete-model"


_STAGES: Final = frozenset({Act.MOVE_STAGE, Act.MOVE_STAGE_OF_OWN, Act.MOVE_STAGE_AS_PROMPT})
_VERSIONS: Final = _STAGES | {Act.TAG_VERSION, Act.DESCRIBE_VERSION, Act.DELETE_VERSION, Act.DELETE_MODEL}

NEEDED: Final[Mapping[Identity, frozenset[Act]]] = {
    Identity.PERSON: frozenset(),
    Identity.PLAN: frozenset({Act.READ}),
    Identity.CHECK: frozenset({Act.READ, Act.TAG_VERSION}),
    Identity.APPLY: frozenset(
        {
            Act.READ,
            Act.MOVE_STAGE,
            Act.TAG_VERSION,
            Act.DESCRIBE_VERSION,
            Act.SET_ALIAS,
            Act.DELETE_ALIAS,
            Act.TAG_MODEL,
            Act.DESCRIBE_MODEL,
        }
    ),
}
"""What an identity must be able to do."""

FORBIDDEN: Final[Mapping[Identity, frozenset[Act]]] = {
    Identity.PERSON: _VERSIONS,
    Identity.PLAN: frozenset(Act) - {Act.READ},
    Identity.CHECK: frozenset(),
    Identity.APPLY: frozenset(),
}
"""What an identity must not be able to do; aliases and model tags are a person's, because no server can tell."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role of MLflow's basic-auth: whom it is for, and its permission on each type of resource, for all of them."""

    name: str
    identity: Identity
    grants: Mapping[str, str]


ROLES: Final = (
    Role(
        "model-writers",
        Identity.PERSON,
        {"registered_model": "EDIT", "registered_model_version": "READ", "prompt_version": "READ"},
    ),
    Role(
        "reconciler-plan",
        Identity.PLAN,
        {
            "registered_model": "READ",
            "registered_model_version": "READ",
            "prompt_version": "READ",
            "experiment": "READ",
        },
    ),
    Role(
        "reconciler-check",
        Identity.CHECK,
        {"registered_model": "READ", "registered_model_version": "EDIT", "experiment": "EDIT"},
    ),
    Role(
        "reconciler-apply",
        Identity.APPLY,
        {"registered_model": "MANAGE", "registered_model_version": "EDIT", "experiment": "READ"},
    ),
)
"""The roles that leave stages to the job (seen in MLflow 3.17; contract/test_access.py makes and tries them)."""


@dataclass(frozen=True, slots=True)
class GovernedSlot:
    """A slot that manifests declare, and in how many models."""

    slot: Slot
    models: tuple[ModelRef, ...]

    def closed_on(self, server: Server) -> bool:
        """Whether the server's grants can leave it to one identity."""
        return server.kind is ServerKind.GRANTS and self.slot.stage is not None


@dataclass(frozen=True, slots=True)
class Governed:
    """What the manifests of a commit declare, by slot."""

    commit: Commit | None
    slots: tuple[GovernedSlot, ...]


def governed(desired: DesiredState) -> Governed:
    """The slots that a commit declares: stages first, then aliases, each with its models."""
    models: dict[Slot, list[ModelRef]] = {}
    for name, manifest in sorted(desired.models.items()):
        for slot in (*(stage.slot for stage in manifest.stages), *map(alias_slot, manifest.aliases)):
            models.setdefault(slot, []).append(name)
    ordered = sorted(models.items(), key=lambda entry: (entry[0].stage is None, entry[0]))
    return Governed(desired.revision.commit, tuple(GovernedSlot(slot, tuple(names)) for slot, names in ordered))


class Result(StrEnum):
    """What came of a try; `unknown` is neither a yes nor a no."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that was tried as somebody, and the server's own words where they are no plain yes or no."""

    act: Act
    result: Result
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a user could do to models that were made for the purpose. `leftovers` could not be removed again."""

    identity: Identity
    user: str
    attempts: tuple[Attempt, ...]
    leftovers: tuple[str, ...] = ()

    def is_as_wanted(self, attempt: Attempt) -> bool:
        """Whether one result is what it should be for this identity: what is not known is not."""
        if attempt.act in NEEDED[self.identity]:
            return attempt.result is Result.ALLOWED
        if attempt.act in FORBIDDEN[self.identity]:
            return attempt.result is Result.REFUSED
        return True

    @property
    def holds(self) -> bool:
        tried = {attempt.act for attempt in self.attempts}
        return tried == set(Act) and all(self.is_as_wanted(attempt) for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class Access:
    """All that `reconciler access` says. `governed` is None where there is no repository, `proof` without a check."""

    server: Server
    governed: Governed | None = None
    proof: Proof | None = None
