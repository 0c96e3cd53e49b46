"""
YAML values → pydantic models: what manifests and policies have in common in how they are spelled, and problems at the
place where they are. The JSON Schemas are made from the same models.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from reconciler.core.names import (
    ALIAS_PATTERN,
    MAX_DESCRIPTION,
    AliasName,
    Slot,
    Stage,
    alias_fault,
    alias_slot,
    has_control_characters,
    look_alike_fault,
)
from reconciler.errors import Location, Problem
from reconciler.reading.located import Kind, YamlList, YamlMap, YamlScalar, YamlValue, described, shown

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler

S = TypeVar("S", bound="Spec")

MAX_NAME = 256

# Joiners are invisible, but emoji and several scripts cannot be written without them.
INVISIBLE_IN_PROSE = "\n\t\u200c\u200d"


class SpellingCode(StrEnum):
    """What can be wrong with any value, whatever it is for."""

    WRONG_TYPE = "wrong-type"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    INVALID_TEXT = "invalid-text"
    UNKNOWN_STAGE = "unknown-stage"
    INVALID_SLOT = "invalid-slot"
    LOOK_ALIKE_LETTERS = "look-alike-letters"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value; `said` goes on after the name of the thing."""

    code: StrEnum
    said: str
    fix: str
    of_key: bool = False


def fault(code: StrEnum, said: str, fix: str, *, of_key: bool = False) -> PydanticCustomError:
    return PydanticCustomError("spelling", "a value is wrong", {"fault": Fault(code, said, fix, of_key)})


def wrong_type(value: YamlValue, expected: str, fix: str) -> PydanticCustomError:
    return fault(SpellingCode.WRONG_TYPE, f" is {described(value)}, and {expected} was expected.", fix)


def is_null(value: YamlValue) -> bool:
    return isinstance(value, YamlScalar) and value.kind is Kind.NULL


def mapping(value: YamlValue) -> YamlMap:
    if isinstance(value, YamlMap):
        return value
    if is_null(value):
        raise wrong_type(value, "a mapping", "Remove the key, or write something below it.")
    raise wrong_type(value, "a mapping", "Write `key: value` lines below it.")


def text(value: YamlValue, expected: str = "a text") -> str:
    match value:
        case YamlScalar(kind=Kind.TEXT):
            return value.text
        case YamlScalar(kind=Kind.NULL):
            raise wrong_type(value, expected, "Write a text, or remove it.")
        case YamlScalar():
            raise wrong_type(value, expected, f'Quote it: `"{shown(value.text)}"`.')
        case _:
            raise wrong_type(value, expected, "Write one text.")


def prose(value: YamlValue) -> str:
    written = text(value)
    if len(written) > MAX_DESCRIPTION:
        said = f" has {len(written)} characters, and a description or comment has at most {MAX_DESCRIPTION}."
        raise fault(SpellingCode.INVALID_TEXT, said, "Shorten it.")
    if has_control_characters(written, INVISIBLE_IN_PROSE):
        raise fault(
            SpellingCode.INVALID_TEXT,
            f" is {described(value)}, which holds control or invisible characters.",
            "Remove the escaped characters.",
        )
    return written


def line(value: YamlValue) -> str:
    """A text of one line that says something."""
    written = text(value)
    if not written.strip() or len(written) > MAX_NAME or has_control_characters(written):
        raise fault(
            SpellingCode.INVALID_TEXT,
            f" is {described(value)}, and a text of 1 to {MAX_NAME} visible characters was expected.",
            "Write it on one line.",
        )
    return written


def name(value: YamlValue) -> str:
    """A text that people tell things apart by."""
    written = line(value)
    refuse_look_alikes(written)
    return written


def refuse_look_alikes(written: str, *, of_key: bool = False) -> None:
    if why := look_alike_fault(written):
        said = f": `{shown(written)}` does not read as it looks: {why}."
        raise fault(SpellingCode.LOOK_ALIKE_LETTERS, said, "Type it anew, in one alphabet.", of_key=of_key)


def boolean(value: YamlValue) -> bool:
    if isinstance(value, YamlScalar) and value.kind is Kind.BOOLEAN:
        return value.text.lower() == "true"
    raise wrong_type(value, "`true` or `false`", "Write `true` or `false`, without quotes.")


_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def number(value: YamlValue) -> float:
    if isinstance(value, YamlScalar) and value.kind in {Kind.INTEGER, Kind.NUMBER} and _DECIMAL.fullmatch(value.text):
        read = float(value.text)
        if math.isfinite(read):
            return read
    raise wrong_type(value, "a number", "Write it in digits, such as `0.8`, without quotes.")


def at_least_zero(value: YamlValue) -> float:
    read = number(value)
    if read < 0:
        raise wrong_type(value, "a number that is not negative", "Write `0` or more.")
    return read


def whole(value: YamlValue, least: int, most: int) -> int:
    if (
        isinstance(value, YamlScalar)
        and value.kind is Kind.INTEGER
        and len(value.text) < 12
        and least <= int(value.text) <= most
    ):
        return int(value.text)
    raise wrong_type(value, f"a whole number from {least} to {most}", "Write it in digits, without quotes.")


def several(value: YamlValue) -> list[YamlValue]:
    """One is short for a list of one; a list of none asks for nothing, or for all, and nobody can tell which."""
    if isinstance(value, YamlList) and value:
        return list(value)
    if isinstance(value, YamlList):
        raise fault(SpellingCode.WRONG_TYPE, " is `[]`, and at least one was expected.", "Write one.")
    if is_null(value):
        raise wrong_type(value, "one or a list of several", "Write at least one, or remove the key.")
    return [value]


def listed(value: YamlValue) -> YamlList:
    if isinstance(value, YamlList):
        if not value:
            raise fault(SpellingCode.WRONG_TYPE, " is `[]`, and a list of at least one was expected.", "Write one.")
        return value
    raise wrong_type(value, "a list", "Write a list: one `- ` per line, or `[…]`.")


def filled(value: YamlValue) -> YamlMap:
    read = mapping(value)
    if not read:
        raise fault(SpellingCode.WRONG_TYPE, " is `{}`, and at least one key was expected.", "Write one.")
    return read


def stage(value: YamlValue) -> Stage:
    written = text(value, "a stage")
    if written in set(Stage):
        return Stage(written)
    guess = nearest(written, [one.value for one in Stage])
    raise fault(
        SpellingCode.UNKNOWN_STAGE,
        f" is {described(value)}, and MLflow has the stages {', '.join(Stage)}.",
        f"Did you mean `{guess}`?" if guess else "Write one of these.",
    )


_WILD = re.compile(r"[*?\[]")
# What an alias can be made of, and what a pattern of aliases can.
_ALIAS_PATTERN = re.compile(r"(?:[\w\-*?]|\[!?[\w-]+\])+")


def slot(written: str, *, pattern: bool = False, of_key: bool = False) -> str:
    """
    A slot as it is written: a stage, an alias behind an `@`, or a bare word that is no stage and then is an alias. One
    that is nearly a stage is refused: as an alias it would guard a slot that nobody uses.
    """

    def refused(why: str, fix: str) -> PydanticCustomError:
        return fault(SpellingCode.INVALID_SLOT, f": `{shown(written)}` is no slot: {why}.", fix, of_key=of_key)

    refuse_look_alikes(written, of_key=of_key)
    if written in set(Stage):
        return written
    wild = _WILD.search(written) is not None
    if wild and not pattern:
        raise refused("patterns are for the policy", "Write one stage, or one `@alias`.")
    if wild and _matches_a_stage(written):
        return written
    if not written.startswith("@") and (guess := _nearly_a_stage(written)):
        raise refused(f"MLflow has the stages {', '.join(Stage)}", f"Write `{guess}`, or `@{written}` for an alias.")
    alias = written.removeprefix("@")
    if wild and not _ALIAS_PATTERN.fullmatch(alias):
        raise refused("it matches no stage, and no alias can be called that", "Write `Production`, or `@champion*`.")
    if not wild and (why := alias_fault(alias)):
        raise refused(why, "Write a stage such as `Production`, or an alias such as `@champion`.")
    return alias_slot(AliasName(alias))


def _matches_a_stage(pattern: str) -> bool:
    from reconciler.core.policy import matches

    return any(matches(pattern, one) for one in Stage)


def _nearly_a_stage(written: str) -> str | None:
    import difflib

    by_folded = {one.value.casefold(): one.value for one in Stage}
    found = difflib.get_close_matches(written.casefold(), by_folded, n=1, cutoff=0.8) if len(written) < 20 else []
    return by_folded[found[0]] if found else None


def slot_pattern(value: YamlValue) -> str:
    return slot(line(value), pattern=True)


def one_slot(value: YamlValue) -> Slot:
    return Slot(slot(line(value)))


def slot_key(key: str) -> Slot:
    return Slot(slot(key, of_key=True))


_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(value: YamlValue) -> float:
    """Seconds. A number alone does not say of what."""
    written = value.text if isinstance(value, YamlScalar) else ""
    if isinstance(value, YamlScalar) and value.kind is Kind.TEXT and (found := _DURATION.fullmatch(written)):
        return float(int(found[1]) * _SECONDS[found[2]])
    digits = isinstance(value, YamlScalar) and value.kind is Kind.INTEGER and _DURATION.fullmatch(f"{written}s")
    fix = (
        f"Write the unit: `{written}s`, or `m`, `h`, `d`, `w`." if digits else "Write `90s`, `10m`, `2h`, `3d` or `2w`."
    )
    raise wrong_type(value, "a duration", fix)


@dataclass(frozen=True, slots=True)
class JsonShape:
    """What people may write, as JSON Schema, made from the long form: which is all that pydantic sees of it."""

    of: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        return self.of(handler(core))


@dataclass(frozen=True, slots=True)
class JudgedLater:
    """What is judged piece by piece, so that one mistake does not hide others. `of` is what the whole looks like."""

    of: Callable[[], Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        from pydantic import TypeAdapter

        return handler(TypeAdapter(self.of()).core_schema)


def json_of_several(long: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [long["items"], {"type": "array", "items": long["items"], "minItems": 1}]}


def json_of_list(long: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": long["items"], "minItems": 1}


def json_of_mapping(long: dict[str, Any], keys: dict[str, Any], least: int = 0) -> dict[str, Any]:
    shape = {"type": "object", "propertyNames": keys, "additionalProperties": long["additionalProperties"]}
    return {**shape, "minProperties": least} if least else shape


PROSE_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
PROSE_JSON = {"type": "string", "maxLength": MAX_DESCRIPTION, "pattern": PROSE_PATTERN}
LINE_JSON = {
    "type": "string",
    "maxLength": MAX_NAME,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
}
STAGE_JSON = {"type": "string", "enum": [one.value for one in Stage]}
DURATION_JSON = {"type": "string", "pattern": r"^[1-9][0-9]{0,5}[smhdw]$"}
SLOT_JSON = {"type": "string", "pattern": rf"^@?{ALIAS_PATTERN.strip('^$')}$"}
SLOT_PATTERN_JSON = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}


class Spec(BaseModel):
    """How a mapping is spelled. Models are built when they are first used, which keeps the import cheap."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


Prose = Annotated[str, PlainValidator(prose), WithJsonSchema(PROSE_JSON)]
Line = Annotated[str, PlainValidator(line), WithJsonSchema(LINE_JSON)]
Name = Annotated[str, PlainValidator(name), WithJsonSchema(LINE_JSON)]
Boolean = Annotated[bool, PlainValidator(boolean), WithJsonSchema({"type": "boolean"})]
Number = Annotated[float, PlainValidator(number), WithJsonSchema({"type": "number"})]
NotNegative = Annotated[float, PlainValidator(at_least_zero), WithJsonSchema({"type": "number", "minimum": 0})]
Duration = Annotated[float, PlainValidator(duration), WithJsonSchema(DURATION_JSON)]
StageName = Annotated[Stage, PlainValidator(stage), WithJsonSchema(STAGE_JSON)]
SlotName = Annotated[Slot, PlainValidator(one_slot), WithJsonSchema(SLOT_JSON)]
SlotPattern = Annotated[str, PlainValidator(slot_pattern), WithJsonSchema(SLOT_PATTERN_JSON)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(several), JsonShape(json_of_several)]
Names = Annotated[tuple[Name, ...], BeforeValidator(several), JsonShape(json_of_several)]
Stages = Annotated[tuple[StageName, ...], BeforeValidator(several), JsonShape(json_of_several)]
SlotPatterns = Annotated[tuple[SlotPattern, ...], BeforeValidator(several), JsonShape(json_of_several)]


Where = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """A value that is being read, what the whole is that it is in, its place, and how it is called in messages."""

    root: YamlValue
    whole: str
    place: Location
    called: str = ""

    def judge(self, spec: type[S]) -> tuple[S | None, list[ErrorDetails]]:
        """The value as it is spelled, or the errors."""
        try:
            return spec.model_validate(self.root), []
        except ValidationError as error:
            return None, error.errors(include_url=False, include_input=False)

    def read(self, spec: type[S]) -> tuple[S | None, list[Problem]]:
        """The value as it is spelled, or everything wrong with it."""
        if not isinstance(self.root, YamlMap):
            fix = "Write `key: value` lines."
            return None, [
                self.problem(
                    (), SpellingCode.WRONG_TYPE, f" is {described(self.root)}, and a mapping was expected.", fix
                )
            ]
        read, errors = self.judge(spec)
        return read, [self.explain(spec, error) for error in errors]

    def below(self, *where: int | str) -> "Reader":
        value, place, called = self.follow(where)
        return Reader(value, self.whole, place, called)

    def follow(self, where: Where) -> tuple[YamlValue, Location, str]:
        """
        A value, its place, and how it is called, by the way to it in the long form: as far as the document goes along.
        One value stands for itself, a list or mapping for the line where its key is.
        """
        value, at, called = self.root, self.place, self.called
        for step in where:
            if isinstance(value, YamlList) and isinstance(step, int):
                value = value[step]
                at, called = value.at, f"{called}[{step}]"
            elif isinstance(value, YamlMap) and isinstance(step, str) and step in value:
                key_at, value = value.key_places[step], value[step]
                at = value.at if isinstance(value, YamlScalar) else key_at
                called = f"{called}.{shown(step)}" if called else shown(step)
            elif isinstance(step, str):
                break
        return value, at, called

    def at(self, *where: int | str) -> Location:
        return self.follow(where)[1]

    def follow_to_key(self, where: Where) -> tuple[Location, str]:
        """The place of the key that is the last step, and how the mapping is called that it is in."""
        parent, at, called = self.follow(where[:-1])
        return parent.key_places.get(str(where[-1]), at) if isinstance(parent, YamlMap) else at, called

    def problem(self, where: Where, code: StrEnum, said: str, fix: str) -> Problem:
        """`said` goes on after the name of the thing."""
        _, at, called = self.follow(where)
        return Problem(at, code, f"{f'`{called}`' if called else self.whole}{said}", fix)

    def explain(self, spec: type[Spec], error: ErrorDetails) -> Problem:
        where = error["loc"]
        wrong = error.get("ctx", {}).get("fault")
        if isinstance(wrong, Fault):
            # pydantic puts "[key]" behind a key that is wrong.
            at, called = self.follow_to_key(where[:-1]) if wrong.of_key else self.follow(where)[1:]
            return Problem(at, wrong.code, f"{f'`{called}`' if called else self.whole}{wrong.said}", wrong.fix)
        if error["type"] == "missing":
            said = f" has no key `{where[-1]}`, which it must have."
            return self.problem(where[:-1], SpellingCode.MISSING_KEY, said, f"Add `{where[-1]}: …`.")
        return self._unknown_key(spec, where)

    def _unknown_key(self, spec: type[Spec], where: Where) -> Problem:
        key = str(where[-1])
        at, called = self.follow_to_key(where)
        known = keys_of(_spec_at(spec, where[:-1]))
        guess = nearest(key, known)
        return Problem(
            at,
            SpellingCode.UNKNOWN_KEY,
            f"{f'`{called}`' if called else self.whole} has no key `{shown(key)}`; it may have: {', '.join(known)}.",
            f"Did you mean `{guess}`?" if guess else "Remove it.",
        )


def _spec_at(spec: type[Spec], where: Where) -> type[Spec]:
    """The model that judges what is at the end of the way."""
    kind: Any = spec
    for step in where:
        kind = _unwrapped(kind)
        origin = get_origin(kind)
        if origin is tuple:
            kind = get_args(kind)[0]
        elif origin is dict:
            kind = get_args(kind)[1]
        elif isinstance(kind, type) and issubclass(kind, Spec):
            fields = {one.alias or key: one.annotation for key, one in kind.model_fields.items()}
            kind = fields[str(step)]
    return cast("type[Spec]", _unwrapped(kind))


def _unwrapped(kind: Any) -> Any:
    """A type without what is said about it, and without None."""
    while (origin := get_origin(kind)) in {Annotated, Union, UnionType}:
        inner = get_args(kind)[:1] if origin is Annotated else get_args(kind)
        kind = next(one for one in inner if one is not NoneType)
    return kind


def keys_of(spec: type[Spec]) -> list[str]:
    return [field.alias or key for key, field in spec.model_fields.items()]


def nearest(key: str, known: Iterable[str]) -> str | None:
    import difflib

    by_folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(key.casefold(), by_folded, n=1, cutoff=0.55) if len(key) <= MAX_NAME else []
    return by_folded[found[0]] if found else None


def distinct(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """In the order of places. What stands behind an anchor is judged wherever an alias puts it, and is wrong once."""
    by_place: Mapping[tuple[Location, str], Problem] = {
        (problem.location, problem.code): problem for problem in sorted(problems, reverse=True)
    }
    return tuple(sorted(by_place.values()))
