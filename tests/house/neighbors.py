"""Registries beside one: what is brought from there, as the real one brings it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from reconciler.core.changes import Brought, RegisterVersion
from reconciler.core.names import ModelRef, Version, name_there
from reconciler.core.snapshot import Attribution
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.ports import UNREACHABLE, Neighbor

if TYPE_CHECKING:
    from tests.house import House
    from tests.house.mlflow import Files


COPIES = "memory:/copies"
"""Where copies are brought to."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The other registries of a policy, each opened when it is asked about."""

    opened: Mapping[str, Callable[[], Neighbor]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.opened)

    def of(self, name: str) -> Neighbor:
        if name not in self.opened:
            raise ReconcilerError(f"The policy names no registry {name}.")
        return self.opened[name]()


@dataclass(frozen=True, slots=True)
class Down:
    """A registry that does not answer."""

    uri: str

    def __getattr__(self, name: str) -> Any:
        def ask(*_: object) -> None:
            raise RegistryError(UNREACHABLE, f"{self.uri} is down.")

        return ask


@dataclass(frozen=True, slots=True)
class Carrying:
    """Brings files and figures by remembering whose they are."""

    others: "Mapping[str, House]"
    files: "Files"

    def bring(self, change: RegisterVersion) -> Brought:
        assert change.original is not None
        other, name = self.others[change.original.registry], name_there(change.original.model)
        original = other.registry.models[name].versions[change.original.version]
        said = Attribution(original.run_id, original.created_at, other.registry.uri, "", name, change.original.version)
        run_id = sha256(repr(said).encode()).hexdigest()[:32]
        return Brought(f"{COPIES}/{run_id}/model", run_id, "", said)

    def keeps(self, model: ModelRef, version: Version) -> bool:
        return self.files.place(model, version).startswith(f"{COPIES}/")


def copy_in(house: "House", other: "House", change: RegisterVersion) -> None:
    """The files and the figures that a copy has, with a run of its own."""
    assert change.original is not None
    assert change.brought is not None
    there = name_there(change.original.model), change.original.version
    attribute(house, change.model, change.version, other, *there, run_id=change.brought.run_id)
    house.files.places[change.model, change.version] = change.brought.source


def attribute(
    house: "House",
    model: str,
    version: int,
    other: "House",
    original: str,
    number: int,
    *,
    run_id: str = "",
    files: bool = True,
) -> None:
    """
    Say of a version that it was copied from one of another registry, as anybody can who may write tags; with its
    `files` or not.
    """
    here, there = (ModelRef(model), Version(version)), (ModelRef(original), Version(number))
    first = other.registry.models[there[0]].versions[there[1]]
    said = Attribution(first.run_id, first.created_at, other.registry.uri, "", *there)
    copy = house.registry.models[here[0]].versions[here[1]]
    house.registry.put(model, replace(copy, attribution=said))
    if files:
        house.files.digests[here] = other.files.known(*there)
        facts = other.runs.facts[there]
        run = facts.run and replace(facts.run, run_id=run_id)
        house.runs.facts[here] = replace(facts, model=here[0], version=here[1], created_at=house.clock.stamp, run=run)
