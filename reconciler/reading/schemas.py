"""The published JSON Schemas: for editors, which complete and check while people write, and for other programs."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from reconciler.gates.parameters import GateFactory, keys_of
from reconciler.reading.gates import spec_of
from reconciler.reading.manifest import ManifestSpec
from reconciler.reading.policy import PolicySpec
from reconciler.reading.spelling import Spec
from reconciler.render.access import AccessDocument
from reconciler.render.bundle import BundleDocument
from reconciler.render.history_json import AsOfDocument, AuditDocument, BetweenDocument, HistoryDocument
from reconciler.render.json import DriftDocument, PlanDocument, ReceiptDocument, StatusDocument

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def manifest_schema() -> dict[str, Any]:
    """
    What a manifest may hold, once YAML is read. It lets through all that `parse` accepts; what only `parse` can see
    (how a number is spelled, a duplicate key) it lets through too.
    """
    return _spec_schema(ManifestSpec)


def policy_schema(plugins: Mapping[str, Callable[[], GateFactory]] = MappingProxyType({})) -> dict[str, Any]:
    """
    What `reconciler.yaml` may hold, once YAML is read. It lets through all that `parse_policy` accepts, and what only
    that can see: groups and checks that are not there, names that are there twice, what calendars and conditions mean.
    Of `plugins`, what loads the gates of other packages by their names, it knows the keys that these say.
    """
    schema = _spec_schema(PolicySpec)
    for name, load in sorted(plugins.items()):
        if of_gate := _schema_of_package(name, load):
            schema["definitions"].update(of_gate.pop("definitions"))
            used = {"properties": {"uses": {"const": name}}, "required": ["uses"]}
            held = {"properties": {"with": {key: value for key, value in of_gate.items() if key != "$schema"}}}
            schema["definitions"]["PolicyGateSpec"].setdefault("allOf", []).append({"if": used, "then": held})
    return schema


def _schema_of_package(name: str, load: Callable[[], GateFactory]) -> dict[str, Any] | None:
    """What may stand below `with`, where the package says it."""
    # Somebody else's code; what is wrong with it is said where a file uses it.
    with suppress(Exception, SystemExit):
        make = load()
        return _spec_schema(spec_of(make, name)) if keys_of(make) else None
    return None


def plan_schema() -> dict[str, Any]:
    """What `plan --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(PlanDocument)


def receipt_schema() -> dict[str, Any]:
    """What `apply --receipt` writes. Minor releases add keys, so others than these are let through."""
    return _document_schema(ReceiptDocument)


def drift_schema() -> dict[str, Any]:
    """What `drift --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(DriftDocument)


def status_schema() -> dict[str, Any]:
    """What `status --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(StatusDocument)


def access_schema() -> dict[str, Any]:
    """What `access --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(AccessDocument)


def history_schema() -> dict[str, Any]:
    """What `history --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(HistoryDocument)


def as_of_schema() -> dict[str, Any]:
    """What `as-of --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(AsOfDocument)


def diff_schema() -> dict[str, Any]:
    """What `diff --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(BetweenDocument)


def bundle_schema() -> dict[str, Any]:
    """The list in a bundle of evidence. Minor releases add keys, so others than these are let through."""
    return _document_schema(BundleDocument)


def audit_schema() -> dict[str, Any]:
    """What `audit --format json` prints. Minor releases add keys, so others than these are let through."""
    return _document_schema(AuditDocument)


def _spec_schema(spec: type[Spec]) -> dict[str, Any]:
    return _as_draft_7(spec.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_Generator))


def _document_schema(document: type[object]) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(document)
    return _as_draft_7(adapter.json_schema(ref_template="#/definitions/{model}", schema_generator=_Untitled))


def _as_draft_7(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    return {"$schema": DRAFT_7, **_draft_7(schema), "definitions": _draft_7(definitions)}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "manifest": manifest_schema,
    "policy": policy_schema,
    "plan": plan_schema,
    "receipt": receipt_schema,
    "drift": drift_schema,
    "status": status_schema,
    "access": access_schema,
    "history": history_schema,
    "as-of": as_of_schema,
    "diff": diff_schema,
    "audit": audit_schema,
    "bundle": bundle_schema,
}


def schema_text(name: str, plugins: Mapping[str, Callable[[], GateFactory]] = MappingProxyType({})) -> str:
    """One of SCHEMAS, as it stands in `schemas/`; that of the policy knows the keys of `plugins`, too."""
    schema = policy_schema(plugins) if name == "policy" else SCHEMAS[name]()
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


class _Untitled(GenerateJsonSchema):
    """A description says more than a title that is made from a name."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # the signature is pydantic's
        return False


class _Generator(_Untitled):
    """In a manifest, a key that may be left away may not be null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _draft_7(schema: Any) -> Any:
    """Draft 7 looks at nothing that stands beside a `$ref`; wrapped in `allOf`, it does. Docstrings become one line."""
    if isinstance(schema, str):
        return " ".join(schema.split("\n"))
    if isinstance(schema, list):
        return [_draft_7(item) for item in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    mapped = {key: _draft_7(value) for key, value in cast(dict[str, Any], schema).items()}
    if "$ref" in mapped and len(mapped) > 1:
        return {"allOf": [{"$ref": mapped.pop("$ref")}], **mapped}
    return mapped
