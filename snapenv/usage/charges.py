"""What each run is charged for on each GPU in a month: time, before any price.

A GPU that several runs had at once is divided evenly among them for as long as that went on, so
that the charged time of a GPU never exceeds the time that passed. Corrections are added to what
they correct. Pure: values of the ledger in, charges out.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import (
    BUCKETS,
    Correction,
    MachineGpu,
    RunGpu,
    UsageEvent,
    UsageRun,
    UsageSum,
    UtilSource,
)
from snapenv.money import spread
from snapenv.usage.months import month_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

EFFECTIVE_FROM_PERCENT = 70
"""A GPU is used effectively at a utilisation of at least that."""

OTHERS = "(others)"
"""The name of the projects that are told together, as each of them has one user alone."""

_FIRST_EFFECTIVE = EFFECTIVE_FROM_PERCENT * BUCKETS // 100


def effective_ms(buckets: Sequence[int]) -> int:
    """Return the time of a histogram at a utilisation of at least EFFECTIVE_FROM_PERCENT."""
    return sum(buckets[_FIRST_EFFECTIVE:])


class UsageRecords(Struct, frozen=True, kw_only=True):
    """What a ledger holds of some months."""

    runs: tuple[UsageRun, ...] = ()
    run_gpus: tuple[RunGpu, ...] = ()
    corrections: tuple[Correction, ...] = ()
    events: tuple[UsageEvent, ...] = ()
    machine_gpus: tuple[MachineGpu, ...] = ()
    sums: tuple[UsageSum, ...] = ()  # in the place of all of these, for whom it is


class Charge(Struct, frozen=True, kw_only=True):
    """What a run is charged for on one GPU in one month; of a ``UsageSum``, on all of a model."""

    of: UsageRun | UsageSum
    month: str
    gpu: str | None  # the UUID
    gpu_model: str
    since_ms: int  # of the month, the part in which the run went on
    until_ms: int
    allocated_ms: int
    charged_ms: int  # sum(buckets) is at most that
    buckets: tuple[int, ...]
    energy_mj: int | None
    util_sources: tuple[UtilSource, ...]
    memory_peak_bytes: int | None = None

    @property
    def effective_ms(self) -> int:
        """Return the time at a utilisation of at least EFFECTIVE_FROM_PERCENT."""
        return effective_ms(self.buckets)

    @property
    def idle_ms(self) -> int:
        """Return the time below it."""
        return sum(self.buckets) - self.effective_ms

    @property
    def unseen_ms(self) -> int:
        """Return the time without a sample."""
        return self.charged_ms - sum(self.buckets)


def of_month(records: UsageRecords, month: str) -> UsageRecords:
    """Return what is charged in one month alone."""
    return replace(
        records,
        run_gpus=tuple(gpu for gpu in records.run_gpus if gpu.month == month),
        corrections=tuple(
            correction for correction in records.corrections if correction.month == month
        ),
        sums=tuple(each for each in records.sums if each.month == month),
    )


def charges_of(records: UsageRecords, now_ms: int) -> tuple[Charge, ...]:
    """Return the charges of all runs, by month, GPU and start; a run without an end goes on."""
    if records.sums:
        return tuple(_of_sum(each, now_ms) for each in records.sums)
    runs = {run.key: run for run in records.runs}
    of_gpus = defaultdict[tuple[str, str], list[Charge]](list)
    for row in corrected(records.run_gpus, records.corrections, runs):
        if row.key in runs:
            of_gpus[row.month, row.gpu].append(_whole_charge(runs[row.key], row, now_ms))
    return tuple(each for place in sorted(of_gpus) for each in _divided(of_gpus[place]))


def corrected(
    run_gpus: Iterable[RunGpu], corrections: Iterable[Correction], runs: Mapping[str, UsageRun]
) -> tuple[RunGpu, ...]:
    """Add corrections to what they correct, or to nothing; no time gets below zero."""
    rows = {(each.key, each.gpu, each.month): each for each in run_gpus}
    for correction in corrections:
        place = (correction.key, correction.gpu, correction.month)
        row = rows.get(place) or _nothing(correction, runs.get(correction.key))
        rows[place] = replace(
            row,
            allocated_ms=max(0, row.allocated_ms + correction.allocated_ms),
            buckets=tuple(
                max(0, a + b) for a, b in zip(row.buckets, correction.buckets, strict=True)
            ),
            energy_mj=max(0, (row.energy_mj or 0) + correction.energy_mj)
            if correction.energy_mj
            else row.energy_mj,
        )
    return tuple(rows.values())


def _nothing(correction: Correction, run: UsageRun | None) -> RunGpu:
    models = {gpu.uuid: gpu.model for gpu in run.gpus} if run else {}
    return RunGpu(
        key=correction.key,
        gpu=correction.gpu,
        month=correction.month,
        model=models.get(correction.gpu, "unknown"),
        allocated_ms=0,
    )


def _whole_charge(run: UsageRun, row: RunGpu, now_ms: int) -> Charge:
    """Return the charge of a run that has the GPU for itself."""
    begin, end = month_span(row.month)
    since_ms = min(max(run.started_ms, begin), end)
    until_ms = max(min(now_ms if run.ended_ms is None else run.ended_ms, end), since_ms)
    return Charge(
        of=run,
        month=row.month,
        gpu=row.gpu,
        gpu_model=row.model,
        since_ms=since_ms,
        until_ms=until_ms,
        allocated_ms=row.allocated_ms,
        charged_ms=row.allocated_ms,
        buckets=_within(row.buckets, row.allocated_ms),
        energy_mj=row.energy_mj,
        util_sources=(row.util_source,) if row.util_source else (),
        memory_peak_bytes=row.memory_peak_bytes,
    )


def _of_sum(counted: UsageSum, now_ms: int) -> Charge:
    begin, end = month_span(counted.month)
    return Charge(
        of=counted,
        month=counted.month,
        gpu=None,
        gpu_model=counted.gpu_model,
        since_ms=begin,
        until_ms=max(begin, min(end, now_ms)),
        allocated_ms=counted.allocated_ms,
        charged_ms=counted.allocated_ms,
        buckets=counted.buckets,
        energy_mj=counted.energy_mj,
        util_sources=counted.util_sources,
    )


def _within(buckets: tuple[int, ...], limit_ms: int) -> tuple[int, ...]:
    """Shorten the times of a histogram in proportion where they are longer than the whole."""
    return spread(limit_ms, buckets) if sum(buckets) > limit_ms else buckets


def _divided(of_gpu: Sequence[Charge]) -> Iterator[Charge]:
    """Divide one GPU's time among the runs that had it at once."""
    in_order = sorted(of_gpu, key=lambda each: (each.since_ms, each.until_ms))
    shares = shares_of([(each.since_ms, each.until_ms) for each in in_order])
    for charge, share in zip(in_order, shares, strict=True):
        if share == 1:
            yield charge
            continue
        covered = sum(charge.buckets)
        yield replace(
            charge,
            charged_ms=int(charge.charged_ms * share),
            buckets=spread(int(covered * share), charge.buckets),
            energy_mj=None if charge.energy_mj is None else int(charge.energy_mj * share),
        )


def shares_of(spans: Sequence[tuple[int, int]]) -> tuple[Fraction, ...]:
    """Return for each span, sorted by its beginning, what is left of it when it shares.

    At each moment the spans that hold it have an equal part of it. An empty span is left whole.
    """
    if all(after[0] >= before[1] for before, after in pairwise(spans)):
        return (Fraction(1),) * len(spans)
    left = [Fraction(0)] * len(spans)
    edges = sorted({edge for span in spans for edge in span})
    begins = defaultdict[int, list[int]](list)
    for at, (begin, end) in enumerate(spans):
        if end > begin:
            begins[begin].append(at)
    active: list[int] = []
    for edge, following in pairwise(edges):
        active = [at for at in active if spans[at][1] > edge] + begins[edge]
        for at in active:
            left[at] += Fraction(following - edge, len(active))
    return tuple(
        part / (end - begin) if end > begin else Fraction(1)
        for part, (begin, end) in zip(left, spans, strict=True)
    )
