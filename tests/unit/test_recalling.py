"""What a commit is about, by the message that its forge wrote."""

import pytest

from reconciler.core.names import Commit
from reconciler.core.past import Epoch
from reconciler.ports import CommitNote
from reconciler.recalling import declaring

GITLAB = "Merge branch 'v4' into 'main'\n\n{}See merge request acme/models!12"


@pytest.mark.parametrize(
    ("message", "subject", "request_"),
    [
        ("Promote v4\n\nIt is better.", "Promote v4", ""),
        ("Promote v4 (#12)\n\n* first\n* second", "Promote v4", "#12"),
        ('Revert "Promote v4 (#12)" (#13)', 'Revert "Promote v4 (#12)"', "#13"),
        ("Merge pull request #12 from acme/v4\n\nPromote v4\n\nIt is better.", "Promote v4", "#12"),
        ("Merge pull request #12 from acme/v4", "Raise the pin", "#12"),
        ("Merge pull request #12 from acme/v4\n\nCo-authored-by: Ada <ada@x>", "Raise the pin", "#12"),
        (GITLAB.format("Promote v4\n\nCloses #3\n\n"), "Promote v4", "!12"),
        (GITLAB.format(""), "Raise the pin", "!12"),
        (GITLAB.format("Fix: promote v4\n\n"), "Fix: promote v4", "!12"),
        ("Merge pull request 'Promote v4' (#12) from v4 into main\n\nReviewed-on: https://x/12", "Promote v4", "#12"),
        ("Merged in v4 (pull request #12)\n\nPromote v4\n\nApproved-by: Ada", "Promote v4", "#12"),
        ("Merged PR 12: Promote v4\n\nIt is better.", "Promote v4", "PR 12"),
        ("Merge branch 'v4'", "Raise the pin", ""),
        ("Merge branch 'v4'\n\n* v4:\n  Raise the pin", "Raise the pin", ""),
        ("Merge the two teams", "Merge the two teams", ""),
        ("", "", ""),
    ],
)
def test_a_merge_is_about_what_its_request_is_called_or_what_it_brings_in(
    message: str, subject: str, request_: str
) -> None:
    commit = Commit("c" * 40)
    note = CommitNote("Ada <ada@x>", "Grace <grace@x>", 0, message, "Raise the pin")

    found = declaring(Epoch(0, commit, 0, None), {commit: note})

    assert (found.subject, found.request) == (subject, request_)


def test_a_merge_that_brings_in_nothing_that_is_known_is_called_as_git_calls_it() -> None:
    commit = Commit("c" * 40)
    note = CommitNote("Ada <ada@x>", "Grace <grace@x>", 0, "Merge branch 'v4'")

    assert declaring(Epoch(0, commit, 0, None), {commit: note}).subject == "Merge branch 'v4'"
