"""What a reviewer is shown cannot be made to lie, and what weighs most cannot be pushed out of sight."""

import json
from dataclasses import replace

import pytest

from reconciler.core.changes import SetAlias
from reconciler.core.desired import Declared
from reconciler.core.gate import Guard, Quorum, Ruling, failed
from reconciler.core.loosening import Shift
from reconciler.core.policy import Policy, Rule
from reconciler.core.review import Note, Review, Scope, Weight, weightiest
from reconciler.gates.soak import Soak
from reconciler.planning import declare, make_review
from reconciler.render.annotations import plan_annotations
from reconciler.render.formats import Format, rendered
from reconciler.render.markdown import length, markdown
from reconciler.rules import Rules
from tests import exhibits
from tests.build import FIRST, SECOND, SOMEWHERE, P, S, have, owns, want
from tests.unit.test_judging import NO, POLICY, YES, Says, guard, promotion
from tests.world import Stage, stage

KEY = "0123456789ab"


def policy(*guards: Guard, slot: str = "Production", text: str = "a", **more: object) -> Policy:
    return Policy((Rule((slot,), guards, POLICY),), text=text, **more)  # pyright: ignore[reportArgumentType]


def review_of(place: Stage, standing: Policy, proposed: Policy | None, **more: object) -> Review:
    rules = Rules(standing, proposed, FIRST, **more)  # pyright: ignore[reportArgumentType]
    options = exhibits.PlanOptions()
    declared = declare(place.world, "HEAD")
    return make_review(place.world, declared, options, scope=Scope.NONE, base=None, ref=None, rules=rules)


def shifts(review: Review) -> list[tuple[Shift, tuple[str, ...]]]:
    assert review.policy is not None
    return [(one.shift, one.refused_by) for one in review.policy.consequences]


def test_deleting_every_rule_is_said_to_admit_what_the_rules_refuse() -> None:
    review = review_of(promotion(), policy(guard(NO, "soak")), Policy(text="b"))

    assert shifts(review) == [(Shift.UNGUARDED, ("soak",))]
    assert review.policy is not None
    assert review.policy.proposed == ()
    for form in ("text", "markdown", "html", "sarif", "json"):
        shown = " ".join(rendered(review, Format(form), KEY).replace("&#39;", "'").split())
        assert "churn v2 into Production: the proposed policy would admit what the current one refuses" in shown
        assert "no gate would guard it" in shown


LOOSER = {
    "the rule goes": (Policy(text="b"), Shift.UNGUARDED),
    "the rule is moved to a slot that nothing enters": (
        policy(guard(NO, "soak"), slot="Productions", text="b"),
        Shift.UNGUARDED,
    ),
    "the rule is about other models": (
        Policy((Rule(("Production",), (guard(NO, "soak"),), POLICY, models=("other-*",)),), text="b"),
        Shift.UNGUARDED,
    ),
    "the gate asks less": (policy(guard(YES, "soak"), text="b"), Shift.ADMITTED),
    "another gate takes its place": (policy(guard(YES, "age"), text="b"), Shift.ADMITTED),
}


@pytest.mark.parametrize("case", LOOSER)
def test_whatever_loosens_a_rule_is_said_to_admit(case: str) -> None:
    proposed, shift = LOOSER[case]

    review = review_of(promotion(), policy(guard(NO, "soak")), proposed)

    assert shifts(review) == [(shift, ("soak",))]
    assert "admit 1 entrance" in rendered(review, Format.TEXT, KEY)


def test_a_waiver_that_lets_a_rollback_in_is_said_to_admit() -> None:
    live = have({1: S, 2: P}, owner=owns(P), placed={1: [P]})
    place = stage({FIRST: (want({P: [1]}),), SECOND: (want({P: [1]}),)}, live)
    gate = Says(failed("no"))

    review = review_of(
        place, policy(guard(gate, "soak")), policy(guard(gate, "soak", waive_on_rollback=True), text="b")
    )

    assert shifts(review) == [(Shift.ADMITTED, ("soak",))]
    assert review.policy is not None
    assert [one.relaxed for one in review.policy.exposed] == [("soak",)]


def test_a_loosened_policy_is_said_of_slots_that_nothing_enters_yet() -> None:
    live = have({1: P}, owner=owns(P, "champion"), aliases={"champion": 1})
    place = stage({FIRST: (), SECOND: (want({P: [1]}, {"champion": 1}),)}, live)
    both = Rule(("Production", "@champion"), (guard(Soak("Staging", 60.0), "soak"), guard(YES, "age")), POLICY)
    kept = Rule(("@champion",), (guard(YES, "age", override=Quorum(1)),), POLICY)

    review = review_of(place, Policy((both,), text="a"), Policy((kept,), text="b"))

    assert review.policy is not None
    assert [(e.slot, e.dropped, e.relaxed, e.left) for e in review.policy.exposed] == [
        ("Production", ("soak", "age"), (), 0),
        ("@champion", ("soak",), ("age",), 1),
    ]
    text = rendered(review, Format.TEXT, KEY)
    assert "Production of churn: no gate would guard it. Today: soak, age." in text
    assert "@champion of churn: soak would no longer apply." in text
    assert "@champion of churn: age could be waived or overridden more easily." in text


def test_a_gate_that_only_gets_another_name_is_not_called_dropped() -> None:
    gate = Soak("Staging", 60.0)

    review = review_of(promotion(), policy(guard(gate, "soak")), policy(guard(gate, "three days"), text="b"))

    assert review.policy is not None
    assert review.policy.exposed == ()


def test_a_change_of_the_signers_alone_is_said() -> None:
    standing = policy(guard(YES))

    review = review_of(promotion(), standing, replace(standing, signers="mallory ssh-ed25519 AAAA"))

    assert "> **Policy:** This change edits `reconciler.yaml` (signers)." in rendered(review, Format.MARKDOWN, KEY)
    assert "This change edits reconciler.yaml (signers)" in rendered(review, Format.HTML, KEY)


def test_a_change_of_owners_is_said_and_names_them() -> None:
    place = promotion()
    mine = replace(place.history.commits[SECOND][0], owners=Declared(("@mallory",), SOMEWHERE))
    place.history.commits[SECOND] = (mine, *place.history.commits[SECOND][1:])

    review = review_of(place, policy(guard(YES)), None, owners={mine.name: ("@acme/risk",)})

    assert Note("This change edits the owners of churn (@acme/risk -> @mallory).", Weight.POLICY) in review.notes


def test_a_tag_that_puts_a_model_under_a_rule_does_not_go_unseen() -> None:
    place = promotion()
    rule = Rule(("Production",), (guard(NO),), POLICY, tags={"tier": "1"})
    name = place.history.commits[SECOND][0].name

    review = review_of(place, Policy((rule,)), None, tags={name: {"tier": "1"}})

    assert review.notes == (
        Note("This change edits tags that rules of the policy select models by: tier of churn.", Weight.POLICY),
    )


def test_harmless_notes_push_out_neither_overrides_nor_the_policy() -> None:
    review = exhibits.crowded(3)
    review = replace(review, notes=tuple(Note(f"Harmless note {n}.") for n in range(500)))

    body = markdown(review, KEY)

    alerts = [line for line in body.splitlines() if line.startswith("> ")]
    assert alerts[0].startswith("> **Overridden:** `zebra`: latency before Production")
    assert alerts[1].startswith("> **Policy:** ")
    assert len(alerts) == 21
    assert alerts[-1] == "> and 482 more (Note: 482)"


def test_many_of_one_weight_push_out_nothing_of_another() -> None:
    things = [Weight.OVERRIDE] * 100 + [Weight.POLICY, Weight.UNGUARDED] + [Weight.NOTE] * 100

    kept, left = weightiest(things, lambda weight: weight, 20)

    assert kept == (*[Weight.OVERRIDE] * 17, Weight.POLICY, Weight.UNGUARDED, Weight.NOTE)
    assert len(kept) + len(left) == len(things)


def test_the_model_that_matters_stands_above_two_hundred_claims() -> None:
    review = exhibits.crowded(200)

    rows = [line for line in markdown(review, KEY).splitlines() if line.startswith("| ") and "`" in line]
    heads = [line for line in rendered(review, Format.TEXT, KEY).splitlines() if line.startswith(("zebra", "a-model"))]
    page = rendered(review, Format.HTML, KEY)

    assert "let in by an override: latency" in rows[0]
    assert "**promote** `v2`" in rows[1]
    assert heads[0].startswith("zebra  let in by an override: latency")
    assert page.index("let in by an override: latency") < page.index(">a-model-000")


@pytest.mark.parametrize("limit", [65_536, 20_000, 6_000])
def test_what_is_cut_from_a_comment_is_what_weighs_least(limit: int) -> None:
    review = exhibits.crowded(1000)

    body = markdown(review, KEY, limit)

    assert length(body) <= limit
    assert "**promote** `v2`" in body
    assert "> **Overridden:** " in body
    assert "> **Policy:** " in body
    assert "and 990 more" in body


@pytest.mark.parametrize("limit", [65_536, 262_144])
def test_a_comment_fits_whatever_letters_it_is_made_of(limit: int) -> None:
    wide = "\U0001f600" * 5000
    review = exhibits.unguarded()
    assert review.policy is not None
    review = replace(
        review,
        registry=wide,
        notes=tuple(Note(f"{wide}{n}") for n in range(40)),
        policy=replace(review.policy, path=wide, difference=(wide,) * 500),
    )

    assert length(markdown(review, KEY, limit)) <= limit


def test_every_cut_is_marked() -> None:
    review = exhibits.crowded(1)
    assert review.policy is not None

    body = markdown(review, KEY)

    diff = body.partition("```diff\n")[2].partition("\n```")[0].splitlines()
    assert all(len(line) <= 200 for line in diff)
    assert all(line.endswith("…") for line in diff if line.startswith("+#"))
    assert diff[-1] == f"… and {len(review.policy.difference) - 60} more lines"


def test_a_description_of_sixty_thousand_characters_hides_nothing() -> None:
    review = exhibits.better()
    assert review.evidence is not None
    (first, *rest) = review.evidence.exhibits
    long = replace(first, candidate=replace(first.candidate, description="x" * 60_000))
    review = replace(review, evidence=replace(review.evidence, exhibits=(long, *rest)))

    body = markdown(review, KEY, 65_536)

    assert "**promote** `v5`" in body
    assert "left out" not in body
    assert f"`{'x' * 199}…`" in body


def test_annotations_show_the_gravest_first() -> None:
    review = exhibits.crowded(30)

    warnings = [line for line in plan_annotations(review).splitlines() if line.startswith("::warning")]

    assert len(warnings) == 10
    assert "title=Overridden::zebra" in warnings[0]
    assert "title=Policy::" in warnings[1]


def test_a_refusal_by_a_gate_is_an_annotation() -> None:
    errors = [line for line in plan_annotations(exhibits.gated()).splitlines() if line.startswith("::error")]

    assert len(errors) == 2
    assert "soak before Production" in errors[0]


def test_one_gate_before_two_slots_gives_two_results() -> None:
    review = exhibits.gated()
    (model,) = review.plan.models
    soak = next(v for v in model.verdicts if v.gate == "soak")
    twice = (soak, replace(soak, entrance=replace(soak.entrance, slot="@champion")))
    review = replace(review, policy=None, plan=replace(review.plan, models=(replace(model, verdicts=twice),)))

    results = json.loads(rendered(review, Format.SARIF, KEY))["runs"][0]["results"]

    assert len({result["partialFingerprints"]["reconciler/v1"] for result in results}) == 2


def test_an_override_is_told_to_code_scanning_and_heads_the_page() -> None:
    review = exhibits.crowded(1)

    results = json.loads(rendered(review, Format.SARIF, KEY))["runs"][0]["results"]
    page = rendered(review, Format.HTML, KEY)

    assert [(r["level"], r["ruleId"]) for r in results] == [
        ("warning", "policy-change"),
        ("warning", "overridden/latency"),
    ]
    assert page.index("Let in by an override") < page.index("The policy is changed") < page.index("Harmless note 0")
    assert Ruling.OVERRIDDEN in page


def test_an_alias_that_moves_unguarded_weighs_more_than_notes() -> None:
    place = promotion(champion=2)
    review = review_of(place, policy(guard(YES)), None)
    assert any(isinstance(change, SetAlias) for change in review.plan.changes)

    body = markdown(replace(review, notes=(Note("Harmless."), *review.notes)), KEY)

    assert body.index("> **Unguarded:** `@champion` of churn") < body.index("> **Note:** Harmless.")
