"""Receipts that somebody changed, cut off, forged or lost: an audit says which, and nothing takes them for true."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.chain import Flaw, Link, Pruning, digest_of, read_link, signed_bytes
from reconciler.core.drift import DriftStatus
from reconciler.core.history import (
    Applying,
    Declaring,
    Past,
    Placed,
    Present,
    Sighting,
    Stretch,
    Turning,
    Word,
    turns_of,
)
from reconciler.core.names import Commit, ModelRef, Slot, Version
from reconciler.core.snapshot import RegistrySnapshot, encode_provenance
from reconciler.errors import ExitCode, ReconcilerError, RegistryError
from reconciler.git.receipts import RECEIPTS
from reconciler.ports import Wanted
from reconciler.project import Project, audit_files
from reconciler.render.history import notes
from tests.house import House
from tests.house.mlflow import Mlflow
from tests.house.people import key_of, seal_with
from tests.house.scenes import NO_RULES, SOAK, at_work, begin_with, pins
from tests.story.repository import git

pytestmark = pytest.mark.house


@pytest.fixture
def house(house: House) -> House:
    """Three receipts are kept: churn's Production held v1, v2, v3."""
    house.receipts = True
    begin_with(house, three_receipts_of_others)
    return house


def three_receipts(house: House) -> None:
    house.register("churn", 4)
    house.push(policy=NO_RULES)
    for version in (1, 2, 3):
        house.push(pins({"Production": version}))
        assert house.apply().exit_code == 0
        house.clock.later(hours=1)


def three_receipts_of_others(house: House) -> None:
    three_receipts(house)
    # What this clone has seen of the ref is forgotten: as in a job, which has a new clone each time.
    forget(house)


def three_receipts_seen(house: House) -> None:
    three_receipts(house)
    project(house).audit()


def forget(house: House) -> None:
    for ref in git(house.repository.top, "for-each-ref", "--format=%(refname)", "refs/reconciler").split():
        git(house.repository.top, "update-ref", "-d", ref)


def project(house: House) -> Project:
    return house._project("manifests")  # pyright: ignore[reportPrivateUsage]


def flaws(house: House) -> dict[Flaw, str]:
    found = project(house).audit()
    assert found.grave == any(finding.grave for finding in found.findings)
    return {finding.flaw: finding.sentence for finding in found.findings}


def texts(house: House) -> list[str]:
    bodies = git(house.repository.remote, "log", "--reverse", "-z", "--format=%B", RECEIPTS)
    return [text.strip() for text in bodies.split("\0") if text.strip()]


def put(house: House, *chain: str) -> None:
    """Somebody who can push refs puts another chain there."""
    top, tip = house.repository.top, ""
    for text in chain:
        tree = git(top, "hash-object", "-t", "tree", "-w", "/dev/null")
        (top / ".git" / "text").write_text(text)
        parents = ("-p", tip) if tip else ()
        tip = git(top, "commit-tree", *parents, "-F", str(top / ".git" / "text"), tree)
    git(top, "push", "--quiet", "--force", "origin", f"{tip}:{RECEIPTS}" if tip else f":{RECEIPTS}")


def test_what_nobody_touched_is_fine(house: House) -> None:
    found = project(house).audit()

    assert (found.findings, found.receipts, found.records) == ((), 3, 5)
    assert found.signed == (3 if house.signed else 0)


def test_a_receipt_that_was_changed_is_seen(house: House) -> None:
    first, second, third = texts(house)
    put(house, first, second.replace('"after":[2]', '"after":[4]'), third)

    found = flaws(house)

    assert "No. 3 " in found[Flaw.BROKEN]
    assert (Flaw.FORGED in found) == house.signed


def test_a_cut_off_end_is_seen_that_was_about_a_model_that_was_given_up(house: House) -> None:
    whole = texts(house)
    house.register("spam")
    for done in ({"manifests/spam.yaml": pins({"Production": 1}, model="spam")}, {"manifests/spam.yaml": None}):
        house.push(files=done)
        assert house.apply().exit_code == 0
    put(house, *whole)
    forget(house)

    assert set(flaws(house)) == {Flaw.MISSING}
    assert "v1 of spam" in flaws(house)[Flaw.MISSING]


@pytest.mark.parametrize("forged", [True, False])
def test_who_can_push_hides_no_refusal_and_makes_none_up(house: House, *, forged: bool) -> None:
    """A receipt of theirs says already what the next apply refuses; without signers, nobody could tell."""
    house.push(policy=SOAK)
    house.push(pins({"Production": 4}))
    house.clock.later(hours=1)
    if forged:
        genuine = texts(house)
        assert house.apply().exit_code == ExitCode.BLOCKED
        made = read_link(texts(house)[-1])
        put(house, *genuine, replace(made, id="20260101T000000Z-0000000000", seal=None).text)
        forget(house)
        told = [turn for turn in project(house).history().turns if turn.refusal is not None]
        assert bool(told) == (not house.signed)
    assert house.apply().exit_code == ExitCode.BLOCKED

    (turn,) = (turn for turn in project(house).history().turns if turn.refusal is not None)

    assert turn.word is (Word.SIGNED if house.signed else Word.RECEIPT)
    assert len(texts(house)) == (5 if forged and house.signed else 4)


def test_a_chain_that_was_changed_and_chained_anew_is_seen_by_its_signatures(signing_house: House) -> None:
    house = signing_house
    house.receipts = True
    house.register("churn", 3)
    house.push(policy=NO_RULES)
    for version in (1, 2):
        house.push(pins({"Production": version}))
        house.apply()
    forget(house)
    first, second = (read_link(text) for text in texts(house))
    changed = json.loads(json.dumps(dict(first.receipt)).replace('"after": [1]', '"after": [3]'))
    forged = Link(first.id, first.at, changed, seal=first.seal)
    put(house, forged.text, second.behind(1, digest_of(forged.text)).text)

    found = flaws(house)

    assert set(found) == {Flaw.FORGED, Flaw.UNSIGNED}
    turns = project(house).history().turns
    assert {turn.word for turn in turns}.isdisjoint({Word.RECEIPT, Word.SIGNED})
    assert {turn.after for turn in turns} == {(1,), (2,)}


@pytest.mark.parametrize("seal", ["of another text", "none"])
def test_nothing_is_certain_by_a_receipt_that_should_be_signed_and_is_not(signing_house: House, seal: str) -> None:
    house = signing_house
    house.receipts = True
    house.register("churn", 5)
    house.push(policy=NO_RULES)
    moments: list[str] = []
    for version in (1, 2, 1):
        house.push(pins({"Production": version}))
        house.apply()
        house.clock.later(hours=6)
        moments.append(house.clock.stamp)
        house.clock.later(hours=6)
    digest = ""
    forged: list[str] = []
    for number, link in enumerate(map(read_link, texts(house))):
        said = link.text.replace('"after":[2]', '"after":[3]').replace('"before":[2]', '"before":[3]')
        changed = replace(link, receipt=json.loads(said)["receipt"])
        if number:
            changed = replace(changed.behind(number, digest), seal=link.seal if seal == "of another text" else None)
        forged.append(changed.text)
        digest = digest_of(changed.text)
    forget(house)
    put(house, *forged)

    found = [project(house).as_of(moment, ["churn"]).slots for moment in moments]

    assert [[slot.certain for slot in slots] for slots in found] == [[False], [False], [False]]
    assert {one.held for one in found[1][0].possible} != {(3,)}
    assert {turn.after for turn in project(house).history(["churn"]).turns}.isdisjoint({(3,)})


@pytest.mark.parametrize("left", [0, 1, 2])
def test_an_end_that_was_cut_off_is_seen_by_the_records_in_the_registry(house: House, left: int) -> None:
    put(house, *texts(house)[:left])

    found = flaws(house)

    assert set(found) == {Flaw.MISSING if left else Flaw.LOST}


def test_a_ref_that_was_made_anew_is_seen(house: House) -> None:
    put(house)
    house.push(pins({"Production": 4}))
    house.apply()
    forget(house)

    assert set(flaws(house)) == {Flaw.MISSING}


def test_a_beginning_that_was_cut_off_is_seen(house: House) -> None:
    put(house, *texts(house)[1:])

    found = flaws(house)

    assert "begins with no. 2" in found[Flaw.BROKEN]


DAMAGES: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[:-1],
    "longer": lambda text: f"{text} ",
    "empty": lambda text: "{}",
    "deep": lambda text: "[" * 100_000,
    "another format": lambda text: text.replace('"format":1', '"format":2'),
    "no number": lambda text: text.replace('"sequence":2', '"sequence":true'),
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_receipt_of_ours_is_seen_and_costs_itself_only(house: House, change: Callable[[str], str]) -> None:
    first, second, third = texts(house)
    put(house, first, change(second), third)

    assert Flaw.DAMAGED in flaws(house) or Flaw.BROKEN in flaws(house)
    assert [turn.after for turn in project(house).history().turns][-1] == (3,)


def test_a_receipt_that_somebody_appends_proves_nothing(house: House) -> None:
    last = read_link(texts(house)[-1])
    said = json.loads(json.dumps(dict(last.receipt)).replace('"after": [3]', '"after": [4]'))
    forged = Link("20260303T000000Z-0000000000", "2026-03-03T00:00:00Z", said).behind(3, digest_of(last.text))
    put(house, *texts(house), forged.text)

    found = flaws(house)

    assert (Flaw.UNSIGNED in found) == house.signed
    told = {turn.applying.receipt for turn in project(house).history().turns if turn.applying}
    assert (forged.id in told) != house.signed


def test_a_record_that_names_a_receipt_of_another_apply_is_seen(house: House) -> None:
    record = house.registry.provenance("churn", 4)
    first = read_link(texts(house)[0]).id
    placed = house.registry.provenance("churn", 3)[Slot("Production")]

    house.put_record(
        "churn",
        4,
        encode_provenance({**record, placed.slot: replace(placed, receipt=first, identity=None)}),
    )

    assert set(flaws(house)) == {Flaw.CONTRADICTED}


class Silent(Mlflow):
    """A registry that does not answer."""

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        raise RegistryError("unreachable", "http://mlflow does not answer.", "Check the address.")


def test_a_registry_that_cannot_be_read_is_said_and_the_chain_is_verified_all_the_same(house: House) -> None:
    house.registry = Silent(uri=house.registry.uri, clock=house.clock)

    found = project(house).audit()
    told = project(house).as_of("now")

    assert (found.records, [finding.flaw for finding in found.findings]) == (None, [Flaw.UNKNOWN])
    assert "does not answer" in told.of.untold
    assert [one.held for one in told.slots[0].possible] == [(3,)]


@pytest.fixture
def old_house(signing_house: House) -> House:
    """Three receipts are kept, and signed; this clone has seen them."""
    signing_house.receipts = True
    begin_with(signing_house, three_receipts_seen)
    return signing_house


def genuine(house: House, count: int) -> Pruning:
    """As whoever has the key would prune."""
    old = [read_link(text) for text in texts(house)[:count]]
    made = Pruning(house.clock.stamp, tuple(one.id for one in old), digest_of(old[-1].text), old[-1].at)
    return replace(made, seal=seal_with(key_of(house.key), made.signed_bytes))


def without_seal(pruning: Pruning) -> Pruning:
    return replace(pruning, seal=None)


def by_somebody(pruning: Pruning) -> Pruning:
    return replace(pruning, seal=seal_with(key_of("mallory"), pruning.signed_bytes))


def with_one_more(pruning: Pruning) -> Pruning:
    return replace(pruning, ids=(*pruning.ids, "20260503T100000Z-0000000000"))


@pytest.mark.parametrize("forge", [without_seal, by_somebody, with_one_more])
def test_a_beginning_that_was_cut_off_and_said_to_be_pruned_is_seen(
    old_house: House, forge: Callable[[Pruning], Pruning]
) -> None:
    house = old_house
    put(house, forge(genuine(house, 2)).text, *texts(house)[2:])

    seen = flaws(house)
    again = flaws(house)
    forget(house)
    anew = flaws(house)

    assert {Flaw.REWRITTEN, Flaw.BROKEN, Flaw.MISSING} <= set(seen) & set(again)
    assert {Flaw.BROKEN, Flaw.MISSING} <= set(anew)
    assert any("cut off" in finding.sentence for finding in project(house).history().of.findings)


def test_a_genuine_pruning_excuses_what_it_names_and_no_end_that_was_cut_off(old_house: House) -> None:
    house = old_house
    begin = genuine(house, 2)
    put(house, begin.text, *texts(house)[2:])
    pruned = flaws(house)
    put(house, begin.text)

    assert pruned == {}
    assert set(flaws(house)) == {Flaw.REWRITTEN, Flaw.MISSING}


def test_a_pruning_in_the_middle_or_over_another_chain_is_none(old_house: House) -> None:
    house = old_house
    first, second, third = texts(house)
    begin = genuine(house, 2).text
    put(house, first, second, begin, third)
    middle = flaws(house)
    put(house, begin, read_link(third).behind(2, digest_of(first)).text)

    assert {Flaw.DAMAGED, Flaw.REWRITTEN} <= set(middle)
    assert {Flaw.BROKEN, Flaw.REWRITTEN} <= set(flaws(house))


@pytest.mark.parametrize("wrong", ["changed", "unsigned", "cut off", "reset"])
def test_nothing_is_pruned_that_an_audit_would_not_let_pass(old_house: House, tmp_path: Path, wrong: str) -> None:
    house = old_house
    first, second, third = texts(house)
    last = read_link(third)
    more = Link("20260503T000000Z-0000000000", last.at, last.receipt).behind(3, digest_of(third))
    chains = {
        "changed": (first, second.replace('"after":[2]', '"after":[4]'), third),
        "unsigned": (first, second, third, more.text),
        "cut off": (second, third),
        "reset": (first, second),
    }
    put(house, *chains[wrong])

    with pytest.raises(ReconcilerError, match="Pruning would hide this: "):
        project(house).export_receipts(
            tmp_path / "kept", prune_before="now", signing_key=lambda data: seal_with(key_of(house.key), data)
        )

    assert texts(house) == list(chains[wrong])
    assert not (tmp_path / "kept").exists()


def test_nothing_is_pruned_over_an_export_that_somebody_changed(old_house: House, tmp_path: Path) -> None:
    house = old_house
    project(house).export_receipts(tmp_path / "kept")
    file = next((tmp_path / "kept").glob("00000002-*"))
    file.write_text(file.read_text().replace('"after":[2]', '"after":[4]'))

    with pytest.raises(ReconcilerError, match=r"is not what .* has by that number"):
        project(house).export_receipts(
            tmp_path / "kept", prune_before="now", signing_key=lambda data: seal_with(key_of(house.key), data)
        )

    assert len(texts(house)) == 3
    assert Flaw.BROKEN in {
        f.flaw for f in audit_files(tmp_path / "kept", signers=tmp_path / "kept/allowed_signers").findings
    }


def test_an_apply_says_when_what_it_puts_its_receipt_behind_is_none_that_counts(house: House) -> None:
    last = read_link(texts(house)[-1])
    forged = Link("20260503T000000Z-0000000000", last.at, last.receipt).behind(3, digest_of(last.text))
    fine = promoted(house, 4)
    put(house, *texts(house)[:3], forged.text)
    unsigned = promoted(house, 1)
    put(house, *texts(house), "{}")
    none = promoted(house, 2)

    assert "reconciler audit" not in fine
    assert ("has no signature by a listed key" in unsigned) == house.signed
    assert "is no receipt as reconciler writes it" in none
    # All the same, what was done is kept.
    assert len(texts(house)) == 7


def promoted(house: House, version: int) -> str:
    house.push(pins({"Production": version}))
    done = house.apply()
    assert done.exit_code == 0
    return done.message


@pytest.mark.parametrize("slot", ["Production", "@champion"])
def test_what_an_apply_without_a_receipt_did_is_not_blamed_on_a_person(house: House, slot: str) -> None:
    for version in (1, 2, 3, 4):
        house.push(pins({"Production": 3, "@champion": version} if slot == "@champion" else {slot: version}))
        assert house.apply().exit_code == 0
        house.clock.later(hours=1)
    put(house, *texts(house)[:-3])
    forget(house)
    at_once = project(house).history(slot=slot).turns
    house.push(pins({"Production": 3, "@champion": 1} if slot == "@champion" else {slot: 1}))
    assert house.apply().exit_code == 0

    later = project(house).history(slot=slot).turns

    told = [(turn.after, turn.turning, turn.word) for turn in at_once[-3:]]
    assert told == [
        ((n,), Turning.ROLL_BACK if n < 4 and slot != "@champion" else Turning.PROMOTE, Word.RECORD) for n in (2, 3, 4)
    ]
    assert all(turn.declaring and turn.applying and turn.applying.signed == house.signed for turn in at_once[-3:])
    assert [(turn.after, turn.word) for turn in later[-4:-1]] == [((n,), Word.RECORD) for n in (2, 3, 4)]
    assert Turning.BY_HAND not in {turn.turning for turn in later}


def test_where_a_receipt_is_missing_nobody_is_blamed_for_what_no_record_tells(house: House) -> None:
    house.push(pins({"Production": 3, "@champion": 1}))
    house.apply()
    kept = texts(house)
    house.push(pins({"Production": [], "@champion": "null"}))
    house.apply()
    put(house, *kept)
    forget(house)

    left = {turn.slot: turn for turn in project(house).history().turns if turn.after == () and turn.before}

    # An alias that is removed leaves no record; a version that leaves a stage has one of where it went.
    assert {slot: turn.turning for slot, turn in left.items()} == {
        "@champion": Turning.UNKNOWN,
        "Production": Turning.VACATE,
    }
    assert left[Slot("@champion")].note.startswith("Moved by hand, or by an apply whose receipt is missing.")
    assert left[Slot("Production")].word is Word.RECORD


@pytest.mark.parametrize("empties", [True, False])
def test_a_record_tells_that_a_version_left_only_where_its_commit_does_not_keep_it(*, empties: bool) -> None:
    staging, archived, version = Slot("Staging"), Slot("Archived"), Version(2)
    keeps = Stretch(1, Declaring(Commit("a" * 40), "2026-03-01T09:00:00Z"), {staging: (version,)})
    clears = Stretch(0, Declaring(Commit("b" * 40), "2026-03-01T11:00:00Z"), {staging: ()})
    apply = Applying("20260301T100000Z-1f3a9c0b2d", 1, Commit("a" * 40))
    seen = Sighting(
        apply, "2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z", {staging: ()}, {staging: (version,)}, place=1
    )
    record = Placed("2026-03-01T12:00:00Z", None, "20260301T120000Z-1f3a9c0b2d", 0 if empties else 1)
    there = Present(
        "2026-03-01T13:00:00Z",
        {archived: (version,)},
        {version: "2026-03-01T12:00:00Z"},
        unreceipted={(version, archived): record},
    )

    found = turns_of(Past(ModelRef("churn"), (clears, keeps), (seen,), there), staging)

    assert [(turn.turning, turn.word) for turn in found if turn.happened][1:] == [
        (Turning.VACATE, Word.RECORD) if empties else (Turning.BY_HAND, Word.MLFLOW)
    ]


def test_a_person_who_asks_for_the_past_sees_what_an_audit_would_find(house: House) -> None:
    house.apply()
    put(house, *texts(house)[:-1])
    forget(house)

    found = project(house).as_of("now")

    assert [finding.flaw for finding in found.of.findings] == [
        finding.flaw for finding in project(house).audit().findings
    ]
    first, second, *_ = notes(found.of)
    assert first == "Receipts are missing: run `reconciler audit`."
    assert "in Production" in second


def test_where_the_remote_is_not_reached_nothing_is_missing(house: House) -> None:
    house.repository.remote.rename(house.repository.remote.with_name("away"))

    assert set(flaws(house)) == {Flaw.UNKNOWN}
    assert Turning.BY_HAND not in {turn.turning for turn in project(house).history().turns}


def test_a_receipt_of_one_model_bears_out_no_record_of_another(house: House) -> None:
    house.register("fraud", 4)
    house.push(pins({"Production": 4}, model="fraud"))
    house.apply()
    genuine = house.registry.provenance("fraud", 4)[Slot("Production")]

    house.by_hand("churn", 4, "Production")
    house.put_record("churn", 4, encode_provenance({genuine.slot: replace(genuine, identity=None)}))

    assert "v4 of churn in Production" in flaws(house)[Flaw.CONTRADICTED]


def test_a_receipt_bears_out_the_record_of_a_model_that_was_renamed_since(house: House) -> None:
    manifest = pins({"Production": 3}, model="churn-eu", also="formerly: churn\n")
    house.merge(manifest, files={"manifests/churn.yaml": None})
    assert house.apply().exit_code == 0

    assert flaws(house) == {}


def as_refused(text: str) -> str:
    """A receipt that says of churn that it was left as it was."""
    link = read_link(text)
    told = json.loads(json.dumps(dict(link.receipt)))
    for model in told["models"]:
        model.update(status="blocked", calls=[])
    return replace(link, receipt=told).text


@pytest.mark.parametrize("receipts", ["as they are", "gone", "changed", "of the refusal alone", "damaged"])
def test_no_receipt_makes_a_move_that_was_taken_back_wait(signing_house: House, receipts: str) -> None:
    """churn's alias is moved by an apply, after one that refused it; then somebody puts back how it was before."""
    house = signing_house
    house.receipts = True
    at_work(house, "@champion", SOAK)
    house.by_hand("churn", 6, "Staging")
    kept = (house.owner_record("churn"), *(house.record_on("churn", version) for version in (4, 6)))
    house.merge(pins({"@champion": 6}))
    assert house.apply().blocked
    refused = texts(house)
    assert house.drift_of() is DriftStatus.PENDING
    house.clock.later(days=4)
    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("churn", "@champion") == (6,)

    house.by_hand("churn", 4, "@champion")
    house.put_owner_record("churn", kept[0])
    house.put_record("churn", 4, kept[1])
    house.put_record("churn", 6, kept[2])
    *before, last = texts(house)
    if receipts == "gone":
        put(house)
    elif receipts == "changed":
        put(house, *before, as_refused(last))
    elif receipts == "of the refusal alone":
        put(house, *refused[-1:])
    elif receipts == "damaged":
        put(house, *before, last[:-1])
    forget(house)

    assert house.drift_of() in {DriftStatus.UNKNOWN, DriftStatus.DRIFTED}


@pytest.mark.parametrize("again", [False, True], ids=["at once", "before the refusal"])
def test_a_refusal_does_not_hide_what_was_taken_back_of_an_apply_before_it(signing_house: House, again: bool) -> None:
    """churn's alias was moved to v5; the next move is refused; and somebody puts back how it was before both."""
    house = signing_house
    house.receipts = True
    at_work(house, "@champion", SOAK)
    kept = (house.owner_record("churn"), *(house.record_on("churn", version) for version in (4, 5)))

    def take_back() -> None:
        house.by_hand("churn", 4, "@champion")
        house.put_owner_record("churn", kept[0])
        house.put_record("churn", 4, kept[1])
        house.put_record("churn", 5, kept[2])

    house.merge(pins({"@champion": 5}))
    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("churn", "@champion") == (5,)
    house.merge(pins({"@champion": 6}))
    if again:
        take_back()
    assert house.apply().blocked
    if not again:
        assert house.drift_of() is DriftStatus.PENDING
        take_back()

    assert house.drift_of() in {DriftStatus.UNKNOWN, DriftStatus.DRIFTED}


@pytest.mark.parametrize("older", ["forged", "signed"])
def test_a_receipt_of_an_older_commit_hides_none_before_it(signing_house: House, older: str) -> None:
    """
    What was let in is taken back, and refused from then on; in between, there is a receipt of an older commit, which
    anybody who can push may have made, or an apply that went back.
    """
    house = signing_house
    house.receipts = True
    at_work(house, "@champion", SOAK)
    before = texts(house)[-1]
    kept = (house.owner_record("churn"), *(house.record_on("churn", version) for version in (4, 5)))
    house.merge(pins({"@champion": 5}))
    assert house.apply().exit_code == ExitCode.OK
    house.by_hand("churn", 4, "@champion")
    house.by_hand("churn", 5, "None")
    house.put_owner_record("churn", kept[0])
    house.put_record("churn", 4, kept[1])
    house.put_record("churn", 5, kept[2])
    chain = texts(house)
    link = replace(read_link(before), id="an-older-one").behind(len(chain), digest_of(chain[-1]))
    if older == "signed":
        link = replace(link, seal=seal_with(key_of(house.key), signed_bytes(link)))
    put(house, *chain, link.text)
    forget(house)

    assert house.apply().blocked

    assert house.drift_of() in {DriftStatus.UNKNOWN, DriftStatus.DRIFTED}
