"""Names, addresses and files that are spelled otherwise, broken for a while, or moved."""

from reconciler.core.drift import DriftStatus
from reconciler.errors import ExitCode
from tests.house import GRACE, House, Trigger
from tests.house.scenes import APPROVALS, SOAK, at_least, at_work, pins


def test_the_file_of_signers_gets_another_name(signing_house: House) -> None:
    house = signing_house
    at_work(house, policy=SOAK)
    house.rotate("new")
    house.merge(files={"keys/allowed_signers": house.signers}, approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.by_hand("churn", 5, "Staging")
    house.clock.later(days=4)
    house.merge(pins({"Production": 5}))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(
        files={
            "keys/allowed_signers": None,
            "keys/other": house.signers,
            "reconciler.yaml": f"signers: keys/other\n{SOAK}",
        },
        approved_by=[GRACE],
    )
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.message
    assert house.drift_of() is DriftStatus.IN_SYNC


def test_a_model_whose_name_has_quotes_goes_back(house: House) -> None:
    house.register("o'brien", 6)
    house.by_hand("o'brien", 4, "Production")
    text = pins({"Production": 4}, model="o'brien").replace("model: o'brien", "model: 'o''brien'")
    house.push(policy=at_least(0.1))
    house.push(files={"manifests/o.yaml": text})
    assert house.apply().exit_code == ExitCode.OK
    house.push(files={"manifests/o.yaml": text.replace(": 4", ": 6")})
    assert house.apply().exit_code == ExitCode.OK
    house.push(policy=SOAK)
    assert house.apply().exit_code == ExitCode.OK
    house.push(files={"manifests/o.yaml": text})
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.message


def test_a_pin_after_a_manifest_that_could_not_be_read(house: House) -> None:
    at_work(house, policy=APPROVALS)
    house.merge(files={"manifests/churn.yaml": "model: churn\nstages: [\n"})
    house.apply()
    house.merge(pins({"Production": 5}), approved_by=[GRACE])
    done = house.apply()
    assert done.exit_code == ExitCode.OK, done.message


def test_an_address_of_the_registry_may_be_spelled_otherwise(signing_house: House) -> None:
    house = signing_house
    at_work(house, "Production", SOAK)
    house.merge(pins({"Production": 5}))
    assert house.apply().exit_code == ExitCode.OK
    house.registry.uri = "memory:///"
    done = house.apply(Trigger.SCHEDULE)
    assert done.exit_code == ExitCode.OK, done.message
