"""A model that was renamed in the registry alone: both names are blocked, nothing is moved or released."""

from dataclasses import replace

import pytest

from reconciler.core.changes import Change, Claim, Release, RenameModel
from reconciler.core.desired import Declared, Manifest
from reconciler.core.diff import ModelPlan, as_renamed, to_rename
from reconciler.core.names import ModelRef, Ours, RepositoryId
from reconciler.core.plan import Limits, Plan, PlanOptions, Verb, build_plan, effects_of
from reconciler.core.snapshot import ModelSnapshot, Ownership, decode_owner, encode_owner
from reconciler.render import words
from reconciler.render.json import call_document
from tests.build import OURS, SOMEWHERE, THEIRS, N, P, S, desired, have, owns, registry, want

A, B = ModelRef("a"), ModelRef("b")


def record_of(model: str | None) -> Ownership:
    """Our record, as it was written when the model had that name."""
    return replace(owns(P), model=None if model is None else ModelRef(model))


def carrying(name: str, record: Ownership | None) -> ModelSnapshot:
    return have({1: N, 2: P, 3: S}, owner=record, name=name)


def plan(wanted: list[Manifest], there: list[ModelSnapshot], *, adopt: bool = False) -> Plan:
    return build_plan(desired(*wanted), registry(*there), PlanOptions(adopt=adopt))


def of(plan: Plan, name: ModelRef) -> ModelPlan:
    return next((model for model in plan.models if model.model == name), ModelPlan(name))


def codes(plan: Plan) -> dict[str, list[str]]:
    return {str(model.model): [blocker.code for blocker in model.blockers] for model in plan.models if model.blockers}


BOTH = {"a": ["renamed-in-registry"], "b": ["renamed-in-registry"]}


def test_both_names_are_blocked_and_nothing_is_released() -> None:
    found = plan([want({P: [2]}, name=A)], [carrying(B, record_of(A))])

    assert codes(found) == BOTH
    assert found.changes == ()
    assert (found.summary.unchanged, found.summary.blocked) == (0, 2)
    (blocker,) = of(found, A).blockers
    assert blocker.message.startswith("The registered model b carries the records of a,")
    assert "`formerly: a`" in blocker.fix


def test_a_model_that_asks_for_no_version_is_not_made_anew() -> None:
    found = plan([want(description="Ours.", name=A)], [carrying(B, record_of(A))])

    assert codes(found) == BOTH


def test_with_the_former_name_in_its_manifest_it_goes_on() -> None:
    manifest = replace(want({P: [2]}, name=B), formerly=Declared((A,), SOMEWHERE))

    found = plan([manifest], [carrying(B, record_of(A))])

    assert codes(found) == {}
    assert found.changes == ()


def test_a_former_name_that_is_dropped_later_blocks_nothing() -> None:
    found = plan([want({P: [1]}, name=B)], [carrying(B, record_of(A))])

    assert codes(found) == {}
    claim = next(change for change in reversed(found.changes) if isinstance(change, Claim))
    assert claim.after.model == B


def test_two_that_traded_names_are_both_left() -> None:
    wanted = [want({P: [1]}, name=A), want({P: [3]}, name=B)]

    found = plan(wanted, [carrying(A, record_of(B)), carrying(B, record_of(A))])

    assert codes(found) == BOTH


@pytest.mark.parametrize("record", [None, owns(P, by=THEIRS)])
def test_a_former_name_that_was_registered_anew_is_another_model(record: Ownership | None) -> None:
    found = plan([want({P: [2]}, name=A)], [carrying(A, record), carrying(B, record_of(A))])

    assert codes(found) == BOTH
    assert "The a that is there now is another one." in of(found, A).blockers[0].message


def test_a_name_that_is_declared_itself_takes_over_nothing() -> None:
    found = plan([want({P: [2]}, name=A), want({P: [3]}, name=B)], [carrying(B, record_of(A))])

    assert codes(found) == BOTH


@pytest.mark.parametrize("own", [None, "a"])
def test_a_copy_of_a_record_blocks_nothing_and_is_taken_away(own: str | None) -> None:
    found = plan([want({P: [1]}, name=A)], [carrying(A, record_of(own)), carrying(B, record_of(A))])

    assert codes(found) == {}
    assert [type(change) for change in of(found, B).changes] == [Release]
    assert of(found, A).changes


def test_a_copy_on_another_declared_model_moves_nothing_of_either() -> None:
    wanted = [want({P: [2]}, name=A), want({P: [2]}, name=B)]

    found = plan(wanted, [carrying(A, record_of(A)), carrying(B, record_of(A))])

    assert (codes(found), found.changes) == ({}, ())


def test_a_copy_on_a_model_without_another_is_overcome_by_adopting() -> None:
    there = [carrying(A, None), carrying(B, record_of(A))]

    refused, adopted = (plan([want({P: [1]}, name=A)], there, adopt=adopt) for adopt in (False, True))

    assert codes(refused) == BOTH
    assert codes(adopted) == {"b": ["renamed-in-registry"]}
    assert of(adopted, A).changes


def test_what_is_not_declared_any_more_is_released_under_whatever_name() -> None:
    found = plan([want({P: [2]}, name="c")], [carrying(B, record_of(A)), carrying("c", record_of("c"))])

    assert codes(found) == {}
    assert [type(change) for change in of(found, B).changes] == [Release]


def test_a_record_of_another_repository_says_nothing_of_our_names() -> None:
    theirs = replace(owns(P, by=THEIRS), model=A)

    found = plan([want({P: [2]}, name=A), want({P: [2]}, name=B)], [carrying(B, theirs)])

    assert codes(found) == {"a": ["unknown-model"], "b": ["owned-by-another-repository"]}


def test_a_record_keeps_the_name_of_its_model_and_one_without_is_read() -> None:
    assert decode_owner(encode_owner(record_of(A))) == record_of(A)
    named, unnamed = decode_owner(encode_owner(record_of(A))), decode_owner(encode_owner(owns(P)))
    assert isinstance(named, Ownership)
    assert isinstance(unnamed, Ownership)
    assert (named.model, unnamed.model) == (A, None)
    assert named.repository == OURS


def test_an_older_record_is_not_written_anew_for_the_name_alone() -> None:
    found: tuple[Change, ...] = plan([want({P: [2]}, name=A)], [carrying(A, record_of(None))]).changes

    assert found == ()


def formerly(name: str, *former: str) -> Manifest:
    return replace(want({P: [2]}, name=name), formerly=Declared(tuple(map(ModelRef, former)), SOMEWHERE))


def renaming(wanted: list[Manifest], there: list[ModelSnapshot], options: PlanOptions = PlanOptions()) -> Plan:
    """The plan, as it is made from what a registry holds."""
    state, held = desired(*wanted), registry(*there)
    return build_plan(state, as_renamed(held.models, to_rename(state.models, held.models, OURS_ALONE)), options)


OURS_ALONE = Ours(OURS)


def test_a_plan_renames_what_it_governs_and_the_record_follows_last() -> None:
    found = renaming([formerly("b", "a")], [carrying(A, record_of(A))])

    first, *_, last = found.changes
    assert first == RenameModel(B, A)
    assert isinstance(last, Claim)
    assert last.after.model == B
    (effect,) = (effect for effect in effects_of(of(found, B)) if effect.verb is Verb.RENAME)
    assert words.sentence(effect) == "b: rename: a -> b; models:/a/… finds nothing from then on"
    assert call_document(first)["arguments"] == {"name": "a", "new_name": "b"}
    assert found.summary.kinds == ((Verb.RENAME, 1),)


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ([carrying(A, record_of(A)), carrying(B, None)], "a beside b"),
        ([carrying(A, record_of(A)), carrying("c", record_of("c"))], "and more that it lists"),
        ([carrying(A, None)], "does not govern"),
        ([carrying(A, owns(P, by=THEIRS))], "does not govern"),
        ([carrying(A, replace(owns(P), repository=RepositoryId(f"{OURS}-elsewhere")))], "does not govern"),
        ([carrying(A, record_of("d"))], "does not govern"),
    ],
    ids=["both are there", "two former ones", "nobody's", "theirs", "another folder's", "a copy of a record"],
)
def test_what_is_not_known_to_be_the_same_model_is_not_renamed(there: list[ModelSnapshot], why: str) -> None:
    found = renaming([formerly("b", "a", "c")], there)

    blockers = of(found, B).blockers
    assert {blocker.code for blocker in blockers} == {"former-name-in-use"}
    assert all(why in blocker.message for blocker in blockers)
    assert not any(isinstance(change, RenameModel) for change in found.changes)


def test_a_live_slot_that_loses_its_name_counts_for_the_safeties() -> None:
    limits = PlanOptions(limits=Limits(share=0.0, models=1))

    found = renaming([formerly("b", "a")], [carrying(A, record_of(A))], limits)

    assert [safety.code for safety in found.safeties] == ["mass-change"]


def test_a_rename_is_another_plan_than_none() -> None:
    before = renaming([formerly("b", "a")], [carrying(A, record_of(A))])
    after = renaming([formerly("b", "a")], [carrying(B, record_of(A))])

    assert before.digest != after.digest
    assert before.fingerprint != after.fingerprint
    assert len(before.model_digests) == 1
