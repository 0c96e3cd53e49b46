"""
YAML text → Manifest fragments, each value with its place. The pydantic models judge how a document is spelled, and the
JSON Schema is made from them too; what they accept becomes core types at once.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails

from reconciler.core import limits
from reconciler.core.desired import Declared, Hold, Manifest, Pin
from reconciler.core.looks import unseen_fault
from reconciler.core.moments import moment, rfc3339
from reconciler.core.names import (
    ALIAS_PATTERN,
    MAX_TAG_VALUE,
    MLFLOW_TAG_PREFIX,
    MODEL_NAME_PATTERN,
    OUR_TAG_PREFIX,
    REGISTRY_NAME,
    TAG_KEY_PATTERN,
    AliasName,
    ModelRef,
    Original,
    Slot,
    Stage,
    Version,
    alias_fault,
    has_control_characters,
    in_registry,
    model_name_fault,
    tag_key_fault,
)
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.core.text import nearest
from reconciler.errors import Location, Problem
from reconciler.reading.located import (
    Kind,
    YamlCode,
    YamlList,
    YamlMap,
    YamlScalar,
    YamlValue,
    described,
    first_problems,
    read_documents,
    shown,
)
from reconciler.reading.spelling import (
    INVISIBLE_IN_PROSE,
    LINE_JSON,
    LISTED,
    MAPPING,
    MAX_NAME,
    PROSE_JSON,
    PROSE_PATTERN,
    SEVERAL,
    SLOT_JSON,
    Json,
    JudgedLater,
    Name,
    Prose,
    Reader,
    SlotName,
    Spec,
    Spelled,
    SpellingCode,
    Written,
    distinct,
    fault,
    json_of_list,
    keyed,
    keys_of,
    listed,
    prose,
    refuse_look_alikes,
    slot_key,
    text,
    wrong_type,
)

if TYPE_CHECKING:
    # Not at run time: it would import the whole core and all gates, which reading most manifests has no use for.
    from reconciler.core.files import SourceFile
    from reconciler.core.gate import Guard, Override
    from reconciler.reading.gates import GateBuilder

T = TypeVar("T")


class ManifestCode(StrEnum):
    """What can be wrong with what a document says."""

    MISSING_MODEL = "missing-model"
    INVALID_MODEL_NAME = "invalid-model-name"
    INVALID_OWNER = "invalid-owner"
    INVALID_TAG_KEY = "invalid-tag-key"
    INVALID_TAG_VALUE = "invalid-tag-value"
    EMPTY_STAGE = "empty-stage"
    INACTIVE_STAGE_EMPTY = "inactive-stage-empty"
    INVALID_VERSION = "invalid-version"
    MISSING_VERSION = "missing-version"
    MUTABLE_REFERENCE = "mutable-reference"
    INVALID_RUN_ID = "invalid-run-id"
    INVALID_ORIGIN = "invalid-origin"
    INVALID_ALIAS = "invalid-alias"
    SEVERAL_VERSIONS = "several-versions"
    ALIAS_OF_A_STAGE = "alias-of-a-stage"
    INVALID_REASON = "invalid-reason"
    INVALID_UNTIL = "invalid-until"
    TOO_MANY_FILES = "too-many-files"
    OTHER_REGISTRY = "other-registry"
    UNKNOWN_REGISTRY = "unknown-registry"
    OWN_REGISTRY = "own-registry"


CODES = frozenset[str]({*YamlCode, *SpellingCode, *ManifestCode})
"""Every code of a problem that `parse` can find."""

MAX_VERSION = 2**31 - 1

# MLflow's `_RUN_ID_REGEX` (3.17) without the letters of other scripts that its `\w` lets through, and without the line
# feed that its `$` does. See contract/test_run_ids.py::test_mlflow_accepts_every_run_id_that_we_accept.
RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$"
VERSION_PATTERN = r"^[1-9][0-9]{0,9}$"
MIN_REASON = 10
UNTIL_PATTERN = (
    r"^[2-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2}))?$"
)


def parse(
    files: "Iterable[SourceFile]",
    build: "Callable[[], GateBuilder] | None" = None,
    spec: "type[ManifestSpec] | None" = None,
    slots: SlotMap = PLAIN,
    *,
    past: bool = False,
    named: str = "",
    registries: Collection[str] | None = None,
) -> tuple[tuple[Manifest, ...], tuple[Problem, ...]]:
    """
    The manifests in the order of the files, and everything wrong with the rest, in the order of places. A document with
    a problem gives no manifest. `build` gives what gates are made with, where a manifest has some; `spec` is how it is
    spelled; and `slots` what its stages are in the registry, which the policy has `named`, if it names several, which
    are `registries`; None where no policy is at hand. What was declared in the `past` may be nothing there now.
    """
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    files, over = within_limits(files)
    problems.extend(over)
    for file in files:
        found: list[Problem] = []
        for document in read_documents(file.path, file.data):
            found.extend(document.problems)
            if document.root is None:
                continue
            manifest, faults = _judge(document.root, build, spec or ManifestSpec, slots, registries, past=past)
            found.extend(faults)
            if not past:
                found.extend(_other_registry(document.root, named))
                if manifest is not None and registries is not None:
                    found.extend(_wrong_originals(manifest, named, registries))
            if manifest is not None and not document.problems:
                manifests.append(manifest)
            if len(found) > limits.PROBLEMS:
                break
        problems.extend(first_problems(found, file.path))
    return tuple(manifests), distinct(problems)


def _other_registry(root: YamlValue, named: str) -> Iterator[Problem]:
    """That a document is of another registry than the one whose folder it is in."""
    said = root.get("registry") if isinstance(root, YamlMap) else None
    if isinstance(said, YamlScalar) and said.text != named:
        here = f"the folder of {named}" if named else "no folder of any registry of the policy"
        message = f"`registry` is `{shown(said.text)}`, and this is {here}."
        fix = "Move the file into that registry's folder, or correct the name."
        yield Problem(said.at, ManifestCode.OTHER_REGISTRY, message, fix)


def _wrong_originals(manifest: Manifest, named: str, registries: Collection[str]) -> Iterator[Problem]:
    """Copies from a registry that the policy does not name, or from this one by its name."""
    for pin in manifest.pins():
        name = "" if pin.original is None else pin.original.registry
        if name and name == named:
            message = f"`from` names the registry {shown(name)}, which is the one that this folder is for."
            yield Problem(pin.at, ManifestCode.OWN_REGISTRY, message, "Leave `registry` out, or name another one.")
        elif name and name not in registries:
            others = [one for one in registries if one != named]
            known = f"names {', '.join(others)}" if others else "names no other"
            message = f"`from` names the registry `{shown(name)}`; the policy {known}."
            otherwise = "Correct the name. A registry that a change adds can be copied from by the change after it."
            guess = nearest(name, others)
            yield Problem(
                pin.at, ManifestCode.UNKNOWN_REGISTRY, message, f"Did you mean `{guess}`?" if guess else otherwise
            )


def within_limits(files: "Iterable[SourceFile]") -> "tuple[list[SourceFile], list[Problem]]":
    """The files, or none of them and why: a part of what is declared is not to be taken for the whole."""
    listed = list(files)
    size = sum(len(file.data) for file in listed)
    if len(listed) <= limits.FOLDER_FILES and size <= limits.FOLDER_BYTES:
        return listed, []
    most = f"{limits.FOLDER_FILES} files and {limits.FOLDER_BYTES // 1024**2} MiB"
    said = f"There are {len(listed)} manifests with {size} bytes in total; at most {most} are read."
    return [], [Problem(Location(listed[0].path), ManifestCode.TOO_MANY_FILES, said, "Use several folders.")]


def _model_name(value: YamlValue) -> ModelRef:
    if not isinstance(value, YamlScalar) or value.kind is Kind.NULL:
        raise fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}; expected a model name.",
            "Write the name in the registry.",
        )
    if value.kind is not Kind.TEXT:
        raise fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}; expected a string.",
            f'Quote it: `"{shown(value.text)}"`.',
        )
    if why := model_name_fault(value.text):
        raise fault(
            ManifestCode.INVALID_MODEL_NAME,
            f" is {described(value)}: {why}.",
            "Write the name in the registry.",
        )
    refuse_look_alikes(value.text)
    return ModelRef(value.text)


def _owners(value: YamlValue) -> YamlList:
    if isinstance(value, YamlList):
        return value
    raise wrong_type(value, "a list of strings", 'Write a list: `["@team"]`.')


def _owner(value: YamlValue) -> str:
    owner = text(value)
    if not owner.strip() or len(owner) > MAX_NAME or unseen_fault(owner):
        raise fault(
            ManifestCode.INVALID_OWNER,
            f" is {described(value)}; expected a name of 1 to {MAX_NAME} visible characters.",
            'Write a user, a team or an address, such as `"@acme/risk-ml"`.',
        )
    refuse_look_alikes(owner)
    return owner


def _tag_key(key: str) -> str:
    if why := tag_key_fault(key):
        said = f": the key `{shown(key)}` is not accepted: {why}."
        raise fault(ManifestCode.INVALID_TAG_KEY, said, "Rename it.", of_key=True)
    return key


def _tag_value(value: YamlValue) -> str:
    if not isinstance(value, YamlScalar):
        raise fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}; expected a string.",
            "Write one string; quote it if it contains brackets.",
        )
    if value.kind not in {Kind.TEXT, Kind.INTEGER}:
        raise fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}, which YAML reads as a {value.kind}; expected a string.",
            f'Quote it: `"{shown(value.text)}"`.',
        )
    if len(value.text) > MAX_TAG_VALUE:
        said = f" has {len(value.text)} characters; a tag value has at most {MAX_TAG_VALUE}."
        raise fault(ManifestCode.INVALID_TAG_VALUE, said, "Shorten it.")
    if has_control_characters(value.text, INVISIBLE_IN_PROSE):
        raise fault(
            ManifestCode.INVALID_TAG_VALUE,
            f" is {described(value)}, which contains control or invisible characters.",
            "Remove the escaped characters.",
        )
    return value.text


def _alias_name(key: str) -> AliasName:
    if why := alias_fault(key):
        said = f": `{shown(key)}` cannot be an alias: {why}."
        raise fault(ManifestCode.INVALID_ALIAS, said, "Rename it.", of_key=True)
    refuse_look_alikes(key, of_key=True)
    return AliasName(key)


_VERSION_FIX = "Write a version's number, such as `4`, or its run: `{run_id: …}`."
_WHY_IMMUTABLE = (
    "which can refer to a different version later. What was reviewed must be what is applied, so name a version "
    "by its number or its run."
)
_NUMBERED = re.compile(r"(?:[vV]|models:/[^/@]+/)0*([1-9][0-9]{0,9})")
_RUN_LIKE = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"[^\W\d][\w.-]*")


def _version(value: YamlValue) -> Version:
    if not isinstance(value, YamlScalar) or value.kind is Kind.NULL:
        said = f" is {described(value)}; expected a version number."
        raise fault(ManifestCode.INVALID_VERSION, said, _VERSION_FIX)
    written = value.text
    if re.fullmatch(VERSION_PATTERN.strip("^$"), written):
        if int(written) > MAX_VERSION:
            said = f" is {described(value)}; the maximum is {MAX_VERSION}."
            raise fault(ManifestCode.INVALID_VERSION, said, _VERSION_FIX)
        return Version(int(written))
    if numbered := _NUMBERED.fullmatch(written):
        said = f" is {described(value)}; expected a version number in digits only."
        raise fault(ManifestCode.INVALID_VERSION, said, f"Write `{numbered[1]}`.")
    if value.kind is Kind.TEXT and _is_mutable(written):
        raise fault(ManifestCode.MUTABLE_REFERENCE, f" is {described(value)}, {_WHY_IMMUTABLE}", _VERSION_FIX)
    fix = f"If this is a run, write `{{run_id: {written}}}`." if _RUN_LIKE.fullmatch(written) else _VERSION_FIX
    raise fault(
        ManifestCode.INVALID_VERSION,
        f" is {described(value)}; expected a version number: 1 or more, digits only, no leading zero.",
        fix,
    )


def _is_mutable(written: str) -> bool:
    """Whether this is meant as a name for a version: `latest`, `v4`, a stage, an alias, a URI of MLflow's."""
    if _RUN_LIKE.fullmatch(written):
        return False
    return written.startswith(("@", "models:")) or _WORD.fullmatch(written) is not None


def _run_id(value: YamlValue) -> str:
    """A run's id as it is written: one of digits alone, or like `12e7`, is no number."""
    if (
        not isinstance(value, YamlScalar)
        or value.kind in {Kind.NULL, Kind.BOOLEAN}
        or not re.fullmatch(RUN_ID_PATTERN.strip("^$"), value.text)
    ):
        raise fault(
            ManifestCode.INVALID_RUN_ID,
            f" is {described(value)}; expected the ID of an MLflow run: letters, digits, `_` and `-`.",
            "Copy it from the run's page or from the version's `run_id`.",
        )
    return value.text


def _registry_name(value: YamlValue) -> str:
    if not isinstance(value, YamlScalar) or not re.fullmatch(REGISTRY_NAME.strip("^$"), value.text):
        said = f" is {described(value)}; expected the name of a registry: small letters, digits and `-`."
        raise fault(ManifestCode.UNKNOWN_REGISTRY, said, "Write its name under `registries` of the policy.")
    return value.text


ARTIFACT_PATH_PATTERN = r"^(?!.*(^|/)\.{0,2}(/|$))[^\x00-\x1f\x7f\\]{1,500}$"


def _artifact_path(value: YamlValue) -> str:
    if not isinstance(value, YamlScalar) or not re.fullmatch(ARTIFACT_PATH_PATTERN.strip("^$"), value.text):
        raise fault(
            ManifestCode.INVALID_ORIGIN,
            f" is {described(value)}; expected where the run logged the model: a relative path.",
            "Write what the model was logged as, such as `model`.",
        )
    return value.text


def _model_id(value: YamlValue) -> str:
    if not isinstance(value, YamlScalar) or not re.fullmatch(RUN_ID_PATTERN.strip("^$"), value.text):
        raise fault(
            ManifestCode.INVALID_ORIGIN,
            f" is {described(value)}; expected the ID of a logged model, such as `m-8c1f…`.",
            "Copy it from the page of the logged model.",
        )
    return value.text


def _reason(value: YamlValue) -> str:
    written = prose(value)
    if len(written.strip()) < MIN_REASON:
        said = f" is {described(value)}; expected a reason of at least {MIN_REASON} characters."
        raise fault(ManifestCode.INVALID_REASON, said, "Say why; its approvers will read it.")
    return written


def _until(value: YamlValue) -> str:
    """RFC 3339 in UTC, to the second, so that times compare as their texts do."""
    written = value.text if isinstance(value, YamlScalar) and value.kind is Kind.TEXT else ""
    meant = re.fullmatch(UNTIL_PATTERN.strip("^$"), written)
    time = moment(written if "T" in written else f"{written}T00:00:00Z") if meant else None
    if time is None:
        raise fault(
            ManifestCode.INVALID_UNTIL,
            f" is {described(value)}; expected a date, or a time with its zone.",
            "Write `2026-12-01` (ends when that day begins, in UTC), or `2026-12-01T18:00:00Z`.",
        )
    return rfc3339(time)


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
            raise wrong_type(value, "a version", "Remove the inner brackets.")


def _pins(value: YamlValue) -> list[YamlValue]:
    """One version is short for a list of one."""
    if isinstance(value, YamlList):
        return list(value)
    if isinstance(value, YamlScalar) and value.kind is Kind.NULL:
        raise fault(
            ManifestCode.EMPTY_STAGE,
            f" is {described(value)}, which is ambiguous.",
            "Write `[]` if the stage must be empty; remove the key if the stage should not be governed.",
        )
    return [value]


def _pins_of_inactive(value: YamlValue) -> list[YamlValue]:
    empty = isinstance(value, YamlScalar) and value.kind is Kind.NULL
    if empty or (isinstance(value, YamlList) and not value):
        raise fault(
            ManifestCode.EMPTY_STAGE if empty else ManifestCode.INACTIVE_STAGE_EMPTY,
            f" is {'empty' if empty else '`[]`'}, and `None` and `Archived` cannot be declared empty.",
            "Name the versions that belong there, or remove the key.",
        )
    return _pins(value)


def _alias_target(value: YamlValue) -> YamlMap | None:
    if isinstance(value, YamlScalar) and value.kind is Kind.NULL:
        return None
    if isinstance(value, YamlList):
        raise fault(
            ManifestCode.SEVERAL_VERSIONS,
            " is a list; an alias names one version.",
            "Write one version, or `null` if the alias must not exist.",
        )
    return _pin(value)


_VERSION_JSON: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 1, "maximum": MAX_VERSION},
    {"type": "string", "pattern": VERSION_PATTERN},
]
_MODEL_NAME_JSON = {"type": "string", "pattern": MODEL_NAME_PATTERN, "not": {"pattern": r"^(\s*|\.\.?)$"}}
_TAG_KEY_JSON = {
    "pattern": TAG_KEY_PATTERN,
    "not": {
        "pattern": rf"^({re.escape(OUR_TAG_PREFIX)}|{re.escape(MLFLOW_TAG_PREFIX)}|/|\.$)|//|\.\.|/$",
    },
}
_TAG_VALUE_JSON = {
    "oneOf": [{"type": "string", "maxLength": MAX_TAG_VALUE, "pattern": PROSE_PATTERN}, {"type": "integer"}]
}
_UNTIL_JSON = {"type": "string", "pattern": UNTIL_PATTERN}
_ALIAS_JSON = {"pattern": ALIAS_PATTERN, "not": {"pattern": "^([Ll][Aa][Tt][Ee][Ss][Tt]|[Vv][0-9]+)$"}}


def _json_of_pins(long: dict[str, Any], least: int) -> dict[str, Any]:
    one = [*_VERSION_JSON, long["items"]]
    several: dict[str, Any] = {"type": "array", "items": {"oneOf": one}}
    return {"oneOf": [*one, {**several, "minItems": least} if least else several]}


def _json_of_alias(long: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [*_VERSION_JSON, long, {"type": "null"}]}


# What is nearly one of MLflow's stages, but for capitals, is none of the policy's own.
_STAGE_NAME_JSON: Json = {
    "anyOf": [
        {"enum": [stage.value for stage in Stage]},
        {
            "pattern": ALIAS_PATTERN,
            "not": {
                "pattern": "^("
                + "|".join("".join(f"[{c.upper()}{c.lower()}]" for c in stage.value) for stage in Stage)
                + ")$"
            },
        },
    ]
}
_RUN_ID_JSON = {"oneOf": [{"type": "string", "pattern": RUN_ID_PATTERN}, {"type": "number", "minimum": 0}]}
_TagValue = Annotated[str, Spelled(_tag_value, _TAG_VALUE_JSON)]
_Tags = Annotated[dict[Annotated[str, BeforeValidator(_tag_key)], _TagValue], keyed(_TAG_KEY_JSON)]
_RunId = Annotated[str, Spelled(_run_id, _RUN_ID_JSON)]
_ArtifactPath = Annotated[str, Spelled(_artifact_path, {"type": "string", "pattern": ARTIFACT_PATH_PATTERN})]
_ModelId = Annotated[str, Spelled(_model_id, {"type": "string", "pattern": RUN_ID_PATTERN})]
_ModelName = Annotated[ModelRef, Spelled(_model_name, _MODEL_NAME_JSON)]
_OtherRegistry = Annotated[str, Spelled(_registry_name, {"type": "string", "pattern": REGISTRY_NAME})]
_VersionNumber = Annotated[Version, Spelled(_version, {"oneOf": _VERSION_JSON})]
_Reason = Annotated[str, Spelled(_reason, {**PROSE_JSON, "minLength": MIN_REASON})]
_Until = Annotated[str, Spelled(_until, _UNTIL_JSON)]


class OriginalSpec(Spec):
    """A version of another registered model, in this registry or in another one that the policy names."""

    model_config = ConfigDict(title="Original")

    registry: _OtherRegistry | None = Field(
        None,
        description="The registry that the version is in, by its name in the policy. Default: the one that this "
        "manifest is for.",
        examples=["dev"],
    )
    model: _ModelName = Field(description="The registered model.", examples=["staging.risk"])
    version: _VersionNumber = Field(description="The number of the version.", examples=[7])
    run_id: _RunId | None = Field(
        None,
        description="The MLflow run that the version must come from. With it, nothing else can take its place: neither "
        "a model that was registered again, nor one that was renamed to that name.",
        examples=["8c1f0c9d1f5d4f0a9f0e0b6a5f3a2b1c"],
    )


class PinSpec(Spec):
    """A version by its number, by the run that it came from, or by both, in which case both must hold."""

    model_config = ConfigDict(
        title="Version",
        json_schema_extra={
            "anyOf": [{"required": [key]} for key in ("version", "run_id", "model_id", "from")],
            "dependencies": {
                "from": {"not": {"anyOf": [{"required": [key]} for key in ("version", "run_id", "model_id")]}},
                "artifact_path": {"required": ["run_id"], "not": {"required": ["version"]}},
                "model_id": {"not": {"anyOf": [{"required": ["version"]}, {"required": ["artifact_path"]}]}},
            },
        },
    )

    version: _VersionNumber | None = Field(None, description="The number of the version.", examples=[4])
    run_id: _RunId | None = Field(
        None,
        description="The MLflow run that the version must come from. With it, the number cannot refer to a different "
        "version after a model is deleted and registered again.",
        examples=["8c1f0c9d1f5d4f0a9f0e0b6a5f3a2b1c"],
    )
    artifact_path: _ArtifactPath | None = Field(
        None,
        description="Where the run logged the model. The version is the one made of it, and is registered if "
        "there is none.",
        examples=["model"],
    )
    model_id: _ModelId | None = Field(
        None,
        description="A logged model: the version is the one made of it, and is registered if there is none.",
        examples=["m-8c1f0c9d1f5d4f0a9f0e0b6a5f3a2b1c"],
    )
    original: Annotated[OriginalSpec, MAPPING] | None = Field(
        None,
        alias="from",
        description="A version of another registered model: the version is the copy of it, and is made if there is "
        "none.",
        examples=[{"model": "staging.risk", "version": 7}],
    )
    comment: Prose | None = Field(
        None,
        description="Why this version. It becomes the description of the version in the registry.",
        examples=["Promoted after 2-week A/B test on Staging."],
    )
    tags: _Tags | None = Field(
        None,
        description="Tags that the version is to have; what is removed here is removed from the version.",
        examples=[{"validation_status": "approved"}],
    )

    @model_validator(mode="after")
    def _names_a_version(self) -> "PinSpec":
        if self.artifact_path is not None and self.run_id is None:
            raise fault(ManifestCode.INVALID_ORIGIN, " has `artifact_path` without `run_id`.", "Add the `run_id`.")
        named = [self.version, self.run_id, self.model_id]
        if self.original is not None and any(one is not None for one in named):
            said = " has `from` beside another name of the version: the copy of one is named by that alone."
            raise fault(ManifestCode.INVALID_ORIGIN, said, "Keep `from`, or the other.")
        if self.original is None and all(one is None for one in named):
            raise fault(
                ManifestCode.MISSING_VERSION,
                " names no version; expected `version`, `run_id` or both.",
                "Add `version: 4`, or the `run_id`.",
            )
        if self.artifact_path is not None and self.model_id is not None:
            said = " has both `artifact_path` and `model_id`, which say the same thing in two ways."
            raise fault(ManifestCode.INVALID_ORIGIN, said, "Keep one of the two.")
        if self.version is not None and (self.artifact_path is not None or self.model_id is not None):
            said = " has a `version` beside what it is made of, which is for versions without a number."
            raise fault(ManifestCode.INVALID_ORIGIN, said, "Keep the `version`, or what it is made of.")
        return self


_Pin = Annotated[PinSpec, Written(_pin)]
_Active = Annotated[tuple[_Pin, ...], Written(_pins, partial(_json_of_pins, least=0))]
_Inactive = Annotated[tuple[_Pin, ...], Written(_pins_of_inactive, partial(_json_of_pins, least=1))]


class StagesSpec(Spec):
    """
    Which versions are in which stage. A stage that is not mentioned is not governed; in one that is, the manifest is
    the whole truth: any other version moves to Archived.
    """

    model_config = ConfigDict(title="Stages", extra="allow", json_schema_extra={"propertyNames": _STAGE_NAME_JSON})
    __pydantic_extra__: dict[str, _Active] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]  # as pydantic's documentation has it

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

    def of(self, name: str) -> tuple[PinSpec, ...] | None:
        """The versions declared for a stage, MLflow's or one of the policy's own, if it is declared."""
        match name:
            case Stage.NONE:
                return self.none
            case Stage.STAGING:
                return self.staging
            case Stage.PRODUCTION:
                return self.production
            case Stage.ARCHIVED:
                return self.archived
            case _:
                return self.__pydantic_extra__.get(name)

    def named(self) -> tuple[str, ...]:
        """The stages that are declared."""
        return tuple(name for name in (*Stage, *self.__pydantic_extra__) if self.of(name) is not None)


_Owner = Annotated[str, Spelled(_owner, LINE_JSON)]
_Target = Annotated[PinSpec | None, Written(_alias_target, _json_of_alias)]


class OverrideSpec(Spec):
    """
    A request to let versions of this model in against one gate's no, for a time. It counts if the policy lets that gate
    be overridden, and only once those whom the policy names for it have approved the change that brings it.
    """

    model_config = ConfigDict(title="Override")

    gate: Name = Field(description="The name of the gate in the policy and in reports.", examples=["soak"])
    slot: SlotName | None = Field(
        None, description="The slot. Default: every slot.", examples=["Production", "@champion"]
    )
    reason: _Reason = Field(
        description="The reason, for approvers and later readers.",
        examples=["The hot fix for INC-4711 cannot wait for three days in Staging."],
    )
    until: _Until = Field(
        description="When it ends: a date (it ends when that day begins, in UTC), or a time with its zone.",
        examples=["2026-12-01", "2026-12-01T18:00:00+01:00"],
    )


def _gate_list() -> Any:
    from reconciler.reading.gates import manifest_gate_spec

    return Annotated[tuple[manifest_gate_spec(), ...], LISTED]


class HoldSpec(Spec):
    """A version that must not come back: nothing puts it there or proposes it until the hold is lifted by a change."""

    model_config = ConfigDict(title="Hold")

    version: _VersionNumber = Field(description="The version.", examples=[4])
    slot: SlotName | None = Field(
        None, description="The slot that it must not enter. Default: every slot.", examples=["Production"]
    )
    reason: _Reason = Field(
        description="The reason, for anyone who wants to bring it back.", examples=["It leaks personal data."]
    )
    until: _Until | None = Field(
        None,
        description="When it ends: a date (it ends when that day begins, in UTC), or a time with its zone. Default: "
        "when it is lifted.",
        examples=["2026-12-01"],
    )


def _one_or_several(value: YamlValue) -> Any:
    return (value,) if isinstance(value, YamlMap) else listed(value)


def _json_of_holds(long: Json) -> Json:
    return {"anyOf": [long["items"], json_of_list(long)]}


class ManifestSpec(Spec):
    """The declaration of one registered model, or a part of it: several documents and files may add up to one."""

    model_config = ConfigDict(title="Manifest of a registered model")

    declares: ClassVar[type[Manifest]] = Manifest

    model: _ModelName = Field(description="The name of the registered model.", examples=["RiskClassifier"])
    registry: Name | None = Field(
        None,
        description="Which of the policy's registries it is in, to be compared with the folder.",
        examples=["prod"],
    )
    formerly: Annotated[tuple[_ModelName, ...], SEVERAL] | None = Field(
        None,
        description="What the registered model was called before it was renamed: one name, or a list. Where the "
        "registry has it under that name still, the plan renames it. The gates of all its names apply, and its history "
        "is kept.",
        examples=["RiskModel"],
    )
    description: Prose | None = Field(
        None, description="The description of the registered model.", examples=["Scores consumer loan applications."]
    )
    owners: Annotated[tuple[_Owner, ...], Written(_owners)] | None = Field(
        None, description="Who is responsible for the model: users, teams or addresses.", examples=[["@acme/risk-ml"]]
    )
    tags: _Tags | None = Field(None, description="Tags of the registered model.", examples=[{"domain": "credit"}])
    stages: Annotated[StagesSpec, MAPPING] | None = Field(
        None,
        description="Which versions are in which stage. A stage that is not mentioned is not governed.",
        examples=[{"Staging": 5, "Production": 4}],
    )
    aliases: Annotated[dict[Annotated[AliasName, BeforeValidator(_alias_name)], _Target], keyed(_ALIAS_JSON)] | None = (
        Field(
            None,
            description="Which version each alias names; `null` if the alias must not exist. An alias that is not "
            "mentioned is not governed.",
            examples=[{"champion": 4, "challenger": 5}],
        )
    )
    gates: (
        Annotated[
            dict[Annotated[str, BeforeValidator(slot_key)], Annotated[Any, JudgedLater(listed, _gate_list)]],
            keyed(SLOT_JSON, filled_in=True),
        ]
        | None
    ) = Field(
        None,
        description="Gates for this model in addition to the policy's, by slot. A manifest may "
        "tighten the gates for its model, never loosen them.",
        examples=[{"Production": [{"soak": {"stage": "Staging", "for": "7d"}}]}],
    )
    overrides: Annotated[tuple[Annotated[OverrideSpec, MAPPING], ...], LISTED] | None = Field(
        None,
        description="Requests to override gates for a limited time.",
        examples=[[{"gate": "soak", "reason": "The fix for INC-4711 cannot wait.", "until": "2026-12-01"}]],
    )
    hold: Annotated[tuple[Annotated[HoldSpec, MAPPING], ...], Written(_one_or_several, _json_of_holds)] | None = Field(
        None,
        description="Versions that must not come back: one, or a list.",
        examples=[{"version": 4, "slot": "Production", "reason": "It leaks personal data."}],
    )


_PIN_KEYS = keys_of(PinSpec)
KEY_ORDER: Mapping[tuple[str, ...], Sequence[str]] = {
    (): keys_of(ManifestSpec),
    ("stages", "*"): _PIN_KEYS,
    ("stages", "*", "*"): _PIN_KEYS,
    ("aliases", "*"): _PIN_KEYS,
    ("overrides", "*"): keys_of(OverrideSpec),
    ("hold",): keys_of(HoldSpec),
    ("hold", "*"): keys_of(HoldSpec),
}
"""The order in which people find the keys of a manifest easiest to read, by the path of their mapping; `*` is any."""


def _judge(
    root: YamlValue,
    build: "Callable[[], GateBuilder] | None",
    spelling: type[ManifestSpec],
    slots: SlotMap,
    registries: Collection[str] | None,
    *,
    past: bool,
) -> tuple[Manifest | None, list[Problem]]:
    if not isinstance(root, YamlMap):
        problem = Problem(
            root.at,
            SpellingCode.WRONG_TYPE,
            f"The document is {described(root)}; expected a mapping.",
            "Write `model: <name>` and its declarations.",
        )
        return None, [problem]
    reader = Reader(root, "A manifest", root.at)
    spec, errors = reader.judge(spelling)
    known = None if past else registries
    gates, problems = _judge_gates(reader, root.get("gates"), build, slots, known, past=past)
    problems.extend(_problem(reader, spelling, error) for error in errors)
    if not past:
        problems.extend(_unknown_stages(reader, root.get("stages"), slots))
        problems.extend(() if spec is None else _wrong_stages(reader, spec, slots))
    return (None if spec is None or problems else _manifest(reader, root, spec, gates, slots)), problems


def _judge_gates(
    reader: Reader,
    written: YamlValue | None,
    build: "Callable[[], GateBuilder] | None",
    slots: SlotMap,
    registries: Collection[str] | None,
    *,
    past: bool,
) -> "tuple[dict[Slot, Declared[tuple[Guard, ...]]], list[Problem]]":
    """
    The gates by slot. What is wrong with the mapping, its keys or the lists themselves is for the model to say. Those
    of the past are read whatever stages stand for by now: a policy that gives one up forgets no gate, hold or owner.
    """
    found: dict[Slot, Declared[tuple[Guard, ...]]] = {}
    problems: list[Problem] = []
    for key, entries in written.items() if isinstance(written, YamlMap) else ():
        from reconciler.reading.gates import GateBuilder, parse_gates

        below = reader.below("gates", key)
        stages = None if past else frozenset(one.stage for one in slots.stages)
        known = None if registries is None else frozenset(registries)
        around = replace(build() if build else GateBuilder(), stages=stages, registries=known)
        guards, wrong = parse_gates(below, around) if isinstance(entries, YamlList) else ((), ())
        problems.extend(wrong)
        try:
            slot = slots.place(slot_key(key))
        except ValueError:
            continue
        if slot in found and past:
            found[slot] = replace(found[slot], value=(*found[slot].value, *guards))
        elif slot in found:
            said = f"`{below.called}` is the slot `{slot}`, which is already on line {found[slot].at.line}."
            problems.append(Problem(below.place, YamlCode.DUPLICATE_KEY, said, "Keep one of the two."))
        found.setdefault(slot, Declared(guards, below.place))
    return found, problems


def _manifest(
    reader: Reader,
    root: YamlMap,
    spec: ManifestSpec,
    gates: "dict[Slot, Declared[tuple[Guard, ...]]]",
    slots: SlotMap,
) -> Manifest:
    def declared(value: T, *where: int | str) -> Declared[T]:
        return Declared(value, reader.at(*where))

    def pin(spec: PinSpec, *where: int | str) -> Pin:
        named_by = "version" if spec.version is not None else "run_id" if spec.run_id is not None else "model_id"
        original, run_id = None, spec.run_id
        if spec.original is not None:
            named_by = "from"
            original = Original(in_registry(spec.original.registry or "", spec.original.model), spec.original.version)
            run_id = spec.original.run_id
        return Pin(
            reader.at(*where, named_by),
            spec.version,
            run_id,
            spec.comment,
            dict(spec.tags or {}),
            spec.artifact_path,
            spec.model_id,
            original,
        )

    # Fields are in the order of the model, and people read what they declared in the order of the document.
    written = root.get("stages")
    placed = {
        name: declared(tuple(pin(one, "stages", name, i) for i, one in enumerate(pins)), "stages", name)
        for name in (written if isinstance(written, YamlMap) else ())
        if spec.stages is not None and (pins := spec.stages.of(name)) is not None
    }
    stages = {Stage(name): pins for name, pins in placed.items() if slots.is_stage(name)}
    aliases = {
        alias: declared(None if one is None else pin(one, "aliases", alias), "aliases", alias)
        for alias, one in (spec.aliases or {}).items()
    }
    aliases |= {
        alias: Declared(next(iter(pins.value), None), pins.at, name)
        for name, pins in placed.items()
        if (alias := slots.alias_of(name)) is not None
    }
    overrides = _overrides(reader, spec, slots)
    holds = tuple(
        Hold(one.version, one.reason, reader.at("hold"), one.slot and slots.place(one.slot), one.until or "")
        for one in spec.hold or ()
    )
    built: dict[str, Any] = {
        "stages": stages,
        "aliases": aliases,
        "gates": gates,
        "overrides": overrides,
        "holds": holds,
    }
    for key in (part.name for part in fields(spec.declares) if part.name not in built):
        value = getattr(spec, key)
        if isinstance(value, dict):
            entries = cast("dict[str, Any]", value)
            built[key] = {name: declared(entry, key, name) for name, entry in entries.items()}
        elif value is not None:
            built[key] = declared(value, key)
    return spec.declares(**built)


def _unknown_stages(reader: Reader, written: YamlValue | None, slots: SlotMap) -> Iterator[Problem]:
    """Stages that are nothing in the registry."""
    for name in written if isinstance(written, YamlMap) else ():
        if slots.alias_of(name) is None and not slots.is_stage(name):
            yield _unknown_stage(reader.follow_to_key(("stages", name))[0], name, slots)


def _wrong_stages(reader: Reader, spec: ManifestSpec, slots: SlotMap) -> Iterator[Problem]:
    """What an alias that stands for a stage cannot say, or says otherwise."""
    for name in spec.stages.named() if spec.stages is not None else ():
        alias, pins = slots.alias_of(name), (spec.stages.of(name) if spec.stages else None) or ()
        if alias is not None and len(pins) > 1:
            said = f" has {len(pins)} versions, but the alias `{alias}` stands for {name}, and names one."
            yield reader.problem(("stages", name), ManifestCode.SEVERAL_VERSIONS, said, "Keep one of them.")
        elif alias is not None and alias in (spec.aliases or {}):
            beside = (spec.aliases or {})[alias]
            if (None if beside is None else (beside,)) != (pins or None):
                said = f" says otherwise than `stages.{name}`, for which this alias stands."
                fix = "Remove it: the alias moves with the stage."
                yield reader.problem(("aliases", alias), ManifestCode.ALIAS_OF_A_STAGE, said, fix)
    for one in slots.stages:
        if one.previous is not None and one.previous in (spec.aliases or {}):
            said = f" is kept on the version that left {one.stage} last, as the policy says."
            fix = "Remove it, or `previous` from the policy."
            yield reader.problem(("aliases", one.previous), ManifestCode.ALIAS_OF_A_STAGE, said, fix)


def _overrides(reader: Reader, spec: ManifestSpec, slots: SlotMap) -> "tuple[Override, ...]":
    if spec.overrides is None:
        return ()
    from reconciler.core.gate import Override

    return tuple(
        Override(one.gate, one.reason, one.until, reader.at("overrides", i), one.slot and slots.place(one.slot))
        for i, one in enumerate(spec.overrides)
    )


def _problem(reader: Reader, spelling: type[ManifestSpec], error: ErrorDetails) -> Problem:
    where = error["loc"]
    if error["type"] == "missing" and where == ("model",):
        return Problem(
            reader.place,
            ManifestCode.MISSING_MODEL,
            "The document names no model: the key `model` is missing.",
            "Add `model: <name>`.",
        )
    return reader.explain(spelling, error)


def _unknown_stage(at: Location, key: str, slots: SlotMap) -> Problem:
    own = [one.stage for one in slots.stages if one.stage not in set(Stage)]
    if key in set(Stage):
        known = [one.stage for one in slots.stages]
        message = f"`stages`: the policy has no alias for {key}, and moves aliases alone; it has one for: "
        fix = f"Name an alias for {key} under `stages` of the policy."
    else:
        known = [*(stage.value for stage in Stage), *own]
        has = "MLflow and the policy have" if own else "MLflow has"
        message = f"`stages`: {has} no stage `{shown(key)}`; {'they have' if own else 'it has'}: "
        fix = "For a stage of your own, use an alias: `aliases: {name: 4}`, or name one under `stages` of the policy."
    guess = nearest(key, known)
    said = f"{message}{', '.join(known)}."
    return Problem(at, SpellingCode.UNKNOWN_STAGE, said, f"Write `{guess}`. {fix}" if guess else fix)
