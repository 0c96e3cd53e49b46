"""Nobody takes over what another repository governs, or another model was, by calling it their former name."""

from dataclasses import replace

import pytest

from reconciler.core.names import ModelRef, RepositoryId
from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, House
from tests.house.scenes import APPROVALS, GATES, SLOTS, at_work, pins


def test_a_former_name_counts_for_nothing_in_the_push_that_adds_it(house: House) -> None:
    at_work(house)
    formerly = f"formerly: '{house.name}'\n{GATES}"
    house.address = "acme.example/mallory"

    names, uses = house.request(policy=formerly), house.request(pins({"Production": 5}), title="Use it")
    house.approve(GRACE, uses)
    house.queue(names, uses)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn") == (4,)


def test_who_has_a_former_name_today_keeps_what_they_govern(house: House) -> None:
    at_work(house, models=("churn", "fraud"))
    house.merge(policy=f"formerly: acme.example/models\n{GATES}")
    house.apply()
    house.address = "acme.example/renamed"
    theirs = replace(house.owner_record("churn"), commit="2" * 40)
    for model in ("churn", "fraud"):
        house.put_owner_record(model, theirs)

    house.merge(pins({"Production": 5}), files={"manifests/fraud.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn") == (4,)
    assert house.owner_record("fraud") == theirs


def test_a_former_name_of_the_policy_lets_no_foreign_record_vouch_for_a_version(house: House) -> None:
    at_work(house)
    house.merge(policy=f"formerly: acme.example/models\n{GATES}")
    house.apply()
    house.address = "acme.example/renamed"

    house.forge_record("churn", 6, "Production", "2" * 40)
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.kinds() == {"Production": "new"}


CHURN_ONLY = GATES.replace("- slot", "- models: churn\n  slot")
RISK_ONLY = GATES.replace("- slot", "- models: risk*\n  slot")


BOTH_WAYS = pytest.mark.parametrize("by_plan", [False, True], ids=["by hand", "by a plan"])
"""Somebody renames the model in the registry, or leaves it to the plan."""


def renamed(
    house: House, before: str, after: str, slot: str, version: int, also: str | None = None, *, by_plan: bool = False
) -> None:
    if not by_plan:
        house.rename_model(before, after)
    manifest = pins({slot: version}, model=after, also=f"formerly: {before}\n" if also is None else also)
    house.merge(manifest, files={f"manifests/{before}.yaml": None}, approved_by=[GRACE])


@BOTH_WAYS
@SLOTS
def test_a_rule_that_names_a_model_still_holds_when_it_is_renamed(house: House, slot: str, *, by_plan: bool) -> None:
    at_work(house, slot, CHURN_ONLY)

    renamed(house, "churn", "free", slot, 6, by_plan=by_plan)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "free")
    assert house.in_slot("churn" if by_plan else "free", slot) == (4,)


@BOTH_WAYS
def test_who_stops_to_say_what_a_model_was_called_is_still_under_its_rules_and_the_review_says_so(
    house: House, *, by_plan: bool
) -> None:
    at_work(house, policy=CHURN_ONLY)
    renamed(house, "churn", "free", "Production", 4, by_plan=by_plan)
    assert house.apply().exit_code == ExitCode.OK

    request = house.request(pins({"Production": 6}, model="free"))
    planned = house.plan(request)
    house.merge(request)
    done = house.apply()

    assert "removes former names" in planned.text
    assert {"path", "soak"} <= planned.noes(model="free") & done.noes(model="free")


@BOTH_WAYS
@SLOTS
def test_no_version_comes_before_gates_by_a_name_that_none_guarded(house: House, slot: str, *, by_plan: bool) -> None:
    house.register("dev", 6)
    house.by_hand("dev", 4, slot)
    house.begin(RISK_ONLY, pins({slot: 4}, model="dev"))
    house.merge(pins({slot: 6}, model="dev"))
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "dev", "risk", slot, 6, by_plan=by_plan)
    done = house.apply()
    house.merge(pins({slot: 4}, model="risk", also="formerly: dev\n"))
    back = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "risk")
    assert back.kinds("risk") == {slot: "new"}


def test_nobody_takes_over_the_past_of_a_model_that_is_there(house: House) -> None:
    at_work(house, models=("churn", "mine"))
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    owner = house.owner_record("churn")

    claim = pins({"Production": 4}, model="other", also="formerly: churn\n")
    house.register("other", 6)
    house.put_record("other", 4, house.record_on("churn", 4))
    house.merge(claim, files={"manifests/churn.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("other") == ()
    assert (house.in_slot("churn"), house.owner_record("churn")) == ((5,), owner)


def test_another_model_under_the_name_that_one_was_to_get_has_none_of_its_past(house: House) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    kept = house.record_on("churn", 4)

    house.register("other", 6)
    house.put_record("other", 4, kept)
    house.delete_model("churn")
    claim = pins({"Production": 4}, model="other", also="formerly: churn\n")
    house.merge(claim, files={"manifests/churn.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.kinds("other") == {"Production": "new"}


def test_a_former_name_that_the_same_commit_does_not_give_up_brings_no_past(house: House) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.rename_model("churn", "other")
    house.merge(files={"manifests/churn.yaml": None}, approved_by=[GRACE])
    house.apply()
    house.merge(pins({"Production": 4}, model="other", also="formerly: churn\n"))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.kinds("other") == {"Production": "new"}


@SLOTS
def test_a_rename_that_the_manifests_keep_to_themselves_finds_nothing_in_place(house: House, slot: str) -> None:
    at_work(house, slot)
    house.by_hand("churn", 6, slot)

    renamed(house, "churn", "other", slot, 6, also="")
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "other")


def test_a_rename_is_no_way_to_other_owners(house: House) -> None:
    at_work(house)

    house.rename_model("churn", "other")
    house.merge(
        pins({"Production": 4}, model="other", owners=[MALLORY], also="formerly: churn\n"),
        files={"manifests/churn.yaml": None},
        by=MALLORY,
    )
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "decides about other (its owners)" in done.message


@BOTH_WAYS
def test_a_hold_holds_under_a_new_name(house: House, *, by_plan: bool) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(
        pins({"Production": 5}, also="hold: {version: 4, reason: It leaks personal data.}\n"), approved_by=[GRACE]
    )
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "churn", "other", "Production", 4, by_plan=by_plan)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "It leaks" in done.message


def test_owners_whom_nobody_approved_at_a_rename_do_not_stand_after_the_next_merge(house: House) -> None:
    at_work(house, policy=APPROVALS.replace("- slot", "- models: churn\n  slot"))
    house.rename_model("churn", "free")
    named = pins({"Production": 4}, model="free", owners=[MALLORY], also="formerly: churn\n")
    house.merge(named, files={"manifests/churn.yaml": None})
    assert house.apply().exit_code == ExitCode.BLOCKED

    house.merge(named.replace("Production: 4", "Production: 6"), approved_by=[MALLORY])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "edits who decides about free" in done.message
    assert house.in_slot("free") == (4,)


def test_a_model_that_this_branch_never_declared_is_not_renamed_by_a_record_that_anybody_can_write(
    house: House,
) -> None:
    at_work(house)
    house.register("payments", 3)
    house.by_hand("payments", 3, "Production")
    forged = replace(house.owner_record("churn"), model=ModelRef("payments"))
    house.put_owner_record("payments", forged)

    house.merge(pins({"Production": 3}, model="mine", also="formerly: payments\n"), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "no commit of this branch declared payments" in done.message
    assert house.in_slot("payments") == (3,)


def test_a_model_that_nobody_or_somebody_else_governs_is_not_renamed(house: House) -> None:
    at_work(house, models=("churn", "fraud"))
    house.put_owner_record("fraud", replace(house.owner_record("fraud"), repository=RepositoryId("acme.example/fraud")))
    house.delete_owner_record("churn")

    for name in ("churn", "fraud"):
        manifest = pins({"Production": 4}, model=f"{name}-eu", also=f"formerly: {name}\n")
        house.merge(manifest, files={f"manifests/{name}.yaml": None}, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.message.count("does not govern") == 2
    assert house.registry.names() == ("churn", "fraud")


@SLOTS
def test_a_rename_brings_nothing_into_a_guarded_slot_that_no_manifest_declares(house: House, slot: str) -> None:
    house.register("dev", 6)
    house.by_hand("dev", 4, "Staging")
    house.begin(RISK_ONLY, pins({"Staging": 4}, model="dev"))
    house.by_hand("dev", 6, slot)

    renamed(house, "dev", "risk", "Staging", 4, by_plan=True)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "risk")
    assert house.registry.names() == ("dev",)


@SLOTS
def test_what_leaves_a_slot_by_the_change_that_renames_its_model_meets_the_gates_all_the_same(
    house: House, slot: str
) -> None:
    house.register("dev", 6)
    house.by_hand("dev", 6, slot)
    house.begin(RISK_ONLY, pins({slot: 6}, model="dev"))

    house.merge(
        pins({slot: "[]" if slot == "Production" else None}, model="risk", also="formerly: dev\n"),
        files={"manifests/dev.yaml": None},
        approved_by=[GRACE],
    )
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "risk")
    assert house.in_slot("dev", slot) == (6,)


def test_a_rename_puts_back_nothing_unseen(house: House) -> None:
    at_work(house)
    house.by_hand("churn", 6, "Production")

    renamed(house, "churn", "other", "Production", 4, by_plan=True)
    unseen, calls = house.apply(), len(house.registry.calls)
    done = house.apply(restore=["other"])

    assert (unseen.exit_code, calls) == (ExitCode.BLOCKED, 0)
    assert "somebody changed that by hand" in unseen.message
    assert done.exit_code == ExitCode.OK, done.message
    assert (house.registry.names(), house.in_slot("other")) == (("other",), (4,))
