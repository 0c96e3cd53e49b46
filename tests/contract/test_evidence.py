"""What MLflow really tells of model versions: against a server that has their runs, logged models and files."""

import math
import os
import platform
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from reconciler.core.changes import CreateModel, RegisterVersion, RenameModel
from reconciler.core.desired import NoSource, Origin, Pin, Source
from reconciler.core.evidence import Dataset, Metric, RunFacts, VersionFacts
from reconciler.core.names import ModelRef, Original, Slot, Version
from reconciler.core.signature import Column, Parameter, Scalar, Signature, Tensor
from reconciler.core.snapshot import Placement, encode_provenance
from reconciler.errors import Location, RegistryError
from reconciler.evidence.mlflow import MlflowEvidence
from reconciler.ports import UNREACHABLE, Asked, EvidenceSource, Wanted
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.testing.memory import MemoryEvidence
from tests.build import FIRST, OURS
from tests.servers import QUIET, free_port, new_database
from tests.story.command import run_script
from tests.story.proxy import Answer, Hang, Judge, Pass, Request, proxy

pytestmark = pytest.mark.server

AT = Location("manifests/churn.yaml", 3, 5)
CHURN = ModelRef("evidence «churn» & 50%")
PLAIN = ModelRef("evidence-plain")
HOSTILE = "<script>alert(1)</script>\n\x1b[31m| `x` |"
COMMIT = "c0ffee" * 6 + "abcd"

TRAINED, TWIN, COPIED = (Version(n) for n in range(1, 4))
BARE, VAGUE, RUNLESS, EMPTY, ORPHAN, OF_DELETED, BY_RUN = (Version(n) for n in range(1, 8))

STAGED = encode_provenance(
    {
        Slot("Staging"): Placement(Slot("Staging"), OURS, FIRST, "None", applied_at="2026-01-01T00:00:00Z"),
        Slot("Production"): Placement(Slot("Production"), OURS, FIRST, "Staging", applied_at="2026-01-04T12:00:00Z"),
    }
)


Find: TypeAlias = Callable[[Version], VersionFacts]


@dataclass(frozen=True)
class Seeded:
    """What was made on the server."""

    uri: str
    run_id: str
    logged_model: str
    held_out: Dataset
    last_year: Dataset


@pytest.fixture(scope="module")
def seeded(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    script = Path(__file__).with_name("evidence_seed.py")
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": mlflow_server}
    folder = tmp_path_factory.mktemp("seed")
    made = run_script(script, CHURN, PLAIN, HOSTILE, STAGED, folder=folder, environment=environment)
    assert made.code == 0, made.err[-3000:]
    run_id, logged_model, held_out, last_year = made.out.split()[-4:]
    return Seeded(mlflow_server, run_id, logged_model, Dataset("held-out", held_out), Dataset("last year", last_year))


@pytest.fixture(scope="module")
def evidence(seeded: Seeded) -> dict[tuple[ModelRef, Version], VersionFacts]:
    """All that there is, read at once."""
    asked = [Asked(CHURN, Version(n)) for n in (1, 2, 3)] + [Asked(PLAIN, Version(n)) for n in range(1, 8)]
    found = MlflowEvidence(seeded.uri, seeded.uri, patience=60).gather(asked)
    return {(one.model, one.version): facts for one, facts in found.items()}


@pytest.fixture
def churn(evidence: Mapping[tuple[ModelRef, Version], VersionFacts]) -> Callable[[Version], VersionFacts]:
    return lambda version: evidence[CHURN, version]


@pytest.fixture
def plain(evidence: Mapping[tuple[ModelRef, Version], VersionFacts]) -> Callable[[Version], VersionFacts]:
    return lambda version: evidence[PLAIN, version]


def test_what_the_registry_says_of_a_version(churn: Find, seeded: Seeded) -> None:
    facts = churn(TRAINED)

    assert facts.description == "Trained on\nMonday."
    assert facts.tags == {"review": HOSTILE}
    assert facts.url == f"{seeded.uri}/#/models/evidence%20%C2%ABchurn%C2%BB%20%26%2050%25/versions/1"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts.created_at)
    assert facts.missing == ()


def test_what_the_run_says(churn: Find, seeded: Seeded) -> None:
    run = churn(TRAINED).run

    assert run is not None
    assert run.started_at <= run.ended_at
    assert replace(run, started_at="", ended_at="") == RunFacts(
        run_id=seeded.run_id,
        name="train",
        experiment="evidence <b>",
        status="FINISHED",
        user="ada",
        source="https://git.acme.example/train.git#main.py",
        git_commit=COMMIT,
        url=run.url,
    )
    assert re.fullmatch(f"{seeded.uri}/#/experiments/[0-9]+/runs/{seeded.run_id}", run.url)


def test_a_metric_is_known_for_each_dataset_at_its_last_step(churn: Find, seeded: Seeded) -> None:
    metrics = churn(TRAINED).metrics

    assert [m for m in metrics if m.name == "auc"] == [
        Metric("auc", 0.93, seeded.held_out),
        Metric("auc", 0.81, seeded.last_year),
    ]
    assert Metric("loss", 0.3) in metrics


def test_a_metric_that_is_no_number_stays_none(churn: Find) -> None:
    undefined = next(m for m in churn(TRAINED).metrics if m.name == "undefined")

    assert math.isnan(undefined.value)


def test_a_model_has_not_the_metrics_of_another_that_its_run_has_logged(churn: Find, seeded: Seeded) -> None:
    assert churn(TWIN).metrics == (Metric("auc", 0.95, seeded.held_out),)


def test_params_of_the_logged_model_count_before_those_of_the_run(churn: Find) -> None:
    assert churn(TRAINED).params == {"C": "1", "note": HOSTILE, "penalty": "l1"}


def test_what_the_files_say(churn: Find) -> None:
    facts = churn(TRAINED)

    assert facts.signature == Signature(
        inputs=(Column("age", Scalar("double")), Column("visits", Scalar("long"))),
        outputs=(Column("", Tensor("int64", (-1,))),),
        params=(Parameter("threshold", "double", "0.5"),),
    )
    assert facts.flavors == {"python_function": "", "sklearn": library_version("scikit-learn")}
    assert facts.python == platform.python_version()
    assert facts.requirements is not None
    assert "scikit-learn==1.9.1" in facts.requirements
    assert facts.size is not None
    assert facts.size > 1000


def test_a_copy_is_known_like_what_it_was_copied_from(churn: Find) -> None:
    copied = replace(
        churn(COPIED), version=TRAINED, url=churn(TRAINED).url, created_at=churn(TRAINED).created_at, description=""
    )

    assert repr(replace(copied, tags={}, staged_at="", staged_until="", missing=())) == repr(
        replace(churn(TRAINED), description="", tags={}, staged_at="", staged_until="")
    )


def test_the_time_in_staging_comes_from_our_record(churn: Find) -> None:
    assert (churn(TRAINED).staged_at, churn(TRAINED).staged_until) == ("2026-01-01T00:00:00Z", "2026-01-04T12:00:00Z")


def test_a_version_that_somebody_else_put_into_staging_is_there_since_its_last_change(churn: Find) -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", churn(TWIN).staged_at)
    assert (churn(TWIN).staged_until, churn(TWIN).why_missing("staging")) == ("", "")


def test_a_folder_without_an_mlmodel_file_has_a_size(plain: Find) -> None:
    facts = plain(BARE)

    assert facts.size == 1000
    assert {gap.what: gap.why for gap in facts.missing} == {
        "signature": "the model has no MLmodel file",
        "flavors": "the model has no MLmodel file",
        "python": "the model has no MLmodel file",
        "requirements": "the model has no such file",
    }


def test_a_version_without_a_run(plain: Find) -> None:
    facts = plain(RUNLESS)

    assert (facts.run, facts.metrics, facts.params) == (None, (), {})
    assert facts.why_missing("run") == facts.why_missing("metrics") == "the version names no run"


def test_what_is_not_said_of_a_model_is_missing_and_the_rest_is_there(plain: Find) -> None:
    facts = plain(VAGUE)

    assert facts.run is not None
    assert facts.signature is None
    assert facts.why_missing("signature") == "it was logged without one"
    assert facts.flavors == {"python_function": "", "xgboost": "2.10"}
    assert facts.python == "3.10"
    assert facts.size is not None
    assert 1000 < facts.size < 3000


def test_requirements_are_told_without_comments_and_passwords(plain: Find) -> None:
    assert plain(VAGUE).requirements == (
        "xgboost==2.10",
        "--extra-index-url https://pypi.acme.example/simple",
        "scoring @ git+https://github.com/acme/scoring.git@v1",
    )


def test_a_source_that_holds_nothing(plain: Find) -> None:
    facts = plain(EMPTY)

    assert facts.run is not None
    assert {gap.what for gap in facts.missing} == {"signature", "flavors", "python", "requirements", "size"}
    assert facts.why_missing("size") == "its source holds no files"


def test_a_run_that_is_not_there(plain: Find) -> None:
    facts = plain(ORPHAN)

    assert facts.run is None
    assert facts.why_missing("run").startswith("there is no run 00000")
    assert {gap.what for gap in facts.missing if gap.gone} == {"run", "metrics"}


def test_a_run_that_was_deleted_is_still_read(plain: Find) -> None:
    facts = plain(OF_DELETED)

    assert facts.run is not None
    assert facts.run.deleted
    assert facts.metrics == (Metric("auc", 0.6),)
    assert facts.flavors["xgboost"] == "2.10"


def test_a_store_that_mlflow_does_not_know(plain: Find) -> None:
    assert plain(RUNLESS).why_missing("signature") == "MLflow does not support stores of the kind teapot"
    assert plain(RUNLESS).created_at


def test_a_model_that_is_named_by_its_run_is_found_where_mlflow_keeps_it(plain: Find, churn: Find) -> None:
    assert plain(BY_RUN).signature == churn(TRAINED).signature
    assert repr(plain(BY_RUN).metrics) == repr(churn(TRAINED).metrics)


@pytest.fixture(params=["memory", "server"])
def source(
    request: pytest.FixtureRequest, seeded: Seeded, evidence: Mapping[tuple[ModelRef, Version], VersionFacts]
) -> EvidenceSource:
    return MemoryEvidence(evidence) if request.param == "memory" else MlflowEvidence(seeded.uri, seeded.uri)


def test_a_brief_question_is_answered_with_the_metrics(source: EvidenceSource, churn: Find) -> None:
    brief = Asked(CHURN, TRAINED, brief=True)

    found = source.gather([brief])

    assert repr(found[brief].metrics) == repr(churn(TRAINED).metrics)
    assert found[brief].missing == ()


def test_a_version_that_is_not_there_is_missing_beside_one_that_is(source: EvidenceSource) -> None:
    there, gone, nowhere = Asked(PLAIN, BARE), Asked(PLAIN, Version(99)), Asked(ModelRef("nobody's"), Version(1))

    found = source.gather([there, gone, nowhere])

    assert found[there].size == 1000
    assert found[gone].why_missing("version") == f"the registry has no version 99 of {PLAIN}"
    assert found[nowhere].why_missing("version")
    assert (found[gone].model, found[gone].version) == (PLAIN, Version(99))


@pytest.mark.parametrize("kind", ["memory", "server"])
def test_runs_are_read_in_bulk_and_what_is_not_there_is_left_out(
    seeded: Seeded, evidence: Mapping[tuple[ModelRef, Version], VersionFacts], kind: str
) -> None:
    source = MemoryEvidence(evidence) if kind == "memory" else MlflowEvidence(seeded.uri, seeded.uri)
    known = {f.run.run_id: f.run.name for f in evidence.values() if f.run is not None}

    found = source.runs([*known, "0" * 32, "it's none"])

    assert known
    assert {run_id: run.name for run_id, run in found.items()} == known
    assert source.runs([]) == {}


def test_nothing_asked_is_nothing_read(source: EvidenceSource) -> None:
    assert source.gather([]) == {}


def through(seeded: Seeded, judge: Judge, version: Version = TRAINED, patience: float = 60) -> VersionFacts:
    """What is found with something between us and the server."""
    with proxy(seeded.uri, judge) as front:
        asked = Asked(CHURN, version)
        return MlflowEvidence(front.uri, front.uri, patience=patience).gather([asked])[asked]


def hangs(part: str) -> Judge:
    return lambda request: Hang() if part in request.path else Pass()


def fails(part: str, status: int = 500) -> Judge:
    return lambda request: Answer(status, "no") if part in request.path else Pass()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_runs_that_hang_hold_up_nothing_else(seeded: Seeded, churn: Find) -> None:
    facts = through(seeded, hangs("/runs/get"), patience=3)

    assert facts.run is None
    assert facts.why_missing("run") == "did not answer within 3 s"
    assert facts.signature == churn(TRAINED).signature
    assert [m.value for m in facts.metrics if m.name == "auc"] == [0.93, 0.81]


def test_files_that_hang_hold_up_nothing_else(seeded: Seeded, churn: Find) -> None:
    facts = through(seeded, hangs("/mlflow-artifacts/"), patience=3)

    assert repr(facts.metrics) == repr(churn(TRAINED).metrics)
    assert {gap.what for gap in facts.missing} == {"signature", "flavors", "python", "requirements", "size"}
    assert {gap.why for gap in facts.missing} == {"did not answer within 3 s"}


def test_what_hangs_does_not_keep_the_process_from_ending(seeded: Seeded) -> None:
    before = set(threading.enumerate())

    with proxy(seeded.uri, hangs("/mlflow-artifacts/")) as front:
        MlflowEvidence(front.uri, front.uri, patience=2).gather([Asked(CHURN, TRAINED)])

        ours = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("evidence")]
        assert ours
        assert all(thread.daemon for thread in ours)


WHY = {
    403: {"the server does not permit reading it"},
    404: {"its files are gone"},
    500: {"the server did not answer, or answered with an error"},
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("path", "status", "lacking"),
    [
        ("/runs/get", 500, {"run"}),
        ("/runs/get", 403, {"run"}),
        ("/logged-models/", 500, {"model"}),
        ("/experiments/get", 500, set[str]()),
        ("/mlflow-artifacts/", 500, {"signature", "flavors", "python", "requirements", "size"}),
        ("/mlflow-artifacts/", 404, {"signature", "flavors", "python", "requirements", "size"}),
        ("/MLmodel", 500, {"signature", "flavors", "python", "size"}),
        ("/requirements.txt", 500, {"requirements"}),
        ("/get-download-uri", 500, {"signature", "flavors", "python", "requirements", "size"}),
    ],
)
def test_whatever_fails_fails_alone_and_says_why(seeded: Seeded, path: str, status: int, lacking: set[str]) -> None:
    facts = through(seeded, fails(path, status))

    assert {gap.what for gap in facts.missing} == lacking
    assert all(gap.why in WHY[status] for gap in facts.missing)
    assert not any(gap.gone for gap in facts.missing)
    assert facts.description == "Trained on\nMonday."


@pytest.mark.usefixtures("impatient")
def test_a_page_that_a_proxy_does_not_find_is_no_word_of_mlflow_s(seeded: Seeded) -> None:
    facts = through(seeded, fails("/runs/get", 404))

    assert [(gap.what, gap.gone) for gap in facts.missing] == [("run", False)]


@pytest.mark.usefixtures("impatient")
def test_no_password_is_told(seeded: Seeded) -> None:
    with proxy(seeded.uri, fails("/runs/get")) as front:
        address = front.uri.replace("://", "://ada:s3cret@")
        asked = Asked(CHURN, TRAINED)

        facts = MlflowEvidence(address, address).gather([asked])[asked]

    assert facts.why_missing("run")
    assert "s3cret" not in repr(facts)
    assert facts.signature is not None


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_is_gone_is_an_error() -> None:
    uri = f"http://ada:s3cret@127.0.0.1:{free_port()}"

    with pytest.raises(RegistryError) as refused:
        MlflowEvidence(uri, uri).gather([Asked(CHURN, TRAINED), Asked(PLAIN, BARE, brief=True)])

    assert refused.value.code == UNREACHABLE
    assert "s3cret" not in str(refused.value)


def test_a_registry_that_hangs_is_an_error_in_time(seeded: Seeded) -> None:
    with proxy(seeded.uri, lambda _: Hang()) as front, pytest.raises(RegistryError) as refused:
        MlflowEvidence(front.uri, front.uri, patience=0.5).gather([Asked(CHURN, TRAINED)])

    assert refused.value.code == UNREACHABLE
    assert "did not answer within 0.5 s" in refused.value.message


def test_nothing_is_printed(seeded: Seeded, capfd: pytest.CaptureFixture[str]) -> None:
    asked = [Asked(CHURN, TRAINED), Asked(PLAIN, VAGUE), Asked(PLAIN, ORPHAN)]

    MlflowEvidence(seeded.uri, seeded.uri).gather(asked)

    assert capfd.readouterr() == ("", "")


def test_a_database_in_place_tells_the_same(tmp_path: Path) -> None:
    from mlflow.entities import Metric as MlflowMetric
    from mlflow.entities import Param
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

    uri = f"sqlite:///{new_database(tmp_path / 'registry.db')}"
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {python_function: {python_version: 3.12.1}}\nmodel_size_bytes: 77\n")
    tracking: Any = TrackingStore(uri, str(tmp_path / "artifacts"))
    registry: Any = RegistryStore(uri)
    run = tracking.create_run("0", "ada", 1_700_000_000_000, [], "in place")
    tracking.log_metric(run.info.run_id, MlflowMetric("auc", 0.5, 1, 0))
    tracking.log_param(run.info.run_id, Param("C", "1"))
    registry.create_registered_model(CHURN)
    registry.create_model_version(CHURN, str(model), run_id=run.info.run_id)
    asked = Asked(CHURN, Version(1))

    facts = MlflowEvidence(uri, uri).gather([asked])[asked]

    assert facts.url == ""
    assert facts.run is not None
    assert (facts.run.name, facts.run.experiment, facts.run.url) == ("in place", "Default", "")
    assert facts.run.started_at == "2023-11-14T22:13:20Z"
    assert (facts.metrics, facts.params) == ((Metric("auc", 0.5),), {"C": "1"})
    assert (facts.python, facts.size) == ("3.12.1", 77)


@pytest.mark.parametrize("scheme", ["http", "mlflow-artifacts"])
def test_a_source_on_another_server_is_not_asked(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    uri = f"sqlite:///{new_database(tmp_path / 'registry.db')}"
    registry: Any = SqlAlchemyStore(uri)
    registry.create_registered_model(CHURN)
    asked, requests = Asked(CHURN, Version(1)), list[Request]()

    def listen(request: Request) -> Answer:
        requests.append(request)
        return Answer(200, '{"files": []}')

    with proxy("http://127.0.0.1:9", listen) as elsewhere:
        registry.create_model_version(CHURN, elsewhere.uri.replace("http", scheme) + "/model")
        facts = MlflowEvidence(uri, "http://127.0.0.1:9").gather([asked])[asked]

    assert facts.why_missing("signature") == "its files are on another server, which is not contacted"
    assert requests == []


def test_a_tracking_database_that_is_not_there_is_not_made(seeded: Seeded, tmp_path: Path) -> None:
    asked = Asked(CHURN, TRAINED)

    facts = MlflowEvidence(seeded.uri, f"sqlite:///{tmp_path}/typo.db").gather([asked])[asked]

    assert "no SQLite database" in facts.why_missing("run")
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_logged_is_known_by_its_path_and_by_its_id_and_is_the_version_made_of_it(seeded: Seeded) -> None:
    by_id, by_path = Origin(model_id=seeded.logged_model), Origin(seeded.run_id, "model")
    elsewhere, nobody = Origin(seeded.run_id, "other"), Origin(model_id="m-nobody")
    registry = MlflowRegistry(seeded.uri, seeded.uri)

    found = MlflowEvidence(seeded.uri, seeded.uri).sources([by_id, by_path, elsewhere, nobody])

    source = found[by_id]
    assert isinstance(source, Source)
    assert source == found[by_path]
    assert (source.run_id, source.uri) == (seeded.run_id, f"models:/{seeded.logged_model}")
    assert re.match(r"finished 20\d\d-\d\d-\d\d, ", source.about)
    live = registry.snapshot(Wanted({CHURN: frozenset()})).models[CHURN]
    pins = [Pin(AT, model_id=seeded.logged_model), Pin(AT, run_id=seeded.run_id, artifact_path="model", source=source)]
    for pin in pins:
        assert [v.version for v in live.versions.values() if pin.means(v)] == [TRAINED]
    assert found[elsewhere] == NoSource(
        "no-such-source",
        f"Run {seeded.run_id} has no model at `other`; it has: `model`, `vague`.",
        "Correct `artifact_path`.",
    )
    mistyped = Pin(AT, run_id=seeded.run_id, artifact_path="other", source=found[elsewhere])
    assert not any(map(mistyped.means, live.versions.values())), "another model of the run is not what was declared"
    assert found[nobody] == NoSource("no-such-source", "There is no logged model m-nobody.", "Correct its ID.")


def test_a_logged_model_is_registered_as_mlflow_would(seeded: Seeded) -> None:
    name = ModelRef(f"made-of-{seeded.logged_model}")
    registry = MlflowRegistry(seeded.uri, seeded.uri)
    origin = Origin(model_id=seeded.logged_model)
    source = MlflowEvidence(seeded.uri, seeded.uri).sources([origin])[origin]
    assert isinstance(source, Source)

    registry.execute(CreateModel(name))
    registry.execute(RegisterVersion(name, Version(1), source.uri, source.run_id, source.model_id))

    row: Any = registry.store.get_model_version(name, "1")
    facts = MlflowEvidence(seeded.uri, seeded.uri, patience=60).gather([Asked(name, Version(1))])
    assert (row.run_id, row.source, row.status) == (seeded.run_id, f"models:/{seeded.logged_model}", "READY")
    assert facts[Asked(name, Version(1))].signature is not None


def test_an_original_says_when_it_was_renamed_and_is_of_the_run_that_is_named(seeded: Seeded) -> None:
    before, name = ModelRef("an-original"), ModelRef("an-original-renamed")
    registry, evidence = MlflowRegistry(seeded.uri, seeded.uri), MlflowEvidence(seeded.uri, seeded.uri)
    registry.execute(CreateModel(before))
    registry.execute(
        RegisterVersion(before, Version(1), f"models:/{seeded.logged_model}", seeded.run_id, seeded.logged_model)
    )
    first = Origin(original=Original(before, Version(1)))
    fresh = evidence.sources([first])[first]
    registry.execute(RenameModel(name, before))
    there, another, none = (
        Origin(run_id, original=Original(name, Version(number)))
        for run_id, number in ((seeded.run_id, 1), ("f" * 32, 1), (None, 2))
    )

    found = evidence.sources([first, there, another, none])

    renamed = found[there]
    assert isinstance(fresh, Source)
    assert isinstance(renamed, Source)
    assert fresh.since == fresh.changed == renamed.since < renamed.changed
    came = f"comes from run {seeded.run_id}, not from run {'f' * 32}"
    refusals = [one for one in (found[first], found[another], found[none]) if isinstance(one, NoSource)]
    assert [(one.code, one.why) for one in refusals] == [
        ("no-such-source", "There is no registered model an-original."),
        ("another-original", f"The v1 of {name} that is there {came}: it is another one."),
        ("no-such-source", f"There is no v2 of {name}."),
    ]
