"""YAML text → Policy: the file `reconciler.yaml` at the top of a repository."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache, partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from reconciler.core import limits
from reconciler.core.approval import OWNERS
from reconciler.core.check_record import CHECK_NAME_PATTERN
from reconciler.core.desired import Declared
from reconciler.core.gate import Guard
from reconciler.core.looks import folded, skeleton
from reconciler.core.names import (
    ALIAS_PATTERN,
    REGISTRY_NAME,
    WORKSPACE,
    AliasName,
    RepositoryId,
    Stage,
    alias_fault,
    alias_slot,
    has_control_characters,
    registry_name,
    workspace_name,
)
from reconciler.core.policy import COPIES, LOADABLE, USUAL_FOLDER, Check, MissingReceipt, Policy, PolicySettings, Rule
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.core.text import did_you_mean
from reconciler.errors import Location, ManifestError, Problem
from reconciler.gates.parameters import GateCode
from reconciler.reading.gates import GateBuilder, policy_gate_spec, read_gates, with_names
from reconciler.reading.located import (
    Kind,
    YamlCode,
    YamlList,
    YamlMap,
    YamlScalar,
    YamlValue,
    described,
    first_problems,
    read_documents,
    shown,
)
from reconciler.reading.repository import looks_like_dot_git
from reconciler.reading.spelling import (
    LINE_JSON,
    LISTED,
    MAPPING,
    MAX_NAME,
    SEVERAL,
    SLOT_JSON,
    Boolean,
    Duration,
    Json,
    JudgedLater,
    Line,
    NotNegative,
    Number,
    Reader,
    SlotPatterns,
    Spec,
    Spelled,
    SpellingCode,
    TagPatterns,
    Written,
    distinct,
    fault,
    is_null,
    json_of_list,
    keyed,
    keys_of,
    line,
    listed,
    name,
    number,
    refuse_look_alikes,
    slot,
    text,
    whole,
    word,
    wrong_type,
)

if TYPE_CHECKING:
    from reconciler.core.files import SourceFile

DEFAULT_BUILDER = GateBuilder()
MAX_MODELS = 1_000_000


class PolicyCode(StrEnum):
    """What can be wrong with the rest of a policy."""

    EMPTY_POLICY = "empty-policy"
    SEVERAL_POLICIES = "several-policies"
    INVALID_GROUP = "invalid-group"
    INVALID_MEMBER = "invalid-member"
    INVALID_PATH = "invalid-path"
    INVALID_REPOSITORY = "invalid-repository"
    INVALID_REGISTRY = "invalid-registry"
    INVALID_VARIABLE = "invalid-variable"
    RESERVED_CHECK = "reserved-check"
    SHELL_COMMAND = "shell-command"
    MISSING_RUNNER = "missing-runner"
    SEVERAL_RUNNERS = "several-runners"
    INVALID_STAGE_ALIAS = "invalid-stage-alias"
    INVALID_LIVE_SLOT = "invalid-live-slot"
    INVALID_RECEIPT = "invalid-receipt"
    TOO_MANY_RECEIPTS = "too-many-receipts"
    INVALID_REGISTRY_NAME = "invalid-registry-name"
    UNKNOWN_REGISTRY = "unknown-registry"
    SHARED_FOLDER = "shared-folder"
    SHARED_REGISTRY = "shared-registry"
    SHARED_PREFIX = "shared-prefix"
    BESIDE_REGISTRIES = "beside-registries"
    TOO_MANY_REGISTRIES = "too-many-registries"


CODES = frozenset[str]({*YamlCode, *SpellingCode, *GateCode, *PolicyCode})
"""Every code of a problem that `parse_policy` can find."""


def parse_policy(
    file: "SourceFile", build: GateBuilder = DEFAULT_BUILDER, signers_text: str = ""
) -> tuple[Policy | None, tuple[Problem, ...]]:
    """The policy, or everything wrong with it in the order of places. `commit` is for the caller to put in."""
    problems: list[Problem] = []
    roots: list[YamlValue] = []
    for document in read_documents(file.path, file.data):
        problems.extend(document.problems)
        if document.root is not None:
            roots.append(document.root)
    if not problems and roots in ([], [{}]):
        said = "The policy is empty."
        problems.append(Problem(Location(file.path), PolicyCode.EMPTY_POLICY, said, "Add `slots`, or remove it."))
    if not roots:
        return None, distinct(first_problems(problems, file.path))
    for root in roots[1:]:
        said = "The file has more than one document; a policy is one document."
        problems.append(Problem(root.at, PolicyCode.SEVERAL_POLICIES, said, "Remove the `---` between them."))
    policy, wrong = _judge(Reader(roots[0], "The policy", roots[0].at), build)
    problems.extend(wrong)
    if policy is None or problems:
        return None, distinct(first_problems(problems, file.path))
    return replace(policy, signers=signers_text, path=file.path, text=file.data.decode("utf-8-sig")), ()


def signers_path(file: "SourceFile") -> str | None:
    """The path of the allowed-signers file that a policy names, whatever else is wrong with it."""
    named = signers_named(file)
    return None if named is None else named.value


def signers_named(file: "SourceFile") -> Declared[str] | None:
    """The same, with the place that names it."""
    for document in read_documents(file.path, file.data):
        if isinstance(document.root, YamlMap) and "signers" in document.root:
            try:
                return Declared(_path(document.root["signers"]), document.root["signers"].at)
            except ValueError:
                return None
    return None


def settings_of(file: "SourceFile") -> PolicySettings:
    """
    Where a policy says that the registry and the manifests are, whatever is wrong with its gates. Raises ManifestError
    where that cannot be read.
    """
    problems: list[Problem] = []
    found = PolicySettings()
    for document in read_documents(file.path, file.data):
        problems.extend(document.problems)
        if isinstance(document.root, YamlMap):
            reader = Reader(_places(document.root), "The policy", document.root.at)
            spec, wrong = reader.read(PlacesSpec)
            problems.extend(wrong)
            if spec is not None:
                found, wrong = _settings(reader, spec)
                problems.extend(wrong)
    if problems:
        raise ManifestError(distinct(problems))
    return found


def _places(root: YamlMap) -> YamlMap:
    """What a policy says of places, without the rest, which may be wrong."""
    places = YamlMap(root.at)
    for key in keys_of(PlacesSpec):
        if key in root and not is_null(root[key]):
            places[key], places.key_places[key] = root[key], root.key_places[key]
    return places


def _settings(reader: Reader, spec: "PlacesSpec") -> tuple[PolicySettings, list[Problem]]:
    """Without the policy's own limits, which say nothing of places."""
    slots = _slots(spec, SlotMap())
    settings = PolicySettings(
        spec.registry, spec.manifests, registry_names=spec.registry_names, formerly=spec.formerly, slots=slots
    )
    several = {key: _registry_settings(key, one, settings) for key, one in spec.registries.items()}
    problems = list(_wrong_slots(reader, slots, spec))
    for key, one in spec.registries.items():
        problems.extend(_wrong_slots(reader.below("registries", key), several[key].slots, one))
    problems.extend(_wrong_places(reader, spec, several))
    return replace(settings, registries=several), problems


def _slots(spec: "SlotsSpec", above: SlotMap) -> SlotMap:
    """What stages are in a registry; what is not said is as it is `above`."""
    stages = above.stages
    if spec.stages is not None:
        stages = tuple(StageAlias(stage, one.alias, one.previous) for stage, one in spec.stages.items())
    aliases_only = above.aliases_only if spec.mode is None else spec.mode is SlotMode.ALIAS
    return SlotMap(stages, aliases_only, above.live if spec.live is None else spec.live)


def _registry_settings(name: str, spec: "RegistrySpec", above: PolicySettings) -> PolicySettings:
    settings = replace(
        above,
        registry=spec.address,
        registry_names=spec.names,
        manifests=spec.manifests or f"{USUAL_FOLDER}/{name}",
        workspace=spec.workspace or "",
        experiment=spec.experiment or COPIES,
        prefix=spec.prefix or f"{name.upper().replace('-', '_')}_",
        slots=_slots(spec, above.slots),
    )
    return _with_limits(settings, spec.limits)


def _with_limits(settings: PolicySettings, most: "LimitsSpec | None") -> PolicySettings:
    """With limits, where none are said already: for itself, and for each of several registries."""
    if most is None:
        return settings
    percent, models = settings.max_change_percent, settings.max_change_models
    return replace(
        settings,
        max_change_percent=most.max_change_percent if percent is None else percent,
        max_change_models=most.max_change_models if models is None else models,
        registries={name: _with_limits(one, most) for name, one in settings.registries.items()},
    )


def _wrong_places(reader: Reader, spec: "PlacesSpec", several: Mapping[str, PolicySettings]) -> Iterator[Problem]:
    """What would be about all of several registries, and manifests that would be two registries'."""
    if len(several) > limits.REGISTRIES:
        said = f" are {len(several)}; at most {limits.REGISTRIES} are governed from one repository."
        yield reader.problem(("registries",), PolicyCode.TOO_MANY_REGISTRIES, said, "Use several repositories.")
    said = ": each of the `registries` has its own."
    for key, told in (("registry", spec.registry), (NAMES, spec.registry_names), ("manifests", spec.manifests)):
        if several and told:
            yield reader.problem((key,), PolicyCode.BESIDE_REGISTRIES, said, "Move it there.")
    whose: dict[tuple[str, str], str] = {}
    prefixes: dict[str, str] = {}
    for key, settings in several.items():
        for address in dict.fromkeys(filter(None, (settings.registry, *settings.registry_names))):
            other = whose.setdefault((registry_name(address), workspace_name(settings.workspace)), key)
            if other != key:
                said = f" is the same registry as {other}: `{shown(address)}`."
                fix = "Give each an address or a workspace of its own: all models of one registry are in one folder."
                yield reader.problem(("registries", key), PolicyCode.SHARED_REGISTRY, said, fix)
        other = prefixes.setdefault(settings.prefix, key)
        if other != key and (settings.registry is None or settings.registry != several[other].registry):
            said = f" has the prefix of {other}, `{settings.prefix}`: each would get the other's credentials."
            fix = "Give each its own, unless they are workspaces of one server, with the same `address`."
            yield reader.problem(("registries", key), PolicyCode.SHARED_PREFIX, said, fix)
    for at, former in enumerate(spec.formerly):
        folder = former.partition("#")[2]
        key = next((key for key, settings in several.items() if folder and settings.manifests == folder), None)
        if key is not None:
            said = f" names the folder of {key}, which governs what is declared there."
            fix = "Write the repository's name alone: it stands for each folder."
            yield reader.problem(("formerly", at), PolicyCode.SHARED_FOLDER, said, fix)
    folders = {key: PurePosixPath(str(settings.manifests)) for key, settings in several.items()}
    for key, folder in folders.items():
        other = next((o for o, its in folders.items() if o != key and folder.is_relative_to(its)), None)
        if other is not None:
            said = f" has its manifests in `{folder}`, which is {other}'s `{folders[other]}`, or inside it."
            where = ("registries", key)
            fix = "Give each a folder of its own, none inside another."
            yield reader.problem(where, PolicyCode.SHARED_FOLDER, said, fix)


def _wrong_slots(reader: Reader, slots: SlotMap, spec: "SlotsSpec") -> Iterator[Problem]:
    """Aliases that would stand for two things, and live slots that nothing is in."""
    taken: dict[AliasName, str] = {}
    for one in slots.stages:
        for key, alias in (("alias", one.alias), ("previous", one.previous)):
            if alias is not None and alias in taken:
                said = f" is `{alias}`, which stands for {taken[alias]} already."
                where = ("stages", one.stage, key)
                yield reader.problem(where, PolicyCode.INVALID_STAGE_ALIAS, said, "Give each its own alias.")
            elif alias is not None:
                taken[alias] = one.stage if key == "alias" else f"what left {one.stage}"
    if slots.aliases_only and not slots.stages:
        said = " is `alias`, but no alias stands for any stage."
        yield reader.problem(("mode",), PolicyCode.INVALID_STAGE_ALIAS, said, "Name them under `stages`.")
    for at, live in enumerate(slots.live):
        if live.startswith("@") or slots.is_stage(live) or slots.alias_of(live) is not None:
            continue
        said = f"{' is' if spec.live else ': the live slot is'} `{shown(live)}`, which is no slot here."
        fix = "Name an alias for it under `stages`, or name the slots that consumers load from under `live`."
        where = ("live", at) if spec.live else ("mode",) if spec.mode is not None else ()
        yield reader.problem(where, PolicyCode.INVALID_LIVE_SLOT, said, fix)


def _registry(value: YamlValue) -> str:
    """An address that credentials can be sent to: whoever edits the policy leads them there."""
    written = line(value)
    if not _REGISTRY.fullmatch(written):
        raise fault(
            PolicyCode.INVALID_REGISTRY,
            f" is {described(value)}; expected an address with `https://`, or `http://` on this "
            "machine, without a user name, password or query.",
            "Write `https://mlflow.acme.example`; name any other registry by MLFLOW_TRACKING_URI or --registry-uri.",
        )
    return written


def _path(value: YamlValue) -> str:
    """A path of the repository, from its top."""
    written = text(value, "a path")
    parts = PurePosixPath(written).parts
    if (
        not parts
        or len(written) > MAX_NAME
        or written.startswith("/")
        or ".." in parts
        or re.search(r"[\\:]", written)
        or has_control_characters(written)
        or any(looks_like_dot_git(part) for part in parts)
    ):
        raise fault(
            PolicyCode.INVALID_PATH,
            f" is {described(value)}; expected a path inside the repository.",
            "Write it from the top of the repository, with `/` and without `..`.",
        )
    return str(PurePosixPath(written))


def _repository(value: YamlValue) -> RepositoryId:
    """A name under which a repository governs models, as records and plans spell it."""
    written = name(value)
    if re.search(r"\s|://|\.git$|^git@|#.*#|^#|#$", written):
        raise fault(
            PolicyCode.INVALID_REPOSITORY,
            f" is {described(value)}; expected the name of a repository as plans show it.",
            "Write `github.com/acme/models`, with `#folder` after it if the manifests were in a different folder.",
        )
    return RepositoryId(written)


def _registry_name(key: str) -> str:
    if not re.fullmatch(REGISTRY_NAME.strip("^$"), key):
        said = f": `{shown(key)}` cannot name a registry; expected small letters, digits and `-`."
        raise fault(PolicyCode.INVALID_REGISTRY_NAME, said, "Write a word, such as `prod`.", of_key=True)
    return key


def _named_registry(value: YamlValue) -> str:
    return _registry_name(line(value))


def _prefix(value: YamlValue) -> str:
    written = text(value, "the beginning of names of variables")
    if not re.fullmatch(_PREFIX, written):
        said = f" is {described(value)}; expected what the names of its variables begin with."
        raise fault(PolicyCode.INVALID_VARIABLE, said, "Write capital letters that end in `_`, such as `PROD_`.")
    return written


def _workspace(value: YamlValue) -> str:
    written = text(value, "a workspace")
    if not WORKSPACE.fullmatch(written):
        said = f" is {described(value)}, which is not a valid workspace name."
        raise fault(PolicyCode.INVALID_REGISTRY, said, "It has 2 to 63 lower-case letters, digits and hyphens.")
    return written


def _alias(value: YamlValue) -> AliasName:
    written = text(value, "an alias").removeprefix("@")
    if why := alias_fault(written):
        said = f" is {described(value)}, which cannot be an alias: {why}."
        raise fault(PolicyCode.INVALID_STAGE_ALIAS, said, "Write an alias, such as `champion`.")
    refuse_look_alikes(written)
    return AliasName(written)


def _stage_alias(value: YamlValue) -> YamlMap:
    """An alias alone is short for a mapping with nothing but `alias`."""
    if isinstance(value, YamlScalar):
        whole = YamlMap(value.at)
        whole["alias"] = value
        return whole
    if isinstance(value, YamlList):
        raise wrong_type(value, "an alias", "Write one alias, or `{alias: champion, previous: champion-previous}`.")
    return value


def _declared_stage(key: str) -> str:
    """A stage that manifests may declare: Staging, Production, or a word of the policy's own."""
    written = slot(key, of_key=True)
    if key.startswith("@") or written in {Stage.NONE, Stage.ARCHIVED}:
        said = f": `{shown(key)}` is not a stage that an alias can stand for."
        raise fault(
            PolicyCode.INVALID_STAGE_ALIAS, said, "Write Staging, Production or a word such as `Canary`.", of_key=True
        )
    return key


def _live_slot(value: YamlValue) -> str:
    written = line(value)
    slot(written)
    return written


def _percent(value: YamlValue) -> float:
    read = number(value)
    if not 0 <= read <= 100:
        raise wrong_type(value, "a number from 0 to 100", "Write the percentage, without `%`.")
    return read


def _model_pattern(value: YamlValue) -> str:
    written = name(value)
    if re.search("[/:]", written):
        said = f" is {described(value)}, which matches nothing: model names have no `/` or `:`."
        raise fault(SpellingCode.INVALID_TEXT, said, "Write a model's name, or a pattern such as `risk-*`.")
    return written


def _group_name(key: str) -> str:
    refuse_look_alikes(key, of_key=True)
    if folded(key) == OWNERS or not key.strip() or len(key) > MAX_NAME or has_control_characters(key):
        said = f": `{shown(key)}` cannot be a group: "
        why = "`owners` means the owners of a model." if folded(key) == OWNERS else "it is not a valid name."
        raise fault(PolicyCode.INVALID_GROUP, said + why, "Rename it.", of_key=True)
    return key


def _member(value: YamlValue) -> str:
    """`ada@acme.example`, `@ada`, or both of one person in one text."""
    written = line(value)
    identities = [one for one in re.split(r"[\s<>,]+", written) if "@" in one]
    if not identities or any("/" in one or len(one) < 2 or one.endswith("@") for one in identities):
        raise fault(
            PolicyCode.INVALID_MEMBER,
            f" is {described(value)}; expected one person: an email address or a `@login`.",
            'Write `ada@acme.example`, `"@ada"`, or `Ada <ada@acme.example> @ada`; list the people of a team.',
        )
    refuse_look_alikes(written)
    return written


def _check_name(key: str) -> str:
    refuse_look_alikes(key, of_key=True)
    if not _CHECK.fullmatch(key):
        said = f": `{shown(key)}` is not a valid check name; expected letters, digits, `_`, `-` and `.`."
        raise fault(SpellingCode.INVALID_TEXT, said, "Rename it.", of_key=True)
    return key


def _defined_check(key: str) -> str:
    if folded(key) == LOADABLE:
        said = f": `{shown(key)}` is a built-in check, which loads the model."
        raise fault(
            PolicyCode.RESERVED_CHECK, said, "Rename yours, or remove it and use the built-in one.", of_key=True
        )
    return _check_name(key)


def _command(value: YamlValue) -> YamlList:
    if isinstance(value, YamlScalar) and value.kind is Kind.TEXT:
        raise fault(
            PolicyCode.SHELL_COMMAND,
            f" is {described(value)}; expected a list of arguments: no shell runs it.",
            f"Write one string per argument: `[{', '.join(value.text.split()) if len(value.text) < 60 else '…'}]`.",
        )
    return listed(value)


def _argument(value: YamlValue) -> str:
    written = text(value)
    if has_control_characters(written, "\n\t"):
        said = f" is {described(value)}, which contains control or invisible characters."
        raise fault(SpellingCode.INVALID_TEXT, said, "Remove the escaped characters.")
    return written


def _variable(value: YamlValue) -> str:
    written = text(value)
    if not _VARIABLE.fullmatch(written):
        said = f" is {described(value)}; expected the name of an environment variable."
        raise fault(PolicyCode.INVALID_VARIABLE, said, "Write the name alone, such as `BIAS_DATA`; never a value.")
    return written


def _receipt(value: YamlValue) -> str:
    written = text(value, "the ID of a receipt")
    if not re.fullmatch(_RECEIPT, written):
        raise fault(
            PolicyCode.INVALID_RECEIPT,
            f" is {described(value)}; expected the ID of a receipt, such as `20260501T100000Z-1f3a9c0b2d`.",
            "Copy it from the output of `reconciler audit`.",
        )
    return written


_RECEIPT = "[0-9]{8}T[0-9]{6}Z-[0-9a-f]{10}"
_CHECK = re.compile(CHECK_NAME_PATTERN)
# Strict, so that everybody who takes an address apart comes to the same host.
_REGISTRY = re.compile(
    r"(?:https://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])"
    r"|http://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]))(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?"
)
NAMES = "registry-names"
MISSING_RECEIPTS = "missing-receipts"
_PREFIX = "[A-Z][A-Z0-9_]{0,60}_"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")

_PATH_JSON = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME,
    "pattern": r"^[^/\\:\x00-\x1f\x7f-\x9f][^\\:\x00-\x1f\x7f-\x9f]*$",
    "not": {"pattern": r"(^|/)\.\.(/|$)"},
}
_REPOSITORY_JSON = {**LINE_JSON, "not": {"pattern": r"\s|://|\.git$|^git@|#.*#|^#|#$"}}
_ALIAS_JSON = {"type": "string", "pattern": rf"^@?{ALIAS_PATTERN.strip('^$')}$"}
_MEMBER_JSON = {**LINE_JSON, "allOf": [{"pattern": "@"}]}
_CHECK_JSON = {"pattern": r"^[^\s\x00-,/:-@\[-^`{-\x9f]{1,100}$"}
_ARGUMENT_JSON = {"type": "string", "pattern": r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"}

_Registry = Annotated[str, Spelled(_registry, {"type": "string", "pattern": f"^{_REGISTRY.pattern}$"})]
_Path = Annotated[str, Spelled(_path, _PATH_JSON)]
_Alias = Annotated[AliasName, Spelled(_alias, _ALIAS_JSON)]
_Receipt = Annotated[str, Spelled(_receipt, {"type": "string", "pattern": f"^{_RECEIPT}$"})]
_Percent = Annotated[float, Spelled(_percent, {"type": "number", "minimum": 0, "maximum": 100})]
_Models = Annotated[
    int,
    Spelled(partial(whole, least=0, most=MAX_MODELS), {"type": "integer", "minimum": 0, "maximum": MAX_MODELS}),
]
_ModelPattern = Annotated[str, Spelled(_model_pattern, LINE_JSON)]
_Repository = Annotated[RepositoryId, Spelled(_repository, _REPOSITORY_JSON)]
_Member = Annotated[str, Spelled(_member, _MEMBER_JSON)]
_RegistryName = Annotated[str, Spelled(_named_registry, {"type": "string", "pattern": REGISTRY_NAME})]
_Prefix = Annotated[str, Spelled(_prefix, {"type": "string", "pattern": f"^{_PREFIX}$"})]
_Workspace = Annotated[str, Spelled(_workspace, {"type": "string", "pattern": f"^{WORKSPACE.pattern}$"})]
_Argument = Annotated[str, Spelled(_argument, _ARGUMENT_JSON)]
_Variable = Annotated[str, Spelled(_variable, {"type": "string", "pattern": f"^{_VARIABLE.pattern}$"})]
_Groups = Annotated[
    dict[Annotated[str, BeforeValidator(_group_name)], Annotated[tuple[_Member, ...], LISTED]],
    keyed({"minLength": 1, "maxLength": MAX_NAME, "not": {"const": OWNERS}}),
]


class SlotMode(StrEnum):
    """What is moved for a stage that an alias stands for."""

    BOTH = "both"
    ALIAS = "alias"


def _mode(value: YamlValue) -> SlotMode:
    written: SlotMode = word(value, {one.value: one for one in SlotMode})
    return written


_Mode = Annotated[SlotMode, Spelled(_mode, {"type": "string", "enum": [one.value for one in SlotMode]})]


def _json_of_stage_alias(long: Json) -> Json:
    return {"anyOf": [_ALIAS_JSON, long]}


class LimitsSpec(Spec):
    """How much one apply may change."""

    max_change_percent: _Percent | None = Field(
        None, alias="max-change-percent", description="The maximum percentage of governed models.", examples=[30]
    )
    max_change_models: _Models | None = Field(
        None, alias="max-change-models", description="The number of models that may always change.", examples=[10]
    )


class MissingReceiptSpec(Spec):
    """A receipt that is missing, and that somebody has looked into."""

    model_config = ConfigDict(title="Missing receipt")

    receipt: _Receipt = Field(description="Its ID, as `audit` shows it.", examples=["20260501T100000Z-1f3a9c0b2d"])
    reason: Line = Field(
        description="Why it is missing, and what was looked at.",
        examples=["The runner lost power; slots compared by hand."],
    )


class ThresholdSpec(Spec):
    """What a metric must be, as `mlflow.models.MetricThreshold` has it."""

    threshold: Number | None = Field(None, description="The minimum value.", examples=[0.8])
    min_absolute_change: NotNegative | None = Field(
        None, alias="min-absolute-change", description="The required improvement over the incumbent.", examples=[0.01]
    )
    min_relative_change: NotNegative | None = Field(
        None,
        alias="min-relative-change",
        description="The same, as a fraction of the incumbent's value.",
        examples=[0.02],
    )
    greater_is_better: Boolean = Field(
        True, alias="greater-is-better", description="False if a lower value is better.", examples=[False]
    )

    @model_validator(mode="after")
    def _asks(self) -> "ThresholdSpec":
        if self.threshold is None and self.min_absolute_change is None and self.min_relative_change is None:
            raise fault(GateCode.ASKS_NOTHING, " has no bound.", "Add a `threshold`.")
        return self


class EvaluateSpec(Spec):
    """What `mlflow.models.evaluate` is run with."""

    data: _Path = Field(description="The data: a file of the repository.", examples=["data/holdout.csv"])
    targets: Line | None = Field(None, description="The column with the correct values.", examples=["label"])
    model_type: Line | None = Field(
        None, alias="model-type", description="MLflow's name for the model type.", examples=["classifier", "regressor"]
    )
    thresholds: Annotated[
        dict[Annotated[str, BeforeValidator(_check_name)], Annotated[ThresholdSpec, MAPPING]],
        keyed({"minLength": 1}, filled_in=True),
    ] = Field(description="The thresholds of the metrics.", examples=[{"f1_score": {"threshold": 0.8}}])


RUNNERS = ("command", "pytest", "notebook", "evaluate")


class CheckDefinitionSpec(Spec):
    """Something to run on a version: exactly one of `command`, `pytest`, `notebook` and `evaluate`."""

    model_config = ConfigDict(
        title="Check", json_schema_extra={"oneOf": [{"required": [runner]} for runner in RUNNERS]}
    )

    command: Annotated[tuple[_Argument, ...], Written(_command, json_of_list)] | None = Field(
        None, description="A program and its arguments; no shell runs them.", examples=[["python", "checks/bias.py"]]
    )
    pytest: _Path | None = Field(None, description="A folder or file of tests.", examples=["checks/smoke"])
    notebook: _Path | None = Field(None, description="A Jupyter notebook.", examples=["checks/report.ipynb"])
    evaluate: Annotated[EvaluateSpec, MAPPING] | None = Field(
        None,
        description="An evaluation by MLflow.",
        examples=[{"data": "data/holdout.csv", "targets": "label", "thresholds": {"f1_score": {"threshold": 0.8}}}],
    )
    timeout: Duration = Field(600.0, description="How long it may take.", examples=["10m"])
    environment: Annotated[tuple[_Variable, ...], SEVERAL] = Field(
        (), description="The names of the environment variables that it receives.", examples=[["BIAS_DATA"]]
    )

    @model_validator(mode="after")
    def _is_one(self) -> "CheckDefinitionSpec":
        given = [runner for runner in RUNNERS if getattr(self, runner) is not None]
        if not given:
            said = f" names nothing to run; expected one of {', '.join(RUNNERS)}."
            raise fault(PolicyCode.MISSING_RUNNER, said, "Add one.")
        if len(given) > 1:
            said = f" is {' and '.join(f'`{runner}`' for runner in given)} at once."
            raise fault(PolicyCode.SEVERAL_RUNNERS, said, "Write a separate check for each.")
        return self


def _gate_list() -> Any:
    return Annotated[tuple[policy_gate_spec(), ...], LISTED]


class RuleSpec(Spec):
    """Some gates before some slots. Every rule that is about a slot and a model holds."""

    slot: SlotPatterns = Field(
        description="The slots: stages, `@aliases`, or patterns of them.",
        examples=["Production", ["Production", "@champion*"]],
    )
    models: Annotated[tuple[_ModelPattern, ...], SEVERAL] = Field(
        ("*",), description="Patterns of model names.", examples=[["risk-*"]]
    )
    tags: TagPatterns | None = Field(
        None,
        description="Tags that a registered model must have for the rule to apply.",
        examples=[{"tier": "1"}],
    )
    registries: Annotated[tuple[_RegistryName, ...], SEVERAL] | None = Field(
        None, description="Names of registries, as the policy has them. Default: all.", examples=["prod"]
    )
    gates: Annotated[Any, JudgedLater(listed, _gate_list)] = Field(
        description="The gates that a version must pass.", examples=[[{"soak": {"stage": "Staging", "for": "3d"}}]]
    )


def _rule_list() -> Any:
    return Annotated[tuple[RuleSpec, ...], LISTED]


class StageAliasSpec(Spec):
    """The alias that stands for a stage."""

    model_config = ConfigDict(title="Alias of a stage")

    alias: _Alias = Field(description="The alias that stands for the stage.", examples=["champion"])
    previous: _Alias | None = Field(
        None,
        description="An alias that is kept on the version that left the stage last.",
        examples=["champion-previous"],
    )


class SlotsSpec(Spec):
    """What stages are in the registry, and which slots are live."""

    stages: (
        Annotated[
            dict[
                Annotated[str, BeforeValidator(_declared_stage)],
                Annotated[StageAliasSpec, Written(_stage_alias, _json_of_stage_alias)],
            ],
            keyed({"pattern": ALIAS_PATTERN}, filled_in=True),
        ]
        | None
    ) = Field(
        None,
        description="The alias that stands for a stage. A name that is none of MLflow's stages lives as its alias "
        "alone.",
        examples=[{"Production": {"alias": "champion"}, "Canary": "canary"}],
    )
    mode: Annotated[SlotMode, Spelled(_mode, {"type": "string", "enum": [one.value for one in SlotMode]})] | None = (
        Field(
            None,
            description="Whether MLflow's stages are moved with the aliases that stand for them, or the aliases alone.",
            examples=["alias"],
        )
    )
    live: Annotated[tuple[Annotated[str, Spelled(_live_slot, SLOT_JSON)], ...], SEVERAL] | None = Field(
        None,
        description="The slots that consumers depend on: stages, with the aliases that stand for them, and aliases. "
        "Default: Production.",
        examples=[["Production", "Canary"]],
    )


class RegistrySpec(SlotsSpec):
    """One of several registries, and what holds for it in the place of what holds for all."""

    model_config = ConfigDict(title="Registry")

    address: _Registry | None = Field(
        None,
        description="Its address: `https://`, or `http://` on this machine. Used if its variable "
        "MLFLOW_TRACKING_URI, behind the prefix, is not set.",
        examples=["https://mlflow.acme.example"],
    )
    names: Annotated[tuple[Line, ...], LISTED] = Field(
        (),
        description="Addresses of the same registry: our records under any of them count for it.",
        examples=[["https://mlflow.acme.example", "http://mlflow.internal:5000"]],
    )
    workspace: _Workspace | None = Field(None, description="The workspace of the server.", examples=["risk"])
    experiment: Line | None = Field(
        None,
        description="The experiment into which copies from other registries go. Who may write there can replace their "
        f"files. Default: `{COPIES}`.",
        examples=["production models"],
    )
    manifests: _Path | None = Field(
        None,
        description="The folder of its manifests. Default: the folder of its name in `manifests`.",
        examples=["manifests/prod"],
    )
    prefix: _Prefix | None = Field(
        None,
        description="What the variables with its address and credentials begin with. Default: its name.",
        examples=["PROD_"],
    )
    limits: Annotated[LimitsSpec, MAPPING] | None = Field(
        None, description="How many of its models one apply may change.", examples=[{"max-change-percent": 10}]
    )


class PlacesSpec(SlotsSpec):
    """Where the registry and the manifests are, what stages are there, and what the repository was called."""

    registry: _Registry | None = Field(
        None,
        description="The registry's address: `https://`, or `http://` on this machine. Used if neither an "
        "option nor the environment names a registry.",
        examples=["https://mlflow.acme.example"],
    )
    registry_names: Annotated[tuple[Line, ...], LISTED] = Field(
        (),
        alias=NAMES,
        description="Addresses of the same registry: our records under any of them count for it.",
        examples=[["https://mlflow.acme.example", "http://mlflow.internal:5000"]],
    )
    manifests: _Path | None = Field(None, description="The folder of the manifests.", examples=["manifests"])
    formerly: Annotated[tuple[_Repository, ...], SEVERAL] = Field(
        (),
        description="Former names of the repository: it governs what they govern. They take effect with the change "
        "after the one that adds them.",
        examples=["github.com/acme/old-models"],
    )
    registries: Annotated[
        dict[Annotated[str, BeforeValidator(_registry_name)], Annotated[RegistrySpec, MAPPING]],
        keyed({"pattern": REGISTRY_NAME}, filled_in=True),
    ] = Field(
        {},
        description="Several registries by their names, each with a folder of manifests of its own.",
        examples=[{"dev": {"manifests": "manifests/dev"}, "prod": {"address": "https://mlflow.acme.example"}}],
    )


class PolicySpec(PlacesSpec):
    """Which gates guard which slots, and what else the owners of a repository lay down."""

    model_config = ConfigDict(title="Policy of a repository", json_schema_extra={"minProperties": 1})

    limits: Annotated[LimitsSpec, MAPPING] | None = Field(
        None, description="How many models one apply may change.", examples=[{"max-change-percent": 30}]
    )
    groups: _Groups = Field(
        {},
        description="People by their addresses and logins.",
        examples=[{"risk-committee": ["ada@acme.example", "@grace"]}],
    )
    signers: _Path | None = Field(
        None,
        description="An SSH allowed-signers file: whose signed commits approve, and which keys sign records.",
        examples=[".reconciler/allowed_signers"],
    )
    checks: Annotated[
        dict[Annotated[str, BeforeValidator(_defined_check)], Annotated[CheckDefinitionSpec, MAPPING]],
        keyed(_CHECK_JSON),
    ] = Field(
        {}, description="What can be run on a version, by name.", examples=[{"smoke": {"pytest": "checks/smoke"}}]
    )
    missing_receipts: Annotated[tuple[Annotated[MissingReceiptSpec, MAPPING], ...], LISTED] = Field(
        (),
        alias=MISSING_RECEIPTS,
        description="Receipts that are missing, and that `audit` no longer takes for cut off. They take effect with "
        "the change after the one that adds them.",
        examples=[[{"receipt": "20260501T100000Z-1f3a9c0b2d", "reason": "The runner lost power."}]],
    )
    slots: Annotated[Any, JudgedLater(listed, _rule_list)] = Field(
        None,
        description="Which gates guard which slots.",
        examples=[[{"slot": "Production", "gates": [{"path": {"from": "Staging"}}]}]],
    )


def _judge(reader: Reader, build: GateBuilder) -> tuple[Policy | None, list[Problem]]:
    spec, problems = reader.read(PolicySpec)
    if spec is not None:
        maps: list[SlotsSpec] = [spec, *spec.registries.values()]
        stages = frozenset(stage for one in maps for stage in one.stages or ())
        named = frozenset(spec.registries)
        build = replace(build, groups=spec.groups, checks=frozenset(spec.checks), stages=stages, registries=named)
    if (over := _too_many_gates(reader)) is not None:
        return None, [*problems, over]
    slots = reader.below("slots") if isinstance(reader.root, YamlMap) and "slots" in reader.root else None
    rules: list[Rule] = []
    for i in range(len(slots.root)) if slots is not None and isinstance(slots.root, YamlList) else ():
        rule, wrong = _judge_rule(slots.below(i), build) if slots is not None else (None, [])
        problems.extend(wrong)
        if rule is not None:
            rules.append(rule)
    settings, wrong = (PolicySettings(), []) if spec is None else _settings(reader, spec)
    problems.extend(wrong)
    if spec is not None and len(spec.missing_receipts) > limits.MISSING_RECEIPTS:
        said, at = f": at most {limits.MISSING_RECEIPTS} are allowed.", (MISSING_RECEIPTS, limits.MISSING_RECEIPTS)
        fix = "Remove those that `reconciler audit` calls stale."
        problems.append(reader.problem(at, PolicyCode.TOO_MANY_RECEIPTS, said, fix))
    problems.extend(_unknown_registries(reader, rules, settings))
    slot_maps = [settings.slots, *(one.slots for one in settings.registries.values())]
    slots_of = [(*rule.slots, *(alias for one in slot_maps for alias in _aliases_guarded(rule, one))) for rule in rules]

    def meet(i: int, j: int) -> bool:
        return _may_meet(replace(rules[i], slots=slots_of[i]), replace(rules[j], slots=slots_of[j]))

    guards, repeated = with_names([rule.guards for rule in rules], meet)
    problems.extend(repeated)
    if spec is None or problems:
        return None, problems
    settings = _with_limits(settings, spec.limits)
    return Policy(
        tuple(replace(rule, guards=named) for rule, named in zip(rules, guards, strict=True)),
        settings,
        spec.groups,
        {key: _check(reader, key, one) for key, one in spec.checks.items()},
        missing_receipts=tuple(MissingReceipt(one.receipt, one.reason) for one in spec.missing_receipts),
    ), []


def _too_many_gates(reader: Reader) -> Problem | None:
    """Where the gates of a policy are more than are judged, before any of them is made."""
    slots = reader.root.get("slots") if isinstance(reader.root, YamlMap) else None
    count = 0
    for i, rule in enumerate(slots if isinstance(slots, YamlList) else ()):
        entries = rule.get("gates") if isinstance(rule, YamlMap) else None
        # A rule without gates counts too: it costs as much.
        count += max(1, len(entries)) if isinstance(entries, YamlList) else 1
        if count > limits.POLICY_GATES:
            said = f": with this rule the policy has more than {limits.POLICY_GATES} gates."
            return reader.problem(("slots", i), GateCode.TOO_MANY_GATES, said, "Use patterns, and remove repetitions.")
    return None


def _judge_rule(reader: Reader, build: GateBuilder) -> tuple[Rule | None, list[Problem]]:
    """The rule, whose gates have no names yet, and what is wrong with it."""
    spec, problems = reader.read(RuleSpec)
    guards: tuple[Guard, ...] = ()
    if isinstance(reader.root, YamlMap) and "gates" in reader.root:
        guards, wrong = read_gates(reader.below("gates"), build, policy_gate_spec(build.catalogue))
        problems.extend(wrong)
    if spec is None:
        return None, problems
    return Rule(tuple(spec.slot), guards, reader.place, spec.models, spec.tags or {}, spec.registries or ()), problems


def _unknown_registries(reader: Reader, rules: list[Rule], settings: PolicySettings) -> Iterator[Problem]:
    """Rules about registries that the policy does not name: they would guard nothing."""
    for i, rule in enumerate(rules):
        for key in rule.registries:
            if key not in settings.registries:
                fix = did_you_mean(key, settings.registries, "Name it under `registries`, or correct the name.")
                said = f": the policy names no registry `{key}`."
                yield reader.problem(("slots", i, "registries"), PolicyCode.UNKNOWN_REGISTRY, said, fix)


def _check(reader: Reader, key: str, spec: CheckDefinitionSpec) -> Check:
    evaluate = spec.evaluate
    return Check(
        key,
        reader.at("checks", key),
        spec.command or (),
        spec.pytest or "",
        spec.notebook or "",
        {} if evaluate is None else _evaluation(evaluate),
        spec.timeout,
        spec.environment,
    )


def _evaluation(spec: EvaluateSpec) -> dict[str, object]:
    """In the words of `mlflow.models.evaluate` and `mlflow.models.MetricThreshold`; what is not given is not there."""
    told: dict[str, object] = {"data": spec.data}
    if spec.targets is not None:
        told["targets"] = spec.targets
    if spec.model_type is not None:
        told["model_type"] = spec.model_type
    told["thresholds"] = {key: one.model_dump(exclude_none=True) for key, one in spec.thresholds.items()}
    return told


def _aliases_guarded(rule: Rule, slots: SlotMap) -> Iterator[str]:
    """The aliases that a rule guards as they stand for a stage."""
    for one in slots.stages:
        alias = alias_slot(one.alias)
        if any(map(rule.guards_slot, slots.names(alias))):
            yield alias


def _may_meet(one: Rule, other: Rule) -> bool:
    """Whether both may be about one slot of one model. Where that is hard to tell, they may."""
    if one.registries and other.registries and not set(one.registries) & set(other.registries):
        return False
    if any(not _overlap(value, other.tags[key]) for key, value in one.tags.items() if key in other.tags):
        return False
    return all(
        any(_overlap(a, b) for a in ours for b in theirs)
        for ours, theirs in ((one.slots, other.slots), (one.models, other.models))
    )


@cache
def _overlap(one: str, other: str) -> bool:
    """Whether a text can match both patterns, by its letters or by what they look like. `[…]` counts as any letter."""
    if one == other or _meet(folded(one), folded(other)):
        return True
    return not (one + other).isascii() and _meet(skeleton(folded(one)), skeleton(folded(other)))


def _meet(one: str, other: str) -> bool:
    a, b = (re.sub(r"\[.[^]]*\]", "?", pattern) for pattern in (one, other))
    reached = {0}
    for position in range(len(a) + 1):
        # `reached` are the places in b that a's first letters can have led to.
        reached = _past_stars(b, reached)
        if position == len(a):
            return len(b) in reached
        if a[position] == "*":
            reached = set(range(min(reached, default=len(b) + 1), len(b) + 1))
            continue
        step = {
            at + 1 for at in reached if at < len(b) and b[at] != "*" and (a[position] in (b[at], "?") or b[at] == "?")
        }
        reached = step | {at for at in reached if at < len(b) and b[at] == "*"}
    return False


def _past_stars(pattern: str, places: set[int]) -> set[int]:
    found = set(places)
    for at in sorted(places):
        while at < len(pattern) and pattern[at] == "*":
            at += 1  # noqa: PLW2901  # walks on from there
            found.add(at)
    return found
