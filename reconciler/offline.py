"""
The part of the public face that needs neither git nor a registry: manifests and the policy of a work tree, checked,
laid out and looked up, and the schemas. `reconciler.project` has all of it too; without the rest it is there at once.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Problem, Validation

if TYPE_CHECKING:
    from reconciler.core.policy import PolicySettings
    from reconciler.formatting import Formatted
    from reconciler.reading.gates import GateBuilder


def validate(paths: Iterable[Path | str] = ()) -> list[Problem]:
    """
    What is wrong with some manifests, which are files or folders of them, and with the policy of their repository,
    sorted by place. Without paths, the folder that a project opened here has. Warnings are among them: see
    `Problem.severity`. Speaks to no registry, and needs no git.
    """
    return list(validation(paths).problems)


def validation(paths: Iterable[Path | str] = ()) -> Validation:
    """The same, and how many files and models were looked at."""
    from reconciler.clocks import SystemClock
    from reconciler.validating import check_files, usual_folders

    places = [Path(path) for path in paths] or usual_folders(os.environ)
    return check_files(places, _gate_builder, SystemClock().now())


def fmt(paths: Iterable[Path | str] = ()) -> "Formatted":
    """
    Manifests, which are files or folders of them, in the canonical layout, to `write()`. Without paths, those that
    `validate` looks at. Raises ManifestError with every problem of every file.
    """
    from reconciler.formatting import format_files
    from reconciler.validating import usual_folders

    return format_files([Path(path) for path in paths] or usual_folders(os.environ), _gate_builder)


def schema(name: str) -> str:
    """One of the published JSON Schemas, as it stands in `schemas/`, with the gates that other packages bring."""
    from reconciler.reading.schemas import schema_text
    from reconciler.wiring import gates_of_packages

    return schema_text(name, gates_of_packages())


@dataclass(frozen=True, slots=True)
class DeclaredModel:
    """What manifests name of a model: the numbers of versions, and aliases, each once."""

    versions: frozenset[int]
    aliases: frozenset[str]


def declared_models(manifests: Path | None = None, named: str = "") -> dict[str, DeclaredModel]:
    """
    What the manifests of the work tree around us name, by model, sorted: where they are is found as for the commands.
    Of several registries, those of the one that is `named`, or all.
    What is wrong with them is left out. Speaks to no registry, and needs no git.
    """
    from reconciler.core.desired import resolve
    from reconciler.reading.files import files_below
    from reconciler.reading.manifest import parse

    top, settings = _policy_here()
    folder = manifests or os.environ.get("RECONCILER_MANIFESTS")
    meant = settings.of(named)
    found: dict[str, DeclaredModel] = {}
    for one in (meant,) if folder else meant.registries.values() or (meant,):
        files, _ = files_below([Path(folder or top / (one.manifests or "manifests"))], top)
        for name, manifest in resolve(parse(files, slots=one.slots, past=True)[0])[0].items():
            versions = frozenset(pin.version for pin in manifest.pins() if pin.version is not None)
            there = found.get(str(name), DeclaredModel(frozenset(), frozenset()))
            found[str(name)] = DeclaredModel(there.versions | versions, there.aliases | frozenset(manifest.aliases))
    return dict(sorted(found.items()))


def declared_registries() -> tuple[str, ...]:
    """What the policy of the work tree around us calls the registries, where it names several."""
    return tuple(_policy_here()[1].registries)


def _policy_here() -> "tuple[Path, PolicySettings]":
    """The top of the work tree around us, and what its policy says of places."""
    from reconciler.core.policy import PolicySettings
    from reconciler.reading.repository import top_above
    from reconciler.validating import POLICY_NAME, settings_in

    top = top_above(Path()) or Path.cwd()
    policy = top / POLICY_NAME
    return top, settings_in(policy) if policy.is_file() else PolicySettings()


def _gate_builder() -> "GateBuilder":
    """What gates are made with; imported when there are some."""
    from reconciler.wiring import gate_builder

    return gate_builder()
