from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.usage import Correction
from snapenv.usage.charges import UsageRecords, charges_of, shares_of
from tests.usage.usage_samples import HOUR_MS, NOW_MS, at, run, run_gpu

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda pair: (pair[0], sum(pair))),
    min_size=1,
    max_size=12,
).map(sorted)


@given(SPANS)
def test_what_is_shared_adds_up_to_the_time_that_passed(spans: list[tuple[int, int]]) -> None:
    shares = shares_of(spans)

    passed = len({moment for begin, end in spans for moment in range(begin, end)})
    lengths = [end - begin for begin, end in spans]
    assert sum(share * length for share, length in zip(shares, lengths, strict=True)) == passed
    assert all(0 < share <= 1 for share in shares)


def test_two_runs_at_once_have_half_of_the_gpu_each() -> None:
    assert shares_of([(0, 10), (5, 10)]) == (Fraction(3, 4), Fraction(1, 2))
    assert shares_of([(0, 10), (2, 4), (6, 8)]) == (Fraction(4, 5), Fraction(1, 2), Fraction(1, 2))
    assert shares_of([(0, 10), (10, 20)]) == (Fraction(1), Fraction(1))


def test_a_gpu_that_two_runs_had_at_once_is_charged_once() -> None:
    one, other = run("a", at(1), 4), run("b", at(1), 4)
    rows = (*run_gpu(one, busy=0.25, energy_mj=1000), *run_gpu(other, busy=0.25))

    first, second = charges_of(UsageRecords(runs=(one, other), run_gpus=rows), NOW_MS)

    assert (first.allocated_ms, second.allocated_ms) == (4 * HOUR_MS, 4 * HOUR_MS)
    assert (first.charged_ms, second.charged_ms) == (2 * HOUR_MS, 2 * HOUR_MS)
    assert (first.effective_ms, first.idle_ms) == (HOUR_MS // 2, HOUR_MS * 3 // 2)
    assert first.energy_mj == 500


def test_a_run_across_the_end_of_a_month_is_charged_in_both() -> None:
    one = run("a", at(29.5), 24)

    charges = charges_of(UsageRecords(runs=(one,), run_gpus=tuple(run_gpu(one))), NOW_MS)

    assert [(each.month, each.charged_ms) for each in charges] == [
        ("2026-11", 12 * HOUR_MS),
        ("2026-12", 12 * HOUR_MS),
    ]
    assert charges[0].until_ms == charges[1].since_ms == at(30)


def test_a_run_that_goes_on_shares_until_now() -> None:
    going, ended = run("a", at(1), None), run("b", at(1), 1)
    (row,) = run_gpu(ended)
    rows = (row, *run_gpu(going)[:1])

    charges = charges_of(UsageRecords(runs=(going, ended), run_gpus=rows), at(1) + 2 * HOUR_MS)

    assert [each.until_ms - each.since_ms for each in charges] == [HOUR_MS, 2 * HOUR_MS]
    assert charges[0].charged_ms == HOUR_MS // 2


def test_a_correction_is_added_and_none_gets_below_zero() -> None:
    one = run("a", at(1), 4)
    more = Correction(
        id="1", key="a", gpu="GPU-2", month="2026-11", at_ms=at(20), reason="", allocated_ms=HOUR_MS
    )
    buckets = (-HOUR_MS, *(0,) * 9)
    less = replace(more, gpu="GPU-1", allocated_ms=-HOUR_MS, buckets=buckets, energy_mj=-5)
    records = UsageRecords(
        runs=(one,), run_gpus=tuple(run_gpu(one, energy_mj=3)), corrections=(less, more)
    )

    first, second = charges_of(records, NOW_MS)

    assert (first.charged_ms, first.idle_ms, first.energy_mj) == (3 * HOUR_MS, HOUR_MS, 0)
    assert (second.gpu, second.charged_ms, second.gpu_model) == ("GPU-2", HOUR_MS, "unknown")


def test_a_histogram_that_is_longer_than_its_run_is_shortened() -> None:
    one = run("a", at(1), 1)
    buckets = (HOUR_MS, *(0,) * 8, HOUR_MS)
    records = UsageRecords(runs=(one,), run_gpus=tuple(run_gpu(one, buckets=buckets)))

    (charge,) = charges_of(records, NOW_MS)

    assert (charge.effective_ms, charge.idle_ms) == (HOUR_MS // 2, HOUR_MS // 2)


def test_where_the_clock_went_back_the_time_that_was_measured_counts() -> None:
    one = run("a", at(2), 1, ended_ms=at(1))
    (row,) = run_gpu(run("a", at(2), 1))

    (charge,) = charges_of(UsageRecords(runs=(one,), run_gpus=(row,)), NOW_MS)

    assert charge.charged_ms == HOUR_MS
    assert charge.until_ms == charge.since_ms
