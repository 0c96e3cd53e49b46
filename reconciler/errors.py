"""What can be wrong: problems in manifests, and the few exceptions that end a command."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, TypeVar, cast

T = TypeVar("T")


class ExitCode(IntEnum):
    """What every command promises to scripts. docs/commands.md explains them."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    BLOCKED = 3
    STALE = 4
    INTERRUPTED = 130

    @property
    def reason(self) -> str:
        """A word that scripts may rely on for why a command ended like this; empty where it did what was asked."""
        return _REASONS.get(self, "")


_REASONS = {
    ExitCode.ERROR: "error",
    ExitCode.BLOCKED: "blocked",
    ExitCode.STALE: "plan-changed",
    ExitCode.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1, and 0 means "the file as a whole"."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


NOWHERE = Location("")


def placeless(value: T) -> T:
    """The same with every place in it the same: what is declared alike is equal then, wherever it stands."""
    return cast(T, _placeless(value))


def _placeless(value: Any) -> Any:
    if isinstance(value, Location):
        return NOWHERE
    if isinstance(value, Mapping):
        return {key: _placeless(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, tuple):
        return tuple(_placeless(item) for item in cast("tuple[Any, ...]", value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: _placeless(getattr(value, part.name)) for part in fields(value) if part.init}
        moved = {name: part for name, part in parts.items() if part != getattr(value, name)}
        return replace(value, **moved) if moved else value
    return value


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """
    One thing wrong with the manifests. `code` is a word that scripts may rely on; `message` says what is wrong and what
    was expected; `fix` says what to do about it.
    """

    location: Location
    code: str
    message: str
    fix: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        mark = "" if self.severity is Severity.ERROR else "warning: "
        return f"{self.location}: {mark}{self.code}: {self.message} {self.fix}".rstrip()


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What is wrong with a value that does not know its place. `message` goes on after the name of the thing: ` is empty.`
    `where` leads to the thing, by keys and indexes; `of_key` is True where the key is wrong.
    """

    code: str
    message: str
    fix: str
    where: tuple[int | str, ...] = ()
    of_key: bool = False


@dataclass(frozen=True, slots=True)
class Validation:
    """How many manifest files and models were looked at, and what is wrong with them and with the policy, sorted."""

    files: int
    models: int
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> int:
        """How many problems keep them from being planned; the others are warnings."""
        return sum(problem.severity is Severity.ERROR for problem in self.problems)


class ReconcilerError(Exception):
    """
    Ends the command: says what happened, what to do, and with which exit code. `special` is the reason where it is a
    narrower one than the exit code's.
    """

    exit_code: ExitCode = ExitCode.ERROR
    special: str = ""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message} {fix}".rstrip())
        self.message = message
        self.fix = fix

    def reword(self, say: Callable[[str], str]) -> None:
        """Say what happened and what to do in other words."""
        self.message, self.fix = say(self.message), say(self.fix)
        self.args = (f"{self.message} {self.fix}".rstrip(),)

    @property
    def reason(self) -> str:
        """A word that scripts may rely on."""
        return self.special or self.exit_code.reason


class ManifestError(ReconcilerError):
    """The manifests are wrong; carries every problem of every file."""

    special = "invalid-manifests"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class RegistryError(ReconcilerError):
    """The registry said no, or did not answer. `code` is MLflow's error code, or our word where MLflow has none."""

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.code = code


class NoRegistryError(ReconcilerError):
    """No registry is named anywhere."""


class SeveralRegistriesError(ReconcilerError):
    """The policy that stands names several registries, and nothing says which is meant; `names` are theirs."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(
            f"The policy names several registries: {', '.join(names)}.", "Name one of them with --registry."
        )
        self.names = names


def as_bug(error: BaseException) -> ReconcilerError:
    """What nobody expected, as an error of ours that says so."""
    if isinstance(error, SystemExit):
        # Perhaps with 0: what was asked for was not done.
        return ReconcilerError(f"A library ended the command early ({error.code}).")
    return ReconcilerError(
        f"{type(error).__name__}: {error}.",
        "This is a bug in reconciler: please report it, with the output of RECONCILER_DEBUG=1.",
    )


class BlockedError(ReconcilerError):
    """A safety refused; nothing was written."""

    exit_code = ExitCode.BLOCKED


class StaleError(ReconcilerError):
    """The registry or the commit moved since the plan was made; nothing was written."""

    exit_code = ExitCode.STALE


class LockError(ReconcilerError):
    """The lock was not to be had, or was lost."""

    special = "locked"


class OverBudgetError(BaseException):
    """Some work took too much CPU time. No `Exception`: what a gate catches must not keep it going."""


def ending_of(error: BaseException) -> "Ending":
    """How a command ended that did not do all it was asked to. What is no error of ours may quote secrets."""
    match error:
        case ReconcilerError():
            return Ending(error.exit_code, error.reason, str(error))
        case KeyboardInterrupt():
            return Ending(ExitCode.INTERRUPTED, ExitCode.INTERRUPTED.reason, "The job was interrupted.")
        case _:
            message = f"The command failed ({type(error).__name__}): see the log of the job."
            return Ending(ExitCode.ERROR, ExitCode.ERROR.reason, message)


@dataclass(frozen=True, slots=True)
class Ending:
    """The exit code, a word that scripts may rely on, and a sentence."""

    exit_code: ExitCode
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Why some work on one model came to nothing, the code of a registry's error, if it was one, and whether `why` says
    what to do.
    """

    why: str
    code: str = ""
    remedied: bool = False


def contained(work: Callable[[], T]) -> T | Failure:
    """
    What came of some work on one model, or why nothing did: whatever it raises costs that model alone. Nothing else
    below `cli` catches every exception, but the end of the process that reads another registry, which sends it on.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # whoever wrote the model may break whatever reads it
        code = error.code if isinstance(error, RegistryError) else ""
        return Failure(fault_of(error), code, isinstance(error, ReconcilerError) and bool(error.fix))


def fault_of(error: BaseException) -> str:
    """Why something broke, fit to be shown: our own message, or the kind of an error and what it says, without URLs."""
    if isinstance(error, ReconcilerError):
        return str(error)
    said = re.sub(r"\S*://\S*", "…", str(error)[:1000]).strip()
    return f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__
