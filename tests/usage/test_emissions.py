from __future__ import annotations

import csv
import io

from snapenv.usage.charges import UsageRecords
from snapenv.usage.emissions import COLUMNS, emissions_csv
from snapenv.usage.sums import ReportOptions, all_costs
from tests.usage.usage_samples import KWH_MJ, NOW_MS, PRICES, at, run, run_gpu

MONTH = "2026-11"


def test_a_run_is_a_line_of_codecarbon_with_the_energy_of_its_gpus() -> None:
    one, other = run("a", at(1), 10), run("b", at(3), 4)
    of_one = (*run_gpu(one, energy_mj=KWH_MJ), *run_gpu(one, gpu="GPU-2", energy_mj=KWH_MJ))
    records = UsageRecords(runs=(one, other), run_gpus=(*of_one, *run_gpu(other)))
    asked = ReportOptions(month=MONTH, by="project", now_ms=NOW_MS)

    text, left_out = emissions_csv(all_costs(records, PRICES, asked)[MONTH], PRICES)

    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert left_out == 1
    assert tuple(row) == COLUMNS
    assert {name: value for name, value in row.items() if value} == {
        "timestamp": "2026-11-02T10:00:00",
        "project_name": "lanes",
        "run_id": "a",
        "experiment_id": "run-a",
        "duration": "36000.000",
        "emissions": "0.960000000",  # 2 kWh x 1.2 x 400 g
        "emissions_rate": "0.000026666667",
        "gpu_power": "200.000",
        "gpu_energy": "2.000000000",
        "energy_consumed": "2.000000000",
        "country_name": "Germany",
        "country_iso_code": "DEU",
        "codecarbon_version": row["codecarbon_version"],
        "gpu_count": "2",
        "gpu_model": "NVIDIA H200",
        "tracking_mode": "machine",
        "on_cloud": "N",
        "pue": "1.2",
    }
    assert row["codecarbon_version"].startswith("snapenv ")
