from __future__ import annotations

import datetime as dt

import pytest
from msgspec.structs import replace

from snapenv.model.usage import EpochRow, Sample, Training, UsedGpu
from snapenv.model.usage_top import TopGpu
from snapenv.usage.prices import GpuPrice, PriceList
from snapenv.usage.top import top_run
from tests.usage.values import (
    GPU_MODEL,
    GPU_UUID,
    HOUR_MS,
    KEY,
    STARTED_MS,
    sample_run_gpu,
    sample_training,
    sample_usage_run,
)

RUN = sample_usage_run(ended_ms=None, duration_ms=None, exit_code=None)
PRICES = PriceList(
    currency="EUR",
    gpu=(GpuPrice(model=GPU_MODEL, since=dt.date(2026, 1, 1), per_hour=3.0),),
)
NOTHING = {"samples": (), "rows": (), "epochs": ()}


def sample(at_ms: int, **fields: object) -> Sample:
    return replace(Sample(key=KEY, gpu=GPU_UUID, at_ms=at_ms), **fields)


def test_the_last_look_at_each_gpu_counts() -> None:
    last = sample(
        STARTED_MS + 15_000,
        utilization=93,
        util_source="gpm_sm",
        memory_bytes=70_000_000_000,
        power_mw=640_000,
        temperature_c=61,
    )
    other = replace(last, gpu="GPU-other", at_ms=STARTED_MS + 20_000)

    found = top_run(
        RUN,
        samples=(sample(STARTED_MS, utilization=5), last, other),
        rows=(sample_run_gpu(), sample_run_gpu(month="2026-12", buckets=(HOUR_MS, *(0,) * 9))),
        epochs=(),
        prices=None,
        now_ms=STARTED_MS + 20_000,
    )

    assert found.gpus == (
        TopGpu(
            uuid=GPU_UUID,
            model=GPU_MODEL,
            utilization=93,
            util_source="gpm_sm",
            memory_bytes=70_000_000_000,
            power_mw=640_000,
            temperature_c=61,
            seen_ms=STARTED_MS + 15_000,
            density=0.5,
        ),
    )
    assert found.elapsed_ms == 20_000


def test_what_nobody_has_seen_yet_is_unknown() -> None:
    found = top_run(RUN, **NOTHING, prices=None, now_ms=STARTED_MS - 5)

    (gpu,) = found.gpus
    assert (gpu.utilization, gpu.density, gpu.seen_ms) == (None, None, None)
    assert (found.epoch, found.loss, found.cost, found.elapsed_ms) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (sample_training(epochs=10, epoch_ms=60_000), 8 * 60_000 - 45_000),
        (sample_training(epochs=2, epoch_ms=60_000), 0),
        (sample_training(epochs=1, epoch_ms=60_000), 0),
        (sample_training(epochs=10, epoch_ms=None), None),
        (sample_training(epochs=None, epoch_ms=60_000), None),
        (None, None),
    ],
)
def test_what_is_left_of_a_training_is_told_by_its_own_epochs(
    training: Training | None, expected: int | None
) -> None:
    row = EpochRow(key=KEY, attempt=1, epoch=2, at_ms=STARTED_MS, loss=1.0)

    found = top_run(
        replace(RUN, training=training),
        samples=(),
        rows=(),
        epochs=(row,),
        prices=None,
        now_ms=STARTED_MS + 45_000,
    )

    assert found.remaining_ms == expected


def test_the_last_epoch_is_that_of_the_last_attempt() -> None:
    rows = tuple(
        EpochRow(key=KEY, attempt=attempt, epoch=epoch, at_ms=STARTED_MS, loss=loss)
        for attempt, epoch, loss in ((1, 1, 3.0), (1, 2, 2.5), (2, 1, 2.75))
    )
    run = replace(RUN, model=None, training=sample_training(model="yolov8n.pt", epochs=9))

    found = top_run(run, samples=(), rows=(), epochs=rows, prices=None, now_ms=STARTED_MS)

    assert (found.epoch, found.epochs, found.loss, found.model) == (1, 9, 2.75, "yolov8n.pt")


def test_the_cost_so_far_is_that_of_all_gpus() -> None:
    two = replace(RUN, gpus=(*RUN.gpus, UsedGpu(uuid="GPU-other", model=GPU_MODEL)))
    unpriced = replace(RUN, gpus=(UsedGpu(uuid="GPU-other", model="NVIDIA A10"),))
    later = STARTED_MS + HOUR_MS // 2

    def cost(run: object) -> int | None:
        return top_run(run, **NOTHING, prices=PRICES, now_ms=later).cost  # type: ignore[arg-type]

    assert (cost(RUN), cost(two)) == (1_500_000, 3_000_000)
    assert (cost(unpriced), cost(replace(RUN, gpus=()))) == (None, None)
