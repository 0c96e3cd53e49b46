"""The canonical layout of manifests: what it decides, what it keeps, and that all files are written or none."""

from pathlib import Path

import pytest

import reconciler
from reconciler.cli import run
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.reading.manifest import KEY_ORDER
from reconciler.writing.canonical import canonical

UNTIDY = """\
# yaml-language-server: $schema=../schemas/manifest.schema.json
# Two are held.
hold :
- {reason: 'Leaks data, see INC-1.',  version: 3}
stages:
    # under test
    Staging:   5                  # a promotion is a one-line change
    # Archived: 1
    Production:

      # why
      comment: |
          It won.
            +4 %

      version: 4


    # end of stages
model: 'Risk'
owners: [ "ada",'grace' ]
aliases: {a: 1,
          b: 2}
# the end

---
# another one
model: Churn
stages:
  Production:
  -   comment: North.
      # pinned
      version: 21
  - # south
    22
"""

TIDY = """\
# yaml-language-server: $schema=../schemas/manifest.schema.json
model: "Risk"
owners: ["ada", "grace"]
stages:
  # under test
  Staging: 5                    # a promotion is a one-line change
  # Archived: 1
  Production:
    version: 4

    # why
    comment: |
        It won.
          +4 %

  # end of stages
aliases: {a: 1,
          b: 2}
# Two are held.
hold:
  - {version: 3, reason: "Leaks data, see INC-1."}
# the end

---
# another one
model: Churn
stages:
  Production:
    # pinned
    - version: 21
      comment: North.
    -  # south
      22
"""


def tidy(text: str) -> str:
    return canonical(text, KEY_ORDER)


def test_keys_indentation_spaces_quotes_and_blank_lines_are_decided_and_comments_stay() -> None:
    assert tidy(UNTIDY) == TIDY
    assert tidy(TIDY) == TIDY


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("description: |+\n  kept\n\n\n---\nmodel: A\n", id="line ends that a text keeps"),
        pytest.param("model: A\ndescription: |\n  no line end", id="a text without a line end"),
        pytest.param("model: A\ndescription: >-\n     five\n      six\n", id="a folded text"),
        pytest.param('model: A\ndescription: "a\\\n   b\\ \n   c"\n', id="a quoted text of several lines"),
        pytest.param("stages: &s {Staging: 5}\nmodel: A\naliases: {x: 5}\n", id="the order of keys beside an anchor"),
        pytest.param("? model\n: A\n", id="explicit keys"),
        pytest.param("%YAML 1.2\n---\nmodel:   A\n", id="directives"),
        pytest.param("model: A\ntags: {a: 1,   # one\n       b: 2}\n", id="brackets over several lines"),
        pytest.param("", id="nothing"),
        pytest.param("# only a comment\n", id="a comment alone"),
        pytest.param("---\nmodel: A\n", id="a first separator"),
    ],
)
def test_what_is_not_decided_stays_byte_for_byte(text: str) -> None:
    assert tidy(text) == text


def test_an_anchor_is_indented_and_keeps_its_name() -> None:
    text = (
        "model: A\nstages:\n      Staging: &five   5\n      Production: &p\n          - *five\naliases: {x:  *five}\n"
    )

    assert tidy(text) == (
        "model: A\nstages:\n  Staging: &five   5\n  Production: &p\n    - *five\naliases: {x: *five}\n"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of manifests, in which we stand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifests").mkdir()
    return tmp_path / "manifests"


def test_files_are_written_with_the_line_ends_and_the_mark_that_they_have(folder: Path) -> None:
    before = "\ufeff" + UNTIDY.replace("\n", "\r\n")
    (folder / "risk.yaml").write_bytes(before.encode())

    assert reconciler.fmt([folder]).write() == ("manifests/risk.yaml",)

    assert (folder / "risk.yaml").read_bytes() == ("\ufeff" + TIDY.replace("\n", "\r\n")).encode()
    assert reconciler.fmt([folder]).files == ()


def test_check_names_the_files_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "risk.yaml").write_text(UNTIDY)
    (folder / "tidy.yaml").write_text("model: Tidy\n")

    assert run(["fmt", "--check"]) == 1

    output = capsys.readouterr()
    assert output.out == "manifests/risk.yaml\n"
    assert output.err == "1 of 2 files would change. Run `reconciler fmt`.\n"
    assert (folder / "risk.yaml").read_text() == UNTIDY


def test_without_paths_the_folder_of_the_policy_is_meant_from_anywhere_below_its_top(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    top = folder.parent
    (top / ".git").mkdir()
    (top / "reconciler.yaml").write_text("manifests: models\n")
    (top / "models").mkdir()
    (top / "models" / "risk.yaml").write_text(UNTIDY)
    monkeypatch.chdir(folder)

    assert run(["fmt", "--check"]) == 1

    assert capsys.readouterr().out == "models/risk.yaml\n"


def test_diff_shows_what_would_change_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "risk.yaml").write_text("model:  Risk\n")

    assert run(["fmt", "--diff"]) == 0

    names = "--- a/manifests/risk.yaml\n+++ b/manifests/risk.yaml\n"
    assert capsys.readouterr().out == f"{names}@@ -1 +1 @@\n-model:  Risk\n+model: Risk\n"
    assert (folder / "risk.yaml").read_text() == "model:  Risk\n"
    assert run(["fmt", "--diff", "--check"]) == 1
    assert run(["fmt"]) == 0
    assert (folder / "risk.yaml").read_text() == "model: Risk\n"
    assert run(["fmt", "--check"]) == 0


def test_one_invalid_file_keeps_all_from_being_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text("model: Bad\nstages: {Production: latest}\n")
    (folder / "risk.yaml").write_text(UNTIDY)

    assert run(["fmt"]) == 1

    assert "manifests/bad.yaml:2:22: mutable-reference" in capsys.readouterr().err
    assert (folder / "risk.yaml").read_text() == UNTIDY
    with pytest.raises(ManifestError):
        reconciler.fmt([folder])


def test_a_link_is_followed_and_stays_a_link(folder: Path) -> None:
    (folder / "risk.yaml").write_text("model:   Risk\n")
    (folder / "link.yaml").symlink_to("risk.yaml")

    formatted = reconciler.fmt([folder / "link.yaml"])

    assert formatted.write() == ("manifests/risk.yaml",)
    assert (folder / "link.yaml").is_symlink()
    assert (folder / "risk.yaml").read_text() == "model: Risk\n"


def test_a_file_that_changed_meanwhile_is_not_overwritten(folder: Path) -> None:
    (folder / "risk.yaml").write_text("model:   Risk\n")
    formatted = reconciler.fmt([folder])
    (folder / "risk.yaml").write_text("model:   Other\n")

    with pytest.raises(ReconcilerError, match="changed while this ran"):
        formatted.write()


def test_the_policy_is_no_manifest(folder: Path) -> None:
    (folder.parent / "reconciler.yaml").write_text("slots: []\n")

    with pytest.raises(ReconcilerError, match="is the policy, not a manifest"):
        reconciler.fmt(["reconciler.yaml"])
