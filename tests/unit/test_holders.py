"""How a process names itself in a lock."""

import os

import pytest

from reconciler.holders import named, this_process
from reconciler.ports import Holder

NOW = "2026-01-01T12:00:00Z"
GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/models",
    "GITHUB_RUN_ID": "7",
}


def test_a_process_is_named_by_user_host_and_number() -> None:
    holder = this_process({"USER": "alice"}, NOW)

    assert holder.who.startswith("alice@")
    assert holder.who.endswith(f" pid {os.getpid()}")
    assert holder.since == NOW
    assert holder.run == ""


def test_a_process_without_user_variables_has_a_name_too() -> None:
    assert not this_process({}, NOW).who.startswith("@")


@pytest.mark.parametrize(
    ("environment", "run"),
    [
        (GITHUB, "https://github.com/acme/models/actions/runs/7"),
        ({"GITHUB_SERVER_URL": "https://github.com"}, ""),
        ({"CI_JOB_URL": "https://gitlab.com/acme/models/-/jobs/7"}, "https://gitlab.com/acme/models/-/jobs/7"),
        ({"BUILD_URL": "https://bot:s3cret@jenkins/job/models/7/"}, "https://jenkins/job/models/7/"),
    ],
)
def test_a_job_is_named_by_its_page(environment: dict[str, str], run: str) -> None:
    assert this_process(environment, NOW).run == run


def test_what_is_not_known_of_a_holder_is_left_out() -> None:
    assert named(Holder("alice", "")) == "alice"
    assert named(Holder("alice", NOW, "job 7")) == f"alice, since {NOW}, run job 7"
