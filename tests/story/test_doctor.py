"""What is wrong with a set-up is said part by part, each with the way to mend it."""

import json
import os
from pathlib import Path

from tests.servers import free_port
from tests.story.command import Ended, Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest

GUARDED = "slots: [{slot: Production, gates: [{path: {from: Staging}}]}]\n"


def health(ended: Ended) -> dict[str, str]:
    return {finding["about"]: finding["health"] for finding in json.loads(ended.out)}


def test_a_set_up_that_is_whole_and_what_is_left_to_do(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))

    bare = reconciler("doctor")
    documented = reconciler("doctor", "--format", "json")

    assert (bare.code, documented.code) == (0, 0), bare.said
    assert health(documented) == {
        "repository": "fine",
        "remote origin": "fine",
        "lock": "fine",
        "manifests": "fine",
        "policy": "look",
        "registry": "fine",
        "files of init": "look",
        "signing key": "fine",
    }
    assert "No gate guards any slot." in bare.out
    assert "Write them: reconciler init" in bare.out
    assert git(repository.top, "ls-remote", "origin", "refs/reconciler/*") == ""


def test_a_policy_that_names_who_signs_is_said_to(repository: Repository, reconciler: Reconciler, model: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    (repository.top / "signers").write_text(f"ada@example.org {key}\n")
    (repository.top / "reconciler.yaml").write_text(f"signers: signers\n{GUARDED}")
    repository.merge(manifest(model, production=1))

    people_alone = reconciler("doctor")
    (repository.top / "signers").write_text(f'ci namespaces="reconciler-record" {key}\n')
    repository.commit("Name who signs records")
    named = reconciler("doctor")

    assert "The policy names no signers of records" in people_alone.out
    assert "1 rule; records are signed." in named.out


def test_each_part_that_is_broken_is_named_and_keeps_no_other_from_being_looked_at(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, tmp_path: Path
) -> None:
    (repository.top / "reconciler.yaml").write_text(GUARDED)
    repository.merge(f"model: {model}\nstages: {{Production: latest}}\n")
    git(repository.top, "remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    nobody = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}

    broken = reconciler("doctor", "--format", "json", **nobody, RECONCILER_SIGNING_KEY=str(tmp_path / "no-key"))

    assert broken.code == 1
    assert {about for about, how in health(broken).items() if how == "broken"} == {
        "remote origin",
        "manifests",
        "registry",
        "signing key",
    }
    assert health(broken)["lock"] == "look"
    assert all(finding["remedy"] for finding in json.loads(broken.out) if finding["health"] != "fine"), broken.out
    assert os.fspath(tmp_path / "nowhere.git") in broken.out
