from __future__ import annotations

import pytest

from snapenv.report.tune_charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Shown,
    pair_chart,
    setting_chart,
    trial_chart,
)


def shown(number: float, value: float | None, kind: str = "whole") -> Shown:
    return Shown(kind=kind, number=number, value=value, label=f"trial {number}")  # type: ignore[arg-type]


TRIALS = [
    shown(1, 30, "default"),
    shown(2, 35, "ended"),
    shown(3, None, "invalid"),
    shown(4, 40),
    shown(4.5, 32, "default"),
]


def test_a_trial_stands_where_its_number_and_its_value_are() -> None:
    chart = trial_chart(TRIALS, description="")

    places = [(float(mark.x), float(mark.y)) for mark in chart.marks]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert LEFT < places[0][0] < places[-1][0] < RIGHT
    assert places[3][1] < places[1][1] < places[4][1] < places[0][1] < BOTTOM
    assert places[2][1] == BOTTOM
    assert chart.y_ticks[0].label == "invalid"
    assert [(point.x, point.y) for point in chart.line] == [
        (mark.x, mark.y) for mark in chart.marks if mark.kind == "default"
    ]
    assert [tick.label for tick in chart.x_ticks] == ["1", "2", "3", "4"]


def test_without_an_invalid_trial_there_is_no_row_for_them() -> None:
    chart = trial_chart([shown(1, 30)], description="")
    assert "invalid" not in [tick.label for tick in chart.y_ticks]
    assert len(chart.marks) == 1


def test_the_median_of_a_value_is_of_what_ran_whole() -> None:
    columns = [("4", TRIALS[:2]), ("8", [shown(6, 30), shown(7, 50), shown(8, None, "invalid")])]

    chart = setting_chart(columns, description="")

    y_of = {mark.label: float(mark.y) for mark in chart.marks}
    assert float(chart.medians[0].y) == y_of["trial 1"]
    middle = (y_of["trial 6"] + y_of["trial 7"]) / 2
    assert float(chart.medians[1].y) == pytest.approx(middle, abs=0.1)
    x = [float(mark.x) for mark in chart.marks]
    border = (LEFT + RIGHT) / 2
    assert max(x[:2]) < border < min(x[2:])
    assert len(set(x)) == 5
    assert setting_chart([("4", TRIALS[1:2])], description="").medians == ()


def test_pairs_stand_beside_what_cannot_be_told_apart() -> None:
    chart = pair_chart([1.2, 1.4, 0.9], ["a", "b", "c"], resolution=0.1, description="")

    band, even = chart.band, float(chart.even or 0)
    assert band
    assert float(band.x) + float(band.width) / 2 == pytest.approx(even, abs=0.1)
    x = {mark.label: float(mark.x) for mark in chart.marks}
    assert x["c"] == pytest.approx(float(band.x), abs=0.1)
    assert float(band.x) + float(band.width) < x["a"] == x["median 1.20"] < x["b"]
    (spread,) = chart.medians
    assert float(spread.x) == x["c"]
    assert float(spread.x) + float(spread.width) == pytest.approx(x["b"], abs=0.1)
    assert TOP < float(chart.marks[0].y) < float(chart.marks[-1].y) < chart.bottom < chart.height
