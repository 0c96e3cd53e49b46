"""What a manifest declares by what it is made of may be declared by its number, too, and the other way around."""

import pytest

from reconciler.core.names import ModelRef, Version
from reconciler.errors import ExitCode
from tests.house import GRACE, Done, House
from tests.house.scenes import APPROVALS, SLOTS, at_work, copy_of, environments, pins


def went_well(done: Done, slot: str = "Production", model: str = "churn") -> None:
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, model)}"


def by_run(house: House, number: int, model: str = "churn") -> str:
    return f"{{run_id: {house.registry.models[ModelRef(model)].versions[Version(number)].run_id}}}"


@SLOTS
@pytest.mark.parametrize("origin", ["run", "copy"])
def test_what_is_in_may_be_named_by_its_number_and_by_its_origin_again(house: House, slot: str, origin: str) -> None:
    if origin == "copy":
        environments(house, slot, APPROVALS)
        model, pin, number = "prod.risk", copy_of(2), 2
    else:
        at_work(house, slot, APPROVALS)
        model, pin, number = "churn", by_run(house, 6), 6
    house.merge(pins({slot: pin}, model=model), approved_by=[GRACE])
    went_well(house.apply(), slot, model)
    house.merge(pins({slot: pin}, model=model, also="description: What it is for.\n"))
    went_well(house.apply(), slot, model)

    for named in (number, pin):
        house.merge(pins({slot: named}, model=model))
        done = house.apply()

        went_well(done, slot, model)
        assert done.kinds(model) == {}
    assert house.in_slot(model, slot) == (number,)


@pytest.mark.parametrize("origin", ["run", "copy"])
def test_what_was_in_by_its_origin_is_gone_back_to_by_its_number(house: House, origin: str) -> None:
    if origin == "copy":
        environments(house, policy=APPROVALS)
        model, pin, number, before = "prod.risk", copy_of(2), 2, 1
    else:
        at_work(house, policy=APPROVALS)
        model, pin, number, before = "churn", by_run(house, 6), 6, 4
    house.merge(pins({"Production": pin}, model=model), approved_by=[GRACE])
    went_well(house.apply(), model=model)
    house.merge(pins({"Production": before}, model=model))
    went_well(house.apply(), model=model)

    house.merge(pins({"Production": number}, model=model))
    done = house.apply()

    went_well(done, model=model)
    assert done.kinds(model) == {"Production": "rollback"}


def test_a_copy_that_waited_can_be_declared_by_its_number_and_approved_anew(house: House) -> None:
    environments(house, policy=APPROVALS)
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.copy_by_hand("staging.risk", 2, "prod.risk")

    house.merge(pins({"Production": 2}, model="prod.risk"), approved_by=[GRACE])

    went_well(house.apply(), model="prod.risk")


@pytest.mark.parametrize("governed", [False, True], ids=["first of all", "then"])
def test_what_was_approved_may_be_moved_and_edited_until_it_is_applied(house: House, governed: bool) -> None:
    """A model that we govern had its name by our record; of another, one version that nobody touched tells it."""
    house.push(policy=APPROVALS)
    house.push(pins({}))
    house.register("churn", 1)
    if governed:
        house.push(pins({"Staging": 1}))
        went_well(house.apply())
    else:
        house.register("churn", 1)
    number = len(house.versions_of("churn"))
    house.merge(pins({"Production": number}), approved_by=[GRACE])

    house.by_hand("churn", number, "Staging")
    house.describe("churn", number)

    went_well(house.apply())


def test_a_model_of_one_version_that_was_touched_after_its_approval_is_approved_again(house: House) -> None:
    house.push(policy=APPROVALS)
    house.push(pins({}))
    house.register("churn", 1)
    house.merge(pins({"Production": 1}), approved_by=[GRACE])
    house.describe("churn", 1)
    assert "approve again: every version of churn was moved, edited or renamed after" in house.apply().message

    house.approve(GRACE, house.forge.requests[-1])

    went_well(house.apply())


def test_an_original_of_a_pinned_run_may_be_moved_and_edited_until_it_is_copied(house: House) -> None:
    environments(house, policy=APPROVALS)
    pinned = copy_of(2).replace("2}", f"2, {by_run(house, 2, 'staging.risk')[1:-1]}}}")
    house.merge(pins({"Production": pinned}, model="prod.risk"), approved_by=[GRACE])
    for number in (1, 2):
        house.describe("staging.risk", number)

    went_well(house.apply(), model="prod.risk")
