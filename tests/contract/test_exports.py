"""Receipts as plain files: whole, never changed, and read again as the chain that they were."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.chain import Chain, Flaw, Link, Pruning, Stored, digest_of, structure, with_exported
from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.writing.exports import Exported


def chain_of(*links: Link, pruned: Pruning | None = None) -> Chain:
    """These, one behind the other."""
    stored: list[Stored] = []
    number, digest = (pruned.count, pruned.digest) if pruned else (0, "")
    for link in links:
        placed = link.behind(number, digest)
        stored.append(Stored(Commit(f"{number:040x}"), placed.text))
        number, digest = placed.sequence, digest_of(placed.text)
    return Chain("refs on origin", tuple(stored), pruned=pruned)


def link(number: int) -> Link:
    return Link(f"20260501T10000{number}Z-0a1b2c3d4e", f"2026-05-0{number}T10:00:00Z", {"number": number})


FIVE = chain_of(*map(link, range(1, 6)))


def of_five(count: int) -> Pruning:
    """What stands for the first of them."""
    old = FIVE.links()[:count]
    return Pruning("2026-06-01T10:00:00Z", tuple(one.id for one in old), digest_of(old[-1].text), old[-1].at)


def behind_five(count: int) -> Chain:
    return Chain(FIVE.place, FIVE.stored[count:], pruned=of_five(count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_what_the_next_one_names_the_digest_of(folder: Path) -> None:
    assert Exported(folder).write(FIVE, "grace ssh-ed25519 AAAA") == 5

    *files, signers = names(folder)
    assert files[0] == "00000001-20260501T100001Z-0a1b2c3d4e.json"
    for one, two in zip(files, FIVE.links()[1:], strict=False):
        assert hashlib.sha256((folder / one).read_bytes()).hexdigest() == two.previous
    assert (signers, (folder / signers).read_text()) == ("allowed_signers", "grace ssh-ed25519 AAAA")
    read = Exported(folder).read()
    assert ([one.text for one in read.stored], structure(read)) == ([one.text for one in FIVE.stored], ())


def test_a_second_export_adds_what_is_new_and_touches_nothing_else(folder: Path) -> None:
    Exported(folder).write(Chain("", FIVE.stored[:3]), "")
    before = {name: (folder / name).stat().st_mtime_ns for name in names(folder)}

    assert Exported(folder).write(FIVE, "") == 2
    assert Exported(folder).write(FIVE, "") == 0

    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert len(names(folder)) == 5


def test_an_export_goes_on_after_pruning_and_is_whole(folder: Path) -> None:
    Exported(folder).write(Chain("", FIVE.stored[:3]), "")

    assert Exported(folder).write(behind_five(2), "") == 2

    read = Exported(folder).read()
    assert (len(read.stored), read.pruned, structure(read)) == (5, None, ())
    assert "00000002-pruned.json" in names(folder)


def test_an_export_that_begins_after_pruning_says_so(folder: Path) -> None:
    Exported(folder).write(behind_five(2), "")
    Exported(folder).write(behind_five(4), "")

    read = Exported(folder).read()

    assert (read.pruned, len(read.stored), structure(read)) == (of_five(2), 3, ())


DAMAGES: dict[str, tuple[Callable[[Path], object], Flaw]] = {
    "a flipped byte": (
        lambda path: path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":4')),
        Flaw.BROKEN,
    ),
    "a file removed": (Path.unlink, Flaw.BROKEN),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), Flaw.DAMAGED),
    "empty": (lambda path: path.write_bytes(b""), Flaw.DAMAGED),
    "no text": (lambda path: path.write_bytes(b"\xff\x00"), Flaw.DAMAGED),
    "there twice": (lambda path: path.with_name("00000003-b.json").write_bytes(path.read_bytes()), Flaw.FORGED),
}


@pytest.mark.parametrize(("change", "flaw"), DAMAGES.values(), ids=DAMAGES)
def test_what_somebody_did_to_a_file_is_seen(folder: Path, change: Callable[[Path], object], flaw: Flaw) -> None:
    Exported(folder).write(FIVE, "")

    change(folder / "00000003-20260501T100003Z-0a1b2c3d4e.json")

    assert flaw in {finding.flaw for finding in structure(Exported(folder).read())}


def test_a_beginning_that_was_removed_is_seen(folder: Path) -> None:
    Exported(folder).write(FIVE, "")

    (folder / "00000001-20260501T100001Z-0a1b2c3d4e.json").unlink()

    assert {finding.flaw for finding in structure(Exported(folder).read())} == {Flaw.BROKEN}


def test_a_folder_with_other_receipts_is_left_as_it_is(folder: Path) -> None:
    other = chain_of(link(1), link(7), link(8), link(9))
    Exported(folder).write(other, "")
    before = names(folder)

    with pytest.raises(ReconcilerError, match=r"00000002-\S+ is not what refs on origin has by that number"):
        Exported(folder).write(FIVE, "")

    assert names(folder) == before


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "CON", "pruned", "." * 300, "\udc80"])
def test_an_id_that_is_no_name_of_a_file_leads_nowhere(folder: Path, name: str) -> None:
    Exported(folder).write(chain_of(Link(name, "", {}), link(2)), "")

    assert [path.parent for path in folder.parent.rglob("*.json")] == [folder, folder]
    assert structure(Exported(folder).read()) == ()


def test_what_was_left_of_a_killed_export_is_no_receipt(folder: Path) -> None:
    Exported(folder).write(Chain("", FIVE.stored[:2]), "")
    (folder / ".00000003-20260501T100003Z-0a1b2c3d4e.json.77").write_text("{")
    os.mkfifo(folder / "00000009-a.json")
    (folder / "notes.txt").write_text("ours")

    assert Exported(folder).write(FIVE, "") == 3
    assert structure(Exported(folder).read()) == ()


def test_what_was_pruned_is_told_again_from_its_export(folder: Path) -> None:
    Exported(folder).write(Chain("", FIVE.stored[:4]), "")

    whole = with_exported(behind_five(3), Exported(folder).read())

    assert ([one.id for one in whole.links()], whole.pruned) == ([one.id for one in FIVE.links()], None)
    assert structure(whole) == ()


@pytest.mark.parametrize("kept", [FIVE.stored[:2], FIVE.stored[1:], chain_of(link(1), link(2), link(4)).stored])
def test_an_export_of_something_else_is_refused(folder: Path, kept: tuple[Stored, ...]) -> None:
    Exported(folder).write(Chain("", kept), "")

    with pytest.raises(ReconcilerError, match="does not have the 3 receipts that were pruned"):
        with_exported(behind_five(3), Exported(folder).read())


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_receipts_is_none(folder: Path, there: bool) -> None:
    if there:
        folder.mkdir()

    with pytest.raises(ReconcilerError, match=r"has no receipts|could not be read: No such file"):
        Exported(folder).read()


def test_what_was_not_pushed_yet_waits_for_its_place(folder: Path) -> None:
    assert Exported(folder).write(replace(FIVE, unpushed=2), "") == 3
    assert Exported(folder).write(FIVE, "") == 2


@pytest.mark.parametrize("part", [replace(FIVE, cut=True), replace(FIVE, untold="It does not answer.")])
def test_a_part_of_the_receipts_is_not_taken_for_all(folder: Path, part: Chain) -> None:
    with pytest.raises(ReconcilerError, match="Not all receipts at refs on origin could be read"):
        Exported(folder).write(part, "")

    assert not folder.exists()
