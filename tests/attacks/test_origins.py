"""
What was declared by what it is made of: several versions may say that they are of one run, or copies of one version,
and a name may be another model's by now.
"""

from typing import Any

import pytest

from reconciler.core.names import ModelRef, Original, Version
from reconciler.core.snapshot import source_digest
from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, Done, House, Trigger, Way
from tests.house.scenes import APPROVALS, GATES, SLOTS, at_work, copy_of, environments, improving_by, pins, promote_copy


def run_of(house: House, model: str, number: int) -> str:
    return house.registry.models[ModelRef(model)].versions[Version(number)].run_id


def again(house: House, number: int = 2, **more: Any) -> int:
    """Somebody makes one more version that says it is a copy of staging.risk's, with other files."""
    first = Original(ModelRef("staging.risk"), Version(number))
    run = more.pop("run", run_of(house, first.model, number))
    return house.register("prod.risk", run=run, source=source_digest(first.uri), original=first, **more)


def refused(done: Done, house: House, slot: str = "Production", model: str = "churn", stays: int = 4) -> None:
    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert house.in_slot(model, slot) == (stays,)


def went_well(done: Done, slot: str = "Production", model: str = "churn") -> None:
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, model)}"


@SLOTS
@pytest.mark.parametrize("pinned", [False, True], ids=["by its number", "by its run too"])
def test_an_approval_of_a_copy_is_none_of_another_version_that_says_it_is_one(
    signing_house: House, slot: str, pinned: bool
) -> None:
    house = signing_house
    environments(house, slot, APPROVALS)
    house.copy_by_hand("staging.risk", 2, "prod.risk")
    evil, run = again(house), run_of(house, "staging.risk", 2)
    pin = copy_of(2).replace("2}", f"2, run_id: {run}}}") if pinned else copy_of(2)
    house.merge(pins({slot: pin}, model="prod.risk"), approved_by=[GRACE])
    went_well(house.apply(), slot, "prod.risk")

    house.merge(pins({slot: evil}, model="prod.risk"), by=MALLORY)

    refused(house.apply(), house, slot, "prod.risk", stays=2)


def test_an_approval_of_a_run_is_none_of_a_number_that_says_it_is_of_it(signing_house: House) -> None:
    house = signing_house
    at_work(house, policy=APPROVALS)
    run = run_of(house, "churn", 5)
    request = house.request(pins({"Production": f"{{run_id: {run}}}"}))
    evil = house.register("churn", run=run)
    house.approve(GRACE, request)
    house.merge(request)
    refused(house.apply(), house)

    house.merge(pins({"Production": evil}), by=MALLORY)

    refused(house.apply(), house)


@pytest.mark.parametrize("origin", ["run", "copy"])
def test_what_says_it_is_of_an_origin_that_was_declared_first_is_not_found_in_an_alias(
    signing_house: House, origin: str
) -> None:
    house, copied = signing_house, origin == "copy"
    model = "prod.risk" if copied else "churn"
    if copied:
        house.register("staging.risk", 2)
        house.copy_by_hand("staging.risk", 2, model)
        pin = copy_of(2)
    else:
        house.register(model)
        pin = f"{{run_id: {run_of(house, model, 1)}}}"
    house.by_hand(model, 1, "@champion")
    house.begin(GATES, pins({"@champion": pin}, model=model))
    house.clock.later(days=9)

    evil = again(house) if copied else house.register(model, run=run_of(house, model, 1))
    house.by_hand(model, evil, "@champion")
    house.merge(pins({"@champion": evil}, model=model), by=MALLORY)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes("@champion", model)


@pytest.mark.parametrize("origin", ["run", "copy"])
def test_nobody_chooses_whom_a_version_is_compared_with_by_registering_one_more_of_an_origin(
    signing_house: House, origin: str
) -> None:
    house = signing_house
    if origin == "copy":
        environments(house, policy=improving_by(0.01))
        promote_copy(house)
        assert house.apply().exit_code == ExitCode.OK
        house.register("staging.risk", f1=0.5)
        again(house, run="f" * 32, f1=0.1)
        house.merge(pins({"Production": copy_of(3)}, model="prod.risk"))
    else:
        at_work(house, policy=improving_by(0.01))
        run = run_of(house, "churn", 5)
        house.merge(pins({"Production": f"{{run_id: {run}}}"}))
        assert house.apply().exit_code == ExitCode.OK
        house.register("churn", run=run, f1=0.1)
        house.merge(pins({"Production": house.register("churn", f1=0.5)}))
    model, stays = ("prod.risk", 2) if origin == "copy" else ("churn", 5)

    refused(house.apply(), house, model=model, stays=stays)


def test_an_impostor_of_a_copy_that_was_in_is_no_way_back(plain_house: House) -> None:
    house = plain_house
    environments(house, policy=APPROVALS)
    first = house.merge(pins({"Production": copy_of(2)}, model="prod.risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1}, model="prod.risk"))
    assert house.apply().exit_code == ExitCode.OK

    evil = again(house)
    house.forge_record("prod.risk", evil, "Production", str(first.merged), like_ours=True)
    house.merge(pins({"Production": evil}, model="prod.risk"), by=MALLORY)

    refused(house.apply(), house, model="prod.risk", stays=1)


# Names of models that somebody trades after an approval.


@pytest.mark.parametrize("pinned", [False, True], ids=["by its number", "by its run too"])
def test_an_approval_of_a_number_is_none_of_what_has_the_models_name_now(signing_house: House, pinned: bool) -> None:
    house = signing_house
    at_work(house, policy=APPROVALS)
    run = run_of(house, "churn", 6)
    house.register("evil", 6, run=run)
    pin = f"{{version: 6, run_id: {run}}}" if pinned else 6
    house.merge(pins({"Production": pin}), approved_by=[GRACE])

    house.rename_model("churn", "aside")
    house.rename_model("evil", "churn")
    house.delete_owner_record("aside")
    house.apply()

    assert house.in_slot("churn") == ()


def test_an_approval_of_a_copy_with_its_run_is_none_of_a_version_that_says_it_is_of_that_run(
    signing_house: House,
) -> None:
    house = signing_house
    environments(house, policy=APPROVALS)
    run = run_of(house, "staging.risk", 2)
    house.register("evil.risk", 2, run=run)
    pin = copy_of(2).replace("2}", f"2, run_id: {run}}}")
    house.merge(pins({"Production": pin}, model="prod.risk"), approved_by=[GRACE])

    house.rename_model("staging.risk", "aside")
    house.rename_model("evil.risk", "staging.risk")
    house.apply()

    assert house.in_slot("prod.risk") == (1,)


def test_a_commit_of_next_year_does_not_hide_that_an_original_was_renamed_after_it(signing_house: House) -> None:
    house = signing_house
    house.way = Way.FAST_FORWARD
    house.register("evil.risk", 2)
    house.by_hand("evil.risk", 2, "Staging")
    gate = "path: {from: Staging, model: staging.risk}"
    environments(house, policy=f'slots:\n- slot: Production\n  models: ["prod.*"]\n  gates:\n  - {gate}\n')
    with house.clock.ahead(days=300):
        request = house.request(pins({"Production": copy_of(2)}, model="prod.risk"), by=MALLORY)
    house.merge(request)
    house.clock.later(minutes=10)

    house.rename_model("staging.risk", "aside")
    house.rename_model("evil.risk", "staging.risk")
    house.apply(Trigger.SCHEDULE)

    assert house.in_slot("prod.risk") == (1,)


def test_a_look_alike_of_a_declared_model_is_no_original_unsaid(signing_house: House) -> None:
    house = signing_house
    environments(house, policy=APPROVALS)
    house.register("st\u0251ging.risk", 2)

    house.request(pins({"Production": copy_of(2, "st\u0251ging.risk")}, model="prod.risk"))

    assert "looks like" in house.plan().text


def test_a_path_that_was_walked_under_another_name_is_none_though_the_run_is_pinned(signing_house: House) -> None:
    house, gate = signing_house, "path: {from: Staging, model: staging.risk}"
    environments(house, policy=f'slots:\n- slot: Production\n  models: ["prod.*"]\n  gates:\n  - {gate}\n')
    run = run_of(house, "staging.risk", 2)
    house.register("evil.risk", 2, run=run)
    house.by_hand("evil.risk", 2, "Staging")
    house.by_hand("staging.risk", 2, "None")
    house.merge(pins({"Production": copy_of(2).replace("2}", f"2, run_id: {run}}}")}, model="prod.risk"))
    house.clock.later(minutes=10)

    house.rename_model("staging.risk", "aside")
    house.rename_model("evil.risk", "staging.risk")
    done = house.apply()

    assert done.noes(model="prod.risk") == {"path"}
    assert "another model may have its name now" in done.sentences(model="prod.risk")


def test_what_says_that_a_model_had_its_name_is_signed_where_anything_is(signing_house: House) -> None:
    """A record of before signers were named needs no signature, and anybody can write one that names such a commit."""
    house = signing_house
    house.push(files={"notes/1.md": "Nobody signs yet.\n"})
    unsigned = house.main
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(APPROVALS, pins({"Production": 1}))
    house.register("evil", 2)
    house.merge(pins({"Production": 2}), approved_by=[GRACE])

    house.rename_model("churn", "aside")
    house.rename_model("evil", "churn")
    house.delete_owner_record("aside")
    house.forge_record("churn", 1, "Staging", unsigned, like_ours=True)
    house.apply()

    assert house.in_slot("churn") == ()
