"""
YAML values → pydantic models: what manifests and policies have in common in how they are spelled, and problems at the
place where they are. The JSON Schemas are made from the same models.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

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
from reconciler.core.text import did_you_mean
from reconciler.errors import Fault, Location, Problem
from reconciler.reading.located import Kind, YamlList, YamlMap, YamlScalar, YamlValue, described, shown

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

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


def fault(code: StrEnum, message: str, fix: str, *, of_key: bool = False) -> PydanticCustomError:
    """`message` goes on after the name of the thing."""
    return PydanticCustomError("spelling", "a value is wrong", {"fault": Fault(code, message, fix, of_key=of_key)})


def wrong_type(value: YamlValue, expected: str, fix: str) -> PydanticCustomError:
    return fault(SpellingCode.WRONG_TYPE, f" is {described(value)}; expected {expected}.", fix)


def is_null(value: YamlValue) -> bool:
    return isinstance(value, YamlScalar) and value.kind is Kind.NULL


def mapping(value: YamlValue) -> YamlMap:
    if isinstance(value, YamlMap):
        return value
    if is_null(value):
        raise wrong_type(value, "a mapping", "Remove the key, or write something below it.")
    raise wrong_type(value, "a mapping", "Write `key: value` lines below it.")


def text(value: YamlValue, expected: str = "a string") -> str:
    match value:
        case YamlScalar(kind=Kind.TEXT):
            return value.text
        case YamlScalar(kind=Kind.NULL):
            raise wrong_type(value, expected, "Write a string, or remove it.")
        case YamlScalar():
            raise wrong_type(value, expected, f'Quote it: `"{shown(value.text)}"`.')
        case _:
            raise wrong_type(value, expected, "Write one string.")


def prose(value: YamlValue) -> str:
    written = text(value)
    if len(written) > MAX_DESCRIPTION:
        said = f" has {len(written)} characters; a description or comment has at most {MAX_DESCRIPTION}."
        raise fault(SpellingCode.INVALID_TEXT, said, "Shorten it.")
    if has_control_characters(written, INVISIBLE_IN_PROSE):
        raise fault(
            SpellingCode.INVALID_TEXT,
            f" is {described(value)}, which contains control or invisible characters.",
            "Remove the escaped characters.",
        )
    return written


def line(value: YamlValue) -> str:
    """A text of one line that says something."""
    written = text(value)
    if not written.strip() or len(written) > MAX_NAME or has_control_characters(written):
        raise fault(
            SpellingCode.INVALID_TEXT,
            f" is {described(value)}; expected a string of 1 to {MAX_NAME} visible characters.",
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
        said = f": `{shown(written)}` is not what it seems: {why}."
        raise fault(
            SpellingCode.LOOK_ALIKE_LETTERS,
            said,
            "Retype it in one alphabet, each letter as one character.",
            of_key=of_key,
        )


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


def number_between(value: YamlValue, least: float, most: float | None = None) -> float:
    read = number(value)
    if read >= least and (most is None or read <= most):
        return read
    if most is not None:
        raise wrong_type(value, f"a number from {least:g} to {most:g}", "Write it in digits, without quotes.")
    if least == 0:
        raise wrong_type(value, "a number that is not negative", "Write `0` or more.")
    raise wrong_type(value, f"a number of at least {least:g}", f"Write `{least:g}` or more.")


def at_least_zero(value: YamlValue) -> float:
    return number_between(value, 0)


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
        raise fault(SpellingCode.WRONG_TYPE, " is `[]`; expected at least one.", "Write one.")
    if is_null(value):
        raise wrong_type(value, "one or a list of several", "Write at least one, or remove the key.")
    return [value]


def listed(value: YamlValue) -> YamlList:
    if isinstance(value, YamlList):
        if not value:
            raise fault(SpellingCode.WRONG_TYPE, " is `[]`; expected a list of at least one.", "Write one.")
        return value
    raise wrong_type(value, "a list", "Write a list: one `- ` per line, or `[…]`.")


def filled(value: YamlValue) -> YamlMap:
    read = mapping(value)
    if not read:
        raise fault(SpellingCode.WRONG_TYPE, " is `{}`; expected at least one key.", "Write one.")
    return read


_WILD = re.compile(r"[*?\[]")
# What an alias can be made of, and what a pattern of aliases can.
_ALIAS_PATTERN = re.compile(r"(?:[\w\-*?]|\[!?[\w-]+\])+")


def slot(written: str, *, pattern: bool = False, of_key: bool = False) -> str:
    """
    A slot as it is written: a stage, an alias behind an `@`, or a bare word that is no stage and then is an alias. One
    that is nearly a stage is refused: as an alias it would guard a slot that nobody uses.
    """

    def refused(why: str, fix: str) -> PydanticCustomError:
        return fault(SpellingCode.INVALID_SLOT, f": `{shown(written)}` is not a valid slot: {why}.", fix, of_key=of_key)

    refuse_look_alikes(written, of_key=of_key)
    if written in set(Stage):
        return written
    wild = _WILD.search(written) is not None
    if wild and not pattern:
        raise refused("patterns are only for the policy", "Write one stage, or one `@alias`.")
    if wild and _matches_a_stage(written):
        return written
    if not written.startswith("@") and (guess := _nearly_a_stage(written)):
        raise refused(f"MLflow has the stages {', '.join(Stage)}", f"Write `{guess}`, or `@{written}` for an alias.")
    alias = written.removeprefix("@")
    if wild and not _ALIAS_PATTERN.fullmatch(alias):
        raise refused("it matches no stage and no possible alias", "Write `Production`, or `@champion*`.")
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


def slot_word(value: YamlValue) -> str:
    """A slot as it is written: a bare word that is no stage of MLflow's may be one of the policy's own."""
    written = line(value)
    slot(written)
    return written


def slot_key(key: str) -> Slot:
    return Slot(slot(key, of_key=True))


def word(value: YamlValue, words: Mapping[str, object]) -> Any:
    """What one of the words stands for."""
    written = text(value)
    if written in words:
        return words[written]
    message = f" is {described(value)}; expected one of {', '.join(words)}."
    raise fault(SpellingCode.WRONG_TYPE, message, "Write one of these.")


def tag_value(value: YamlValue) -> str:
    """The value of a tag, or a pattern of them: a text, or a number that has no other spelling."""
    if isinstance(value, YamlScalar) and value.kind is Kind.INTEGER and len(value.text) < 100:
        return value.text
    return line(value)


def tag_key(key: str) -> str:
    if not key.strip() or len(key) > 250 or not key.isprintable():
        raise fault(SpellingCode.INVALID_TEXT, ": this is not a valid tag key.", "Write a tag key.", of_key=True)
    return key


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


Json = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Spelled:
    """A type that one function reads, and what an editor lets people write for it, as JSON Schema."""

    read: Callable[[YamlValue], Any]
    json: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: object) -> Json:
        return dict(self.json)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """
    A type that is written in several ways: one function brings them to the long form, which pydantic judges; another
    makes what an editor lets people write of the JSON Schema of the long form.
    """

    long: Callable[[YamlValue], Any]
    json: Callable[[Json], Json] = dict

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.long, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: "GetJsonSchemaHandler") -> Json:
        return self.json(handler(schema))


@dataclass(frozen=True, slots=True, eq=False)
class JudgedLater:
    """
    What one function looks at first, and what is judged piece by piece later, so that one mistake does not hide others.
    `of` is what the whole looks like.
    """

    first: Callable[[YamlValue], Any]
    of: Callable[[], Any]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.first)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: "GetJsonSchemaHandler") -> Json:
        from pydantic import TypeAdapter

        # As an item, it is judged as a whole and may be a reference; a bare one would be written out at each use.
        whole = handler(TypeAdapter(cast(Any, tuple)[self.of(), ...]).core_schema)["items"]
        return {"allOf": [whole]} if "$ref" in whole else whole


def json_of_several(long: Json) -> Json:
    return {"anyOf": [long["items"], {"type": "array", "items": long["items"], "minItems": 1}]}


def json_of_list(long: Json) -> Json:
    return {"type": "array", "items": long["items"], "minItems": 1}


def json_of_mapping(long: Json, keys: Mapping[str, Any], least: int = 0) -> Json:
    shape = {"type": "object", "propertyNames": keys, "additionalProperties": long["additionalProperties"]}
    return {**shape, "minProperties": least} if least else shape


SEVERAL = Written(several, json_of_several)
"""One, or a list of at least one."""
LISTED = Written(listed, json_of_list)
"""A list of at least one."""
MAPPING = Written(mapping)


def keyed(keys: Mapping[str, Any], *, filled_in: bool = False) -> Written:
    """A mapping whose keys are as a JSON Schema says; `filled_in` with at least one."""
    least = int(filled_in)
    return Written(filled if filled_in else mapping, partial(json_of_mapping, keys=keys, least=least))


PROSE_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
PROSE_JSON = {"type": "string", "maxLength": MAX_DESCRIPTION, "pattern": PROSE_PATTERN}
LINE_JSON = {
    "type": "string",
    "maxLength": MAX_NAME,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
}
DURATION_JSON = {"type": "string", "pattern": r"^[1-9][0-9]{0,5}[smhdw]$"}
SLOT_JSON = {"type": "string", "pattern": rf"^@?{ALIAS_PATTERN.strip('^$')}$"}
TAG_KEY_JSON = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]{1,250}$"}
SLOT_PATTERN_JSON = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}


class Spec(BaseModel):
    """How a mapping is spelled. Models are built when they are first used, which keeps the import cheap."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


Prose = Annotated[str, Spelled(prose, PROSE_JSON)]
Line = Annotated[str, Spelled(line, LINE_JSON)]
Name = Annotated[str, Spelled(name, LINE_JSON)]
Boolean = Annotated[bool, Spelled(boolean, {"type": "boolean"})]
Number = Annotated[float, Spelled(number, {"type": "number"})]
NotNegative = Annotated[float, Spelled(at_least_zero, {"type": "number", "minimum": 0})]
Duration = Annotated[float, Spelled(duration, DURATION_JSON)]
SlotWord = Annotated[str, Spelled(slot_word, SLOT_JSON)]
SlotName = Annotated[Slot, Spelled(one_slot, SLOT_JSON)]
SlotPattern = Annotated[str, Spelled(slot_pattern, SLOT_PATTERN_JSON)]
SlotPatterns = Annotated[tuple[SlotPattern, ...], SEVERAL]
TagValue = Annotated[str, Spelled(tag_value, {"anyOf": [LINE_JSON, {"type": "integer"}]})]
TagPatterns = Annotated[dict[Annotated[str, BeforeValidator(tag_key)], TagValue], keyed(TAG_KEY_JSON, filled_in=True)]


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
                self.problem((), SpellingCode.WRONG_TYPE, f" is {described(self.root)}; expected a mapping.", fix)
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

    def problem(self, where: Where, code: str, message: str, fix: str) -> Problem:
        """`message` goes on after the name of the thing."""
        return self.blame(Fault(code, message, fix, where))

    def blame(self, fault: Fault) -> Problem:
        """What is wrong with a value, at its place and with its name."""
        at, called = self.follow_to_key(fault.where) if fault.of_key else self.follow(fault.where)[1:]
        return Problem(at, fault.code, f"{f'`{called}`' if called else self.whole}{fault.message}", fault.fix)

    def explain(self, spec: type[Spec], error: ErrorDetails) -> Problem:
        where = error["loc"]
        wrong = error.get("ctx", {}).get("fault")
        if isinstance(wrong, Fault):
            # pydantic puts "[key]" behind a key that is wrong.
            return self.blame(replace(wrong, where=where[:-1] if wrong.of_key else where))
        if error["type"] == "missing":
            said = f" has no key `{where[-1]}`, which is required."
            return self.problem(where[:-1], SpellingCode.MISSING_KEY, said, f"Add `{where[-1]}: …`.")
        return self._unknown_key(spec, where)

    def _unknown_key(self, spec: type[Spec], where: Where) -> Problem:
        key = str(where[-1])
        at, called = self.follow_to_key(where)
        known = keys_of(_spec_at(spec, where[:-1]))
        return Problem(
            at,
            SpellingCode.UNKNOWN_KEY,
            f"{f'`{called}`' if called else self.whole} has no key `{shown(key)}`; allowed: {', '.join(known)}.",
            did_you_mean(key, known, "Remove it."),
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
            # A key that is of no field's name is one of several that have one type.
            kind = fields.get(str(step)) or get_args(kind.__annotations__["__pydantic_extra__"])[1]
    return cast("type[Spec]", _unwrapped(kind))


def _unwrapped(kind: Any) -> Any:
    """A type without what is said about it, and without None."""
    while (origin := get_origin(kind)) in {Annotated, Union, UnionType}:
        inner = get_args(kind)[:1] if origin is Annotated else get_args(kind)
        kind = next(one for one in inner if one is not NoneType)
    return kind


def keys_of(spec: type[Spec]) -> list[str]:
    return [field.alias or key for key, field in spec.model_fields.items()]


def distinct(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """In the order of places. What stands behind an anchor is judged wherever an alias puts it, and is wrong once."""
    by_place: Mapping[tuple[Location, str], Problem] = {
        (problem.location, problem.code): problem for problem in sorted(problems, reverse=True)
    }
    return tuple(sorted(by_place.values()))
