"""What a version is made of: its flavours, and the packages that it asks for."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from reconciler.core.gate import CANDIDATE, Entrance, FactKey, Facts, Judgement, failed, passed, unknown
from reconciler.core.text import amount, plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, GateKind, Key, Surroundings

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PYFUNC = "python_function"
_MOST = 5


@dataclass(frozen=True, slots=True)
class Flavors:
    """
    Every flavour matches one of the patterns. `python_function` comes with nearly all of them and is not looked at; a
    model that has no other is code of its own, and must be allowed as such.
    """

    allowed: Annotated[
        tuple[str, ...],
        Key("The allowed flavors: names or patterns.", examples=(["sklearn", "xgboost"],), name="allow"),
    ]

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, version = facts[CANDIDATE], f"v{entrance.candidate}"
        why = candidate.why_missing("version", "flavors")
        if why or not candidate.flavors:
            return unknown(f"the flavors of {version} are not known: {plain(why or 'none are named')}")
        found = sorted(candidate.flavors.keys() - {PYFUNC}) or [PYFUNC]
        wrong = [flavor for flavor in found if not any(fnmatchcase(flavor, p) for p in self.allowed)]
        if wrong:
            allowed = plain(", ".join(self.allowed)) or "nothing"
            return failed(f"{version} uses {_flavors(wrong)}; allowed: {allowed}")
        return passed(f"{version} uses {_flavors(found)}")


@dataclass(frozen=True, slots=True)
class Requirements:
    """
    What `requirements.txt` asks for: each package pinned, with `==` or as an address with a hash or a commit, and none
    by a forbidden name. Names may be patterns and are compared as PEP 503 has it: `Foo_Bar` is `foo-bar`.
    """

    pinned: Annotated[bool, Key("Require that each is pinned to one version.", examples=(True,))] = True
    forbidden: Annotated[
        tuple[str, ...], Key("Forbidden packages: names or patterns.", examples=(["torch"],), name="forbid")
    ] = ()

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if not self.pinned and not self.forbidden:
            yield Fault(GateCode.ASKS_NOTHING, " requires nothing.", "Add `forbid`, or `pinned: true`.")

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, version = facts[CANDIDATE], f"v{entrance.candidate}"
        why = candidate.why_missing("version", "requirements")
        if why or candidate.requirements is None:
            return unknown(f"the requirements of {version} are not known: {plain(why or 'it was not read')}")
        asked = [line for line in candidate.requirements if line.strip() and not _asks_for_nothing(line)]
        faults: list[str] = []
        if forbidden := [line for line in asked if self._forbids(line)]:
            faults.append(f"{version} requires {_listed(forbidden)}, which the policy forbids")
        if self.pinned and (loose := [line for line in asked if not _is_pinned(line)]):
            faults.append(f"{version} requires {_listed(loose)}, not pinned to one version")
        if faults:
            return failed("; ".join(faults))
        if self.forbidden and (nameless := [line for line in asked if not _name(line)]):
            return unknown(f"it is not known which packages {_listed(nameless)} stands for")
        count = amount(len(asked), "package") if asked else "no packages"
        return passed(f"{version} requires {count}{', all pinned' if self.pinned and asked else ''}")

    def _forbids(self, line: str) -> bool:
        name = _name(line)
        return bool(name) and any(
            fnmatchcase(name, re.sub(r"[-_.]+", "-", pattern).lower()) for pattern in self.forbidden
        )


# Where packages come from, and how they are installed; `-r` and `-e` ask for some, and are not among these.
_OPTIONS = frozenset(
    {
        *("-i", "-f", "-c", "--index-url", "--extra-index-url", "--no-index", "--find-links", "--constraint"),
        *("--trusted-host", "--pre", "--prefer-binary", "--no-binary", "--only-binary", "--require-hashes"),
    }
)
_ADDRESS = re.compile(r"\s*(?:[a-z]+\+)?(?:https?|ssh|git|file)://[^\s;]+", re.ASCII)
_COMMIT = re.compile(r"git\+[^#]+@(?:[0-9a-f]{40}|[0-9a-f]{64})(?:#.*)?", re.ASCII)
_HASHED = re.compile(
    r"[a-z]+://[^#]+#(?:.*&)?sha(?:256=[0-9a-f]{64}|384=[0-9a-f]{96}|512=[0-9a-f]{128})(?:&.*)?", re.ASCII
)


def _asks_for_nothing(line: str) -> bool:
    """Whether a line has options alone that install nothing; quotes might hide others."""
    words = line.split()
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    return words[0].startswith("-") and options <= _OPTIONS and not set("\"'\\") & set(line)


def _requirement(line: str) -> "Requirement | None":
    """What a line asks for, without the hashes of its files; None where it does not name a package (PEP 508)."""
    # Here: every command that reads a policy imports the gates, and this takes as long as all of the others.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(re.split(r"\s--hash=", line, maxsplit=1)[0])
    except InvalidRequirement:
        return None


def _name(line: str) -> str:
    """The normal name of the package that a line asks for; empty where the line does not tell."""
    from packaging.utils import canonicalize_name

    asked = _requirement(line)
    return "" if asked is None else canonicalize_name(asked.name)


def _is_pinned(line: str) -> bool:
    asked = _requirement(line)
    if asked is None:
        return _is_fixed(line)
    if asked.url is not None:
        return _is_fixed(asked.url)
    exact = [part for part in asked.specifier if part.operator in {"==", "==="} and "*" not in part.version]
    return len(exact) == len(asked.specifier) == 1


def _is_fixed(text: str) -> bool:
    """Whether it is an address whose content cannot change: a commit of git, or a file with a hash."""
    address = _ADDRESS.match(text)
    return address is not None and any(fixed.fullmatch(address[0].strip()) for fixed in (_COMMIT, _HASHED))


def _listed(items: list[str]) -> str:
    told = [plain(item, 80) for item in items[:_MOST]]
    return ", ".join(told) + (f" and {len(items) - _MOST} more" if len(items) > _MOST else "")


def _flavors(names: list[str]) -> str:
    return f"{'flavor' if len(names) == 1 else 'flavors'} {_listed(names)}"


FLAVORS = GateKind(
    "flavors",
    Flavors,
    asks="have only these flavors: names or patterns",
    example={"allow": ["sklearn", "xgboost"]},
)
REQUIREMENTS = GateKind(
    "requirements",
    Requirements,
    asks="have pinned requirements, and none of these packages: names or patterns",
    example={"pinned": True, "forbid": ["torch"]},
)
