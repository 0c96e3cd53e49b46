"""What is said of several registries, as one."""

import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.options import GATHERING
from reconciler.cli.several import each_registry
from reconciler.core.limits import MARKDOWN_CHARACTERS, REGISTRIES
from reconciler.core.names import Commit
from reconciler.errors import ExitCode, ReconcilerError, SeveralRegistriesError
from reconciler.ports import Forge, Request
from reconciler.publishing import Gathered, Gathering
from reconciler.render.formats import Format
from reconciler.render.marker import Marker, read_marker, read_markers
from reconciler.render.several import KEY, Part, part_of, several_document, several_markdown, together

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
keys = st.text("0123456789abcdef", min_size=12, max_size=12)
markers = st.builds(Marker, keys, digests, st.just("a" * 40), st.frozensets(digests, max_size=2))
bodies = st.text("ab\n#<!- ", max_size=30)


@given(st.lists(st.tuples(markers, bodies), min_size=1, max_size=4, unique_by=lambda one: one[0].key))
def test_a_later_run_reads_of_each_registry_what_was_shown_of_it(parts: list[tuple[Marker, str]]) -> None:
    shown = several_markdown([Part(f"r{n}", f"{marker}\n{body}") for n, (marker, body) in enumerate(parts)])

    whole = read_marker(shown)

    assert whole is not None
    assert (whole.key, whole.commit) == (KEY, "a" * 40)
    assert read_markers(shown)[1:] == tuple(marker for marker, _ in parts)
    for marker, _ in parts:
        part = part_of(shown, marker.key)
        assert part is not None
        assert read_marker(part) == marker


def test_what_is_written_below_the_first_lines_is_no_marker() -> None:
    mine, forged = Marker("a" * 12, "b" * 64), Marker("c" * 12, "d" * 64)
    shown = several_markdown([Part("dev", f"{mine}\nA model says:\n{forged}\n"), Part("prod", "", "It *failed*")])

    assert part_of(shown, forged.key) is None
    assert part_of(shown, KEY) is None
    assert part_of(str(mine), mine.key) is None, "it is the comment of one registry"


def test_the_whole_is_another_one_when_a_part_is() -> None:
    one, other = (several_markdown([Part("dev", str(Marker("a" * 12, c * 64)))]) for c in "bc")

    assert read_marker(one) != read_marker(other)


def test_documents_and_errors_stand_by_the_names_of_their_registries() -> None:
    document = json.loads(several_document([Part("dev", '{"digest": "x"}'), Part("prod", "", "Gone.", "error")]))

    assert document == {
        "format_version": "1.0",
        "registries": {"dev": {"digest": "x"}, "prod": {"error": {"reason": "error", "message": "Gone."}}},
    }


@dataclass
class Board:
    """A forge that keeps what it is shown."""

    comment_limit: int = MARKDOWN_CHARACTERS
    comments: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    told: list[tuple[Mapping[str, str], str]] = field(default_factory=list[tuple[Mapping[str, str], str]])

    def comment(self, body: str, key: str) -> str | None:
        self.comments.append((body, key))
        return None

    def withdraw(self, write: Callable[[str], str]) -> None:
        raise AssertionError(write)

    def reviewed(self, commit: Commit, key: str) -> str | None:
        raise AssertionError((commit, key))

    def request(self, commit: Commit, *, merged: bool = False) -> Request | None:
        raise AssertionError((commit, merged))

    def tell(self, outputs: Mapping[str, str], summary: str) -> None:
        self.told.append((outputs, summary))


@given(st.integers(1, REGISTRIES))
def test_the_comment_about_all_is_one_and_no_longer_than_the_forge_takes(number: int) -> None:
    board, kept = Board(), Gathered()

    for n in range(number):
        forge = Gathering(f"registry-with-the-longest-name-there-is-{n}", board, number, kept)
        marker = str(Marker(f"{n:012x}", "b" * 64, "a" * 40))
        forge.comment(marker + "\n" + "x" * (forge.comment_limit - len(marker) - 1), f"{n:012x}")
    kept.publish(board)

    [(body, key)] = board.comments
    assert key == KEY
    assert len(body) <= board.comment_limit
    assert body.count("## `") == number


def test_later_steps_are_told_of_all_of_them() -> None:
    board, kept = Board(), Gathered()
    for name, values in (
        ("dev", {"changes": "true", "blocked": "false", "digest": "1"}),
        ("prod", {"changes": "false", "blocked": "true", "digest": "2", "failure-reason": "blocked"}),
        ("eu", {"failure-reason": "error"}),
    ):
        Gathering(name, board, 3, kept).tell(values, f"What happened in {name}")
    Gathering("eu", board, 3, kept).withdraw(lambda key: f"{Marker(key, 'b' * 64)}\nNo plan.")
    kept.publish(board)

    [(told, summary)] = board.told
    assert told == {"changes": "true", "blocked": "true", "digest": "1 2", "failure-reason": "blocked"}
    assert [f"What happened in {name}" in summary for name in ("dev", "prod", "eu")] == [True] * 3
    assert "No plan." in board.comments[0][0]


class _Frames(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pages: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "iframe":
            assert ("sandbox", None) in attrs
            self.pages.append(dict(attrs)["srcdoc"] or "")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=40), max_size=3))
def test_each_page_stands_in_a_frame_as_it_is_and_reaches_nothing_around_it(pages: list[str]) -> None:
    parts = [Part(f"r{n}", page) for n, page in enumerate(pages)]
    frames = _Frames()
    frames.feed(together(Format.HTML, [*parts, Part("gone", "", "<b>It failed</b>")]))

    assert frames.pages == pages
    assert "b" not in frames.tags
    assert "script" not in frames.tags


PROMETHEUS = """\
# HELP reconciler_info The release.
# TYPE reconciler_info gauge
reconciler_info{version="1"} 1
# HELP reconciler_read When.
# TYPE reconciler_read gauge
reconciler_read 5
"""
SUITES = '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="churn" tests="0" /></testsuites>\n'


@pytest.mark.parametrize(
    ("form", "texts", "whole"),
    [
        (Format.CSV, ["a,b\n1,2\n", "a,b\n3,4\n"], "registry,a,b\ndev,1,2\nprod,3,4\n"),
        (
            Format.PROMETHEUS,
            [PROMETHEUS, PROMETHEUS],
            (
                "# HELP reconciler_info The release.\n# TYPE reconciler_info gauge\n"
                'reconciler_info{registry="dev",version="1"} 1\nreconciler_info{registry="prod",version="1"} 1\n'
                "# HELP reconciler_read When.\n# TYPE reconciler_read gauge\n"
                'reconciler_read{registry="dev"} 5\nreconciler_read{registry="prod"} 5\n'
            ),
        ),
        (
            Format.GITLAB_TERRAFORM,
            ['{"create": 1, "update": 0, "delete": 2}', '{"create": 1, "update": 3, "delete": 0}'],
            '{"create": 2, "update": 3, "delete": 2}\n',
        ),
        (Format.CODE_QUALITY, ['[{"a": 1}]', "[]"], '[\n  {\n    "a": 1\n  }\n]\n'),
        (
            Format.SARIF,
            ['{"version": "2.1.0", "runs": [1]}', '{"version": "2.1.0", "runs": [2]}'],
            '{\n  "version": "2.1.0",\n  "runs": [\n    1,\n    2\n  ]\n}\n',
        ),
        (Format.GITHUB, ["::error::a\n", "::error::b\n"], "::error::a\n::error::b\n"),
        (
            Format.JUNIT,
            [SUITES, ""],
            (
                '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="reconciler">\n'
                '  <testsuite name="dev: churn" tests="0" />\n'
                '  <testsuite name="prod" failures="0" errors="1" skipped="0" tests="1">\n'
                '    <testcase classname="prod" name="plan">\n      <error message="Gone." />\n    </testcase>\n'
                "  </testsuite>\n</testsuites>\n"
            ),
        ),
    ],
    ids=lambda one: one.value if isinstance(one, Format) else "",
)
def test_what_other_programs_read_of_several_is_one_file_of_the_same_kind(
    form: Format, texts: list[str], whole: str
) -> None:
    parts = [Part(name, text, "" if text else "Gone.") for name, text in zip(("dev", "prod"), texts, strict=True)]
    assert together(form, parts) == whole


@pytest.mark.parametrize("form", list(Format))
def test_of_none_that_succeeded_there_is_a_result_in_every_format(form: Format) -> None:
    assert isinstance(together(form, [Part("dev", "", "Gone.", "error")]), str)


@click.command()
@click.option("--registry", "named")
@click.option("--receipt", type=click.Path(path_type=Path))
@each_registry(writes=lambda _: True)
def applying(named: str | None, receipt: Path | None) -> int:
    if named is None:
        raise SeveralRegistriesError(("dev", "prod", "eu"))
    if named == "prod":
        raise click.Abort
    if receipt is not None:
        receipt.write_text(f'{{"id": "{named}"}}')
    return ExitCode.BLOCKED


def test_an_interruption_ends_all_that_is_left_and_keeps_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = tmp_path / "receipt.json"

    code: object = applying.main(["--receipt", str(receipt)], standalone_mode=False)

    assert code == ExitCode.INTERRUPTED
    told = capsys.readouterr().err
    assert "Interrupted: nothing was written for prod." in told
    assert "Not begun: eu." in told
    written = json.loads(receipt.read_text())["registries"]
    assert written["dev"] == {"id": "dev"}
    assert written["prod"]["error"]["reason"] == "interrupted"


def _meeting(names: tuple[str, ...], endings: Mapping[str, Callable[[], int]]) -> click.Command:
    """A command that reads, and of which each registry waits until all of them have begun."""
    begun = multiprocessing.get_context("fork").Barrier(len(names))

    @click.command()
    @click.option("--registry", "named")
    @click.option("--format", "form", default="text")
    @each_registry()
    def reading(named: str | None, form: str) -> int:
        if named is None:
            raise SeveralRegistriesError(names)
        begun.wait(60)
        click.echo(f"1 of {named}", err=True)
        click.echo(json.dumps({"registry": named}) if form == "json" else f"2 of {named}")
        click.echo(f"3 of {named}", err=True)
        return endings.get(named, lambda: ExitCode.OK)()

    return reading


def _fails(error: BaseException) -> Callable[[], int]:
    def end() -> int:
        raise error

    return end


def _killed() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_registries_are_read_at_the_same_time_and_shown_in_order() -> None:
    reading = _meeting(("dev", "prod", "eu"), {"prod": lambda: ExitCode.BLOCKED})

    ended = CliRunner().invoke(reading, [], standalone_mode=False)

    assert ended.return_value == ExitCode.BLOCKED, ended.exception
    lines = [line for line in ended.output.splitlines() if line]
    assert lines == [
        line for name in ("dev", "prod", "eu") for line in (f"{name}:", f"1 of {name}", f"2 of {name}", f"3 of {name}")
    ]
    assert "2 of prod" in ended.stdout
    assert "2 of prod" not in ended.stderr


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (_fails(ReconcilerError("It is gone.")), "Error: prod: It is gone."),
        (_fails(KeyError("x")), "Error: prod: KeyError: 'x'. This is a bug in reconciler"),
        (_killed, "Error: prod: The process that was for it ended early (-9)."),
        (_fails(SystemExit(0)), "Error: prod: A library ended the command early (0)."),
    ],
)
def test_whatever_ends_one_ends_no_other(end: Callable[[], int], message: str) -> None:
    reading = _meeting(("dev", "prod", "eu"), {"prod": end})

    ended = CliRunner().invoke(reading, ["--format", "json"], standalone_mode=False)

    assert ended.return_value == ExitCode.ERROR, ended.exception
    document = json.loads(ended.stdout)["registries"]
    assert [set(document[name]) for name in ("dev", "prod", "eu")] == [{"registry"}, {"error"}, {"registry"}]
    assert message in ended.stderr


def test_an_interruption_ends_what_is_read_in_other_processes() -> None:
    begun = multiprocessing.get_context("fork").Event()

    @click.command()
    @click.option("--registry", "named")
    @each_registry()
    def reading(named: str | None) -> int:
        if named is None:
            raise SeveralRegistriesError(("dev", "prod"))
        if named == "prod":
            begun.set()
            signal.pause()
        assert begun.wait(60)
        raise KeyboardInterrupt

    ended = CliRunner().invoke(reading, [], standalone_mode=False)

    assert ended.return_value == ExitCode.INTERRUPTED, ended.exception
    assert ended.stderr.splitlines() == [f"Interrupted: nothing was written for {name}." for name in ("dev", "prod")]


def test_whoever_interrupts_leaves_no_process_that_waits_for_its_server() -> None:
    def waits_for_the_other(frame: FrameType | None) -> bool:
        return frame is not None and (frame.f_code.co_name == "recv" or waits_for_the_other(frame.f_back))

    def interrupt(_number: int, frame: FrameType | None) -> None:
        if waits_for_the_other(frame):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    @click.command()
    @click.option("--registry", "named")
    @each_registry()
    def reading(named: str | None) -> int:
        if named is None:
            raise SeveralRegistriesError(("dev", "prod"))
        if named == "prod":
            signal.pause()
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        return ExitCode.OK

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        ended = CliRunner().invoke(reading, [], standalone_mode=False)
        left = multiprocessing.active_children()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for process in left:
        process.terminate()

    assert ended.return_value == ExitCode.INTERRUPTED, ended.exception
    assert ended.stderr.splitlines() == ["Interrupted: nothing was written for prod."]
    assert left == []


def test_what_is_published_of_one_is_what_its_process_gathered() -> None:
    @click.command()
    @click.option("--registry", "named")
    @click.option("--publish", default="github")
    @each_registry()
    def publishing(named: str | None, publish: str) -> int:
        del publish
        if named is None:
            raise SeveralRegistriesError(("dev", "prod"))
        gathering: Callable[[Forge], Forge] = click.get_current_context().meta[GATHERING]
        gathering(Board()).tell({"digest": named}, f"What happened in {named}")
        return ExitCode.OK

    with tempfile.NamedTemporaryFile("r") as outputs, pytest.MonkeyPatch.context() as patched:
        patched.setenv("GITHUB_OUTPUT", outputs.name)
        ended = CliRunner().invoke(publishing, [], standalone_mode=False)
        told = outputs.read()

    assert ended.return_value == ExitCode.OK, ended.exception
    assert "dev prod" in told


@pytest.mark.parametrize("error", [AttributeError("'int' object has no attribute 'startswith'"), SystemExit(0)])
def test_what_nobody_expected_of_one_ends_no_other(
    error: BaseException, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @click.option("--registry", "named")
    @click.option("--receipt", type=click.Path(path_type=Path))
    @each_registry()
    def planning(named: str | None, receipt: Path) -> int:
        if named is None:
            raise SeveralRegistriesError(("dev", "prod"))
        if named == "dev":
            raise error
        receipt.write_text(f'{{"id": "{named}"}}')
        return ExitCode.OK

    receipt = tmp_path / "receipt.json"
    code: object = planning.main(["--receipt", str(receipt)], standalone_mode=False)

    assert code == ExitCode.ERROR
    assert "dev: " in capsys.readouterr().err
    written = json.loads(receipt.read_text())["registries"]
    assert written["prod"] == {"id": "prod"}
    assert written["dev"]["error"]["message"] == f"The command failed ({type(error).__name__}): see the log of the job."


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), click.UsageError("No such option")])
def test_what_is_not_about_one_of_them_ends_all(error: Exception) -> None:
    begun: list[str] = []

    @click.command()
    @click.option("--registry", "named")
    @each_registry()
    def planning(named: str | None) -> int:
        if named is None:
            raise SeveralRegistriesError(("dev", "prod"))
        begun.append(named)
        raise error

    with pytest.raises(type(error)):
        planning.main([], standalone_mode=False)
    assert begun == ["dev"]
