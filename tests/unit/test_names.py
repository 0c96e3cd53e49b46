"""Whose a record is, by the names that a repository has and had; and what a slot is."""

import copy
import json

import pytest

from reconciler.core.names import LIVE, Commit, Ours, RepositoryId, Slot, Stage

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


@pytest.mark.parametrize(
    ("text", "stage", "alias", "active", "holds_one"),
    [
        ("Production", Stage.PRODUCTION, None, True, False),
        ("Staging", Stage.STAGING, None, True, False),
        ("None", Stage.NONE, None, False, False),
        ("Archived", Stage.ARCHIVED, None, False, False),
        ("@champion", None, "champion", True, True),
        ("@Production", None, "Production", True, True),
        ("@@", None, "@", True, True),
    ],
)
def test_a_slot_is_a_stage_or_an_alias(
    text: str, stage: Stage | None, alias: str | None, active: bool, holds_one: bool
) -> None:
    slot = copy.deepcopy(Slot(text))

    assert (slot.stage, slot.alias, slot.active, slot.holds_one) == (stage, alias, active, holds_one)
    assert slot == text
    assert json.dumps({slot: slot}) == json.dumps({text: text})


@pytest.mark.parametrize("text", ["", "@", "production", "Live", " Production", "champion", "Prod*"])
def test_what_is_neither_is_no_slot(text: str) -> None:
    with pytest.raises(ValueError, match="neither a stage nor an `@alias`"):
        Slot(text)


def test_production_alone_is_live_where_nobody_says_which() -> None:
    assert sorted(stage for stage in Stage if stage.slot in LIVE) == [Stage.PRODUCTION]
