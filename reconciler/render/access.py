"""Who may write what in a registry, for the terminal, as a document, and as a script that makes the roles."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from typing_extensions import TypedDict

from reconciler.core.access import (
    FORBIDDEN,
    NEEDED,
    ROLES,
    Access,
    Act,
    Attempt,
    Governed,
    GovernedSlot,
    Identity,
    Proof,
    Server,
    ServerKind,
)
from reconciler.core.names import DEFAULT_WORKSPACE
from reconciler.core.text import amount, clean
from reconciler.render import words
from reconciler.render.json import FORMAT_VERSION, TOOL, Tool
from reconciler.render.layout import Line

NARROWEST = 40
WIDEST = 110
"""Prose gets no wider than this, however wide the terminal is."""

_KINDS: Final[Mapping[ServerKind, str]] = {
    ServerKind.DATABASE: "a database without a server: anyone who has its password can write everything",
    ServerKind.MANAGED: "a service with its own permissions, which are not checked here",
    ServerKind.OPEN: "no authentication: requests without credentials are answered",
    ServerKind.BASIC_AUTH: "basic-auth, without grants for versions apart from models",
    ServerKind.GRANTS: "basic-auth, with grants for versions apart from models",
    ServerKind.OTHER: "authentication that is not MLflow's own",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """A thing to know: a word for it that stays the same, and what it means."""

    code: str
    text: str


OPENINGS: Final = (
    Remark(
        "aliases",
        "EDIT on a model lets a person register versions, and also set any alias. Deleting an alias needs MANAGE, "
        "which the creator of a model has.",
    ),
    Remark(
        "model-fields",
        "EDIT on a model lets a person change its tags, `reconciler.owner` among them, and its description.",
    ),
    Remark("rename", "EDIT on a model lets a person rename it: consumers do not find it, or find what takes its name."),
    Remark(
        "prompt-tag",
        "The tag `mlflow.prompt.is_prompt` turns a model into a prompt: searches no longer list it, and only an "
        "administrator can undo that. READ on `prompt_version` keeps its stages closed meanwhile.",
    ),
    Remark(
        "first-tags",
        "Anyone who registers a version chooses its first tags and description, `reconciler.provenance` among them. A "
        "record without the signature of a key that the policy names proves nothing.",
    ),
    Remark("files", "EDIT on an experiment, or access to the artifact store, lets a person replace a version's files."),
    Remark(
        "no-role",
        "A user without the role `model-writers` who creates a model can move its stages. Give the role to every "
        "account that is not one of the jobs.",
    ),
    Remark(
        "other-roles",
        "Roles add up: another role with EDIT or MANAGE on `registered_model_version` opens stages again. So does "
        "`default_permission = EDIT` or `MANAGE` in the server's configuration, for everybody.",
    ),
    Remark(
        "administrators",
        "Administrators, anyone who can write to the database, and a second server on that database can do everything.",
    ),
)
"""What remains possible on a server with grants."""

_UPGRADE = Remark(
    "basic-auth",
    "Run MLflow 3.17 or newer with `mlflow server --app-name basic-auth`. It can leave stages to the job's user: this "
    "command then shows how.",
)
_PROXY = Remark(
    "reverse-proxy",
    "Put a reverse proxy in front that lets only the job send anything but GET to `registered-models/` and "
    "`model-versions/`, except `create` and `get-latest-versions`, under `/api/2.0/mlflow/` and "
    "`/ajax-api/2.0/mlflow/`. Match the decoded and normalized path: `//api/...` and `transition%2Dstage` reach the "
    "same routes. Nobody else may reach the server's port or its database.",
)
_SERVICE = Remark(
    "managed-service",
    "Use a managed registry whose permissions tell stages or aliases from versions, and let only the job write them.",
)
_SERVICE_ITSELF = Remark(
    "managed-service",
    "Set the permissions of the service so that only the job can write stages, aliases and tags of governed models, "
    "and everybody else can at most register versions.",
)
_DATABASE = Remark(
    "server",
    "Put an MLflow server in front of the database, and give the password of the database to the server alone.",
)
_DRIFT = Remark(
    "drift",
    "Run `reconciler drift` on a schedule. It finds what was moved by hand, so that you can put it back. It "
    "prevents nothing.",
)

INSTEAD: Final[Mapping[ServerKind, tuple[Remark, ...]]] = {
    ServerKind.DATABASE: (_DATABASE, _UPGRADE, _DRIFT),
    ServerKind.MANAGED: (_SERVICE_ITSELF, _DRIFT),
    ServerKind.OPEN: (_UPGRADE, _PROXY, _SERVICE, _DRIFT),
    ServerKind.BASIC_AUTH: (_UPGRADE, _PROXY, _SERVICE, _DRIFT),
    ServerKind.GRANTS: (),
    ServerKind.OTHER: (_PROXY, _UPGRADE, _SERVICE, _DRIFT),
}
"""What there is where the server's own grants cannot tell stages from versions."""

_WHO_WRITES: Final[Mapping[ServerKind, str]] = {
    ServerKind.DATABASE: "Anyone who has the password of the database can write these.",
    ServerKind.MANAGED: "The permissions of the service decide who can write these.",
    ServerKind.OPEN: "Anyone who can reach the server can write these.",
    ServerKind.BASIC_AUTH: "Anyone who may register versions can write these.",
    ServerKind.GRANTS: "Anyone who may register versions can set these.",
    ServerKind.OTHER: "The authentication in front of the server decides who can write these.",
}

_ACTS: Final[Mapping[Act, str]] = {
    Act.READ: "read a version",
    Act.REGISTER: "register a version",
    Act.MOVE_STAGE: "move a version to a stage",
    Act.MOVE_STAGE_OF_OWN: "move a stage of a model that they created",
    Act.MOVE_STAGE_AS_PROMPT: "move a stage of a model tagged as a prompt",
    Act.TAG_VERSION: "tag a version",
    Act.DESCRIBE_VERSION: "describe a version",
    Act.DELETE_VERSION: "delete a version",
    Act.SET_ALIAS: "set an alias",
    Act.DELETE_ALIAS: "delete an alias",
    Act.TAG_MODEL: "tag a model",
    Act.DESCRIBE_MODEL: "describe a model",
    Act.RENAME_MODEL: "rename a model",
    Act.DELETE_MODEL: "delete a model",
}

_COMMANDS: Final[Mapping[Identity, str]] = {
    Identity.PERSON: "everybody else",
    Identity.PLAN: "plan, drift, gates",
    Identity.CHECK: "check",
    Identity.APPLY: "apply",
}

_NOTES: Final[Mapping[Identity, str]] = {
    Identity.PERSON: "registers versions; EDIT on experiments and prompts as before",
    Identity.PLAN: "reads only: anyone who pushes a branch may be able to use this identity",
    Identity.CHECK: "can move stages too: its records are version tags, and one permission covers both",
    Identity.APPLY: "MANAGE is for deleting aliases; it can delete no version and no model",
}

USERS: Final[Mapping[Identity, tuple[str, ...]]] = {
    Identity.PERSON: ("ada", "grace"),
    Identity.PLAN: ("ci-plan",),
    Identity.CHECK: ("ci-check",),
    Identity.APPLY: ("ci-apply",),
}
"""The users in the script, to be replaced by one's own."""


def roles_script(uri: str, users: Mapping[Identity, Sequence[str]] = USERS, workspace: str = "") -> str:
    """Python that makes the roles and assigns them, when an administrator runs it."""
    lines = ["from mlflow.server.auth.client import AuthServiceClient", "", "roles = {"]
    for role in ROLES:
        lines.append(f'    "{role.name}": {{  # {_COMMANDS[role.identity]}')
        lines.append(f'        "users": [{", ".join(_quoted(user) for user in users[role.identity])}],')
        lines.append('        "grants": {')
        lines.extend(f'            "{resource}": "{permission}",' for resource, permission in role.grants.items())
        lines.append("        },")
        lines.append("    },")
    lines += [
        "}",
        f"auth = AuthServiceClient({_quoted(uri)})",
        "for name, contents in roles.items():",
        f"    role = auth.create_role({_quoted(workspace or DEFAULT_WORKSPACE)}, name)  # the workspace, and the name",
        '    for resource, permission in contents["grants"].items():',
        '        auth.add_role_permission(role.id, resource, "*", permission)',
        '    for user in contents["users"]:',
        "        auth.assign_role(user, role.id)",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    shown = clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'


def access_lines(access: Access, width: int) -> Iterator[Line]:
    """What the server can keep apart, what to do about it, and what stays open, within so many columns."""
    server, wide = access.server, min(max(width, NARROWEST), WIDEST)
    yield (("", f"Access to {words.registry(server.uri, server.workspace)}"),)
    yield ()
    yield from _pairs([("server", _server_sentence(server))], wide)
    if server.kind not in {ServerKind.DATABASE, ServerKind.MANAGED}:
        yield from _pairs([("signed in as", _user_sentence(server))], wide)
    yield ()
    if access.governed is not None:
        commit = access.governed.commit
        yield (("name", f"Governed slots{f' at commit {commit[:12]}' if commit else ''}"),)
        yield from _slots(access.governed, server, wide)
        yield ()
    if access.proof is not None:
        yield from _proof_lines(access.proof)
        return
    if server.kind is ServerKind.GRANTS:
        yield (("name", "Roles that leave stages to the job"),)
        yield from _role_lines(wide)
        yield ()
        yield (("name", "How to create them"),)
        yield from _prose(
            "Run this as an administrator, with your own users in it, where `mlflow[auth]` is installed:", wide
        )
        yield ()
        for line in roles_script(server.uri, workspace=server.workspace).splitlines():
            yield (("", f"  {line}"),) if line else ()
        yield ()
        yield (("name", "What remains possible"),)
        yield from _list(OPENINGS, wide)
        yield ()
        yield (("name", "How to prove it"),)
        yield from _prose(
            "Sign in as an administrator, put the user in question into RECONCILER_ACCESS_USERNAME and "
            "RECONCILER_ACCESS_PASSWORD, and run `reconciler access --check` for a person, or `--check=plan`, "
            "`--check=check` or `--check=apply` for a job.",
            wide,
        )
        return
    yield (("name", "Alternatives"),)
    yield from _list(INSTEAD[server.kind], wide)
    yield ()
    yield (("name", "What the commands do there"),)
    for identity in (Identity.PLAN, Identity.CHECK, Identity.APPLY):
        needs = ", ".join(_ACTS[act] for act in Act if act in NEEDED[identity])
        yield from _pairs([(_COMMANDS[identity], needs)], wide)


def _server_sentence(server: Server) -> str:
    release = f"MLflow {clean(server.release)}: " if server.release else ""
    return release + _KINDS[server.kind]


def _user_sentence(server: Server) -> str:
    if not server.user:
        return "nobody" if server.kind is ServerKind.OPEN else "not known"
    return f"{clean(server.user)}{', an administrator' if server.administrator else ''}"


def _slots(governed: Governed, server: Server, wide: int) -> Iterator[Line]:
    closable = [slot for slot in governed.slots if slot.closed_on(server)]
    others = [slot for slot in governed.slots if not slot.closed_on(server)]
    by_the_job = "Only the job moves versions there, once the roles below are made."
    if not governed.slots:
        yield (("", "  none"),)
    if closable:
        yield from _group("closable", "add", closable, by_the_job, wide)
    if others:
        yield from _group("open", "warn", others, f"{_WHO_WRITES[server.kind]} `drift` finds it.", wide)


def _group(word: str, style: str, slots: Sequence[GovernedSlot], sentence: str, wide: int) -> Iterator[Line]:
    kept = "\N{NO-BREAK SPACE}"
    named = ", ".join(f"{clean(slot.slot)} ({amount(len(slot.models), 'model')})".replace(" ", kept) for slot in slots)
    first, *rest = (line.replace(kept, " ") for line in _wrapped(named, wide - 12))
    yield ((style, f"  {word.ljust(8)}  "), ("name", first))
    for line in rest:
        yield (("name", " " * 12 + line),)
    yield from _prose(sentence, wide, indent=12)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, with paths, options and names whole."""
    return wrap(text, max(width, 20), break_on_hyphens=False, break_long_words=False) or [""]


def _role_lines(wide: int) -> Iterator[Line]:
    for role in ROLES:
        yield (("", "  "), ("name", role.name), ("faint", f"  for {_COMMANDS[role.identity]}"))
        for resource, permission in role.grants.items():
            yield (("", f"    {resource.ljust(26)}{permission}"),)
        yield from _prose(_NOTES[role.identity], wide, indent=4, style="faint")


def _proof_lines(proof: Proof) -> Iterator[Line]:
    yield (("name", f"What {_subject(proof)} can do, tried on scratch models"),)
    longest = max(len(_ACTS[attempt.act]) for attempt in proof.attempts)
    for attempt in proof.attempts:
        fine = proof.is_as_wanted(attempt)
        detail = f"  {clean(attempt.detail)}" if attempt.detail else ""
        yield (
            ("" if fine else "error", f"  {attempt.result.ljust(9)} "),
            ("", _ACTS[attempt.act].ljust(longest)),
            ("faint" if fine else "error", f"  {_expectation(proof.identity, attempt)}"),
            ("warn", detail),
        )
    yield ()
    for name in proof.leftovers:
        yield (("error", "Not removed: "), ("", clean(name)))
    yield (("name", proof_sentence(proof)),)


def _subject(proof: Proof) -> str:
    return clean(proof.user) if proof.user else "somebody without credentials"


def _expectation(identity: Identity, attempt: Attempt) -> str:
    if attempt.act in NEEDED[identity]:
        return "needed"
    return "must be refused" if attempt.act in FORBIDDEN[identity] else "either is fine"


def proof_sentence(proof: Proof) -> str:
    """The last line of a check."""
    wrong = sum(not proof.is_as_wanted(attempt) for attempt in proof.attempts)
    what = {
        Identity.PERSON: "cannot move stages",
        Identity.PLAN: "can read, and cannot write",
        Identity.CHECK: "can record checks",
        Identity.APPLY: "can apply",
    }[proof.identity]
    if proof.holds:
        return f"Check: {_subject(proof)} {what}."
    whom = "a person" if proof.identity is Identity.PERSON else f"the job of {proof.identity}"
    return f"Check failed: {wrong} of {len(proof.attempts)} results are not what {whom} must get."


def _pairs(pairs: Sequence[tuple[str, str]], wide: int) -> Iterator[Line]:
    column = 22
    for key, value in pairs:
        first, *rest = _wrapped(value, wide - column)
        yield (("faint", f"  {key}".ljust(column)), ("", first))
        for line in rest:
            yield (("", " " * column + line),)


def _list(remarks: Sequence[Remark], wide: int) -> Iterator[Line]:
    for remark in remarks:
        first, *rest = _wrapped(remark.text, wide - 4)
        yield (("", f"  - {first}"),)
        for line in rest:
            yield (("", f"    {line}"),)


def _prose(text: str, wide: int, indent: int = 2, style: str = "") -> Iterator[Line]:
    for line in _wrapped(text, wide - indent):
        yield ((style, " " * indent + line),)


class ServerDocument(TypedDict):
    """The server as it was found; what it does not tell is empty or null."""

    kind: str
    release: str
    user: str
    administrator: bool | None


class SlotDocument(TypedDict):
    """A slot that manifests declare, and whether the server's grants can leave it to the job alone."""

    slot: str
    models: list[str]
    closable: bool


class GovernedDocument(TypedDict):
    """The slots that the manifests of a commit declare."""

    commit: str | None
    slots: list[SlotDocument]


class RoleDocument(TypedDict):
    """A role to make: for whom it is, and its permission on all resources of each type."""

    name: str
    identity: str
    grants: dict[str, str]


class RemarkDocument(TypedDict):
    """A thing to know: a word that stays the same, and what it means."""

    code: str
    text: str


class NeedDocument(TypedDict):
    """What an identity must be able to do, and must not be able to do."""

    identity: str
    needed: list[str]
    forbidden: list[str]


class AttemptDocument(TypedDict):
    """One thing that was tried, what came of it, and whether that is as it should be."""

    act: str
    result: str
    as_wanted: bool
    detail: str


class ProofDocument(TypedDict):
    """What a user could do to scratch models; `leftovers` are those that could not be removed."""

    identity: str
    user: str
    holds: bool
    attempts: list[AttemptDocument]
    leftovers: list[str]


class AccessDocument(TypedDict):
    """Who may write what in a registry, and how to leave the governed slots to the job."""

    format_version: str
    tool: Tool
    registry: str
    workspace: str
    server: ServerDocument
    governed: GovernedDocument | None
    roles: list[RoleDocument]
    script: str
    open: list[RemarkDocument]
    instead: list[RemarkDocument]
    permissions: list[NeedDocument]
    proof: ProofDocument | None


def access_document(access: Access) -> AccessDocument:
    """The same as a document: what `access --format json` prints."""
    server, grants = access.server, access.server.kind is ServerKind.GRANTS
    return {
        "format_version": FORMAT_VERSION,
        "tool": TOOL,
        "registry": server.uri,
        "workspace": server.workspace,
        "server": {
            "kind": server.kind.value,
            "release": server.release,
            "user": server.user,
            "administrator": server.administrator,
        },
        "governed": None
        if access.governed is None
        else {
            "commit": access.governed.commit,
            "slots": [
                {"slot": slot.slot, "models": list(slot.models), "closable": slot.closed_on(server)}
                for slot in access.governed.slots
            ],
        },
        "roles": [
            {"name": role.name, "identity": role.identity.value, "grants": dict(role.grants)}
            for role in (ROLES if grants else ())
        ],
        "script": roles_script(server.uri, workspace=server.workspace) if grants else "",
        "open": _remarks(OPENINGS if grants else ()),
        "instead": _remarks(INSTEAD[server.kind]),
        "permissions": [
            {
                "identity": identity.value,
                "needed": [act.value for act in Act if act in NEEDED[identity]],
                "forbidden": [act.value for act in Act if act in FORBIDDEN[identity]],
            }
            for identity in Identity
        ],
        "proof": None if access.proof is None else _proof_document(access.proof),
    }


def _remarks(remarks: Sequence[Remark]) -> list[RemarkDocument]:
    return [{"code": remark.code, "text": remark.text} for remark in remarks]


def _proof_document(proof: Proof) -> ProofDocument:
    return {
        "identity": proof.identity.value,
        "user": proof.user,
        "holds": proof.holds,
        "attempts": [
            {
                "act": attempt.act.value,
                "result": attempt.result.value,
                "as_wanted": proof.is_as_wanted(attempt),
                "detail": attempt.detail,
            }
            for attempt in proof.attempts
        ],
        "leftovers": list(proof.leftovers),
    }
