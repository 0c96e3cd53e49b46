"""Repositories with several folders, and repositories that get another name."""

from pathlib import Path

import pytest

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, House
from tests.house.scenes import GATES, SLOTS, at_work, pins

TEAMS = ("teams/risk", "teams/fraud")


@SLOTS
def test_two_folders_of_one_repository_govern_each_its_own(house: House, slot: str) -> None:
    for model in ("churn", "fraud"):
        house.register(model, 6)
        house.by_hand(model, 4, slot)
        house.by_hand(model, 5, "Staging")
    house.push(policy=GATES)
    for model, folder in zip(("churn", "fraud"), TEAMS, strict=True):
        house.merge(pins({slot: 4}, model=model), into=folder)
        assert house.apply(manifests=folder).exit_code == ExitCode.OK
    house.clock.later(days=4)

    request = house.merge(pins({slot: 5}, model="fraud"), into=TEAMS[1], approved_by=[GRACE])
    risk, fraud = (house.apply(manifests=folder) for folder in TEAMS)

    assert (risk.exit_code, fraud.exit_code) == (ExitCode.OK, ExitCode.OK), f"{risk.message}\n{fraud.message}"
    assert [house.in_slot(model, slot) for model in ("churn", "fraud")] == [(4,), (5,)]

    house.revert(request)
    back = [house.apply(manifests=folder).exit_code for folder in TEAMS]

    assert back == [ExitCode.OK, ExitCode.OK]
    assert house.in_slot("fraud", slot) == (4,)


def put_to_work(house: House) -> None:
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.by_hand("churn", 5, "Staging")
    house.begin(GATES, pins({"Production": 4}))
    house.clock.later(days=4)


@SLOTS
@pytest.mark.parametrize("steps", [1, 2])
def test_a_manifest_moves_to_another_folder(house: House, slot: str, steps: int) -> None:
    house.register("churn", 6)
    house.by_hand("churn", 4, slot)
    house.by_hand("churn", 5, "Staging")
    house.push(policy=GATES)
    house.merge(pins({slot: 4}), into=TEAMS[0])
    assert house.apply(manifests=TEAMS[0]).exit_code == ExitCode.OK
    house.clock.later(days=4)
    request = house.merge(pins({slot: 5}), into=TEAMS[0], approved_by=[GRACE])
    assert house.apply(manifests=TEAMS[0]).exit_code == ExitCode.OK

    gone, there = {f"{TEAMS[0]}/churn.yaml": None}, {f"{TEAMS[1]}/churn.yaml": pins({slot: 5})}
    if steps == 1:
        house.merge(files={**gone, **there})
    else:
        house.merge(files={**gone})
        house.merge(files={**there})
    moved = house.apply(manifests=TEAMS[1], adopt=True)
    house.merge(files={f"{TEAMS[1]}/churn.yaml": pins({slot: 4})})
    back = house.apply(manifests=TEAMS[1])

    assert moved.exit_code == ExitCode.OK, moved.message
    assert (back.exit_code, back.kinds()) == (ExitCode.OK, {slot: "rollback"}), back.message
    assert request.merged


@SLOTS
def test_a_registry_that_moved_goes_on_with_its_records(house: House, slot: str) -> None:
    at_work(house, slot)
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    was, is_now = house.registry.uri, "https://MLFLOW.acme.example/"
    house.merge(policy=f"registry-names: [{is_now}, '{was}']\n{GATES}")
    assert house.apply().exit_code == ExitCode.OK

    house.registry.uri = is_now
    house.merge(files={"docs/notes.md": "The registry has another address.\n"})
    again = house.apply()
    house.revert(request)
    done = house.apply()

    assert (again.exit_code, again.kinds()) == (ExitCode.OK, {}), again.message
    assert (done.exit_code, done.kinds()) == (ExitCode.OK, {slot: "rollback"}), done.message
    assert house.in_slot("churn", slot) == (4,)
    assert house.drift_of() is DriftStatus.IN_SYNC


@SLOTS
def test_a_repository_that_was_renamed_goes_on_with_what_it_governs(house: House, slot: str) -> None:
    at_work(house, slot)
    request = house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(policy=f"formerly: ['{house.name}']\n{GATES}")
    assert house.apply().exit_code == ExitCode.OK

    house.address = "acme.example/renamed"
    house.merge(files={"docs/notes.md": "We have another name.\n"})
    renamed = house.apply()
    house.revert(request)
    done = house.apply()

    assert renamed.exit_code == ExitCode.OK, renamed.message
    assert done.exit_code == ExitCode.OK, done.message
    assert done.kinds() == {slot: "rollback"}
    assert house.in_slot("churn", slot) == (4,)
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_repository_in_other_letters_of_the_same_forge_is_the_same_one(house: House) -> None:
    house.address = "github.com/Acme/Models"
    put_to_work(house)

    house.address = "github.com/acme/models"
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences()}"
    assert house.owner_record("churn").repository == "github.com/acme/models#manifests"


def test_a_renamed_repository_promotes_releases_and_finds_drift_as_before(house: House) -> None:
    at_work(house, models=("churn", "fraud"))
    house.merge(policy=f"formerly: acme.example/models\n{GATES}")
    assert house.apply().exit_code == ExitCode.OK

    house.address = "acme.example/renamed"
    house.merge(files={"docs/notes.md": "We have another name.\n"})
    house.by_hand("churn", 6, "Production")
    drifted = house.drift_of()
    house.by_hand("churn", 4, "Production")
    house.merge(pins({"Production": 5}), files={"manifests/fraud.yaml": None}, approved_by=[GRACE])
    planned = house.plan()
    done = house.apply()

    assert drifted is DriftStatus.DRIFTED
    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences()}"
    assert house.in_slot("churn") == (5,)
    assert "adopt" not in planned.verbs().values()
    assert house.owner_record("churn").repository == "acme.example/renamed#manifests"
    assert house.owner_record("fraud") is None


def test_a_folder_that_became_two_leaves_each_model_to_the_one_that_declares_it(house: House) -> None:
    for model in ("churn", "fraud"):
        house.register(model, 6)
        house.by_hand(model, 4, "Production")
    house.begin("formerly: acme.example/models#manifests\n", *both())
    moved = {
        f"{folder}/{model}.yaml": text for folder, model, text in zip(TEAMS, ("churn", "fraud"), both(), strict=True)
    }
    house.merge(files={**moved, "manifests/churn.yaml": None, "manifests/fraud.yaml": None})

    for folder in TEAMS:
        done = house.apply(manifests=folder)
        assert done.exit_code == ExitCode.OK, done.message

    assert house.owner_record("churn").repository == "acme.example/models#teams/risk"
    assert house.owner_record("fraud").repository == "acme.example/models#teams/fraud"


def both() -> tuple[str, str]:
    return pins({"Production": 4}, model="churn"), pins({"Production": 4}, model="fraud")


def test_a_name_that_only_the_change_itself_calls_its_former_one_takes_nothing_over(house: House) -> None:
    at_work(house)
    before = house.name

    house.address = "acme.example/mallory"
    house.merge(pins({"Production": 6}), policy=f"formerly: ['{before}']\n{GATES}", approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.in_slot("churn") == (4,)


def test_what_says_what_to_do_about_a_former_name_is_the_plan(house: House) -> None:
    at_work(house)

    house.address = "acme.example/renamed"
    house.request(policy=f"formerly: acme.example/models\n{GATES}")
    planned = house.plan()

    assert planned.exit_code == ExitCode.BLOCKED
    assert "`formerly`" in "".join(b.fix for m in planned.plan.models for b in m.blockers) if planned.plan else False


def test_a_repository_with_longer_names_of_commits_is_one_like_any_other(tmp_path: Path, signed: bool) -> None:
    house = House.build(tmp_path, signed=signed, objects="sha256")
    put_to_work(house)
    request = house.merge(pins({"Production": 5}), approved_by=[GRACE])
    planned = house.plan()
    done = house.apply()
    recorded = house.owner_record("churn").commit
    house.by_hand("churn", 6, "Production")
    drifted = house.drift_of()
    restored = house.apply(restore=["churn"])
    house.revert(request)
    back = house.apply()

    assert planned.plan is not None
    assert done.exit_code == ExitCode.OK, done.message
    assert len(recorded or "") == 64
    assert drifted is DriftStatus.DRIFTED
    assert restored.exit_code == ExitCode.OK, restored.message
    assert back.kinds() == {"Production": "rollback"}, back.message
    assert house.in_slot("churn") == (4,)


def test_a_repository_that_was_renamed_before_anybody_said_so_catches_up(house: House) -> None:
    at_work(house)
    before, house.address = house.name, "acme.example/renamed"

    house.merge(policy=f"formerly: ['{before}']\n{GATES}")
    first = house.apply()
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    second = house.apply()

    assert first.exit_code == ExitCode.BLOCKED
    assert second.exit_code == ExitCode.OK, f"{second.message}\n{second.sentences()}"
    assert house.in_slot("churn") == (5,)


def test_a_folder_that_the_base_does_not_have_yet_is_planned(house: House) -> None:
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.push(policy=GATES)
    house.request(pins({"Production": 4}))

    planned = house.plan()

    assert planned.exit_code == ExitCode.OK, planned.message
    assert planned.verbs() == {"": "claim", "v4": "find"}


SEVERAL = "registries:\n  prod: {manifests: manifests}\n  dev: {manifests: dev}\n"


def test_what_one_registry_has_is_found_there_though_another_folder_declares_a_model_of_that_name(
    signing_house: House,
) -> None:
    house = signing_house
    house.named = "prod"
    house.register("churn", 6)
    house.by_hand("churn", 4, "@champion")
    house.begin(SEVERAL + GATES, pins({"@champion": 4}))
    dev = house.another_registry("memory://dev")
    dev.named = "dev"
    dev.register("churn", 6)
    dev.by_hand("churn", 5, "@champion")

    house.merge(pins({"@champion": 5}), into="dev", approved_by=[GRACE])
    done = dev.apply(manifests="dev")

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences('@champion')}"
    assert done.kinds() == {"@champion": "found"}


def test_a_registry_that_gets_another_name_and_folder_goes_on(signing_house: House) -> None:
    house = signing_house
    house.named = "prod"
    house.register("churn", 6)
    house.by_hand("churn", 4, "Production")
    house.by_hand("churn", 5, "Staging")
    house.begin(SEVERAL + GATES.replace("- slot", "- registries: prod\n  slot"), pins({"Production": 4}))
    moved = SEVERAL.replace("prod: {manifests: manifests}", "live: {manifests: live}")
    former = f"formerly: [{house.name}]\n"
    rules = GATES.replace("- slot", "- registries: live\n  slot")
    files = {"manifests/churn.yaml": None, "live/churn.yaml": pins({"Production": 4})}
    house.merge(files=files, policy=moved + former + rules, approved_by=[GRACE])
    house.apply()
    house.clock.later(days=4)

    house.named = "live"
    for note in ("The jobs have the new name\n", "A former name counts from the change after it\n"):
        house.merge(files={"notes.md": note})
        first = house.apply(manifests="live")
    house.merge(pins({"Production": 5}), into="live", approved_by=[GRACE])
    promoted = house.apply(manifests="live")

    for done in (first, promoted):
        assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences()}"
    assert house.in_slot("churn") == (5,)
    assert house.drift_of("churn", manifests="live") is DriftStatus.IN_SYNC
