"""
The public face: open → plan → apply, drift and gates, for notebooks, jobs and the command line alike. It prints
nothing, ends no process, and leaves environment and loggers as they were. What goes wrong is a `ReconcilerError`: it
has a `message`, a `fix`, and the `exit_code` that the command would end with.
"""

import os
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from shlex import quote
from threading import Event as Flag
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from reconciler import offline
from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import (
    Failure,
    ManifestError,
    NoRegistryError,
    Problem,
    ReconcilerError,
    RegistryError,
    Severity,
    contained,
)
from reconciler.render.formats import Format, rendered
from reconciler.version import __version__
from reconciler.wiring import LockKind, Settings, SignKind

if TYPE_CHECKING:
    from reconciler.adopting import Adopted
    from reconciler.checking import CheckEvent, CheckReport, Sign
    from reconciler.core.access import Access, Governed
    from reconciler.core.as_of import AsOf, Between
    from reconciler.core.bundle import Bundle
    from reconciler.core.chain import Audit, Link, Pruning
    from reconciler.core.check_record import CheckResult
    from reconciler.core.desired import Revision
    from reconciler.core.drift import Drift
    from reconciler.core.gate import Verdict
    from reconciler.core.history import History, Recalled
    from reconciler.core.names import Commit, Slot, Stage, Version
    from reconciler.core.overview import Overview
    from reconciler.core.plan import Plan, PlanOptions
    from reconciler.core.policy import Policy
    from reconciler.core.review import Note
    from reconciler.core.review import Review as WholeReview
    from reconciler.core.slot_map import SlotMap, StageAlias
    from reconciler.events import Receipt, Report
    from reconciler.examining import Finding, Health
    from reconciler.git.source import GitSource
    from reconciler.pipeline import Reviewed
    from reconciler.planning import Declaration
    from reconciler.ports import Forge, Requests, SourceFile, Tell, World
    from reconciler.proposing import Proposal as WholeProposal
    from reconciler.proposing import Setting, Step
    from reconciler.render.json import PlanDocument
    from reconciler.rules import Rules
    from reconciler.scaffold import First

validate, validation, fmt, schema = offline.validate, offline.validation, offline.fmt, offline.schema
DeclaredModel, declared_models = offline.DeclaredModel, offline.declared_models
declared_registries = offline.declared_registries


def open(  # noqa: A001  # as `tarfile.open`: it is read with the module's name before it
    path: Path | str = ".",
    *,
    registry: str | None = None,
    manifests: Path | str | None = None,
    repository: str | None = None,
    remote: str | None = None,
    forge: str = "none",
    progress: "Tell | None" = None,
    named: str | None = None,
) -> "Project":
    """
    The project in the git repository around `path`.

    `registry`: URI of the MLflow registry. Default: MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI, or the standing policy.
    `manifests`: folder of manifests, relative to `path`. Default: RECONCILER_MANIFESTS, the policy, or `manifests` at
    the top of the repository.
    `repository`: name under which models are owned. Default: RECONCILER_REPOSITORY, or the remote's URL and the folder.
    `remote`: git remote that names the repository and keeps the lock. Default: RECONCILER_REMOTE, or `origin`.
    `forge`: where approvals are read: `github`, `gitlab`, or `auto` for the one whose CI job this is. `none`: only
    signed commits count.
    `progress`: hears how far work is that may take long, as a `reconciler.ports.Working`, in any thread.
    `named`: what the policy calls the registry, where it names several. Default: RECONCILER_REGISTRY.

    Connects to nothing yet. Each call of the project reads git and the registry anew. Raises ReconcilerError if `forge`
    is `auto` and this is no CI job.
    """
    from reconciler.wiring import open_world

    folder = manifests or os.environ.get("RECONCILER_MANIFESTS")
    settings = Settings(
        Path(path),
        Path(folder) if folder else None,
        registry,
        repository or os.environ.get("RECONCILER_REPOSITORY") or None,
        _remote_named(remote),
        named=(os.environ.get("RECONCILER_REGISTRY") or "") if named is None else named,
    )
    reviews = forge_of_job(forge)

    def opener(
        lock: LockKind, *, base: str | None = None, ref: str | None = None, policy_ref: str | None = None
    ) -> "World":
        at = replace(settings, lock=lock)
        return open_world(at, os.environ, forge=reviews, base=base, ref=ref, policy_ref=policy_ref, tell=progress)

    return Project(opener, reviews)


def import_beforehand() -> None:
    """Import what every registry needs once, before processes are forked. Where that fails, each of them says so."""
    from reconciler.registry.mlflow import imported

    contained(imported)


def forge_of_job(forge: str) -> "Forge | None":
    """The forge that `open` takes by its name. Raises ReconcilerError for `auto` if this is no CI job."""
    from reconciler.wiring import open_forge

    return open_forge(forge, os.environ)


def examine(
    path: Path | str = ".",
    *,
    registry: str | None = None,
    manifests: Path | str | None = None,
    repository: str | None = None,
    remote: str | None = None,
    named: str | None = None,
) -> "tuple[Finding, ...]":
    """
    What is wrong with the set-up of the project there, and how to mend it: of the repository, its remote, the lock, the
    manifests, the policy, the registry, the files that `init` wrote, and the key for signed records. The arguments are
    those of `open`. Writes nothing. Raises ReconcilerError where there is no repository.
    """
    from reconciler import examining
    from reconciler.git.source import open_source

    start, upstream = Path(path), _remote_named(remote)
    project = open(path, registry=registry, manifests=manifests, repository=repository, remote=remote, named=named)

    def world(of: str) -> "World":
        at = open(path, registry=registry, manifests=manifests, repository=repository, remote=remote, named=of)
        return at.opener(LockKind.NONE, base=None, ref=None, policy_ref=None)

    def registry_of(name: str) -> "tuple[Health, str, str]":
        return examining.registry(world(name).registry)

    with project.undisturbed():
        source = open_source(start, "-", upstream)
        git, policy = source.git, contained(lambda: _policy_of_head(source))
        several = () if named or policy is None or isinstance(policy, Failure) else policy.registries
        return examining.examined(
            {
                "repository": lambda: examining.repository(git),
                f"remote {upstream}": lambda: examining.remote(git, upstream),
                "lock": lambda: examining.lock(git, upstream),
                "manifests": lambda: examining.manifests(validation([manifests] if manifests else ())),
                "policy": lambda: examining.policy(_policy_of_head(source)),
                **{f"registry {name}".rstrip(): partial(registry_of, name) for name in several or (named or "",)},
                "files of init": lambda: _files_of_init(start, upstream),
                "signing key": lambda: _signing_key(git.folder),
            }
        )


def _remote_named(remote: str | None) -> str:
    return remote or os.environ.get("RECONCILER_REMOTE") or "origin"


def _policy_of_head(source: "GitSource") -> "Policy | None":
    from reconciler.reading.policy import parse_policy, signers_path
    from reconciler.trust import POLICY_PATH
    from reconciler.wiring import gate_builder

    file = None if source.head is None else source.file("HEAD", POLICY_PATH)
    named = None if file is None else signers_path(file)
    signers = None if named is None else source.file("HEAD", named)
    text = "" if signers is None else signers.data.decode("utf-8", "replace")
    policy, problems = (None, ()) if file is None else parse_policy(file, gate_builder(), text)
    if wrong := tuple(problem for problem in problems if problem.severity is Severity.ERROR):
        raise ManifestError(wrong)
    return policy


def _files_of_init(start: Path, remote: str) -> "tuple[Health, str, str]":
    """Whether the jobs and schemas are as this release writes them."""
    from reconciler.examining import Health
    from reconciler.scaffold import Renewal, update

    files = update(start, remote=remote, write=False)
    behind = [file.path for file in files if file.renewal is not Renewal.CURRENT]
    if not behind:
        return Health.FINE, f"{len(files)} files, as this release writes them.", ""
    if len(behind) == len(files):
        return Health.LOOK, "There are no jobs that plan and apply.", "Write them: reconciler init"
    listed = ", ".join(behind[:4]) + (f" and {len(behind) - 4} more" if len(behind) > 4 else "")
    return Health.LOOK, f"Not as this release writes them: {listed}.", "See the differences: reconciler init --update"


def _signing_key(git_directory: Path) -> "tuple[Health, str, str]":
    """Whether a private key lies about, and whether the one in the environment can sign."""
    from reconciler.examining import Health
    from reconciler.scaffold.keys import key_path
    from reconciler.wiring import SIGNING_KEY, record_signer

    left = key_path(git_directory)
    with record_signer(None, os.environ) as sign:
        if sign is not None:
            sign(b"reconciler doctor")
            return Health.FINE, f"The key in {SIGNING_KEY} signs.", ""
    if left.exists():
        sentence = f"The private key that init made is still in {left}."
        return (
            Health.LOOK,
            sentence,
            f"Store it as the secret {SIGNING_KEY} of the job that applies; then delete the file.",
        )
    return Health.FINE, f"None here: the job that applies has it, in {SIGNING_KEY}.", ""


def audit_bundle(path: Path | str, signers: Path | str | None = None) -> "Audit":
    """
    Whether a bundle of evidence is as it was put together, and what is in it as it was written. Needs no registry, no
    repository and no network.

    `signers`: a file of allowed signers, from elsewhere than the bundle. Default: the one that the policy at HEAD of
    the repository around us names, if there is one. Raises ReconcilerError where a file cannot be read.
    """
    from reconciler import archive, verifying
    from reconciler.core.chain import Audit, Finding, Flaw
    from reconciler.git.approvals import is_signed_by
    from reconciler.wiring import record_seals

    name = plain(Path(path).name, 100)
    try:
        files = archive.unpacked(archive.read_archive(Path(path)))
    except archive.ArchiveError as error:
        return Audit(name, findings=(Finding(Flaw.DAMAGED, 0, f"{name} {error}."),))
    text = _signers_around() if signers is None else _text_of(Path(signers))
    return verifying.audit_bundle(files, name, text, record_seals(), is_signed_by)


def _text_of(path: Path) -> str:
    from reconciler.reading.files import beginning

    try:
        return beginning(path).decode("utf-8", "replace")
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Name a file of allowed signers.") from error


def _signers_around() -> str:
    """Who signs by the policy of the repository around us; nothing where there is none."""
    from reconciler.errors import Failure, contained
    from reconciler.git.source import open_source
    from reconciler.reading.repository import top_above

    top = top_above(Path())
    policy = None if top is None else contained(lambda: _policy_of_head(open_source(top, "-")))
    return "" if policy is None or isinstance(policy, Failure) else policy.signers


class Options(TypedDict, total=False):
    """
    `targets`: only these models. `adopt`: take over models that another repository governs. `force`: go on although
    many models' Production would change at once. `allow_empty`: release every model when no manifest is left.
    `max_change_percent`: the share of governed models (0 to 100) whose Production may change without `force`, from 10
    models on; else the standing policy's, else 30.
    """

    targets: Iterable[str]
    adopt: bool
    force: bool
    allow_empty: bool
    max_change_percent: float | None


@dataclass(frozen=True, slots=True)
class Review:
    """
    A plan, what the gates say to it, and the evidence for it, as a reviewer is shown them. `whole` is all of it as
    values. `warnings` are about the manifests; `dirty` are the manifests that differ from the commit, if the work tree
    was planned.
    """

    whole: "WholeReview"
    key: str = ""
    warnings: tuple[Problem, ...] = ()
    dirty: tuple[str, ...] = ()

    @property
    def plan(self) -> "Plan":
        """What an apply would do: the calls of each model, in order, and why others are blocked."""
        return self.whole.plan

    @property
    def digest(self) -> str:
        """What tells this plan from others: 64 hexadecimal digits, alike for the same changes from another commit."""
        return self.plan.digest

    @property
    def blocked(self) -> bool:
        """Whether any model, or all of the plan, is kept as it is."""
        return self.plan.blocked

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.changes)

    @property
    def verdicts(self) -> "tuple[Verdict, ...]":
        """What every gate says, in the order of the plan."""
        return tuple(verdict for model in self.plan.models for verdict in model.verdicts)

    @property
    def notes(self) -> "tuple[Note, ...]":
        """What a reader should know of how the plan was made."""
        return self.whole.notes

    def rendered(self, form: Format, limit: int | None = MARKDOWN_CHARACTERS) -> str:
        """In any format; Markdown has at most `limit` characters, if not None."""
        return rendered(self.whole, form, self.key, limit)

    def to_markdown(self, limit: int | None = MARKDOWN_CHARACTERS) -> str:
        """As the comment under a change request, of at most `limit` characters; what weighs least is left out."""
        return self.rendered(Format.MARKDOWN, limit)

    def to_json(self) -> str:
        """As `plan --format json` prints it, and `apply` reads it from a file: see `reconciler schema plan`."""
        return self.rendered(Format.JSON)

    def to_html(self) -> str:
        """A page of its own."""
        return self.rendered(Format.HTML)

    def __str__(self) -> str:
        return self.rendered(Format.TEXT)

    def _repr_html_(self) -> str:
        """For a notebook: the page in a frame, so that neither's styles reach the other, and nothing in it runs."""
        page = escape(self.to_html(), quote=True)
        return f'<iframe sandbox srcdoc="{page}" style="width: 100%; height: 40em; border: 0"></iframe>'


@dataclass(frozen=True, slots=True)
class Evidence:
    """A bundle of evidence about one version; `whole` is all of it, file by file."""

    whole: "Bundle"

    @property
    def name(self) -> str:
        """What its file is called: `risk-classifier-v4-evidence.zip`."""
        from reconciler.writing.layout import file_stem

        return f"{file_stem(self.whole.about.model)}-v{self.whole.about.version}-evidence.zip"

    @property
    def lacking(self) -> tuple[str, ...]:
        """What could not be put in, and why."""
        return self.whole.lacking

    def to_zip(self) -> bytes:
        """As one archive: the same bytes for the same state of receipts, git and registry."""
        from reconciler.archive import packed

        return packed(self.whole.files)


@dataclass(frozen=True, slots=True)
class Proposal:
    """
    A change of manifests that nobody has written yet, and the review of a plan with it. `dirty` are manifests that
    differ from HEAD already; `named` is what the policy calls the registry, where it names several.
    """

    whole: "WholeProposal"
    review: Review
    source: "GitSource"
    dirty: tuple[str, ...] = ()
    named: str = ""

    @property
    def title(self) -> str:
        """The change in a line: `Promote RiskClassifier v5 to Production`."""
        return f"{self.whole.title} in {self.named}" if self.named else self.whole.title

    @property
    def changed(self) -> bool:
        """Whether any file changes; if not, the manifests declare that already."""
        return bool(self.whole.files)

    @property
    def refused(self) -> tuple[str, ...]:
        """What refuses it and would not be satisfied by an approval: names of gates, and codes."""
        return self.whole.refused

    def diff(self) -> str:
        """What is different in the files, as a unified diff."""
        return "".join(f"{line}\n" for line in self.whole.diff())

    def write(self) -> tuple[str, ...]:
        """Write it into the work tree, and say which files, as paths from the top of the repository."""
        from reconciler.writing.files import write_files

        return write_files(self.source.top, self.whole.files, self.whole.before)

    def refuse_request(self) -> None:
        """
        Raises ReconcilerError where `open_request` would not get as far as git: the work tree or HEAD has what the
        default branch does not have, the forge is not known, or a token is missing. Asks nobody.
        """
        self._request()

    def open_request(self, branch: str | None = None, message: str | None = None, *, author: str | None = None) -> str:
        """
        Commit it on a new branch, push that, and open a request to merge it into the default branch: its address. The
        checkout is not touched. `author` is `Name <email>`; in a CI job whoever started it, else git's own. Raises
        ReconcilerError as `refuse_request` does, where git refuses, and where the forge is not to be reached.
        """
        from reconciler.git.branch import author_of_job, push_change

        (forge, remote, base), name = self._request(), branch or self._branch()
        subject, _, text = (message or self.title).partition("\n")
        push_change(
            self.source.top,
            name,
            self.whole.files,
            message or self.title,
            remote=remote,
            start="HEAD",
            environment=os.environ,
            author=author or author_of_job(os.environ),
        )
        try:
            return forge.propose(name, base, subject, text.strip() or self._text())
        except ReconcilerError as error:
            raise ReconcilerError(
                f"The branch {name} was pushed, but no request was opened: {error.message}",
                f"{error.fix} Then open the request for that branch, or delete it: git push {remote} --delete {name}",
            ) from error

    def _request(self) -> "tuple[Requests, str, str]":
        """Where the request is opened, the remote that is pushed to, and the branch that it is to be merged into."""
        from reconciler.core.text import without_credentials
        from reconciler.forges.kinds import requests_at
        from reconciler.git.branch import branch_of_job
        from reconciler.git.refs import default_branch
        from reconciler.git.source import normal_url

        git, remote = self.source.git, self.source.remote
        if not self.changed:
            raise ReconcilerError("The manifests declare that already: there is nothing to propose.")
        if remote is None:
            raise ReconcilerError("There is no git remote to push to.", "Add one, or write the change and commit it.")
        base = branch_of_job(os.environ) or default_branch(git, remote)
        self._refuse_more(base)
        url = git.url(remote)
        forge = requests_at(url, normal_url(url), self.source.top, os.environ)
        if forge is None:
            raise ReconcilerError(
                f"{without_credentials(url)} is at no forge that is known, so no request can be opened.",
                "Write the change, commit it and push it yourself.",
            )
        forge.ready()
        return forge, remote, base

    def _refuse_more(self, base: str) -> None:
        from reconciler.render.words import names

        head = self.source.head
        if self.dirty:
            raise ReconcilerError(
                f"The work tree has changes of its own: {names(self.dirty, 8)}.", "Commit or stash them first."
            )
        if head is None or self.source.contains_commit(head, base) is not True:
            raise ReconcilerError(
                f"HEAD has commits that {base} does not have, as far as it was fetched: the request would bring them.",
                f"`git switch {base}` and `git pull`, then run this again.",
            )

    def _branch(self) -> str:
        from hashlib import sha256

        words = re.sub(r"[^a-z0-9.]+", "-", self.title.lower().encode("ascii", "ignore").decode()).strip("-.")
        return f"reconciler/{words[:80]}-{sha256(self.diff().encode()).hexdigest()[:8]}"

    def _text(self) -> str:
        """What a reviewer should know that the plan under the request does not say."""
        from reconciler.render.spans import prose

        refused = f"Gates that refuse it as things are: {', '.join(self.refused)}.\n\n" if self.refused else ""
        notes = "".join(f"{prose(note)}\n\n" for note in self.whole.notes)
        return f"{refused}{notes}```diff\n{self.diff()}```\n"


def slot_of(text: str, slots: "SlotMap") -> "Slot":
    """
    What a stage, MLflow's or one of the policy's own, or an alias behind an `@` is in the registry. Raises
    ReconcilerError for anything else, with the nearest stage.
    """
    _refuse_no_slot(text, slots.stages)
    return slots.declared(slots.place(text))


def _refuse_no_slot(text: str, own: "Iterable[StageAlias]") -> None:
    from reconciler.core.names import Stage, alias_fault

    if text.startswith("@") and (fault := alias_fault(text[1:])) is not None:
        raise ReconcilerError(f"`{plain(text)}` cannot be an alias: {fault}.", "Write `@` and the alias's name.")
    stages = list(dict.fromkeys([*(stage.value for stage in Stage), *(one.stage for one in own)]))
    if text not in stages and not (text.startswith("@") and text != "@"):
        near = did_you_mean(text, stages, f"Did you mean `@{plain(text)}`?")
        raise ReconcilerError(
            f"`{plain(text)}` is neither a stage nor an alias.", f"{near} Stages: {', '.join(stages)}."
        )


def _slots_of(text: str, world: "World", rules: "Rules") -> "frozenset[Slot]":
    """All that a stage or an alias is in the registry, or was by some policy. Raises as `slot_of` does."""
    maps = (world.slots,) if rules.trunk is None else rules.trunk.all_slots
    _refuse_no_slot(text, (one for slots in maps for one in slots.stages))
    return frozenset(place for slots in maps for place in slots.places(text))


def _stage_of(text: str, model: str, slots: "SlotMap") -> "Stage":
    slot = slot_of(text, slots)
    if slot.stage is None:
        call = f"reconciler alias {quote(model)} {slot.alias}"
        raise ReconcilerError(
            f"{slot} is an alias, and a stage was expected.",
            f"To move the alias, use `{call} VERSION`; to remove it, `{call} --remove`.",
        )
    return slot.stage


class Opener(Protocol):
    """Opens the world for one call: what is planned or applied decides which policy says where the registry is."""

    def __call__(
        self, lock: LockKind, *, base: str | None = None, ref: str | None = None, policy_ref: str | None = None
    ) -> "World": ...


@dataclass(frozen=True, slots=True)
class Project:
    """
    A git repository with manifests, and the registry that they are about: made by `open`. Names of commits (`ref`,
    `base`, `policy_ref`) are anything that git takes. `policy_ref` names a commit whose policy judges too, as
    `--policy-ref` does; by default RECONCILER_POLICY_REF. `report` hears the events of `reconciler.events`, in any
    thread.
    """

    opener: Opener
    forge: "Forge | None" = None
    by_command: bool = False

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        """
        Leaves environment and loggers as they were. Remedies name the parameters of this class in the place of options,
        but where a command asks.
        """
        with _undisturbed():
            try:
                yield
            except ManifestError:
                raise
            except ReconcilerError as error:
                if not self.by_command:
                    error.reword(in_python)
                raise

    def plan(
        self,
        ref: str | None = None,
        base: str | None = None,
        *,
        policy_ref: str | None = None,
        evidence: str = "production",
        report: "Report | None" = None,
        **options: Unpack[Options],
    ) -> Review:
        """
        What an apply would do, and what the gates say to it. Writes nothing.

        `ref`: the commit to plan; None: the work tree. `base`: the branch that a change was made from; the review then
        tells what the change does from what is pending without it. `evidence`: which versions that move in are shown
        beside those they replace: `none`, `production`, `stages` or `all`. `report` gets the events.

        Raises ManifestError with every problem of manifests or policy, RegistryError if the registry cannot be read,
        and ReconcilerError if there is no repository, registry, folder or commit.
        """
        from reconciler.core.review import Scope
        from reconciler.events import Declared, unheard
        from reconciler.planning import declare, look_ahead, make_review

        policy_ref, report = _judging_commit(policy_ref), report or unheard
        targets = options["targets"] = tuple(options.get("targets") or ())
        with self.undisturbed():
            world = self._open(LockKind.NONE, report, base=base, ref=ref, policy_ref=policy_ref)
            with world.ahead() as expect:
                declaration = declare(world, ref)
                look_ahead(expect, declaration.desired, targets)
                revision = declaration.desired.revision
                report(Declared(revision, declaration.warnings))
                ahead = ref is None and bool(declaration.dirty)
                rules = load_rules(world, revision, base=base, ref=ref, policy_ref=policy_ref, ahead=ahead)
                whole = make_review(
                    world,
                    declaration,
                    plan_options(rules, options),
                    scope=Scope(evidence),
                    base=base,
                    ref=ref,
                    rules=rules,
                )
        return Review(whole, _key(world), declaration.warnings, () if ref is not None else declaration.dirty)

    def apply(
        self,
        reviewed: "Review | PlanDocument | Path | str | None" = None,
        *,
        yes: bool = False,
        expect_reviewed: bool = False,
        confirm: "Callable[[Plan], bool] | None" = None,
        ref: str | None = None,
        policy_ref: str | None = None,
        restore: Iterable[str] = (),
        allow_rewind: str | None = None,
        signing_key: "Path | str | Sign | None" = None,
        parallelism: int = 8,
        lock: str = "auto",
        lock_timeout: float = 180.0,
        stop: Flag | None = None,
        report: "Report | None" = None,
        **options: Unpack[Options],
    ) -> "Receipt":
        """
        Bring the registry to what a commit declares: HEAD, or `ref`. Say what was agreed to, by one of these:

        `reviewed`: a review of `plan`, a saved plan or its `Path`: applies only what it shows, and only its own commit.
        A digest, as text, stands for the same changes from any commit.
        `expect_reviewed`: what our comment shows under the change request of the commit; needs a `forge`.
        `confirm`: a function that gets the plan, and returns whether to go on.
        `yes`: whatever the plan is by then.

        Whatever was agreed to, gates are judged again by what is known now. `restore`: models to put back where
        somebody moved them by hand. `allow_rewind`: the commit that may be applied although it does not contain the
        last one. `signing_key`: SSH key that signs our records, or a function that signs. Default:
        RECONCILER_SIGNING_KEY. `parallelism`: models at a time. `lock`: `auto`, `git`, `file` or `none`.
        `lock_timeout`: seconds to wait for it. `stop`: set it to finish the models in hand and skip the rest. `report`
        gets the events, from several threads.

        What goes wrong with one model is in the receipt. What refuses everything is raised before the first write:
        ManifestError, BlockedError, StaleError, LockError. An interruption is raised as KeyboardInterrupt; pass the
        `passing_on` of a `reconciler.events.Journal` as `report` to get the receipt of what was done until then.
        """
        from reconciler.events import Declared, Journal, Opened, unheard
        from reconciler.pipeline import ApplyRequest
        from reconciler.pipeline import apply as apply_commit
        from reconciler.wiring import actor_of, new_receipt_id

        policy_ref, models, report = _judging_commit(policy_ref), frozenset(restore), report or unheard
        if not (yes or expect_reviewed or confirm is not None or reviewed is not None):
            raise ReconcilerError("No approval of the plan.", "Pass a review of `plan`, or `yes=True`.")
        if expect_reviewed and (reviewed is not None or self.forge is None):
            raise ReconcilerError(
                "The review cannot be looked up.", "Open the project with `forge`, and pass no other review."
            )
        expected = expectation(reviewed)
        if expected.options is not None and options:
            raise ReconcilerError(f"The plan has its own options: give {', '.join(options)} to `plan` instead.")
        with self.undisturbed():
            world = self._open(LockKind(lock), ref=ref or "HEAD", policy_ref=policy_ref)
            now = world.clock.now()
            journal = Journal(now, now=world.clock.now)
            report, receipt = journal.passing_on(report), new_receipt_id(now)
            at = (world.registry.uri, world.registry.workspace, _key(world))
            report(Opened(*at, receipt, actor_of(os.environ, now)))
            expected.refuse_other_place(world)
            revision = world.source.read(ref or "HEAD").revision
            report(Declared(revision))
            rules = load_rules(world, revision, ref=ref or "HEAD", policy_ref=policy_ref)
            options = Options(**options)
            options["targets"] = tuple(options.get("targets") or ()) or models
            with _signer(signing_key) as sign:
                request = ApplyRequest(
                    ref=ref,
                    options=expected.options or plan_options(rules, options),
                    reviewed=expected.reviewed,
                    confirm=confirm,
                    look_up=self._look_up(_key(world), among_several=bool(world.named)) if expect_reviewed else None,
                    rules=rules,
                    restore=models,
                    rewind_to=None if allow_rewind is None else world.source.read(allow_rewind).revision.commit,
                    sign=sign,
                    receipt=receipt,
                    parallelism=parallelism,
                    lock_timeout=lock_timeout,
                    stop=stop or Flag(),
                )
                try:
                    done = journal.completed(apply_commit(world, request, report))
                except BaseException as error:
                    if journal.begun:
                        _keep(world, journal.broken_off(error, world.clock.now()), sign, report, rules)
                    raise
                if journal.begun:
                    return replace(done, unkept=_keep(world, done, sign, report, rules))
                if done.refused and _is_news(world, done, sign, rules):
                    # Nothing was written: that nobody keeps what was refused is said, and is no failure.
                    _keep(world, done, sign, report, rules)
                return done

    def drift(self, ref: str = "HEAD", *, files: bool = False) -> "Drift":
        """
        Where the registry differs from the commit that was last applied to it, model by model. Writes nothing.

        `ref`: the commit that should be applied. `files`: also download the files of versions whose digest was
        recorded, and compare them. Raises as `plan` does.
        """
        from reconciler.planning import find_drift
        from reconciler.recalling import by_receipts

        with self.undisturbed():
            world = self._open(LockKind.NONE, ref=ref)
            with world.ahead():
                rules = load_rules(world, world.source.read(ref).revision, ref=ref)
                return find_drift(world, ref, rules, files=files, left_alone=by_receipts(world, rules))

    def status(self, models: Iterable[str] = (), *, everything: bool = False, ref: str = "HEAD") -> "Overview":
        """
        Every governed slot of these models, or of all: what is declared for it, what is in it, since when and by which
        commit, and how `drift` judges it. Writes nothing.

        `everything`: also the slots and models that nobody governs. `ref`: the commit that should be applied. Raises
        ReconcilerError for a model that is not there, and otherwise as `plan` does.
        """
        from reconciler.planning import find_overview
        from reconciler.recalling import by_receipts

        with _undisturbed():
            world = self._open(LockKind.NONE, ref=ref)
            with world.ahead():
                rules = load_rules(world, world.source.read(ref).revision, ref=ref)
                asked = by_receipts(world, rules)
                return find_overview(world, ref, rules, models, everything=everything, left_alone=asked)

    def history(
        self,
        models: Iterable[str] = (),
        *,
        slot: str | None = None,
        since: str = "",
        until: str = "",
        ref: str = "HEAD",
        receipts: Path | str | None = None,
    ) -> "History":
        """
        Every change of occupant of the slots of these models, or of all: from what to what, when, by which commit and
        apply, and what gates said; from receipts, git and the registry together. Writes nothing to the registry.

        `slot`: of this one only; of a stage, with what stands, or once stood, for it. `since`, `until`: times as RFC
        3339, a date (in UTC), or `3 days ago`. `receipts`: the folder that pruned ones were exported to. Raises
        ReconcilerError for a model of which nothing is known, for what is no time and for a folder without what was
        pruned, and otherwise as `plan` does.
        """
        from reconciler.core.history import History, turns, within

        with self.undisturbed():
            recalled, world, rules, _ = self._recalled(models, ref, receipts)
            wanted = None if slot is None else _slots_of(slot, world, rules)
            first, last = (_moment(text, world.clock.now()) if text else "" for text in (since, until))
            _refuse_backwards(first, last)
            found = (turn for past in recalled.models for turn in turns(past, wanted))
            return History(recalled, within(found, first, last), first, last)

    def as_of(
        self, when: str, models: Iterable[str] = (), *, ref: str = "HEAD", receipts: Path | str | None = None
    ) -> "AsOf":
        """
        What each slot of these models, or of all, held at a moment, on whose word, and what other sources say. `when`:
        RFC 3339, a date (its first moment, in UTC), `3 days ago`, or a commit, which stands for the end of the apply of
        which a receipt says that it applied it, or else for its committer's time. `receipts`, and what is raised: as
        for `history`.
        """
        from reconciler.core.as_of import AsOf, as_of
        from reconciler.render.words import held

        with self.undisturbed():
            recalled, world, _, applied = self._recalled(models, ref, receipts)
            at, ended, note = _moment_or_commit(when, world, applied)
            slots = [then for past in recalled.models for then in as_of(past, at, held, ended)]
            # A model that has a name now which was another one's then.
            known = {(then.model, then.slot) for then in slots if then.possible}
            slots = [then for then in slots if then.possible or (then.model, then.slot) not in known]
            slots.sort(key=lambda then: (then.model, then.slot))
            return AsOf(recalled, at, tuple(slots), (note,) if note else ())

    def changed(
        self,
        before: str,
        after: str = "now",
        models: Iterable[str] = (),
        *,
        ref: str = "HEAD",
        receipts: Path | str | None = None,
    ) -> "Between":
        """
        Which slots held something else at one moment than at another. Each is a time or a commit as for `as_of`.
        `receipts`, and what is raised: as for `history`.
        """
        from reconciler.core.as_of import Between, changed
        from reconciler.render.words import held

        with self.undisturbed():
            recalled, world, _, applied = self._recalled(models, ref, receipts)
            meant = [_moment_or_commit(text, world, applied) for text in (before, after)]
            (one, first_ended, first), (two, second_ended, second) = meant
            _refuse_backwards(one, two, first, second)
            ended = first_ended, second_ended
            pairs = tuple(pair for past in recalled.models for pair in changed(past, one, two, held, ended))
            return Between(recalled, one, two, pairs, tuple(note for note in (first, second) if note))

    def audit(self, *, ref: str = "HEAD") -> "Audit":
        """
        Whether the kept receipts are as they were written, and are all that records in the registry name. Writes
        nothing. Raises ReconcilerError if there is no repository, registry or commit.
        """
        from reconciler.recalling import audit

        with self.undisturbed():
            world = self._open(LockKind.NONE, ref=ref)
            rules = load_rules(world, world.source.read(ref).revision, ref=ref)
            return audit(world, ref, rules)

    def evidence(
        self, model: str, version: int, *, ref: str = "HEAD", signing_key: "Path | str | Sign | None" = None
    ) -> Evidence:
        """
        All that there is to show for a version: reviews, verdicts, approvals with their proofs, receipts, records, a
        model card and digests of its files, all of which are downloaded. Writes nothing. `signing_key` as for `apply`:
        it signs the list of what is in the bundle. Raises ReconcilerError for a version of which nothing is known, and
        otherwise as `plan` does.
        """
        from reconciler.bundling import make_bundle
        from reconciler.wiring import policy_reader

        with self.undisturbed(), _signer(signing_key) as sign:
            world = self._open(LockKind.NONE, ref=ref)
            rules = load_rules(world, world.source.read(ref).revision, ref=ref)
            return Evidence(make_bundle(world, ref, rules, model, version, policy_reader(world), sign))

    def push_receipts(self, *, signing_key: "Path | str | Sign | None" = None) -> int:
        """
        Push the receipts that are in this clone alone, and say how many that were. `signing_key` as for `apply`. Raises
        ReconcilerError where they cannot be pushed.
        """
        with self.undisturbed(), _signer(signing_key) as sign:
            receipts = self._open(LockKind.NONE).receipts
            return 0 if receipts is None else receipts.push(sign)

    def export_receipts(
        self,
        folder: Path | str,
        *,
        prune_before: str = "",
        signing_key: "Path | str | Sign | None" = None,
        ref: str = "HEAD",
    ) -> "Exporting":
        """
        Write each receipt that is not there yet to a file in a folder, with the keys that `ref`'s standing policy
        lists, for `audit_files`.

        `prune_before`: then take those out of the chain that were kept before this moment, written as for `as_of`; a
        beginning that is signed with `signing_key`, as for `apply`, stands in their place. Raises ReconcilerError where
        that is no time, where the folder has other receipts or cannot be written, and where pruning would hide that
        something is not as it was written.
        """
        from reconciler.core.chain import with_exported
        from reconciler.recalling import kept_chain, what_to_prune
        from reconciler.writing.exports import Exported

        exported = Exported(Path(folder))
        with self.undisturbed(), _signer(signing_key) as sign:
            world = self._open(LockKind.NONE, ref=ref)
            rules = load_rules(world, world.source.read(ref).revision, ref=ref)
            if not prune_before:
                chain = kept_chain(world, rules)
                return Exporting(exported.write(chain, rules.policy.signers), len(chain.stored))
            chain, pruning = what_to_prune(world, rules, _moment(prune_before, world.clock.now()), sign)
            new = exported.write(chain, rules.policy.signers)
            if pruning is None or world.receipts is None:
                return Exporting(new, len(chain.stored))
            # Not what was to be written, but what is there to be read, is what may be pruned.
            with_exported(replace(chain, stored=(), pruned=pruning), exported.read())
            kept = world.receipts.prune(pruning, sign)
            exported.write(replace(chain, stored=(), pruned=pruning), rules.policy.signers)
            return Exporting(new, kept, pruning)

    def _recalled(
        self, models: Iterable[str], ref: str, receipts: Path | str | None
    ) -> "tuple[Recalled, World, Rules, Callable[[Commit], Link | None]]":
        from reconciler.core.chain import with_exported
        from reconciler.recalling import applied_by, kept_chain, recall
        from reconciler.writing.exports import Exported

        exported = None if receipts is None else Exported(Path(receipts)).read()
        world = self._open(LockKind.NONE, ref=ref)
        rules = load_rules(world, world.source.read(ref).revision, ref=ref)
        chain = kept_chain(world, rules)
        chain = chain if exported is None else with_exported(chain, exported)
        return recall(world, ref, rules, chain, models), world, rules, partial(applied_by, world, rules, chain)

    def gates(
        self, model: str, version: int | None = None, *, ref: str = "HEAD", policy_ref: str | None = None
    ) -> "list[Verdict]":
        """
        What the gates before every slot of a model say to one of its versions. Writes nothing.

        `version`: its number. Default: the newest. `ref`: the commit whose manifests tighten the gates, and whose
        policy judges unless `policy_ref` names another. There is no change under review, so approvals are unknown.
        Raises ReconcilerError if there is no such model or version, and otherwise as `plan` does.
        """
        return list(self.judged(model, version, ref=ref, policy_ref=policy_ref)[1])

    def judged(
        self, model: str, version: int | None = None, *, ref: str = "HEAD", policy_ref: str | None = None
    ) -> "tuple[Version, tuple[Verdict, ...]]":
        """The same, and which version it is about."""
        from reconciler.core.names import ModelRef, Version
        from reconciler.planning import declare, judge_version

        policy_ref, wanted = _commit_named(policy_ref), None if version is None else Version(version)
        with self.undisturbed():
            world = self._open(LockKind.NONE, ref=ref, policy_ref=policy_ref)
            desired = declare(world, ref).desired
            rules = load_rules(world, desired.revision, ref=policy_ref or ref, policy_ref=policy_ref, ahead=True)
            return judge_version(world, desired, ModelRef(model), wanted, rules)

    def adopt(
        self,
        models: Iterable[str] = (),
        *,
        match: str | None = None,
        everything: bool = False,
        split: str = "model",
        owners: Iterable[tuple[str, Iterable[str]]] = (),
        tags: bool = False,
        descriptions: bool = False,
    ) -> "Adopted":
        """
        The manifests that declare models as the registry has them, to `write()` into the work tree. A plan with them
        claims the models and moves nothing. What is declared already stays as it is; what differs is a remark.

        `models`, `match`, `everything`: which models, by their names, by a pattern such as `risk-*`, or all of them.
        `split`: `model` for one file a model, `slot` for one file a stage, as CODEOWNERS needs. `owners`: pairs of a
        pattern and who owns what it matches; the last one that matches counts. `owner_patterns` reads them from a file.
        `tags`, `descriptions`: declare these too.

        Raises ReconcilerError where no model is named or one does not exist, and otherwise as `plan` does.
        """
        from reconciler import adopting
        from reconciler.core.adoption import Adopt
        from reconciler.reading.owners import checked_owners
        from reconciler.wiring import top_of
        from reconciler.writing.layout import Split

        selection = adopting.Selection(tuple(models), match, everything)
        patterns = checked_owners(owners)
        with self.undisturbed():
            world = self._open(LockKind.NONE)
            checkout, declaration = adopting.read_declared(world)
            rules = load_rules(world, checkout.revision, ahead=bool(checkout.dirty))
            options = Adopt(tags, descriptions, patterns)
            return adopting.adopt(world, top_of(world), checkout, declaration, rules, selection, options, Split(split))

    def begin(self, model: str, version: int | None = None, owner: str | None = None) -> "First":
        """
        What `reconciler.scaffold` is to declare first: a model as the registry holds it, with a file for each stage.
        `version` is what is in Production. Where no registry is named, or it does not answer, what was passed, and why
        it was not compared. Raises ReconcilerError for a model or a version that is not there, one that Production does
        not hold, and otherwise as `plan` does.
        """
        from reconciler import adopting
        from reconciler.core.names import ModelRef, Version
        from reconciler.ports import UNREACHABLE
        from reconciler.scaffold import First, refuse_first
        from reconciler.wiring import top_of

        first, wanted = First(model, version, owner), None if version is None else Version(version)
        refuse_first(first)
        with self.undisturbed():
            try:
                world = self._open(LockKind.NONE)
                rules = load_rules(world, world.source.read(None).revision, ahead=True)
                owners = () if owner is None else (owner,)
                begun = adopting.begin(world, top_of(world), rules, ModelRef(model), wanted, owners)
            except NoRegistryError:
                return replace(first, uncompared="no registry is named")
            except RegistryError as error:
                if error.code != UNREACHABLE:
                    raise
                return replace(first, uncompared=error.message.rstrip("."))
        return replace(first, new=begun.new, declared=begun.declared, remarks=begun.remarks)

    def check(
        self,
        model: str,
        version: int,
        names: Iterable[str] = (),
        *,
        base: str | None = None,
        policy_ref: str | None = None,
        sign: str = "none",
        signing_key: Path | None = None,
        record: bool = True,
        report: "CheckReport | None" = None,
    ) -> "tuple[CheckResult, ...]":
        """
        Run the policy's checks on a version, and record on it what they found.

        `names`: only these checks. `base`: take the policy from where the change left this branch. `sign`: `none`,
        `hmac` or `ssh`. `record`: False to write nothing. This is the only call that runs code of a model, and it runs
        none where that code could reach a credential. Raises ReconcilerError if there is no such check, version or key.
        """
        from reconciler.checking import check_version
        from reconciler.core.names import ModelRef, Version
        from reconciler.planning import refuse_unknown
        from reconciler.ports import Wanted
        from reconciler.wiring import signer_of, trusted_files

        policy_ref = _commit_named(policy_ref)
        signer = signer_of(SignKind(sign), signing_key, os.environ)
        with self.undisturbed():
            ref = None if base else "HEAD"
            world = self._open(LockKind.NONE, base=base, ref=ref, policy_ref=policy_ref)
            policy = _policy_of_checks(world, base=base, policy_ref=policy_ref)
            if world.benches is None:
                raise ReconcilerError("This registry has no model files.")
            wanted = Wanted({ModelRef(model): frozenset({Version(version)})})
            live = world.registry.snapshot(wanted).models.get(ModelRef(model))
            refuse_unknown(world, ModelRef(model), live, Version(version))
            with trusted_files(world, policy.commit) as tree:
                return check_version(
                    world.benches,
                    world.clock,
                    ModelRef(model),
                    Version(version),
                    policy,
                    tree,
                    names,
                    sign=signer,
                    tool=f"reconciler {__version__}",
                    write=record,
                    report=report or _unheard_check,
                    secret_files=[] if signing_key is None else [str(signing_key)],
                )

    def promote(
        self,
        model: str,
        version: int | None = None,
        *,
        to: str = "Production",
        source: str | None = None,
        run_id: str | None = None,
        latest: bool = False,
        instead: int | None = None,
        beside: bool = False,
        comment: str | None = None,
    ) -> "Proposal":
        """
        The change of manifests by which a slot (a stage, or `@alias`) holds a version: `version`, or the one that is in
        the slot `source` now, the one that came from the run `run_id`, or the `latest`. It takes the place of what is
        declared there; of several, of `instead`, or of none of them if `beside`. Writes nothing. Raises
        ReconcilerError for a model, version or slot that is not there, one that a hold keeps out, and a file that only
        a person can change safely.
        """
        from reconciler.core.names import Version
        from reconciler.core.proposal import Choice, refuse_unless_one
        from reconciler.proposing import promotion

        with self.undisturbed():
            refuse_unless_one(version, source, run_id, latest=latest)
        number, leaving = (None if one is None else Version(one) for one in (version, instead))

        def step(start: "Setting", now: str) -> "Step":
            choice = Choice(number, None if source is None else slot_of(source, start.slots), run_id, latest)
            slot = slot_of(to, start.slots)
            return promotion(start, choice, slot, now, instead=leaving, beside=beside, comment=comment)

        return self._propose(model, step)

    def demote(
        self,
        model: str,
        version: int | None = None,
        *,
        source: str = "Production",
        to: str | None = None,
        comment: str | None = None,
    ) -> "Proposal":
        """
        The change by which a version leaves the stage `source`, for the stage `to` or for Archived; the stage stays
        governed. Raises as `promote` does.
        """
        from reconciler.core.names import Version
        from reconciler.proposing import demotion

        leaving = None if version is None else Version(version)

        def step(start: "Setting", now: str) -> "Step":
            there = _stage_of(source, model, start.slots)
            then = None if to is None else _stage_of(to, model, start.slots)
            return demotion(start, leaving, there, then, now, comment)

        return self._propose(model, step)

    def alias(
        self,
        model: str,
        alias: str,
        version: int | None = None,
        *,
        source: str | None = None,
        run_id: str | None = None,
        latest: bool = False,
        comment: str | None = None,
    ) -> "Proposal":
        """The change by which an alias names a version, which is chosen as for `promote`. Raises as that does."""
        slot = f"@{alias.removeprefix('@')}"
        return self.promote(model, version, to=slot, source=source, run_id=run_id, latest=latest, comment=comment)

    def unname(self, model: str, alias: str) -> "Proposal":
        """The change by which an alias must not exist. Raises as `promote` does."""
        from reconciler.core.names import AliasName
        from reconciler.proposing import unnaming

        return self._propose(model, lambda start, _: unnaming(start, AliasName(alias.removeprefix("@"))))

    def rollback(
        self, model: str, *, to: str = "Production", version: int | None = None, comment: str | None = None
    ) -> "Proposal":
        """
        The change by which a slot holds again what it was declared to hold before: the newest version that is still
        there and that no hold keeps out, or `version`. Raises as `promote` does.
        """
        from reconciler.core.names import Version
        from reconciler.proposing import return_to

        wanted = None if version is None else Version(version)

        def step(start: "Setting", now: str) -> "Step":
            return return_to(start, slot_of(to, start.slots), now, wanted, comment)

        return self._propose(model, step, whole=True)

    def keep(self, models: Iterable[str] = ()) -> "Proposal | None":
        """
        The change by which what drifted is declared as it is now, of these models or of all; None where nothing
        drifted. Raises ReconcilerError where a model that is named did not drift, and where no manifest can declare
        what it did; otherwise as `promote` does.
        """
        from reconciler.core.drift import DriftStatus
        from reconciler.core.plan import Verb
        from reconciler.proposing import keeping, setting

        chosen = set(models)
        found = [model for model in self.drift().models if model.status is DriftStatus.DRIFTED]
        if missing := sorted(chosen - {model.model for model in found}):
            raise ReconcilerError(f"{plain(missing[0])} did not drift.", "See `reconciler status`.")
        found = [model for model in found if not chosen or model.model in chosen]

        def steps(world: "World", declaration: "Declaration", rules: "Rules") -> "list[tuple[Setting, Step]]":
            pairs: list[tuple[Setting, Step]] = []
            for model in found:
                if model.blockers or any(effect.verb is Verb.CREATE for effect in model.drifted):
                    continue  # it was deleted or renamed
                start = setting(world, declaration, model.model, rules)
                if (step := keeping(start, model, world.clock.now())) is not None:
                    pairs.append((start, step))
            if not pairs:
                raise ReconcilerError(
                    f"No manifest can declare what drifted of {plain(found[0].model)}.", "See `reconciler drift`."
                )
            return pairs

        return self._proposed(steps) if found else None

    def _propose(self, model: str, step: "Callable[[Setting, str], Step]", *, whole: bool = False) -> "Proposal":
        from reconciler.core.names import ModelRef
        from reconciler.proposing import setting

        def steps(world: "World", declaration: "Declaration", rules: "Rules") -> "list[tuple[Setting, Step]]":
            start = setting(world, declaration, ModelRef(model), rules, whole=whole)
            return [(start, step(start, world.clock.now()))]

        return self._proposed(steps)

    def _proposed(self, steps: "Callable[[World, Declaration, Rules], list[tuple[Setting, Step]]]") -> "Proposal":
        from reconciler.core.proposal import with_aliases
        from reconciler.git.source import GitSource
        from reconciler.planning import declare, declared_in
        from reconciler.proposing import changed_files, homes_of, propose
        from reconciler.writing.layout import SCHEMA, home_of, schema_of
        from reconciler.writing.manifest import rewritten

        with self.undisturbed():
            world = self._open(LockKind.NONE)
            if not isinstance(world.source, GitSource):
                raise ReconcilerError("Manifests can only be changed in a git repository.")
            checkout = world.source.read(None)
            declaration = declared_in(world, checkout)
            rules = load_rules(world, declaration.desired.revision, ahead=bool(declaration.dirty))
            pairs = [
                (start, replace(step, after=with_aliases(step.after, world.slots)))
                for start, step in steps(world, declaration, rules)
            ]
            homes, paths = homes_of(world, checkout.files), [file.path for file in checkout.files]
            files, folder = {file.path: file for file in checkout.files}, str(world.source.folder)
            schema = schema_of(checkout.files, world.source.file(None, SCHEMA) is not None)
            changed: dict[str, SourceFile] = {}
            for _, step in pairs:
                name = step.after.name
                for file in changed_files(
                    files.values(),
                    declaration.desired.models.get(name),
                    step,
                    lambda files, after, place: rewritten(files, after, world.parse, place, schema),
                    lambda slot, name=name: home_of(slot, name, homes.get(name, []), paths, folder),
                ):
                    files[file.path] = changed[file.path] = file
            # As if it were written: whatever reads the work tree from here on sees the change.
            drafted = replace(world, source=replace(world.source, drafts=tuple(changed.values())))
            after = declare(drafted, None)
            rules = load_rules(drafted, after.desired.revision, ahead=True)
            options = plan_options(rules, Options(targets=[step.after.name for _, step in pairs]))
            before = {file.path: file.data for file in checkout.files}
            whole = propose(drafted, after, pairs, tuple(changed.values()), before, options, rules)
        return Proposal(whole, Review(whole.review, _key(world)), world.source, declaration.dirty, world.named)

    def governed(self) -> "Governed":
        """Which slots HEAD declares, and so governs. Raises as `plan` does."""
        from reconciler.core.access import governed
        from reconciler.planning import declare

        with self.undisturbed():
            return governed(declare(self._open(LockKind.NONE), "HEAD").desired)

    def _open(
        self,
        lock: LockKind,
        report: "Report | None" = None,
        *,
        base: str | None = None,
        ref: str | None = None,
        policy_ref: str | None = None,
    ) -> "World":
        from reconciler.events import Opened

        world = self.opener(lock, base=base, ref=ref, policy_ref=policy_ref)
        if report is not None:
            report(Opened(world.registry.uri, world.registry.workspace, _key(world)))
        return world

    def _look_up(self, key: str, *, among_several: bool) -> "Callable[[Commit], Reviewed | None]":
        """What our comment says under the change request that a commit came from, be it about several registries."""
        from reconciler.pipeline import Reviewed
        from reconciler.render import several
        from reconciler.render.marker import read_marker

        def look_up(commit: "Commit") -> Reviewed | None:
            body = None if self.forge is None else self.forge.reviewed(commit, key)
            if body is None and self.forge is not None and among_several:
                whole = self.forge.reviewed(commit, several.KEY)
                body = None if whole is None else several.part_of(whole, key)
            marker = None if body is None else read_marker(body)
            return marker and Reviewed(marker.digest, any_commit=True, models=marker.models)

        return look_up


@dataclass(frozen=True, slots=True)
class Exporting:
    """How many receipts were written to files, how many the chain has then, and what was pruned of it, if anything."""

    exported: int
    kept: int
    pruned: "Pruning | None" = None


def owner_patterns(everywhere: Iterable[str] = (), file: Path | None = None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """
    Who owns which models, for `Project.adopt`: `everywhere` own all of them, but where the file names others. Its lines
    are `GLOB OWNER...`, with comments behind `#`. Raises ManifestError with every line that is wrong.
    """
    from reconciler.reading.owners import owners_in

    owners = tuple(everywhere)
    return (*([("*", owners)] if owners else []), *(owners_in(file) if file is not None else ()))


def access(
    registry: str | None = None,
    identity: str | None = None,
    *,
    named: str = "",
    ending: Callable[[], None] = lambda: None,
) -> "Access":
    """
    Who can write to a registry, and with `identity` (`person`, `plan`, `check`, `apply`) the proof that the user in
    RECONCILER_ACCESS_USERNAME and RECONCILER_ACCESS_PASSWORD can do no more; `ending` is called before scratch models
    are removed. The registry's address is never the policy's; of several registries, `named` is the one whose variables
    say it. Raises ReconcilerError where no address is given.
    """
    from reconciler.core.access import Access, Identity
    from reconciler.places import registry_uri_given
    from reconciler.wiring import Settings, checked_user, registry_access, surroundings_of

    with _undisturbed():
        seen = surroundings_of(Settings(named=named), os.environ)
        asked = registry_access(registry_uri_given(registry, seen))
        server, proof = asked.server(), None
        if identity is not None:
            proof = asked.prove(server, Identity(identity), checked_user(os.environ), ending)
    return Access(server, None, proof)


def audit_files(folder: Path | str, *, signers: Path | str | None = None) -> "Audit":
    """
    Whether the receipts in a folder, which `Project.export_receipts` wrote, are as they were written. `signers`: the
    file of keys whose signatures count. Default: the one that the policy at HEAD of the repository here names. Needs
    no registry. Raises ReconcilerError where there are no receipts.
    """
    from reconciler.recalling import audit_chain
    from reconciler.wiring import record_seals
    from reconciler.writing.exports import Exported

    text = _signers_around() if signers is None else _text_of(Path(signers))
    return audit_chain(Exported(Path(folder)).read(), record_seals(), text)


def saved_plan(path: Path) -> "PlanDocument":
    """A plan that `plan --out` or `Review.to_json` saved. Raises ReconcilerError for anything else."""
    from reconciler.reading.plan import read

    return read(path)


def load_rules(
    world: "World",
    revision: "Revision",
    *,
    base: str | None = None,
    ref: str | None = None,
    policy_ref: str | None = None,
    ahead: bool = False,
) -> "Rules":
    """
    The rules that judge a revision, as `planning.read_rules` gives them. `ahead` says that what is judged comes after
    it. Raises ManifestError for a wrong policy.
    """
    from reconciler.planning import open_trunk, read_rules, standing_commit
    from reconciler.wiring import policy_reader

    policy_at = policy_reader(world, lambda: standing_commit(world.source, base=base, ref=ref, policy_ref=policy_ref))
    trunk = open_trunk(world, policy_at, revision, base=base, ahead=ahead, policy_ref=policy_ref)
    return read_rules(trunk, policy_at, ref=ref)


def plan_options(rules: "Rules", options: Options) -> "PlanOptions":
    """What a plan is made with: what was asked for, within the limits of the standing policy."""
    from reconciler.core.plan import Limits, PlanOptions

    asked, policy, usual = options.get("max_change_percent"), rules.policy.settings, Limits()
    percent = policy.max_change_percent if asked is None else asked
    return PlanOptions(
        targets=tuple(sorted(set(options.get("targets", ())))),
        adopt=options.get("adopt", False),
        force=options.get("force", False),
        allow_empty=options.get("allow_empty", False),
        limits=Limits(
            share=usual.share if percent is None else percent / 100,
            models=usual.models if policy.max_change_models is None else policy.max_change_models,
        ),
    )


@dataclass(frozen=True, slots=True)
class Expectation:
    """What was reviewed: its digests, the options that it was made with, and the registry and workspace it is for."""

    reviewed: "Reviewed | None" = None
    options: "PlanOptions | None" = None
    place: tuple[str, str] | None = None

    def refuse_other_place(self, world: "World") -> None:
        from reconciler.render.words import registry

        here = (world.registry.uri, world.registry.workspace)
        if self.place is not None and self.place != here:
            raise ReconcilerError(
                f"The plan is for the registry {registry(*self.place)}, and this is {registry(*here)}.",
                "Plan again for this registry, or name that one, and its workspace in MLFLOW_WORKSPACE.",
            )


def expectation(reviewed: "Review | PlanDocument | Path | str | None") -> Expectation:
    from reconciler.core.names import Commit
    from reconciler.pipeline import Reviewed

    if reviewed is None:
        return Expectation()
    if isinstance(reviewed, str):
        if not is_digest(reviewed):
            raise ReconcilerError(
                f"`{plain(reviewed)}` is not the digest of a plan, which has 64 hexadecimal digits.",
                "Give the path of a saved plan as a `Path`.",
            )
        return Expectation(Reviewed(reviewed, any_commit=True))
    if isinstance(reviewed, Review):
        plan, whole = reviewed.plan, reviewed.whole
        seen = Reviewed(plan.digest, plan.revision.commit, models=plan.model_digests)
        return Expectation(seen, plan.options, (whole.registry, whole.workspace))
    document = saved_plan(reviewed) if isinstance(reviewed, Path) else reviewed
    origin = document["computed_from"]
    commit = None if origin["commit"] is None else Commit(origin["commit"])
    seen = Reviewed(document["digest"], commit, models=frozenset(document.get("model_digests", ())))
    return Expectation(seen, _options_of(document), (origin["registry"], origin.get("workspace", "")))


def _options_of(document: "PlanDocument") -> "PlanOptions":
    """The options that a saved plan was made with."""
    from reconciler.core.plan import Limits, PlanOptions

    options = document["options"]
    return PlanOptions(
        targets=tuple(options["targets"]),
        adopt=options["adopt"],
        force=options["force"],
        allow_empty=options["allow_empty"],
        limits=Limits(options["max_change_share"], options["max_change_models"]),
    )


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of a plan."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _policy_of_checks(world: "World", *, base: str | None, policy_ref: str | None) -> "Policy":
    """Whose checks are run: those of the commit that is named, of where the change left its base, or of HEAD."""
    from reconciler.core.policy import Policy
    from reconciler.planning import standing_commit
    from reconciler.wiring import policy_reader

    named = standing_commit(world.source, base=base, ref=None, policy_ref=policy_ref or (None if base else "HEAD"))
    commit = world.source.read(named).revision.commit
    return replace(policy_reader(world)(commit) or Policy(), commit=commit)


def _commit_named(ref: str | None) -> str | None:
    """A commit; none for the zeros that forges name as the one before the first push of a branch."""
    return None if not ref or set(ref) == {"0"} else ref


def _judging_commit(policy_ref: str | None) -> str | None:
    """The commit whose policy judges too, by what was passed or by the job's environment."""
    return _commit_named(policy_ref or os.environ.get("RECONCILER_POLICY_REF"))


def _key(world: "World") -> str:
    """What tells our comments about this folder of manifests and this registry from others of ours."""
    from reconciler.core.names import in_workspace
    from reconciler.render.marker import comment_key

    return comment_key(world.source.identity, in_workspace(world.registry.uri, world.registry.workspace))


@contextmanager
def _signer(key: "Path | str | Sign | None") -> "Generator[Sign | None]":
    from reconciler.wiring import record_signer

    if callable(key):
        yield key
        return
    with record_signer(None if key is None else Path(key), os.environ) as sign:
        yield sign


def _keep(world: "World", receipt: "Receipt", sign: "Sign | None", report: "Report", rules: "Rules") -> str:
    """Keep a receipt where receipts stay; why it could not be, and empty where it is."""
    from reconciler.core.chain import Link
    from reconciler.events import Noticed
    from reconciler.recalling import doubtful
    from reconciler.render.json import receipt_document

    receipts = world.receipts
    if receipts is None:
        return ""
    link = Link(receipt.id, world.clock.now(), receipt_document(receipt))
    kept = contained(lambda: receipts.append(link, sign))
    if isinstance(kept, Failure):
        why = f"The receipt {receipt.id} could not be kept: {kept.why}"
        report(Noticed(why))
        return why
    doubt = contained(lambda: doubtful(world, rules, kept.behind))
    if doubt:
        report(Noticed(doubt.why if isinstance(doubt, Failure) else doubt))
    if not kept.alone:
        return ""
    why = (
        f"The receipt {receipt.id} was not pushed: {kept.alone} It is in this clone alone: run `reconciler audit "
        "--push` there before it is removed."
    )
    report(Noticed(why))
    return "" if receipts.local else why


def _is_news(world: "World", receipt: "Receipt", sign: "Sign | None", rules: "Rules") -> bool:
    """
    Whether no receipt that counts says already that this commit was refused for this: an apply that is run again and
    again leaves one.
    """
    from reconciler.core.chain import Link
    from reconciler.recalling import is_refused_in, kept_chain
    from reconciler.render.json import receipt_document

    if world.receipts is None:
        return False
    link = Link(receipt.id, "", receipt_document(receipt))
    told = contained(lambda: is_refused_in(world, rules, kept_chain(world, rules), link, signs=sign is not None))
    return isinstance(told, Failure) or not told


def _moment(text: str, now: str) -> str:
    """The moment that somebody names, as RFC 3339 in UTC. Raises ReconcilerError where that is none, or to come."""
    from reconciler.core.moments import moment, moment_meant, rfc3339

    named, today = moment_meant(text, now), moment(now)
    if named is None and moment_meant(f"{text.strip()}Z", now) is not None:
        raise ReconcilerError(
            f"`{plain(text, 80)}` is no time without its zone: it could be two moments.",
            f"Write `{plain(text.strip(), 80)}Z` for UTC, or end it with another zone, as in `+01:00`.",
        )
    if named is None:
        raise ReconcilerError(
            f"`{plain(text, 80)}` is no time.",
            "Write `2026-03-03T10:00:00Z` or `2026-03-03T10:00+01:00`, a date (in UTC), `yesterday`, or `3 days ago`.",
        )
    if today is not None and named > today:
        raise ReconcilerError(f"`{plain(text, 80)}` is to come: it is {now} now.", "Name a time that is over.")
    return rfc3339(named)


def _refuse_backwards(first: str, last: str, *notes: str) -> None:
    """Raise ReconcilerError where a moment is after another one, with what is noted of how they were found."""
    if first and last and first > last:
        told = [f"The first time, {first}, is after the second one, {last}.", *filter(None, notes)]
        raise ReconcilerError(" ".join(told), "Swap them, or name times." if told[1:] else "Swap them.")


def _moment_or_commit(text: str, world: "World", applied: "Callable[[Commit], Link | None]") -> tuple[str, str, str]:
    """
    The same, or the moment that a commit stands for, with the receipt of the apply whose end that is, if it is one, and
    a sentence that says which. Raises ReconcilerError for what is neither.
    """
    from reconciler.core.moments import moment_meant, moment_of, rfc3339

    now = world.clock.now()
    found = contained(lambda: world.source.read(text).revision.commit) if text.strip() else None
    if moment_meant(text, now) is not None or found is None or isinstance(found, Failure):
        return _moment(text, now), "", ""
    link = applied(found)
    if link is not None:
        at = str(link.receipt.get("finished_at"))
        note = f"{plain(text, 80)} stands for the end of the apply that applied it, {at}: receipt {link.id}."
        return at, link.id, note
    described = world.source.described([found]).get(found)
    when = None if described is None else moment_of(described.time * 1000)
    at = _moment(text, now) if when is None else rfc3339(when)
    return at, "", f"{plain(text, 80)} stands for its committer's time, {at}: no receipt says when it was applied."


def _unheard_check(_event: "CheckEvent") -> None:
    """A report to nobody."""


_PARAMETERS = {
    "from": "source",
    "run": "run_id",
    "instead-of": "instead",
    "all": "everything",
    "check": "names",
    "no-lock": 'lock="none"',
    "lock file": 'lock="file"',
    "registry-uri": "registry",
    "registry": "named",
    "publish": "forge",
    "expect-digest": "reviewed",
    "target": "targets",
    **{
        name: name.replace("-", "_")
        for name in (
            *("adopt", "allow-empty", "allow-rewind", "base", "beside", "comment", "expect-reviewed", "files", "force"),
            *("latest", "lock", "lock-timeout", "manifests", "match", "max-change-percent", "policy-ref", "ref"),
            *("remote", "repository", "restore", "sign", "signing-key", "split", "to", "version", "yes"),
        )
    },
}
"""Options of commands and the parameters that are the same."""

_NAMED = rf"--({'|'.join(sorted(_PARAMETERS, reverse=True))})(?![\w-])"
_OPTION = re.compile(
    rf"(`reconciler [^`]*`|git [a-z]+ [^.;]*)|`{_NAMED}[^`]*`|{_NAMED}(?: (?:[A-Z]{{2,}}|[0-9a-f]{{12}})\b)?"
)


def in_python(text: str) -> str:
    """What is to be done, with parameters for options. What leads to a command stays as it is."""
    return _OPTION.sub(lambda found: found[1] or f"`{_PARAMETERS[found[2] or found[3]]}`", text)


@contextmanager
def _undisturbed() -> Generator[None]:
    """
    Leaves as they were what MLflow's client is told through the environment, how loud its loggers are, and where Python
    looks for garbage.
    """
    from reconciler.evidence.mlflow import DEFAULTS
    from reconciler.registry.mlflow import HTTP_DEFAULTS, thaw, unhush
    from reconciler.surroundings import SURROUNDINGS

    SURROUNDINGS.enter((*HTTP_DEFAULTS, *DEFAULTS))
    try:
        yield
    finally:
        if SURROUNDINGS.leave():
            unhush()
            thaw()
