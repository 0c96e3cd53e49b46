"""What holds for every gate, whatever is or is not known."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reconciler.core.approval import counted
from reconciler.core.evidence import Dataset, Missing, RunFacts, VersionFacts
from reconciler.core.evidence import Metric as Measured
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    MODEL,
    NOBODY,
    NOW,
    PINNED,
    PRESENT,
    SLOTS,
    STAGE,
    Approval,
    ChangeFacts,
    CheckFacts,
    CheckRecord,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Guard,
    ModelFacts,
    Override,
    Pinned,
    Presence,
    Quorum,
    Ruling,
    Stay,
    Verdict,
    contained,
    judge_guard,
    on_rollback,
    stay,
)
from reconciler.core.names import Commit, Slot, Version
from reconciler.core.policy import Policy, Rule
from reconciler.core.signature import Array, Column, Compatibility, Parameter, Scalar, Signature, Tensor
from reconciler.errors import Location
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
from reconciler.gates.path import Path
from reconciler.gates.signature import SignatureGate
from reconciler.gates.soak import Soak
from reconciler.gates.tags import Tags
from tests.build import CHURN, SOMEWHERE

AT = "2026-05-11T09:30:00Z"
LATER = "2026-06-01T00:00:00Z"
BRANCH = "main"

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "f1", "Staging", "*", "two\nlines", "\x1b[31m", "\u202eevil", "ada@acme.example", "a" * 6000]
    ),
    st.text(max_size=12),
)
NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e308, -1e308, 5e-324]))
TIMES = st.one_of(
    st.sampled_from(
        [AT, "2026-05-08T18:00:00Z", "2026-05-11T09:30:00.5+02:00", "2026-10-25T01:30:00Z", "0001-01-01T00:00:00Z"]
    ),
    st.sampled_from(["9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "", "yesterday", "2026-05-11"]),
    st.datetimes().map(lambda when: when.isoformat() + "Z"),
)
STAGES = st.sampled_from(["None", "Staging", "Production", "Archived", "staging"])
PEOPLE = st.sampled_from(
    [
        "ada@acme.example",
        "@ada",
        "@grace",
        "Grace <grace@acme.example> @grace",
        "@acme/risk-ml",
        "аda@acme.example",
        "x",
    ]
)
TAGS = st.dictionaries(st.sampled_from(["f1", "stage", "ticket", "metrics"]), TEXTS, max_size=3)
DATASETS = st.one_of(st.none(), st.builds(Dataset, st.sampled_from(["holdout", "train"]), st.sampled_from(["1", "2"])))
MEASURED = st.lists(st.builds(Measured, st.sampled_from(["f1", "auc"]), NUMBERS, DATASETS), max_size=4).map(tuple)
WHATS = st.sampled_from(["version", "run", "metrics", "model", "signature", "flavors", "requirements", "size", "tags"])
GAPS = st.lists(st.builds(Missing, WHATS, TEXTS), max_size=2).map(tuple)
COLUMNS = st.lists(
    st.builds(
        Column,
        st.one_of(st.sampled_from(["age", ""]), TEXTS),
        st.sampled_from([Scalar("long"), Scalar("any"), Tensor("float32", (-1, 2)), Array(Scalar("string"))]),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
SIGNATURES = st.builds(
    Signature,
    st.one_of(st.none(), COLUMNS),
    st.one_of(st.none(), COLUMNS),
    st.one_of(st.none(), st.just((Parameter("depth", "long", "3"),))),
)
COMMITS = st.sampled_from(["", "main", "0" * 40])
REQUIREMENTS = st.lists(
    st.one_of(st.sampled_from(["numpy==1", "numpy", "-r x", "--pre", "a @ git+https://h/r@" + "0" * 40, "  "]), TEXTS),
    max_size=3,
).map(tuple)


def versions(number: int) -> st.SearchStrategy[VersionFacts]:
    runs = st.builds(
        RunFacts, TEXTS, name=TEXTS, status=st.sampled_from(["FINISHED", "FAILED", ""]), git_commit=COMMITS
    )
    return st.builds(
        VersionFacts,
        st.just(CHURN),
        st.just(Version(number)),
        description=TEXTS,
        tags=TAGS,
        created_at=TIMES,
        run=st.one_of(st.none(), st.builds(replace, runs, deleted=st.booleans())),
        metrics=MEASURED,
        params=TAGS,
        signature=st.one_of(st.none(), SIGNATURES),
        flavors=st.dictionaries(st.sampled_from(["sklearn", "python_function", "pytorch"]), TEXTS),
        python=TEXTS,
        requirements=st.one_of(st.none(), REQUIREMENTS),
        size=st.one_of(st.none(), st.integers()),
        missing=GAPS,
    )


RECORDS = st.builds(
    CheckRecord,
    st.sampled_from(["smoke", "other"]),
    st.booleans(),
    st.sampled_from(["d5", "d4", ""]),
    TIMES,
    st.booleans(),
)
DIGESTS = st.sampled_from(["d5", "d4", ""])


FACTS: Mapping[FactKey[Any], st.SearchStrategy[object]] = {
    CANDIDATE: versions(5),
    INCUMBENT: st.one_of(st.just(NOBODY), versions(4)),
    MODEL: st.builds(ModelFacts, st.just(CHURN), TEXTS, TAGS, st.lists(PEOPLE, max_size=2).map(tuple)),
    STAGE: st.one_of(STAGES, TEXTS),
    SLOTS: st.lists(st.one_of(STAGES, TEXTS), max_size=3).map(tuple),
    NOW: st.one_of(st.just(AT), TIMES),
    CHANGE: st.builds(
        ChangeFacts,
        st.just(Commit("c" * 40)),
        st.lists(PEOPLE, max_size=2).map(tuple),
        people=st.lists(PEOPLE, max_size=2).map(tuple),
        by_bots=st.booleans(),
    ),
    APPROVALS: st.lists(st.builds(Approval, st.one_of(PEOPLE, TEXTS), TEXTS, TIMES), max_size=3).map(tuple),
    CHECKS: st.builds(CheckFacts, st.sampled_from(["d5", ""]), st.lists(RECORDS, max_size=3).map(tuple)),
    PRESENT: st.builds(Presence, st.booleans(), TEXTS),
    PINNED: st.builds(Pinned, DIGESTS, DIGESTS),
    stay("Staging"): st.builds(Stay, st.one_of(st.none(), TIMES)),
    contained(BRANCH): st.booleans(),
}
KNOWN = st.fixed_dictionaries(dict(FACTS))


def told(data: st.DataObject, *gates: Gate) -> dict[FactKey[Any], object]:
    """Something for every fact that the gates ask for, and the time, which overrides are held against."""
    needed = dict.fromkeys([*(key for gate in gates for key in gate.needs(ENTRANCE)), NOW])
    return data.draw(st.fixed_dictionaries({key: FACTS[key] for key in needed}))


GROUPS = {"risk": ("ada@acme.example", "Grace <grace@acme.example> @grace"), "@acme/risk-ml": ("@ada",), "empty": ()}
CRONS = st.sampled_from(["0 18 * * 5", "30 2 * * *", "0 0 29 2 *", "*/5 * * * *", "0 0 30 2 *", "0 R * * *", "x"])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Nowhere/Land"])
QUORUMS = st.builds(Quorum, st.integers(0, 3), st.sampled_from(["owners", "risk", "empty", "absent"]))
OPTIONAL_NUMBERS = st.one_of(st.none(), NUMBERS)


def always(answer: bool | str) -> Callable[[str, Mapping[str, object]], bool | str]:
    return lambda _condition, _variables: answer


GATES: Mapping[str, st.SearchStrategy[Gate]] = {
    "path": st.builds(Path, st.lists(STAGES, max_size=2).map(tuple)),
    "soak": st.builds(Soak, st.just("Staging"), NUMBERS),
    "metric": st.builds(
        Metric,
        st.just("f1"),
        OPTIONAL_NUMBERS,
        OPTIONAL_NUMBERS,
        OPTIONAL_NUMBERS,
        st.booleans(),
        st.sampled_from(["", "holdout", "1"]),
    ),
    "tags": st.builds(Tags, TAGS, st.sampled_from(["version", "model"])),
    "description": st.builds(Description, st.integers(0, 20), TEXTS),
    "signature": st.builds(SignatureGate, st.frozensets(st.sampled_from(list(Compatibility)))),
    "lineage": st.builds(Lineage, st.booleans(), st.booleans(), st.sampled_from(["", BRANCH])),
    "age": st.builds(Age, OPTIONAL_NUMBERS, OPTIONAL_NUMBERS),
    "flavors": st.builds(Flavors, st.lists(st.sampled_from(["sklearn", "py*", "*"]), max_size=2).map(tuple)),
    "requirements": st.builds(
        Requirements, st.booleans(), st.lists(st.sampled_from(["numpy", "a*"]), max_size=1).map(tuple)
    ),
    "artifact": st.builds(Artifact, st.booleans(), st.booleans()),
    "freeze": st.builds(
        Freeze,
        st.lists(
            st.builds(Window, CRONS, st.one_of(st.sampled_from([3600.0, 86400.0]), NUMBERS), ZONES), max_size=2
        ).map(tuple),
        st.booleans(),
    ),
    "approvals": st.builds(Approvals, QUORUMS, st.just(GROUPS)),
    "check": st.builds(CheckGate, st.just("smoke"), OPTIONAL_NUMBERS, st.booleans()),
    "cel": st.builds(
        Cel,
        st.sampled_from(["candidate.size < 9", "incumbent == null", "model.name != change.subject", "true"]),
        TEXTS,
        st.one_of(st.booleans(), TEXTS).map(always),
    ),
}
ANY_GATE: st.SearchStrategy[Gate] = st.one_of(*GATES.values())
ENTRANCE = Entrance(CHURN, Version(5), Slot("Production"), Version(4))
ENTRANCES = st.builds(
    Entrance,
    st.just(CHURN),
    st.just(Version(5)),
    st.sampled_from([Slot("Production"), Slot("@champion")]),
    st.sampled_from([None, Version(4)]),
    st.booleans(),
)
GUARDS = st.builds(
    Guard,
    st.sampled_from(["one", "two", "three"]),
    ANY_GATE,
    st.builds(Location, st.just("reconciler.yaml"), st.integers(1, 99), st.just(1)),
    st.none() | st.booleans(),
    st.one_of(st.none(), QUORUMS),
)


def of(verdicts: Iterable[Verdict]) -> list[str]:
    return sorted(map(repr, verdicts))


def judged(guards: Iterable[Guard], entrance: Entrance, facts: Facts) -> list[Verdict]:
    return [judge_guard(guard, entrance, facts) for guard in guards]


def policy(guards: Iterable[Guard]) -> Policy:
    """Each guard by a rule of its own."""
    return Policy(tuple(Rule(("*",), (guard,), guard.at) for guard in guards))


def test_every_gate_of_the_catalogue_is_tried_here() -> None:
    assert list(GATES) == list(CATALOGUE)


@pytest.mark.parametrize("kind", GATES)
@settings(max_examples=30)
@given(st.data())
def test_a_fact_that_is_missing_blocks(kind: str, data: st.DataObject) -> None:
    gate = data.draw(GATES[kind])
    assume(gate.needs(ENTRANCE))
    known = told(data, gate)
    lost = data.draw(st.sampled_from(list(gate.needs(ENTRANCE))))

    left = {key: value for key, value in known.items() if key != lost}
    verdict = judge_guard(Guard(kind, gate, SOMEWHERE), ENTRANCE, Facts(left))

    assert verdict.blocks
    assert verdict.ruling is Ruling.UNKNOWN


@pytest.mark.parametrize("kind", GATES)
@settings(max_examples=60)
@given(st.data(), ENTRANCES)
def test_there_is_a_plain_answer_to_everything(kind: str, data: st.DataObject, entrance: Entrance) -> None:
    gate = data.draw(GATES[kind])

    judgement = gate.judge(entrance, Facts(told(data, gate)))

    assert judgement.ruling in {Ruling.PASS, Ruling.FAIL, Ruling.UNKNOWN}
    assert judgement.sentence.strip()
    assert judgement.sentence.isprintable()
    assert len(judgement.sentence) < 2000


@pytest.mark.parametrize("kind", GATES)
@settings(max_examples=10)
@given(st.data(), KNOWN)
def test_a_gate_looks_at_nothing_that_it_does_not_ask_for(
    kind: str, data: st.DataObject, known: dict[FactKey[Any], object]
) -> None:
    gate = data.draw(GATES[kind])
    needs = set(gate.needs(ENTRANCE))

    judgement = gate.judge(ENTRANCE, Facts({key: value for key, value in known.items() if key in needs}))

    assert judgement == gate.judge(ENTRANCE, Facts(known))


OF_THE_CANDIDATE = ["metric", "description", "signature", "lineage", "age", "flavors", "requirements"]


@pytest.mark.parametrize("kind", OF_THE_CANDIDATE)
@settings(max_examples=30)
@given(st.data(), st.one_of(TEXTS, st.just("the server did not answer")))
def test_a_version_that_could_not_be_read_is_not_let_in(kind: str, data: st.DataObject, why: str) -> None:
    gate = data.draw(GATES[kind])
    unread = VersionFacts(CHURN, Version(5), missing=(Missing("version", why),))

    judgement = gate.judge(ENTRANCE, Facts({**told(data, gate), CANDIDATE: unread}))

    assert judgement.ruling is Ruling.UNKNOWN


@pytest.mark.parametrize("kind", OF_THE_CANDIDATE)
@settings(max_examples=30)
@given(st.data(), TAGS)
def test_no_tag_can_pass_for_a_fact(kind: str, data: st.DataObject, tags: dict[str, str]) -> None:
    gate = data.draw(GATES[kind])
    known = told(data, gate)
    candidate = known[CANDIDATE]
    assert isinstance(candidate, VersionFacts)

    judgement = gate.judge(ENTRANCE, Facts({**known, CANDIDATE: replace(candidate, tags=tags)}))

    assert judgement == gate.judge(ENTRANCE, Facts(known))


@given(st.data(), st.lists(GUARDS, max_size=3), GUARDS, ENTRANCES)
def test_another_guard_never_lets_in_what_was_refused(
    data: st.DataObject, guards: list[Guard], another: Guard, entrance: Entrance
) -> None:
    facts = Facts(told(data, *(guard.gate for guard in (*guards, another))))

    before = judged(policy(guards).guards(CHURN, entrance.slot, {}), entrance, facts)
    after = judged(policy([*guards, another]).guards(CHURN, entrance.slot, {}), entrance, facts)

    assert any(v.blocks for v in after) or not any(v.blocks for v in before)
    assert after[: len(before)] == before


@given(st.data(), st.lists(GUARDS, max_size=4), ENTRANCES)
def test_the_order_of_guards_makes_no_difference(data: st.DataObject, guards: list[Guard], entrance: Entrance) -> None:
    facts = Facts(told(data, *(guard.gate for guard in guards)))
    other = data.draw(st.permutations(guards))

    one, two = (judged(policy(order).guards(CHURN, entrance.slot, {}), entrance, facts) for order in (guards, other))

    assert of(one) == of(two)


@given(st.data(), GUARDS, ENTRANCES, st.one_of(st.none(), st.lists(PEOPLE, max_size=3)), st.sampled_from([LATER, AT]))
def test_only_a_no_is_waived_or_overridden(
    data: st.DataObject, guard: Guard, entrance: Entrance, approvers: list[str] | None, until: str
) -> None:
    facts = Facts(told(data, guard.gate))
    own = guard.gate.judge(entrance, facts)

    verdict = judge_guard(guard, entrance, facts, Override(guard.name, "it must go out", until, SOMEWHERE), approvers)

    remaining = on_rollback(guard.gate) if entrance.rollback and guard.waive_on_rollback is None else guard.gate
    rest = None if remaining is None else remaining.judge(entrance, facts)
    assert verdict.sentence in {own.sentence, own.sentence if rest is None else rest.sentence}
    match verdict.ruling:
        case Ruling.WAIVED:
            assert own.ruling.blocks
            assert entrance.rollback
            assert guard.waive_on_rollback is not False
            assert guard.waive_on_rollback or rest is None or not rest.ruling.blocks
            assert verdict.note
        case Ruling.OVERRIDDEN:
            assert own.ruling.blocks
            assert guard.override is not None
            assert len(set(approvers or ())) >= guard.override.count
            assert verdict.note
        case _:
            assert verdict.ruling is (own.ruling if rest is None or not own.ruling.blocks else rest.ruling)


@given(
    st.lists(st.builds(Approval, PEOPLE, st.just("review"), st.just(AT)), max_size=4),
    st.sets(PEOPLE),
    st.lists(PEOPLE, max_size=3),
    PEOPLE,
)
@example([Approval("@ada", "review", AT)], {"ada@acme.example @ada"}, [], "ada@acme.example")
def test_another_author_never_adds_an_approval(
    approvals: list[Approval], people: set[str], authors: list[str], another: str
) -> None:
    assert set(counted(approvals, people, [*authors, another])) <= set(counted(approvals, people, authors))


@given(
    st.lists(st.builds(Approval, PEOPLE, st.just("review"), st.just(AT)), max_size=4),
    st.sets(PEOPLE),
    st.lists(PEOPLE, max_size=3),
    st.lists(PEOPLE, max_size=3),
)
def test_to_know_that_names_are_one_persons_never_adds_an_approval(
    approvals: list[Approval], people: set[str], authors: list[str], known: list[str]
) -> None:
    assert len(counted(approvals, people, authors, known)) <= len(counted(approvals, people, authors))


@given(
    st.lists(st.builds(Approval, PEOPLE, st.just("review"), st.just(AT)), max_size=4),
    st.sets(PEOPLE),
    st.lists(PEOPLE, max_size=3),
)
def test_nobody_counts_twice_and_nobody_counts_who_did_not_approve(
    approvals: list[Approval], people: set[str], authors: list[str]
) -> None:
    found = counted([*approvals, *approvals], people, authors)

    assert len(found) == len(set(found)) <= len(people)
    assert set(found) <= {approval.who for approval in approvals}
    assert found == counted(list(reversed(approvals)), people, authors)
