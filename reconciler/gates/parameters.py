"""
How a gate says what it takes: whatever makes it, a dataclass or a function, has annotated parameters, and each is a key
that people write. From these come the reader with its messages, the JSON Schema, and the table in the documentation;
for gates of other packages as for our own.

    @dataclass(frozen=True, slots=True)
    class Cost:
        most: Annotated[NotNegative, Key("The most that it may cost.", examples=(12.5,))]
        unit: Annotated[Literal["EUR", "USD"], Key("In which currency.", examples=("USD",))] = "EUR"

A parameter may be a `bool`, `int`, `float` or `str` (one line), a `Literal` or an enum of texts, one of the types
below, a dataclass of such parameters, a tuple or frozenset of any of these, or `Mapping[str, str]` (tags). With a
default it may be left out; `null` is never accepted. A gate that has more to ask of them has a method `faults`.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Annotated, Any, Final, Protocol, TypeAlias, get_args, get_origin

from reconciler.core.names import Stage
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import Fault

GateFactory: TypeAlias = Callable[..., Any]
"""
Makes a gate of its parameters. One without keys is given what stands below `with`, as it stands. Raises ValueError
where they are wrong.
"""


class GateCode(StrEnum):
    """What can be wrong with a gate."""

    MISSING_GATE = "missing-gate"
    SEVERAL_GATES = "several-gates"
    REPEATED_GATE_NAME = "repeated-gate-name"
    ASKS_NOTHING = "asks-nothing"
    NEVER_PASSES = "never-passes"
    INVALID_CONDITION = "invalid-condition"
    INVALID_WINDOW = "invalid-window"
    UNKNOWN_CHECK = "unknown-check"
    UNKNOWN_GATE = "unknown-gate"
    UNKNOWN_GROUP = "unknown-group"
    UNKNOWN_STAGE = "unknown-stage"
    UNKNOWN_REGISTRY = "unknown-registry"
    REFUSED_GATE = "refused-gate"
    TOO_MANY_GATES = "too-many-gates"
    TOO_MANY_WINDOWS = "too-many-windows"


class Spelling(Enum):
    """How a text or a number is written, where its type does not say it."""

    NAME = auto()
    PROSE = auto()
    SLOT = auto()
    DURATION = auto()


@dataclass(frozen=True, slots=True)
class Between:
    """The least and the most that a number may be; None is no bound."""

    least: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """The words that are written for values: `Words((("deny", False), ("allow", True)))`."""

    pairs: tuple[tuple[str, object], ...]


Name = Annotated[str, Spelling.NAME]
"""A text that people tell things apart by: one line, in which no letter passes for another."""
Prose = Annotated[str, Spelling.PROSE]
SlotName = Annotated[str, Spelling.SLOT]
Seconds = Annotated[float, Spelling.DURATION]
"""Written with its unit: `90s`, `3d`."""
NotNegative = Annotated[float, Between(0)]


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key that people write: what it says, with examples, and its name where that is not the parameter's."""

    description: str
    examples: tuple[Any, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter that nobody writes: it is the attribute of Surroundings by that name."""

    name: str


def nobody_evaluates(_condition: str, _variables: Mapping[str, object]) -> bool | str:
    """What a condition comes to where there is nothing to evaluate it with: the reason why it is not known."""
    return "conditions cannot be evaluated here"


def _no_fault(_: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What gates are made with that nobody writes. `compile_fault` says why a condition is none. `groups` and the names of
    `checks` are the policy's; None where no policy is at hand: then it is not asked whether it has the ones that are
    named. `stages` are those of the policy's own, None where it may be of another day; `registries` the names of
    several, None where no policy is at hand.
    """

    evaluate: Callable[[str, Mapping[str, object]], bool | str] = nobody_evaluates
    compile_fault: Callable[[str], str | None] = _no_fault
    groups: Mapping[str, tuple[str, ...]] | None = None
    checks: frozenset[str] | None = None
    stages: frozenset[str] | None = frozenset()
    registries: frozenset[str] | None = None


def stage_faults(slots: Iterable[str], around: Surroundings, where: str) -> Iterator[Fault]:
    """What is wrong with slots that gates name: a word that is no stage here."""
    if around.stages is None:
        return
    for slot in slots:
        known = {*(stage.value for stage in Stage), *around.stages}
        if not slot.startswith("@") and slot not in known:
            yield Fault(
                GateCode.UNKNOWN_STAGE,
                f" is `{plain(slot, 80)}`, which is no stage here; stages: {', '.join(sorted(known))}.",
                did_you_mean(slot, known, f"Write `@{plain(slot, 80)}` for an alias, or one of these."),
                (where,),
            )


class FindsFaults(Protocol):
    """A gate that has more to ask of its parameters than their types say."""

    def faults(self, around: Surroundings) -> Iterable[Fault]:
        """What is wrong with it. `where` leads from the gate's own mapping to the key."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GateKind:
    """
    A gate of the catalogue. `asks` goes on after "A version must", with links as in Markdown; `make` makes it of its
    keys, where that is not the class itself; `least` is how many keys must be written.
    """

    name: str
    gate: type
    asks: str
    example: Mapping[str, Any]
    make: GateFactory | None = None
    least: int = 0

    @property
    def factory(self) -> GateFactory:
        return self.make or self.gate

    @property
    def asked(self) -> str:
        """What it asks, as a sentence without links."""
        without_links = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", self.asks)
        return f"A version must {without_links}."


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key, or what is given, of one that makes a gate; `name` is the parameter's own, `type` is as annotated."""

    name: str
    type: Any
    declared: Key | Given
    default: object = inspect.Parameter.empty

    @property
    def key(self) -> str:
        """As it is written."""
        named = self.declared.name if isinstance(self.declared, Key) else ""
        return named or self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


def keys_of(make: GateFactory) -> tuple[Parameter, ...]:
    """The keys that people write for it, in its order."""
    return tuple(one for one in _parameters(make) if isinstance(one.declared, Key))


def given_to(make: GateFactory, around: Surroundings) -> dict[str, object]:
    """What nobody writes, by the names of the parameters; what is not known is not given."""
    given = (
        (one.name, getattr(around, one.declared.name)) for one in _parameters(make) if isinstance(one.declared, Given)
    )
    return {name: value for name, value in given if value is not None}


def _parameters(make: GateFactory) -> list[Parameter]:
    """Raises ValueError where what makes a gate says something of keys that cannot be read."""
    try:
        signature = inspect.signature(make, eval_str=True)
    except Exception as error:  # annotations of another package are code of its own
        if any("Key(" in str(one.annotation) for one in _written(make)):
            raise ValueError(f"its annotations cannot be read: {error}") from error
        return []
    found: list[Parameter] = []
    for one in signature.parameters.values():
        if declared := next((mark for mark in unwrapped(one.annotation)[1] if isinstance(mark, Key | Given)), None):
            found.append(Parameter(one.name, one.annotation, declared, one.default))
    return found


def _written(make: GateFactory) -> Iterable[inspect.Parameter]:
    try:
        return inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return ()


_NO_MARKS: Final[tuple[Any, ...]] = ()


def unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type, and what is said about it."""
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        return base, tuple(marks)
    return annotation, _NO_MARKS
