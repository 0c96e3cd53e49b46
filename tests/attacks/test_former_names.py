"""Nobody takes over what another repository governs, or another model was, by calling it their former name."""

from dataclasses import replace

from reconciler.errors import ExitCode
from tests.house import GRACE, House
from tests.house.scenes import GATES, at_work, pins


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
