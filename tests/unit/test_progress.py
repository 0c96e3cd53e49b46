"""How far long work is, and when that is said."""

import threading

import pytest

from reconciler.ports import Work, Working
from reconciler.reporter import Progress, progress_sentence


def said_of_work(progress: Progress, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What is said while three of nine models are read, until it has been said twice, or nobody is there to say it."""
    out, err = "", ""
    with Work(progress.hear, "Reading the registry", "models", 9) as work:
        work.advance(3)
        while "progress" in {thread.name for thread in threading.enumerate()} and err.count("\n") < 2:
            more = capsys.readouterr()
            out, err = out + more.out, err + more.err
    more = capsys.readouterr()
    return out + more.out, err + more.err


def test_a_job_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CI", "true")

    out, err = said_of_work(Progress(pause=0.0), capsys)

    assert out == ""
    assert [line.partition(" (")[0] for line in err.splitlines()[:2]] == ["Reading the registry: 3 of 9 models"] * 2


@pytest.mark.parametrize(("job", "quiet"), [("", False), ("false", False), ("true", True)])
def test_nothing_is_said_to_nobody_and_to_who_wants_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str, quiet: bool
) -> None:
    monkeypatch.setenv("CI", job)

    assert said_of_work(Progress(quiet=quiet, pause=0.0), capsys) == ("", "")


def test_work_is_over_when_the_last_thread_leaves_it() -> None:
    heard: list[Working] = []
    work = Work(heard.append, "Gathering evidence", "answers")

    with work:
        with work:
            work.advance()
        work.advance(2)

    assert [(working.done, working.over) for working in heard] == [
        (0, False),
        (0, False),
        (1, False),
        (1, False),
        (3, False),
        (3, True),
    ]


@pytest.mark.parametrize(
    ("working", "sentence"),
    [
        (Working("Reading the registry"), "Reading the registry (34 s)"),
        (
            Working("Reading the registry", 1200, None, "models and versions"),
            "Reading the registry: 1,200 models and versions (34 s)",
        ),
        (Working("Downloading a\x1b[2J v3", 7, 900, "MiB"), "Downloading a\\x1b[2J v3: 7 of 900 MiB (34 s)"),
    ],
)
def test_a_sentence_says_what_is_known(working: Working, sentence: str) -> None:
    assert progress_sentence(working, 34.2) == sentence
