"""Plans that were saved to be applied later."""

import json
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from reconciler.errors import ReconcilerError, SeveralRegistriesError
from reconciler.render.json import FORMAT_VERSION, PlanDocument

MOST_BYTES = 64 * 1024 * 1024


def read(path: Path) -> PlanDocument:
    """
    The plan in a file. Raises ReconcilerError for a file that is none, or that a newer major release wrote, and
    SeveralRegistriesError for one with the plans of several registries.
    """
    again = "Create it again with `reconciler plan --out`."
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ReconcilerError(f"{path} is too large to be a plan.", again)
        document: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ReconcilerError(f"{path} cannot be read: {error.strerror}.", "Correct the path.") from error
    except (ValueError, RecursionError) as error:
        raise ReconcilerError(f"{path} is not a plan: it is not JSON.", again) from error
    fields = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if isinstance(registries := fields.get("registries"), dict):
        raise SeveralRegistriesError(tuple(cast("dict[str, Any]", registries)))
    major = str(fields.get("format_version", "")).split(".")[0]
    if major != FORMAT_VERSION.split(".")[0]:
        found = f"format_version `{major}`" if major else "no format_version"
        raise ReconcilerError(f"{path} is not a plan that this release can read: it has {found}.", again)
    try:
        return TypeAdapter(PlanDocument).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReconcilerError(f"{path} is not a plan: {place}: {first['msg']}.", again) from error
