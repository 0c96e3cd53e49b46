"""
Commands for all registries that a policy names: what each says in one. What only reads is done for several at the same
time, where processes can be forked safely; what writes, one after the other.
"""

import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import wraps
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import click

from reconciler import console
from reconciler.cli.options import GATHERING
from reconciler.core.limits import REGISTRIES_AT_ONCE
from reconciler.errors import Ending, ExitCode, ReconcilerError, SeveralRegistriesError, as_bug, ending_of
from reconciler.render.formats import Format

if TYPE_CHECKING:
    from multiprocessing.connection import Connection, PipeConnection
    from multiprocessing.context import ForkProcess

    from reconciler.ports import Forge
    from reconciler.publishing import Gathered

    Answers = Connection[Any, Any] | PipeConnection[Any, Any]

F = TypeVar("F", bound=Callable[..., int])

_BY_WEIGHT = (ExitCode.INTERRUPTED, ExitCode.ERROR, ExitCode.STALE, ExitCode.BLOCKED, ExitCode.CHANGES)
_OF_ONE = {
    "targets": "--target",
    "models": "MODEL",
    "restore": "--restore",
    "rewind_to": "--allow-rewind",
    "expect_digest": "--expect-digest",
    "registry_uri": "--registry-uri",
    "manifests": "--manifests",
}
"""What is said of one registry alone."""


def each_registry(*, writes: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> Callable[[F], F]:
    """
    A command that is for all registries where the policy names several and none of them is meant. `writes` says by its
    parameters whether it changes more than what it prints.
    """

    def decorated(command: F) -> F:
        @wraps(command)
        def run(**given: Any) -> int:
            try:
                return command(**given)
            except SeveralRegistriesError as error:
                names = (str(given["named"]),) if given.get("named") else error.names
            # On macOS, system libraries that find out about proxies break in a process that was forked.
            forks = sys.platform == "linux" and not writes(given)
            return _Round(command, names, given, REGISTRIES_AT_ONCE if forks else 1).run()

        return cast("F", run)

    return decorated


@dataclass
class _Outcome:
    """How the command ended for one registry: its code or why there is none, and what it printed to be put together."""

    code: int = ExitCode.ERROR
    failed: Ending | None = None
    printed: str = ""


class _Kept(StringIO):
    """Keeps what is written to two streams in order; each looks like the one whose place it takes."""

    def __init__(self, stream: TextIO, kept: list[tuple[bool, str]]) -> None:
        super().__init__()
        self._error, self._terminal, self._all = stream is sys.stderr, stream.isatty(), kept

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str, /) -> int:
        self._all.append((self._error, text))
        return len(text)


@dataclass
class _Round:
    """One command for each of several registries, for at most `at_once` at the same time."""

    command: Callable[..., int]
    names: tuple[str, ...]
    given: Mapping[str, Any]
    at_once: int
    outcomes: dict[str, _Outcome] = field(default_factory=dict[str, _Outcome])

    def run(self) -> int:
        from reconciler.project import forge_of_job
        from reconciler.publishing import Gathered

        files = dict(self._files())
        for key, called in _OF_ONE.items():
            if self.given.get(key):
                known = ", ".join(self.names)
                raise click.UsageError(f"{called} is about one registry: name it with --registry ({known}).")
        kept = Gathered()
        written: dict[Path, dict[str, str]] = {path: {} for path in files}
        with TemporaryDirectory(prefix="reconciler-") as folder:
            own = {
                name: {path: Path(folder) / f"{name}-{number}" for number, path in enumerate(files)}
                for name in self.names
            }
            self._of_all(own, Path(folder), kept)
            for name in self.outcomes:
                for path, place in own[name].items():
                    written[path][name] = place.read_text(encoding="utf-8") if place.exists() else ""
        if self._form is not Format.TEXT:
            shown = {name: outcome.printed for name, outcome in self.outcomes.items()}
            click.echo(self._together(self._form, shown), nl=False)
        failed = any(outcome.failed for outcome in self.outcomes.values())
        # What Prometheus reads says by its age that it is not of now.
        for path, parts in written.items():
            if any(parts.values()) and not (failed and files[path] is Format.PROMETHEUS):
                console.write_file(path, self._together(files[path], parts))
        if kept:
            kept.publish(forge_of_job(self.given.get("publish", "none")))
        codes = {outcome.code for outcome in self.outcomes.values()}
        return next((code for code in _BY_WEIGHT if code in codes), ExitCode.OK)

    @property
    def _form(self) -> Format:
        return Format(self.given.get("form", Format.TEXT))

    def _of_all(self, own: Mapping[str, Mapping[Path, Path]], folder: Path, kept: "Gathered") -> None:
        """Of each batch the first in this process, where a person sees how far it is, the others in forks of it."""
        from reconciler.project import import_beforehand

        for begin in range(0, len(self.names), self.at_once):
            first, *others = self.names[begin : begin + self.at_once]
            if any(outcome.code == ExitCode.INTERRUPTED for outcome in self.outcomes.values()):
                console.note(f"Not begun: {', '.join(self.names[begin:])}.")
                return
            if others:
                import_beforehand()
            forks = [(name, *self._forked(name, own[name], folder)) for name in others]
            self.outcomes[first] = self._of(first, own[first], folder, kept)
            for name, process, answers in forks:
                self.outcomes[name] = self._received(name, process, answers, kept)

    def _forked(self, name: str, files: Mapping[Path, Path], folder: Path) -> "tuple[ForkProcess, Answers]":
        # Half as long to import as click, and for several registries alone.
        import multiprocessing

        from reconciler.publishing import Gathered

        answers, answering = multiprocessing.Pipe(duplex=False)

        def work() -> None:
            said, kept = list[tuple[bool, str]](), Gathered()
            click.get_current_context().obj = True  # quiet: only one can say how far it is
            # What is not about one of them, the first says.
            with suppress(click.ClickException, click.exceptions.Exit):
                with redirect_stdout(_Kept(sys.stdout, said)), redirect_stderr(_Kept(sys.stderr, said)):
                    outcome = self._of(name, files, folder, kept)
                answering.send((outcome, said, kept))

        process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
        process.start()
        answering.close()
        return process, answers

    def _received(self, name: str, process: "ForkProcess", answers: "Answers", kept: "Gathered") -> _Outcome:
        """What a forked process found, after its words are said here."""
        outcome = _Outcome()
        with self._contained(name, outcome):
            if any(one.code == ExitCode.INTERRUPTED for one in self.outcomes.values()):
                process.terminate()
                raise KeyboardInterrupt
            try:
                outcome, said, published = answers.recv()
            except KeyboardInterrupt:
                # It may wait for its server as long as that takes, and keeps our streams open.
                process.terminate()
                process.join()
                raise
            except EOFError:
                process.join()
                why = f"The process that was for it ended early ({process.exitcode})."
                raise ReconcilerError(why, f"Try it alone, with --registry {name}.") from None
            for error, text in said:
                click.echo(text, nl=False, err=error)
            kept.add(published)
        return outcome

    def _of(self, name: str, files: Mapping[Path, Path], folder: Path, kept: "Gathered") -> _Outcome:
        """Run it for one."""
        from reconciler.publishing import Gathering

        given = dict(self.given, named=name)
        for key in ("out", "receipt"):
            if given.get(key) is not None:
                given[key] = files[given[key]]
        if given.get("reports"):
            given["reports"] = tuple((report, files[path]) for report, path in given["reports"])

        def gathering(forge: "Forge") -> "Forge":
            return Gathering(name, forge, len(self.names), kept)

        click.get_current_context().meta[GATHERING] = gathering
        outcome = _Outcome()
        if self._form is Format.TEXT and given.get("log_format") != "json":
            first = name == self.names[0]
            console.show([*([] if first else [(("", ""),)]), (("name", f"{name}:"),)])
        with ExitStack() as stack:
            stack.enter_context(self._contained(name, outcome))
            printed = StringIO()
            if self._form is not Format.TEXT:
                stack.enter_context(redirect_stdout(printed))
            if given.get("saved") is not None:
                given["saved"] = _saved(given["saved"], name, folder)
            outcome.code = self.command(**given)
            outcome.printed = printed.getvalue()
        return outcome

    @contextmanager
    def _contained(self, name: str, outcome: _Outcome) -> Generator[None]:
        """What ends it for one registry ends it for no other."""
        try:
            yield
        except (KeyboardInterrupt, click.Abort):
            outcome.code = ExitCode.INTERRUPTED
            outcome.failed = Ending(ExitCode.INTERRUPTED, ExitCode.INTERRUPTED.reason, "It was interrupted.")
            console.say(f"Interrupted: nothing was written for {name}.")
        except ReconcilerError as error:
            outcome.code, outcome.failed = error.exit_code, ending_of(error)
            console.show_error(error, name)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, SystemExit) as error:
            # What a server answers may break what reads it: whoever runs that one has no say in the others.
            if _is_of_output(error) or os.environ.get("RECONCILER_DEBUG"):
                raise
            console.show_error(as_bug(error), name)
            outcome.failed = ending_of(error)

    def _files(self) -> Iterator[tuple[Path, Format]]:
        for key in ("out", "receipt"):
            if self.given.get(key) is not None:
                yield self.given[key], Format.JSON
        for form, path in self.given.get("reports", ()):
            yield path, form

    def _together(self, form: Format, texts: Mapping[str, str]) -> str:
        from reconciler.render.several import Part, together

        nothing = Ending(ExitCode.ERROR, "error", "There is no result.")
        endings = {name: self.outcomes[name].failed or nothing for name in texts}
        return together(
            form, [Part(name, text, endings[name].message, endings[name].reason) for name, text in texts.items()]
        )


def _is_of_output(error: BaseException) -> bool:
    """Whether what is shown can be shown no more: nobody reads it, or it does not fit."""
    of_library = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(of_library, BrokenPipeError) or (isinstance(of_library, OSError) and console.is_full(of_library))


def _saved(path: Path, name: str, folder: Path) -> Path:
    """One registry's plan, out of a file with those of several."""
    document = json.loads(path.read_bytes())["registries"]
    if name not in document or document[name] is None or "error" in document[name]:
        raise ReconcilerError(f"{path} has no plan for {name}.", "Create it again with `reconciler plan --out`.")
    own = folder / f"{name}-plan.json"
    own.write_text(json.dumps(document[name]), encoding="utf-8")
    return own
