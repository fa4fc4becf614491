"""A month's runs in the form of CodeCarbon's emissions.csv. Pure.

The energy is that of the GPUs alone, as their counters have it: what CodeCarbon estimates beside it
is left empty. Kilograms, kilowatt-hours, watts and seconds.
Source: codecarbon 3.3, codecarbon/output_methods/emissions_data.py
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING

from snapenv import __version__
from snapenv.csv_text import Cell, Number, csv_text
from snapenv.model.usage import KWH_MJ, UsageRun
from snapenv.usage.costs import Cost
from snapenv.usage.prices import co2_on, day_of, power_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.usage.costs import MonthCosts
    from snapenv.usage.prices import PriceList

COLUMNS = (
    *("timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions"),
    *("emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy"),
    *("ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code"),
    *("region", "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version"),
    *("cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude"),
    *("ram_total_size", "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent"),
    *("ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue"),
)
_MG_OF_A_KG, _MJ_OF_A_J = 1_000_000, 1000


def emissions_csv(costs: MonthCosts, prices: PriceList) -> tuple[str, int]:
    """Return a line for each run whose energy was measured, and how many others there are."""
    own = defaultdict[str, list[Cost]](list)
    for cost in costs.costs:
        if isinstance(cost.charge.of, UsageRun):
            own[cost.charge.of.key].append(cost)
    measured = [
        of_run for of_run in own.values() if any(each.co2_mg is not None for each in of_run)
    ]
    rows = [_row(of_run, prices) for of_run in measured]
    text = csv_text(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))
    return text, len(own) - len(rows)


def _row(costs: Sequence[Cost], prices: PriceList) -> dict[str, Cell]:
    """Return the line of a run, of all its GPUs in the month."""
    charges = [cost.charge for cost in costs]
    run = charges[0].of
    assert isinstance(run, UsageRun)  # noqa: S101 - as was asked before
    since_ms = min(charge.since_ms for charge in charges)
    until_ms = max(charge.until_ms for charge in charges)
    duration_s = max((until_ms - since_ms) / 1000, 0.001)
    energy_mj = sum(charge.energy_mj or 0 for charge in charges)
    emitted_kg = sum(cost.co2_mg or 0 for cost in costs) / _MG_OF_A_KG
    energy_kwh = Number(f"{energy_mj / KWH_MJ:.9f}")
    factor, power = co2_on(prices, day_of(since_ms)), power_on(prices, day_of(since_ms))
    ended = dt.datetime.fromtimestamp(until_ms // 1000, dt.timezone.utc)
    return {
        "timestamp": ended.strftime("%Y-%m-%dT%H:%M:%S"),
        "project_name": run.project,
        "run_id": run.key,
        "experiment_id": run.run,
        "duration": Number(f"{duration_s:.3f}"),
        "emissions": Number(f"{emitted_kg:.9f}"),
        "emissions_rate": Number(f"{emitted_kg / duration_s:.12f}"),
        "gpu_power": Number(f"{energy_mj / _MJ_OF_A_J / duration_s:.3f}"),
        "gpu_energy": energy_kwh,
        "energy_consumed": energy_kwh,
        "country_name": factor.place if factor else None,
        "country_iso_code": factor.country if factor else None,
        "codecarbon_version": f"snapenv {__version__}",
        "gpu_count": len(charges),
        "gpu_model": ", ".join(sorted({charge.gpu_model for charge in charges})),
        "tracking_mode": "machine",
        "on_cloud": "N",
        "pue": Number(f"{power.pue if power else 1.0:g}"),
    }
