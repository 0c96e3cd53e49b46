"""What only GitLab's forge does, against a server on this machine that answers as its REST API does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.core.gate import Approval
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError, StaleError
from reconciler.forges.gitlab import COMMENT_LIMIT, GitlabForge
from reconciler.forges.patience import Timing
from reconciler.ports import Push, Request
from reconciler.render.marker import Marker
from tests.gitlab_server import HEAD, THEIRS, TOKEN, Fault, Gitlab, gitlab_server

KEY = "0a1b"
PASS = Fault(0)
LATER = "2026-05-01T12:00:00.000+02:00"
COMMIT = Commit("c" * 40)
BODY = f"{Marker(KEY, 'd' * 64)}\nWhat would change"
EARLIER = f"{Marker(KEY, 'e' * 64)}\nWhat would have changed"


@pytest.fixture
def gitlab() -> Iterator[Gitlab]:
    with gitlab_server() as state:
        yield state


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def forge(gitlab: Gitlab, slept: list[float], tmp_path: Path) -> Callable[..., GitlabForge]:
    """Makes the forge of a job; variables are set or, with None, unset."""

    def make(**variables: str | None) -> GitlabForge:
        environment = {name: value for name, value in {**gitlab.job, **variables}.items() if value is not None}
        return GitlabForge(environment, tmp_path, Timing(sleep=slept.append))

    return make


Make = Callable[..., GitlabForge]


def test_a_system_note_is_not_ours(gitlab: Gitlab, forge: Make) -> None:
    gitlab.note(EARLIER, system=True)

    forge().comment(BODY, KEY)

    assert gitlab.bodies() == [EARLIER, BODY]


def test_the_note_of_a_fork_goes_to_the_project_that_is_asked(gitlab: Gitlab, forge: Make) -> None:
    forge(CI_PROJECT_ID="99").comment(BODY, KEY)

    assert gitlab.bodies() == [BODY]


def test_no_text_becomes_a_command(gitlab: Gitlab, forge: Make) -> None:
    text = f"{BODY}\n/merge\n  /close\n> /approve\nand/or\n"

    forge().comment(text, KEY)
    forge().comment(text, KEY)

    assert gitlab.commands == []
    assert gitlab.bodies() == [f"{BODY}\n\\/merge\n  \\/close\n> \\/approve\nand/or\n"]


def test_the_limit_is_gitlabs() -> None:
    assert GitlabForge({}).comment_limit == COMMENT_LIMIT == 999_900


def merged(**fields: object) -> dict[str, object]:
    usual = {"iid": 3, "state": "merged", "target_branch": "main", "merge_commit_sha": COMMIT, "merged_at": LATER}
    return {**usual, **fields}


@pytest.mark.parametrize(
    "request_",
    [
        merged(),
        merged(merge_commit_sha="a" * 40, squash_commit_sha=COMMIT),
        merged(merge_commit_sha=None, squash_commit_sha=None, sha=COMMIT),
    ],
    ids=["merged", "squashed", "fast-forward"],
)
def test_what_was_reviewed_is_found_by_the_commit(gitlab: Gitlab, forge: Make, request_: dict[str, object]) -> None:
    gitlab.merge_requests = [merged(iid=2, merge_commit_sha="b" * 40), request_]
    gitlab.note(EARLIER, request=2)
    gitlab.note(BODY)

    body = forge(CI_COMMIT_BRANCH="main", CI_MERGE_REQUEST_IID=None).reviewed(COMMIT, KEY)

    assert body == BODY


@pytest.mark.parametrize(
    "request_",
    [
        merged(state="opened"),
        merged(merge_commit_sha="a" * 40),
        merged(merge_commit_sha="a" * 40, sha=COMMIT),
        merged(target_branch="playground"),
    ],
    ids=["not merged", "part of another merge", "the head of what was merged", "another branch"],
)
def test_what_did_not_end_in_the_commit_was_not_reviewed_for_it(
    gitlab: Gitlab, forge: Make, request_: dict[str, object]
) -> None:
    gitlab.merge_requests = [request_]
    gitlab.note(BODY)

    assert forge(CI_COMMIT_BRANCH="main").reviewed(COMMIT, KEY) is None


@pytest.mark.parametrize("merged_at", ["2026-05-01T09:59:59.999Z", None])
def test_a_plan_that_was_written_after_the_merge_was_not_reviewed(
    gitlab: Gitlab, forge: Make, merged_at: str | None
) -> None:
    gitlab.merge_requests = [merged(merged_at=merged_at)]
    gitlab.note(BODY)

    with pytest.raises(StaleError, match="!3 was written after the merge"):
        forge().reviewed(COMMIT, KEY)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401), "does not accept the token"),
        (Fault(403), "does not let the token do this"),
        (Fault(404), "no such project"),
        (Fault(400, body=f'{{"message": "bad {TOKEN}"}}'), "refused (400): bad ***"),
        (Fault(200, body="<html>Sign in</html>", kind="text/html"), "not from GitLab's API"),
        (Fault(200, body='[{"id": "x"}]'), "not from GitLab's API"),
        (Fault(200, body="{"), "not from GitLab's API"),
        (Fault(302, {"Location": "/users/sign_in"}, kind="text/html"), "not from GitLab's API"),
    ],
)
def test_an_error_says_what_to_do_and_no_token(gitlab: Gitlab, forge: Make, fault: Fault, said: str) -> None:
    gitlab.faults = [fault]

    with pytest.raises(ReconcilerError) as raised:
        forge().comment(BODY, KEY)

    assert said in str(raised.value)
    assert raised.value.fix
    assert TOKEN not in str(raised.value)


def test_a_job_without_token_is_told_why_its_own_does_not_do(forge: Make) -> None:
    with pytest.raises(ReconcilerError, match="CI_JOB_TOKEN cannot write notes"):
        forge(GITLAB_TOKEN=None, CI_JOB_TOKEN="job").comment(BODY, KEY)


def test_a_job_outside_gitlab_is_told_what_is_missing(forge: Make) -> None:
    with pytest.raises(ReconcilerError, match="CI_SERVER_URL is not set"):
        forge(CI_API_V4_URL=None, CI_SERVER_URL=None).comment(BODY, KEY)


@pytest.mark.parametrize("asked", ["3600", "999999999"])
def test_nobody_waits_for_an_hour(gitlab: Gitlab, forge: Make, slept: list[float], asked: str) -> None:
    gitlab.faults = [Fault(429, {"Retry-After": asked})]

    with pytest.raises(ReconcilerError, match=f"wait {asked} s"):
        forge().comment(BODY, KEY)

    assert slept == []


def test_a_date_in_place_of_seconds_is_no_reason_to_fall_over(gitlab: Gitlab, forge: Make, slept: list[float]) -> None:
    gitlab.faults = [Fault(429, {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"})]

    forge().comment(BODY, KEY)

    assert slept == [1]


def test_a_file_of_authorities_that_is_not_there_is_no_obstacle(gitlab: Gitlab, forge: Make) -> None:
    forge(CI_SERVER_TLS_CA_FILE="/no/such/file").comment(BODY, KEY)

    assert gitlab.bodies() == [BODY]


def test_outputs_are_a_dotenv_report_of_one_line_each(forge: Make, tmp_path: Path) -> None:
    forge().tell({"digest": "d" * 64, "to-add": "1", "said": "two\nlines"}, "A *summary*")

    assert (tmp_path / "reconciler.env").read_text() == (
        f"RECONCILER_OUTPUT_DIGEST={'d' * 64}\nRECONCILER_OUTPUT_SAID=two\\nlines\nRECONCILER_OUTPUT_TO_ADD=1\n"
    )


def test_a_dotenv_file_of_the_checkout_is_replaced_and_no_link_followed(forge: Make, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out.env").symlink_to(victim)

    forge(RECONCILER_DOTENV="out.env").tell({"digest": "d"}, "")

    assert victim.read_text() == "mine"
    assert (tmp_path / "out.env").read_text() == "RECONCILER_OUTPUT_DIGEST=d\n"


def test_a_dotenv_report_that_cannot_be_written_is_an_error(forge: Make) -> None:
    with pytest.raises(ReconcilerError, match="RECONCILER_DOTENV"):
        forge(RECONCILER_DOTENV="no/such/folder.env").tell({}, "")


ADA = {"id": 1, "username": "ada", "name": "Ada"}
GRACE = {"id": 2, "username": "grace", "name": "Grace Hopper"}
HEDY = {"id": 3, "username": "hedy", "name": "Hedy"}
MERGED = Commit("ab" * 20)


def asked(forge: GitlabForge, commit: Commit = COMMIT, **more: bool) -> Request:
    found = forge.request(commit, **more)
    assert found is not None
    return found


def who(request: Request) -> list[str]:
    """Those who approved its head."""
    return [approval.who for approval in request.approvals if approval.commit == request.head]


def test_who_approved_the_merge_request_of_the_job(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, "11:00:00")

    found = asked(forge())

    assert found == Request(
        Commit(HEAD),
        (Approval("@grace", "approval of !3 on GitLab", "2026-05-01T11:00:00+00:00", Commit(HEAD)),),
        "@ada",
        {Commit(HEAD): ("Ada <ada@acme.example>",)},
    )


def test_a_server_that_gives_no_time_is_believed_by_its_notes(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(HEDY, None, noted="11:30:00")
    gitlab.approve(GRACE, None, noted="11:00:00")
    for number in range(150):
        gitlab.note(f"Remark {number}", THEIRS)

    assert who(asked(forge())) == ["@grace", "@hedy"]


def test_an_approval_from_before_the_last_push_is_stale(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00", "ee" * 20)
    gitlab.approve(GRACE, "11:00:00")
    gitlab.approve(HEDY, None, noted="11:00:00")
    gitlab.push("12:00:00")

    assert who(asked(forge())) == []


def test_an_approval_in_the_moment_of_a_push_is_stale(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("11:00:00")
    gitlab.approve(GRACE, "11:00:00")

    assert who(asked(forge())) == []


def test_of_a_persons_notes_the_last_one_counts(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00", "ee" * 20)
    gitlab.approve(GRACE, None, noted="11:00:00")
    gitlab.push("12:00:00")
    gitlab.approvals.clear()
    gitlab.approve(GRACE, None, noted="13:00:00")

    assert who(asked(forge())) == ["@grace"]


def test_notes_that_people_write_are_no_approvals_and_date_none(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00")
    gitlab.note("approved this merge request", GRACE)
    gitlab.note("Approved-by: Grace <grace@acme.example>", GRACE)
    for note in gitlab.notes:
        note["created_at"] = "2026-05-01T11:00:00.000Z"

    assert who(asked(forge())) == []
    gitlab.approve(GRACE, None)
    with pytest.raises(ReconcilerError, match="not say when @grace approved !3"):
        forge().request(COMMIT)


def test_an_approval_that_was_taken_back_is_none(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, None, noted="11:00:00")
    gitlab.approvals.clear()

    assert who(asked(forge())) == []


ROBOTS = {
    "a project's robot": {"id": 9, "username": "project_42_bot", "name": "CI"},
    "a newer robot": {"id": 9, "username": "project_42_bot_0a1b2c", "name": "CI"},
    "a group's robot": {"id": 9, "username": "group_7_bot", "name": "CI"},
    "a service account": {"id": 9, "username": "service_account_group_7_0a1b", "name": "CI"},
}


@pytest.mark.parametrize("user", ROBOTS.values(), ids=ROBOTS.keys())
def test_a_robots_approval_is_none(gitlab: Gitlab, forge: Make, user: dict[str, object]) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(user, "11:00:00")

    assert who(asked(forge())) == []


def test_an_approval_is_of_the_head_that_was_there_when_it_was_given(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00", "ee" * 20)
    gitlab.approve(GRACE, "11:00:00")
    gitlab.approve(HEDY, "09:00:00")
    gitlab.push("12:00:00")

    assert [(a.who, a.commit) for a in asked(forge()).approvals] == [("@grace", "ee" * 20)]


def test_an_approver_who_is_called_as_a_commits_author_may_be_its_author(gitlab: Gitlab, forge: Make) -> None:
    gitlab.push("10:00:00")
    gitlab.approve({"id": 9, "username": "lovelace", "name": "ADA"}, "11:00:00")

    assert asked(forge()).makers == {HEAD: ("@lovelace", "Ada <ada@acme.example>")}


LED = (
    "changed target branch from `playground` to `main`",
    "deleted the `playground` branch. This merge request now targets the `main` branch",
)


@pytest.mark.parametrize("body", LED)
def test_an_approval_from_before_the_request_was_led_to_another_branch_is_none(
    gitlab: Gitlab, forge: Make, body: str
) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, "11:00:00")
    gitlab.approve(HEDY, "12:00:00")
    gitlab.note(body, ADA, system=True)
    gitlab.notes[-1]["created_at"] = "2026-05-01T11:30:00.000Z"
    gitlab.note(body, HEDY)
    gitlab.notes[-1]["created_at"] = "2026-05-01T13:00:00.000Z"

    assert who(asked(forge())) == ["@hedy"]


ADDED = {
    "one commit": ("added 1 commit\n\n<ul><li>cdcdcdcd - Promote v6</li></ul>", ("cdcdcdcd",)),
    "a merge of main": (
        (
            "added 3 commits\n\n<ul><li>aaaaaaaa...bbbbbbbb - 2 commits from branch <code>main</code></li>"
            "<li>cdcdcdcd - Merge branch &#39;main&#39; into promote</li></ul>"
        ),
        ("cdcdcdcd",),
    ),
    "a title that looks like more": (
        "added 2 commits\n\n<ul><li>cdcdcdcd - x - 1 commits from branch &lt;code&gt;</li></ul>",
        (),
    ),
    "more than are listed": ("added 12 commits\n\n<ul><li>cdcdcdcd - Promote v6</li></ul>", ()),
    "no list": ("added 1 commit", ()),
}


@pytest.mark.parametrize(("body", "commits"), ADDED.values(), ids=ADDED.keys())
def test_a_push_has_the_commits_that_it_brought(
    gitlab: Gitlab, forge: Make, body: str, commits: tuple[str, ...]
) -> None:
    gitlab.push("10:00:00")
    gitlab.note(body, GRACE, system=True)
    gitlab.note("added 2 commits to my list", HEDY)

    assert asked(forge()).pushes == (Push("@grace", commits),)


def test_an_earlier_commit_is_not_the_jobs_own_request(gitlab: Gitlab, forge: Make) -> None:
    gitlab.merge_requests = [ENDED]
    gitlab.request["state"] = "merged"
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, "11:00:00")

    found = asked(forge(CI_MERGE_REQUEST_IID="9", CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main"), MERGED, merged=True)

    assert (who(found), found.merged_as) == (["@grace"], HEAD)


VERSIONS: dict[str, list[dict[str, object]]] = {
    "none": [],
    "another commit": [{"id": 1, "head_commit_sha": "ee" * 20, "created_at": "2026-05-01T10:00:00.000Z"}],
    "no time": [{"id": 1, "head_commit_sha": HEAD}],
}


@pytest.mark.parametrize("versions", VERSIONS.values(), ids=VERSIONS.keys())
def test_without_the_time_of_the_last_push_nothing_is_known(
    gitlab: Gitlab, forge: Make, versions: list[dict[str, object]]
) -> None:
    gitlab.versions = versions
    gitlab.approve(GRACE, "11:00:00")

    with pytest.raises(ReconcilerError, match="not say when !3 was last updated"):
        forge().request(COMMIT)


@pytest.mark.parametrize("name", ["CI_COMMIT_SHA", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"])
def test_a_job_for_a_commit_that_was_pushed_over_knows_no_approvals(gitlab: Gitlab, forge: Make, name: str) -> None:
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, "11:00:00")

    assert who(asked(forge(**{name: HEAD}))) == ["@grace"]
    with pytest.raises(ReconcilerError, match="!3 was updated since this job began"):
        forge(**{name: "ee" * 20}).request(COMMIT)


ENDED = {"iid": 3, "state": "merged", "merge_commit_sha": MERGED, "target_branch": "main"}


@pytest.mark.parametrize("branch", ["CI_COMMIT_BRANCH", "CI_DEFAULT_BRANCH"])
def test_after_a_merge_the_request_is_found_by_its_commit(gitlab: Gitlab, forge: Make, branch: str) -> None:
    gitlab.merge_requests = [ENDED]
    gitlab.push("10:00:00")
    gitlab.approve(GRACE, "11:00:00")

    found = asked(forge(CI_MERGE_REQUEST_IID=None, **{branch: "main"}), MERGED)

    assert who(found) == ["@grace"]
    assert found.head == HEAD


@pytest.mark.parametrize(
    "fault", [Fault(403), Fault(404), Fault(200, body="[]"), Fault(200, body='{"approved_by": 1}')]
)
def test_approvals_that_cannot_be_read_are_not_known(gitlab: Gitlab, forge: Make, fault: Fault) -> None:
    gitlab.push("10:00:00")
    gitlab.faults.append(fault)

    with pytest.raises(ReconcilerError):
        forge().request(COMMIT)
