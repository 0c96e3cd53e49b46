"""What a policy says, and everything that can be wrong with it, at the line where it is."""

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from reconciler.core.gate import Entrance, FactKey, Facts, Gate, Guard, Judgement, Quorum, passed
from reconciler.core.limits import MISSING_RECEIPTS
from reconciler.core.names import RepositoryId
from reconciler.core.policy import Check, Policy, PolicySettings
from reconciler.core.signature import Compatibility
from reconciler.errors import Location, Problem
from reconciler.gates.age import Age
from reconciler.gates.approvals import Approvals
from reconciler.gates.artifact import Artifact
from reconciler.gates.catalogue import CATALOGUE
from reconciler.gates.cel import Cel
from reconciler.gates.check import CheckGate
from reconciler.gates.description import Description
from reconciler.gates.freeze import Freeze, Window
from reconciler.gates.lineage import Lineage
from reconciler.gates.metric import Metric
from reconciler.gates.packages import Flavors, Requirements
from reconciler.gates.parameters import GateCode
from reconciler.gates.path import Path as PathGate
from reconciler.gates.signature import SignatureGate
from reconciler.gates.soak import Soak
from reconciler.gates.tags import Tags
from reconciler.ports import SourceFile
from reconciler.reading.gates import GateBuilder
from reconciler.reading.located import YamlCode, read_documents
from reconciler.reading.policy import CODES, PolicyCode, parse_policy, signers_path
from reconciler.reading.schemas import policy_schema
from reconciler.reading.spelling import SpellingCode
from tests import manifest_texts as texts
from tests.unit.test_schemas import accepts, core

BAD = sorted(texts.TOP.joinpath("tests", "policies").glob("*.yaml"))
EXAMPLE = texts.TOP / "examples" / "policy" / "reconciler.yaml"
VALIDATOR = Draft7Validator(policy_schema())


@dataclass(frozen=True, slots=True)
class Acme:
    """A gate of another package."""

    limit: object

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return ()

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        return passed("fine")


def acme(parameters: Mapping[str, object]) -> Gate:
    limit = parameters.get("limit")
    if limit == "no gate":
        return limit  # pyright: ignore[reportReturnType]  # what others may do all the same
    if "break" in parameters:
        raise KeyError("break")
    if isinstance(limit, int) and limit < 0:
        raise ValueError("limit must not be negative")
    return Acme(limit)


def evaluate(_condition: str, _variables: Mapping[str, object]) -> bool | str:
    return True


BUILD = GateBuilder(
    evaluate,
    lambda condition: "it ends too soon" if condition.endswith("<") else None,
    plugins=lambda: {"acme-gate": lambda: acme},
)


def parsed(data: bytes | str) -> tuple[Policy | None, tuple[Problem, ...]]:
    return parse_policy(SourceFile("reconciler.yaml", data.encode() if isinstance(data, str) else data), BUILD)


def policy_of(text: str) -> Policy:
    """The policy of a text with nothing wrong in it."""
    policy, problems = parsed(text)
    assert problems == ()
    assert policy is not None
    return policy


def guards_of(gates: str) -> tuple[Guard, ...]:
    [rule] = policy_of(f"checks: {{bias: {{pytest: a}}}}\nslots: [{{slot: Production, gates: {gates}}}]\n").rules
    return rule.guards


def found(data: bytes | str) -> list[tuple[int, str]]:
    return sorted((problem.location.line, str(problem.code)) for problem in parsed(data)[1])


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_policy_has_the_problems_that_it_says_it_has(path: Path) -> None:
    assert found(path.read_bytes()) == texts.expected(path)


def test_every_code_is_expected_somewhere() -> None:
    in_files = {code for path in BAD for _, code in texts.expected(path)}

    # What can be wrong with any YAML is tested with the manifests.
    of_sizes = {
        PolicyCode.EMPTY_POLICY,
        PolicyCode.TOO_MANY_RECEIPTS,
        PolicyCode.TOO_MANY_REGISTRIES,
        GateCode.TOO_MANY_GATES,
        GateCode.TOO_MANY_WINDOWS,
    }
    assert {*SpellingCode, *GateCode, *PolicyCode} - of_sizes <= in_files <= CODES


RULE = "- slot: Production\n  gates:\n"
WINDOW = "{start: 0 0 * * 1, duration: 1h}"


@pytest.mark.parametrize(
    ("text", "expectation"),
    [
        ("slots:\n" + RULE + "  - age: {min: 1h}\n" * 51, [(54, "too-many-gates")]),
        ("slots:\n" + (RULE + "  - age: {min: 1h}\n" * 41) * 30, [(2 + 24 * 43, "too-many-gates")]),
        ("slots:\n" + "- {slot: Production, gates: []}\n" * 1001, [(1002, "too-many-gates")]),
        ("registries:\n" + "".join(f"  r{i}: {{}}\n" for i in range(21)), [(1, "too-many-registries")]),
        (
            "slots:\n" + RULE + f"  - freeze: {{windows: [{', '.join([WINDOW] * 101)}]}}\n",
            [(4, "too-many-windows")],
        ),
        (
            "slots:\n" + RULE + "  - freeze: {windows: [{start: 0 0 30 2 *, duration: 1h}]}\n",
            [(4, "invalid-window")],
        ),
    ],
    ids=["before a slot", "of a policy", "rules", "registries", "windows", "a window that never opens"],
)
def test_more_than_is_judged_is_a_problem_at_its_place(text: str, expectation: list[tuple[int, str]]) -> None:
    assert found(text) == expectation


def test_a_policy_of_rare_windows_is_read_in_seconds() -> None:
    rare = [f"{{start: {n % 60} {n % 24} 29 2 1#5, duration: 1h}}" for n in range(100)]
    gate = f"  - freeze: {{windows: [{', '.join(rare)}]}}\n"

    began = time.process_time()
    found("slots:\n" + RULE + gate * 300)

    assert time.process_time() - began < 20


GATES: dict[str, Gate] = {
    "path: {from: Staging}": PathGate(("Staging",)),
    "path: {from: [None, Staging]}": PathGate(("None", "Staging")),
    "soak: {stage: Staging, for: 3d}": Soak("Staging", 259_200),
    "soak: {stage: Staging, for: 90s}": Soak("Staging", 90),
    "soak: {stage: Staging, for: 10m}": Soak("Staging", 600),
    "soak: {stage: Staging, for: 2h}": Soak("Staging", 7_200),
    "soak: {stage: Staging, for: 2w}": Soak("Staging", 1_209_600),
    "metric: {name: f1}": Metric("f1"),
    "metric: {name: rmse, threshold: 1e-3, greater-is-better: false}": Metric("rmse", 0.001, greater_is_better=False),
    "metric: {name: f1, threshold: 0.8, min-absolute-change: 0.01, min-relative-change: 0, dataset: holdout}": Metric(
        "f1", 0.8, 0.01, 0, True, "holdout"
    ),
    'tags: {require: {validated-by: "*", tier: 1}}': Tags({"validated-by": "*", "tier": "1"}),
    "tags: {require: {a: b}, of: model}": Tags({"a": "b"}, "model"),
    "description: {}": Description(1, ""),
    'description: {min-length: 20, pattern: "*A/B*"}': Description(20, "*A/B*"),
    "signature: {}": SignatureGate(frozenset({Compatibility.IDENTICAL, Compatibility.COMPATIBLE})),
    "signature: {allow: identical}": SignatureGate(frozenset({Compatibility.IDENTICAL})),
    "lineage: {}": Lineage(finished=True),
    "lineage: {finished: false, commit: true, branch: main}": Lineage(finished=False, commit=True, branch="main"),
    "age: {min: 1h, max: 90d}": Age(3_600, 7_776_000),
    "age: {max: 90d}": Age(None, 7_776_000),
    "flavors: {allow: [sklearn, xgboost]}": Flavors(("sklearn", "xgboost")),
    "requirements: {pinned: true, forbid: [torch]}": Requirements(pinned=True, forbidden=("torch",)),
    "requirements: {}": Requirements(pinned=True),
    "artifact: {}": Artifact(),
    "artifact: {loadable: true, pinned: true}": Artifact(loadable=True, pinned=True),
    'freeze: {windows: [{start: "0 18 * * 5", duration: 60h, timezone: Europe/Berlin}]}': Freeze(
        (Window("0 18 * * 5", 216_000, "Europe/Berlin"),)
    ),
    'freeze: {windows: [{start: "0 9 * * 1", duration: 1h}], mode: allow}': Freeze(
        (Window("0 9 * * 1", 3_600),), allow=True
    ),
    "approvals: {}": Approvals(Quorum(1), {}),
    "approvals: {count: 2, of: owners}": Approvals(Quorum(2), {}),
    "check: {name: bias}": CheckGate("bias"),
    "check: {name: bias, max-age: 14d, signed: true}": CheckGate("bias", 1_209_600, signed=True),
    'cel: {condition: "1 < 2", message: No.}': Cel("1 < 2", "No.", evaluate),
    "uses: acme-gate": Acme(None),
    "uses: acme-gate, with: {limit: [1, 1.5, yes, true, null, {a: b}]}": Acme([1, 1.5, "yes", True, None, {"a": "b"}]),
}


@pytest.mark.parametrize(("written", "gate"), GATES.items(), ids=GATES)
def test_a_gate_is_what_is_written(written: str, gate: Gate) -> None:
    [guard] = guards_of(f"[{{{written}}}]")

    assert guard.gate == gate


def test_every_kind_of_gate_is_read_somewhere() -> None:
    assert {written.partition(":")[0] for written in GATES} == {*CATALOGUE, "uses"}


def test_a_gate_has_its_place_and_who_may_pass_it() -> None:
    [one, two] = guards_of("[{artifact: {}}, {artifact: {}, waive-on-rollback: true, override: {approvals: 2}}]")

    assert (str(one.at), one.waive_on_rollback, one.override) == ("reconciler.yaml:2:36", None, None)
    assert (two.waive_on_rollback, two.override) == (True, Quorum(2, "owners"))


def test_groups_know_their_members_where_approvals_are_asked_for() -> None:
    policy = policy_of(
        'groups: {pair: [ada@acme.example, "Grace <grace@acme.example> @grace"]}\n'
        "slots: [{slot: Production, gates: [{approvals: {count: 2, of: pair}}]}]\n"
    )

    pair = {"pair": ("ada@acme.example", "Grace <grace@acme.example> @grace")}
    assert policy.groups == pair
    assert policy.rules[0].guards[0].gate == Approvals(Quorum(2, "pair"), pair)


NAMES: dict[str, tuple[str, list[str]]] = {
    "kinds": ("[{artifact: {}}, {age: {max: 1d}}]", ["artifact", "age"]),
    "one kind three times": (
        "[{artifact: {}}, {artifact: {}}, {artifact: {}}]",
        ["artifact", "artifact#2", "artifact#3"],
    ),
    "a name that somebody chose goes before": (
        "[{artifact: {}}, {age: {max: 1d}, name: artifact}, {artifact: {}, name: artifact#2}]",
        ["artifact#3", "artifact", "artifact#2"],
    ),
    "gates of other packages": ("[{uses: acme-gate}, {uses: acme-gate}]", ["acme-gate", "acme-gate#2"]),
}


@pytest.mark.parametrize(("gates", "names"), NAMES.values(), ids=NAMES)
def test_every_gate_has_a_name_of_its_own(gates: str, names: list[str]) -> None:
    assert [guard.name for guard in guards_of(gates)] == names


MEETINGS: dict[str, tuple[str, str, bool]] = {
    "the same slot": ("slot: Production", "slot: Production", True),
    "another slot": ("slot: Production", "slot: Staging", False),
    "one slot in common": ("slot: [Production, a]", "slot: [Staging, a]", True),
    "a pattern and a slot": ('slot: "@champion*"', 'slot: "@champion-eu"', True),
    "a pattern and another slot": ('slot: "@champion*"', 'slot: "@challenger"', False),
    "two patterns": ('slot: "@*-eu"', 'slot: "@champion-*"', True),
    "two patterns that part": ('slot: "@a*"', 'slot: "@b*"', False),
    "every slot": ('slot: "*"', "slot: champion", True),
    "aliases are no stages": ('slot: "@*"', "slot: Production", False),
    "other models": ("slot: Production, models: risk-*", "slot: Production, models: churn-*", False),
    "all models": ("slot: Production, models: risk-*", "slot: Production", True),
    "models of another case": ("slot: Production, models: risk-*", "slot: Production, models: RISK-A", True),
    "letters in brackets": ('slot: Production, models: "[ab]c"', "slot: Production, models: ac", True),
    "other tags": ("slot: Production, tags: {tier: 1}", "slot: Production, tags: {tier: 2}", False),
    "tags that say nothing of each other": (
        "slot: Production, tags: {tier: 1}",
        "slot: Production, tags: {domain: credit}",
        True,
    ),
}


@pytest.mark.parametrize(("one", "other", "meet"), MEETINGS.values(), ids=MEETINGS)
def test_gates_are_numbered_where_they_may_stand_before_one_slot(one: str, other: str, meet: bool) -> None:
    rules = policy_of(
        f"slots: [{{{one}, gates: [{{artifact: {{}}}}]}}, {{{other}, gates: [{{artifact: {{}}}}]}}]\n"
    ).rules

    assert [rule.guards[0].name for rule in rules] == ["artifact", "artifact#2" if meet else "artifact"]


patterns = st.text(st.sampled_from("ab*?"), max_size=6)


@given(patterns, patterns, st.text(st.sampled_from("ab"), max_size=6))
def test_rules_that_are_about_one_model_are_seen_to_meet(one: str, other: str, name: str) -> None:
    from reconciler.core.policy import matches

    rules = [f"{{slot: Production, models: ['m{p}'], gates: [{{artifact: {{}}, name: same}}]}}" for p in (one, other)]

    repeated = found(f"slots: [{', '.join(rules)}]\n") != []

    if matches(f"m{one}", f"m{name}") and matches(f"m{other}", f"m{name}"):
        assert repeated


SLOTS: dict[str, str] = {
    "Production": "Production",
    '"@champion"': "@champion",
    "champion": "@champion",
    '"@production"': "@production",
    '"champ*"': "@champ*",
    '"@*"': "@*",
    '"*"': "*",
    '"Prod*"': "Prod*",
    '"[SP]*"': "[SP]*",
    '"@[ab]?"': "@[ab]?",
    "чемпион": "@чемпион",
}


@pytest.mark.parametrize(("written", "slot"), SLOTS.items(), ids=SLOTS)
def test_a_slot_is_a_stage_an_alias_or_a_pattern(written: str, slot: str) -> None:
    assert policy_of(f"slots: [{{slot: {written}, gates: [{{artifact: {{}}}}]}}]\n").rules[0].slots == (slot,)


def test_a_rule_says_which_models_it_is_about() -> None:
    [rule] = policy_of(
        "slots: [{slot: [Production, champion], models: risk-*, tags: {tier: 1}, gates: [{artifact: {}}]}]\n"
    ).rules

    assert (rule.slots, rule.models, rule.tags) == (("Production", "@champion"), ("risk-*",), {"tier": "1"})
    assert str(rule.at) == "reconciler.yaml:1:9"


def test_settings_and_checks_are_read() -> None:
    text = (
        "registry: https://mlflow.acme.example\nmanifests: ./models/\nformerly: acme/old#m\n"
        "limits: {max-change-percent: 12.5, max-change-models: 10}\nsigners: .reconciler/allowed_signers\n"
        "checks:\n  bias: {command: [python, a.py], timeout: 1h, environment: BIAS_DATA}\n"
        "  quality:\n    evaluate: {data: d.csv, targets: y, model-type: regressor, thresholds: {f1: {threshold: 1}}}\n"
    )

    policy, problems = parse_policy(
        SourceFile("reconciler.yaml", text.encode()), BUILD, "ada@acme.example ssh-ed25519 A"
    )

    assert problems == ()
    assert policy is not None
    assert policy.settings == PolicySettings(
        "https://mlflow.acme.example", "models", 12.5, 10, formerly=(RepositoryId("acme/old#m"),)
    )
    assert policy.signers == "ada@acme.example ssh-ed25519 A"
    assert policy.text == text
    assert policy.checks == {
        "bias": Check(
            "bias",
            Location("reconciler.yaml", 7, 3),
            command=("python", "a.py"),
            timeout=3600,
            environment=("BIAS_DATA",),
        ),
        "quality": Check(
            "quality",
            Location("reconciler.yaml", 8, 3),
            evaluate={
                "data": "d.csv",
                "targets": "y",
                "model_type": "regressor",
                "thresholds": {"f1": {"threshold": 1.0, "greater_is_better": True}},
            },
        ),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n", "null\n", "{}\n"])
def test_an_empty_policy_is_refused(text: str) -> None:
    assert [problem.code for problem in parsed(text)[1]] == [PolicyCode.EMPTY_POLICY]


def test_gates_are_judged_where_the_rest_is_wrong() -> None:
    text = "groups: 4\nslots:\n  - slot: 5\n    gates: [{approvals: {of: pair}}, {age: {}}]\n"

    assert found(text) == [(1, "wrong-type"), (3, "wrong-type"), (4, "asks-nothing")]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("signers: .reconciler/allowed_signers\n", ".reconciler/allowed_signers"),
        ("signers: a\nsolts: 5\n", "a"),
        ("signers: ../a\n", None),
        ("slots: []\n", None),
        ("- signers\n", None),
        ("signers: [", None),
        ("", None),
    ],
)
def test_the_signers_file_is_found_before_the_policy_is_judged(text: str, path: str | None) -> None:
    assert signers_path(SourceFile("reconciler.yaml", text.encode())) == path


def test_the_example_has_no_problems_and_is_what_editors_accept() -> None:
    text = EXAMPLE.read_bytes()
    policy, problems = parsed(text)
    [document] = read_documents(EXAMPLE.name, text)

    assert problems == ()
    assert policy is not None
    assert len(policy.rules) == 3
    assert document.root is not None
    assert accepts(core(document.root), VALIDATOR)
    _, _, where = text.decode().partition("\n")[0].partition("# yaml-language-server: $schema=")
    assert EXAMPLE.parent.joinpath(where).resolve() == texts.TOP / "schemas" / "policy.schema.json"


@pytest.mark.parametrize("path", [path for path in BAD if path.stem in {"top", "checks", "rules", "gates"}])
def test_the_schema_refuses_bad_policies(path: Path) -> None:
    documents = [one.root for one in read_documents(path.name, path.read_bytes()) if one.root is not None]

    assert [one for one in documents if accepts(core(one), VALIDATOR)] == []


entries = st.sampled_from(sorted(GATES)).flatmap(
    lambda gate: st.sampled_from(["", ", waive-on-rollback: true", ", override: {approvals: 2, of: owners}"]).map(
        lambda more: f"{{{gate}{more}}}"
    )
)
rules = st.tuples(st.sampled_from(sorted(SLOTS)), st.lists(entries, min_size=1, max_size=3)).map(
    lambda rule: f"{{slot: {rule[0]}, gates: [{', '.join(rule[1])}]}}"
)


@given(st.lists(rules, min_size=1, max_size=3))
def test_what_may_be_written_may_be_written_in_an_editor(written: list[str]) -> None:
    text = f"checks: {{bias: {{pytest: a}}}}\nslots: [{', '.join(written)}]\n"
    [document] = read_documents("reconciler.yaml", text.encode())
    assert document.root is not None

    assert parsed(text)[1] == ()
    assert accepts(core(document.root), VALIDATOR)


WORDS = [
    "slots",
    "slot",
    "gates",
    "models",
    "tags",
    "groups",
    "checks",
    "command",
    "pytest",
    "timeout",
    "path",
    "from",
    "soak",
    "stage",
    "for",
    "metric",
    "name",
    "threshold",
    "age",
    "min",
    "max",
    "artifact",
    "loadable",
    "pinned",
    "approvals",
    "count",
    "of",
    "check",
    "uses",
    "with",
    "cel",
    "condition",
    "freeze",
    "windows",
    "start",
    "duration",
    "override",
    "a",
]
JUNK = st.recursive(
    st.sampled_from(
        [
            "",
            "a",
            "3d",
            "Staging",
            "Production",
            "@a",
            "*",
            "owners",
            "ada@a",
            "a/b",
            "0 18 * * 5",
            0,
            1,
            -1,
            0.5,
            True,
            None,
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(
    JUNK
    | st.fixed_dictionaries(
        {"slots": st.lists(st.fixed_dictionaries({"slot": JUNK, "gates": st.lists(JUNK, max_size=2)}), max_size=2)}
    )
)
def test_the_schema_lets_through_what_is_accepted(data: Any) -> None:
    policy, problems = parsed(texts.flow(data))

    assert (policy is None) is (problems != ())
    assert policy is None or accepts(data, VALIDATOR)
    assert all(problem.code in CODES and str(problem).isprintable() for problem in problems)


@given(
    st.one_of(st.binary(), st.text().map(str.encode)),
    st.sampled_from([b"", b"slots: [{slot: a, gates: [", b"groups: "]),
)
def test_any_bytes_give_a_policy_or_problems(data: bytes, before: bytes) -> None:
    policy, problems = parsed(before + data)

    assert (policy is None) is (problems != ())
    assert all(problem.code in {*CODES, *YamlCode} and str(problem).isprintable() for problem in problems)


def test_nothing_is_looked_for_that_no_gate_uses() -> None:
    def surprise() -> Mapping[str, Any]:
        raise AssertionError("no gate of another package is used")

    build = replace(BUILD, plugins=surprise)

    assert parse_policy(SourceFile("reconciler.yaml", b"slots: [{slot: a, gates: [{artifact: {}}]}]\n"), build)[1] == ()


def test_reading_manifests_without_gates_imports_none() -> None:
    script = (
        "import sys; from reconciler.reading.manifest import parse; from types import SimpleNamespace as S;"
        "parse([S(path='a', data=b'model: a\\nstages: {Staging: 1}')]); print(*sorted(sys.modules))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not {"croniter", "celpy", "reconciler.gates", "reconciler.core.gate", "reconciler.reading.gates"} & set(
        loaded
    )


def test_of_missing_receipts_a_policy_acknowledges_no_more_than_the_limit() -> None:
    one = "- {receipt: 20260501T100000Z-1f3a9c0b2d, reason: The runner lost power.}\n"

    fine, too_many = (parsed(f"missing-receipts:\n{one * count}") for count in (MISSING_RECEIPTS, MISSING_RECEIPTS + 1))

    assert fine[0] is not None
    assert fine[0].missing_receipts[0].reason == "The runner lost power."
    assert [(p.code, p.location.line) for p in too_many[1]] == [("too-many-receipts", MISSING_RECEIPTS + 2)]


def test_what_a_registry_says_holds_for_it_and_the_rest_for_all() -> None:
    policy = policy_of(
        "limits: {max-change-percent: 20, max-change-models: 5}\n"
        "stages: {Production: champion}\n"
        "registries:\n"
        "  dev: {mode: alias, manifests: dev, prefix: D_}\n"
        "  prod-eu: {address: 'https://mlflow.acme.example', workspace: risk, limits: {max-change-percent: 5},\n"
        "    stages: {Production: live}, live: ['@live']}\n"
        "slots:\n"
        "- {slot: Production, gates: [{age: {min: 1h}}]}\n"
        "- {slot: Production, registries: prod-eu, gates: [{age: {min: 2h}}]}\n"
    )

    dev, prod = policy.of("dev"), policy.of("prod-eu")

    assert policy.registries == ("dev", "prod-eu")
    assert (len(dev.rules), len(prod.rules), len(policy.of("other").rules)) == (1, 2, 0)
    assert [len(policy.of(name, "dev").rules) for name in ("other", "")] == [1, 1], "by the folder it is dev"
    assert len(policy.of("other", "manifests/prod-eu").rules) == 2
    assert (dev.settings.manifests, dev.settings.prefix, dev.settings.registry) == ("dev", "D_", None)
    assert (prod.settings.manifests, prod.settings.prefix) == ("manifests/prod-eu", "PROD_EU_")
    assert (prod.settings.registry, prod.settings.workspace) == ("https://mlflow.acme.example", "risk")
    assert (dev.settings.slots.aliases_only, prod.settings.slots.aliases_only) == (True, False)
    assert [one.alias for one in (*dev.settings.slots.stages, *prod.settings.slots.stages)] == ["champion", "live"]
    assert [(s.max_change_percent, s.max_change_models) for s in (dev.settings, prod.settings)] == [(20, 5), (5, 5)]


GUARDED = "slots:\n- {slot: Production, registries: prod, gates: [{age: {min: 1h}}]}\n"
TWO = "registries: {prod: {manifests: p}, dev: {manifests: d}}\n"


@pytest.mark.parametrize(
    ("named", "folder", "now", "rules"),
    [
        ("prod", "p", TWO, 1),
        ("dev", "d", TWO, 0),
        ("prod", "live", "registries: {prod: {manifests: live}, dev: {manifests: d}}\n", 1),
        ("dev", "p", "registries: {dev: {manifests: p}, prod: {manifests: d}}\n", 1),
        ("live", "live", "registries: {live: {manifests: live}, dev: {manifests: d}}\n", 1),
        ("dev", "live", "registries: {dev: {manifests: live}}\nformerly: [a/b#p]\n", 1),
        ("new", "new", f"{TWO[:-2]}, new: {{manifests: new}}}}\n", 0),
        ("", "live", "manifests: live\n", 1),
    ],
    ids=["itself", "another", "by name", "by folder", "by neither", "by a former folder", "new", "alone"],
)
def test_a_registry_is_known_by_its_name_its_folders_or_by_what_is_named_no_more(
    named: str, folder: str, now: str, rules: int
) -> None:
    before = policy_of(TWO + GUARDED)

    assert len(before.of(named, folder, policy_of(now).settings).rules) == rules


def test_rules_of_different_registries_never_meet() -> None:
    def names(*registries: str) -> list[str]:
        rules = "".join(f"- {{slot: Production, {one}gates: [{{age: {{min: 1h}}}}]}}\n" for one in registries)
        policy = policy_of(f"registries: {{dev: {{}}, prod: {{}}}}\nslots:\n{rules}")
        return [guard.name for rule in policy.rules for guard in rule.guards]

    assert names("registries: dev, ", "registries: prod, ") == ["age", "age"]
    assert names("registries: dev, ", "registries: [prod, dev], ") == ["age", "age#2"]
    assert names("registries: dev, ", "") == ["age", "age#2"]
