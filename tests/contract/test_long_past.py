"""How many processes it takes to tell the past of one model, with real git and ssh-keygen."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.checks.signing import RecordSeals, SshSigner
from reconciler.core.chain import Link
from reconciler.core.moments import after
from reconciler.core.names import Commit, ModelRef, Stage
from reconciler.core.policy import RECORDS
from reconciler.git.receipts import GitReceipts
from reconciler.git.source import open_source
from reconciler.ports import World
from reconciler.project import Project
from reconciler.testing.builders import have
from reconciler.testing.memory import MemoryRegistry
from reconciler.wiring import LockKind, manifest_parser
from tests.counting import counting
from tests.story.repository import git, new_repository

START = "2026-01-01T00:00:00Z"


class Clock:
    def now(self) -> str:
        return "2026-06-01T00:00:00Z"


@cache
def processes(folder: Path, commits: int, about: int, others: int) -> int:
    """
    Started to tell the history of a model, of which so many signed receipts tell, and so many others of another model.
    """
    repository = new_repository(folder / f"{commits}-{about}-{others}")
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    for name, text in {
        "reconciler.yaml": "signers: signers\n",
        "signers": f'job namespaces="{RECORDS}" {public}\n',
        "manifests/churn.yaml": "model: churn\nstages: {Production: 1}\n",
        "manifests/fraud.yaml": "model: fraud\nstages: {Production: 1}\n",
    }.items():
        (repository.top / name).parent.mkdir(exist_ok=True)
        (repository.top / name).write_text(text)
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message", "Begin")
    for number in range(commits):
        (repository.top / "manifests" / "fraud.yaml").write_text(
            f"model: fraud\nstages: {{Production: {number % 4 + 2}}}\n"
        )
        git(repository.top, "commit", "--quiet", "--all", "--message", f"Change no. {number}")
    source = open_source(repository.top / "manifests", "house#manifests")
    receipts = GitReceipts(source.git, None)
    commit = Commit(git(repository.top, "rev-parse", "HEAD"))
    sign = SshSigner(key, RECORDS).sign
    for number, model in enumerate(["churn"] * about + ["fraud"] * others):
        receipts.append(Link(f"r{number}", after(START, number), receipt(model, number, commit)), sign)
    registry = MemoryRegistry({ModelRef(name): have({1: Stage.PRODUCTION}, name=name) for name in ("churn", "fraud")})
    read = manifest_parser()
    world = World(source, read, registry, Clock(), receipts=receipts, parse_past=lambda _: read, seals=RecordSeals())

    def opener(lock: LockKind, **_: object) -> World:
        return world

    with counting() as calls:
        found = Project(cast(Any, opener), None).history(["churn"])
    signed = [sighting.applying.signed for past in found.of.models for sighting in past.sightings]
    assert signed == [True] * about
    return calls["subprocess.Popen.__init__"]


def receipt(model: str, number: int, commit: Commit) -> dict[str, Any]:
    at = after(START, number)
    held = {"slot": "Production", "before": [number % 2 + 1], "after": [(number + 1) % 2 + 1]}
    return {
        "computed_from": {"commit": commit, "registry": "memory://", "workspace": ""},
        "started_at": at,
        "finished_at": at,
        "models": [{"model": model, "status": "applied", "calls": [], "slots": [held]}],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("past")


# Some more than are read one after the other.
FEW = 7


def test_more_commits_take_no_more_processes(folder: Path) -> None:
    assert processes(folder, 60, 2, FEW) == processes(folder, 6, 2, FEW)


def test_receipts_about_other_models_take_no_more_processes(folder: Path) -> None:
    assert processes(folder, 6, 2, 2 * FEW) == processes(folder, 6, 2, FEW)


def test_a_signed_receipt_about_the_model_takes_one_process(folder: Path) -> None:
    assert processes(folder, 6, 9, 2) - processes(folder, 6, 2, FEW) == 7
