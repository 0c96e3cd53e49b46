"""
Who is believed to have approved a version, with real git, real keys, and a server that answers as GitHub does: an
approval is for one thing, by somebody else.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.approval import counted
from reconciler.core.names import Commit, ModelRef
from reconciler.forges.github import GithubForge
from reconciler.forges.patience import Timing
from reconciler.forges.reviewers import GitAndForge
from reconciler.git.source import open_source
from reconciler.ports import Reviews
from reconciler.reading.manifest import parse
from tests.desk import ADA, APPROVED, GRACE, MALLORY, Desk, run
from tests.github_server import PULL_REQUEST, PUSH, REPOSITORY, TOKEN, Hub, serving

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")

OWNERS = (f"{GRACE} @grace", f"{MALLORY} @mallory")
V5, V6, V7 = (f"model: churn\nstages:\n  Production: {version}\n" for version in (5, 6, 7))
BY_MALLORY = f"Approve\n\nApproved-by: Mallory <{MALLORY}>"
AS_GRACE, AS_MALLORY = ({"login": login, "type": "User"} for login in ("grace", "mallory"))
AS_BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass
class Request:
    """A change that is judged, with keys of Grace's and Mallory's that the trusted side lists."""

    desk: Desk
    base: Commit
    signers: str = ""
    hub: Hub | None = None
    whole: bool = False

    @property
    def head(self) -> Commit:
        return Commit(self.desk.git("rev-parse", "HEAD"))

    def reviews(self, *, base: Commit | None = None, event: Any = PULL_REQUEST) -> Reviews:
        signers = self.signers or self.desk.signer(GRACE) + self.desk.signer(MALLORY)
        source = open_source(self.desk.top, "github.com/acme/models#")
        forge = None if self.hub is None else forge_of(self.hub, self.desk.folder, event)
        found = GitAndForge(source, lambda _: parse, forge)
        return found.find(base or self.base, self.head, None if self.whole else ModelRef("churn"), signers)

    def approvers(self, **asked: Any) -> tuple[str, ...]:
        """The owners whose approval counts."""
        found = self.reviews(**asked)
        return counted(found.approvals, OWNERS, found.authors, found.people)

    def at_the_forge(self, **details: Any) -> Hub:
        """What GitHub knows of the request by default: its head, its commits, and Ada who opened it and pushed."""
        assert self.hub is not None
        head = {"sha": self.head, "ref": "promote", "repo": {"full_name": REPOSITORY, "url": self.hub.url}}
        self.hub.details = {"merged_at": None, "head": head, **details}
        self.hub.commits.clear()
        for line in self.desk.git("log", "--reverse", "--format=%H %P", self.head, f"^{self.base}").splitlines():
            sha, *parents = line.split()
            name, email = self.desk.git("log", "-1", "--format=%an%n%ae", sha).splitlines()
            login = {GRACE: AS_GRACE, MALLORY: AS_MALLORY, ADA: {"login": "ada", "type": "User"}}.get(email)
            self.hub.written(login, name, email, sha, parents[0] if parents else "")
        self.hub.details["commits"] = len(self.hub.commits)
        return self.hub


def forge_of(hub: Hub, folder: Path, event: Any) -> GithubForge:
    (folder / "event.json").write_text(json.dumps(event))
    environment = {"GITHUB_API_URL": hub.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN}
    reference = {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(folder / "event.json")}
    return GithubForge({**environment, **reference}, Timing(timeout=5))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A branch off main, on which nothing was changed yet."""
    desk = Desk(tmp_path)
    run(tmp_path, "git", "init", "--quiet", "--initial-branch=main", str(desk.top))
    base = desk.commit("Begin", by=ADA, text=V5)
    desk.git("checkout", "--quiet", "-b", "promote")
    return Request(desk, base)


@pytest.fixture
def forged(request_: Request) -> Iterator[Request]:
    """The same, at a forge."""
    with serving(Hub()) as hub:
        request_.hub = hub
        yield request_


def promote(request: Request, text: str = V6, *, by: str = ADA, **more: Any) -> Commit:
    return request.desk.commit("Promote", by=by, text=text, **more)


def approve(request: Request, by: str = GRACE, message: str = "", **more: Any) -> Commit:
    return request.desk.commit(message or f"Approve\n\nApproved-by: {by}", by=by, signed=by, **more)


def move_main(request: Request, by: str = MALLORY) -> Commit:
    """Somebody's commit on main, which has nothing to do with the request."""
    request.desk.git("checkout", "--quiet", "main")
    (request.desk.top / "README.md").write_text("Models")
    request.base = request.desk.commit("Explain", by=by, text=V5)
    request.desk.git("checkout", "--quiet", "promote")
    return request.base


def land(request: Request, *, by: str = GRACE, ours: bool = False) -> None:
    """The merge button: a merge commit on main, by whoever pressed it."""
    strategy = ("--strategy=ours",) if ours else ()
    request.desk.git("checkout", "--quiet", "main")
    request.desk.git("merge", "--quiet", "--no-ff", "--no-edit", *strategy, "promote", by=by)


# What counts, as it always should.


def test_an_empty_signed_commit_on_the_requests_own_line_counts(request_: Request) -> None:
    promote(request_)
    approve(request_)

    assert request_.approvers() == (GRACE,)


def test_it_counts_when_the_request_is_merged_and_by_whomever(request_: Request) -> None:
    promote(request_)
    approve(request_)
    move_main(request_)

    land(request_, by=GRACE)

    assert request_.approvers() == (GRACE,)


def test_it_counts_after_the_branch_took_main_in(request_: Request) -> None:
    promote(request_)
    approve(request_)
    move_main(request_)
    request_.desk.git("merge", "--quiet", "--no-ff", "--no-edit", "main", by=GRACE)

    assert request_.approvers() == (GRACE,)


def test_it_counts_for_the_same_declaration_spelled_in_another_way(request_: Request) -> None:
    promote(request_)
    approve(request_)
    promote(request_, "# A remark\nmodel: churn\nstages: {Production: &now 6}\n")

    assert request_.approvers() == (GRACE,)


def test_it_counts_with_lines_that_end_as_in_windows(request_: Request) -> None:
    promote(request_)
    approve(request_, message=f"Approve\r\n\r\nApproved-by: {GRACE}\r\n")

    assert request_.approvers() == (GRACE,)


# Whose hand it was.


def test_a_change_under_another_name_is_not_approved_by_who_signed_it(request_: Request) -> None:
    request_.desk.commit(BY_MALLORY, by=ADA, signed=MALLORY, text=V6)

    assert request_.approvers() == ()


def test_a_later_empty_commit_of_who_signed_the_change_approves_nothing(request_: Request) -> None:
    promote(request_, signed=MALLORY)
    approve(request_, MALLORY)

    assert request_.approvers() == ()


def test_a_key_that_is_valid_no_longer_still_tells_whose_hand_it_was(request_: Request) -> None:
    desk = request_.desk
    old = desk.signer(MALLORY, key="old", options='valid-before="20200101"')
    request_.signers = old + desk.signer(MALLORY)
    promote(request_, signed="old")
    approve(request_, MALLORY)

    assert request_.approvers() == ()


def test_one_person_by_two_keys_and_two_addresses_approves_nothing_of_their_own(request_: Request) -> None:
    desk = request_.desk
    other = "m@elsewhere.example"
    request_.signers = desk.signer(f"{other},{MALLORY}", key="second") + desk.signer(other, key="third")
    promote(request_, by=other, signed="third")
    desk.commit(BY_MALLORY, by=MALLORY, signed="second")

    assert request_.approvers() == ()


def test_a_signed_approval_that_changes_something_approves_nothing(request_: Request) -> None:
    promote(request_)
    (request_.desk.top / "README.md").write_text("Models")
    request_.desk.commit(APPROVED, by=GRACE, signed=GRACE, text=V6)

    assert request_.approvers() == ()


@pytest.mark.parametrize("trailer", ["Co-authored-by", "co-authored-by", "Signed-off-by", "Author"])
def test_a_name_in_somebody_elses_trailer_takes_nobodys_vote(request_: Request, trailer: str) -> None:
    request_.desk.commit(f"Promote\n\n{trailer}: Grace <{GRACE}>", by=ADA, text=V6)
    approve(request_)

    assert request_.approvers() == (GRACE,)


@pytest.mark.parametrize("kind", ["ours", "edited", "conflict"])
def test_who_merges_main_into_the_request_and_changes_something_by_it_has_a_hand(request_: Request, kind: str) -> None:
    desk = request_.desk
    promote(request_, V7 if kind == "ours" else V6)
    desk.git("checkout", "--quiet", "main")
    (desk.top / "README.md").write_text("Models")
    request_.base = desk.commit("Explain", by=ADA, text=V7 if kind == "conflict" else V5)
    desk.git("checkout", "--quiet", "promote")
    if kind == "ours":
        desk.git("merge", "--quiet", "--no-ff", "--no-edit", "--strategy=ours", "main", by=MALLORY)
        promote(request_)
    elif kind == "conflict":
        desk.git("merge", "--quiet", "--no-ff", "--no-edit", "--strategy-option=ours", "main", by=MALLORY)
    else:
        desk.git("merge", "--quiet", "--no-ff", "--no-commit", "main", by=MALLORY)
        (desk.top / "other.yaml").write_text("model: other\n")
        desk.commit("Merge", by=MALLORY, text=V6)
    approve(request_, MALLORY)

    assert request_.approvers() == ()


def test_who_wrote_what_a_side_branch_brought_has_a_hand(request_: Request) -> None:
    desk = request_.desk
    desk.git("checkout", "--quiet", "-b", "side")
    promote(request_, by=MALLORY)
    desk.git("checkout", "--quiet", "promote")
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "side", by=ADA)
    approve(request_, MALLORY)

    assert request_.approvers() == ()


# What of, and where it was given.


@pytest.mark.parametrize("ours", [True, False], ids=["by the strategy ours", "as it is"])
def test_approvals_of_another_request_that_a_merge_brings_along_count_for_nothing(
    request_: Request, ours: bool
) -> None:
    desk = request_.desk
    desk.git("checkout", "--quiet", "-b", "closed")
    promote(request_)
    approve(request_)
    desk.git("checkout", "--quiet", "promote")
    if ours:
        promote(request_)
    else:
        (desk.top / "README.md").write_text("Models")
        desk.commit("Explain", by=ADA, text=V5)
    strategy = ("--strategy=ours",) if ours else ()
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", *strategy, "closed", by=ADA)

    assert request_.approvers() == ()
    move_main(request_, by=ADA)
    land(request_)
    assert request_.approvers() == ()


def test_approvals_that_an_octopus_brings_count_for_nothing(request_: Request) -> None:
    desk = request_.desk
    promote(request_)
    desk.git("checkout", "--quiet", "-b", "closed", request_.base)
    (desk.top / "README.md").write_text("Models")
    desk.commit("Explain", by=ADA, text=V5)
    approve(request_)
    desk.git("checkout", "--quiet", "main")

    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "promote", "closed", by=ADA)

    assert request_.approvers() == ()


@pytest.mark.parametrize("between", [V7, V5, "model: [\n"], ids=["another version", "a revert", "nonsense"])
def test_an_approval_from_before_it_was_changed_and_changed_back_counts_for_nothing(
    request_: Request, between: str
) -> None:
    promote(request_)
    approve(request_)
    promote(request_, between)
    promote(request_)

    assert request_.approvers() == ()


def test_an_approval_of_what_was_declared_before_is_none_of_what_is_built_on_it(request_: Request) -> None:
    promote(request_, V7)
    approve(request_)
    promote(request_)

    assert request_.approvers() == ()


def test_an_approval_is_of_all_that_is_declared_of_the_model(request_: Request) -> None:
    promote(request_)
    approve(request_)
    (request_.desk.top / "more.yaml").write_text("model: churn\naliases: {champion: 6}\n")
    promote(request_)

    assert request_.approvers() == ()


def test_an_approval_of_another_request_that_is_made_anew_here_is_its_new_signers(request_: Request) -> None:
    desk = request_.desk
    desk.git("checkout", "--quiet", "-b", "other")
    approved = approve(request_)
    desk.git("checkout", "--quiet", "promote")
    promote(request_)
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={desk.key(MALLORY)}")
    desk.git(*settings, "cherry-pick", "--allow-empty", "--gpg-sign", approved, by=ADA)

    assert request_.approvers() == ()


def test_grafts_and_replaced_commits_bring_nothing_onto_the_line(request_: Request) -> None:
    desk = request_.desk
    desk.git("checkout", "--quiet", "-b", "other")
    promote(request_)
    approved = approve(request_)
    desk.git("checkout", "--quiet", "promote")
    head = promote(request_)
    (desk.top / ".git/info").mkdir(exist_ok=True)
    (desk.top / ".git/info/grafts").write_text(f"{head} {approved}\n")

    by_graft = request_.approvers()
    (desk.top / ".git/info/grafts").unlink()
    desk.git("replace", head, approved)

    assert (by_graft, request_.approvers()) == ((), ())


@pytest.mark.parametrize("by_forge", [False, True], ids=["by a signed commit", "by the forge"])
def test_who_approves_all_of_a_change_approves_none_that_was_pushed_to_since(forged: Request, by_forge: bool) -> None:
    forged.whole = True
    reviewed = promote(forged)
    if not by_forge:
        reviewed = approve(forged)
    (forged.desk.top / "signers").write_text("mallory")
    promote(forged)
    hub = forged.at_the_forge()
    if by_forge:
        hub.review(AS_GRACE, commit=reviewed)

    assert forged.approvers() == ()
    approve(forged)
    forged.at_the_forge()
    assert forged.approvers() == (GRACE,)


def test_two_approvals_by_one_key_are_one(request_: Request) -> None:
    desk = request_.desk
    request_.signers = desk.signer(f"{GRACE},{MALLORY}", key=GRACE)
    promote(request_)
    approve(request_)
    desk.commit(BY_MALLORY, by=MALLORY, signed=GRACE)

    assert len(request_.approvers()) == 1


# What the forge tells.


def test_a_review_of_the_head_counts_and_so_does_a_signed_commit_that_the_forge_lists(forged: Request) -> None:
    promote(forged)
    signed = approve(forged)
    hub = forged.at_the_forge()
    hub.pushed(AS_GRACE, signed, forged.desk.git("rev-parse", "HEAD~1"))
    hub.review(AS_MALLORY, commit=forged.head)

    assert forged.approvers() == ("@mallory", GRACE)


def test_who_pushed_a_commit_under_another_name_approves_nothing(forged: Request) -> None:
    head = promote(forged)
    hub = forged.at_the_forge()
    hub.pushed(AS_MALLORY, head)
    hub.review(AS_MALLORY, commit=head)
    hub.review(AS_GRACE, commit=head)

    assert forged.approvers() == ("@grace",)


def test_who_opened_it_approves_nothing_by_a_key_that_is_not_known_to_be_theirs(forged: Request) -> None:
    promote(forged)
    approve(forged, MALLORY)
    hub = forged.at_the_forge(user=AS_MALLORY)
    forged.signers = forged.desk.signer(MALLORY)
    found = forged.reviews()

    assert hub.requests
    assert counted(found.approvals, (MALLORY,), found.authors, found.people) == ()


@pytest.mark.parametrize("evil", [False, True], ids=["that changes nothing", "that changes something"])
def test_a_review_outlives_a_merge_of_main(forged: Request, evil: bool) -> None:
    reviewed = promote(forged)
    move_main(forged)
    forged.desk.git("merge", "--quiet", "--no-ff", "--no-commit", "main", by=ADA)
    if evil:
        (forged.desk.top / "other.yaml").write_text("model: other\n")
    forged.desk.commit("Merge main", by=ADA, text=V6)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=reviewed)

    assert forged.approvers() == (() if evil else ("@grace",))


def test_a_review_of_an_earlier_head_is_none_of_what_somebody_pushed_since(forged: Request) -> None:
    reviewed = promote(forged)
    (forged.desk.top / "other.yaml").write_text("model: other\n")
    promote(forged)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=reviewed)
    hub.review(AS_MALLORY, commit="ee" * 20)

    assert forged.approvers() == ()


def test_a_review_of_a_head_on_another_line_is_none_of_this_one(forged: Request) -> None:
    desk = forged.desk
    desk.git("checkout", "--quiet", "-b", "side")
    reviewed = promote(forged)
    desk.git("checkout", "--quiet", "promote")
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "side", by=ADA)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=reviewed)

    assert forged.approvers() == ()


def test_a_review_from_before_the_request_was_led_to_another_branch_counts_for_nothing(forged: Request) -> None:
    head = promote(forged)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=head, at="11:00:00")
    hub.event("base_ref_changed", "11:30:00")

    assert forged.approvers() == ()


@pytest.mark.parametrize("way", ["merge", "squash", "rebase"])
def test_who_presses_the_button_may_have_approved(forged: Request, way: str) -> None:
    desk, start = forged.desk, forged.base
    promote(forged, V7)
    tip = promote(forged, by="linus@acme.example")
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=tip)
    move_main(forged)
    if way == "merge":
        land(forged, by=GRACE)
    else:
        desk.git("checkout", "--quiet", "main")
        if way == "squash":
            desk.commit("Promote (#7)", by=ADA, text=V6, GIT_COMMITTER_NAME="Grace", GIT_COMMITTER_EMAIL=GRACE)
        else:
            desk.git("cherry-pick", f"{start}..{tip}", by=GRACE)
    hub.details |= {"merged_at": "2026-05-01T12:00:00Z", "merge_commit_sha": forged.head}
    hub.pulls[forged.head] = [{**hub.merged(7, forged.head)}]

    found = forged.reviews(event=PUSH)

    assert counted(found.approvals, OWNERS, found.authors, found.people) == ("@grace",)
    assert {name for name in found.authors if "<" in name} == {f"Ada <{ADA}>", "Linus <linus@acme.example>"}


def test_a_review_of_what_the_merge_made_something_else_of_counts_for_nothing(forged: Request) -> None:
    tip = promote(forged, V7)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=tip)
    forged.desk.git("checkout", "--quiet", "main")
    forged.desk.commit("Promote (#7)", by=ADA, text=V6)
    hub.details |= {"merged_at": "2026-05-01T12:00:00Z", "merge_commit_sha": forged.head}
    hub.pulls[forged.head] = [{**hub.merged(7, forged.head)}]

    assert forged.approvers(event=PUSH) == ()


def test_a_review_of_another_request_in_the_same_run_is_none_of_this_one(forged: Request) -> None:
    desk, start = forged.desk, forged.base
    promote(forged)
    land(forged, by=ADA)
    forged.base = forged.head
    desk.git("checkout", "--quiet", "-b", "later")
    (desk.top / "README.md").write_text("Models")
    tip = desk.commit("Explain", by=ADA, text=V6)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=tip)
    desk.git("checkout", "--quiet", "main")
    desk.git("merge", "--quiet", "--no-ff", "--no-edit", "later", by=ADA)
    hub.details |= {"merged_at": "2026-05-01T12:00:00Z", "merge_commit_sha": forged.head}
    hub.pulls[forged.head] = [{**hub.merged(7, forged.head)}]

    assert forged.approvers(base=start, event=PUSH) == ()


@pytest.mark.parametrize("author", [ADA, "41898282+github-actions[bot]@users.noreply.github.com"])
def test_a_request_that_a_bot_opened_may_be_anybodys_whatever_its_commits_say(forged: Request, author: str) -> None:
    head = promote(forged, by=author)
    hub = forged.at_the_forge(user=AS_BOT)
    hub.pushed(AS_BOT, head)
    hub.review(AS_MALLORY, commit=head)

    assert forged.reviews().by_bots


def test_a_request_that_a_person_pushed_to_is_not_by_bots(forged: Request) -> None:
    first, head = promote(forged, V7), promote(forged)
    hub = forged.at_the_forge(user=AS_BOT)
    hub.pushed(AS_BOT, first)
    hub.pushed({"login": "ada", "type": "User"}, head, first)

    assert not forged.reviews().by_bots


def test_without_a_forge_a_bot_is_known_by_its_name_alone(request_: Request) -> None:
    promote(request_, by="41898282+github-actions[bot]@users.noreply.github.com")

    assert request_.reviews().by_bots
    promote(request_, V6 + "description: Churn\n")
    assert not request_.reviews().by_bots


def test_the_request_of_the_job_is_not_that_of_an_earlier_commit(forged: Request) -> None:
    desk = forged.desk
    promote(forged)
    land(forged, by=ADA)
    earlier = forged.head
    desk.git("checkout", "--quiet", "-b", "later")
    (desk.top / "README.md").write_text("Models")
    forged.base = earlier
    tip = desk.commit("Explain", by=ADA, text=V6)
    hub = forged.at_the_forge()
    hub.review(AS_GRACE, commit=tip)
    desk.git("checkout", "--quiet", earlier)

    assert forged.approvers(base=Commit(desk.git("rev-parse", f"{earlier}^1"))) == ()
    assert f"GET /repos/{REPOSITORY}/commits/{earlier}/pulls" in {r.partition("?")[0] for r in hub.requests}
