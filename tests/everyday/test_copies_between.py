"""Environments as registries: a version of dev is copied to prod and let in by gates, in one change."""

import pytest

from reconciler.core.gate import Ruling
from reconciler.core.plan import Verb, effects_of
from reconciler.errors import ExitCode
from tests.house import GRACE, House, Trigger
from tests.house.scenes import SLOTS, between, from_dev, pins, promote_from_dev

ALL = {"path", "soak", "metric", "signature", "lineage", "artifact", "check", "approvals"}


@SLOTS
def test_a_version_is_copied_and_promoted_in_one_change(house: House, slot: str) -> None:
    between(house, slot)
    promote_from_dev(house, slot)

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'risk')}"
    assert done.rulings(slot, "risk") == dict.fromkeys(ALL, Ruling.PASS)
    assert "v2 of dev/risk, the original of v2, is in stage Staging" in done.sentences(slot, "risk")
    assert house.in_slot("risk", slot) == (2,)
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK
    assert house.versions_of("risk") == [1, 2]
    assert house.drift_of("risk") == "in sync"


def test_its_review_says_where_it_comes_from(house: House) -> None:
    between(house)
    house.request(pins({"Production": from_dev(2)}, model="risk"))
    house.approve(GRACE)

    shown = house.plan(evidence="all")

    assert shown.exit_code == ExitCode.OK, shown.text
    assert shown.plan is not None
    assert shown.review is not None
    assert shown.review.evidence is not None
    effects = [effect for model in shown.plan.models for effect in effects_of(model)]
    assert [effect.verb for effect in effects] == [Verb.COPY, Verb.PROMOTE, Verb.ARCHIVE]
    assert str(effects[0].after).startswith("v2 of dev/risk (run ")
    (exhibit,) = shown.review.evidence.exhibits
    assert (exhibit.candidate.model, exhibit.candidate.metrics[0].value) == ("risk", 0.64)


@SLOTS
def test_the_live_slot_is_occupied_and_one_copy_made_wherever_an_apply_is_killed(house: House, slot: str) -> None:
    between(house, slot)
    promote_from_dev(house, slot)
    done, calls = house.apply(killed_after=0), 0
    while done.exit_code != ExitCode.OK and calls < 10:
        calls += 1
        done = house.apply(killed_after=calls)
        assert len(house.in_slot("risk", slot)) == 1, calls
        assert len(house.versions_of("risk")) <= 2, calls

    assert house.in_slot("risk", slot) == (2,), done.message
    assert house.versions_of("risk") == [1, 2]


@SLOTS
def test_what_was_reviewed_is_applied_to_the_copy_of_an_apply_that_broke_off(house: House, slot: str) -> None:
    between(house, slot)
    request = house.request(pins({slot: from_dev(2)}, model="risk"))
    house.approve(GRACE)
    reviewed = house.plan()
    house.merge(request)
    house.apply(reviewed=reviewed, killed_after=1)
    assert house.versions_of("risk") == [1, 2]

    done = house.apply(reviewed=reviewed)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("risk", slot) == (2,)


@SLOTS
def test_a_promotion_of_a_copy_is_reverted_and_the_copy_stays(house: House, slot: str) -> None:
    between(house, slot)
    request = house.merge(pins({slot: from_dev(2)}, model="risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'risk')}"
    assert house.in_slot("risk", slot) == (1,)
    assert house.versions_of("risk") == [1, 2]


def test_a_registry_that_is_down_blocks_what_is_copied_from_there_and_nothing_else(house: House) -> None:
    dev = between(house)
    house.register("churn", 1)
    promote_from_dev(house)
    house.merge(pins({"Staging": 1}, model="churn"))
    dev.is_down = True

    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn", "Staging") == (1,)
    assert house.in_slot("risk") == (1,)
    assert "What is to be copied from dev is not known: memory://dev is down." in done.message


def test_what_is_in_place_stays_so_while_the_other_registry_is_down(house: House) -> None:
    dev = between(house)
    promote_from_dev(house)
    assert house.apply().exit_code == ExitCode.OK
    dev.is_down = True

    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.drift_of("risk") == "in sync"


@SLOTS
@pytest.mark.parametrize("why", ["down", "gone"])
def test_what_was_let_in_comes_back_while_its_original_cannot_be_asked_about(house: House, slot: str, why: str) -> None:
    dev = between(house, slot, policy="")
    promote_from_dev(house, slot)
    assert house.apply().exit_code == ExitCode.OK
    request = house.merge(pins({slot: 1}, model="risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    if why == "down":
        dev.is_down = True
    else:
        dev.delete_model("risk")

    house.revert(request)
    reverted = house.apply()
    house.by_hand("risk", 1, slot)
    restored = house.apply(restore=["risk"])

    assert (reverted.exit_code, restored.exit_code) == (ExitCode.OK, ExitCode.OK), reverted.message + restored.message
    assert house.in_slot("risk", slot) == (2,)


def test_the_original_may_be_deleted_once_the_copy_is_in(house: House) -> None:
    dev = between(house)
    promote_from_dev(house)
    assert house.apply().exit_code == ExitCode.OK
    dev.delete_model("risk")

    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK
    assert house.in_slot("risk") == (2,)


def test_a_copy_is_rolled_back_to_after_its_original_is_gone(house: House) -> None:
    dev = between(house)
    promote_from_dev(house)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1}, model="risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    dev.delete_model("risk")
    house.merge(pins({"Production": 2}, model="risk"), approved_by=[GRACE])

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='risk')}"
    assert house.in_slot("risk") == (2,)
    assert done.rulings(model="risk")["check"] == Ruling.WAIVED


def test_a_soak_behind_an_alias_of_the_other_registry_rests_on_its_own_records(house: House) -> None:
    soak = "slots:\n- {slot: Production, registries: prod, gates: ["
    soak += 'soak: {stage: "@challenger", model: risk, registry: dev, for: 3d}]}\n'
    dev = between(house, policy=soak)
    house.merge(files={"dev/risk.yaml": pins({"Staging": 2, "@challenger": 2}, model="risk")})
    assert dev.apply(manifests="dev").exit_code == ExitCode.OK
    promote_from_dev(house)
    early = house.apply()
    house.clock.later(days=4)

    done = house.apply(Trigger.SCHEDULE)

    assert ": soak: " in early.message
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='risk')}"
    assert house.in_slot("risk") == (2,)


def test_a_copy_of_a_copy_has_the_first_ones_word(house: House) -> None:
    between(house)
    house.merge(pins({"None": from_dev(2)}, model="canary"))
    assert house.apply().exit_code == ExitCode.OK
    assert house.versions_of("canary") == [1]
    house.merge(pins({"Production": "{from: {model: canary, version: 1}}"}, model="risk"), approved_by=[GRACE])

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='risk')}"
    assert "v2 of dev/risk, the original of v2, is in stage Staging" in done.sentences(model="risk")


@pytest.mark.parametrize("number", [1, 2])
def test_gates_says_of_a_copy_what_an_apply_would(house: House, number: int) -> None:
    between(house)
    house.merge(pins({"Production": 1, "None": from_dev(2)}, model="risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    rulings = {verdict.gate: verdict.ruling for verdict in house.gates("risk", number)}

    assert rulings["path"] == (Ruling.PASS if number == 2 else Ruling.FAIL)
