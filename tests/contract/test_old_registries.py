"""
Registries as people have them: the shapes of two public repositories, one with a store of files and one with a database
of an older release. Names, numbers, times and oddities are as there; runs and places are made up. What is brought into
a database of today by MLflow's own tools is imported, and the plan right after it claims models and moves nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import create_engine, text

import reconciler
from reconciler.core.changes import Claim, RecordProvenance
from reconciler.core.names import ModelRef, Stage
from reconciler.ports import Wanted
from reconciler.registry.mlflow import MlflowRegistry
from tests.contract.test_databases import migrated as at_revision
from tests.story.repository import new_repository

TUNING = "LightGBM BayesOpt - Hyperparameter Tuning"
WINDOWS = r"C:\Users\ml\churn\mlruns\1\92025337761b47258bb509b166789a29\artifacts\model"

FILES: dict[str, list[dict[str, Any]]] = {
    # Thirty versions of a search, none of them in a stage; folders are listed as version-1, version-10, version-11.
    TUNING: [{"creation_timestamp": 1728487523954 + 8000 * n, "aliases": []} for n in range(30)],
    "Cutoff_best_value": [{}, {}],
    "V0_business_score_CO_09": [{"source": WINDOWS, "current_stage": "Production"}],
    # As releases before 2.3 wrote them: no aliases, no storage_location.
    "ElasticnetWineModel": [{"creation_timestamp": 1674116411142}, {"current_stage": "Archived"}],
    "Stratified Dummy Classifier": [],
    "edited by hand": [
        {"current_stage": "production"},
        {"current_stage": None, "creation_timestamp": 1674116411142.5, "last_updated_timestamp": 1674116411142.5},
        {"current_stage": "Staging", "creation_timestamp": None, "run_id": "", "status": None},
        {"source": None, "run_id": None, "version": "4", "description": None},
    ],
}
"""Each model, with what its versions say other than the usual."""

USUAL = {"current_stage": "None", "description": "", "run_link": "", "status": "READY", "user_id": None}

ALIASES = {TUNING: {"best": 17, "staging": 30}, "V0_business_score_CO_09": {"latest-good": 1}}

OLD_SCHEMA = "5b0e9adcef9c"
"""Of MLflow 2.13, the release that wrote the database."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store of files."""
    for model, versions in FILES.items():
        folder = tmp_path / "store" / "mlruns" / "models" / model
        at = 1728487480893
        _write(folder, {"aliases": {}, "creation_timestamp": at, "last_updated_timestamp": at, "name": model})
        for number, more in enumerate(versions, 1):
            run = f"{number:032x}"
            usual = {"creation_timestamp": at, "last_updated_timestamp": at, "name": model, "version": number}
            source = f"mlflow-artifacts:/83408/{run}/artifacts/model"
            _write(folder / f"version-{number}", {**USUAL, **usual, "run_id": run, "source": source, **more})
        for alias, number in ALIASES.get(model, {}).items():
            (folder / "aliases").mkdir(exist_ok=True)
            (folder / "aliases" / alias).write_text(str(number))
    return tmp_path / "store"


def _write(folder: Path, meta: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(dict(meta)))


@pytest.fixture
def migrated(store: Path) -> str:
    from mlflow.store import fs2db

    uri = f"sqlite:///{store / 'mlflow.db'}"
    fs2db.migrate(store, uri, progress=False)
    return uri


@pytest.fixture
def old_database(tmp_path: Path) -> str:
    """One model with two aliases, of which one is called like a stage, and one that was registered and never used."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    at_revision(uri, OLD_SCHEMA)
    with create_engine(uri).begin() as connection:
        for name, at in (("nyc-taxi-model", 1717688401070), ("random-forest-model", 1717010415621)):
            connection.execute(
                text("INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES (:name, :at, :at)"),
                {"name": name, "at": at},
            )
        connection.execute(
            text(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, "
                "current_stage, source, run_id, status, run_link) VALUES ('nyc-taxi-model', 1, 1717688401106, "
                "1717688401106, NULL, NULL, 'None', :source, '92025337761b47258bb509b166789a29', 'READY', '')"
            ),
            {"source": "file:///D:/code/week-02/mlruns/1/92025337761b47258bb509b166789a29/artifacts/model"},
        )
        for alias in ("in-preview", "staging"):
            connection.execute(
                text("INSERT INTO registered_model_aliases (alias, version, name) VALUES (:alias, 1, :name)"),
                {"alias": alias, "name": "nyc-taxi-model"},
            )
    return uri


@pytest.fixture(params=["migrated", "old_database"])
def uri(request: pytest.FixtureRequest) -> str:
    """The registry in the database of today."""
    found: str = request.getfixturevalue(request.param)
    at_revision(found, "head")
    return found


@pytest.mark.parametrize("split", ["model", "slot"])
def test_a_registry_is_imported_and_the_plan_claims_and_moves_nothing(uri: str, tmp_path: Path, split: str) -> None:
    (tmp_path / "work").mkdir()
    top = new_repository(tmp_path / "work").top
    project = reconciler.open(top, registry=uri)

    adopted = project.adopt(everything=True, split=split)
    adopted.write()
    plan = project.plan().plan
    again = reconciler.open(top, registry=uri).adopt(everything=True, split=split)

    names = {ModelRef(name) for name in MlflowRegistry(uri, uri).names()}
    assert {model.model for model in adopted.models if model.paths} == names
    assert not plan.blocked
    assert {model.model for model in plan.models} == names
    assert all(isinstance(change, Claim | RecordProvenance) for change in plan.changes)
    assert again.files == ()


def test_what_the_files_say_is_what_the_registry_is_read_to_hold(migrated: str) -> None:
    names = tuple(map(ModelRef, FILES))

    models = MlflowRegistry(migrated, migrated).snapshot(Wanted(dict.fromkeys(names, frozenset()))).models

    assert {name: len(live.versions) for name, live in models.items()} == {n: len(v) for n, v in FILES.items()}
    assert dict(models[ModelRef(TUNING)].aliases) == {"best": 17, "staging": 30}
    assert models[ModelRef("V0_business_score_CO_09")].occupants(Stage.PRODUCTION) == (1,)
    # MLflow finds no version for `models:/…/Production` where the stage is written in other letters.
    stages = [version.stage for _, version in sorted(models[ModelRef("edited by hand")].versions.items())]
    assert stages == [Stage.NONE, Stage.NONE, Stage.STAGING, Stage.NONE]
