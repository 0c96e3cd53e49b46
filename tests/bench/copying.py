"""How long a version takes from one registry to another, beside the same bytes sent bare, and beside `cp`."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from reconciler.carrying.process import Elsewhere, Place
from reconciler.carrying.writing import MlflowCarrier, Origin
from reconciler.core.changes import RegisterVersion
from reconciler.core.names import ModelRef, Original, Version
from reconciler.registry.mlflow import MlflowRegistry
from tests.bench.measure import environment
from tests.bench.results import Copying

MEBIBYTE = 1024 * 1024
FILES = 4


def measure_copying(uri: str, folder: Path, mebibytes: int, repeats: int) -> Copying:
    """
    Both registries are one server, which does the work of two. *Bare*: each file is read, written and read back with
    `requests`, as many bytes as a copy has to move.
    """
    source = folder / "copied"
    source.mkdir()
    (source / "MLmodel").write_text("flavors: {}\n")
    for number in range(FILES):
        (source / f"part-{number}.bin").write_bytes(os.urandom(MEBIBYTE) * (mebibytes // FILES))
    elsewhere = Elsewhere(lambda: Place(uri, uri, environment()), uri)
    elsewhere.names()  # what starting it takes is no matter of size
    cp, bare, bring = list[float](), list[float](), list[float]()
    with closing(requests.Session()) as session:
        for number in range(repeats):
            place, run_id, since = _registered(session, uri, source, f"copied-{number}")
            cp.append(_timed(lambda number=number: _cp(source, folder / f"cp-{number}")))
            bare.append(_timed(lambda place=place, number=number: _moved(session, uri, place, number, source)))
            original = Original(ModelRef(f"dev/copied-{number}"), Version(1))
            change = RegisterVersion(
                ModelRef("copied"), Version(1), original.uri, run_id, original=original, since=since
            )
            carrier = MlflowCarrier(MlflowRegistry(uri, uri), lambda _name: Origin(elsewhere, uri, ""))
            bring.append(_timed(lambda carrier=carrier, change=change: carrier.bring(change)))
    return Copying(mebibytes, FILES, repeats, min(cp), min(bare), min(bring))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _cp(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    shutil.rmtree(target)


def _registered(session: requests.Session, uri: str, source: Path, model: str) -> tuple[str, str, int]:
    def post(path: str, **fields: Any) -> Any:
        answer = session.post(f"{uri}/api/2.0/mlflow/{path}", json=fields, timeout=60)
        answer.raise_for_status()
        return answer.json()

    run = post("runs/create", experiment_id="0", start_time=1)["run"]["info"]
    place = f"{run['artifact_uri']}/model"
    for file in sorted(source.iterdir()):
        _put(session, _at(uri, place, file.name), file)
    post("runs/update", run_id=run["run_id"], status="FINISHED", end_time=2)
    post("registered-models/create", name=model)
    made = post("model-versions/create", name=model, source=place, run_id=run["run_id"])["model_version"]
    return place, run["run_id"], int(made["creation_timestamp"])


def _moved(session: requests.Session, uri: str, place: str, number: int, source: Path) -> None:
    for file in sorted(source.iterdir()):
        there, here = _at(uri, place, file.name), _at(uri, f"{place}-bare-{number}", file.name)
        with file.with_suffix(".moved").open("wb") as kept:
            _get(session, there, kept.write)
        _put(session, here, file.with_suffix(".moved"))
        _get(session, here, len)
        file.with_suffix(".moved").unlink()


def _at(uri: str, place: str, name: str) -> str:
    return f"{uri}/api/2.0/mlflow-artifacts/artifacts/{place.removeprefix('mlflow-artifacts:/').lstrip('/')}/{name}"


def _put(session: requests.Session, at: str, file: Path) -> None:
    with file.open("rb") as data:
        session.put(at, data=data, timeout=60).raise_for_status()


def _get(session: requests.Session, at: str, take: Callable[[bytes], object]) -> None:
    with session.get(at, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        for block in answer.iter_content(MEBIBYTE):
            take(block)
