from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.report.chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Plot,
    difference_chart,
    loss_chart,
)

if TYPE_CHECKING:
    from snapenv.report.scales import Point

_ANY = st.floats(allow_nan=True, allow_infinity=True)
_SOME = st.lists(_ANY, max_size=15)


def points(plot: Plot | None) -> list[Point]:
    curves = plot.curves if plot else ()
    return [point for curve in curves for run in (*curve.runs, curve.lone) for point in run]


def test_both_sides_have_a_point_for_each_step_and_lie_over_one_another() -> None:
    plot = loss_chart((3.0, 2.0, 1.0), (3.0, 2.0, 1.0))

    assert plot is not None
    expected, actual = plot.curves
    assert (expected.side, actual.side) == ("expected", "actual")
    assert expected.runs == actual.runs
    assert len(expected.runs[0]) == 3
    assert plot.marker is None


def test_a_smaller_loss_stands_lower_and_a_later_step_further_right() -> None:
    plot = loss_chart((3.0, 2.0), ())

    assert plot is not None
    first, second = plot.curves[0].runs[0]
    assert float(first.x) < float(second.x)
    assert float(first.y) < float(second.y)


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    plot = loss_chart((1.0, math.nan, 3.0, 4.0), ())

    assert plot is not None
    assert [len(run) for run in plot.curves[0].runs] == [1, 2]


def test_the_marker_stands_at_the_first_differing_step() -> None:
    plot = loss_chart((3.0, 2.0, 1.0), (3.0, 2.5, 1.0), first=2)

    assert plot is not None
    assert plot.marker is not None
    assert plot.marker.label == "step 2"
    assert plot.marker.at == plot.curves[0].runs[0][1].x


def test_the_description_says_what_the_curves_show() -> None:
    plot = loss_chart((3.0, 2.0), (3.0, 2.5), first=2)

    assert plot is not None
    assert plot.description == wording(
        "at capture: 2 steps, from 3 to 2; now: 2 steps, from 3 to 2.5; they part at step 2."
    )


def test_losses_without_a_finite_one_are_not_drawn() -> None:
    assert loss_chart((math.nan,), (math.inf,)) is None
    assert loss_chart((), ()) is None


def test_nothing_is_drawn_where_no_step_differs() -> None:
    assert difference_chart((0.0, 0.0)) is None


def test_ten_times_the_difference_is_the_same_way_up_everywhere() -> None:
    plot = difference_chart((1e-6, 1e-5, 1e-4))

    assert plot is not None
    low, middle, high = (float(point.y) for point in plot.curves[0].runs[0])
    assert low - middle == pytest.approx(middle - high, abs=0.11)


def test_steps_that_are_the_same_or_not_comparable_stand_on_rows_of_their_own() -> None:
    plot = difference_chart((0.0, 1e-5, math.inf))

    assert plot is not None
    assert [point.y for point in plot.curves[0].lone] == [f"{BOTTOM:.1f}", f"{TOP:.1f}"]
    assert [tick.label for tick in plot.y_ticks] == ["0", "1e-6", "1e-5", "∞"]


def test_the_limit_is_a_stair_between_the_first_step_and_the_second() -> None:
    plot = difference_chart((1e-7, 1e-5, 1e-5), limits=(1e-6, 1e-4))

    assert plot is not None
    first, stair, after, last = plot.limit
    assert (first.y, after.y) == (stair.y, last.y)
    assert float(first.y) > float(last.y)
    steps = [float(tick.at) for tick in plot.x_ticks]
    assert steps[0] < float(stair.x) == float(after.x) < steps[1]


def test_many_steps_do_not_get_a_label_each() -> None:
    plot = loss_chart([float(step) for step in range(200)], ())

    assert plot is not None
    assert [tick.label for tick in plot.x_ticks] == ["1", "50", "100", "150", "200"]


@given(expected=_SOME, actual=_SOME)
def test_whatever_the_losses_are_all_points_lie_in_the_frame(
    expected: list[float], actual: list[float]
) -> None:
    drawn = points(loss_chart(expected, actual))

    assert all(LEFT <= float(point.x) <= RIGHT for point in drawn)
    assert all(TOP <= float(point.y) <= BOTTOM for point in drawn)


@given(st.lists(st.floats(min_value=0, allow_nan=False), min_size=1, max_size=15))
def test_whatever_the_differences_are_each_step_has_one_point_in_the_frame(
    differences: list[float],
) -> None:
    drawn = points(difference_chart(differences))

    assert len(drawn) == (len(differences) if any(differences) else 0)
    assert all(TOP <= float(point.y) <= BOTTOM for point in drawn)


@given(_SOME.filter(lambda losses: any(map(math.isfinite, losses))))
def test_labels_of_an_axis_are_short_and_tell_its_numbers_apart(losses: list[float]) -> None:
    plot = loss_chart(losses, ())

    labels = [tick.label for tick in plot.y_ticks] if plot else []
    assert len(set(labels)) == len(labels) <= 7
    assert all(len(label) <= 11 for label in labels)
