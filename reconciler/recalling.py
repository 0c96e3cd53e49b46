"""
What is known of the past: receipts, what git declared, and the registry as it is now, brought together model by model;
and whether the receipts are as they were written. Reads everything, writes nothing.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache, partial

from reconciler.core.chain import (
    Acknowledged,
    Audit,
    Chain,
    Claim,
    Finding,
    Flaw,
    Link,
    Pruning,
    Stored,
    against_records,
    cut_off,
    pruning_of,
    signed_bytes,
    structure,
)
from reconciler.core.desired import DesiredState
from reconciler.core.diff import as_renamed, to_rename
from reconciler.core.entrances import occupants
from reconciler.core.history import (
    Applying,
    Declaring,
    Held,
    Names,
    Opinion,
    Past,
    Placed,
    Present,
    Recalled,
    Sighting,
    Stretch,
    in_order,
)
from reconciler.core.moments import moment, moment_of, rfc3339
from reconciler.core.names import (
    Commit,
    ModelRef,
    Slot,
    Version,
    alias_slot,
    names_of,
    registry_name,
    workspace_name,
)
from reconciler.core.past import Epoch, declared_versions, pins_of, to_be_copied
from reconciler.core.past import Past as Trusted
from reconciler.core.policy import RECORDS, listed_for
from reconciler.core.records import canonical, member, members
from reconciler.core.renames import with_renamings
from reconciler.core.snapshot import ModelSnapshot, Ownership, Placement, RegistrySnapshot, VersionSnapshot
from reconciler.core.text import amount, did_you_mean, plain
from reconciler.errors import ExitCode, Failure, ReconcilerError, contained
from reconciler.planning import LeftAlone, declare, versions_named, with_names, with_past
from reconciler.ports import CommitNote, Seals, SignRecord, Wanted, World
from reconciler.rules import Rules
from reconciler.trust import Trunk

# How forges name the request in the message of a merge or a squash: GitHub, Gitea, GitLab, Bitbucket, Azure DevOps.
_REQUEST = (
    re.compile(r"\AMerge pull request (#\d+)"),
    re.compile(r"\AMerge pull request '.*' \((#\d+)\) from "),
    re.compile(r"(?m)^See merge request \S*?(!\d+)$"),
    re.compile(r"\AMerged in .*\(pull request (#\d+)\)"),
    re.compile(r"\AMerged (PR \d+): "),
    re.compile(r"\A[^\n]*\((#\d+)\)$", re.MULTILINE),
)
# What forges and git write as the subject of a merge, if nobody writes another one. Some quote the title in it.
_MERGE = re.compile(r"Merge (?:pull request|branch|branches|remote-tracking branch|commit|tag) |Merged in ")
_QUOTED = re.compile(r"Merge pull request '(.*)' \(#\d+\) from |Merged PR \d+: (.+)")
# What else stands at the beginning of a body: a trailer, GitLab's last line, a list of commits.
_NO_TITLE = re.compile(r"[A-Z][a-z]+(?:-[a-z]+)*-(?:by|on): |See merge request |Closes #|[*#] ")


@dataclass(frozen=True)
class _Kept:
    """
    The links about the registry in hand, and which are signed. `doubted` are the numbers of those that
    should be signed by a key that counts, and are not: whoever can push may have written them.
    """

    chain: Chain
    links: tuple[Link, ...] = ()
    signed: frozenset[str] = field(default_factory=frozenset[str])
    doubted: frozenset[int] = field(default_factory=frozenset[int])

    @cached_property
    def counting(self) -> tuple[Link, ...]:
        """Those that count."""
        return tuple(link for link in self.links if link.sequence not in self.doubted)

    @cached_property
    def named(self) -> Mapping[str, tuple[int, ...]]:
        """Which links tell of the slots of a model, by the name that they call it: their places in `counting`."""
        found: dict[str, list[int]] = {}
        for number, link in enumerate(self.counting):
            for name in _models_of(link):
                found.setdefault(name, []).append(number)
        return {name: tuple(numbers) for name, numbers in found.items()}

    def about(self, names: Iterable[str]) -> list[Link]:
        """The links that tell of a model by one of its names, the newest first."""
        numbers = sorted({number for name in names for number in self.named.get(name, ())}, reverse=True)
        return [self.counting[number] for number in numbers]


def recall(
    world: World,
    ref: str,
    rules: Rules,
    chain: Chain,
    names: Iterable[str] = (),
) -> Recalled:
    """
    What is known of these models, or of all that are governed or have receipts in the chain. Raises ReconcilerError for
    a model of which nothing is known.
    """
    rules, desired = with_names(rules, declare(world, ref).desired)
    chosen = {ModelRef(name) for name in names}
    pruned = _counted(world, rules, chain)
    untold = ""
    epochs = _epochs(rules, chosen or desired.models, desired)
    snapshot = contained(lambda: _snapshot(world, epochs, desired, everything=not chosen))
    if isinstance(snapshot, Failure):
        untold, snapshot = snapshot.why, RegistrySnapshot()
    if not chosen:
        epochs |= _epochs(rules, snapshot.models.keys() - epochs.keys(), desired)
    called = {*epochs, *(e.manifest.name for some in epochs.values() for e in some if e.manifest)}
    kept = _about(world, chain, rules, called if chosen else None)
    if not chosen:
        unknown = {ModelRef(name) for link in kept.links for name in _models_of(link)} - called
        more = _epochs(rules, unknown, desired)
        epochs |= {name: some for name, some in more.items() if name not in epochs}
        # What nobody declares anymore has no record that a search would find.
        unread = contained(
            lambda: _snapshot(world, more, desired, everything=False) if more and not untold else snapshot
        )
        if isinstance(unread, Failure):
            untold = unread.why
        else:
            snapshot = replace(snapshot, models={**snapshot.models, **unread.models})
    verified, trusted = with_past(rules, desired, snapshot)
    verified = _with_unreceipted(rules, verified, trusted, chain)
    read_at = world.clock.now()
    notes = world.source.described(e.commit for some in epochs.values() for e in some if e.commit is not None)
    found = tuple(
        _past(world, name, some, kept, verified.models.get(name), trusted.get(name), notes, rules, read_at)
        for name, some in sorted(epochs.items())
    )
    flaws = structure(chain, briefly=True)
    claims = _claims_in(verified, desired, rules.trunk) if world.receipts is not None else ()
    missing = _missing(chain, claims)
    found = tuple(
        with_renamings(
            replace(
                past,
                present=None if untold else past.present,
                pruned=chain.pruned.until if chain.pruned else "",
                missing=missing,
                broken=(
                    *kept.doubted,
                    *(_END if f.flaw is Flaw.UNKNOWN else f.sequence for f in flaws if f.grave or chain.untold),
                ),
            )
        )
        for past in found
    )
    for past in found if chosen else ():
        if not past.sightings and not any(s.held for s in past.stretches):
            known = {*desired.models, *(ModelRef(name) for link in kept.links for name in _models_of(link))}
            fix = did_you_mean(past.model, known, "Correct the name. Only models that manifests declared have a past.")
            raise ReconcilerError(f"Nothing is known of a model {plain(past.model)}.", fix)
    return Recalled(
        desired.revision,
        world.registry.uri,
        world.registry.workspace,
        read_at,
        tuple(past for past in found if past.sightings or any(s.held for s in past.stretches)),
        len(chain.stored),
        untold,
        _gravest_first(
            (
                *(f for f in flaws if f.flaw is not Flaw.SHALLOW or not f.sequence),
                *_unproven(chain, kept.links, kept.signed, pruned, rules.policy.signers),
                *_lacking(world, rules, chain, claims, pruned),
            )
        ),
        pruned,
    )


_END = 1 << 62
"""The number of what may be missing behind the last receipt."""


def _lacking(
    world: World, rules: Rules, chain: Chain, claims: Iterable[Claim], pruned: Pruning | None
) -> Iterable[Finding]:
    """What some records say of receipts that the chain does not bear out; what no record names, `audit` says."""
    if world.receipts is None:
        return ()
    found = against_records(chain, claims, pruned, _acknowledged(world, rules))
    return (finding for finding in found if finding.flaw is not Flaw.STALE)


def _epochs(rules: Rules, names: Iterable[ModelRef], desired: DesiredState) -> dict[ModelRef, tuple[Epoch, ...]]:
    """
    What the trusted line declared of some models. What was declared under a name that a model gave up belongs to the
    one that it was renamed to, which is known then, too; a name that was nothing else is not.
    """
    trunk, models = rules.trunk, desired.models
    if trunk is None:
        return dict.fromkeys(names, ())
    found = dict(trunk.histories(names, models)) if names else {}
    left = [*found]
    while left:
        name = left.pop()
        heirs = trunk.heirs(name, models)
        for heir in set(heirs.values()) - found.keys():
            found[heir] = trunk.history(heir, models)
            left.append(heir)
        if heirs:
            own = tuple(epoch for epoch in found[name] if epoch.start <= min(heirs))
            found |= {name: own}
            if not any(epoch.manifest for epoch in own):
                del found[name]
    return found


def _with_unreceipted(
    rules: Rules, snapshot: RegistrySnapshot, trusted: Mapping[ModelRef, Trusted], chain: Chain
) -> RegistrySnapshot:
    """With those records verified, too, whose receipts are not kept: they may be all that there is."""
    kept = chain.ids

    def lone(version: VersionSnapshot) -> dict[Slot, Placement]:
        return {s: r for s, r in version.provenance.items() if not r.proven and r.seal and r.receipt not in kept}

    models = {
        name: replace(
            live, versions={n: replace(v, provenance=some) for n, v in live.versions.items() if (some := lone(v))}
        )
        for name, live in snapshot.models.items()
    }
    models = {name: live for name, live in models.items() if live.versions}
    if rules.trunk is None or not models:
        return snapshot
    proven = rules.trunk.verified(models, trusted)

    def of(name: ModelRef, live: ModelSnapshot) -> ModelSnapshot:
        more = proven[name].versions if name in proven else dict[Version, VersionSnapshot]()
        versions = {
            n: replace(v, provenance={**v.provenance, **more[n].provenance}) if n in more else v
            for n, v in live.versions.items()
        }
        return replace(live, versions=versions)

    return replace(snapshot, models={name: of(name, live) for name, live in snapshot.models.items()})


def _missing(chain: Chain, claims: Iterable[Claim]) -> dict[str, str]:
    """The receipts that records name and the chain lacks, with the times of these records."""
    kept = chain.ids | frozenset(chain.pruned.ids if chain.pruned else ())
    return {claim.receipt: claim.at for claim in claims if claim.receipt not in kept}


def kept_chain(world: World, rules: Rules) -> Chain:
    """The receipts that are kept."""
    if world.receipts is None:
        return Chain("nowhere")
    return world.receipts.read(lambda pruning: counts(world.seals, rules.policy.signers, pruning))


def _counted(world: World, rules: Rules, chain: Chain) -> Pruning | None:
    """What stands in the place of receipts that were pruned, if a key that the standing policy lists signed it."""
    pruned = chain.pruned
    return pruned if pruned is not None and counts(world.seals, rules.policy.signers, pruned) else None


def counts(seals: Seals | None, signers: str, pruning: Pruning) -> bool:
    """Whether a key that an allowed-signers text lists for records has signed a pruning."""
    if seals is None or pruning.seal is None or not listed_for(RECORDS, signers):
        return False
    return all(seals.verified([(pruning.signed_bytes, pruning.seal, pruning.at)], signers))


def _snapshot(
    world: World, models: Collection[ModelRef], desired: DesiredState, *, everything: bool
) -> RegistrySnapshot:
    """Models as the registry has them; those that it calls otherwise than git, under the names that git gives them."""
    ours = desired.revision.ours
    declared = {name: manifest for name, manifest in desired.models.items() if name in models}
    wanted = {**dict.fromkeys(models, frozenset[Version]()), **versions_named(declared.values())}
    read = world.registry.snapshot(Wanted(wanted, ours if everything else None)).models
    if not everything and not declared.keys() <= read.keys() | to_rename(declared, read, ours).keys():
        # One of another name is only found by its record.
        read = {**world.registry.snapshot(Wanted({}, ours)).models, **read}
    renames = to_rename(declared, read, ours) | _renamed_by_hand(declared, read, desired)
    # What a record alone led to was read without its versions.
    bare = dict.fromkeys(read if everything else renames.values(), frozenset[Version]())
    bare |= {called: wanted[name] for name, called in renames.items()}
    if bare := {name: versions for name, versions in bare.items() if name not in wanted}:
        whole = world.registry.snapshot(Wanted(bare)).models
        read = {**{name: live for name, live in read.items() if name not in bare}, **whole}
        renames = {name: called for name, called in renames.items() if called in read}
    shown = as_renamed(read, renames).models
    known = models if not everything else {*models, *(n for n, live in shown.items() if live.owned_by(ours))}
    return RegistrySnapshot({name: live for name, live in shown.items() if name in known})


def _renamed_by_hand(
    declared: Iterable[ModelRef], models: Mapping[ModelRef, ModelSnapshot], desired: DesiredState
) -> dict[ModelRef, ModelRef]:
    """Declared models that are gone, with the one other model of no manifest that carries their records."""
    found: dict[ModelRef, list[ModelRef]] = {}
    for name, live in models.items():
        record = live.owned_by(desired.revision.ours)
        if record is not None and record.model is not None and name not in desired.models:
            found.setdefault(record.model, []).append(name)
    return {name: found[name][0] for name in declared if name not in models and len(found.get(name, ())) == 1}


def _about(world: World, chain: Chain, rules: Rules, names: Iterable[str] | None) -> _Kept:
    """The receipts about the registry in hand and these models, and which are signed by a key that counts."""
    marks = None if names is None else [canonical(str(name)).decode("ascii") for name in names]
    here = _here(world, rules)
    links: list[Link] = []
    for one in chain.stored:
        # To look for a name costs less than to read the whole.
        if marks is None or any(mark in one.text for mark in marks):
            link = one.link
            if link is not None and _is_here(link, here):
                links.append(link)
    signed = signed_links(world.seals, rules.policy.signers, links)
    if not listed_for(RECORDS, rules.policy.signers):
        return _Kept(chain, tuple(links), signed)
    # Those from before there was a key are not signed, and cannot be.
    since = chain.first_sealed
    doubted = {link.sequence for link in links if link.id not in signed and (link.seal or link.sequence > since)}
    return _Kept(chain, tuple(links), signed, frozenset(doubted))


def applied_by(world: World, rules: Rules, chain: Chain, commit: Commit) -> Link | None:
    """
    The receipt of the apply that applied a commit to the registry: of several, the first one by which nothing failed,
    or else the last.
    """
    links = [one.link for one in chain.stored if commit in one.text]
    here = _here(world, rules)
    found = [
        link
        for link in links
        if link is not None
        and member(member(link.receipt, "computed_from"), "commit") == commit
        and _is_here(link, here)
        and moment(str(link.receipt.get("finished_at"))) is not None
    ]
    # One that only refused something applied nothing.
    found = [link for link in found if any(member(one, "calls") for one in members(member(link.receipt, "models")))]
    whole = (link for link in found if link.receipt.get("exit_code") in {ExitCode.OK, ExitCode.BLOCKED})
    return next(whole, found[-1] if found else None)


def is_refused_in(world: World, rules: Rules, chain: Chain, link: Link, *, signs: bool) -> bool:
    """
    Whether receipts of the same commit and registry say already all that one refuses, by which gates or for which other
    reasons. Of an apply that `signs`, only those count that are signed, too, where the policy names signers.
    """
    commit, here = member(member(link.receipt, "computed_from"), "commit"), _here(world, rules)
    links = [one.link for one in chain.stored if isinstance(commit, str) and commit in one.text]
    same = [
        one
        for one in links
        if one is not None and member(member(one.receipt, "computed_from"), "commit") == commit and _is_here(one, here)
    ]
    if signs and listed_for(RECORDS, rules.policy.signers):
        signed = signed_links(world.seals, rules.policy.signers, same)
        same = [one for one in same if one.id in signed]
    return _refused(link.receipt) <= {reason for one in same for reason in _refused(one.receipt)}


def by_receipts(world: World, rules: Rules) -> LeftAlone:
    """What asks `left_alone` of one model after the other; the receipts are read for the first one."""
    return partial(left_alone, world, rules, cache(partial(kept_chain, world, rules)))


def left_alone(
    world: World,
    rules: Rules,
    kept: Callable[[], Chain],
    model: ModelRef,
    since: int,
    first: int,
    applied: Collection[int],
) -> bool:
    """
    Whether receipts prove that no apply of a commit from a `first` place of the trusted line on has changed a model,
    and that all `since` another place left it as it was: the chain is whole from the last apply before that on, each
    receipt from there on is signed by a key that counts, and each such commit that may have changed it and was
    applied, by all that is known, has one. `applied` are the places of these.
    """
    if rules.trunk is None:
        return False
    chain, here, known = kept(), _here(world, rules), rules.trunk.places
    newer = {commit for commit, place in known.items() if place <= first}
    found: list[Link] = []
    places: set[int] = set()
    last: int | None = None
    for number, one in reversed(tuple(chain.numbered)):
        # Before an apply of an older commit, there is none of these, unless that one went back.
        if last is not None and newer.isdisjoint(_COMMIT.findall(one.text)):
            continue
        link = one.link
        if link is not None and not _is_here(link, here):
            continue
        place = None if link is None else _place_of(link, known)
        if link is not None and place is not None and place > first:
            if last is None:
                last = number
                found.extend([link] if number > chain.first_sealed else [])
            continue
        if link is None or place is None or not _was_left(link, model, unsaid=place > since):
            return False
        found.append(link)
        places.add(place)
    if last is None:
        return False
    flaws = (flaw for flaw in structure(chain, briefly=True) if flaw.flaw is not Flaw.UNPUSHED)
    if {place for place in applied if place <= first} - places or any(
        flaw.sequence == 0 or flaw.sequence >= last for flaw in flaws
    ):
        return False
    return {link.id for link in found} <= signed_links(world.seals, rules.policy.signers, found)


_COMMIT = re.compile('"commit":"([0-9a-f]{40,64})"')


def _was_left(link: Link, model: ModelRef, *, unsaid: bool) -> bool:
    """Whether a receipt says that a model was left as it was; with `unsaid`, also if it says nothing of it."""
    told = [one for one in members(member(link.receipt, "models")) if member(one, "model") == model]
    left = [(member(one, "status"), members(member(one, "calls"))) for one in told] == [(_LEFT, [])]
    return left or (unsaid and not told)


def _refused(receipt: Mapping[str, object]) -> set[tuple[str, ...]]:
    """What a receipt refuses: the gates by model, version and slot, or the words where no gate did."""
    names = [one for one in members(member(receipt, "models")) if member(one, "status") == _LEFT]
    noes = [one for one in members(member(receipt, "verdicts")) if _blocks(one)]
    found = {tuple(str(member(one, key)) for key in ("model", "version", "slot", "gate")) for one in noes}
    judged = {model for model, *_ in found}
    told = {(str(member(one, "model")), str(member(one, "message"))) for one in names}
    return {*found, *((model, message) for model, message in told if model not in judged)}


def _here(world: World, rules: Rules) -> tuple[tuple[str, ...], str]:
    """What the registry in hand is called, and its workspace."""
    return names_of(world.registry.uri, rules.policy.settings.registry_names), world.registry.workspace


def _is_here(link: Link, here: tuple[tuple[str, ...], str]) -> bool:
    computed = member(link.receipt, "computed_from")
    name, workspace = member(computed, "registry"), member(computed, "workspace") or ""
    return registry_name(str(name)) in here[0] and workspace_name(str(workspace)) == workspace_name(here[1])


def signed_links(seals: Seals | None, signers: str, links: Iterable[Link]) -> frozenset[str]:
    """The ids of the links that are signed by a key that an allowed-signers text lists for records."""
    sealed = [(link, link.seal) for link in links if link.seal is not None]
    if seals is None or not listed_for(RECORDS, signers) or not sealed:
        return frozenset()
    proofs = seals.verified(((signed_bytes(link), seal, link.at) for link, seal in sealed), signers)
    return frozenset(link.id for (link, _), proven in zip(sealed, proofs, strict=True) if proven)


def _models_of(link: Link) -> frozenset[str]:
    """The models of which a receipt says what their slots held, or that they were left as they were."""
    models = members(member(link.receipt, "models"))
    telling = (one for one in models if members(member(one, "slots")) or member(one, "status") == _LEFT)
    names = (member(one, "model") for one in telling)
    return frozenset(name for name in names if isinstance(name, str))


_LEFT = "blocked"
"""The status of a model that was left as it was, by a gate or for another reason."""


def _past(
    world: World,
    name: ModelRef,
    epochs: tuple[Epoch, ...],
    kept: _Kept,
    live: ModelSnapshot | None,
    trusted: Trusted | None,
    notes: Mapping[Commit, CommitNote],
    rules: Rules,
    read_at: str,
) -> Past:
    there = live or ModelSnapshot(name)
    places: Mapping[Commit, int] = rules.trunk.places if rules.trunk else {}
    sightings: list[Sighting] = []
    called = name
    names = {name, *(epoch.manifest.name for epoch in epochs if epoch.manifest)}
    for link in kept.about(names):
        place = _place_of(link, places)
        if place is not None and epochs and place > epochs[-1].start:
            # Of a model that had the name before.
            continue
        called = _name_at(epochs, place, called)
        if (seen := _sighting(link, called, place, link.id in kept.signed)) is not None:
            sightings.append(seen)
            called = seen.renamed[0].before if seen.renamed else called
    sightings.reverse()
    whole = trusted.whole if trusted else not (rules.trunk and rules.trunk.line[-1].cut)
    stretches = tuple(_stretch(epoch, epochs[0], there, notes) for epoch in epochs if epoch.commit is not None)
    if not whole and rules.trunk:
        # The oldest commit that a shallow clone has did not declare what it holds, nor was nothing declared before.
        oldest = rules.trunk.line[-1].commit
        last = [stretch for stretch in stretches if stretch.declaring.commit == oldest][:1]
        stretches = (
            *(stretch for stretch in stretches if stretch.declaring.commit != oldest),
            *(replace(stretch, declaring=Declaring(Commit(""), stretch.declaring.at)) for stretch in last),
        )
    present = _present(there, trusted, places, kept.chain.ids, read_at)
    if live is not None:
        present = replace(present, name=live.called or live.name)
    if not world.registry.capabilities.stages:
        # What keeps no stages keeps no times of moves either.
        present = replace(present, touched={})
    return Past(name, stretches, in_order(sightings), present, whole)


def _name_at(epochs: Iterable[Epoch], place: int | None, name: ModelRef) -> ModelRef:
    """What a model was called at a place; where that is not known, the name that it had later."""
    if place is None:
        return name
    epoch = next((one for one in epochs if place <= one.start), None)
    return name if epoch is None or epoch.manifest is None else epoch.manifest.name


def _place_of(link: Link, places: Mapping[Commit, int]) -> int | None:
    commit = member(member(link.receipt, "computed_from"), "commit")
    return places.get(Commit(commit)) if isinstance(commit, str) else None


def _stretch(epoch: Epoch, newest: Epoch, live: ModelSnapshot, notes: Mapping[Commit, CommitNote]) -> Stretch:
    manifest = epoch.manifest
    slots = tuple(manifest.slots) if manifest else ()
    declared = to_be_copied(manifest, live)
    if epoch is not newest:
        # What was declared to be copied, and was not, has no number.
        made = (declared.versions.keys() - live.versions.keys()).isdisjoint
        slots = tuple(slot for slot in slots if made(declared_versions(manifest, slot, declared)))
    comments = {slot: next((pin.comment for pin in pins_of(manifest, slot) if pin.comment), "") for slot in slots}
    return Stretch(
        epoch.start,
        declaring(epoch, notes),
        {slot: tuple(sorted(declared_versions(manifest, slot, declared))) for slot in slots},
        {slot: comment for slot, comment in comments.items() if comment},
        manifest.name if manifest else None,
    )


def declaring(epoch: Epoch, notes: Mapping[Commit, CommitNote]) -> Declaring:
    """The commit that declared something, as its note says it; without a note, no more than git's line has."""
    commit = epoch.commit or Commit("")
    note = notes.get(commit)
    when = moment_of(epoch.since * 1000)
    at = rfc3339(when) if when else ""
    if note is None:
        return Declaring(commit, at)
    request = next((found[1] for pattern in _REQUEST if (found := pattern.search(note.message))), "")
    merged_by = note.committer if note.committer != note.author else ""
    # The number that a squash, or a revert of one, puts behind its title is told beside it.
    title = _title(note).removesuffix(f" ({request})") if request else _title(note)
    return Declaring(commit, at, note.author, merged_by, plain(title, 200), request)


def _title(note: CommitNote) -> str:
    """
    What a commit is about. A merge says that in its body, where forges put the title of the request, and otherwise in
    what it brings in: "Merge branch" says nothing.
    """
    subject, _, body = note.message.partition("\n")
    if quoted := _QUOTED.match(subject):
        return next(filter(None, quoted.groups()), subject)
    if not _MERGE.match(subject):
        return subject
    title = body.strip().partition("\n")[0]
    return title if title and not _NO_TITLE.match(title) else note.brought or subject


def _present(
    live: ModelSnapshot,
    trusted: Trusted | None,
    places: Mapping[Commit, int],
    receipts: frozenset[str],
    read_at: str,
) -> Present:
    slots = {slot for version in live.versions.values() for slot in version.provenance}
    slots |= {version.stage.slot for version in live.versions.values()} | {Slot(f"@{alias}") for alias in live.aliases}
    records = {
        (number, slot): Placed(record.applied_at, record.commit, record.receipt, place, record.proven)
        for number, version in live.versions.items()
        for slot, record in version.provenance.items()
        if not record.found and record.receipt not in receipts and trusted is not None
        if (place := trusted.place_of(record, version)) is not None
    }
    applied = places.get(live.owner.commit) if isinstance(live.owner, Ownership) and live.owner.commit else None
    return Present(
        read_at,
        {slot: tuple(sorted(occupants(live, slot))) for slot in slots},
        {number: _stamp(version.updated_at) for number, version in live.versions.items() if version.updated_at},
        {number: _stamp(version.created_at) for number, version in live.versions.items() if version.created_at},
        applied,
        records,
    )


def _stamp(milliseconds: int) -> str:
    when = moment_of(milliseconds)
    return rfc3339(when) if when else ""


def _sighting(link: Link, name: ModelRef, place: int | None, signed: bool) -> Sighting | None:
    """What a receipt says of a model; None where it says nothing of its slots, nor that they were left as they were."""
    receipt = link.receipt
    model = next((one for one in members(member(receipt, "models")) if member(one, "model") == name), None)
    slots = [(slot, one) for one in members(member(model, "slots")) if (slot := _slot(member(one, "slot"))) is not None]
    blocked = member(model, "status") == _LEFT
    if not slots and not blocked:
        return None
    actor, commit = member(receipt, "actor"), member(member(receipt, "computed_from"), "commit")
    calls = members(member(model, "calls"))
    applying = Applying(
        link.id,
        link.sequence,
        Commit(commit) if isinstance(commit, str) else None,
        _text(member(actor, "who")),
        _text(member(actor, "person")),
        _text(member(actor, "run")),
        signed,
    )
    return Sighting(
        applying,
        _text(member(receipt, "started_at")),
        _text(member(receipt, "finished_at")),
        {slot: _held(member(one, "before")) for slot, one in slots},
        {slot: _held(member(one, "after")) for slot, one in slots},
        place,
        _moved_at(calls),
        {
            (Version(number), slot): _text(member(one, "kind"))
            for one in members(member(model, "entrances"))
            if (slot := _slot(member(one, "slot"))) is not None and isinstance(number := member(one, "version"), int)
        },
        _opinions(members(member(receipt, "verdicts")), name),
        member(model, "read_back") is not False,
        member(model, "status") == "applied",
        any(
            member(call, "method") == "delete_registered_model_tag"
            and member(member(call, "arguments"), "key") == "reconciler.owner"
            for call in calls
        ),
        name if calls else None,
        _renamed(calls),
        blocked,
        _text(member(model, "message"))[:_LONGEST_MESSAGE] if blocked else "",
    )


_LONGEST_MESSAGE = 400
"""Letters of why a model was left as it was: what gates said of it is told beside it."""


def _renamed(calls: Iterable[object]) -> tuple[Names, str] | None:
    """From what to what a call renamed the model, and when."""
    for call in calls:
        arguments = member(call, "arguments")
        before, after = member(arguments, "name"), member(arguments, "new_name")
        if member(call, "method") == "rename_registered_model" and isinstance(before, str) and isinstance(after, str):
            return Names(ModelRef(before), ModelRef(after)), _text(member(call, "at"))
    return None


def _moved_at(calls: Iterable[object]) -> dict[Slot, str]:
    """When the last call about each slot was made."""
    found: dict[Slot, str] = {}
    for call in calls:
        arguments, at = member(call, "arguments"), _text(member(call, "at"))
        alias = member(arguments, "alias")
        names = [f"@{alias}"] if isinstance(alias, str) else []
        if member(call, "method") == "transition_model_version_stage":
            names = [_text(member(call, "before")), _text(member(call, "after"))]
        for slot in map(_slot, names):
            if slot is not None and at:
                found[slot] = at
    return found


def _blocks(verdict: object) -> bool:
    return member(verdict, "ruling") in {"fail", "unknown"}


def _opinions(verdicts: Iterable[object], name: str) -> dict[tuple[Version, Slot], tuple[Opinion, ...]]:
    found: dict[tuple[Version, Slot], list[Opinion]] = {}
    for one in verdicts:
        slot, number = _slot(member(one, "slot")), member(one, "version")
        if member(one, "model") == name and slot is not None and isinstance(number, int):
            said = (_text(member(one, key)) for key in ("gate", "ruling", "sentence", "note"))
            found.setdefault((Version(number), slot), []).append(Opinion(*said))
    return {key: tuple(some) for key, some in found.items()}


def _slot(value: object) -> Slot | None:
    return _slot_called(value) if isinstance(value, str) else None


@lru_cache(1024)
def _slot_called(text: str) -> Slot | None:
    try:
        return Slot(text)
    except ValueError:
        return None


def _held(value: object) -> Held:
    return tuple(sorted(Version(number) for number in members(value) if isinstance(number, int)))


def _text(value: object) -> str:
    return plain(value) if isinstance(value, str) else ""


def audit(world: World, ref: str, rules: Rules) -> Audit:
    """Whether the receipts are as they were written, and are all that records in the registry name."""
    chain = kept_chain(world, rules)
    verified = audit_chain(chain, world.seals, rules.policy.signers)
    claims = contained(lambda: _claims(world, ref, rules))
    if isinstance(claims, Failure):
        sentence = f"The registry was not read, so records were not compared: {claims.why}"
        more: tuple[Finding, ...] = (Finding(Flaw.UNKNOWN, 0, sentence),)
    else:
        proposed = rules.proposed.missing_receipts if rules.proposed else ()
        announced = {one.receipt for one in proposed}
        several = bool(rules.policy.registries)
        known = _acknowledged(world, rules)
        more = against_records(chain, claims, verified.pruned, known, announced, several=several)
    records = None if isinstance(claims, Failure) else len(claims)
    return replace(verified, records=records, findings=_gravest_first((*verified.findings, *more)))


def _acknowledged(world: World, rules: Rules) -> dict[str, Acknowledged]:
    """The missing receipts that every standing policy acknowledges, with the commit since which that is so."""
    listed = [{one.receipt: one.reason for one in each.policy.missing_receipts} for each in (rules, *rules.beside)]
    commits: dict[str, Commit] = {}
    if rules.trunk is not None and listed[0]:
        place = 1 if rules.base is None else rules.trunk.places.get(rules.base, 1)
        left = set(listed[0])
        for epoch in rules.trunk.policies:
            if epoch.start >= place:
                left &= {one.receipt for one in epoch.policy.missing_receipts}
                commits |= dict.fromkeys(left, epoch.commit)
    if rules.trunk is not None and rules.trunk.line[-1].cut:
        # The oldest commit that a shallow clone has did not make all that it holds.
        commits = {name: commit for name, commit in commits.items() if commit != rules.trunk.line[-1].commit}
    notes = world.source.described(set(commits.values()))
    authors = {receipt: notes[commit].author for receipt, commit in commits.items() if commit in notes}
    return {
        receipt: Acknowledged(reason, commits.get(receipt), authors.get(receipt, ""), receipt)
        for receipt, reason in listed[0].items()
        if all(receipt in other for other in listed)
    }


def audit_chain(chain: Chain, seals: Seals | None, signers: str) -> Audit:
    """Whether some receipts are as they were written, by themselves and by the keys that are listed for records."""
    links = chain.links()
    signed = signed_links(seals, signers, links)
    pruned = chain.pruned if chain.pruned and counts(seals, signers, chain.pruned) else None
    findings = [*structure(chain), *_unproven(chain, links, signed, pruned, signers)]
    return replace(audit_of(chain.place, len(chain.stored), links, signed, None, findings), pruned=pruned)


def _unproven(
    chain: Chain, links: Sequence[Link], signed: frozenset[str], pruned: Pruning | None, signers: str
) -> Iterable[Finding]:
    """What no key that counts has signed."""
    if chain.pruned and not pruned:
        yield cut_off(chain.pruned)
    if listed_for(RECORDS, signers):
        waiting = chain.stored[len(chain.stored) - chain.unpushed :]
        alone = frozenset(one.link.id for one in waiting if one.link is not None)
        yield from signatures(links, signed, after_signed=pruned is not None, alone=alone)
    elif any(link.seal for link in links):
        yield Finding(Flaw.UNSIGNED, 0, "Nobody is listed who signs records, so no signature counts.")


def audit_of(
    place: str,
    receipts: int,
    links: Sequence[Link],
    signed: frozenset[str],
    records: int | None,
    findings: Iterable[Finding],
    about: str = "",
) -> Audit:
    """What was verified, with what is wrong, gravest first."""
    return Audit(
        place,
        receipts,
        len(signed),
        links[0].at if links else "",
        links[-1].at if links else "",
        records,
        _gravest_first(findings),
        about=about,
    )


def _gravest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (list(Flaw).index(finding.flaw), finding.sequence)))


def doubtful(world: World, rules: Rules, last: Stored | None) -> str:
    """
    What is wrong with the receipt that the newest one was put behind, by itself; empty where nothing is. Those before
    are `audit`'s to verify.
    """
    if last is None:
        return ""
    signers, link, pruning = rules.policy.signers, last.link, last.pruning
    if pruning is not None:
        good = counts(world.seals, signers, pruning)
    elif link is not None:
        good = not listed_for(RECORDS, signers) or bool(signed_links(world.seals, signers, [link]))
    else:
        return (
            f"What the receipts end with before this one ({last.where}) is no receipt as reconciler writes it. {_LOOK}"
        )
    about = f"The receipt before this one ({link.id})" if link else "The beginning of the receipts"
    return "" if good else f"{about} has no signature by a listed key: anyone who can push may have written it. {_LOOK}"


_LOOK = "Run `reconciler audit`."


def what_to_prune(world: World, rules: Rules, before: str, sign: SignRecord | None) -> tuple[Chain, Pruning | None]:
    """
    The chain, and what is to stand in the place of its receipts of before a moment (RFC 3339), signed; None where there
    are none. Raises ReconcilerError where pruning would hide something, or nobody could tell it from a forgery.
    """
    chain, signers = kept_chain(world, rules), rules.policy.signers
    if not listed_for(RECORDS, signers) or sign is None:
        raise ReconcilerError(
            "Only what is signed can tell pruned receipts from lost ones, and "
            + ("no key was given." if listed_for(RECORDS, signers) else "the policy names nobody who signs records."),
            "Pass --signing-key, or set RECONCILER_SIGNING_KEY; `signers` of the policy lists its public half.",
        )
    found = audit_chain(chain, world.seals, signers).findings
    pruning = pruning_of(chain, before, world.clock.now())
    count = pruning.count if pruning else 0
    # One that is not signed would be vouched for from now on.
    hidden = [f for f in found if f.grave or f.flaw in _OPEN or (f.flaw is Flaw.UNSIGNED and 0 < f.sequence <= count)]
    if hidden:
        raise ReconcilerError(
            f"Pruning would hide this: {hidden[0].sentence}", "Nothing was pruned. See `reconciler audit`."
        )
    if pruning is None:
        return chain, None
    signed = replace(pruning, seal=sign(pruning.signed_bytes))
    if not counts(world.seals, signers, signed):
        raise ReconcilerError(
            "The key is none that the standing policy lists for records, so nobody would believe that it pruned.",
            "Nothing was pruned. Use the key of the job that applies.",
        )
    return chain, signed


_OPEN = frozenset({Flaw.SHALLOW, Flaw.UNPUSHED, Flaw.UNKNOWN})
"""With these, it is not known what is pruned, or not all is where it belongs."""


def signatures(
    links: Sequence[Link],
    signed: frozenset[str],
    *,
    after_signed: bool = False,
    alone: Collection[str] = (),
) -> Iterable[Finding]:
    """
    Signatures that are none, and receipts without one since a signed one, or a signed pruning, is there, where somebody
    is listed who signs. Those that are in this clone `alone` get a place, and are signed for it, when they are pushed.
    """
    first = 0 if after_signed else next((link.sequence for link in links if link.id in signed), None)
    bare = [link for link in links if link.seal is None]
    for link in links:
        if link.seal is not None and link.id not in signed:
            by = plain(link.seal.key, 80)
            sentence = (
                f"No. {link.sequence} ({link.id}) has a signature by {by} that is not valid, or not of a listed key."
            )
            yield Finding(Flaw.FORGED, link.sequence, sentence)
    later = [link for link in bare if first is not None and link.sequence > first]
    for link in later:
        sentence = f"No. {link.sequence} ({link.id}) is not signed, and one before it is: anyone who can push wrote it."
        if link.id in alone:
            sentence = (
                f"No. {link.sequence} ({link.id}) is not signed for this place: `reconciler audit --push` signs it, "
                "with the key of the job that applies."
            )
        yield Finding(Flaw.UNSIGNED, link.sequence, sentence)
    if len(bare) > len(later):
        yield Finding(Flaw.UNSIGNED, 0, f"{amount(len(bare) - len(later), 'receipt')} of before are not signed.")


def _claims(world: World, ref: str, rules: Rules) -> tuple[Claim, ...]:
    """The records that name a receipt, of all models that are governed or ever were."""
    _, desired = with_names(rules, declare(world, ref).desired)
    names = {*desired.models, *(rules.trunk.names if rules.trunk else ())}
    return _claims_in(_snapshot(world, names, desired, everything=True), desired, rules.trunk)


def _claims_in(snapshot: RegistrySnapshot, desired: DesiredState, trunk: Trunk | None) -> tuple[Claim, ...]:
    ours = desired.revision.ours
    records = [
        (name, number, slot, record)
        for name, live in sorted(snapshot.models.items())
        for number, version in sorted(live.versions.items())
        for slot, record in sorted(version.provenance.items())
        if record.receipt and ours.is_repository(record.repository) and record.identity in {None, version.identity}
    ]
    moved = any(not ours.has_folder(record.repository) for *_, record in records)
    models = {name for name, *_ in records}
    epochs: Mapping[ModelRef, tuple[Epoch, ...]] = {}
    if trunk is not None and models:
        epochs = trunk.histories(models, desired.models, everywhere=moved)
    found: list[Claim] = []
    for name, number, slot, record in records:
        live, past = snapshot.models[name], epochs.get(name, ())
        names = frozenset({name, *(epoch.manifest.name for epoch in past if epoch.manifest)})
        there = number in occupants(live, slot)
        doubted = trunk is not None and not _declared_then(trunk, past, live, slot, number, record)
        found.append(Claim(record.receipt, name, slot, number, record.applied_at, record.commit, there, names, doubted))
    return tuple(found)


def _declared_then(
    trunk: Trunk, epochs: Sequence[Epoch], live: ModelSnapshot, slot: Slot, number: Version, record: Placement
) -> bool:
    """
    Whether a record may be of the commit that it names, by what that declared. What a version leaves for, the stage
    Archived or an alias that keeps what left, is not declared; where a clone ends early, nothing is known.
    """
    kept = {alias_slot(one.previous) for one in trunk.world.slots.stages if one.previous is not None}
    if not slot.active or slot in kept:
        return True
    place = trunk.places.get(record.commit) if record.commit is not None else None
    if place is None:
        return trunk.line[-1].cut
    manifest = next((epoch.manifest for epoch in epochs if place <= epoch.start), None)
    slots = trunk.world.slots
    called = {slot, slots.declared(slot), slots.place(slot)}
    return any(number in declared_versions(manifest, one, live) for one in called)
