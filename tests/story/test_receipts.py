"""Whatever becomes of an apply and of its receipt, what it did can be read somewhere."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.story.command import RECONCILER, Ended, Reconciler
from tests.story.proxy import HeldMoves, proxy
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

FULL = Path("/dev/full")

on_a_full_device = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


def printed(ended: Ended) -> dict[str, Any]:
    """The receipt on standard error."""
    (line,) = [line for line in ended.err.splitlines() if line.startswith("{")]
    return json.loads(line)


def kept(repository: Repository) -> dict[str, Any]:
    return json.loads((repository.top / "receipt.json").read_text())


@on_a_full_device
def test_a_receipt_that_does_not_fit_on_the_disk_is_printed(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    ended = reconciler("apply", "--yes", "--receipt", str(FULL))

    assert ended.code == 1
    assert "/dev/full could not be written: No space left on device" in ended.err
    assert [(m["model"], m["status"]) for m in printed(ended)["models"]] == [(model, "applied")]
    assert registry.production(model) == [1]


@pytest.mark.parametrize("becomes", ["nothing", "a folder"])
def test_a_receipt_whose_place_is_gone_by_then_is_printed(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, becomes: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    folder = repository.top / "receipts"
    folder.mkdir()
    held = HeldMoves()

    with proxy(registry.uri, held) as front:
        running = reconciler.start(
            "apply", "--yes", "--receipt", "receipts/receipt.json", MLFLOW_TRACKING_URI=front.uri
        )
        running.until(held.writing.is_set)
        if becomes == "nothing":
            shutil.rmtree(folder)
        else:
            (folder / "receipt.json").mkdir()
        held.released.set()
        ended = running.wait()

    assert ended.code == 1
    assert "receipts/receipt.json could not be written" in ended.err
    assert printed(ended)["models"][0]["status"] == "applied"
    assert not folder.exists() or list(folder.iterdir()) == [folder / "receipt.json"]


@on_a_full_device
def test_an_apply_whose_output_does_not_fit_on_the_disk_goes_on_and_says_so(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    with FULL.open("wb") as out:
        ended = subprocess.run(
            [RECONCILER, "apply", "--yes", "--receipt", "receipt.json"],
            cwd=repository.top,
            env=dict(reconciler.environment),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert ended.returncode == 1
    assert b"Standard output could not be written: No space left on device" in ended.stderr
    assert b"Exception" not in ended.stderr
    assert registry.production(model) == [1]
    assert kept(repository)["models"][0]["status"] == "applied"


def test_an_apply_that_was_refused_leaves_a_receipt_that_says_why(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("plan", "--out", "plan.json").code == 0
    registry.move(model, 2, "Production")

    stale = reconciler("apply", "plan.json", "--receipt", "receipt.json")
    of_the_stale = kept(repository)
    assert reconciler("apply", "--yes").code == 0
    repository.delete()
    head = repository.commit()
    blocked = reconciler("apply", "--yes", "--receipt", "receipt.json")
    of_the_blocked = kept(repository)
    repository.merge("model: 7\n")
    wrong = reconciler("apply", "--yes", "--receipt", "receipt.json")
    of_the_wrong = kept(repository)

    assert (stale.code, blocked.code, wrong.code) == (4, 3, 1)
    assert (of_the_stale["exit_code"], of_the_stale["ending"]["reason"]) == (4, "plan-changed")
    assert of_the_stale["plan_digest"] != ""
    assert (of_the_blocked["exit_code"], of_the_blocked["ending"]["reason"]) == (3, "blocked")
    assert of_the_blocked["computed_from"]["commit"] == head
    assert of_the_blocked["computed_from"]["registry"] == registry.uri
    assert of_the_blocked["plan_digest"] == ""
    assert (of_the_wrong["exit_code"], of_the_wrong["ending"]["reason"]) == (1, "invalid-manifests")
    assert [r["models"] for r in (of_the_stale, of_the_blocked, of_the_wrong)] == [[], [], []]


def test_an_apply_that_gets_no_lock_leaves_a_receipt(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    os.rename(repository.remote, repository.remote.with_name("gone"))  # noqa: PTH104

    ended = reconciler("apply", "--yes", "--lock-timeout", "0", "--receipt", "receipt.json")

    assert ended.code == 1
    assert kept(repository)["ending"]["reason"] == "locked", ended.said
    assert git(repository.top, "status", "--porcelain") == "?? receipt.json"
