"""Whoever may write to the artifact store replaces the files of a version, and its number stays what it was."""

import pytest

from reconciler.core.drift import DriftStatus, ModelDrift
from reconciler.errors import ExitCode
from reconciler.render.layout import plain
from reconciler.render.text import drift_lines
from tests.house import House
from tests.house.scenes import NO_RULES, SLOTS, at_work, pins

PINNED = """\
slots:
- slot: [Production, "@champion*"]
  gates:
  - artifact: {pinned: true}
"""


def entered(house: House, slot: str) -> None:
    """v5 has come in, and its files were recorded."""
    at_work(house, slot, PINNED)
    house.merge(pins({slot: 5}))
    assert house.apply().exit_code == ExitCode.OK


def overwrite(house: House, version: int) -> None:
    house.files.digests["churn", version] = "sha256:replaced"


def of(house: House) -> ModelDrift:
    (model,) = house.drift(files=True).models
    return model


@SLOTS
def test_files_that_were_replaced_after_the_promotion_are_drift(house: House, slot: str) -> None:
    entered(house, slot)

    overwrite(house, 5)
    found = house.drift(files=True)

    assert found.drifted
    told = "\n".join(plain(line) for line in drift_lines(found, 1000))
    assert "drifted  the files of v5 were replaced since it entered" in told
    assert slot in told


@SLOTS
def test_files_that_are_the_same_are_in_sync(house: House, slot: str) -> None:
    entered(house, slot)

    assert of(house).status is DriftStatus.IN_SYNC
    assert house.drift(files=True).compared == 1


@SLOTS
def test_nothing_is_downloaded_unless_it_is_asked_for(house: House, slot: str) -> None:
    entered(house, slot)
    overwrite(house, 5)
    house.files.read.clear()

    assert house.drift_of() is DriftStatus.IN_SYNC
    assert not house.files.read


@SLOTS
def test_files_that_cannot_be_read_are_unknown(house: House, slot: str) -> None:
    entered(house, slot)

    house.files.lost.add(("churn", 5))

    assert of(house).status is DriftStatus.UNKNOWN
    assert "v5" in of(house).why


@SLOTS
def test_a_rule_that_is_dropped_later_hides_no_replaced_files(house: House, slot: str) -> None:
    entered(house, slot)
    house.merge(pins({slot: 5}), policy=NO_RULES)
    assert house.apply().exit_code == ExitCode.OK

    overwrite(house, 5)

    assert of(house).status is DriftStatus.DRIFTED


@SLOTS
def test_replaced_files_are_not_put_back(house: House, slot: str) -> None:
    entered(house, slot)
    house.by_hand("churn", 6, slot)

    overwrite(house, 5)
    done = house.apply(restore=["churn"])

    assert of(house).status is DriftStatus.DRIFTED
    assert any("files of v5" in line for line in map(plain, drift_lines(house.drift(files=True), 1000)))
    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert "the files of v5 were replaced" in done.message
    assert house.in_slot("churn", slot) == (6,)


@SLOTS
def test_being_put_back_makes_nobody_forget_the_files(house: House, slot: str) -> None:
    entered(house, slot)
    house.by_hand("churn", 6, slot)
    assert house.apply(restore=["churn"]).exit_code == ExitCode.OK
    assert house.in_slot("churn", slot) == (5,)

    overwrite(house, 5)

    assert of(house).status is DriftStatus.DRIFTED


@SLOTS
@pytest.mark.parametrize("policy", [PINNED, NO_RULES], ids=["pinned still", "no longer"])
def test_rolling_back_makes_nobody_forget_the_files(house: House, slot: str, policy: str) -> None:
    entered(house, slot)
    house.merge(pins({slot: 5}), policy=policy)
    promotion = house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.OK
    house.revert(promotion)
    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("churn", slot) == (5,)

    overwrite(house, 5)

    assert of(house).status is DriftStatus.DRIFTED


@SLOTS
def test_a_record_that_is_deleted_hides_no_replaced_files(house: House, slot: str) -> None:
    entered(house, slot)

    overwrite(house, 5)
    house.put_record("churn", 5, "")

    assert of(house).status is DriftStatus.UNKNOWN
