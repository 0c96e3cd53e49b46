"""Every apply that changed or refused something leaves a receipt on the remote, however it ends."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.chain import Chain, structure
from reconciler.core.drift import DriftStatus
from reconciler.core.names import ModelRef, Slot, Version
from reconciler.git.receipts import GitReceipts
from reconciler.render.evidence_json import evidence_digests
from tests.house import GRACE, House
from tests.house.people import key_of, public_half
from tests.house.scenes import APPROVALS, NO_RULES, SLOTS, at_work, begin_with, pins

pytestmark = pytest.mark.house


@pytest.fixture
def house(house: House) -> House:
    """v1 and v2 of two models are registered; receipts are kept."""
    house.receipts = True
    begin_with(house, registered)
    return house


def registered(house: House) -> None:
    for model in ("churn", "fraud"):
        house.register(model, 2)
    house.push(policy=NO_RULES)


def chain_of(house: House) -> Chain:
    return GitReceipts(house._source().git, "origin").read()  # pyright: ignore[reportPrivateUsage]


def receipts(house: House) -> list[dict[str, Any]]:
    return [dict(link.receipt) for link in chain_of(house).links()]


def of_model(receipt: dict[str, Any], model: str = "churn") -> dict[str, Any]:
    (found,) = (one for one in receipt["models"] if one["model"] == model)
    return found


def test_each_apply_that_changes_something_leaves_a_receipt_that_the_registry_names(house: House) -> None:
    house.push(pins({"Production": 1, "@champion": 1}))
    house.apply()
    house.apply()
    house.push(pins({"Production": 2, "@champion": 2}))
    house.apply()

    first, second = receipts(house)
    assert [first["computed_from"]["commit"], second["computed_from"]["commit"]] == [
        push.after for push in house.pushes[-2:]
    ]
    assert of_model(second)["slots"] == [
        {"slot": "@champion", "before": [1], "after": [2]},
        {"slot": "Production", "before": [1], "after": [2]},
    ]
    moved = [call for call in of_model(second)["calls"] if call["method"] == "transition_model_version_stage"]
    assert [(call["before"], call["after"]) for call in moved] == [("None", "Production")]
    assert second["started_at"] < moved[0]["at"] < second["finished_at"]
    assert house.registry.provenance("churn", 2)[Slot("Production")].receipt == second["id"]
    assert house.registry.provenance("churn", 1)[Slot("Production")].receipt == first["id"]
    assert structure(chain_of(house)) == ()


def test_receipts_are_signed_with_the_key_that_signs_records(house: House) -> None:
    house.push(pins({"Production": 1}))
    house.apply()

    (link,) = chain_of(house).links()

    assert (link.seal is not None) == house.signed
    assert public_half(key_of(house.key)) not in link.text


def test_what_moved_by_hand_before_is_in_the_next_receipt(house: House) -> None:
    house.push(pins({"Production": 1}))
    house.apply()
    house.by_hand("churn", 2, "Production")
    house.apply(restore=["churn"])

    _, second = receipts(house)

    assert of_model(second)["slots"] == [{"slot": "Production", "before": [2], "after": [1]}]
    assert [(e["version"], e["kind"]) for e in of_model(second)["entrances"]] == [(1, "restoration")]


@pytest.mark.parametrize("calls", range(1, 6))
def test_an_apply_that_dies_of_an_unknown_exception_leaves_one(house: House, calls: int) -> None:
    house.push(pins({"Production": 1}), pins({"Production": 1}, model="fraud"))

    done = house.apply(killed_after=calls)

    (receipt,) = receipts(house)
    made = [call for model in receipt["models"] for call in model["calls"]]
    assert done.message == "killed"
    assert (receipt["exit_code"], receipt["ending"]["reason"]) == (1, "error")
    assert len(made) == calls
    there = house.in_slot("churn")
    assert of_model(receipt)["slots"] == [{"slot": "Production", "before": [], "after": list(there)}]


def test_one_that_changed_nothing_leaves_none(house: House) -> None:
    house.push(pins({"Production": 1}))
    house.apply()
    house.push(policy="# Another commit.\n")

    assert house.apply().exit_code == 0
    assert len(receipts(house)) == 1


def test_one_that_only_refused_something_leaves_one_which_is_no_reason_to_fail(house: House) -> None:
    house.push(pins({"Production": 9}), pins({"Production": 9}, model="fraud"))
    house.repository.remote.rename(house.repository.remote.with_name("away"))
    offline = house.apply()
    house.repository.remote.with_name("away").rename(house.repository.remote)
    house.clock.later(hours=1)
    house.push(pins({"Production": 9, "@new": 1}))
    again = house.apply()

    kept = receipts(house)
    assert (offline.exit_code, again.exit_code) == (3, 3)
    assert "was not pushed" in offline.message
    assert [of_model(one)["slots"] for one in kept] == [
        [{"slot": "Production", "before": [], "after": []}],
        [{"slot": slot, "before": [], "after": []} for slot in ("@new", "Production")],
    ]
    assert {one["status"] for receipt in kept for one in receipt["models"]} == {"blocked"}


def test_a_receipt_that_cannot_be_pushed_is_said_and_goes_with_the_next_one(house: House) -> None:
    house.push(pins({"Production": 1}))
    house.repository.remote.rename(house.repository.remote.with_name("away"))
    alone = house.apply()
    house.repository.remote.with_name("away").rename(house.repository.remote)
    house.push(pins({"Production": 2}))
    done = house.apply()

    assert alone.receipt is not None
    assert (alone.exit_code, alone.receipt.unkept) == (1, alone.message.splitlines()[-1])
    assert f"The receipt {alone.receipt.id} was not pushed: git " in alone.message
    assert "reconciler audit --push" in alone.message
    assert done.exit_code == 0
    assert [receipt["id"] for receipt in receipts(house)] == [alone.receipt.id, done.receipt and done.receipt.id]
    assert structure(chain_of(house)) == ()


def test_a_receipt_says_who_approved_what_and_what_gates_were_shown(house: House) -> None:
    house.push(policy=f"{APPROVALS}  - metric: {{name: f1, threshold: 0.1}}\n")
    house.push(pins({}), pins({}, model="fraud"))
    request = house.request(pins({"Production": 1}))
    house.approve(GRACE)
    signed = house.request(pins({"Production": 2}, model="fraud"))
    house.approve(GRACE, signed=True)
    house.queue(request, signed)
    assert house.apply().exit_code == 0

    (receipt,) = receipts(house)
    (entrance,) = of_model(receipt)["entrances"]
    (other,) = of_model(receipt, "fraud")["entrances"]

    (review,), (commit,) = entrance["approvals"], other["approvals"]
    assert (review["who"], review["how"], review["commit"]) == ("@grace", f"review of #{request.number}", request.head)
    assert (commit["who"], commit["commit"]) == (GRACE.email, signed.head)
    assert commit["how"] == f"signed commit {signed.head[:8]}"
    shown = house.runs.facts[ModelRef("churn"), Version(1)]
    assert entrance["evidence"] == evidence_digests(shown)
    # What changes with its place, or where it is read from, is none of the version's own.
    elsewhere = replace(shown, url="https://elsewhere", staged_until="2026-03-02T09:00:00Z")
    assert evidence_digests(elsewhere) == entrance["evidence"]
    better = evidence_digests(replace(shown, metrics=(replace(shown.metrics[0], value=0.9),)))
    assert {part for part, digest in better.items() if entrance["evidence"][part] != digest} == {"metrics"}


def test_a_receipt_has_no_evidence_that_no_gate_asked_for(house: House) -> None:
    house.push(pins({"Production": 1}))
    house.apply()

    (entrance,) = of_model(receipts(house)[0])["entrances"]

    assert entrance == {"version": 1, "slot": "Production", "kind": "new"}


@SLOTS
@pytest.mark.parametrize("others", [False, True], ids=["alone", "and another model applied"])
def test_what_an_apply_refused_is_pending_by_its_signed_receipt(signing_house: House, slot: str, others: bool) -> None:
    """MLflow keeps no time of aliases, by which it could be told."""
    house = signing_house
    house.receipts = True
    at_work(house, slot, APPROVALS, models=("churn", "fraud"))
    house.merge(pins({slot: 6}))
    assert house.apply().blocked
    if others:
        house.merge(pins({slot: 6}, model="fraud"), approved_by=[GRACE])
        house.apply()
        assert house.in_slot("fraud", slot) == (6,)

    assert {one.model: one.status for one in house.drift().models} == {
        "churn": DriftStatus.PENDING,
        "fraud": DriftStatus.IN_SYNC,
    }


def test_without_a_signed_receipt_nobody_can_tell_what_was_refused(plain_house: House) -> None:
    house = plain_house
    house.receipts = True
    at_work(house, "@champion", APPROVALS)
    house.merge(pins({"@champion": 6}))
    assert house.apply().blocked

    assert house.drift_of() is DriftStatus.UNKNOWN


def test_what_is_refused_is_pending_whatever_else_was_applied_and_refused_before(signing_house: House) -> None:
    """What was withdrawn leaves no receipt, where there was nothing to do."""
    house, slot = signing_house, "@champion"
    house.receipts = True
    at_work(house, slot, APPROVALS, models=("churn", "fraud"))
    house.merge(pins({slot: 6}))
    assert house.apply().blocked
    house.merge(pins({slot: 4}))
    house.apply()
    house.merge(pins({slot: 6}, model="fraud"), approved_by=[GRACE])
    house.apply()
    assert house.in_slot("fraud", slot) == (6,)
    house.merge(pins({slot: 3}))
    assert house.apply().blocked

    assert house.drift_of() is DriftStatus.PENDING


def test_receipts_are_read_once_however_many_models_were_refused(
    signing_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, read = signing_house, GitReceipts.read
    house.receipts = True
    at_work(house, "@champion", APPROVALS, models=("churn", "fraud"))
    house.merge(pins({"@champion": 6}), pins({"@champion": 6}, model="fraud"))
    assert house.apply().blocked
    calls: list[GitReceipts] = []

    def counted(receipts: GitReceipts, *arguments: Any) -> Chain:
        calls.append(receipts)
        return read(receipts, *arguments)

    monkeypatch.setattr(GitReceipts, "read", counted)

    assert {one.status for one in house.drift().models} == {DriftStatus.PENDING}
    assert len(calls) == 1
