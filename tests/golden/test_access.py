"""What `reconciler access` says of each kind of server, and of a check."""

import json

import pytest

from reconciler.core.access import NEEDED, Access, Act, Attempt, Identity, Proof, Result, Server, ServerKind, governed
from reconciler.render.access import access_document, access_lines
from reconciler.render.layout import plain
from tests.build import P, S, desired, want
from tests.golden.test_golden import check, file_name

URI = "https://mlflow.acme.example"
GOVERNED = governed(
    desired(
        want({P: [4], S: [5]}, {"champion": 4}, name="churn"),
        want({P: [1]}, {"champion": 1, "challenger": 2}, name="fraud"),
    )
)
OURS = {Act.SET_ALIAS, Act.TAG_MODEL, Act.REGISTER, Act.READ}


def tried(identity: Identity, allowed: set[Act]) -> tuple[Attempt, ...]:
    return tuple(Attempt(act, Result.ALLOWED if act in allowed | NEEDED[identity] else Result.REFUSED) for act in Act)


def server(kind: ServerKind, *, release: str = "3.17.2", user: str = "admin") -> Server:
    return Server(URI, kind, release, user, True if user else None)


SCENES = {
    "access with grants": Access(server(ServerKind.GRANTS), GOVERNED),
    "access with basic-auth": Access(server(ServerKind.BASIC_AUTH, release="3.16.1"), GOVERNED),
    "access without authentication": Access(server(ServerKind.OPEN, user=""), GOVERNED),
    "access behind a login": Access(server(ServerKind.OTHER, user="")),
    "access to a database": Access(Server("postgresql://db/registry", ServerKind.DATABASE), GOVERNED),
    "access to a service": Access(Server("databricks", ServerKind.MANAGED)),
    "access proven": Access(
        server(ServerKind.GRANTS), None, Proof(Identity.PERSON, "ada", tried(Identity.PERSON, OURS))
    ),
    "access not proven": Access(
        server(ServerKind.GRANTS),
        None,
        Proof(
            Identity.PLAN,
            "ci-plan",
            (
                *tried(Identity.PLAN, OURS)[:-1],
                Attempt(Act.DELETE_MODEL, Result.UNKNOWN, "502: Bad Gateway"),
            ),
            ("reconciler-access-check-0f",),
        ),
    ),
}


@pytest.mark.parametrize("title", SCENES)
def test_access_as_text(title: str, update_golden: bool) -> None:
    text = "\n".join(plain(line).rstrip() for line in access_lines(SCENES[title], 80)) + "\n"

    check(file_name(title, "txt"), text, update_golden)


@pytest.mark.parametrize("title", ["access with grants", "access not proven"])
def test_access_as_json(title: str, update_golden: bool) -> None:
    text = json.dumps(access_document(SCENES[title]), indent=2) + "\n"

    check(file_name(title, "json"), text, update_golden)
