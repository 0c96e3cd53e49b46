"""
Receipts as a chain: each names the digest of the one before, so that none can be changed, taken out or added in between
unseen. What a chain cannot show by itself, that its end was cut off, is seen where records name receipts it lacks.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from reconciler.core.names import Commit
from reconciler.core.records import (
    Seal,
    as_object,
    as_text,
    canonical,
    member,
    members,
    read_record,
    read_seal,
    seal_document,
)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Link:
    """
    A receipt in the chain: `id` is the apply's, by which records in the registry name it, `at` when it was kept
    (RFC 3339, UTC), and `receipt` the document. `sequence` counts from 1; `previous` is the digest of the link before,
    empty for the first.
    """

    id: str
    at: str
    receipt: Mapping[str, Any]
    sequence: int = 1
    previous: str = ""
    seal: Seal | None = None

    @property
    def text(self) -> str:
        """The only text that stands for this link."""
        return canonical({**_fields(self), "signature": seal_document(self.seal)}).decode("ascii")

    def behind(self, sequence: int, digest: str) -> "Link":
        """The same receipt behind the link with that number; what was signed in another place is not signed in this."""
        sequence, previous = sequence + 1, digest
        if (sequence, previous) == (self.sequence, self.previous):
            return self
        return replace(self, sequence=sequence, previous=previous, seal=None)


def _fields(link: Link) -> dict[str, object]:
    return {
        "format": FORMAT,
        "id": link.id,
        "at": link.at,
        "sequence": link.sequence,
        "previous": link.previous,
        "receipt": link.receipt,
    }


def signed_bytes(link: Link) -> bytes:
    """What the signature is made of: the receipt and its place in the chain."""
    return canonical({**_fields(link), "purpose": "reconciler-receipt"})


def digest_of(text: str) -> str:
    """The digest of a link, by its text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_link(text: str) -> Link:
    """The link that a text stands for. Raises KeyError, TypeError or ValueError for one that is no link of ours."""
    record = read_record(text, most=len(text))
    if record["format"] != FORMAT:
        raise ValueError("of another format")
    sequence = record["sequence"]
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 1:
        raise TypeError("not a number in the chain")
    link = Link(
        id=as_text(record["id"]),
        at=as_text(record["at"]),
        receipt=as_object(record["receipt"]),
        sequence=sequence,
        previous=as_text(record["previous"]),
        seal=read_seal(record["signature"]),
    )
    if link.text != text:
        raise ValueError("not as we write it")
    return link


@dataclass(frozen=True)
class Stored:
    """A commit of the chain as git has it: the text of its message, and the parents that it names."""

    commit: Commit
    text: str
    parents: tuple[Commit, ...] = ()

    @cached_property
    def link(self) -> Link | None:
        """What the text stands for, if that is a link of ours."""
        try:
            return read_link(self.text)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Chain:
    """
    What is kept, oldest first, and where. `cut`: the clone does not go back to the first link. `unpushed` is how many
    of the last are in this clone alone. `lost` are ends of chains that this clone has seen there, and that are no part
    of this one. `untold` says why it is not known what the remote has, if it is not: this is what it had before.
    """

    place: str
    stored: tuple[Stored, ...] = ()
    cut: bool = False
    unpushed: int = 0
    lost: tuple[Commit, ...] = ()
    untold: str = ""

    def links(self) -> tuple[Link, ...]:
        """Those that can be read, oldest first."""
        return tuple(one.link for one in self.stored if one.link is not None)


class Flaw(StrEnum):
    """What can be wrong with a chain; see `GRAVE`."""

    LOST = "lost"
    REWRITTEN = "rewritten"
    DAMAGED = "damaged"
    BROKEN = "broken"
    FORGED = "forged"
    MISSING = "missing"
    CONTRADICTED = "contradicted"
    SHALLOW = "shallow"
    UNSIGNED = "unsigned"
    UNPUSHED = "unpushed"
    UNKNOWN = "unknown"


GRAVE = frozenset({Flaw.LOST, Flaw.REWRITTEN, Flaw.DAMAGED, Flaw.BROKEN, Flaw.FORGED, Flaw.MISSING, Flaw.CONTRADICTED})
"""These say that something is not as it was written. The others say that not everything is proven."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which, where in the chain (0: of the whole), and a sentence."""

    flaw: Flaw
    sequence: int
    sentence: str

    @property
    def grave(self) -> bool:
        """Whether something is not as it was written."""
        return self.flaw in GRAVE


@dataclass(frozen=True, slots=True)
class Claim:
    """A record in the registry that names a receipt: it says how this version of a model came into that slot."""

    receipt: str
    model: str
    slot: str
    version: int


@dataclass(frozen=True, slots=True)
class Audit:
    """
    What was verified: how many receipts, of these how many signed by a key that counts, the times of the first and the
    last, how many records of the registry name one (None: it was not read), and what is wrong, gravest first. `about`
    is the version that a bundle is about; empty for the receipts themselves.
    """

    place: str
    receipts: int = 0
    signed: int = 0
    first: str = ""
    last: str = ""
    records: int | None = None
    findings: tuple[Finding, ...] = ()
    about: str = ""

    @property
    def grave(self) -> bool:
        """Whether something is not as it was written."""
        return any(finding.grave for finding in self.findings)


def structure(chain: Chain) -> tuple[Finding, ...]:
    """What is wrong with the chain by itself: what we did not write like that, and what does not follow on another."""
    found: list[Finding] = []
    if chain.untold:
        found.append(Finding(Flaw.UNKNOWN, 0, f"The remote could not be asked: {chain.untold}"))
    for end in chain.lost:
        sentence = f"This clone has seen receipts there that are gone, up to commit {end[:12]}: the ref was reset."
        found.append(Finding(Flaw.REWRITTEN, 0, f"{sentence} To see them: `git log {end[:12]}`."))
    before: tuple[int, str] | None = None
    ids: dict[str, int] = {}
    for place, one in enumerate(chain.stored, 1):
        link = one.link
        where = f"commit {one.commit[:12]}"
        if link is None:
            found.append(
                Finding(Flaw.DAMAGED, place, f"No. {place} ({where}) is not a receipt as reconciler writes it.")
            )
        elif before is None:
            found.extend(_of_first(link, where, chain))
        elif (link.sequence, link.previous) != (before[0] + 1, before[1]):
            follows = f"it says no. {link.sequence} after {_short(link.previous)}"
            sentence = (
                f"No. {place} ({where}) does not follow on the one before: {follows}, and that is no. {before[0]}, "
                f"{_short(before[1])}."
            )
            found.append(Finding(Flaw.BROKEN, place, sentence))
        if len(one.parents) > 1:
            found.append(Finding(Flaw.BROKEN, place, f"No. {place} ({where}) joins two chains."))
        # What was damaged still has a digest, and the next one names that of the text it was.
        before = (link.sequence if link else (before or (0, ""))[0] + 1, digest_of(one.text))
        if link is not None and ids.setdefault(link.id, place) != place:
            found.append(Finding(Flaw.FORGED, place, f"No. {place} has the id of no. {ids[link.id]}, {link.id}."))
    if chain.unpushed:
        count = f"{chain.unpushed} receipt is" if chain.unpushed == 1 else f"{chain.unpushed} receipts are"
        found.append(Finding(Flaw.UNPUSHED, 0, f"{count} in this clone alone. To push: `reconciler audit --push`."))
    return tuple(found)


def _of_first(link: Link, where: str, chain: Chain) -> Iterable[Finding]:
    if chain.cut:
        sentence = (
            f"This clone is too shallow: it begins with no. {link.sequence} ({where}). Fetch all of it "
            "(`git fetch --unshallow`)."
        )
        yield Finding(Flaw.SHALLOW, 1, sentence)
    elif (link.sequence, link.previous) != (1, ""):
        sentence = f"The chain begins with no. {link.sequence} ({where}): those before it were cut off."
        yield Finding(Flaw.BROKEN, 1, sentence)


def _short(digest: str) -> str:
    return digest[:12] or "nothing"


def against_records(chain: Chain, claims: Iterable[Claim]) -> tuple[Finding, ...]:
    """What records in the registry say of receipts that the chain does not bear out."""
    links = {link.id: link for link in chain.links()}
    found: dict[tuple[str, str], Finding] = {}
    for claim in claims:
        link = links.get(claim.receipt)
        about = f"v{claim.version} of {claim.model} in {claim.slot}"
        if link is None and not chain.stored:
            sentence = f"There are no receipts at {chain.place}, and the record of {about} names {claim.receipt}."
            found.setdefault((Flaw.LOST, ""), Finding(Flaw.LOST, 0, sentence))
        elif link is None:
            sentence = f"The record of {about} names the receipt {claim.receipt}, which the chain lacks."
            if chain.cut:
                found.setdefault((Flaw.SHALLOW, claim.receipt), Finding(Flaw.SHALLOW, 0, sentence))
            else:
                found.setdefault((Flaw.MISSING, claim.receipt), Finding(Flaw.MISSING, 0, sentence))
        elif not _bears_out(link, claim):
            sentence = f"The record of {about} names the receipt {claim.receipt}, which says nothing of that."
            found[Flaw.CONTRADICTED, f"{claim}"] = Finding(Flaw.CONTRADICTED, link.sequence, sentence)
    return tuple(found.values())


def _bears_out(link: Link, claim: Claim) -> bool:
    """
    Whether a receipt says that its apply wrote such a record. A model may have been renamed since, so the version and
    the slot are looked for in all of them; and the answer to a call may have been lost, with which a model fails.
    """
    for model in members(link.receipt.get("models")):
        written = (member(call, "arguments") for call in members(member(model, "calls")))
        if any(member(a, "version") == claim.version and claim.slot in members(member(a, "slots")) for a in written):
            return True
        if member(model, "status") == "failed" and member(model, "model") == claim.model:
            return True
    return False
