"""A gate is declared once, whoever brings it: its reader, its messages and its schema come from its keys."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from jsonschema import Draft7Validator

from reconciler.core.gate import Entrance, FactKey, Facts, Gate, Judgement, passed
from reconciler.errors import Fault, Problem
from reconciler.gates.catalogue import CATALOGUE
from reconciler.gates.parameters import (
    GateFactory,
    GateKind,
    Given,
    Key,
    Name,
    NotNegative,
    Seconds,
    Surroundings,
    keys_of,
)
from reconciler.ports import SourceFile
from reconciler.reading.gates import GateBuilder
from reconciler.reading.policy import parse_policy
from reconciler.reading.schemas import policy_schema
from tests.unit.test_schemas import accepts

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Tier:
    """A size that is allowed for so long."""

    size: Annotated[NotNegative, Key("The size.", examples=(1.5,))]
    lasts: Annotated[Seconds, Key("How long, at least.", examples=("3d",), name="for")] = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """The files of a version are no larger than this."""

    most: Annotated[float, Key("The largest size.", examples=(1.5,))]
    unit: Annotated[Literal["MB", "GB"], Key("Its unit.", examples=("GB",))] = "MB"
    of: Annotated[Name | None, Key("A group that may do more.", examples=("risk-committee",))] = None
    tiers: Annotated[tuple[Tier, ...], Key("Others.", examples=([{"size": 1}],))] = ()
    checks: Annotated[frozenset[str], Given("checks")] = frozenset()

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return ()

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        return passed("fine")

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if not self.most > 0:
            yield Fault("too-small", " is too\nsmall.", "Raise it.", ("most",))
        if self.of is not None and self.of not in (around.groups or {}):
            yield Fault("unknown-group", " is no group.", "Add it.", ("of",))


SIZE = GateKind("size", Size, asks="be no larger than this", example={"most": 1.5})
OF_HOUSE = GateBuilder(catalogue={**CATALOGUE, "size": SIZE})


def of_package(make: GateFactory) -> GateBuilder:
    return GateBuilder(plugins=lambda: {"acme-size": lambda: make})


def read(gate: str, build: GateBuilder) -> tuple[Gate | None, list[Problem]]:
    text = (
        "groups: {pair: [a@acme.example]}\nchecks: {bias: {pytest: a}}\n" + f"slots: [{{slot: a, gates: [\n{gate}]}}]\n"
    )
    policy, problems = parse_policy(SourceFile("reconciler.yaml", text.encode()), build)
    return None if policy is None else policy.rules[0].guards[0].gate, list(problems)


def entry(build: GateBuilder, keys: str) -> str:
    return f"size: {{{keys}}}" if build is OF_HOUSE else f"{{uses: acme-size, with: {{{keys}}}}}"


DOORS = pytest.mark.parametrize("build", [OF_HOUSE, of_package(Size)], ids=["of the house", "of a package"])


@DOORS
def test_a_gate_needs_nothing_but_itself_and_its_place_in_the_catalogue(build: GateBuilder) -> None:
    gate, problems = read(entry(build, "most: 2, unit: GB, of: pair, tiers: [{size: 1}, {size: 2, for: 3d}]"), build)

    assert problems == []
    assert gate == Size(2.0, "GB", "pair", (Tier(1.0), Tier(2.0, 259_200.0)), frozenset({"bias"}))


WRONG: dict[str, tuple[str, str]] = {
    "most: big": (
        "wrong-type",
        "is `big`; expected a number. Write it in digits, such as `0.8`, without quotes.",
    ),
    "most: 2, unit: KB": ("wrong-type", "is `KB`; expected one of MB, GB. Write one of these."),
    "unit: GB": ("missing-key", "has no key `most`, which is required. Add `most: …`."),
    "most: 2, unti: GB": (
        "unknown-key",
        "has no key `unti`; allowed: most, unit, of, tiers. Did you mean `unit`?",
    ),
    "most: 2, of: trio": ("unknown-group", "is no group. Add it."),
    "most: 2, tiers: [{size: -1}]": (
        "wrong-type",
        "is `-1`; expected a number that is not negative. Write `0` or more.",
    ),
    "most: 2, tiers: [{size: 1, for: 3}]": (
        "wrong-type",
        "is `3`; expected a duration. Write the unit: `3s`, or `m`, `h`, `d`, `w`.",
    ),
    "most: 2, checks: [bias]": (
        "unknown-key",
        "has no key `checks`; allowed: most, unit, of, tiers. Remove it.",
    ),
}


@DOORS
@pytest.mark.parametrize(("keys", "expected"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_with_its_keys_is_said_at_their_place(
    build: GateBuilder, keys: str, expected: tuple[str, str]
) -> None:
    written = entry(build, keys)

    _, [problem] = read(written, build)

    assert (problem.code, problem.location.line) == (expected[0], 4)
    assert str(problem).endswith(expected[1])
    assert "`slots[0].gates[0]." in problem.message


def test_a_package_has_no_codes_of_its_own_and_says_one_line() -> None:
    _, [problem] = read("{uses: acme-size, with: {most: 0}}", of_package(Size))

    assert problem.code == "refused-gate"
    assert str(problem).isprintable()


def test_keys_that_must_be_written_are_missed_without_with() -> None:
    _, [problem] = read("{uses: acme-size}", of_package(Size))

    assert str(problem).endswith("`slots[0].gates[0].with` has no key `most`, which is required. Add `most: …`.")


def unreadable(most: "Annotated[Decimal, Key('Cannot be looked up.', examples=(1,))]") -> Size:
    return Size(float(most))


def of_odd_type(most: Annotated[complex, Key("Nothing spells it.", examples=(1,))]) -> Size:
    return Size(most.real)


def of_mapping(parameters: "Mapping[str, Decimal]") -> Size:
    return Size(float(parameters["most"]))


def breaks(most: Annotated[float, Key("The maximum age.", examples=(1,))]) -> Size:
    raise RuntimeError(f"out\nof order: {most}")


def exits(most: Annotated[float, Key("The maximum age.", examples=(1,))]) -> Size:
    raise SystemExit(most)


REFUSED: dict[Callable[..., Size], str] = {
    unreadable: "its annotations cannot be read",
    of_odd_type: "nothing can be written for a parameter of the type <class 'complex'>",
    breaks: "acme-size failed on it: RuntimeError",
    exits: "acme-size failed on it: SystemExit",
}


@pytest.mark.parametrize(("make", "why"), REFUSED.items(), ids=[make.__name__ for make in REFUSED])
def test_a_package_that_cannot_be_asked_is_refused(make: GateFactory, why: str) -> None:
    _, [problem] = read("{uses: acme-size, with: {most: 1}}", of_package(make))

    assert problem.code == "refused-gate"
    assert why in problem.message
    assert str(problem).isprintable()


def test_what_says_nothing_of_keys_is_given_what_is_written() -> None:
    assert read("{uses: acme-size, with: {most: 1}}", of_package(of_mapping)) == (Size(1.0), [])


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_every_gate_of_the_catalogue_says_what_it_asks(kind: GateKind) -> None:
    assert kind.name == kind.name.lower()
    assert kind.asks
    assert not kind.asks.endswith(".")
    assert keys_of(kind.factory)
    assert set(kind.example) <= {key.key for key in keys_of(kind.factory)}


def test_an_editor_knows_the_keys_of_a_gate_in_a_catalogue() -> None:
    from reconciler.reading.gates import policy_gate_spec

    schema = policy_gate_spec(OF_HOUSE.catalogue).model_json_schema()
    gates = Draft7Validator({**schema, "definitions": schema["$defs"]})

    assert accepts({"size": {"most": 1, "tiers": [{"size": 1, "for": "3d"}]}}, gates)
    assert not accepts({"size": {"unit": "GB"}}, gates)
    assert not accepts({"size": {"most": 1, "unit": "KB"}}, gates)


def test_an_editor_knows_the_keys_of_the_gates_of_packages() -> None:
    schema = Draft7Validator(
        policy_schema({"acme-size": lambda: Size, "acme-other": lambda: of_mapping, "acme-exit": sys.exit})
    )

    def may_be(gate: Mapping[str, object]) -> bool:
        return accepts({"slots": [{"slot": "Production", "gates": [gate]}]}, schema)

    assert may_be({"uses": "acme-size", "with": {"most": 1, "tiers": [{"size": 1, "for": "3d"}]}})
    assert not may_be({"uses": "acme-size", "with": {"unit": "GB"}})
    assert not may_be({"uses": "acme-size", "with": {"most": 1, "tiers": [{"size": -1}]}})
    assert may_be({"uses": "acme-other", "with": {"anything": [1]}})
    assert may_be({"uses": "not-installed", "with": {"anything": [1]}})
