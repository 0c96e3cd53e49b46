"""YAML text → Policy: the file `reconciler.yaml` at the top of a repository."""

from typing import TYPE_CHECKING

from reconciler.adapters.gate_yaml import GateBuilder
from reconciler.core.policy import Policy
from reconciler.errors import Problem

if TYPE_CHECKING:
    from reconciler.ports import SourceFile

DEFAULT_BUILDER = GateBuilder()


def parse_policy(
    file: "SourceFile", build: GateBuilder = DEFAULT_BUILDER, signers_text: str = ""
) -> tuple[Policy | None, tuple[Problem, ...]]:
    """The policy, or everything wrong with it in the order of places. `commit` is for the caller to put in."""
    raise NotImplementedError


def signers_path(file: "SourceFile") -> str | None:
    """The path of the allowed-signers file that a policy names, whatever else is wrong with it."""
    raise NotImplementedError
