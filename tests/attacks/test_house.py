"""The house itself: what its verbs do is what they say."""

from tests.house import ADA, GRACE, House, Way, manifest

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
