"""
YAML text → Manifest fragments, each value with its place. The pydantic models judge how a document is spelled, and the
JSON Schema is made from them too; what they accept becomes core types at once.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from reconciler.adapters.located_yaml import (
    Kind,
    YamlCode,
    YamlList,
    YamlMap,
    YamlScalar,
    YamlValue,
    described,
    read_documents,
    shown,
)
from reconciler.core.desired import Declared, Manifest, Pin
from reconciler.core.names import (
    ALIAS_PATTERN,
    MAX_DESCRIPTION,
    MAX_TAG_VALUE,
    MLFLOW_TAG_PREFIX,
    MODEL_NAME_PATTERN,
    OUR_TAG_PREFIX,
    TAG_KEY_PATTERN,
    AliasName,
    ModelName,
    Stage,
    Version,
    alias_fault,
    has_control_characters,
    model_name_fault,
    tag_key_fault,
)
from reconciler.errors import Location, Problem

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler

    # Not at run time: it would import the whole core, which reading YAML has no use for.
    from reconciler.ports import SourceFile

T = TypeVar("T")


class ManifestCode(StrEnum):
    """What can be wrong with what a document says."""

    WRONG_TYPE = "wrong-type"
    UNKNOWN_KEY = "unknown-key"
    MISSING_MODEL = "missing-model"
    INVALID_MODEL_NAME = "invalid-model-name"
    INVALID_TEXT = "invalid-text"
    INVALID_OWNER = "invalid-owner"
    INVALID_TAG_KEY = "invalid-tag-key"
    INVALID_TAG_VALUE = "invalid-tag-value"
    UNKNOWN_STAGE = "unknown-stage"
    EMPTY_STAGE = "empty-stage"
    INACTIVE_STAGE_EMPTY = "inactive-stage-empty"
    INVALID_VERSION = "invalid-version"
    MISSING_VERSION = "missing-version"
    MUTABLE_REFERENCE = "mutable-reference"
    INVALID_RUN_ID = "invalid-run-id"
    INVALID_ALIAS = "invalid-alias"
    SEVERAL_VERSIONS = "several-versions"


CODES = frozenset[str]({*YamlCode, *ManifestCode})
"""Every code of a problem that `parse` can find."""

MAX_VERSION = 2**31 - 1
MAX_OWNER = 256

# MLflow's `_RUN_ID_REGEX` (3.17) without the letters of other scripts that its `\w` lets through, and without the line
# feed that its `$` does. See contract/test_run_ids.py::test_mlflow_accepts_every_run_id_that_we_accept.
RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$"
VERSION_PATTERN = r"^[1-9][0-9]{0,9}$"

# Joiners are invisible, but emoji and several scripts cannot be written without them.
_INVISIBLE_IN_PROSE = "\n\t\u200c\u200d"


def parse(files: "Iterable[SourceFile]") -> tuple[tuple[Manifest, ...], tuple[Problem, ...]]:
    """
    The manifests in the order of the files, and everything wrong with the rest, in the order of places. A document with
    a problem gives no manifest.
    """
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    for file in files:
        for document in read_documents(file.path, file.data):
            problems.extend(document.problems)
            if document.root is None:
                continue
            manifest, faults = _judge(document.root)
            problems.extend(faults)
            if manifest is not None and not document.problems:
                manifests.append(manifest)
    # What stands behind an anchor is judged wherever an alias puts it, and is wrong in one place.
    distinct = {(problem.location, problem.code): problem for problem in sorted(problems, reverse=True)}
    return tuple(manifests), tuple(sorted(distinct.values()))


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a value; `said` goes on after the name of the thing."""

    code: ManifestCode
    said: str
    fix: str
    of_key: bool = False


def _fault(code: ManifestCode, said: str, fix: str, *, of_key: bool = False) -> PydanticCustomError:
    return PydanticCustomError("manifest", "a manifest is wrong", {"fault": _Fault(code, said, fix, of_key)})


def _wrong_type(value: YamlValue, expected: str, fix: str) -> PydanticCustomError:
    return _fault(ManifestCode.WRONG_TYPE, f" is {described(value)}, and {expected} was expected.", fix)


def _mapping(value: YamlValue) -> YamlMap:
    if isinstance(value, YamlMap):
        return value
    if isinstance(value, YamlScalar) and value.kind is Kind.NULL:
        raise _wrong_type(value, "a mapping", "Remove the key, or write something below it.")
    raise _wrong_type(value, "a mapping", "Write `key: value` lines below it.")


def _text(value: YamlValue, expected: str = "a text") -> str:
    match value:
        case YamlScalar(kind=Kind.TEXT):
            return value.text
        case YamlScalar(kind=Kind.NULL):
            raise _wrong_type(value, expected, "Write a text, or remove it.")
        case YamlScalar():
            raise _wrong_type(value, expected, f'Quote it: `"{shown(value.text)}"`.')
        case _:
            raise _wrong_type(value, expected, "Write one text.")


def _prose(value: YamlValue) -> str:
    text = _text(value)
    if len(text) > MAX_DESCRIPTION:
        said = f" has {len(text)} characters, and a description or comment has at most {MAX_DESCRIPTION}."
        raise _fault(ManifestCode.INVALID_TEXT, said, "Shorten it.")
    if has_control_characters(text, _INVISIBLE_IN_PROSE):
        raise _fault(
            ManifestCode.INVALID_TEXT,
            f" is {described(value)}, which holds control or invisible characters.",
            "Remove the escaped characters.",
        )
    return text


def _model_name(value: YamlValue) -> ModelName:
    if not isinstance(value, YamlScalar) or value.kind is Kind.NULL:
        raise _fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}, and a model's name was expected.",
            "Write the name that the registry has.",
        )
    if value.kind is not Kind.TEXT:
        raise _fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}, which is no text, and a model's name is one.",
            f'Quote it: `"{shown(value.text)}"`.',
        )
    if fault := model_name_fault(value.text):
        raise _fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}: {fault}.",
            "Write the name that the registry has.",
        )
    return ModelName(value.text)


def _owners(value: YamlValue) -> YamlList:
    if isinstance(value, YamlList):
        return value
    raise _wrong_type(value, "a list of texts", 'Write a list: `["@team"]`.')


def _owner(value: YamlValue) -> str:
    text = _text(value)
    if not text.strip() or len(text) > MAX_OWNER or has_control_characters(text):
        raise _fault(
            ManifestCode.INVALID_OWNER,
            f" is {described(value)}, and a name of 1 to {MAX_OWNER} visible characters was expected.",
            'Write a user, a team or an address, such as `"@acme/risk-ml"`.',
        )
    return text


def _tag_key(key: str) -> str:
    if fault := tag_key_fault(key):
        said = f": the key `{shown(key)}` is not accepted: {fault}."
        raise _fault(ManifestCode.INVALID_TAG_KEY, said, "Rename it.", of_key=True)
    return key


def _tag_value(value: YamlValue) -> str:
    if not isinstance(value, YamlScalar):
        raise _fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}, and the value of a tag is a text.",
            "Write one text; quote it if it is to hold brackets.",
        )
    if value.kind not in {Kind.TEXT, Kind.INTEGER}:
        raise _fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}, which YAML takes for a {value.kind}, and the value of a tag is a text.",
            f'Quote it: `"{shown(value.text)}"`.',
        )
    if len(value.text) > MAX_TAG_VALUE:
        said = f" has {len(value.text)} characters, and the value of a tag has at most {MAX_TAG_VALUE}."
        raise _fault(ManifestCode.INVALID_TAG_VALUE, said, "Shorten it.")
    if has_control_characters(value.text, _INVISIBLE_IN_PROSE):
        raise _fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}, which holds control or invisible characters.",
            "Remove the escaped characters.",
        )
    return value.text


def _alias_name(key: str) -> AliasName:
    if fault := alias_fault(key):
        said = f": `{shown(key)}` cannot be an alias: {fault}."
        raise _fault(ManifestCode.INVALID_ALIAS, said, "Rename it.", of_key=True)
    return AliasName(key)


_VERSION_FIX = "Write a version's number, such as `4`, or the run that it came from: `{run_id: …}`."
_WHY_IMMUTABLE = (
    "which can come to mean another version. What was reviewed must be what is applied, so a version is named by its "
    "number or its run."
)
_NUMBERED = re.compile(r"(?:[vV]|models:/[^/@]+/)0*([1-9][0-9]{0,9})")
_RUN_LIKE = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"[^\W\d][\w.-]*")


def _version(value: YamlValue) -> Version:
    if not isinstance(value, YamlScalar) or value.kind is Kind.NULL:
        said = f" is {described(value)}, and the number of a version was expected."
        raise _fault(ManifestCode.INVALID_VERSION, said, _VERSION_FIX)
    text = value.text
    if re.fullmatch(VERSION_PATTERN.strip("^$"), text):
        if int(text) > MAX_VERSION:
            said = f" is {described(value)}, and a version is at most {MAX_VERSION}."
            raise _fault(ManifestCode.INVALID_VERSION, said, _VERSION_FIX)
        return Version(int(text))
    if value.kind is Kind.TEXT and _is_mutable(text):
        numbered = _NUMBERED.fullmatch(text)
        fix = f"Write `{numbered[1]}`." if numbered else _VERSION_FIX
        raise _fault(ManifestCode.MUTABLE_REFERENCE, f" is {described(value)}, {_WHY_IMMUTABLE}", fix)
    fix = f"If this is a run, write `{{run_id: {text}}}`." if _RUN_LIKE.fullmatch(text) else _VERSION_FIX
    raise _fault(
        ManifestCode.INVALID_VERSION,
        f" is {described(value)}, and a version's number was expected: 1 or more, in digits alone, no leading zero.",
        fix,
    )


def _is_mutable(text: str) -> bool:
    """Whether this is meant as a name for a version: `latest`, `v4`, a stage, an alias, a URI of MLflow's."""
    if _RUN_LIKE.fullmatch(text):
        return False
    return text.startswith(("@", "models:")) or _WORD.fullmatch(text) is not None


def _run_id(value: YamlValue) -> str:
    """A run's id as it is written: one of digits alone, or like `12e7`, is no number."""
    if (
        not isinstance(value, YamlScalar)
        or value.kind in {Kind.NULL, Kind.BOOLEAN}
        or not re.fullmatch(RUN_ID_PATTERN.strip("^$"), value.text)
    ):
        raise _fault(
            ManifestCode.INVALID_RUN_ID,
            f" is {described(value)}, and the id of an MLflow run was expected: letters, digits, `_` and `-`.",
            "Copy it from the run's page or from the version's `run_id`.",
        )
    return value.text


def _pin(value: YamlValue) -> YamlMap:
    """A version alone is short for a mapping with nothing but `version`."""
    match value:
        case YamlMap():
            return value
        case YamlScalar():
            whole = YamlMap(value.at)
            whole["version"] = value
            return whole
        case YamlList():
            raise _wrong_type(value, "a version", "Take the inner brackets away.")


def _pins(value: YamlValue) -> list[YamlValue]:
    """One version is short for a list of one."""
    if isinstance(value, YamlList):
        return list(value)
    if isinstance(value, YamlScalar) and value.kind is Kind.NULL:
        raise _fault(
            ManifestCode.EMPTY_STAGE,
            f" is {described(value)}, which may be an oversight.",
            "Write `[]` if the stage must be empty; remove the key if the stage is not to be governed.",
        )
    return [value]


def _pins_of_inactive(value: YamlValue) -> list[YamlValue]:
    empty = isinstance(value, YamlScalar) and value.kind is Kind.NULL
    if empty or (isinstance(value, YamlList) and not value):
        raise _fault(
            ManifestCode.EMPTY_STAGE if empty else ManifestCode.INACTIVE_STAGE_EMPTY,
            f" is {'empty' if empty else '`[]`'}, and `None` and `Archived` are where versions are put, not slots that "
            "can be kept empty.",
            "Name the versions that belong there, or remove the key.",
        )
    return _pins(value)


def _alias_target(value: YamlValue) -> YamlMap | None:
    if isinstance(value, YamlScalar) and value.kind is Kind.NULL:
        return None
    if isinstance(value, YamlList):
        raise _fault(
            ManifestCode.SEVERAL_VERSIONS,
            " is a list, and an alias names one version.",
            "Write one version, or `null` if the alias must not exist.",
        )
    return _pin(value)


@dataclass(frozen=True, slots=True)
class _JsonShape:
    """What people may write, as JSON Schema, made from the long form: which is all that pydantic sees of it."""

    of: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        return self.of(handler(core))


_VERSION_JSON: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 1, "maximum": MAX_VERSION},
    {"type": "string", "pattern": VERSION_PATTERN},
]
_PROSE_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
_PROSE_JSON = {"type": "string", "maxLength": MAX_DESCRIPTION, "pattern": _PROSE_PATTERN}
_MODEL_NAME_JSON = {"type": "string", "pattern": MODEL_NAME_PATTERN, "not": {"pattern": r"^(\s*|\.\.?)$"}}
_OWNER_JSON = {
    "type": "string",
    "maxLength": MAX_OWNER,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
}
_TAG_KEY_JSON = {
    "pattern": TAG_KEY_PATTERN,
    "not": {
        "pattern": rf"^({re.escape(OUR_TAG_PREFIX)}|{re.escape(MLFLOW_TAG_PREFIX)}|/|\.$)|//|\.\.|/$",
    },
}
_TAG_VALUE_JSON = {
    "oneOf": [{"type": "string", "maxLength": MAX_TAG_VALUE, "pattern": _PROSE_PATTERN}, {"type": "integer"}]
}
_ALIAS_JSON = {"pattern": ALIAS_PATTERN, "not": {"pattern": "^([Ll][Aa][Tt][Ee][Ss][Tt]|[Vv][0-9]+)$"}}


def _json_of_pins(long: dict[str, Any], least: int) -> dict[str, Any]:
    one = [*_VERSION_JSON, long["items"]]
    several: dict[str, Any] = {"type": "array", "items": {"oneOf": one}}
    return {"oneOf": [*one, {**several, "minItems": least} if least else several]}


def _json_of_alias(long: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [*_VERSION_JSON, long, {"type": "null"}]}


def _json_of_mapping(long: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": keys, "additionalProperties": long["additionalProperties"]}


class _Spec(BaseModel):
    """How a mapping is spelled. Models are built when they are first used, which keeps the import cheap."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


_RunId = Annotated[
    str,
    PlainValidator(_run_id),
    WithJsonSchema({"oneOf": [{"type": "string", "pattern": RUN_ID_PATTERN}, {"type": "number", "minimum": 0}]}),
]
_VersionNumber = Annotated[Version, PlainValidator(_version), WithJsonSchema({"oneOf": _VERSION_JSON})]
_Prose = Annotated[str, PlainValidator(_prose), WithJsonSchema(_PROSE_JSON)]


class PinSpec(_Spec):
    """A version by its number, by the run that it came from, or by both, in which case both must hold."""

    model_config = ConfigDict(
        title="Version", json_schema_extra={"anyOf": [{"required": ["version"]}, {"required": ["run_id"]}]}
    )

    version: _VersionNumber | None = Field(None, description="The number of the version.", examples=[4])
    run_id: _RunId | None = Field(
        None,
        description="The MLflow run that the version must come from. With it, the number cannot come to mean another "
        "version when a model is deleted and registered again.",
        examples=["8c1f0c9d1f5d4f0a9f0e0b6a5f3a2b1c"],
    )
    comment: _Prose | None = Field(
        None,
        description="Why this version. It becomes the description of the version in the registry.",
        examples=["Promoted after 2-week A/B test on Staging."],
    )

    @model_validator(mode="after")
    def _names_a_version(self) -> "PinSpec":
        if self.version is None and self.run_id is None:
            raise _fault(
                ManifestCode.MISSING_VERSION,
                " names no version, and `version`, `run_id` or both were expected.",
                "Add `version: 4`, or the `run_id`.",
            )
        return self


_Pin = Annotated[PinSpec, BeforeValidator(_pin)]
_Active = Annotated[tuple[_Pin, ...], BeforeValidator(_pins), _JsonShape(partial(_json_of_pins, least=0))]
_Inactive = Annotated[tuple[_Pin, ...], BeforeValidator(_pins_of_inactive), _JsonShape(partial(_json_of_pins, least=1))]


class StagesSpec(_Spec):
    """
    Which versions are in which stage. A stage that is not mentioned is not governed; in one that is, the manifest is
    the whole truth: any other version moves to Archived.
    """

    model_config = ConfigDict(title="Stages")

    none: _Inactive | None = Field(None, alias="None", description="Versions that are in no stage.", examples=[6])
    staging: _Active | None = Field(
        None, alias="Staging", description="Versions under test; `[]` if there must be none.", examples=[5, [5, 6]]
    )
    production: _Active | None = Field(
        None,
        alias="Production",
        description="Versions that consumers load; `[]` if there must be none.",
        examples=[4, {"version": 4, "run_id": "8c1f0c9d1f5d4f0a9f0e0b6a5f3a2b1c"}],
    )
    archived: _Inactive | None = Field(
        None, alias="Archived", description="Versions that are out of use.", examples=[[2, 3]]
    )

    def of(self, stage: Stage) -> tuple[PinSpec, ...] | None:
        """The versions declared for a stage, if it is declared."""
        match stage:
            case Stage.NONE:
                return self.none
            case Stage.STAGING:
                return self.staging
            case Stage.PRODUCTION:
                return self.production
            case Stage.ARCHIVED:
                return self.archived


_ModelName = Annotated[ModelName, PlainValidator(_model_name), WithJsonSchema(_MODEL_NAME_JSON)]
_Owner = Annotated[str, PlainValidator(_owner), WithJsonSchema(_OWNER_JSON)]
_Owners = Annotated[tuple[_Owner, ...], BeforeValidator(_owners)]
_Tags = Annotated[
    dict[
        Annotated[str, BeforeValidator(_tag_key)],
        Annotated[str, PlainValidator(_tag_value), WithJsonSchema(_TAG_VALUE_JSON)],
    ],
    BeforeValidator(_mapping),
    _JsonShape(partial(_json_of_mapping, keys=_TAG_KEY_JSON)),
]
_Stages = Annotated[StagesSpec, BeforeValidator(_mapping)]
_Aliases = Annotated[
    dict[
        Annotated[AliasName, BeforeValidator(_alias_name)],
        Annotated[PinSpec | None, BeforeValidator(_alias_target), _JsonShape(_json_of_alias)],
    ],
    BeforeValidator(_mapping),
    _JsonShape(partial(_json_of_mapping, keys=_ALIAS_JSON)),
]


class ManifestSpec(_Spec):
    """The declaration of one registered model, or a part of it: several documents and files may add up to one."""

    model_config = ConfigDict(title="Manifest of a registered model")

    model: _ModelName = Field(description="The name of the registered model.", examples=["RiskClassifier"])
    description: _Prose | None = Field(
        None, description="The description of the registered model.", examples=["Scores consumer loan applications."]
    )
    owners: _Owners | None = Field(
        None, description="Who answers for the model: users, teams or addresses.", examples=[["@acme/risk-ml"]]
    )
    tags: _Tags | None = Field(None, description="Tags of the registered model.", examples=[{"domain": "credit"}])
    stages: _Stages | None = Field(
        None,
        description="Which versions are in which stage. A stage that is not mentioned is not governed.",
        examples=[{"Staging": 5, "Production": 4}],
    )
    aliases: _Aliases | None = Field(
        None,
        description="Which version each alias names; `null` if the alias must not exist. An alias that is not "
        "mentioned is not governed.",
        examples=[{"champion": 4, "challenger": 5}],
    )


def _judge(root: YamlValue) -> tuple[Manifest | None, list[Problem]]:
    if not isinstance(root, YamlMap):
        problem = Problem(
            root.at,
            ManifestCode.WRONG_TYPE,
            f"The document is {described(root)}, and a mapping was expected.",
            "Write `model: <name>` and what is declared of it.",
        )
        return None, [problem]
    try:
        spec = ManifestSpec.model_validate(root)
    except ValidationError as error:
        return None, [_problem(root, fault) for fault in error.errors(include_url=False, include_input=False)]
    return _manifest(root, spec), []


def _manifest(root: YamlMap, spec: ManifestSpec) -> Manifest:
    def declared(value: T, *where: int | str) -> Declared[T]:
        return Declared(value, _follow(root, where)[1])

    def pin(spec: PinSpec, *where: int | str) -> Pin:
        named_by = "version" if spec.version is not None else "run_id"
        return Pin(_follow(root, (*where, named_by))[1], spec.version, spec.run_id, spec.comment)

    # Fields are in the order of the model, and people read what they declared in the order of the document.
    written = root.get("stages")
    stages = {
        stage: declared(tuple(pin(one, "stages", stage, i) for i, one in enumerate(pins)), "stages", stage)
        for stage in (Stage(key) for key in (written if isinstance(written, YamlMap) else ()))
        if spec.stages is not None and (pins := spec.stages.of(stage)) is not None
    }
    aliases = {
        alias: declared(None if one is None else pin(one, "aliases", alias), "aliases", alias)
        for alias, one in (spec.aliases or {}).items()
    }
    return Manifest(
        declared(spec.model, "model"),
        None if spec.description is None else declared(spec.description, "description"),
        None if spec.owners is None else declared(spec.owners, "owners"),
        {key: declared(value, "tags", key) for key, value in (spec.tags or {}).items()},
        stages,
        aliases,
    )


def _follow(root: YamlMap, where: tuple[int | str, ...]) -> tuple[YamlValue, Location, str]:
    """
    A value, its place, and how it is called, by the way to it in the long form: as far as the document goes along. One
    value stands for itself, a list or mapping for the line where its key is.
    """
    value: YamlValue = root
    at, called = root.at, ""
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


def _follow_to_key(root: YamlMap, where: tuple[int | str, ...]) -> tuple[Location, str]:
    """The place of the key that is the last step, and how the mapping is called that it is in."""
    parent, at, called = _follow(root, where[:-1])
    return parent.key_places.get(str(where[-1]), at) if isinstance(parent, YamlMap) else at, called


def _problem(root: YamlMap, error: ErrorDetails) -> Problem:
    where = error["loc"]
    fault = error.get("ctx", {}).get("fault")
    if isinstance(fault, _Fault):
        # pydantic puts "[key]" behind a key that is wrong.
        at, called = _follow_to_key(root, where[:-1]) if fault.of_key else _follow(root, where)[1:]
        return Problem(at, fault.code, f"`{called}`{fault.said}", fault.fix)
    if error["type"] == "missing":
        return Problem(
            root.at,
            ManifestCode.MISSING_MODEL,
            "The document does not say which model it is about, and the key `model` was expected.",
            "Add `model: <name>`.",
        )
    return _unknown_key(root, where)


def _unknown_key(root: YamlMap, where: tuple[int | str, ...]) -> Problem:
    key = str(where[-1])
    at, called = _follow_to_key(root, where)
    if where[:-1] == ("stages",):
        return _unknown_stage(at, key)
    known = _keys_of(PinSpec if called else ManifestSpec)
    guess = _nearest(key, known)
    return Problem(
        at,
        ManifestCode.UNKNOWN_KEY,
        f"{f'`{called}`' if called else 'A manifest'} has no key `{shown(key)}`; it may have: {', '.join(known)}.",
        f"Did you mean `{guess}`?" if guess else "Remove it.",
    )


def _unknown_stage(at: Location, key: str) -> Problem:
    guess = _nearest(key, [stage.value for stage in Stage])
    fix = "For a stage of your own, use an alias: `aliases: {name: 4}`."
    return Problem(
        at,
        ManifestCode.UNKNOWN_STAGE,
        f"`stages`: MLflow has no stage `{shown(key)}`; it has: {', '.join(Stage)}.",
        f"Write `{guess}`. {fix}" if guess else fix,
    )


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _nearest(key: str, known: list[str]) -> str | None:
    import difflib

    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(key.casefold(), by_folded, n=1, cutoff=0.55) if len(key) <= MAX_OWNER else []
    return by_folded[found[0]] if found else None
