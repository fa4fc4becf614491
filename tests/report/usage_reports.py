"""Reports of usage as values: a month of a team, without prices, of nothing, and one of harm."""

from __future__ import annotations

from msgspec.structs import replace

from snapenv.model.usage_report import (
    BoardRow,
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
from tests.report.reports import DIGEST
from tests.samples import TAG

H = 3_600_000
EUR = 1_000_000
HOSTILE = '</td><script>x()</script><img src="http://evil.invalid/x.png"> \u202e{{ 7 * 7 }}'


def totals(*, runs: int, effective_h: float, idle_h: float, unseen_h: float = 0) -> UsageTotals:
    """Return what some runs used at 2.50 EUR an hour, with a third of a cent on top."""
    hours = (effective_h, idle_h, unseen_h)
    costs = [round(each * 2.5 * EUR) + 3_333 for each in hours]
    seen_ms = round((effective_h + idle_h) * H)
    return UsageTotals(
        runs=runs,
        allocated_ms=round(sum(hours) * H),
        charged_ms=round(sum(hours) * H),
        effective_ms=round(effective_h * H),
        idle_ms=round(idle_h * H),
        unseen_ms=round(unseen_h * H),
        density=effective_h * H / seen_ms if seen_ms else None,
        util_sources=("gpm_sm", "nvml"),
        buckets=tuple(
            round(share * H)
            for share in (
                *(idle_h * each / 10 for each in (4, 1, 0.5, 0.5, 1, 1, 2)),
                *(effective_h * each / 10 for each in (1, 3, 6)),
            )
        ),
        energy_mj=round(sum(hours) * 0.6 * 3.6e9),
        co2_mg=round(sum(hours) * 0.6 * 380_000),
        cost=sum(costs),
        effective_cost=costs[0],
        idle_cost=costs[1],
        unseen_cost=costs[2],
    )


ROWS = (
    UsageRow(
        name="line-3",
        totals=totals(runs=300, effective_h=4010.2, idle_h=1200.3, unseen_h=12.5),
    ),
    UsageRow(name="solder joints", totals=totals(runs=100, effective_h=1200.2, idle_h=1600)),
    UsageRow(name=None, totals=totals(runs=12, effective_h=0, idle_h=90)),
)


def added(*parts: UsageTotals) -> UsageTotals:
    """Return what all of some totals used together."""
    summed = {
        name: sum(getattr(part, name) for part in parts)
        for name in UsageTotals.__struct_fields__
        if name not in {"density", "util_sources", "buckets"}
    }
    effective_ms = summed["effective_ms"]
    return UsageTotals(
        **summed,
        density=effective_ms / (effective_ms + summed["idle_ms"]),
        util_sources=parts[0].util_sources,
        buckets=tuple(map(sum, zip(*(part.buckets for part in parts), strict=True))),
    )


ALL = added(*(row.totals for row in ROWS))
ENVIRONMENTS = (
    UsageRow(name=DIGEST, detail=TAG, totals=ROWS[0].totals),
    UsageRow(name=None, totals=ROWS[1].totals),
)
_MONTHS = tuple(f"2025-{month:02}" for month in range(12, 13)) + tuple(
    f"2026-{month:02}" for month in range(1, 12)
)
UNALLOCATED_COST = 8_000 * 2 * EUR + 1_667


def month(name: str, at: int) -> UsageMonth:
    used = totals(runs=100 + at, effective_h=300 * at, idle_h=4000 - 250 * at, unseen_h=20)
    return UsageMonth(
        month=name,
        totals=used,
        capacity_ms=12_000 * H,
        unallocated_ms=12_000 * H - used.charged_ms,
        unallocated_cost=8_000 * EUR,
        bill=(used.cost or 0) + 8_000 * EUR,
    )


def team_month() -> UsageReportResult:
    """Return a month in which everything is known."""
    return UsageReportResult(
        month="2026-11",
        until="2026-12-01T00:00:00Z",
        source="machine",
        by="project",
        threshold_percent=70,
        rows=ROWS,
        total=ALL,
        gpus=(
            GpuRow(
                model="NVIDIA H200",
                gpus=8,
                capacity_ms=5760 * H,
                charged_ms=4500 * H,
                unallocated_ms=1260 * H,
                per_hour=2_500_000,
                cost=11_250 * EUR,
                unallocated_cost=3_150 * EUR,
            ),
            GpuRow(
                model="NVIDIA A100-SXM4-80GB MIG 1g.10gb",
                gpus=14,
                capacity_ms=10353 * H,
                charged_ms=3613 * H,
                unallocated_ms=6740 * H,
                per_hour=1_200_000,
                cost=9_032 * EUR,
                unallocated_cost=12_850 * EUR,
            ),
        ),
        capacity_ms=ALL.charged_ms + 8_000 * H,
        unallocated_ms=8_000 * H,
        unallocated_cost=UNALLOCATED_COST,
        bill=(ALL.cost or 0) + UNALLOCATED_COST,
        prices=PricesUsed(
            path="prices.toml",
            currency="EUR",
            gpus=(PriceLine(gpu="NVIDIA H200", since="2026-01-01", per_hour=2_500_000),),
            per_kwh=310_000,
            pue=1.3,
        ),
        co2=Co2Factor(grams_per_kwh=380, place="Germany", year=2024, source="UBA"),
        months=tuple(month(name, at) for at, name in enumerate(_MONTHS)),
        failures=(
            FailureRow(
                failure="out_of_memory",
                example="CUDA out of memory",
                runs=12,
                charged_ms=220 * H,
                cost=550 * EUR,
            ),
            FailureRow(failure=None, runs=3, charged_ms=2 * H, cost=5 * EUR),
        ),
        environments=ENVIRONMENTS,
        board=(
            BoardRow(
                rank=1,
                run="20261103-101112-abcd",
                user="ada",
                project="line-3",
                model="yolov8n.pt",
                images=12_000,
                metric="mAP50-95(B)",
                best=0.5432,
                epochs=100,
                charged_ms=12 * H,
                duration_ms=13 * H,
                memory_peak_bytes=12_300_000_000,
                energy_mj=7_200_000_000,
                cost=30 * EUR,
                cost_per_point=552_283,
                tag=TAG,
                batch=64,
                imgsz=640,
                amp=True,
            ),
            BoardRow(
                rank=2,
                run="20261104-101112-beef",
                metric="mAP50-95(B)",
                best=0.4,
                epochs=10,
                charged_ms=9 * H,
                duration_ms=9 * H,
                cost=22 * EUR,
                cost_per_point=550_000,
            ),
        ),
        running=2,
        gaps_ms=45_000_000,
        corrections=1,
        correction_reasons=("the job hung",),
    )


def without_prices() -> UsageReportResult:
    """Return a month of which nobody knows what it cost, nor which GPUs there were."""

    def free(used: UsageTotals) -> UsageTotals:
        return replace(
            used, cost=None, effective_cost=None, idle_cost=None, unseen_cost=None, co2_mg=None
        )

    whole = team_month()
    return replace(
        whole,
        rows=tuple(replace(row, totals=free(row.totals)) for row in whole.rows),
        total=free(whole.total),
        gpus=(),
        capacity_ms=None,
        unallocated_ms=None,
        unallocated_cost=None,
        bill=None,
        prices=None,
        co2=None,
        months=tuple(
            replace(
                each,
                totals=free(each.totals),
                capacity_ms=None,
                unallocated_ms=None,
                unallocated_cost=None,
                bill=None,
            )
            for each in whole.months
        ),
        failures=tuple(replace(each, cost=None) for each in whole.failures),
        environments=(),
        board=tuple(replace(each, cost=None, cost_per_point=None) for each in whole.board),
    )


def nothing() -> UsageReportResult:
    """Return a month in which nothing ran."""
    return UsageReportResult(
        month="2026-11",
        until="2026-11-29T01:40:00Z",
        source="machine",
        by="user",
        threshold_percent=70,
        rows=(),
        total=UsageTotals(runs=0),
    )


def hostile() -> UsageReportResult:
    """Return a month whose every text means harm."""
    whole = team_month()
    row = UsageRow(name=HOSTILE, detail=HOSTILE, totals=ROWS[0].totals)
    return replace(
        whole,
        rows=(row, replace(row, name="x" * 300)),
        environments=(row,),
        gpus=(replace(whole.gpus[0], model=HOSTILE),),
        failures=(replace(whole.failures[0], failure=HOSTILE, example=HOSTILE),),
        board=(
            replace(
                whole.board[0],
                run=HOSTILE,
                user=HOSTILE,
                model=HOSTILE,
                metric=HOSTILE,
                tag=HOSTILE,
            ),
        ),
        prices=PricesUsed(
            path=HOSTILE,
            currency="EUR",
            gpus=(PriceLine(gpu=HOSTILE, since="2026-01-01", per_hour=1),),
        ),
        co2=Co2Factor(grams_per_kwh=380, place=HOSTILE, year=2024, source=HOSTILE),
    )
