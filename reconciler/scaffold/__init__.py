"""
What `reconciler init` puts into a git repository: first manifests, schemas for editors, the jobs of its forge and what
they install, who has to review what, a key for signed records, and a hook for pre-commit. The texts that are longer
than a few lines lie beside this file.
"""

import difflib
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.core.names import model_name_fault
from reconciler.core.text import clean
from reconciler.errors import ManifestError, Problem, ReconcilerError
from reconciler.forges.kinds import ForgeKind, host_of, kind_of_repository
from reconciler.git.refs import default_branch
from reconciler.ports import SourceFile
from reconciler.scaffold.installation import install_source, is_local
from reconciler.scaffold.keys import key_path, names_a_key, signer_line
from reconciler.writing.codeowners import OWNER
from reconciler.writing.edit import flow
from reconciler.writing.files import is_there, write_files
from reconciler.writing.layout import file_stem, modeline

if TYPE_CHECKING:
    from reconciler.git.runner import Git


@dataclass(frozen=True, slots=True)
class First:
    """
    What the first manifests declare. Without a model they are an example that declares nothing. Where its registry was
    asked, `new` are the files that declare what it holds, `declared` are those that declare the model already, and
    `remarks` are what to look at; else `uncompared` is why it was not.
    """

    model: str | None = None
    version: int | None = None
    owner: str | None = None
    new: tuple[SourceFile, ...] = ()
    declared: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    uncompared: str = ""


@dataclass(frozen=True, slots=True)
class Jobs:
    """
    How the jobs are to be: of which forge, where the plan's workflow is taken from, and what they install, where the
    running installation does not tell. None where the repository says it.
    """

    forge: ForgeKind | None = None
    plan_from_base: bool | None = None
    install_from: str | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """One file, named from the top of the repository. `by_hand` is what to do about one that was there and was kept."""

    path: str
    kept: bool = False
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was done, and what is left to do. `key` is a private key that is to leave this machine."""

    top: Path
    forge: ForgeKind
    laid: tuple[Laid, ...]
    next_steps: tuple[str, ...]
    key: Path | None = None


class Renewal(StrEnum):
    """What became of one file in an update."""

    CURRENT = "current"
    WRITTEN = "written"
    CHANGED = "changed by hand"
    REMOVED = "removed by hand"


@dataclass(frozen=True, slots=True)
class Renewed:
    """One file in an update, and the unified diff to what this release writes."""

    path: str
    renewal: Renewal
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """
    A file to be written where there is none. Where there is one, what to do is `by_hand`, unless it holds `mark`
    already; then each of `more` is a mark and what to do where that is missing. `instead` are other places that would
    do. One that is `ours` an update writes anew.
    """

    path: str
    text: str
    by_hand: str
    mark: str = ""
    instead: tuple[str, ...] = ()
    ours: bool = False
    more: tuple[tuple[str, str], ...] = ()


POLICY = "reconciler.yaml"
SIGNERS = ".reconciler/allowed_signers"
RECORD = ".reconciler/init.json"


def scaffold(
    start: Path, first: First = First(), jobs: Jobs = Jobs(), remote: str = "origin", *, signing_key: bool = True
) -> Scaffold:
    """
    Write what is missing into the repository around `start`, all of it or nothing. What is there is kept as it is.
    Without a forge, the remote's address says which one it is. Raises ReconcilerError where there is no repository, for
    a name that cannot be, where nobody knows what the jobs are to install, and where a file can not be written or would
    be written through a link.
    """
    refuse_first(first)
    repo = _repository(start)
    top = repo.top
    kind = jobs.forge or kind_of_repository(host_of(repo.url(remote)), top)
    git_directory = Path(repo.read("rev-parse", "--path-format=absolute", "--git-common-dir").text)
    wanted = (
        *_manifests(top, first),
        *_checks(top),
        *_jobs(top, kind, default_branch(repo, remote), jobs, anew=False),
        *_owners(top, kind, first),
        *(_signers(top, git_directory) if signing_key else ()),
    )
    laid: list[Laid] = []
    missing: list[_File] = []
    for file in wanted:
        there = next((path for path in (file.path, *file.instead) if is_there(top, path)), None)
        if there is None:
            missing.append(file)
            laid.append(Laid(file.path))
        else:
            laid.append(Laid(there, kept=True, by_hand=_left_to_do(top / there, file)))
    _prove(top, missing)
    record = list(_record(top, missing))
    laid.extend(Laid(file.path) for file in record)
    write_files(top, _sources(*missing, *record))
    key = key_path(git_directory)
    source = next((file.text for file in missing if file.path.endswith("reconciler.source")), "")
    return Scaffold(top, kind, tuple(laid), _next_steps(kind, source), key if key.exists() else None)


def update(
    start: Path, jobs: Jobs = Jobs(), remote: str = "origin", *, overwrite: bool = False, write: bool = True
) -> tuple[Renewed, ...]:
    """
    Write anew what `scaffold` wrote, as this release writes it: jobs, what they install, and schemas. A file that is
    not as it was written is left as it is, unless `overwrite` says otherwise; one that was removed stays removed. All
    of it is written, or nothing. Raises ReconcilerError as `scaffold` does. Without `write`, what would be done, with
    what jobs install of reconciler itself left as it is.
    """
    repo = _repository(start)
    top = repo.top
    kind = jobs.forge or kind_of_repository(host_of(repo.url(remote)), top)
    recorded = _recorded(top)
    renewed: list[Renewed] = []
    changed: list[_File] = []
    for file in (*_checks(top), *_jobs(top, kind, default_branch(repo, remote), jobs, anew=write)):
        if not file.ours:
            continue
        there = is_there(top, file.path)
        text = _text(top / file.path) if there else ""
        if not there and file.path in recorded and not overwrite:
            renewal = Renewal.REMOVED
        elif there and text == file.text:
            renewal = Renewal.CURRENT
        elif there and recorded.get(file.path) != _digest(text) and not overwrite:
            renewal = Renewal.CHANGED
        else:
            renewal = Renewal.WRITTEN
            changed.append(file)
        renewed.append(Renewed(file.path, renewal, _diff(file.path, text, file.text) if there else ()))
    if write:
        write_files(top, _sources(*changed, *_record(top, changed)))
    return tuple(renewed)


def _sources(*files: _File) -> Iterator[SourceFile]:
    return (SourceFile(file.path, file.text.encode()) for file in files)


def _diff(path: str, before: str, after: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    return tuple(lines)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded(top: Path) -> dict[str, str]:
    """The digests of the files as they were written. A record that says nothing makes every file one of somebody's."""
    if not is_there(top, RECORD):
        return {}
    try:
        record: object = json.loads(_text(top / RECORD))
    except ValueError:
        return {}
    files = record.get("files") if isinstance(record, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # JSON
    return {str(path): str(digest) for path, digest in files.items()} if isinstance(files, dict) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]  # JSON


def _record(top: Path, written: Iterable[_File]) -> Iterator[_File]:
    """The record of what was written, with that which is about to be."""
    before = _recorded(top)
    after = {**before, **{file.path: _digest(file.text) for file in written if file.ours}}
    if after != before:
        about = "What reconciler init wrote, so that an update knows what somebody changed since."
        yield _File(RECORD, json.dumps({"about": about, "files": after}, indent=2, sort_keys=True) + "\n", "")


def refuse_first(first: First) -> None:
    """Raises ReconcilerError for a name, a version or an owner that cannot be."""
    if first.model is not None:
        fault = model_name_fault(first.model)
        if not fault and any(unicodedata.category(c) in {"Cs", "Cn"} for c in first.model):
            fault = "a model name is text, but this one contains bytes that are not"
        if fault:
            raise ReconcilerError(
                f"{clean(first.model)!r} cannot be declared: {fault}.", "Give the name in the registry."
            )
    if first.version is not None and (first.model is None or first.version < 1):
        raise ReconcilerError("A version is a positive number of a model.", "Give --model NAME --version N.")
    if first.owner is not None and not OWNER.fullmatch(first.owner):
        raise ReconcilerError(
            f"{clean(first.owner)!r} is not a valid owner.", "Give a user, a team or an address: @ada, @acme/risk-ml."
        )


def _repository(start: Path) -> "Git":
    from reconciler.git.runner import open_git
    from reconciler.reading.repository import top_above

    top = top_above(start)
    if top is None:
        raise ReconcilerError(f"{start.absolute()} is not in a git repository.", "Run `git init` first.")
    return open_git(top)


def _manifests(top: Path, first: First) -> Iterator[_File]:
    if first.new or first.declared:
        files = ((path, _text(top / path)) for path in first.declared)
        for path, text in (*files, *((file.path, file.data.decode()) for file in first.new)):
            yield _File(path, text, "")
        return
    if first.model is None and any((top / "manifests").rglob("*.y*ml")):
        return  # An example is of no use to somebody who has manifests.
    folder = "example" if first.model is None else file_stem(first.model)
    model = "# model: RiskClassifier" if first.model is None else f"model: {flow(first.model)}"
    owners = f"owners: [{json.dumps(first.owner)}]\n" if first.model and first.owner else ""
    mark = "" if first.version else "# "
    version = first.version or 1
    by_hand = f"Declare it there: {model.removeprefix('# ')}"
    disagrees = (
        f"It does not declare v{version} in Production. To promote it, change the line there "
        "and have the change reviewed."
    )
    more = [
        *([(f"\n  Production: {version}\n", disagrees)] if first.version else []),
        *([(first.owner, f"Add to its owners: {first.owner}")] if owners and first.owner else []),
    ]
    yield _File(
        f"manifests/{folder}/production.yaml",
        f"{modeline(f'manifests/{folder}/production.yaml')}"
        f"# The version in Production, in a separate file, so CODEOWNERS can require the model's owners.\n"
        f"{model}\n"
        f"{owners}"
        f"{mark}stages:\n"
        f"{mark}  Production: {version}\n",
        by_hand,
        model,
        more=tuple(more),
    )
    yield _File(
        f"manifests/{folder}/staging.yaml",
        f"{modeline(f'manifests/{folder}/staging.yaml')}"
        f"# Staging is still moved by hand until you declare it. From then on it holds only what you declare.\n"
        f"{model}\n"
        f"# stages:\n"
        f"#   Staging: {version + 1}\n",
        by_hand,
        model,
    )


def _prove(top: Path, missing: Iterable[_File]) -> None:
    """Raises ReconcilerError where the manifests would be wrong with the new ones, and are not so without them."""
    from reconciler.core.desired import resolve
    from reconciler.reading.files import files_below
    from reconciler.reading.manifest import parse

    folder = top / "manifests"
    there, _ = files_below([folder] if folder.exists() else [], top)
    new = [SourceFile(file.path, file.text.encode()) for file in missing if file.path.startswith("manifests/")]

    def wrong(sources: Iterable[SourceFile]) -> set[Problem]:
        fragments, problems = parse(sources)
        return {*problems, *resolve(fragments)[1]}

    if faults := wrong([*there, *new]) - wrong(there):
        raise ReconcilerError(
            f"The first manifests would be wrong: {'; '.join(map(str, sorted(faults)))}",
            "Nothing was written. Leave --model out if the model is declared already.",
        )


def _checks(top: Path) -> Iterator[_File]:
    from reconciler.reading.schemas import schema_text

    for name in ("manifest", "policy"):
        yield _File(f"schemas/{name}.schema.json", schema_text(name), _DIFFERS, ours=True)
    entry = _for_folders(_template("pre-commit-config.yaml"), top)
    by_hand = f"Add to its `repos`:\n{entry.partition('repos:' + chr(10))[2].rstrip()}"
    yield _File(".pre-commit-config.yaml", entry, by_hand, "reconciler validate")


def _folders(top: Path) -> list[str]:
    """The folders of manifests of several registries, by the policy that is there; none where it names no several."""
    from reconciler.reading.policy import settings_of

    if not is_there(top, POLICY):
        return []
    try:
        settings = settings_of(SourceFile(POLICY, _text(top / POLICY).encode()))
    except ManifestError:
        return []  # what is wrong with it is for `validate` to say
    return sorted(str(one.manifests) for one in settings.registries.values())


def _for_folders(text: str, top: Path) -> str:
    """A template, which is for the one folder `manifests`, for the folders of several registries."""
    folders = _folders(top)
    if not folders:
        return text
    patterns = ", ".join(f'"{folder}/**"' for folder in folders)
    beginnings = "|".join(re.escape(f"{folder}/") for folder in folders)
    for one, several in (
        ('"manifests/**"', patterns),
        ("(manifests/|", f"({beginnings}|"),
        ("    RECONCILER_MANIFESTS: manifests\n", ""),
        ('validate "$RECONCILER_MANIFESTS"', "validate"),
        ("validate manifests", "validate"),
    ):
        text = text.replace(one, several)
    return text


_DIFFERS = "It differs from what this version writes. To see the difference: reconciler init --update"


@dataclass(frozen=True, slots=True)
class _Site:
    """
    What a forge wants in a repository: where it looks for code owners, of which the first counts, and where we name
    them; what else decides what a merge does; the jobs, with what they install; and what is left to people.
    """

    codeowners: tuple[str, ...]
    ours: str
    decisive: tuple[str, ...]
    jobs: Callable[[Path, str, Jobs, bool], Iterator[_File]]
    next_steps: tuple[str, ...]


def _jobs(top: Path, kind: ForgeKind, branch: str, jobs: Jobs, *, anew: bool) -> Iterator[_File]:
    if site := _SITES.get(kind):
        yield from site.jobs(top, branch, jobs, anew)


def _github_jobs(top: Path, branch: str, jobs: Jobs, anew: bool) -> Iterator[_File]:
    plan = ".github/workflows/reconciler-plan.yml"
    from_base = jobs.plan_from_base
    if from_base is None:
        from_base = is_there(top, plan) and "\n  pull_request_target:" in _text(top / plan)
    for name in ("apply", "drift", "plan", "promote"):
        place = "github/from-base" if name == "plan" and from_base else "github"
        text = _template(f"{place}/reconciler-{name}.yml")
        if branch != "main":
            text = text.replace("branches: [main]", f'branches: ["{branch}"]')
            text = text.replace("'refs/heads/main'", f"'refs/heads/{branch}'")
            text = text.replace("base.ref == 'main'", f"base.ref == '{branch}'")
        yield _File(f".github/workflows/reconciler-{name}.yml", _for_folders(text, top), _DIFFERS, ours=True)
    yield from _installation(top, ".github/workflows", jobs, anew=anew)


def _gitlab_jobs(top: Path, _branch: str, jobs: Jobs, anew: bool) -> Iterator[_File]:
    text = _for_folders(_template("gitlab/reconciler.gitlab-ci.yml"), top)
    yield _File(".gitlab/reconciler.gitlab-ci.yml", text, _DIFFERS, ours=True)
    yield from _installation(top, ".gitlab", jobs, anew=anew)
    text = _template("gitlab/gitlab-ci.yml")
    yield _File(".gitlab-ci.yml", text, f"Add:\n{text.rstrip()}", ".gitlab/reconciler.gitlab-ci.yml")


_SITES = {
    ForgeKind.GITHUB: _Site(
        codeowners=(".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"),
        ours=".github/CODEOWNERS",
        decisive=("/.github/",),
        jobs=_github_jobs,
        next_steps=(
            "Set the variable MLFLOW_TRACKING_URI and the secrets that the workflows in .github/workflows name.",
            "Protect the default branch, and require review from code owners.",
        ),
    ),
    ForgeKind.GITLAB: _Site(
        codeowners=("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"),
        ours=".gitlab/CODEOWNERS",
        decisive=("/.gitlab/", "/.gitlab-ci.yml", "CODEOWNERS"),
        jobs=_gitlab_jobs,
        next_steps=(
            "Set the CI/CD variables that .gitlab/reconciler.gitlab-ci.yml names, and add a pipeline schedule.",
            "Protect the default branch, and require approval from code owners.",
        ),
    ),
}


def _installation(top: Path, folder: str, jobs: Jobs, *, anew: bool) -> Iterator[_File]:
    """What the jobs install, and how: beside them, so that who owns one owns the other."""
    yield _File(f"{folder}/reconciler-install.sh", _template("reconciler-install.sh"), _DIFFERS, ours=True)
    lock = _template("reconciler.lock").split("\n", 2)[2]
    yield _File(
        f"{folder}/reconciler.lock",
        f"# The dependencies of reconciler, as tested. `reconciler init --update` rewrites this file.\n{lock}",
        _DIFFERS,
        ours=True,
    )
    source = f"{folder}/reconciler.source"
    if anew or jobs.install_from is not None or not is_there(top, source):
        text = (
            "# The source of reconciler itself. `reconciler init --update` rewrites this file.\n"
            f"{install_source(jobs.install_from)}\n"
        )
    else:
        text = _text(top / source)
    yield _File(source, text, _DIFFERS, ours=True)


def _signers(top: Path, git_directory: Path) -> Iterator[_File]:
    """The key for signed records, in the file of signers that the policy names, and the policy where there is none."""
    from reconciler.reading.policy import signers_path

    named = signers_path(SourceFile(POLICY, (top / POLICY).read_bytes())) if is_there(top, POLICY) else None
    path = named or SIGNERS
    if not is_there(top, path) or not names_a_key(_text(top / path)):
        line = signer_line(git_directory)
        yield _File(
            path,
            "# Whose signatures count. A key signs records only if its `namespaces` say so; other lines are people,\n"
            f'# for signed commits. Keep a retired key, with valid-before="YYYYMMDD".\n{line}',
            f"Add:\n{line.rstrip()}",
            line.rstrip(),
        )
    yield _File(POLICY, _template("reconciler.yaml"), "" if named else f"Add:\nsigners: {path}")


def _owners(top: Path, kind: ForgeKind, first: First) -> Iterator[_File]:
    site = _SITES.get(kind)
    if site is None:
        return
    owner, mark = first.owner or "@acme/model-owners", "" if first.owner else "# "
    jobs = ["/reconciler.yaml", "/.reconciler/", *site.decisive]

    def line(pattern: str, who: str = owner, mark: str = mark) -> str:
        return f"{mark}{pattern.ljust(32)} {who}\n"

    text = (
        f"# Who must approve what. The last line that matches a file counts.\n"
        f"# Takes effect once the default branch is protected and requires approval from code owners.\n"
        f"{'' if first.owner else f'# Put your own team in the place of {owner}, and take the # away.' + chr(10)}"
        f"\n"
        f"{''.join(line(f'/{folder}/') for folder in _folders(top) or ['manifests'])}"
        f"# Those who may move Staging. A staging.yaml can declare Production too, unless a production.yaml of the\n"
        f"# same model does: let there be one for every model before you use this line.\n"
        f"{line('/manifests/**/staging.yaml', '@acme/data-scientists', '# ')}"
        f"{line('/manifests/**/production.yaml')}"
        f"\n"
        f"# What decides what a merge does.\n"
        f"{''.join(map(line, jobs))}"
    )
    lines = "\n".join(row for row in text.splitlines() if "/" in row and "@" in row and "Put your" not in row)
    # Of the lines that match, the last one counts: one for the model's folder, below those for all.
    folder = f"/manifests/{file_stem(first.model or '')}/"
    another = f"Add below its other lines for manifests:\n{line(folder).rstrip()}"
    more = ((first.owner, another),) if first.owner and first.model else ()
    yield _File(site.ours, text, f"Add:\n{lines}", "production.yaml", site.codeowners, more=more)


def _template(name: str) -> str:
    """A file that lies beside this one; its place in a wheel or an archive is for importlib to know."""
    source = files(__name__)
    for part in PurePosixPath(name).parts:
        source /= part
    return source.read_text(encoding="utf-8")


def _left_to_do(path: Path, file: _File) -> str:
    text = _text(path)
    if text != file.text and not (file.mark and file.mark in text):
        return file.by_hand
    return "\n".join(what for mark, what in file.more if mark not in text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Nothing was written.") from error


def _next_steps(kind: ForgeKind, source: str) -> tuple[str, ...]:
    begin = (
        "Declare your models in manifests/, or with `reconciler import` what the registry holds; see what that would "
        "do: reconciler plan"
    )
    local = is_local(source.partition("\n")[2])
    install = ("The jobs cannot install from a folder of this machine: reconciler init --update --install-from …",)
    site = _SITES.get(kind)
    if site is None:
        return (begin, "Name your forge for jobs that plan and apply: reconciler init --forge github, or gitlab.")
    return (begin, *(install if local else ()), *site.next_steps)
