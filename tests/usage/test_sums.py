from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import PriceListError
from snapenv.model.usage import Correction, UsageEvent, UsageRun, UsageSum
from snapenv.model.usage_report import By, UsageReportResult, UsageTotals
from snapenv.usage.charges import UsageRecords
from snapenv.usage.prices import Bill, FleetSize, GpuPrice, PriceList, day_of
from snapenv.usage.sums import ReportOptions, report_usage
from tests.usage.usage_samples import (
    H200,
    HOUR_MS,
    KWH_MJ,
    NOW_MS,
    PRICES,
    at,
    machine_gpu,
    run,
    run_gpu,
    trained,
)

EVERY_BY: tuple[By, ...] = ("user", "project", "model", "tag", "gpu", "environment")


def records(*runs: UsageRun, busy: float = 0.5, **fields: object) -> UsageRecords:
    rows = tuple(row for one in runs for row in run_gpu(one, busy=busy))
    found = UsageRecords(runs=runs, run_gpus=rows, machine_gpus=(machine_gpu(),))
    return replace(found, **fields)


def report(
    of: UsageRecords,
    *,
    by: By = "project",
    month: str = "2026-11",
    prices: PriceList | None = PRICES,
    now_ms: int = NOW_MS,
) -> UsageReportResult:
    return report_usage(of, prices, ReportOptions(month=month, by=by, now_ms=now_ms))


RUNS = st.lists(
    st.builds(
        lambda key, day, hours, user, project, tag, code: run(
            str(key), at(day), hours, user=user, project=project, tag=tag, exit_code=code
        ),
        st.uuids(),
        st.floats(0, 35),
        st.floats(0, 100),
        st.sampled_from(("ann", "ben", "eve")),
        st.sampled_from(("lanes", "signs", None)),
        st.sampled_from(("tag1", "tag2")),
        st.sampled_from((0, 1, 137)),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None)
@given(
    RUNS,
    st.sampled_from(EVERY_BY),
    st.sampled_from(("2026-11", "2026-12")),
    st.sampled_from(((), (Bill(month="2026-11", amount=4321.05),))),
)
def test_rows_sum_up_to_the_total_and_with_what_nobody_had_to_the_bill(
    runs: list[UsageRun], by: By, month: str, stated: tuple[Bill, ...]
) -> None:
    of = records(*runs, machine_gpus=(machine_gpu(last_ms=NOW_MS),))
    prices = replace(PRICES, bill=stated)

    found = report(of, by=by, month=month, prices=prices)

    for name in ("charged_ms", "allocated_ms", "effective_ms", "idle_ms", "unseen_ms", "cost"):
        rows = sum(getattr(row.totals, name) for row in found.rows)
        assert rows == getattr(found.total, name), name
    assert found.total.runs == sum(row.totals.runs for row in found.rows)
    total = found.total
    assert total.effective_ms + total.idle_ms + total.unseen_ms == total.charged_ms
    parts = (total.effective_cost, total.idle_cost, total.unseen_cost)
    assert sum(part or 0 for part in parts) == total.cost
    assert found.capacity_ms == total.charged_ms + (found.unallocated_ms or 0)
    assert found.bill == (total.cost or 0) + (found.unallocated_cost or 0)
    assert sum(row.cost or 0 for row in found.gpus) == total.cost


def test_without_overlaps_the_hours_are_those_of_the_records() -> None:
    of = records(run("a", at(1), 4), run("b", at(2), 2, user="ben", project=None), busy=0.75)

    found = report(of, by="user")

    assert found.total.charged_ms == sum(row.allocated_ms for row in of.run_gpus)
    assert [(row.name, row.totals.runs, row.totals.cost) for row in found.rows] == [
        ("ann", 1, 12_000_000),
        ("ben", 1, 6_000_000),
    ]
    assert found.total.density == 0.75
    assert found.total.util_sources == ("gpm_sm",)
    assert found.unallocated_cost == (720 - 6) * 3_000_000
    assert found.bill == 720 * 3_000_000


def test_a_run_that_declares_nothing_is_a_row_without_a_name() -> None:
    found = report(records(run("a", at(1), 4, project=None), run("b", at(2), 9)))

    assert [row.name for row in found.rows] == ["lanes", None]


def test_a_run_without_a_gpu_is_counted_and_costs_nothing() -> None:
    found = report(records(run_gpus=(), runs=(run("a", at(1), 4, gpus=()),)), by="gpu")

    assert [(row.name, row.totals.runs, row.totals.cost) for row in found.rows] == [(None, 1, 0)]


def test_an_environment_is_named_with_its_tags() -> None:
    of = records(run("a", at(1), 4, tag="x"), run("b", at(2), 4, tag="w"))

    (row,) = report(of).environments

    assert (row.name, row.detail, row.totals.runs) == ("sha256:" + "5" * 64, "w, x", 2)


def test_energy_that_is_known_is_summed_up_and_emits() -> None:
    one, other = run("a", at(1), 4), run("b", at(2), 4)
    rows = (*run_gpu(one, energy_mj=KWH_MJ), *run_gpu(other))

    found = report(records(one, other, run_gpus=rows))

    assert (found.total.energy_mj, found.total.co2_mg) == (KWH_MJ, 480_000)
    assert found.co2 is not None
    assert (found.co2.place, found.co2.year) == ("Germany", 2024)
    assert found.total.cost == 2 * 12_000_000 + 300_000


def test_the_trend_begins_with_the_first_month_and_a_price_may_be_missing_there() -> None:
    since_november = replace(PRICES, gpu=(GpuPrice(model=H200, since=day_of(at(0)), per_hour=3.0),))
    of = records(run("a", at(3, "2026-09"), 4), run("b", at(1), 2))

    months = report(of, prices=since_november).months

    assert [(one.month, one.totals.charged_ms, one.totals.cost) for one in months] == [
        ("2026-09", 4 * HOUR_MS, None),
        ("2026-10", 0, 0),
        ("2026-11", 2 * HOUR_MS, 6_000_000),
    ]
    with pytest.raises(PriceListError, match="on 2026-09-01"):
        report(of, month="2026-09", prices=since_november)


def test_failures_are_put_together_by_cause_the_dearest_first() -> None:
    of = records(
        run("a", at(1), 1, exit_code=137, failure="memory", cause="the memory is full"),
        run("b", at(2), 2, exit_code=137, failure="memory"),
        run("c", at(3), 9, exit_code=1),
        run("d", at(4), 4),
        run("e", at(29.9), 24, exit_code=1),  # ends in December
        run("f", at(20), None),
        run("g", at(11), 1, exit_code=130, failure="stopped"),
        run("h", at(12), 1, exit_code=1, failure="unknown", kind="shell"),
        run("i", at(13), 1, exit_code=139, failure="crash", kind="shell"),
        run("j", at(14), 1, exit_code=1, failure="unknown"),
    )

    failures = report(of).failures

    assert [(row.failure, row.runs, row.charged_ms // HOUR_MS, row.cost) for row in failures] == [
        (None, 2, 10, 30_000_000),
        ("memory", 2, 3, 9_000_000),
        ("crash", 1, 1, 3_000_000),
    ]
    assert failures[1].example == wording("the memory is full")


def test_corrections_gaps_and_runs_that_go_on_are_told() -> None:
    gap = UsageEvent(id="1", key="a", at_ms=at(1), kind="gap", value=HOUR_MS)
    jump = replace(gap, id="2", kind="clock")
    later = replace(gap, id="3", at_ms=at(40))
    less = Correction(
        id="1", key="a", gpu="GPU-1", month="2026-11", at_ms=at(2), allocated_ms=-1, reason=""
    )
    of = records(run("a", at(1), None), events=(gap, jump, later), corrections=(less,))

    found = report(of, now_ms=at(2))

    assert (found.running, found.gaps_ms, found.corrections) == (1, HOUR_MS, 1)
    assert found.until == "2026-11-03T00:00:00Z"


def test_a_list_without_prices_leaves_costs_unknown() -> None:
    found = report(records(run("a", at(1), 4, exit_code=1)), prices=None)

    assert found.total == replace(
        found.total, cost=None, effective_cost=None, idle_cost=None, unseen_cost=None, co2_mg=None
    )
    assert (found.bill, found.prices, found.failures[0].cost) == (None, None, None)
    assert found.unallocated_ms == (720 - 4) * HOUR_MS


def test_a_month_of_nothing_is_a_report_of_nothing() -> None:
    found = report(UsageRecords())

    assert found.rows == ()
    assert found.total == UsageTotals(runs=0, cost=0, effective_cost=0, idle_cost=0, unseen_cost=0)
    assert [one.month for one in found.months] == ["2026-11"]


def test_the_prices_that_were_used_are_told() -> None:
    cheaper = GpuPrice(model="h200", since=day_of(at(10)), per_hour=1.5)
    other = GpuPrice(model="L4", since=day_of(at(10)), per_hour=1.0)
    prices = replace(PRICES, gpu=(*PRICES.gpu, cheaper, other))

    used = report(records(run("a", at(1), 4)), prices=prices).prices

    assert used is not None
    assert [(line.gpu, line.since, line.per_hour) for line in used.gpus] == [
        (H200, "2025-01-01", 3_000_000),
        (H200, "2026-11-11", 1_500_000),
    ]
    assert (used.currency, used.per_kwh, used.pue) == ("EUR", 250_000, 1.2)


def test_sums_of_a_team_are_priced_and_small_projects_are_named_others() -> None:
    one = UsageSum(
        month="2026-11",
        gpu_model=H200,
        project="lanes",
        runs=3,
        allocated_ms=10 * HOUR_MS,
        buckets=(4 * HOUR_MS, *(0,) * 8, 6 * HOUR_MS),
        util_sources=("nvml",),
        failure="memory",
    )
    rest = replace(one, project=None, is_rest=True, runs=2, failure=None)
    less = replace(one, is_correction=True, runs=0, allocated_ms=-HOUR_MS, buckets=(0,) * 10)
    fleet = replace(PRICES, fleet=(FleetSize(model=H200, since=day_of(at(0)), gpus=1),))
    of = UsageRecords(sums=(one, rest, less))

    found = report_usage(
        of, fleet, ReportOptions(month="2026-11", by="project", now_ms=NOW_MS, role="finance")
    )

    assert [(row.name, row.totals.runs, row.totals.cost) for row in found.rows] == [
        ("(others)", 2, 30_000_000),
        ("lanes", 3, 27_000_000),
    ]
    assert found.bill == 720 * 3_000_000
    assert [(row.failure, row.runs) for row in found.failures] == [("memory", 3)]
    assert found.environments == ()


def test_the_board_ranks_trainings_by_the_cost_of_a_point() -> None:
    dear = run("dear", at(1), 10, training=trained(0.5))
    cheap = run("cheap", at(2), 2, training=trained(0.4))
    poor = run("poor", at(3), 1, training=trained(0.0))
    unvalidated = run("unvalidated", at(4), 1, training=trained(None))
    other = run("other", at(5), 1, training=trained(0.1, metric="accuracy_top1"))
    of = records(dear, cheap, poor, unvalidated, other, run("plain", at(6), 1))

    board = report(of).board

    assert [(row.rank, row.run, row.cost_per_point) for row in board] == [
        (1, "run-other", 300_000),
        (2, "run-cheap", 150_000),
        (3, "run-dear", 600_000),
        (4, "run-poor", None),
    ]
    assert (board[1].best, board[1].model, board[1].memory_peak_bytes) == (
        0.4,
        "yolov8n.pt",
        10**10,
    )


def test_a_cheap_gpu_may_be_the_better_value_in_more_time() -> None:
    fast, slow = (
        run("fast", at(1), 2, training=trained()),
        run("slow", at(2), 4, training=trained()),
    )
    rows = (*run_gpu(fast), *run_gpu(slow, model="NVIDIA L4"))
    prices = replace(
        PRICES, gpu=(*PRICES.gpu, GpuPrice(model="L4", since=day_of(at(0)), per_hour=0.5))
    )

    board = report(records(fast, slow, run_gpus=rows), prices=prices).board

    assert [(row.run, row.cost) for row in board] == [
        ("run-slow", 2_000_000),
        ("run-fast", 6_000_000),
    ]


def test_a_training_that_was_resumed_is_on_the_board_once_with_all_that_it_took() -> None:
    first = run("a", at(29, "2026-10"), 4, training=trained(0.2), exit_code=137)
    second = run("b", at(1), 2, training=trained(0.3), exit_code=137, resumed_from="run-a")
    last = run("c", at(2), 4, training=trained(0.5), resumed_from="run-b")

    (row,) = report(records(first, second, last)).board

    assert (row.run, row.charged_ms, row.cost) == ("run-c", 10 * HOUR_MS, 30_000_000)
    assert row.cost_per_point == 600_000


def test_without_prices_the_gpu_time_of_a_point_ranks() -> None:
    long = run("long", at(1), 10, training=trained(0.5))
    short = run("short", at(2), 2, training=trained(0.4))

    board = report(records(long, short), prices=None).board

    assert [(row.run, row.cost) for row in board] == [("run-short", None), ("run-long", None)]
