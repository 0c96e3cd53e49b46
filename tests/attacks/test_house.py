"""The house itself: what its verbs do is what they say."""

import subprocess

from tests.house import ADA, GRACE, House, Way, manifest
from tests.house.people import RECORDS, key_of, seal_with

POLICY = "slots:\n- slot: Production\n  gates:\n  - approvals: {count: 1}\n"
OWNED = f"owners: ['{GRACE.entry}']\n"


def test_a_promotion_that_is_approved_comes_in_by_every_way_of_merging(house: House, way: Way) -> None:
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(POLICY, manifest("churn", production=1) + OWNED)

    house.merge(manifest("churn", production=2) + OWNED, by=ADA, approved_by=[GRACE], way=way)
    done = house.apply()

    assert (done.exit_code, done.noes()) == (0, set())
    assert house.in_slot("churn") == (2,)


def test_one_that_nobody_approved_does_not(house: House, way: Way) -> None:
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(POLICY, manifest("churn", production=1) + OWNED)

    house.merge(manifest("churn", production=2) + OWNED, by=ADA, way=way)
    done = house.apply()

    assert (done.exit_code, done.noes()) == (3, {"approvals"})
    assert house.in_slot("churn") == (1,)


def test_seals_are_those_that_ssh_keygen_makes() -> None:
    key, data = key_of("job"), b'{"format":1}\n'
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", RECORDS, "-f", str(key)]
    made = subprocess.run(command, input=data, capture_output=True, check=True, text=False).stdout.decode()
    named = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], capture_output=True, check=True, text=True).stdout

    seal = seal_with(key, data)

    assert (seal.value, seal.key) == (made, named.split()[1])
