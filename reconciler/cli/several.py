"""Commands for all registries that a policy names: one after the other, what each says in one."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import click

from reconciler import console
from reconciler.cli.options import GATHERING
from reconciler.errors import Ending, ExitCode, ReconcilerError, SeveralRegistriesError, as_bug, ending_of
from reconciler.render.formats import Format

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


def each_registry(command: F) -> F:
    """A command that is for all registries where the policy names several and none of them is meant."""

    @wraps(command)
    def run(**given: Any) -> int:
        try:
            return command(**given)
        except SeveralRegistriesError as error:
            names = (str(given["named"]),) if given.get("named") else error.names
            return _Round(command, names, given).run()

    return cast("F", run)


@dataclass
class _Round:
    """One command for each of several registries."""

    command: Callable[..., int]
    names: tuple[str, ...]
    given: Mapping[str, Any]
    codes: list[int] = field(default_factory=list[int])
    failed: dict[str, Ending] = field(default_factory=dict[str, Ending])

    def run(self) -> int:
        from reconciler.publishing import Gathering

        form = Format(self.given.get("form", Format.TEXT))
        files = dict(self._files())
        for key, called in _OF_ONE.items():
            if self.given.get(key):
                known = ", ".join(self.names)
                raise click.UsageError(f"{called} is about one registry: name it with --registry ({known}).")
        gathering = Gathering(len(self.names))
        click.get_current_context().meta[GATHERING] = gathering
        shown: dict[str, str] = {}
        written: dict[Path, dict[str, str]] = {path: {} for path in files}
        with TemporaryDirectory(prefix="reconciler-") as folder:
            for name in self.names:
                if ExitCode.INTERRUPTED in self.codes:
                    console.note(f"Not begun: {name}.")
                    continue
                gathering.registry = name
                own = {path: Path(folder) / f"{name}-{number}" for number, path in enumerate(files)}
                shown[name] = self._of(name, form, own, Path(folder))
                for path, place in own.items():
                    written[path][name] = place.read_text(encoding="utf-8") if place.exists() else ""
        if form is not Format.TEXT:
            click.echo(self._together(form, shown), nl=False)
        # What Prometheus reads says by its age that it is not of now.
        for path, parts in written.items():
            if any(parts.values()) and not (self.failed and files[path] is Format.PROMETHEUS):
                console.write_file(path, self._together(files[path], parts))
        gathering.publish()
        return next((code for code in _BY_WEIGHT if code in self.codes), ExitCode.OK)

    def _of(self, name: str, form: Format, files: Mapping[Path, Path], folder: Path) -> str:
        """Run it for one; what it printed where that is to be put together."""
        given = dict(self.given, named=name)
        for key in ("out", "receipt"):
            if given.get(key) is not None:
                given[key] = files[given[key]]
        if given.get("reports"):
            given["reports"] = tuple((report, files[path]) for report, path in given["reports"])
        printed = StringIO()
        if form is Format.TEXT and given.get("log_format") != "json":
            first = name == self.names[0]
            console.show([*([] if first else [(("", ""),)]), (("name", f"{name}:"),)])
        with self._contained(name, printed), redirect_stdout(printed) if form is not Format.TEXT else nullcontext():
            if given.get("saved") is not None:
                given["saved"] = _saved(given["saved"], name, folder)
            self.codes.append(self.command(**given))
        return printed.getvalue()

    @contextmanager
    def _contained(self, name: str, printed: StringIO) -> Generator[None]:
        """What ends it for one registry ends it for no other."""
        try:
            yield
        except (KeyboardInterrupt, click.Abort):
            self.codes.append(ExitCode.INTERRUPTED)
            self.failed[name] = Ending(ExitCode.INTERRUPTED, ExitCode.INTERRUPTED.reason, "It was interrupted.")
            console.say(f"Interrupted: nothing was written for {name}.")
        except ReconcilerError as error:
            self._fail(name, error, error, printed)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, SystemExit) as error:
            # What a server answers may break what reads it: whoever runs that one has no say in the others.
            if _is_of_output(error) or os.environ.get("RECONCILER_DEBUG"):
                raise
            self._fail(name, error, as_bug(error), printed)

    def _fail(self, name: str, error: BaseException, shown: ReconcilerError, printed: StringIO) -> None:
        self.codes.append(shown.exit_code)
        console.show_error(shown, name)
        self.failed[name] = ending_of(error)
        printed.truncate(printed.seek(0))

    def _files(self) -> Iterator[tuple[Path, Format]]:
        for key in ("out", "receipt"):
            if self.given.get(key) is not None:
                yield self.given[key], Format.JSON
        for form, path in self.given.get("reports", ()):
            yield path, form

    def _together(self, form: Format, texts: Mapping[str, str]) -> str:
        from reconciler.render.several import Part, together

        nothing = Ending(ExitCode.ERROR, "error", "There is no result.")
        endings = {name: self.failed.get(name, nothing) for name in texts}
        return together(
            form, [Part(name, text, endings[name].message, endings[name].reason) for name, text in texts.items()]
        )


def _is_of_output(error: BaseException) -> bool:
    """Whether what is shown can be shown no more: nobody reads it, or it does not fit."""
    of_library = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(of_library, OSError) and of_library.filename is None


def _saved(path: Path, name: str, folder: Path) -> Path:
    """One registry's plan, out of a file with those of several."""
    document = json.loads(path.read_bytes())["registries"]
    if name not in document or document[name] is None or "error" in document[name]:
        raise ReconcilerError(f"{path} has no plan for {name}.", "Create it again with `reconciler plan --out`.")
    own = folder / f"{name}-plan.json"
    own.write_text(json.dumps(document[name]), encoding="utf-8")
    return own
