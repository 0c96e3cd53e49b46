"""What manifests say where aliases stand for stages, and what a plan makes of it."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from reconciler.core.adoption import Adopt, Adoption, adopt, claimable
from reconciler.core.desired import Manifest, resolve
from reconciler.core.diff import diff
from reconciler.core.names import AliasName, ModelRef, Slot, Stage
from reconciler.core.plan import build_plan
from reconciler.core.policy import Policy
from reconciler.core.proposal import difference, with_aliases
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.core.snapshot import ModelSnapshot
from reconciler.errors import Problem
from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse
from reconciler.writing.layout import Split, new_files
from reconciler.writing.manifest import rewritten
from tests.build import CHURN, NOW, A, P, S, desired, have, owns, registry

CHAMPION = AliasName("champion")
BOTH = SlotMap(
    (StageAlias("Production", CHAMPION, AliasName("previous")), StageAlias("Canary", AliasName("canary"))),
    live=("Production", "Canary"),
)
ALONE = replace(BOTH, aliases_only=True)


def read(*texts: str, slots: SlotMap = BOTH) -> tuple[dict[str, Manifest], tuple[Problem, ...]]:
    files = [SourceFile(f"{n}.yaml", f"model: {CHURN}\n{text}\n".encode()) for n, text in enumerate(texts)]
    fragments, problems = parse(files, slots=slots)
    models, contradictions = resolve(fragments)
    return {str(name): manifest for name, manifest in models.items()}, (*problems, *contradictions)


def only(*texts: str, slots: SlotMap = BOTH) -> Manifest:
    models, problems = read(*texts, slots=slots)
    assert problems == ()
    return models[CHURN]


@pytest.mark.parametrize(
    ("text", "stages", "aliases"),
    [
        ("stages: {Production: 4}", {P: [4]}, {"champion": 4}),
        ("stages: {Production: []}", {P: []}, {"champion": None}),
        ("stages: {Canary: 5}", {}, {"canary": 5}),
        ("stages: {Staging: [4, 5]}", {S: [4, 5]}, {}),
        ("stages: {Production: 4}\naliases: {champion: 4}", {P: [4]}, {"champion": 4}),
        ("aliases: {champion: 4, other: 3}", {}, {"champion": 4, "other": 3}),
    ],
)
def test_a_stage_is_read_as_what_it_is_in_the_registry(
    text: str, stages: dict[Stage, list[int]], aliases: dict[str, int | None]
) -> None:
    manifest = only(text)

    assert {stage: [pin.version for pin in pins.value] for stage, pins in manifest.stages.items()} == stages
    assert {alias: d.value and d.value.version for alias, d in manifest.aliases.items()} == aliases


def test_where_aliases_are_all_there_is_no_stage_is_left() -> None:
    manifest = only("stages: {Production: 4, Canary: 5}", slots=ALONE)

    assert manifest.stages == {}
    assert sorted(manifest.slots) == ["@canary", "@champion"]


@pytest.mark.parametrize(
    ("texts", "slots", "expected"),
    [
        (["stages: {Production: [4, 5]}"], BOTH, ["several-versions"]),
        (["stages: {Production: 4}\naliases: {champion: 3}"], BOTH, ["alias-of-a-stage"]),
        (["stages: {Production: 4}", "aliases: {champion: 3}"], BOTH, ["alias-of-a-stage"]),
        (["stages: {Production: 4}", "aliases: {champion: 4}"], BOTH, []),
        (["stages: {Production: 4}", "stages: {Production: 4}"], BOTH, ["declared-twice", "alias-of-a-stage"]),
        (["aliases: {previous: 3}"], BOTH, ["alias-of-a-stage"]),
        (["stages: {Staging: 4}"], ALONE, ["unknown-stage"]),
        (["stages: {canary: 4}"], BOTH, ["unknown-stage"]),
        (["stages: {Canary: {verison: 4}}"], BOTH, ["unknown-key"]),
    ],
)
def test_what_an_alias_cannot_say_is_a_problem(texts: list[str], slots: SlotMap, expected: list[str]) -> None:
    _, problems = read(*texts, slots=slots)

    assert sorted({str(problem.code) for problem in problems}) == sorted(set(expected))


def test_gates_overrides_and_holds_follow_a_stage_to_its_alias() -> None:
    manifest = only(
        "gates: {Canary: [{soak: {stage: Canary, for: 1d}}]}\n"
        "hold: {version: 3, slot: Canary, reason: It is wrong.}\n"
        "overrides: [{gate: soak, slot: Canary, reason: It cannot wait., until: 2030-01-01}]"
    )

    assert [*manifest.gates] == [manifest.holds[0].slot] == [manifest.overrides[0].slot] == [Slot("@canary")]


def test_a_live_alias_is_not_removed_because_nobody_declares_it_anymore() -> None:
    live = have({4: A}, {"canary": 4}, owner=owns("canary"))
    revision = replace(NOW, slots=BOTH)

    plan = diff(only("description: None left."), live, revision, name=CHURN)

    (blocker,) = plan.blockers
    assert blocker.code == "production-would-be-empty"
    assert "stages: {Canary: []}" in blocker.fix
    assert diff(only("stages: {Canary: []}"), live, revision, name=CHURN).changes


def test_stages_that_the_policy_gives_up_are_let_go_of_as_they_are() -> None:
    live = have({4: P}, {"champion": 4}, owner=owns(P, "champion"), placed={4: ["Production"]})

    plan = diff(only("stages: {Production: 4}", slots=ALONE), live, replace(NOW, slots=ALONE), name=CHURN)

    assert plan.blockers == ()
    assert [type(change).__name__ for change in plan.changes] == ["Claim"]


@pytest.mark.parametrize("slots", [BOTH, ALONE], ids=["both", "aliases alone"])
def test_moving_a_live_alias_counts_as_a_change_of_what_is_live(slots: SlotMap) -> None:
    names = [ModelRef(f"m{n}") for n in range(12)]
    lives = [have({3: P, 4: S}, {"champion": 3}, owner=owns(P, "champion"), name=n) for n in names]
    text = "stages: {Production: 4}"
    models = {n: replace(only(text, slots=slots), model=replace(only(text).model, value=n)) for n in names}

    state = desired(*models.values())
    plan = build_plan(replace(state, revision=replace(state.revision, slots=slots)), registry(*lives))

    assert [safety.code for safety in plan.safeties] == ["mass-change"]


def test_what_a_proposal_says_of_a_stage_it_says_of_its_alias() -> None:
    manifest = only("stages: {Production: 4}")
    five = only("stages: {Production: 5}").stages

    after = with_aliases(replace(manifest, stages=five), BOTH)

    assert after.aliases[CHAMPION].value == five[P].value[0]
    assert after.aliases[CHAMPION].stage == "Production"


def adopted(live: ModelSnapshot, slots: SlotMap) -> Adoption:
    (one,) = claimable(adopt(registry(live), {}, Adopt(), slots), registry(live), replace(NOW, slots=slots), Policy())
    return one


@pytest.mark.parametrize(
    ("live", "slots", "text"),
    [
        (have({3: A, 4: P}, {"champion": 4}), BOTH, "stages:\n  Production: 4\n"),
        (have({3: A, 4: P}, {"champion": 4, "previous": 3}), BOTH, "stages:\n  Production: 4\n"),
        (have({3: A, 4: P}), BOTH, "stages:\n  Production: 4\n"),
        (have({3: P, 4: P}, {"champion": 4}), ALONE, "stages:\n  Production: 4\n"),
        (
            have({3: A, 4: S}, {"canary": 4, "other": 3}),
            BOTH,
            "stages:\n  Canary: 4\n  Staging: 4\naliases:\n  other: 3\n",
        ),
    ],
)
def test_what_is_imported_names_stages_and_reads_the_same_again(live: ModelSnapshot, slots: SlotMap, text: str) -> None:
    one = adopted(live, slots)

    assert one.after is not None, one.remarks
    files = new_files(one.after, "manifests", Split.MODEL, set(), schema=None)
    assert [*files.values()] == [f"model: {CHURN}\n{text}"]
    for split in Split:
        texts = new_files(one.after, "manifests", split, set(), schema=None).items()
        fragments, problems = parse([SourceFile(path, each.encode()) for path, each in texts], slots=slots)
        assert problems == ()
        assert not difference(resolve(fragments)[0][ModelRef(CHURN)], one.after)


def test_a_stage_and_its_alias_that_disagree_are_not_imported() -> None:
    one = adopted(have({3: A, 4: P}, {"champion": 3}), BOTH)

    assert one.left_out
    assert "@champion, which stands for it, names v3" in str(one.remarks[0])


def test_a_proposal_takes_away_what_stands_beside_its_stage_and_would_say_otherwise() -> None:
    file = SourceFile("m.yaml", f"model: {CHURN}\nstages:\n  Production: 4\naliases:\n  champion: 4\n".encode())

    def again(files: Iterable[SourceFile]) -> tuple[tuple[Manifest, ...], tuple[Problem, ...]]:
        return parse(files, slots=BOTH)

    before = only("stages: {Production: 4}\naliases: {champion: 4}")
    after = with_aliases(replace(before, stages=only("stages: {Production: 5}").stages), BOTH)
    (changed,) = rewritten([file], after, again, lambda _slot: "m.yaml")

    assert changed.data.decode() == f"model: {CHURN}\nstages:\n  Production: 5\naliases: {{}}\n"


def test_what_was_declared_before_is_read_though_it_is_nothing_now() -> None:
    text = f"model: {CHURN}\nowners: [ada]\nstages: {{Staging: [4, 5], QA: 3, Production: 2}}\n"
    (manifest,), problems = parse([SourceFile("m.yaml", text.encode())], slots=ALONE, past=True)

    assert problems == ()
    assert (manifest.owner_names, manifest.slots) == (("ada",), ("@champion",))
