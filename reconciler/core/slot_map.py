"""
What the slots that manifests declare are in the registry: MLflow's stages, aliases that stand for them, or both. MLflow
deprecates stages, and some registries have none.
"""

from dataclasses import dataclass

from reconciler.core.looks import folded, skeleton
from reconciler.core.names import AliasName, LiveSlots, Slot, Stage, alias_slot


@dataclass(frozen=True, slots=True)
class StageAlias:
    """
    A stage that manifests declare, MLflow's or one of the policy's own, and the alias that stands for it. `previous` is
    an alias that is kept on the version that left it last.
    """

    stage: str
    alias: AliasName
    previous: AliasName | None = None


@dataclass(frozen=True, slots=True)
class SlotMap:
    """
    The aliases that stand for stages. Without `aliases_only` MLflow's own stages are moved, too. `live` are the names
    of the slots that consumers depend on: stages by theirs, aliases behind an `@`.

    A commit is read by its own policy. What the one before it says of live slots, and of what a rule is about, holds
    beside that: `standing`.
    """

    stages: tuple[StageAlias, ...] = ()
    aliases_only: bool = False
    live: tuple[str, ...] = (Stage.PRODUCTION.value,)
    standing: "SlotMap | None" = None

    def reads_like(self, other: "SlotMap") -> bool:
        """Whether manifests mean the same by both."""
        return (self.stages, self.aliases_only) == (other.stages, other.aliases_only)

    def is_stage(self, name: str) -> bool:
        """Whether what manifests declare under that name is a stage in the registry."""
        return name in set(Stage) and not self.aliases_only

    def alias_of(self, name: str) -> AliasName | None:
        """The alias that stands for a stage."""
        return next((one.alias for one in self.stages if one.stage == name), None)

    def stage_of(self, slot: Slot) -> str | None:
        """The stage that an alias stands for."""
        return next((one.stage for one in self.stages if one.alias == slot.alias), None)

    def twin_of(self, slot: Slot) -> Slot | None:
        """The stage of the registry that moves with an alias."""
        stage = self.stage_of(slot)
        return Stage(stage).slot if stage is not None and self.is_stage(stage) else None

    def previous_of(self, alias: AliasName) -> AliasName | None:
        """The alias that is kept on the version that another one named before."""
        return next((one.previous for one in self.stages if one.alias == alias), None)

    def place(self, name: str) -> Slot:
        """What the slot that people name is in the registry: a stage that is none there is its alias."""
        word = name.removeprefix("@")
        alias = None if self.is_stage(name) else self.alias_of(word)
        if alias is not None:
            return alias_slot(alias)
        return Slot(name if name in set(Stage) else f"@{word}")

    def places(self, name: str) -> frozenset[Slot]:
        """All that it is: a stage that is one there, and the alias that stands for it."""
        if name.startswith("@"):
            return frozenset({self.place(name), Slot(name)})
        alias = self.alias_of(name)
        stage = {Stage(name).slot} if self.is_stage(name) else set[Slot]()
        return frozenset(stage if alias is None else {*stage, alias_slot(alias)})

    def names(self, slot: Slot) -> tuple[str, ...]:
        """
        What rules may call a slot: itself, and the stage that it stands for. An alias that only looks like one that
        stands for a stage is called so, too: a rule that is evaded by a letter guards nothing.
        """
        alias = slot.alias
        stages = [] if alias is None else [one.stage for one in self.stages if _alike(one.alias, alias)]
        before = () if self.standing is None else self.standing.names(slot)
        return tuple(dict.fromkeys((slot, *(name for stage in stages for name in (stage, f"@{stage}")), *before)))

    def is_about(self, named: Slot, slot: Slot) -> bool:
        """
        Whether what manifests say of a slot is about another one: the alias that stands for it, or the stage for which
        it is an alias alone.
        """
        stage = self.stage_of(named)
        return named in self.names(slot) or (stage is not None and stage == slot and not self.is_stage(stage))

    def declared(self, slot: Slot) -> Slot:
        """The slot under which manifests declare what an alias names: the stage of the registry that it moves with."""
        return self.twin_of(slot) or slot

    @property
    def live_slots(self) -> LiveSlots:
        """The slots of the registry that consumers depend on: stages, and the aliases that stand for them."""
        stages = {Stage(name).slot for name in self.live if self.is_stage(name)}
        aliases = {alias_slot(alias) for name in self.live if (alias := self.alias_of(name)) is not None}
        before = frozenset[Slot]() if self.standing is None else self.standing.live_slots
        return frozenset({*stages, *aliases, *(Slot(name) for name in self.live if name.startswith("@")), *before})


def _alike(one: str, other: str) -> bool:
    a, b = folded(one), folded(other)
    return a == b or (not (a + b).isascii() and skeleton(a) == skeleton(b))


PLAIN = SlotMap()
"""What slots are where no policy says otherwise: themselves."""
