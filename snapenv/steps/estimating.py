"""Estimate what a run will take and cost before it starts, by the runs of this machine."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import PriceListError, SnapenvError
from snapenv.model.usage import HOUR_MS
from snapenv.report.estimate_text import best_line, estimate_line
from snapenv.steps.recording import planned_usage
from snapenv.usage.asked_training import asked_training, new_training
from snapenv.usage.estimate import best_comparable, estimate
from snapenv.usage.ledger import reading_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.launch import RunRecord
    from snapenv.model.usage import Training, UsageRun
    from snapenv.ports import Services

_HISTORY = 3000  # of earlier trainings, the latest
_AT_START = 300  # likewise, as a start must not wait


class _Tariff:
    """Today's prices, of a list or of none."""

    def __init__(self, path: Path | None) -> None:
        from snapenv.steps.price_list import find_prices

        self._today = datetime.now(timezone.utc).date()
        self._prices = find_prices(path, Path.cwd())

    @property
    def currency(self) -> str | None:
        """What costs are in."""
        return self._prices.currency if self._prices else None

    def cost(self, run: UsageRun, duration_ms: int | None) -> int | None:
        """Return what a run's GPUs cost by the hour; None where no price or no time is known.

        Raises:
            PriceListError: The list has no price for one of them.
        """
        from snapenv.usage.prices import gpu_price

        if self._prices is None or not run.gpus or duration_ms is None:
            return None
        each = (gpu_price(self._prices, gpu.model, self._today) for gpu in run.gpus)
        return sum(each) * duration_ms // HOUR_MS

    def cost_of(self, run: UsageRun) -> int | None:
        """Return what a run would cost today; None too where it had GPUs without a price."""
        try:
            return self.cost(run, run.duration_ms)
        except PriceListError:
            return None


def estimate_run(record: RunRecord, services: Services, prices: Path | None) -> str:
    """Return what a run will take and cost, and how the best comparable one did it for less.

    Raises:
        LedgerError, LedgerVersionError, PlaceBusyError: The ledger cannot be read.
        PriceListError: The price list is wrong, or has no price for a GPU.
    """
    tariff = _Tariff(prices)
    history = _history(services, _HISTORY)
    planned = _planned(record, services, history)
    if planned.training is None:
        planned = replace(planned, training=_with_new_data(record, planned.command))
    expected = estimate(planned, history)
    cost = tariff.cost(planned, expected.duration_ms)
    lines = [estimate_line(expected, cost, tariff.currency), *_best(planned, history, tariff)]
    return "\n".join(lines)


def note_estimate(record: RunRecord, services: Services, prices: Path | None) -> str | None:
    """Return the estimate in one line for a start; None where too little is known.

    Nothing that is wrong with the ledger or the prices stops a start.
    """
    try:
        history = _history(services, _AT_START)
        if not history:
            return None
        planned = _planned(record, services, history)
        expected = estimate(planned, history)
        if expected.duration_ms is None:
            return None
        tariff = _Tariff(prices)
        cost = tariff.cost(planned, expected.duration_ms)
    except SnapenvError:
        return None
    return estimate_line(expected, cost, tariff.currency)


def _history(services: Services, limit: int) -> tuple[UsageRun, ...]:
    """Return the latest trainings that have ended, in the order in which they started."""
    with reading_ledger(services.state, os.environ) as ledger:
        return ledger.trainings(limit) if ledger else ()


def _planned(record: RunRecord, services: Services, history: Sequence[UsageRun]) -> UsageRun:
    planned = planned_usage(record, services)
    return replace(planned, training=asked_training(planned.command, reversed(history)))


def _with_new_data(record: RunRecord, command: Sequence[str]) -> Training | None:
    from snapenv.usage.training import count_images  # not at a start: there may be many

    return new_training(command, lambda data: count_images(data, record.launch.folder))


def _best(planned: UsageRun, history: Sequence[UsageRun], tariff: _Tariff) -> list[str]:
    """Return a line on the best comparable run, by cost, or by GPU time without prices."""
    costs = {run.key: tariff.cost_of(run) for run in history}
    priced = [run for run in history if costs[run.key] is not None]
    best = best_comparable(
        planned, priced or history, lambda each: costs[each.key] or _gpu_ms(each)
    )
    return [best_line(best, costs[best.run.key], tariff.currency)] if best else []


def _gpu_ms(run: UsageRun) -> int:
    return (run.duration_ms or 0) * (len(run.gpus) or 1)
