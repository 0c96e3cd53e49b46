"""What must hold in every state of a house: nothing that somebody adds, removes or moves by hand opens a gate."""

import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.errors import ExitCode
from tests.house import GRACE, LINUS, Done, House, Trigger
from tests.house.scenes import GATES, NO_RULES, at_work, improving_by, pins, readme_policy

pytestmark = pytest.mark.house

FEW = settings(max_examples=10, derandomize=True, phases=(Phase.explicit, Phase.generate))
"""Each example is a repository, so there are few of them, each small, and none is looked for that is smaller still."""

SLOT = st.sampled_from(["Production", "@champion"])
CANDIDATE = st.sampled_from([2, 4, 5, 6])
SIGNED = st.booleans()

RULES = (
    "  - path: {from: Staging}\n",
    "  - soak: {stage: Staging, for: 3d}\n",
    "  - metric: {name: f1, threshold: 0.69}\n",
    "  - approvals: {count: 1, of: owners}\n",
)


def policy(rules: Iterable[int]) -> str:
    gates = "".join(RULES[rule] for rule in sorted(set(rules)))
    return f'slots:\n- slot: [Production, "@champion*"]\n  gates:\n{gates}' if gates else NO_RULES


@contextmanager
def house(slot: str, rules: str, *, signed: bool) -> Generator[House]:
    """One at work, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="reconciler-house-") as folder:
        made = House.build(Path(folder), signed=signed)
        at_work(made, slot, rules)
        yield made


def asked(house: House, slot: str, version: int, *, approved: bool) -> Done:
    """What the review of a request says that declares the version, and nothing else."""
    request = house.request(pins({slot: version}))
    if approved:
        house.approve(GRACE, request)
    done = house.plan(request)
    house.close(request)
    return done


def let_in(done: Done) -> bool:
    return done.exit_code == ExitCode.OK


@FEW
@given(SLOT, CANDIDATE, SIGNED, st.booleans(), st.sets(st.integers(0, 3)), st.integers(0, 3), st.booleans())
def test_another_rule_never_lets_in_what_was_refused(
    slot: str, version: int, signed: bool, approved: bool, rules: set[int], another: int, by_hand: bool
) -> None:
    answers: list[Done] = []
    for standing in (rules, rules | {another}):
        with house(slot, policy(standing), signed=signed) as made:
            if by_hand:
                made.by_hand("churn", version, slot)
            answers.append(asked(made, slot, version, approved=approved))

    fewer, more = answers
    assert let_in(fewer) or not let_in(more)
    assert fewer.noes(slot) <= more.noes(slot)


MOVES = st.lists(st.tuples(CANDIDATE, st.sampled_from(["Production", "Staging", "Archived", "@champion"])), max_size=4)


@FEW
@given(SLOT, CANDIDATE, SIGNED, st.booleans(), MOVES, st.sampled_from([GATES, improving_by(0.03)]))
def test_moving_by_hand_never_turns_a_refusal_into_an_entrance(
    slot: str, version: int, signed: bool, approved: bool, moves: list[tuple[int, str]], rules: str
) -> None:
    # Not into Staging: who is moved there by hand is on the way that path and soak ask for.
    kept = [(moved, to) for moved, to in moves if to != "Staging"]
    with house(slot, rules, signed=signed) as made:
        before = asked(made, slot, version, approved=approved)
        for moved, to in [*kept, (version, slot)]:
            made.by_hand("churn", moved, to)
        after = asked(made, slot, version, approved=approved)

    assert let_in(before) or not let_in(after), after.text


def owner_record(house: House, _version: int) -> None:
    house.delete_owner_record("churn")


def record_of(house: House, version: int) -> None:
    house.put_record("churn", version, "")


def all_records(house: House, _version: int) -> None:
    for number in range(1, 7):
        house.put_record("churn", number, "")


def run_of(house: House, version: int) -> None:
    house.runs.delete_run("churn", version)


def incumbents_run(house: House, _version: int) -> None:
    for number in (4, 5):
        house.runs.delete_run("churn", number)


def the_forge(house: House, _version: int) -> None:
    house.forge_is_down()


EVIDENCE: tuple[Callable[[House, int], None], ...] = (
    owner_record,
    record_of,
    all_records,
    run_of,
    incumbents_run,
    the_forge,
)


@FEW
@given(
    SLOT,
    CANDIDATE,
    SIGNED,
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(EVIDENCE), min_size=1, max_size=3, unique=True),
)
def test_evidence_that_is_gone_never_lets_in_what_was_refused(
    slot: str, version: int, signed: bool, approved: bool, promoted: bool, gone: list[Callable[[House, int], None]]
) -> None:
    with house(slot, GATES, signed=signed) as made:
        if promoted:
            made.merge(pins({slot: 5}), approved_by=[GRACE])
            made.apply()
        before = asked(made, slot, version, approved=approved)
        for remove in gone:
            remove(made, version)
        after = asked(made, slot, version, approved=approved)

    assert let_in(before) or not let_in(after), after.text


def nothing(_house: House, _slot: str) -> None:
    pass


def days_go_by(house: House, _slot: str) -> None:
    house.clock.later(days=40)


def the_old_run_is_deleted(house: House, _slot: str) -> None:
    house.runs.delete_run("churn", 4)


def the_old_one_is_edited(house: House, _slot: str) -> None:
    house.describe("churn", 4)


def the_old_one_is_moved(house: House, _slot: str) -> None:
    house.by_hand("churn", 4, "Staging")


def another_is_put_in(house: House, slot: str) -> None:
    house.by_hand("churn", 6, slot)


def nobody_answers(house: House, _slot: str) -> None:
    house.forge_is_down()


MEANWHILE: tuple[Callable[[House, str], None], ...] = (
    nothing,
    days_go_by,
    the_old_run_is_deleted,
    the_old_one_is_edited,
    the_old_one_is_moved,
    another_is_put_in,
    nobody_answers,
)


@FEW
@given(SLOT, SIGNED, st.lists(st.sampled_from(MEANWHILE), max_size=3, unique=True), st.sampled_from(list(Trigger)))
def test_a_rollback_to_a_version_that_is_there_with_its_files_passes_the_readmes_policy(
    slot: str, signed: bool, meanwhile: list[Callable[[House, str], None]], trigger: Trigger
) -> None:
    with house(slot, readme_policy(), signed=signed) as made:
        request = made.merge(pins({slot: 5}), approved_by=[GRACE])
        promoted = made.apply()
        for happens in meanwhile:
            happens(made, slot)
        made.revert(request, by=LINUS)
        done = made.apply(trigger)
        held = made.in_slot("churn", slot)

    assert promoted.exit_code == ExitCode.OK, promoted.message
    assert done.exit_code == ExitCode.OK, done.message
    assert held == (4,)


def a_note(house: House, _slot: str) -> None:
    house.merge(files={f"docs/{len(house.pushes)}.md": "A note\n"}, by=LINUS)


def loosened(house: House, _slot: str) -> None:
    house.merge(policy=f"{NO_RULES}# {len(house.pushes)}\n", by=LINUS)


def a_run_between(house: House, _slot: str) -> None:
    house.apply()


LATER: tuple[Callable[[House, str], None], ...] = (a_note, loosened, a_run_between)


@FEW
@given(
    SLOT,
    SIGNED,
    st.booleans(),
    st.lists(st.sampled_from(LATER), min_size=1, max_size=4),
    st.sampled_from(list(Trigger)),
)
def test_whatever_later_run_applies_a_pin_its_verdicts_are_the_same(
    slot: str, signed: bool, approved: bool, later: list[Callable[[House, str], None]], trigger: Trigger
) -> None:
    answers: list[Done] = []
    for happens in ([], later):
        with house(slot, GATES, signed=signed) as made:
            made.merge(pins({slot: 6}), approved_by=[GRACE] if approved else [])
            for one in happens:
                one(made, slot)
            answers.append(made.apply(trigger))

    at_once, afterwards = answers
    assert at_once.rulings(slot)
    assert afterwards.rulings(slot) == at_once.rulings(slot)
