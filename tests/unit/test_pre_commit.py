"""The hooks, run by pre-commit itself: the one that `init` writes, and the one of this repository."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.story.repository import git

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HOOK, FMT = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
WRITTEN = (ROOT / "reconciler" / "scaffold" / "pre-commit-config.yaml").read_text(encoding="utf-8")


def pre_commit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    return subprocess.run(
        [BIN / "pre-commit", *arguments],
        cwd=folder,
        env={**variables, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PRE_COMMIT_HOME": str(folder / ".cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with the hook, and with a model that is declared in two files."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".pre-commit-config.yaml").write_text(WRITTEN, encoding="utf-8")
    (tmp_path / ".gitignore").write_text(".cache\n", encoding="utf-8")
    write(tmp_path, "manifests/churn/staging.yaml", "model: churn\nstages:\n  Staging: 2\n")
    write(tmp_path, "manifests/churn/production.yaml", "model: churn\nstages:\n  Production: 1\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def write(top: Path, name: str, text: str) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    git(top, "add", "--", name)


def test_pre_commit_accepts_the_manifest_of_the_hook(tmp_path: Path) -> None:
    done = pre_commit(tmp_path, "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))

    assert done.returncode == 0, done.stdout


def test_the_hook_of_this_repository_does_what_the_one_that_init_writes_does() -> None:
    written: dict[str, Any] = yaml.safe_load(WRITTEN)["repos"][0]["hooks"][0]

    assert {key: HOOK[key] for key in ("id", "files", "pass_filenames")}.items() <= written.items()
    assert (written["entry"], written["language"]) == ("reconciler validate manifests", "system")
    assert (HOOK["entry"], HOOK["args"], HOOK["language"]) == ("action/hook.sh validate", ["manifests"], "script")
    assert {**HOOK, **FMT, "files": ""} == {**FMT, "files": ""}
    assert FMT["entry"] == "action/hook.sh fmt"


def test_the_hook_lets_a_right_manifest_pass(folder: Path) -> None:
    write(folder, "manifests/churn/production.yaml", "model: churn\nstages:\n  Production: 3\n")

    done = pre_commit(folder, "run")

    assert done.returncode == 0, done.stdout
    assert "Passed" in done.stdout


def test_the_hook_finds_what_is_wrong_between_a_file_and_one_that_did_not_change(folder: Path) -> None:
    write(folder, "manifests/churn/production.yaml", "model: churn\nstages:\n  Staging: 1\n")

    done = pre_commit(folder, "run")

    assert done.returncode == 1
    assert "declared-twice" in done.stdout
    assert "staging.yaml" in done.stdout


def test_the_hook_does_not_run_for_other_files(folder: Path) -> None:
    write(folder, "charts/values.yaml", "model: 1\n")

    done = pre_commit(folder, "run")

    assert done.returncode == 0
    assert "Skipped" in done.stdout


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("reconciler.yaml", "signers: 7\n", "reconciler.yaml:1:10"),
        ("reconciler.yml", "slots: []\n", "odd-policy-name"),
        ("manifests/churn/aliases.YAML", "model: churn\n", "odd-suffix"),
        ("manifests/churn/aliases.yaml.bak", "model: churn\n", "odd-suffix"),
    ],
)
def test_the_hook_runs_for_the_policy_and_for_what_only_looks_like_a_manifest(
    folder: Path, name: str, text: str, code: str
) -> None:
    write(folder, name, text)

    done = pre_commit(folder, "run")

    assert done.returncode == 1
    assert code in done.stdout


def test_the_hook_runs_for_the_signers(folder: Path) -> None:
    write(folder, "reconciler.yaml", "signers: .reconciler/allowed_signers\n")
    git(folder, "commit", "--quiet", "--message", "Name signers")
    write(folder, ".reconciler/allowed_signers", "ada@acme.example\n")

    assert "invalid-signer" in pre_commit(folder, "run").stdout
