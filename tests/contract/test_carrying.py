"""What is brought from one registry to another, both databases that are opened in place, with files in folders."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.carrying import process
from reconciler.carrying.process import Elsewhere, Place
from reconciler.carrying.writing import MlflowCarrier, Origin
from reconciler.core.changes import Brought, RegisterVersion
from reconciler.core.names import ModelRef, Original, Version
from reconciler.core.policy import COPIES
from reconciler.errors import ReconcilerError
from reconciler.evidence.model_files import StoredFiles
from reconciler.registry.mlflow import MlflowRegistry
from tests.servers import new_database
from tests.story.command import warm_reader
from tests.story.conftest import INHERITED

FILES = {"MLmodel": b"flavors: {}\n", "data/model.pkl": b"\0" * 1000}


@dataclass
class Pair:
    """dev's risk has a v1, of a finished run with figures."""

    dev: Any
    prod: Any
    carrier: MlflowCarrier
    change: RegisterVersion
    place: Path

    def bring(self) -> Brought:
        return self.carrier.bring(self.change)

    def brought(self, what: Brought | None = None) -> dict[str, bytes]:
        """The files that are in prod, of all that was brought, or of one."""
        run_id = "" if what is None else what.run_id
        tops = [top for top in self.place.rglob("model") if top.is_dir() and run_id in (*top.parts, "")]
        return {
            file.relative_to(top).as_posix(): file.read_bytes()
            for top in tops
            for file in top.rglob("*")
            if file.is_file()
        }


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "PROGRAM", (warm_reader(),))
    uris = {name: f"sqlite:///{new_database(tmp_path / f'{name}.db')}" for name in ("dev", "prod")}
    dev, prod = (MlflowClient(uri, uri) for uri in uris.values())
    experiments = {name: tmp_path / f"files-of-{name}" for name in uris}
    experiment = dev.create_experiment("trained", experiments["dev"].as_uri())
    prod.create_experiment(COPIES, experiments["prod"].as_uri())
    run = dev.create_run(experiment, run_name="train", start_time=1).info
    for step in range(3):
        dev.log_metric(run.run_id, "f1", step / 10, timestamp=step, step=step)
    for path, data in FILES.items():
        file = tmp_path / "logged" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    dev.log_artifacts(run.run_id, str(tmp_path / "logged"), "model")
    dev.set_terminated(run.run_id, "FINISHED", 5)
    dev.create_registered_model("risk")
    made = dev.create_model_version("risk", f"{run.artifact_uri}/model", run.run_id)
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    elsewhere = Elsewhere(lambda: Place(uris["dev"], uris["dev"], environment), uris["dev"])
    carrier = MlflowCarrier(MlflowRegistry(uris["prod"], uris["prod"]), lambda _: Origin(elsewhere, "dev", ""))
    original = Original(ModelRef("dev/risk"), Version(1))
    change = RegisterVersion(
        ModelRef("risk"),
        Version(1),
        original.uri,
        run.run_id,
        original=original,
        since=int(made.creation_timestamp),
    )
    return Pair(dev, prod, carrier, change, experiments["prod"])


@pytest.mark.parametrize(("who", "status"), [("dev", "FINISHED"), ("prod", "RUNNING")])
def test_nothing_is_written_where_a_version_rests_on_it(pair: Pair, who: str, status: str) -> None:
    first = pair.bring()
    pair.prod.create_registered_model("risk")
    pair.prod.create_model_version("risk", first.source, first.run_id)
    pair.prod.update_run(first.run_id, status)
    (there,) = (pair.place if who == "prod" else pair.place.with_name("files-of-dev")).rglob("model.pkl")
    there.write_bytes(b"X" * 1000)
    before = {file: file.read_bytes() for file in pair.place.rglob("*") if file.is_file()}

    second = pair.bring()

    assert second.run_id != first.run_id
    assert {file: file.read_bytes() for file in before} == before
    wanted = {**FILES, "data/model.pkl": b"X" * 1000} if who == "dev" else FILES
    assert pair.brought(second) == wanted
    assert pair.bring() == second


def test_files_and_figures_are_brought_once_and_what_is_there_must_be_what_was_sent(pair: Pair) -> None:
    first = pair.bring()
    again = pair.bring()
    history = [point.value for point in pair.prod.get_metric_history(first.run_id, "f1")]
    pair.prod.update_run(first.run_id, "RUNNING")
    (there,) = pair.place.rglob("model.pkl")
    there.write_bytes(b"other")
    mended = pair.bring()
    here = pair.brought()
    pair.prod.update_run(first.run_id, "RUNNING")
    (there.parent / "planted.py").write_text("import os\n")

    assert first == again == mended
    assert history == [0.0, 0.1, 0.2]
    assert here == FILES
    with pytest.raises(ReconcilerError, match=r"has files that it does not have, such as data/planted\.py") as refused:
        pair.bring()
    assert f"mlflow runs delete --run-id {first.run_id}" in refused.value.fix
    pair.prod.delete_run(first.run_id)
    assert pair.bring().run_id != first.run_id


def test_what_is_in_the_experiment_of_copies_is_where_copies_are_brought_to(pair: Pair) -> None:
    brought, top = pair.bring(), pair.place.as_uri()
    pair.prod.create_registered_model("risk")
    for source in (brought.source, f"{top}-elsewhere/model", f"{top}/../elsewhere", f"{top}/%2e%2e/elsewhere", top):
        pair.prod.create_model_version("risk", source, brought.run_id)

    kept = [pair.carrier.keeps(ModelRef("risk"), Version(number)) for number in range(1, 6)]

    assert kept == [True, False, False, False, False]


def test_what_cannot_be_brought_to_its_place_or_is_another_one_is_not_brought(pair: Pair) -> None:
    experiment = pair.prod.get_experiment_by_name(COPIES).experiment_id

    pair.prod.rename_experiment(experiment, "other")
    with pytest.raises(ReconcilerError, match="There is no experiment `reconciler copies`"):
        pair.bring()
    pair.prod.rename_experiment(experiment, COPIES)
    pair.prod.delete_experiment(experiment)
    with pytest.raises(ReconcilerError, match="The experiment `reconciler copies` was deleted"):
        pair.bring()
    pair.prod.restore_experiment(experiment)
    pair.dev.delete_registered_model("risk")
    pair.dev.create_registered_model("risk")
    pair.dev.create_model_version("risk", "s3://elsewhere/model")
    with pytest.raises(ReconcilerError, match="is another one than was planned for"):
        pair.bring()

    assert pair.brought() == {}


def test_nothing_is_written_to_a_folder_of_this_machine_because_a_server_names_it(
    pair: Pair, mlflow_server: str, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    here, name = tmp_path / "here", f"copies-{tmp_path.name}"
    MlflowClient(mlflow_server, mlflow_server).create_experiment(name, here.as_uri())
    carrier = replace(pair.carrier, registry=MlflowRegistry(mlflow_server, mlflow_server), experiment=name)

    with pytest.raises(ReconcilerError, match="has files on the disk of whoever asks for them"):
        carrier.bring(pair.change)

    assert not here.exists()


def test_a_link_among_the_files_is_not_followed(pair: Pair, tmp_path: Path) -> None:
    (there,) = tmp_path.joinpath("files-of-dev").rglob("model.pkl")
    secret = tmp_path / "secret"
    secret.write_text("of prod's job")
    there.unlink()
    there.symlink_to(secret)

    with pytest.raises(ReconcilerError, match="is a link, or not a regular file"):
        pair.bring()

    assert b"of prod" not in b"".join(pair.brought().values())


def stored(top: Path, folder: Path, most_bytes: int = 10_000) -> StoredFiles:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    folder.mkdir()
    return StoredFiles(LocalArtifactRepository(top.as_uri()), folder, most_bytes)


@pytest.mark.parametrize("put", ["a link", "a link to its folder", "a pipe", "more than was there"])
def test_what_is_put_in_the_place_of_a_file_after_it_was_listed_is_not_read(tmp_path: Path, put: str) -> None:
    top, secret = tmp_path / "top", tmp_path / "secret"
    for path in (top / "data" / "model.pkl", top / "MLmodel", secret / "model.pkl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of prod's job" if "secret" in path.parts else "a")
    files, (there, below) = stored(top, tmp_path / "ours"), (top / "data" / "model.pkl", top / "data")
    listed = files.listed()
    there.unlink()
    if put == "a link":
        there.symlink_to(secret / "model.pkl")
    elif put == "a link to its folder":
        below.rmdir()
        below.symlink_to(secret)
    elif put == "a pipe":
        os.mkfifo(there)
    else:
        with there.open("wb") as file:
            file.truncate(1 << 40)

    with (
        pytest.raises(ValueError, match=r"is a link|is not a regular file|take more than"),
        files.at_hand("data/model.pkl"),
    ):
        pass

    assert listed == {"MLmodel": 1, "data/model.pkl": 1}
    assert [*(tmp_path / "ours").rglob("*")] == []


@dataclass
class Shelf:
    """A store that says what it has."""

    paths: list[str]

    def list_artifacts(self, folder: str | None) -> list[Any]:
        return [SimpleNamespace(path=path, is_dir=False, file_size=-1) for path in self.paths if folder is None]


@pytest.mark.parametrize(
    "path", ["../a", "a/../b", "/a", "%2e%2e/a", "a/%252e%252e/b", "a%2Fb", "a%00b", "a\nb", "a\\b"]
)
def test_no_path_of_a_store_leads_out_of_it_however_it_is_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="one has the path"):
        StoredFiles(Shelf(["MLmodel", path]), tmp_path).found()


def test_names_that_lead_nowhere_else_are_taken_as_they_are(tmp_path: Path) -> None:
    assert [*StoredFiles(Shelf(["MLmodel", "50%.txt", "a%20b", "ä/é"]), tmp_path).found()] == [
        "50%.txt",
        "MLmodel",
        "a%20b",
        "ä/é",
    ]
