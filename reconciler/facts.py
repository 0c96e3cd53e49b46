"""What gates ask for: each fact has one provider, and is looked up once for all that need it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, Final

from reconciler.budget import Share
from reconciler.core.approval import counted, eligible, in_time
from reconciler.core.desired import DesiredState, Source
from reconciler.core.diff import Grounds
from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    MODEL,
    NOBODY,
    NOW,
    PINNED,
    PRESENT,
    SLOTS,
    STAGE,
    ChangeFacts,
    CheckFacts,
    CheckRecord,
    Entrance,
    FactKey,
    Facts,
    Guard,
    ModelFacts,
    Override,
    Pinned,
    Placed,
    Stay,
    Verdict,
    judge_guard,
    placed,
    stay,
)
from reconciler.core.limits import COPIES_OF_COPIES
from reconciler.core.moments import moment, moment_of, rfc3339
from reconciler.core.names import OUR_TAG_PREFIX, ModelRef, Original, Slot, Version, alias_slot
from reconciler.core.past import CLOCKS_DIFFER_BY_LESS_THAN, FOREVER, Past, named_since
from reconciler.core.plan import Plan
from reconciler.core.policy import PolicySettings
from reconciler.core.slot_map import SlotMap
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.core.stays import stay_in
from reconciler.deciders import CommitRange, find_reviews
from reconciler.errors import Failure, ReconcilerError, contained
from reconciler.originals import Found, Lost, Originals, copy_pin
from reconciler.ports import Asked, Reviews, Work, World
from reconciler.rules import Rules

_OF_FILES: Final = frozenset({"signature", "flavors", "python", "requirements", "size"})
"""What is known of a version by its files."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One entrance, the gates before it by some rules, and the overrides that the manifest asks for. `change` declared the
    pin; `latest` is the last one that changed the manifest, and brought the overrides. `settings` are those of the
    policy with these gates, which says what it means by the stages that they name, here and in other registries: no
    change says itself where its versions have soaked.
    """

    entrance: Entrance
    guards: tuple[Guard, ...]
    overrides: tuple[Override, ...]
    rules: Rules
    change: CommitRange
    latest: CommitRange
    settings: PolicySettings

    @property
    def slots(self) -> SlotMap:
        """What stages are in the registry in hand."""
        return self.settings.slots

    def slots_in(self, registry: str) -> SlotMap:
        """What they are in another one, or in ours. Raises ReconcilerError where the policy does not name it."""
        if registry and registry not in self.settings.registries:
            raise ReconcilerError(f"The policy with this gate names no registry {registry}.")
        return self.settings.registries[registry].slots if registry else self.slots

    def restrained(self, share: Share) -> "Case":
        """The same, with gates that cost their model alone."""
        return replace(self, guards=share.restrained(self.guards))


@dataclass(frozen=True, slots=True)
class Known:
    """
    A case, what its gates ask for, and who approved the change that brought its overrides, if it has any. `candidate`
    is what MLflow knows of the version, where a gate asked, with the tags that gates are not shown.
    """

    case: Case
    facts: Facts
    latest: Facts
    candidate: VersionFacts | None = None

    @property
    def grounds(self) -> Grounds:
        """What is to be remembered of it."""
        files = "" if self.facts.why_unknown(PINNED) is not None else self.facts[PINNED].now
        given = (facts[APPROVALS] for facts in (self.facts, self.latest) if facts.why_unknown(APPROVALS) is None)
        return Grounds(files, tuple(chain.from_iterable(given)), self.candidate)

    def verdicts(self) -> Iterable[Verdict]:
        for guard in self.case.guards:
            override = next((o for o in self.case.overrides if o.gate == guard.name), None)
            approvers = None if override is None else self._approvers(guard)
            yield judge_guard(guard, self.case.entrance, self.facts, override, approvers)

    def _approvers(self, guard: Guard) -> tuple[str, ...] | None:
        case, facts = self.case, self.latest
        if guard.override is None or facts.why_unknown(APPROVALS) or facts.why_unknown(CHANGE):
            return None
        if not facts[CHANGE].authors:
            # Whoever approved may be the author.
            return None
        owners = case.rules.owners.get(case.entrance.model, ())
        people = eligible(guard.override, owners, case.rules.policy.groups)
        # Who made the pin is one of the authors, whoever asks for the override.
        made = self.facts[CHANGE].authors if self.facts.why_unknown(CHANGE) is None else ()
        return counted(facts[APPROVALS], people, (*facts[CHANGE].authors, *made), facts[CHANGE].people)


@dataclass
class Gathering:
    """Finds out what gates ask for: what several of them need is looked up once, and what none needs is not."""

    world: World
    snapshot: RegistrySnapshot
    desired: DesiredState
    plan: Plan
    reviews: dict[tuple[CommitRange, ModelRef, str], Reviews | str] = field(
        default_factory=dict[tuple[CommitRange, ModelRef, str], Reviews | str]
    )
    pasts: Mapping[ModelRef, Past | None] = field(init=False)
    originals: Originals = field(init=False)

    def __post_init__(self) -> None:
        self.pasts = {model.model: model.past for model in self.plan.models}
        self.originals = Originals(self.world, self.snapshot, self.desired)

    def gather(self, cases: Sequence[Case]) -> list[Known]:
        """Each case with its facts, in the order of the cases."""
        wanted: dict[Entrance, set[FactKey[Any]]] = {}
        for case in cases:
            needs = wanted.setdefault(case.entrance, set())
            for guard in case.guards:
                needs.update(guard.gate.needs(case.entrance))
            if case.overrides:
                needs.update((NOW, CHANGE))
        versions = self._versions(wanted)
        self._read_originals(wanted)
        now = self.world.clock.now() if wanted else ""

        def facts(case: Case, change: CommitRange, needs: set[FactKey[Any]]) -> Facts:
            return self._facts(case, change, needs, versions, now)

        known: list[Known] = []
        with Work(self.world.tell, "Looking up facts for gates", "entrances", len(cases)) as work:
            for case in cases:
                latest = facts(case, case.latest, {APPROVALS, CHANGE}) if case.overrides else Facts()
                needs, entrance = wanted[case.entrance], case.entrance
                candidate = _facts_of(versions, entrance.model, entrance.candidate) if CANDIDATE in needs else None
                shown = None if isinstance(candidate, _Unknown) else candidate
                known.append(Known(case, facts(case, case.change, needs), latest, shown))
                work.advance()
        return known

    def _versions(
        self, wanted: Mapping[Entrance, set[FactKey[Any]]]
    ) -> "Mapping[Asked, VersionFacts | _Unknown] | str":
        asked = {
            Asked(entrance.model, version)
            for entrance, needs in wanted.items()
            for key, version in ((CANDIDATE, entrance.candidate), (INCUMBENT, entrance.incumbent))
            if version is not None and (key in needs or any(need.name == "contained" for need in needs))
        }
        if not asked:
            return {}
        if self.world.evidence is None:
            return "this registry has no evidence"
        gather, ordered = self.world.evidence.gather, sorted(asked, key=lambda a: (a.model, a.version))
        gathered = contained(lambda: gather(ordered))
        if isinstance(gathered, Failure):
            return gathered.why
        found: dict[Asked, VersionFacts | _Unknown] = dict(gathered)
        for one in ordered:
            there = contained(partial(self._figures_elsewhere, one, gathered.get(one)))
            if there is not None:
                found[one] = _Unknown(there.why) if isinstance(there, Failure) else there
        return found

    def _figures_elsewhere(self, one: Asked, own: VersionFacts | None) -> VersionFacts | None:
        """
        What is known of a version that was copied from another registry: its run here was made by the copying, and its
        figures are anybody's to alter who may write here. So they are asked of the original; what is written on the
        version itself stays its own. None where it is no copy from elsewhere, or not what it says it is.
        """
        live = self.snapshot.models.get(one.model)
        version = None if live is None else live.versions.get(one.version)
        if version is None or own is None or self.world.evidence is None:
            return None
        original: Original | None = None
        for found in self.originals.of(one.model, version) if self._comes_from_elsewhere(version) else ():
            if isinstance(found, Lost):
                break
            original = found.original if found.original.registry else original
        if original is None or (original == version.original and version.is_planned_copy):
            return None
        asked = Asked(original.model, original.version)
        facts = self.world.evidence.gather([asked])[asked]
        told = (one for one in facts.missing if one.what not in _OF_FILES)
        return replace(
            facts,
            model=own.model,
            version=own.version,
            # By the files that will be loaded: a server may give other ones to each who asks.
            signature=own.signature,
            flavors=own.flavors,
            python=own.python,
            requirements=own.requirements,
            size=own.size,
            missing=(*told, *(one for one in own.missing if one.what in _OF_FILES)),
            description=own.description,
            tags=own.tags,
            created_at=own.created_at,
            url=own.url,
            staged_at=own.staged_at,
            staged_until=own.staged_until,
        )

    def _comes_from_elsewhere(self, version: VersionSnapshot) -> bool:
        """Whether a version may be a copy from another registry, or a copy of one, by what anybody can write."""
        for _ in range(COPIES_OF_COPIES):
            original = version.original
            if original is None or original.registry:
                return original is not None
            self.originals.read([original])
            there = self.originals.live(original)
            if there is None:
                return False
            version = there
        return False

    def _read_originals(self, wanted: Mapping[Entrance, set[FactKey[Any]]]) -> None:
        """Those of all cases together; what cannot be read so, is read again where it is asked for, and fails there."""
        entering = [e for e, needs in wanted.items() if any(key.model or key == CHECKS for key in needs)]
        versions = (self.snapshot.models[e.model].versions.get(e.candidate) for e in entering)
        originals = [version.original for version in versions if version and version.original]
        if originals:
            contained(lambda: self.originals.read(originals))

    def _reviews_of(self, case: Case, change: CommitRange) -> Reviews | str:
        """Who approved what a change declares of a model, looked up for those models where a gate asks."""
        model, signers = case.entrance.model, case.rules.policy.signers
        key = (change, model, signers)
        if key not in self.reviews:
            self.reviews[key] = find_reviews(self.world, change, model, signers, self.pasts.get(model))
        return self.reviews[key]

    def _facts(
        self,
        case: Case,
        change: CommitRange,
        needs: set[FactKey[Any]],
        versions: "Mapping[Asked, VersionFacts | _Unknown] | str",
        now: str,
    ) -> Facts:
        known: dict[FactKey[Any], object] = {}
        unknown: dict[FactKey[Any], str] = {}
        gone: set[FactKey[Any]] = set()
        for key in sorted(needs, key=str):
            value = contained(partial(self._fact, key, case, change, versions, now))
            if isinstance(value, _Unknown | Failure):
                unknown[key] = value.why
                gone.update({key} if isinstance(value, _Unknown) and value.gone else ())
            else:
                known[key] = value
        return Facts(known, unknown, frozenset(gone))

    def _fact(
        self,
        key: FactKey[Any],
        case: Case,
        change: CommitRange,
        versions: "Mapping[Asked, VersionFacts | _Unknown] | str",
        now: str,
    ) -> object:
        entrance = case.entrance
        live = self.snapshot.models[entrance.model]
        candidate = live.versions.get(entrance.candidate)
        if key == NOW:
            return now
        if key == MODEL:
            tags = {k: v for k, v in live.tags.items() if not k.startswith(OUR_TAG_PREFIX)}
            return ModelFacts(live.name, live.description, tags, case.rules.owners.get(live.name, ()))
        if key == CANDIDATE:
            return self._without_declared(_facts_of(versions, entrance.model, entrance.candidate))
        if key == INCUMBENT:
            if entrance.incumbent is None:
                return NOBODY
            return self._without_declared(_facts_of(versions, entrance.model, entrance.incumbent))
        if key in {CHANGE, APPROVALS}:
            since = self._approvable(case, candidate)
            return self._review_fact(key, change, self._reviews_of(case, change), since, now)
        if key == CHECKS:
            return self._checked(case, candidate)
        if key in {PRESENT, PINNED}:
            return self._file_fact(key, entrance)
        if candidate is None:
            return _Unknown(f"the registry does not show v{entrance.candidate}")
        if key == STAGE:
            return candidate.stage.value
        if key == SLOTS:
            slots = _slots_of(live, candidate, case.slots)
            other = self._replaced(live.name, candidate, self.pasts.get(live.name), slots, case.slots)
            return slots if other is None else other
        if key.model:
            return self._of_original(key, case, candidate)
        if key.name == "stay":
            past = self.pasts.get(live.name)
            slot, before = case.slots.place(key.argument), _place_before(case)
            held = stay_in(slot, candidate.version, live, past, before)
            if isinstance(held, str):
                return _Unknown(held)
            other = self._replaced(live.name, candidate, past, (key.argument,), case.slots)
            return held if other is None else other
        if key.name == "contained":
            return self._contained(key.argument, _facts_of(versions, entrance.model, entrance.candidate))
        return _Unknown("this release cannot look it up")

    def _without_declared(self, facts: "VersionFacts | _Unknown") -> "VersionFacts | _Unknown":
        """
        Without the tags that a manifest sets, or did: the apply job may write what its reviewers may not, so what it
        wrote for a manifest proves nothing to a gate.
        """
        if isinstance(facts, _Unknown):
            return facts
        live = self.snapshot.models[facts.model].versions.get(facts.version)
        manifest = self.desired.models.get(facts.model)
        pins = (p for p in (manifest.pins() if manifest else ()) if p.version in {None, facts.version})
        keys = (live.tagged if live else frozenset[str]()).union(*(pin.tags for pin in pins))
        kept = {key: value for key, value in facts.tags.items() if key not in keys}
        return replace(facts, tags=kept, self_declared=keys) if keys else facts

    def _review_fact(
        self, key: FactKey[Any], change: CommitRange, found: Reviews | str, since: "_Approvable | str", now: str
    ) -> object:
        if isinstance(found, str):
            return _Unknown(found)
        if isinstance(since, str):
            return _Unknown(since)
        approvals, early = in_time(found.approvals, since.at, now)
        if key == APPROVALS:
            return approvals
        names = tuple(sorted({a.who for a in early} - {a.who for a in approvals}))
        subject = self.desired.revision.subject
        about = found.authors, subject, change.base, found.people, found.by_bots, names
        return ChangeFacts(change.head, *about, since.original, since.renamable, since.traded)

    def _approvable(self, case: Case, candidate: VersionSnapshot | None) -> "_Approvable | str":
        """
        Since when what is approved is what it is: since it was registered. Where a copy is declared as one, that is its
        original. Another model may have the name by now, with versions that say they are of the same runs: so it is
        since the model has its name, or, of an original without its run, since MLflow's time of the last change.
        """
        if candidate is None:
            return "the registry does not show the version, so approvals of it are not known"
        entrance = case.entrance
        pin = copy_pin(self.desired.models.get(entrance.model), entrance.slot, candidate)
        if pin is None or pin.original is None or not isinstance(pin.source, Source):
            past, live = self.pasts.get(entrance.model), self.snapshot.models[entrance.model]
            return _of_model(candidate.created_at, entrance.model, named_since(past, live) if past else 0)
        since, changed = pin.source.since, pin.source.changed
        if not since:
            return f"the registry does not say when {pin.original} was registered"
        if pin.run_id is not None:
            named = self.originals.named_since(pin.original, case.rules.trunk)
            return _of_model(since, pin.original.model, named, pin.original)
        if not changed:
            return f"the registry does not say when {pin.original} was last changed; pin its run (`run_id` in `from`)"
        # Approvals are dated in whole seconds: one of the second of the change may be from before it.
        renamable = changed > since
        return _Approvable(changed + 999 if renamable else since, pin.original, renamable)

    def _of_original(self, key: FactKey[Any], case: Case, candidate: VersionSnapshot) -> object:
        """What is asked of the version of another model that the candidate was copied from."""
        for found in self.originals.of(case.entrance.model, candidate):
            if isinstance(found, Lost):
                return _Unknown(found.why, gone=found.gone)
            if found.original.model == key.model:
                break
        else:
            return Placed() if key == placed(key.model) else Stay(None)
        pin = copy_pin(self.desired.models.get(case.entrance.model), case.entrance.slot, candidate)
        by_name = pin is not None and pin.run_id is None
        if key == placed(key.model):
            if by_name and self._declared_before(case, found.version.updated_at, found.version):
                return _Unknown(
                    f"{found.original} was moved, edited or renamed after its copy was declared here: pin its run "
                    "(`run_id` in `from`)"
                )
            named = 0 if pin is None or by_name else self.originals.named_since(found.original, case.rules.trunk)
            if self._declared_before(case, named, found.version):
                return _Unknown(
                    f"every version of {found.original.model} was moved, edited or renamed after the copy was declared "
                    "here, so another model may have its name now: declare the copy anew"
                )
            meant = case.slots_in(found.original.registry)
            slots = _slots_of(found.live, found.version, meant)
            if (other := self._replaced_there(found, case, slots)) is not None:
                return other
            return Placed(found.version.version, found.version.stage.value, slots)
        if key == stay(key.argument, key.model):
            live, past = self.originals.verified(found, case.rules.trunk)
            slot = case.slots_in(found.original.registry).place(key.argument)
            held = stay_in(slot, found.version.version, live, past, _place_before(case))
            if isinstance(held, str):
                return _Unknown(held)
            if (other := self._replaced_there(found, case, (key.argument,))) is not None:
                return other
            return _since_its_change(held, found.version) if by_name else held
        return _Unknown("this release cannot look it up")

    def _replaced_there(self, found: Found, case: Case, slots: Iterable[str]) -> "_Unknown | None":
        if not any(record.files for record in found.version.provenance.values()):
            return None
        live, past = self.originals.verified(found, case.rules.trunk)
        version, meant = live.versions[found.version.version], case.slots_in(found.original.registry)
        return self._replaced(found.original.model, version, past, slots, meant)

    def _replaced(
        self, model: ModelRef, version: VersionSnapshot, past: Past | None, slots: Iterable[str], meant: SlotMap
    ) -> "_Unknown | None":
        """
        Why it is not known that a version was in one of these slots: it came in with other files, as a record says, and
        nobody tried those that it has now.
        """
        checks = self.world.checks
        records = ((slot, version.provenance.get(slot)) for slot in map(meant.place, slots))
        for slot, record in records:
            if checks is None or record is None or not record.files:
                continue
            if past is not None and past.place_of(record, version) is None:
                continue
            now = checks.digest(model, version.version)
            if now != record.files:
                return _Unknown(f"the files of v{version.version} of {model} were replaced since it came into {slot}")
        return None

    def _declared_before(self, case: Case, changed: int, original: VersionSnapshot) -> bool:
        """
        Whether a copy was declared before its original, or that one's model, was changed at a moment (milliseconds
        since 1970). A commit names a time of its own: one that is ahead of now says nothing, and an apply may have seen
        the commit before it.
        """
        past, live = self.pasts.get(case.entrance.model), self.snapshot.models[case.entrance.model]
        declared = past.run(live, case.entrance.slot, case.entrance.candidate) if past else None
        if declared is None or declared.since == FOREVER or changed <= original.created_at:
            return False
        trunk, now = case.rules.trunk, moment(self.world.clock.now())
        since = declared.since if trunk is None else min(declared.since, trunk.seen(declared.start))
        until = since + CLOCKS_DIFFER_BY_LESS_THAN.total_seconds()
        is_ahead = now is None or since > (now + CLOCKS_DIFFER_BY_LESS_THAN).timestamp()
        return is_ahead or changed > until * 1000

    def _checked(self, case: Case, candidate: VersionSnapshot | None) -> object:
        """
        The records on the version, and those on its originals: their files are the same. One that is not signed speaks
        against a copy alone, and one from before its original was registered is of another version.
        """
        checks, entrance, signers = self.world.checks, case.entrance, case.rules.policy.signers
        if checks is None:
            return _Unknown("this registry has no model files")
        own = checks.facts(entrance.model, entrance.candidate, signers)
        digest, records = own.digest, list(own.records)
        lost: Original | None = None

        def theirs() -> Iterator[CheckFacts]:
            nonlocal lost
            for found in () if candidate is None else self.originals.of(entrance.model, candidate):
                if isinstance(found, Lost):
                    lost = found.original if found.gone else None
                    return
                facts = checks.facts(found.original.model, found.original.version, signers)
                counting = (
                    replace(record, original=found.original)
                    for record in facts.records
                    if (record.signed or not record.passed) and _is_younger(record, found.version)
                )
                yield replace(facts, records=tuple(counting))

        followed = contained(lambda: tuple(theirs()))
        if isinstance(followed, Failure):
            # Whoever may not read the original can have the copy itself checked.
            return own if own.records else _Unknown(followed.why)
        for facts in followed:
            digest = digest or facts.digest
            records.extend(facts.records)
        if (
            records
            and candidate is not None
            and self._comes_from_elsewhere(candidate)
            and not candidate.is_planned_copy
        ):
            # A server may give other files to each who asks: what counts is what will be loaded.
            digest = checks.digest(entrance.model, entrance.candidate)
        return CheckFacts(digest, tuple(records), own.original, lost)

    def _file_fact(self, key: FactKey[Any], entrance: Entrance) -> object:
        checks = self.world.checks
        if checks is None:
            return _Unknown("this registry has no model files")
        if key == PRESENT:
            return checks.present(entrance.model, entrance.candidate)
        return Pinned(checks.digest(entrance.model, entrance.candidate), self._recorded_files(entrance))

    def _recorded_files(self, entrance: Entrance) -> str:
        """The digest of the files that the version entered the slot with, by a record that counts."""
        version = self.snapshot.models[entrance.model].versions.get(entrance.candidate)
        past = self.pasts.get(entrance.model)
        record = version.provenance.get(entrance.slot) if version else None
        if version is None or record is None or (past is not None and past.place_of(record, version) is None):
            return ""
        return record.files

    def _contained(self, branch: str, candidate: "VersionFacts | _Unknown") -> object:
        if isinstance(candidate, _Unknown):
            return candidate
        commit = candidate.run.git_commit if candidate.run else ""
        if not commit:
            gap = candidate.gap("version", "run")
            why = f"it is not known from which commit v{candidate.version} was trained"
            return _Unknown(why, gone=gap is not None and gap.gone)
        found = self.world.source.contains_commit(commit, branch)
        return _Unknown(f"git cannot determine whether {commit[:12]} is in {branch}") if found is None else found


def _is_younger(record: CheckRecord, version: VersionSnapshot) -> bool:
    """Whether a check ended after a version was registered; else it was of another one with the same number."""
    ended, registered = moment(record.ended_at), moment_of(version.created_at)
    return ended is not None and registered is not None and ended + CLOCKS_DIFFER_BY_LESS_THAN >= registered


def _since_its_change(stay: Stay, version: VersionSnapshot) -> Stay:
    """The stay of what is known by its name alone: what it was called before it was last changed, nobody knows."""
    since, changed = moment(stay.since or ""), moment_of(version.updated_at)
    return Stay(rfc3339(changed)) if since and changed and changed > since else stay


def _slots_of(live: ModelSnapshot, candidate: VersionSnapshot, slots: SlotMap) -> tuple[str, ...]:
    """
    What a version is in, by all names that a policy may use. An alias beside a stage of the registry is no such stage:
    the version itself says which it is in. Nor is MLflow's stage the one that an alias alone stands for.
    """
    stage = candidate.stage.slot
    named = sorted(alias_slot(alias) for alias, version in live.aliases.items() if version == candidate.version)
    called = ((slot, *_stands_for(slot, slots)) for slot in named)
    return (*((stage,) if slots.place(stage) == stage else ()), *chain.from_iterable(called))


def _stands_for(alias: Slot, slots: SlotMap) -> tuple[str, ...]:
    """What an alias is called that stands for a stage which the registry does not have."""
    stage = slots.stage_of(alias)
    return () if stage is None or slots.is_stage(stage) else (stage, f"@{stage}")


def _place_before(case: Case) -> int:
    """Where on the trusted line the change began that declared an entrance."""
    base, trunk = case.change.base, case.rules.trunk
    return trunk.places.get(base, 0) if trunk is not None and base is not None else 0


@dataclass(frozen=True, slots=True)
class _Approvable:
    """
    Since when approvals count, in milliseconds since 1970; of which original, and whether that one is known by its name
    alone and has changed. `traded` is the model whose name another one may have had until then.
    """

    at: int
    original: Original | None = None
    renamable: bool = False
    traded: str = ""


def _of_model(registered: int, model: ModelRef, named: int, original: Original | None = None) -> _Approvable:
    """What was registered at a moment in a model that has its name since another."""
    # Approvals are dated in whole seconds: one of the second of the change may be from before it.
    if named > registered:
        return _Approvable(named + 999, original, traded=str(model))
    return _Approvable(registered, original)


@dataclass(frozen=True, slots=True)
class _Unknown:
    why: str
    gone: bool = False


def _facts_of(
    versions: Mapping[Asked, VersionFacts | _Unknown] | str, model: ModelRef, version: Version
) -> VersionFacts | _Unknown:
    if isinstance(versions, str):
        return _Unknown(versions)
    return versions.get(Asked(model, version)) or _Unknown(f"nothing is known about v{version}")
