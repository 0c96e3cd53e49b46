"""
A house is all that a test of the whole needs, in one process: a real git repository with its remote, a forge and a
registry in memory that keep times as the real ones do, people with keys, and the product's own functions. Its verbs are
those of its users.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

from reconciler.core.changes import RegisterVersion
from reconciler.core.drift import Drift, DriftStatus
from reconciler.core.gate import CheckRecord, Ruling, Verdict
from reconciler.core.heads import Head
from reconciler.core.names import Commit, ModelRef, RepositoryId, Slot, Version
from reconciler.core.plan import Plan, effects_of
from reconciler.core.review import Review as PlanReview
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.snapshot import Placement, UnreadableRecord, encode_provenance
from reconciler.errors import ExitCode, Problem, ReconcilerError
from reconciler.events import Event, Noticed, Planned, Receipt
from reconciler.forges.reviewers import GitAndForge
from reconciler.git.notebook import GitNotebook, notebook_ref
from reconciler.git.receipts import GitReceipts
from reconciler.git.source import open_source
from reconciler.neighbors import beside
from reconciler.ports import Lock, Neighbor, Wanted, World
from reconciler.project import Project, Proposal, validate
from reconciler.registry.noted import NotedRegistry
from reconciler.render import words
from reconciler.render.text import review_lines
from reconciler.wiring import LockKind, manifest_parser, own_slots, policy_reader
from tests.house.forge import Forge, Request, Review, Way
from tests.house.mlflow import Clock, Files, KilledError, Mlflow, Runs, Sources
from tests.house.neighbors import Beside, Carrying, Down, copy_in
from tests.house.people import (
    ADA,
    FORGE,
    GRACE,
    LINUS,
    MALLORY,
    QUEUE_BOT,
    STAFF,
    Person,
    Seals,
    job_line,
    key_of,
    person_line,
    public_half,
    seal_with,
)
from tests.story.repository import Repository, git, manifest, new_repository
from tests.world import FakeLock

__all__ = ["ADA", "GRACE", "LINUS", "MALLORY", "Done", "House", "Person", "Request", "Trigger", "Way", "manifest"]

KILLED = 137


class Trigger(StrEnum):
    """What an apply's job runs for. Only a push tells it what main was before."""

    PUSH = "push"
    SCHEDULE = "schedule"
    DISPATCH = "dispatch"


@dataclass(frozen=True)
class Push:
    """What main was before a push, and what it is after it."""

    before: Commit
    after: Commit


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, its plan where it got to one, and what it said."""

    exit_code: int
    plan: Plan | None = None
    message: str = ""
    receipt: Receipt | None = None
    review: PlanReview | None = None

    def verdicts(self, slot: str = "Production", model: str = "churn") -> list[Verdict]:
        models = () if self.plan is None else self.plan.models
        return [v for m in models if m.model == model for v in m.verdicts if v.entrance.slot == slot]

    def rulings(self, slot: str = "Production", model: str = "churn") -> dict[str, Ruling]:
        """What each gate before a slot says."""
        return {verdict.gate: verdict.ruling for verdict in self.verdicts(slot, model)}

    def noes(self, slot: str = "Production", model: str = "churn") -> set[str]:
        """The gates before a slot that keep the model as it is."""
        return {verdict.gate for verdict in self.verdicts(slot, model) if verdict.blocks}

    def sentences(self, slot: str = "Production", model: str = "churn") -> str:
        return "\n".join(f"{v.gate}: {v.sentence} {v.note}" for v in self.verdicts(slot, model))

    def kinds(self, model: str = "churn") -> dict[str, str]:
        """How each entrance of a model comes about: new, rollback, restoration or found, by its slot."""
        models = () if self.plan is None else self.plan.models
        entrances: Iterable[Any] = (e for m in models if m.model == model for e in getattr(m, "entrances", ()))
        return {entrance.slot: str(entrance.kind) for entrance in entrances}

    def verbs(self, model: str = "churn") -> dict[str, str]:
        """What the plan calls that which it does to each version and alias."""
        models = () if self.plan is None else self.plan.models
        return {words.subject(effect): str(effect.verb) for m in models if m.model == model for effect in effects_of(m)}

    @property
    def blocked(self) -> bool:
        return self.plan is not None and self.plan.blocked

    @property
    def text(self) -> str:
        """As the plan is shown in a terminal."""
        if self.review is None:
            return self.message
        lines = ("".join(piece for _, piece in line) for line in review_lines(self.review, 1000))
        return "\n".join((*lines, *(note.text for note in self.review.notes)))


def readme_policy() -> str:
    """The rules of the policy that the README shows, word by word."""
    blocks = re.findall(r"```yaml\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    (rules,) = (found[0] for block in blocks if (found := re.search(r"(?m)^slots:\n(?: .*\n)+", block)))
    return rules


@dataclass
class House:
    """
    Made by `build`. `signed`: the policy names a key that signs records, and the apply's job has it. `receipts`: they
    are kept on the remote. `named`: what the policy calls the registry, where it names several.
    `noted`: our records are in a ref on the remote, as they are of a registry whose tags do not hold them.
    """

    repository: Repository
    clock: Clock
    registry: Mlflow
    signed: bool = False
    way: Way = Way.MERGE
    forge: Forge = field(default_factory=Forge)
    runs: Runs = field(default_factory=Runs)
    files: Files = field(default_factory=Files)
    lock: FakeLock | None = None
    address: str = "acme.example/models"
    key: str = "job"
    signers: str = ""
    receipts: bool = False
    pushes: list[Push] = field(default_factory=list[Push])
    run_numbers: Iterator[int] = field(default_factory=lambda: count(1))
    slots: SlotMap = PLAIN
    named: str = ""
    others: dict[str, "House"] = field(default_factory=dict[str, "House"])
    is_down: bool = False
    noted: bool = False

    def __post_init__(self) -> None:
        self.registry.renamed = self._follow
        self.registry.copied = self._copy

    @classmethod
    def build(cls, folder: Path, *, signed: bool = False, way: Way = Way.MERGE, objects: str = "sha1") -> "House":
        """A house with a first commit, and nothing in its registry."""
        clock = Clock()
        house = cls(
            new_repository(folder, objects=objects, **_names(ADA, ADA, clock)), clock, Mlflow(clock=clock), signed, way
        )
        (house.repository.remote / "objects" / "info" / "alternates").write_text("../../models/.git/objects\n")
        house.lock = FakeLock()
        house.signers = "".join(map(person_line, STAFF)) + (job_line(key_of(house.key)) if signed else "")
        return house

    def become(self, other: "House") -> None:
        """All that the other house is, in this one's place: what many tests begin with is made once, and copied."""
        self.repository.become(other.repository)
        self.clock.at = other.clock.at
        self.forge = Forge([request.copied() for request in other.forge.requests])
        self.pushes, self.run_numbers = list(other.pushes), count(1000)
        self._take(other)
        for name, neighbor in other.others.items():
            self.neighbor(name)._take(neighbor)

    def _take(self, other: "House") -> None:
        """The other house's registry, and what is known of it."""
        self.registry.models = dict(other.registry.models)
        self.runs, self.files = Runs(dict(other.runs.facts)), deepcopy(other.files)
        self.lock, self.signers = deepcopy(other.lock), other.signers

    def another_registry(self, uri: str = "memory://elsewhere") -> "House":
        """The same repository and forge, applied to another registry."""
        registry = Mlflow(uri=uri, clock=self.clock)
        return replace(self, registry=registry, runs=Runs(), files=Files(), lock=FakeLock())

    def neighbor(self, name: str = "dev") -> "House":
        """Another registry that the policy names, whose manifests are in the folder of its name; this one is prod."""
        uri = f"memory://{name}"
        other = replace(self.another_registry(uri), named=name, others={}, files=Files(server=uri))
        self.named, self.others[name] = "prod", other
        return other

    # What data scientists do, and whoever else may write to the registry.

    def register(self, model: str, versions: int = 1, *, run: str = "", f1: float | None = None, **more: Any) -> int:
        """So many new versions, each some way better than the one before, each from a run; gives the last number."""
        number = Version(0)
        for _ in range(versions):
            self.clock.later(minutes=1)
            run_id = run or f"{next(self.run_numbers):032x}"
            number = self.registry.register(model, run_id, **more)
            self.runs.log(model, number, run_id, 0.6 + 0.02 * number if f1 is None else f1, self.clock.stamp)
        return number

    def by_hand(self, model: str, version: int, slot: str, *, beside: bool = False) -> None:
        """Somebody moves a version on MLflow's page."""
        self.clock.later(minutes=1)
        self.registry.move(model, version, slot, beside=beside)

    def delete_model(self, model: str) -> None:
        """The registered model is gone; whoever registers it again begins with version 1."""
        del self.registry.models[ModelRef(model)]

    def rename_model(self, model: str, name: str) -> None:
        """Somebody renames a registered model; its versions keep their numbers, records, aliases and stages."""
        self.clock.later(minutes=1)
        self.registry.rename(model, name)

    def at_read(self, model: str, number: int, act: Callable[[], None]) -> None:
        """Somebody does something just before a model is read for the so manyth time from now on."""
        times = count(1)

        def read(wanted: Wanted) -> None:
            if ModelRef(model) in wanted.models and next(times) == number:
                act()

        self.registry.read = read

    def copy_by_hand(self, original: str, number: int, model: str, **more: Any) -> int:
        """Somebody copies a version with MLflow's client."""
        self.clock.later(minutes=1)
        return self.registry.copy(original, number, model, **more)

    def _copy(self, change: RegisterVersion) -> None:
        if change.original is not None and change.original.registry:
            copy_in(self, self.others[change.original.registry], change)
            return
        self.runs.copied(change, self.clock.stamp)
        self.files.copied(change)

    def _follow(self, before: ModelRef, after: ModelRef) -> None:
        """What is known of a model's versions, and their files, are found by its name."""
        for key in [key for key in self.runs.facts if key[0] == before]:
            self.runs.facts[after, key[1]] = replace(self.runs.facts.pop(key), model=after)
            self.files.digests[after, key[1]] = self.files.known(before, key[1])
            self.files.places[after, key[1]] = self.files.place(before, key[1])

    def check(self, model: str, version: int, check: str, *, passed: bool = True, signed: bool = True) -> None:
        """A job runs a check on a version, and writes its record down."""
        self.clock.later(minutes=1)
        key, files = (ModelRef(model), Version(version)), self.files
        record = CheckRecord(check, passed, files.known(*key), self.clock.stamp, signed)
        files.records[key] = (*files.records.get(key, ()), record)

    def delete_version(self, model: str, version: int) -> None:
        self.registry.delete_version(model, version)

    def delete_owner_record(self, model: str) -> None:
        self._owner(model, None)

    def point_owner_record_at(self, model: str, commit: str) -> None:
        """Somebody writes another commit into our record on the model."""
        owner: Any = self.registry.models[ModelRef(model)].owner
        self._owner(model, replace(owner, commit=Commit(commit)))

    def damage_owner_record(self, model: str) -> None:
        self._owner(model, UnreadableRecord("{"))

    def owner_record(self, model: str) -> Any:
        """Our record on a model, for somebody to keep."""
        return self.registry.models[ModelRef(model)].owner

    def put_owner_record(self, model: str, owner: Any) -> None:
        """Somebody writes a record that they kept."""
        self._owner(model, owner)

    def describe(self, model: str, version: int, text: str = "An edit") -> None:
        """Somebody writes a description on MLflow's page, which sets the version's time as a move does."""
        self.clock.later(minutes=1)
        live = self.registry.models[ModelRef(model)].versions[Version(version)]
        self.registry.put(model, replace(live, description=text, updated_at=self.clock.milliseconds))

    def tag_model(self, model: str, **tags: str) -> None:
        live = self.registry.models[ModelRef(model)]
        self.registry.models[live.name] = replace(live, tags={**live.tags, **tags})

    def _owner(self, model: str, owner: Any) -> None:
        live = self.registry.models[ModelRef(model)]
        self.registry.models[live.name] = replace(live, owner=owner)

    def record_on(self, model: str, version: int) -> str:
        """The text of our record on a version, for somebody to keep."""
        return encode_provenance(self.registry.provenance(model, version))

    def put_record(self, model: str, version: int, text: str) -> None:
        """Somebody writes a record that they kept."""
        self.registry.record(model, version, text)

    def forge_record(
        self,
        model: str,
        version: int,
        slot: str,
        commit: str,
        *,
        before: str = "Staging",
        like_ours: bool = False,
    ) -> None:
        """
        Somebody writes a record of their own making: this version was put into that slot by that commit. One `like
        ours` is of this very version, and of now.
        """
        made = Placement(
            Slot(slot),
            RepositoryId(self._source().identity),
            Commit(commit),
            before,
            str(ADA),
            "2026-01-01T00:00:00Z",
            "0" * 64,
        )
        if like_ours:
            known = self.registry.models[ModelRef(model)].versions[Version(version)]
            where = {"identity": known.identity, "registry": self.registry.uri}
            made = replace(made, applied_at=self.clock.stamp, **where)
        self.registry.record(
            model, version, encode_provenance({**self.registry.provenance(model, version), made.slot: made})
        )

    def versions_of(self, model: str) -> list[int]:
        """All versions that a model has."""
        live = self.registry.models.get(ModelRef(model))
        return sorted(live.versions) if live else []

    def in_slot(self, model: str, slot: str = "Production") -> tuple[int, ...]:
        """The versions that the registry holds there now."""
        return self.registry.holds(model, slot)

    # What happens in git and at the forge.

    @property
    def name(self) -> str:
        """The name under which the repository governs models."""
        return f"{self.address}#manifests"

    @property
    def main(self) -> Commit:
        return self._tip("main")

    def _tip(self, branch: str) -> Commit:
        return Commit((self._git_dir / "refs" / "heads" / branch).read_text().strip())

    def request(
        self,
        *texts: str,
        by: Person = ADA,
        policy: str | None = None,
        files: Mapping[str, str | None] | None = None,
        into: str = "manifests",
        title: str = "Say what is wanted",
        author: Person | None = None,
        trailer: str = "",
        sealed_by: Person | None = None,
        off: str = "main",
    ) -> Request:
        """A request with one commit: manifests, each in a file of its own; a policy; files, None to delete one."""
        number = len(self.forge.requests) + 1
        branch, main = f"change-{number}", self.main
        self._branch_off(branch, off)
        request = Request(number, by, branch, main, main)
        self.forge.requests.append(request)
        self._write(request, texts, policy, files, into, title, author or by, trailer, sealed_by)
        return request

    def amend(
        self,
        request: Request,
        *texts: str,
        by: Person = ADA,
        policy: str | None = None,
        files: Mapping[str, str | None] | None = None,
        into: str = "manifests",
        title: str = "And this",
        author: Person | None = None,
        trailer: str = "",
        sealed_by: Person | None = None,
    ) -> None:
        """One commit more on a request's branch."""
        self._git("checkout", "--quiet", request.branch)
        self._write(request, texts, policy, files, into, title, author or by, trailer, sealed_by)

    def approve(
        self, who: Person, request: Request | None = None, *, signed: bool = False, author: Person | None = None
    ) -> None:
        """Somebody's yes to the newest request, or to that one: a review at the forge, or a signed commit."""
        request = request or self.forge.requests[-1]
        self.clock.later(minutes=5)
        if not signed:
            request.reviews.append(Review(who, request.head, self.clock.stamp))
            return
        self._git("checkout", "--quiet", request.branch)
        settings = _with_key(who)
        message = ("--message", "Approve", "--message", f"Approved-by: {author or who}")
        self._git(*settings, "commit", "--quiet", "--allow-empty", "--gpg-sign", *message, by=author or who)
        self._pushed(request, author or who)

    def update(
        self, request: Request, *texts: str, by: Person = ADA, policy: str | None = None, ours: bool = False
    ) -> None:
        """
        The forge's button that brings a request's branch up to date: main is merged into it. Who does it by hand may
        have the merge say what they like, and keep what is theirs.
        """
        self._git("checkout", "--quiet", request.branch)
        kept = ("--strategy-option=ours",) if ours else ()
        self._git("merge", "--quiet", "--no-ff", "--no-commit", *kept, "main")
        self._put(texts, policy, None, "manifests")
        self._git("commit", "--quiet", "--all", "--no-edit", by=by, committer=by if texts or policy else FORGE)
        self._pushed(request, by)

    def forge_is_down(self) -> None:
        """From now on the forge answers nothing."""

        def no_answer() -> None:
            raise ReconcilerError("The forge does not answer.", "Run the job again.")

        self.forge.down = no_answer

    def close(self, request: Request) -> None:
        request.closed = True

    def merge(
        self,
        change: Request | str | None = None,
        *texts: str,
        way: Way | None = None,
        by: Person = ADA,
        merger: Person = GRACE,
        approved_by: Iterable[Person] = (),
        **written: Any,
    ) -> Request:
        """Merge a request, or make one of these manifests, have it approved, and merge it: by the house's way."""
        way = way or self.way
        if not isinstance(change, Request):
            manifests = texts if change is None else (change, *texts)
            change = self.request(*manifests, by=by, **written)
            for person in approved_by:
                self.approve(person, change, signed=way is Way.PUSH)
        if way is Way.QUEUE:
            note = self.request(files={f"notes/{change.number}.md": "A note\n"}, by=LINUS, title="Take a note")
            self.queue(note, change)
        else:
            self._landing([change], way, merger)
        return change

    def push(
        self, *texts: str, policy: str | None = None, files: Mapping[str, str | None] | None = None, by: Person = GRACE
    ) -> Commit:
        """One commit on main that somebody pushes there, past every review."""
        before = self.main
        self._put(texts, policy, files, "manifests")
        self._git("commit", "--quiet", "--all", "--message", "Say what is wanted", by=by)
        self._send(self.main, "refs/heads/main")
        self.pushes.append(Push(before, self.main))
        return self.main

    def queue(self, *requests: Request) -> None:
        """A merge queue that brings in several requests by one push."""
        self._landing(requests, Way.QUEUE, QUEUE_BOT)

    def revert(
        self, request: Request, *, way: Way | None = None, by: Person = ADA, approved_by: Iterable[Person] = ()
    ) -> Request:
        """Revert what a request became on main, by a request that is merged the same way."""
        undo = self.request_revert(request, by=by)
        for person in approved_by:
            self.approve(person, undo, signed=(way or self.way) is Way.PUSH)
        return self.merge(undo, way=way)

    def push_revert(self, request: Request, *, by: Person = GRACE) -> Commit:
        """Revert what a request became on main by a signed commit that is pushed there: the forge is not needed."""
        before = self.main
        for commit in reversed(request.landed):
            mainline = ("-m", "1") if len(self._parents(commit)) > 1 else ()
            self._git(*_with_key(by), "revert", "--no-edit", "--gpg-sign", *mainline, commit, by=by)
        self._send(self.main, "refs/heads/main")
        self.pushes.append(Push(before, self.main))
        return self.main

    def request_revert(self, request: Request, *, by: Person = ADA) -> Request:
        number, main = len(self.forge.requests) + 1, self.main
        undo = Request(number, by, f"change-{number}", main, main)
        self._branch_off(undo.branch)
        for commit in reversed(request.landed):
            parents = self._parents(commit)
            if len(set(self._git("rev-parse", f"{commit}^{{tree}}", f"{parents[0]}^{{tree}}").split())) == 1:
                continue  # an approval: there is nothing to revert in it
            mainline = ("-m", "1") if len(parents) > 1 else ()
            self._git("revert", "--no-edit", *mainline, commit, by=by)
        self.forge.requests.append(undo)
        self._pushed(undo, by)
        return undo

    def push_branch(
        self, name: str, *texts: str, by: Person = MALLORY, files: Mapping[str, str | None] | None = None
    ) -> Commit:
        """A branch off main that nobody reviews."""
        self._git("checkout", "--quiet", "-B", name, "main")
        self._put(texts, None, files, "manifests")
        self._git("commit", "--quiet", "--all", "--allow-empty", "--message", "Mine", by=by)
        head = self._tip(name)
        self._send(head, f"refs/heads/{name}")
        self._git("checkout", "--quiet", "main")
        return head

    def merge_ours(self, request: Request, *, by: Person = ADA) -> Request:
        """A request whose branch takes in another one's commits, and nothing of what they change."""
        number, main = len(self.forge.requests) + 1, self.main
        made = Request(number, by, f"change-{number}", main, main)
        self._branch_off(made.branch)
        self._git("merge", "--quiet", "--no-ff", "--no-edit", "--strategy=ours", request.head, by=by)
        self.forge.requests.append(made)
        self._pushed(made, by)
        return made

    def remember(self, commit: str, **more: Any) -> None:
        """Somebody writes into the lock's ref that an apply began with a commit."""
        assert self.lock is not None
        self.lock.lease.heads = (*self.lock.lease.heads, Head(Commit(commit), **more))

    @property
    def first_commit(self) -> str:
        return self._git("rev-list", "--max-parents=0", "main")

    def first_parent(self, commit: str = "main") -> Commit:
        return Commit(self._git("rev-parse", f"{commit}^"))

    def list_signer(self, line: str) -> None:
        """One line more in the file of allowed signers, from the next policy that is written on."""
        self.signers += line

    def rotate(self, key: str, *, retired: str = "") -> None:
        """
        The job signs with another key from now on. The file lists it, from the next policy that is written on; the one
        before is kept as retired on that day (`YYYYMMDD`), or as it is.
        """
        before, self.key = self.key, key
        if retired:
            self.signers = self.signers.replace(job_line(key_of(before)), job_line(key_of(before), retired))
        if public_half(key_of(key)) not in self.signers:
            self.list_signer(job_line(key_of(key)))

    def _write(
        self,
        request: Request,
        texts: Iterable[str],
        policy: str | None,
        files: Mapping[str, str | None] | None,
        into: str,
        title: str,
        author: Person,
        trailer: str,
        sealed_by: Person | None,
    ) -> None:
        self._put(texts, policy, files, into)
        message = ("--message", title, *(("--message", trailer) if trailer else ()))
        sealed = ("--gpg-sign",) if sealed_by else ()
        settings = _with_key(sealed_by)
        self._git(*settings, "commit", "--quiet", "--all", "--allow-empty", *sealed, *message, by=author)
        self._pushed(request, author)

    def _branch_off(self, branch: str, off: str = "main") -> None:
        """Start a branch and stand on it. Off main, on which we always stand, the files are there already."""
        if off != "main":
            self._git("checkout", "--quiet", "-b", branch, off)
            return
        (self._git_dir / "refs" / "heads" / branch).write_text(f"{self.main}\n")
        (self._git_dir / "HEAD").write_text(f"ref: refs/heads/{branch}\n")

    def _put(self, texts: Iterable[str], policy: str | None, files: Mapping[str, str | None] | None, into: str) -> None:
        written = dict(files or {})
        for text in texts:
            (model,) = re.findall(r"^model: (\S+)$", text, re.MULTILINE)
            written[f"{into}/{model}.yaml"] = text
        if policy is not None:
            written["reconciler.yaml"] = f"signers: keys/allowed_signers\n{policy}"
            written["keys/allowed_signers"] = self.signers
        new = False
        for name, text in written.items():
            path = self.repository.top / name
            if text is None:
                path.unlink()
                continue
            new = new or not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if new:
            self._git("add", "--all")

    def _pushed(self, request: Request, hand: Person) -> None:
        request.head = self._tip(request.branch)
        request.hands[request.head] = hand
        refs = (f"refs/heads/{request.branch}", f"refs/pull/{request.number}/head")
        self._send(request.head, *refs)
        self._git("checkout", "--quiet", "main")

    def _send(self, commit: Commit, *refs: str) -> None:
        """
        Push, without git's processes at both ends: the remote has the clone's objects, and a ref is a file. The tests
        of the lock, of sources and the stories push by git.
        """
        known = (ref.replace("refs/heads", "refs/remotes/origin") for ref in refs if ref.startswith("refs/heads/"))
        written = (*(self.repository.remote / ref for ref in refs), *(self._git_dir / ref for ref in known))
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{commit}\n")

    @property
    def _git_dir(self) -> Path:
        return self.repository.top / ".git"

    def _landing(self, requests: Iterable[Request], way: Way, merger: Person) -> None:
        before = self.main
        for request in requests:
            stood = self.main
            self._land(request, way, merger)
            request.landed = self._landed(stood, way)
            request.merged_at = self.clock.stamp
            request.at_the_forge = way is not Way.PUSH
        self._send(self.main, "refs/heads/main")
        self.pushes.append(Push(before, self.main))

    def _landed(self, stood: Commit, way: Way) -> tuple[Commit, ...]:
        """What came to main since it stood there."""
        if way in {Way.MERGE, Way.QUEUE, Way.SQUASH}:
            return (self.main,) if self.main != stood else ()
        listed = self._git("rev-list", "--reverse", "--first-parent", f"{stood}..main").split()
        return tuple(map(Commit, listed))

    def _land(self, request: Request, way: Way, merger: Person) -> None:
        title = f"Merge request #{request.number} from {request.branch}"
        match way:
            case Way.MERGE | Way.QUEUE:
                options = ("--quiet", "--no-ff", "--message", title)
                self._git("merge", *options, request.branch, by=merger, committer=FORGE)
            case Way.SQUASH:
                self._git("merge", "--quiet", "--squash", request.branch)
                self._git("commit", "--quiet", "--allow-empty", "--message", title, by=request.opener, committer=FORGE)
            case Way.REBASE:
                options = ("--quiet", "--empty=keep", "--no-ff")
                self._git("rebase", *options, "main", request.branch, committer=merger)
                self._git("checkout", "--quiet", "main")
                self._git("merge", "--quiet", "--ff-only", request.branch)
                self._git("branch", "--quiet", "--force", request.branch, request.head)
            case Way.FAST_FORWARD | Way.PUSH:
                self._git("merge", "--quiet", "--ff-only", request.branch)

    def _parents(self, commit: Commit) -> list[str]:
        return self._git("rev-list", "--parents", "--max-count=1", commit).split()[1:]

    def _git(self, *arguments: str, by: Person | None = None, committer: Person | None = None) -> str:
        """Run git in the clone; a commit takes a minute, and is by somebody."""
        author = by or committer
        names = {} if author is None else _names(author, committer or author, self.clock)
        if by is None and committer is not None:
            # What is made anew keeps its authors.
            names = {name: value for name, value in names.items() if "AUTHOR" not in name}
        return git(self.repository.top, *arguments, **names)

    # The product's commands. Everything of the product that is called is called below, and nowhere else.

    def begin(self, policy: str, *manifests: str) -> None:
        """A policy, then manifests of what is there, and an apply: the house is at work."""
        self.push(policy=policy)
        self.push(*manifests)
        done = self.apply()
        assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences()}"

    def plan(
        self, request: Request | None = None, *, manifests: str = "manifests", evidence: Any = "none", **options: Any
    ) -> Done:
        """What the review of a request shows, the newest by default; of main's head where there is none open."""
        request = request or next((r for r in reversed(self.forge.requests) if not r.landed and not r.closed), None)
        ref, base = (request.head, "origin/main") if request else ("HEAD", None)
        self.forge.job = request
        try:
            review = self._project(manifests).plan(ref, base, evidence=evidence, **options)
        except ReconcilerError as error:
            return Done(error.exit_code, message=str(error))
        finally:
            self.forge.job = None
        return Done(ExitCode.BLOCKED if review.blocked else ExitCode.OK, review.plan, review=review.whole)

    def apply(
        self,
        trigger: Trigger = Trigger.PUSH,
        *,
        of: Request | None = None,
        restore: Iterable[str] = (),
        reviewed: Done | None = None,
        killed_after: int | None = None,
        allow_rewind: bool = False,
        policy_ref: Commit | None = None,
        manifests: str = "manifests",
        **options: Any,
    ) -> Done:
        """
        The job that applies main, for a push: the last one, or that `of` a request, run again. It names what main was
        before as the policy's commit; others name none, unless the person who starts one does.
        """
        push = self._push_of(of)
        ref = push.after if trigger is Trigger.PUSH else self.main
        before = push.before if trigger is Trigger.PUSH else policy_ref
        events: list[Event] = []
        self.registry.calls_left = killed_after
        agreed = reviewed.plan.digest if reviewed is not None and reviewed.plan is not None else None
        try:
            receipt = self._project(manifests).apply(
                agreed,
                yes=agreed is None,
                ref=ref,
                policy_ref=before,
                restore=restore,
                allow_rewind=ref if allow_rewind else None,
                signing_key=partial(seal_with, key_of(self.key)) if self.signed else None,
                parallelism=1,
                report=events.append,
                **options,
            )
        except ReconcilerError as error:
            return Done(error.exit_code, _plan_in(events), str(error))
        except KilledError:
            return Done(KILLED, _plan_in(events), "killed")
        finally:
            self.registry.calls_left = None
        outcomes = (f"{outcome.model}: {outcome.status} {outcome.message}" for outcome in receipt.outcomes)
        notices = (event.message for event in events if isinstance(event, Noticed))
        return Done(receipt.exit_code, receipt.plan, "\n".join((*outcomes, *notices)), receipt)

    def drift(self, *, manifests: str = "manifests", files: bool = False) -> Drift:
        """What the job that looks for drift finds."""
        return self._project(manifests).drift(files=files)

    def drift_of(self, model: str = "churn", *, manifests: str = "manifests") -> DriftStatus:
        (status,) = (one.status for one in self.drift(manifests=manifests).models if one.model == model)
        return status

    def gates(self, model: str, version: int) -> tuple[Verdict, ...]:
        """What `reconciler gates` says of a version."""
        return tuple(self._project("manifests").gates(model, version))

    def validate(self, *, manifests: str = "manifests") -> tuple[Problem, ...]:
        """What `reconciler validate` finds in main's manifests and policy."""
        return tuple(validate([self.repository.top / manifests]))

    def promote(self, model: str, version: int, *, to: str = "Production") -> Proposal:
        """What `reconciler promote` proposes."""
        return self._project("manifests").promote(model, version, to=to)

    def demote(self, model: str, version: int | None = None, *, to: str | None = None) -> Proposal:
        """What `reconciler demote` proposes."""
        return self._project("manifests").demote(model, version, to=to)

    def rollback(self, model: str, *, to: str = "Production", **options: Any) -> Proposal:
        """What `reconciler rollback` proposes."""
        return self._project("manifests").rollback(model, to=to, **options)

    def accept(self, proposal: Proposal) -> Request:
        """Merge what a command proposed."""
        return self.merge(files={file.path: file.data.decode() for file in proposal.whole.files}, approved_by=[GRACE])

    def _project(self, manifests: str) -> Project:
        """The product's face, over this house instead of a server and a forge."""

        def opener(
            lock: LockKind, *, base: str | None = None, ref: str | None = None, policy_ref: str | None = None
        ) -> World:
            return self._world(manifests, None if lock is LockKind.NONE else self.lock)

        return Project(opener, self.forge)

    def _push_of(self, request: Request | None) -> Push:
        """The push that brought a request into main; the last one for None."""
        merged = None if request is None else request.merged
        if merged is None:
            return self.pushes[-1]
        return next(p for p in self.pushes if merged in self._git("rev-list", f"{p.before}..{p.after}").split())

    def _source(self, manifests: str = "manifests", like: Any = None) -> Any:
        return open_source(self.repository.top / manifests, f"{self.address}#{manifests}", like=like)

    @property
    def notebook(self) -> GitNotebook:
        """Where the records are that are in a ref."""
        return GitNotebook(self._source().git, "origin", notebook_ref(self.registry.uri))

    def _world(self, manifests: str, lock: Lock | None = None, like: Any = None) -> World:
        source = self._source(manifests, like)
        registries, known = ((self.named, *self.others) if self.others else ()), dict[Any, Any]()
        settings: Any = {"known": known, "named": self.named, "registries": registries}
        read, past = manifest_parser(self.slots, **settings), partial(manifest_parser, past=True, **settings)
        reviewers = GitAndForge(source, lambda commit: past(own_slots(source, commit) or self.slots), self.forge)
        world = World(
            source,
            read,
            NotedRegistry(self.registry, self.notebook) if self.noted else self.registry,
            self.clock,
            lock,
            self.runs,
            reviewers,
            self.files,
            memory=self.lock,
            seals=Seals(),
            receipts=GitReceipts(source.git, "origin") if self.receipts else None,
            runs=Sources(self.registry),
            slots=self.slots,
            named=self.named,
            parse_past=past,
        )
        if not self.others:
            return world
        called = {(house.registry.uri, ""): name for name, house in self.others.items()}
        opened = {name: cache(partial(house.world_beside, name, source)) for name, house in self.others.items()}
        return replace(beside(world, Beside(opened), called), carrier=Carrying(self.others, self.files))

    def world_beside(self, name: str, like: Any) -> Neighbor:
        """This house's registry as one that another one's models are copied from; its source is `like` the other's."""
        source = self._source(name, like)
        slots = own_slots(source, "HEAD", name) or self.slots
        world = replace(self._world(name, like=source), slots=slots, parse=manifest_parser(slots, past=True))
        if self.is_down:
            down = Down(self.registry.uri)
            world = replace(world, registry=down, evidence=down, checks=down, runs=down)
        return Neighbor(world, policy_reader(world))


def _with_key(who: Person | None) -> tuple[str, ...]:
    """Git's settings to sign a commit with somebody's key."""
    return () if who is None else ("-c", "gpg.format=ssh", "-c", f"user.signingKey={who.key}")


def _plan_in(events: Iterable[Event]) -> Plan | None:
    return next((event.plan for event in events if isinstance(event, Planned)), None)


def _names(author: Person, committer: Person, clock: Clock) -> dict[str, str]:
    """Whose commit it is, and when, for git's environment."""
    clock.later(minutes=1)
    people = {"AUTHOR": author, "COMMITTER": committer}
    named = {f"GIT_{role}_NAME": person.name for role, person in people.items()}
    reached = {f"GIT_{role}_EMAIL": person.email for role, person in people.items()}
    return {**named, **reached, **{f"GIT_{role}_DATE": clock.stamp for role in people}}
