"""Every version that becomes visible in a guarded slot is judged, whoever moved it there, and whatever leaves."""

import pytest

from reconciler.core.drift import DriftStatus
from reconciler.core.names import ModelRef, Version
from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, House, Trigger, Way
from tests.house.scenes import GATES, NO_RULES, SLOTS, SOAK, at_least, at_work, improving_by, pins


@SLOTS
def test_moving_a_version_by_hand_first_passes_no_gate(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.request(pins({slot: 6}))
    planned = house.plan()
    house.merge(house.forge.requests[-1])
    applied = house.apply()

    for done in (planned, applied):
        assert done.exit_code == ExitCode.BLOCKED
        assert {"path", "approvals"} <= done.noes(slot)
    assert house.drift_of() is DriftStatus.DRIFTED


@SLOTS
def test_who_moves_first_and_has_it_approved_then_is_refused_by_path_and_soak(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"path", "soak"})


def test_the_refusal_of_what_was_moved_by_hand_names_both_ways_out(house: House) -> None:
    at_work(house)

    house.by_hand("churn", 6, "Production")
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    done = house.apply()

    said = f"{done.message}\n{done.sentences()}".lower()
    assert "override" in said
    assert "back" in said


@SLOTS
def test_what_would_have_passed_passes_where_it_was_moved_by_hand_too(house: House, slot: str) -> None:
    at_work(house, slot, at_least(0.7))

    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 6}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.OK, set())
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_version_that_was_moved_in_beside_the_other_is_judged_when_it_is_declared(house: House) -> None:
    at_work(house)

    house.by_hand("churn", 6, "Production", beside=True)
    house.merge(pins({"Production": [4, 6]}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes()


@SLOTS
def test_a_move_by_hand_between_review_and_apply_opens_no_way_in(house: House, slot: str) -> None:
    at_work(house, slot)
    request = house.request(pins({slot: 6}))
    house.approve(GRACE)

    house.by_hand("churn", 6, slot)
    house.merge(request)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.noes(slot)


@SLOTS
def test_moving_it_back_and_in_again_makes_no_rollback(house: House, slot: str) -> None:
    at_work(house, slot)

    for version in (6, 4, 6, 4):
        house.by_hand("churn", version, slot)
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_a_slot_that_git_governed_before_is_not_adopted_again(house: House, slot: str) -> None:
    at_work(house, slot)
    house.merge(pins({"@other": 1}))
    house.apply()

    house.by_hand("churn", 6, slot)
    house.merge(pins({"@other": 1, slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot)


@SLOTS
def test_a_model_that_git_released_before_is_not_adopted_again(house: House, slot: str) -> None:
    at_work(house, slot)
    house.merge(files={"manifests/churn.yaml": None})
    house.apply(allow_empty=True)

    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot)


@SLOTS
def test_moving_the_manifest_to_another_folder_adopts_nothing_again(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.merge(pins({slot: 6}), files={"manifests/churn.yaml": None}, into="teams/risk", approved_by=[GRACE])
    done = house.apply(manifests="teams/risk", adopt=True)

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot)


@SLOTS
def test_deleting_our_record_adopts_nothing_again(house: House, slot: str) -> None:
    at_work(house, slot)

    house.by_hand("churn", 6, slot)
    house.delete_owner_record("churn")
    house.merge(pins({slot: 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot)


@SLOTS
def test_nobody_chooses_by_hand_what_a_version_is_compared_with(house: House, slot: str) -> None:
    at_work(house, slot, improving_by(0.03))

    house.by_hand("churn", 2, slot)
    house.merge(pins({slot: 5}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"metric"})
    assert house.in_slot("churn", slot) == (2,)


@SLOTS
def test_a_slot_that_somebody_emptied_leaves_the_next_version_compared_with_the_declared_one(
    house: House, slot: str
) -> None:
    at_work(house, slot, improving_by(0.03))

    house.by_hand("churn", 1, slot)
    house.delete_version("churn", 1)
    house.by_hand("churn", 4, "Archived")
    house.merge(pins({slot: 5}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"metric"})


def test_what_came_into_a_stage_after_it_was_guarded_is_not_found_there(house: House) -> None:
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.merge(policy=GATES)

    house.by_hand("churn", 6, "Production")
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes()


def test_the_version_that_consumers_get_because_another_leaves_is_judged(house: House) -> None:
    house.register("churn", 3)
    house.by_hand("churn", 2, "Production")
    house.by_hand("churn", 3, "Production", beside=True)
    house.begin(at_least(0.65), pins({"Production": [2, 3]}))

    house.merge(pins({"Production": 2}))
    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"metric"})
    assert house.in_slot("churn") == (2, 3)


def test_the_version_that_consumers_get_because_another_was_deleted_is_judged(house: House) -> None:
    house.register("churn", 3)
    house.by_hand("churn", 2, "Production")
    house.by_hand("churn", 3, "Production", beside=True)
    house.begin(at_least(0.65), pins({"Production": [2, 3]}))

    house.delete_version("churn", 3)
    house.merge(pins({"Production": 2}))
    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"metric"})


def test_an_alias_that_names_a_version_which_leaves_is_pointed_out(house: House) -> None:
    house.register("churn", 3)
    house.by_hand("churn", 2, "Production")
    house.by_hand("churn", 3, "Production", beside=True)
    house.by_hand("churn", 3, "@serving")
    house.begin(at_least(0.1), pins({"Production": [2, 3]}))

    house.request(pins({"Production": 2}))
    planned = house.plan()

    assert "@serving" in planned.text


@SLOTS
@pytest.mark.parametrize("tagged", ["in this change", "in a change that was not applied yet"])
def test_a_new_model_is_under_the_rule_that_its_own_tag_puts_it_under(house: House, slot: str, tagged: str) -> None:
    rule = GATES.replace("  gates:", "  tags: {tier: critical}\n  gates:")
    house.merge(policy=rule)
    house.register("fresh", 1)
    tag = "tags: {tier: critical}\n"

    if tagged != "in this change":
        house.merge(pins({}, model="fresh", also=tag))
    house.merge(pins({slot: 1}, model="fresh", also=tag))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(slot, "fresh")
    assert house.in_slot("fresh", slot) == ()


@SLOTS
def test_a_model_whose_tag_the_same_change_takes_away_stays_under_its_rule(house: House, slot: str) -> None:
    tag = "tags: {tier: critical}\n"
    house.register("churn", 6)
    house.by_hand("churn", 4, slot)
    house.begin(SOAK.replace("  gates:", "  tags: {tier: critical}\n  gates:"), pins({slot: 4}, also=tag))

    house.tag_model("churn", tier="none")
    house.merge(pins({slot: 6}))
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
@pytest.mark.parametrize("trigger", [Trigger.PUSH, Trigger.SCHEDULE])
def test_a_branch_that_takes_main_in_and_becomes_main_makes_nothing_found_that_was_moved(
    house: House, slot: str, trigger: Trigger
) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, slot)
    house.clock.later(days=30)
    house.by_hand("churn", 6, slot)

    request = house.request(files={"x.md": "x"}, off=house.first_commit, by=MALLORY)
    house.update(request, pins({slot: 6}), by=MALLORY)
    house.merge(request)
    done = house.apply(trigger)

    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert house.drift_of() is DriftStatus.DRIFTED


@SLOTS
def test_nor_does_who_leads_the_line_there_by_writing_beside_the_lock(house: House, slot: str) -> None:
    at_work(house, slot)
    house.clock.later(days=30)
    house.by_hand("churn", 6, slot)
    request = house.request(files={"x.md": "x"}, off=house.first_commit, by=MALLORY)
    side = request.head
    house.update(request, pins({slot: 6}), by=MALLORY)
    house.merge(request)

    house.remember(side)
    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.BLOCKED, done.message


def test_a_commit_that_is_dated_ahead_makes_nothing_found_that_was_moved_since(house: House) -> None:
    house.way = Way.FAST_FORWARD
    at_work(house, policy=NO_RULES)
    house.register("risk", 2)
    with house.clock.ahead(days=3000):
        request = house.request(policy=SOAK, by=MALLORY)
    house.merge(request)
    assert house.apply().exit_code == ExitCode.OK

    house.clock.later(days=1)
    house.by_hand("risk", 2, "Production")
    with house.clock.ahead(days=3000):
        request = house.request(pins({"Production": 2}, model="risk"), by=MALLORY)
    house.merge(request)
    done = house.apply()

    assert (done.exit_code, done.noes(model="risk")) == (ExitCode.BLOCKED, {"soak"}), done.kinds("risk")


PINNED = 'slots:\n- slot: [Production, "@champion*"]\n  gates:\n  - artifact: {pinned: true}\n'


@SLOTS
def test_what_is_put_back_has_the_files_that_entered_by_the_rules_of_its_own_change_too(
    house: House, slot: str
) -> None:
    at_work(house, slot, PINNED)
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(policy=NO_RULES)
    assert house.apply().exit_code == ExitCode.OK

    house.files.digests["churn", 5] = "sha256:other"
    house.by_hand("churn", 4, slot)
    done = house.apply(Trigger.DISPATCH, restore=["churn"])

    assert "files" in done.message
    assert house.in_slot("churn", slot) == (4,)


def break_off(house: House, slot: str) -> None:
    """An apply records that v6 enters the slot, and breaks off before it does."""
    house.merge(pins({slot: 6}))
    for calls in (1, 1, 2):
        # What leaves is written down first: for an alias once, for a stage each time.
        house.apply(killed_after=calls)
        if house.registry.provenance("churn", 6):
            break
    assert house.registry.provenance("churn", 6)
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_an_apply_that_broke_off_lets_no_other_files_in_when_it_is_run_again(signing_house: House, slot: str) -> None:
    house = signing_house
    at_work(house, slot, PINNED)
    break_off(house, slot)

    house.files.digests["churn", 6] = "sha256:other"
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"artifact"})
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_an_apply_that_broke_off_is_run_again_by_rules_that_were_tightened_since(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    break_off(house, slot)
    house.merge(policy=SOAK)
    house.apply(killed_after=0)

    house.merge(files={"docs/notes.md": "Notes\n"})
    done = house.apply()

    assert (done.exit_code, done.noes(slot)) == (ExitCode.BLOCKED, {"soak"})
    assert house.in_slot("churn", slot) == (4,)


@SLOTS
def test_an_apply_that_broke_off_goes_on_where_the_gates_are_those_that_let_the_version_in(
    signing_house: House, slot: str
) -> None:
    house = signing_house
    at_work(house, slot, SOAK)
    house.by_hand("churn", 6, "Staging", beside=True)
    house.clock.later(days=4)
    break_off(house, slot)

    done = house.apply()

    assert (done.exit_code, done.kinds()[slot]) == (ExitCode.OK, "resumed"), done.message
    assert house.in_slot("churn", slot) == (6,)


@SLOTS
def test_what_was_moved_out_by_hand_does_not_ride_along_as_an_apply_that_broke_off(house: House, slot: str) -> None:
    at_work(house, slot, SOAK)
    kept = house.owner_record("churn")
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK

    house.by_hand("churn", 4, slot)
    house.put_owner_record("churn", kept)
    house.merge(files={"docs/notes.md": "Notes\n"})
    done = house.apply()

    assert "--restore churn" in done.message
    assert house.in_slot("churn", slot) == (4,)


@pytest.mark.parametrize("gate", ["path: {from: Staging}", "soak: {stage: Staging, for: 3d}"])
@pytest.mark.parametrize("replaced", [True, False])
def test_files_that_nobody_tried_do_not_come_from_a_slot(house: House, gate: str, *, replaced: bool) -> None:
    policy = f"slots:\n- slot: Staging\n  gates: [artifact: {{pinned: true}}]\n- slot: Production\n  gates: [{gate}]\n"
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(policy, pins({"Production": 1}))
    house.merge(pins({"Production": 1, "Staging": 2}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)
    if replaced:
        house.files.digests[ModelRef("churn"), Version(2)] = "of other files"
    house.merge(pins({"Production": 2}))

    done = house.apply()

    if replaced:
        assert done.exit_code == ExitCode.BLOCKED, done.message
        assert "the files of v2 of churn were replaced since it came into Staging" in done.message
    assert house.in_slot("churn", "Production") == ((1,) if replaced else (2,))
