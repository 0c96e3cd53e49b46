"""The policy: which gates guard which slots, and what else a repository's owners lay down."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from reconciler.core.files import USUAL_FOLDER
from reconciler.core.looks import drawn, folded, skeleton
from reconciler.core.names import Commit, ModelRef, RepositoryId, Slot
from reconciler.core.slot_map import PLAIN, SlotMap
from reconciler.errors import Location

if TYPE_CHECKING:
    # Not at run time: where there is no policy, nothing has a use for gates, and evidence takes a while to import.
    from reconciler.core.gate import Guard

LOADABLE = "loadable"
"""The check that every policy has: it loads the model, and does nothing else."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Some gates before some slots. A slot is a stage or `@alias`; slots and models may be patterns (`@champion*`), of
    which one must match. Every tag selector must match the registered model's tags as they are in the registry.
    `registries` are those that it is about, by their names in the policy; none named: all.
    """

    slots: tuple[str, ...]
    guards: "tuple[Guard, ...]"
    at: Location
    models: tuple[str, ...] = ("*",)
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    registries: tuple[str, ...] = ()

    def guards_slot(self, slot: str) -> bool:
        return any(matches(pattern, slot) for pattern in self.slots)

    def applies_to(self, model: ModelRef, tags: Mapping[str, str]) -> bool:
        """
        Whether a model is one that the rule is about. A tag that is not there matches nothing; a name matches however
        it is spelled, since a rule that is evaded by a letter guards nothing.
        """
        named = any(matches(pattern, model) for pattern in self.models)
        return named and all(matches(value, tags[key]) if key in tags else False for key, value in self.tags.items())

    def is_about(self, names: Iterable[ModelRef], tags: Collection[Mapping[str, str]]) -> bool:
        """Whether it is about a model of which there are several names, or several words on its tags."""
        return any(self.applies_to(name, one) for name in names for one in tags)


@dataclass(frozen=True, slots=True)
class Check:
    """
    Something to run on a version, out of the trusted policy alone: exactly one of a command, a pytest folder, a
    notebook, or `evaluate`, whose thresholds are by metric; none of them is LOADABLE. `timeout` is in seconds.
    """

    name: str
    at: Location
    command: tuple[str, ...] = ()
    pytest: str = ""
    notebook: str = ""
    evaluate: Mapping[str, object] = field(default_factory=dict[str, object])
    timeout: float = 600.0
    environment: tuple[str, ...] = ()


COPIES: Final = "reconciler copies"
"""The experiment into which copies from other registries go, where the policy names none."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """
    Defaults for options of the same meaning; None leaves the command's own. `registry_names` are addresses of one
    registry, and `formerly` the names that the repository had; `slots` says what stages are in the registry.
    `registries` are the several that a policy names, each with the settings that hold for it; of one of these, `prefix`
    is what its variables begin with, `workspace` the part of it that is worked in, and `experiment` has the runs of
    copies from other registries.
    """

    registry: str | None = None
    manifests: str | None = None
    max_change_percent: float | None = None
    max_change_models: int | None = None
    registry_names: tuple[str, ...] = ()
    formerly: tuple[RepositoryId, ...] = ()
    slots: SlotMap = PLAIN
    registries: "Mapping[str, PolicySettings]" = field(default_factory=dict[str, "PolicySettings"])
    prefix: str = ""
    workspace: str = ""
    experiment: str = COPIES

    @property
    def meanings(self) -> tuple[object, ...]:
        """What stages are, in the registry in hand and in the others: gates that name one ask about another slot."""
        others = sorted(self.registries.items())
        return tuple((name, its.slots.stages, its.slots.aliases_only) for name, its in (("", self), *others))

    def of(self, registry: str) -> "PolicySettings":
        """What holds for a registry of that name, among the others; where none is called so, what holds for all."""
        found = self.registries.get(registry)
        return self if found is None else replace(found, registries=self.registries)


@dataclass(frozen=True, slots=True)
class MissingReceipt:
    """A receipt that somebody looked for and acknowledges to be missing, and why it is."""

    receipt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """
    A policy file, as of one commit (None: there is none). `groups` are people by their email addresses and `@logins`;
    `signers` is the text of an SSH allowed-signers file: whose commits and check records count as signed. `folders` are
    those of the registry in hand, and `others` those of other registries.
    """

    rules: tuple[Rule, ...] = ()
    settings: PolicySettings = PolicySettings()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    signers: str = ""
    signers_path: str = ""
    path: str = "reconciler.yaml"
    commit: Commit | None = None
    text: str = ""
    missing_receipts: tuple[MissingReceipt, ...] = ()
    folders: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def of(self, registry: str, folder: str = "", now: PolicySettings | None = None) -> "Policy":
        """
        The policy for a registry of that name, whose manifests are in that folder: its settings, and the rules that are
        about it. `now` is what the policy says that gives it these; one of before knows the registry by its name or by
        its folder, present or former, and nobody gets away from its rules by one change of both: of what that policy
        names, all that `now` knows by neither is this one, too. One that knows none of these has no rule.
        """
        named = self.settings.registries or {"": self.settings}
        folders = {name: one.manifests or USUAL_FOLDER for name, one in named.items()}
        former = () if now is None else (name.partition("#")[2] for name in now.formerly)
        places = {folder, *filter(None, former)}
        ours = {name for name, place in folders.items() if name == registry or place in places}
        if not ours and now is not None:
            known = now.registries or {registry: now}
            kept = {one.manifests or USUAL_FOLDER for one in known.values()}
            ours = {name for name, place in folders.items() if name not in known and place not in kept}
        about = (rule for rule in self.rules if not rule.registries or not ours.isdisjoint(rule.registries))
        return replace(
            self,
            rules=tuple(about) if ours else (),
            settings=self.settings.of(registry if registry in ours else next(iter(sorted(ours)), registry)),
            folders=frozenset(folders[name] for name in ours),
            others=frozenset(place for name, place in folders.items() if name not in ours),
        )

    @property
    def registries(self) -> tuple[str, ...]:
        """The names of several registries, where it names them."""
        return tuple(self.settings.registries)

    @property
    def names_signers(self) -> bool:
        """Whether records must be signed."""
        return bool(listed_for(RECORDS, self.signers))

    def guards(
        self,
        model: ModelRef,
        slot: Slot,
        *tags: Mapping[str, str],
        formerly: Iterable[ModelRef] = (),
        slots: SlotMap = PLAIN,
    ) -> "tuple[Guard, ...]":
        """
        Every gate before that slot for a model, in the order of the file. Of several names, its own and former ones,
        and several sets of tags, those that the registry shows and those that are declared, it is enough for a rule to
        be about one. What guards a stage guards the alias that stands for it, by this policy or by `slots`.
        """
        names, called = (model, *formerly), {*self.settings.slots.names(slot), *slots.names(slot)}
        return tuple(
            guard
            for rule in self.rules
            if any(map(rule.guards_slot, called)) and rule.is_about(names, tags)
            for guard in rule.guards
        )


RECORDS = "reconciler-record"
"""The namespace of signatures on our records."""

_OPTIONS = re.compile(r"""\s*(?:"[^"]*"|[^\s"])+\s+((?:"[^"]*"|[^\s"])+)\s""")
"""What follows the principals: the options, or the kind of the key where there are none."""
_NAMESPACES = re.compile(r"""(?i)(?:^|,)namespaces="([^"]*)"(?:,|$)""")


def lines_of(signers: str) -> tuple[str, ...]:
    """
    The lines of an allowed-signers text as ssh-keygen parts them. Python parts them at more characters, so that
    something could follow on a comment that looks like a part of it.
    """
    return tuple(line.removesuffix("\r") for line in signers.split("\n"))


def listed_for(namespace: str, signers: str) -> tuple[str, ...]:
    """
    The lines of an allowed-signers text that list a key for this namespace by its very name. A line without
    `namespaces` is a person's, for signed commits, and whoever may approve may not vouch for our records; a pattern,
    such as `*`, is no name either.
    """
    return tuple(line for line in lines_of(signers) if namespace in _namespaces_of(line))


def _namespaces_of(line: str) -> list[str]:
    options = None if line.lstrip().startswith("#") else _OPTIONS.match(line)
    named = _NAMESPACES.search(options[1]) if options else None
    return named[1].split(",") if named else []


def matches(pattern: str, text: str) -> bool:
    """
    Whether a pattern (`*`, `?`, `[…]`) matches. A text that is not ASCII matches by what it looks like, too: a rule
    that is evaded by a letter guards nothing.
    """
    return spells(pattern, text) or (
        not text.isascii()
        and (
            spells(drawn(pattern), drawn(text))
            or any(fnmatchcase(skeleton(case(text)), skeleton(case(pattern))) for case in (str, str.lower))
        )
    )


def spells(pattern: str, text: str) -> bool:
    """Whether a pattern matches by the letters, whatever their case and compatibility form."""
    return fnmatchcase(folded(text), folded(pattern))
