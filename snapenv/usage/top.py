"""What runs now and how well it uses its GPUs, by the ledger's rows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import PriceListError
from snapenv.model.usage import Training
from snapenv.model.usage_top import TopGpu, TopRun
from snapenv.usage.charges import effective_ms
from snapenv.usage.prices import gpu_cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.usage import EpochRow, RunGpu, Sample, UsageRun, UsedGpu
    from snapenv.usage.prices import PriceList


def top_run(  # noqa: PLR0913 - all but one by name
    run: UsageRun,
    *,
    samples: Sequence[Sample],
    rows: Sequence[RunGpu],
    epochs: Sequence[EpochRow],
    prices: PriceList | None,
    now_ms: int,
) -> TopRun:
    """Put together what is known of a run that goes on; ``samples`` and ``epochs`` in order."""
    training = run.training or Training()
    last = epochs[-1] if epochs else None
    return TopRun(
        run=run.run,
        kind=run.kind,
        user=run.user,
        project=run.project,
        purpose=run.purpose,
        model=run.model or training.model,
        tag=run.tag,
        started_ms=run.started_ms,
        elapsed_ms=max(now_ms - run.started_ms, 0),
        epoch=last.epoch if last else None,
        epochs=training.epochs,
        remaining_ms=_remaining_ms(training, last, now_ms),
        loss=last.loss if last else None,
        cost=_cost(run, prices, now_ms),
        gpus=tuple(_gpu(gpu, samples, rows) for gpu in run.gpus),
    )


def _remaining_ms(training: Training, last: EpochRow | None, now_ms: int) -> int | None:
    """Return what a training will yet take; the first epoch, which fills caches, tells too little.

    After the second one it was off by two percent: nearer than any estimate before the start.
    """
    if last is None or not training.epochs or not training.epoch_ms:
        return None
    ahead_ms = max(training.epochs - last.epoch, 0) * training.epoch_ms
    return max(ahead_ms - max(now_ms - last.at_ms, 0), 0)


def _gpu(gpu: UsedGpu, samples: Iterable[Sample], rows: Iterable[RunGpu]) -> TopGpu:
    own = [sample for sample in samples if sample.gpu == gpu.uuid]
    last = own[-1] if own else None
    return TopGpu(
        uuid=gpu.uuid,
        model=gpu.model,
        utilization=last.utilization if last else None,
        util_source=last.util_source if last else None,
        memory_bytes=last.memory_bytes if last else None,
        power_mw=last.power_mw if last else None,
        temperature_c=last.temperature_c if last else None,
        seen_ms=last.at_ms if last else None,
        density=_density([row for row in rows if row.gpu == gpu.uuid]),
    )


def _density(rows: Sequence[RunGpu]) -> float | None:
    covered_ms = sum(row.covered_ms for row in rows)
    return sum(effective_ms(row.buckets) for row in rows) / covered_ms if covered_ms else None


def _cost(run: UsageRun, prices: PriceList | None, now_ms: int) -> int | None:
    """Return what the GPUs have cost so far; None without prices, and without one of them."""
    if prices is None or not run.gpus:
        return None
    try:
        return sum(
            gpu_cost(prices, gpu.model, run.started_ms, max(now_ms, run.started_ms))
            for gpu in run.gpus
        )
    except PriceListError:  # a report says which is missing
        return None
