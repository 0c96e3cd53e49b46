"""What each gate says to each state of things, word for word."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.approval import counted, eligible, in_time, is_bot
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
    ModelFacts,
    Pinned,
    Placed,
    Presence,
    Quorum,
    Ruling,
    Stay,
    contained,
    placed,
    stay,
)
from reconciler.core.names import Commit, ModelRef, Original, Slot, Version
from reconciler.core.signature import Column, Compatibility, Scalar, Signature
from reconciler.gates.age import Age
from reconciler.gates.approvals import Approvals
from reconciler.gates.artifact import Artifact
from reconciler.gates.cel import Cel, variables
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
from tests.build import CHURN

PASS, FAIL, UNKNOWN = Ruling.PASS, Ruling.FAIL, Ruling.UNKNOWN
AT = "2026-05-11T09:30:00Z"
NAN, INFINITE = float("nan"), float("inf")
LOG_WITH_ONE = "its author can log the model with `signature` or `input_example` and register it again"
BRING_BACK = "the owner of the run can restore it (`mlflow runs restore`), unless it was permanently deleted"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
ENTRANCE = Entrance(CHURN, Version(5), Slot("Production"), Version(4))
HOLDOUT, OTHER = Dataset("holdout", "9f2c7a1b"), Dataset("holdout", "41d80e77")
TRAIN = Dataset("train", "77aa01cd")
SHA = "0123456789abcdef0123456789abcdef01234567"


NO_COPY = (
    "v5 was not copied from staging.churn; declare a version of it instead: "
    "`from: {model: staging.churn, version: NUMBER}`"
)


def v5(**facts: Any) -> VersionFacts:
    return VersionFacts(CHURN, Version(5), **facts)


def v4(**facts: Any) -> VersionFacts:
    return VersionFacts(CHURN, Version(4), **facts)


def gone(*whats: str, why: str = "the server did not answer") -> tuple[Missing, ...]:
    return tuple(Missing(what, why) for what in whats)


def says(gate: Gate, told: Mapping[FactKey[Any], object]) -> tuple[Ruling, str]:
    """The ruling, from what the gate asks for and no more."""
    needed = set(gate.needs(ENTRANCE))
    judgement = gate.judge(ENTRANCE, Facts({key: value for key, value in told.items() if key in needed}))
    assert needed <= told.keys(), "the case does not tell what the gate asks for"
    return judgement.ruling, judgement.sentence


class TestPath:
    @pytest.mark.parametrize(
        ("stages", "stage", "expected"),
        [
            pytest.param(("Staging",), "Staging", (PASS, "v5 is in stage Staging"), id="from there"),
            pytest.param(
                ("Staging",),
                "None",
                (FAIL, "v5 is in stage None; it must come from Staging"),
                id="from nowhere",
            ),
            pytest.param(
                ("Staging", "Archived"),
                "Production",
                (FAIL, "v5 is in stage Production; it must come from Staging or Archived"),
                id="the slot's own stage does not count unless it is listed",
            ),
            pytest.param(
                ("Production",),
                "Production",
                (PASS, "v5 is in stage Production"),
                id="an alias on what is in Production",
            ),
            pytest.param(
                (),
                "Staging",
                (FAIL, "v5 is in stage Staging; it must come from nowhere: the policy lists no slot"),
                id="no stage at all",
            ),
        ],
    )
    def test_a_version_comes_from_a_listed_stage(
        self, stages: tuple[str, ...], stage: str, expected: tuple[Ruling, str]
    ) -> None:
        assert says(Path(stages), {STAGE: stage, SLOTS: (stage,)}) == expected

    @pytest.mark.parametrize(
        ("wanted", "named", "expected"),
        [
            pytest.param(
                ("@challenger",),
                ("@challenger",),
                (PASS, "v5 is in stage None and named by @challenger"),
                id="an alias that names it",
            ),
            pytest.param(
                ("Canary",),
                ("@canary", "Canary"),
                (PASS, "v5 is in stage None and named by Canary"),
                id="a stage that an alias stands for",
            ),
            pytest.param(
                ("@challenger",),
                ("@champion",),
                (FAIL, "v5 is in stage None; it must come from @challenger"),
                id="another alias",
            ),
        ],
    )
    def test_a_version_comes_from_a_listed_alias(
        self, wanted: tuple[str, ...], named: tuple[str, ...], expected: tuple[Ruling, str]
    ) -> None:
        assert says(Path(wanted), {STAGE: "None", SLOTS: ("None", *named)}) == expected

    @pytest.mark.parametrize(
        ("original", "expected"),
        [
            pytest.param(
                Placed(Version(7), "Staging", ("Staging",)),
                (PASS, "v7 of staging.churn, the original of v5, is in stage Staging"),
                id="of an original that is there",
            ),
            pytest.param(
                Placed(Version(7), "Archived", ("Archived",)),
                (FAIL, "v7 of staging.churn, the original of v5, is in stage Archived; it must come from Staging"),
                id="of one that is not",
            ),
            pytest.param(Placed(), (FAIL, NO_COPY), id="of a version that was not copied from there"),
        ],
    )
    def test_an_original_comes_from_a_listed_stage(self, original: Placed, expected: tuple[Ruling, str]) -> None:
        gate = Path(("Staging",), "staging.churn")

        assert says(gate, {placed("staging.churn"): original}) == expected


class TestSoak:
    @pytest.mark.parametrize(
        ("original", "since", "expected"),
        [
            (
                Placed(Version(7), "Staging", ("Staging",)),
                "2026-05-08T09:30:00Z",
                (PASS, "v7 of staging.churn, the original of v5, has been in Staging for 3 days; 3 days required"),
            ),
            (
                Placed(Version(7), "None", ("None",)),
                None,
                (FAIL, "v7 of staging.churn, the original of v5, is not in Staging; 3 days required there"),
            ),
            (Placed(), None, (FAIL, NO_COPY)),
        ],
    )
    def test_an_original_waits_long_enough(
        self, original: Placed, since: str | None, expected: tuple[Ruling, str]
    ) -> None:
        told = {placed("staging.churn"): original, stay("Staging", "staging.churn"): Stay(since), NOW: AT}

        assert says(Soak("Staging", 3 * DAY, "staging.churn"), told) == expected

    @pytest.mark.parametrize(
        ("seconds", "since", "expected"),
        [
            (
                3 * DAY,
                "2026-05-11T07:20:00Z",
                (FAIL, "v5 has been in Staging for 2 h 10 min; 3 days required, reached 2026-05-14 07:20 UTC"),
            ),
            (3 * DAY, "2026-05-08T09:30:00Z", (PASS, "v5 has been in Staging for 3 days; 3 days required")),
            (
                3 * DAY,
                "2026-05-08T09:30:01Z",
                (FAIL, "v5 has been in Staging for 3 days; 3 days required: 1 s to go"),
            ),
            (
                HOUR,
                "2026-05-11T09:00:00Z",
                (FAIL, "v5 has been in Staging for 30 min; 1 h required, reached 2026-05-11 10:00 UTC"),
            ),
            (DAY, None, (FAIL, "v5 is not in Staging; 1 day required there")),
            (
                0.0,
                "2026-05-11T09:30:01Z",
                (FAIL, "v5 has been in Staging since 2026-05-11 09:30 UTC, which is in the future: a clock is wrong"),
            ),
            (0.0, AT, (PASS, "v5 has been in Staging for 0 s; 0 s required")),
            (
                1.0,
                "a while ago",
                (UNKNOWN, "it is not known since when v5 has been in Staging: a while ago is not a time"),
            ),
        ],
    )
    def test_a_version_has_been_there_long_enough_without_a_break(
        self, seconds: float, since: str | None, expected: tuple[Ruling, str]
    ) -> None:
        assert says(Soak("Staging", seconds), {stay("Staging"): Stay(since), NOW: AT}) == expected

    def test_time_in_another_stage_is_not_asked_for(self) -> None:
        assert tuple(Soak("Staging", DAY).needs(ENTRANCE)) == (stay("Staging"), NOW)


def f1(value: float, dataset: Dataset | None = None) -> Measured:
    return Measured("f1", value, dataset)


class TestMetric:
    @pytest.mark.parametrize(
        ("gate", "value", "expected"),
        [
            (Metric("f1", 0.85), 0.81, (FAIL, "f1 is 0.81, below the threshold 0.85")),
            (Metric("f1", 0.85), 0.91, (PASS, "f1 is 0.91, above the threshold 0.85")),
            (Metric("f1", 0.85), 0.85, (PASS, "f1 is 0.85, exactly the threshold 0.85")),
            (Metric("f1", 0.85), 0.849999, (FAIL, "f1 is 0.849999, below the threshold 0.85")),
            (Metric("f1", 0.3, greater_is_better=False), 0.31, (FAIL, "f1 is 0.31, above the threshold 0.3")),
            (Metric("f1", 0.3, greater_is_better=False), 0.3, (PASS, "f1 is 0.3, exactly the threshold 0.3")),
            (Metric("f1", 0.3, greater_is_better=False), -1.0, (PASS, "f1 is -1, below the threshold 0.3")),
            (Metric("f1", 0.0), 0.0, (PASS, "f1 is 0, exactly the threshold 0")),
            (Metric("f1", NAN), 0.9, (FAIL, "f1 is 0.9, below the threshold NaN")),
            (Metric("f1"), 0.9, (PASS, "f1 is 0.9")),
            (Metric("f1", 0.85), NAN, (UNKNOWN, "f1 of v5 is NaN, not a finite number")),
            (Metric("f1", 0.85), INFINITE, (UNKNOWN, "f1 of v5 is ∞, not a finite number")),
            (
                Metric("auc", 0.85),
                0.9,
                (UNKNOWN, "auc of v5 is not known: it was not logged; the author can log it on its run"),
            ),
        ],
    )
    def test_a_threshold_is_about_the_candidate_alone(
        self, gate: Metric, value: float, expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CANDIDATE: v5(metrics=(f1(value),))}) == expected

    @pytest.mark.parametrize(
        ("gate", "after", "before", "expected"),
        [
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                0.91,
                0.87,
                (PASS, "f1 is 0.91, better than the 0.87 of v4 by 0.04; improvement of 0.02 required"),
                id="a clear improvement",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                0.88,
                0.87,
                (FAIL, "f1 is 0.88, better than the 0.87 of v4 by 0.01; improvement of 0.02 required"),
                id="an improvement that is too small",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.25),
                0.75,
                0.5,
                (PASS, "f1 is 0.75, better than the 0.5 of v4 by 0.25; improvement of 0.25 required"),
                id="exactly as much as is asked for",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                0.87,
                0.87,
                (FAIL, "f1 is 0.87, as good as the 0.87 of v4; improvement of 0.02 required"),
                id="equal is no improvement",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.0),
                0.87,
                0.87,
                (PASS, "f1 is 0.87, as good as the 0.87 of v4; improvement of 0 % required"),
                id="equal is not worse",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.25),
                0.625,
                0.5,
                (PASS, "f1 is 0.625, better than the 0.5 of v4 by 25 %; improvement of 25 % required"),
                id="a part of the incumbent's",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.25),
                0.375,
                0.5,
                (FAIL, "f1 is 0.375, worse than the 0.5 of v4 by 25 %; improvement of 25 % required"),
                id="worse by as much",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.25, greater_is_better=False),
                0.375,
                0.5,
                (PASS, "f1 is 0.375, better than the 0.5 of v4 by 25 %; improvement of 25 % required"),
                id="lower is better: down is an improvement",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.1, greater_is_better=False),
                0.45,
                0.5,
                (
                    FAIL,
                    ("f1 is 0.45, better than the 0.5 of v4 by 9.999999999999998 %; improvement of 10.0 % required"),
                ),
                id="short of it by what floating point costs, as MLflow has it",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.25, greater_is_better=False),
                0.75,
                0.5,
                (FAIL, "f1 is 0.75, worse than the 0.5 of v4 by 0.25; improvement of 0.25 required"),
                id="lower is better: up is none",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.1),
                -0.5,
                -1.0,
                (PASS, "f1 is -0.5, better than the -1 of v4 by 50 %; improvement of 10 % required"),
                id="a part of a negative value",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.5),
                1e-9,
                0.0,
                (
                    PASS,
                    "f1 is 1e-9, better than the 0 of v4; improvement required, and nothing is relative to 0",
                ),
                id="better than 0 by anything",
            ),
            pytest.param(
                Metric("f1", min_relative_change=0.0),
                0.0,
                0.0,
                (
                    FAIL,
                    "f1 is 0, as good as the 0 of v4; improvement required, and nothing is relative to 0",
                ),
                id="0 is no better than 0",
            ),
            pytest.param(
                Metric("f1", 0.85, min_absolute_change=0.02),
                0.81,
                0.5,
                (FAIL, "f1 is 0.81, below the threshold 0.85"),
                id="improved, and below the threshold all the same",
            ),
            pytest.param(
                Metric("f1", 0.85, min_absolute_change=0.02),
                0.81,
                0.82,
                (
                    FAIL,
                    (
                        "f1 is 0.81, below the threshold 0.85; "
                        "f1 is 0.81, worse than the 0.82 of v4 by 0.01; improvement of 0.02 required"
                    ),
                ),
                id="both",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                0.9,
                NAN,
                (UNKNOWN, "f1 of v4 is NaN, not a finite number"),
                id="an incumbent that is no number",
            ),
        ],
    )
    def test_a_change_is_an_improvement_on_the_incumbent(
        self, gate: Metric, after: float, before: float, expected: tuple[Ruling, str]
    ) -> None:
        facts = {CANDIDATE: v5(metrics=(f1(after),)), INCUMBENT: v4(metrics=(f1(before),))}

        assert says(gate, facts) == expected

    def test_with_no_incumbent_there_is_nothing_to_improve_on(self) -> None:
        facts = {CANDIDATE: v5(metrics=(f1(0.9),)), INCUMBENT: NOBODY}

        assert says(Metric("f1", min_absolute_change=0.1), facts) == (
            PASS,
            "f1 is 0.9; there is no incumbent to compare with",
        )
        assert says(Metric("f1", 0.95, min_absolute_change=0.1), facts) == (
            FAIL,
            "f1 is 0.9, below the threshold 0.95",
        )

    def test_the_incumbent_is_asked_for_only_to_compare_with(self) -> None:
        assert tuple(Metric("f1", 0.9).needs(ENTRANCE)) == (CANDIDATE,)
        assert tuple(Metric("f1", min_relative_change=0.0).needs(ENTRANCE)) == (CANDIDATE, INCUMBENT)

    @pytest.mark.parametrize(
        ("gate", "after", "before", "expected"),
        [
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                (f1(0.9, HOLDOUT),),
                (f1(0.8, OTHER),),
                (
                    UNKNOWN,
                    "f1 cannot be compared: v5 was measured on holdout (9f2c7a1b), v4 on holdout (41d80e77)",
                ),
                id="the same name is not the same data",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                (f1(0.9, HOLDOUT),),
                (f1(0.8),),
                (
                    UNKNOWN,
                    "f1 cannot be compared: v5 was measured on holdout (9f2c7a1b), v4 on an unknown dataset",
                ),
                id="the dataset of only one is known",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                (f1(0.9, HOLDOUT), f1(0.99, TRAIN)),
                (f1(0.8, HOLDOUT), f1(0.7, OTHER)),
                (
                    PASS,
                    "f1 on holdout is 0.9, better than the 0.8 of v4 by 0.1; improvement of 0.02 required",
                ),
                id="of several, the one that both were measured on",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                (f1(0.9, HOLDOUT), f1(0.99, TRAIN)),
                (f1(0.8, HOLDOUT), f1(0.7, TRAIN)),
                (
                    UNKNOWN,
                    (
                        "f1 of v5 was measured on several datasets: holdout (9f2c7a1b), train (77aa01cd); "
                        "the gate must name one"
                    ),
                ),
                id="several that both were measured on",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02, dataset="train"),
                (f1(0.9, HOLDOUT), f1(0.99, TRAIN)),
                (f1(0.8, HOLDOUT), f1(0.7, TRAIN)),
                (
                    PASS,
                    "f1 on train is 0.99, better than the 0.7 of v4 by 0.29; improvement of 0.02 required",
                ),
                id="named by name",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02, dataset="9f2c7a1b"),
                (f1(0.9, HOLDOUT), f1(0.99, TRAIN)),
                (f1(0.8, HOLDOUT), f1(0.7, OTHER)),
                (
                    PASS,
                    "f1 on holdout is 0.9, better than the 0.8 of v4 by 0.1; improvement of 0.02 required",
                ),
                id="named by digest",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02, dataset="holdout"),
                (f1(0.9),),
                (f1(0.8),),
                (
                    UNKNOWN,
                    "f1 of v5 on holdout is not known: it was not logged; the author can log it on its run",
                ),
                id="figures on data that nobody knows are not on the one that is named",
            ),
            pytest.param(
                Metric("f1", min_absolute_change=0.02),
                (f1(0.9, HOLDOUT),),
                (),
                (UNKNOWN, "f1 of v4 is not known: it was not logged; the author can log it on its run"),
                id="not measured of the incumbent",
            ),
            pytest.param(
                Metric("f1", 0.95, min_absolute_change=0.02),
                (f1(0.9, HOLDOUT),),
                (f1(0.8, OTHER),),
                (FAIL, "f1 on holdout is 0.9, below the threshold 0.95"),
                id="not comparable, and below the threshold in any case",
            ),
        ],
    )
    def test_figures_are_compared_on_the_same_data_alone(
        self, gate: Metric, after: tuple[Measured, ...], before: tuple[Measured, ...], expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CANDIDATE: v5(metrics=after), INCUMBENT: v4(metrics=before)}) == expected

    def test_a_threshold_on_several_datasets_must_name_one(self) -> None:
        facts = {CANDIDATE: v5(metrics=(f1(0.9, HOLDOUT), f1(0.99, TRAIN)))}

        assert says(Metric("f1", 0.95), facts)[0] is UNKNOWN
        assert says(Metric("f1", 0.95, dataset="train"), facts)[0] is PASS
        assert says(Metric("f1", 0.95, dataset="holdout"), facts)[0] is FAIL

    def test_why_there_are_no_figures_is_said(self) -> None:
        lost = v5(missing=gone("run", "metrics", why="the version names no run"))

        assert says(Metric("f1", 0.9), {CANDIDATE: lost}) == (
            UNKNOWN,
            "f1 of v5 is not known: the version names no run",
        )


class TestTags:
    @pytest.mark.parametrize(
        ("required", "tags", "expected"),
        [
            ({"validated": "yes"}, {"validated": "yes"}, (PASS, "v5 carries validated = yes")),
            ({"validated": "yes"}, {"validated": "Yes"}, (FAIL, "v5 has validated = Yes (required: yes)")),
            ({"validated": "yes"}, {"Validated": "yes"}, (FAIL, "v5 has no tag validated")),
            ({"ticket": "RISK-*"}, {"ticket": "RISK-12"}, (PASS, "v5 carries ticket = RISK-12")),
            ({"ticket": "RISK-*"}, {"ticket": "XRISK-12"}, (FAIL, "v5 has ticket = XRISK-12 (required: RISK-*)")),
            ({"ticket": "*"}, {"ticket": "x"}, (PASS, "v5 carries ticket = x")),
            ({"ticket": "*"}, {"ticket": ""}, (FAIL, "v5 has a blank tag ticket")),
            ({"ticket": "*"}, {"ticket": " \n"}, (FAIL, "v5 has a blank tag ticket")),
            ({"b": "*", "a": "1"}, {"a": "2"}, (FAIL, "v5 has a = 2 (required: 1); has no tag b")),
            ({"a": "*"}, {"a": "two\nlines"}, (PASS, "v5 carries a = two lines")),
            ({"а": "1"}, {"a": "1"}, (FAIL, "v5 has no tag а")),
            ({}, {}, (PASS, "no tags are required")),
        ],
    )
    def test_a_version_carries_its_tags(
        self, required: dict[str, str], tags: dict[str, str], expected: tuple[Ruling, str]
    ) -> None:
        assert says(Tags(required), {CANDIDATE: v5(tags=tags)}) == expected

    def test_tags_of_the_model_are_others_than_those_of_the_version(self) -> None:
        gate = Tags({"tier": "gold"}, of="model")
        facts = {CANDIDATE: v5(tags={"tier": "gold"}), MODEL: ModelFacts(CHURN, tags={"tier": "tin"})}

        assert says(gate, facts) == (FAIL, "the model has tier = tin (required: gold)")
        assert says(gate, {MODEL: ModelFacts(CHURN, tags={"tier": "gold"})}) == (PASS, "the model carries tier = gold")

    def test_tags_that_were_not_read_are_not_known(self) -> None:
        lost = v5(missing=gone("version"))

        assert says(Tags({}), {CANDIDATE: lost}) == (
            UNKNOWN,
            "the tags of v5 are not known: the server did not answer",
        )


class TestTagsThatAreCalledLikeFacts:
    """Whoever may tag a version must not be able to say more of it than a tag says."""

    SHADOWS: Mapping[str, str] = dict.fromkeys(
        [
            *("f1", "metric:f1", "metrics", "metrics.f1", "run", "run.status", "flavors", "requirements", "signature"),
            *("candidate", "incumbent", "stage", "now", "checks", "approvals", "artifact", "contained", "owners"),
            *("version", "missing", "created_at", "description"),
        ],
        "9",
    )
    GATES: tuple[Gate, ...] = (
        Metric("f1", 0.85),
        Description(3),
        SignatureGate(frozenset({Compatibility.IDENTICAL})),
        Lineage(),
        Age(DAY, None),
        Flavors(("sklearn",)),
        Requirements(pinned=True),
    )

    @pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
    def test_they_make_no_difference(self, gate: Gate) -> None:
        candidate = v5(metrics=(f1(0.8),), created_at=AT)
        told = {INCUMBENT: NOBODY, NOW: AT}

        assert says(gate, {**told, CANDIDATE: replace(candidate, tags=self.SHADOWS)}) == says(
            gate, {**told, CANDIDATE: candidate}
        )

    def test_a_condition_finds_them_under_tags_alone(self) -> None:
        plain, tagged = (
            variables(Facts({CANDIDATE: v5(metrics=(f1(0.8),), tags=tags)}), frozenset({CANDIDATE}))["candidate"]
            for tags in (dict[str, str](), self.SHADOWS)
        )

        assert isinstance(plain, dict)
        assert isinstance(tagged, dict)
        assert tagged == {**plain, "tags": self.SHADOWS}


class TestDescription:
    @pytest.mark.parametrize(
        ("gate", "text", "expected"),
        [
            (Description(), "Trained on May.", (PASS, "v5 has a description of 13 characters")),
            (Description(), "", (FAIL, "v5 has no description; 1 character required")),
            (Description(10), " \n ", (FAIL, "v5 has no description; 10 characters required")),
            (Description(10), "x", (FAIL, "v5 has a description of 1 character; 10 characters required")),
            (Description(3), "\u200b" * 9, (FAIL, "v5 has no description; 3 characters required")),
            (Description(pattern="*RISK-*"), "See RISK-1", (PASS, "v5 has a description of 9 characters")),
            (Description(pattern="*RISK-*"), "a\nRISK-1\nb", (PASS, "v5 has a description of 8 characters")),
            (Description(pattern="RISK-*"), "See RISK-1", (FAIL, "the description of v5 does not match RISK-*")),
            (Description(pattern="*z"), "x" * 6000 + "z", (FAIL, "the description of v5 does not match *z")),
            (
                Description(pattern="*a" * 40 + "b"),
                "a" * 5000,
                (FAIL, f"the description of v5 does not match {'*a' * 39}*…"),
            ),
        ],
    )
    def test_a_version_is_described(self, gate: Description, text: str, expected: tuple[Ruling, str]) -> None:
        assert says(gate, {CANDIDATE: v5(description=text)}) == expected


AGE_COLUMN, INCOME = Column("age", Scalar("long")), Column("income", Scalar("double"))
ONE, TWO = Signature(inputs=(AGE_COLUMN,)), Signature(inputs=(AGE_COLUMN, INCOME))
OPTIONAL = Signature(inputs=(AGE_COLUMN, replace(INCOME, required=False)))
IDENTICAL, COMPATIBLE, BREAKING = Compatibility.IDENTICAL, Compatibility.COMPATIBLE, Compatibility.BREAKING
SAFE = SignatureGate(frozenset({IDENTICAL, COMPATIBLE}))
LENIENT = SignatureGate(frozenset({IDENTICAL, Compatibility.UNKNOWN}))


class TestSignature:
    @pytest.mark.parametrize(
        ("gate", "candidate", "incumbent", "expected"),
        [
            pytest.param(
                SAFE,
                v5(signature=ONE),
                v4(signature=ONE),
                (PASS, "the signature is the same as that of v4"),
                id="the same",
            ),
            pytest.param(
                SAFE,
                v5(signature=OPTIONAL),
                v4(signature=ONE),
                (
                    PASS,
                    (
                        "the signature is compatible for callers of v4: "
                        "input income (optional: callers need not send it)"
                    ),
                ),
                id="compatible",
            ),
            pytest.param(
                LENIENT,
                v5(signature=OPTIONAL),
                v4(signature=ONE),
                (
                    FAIL,
                    (
                        "the signature is compatible for callers of v4: "
                        "input income (optional: callers need not send it)"
                    ),
                ),
                id="compatible is not identical",
            ),
            pytest.param(
                SAFE,
                v5(signature=TWO),
                v4(signature=ONE),
                (FAIL, "the signature is breaking for callers of v4: input income (callers do not send it)"),
                id="breaking",
            ),
            pytest.param(
                SignatureGate(frozenset({BREAKING})),
                v5(signature=TWO),
                v4(signature=ONE),
                (PASS, "the signature is breaking for callers of v4: input income (callers do not send it)"),
                id="breaking, and allowed",
            ),
            pytest.param(
                SAFE,
                v5(missing=gone("signature", why="it was logged without one")),
                v4(signature=ONE),
                (
                    UNKNOWN,
                    (
                        "the signatures cannot be compared: the candidate has no signature (it was logged without "
                        f"one); {LOG_WITH_ONE}"
                    ),
                ),
                id="without one",
            ),
            pytest.param(
                LENIENT,
                v5(),
                v4(),
                (
                    PASS,
                    (
                        "the signatures cannot be compared: the candidate and the incumbent have no signature; "
                        "the policy allows that"
                    ),
                ),
                id="without any, and let in",
            ),
            pytest.param(
                LENIENT,
                v5(missing=gone("version")),
                v4(signature=ONE),
                (UNKNOWN, "the signature of v5 is not known: the server did not answer"),
                id="a version that could not be read is not one without a signature",
            ),
            pytest.param(
                SAFE,
                v5(signature=ONE),
                NOBODY,
                (PASS, "v5 has a signature, and there is no incumbent to compare it with"),
                id="no incumbent",
            ),
            pytest.param(
                SAFE, v5(), NOBODY, (UNKNOWN, f"v5 has no signature; {LOG_WITH_ONE}"), id="no incumbent, no signature"
            ),
        ],
    )
    def test_callers_can_go_on(
        self, gate: SignatureGate, candidate: VersionFacts, incumbent: object, expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CANDIDATE: candidate, INCUMBENT: incumbent}) == expected


RUN = RunFacts("1e7f", name="churn-05", status="FINISHED", git_commit=SHA)


class TestLineage:
    @pytest.mark.parametrize(
        ("gate", "run", "expected"),
        [
            (Lineage(), RUN, (PASS, "the run churn-05 of v5 is FINISHED")),
            (Lineage(), replace(RUN, status="FAILED"), (FAIL, "the run churn-05 of v5 is FAILED, not FINISHED")),
            (Lineage(), replace(RUN, status=""), (UNKNOWN, "the run churn-05 of v5 does not say how it ended")),
            (Lineage(), replace(RUN, deleted=True), (FAIL, f"the run churn-05 of v5 was deleted; {BRING_BACK}")),
            (Lineage(finished=False), replace(RUN, status="RUNNING"), (PASS, "the run churn-05 of v5 exists")),
            (Lineage(), None, (UNKNOWN, "the run of v5 is not known: it was not read")),
            (
                Lineage(commit=True),
                RUN,
                (PASS, "the run churn-05 of v5 is FINISHED, its commit 0123456789ab is known"),
            ),
            (
                Lineage(commit=True),
                replace(RUN, git_commit=""),
                (FAIL, "the run churn-05 of v5 does not say which git commit it was started from"),
            ),
            (
                Lineage(commit=True),
                replace(RUN, git_commit="main"),
                (FAIL, "the run churn-05 of v5 names main as its git commit, which is not a full commit ID"),
            ),
            (
                Lineage(branch="main"),
                RUN,
                (PASS, "the run churn-05 of v5 is FINISHED, its commit 0123456789ab is in main"),
            ),
            (
                Lineage(branch="release"),
                RUN,
                (
                    FAIL,
                    "the run churn-05 of v5 was started from the commit 0123456789ab, which is not in release",
                ),
            ),
            (
                Lineage(branch="main"),
                replace(RUN, git_commit=""),
                (FAIL, "the run churn-05 of v5 does not say which git commit it was started from"),
            ),
        ],
    )
    def test_a_version_comes_from_a_run_in_order(
        self, gate: Lineage, run: RunFacts | None, expected: tuple[Ruling, str]
    ) -> None:
        facts = {CANDIDATE: v5(run=run), contained("main"): True, contained("release"): False}

        assert says(gate, facts) == expected

    def test_why_there_is_no_run_is_said(self) -> None:
        facts = {CANDIDATE: v5(missing=gone("run", why="the version names no run"))}

        assert says(Lineage(), facts) == (UNKNOWN, "the run of v5 is not known: the version names no run")


class TestAge:
    @pytest.mark.parametrize(
        ("gate", "created_at", "expected"),
        [
            (Age(None, None), "2026-05-11T07:20:00Z", (PASS, "v5 was registered 2 h 10 min ago")),
            (
                Age(HOUR, 30 * DAY),
                "2026-05-11T07:20:00Z",
                (PASS, "v5 was registered 2 h 10 min ago; at least 1 h required; at most 30 days allowed"),
            ),
            (
                Age(DAY, None),
                "2026-05-11T07:20:00Z",
                (FAIL, "v5 was registered 2 h 10 min ago; at least 1 day required"),
            ),
            (
                Age(None, HOUR),
                "2026-05-11T07:20:00Z",
                (FAIL, "v5 was registered 2 h 10 min ago; at most 1 h allowed"),
            ),
            (Age(DAY, None), "2026-05-10T09:30:00Z", (PASS, "v5 was registered 1 day ago; at least 1 day required")),
            (
                Age(DAY, None),
                "2026-05-10T09:30:01Z",
                (FAIL, "v5 was registered 1 day ago; at least 1 day required, 1 s to go"),
            ),
            (
                Age(None, DAY),
                "2026-05-10T09:29:59Z",
                (FAIL, "v5 was registered 1 day ago; at most 1 day allowed, 1 s over"),
            ),
            (
                Age(None, DAY),
                "2026-05-12T00:00:00Z",
                (FAIL, "v5 was registered at 2026-05-12 00:00 UTC, which is in the future: a clock is wrong"),
            ),
            (
                Age(None, DAY),
                "",
                (UNKNOWN, "the age of v5 is not known: the registry does not say when it was registered"),
            ),
        ],
    )
    def test_a_version_is_neither_too_young_nor_too_old(
        self, gate: Age, created_at: str, expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CANDIDATE: v5(created_at=created_at), NOW: AT}) == expected


class TestFlavors:
    @pytest.mark.parametrize(
        ("allowed", "flavors", "expected"),
        [
            (("sklearn",), {"sklearn": "1.4", "python_function": ""}, (PASS, "v5 uses flavor sklearn")),
            (("skl*",), {"sklearn": "1.4"}, (PASS, "v5 uses flavor sklearn")),
            (
                ("sklearn",),
                {"sklearn": "1.4", "pytorch": "2"},
                (FAIL, "v5 uses flavor pytorch; allowed: sklearn"),
            ),
            (
                ("sklearn", "xgboost"),
                {"python_function": ""},
                (FAIL, "v5 uses flavor python_function; allowed: sklearn, xgboost"),
            ),
            (("python_function",), {"python_function": ""}, (PASS, "v5 uses flavor python_function")),
            ((), {"sklearn": ""}, (FAIL, "v5 uses flavor sklearn; allowed: nothing")),
            (("*",), {}, (UNKNOWN, "the flavors of v5 are not known: none are named")),
            (("sklearn",), {"Sklearn": ""}, (FAIL, "v5 uses flavor Sklearn; allowed: sklearn")),
        ],
    )
    def test_every_flavour_is_allowed(
        self, allowed: tuple[str, ...], flavors: dict[str, str], expected: tuple[Ruling, str]
    ) -> None:
        assert says(Flavors(allowed), {CANDIDATE: v5(flavors=flavors)}) == expected


SHA256 = "sha256=" + "ab" * 32


class TestRequirements:
    @pytest.mark.parametrize(
        "line",
        [
            "numpy==1.26.4",
            "numpy == 1.26.4",
            "numpy===1.26.4",
            "numpy (==1.26.4)",
            "torch==2.1.0+cu118",
            "mlflow[extras,more]==3.17.0",
            'numpy==1.26.4; python_version < "3.13"',
            "numpy==1.26.4 --hash=sha256:abc --hash=sha256:def",
            f"pkg @ git+https://github.com/acme/pkg@{SHA}",
            f"pkg@git+https://github.com/acme/pkg@{SHA}#subdirectory=a",
            f"pkg @ git+ssh://git@github.com/acme/pkg.git@{SHA} ; python_version < '4'",
            f"git+https://github.com/acme/pkg@{SHA}#egg=pkg",
            f"pkg @ https://acme.example/pkg-1.0.whl#{SHA256}",
            f"https://acme.example/pkg-1.0.whl#egg=pkg&{SHA256}",
            "--extra-index-url https://download.pytorch.org/whl/cpu",
            "--extra-index-url=https://download.pytorch.org/whl/cpu",
            "-c constraints.txt",
        ],
    )
    def test_what_cannot_become_another_is_pinned(self, line: str) -> None:
        assert says(Requirements(pinned=True), {CANDIDATE: v5(requirements=(line,))})[0] is PASS

    @pytest.mark.parametrize(
        "line",
        [
            "numpy",
            "numpy>=1.26",
            "numpy~=1.26.4",
            "numpy==1.26.*",
            "numpy==",
            "numpy==1.26.4,<2 foo",
            "numpy>=1,==1.26.4",
            "numpy==${VERSION}",
            "numpy; python_version == '3.11'",
            "pkg @ git+https://github.com/acme/pkg",
            "pkg @ git+https://github.com/acme/pkg@main",
            f"pkg @ git+https://github.com/acme/pkg@main#egg=x@{SHA}",
            f"pkg @ git+https://github.com/acme/pkg@main#{SHA256}",
            f"pkg @ git+https://github.com/acme/pkg@{SHA[:7]}",
            "pkg @ https://acme.example/pkg-1.0.whl",
            "pkg @ https://acme.example/pkg-1.0.whl#md5=abcdef",
            f"pkg @ https://acme.example/pkg@{SHA}",
            f"pkg @ https://acme.example/pkg-1.0.whl#{SHA256[:40]}",
            "pkg @ file:///tmp/pkg.whl",
            "./pkg",
            "-e .",
            "-r other.txt",
            "-rother.txt",
            "--requirement=other.txt",
            "-i https://pypi.org/simple -r other.txt",
            '-i https://pypi.org/simple "-r" other.txt',
            "--trusted-host x --editable .",
            "nümpy==1.0",
        ],
    )
    def test_what_can_become_another_is_not(self, line: str) -> None:
        ruling, sentence = says(Requirements(pinned=True), {CANDIDATE: v5(requirements=("mlflow==3.17.0", line))})

        assert ruling is FAIL
        assert sentence.endswith(", not pinned to one version")
        assert "mlflow" not in sentence

    @pytest.mark.parametrize(
        ("gate", "requirements", "expected"),
        [
            (Requirements(pinned=True), (), (PASS, "v5 requires no packages")),
            (Requirements(pinned=False), ("numpy", "mlflow"), (PASS, "v5 requires 2 packages")),
            (Requirements(pinned=True), ("numpy==1",), (PASS, "v5 requires 1 package, all pinned")),
            (Requirements(pinned=True), ("numpy",), (FAIL, "v5 requires numpy, not pinned to one version")),
            (
                Requirements(pinned=False, forbidden=("foo-bar",)),
                ("Foo_.Bar[x]>=1",),
                (FAIL, "v5 requires Foo_.Bar[x]>=1, which the policy forbids"),
            ),
            (
                Requirements(pinned=False, forbidden=("Foo_*",)),
                (f"foo-bar @ git+https://x.example/y@{SHA}",),
                (FAIL, f"v5 requires foo-bar @ git+https://x.example/y@{SHA}, which the policy forbids"),
            ),
            (Requirements(pinned=False, forbidden=("foo",)), ("foo-bar",), (PASS, "v5 requires 1 package")),
            (
                Requirements(pinned=True, forbidden=("foo",)),
                ("foo", "bar"),
                (
                    FAIL,
                    "v5 requires foo, which the policy forbids; v5 requires foo, bar, not pinned to one version",
                ),
            ),
            (
                Requirements(pinned=False, forbidden=("foo",)),
                ("-r other.txt",),
                (UNKNOWN, "it is not known which packages -r other.txt stands for"),
            ),
            (
                Requirements(pinned=True),
                ("a", "b", "c", "d", "e", "f", "g"),
                (FAIL, "v5 requires a, b, c, d, e and 2 more, not pinned to one version"),
            ),
            (Requirements(pinned=False), None, (UNKNOWN, "the requirements of v5 are not known: it was not read")),
        ],
    )
    def test_requirements_are_pinned_and_none_is_forbidden(
        self, gate: Requirements, requirements: tuple[str, ...] | None, expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CANDIDATE: v5(requirements=requirements)}) == expected


def record(**more: Any) -> CheckRecord:
    given: dict[str, Any] = {"check": "smoke", "passed": True, "digest": "d5", "ended_at": "2026-05-11T07:20:00Z"}
    return CheckRecord(**{**given, **more})


UNSIGNED = "but the record is not signed by a key that may sign check records"
RUN_IT = "; to run it: `reconciler check churn 5 --check smoke"


class TestArtifact:
    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            (Presence(True), (PASS, "the files of v5 are there")),
            (Presence(False), (FAIL, "the files of v5 are missing")),
            (Presence(False, "no MLmodel"), (FAIL, "the files of v5 are missing: no MLmodel")),
        ],
    )
    def test_there_is_a_model_to_serve(self, files: Presence, expected: tuple[Ruling, str]) -> None:
        assert says(Artifact(), {PRESENT: files}) == expected

    @pytest.mark.parametrize(
        ("found", "ruling", "sentence"),
        [
            (record(check="loadable", signed=True), PASS, "the files of v5 are there, the check loadable passed on v5"),
            (record(check="loadable"), FAIL, "but the record is not signed by a key that may sign check records"),
            (record(check="loadable", passed=False, signed=True), FAIL, "the check loadable failed on v5"),
            (record(check="loadable", digest="d4", signed=True), FAIL, "ran on different files than v5 has now"),
            (record(signed=True), FAIL, "the check loadable has never been run on v5"),
        ],
    )
    def test_a_signed_record_says_that_it_was_loaded(self, found: CheckRecord, ruling: Ruling, sentence: str) -> None:
        facts = {PRESENT: Presence(True), CHECKS: CheckFacts("d5", (found,)), NOW: AT}

        said = says(Artifact(loadable=True), facts)

        assert said[0] is ruling
        assert sentence in said[1]

    def test_it_says_who_can_supply_the_record(self) -> None:
        facts = {PRESENT: Presence(True), CHECKS: CheckFacts(""), NOW: AT}

        _, sentence = says(Artifact(loadable=True), facts)

        assert sentence.endswith("to run it: `reconciler check churn 5 --check loadable --sign ssh --signing-key KEY`")

    @pytest.mark.parametrize(
        ("pinned", "expected"),
        [
            (Pinned("sha256:b0"), (PASS, "the files of v5 are there, with the digest sha256:b0")),
            (Pinned("sha256:b0", "sha256:b0"), (PASS, "the files of v5 are there, still with the digest sha256:b0")),
            (
                Pinned("sha256:b0", "sha256:a0"),
                (FAIL, "the files of v5 were replaced: sha256:a0 entered, sha256:b0 is there now"),
            ),
        ],
    )
    def test_the_files_are_the_ones_that_entered(self, pinned: Pinned, expected: tuple[Ruling, str]) -> None:
        assert says(Artifact(pinned=True), {PRESENT: Presence(True), PINNED: pinned}) == expected

    def test_more_is_asked_for_only_where_it_matters(self) -> None:
        assert tuple(Artifact().needs(ENTRANCE)) == (PRESENT,)
        assert tuple(Artifact(loadable=True).needs(ENTRANCE)) == (PRESENT, CHECKS, NOW)
        assert tuple(Artifact(pinned=True).needs(ENTRANCE)) == (PRESENT, PINNED)


WEEKEND = Window("0 18 * * 5", 62 * HOUR, "Europe/Berlin")
NIGHT = Window("30 2 * * *", HOUR, "Europe/Berlin")
OFFICE = Window("0 9 * * 1-5", 8 * HOUR)


class TestFreeze:
    @pytest.mark.parametrize(
        ("gate", "now", "expected"),
        [
            pytest.param(
                Freeze((WEEKEND,)),
                "2026-05-08T16:00:00Z",
                (
                    FAIL,
                    (
                        "frozen until 2026-05-11 06:00 UTC, by the window 0 18 * * 5 (Europe/Berlin), "
                        "which lasts 2 days 14 h"
                    ),
                ),
                id="from its first moment",
            ),
            pytest.param(
                Freeze((WEEKEND,)),
                "2026-05-08T15:59:59Z",
                (
                    PASS,
                    (
                        "no freeze now; the next begins 2026-05-08 16:00 UTC: 0 18 * * 5 (Europe/Berlin), "
                        "which lasts 2 days 14 h"
                    ),
                ),
                id="not a moment before",
            ),
            pytest.param(
                Freeze((WEEKEND,)),
                "2026-05-11T06:00:00Z",
                (
                    PASS,
                    (
                        "no freeze now; the next begins 2026-05-15 16:00 UTC: 0 18 * * 5 (Europe/Berlin), "
                        "which lasts 2 days 14 h"
                    ),
                ),
                id="nor in the moment it ends",
            ),
            pytest.param(
                Freeze((OFFICE,), allow=True),
                "2026-05-11T09:30:00Z",
                (PASS, "open until 2026-05-11 17:00 UTC, by the window 0 9 * * 1-5 (UTC), which lasts 8 h"),
                id="open",
            ),
            pytest.param(
                Freeze((OFFICE,), allow=True),
                "2026-05-09T09:30:00Z",
                (
                    FAIL,
                    (
                        "outside the open windows; the next begins 2026-05-11 09:00 UTC: "
                        "0 9 * * 1-5 (UTC), which lasts 8 h"
                    ),
                ),
                id="not open",
            ),
            pytest.param(Freeze(()), AT, (PASS, "no freeze now; no further window"), id="no windows"),
            pytest.param(
                Freeze((), allow=True),
                AT,
                (FAIL, "outside the open windows; no further window"),
                id="never open",
            ),
            pytest.param(
                Freeze((OFFICE, WEEKEND)),
                "2026-05-08T16:30:00Z",
                (
                    FAIL,
                    (
                        "frozen until 2026-05-11 06:00 UTC, by the window 0 18 * * 5 (Europe/Berlin), "
                        "which lasts 2 days 14 h"
                    ),
                ),
                id="inside two: the one that lasts longer",
            ),
            pytest.param(
                Freeze((Window("0 0 * * 1,2,3", DAY),)),
                "2026-05-11T12:00:00Z",
                (FAIL, "frozen until 2026-05-14 00:00 UTC, by the window 0 0 * * 1,2,3 (UTC), which lasts 1 day"),
                id="one after the other without a break",
            ),
            pytest.param(
                Freeze((Window("*/5 * * * *", HOUR),)),
                AT,
                (FAIL, "frozen with no end, by the window */5 * * * * (UTC), which lasts 1 h"),
                id="one after the other for ever",
            ),
            pytest.param(
                Freeze((OFFICE, Window("0 R * * *", HOUR))),
                AT,
                (UNKNOWN, "a window cannot be read: 0 R * * * is not a cron expression with five fields"),
                id="a window that nobody can read",
            ),
            pytest.param(
                Freeze((OFFICE,)), "soon", (UNKNOWN, "the time is not known: soon is not a time"), id="no time"
            ),
            pytest.param(
                Freeze((OFFICE,)),
                "9999-12-31T23:59:59Z",
                (UNKNOWN, "no calendar goes as far as 9999-12-31T23:59:59Z"),
                id="the end of time",
            ),
        ],
    )
    def test_versions_are_let_in_by_the_calendar(self, gate: Freeze, now: str, expected: tuple[Ruling, str]) -> None:
        assert says(gate, {NOW: now}) == expected

    @pytest.mark.parametrize(
        ("window", "now", "frozen"),
        [
            # On 29 March 2026 clocks in Berlin go from 02:00 to 03:00, which is 01:00 UTC.
            pytest.param(NIGHT, "2026-03-29T00:59:59Z", False, id="before clocks jump over the beginning"),
            pytest.param(NIGHT, "2026-03-29T01:00:00Z", True, id="when they have jumped over it"),
            pytest.param(NIGHT, "2026-03-29T01:59:59Z", True, id="for as long as ever"),
            pytest.param(NIGHT, "2026-03-29T02:00:00Z", False, id="and no longer"),
            pytest.param(NIGHT, "2026-03-30T00:30:00Z", True, id="by summer time from then on"),
            # On 25 October 2026 they show 02:00 to 03:00 twice, from 00:00 UTC and from 01:00 UTC.
            pytest.param(NIGHT, "2026-10-25T00:29:59Z", False, id="before they show the beginning for the first time"),
            pytest.param(NIGHT, "2026-10-25T00:30:00Z", True, id="when they show it first"),
            pytest.param(NIGHT, "2026-10-25T01:29:59Z", True, id="an hour on, when they show it again"),
            pytest.param(NIGHT, "2026-10-25T01:30:00Z", False, id="which is not another beginning"),
            pytest.param(NIGHT, "2026-10-26T01:30:00Z", True, id="by winter time from then on"),
            # Over the change of the clocks, 62 hours end an hour later by the clocks: 09:00 in Berlin.
            pytest.param(WEEKEND, "2026-03-30T06:59:59Z", True, id="hours are hours when one is jumped over"),
            pytest.param(WEEKEND, "2026-03-30T07:00:00Z", False, id="and they end"),
            pytest.param(WEEKEND, "2026-10-26T05:59:59Z", True, id="hours are hours when one comes twice"),
            pytest.param(WEEKEND, "2026-10-26T06:00:00Z", False, id="and they end too"),
        ],
    )
    def test_clocks_that_are_changed_do_not_change_the_hours(self, window: Window, now: str, frozen: bool) -> None:
        assert says(Freeze((window,)), {NOW: now})[0] is (FAIL if frozen else PASS)
        assert says(Freeze((window,), allow=True), {NOW: now})[0] is (PASS if frozen else FAIL)

    @pytest.mark.parametrize(
        ("window", "said"),
        [
            (WEEKEND, None),
            (Window("0 9 * mar thu", HOUR, "America/New_York"), None),
            (Window("0 0 29 2 *", HOUR), None),
            (Window("0 0 30 2 *", HOUR), "cannot be read"),
            (Window("61 * * * *", HOUR), "cannot be read"),
            (Window("", HOUR), "not a cron expression"),
            (Window("@daily", HOUR), "not a cron expression"),
            (Window("* * * * * *", HOUR), "not a cron expression"),
            (Window("0 R * * *", HOUR), "not a cron expression"),
            (Window("0 h(2-5) * * *", HOUR), "not a cron expression"),
            (Window("r/2 * * * *", HOUR), "not a cron expression"),
            (Window("0 18 * * 5", HOUR, "Europe/Berlim"), "not a time zone"),
            (Window("0 18 * * 5", HOUR, "Europe"), "not a time zone"),
            (Window("0 18 * * 5", HOUR, "../../etc/passwd"), "not a time zone"),
            (Window("0 18 * * 5", HOUR, "/etc/localtime"), "not a time zone"),
            (Window("0 18 * * 5", HOUR, "localtime"), "not a time zone"),
            (Window("0 18 * * 5", HOUR, ""), "not a time zone"),
            (Window("0 18 * * 5", HOUR, "a\0b"), "not a time zone"),
            (Window("0 18 * * 5", 0.0), "longer than 0 seconds"),
            (Window("0 18 * * 5", -1.0), "longer than 0 seconds"),
            (Window("0 18 * * 5", NAN), "longer than 0 seconds"),
            (Window("0 18 * * 5", INFINITE), "longer than 0 seconds"),
            (Window("0 18 * * 5", 1e12), "at most ten years"),
        ],
    )
    def test_what_is_wrong_with_a_window_is_said(self, window: Window, said: str | None) -> None:
        fault = window.fault()

        assert (fault is None) if said is None else (fault is not None and said in fault)


ADA, GRACE, EVE = (
    Approval("ada@acme.example", "signed commit", AT),
    Approval("@grace", "review", AT),
    Approval("@eve", "review", AT),
)
RISK = {"risk": ("ada@acme.example", "@grace", "@linus")}
BY_EVE = ChangeFacts(Commit("c" * 40), ("Eve <eve@acme.example>", "@eve"))


class TestApprovals:
    @pytest.mark.parametrize(
        ("quorum", "approvals", "expected"),
        [
            (Quorum(1, "risk"), (ADA,), (PASS, "approved by ada@acme.example of the group risk")),
            (Quorum(2, "risk"), (GRACE, ADA), (PASS, "approved by @grace, ada@acme.example of the group risk")),
            (
                Quorum(2, "risk"),
                (ADA, replace(ADA, how="review")),
                (FAIL, "2 approvals by the group risk required; only ada@acme.example approved"),
            ),
            (
                Quorum(1, "risk"),
                (),
                (FAIL, "1 approval by the group risk required; no approval counts"),
            ),
            (
                Quorum(1, "risk"),
                (EVE,),
                (
                    FAIL,
                    (
                        "1 approval by the group risk required; no approval counts; "
                        "approvals by authors and by people outside do not count: @eve"
                    ),
                ),
            ),
            (
                Quorum(1, "nobody"),
                (ADA,),
                (FAIL, "1 approval by the group nobody required, but it has no members: nobody can approve"),
            ),
            (
                Quorum(0, "risk"),
                (),
                (FAIL, "1 approval by the group risk required; no approval counts"),
            ),
        ],
    )
    def test_a_quorum_is_distinct_people_of_a_group(
        self, quorum: Quorum, approvals: tuple[Approval, ...], expected: tuple[Ruling, str]
    ) -> None:
        assert says(Approvals(quorum, RISK), {APPROVALS: approvals, CHANGE: BY_EVE}) == expected

    def test_owners_are_those_of_the_model(self) -> None:
        gate = Approvals(Quorum(1), {"@acme/risk-ml": ("@grace",)})
        facts = {APPROVALS: (GRACE,), CHANGE: BY_EVE, MODEL: ModelFacts(CHURN, owners=("@acme/risk-ml",))}

        assert says(gate, facts) == (PASS, "approved by @grace of the model's owners")
        assert says(gate, {**facts, MODEL: ModelFacts(CHURN)}) == (
            FAIL,
            "1 approval by the model's owners required, but it has no members: nobody can approve",
        )

    def test_where_the_author_is_not_known_nobody_can_be_told_from_them(self) -> None:
        facts = {APPROVALS: (ADA,), CHANGE: ChangeFacts(Commit("c" * 40))}

        assert says(Approvals(Quorum(1, "risk"), RISK), facts) == (
            UNKNOWN,
            "the author of the change is not known, and an author's own approval does not count",
        )

    def test_where_only_bots_made_the_change_one_more_has_to_approve(self) -> None:
        by_bots = ChangeFacts(Commit("c" * 40), ("@dependabot[bot]",), by_bots=True)

        one = says(Approvals(Quorum(1, "risk"), RISK), {APPROVALS: (ADA,), CHANGE: by_bots})
        two = says(Approvals(Quorum(1, "risk"), RISK), {APPROVALS: (ADA, GRACE), CHANGE: by_bots})

        assert one == (
            FAIL,
            (
                "2 approvals by the group risk required (one more, because only bots are known to have made the "
                "change); only ada@acme.example approved"
            ),
        )
        assert two == (PASS, "approved by @grace, ada@acme.example of the group risk")

    def test_who_approved_before_the_version_was_there_is_named(self) -> None:
        change = replace(BY_EVE, early=("ada@acme.example",))

        assert says(Approvals(Quorum(1, "risk"), RISK), {APPROVALS: (), CHANGE: change}) == (
            FAIL,
            (
                "1 approval by the group risk required; no approval counts; "
                "approve again: v5 was not registered yet when ada@acme.example approved"
            ),
        )

    @pytest.mark.parametrize(
        ("who", "counts"),
        [
            ("ada@acme.example", True),
            ("ADA@Acme.Example", True),
            ("Ada Lovelace <ada@acme.example>", True),
            (" ada@acme.example ", True),
            ("аda@acme.example", False),  # a Cyrillic letter
            ("ada@ａcme.example", False),  # a wide one
            ("ada@acme.example\u200b", False),
            ("ada@acme.example <eve@acme.example>", False),
            ("<ada@acme.example> <eve@acme.example>", False),
            ("ada@acme.example, eve@acme.example", False),
            ("ada", False),
            ("", False),
        ],
    )
    def test_an_approver_is_who_they_are_letter_by_letter(self, who: str, counts: bool) -> None:
        found = counted((Approval(who, "x", AT),), {"ada@acme.example"}, ("Eve <eve@acme.example>",))

        assert found == ((who,) if counts else ())

    @pytest.mark.parametrize("listed", ["@Kate", "@stra\u00dfe"])
    @pytest.mark.parametrize("who", ["@\u212aate", "@strasse"])
    def test_letters_that_only_fold_into_others_are_others(self, listed: str, who: str) -> None:
        assert counted((Approval(who, "x", AT),), {listed}, ("@eve",)) == ()

    @pytest.mark.parametrize(
        "author",
        [
            "Ada <ada@acme.example>",
            "Ada <ADA@acme.example>",
            "ada@acme.example",
            "ａda@acme.example",
            "Ada <ada@acme.example> <x@acme.example>",
            "@ada",
            "@Ada",
        ],
    )
    def test_an_author_does_not_count_under_any_of_their_names(self, author: str) -> None:
        people = {"Ada Lovelace <ada@acme.example> @ada"}

        assert counted((ADA, Approval("@ada", "review", AT)), people, (author,)) == ()

    @pytest.mark.parametrize(
        "author",
        [
            "Ada <a.lovelace@acme.example>",
            "Ada <99+ada@users.noreply.github.com>",
            "7-ada@users.noreply.gitlab.acme.example",
        ],
    )
    def test_an_author_is_known_by_names_that_the_group_does_not_list(self, author: str) -> None:
        people = ("ada@acme.example a.lovelace@acme.example @ada",)

        assert counted((ADA,), {"ada@acme.example"}, (author,), people) == ()
        assert counted((ADA,), {"ada@acme.example"}, ("@eve",), people) == ("ada@acme.example",)

    def test_a_name_that_is_known_to_be_an_approvers_makes_it_no_approver(self) -> None:
        assert counted((Approval("@ada", "x", AT),), {"ada@acme.example"}, ("@eve",), ("ada@acme.example @ada",)) == ()

    def test_two_who_are_known_to_be_one_count_once(self) -> None:
        people = ("ada@acme.example @grace",)

        assert counted((ADA, GRACE), {"ada@acme.example", "@grace"}, ("@eve",), people) == ("@grace",)

    @pytest.mark.parametrize(
        ("author", "bot"),
        [
            ("@dependabot[bot]", True),
            ("dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>", True),
            ("@project_42_bot_0a1b", True),
            ("@service_account_group_7_0a1b", True),
            ("@abbot", False),
            ("Bot Ha <bot@acme.example>", False),
            ("@project_42_botany", True),
        ],
    )
    def test_a_bot_is_known_by_its_login(self, author: str, bot: bool) -> None:
        assert is_bot(author) is bot

    @pytest.mark.parametrize(
        ("at", "counts"),
        [
            ("2026-05-11T09:00:00Z", True),
            ("2026-05-11T10:00:00+02:00", False),
            ("2026-05-11T08:59:59Z", False),
            ("2026-05-11T09:30:00Z", True),
            ("2026-05-11T09:30:01Z", False),
            ("2099-01-01T00:00:00Z", False),
            ("2026-05-11T09:00:00", False),
            ("", False),
        ],
    )
    def test_an_approval_is_of_what_was_there_when_it_was_given(self, at: str, counts: bool) -> None:
        given = (Approval("@ada", "x", at),)

        for registered in (1778490000000, 1778490000999):
            assert in_time(given, registered, AT) == ((given, ()) if counts else ((), given))

    def test_a_time_of_registration_that_is_none_is_before_nothing(self) -> None:
        assert in_time((ADA,), 10**30, AT) == ((), (ADA,))

    def test_one_person_under_two_names_is_one(self) -> None:
        approvals = (ADA, Approval("@ada", "review", AT), GRACE)

        assert counted(approvals, {"ada@acme.example @ada", "@grace"}, ("@eve",)) == ("@ada", "@grace")
        assert counted(approvals, {"ada@acme.example @ada", "@ada", "ada@acme.example"}, ("@eve",)) == ("@ada",)

    @pytest.mark.parametrize(
        ("quorum", "owners", "expected"),
        [
            (Quorum(1), ("@ada", "grace@acme.example"), {"@ada", "grace@acme.example"}),
            (Quorum(1), ("@acme/risk-ml", "@ada"), {"@linus", "@ada"}),
            (Quorum(1), ("@acme/unlisted",), set[str]()),
            (Quorum(1), ("risk team",), set[str]()),
            (Quorum(1, "security"), ("@ada",), {"@mallory"}),
            (Quorum(1, "teams"), (), set[str]()),
            (Quorum(1, "absent"), ("@ada",), set[str]()),
        ],
    )
    def test_a_group_is_the_people_that_the_policy_lists(
        self, quorum: Quorum, owners: tuple[str, ...], expected: set[str]
    ) -> None:
        groups = {"@acme/risk-ml": ("@linus",), "security": ("@mallory",), "teams": ("@acme/risk-ml", "somebody")}

        assert eligible(quorum, owners, groups) == expected


class TestCheck:
    @pytest.mark.parametrize(
        ("gate", "records", "expected"),
        [
            pytest.param(
                CheckGate("smoke"),
                (record(),),
                (PASS, "the check smoke passed on v5, 2 h 10 min ago"),
                id="passed",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(original=Original(ModelRef("staging.churn"), Version(7))),),
                (PASS, "the check smoke passed on v7 of staging.churn, the original of v5, 2 h 10 min ago"),
                id="passed on the original of a copy",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(check="other"),),
                (FAIL, f"the check smoke has never been run on v5{RUN_IT}`"),
                id="never run",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(digest="d4"),),
                (FAIL, f"the check smoke ran on different files than v5 has now{RUN_IT}`"),
                id="on different files",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(passed=False),),
                (FAIL, "the check smoke failed on v5, 2 h 10 min ago"),
                id="failed",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(), record(passed=False, ended_at="2026-05-11T07:30:00Z")),
                (FAIL, "the check smoke failed on v5, 2 h ago"),
                id="failed the last time",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(passed=False), record(ended_at="2026-05-11T07:30:00Z")),
                (PASS, "the check smoke passed on v5, 2 h ago"),
                id="passed the last time",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(passed=False), record(ended_at="2026-05-11T09:30:00+03:00")),
                (FAIL, "the check smoke failed on v5, 2 h 10 min ago"),
                id="the last time is told by the time, not by its spelling",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(), record(passed=False)),
                (FAIL, "the check smoke failed on v5, 2 h 10 min ago"),
                id="both at once is a failure",
            ),
            pytest.param(
                CheckGate("smoke", max_age=HOUR),
                (record(),),
                (
                    FAIL,
                    (
                        "the check smoke passed on v5, but 2 h 10 min ago; at most 1 h allowed; "
                        "to run it: `reconciler check churn 5 --check smoke`"
                    ),
                ),
                id="too old",
            ),
            pytest.param(
                CheckGate("smoke", max_age=2 * HOUR + 10 * MINUTE),
                (record(),),
                (PASS, "the check smoke passed on v5, 2 h 10 min ago"),
                id="just not too old",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(ended_at="2026-05-11T09:30:01Z"),),
                (FAIL, "the check smoke on v5 ended at 2026-05-11 09:30 UTC, which is in the future: a clock is wrong"),
                id="in the future",
            ),
            pytest.param(
                CheckGate("smoke", signed=True),
                (record(),),
                (
                    FAIL,
                    f"the check smoke passed on v5, 2 h 10 min ago, {UNSIGNED}{RUN_IT} --sign ssh --signing-key KEY`",
                ),
                id="not signed",
            ),
            pytest.param(
                CheckGate("smoke", signed=True),
                (record(signed=True),),
                (PASS, "the check smoke passed on v5, 2 h 10 min ago, signed"),
                id="signed",
            ),
            pytest.param(
                CheckGate("smoke"),
                (record(), record(ended_at="today")),
                (UNKNOWN, "it is not known when the check smoke ran on v5: today is not a time"),
                id="at no time",
            ),
        ],
    )
    def test_the_newest_record_on_these_files_counts(
        self, gate: CheckGate, records: tuple[CheckRecord, ...], expected: tuple[Ruling, str]
    ) -> None:
        assert says(gate, {CHECKS: CheckFacts("d5", records), NOW: AT}) == expected
        assert says(gate, {CHECKS: CheckFacts("d5", tuple(reversed(records))), NOW: AT}) == expected

    def test_a_copy_that_is_still_to_be_made_has_its_original_checked(self) -> None:
        facts = {CHECKS: CheckFacts("", original=Original(ModelRef("staging.churn"), Version(7))), NOW: AT}
        expected = (
            "the check smoke has never been run on v7 of staging.churn, the original of v5; to run it: "
            "`reconciler check staging.churn 7 --check smoke --sign ssh --signing-key KEY`"
        )

        assert says(CheckGate("smoke"), facts) == (FAIL, expected)

    def test_a_version_without_records_whose_files_nobody_digested_was_never_checked(self) -> None:
        facts = {CHECKS: CheckFacts(""), NOW: AT}

        assert says(CheckGate("smoke"), facts) == (FAIL, f"the check smoke has never been run on v5{RUN_IT}`")

    def test_files_without_a_digest_are_not_those_of_a_record_without_one(self) -> None:
        facts = {CHECKS: CheckFacts("", (record(digest=""),)), NOW: AT}

        assert says(CheckGate("smoke"), facts) == (
            UNKNOWN,
            "it is not known whether the check smoke ran on v5: the digest of its files is not known",
        )


class TestCel:
    @pytest.mark.parametrize(
        ("answer", "message", "expected"),
        [
            (True, "Too large.", (PASS, "the condition is true: candidate.size < 9")),
            (False, "", (FAIL, "the condition is false: candidate.size < 9")),
            (False, "Too large\nfor us.", (FAIL, "Too large for us.")),
            (
                "no such key: size",
                "Too large.",
                (
                    UNKNOWN,
                    "the condition candidate.size < 9 cannot be evaluated: no such key: size; not known for v5: size",
                ),
            ),
            (1, "", (UNKNOWN, "the condition candidate.size < 9 cannot be evaluated: 1; not known for v5: size")),
        ],
    )
    def test_a_condition_holds_or_does_not_or_cannot_be_told(
        self, answer: bool | str, message: str, expected: tuple[Ruling, str]
    ) -> None:
        gate = Cel("candidate.size < 9", message, lambda _condition, _variables: answer)

        assert says(gate, {CANDIDATE: v5(missing=gone("size"))}) == expected

    def test_without_anything_to_evaluate_it_there_is_no_answer(self) -> None:
        assert says(Cel("true"), {}) == (
            UNKNOWN,
            "the condition true cannot be evaluated: conditions cannot be evaluated here",
        )

    def test_a_condition_asks_for_what_it_names(self) -> None:
        assert set(Cel("1 < 2").needs(ENTRANCE)) == set()
        assert set(Cel("candidate.size < incumbent.size").needs(ENTRANCE)) == {CANDIDATE, INCUMBENT}
        assert set(Cel('model.tags["candidate_of"] == "x" || !has(change.commit)').needs(ENTRANCE)) == {MODEL, CHANGE}

    def test_a_condition_is_told_plain_values(self) -> None:
        candidate = v5(
            description="Better.",
            tags={"ticket": "RISK-1"},
            created_at=AT,
            run=RUN,
            metrics=(f1(0.9, HOLDOUT), f1(0.99, TRAIN), Measured("auc", 0.8), Measured("loss", NAN)),
            params={"depth": "3"},
            signature=ONE,
            flavors={"sklearn": "1.4"},
            python="3.11",
            requirements=("numpy==1",),
            size=12,
        )
        facts = {
            CANDIDATE: candidate,
            INCUMBENT: NOBODY,
            MODEL: ModelFacts(CHURN, "Who leaves.", {"tier": "gold"}, ("@ada",)),
            CHANGE: ChangeFacts(Commit("c" * 40), ("@eve",), "Promote"),
        }

        told = variables(Facts(facts), frozenset(facts))

        assert told == {
            "candidate": {
                "version": 5,
                "missing": {},
                "description": "Better.",
                "created_at": AT,
                "url": "",
                "tags": {"ticket": "RISK-1"},
                "params": {"depth": "3"},
                "run": {
                    "run_id": "1e7f",
                    "name": "churn-05",
                    "experiment": "",
                    "status": "FINISHED",
                    "user": "",
                    "source": "",
                    "commit": SHA,
                    "started_at": "",
                    "ended_at": "",
                    "url": "",
                    "deleted": False,
                },
                "metrics": {"auc": 0.8},
                "metrics_on": {"holdout": {"f1": 0.9}, "train": {"f1": 0.99}},
                "datasets": {"holdout": "9f2c7a1b", "train": "77aa01cd"},
                "flavors": {"sklearn": "1.4"},
                "python": "3.11",
                "requirements": ["numpy==1"],
                "size": 12,
                "signature": {"inputs": ["age: long"], "outputs": None, "params": None},
            },
            "incumbent": None,
            "model": {"name": "churn", "description": "Who leaves.", "tags": {"tier": "gold"}, "owners": ["@ada"]},
            "change": {"commit": "c" * 40, "base": None, "subject": "Promote", "authors": ["@eve"]},
        }

    def test_what_is_not_known_is_not_there_to_be_mistaken_for_nothing(self) -> None:
        lost = v5(missing=gone("version", "run", "metrics"))

        told = variables(Facts({CANDIDATE: lost}), frozenset({CANDIDATE}))["candidate"]

        why = "the server did not answer"
        assert told == {"version": 5, "missing": {"version": why, "run": why, "metrics": why}}

    def test_two_datasets_of_one_name_are_not_told_as_one(self) -> None:
        both = v5(metrics=(f1(0.9, HOLDOUT), Measured("auc", 0.8, OTHER)))

        told = variables(Facts({CANDIDATE: both}), frozenset({CANDIDATE}))["candidate"]

        assert isinstance(told, dict)
        assert (told["metrics_on"], told["datasets"]) == ({}, {})


LOST = v5(missing=gone("version", "run", "metrics", "signature", "flavors", "requirements", "size"))


@pytest.mark.parametrize(
    "gate",
    [
        Metric("f1", 0.5),
        Tags({}),
        Description(0),
        SignatureGate(frozenset(Compatibility)),
        Lineage(finished=False),
        Age(None, None),
        Flavors(("*",)),
        Requirements(pinned=False),
        Cel("!has(candidate.metrics)", evaluate=lambda _, told: "metrics" in dict(told)["candidate"] or "none"),  # pyright: ignore[reportOperatorIssue]
    ],
    ids=lambda gate: type(gate).__name__,
)
def test_a_version_that_could_not_be_read_is_never_let_in(gate: Gate) -> None:
    ruling, sentence = says(gate, {CANDIDATE: LOST, INCUMBENT: NOBODY, NOW: AT})

    assert ruling is UNKNOWN
    assert "the server did not answer" in sentence or "not known for v5" in sentence
