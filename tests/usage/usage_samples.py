"""Runs and GPUs of a ledger, for tests of what is counted of them."""

from __future__ import annotations

from msgspec.structs import replace

from snapenv.model.usage import MachineGpu, RunGpu, Training, UsageRun, UsedGpu
from snapenv.usage.months import month_of, month_span, shift_month
from snapenv.usage.prices import parse_prices

H200 = "NVIDIA H200"
HOUR_MS = 3_600_000
KWH_MJ = 3_600_000_000
NOVEMBER_MS, DECEMBER_MS = month_span("2026-11")
NOW_MS = month_span("2027-01")[0]
PRICE_LIST = """
currency = "EUR"
[[gpu]]
model = "H200"
from = 2025-01-01
per_hour = 3.00
[[power]]
from = 2025-01-01
per_kwh = 0.25
pue = 1.2
[[co2]]
from = 2025-01-01
grams_per_kwh = 400
place = "Germany"
country = "DEU"
year = 2024
source = "Umweltbundesamt"
"""
PRICES = parse_prices(PRICE_LIST, path="prices.toml")


def at(day: float, month: str = "2026-11") -> int:
    """Return a moment, by days from the first of a month."""
    return month_span(month)[0] + round(day * 24 * HOUR_MS)


def run(key: str, begin_ms: int, hours: float | None, **fields: object) -> UsageRun:
    """Return a run that has ended after some hours, or goes on."""
    duration_ms = None if hours is None else round(hours * HOUR_MS)
    one = UsageRun(
        key=key,
        run=f"run-{key}",
        kind="run",
        user="ann",
        project="lanes",
        tag="train-yolov8.4.190-base-cu130",
        snapshot="sha256:" + "5" * 64,
        host="node1",
        gpus=(UsedGpu(uuid="GPU-1", model=H200),),
        started_ms=begin_ms,
        ended_ms=None if duration_ms is None else begin_ms + duration_ms,
        duration_ms=duration_ms,
        exit_code=None if hours is None else 0,
    )
    return replace(one, **fields)


def run_gpu(
    one: UsageRun, *, busy: float = 0.5, gpu: str = "GPU-1", **fields: object
) -> list[RunGpu]:
    """Return what one GPU did in a run, a value a month: ``busy`` of its time near 100 %."""
    rows, until_ms = [], NOW_MS if one.ended_ms is None else one.ended_ms
    month = month_of(one.started_ms)
    while month_span(month)[0] < until_ms:
        begin, end = month_span(month)
        part_ms = min(end, until_ms) - max(begin, one.started_ms)
        busy_ms = round(part_ms * busy)
        buckets = (part_ms - busy_ms, *(0,) * 8, busy_ms)
        row = RunGpu(
            key=one.key,
            gpu=gpu,
            month=month,
            model=H200,
            allocated_ms=part_ms,
            covered_ms=part_ms,
            buckets=buckets,
            util_source="gpm_sm",
            memory_peak_bytes=10**10,
        )
        rows.append(replace(row, **fields))
        month = shift_month(month, 1)
    return rows


def machine_gpu(gpu: str = "GPU-1", **fields: object) -> MachineGpu:
    """Return a GPU that its machine had in all of November 2026."""
    one = MachineGpu(host="node1", gpu=gpu, model=H200, first_ms=NOVEMBER_MS, last_ms=DECEMBER_MS)
    return replace(one, **fields)


def trained(best: float | None = 0.5, **fields: object) -> Training:
    """Return what came of a training."""
    one = Training(
        model="yolov8n.pt", metric="mAP50-95(B)", images=1000, epochs_done=100, best=best
    )
    return replace(one, **fields)
