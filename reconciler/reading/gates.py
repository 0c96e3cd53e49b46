"""
Gates as people write them, in a policy or in a manifest → Guards. Knows no single gate: what may be written is what the
one that makes a gate says of its keys, for those of the catalogue and for those of other packages alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import AfterValidator, Field, create_model

from reconciler.core.approval import OWNERS
from reconciler.core.gate import Gate, Guard, Quorum
from reconciler.core.limits import GATES
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import Fault, Problem
from reconciler.gates.approvals import MAX_APPROVALS, quorum_faults
from reconciler.gates.catalogue import CATALOGUE
from reconciler.gates.parameters import (
    Between,
    GateCode,
    GateFactory,
    GateKind,
    Key,
    Parameter,
    Spelling,
    Surroundings,
    Words,
    given_to,
    keys_of,
    unwrapped,
)
from reconciler.reading.located import Kind, YamlList, YamlMap, YamlScalar, YamlValue
from reconciler.reading.spelling import (
    LISTED,
    MAPPING,
    SEVERAL,
    Boolean,
    Duration,
    JudgedLater,
    Line,
    Name,
    Number,
    Prose,
    Reader,
    SlotWord,
    Spec,
    Spelled,
    SpellingCode,
    TagPatterns,
    Where,
    mapping,
    number,
    number_between,
    whole,
    word,
)

_MOST = 2**31 - 1


def _no_plugins() -> Mapping[str, Callable[[], GateFactory]]:
    return {}


@dataclass(frozen=True, slots=True)
class GateBuilder(Surroundings):
    """
    What gates are made with that their entries do not say. `plugins` are looked for when a file first `uses` one, and
    one is loaded when a file uses it, so that a broken one is blamed on nobody else.
    """

    plugins: Callable[[], Mapping[str, Callable[[], GateFactory]]] = _no_plugins
    catalogue: Mapping[str, GateKind] = field(default_factory=lambda: CATALOGUE)


def json_value(value: YamlValue) -> object:
    """A value as other packages take it."""
    match value:
        case YamlMap():
            return {key: json_value(item) for key, item in value.items()}
        case YamlList():
            return [json_value(item) for item in value]
        case YamlScalar(kind=Kind.NULL):
            return None
        case YamlScalar(kind=Kind.BOOLEAN):
            return value.text.lower() == "true"
        case YamlScalar(kind=Kind.INTEGER) if len(value.text) < 20:
            return int(value.text)
        case YamlScalar(kind=Kind.INTEGER | Kind.NUMBER):
            return number(value)
        case YamlScalar():
            return value.text


def _parameters(value: YamlValue) -> dict[str, object]:
    return {key: json_value(item) for key, item in mapping(value).items()}


def _annotated(kind: Any, *marks: object) -> Any:
    """`Annotated` of values that are only known now."""
    return cast(Any, Annotated)[kind, *marks]


def _words(values: Mapping[str, object]) -> Any:
    return _annotated(Any, Spelled(partial(word, words=values), {"enum": list(values)}))


def _between(base: Any, least: float, most: float | None) -> Any:
    bounds: dict[str, object] = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    if base is int:
        read = partial(whole, least=int(least), most=_MOST if most is None else int(most))
        return _annotated(int, Spelled(read, {"type": "integer", **bounds}))
    return _annotated(float, Spelled(partial(number_between, least=least, most=most), {"type": "number", **bounds}))


_SPELLINGS: Mapping[Any, Any] = {
    Spelling.NAME: Name,
    Spelling.PROSE: Prose,
    Spelling.SLOT: SlotWord,
    Spelling.DURATION: Duration,
    str: Line,
    bool: Boolean,
    float: Number,
    int: _between(int, -_MOST, _MOST),
    Mapping[str, str]: TagPatterns,
}


def _spelled(annotation: Any) -> Any:
    """What pydantic reads a parameter's type by. Raises ValueError where nothing can be written for it."""
    base, marks = unwrapped(annotation)
    origin, inner = get_origin(base), get_args(base)
    match next((mark for mark in marks if isinstance(mark, Spelling | Words | Between)), None):
        case Spelling() as spelling:
            return _SPELLINGS[spelling]
        case Words(pairs):
            return _words(dict(pairs))
        case Between(least, most):
            return _between(base, least, most)
        case None:
            pass
    if base in _SPELLINGS:
        return _SPELLINGS[base]
    if origin in {Union, UnionType}:
        return _spelled(next(kind for kind in inner if kind is not NoneType))
    if origin is Literal:
        return _words({text: text for text in inner})
    if isinstance(base, type) and issubclass(base, Enum):
        return _words({str(member.value): member for member in base})
    if origin in {tuple, frozenset}:
        # One mapping is not short for a list of them: it reads as if there were no list.
        shape = LISTED if is_dataclass(unwrapped(inner[0])[0]) else SEVERAL
        return _annotated(cast(Any, tuple)[_spelled(inner[0]), ...], shape, AfterValidator(origin))
    if isinstance(base, type) and is_dataclass(base):
        return _annotated(spec_of(base), MAPPING, AfterValidator(partial(_made, base)))
    raise ValueError(f"nothing can be written for a parameter of the type {base}")


@cache
def spec_of(make: GateFactory, name: str = "", description: str = "", least: int = 0) -> type[Spec]:
    """How the keys of what makes a gate, or a part of one, are spelled; `least` of them must be written."""
    fields: dict[str, Any] = {key.name: _field(key) for key in keys_of(make)}
    return create_model(
        f"{name or make.__name__}Spec",
        __base__=Spec,
        __doc__=description or (make.__doc__ or "").strip(),
        __cls_kwargs__={"json_schema_extra": {"minProperties": least}} if least else None,
        **fields,
    )


def _field(key: Parameter) -> tuple[Any, Any]:
    said, kind = cast(Key, key.declared), _spelled(key.type)
    field: Any = Field(
        ... if key.required else None, alias=key.key, description=said.description, examples=list(said.examples)
    )
    return kind if key.required else kind | None, field


def _made(make: Callable[..., Any], spec: Spec, **given: object) -> Any:
    """Of what was written, and nothing else: what makes the gate knows its own defaults."""
    return make(**{name: getattr(spec, name) for name in spec.model_fields_set}, **given)


_Count = Annotated[
    int,
    Spelled(partial(whole, least=1, most=MAX_APPROVALS), {"type": "integer", "minimum": 1, "maximum": MAX_APPROVALS}),
]


class QuorumSpec(Spec):
    """Who may let a version in against a gate's no."""

    approvals: _Count = Field(description="How many.", examples=[2])
    of: Name = Field(OWNERS, description="A group of the policy, or `owners`.", examples=["risk-committee"])


class EntrySpec(Spec):
    """What an entry may have beside the kinds of the catalogue."""

    uses: Line | None = Field(
        None,
        description="A gate of another package: its name in the entry point group `reconciler.gates`.",
        examples=["acme-gate"],
    )
    with_: Annotated[dict[str, Any], Spelled(_parameters, {"type": "object"})] | None = Field(
        None, alias="with", description="The parameters of that gate.", examples=[{"limit": 3}]
    )
    name: Name | None = Field(
        None,
        description="The name in reports and overrides. Default: its kind, with `#2` for the second before one slot.",
        examples=["three days in Staging"],
    )


class PolicyEntrySpec(EntrySpec):
    """What an entry of a policy may have besides."""

    waive_on_rollback: Boolean | None = Field(
        None,
        alias="waive-on-rollback",
        description="Whether a rollback skips this gate (`true`) or must pass all of it (`false`). Default: "
        "what the gate requires of the path or the moment is waived; the rest must pass.",
        examples=[False],
    )
    override: Annotated[QuorumSpec, MAPPING] | None = Field(
        None,
        description="Who may approve an override of this gate that a manifest requests. Default: nobody.",
        examples=[{"approvals": 2, "of": "risk-committee"}],
    )


@cache
def _kind_spec(kind: GateKind) -> type[Spec]:
    return spec_of(kind.factory, kind.name.title(), kind.asked, kind.least)


@cache
def _entry_spec(name: str, title: str, base: type[EntrySpec], description: str, kinds: tuple[GateKind, ...]) -> Any:
    fields: dict[str, Any] = {
        kind.name: (
            _annotated(Any, JudgedLater(mapping, partial(_kind_spec, kind))) | None,
            Field(None, description=kind.asked, examples=[kind.example]),
        )
        for kind in kinds
    }
    one_kind = {
        "oneOf": [{"required": [kind]} for kind in (*fields, "uses")],
        "dependencies": {"with": ["uses"]},
    }
    return create_model(
        name,
        # The fields of the last base come first.
        __base__=(base, create_model("Kinds", __base__=Spec, **fields)),
        __doc__=description,
        __cls_kwargs__={"title": title, "json_schema_extra": one_kind},
    )


def manifest_gate_spec(catalogue: Mapping[str, GateKind] = CATALOGUE) -> type[EntrySpec]:
    """How a gate of a manifest is spelled."""
    description = "One gate: exactly one kind, with its parameters, and perhaps a name."
    return _entry_spec("GateSpec", "Gate", EntrySpec, description, tuple(catalogue.values()))


def policy_gate_spec(catalogue: Mapping[str, GateKind] = CATALOGUE) -> type[PolicyEntrySpec]:
    """How a gate of a policy is spelled."""
    description = "One gate: exactly one kind, with its parameters, perhaps a name, and who may override it."
    return _entry_spec("PolicyGateSpec", "Gate of a policy", PolicyEntrySpec, description, tuple(catalogue.values()))


def parse_gates(entries: Reader, build: GateBuilder) -> tuple[tuple[Guard, ...], tuple[Problem, ...]]:
    """The gates of a manifest before one slot, which can tighten and never loosen, or what is wrong with them."""
    guards, problems = read_gates(entries, build, manifest_gate_spec(build.catalogue))
    [named], repeated = with_names([guards])
    return named, (*problems, *repeated)


def read_gates(entries: Reader, build: GateBuilder, spec: type[EntrySpec]) -> tuple[tuple[Guard, ...], list[Problem]]:
    """The gates of a list, without a name unless somebody gave them one, and everything wrong with the rest."""
    guards: list[Guard] = []
    problems: list[Problem] = []
    count = len(entries.root) if isinstance(entries.root, YamlList) else 0
    if count > GATES:
        message = f" has {count} gates; at most {GATES} are allowed."
        problems.append(entries.problem((GATES,), GateCode.TOO_MANY_GATES, message, "Remove the others."))
    for i in range(min(count, GATES)):
        guard, wrong = _read_gate(entries.below(i), build, spec)
        problems.extend(wrong)
        if guard is not None:
            guards.append(guard)
    return tuple(guards), problems


def _read_gate(reader: Reader, build: GateBuilder, spec: type[EntrySpec]) -> tuple[Guard | None, list[Problem]]:
    entry, problems = reader.read(spec)
    problems = [_explained(problem, reader, spec) for problem in problems]
    kinds = [*build.catalogue, "uses"]
    written = [kind for kind in kinds if isinstance(reader.root, YamlMap) and kind in reader.root]
    if entry is not None:
        problems.extend(_not_one(reader, kinds, written))
    gate: Gate | None = None
    if written == ["uses"] and entry is not None:
        gate, wrong = _of_package(str(entry.uses), reader, build)
        problems.extend(wrong)
    elif len(written) == 1 and written[0] in build.catalogue:
        kind = build.catalogue[written[0]]
        gate, wrong = _of_keys(kind.factory, _kind_spec(kind), reader.below(kind.name), build)
        problems.extend(wrong)
    if not isinstance(entry, PolicyEntrySpec):
        waive, override = None, None
    else:
        waive, override = (
            entry.waive_on_rollback,
            entry.override and Quorum(entry.override.approvals, entry.override.of),
        )
    if override is not None:
        below = reader.below("override")
        problems.extend(below.blame(fault) for fault in quorum_faults(override, build.groups))
    if entry is None or gate is None or problems:
        return None, problems
    kind = entry.uses or written[0]
    return Guard(entry.name or "", gate, reader.place, waive, override, kind=kind), []


def _not_one(reader: Reader, kinds: Sequence[str], written: Sequence[str]) -> Iterator[Problem]:
    if not written:
        message = f" names no gate; expected one of {', '.join(kinds)}."
        yield reader.problem((), GateCode.MISSING_GATE, message, "Add one.")
    elif len(written) > 1:
        message = f" is {' and '.join(f'`{kind}`' for kind in written)} at once."
        yield reader.problem((), GateCode.SEVERAL_GATES, message, "Begin each gate with a `- ` of its own.")
    elif isinstance(reader.root, YamlMap) and "with" in reader.root and written != ["uses"]:
        message = " has `with`, which is for gates of other packages."
        yield reader.problem((), SpellingCode.UNKNOWN_KEY, message, "Write the parameters below the gate's kind.")


def _explained(problem: Problem, reader: Reader, spec: type[EntrySpec]) -> Problem:
    loosening = PolicyEntrySpec.__annotations__.keys()
    if (
        issubclass(spec, PolicyEntrySpec)
        or problem.code != SpellingCode.UNKNOWN_KEY
        or not isinstance(reader.root, YamlMap)
    ):
        return problem
    if problem.location not in {reader.root.key_places.get(key.replace("_", "-")) for key in loosening}:
        return problem
    why = f"`{reader.called}` is not allowed in a manifest, which may tighten gates but never loosen them."
    return Problem(problem.location, problem.code, why, "Let the policy say who may override this gate.")


def _of_keys(
    make: GateFactory, spec: type[Spec], reader: Reader, build: GateBuilder
) -> tuple[Gate | None, list[Problem]]:
    """The gate whose keys are here."""
    if not isinstance(reader.root, YamlMap):
        return None, []
    read, problems = reader.read(spec)
    if read is None:
        return None, problems
    gate = _made(make, read, **given_to(make, build))
    faults: Callable[[Surroundings], Iterable[Fault]] | None = getattr(gate, "faults", None)
    return gate, [reader.blame(fault) for fault in (faults(build) if faults else ())]


def _of_package(uses: str, reader: Reader, build: GateBuilder) -> tuple[Gate | None, list[Problem]]:
    """The gate of another package: by its keys, if it says any; else it is given what is below `with`, as it stands."""
    name, root = plain(uses, 80), cast(YamlMap, reader.root)

    def refused(where: Where, message: str, fix: str) -> tuple[None, list[Problem]]:
        return None, [reader.problem(where, GateCode.REFUSED_GATE, message, fix)]

    try:
        load = build.plugins().get(uses)
        if load is None:
            installed = ", ".join(sorted(build.plugins())) or "none"
            message = f" is `{name}`, which is not an installed gate; installed: {installed}."
            fix = did_you_mean(uses, build.plugins(), "Install the package that has it, or name one of these.")
            return None, [reader.problem(("uses",), GateCode.UNKNOWN_GATE, message, fix)]
        make, problems = load(), list[Problem]()
        if keys_of(make):
            missing = replace(reader, root=YamlMap(reader.at("uses")), called=f"{reader.called}.with")
            below = reader.below("with") if "with" in root else missing
            gate, problems = _of_keys(make, spec_of(make, name), below, build)
            problems = [_told_by_package(problem) for problem in problems]
        else:
            gate = make(_parameters(root["with"]) if "with" in root else {})
    except ValueError as error:
        why = plain(str(error)).rstrip(".") or "it gives no reason"
        return refused(("with",) if "with" in root else ("uses",), f" is refused by {name}: {why}.", "Correct it.")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # somebody else's code, and a file that must give problems
        why = plain(f"{type(error).__name__}: {error}").rstrip(".")
        return refused(("uses",), f": {name} failed on it: {why}.", "Report it to its authors, or remove the gate.")
    if gate is not None and not (callable(getattr(gate, "needs", None)) and callable(getattr(gate, "judge", None))):
        message = f": {name} returned {plain(type(gate).__name__, 80)}."
        return refused(("uses",), message, "Report it to its authors, or remove the gate.")
    return gate, problems


def _told_by_package(problem: Problem) -> Problem:
    """Codes are ours, and what a package says is one line."""
    code = problem.code if problem.code in {*GateCode, *SpellingCode} else GateCode.REFUSED_GATE
    return replace(problem, code=code, message=plain(problem.message), fix=plain(problem.fix))


def with_names(
    groups: Sequence[Iterable[Guard]], meet: Callable[[int, int], bool] = lambda _first, _second: True
) -> tuple[list[tuple[Guard, ...]], list[Problem]]:
    """
    Every gate with a name of its own among those that it may stand with before one slot: those of its group, and of the
    groups that it can `meet`. The second `soak` is `soak#2`, unless somebody named it.
    """
    numbered = [(i, guard) for i, group in enumerate(groups) for guard in group]
    taken: dict[str, list[tuple[int, Guard]]] = {}
    names: dict[int, str] = {}
    problems: list[Problem] = []

    def first(name: str, i: int) -> Guard | None:
        return next((guard for j, guard in taken.get(name.casefold(), ()) if i == j or meet(i, j)), None)

    def take(n: int, name: str, i: int, guard: Guard) -> None:
        names[n] = name
        taken.setdefault(name.casefold(), []).append((i, guard))

    for n, (i, guard) in enumerate(numbered):
        if guard.name:
            if (other := first(guard.name, i)) is not None:
                message = f"The gate `{guard.name}` may guard the same slot as another gate of that name at {other.at}."
                problems.append(
                    Problem(guard.at, GateCode.REPEATED_GATE_NAME, message, "Give one of them another name.")
                )
            take(n, guard.name, i, guard)
    for n, (i, guard) in enumerate(numbered):
        if not guard.name:
            ordinals = (guard.kind if nth == 1 else f"{guard.kind}#{nth}" for nth in range(1, len(numbered) + 2))
            take(n, next(name for name in ordinals if first(name, i) is None), i, guard)
    named: list[list[Guard]] = [[] for _ in groups]
    for n, (i, guard) in enumerate(numbered):
        named[i].append(replace(guard, name=names[n]))
    return [tuple(group) for group in named], problems
