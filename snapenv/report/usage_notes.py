"""What must stand beside the figures of a report of usage: how they were measured and priced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.amounts import money, time
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.usage import UtilSource
    from snapenv.model.usage_report import PricesUsed, UsageReportResult

SOURCES: Mapping[UtilSource, str] = {
    "gpm_sm": "NVML's GPM (multiprocessors that have work)",
    "dcgm_sm": "DCGM (multiprocessors that have work)",
    "gpm_graphics": "NVML's GPM (the time of the compute engine)",
    "dcgm_gr_engine": "DCGM (the time of the compute engine)",
    "nvml": "NVML (the time in which any kernel runs, which flatters)",
}


def usage_notes(result: UsageReportResult) -> tuple[str, ...]:
    """Return sentences on what was measured, what is missing, and what prices and CO2 rest on."""
    return (
        *_measured(result),
        *_missing(result),
        *(_priced(result.prices) if result.prices else ()),
        *_emitted(result),
    )


def _measured(result: UsageReportResult) -> Iterator[str]:
    yield (
        "Effective is the GPU time at a utilisation of at least"
        f" {result.threshold_percent} %; idle is time that a run had at less."
    )
    if result.total.util_sources:
        sources = ", ".join(SOURCES[source] for source in result.total.util_sources)
        yield f"Utilisation was measured by {sources}."


def _missing(result: UsageReportResult) -> Iterator[str]:
    if result.total.unseen_ms:
        yield f"{time(result.total.unseen_ms)} of GPU time have no sample and count as unseen."
    if result.running:
        yield f"{counted(result.running, 'run')} had not ended and count as far as they were seen."
    if result.corrections:
        yield (
            f"{counted(result.corrections, 'correction')} were added."
            if (result.corrections > 1)
            else "1 correction was added."
        )


def _priced(prices: PricesUsed) -> Iterator[str]:
    for line in prices.gpus:
        price = money(line.per_hour, prices.currency)
        yield f"Price: {line.gpu}, {price} an hour since {line.since}."
    if prices.per_kwh is not None:
        pue = f", at a PUE of {prices.pue:g}" if prices.pue is not None else ""
        yield f"Power: {money(prices.per_kwh, prices.currency)} a kilowatt-hour{pue}."
    if prices.bill_stated:
        yield "The price list states the month's bill, and the costs are shares of it."


def _emitted(result: UsageReportResult) -> Iterator[str]:
    factor = result.co2
    if factor is not None:
        yield (
            f"CO2: {factor.grams_per_kwh:g} g a kilowatt-hour,"
            f" {factor.place} {factor.year}, {factor.source}."
        )
