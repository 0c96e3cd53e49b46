"""How commands speak while they run: progress, what an apply does, asks, and how it lets itself be interrupted."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from difflib import unified_diff
from threading import Event as Flag
from threading import Lock, Thread
from types import FrameType, TracebackType
from typing import Any

import click

from reconciler import console
from reconciler.checking import CheckEvent, CheckFinished, CheckStarted, Fetching
from reconciler.core.plan import Plan
from reconciler.core.text import clean
from reconciler.events import (
    ChangeMade,
    Declared,
    Event,
    LockWaiting,
    ModelFinished,
    ModelsRead,
    ModelStarted,
    Noticed,
    Opened,
    OutcomeStatus,
    Planned,
    Receipt,
)
from reconciler.ports import Working
from reconciler.render import words
from reconciler.render.json import PlanDocument, event_documents, plan_document
from reconciler.render.layout import Line, plain
from reconciler.render.text import outcome_line, outcome_lines, plan_lines, receipt_lines


def show_difference(reviewed: PlanDocument, now: Plan) -> None:
    """What was reviewed beside what would be done now, on standard error."""

    def changes_of(document: PlanDocument) -> list[str]:
        changes = [clean(change["sentence"]) for change in document["resource_changes"]]
        return [*changes, *(clean(f"{block['model']}: blocked: {block['code']}") for block in document["blocked"])]

    lines = list(
        unified_diff(changes_of(reviewed), changes_of(plan_document(now, "")), "reviewed", "now", lineterm="", n=0)
    )
    if not lines:
        lines = ["The changes are those that were reviewed, but they replace a different text or version."]
    for line in lines:
        if not line.startswith("@@"):
            console.say(click.style(line, fg={"+": "green", "-": "red"}.get(line[0])))


def check_lines(event: CheckEvent, widest: int = 0) -> Iterator[Line]:
    """One event of `check`; names of checks take `widest` characters."""
    match event:
        case Fetching(model, version, _):
            yield (("faint", f"Fetching {clean(model)} v{version}"),)
        case CheckStarted(_, _, check):
            yield (("faint", f"Running {clean(check.name)}"),)
        case CheckFinished(result):
            style = "add" if result.passed else "error"
            yield (
                (style, f"{result.record.outcome.ljust(9)} "),
                ("name", clean(result.record.check).ljust(widest)),
                ("", f"  {clean(result.sentence)}"),
            )
            # A runner of GitHub's obeys `##[` wherever it stands in a line.
            shown = () if result.passed else [line.replace("##[", "# #[") for line in result.output]
            log = [f"log: {result.record.log}"] if result.record.log else []
            for text in (*(f"| {line}" for line in shown), *result.notes, *log):
                yield (("faint", f"          {clean(text)}"),)


class CheckReporter:
    """Tells what a check does; the names of checks are in one column."""

    def __init__(self) -> None:
        self._widest = 0

    def report(self, event: CheckEvent) -> None:
        if isinstance(event, Fetching):
            self._widest = max(len(check.name) for check in event.checks)
        console.show(check_lines(event, self._widest))


class Progress:
    """
    Says on standard error how far long work is: in a terminal on one line, which is gone when the work is over; in a CI
    job, and in a terminal that obeys nothing, on a line every `pause` seconds; elsewhere, and where it is `quiet`, not
    at all. Nothing is said in the first `patience` seconds of a command.
    """

    def __init__(self, *, quiet: bool = False, patience: float = 2.0, pause: float = 30.0) -> None:
        at_terminal, context = sys.stderr.isatty(), click.get_current_context(silent=True)
        obeyed = os.environ.get("TERM") != "dumb" and not (context and context.color is False)
        self._terminal = at_terminal and obeyed
        self._silent = quiet or not (at_terminal or os.environ.get("CI", "") not in {"", "false"})
        self._begun = time.monotonic()
        self._due = self._begun + (patience if self._terminal else pause)
        self._pause = pause
        self._working: dict[str, Working] = {}
        self._line: Any = None
        self._idle = Flag()
        self._guard = Lock()

    def hear(self, working: Working) -> None:
        """Work goes on, or is over; from whichever thread."""
        if self._silent:
            return
        with self._guard:
            idle = not self._working
            if working.over:
                self._working.pop(working.what, None)
            else:
                self._working[working.what] = working
            if idle and self._working:
                self._idle = Flag()
                Thread(target=self._watch, args=(self._idle,), name="progress", daemon=True).start()
            elif not idle and not self._working:
                self._idle.set()
                self._hide()

    def end(self) -> None:
        """Say nothing from here on."""
        self._silent = True
        with self._guard:
            self._idle.set()
            self._hide()

    def _watch(self, idle: Flag) -> None:
        while not idle.wait(max(self._due - time.monotonic(), 0.2)):
            with self._guard:
                if not idle.is_set() and time.monotonic() >= self._due:
                    self._show(next(iter(self._working.values())))

    def _show(self, working: Working) -> None:
        message = progress_sentence(working, time.monotonic() - self._begun)
        if not self._terminal:
            self._due += self._pause
            console.say(message)
            return
        if self._line is None:
            from rich.console import Console
            from rich.status import Status

            self._line = Status("", console=Console(stderr=True))
            self._line.start()
        from rich.text import Text

        self._line.update(Text(message))

    def _hide(self) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None


def progress_sentence(working: Working, seconds: float) -> str:
    """`Reading the registry: 1,200 models and versions (34 s)`; the time is that of the command."""
    of = f" of {working.total:,}" if working.total else ""
    amount = f": {working.done:,}{of} {working.units}" if working.done else ""
    return f"{clean(working.what)}{amount} ({seconds:.0f} s)"


class Reporter:
    """
    Tells what an apply does: a bar on a terminal, a line a model elsewhere, a JSON document a line on request. As a
    context manager it turns the first Ctrl-C (or SIGTERM, which CI sends) into a request to stop, once calls are made.
    """

    def __init__(
        self,
        log_format: str,
        now: Callable[[], str],
        registry: str = "",
        workspace: str = "",
        progress: Progress | None = None,
    ) -> None:
        self.stop = Flag()
        self._progress = progress
        self._as_json = log_format == "json"
        self.registry, self.workspace = registry, workspace
        self.unheard = ""
        self._now = now
        self._printing = Lock()
        self.writing = False
        self._bar: Any = None
        self._task: Any = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Reporter":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._bar is not None:
            self._bar.stop()

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if not self.writing or self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
        # From a signal handler, so nothing that takes a lock.
        os.write(2, b"\nInterrupted: finishing the models in hand, skipping the rest. Once more to break off.\n")

    def confirm(self, _plan: Plan) -> bool:
        """Ask as Terraform does: only `yes` will do."""
        question = f"\nApply this to {words.registry(self.registry, self.workspace)}? Only `yes` is accepted"
        return click.prompt(question, default="", show_default=False).strip() == "yes"

    def report(self, event: Event) -> None:
        """One event, from whichever thread."""
        if isinstance(event, ModelStarted):
            self.writing = True
            if self._progress is not None:
                self._progress.end()
        if isinstance(event, Opened):
            self.registry, self.workspace = event.registry, event.workspace
        with self._printing, self._to_nobody_if_need_be():
            if self._as_json:
                for document in event_documents(event, self._now()):
                    click.echo(json.dumps(document, ensure_ascii=False))
                sys.stdout.flush()
            else:
                self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case Opened() | Declared() | ModelsRead():
                pass
            case Planned(plan):
                console.show(plan_lines(plan, self.registry, self.workspace, console.width()))
                self._calls = len(plan.changes)
            case LockWaiting(holder, seconds):
                console.say(f"Waiting for the lock ({seconds:.0f} s): held by {words.holder(holder)}.")
            case Noticed(message):
                console.note(message)
            case ModelStarted():
                self._advance(0)
            case ChangeMade():
                self._advance(1)
            case ModelFinished(outcome):
                if self._bar is None:
                    console.show(outcome_lines(outcome, console.width()))
                elif outcome.status is not OutcomeStatus.APPLIED or outcome.repaired:
                    self._bar.console.print(clean(plain(outcome_line(outcome))))

    def _advance(self, calls: int) -> None:
        if self._bar is None and sys.stdout.isatty():
            self._bar, self._task = _progress_bar(self._calls)
        if self._bar is not None:
            self._bar.advance(self._task, calls)

    def finish(self, receipt: Receipt) -> None:
        """The last line, which sums up."""
        with self._to_nobody_if_need_be():
            if not self._as_json:
                console.show(receipt_lines(receipt, console.width()))
                return
            message = f"{words.receipt_sentence(receipt)} {words.what_next(receipt)}".rstrip()
            summary = {"@level": "info" if receipt.exit_code == 0 else "error", "@message": message}
            click.echo(json.dumps({**summary, "@timestamp": self._now(), "type": "apply_summary"}, ensure_ascii=False))

    @contextmanager
    def _to_nobody_if_need_be(self) -> Generator[None]:
        """
        An apply goes on when nobody listens anymore: it has models to finish, and a receipt to write. Why what it
        says could not be written is in `unheard`, unless its reader just had enough.
        """
        try:
            yield
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.unheard = error.strerror or type(error).__name__
            console.deafen()


def _progress_bar(calls: int) -> tuple[Any, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(TextColumn("Applying"), BarColumn(), MofNCompleteColumn(), TextColumn("calls"), TimeElapsedColumn())
    bar.start()
    return bar, bar.add_task("", total=calls)


class Uninterrupted:
    """
    A stretch of work whose clean-up is not interrupted: the first Ctrl-C (or SIGTERM, or a closed terminal) breaks the
    work off, and none does once `begin` was called or one was heeded.
    """

    def __init__(self) -> None:
        self._ending = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Uninterrupted":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def begin(self) -> None:
        """From here on, nothing interrupts."""
        self._ending = True

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if not self._ending:
            self._ending = True
            raise KeyboardInterrupt
