"""Several registries of one policy: none gets away from its rules by another name, folder, or both."""

import pytest

from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, Done, House
from tests.house.scenes import APPROVALS, NO_RULES, SOAK, at_work, improving_by, pins

SEVERAL = "registries:\n  prod: {manifests: manifests}\n  dev: {manifests: dev}\n"
OF_PROD = SOAK.replace("- slot", "- registries: prod\n  slot")
MOVED = "formerly: [acme.example/models#manifests]\n"


def refused(done: Done, house: House, slot: str = "Production", model: str = "churn", stays: int = 4) -> None:
    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert house.in_slot(model, slot) == (stays,)


def of_several(house: House) -> None:
    house.named = "prod"
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.begin(SEVERAL + OF_PROD, pins({"Production": 4}))
    house.clock.later(days=4)


def next_merges(house: House, manifests: str) -> Done:
    """Whatever is merged later, as often as it takes for a former name to count."""

    def next_merge(number: int) -> Done:
        house.merge(files={f"notes/{number}.md": "A note\n"})
        return house.apply(manifests=manifests)

    next_merge(0)
    return next_merge(1)


def test_registries_that_trade_their_names_do_not_trade_their_rules(signing_house: House) -> None:
    house = signing_house
    of_several(house)
    traded = "registries:\n  dev: {manifests: manifests}\n  prod: {manifests: dev}\n"
    house.merge(pins({"Production": 6}), policy=traded + OF_PROD, by=MALLORY)
    refused(house.apply(), house)

    house.named = "dev"

    refused(next_merges(house, "manifests"), house)


@pytest.mark.parametrize("before", ["one", "several"])
def test_a_registry_that_gets_a_name_and_a_folder_keeps_its_rules_for_the_pins_that_come_with_them(
    signing_house: House, before: str
) -> None:
    house = signing_house
    if before == "several":
        of_several(house)
    else:
        at_work(house, policy=SOAK)
    gone = {"manifests/churn.yaml": None}
    policy = f"registries: {{live: {{manifests: live}}}}\n{MOVED}{NO_RULES}"
    house.merge(pins({"Production": 6}), files=gone, into="live", policy=policy, by=MALLORY)
    house.apply()

    house.named = "live"

    refused(next_merges(house, "live"), house)


def test_owners_whom_nobody_approved_do_not_count_because_a_registry_got_a_name_and_a_folder(
    signing_house: House,
) -> None:
    house = signing_house
    at_work(house, policy=APPROVALS)
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    policy = f"registries: {{live: {{manifests: live}}}}\n{MOVED}{APPROVALS}"
    gone = {"manifests/churn.yaml": None}
    house.merge(pins({"Production": 5}, owners=[MALLORY]), files=gone, into="live", policy=policy, by=MALLORY)
    house.apply()
    house.named = "live"
    next_merges(house, "live")

    house.merge(pins({"Production": 6}, owners=[MALLORY]), into="live", approved_by=[MALLORY])

    refused(house.apply(manifests="live"), house, stays=5)


def test_what_was_moved_by_hand_behind_a_rule_is_not_found_because_the_registry_got_another_name(
    signing_house: House,
) -> None:
    house = signing_house
    house.register("fraud", 6)
    of_several(house)
    house.by_hand("fraud", 6, "Production")
    policy = SEVERAL.replace("prod: {manifests: manifests}", "live: {manifests: live}") + OF_PROD.replace(
        "prod", "live"
    )
    files = {"manifests/churn.yaml": None, "live/churn.yaml": pins({"Production": 4})}
    house.merge(files=files, policy=policy)
    house.apply()
    house.named = "live"

    house.merge(pins({"Production": 6}, model="fraud"), into="live", by=MALLORY)
    done = house.apply(manifests="live")

    assert done.kinds("fraud") == {"Production": "new"}


def test_a_version_is_not_compared_with_one_that_another_folder_declares_for_another_registry(
    signing_house: House,
) -> None:
    house = signing_house
    house.named = "prod"
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.begin(SEVERAL + improving_by(0.01), pins({"Production": 4}))
    house.merge(pins({"Production": 1}), into="dev", by=MALLORY)
    house.apply()

    house.describe("churn", 1)
    house.by_hand("churn", 3, "Production")
    house.merge(pins({"Production": 3}), by=MALLORY)
    done = house.apply()

    assert (done.exit_code, done.noes()) == (ExitCode.BLOCKED, {"metric"}), done.sentences()


HELD = "hold: {slot: Production, version: 6, reason: It leaks personal data.}\n"


@pytest.mark.parametrize("after", ["several", "one"])
def test_a_hold_is_not_lost_on_the_way_to_another_folder(signing_house: House, after: str) -> None:
    house = signing_house
    at_work(house, policy=NO_RULES)
    house.merge(pins({"Production": 4}, also=HELD), policy=MOVED)
    house.apply()
    policy = "registries: {live: {manifests: live}}\n" if after == "several" else "manifests: live\n"
    gone = {"manifests/churn.yaml": None}
    house.merge(pins({"Production": 6}), files=gone, into="live", policy=policy + MOVED, by=MALLORY)
    house.apply()

    house.named = "live" if after == "several" else ""

    refused(next_merges(house, "live"), house)
