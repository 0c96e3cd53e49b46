"""Who may write what: what is judged, and how it is said."""

import json
import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft7Validator

from reconciler.core.access import (
    FORBIDDEN,
    NEEDED,
    ROLES,
    Access,
    Act,
    Attempt,
    Identity,
    Proof,
    Result,
    Server,
    ServerKind,
    governed,
)
from reconciler.errors import ReconcilerError
from reconciler.places import registry_uri_given
from reconciler.reading.schemas import access_schema
from reconciler.registry.access import Credentials, MlflowAccess, credentials_of
from reconciler.render.access import INSTEAD, access_document, access_lines, proof_sentence, roles_script
from reconciler.render.layout import plain
from reconciler.reporter import Uninterrupted
from tests.build import P, S, desired, want

URI = "https://mlflow.acme.example"
GOVERNED = governed(desired(want({P: [1], S: []}, {"champion": 1}, name="a"), want({P: [2]}, name="b")))


def proof(identity: Identity, **results: Result) -> Proof:
    """A proof with the results that are wanted, but for those named here, by the names of acts."""
    wanted = {act: Result.ALLOWED if act in NEEDED[identity] else Result.REFUSED for act in Act}
    named = {Act[name.upper()]: result for name, result in results.items()}
    return Proof(identity, "ada", tuple(Attempt(act, result) for act, result in {**wanted, **named}.items()))


def test_the_governed_slots_are_stages_then_aliases_each_with_its_models() -> None:
    assert [(slot.slot, slot.models) for slot in GOVERNED.slots] == [
        ("Production", ("a", "b")),
        ("Staging", ("a",)),
        ("@champion", ("a",)),
    ]


@pytest.mark.parametrize("kind", ServerKind)
def test_only_grants_can_close_a_stage_and_nothing_closes_an_alias(kind: ServerKind) -> None:
    closed = [slot.closed_on(Server(URI, kind)) for slot in GOVERNED.slots]

    assert closed == [kind is ServerKind.GRANTS] * 2 + [False]


@pytest.mark.parametrize("identity", Identity)
def test_what_is_wanted_holds(identity: Identity) -> None:
    assert proof(identity).holds


@pytest.mark.parametrize("identity", Identity)
@pytest.mark.parametrize("act", Act)
def test_what_is_not_known_is_not_proven(identity: Identity, act: Act) -> None:
    matters = act in NEEDED[identity] | FORBIDDEN[identity]

    assert proof(identity, **{act.name: Result.UNKNOWN}).holds is not matters


def test_what_was_not_tried_is_not_proven() -> None:
    whole = proof(Identity.PERSON)

    assert not replace(whole, attempts=whole.attempts[1:]).holds
    assert not replace(whole, attempts=()).holds


@pytest.mark.parametrize(
    ("identity", "act", "holds"),
    [
        (Identity.PERSON, Act.MOVE_STAGE, False),
        (Identity.PERSON, Act.MOVE_STAGE_OF_OWN, False),
        (Identity.PERSON, Act.MOVE_STAGE_AS_PROMPT, False),
        (Identity.PERSON, Act.TAG_VERSION, False),
        (Identity.PERSON, Act.SET_ALIAS, True),
        (Identity.PERSON, Act.REGISTER, True),
        (Identity.PLAN, Act.SET_ALIAS, False),
        (Identity.CHECK, Act.MOVE_STAGE, True),
        (Identity.APPLY, Act.DELETE_MODEL, True),
    ],
)
def test_what_may_be_allowed(identity: Identity, act: Act, holds: bool) -> None:
    assert proof(identity, **{act.name: Result.ALLOWED}).holds is holds


def test_no_identity_needs_what_it_must_not_have() -> None:
    assert all(not NEEDED[identity] & FORBIDDEN[identity] for identity in Identity)


def test_every_server_without_grants_has_something_instead() -> None:
    assert {kind for kind in ServerKind if INSTEAD[kind]} == set(ServerKind) - {ServerKind.GRANTS}


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("sqlite:///registry.db", ServerKind.DATABASE),
        ("postgresql+psycopg2://u:secret@db/x", ServerKind.DATABASE),
        ("./mlruns", ServerKind.DATABASE),
        ("mlruns", ServerKind.DATABASE),
        ("databricks", ServerKind.MANAGED),
        ("databricks-uc://profile", ServerKind.MANAGED),
        ("azureml://westeurope.api.azureml.ms/x", ServerKind.MANAGED),
        ("arn:aws:sagemaker:eu-west-1:1:mlflow-tracking-server/x", ServerKind.MANAGED),
    ],
)
def test_what_is_no_server_is_known_by_its_address(uri: str, kind: ServerKind) -> None:
    server = MlflowAccess(uri).server()

    assert server.kind is kind
    assert "secret" not in server.uri


def test_there_is_nothing_to_check_where_there_are_no_users() -> None:
    access = MlflowAccess("sqlite:///registry.db")

    with pytest.raises(ReconcilerError, match="nothing to check"):
        access.prove(access.server(), Identity.PERSON, Credentials(), lambda: None)


@pytest.mark.parametrize("half", ["RECONCILER_ACCESS_USERNAME", "RECONCILER_ACCESS_PASSWORD"])
def test_half_of_the_credentials_is_a_mistake(half: str) -> None:
    with pytest.raises(ReconcilerError, match="is not set"):
        credentials_of({half: "x"})


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(Credentials("ada", "hunter2"))


def test_the_script_makes_every_role_with_every_grant() -> None:
    script = roles_script(URI)

    compile(script, "roles.py", "exec")
    for role in ROLES:
        assert f'"{role.name}"' in script
        assert all(f'"{resource}": "{permission}"' in script for resource, permission in role.grants.items())


def test_a_name_cannot_break_out_of_the_script() -> None:
    nasty = 'x"]); print("broken'
    users = dict.fromkeys(Identity, (nasty,))

    script = roles_script(nasty, users)

    made: list[str] = []

    class Client:
        def __init__(self, uri: str) -> None:
            made.append(uri)

    names = script.replace("from mlflow.server.auth.client import AuthServiceClient", "").partition("for name")[0]
    exec(names, {"AuthServiceClient": Client})  # noqa: S102  # what a person would run
    assert made == [nasty]


@pytest.mark.parametrize("kind", ServerKind)
@pytest.mark.parametrize("width", [1, 80, 140, 1000])
def test_prose_keeps_within_the_terminal(kind: ServerKind, width: int) -> None:
    lines = [plain(line) for line in access_lines(Access(Server(URI, kind, "3.17.2", "ada"), GOVERNED), width)]

    shortest, longest = 40, 110
    most = min(max(width, shortest), longest)
    prose = [line for line in lines if " " in line.strip() and '"' not in line and "(" not in line]
    assert max(map(len, prose)) <= most + (30 if width == 1 else 0)


@pytest.mark.parametrize("kind", ServerKind)
def test_the_document_is_what_its_schema_says(kind: ServerKind) -> None:
    validator: Any = Draft7Validator(access_schema())

    for access in (
        Access(Server(URI, kind)),
        Access(Server(URI, kind, "3.17.2", "ada", True), GOVERNED, proof(Identity.PERSON)),
    ):
        validator.validate(json.loads(json.dumps(access_document(access))))


def test_names_from_outside_cannot_break_out() -> None:
    nasty = "a\x1b[31m\u202e\nb"
    server = Server(URI, ServerKind.GRANTS, nasty, nasty)
    attempts = (Attempt(Act.READ, Result.UNKNOWN, nasty),)

    for access in (Access(server), Access(server, proof=Proof(Identity.PERSON, nasty, attempts, (nasty,)))):
        assert all(plain(line).isprintable() for line in access_lines(access, 80))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_breaks_the_work_off_once(number: signal.Signals) -> None:
    with Uninterrupted():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)


def test_no_signal_breaks_the_clean_up_off() -> None:
    with Uninterrupted() as ending:
        ending.begin()
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        (Identity.PERSON, "Check failed: 1 of 14 results are not what a person must get."),
        (Identity.PLAN, "Check failed: 1 of 14 results are not what the job of plan must get."),
    ],
)
def test_a_check_that_fails_says_for_whom(identity: Identity, sentence: str) -> None:
    assert proof_sentence(proof(identity, MOVE_STAGE=Result.ALLOWED)) == sentence


def test_the_registry_is_never_taken_from_a_file() -> None:
    assert registry_uri_given(None, {"MLFLOW_TRACKING_URI": URI}) == URI
    with pytest.raises(ReconcilerError, match="--registry-uri") as said:
        registry_uri_given(None, {})
    assert "reconciler.yaml" not in str(said.value)
