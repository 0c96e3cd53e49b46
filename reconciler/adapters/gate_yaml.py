"""Gates as people write them, in a policy or in a manifest → Guards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reconciler.adapters.located_yaml import YamlValue
from reconciler.core.gate import Gate, Guard
from reconciler.errors import Problem

GateFactory: TypeAlias = Callable[[Mapping[str, object]], Gate]
"""Makes a gate of its parameters, as they stand below `with`. Raises ValueError where they are wrong."""

Evaluate: TypeAlias = Callable[..., Any]
"""What `gates.cel.Cel` evaluates its condition with."""


def _no_conditions(*_: object) -> Any:
    raise ValueError("nothing here evaluates conditions")


def _no_fault(_: str) -> str | None:
    return None


def _no_plugins() -> Mapping[str, GateFactory]:
    return {}


@dataclass(frozen=True, slots=True)
class GateBuilder:
    """
    What gates are made with that the file does not say. `plugins` are looked for when a file first `uses` one.
    `compile_fault` says why a condition is none. `groups` and the names of `checks` are the policy's; None where no
    policy is at hand: then it is not asked whether it has the ones that are named.
    """

    evaluate: Evaluate = _no_conditions
    compile_fault: Callable[[str], str | None] = _no_fault
    plugins: Callable[[], Mapping[str, GateFactory]] = _no_plugins
    groups: Mapping[str, tuple[str, ...]] | None = None
    checks: frozenset[str] | None = field(default=None)


def parse_gates(
    value: YamlValue, called: str, build: GateBuilder, *, tighten_only: bool = False
) -> tuple[tuple[Guard, ...], tuple[Problem, ...]]:
    """The gates in a list, each with a name of its own, or what is wrong with them. `called` is what the list is."""
    raise NotImplementedError
