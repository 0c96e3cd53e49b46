"""A bundle of evidence as documents: the list of what is in it, and the model card."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# On Python 3.11 pydantic, which makes the schemas, cannot look into those of `typing`.
from typing_extensions import TypedDict

from reconciler.core import bundle, figures
from reconciler.core.bundle import About, FileDigest
from reconciler.core.evidence import Dataset, Exhibit, Pairing, VersionFacts
from reconciler.core.history import History
from reconciler.core.names import Slot
from reconciler.core.records import Seal, seal_document
from reconciler.core.snapshot import Identity
from reconciler.core.text import amount, clean
from reconciler.render import words
from reconciler.render.evidence_json import KnownDocument, facts_document
from reconciler.render.findings import by_dataset, findings
from reconciler.render.history import moved as moved_in
from reconciler.render.history import told, when
from reconciler.render.history_json import (
    AcknowledgedDocument,
    SourcesDocument,
    TurnDocument,
    acknowledged_document,
    sources_document,
    turn_document,
)
from reconciler.render.json import TOOL, ApprovalDocument, IdentityDocument, Tool
from reconciler.render.layout import WIDTH, Line, flowed
from reconciler.render.markdown import metric_table, row_table
from reconciler.render.spans import cell, code, prose


class ChainDocument(TypedDict):
    """The receipts that were kept: where, the numbers of the first and the last (0: none), the digest of the last."""

    place: str
    first: int
    last: int
    digest: str


class ListedDocument(TypedDict):
    """A file: its path, the SHA-256 of its content, and its bytes."""

    path: str
    sha256: str
    size: int


class SignatureDocument(TypedDict):
    """A signature by SSH, of the namespace `reconciler-record`, and the fingerprint of its key."""

    kind: str
    key: str
    value: str


class BundleDocument(TypedDict):
    """
    The list of a bundle of evidence: which version it is about, and every file. `as_of` is the time (RFC 3339, UTC) of
    the newest of what it was made from; `receipts` are the numbers of those that tell of the version; `lacking` is what
    could not be put in, and `acknowledged` the missing receipts for which the policy answers. `signature` is of the
    document without it, and with a `purpose`, `reconciler-bundle`, in canonical JSON (keys sorted, no spaces, ASCII).
    """

    format: int
    tool: Tool
    model: str
    names: list[str]
    version: IdentityDocument
    registry: str
    workspace: str
    repository: str
    commit: str | None
    as_of: str
    chain: ChainDocument
    receipts: list[int]
    lacking: list[str]
    acknowledged: list[AcknowledgedDocument]
    files: list[ListedDocument]
    signature: SignatureDocument | None


class ProofDocument(ApprovalDocument):
    """
    An approval that gates were told of before a version entered a slot, by which receipt. `object` is the signed commit
    as git has it, and `signers` the file that listed keys then; null where they are not in the bundle.
    """

    receipt: str
    slot: str
    object: str | None
    signers: str | None


class CardDocument(TypedDict):
    """What is known of a version, with the turns by which it came into slots and left them."""

    tool: Tool
    sources: SourcesDocument
    model: str
    description: str
    owners: list[str]
    tags: dict[str, str]
    version: KnownDocument | None
    turns: list[TurnDocument]


@dataclass(frozen=True, slots=True)
class Card:
    """
    What a model card says: the version, what of it is known (None: it is gone from the registry), the model's
    description, owners and tags as declared or found, its turns, the digests of its files (None: not read), and what
    could not be found out.
    """

    about: About
    history: History
    facts: VersionFacts | None
    description: str = ""
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] | None = None
    files: tuple[FileDigest, ...] | None = None
    approvals: tuple[ProofDocument, ...] = ()
    lacking: tuple[str, ...] = ()


def bundle_document(
    about: About,
    identity: Identity,
    history: History,
    as_of: str,
    chain: ChainDocument,
    receipts: Iterable[int],
    lacking: Iterable[str],
    files: Iterable[FileDigest],
) -> BundleDocument:
    """The list, not signed yet."""
    of = history.of
    return {
        "format": bundle.FORMAT,
        "tool": TOOL,
        "model": about.model,
        "names": list(about.names),
        "version": {
            "version": identity.version,
            "run_id": identity.run_id,
            "created_at": identity.created_at,
            "source": identity.source,
        },
        "registry": of.registry,
        "workspace": of.workspace,
        "repository": of.revision.repository,
        "commit": of.revision.commit,
        "as_of": as_of,
        "chain": chain,
        "receipts": list(receipts),
        "lacking": list(lacking),
        "acknowledged": [acknowledged_document(one.acknowledged) for one in of.findings if one.acknowledged],
        "files": files_document(files),
        "signature": None,
    }


def with_seal(document: BundleDocument, seal: Seal) -> BundleDocument:
    """The list with a signature on it."""
    signature = seal_document(seal)
    assert signature is not None  # noqa: S101  # for the type checker: there is a seal
    return {
        **document,
        "signature": {"kind": signature["kind"], "key": signature["key"], "value": signature["value"]},
    }


def files_document(files: Iterable[FileDigest]) -> list[ListedDocument]:
    """Files by their digests."""
    return [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in files]


def written(document: object) -> bytes:
    """A document as a file of a bundle."""
    return (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def bundle_lines(made: bundle.Bundle, name: str, size: int, width: int = WIDTH) -> Iterator[Line]:
    """What is in a bundle and what could not be put in; the last line is the one that scripts may parse."""
    let_in = f"{made.entrances} of {'an apply' if made.entrances == 1 else 'applies'} that let it in"
    text = f"{made.about.title}: {amount(made.receipts, 'receipt')} about it, {let_in}"
    yield from flowed((), (("", text),), width)
    for lacking in made.lacking:
        yield from flowed((("warn", "  not in it  "),), (("", clean(lacking)),), width)
    signed = f"signed with {clean(made.key)}" if made.key else "not signed"
    text = f"Evidence: {amount(len(made.files), 'file')}, {figures.size(size)}, {signed}: {clean(name)}"
    yield (("name", text),)


def card_document(card: Card) -> CardDocument:
    """The model card for programs."""
    return {
        "tool": TOOL,
        "sources": sources_document(card.history.of),
        "model": card.about.model,
        "description": card.description,
        "owners": list(card.owners),
        "tags": dict(card.tags or {}),
        "version": None if card.facts is None else facts_document(card.facts),
        "turns": [turn_document(turn) for turn in card.history.turns],
    }


def card_markdown(card: Card) -> str:
    """The model card for people."""
    about = card.about
    parts = [
        f"# {code(about.model)} v{about.version}",
        _where(card),
        *([prose(card.description)] if card.description else []),
        *_table(("", ""), _heads(card)),
        *_turns(card),
        *_approvals(card),
        *_known(card),
        *_files(card),
        *(["## What is not in here", *_bullets(card.lacking)] if card.lacking else []),
        "## How to verify it",
        _VERIFYING,
    ]
    return "\n\n".join(parts) + "\n"


_VERIFYING = (
    "Whoever passed this bundle on could have changed it. `reconciler audit FILE.zip --signers FILE` tells whether "
    "they did. It needs no network, but a file of allowed signers that does not come with the bundle: the one that the "
    "repository's policy names. Those in `signers/` are the bundle's own word, and prove nothing."
)


def _where(card: Card) -> str:
    of = card.history.of
    registry, commit = words.registry(of.registry, of.workspace), words.revision(of.revision)
    return f"Evidence from {prose(registry)}, as seen from {prose(commit)}, as of {figures.moment(of.read_at)}."


def _heads(card: Card) -> Iterator[tuple[str, str]]:
    if card.facts is not None and card.facts.description:
        yield "version", prose(card.facts.description)
    if card.owners:
        yield "owners", ", ".join(cell(owner) for owner in card.owners)
    for key, value in sorted((card.tags or {}).items()):
        yield f"tag {cell(key)}", cell(value)
    yield "repository", cell(card.history.of.revision.repository)


def _turns(card: Card) -> Iterator[str]:
    yield "## Where it has been"
    lines: list[str] = []
    for turn in card.history.turns:
        lines.append(f"- **{when(turn)}** {cell(turn.slot)} {prose(moved_in(turn))}: {turn.turning}")
        lines.extend(f"  - {prose(line)}" for line in told(turn))
    yield "\n".join(lines) or "In no governed slot, as far as is known."


def _approvals(card: Card) -> Iterator[str]:
    if card.approvals:
        yield "## Approvals"
        slots: dict[tuple[str, str, str, str], list[str]] = {}
        for one in card.approvals:
            slots.setdefault((one["who"], one["how"], one["at"], one["commit"] or ""), []).append(one["slot"])
        rows = (
            (cell(who), cell(", ".join(dict.fromkeys(some))), prose(how), figures.moment(at), cell(commit[:12]))
            for (who, how, at, commit), some in slots.items()
        )
        yield from _table(("who", "for", "proof", "when", "commit"), rows)
        yield "Gates were told of these. Which of them counted, the verdicts say."


def _known(card: Card) -> Iterator[str]:
    facts = card.facts
    if facts is None:
        return
    new = f"v{facts.version}"
    found = findings(Exhibit(Pairing(facts.model, facts.version, None, (Slot("Production"),)), facts), "")
    yield "## Figures"
    if not found.metrics:
        yield "None are known."
    yield from (metric_table(dataset, rows, new, "") for dataset, rows in by_dataset(found.metrics))
    if datasets := _datasets(facts):
        yield "## Data sets"
        yield from _table(("name", "digest"), ((cell(one.name), cell(one.digest)) for one in datasets))
    yield "## Signature"
    signature = facts.signature
    if signature is None:
        yield f"None is known{f': {prose(why)}' if (why := facts.why_missing('signature')) else ''}."
    else:
        parts = (("inputs", signature.inputs), ("outputs", signature.outputs), ("params", signature.params))
        rows = ((label, cell(str(one))) for label, some in parts for one in some or ())
        yield from _table(("", ""), rows)
    yield "## Lineage"
    lineage = tuple(row for row in found.lineage if row.label != "description")
    yield from row_table("", lineage, new, "", ours=True)
    for title, some in (("Parameters", found.params), ("Libraries", found.packages), ("Tags", found.tags)):
        if some:
            yield f"## {title}"
            yield from row_table("", some, new, "")
    if found.missing:
        yield "## What is not known"
        yield from _bullets(found.missing)


def _datasets(facts: VersionFacts) -> Sequence[Dataset]:
    found = {metric.dataset for metric in facts.metrics if metric.dataset is not None}
    return sorted(found, key=lambda one: (one.name, one.digest))


def _files(card: Card) -> Iterator[str]:
    if card.files is not None:
        yield "## Files"
        total = figures.size(sum(file.size for file in card.files))
        yield f"{amount(len(card.files), 'file')}, {total}: {code(bundle.total_digest(card.files))}"


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    if shown := [f"- {prose(line)}" for line in lines]:
        yield "\n".join(shown)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if lines:
        yield "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines])
