"""What becomes of output that cannot be written as it is, or that nobody reads."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reconciler import console
from reconciler.core.review import Review
from reconciler.errors import ReconcilerError
from reconciler.events import Noticed
from reconciler.publishing import Publication
from reconciler.render.formats import Format
from reconciler.reporter import Reporter
from tests.exhibits import promotion_plan
from tests.golden.test_golden import RECEIPT


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("before")

    console.write_file(path, "after")

    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm")
def test_a_file_in_memory_is_a_file_as_any_other() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "plan.json"

        console.refuse_unwritable(path)
        console.write_file(path, "plan")

        assert path.read_text() == "plan"


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    console.refuse_unwritable(pipe)
    console.write_file(pipe, "plan")

    assert os.read(reader, 10) == b"plan"
    assert pipe.is_fifo()
    os.close(reader)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("before")
    (tmp_path / "here").symlink_to("there")

    console.write_file(tmp_path / "here", "after")

    assert (tmp_path / "here").is_symlink()
    assert (tmp_path / "there").read_text() == "after"


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="cannot be written"):
        console.refuse_unwritable(tmp_path / "nowhere" / "receipt.json")


def test_bytes_that_are_no_text_are_escapes_in_json(tmp_path: Path) -> None:
    console.write_file(tmp_path / "plan.json", json.dumps({"path": "manifests/\udcff.yaml"}, ensure_ascii=False))

    assert json.loads((tmp_path / "plan.json").read_bytes()) == {"path": "manifests/\udcff.yaml"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_apply_goes_on_when_nobody_listens_any_more(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    reporter = Reporter(form, lambda: "2026-05-01T10:00:00Z", "http://mlflow")

    with os.fdopen(writer, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        reporter.report(Noticed("Something."))
        reporter.finish(RECEIPT)
        reporter.finish(RECEIPT)


def test_a_letter_that_the_terminal_lacks_breaks_nothing_off(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yaml").write_text("模: 1\n", encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, "-c", "from reconciler.cli import main; main()", "validate"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )

    assert b"\\u6a21" in ended.stdout
    assert ended.stderr == b""


TOO_MUCH = """
import resource, sys
from pathlib import Path
from reconciler.console import write_file
from reconciler.errors import ReconcilerError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_file(Path(sys.argv[1]), "x" * 100_000)
except ReconcilerError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("linked", [False, True])
def test_of_a_file_that_does_not_fit_nothing_half_written_stays(tmp_path: Path, *, linked: bool) -> None:
    there, here = tmp_path / "there.json", tmp_path / "here.json"
    there.write_text("before")
    if linked:
        here.symlink_to("there.json")
    names = sorted(path.name for path in tmp_path.iterdir())

    ended = subprocess.run(
        [sys.executable, "-c", TOO_MUCH, here if linked else there], capture_output=True, text=True, check=False
    )

    assert "could not be written: File too large" in ended.stderr
    assert there.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_every_report_that_can_be_written_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    reports = [(Format.JSON, tmp_path / "folder"), (Format.MARKDOWN, tmp_path / "plan.md")]

    with pytest.raises(ReconcilerError, match="folder could not be written"):
        Publication(None, "key", reports).write_reports(Review(promotion_plan(), "sqlite:///x"))

    assert (tmp_path / "plan.md").read_text()
