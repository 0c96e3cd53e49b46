"""The bundle for an auditor, with real git, a real server and a real zip: made here, verified elsewhere."""

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

from tests.house.people import GRACE, job_line, key_of, person_line
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest
from tests.story.test_gates import approve

POLICY = """\
signers: signers
slots:
- slot: Production
  gates:
  - metric: {name: f1, threshold: 0.5}
  - artifact: {pinned: true}
  - approvals: {count: 1, of: owners}
"""
MLMODEL = """\
flavors:
  sklearn: {sklearn_version: 1.4.2}
signature:
  inputs: '[{"name": "income", "type": "double", "required": true}]'
  outputs: '[{"type": "long", "required": true}]'
"""


def test_a_bundle_is_made_once_and_for_all_and_verified_far_away(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    registry.register(model, versions=0)
    for f1 in (0.6, 0.7):
        registry.train(model, MLMODEL, f1=f1)
    signers = person_line(GRACE) + job_line(key_of("job"))
    owned = f'owners: ["{GRACE.email}"]\n'
    for name, text in (("reconciler.yaml", POLICY), ("signers", signers)):
        (repository.top / name).write_text(text)
    git(repository.top, "add", "--all")
    before = repository.merge(manifest(model) + owned)
    repository.propose(manifest(model, production=2) + owned)
    approve(repository, GRACE.key, GRACE.email)
    repository.merge_proposal()
    key = str(key_of("job"))
    applied = reconciler("apply", "--yes", "--signing-key", key, "--policy-ref", before)
    made = reconciler("evidence", model, "2", "--signing-key", key)
    again = reconciler("evidence", model, "2", "--signing-key", key, "--out", "again.zip")
    bundle = repository.top / made.out.split()[-1]
    there = bundle.read_bytes()
    bundle.write_bytes(b"mine")
    refused = reconciler("evidence", model, "2")
    unknown = reconciler("evidence", model, "9")

    # Far away: another folder, no repository, no registry, no network.
    away = tmp_path / "auditor"
    away.mkdir()
    (away / "x.zip").write_bytes(there)
    (away / "signers").write_text(signers)
    auditor = replace(reconciler, folder=away, environment={**reconciler.environment, "MLFLOW_TRACKING_URI": ""})
    proven = auditor("audit", "x.zip", "--signers", "signers")
    alone = auditor("audit", "x.zip")
    (away / "y.zip").write_bytes(there.replace(b"0.7", b"0.9"))
    changed = auditor("audit", "y.zip", "--signers", "signers")
    (repository.top / "x.zip").write_bytes(there)
    at_home = reconciler("audit", "x.zip")
    none = auditor("audit", "none.zip")
    mixed = auditor("audit", "x.zip", "--push")

    assert applied.code == 0, applied.said
    assert made.code == 0, made.said
    assert there == (repository.top / "again.zip").read_bytes()
    assert again.code == 0
    assert (refused.code, "is another bundle" in refused.err, bundle.read_bytes()) == (1, True, b"mine")
    assert (unknown.code, "Nothing is known of v9" in unknown.err) == (1, True)
    assert (proven.code, proven.out.splitlines()[-1]) == (0, "Audit: 1 receipts, 0 wrong, 0 not proven."), proven.said
    assert (alone.code, "Pass --signers FILE" in alone.out) == (2, True)
    assert (changed.code, "card.md was changed" in changed.out or "is damaged" in changed.out) == (3, True)
    assert at_home.code == 0, at_home.said
    assert (none.code, "'none.zip' does not exist" in none.err) == (1, True)
    assert (mixed.code, "--push is about the receipts" in mixed.err) == (1, True)
    tested = subprocess.run(["unzip", "-tq", str(away / "x.zip")], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    with zipfile.ZipFile(away / "x.zip") as archive:
        card = archive.read("card.md").decode()
        assert "MLmodel" in archive.read("files.json").decode()
    for text in ("| `f1` | 0.7 |", "`income: double`", f"`{GRACE.email}`", "signed receipt"):
        assert text in card
