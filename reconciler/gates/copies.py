"""Gates that ask of the version which a candidate was copied from."""

from typing import Final

from reconciler.core.gate import Entrance
from reconciler.core.names import Version
from reconciler.core.text import plain
from reconciler.gates.parameters import Key

OTHER_MODEL: Final = Key(
    "Another registered model: it is asked of the version that the candidate was copied from.",
    examples=("staging.risk",),
)


def called(original: Version, entrance: Entrance, model: str) -> str:
    """What a sentence calls the original of a candidate."""
    return f"v{original} of {plain(model, 80)}, the original of v{entrance.candidate},"


def not_copied(entrance: Entrance, model: str) -> str:
    """That a candidate is no copy from a model, and what to do."""
    name = plain(model, 80)
    return (
        f"v{entrance.candidate} was not copied from {name}; "
        f"declare a version of it instead: `from: {{model: {name}, version: NUMBER}}`"
    )
