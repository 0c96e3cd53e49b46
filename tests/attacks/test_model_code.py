"""What a model can do with its code: a real MLflow model tries all that it could, where a job holds secrets."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers import QUIET, new_database
from tests.story.command import RECONCILER, command_on_disk
from tests.story.repository import git

MODEL = "churn"
HONEST, THIEF, CHEAT, LEAVER, ABSENT = range(1, 6)
ROOT = os.geteuid() == 0
ORDINARY = 12345 if ROOT else os.geteuid()
"""The user of a job that is not root's."""
SECRET = "s3cret-of-the-job"
POLICY = """\
signers: allowed_signers
checks:
  quality:
    evaluate:
      data: data/held-out.csv
      targets: churned
      model-type: classifier
      thresholds:
        f1_score: {threshold: 0.8}
        log_loss: {threshold: 0.5, greater-is-better: false}
  passes: {command: ["true"]}
slots:
  - slot: Production
    gates:
      - artifact: {loadable: true}
"""
MANIFEST = f"model: {MODEL}\nstages: {{Production: 4}}\n"
HELD_OUT = "age,visits,churned\n" + "".join(f"{n}.0,{n % 3}.0,{int(n > 20)}\n" for n in range(40))

Wrap = Callable[[Sequence[str]], list[str]]


def as_it_is(command: Sequence[str]) -> list[str]:
    return list(command)


def as_in_a_container(command: Sequence[str]) -> list[str]:
    """As root of a container is by default: without the right to make namespaces."""
    return ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace", "--inh-caps=-all", *command]


# Another user has to get at our Python, which may lie where nobody else may look: it is shown there, in a mount
# namespace of this command's own.
OPENED = """
set -e
base=$1; shift
place=$(mktemp -d); mount --bind "$base" "$place"
closed="/$(printf %s "${base#/}" | cut -d/ -f1)"
mount -t tmpfs -o mode=755 tmpfs "$closed"; mkdir -p "$base"; mount --bind "$place" "$base"
exec "$@"
"""


def where_all_can_run_python(command: Sequence[str]) -> list[str]:
    base = Path(os.path.realpath(sys.base_prefix))
    if all(folder.stat().st_mode & 0o001 for folder in base.parents):
        return list(command)
    return ["unshare", "--mount", "sh", "-c", OPENED, "sh", str(base), *command]


def as_an_ordinary_user(command: Sequence[str]) -> list[str]:
    if not ROOT:
        return list(command)
    return where_all_can_run_python(
        ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", *command]
    )


def works(command: Sequence[str]) -> bool:
    done = subprocess.run(command, capture_output=True, check=False, cwd="/")
    return done.returncode == 0


needs_root = pytest.mark.skipif(not ROOT, reason="only root can run checks as another user")
NAMESPACES = ["unshare", "--map-current-user", "--pid", "--fork", "--mount-proc", "true"]
needs_namespaces = pytest.mark.skipif(
    not works(as_an_ordinary_user(NAMESPACES)), reason="this kernel gives no namespaces to ordinary users"
)


@dataclass
class Registry:
    folder: Path
    home: Path
    port: int

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/registry.db"

    def tags(self, version: int) -> dict[str, str]:
        from reconciler.registry.mlflow import MlflowRegistry

        store: Any = MlflowRegistry(self.uri, self.uri).store
        return dict(store.get_model_version(MODEL, str(version)).tags)

    def record(self, version: int, check: str = "loadable") -> dict[str, Any]:
        return json.loads(self.tags(version).get(f"reconciler.check.{check}", "{}"))

    def log(self, version: int, check: str = "loadable") -> str:
        kept = str(self.record(version, check)["log"])
        place = Path(kept)
        if kept.startswith("runs:/"):
            (place,) = self.folder.rglob(kept.partition("/reconciler/")[2])
        return (place / "log.txt").read_text(errors="replace")


@pytest.fixture(scope="module")
def listening() -> Generator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    place = Path("/tmp") / f"agent-{os.getpid()}"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        while not place.exists():
            assert process.poll() is None
        if ROOT:
            os.chown(place, ORDINARY, ORDINARY)
        yield place
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def abstract() -> Generator[str]:
    name = f"reconciler-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        yield f"@{name}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, listening: int, agent: Path, abstract: str) -> Registry:
    folder = Path(f"/tmp/reconciler-attacks-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "home"
    home.mkdir(parents=True)
    targets = {
        "read": [str(home / name) for name in (".netrc", "repo/.git/config", "commands", "key")],
        "write": [str(home / "commands"), str(home), str(home / "repo/.git/hooks"), *PACKAGES],
        "sockets": [str(agent), abstract],
        "port": listening,
    }
    seed = Path(__file__).with_name("model_seed.py")
    uri = f"sqlite:///{new_database(folder / 'registry.db')}"
    subprocess.run(
        [sys.executable, str(seed), MODEL, json.dumps(targets)],
        env={**os.environ, **QUIET, "MLFLOW_TRACKING_URI": uri},
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return Registry(folder, home, listening)


PACKAGES = tuple(str(Path(__file__).parents[2] / "reconciler" / room) for room in ("", "checks", "git"))


@dataclass
class Job:
    """A step of CI: a shell with secrets in its environment, in a checkout with a token in git's configuration."""

    registry: Registry
    agent: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])
    reconciler: Path = RECONCILER

    @property
    def top(self) -> Path:
        return self.registry.home / "repo"

    def __call__(self, *arguments: str, wrap: Wrap = as_it_is, **variables: str) -> "subprocess.CompletedProcess[str]":
        script = 'reconciler=$1; shift; "$reconciler" "$@"; code=$?; exit $code'
        return subprocess.run(
            wrap(["bash", "-c", script, "step", str(self.reconciler), *arguments]),
            env={
                **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
                **QUIET,
                "HOME": str(self.registry.home),
                "MLFLOW_TRACKING_URI": self.registry.uri,
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                **self.variables,
                **variables,
            },
            cwd=self.top,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def check(self, version: int, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return self("check", MODEL, str(version), *arguments, **options)


@pytest.fixture(scope="module")
def checkout(registry: Registry) -> Path:
    """Who owns it does not matter: whoever runs the job may read and write it."""
    top = registry.home / "repo"
    for name, text in (
        ("reconciler.yaml", POLICY),
        ("manifests/churn.yaml", MANIFEST),
        ("data/held-out.csv", HELD_OUT),
        ("allowed_signers", ""),
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    key = registry.home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    (top / "allowed_signers").write_text(f'ci@acme.example namespaces="reconciler-check" {public}')
    git(top, "init", "--quiet", "--initial-branch", "main")
    git(top, "config", "http.https://github.com/.extraheader", f"AUTHORIZATION: basic {SECRET}")
    git(top, "remote", "add", "origin", "https://github.com/acme/models")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "Declare")
    (registry.home / ".netrc").write_text(f"machine mlflow password {SECRET}")
    (registry.home / "commands").write_text("SOME=thing\n")
    for place in (registry.folder, *registry.folder.rglob("*")):
        place.chmod(0o777 if place.is_dir() else 0o666)
    key.chmod(0o600)
    return top


@pytest.fixture
def job(registry: Registry, checkout: Path, agent: Path) -> Job:
    secrets = ("MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DEPLOY_KEY")
    files = dict.fromkeys(("GITHUB_ENV", "GITHUB_PATH"), str(registry.home / "commands"))
    return Job(registry, agent, {**dict.fromkeys(secrets, SECRET), **files, "SSH_AUTH_SOCK": str(agent)})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    with command_on_disk(tmp_path_factory.mktemp("installed") / "venv") as venv:
        yield venv


@pytest.fixture
def quick_job(job: Job, installed: Path) -> Job:
    """The same for a test that does not ask what can be reached from the command: that is forked."""
    return replace(job, reconciler=installed / "bin" / "reconciler")


def another_user_in_a_container(command: Sequence[str]) -> list[str]:
    return where_all_can_run_python(as_in_a_container(command))


WAYS: dict[str, tuple[Wrap, dict[str, str]]] = {
    "root, in namespaces": (as_it_is, {}),
    "root, as another user": (as_it_is, {"RECONCILER_CHECK_USER": "nobody"}),
    "root of a container, as another user": (another_user_in_a_container, {"RECONCILER_CHECK_USER": "nobody"}),
    "an ordinary user, in namespaces": (as_an_ordinary_user, {}),
}


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("root, in namespaces", marks=needs_root),
        pytest.param("root, as another user", marks=needs_root),
        pytest.param("root of a container, as another user", marks=needs_root),
        pytest.param("an ordinary user, in namespaces", marks=needs_namespaces),
    ],
)
def test_a_model_that_steals_gets_nothing(job: Job, way: str) -> None:
    wrap, variables = WAYS[way]

    ended = job.check(THIEF, "--check", "loadable", wrap=wrap, **variables)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    log = job.registry.log(THIEF)
    tried = re.search(r"THIEF tried \d+ processes as (\d+)", log)
    assert tried, log
    assert tried[1] != "0"
    assert SECRET not in log
    allowed = {"GOT the network"} if "container" in way else set[str]()
    assert {line.partition(" b'")[0] for line in log.splitlines() if line.startswith("GOT")} <= allowed


@needs_root
def test_where_a_model_could_reach_a_secret_nothing_is_run(job: Job) -> None:
    before = job.registry.tags(THIEF)

    ended = job.check(THIEF, "--check", "loadable", wrap=as_in_a_container)

    assert ended.returncode == 1
    assert "nothing can be run (no namespaces: " in ended.stderr
    assert "our own environment has AWS_SECRET_ACCESS_KEY, DEPLOY_KEY, GITHUB_TOKEN" in ended.stderr
    for way_out in ("RECONCILER_CHECK_USER", "namespaces", "a job that holds no credentials"):
        assert way_out in ended.stderr
    assert job.registry.tags(THIEF) == before


@needs_root
def test_where_there_is_no_secret_a_job_is_enough_by_itself(job: Job) -> None:
    def alone(command: Sequence[str]) -> list[str]:
        return ["unshare", "--pid", "--fork", "--mount-proc", *as_in_a_container(command)]

    header = "http.https://github.com/.extraheader"
    plain, options = Job(job.registry, job.agent), {"wrap": alone, "HOME": "/nowhere"}
    key = str(job.registry.home / "key")

    with_a_token_in_git = plain.check(HONEST, "--check", "passes", **options)
    git(job.top, "config", "--unset", header)
    without = plain.check(HONEST, "--check", "passes", **options)
    with_a_key = plain.check(HONEST, "--check", "passes", "--sign", "ssh", "--signing-key", key, **options)
    with_a_home = plain.check(HONEST, "--check", "passes", wrap=alone)
    git(job.top, "config", header, f"AUTHORIZATION: basic {SECRET}")

    assert [ended.returncode for ended in (with_a_token_in_git, without, with_a_key, with_a_home)] == [1, 0, 1, 1]
    assert ".git/config can be read" in with_a_token_in_git.stderr
    assert f"{key} can be read" in with_a_key.stderr
    assert ".netrc can be read" in with_a_home.stderr


def test_an_honest_model_is_loaded_and_evaluated(quick_job: Job) -> None:
    arguments = ("--sign", "ssh", "--signing-key", str(quick_job.registry.home / "key"))

    ended = quick_job.check(HONEST, *arguments)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert quick_job.registry.record(HONEST)["outcome"] == "passed"
    quality = quick_job.registry.record(HONEST, "quality")
    assert quality["metrics"]["f1_score"] == 1.0
    assert quality["metrics"]["log_loss"] < 0.5
    assert quality["ran"] == "evaluate: data/held-out.csv"
    assert "all 2 thresholds are met" in ended.stdout


@pytest.mark.parametrize("version", [CHEAT, LEAVER])
def test_a_model_cannot_write_its_own_verdict(quick_job: Job, version: int) -> None:
    ended = quick_job.check(version, "--check", "quality")

    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert quick_job.registry.record(version, "quality")["outcome"] in {"failed", "error"}
    log = quick_job.registry.log(version, "quality")
    assert "CHEAT sees ['age', 'visits']" in log
    assert "GOT" not in log


def test_a_model_that_cannot_be_loaded_says_why(quick_job: Job) -> None:
    ended = quick_job.check(ABSENT, "--check", "loadable")

    assert ended.returncode == 3
    assert "No module named 'no_such_module'" in ended.stdout


def verdict(job: Job, version: int) -> tuple[str, str]:
    ended = job("gates", MODEL, "--version", str(version), "--format", "json")
    (found,) = (one for one in json.loads(ended.stdout) if one["gate"] == "artifact")
    return found["ruling"], found["sentence"]


def test_no_gate_loads_a_model(quick_job: Job) -> None:
    ruling, sentence = verdict(quick_job, LEAVER)
    planned = quick_job("plan", "--policy-ref", "HEAD", "--evidence", "none")

    assert ruling == "fail"
    assert "reconciler check churn 4 --check loadable" in planned.stdout, planned.stderr
    assert not (quick_job.registry.home / "loaded").exists()
    assert "the check loadable has never been run on v4" in sentence
    assert "`reconciler check churn 4 --check loadable --sign ssh --signing-key KEY`" in sentence


def test_a_record_counts_by_a_key_for_checks_and_for_the_files_it_saw(quick_job: Job, tmp_path: Path) -> None:
    key = str(quick_job.registry.home / "key")
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)

    quick_job.check(CHEAT, "--check", "loadable")
    unsigned = verdict(quick_job, CHEAT)
    quick_job.check(CHEAT, "--check", "loadable", "--sign", "ssh", "--signing-key", str(other))
    by_another = verdict(quick_job, CHEAT)
    quick_job.check(CHEAT, "--check", "loadable", "--sign", "ssh", "--signing-key", key)
    signed = verdict(quick_job, CHEAT)
    for file in quick_job.registry.folder.rglob("cheat_loader.py"):
        file.write_text(file.read_text() + "# another one")
    replaced = verdict(quick_job, CHEAT)

    assert [unsigned[0], by_another[0], signed[0], replaced[0]] == ["fail", "fail", "pass", "fail"]
    assert "the record is not signed by a key" in by_another[1]
    assert "on different files than v3 has now" in replaced[1]
