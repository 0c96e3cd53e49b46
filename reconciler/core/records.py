"""The JSON of our records in a registry's tags: written short, and read without guessing."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

from reconciler.core.limits import RECORD_CHARACTERS


def compact(value: object) -> str:
    """JSON on as few characters as it takes: a tag has not many."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read_record(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> dict[str, Any]:
    """The object in a record's text. Raises ValueError or TypeError; whoever writes tags chose the text."""
    if len(text) > RECORD_CHARACTERS:
        raise ValueError("longer than a record of ours is")
    try:
        return as_object(json.loads(text, object_pairs_hook=pairs))
    except RecursionError as error:
        raise ValueError("nested deeper than a record of ours is") from error


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
