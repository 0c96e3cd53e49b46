"""The JSON of our records in a registry's tags, and the signatures on them: short, and read without guessing."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast


class SealKind(StrEnum):
    HMAC = "hmac"
    SSH = "ssh"


@dataclass(frozen=True, slots=True)
class Seal:
    """A signature on a record. `key` identifies the key that made it without revealing it."""

    kind: SealKind
    key: str
    value: str


def seal_document(seal: Seal | None) -> dict[str, str] | None:
    """A signature as JSON."""
    return None if seal is None else {"kind": seal.kind.value, "key": seal.key, "value": seal.value}


def read_seal(value: object) -> Seal | None:
    """The signature in a record, None where it has none. Raises KeyError, TypeError, ValueError."""
    if value is None:
        return None
    document = as_object(value)
    if document.keys() ^ {"kind", "key", "value"}:
        raise KeyError("not a signature")
    return Seal(SealKind(as_text(document["kind"])), as_text(document["key"]), as_text(document["value"]))


def canonical(value: object) -> bytes:
    """The bytes that a signature is made of: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def compact(value: object) -> str:
    """JSON on as few characters as it takes: a tag has not many."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_object(value: object) -> dict[str, Any]:
    """What was read, if it is a JSON object. Raises TypeError."""
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return cast("dict[str, Any]", value)


def as_text(value: object) -> str:
    """What was read, if it is a string. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
