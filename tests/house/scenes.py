"""What many tests begin with."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.house import GRACE, House, Person, readme_policy

SLOTS = pytest.mark.parametrize("slot", ["Production", "@champion"])
"""Whatever is asked of a stage is asked of an alias too."""

GATES = """\
slots:
- slot: [Production, "@champion*"]
  gates:
  - path: {from: Staging}
  - soak: {stage: Staging, for: 3d}
  - metric: {name: f1, min-absolute-change: 0.01}
  - approvals: {count: 1, of: owners}
"""

APPROVALS = """\
slots:
- slot: [Production, "@champion*"]
  gates:
  - approvals: {count: 1, of: owners}
"""

SOAK = """\
slots:
- slot: [Production, "@champion*"]
  gates:
  - soak: {stage: Staging, for: 3d}
    waive-on-rollback: true
"""

TRIED = """\
slots:
- slot: Production
  gates:
  - path: {from: Staging}
  - soak: {stage: Staging, for: 3d}
"""
"""It speaks of Production alone: an alias is guarded because it stands for it."""

NO_RULES = "# There is no rule.\n"


def _of_copies(about: str, original: str) -> str:
    """A policy whose gates ask where the original of a copy is."""
    return f"""\
checks:
  bias: {{command: ["true"]}}
slots:
- slot: [Production, "@champion*"]
  {about}
  gates:
  - path: {{from: Staging, {original}}}
  - soak: {{stage: Staging, {original}, for: 3d}}
  - metric: {{name: f1, min-absolute-change: 0.01}}
  - signature: {{}}
  - lineage: {{}}
  - artifact: {{pinned: true}}
  - check: {{name: bias, signed: true}}
  - approvals: {{count: 1, of: owners}}
"""


ENVIRONMENTS = _of_copies('models: ["prod.*"]', "model: staging.risk")

BETWEEN = _of_copies("registries: prod", "model: risk, registry: dev")

REGISTRIES = """\
registries:
  dev: {manifests: dev}
  prod: {manifests: manifests}
"""


def improving_by(f1: float) -> str:
    """A policy that compares a version with the one that it takes the place of."""
    gate = f"metric: {{name: f1, min-absolute-change: {f1}}}"
    return f'slots:\n- slot: [Production, "@champion*"]\n  gates:\n  - {gate}\n'


def at_least(f1: float) -> str:
    """A policy that speaks of the version itself: nothing waives it."""
    return f'slots:\n- slot: [Production, "@champion*"]\n  gates:\n  - metric: {{name: f1, threshold: {f1}}}\n'


def pins(
    slots: Mapping[str, int | str | list[int] | None],
    *,
    model: str = "churn",
    owners: Iterable[Person] = (GRACE,),
    also: str = "",
) -> str:
    """A manifest by its slots: `pins({"Production": 4, "@champion": 4})`. A value may be YAML of its own."""
    lines = [f"model: {model}"]
    if owned := ", ".join(f'"{person.entry}"' for person in owners):
        lines.append(f"owners: [{owned}]")
    stages = {slot: value for slot, value in slots.items() if not slot.startswith("@")}
    aliases = {slot[1:]: value for slot, value in slots.items() if slot.startswith("@")}
    for key, values in (("stages", stages), ("aliases", aliases)):
        if values:
            lines.append(f"{key}:")
            lines.extend(f"  {name}: {'null' if value is None else value}" for name, value in values.items())
    return "\n".join(lines) + f"\n{also}"


def at_work(
    house: House,
    slots: str | tuple[str, ...] = "Production",
    policy: str = GATES,
    *,
    models: tuple[str, ...] = ("churn",),
) -> None:
    """
    Each model has six versions: v4 is in the slots since before they were governed, v5 has been in Staging for four
    days, the others were never anywhere.
    """
    begin_with(house, _at_work, (slots,) if isinstance(slots, str) else slots, policy, models)


def _at_work(house: House, slots: tuple[str, ...], policy: str, models: tuple[str, ...]) -> None:
    for model in models:
        house.register(model, 6)
        for slot in slots:
            house.by_hand(model, 4, slot)
        house.by_hand(model, 5, "Staging")
    house.begin(policy, *(pins(dict.fromkeys(slots, 4), model=model) for model in models))
    house.clock.later(days=4)


def begin_with(house: House, scene: Callable[..., None], *details: Hashable) -> None:
    """
    What a scene makes of an empty house: it is played once a session for each kind of house, and copied. Where there is
    something in the registry already, it is played there.
    """
    assert not house.pushes, "a house begins once"
    if house.registry.models:
        scene(house, *details)
        return
    house.become(_played(scene, details, house.signed, house.signers, house.receipts))


@cache
def _played(scene: Callable[..., None], details: tuple[Hashable, ...], signed: bool, signers: str, kept: bool) -> House:
    folder = Path(tempfile.mkdtemp(prefix="reconciler-house-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    house = House.build(folder, signed=signed)
    house.signers, house.receipts = signers, kept
    scene(house, *details)
    return house


def copy_of(version: int, model: str = "staging.risk") -> str:
    return f"{{from: {{model: {model}, version: {version}}}}}"


def environments(house: House, slot: str = "Production", policy: str = ENVIRONMENTS) -> None:
    """
    v2 of staging.risk has been in Staging for four days, and was checked; prod.risk has v1, a copy of staging.risk's
    v1, in its slot.
    """
    begin_with(house, _environments, slot, policy)


def _environments(house: House, slot: str, policy: str) -> None:
    house.register("staging.risk", 2)
    house.check("staging.risk", 1, "bias")
    house.copy_by_hand("staging.risk", 1, "prod.risk")
    house.by_hand("prod.risk", 1, slot)
    house.by_hand("staging.risk", 2, "Staging")
    house.begin(policy, pins({"Staging": 2}, model="staging.risk"), pins({slot: 1}, model="prod.risk"))
    house.clock.later(days=4)
    house.check("staging.risk", 2, "bias")


def promote_copy(house: House, slot: str = "Production", version: int = 2) -> None:
    house.merge(pins({slot: copy_of(version)}, model="prod.risk"), approved_by=[GRACE])


def between(house: House, slot: str = "Production", policy: str = BETWEEN) -> House:
    """
    Two registries, of which this house is prod: v2 of dev's risk has been in Staging for four days, and was checked;
    prod's risk has v1 of its own in its slot.
    """
    begin_with(house, _between, slot, policy)
    return house.others["dev"]


def _between(house: House, slot: str, policy: str) -> None:
    dev = house.neighbor("dev")
    house.register("risk", 1)
    house.check("risk", 1, "bias")
    house.by_hand("risk", 1, slot)
    dev.register("risk", 2)
    dev.by_hand("risk", 2, "Staging")
    house.push(files={"dev/risk.yaml": pins({"Staging": 2}, model="risk")})
    house.begin(REGISTRIES + policy, pins({slot: 1}, model="risk"))
    house.clock.later(days=4)
    dev.check("risk", 2, "bias")


def from_dev(version: int, model: str = "risk") -> str:
    return f"{{from: {{registry: dev, model: {model}, version: {version}}}}}"


def promote_from_dev(house: House, slot: str = "Production", version: int = 2) -> None:
    house.merge(pins({slot: from_dev(version)}, model="risk"), approved_by=[GRACE])


__all__ = [
    "APPROVALS",
    "BETWEEN",
    "ENVIRONMENTS",
    "GATES",
    "NO_RULES",
    "REGISTRIES",
    "SLOTS",
    "SOAK",
    "at_least",
    "at_work",
    "begin_with",
    "between",
    "copy_of",
    "environments",
    "from_dev",
    "improving_by",
    "pins",
    "promote_copy",
    "promote_from_dev",
    "readme_policy",
]
