"""What must stand beside the figures of a report of usage: how they were measured and priced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report import amounts
from snapenv.sizes import counted, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.usage import UtilSource
    from snapenv.model.usage_report import UsageReportResult

_REASONS = 5  # of corrections, that are named

SOURCES: Mapping[UtilSource, str] = {
    "gpm_sm": "the time in which multiprocessors had work (NVML's GPM)",
    "dcgm_sm": "the time in which multiprocessors had work (DCGM)",
    "gpm_graphics": "the time in which the compute engine was busy (NVML's GPM)",
    "dcgm_gr_engine": "the time in which the compute engine was busy (DCGM)",
    "nvml": "the time in which any kernel ran (NVML), which flatters",
}
"""What utilisation was measured by, in words."""


def usage_notes(result: UsageReportResult) -> tuple[str, ...]:
    """Return lines on what was measured, what is missing, and what prices and CO2 rest on."""
    return (*_measured(result), *_priced(result))


def _measured(result: UsageReportResult) -> Iterator[str]:
    for source in result.total.util_sources:
        yield f"effective: from {result.threshold_percent} % of {SOURCES[source]}"
    if result.gaps_ms:
        yield f"samples are missing for {amounts.time(result.gaps_ms)}"
    if result.running:
        yield f"{counted(result.running, 'run')} not ended yet"
    if result.corrections:
        reasons = first_of(result.correction_reasons, _REASONS)
        yield f"{counted(result.corrections, 'correction')} added: {reasons}"


def _priced(result: UsageReportResult) -> Iterator[str]:
    energy, factor, prices = result.total.energy_mj, result.co2, result.prices
    if energy is not None:
        yield f"energy: {amounts.energy(energy)}, of the GPUs alone"
    if result.total.co2_mg is not None and factor:
        pue = f", PUE {prices.pue:g}" if prices and prices.pue else ""
        yield (
            f"CO2: {amounts.mass(result.total.co2_mg)} at {factor.grams_per_kwh:g} g/kWh "
            f"({factor.place}, {factor.year}, {factor.source}){pue}"
        )
    if prices is None:
        yield "no price list: name one with --prices for costs"
        return
    for line in prices.gpus:
        yield (
            f"price: {line.gpu} {amounts.money(line.per_hour, prices.currency)} an hour, "
            f"from {line.since}"
        )
    if prices.per_kwh is not None:
        yield f"price: power {amounts.money(prices.per_kwh, prices.currency)} a kWh"
    if prices.bill_stated:
        yield "the bill is stated in the price list; costs are shares of it"
