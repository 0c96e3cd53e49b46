"""A bundle of evidence is made of what there is, says what there is not, and is believed by whoever has the signers."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from reconciler.core.bundle import LIST
from reconciler.core.chain import Flaw
from reconciler.core.names import AliasName, ModelRef, Version
from reconciler.core.slot_map import PLAIN, SlotMap, StageAlias
from reconciler.errors import ReconcilerError
from reconciler.git.approvals import is_signed_by
from reconciler.git.receipts import RECEIPTS, SEEN
from reconciler.project import Evidence
from reconciler.verifying import audit_bundle
from tests.house import GRACE, House, Way
from tests.house.people import QUEUE_BOT, Seals, key_of, person_line, seal_with
from tests.house.scenes import APPROVALS, NO_RULES, begin_with, pins
from tests.story.repository import git

pytestmark = pytest.mark.house

SHOWN = f"{APPROVALS}  - metric: {{name: f1, threshold: 0.1}}\n"


@pytest.fixture
def house(house: House) -> House:
    """v1 is in Production, on Grace's word; receipts are kept."""
    house.receipts = True
    begin_with(house, shown)
    return house


def shown(house: House) -> None:
    house.register("churn", 3)
    house.push(policy=SHOWN)
    house.push(pins({}))
    promote(house, 1)


def promote(house: House, version: int, **more: Any) -> None:
    house.merge(pins({"Production": version}), approved_by=[GRACE], **more)
    done = house.apply()
    assert done.exit_code == 0, done.sentences()


def taken(house: House, version: int, model: str = "churn") -> Evidence:
    key = partial(seal_with, key_of(house.key)) if house.signed else None
    return house._project("manifests").evidence(model, version, signing_key=key)  # pyright: ignore[reportPrivateUsage]


def flaws(house: House, evidence: Evidence) -> set[Flaw]:
    audit = audit_bundle(evidence.whole.files, evidence.name, house.signers, Seals(), is_signed_by)
    return {finding.flaw for finding in audit.findings}


def fine(house: House) -> set[Flaw]:
    return set() if house.signed else {Flaw.UNSIGNED}


def text(evidence: Evidence, path: str) -> str:
    return evidence.whole.files[path].decode()


def of_review(evidence: Evidence) -> dict[str, Any]:
    """The newest review."""
    path = max(path for path in evidence.whole.files if path.startswith("reviews/") and path.endswith(".json"))
    return json.loads(text(evidence, path))


def test_evidence_that_gates_were_shown_is_told_from_what_changed_since(house: House) -> None:
    before = of_review(taken(house, 1))["notes"]
    key = ModelRef("churn"), Version(1)
    house.runs.log("churn", Version(1), "9" * 32, 0.99, house.runs.facts[key].created_at)
    after = of_review(taken(house, 1))["notes"]

    assert "The evidence is what the gates were shown then" in before[1]
    assert "this is not as the gates were shown it then: metrics, run. As it was then: created_at" in after[1]


def test_a_review_says_what_was_done_then_whatever_the_registry_holds_now(house: House) -> None:
    house.clock.later(days=2)
    promote(house, 2)
    evidence = taken(house, 1)

    review = of_review(evidence)

    assert [change["sentence"] for change in review["resource_changes"]] == ["churn: promote v1: None -> Production"]
    assert review["resource_changes"][0]["manifest"]["path"] == "manifests/churn.yaml"
    assert [verdict["ruling"] for verdict in review["verdicts"]] == ["pass", "pass"]
    assert review["digest"] == json.loads(text(evidence, "receipts/00000001.json"))["receipt"]["plan_digest"]
    assert "`Production` v1 -> v2: promote" in text(evidence, "card.md")
    assert flaws(house, evidence) == fine(house)


def test_a_review_reads_the_manifests_by_the_stages_of_then(house: House) -> None:
    stages = SlotMap((StageAlias("Canary", AliasName("canary")),))
    house.merge(policy=f"stages: {{Canary: canary}}\n{APPROVALS}")
    house.slots = stages
    house.merge(pins({"Canary": 2, "Production": 1}), approved_by=[GRACE])
    assert house.apply().exit_code == 0
    house.merge(pins({"@canary": 2, "Production": 1}), policy=APPROVALS, approved_by=[GRACE])
    house.slots = PLAIN

    evidence = taken(house, 2)

    review = of_review(evidence)
    assert not [note for note in review["notes"] if "could not be read" in note]
    assert [change["manifest"]["line"] for change in review["resource_changes"]] == [4]
    assert flaws(house, evidence) == fine(house)


def test_a_rollback_has_a_review_of_each_time_that_it_came_in(house: House) -> None:
    promote(house, 2)
    promote(house, 1)
    evidence = taken(house, 1)

    assert evidence.whole.entrances == 2
    assert of_review(evidence)["resource_changes"][0]["verb"] == "roll back"
    assert flaws(house, evidence) == fine(house)


def test_a_version_that_never_came_in_has_a_card_and_no_review(house: House) -> None:
    evidence = taken(house, 3)

    assert not [path for path in evidence.whole.files if path.startswith("reviews/")]
    assert "The review: no receipt of an apply that let it in is kept" in evidence.lacking[0]
    assert "| `f1` | 0.66 |" in text(evidence, "card.md")
    assert flaws(house, evidence) == fine(house)


def test_a_version_that_was_deleted_is_told_of_by_receipts_alone(house: House) -> None:
    promote(house, 2)
    house.delete_version("churn", 1)
    evidence = taken(house, 1)

    assert "the registry does not have it anymore" in " ".join(evidence.lacking)
    assert of_review(evidence)["resource_changes"]
    assert "provenance.json" not in evidence.whole.files
    assert flaws(house, evidence) == fine(house)
    with pytest.raises(ReconcilerError, match="Nothing is known of v7 of churn"):
        taken(house, 7)
    with pytest.raises(ReconcilerError, match="Nothing is known of a model chrun"):
        taken(house, 1, "chrun")


def test_a_number_that_was_registered_again_is_another_version(house: House) -> None:
    house.delete_version("churn", 3)
    house.register("churn", 1)
    promote(house, 3)
    first = taken(house, 3)
    house.by_hand("churn", 1, "Production")
    house.delete_version("churn", 3)
    house.register("churn", 1)
    evidence = taken(house, 3)

    assert (first.whole.entrances, evidence.whole.entrances) == (1, 0)


def test_a_renamed_model_keeps_its_evidence(house: House) -> None:
    house.merge(
        pins({"Production": 1}, model="attrition", also="formerly: churn\n"),
        files={"manifests/churn.yaml": None},
        approved_by=[GRACE],
    )
    done = house.apply()
    evidence = taken(house, 1, "attrition")

    assert done.exit_code == 0, done.sentences()
    assert evidence.whole.entrances >= 1
    assert json.loads(text(evidence, LIST))["names"] == ["attrition", "churn"]
    assert flaws(house, evidence) == fine(house)


@pytest.mark.parametrize("applied", [True, False])
def test_a_bundle_is_of_the_same_version_by_each_name_that_its_model_has_or_had(house: House, *, applied: bool) -> None:
    manifest = pins({"Production": 1}, model="attrition", also="formerly: churn\n")
    house.merge(manifest, files={"manifests/churn.yaml": None}, approved_by=[GRACE])
    if applied:
        assert house.apply().exit_code == 0
        house.merge(pins({"Production": 1}, model="attrition"), approved_by=[GRACE])

    by_old, by_new = taken(house, 1), taken(house, 1, "attrition")

    assert by_old.whole.files == by_new.whole.files
    assert set(by_new.whole.about.names) == {"attrition", "churn"}
    assert by_new.lacking == ()
    assert flaws(house, by_new) == fine(house)


def test_files_that_are_gone_are_said_to_be(house: House) -> None:
    house.files.lost.add(("churn", 1))

    evidence = taken(house, 1)

    assert evidence.lacking == ("The digests of the files: The files of churn v1 are gone.",)
    assert flaws(house, evidence) == fine(house)


def test_a_receipt_of_an_older_release_is_enough_for_a_bundle(house: House) -> None:
    """Without approvals, evidence, identities' like: as it was before these were written."""
    top, remote = house.repository.top, house.repository.remote
    old = json.loads(git(remote, "log", "-1", "--format=%B", RECEIPTS))
    for model in old["receipt"]["models"]:
        for entrance in model["entrances"]:
            for key in ("approvals", "evidence"):
                entrance.pop(key)
    old["signature"] = None
    written = json.dumps(old, sort_keys=True, separators=(",", ":"))
    (top / ".git" / "text").write_text(written)
    tree = git(top, "hash-object", "-t", "tree", "-w", "/dev/null")
    tip = git(top, "commit-tree", "-F", str(top / ".git" / "text"), tree)
    git(top, "push", "--quiet", "--force", "origin", f"{tip}:{RECEIPTS}")
    for ref in (RECEIPTS, SEEN):
        git(top, "update-ref", "-d", ref)

    evidence = taken(house, 1)

    assert json.loads(text(evidence, "approvals.json")) == {"approvals": []}
    assert "The receipt has no digest of the evidence" in of_review(evidence)["notes"][1]
    assert Flaw.DAMAGED not in flaws(house, evidence)


def test_signed_commits_stand_beside_the_signers_of_their_time(signing_house: House) -> None:
    house = signing_house
    house.receipts = True
    house.register("churn", 1)
    house.push(policy=SHOWN)
    house.push(pins({}))
    request = house.request(pins({"Production": 1}))
    house.approve(GRACE, request, signed=True)
    house.merge(request, way=Way.MERGE)
    assert house.apply().exit_code == 0
    then = house.signers
    house.list_signer(person_line(QUEUE_BOT))
    house.push(policy=NO_RULES)

    evidence = taken(house, 1)

    (approval,) = json.loads(text(evidence, "approvals.json"))["approvals"]
    assert (approval["object"], approval["commit"]) == (f"commits/{request.head}", request.head)
    assert text(evidence, approval["signers"]) == then


def test_what_was_found_at_adoption_is_shown_as_found(signing_house: House) -> None:
    house = signing_house
    house.receipts = True
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.begin(SHOWN, pins({"Production": 1}))

    review = of_review(taken(house, 1))

    assert [(change["verb"], change["sentence"]) for change in review["resource_changes"]] == [
        ("find", "churn: find v1: Production already, found and not judged")
    ]


def test_an_apply_that_broke_off_behind_the_move_is_shown_with_how_it_ended(house: House) -> None:
    house.merge(pins({"Production": 2, "@champion": 2}), approved_by=[GRACE])
    calls = 0
    while 2 not in house.in_slot("churn"):
        calls += 1
        house.apply(killed_after=calls)
        assert calls < 9
    evidence = taken(house, 2)

    assert "This apply did not end well: failed. Stopped: it may be half done." in of_review(evidence)["notes"]
    assert Flaw.CONTRADICTED not in flaws(house, evidence)


def test_what_people_wrote_is_shown_and_not_obeyed_and_logins_are_cut_out(house: House) -> None:
    live = house.registry.models[ModelRef("churn")]
    written = "See https://ada:s3cret@acme.example\n# <script> | @all `x`"
    house.registry.models[live.name] = replace(
        live, description=written, tags={"page": written, "reconciler.x": "ours"}
    )

    evidence = taken(house, 1)

    card = evidence.whole.files["card.md"].decode()
    assert b"s3cret" not in b"".join(evidence.whole.files.values())
    assert not [line for line in card.splitlines() if line.startswith("# <") or ("<script" in line and "`" not in line)]
    assert "ours" not in card
