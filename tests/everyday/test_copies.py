"""Environments as registered models: a version of one is copied to the next and let in by gates, in one change."""

from dataclasses import replace

import pytest

from reconciler.core.changes import RegisterVersion
from reconciler.core.gate import Ruling
from reconciler.core.names import ModelRef, Version
from reconciler.core.plan import Verb, effects_of
from reconciler.errors import ExitCode
from reconciler.ports import Wanted
from tests.everyday.test_evidence import fine, flaws, taken, text
from tests.everyday.test_history import history, project
from tests.house import GRACE, House, Trigger, Way
from tests.house.fixtures import EVERY_WAY
from tests.house.scenes import ENVIRONMENTS, SLOTS, copy_of, environments, pins, promote_copy

ALL = {"path", "soak", "metric", "signature", "lineage", "artifact", "check", "approvals"}


@SLOTS
def test_a_version_is_copied_and_promoted_in_one_change(house: House, slot: str) -> None:
    environments(house, slot)
    promote_copy(house, slot)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'prod.risk')}"
    assert done.rulings(slot, "prod.risk") == dict.fromkeys(ALL, Ruling.PASS)
    assert house.in_slot("prod.risk", slot) == (2,)
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK
    assert house.versions_of("prod.risk") == [1, 2]


def test_its_review_shows_what_the_copy_will_be(house: House) -> None:
    environments(house)
    house.request(pins({"Production": copy_of(2)}, model="prod.risk"))
    house.approve(GRACE)

    shown = house.plan(evidence="all")

    assert shown.exit_code == ExitCode.OK, shown.text
    assert shown.plan is not None
    assert shown.review is not None
    assert shown.review.evidence is not None
    effects = [effect for model in shown.plan.models for effect in effects_of(model)]
    assert [effect.verb for effect in effects] == [Verb.COPY, Verb.PROMOTE, Verb.ARCHIVE]
    assert str(effects[0].after).startswith("v2 of staging.risk (run ")
    (exhibit,) = shown.review.evidence.exhibits
    assert (exhibit.candidate.version, exhibit.candidate.metrics[0].value) == (2, 0.64)
    assert exhibit.candidate.model == "prod.risk"


@EVERY_WAY
def test_by_every_way_of_merging(house: House, way: Way) -> None:
    environments(house)
    house.way = way
    promote_copy(house)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"
    assert house.in_slot("prod.risk") == (2,)


def test_a_model_is_made_for_its_first_copy(house: House) -> None:
    house.register("staging.risk", 1)
    house.by_hand("staging.risk", 1, "Staging")
    # Who owns a model that is declared for the first time, nobody has approved yet.
    house.begin(
        ENVIRONMENTS.replace("  - approvals: {count: 1, of: owners}\n", ""), pins({"Staging": 1}, model="staging.risk")
    )
    house.clock.later(days=4)
    house.check("staging.risk", 1, "bias")
    promote_copy(house, version=1)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"
    assert house.in_slot("prod.risk") == (1,)
    assert house.drift_of("prod.risk") == "in sync"


def test_a_model_that_is_made_for_a_copy_alone_is_applied_and_not_repaired(house: House) -> None:
    house.register("staging.risk", 1)
    house.begin("", pins({}, model="other"))
    house.merge(pins({"None": copy_of(1)}, model="prod.risk"))

    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.receipt is not None
    assert [outcome.repaired for outcome in done.receipt.outcomes if outcome.model == "prod.risk"] == [False]
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK
    assert house.drift_of("prod.risk") == "in sync"


@SLOTS
def test_the_live_slot_is_occupied_and_one_copy_made_wherever_an_apply_is_killed(house: House, slot: str) -> None:
    environments(house, slot)
    promote_copy(house, slot)
    done, calls = house.apply(killed_after=0), 0
    while done.exit_code != ExitCode.OK and calls < 10:
        calls += 1
        done = house.apply(killed_after=calls)
        assert len(house.in_slot("prod.risk", slot)) == 1, calls
        assert len(house.versions_of("prod.risk")) <= 2, calls

    assert house.in_slot("prod.risk", slot) == (2,), done.message
    assert house.versions_of("prod.risk") == [1, 2]


@SLOTS
def test_the_next_apply_goes_on_with_a_copy_that_was_not_moved(house: House, slot: str) -> None:
    environments(house, slot)
    promote_copy(house, slot)
    copied = house.apply(killed_after=1)
    assert house.versions_of("prod.risk") == [1, 2], copied.message
    assert house.in_slot("prod.risk", slot) == (1,)

    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'prod.risk')}"
    assert house.in_slot("prod.risk", slot) == (2,)


@SLOTS
def test_a_promotion_of_a_copy_is_reverted(house: House, slot: str) -> None:
    environments(house, slot)
    request = house.merge(pins({slot: copy_of(2)}, model="prod.risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK

    house.revert(request)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'prod.risk')}"
    assert house.in_slot("prod.risk", slot) == (1,)
    assert house.versions_of("prod.risk") == [1, 2]


def test_a_copy_that_is_there_is_promoted_by_its_number_on_the_word_of_its_original(house: House) -> None:
    environments(house)
    house.copy_by_hand("staging.risk", 2, "prod.risk")
    house.merge(pins({"Production": 2}, model="prod.risk"), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"
    assert "v2 of staging.risk, the original of v2" in done.sentences(model="prod.risk")


def test_a_copy_of_a_copy_has_the_first_ones_word(house: House) -> None:
    house.register("dev.risk", 1)
    house.copy_by_hand("dev.risk", 1, "staging.risk")
    house.by_hand("dev.risk", 1, "Staging")
    house.begin(
        ENVIRONMENTS.replace("model: staging.risk", "model: dev.risk"),
        pins({"Staging": 1}, model="dev.risk"),
        pins({}, model="prod.risk"),
    )
    house.clock.later(days=4)
    house.check("dev.risk", 1, "bias")
    promote_copy(house, version=1)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"


def test_a_copy_may_come_from_a_model_that_nobody_here_governs(house: House) -> None:
    house.register("staging.risk", 1)
    house.by_hand("staging.risk", 1, "Staging")
    house.begin(ENVIRONMENTS, pins({}, model="prod.risk"))
    house.clock.later(days=4)
    house.check("staging.risk", 1, "bias")
    promote_copy(house, version=1)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"


def test_an_original_that_the_same_change_gives_up_is_there_still(signing_house: House) -> None:
    house, gate = signing_house, "path: {from: Staging, model: staging.risk}"
    environments(house, policy=f'slots:\n- slot: Production\n  models: ["prod.*"]\n  gates:\n  - {gate}\n')

    gone = {"manifests/staging.risk.yaml": None}
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"), files=gone, approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"


def test_a_copy_is_found_drifted_and_put_back_like_any_version(house: House) -> None:
    environments(house)
    promote_copy(house)
    assert house.apply().exit_code == ExitCode.OK
    assert house.drift_of("prod.risk") == "in sync"
    house.by_hand("prod.risk", 1, "Production")
    assert house.drift_of("prod.risk") == "drifted"

    done = house.apply(restore=["prod.risk"])

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("prod.risk") == (2,)


def test_the_original_may_be_deleted_once_the_copy_is_in(house: House) -> None:
    environments(house)
    promote_copy(house)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({}, model="staging.risk"))
    house.delete_model("staging.risk")

    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("prod.risk") == (2,)


@pytest.mark.parametrize("renamed", [True, False], ids=["renamed", "deleted"])
def test_a_copy_is_rolled_back_to_after_its_original_is_gone(house: House, renamed: bool) -> None:
    environments(house)
    promote_copy(house)
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1}, model="prod.risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(files={"manifests/staging.risk.yaml": None})
    if renamed:
        house.rename_model("staging.risk", "candidates.risk")
    else:
        house.delete_model("staging.risk")
    house.merge(pins({"Production": 2}, model="prod.risk"), approved_by=[GRACE])

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"
    assert house.in_slot("prod.risk") == (2,)
    assert done.rulings(model="prod.risk")["check"] == Ruling.WAIVED


@pytest.mark.parametrize("number", [1, 2])
def test_gates_says_of_a_copy_what_an_apply_would(house: House, number: int) -> None:
    environments(house)
    house.copy_by_hand("staging.risk", 2, "prod.risk")

    rulings = {verdict.gate: verdict.ruling for verdict in house.gates("prod.risk", number)}

    assert rulings["path"] == (Ruling.PASS if number == 2 else Ruling.FAIL)
    assert rulings["check"] == Ruling.PASS


@SLOTS
def test_what_was_reviewed_is_applied_to_the_copy_of_an_apply_that_broke_off(house: House, slot: str) -> None:
    environments(house, slot)
    request = house.request(pins({slot: copy_of(2)}, model="prod.risk"))
    house.approve(GRACE)
    reviewed = house.plan()
    house.merge(request)
    house.apply(reviewed=reviewed, killed_after=1)
    assert house.versions_of("prod.risk") == [1, 2]

    done = house.apply(reviewed=reviewed)

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("prod.risk", slot) == (2,)


def test_a_copy_that_another_apply_made_meanwhile_is_the_one_that_is_moved(house: House) -> None:
    environments(house)
    promote_copy(house)

    def by_the_other() -> None:
        house.copy_by_hand("staging.risk", 2, "prod.risk")

    house.at_read("prod.risk", 2, by_the_other)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.versions_of("prod.risk") == [1, 2]
    assert house.in_slot("prod.risk") == (2,)


def test_status_and_history_name_the_copy_that_is_still_to_be_made(house: House) -> None:
    environments(house)
    refused = house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))
    house.revert(refused)
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))

    (model,) = project(house).status(["prod.risk"]).models
    turns = history(house, "prod.risk").turns

    assert [slot.declared for slot in model.slots] == [(2,)]
    assert [(turn.before, turn.after) for turn in turns] == [(None, (1,)), ((1,), (2,))]
    assert str(turns[-1].turning) == "pending"


def test_several_are_copied_by_one_plan(house: House) -> None:
    environments(house)
    house.register("staging.risk", 2)
    wanted = {"Staging": f"[{copy_of(3)}, {copy_of(4)}]", "Production": copy_of(2), "@canary": copy_of(3)}
    house.merge(pins(wanted, model="prod.risk"), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(model='prod.risk')}"
    assert house.versions_of("prod.risk") == [1, 2, 3, 4]
    assert len(house.in_slot("prod.risk", "Staging")) == 2


def test_a_bundle_of_evidence_of_a_copy_is_whole(house: House) -> None:
    house.receipts = True
    environments(house)
    promote_copy(house)
    assert house.apply().exit_code == ExitCode.OK

    bundle = taken(house, 2, "prod.risk")

    assert flaws(house, bundle) == fine(house)
    assert "v2 of staging.risk, the original of v2" in "".join(text(bundle, path) for path in bundle.whole.files)


def test_a_copy_that_is_moved_nowhere_may_get_another_number_than_was_planned(house: House) -> None:
    """As in MLflow, where the highest version was deleted."""
    environments(house)
    house.merge(pins({"Production": 1, "None": copy_of(2)}, model="prod.risk"))
    copied, name = house.registry.copied, ModelRef("prod.risk")

    def renumber(change: RegisterVersion) -> None:
        copied(change)
        live = house.registry.models[name]
        copy = replace(live.versions[change.version], version=Version(3))
        others = {number: one for number, one in live.versions.items() if number != change.version}
        house.registry.models[name] = replace(live, versions={**others, copy.version: copy})
        house.files.places[name, 3] = house.files.place(name, change.version)

    house.registry.copied = renumber
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.versions_of("prod.risk") == [1, 3]


def test_the_originals_of_many_models_are_read_together(plain_house: House) -> None:
    house = plain_house
    numbers = range(6)
    for number in numbers:
        house.register(f"staging.{number}", 1)
        house.by_hand(f"staging.{number}", 1, "Staging")
    gate = "path: {from: Staging, model: staging.0}"
    house.begin(f"slots:\n- slot: Production\n  gates:\n  - {gate}\n", *(pins({}, model=f"prod.{n}") for n in numbers))

    def reads(*chosen: int) -> int:
        request = house.request(
            *(pins({"Production": copy_of(1, f"staging.{number}")}, model=f"prod.{number}") for number in chosen)
        )
        seen: list[Wanted] = []
        house.registry.read = seen.append
        assert house.plan(request).plan is not None
        house.close(request)
        return len(seen)

    assert reads(0) == reads(*numbers)
