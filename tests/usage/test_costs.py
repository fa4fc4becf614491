from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import PriceListError
from snapenv.usage.charges import UsageRecords, charges_of
from snapenv.usage.costs import MonthCosts, month_costs
from snapenv.usage.prices import Bill, FleetSize, GpuPrice, PriceList, day_of
from snapenv.usage.unallocated import Machines
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
)

NOVEMBER_HOURS = 30 * 24


def costs(
    *hours: float, prices: PriceList | None = PRICES, energy_mj: int | None = None
) -> MonthCosts:
    """Price runs of some hours, one after another from the second day of November."""
    runs = tuple(run(str(at_), at(1 + at_), each) for at_, each in enumerate(hours))
    rows = tuple(row for one in runs for row in run_gpu(one, energy_mj=energy_mj))
    charges = charges_of(UsageRecords(runs=runs, run_gpus=rows), NOW_MS)
    return month_costs("2026-11", charges, Machines((machine_gpu(),)), prices, NOW_MS)


def test_what_runs_had_and_what_nobody_had_is_the_bill() -> None:
    found = costs(10, 4)

    assert found.models is not None
    (model,) = found.models
    assert [one.cost for one in found.costs] == [30_000_000, 12_000_000]
    assert model.unallocated_ms == (NOVEMBER_HOURS - 14) * HOUR_MS
    assert model.unallocated_cost == (NOVEMBER_HOURS - 14) * 3_000_000
    assert found.bill == NOVEMBER_HOURS * 3_000_000


def test_power_is_paid_beside_the_hours_and_emits() -> None:
    (one,) = costs(10, energy_mj=5 * KWH_MJ).costs

    assert one.cost == 30_000_000 + 1_500_000  # 5 kWh x 0.25 x 1.2
    assert one.co2_mg == 2_400_000  # 5 kWh x 1.2 x 400 g


@given(st.lists(st.floats(0.001, 23.9), min_size=1, max_size=8), st.integers(0, 10**11).map(float))
def test_a_bill_that_is_stated_is_divided_to_the_last_millionth(
    hours: list[float], amount: float
) -> None:
    stated = replace(PRICES, bill=(Bill(month="2026-11", amount=amount / 100),))

    found = costs(*hours, prices=stated)

    assert found.models is not None
    unallocated = sum(one.unallocated_cost or 0 for one in found.models)
    assert sum(one.cost or 0 for one in found.costs) + unallocated == found.bill
    assert found.bill == stated.stated_bill("2026-11")
    for one in found.costs:
        parts = (one.effective_cost, one.idle_cost, one.unseen_cost)
        assert sum(part or 0 for part in parts) == one.cost


def test_a_price_that_changes_in_the_month_counts_from_its_day() -> None:
    cheaper = GpuPrice(model=H200, since=day_of(at(2)), per_hour=1.0)
    changed = replace(PRICES, gpu=(*PRICES.gpu, cheaper))
    runs = (run("a", at(1.75), 12),)
    charges = charges_of(UsageRecords(runs=runs, run_gpus=tuple(run_gpu(runs[0]))), NOW_MS)

    found = month_costs("2026-11", charges, Machines((machine_gpu(),)), changed, NOW_MS)

    assert found.costs[0].cost == 6 * 3_000_000 + 6 * 1_000_000
    assert found.bill == 48 * 3_000_000 + (NOVEMBER_HOURS - 48) * 1_000_000


def test_the_fleet_of_the_list_is_what_there_was_and_names_may_be_short() -> None:
    fleet = replace(PRICES, fleet=(FleetSize(model="h200", since=day_of(at(15)), gpus=4),))

    found = costs(10, prices=fleet)

    assert found.models is not None
    (model,) = found.models
    assert (model.model, model.gpus) == (H200, 4)
    # Before the fleet there was what runs had.
    assert model.capacity_ms == (4 * 15 * 24 + 10) * HOUR_MS


def test_more_gpu_time_than_there_was_is_never_negative() -> None:
    runs = (run("a", at(1), 10),)
    charges = charges_of(UsageRecords(runs=runs, run_gpus=tuple(run_gpu(runs[0]))), NOW_MS)

    found = month_costs("2026-11", charges, Machines(()), PRICES, NOW_MS)

    assert found.models is not None
    assert (found.models[0].capacity_ms, found.models[0].unallocated_ms) == (10 * HOUR_MS, 0)
    assert found.bill == 30_000_000


def test_who_sees_a_part_of_the_runs_is_told_no_bill() -> None:
    runs = (run("a", at(1), 10),)
    charges = charges_of(UsageRecords(runs=runs, run_gpus=tuple(run_gpu(runs[0]))), NOW_MS)
    billed = replace(
        PRICES,
        bill=(Bill(month="2026-11", amount=1.0),),
        fleet=(FleetSize(model=H200, since=day_of(at(0)), gpus=4),),
    )

    found = month_costs("2026-11", charges, Machines((), whole=False), billed, NOW_MS)

    assert (found.models, found.bill) == (None, None)
    assert found.costs[0].cost == 30_000_000


def test_a_month_that_nobody_used_is_billed_all_the_same() -> None:
    billed = replace(PRICES, bill=(Bill(month="2026-11", amount=12.34),))

    found = month_costs("2026-11", (), Machines(()), billed, NOW_MS)

    assert found.models is not None
    assert [one.unallocated_cost for one in found.models] == [12_340_000] == [found.bill]


def test_a_month_that_goes_on_has_the_time_until_now() -> None:
    found = month_costs("2026-11", (), Machines((machine_gpu(),)), PRICES, at(3))

    assert found.models is not None
    assert found.models[0].capacity_ms == 3 * 24 * HOUR_MS


def test_without_prices_times_are_known_and_costs_are_not() -> None:
    found = costs(10, prices=None)

    assert found.models is not None
    assert found.models[0].unallocated_ms == (NOVEMBER_HOURS - 10) * HOUR_MS
    assert (found.costs[0].cost, found.models[0].unallocated_cost, found.bill) == (None,) * 3


@pytest.mark.parametrize("hours", [(), (10,)])
def test_a_gpu_without_a_price_is_an_error_idle_or_not(hours: tuple[float, ...]) -> None:
    holes = replace(PRICES, gpu=(GpuPrice(model=H200, since=day_of(at(20)), per_hour=1.0),))

    with pytest.raises(PriceListError) as caught:
        costs(*hours, prices=holes)

    assert str(caught.value) == wording("prices.toml has no price for NVIDIA H200 on 2026-11-01")
