from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.report.usage_charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Block,
    Graph,
    Kind,
    Month,
    bars,
    histogram,
    month_columns,
    month_line,
)

_AMOUNT = st.integers(min_value=-(10**12), max_value=10**12)
_KINDS: tuple[Kind, ...] = ("effective", "idle", "unseen", "unallocated")


def a_month(name: str, *amounts: float) -> Month:
    parts = dict(zip(_KINDS, amounts, strict=False))
    return Month(name=name, parts=parts, labels={kind: str(part) for kind, part in parts.items()})


def ends(block: Block) -> tuple[float, float]:
    return float(block.y), float(block.y) + float(block.height)


def drawn(graph: Graph | None) -> Graph:
    assert graph is not None
    return graph


def test_the_longest_bar_fills_the_width_and_the_others_are_in_proportion() -> None:
    long, short = bars([{"effective": 3.0, "idle": 1.0}, {"idle": 2.0}])

    assert [(block.kind, block.x, block.width) for block in long] == [
        ("effective", "0.00", "75.00"),
        ("idle", "75.00", "25.00"),
    ]
    assert [(block.kind, block.x, block.width) for block in short] == [("idle", "0.00", "50.00")]


def test_a_part_that_a_correction_left_below_zero_takes_no_room() -> None:
    (bar,) = bars([{"effective": -5.0, "idle": 2.0}])

    assert [(block.kind, block.x, block.width) for block in bar] == [("idle", "0.00", "100.00")]


def test_rows_of_nothing_have_empty_bars() -> None:
    assert bars([{"effective": 0.0}, {}]) == ((), ())
    assert bars([]) == ()


@given(st.lists(st.dictionaries(st.sampled_from(_KINDS), _AMOUNT), max_size=8))
def test_whatever_the_amounts_are_bars_lie_in_the_width_one_part_behind_the_other(
    rows: list[dict[Kind, int]],
) -> None:
    for bar in bars(rows):
        end = 0.0
        for block in bar:
            assert float(block.x) == pytest.approx(end, abs=0.02)
            end = float(block.x) + float(block.width)
        assert end <= 100.05


def test_each_bucket_is_a_column_as_high_as_its_share() -> None:
    graph = drawn(histogram((10, 0, 0, 0, 0, 0, 0, 0, 0, 30), threshold=7))

    heights = [float(block.height) for block in graph.blocks]
    assert heights[1:9] == [0.0] * 8
    assert heights[9] == pytest.approx(3 * heights[0], abs=0.1)
    assert [block.kind for block in graph.blocks] == ["idle"] * 7 + ["effective"] * 3


def test_the_threshold_stands_between_idle_and_effective() -> None:
    graph = drawn(histogram((1,) * 10, threshold=7))

    assert graph.threshold is not None
    assert graph.threshold.label == "70 %"
    last_idle, first_effective = graph.blocks[6:8]
    assert float(last_idle.x) < float(graph.threshold.at) < float(first_effective.x)


def test_a_histogram_of_nothing_is_not_drawn() -> None:
    assert histogram((0,) * 10, threshold=7) is None


def test_the_parts_of_a_month_stand_on_one_another() -> None:
    graph = drawn(month_columns([a_month("2026-10", 2.0, 2.0), a_month("2026-11", 4.0, 0.0)]))

    low, high, whole = graph.blocks
    assert [block.kind for block in graph.blocks] == ["effective", "idle", "effective"]
    assert ends(low)[1] == BOTTOM
    assert ends(high)[1] == pytest.approx(ends(low)[0], abs=0.11)
    assert ends(whole)[0] == pytest.approx(ends(high)[0], abs=0.11)
    assert float(whole.x) > float(low.x)
    assert low.label == "2026-10, effective: 2.0"


def test_months_without_anything_are_not_drawn() -> None:
    assert month_columns([]) is None
    assert month_columns([a_month("2026-11", 0.0)]) is None


def test_a_year_of_months_does_not_get_a_label_each() -> None:
    names = [f"2026-{number:02}" for number in range(1, 13)]

    graph = drawn(month_columns([a_month(name, 1.0) for name in names]))

    assert [tick.label for tick in graph.x_ticks] == ["2026-03", "2026-06", "2026-09", "2026-12"]


def test_a_month_of_an_unknown_share_leaves_a_gap_in_the_line() -> None:
    names = ("2026-08", "2026-09", "2026-10", "2026-11")

    graph = drawn(month_line(names, (0.0, None, 0.5, 1.0)))

    assert [[point.y for point in run] for run in graph.line] == [
        [f"{BOTTOM:.1f}"],
        [f"{(TOP + BOTTOM) / 2:.1f}", f"{TOP:.1f}"],
    ]
    labelled = {tick.at for tick in graph.x_ticks}
    assert {point.x for run in graph.line for point in run} <= labelled
    assert graph.description == "2026-08: 0 %; 2026-09: unknown; 2026-10: 50 %; 2026-11: 100 %."


def test_months_of_unknown_shares_are_not_drawn() -> None:
    assert month_line(("2026-11",), (None,)) is None


@given(
    st.lists(st.lists(_AMOUNT, max_size=4), max_size=15),
    st.lists(st.integers(min_value=0, max_value=10**15), min_size=10, max_size=10),
)
def test_whatever_the_amounts_are_all_columns_lie_in_the_frame(
    months: list[list[int]], buckets: list[int]
) -> None:
    graphs = (
        month_columns([a_month("2026-11", *amounts) for amounts in months]),
        histogram(buckets, threshold=7),
    )

    for block in (block for graph in graphs if graph for block in graph.blocks):
        assert LEFT <= float(block.x) <= float(block.x) + float(block.width) <= RIGHT + 0.2
        assert ends(block)[0] >= TOP - 0.1
        assert ends(block)[1] <= BOTTOM + 0.1
