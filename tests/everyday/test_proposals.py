"""`promote`, `demote` and `rollback` where versions are declared by what they are made of, and not by their numbers."""

import json
from collections.abc import Callable

import pytest
import yaml

from reconciler.core.names import ModelRef, Version
from reconciler.core.slot_map import SlotMap
from reconciler.errors import ReconcilerError
from reconciler.project import Proposal
from tests.attacks.test_stage_aliases import ALONE, BOTH, working
from tests.everyday.test_origins import by_run, went_well
from tests.house import GRACE, House
from tests.house.scenes import NO_RULES, at_work, between, copy_of, environments, from_dev, pins

Spelled = Callable[[int], str]


def copies_between(house: House, slot: str = "Production") -> tuple[str, Spelled]:
    dev = between(house, slot, NO_RULES)
    dev.register("risk", 2)
    return "risk", from_dev


def copies(house: House, slot: str = "Production") -> tuple[str, Spelled]:
    environments(house, slot, NO_RULES)
    house.register("staging.risk", 2)
    return "prod.risk", copy_of


def runs(house: House, slot: str = "Production") -> tuple[str, Spelled]:
    at_work(house, slot, NO_RULES)
    return "churn", lambda number: by_run(house, number)


WAYS = pytest.mark.parametrize(
    ("begin", "slot"),
    [(copies_between, "Production"), (copies_between, "@champion"), (copies, "@champion"), (runs, "Production")],
)


def declared_by(proposal: Proposal, slot: str = "Production") -> str:
    """What the changed file declares for a slot, on one line as scenes write it."""
    (file,) = proposal.whole.files
    read = yaml.safe_load(file.data)
    value = read["aliases"][slot[1:]] if slot.startswith("@") else read["stages"][slot]
    return str(value) if isinstance(value, int) else json.dumps(value).replace('"', "")


def declare(house: House, model: str, slot: str, *pinned: str | int) -> None:
    for pin in pinned:
        house.merge(pins({slot: pin}, model=model), approved_by=[GRACE])
        went_well(house.apply(), slot, model)


@WAYS
def test_a_rollback_writes_back_what_was_declared_before_as_it_was_declared(
    house: House, begin: Callable[[House, str], tuple[str, Spelled]], slot: str
) -> None:
    model, spelled = begin(house, slot)
    (first,) = house.in_slot(model, slot)
    declare(house, model, slot, spelled(3))
    (before,) = house.in_slot(model, slot)
    declare(house, model, slot, spelled(2))
    (after,) = house.in_slot(model, slot)

    back = house.rollback(model, to=slot)

    assert declared_by(back, slot) == spelled(3)
    assert back.whole.title == f"Roll back {model} to v{before} {'to' if slot == '@champion' else 'in'} {slot}"
    assert back.whole.notes[0].startswith(f"v{after}, which is declared as the ")
    house.accept(back)
    done = house.apply()
    went_well(done, slot, model)
    assert (done.kinds(model), house.in_slot(model, slot)) == ({slot: "rollback"}, (before,))
    # What was rolled back from is not gone forward to.
    assert declared_by(house.rollback(model, to=slot), slot).startswith(f"{{version: {first}")


@pytest.mark.parametrize(
    ("slots", "where"), [(BOTH, "in Production"), (ALONE, "to @champion")], ids=["both", "aliases alone"]
)
def test_so_it_does_in_a_stage_that_an_alias_stands_for(signing_house: House, slots: SlotMap, where: str) -> None:
    house = signing_house
    working(house, slots, NO_RULES)
    house.register("other", 2)
    declare(house, "churn", "Production", copy_of(1, "other"), copy_of(2, "other"))

    back = house.rollback("churn")

    assert (back.whole.title, declared_by(back)) == (f"Roll back churn to v7 {where}", copy_of(1, "other"))


def test_a_copy_that_was_never_made_is_left_behind_by_a_rollback_and_by_a_demotion(signing_house: House) -> None:
    house = signing_house
    model, spelled = copies_between(house)
    house.merge(pins({"Production": spelled(2)}, model=model), approved_by=[GRACE])

    back, left = house.rollback(model), house.demote(model)

    assert (back.whole.title, declared_by(back)) == ("Roll back risk to v1 in Production", "{version: 1}")
    assert left.whole.title == "Demote risk, the copy of v2 of dev/risk, from Production"
    assert declared_by(left) == "[]"


def test_what_never_came_in_is_not_gone_back_to(signing_house: House) -> None:
    house = signing_house
    model, spelled = copies_between(house)
    house.merge(pins({"Production": spelled(3)}, model=model))
    declare(house, model, "Production", spelled(2))

    assert house.rollback(model).whole.title == "Roll back risk to v1 in Production"
    house.delete_version(model, 1)
    with pytest.raises(ReconcilerError) as refused:
        house.rollback(model)

    assert str(refused.value) == (
        "risk has nothing to go back to in Production: the version from v3 of dev/risk never came in, or is not in the "
        "registry anymore; v1 is not in the registry anymore. Name one with `version`."
    )


def test_a_copy_comes_back_by_its_number_where_its_original_is_another_version_now(signing_house: House) -> None:
    house = signing_house
    dev = between(house, policy=NO_RULES)
    dev.register("risk", 1)
    declare(house, "risk", "Production", from_dev(2), from_dev(3))
    dev.delete_model("risk")
    dev.register("risk", 2)

    back = house.rollback("risk")

    assert declared_by(back) == "{version: 2}"


def test_a_copy_comes_back_as_it_was_declared_while_its_original_cannot_be_asked_about(signing_house: House) -> None:
    house = signing_house
    dev = between(house, policy=NO_RULES)
    dev.register("risk", 1)
    declare(house, "risk", "Production", from_dev(2), from_dev(3))
    dev.is_down = True

    back = house.rollback("risk")

    assert declared_by(back) == from_dev(2)
    house.accept(back)
    went_well(house.apply(), model="risk")
    assert house.in_slot("risk") == (2,)


def test_a_copy_is_demoted_whichever_run_its_original_is_pinned_to(signing_house: House) -> None:
    house = signing_house
    dev = between(house, policy=NO_RULES)
    run_id = dev.registry.models[ModelRef("risk")].versions[Version(2)].run_id
    declare(house, "risk", "Production", from_dev(2).replace("2}}", f"2, run_id: {run_id}}}}}"))
    own = house.registry.models[ModelRef("risk")].versions[Version(2)].run_id

    left = house.demote("risk", to="Staging")

    assert left.whole.title == "Demote risk v2 from Production to Staging"
    assert left.whole.notes == ("v2, which is declared as the copy of v2 of dev/risk, leaves.",)
    assert (declared_by(left), declared_by(left, "Staging")) == ("[]", f"{{version: 2, run_id: {own}}}")


def test_a_promotion_in_the_place_of_a_copy_says_which_version_that_is(signing_house: House) -> None:
    house = signing_house
    model, spelled = copies(house)
    declare(house, model, "Production", spelled(2))

    other, same = house.promote(model, 1), house.promote(model, 2)

    assert other.whole.notes == ("v2, which is declared as the copy of v2 of staging.risk, makes way for v1.",)
    assert (same.changed, same.whole.notes) == (False, ())


def test_a_rollback_passes_over_what_is_held_however_far_back_that_leads(signing_house: House) -> None:
    house = signing_house
    at_work(house, policy=NO_RULES)
    declare(house, "churn", "Production", 5, 6, 3)
    held = "hold:\n- {version: 5, reason: It leaks names}\n- {version: 6, reason: It leaks names}\n"
    house.merge(pins({"Production": 3}, also=held))

    assert house.rollback("churn").whole.title == "Roll back churn to v4 in Production"
