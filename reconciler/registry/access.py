"""
What a registry's server lets whom write: found out by asking it, and proven on models that are made for the purpose.

Requests go through MLflow's own client code, so that its variables for signing in, TLS and workspaces hold here too.
"""

import copy
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast
from uuid import uuid4

from reconciler.core.access import Act, Attempt, Identity, Proof, Result, Server, ServerKind
from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.ports import UNREACHABLE
from reconciler.registry.database import SERVICES, dialect_of
from reconciler.registry.mlflow import MlflowRegistry, workspace_of
from reconciler.surroundings import SURROUNDINGS

USER_VARIABLE = "RECONCILER_ACCESS_USERNAME"
PASSWORD_VARIABLE = "RECONCILER_ACCESS_PASSWORD"  # noqa: S105  # the name of a variable

TIMEOUT = 30
TRIES = 3

SOURCE = "s3://reconciler-access-check/nothing"
"""Where the files of a scratch version would be. Nobody fetches them, and there are none."""

PROMPT_TAG = "mlflow.prompt.is_prompt"
SCRATCH_TAG = "reconciler.access-check"
SCRATCH_ALIAS = "access-check"
SCRATCH = "A scratch model of `reconciler access --check`. Nothing uses it, and it can be deleted."

_Body = Mapping[str, object]

# What a user tries on a model of somebody else that has two versions, an alias, and a tag, all named here. The order
# matters: what changes least comes first.
_TRIES: Final[tuple[tuple[Act, str, str, _Body], ...]] = (
    (Act.READ, "GET", "model-versions/get", {"version": "1"}),
    (Act.REGISTER, "POST", "model-versions/create", {"source": SOURCE}),
    (
        Act.MOVE_STAGE,
        "POST",
        "model-versions/transition-stage",
        {"version": "1", "stage": "Production", "archive_existing_versions": False},
    ),
    (Act.TAG_VERSION, "POST", "model-versions/set-tag", {"version": "1", "key": SCRATCH_TAG, "value": "tried"}),
    (Act.DESCRIBE_VERSION, "PATCH", "model-versions/update", {"version": "1", "description": SCRATCH}),
    (Act.DELETE_VERSION, "DELETE", "model-versions/delete", {"version": "2"}),
    (Act.SET_ALIAS, "POST", "registered-models/alias", {"version": "1", "alias": f"{SCRATCH_ALIAS}-2"}),
    (Act.DELETE_ALIAS, "DELETE", "registered-models/alias", {"alias": SCRATCH_ALIAS}),
    (Act.TAG_MODEL, "POST", "registered-models/set-tag", {"key": SCRATCH_TAG, "value": "tried"}),
    (Act.DESCRIBE_MODEL, "PATCH", "registered-models/update", {"description": SCRATCH}),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Somebody's name and password; nobody's where both are empty."""

    username: str = ""
    password: str = field(default="", repr=False)


def credentials_of(environment: Mapping[str, str]) -> Credentials:
    """Those of the user whom a check is about. Raises ReconcilerError where one half is missing."""
    username, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if bool(username) != bool(password):
        missing = PASSWORD_VARIABLE if username else USER_VARIABLE
        raise ReconcilerError(f"{missing} is not set.", "Set both, or neither.")
    return Credentials(username, password)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said: an HTTP status, JSON if it was JSON, and the text. No status where nothing came back."""

    status: int
    body: _Body
    text: str
    challenge: str = ""

    @property
    def yes(self) -> bool:
        return self.status == 200 and self.body is not _NO_JSON

    @property
    def result(self) -> Result:
        if self.yes:
            return Result.ALLOWED
        return Result.REFUSED if self.status in {401, 403} else Result.UNKNOWN

    @property
    def certainly_not(self) -> bool:
        """Whether it is certain that nothing was done: a server that failed may have done it before."""
        return 400 <= self.status < 500

    @property
    def code(self) -> object:
        return self.body.get("error_code")

    def attempt(self, act: Act) -> Attempt:
        detail = "" if self.result is not Result.UNKNOWN else plain(f"{self.status or 'no answer'}: {self.text}", 200)
        return Attempt(act, self.result, detail)


_NO_JSON: Final[_Body] = {}


@dataclass
class MlflowAccess:
    """
    A registry, asked with the credentials of MLflow's own variables: those of an administrator, for a check. `pause`
    are the seconds between two tries to remove something.
    """

    registry_uri: str
    pause: float = 1.0
    workspace: str = field(default_factory=lambda: workspace_of(os.environ))

    @property
    def uri(self) -> str:
        return without_credentials(self.registry_uri)

    @cached_property
    def _own(self) -> Any:
        from mlflow.utils import credentials

        module: Any = credentials
        return module.get_default_host_creds(self.registry_uri)

    def server(self) -> Server:
        """What is found there. Raises RegistryError where nothing answers, or our own credentials are refused."""
        scheme, colon, _ = self.registry_uri.lower().partition(":")
        if dialect_of(self.registry_uri) or scheme == "file" or not (colon or scheme in SERVICES):
            return self._found(ServerKind.DATABASE)
        if scheme not in {"http", "https"}:
            return self._found(ServerKind.MANAGED)
        if self.workspace:
            _ = MlflowRegistry(self.registry_uri, self.registry_uri).store
        search = ("GET", "registered-models/search", {"max_results": "1"})
        anonymous = self.call(self._creds(Credentials()), *search)
        if anonymous.status == 0:
            raise RegistryError(UNREACHABLE, f"{self.uri} does not answer.", "Check the address and the server's log.")
        release = self._release()
        if anonymous.yes:
            return self._found(ServerKind.OPEN, release)
        mine = self.call(self._own, *search)
        if not mine.yes:
            said = plain(mine.text, 100)
            if mine.result is Result.REFUSED:
                code, fix = "UNAUTHENTICATED", "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
                fix = SURROUNDINGS.named(fix)
            else:
                code, fix = (
                    "unexpected-answer",
                    "Check that it is the address of an MLflow server, with its path prefix if any.",
                )
            raise RegistryError(code, f"{self.uri} answered {mine.status or 'nothing'} ({said}).", fix)
        return self._behind_a_login(release, anonymous)

    def _behind_a_login(self, release: str, anonymous: _Answer) -> Server:
        current = self.call(self._own, "GET", "users/current", {})
        user: Any = current.body.get("user") if current.yes else None
        if not isinstance(user, dict):
            # Releases without that route name their realm, which nobody else does.
            ours = 'realm="mlflow"' in anonymous.challenge
            kind = ServerKind.BASIC_AUTH if ours else ServerKind.OTHER
            return self._found(kind, release, str(self._own.username or ""))
        account = cast(dict[str, object], user)
        name = str(account.get("username", ""))
        # Asked by name of what it would grant, a server that does not know such grants refuses the name.
        asked = {"username": name, "resource_type": "registered_model_version", "resource_id": "*"}
        knows = self.call(self._own, "GET", "users/permissions/get", asked, "3.0").yes
        kind = ServerKind.GRANTS if knows else ServerKind.BASIC_AUTH
        return self._found(kind, release, name, account.get("is_admin") is True)

    def _found(self, kind: ServerKind, release: str = "", user: str = "", administrator: bool | None = None) -> Server:
        return Server(self.uri, kind, release, user, administrator, self.workspace)

    def _release(self) -> str:
        text = self._send(self._own, "GET", "/version", {}).text.strip()
        return text if re.fullmatch(r"\d+\.\d+[\w.+-]*", text) else ""

    def prove(self, server: Server, identity: Identity, subject: Credentials, hold: Callable[[], None]) -> Proof:
        """
        What a user can do to models that exist for the time of the check, and what is left of them. `hold` is called
        when the clean-up begins, which must not be interrupted. Raises ReconcilerError, having made nothing, where it
        cannot be tried, and RegistryError for what remains of a check that broke off.
        """
        theirs = self._admitted(server, subject)
        scratch = _Scratch(self, f"reconciler-access-check-{uuid4().hex}", self._own, theirs)
        try:
            try:
                attempts = scratch.attempts()
            finally:
                hold()
        except BaseException as error:
            leftovers = scratch.remove()
            if leftovers:
                raise _left_over(self.uri, leftovers) from error
            raise
        return Proof(identity, subject.username, attempts, scratch.remove())

    def _admitted(self, server: Server, subject: Credentials) -> Any:
        """The user whom the check is about, signed in; nobody on a server that lets everybody in."""
        if server.kind in {ServerKind.DATABASE, ServerKind.MANAGED}:
            raise ReconcilerError(
                f"{self.uri} is not an MLflow server with its own users, so there is nothing to check.",
                "Run it without `--check` to see the alternatives.",
            )
        if server.kind in {ServerKind.BASIC_AUTH, ServerKind.GRANTS} and server.administrator is False:
            raise ReconcilerError(
                f"{server.user} could not remove what the check creates.",
                SURROUNDINGS.named("Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an administrator's."),
            )
        if not subject.username and server.kind is not ServerKind.OPEN:
            raise ReconcilerError("The check needs a user to test.", f"Set {USER_VARIABLE} and {PASSWORD_VARIABLE}.")
        theirs = self._creds(subject)
        greeting = self.call(theirs, "GET", "registered-models/search", {"max_results": "1"})
        if not greeting.yes:
            raise ReconcilerError(
                f"{self.uri} does not let {subject.username} in ({greeting.status or 'no answer'}: "
                f"{plain(greeting.text, 200)}).",
                f"Correct {USER_VARIABLE} and {PASSWORD_VARIABLE}.",
            )
        return theirs

    def _creds(self, subject: Credentials) -> Any:
        """Somebody else, who reaches the server in the same way."""
        creds = copy.copy(self._own)
        creds.username, creds.password = subject.username or None, subject.password or None
        creds.token = creds.auth = None
        creds.aws_sigv4 = False
        return creds

    def call(self, creds: Any, method: str, path: str, body: _Body, version: str = "2.0") -> _Answer:
        """One request to a route of MLflow's API, as somebody."""
        return self._send(creds, method, f"/api/{version}/mlflow/{path}", body)

    def _send(self, creds: Any, method: str, endpoint: str, body: _Body) -> _Answer:
        """One request, once: what is retried may have been done the first time."""
        from mlflow.exceptions import MlflowException
        from mlflow.utils import rest_utils

        rest: Any = rest_utils
        sent = {"params": body} if method == "GET" else {"json": body}
        try:
            # `auth` does nothing, so that a .netrc signs nobody in who is meant to be somebody else.
            response = rest.http_request(
                creds, endpoint, method, max_retries=0, retry_codes=(), timeout=TIMEOUT, auth=_unchanged, **sent
            )
        except MlflowException as error:
            return _Answer(0, _NO_JSON, without_credentials(str(error)))
        try:
            told = response.json()
        except ValueError:
            told = None
        body = cast(_Body, told) if isinstance(told, dict) else _NO_JSON
        return _Answer(response.status_code, body, response.text, response.headers.get("WWW-Authenticate", ""))


def _unchanged(request: Any) -> Any:
    return request


def _left_over(uri: str, leftovers: tuple[str, ...]) -> RegistryError:
    return RegistryError(
        "left-over",
        f"The check created {', '.join(leftovers)} on {uri} and could not remove it.",
        "Delete it as an administrator: nothing uses it.",
    )


@dataclass
class _Scratch:
    """
    The models of one check: all have names that begin with `name`, which no other model has, and no request that writes
    is made about anything else. `asked` are those that may be there, with whether the server said that it made them.
    """

    access: MlflowAccess
    name: str
    admin: Any
    theirs: Any
    asked: dict[str, bool] = field(default_factory=dict[str, bool])

    def attempts(self) -> tuple[Attempt, ...]:
        """All that is tried, in the order of the words for it."""
        self._lay_out("")
        tried = [self._try(act, method, path, body) for act, method, path, body in _TRIES]
        tried = [self._borne_out(attempt) for attempt in tried]
        tried.append(self._move_own())
        tried.append(self._move_prompt())
        tried.extend(self._rename_and_delete())
        return tuple(sorted(tried, key=lambda attempt: list(Act).index(attempt.act)))

    def remove(self) -> tuple[str, ...]:
        """Delete whatever was made, and give back the names of what is still there."""
        return tuple(name for name in sorted(self.asked) if not self._removed(name))

    def _removed(self, name: str) -> bool:
        for number in range(TRIES):
            answer = self.access.call(self.admin, "DELETE", "registered-models/delete", {"name": name})
            gone = answer.code == "RESOURCE_DOES_NOT_EXIST"
            # What was asked for and never answered may yet come to be.
            if answer.yes or (gone and (self.asked[name] or number == TRIES - 1)):
                return True
            time.sleep(self.access.pause)
        return False

    def _lay_out(self, suffix: str) -> None:
        """A model of the administrator's, with what a user may try to change."""
        made = self._create(self.admin, suffix)
        steps = [
            ("model-versions/create", {"source": SOURCE}),
            ("model-versions/create", {"source": SOURCE}),
            ("registered-models/alias", {"version": "1", "alias": SCRATCH_ALIAS}),
        ]
        for answer in (made, *(self._write(self.admin, "POST", path, body, suffix) for path, body in steps)):
            if not answer.yes:
                raise RegistryError(
                    "no-scratch-model",
                    f"{self.access.uri} did not let the check create a scratch model "
                    f"({answer.status or 'no answer'}: {plain(answer.text, 200)}).",
                    "Run the check as an administrator.",
                )

    def _create(self, creds: Any, suffix: str, tags: Mapping[str, str] | None = None) -> _Answer:
        name = self.name + suffix
        self.asked[name] = False
        body = {"description": SCRATCH, "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        answer = self._write(creds, "POST", "registered-models/create", body, suffix)
        if answer.yes:
            self.asked[name] = True
        elif answer.certainly_not:
            # It made nothing, or this is the name of something else.
            del self.asked[name]
        return answer

    def _write(self, creds: Any, method: str, path: str, body: _Body, suffix: str = "") -> _Answer:
        return self.access.call(creds, method, path, {"name": self.name + suffix, **body})

    def _try(self, act: Act, method: str, path: str, body: _Body, suffix: str = "") -> Attempt:
        return self._write(self.theirs, method, path, body, suffix).attempt(act)

    def _borne_out(self, attempt: Attempt) -> Attempt:
        """A move of a stage is believed when the version is where it then should be."""
        if attempt.act is not Act.MOVE_STAGE or attempt.result is Result.UNKNOWN:
            return attempt
        answer = self._write(self.admin, "GET", "model-versions/get", {"version": "1"})
        version: Any = answer.body.get("model_version")
        stage = cast(dict[str, object], version).get("current_stage") if isinstance(version, dict) else None
        if (stage == "Production") == (attempt.result is Result.ALLOWED):
            return attempt
        return Attempt(attempt.act, Result.UNKNOWN, f"the server said {attempt.result}, and the stage is {stage}")

    def _move_own(self) -> Attempt:
        """Whoever creates a model may manage it: without a grant for versions, stages too (seen in MLflow 3.17)."""
        made = self._create(self.theirs, "-own")
        return self._until_refused(made, Act.MOVE_STAGE_OF_OWN, "-own", (_VERSION, _MOVE))

    def _move_prompt(self) -> Attempt:
        """
        A tag makes a prompt of a model, and then the grants for prompts decide (seen in MLflow 3.17). The model is made
        as a prompt, so that the user may manage prompts of that name, and is one again when the stage is moved.
        """
        made = self._create(self.theirs, "-prompt", {PROMPT_TAG: "true"})
        steps = (
            ("DELETE", "registered-models/delete-tag", {"key": PROMPT_TAG}),
            _VERSION,
            ("POST", "registered-models/set-tag", {"key": PROMPT_TAG, "value": "true"}),
            _MOVE,
        )
        return self._until_refused(made, Act.MOVE_STAGE_AS_PROMPT, "-prompt", steps)

    def _until_refused(
        self, made: _Answer, act: Act, suffix: str, steps: tuple[tuple[str, str, _Body], ...]
    ) -> Attempt:
        attempt = made.attempt(act)
        for method, path, body in steps:
            if attempt.result is Result.ALLOWED:
                attempt = self._try(act, method, path, body, suffix)
        return attempt

    def _rename_and_delete(self) -> tuple[Attempt, Attempt]:
        """At last, what takes the model away."""
        renamed = self.name + "-renamed"
        self.asked[renamed] = False
        answer = self._write(self.theirs, "POST", "registered-models/rename", {"new_name": renamed})
        if answer.certainly_not:
            del self.asked[renamed]
        suffix = "-renamed" if answer.yes else ""
        deleted = self._try(Act.DELETE_MODEL, "DELETE", "registered-models/delete", {}, suffix)
        return answer.attempt(Act.RENAME_MODEL), deleted


_VERSION: Final = ("POST", "model-versions/create", cast(_Body, {"source": SOURCE}))
_MOVE: Final = (
    "POST",
    "model-versions/transition-stage",
    cast(_Body, {"version": "1", "stage": "Production", "archive_existing_versions": False}),
)
