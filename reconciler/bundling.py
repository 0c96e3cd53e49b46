"""
Bundles of evidence about one version, put together from receipts, git and the registry. Reads everything, writes
nothing. How they are verified, without any of these, is in `verifying.py`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from reconciler.core import bundle
from reconciler.core.bundle import About, Bundle, FileDigest, needed
from reconciler.core.chain import Chain, Link, digest_of
from reconciler.core.changes import Change, DeleteAlias, DescribeVersion, RecordProvenance, SetAlias, TransitionStage
from reconciler.core.desired import DesiredState, Revision
from reconciler.core.diff import ModelPlan, Proposal, Reason, Why
from reconciler.core.evidence import Evidence, Exhibit, Pairing
from reconciler.core.gate import Entrance, Kind, Ruling, Verdict
from reconciler.core.history import History, Past, Recalled, Turn, turns
from reconciler.core.moments import moment_of, rfc3339
from reconciler.core.names import OUR_TAG_PREFIX, AliasName, Commit, ModelRef, RepositoryId, Slot, Stage, Version
from reconciler.core.past import pins_of
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.policy import Policy
from reconciler.core.records import member, members
from reconciler.core.review import Applied, Note, Review
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import (
    Identity,
    ModelSnapshot,
    RegistrySnapshot,
    VersionSnapshot,
    encode_provenance,
)
from reconciler.core.text import plain, without_logins
from reconciler.errors import Failure, Location, ReconcilerError, contained
from reconciler.planning import declaration_of, declare, gather, short, standing_commit, under_former_names
from reconciler.ports import SignRecord, Wanted, World
from reconciler.recalling import kept_chain, recall
from reconciler.render.bundle import (
    Card,
    ChainDocument,
    ProofDocument,
    bundle_document,
    card_document,
    card_markdown,
    files_document,
    with_seal,
    written,
)
from reconciler.render.evidence_json import evidence_digests
from reconciler.render.formats import Format, rendered, rendered_history
from reconciler.render.history import pruned
from reconciler.rules import Rules
from reconciler.trust import Trunk

_LONGEST_REASON = 1_000
"""Letters of why something is not in a bundle; what somebody wrote is cut where it is quoted."""


@dataclass(slots=True)
class _Making:
    """What goes into a bundle, as it comes to be known."""

    world: World
    about: About
    policy_at: Callable[[str | None], Policy | None]
    trunk: Trunk | None
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    lacking: list[str] = field(default_factory=list[str])
    proofs: list[ProofDocument] = field(default_factory=list[ProofDocument])

    def missing(self, what: str, why: str) -> None:
        self.lacking.append(f"{what}: {plain(why, _LONGEST_REASON)}")


def make_bundle(
    world: World,
    ref: str,
    rules: Rules,
    model: str,
    version: int,
    policy_at: Callable[[str | None], Policy | None],
    sign: SignRecord | None,
) -> Bundle:
    """
    All that there is to show for a version, the same bytes for the same state of receipts, git and registry. Raises
    ReconcilerError for a version of which nothing is known, and where the registry cannot be read.
    """
    number = Version(version)
    chain = kept_chain(world, rules)
    links = chain.links()
    recalled = recall(world, ref, rules, chain, [model])
    if recalled.untold:
        raise ReconcilerError(f"The registry was not read: {recalled.untold}")
    past = next((one for one in recalled.models if one.model == model), recalled.models[0])
    recalled, name = replace(recalled, models=(past,)), past.model
    manifest = declare(world, ref).desired.models.get(name)
    formers = (*(manifest.former_names if manifest else ()), *(n.names.before for n in reversed(past.renamings)))
    names = tuple(dict.fromkeys((name, *formers)))
    live = _live(world, past, number)
    world = under_former_names(world, RegistrySnapshot({name: live}))
    there = live.versions.get(number)
    identity = _identity(there, names, number, links)
    about = About(name, names, number, identity.run_id, identity.created_at)
    making = _Making(world, about, policy_at, rules.trunk)
    for finding in recalled.findings:
        making.missing("The chain of receipts", finding.sentence)
    if there is None:
        making.missing("What MLflow knows of the version", "the registry does not have it anymore")

    named = {record.receipt for record in there.provenance.values()} if there else set[str]()
    chosen = needed(about, links) | {link.sequence for link in links if link.id in named}
    for link in links:
        if link.sequence in chosen:
            making.files[bundle.receipt_path(link.sequence)] = link.text.encode("utf-8", "surrogateescape")
    if chain.pruned is not None:
        making.files[bundle.PRUNING] = chain.pruned.text.encode("utf-8", "surrogateescape")
        making.lacking.append(pruned(chain.pruned))
    telling = [link for link in links if about.is_in(link.receipt)]
    if there is not None:
        making.files[bundle.RECORDS] = written({"model": name, "record": encode_provenance(there.provenance)})
    entering = [link for link in telling if any(about.entrances_in(link.receipt))]
    if not entering:
        making.missing("The review", "no receipt of an apply that let it in is kept, so what was shown is not known")
    asked = [_pairings(about, link) for link in entering] if there else []
    known = Pairing(name, number, None, ())
    evidence = (
        gather(world, (known, *(p for some in asked for p in some)), RegistrySnapshot({name: live})) if there else None
    )
    for link in entering:
        _add_review(making, link, evidence, signed=_is_signed(recalled, link))
        _add_proofs(making, link)
    signers = rules.policy.signers
    if signers:
        making.files[_signers_path(signers)] = signers.encode("utf-8", "replace")
    making.files["approvals.json"] = written({"approvals": making.proofs})
    files = _add_files(making, there)

    as_of = _as_of(world, recalled, chain, there)
    turned = _turns(recalled, as_of, number)
    history = History(replace(recalled, read_at=as_of), turned)
    exhibit = next((e for e in evidence.exhibits if e.pairing == known), None) if evidence else None
    if evidence is not None and evidence.trouble:
        making.missing("What MLflow knows of the version", evidence.trouble)
    card = Card(
        about,
        history,
        exhibit.candidate if exhibit else None,
        without_logins(live.description),
        manifest.owner_names if manifest else (),
        {key: without_logins(value) for key, value in live.tags.items() if not key.startswith(OUR_TAG_PREFIX)},
        files,
        tuple(making.proofs),
        tuple(making.lacking),
    )
    making.files["card.md"] = card_markdown(card).encode("utf-8", "backslashreplace")
    making.files["card.json"] = written(card_document(card))
    making.files["history.html"] = rendered_history(history, Format.HTML).encode("utf-8", "backslashreplace")
    making.files["history.json"] = rendered_history(history, Format.JSON).encode("utf-8", "backslashreplace")

    place: ChainDocument = {
        "place": chain.place,
        "first": links[0].sequence if links else 0,
        "last": links[-1].sequence if links else 0,
        "digest": digest_of(links[-1].text) if links else "",
    }
    numbers = [link.sequence for link in telling]
    digests = [
        FileDigest(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in sorted(making.files.items())
    ]
    document = bundle_document(about, identity, history, as_of, place, numbers, making.lacking, digests)
    seal = None if sign is None else sign(bundle.signed_bytes(cast("Mapping[str, Any]", document)))
    if seal is not None and rules.policy.names_signers and world.seals is not None:
        signed = bundle.signed_bytes(cast("Mapping[str, Any]", document))
        if not world.seals.verified([(signed, seal, as_of)], rules.policy.signers)[0]:
            raise ReconcilerError(
                f"No line of {rules.policy.signers_path} lets the key {seal.key} sign records, so its signature on the "
                "bundle would count for nothing.",
                "Pass the key that the job of the apply has, or none: unset RECONCILER_SIGNING_KEY.",
            )
    listed = written(document if seal is None else with_seal(document, seal))
    whole = {**making.files, bundle.LIST: listed}
    return Bundle(about, whole, len(telling), len(entering), tuple(making.lacking), seal.key if seal else "")


def _live(world: World, past: Past, number: Version) -> ModelSnapshot:
    """The model as the registry has it, by what it calls it, under the name that git gives it."""
    called = past.present.name if past.present and past.present.name else past.model
    live = world.registry.snapshot(Wanted({called: frozenset({number})})).models.get(called)
    if live is None:
        return ModelSnapshot(past.model)
    return live if called == past.model else replace(live, name=past.model, called=called)


def _identity(
    there: VersionSnapshot | None, names: tuple[str, ...], number: Version, links: Iterable[Link]
) -> Identity:
    """What tells the version from others of its number: by the registry, or by the newest receipt that tells of it."""
    if there is not None:
        return there.identity
    for link in reversed(tuple(links)):
        for model in members(link.receipt.get("models")):
            for one in members(member(model, "versions")) if member(model, "model") in names else ():
                run_id, created_at, source = (member(one, key) for key in ("run_id", "created_at", "source"))
                if member(one, "version") == number and isinstance(created_at, int):
                    return Identity(number, str(run_id), created_at, str(source))
    raise ReconcilerError(
        f"Nothing is known of v{number} of {plain(names[0])}: it is not in the registry, and no receipt tells of it.",
        "Correct the number.",
    )


def _is_signed(recalled: Recalled, link: Link) -> bool:
    sightings = (sighting for past in recalled.models for sighting in past.sightings)
    return any(sighting.applying.receipt == link.id and sighting.applying.signed for sighting in sightings)


def _as_of(world: World, recalled: Recalled, chain: Chain, there: VersionSnapshot | None) -> str:
    """The time of the newest of what a bundle is made from, so that the same state makes the same bundle."""
    commit = recalled.revision.commit
    note = None if commit is None else world.source.described([commit]).get(commit)
    moments = [moment_of(note.time * 1000)] if note else []
    moments += [moment_of(there.updated_at or there.created_at)] if there else []
    return max([*(rfc3339(one) for one in moments if one), *(link.at for link in chain.links()[-1:])], default="")


def _turns(recalled: Recalled, as_of: str, number: Version) -> tuple[Turn, ...]:
    """The turns by which a version came into slots and left them."""

    def then(past: Past) -> Past:
        return replace(past, present=past.present and replace(past.present, read_at=as_of))

    return tuple(
        turn
        for past in recalled.models
        for turn in turns(then(past))
        if number in turn.after or number in (turn.before or ())
    )


def _pairings(about: About, link: Link) -> tuple[Pairing, ...]:
    """What a version entered by an apply, beside what was there before."""
    pairs: dict[Version | None, list[Slot]] = {}
    for part in about.parts_of(link.receipt):
        before = {member(one, "slot"): members(member(one, "before")) for one in members(member(part, "slots"))}
        for entrance in about.entrances_in(link.receipt):
            slot = member(entrance, "slot")
            others = [number for number in before.get(slot, []) if number != about.version]
            pairs.setdefault(Version(max(others)) if others else None, []).append(Slot(str(slot)))
    pairings = (
        Pairing(ModelRef(about.model), Version(about.version), incumbent, tuple(dict.fromkeys(slots)))
        for incumbent, slots in pairs.items()
    )
    return tuple(pairings)


def _add_review(making: _Making, link: Link, evidence: Evidence | None, *, signed: bool) -> None:
    review = contained(partial(_review, making, link, evidence, signed=signed))
    if isinstance(review, Failure):
        making.missing(f"The review of receipt {link.id}", review.why)
        return
    stem = f"reviews/{link.sequence:08}"
    making.files[f"{stem}.html"] = rendered(review, Format.HTML, "").encode("utf-8", "backslashreplace")
    making.files[f"{stem}.json"] = rendered(review, Format.JSON, "").encode("utf-8", "backslashreplace")


def _review(making: _Making, link: Link, evidence: Evidence | None, *, signed: bool) -> Review:
    """
    The review of an apply that let the version in: what it did, and what the gates said, by the receipt, with the
    places in the manifests of its commit; and the evidence as it is now.
    """
    world, about, receipt = making.world, making.about, link.receipt
    origin, started_at = member(receipt, "computed_from"), str(receipt.get("started_at"))
    part, name = about.parts_of(receipt)[0], ModelRef(str(member(about.parts_of(receipt)[0], "model")))
    commit = member(origin, "commit")
    slots, then = world.slots, None
    if isinstance(commit, str):
        slots = making.trunk.slots_of(Commit(commit)) if making.trunk else slots
        then = contained(partial(_declared_then, world, commit, slots))
    declared = None if isinstance(then, Failure) else then
    revision = Revision(RepositoryId(str(member(origin, "repository"))), None, str(member(origin, "author")))
    if isinstance(commit, str):
        revision = declared.revision if declared else replace(revision, commit=Commit(commit))
    verdicts = tuple(
        _verdict(name, one)
        for one in members(receipt.get("verdicts"))
        if member(one, "model") == name and member(one, "version") == about.version
    )
    proposals = tuple(_proposals(name, part, declared))
    moved = {_moved(proposal.change) for proposal in proposals}
    entrances = tuple(_entrance(name, one, moved) for one in members(member(part, "entrances")))
    plan = ModelPlan(
        name,
        (*proposals, *_records(name, entrances)),
        verdicts=verdicts,
        entrances=entrances,
        slots=slots,
    )
    shown = [
        _as_then(exhibit, started_at)
        for pairing in _pairings(about, link)
        for exhibit in (evidence.exhibits if evidence else ())
        if exhibit.pairing == pairing
    ]
    return Review(
        Plan(revision, PlanOptions(), (plan,), 1, fingerprint=str(member(origin, "fingerprint"))),
        str(member(origin, "registry")),
        Evidence(started_at, tuple(shown), evidence.trouble) if evidence else None,
        notes=tuple(_notes(about, link, shown, then, signed=signed)),
        workspace=str(member(origin, "workspace") or ""),
        applied=Applied(started_at, link.id, str(receipt.get("plan_digest"))),
    )


def _declared_then(world: World, commit: str, slots: SlotMap) -> DesiredState:
    return declaration_of(replace(world, parse=world.parser(slots), slots=slots), world.source.read(commit)).desired


def _as_then(exhibit: Exhibit, started_at: str) -> Exhibit:
    """Without versions that were registered later."""
    return replace(exhibit, history=tuple(one for one in exhibit.history if one.created_at <= started_at))


def _notes(
    about: About, link: Link, shown: Iterable[Exhibit], then: DesiredState | Failure | None, *, signed: bool
) -> Iterator[Note]:
    kind = "signed receipt" if signed else "receipt, which is not signed by a listed key,"
    yield Note(
        f"This was put together again for a bundle of evidence: changes, verdicts and times are those of the {kind} "
        f"{link.id}; the evidence is what MLflow showed when the bundle was made.",
    )
    for part in about.parts_of(link.receipt):
        if member(part, "status") != "applied":
            yield Note(f"This apply did not end well: {member(part, 'status')}. {member(part, 'message')}".rstrip())
    if isinstance(then, Failure):
        yield Note(f"The manifests of that commit could not be read, so places are missing: {then.why}")
    facts = next((exhibit.candidate for exhibit in shown), None)
    if facts is None:
        yield Note("There is no evidence now: MLflow does not show it.")
        return
    now = evidence_digests(facts)
    found = (member(entrance, "evidence") for entrance in about.entrances_in(link.receipt))
    before = next((cast("dict[str, str]", one) for one in found if isinstance(one, dict)), None)
    if before is None:
        text = "The receipt has no digest of the evidence: no gate asked for it then, or the release was an older one."
        yield Note(text)
        return
    other = sorted(part for part in before.keys() | now.keys() if before.get(part) != now.get(part))
    same = sorted(before.keys() & now.keys() - set(other))
    if other:
        changed, kept = ", ".join(other), ", ".join(same) or "nothing"
        text = f"Of the evidence, this is not as the gates were shown it then: {changed}. As it was then: {kept}."
    else:
        text = f"The evidence is what the gates were shown then, by the digests in the receipt: {', '.join(same)}."
    yield Note(text)


def _entrance(name: ModelRef, document: object, moved: Set[tuple[Slot | None, Version | None]]) -> Entrance:
    slot, version = Slot(str(member(document, "slot"))), Version(int(str(member(document, "version"))))
    return Entrance(name, version, slot, kind=Kind(str(member(document, "kind"))), moves=(slot, version) in moved)


def _records(name: ModelRef, entrances: Iterable[Entrance]) -> Iterator[Proposal]:
    """What was there already was only recorded."""
    for version in dict.fromkeys(entrance.candidate for entrance in entrances if not entrance.moves):
        yield Proposal(RecordProvenance(name, version, {}, ()), Reason(Why.UNDECLARED))


def _verdict(name: ModelRef, document: object) -> Verdict:
    slot, incumbent = Slot(str(member(document, "slot"))), member(document, "incumbent")
    entrance = Entrance(
        name,
        Version(int(str(member(document, "version")))),
        slot,
        Version(incumbent) if isinstance(incumbent, int) else None,
        Kind.ROLLBACK if member(document, "rollback") is True else Kind.NEW,
    )
    gate, sentence, note = (str(member(document, key)) for key in ("gate", "sentence", "note"))
    return Verdict(entrance, gate, Ruling(str(member(document, "ruling"))), sentence, _place(document), note)


def _place(document: object) -> Location:
    at = member(document, "policy")
    line, column = member(at, "line"), member(at, "column")
    known = isinstance(line, int) and isinstance(column, int)
    return Location(str(member(at, "path") or ""), line, column) if known else Location("")  # pyright: ignore[reportArgumentType]


def _proposals(name: ModelRef, part: object, declared: DesiredState | None) -> Iterator[Proposal]:
    """The calls that were made, and where the manifests of then asked for them."""
    manifest = declared.models.get(name) if declared else None
    for call in members(member(part, "calls")):
        change = _change(name, call)
        if change is None:
            continue
        slot, version = _moved(change)
        pins = pins_of(manifest, slot) if slot is not None else ()
        at = next((pin.at for pin in pins if pin.version in {None, version}), None)
        reason = Reason(Why.UNDECLARED) if at is None else Reason(Why.DECLARED, at)
        yield Proposal(change, reason, Reason(Why.DISPLACED, by=() if version is None else (version,)))


def _moved(change: Change) -> tuple[Slot | None, Version | None]:
    match change:
        case TransitionStage():
            return change.after.slot, change.version
        case SetAlias():
            return Slot(f"@{change.alias}"), change.after
        case _:
            return None, None


def _change(name: ModelRef, call: object) -> Change | None:
    """A call that was made, as the change that it made; None for our records, and for what is not about versions."""
    arguments, before, after = (member(call, key) for key in ("arguments", "before", "after"))
    number, alias = member(arguments, "version"), AliasName(str(member(arguments, "alias")))
    version = Version(number) if isinstance(number, int) else None
    match member(call, "method"):
        case "transition_model_version_stage" if version is not None:
            archives = tuple(Version(one) for one in members(member(arguments, "archives")))
            exclusive = member(arguments, "archive_existing_versions") is True
            return TransitionStage(name, version, Stage(str(before)), Stage(str(after)), exclusive, archives)
        case "set_registered_model_alias" if version is not None:
            return SetAlias(name, alias, Version(before) if isinstance(before, int) else None, version)
        case "delete_registered_model_alias" if isinstance(before, int):
            return DeleteAlias(name, alias, Version(before))
        case "update_model_version" if version is not None:
            return DescribeVersion(name, version, str(before or ""), str(after or ""))
        case _:
            return None


def _add_proofs(making: _Making, link: Link) -> None:
    """Approvals by which a version entered, each with what proves it."""
    commit = member(member(link.receipt, "computed_from"), "commit")
    signers = contained(partial(_signers_then, making, commit)) if isinstance(commit, str) else ""
    if isinstance(signers, Failure):
        making.missing(f"The signers of {short(Commit(str(commit)))}", signers.why)
        signers = ""
    for entrance in making.about.entrances_in(link.receipt):
        for given in members(member(entrance, "approvals")):
            who, how, at = (str(member(given, key)) for key in ("who", "how", "at"))
            named = member(given, "commit")
            signed = isinstance(named, str) and bundle.is_signed_commit(how)
            making.proofs.append(
                {
                    "who": who,
                    "how": how,
                    "at": at,
                    "commit": named if isinstance(named, str) else None,
                    "receipt": link.id,
                    "slot": str(member(entrance, "slot")),
                    "object": _add_commit(making, Commit(str(named))) if signed else None,
                    "signers": _signers_path(signers) if signed and signers else None,
                }
            )
            if signed and signers:
                making.files[_signers_path(signers)] = signers.encode("utf-8", "replace")


def _signers_then(making: _Making, commit: str) -> str:
    """Who could sign by the policy that judged a commit."""
    standing = standing_commit(making.world.source, base=None, ref=commit)
    policy = None if standing is None else making.policy_at(standing)
    return policy.signers if policy else ""


def _signers_path(text: str) -> str:
    return f"signers/{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}"


def _add_commit(making: _Making, commit: Commit) -> str | None:
    stored = contained(partial(making.world.source.stored, commit))
    if stored is None or isinstance(stored, Failure):
        why = "it is on no branch, and could not be fetched" if stored is None else stored.why
        making.missing(f"The signed commit {short(commit)}", why)
        return None
    making.files[bundle.commit_path(commit)] = stored
    return bundle.commit_path(commit)


def _add_files(making: _Making, there: VersionSnapshot | None) -> tuple[FileDigest, ...] | None:
    """The digests of the model's files, or why they are not known."""
    checks, about = making.world.checks, making.about
    if there is None or checks is None:
        making.missing("The digests of the files", "the registry does not have them")
        return None
    files = contained(lambda: checks.files(ModelRef(about.model), Version(about.version)))
    if isinstance(files, Failure):
        making.missing("The digests of the files", files.why)
        return None
    document = {"digest": bundle.total_digest(files), "files": files_document(files)}
    making.files[bundle.FILES] = written(document)
    return files
