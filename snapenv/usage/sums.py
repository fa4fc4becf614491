"""The report of a month: sums over charges, by user, project and so on. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from snapenv.errors import PriceListError
from snapenv.model.usage import BUCKETS, UsageRun, UsageSum
from snapenv.model.usage_report import (
    By,
    Co2Factor,
    FailureRow,
    GpuRow,
    PriceLine,
    PricesUsed,
    UsageMonth,
    UsageReportResult,
    UsageRow,
    UsageTotals,
)
from snapenv.sizes import first_of, utc_text
from snapenv.usage.board import best_value
from snapenv.usage.charges import EFFECTIVE_FROM_PERCENT, OTHERS, Charge, charges_of
from snapenv.usage.costs import Cost, month_costs
from snapenv.usage.months import month_of, month_span, shift_month
from snapenv.usage.prices import co2_on, day_of, day_pieces, gpu_line, power_on, to_micros
from snapenv.usage.unallocated import Machines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.usage.charges import UsageRecords
    from snapenv.usage.costs import MonthCosts
    from snapenv.usage.prices import PriceList

MONTHS = 12
"""Of the trend, with the one that is reported."""

_TAGS = 2  # of an environment, are named
_UNKNOWN = "unknown"  # as a run's record says that nothing is known of its failure
_ASKED = ("stopped", "cancelled")  # the words of ends that somebody has asked for
_INTERACTIVE = ("shell", "up")  # their exit code is that of the last command

_Of: TypeAlias = UsageRun | UsageSum


class ReportOptions(Struct, frozen=True, kw_only=True):
    """What is to be reported, and whose view of the ledger the records are."""

    month: str
    by: By
    now_ms: int
    source: Literal["machine", "team"] = "machine"
    role: Literal["all", "member", "manager", "finance"] = "all"


def first_month(month: str) -> str:
    """Return the first month of the trend."""
    return shift_month(month, 1 - MONTHS)


def report_usage(
    records: UsageRecords, prices: PriceList | None, options: ReportOptions
) -> UsageReportResult:
    """Sum up a month, with the trend up to it; the records are those of all its months.

    Raises:
        PriceListError: The list has no price for a GPU in this month.
    """
    months = all_costs(records, prices, options)
    runs = {month: _runs_in(month, records, options.now_ms) for month in months}
    now = months[options.month]
    begin, end = month_span(options.month)
    until_ms = max(begin, min(end, options.now_ms))
    total = _totals(now.costs, runs[options.month], priced=now.priced)
    trend = tuple(_month(month, costs, runs[month]) for month, costs in months.items())
    row = trend[-1]
    corrections = [each for each in records.corrections if each.month == options.month]
    return UsageReportResult(
        month=options.month,
        until=utc_text(until_ms // 1000),
        source=options.source,
        role=options.role,
        by=options.by,
        threshold_percent=EFFECTIVE_FROM_PERCENT,
        rows=rows_by(options.by, now, runs[options.month]),
        total=total,
        gpus=_gpu_rows(now, prices, until_ms),
        capacity_ms=row.capacity_ms,
        unallocated_ms=row.unallocated_ms,
        unallocated_cost=row.unallocated_cost,
        bill=row.bill,
        prices=_prices_used(prices, now, options.month),
        co2=_factor(prices, until_ms),
        months=trend,
        failures=_failures(now, runs[options.month], options.month),
        # Finance is told of none.
        environments=()
        if options.role == "finance"
        else rows_by("environment", now, runs[options.month]),
        board=best_value(
            records.runs,
            [cost for each in months.values() for cost in each.costs],
            month=options.month,
        ),
        running=sum(_goes_on(of) for of in runs[options.month]),
        gaps_ms=_gaps_ms(records, begin, end),
        corrections=len(corrections),
        correction_reasons=tuple(dict.fromkeys(each.reason for each in corrections)),
    )


def all_costs(
    records: UsageRecords, prices: PriceList | None, options: ReportOptions
) -> dict[str, MonthCosts]:
    """Return the costs of each month from the first that has any to the one that is asked for.

    An earlier month for which a price is missing has no costs.

    Raises:
        PriceListError: The list has no price for a GPU in the month that is asked for.
    """
    charges = defaultdict[str, list[Charge]](list)
    for charge in charges_of(records, options.now_ms):
        charges[charge.month].append(charge)
    machines = Machines(records.machine_gpus, whole=options.role != "member")
    first = max(first_month(options.month), _earliest(records, options))
    costs = {}
    for back in range(MONTHS - 1, -1, -1):
        month = shift_month(options.month, -back)
        if month < first:
            continue
        try:
            costs[month] = month_costs(month, charges[month], machines, prices, options.now_ms)
        except PriceListError:
            if month == options.month:
                raise
            costs[month] = month_costs(month, charges[month], machines, None, options.now_ms)
    return costs


def _earliest(records: UsageRecords, options: ReportOptions) -> str:
    """Return the first month that the records tell of, and no later one than is asked for."""
    begun = (month_of(run.started_ms) for run in records.runs)
    return min([options.month, *begun, *(each.month for each in records.sums)])


def rows_by(by: By, costs: MonthCosts, ofs: Sequence[_Of]) -> tuple[UsageRow, ...]:
    """Return a row for each user, project, and so on; the most GPU time first."""
    group_costs = defaultdict[str | None, list[Cost]](list)
    group_ofs = defaultdict[str | None, list[_Of]](list)
    charged = set()
    for cost in costs.costs:
        name = _name(by, cost.charge.of, cost.charge.gpu_model)
        group_costs[name].append(cost)
        group_ofs[name].append(cost.charge.of)
        charged.add(id(cost.charge.of))
    for of in ofs:
        if id(of) not in charged:
            group_ofs[_name(by, of, None)].append(of)
    rows = [
        UsageRow(
            name=name,
            detail=_tags(of_group) if by == "environment" else None,
            totals=_totals(group_costs[name], of_group, priced=costs.priced),
        )
        for name, of_group in group_ofs.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.totals.charged_ms, row.name or "")))


def _name(by: By, of: _Of, gpu_model: str | None) -> str | None:
    if by == "gpu":
        return gpu_model
    if by == "project" and isinstance(of, UsageSum) and of.is_rest:
        return OTHERS
    if by == "model" and of.model is None and isinstance(of, UsageRun) and of.training:
        return of.training.model
    names: Mapping[By, str | None] = {
        "user": of.user,
        "project": of.project,
        "model": of.model,
        "tag": of.tag,
        "environment": of.snapshot,
    }
    return names[by]


def _tags(ofs: Iterable[_Of]) -> str | None:
    tags = sorted({of.tag for of in ofs if of.tag})
    return first_of(tags, _TAGS) if tags else None


def _totals(costs: Sequence[Cost], ofs: Iterable[_Of], *, priced: bool) -> UsageTotals:
    charges = [cost.charge for cost in costs]
    effective_ms = sum(charge.effective_ms for charge in charges)
    idle_ms = sum(charge.idle_ms for charge in charges)
    seen_ms = effective_ms + idle_ms
    charged_ms = sum(charge.charged_ms for charge in charges)
    return UsageTotals(
        runs=_count(ofs),
        allocated_ms=sum(charge.allocated_ms for charge in charges),
        charged_ms=charged_ms,
        effective_ms=effective_ms,
        idle_ms=idle_ms,
        unseen_ms=charged_ms - seen_ms,
        density=effective_ms / seen_ms if seen_ms > 0 else None,
        util_sources=tuple(
            sorted({source for charge in charges for source in charge.util_sources})
        ),
        buckets=tuple(sum(charge.buckets[at] for charge in charges) for at in range(BUCKETS)),
        energy_mj=_sum(charge.energy_mj for charge in charges),
        co2_mg=_sum(cost.co2_mg for cost in costs),
        cost=sum(each.cost or 0 for each in costs) if priced else None,
        effective_cost=sum(each.effective_cost or 0 for each in costs) if priced else None,
        idle_cost=sum(each.idle_cost or 0 for each in costs) if priced else None,
        unseen_cost=sum(each.unseen_cost or 0 for each in costs) if priced else None,
    )


def _count(ofs: Iterable[_Of]) -> int:
    """Count runs: one that is there several times counts once, as far as it is told apart."""
    counted = list(ofs)
    keys = {of.key for of in counted if isinstance(of, UsageRun)}
    return len(keys) + sum(of.runs for of in counted if isinstance(of, UsageSum))


def _sum(amounts: Iterable[int | None]) -> int | None:
    """Add up what is known; None where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _runs_in(month: str, records: UsageRecords, now_ms: int) -> tuple[_Of, ...]:
    begin, end = month_span(month)
    runs = (
        run
        for run in records.runs
        if run.started_ms < end and (_end_ms(run, now_ms) > begin or run.started_ms >= begin)
    )
    return (*runs, *(each for each in records.sums if each.month == month))


def _end_ms(run: UsageRun, now_ms: int) -> int:
    return now_ms if run.ended_ms is None else run.ended_ms


def _gaps_ms(records: UsageRecords, begin: int, end: int) -> int:
    gaps = (event for event in records.events if event.kind == "gap" and begin <= event.at_ms < end)
    return sum(gap.value or 0 for gap in gaps)


def _goes_on(of: _Of) -> bool:
    return isinstance(of, UsageRun) and of.ended_ms is None


def _month(month: str, costs: MonthCosts, ofs: Sequence[_Of]) -> UsageMonth:
    models = costs.models
    unallocated = None
    if models is not None and costs.bill is not None:
        unallocated = sum(model.unallocated_cost or 0 for model in models)
    return UsageMonth(
        month=month,
        totals=_totals(costs.costs, ofs, priced=costs.priced),
        capacity_ms=None if models is None else sum(model.capacity_ms for model in models),
        unallocated_ms=None if models is None else sum(model.unallocated_ms for model in models),
        unallocated_cost=unallocated,
        bill=costs.bill,
    )


def _gpu_rows(costs: MonthCosts, prices: PriceList | None, until_ms: int) -> tuple[GpuRow, ...]:
    own = defaultdict[str, list[Cost]](list)
    for cost in costs.costs:
        own[cost.charge.gpu_model].append(cost)
    last_day = day_of(until_ms - 1)
    rows = []
    for model in costs.models or ():
        line = gpu_line(prices, model.model, last_day) if prices else None
        rows.append(
            GpuRow(
                model=model.model,
                gpus=model.gpus,
                capacity_ms=model.capacity_ms,
                charged_ms=model.charged_ms,
                unallocated_ms=model.unallocated_ms,
                per_hour=to_micros(line.per_hour) if line else None,
                cost=sum(cost.cost or 0 for cost in own[model.model]) if costs.priced else None,
                unallocated_cost=model.unallocated_cost,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.capacity_ms, row.model)))


def _prices_used(prices: PriceList | None, costs: MonthCosts, month: str) -> PricesUsed | None:
    if prices is None:
        return None
    begin, end = month_span(month)
    models = {cost.charge.gpu_model for cost in costs.costs} | {
        each.model for each in costs.models or ()
    }
    days = [day for day, _ in day_pieces(prices, begin, end)]
    lines = {
        PriceLine(gpu=model, since=line.since.isoformat(), per_hour=to_micros(line.per_hour))
        for model in models
        for day in days
        if (line := gpu_line(prices, model, day))
    }
    power = power_on(prices, days[-1])
    return PricesUsed(
        path=prices.path,
        currency=prices.currency,
        gpus=tuple(sorted(lines, key=lambda line: (line.gpu, line.since))),
        per_kwh=to_micros(power.per_kwh) if power else None,
        pue=power.pue if power else None,
        bill_stated=prices.stated_bill(month) is not None and costs.bill is not None,
    )


def _factor(prices: PriceList | None, until_ms: int) -> Co2Factor | None:
    factor = co2_on(prices, day_of(until_ms - 1)) if prices else None
    if factor is None:
        return None
    return Co2Factor(
        grams_per_kwh=factor.grams_per_kwh,
        place=factor.place,
        year=factor.year,
        source=factor.source,
    )


def _failures(costs: MonthCosts, ofs: Sequence[_Of], month: str) -> tuple[FailureRow, ...]:
    """Return a row for each cause of the runs that ended in the month, the dearest first."""
    own = defaultdict[int, list[Cost]](list)
    for cost in costs.costs:
        own[id(cost.charge.of)].append(cost)
    failed = defaultdict[str | None, list[_Of]](list)
    for of in ofs:
        if _has_failed(of, month):
            failed[None if of.failure == _UNKNOWN else of.failure].append(of)
    rows = []
    for failure, of_cause in failed.items():
        their = [cost for of in of_cause for cost in own[id(of)]]
        causes = (of.cause for of in of_cause if isinstance(of, UsageRun) and of.cause)
        rows.append(
            FailureRow(
                failure=failure,
                example=next(causes, None),
                runs=_count(of_cause),
                charged_ms=sum(cost.charge.charged_ms for cost in their),
                cost=sum(cost.cost or 0 for cost in their) if costs.priced else None,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-(row.cost or 0), -row.charged_ms, -row.runs)))


def _has_failed(of: _Of, month: str) -> bool:
    """Return whether a run ended badly in a month, and nobody asked it to end."""
    if of.failure in _ASKED:
        return False
    if isinstance(of, UsageSum):
        return of.failure is not None
    if of.ended_ms is None or month_of(of.ended_ms) != month:
        return False
    known = of.failure not in {None, _UNKNOWN}
    return known or (of.exit_code not in {None, 0} and of.kind not in _INTERACTIVE)
