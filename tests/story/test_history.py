"""The commands that tell of the past, with real git and a real server: what they say, and their exit codes."""

import csv
import io
import json

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

RECEIPTS = "refs/reconciler/receipts"


def test_the_past_of_a_model_is_told_and_audited(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    first = repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2))
    repository.remote.rename(repository.remote.with_name("away.git"))
    alone = reconciler("apply", "--yes", "--no-lock")
    unpushed = reconciler("audit")
    repository.remote.with_name("away.git").rename(repository.remote)
    pushed = reconciler("audit", "--push")
    told = reconciler("history", model, "--report", "html=history.html", "--report", "csv=history.csv")
    now = reconciler("as-of", "now", model, "--format", "json")
    changed = reconciler("diff", first, "--target", model)
    same = reconciler("diff", "now", "--target", model)
    exported = reconciler("receipts", "kept")
    again = reconciler("receipts", "kept")
    files = reconciler("audit", "kept")
    refused = reconciler("receipts", "kept", "--prune-before", "now")
    git(repository.remote, "update-ref", RECEIPTS, f"{RECEIPTS}~1")
    reset = reconciler("audit")
    wrong = reconciler("as-of", "soon")

    assert alone.code == 0
    assert "was not pushed: git " in alone.err
    assert (unpushed.code, "unpushed" in unpushed.out) == (2, True)
    assert pushed.code == 0, pushed.said
    assert "Pushed: 1 receipt." in pushed.err
    assert told.code == 0
    assert told.out.endswith("History: 2 promote.\n")
    rows = list(csv.DictReader(io.StringIO((repository.top / "history.csv").read_text())))
    assert [(row["slot"], row["before"], row["after"], row["turning"]) for row in rows] == [
        ("Production", "", "1", "promote"),
        ("Production", "1", "2", "promote"),
    ]
    assert rows[0]["commit"] == first
    assert "v1 → v2" in (repository.top / "history.html").read_text()
    (slot,) = json.loads(now.out)["slots"]
    assert (slot["certain"], slot["possible"][0]["versions"]) == (True, [2])
    assert (changed.code, same.code) == (2, 0)
    assert (exported.code, exported.out) == (0, "Exported: 2 receipts to kept.\nKept: 2 receipts.\n")
    assert again.out.startswith("Exported: 0 receipts to kept.")
    assert (files.code, "Audit: 2 receipts, 0 wrong, 0 not proven." in files.out) == (0, True), files.said
    assert (refused.code, "nobody who signs records" in refused.err) == (1, True)
    assert (reset.code, "rewritten" in reset.out, "missing" in reset.out) == (3, True, True)
    assert (wrong.code, "`soon` is no time." in wrong.err) == (1, True)
