"""The JSON of our records in a registry's tags: written short, and read without guessing."""

import json
from typing import Any, cast


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
