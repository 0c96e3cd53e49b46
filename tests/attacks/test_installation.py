"""
What jobs install is what was reviewed, whatever a package index, a branch of the product's repository or the change
under review holds. The scripts are those that `init` writes, run in real virtual environments, with wheels made here.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from reconciler.errors import ReconcilerError
from reconciler.scaffold.installation import install_source
from tests.story.repository import WITHOUT_CONFIGURATION, git

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "reconciler" / "scaffold" / "reconciler-install.sh"
BIN = Path(sys.executable).parent
SHA = "a1" * 20
HASH = "0f" * 32


def wheel(folder: Path, name: str, files: dict[str, str], version: str = "1.0", needs: str = "") -> Path:
    """A wheel with these files. The same ones make the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    required = f"Requires-Dist: {needs}\n" if needs else ""
    contents = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for place, text in contents.items():
            archive.writestr(place, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{place},,\n" for place in [*contents, f"{about}/RECORD"]))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def product(says: str) -> dict[str, str]:
    return {"reconciler/__init__.py": "", "reconciler/__main__.py": f"import acme\nprint({says!r})\n"}


@dataclass
class Job:
    """A checkout with the three files that `init` writes for jobs, a package index, and a runner with `python`."""

    folder: Path
    python: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.checkout / ".github/workflows").mkdir(parents=True)
        shutil.copy(SCRIPT, self.jobs)
        self.dependency = wheel(self.index, "acme", {"acme.py": ""})
        self.lock(f"acme==1.0 --hash=sha256:{digest(self.dependency)}")
        ours = wheel(self.folder / "reviewed", "mlflow_reconciler", product("ours"), "0.1.0")
        self.source(f"{ours.as_uri()} --hash=sha256:{digest(ours)}")

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def jobs(self) -> Path:
        return self.checkout / ".github/workflows"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def installed(self) -> set[str]:
        return {path.name.partition("-")[0] for path in (self.folder / "venv").rglob("*.dist-info")} - {
            "pip",
            "setuptools",
        }

    def lock(self, text: str) -> None:
        (self.jobs / "reconciler.lock").write_text(f"{text}\n")

    def source(self, line: str) -> None:
        (self.jobs / "reconciler.source").write_text(f"# What is installed.\n{line}\n")

    def install(self, *then: str) -> "subprocess.CompletedProcess[str]":
        """The step that installs, and then the command as a step runs it."""
        venv = self.folder / "venv"
        command = 'sh .github/workflows/reconciler-install.sh "$VENV"'
        (self.folder / "home").mkdir(exist_ok=True)
        return subprocess.run(
            ["sh", "-ec", "\n".join([command, *then])],
            cwd=self.checkout,
            env={
                "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.folder / "home"),
                "VENV": str(venv),
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(self.index),
                "PIP_CONFIG_FILE": os.devnull,
                **WITHOUT_CONFIGURATION,
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


RUN = '"$VENV/bin/python" -I -m reconciler'


def packages_of(venv: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))


QUICK = """#!/bin/sh
if [ "$1 $2 $3" = "-I -m venv" ]; then mkdir -p "$4"; exec cp -a {template}/. "$4"; fi
exec {python} "$@"
"""


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Python, whose virtual environments are copies of one: most tests need one only to be there. Its pip is the one of
    the tests' own environment, where that has one: it is compiled already, which takes four seconds.
    """
    template = tmp_path_factory.mktemp("template") / "venv"
    own = Path(sysconfig.get_path("purelib"))
    found = [own / "pip", *own.glob("pip-*.dist-info")]
    there = len(found) == 2 and all(path.is_dir() for path in found)
    subprocess.run([sys.executable, "-I", "-m", "venv", *(["--without-pip"] if there else []), template], check=True)
    for path in found if there else ():
        shutil.copytree(path, packages_of(template) / path.name)
    path = tmp_path_factory.mktemp("quick") / "python"
    path.write_text(QUICK.format(template=shlex.quote(str(template)), python=shlex.quote(sys.executable)))
    path.chmod(0o755)
    return path


@pytest.fixture
def job(tmp_path: Path, quick_python: Path) -> Job:
    return Job(tmp_path, quick_python)


def test_a_job_runs_what_was_reviewed(job: Job) -> None:
    done = job.install(RUN)

    assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr
    assert job.installed == {"acme", "mlflow_reconciler"}


# The index.


def test_a_stranger_who_registers_the_name_with_a_higher_version_is_not_installed(job: Job) -> None:
    for version in ("0.1.0", "9.0"):
        wheel(job.index, "mlflow_reconciler", product("theirs"), version)

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr


@pytest.mark.parametrize("which", ["dependency", "release"])
def test_a_file_that_was_exchanged_on_the_index_is_refused(job: Job, which: str) -> None:
    ours = wheel(job.index, "mlflow_reconciler", product("ours"), "0.1.0")
    job.source(f"mlflow-reconciler==0.1.0 --hash=sha256:{digest(ours)}")
    if which == "dependency":
        wheel(job.index, "acme", {"acme.py": "print('theirs')\n"})
    else:
        wheel(job.index, "mlflow_reconciler", product("theirs"), "0.1.0")

    done = job.install(RUN)

    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert done.stdout == ""


def test_what_the_lock_does_not_list_is_not_installed(job: Job) -> None:
    asking = wheel(job.index, "acme", {"acme.py": ""}, needs="stranger")
    wheel(job.index, "stranger", {"stranger.py": ""})
    job.lock(f"acme==1.0 --hash=sha256:{digest(asking)}")

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr
    assert "stranger" not in job.installed


def test_a_line_of_the_lock_without_a_hash_is_refused(job: Job) -> None:
    job.lock("acme==1.0")

    done = job.install(RUN)

    assert done.returncode != 0
    assert "all requirements must have their versions pinned" in done.stderr.lower() or "--hash" in done.stderr


def test_no_dependency_is_built_from_source(job: Job) -> None:
    source = job.folder / "acme-2.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(job.folder / 'built')!r}, 'w')\n")
    archive = Path(shutil.make_archive(str(job.index / "acme-2.0"), "gztar", job.folder, "acme-2.0"))
    job.lock(f"acme==2.0 --hash=sha256:{digest(archive)}")

    done = job.install(RUN)

    assert done.returncode != 0
    assert not (job.folder / "built").exists()


# The product's repository.

BACKEND = """
import zipfile, pathlib
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, about = "mlflow_reconciler-0.1.0-py3-none-any.whl", "mlflow_reconciler-0.1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        for path in pathlib.Path("reconciler").iterdir():
            archive.write(path)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\\nName: mlflow-reconciler\\nVersion: 0.1.0\\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{about}/RECORD", "")
    return name
"""


def product_repository(folder: Path) -> Path:
    """A repository like the product's, built by a module of its own so that it requires no index."""
    for place, text in product("ours").items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "mlflow-reconciler"\nversion = "0.1.0"\n'
    )
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Release")
    return folder


def change_product(repository: Path) -> str:
    (repository / "reconciler/__main__.py").write_text("print('theirs')\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Change")
    return git(repository, "rev-parse", "HEAD")


def test_a_commit_stays_what_it_was_when_branches_move(job: Job) -> None:
    repository = product_repository(job.folder / "product")
    job.source(f"git+{repository.as_uri()}@{git(repository, 'rev-parse', 'HEAD')}")
    change_product(repository)

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr


@pytest.mark.parametrize("kind", ["heads", "tags"])
def test_a_branch_or_a_tag_that_is_called_like_the_commit_is_not_installed(job: Job, kind: str) -> None:
    repository = product_repository(job.folder / "product")
    commit = git(repository, "rev-parse", "HEAD")
    job.source(f"git+{repository.as_uri()}@{commit}")
    git(repository, "update-ref", f"refs/{kind}/{commit}", change_product(repository))

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr


def test_a_name_in_the_place_of_a_commit_is_refused_before_anything_is_built(job: Job) -> None:
    repository = product_repository(job.folder / "product")
    job.source(f"git+{repository.as_uri()}@main")

    done = job.install(RUN)

    assert done.returncode != 0
    assert "names the commit main, but something else was fetched" in done.stderr
    assert "mlflow_reconciler" not in job.installed


# The change under review.

WRITES = "open({0!r}, 'a').write(__name__ + '\\n')\n"
MODULES = (
    "pip",
    "venv",
    "ensurepip",
    "reconciler",
    "acme",
    "sitecustomize",
    "usercustomize",
    "json",
    "encodings",
    "site",
)


def test_no_module_of_the_change_is_imported(tmp_path: Path) -> None:
    """Not even where somebody set PYTHONPATH for the whole runner to folders of the repository."""
    job = Job(tmp_path, Path(sys.executable))
    for name in MODULES:
        (job.checkout / name).mkdir()
        (job.checkout / name / "__init__.py").write_text(WRITES.format(str(job.folder / "ran")))
        (job.checkout / name / "__main__.py").write_text(WRITES.format(str(job.folder / "ran")))
    (job.checkout / "evil.pth").write_text(f"import sys; {WRITES.format(str(job.folder / 'ran'))}")
    job.environment["PYTHONPATH"] = ".:src:"

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr
    assert not (job.folder / "ran").exists()


def test_no_settings_of_the_change_are_read(job: Job) -> None:
    elsewhere = job.folder / "elsewhere"
    for name in ("pip.conf", "pip.ini", ".pip/pip.conf", ".config/pip/pip.conf", "setup.cfg", ".pydistutils.cfg"):
        (job.checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (job.checkout / name).write_text(f"[install]\ntarget = {elsewhere}\n[global]\ntarget = {elsewhere}\n")
    (job.checkout / "pyproject.toml").write_text('[build-system]\nrequires = ["stranger"]\n')
    (job.checkout / "pyvenv.cfg").write_text(f"home = {elsewhere}\n")
    (job.checkout / ".netrc").write_text("machine localhost login a password b\n")
    (job.checkout / ".gitconfig").write_text("[core]\n\tfsmonitor = touch ../ran\n")

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr
    assert not elsewhere.exists()
    assert not (job.folder / "ran").exists()


SHIM = """#!/bin/sh
at=$PWD
while [ "$at" != / ]; do
  if [ -f "$at/.python-version" ]; then echo "the change says which Python" >&2; exit 70; fi
  at=$(dirname "$at")
done
exec {python} "$@"
"""


def test_the_change_does_not_say_which_python_runs(job: Job) -> None:
    """As a version manager's `python` does it: by a file in the current folder or above."""
    (job.folder / "shims").mkdir()
    (job.folder / "shims/python").write_text(SHIM.format(python=shlex.quote(str(job.python))))
    (job.folder / "shims/python").chmod(0o755)
    (job.checkout / ".python-version").write_text("theirs\n")
    job.environment["PATH"] = f"{job.folder / 'shims'}{os.pathsep}{os.environ['PATH']}"

    done = job.install(RUN)

    assert done.stdout == "ours\n", done.stderr


def test_no_gate_of_the_change_is_found(job: Job, tmp_path: Path) -> None:
    """A folder that looks like an installed package would register gates, were the checkout on Python's path."""
    shutil.copytree(ROOT / "tests/gate_package", job.checkout, dirs_exist_ok=True)
    ask = "import importlib.metadata as m; print(*m.entry_points(group='reconciler.gates'))"

    done = job.install(f'"$VENV/bin/python" -I -c {shlex.quote(ask)}')

    assert done.stdout == "\n", done.stderr


def test_the_hook_and_the_action_install_by_hash_and_import_nothing_of_the_repository(job: Job) -> None:
    """pre-commit runs the hook of this repository itself, from a clone at a commit."""
    repository = job.folder / "product"
    for name in ("action/hook.sh", "action/environment.sh", ".pre-commit-hooks.yaml"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, repository / name)
    (repository / "reconciler/scaffold").mkdir(parents=True)
    (repository / "reconciler/scaffold/reconciler.lock").write_text((job.jobs / "reconciler.lock").read_text())
    (repository / "reconciler/cli.py").write_text(
        "import acme\n\ndef main():\n    print('ours')\n    raise SystemExit(1)\n"
    )
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Release")
    for name in MODULES:
        (job.checkout / f"{name}.py").write_text(WRITES.format(str(job.folder / "ran")))
    (job.checkout / ".python-version").write_text("theirs\n")
    (job.checkout / "manifests").mkdir()
    (job.checkout / "manifests/a.yaml").write_text("model: a\n")
    hook = {
        "repo": str(repository),
        "rev": git(repository, "rev-parse", "HEAD"),
        "hooks": [{"id": "reconciler-validate"}],
    }
    (job.checkout / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [hook]}))
    git(job.checkout, "init", "--quiet")
    git(job.checkout, "add", "--all")
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT", "PIP_"))
    }
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(job.index), "PIP_CONFIG_FILE": os.devnull}
    environment = {**variables, **pip, "PYTHON": str(job.python), "PRE_COMMIT_HOME": str(job.folder / "cache")}

    def run() -> str:
        command = [BIN / "pre-commit", "run"]
        return subprocess.run(
            command, cwd=job.checkout, env=environment, capture_output=True, text=True, check=False
        ).stdout

    assert "\nours\n" in run()
    assert not (job.folder / "ran").exists()
    wheel(job.index, "acme", {"acme.py": "print('theirs')\n"})
    shutil.rmtree(job.folder / "cache")
    assert "ours" not in (refused := run())
    assert "DO NOT MATCH THE HASHES" in refused


# What the change holds where GitLab's jobs write and merge.

GITLAB = yaml.safe_load((ROOT / "reconciler/scaffold/gitlab/reconciler.gitlab-ci.yml").read_text(encoding="utf-8"))


def test_no_report_is_written_through_a_link_of_the_change(tmp_path: Path) -> None:
    *_, last = GITLAB[".reconciler"]["before_script"]
    names = [path for job in GITLAB.values() for path in job.get("artifacts", {}).get("paths", [])]
    names += [path for job in GITLAB.values() for path in job.get("artifacts", {}).get("reports", {}).values()]
    for name in names:
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to("config")
    (tmp_path / "config").write_text("as it was")

    subprocess.run(["sh", "-ec", last], cwd=tmp_path, check=True)
    for name in names:
        (tmp_path / name).write_text("a report")

    assert len(names) > 5
    assert (tmp_path / "config").read_text() == "as it was"


def test_how_to_merge_is_not_for_the_change_to_say(tmp_path: Path) -> None:
    """`merge=union` would show both sides of a conflict as one manifest, which GitLab then refuses to merge."""
    merging = next(line for line in GITLAB["reconciler:plan"]["script"] if "git fetch" in line)
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    remote.mkdir()
    git(remote, "init", "--quiet", "--initial-branch=main")
    for branch, version in (("main", 1), ("change", 2), ("main", 3)):
        git(
            remote,
            "checkout",
            "--quiet",
            "-B",
            branch,
            *([branch] if (remote / "m.yaml").exists() and branch == "main" else []),
        )
        (remote / "m.yaml").write_text(f"stages:\n  Production: {version}\n")
        if branch == "change":
            (remote / ".gitattributes").write_text("*.yaml merge=union\n")
        git(remote, "add", "--all")
        git(remote, "commit", "--quiet", "--message", branch)
    git(tmp_path, "clone", "--quiet", "--branch", "change", str(remote), str(clone))

    done = subprocess.run(
        ["sh", "-ec", merging],
        cwd=clone,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_IID": "3",
            **WITHOUT_CONFIGURATION,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "this conflicts with main" in done.stderr


# What `init` says is to be installed.

NAMES_ONE = {
    f"git+https://git.acme.example/mlops/mlflow-reconciler.git@{SHA}": None,
    f"git+ssh://git@git.acme.example/mlops/mlflow-reconciler@{'0' * 64}": None,
    f"https://acme.example/mlflow_reconciler-0.1.0-py3-none-any.whl#sha256={HASH}": (
        f"https://acme.example/mlflow_reconciler-0.1.0-py3-none-any.whl --hash=sha256:{HASH}"
    ),
    f"mlflow-reconciler==0.1.0  --hash=sha256:{HASH}\n": f"mlflow-reconciler==0.1.0 --hash=sha256:{HASH}",
}
NAMES_NONE = [
    "",
    "mlflow-reconciler",
    "mlflow-reconciler==0.1.0",
    f"mlflow-reconciler>=0.1.0 --hash=sha256:{HASH}",
    f"mlflow-reconciler==0.1.* --hash=sha256:{HASH}",
    f"mlflow-reconciler==0.1.0 --hash=md5:{HASH[:32]}",
    f"mlflow-reconciler==0.1.0 --hash=sha256:{HASH} --index-url=https://evil.example",
    "git+https://git.acme.example/mlops/mlflow-reconciler",
    "git+https://git.acme.example/mlops/mlflow-reconciler@main",
    f"git+https://git.acme.example/mlops/mlflow-reconciler@{SHA[:12]}",
    f"git+http://git.acme.example/mlops/mlflow-reconciler@{SHA}",
    f"git+https://token@git.acme.example/mlops/mlflow-reconciler@{SHA}",
    f"git+https://ci:token@git.acme.example/mlops/mlflow-reconciler@{SHA}",
    f"git+https://git.acme.example/$(id)@{SHA}",
    f"git+https://git.acme.example/${{HOME}}@{SHA}",
    f"git+ext::sh -c id@{SHA}",
    "https://acme.example/mlflow_reconciler-0.1.0-py3-none-any.whl",
    f"http://acme.example/mlflow_reconciler-0.1.0-py3-none-any.whl#sha256={HASH}",
    f"https://acme.example/mlflow_reconciler-0.1.0-py3-none-any.whl?token=x#sha256={HASH}",
    ".",
    "--requirement=elsewhere.txt",
    f"git+https://git.acme.example/a@{SHA}\n--index-url https://evil.example",
]


@pytest.mark.parametrize(("given", "line"), NAMES_ONE.items())
def test_what_names_one_content_may_be_installed(given: str, line: str | None) -> None:
    assert install_source(given) == (line or given)


@pytest.mark.parametrize("given", NAMES_NONE)
def test_what_names_more_than_one_content_or_a_secret_is_refused(given: str) -> None:
    with pytest.raises(ReconcilerError, match="--install-from"):
        install_source(given)


def alone(command: Sequence[Path | str], place: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command that finds no other packages than those in its home's index."""
    return subprocess.run(
        command,
        cwd=place,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(home / "index"),
            "PIP_CONFIG_FILE": os.devnull,
            **WITHOUT_CONFIGURATION,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@dataclass
class Release:
    """The product's repository, and a wheel of it."""

    folder: Path
    python: Path

    @property
    def product(self) -> Path:
        return self.folder / "product"

    @cached_property
    def wheel(self) -> Path:
        builder = Newcomer(self.folder / "builder", self.python, self)
        words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(self.folder / "wheels")]
        done = builder.run("python", "-m", "pip", *words, str(self.product))
        assert done.returncode == 0, done.stderr
        (path,) = (self.folder / "wheels").iterdir()
        return path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, quick_python: Path) -> Release:
    release = Release(tmp_path_factory.mktemp("release"), quick_python)
    product = release.product
    shutil.copytree(ROOT / "reconciler", product / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, product / name)
    git(product, "init", "--quiet")
    git(product, "add", "--all")
    git(product, "commit", "--quiet", "--message", "Release")
    return release


@dataclass
class Newcomer:
    """A virtual environment to install reconciler into; its dependencies come from the one that runs the tests."""

    folder: Path
    python: Path
    release: Release

    def __post_init__(self) -> None:
        self.venv = self.folder / "venv"
        subprocess.run([self.python, "-I", "-m", "venv", self.venv], check=True)
        (packages_of(self.venv) / "rest.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        self.product = self.release.product
        self.work_in(self.folder / "models")

    def work_in(self, folder: Path) -> None:
        """Begin a repository of models."""
        self.models = folder
        self.models.mkdir(parents=True)
        git(self.models, "init", "--quiet")
        git(self.models, "remote", "add", "origin", "git@github.com:acme/models.git")

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return alone([self.venv / "bin" / name, *arguments], self.models, self.folder)

    def install(self, *what: str) -> None:
        # What the tests run from is on the path as well, and is to be left alone.
        words = ["install", "--ignore-installed", "--no-deps", "--no-build-isolation", "--no-compile"]
        done = self.run("python", "-m", "pip", *words, *what)
        assert done.returncode == 0, done.stderr

    def publish(self) -> Path:
        """Put the wheel of the product on the index."""
        (self.folder / "index").mkdir()
        return Path(shutil.copy(self.release.wheel, self.folder / "index"))

    @property
    def source(self) -> str:
        return (self.models / ".github/workflows/reconciler.source").read_text().splitlines()[-1]


@pytest.fixture
def newcomer(tmp_path: Path, release: Release) -> Newcomer:
    return Newcomer(tmp_path, release.python, release)


@pytest.fixture(scope="module")
def from_a_commit(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Newcomer:
    """One whose reconciler was installed from the newest commit; each test works in a repository of its own."""
    newcomer = Newcomer(tmp_path_factory.mktemp("from-a-commit"), release.python, release)
    newcomer.install(f"git+{newcomer.product.as_uri()}")
    return newcomer


def test_what_was_installed_from_a_commit_has_jobs_install_that_commit(from_a_commit: Newcomer, tmp_path: Path) -> None:
    newcomer = from_a_commit
    newcomer.work_in(tmp_path / "models")
    commit = git(newcomer.product, "rev-parse", "HEAD")

    done = newcomer.run("reconciler", "init")

    assert done.returncode == 0, done.stderr
    assert newcomer.source == f"git+{newcomer.product.as_uri()}@{commit}"
    assert "The jobs cannot install from a folder of this machine" in done.stdout
    assert "PRIVATE KEY" not in done.stdout + done.stderr
    assert ".git/reconciler/signing-key" in done.stdout


def test_what_was_installed_from_a_wheel_has_jobs_install_that_wheel(newcomer: Newcomer) -> None:
    path = newcomer.release.wheel
    newcomer.install(f"{path.as_uri()}#sha256={digest(path)}")

    done = newcomer.run("reconciler", "init")

    assert done.returncode == 0, done.stderr
    assert newcomer.source == f"{path.as_uri()} --hash=sha256:{digest(path)}"


@pytest.mark.parametrize("editable", [True, False])
def test_what_was_installed_from_a_folder_says_that_it_cannot_know_and_writes_nothing(
    newcomer: Newcomer, editable: bool
) -> None:
    newcomer.install(*(["--editable"] if editable else []), str(newcomer.product))

    done = newcomer.run("reconciler", "init")

    assert done.returncode == 1
    assert f"installed from the folder {newcomer.product}" in done.stderr
    assert "--install-from" in done.stderr
    assert [path.name for path in newcomer.models.iterdir()] == [".git"]
    assert newcomer.run("reconciler", "init", "--install-from", next(iter(NAMES_ONE))).returncode == 0


def test_what_came_from_an_index_is_installed_by_the_hash_of_the_file_that_the_index_still_has(
    newcomer: Newcomer,
) -> None:
    path = newcomer.publish()
    newcomer.install("mlflow-reconciler==0.1.0")

    done = newcomer.run("reconciler", "init")

    assert done.returncode == 0, done.stderr
    assert newcomer.source == f"mlflow-reconciler==0.1.0 --hash=sha256:{digest(path)}"


def test_what_came_from_an_index_that_has_something_else_by_now_is_not_known(newcomer: Newcomer) -> None:
    newcomer.publish()
    newcomer.install("mlflow-reconciler==0.1.0")
    wheel(newcomer.folder / "index", "mlflow_reconciler", product("theirs"), "0.1.0")

    done = newcomer.run("reconciler", "init")

    assert done.returncode == 1
    assert "is not the one that is installed here" in done.stderr


UNUSABLE = ["[", "[]", "{}", json.dumps({"url": "https://a@b/c", "vcs_info": {"vcs": "hg"}})]


def test_an_installation_that_says_nothing_usable_of_itself_is_not_known(
    from_a_commit: Newcomer, tmp_path: Path
) -> None:
    newcomer = from_a_commit
    newcomer.work_in(tmp_path / "models")
    (path,) = newcomer.venv.rglob("direct_url.json")
    before = path.read_text()
    try:
        for direct in UNUSABLE:
            path.write_text(direct)

            done = newcomer.run("reconciler", "init")

            assert done.returncode == 1, direct
            assert "--install-from" in done.stderr, direct
    finally:
        path.write_text(before)


# The whole tree.


def test_nothing_installs_the_product_by_its_bare_name() -> None:
    files = [path for path in git(ROOT, "ls-files").splitlines() if not path.startswith(("tests/", "docs/images/"))]
    bare = re.compile(
        r"(?:pip install|pipx|uvx|uv tool|dependencies:).*\bmlflow[-_]reconciler(?!\.git)\b(?!.*(?:@[0-9a-f$<]|--hash))"
    )

    found = [
        f"{path}: {line}"
        for path in files
        if (ROOT / path).is_file()
        for line in (ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines()
        if bare.search(line)
    ]

    assert found == []
    assert bare.search('pip install "mlflow-reconciler==0.1.0"')
    assert not bare.search(f"pip install git+https://git.acme.example/mlops/mlflow-reconciler@{SHA}")
