"""What somebody writes into the registry relaxes nothing: forged records, genuine ones put elsewhere, other models."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.core.limits import NOTEBOOK_VERSIONS
from reconciler.core.names import ModelRef, Slot, Version
from reconciler.core.snapshot import TAGS_TAG, VersionSnapshot, encode_provenance, encode_tagged
from reconciler.errors import ExitCode
from reconciler.ports import Notes
from tests.house import GRACE, MALLORY, House
from tests.house.scenes import APPROVALS, GATES, SLOTS, SOAK, at_least, at_work, environments, pins, promote_copy

CHALLENGES = 'slots:\n- slot: Production\n  gates:\n  - soak: {stage: "@challenger", for: 3d}\n'
"""MLflow keeps no time of an alias: since when it names a version, our record says."""


def held_back(house: House, slot: str) -> str:
    """Main declares v6, which soaks for no time yet; gives the commit. A move into Staging is the last of v6."""
    at_work(house, slot, SOAK)
    house.by_hand("churn", 6, "Staging", beside=True)
    commit = house.merge(pins({slot: 6})).merged
    refused = house.apply()
    assert refused.exit_code == ExitCode.BLOCKED
    return str(commit)


@SLOTS
@pytest.mark.parametrize("before", ["Staging", "Archived", "Production", "v4", ""])
def test_a_record_that_names_the_commit_which_was_held_back_lets_nothing_in(
    house: House, slot: str, before: str
) -> None:
    commit = held_back(house, slot)

    house.forge_record("churn", 6, slot, commit, before=before)
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("churn", slot) == (4,)


def test_a_record_that_names_a_commit_which_was_withdrawn_makes_no_rollback(house: House) -> None:
    _withdrawn_and_declared_again(house, "Production")

    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("churn") == (4,)


def test_where_records_are_signed_one_that_names_a_withdrawn_commit_helps_no_alias(signing_house: House) -> None:
    _withdrawn_and_declared_again(signing_house, "@champion")

    done = signing_house.apply()

    assert (done.exit_code, done.noes("@champion")) == (ExitCode.BLOCKED, {"soak"})
    assert signing_house.in_slot("churn", "@champion") == (4,)


def _withdrawn_and_declared_again(house: House, slot: str) -> None:
    """v6 was declared, held back, withdrawn, and is declared again, with a forged record and no move to bear it out."""
    commit = held_back(house, slot)
    house.merge(pins({slot: 4}))
    house.apply()
    house.forge_record("churn", 6, slot, commit)
    house.merge(pins({slot: 6}))


@SLOTS
def test_where_records_are_signed_a_move_that_bears_out_a_forged_one_helps_nobody(
    signing_house: House, slot: str
) -> None:
    commit = held_back(signing_house, slot)
    signing_house.merge(pins({slot: 4}))
    signing_house.apply()

    signing_house.forge_record("churn", 6, slot, commit)
    signing_house.by_hand("churn", 6, slot)
    signing_house.by_hand("churn", 4, slot)
    signing_house.merge(pins({slot: 6}))
    done = signing_house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})


@SLOTS
def test_a_commit_on_the_side_of_a_merge_declared_nothing(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    request = house.request(pins({slot: 6}))
    side = request.head
    house.amend(request, pins({slot: 4}, also="description: Nothing else\n"))
    house.merge(request)
    house.apply()

    house.forge_record("churn", 6, slot, side)
    house.merge(pins({slot: 6}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_commit_of_a_branch_that_nobody_merged_declared_nothing(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    mine = house.push_branch("mine", pins({slot: 6}))

    house.forge_record("churn", 6, slot, mine)
    house.merge(pins({slot: 6}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})


def promoted_and_back(house: House, slot: str, policy: str) -> str:
    """v5 was let in and v4 is back; gives the genuine record of v5. Then the rules were tightened."""
    at_work(house, slot, policy)
    first = house.merge(pins({slot: 5}), approved_by=[GRACE])
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.sentences(slot)
    kept = house.record_on("churn", 5)
    house.revert(first)
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.sentences(slot)
    house.merge(policy=at_least(0.9))
    house.apply()
    return kept


@SLOTS
def test_a_genuine_old_record_put_back_does_not_say_that_the_version_is_in_now(house: House, slot: str) -> None:
    kept = promoted_and_back(house, slot, GATES)

    house.by_hand("churn", 5, slot)
    house.put_record("churn", 5, kept)
    house.merge(pins({slot: 5}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"metric"})


@SLOTS
def test_a_rollback_meets_the_gates_that_speak_of_the_version_itself(house: House, slot: str) -> None:
    promoted_and_back(house, slot, GATES)

    house.merge(pins({slot: 5}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"metric"})
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_record_of_one_version_put_on_another_proves_nothing(house: House, slot: str) -> None:
    at_work(house, slot)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.put_record("churn", 6, house.record_on("churn", 5))
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot)


@SLOTS
def test_a_record_of_one_slot_says_nothing_of_another(house: House, slot: str) -> None:
    other = "@champion" if slot == "Production" else "Production"
    at_work(house, slot)
    house.merge(pins({slot: 4, "@open": 6}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 4}))
    assert house.apply().exit_code == ExitCode.OK

    house.put_record("churn", 6, house.record_on("churn", 6).replace("@open", other))
    house.merge(pins({slot: 4, other: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(other)


def test_a_genuine_record_of_another_registry_proves_nothing_in_this_one(house: House) -> None:
    _let_in_elsewhere(house, "Production")

    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "soak" in done.noes()
    assert house.in_slot("churn") == (4,)


@SLOTS
def test_a_signed_record_of_another_registry_proves_nothing_in_this_one(signing_house: House, slot: str) -> None:
    _let_in_elsewhere(signing_house, slot)

    done = signing_house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "soak" in done.noes(slot)
    assert signing_house.in_slot("churn", slot) == (4,)


def _let_in_elsewhere(house: House, slot: str) -> None:
    """The same repository is applied to two registries; what soaked in the other has not soaked in this one."""
    at_work(house, slot, SOAK)
    other = house.another_registry()
    other.register("churn", 6)
    other.by_hand("churn", 4, slot)
    other.by_hand("churn", 6, "Staging")
    other.clock.later(days=4)
    house.by_hand("churn", 6, "Staging", beside=True)
    house.merge(pins({slot: 6}))
    assert other.apply().exit_code == ExitCode.OK
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.merge(pins({slot: 4}))
    house.apply()

    house.put_record("churn", 6, other.record_on("churn", 6))
    house.merge(pins({slot: 6}))


@SLOTS
def test_another_version_of_the_same_run_is_another_version(house: House, slot: str) -> None:
    run = "a" * 32
    house.register("churn", 3)
    house.register("churn", 1, run=run)
    house.register("churn", 1)
    house.by_hand("churn", 4, slot)
    house.by_hand("churn", 5, "Staging")
    house.begin(GATES, pins({slot: f"{{run_id: {run}}}"}))
    pinned = house.main
    house.clock.later(days=4)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    other = house.register("churn", 1, run=run)
    house.forge_record("churn", other, slot, pinned)
    house.merge(pins({slot: f"{{version: {other}, run_id: {run}}}"}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot)
    assert house.in_slot("churn", slot) == (5,)


def registered_again(house: House, slot: str, policy: str = GATES) -> None:
    """v5 was promoted; then somebody deleted the model and registered other versions under its name."""
    at_work(house, slot, policy)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=1)
    house.delete_model("churn")
    house.register("churn", 6)


@SLOTS
@pytest.mark.parametrize(
    ("policy", "put_back"), [(GATES, False), (at_least(0.1), True)], ids=["without our records", "with them put back"]
)
def test_a_pin_never_comes_to_mean_a_version_that_was_registered_again(
    house: House, slot: str, policy: str, put_back: bool
) -> None:
    at_work(house, slot, policy)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    owner, record = house.owner_record("churn"), house.record_on("churn", 5)

    house.delete_model("churn")
    house.register("churn", 6)
    if put_back:
        house.put_owner_record("churn", owner)
        house.put_record("churn", 5, record)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == ()


@SLOTS
def test_moving_a_version_that_was_registered_again_into_the_slot_is_no_agreement(house: House, slot: str) -> None:
    registered_again(house, slot)

    house.by_hand("churn", 5, slot)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED


@SLOTS
def test_going_back_to_a_number_that_was_registered_again_is_no_rollback(house: House, slot: str) -> None:
    at_work(house, slot)
    first = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    record = house.record_on("churn", 4)

    house.delete_model("churn")
    house.register("churn", 6)
    house.put_record("churn", 4, record)
    house.revert(first)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == ()


@SLOTS
def test_an_approval_of_a_version_that_was_deleted_is_none_of_the_one_registered_again(house: House, slot: str) -> None:
    at_work(house, slot, APPROVALS)
    request = house.request(pins({slot: 6}))
    house.approve(GRACE)

    house.delete_model("churn")
    house.register("churn", 6)
    house.by_hand("churn", 4, slot)
    house.merge(request)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_an_approval_by_a_signed_commit_before_the_version_was_there_is_of_another_one(house: House, slot: str) -> None:
    at_work(house, slot, APPROVALS)
    request = house.request(pins({slot: 7}))
    house.approve(GRACE, signed=True)

    house.register("churn", 1)
    house.merge(request)
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"approvals"})
    assert house.in_slot("churn", slot) == (4,)


def test_a_run_that_was_deleted_waives_no_gate_that_was_tightened_since(house: House) -> None:
    at_work(house, policy=at_least(0.1))
    for version in (1, 6):
        house.merge(pins({"Production": version}))
        assert house.apply().exit_code == ExitCode.OK
    house.merge(policy=at_least(0.65))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1}))
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.runs.delete_run("churn", 1)
    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"metric"})
    assert house.in_slot("churn") == (6,)


def test_a_record_of_a_slot_that_there_cannot_be_costs_no_other_model(signing_house: House) -> None:
    house = signing_house
    at_work(house, "Production")
    house.put_record("churn", 4, house.record_on("churn", 4).replace("Production", "Live"))
    house.merge(pins({"Production": 5}), approved_by=[GRACE])

    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (5,)


def _refused(house: House, model: str = "churn", stays: int = 4) -> None:
    done = house.apply()

    assert (done.exit_code, done.noes(model=model)) == (ExitCode.BLOCKED, {"soak"}), done.message
    assert house.in_slot(model) == (stays,)


@pytest.mark.parametrize("away", [{"@challenger": 5}, {"@challenger": None}, {}], ids=["moved", "emptied", "dropped"])
def test_a_soak_in_an_alias_ends_when_a_commit_takes_the_version_out(
    signing_house: House, away: Mapping[str, int | None]
) -> None:
    house = signing_house
    at_work(house, policy=CHALLENGES)
    house.merge(pins({"Production": 4, "@challenger": 6}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 4, **away}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)

    house.by_hand("churn", 6, "@challenger")
    house.merge(pins({**away, "Production": 6}), by=MALLORY)

    _refused(house)


def test_a_soak_in_an_alias_begins_with_its_move_and_not_with_the_record_that_an_apply_wrote_before_it_was_killed(
    signing_house: House,
) -> None:
    house = signing_house
    at_work(house, policy=CHALLENGES)
    house.merge(pins({"Production": 4, "@challenger": 6}))
    house.apply(killed_after=2)
    assert Slot("@challenger") in house.registry.provenance("churn", 6)
    assert house.in_slot("churn", "@challenger") == ()
    house.clock.later(days=4)
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({"Production": 6, "@challenger": 6}), by=MALLORY)

    _refused(house)


def test_nor_does_an_original_soak_where_it_was_taken_out(signing_house: House) -> None:
    house, gate = signing_house, 'soak: {stage: "@challenger", model: staging.risk, for: 3d}'
    environments(house, policy=f'slots:\n- slot: Production\n  models: ["prod.*"]\n  gates:\n  - {gate}\n')
    for named_by in (2, 1):
        house.merge(pins({"Staging": 2, "@challenger": named_by}, model="staging.risk"))
        assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)

    house.by_hand("staging.risk", 2, "@challenger")
    promote_copy(house)

    _refused(house, "prod.risk", 1)


def test_a_record_of_a_commit_that_never_declared_the_alias_is_no_soak(plain_house: House) -> None:
    house = plain_house
    at_work(house, policy=CHALLENGES)
    house.by_hand("churn", 6, "@challenger")
    house.forge_record("churn", 6, "@challenger", house.main)
    forged = house.registry.provenance("churn", 6)[Slot("@challenger")]
    long_ago = replace(forged, applied_at="2026-03-03T00:00:00Z")
    house.put_record("churn", 6, encode_provenance({long_ago.slot: long_ago}))

    house.merge(pins({"Production": 6}), by=MALLORY)

    _refused(house)


def test_a_soak_in_an_alias_begins_again_where_somebody_moved_it_away_and_an_apply_put_it_back(
    signing_house: House,
) -> None:
    house = signing_house
    at_work(house, policy=CHALLENGES)
    house.merge(pins({"Production": 4, "@challenger": 6}))
    assert house.apply().exit_code == ExitCode.OK
    house.by_hand("churn", 5, "@challenger")
    house.clock.later(days=4)
    assert house.apply(restore=["churn"]).exit_code == ExitCode.OK
    assert house.in_slot("churn", "@challenger") == (6,)

    house.merge(pins({"Production": 6, "@challenger": 6}), by=MALLORY)

    _refused(house)


# Where the records are in a ref, whoever can push refs may have written them.


def in_a_ref(house: House) -> None:
    house.noted = True
    house.register("churn", 4)
    house.by_hand("churn", 4, "@champion")
    house.begin(GATES, pins({"@champion": 4}))


def version(house: House, number: int) -> VersionSnapshot:
    return house.registry.models[ModelRef("churn")].versions[Version(number)]


@pytest.mark.parametrize("more", [False, True], ids=["alone", "beside another change"])
def test_who_can_push_refs_has_no_tags_removed_from_versions(signing_house: House, *, more: bool) -> None:
    house = signing_house
    in_a_ref(house)
    house.registry.put("churn", replace(version(house, 4), tags={"validated": "by the risk committee"}))

    def forge(notes: dict[str, Notes]) -> None:
        note = notes["churn"]
        kept = {**note.versions.get(4, {}), TAGS_TAG: encode_tagged(["validated"])}
        notes["churn"] = Notes(note.model, {**note.versions, 4: kept})

    house.notebook.change(forge)
    house.merge(pins({"@champion": 4}, also="description: Another one\n" if more else ""))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert version(house, 4).tags == {"validated": "by the risk committee"}
    assert house.registry.models[ModelRef("churn")].description == ("Another one" if more else "")


def test_a_tag_that_a_manifest_set_goes_with_it(signing_house: House) -> None:
    house = signing_house
    in_a_ref(house)
    tagged = pins({"@champion": "{version: 4, tags: {validated: by-us}}"})
    house.merge(tagged)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(f"{tagged}description: Another one\n")
    assert house.apply().exit_code == ExitCode.OK
    there = version(house, 4).tags

    house.merge(pins({"@champion": 4}))
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert (there, version(house, 4).tags) == ({"validated": "by-us"}, {})


def test_who_can_push_refs_has_nobody_ask_for_thousands_of_versions_that_are_not_there(signing_house: House) -> None:
    """Unity Catalog is asked for each by itself: a file of 1 MiB has room for a hundred thousand."""
    house = signing_house
    in_a_ref(house)
    many = {number: {"a": ""} for number in range(NOTEBOOK_VERSIONS + 1)}
    house.notebook.change(lambda notes: notes.update(churn=Notes(notes["churn"].model, many)))
    asked: list[int] = []
    house.registry.read = lambda wanted: asked.extend(map(len, wanted.models.values()))

    planned = house.plan()

    assert max(asked) < 10
    assert "The ownership record of churn is damaged" in planned.text
