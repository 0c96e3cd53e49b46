"""Nobody takes over what another repository governs, or another model was, by calling it their former name."""

from dataclasses import replace

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


def renamed(house: House, before: str, after: str, slot: str, version: int, also: str | None = None) -> None:
    house.rename_model(before, after)
    manifest = pins({slot: version}, model=after, also=f"formerly: {before}\n" if also is None else also)
    house.merge(manifest, files={f"manifests/{before}.yaml": None}, approved_by=[GRACE])


@SLOTS
def test_a_rule_that_names_a_model_still_holds_when_it_is_renamed(house: House, slot: str) -> None:
    at_work(house, slot, CHURN_ONLY)

    renamed(house, "churn", "free", slot, 6)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes(slot, "free")
    assert house.in_slot("free", slot) == (4,)


def test_who_stops_to_say_what_a_model_was_called_is_still_under_its_rules_and_the_review_says_so(house: House) -> None:
    at_work(house, policy=CHURN_ONLY)
    renamed(house, "churn", "free", "Production", 4)
    assert house.apply().exit_code == ExitCode.OK

    request = house.request(pins({"Production": 6}, model="free"))
    planned = house.plan(request)
    house.merge(request)
    done = house.apply()

    assert "removes former names" in planned.text
    assert {"path", "soak"} <= planned.noes(model="free") & done.noes(model="free")


@SLOTS
def test_no_version_comes_before_gates_by_a_name_that_none_guarded(house: House, slot: str) -> None:
    house.register("dev", 6)
    house.by_hand("dev", 4, slot)
    house.begin(RISK_ONLY, pins({slot: 4}, model="dev"))
    house.merge(pins({slot: 6}, model="dev"))
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "dev", "risk", slot, 6)
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


def test_a_hold_holds_under_a_new_name(house: House) -> None:
    at_work(house)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(
        pins({"Production": 5}, also="hold: {version: 4, reason: It leaks personal data.}\n"), approved_by=[GRACE]
    )
    assert house.apply().exit_code == ExitCode.OK

    renamed(house, "churn", "other", "Production", 4)
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
