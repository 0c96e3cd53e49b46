"""The JSON of our records in a registry's tags, and the signatures on them: short, and read without guessing."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from reconciler.core.limits import RECORD_CHARACTERS


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


def read_record(
    text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, most: int = RECORD_CHARACTERS
) -> dict[str, Any]:
    """The object in a record's text. Raises ValueError or TypeError; whoever writes tags chose the text."""
    if len(text) > most:
        raise ValueError("too long for one of our records")
    try:
        return as_object(json.loads(text, object_pairs_hook=pairs))
    except RecursionError as error:
        raise ValueError("nested too deeply for one of our records") from error


def member(value: object, key: str) -> object:
    """What a JSON object has under a key; None for anything else."""
    return value.get(key) if isinstance(value, Mapping) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # JSON


def members(value: object) -> list[Any]:
    """The items of a JSON array; none for anything else."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON


def as_commit(value: object) -> str:
    """What was read, if it is the full name of a commit. Raises TypeError or ValueError."""
    if not re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", as_text(value)):
        raise ValueError("not the name of a commit")
    return as_text(value)


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
