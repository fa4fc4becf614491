"""What is to be added so that a run's GPU time is right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.usage import BUCKETS, Correction, RunGpu
from snapenv.usage.charges import corrected
from snapenv.usage.correcting import differences
from tests.usage.usage_samples import HOUR_MS, at, run, run_gpu

ROW = run_gpu(run("a", at(1), 10), busy=0.4)[0]  # 6 hours idle, 4 near 100 %
SECOND = replace(ROW, gpu="GPU-2")


def hours(row: RunGpu) -> tuple[float, float, float]:
    """Return those that were unseen, idle and busy."""
    seen = sum(row.buckets)
    return tuple(ms / HOUR_MS for ms in (row.allocated_ms - seen, row.buckets[0], row.buckets[-1]))  # type: ignore[return-value]


def after(rows: tuple[RunGpu, ...], allocated_ms: int) -> tuple[RunGpu, ...]:
    """Return the rows with what is to be added."""
    added = [
        Correction(
            id=each.gpu,
            key="a",
            gpu=each.gpu,
            month=ROW.month,
            at_ms=1,
            allocated_ms=each.allocated_ms,
            buckets=each.buckets,
            reason="",
        )
        for each in differences(rows, allocated_ms)
    ]
    return corrected(rows, added, {})


def test_time_that_is_taken_away_is_that_which_nobody_saw_and_then_the_idle() -> None:
    row = replace(ROW, allocated_ms=12 * HOUR_MS)

    assert hours(row) == (2, 6, 4)
    assert hours(after((row,), 11 * HOUR_MS)[0]) == (1, 6, 4)
    assert hours(after((row,), 7 * HOUR_MS)[0]) == (0, 3, 4)
    assert hours(after((row,), 3 * HOUR_MS)[0]) == (0, 0, 3)
    assert hours(after((row,), 0)[0]) == (0, 0, 0)


def test_time_that_is_added_was_not_seen() -> None:
    assert hours(after((ROW,), 15 * HOUR_MS)[0]) == (5, 6, 4)


def test_time_is_divided_as_it_was() -> None:
    half = replace(SECOND, allocated_ms=5 * HOUR_MS, buckets=(0,) * BUCKETS)

    first, second = after((ROW, half), 3 * HOUR_MS)

    assert (first.allocated_ms, second.allocated_ms) == (2 * HOUR_MS, HOUR_MS)


def test_where_there_was_none_it_is_divided_evenly() -> None:
    none = replace(ROW, allocated_ms=0, buckets=(0,) * BUCKETS)

    rows = after((none, replace(none, gpu="GPU-2")), 2 * HOUR_MS)

    assert [row.allocated_ms for row in rows] == [HOUR_MS, HOUR_MS]


def test_nothing_is_added_where_the_time_is_right() -> None:
    assert list(differences((ROW, SECOND), 20 * HOUR_MS)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.lists(st.integers(0, 10**8), max_size=BUCKETS)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 10**10),
)
def test_the_sum_is_what_was_asked_and_no_part_is_negative(
    gpus: list[tuple[int, list[int]]], allocated_ms: int
) -> None:
    rows = tuple(
        replace(
            ROW,
            gpu=f"GPU-{number}",
            allocated_ms=unseen + sum(seen),
            buckets=(*seen, *(0,) * (BUCKETS - len(seen))),
        )
        for number, (unseen, seen) in enumerate(gpus)
    )

    added = tuple(differences(rows, allocated_ms))
    rows = after(rows, allocated_ms)

    assert sum(row.allocated_ms for row in rows) == allocated_ms
    assert all(sum(row.buckets) <= row.allocated_ms for row in rows)
    for each in added:  # so that ``corrected`` has nothing to cut off
        assert all(lost <= 0 for lost in each.buckets)
