"""The environment as it is for one of several registries."""

import os
from collections.abc import Mapping
from threading import Event, Thread, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.policy import PolicySettings
from reconciler.errors import ReconcilerError
from reconciler.surroundings import PREFIX, Surroundings, seen_alone, seen_by

SECRETS = (
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_WORKSPACE", "DATABRICKS_HOST", "DATABRICKS_TOKEN"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    *(
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_CLIENT_ID",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
)
OTHERS = ("PATH", "MLFLOW_HTTP_REQUEST_TIMEOUT", "AWS_REGION", "RECONCILER_SIGNING_KEY")
PREFIXES = ("", "DEV_", "PROD_", "A_PROD_")
names = st.builds(str.__add__, st.sampled_from(PREFIXES), st.sampled_from((*SECRETS, *OTHERS)))
environments = st.dictionaries(names, st.text("abc", min_size=1, max_size=3), max_size=12)


@given(environments, st.sampled_from(PREFIXES[1:]))
def test_addresses_and_credentials_are_those_behind_the_prefix_and_no_others(
    environment: Mapping[str, str], prefix: str
) -> None:
    seen = seen_by(PolicySettings(prefix=prefix), environment)

    assert {name: seen.get(name) for name in SECRETS} == {name: environment.get(f"{prefix}{name}") for name in SECRETS}
    assert seen.get("PATH") == environment.get("PATH"), "what is of no registry stands for itself"
    assert seen.get("AWS_REGION") == environment.get(f"{prefix}AWS_REGION", environment.get("AWS_REGION"))


@given(environments, st.sampled_from(PREFIXES[1:]))
def test_to_look_twice_is_to_look_once(environment: Mapping[str, str], prefix: str) -> None:
    settings = PolicySettings(prefix=prefix, workspace="risk")
    once = seen_by(settings, environment)

    assert seen_by(settings, once) == once
    assert once["MLFLOW_WORKSPACE"] == environment.get(f"{prefix}MLFLOW_WORKSPACE", "risk")


@given(environments, st.sampled_from(PREFIXES[1:]))
def test_a_process_for_one_registry_sees_nothing_that_is_for_another_one(
    environment: Mapping[str, str], prefix: str
) -> None:
    named = {name: name for name in environment}
    all_of_them = [PolicySettings(prefix=one) for one in PREFIXES[1:]]
    seen = seen_alone(PolicySettings(prefix=prefix), all_of_them, named, ["RECONCILER_SIGNING_KEY"])

    theirs = {f"{one}{name}" for one in PREFIXES if one != prefix for name in SECRETS}
    assert not theirs & {*seen.values()}
    assert not {"PROD_AWS_REGION", "DEV_AWS_REGION", "A_PROD_AWS_REGION"} & {*seen.values()} - {f"{prefix}AWS_REGION"}
    assert "RECONCILER_SIGNING_KEY" not in seen
    assert seen.get("PATH") == named.get("PATH")


def test_what_was_shown_for_one_registry_is_not_passed_on_to_another_ones_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROD_AWS_SECRET_ACCESS_KEY", "prod")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    surroundings, prod, dev = Surroundings(), PolicySettings(prefix="PROD_"), PolicySettings(prefix="DEV_")

    surroundings.enter([])
    surroundings.show(prod)
    shown = os.environ.get("AWS_SECRET_ACCESS_KEY")
    alone = seen_alone(dev, [dev, prod], surroundings.before(os.environ), [])
    surroundings.leave()

    assert shown == "prod"
    assert "prod" not in alone.values()


def test_a_policy_without_several_registries_sees_all() -> None:
    environment = {"MLFLOW_TRACKING_TOKEN": "x", "PROD_MLFLOW_TRACKING_TOKEN": "y"}
    assert seen_by(PolicySettings(), environment) is environment


def test_the_environment_is_as_it_was_after_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "common")
    monkeypatch.setenv("PROD_MLFLOW_TRACKING_TOKEN", "prod")
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    surroundings, settings = Surroundings(), PolicySettings(prefix="PROD_", workspace="risk")
    before = dict(os.environ)

    surroundings.enter(["SOME_DEFAULT"])
    os.environ["SOME_DEFAULT"] = "1"
    surroundings.show(settings)
    surroundings.show(settings)
    inside = os.environ["MLFLOW_TRACKING_TOKEN"], os.environ["MLFLOW_WORKSPACE"]
    last = surroundings.leave()

    assert inside == ("prod", "risk")
    assert last
    assert dict(os.environ) == before


def test_calls_for_two_registries_are_not_made_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_TOKEN", "dev")
    monkeypatch.setenv("PROD_MLFLOW_TRACKING_TOKEN", "prod")
    surroundings, inside, over = Surroundings(), Event(), Event()

    def call() -> None:
        surroundings.enter([])
        surroundings.show(PolicySettings(prefix="DEV_"))
        inside.set()
        over.wait(30)
        surroundings.leave()

    thread = Thread(target=call)
    thread.start()
    inside.wait(30)
    surroundings.enter([])
    with pytest.raises(ReconcilerError, match="one after the other"):
        surroundings.show(PolicySettings(prefix="PROD_"))
    token = os.environ["MLFLOW_TRACKING_TOKEN"]
    surroundings.leave()
    over.set()
    thread.join()

    assert token == "dev"
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ


@pytest.mark.parametrize("ends", [True, False])
def test_no_answer_that_is_late_finds_what_lets_in_at_another_registry(
    monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_TOKEN", "dev")
    monkeypatch.setenv("PROD_MLFLOW_TRACKING_TOKEN", "prod")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    monkeypatch.setattr("reconciler.surroundings.LATE_SECONDS", 30.0 if ends else 0.0)
    surroundings, answered, found = Surroundings(), Event(), list[str | None]()

    def late() -> None:
        answered.wait(30)
        found.append(os.environ.get("MLFLOW_TRACKING_TOKEN"))

    surroundings.enter([])
    surroundings.show(PolicySettings(prefix="DEV_"))
    thread = surroundings.read("late", late)
    surroundings.leave()
    if ends:
        Timer(0.05, answered.set).start()
    surroundings.enter([])
    try:
        if ends:
            surroundings.show(PolicySettings(prefix="PROD_"))
        else:
            with pytest.raises(ReconcilerError, match="still owes an answer"):
                surroundings.show(PolicySettings(prefix="PROD_"))
            answered.set()
            thread.join()
    finally:
        surroundings.leave()

    assert found == [None]


def wait(answered: Event) -> None:
    answered.wait(60)


@pytest.mark.parametrize("again", [False, True])
def test_an_answer_is_not_waited_for_once_what_lets_in_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_TOKEN", "dev")
    monkeypatch.setattr("reconciler.surroundings.LATE_SECONDS", 0.0)
    surroundings, asking, answered = Surroundings(), Event(), Event()

    def read() -> None:
        surroundings.looks()
        surroundings.has_looked()
        if again:
            surroundings.looks()
        asking.set()
        answered.wait(30)

    thread = surroundings.read("page", read)
    asking.wait(30)
    surroundings.enter([])
    try:
        if again:
            with pytest.raises(ReconcilerError, match="still owes an answer"):
                surroundings.show(PolicySettings(prefix="DEV_"))
        else:
            assert surroundings.show(PolicySettings(prefix="DEV_"))["MLFLOW_TRACKING_TOKEN"] == "dev"
    finally:
        surroundings.leave()
        answered.set()
        thread.join()


def test_who_does_not_say_what_it_takes_is_waited_for_whatever_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.surroundings.LATE_SECONDS", 0.0)
    surroundings, asking, answered = Surroundings(), Event(), Event()

    def read() -> None:
        surroundings.has_looked()
        asking.set()
        answered.wait(30)

    thread = surroundings.read("evidence", read)
    asking.wait(30)
    surroundings.enter([])
    with pytest.raises(ReconcilerError, match="still owes an answer"):
        surroundings.show(PolicySettings(prefix="DEV_"))
    surroundings.leave()
    answered.set()
    thread.join()


def test_what_is_late_keeps_no_call_for_the_same_registry_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.surroundings.LATE_SECONDS", 30.0)
    surroundings, answered, settings = Surroundings(), Event(), PolicySettings(prefix="DEV_")
    surroundings.enter([])
    surroundings.show(settings)
    thread = surroundings.read("late", lambda: wait(answered))
    surroundings.show(settings)
    waiting = thread.is_alive()
    answered.set()
    thread.join()
    surroundings.leave()

    assert waiting


def test_a_remedy_names_variables_as_they_are_to_be_set_for_the_registry_in_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROD_MLFLOW_TRACKING_URI", "https://prod.example")
    remedy = "Set MLFLOW_TRACKING_USERNAME, or see MLFLOW_HTTP_REQUEST_TIMEOUT and RECONCILER_MLFLOW_TRACKING_TOKEN."
    surroundings = Surroundings()
    surroundings.enter(())
    plain = surroundings.named(remedy)

    surroundings.show(PolicySettings(prefix="PROD_"))
    named = surroundings.named(remedy)
    surroundings.leave()

    assert plain == remedy
    assert named == remedy.replace("MLFLOW_TRACKING_USERNAME", "PROD_MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv(PREFIX, "DEV_")
    alone = Surroundings()
    alone.are_of_one()
    assert alone.named("MLFLOW_TRACKING_TOKEN") == "DEV_MLFLOW_TRACKING_TOKEN"
