"""Receipts are exported and pruned, and everything goes on: the audit is clean, and the past is told."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.core.chain import Audit, Flaw
from reconciler.core.history import Word
from reconciler.errors import ReconcilerError
from reconciler.git.approvals import is_signed_by
from reconciler.project import Exporting, Project, audit_files
from reconciler.render.history import notes
from reconciler.verifying import audit_bundle
from tests.house import House
from tests.house.people import Seals, key_of, seal_with
from tests.house.scenes import NO_RULES, begin_with, pins

pytestmark = pytest.mark.house


@pytest.fixture
def house(signing_house: House) -> House:
    """Four receipts are kept: churn's Production held v1, v2, v3 and v4, for a day each."""
    signing_house.receipts = True
    begin_with(signing_house, four_receipts)
    return signing_house


def four_receipts(house: House) -> None:
    house.register("churn", 5)
    house.push(policy=NO_RULES)
    for version in (1, 2, 3, 4):
        promote(house, version)


def promote(house: House, version: int) -> None:
    house.push(pins({"Production": version}))
    assert house.apply().exit_code == 0
    house.clock.later(hours=24)


def project(house: House) -> Project:
    return house._project("manifests")  # pyright: ignore[reportPrivateUsage]


def prune(house: House, folder: Path, before: str = "50 hours ago") -> Exporting:
    key = key_of(house.key)
    return project(house).export_receipts(folder, prune_before=before, signing_key=lambda data: seal_with(key, data))


def signers(house: House, tmp_path: Path) -> Path:
    file = tmp_path / "signers"
    file.write_text(house.signers)
    return file


def test_what_was_pruned_is_said_and_nothing_is_missing(house: House, tmp_path: Path) -> None:
    done = prune(house, tmp_path / "kept")

    found = project(house).audit()
    assert (done.exported, done.kept, done.pruned and done.pruned.count) == (4, 2, 2)
    assert (found.findings, found.receipts, found.signed, found.pruned) == ((), 2, 2, done.pruned)
    # Records in the registry name all four.
    assert found.records == 7
    promote(house, 5)
    assert (project(house).audit().findings, project(house).audit().receipts) == ((), 3)


def test_without_the_export_nothing_is_certain_of_the_time_whose_receipts_were_pruned(
    house: House, tmp_path: Path
) -> None:
    prune(house, tmp_path / "kept")

    early, late = (project(house).as_of(when).slots[0] for when in ("80 hours ago", "30 hours ago"))
    told = project(house).as_of("80 hours ago", receipts=tmp_path / "kept").slots[0]

    assert (early.certain, late.certain, told.certain) == (False, True, True)
    assert early.differences == ("receipts of that time were pruned, and may say otherwise",)


def test_the_export_is_verified_by_itself(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept")
    promote(house, 5)
    project(house).export_receipts(tmp_path / "kept")

    found = audit_files(tmp_path / "kept", signers=signers(house, tmp_path))

    assert (found.findings, found.receipts, found.signed, found.pruned) == ((), 5, 5, None)
    assert (tmp_path / "kept" / "allowed_signers").read_text() == house.signers


def test_history_says_what_was_pruned_and_tells_it_from_the_export(house: House, tmp_path: Path) -> None:
    whole = project(house).history().turns
    prune(house, tmp_path / "kept")

    short = project(house).history()
    again = project(house).history(receipts=tmp_path / "kept")

    assert [turn.word for turn in short.turns] == [Word.RECORD, Word.RECORD, Word.SIGNED, Word.SIGNED]
    assert [turn.applying and turn.applying.receipt for turn in short.turns] == [
        turn.applying and turn.applying.receipt for turn in whole
    ]
    assert [turn.after for turn in short.turns] == [turn.after for turn in whole]
    assert "Receipts no. 1 to 2, up to " in next(notes(short.of))
    assert (again.turns, list(notes(again.of))) == (whole, [])


def test_a_version_that_came_in_twice_has_a_record_of_the_last_time_alone(house: House, tmp_path: Path) -> None:
    promote(house, 2)
    prune(house, tmp_path / "kept", "12 hours ago")
    promote(house, 5)

    turns = project(house).history().turns

    assert [(turn.after[0], turn.word) for turn in turns] == [
        (1, Word.RECORD),
        (2, Word.GIT),
        (3, Word.RECORD),
        (4, Word.RECORD),
        (2, Word.RECORD),
        (5, Word.SIGNED),
    ]


def test_as_of_knows_by_the_export_what_git_alone_cannot(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept", "now")

    (then,) = project(house).as_of("2 days ago").slots
    (known,) = project(house).as_of("2 days ago", receipts=tmp_path / "kept").slots

    assert {one.word for one in then.possible} == {Word.RECORD}
    assert [(one.held, one.word) for one in known.possible] == [((3,), Word.SIGNED)]


def test_pruning_again_names_all_that_ever_was(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept", "80 hours ago")

    done = prune(house, tmp_path / "kept", "30 hours ago")

    assert (done.exported, done.kept, done.pruned and done.pruned.count) == (0, 1, 3)
    assert project(house).audit().findings == ()
    assert audit_files(tmp_path / "kept", signers=signers(house, tmp_path)).findings == ()
    assert prune(house, tmp_path / "kept", "30 hours ago").pruned is None


def test_all_can_be_pruned_and_the_next_one_follows(house: House, tmp_path: Path) -> None:
    assert prune(house, tmp_path / "kept", "now").kept == 0
    promote(house, 5)

    found = project(house).audit()

    assert (found.findings, found.receipts) == ((), 1)
    assert [turn.after for turn in project(house).history().turns][-1] == (5,)


def test_a_retired_key_has_pruned_well(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept")
    house.clock.later(hours=30)
    house.rotate("later", retired=house.clock.stamp[:10].replace("-", ""))
    house.push(policy=NO_RULES)
    promote(house, 5)
    promote(house, 4)

    assert project(house).audit().findings == ()


def test_nothing_is_pruned_without_the_key_or_with_another(house: House, tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="no key was given"):
        project(house).export_receipts(tmp_path / "kept", prune_before="now")
    house.key = "somebody"
    with pytest.raises(ReconcilerError, match="none that the standing policy lists"):
        prune(house, tmp_path / "kept")

    assert project(house).audit().receipts == 4


def test_nothing_is_pruned_where_nobody_signs(plain_house: House, tmp_path: Path) -> None:
    house = plain_house
    house.receipts = True
    house.register("churn", 1)
    house.push(policy=NO_RULES)
    promote(house, 1)

    with pytest.raises(ReconcilerError, match="the policy names nobody who signs records"):
        prune(house, tmp_path / "kept", "now")

    assert project(house).export_receipts(tmp_path / "kept").exported == 1
    assert project(house).audit().receipts == 1


def bundle(house: House, version: int) -> Mapping[str, bytes]:
    key = key_of(house.key)
    return project(house).evidence("churn", version, signing_key=lambda data: seal_with(key, data)).whole.files


def verified(house: House, files: Mapping[str, bytes], signers: str | None = None) -> Audit:
    return audit_bundle(files, "x.zip", house.signers if signers is None else signers, Seals(), is_signed_by)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_bundle_made_after_a_pruning_says_what_an_audit_of_the_chain_says(
    house: House, tmp_path: Path, version: int
) -> None:
    before = bundle(house, version)
    done = prune(house, tmp_path / "kept")
    after = bundle(house, version)

    ours, whole = project(house).audit(), verified(house, before)
    theirs = verified(house, after)

    assert (ours.findings, theirs.findings, whole.findings) == ((), (), ())
    assert theirs.pruned == ours.pruned == done.pruned
    assert whole.pruned is None
    assert any("were pruned on" in line for line in json.loads(after["bundle.json"])["lacking"])


def test_a_bundle_of_a_chain_of_which_all_was_pruned_is_fine(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept", "now")

    found = verified(house, bundle(house, 4))

    assert (found.findings, found.receipts, found.pruned is not None) == ((), 0, True)


def test_a_pruning_in_a_bundle_counts_by_a_key_that_the_verifier_lists_alone(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept")
    files = bundle(house, 4)
    nobody = verified(house, files, "")

    assert nobody.pruned is None
    assert {Flaw.BROKEN, Flaw.UNSIGNED} <= {finding.flaw for finding in nobody.findings}
    assert any("those before it were cut off" in finding.sentence for finding in nobody.findings)


def test_an_export_is_not_proven_by_the_keys_that_lie_beside_it(house: House, tmp_path: Path) -> None:
    prune(house, tmp_path / "kept")
    (tmp_path / "none").write_text("")

    found = audit_files(tmp_path / "kept", signers=tmp_path / "none")

    assert ([finding.flaw for finding in found.findings], found.signed) == ([Flaw.UNSIGNED], 0)
