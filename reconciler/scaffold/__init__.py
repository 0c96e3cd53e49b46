"""
What `reconciler init` puts into a git repository: first manifests, their schema for editors, the jobs of its forge, who
has to review what, and a hook for pre-commit. The texts that are longer than a few lines lie beside this file.
"""

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler import __version__
from reconciler.core.names import model_name_fault
from reconciler.errors import Problem, ReconcilerError
from reconciler.ports import SourceFile
from reconciler.render.clean import clean

if TYPE_CHECKING:
    from reconciler.adapters.git_runner import Git


class ForgeKind(StrEnum):
    """Where changes are reviewed, which says what CI is written in."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class First:
    """What the first manifests declare. Without a model they are an example that declares nothing."""

    model: str | None = None
    version: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """One file, named from the top of the repository. `by_hand` is what to do about one that was there and was kept."""

    path: str
    kept: bool = False
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was done, and what is left to do."""

    top: Path
    forge: ForgeKind
    laid: tuple[Laid, ...]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """
    A file to be written where there is none. Where there is one, what to do is `by_hand`, unless it holds `mark`
    already. `instead` are other places that would do.
    """

    path: str
    text: str
    by_hand: str
    mark: str = ""
    instead: tuple[str, ...] = ()


MODELINE = "# yaml-language-server: $schema=../../schemas/manifest.schema.json\n"
SCHEMA = "schemas/manifest.schema.json"

# Of several, the first one counts.
_CODEOWNERS = {
    ForgeKind.GITHUB: (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"),
    ForgeKind.GITLAB: ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"),
}

_OWNER = re.compile(r"@[\w.-]+(/[\w.-]+)*|[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_NO_TEXT_IN_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST_FOLDER = 80


def scaffold(start: Path, first: First = First(), forge: ForgeKind | None = None, remote: str = "origin") -> Scaffold:
    """
    Write what is missing into the repository around `start`, all of it or nothing. What is there is kept as it is.
    Without `forge`, the remote's address says which one it is. Raises ReconcilerError where there is no repository, for
    a name that cannot be, and where a file can not be written or would be written through a link.
    """
    _refuse(first)
    repo = _repository(start)
    top = repo.top
    kind = forge or _detected(repo, top, remote)
    wanted = (*_manifests(top, first), *_checks(), *_jobs(kind, _default_branch(repo, remote)), *_owners(kind, first))
    laid: list[Laid] = []
    missing: list[_File] = []
    for file in wanted:
        there = next((path for path in (file.path, *file.instead) if _is_there(top, path)), None)
        if there is None:
            missing.append(file)
            laid.append(Laid(file.path))
        else:
            laid.append(Laid(there, kept=True, by_hand=_left_to_do(top / there, file)))
    _prove(top, missing)
    _write(top, missing)
    return Scaffold(top, kind, tuple(laid), _next_steps(kind))


def folder_name(model: str) -> str:
    """`RiskClassifier` -> `risk-classifier`: a name for its folder that is one on every system."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", unicodedata.normalize("NFKD", model))
    name = re.sub(r"[^a-z0-9._]+", "-", words.encode("ascii", "ignore").decode().lower()).strip("-._")
    if _DEVICE.fullmatch(name):
        name = f"model-{name}"
    if name and len(name) <= _LONGEST_FOLDER:
        return name
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_FOLDER - 20].strip('-._') or 'model'}-{digest}"


def _refuse(first: First) -> None:
    if first.model is not None:
        fault = model_name_fault(first.model)
        if not fault and any(unicodedata.category(c) in {"Cs", "Cn"} for c in first.model):
            fault = "a model name is text, and this one holds what is none"
        if fault:
            raise ReconcilerError(f"{clean(first.model)!r} cannot be declared: {fault}.", "Give the registry's name.")
    if first.version is not None and (first.model is None or first.version < 1):
        raise ReconcilerError("A version is a positive number of a model.", "Give --model NAME --version N.")
    if first.owner is not None and not _OWNER.fullmatch(first.owner):
        raise ReconcilerError(
            f"{clean(first.owner)!r} cannot own anything.", "Give a user, a team or an address: @ada, @acme/risk-ml."
        )


def _repository(start: Path) -> "Git":
    from reconciler.adapters.git_runner import open_git
    from reconciler.adapters.repository import top_above

    top = top_above(start)
    if top is None:
        raise ReconcilerError(f"{start.absolute()} is not in a git repository.", "Run `git init` first.")
    return open_git(top)


def _detected(repo: "Git", top: Path, remote: str) -> ForgeKind:
    host = _host(repo.url(remote))
    for kind, traces in ((ForgeKind.GITHUB, ".github"), (ForgeKind.GITLAB, ".gitlab-ci.yml")):
        if kind in host or (not host and (top / traces).exists()):
            return kind
    return ForgeKind.NONE


def _host(url: str) -> str:
    if "://" not in url:
        found = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):.+", url)
        return found[1].lower() if found else ""
    return urlsplit(url).hostname or ""


def _default_branch(repo: "Git", remote: str) -> str:
    """The branch that is applied: the remote's, as a clone remembers it."""
    prefix = f"refs/remotes/{remote}/"
    text = repo.read("symbolic-ref", "--quiet", f"{prefix}HEAD", may_fail=True).text
    branch = text.removeprefix(prefix) if text.startswith(prefix) else "main"
    return branch if re.fullmatch(r"[\w./-]+", branch, re.ASCII) else "main"


def _manifests(top: Path, first: First) -> Iterator[_File]:
    if first.model is None and any((top / "manifests").rglob("*.y*ml")):
        return  # An example is of no use to somebody who has manifests.
    folder = "example" if first.model is None else folder_name(first.model)
    model = "# model: RiskClassifier" if first.model is None else f"model: {_scalar(first.model)}"
    owners = f"owners: [{json.dumps(first.owner)}]\n" if first.model and first.owner else ""
    mark = "" if first.version else "# "
    version = first.version or 1
    by_hand = f"Declare it there: {model.removeprefix('# ')}"
    yield _File(
        f"manifests/{folder}/production.yaml",
        f"{MODELINE}"
        f"# Which version is in Production: in a file of its own, so that CODEOWNERS can ask the model's owners.\n"
        f"{model}\n"
        f"{owners}"
        f"{mark}stages:\n"
        f"{mark}  Production: {version}\n",
        by_hand,
        model,
    )
    yield _File(
        f"manifests/{folder}/staging.yaml",
        f"{MODELINE}"
        f"# Staging goes on being moved by hand until it is declared. From then on it holds what is declared alone.\n"
        f"{model}\n"
        f"# stages:\n"
        f"#   Staging: {version + 1}\n",
        by_hand,
        model,
    )


def _scalar(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and name.lower() not in _NO_TEXT_IN_YAML
    return name if plain else json.dumps(name, ensure_ascii=False)


def _prove(top: Path, missing: Iterable[_File]) -> None:
    """Raises ReconcilerError where the manifests would be wrong with the new ones, and are not so without them."""
    from reconciler.adapters.files import files_below
    from reconciler.adapters.manifest_yaml import parse
    from reconciler.core.desired import resolve

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


def _checks() -> Iterator[_File]:
    from reconciler.adapters.schemas import schema_text

    renew = f"To renew it after an update: reconciler schema manifest --output {SCHEMA}"
    yield _File(SCHEMA, schema_text("manifest"), renew)
    entry = _template("pre-commit-config.yaml")
    by_hand = f"Add to its `repos`:\n{entry.partition('repos:' + chr(10))[2].rstrip()}"
    yield _File(".pre-commit-config.yaml", entry, by_hand, "reconciler validate")


def _jobs(kind: ForgeKind, branch: str) -> Iterator[_File]:
    differs = "It differs from what this version writes: see what of it you want."
    match kind:
        case ForgeKind.GITHUB:
            for name in sorted(entry.name for entry in (files(__name__) / "github").iterdir()):
                if name.endswith(".yml"):
                    text = _template(f"github/{name}")
                    if branch != "main":
                        text = text.replace("branches: [main]", f'branches: ["{branch}"]')
                        text = text.replace("'refs/heads/main'", f"'refs/heads/{branch}'")
                    yield _File(f".github/workflows/{name}", text, differs)
        case ForgeKind.GITLAB:
            yield _File(".gitlab/reconciler.gitlab-ci.yml", _template("gitlab/reconciler.gitlab-ci.yml"), differs)
            text = _template("gitlab/gitlab-ci.yml")
            yield _File(".gitlab-ci.yml", text, f"Add:\n{text.rstrip()}", ".gitlab/reconciler.gitlab-ci.yml")
        case ForgeKind.NONE:
            pass


def _owners(kind: ForgeKind, first: First) -> Iterator[_File]:
    if kind is ForgeKind.NONE:
        return
    owner, mark = first.owner or "@acme/model-owners", "" if first.owner else "# "
    path = ".github/CODEOWNERS" if kind is ForgeKind.GITHUB else ".gitlab/CODEOWNERS"
    forge = ["/.github/"] if kind is ForgeKind.GITHUB else ["/.gitlab/", "/.gitlab-ci.yml", "CODEOWNERS"]
    jobs = ["/reconciler.yaml", *forge]

    def line(pattern: str, who: str = owner, mark: str = mark) -> str:
        return f"{mark}{pattern.ljust(32)} {who}\n"

    text = (
        f"# Who has to approve what. Of the lines that match a file, the last one counts.\n"
        f"# It holds once the default branch is protected and asks for the approval of code owners.\n"
        f"{'' if first.owner else f'# Put your own team in the place of {owner}, and take the # away.' + chr(10)}"
        f"\n"
        f"{line('/manifests/')}"
        f"# Those who may move Staging. A staging.yaml can declare Production too, unless a production.yaml of the\n"
        f"# same model does: let there be one for every model before you use this line.\n"
        f"{line('/manifests/**/staging.yaml', '@acme/data-scientists', '# ')}"
        f"{line('/manifests/**/production.yaml')}"
        f"\n"
        f"# What decides what a merge does.\n"
        f"{''.join(map(line, jobs))}"
    )
    lines = "\n".join(row for row in text.splitlines() if "/" in row and "@" in row and "Put your" not in row)
    yield _File(path, text, f"Add:\n{lines}", "production.yaml", _CODEOWNERS[kind])


def _template(name: str) -> str:
    """A file that lies beside this one; its place in a wheel or an archive is for importlib to know."""
    source = files(__name__)
    for part in PurePosixPath(name).parts:
        source /= part
    return source.read_text(encoding="utf-8").replace("@VERSION@", __version__)


def _is_there(top: Path, path: str) -> bool:
    """Whether a file is there. Raises ReconcilerError for anything in its way that is neither a folder nor a file."""
    place = top
    *folders, _ = parts = PurePosixPath(path).parts
    for depth, part in enumerate(parts, 1):
        above, place = place, place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            if not os.access(above, os.W_OK | os.X_OK):
                raise ReconcilerError(f"{above} is not writable.", "Nothing was written. Make it writable.") from None
            return False
        except OSError as error:
            raise ReconcilerError(f"{place} cannot be looked at: {error.strerror}.", "Nothing was written.") from error
        if not (stat.S_ISDIR(mode) if depth <= len(folders) else stat.S_ISREG(mode)):
            kind = "a link" if stat.S_ISLNK(mode) else "no folder" if depth <= len(folders) else "no file"
            raise ReconcilerError(
                f"{place} is {kind}, and this would be written there.",
                "Nothing was written. Move it out of the way.",
            )
    return True


def _left_to_do(path: Path, file: _File) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Nothing was written.") from error
    done = text == file.text or (file.mark and file.mark in text)
    return "" if done else file.by_hand


def _write(top: Path, wanted: Iterable[_File]) -> None:
    """All of the files, or none: what was made is taken away again when one cannot be written."""
    made: list[Path] = []
    whole = False
    try:
        for file in wanted:
            path = top / file.path
            for folder in reversed(path.relative_to(top).parents):
                if not (top / folder).exists():
                    (top / folder).mkdir()
                    made.append(top / folder)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            made.append(draft)
            draft.write_bytes(file.text.encode())
            draft.rename(path)
            made[-1] = path
        whole = True
    except OSError as error:
        raise ReconcilerError(
            f"{error.filename} could not be written: {error.strerror}.", "What was written is removed again."
        ) from error
    finally:
        if not whole:
            _remove(made)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        try:
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue  # the rest is to be removed all the same


def _next_steps(kind: ForgeKind) -> tuple[str, ...]:
    begin = "Declare your models in manifests/, and look at what that would do: reconciler plan"
    match kind:
        case ForgeKind.GITHUB:
            return (
                begin,
                "Set the variable MLFLOW_TRACKING_URI and the secrets that the workflows in .github/workflows name.",
                "Protect the default branch, and ask for the review of code owners.",
            )
        case ForgeKind.GITLAB:
            return (
                begin,
                "Set the CI/CD variables that .gitlab/reconciler.gitlab-ci.yml names, and add a pipeline schedule.",
                "Protect the default branch, and ask for the approval of code owners.",
            )
        case ForgeKind.NONE:
            return (begin, "Name your forge for jobs that plan and apply: reconciler init --forge github, or gitlab.")
