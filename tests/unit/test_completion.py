"""What a shell completes, by the script that is evaluated in it, and by what that script asks for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import run

MANIFESTS = """\
model: Risk
stages: {Production: 4, Staging: [5, 12]}
aliases: {champion: 4}
---
model: Churn
aliases: {north: 1}
---
model: "$(touch hacked) *"
stages: {Staging: 7}
---
model: Broken
stages: {Production: latest}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with manifests, in which we stand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECONCILER_MANIFESTS", raising=False)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "models.yaml").write_text(MANIFESTS)
    return tmp_path


def offered(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is offered for the last of some words."""
    listed = words.split(" ")
    monkeypatch.setenv("_RECONCILER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(listed) - 1))

    assert run([]) == 0

    output = capsys.readouterr()
    assert output.err == ""
    return [line.partition(",")[2] for line in output.out.split("\n") if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("reconciler compl", ["completion"]),
        ("reconciler promote ", ["Churn", "Risk"]),
        ("reconciler gates R", ["Risk"]),
        ("reconciler apply --restore C", ["Churn"]),
        ("reconciler plan --target ", ["Churn", "Risk"]),
        ("reconciler promote Risk ", ["12", "5", "4"]),
        ("reconciler promote Risk 1", ["12"]),
        ("reconciler promote Other ", ["12", "7", "5", "4", "1"]),
        ("reconciler promote Risk 5 --to ", ["Archived", "Production", "Staging", "None", "@champion"]),
        ("reconciler rollback Churn --to @", ["@north"]),
        ("reconciler rollback Risk --version ", ["12", "5", "4"]),
        ("reconciler demote Risk 4 --from P", ["Production"]),
        ("reconciler alias Risk ", ["champion"]),
        ("reconciler status Risk C", ["Churn"]),
        ("reconciler promot Risk ", []),
    ],
)
def test_models_versions_and_slots_come_from_the_manifests(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    expected: list[str],
) -> None:
    assert offered(words, monkeypatch, capsys) == expected


def test_the_folder_of_the_policy_is_looked_into_from_anywhere_below_its_top(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".git").mkdir()
    (folder / "manifests").rename(folder / "models")
    (folder / "reconciler.yaml").write_text("manifests: models\n")
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")

    assert offered("reconciler gates ", monkeypatch, capsys) == ["Churn", "Risk"]


def test_where_there_is_nothing_to_read_nothing_is_offered_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert offered("reconciler gates ", monkeypatch, capsys) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0

    assert f"_RECONCILER_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_the_shell_is_known_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run(["completion"]) == 0
    assert "fish_complete" in capsys.readouterr().out

    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert run(["completion"]) == 1
    assert "The shell is not known. Name it: bash, zsh, fish." in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_after_one_command(folder: Path) -> None:
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(reconciler completion bash)"
        COMP_WORDS=(reconciler gates R) COMP_CWORD=2
        _reconciler_completion reconciler R gates
        echo "${{COMPREPLY[@]}}"
    """

    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("Risk\n", "")
    assert not (folder / "hacked").exists()


def test_the_registries_that_the_policy_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    none = offered("reconciler plan --registry ", monkeypatch, capsys)
    (folder / "reconciler.yaml").write_text("registries: {dev: {}, prod: {}, preview: {}}\n")

    assert none == []
    assert offered("reconciler plan --registry p", monkeypatch, capsys) == ["prod", "preview"]
