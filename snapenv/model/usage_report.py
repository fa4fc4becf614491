"""What ``snapenv usage report`` answers; text, JSON, CSV and the page are made of it.

Money is whole millionths of the currency of the price list, and None where no price is known.
A bill is ``cost`` and ``unallocated_cost`` together, and a cost is its effective, idle and unseen
parts together, each to the millionth; a table that shows cents rounds them by
``snapenv.money.to_cents``, so that its lines still sum up to its total.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from snapenv.model.outcome import Result
from snapenv.model.usage import BUCKETS, UtilSource

By = Literal["user", "project", "model", "tag", "gpu", "environment"]
"""What the hours are put together by: ``gpu`` is the GPU's model, ``environment`` the snapshot."""


class UsageTotals(Struct, frozen=True, kw_only=True):
    """What some runs used, in the time that is reported.

    ``charged_ms`` is ``effective_ms + idle_ms + unseen_ms``: a GPU that several runs had at once is
    divided among them, so that no hour counts twice.
    """

    runs: int  # how many
    allocated_ms: int = 0  # GPU time that the runs had, as their records have it
    charged_ms: int = 0  # GPU time that they are charged for
    effective_ms: int = 0  # at a utilisation of at least the threshold
    idle_ms: int = 0  # below it
    unseen_ms: int = 0  # without a sample
    density: float | None = None  # effective of what was seen, 0 to 1; None where nothing was
    # What utilisation was measured by, in order; "nvml" counts the time of any kernel and flatters
    util_sources: tuple[UtilSource, ...] = ()
    # Milliseconds below 10 %, 20 % and so on
    buckets: tuple[int, ...] = (0,) * BUCKETS
    energy_mj: int | None = None  # millijoules of the GPUs, as far as they were measured
    co2_mg: int | None = None  # milligrams, with the PUE
    cost: int | None = None  # of charged_ms, with its power
    effective_cost: int | None = None  # of it
    idle_cost: int | None = None  # of it
    unseen_cost: int | None = None  # of it


class UsageRow(Struct, frozen=True, kw_only=True):
    """One line of the table: the runs of one user, project, and so on."""

    name: str | None  # None for runs that declare none
    detail: str | None = None  # of an environment its tags, in words
    totals: UsageTotals  # what they used


class GpuRow(Struct, frozen=True, kw_only=True):
    """All GPUs of one model: capacity is what runs were charged for, and what nobody used."""

    model: str  # as the driver names it
    gpus: int  # how many
    capacity_ms: int  # GPU time that there was
    charged_ms: int  # that runs had
    unallocated_ms: int  # that nobody had
    per_hour: int | None = None  # the newest price of the month
    cost: int | None = None  # of charged_ms, with its power
    unallocated_cost: int | None = None  # of unallocated_ms


class UsageMonth(Struct, frozen=True, kw_only=True):
    """One month of the trend."""

    month: str  # "2026-11"
    totals: UsageTotals  # of all runs
    capacity_ms: int | None = None  # GPU time that there was; None where it is not known
    unallocated_ms: int | None = None  # of it, that nobody had
    unallocated_cost: int | None = None  # of that
    bill: int | None = None  # all of it; None where a price is missing


class FailureRow(Struct, frozen=True, kw_only=True):
    """The runs that failed for one cause."""

    failure: str | None  # the word for the cause; None where it is not known
    example: str | None = None  # of one such run, in words
    runs: int  # how many
    charged_ms: int  # GPU time
    cost: int | None = None  # of it


class BoardRow(Struct, frozen=True, kw_only=True):
    """A training that ended in the month, with what it took, from its first attempt on."""

    rank: int  # from 1: the lowest cost of a point, or the least GPU time of one without prices
    run: str  # its id
    user: str | None = None  # None where the reader may not see it
    project: str | None = None  # as declared
    model: str | None = None  # such as "yolov8n.pt"
    images: int | None = None  # of the training set: compare trainings of one data set
    metric: str  # what ``best`` is of: "mAP50-95(B)"
    best: float  # of best.pt, 0 to 1
    epochs: int  # that were done
    charged_ms: int  # GPU time
    duration_ms: int  # from start to end, added up over its attempts
    memory_peak_bytes: int | None = None  # of one GPU
    energy_mj: int | None = None  # millijoules
    cost: int | None = None  # of all attempts
    cost_per_point: int | None = None  # of one point of the metric, which is a hundredth
    tag: str | None = None  # of its environment
    snapshot: str | None = None  # the digest of it
    batch: int | None = None  # that it really used
    imgsz: int | None = None  # pixels
    amp: bool | None = None  # whether it trained in mixed precision


class PriceLine(Struct, frozen=True, kw_only=True):
    """A price that was used."""

    gpu: str  # the model
    since: str  # the day from which it holds: "2026-01-01"
    per_hour: int  # of one GPU


class PricesUsed(Struct, frozen=True, kw_only=True):
    """The price list, as far as it was used."""

    path: str  # of the file
    currency: str  # ISO 4217: "EUR"
    gpus: tuple[PriceLine, ...]  # by model and day
    per_kwh: int | None = None  # of power, the newest of the month; None where it is not charged
    pue: float | None = None  # what the site draws for each watt of a computer
    bill_stated: bool = False  # the list states the month's bill, and the costs are shares of it


class Co2Factor(Struct, frozen=True, kw_only=True):
    """What a kilowatt-hour emits, and who says so."""

    grams_per_kwh: float  # of CO2 equivalents
    place: str  # where that holds
    year: int  # that it is of
    source: str  # who published it


class UsageReportResult(Result, Struct, frozen=True, kw_only=True):
    """A month: what was used, by whom, for what, at which cost."""

    month: str  # of UTC: "2026-11"
    until: str  # RFC 3339: the end of the month, or now while it goes on
    source: Literal["machine", "team"]  # the ledger: of this machine, or of a team
    role: Literal["all", "member", "manager", "finance"] = "all"  # whose view of it this is
    by: By  # what the rows are
    threshold_percent: int  # effective is a utilisation of at least that
    rows: tuple[UsageRow, ...]  # the most GPU time first
    total: UsageTotals  # of all rows
    gpus: tuple[GpuRow, ...] = ()  # by model; empty where the reader may not see machines
    capacity_ms: int | None = None  # GPU time that there was; None where it is not known
    unallocated_ms: int | None = None  # of it, that nobody had
    unallocated_cost: int | None = None  # of that
    bill: int | None = None  # total.cost and unallocated_cost together
    prices: PricesUsed | None = None  # None without a price list
    co2: Co2Factor | None = None  # None where the list has no factor
    months: tuple[UsageMonth, ...] = ()  # the trend, up to this month, oldest first
    failures: tuple[FailureRow, ...] = ()  # the dearest first
    environments: tuple[UsageRow, ...] = ()  # which ones the hours went to, the most first
    board: tuple[BoardRow, ...] = ()  # the best value first
    running: int = 0  # runs that have not ended, with what they used so far
    gaps_ms: int = 0  # samples that are missing, added up
    corrections: int = 0  # lines that were added to correct others
    correction_reasons: tuple[str, ...] = ()  # why, each once, in the order of their making
