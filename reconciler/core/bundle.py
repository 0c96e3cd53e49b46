"""
A bundle of evidence about one version: the list of what is in it, which may be signed, and whether the rest is as it
says. What is in it proves itself by receipts' signatures and places; the list alone proves what is in no receipt.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reconciler.core.chain import Acknowledged, Finding, Flaw, Link, Pruning, Stored, digest_of, read_pruning
from reconciler.core.names import Commit
from reconciler.core.records import (
    Seal,
    as_commit,
    as_object,
    as_text,
    canonical,
    member,
    members,
    read_record,
    read_seal,
)
from reconciler.core.text import plain

FORMAT = 1
_MOST_NAMES = 20
"""By how many names of a model signatures on its records are tried."""

LIST = "bundle.json"
RECEIPTS = "receipts/"
FILES = "files.json"
RECORDS = "provenance.json"
PRUNING = "pruning.json"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file: its path, the SHA-256 of its content, and how many bytes it has."""

    path: str
    sha256: str
    size: int


def total_digest(files: Iterable[FileDigest]) -> str:
    """`sha256:` and that of every path and its content's own, in the order of the paths."""
    total = hashlib.sha256()
    for path, content in sorted((file.path.encode("utf-8", "surrogateescape"), file.sha256) for file in files):
        total.update(path + b"\0" + content.encode("ascii", "replace") + b"\n")
    return f"sha256:{total.hexdigest()}"


@dataclass(frozen=True, slots=True)
class About:
    """The version that a bundle is about: the names that its model has or had, and what tells it from others."""

    model: str
    names: tuple[str, ...]
    version: int
    run_id: str
    created_at: int

    @property
    def title(self) -> str:
        return f"v{self.version} of {plain(self.model)}"

    def is_in(self, receipt: Mapping[str, Any]) -> bool:
        """Whether a receipt tells of this very version: that a slot held it, before or after."""
        return any(self.is_meant(one) for model in self.parts_of(receipt) for one in members(member(model, "versions")))

    def is_meant(self, identity: object) -> bool:
        """Whether a receipt's identity is that of this version."""
        found = tuple(member(identity, key) for key in ("version", "run_id", "created_at"))
        return found == (self.version, self.run_id, self.created_at)

    def parts_of(self, receipt: Mapping[str, Any]) -> list[Any]:
        """What a receipt says of the model, under whichever of its names."""
        return [model for model in members(receipt.get("models")) if member(model, "model") in self.names]

    def entrances_in(self, receipt: Mapping[str, Any]) -> Iterator[Any]:
        """How a receipt says that the version came into slots."""
        for model in self.parts_of(receipt):
            if any(self.is_meant(one) for one in members(member(model, "versions"))):
                yield from (e for e in members(member(model, "entrances")) if member(e, "version") == self.version)


@dataclass(frozen=True, slots=True)
class Bundle:
    """
    A bundle, file by file. So many `receipts` tell of the version, and so many `entrances` of applies that let it in;
    `lacking` is what could not be put in; `key` is the fingerprint of the key that signed the list, if one did.
    """

    about: About
    files: Mapping[str, bytes]
    receipts: int
    entrances: int
    lacking: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """
    The list: what the bundle is about, as of when, the numbers of the first and last receipt that were kept then, the
    digest of the last, the numbers of those that tell of the version, and the files. `signed` is what the signature is
    made of. `acknowledged` are the missing receipts for which the repository answers, by the bundle's own word.
    """

    about: About
    as_of: str
    first: int
    last: int
    end: str
    receipts: tuple[int, ...]
    files: tuple[FileDigest, ...]
    signed: bytes
    seal: Seal | None = None
    acknowledged: tuple[Acknowledged, ...] = ()


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """What the signature on a list is made of: everything but itself."""
    rest = {key: value for key, value in document.items() if key != "signature"}
    return canonical({**rest, "purpose": "reconciler-bundle"})


def read_inventory(data: bytes) -> Inventory:
    """The list of a bundle. Raises KeyError, TypeError or ValueError for what is none."""
    text = data.decode("utf-8")
    document = read_record(text, most=len(text))
    if document["format"] != FORMAT:
        raise ValueError("of another format")
    version, chain = as_object(document["version"]), as_object(document["chain"])
    model = as_text(document["model"])
    names = tuple(as_text(name) for name in members(document["names"]))
    if len(names) > _MOST_NAMES:
        raise ValueError("too many names for one model")
    return Inventory(
        About(model, names, _number(version["version"]), as_text(version["run_id"]), _number(version["created_at"])),
        as_text(document["as_of"]),
        _number(chain["first"]),
        _number(chain["last"]),
        as_text(chain["digest"]),
        tuple(_number(number) for number in members(document["receipts"])),
        read_files(document["files"]),
        signed_bytes(document),
        read_seal(document["signature"]),
        tuple(_acknowledged(as_object(one)) for one in members(document.get("acknowledged"))),
    )


def _acknowledged(one: Mapping[str, Any]) -> Acknowledged:
    commit = one["commit"]
    return Acknowledged(
        as_text(one["reason"]),
        None if commit is None else Commit(as_commit(commit)),
        as_text(one["author"]),
        as_text(one["receipt"]),
    )


def read_files(value: object) -> tuple[FileDigest, ...]:
    """A list of files as JSON. Raises KeyError, TypeError or ValueError."""
    found: list[FileDigest] = []
    for file in members(value):
        one = as_object(file)
        if not re.fullmatch("[0-9a-f]{64}", as_text(one["sha256"])):
            raise ValueError("not a SHA-256")
        found.append(FileDigest(as_text(one["path"]), as_text(one["sha256"]), _number(one["size"])))
    return tuple(found)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a number")
    return value


def receipt_path(sequence: int) -> str:
    """Where a bundle has the receipt with that number."""
    return f"{RECEIPTS}{sequence:08}.json"


def listed(inventory: Inventory, files: Mapping[str, bytes]) -> Iterator[Finding]:
    """What is not there of the list, is not as it says, or is there beside it."""
    known = {file.path for file in inventory.files}
    for file in inventory.files:
        name = plain(file.path, 100)
        data = files.get(file.path)
        if data is None:
            yield Finding(Flaw.MISSING, 0, f"{name} was taken out: {LIST} lists it.")
        elif (len(data), hashlib.sha256(data).hexdigest()) != (file.size, file.sha256):
            yield Finding(Flaw.DAMAGED, 0, f"{name} was changed: it is not the file that {LIST} lists.")
    for path in sorted(files.keys() - known - {LIST}):
        yield Finding(Flaw.BROKEN, 0, f"{plain(path, 100)} was put in: {LIST} does not list it.")


def read_links(files: Mapping[str, bytes]) -> tuple[dict[int, Stored], tuple[Finding, ...]]:
    """The receipts of a bundle by their numbers, and what is wrong with those that are none, or in another's place."""
    found: dict[int, Stored] = {}
    wrong: list[Finding] = []
    for path in sorted(files):
        if not path.startswith(RECEIPTS):
            continue
        stored = Stored(Commit(""), files[path].decode("utf-8", "surrogateescape"))
        link = stored.link
        if link is None:
            wrong.append(Finding(Flaw.DAMAGED, 0, f"{plain(path, 100)} is not a receipt as reconciler writes it."))
        elif path != receipt_path(link.sequence):
            wrong.append(Finding(Flaw.BROKEN, link.sequence, f"{plain(path, 100)} is no. {link.sequence}."))
        else:
            found[link.sequence] = stored
    return dict(sorted(found.items())), tuple(wrong)


def read_beginning(files: Mapping[str, bytes]) -> tuple[Pruning | None, tuple[Finding, ...]]:
    """What stands in the place of receipts that were pruned before a bundle was made, or what is wrong with it."""
    if PRUNING not in files:
        return None, ()
    try:
        return read_pruning(files[PRUNING].decode("utf-8", "surrogateescape")), ()
    except (KeyError, TypeError, ValueError):
        return None, (Finding(Flaw.DAMAGED, 0, f"{PRUNING} is not a pruning as reconciler writes it."),)


def placed(inventory: Inventory, links: Mapping[int, Stored], pruning: Pruning | None = None) -> Iterator[Finding]:
    """What of the receipts does not prove its place in the chain: each by the one before it and the one behind it."""
    count = pruning.count if pruning else 0
    if inventory.last and inventory.first != count + 1:
        sentence = f"By {LIST}, the chain began with no. {inventory.first}: those before it were cut off."
        if inventory.first <= count:
            sentence = f"By {LIST}, the chain began with no. {inventory.first}; {PRUNING} says that it was pruned."
        yield Finding(Flaw.BROKEN, 0, sentence)
    following = links[count + 1].link if pruning and count + 1 in links else None
    if pruning and following is not None and following.previous != pruning.digest:
        sentence = f"No. {following.sequence} does not follow on what was pruned: one of them was changed."
        yield Finding(Flaw.BROKEN, following.sequence, sentence)
    texts = {number: stored.text for number, stored in links.items()}
    found = {number: stored.link for number, stored in links.items() if stored.link is not None}
    for before, after in pairwise(found):
        link = found[after]
        if after == before + 1 and link.previous != digest_of(texts[before]):
            yield Finding(Flaw.BROKEN, after, f"No. {after} does not follow on no. {before}: one of them was changed.")
    for number, link in found.items():
        if number == 1 and link.previous:
            yield Finding(Flaw.BROKEN, number, "No. 1 says that another one was before it.")
        if not inventory.first <= number <= inventory.last:
            yield Finding(Flaw.BROKEN, number, f"No. {number} was put in: {LIST} does not know of it.")
        if not inventory.about.is_in(link.receipt):
            if number in inventory.receipts:
                sentence = f"No. {number} says nothing of {inventory.about.title}, and {LIST} says that it does."
                yield Finding(Flaw.CONTRADICTED, number, sentence)
            continue
        for beside in (number - 1, number + 1):
            if inventory.first <= beside <= inventory.last and beside not in found:
                sentence = f"No. {beside} was taken out: without it, nothing proves the place of no. {number}."
                yield Finding(Flaw.BROKEN, number, sentence)
    for number in inventory.receipts:
        if number not in found:
            yield Finding(Flaw.MISSING, number, f"No. {number}, which tells of {inventory.about.title}, was taken out.")
    if inventory.last and (inventory.last not in found or digest_of(texts[inventory.last]) != inventory.end):
        sentence = f"The last receipt, no. {inventory.last}, is not the one that {LIST} names."
        yield Finding(Flaw.BROKEN, inventory.last, sentence)


def commit_path(commit: str) -> str:
    """Where a bundle has a signed commit."""
    return f"commits/{commit}"


def is_signed_commit(how: str) -> bool:
    """Whether an approval was given by a signed commit, and not at a forge."""
    return how.startswith("signed commit ")


def needed(about: About, links: Iterable[Link]) -> frozenset[int]:
    """The numbers of the receipts that a bundle has: those about a version, their neighbors, and the last."""
    numbers = [link.sequence for link in links]
    kept = set(numbers)
    those = {link.sequence for link in links if about.is_in(link.receipt)}
    beside = {number + step for number in those for step in (-1, 1)}
    return frozenset((those | beside | set(numbers[-1:])) & kept)


def replaced(about: About, files: Mapping[str, bytes], links: Iterable[Link]) -> Iterator[Finding]:
    """Whether the model's files are as their own list says, and those that gates had let in."""
    if FILES not in files:
        return
    try:
        document = json.loads(files[FILES])
        listed_files = read_files(document["files"])
        digest = as_text(document["digest"])
    except (KeyError, TypeError, ValueError, RecursionError):
        yield Finding(Flaw.DAMAGED, 0, f"{FILES} is not a list of files as reconciler writes it.")
        return
    if not digest:
        return
    if total_digest(listed_files) != digest:
        yield Finding(Flaw.DAMAGED, 0, f"{FILES}: the digest is not that of the files listed.")
    for link in links:
        for entrance in about.entrances_in(link.receipt):
            then = member(entrance, "files")
            if isinstance(then, str) and then != digest:
                slot = plain(str(member(entrance, "slot")), 80)
                sentence = (
                    f"The files of {about.title} are not those that entered {slot} by receipt {link.id}: "
                    f"{plain(then, 80)} then, {plain(digest, 80)} in the bundle."
                )
                yield Finding(Flaw.CONTRADICTED, link.sequence, sentence)
