"""
Conditions in the Common Expression Language, evaluated in a process of their own that has no credentials, little
memory and little time: whatever a condition does there, all that comes back is yes, no, or why neither.
"""

import json
import math
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from reconciler.core.text import plain

MOST_CHARACTERS = 2_000
MOST_NESTED = 2
"""How deep macros that go through a list may stand inside each other."""

MOST_DATA = 8 << 20
"""Characters of JSON that the variables of one condition may have."""

_START = 20.0
"""Seconds for the process to begin, which takes 0.05 where nothing else is going on."""

_WORKER = Path(__file__).with_name("worker.py")

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(")
_TOKEN = re.compile(
    r"""
    //[^\n\r]*
    | [rRbB]{0,2} (?: \"{3} | '{3} | \" | ' )
    | \.\s*[A-Za-z_]\w*\s*\(
    | [()\[\]{}]
    """,
    re.VERBOSE,
)

_SYNTAX = re.compile(r"ERROR: <input>:(\d+:\d+): (.*?)(?: expecting .*)?$", re.MULTILINE)

Task = tuple[str, Mapping[str, object]]


def evaluate(
    condition: str, variables: Mapping[str, object], *, seconds: float = 2.0, megabytes: int = 512
) -> bool | str:
    """
    Whether a condition holds, or why that cannot be said. The variables are made of what JSON has. A number that is
    not one (NaN) counts as not being there: a comparison with it would be false either way round.
    """
    return evaluate_all([(condition, variables)], seconds=seconds, megabytes=megabytes)[0]


def evaluate_all(tasks: Sequence[Task], *, seconds: float = 2.0, megabytes: int = 512) -> tuple[bool | str, ...]:
    """
    Many conditions, each with its variables, in one process; one that brings it down or takes longer than `seconds`
    costs the others nothing but the time. The order is that of the tasks.
    """
    written = [_written(condition, variables) for condition, variables in tasks]
    faults = {number: one.why for number, one in enumerate(written) if isinstance(one, _Fault)}
    sound = {number: one for number, one in enumerate(written) if isinstance(one, str)}
    answers = {**faults, **_answered(sound, seconds, megabytes)}
    return tuple(answers[number] for number in range(len(tasks)))


def compile_fault(condition: str, *, seconds: float = 2.0, megabytes: int = 512) -> str | None:
    """Why a condition cannot be read, or None. That all it names will be there is not looked into."""
    if (fault := _fault(condition)) is not None:
        return fault
    answer = _answered({0: json.dumps({"condition": condition})}, seconds, megabytes)[0]
    return None if answer is True else str(answer)


@dataclass(frozen=True, slots=True)
class _Fault:
    why: str


def _fault(condition: str) -> str | None:
    """What is wrong with a condition at first sight."""
    if not condition.strip():
        return "the condition is empty"
    if len(condition) > MOST_CHARACTERS:
        return f"the condition has {len(condition):,} characters; the maximum is {MOST_CHARACTERS:,}"
    if (depth := _nested(condition)) > MOST_NESTED:
        return f"the condition nests loops over lists {depth} deep; the maximum is {MOST_NESTED}"
    return None


def _nested(condition: str) -> int:
    """How deep calls of `all`, `exists`, `exists_one`, `map` and `filter` stand inside each other."""
    open_calls: list[bool] = []
    deepest = 0
    at = 0
    while (found := _TOKEN.search(condition, at)) is not None:
        token, at = found[0], found.end()
        if token.startswith("//"):
            continue
        if token[-1] in "\"'":
            at = _end_of_text(condition, at, token)
        elif token[-1] in "([{":
            open_calls.append(_MACRO.fullmatch(token) is not None)
            deepest = max(deepest, sum(open_calls))
        elif token in {")", "]", "}"} and open_calls:
            open_calls.pop()
    return deepest


def _end_of_text(condition: str, at: int, opening: str) -> int:
    """Where a text ends whose opening quotes end at `at`."""
    quotes = opening.lstrip("rRbB")
    raw = "r" in opening[: len(opening) - len(quotes)].lower()
    escaped = r"" if raw else r"\\.|"
    found = re.compile(f"(?s:{escaped}(?!{quotes}).)*{quotes}").match(condition, at)
    return found.end() if found else len(condition)


def _written(condition: str, variables: Mapping[str, object]) -> "str | _Fault":
    if (fault := _fault(condition)) is not None:
        return _Fault(fault)
    try:
        written = json.dumps({"condition": condition, "variables": _without_nan(variables)})
    except (TypeError, ValueError, RecursionError) as error:
        return _Fault(f"the evidence cannot be passed to the condition: {plain(str(error), 200)}")
    if len(written) > MOST_DATA:
        return _Fault(f"the evidence is too large to pass to the condition: {len(written):,} characters")
    return written


def _without_nan(value: object) -> object:
    """The same without the fields that are NaN; in a list, whose places count, null stands there."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[object, object]", value)
        return {key: _without_nan(field) for key, field in fields.items() if not _is_nan(field)}
    if isinstance(value, list | tuple):
        return [None if _is_nan(item) else _without_nan(item) for item in cast("Sequence[object]", value)]
    return value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _answered(tasks: Mapping[int, str], seconds: float, megabytes: int) -> dict[int, bool | str]:
    """The answers by number. Whoever follows one that ended the process gets another process."""
    answers: dict[int, bool | str] = {}
    left = dict(tasks)
    while left:
        numbers = iter(tuple(left))
        for answer in _process(tuple(left.values()), seconds, megabytes):
            number = next(numbers)
            del left[number]
            answers[number] = answer
    return answers


def _process(tasks: Sequence[str], seconds: float, megabytes: int) -> Iterator[bool | str]:
    """The answers to as many tasks as one process lives for: at least to the first."""
    extension = _extension()
    if extension is None:
        yield from ["the library for conditions, common-expression-language, is not installed"] * len(tasks)
        return
    processor_seconds = math.ceil(seconds * len(tasks)) + math.ceil(_START)
    command = [sys.executable, "-I", "-S", "-B", str(_WORKER), extension, str(megabytes), str(processor_seconds)]
    with TemporaryFile() as questions:
        questions.write(f"[{','.join(tasks)}]".encode())
        questions.seek(0)
        try:
            child = subprocess.Popen(
                command,
                stdin=questions,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name in _KEPT},
                close_fds=True,
            )
        except OSError as error:
            yield from [f"no process could be started for it: {error.strerror}"] * len(tasks)
            return
        with child:
            try:
                yield from _heard(child, len(tasks), seconds, megabytes)
            finally:
                child.kill()


# Where Python itself lies in an unusual place, its own libraries are found by these.
_KEPT = frozenset({"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"})


def _heard(child: "subprocess.Popen[bytes]", tasks: int, seconds: float, megabytes: int) -> Iterator[bool | str]:
    lines = _Lines(cast("IO[bytes]", child.stdout))
    first = lines.next(_START)
    if not isinstance(first, bytes):
        yield from ["the process that evaluates conditions did not start"] * tasks
        return
    for _ in range(tasks):
        line = lines.next(seconds)
        if isinstance(line, bytes):
            yield _read(line)
            continue
        if line.late:
            yield f"it took longer than {seconds:g} s"
        else:
            yield f"its process crashed, with {megabytes} MB of memory"
        return


@dataclass(frozen=True, slots=True)
class _Silence:
    """No line came: in time, or ever."""

    late: bool


class _Lines:
    """The lines that a process writes, each waited for only so long."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._pending = b""

    def next(self, seconds: float) -> "bytes | _Silence":
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return _Silence(late=True)
                said = os.read(self._stream.fileno(), 1 << 16)
                if not said:
                    return _Silence(late=False)
                self._pending += said
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def _read(line: bytes) -> bool | str:
    answer: dict[str, Any] = json.loads(line)
    if isinstance(result := answer.get("result"), bool):
        return result
    if (kind := answer.get("kind")) is not None:
        return f"its result is {_KINDS.get(kind, f'a value of the kind `{kind}`')}, not true or false"
    said = str(answer.get("said", ""))
    if answer.get("error") == "KeyError" or said.startswith("Undefined variable or function: "):
        named = re.search(r"'(.*?)'", said, re.DOTALL)
        return f"there is no value `{plain(named[1] if named else said, 200)}`"
    if syntax := _SYNTAX.search(said):
        return f"the condition cannot be read at {syntax[1]}: {plain(syntax[2], 200)}"
    if said.startswith("Failed to parse expression"):
        return "the condition cannot be read: it is nested too deeply, or is not a condition"
    first, _, _ = said.partition(". ")
    return f"it cannot be evaluated: {plain(first, 200).rstrip('.')}"


_KINDS = {
    "NoneType": "null",
    "int": "a number",
    "float": "a number",
    "str": "a string",
    "list": "a list",
    "dict": "a map",
}


def _extension() -> str | None:
    """The file of the extension module, found without loading the package around it."""
    with suppress(ImportError, ValueError):
        package = find_spec("cel")
        places = package.submodule_search_locations if package is not None else None
        module = PathFinder.find_spec("cel.cel", list(places)) if places else None
        return module.origin if module is not None else None
    return None
