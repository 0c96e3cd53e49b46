"""
Whether a bundle of evidence is as it was put together, and the receipts in it as they were written. Needs neither git
nor a registry, and believes no key but those that whoever asks has named.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.core import bundle
from reconciler.core.bundle import About, Inventory, placed, read_inventory, read_links, replaced
from reconciler.core.chain import Audit, Chain, Claim, Finding, Flaw, Link, against_records, cut_off
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import RECORDS, listed_for
from reconciler.core.records import member, members
from reconciler.core.snapshot import Provenance, decode_provenance, encode_provenance
from reconciler.core.snapshot import signed_bytes as record_bytes
from reconciler.core.text import amount, plain
from reconciler.errors import contained
from reconciler.ports import Seals
from reconciler.recalling import audit_of, counts, signatures, signed_links

MOST_FINDINGS = 50
"""Of more than these, the gravest are told one by one."""

NO_SIGNERS = (
    "No file of allowed signers is known that names who signs records, so no signature counts. Pass --signers FILE, "
    "which must not come from the bundle: what it has of signers is its own word."
)


def audit_bundle(
    files: Mapping[str, bytes],
    place: str,
    signers: str,
    seals: Seals,
    is_signed_by: Callable[[bytes, str, str], bool],
) -> Audit:
    """
    Whether a bundle is as it was put together, and its receipts as they were written: by the keys that `signers`, an
    allowed-signers text from elsewhere, lists. `is_signed_by` says whether a commit is signed by somebody's key there.
    """
    try:
        inventory = read_inventory(files[bundle.LIST])
    except KeyError:
        why = "is not there" if bundle.LIST not in files else "lacks a part"
        return audit_of(place, 0, (), frozenset(), None, [Finding(Flaw.DAMAGED, 0, f"{bundle.LIST} {why}.")])
    except (TypeError, ValueError):
        sentence = f"{bundle.LIST} is not a list of evidence as reconciler writes it."
        return audit_of(place, 0, (), frozenset(), None, [Finding(Flaw.DAMAGED, 0, sentence)])
    about = inventory.about
    stored, wrong = read_links(files)
    pruning, unreadable = bundle.read_beginning(files)
    pruned = pruning if pruning is not None and counts(seals, signers, pruning) else None
    links = tuple(one.link for one in stored.values() if one.link is not None)
    telling = [link for link in links if about.is_in(link.receipt)]
    signed = signed_links(seals, signers, links)
    names_signers = bool(listed_for(RECORDS, signers))
    nobody = [] if names_signers else [Finding(Flaw.UNSIGNED, 0, NO_SIGNERS)]
    provenance, unread = _records(files)
    claims = [
        Claim(record.receipt, about.model, slot, Version(about.version))
        for slot, record in sorted(provenance.items())
        if record.receipt
    ]
    told = {one.receipt: one for one in inventory.acknowledged}
    findings = [
        *bundle.listed(inventory, files),
        *wrong,
        *unreadable,
        *placed(inventory, stored, pruning),
        *((cut_off(pruning),) if pruning and not pruned else ()),
        *nobody,
        *(signatures(links, signed, after_signed=pruned is not None) if names_signers else ()),
        *(_list_signature(inventory, seals, signers) if names_signers else ()),
        *unread,
        *(_record_signatures(about, provenance, seals, signers) if names_signers else ()),
        *against_records(Chain(place, tuple(stored.values()), pruned=pruning), claims, pruned, told=told),
        *replaced(about, files, telling),
        *_unproven_approvals(about, telling, files, signers, is_signed_by),
    ]
    found = audit_of(place, len(links), links, signed, len(claims), dict.fromkeys(findings), about.title)
    found = replace(found, pruned=pruned)
    more = found.findings[MOST_FINDINGS:]
    if not more:
        return found
    rest = Finding(more[0].flaw, 0, f"And {amount(len(more), 'more finding')} like these, or of less weight.")
    return replace(found, findings=(*found.findings[:MOST_FINDINGS], rest))


def _list_signature(inventory: Inventory, seals: Seals, signers: str) -> Iterator[Finding]:
    seal = inventory.seal
    if seal is None:
        sentence = (
            f"{bundle.LIST} is not signed: what no receipt and no record proves, such as the card, the reviews, the "
            "digests of the files, and that nothing was left out, is the word of whoever had the bundle."
        )
        yield Finding(Flaw.UNSIGNED, 0, sentence)
    elif not seals.verified([(inventory.signed, seal, inventory.as_of)], signers)[0]:
        by = plain(seal.key, 80)
        sentence = f"{bundle.LIST} has a signature by {by} that is not valid, or not of a listed key."
        yield Finding(Flaw.FORGED, 0, sentence)


def _records(files: Mapping[str, bytes]) -> tuple[Provenance, tuple[Finding, ...]]:
    """Our records on the version, as the registry had them."""
    none: Provenance = {}
    if bundle.RECORDS not in files:
        return none, ()
    text = member(contained(lambda: json.loads(files[bundle.RECORDS])), "record")
    provenance = decode_provenance(text) if isinstance(text, str) else none
    if not isinstance(text, str) or encode_provenance(provenance) != text:
        return none, (Finding(Flaw.DAMAGED, 0, f"{bundle.RECORDS} is not a record as reconciler writes it."),)
    return provenance, ()


def _record_signatures(about: About, provenance: Provenance, seals: Seals, signers: str) -> Iterator[Finding]:
    """A record is signed for this very version, under one of its model's names."""
    for slot, record in sorted(provenance.items()):
        identity = record.identity
        what = f"The record of {about.title} in {plain(slot, 80)}"
        if identity is not None and (identity.version, identity.run_id, identity.created_at) != (
            about.version,
            about.run_id,
            about.created_at,
        ):
            yield Finding(Flaw.CONTRADICTED, 0, f"{what} is of another version.")
        if record.seal is None:
            sentence = f"{what} is not signed: anyone who writes to the registry could have written it."
            yield Finding(Flaw.UNSIGNED, 0, sentence)
            continue
        seal = record.seal
        claims = [(record_bytes(ModelRef(name), record), seal, record.applied_at) for name in about.names]
        if not any(seals.verified(claims, signers)):
            by = plain(seal.key, 80)
            yield Finding(Flaw.FORGED, 0, f"{what} has a signature by {by} that is not valid, or not of a listed key.")


def _unproven_approvals(
    about: About,
    links: Iterable[Link],
    files: Mapping[str, bytes],
    signers: str,
    is_signed_by: Callable[[bytes, str, str], bool],
) -> Iterator[Finding]:
    """Approvals by signed commits whose commits do not prove them. Those at a forge are the receipt's word."""
    seen = set[tuple[str, str]]()
    for link in links:
        for entrance in about.entrances_in(link.receipt):
            for given in members(member(entrance, "approvals")):
                who, how, commit = (str(member(given, key)) for key in ("who", "how", "commit"))
                if not bundle.is_signed_commit(how) or (who, commit) in seen:
                    continue
                seen.add((who, commit))
                what = f"The approval by {plain(who, 100)} in {plain(commit[:12])} (no. {link.sequence})"
                stored = files.get(bundle.commit_path(commit))
                if stored is None:
                    yield Finding(Flaw.UNSIGNED, link.sequence, f"{what}: the signed commit is not in the bundle.")
                elif _object_name(stored, len(commit)) != commit:
                    yield Finding(Flaw.DAMAGED, link.sequence, f"{what}: the commit in the bundle is another one.")
                elif signers and not is_signed_by(stored, who, signers):
                    sentence = f"{what}: the commit is not signed by a key that is listed for them."
                    yield Finding(Flaw.UNSIGNED, link.sequence, sentence)


def _object_name(stored: bytes, length: int) -> str:
    """What git calls a commit."""
    kind = "sha256" if length == 64 else "sha1"
    return hashlib.new(kind, b"commit %d\0" % len(stored) + stored, usedforsecurity=False).hexdigest()
