"""Bundles of evidence that somebody changed on the way to the auditor, or made to harm who opens them."""

import hashlib
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler import archive
from reconciler.core import bundle
from reconciler.core.chain import Audit, Flaw, Pruning, digest_of, read_link
from reconciler.core.limits import BUNDLE_BYTES, BUNDLE_FILES
from reconciler.core.names import ModelRef, Version
from reconciler.errors import ReconcilerError
from reconciler.git.approvals import is_signed_by
from reconciler.project import Evidence, audit_bundle
from reconciler.reading.schemas import SCHEMAS
from reconciler.verifying import NO_SIGNERS
from reconciler.verifying import audit_bundle as verify
from tests.house import GRACE, House
from tests.house.people import Seals, job_line, key_of, seal_with
from tests.house.scenes import APPROVALS, pins

pytestmark = pytest.mark.house

Files = dict[str, bytes]
LIST = bundle.LIST


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> House:
    """churn v2 came into Production by an approval in a signed commit; before and after it, fraud moved."""
    house = House.build(tmp_path_factory.mktemp("house"), signed=True)
    house.receipts = True
    for model in ("churn", "fraud"):
        house.register(model, 3)
    house.push(policy=f"{APPROVALS}  - metric: {{name: f1, threshold: 0.1}}\n  - artifact: {{pinned: true}}\n")
    house.push(pins({}), pins({}, model="fraud"))
    for model, version in (("fraud", 1), ("churn", 1), ("churn", 2), ("fraud", 2), ("fraud", 3)):
        request = house.request(pins({"Production": version}, model=model))
        house.approve(GRACE, signed=True)
        house.merge(request)
        done = house.apply()
        assert done.exit_code == 0, done.sentences()
    return house


def taken(house: House, *, signed: bool = True, model: str = "churn", version: int = 2) -> Evidence:
    key = partial(seal_with, key_of(house.key)) if signed else None
    return house._project("manifests").evidence(model, version, signing_key=key)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def whole(made: House) -> Mapping[str, bytes]:
    return taken(made).whole.files


@pytest.fixture
def files(whole: Mapping[str, bytes]) -> Files:
    return dict(whole)


def found(house: House, files: Mapping[str, bytes], signers: str | None = None) -> Audit:
    listed = house.signers if signers is None else signers
    return verify(files, "x.zip", listed, Seals(), is_signed_by)


def flaws(house: House, files: Mapping[str, bytes], signers: str | None = None) -> dict[Flaw, str]:
    return {finding.flaw: finding.sentence for finding in reversed(found(house, files, signers).findings)}


def listed_anew(files: Files, *, key: Path | None = None, **changes: Any) -> Files:
    """Whoever changes files lists them anew, and signs the list with a key of their own, if with any."""
    document = {**json.loads(files[LIST]), **changes, "signature": None}
    document["files"] = [
        {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for path, data in sorted(files.items())
        if path != LIST
    ]
    if key is not None:
        seal = seal_with(key, bundle.signed_bytes(document))
        document["signature"] = {"kind": seal.kind.value, "key": seal.key, "value": seal.value}
    return {**files, LIST: json.dumps(document).encode()}


def receipt(sequence: int) -> str:
    return bundle.receipt_path(sequence)


def test_what_nobody_touched_is_fine_and_the_same_each_time(made: House, files: Files) -> None:
    audit = found(made, files)
    validator: Any = jsonschema.Draft7Validator(SCHEMAS["bundle"]())

    assert (audit.findings, audit.about) == ((), "v2 of churn")
    assert [path for path in files if path.startswith(bundle.RECEIPTS)] == [receipt(n) for n in (2, 3, 4, 5)]
    assert audit.signed == 4
    assert taken(made).to_zip() == archive.packed(files)
    assert validator.is_valid(json.loads(files[LIST]))
    for name in ("receipts/", "commits/", "reviews/", "signers/"):
        assert any(path.startswith(name) for path in files)


def test_a_byte_that_was_flipped_in_any_file_is_seen(made: House, files: Files) -> None:
    for path in sorted(files.keys() - {LIST}):
        data = bytearray(files[path])
        data[len(data) // 2] ^= 1

        assert f"{path} was changed" in found(made, {**files, path: bytes(data)}).findings[0].sentence


def test_a_list_that_was_changed_is_seen_by_its_signature(made: House, files: Files) -> None:
    document = json.loads(files[LIST])

    for change in ({"model": "fraud"}, {"lacking": ["all"]}, {"as_of": "2026-01-01T00:00:00Z"}, {"more": 1}):
        assert Flaw.FORGED in flaws(made, {**files, LIST: json.dumps({**document, **change}).encode()})


def test_a_file_that_was_put_in_or_taken_out_is_seen(made: House, files: Files) -> None:
    assert flaws(made, {**files, "more.txt": b""}) == {
        Flaw.BROKEN: "more.txt was put in: bundle.json does not list it."
    }
    for path in sorted(files.keys() - {LIST}):
        rest = {name: data for name, data in files.items() if name != path}

        assert Flaw.MISSING in flaws(made, rest), path


def test_a_list_that_was_made_anew_counts_for_nothing(made: House, files: Files) -> None:
    changed = {**files, "card.md": b"# The best model\n"}

    assert set(flaws(made, listed_anew(changed))) == {Flaw.UNSIGNED}
    assert set(flaws(made, listed_anew(changed, key=key_of("mallory")))) == {Flaw.FORGED}


def test_a_bundle_is_not_signed_by_a_key_that_nobody_lists(made: House) -> None:
    with pytest.raises(ReconcilerError, match="would count for nothing"):
        made._project("manifests").evidence("churn", 2, signing_key=partial(seal_with, key_of("mallory")))  # pyright: ignore[reportPrivateUsage]


def test_signers_in_the_bundle_prove_nothing(made: House, files: Files) -> None:
    own = job_line(key_of("mallory"))
    changed = listed_anew({**files, "signers/000000000000": own.encode()}, key=key_of("mallory"))

    assert Flaw.FORGED in flaws(made, changed)
    assert flaws(made, changed, "")[Flaw.UNSIGNED] == NO_SIGNERS
    # Whose keys count is for the verifier to say: of theirs, none signed the receipts.
    assert Flaw.FORGED in flaws(made, changed, own)


@pytest.mark.parametrize("key", [None, "mallory"])
def test_a_receipt_of_another_model_that_was_swapped_in_is_seen(made: House, files: Files, key: str | None) -> None:
    (theirs,) = (taken(made, model="fraud", version=3).whole.files[receipt(5)],)
    own = None if key is None else key_of(key)
    instead = listed_anew({**files, receipt(3): theirs}, key=own)
    beside = {path: data for path, data in files.items() if path not in {receipt(2), receipt(3), receipt(4)}}
    retold = listed_anew(beside, key=own, receipts=[5])

    assert f"{receipt(3)} is no. 5." in [finding.sentence for finding in found(made, instead).findings]
    assert Flaw.CONTRADICTED in flaws(made, retold)
    # Our record in the registry names the one that is gone.
    assert Flaw.MISSING in flaws(made, retold)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_a_receipt_that_was_changed_is_seen_by_its_signature_and_place(made: House, files: Files, number: int) -> None:
    text = files[receipt(number)].decode()
    link = read_link(text)
    changed = replace(link, receipt={**link.receipt, "exit_code": 7}).text

    assert Flaw.FORGED in flaws(made, listed_anew({**files, receipt(number): changed.encode()}, key=key_of(made.key)))
    assert Flaw.BROKEN in flaws(made, listed_anew({**files, receipt(number): changed.encode()}, key=key_of(made.key)))


def test_a_receipt_without_its_neighbors_proves_no_place(made: House, files: Files) -> None:
    rest = {path: data for path, data in files.items() if path != receipt(4)}

    assert "nothing proves the place of no. 3" in flaws(made, listed_anew(rest, key=key_of(made.key)))[Flaw.BROKEN]


def test_a_record_of_another_version_is_seen(made: House, files: Files) -> None:
    theirs = taken(made, version=1).whole.files[bundle.RECORDS]

    seen = flaws(made, listed_anew({**files, bundle.RECORDS: theirs}, key=key_of(made.key)))

    assert "is of another version" in seen[Flaw.CONTRADICTED]


def test_a_commit_in_the_place_of_an_approval_is_seen(made: House, files: Files) -> None:
    (path,) = (path for path in files if path.startswith("commits/"))
    other = files[path].replace(b"Approve", b"Approvd")

    seen = flaws(made, listed_anew({**files, path: other}, key=key_of(made.key)))

    assert "the commit in the bundle is another one" in seen[Flaw.DAMAGED]


def test_an_approval_by_a_key_that_is_not_listed_for_them_is_not_proven(made: House, files: Files) -> None:
    only_job = job_line(key_of(made.key))
    retired = made.signers.replace(f"{GRACE.email} ssh", f'{GRACE.email} valid-before="20260301" ssh')
    later = made.signers.replace(f"{GRACE.email} ssh", f'{GRACE.email} valid-before="20270301" ssh')

    assert "not signed by a key that is listed for them" in flaws(made, files, only_job)[Flaw.UNSIGNED]
    assert set(flaws(made, files, retired)) == {Flaw.UNSIGNED}
    assert flaws(made, files, later) == {}


def test_files_that_are_not_those_that_entered_are_seen(made: House, files: Files) -> None:
    document = json.loads(files[bundle.FILES])
    assert document["digest"] == bundle.total_digest(bundle.read_files(document["files"]))
    made.files.digests[ModelRef("churn"), Version(2)] = "sha256:others"
    other = taken(made).whole.files
    del made.files.digests[ModelRef("churn"), Version(2)]

    assert "are not those that entered Production" in flaws(made, other)[Flaw.CONTRADICTED]
    document["files"][0]["sha256"] = "0" * 64
    changed = {**files, bundle.FILES: json.dumps(document).encode()}
    assert "is not that of the files listed" in flaws(made, listed_anew(changed, key=key_of(made.key)))[Flaw.DAMAGED]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"format": 2}', b'{"format": 1}'])
def test_a_list_that_is_none_is_damage(made: House, files: Files, data: bytes) -> None:
    assert set(flaws(made, {**files, LIST: data})) == {Flaw.DAMAGED}
    for path in (receipt(3), bundle.RECORDS, bundle.FILES):
        assert Flaw.DAMAGED in flaws(made, listed_anew({**files, path: data}))


def test_many_findings_are_counted(made: House, files: Files) -> None:
    audit = found(made, {**files, **{f"{n}.txt": b"" for n in range(1000)}})

    assert len(audit.findings) == 51
    assert "And 950 more findings" in audit.findings[-1].sentence


# What opens the archive.


def zipped(*entries: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as written, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            change(info)
            written.writestr(info, data)
    return out.getvalue()


def deflated(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_DEFLATED


def linked(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def lying_about_size(data: bytes, size: int) -> bytes:
    """Another size in the list at the end, and in the entry itself."""
    at = data.index(b"PK\1\2") + 24
    data = data[:at] + struct.pack("<L", size) + data[at + 4 :]
    return data[:22] + struct.pack("<L", size) + data[26:]


BOMB = zipped(("bomb", bytes(50 * 1024**2)), change=deflated)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "no zip": (b"hello", "is not a zip file"),
    "empty": (b"", "is not a zip file"),
    "cut off": (zipped(("a", b"x" * 100))[:-30], "is cut off"),
    "something behind it": (zipped(("a", b"x")) + b"#!/bin/sh", "something behind its end"),
    "something before it": (b"#!/bin/sh\n" + zipped(("a", b"x")), "something before its beginning"),
    "a file twice": (zipped((LIST, b"{}"), (LIST, b"[]")), "has the file bundle.json twice"),
    "a path up": (zipped(("../../etc/passwd", b"x")), "could lead elsewhere"),
    "a path from the top": (zipped(("/etc/passwd", b"x")), "could lead elsewhere"),
    "a path for Windows": (zipped(("..\\x", b"x")), "could lead elsewhere"),
    "a drive": (zipped(("C:x", b"x")), "could lead elsewhere"),
    "a hidden letter": (zipped(("bundle\u200b.json", b"x")), "could lead elsewhere"),
    "a folder": (zipped(("x/", b"")), "could lead elsewhere"),
    "a link": (zipped(("x", b"/etc/passwd"), change=linked), "is a link"),
    "too many": (zipped(*((f"{n}", b"") for n in range(BUNDLE_FILES + 1))), "has more than 10,000 files"),
    "announces too much": (
        lying_about_size(zipped(("x", b"1" * 100), change=deflated), BUNDLE_BYTES + 1),
        "unpacks to more than 256 MiB",
    ),
    "announces too little": (lying_about_size(BOMB, 10), "is damaged"),
    "another compression": (
        zipped(("x", b"1" * 100), change=lambda info: setattr(info, "compress_type", zipfile.ZIP_LZMA)),
        "compressed in an unusual way",
    ),
    "zip64": (
        zipped(("x", b"1"))[:-22] + b"PK\6\7" + bytes(16) + zipped(("x", b"1"))[-22:],
        "is not an archive as reconciler writes it",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_archive_that_is_made_to_harm_is_refused(tmp_path: Path, case: str) -> None:
    data, why = HOSTILE[case]
    path = tmp_path / "x.zip"
    path.write_bytes(data)

    audit = audit_bundle(path, None)

    (finding,) = audit.findings
    assert (finding.flaw, why in finding.sentence) == (Flaw.DAMAGED, True), finding.sentence
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_bundle_that_was_zipped_again_is_as_good(made: House, files: Files) -> None:
    again = zipped(*files.items(), change=deflated)

    assert found(made, archive.unpacked(again)).findings == ()


def test_any_byte_that_was_flipped_in_the_archive_is_seen(made: House, files: Files) -> None:
    data = archive.packed(files)
    start = data.rindex(b"PK\1\2") - 200

    for at in (*range(0, start, 997), *range(start, len(data))):
        changed = bytearray(data)
        changed[at] ^= 4
        try:
            unpacked = archive.unpacked(bytes(changed))
        except archive.ArchiveError:
            continue
        assert unpacked == files or found(made, unpacked).grave, at


def test_a_bundle_that_could_not_be_verified_is_not_made() -> None:
    with pytest.raises(ReconcilerError, match="more than 10,000 files"):
        archive.packed({f"{n}": b"" for n in range(BUNDLE_FILES + 1)})


def cut(files: Files, key: Path | None, *, digest: str = "") -> Files:
    """Without all receipts but the last, which another file calls pruned."""
    links = [read_link(files[receipt(n)].decode()) for n in (2, 3, 4)]
    forged = Pruning(
        links[-1].at, ("first", *(one.id for one in links)), digest or digest_of(links[-1].text), links[-1].at
    )
    if key is not None:
        forged = replace(forged, seal=seal_with(key, forged.signed_bytes))
    kept = {path: data for path, data in files.items() if path not in {receipt(n) for n in (2, 3, 4)}}
    chain = {**json.loads(files[LIST])["chain"], "first": 5}
    return listed_anew({**kept, bundle.PRUNING: forged.text.encode()}, chain=chain, receipts=[])


@pytest.mark.parametrize("key", ["", "mallory"])
def test_receipts_that_were_taken_out_are_not_called_pruned_by_anybody(made: House, files: Files, key: str) -> None:
    audit = found(made, cut(files, key_of(key) if key else None))

    assert audit.grave
    assert audit.pruned is None
    told = {finding.flaw: finding.sentence for finding in reversed(audit.findings)}
    assert "those before it were cut off" in told[Flaw.BROKEN]
    assert "which the chain lacks" in told[Flaw.MISSING]


def test_a_pruning_of_another_chain_fits_no_receipt(made: House, files: Files) -> None:
    forged = cut(files, key_of(made.key), digest="0" * 64)

    assert "No. 5 does not follow on what was pruned" in flaws(made, forged)[Flaw.BROKEN]


def test_a_pruning_that_was_changed_or_taken_out_leaves_a_chain_without_its_beginning(
    made: House, files: Files
) -> None:
    fine = cut(files, key_of(made.key))
    changed = {**fine, bundle.PRUNING: fine[bundle.PRUNING].replace(b'"count":4', b'"count":5')}
    without = {path: data for path, data in fine.items() if path != bundle.PRUNING}
    beside = listed_anew({**files, bundle.PRUNING: fine[bundle.PRUNING]})

    assert not found(made, fine).grave
    assert "is not a pruning as reconciler writes it" in flaws(made, listed_anew(changed))[Flaw.DAMAGED]
    assert "began with no. 5: those before it were cut off" in flaws(made, listed_anew(without))[Flaw.BROKEN]
    assert "says that it was pruned" in flaws(made, beside)[Flaw.BROKEN]
