"""An alias that stands for a stage is no way past the gates of that stage, nor a stage past those of its alias."""

import pytest

from reconciler.core.names import AliasName, ModelRef
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.errors import ExitCode
from tests.house import GRACE, House
from tests.house.scenes import at_work, pins

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
