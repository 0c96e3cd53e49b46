"""How two versions compare: metric by metric on the same data, and of the rest what differs."""

import math

import pytest

from reconciler.core.evidence import (
    Dataset,
    Metric,
    MetricDelta,
    Missing,
    Trend,
    ValueDelta,
    VersionFacts,
    compare,
    compare_metrics,
    higher_is_better,
)
from reconciler.core.names import Version
from reconciler.core.signature import Column, Compatibility, Scalar, Signature
from tests.build import CHURN

HELD_OUT, RENAMED, LAST_YEAR = Dataset("held-out", "1a"), Dataset("test set", "1a"), Dataset("last year", "2b")
NAN, INF = math.nan, math.inf

BETTER = (
    "auc",
    "roc_auc",
    "f1",
    "f1_score",
    "F1-Score",
    "accuracy_score",
    "precision",
    "val/recall",
    "r2",
    "mAP",
    "ndcg@10",
)
WORSE = (
    "loss",
    "val_loss",
    "log_loss",
    "rmse",
    "RMSE",
    "mean_absolute_error",
    "latency_ms",
    "fpr",
    "perplexity",
    "aic",
)
NOT_SAID = ("score", "metric", "n_rows", "churn", "accuracy_loss", "coverage", "map_reduce_time_accuracy", "")


@pytest.mark.parametrize(
    ("name", "higher"),
    [*((n, True) for n in BETTER), *((n, False) for n in WORSE), *((n, None) for n in NOT_SAID)],
)
def test_the_name_of_a_metric_says_which_way_is_better_or_nothing(name: str, higher: bool | None) -> None:
    assert higher_is_better(name) is higher


def told(delta: MetricDelta) -> tuple[Trend, float | None, float | None]:
    return (
        delta.trend,
        None if delta.delta is None else round(delta.delta, 6),
        None if delta.relative is None else round(delta.relative, 6),
    )


VALUES: dict[str, tuple[str, float, float, tuple[Trend, float | None, float | None]]] = {
    # the metric, its value before and after, and what is said
    "more of what is good": ("auc", 0.8, 0.9, (Trend.BETTER, 0.1, 0.125)),
    "less of what is good": ("auc", 0.8, 0.6, (Trend.WORSE, -0.2, -0.25)),
    "less of what is bad": ("rmse", 4.0, 3.0, (Trend.BETTER, -1.0, -0.25)),
    "more of what is bad": ("rmse", 4.0, 5.0, (Trend.WORSE, 1.0, 0.25)),
    "the same": ("auc", 0.8, 0.8, (Trend.SAME, 0.0, 0.0)),
    "no word for it": ("score", 1.0, 2.0, (Trend.DIFFERENT, 1.0, 1.0)),
    "from nothing": ("auc", 0.0, 0.5, (Trend.BETTER, 0.5, None)),
    "to nothing": ("auc", 0.5, 0.0, (Trend.WORSE, -0.5, -1.0)),
    "below zero": ("r2", -2.0, -1.0, (Trend.BETTER, 1.0, 0.5)),
    "no number anymore": ("auc", 0.8, NAN, (Trend.NOT_COMPARABLE, None, None)),
    "a number now": ("auc", NAN, 0.8, (Trend.NOT_COMPARABLE, None, None)),
    "no number still": ("auc", NAN, NAN, (Trend.SAME, None, None)),
    "without end": ("loss", 1.0, INF, (Trend.NOT_COMPARABLE, None, None)),
    "without end still": ("loss", INF, INF, (Trend.SAME, None, None)),
    "too far apart to say how far": ("loss", -1.7e308, 1.7e308, (Trend.WORSE, None, None)),
    "from next to nothing": ("auc", 5e-324, 1.0, (Trend.BETTER, None, None)),
}


@pytest.mark.parametrize(("name", "before", "after", "expected"), VALUES.values(), ids=VALUES.keys())
def test_two_values(name: str, before: float, after: float, expected: tuple[Trend, float | None, float | None]) -> None:
    (delta,) = compare_metrics([Metric(name, after)], [Metric(name, before)])

    assert told(delta) == expected
    assert (delta.why == "not a finite number") == (delta.trend is Trend.NOT_COMPARABLE)


def auc(value: float, dataset: Dataset | None = None) -> Metric:
    return Metric("auc", value, dataset)


DATASETS: dict[str, tuple[list[Metric], list[Metric], list[tuple[Trend, str]]]] = {
    # what the incumbent has, what the candidate has, and what is said
    "the same data": ([auc(0.8, HELD_OUT)], [auc(0.9, HELD_OUT)], [(Trend.BETTER, "")]),
    "the same data by another name": ([auc(0.8, HELD_OUT)], [auc(0.9, RENAMED)], [(Trend.BETTER, "")]),
    "other data": (
        [auc(0.8, HELD_OUT)],
        [auc(0.9, LAST_YEAR)],
        [(Trend.NOT_COMPARABLE, "measured on different datasets")],
    ),
    "data of the incumbent alone": (
        [auc(0.8, HELD_OUT)],
        [auc(0.9)],
        [(Trend.NOT_COMPARABLE, "the dataset of only one of them is known")],
    ),
    "data of the candidate alone": (
        [auc(0.8)],
        [auc(0.9, HELD_OUT)],
        [(Trend.NOT_COMPARABLE, "the dataset of only one of them is known")],
    ),
    "two of them, in any order": (
        [auc(0.8, HELD_OUT), auc(0.7, LAST_YEAR)],
        [auc(0.6, LAST_YEAR), auc(0.9, HELD_OUT)],
        [(Trend.BETTER, ""), (Trend.WORSE, "")],
    ),
    "two of them, one in common": (
        [auc(0.8, HELD_OUT)],
        [auc(0.9, HELD_OUT), auc(0.6, LAST_YEAR)],
        [(Trend.BETTER, ""), (Trend.ADDED, "")],
    ),
    "two of them, one left": (
        [auc(0.8, HELD_OUT), auc(0.6, LAST_YEAR)],
        [auc(0.8, HELD_OUT)],
        [(Trend.SAME, ""), (Trend.GONE, "")],
    ),
    "known and unknown data on both sides": (
        [auc(0.8), auc(0.7, HELD_OUT)],
        [auc(0.8), auc(0.9, HELD_OUT)],
        [(Trend.SAME, ""), (Trend.BETTER, "")],
    ),
    "new": ([], [auc(0.9)], [(Trend.ADDED, "")]),
    "gone": ([auc(0.9)], [], [(Trend.GONE, "")]),
    "none": ([], [], []),
}


@pytest.mark.parametrize(("before", "after", "expected"), DATASETS.values(), ids=DATASETS.keys())
def test_figures_are_compared_on_the_same_data_alone(
    before: list[Metric], after: list[Metric], expected: list[tuple[Trend, str]]
) -> None:
    deltas = list(compare_metrics(after, before))

    assert [(delta.trend, delta.why) for delta in deltas] == expected
    assert all(
        delta.delta is None for delta in deltas if delta.trend in {Trend.NOT_COMPARABLE, Trend.ADDED, Trend.GONE}
    )


def test_metrics_are_told_by_name() -> None:
    deltas = compare_metrics([Metric("b", 1), Metric("a", 1)], [Metric("c", 1)])

    assert [delta.name for delta in deltas] == ["a", "b", "c"]


CANDIDATE = VersionFacts(
    CHURN,
    Version(2),
    tags={"team": "risk", "reviewed": "yes"},
    metrics=(auc(0.9),),
    params={"C": "2", "penalty": "l2"},
    signature=Signature((Column("age", Scalar("long")),)),
    flavors={"sklearn": "1.9.1", "python_function": ""},
    requirements=("scikit-learn==1.9.1", "pandas", "https://acme.example/a.whl"),
)
INCUMBENT = VersionFacts(
    CHURN,
    Version(1),
    tags={"team": "risk"},
    metrics=(auc(0.8),),
    params={"C": "1", "depth": "3"},
    signature=Signature((Column("age", Scalar("long")),)),
    flavors={"sklearn": "1.8.0", "python_function": ""},
    requirements=("Scikit_Learn==1.8.0", "numpy>=2", "pandas"),
)


def test_of_the_rest_what_differs_is_told() -> None:
    comparison = compare(CANDIDATE, INCUMBENT)

    assert [told(delta) for delta in comparison.metrics] == [(Trend.BETTER, 0.1, 0.125)]
    assert comparison.params == (
        ValueDelta("C", "2", "1"),
        ValueDelta("depth", None, "3"),
        ValueDelta("penalty", "l2", None),
    )
    assert comparison.tags == (ValueDelta("reviewed", "yes", None),)
    assert comparison.flavors == (ValueDelta("sklearn", "1.9.1", "1.8.0"),)
    assert comparison.requirements == (
        ValueDelta("https://acme.example/a.whl", "https://acme.example/a.whl", None),
        ValueDelta("numpy", None, ">=2"),
        ValueDelta("scikit-learn", "==1.9.1", "==1.8.0"),
    )
    assert comparison.signature.compatibility is Compatibility.IDENTICAL


def test_with_no_incumbent_all_is_new_and_nothing_is_compatible() -> None:
    comparison = compare(CANDIDATE, None)

    assert [delta.trend for delta in comparison.metrics] == [Trend.ADDED]
    values = (*comparison.params, *comparison.tags, *comparison.flavors, *comparison.requirements)
    assert {value.incumbent for value in values} == {None}
    assert [value.name for value in comparison.requirements] == ["https://acme.example/a.whl", "pandas", "scikit-learn"]
    assert comparison.signature.compatibility is Compatibility.UNKNOWN


def test_what_is_not_known_of_one_is_neither_gone_nor_different() -> None:
    why = "did not answer within 20 s"
    unread = VersionFacts(
        CHURN, Version(1), missing=tuple(Missing(w, why) for w in ("version", "run", "metrics", "flavors"))
    )

    comparison = compare(CANDIDATE, unread)

    assert [(delta.trend, delta.delta) for delta in comparison.metrics] == [(Trend.UNKNOWN, None)]
    assert (comparison.params, comparison.tags, comparison.flavors, comparison.requirements) == ((), (), (), ())
    assert comparison.signature.compatibility is Compatibility.UNKNOWN


def test_why_something_is_missing() -> None:
    facts = VersionFacts(CHURN, Version(1), missing=(Missing("run", "the version names no run"),))

    assert facts.why_missing("run") == "the version names no run"
    assert facts.why_missing("signature") == ""
