"""Checks on versions of a real server: run, signed, recorded, read back, and what their files can do."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.checking import CheckEvent, CheckFinished, CheckStarted, Fetching, check_version
from reconciler.checks.inside import faults
from reconciler.checks.signing import HmacSigner, SshSigner
from reconciler.checks.versions import MlflowChecks
from reconciler.core.bundle import total_digest
from reconciler.core.changes import CreateModel, RegisterVersion, RenameModel
from reconciler.core.check_record import CheckOutcome, CheckResult, decode_record
from reconciler.core.gate import Presence
from reconciler.core.names import Commit, ModelRef, Original, Version
from reconciler.core.policy import Check, Policy
from reconciler.errors import Location, ReconcilerError, RegistryError
from reconciler.evidence.artifacts import Artifacts
from reconciler.evidence.model_files import digests
from reconciler.git.runner import git_at
from reconciler.git.tree import exported
from reconciler.ports import Wanted
from reconciler.registry.mlflow import MlflowRegistry
from tests.counting import counting
from tests.servers import QUIET, new_database
from tests.story.command import run_script
from tests.story.proxy import Answer, Pass, Request, proxy
from tests.story.repository import git

pytestmark = pytest.mark.server

MODEL = ModelRef("checks «churn» & 50%")
GOOD, RUNLESS, LEAVES, HANGS, REPLACED, GAP, NOTHING = (Version(n) for n in range(1, 8))
KEY = bytes(range(32))
AT = Location("reconciler.yaml", 5, 3)

SCRIPT = """
import json, os, pathlib
assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
files = {path.name for path in pathlib.Path(os.environ["MODEL_PATH"]).iterdir()}
assert {"MLmodel", "model.pkl"} <= files, files
print("looked at", os.environ["MODEL_URI"])
pathlib.Path(os.environ["RECONCILER_CHECK_RESULT"]).write_text(json.dumps({"metrics": {"gap": 0.02}}))
"""
UNPICKLES = "import os, pickle\npickle.load(open(os.environ['MODEL_PATH'] + '/model.pkl', 'rb'))\n"
HELD_OUT = "age,visits,churned\n" + "".join(f"{n}.0,{n % 3}.0,{int(n > 20)}\n" for n in range(40))


def notebook(*cells: str) -> str:
    told = [{"cell_type": "code", "id": f"c{i}", "source": c} for i, c in enumerate(cells)]
    blank: dict[str, object] = {"execution_count": None, "metadata": {}, "outputs": []}
    return json.dumps({"cells": [{**blank, **c} for c in told], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


FILES = {
    "checks/bias.py": SCRIPT,
    "checks/no.py": "raise SystemExit('the gap is too wide')",
    "checks/unpickles.py": UNPICKLES,
    "checks/report.ipynb": notebook(
        "import json, os\nassert model_version == '1' and os.path.isdir(model_path), model_uri",
        "json.dump({'metrics': {'f1': 0.5}}, open(os.environ['RECONCILER_CHECK_RESULT'], 'w'))",
    ),
    "checks/wrong.ipynb": notebook("raise ValueError('the third decile is off')"),
    "data/held-out.csv": HELD_OUT,
}


def check(name: str, **options: Any) -> Check:
    return replace(Check(name, AT, timeout=120.0), **options)


POLICY = Policy(
    checks={
        one.name: one
        for one in (
            check("bias", command=("python", "checks/bias.py")),
            check("no", command=("python", "checks/no.py")),
            check("unpickles", command=("python", "checks/unpickles.py"), timeout=2.0),
            check("report", notebook="checks/report.ipynb"),
            check("wrong", notebook="checks/wrong.ipynb"),
        )
    },
    commit=Commit("c0ffee"),
)


@dataclass(frozen=True)
class Noon:
    def now(self) -> str:
        return "2026-11-23T12:00:00Z"


@dataclass
class Seeded:
    """What was made on the server."""

    uri: str
    run_id: str
    artifacts: str
    logs: Path

    def checks(self, uri: str | None = None, **options: Any) -> MlflowChecks:
        secret = {"MLFLOW_TRACKING_PASSWORD": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret"}
        ours = {"PATH": os.environ["PATH"], "RECONCILER_CHECK_HMAC_KEY": KEY.hex(), **secret}
        return replace(MlflowChecks(uri or self.uri, uri or self.uri, ours, logs=self.logs), **options)

    def tags(self, version: Version) -> dict[str, str]:
        return dict(self.store().get_model_version(MODEL, str(version)).tags)

    def tag(self, version: Version, key: str, value: str) -> None:
        from mlflow.entities.model_registry import ModelVersionTag

        self.store().set_model_version_tag(MODEL, str(version), ModelVersionTag(key, value))

    def store(self) -> Any:
        return self.checks().registry.store

    def artifact(self, path: str) -> bytes:
        return self._ask(path)

    def put(self, path: str, data: bytes) -> None:
        self._ask(path, data, "PUT")

    def _ask(self, path: str, data: bytes | None = None, method: str = "GET") -> bytes:
        address = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{self.artifacts}/{path}"
        with urllib.request.urlopen(urllib.request.Request(address, data, method=method), timeout=30) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def seeded(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    folder = tmp_path_factory.mktemp("seed")
    script = Path(__file__).with_name("checks_seed.py")
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": mlflow_server}
    made = run_script(script, MODEL, folder=folder, environment=environment)
    assert made.code == 0, made.err[-3000:]
    run_id, artifacts = made.out.split()[-2:]
    return Seeded(mlflow_server, run_id, artifacts, folder / "logs")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("tree"))


def laid_out(folder: Path) -> Path:
    for name, text in FILES.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


RunChecks = Callable[..., tuple[CheckResult, ...]]


@pytest.fixture
def run(seeded: Seeded, tree: Path) -> RunChecks:
    def begin(version: Version, *names: str, **options: Any) -> tuple[CheckResult, ...]:
        return check_version(seeded.checks(), Noon(), MODEL, version, POLICY, str(tree), names, tool="0.1", **options)

    return begin


def test_what_a_check_finds_is_signed_recorded_and_read_back(seeded: Seeded, run: RunChecks) -> None:
    told: list[CheckEvent] = []

    (result,) = run(GOOD, "bias", sign=HmacSigner(KEY).sign, report=told.append)

    facts = seeded.checks().facts(MODEL, GOOD, "")
    (record,) = [one for one in facts.records if one.check == "bias"]
    assert result.passed
    assert result.written
    assert result.notes == ()
    assert told == [
        Fetching(MODEL, GOOD, (POLICY.checks["bias"],)),
        CheckStarted(MODEL, GOOD, POLICY.checks["bias"]),
        CheckFinished(result),
    ]
    assert record.passed
    assert record.signed
    assert record.metrics == {"gap": 0.02}
    assert record.ended_at == "2026-11-23T12:00:00Z"
    assert record.digest == facts.digest
    assert record.log == f"runs:/{seeded.run_id}/reconciler/checks/bias/20261123T120000Z"
    assert result.record.commit == "c0ffee"
    said = seeded.artifact("reconciler/checks/bias/20261123T120000Z/log.txt").decode()
    assert said == f"looked at models:/{MODEL}/1\n"


def test_a_record_that_was_copied_or_made_up_is_not_signed(seeded: Seeded, run: RunChecks) -> None:
    (result,) = run(GOOD, "no", sign=HmacSigner(KEY).sign)
    key = "reconciler.check.no"
    assert result.record.outcome is CheckOutcome.FAILED
    assert result.sentence == "ended with exit code 1: the gap is too wide"

    copied = seeded.tags(GOOD)[key]
    seeded.tag(RUNLESS, key, copied)
    seeded.tag(GOOD, key, copied.replace('"failed"', '"passed"'))

    (there,) = [one for one in seeded.checks().facts(MODEL, RUNLESS).records if one.check == "no"]
    (here,) = [one for one in seeded.checks().facts(MODEL, GOOD).records if one.check == "no"]
    assert (there.signed, here.signed, here.passed) == (False, False, True)


def test_a_record_by_ssh(seeded: Seeded, run: RunChecks, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = 'ci@acme.example namespaces="reconciler-check" ' + key.with_suffix(".pub").read_text()

    run(RUNLESS, "bias", sign=SshSigner(key).sign)

    def signed(text: str) -> bool:
        return next(one.signed for one in seeded.checks().facts(MODEL, RUNLESS, text).records if one.check == "bias")

    assert signed(signers)
    assert not signed("")


def test_without_a_run_the_log_stays_here(seeded: Seeded, run: RunChecks) -> None:
    (result,) = run(RUNLESS, "bias")

    assert result.written
    assert Path(result.record.log, "log.txt").read_text().startswith("looked at")
    assert "because it could not be uploaded: the version names no run" in result.notes[0]


def test_a_log_that_cannot_be_uploaded_does_not_lose_the_record(
    seeded: Seeded, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def judge(request: Request) -> Answer | Pass:
        return Answer(507, "{}") if request.method == "PUT" else Pass()

    with proxy(seeded.uri, judge) as front:
        checks = seeded.checks(front.uri)
        (result,) = check_version(checks, Noon(), MODEL, GOOD, POLICY, str(tree), ["bias"])

    assert result.written
    assert "could not be uploaded: 507" in result.notes[0]
    assert Path(result.record.log, "log.txt").exists()


def test_a_record_that_cannot_be_written_is_noted(seeded: Seeded, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def judge(request: Request) -> Answer | Pass:
        refusal = '{"error_code": "PERMISSION_DENIED", "message": "no"}'
        return Answer(403, refusal) if request.path.endswith("/set-tag") else Pass()

    with proxy(seeded.uri, judge) as front:
        results = check_version(seeded.checks(front.uri), Noon(), MODEL, GOOD, POLICY, str(tree), ["bias", "no"])

    assert [result.written for result in results] == [False, False]
    assert results[0].passed
    assert results[0].notes[-1].startswith("the record was not written: ")


def test_nothing_is_written_on_request(seeded: Seeded, run: RunChecks) -> None:
    (result,) = run(REPLACED, "bias", write=False)

    assert not result.written
    assert not any(key.startswith("reconciler.check.") for key in seeded.tags(REPLACED))


def test_a_notebook(seeded: Seeded, run: RunChecks) -> None:
    report, wrong = run(GOOD, "report", "wrong")

    assert (report.record.outcome, dict(report.record.metrics)) == (CheckOutcome.PASSED, {"f1": 0.5})
    assert report.record.ran == "notebook: checks/report.ipynb"
    assert wrong.record.outcome is CheckOutcome.FAILED
    assert "the third decile is off" in wrong.sentence
    executed = seeded.artifact("reconciler/checks/wrong/20261123T120000Z/executed.ipynb")
    assert b"the third decile is off" in executed


def test_thresholds_that_are_not_met_are_named() -> None:
    metrics = {"log_loss": 0.5, "f1_score": 0.9, "auc": float("nan"), "note": "x"}

    def more(value: float) -> dict[str, object]:
        return {"threshold": value, "greater_is_better": True}

    asked = {"log_loss": {"threshold": 0.25, "greater_is_better": False}, "f1_score": more(0.9), "auc": more(0.1)}
    assert faults(asked, metrics) == [
        "auc is not among the metrics, or is not a number",
        "log_loss is 0.5, but must be at most 0.25",
    ]
    assert faults({"f1_score": more(0.95), "note": more(1)}, metrics) == [
        "f1_score is 0.9, but must be at least 0.95",
        "note is not among the metrics, or is not a number",
    ]
    close = {"f1_score": 0.89999999, "log_loss": 0.5 + 2**-53}
    assert faults({"f1_score": more(0.9), "log_loss": {"threshold": 0.5, "greater_is_better": False}}, close) == [
        "f1_score is 0.89999999, but must be at least 0.9",
        "log_loss is 0.5000000000000001, but must be at most 0.5",
    ]


@pytest.mark.parametrize("value", [0.5 - 2**-54, 0.5, 0.5 + 2**-53, float("inf"), float("-inf")])
@pytest.mark.parametrize("greater", [True, False])
def test_thresholds_are_mlflows(value: float, greater: bool) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    told: dict[str, Any] = {"threshold": 0.5, "greater_is_better": greater}
    flow: Any = mlflow
    asked = {"f1": flow.models.MetricThreshold(**told)}
    try:
        flow.validate_evaluation_results(asked, SimpleNamespace(metrics={"f1": value}))
        met = True
    except MlflowException:
        met = False

    assert (faults({"f1": told}, {"f1": value}) == []) is met


def test_a_model_that_can_be_loaded(run: RunChecks) -> None:
    (result,) = run(GOOD, "loadable")

    assert (result.record.outcome, result.sentence) == (CheckOutcome.PASSED, "it was loaded")
    assert result.record.ran == "load: mlflow.pyfunc.load_model"


def test_a_model_that_ends_the_process_was_not_loaded(run: RunChecks) -> None:
    (result,) = run(LEAVES, "loadable")

    assert result.record.outcome is CheckOutcome.FAILED


def test_a_hostile_model_that_hangs_is_ended_and_gets_no_secret(seeded: Seeded, run: RunChecks) -> None:
    (result,) = run(HANGS, "unpickles")

    said = seeded.artifact("reconciler/checks/unpickles/20261123T120000Z/log.txt").decode()
    assert result.record.outcome is CheckOutcome.TIMEOUT
    assert result.written
    assert said.startswith("SEEN")
    assert "s3cret" not in said
    assert KEY.hex() not in said


PRESENT = {
    GOOD: Presence(True),
    LEAVES: Presence(True),
    GAP: Presence(False, "model.pkl, which the MLmodel file names, is not there"),
    NOTHING: Presence(False, "its files are gone"),
}


@pytest.mark.parametrize("version", PRESENT)
def test_whether_the_files_are_there(seeded: Seeded, version: Version) -> None:
    assert seeded.checks().present(MODEL, version) == PRESENT[version]


def test_no_weights_are_downloaded_to_look(seeded: Seeded) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Pass:
        asked.append(request)
        return Pass()

    with proxy(seeded.uri, judge) as front:
        seeded.checks(front.uri).present(MODEL, GOOD)

    assert any(request.path.endswith("/MLmodel") for request in asked)
    assert not any(request.path.endswith("/model.pkl") for request in asked)


def test_the_digest_tells_what_the_registry_does_not(seeded: Seeded) -> None:
    registry = seeded.checks().registry
    before, again = (digests(registry, MODEL, REPLACED) for _ in range(2))

    seeded.put("replaced/requirements.txt", b"scikit-learn==0.1\n")
    after = digests(registry, MODEL, REPLACED)

    assert before == again
    assert total_digest(before).startswith("sha256:")
    assert before != after


def test_a_record_of_other_files_has_another_digest(seeded: Seeded, run: RunChecks) -> None:
    run(REPLACED, "bias", sign=HmacSigner(KEY).sign)

    seeded.put("replaced/MLmodel", seeded.artifact("replaced/MLmodel") + b"\n# swapped\n")

    facts = seeded.checks().facts(MODEL, REPLACED)
    assert facts.records[0].signed
    assert facts.records[0].digest != facts.digest


def test_without_records_nothing_is_downloaded(seeded: Seeded) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Pass:
        asked.append(request)
        return Pass()

    with proxy(seeded.uri, judge) as front:
        facts = seeded.checks(front.uri).facts(MODEL, NOTHING)

    assert (facts.digest, facts.records) == ("", ())
    assert [request.path.rpartition("/")[2] for request in asked if "artifacts" in request.path] == []


def test_the_files_are_downloaded_once_for_the_run_of_a_command(seeded: Seeded) -> None:
    downloads = "reconciler.evidence.model_files.digests"
    checks = seeded.checks()

    with counting() as calls:
        digests = {checks.digest(MODEL, GOOD) for _ in range(3)}

    assert (len(digests), calls[downloads]) == (1, 1)


def test_files_that_are_too_large_are_refused(seeded: Seeded) -> None:
    with pytest.raises(ReconcilerError, match="take more than 100 bytes"):
        digests(seeded.checks().registry, MODEL, GOOD, 100)


LISTINGS: dict[str, tuple[object, str]] = {
    "a path that climbs": ([{"path": "../../x", "is_dir": False, "file_size": 1}], "cannot be"),
    "an absolute path": ([{"path": "/etc/passwd", "is_dir": False, "file_size": 1}], "cannot be"),
    "a size that lies": ([{"path": "MLmodel", "is_dir": False, "file_size": 1}], "more than 100 bytes"),
    "none": ([], "there are none"),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_listings_that_lie(seeded: Seeded, case: str) -> None:
    files, why = LISTINGS[case]

    def judge(request: Request) -> Answer | Pass:
        listing = request.path.endswith("/mlflow-artifacts/artifacts") and request.method == "GET"
        return Answer(200, json.dumps({"files": files})) if listing else Pass()

    with proxy(seeded.uri, judge) as front, pytest.raises(ReconcilerError, match=why):
        digests(seeded.checks(front.uri).registry, MODEL, REPLACED, 100)


class OnDisk(MlflowRegistry):
    """A registry of one version, whose files are wherever it says."""

    def __init__(self, source: str) -> None:
        super().__init__("http://127.0.0.1:9", "http://127.0.0.1:9")
        self.source = source

    @property
    def store(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self

    def get_model_version(self, name: str, version: str) -> Any:
        return SimpleNamespace(name=name, version=version)

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        return self.source


ELSEWHERE = {
    "http": "http://127.0.0.1:8/api/2.0/mlflow-artifacts/artifacts/model",
    "mlflow-artifacts": "mlflow-artifacts://127.0.0.1:8/api/2.0/mlflow-artifacts/artifacts/model",
    "a host that ends at a backslash": r"http://127.0.0.1:8\@127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/model",
}


@pytest.mark.parametrize("source", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_another_server_is_not_asked(source: str) -> None:
    with pytest.raises(ReconcilerError, match=r"its files are on another server, which is not contacted\. Register a"):
        digests(OnDisk(source), MODEL, Version(1))


def test_a_store_whose_library_is_not_here_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("boto3", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ReconcilerError) as refused:
        digests(OnDisk("s3://acme/model"), MODEL, Version(1))

    said = r"\S+: the Python module boto(3|core[.a-z]*) is not installed\. Install what MLflow needs .* such as boto3"
    assert re.search(said, str(refused.value)), str(refused.value)


def test_another_server_is_not_asked_for_a_run_that_points_there(tmp_path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = f"sqlite:///{new_database(tmp_path / 'mlflow.db')}"
    store: Any = SqlAlchemyStore(uri, str(tmp_path))

    def run_at(place: str) -> str:
        experiment = store.create_experiment(place, artifact_location=place)
        return str(store.create_run(experiment, "ada", 0, [], "run").info.run_id)

    pointing = run_at(f"runs:/{run_at('http://127.0.0.1:8/files')}/files")

    with pytest.raises(ValueError, match="its files are on another server, which is not contacted"):
        Artifacts(MlflowRegistry(uri, uri)).of_run(pointing)


def test_a_version_that_is_not_there(seeded: Seeded, run: RunChecks) -> None:
    with pytest.raises(RegistryError) as refused:
        run(Version(99), "bias")

    assert refused.value.code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize(("names", "checks"), [(["bais"], POLICY.checks), ([], {})])
def test_checks_that_are_not_there(seeded: Seeded, names: list[str], checks: Any) -> None:
    with pytest.raises(ReconcilerError, match="has no check"):
        check_version(seeded.checks(), Noon(), MODEL, GOOD, replace(POLICY, checks=checks), ".", names)


def test_a_record_is_what_the_tag_says(seeded: Seeded, run: RunChecks) -> None:
    (result,) = run(GOOD, "bias", sign=HmacSigner(KEY).sign)

    assert decode_record("reconciler.check.bias", seeded.tags(GOOD)["reconciler.check.bias"]) == result.record


def test_links_in_a_store_on_disk_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "data" / "model.pkl").write_bytes(b"weights")
    before = digests(OnDisk(str(tmp_path)), MODEL, Version(1))

    (tmp_path / "data" / "passwd").symlink_to("/etc/passwd")

    assert total_digest(before).startswith("sha256:")
    with pytest.raises(ReconcilerError, match="data/passwd is a link"):
        digests(OnDisk(str(tmp_path)), MODEL, Version(1))


@pytest.mark.parametrize("name", [".netrc", ".git"])
def test_a_folder_that_is_no_model_is_not_fetched(tmp_path: Path, name: str) -> None:
    """A version may name any folder as its source; what is in it would be handed to code that nobody trusts."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "config").write_text("a token")
    if name == ".git":
        (tmp_path / "MLmodel").write_text("flavors: {}\n")

    with pytest.raises(ReconcilerError, match=r"no MLmodel file|a git repository"):
        digests(OnDisk(str(tmp_path)), MODEL, Version(1))


def test_only_what_the_commit_holds_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "config", "filter.evil.smudge", "sh -c 'echo smudged'")
    laid_out(folder)
    (folder / ".gitattributes").write_text("*.py filter=evil\n*.ipynb export-ignore\n*.csv text eol=crlf\n")
    (folder / "checks" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "checks" / "run.sh").chmod(0o755)
    (folder / "inside").symlink_to("checks/bias.py")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "up").symlink_to("../..")
    (folder / "sneaky").symlink_to("deep/er/up/../secret")
    (tmp_path / "secret").write_text("x")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Check for bias")
    (folder / "checks" / "bias.py").write_text("print('the change under review')")

    with exported(git_at(folder), Commit(git(folder, "rev-parse", "HEAD"))) as top:
        found = {path.relative_to(top).as_posix() for path in top.rglob("*") if not path.is_dir()}

        assert (top / "checks" / "bias.py").read_text() == SCRIPT
        assert (top / "inside").read_text() == SCRIPT
        assert (top / "data" / "held-out.csv").read_bytes() == HELD_OUT.encode()
        assert (top / "checks" / "run.sh").stat().st_mode & 0o111
        assert found == {*FILES, ".gitattributes", "checks/run.sh", "inside"}
    assert not top.exists()


def test_a_commit_that_is_not_there(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    with pytest.raises(ReconcilerError, match="no commit"), exported(git_at(tmp_path), Commit("a" * 40)):
        pass


def test_the_files_of_a_copy_are_where_its_original_has_them(seeded: Seeded) -> None:
    """Also when the original's name has become another model's: MLflow keeps the place with the copy."""
    checks, original, name = seeded.checks(), Original(MODEL, GOOD), ModelRef(f"{MODEL}.copies")
    registry = checks.registry
    registry.execute(CreateModel(name))
    registry.execute(RegisterVersion(name, Version(1), original.uri, seeded.run_id, original=original))
    registry.execute(RegisterVersion(name, Version(2), f"models:/{name}/1", seeded.run_id))

    there = registry.snapshot(Wanted({name: frozenset()})).models[name]

    assert [there.versions[Version(n)].original for n in (1, 2)] == [original, Original(name, Version(1))]
    places = [checks.place(MODEL, GOOD), *(checks.place(name, Version(n)) for n in (1, 2))]
    assert len(set(places)) == 1
    assert checks.place(MODEL, RUNLESS) not in places
    registry.execute(RenameModel(ModelRef(f"{MODEL}.moved"), name))
    assert checks.place(ModelRef(f"{MODEL}.moved"), Version(2)) in places
