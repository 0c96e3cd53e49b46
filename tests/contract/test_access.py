"""Who may write what on a real server with users: the roles of `reconciler access`, made by its script and tried."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from reconciler.core.access import Act, Identity, Proof, Result, ServerKind
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.registry.access import Credentials, MlflowAccess
from reconciler.render.access import roles_script
from tests.servers import ADMINISTRATOR, QUIET
from tests.story.command import Reconciler, import_beforehand, run_script
from tests.story.proxy import Pass, Request, Verdict, proxy
from tests.story.repository import Repository, manifest, new_repository

pytestmark = pytest.mark.server

PASSWORD = "long enough for anybody"
SCRATCH = "reconciler-access-check-"
STAGES = {Act.MOVE_STAGE, Act.MOVE_STAGE_OF_OWN, Act.MOVE_STAGE_AS_PROMPT}


def nothing() -> None:
    """Nobody interrupts."""


@dataclass(frozen=True)
class Server:
    """The server, as its administrator uses it: MLflow's REST API, without any code of ours."""

    uri: str

    def __call__(self, method: str, path: str, api: str = "2.0", /, **fields: Any) -> dict[str, Any]:
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        manager.add_password(None, self.uri, *ADMINISTRATOR, is_authenticated=True)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
        request = urllib.request.Request(
            f"{self.uri}/api/{api}/mlflow/{path}",
            json.dumps(fields).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)

    def user(self, *grants: tuple[str, str]) -> str:
        """A new user, with a role of these grants where there are any."""
        name = f"user-{uuid4().hex[:8]}"
        self("POST", "users/create", username=name, password=PASSWORD)
        if grants:
            role = self("POST", "roles/create", "3.0", workspace="default", name=f"role-{name}")["role"]["id"]
            for resource, permission in grants:
                grant = {"resource_type": resource, "resource_pattern": "*", "permission": permission}
                self("POST", "roles/permissions/add", "3.0", role_id=role, **grant)
            self("POST", "roles/assign", "3.0", username=name, role_id=role)
        return name

    @property
    def models(self) -> set[str]:
        rows = self("GET", "registered-models/search", max_results=1000).get("registered_models", [])
        return {row["name"] for row in rows}

    @property
    def scratch(self) -> set[str]:
        """What is there of any check, also what a search does not list."""
        return {name for name in self.models if name.startswith(SCRATCH)}


@pytest.fixture(scope="module")
def server(server_with_users: str) -> Server:
    return Server(server_with_users)


@pytest.fixture(scope="module")
def people(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Mapping[Identity, str]:
    """A user of each kind, with the roles that the script makes."""
    users = {identity: server.user() for identity in Identity}
    script = tmp_path_factory.mktemp("roles") / "roles.py"
    script.write_text(roles_script(server.uri, {identity: [name] for identity, name in users.items()}))
    environment = {**os.environ, **QUIET, **signed_in(), "PYTHONWARNINGS": "ignore"}
    done = run_script(script, folder=script.parent, environment=environment)
    assert done.code == 0, done.err
    return users


def signed_in(user: str = ADMINISTRATOR[0], password: str = ADMINISTRATOR[1]) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@pytest.fixture(autouse=True)
def _as_the_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in signed_in().items():
        monkeypatch.setenv(name, value)


def prove(server: Server, identity: Identity, user: str) -> Proof:
    access = MlflowAccess(server.uri, pause=0)
    return access.prove(access.server(), identity, Credentials(user, PASSWORD), nothing)


def results(proof: Proof) -> dict[Act, Result]:
    return {attempt.act: attempt.result for attempt in proof.attempts}


def allowed(proof: Proof) -> set[Act]:
    return {act for act, result in results(proof).items() if result is Result.ALLOWED}


def test_a_server_with_grants_is_known_for_one(server: Server) -> None:
    found = MlflowAccess(server.uri).server()

    assert (found.kind, found.user, found.administrator) == (ServerKind.GRANTS, ADMINISTRATOR[0], True)
    assert found.release.split(".")[0] == "3"


def test_a_server_without_users_is_open_to_anybody(mlflow_server: str) -> None:
    access = MlflowAccess(mlflow_server, pause=0)
    found = access.server()

    proof = access.prove(found, Identity.PERSON, Credentials(), nothing)

    assert found.kind is ServerKind.OPEN
    assert allowed(proof) == set(Act)
    assert not proof.holds


def test_wrong_credentials_are_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")

    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_PASSWORD"):
        MlflowAccess(server.uri).server()


@pytest.mark.parametrize("identity", Identity)
def test_the_roles_of_the_script_are_enough_and_not_too_much(
    server: Server, people: Mapping[Identity, str], identity: Identity
) -> None:
    proof = prove(server, identity, people[identity])

    assert proof.holds, results(proof)
    assert not proof.leftovers
    assert not server.scratch
    if identity is Identity.PERSON:
        # A person registers versions, and leaves stages alone.
        still_open = {Act.REGISTER, Act.SET_ALIAS, Act.TAG_MODEL, Act.DESCRIBE_MODEL, Act.RENAME_MODEL}
        assert allowed(proof) == {Act.READ, *still_open}
    if identity is Identity.APPLY:
        assert not allowed(proof) & {Act.DELETE_VERSION, Act.DELETE_MODEL}, "the job of apply deletes nothing"


UNSAFE: dict[str, tuple[tuple[tuple[str, str], ...], set[Act]]] = {
    "without a role, models of one's own are open": ((), {Act.MOVE_STAGE_OF_OWN}),
    "EDIT on models alone opens all": ((("registered_model", "EDIT"),), STAGES),
    "without a grant for prompts, a tag opens stages": (
        (("registered_model", "EDIT"), ("registered_model_version", "READ")),
        {Act.MOVE_STAGE_AS_PROMPT},
    ),
    "EDIT on versions opens all": (
        (("registered_model", "EDIT"), ("registered_model_version", "EDIT"), ("prompt_version", "READ")),
        {Act.MOVE_STAGE, Act.MOVE_STAGE_OF_OWN},
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_grants_that_look_safe_and_are_not(server: Server, name: str) -> None:
    grants, opened = UNSAFE[name]

    proof = prove(server, Identity.PERSON, server.user(*grants))

    assert allowed(proof) & STAGES == opened
    assert not proof.holds
    assert not server.scratch


def test_somebody_who_cannot_clean_up_starts_nothing(
    server: Server, people: Mapping[Identity, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.models
    for name, value in signed_in(people[Identity.APPLY], PASSWORD).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ReconcilerError, match="administrator"):
        prove(server, Identity.PERSON, people[Identity.PERSON])

    assert server.models == before


@pytest.mark.parametrize("user", ["", "nobody-of-that-name"])
def test_a_user_who_cannot_sign_in_proves_nothing(server: Server, user: str) -> None:
    before = server.models

    with pytest.raises(ReconcilerError, match="RECONCILER_ACCESS_"):
        prove(server, Identity.PERSON, user)

    assert server.models == before


@dataclass
class Breaking(MlflowAccess):
    """Breaks off at one of its requests, before it is sent or after it was answered."""

    at: int = 0
    sent: bool = False
    error: type[BaseException] = KeyboardInterrupt
    ended: bool = False
    asked: int = field(default=0)
    last: str = ""

    def call(self, creds: Any, method: str, path: str, body: Mapping[str, object], version: str = "2.0") -> Any:
        self.asked += not self.ended
        breaks = self.asked == self.at and not self.ended
        answer = super().call(creds, method, path, body, version) if self.sent or not breaks else None
        if breaks:
            self.last = path
            raise self.error
        return answer

    def end(self) -> None:
        self.ended = True


@pytest.mark.parametrize(
    ("at", "path", "sent"),
    [
        (2, "registered-models/create", False),
        (2, "registered-models/create", True),
        (4, "model-versions/create", False),
        (8, "model-versions/transition-stage", True),
        (17, "registered-models/create", True),
        (20, "registered-models/create", True),
        (23, "registered-models/set-tag", True),
        (25, "registered-models/rename", True),
        (26, "registered-models/delete", False),
    ],
)
def test_a_check_that_breaks_off_leaves_nothing(
    server: Server, people: Mapping[Identity, str], at: int, path: str, sent: bool
) -> None:
    found = MlflowAccess(server.uri).server()
    error = KeyboardInterrupt if sent else RuntimeError
    access = Breaking(server.uri, pause=0, at=at, sent=sent, error=error)
    before = server.models

    with pytest.raises(error):
        access.prove(found, Identity.APPLY, Credentials(people[Identity.APPLY], PASSWORD), access.end)

    assert access.last == path
    assert server.models == before


def test_what_cannot_be_removed_is_named(server: Server, people: Mapping[Identity, str]) -> None:
    found = MlflowAccess(server.uri).server()

    @dataclass
    class Powerless(Breaking):
        def call(self, creds: Any, method: str, path: str, body: Mapping[str, object], version: str = "2.0") -> Any:
            deletes = self.ended and path == "registered-models/delete"
            return super().call(creds, method, "nowhere" if deletes else path, body, version)

    subject = Credentials(people[Identity.PERSON], PASSWORD)
    whole = Powerless(server.uri, pause=0)
    proof = whole.prove(found, Identity.PERSON, subject, whole.end)
    broken = Powerless(server.uri, pause=0, at=9)
    with pytest.raises(RegistryError, match=SCRATCH) as said:
        broken.prove(found, Identity.PERSON, subject, broken.end)

    left = server.scratch
    assert left
    assert all(name in proof.leftovers or name in str(said.value) for name in left)
    for name in {*left, *proof.leftovers}:
        with suppress(HTTPError):  # it was renamed
            server("DELETE", "registered-models/delete", name=name)
    assert not server.scratch


def test_a_check_touches_no_other_model(server: Server, people: Mapping[Identity, str]) -> None:
    name = f"bystander-{uuid4().hex[:8]}"
    server("POST", "registered-models/create", name=name)
    server("POST", "model-versions/create", name=name, source="s3://models/1")
    server("POST", "model-versions/transition-stage", name=name, version="1", stage="Production")
    server("POST", "registered-models/alias", name=name, alias="champion", version="1")
    before = server("GET", "registered-models/get", name=name)

    prove(server, Identity.APPLY, people[Identity.APPLY])

    assert server("GET", "registered-models/get", name=name) == before


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path)


@pytest.fixture
def command(tmp_path: Path, repository: Repository) -> Callable[[str], Reconciler]:
    """The command in a repository, for a server."""

    import_beforehand()

    def make(uri: str) -> Reconciler:
        logs = tmp_path / f"said-{uuid4().hex[:8]}"
        logs.mkdir()
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return Reconciler(repository.top, {**environment, **QUIET, "MLFLOW_TRACKING_URI": uri}, logs)

    return make


def test_the_command_says_what_it_proved(
    server: Server, people: Mapping[Identity, str], command: Callable[[str], Reconciler], repository: Repository
) -> None:
    repository.merge(manifest("churn", production=1, champion=1))
    reconciler = command(server.uri)
    subject = {"RECONCILER_ACCESS_PASSWORD": PASSWORD}

    told = reconciler("access", "--format", "json", **signed_in())
    good = reconciler("access", "--check", **signed_in(), RECONCILER_ACCESS_USERNAME=people[Identity.PERSON], **subject)
    bad = reconciler("access", "--check", **signed_in(), RECONCILER_ACCESS_USERNAME=server.user(), **subject)
    plan = reconciler(
        "access", "--check=plan", **signed_in(), RECONCILER_ACCESS_USERNAME=people[Identity.PLAN], **subject
    )

    document = json.loads(told.out)
    assert told.code == 0, told.said
    assert {(slot["slot"], slot["closable"]) for slot in document["governed"]["slots"]} == {
        ("Production", True),
        ("@champion", False),
    }
    assert document["script"] == roles_script(server.uri)
    assert (good.code, bad.code, plan.code) == (0, 3, 0), good.said + bad.said + plan.said
    assert "cannot move stages" in good.out.splitlines()[-1]
    assert PASSWORD not in good.said + bad.said + plan.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_removes_what_it_made(
    server: Server, people: Mapping[Identity, str], command: Callable[[str], Reconciler], number: signal.Signals
) -> None:
    reached, release = Event(), Event()

    def judge(request: Request) -> Verdict:
        if request.moves and not reached.is_set():
            reached.set()
            release.wait(60)
        return Pass()

    with proxy(server.uri, judge) as front:
        subject = {
            "RECONCILER_ACCESS_USERNAME": people[Identity.PERSON],
            "RECONCILER_ACCESS_PASSWORD": PASSWORD,
        }
        running = command(front.uri).start("access", "--check", **signed_in(), **subject)
        running.until(reached.is_set)
        made = server.scratch
        running.interrupt(number)
        release.set()
        ended = running.wait()

    assert made
    assert ended.code == 130, ended.said
    assert "no scratch model is left" in ended.err
    assert not server.scratch


def test_the_roles_let_the_commands_do_their_work_and_no_more(
    server: Server, people: Mapping[Identity, str], command: Callable[[str], Reconciler], repository: Repository
) -> None:
    name = f"governed-{uuid4().hex[:8]}"
    server("POST", "registered-models/create", name=name)
    for number in (1, 2):
        server("POST", "model-versions/create", name=name, source=f"s3://models/{number}")
    server("POST", "registered-models/alias", name=name, alias="old", version="1")
    repository.merge(manifest(name, staging=2, production=1, champion=1, old=None))
    reconciler = command(server.uri)

    planned = reconciler("plan", **signed_in(people[Identity.PLAN], PASSWORD))
    refused = reconciler("apply", "--yes", **signed_in(people[Identity.PLAN], PASSWORD))
    untouched = server("GET", "registered-models/get", name=name)["registered_model"]
    applied = reconciler("apply", "--yes", **signed_in(people[Identity.APPLY], PASSWORD))
    drift = reconciler("drift", **signed_in(people[Identity.PLAN], PASSWORD))

    assert planned.code == 0, planned.said
    assert refused.code == 1, refused.said
    assert "aliases" in untouched
    assert all(version["current_stage"] == "None" for version in untouched["latest_versions"])
    assert applied.code == 0, applied.said
    assert drift.code == 0, drift.said
    with pytest.raises(HTTPError):
        server("GET", "registered-models/alias", name=name, alias="old")
