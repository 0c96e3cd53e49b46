"""A receipt that is missing is somebody's word against nobody's, until a person answers for it in a reviewed commit."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.core.chain import Finding, Flaw
from reconciler.core.history import Turning
from reconciler.core.names import Slot
from reconciler.core.snapshot import encode_provenance
from reconciler.git.approvals import is_signed_by
from reconciler.git.receipts import RECEIPTS
from reconciler.project import Project
from reconciler.render.history import audit_line, notes
from reconciler.verifying import audit_bundle
from tests.house import ADA, GRACE, House
from tests.house.people import Seals
from tests.house.scenes import NO_RULES, begin_with, pins
from tests.story.repository import git

pytestmark = pytest.mark.house

REASON = "The runner lost power; slots compared by hand."


def project(house: House) -> Project:
    return house._project("manifests")  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def house(house: House) -> House:
    """The second of three applies was killed behind its move, so its receipt is missing."""
    house.receipts = True
    begin_with(house, one_missing)
    return house


def one_missing(house: House) -> None:
    house.register("churn", 4)
    house.push(policy=NO_RULES)
    for version in (1, 2, 3):
        promote(house, version, killed=version == 2)


def promote(house: House, version: int, *slots: str, killed: bool = False) -> None:
    """As one that is killed behind its last call does, which leaves no receipt anywhere."""
    house.push(pins(dict.fromkeys(("Production", *slots), version)))
    before = git(house.repository.remote, "for-each-ref", "--format=%(objectname)", RECEIPTS)
    assert house.apply().exit_code == 0
    house.clock.later(hours=2)
    if killed:
        git(house.repository.remote, "update-ref", *([RECEIPTS, before] if before else ["-d", RECEIPTS]))
        for ref in git(house.repository.top, "for-each-ref", "--format=%(refname)", "refs/reconciler").split():
            git(house.repository.top, "update-ref", "-d", ref)


def findings(house: House) -> tuple[Finding, ...]:
    return project(house).audit().findings


def missing(house: House) -> str:
    """The lines that the finding says to write."""
    (finding,) = findings(house)
    assert finding.flaw is Flaw.MISSING
    lines = finding.sentence.split("`")[-2]
    assert lines.startswith("missing-receipts: [{receipt: 2026")
    return lines.replace("…", REASON) + "\n"


def receipt_in(lines: str) -> str:
    return lines.split("receipt: ")[1].split(",", maxsplit=1)[0]


def acknowledge(house: House, *receipts: str) -> str:
    """By a request, and with another change after it; gives the commit."""
    lines = "".join(f'- {{receipt: {one}, reason: "{REASON}"}}\n' for one in receipts)
    house.merge(policy=f"missing-receipts:\n{lines}" if lines else NO_RULES, title="Answer for it")
    done = house.main
    house.apply()
    house.push(pins({"Production": 3}, also=f"description: Seen {house.clock.stamp}\n"))
    return done


def test_who_answers_for_it_answers_for_no_record_that_somebody_writes_later(house: House) -> None:
    receipt = receipt_in(missing(house))
    acknowledge(house, receipt)
    placed = house.registry.provenance("churn", 2)[Slot("Production")]

    house.by_hand("churn", 4, "@champion")
    forged = replace(placed, receipt=receipt, seal=None, slot=Slot("@champion"), identity=None)
    house.put_record("churn", 4, encode_provenance({forged.slot: forged}))
    beside = {finding.flaw for finding in findings(house)}
    house.put_record("churn", 4, encode_provenance({placed.slot: replace(forged, slot=placed.slot)}))
    instead = {finding.flaw for finding in findings(house)}

    assert beside == instead == {Flaw.ACKNOWLEDGED, Flaw.MISSING}


def test_what_the_policy_acknowledges_is_listed_with_who_answers_for_it(house: House) -> None:
    before = house.apply()
    commit = acknowledge(house, receipt_in(missing(house)))

    (finding,) = findings(house)
    audit = project(house).audit()

    assert before.exit_code == 0
    assert finding.flaw is Flaw.ACKNOWLEDGED
    assert finding.acknowledged is not None
    assert (finding.acknowledged.commit, finding.acknowledged.reason) == (commit, REASON)
    assert REASON in finding.sentence
    assert (audit.grave, audit.unproven) == (False, False)
    assert audit_line(audit).endswith("0 wrong, 0 not proven, 1 acknowledged.")


def test_the_past_is_no_surer_because_of_it(house: House) -> None:
    def told() -> list[tuple[object, object, Turning]]:
        turns = project(house).history(slot="Production").turns
        return [(t.before, t.after, t.turning) for t in turns if t.happened]

    lines = missing(house)
    before = told()

    acknowledge(house, receipt_in(lines))

    assert told() == before
    assert [REASON in note for note in notes(project(house).history().of)] == [True]
    assert Turning.BY_HAND not in {turning for _, _, turning in before}


def test_a_change_does_not_acknowledge_for_itself_and_its_review_says_so_first(house: House) -> None:
    lines = missing(house)
    request = house.request(policy=lines)
    reviewed = house.plan(request)
    assert reviewed.review is not None
    house.merge(request, approved_by=[GRACE])

    (finding,) = findings(house)

    first = min(reviewed.review.notes, key=lambda note: note.weight).text
    assert first.startswith("This change acknowledges that receipts are missing")
    assert receipt_in(lines) in first
    assert REASON in first
    assert finding.flaw is Flaw.MISSING
    assert finding.sentence.endswith("The policy acknowledges it from the next change on.")


@pytest.mark.parametrize("known", [True, False])
def test_one_that_is_not_missing_or_that_no_record_names_is_stale(house: House, *, known: bool) -> None:
    lost = receipt_in(missing(house))
    kept = next(turn.applying.receipt for turn in project(house).history().turns if turn.applying)
    other = kept if known else "20260101T000000Z-0123456789"

    acknowledge(house, lost, other)

    assert {finding.flaw for finding in findings(house)} == {Flaw.STALE, Flaw.ACKNOWLEDGED}
    (stale,) = (finding for finding in findings(house) if finding.flaw is Flaw.STALE)
    assert other in stale.sentence
    assert ("it is not missing" in stale.sentence) == known
    assert project(house).audit().unproven


def test_a_bundle_says_whole_that_a_missing_receipt_is_acknowledged_and_proves_no_more_by_it(house: House) -> None:
    lost = receipt_in(missing(house))
    policy = f'- {{receipt: {lost}, reason: "{REASON} {"The page of the incident has all. " * 5}Seen."}}\n'
    house.merge(policy=f"missing-receipts:\n{policy}", title="Answer for it")
    answered = house.main
    house.apply()
    house.push(pins({"Production": 3}, also="description: Seen\n"))

    made = project(house).evidence("churn", 2)
    audit = audit_bundle(made.whole.files, made.name, house.signers, Seals(), is_signed_by)

    (line,) = (one for one in made.whole.lacking if "Acknowledged by" in one)
    (finding,) = (one for one in audit.findings if one.flaw is Flaw.MISSING)
    assert line.endswith("Seen.")
    assert (
        f"By the bundle's own word, its repository answers for that: Acknowledged by Ada Lovelace in {answered[:12]}"
        in (finding.sentence)
    )
    assert "missing-receipts" not in finding.sentence


def test_who_takes_it_back_has_it_missing_again(house: House) -> None:
    lost = receipt_in(missing(house))
    acknowledge(house, lost)

    acknowledge(house)

    assert receipt_in(missing(house)) == lost


def test_the_first_apply_of_all_can_be_acknowledged_too(houses: Callable[..., House], signed: bool) -> None:
    house = houses(signed=signed)
    house.receipts = True
    house.register("churn", 1)
    house.push(policy=NO_RULES)
    promote(house, 1, killed=True)
    (lost,) = findings(house)

    acknowledge(house, lost.sentence.rpartition(" names ")[2].rstrip("."))

    assert lost.flaw is Flaw.LOST
    assert [finding.flaw for finding in findings(house)] == [Flaw.ACKNOWLEDGED]


def test_a_shallow_clone_takes_its_last_commit_for_nobodys_word(house: House) -> None:
    acknowledge(house, receipt_in(missing(house)))
    house.push(files={"notes/1.md": "A note\n"}, by=ADA)
    house.push(files={"notes/2.md": "A note\n"}, by=ADA)
    git(house.repository.top, "fetch", "--quiet", "--depth=2", f"file://{house.repository.remote}", "main")

    (finding,) = [one for one in findings(house) if one.acknowledged]

    assert finding.acknowledged is not None
    assert (finding.acknowledged.commit, finding.acknowledged.author) == (None, "")


def test_all_that_an_apply_did_whose_receipt_is_missing_is_named(house: House) -> None:
    promote(house, 4, "@champion", killed=True)

    (last,) = (finding.sentence for finding in findings(house) if "v4 of churn" in finding.sentence)

    assert "which the chain lacks. So do those of v" in last
    assert "@champion" in last
    assert "in Production" in last
