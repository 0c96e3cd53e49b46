"""A registered model that gets another name goes on: what it was is still known, and nothing is asked anew."""

from dataclasses import replace

import pytest

from reconciler.core.drift import DriftStatus
from reconciler.core.names import ModelRef
from reconciler.core.snapshot import Ownership
from reconciler.errors import ExitCode
from tests.house import GRACE, House, Request
from tests.house.scenes import APPROVALS, GATES, SLOTS, at_work, pins

NEW = "churn-eu"


def renamed(house: House, slot: str, version: int, policy: str | None = None) -> Request:
    """The model is renamed in the registry, and the manifests say so."""
    house.rename_model("churn", NEW)
    manifest = pins({slot: version}, model=NEW, also="formerly: churn\n")
    return house.merge(manifest, files={"manifests/churn.yaml": None}, policy=policy, approved_by=[GRACE])


@SLOTS
def test_a_renamed_model_goes_on_and_every_way_of_it_works(house: House, slot: str) -> None:
    at_work(house, slot)

    renamed(house, slot, 4)
    done = house.apply()
    drift = house.drift_of(NEW)
    house.clock.later(days=4)
    promotion = house.merge(pins({slot: 5}, model=NEW, also="formerly: churn\n"), approved_by=[GRACE])
    promoted = house.apply()
    house.revert(promotion)
    back = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, NEW)}"
    assert drift is DriftStatus.IN_SYNC
    assert promoted.exit_code == ExitCode.OK, f"{promoted.message}\n{promoted.sentences(slot, NEW)}"
    assert back.exit_code == ExitCode.OK, f"{back.message}\n{back.sentences(slot, NEW)}"
    assert back.kinds(NEW) == {slot: "rollback"}
    assert house.in_slot(NEW, slot) == (4,)
    assert house.drift_of(NEW) is DriftStatus.IN_SYNC


@SLOTS
def test_what_a_model_held_under_its_former_name_is_a_rollback(house: House, slot: str) -> None:
    at_work(house, slot)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, slot, 5)
    first = house.apply()
    house.merge(pins({slot: 4}, model=NEW, also="formerly: churn\n"))
    done = house.apply()

    assert first.exit_code == ExitCode.OK, f"{first.message}\n{first.sentences(slot, NEW)}"
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, NEW)}"
    assert done.kinds(NEW) == {slot: "rollback"}


def test_a_rule_that_names_the_model_can_follow_its_name(house: House) -> None:
    old, new = (GATES.replace("- slot", f"- models: {name}\n  slot") for name in ("churn", NEW))
    at_work(house, policy=old)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "Production", 5)
    first = house.apply()
    house.merge(policy=new)
    second = house.apply()
    house.merge(pins({"Production": 4}, model=NEW))
    done = house.apply()

    for one in (first, second, done):
        assert one.exit_code == ExitCode.OK, f"{one.message}\n{one.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (4,)


def test_a_renamed_model_that_somebody_moved_is_put_back(house: House) -> None:
    at_work(house)
    renamed(house, "Production", 4)
    assert house.apply().exit_code == ExitCode.OK

    house.by_hand(NEW, 6, "Production")
    drift = house.drift_of(NEW)
    done = house.apply(restore=[NEW])

    assert drift is DriftStatus.DRIFTED
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (4,)


def test_manifests_that_are_merged_before_the_registry_is_renamed_wait_and_release_nothing(house: House) -> None:
    at_work(house)
    owner = house.owner_record("churn")
    manifest = pins({"Production": 4}, model=NEW, also="formerly: churn\n")
    house.merge(manifest, files={"manifests/churn.yaml": None}, approved_by=[GRACE])

    early = house.apply()
    kept = house.owner_record("churn")
    house.rename_model("churn", NEW)
    done = house.apply()

    assert early.exit_code == ExitCode.BLOCKED
    assert "rename_registered_model" in early.message
    assert kept == owner
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"


def test_a_model_that_is_renamed_twice_is_still_itself(house: House) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    renamed(house, "Production", 5)
    assert house.apply().exit_code == ExitCode.OK

    house.rename_model(NEW, "churn-us")
    manifest = pins({"Production": 4}, model="churn-us", also=f"formerly: [{NEW}, churn]\n")
    house.merge(manifest, files={f"manifests/{NEW}.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='churn-us')}"
    assert done.kinds("churn-us") == {"Production": "rollback"}


@SLOTS
def test_a_model_may_be_renamed_and_promoted_by_one_change_that_its_owners_approved(house: House, slot: str) -> None:
    at_work(house, slot, APPROVALS)

    renamed(house, slot, 5)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, NEW)}"
    assert house.in_slot(NEW, slot) == (5,)


@pytest.mark.parametrize("by_an_older_release", [False, True])
def test_a_model_that_was_renamed_in_the_registry_alone_waits_under_both_names(
    house: House, *, by_an_older_release: bool
) -> None:
    at_work(house)
    if by_an_older_release:
        live = house.registry.models[ModelRef("churn")]
        assert isinstance(live.owner, Ownership)
        house.registry.models[live.name] = replace(live, owner=replace(live.owner, model=None))
    before = house.owner_record("churn")
    house.rename_model("churn", NEW)

    drift = [house.drift_of(name) for name in ("churn", NEW)]
    blocked = house.apply()
    there = (house.in_slot(NEW), house.owner_record(NEW))
    house.merge(
        pins({"Production": 4}, model=NEW, also="formerly: churn\n"),
        files={"manifests/churn.yaml": None},
        approved_by=[GRACE],
    )
    done = house.apply()

    assert drift == [DriftStatus.DRIFTED, DriftStatus.DRIFTED]
    assert blocked.exit_code == ExitCode.BLOCKED
    assert f"The registered model {NEW} carries the records of churn" in blocked.message
    assert there == ((4,), before)
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (4,)
    assert house.drift_of(NEW) is DriftStatus.IN_SYNC


def test_a_model_that_is_renamed_and_back_is_as_if_nothing_had_been(house: House) -> None:
    at_work(house)
    house.rename_model("churn", NEW)
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.rename_model(NEW, "churn")
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("churn") == (4,)
    assert house.drift_of("churn") is DriftStatus.IN_SYNC
