"""
Receipts as a chain: each names the digest of the one before, so that none can be changed, taken out or added in between
unseen. What a chain cannot show by itself, that its end was cut off, is seen where records name receipts it lacks. Old
ones can be pruned: a signed beginning then stands in their place, and the others stay as they are, byte for byte.
"""

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from reconciler.core.moments import moment
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
from reconciler.core.text import plain, some
from reconciler.errors import ReconcilerError

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

    @property
    def place(self) -> "Place":
        return Place(self.id, self.sequence, self.previous)

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


@dataclass(frozen=True, slots=True)
class Pruning:
    """
    What stands in the place of the first receipts of a chain, which were exported and taken out: their ids, the oldest,
    which has the number 1, first; the digest of the last of them and when it was kept; and `at` when they were taken
    out (RFC 3339, UTC). It has the signature of a key that signs records, or proves nothing.
    """

    at: str
    ids: tuple[str, ...]
    digest: str
    until: str
    seal: Seal | None = None

    @property
    def count(self) -> int:
        """How many were pruned, which is the number of the last of them."""
        return len(self.ids)

    @property
    def text(self) -> str:
        """The only text that stands for this."""
        return canonical({**self._fields(), "signature": seal_document(self.seal)}).decode("ascii")

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is made of."""
        return canonical({**self._fields(), "purpose": "reconciler-pruning"})

    def _fields(self) -> dict[str, object]:
        pruned = {"count": self.count, "digest": self.digest, "ids": list(self.ids), "until": self.until}
        return {"format": FORMAT, "at": self.at, "pruned": pruned}


def read_pruning(text: str) -> Pruning:
    """The pruning that a text stands for. Raises KeyError, TypeError or ValueError for one that is none of ours."""
    record = read_record(text, most=len(text))
    pruned = as_object(record["pruned"])
    ids = pruned["ids"]
    if not isinstance(ids, list) or not ids:
        raise TypeError("not a list of receipts")
    found = Pruning(
        as_text(record["at"]),
        tuple(map(as_text, ids)),  # pyright: ignore[reportUnknownArgumentType]  # JSON
        as_text(pruned["digest"]),
        as_text(pruned["until"]),
        read_seal(record["signature"]),
    )
    if found.text != text:
        raise ValueError("not as we write it")
    return found


_SEQUENCE = ',"sequence":'
_SIGNATURE = r'\{"key":"[^"\\]*","kind":"[a-z]+","value":"(?:[^"\\]|\\n)*"\}'
_UNSIGNED = '"signature":null}'
_BEGINNING = re.compile(r'\{"at":"[0-9TZ:-]*","format":1,"id":"([^"\\]*)","previous":"([0-9a-f]*)","receipt":\{')
_ENDING = re.compile(rf'{_SEQUENCE}([1-9][0-9]{{0,17}}),"signature":(?:null|{_SIGNATURE})\}}')


class Place(NamedTuple):
    """The id of a link, its number, and the digest of the one before."""

    id: str
    sequence: int
    previous: str


@dataclass(frozen=True)
class Stored:
    """
    A receipt as it is kept: its text, and the commit whose message that is, with the parents that it names, or the name
    of the file that it is in.
    """

    commit: Commit
    text: str
    parents: tuple[Commit, ...] = ()
    file: str = ""

    @property
    def where(self) -> str:
        return f"file {plain(self.file, 120)}" if self.file else f"commit {self.commit[:12]}"

    @cached_property
    def link(self) -> Link | None:
        """What the text stands for, if that is a link of ours."""
        try:
            return read_link(self.text)
        except (KeyError, TypeError, ValueError):
            return None

    @cached_property
    def place(self) -> Place | None:
        """
        Where this is in the chain, if it can be a link of ours: by its two ends alone, since to read what is between
        them takes ten times as long.
        """
        head = _BEGINNING.match(self.text)
        end = _ENDING.fullmatch(self.text, self.text.rfind(_SEQUENCE)) if head else None
        if head and end:
            return Place(head[1], int(end[1]), head[2])
        return self.link.place if self.link else None

    @cached_property
    def pruning(self) -> Pruning | None:
        """What the text stands for, if that is the beginning of a chain that was pruned."""
        if self.parents:
            return None
        try:
            return read_pruning(self.text)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Chain:
    """
    What is kept, oldest first, and where, behind what was pruned. `cut`: the clone does not go back to the first link.
    `unpushed` is how many of the last are in this clone alone. `lost` are ends of chains that this clone has seen
    there, and that are no part of this one. `untold` says why it is not known what the remote has, if it is not: this
    is what it had before.
    """

    place: str
    stored: tuple[Stored, ...] = ()
    cut: bool = False
    unpushed: int = 0
    lost: tuple[Commit, ...] = ()
    untold: str = ""
    pruned: Pruning | None = None

    @property
    def numbered(self) -> "Iterable[tuple[int, Stored]]":
        """What is kept, each with its number: that of the one before and 1."""
        return enumerate(self.stored, 1 + (self.pruned.count if self.pruned else 0))

    @property
    def ids(self) -> frozenset[str]:
        """The ids of what is kept."""
        return frozenset(one.place.id for one in self.stored if one.place is not None)

    @property
    def first_sealed(self) -> float:
        """The number of the first that has a signature, valid or not, or that of what was pruned under one."""
        if self.pruned is not None and self.pruned.seal is not None:
            return self.pruned.count
        return next((number for number, one in self.numbered if not one.text.endswith(_UNSIGNED)), math.inf)

    @property
    def end(self) -> str:
        """The digest of the last receipt, or of the last that was pruned; empty where there never was one."""
        return digest_of(self.stored[-1].text) if self.stored else self.pruned.digest if self.pruned else ""

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
    STALE = "stale"
    ACKNOWLEDGED = "acknowledged"


GRAVE = frozenset({Flaw.LOST, Flaw.REWRITTEN, Flaw.DAMAGED, Flaw.BROKEN, Flaw.FORGED, Flaw.MISSING, Flaw.CONTRADICTED})
"""
These say that something is not as it was written. The others say that not everything is proven, but for ACKNOWLEDGED:
that a person answers for it.
"""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Why the standing policy says that a receipt is missing, and which commit, by whom, made it say so."""

    reason: str
    commit: Commit | None = None
    author: str = ""
    receipt: str = ""

    @property
    def sentence(self) -> str:
        """`Acknowledged by Ada in 1b9c02f4a7de: The runner lost power.`"""
        by = f" by {plain(self.author.partition(' <')[0], 200)}" if self.author else ""
        by += f" in {self.commit[:12]}" if self.commit else ""
        return f"Acknowledged{by}: {plain(self.reason, 400)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that is wrong: which, where in the chain (0: of the whole), and a sentence; and who answers for it, if
    that is in the policy.
    """

    flaw: Flaw
    sequence: int
    sentence: str
    acknowledged: Acknowledged | None = None

    @property
    def grave(self) -> bool:
        """Whether something is not as it was written."""
        return self.flaw in GRAVE

    @property
    def unproven(self) -> bool:
        """Whether something is not proven, and nobody answers for it."""
        return not self.grave and self.flaw is not Flaw.ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A record in the registry that names a receipt: it says how this version of a model came into that slot, when and by
    which commit. `there`: it still is there. `names` are those that the model had, where that is known. `doubted`: by
    trusted history, that commit did not declare it there.
    """

    receipt: str
    model: str
    slot: str
    version: int
    at: str = ""
    commit: Commit | None = None
    there: bool = False
    names: frozenset[str] = frozenset()
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """
    What was verified: how many receipts, of these how many signed by a key that counts, the times of the first and the
    last, how many records of the registry name one (None: it was not read), and what is wrong, gravest first. `pruned`
    is what stands in the place of those before, if a key that counts signed it. `about` is the version that a bundle is
    about; empty for the receipts themselves.
    """

    place: str
    receipts: int = 0
    signed: int = 0
    first: str = ""
    last: str = ""
    records: int | None = None
    findings: tuple[Finding, ...] = ()
    pruned: Pruning | None = None
    about: str = ""

    @property
    def grave(self) -> bool:
        """Whether something is not as it was written."""
        return any(finding.grave for finding in self.findings)

    @property
    def unproven(self) -> bool:
        """Whether something is not proven, and nobody answers for it."""
        return any(finding.unproven for finding in self.findings)


def structure(chain: Chain, *, briefly: bool = False) -> tuple[Finding, ...]:
    """
    What is wrong with the chain by itself: what we did not write like that, and what does not follow on another.
    `briefly`: receipts are looked at from outside, and what is wrong inside one alone is passed over.
    """
    found: list[Finding] = []
    if chain.untold:
        found.append(Finding(Flaw.UNKNOWN, 0, f"The remote could not be asked: {chain.untold}"))
    for end in chain.lost:
        sentence = f"This clone has seen receipts there that are gone, up to commit {end[:12]}: the ref was reset."
        found.append(Finding(Flaw.REWRITTEN, 0, f"{sentence} To see them: `git log {end[:12]}`."))
    pruned = chain.pruned
    before = (pruned.count, pruned.digest) if pruned else None
    ids = {name: number for number, name in enumerate(pruned.ids if pruned else (), 1)}
    for place, one in chain.numbered:
        link = one.place if briefly else one.link and one.link.place
        where = one.where
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


def _of_first(link: Place, where: str, chain: Chain) -> Iterable[Finding]:
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


def carried_on(before: Chain, now: Chain) -> bool:
    """
    Whether all that a chain had is in another one, or was taken out of it by its pruning, if that counts. Each digest
    stands for all that came before.
    """
    if now.pruned is None:
        return False
    if before.end == now.pruned.digest or any(digest_of(one.text) == before.end for one in now.stored):
        return True
    gone = dict(enumerate(now.pruned.ids, 1))
    known = [(link.sequence, link.id) for link in before.links()]
    known += enumerate(before.pruned.ids if before.pruned else (), 1)
    return len(before.links()) == len(before.stored) and all(gone.get(number) == name for number, name in known)


def cut_off(pruned: Pruning) -> Finding:
    """What is wrong with a pruning that no key that counts has signed."""
    sentence = (
        f"The chain begins behind no. {pruned.count}: those before it were cut off. What says that they were pruned "
        "has no signature by a listed key, so anyone who can push could have written it."
    )
    return Finding(Flaw.BROKEN, 0, sentence)


def pruning_of(chain: Chain, before: str, at: str) -> Pruning | None:
    """What would stand in the place of all receipts up to the first that is younger than a moment; None: of none."""
    bound = moment(before)
    old: list[Link] = []
    for link in chain.links():
        kept = moment(link.at)
        if bound is None or kept is None or kept >= bound:
            break
        old.append(link)
    if not old:
        return None
    former = chain.pruned.ids if chain.pruned else ()
    return Pruning(at, (*former, *(link.id for link in old)), digest_of(old[-1].text), old[-1].at)


def behind(chain: Chain, pruning: Pruning) -> tuple[Stored, ...]:
    """
    What stays of a chain when so much is pruned. Raises ReconcilerError for a chain that does not have what is to be
    pruned.
    """
    first = pruning.count - (chain.pruned.count if chain.pruned else 0)
    if not 0 < first <= len(chain.stored) or digest_of(chain.stored[first - 1].text) != pruning.digest:
        raise ReconcilerError(
            f"The receipts at {chain.place} are not those that were to be pruned: they changed meanwhile.",
            "See `reconciler audit`, and prune again.",
        )
    return chain.stored[first:]


def with_exported(chain: Chain, exported: Chain) -> Chain:
    """
    A chain together with what was pruned of it and exported. Raises ReconcilerError where the export does not have
    that.
    """
    if chain.pruned is None:
        return chain
    count = chain.pruned.count - (exported.pruned.count if exported.pruned else 0)
    old = replace(exported, stored=exported.stored[: max(count, 0)])
    if old.end != chain.pruned.digest or any(finding.grave for finding in structure(old)):
        raise ReconcilerError(
            f"{exported.place} does not have the {chain.pruned.count} receipts that were pruned, as they were.",
            "Name the folder that they were exported to. `reconciler audit FOLDER` says what is wrong with one.",
        )
    return replace(chain, stored=(*old.stored, *chain.stored), pruned=exported.pruned)


def against_records(
    chain: Chain,
    claims: Iterable[Claim],
    pruned: Pruning | None = None,
    acknowledged: Mapping[str, Acknowledged] = MappingProxyType({}),
    announced: Collection[str] = (),
    *,
    several: bool = False,
    told: Mapping[str, Acknowledged] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """
    What records in the registry say of receipts that the chain does not bear out, beside those that were pruned; of
    those that are missing, by the record that matters most. Where the chain was not read, nothing is missing. Of some,
    the standing policy acknowledges it, and of those `announced`, the next one will. With `several` registries, what no
    record names may be another one's. What a bundle has `told` of acknowledgments settles nothing.
    """
    kept = {one.place.id: one for one in chain.stored if one.place is not None}
    gone = frozenset(pruned.ids if pruned else ())
    found: dict[tuple[str, str], Finding] = {}
    claims = sorted(claims, key=lambda claim: (not claim.there, claim.slot in {"Archived", "None"}))
    naming: dict[str, list[str]] = {}
    for claim in claims:
        naming.setdefault(claim.receipt, []).append(f"v{claim.version} of {claim.model} in {claim.slot}")
    for claim in claims:
        if claim.receipt in gone:
            continue
        link = kept[claim.receipt].link if claim.receipt in kept else None
        about = f"v{claim.version} of {claim.model} in {claim.slot}"
        about += f" (by commit {claim.commit[:12]}, {claim.at})" if claim.commit else ""
        if link is None and chain.untold:
            continue
        # Who answers for an apply answers for what it declared, and for no record that somebody writes later.
        known = None if claim.doubted else acknowledged.get(claim.receipt)
        if link is None and known is not None:
            sentence = (
                f"The record of {about} names the receipt {claim.receipt}, which the chain lacks. {known.sentence}"
            )
            found.setdefault(("", claim.receipt), Finding(Flaw.ACKNOWLEDGED, 0, sentence, known))
        elif link is None and not chain.stored and chain.pruned is None:
            sentence = f"There are no receipts at {chain.place}, and the record of {about} names {claim.receipt}."
            sentence += _by_its_own_word(told.get(claim.receipt))
            found.setdefault((Flaw.LOST, ""), Finding(Flaw.LOST, 0, sentence))
        elif link is None:
            sentence = f"The record of {about} names the receipt {claim.receipt}, which the chain lacks."
            if chain.cut:
                found.setdefault((Flaw.SHALLOW, claim.receipt), Finding(Flaw.SHALLOW, 0, sentence))
            elif claim.receipt in told:
                sentence += _by_its_own_word(told[claim.receipt])
                found.setdefault((Flaw.MISSING, claim.receipt), Finding(Flaw.MISSING, 0, sentence))
            else:
                # What else that apply did is to be compared, too, before somebody answers for it.
                own = f"v{claim.version} of {claim.model} in {claim.slot}"
                beside = [one for one in naming[claim.receipt] if one != own]
                sentence += f" So do those of {some(beside)}." if beside else ""
                sentence += (
                    " The policy acknowledges it from the next change on."
                    if claim.receipt in announced
                    else f" If that apply was killed, see that {claim.slot} holds what it should (`reconciler plan`), "
                    "and acknowledge it in reconciler.yaml: `missing-receipts: [{receipt: "
                    f'{claim.receipt}, reason: "…"}}]`.'
                )
                found.setdefault((Flaw.MISSING, claim.receipt), Finding(Flaw.MISSING, 0, sentence))
        elif not _bears_out(link, claim):
            sentence = f"The record of {about} names the receipt {claim.receipt}, which says nothing of that."
            found[Flaw.CONTRADICTED, f"{claim}"] = Finding(Flaw.CONTRADICTED, link.sequence, sentence)
    for receipt, known in acknowledged.items() if not chain.untold else ():
        if ("", receipt) not in found:
            there = receipt in kept or receipt in gone
            if several and not there:
                continue
            why = "it is not missing" if there else "no record names it"
            sentence = (
                f"The policy acknowledges that the receipt {receipt} is missing, and {why}: remove it from there."
            )
            found["stale", receipt] = Finding(Flaw.STALE, 0, sentence, known)
    return tuple(found.values())


def _by_its_own_word(told: Acknowledged | None) -> str:
    """What a bundle says of a missing receipt itself."""
    return f" By the bundle's own word, its repository answers for that: {told.sentence}" if told else ""


def _bears_out(link: Link, claim: Claim) -> bool:
    """
    Whether a receipt says that its apply wrote such a record, of the model by one of its names; where these are not
    known, it may have been renamed since, and is looked for in all of them. The answer to a call may have been lost,
    with which a model fails.
    """
    for model in members(link.receipt.get("models")):
        if claim.names and member(model, "model") not in claim.names:
            continue
        written = (member(call, "arguments") for call in members(member(model, "calls")))
        if any(member(a, "version") == claim.version and claim.slot in members(member(a, "slots")) for a in written):
            return True
        if member(model, "status") == "failed" and (claim.names or member(model, "model") == claim.model):
            return True
    return False
