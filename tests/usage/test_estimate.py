from __future__ import annotations

import statistics
from typing import Any

import pytest
from msgspec.structs import replace

from snapenv.model.estimate import Estimate
from snapenv.model.usage import UsageRun, UsedGpu
from snapenv.usage.estimate import best_comparable, estimate
from tests.usage.simulated import simulated_runs
from tests.usage.values import GPU_MODEL, sample_training, sample_usage_run

MINUTE_MS = 60_000


def training_run(
    *,
    epoch_ms: int = MINUTE_MS,
    beside_ms: int = 2 * MINUTE_MS,
    gpu: str = GPU_MODEL,
    **fields: Any,  # noqa: ANN401
) -> UsageRun:
    training = sample_training(epoch_ms=epoch_ms, epochs=10, epochs_done=10, images=1000)
    training = replace(training, **fields)
    return sample_usage_run(
        training=training,
        gpus=(UsedGpu(uuid="GPU-1", model=gpu),),
        duration_ms=epoch_ms * training.epochs_done + beside_ms,
    )


ALIKE = [training_run() for _ in range(13)]  # ten of them could be estimated


def minutes(found: Estimate) -> tuple[float, float, float]:
    assert found.duration_ms
    assert found.low_ms
    assert found.high_ms
    return (
        found.duration_ms / MINUTE_MS,
        found.low_ms / MINUTE_MS,
        found.high_ms / MINUTE_MS,
    )


def test_a_training_takes_its_epochs_and_what_earlier_ones_took_beside_them() -> None:
    assert minutes(estimate(training_run(epochs=20), ALIKE)) == (22, 22, 22)


def test_a_training_of_more_images_takes_longer_in_each_epoch() -> None:
    assert minutes(estimate(training_run(images=3000), ALIKE)) == (32, 32, 32)


def test_how_far_an_estimate_is_off_is_how_far_earlier_ones_were() -> None:
    # Ten estimates were right, and these three took twice as long: more than a fifth
    slow = [training_run(epoch_ms=2 * MINUTE_MS + 12_000, beside_ms=2 * MINUTE_MS)] * 3

    _, low, high = minutes(estimate(training_run(), [*ALIKE, *slow]))

    assert (low, high) == pytest.approx((6, 24))


def test_one_estimate_in_five_may_have_been_further_off() -> None:
    slow = [training_run(epoch_ms=2 * MINUTE_MS + 12_000)] * 2  # beside ten that were right

    assert minutes(estimate(training_run(), [*ALIKE, *slow])) == (12, 12, 12)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], Estimate(comparable=0)),
        (ALIKE[:2], Estimate(comparable=2)),
        (ALIKE[:3], Estimate(comparable=3, misses=0)),
        (ALIKE[:12], Estimate(comparable=12, misses=9)),
    ],
)
def test_too_few_runs_tell_nothing(history: list[UsageRun], expected: Estimate) -> None:
    assert estimate(training_run(), history) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"gpu": "NVIDIA L4"},
        {"model": "yolov8x.pt"},
        {"imgsz": 1280},
        {"images": 5001},
        {"images": 199},
        {"images": None},
        {"epochs": None},
    ],
)
def test_other_trainings_tell_nothing_of_it(fields: dict[str, Any]) -> None:
    assert estimate(training_run(**fields), ALIKE) == Estimate(comparable=0)


@pytest.mark.parametrize("fields", [{"epoch_ms": None}, {"epochs_done": 1}, {"images": None}])
def test_a_run_that_trained_too_little_tells_nothing(fields: dict[str, Any]) -> None:
    training = sample_training(epochs=10, epochs_done=10, images=1000, epoch_ms=MINUTE_MS)
    history = [replace(ALIKE[0], training=replace(training, **fields))] * 13

    assert estimate(training_run(), history) == Estimate(comparable=0)


def test_runs_with_the_same_options_count_before_others() -> None:
    other_batch = [training_run(epoch_ms=5 * MINUTE_MS, batch=8) for _ in range(13)]
    other_amp = [training_run(epoch_ms=9 * MINUTE_MS, amp=False) for _ in range(13)]
    history = [*other_amp, *ALIKE, *other_batch]

    assert minutes(estimate(training_run(), history))[0] == 12
    assert minutes(estimate(training_run(batch=8), history))[0] == 52


def test_runs_with_other_options_count_where_there_are_too_few_with_the_same() -> None:
    # Batches of 1 to 13, so that each is estimated by others
    history = [training_run(batch=number) for number in range(1, 14)]

    assert minutes(estimate(training_run(batch=64), history)) == (12, 12, 12)
    assert estimate(training_run(batch=64, amp=False), history) == Estimate(comparable=13, misses=0)


def test_two_runs_with_the_same_options_are_too_few() -> None:
    history = [*ALIKE, *[training_run(batch=8)] * 2]

    # They were estimated by all others, and so would a third one be
    assert estimate(training_run(batch=8), history) == Estimate(comparable=15, misses=2)


def test_a_resumed_run_tells_how_long_an_epoch_takes_and_no_more() -> None:
    resumed = [replace(run, resumed_from="261101-1", duration_ms=1) for run in ALIKE]

    assert minutes(estimate(training_run(), [*ALIKE, *resumed])) == (12, 12, 12)


def test_without_gpus_the_machine_must_be_the_same() -> None:
    history = [replace(run, gpus=()) for run in ALIKE]
    asked = replace(training_run(), gpus=())

    assert minutes(estimate(asked, history))[0] == 12
    assert estimate(replace(asked, host="other"), history) == Estimate(comparable=0)


def test_of_many_trainings_four_of_five_take_what_was_estimated() -> None:
    runs = simulated_runs(1050)
    errors, inside = [], []
    for run in runs[1000:]:
        found = estimate(run, runs[:1000])
        training = run.training
        assert training
        assert training.epochs
        assert training.epoch_ms
        assert run.duration_ms
        to_the_end_ms = (training.epochs - training.epochs_done) * training.epoch_ms
        if found.duration_ms and found.low_ms and found.high_ms:
            took_ms = run.duration_ms + to_the_end_ms
            errors.append(abs(found.duration_ms / took_ms - 1))
            inside.append(found.low_ms <= took_ms <= found.high_ms)

    assert len(errors) > 40
    assert statistics.median(errors) < 0.25
    assert 0.7 < statistics.mean(inside) < 0.9


def test_the_best_run_reached_the_same_for_the_least() -> None:
    cheap = replace(training_run(batch=64, amp=True, best=0.505), key="cheap")
    worse = replace(training_run(best=0.4), key="worse")
    dear = replace(training_run(best=0.512), key="dear")
    costs = {"cheap": 28, "worse": 1, "dear": 45}

    best = best_comparable(
        training_run(batch=16, amp=False, workers=None),
        [dear, worse, cheap],
        lambda run: costs[run.key],
    )

    assert best
    assert (best.run, best.cost) == (cheap, 28)
    assert best.differences == (("batch", 64), ("amp", True), ("workers", 8))


def test_the_best_run_may_have_had_other_gpus() -> None:
    history = [training_run(gpu="NVIDIA L4")]

    best = best_comparable(training_run(), history, lambda _: 1)

    assert best
    assert best.differences == (("gpus", "NVIDIA L4"),)


@pytest.mark.parametrize(
    "other",
    [
        training_run(model="yolov8x.pt"),
        training_run(epochs=11),
        training_run(images=1501),
        training_run(images=600),
        training_run(best=None),
        training_run(metric="mAP50(B)"),
        replace(training_run(), exit_code=1),
        replace(training_run(), resumed_from="261101-1"),
        replace(training_run(), duration_ms=None),
        replace(training_run(), training=None),
    ],
)
def test_other_runs_are_not_comparable(other: UsageRun) -> None:
    assert best_comparable(training_run(), [other], lambda _: 1) is None
