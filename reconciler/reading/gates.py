"""Gates as people write them, in a policy or in a manifest → Guards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from reconciler.core.approval import OWNERS
from reconciler.core.gate import Gate, Guard, Quorum
from reconciler.core.limits import GATES, WINDOWS
from reconciler.core.names import MAX_DESCRIPTION
from reconciler.core.policy import LOADABLE
from reconciler.core.signature import Compatibility
from reconciler.core.text import plain
from reconciler.errors import Location, Problem
from reconciler.gates.age import Age
from reconciler.gates.approvals import Approvals
from reconciler.gates.artifact import Artifact
from reconciler.gates.cel import Cel, nobody_evaluates
from reconciler.gates.check import CheckGate
from reconciler.gates.description import Description
from reconciler.gates.lineage import Lineage
from reconciler.gates.metric import Metric
from reconciler.gates.packages import Flavors, Requirements
from reconciler.gates.path import Path
from reconciler.gates.signature import SignatureGate
from reconciler.gates.soak import Soak
from reconciler.gates.tags import Tags
from reconciler.reading.located import Kind, YamlList, YamlMap, YamlScalar, YamlValue, described
from reconciler.reading.spelling import (
    LINE_JSON,
    Boolean,
    Duration,
    JsonShape,
    Line,
    Lines,
    Name,
    NotNegative,
    Number,
    Prose,
    Reader,
    Spec,
    SpellingCode,
    StageName,
    Stages,
    Where,
    fault,
    filled,
    json_of_list,
    json_of_mapping,
    json_of_several,
    line,
    listed,
    mapping,
    number,
    several,
    text,
    whole,
)

GateFactory: TypeAlias = Callable[[Mapping[str, object]], Gate]
"""Makes a gate of its parameters, as they stand below `with`. Raises ValueError where they are wrong."""

MAX_APPROVALS = 100


class GateCode(StrEnum):
    """What can be wrong with a gate."""

    MISSING_GATE = "missing-gate"
    SEVERAL_GATES = "several-gates"
    REPEATED_GATE_NAME = "repeated-gate-name"
    ASKS_NOTHING = "asks-nothing"
    NEVER_PASSES = "never-passes"
    INVALID_CONDITION = "invalid-condition"
    INVALID_WINDOW = "invalid-window"
    UNKNOWN_CHECK = "unknown-check"
    UNKNOWN_GATE = "unknown-gate"
    UNKNOWN_GROUP = "unknown-group"
    REFUSED_GATE = "refused-gate"
    TOO_MANY_GATES = "too-many-gates"
    TOO_MANY_WINDOWS = "too-many-windows"


def _no_fault(_: str) -> str | None:
    return None


def _no_plugins() -> Mapping[str, GateFactory]:
    return {}


@dataclass(frozen=True, slots=True)
class GateBuilder:
    """
    What gates are made with that their entries do not say. `compile_fault` says why a condition is none; `plugins` are
    looked for when a file first `uses` one. `groups` and the names of `checks` are the policy's; None where no policy
    is at hand: then it is not asked whether it has the ones that are named.
    """

    evaluate: Callable[[str, Mapping[str, object]], bool | str] = nobody_evaluates
    compile_fault: Callable[[str], str | None] = _no_fault
    plugins: Callable[[], Mapping[str, GateFactory]] = _no_plugins
    groups: Mapping[str, tuple[str, ...]] | None = None
    checks: frozenset[str] | None = None


def _word(value: YamlValue, words: Iterable[str]) -> str:
    written, known = text(value), tuple(words)
    if written in known:
        return written
    said = f" is {described(value)}, and one of {', '.join(known)} was expected."
    raise fault(SpellingCode.WRONG_TYPE, said, "Write one of these.")


def label(value: YamlValue) -> str:
    """The value of a tag, or a pattern of them: a text, or a number that has no other spelling."""
    if isinstance(value, YamlScalar) and value.kind is Kind.INTEGER and len(value.text) < 100:
        return value.text
    return line(value)


def tag_key(key: str) -> str:
    if not key.strip() or len(key) > 250 or not key.isprintable():
        raise fault(SpellingCode.INVALID_TEXT, ": this can be no tag's key.", "Write the key of a tag.", of_key=True)
    return key


def json_value(value: YamlValue) -> object:
    """A value as other packages take it."""
    match value:
        case YamlMap():
            return {key: json_value(one) for key, one in value.items()}
        case YamlList():
            return [json_value(one) for one in value]
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
    return {key: json_value(one) for key, one in mapping(value).items()}


_COUNT_JSON = {"type": "integer", "minimum": 1, "maximum": MAX_APPROVALS}
_TAG_KEY_JSON = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]{1,250}$"}
_MODES = ("deny", "allow")
_OWNED = ("version", "model")

_Count = Annotated[int, PlainValidator(partial(whole, least=1, most=MAX_APPROVALS)), WithJsonSchema(_COUNT_JSON)]
_Length = Annotated[
    int,
    PlainValidator(partial(whole, least=1, most=MAX_DESCRIPTION)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_DESCRIPTION}),
]
_Compatible = Annotated[
    str,
    PlainValidator(partial(_word, words=[one.value for one in Compatibility])),
    WithJsonSchema({"enum": [one.value for one in Compatibility]}),
]
_Compatibles = Annotated[tuple[_Compatible, ...], BeforeValidator(several), JsonShape(json_of_several)]
_Label = Annotated[str, PlainValidator(label), WithJsonSchema({"anyOf": [LINE_JSON, {"type": "integer"}]})]
Labels = Annotated[
    dict[Annotated[str, BeforeValidator(tag_key)], _Label],
    BeforeValidator(filled),
    JsonShape(partial(json_of_mapping, keys=_TAG_KEY_JSON, least=1)),
]


class PathSpec(Spec):
    """The stages that a version must come from."""

    from_: Stages = Field(alias="from", description="The stage, or several.", examples=["Staging", ["None", "Staging"]])


class SoakSpec(Spec):
    """How long a version must have been in a stage without a break, and be in it still."""

    stage: StageName = Field(description="The stage.", examples=["Staging"])
    for_: Duration = Field(alias="for", description="How long.", examples=["3d", "12h"])


class MetricSpec(Spec):
    """A figure of the candidate's run, on its own and beside the incumbent's. With no bound: that it is known."""

    name: Line = Field(description="The metric.", examples=["f1"])
    threshold: Number | None = Field(None, description="The candidate's least value.", examples=[0.8])
    min_absolute_change: NotNegative | None = Field(
        None, alias="min-absolute-change", description="How much better than the incumbent it is.", examples=[0.01]
    )
    min_relative_change: NotNegative | None = Field(
        None,
        alias="min-relative-change",
        description="How much better than the incumbent it is, as a part of the incumbent's value.",
        examples=[0.02],
    )
    greater_is_better: Boolean = Field(
        True, alias="greater-is-better", description="False where less is better.", examples=[False]
    )
    dataset: Line | None = Field(None, description="The name or digest of the dataset.", examples=["holdout"])


class TagsSpec(Spec):
    """Tags that must be there, and their values or patterns of them."""

    require: Labels = Field(description="Key → value; `*` is any.", examples=[{"validated-by": "*"}])
    of: Annotated[str, PlainValidator(partial(_word, words=_OWNED)), WithJsonSchema({"enum": list(_OWNED)})] = Field(
        "version", description="Whose tags: the version's or the registered model's.", examples=["model"]
    )


class DescriptionSpec(Spec):
    """What the version's description must look like."""

    min_length: _Length = Field(1, alias="min-length", description="Its least length.", examples=[20])
    pattern: Line | None = Field(None, description="What the whole must match.", examples=["*A/B*"])


class SignatureSpec(Spec):
    """How the version's signature may stand to the incumbent's."""

    allow: _Compatibles = Field(
        ("identical", "compatible"), description="What is let in.", examples=[["identical", "compatible"], "identical"]
    )


class LineageSpec(Spec):
    """Where the version must come from: a run that is still there."""

    finished: Boolean = Field(True, description="That the run ended well.", examples=[True])
    commit: Boolean = Field(False, description="That the run names a git commit.", examples=[True])
    branch: Line | None = Field(None, description="The branch that the commit must be in.", examples=["main"])


class AgeSpec(Spec):
    """How old the version may be, since it was registered."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    min: Duration | None = Field(None, description="The least.", examples=["1h"])
    max: Duration | None = Field(None, description="The most.", examples=["90d"])

    @model_validator(mode="after")
    def _leaves_something(self) -> "AgeSpec":
        if self.min is None and self.max is None:
            raise fault(GateCode.ASKS_NOTHING, " has no bound.", "Add `min`, `max` or both.")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise fault(GateCode.NEVER_PASSES, " asks for more than it allows.", "Make `min` less than `max`.")
        return self


class FlavorsSpec(Spec):
    """Which flavours the model may have."""

    allow: Lines = Field(description="Their names, or patterns.", examples=[["sklearn", "xgboost"]])


class RequirementsSpec(Spec):
    """What the model's requirements may be."""

    pinned: Boolean = Field(True, description="That each is pinned to one version.", examples=[True])
    forbid: Lines | None = Field(None, description="Packages that it may not need, or patterns.", examples=[["torch"]])

    @model_validator(mode="after")
    def _asks(self) -> "RequirementsSpec":
        if not self.pinned and self.forbid is None:
            raise fault(GateCode.ASKS_NOTHING, " asks nothing.", "Add `forbid`, or `pinned: true`.")
        return self


class ArtifactSpec(Spec):
    """That the model's files are there."""

    loadable: Boolean = Field(
        False, description="That a signed record of the check `loadable` says they were loaded.", examples=[True]
    )
    pinned: Boolean = Field(
        False, description="That they are the ones that were recorded when the version first entered.", examples=[True]
    )


class WindowSpec(Spec):
    """A stretch of time that comes again and again."""

    start: Line = Field(
        description="When it begins: a cron expression of minute, hour, day, month and day of the week.",
        examples=["0 18 * * 5"],
    )
    duration: Duration = Field(description="How long it lasts.", examples=["60h"])
    timezone: Line = Field("UTC", description="Whose clocks are meant.", examples=["Europe/Berlin"])


class FreezeSpec(Spec):
    """When nothing may change, or the only times when something may."""

    windows: Annotated[
        tuple[Annotated[WindowSpec, BeforeValidator(mapping)], ...], BeforeValidator(listed), JsonShape(json_of_list)
    ] = Field(
        description="The windows.",
        examples=[[{"start": "0 18 * * 5", "duration": "60h", "timezone": "Europe/Berlin"}]],
    )
    mode: Annotated[str, PlainValidator(partial(_word, words=_MODES)), WithJsonSchema({"enum": list(_MODES)})] = Field(
        "deny", description="`deny`: nothing is let in inside of them; `allow`: nothing outside.", examples=["allow"]
    )


class ApprovalsSpec(Spec):
    """How many people must have said yes to exactly what is to be applied, besides the authors."""

    count: _Count = Field(1, description="How many.", examples=[2])
    of: Name = Field(OWNERS, description="Out of a group of the policy, or `owners`.", examples=["risk-committee"])


class CheckSpec(Spec):
    """A check that must have been run on exactly these files, and passed."""

    name: Name = Field(description="The check, as the policy calls it.", examples=["bias"])
    max_age: Duration | None = Field(None, alias="max-age", description="The oldest that counts.", examples=["14d"])
    signed: Boolean = Field(False, description="That its record is signed by a key we trust.", examples=[True])


class CelSpec(Spec):
    """A condition of your own, in the Common Expression Language."""

    condition: Prose = Field(description="What must be true.", examples=["candidate.metrics.f1 > incumbent.metrics.f1"])
    message: Prose | None = Field(None, description="What to say where it is not.", examples=["It is not better."])


class QuorumSpec(Spec):
    """Who may let a version in against a gate's no."""

    approvals: _Count = Field(description="How many.", examples=[2])
    of: Name = Field(OWNERS, description="Out of a group of the policy, or `owners`.", examples=["risk-committee"])


KINDS: tuple[str, ...] = (
    "path",
    "soak",
    "metric",
    "tags",
    "description",
    "signature",
    "lineage",
    "age",
    "flavors",
    "requirements",
    "artifact",
    "freeze",
    "approvals",
    "check",
    "cel",
    "uses",
)


class GateSpec(Spec):
    """One gate: exactly one kind, with its parameters, and perhaps a name."""

    model_config = ConfigDict(
        title="Gate",
        json_schema_extra={
            "oneOf": [{"required": [kind]} for kind in KINDS],
            "dependencies": {"with": ["uses"]},
        },
    )

    path: Annotated[PathSpec, BeforeValidator(mapping)] | None = Field(
        None, description="From which stage a version comes.", examples=[{"from": "Staging"}]
    )
    soak: Annotated[SoakSpec, BeforeValidator(mapping)] | None = Field(
        None, description="How long it has been in a stage.", examples=[{"stage": "Staging", "for": "3d"}]
    )
    metric: Annotated[MetricSpec, BeforeValidator(mapping)] | None = Field(
        None, description="How good it is.", examples=[{"name": "f1", "threshold": 0.8}]
    )
    tags: Annotated[TagsSpec, BeforeValidator(mapping)] | None = Field(
        None, description="How it is tagged.", examples=[{"require": {"validated-by": "*"}}]
    )
    description: Annotated[DescriptionSpec, BeforeValidator(mapping)] | None = Field(
        None, description="How it is described.", examples=[{"min-length": 20}]
    )
    signature: Annotated[SignatureSpec, BeforeValidator(mapping)] | None = Field(
        None, description="Whether callers can go on calling.", examples=[{"allow": ["identical", "compatible"]}]
    )
    lineage: Annotated[LineageSpec, BeforeValidator(mapping)] | None = Field(
        None, description="What it was made from.", examples=[{"commit": True, "branch": "main"}]
    )
    age: Annotated[AgeSpec, BeforeValidator(mapping)] | None = Field(
        None, description="How old it is.", examples=[{"min": "1h", "max": "90d"}]
    )
    flavors: Annotated[FlavorsSpec, BeforeValidator(mapping)] | None = Field(
        None, description="What it is made with.", examples=[{"allow": ["sklearn", "xgboost"]}]
    )
    requirements: Annotated[RequirementsSpec, BeforeValidator(mapping)] | None = Field(
        None, description="What it needs to be installed.", examples=[{"pinned": True, "forbid": ["torch"]}]
    )
    artifact: Annotated[ArtifactSpec, BeforeValidator(mapping)] | None = Field(
        None, description="Whether it is there, was loaded, and is still the same.", examples=[{"loadable": True}]
    )
    freeze: Annotated[FreezeSpec, BeforeValidator(mapping)] | None = Field(
        None,
        description="When it may be let in.",
        examples=[{"windows": [{"start": "0 18 * * 5", "duration": "60h", "timezone": "Europe/Berlin"}]}],
    )
    approvals: Annotated[ApprovalsSpec, BeforeValidator(mapping)] | None = Field(
        None, description="Who said yes.", examples=[{"count": 2, "of": "owners"}]
    )
    check: Annotated[CheckSpec, BeforeValidator(mapping)] | None = Field(
        None, description="What a check found.", examples=[{"name": "bias", "max-age": "14d", "signed": True}]
    )
    cel: Annotated[CelSpec, BeforeValidator(mapping)] | None = Field(
        None,
        description="A condition of your own.",
        examples=[{"condition": "candidate.metrics.f1 > incumbent.metrics.f1", "message": "It is not better."}],
    )
    uses: Line | None = Field(
        None,
        description="A gate of another package: its name in the entry point group `reconciler.gates`.",
        examples=["acme-gate"],
    )
    with_: Annotated[dict[str, Any], PlainValidator(_parameters), WithJsonSchema({"type": "object"})] | None = Field(
        None, alias="with", description="The parameters of that gate.", examples=[{"limit": 3}]
    )
    name: Name | None = Field(
        None,
        description="What reports and overrides call it. Else its kind, with `#2` for the second before one slot.",
        examples=["three days in Staging"],
    )

    @model_validator(mode="after")
    def _is_one(self) -> "GateSpec":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not given:
            said = f" says no gate, and one of {', '.join(KINDS)} was expected."
            raise fault(GateCode.MISSING_GATE, said, "Add one.")
        if len(given) > 1:
            said = f" is {' and '.join(f'`{kind}`' for kind in given)} at once."
            raise fault(GateCode.SEVERAL_GATES, said, "Begin each gate with a `- ` of its own.")
        if self.with_ is not None and self.uses is None:
            said = " has `with`, which is for gates of other packages."
            raise fault(SpellingCode.UNKNOWN_KEY, said, "Write the parameters below the gate's kind.")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


class PolicyGateSpec(GateSpec):
    """One gate: exactly one kind, with its parameters, perhaps a name, and who may pass it all the same."""

    model_config = ConfigDict(title="Gate of a policy")

    waive_on_rollback: Boolean | None = Field(
        None,
        alias="waive-on-rollback",
        description="Whether a rollback passes it in any case (`true`), or must pass all of it (`false`). Without it, "
        "what the gate says of the way in or of the moment is waived, and the rest must pass.",
        examples=[False],
    )
    override: Annotated[QuorumSpec, BeforeValidator(mapping)] | None = Field(
        None,
        description="Whose approval lets a version in against this gate's no, once a manifest asks for it. Without it, "
        "nobody's does.",
        examples=[{"approvals": 2, "of": "risk-committee"}],
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A gate that was read, and has no name yet unless somebody gave it one."""

    gate: Gate
    at: Location
    kind: str
    name: str | None = None
    waive_on_rollback: bool | None = None
    override: Quorum | None = None

    def guard(self, name: str) -> Guard:
        return Guard(name, self.gate, self.at, self.waive_on_rollback, self.override)


def parse_gates(entries: Reader, build: GateBuilder) -> tuple[tuple[Guard, ...], tuple[Problem, ...]]:
    """The gates of a manifest before one slot, which can tighten and never loosen, or what is wrong with them."""
    read, problems = read_entries(entries, build, GateSpec)
    named, repeated = name_entries([read])
    return named[0], (*problems, *repeated)


def read_entries(entries: Reader, build: GateBuilder, spec: type[GateSpec]) -> tuple[tuple[Entry, ...], list[Problem]]:
    """The gates of a list, each judged by itself, and everything wrong with the rest."""
    found: list[Entry] = []
    problems: list[Problem] = []
    count = len(entries.root) if isinstance(entries.root, YamlList) else 0
    if count > GATES:
        said = f" has {count} gates; at most {GATES} are asked."
        problems.append(entries.problem((GATES,), GateCode.TOO_MANY_GATES, said, "Remove the others."))
    for i in range(min(count, GATES)):
        reader = entries.below(i)
        read, wrong = reader.read(spec)
        problems.extend(_explained(problem, reader, spec) for problem in wrong)
        if read is None:
            continue
        gate, wrong = _Maker(reader, build).make(read)
        problems.extend(wrong)
        if gate is not None and not wrong:
            found.append(gate)
    return tuple(found), problems


def _explained(problem: Problem, reader: Reader, spec: type[GateSpec]) -> Problem:
    if spec is PolicyGateSpec or problem.code != SpellingCode.UNKNOWN_KEY or not isinstance(reader.root, YamlMap):
        return problem
    loosening = {reader.root.key_places.get(key) for key in ("override", "waive-on-rollback")}
    if problem.location not in loosening:
        return problem
    why = f"`{reader.called}` is in a manifest, which may tighten the gates for its model, and never loosen them."
    return Problem(problem.location, problem.code, why, "Let the policy say who may pass this gate all the same.")


def name_entries(
    groups: Sequence[Iterable[Entry]], meet: Callable[[int, int], bool] = lambda _first, _second: True
) -> tuple[list[tuple[Guard, ...]], list[Problem]]:
    """
    Every gate with a name of its own among those that it may stand with before one slot: those of its group, and of the
    groups that it can `meet`. The second `soak` is `soak#2`, unless somebody named it.
    """
    numbered = [(i, entry) for i, group in enumerate(groups) for entry in group]
    taken: dict[str, list[tuple[int, Entry]]] = {}
    names: dict[int, str] = {}
    problems: list[Problem] = []

    def first(name: str, i: int) -> Entry | None:
        return next((one for j, one in taken.get(name.casefold(), ()) if i == j or meet(i, j)), None)

    def take(n: int, name: str, i: int, entry: Entry) -> None:
        names[n] = name
        taken.setdefault(name.casefold(), []).append((i, entry))

    for n, (i, entry) in enumerate(numbered):
        if entry.name is not None:
            if (other := first(entry.name, i)) is not None:
                said = f"The gate `{entry.name}` may stand before one slot with the one of that name at {other.at}."
                problems.append(Problem(entry.at, GateCode.REPEATED_GATE_NAME, said, "Give one of them another name."))
            take(n, entry.name, i, entry)
    for n, (i, entry) in enumerate(numbered):
        if entry.name is None:
            ordinals = (entry.kind if nth == 1 else f"{entry.kind}#{nth}" for nth in range(1, len(numbered) + 2))
            take(n, next(one for one in ordinals if first(one, i) is None), i, entry)
    guards: list[list[Guard]] = [[] for _ in groups]
    for n, (i, entry) in enumerate(numbered):
        guards[i].append(entry.guard(names[n]))
    return [tuple(group) for group in guards], problems


@dataclass(slots=True)
class _Maker:
    """Makes the gate of one entry, and finds what only can be found with more than the entry at hand."""

    reader: Reader
    build: GateBuilder
    problems: list[Problem] = field(default_factory=list[Problem])

    def make(self, spec: GateSpec) -> tuple[Entry | None, list[Problem]]:
        gate = self._gate(spec)
        waive, override = None, None
        if isinstance(spec, PolicyGateSpec):
            waive = spec.waive_on_rollback
            override = spec.override and self._quorum(("override",), spec.override.approvals, spec.override.of)
        if gate is None:
            return None, self.problems
        kind = spec.uses or spec.kind
        return Entry(gate, self.reader.place, kind, spec.name, waive, override), self.problems

    def _wrong(self, where: Where, code: StrEnum, said: str, fix: str) -> None:
        self.problems.append(self.reader.problem(where, code, said, fix))

    def _gate(self, spec: GateSpec) -> Gate | None:  # noqa: C901  # one line per kind
        if (path := spec.path) is not None:
            return Path(tuple(path.from_))
        if (soak := spec.soak) is not None:
            return Soak(soak.stage, soak.for_)
        if (metric := spec.metric) is not None:
            return Metric(
                metric.name,
                metric.threshold,
                metric.min_absolute_change,
                metric.min_relative_change,
                metric.greater_is_better,
                metric.dataset or "",
            )
        if (tags := spec.tags) is not None:
            return Tags(tags.require, tags.of)
        if (description := spec.description) is not None:
            return Description(description.min_length, description.pattern or "")
        if (signature := spec.signature) is not None:
            return SignatureGate(frozenset(Compatibility(one) for one in signature.allow))
        if (lineage := spec.lineage) is not None:
            return Lineage(lineage.finished, lineage.commit, lineage.branch or "")
        if (age := spec.age) is not None:
            return Age(age.min, age.max)
        if (flavors := spec.flavors) is not None:
            return Flavors(flavors.allow)
        if (requirements := spec.requirements) is not None:
            return Requirements(requirements.pinned, requirements.forbid or ())
        if (artifact := spec.artifact) is not None:
            return Artifact(artifact.loadable, artifact.pinned)
        if (freeze := spec.freeze) is not None:
            return self._freeze(freeze)
        if (approvals := spec.approvals) is not None:
            quorum = self._quorum(("approvals",), approvals.count, approvals.of)
            return Approvals(quorum, self.build.groups or {})
        if (check := spec.check) is not None:
            return self._check(check)
        if (cel := spec.cel) is not None:
            return self._cel(cel)
        return self._plugin(str(spec.uses), spec.with_ or {})

    def _quorum(self, where: Where, count: int, group: str) -> Quorum:
        quorum, groups = Quorum(count, group), self.build.groups
        if group == OWNERS or groups is None:
            return quorum
        if group not in groups:
            known = ", ".join([OWNERS, *groups])
            said = f" is `{plain(group, 80)}`, and the policy has no such group; there are: {known}."
            self._wrong((*where, "of"), GateCode.UNKNOWN_GROUP, said, "Name one of these, or add it below `groups`.")
        elif count > len(set(groups[group])):
            there = len(set(groups[group]))
            said = f" asks for {count} of `{plain(group, 80)}`, and there {'is' if there == 1 else 'are'} {there}."
            self._wrong(where, GateCode.NEVER_PASSES, said, "Ask for fewer, or add people to the group.")
        return quorum

    def _freeze(self, spec: FreezeSpec) -> Gate:
        from reconciler.gates.freeze import Freeze, Window

        if len(spec.windows) > WINDOWS:
            said = f" are {len(spec.windows)}; at most {WINDOWS} are looked at."
            fix = "Write those that repeat as one."
            self._wrong(("freeze", "windows", WINDOWS), GateCode.TOO_MANY_WINDOWS, said, fix)
            return Freeze(())
        windows = tuple(Window(one.start, one.duration, one.timezone) for one in spec.windows)
        for i, window in enumerate(windows):
            if why := window.fault():
                fix = "Write a cron expression such as `0 18 * * 5`, and a zone such as `Europe/Berlin`."
                self._wrong(("freeze", "windows", i), GateCode.INVALID_WINDOW, f": {why}.", fix)
        return Freeze(windows, spec.mode == "allow")

    def _check(self, spec: CheckSpec) -> Gate:
        checks = None if self.build.checks is None else {*self.build.checks, LOADABLE}
        if checks is not None and spec.name not in checks:
            known = ", ".join(sorted(checks))
            said = f" is `{plain(spec.name, 80)}`, and the policy has no such check; there are: {known}."
            self._wrong(("check", "name"), GateCode.UNKNOWN_CHECK, said, "Name one of these, or add it below `checks`.")
        return CheckGate(spec.name, spec.max_age, spec.signed)

    def _cel(self, spec: CelSpec) -> Gate:
        if why := self.build.compile_fault(spec.condition):
            said = f" is no condition: {plain(why).rstrip('.')}."
            self._wrong(("cel", "condition"), GateCode.INVALID_CONDITION, said, "Write it in CEL, such as `1 < 2`.")
        return Cel(spec.condition, spec.message or "", self.build.evaluate)

    def _plugin(self, uses: str, parameters: Mapping[str, object]) -> Gate | None:
        try:
            factory = self.build.plugins().get(uses)
            if factory is None:
                installed = ", ".join(sorted(self.build.plugins())) or "none"
                said = f" is `{plain(uses, 80)}`, and no such gate is installed; there are: {installed}."
                fix = "Install the package that has it, or name one of these."
                self._wrong(("uses",), GateCode.UNKNOWN_GATE, said, fix)
                return None
            gate: object = factory(parameters)
        except ValueError as error:
            where: Where = ("with",) if parameters else ("uses",)
            why = plain(str(error)).rstrip(".") or "it does not say why"
            self._wrong(where, GateCode.REFUSED_GATE, f" is refused by {plain(uses, 80)}: {why}.", "Correct it.")
            return None
        except Exception as error:  # noqa: BLE001  # somebody else's code, and a file that must give problems
            why = plain(f"{type(error).__name__}: {error}").rstrip(".")
            said = f": {plain(uses, 80)} broke down on it: {why}."
            self._wrong(("uses",), GateCode.REFUSED_GATE, said, "Tell its authors, or leave it away.")
            return None
        if not callable(getattr(gate, "needs", None)) or not callable(getattr(gate, "judge", None)):
            said = f": {plain(uses, 80)} makes no gate, but {plain(type(gate).__name__, 80)}."
            self._wrong(("uses",), GateCode.REFUSED_GATE, said, "Tell its authors, or leave it away.")
            return None
        return gate  # pyright: ignore[reportReturnType]  # it has the two methods that make a gate
