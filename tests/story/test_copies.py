"""A version is copied from one registry to another: two real servers, one of them with users."""

import json
import os
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from reconciler.core.policy import COPIES
from tests.servers import ADMINISTRATOR, MlflowServer
from tests.story.command import Ended, Reconciler
from tests.story.proxy import Answer, Hang, Judge, Pass, Request, Verdict, passes, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

FILES = {
    "MLmodel": b"flavors: {}\nrun_id: of-dev\n",
    "model.bin": b"\0\1" * 5000,
    "code/a.py": b"a = 1\n",
    "empty": b"",
}

POLICY = """\
registries:
  dev: {mode: alias, stages: {Production: champion}}
  prod: {}
slots:
- slot: Production
  registries: prod
  gates:
  - path: {from: Production, registry: dev, model: MODEL}
  - metric: {name: f1, threshold: 0.5}
  - artifact: {pinned: true}
"""

IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}


@dataclass
class Watched:
    """What came to a server, and what is done about it."""

    judge: Judge = passes
    seen: list[Request] = field(default_factory=list[Request])

    def __call__(self, request: Request) -> Verdict:
        self.seen.append(request)
        return self.judge(request)

    def uploads(self) -> list[str]:
        return [request.path.rpartition("/model/")[2] for request in self.seen if request.method == "PUT"]

    def registrations(self) -> int:
        return sum(request.path.endswith("model-versions/create") for request in self.seen)


@dataclass(frozen=True)
class Pair:
    """Two registries behind proxies; dev's v1 is its champion, and its run has figures and files."""

    repository: Repository
    dev: Registry
    prod: Registry
    run: Reconciler
    model: str
    run_id: str
    to_dev: Watched
    to_prod: Watched
    folder: Path

    def promote(self, version: int = 1, stage: str = "Production") -> None:
        declared = f"{{from: {{registry: dev, model: {self.model}, version: {version}}}}}"
        text = f"model: {self.model}\nstages:\n  {stage}: {declared}\n"
        self.repository.write(text, "prod/models.yaml")
        self.repository.commit("Promote what dev has")

    def apply(self, *options: str, **environment: str) -> Ended:
        return self.run("apply", "--registry", "prod", "--yes", *options, **environment)

    def leftovers(self) -> list[Path]:
        """What a copy leaves behind of its own on this machine."""
        return [*self.folder.glob("reconciler-copy-*"), *self.folder.glob("reconciler-model-*")]


@contextmanager
def standing(
    repository: Repository, run: Reconciler, dev: str, prod: str, model: str, folder: Path, files: dict[str, bytes]
) -> Generator[Pair]:
    to_dev, to_prod = Watched(), Watched()
    with proxy(dev, to_dev) as before_dev, proxy(prod, to_prod) as before_prod:
        user, password = ADMINISTRATOR
        environment = {name: value for name, value in run.environment.items() if name != "MLFLOW_TRACKING_URI"}
        variables = {
            "DEV_MLFLOW_TRACKING_URI": before_dev.uri,
            "DEV_MLFLOW_TRACKING_TOKEN": "of-dev-alone",
            "DEV_AWS_SECRET_ACCESS_KEY": "dev-store",
            "PROD_MLFLOW_TRACKING_URI": before_prod.uri,
            "PROD_MLFLOW_TRACKING_USERNAME": user,
            "PROD_MLFLOW_TRACKING_PASSWORD": password,
            "PROD_AWS_SECRET_ACCESS_KEY": "prod-store",
            "MLFLOW_TRACKING_USERNAME": "nobody",
            "MLFLOW_TRACKING_PASSWORD": "nothing",
            "TMPDIR": str(folder),
        }
        registry = Registry(dev)
        registry.register(model, versions=0)
        run_id = registry.train_with(model, files, f1=0.64)
        registry.set_alias(model, "champion", 1)
        (repository.top / "reconciler.yaml").write_text(POLICY.replace("MODEL", model))
        repository.write(manifest(model, production=1), "dev/models.yaml")
        repository.commit("Name the registries")
        yield Pair(
            repository,
            registry,
            Registry(prod, user=ADMINISTRATOR),
            replace(run, environment={**environment, **variables}),
            model,
            run_id,
            to_dev,
            to_prod,
            folder,
        )


@pytest.fixture
def pair(
    command: Callable[[Repository, str], Reconciler],
    repository: Repository,
    mlflow_server: str,
    server_with_users: str,
    model: str,
    tmp_path: Path,
) -> Generator[Pair]:
    run, folder = command(repository, mlflow_server), tmp_path / "temporary"
    folder.mkdir()
    with standing(repository, run, mlflow_server, server_with_users, model, folder, FILES) as pair:
        yield pair


def test_a_version_is_copied_with_all_that_it_is_made_of_and_promoted_by_one_plan(pair: Pair) -> None:
    pair.promote()

    planned = pair.run("plan", "--registry", "prod", "--format", "json")
    applied = pair.apply()
    again = pair.run("plan", "--registry", "prod", "--detailed-exitcode")
    drift = pair.run("drift", "--registry", "prod")

    assert [one.code for one in (planned, applied, again, drift)] == [0] * 4, applied.said + again.said + drift.said
    calls = json.loads(planned.out)["calls"]
    copied = next(call["arguments"] for call in calls if call["method"] == "create_model_version")
    assert copied["from"] == {"registry": "dev", "model": pair.model, "version": 1, "run_id": pair.run_id}
    assert f"copy     v1  from v1 of dev/{pair.model} (run {pair.run_id})" in applied.out
    assert pair.prod.production(pair.model) == [1]
    assert pair.prod.files(pair.prod.source(pair.model, 1)) == FILES
    (run_id,) = pair.prod.versions(pair.model).values()
    run = pair.prod.run(run_id)
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert run_id != pair.run_id
    assert pair.prod.experiment(run["info"]["experiment_id"]) == COPIES
    assert pair.prod.history(run_id, "f1") == [0.64] * 3
    assert run["data"]["params"] == [{"key": "depth", "value": "6"}]
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == "9f2c7a1b"
    assert (run["info"]["status"], run["info"]["run_name"], int(run["info"]["start_time"])) == ("FINISHED", "train", 1)
    assert {"team", "mlflow.source.git.commit", "reconciler.original"} <= tags.keys()
    assert not {"mlflow.log-model.history", "reconciler.provenance"} & tags.keys()
    said = json.loads(pair.prod.version_tags(pair.model, 1)["reconciler.original"])
    assert (said["model"], said["version"], said["run_id"]) == (pair.model, 1, pair.run_id)
    assert pair.leftovers() == []
    # No server is shown what lets in at the other one, and nothing is written to dev.
    basic = f"Basic {b64encode(':'.join(ADMINISTRATOR).encode()).decode()}"
    assert {request.authorization for request in pair.to_dev.seen} == {"Bearer of-dev-alone"}
    assert {request.authorization for request in pair.to_prod.seen} == {basic}
    assert not any(request.writes for request in pair.to_dev.seen if not request.path.endswith("/search"))


def test_no_registry_has_this_machine_read(pair: Pair, tmp_path: Path) -> None:
    name, secrets = uuid4().hex, tmp_path / "secrets"
    place = Path(urlsplit(pair.dev.register_in(pair.dev.make_experiment(name, secrets.as_uri()), pair.model)).path)
    place.mkdir(parents=True)
    (place / "key").write_text("of the job")
    pair.promote(2, "None")

    ended = pair.apply()

    assert ended.code == 1, ended.said
    assert "has files on the disk of whoever asks for them: `" in " ".join(ended.said.split()), ended.said
    assert not any(request.body and b"of the job" in request.body for request in pair.to_prod.seen)
    assert pair.to_prod.registrations() == 0


def test_who_is_refused_is_told_the_variables_of_the_registry_that_refuses(pair: Pair) -> None:
    pair.promote()

    here = pair.run("plan", "--registry", "prod", PROD_MLFLOW_TRACKING_PASSWORD="wrong")
    pair.to_dev.judge = lambda _: Answer(401, "You are not authenticated.", "text/plain")
    there = pair.run("plan", "--registry", "prod")

    assert (here.code, there.code) == (1, 3), here.said + there.said
    for ended, prefix in ((here, "PROD_"), (there, "DEV_")):
        said = " ".join(ended.said.split())
        variables = [f"{prefix}MLFLOW_TRACKING_{word}" for word in ("USERNAME", "PASSWORD", "TOKEN")]
        assert "Set {} and {}, or {}.".format(*variables) in said, said


def test_no_change_leads_a_copy_to_another_server(pair: Pair) -> None:
    pair.promote()
    elsewhere = Watched()
    with proxy(pair.dev.uri, elsewhere) as trap:
        policy = (pair.repository.top / "reconciler.yaml").read_text()
        git(pair.repository.top, "checkout", "--quiet", "-b", "change")
        for told in (f'dev: {{address: "{trap.uri}", prefix: OTHER_, ', "dev: {prefix: PROD_, "):
            (pair.repository.top / "reconciler.yaml").write_text(policy.replace("dev: {", told))
            git(pair.repository.top, "commit", "--quiet", "--all", "--message", "Lead it elsewhere")
            planned = pair.run("plan", "--base", "origin/main", "--registry", "prod")

    assert elsewhere.seen == []
    assert "Basic" not in "".join(request.authorization for request in pair.to_dev.seen)
    assert f"copy     v1  from v1 of dev/{pair.model}" in planned.out + planned.err or planned.code == 1


def test_a_copy_that_was_killed_before_its_registration_is_gone_on_with_by_servers_that_fail(
    pair: Pair,
) -> None:
    pair.promote()
    reached = Event()

    def hang(request: Request) -> Verdict:
        if request.path.endswith("model-versions/create"):
            reached.set()
            return Hang()
        return Pass()

    pair.to_prod.judge = hang
    killed = pair.run.start("apply", "--registry", "prod", "--yes", "--lock", "file")
    killed.until(reached.is_set)
    killed.process.kill()
    killed.wait()
    before = pair.to_prod.uploads()
    failed: set[tuple[str, str]] = set()

    def fail_once(request: Request) -> Verdict:
        key = (request.method, request.path)
        first, _ = key not in failed, failed.add(key)
        return Answer(503) if first else Pass()

    pair.to_prod.judge = pair.to_dev.judge = fail_once
    done = pair.apply("--lock", "file", MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR="0")

    assert done.code == 0, done.said
    assert sorted(before) == sorted(FILES)
    assert pair.to_prod.uploads() == before
    assert pair.prod.production(pair.model) == [1]
    assert len(pair.prod.versions(pair.model)) == 1
    assert pair.leftovers() == []


def test_what_the_store_does_not_give_back_as_it_was_sent_is_not_registered(pair: Pair) -> None:
    pair.promote()

    def other(request: Request) -> Verdict:
        read = request.method == "GET" and request.path.endswith("/model.bin")
        return Answer(200, "other", "application/octet-stream") if read else Pass()

    pair.to_prod.judge = other
    refused = pair.apply()
    pair.to_prod.judge = passes
    done = pair.apply()

    assert refused.code == 1, refused.said
    assert "model.bin of v1 of dev/" in refused.out
    assert "is not what was sent after it was written to" in refused.out
    assert "nothing was registered" in refused.out
    assert done.code == 0, done.said
    assert len(pair.prod.versions(pair.model)) == 1


def test_a_file_that_was_replaced_after_the_copy_keeps_it_out(pair: Pair) -> None:
    pair.promote()
    (pair.repository.top / "manifests/prod/models.yaml").write_text(
        (pair.repository.top / "manifests/prod/models.yaml").read_text().replace("Production:", "Archived:")
    )
    pair.repository.commit("Copy it first")
    assert pair.apply().code == 0
    folder = pair.prod.source(pair.model, 1).removeprefix("mlflow-artifacts:/").lstrip("/")
    pair.prod.replace_file(folder, "model.bin", b"other")
    pair.promote()

    refused = pair.apply()

    assert refused.code == 3, refused.said
    said = " ".join(refused.out.split())
    assert f"v1 of {pair.model} does not have the files of v1 of dev/{pair.model}" in said
    assert pair.prod.production(pair.model) == []


def test_two_applies_at_once_make_one_copy_of_a_logged_model(pair: Pair) -> None:
    model_id = pair.dev.train_logged(pair.model, FILES, 0.7)
    pair.dev.set_alias(pair.model, "champion", 2)
    pair.promote(2)

    first, second = (pair.run.start("apply", "--registry", "prod", "--yes") for _ in range(2))
    ended = [first.wait(), second.wait()]

    assert [one.code for one in ended] == [0, 0], ended[0].said + ended[1].said
    assert len(pair.prod.versions(pair.model)) == 1
    assert pair.prod.production(pair.model) == [1]
    assert len(pair.to_prod.uploads()) == len(FILES)
    source = pair.prod.source(pair.model, 1)
    logged = pair.prod.logged_model(source.removeprefix("models:/"))
    figure = logged["data"]["metrics"][0]
    assert source not in {f"models:/{model_id}", ""}
    assert (figure["value"], figure["dataset_name"], figure["dataset_digest"]) == (0.7, "loans", "9f2c7a1b")
    assert (logged["info"]["status"], logged["info"]["model_type"]) == ("LOGGED_MODEL_READY", "classifier")
    assert pair.prod.files(logged["info"]["artifact_uri"]) == FILES


def test_a_server_that_is_killed_in_the_middle_and_started_again_is_gone_on_with(
    command: Callable[[Repository, str], Reconciler],
    repository: Repository,
    server_with_users: str,
    model: str,
    tmp_path: Path,
) -> None:
    folder, own = tmp_path / "temporary", MlflowServer(tmp_path)
    folder.mkdir()
    own.start()
    try:
        run = command(repository, own.uri)
        with standing(repository, run, own.uri, server_with_users, model, folder, FILES) as pair:
            pair.promote()

            def kill(request: Request) -> Verdict:
                if request.path.endswith("/model.bin") and pair.to_prod.uploads():
                    own.kill()
                return Pass()

            pair.to_dev.judge = kill
            broken = pair.apply(**IMPATIENT)
            pair.to_dev.judge = passes
            own.start()
            done = pair.apply()
    finally:
        own.kill()

    assert broken.code == 1, broken.said
    assert "Traceback" not in broken.said
    assert done.code == 0, done.said
    assert sorted(pair.to_prod.uploads()) == sorted(FILES), "what was here already was not sent again"
    assert len(pair.prod.versions(pair.model)) == 1


MEBIBYTE = 1024 * 1024


def test_a_large_model_takes_little_memory_and_the_disk_of_one_file(
    command: Callable[[Repository, str], Reconciler],
    repository: Repository,
    mlflow_server: str,
    server_with_users: str,
    model: str,
    tmp_path: Path,
) -> None:
    # As it is installed, what reads dev is a child of the command.
    folder, run = tmp_path / "temporary", replace(command(repository, mlflow_server), reads_forked=False)
    folder.mkdir()
    large = {"MLmodel": b"flavors: {}\n", **{f"part-{n}.bin": os.urandom(MEBIBYTE) * 32 for n in range(2)}}
    with standing(repository, run, mlflow_server, server_with_users, model, folder, large) as pair:
        pair.promote()
        peaks: dict[str, int] = {}
        disk: list[int] = []

        def measure(request: Request) -> Verdict:
            disk.append(sum(file.stat().st_size for file in _files_below(folder)))
            if request.path.endswith(("runs/create", "model-versions/create")):
                peaks[request.path.rpartition("/mlflow/")[2]] = _memory(running.process.pid or 0)
            return Pass()

        running = pair.run.start("apply", "--registry", "prod", "--yes")
        pair.to_prod.judge = measure
        done = running.wait()

    assert done.code == 0, done.said
    assert len(pair.prod.versions(pair.model)) == 1
    grown = peaks["model-versions/create"] - peaks["runs/create"]
    assert grown < 24 * MEBIBYTE, f"{grown / MEBIBYTE:.0f} MiB more than before the first file"
    assert max(disk) <= 33 * MEBIBYTE


def _files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _memory(process: int) -> int:
    """The most that a process and those that it started have used so far, in bytes."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(told["Pid"]) == process or int(told["PPid"]) == process:
            total += int(told.get("VmHWM", "0 kB").split()[0]) * 1024
    return total
