"""
What a model takes and gives, and whether one version can stand in for another: today's callers go on sending what the
incumbent took and reading what it gave.

The rules of what is taken are those of MLflow's schema enforcement (`mlflow.models.utils._enforce_schema`, seen in
3.17): columns that are not in the schema are ignored, properties of objects that are not are refused, optional ones may
be left away, and a type takes what can be widened to it without loss, inside arrays, maps and objects too. What MLflow
would accept and a caller would be surprised by is called breaking all the same: text where bytes belong, columns known
by their position that move, parameters that are ignored.

It is about data frames and arrays, and about callers who send nothing that the incumbent ignores. A mapping that a
Python program hands to `predict` itself is read in another way, as one row, once a schema has an array or an object.
See contract/test_signatures.py::test_what_we_call_compatible_mlflow_accepts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Scalar:
    """
    One of MLflow's data types: `boolean`, `integer`, `long`, `float`, `double`, `string`, `binary`, `datetime`; `any`,
    which is not checked at all; or one that we do not know, which fits itself alone.
    """

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Tensor:
    """A NumPy array; -1 in a shape is any length."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"tensor {self.dtype} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one type."""

    items: "ColumnType"

    def __str__(self) -> str:
        return f"array of {self.items}"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from strings to values of one type."""

    values: "ColumnType"

    def __str__(self) -> str:
        return f"map of {self.values}"


@dataclass(frozen=True, slots=True)
class Struct:
    """A mapping with known keys."""

    fields: tuple["Column", ...]

    def __str__(self) -> str:
        return f"object {{{', '.join(map(str, self.fields))}}}"


ColumnType: TypeAlias = Scalar | Tensor | Array | MapOf | Struct


@dataclass(frozen=True, slots=True)
class Column:
    """A column, a tensor or a property; without a name it is known by its position."""

    name: str
    type: ColumnType
    required: bool = True

    def __str__(self) -> str:
        optional = "" if self.required else " (optional)"
        return f"{self.name}: {self.type}{optional}" if self.name else f"{self.type}{optional}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An inference parameter. Its default is kept as JSON text; `shape` is None for a single value."""

    name: str
    type: str
    default: str
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        shape = "" if self.shape is None else f" ({', '.join(map(str, self.shape))})"
        return f"{self.name}: {self.type}{shape} = {self.default}"


Schema: TypeAlias = tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """An MLflow model signature; a part that was not logged is None, and says nothing."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: tuple[Parameter, ...] | None = None


class Compatibility(StrEnum):
    IDENTICAL = "identical"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SignatureDifference:
    """One thing that differs, at an input, an output or a parameter; None is "not there"."""

    where: str
    name: str
    before: str | None
    after: str | None
    breaking: bool
    why: str


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """The worst of the differences, or UNKNOWN where a signature, or one side of a part, was not logged."""

    compatibility: Compatibility
    differences: tuple[SignatureDifference, ...] = ()
    why: str = ""


WIDENS: Mapping[str, frozenset[str]] = {
    # A value of the first type is taken where one of these is asked for.
    "integer": frozenset({"long", "double"}),
    "float": frozenset({"double"}),
}

PARAMS_WIDEN: Mapping[str, frozenset[str]] = {
    # The same for parameters, which are Python's own numbers.
    "integer": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
}


def judge_signature(candidate: Signature | None, incumbent: Signature | None) -> SignatureVerdict:
    """Whether whoever calls the incumbent can call the candidate instead, unchanged."""
    if candidate is None or incumbent is None:
        sides = [n for n, s in (("the candidate", candidate), ("the incumbent", incumbent)) if s is None]
        verb = "have" if len(sides) == 2 else "has"
        return SignatureVerdict(Compatibility.UNKNOWN, why=f"{' and '.join(sides)} {verb} no signature")
    differences = (
        *_inputs(candidate.inputs or (), incumbent.inputs or ()),
        *_outputs(candidate.outputs or (), incumbent.outputs or ()),
        *_params(candidate.params or (), incumbent.params or ()),
    )
    parts = ((candidate.inputs, incumbent.inputs, "inputs"), (candidate.outputs, incumbent.outputs, "outputs"))
    unsaid = [name for new, old, name in parts if (new is None) != (old is None)]
    if unsaid:
        told = tuple(d for d in differences if d.where not in {name.removesuffix("s") for name in unsaid})
        if any(d.breaking for d in told):
            return SignatureVerdict(Compatibility.BREAKING, told)
        return SignatureVerdict(Compatibility.UNKNOWN, told, f"only one of the two has a schema of {unsaid[0]}")
    if any(d.breaking for d in differences):
        return SignatureVerdict(Compatibility.BREAKING, differences)
    return SignatureVerdict(Compatibility.COMPATIBLE if differences else Compatibility.IDENTICAL, differences)


def _inputs(candidate: Schema, incumbent: Schema) -> Iterator[SignatureDifference]:
    new, old = _by_name(candidate), _by_name(incumbent)
    positional = _by_position(candidate, incumbent)
    for name in _names(new, old):
        after, before = new.get(name), old.get(name)
        if before is not None and after is None:
            yield _difference("input", name, before, None, positional, "callers still send it; it is ignored")
        elif after is None:
            continue
        elif before is None:
            why = "callers do not send it" if after.required else "optional: callers need not send it"
            yield _difference("input", name, None, after, after.required or positional, why)
        elif after != before:
            breaking = _refuses(after.type, before.type)
            if after.required and not before.required:
                yield _difference("input", name, before, after, True, "callers may omit it")
            elif breaking:
                yield _difference("input", name, before, after, True, breaking)
            else:
                why = "is no longer required" if after.type == before.type else "accepts everything that callers send"
                yield _difference("input", name, before, after, False, why)


def _outputs(candidate: Schema, incumbent: Schema) -> Iterator[SignatureDifference]:
    new, old = _by_name(candidate), _by_name(incumbent)
    positional = _by_position(candidate, incumbent)
    for name in _names(new, old):
        after, before = new.get(name), old.get(name)
        if before is not None and after is None:
            yield _difference("output", name, before, None, True, "callers read it")
        elif after is None:
            continue
        elif before is None:
            why = "the columns have no names: callers read one more" if positional else "callers do not read it yet"
            yield _difference("output", name, None, after, positional, why)
        elif before.required and not after.required:
            yield _difference("output", name, before, after, True, "callers may find it missing")
        elif after != before:
            breaking = not _reads(before.type, after.type)
            why = "callers expect another type" if breaking else "everything that callers read is there"
            yield _difference("output", name, before, after, breaking, why)


def _params(candidate: tuple[Parameter, ...], incumbent: tuple[Parameter, ...]) -> Iterator[SignatureDifference]:
    new, old = {p.name: p for p in candidate}, {p.name: p for p in incumbent}
    for name in _names(new, old):
        after, before = new.get(name), old.get(name)
        told = (None if before is None else str(before), None if after is None else str(after))
        if after is None:
            yield SignatureDifference("param", name, *told, True, "what callers pass is ignored")
        elif before is None:
            yield SignatureDifference("param", name, *told, False, "it has a default")
        elif (after.type, after.shape) != (before.type, before.shape):
            widened = after.shape == before.shape and after.type in PARAMS_WIDEN.get(before.type, ())
            why = "accepts everything that callers pass" if widened else "callers pass another type"
            yield SignatureDifference("param", name, *told, not widened, why)
        elif after != before:
            yield SignatureDifference("param", name, *told, False, "another default, for callers that do not pass it")


def _refuses(takes: ColumnType, given: ColumnType) -> str:
    """Why values of the second type are not all taken where the first is asked for; empty if they are."""
    match takes, given:
        case Scalar("any"), _:
            return ""
        case Scalar(wants), Scalar(has):
            return "" if wants == has or wants in WIDENS.get(has, ()) else "callers send another type"
        case Tensor(), Tensor():
            return _refuses_tensor(takes, given)
        case Array(), Array():
            return _refuses(takes.items, given.items)
        case MapOf(), MapOf():
            return _refuses(takes.values, given.values)
        case Struct(), Struct():
            return _refuses_struct(takes, given)
        case _:
            return "callers send another type"


def _refuses_tensor(takes: Tensor, given: Tensor) -> str:
    if takes.dtype != given.dtype:
        return "callers send another type"
    if len(takes.shape) != len(given.shape):
        return "callers send another number of dimensions"
    if not all(t in {-1, g} for t, g in zip(takes.shape, given.shape, strict=True)):
        return "callers may send another shape"
    # A data frame has as many rows as it likes, and becomes an array of otherwise fixed lengths only.
    of_frames = given.shape[:1] == (-1,) and -1 not in given.shape[1:]
    return "callers may send a data frame, which needs fixed lengths" if of_frames and takes != given else ""


def _refuses_struct(takes: Struct, given: Struct) -> str:
    new, old = _by_name(takes.fields), _by_name(given.fields)
    for name in _names(new, old):
        after, before = new.get(name), old.get(name)
        if after is None:
            # Unlike columns, properties that the schema does not know are refused.
            return f"callers send `{name}`, which is no longer accepted"
        if before is None:
            if after.required:
                return f"callers do not send `{name}`"
        elif after.required and not before.required:
            return f"callers may omit `{name}`"
        elif why := _refuses(after.type, before.type):
            return why
    return ""


def _reads(knows: ColumnType, given: ColumnType) -> bool:
    """Whether who can read the first type finds all of it in the second; they look at nothing else."""
    match knows, given:
        case Scalar("any"), _:
            return True
        case Tensor(), Tensor():
            same_rank = knows.dtype == given.dtype and len(knows.shape) == len(given.shape)
            return same_rank and all(k in {-1, g} for k, g in zip(knows.shape, given.shape, strict=True))
        case Array(), Array():
            return _reads(knows.items, given.items)
        case MapOf(), MapOf():
            return _reads(knows.values, given.values)
        case Struct(), Struct():
            there = _by_name(given.fields)
            return all(
                (field := there.get(name)) is not None
                and (field.required or not known.required)
                and _reads(known.type, field.type)
                for name, known in _by_name(knows.fields).items()
            )
        case _:
            return knows == given


def _difference(
    where: str, name: str, before: Column | None, after: Column | None, breaking: bool, why: str
) -> SignatureDifference:
    def told(column: Column | None) -> str | None:
        return None if column is None else f"{column.type}{'' if column.required else ' (optional)'}"

    return SignatureDifference(where, name, told(before), told(after), breaking, why)


def _by_position(candidate: Schema, incumbent: Schema) -> bool:
    """Whether one of the two has no names to know its columns by."""
    return bool(candidate and incumbent) and not (candidate[0].name and incumbent[0].name)


def _by_name(schema: Iterable[Column]) -> dict[str, Column]:
    return {column.name or f"#{position}": column for position, column in enumerate(schema)}


def _names(new: Mapping[str, object], old: Mapping[str, object]) -> list[str]:
    """Those of the incumbent in their order, then those that the candidate adds."""
    return [*old, *(name for name in new if name not in old)]
