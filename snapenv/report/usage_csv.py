"""A report of usage as CSV: one line a row of its table, with what nobody had at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.csv_text import Cell, Number, csv_text
from snapenv.model.usage import HOUR_MS, KWH_MJ
from snapenv.money import decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.usage_report import UsageReportResult, UsageTotals

HEADER = (
    "month",
    "by",
    "name",
    "detail",
    "runs",
    "gpu_hours",
    "effective_gpu_hours",
    "idle_gpu_hours",
    "unseen_gpu_hours",
    "effective_density",
    "util_sources",
    "energy_kwh",
    "co2_kg",
    "cost",
    "effective_cost",
    "idle_cost",
    "unseen_cost",
    "currency",
)
UNALLOCATED = "(unallocated)"
"""The name of the line of what nobody had."""

_MG_OF_A_KG = 1_000_000


def usage_csv(result: UsageReportResult) -> str:
    """Return the rows; costs, with up to six decimals, sum up to the bill exactly."""
    return csv_text(HEADER, _rows(result))


def _rows(result: UsageReportResult) -> Iterator[list[Cell]]:
    currency = result.prices.currency if result.prices else None
    for row in result.rows:
        before: list[Cell] = [result.month, result.by, row.name, row.detail]
        yield [*before, *_totals(row.totals), currency]
    if result.unallocated_ms is not None:
        hours = decimal(result.unallocated_ms, HOUR_MS)
        before = [result.month, result.by, UNALLOCATED, None, None, hours]
        yield [*before, *[None] * 7, _money(result.unallocated_cost), *[None] * 3, currency]


def _totals(totals: UsageTotals) -> Iterator[Cell]:
    yield totals.runs
    for time_ms in (totals.charged_ms, totals.effective_ms, totals.idle_ms, totals.unseen_ms):
        yield decimal(time_ms, HOUR_MS)
    yield None if totals.density is None else Number(f"{totals.density:.6f}")
    yield " ".join(totals.util_sources)
    yield decimal(totals.energy_mj, KWH_MJ)
    yield decimal(totals.co2_mg, _MG_OF_A_KG)
    for cost in (totals.cost, totals.effective_cost, totals.idle_cost, totals.unseen_cost):
        yield _money(cost)


def decimal(amount: int | None, unit: int) -> Number | None:
    """Return an amount in a larger unit, with six decimals."""
    return None if amount is None else Number(f"{amount / unit:.6f}")


def _money(micros: int | None) -> Number | None:
    return None if micros is None else Number(decimal_text(micros))
