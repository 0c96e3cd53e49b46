"""Files as they are handed on, and where they are looked for."""

from dataclasses import dataclass

USUAL_FOLDER = "manifests"
"""The folder of manifests at the top of a repository, where nothing names one, wherever in it a command is run."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A manifest file as it stands: its path as people name it, with `/`, and its bytes."""

    path: str
    data: bytes
