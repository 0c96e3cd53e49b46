"""One hostile model costs itself only, and nothing that others write takes more than its share."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

import pytest

from reconciler.clocks import ProcessorStopwatch
from reconciler.core.changes import Change, TransitionStage
from reconciler.core.check_record import decode_record
from reconciler.core.drift import DriftStatus
from reconciler.core.evidence import Evidence, VersionFacts
from reconciler.core.gate import Entrance, FactKey, Facts, Guard, Judgement, Ruling, passed
from reconciler.core.limits import GATE_SECONDS, GATES
from reconciler.core.names import AliasName, ModelRef, Version
from reconciler.core.policy import Policy, Rule
from reconciler.core.review import Scope
from reconciler.core.signature import Array, Column, Scalar, Signature
from reconciler.core.snapshot import UnreadableRecord, decode_owner, decode_provenance
from reconciler.errors import OverBudgetError
from reconciler.events import OutcomeStatus
from reconciler.evidence.mlmodel import read_mlmodel
from reconciler.pipeline import ApplyRequest, apply
from reconciler.planning import declare, find_drift, make_review
from reconciler.ports import Asked, Stopwatch
from reconciler.render.formats import Format, rendered
from reconciler.rules import NO_RULES, Rules
from tests import exhibits
from tests.build import CHURN, FIRST, SECOND, P, S, have, owns, want
from tests.unit.test_judging import NO, POLICY, YES, guard, plan_of
from tests.world import Stage, stage


@dataclass(frozen=True)
class Does:
    """A gate of another package that does as it likes with one model, and passes the others."""

    deed: Callable[[], object]
    model: str = CHURN

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return ()

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        if entrance.model == self.model:
            return self.deed()  # pyright: ignore[reportReturnType]  # whatever it may be
        return passed("fine")


@dataclass(frozen=True)
class NeedsBroken:
    """A gate that breaks before it is asked."""

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        raise KeyError("no such key")

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        return passed("fine")


def raising(error: BaseException) -> Callable[[], object]:
    def deed() -> object:
        raise error

    return deed


def deep() -> object:
    return deep()


def two(*more: str) -> Stage:
    """Promotions of several models at once."""
    names = (CHURN, "other", *more)
    wanted = tuple(want({P: [2]}, name=name) for name in names)
    live = (have({1: P, 2: S}, owner=owns(P), name=name) for name in names)
    return stage({FIRST: (), SECOND: wanted}, *live)


def ruled(*guards: Guard) -> Rules:
    return Rules(policy=Policy((Rule(("Production",), guards, POLICY),)), base=FIRST)


def rulings(place: Stage, by: Rules, stopwatch: Stopwatch | None = None) -> dict[str, list[Ruling]]:
    plan = plan_of(replace(place.world, stopwatch=stopwatch), by)
    return {model.model: [verdict.ruling for verdict in model.verdicts] for model in plan.models}


BROKEN: dict[str, Callable[[], object]] = {
    "it raises": raising(ValueError("what is this?")),
    "it goes too deep": deep,
    "it asks for too much memory": raising(MemoryError()),
    "it answers nothing": lambda: None,
    "it answers something else": lambda: "pass",
    "it lets in by itself": lambda: Judgement(Ruling.OVERRIDDEN, "I say so"),
    "it says what is no text": lambda: Judgement(Ruling.PASS, "\ud800"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_gate_that_breaks_is_unknown_for_its_model_and_the_others_are_asked(case: str) -> None:
    expected = Ruling.PASS if "no text" in case else Ruling.UNKNOWN

    found = rulings(two(), ruled(guard(Does(BROKEN[case]), "theirs"), guard(YES, "ours")))

    assert found == {CHURN: [expected, Ruling.PASS], "other": [Ruling.PASS, Ruling.PASS]}


def test_a_gate_that_breaks_before_it_is_asked_is_unknown() -> None:
    assert rulings(two(), ruled(guard(NeedsBroken()))) == {CHURN: [Ruling.UNKNOWN], "other": [Ruling.UNKNOWN]}


def test_what_broke_is_said_without_addresses() -> None:
    deed = raising(OSError("cannot reach https://user:secret@host/x now"))

    plan = plan_of(two().world, ruled(guard(Does(deed))))

    sentence = plan.models[0].verdicts[0].sentence
    assert sentence == "the gate gave no answer: OSError: cannot reach … now"


@dataclass
class Fake:
    """A stopwatch that gates wind on themselves."""

    seconds: float = 0.0

    def spent(self) -> float:
        return self.seconds

    @contextmanager
    def stopping(self, seconds: float) -> Generator[None]:
        before = self.seconds
        yield
        if self.seconds - before > seconds:
            raise OverBudgetError

    def takes(self, seconds: float) -> Callable[[], object]:
        def deed() -> object:
            self.seconds += seconds
            return passed("at last")

        return deed


def test_a_model_whose_gates_take_all_its_time_leaves_the_others_theirs() -> None:
    clock = Fake()
    slow = [guard(Does(clock.takes(1.9)), f"slow {n}") for n in range(40)]

    found = rulings(two("third"), ruled(*slow, guard(YES, "last")), clock)

    assert found[CHURN].count(Ruling.PASS) < 9
    assert found[CHURN][-1] is Ruling.UNKNOWN
    assert set(found["other"]) == set(found["third"]) == {Ruling.PASS}


def test_many_hostile_models_together_take_no_more_than_there_is() -> None:
    clock = Fake()
    names = [f"a{n:03}" for n in range(100)]
    place = two(*names)
    wanted = ruled(*(guard(Does(clock.takes(1.9), name), name) for name in names[:GATES]))

    found = rulings(place, wanted, clock)

    assert clock.seconds < 100
    assert set(found["other"]) == {Ruling.PASS}


def test_a_gate_that_never_ends_is_stopped() -> None:
    def forever() -> object:
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001, S112  # as careless as somebody's gate may be
                continue

    began = time.process_time()
    found = rulings(two(), ruled(guard(Does(forever)), guard(YES)), ProcessorStopwatch())

    assert found == {CHURN: [Ruling.UNKNOWN, Ruling.PASS], "other": [Ruling.PASS, Ruling.PASS]}
    assert time.process_time() - began < 3 * GATE_SECONDS


def test_a_pattern_that_backtracks_for_ever_is_stopped() -> None:
    import re

    def forever() -> object:
        return re.fullmatch(r"(a|aa)+$", "a" * 60 + "b")

    found = rulings(two(), ruled(guard(Does(forever))), ProcessorStopwatch())

    assert found == {CHURN: [Ruling.UNKNOWN], "other": [Ruling.PASS]}


def test_a_stopwatch_leaves_no_alarm_behind() -> None:
    watch = ProcessorStopwatch()
    with pytest.raises(OverBudgetError), watch.stopping(0.1):
        spin(10)

    spin(0.3)


def spin(seconds: float) -> None:
    """Take so much CPU time."""
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_what_took_too_long_on_another_thread_is_found_out() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with ProcessorStopwatch().stopping(0.05):
                spin(0.1)
        except OverBudgetError as error:
            caught.append(error)

    thread = Thread(target=work)
    thread.start()
    thread.join()

    assert len(caught) == 1


def test_more_gates_than_a_slot_may_have_are_unknown_and_not_asked() -> None:
    asked: list[int] = []
    gates = [guard(Does(lambda n=n: asked.append(n) or passed("fine")), f"gate {n}") for n in range(GATES + 20)]

    plan = plan_of(two().world, ruled(*gates))

    verdicts = plan.models[0].verdicts
    assert len(verdicts) == GATES + 1
    assert (verdicts[-1].ruling, verdicts[-1].gate) == (Ruling.UNKNOWN, "too-many-gates")
    assert verdicts[-1].sentence == f"{GATES + 20} gates guard Production; at most {GATES} are allowed"
    assert len(asked) == GATES


def test_a_broken_gate_is_broken_under_the_proposed_policy_too_and_not_gone() -> None:
    place, standing = two(), ruled(guard(NO, "soak"))
    proposed = replace(ruled(guard(Does(deep), "soak")).policy, text="b")
    options = exhibits.PlanOptions()

    review = make_review(
        place.world,
        declare(place.world, "HEAD"),
        options,
        scope=Scope.NONE,
        base=None,
        ref=None,
        rules=replace(standing, proposed=proposed),
    )

    assert review.policy is not None
    assert {v.entrance.model: v.ruling for v in review.policy.proposed} == {
        CHURN: Ruling.UNKNOWN,
        "other": Ruling.PASS,
    }


def mlmodel(kind: object) -> bytes:
    inputs = json.dumps([{"name": "a", "required": True, **kind}])  # pyright: ignore[reportGeneralTypeIssues]
    return json.dumps({"flavors": {"sklearn": {}}, "signature": {"inputs": inputs, "outputs": None}}).encode()


def nested(depth: int) -> dict[str, object]:
    kind: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


@pytest.mark.parametrize("depth", [64, 449, 450, 900])
def test_a_signature_that_is_nested_too_deep_is_missing_and_not_compared(depth: int) -> None:
    file = read_mlmodel(mlmodel(nested(depth)))

    assert file.signature is None
    assert file.signature_fault in {
        "the MLmodel file has one whose types are nested more than 64 deep",
        "the MLmodel file has one that cannot be read",
    }


def test_a_signature_as_deep_as_is_read_can_be_compared_and_shown() -> None:
    old, new = (read_mlmodel(mlmodel(nested(depth))).signature for depth in (62, 63))
    name = ModelRef("risk-classifier")
    exhibit = exhibits.exhibit(
        VersionFacts(name, Version(5), signature=new), VersionFacts(name, Version(4), signature=old)
    )
    review = replace(exhibits.one_promotion(), evidence=Evidence(exhibits.NOW, (exhibit,)))

    for form in ("text", "markdown", "html", "json", "github"):
        assert "breaking" in rendered(review, Format(form), "0123456789ab")


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [1e400]}},
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": ["9" * 5000]}},
        {"type": "object", "properties": []},
        {"type": "\ud800"},
    ],
    ids=["infinite", "a number of many digits", "no mapping", "half a character"],
)
def test_a_signature_of_odd_values_does_not_break_the_file(kind: dict[str, object]) -> None:
    file = read_mlmodel(mlmodel(kind).replace(b"Infinity", b"1e400"))

    assert file.flavors == {"sklearn": ""}


def test_more_columns_than_are_read_are_a_missing_signature() -> None:
    inputs = json.dumps([{"type": "long"}] * 10_001)
    file = read_mlmodel(json.dumps({"flavors": {}, "signature": {"inputs": inputs}}).encode())

    assert file.signature_fault == "the MLmodel file has one with 10001 columns; at most 10000 are read"


RECORD = '{"format":1,"repository":"x","stages":[],"aliases":[],"commit":%s}'


@pytest.mark.parametrize(
    "commit", ['"\\ud800"', '"--upload-pack=x"', '"HEAD"', '"' + "a" * 39 + '"', '"' + "a" * 40 + '\\n"', '"a\\u0000"']
)
def test_a_record_that_names_no_commit_is_unreadable_and_never_reaches_git(commit: str) -> None:
    fields = '"author":"","applied_at":"","plan":"","repository":"","before":""'
    placed = '{"format":1,"slots":{"Production":{"commit":%s,' + fields + "}}}"

    assert isinstance(decode_owner(RECORD % commit), UnreadableRecord)
    assert decode_provenance(placed % commit) == {}


@pytest.mark.parametrize(
    "text", ["[" * 99_000, RECORD % f'"{"a" * 100_000}"', '{"a":' * 20_000], ids=["deep", "long", "both"]
)
def test_a_record_of_any_size_is_read_quickly_or_not_at_all(text: str) -> None:
    assert isinstance(decode_owner(text), UnreadableRecord)
    assert decode_provenance(text) == {}
    assert decode_record("reconciler.check.bias", text) is None


@dataclass
class Breaks:
    """Evidence of which one version cannot be compared."""

    def gather(self, asked: Iterable[Asked]) -> Mapping[Asked, VersionFacts]:
        def facts(one: Asked) -> VersionFacts:
            kind: Any = Scalar("long")
            for _ in range(2000 if one.model == CHURN else 1):
                kind = Array(kind)
            return VersionFacts(one.model, one.version, signature=Signature(inputs=(Column(str(one.version), kind),)))

        return {one: facts(one) for one in asked}


def test_evidence_that_cannot_be_compared_is_missing_for_its_version_alone() -> None:
    place = two()
    world = replace(place.world, evidence=Breaks())
    declared, options = declare(world, "HEAD"), exhibits.PlanOptions()

    review = make_review(world, declared, options, scope=Scope.PRODUCTION, base=None, ref=None)

    assert review.evidence is not None
    missing = {e.pairing.model: [gap.what for gap in e.candidate.missing] for e in review.evidence.exhibits}
    assert missing == {CHURN: ["version"], "other": []}
    assert "RecursionError" in rendered(review, Format.TEXT, "0123456789ab")


def test_a_call_that_breaks_leaves_a_receipt_and_the_other_models_applied() -> None:
    place = two()

    def before_call(_number: int, change: Change) -> None:
        if change.model == CHURN and isinstance(change, TransitionStage):
            raise RecursionError("too deep")

    place.registry.before_call = before_call

    receipt = apply(place.world, ApplyRequest(), place.events.append)

    assert {o.model: o.status for o in receipt.outcomes} == {
        CHURN: OutcomeStatus.FAILED,
        "other": OutcomeStatus.APPLIED,
    }
    assert "RecursionError: too deep" in receipt.outcomes[0].message


def test_a_model_whose_past_breaks_is_unknown_drift_and_the_others_are_told() -> None:
    place = two()

    class Endless(dict[AliasName, Version]):
        """Aliases that break whatever looks at them."""

        def items(self) -> Any:
            raise RecursionError("too deep")

    place.registry.write(replace(have({1: P, 2: S}, owner=owns(P)), aliases=Endless()))

    drift = find_drift(place.world, "HEAD", NO_RULES)

    assert {m.model: m.status for m in drift.models}[CHURN] is DriftStatus.UNKNOWN
    assert len(drift.models) == 2
