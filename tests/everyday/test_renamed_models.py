"""A registered model that gets another name goes on: what it was is still known, and nothing is asked anew."""

from dataclasses import replace

import pytest

from reconciler.core.changes import Claim, RenameModel
from reconciler.core.drift import DriftStatus
from reconciler.core.names import ModelRef
from reconciler.core.snapshot import Ownership
from reconciler.errors import ExitCode, RegistryError
from reconciler.ports import UNREACHABLE, Tries
from tests.house import GRACE, House, Request
from tests.house.scenes import APPROVALS, GATES, SLOTS, at_work, pins

NEW = "churn-eu"


BOTH_WAYS = pytest.mark.parametrize("by_plan", [False, True], ids=["by hand", "by a plan"])
"""Somebody renames the model in the registry, or leaves it to the plan."""


def renamed(house: House, slot: str, version: int, policy: str | None = None, *, by_plan: bool = False) -> Request:
    """The model is renamed in the registry, or is to be, and the manifests say so."""
    if not by_plan:
        house.rename_model("churn", NEW)
    manifest = pins({slot: version}, model=NEW, also="formerly: churn\n")
    return house.merge(manifest, files={"manifests/churn.yaml": None}, policy=policy, approved_by=[GRACE])


@BOTH_WAYS
@SLOTS
def test_a_renamed_model_goes_on_and_every_way_of_it_works(house: House, slot: str, *, by_plan: bool) -> None:
    at_work(house, slot)

    renamed(house, slot, 4, by_plan=by_plan)
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


@BOTH_WAYS
@SLOTS
def test_what_a_model_held_under_its_former_name_is_a_rollback(house: House, slot: str, *, by_plan: bool) -> None:
    at_work(house, slot)
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, slot, 5, by_plan=by_plan)
    first = house.apply()
    house.merge(pins({slot: 4}, model=NEW, also="formerly: churn\n"))
    done = house.apply()

    assert first.exit_code == ExitCode.OK, f"{first.message}\n{first.sentences(slot, NEW)}"
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, NEW)}"
    assert done.kinds(NEW) == {slot: "rollback"}


@BOTH_WAYS
def test_a_rule_that_names_the_model_can_follow_its_name(house: House, *, by_plan: bool) -> None:
    old, new = (GATES.replace("- slot", f"- models: {name}\n  slot") for name in ("churn", NEW))
    at_work(house, policy=old)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "Production", 5, by_plan=by_plan)
    first = house.apply()
    house.merge(policy=new)
    second = house.apply()
    house.merge(pins({"Production": 4}, model=NEW))
    done = house.apply()

    for one in (first, second, done):
        assert one.exit_code == ExitCode.OK, f"{one.message}\n{one.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (4,)


@BOTH_WAYS
def test_a_renamed_model_that_somebody_moved_is_put_back(house: House, *, by_plan: bool) -> None:
    at_work(house)
    renamed(house, "Production", 4, by_plan=by_plan)
    assert house.apply().exit_code == ExitCode.OK

    house.by_hand(NEW, 6, "Production")
    drift = house.drift_of(NEW)
    done = house.apply(restore=[NEW])

    assert drift is DriftStatus.DRIFTED
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (4,)


def test_the_plan_renames_the_model_first_and_the_review_says_who_finds_nothing_then(house: House) -> None:
    at_work(house, ("Production", "@champion"))
    manifest = pins({"Production": 4, "@champion": 4}, model=NEW, also="formerly: churn\n")

    request = house.request(manifest, files={"manifests/churn.yaml": None})
    planned = house.plan(request)
    house.merge(request, approved_by=[GRACE])
    house.registry.calls.clear()
    done = house.apply()

    assert planned.plan is not None
    assert planned.plan.changes[0] == RenameModel(ModelRef(NEW), ModelRef("churn"))
    assert planned.review is not None
    assert planned.review.base is not None
    assert planned.review.base.pending == ()
    assert "rename  churn -> churn-eu; models:/churn/… finds nothing from then on" in planned.text
    assert "This renames churn -> churn-eu: whoever looks a model up by its former name" in planned.text
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert [type(change) for change in house.registry.calls] == [RenameModel, Claim]
    assert house.registry.names() == (NEW,)
    assert (house.in_slot(NEW), house.in_slot(NEW, "@champion")) == ((4,), (4,))
    assert house.owner_record(NEW).model == NEW
    assert house.apply().exit_code == ExitCode.OK
    assert house.registry.calls[2:] == []


def test_a_rename_that_waits_is_pending_and_no_drift(house: House) -> None:
    at_work(house)

    renamed(house, "Production", 5, by_plan=True)

    assert house.drift_of(NEW) is DriftStatus.PENDING


@SLOTS
@pytest.mark.parametrize("calls", range(4))
def test_an_apply_that_breaks_off_in_the_middle_of_a_rename_is_finished_by_the_next(
    house: House, slot: str, calls: int
) -> None:
    at_work(house, slot, APPROVALS)
    renamed(house, slot, 5, by_plan=True)

    house.apply(killed_after=calls)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, NEW)}"
    assert sum(isinstance(change, RenameModel) for change in house.registry.calls) == 1
    assert house.registry.names() == (NEW,)
    assert house.in_slot(NEW, slot) == (5,)
    assert house.drift_of(NEW) is DriftStatus.IN_SYNC


def test_a_rename_whose_answer_got_lost_is_made_once(house: House) -> None:
    at_work(house, policy=APPROVALS)
    renamed(house, "Production", 5, by_plan=True)
    follow, house.registry.tries = house.registry.renamed, Tries(3)

    def lose(before: ModelRef, after: ModelRef) -> None:
        house.registry.renamed = follow
        follow(before, after)
        raise RegistryError(UNREACHABLE, "The connection was reset.")

    house.registry.renamed = lose
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert sum(isinstance(change, RenameModel) for change in house.registry.calls) == 1
    assert (house.registry.names(), house.in_slot(NEW)) == ((NEW,), (5,))


def test_who_moves_a_version_in_the_moment_of_the_rename_is_not_followed(house: House) -> None:
    at_work(house, policy=APPROVALS)
    renamed(house, "Production", 5, by_plan=True)
    follow = house.registry.renamed

    def meddle(before: ModelRef, after: ModelRef) -> None:
        follow(before, after)
        house.registry.move(after, 6, "Production")

    house.registry.renamed = meddle
    done = house.apply()

    assert done.exit_code == ExitCode.ERROR
    assert "is not what was planned: plan and apply again" in done.message
    assert house.in_slot(NEW) == (6,)


@BOTH_WAYS
def test_a_model_that_is_renamed_twice_is_still_itself(house: House, *, by_plan: bool) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    renamed(house, "Production", 5, by_plan=by_plan)
    assert house.apply().exit_code == ExitCode.OK

    if not by_plan:
        house.rename_model(NEW, "churn-us")
    manifest = pins({"Production": 4}, model="churn-us", also=f"formerly: [{NEW}, churn]\n")
    house.merge(manifest, files={f"manifests/{NEW}.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='churn-us')}"
    assert done.kinds("churn-us") == {"Production": "rollback"}


@BOTH_WAYS
@SLOTS
def test_a_model_may_be_renamed_and_promoted_by_one_change_that_its_owners_approved(
    house: House, slot: str, *, by_plan: bool
) -> None:
    at_work(house, slot, APPROVALS)

    renamed(house, slot, 5, by_plan=by_plan)
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


def to_be_renamed(house: House, before: str, after: str, version: int, formerly: str = "") -> Request:
    """The manifests say that a model is to have another name."""
    manifest = pins({"Production": version}, model=after, also=f"formerly: [{formerly or before}]\n")
    return house.merge(manifest, files={f"manifests/{before}.yaml": None}, approved_by=[GRACE])


def test_a_promotion_and_a_rename_that_were_both_approved_go_through_in_one_run(signing_house: House) -> None:
    house = signing_house
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    to_be_renamed(house, "churn", NEW, 6)

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert house.in_slot(NEW) == (6,)


def test_two_renames_that_come_in_one_run_give_up_nothing(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    to_be_renamed(house, "churn", "churn-us", 4)
    to_be_renamed(house, "churn-us", NEW, 4)

    blocked = house.apply()
    kept = house.owner_record("churn")
    house.merge(pins({"Production": 4}, model=NEW, also="formerly: [churn-us, churn]\n"))
    done = house.apply()

    assert blocked.exit_code == ExitCode.BLOCKED
    assert f"Add churn to `formerly` of {NEW}" in blocked.message
    assert isinstance(kept, Ownership)
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model=NEW)}"
    assert (house.registry.names(), house.in_slot(NEW)) == ((NEW,), (4,))


def test_the_revert_of_a_rename_gives_up_nothing(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    rename = to_be_renamed(house, "churn", NEW, 4)
    assert house.apply().exit_code == ExitCode.OK

    undo = house.revert(rename, approved_by=[GRACE])
    blocked = house.apply()
    drift, kept = house.drift_of(NEW), house.owner_record(NEW)
    house.revert(undo, approved_by=[GRACE])
    again = house.apply()
    to_be_renamed(house, NEW, "churn", 4)
    done = house.apply()

    assert blocked.exit_code == ExitCode.BLOCKED
    assert f"Declare it as {NEW} again" in blocked.message
    assert drift is DriftStatus.DRIFTED
    assert isinstance(kept, Ownership)
    for one, name in ((again, NEW), (done, "churn")):
        assert one.exit_code == ExitCode.OK, f"{one.message}\n{one.sentences(model=name)}"
    assert (house.registry.names(), house.in_slot("churn")) == (("churn",), (4,))


def test_a_model_that_was_renamed_once_can_be_given_up(signing_house: House) -> None:
    house = signing_house
    at_work(house)
    to_be_renamed(house, "churn", NEW, 4)
    assert house.apply().exit_code == ExitCode.OK

    house.merge(files={f"manifests/{NEW}.yaml": None, "notes.md": "No model is left.\n"}, approved_by=[GRACE])
    done = house.apply(allow_empty=True)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.owner_record(NEW) is None
