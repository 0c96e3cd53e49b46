"""Whose a record is, by the names that a repository has and had."""

import pytest

from reconciler.core.names import Commit, Ours, RepositoryId

OLD = Commit("1" * 40)
NOW = "github.com/acme/models#manifests"


@pytest.mark.parametrize(
    ("formerly", "owner", "owned"),
    [
        ((), NOW, True),
        ((), "github.com/Acme/Models#manifests", True),
        ((), "github.com/acme/models#Manifests", False),
        ((), "github.com/acme/old#manifests", False),
        (("github.com/acme/old",), "github.com/acme/old#manifests", True),
        (("github.com/Acme/Old",), "github.com/acme/old#manifests", True),
        (("github.com/acme/old",), "github.com/acme/old#teams/risk", False),
        (("github.com/acme/old",), "github.com/acme/old", True),
        (("github.com/acme/old#teams/risk",), "github.com/acme/old#teams/risk", True),
        (("github.com/acme/old#teams/risk",), "github.com/acme/old#manifests", False),
        (("acme-models",), "acme-models", True),
        (("git.acme.example/Old",), "git.acme.example/old#manifests", False),
    ],
)
def test_a_record_is_ours_by_the_name_that_we_have_and_by_those_that_we_had(
    formerly: tuple[str, ...], owner: str, owned: bool
) -> None:
    ours = Ours(RepositoryId(NOW), tuple(map(RepositoryId, formerly)), {OLD})

    assert ours.owns(RepositoryId(owner), OLD) is owned


def test_what_a_former_name_says_of_a_commit_that_is_not_ours_is_somebody_elses() -> None:
    ours = Ours(RepositoryId(NOW), (RepositoryId("github.com/acme/old"),), {OLD})

    assert not ours.owns(RepositoryId("github.com/acme/old#manifests"), Commit("2" * 40))
    assert not ours.owns(RepositoryId("github.com/acme/old#manifests"), None)
    assert ours.owns(RepositoryId(NOW), Commit("2" * 40))
