"""What is to be done, case by case: what is there, what is declared, and the calls in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from reconciler.core.changes import Change, Claim, RecordProvenance, RecordTags, simulate
from reconciler.core.desired import Manifest, NoSource, Pin, Source
from reconciler.core.diff import ModelPlan, diff
from reconciler.core.names import AliasName, ModelRef, Original, Stage, Version
from reconciler.core.plan import effects_of
from reconciler.core.snapshot import Attribution, ModelSnapshot, Ownership, UnreadableRecord, source_digest
from reconciler.render import words
from tests.build import (
    CHURN,
    FIRST,
    NOW,
    OURS,
    SOMEWHERE,
    THEIRS,
    A,
    N,
    P,
    S,
    have,
    owns,
    want,
    with_version,
)


def planned(live: ModelSnapshot | None, manifest: Manifest | None, *, adopt: bool = False) -> ModelPlan:
    return diff(manifest, live, NOW, name=CHURN, adopt=adopt)


def calls(plan: ModelPlan) -> list[str]:
    """The calls that do more than write our own records, as they are said."""
    return [
        words.call(change) for change in plan.changes if not isinstance(change, Claim | RecordProvenance | RecordTags)
    ]


SOURCE = Source("run-2", "runs:/run-2/model", frozenset({source_digest("runs:/run-2/model")}))
MADE = Pin(SOMEWHERE, run_id="run-2", artifact_path="model", source=SOURCE)

ORIGINAL = Original(ModelRef("staging"), Version(7))
COPIED = source_digest(ORIGINAL.uri)
ELSEWHERE = Original(ModelRef("dev/staging"), Version(7))
FROM_ELSEWHERE = Pin(
    SOMEWHERE, original=ELSEWHERE, source=Source("run-1", ELSEWHERE.uri, frozenset(), since=2, elsewhere=True)
)
OF_ELSEWHERE = Attribution("run-1", 2, "https://dev.example")
COPY = Pin(SOMEWHERE, original=ORIGINAL, source=Source("run-1", ORIGINAL.uri, frozenset({COPIED}), since=2))


def tagged(
    versions: Mapping[int, Stage], tags: Mapping[int, Mapping[str, str]], *, ours: Mapping[int, Sequence[str]]
) -> ModelSnapshot:
    """A model whose versions have tags, some of which a manifest had set."""
    model = have(versions)
    for number in tags.keys() | ours.keys():
        model = with_version(model, number, tags=tags.get(number, {}), tagged=frozenset(ours.get(number, ())))
    return model


CASES: dict[str, tuple[ModelSnapshot | None, Manifest | None, list[str]]] = {
    "nothing to do": (
        have({1: P}, owner=owns(P)),
        want({P: [1]}),
        [],
    ),
    "renamed first": (
        replace(have({1: P, 2: S}, owner=owns(P)), called=ModelRef("attrition")),
        want({P: [2]}),
        ["rename the registered model attrition to churn", "move v2: Staging -> Production, archiving v1"],
    ),
    "promote the first": (
        have({1: N}),
        want({P: [1]}),
        ["move v1: None -> Production"],
    ),
    "the swap archives the incumbent in the same call": (
        have({1: P, 2: S}),
        want({P: [2]}),
        ["move v2: Staging -> Production, archiving v1"],
    ),
    "the successor enters Staging before the candidate leaves it": (
        have({3: P, 4: S, 5: N}),
        want({P: [4], S: [5]}),
        ["move v5: None -> Staging", "move v4: Staging -> Production, archiving v3"],
    ),
    "in Staging too, what belongs into Archived goes there in the same call": (
        have({1: S, 2: N}),
        want({S: [2]}),
        ["move v2: None -> Staging, archiving v1"],
    ),
    "trading places is broken at Staging": (
        have({3: P, 4: S}),
        want({P: [4], S: [3]}),
        ["move v4: Staging -> Production, archiving v3", "move v3: Archived -> Staging"],
    ),
    "demoting into an occupied Staging swaps there": (
        have({1: S, 2: P, 3: P}),
        want({P: [3], S: [2]}),
        ["move v2: Production -> Staging, archiving v1"],
    ),
    "several in Production: all enter before one leaves": (
        have({1: P, 2: N, 3: N}),
        want({P: [2, 3]}),
        ["move v2: None -> Production", "move v3: None -> Production", "move v1: Production -> Archived"],
    ),
    "one too many leaves": (
        have({1: P, 2: P}),
        want({P: [2]}),
        ["move v1: Production -> Archived"],
    ),
    "three crowds and one that is declared outside: one call mends it": (
        have({1: P, 2: P, 3: N}),
        want({P: [3]}),
        ["move v3: None -> Production, archiving v1 and v2"],
    ),
    "Production is emptied when the manifest says so": (
        have({1: P}),
        want({P: []}),
        ["move v1: Production -> Archived"],
    ),
    "what is not declared is not touched": (
        have({1: P, 2: S, 3: S}, {"champion": 1}),
        want({P: [1]}),
        [],
    ),
    "Archived and None are where versions are put, not slots that are kept clear": (
        have({1: A, 2: N, 3: N, 4: A}),
        want({A: [2], N: [1]}),
        ["move v2: None -> Archived", "move v1: Archived -> None"],
    ),
    "a stage that is no longer declared loses what we put there": (
        have({1: S, 2: S}, owner=owns(S), placed={1: ["Staging"]}),
        want({}),
        ["move v1: Staging -> Archived"],
    ),
    "an alias moves in one call": (
        have({1: N, 2: N}, {"champion": 1}),
        want({}, {"champion": 2}),
        ["set @champion: v1 -> v2"],
    ),
    "an alias that must not be there goes": (
        have({1: N}, {"champion": 1}),
        want({}, {"champion": None}),
        ["delete @champion: v1 ->"],
    ),
    "an alias that is no longer declared goes": (
        have({1: N}, {"champion": 1, "theirs": 1}, owner=owns("champion")),
        want({}),
        ["delete @champion: v1 ->"],
    ),
    "aliases follow the stages": (
        have({1: P, 2: S}, {"champion": 1}),
        want({P: [2]}, {"champion": 2}),
        ["move v2: Staging -> Production, archiving v1", "set @champion: v1 -> v2"],
    ),
    "a version is found by its run": (
        have({1: P, 2: S}),
        want({P: ["run-2"]}),
        ["move v2: Staging -> Production, archiving v1"],
    ),
    "a version is made of what a run logged, and moved": (
        have({1: P}, owner=owns(P)),
        want({P: [MADE]}),
        ["register v2 from run run-2", "move v2: None -> Production, archiving v1"],
    ),
    "a version that was made of it already is that one": (
        with_version(have({1: P, 2: N}), 2, source=source_digest("runs:/run-2/model")),
        want({P: [MADE]}),
        ["move v2: None -> Production, archiving v1"],
    ),
    "a version of another model is copied, and moved": (
        have({1: P}, owner=owns(P)),
        want({P: [COPY]}),
        ["copy v2 from v7 of staging", "move v2: None -> Production, archiving v1"],
    ),
    "a copy that is there already is that one": (
        with_version(have({1: N, 2: P}), 1, source=COPIED, created_at=2),
        want({P: [COPY]}),
        ["move v1: None -> Production, archiving v2"],
    ),
    "a copy stays what it was when its original is gone": (
        with_version(have({1: N, 2: P}), 1, source=COPIED, created_at=2),
        want({P: [replace(COPY, source=NoSource("no-such-source", "There is no v7 of staging.", "Name another."))]}),
        ["move v1: None -> Production, archiving v2"],
    ),
    "a version of another registry is copied, and moved": (
        have({1: P}, owner=owns(P)),
        want({P: [FROM_ELSEWHERE]}),
        ["copy v2 from v7 of dev/staging", "move v2: None -> Production, archiving v1"],
    ),
    "a copy from another registry that is there already is that one, whatever its run": (
        with_version(have({1: N, 2: P}), 1, run_id="its-own", original=ELSEWHERE, attribution=OF_ELSEWHERE),
        want({P: [FROM_ELSEWHERE]}),
        ["move v1: None -> Production, archiving v2"],
    ),
    "what is said of a version by MLflow's own source is no copy from another registry": (
        with_version(have({1: N, 2: P}), 1, source=source_digest(ELSEWHERE.uri)),
        want({P: [FROM_ELSEWHERE]}),
        ["copy v3 from v7 of dev/staging", "move v3: None -> Production, archiving v2"],
    ),
    "a model is made with its first version": (
        None,
        want({S: [MADE]}, {"challenger": MADE}),
        [
            "create the registered model",
            "register v1 from run run-2",
            "move v1: None -> Staging",
            "set @challenger: -> v1",
        ],
    ),
    "a version gets the tags that stand beside it, and one that is no longer declared goes": (
        tagged({1: P, 2: S}, {1: {"checked": "yes", "theirs": "1"}, 2: {"risk": "low"}}, ours={1: ["checked"]}),
        want({P: [Pin(SOMEWHERE, Version(2), tags={"checked": "yes", "risk": "high"})]}),
        ["untag v1 checked", "tag v2 checked", "tag v2 risk", "move v2: Staging -> Production, archiving v1"],
    ),
    "a tag that somebody removed already is forgotten": (
        tagged({1: P}, {}, ours={1: ["checked"]}),
        want({P: [1]}),
        [],
    ),
    "a registered model is made when it is declared without versions": (
        None,
        want({}, description="Scores loans.", tags={"domain": "credit"}),
        ["create the registered model", "describe the model", "tag domain"],
    ),
    "a comment becomes the version's description before the version moves": (
        have({1: N}),
        want({P: [Pin(SOMEWHERE, Version(1), comment="F1 +4.2 %")]}),
        ["describe v1", "move v1: None -> Production"],
    ),
    "a model that nobody declares anymore is released and left as it is": (
        have({1: P}, {"champion": 1}, owner=owns(P, "champion")),
        None,
        ["remove the ownership record"],
    ),
    "a model that somebody else owns and nobody here declares is not ours to release": (
        have({1: P}, owner=owns(P, by=THEIRS)),
        None,
        [],
    ),
}


@pytest.mark.parametrize(("live", "manifest", "expected"), CASES.values(), ids=CASES.keys())
def test_the_calls(live: ModelSnapshot | None, manifest: Manifest | None, expected: list[str]) -> None:
    plan = planned(live, manifest)

    assert not plan.blockers
    assert calls(plan) == expected


BLOCKED: dict[str, tuple[ModelSnapshot | None, Manifest, str]] = {
    "a model that is not there": (None, want({P: [1]}), "unknown-model"),
    "a version that is not there yet": (have({1: P}), want({P: [2]}), "unknown-version"),
    "a version that was deleted": (have({2: P}), want({P: [1]}), "unknown-version"),
    "an alias of a version that is not there": (have({1: P}), want({}, {"champion": 2}), "unknown-version"),
    "a run that no version comes from": (have({1: P}), want({P: ["elsewhere"]}), "unknown-run"),
    "a run that two versions come from": (
        with_version(have({1: N, 2: N}), 2, run_id="run-1"),
        want({P: ["run-1"]}),
        "ambiguous-run",
    ),
    "a version from another run": (
        have({1: N}),
        want({P: [Pin(SOMEWHERE, Version(1), "other")]}),
        "wrong-run",
    ),
    "a version that is still being registered": (
        with_version(have({1: N}), 1, status="PENDING_REGISTRATION"),
        want({P: [1]}),
        "version-not-ready",
    ),
    "one version in two stages, once by number and once by run": (
        have({1: N}),
        want({P: [1], S: ["run-1"]}),
        "version-in-two-stages",
    ),
    "two comments for one version, once by number and once by run": (
        have({1: N}),
        want(
            {P: [Pin(SOMEWHERE, Version(1), comment="good")]},
            {"champion": Pin(SOMEWHERE, run_id="run-1", comment="bad")},
        ),
        "conflicting-comment",
    ),
    "a run that has not finished": (
        have({1: N}),
        want({P: [replace(MADE, source=NoSource("run-not-finished", "Run run-2 is RUNNING.", "Wait."))]}),
        "run-not-finished",
    ),
    "a path that the run has not, and another model of the same run is a version": (
        have({2: N}),
        want({P: [replace(MADE, source=NoSource("no-such-source", "Run run-2 logged no `model`.", "Correct it."))]}),
        "no-such-source",
    ),
    "two values of a tag of one version, once by number and once by run": (
        have({1: N}),
        want(
            {P: [Pin(SOMEWHERE, Version(1), tags={"risk": "low"})]},
            {"champion": Pin(SOMEWHERE, run_id="run-1", tags={"risk": "high"})},
        ),
        "conflicting-tag",
    ),
    "an original of another registry that was registered again since it was copied": (
        with_version(have({1: N}), 1, original=ELSEWHERE, attribution=replace(OF_ELSEWHERE, created_at=1)),
        want({P: [FROM_ELSEWHERE]}),
        "another-original",
    ),
    "an original that was registered again since it was copied": (
        with_version(have({1: N}), 1, source=COPIED, created_at=1),
        want({P: [COPY]}),
        "another-original",
    ),
    "an original from another run than the copy": (
        with_version(have({1: N}), 1, source=COPIED, created_at=3, run_id="run-9"),
        want({P: [COPY]}),
        "another-original",
    ),
    "another repository's model": (
        have({1: N}, owner=owns(P, by=THEIRS)),
        want({P: [1]}),
        "owned-by-another-repository",
    ),
    "a record that cannot be read": (
        have({1: N}, owner=UnreadableRecord("{")),
        want({P: [1]}),
        "unreadable-ownership-record",
    ),
    "Production that is no longer declared": (
        have({1: P}, owner=owns(P), placed={1: ["Production"]}),
        want({}),
        "production-would-be-empty",
    ),
    "the last of Production taken away by another declaration": (
        have({1: P}),
        want({S: [1]}),
        "production-would-be-empty",
    ),
    "a hidden occupant of a declared stage": (
        replace(have({1: N}), hidden={Version(2): Stage.PRODUCTION}),
        want({P: [1]}),
        "hidden-version",
    ),
    "a hidden occupant of a stage that was ours and is not declared anymore": (
        replace(have({1: N}, owner=owns(S)), hidden={Version(2): Stage.STAGING}),
        want({}),
        "hidden-version",
    ),
    "a hidden version": (
        replace(have({1: N}), hidden={Version(2): Stage.NONE}),
        want({P: [2]}),
        "hidden-version",
    ),
    "a hidden model": (replace(have({}), hidden_model=True), want({}), "hidden-model"),
    "more aliases than the record can name": (
        have({1: N}),
        want({}, {f"alias-{'x' * 200}-{n}": 1 for n in range(30)}),
        "record-too-large",
    ),
}


@pytest.mark.parametrize(("live", "manifest", "code"), BLOCKED.values(), ids=BLOCKED.keys())
def test_what_blocks_a_model(live: ModelSnapshot | None, manifest: Manifest, code: str) -> None:
    plan = planned(live, manifest)

    assert [blocker.code for blocker in plan.blockers] == [code]
    assert not plan.proposals
    assert all(blocker.fix and blocker.at for blocker in plan.blockers)


def test_a_production_that_we_did_not_fill_is_given_back_without_a_word() -> None:
    plan = planned(have({1: P}, owner=owns(P)), want({}))

    assert not plan.blockers
    assert calls(plan) == []


def test_adopting_takes_over_and_leaves_what_we_do_not_declare() -> None:
    theirs = have({1: P, 2: S}, {"champion": 1}, owner=owns(P, S, "champion", by=THEIRS))

    plan = planned(theirs, want({S: [2]}), adopt=True)

    assert calls(plan) == []
    widest, final = Ownership(OURS, (S,), (), None), Ownership(OURS, (S,), (), NOW.commit)
    assert plan.changes == (Claim(CHURN, theirs.owner, widest), Claim(CHURN, widest, final))


def test_the_record_is_widened_first_and_narrowed_last() -> None:
    live = have({1: S, 2: N}, {"old": 1}, owner=owns(S, "old"), placed={1: ["Staging"]})

    plan = planned(live, want({P: [2]}, {"new": 2}))

    claims = [change.after for change in plan.changes if isinstance(change, Claim)]
    assert isinstance(plan.changes[0], Claim)
    assert isinstance(plan.changes[-1], Claim)
    assert claims == [
        Ownership(OURS, (S, P), (AliasName("new"), AliasName("old")), FIRST),
        Ownership(OURS, (P,), (AliasName("new"),), NOW.commit),
    ]


def test_provenance_of_every_version_that_moves_is_written_before_it_moves() -> None:
    plan = planned(have({3: P, 4: S, 5: N}), want({P: [4], S: [5]}, {"champion": 4}))

    told = [words.call(change) for change in plan.changes]
    assert told == [
        "write the ownership record",
        "record provenance of v5",
        "move v5: None -> Staging",
        "record provenance of v3",
        "record provenance of v4",
        "move v4: Staging -> Production, archiving v3",
        "set @champion: -> v4",
        "write the ownership record",
    ]


def test_a_return_to_a_stage_is_a_rollback() -> None:
    live = have({3: A, 4: P}, owner=owns(P), placed={3: ["Production", "Archived"], 4: ["Production"]})

    plan = planned(live, want({P: [3]}))

    assert [words.sentence(effect) for effect in effects_of(plan)] == [
        "churn: roll back v3: Archived -> Production",
        "churn: archive v4: Production -> Archived",
    ]


def test_a_promotion_that_broke_off_after_its_record_is_still_a_promotion() -> None:
    live = have({3: P, 4: S}, owner=owns(P))
    record = next(
        c for c in planned(live, want({P: [4]})).changes if isinstance(c, RecordProvenance) and c.version == 4
    )

    plan = planned(simulate(live, record), want({P: [4]}))

    assert "churn: promote v4: Staging -> Production" in [words.sentence(effect) for effect in effects_of(plan)]


def test_trading_places_reads_as_one_move_each() -> None:
    plan = planned(have({3: P, 4: S}, owner=owns(P, S)), want({P: [4], S: [3]}))

    assert [words.sentence(effect) for effect in effects_of(plan)] == [
        "churn: promote v4: Staging -> Production",
        "churn: demote v3: Production -> Staging (through Archived)",
    ]


def test_reasons_name_the_line_or_the_successor() -> None:
    plan = planned(have({3: P, 4: S}, {"old": 3}, owner=owns(P, "old")), want({P: [4]}))

    assert [words.reason(effect.because) for effect in effects_of(plan)] == [
        "declared in manifests/churn.yaml:1",
        "displaced by v4",
        "no longer declared",
        "governed by manifests/churn.yaml:1",
    ]


def test_a_plan_made_for_the_same_state_is_the_same_to_the_byte() -> None:
    live, manifest = have({3: P, 4: S, 5: N}), want({P: [4], S: [5]}, {"b": 4, "a": 5})

    assert repr(planned(live, manifest)) == repr(planned(live, manifest))


def test_every_kind_of_change_has_words() -> None:
    seen = {type(c) for live, manifest, _ in CASES.values() for c in planned(live, manifest).changes}

    assert seen == set(Change.__args__)
