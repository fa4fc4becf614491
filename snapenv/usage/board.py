"""The best value: which trainings reached what, and what they took in all. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.usage import UsageRun
from snapenv.model.usage_report import BoardRow
from snapenv.usage.costs import Cost
from snapenv.usage.months import month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


MOST = 50
"""Trainings on the board."""


def best_value(
    runs: Sequence[UsageRun], costs: Iterable[Cost], *, month: str
) -> tuple[BoardRow, ...]:
    """Rank the trainings that ended in a month, those of one metric by the cost of a point.

    A training that was resumed counts once, with all that its attempts took. ``costs`` are those
    of all months; where none is known, the GPU time of a point ranks, else the time.
    """
    own = defaultdict[str, list[Cost]](list)
    for cost in costs:
        if isinstance(cost.charge.of, UsageRun):
            own[cost.charge.of.key].append(cost)
    by_id = {(run.host, run.run): run for run in runs}
    resumed = {(run.host, run.resumed_from) for run in runs if run.resumed_from}
    rows = [
        row
        for run in runs
        if run.ended_ms is not None
        and month_of(run.ended_ms) == month
        and (run.host, run.run) not in resumed
        and (row := _row(_attempts(run, by_id), own))
    ]
    ranked = sorted(rows, key=_value)[:MOST]
    return tuple(replace(row, rank=rank) for rank, row in enumerate(ranked, start=1))


def _attempts(run: UsageRun, by_id: Mapping[tuple[str, str], UsageRun]) -> tuple[UsageRun, ...]:
    """Return a run and those that it continues, the last one first."""
    attempts = [run]
    while attempts[-1].resumed_from:
        before = by_id.get((run.host, attempts[-1].resumed_from))
        if before is None or before in attempts:  # it is of an earlier year, or of a damaged record
            break
        attempts.append(before)
    return tuple(attempts)


def _row(attempts: Sequence[UsageRun], own: Mapping[str, Sequence[Cost]]) -> BoardRow | None:
    """Return what a training took and reached; None where nothing was validated."""
    last = attempts[0]
    training = last.training
    if training is None or training.best is None or training.metric is None:
        return None
    costs = [cost for run in attempts for cost in own.get(run.key, ())]
    known = [cost.cost for cost in costs if cost.cost is not None]
    cost = sum(known) if known and len(known) == len(costs) else None
    energies = [each.charge.energy_mj for each in costs if each.charge.energy_mj is not None]
    peaks = [each.charge.memory_peak_bytes for each in costs if each.charge.memory_peak_bytes]
    return BoardRow(
        rank=0,
        run=last.run,
        user=last.user,
        project=last.project,
        model=last.model or training.model,
        images=training.images,
        metric=training.metric,
        best=training.best,
        epochs=training.epochs_done,
        charged_ms=sum(each.charge.charged_ms for each in costs),
        duration_ms=sum(run.duration_ms or 0 for run in attempts),
        memory_peak_bytes=max(peaks, default=None),
        energy_mj=sum(energies) if energies else None,
        cost=cost,
        cost_per_point=round(cost / (100 * training.best)) if cost and training.best else None,
        tag=last.tag,
        snapshot=last.snapshot,
        batch=training.batch,
        imgsz=training.imgsz,
        amp=training.amp,
    )


def _value(row: BoardRow) -> tuple[str, bool, float, float, str]:
    """Return what rows are sorted by: the metric, then what a point of it took."""
    points = 100 * row.best
    per_point = row.cost_per_point if row.cost_per_point is not None else float("inf")
    took_ms = row.charged_ms or row.duration_ms
    return (row.metric, row.best == 0, per_point, took_ms / points if points else 0.0, row.run)
