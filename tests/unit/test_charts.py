"""Where the marks of the charts stand."""

import math
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.evidence import Dataset, Evidence, Exhibit, Trend, compare
from reconciler.core.review import Review
from reconciler.render import charts
from reconciler.render.html import html_page
from tests.exhibits import HOLDOUT_BEFORE, NOW, URI, exhibit, promotion_plan, version

PLAN = promotion_plan()
values = st.dictionaries(st.sampled_from(["auc", "loss", "f1", "rows", "mape"]), st.floats(), max_size=5)


def pair(
    new: Mapping[str, float], old: Mapping[str, float], *earlier: Mapping[str, float], on: Dataset | None = None
) -> Exhibit:
    """A candidate beside an incumbent, and the versions before them."""
    history = [version(number, metrics, dataset=on) for number, metrics in enumerate(earlier, 1)]
    last = len(history)
    return exhibit(version(last + 2, new, dataset=on), version(last + 1, old, dataset=on), history=history)


def bars(found: Exhibit) -> charts.Bars | None:
    return charts.bars(compare(found.candidate, found.incumbent))


def lines(found: Exhibit) -> tuple[charts.Line, ...]:
    return charts.lines(found, compare(found.candidate, found.incumbent))


def test_better_stands_to_the_right_whichever_way_the_number_went() -> None:
    found = bars(pair({"auc": 0.9, "loss": 0.3, "mape": 0.2}, {"auc": 0.8, "loss": 0.4, "mape": 0.1}))

    assert found is not None
    assert [(bar.name, bar.told, bar.trend) for bar in found.bars] == [
        ("loss", "-25 %", Trend.BETTER),
        ("auc", "+12.5 %", Trend.BETTER),
        ("mape", "+100 %", Trend.WORSE),
    ]
    loss, auc, mape = found.bars
    assert loss.x == auc.x == charts.BAR_MIDDLE
    assert mape.x + mape.width == charts.BAR_MIDDLE
    assert mape.width == charts.BAR_REACH > loss.width > auc.width


def test_a_metric_without_a_better_and_a_worse_has_no_bar() -> None:
    assert bars(pair({"rows": 2.0}, {"rows": 1.0})) is None
    assert bars(pair({"auc": 0.9}, {"auc": 0.9})) is None
    assert bars(pair({"auc": 0.9}, {"auc": 0.0})) is None


def test_neither_noise_nor_an_explosion_sets_the_scale() -> None:
    noise = bars(pair({"auc": 0.9001}, {"auc": 0.9}))
    explosion = bars(pair({"auc": 0.9, "loss": 40.0}, {"auc": 0.6, "loss": 0.4}))

    assert noise is not None
    assert noise.bars[0].width < 2
    assert explosion is not None
    assert [(bar.name, bar.width, bar.cut) for bar in explosion.bars] == [
        ("auc", 33.0, False),
        ("loss", charts.BAR_REACH, True),
    ]


def test_of_many_metrics_the_best_and_the_worst_have_bars() -> None:
    found = bars(
        pair({f"auc_{n:02}": 1.0 + (n - 10) / 100 for n in range(21)}, {f"auc_{n:02}": 1.0 for n in range(21)})
    )

    assert found is not None
    assert [bar.name for bar in found.bars] == [f"auc_{n:02}" for n in (*range(20, 14, -1), *range(5, -1, -1))]
    assert found.left_out == 9


def test_a_line_goes_through_the_versions_in_their_order() -> None:
    (line,) = lines(pair({"auc": 0.9}, {"auc": 0.8}, {"auc": 0.7}))

    assert [(dot.label, dot.told, dot.role) for dot in line.dots] == [
        ("v1", "0.7", ""),
        ("v2", "0.8", "incumbent"),
        ("v3", "0.9", "candidate"),
    ]
    assert [dot.x for dot in line.dots] == sorted(dot.x for dot in line.dots)
    assert [dot.y for dot in line.dots] == [charts.LINE_BOTTOM, 44.0, charts.LINE_TOP]
    assert (line.direction, line.change, line.left_out) == ("higher is better", "+12.5 %", 0)


def test_a_line_leaves_out_what_was_measured_on_other_data() -> None:
    found = pair({"auc": 0.9}, {"auc": 0.8}, {"auc": 0.7})
    other = version(9, {"auc": 0.1}, dataset=HOLDOUT_BEFORE)

    (line,) = lines(Exhibit(found.pairing, found.candidate, found.incumbent, (*found.history, other)))

    assert [dot.label for dot in line.dots] == ["v1", "v2", "v3"]
    assert line.left_out == 1


def test_two_points_are_no_line() -> None:
    assert lines(pair({"auc": 0.9}, {"auc": 0.8})) == ()
    assert lines(pair({"auc": 0.9}, {"auc": 0.8}, {"auc": math.nan}, {"loss": 1.0})) == ()


def test_the_metrics_with_a_verdict_and_the_greatest_difference_have_lines() -> None:
    one: dict[str, float] = dict.fromkeys(("auc_a", "auc_b", "auc_c", "auc_d", "rows"), 1.0)
    two = {**one, "auc_a": 1.1, "auc_b": 0.5, "auc_c": 1.2, "rows": 9.0}

    assert [line.name for line in lines(pair(two, one, one))] == ["auc_b", "auc_c", "auc_a", "auc_d"]


@given(values, values, values)
def test_whatever_the_metrics_are_there_is_a_page_and_every_mark_is_on_it(
    new: dict[str, float], old: dict[str, float], earlier: dict[str, float]
) -> None:
    found = pair(new, old, earlier)

    page = html_page(Review(PLAN, URI, Evidence(NOW, (found,))))

    assert "</html>" in page
    drawn = bars(found)
    for bar in drawn.bars if drawn else ():
        assert (
            charts.BAR_MIDDLE - charts.BAR_REACH <= bar.x <= bar.x + bar.width <= charts.BAR_MIDDLE + charts.BAR_REACH
        )
    for line in lines(found):
        for dot in line.dots:
            assert charts.LINE_LEFT <= dot.x <= charts.LINE_RIGHT
            assert charts.LINE_TOP <= dot.y <= charts.LINE_BOTTOM
