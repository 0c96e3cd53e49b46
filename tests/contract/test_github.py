"""What only GitHub's forge does, against a server on this machine that answers as its REST API does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.gate import Approval
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.forges.github import SUMMARY_LIMIT, GithubForge
from reconciler.ports import Push, Request
from reconciler.render.marker import Marker
from tests.forges import GithubDesk
from tests.github_server import ADA, BOT, HEAD, MERGED, PULL_REQUEST, PUSH, TOKEN, Fault, Hub, serving

KEY = "a1"
MARKER = Marker(KEY, "d" * 64, "c" * 40)
BODY = f"{MARKER}\n## Plan\n\n`RiskClassifier`: promote v5\n"
NEWER = BODY.replace("v5", "v6")

GRACE = {"login": "Grace", "type": "User"}
PERSON = {"login": "mallory", "type": "User"}
SOMEBODY_NAMED_LIKE_THE_BOT = {"login": "github-actions[bot]", "type": "User"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as hub:
        yield hub


COMMENT_ON_A_PULL_REQUEST = {"issue": {"number": 7, "pull_request": {"url": "…"}}, "comment": {}}
COMMENT_ON_AN_ISSUE = {"issue": {"number": 7}, "comment": {}}
MERGE_GROUP = {"merge_group": {"head_sha": "…", "base_sha": "…"}}


@pytest.fixture
def job(hub: Hub, tmp_path: Path) -> GithubDesk:
    return GithubDesk(hub, tmp_path, PULL_REQUEST)


def test_the_job_of_a_comment_on_a_pull_request_is_the_pull_requests(hub: Hub, tmp_path: Path) -> None:
    address = GithubDesk(hub, tmp_path, COMMENT_ON_A_PULL_REQUEST).forge().comment(BODY, KEY)

    assert hub.bodies() == [BODY]
    assert address == hub.comments[7][0]["html_url"]


@pytest.mark.parametrize("event", [PUSH, MERGE_GROUP, COMMENT_ON_AN_ISSUE], ids=["push", "merge group", "issue"])
def test_a_job_for_no_pull_request_asks_nothing(hub: Hub, tmp_path: Path, event: dict[str, Any]) -> None:
    assert GithubDesk(hub, tmp_path, event).forge(GITHUB_TOKEN="").comment(BODY, KEY) is None
    assert hub.requests == []


def test_without_an_event_the_ref_tells_the_pull_request(hub: Hub, job: GithubDesk) -> None:
    job.forge(GITHUB_EVENT_PATH="", GITHUB_REF="refs/pull/7/merge").comment(BODY, KEY)

    assert hub.bodies() == [BODY]


def test_ours_is_found_on_a_later_page(hub: Hub, job: GithubDesk) -> None:
    hub.page = 3
    for number in range(10):
        hub.add(f"Comment {number}", PERSON)
    hub.add(BODY, BOT)

    job.forge().comment(NEWER, KEY)

    assert hub.bodies().count(NEWER) == 1
    assert BODY not in hub.bodies()


FORGERIES = {"a person named like the bot": SOMEBODY_NAMED_LIKE_THE_BOT, "a deleted account": None}


@pytest.mark.parametrize("user", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_comment_with_our_marker_by_another_author_is_left_alone(
    hub: Hub, job: GithubDesk, user: dict[str, str] | None
) -> None:
    hub.add(BODY, user)

    job.forge().comment(NEWER, KEY)

    assert hub.bodies() == [BODY, NEWER]


AUTHORS = {
    "the token's owner": {"login": "Model-Robot", "type": "User"},
    "an app's token": {"login": "acme-models[bot]", "type": "Bot"},
}


@pytest.mark.parametrize("author", AUTHORS.values(), ids=AUTHORS.keys())
def test_the_author_is_who_we_are(hub: Hub, job: GithubDesk, author: dict[str, str]) -> None:
    hub.viewer = author
    hub.add(BODY, {**author, "login": author["login"].lower()})

    job.forge().comment(NEWER, KEY)

    assert hub.bodies() == [NEWER]


def test_where_nothing_tells_who_we_are_it_is_the_bot_of_actions(hub: Hub, job: GithubDesk) -> None:
    hub.add(BODY, BOT)
    hub.faults.append(Fault(403, {"message": "Resource not accessible by integration"}, method="POST"))

    job.forge().comment(NEWER, KEY)

    assert hub.bodies() == [NEWER]


# What goes wrong.

SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
PRIMARY = {"message": "API rate limit exceeded for installation ID 1."}
RESET_IN_20 = {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "1000", "X-RateLimit-Reset": "1777629620"}

REFUSED: dict[str, tuple[Fault, list[str]]] = {
    "a wrong token": (Fault(401, {"message": "Bad credentials"}), ["401", "GITHUB_TOKEN"]),
    "no permission": (
        Fault(403, {"message": "Resource not accessible by integration"}),
        ["403", "pull-requests: write", "fork", "validate"],
    ),
    "no such repository": (Fault(404, {"message": "Not Found"}), ["404", "GITHUB_REPOSITORY"]),
    "too long": (
        Fault(422, {"message": "Validation Failed", "errors": [{"message": "Body is too long"}, "odd"]}, method="POST"),
        ["422", "Body is too long"],
    ),
    "a redirection elsewhere": (
        Fault(301, {}, {"Location": "https://elsewhere.example/x"}),
        ["did not answer like GitHub", "GITHUB_API_URL"],
    ),
    "a list of what are no comments": (
        Fault(200, {"message": "hello"}),
        ["did not answer like GitHub", "GITHUB_API_URL"],
    ),
    "a limit for an hour": (
        Fault(403, PRIMARY, {**RESET_IN_20, "X-RateLimit-Reset": "1777633200"}),
        ["rate limit", "3601 s"],
    ),
}


@pytest.mark.parametrize(("fault", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_the_place_and_what_to_do(hub: Hub, job: GithubDesk, fault: Fault, said: list[str]) -> None:
    hub.faults.append(fault)

    with pytest.raises(ReconcilerError) as refused:
        job.forge().comment(BODY, KEY)

    assert all(word in str(refused.value) for word in ["acme/models#7", *said]), str(refused.value)
    assert TOKEN not in str(refused.value)
    assert job.slept == []


PASSING: dict[str, tuple[Fault, list[float]]] = {
    "a hang": (Fault(hang=True), [1]),
    "a secondary limit that says how long": (Fault(403, SECONDARY, {"Retry-After": "7"}), [7]),
    "a secondary limit that does not": (Fault(403, SECONDARY), [60]),
    "a secondary limit by its own status": (Fault(429, SECONDARY, {"Retry-After": "5"}), [5]),
    "a primary limit": (Fault(403, PRIMARY, RESET_IN_20), [21]),
}


@pytest.mark.parametrize(("fault", "slept"), PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_waited_for(hub: Hub, job: GithubDesk, fault: Fault, slept: list[float]) -> None:
    hub.faults.append(fault)

    job.forge().comment(BODY, KEY)

    assert hub.bodies() == [BODY]
    assert job.slept == slept


MISSING = {"GITHUB_TOKEN": "token", "GITHUB_REPOSITORY": "owner/name"}


@pytest.mark.parametrize(("variable", "said"), MISSING.items())
def test_a_variable_that_is_missing_is_named(job: GithubDesk, variable: str, said: str) -> None:
    with pytest.raises(ReconcilerError, match=variable) as refused:
        job.forge(**{variable: ""}).comment(BODY, KEY)

    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["gone.json", "cut-off.json"])
def test_an_event_that_cannot_be_read_is_an_error(job: GithubDesk, name: str) -> None:
    (job.folder / "cut-off.json").write_text("{")

    with pytest.raises(ReconcilerError, match="event of this job"):
        job.forge(GITHUB_EVENT_PATH=str(job.folder / name)).comment(BODY, KEY)


# What was reviewed.


def test_a_commit_within_a_rebased_branch_belongs_to_its_request(hub: Hub, job: GithubDesk) -> None:
    hub.pulls[MERGED] = [hub.merged(7, merge_commit="f" * 40)]
    hub.add(BODY, BOT)

    assert job.forge().reviewed(MERGED, KEY) == BODY


def test_of_several_requests_the_one_that_the_commit_merged_counts(hub: Hub, job: GithubDesk) -> None:
    hub.pulls[MERGED] = [hub.merged(3, merge_commit="f" * 40), hub.merged(5, at=None), hub.merged(7)]
    for pull in (3, 5):
        hub.add(BODY, BOT, pull=pull)
    hub.add(NEWER, BOT, pull=7)

    assert job.forge().reviewed(MERGED, KEY) == NEWER


@pytest.mark.parametrize("user", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_plan_that_somebody_else_wrote_was_not_reviewed(
    hub: Hub, job: GithubDesk, user: dict[str, str] | None
) -> None:
    hub.pulls[MERGED] = [hub.merged(7)]
    hub.add(BODY, user)

    assert job.forge().reviewed(MERGED, KEY) is None


def test_looking_up_a_review_needs_to_read_only(hub: Hub, job: GithubDesk) -> None:
    hub.faults.append(Fault(403, {"message": "Resource not accessible by integration"}))

    with pytest.raises(ReconcilerError, match="pull-requests: read"):
        job.forge().reviewed(MERGED, KEY)


# What the job tells.


def read_outputs(text: str) -> dict[str, str]:
    """The outputs as the runner reads them from the file."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, delimiter = line.split("<<")
        value: list[str] = []
        while (line := next(lines)) != delimiter:
            value.append(line)
        found[name] = "\n".join(value)
    return found


def test_outputs_come_back_as_they_were(job: GithubDesk) -> None:
    outputs = {"changes": "true", "plan": "a\nchanges=false\nx<<EOF\nEOF\n", "empty": "", "text": "ä\r\n%0A::error::"}

    job.forge().tell({"first": "1"}, "")
    job.forge().tell(outputs, "")

    assert read_outputs((job.folder / "output").read_bytes().decode()) == {"first": "1", **outputs}
    assert not (job.folder / "summary.md").exists()


def test_summaries_stand_below_each_other(job: GithubDesk) -> None:
    job.forge().tell({}, "# One")
    job.forge().tell({}, "# Two\n")

    assert (job.folder / "summary.md").read_text() == "# One\n# Two\n"


def test_a_summary_that_is_too_long_is_cut_between_paragraphs(job: GithubDesk) -> None:
    paragraphs = [f"{number}: {'ä' * 1000}" for number in range(1000)]

    job.forge().tell({}, "\n\n".join(paragraphs))

    written = (job.folder / "summary.md").read_bytes()
    *kept, last = written.decode().rstrip("\n").split("\n\n")
    assert SUMMARY_LIMIT - 3000 < len(written) <= SUMMARY_LIMIT
    assert kept == paragraphs[: len(kept)]
    assert last.startswith("The rest is left out")


@pytest.mark.parametrize(("begin", "end"), [("<details>", "</details>"), ("```diff", "```")], ids=["details", "fence"])
def test_a_summary_is_not_cut_where_the_rest_would_be_swallowed(job: GithubDesk, begin: str, end: str) -> None:
    job.forge().tell({}, f"# Plan\n\n{begin}\n\n" + "- line\n\n" * 200_000 + f"{end}\n")

    summary = (job.folder / "summary.md").read_text()
    assert summary.startswith("# Plan\n\nThe rest is left out")


def test_what_other_steps_wrote_counts_as_well(job: GithubDesk) -> None:
    (job.folder / "summary.md").write_text("x" * (SUMMARY_LIMIT - 300))

    job.forge().tell({}, "paragraph\n\n" * 1000)

    assert SUMMARY_LIMIT - 300 < (job.folder / "summary.md").stat().st_size <= SUMMARY_LIMIT


def test_outside_of_a_job_nothing_is_told() -> None:
    GithubForge({}).tell({"changes": "true"}, "# Plan")


def test_a_file_that_cannot_be_written_is_an_error(job: GithubDesk) -> None:
    with pytest.raises(ReconcilerError, match="GITHUB_OUTPUT"):
        job.forge(GITHUB_OUTPUT=str(job.folder)).tell({"changes": "true"}, "")


def test_nothing_of_the_token_is_in_what_a_forge_shows_of_itself(hub: Hub, job: GithubDesk) -> None:
    forge = job.forge()
    forge.comment(BODY, KEY)

    assert TOKEN not in repr(forge)


def asked(forge: GithubForge, commit: Commit = MERGED, **more: bool) -> Request:
    found = forge.request(commit, **more)
    assert found is not None
    return found


def who(request: Request) -> list[str]:
    return [approval.who for approval in request.approvals]


PUSH_TO_MAIN = {"GITHUB_REF": "refs/heads/main"}


def test_who_approved_the_pull_request_of_the_job(hub: Hub, job: GithubDesk) -> None:
    hub.review(GRACE)
    hub.written(ADA, "Ada", "ada@acme.example")

    found = asked(job.forge())

    assert found == Request(
        Commit(HEAD),
        (Approval("@Grace", "review of #7 on GitHub", "2026-05-01T11:00:00+00:00", Commit(HEAD)),),
        "@ada",
        {Commit(HEAD): ("@ada", "Ada <ada@acme.example>")},
        merged_as=MERGED,
    )


def test_after_a_merge_the_pull_request_is_found_by_its_commit(hub: Hub, tmp_path: Path) -> None:
    hub.pulls[MERGED] = [hub.merged(9, "ee" * 20), hub.merged(8, at=None), hub.merged(7)]
    hub.review(GRACE)

    found = asked(GithubDesk(hub, tmp_path, PUSH).forge(**PUSH_TO_MAIN))

    assert who(found) == ["@Grace"]
    assert found.head == HEAD


Told = tuple[dict[str, str] | None, str, str, str | None]
DONE: dict[str, tuple[list[Told], list[str]]] = {
    "nothing": ([], []),
    "approved an earlier commit": ([(GRACE, "APPROVED", "ee" * 20, "11:00:00")], ["@Grace"]),
    "approved, and approved an earlier commit": (
        [(GRACE, "APPROVED", "ee" * 20, "10:00:00"), (GRACE, "APPROVED", HEAD, "11:00:00")],
        ["@Grace"],
    ),
    "asked for changes after an approval": (
        [(GRACE, "APPROVED", HEAD, "10:00:00"), (GRACE, "CHANGES_REQUESTED", HEAD, "11:00:00")],
        [],
    ),
    "approved after asking for changes": (
        [(GRACE, "APPROVED", HEAD, "11:00:00"), (GRACE, "CHANGES_REQUESTED", HEAD, "10:00:00")],
        ["@Grace"],
    ),
    "was dismissed": ([(GRACE, "DISMISSED", HEAD, "11:00:00")], []),
    "was dismissed with the last of two": (
        [(GRACE, "APPROVED", HEAD, "10:00:00"), (GRACE, "DISMISSED", HEAD, "11:00:00")],
        [],
    ),
    "commented after an approval": (
        [(GRACE, "APPROVED", HEAD, "10:00:00"), (GRACE, "COMMENTED", HEAD, "11:00:00")],
        ["@Grace"],
    ),
    "has not sent it off": ([(GRACE, "PENDING", HEAD, None)], []),
    "only commented": ([(GRACE, "COMMENTED", HEAD, "11:00:00")], []),
    "is a bot": ([(BOT, "APPROVED", HEAD, "11:00:00")], []),
    "is an organization": ([({"login": "acme", "type": "Organization"}, "APPROVED", HEAD, "11:00:00")], []),
    "has no account anymore": ([(None, "APPROVED", HEAD, "11:00:00")], []),
    "are two": (
        [(PERSON, "APPROVED", HEAD, "11:00:00"), (GRACE, "APPROVED", HEAD, "11:00:00")],
        ["@Grace", "@mallory"],
    ),
}


@pytest.mark.parametrize(("told", "approved"), DONE.values(), ids=DONE.keys())
def test_whose_review_is_an_approval_and_whose_is_not(
    hub: Hub, job: GithubDesk, told: list[Told], approved: list[str]
) -> None:
    for user, state, commit, at in told:
        hub.review(user, state, commit, at)

    assert who(asked(job.forge())) == approved


def test_reviews_are_read_to_the_last_page(hub: Hub, job: GithubDesk) -> None:
    hub.page = 3
    hub.review(GRACE)
    for number in range(10):
        hub.review(PERSON, "COMMENTED", at=f"12:00:{number:02}")
    hub.review(GRACE, "CHANGES_REQUESTED", at="13:00:00")

    assert who(asked(job.forge())) == []


def test_the_commit_that_a_review_was_given_to_comes_with_it(hub: Hub, job: GithubDesk) -> None:
    hub.review(GRACE, commit="ee" * 20)
    hub.review(PERSON)

    assert [approval.commit for approval in asked(job.forge()).approvals] == ["ee" * 20, HEAD]


def test_who_made_each_commit_as_far_as_github_knows_them(hub: Hub, job: GithubDesk) -> None:
    browser = {"author": {"name": "Grace", "email": "grace@acme.example"}}
    browser["committer"] = {"name": "GitHub", "email": "noreply@github.com"}
    flow = {"login": "web-flow", "type": "User"}
    hub.written(GRACE, "Grace", "grace@acme.example", "a1" * 20, committer=flow, commit=browser)
    hub.written(None, "Nobody", "nobody@acme.example", "a2" * 20)
    hub.written({}, "Empty", "empty@acme.example", "a3" * 20)

    assert asked(job.forge()).makers == {
        "a1" * 20: ("@Grace", "Grace <grace@acme.example>"),
        "a2" * 20: ("Nobody <nobody@acme.example>",),
        "a3" * 20: ("Empty <empty@acme.example>",),
    }


def test_a_push_has_the_commits_that_it_brought(hub: Hub, job: GithubDesk) -> None:
    hub.page = 1
    first, second, third = "a1" * 20, "a2" * 20, "a3" * 20
    for sha, parent in ((first, "00" * 20), (second, first), (third, second)):
        hub.written(ADA, "Ada", "ada@acme.example", sha, parent)
    hub.pushed(ADA, second, kind="branch_creation")
    hub.pushed(PERSON, third, second)
    hub.pushed(GRACE, "ff" * 20, third)
    hub.pushed(GRACE, third, kind="pr_merge")

    assert asked(job.forge()).pushes == (Push("@mallory", (third,)), Push("@ada", (first, second)))


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_does_not_tell_who_pushed_tells_who_forced_it(hub: Hub, job: GithubDesk, status: int) -> None:
    hub.event("head_ref_force_pushed", "10:00:00", PERSON)
    hub.event("head_ref_force_pushed", "10:00:00")
    hub.event("labeled", "10:00:00", GRACE)

    assert asked(job.forge()).pushes == (Push("@mallory"),)


def test_the_job_of_a_merge_queue_knows_its_request(hub: Hub, tmp_path: Path) -> None:
    hub.review(GRACE)
    hub.details["merged_at"] = None
    queued = {"head_sha": MERGED, "head_ref": f"refs/heads/gh-readonly-queue/main/pr-7-{'ee' * 20}"}

    found = asked(GithubDesk(hub, tmp_path, {"merge_group": queued}).forge())

    assert (who(found), found.merged_as) == (["@Grace"], None)
    assert (
        GithubDesk(hub, tmp_path, {"merge_group": {**queued, "head_ref": "refs/heads/pr-7-ee"}}).forge().request(MERGED)
        is None
    )


def test_an_earlier_commit_is_not_the_jobs_own_request(hub: Hub, job: GithubDesk) -> None:
    hub.review(GRACE)
    event = {**PULL_REQUEST, "pull_request": {"number": 9, "head": {"sha": HEAD}, "base": {"ref": "main"}}}
    hub.pulls[MERGED] = [hub.merged(7)]

    found = asked(GithubDesk(hub, job.folder, event).forge(), merged=True)

    assert (who(found), found.merged_as) == (["@Grace"], MERGED)


def test_the_job_of_a_tag_is_about_the_default_branch(hub: Hub, tmp_path: Path) -> None:
    hub.pulls[MERGED] = [hub.merged(7)]
    hub.review(GRACE)
    event = {**PUSH, "repository": {"default_branch": "main"}}

    assert who(asked(GithubDesk(hub, tmp_path, event).forge(GITHUB_REF="refs/tags/v1"))) == ["@Grace"]
    with pytest.raises(ReconcilerError, match="branch of this job is not known"):
        GithubDesk(hub, tmp_path, PUSH).forge(GITHUB_REF="refs/tags/v1").request(MERGED)


def test_who_wrote_a_request_of_more_commits_than_github_lists_is_not_known(hub: Hub, job: GithubDesk) -> None:
    hub.details["commits"] = 251
    hub.review(GRACE)

    with pytest.raises(ReconcilerError, match="#7 has 251 commits"):
        job.forge().request(MERGED)


def test_approvals_that_may_not_be_read_are_not_known(hub: Hub, job: GithubDesk) -> None:
    hub.faults.append(Fault(403, {"message": "Resource not accessible by integration"}))

    with pytest.raises(ReconcilerError, match=r"403.*who approved.*pull-requests: read"):
        job.forge().request(MERGED)
