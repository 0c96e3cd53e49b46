"""Names that pass for others get nothing in; names of real languages do."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.core.desired import Declared, Manifest
from reconciler.core.gate import Guard, Verdict
from reconciler.core.likeness import StandingNames, standing_names
from reconciler.core.names import AliasName, Commit, Slot
from reconciler.core.plan import Plan, PlanOptions
from reconciler.core.policy import Policy, Rule
from reconciler.core.review import Review, Scope
from reconciler.core.snapshot import ModelSnapshot
from reconciler.errors import Location
from reconciler.events import OutcomeStatus
from reconciler.gates.path import Path
from reconciler.pipeline import ApplyRequest, apply
from reconciler.planning import declare, make_plan, make_review
from reconciler.rules import Rules
from tests.build import FIRST, SECOND, P, S, have, owns, want
from tests.unit.test_looks import REAL_NAMES
from tests.world import stage

AT = Location("reconciler.yaml", 3, 5)
PATH = Guard("path", Path(("Staging",)), AT)
Commits = Mapping[Commit, tuple[Manifest, ...]]


def policy(slot: str = "@champion*", models: str = "*") -> Policy:
    return Policy((Rule((slot,), (PATH,), AT, (models,)),))


def rules(*before: Manifest, policy: Policy = Policy()) -> Rules:
    return Rules(policy=policy, names=standing_names({m.name: m for m in before}))


def planned(now: tuple[Manifest, ...], *live: ModelSnapshot, rules: Rules = Rules()) -> Plan:
    setting = stage({FIRST: now}, *live)
    return make_plan(setting.world, declare(setting.world, None).desired, PlanOptions(), rules)


def reviewed(now: tuple[Manifest, ...], *live: ModelSnapshot, rules: Rules = Rules()) -> Review:
    setting = stage({FIRST: now}, *live)
    declaration = declare(setting.world, None)
    return make_review(setting.world, declaration, PlanOptions(), scope=Scope.NONE, base=None, ref=None, rules=rules)


def codes(plan: Plan) -> list[str]:
    return [blocker.code for model in plan.models for blocker in model.blockers]


def verdicts(plan: Plan) -> list[Verdict]:
    return [verdict for model in plan.models for verdict in model.verdicts]


LIVE = have({1: P, 2: S}, {"champion": 1})


def test_a_new_alias_that_looks_like_one_of_the_model_is_refused() -> None:
    now = want({}, {"champion": 1, "chɑmpion": 2})

    assert codes(planned((now,), LIVE)) == ["looks-like-another"]


def test_one_that_looks_like_an_alias_of_the_registry_is_refused() -> None:
    assert codes(planned((want({}, {"chɑmpion": 2}),), LIVE)) == ["looks-like-another"]


def test_one_that_looks_like_an_alias_which_the_change_takes_away_is_refused() -> None:
    before = want({}, {"champion": 1})

    plan = planned((want({}, {"chɑmpion": 2}),), have({1: P, 2: S}, owner=owns("champion")), rules=rules(before))

    assert codes(plan) == ["looks-like-another"]


@pytest.mark.parametrize("alias", ["Рrоduсtion", "ꓢtaging", "lɑtest", "ѵ10", "ѵӀ"])
def test_one_that_looks_like_a_reserved_word_is_refused(alias: str) -> None:
    assert "looks-like-another" in codes(planned((want({}, {alias: 1}),), LIVE))


@pytest.mark.parametrize("slot", ["@champion", "@champion*", "@*hampion", "@[cC]hampion", "@c?ampion"])
def test_one_that_looks_like_a_slot_of_the_policy_is_refused_and_under_its_rule(slot: str) -> None:
    live = have({1: P, 2: P})
    plan = planned((want({}, {"chɑmpion": 2}),), live, rules=rules(policy=policy(slot)))

    assert codes(plan) == ["looks-like-another"]
    assert policy(slot).guards(live.name, Slot("@chɑmpion"), {}) == (PATH,)


@pytest.mark.parametrize("name", ["Rısk-eu", "Rіsk-eu", "Rιsk-eu", "rιѕk"])
def test_no_rule_for_models_is_evaded_by_a_letter(name: str) -> None:
    for_risk = policy("Production", "Risk*")

    plan = planned((want({P: [2]}, name=name),), have({1: P, 2: S}, name=name), rules=rules(policy=for_risk))

    assert "looks-like-another" in codes(plan)
    assert for_risk.guards(plan.models[0].model, P.slot, {}) == (PATH,)


def test_a_new_model_that_looks_like_another_is_refused_wherever_the_other_is() -> None:
    other, new = want({P: [1]}), want({P: [1]}, name="сһurn")
    live = (have({1: P}, owner=owns(P)), have({1: P}, name="сһurn"))

    beside = planned((other, new), *live, rules=rules(other))
    instead = planned((new,), *live, rules=rules(other))

    assert codes(beside) == ["looks-like-another", "mixed-scripts"]
    assert "looks-like-another" in codes(instead)


def test_a_name_that_was_refused_is_still_refused_when_the_next_change_is_applied() -> None:
    new = want({P: [1]}, name="rısk")
    risk = want({P: [1]}, name="risk")
    live = (have({1: P}, name="risk", owner=owns(P)), have({1: S}, name="rısk"))

    assert codes(planned((risk, new), *live, rules=rules(risk, new))) == ["looks-like-another"]


def test_apply_refuses_what_a_plan_refuses_and_does_the_rest() -> None:
    risk, new = want({P: [2]}, name="risk"), want({P: [1]}, name="rısk")
    setting = stage({FIRST: (risk, new)}, have({1: P, 2: S}, name="risk", owner=owns(P)), have({1: S}, name="rısk"))

    receipt = apply(setting.world, ApplyRequest(rules=rules(risk)), setting.events.append)

    assert {o.model: o.status for o in receipt.outcomes} == {
        "rısk": OutcomeStatus.BLOCKED,
        "risk": OutcomeStatus.APPLIED,
    }
    assert setting.registry.model("rısk").versions == have({1: S}).versions


def test_what_is_in_already_stays_and_is_told() -> None:
    risk, old = want({P: [1]}, name="risk"), want({P: [2]}, name="rısk")
    live = (have({1: P}, name="risk", owner=owns(P)), have({1: P, 2: S}, name="rısk", owner=owns(P)))

    review = reviewed((risk, old), *live, rules=rules(risk, old))

    assert codes(review.plan) == []
    assert [note.text for note in review.notes if "rısk" in note.text] == [
        "The model rısk looks like the model risk: its letter `ı` is U+0131 LATIN SMALL LETTER DOTLESS I."
    ]


def test_names_in_ascii_are_told_and_not_refused() -> None:
    review = reviewed((want({}, {"champion": 1, "charnpion": 2}), want(name="card_1"), want(name="card_l")), LIVE)

    assert codes(review.plan) == []
    assert [note.text.partition(":")[0] for note in review.notes] == [
        "The model card_1 looks like the model card_l",
        "The alias @champion of churn looks like `charnpion`",
    ]


def test_an_alias_that_somebody_set_by_hand_to_look_like_another_is_told() -> None:
    live = have({1: P, 2: S}, {"champion": 1, "chɑmpion": 2})

    review = reviewed((want({}, {"champion": 1}),), live)

    assert "@chɑmpion of churn is set in the registry" in " ".join(note.text for note in review.notes)


def test_a_new_owner_that_looks_like_somebody_is_told() -> None:
    owned = replace(want(), owners=Declared(("@асе",), AT))
    known = StandingNames({}, frozenset({"@ace"}))

    review = reviewed((owned,), LIVE, rules=Rules(names=known))

    assert "The new owner @асе looks like @ace: its letter `а` is U+0430 CYRILLIC SMALL LETTER A." in [
        note.text for note in review.notes
    ]


@pytest.mark.parametrize("name", REAL_NAMES)
def test_names_of_real_languages_come_in(name: str) -> None:
    others = [want(name=other) for other in REAL_NAMES if other != name]
    alias = AliasName("".join(c for c in name if c.isalnum()))

    plan = planned(
        (want({P: [1]}, {alias: 1}, name=name), *others),
        have({1: S}, {"champion": 1}, name=name),
        rules=rules(*others, policy=policy()),
    )

    assert codes(plan) == []


def test_the_guarded_name_itself_is_judged_and_not_refused() -> None:
    plan = planned((want({}, {"champion": 2}),), LIVE, rules=rules(policy=policy()))

    assert (codes(plan), len(verdicts(plan))) == ([], 1)


def test_a_commit_that_is_not_the_standing_one_makes_no_name_old() -> None:
    chosen: Commits = {FIRST: (want(),), SECOND: (want(), want(name="сһurn"))}
    setting = stage(dict(chosen), have({1: P}))

    plan = make_plan(setting.world, declare(setting.world, None).desired, PlanOptions(), rules(*chosen[FIRST]))

    assert "looks-like-another" in codes(plan)
