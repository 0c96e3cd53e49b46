"""
The files that MLflow keeps beside a model to describe it, `MLmodel` and `requirements.txt`, as bytes → values. Safe on
any bytes: whoever may register a version wrote them. The model itself is never opened.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

from reconciler.core.limits import COLUMNS, FILE_BYTES, NESTING
from reconciler.core.signature import (
    Array,
    Column,
    ColumnType,
    MapOf,
    Parameter,
    Scalar,
    Schema,
    Signature,
    Struct,
    Tensor,
)

MAX_BYTES = FILE_BYTES
TOO_LARGE: Final = f"is larger than {MAX_BYTES // 1024**2} MiB"

# It makes texts of everything: a version of 1.10 stays 1.10, and nothing in the file can ask for another type.
_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


# Where flavors say what they have written: seen in those of MLflow 3.17. Others are looked for by nobody.
_NAMING: Final = ("data", "model_data", "model_path", "pickled_model", "python_model", "serialized_explainer", "code")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What an MLmodel file says. Where there is no signature, `signature_fault` says why."""

    signature: Signature | None = None
    signature_fault: str = ""
    flavors: Mapping[str, str] | None = None
    python: str = ""
    size: int | None = None


def read_mlmodel(data: bytes) -> ModelFile:
    """What the file says; what it says of the signature may be wrong by itself. Raises ValueError."""
    told = _mapping(_yaml(data))
    if not told:
        raise ValueError("does not describe a model")
    flavors = {name: _mapping(conf) for name, conf in sorted(_mapping(told.get("flavors")).items())}
    size = str(told.get("model_size_bytes", ""))
    signature, fault = _signature_or_fault(told.get("signature"))
    return ModelFile(
        signature=signature,
        signature_fault=fault,
        flavors={name: _library_version(name, conf) for name, conf in flavors.items()},
        python=_text(flavors.get("python_function", {}).get("python_version")),
        size=int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
    )


def named_files(data: bytes) -> tuple[str, ...]:
    """The files and folders that an MLmodel file says are beside it, sorted. Raises ValueError."""
    told = _mapping(_yaml(data))
    if not told:
        raise ValueError("does not describe a model")
    named: set[str] = {_text(_mapping(told.get("saved_input_example_info")).get("artifact_path"))}
    for conf in map(_mapping, _mapping(told.get("flavors")).values()):
        named.update(_text(conf.get(key)) for key in _NAMING)
        environment = conf.get("env")
        named.update(map(_text, [environment, *_mapping(environment).values()]))
        named.update(_text(_mapping(artifact).get("path")) for artifact in _mapping(conf.get("artifacts")).values())
    return tuple(sorted(path.strip("/") for path in named - {"", "."}))


def read_python_env(data: bytes) -> str:
    """The version of Python in a `python_env.yaml`, or nothing. Raises ValueError."""
    return _text(_mapping(_yaml(data)).get("python"))


def read_requirements(data: bytes) -> tuple[str, ...]:
    """The lines of a `requirements.txt` that ask for something, without comments. Raises ValueError."""
    return tuple(_requirements(re.sub(r"\\\r?\n", " ", _decoded(data))))


def _requirements(text: str) -> Iterator[str]:
    for line in text.splitlines():
        # A `#` begins a comment at the start or after a blank; elsewhere it belongs to a URL.
        if asked := " ".join(re.sub(r"(^|\s)#.*", "", line).split()):
            yield asked


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ValueError(TOO_LARGE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error


def _yaml(data: bytes) -> object:
    text = _decoded(data)
    try:
        _refuse_depths(text)
        return yaml.load(text, Loader=_LOADER)  # noqa: S506  # simpler than the safe loader: it makes texts alone
    except yaml.YAMLError as error:
        raise ValueError("is not YAML") from error


def _refuse_depths(text: str) -> None:
    """The C loader calls itself for each level, and the process ends when its stack does (seen in PyYAML 6.0.3)."""
    depth = 0
    for event in cast("Iterator[object]", yaml.parse(text, Loader=_LOADER)):  # pyright: ignore[reportUnknownMemberType]
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > NESTING:
            raise ValueError("is nested too deeply")


def _library_version(flavor: str, conf: Mapping[str, Any]) -> str:
    """Mostly `sklearn_version` in `sklearn`; XGBoost, LightGBM and Spark shorten their names, and then it is alone."""
    versions = {k: _text(v) for k, v in conf.items() if k.endswith("_version") and k != "python_version"}
    if own := versions.get(f"{flavor}_version"):
        return own
    return next(iter(versions.values())) if len(versions) == 1 else ""


def _signature_or_fault(told: object) -> tuple[Signature | None, str]:
    if told in (None, "", "null", "~"):
        return None, "it was logged without one"
    try:
        parts = _mapping(told)
        signature = Signature(
            inputs=_schema(parts.get("inputs")),
            outputs=_schema(parts.get("outputs")),
            params=_params(parts.get("params")),
        )
    except _LimitError as error:
        return None, f"the MLmodel file has one {error}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None, "the MLmodel file has one that cannot be read"
    if (signature.inputs, signature.outputs, signature.params) == (None, None, None):
        return None, "it was logged without one"
    return signature, ""


class _LimitError(Exception):
    """A signature has more of something than is read. Says so, after the name of the thing."""


def _schema(told: object) -> Schema | None:
    entries = _entries(told)
    return tuple(_column(entry) for entry in entries) or None


def _column(told: Mapping[str, Any]) -> Column:
    kind = _type(told)
    name = told.get("name")
    # Columns of nested types that do not say so are optional, all others required (`ColSpec.from_json_dict`); before
    # MLflow 2.10 it was the other way about: `optional`.
    required = told.get("required", isinstance(kind, Scalar | Tensor) and not told.get("optional"))
    return Column("" if name is None else str(name), kind, bool(required))


def _type(told: Mapping[str, Any], depth: int = 1) -> ColumnType:
    """One of MLflow's types as its JSON says it; one that we do not know keeps its name."""
    if depth > NESTING:
        raise _LimitError(f"whose types are nested more than {NESTING} deep")
    match told["type"]:
        case "tensor":
            spec = told["tensor-spec"]
            return Tensor(str(spec["dtype"]), tuple(int(length) for length in spec["shape"]))
        case "array":
            return Array(_type(told["items"], depth + 1))
        case "map":
            return MapOf(_type(told["values"], depth + 1))
        case "object":
            properties: Mapping[str, Any] = told["properties"]
            return Struct(
                tuple(
                    Column(k, _type(p, depth + 1), bool(p.get("required", True))) for k, p in sorted(properties.items())
                )
            )
        case str(name):
            return Scalar(name)
        case _:
            raise ValueError("a type that is not text")


def _params(told: object) -> tuple[Parameter, ...] | None:
    return tuple(_param(entry) for entry in _entries(told)) or None


def _param(told: Mapping[str, Any]) -> Parameter:
    kind = _type({**told, "type": told.get("type") or told["dtype"]})
    shape = told.get("shape")
    default = json.dumps(told["default"], ensure_ascii=False, sort_keys=True)
    return Parameter(str(told["name"]), str(kind), default, None if shape is None else tuple(int(n) for n in shape))


def _entries(told: object) -> list[Mapping[str, Any]]:
    """A part of a signature: a list, in JSON, in a text."""
    if told in (None, "", "~"):
        return []
    if not isinstance(told, str):
        raise TypeError("a part of a signature that is not text")
    entries = json.loads(told)
    if entries is not None and len(entries) > COLUMNS:
        raise _LimitError(f"with {len(entries)} columns; at most {COLUMNS} are read")
    return [] if entries is None else list(entries)


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and value not in {"null", "~"} else ""
