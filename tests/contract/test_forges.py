"""What every forge promises, each against a server on this machine that answers as its REST API does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError, StaleError
from reconciler.forges.kinds import ForgeKind, host_of, open_forge
from reconciler.ports import Forge
from reconciler.render.marker import Marker
from tests.forges import HEAD, MALLORY, MERGED, ROBOT, Desk, desk_of

KEY = "0a1b"
BODY = f"{Marker(KEY, 'd' * 64)}\n## Plan\n\n`RiskClassifier`: promote v5\n"
EARLIER = f"{Marker(KEY, 'e' * 64)}\n## Plan\n\n`RiskClassifier`: promote v4\n"

KINDS = [kind for kind in ForgeKind if kind.job]


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with desk_of(request.param, tmp_path) as desk:
        yield desk


@pytest.mark.parametrize("kind", KINDS)
def test_a_forge_is_known_by_the_environment_of_its_jobs(kind: ForgeKind) -> None:
    by_name, by_job = open_forge(kind, {}), open_forge(None, {kind.job: "true"})

    assert by_name is not None
    assert type(by_name) is type(by_job)


def test_outside_of_a_job_there_is_no_forge() -> None:
    assert open_forge(ForgeKind.NONE, {"GITHUB_ACTIONS": "true"}) is None
    with pytest.raises(ReconcilerError, match="nowhere to publish"):
        open_forge(None, {})


# Our comment.


def test_a_first_comment_is_made_and_its_address_returned(desk: Desk) -> None:
    forge: Forge = desk.forge()

    address = forge.comment(BODY, KEY)

    assert desk.bodies() == [BODY]
    assert re.fullmatch(r"https?://.+/acme/models/.+_?\d+", address or "")


def test_a_job_for_no_request_asks_nothing_and_needs_no_token(desk: Desk) -> None:
    assert desk.forge_on("main", GITHUB_TOKEN="", GITLAB_TOKEN="").comment(BODY, KEY) is None
    assert desk.asked() == []


def test_twice_the_same_is_one_comment_and_no_edit(desk: Desk) -> None:
    first = desk.forge().comment(BODY, KEY)
    second = desk.forge().comment(BODY, KEY)

    assert first == second
    assert len(desk.writes()) == 1


def test_what_an_editor_did_to_the_ends_of_lines_is_no_difference(desk: Desk) -> None:
    desk.say(BODY.replace("\n", "\r\n").strip())

    desk.forge().comment(BODY, KEY)

    assert desk.writes() == []


def test_a_comment_is_brought_up_to_date_in_place(desk: Desk) -> None:
    desk.say("Nice change!", MALLORY)
    desk.say(EARLIER)

    address = desk.forge().comment(BODY, KEY)

    assert desk.bodies() == ["Nice change!", BODY]
    assert address == desk.forge().comment(BODY, KEY)


def test_ours_is_found_on_the_last_page(desk: Desk) -> None:
    desk.say(EARLIER)
    for number in range(250):
        desk.say(f"Remark {number}", MALLORY)
    desk.say(f"{Marker('ffff', 'd' * 64)}\nAnother registry")

    desk.forge().comment(BODY, KEY)
    desk.forge().comment(BODY.replace("key=0a1b", "key=ffff"), "ffff")

    assert [body for body in desk.bodies() if "Remark" not in body] == [BODY, BODY.replace("key=0a1b", "key=ffff")]


OTHERS = {
    "by somebody else": (EARLIER, MALLORY),
    "of another key": (EARLIER.replace("key=0a1b", "key=b2"), ROBOT),
    "with the marker further down": (f"> quoted\n{EARLIER}", ROBOT),
    "without a marker": ("## Plan", ROBOT),
    "that is empty": ("", ROBOT),
}


@pytest.mark.parametrize(("body", "who"), OTHERS.values(), ids=OTHERS.keys())
def test_a_comment_that_is_not_ours_is_left_alone(desk: Desk, body: str, who: str) -> None:
    desk.say(body, who)

    desk.forge().comment(BODY, KEY)

    assert desk.bodies() == [body, BODY]


def test_of_several_of_ours_the_oldest_is_kept_and_no_other(desk: Desk) -> None:
    desk.say(EARLIER)
    desk.say("And?", MALLORY)
    desk.say(EARLIER)
    desk.say(EARLIER)

    desk.forge().comment(BODY, KEY)

    assert desk.bodies() == [BODY, "And?"]


def test_one_that_another_job_took_away_first_is_no_error(desk: Desk) -> None:
    desk.say(BODY)
    desk.say(BODY)
    desk.fail(404, method="DELETE")

    assert desk.forge().comment(BODY, KEY)


@pytest.mark.parametrize("name", ["@plan-bot", "Plan-Bot"])
def test_the_author_may_be_named(desk: Desk, name: str) -> None:
    desk.say(EARLIER, "plan-bot")

    desk.forge(RECONCILER_COMMENT_AUTHOR=name).comment(BODY, KEY)

    assert desk.bodies() == [BODY]


def test_whatever_was_said_of_older_commits_is_withdrawn_and_nothing_else(desk: Desk) -> None:
    sha = "e" * 40
    current = f"{Marker('aaaa', 'd' * 64, sha)}\nOf another job"
    for body in (EARLIER, f"{Marker('ffff', 'd' * 64)}\nAnother registry", current):
        desk.say(body)
    desk.say(EARLIER, MALLORY)

    for _ in range(2):
        desk.forge(COMMIT=sha).withdraw(lambda key: f"{Marker(key, 'a' * 64)}\nNo plan")

    withdrawn = [f"{Marker(key, 'a' * 64)}\nNo plan" for key in (KEY, "ffff")]
    assert desk.bodies() == [*withdrawn, current, EARLIER]
    assert len(desk.writes()) == 2


# What goes wrong.


@pytest.mark.parametrize(("status", "after", "slept"), [(502, "", 1), (429, "7", 7), (429, "0", 0)])
def test_what_passes_is_waited_for(desk: Desk, status: int, after: str, slept: float) -> None:
    desk.fail(status, after=after)

    desk.forge().comment(BODY, KEY)

    assert desk.bodies() == [BODY]
    assert desk.slept == [slept]


ENDLESS: dict[str, tuple[int, str, list[float]]] = {
    "faults": (503, "", [1, 2, 4]),
    "a limit that is told anew": (429, "25", [25, 25]),
    "a limit that asks for no patience": (429, "0", [0, 0, 0]),
    "a limit for an hour": (429, "3600", []),
}


@pytest.mark.parametrize(("status", "after", "slept"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_does_not_pass_is_given_up(desk: Desk, status: int, after: str, slept: list[float]) -> None:
    for _ in range(9):
        desk.fail(status, after=after)

    with pytest.raises(ReconcilerError, match=f"{after} s" if after else "503") as refused:
        desk.forge().comment(BODY, KEY)

    assert desk.slept == slept
    assert refused.value.fix


def test_a_comment_that_got_there_although_the_answer_did_not_is_not_made_again(desk: Desk) -> None:
    desk.fail(504, method="POST", done=True)

    desk.forge().comment(BODY, KEY)

    assert desk.bodies() == [BODY]


def test_a_server_that_is_not_there_is_an_error_with_the_address(desk: Desk) -> None:
    with pytest.raises(ReconcilerError, match=r"http://127\.0\.0\.1:9 "):
        desk.forge_elsewhere("http://127.0.0.1:9").comment(BODY, KEY)

    assert desk.slept == [1, 2, 4]


def test_a_job_without_a_token_is_told_how_to_get_one(desk: Desk) -> None:
    with pytest.raises(ReconcilerError, match="no token for") as refused:
        desk.forge(GITHUB_TOKEN="", GITLAB_TOKEN="").comment(BODY, KEY)

    assert "TOKEN" in refused.value.fix


# What was reviewed.


def test_the_plan_that_was_reviewed_is_found_from_the_merge_commit(desk: Desk) -> None:
    desk.merge()
    desk.say(BODY)

    assert desk.forge_on("main").reviewed(MERGED, KEY) == BODY


def test_a_request_without_a_merge_does_not_count(desk: Desk) -> None:
    desk.merge(at=None)
    desk.say(BODY)

    assert desk.forge_on("main").reviewed(MERGED, KEY) is None


def test_a_commit_without_a_request_was_not_reviewed(desk: Desk) -> None:
    assert desk.forge_on("main").reviewed(MERGED, KEY) is None


def test_a_plan_that_somebody_else_wrote_was_not_reviewed(desk: Desk) -> None:
    desk.merge()
    desk.say(BODY, MALLORY)

    assert desk.forge_on("main").reviewed(MERGED, KEY) is None


def test_of_two_of_ours_the_one_written_last_is_what_was_reviewed(desk: Desk) -> None:
    desk.merge()
    desk.say(BODY, edited="11:00:00")
    desk.say(EARLIER, edited="10:00:00")

    assert desk.forge_on("main").reviewed(MERGED, KEY) == BODY


def test_a_plan_that_was_written_after_the_merge_was_reviewed_by_nobody(desk: Desk) -> None:
    desk.merge()
    desk.say(BODY, edited="12:00:01")

    with pytest.raises(StaleError, match=rf"{desk.name} was written after the merge.*/acme/models/"):
        desk.forge_on("main").reviewed(MERGED, KEY)


# Who approved.


def who(forge: Forge, commit: Commit = HEAD, *, merged: bool = False) -> list[str] | None:
    found = forge.request(commit, merged=merged)
    return None if found is None else [approval.who for approval in found.approvals]


def test_who_approved_the_request_of_the_job_and_which_commit(desk: Desk) -> None:
    desk.approve("grace")

    found = desk.forge().request(HEAD)

    assert found is not None
    assert [(a.who, a.commit, a.at) for a in found.approvals] == [("@grace", HEAD, "2026-05-01T11:00:00+00:00")]
    assert (found.head, found.opened_by) == (HEAD, "@ada")


def test_after_a_merge_the_request_is_found_by_its_commit(desk: Desk) -> None:
    desk.merge()
    desk.approve("grace")

    found = desk.forge_on("main").request(MERGED)

    assert found is not None
    assert ([a.who for a in found.approvals], found.head, found.merged_as) == (["@grace"], HEAD, MERGED)


@pytest.mark.parametrize(("branch", "at"), [("playground", "12:00:00"), ("main", None)], ids=["branch", "not merged"])
def test_a_request_by_which_the_commit_did_not_come_approves_nothing(desk: Desk, branch: str, at: str | None) -> None:
    desk.merge(branch, at=at)
    desk.approve("grace")

    assert who(desk.forge_on("main"), MERGED) is None


def test_a_commit_in_the_middle_of_a_branch_came_by_the_first_request_that_has_it(desk: Desk) -> None:
    desk.merge(number=9, at="13:00:00", exact=False)
    desk.merge(exact=False)
    desk.approve("grace")

    assert who(desk.forge_on("main"), MERGED) == ["@grace"]


def test_a_job_for_a_commit_that_was_pushed_over_knows_no_approvals(desk: Desk) -> None:
    desk.approve("grace")

    assert who(desk.forge_for(HEAD)) == ["@grace"]
    with pytest.raises(ReconcilerError, match=f"{desk.name} was pushed to since this job began"):
        desk.forge_for("ee" * 20).request(HEAD)


def test_an_approval_from_before_the_request_was_led_to_another_branch_is_none(desk: Desk) -> None:
    desk.approve("grace", at="11:00:00")
    desk.approve("hedy", at="12:00:00")
    desk.lead_away("11:30:00")

    assert who(desk.forge()) == ["@hedy"]


def test_a_robots_approval_is_none(desk: Desk) -> None:
    desk.approve(ROBOT)

    assert who(desk.forge()) == []


@pytest.mark.parametrize("text", ["APPROVED\n\nApproved-by: Grace <g@acme.example>", "approved this merge request"])
def test_a_comment_that_says_so_is_no_approval(desk: Desk, text: str) -> None:
    desk.say(text, "grace")

    assert who(desk.forge()) == []


@pytest.mark.parametrize("status", [403, 404])
def test_approvals_that_cannot_be_read_are_not_known(desk: Desk, status: int) -> None:
    desk.approve("grace")
    desk.fail(status)

    with pytest.raises(ReconcilerError, match=str(status)):
        desk.forge().request(HEAD)


def test_approvals_are_asked_for_again_where_the_server_fails(desk: Desk) -> None:
    desk.approve("grace")
    desk.fail(502)
    desk.fail(429, after="7")

    assert who(desk.forge()) == ["@grace"]
    assert desk.slept == [1, 7]


# Requests that we open.


def test_a_request_is_opened_once_whatever_becomes_of_the_answer(desk: Desk) -> None:
    desk.fail(502, method="POST", done=True)

    first = desk.forge().propose("reconciler/promote", "main", "Promote churn v5", "Why.\n\n/close\n")
    second = desk.forge().propose("reconciler/promote", "main", "Promote churn v5", "Why.")

    (opened,) = desk.opened()
    assert first == second
    assert re.fullmatch(r"https://.+/acme/models/.+/40", first)
    assert opened["title"] == "Promote churn v5"
    assert {"reconciler/promote", "main"} <= set(map(str, opened.values()))


def test_a_request_that_is_not_ours_to_open_says_what_the_job_needs(desk: Desk) -> None:
    desk.fail(403, method="POST")

    with pytest.raises(ReconcilerError, match="403"):
        desk.forge().propose("reconciler/promote", "main", "Promote churn v5", "")
    assert desk.opened() == []


def test_outside_of_a_job_the_address_of_the_remote_says_where() -> None:
    assert host_of("git@github.com:acme/models.git") == "github.com"
    assert host_of("https://gitlab.acme.example/risk/models") == "gitlab.acme.example"
    assert host_of("/srv/git/models.git") == ""
