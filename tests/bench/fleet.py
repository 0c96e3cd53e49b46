"""The registry that is measured: what its models look like, and the manifests that declare them just so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.names import AliasName, Commit, RepositoryId, Slot, Stage, alias_slot
from reconciler.core.snapshot import (
    OWNER_TAG,
    PROVENANCE_TAG,
    Ownership,
    Placement,
    encode_owner,
    encode_provenance,
)

REPOSITORY = RepositoryId("bench")
AUTHOR = "Ada Lovelace <ada@acme.example>"
CHAMPION = AliasName("champion")
VERSIONS = 5
SINCE = 1_760_000_000_000


@dataclass(frozen=True, slots=True)
class Placed:
    """Which versions a model has in its slots."""

    production: int = 3
    staging: int = 4
    champion: int = 3


PROMOTED = Placed(production=5, champion=5)
REPLACED = Placed(production=2, champion=2)
"""Something else than what was declared of any model before."""


def model_name(number: int) -> str:
    return f"risk-model-{number:05}"


def description(number: int) -> str:
    return f"Scores loan applications of segment {number}; retrained every week."


def manifest(number: int, placed: Placed) -> str:
    return (
        f"model: {model_name(number)}\n"
        f"description: {description(number)}\n"
        f'owners: ["@acme/risk-ml"]\n'
        f"tags: {{domain: credit}}\n"
        f"stages:\n"
        f"  Staging: {placed.staging}\n"
        f"  Production: {placed.production}\n"
        f"aliases:\n"
        f"  champion: {placed.champion}\n"
    )


def write_manifests(folder: Path, numbers: Iterable[int], placed: Placed) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{model_name(number)}.yaml").write_text(manifest(number, placed), encoding="utf-8")


Row = dict[str, Any]


def rows(numbers: Iterable[int], commit: Commit) -> dict[str, list[Row]]:
    """The rows of MLflow's tables, by the names of its SQLAlchemy classes, as an apply of `commit` would leave them."""
    found: dict[str, list[Row]] = {
        "SqlRegisteredModel": [],
        "SqlRegisteredModelTag": [],
        "SqlRegisteredModelAlias": [],
        "SqlModelVersion": [],
        "SqlModelVersionTag": [],
    }
    placed = Placed()
    owner = encode_owner(Ownership(REPOSITORY, (Stage.STAGING, Stage.PRODUCTION), (CHAMPION,), commit))
    for number in numbers:
        name = model_name(number)
        found["SqlRegisteredModel"].append(
            {"name": name, "creation_time": SINCE, "last_updated_time": SINCE, "description": description(number)}
        )
        for key, value in {"domain": "credit", OWNER_TAG: owner}.items():
            found["SqlRegisteredModelTag"].append({"name": name, "key": key, "value": value})
        found["SqlRegisteredModelAlias"].append({"name": name, "alias": CHAMPION, "version": placed.champion})
        for version in range(1, VERSIONS + 1):
            found["SqlModelVersion"].append(_version(name, number, version, placed))
            for key, value in _tags(version, placed, commit):
                found["SqlModelVersionTag"].append({"name": name, "version": version, "key": key, "value": value})
    return found


def _version(name: str, number: int, version: int, placed: Placed) -> Row:
    stage = {placed.production: Stage.PRODUCTION, placed.staging: Stage.STAGING, VERSIONS: Stage.NONE}
    run = f"{number * VERSIONS + version:032x}"
    return {
        "name": name,
        "version": version,
        "creation_time": SINCE + version,
        "last_updated_time": SINCE + version,
        "description": f"Retrained in week {version}.",
        "current_stage": str(stage.get(version, Stage.ARCHIVED)),
        "source": f"models:/m-{run}",
        "run_id": run,
        "status": "READY",
    }


def _tags(version: int, placed: Placed, commit: Commit) -> Iterator[tuple[str, str]]:
    yield "framework", "lightgbm"
    yield "dataset", f"loans-2025-w{version:02}"
    if version == placed.production:
        yield PROVENANCE_TAG, provenance([(Stage.PRODUCTION.slot, "Staging"), (alias_slot(CHAMPION), "v2")], commit)
    elif version == placed.staging:
        yield PROVENANCE_TAG, provenance([(Stage.STAGING.slot, "None")], commit)
    else:
        yield "owner", "risk-ml"


def provenance(
    slots: Iterable[tuple[Slot, str]], commit: Commit, at: str = "2025-10-09T08:53:20Z", receipt: str = ""
) -> str:
    """The record of what a commit brought into some slots, each with what was there before."""
    return encode_provenance(
        {
            slot: Placement(slot, REPOSITORY, commit, before, AUTHOR, at, "5" * 64, receipt=receipt)
            for slot, before in slots
        }
    )
