"""States and questions, said briefly."""

from collections.abc import Mapping
from typing import Any

from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import Entrance, FactKey, Facts, Gate, Guard, Kind, Verdict, judge_guard
from reconciler.core.names import AliasName, ModelRef, Slot, Stage, Version
from reconciler.core.snapshot import ModelSnapshot, OwnerRecord, VersionSnapshot
from reconciler.errors import Location


def entrance(model: str, version: int, slot: str, incumbent: int | None = None, *, rollback: bool = False) -> Entrance:
    """A version about to become visible in a slot, `Production` or `@champion`, in the place of another one, if any."""
    replaced = None if incumbent is None else Version(incumbent)
    kind = Kind.ROLLBACK if rollback else Kind.NEW
    return Entrance(ModelRef(model), Version(version), Slot(slot), replaced, kind)


def version(model: str, number: int, **facts: Any) -> VersionFacts:
    """What is known of a version, by the fields of `VersionFacts`: `version("churn", 5, tags={"cost": "9"})`."""
    return VersionFacts(ModelRef(model), Version(number), **facts)


def judge(
    gate: Gate,
    entrance: Entrance,
    facts: Mapping[FactKey[Any], object],
    unknown: Mapping[FactKey[Any], str] | None = None,
) -> Verdict:
    """
    What a policy that has the gate decides: the gate is told what it needs of these facts, and is not asked where one
    of them is missing; `unknown` says why one is. A rollback leaves what `on_rollback` gives.
    """
    return judge_guard(Guard("gate", gate, Location("reconciler.yaml")), entrance, Facts(facts, unknown or {}))


def have(
    versions: Mapping[int, Stage],
    aliases: Mapping[str, int] | None = None,
    *,
    owner: OwnerRecord | None = None,
    name: str = "churn",
) -> ModelSnapshot:
    """
    A registered model: `have({1: Stage.ARCHIVED, 2: Stage.PRODUCTION}, {"champion": 2})`. Version n comes from the run
    `run-n`.
    """
    return ModelSnapshot(
        name=ModelRef(name),
        aliases={AliasName(alias): Version(number) for alias, number in (aliases or {}).items()},
        versions={
            Version(number): VersionSnapshot(Version(number), stage, run_id=f"run-{number}", created_at=1000 + number)
            for number, stage in versions.items()
        },
        owner=owner,
    )
