"""Whatever names are declared at once, no two that are let in pass for each other."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.desired import resolve
from reconciler.core.likeness import StandingNames, refuse_look_alikes
from reconciler.core.looks import skeleton
from reconciler.core.names import AliasName, alias_fault, look_alike_fault
from reconciler.core.plan import PlanOptions, build_plan
from reconciler.core.policy import Policy
from tests.build import P, desired, have, owns, registry, want

# Of each letter, some that are drawn like it, and some that are not.
LETTERS = "aɑαаáo0oοоօi1lІӀıрpсcеeéбжゎ力カ一ー-_"
NAMES = st.text(LETTERS, min_size=1, max_size=3).filter(
    lambda name: alias_fault(name) is None and look_alike_fault(name) is None
)


def pass_for_each_other(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of which one is not ASCII, and that are no spelling of one name in capitals."""
    return [
        (one, other)
        for one in names
        for other in names
        if not one.isascii() and skeleton(one) == skeleton(other) and one.casefold() != other.casefold()
    ]


@given(st.lists(NAMES, unique=True, min_size=2, max_size=8))
def test_no_two_new_models_that_are_let_in_pass_for_each_other(names: list[str]) -> None:
    wanted = desired(*(want({P: [1]}, name=name) for name in names))
    live = registry(*(have({1: P}, name=name) for name in names))

    plan = refuse_look_alikes(build_plan(wanted, live, PlanOptions()), live, wanted, StandingNames(), Policy())

    assert pass_for_each_other([model.model for model in plan.models if not model.blocked]) == []


@given(st.lists(NAMES, unique=True, min_size=1, max_size=5), st.lists(NAMES, unique=True, max_size=5))
def test_no_new_alias_that_is_let_in_passes_for_another(declared: list[str], there: list[str]) -> None:
    wanted = desired(want({}, dict.fromkeys(declared, 1)))
    live = registry(have({1: P}, dict.fromkeys(there, 1)))

    plan = refuse_look_alikes(build_plan(wanted, live, PlanOptions()), live, wanted, StandingNames(), Policy())

    pairs = pass_for_each_other(sorted({*declared, *there}))
    assert plan.blocked or not {one for one, _ in pairs} & set(declared)


@given(*(st.lists(NAMES, unique=True, max_size=4) for _ in range(2)))
def test_no_figure_of_a_plan_is_below_zero(declared: list[str], owned: list[str]) -> None:
    wanted = desired(*(want({P: [1]}, name=name) for name in declared))
    live = registry(*(have({1: P}, name=name, owner=owns(P)) for name in owned))

    bare = build_plan(wanted, live, PlanOptions(allow_empty=True, force=True))
    plan = refuse_look_alikes(bare, live, wanted, StandingNames(), Policy())

    assert 0 <= plan.summary.unchanged <= plan.governed == len(declared)


@given(st.lists(NAMES, unique=True, max_size=6))
def test_every_pair_that_passes_for_each_other_is_a_warning(names: list[str]) -> None:
    _, problems = resolve([want({}, {AliasName(name): 1 for name in names})])

    assert bool(pass_for_each_other(names)) <= any(p.code == "looks-like-another" for p in problems)
