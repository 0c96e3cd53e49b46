"""The registry as everybody else sees it: MLflow's REST API, without any code of ours."""

import json
import sqlite3
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Registry:
    """A data scientist's or a consumer's client."""

    uri: str
    workspace: str = ""
    user: tuple[str, str] = ("", "")

    def make_workspace(self) -> None:
        """Make the workspace that it is a client of."""
        body = json.dumps({"name": self.workspace}).encode()
        at = f"{self.uri}/api/3.0/mlflow/workspaces"
        Registry(self.uri)._call(urllib.request.Request(at, body, {"Content-Type": "application/json"}))

    def register(self, *models: str, versions: int) -> None:
        """New models, each with versions 1 to `versions`, all of them in no stage."""
        for model in models:
            self._post("registered-models/create", name=model)
            for number in range(1, versions + 1):
                self._post("model-versions/create", name=model, source=f"s3://models/{model}/{number}")

    def train(self, model: str, mlmodel: str, **metrics: float) -> None:
        """One version more, as a run logs it: with figures, and an MLmodel file that the server keeps."""
        run = self._post("runs/create", experiment_id="0", run_name="train")["run"]["info"]
        for name, value in metrics.items():
            self._post("runs/log-metric", run_id=run["run_id"], key=name, value=value, timestamp=1)
        place = f"{run['artifact_uri']}/model"
        path = place.removeprefix("mlflow-artifacts:/").lstrip("/")
        address = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel"
        urllib.request.urlopen(urllib.request.Request(address, mlmodel.encode(), method="PUT"), timeout=60).close()
        self._post("model-versions/create", name=model, source=place, run_id=run["run_id"])

    def store(self, run: dict[str, Any], files: dict[str, bytes], path: str = "model") -> str:
        """Files that a run has logged at a path; where that is."""
        place = "/".join(filter(None, (run["artifact_uri"], path)))
        folder = place.removeprefix("mlflow-artifacts:/").lstrip("/")
        for name, data in files.items():
            address = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}"
            urllib.request.urlopen(urllib.request.Request(address, data, method="PUT"), timeout=60).close()
        return place

    def train_with(self, model: str, files: dict[str, bytes], **metrics: float) -> str:
        """One version more, of a finished run with parameters, tags, a dataset and these files; gives the run's ID."""
        run = self._post("runs/create", experiment_id="0", run_name="train", start_time=1)["run"]["info"]
        run_id: str = run["run_id"]
        for step, (name, value) in enumerate([pair for pair in metrics.items() for _ in range(3)]):
            self._post("runs/log-metric", run_id=run_id, key=name, value=value, timestamp=step, step=step)
        self._post("runs/log-parameter", run_id=run_id, key="depth", value="6")
        for key in ("team", "mlflow.source.git.commit", "mlflow.log-model.history", "reconciler.provenance"):
            self._post("runs/set-tag", run_id=run_id, key=key, value="a" * 40)
        dataset = {"name": "loans", "digest": "9f2c7a1b", "source_type": "local", "source": "loans.csv"}
        context = [{"key": "mlflow.data.context", "value": "training"}]
        self._post("runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset, "tags": context}])
        place = self.store(run, files)
        self.end_run(run_id)
        self._post("model-versions/create", name=model, source=place, run_id=run_id)
        return run_id

    def train_logged(self, model: str, files: dict[str, bytes], f1: float) -> str:
        """One version more, of a logged model of MLflow 3 with a figure on a dataset and these files; gives its ID."""
        run = self._post("runs/create", experiment_id="0", run_name="train", start_time=1)["run"]["info"]
        made = self._post(
            "logged-models", experiment_id="0", name="model", source_run_id=run["run_id"], model_type="classifier"
        )["model"]["info"]
        self._post("runs/outputs", run_id=run["run_id"], models=[{"model_id": made["model_id"], "step": 0}])
        on = {"dataset_name": "loans", "dataset_digest": "9f2c7a1b"}
        figure = {"key": "f1", "value": f1, "timestamp": 1, "step": 0}
        self._post("runs/log-metric", run_id=run["run_id"], model_id=made["model_id"], **figure, **on)
        self.store({"artifact_uri": made["artifact_uri"]}, files, "")
        body = json.dumps({"model_id": made["model_id"], "status": "LOGGED_MODEL_READY"}).encode()
        at = self._at(f"logged-models/{made['model_id']}")
        self._call(urllib.request.Request(at, body, {"Content-Type": "application/json"}, method="PATCH"))
        self.end_run(run["run_id"])
        source = f"models:/{made['model_id']}"
        self._post("model-versions/create", name=model, source=source, run_id=run["run_id"], model_id=made["model_id"])
        return made["model_id"]

    def make_experiment(self, name: str, place: str) -> str:
        """An experiment with its files at a place; gives its ID."""
        return self._post("experiments/create", name=name, artifact_location=place)["experiment_id"]

    def experiment(self, experiment_id: str) -> str:
        """What an experiment is called."""
        return self._get("experiments/get", experiment_id=experiment_id)["experiment"]["name"]

    def register_in(self, experiment_id: str, model: str) -> str:
        """One version more, of a run in an experiment, with its files where those are said to be; gives that place."""
        run = self._post("runs/create", experiment_id=experiment_id, start_time=1)["run"]["info"]
        self.end_run(run["run_id"])
        place = f"{run['artifact_uri']}/model"
        self._post("model-versions/create", name=model, source=place, run_id=run["run_id"])
        return place

    def logged_model(self, model_id: str) -> dict[str, Any]:
        return self._get(f"logged-models/{model_id}")["model"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self._get("runs/get", run_id=run_id)["run"]

    def history(self, run_id: str, metric: str) -> list[float]:
        answer = self._get("metrics/get-history", run_id=run_id, metric_key=metric)
        return [float(point["value"]) for point in answer.get("metrics", [])]

    def source(self, model: str, version: int) -> str:
        return self._get("model-versions/get", name=model, version=str(version))["model_version"]["source"]

    def files(self, place: str) -> dict[str, bytes]:
        """What is stored at a place, by paths below it."""
        folder = place.removeprefix("mlflow-artifacts:/").lstrip("/")
        found: dict[str, bytes] = {}
        address = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts"
        for entry in self._call(self._signed(f"{address}?{urlencode({'path': folder})}")).get("files", []):
            if entry.get("is_dir"):
                below = self.files(f"{place}/{entry['path']}")
                found |= {f"{entry['path']}/{name}": data for name, data in below.items()}
            else:
                with urllib.request.urlopen(self._signed(f"{address}/{folder}/{entry['path']}"), timeout=60) as answer:
                    found[entry["path"]] = answer.read()
        return found

    def replace_file(self, folder: str, name: str, data: bytes) -> None:
        """Somebody writes another file in the place of one."""
        request = self._signed(f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}")
        request.data, request.method = data, "PUT"
        urllib.request.urlopen(request, timeout=60).close()

    def _signed(self, address: str) -> urllib.request.Request:
        request = urllib.request.Request(address)
        if self.user[0]:
            request.add_header("Authorization", f"Basic {b64encode(':'.join(self.user).encode()).decode()}")
        return request

    def log(self, **metrics: float) -> str:
        """A run that logs a model as `model`, and goes on; gives its ID."""
        run = self._post("runs/create", experiment_id="0", run_name="train", start_time=1)["run"]["info"]
        for name, value in metrics.items():
            self._post("runs/log-metric", run_id=run["run_id"], key=name, value=value, timestamp=1)
        path = f"{run['artifact_uri']}/model".removeprefix("mlflow-artifacts:/").lstrip("/")
        address = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel"
        urllib.request.urlopen(urllib.request.Request(address, b"flavors: {}\n", method="PUT"), timeout=60).close()
        return run["run_id"]

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        self._post("runs/update", run_id=run_id, status=status, end_time=1_763_600_000_000)

    def delete(self, model: str) -> None:
        body, kind = json.dumps({"name": model}).encode(), {"Content-Type": "application/json"}
        self._call(urllib.request.Request(self._at("registered-models/delete"), body, kind, method="DELETE"))

    def delete_run(self, run_id: str) -> None:
        self._post("runs/delete", run_id=run_id)

    def versions(self, model: str) -> dict[int, str]:
        """The runs of the versions."""
        answer = self._get("model-versions/search", filter=f"name = '{model}'")
        return {int(row["version"]): row.get("run_id", "") for row in answer.get("model_versions", [])}

    def move(self, model: str, version: int, stage: str, *, archive: bool = False) -> None:
        """What somebody does by hand."""
        self._post(
            "model-versions/transition-stage",
            name=model,
            version=str(version),
            stage=stage,
            archive_existing_versions=archive,
        )

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self._post("registered-models/alias", name=model, alias=alias, version=str(version))

    def stages(self, model: str) -> dict[int, str]:
        """Which stage each version is in; those in none are left out."""
        answer = self._get("model-versions/search", filter=f"name = '{model}'")
        rows = answer.get("model_versions", [])
        return {int(row["version"]): row["current_stage"] for row in rows if row["current_stage"] != "None"}

    def production(self, model: str) -> list[int]:
        """What is in Production."""
        return sorted(version for version, stage in self.stages(model).items() if stage == "Production")

    def loads(self, model: str) -> list[int]:
        """What a consumer would load as `models:/<model>/Production`."""
        answer = self._post("registered-models/get-latest-versions", name=model, stages=["Production"])
        return [int(row["version"]) for row in answer.get("model_versions", [])]

    def aliases(self, model: str) -> dict[str, int]:
        rows = self._model(model).get("aliases", [])
        return {row["alias"]: int(row["version"]) for row in rows}

    def tags(self, model: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self._model(model).get("tags", [])}

    def version_tags(self, model: str, version: int) -> dict[str, str]:
        answer = self._get("model-versions/get", name=model, version=str(version))
        return {tag["key"]: tag["value"] for tag in answer["model_version"].get("tags", [])}

    def set_tag(self, model: str, key: str, value: str) -> None:
        self._post("registered-models/set-tag", name=model, key=key, value=value)

    def set_version_tag(self, model: str, version: int, key: str, value: str) -> None:
        self._post("model-versions/set-tag", name=model, version=str(version), key=key, value=value)

    def _model(self, model: str) -> dict[str, Any]:
        return self._get("registered-models/get", name=model)["registered_model"]

    def _get(self, path: str, **fields: str) -> dict[str, Any]:
        return self._call(urllib.request.Request(f"{self._at(path)}?{urlencode(fields)}"))

    def _post(self, path: str, **fields: Any) -> dict[str, Any]:
        body = json.dumps(fields).encode()
        return self._call(urllib.request.Request(self._at(path), body, {"Content-Type": "application/json"}))

    def _at(self, path: str) -> str:
        return f"{self.uri}/api/2.0/mlflow/{path}"

    def _call(self, request: urllib.request.Request) -> dict[str, Any]:
        if self.workspace:
            request.add_header("X-MLFLOW-WORKSPACE", self.workspace)
        if self.user[0]:
            request.add_header("Authorization", f"Basic {b64encode(':'.join(self.user).encode()).decode()}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def production_in(database: Path, model: str) -> list[int]:
    """
    What is in Production by the server's own database, which can be asked while the server is dead: what that left
    half-done is undone.
    """
    query = "SELECT version FROM model_versions WHERE name = ? AND current_stage = 'Production' ORDER BY version"
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=30)) as connection:
        return [int(row[0]) for row in connection.execute(query, (model,))]


@dataclass
class Sightings:
    """What somebody saw who kept looking. `all` has each look, `changes` leaves out what was seen just before."""

    all: list[list[int]] = field(default_factory=list[list[int]])

    @property
    def changes(self) -> list[list[int]]:
        return [seen for number, seen in enumerate(self.all) if number == 0 or seen != self.all[number - 1]]

    @property
    def never_other_than_one(self) -> bool:
        return bool(self.all) and all(len(seen) == 1 for seen in self.all)


BETWEEN_LOOKS = 0.01
"""Seconds; less than what two calls to a server lie apart."""


@contextmanager
def watched(*looks: Callable[[], list[int]]) -> Generator[list[Sightings]]:
    """Keep looking in another thread, at least once before and once after what is done meanwhile."""
    sightings = [Sightings() for _ in looks]
    began, over = Event(), Event()
    failures: list[Exception] = []

    def keep_looking() -> None:
        try:
            while True:
                last = over.is_set()
                for look, seen in zip(looks, sightings, strict=True):
                    seen.all.append(look())
                began.set()
                if last:
                    return
                # Without a break the looks take more of a small machine than what is looked at.
                over.wait(BETWEEN_LOOKS)
        except Exception as error:  # noqa: BLE001  # raised again below, where the test sees it
            failures.append(error)
            began.set()

    thread = Thread(target=keep_looking)
    thread.start()
    began.wait()
    try:
        yield sightings
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
