"""An alias that stands for a stage is no way past the gates of that stage, nor a stage past those of its alias."""

from dataclasses import replace

import pytest

from reconciler.core.names import AliasName, ModelRef
from reconciler.core.slot_map import PLAIN, SlotMap, StageAlias
from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, Done, House
from tests.house.scenes import APPROVALS, TRIED, at_least, at_work, pins
from tests.house.scenes import GATES as PATTERNS

BOTH = SlotMap((StageAlias("Production", AliasName("champion")), StageAlias("Canary", AliasName("canary"))))
ALONE = SlotMap(BOTH.stages, aliases_only=True)
STAGES = "stages: {Production: champion, Canary: canary}\n"
GATES = """\
slots:
- slot: [Production, Canary]
  gates:
  - path: {from: Staging}
  - metric: {name: f1, min-absolute-change: 0.01}
  - approvals: {count: 1, of: owners}
"""


def aliases(house: House) -> dict[str, int]:
    return {str(alias): int(named) for alias, named in house.registry.models[ModelRef("churn")].aliases.items()}


def working(house: House, slots: SlotMap, gates: str = GATES) -> None:
    """v4 is in Production and @champion, v5 in Staging, and v6 was never anywhere."""
    at_work(house, ("Production", "@champion"), f"{'mode: alias' if slots is ALONE else 'mode: both'}\n{STAGES}{gates}")
    house.slots = slots
    # What named them apart so far is one declaration now.
    house.merge(pins({"Production": 4}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK


@pytest.mark.parametrize("slots", [BOTH, ALONE], ids=["both", "aliases alone"])
def test_a_version_that_the_gates_of_a_stage_refuse_enters_neither_it_nor_its_alias(
    house: House, slots: SlotMap
) -> None:
    working(house, slots)

    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path"} <= (done.noes("Production") if slots is BOTH else done.noes("@champion"))
    assert aliases(house) == {"champion": 4}


@pytest.mark.parametrize("slots", [BOTH, ALONE], ids=["both", "aliases alone"])
def test_an_alias_that_was_moved_by_hand_passes_no_gate_of_its_stage(house: House, slots: SlotMap) -> None:
    working(house, slots)

    house.by_hand("churn", 6, "@champion")
    house.merge(pins({"Production": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in {*done.noes("Production"), *done.noes("@champion")}


def test_an_alias_that_is_declared_without_its_stage_is_judged_by_the_gates_of_that_stage(house: House) -> None:
    working(house, BOTH)

    house.by_hand("churn", 6, "Production")
    house.merge(pins({"@champion": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED


@pytest.mark.parametrize("alias", ["Champion", "CHAMPION"])
def test_an_alias_that_looks_like_that_of_a_stage_is_guarded_as_that_stage(house: House, alias: str) -> None:
    working(house, BOTH)

    house.merge(pins({"Production": 4, f"@{alias}": 6}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes(f"@{alias}")


def test_what_a_change_makes_of_stages_takes_nothing_out_of_the_rules_before_it(house: House) -> None:
    """The change says that Production is another alias: what the old one is guarded by, and that it is live, holds."""
    working(house, ALONE)

    house.slots = SlotMap((StageAlias("Production", AliasName("prod")),), aliases_only=True, standing=ALONE)
    text = f"mode: alias\nstages: {{Production: prod}}\n{GATES}"
    house.merge(pins({"Production": 4, "@champion": 6}), policy=text, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert "path" in done.noes("@champion")


@pytest.mark.parametrize("called", ["Canary", "@canary", "@Canary", "@can*"])
def test_a_stage_of_ones_own_is_guarded_however_the_rule_names_it(house: House, called: str) -> None:
    working(house, BOTH, GATES.replace("Canary]", f'"{called}"]'))

    house.merge(pins({"Production": 4, "Canary": 6}))
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "approvals"} <= done.noes("@canary")


def test_what_guards_the_alias_alone_is_asked_besides_what_guards_the_stage(house: House) -> None:
    working(house, BOTH, GATES + '- slot: "@champion"\n  gates:\n  - metric: {name: f1, threshold: 0.99}\n')

    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()

    assert done.noes("Production") == set()
    assert done.noes("@champion") == {"metric#2"}
    assert aliases(house) == {"champion": 4}


def test_what_passes_the_gates_of_a_stage_enters_its_alias_without_being_asked_twice(house: House) -> None:
    working(house, BOTH)

    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.sentences()
    assert done.verdicts("@champion") == []
    assert aliases(house) == {"champion": 5}


def test_what_somebody_moved_by_hand_is_drift_of_the_alias_and_not_of_what_keeps_the_version_that_left(
    house: House,
) -> None:
    champion = StageAlias("Production", AliasName("champion"), AliasName("before"))
    house.slots = SlotMap((champion,), aliases_only=True)
    house.register("churn", 3)
    house.push(policy="mode: alias\nstages: {Production: {alias: champion, previous: before}}\n")
    for version in (2, 3):
        house.push(pins({"Production": version}))
        house.apply()

    house.by_hand("churn", 1, "@champion")
    (model,) = house.drift().models

    assert [(effect.subject, effect.after) for effect in model.drifted] == [("@champion", 3)]
    assert aliases(house) == {"champion": 1, "before": 2}


HELD = "hold: {slot: Production, version: 6, reason: It leaks personal data.}\n"
CHAMPION, AS_ALIAS = "stages: {Production: champion}\n", "mode: alias\nstages: {Production: champion}\n"


def stands(stage: str, alias: str, previous: str = "") -> StageAlias:
    return StageAlias(stage, AliasName(alias), AliasName(previous) if previous else None)


TOGETHER = SlotMap((stands("Production", "champion"),))
APART = replace(TOGETHER, aliases_only=True)


def settled(house: House, slots: SlotMap, policy: str, also: str = "") -> None:
    """v4 of churn is in Production and named by @champion, v5 in Staging, v6 was never anywhere."""
    house.slots = slots
    house.register("churn", 6)
    for slot in ("Production", "@champion"):
        house.by_hand("churn", 4, slot)
    house.by_hand("churn", 5, "Staging")
    house.begin(policy, pins({"Production": 4}, also=also))
    house.clock.later(days=4)


def refused(done: Done, house: House, slot: str = "Production", stays: int = 4) -> None:
    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert house.in_slot("churn", slot) == (stays,)


@pytest.mark.parametrize("slots", [TOGETHER, APART], ids=["both", "aliases alone"])
def test_what_stood_for_a_stage_is_not_found_when_the_change_lets_go_of_the_stage(
    signing_house: House, slots: SlotMap
) -> None:
    house = signing_house
    settled(house, slots, (AS_ALIAS if slots is APART else CHAMPION) + TRIED)
    house.by_hand("churn", 6, "@champion")

    house.slots = replace(PLAIN, standing=slots)
    house.merge(pins({"Production": 4, "@champion": 6}), policy=TRIED, by=MALLORY)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert {"path", "soak"} <= done.noes("@champion")


def test_nor_when_an_earlier_change_let_go_of_it_and_a_rule_guards_the_alias_itself(signing_house: House) -> None:
    house, guarded = signing_house, TRIED.replace("slot: Production", 'slot: [Production, "@champion"]')
    settled(house, APART, AS_ALIAS + guarded)
    house.slots = replace(PLAIN, standing=APART)
    house.merge(policy=guarded)
    house.apply()

    house.slots = PLAIN
    house.by_hand("churn", 6, "@champion")
    house.merge(pins({"Production": 4, "@champion": 6}), by=MALLORY)
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert done.kinds() == {"@champion": "new"}


def test_a_version_does_not_soak_in_a_stage_by_what_the_change_says_that_the_stage_is(signing_house: House) -> None:
    house = signing_house
    settled(house, PLAIN, TRIED)
    house.merge(pins({"Production": 4, "@scratch": 6}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)

    house.slots = SlotMap((stands("Staging", "scratch"), *TOGETHER.stages), aliases_only=True, standing=PLAIN)
    policy = f"mode: alias\nstages: {{Staging: scratch, Production: champion}}\n{TRIED}"
    house.merge(pins({"Production": 6, "Staging": 6}), policy=policy, by=MALLORY)
    done = house.apply()

    refused(done, house, "@champion")
    assert {"path", "soak"} <= done.noes("@champion")


def test_a_pin_that_waits_does_not_come_to_soak_by_another_alias_for_the_stage(signing_house: House) -> None:
    house, gates = signing_house, TRIED.replace("Staging", "Canary")
    before = SlotMap((stands("Canary", "canary"),))
    settled(house, before, f"stages: {{Canary: canary}}\n{gates}")
    house.merge(pins({"Production": 4, "@scratch": 6}))
    house.apply()
    house.clock.later(days=4)
    house.merge(pins({"Production": 6, "@scratch": 6}), by=MALLORY)
    refused(house.apply(), house)

    house.slots = SlotMap((stands("Canary", "scratch"),), standing=before)
    house.merge(pins({"Production": 6, "Canary": 6}), policy=f"stages: {{Canary: scratch}}\n{gates}")

    refused(house.apply(), house)
    house.slots = replace(house.slots, standing=None)
    house.merge(files={"notes.md": "A note"})
    refused(house.apply(), house)


def test_an_approval_of_one_alias_is_none_of_another_that_stands_for_the_same_stage_later(
    signing_house: House,
) -> None:
    house, asks = signing_house, "slots:\n- slot: Production\n  gates:\n  - approvals: {count: 1, of: owners}\n"
    before = SlotMap((*TOGETHER.stages, stands("Canary", "canary")), aliases_only=True)
    settled(house, before, f"mode: alias\nstages: {{Production: champion, Canary: canary}}\n{asks}")
    house.merge(pins({"Production": 4, "Canary": 6}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    now = (stands("Production", "prod"), stands("Canary", "champion"))
    house.slots = SlotMap(now, aliases_only=True, live=("Canary",), standing=before)
    policy = f"mode: alias\nlive: [Canary]\nstages: {{Production: prod, Canary: champion}}\n{asks}"
    house.merge(pins({"Canary": 6}), policy=policy, by=MALLORY)

    refused(house.apply(), house, "@champion")


def test_what_was_in_an_alias_that_nothing_guarded_is_no_way_back_into_the_stage_that_it_stands_for_now(
    signing_house: House,
) -> None:
    house = signing_house
    house.register("churn", 6)
    house.begin(PATTERNS, pins({"@scratch": 5}))
    for number in (6, 5):
        house.merge(pins({"@scratch": number}))
        assert house.apply().exit_code == ExitCode.OK

    house.slots = SlotMap((stands("Production", "scratch"),), aliases_only=True, standing=PLAIN)
    house.merge(pins({"Production": 6}), policy=f"mode: alias\nstages: {{Production: scratch}}\n{PATTERNS}", by=MALLORY)

    refused(house.apply(), house, "@scratch", stays=5)


def test_a_hold_stays_on_the_alias_that_it_was_on_when_the_change_has_another_one_for_its_stage(
    signing_house: House,
) -> None:
    house = signing_house
    settled(house, APART, AS_ALIAS, also=HELD)

    house.slots = SlotMap((stands("Production", "prod"),), aliases_only=True, standing=APART)
    policy = "mode: alias\nstages: {Production: prod}\n"
    house.merge(pins({"Production": 4, "@champion": 6}, also=HELD), policy=policy, by=MALLORY)

    refused(house.apply(), house, "@champion")


def test_a_hold_of_a_stage_is_on_the_alias_that_moves_with_it(signing_house: House) -> None:
    house = signing_house
    settled(house, TOGETHER, CHAMPION)
    house.by_hand("churn", 5, "@champion")

    house.merge(pins({"Production": 4}, also=HELD.replace("6", "4")))
    house.apply(restore=["churn"])

    assert house.in_slot("churn", "@champion") == (5,)


def test_where_an_alias_stands_for_a_stage_what_is_in_mlflows_stage_is_not_in_it(signing_house: House) -> None:
    house = signing_house
    slots = SlotMap((*TOGETHER.stages, stands("Staging", "staging")), aliases_only=True)
    path = "slots:\n- slot: Production\n  gates:\n  - path: {from: Staging}\n"
    settled(house, slots, f"mode: alias\nstages: {{Production: champion, Staging: staging}}\n{path}")
    house.merge(pins({"Production": 4, "Staging": 6}))
    assert house.apply().exit_code == ExitCode.OK

    house.merge(pins({"Production": 5, "Staging": 6}))

    refused(house.apply(), house, "@champion")


def test_the_review_says_that_an_alias_which_stood_for_a_stage_is_not_guarded_anymore(signing_house: House) -> None:
    house = signing_house
    settled(house, APART, AS_ALIAS + TRIED)

    house.slots = replace(PLAIN, standing=APART)
    house.request(pins({"Production": 4, "@champion": 4}), policy=TRIED)
    planned = house.plan()

    assert planned.review is not None
    assert planned.review.policy is not None
    assert [exposure.slot for exposure in planned.review.policy.exposed] == ["@champion"]


def test_an_approval_is_lost_where_a_later_commit_of_the_request_says_that_the_stage_is_another_alias(
    signing_house: House,
) -> None:
    house, asks = signing_house, "slots:\n- slot: Production\n  gates:\n  - approvals: {count: 1, of: owners}\n"
    before = SlotMap((*TOGETHER.stages, stands("Canary", "canary")), aliases_only=True)
    settled(house, before, f"mode: alias\nstages: {{Production: champion, Canary: canary}}\n{asks}")
    request = house.request(pins({"Production": 4, "Canary": 6}), by=MALLORY)
    house.approve(GRACE, request, signed=True)

    now = (stands("Production", "prod"), stands("Canary", "champion"))
    house.slots = SlotMap(now, aliases_only=True, standing=before)
    policy = f"mode: alias\nstages: {{Production: prod, Canary: champion}}\n{asks}"
    house.amend(request, pins({"Canary": 6}), policy=policy, by=MALLORY)
    house.merge(request)

    refused(house.apply(), house, "@champion")


def test_an_alias_is_not_kept_past_the_gates_of_what_it_is(signing_house: House) -> None:
    """The change says that @champion is kept on what leaves @scratch, which nothing guards."""
    house = signing_house
    settled(house, APART, AS_ALIAS + TRIED)
    house.merge(pins({"Production": 4, "@scratch": 6}))
    assert house.apply().exit_code == ExitCode.OK

    house.slots = SlotMap((stands("Canary", "scratch", "champion"),), aliases_only=True, standing=APART)
    policy = f"mode: alias\nstages: {{Canary: {{alias: scratch, previous: champion}}}}\n{TRIED}"
    house.merge(pins({"Canary": 6}), policy=policy, by=MALLORY)
    house.apply()
    house.merge(pins({"Canary": 5}), by=MALLORY)
    house.apply()

    assert house.in_slot("churn", "@champion") == (4,)


def test_what_is_in_an_alias_that_stands_for_a_stage_from_now_on_is_judged(signing_house: House) -> None:
    house = signing_house
    settled(house, PLAIN, TRIED)
    house.merge(pins({"Production": 4, "@scratch": 6}))
    assert house.apply().exit_code == ExitCode.OK

    house.slots = SlotMap((stands("Production", "scratch"),), standing=PLAIN)
    house.merge(pins({"Production": 6}), policy=f"stages: {{Production: scratch}}\n{TRIED}", by=MALLORY)

    refused(house.apply(), house)


def test_gates_that_a_manifest_has_before_a_stage_are_before_its_alias(signing_house: House) -> None:
    house, own = signing_house, "gates:\n  Production:\n  - metric: {name: f1, threshold: 0.99}\n"
    settled(house, TOGETHER, CHAMPION, also=own)

    house.merge(pins({"@champion": 6}, also=own))

    refused(house.apply(), house, "@champion")


@pytest.mark.parametrize("alias", ["Staging", "STAGING"])
def test_no_version_comes_from_a_stage_by_an_alias_that_looks_like_its_own(signing_house: House, alias: str) -> None:
    house = signing_house
    slots = SlotMap((*TOGETHER.stages, stands("Staging", "staging")), aliases_only=True)
    path = TRIED[: TRIED.index("  - soak")]
    settled(
        house,
        slots,
        f"mode: alias\nstages: {{Production: champion, Staging: staging}}\n{path}",
    )
    house.by_hand("churn", 6, f"@{alias}")

    house.merge(pins({"Production": 6}))

    refused(house.apply(), house, "@champion")


def test_an_override_that_was_approved_for_one_alias_lets_nothing_into_another(signing_house: House) -> None:
    """No manifest changes: the policy alone says that Canary is @champion from now on."""
    house, gate = signing_house, "soak: {stage: Staging, for: 3d}\n    override: {approvals: 1, of: owners}"
    rules = f"slots:\n- slot: [Production, Canary]\n  gates:\n  - {gate}\n"
    before = SlotMap((*TOGETHER.stages, stands("Canary", "canary")), aliases_only=True)
    settled(house, before, f"mode: alias\nstages: {{Production: champion, Canary: canary}}\n{rules}")
    override = "overrides: [{gate: soak, slot: Canary, reason: It cannot wait at all., until: 2026-12-01}]\n"
    house.merge(pins({"Canary": 6}, also=override), approved_by=[GRACE])
    house.apply()

    now = (stands("Production", "prod"), stands("Canary", "champion"))
    house.slots = SlotMap(now, aliases_only=True, live=("Canary",), standing=before)
    house.merge(
        policy=f"mode: alias\nlive: [Canary]\nstages: {{Production: prod, Canary: champion}}\n{rules}", by=MALLORY
    )

    refused(house.apply(), house, "@champion")


CANARY = SlotMap((stands("Canary", "canary"),))
CANARIES = "stages: {Canary: canary}\n"
IN_CANARY = "gates:\n  Production:\n  - soak: {stage: Canary, for: 7d}\n"
EVERYWHERE = HELD.replace("slot: Production, ", "")


def test_a_stage_that_the_change_gives_up_takes_no_hold_and_no_gate_with_it(signing_house: House) -> None:
    house = signing_house
    settled(house, CANARY, CANARIES + at_least(0.1), also=IN_CANARY + EVERYWHERE)

    house.slots = replace(PLAIN, standing=CANARY)
    house.merge(pins({"Production": 6}), policy=at_least(0.1), by=MALLORY)

    refused(house.apply(), house)


def test_nor_where_the_gate_that_names_it_is_of_another_model(signing_house: House) -> None:
    house = signing_house
    house.slots = CANARY
    house.register("churn", 6)
    house.register("mine")
    house.by_hand("churn", 4, "Production")
    mine = pins({"Canary": 1}, model="mine", also=IN_CANARY)
    house.begin(CANARIES + at_least(0.1), pins({"Production": 4}, also=EVERYWHERE), mine)

    house.slots = replace(PLAIN, standing=CANARY)
    gone = {"manifests/mine.yaml": None}
    house.merge(pins({"Production": 6}), files=gone, policy=at_least(0.1), by=MALLORY)
    house.apply()

    assert house.in_slot("churn") == (4,)


def test_nor_are_those_who_decide_forgotten_with_it(signing_house: House) -> None:
    house = signing_house
    settled(house, CANARY, CANARIES + APPROVALS, also=IN_CANARY)
    house.slots = replace(PLAIN, standing=CANARY)
    house.merge(pins({"Production": 4}, owners=[MALLORY]), policy=APPROVALS, by=MALLORY)
    house.apply()

    house.slots = PLAIN
    house.merge(pins({"Production": 6}, owners=[MALLORY]), approved_by=[MALLORY])

    refused(house.apply(), house)


def test_nor_with_gates_of_a_stage_and_of_an_alias_that_stands_for_it_from_now_on(signing_house: House) -> None:
    house, gate = signing_house, "[{metric: {name: f1, threshold: 0.1}}]"
    own = f'gates: {{Production: {gate}, "@champion": {gate}}}\n'
    settled(house, PLAIN, at_least(0.1), also=own + EVERYWHERE)

    house.slots = replace(APART, standing=PLAIN)
    house.merge(
        pins({"Production": 6}), policy="mode: alias\nstages: {Production: champion}\n" + at_least(0.1), by=MALLORY
    )

    refused(house.apply(), house, "@champion")
