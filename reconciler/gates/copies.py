"""Gates that ask of the version which a candidate was copied from."""

from collections.abc import Iterator
from typing import Final

from reconciler.core.gate import Entrance
from reconciler.core.names import ModelRef, Version, in_registry, name_there, registry_of
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, Key, Surroundings

OTHER_MODEL: Final = Key(
    "Another registered model: it is asked of the version that the candidate was copied from.",
    examples=("staging.risk",),
)


OTHER_REGISTRY: Final = Key(
    "Another registry, by its name in the policy, that the `model` is in. Default: the same one.",
    examples=("dev",),
)


def other_model(registry: str, model: str) -> ModelRef:
    """The model that a gate names, by its name among those of all registries; empty where it names none."""
    return in_registry(registry, ModelRef(model)) if model else ModelRef("")


def registry_faults(registry: str, model: str, around: Surroundings) -> Iterator[Fault]:
    """What is wrong with another registry that a gate names."""
    if registry and not model:
        said = ": a registry is named, and no model of it."
        yield Fault(GateCode.ASKS_NOTHING, said, "Add `model`, or remove `registry`.", ("registry",))
    if registry and around.registries is not None and registry not in around.registries:
        known = f"it names {', '.join(sorted(around.registries))}" if around.registries else "it names none"
        fix = did_you_mean(registry, around.registries, "Name it under `registries`, or correct the name.")
        message = f" is `{plain(registry, 80)}`, which the policy does not name: {known}."
        yield Fault(GateCode.UNKNOWN_REGISTRY, message, fix, ("registry",))


def called(original: Version, entrance: Entrance, model: str) -> str:
    """What a sentence calls the original of a candidate."""
    return f"v{original} of {plain(model, 80)}, the original of v{entrance.candidate},"


def not_copied(entrance: Entrance, model: str) -> str:
    """That a candidate is no copy from a model, and what to do."""
    name, registry = plain(name_there(ModelRef(model)), 80), registry_of(ModelRef(model))
    where = f"registry: {registry}, " if registry else ""
    return (
        f"v{entrance.candidate} was not copied from {plain(model, 80)}; "
        f"declare a version of it instead: `from: {{{where}model: {name}, version: NUMBER}}`"
    )
