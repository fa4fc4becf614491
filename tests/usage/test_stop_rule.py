"""The stop rule on trainings that fall, stand still or are not to be judged."""

from __future__ import annotations

import math
import random

import pytest
from msgspec.structs import replace

from snapenv.model.usage import EpochRow, Sample
from snapenv.usage.stop_rule import Interval, Plan, Rule, intervals_of, judge, mann_kendall
from tests.usage.curves import DAY_MS, FALLING, MINUTE_MS, PLATEAU, Curve, stopped_ms

HOUR_MS = 60 * MINUTE_MS
FLAT = Curve(shape=PLATEAU["dead"], noise=0.0)
PLAN = Plan(epochs=144, close_mosaic=10)


def flat_rows(count: int = 60, **fields: float) -> list[EpochRow]:
    return [replace(row, **fields) for row in FLAT.rows()[:count]]


def seen(until_ms: int = DAY_MS, *, utilization: float = 25.0) -> list[Interval]:
    return [
        Interval(at_ms=at_ms, covered_ms=MINUTE_MS, utilization=utilization)
        for at_ms in range(MINUTE_MS, until_ms + 1, MINUTE_MS)
    ]


def test_what_stands_still_unused_goes_on_for_nothing() -> None:
    verdict = judge(flat_rows(), {"gpu": seen()}, PLAN)

    assert (verdict.reason, verdict.window_ms, verdict.improvement, verdict.utilization) == (
        "flat",
        2 * HOUR_MS,
        0.0,
        25.0,
    )


@pytest.mark.parametrize(("utilization", "reason"), [(39.9, "flat"), (40.0, "used")])
def test_a_gpu_that_is_used_is_never_given_up(utilization: float, reason: str) -> None:
    used = {"idle": seen(utilization=0.0), "used": seen(utilization=utilization)}

    assert judge(flat_rows(), used, PLAN).reason == reason


def test_without_a_look_at_every_gpu_there_is_no_verdict() -> None:
    last = 10 * HOUR_MS  # of 60 epochs
    enough, too_few = (
        [look for look in seen() if look.at_ms <= last - missing * MINUTE_MS]
        for missing in (12, 13)  # of 120 minutes
    )

    assert judge(flat_rows(), {}, PLAN).reason == "unseen"
    assert judge(flat_rows(), {"gpu": seen(), "other": ()}, PLAN).reason == "unseen"
    assert judge(flat_rows(), {"gpu": too_few}, PLAN).reason == "unseen"
    assert judge(flat_rows(), {"gpu": enough}, PLAN).reason == "flat"


@pytest.mark.parametrize(
    ("count", "plan", "reason"),
    [
        (5, Plan(), "epochs"),
        (13, Plan(), "epochs"),  # nothing from before the window
        (20, Plan(warmup_epochs=17), "warm-up"),
        (21, Plan(warmup_epochs=17), "flat"),
        (60, Plan(epochs=70, close_mosaic=10), "flat"),
        (60, Plan(epochs=69, close_mosaic=10), "closing"),
        (60, Plan(epochs=60), "closing"),
        (60, Plan(), "flat"),
    ],
)
def test_it_judges_neither_too_early_nor_the_end(count: int, plan: Plan, reason: str) -> None:
    assert judge(flat_rows(count), {"gpu": seen()}, plan).reason == reason


def test_a_better_metric_is_an_improvement() -> None:
    rows = flat_rows(metric=0.5)
    better = [*rows[:-3], replace(rows[-3], metric=0.51), *rows[-2:]]
    before = [replace(rows[0], metric=0.52), *better[1:]]

    assert judge(rows, {"gpu": seen()}, PLAN).reason == "flat"
    assert judge(better, {"gpu": seen()}, PLAN).reason == "improved"
    assert judge(before, {"gpu": seen()}, PLAN).reason == "flat"


@pytest.mark.parametrize(("share", "reason"), [(0.0011, "improved"), (0.0009, "falling")])
def test_an_improvement_is_a_share_of_the_loss(share: float, reason: str) -> None:
    rows = flat_rows()
    last = [replace(row, loss=(row.loss or 0) * (1 - share)) for row in rows[-12:]]

    assert judge([*rows[:-12], *last], {"gpu": seen()}, PLAN).reason == reason


@pytest.mark.parametrize(("loss", "reason"), [(0.0011, "improved"), (0.0009, "falling")])
def test_an_improvement_may_be_one_of_the_loss_itself(loss: float, reason: str) -> None:
    rows = flat_rows(loss=100.0)
    last = [replace(row, loss=100.0 - loss) for row in rows[-12:]]

    verdict = judge([*rows[:-12], *last], {"gpu": seen()}, PLAN, Rule(absolute=True))

    assert verdict.reason == reason
    assert verdict.improvement == pytest.approx(loss)


def test_a_loss_that_is_no_number_any_more_is_no_improvement() -> None:
    rows = [*flat_rows()[:-14], *flat_rows(loss=None)[-14:]]  # type: ignore[arg-type]

    verdict = judge(rows, {"gpu": seen()}, PLAN)

    assert (verdict.reason, verdict.improvement) == ("flat", -math.inf)


@pytest.mark.parametrize("step_ms", [3 * HOUR_MS, -HOUR_MS])
def test_a_pause_or_a_clock_set_back_begins_anew(step_ms: int) -> None:
    rows = flat_rows()
    later = [replace(row, at_ms=row.at_ms + step_ms) for row in rows[-6:]]

    assert judge([*rows[:-6], *later], {"gpu": seen(2 * DAY_MS)}, PLAN).reason == "epochs"


def test_long_epochs_are_looked_at_for_longer() -> None:
    rows = [replace(row, at_ms=row.epoch * HOUR_MS) for row in flat_rows(24)]

    verdict = judge(rows, {"gpu": seen()}, PLAN)

    assert (verdict.reason, verdict.window_ms) == ("flat", 5 * HOUR_MS)


def test_samples_cover_what_is_between_them_but_no_gap() -> None:
    moments = [0, 15, 30, 45, 200, 215]
    samples = [
        Sample(key="run", gpu="a", at_ms=at, utilization=None if at == 45 else at) for at in moments
    ]

    assert intervals_of(samples, ("a", "b")) == {
        "a": [
            Interval(at_ms=at, covered_ms=15, utilization=float(at))
            for at in moments[1:]
            if at != 45
        ],
        "b": [],
    }


@pytest.mark.parametrize("shape", FALLING)
def test_a_training_that_falls_is_not_stopped(shape: str) -> None:
    for seed in (1, 2):
        assert stopped_ms(Curve(shape=FALLING[shape], seed=seed)) is None


@pytest.mark.parametrize("shape", PLATEAU)
def test_a_training_that_stands_still_is_stopped_but_not_where_its_gpu_is_used(shape: str) -> None:
    found = stopped_ms(Curve(shape=PLATEAU[shape]))

    assert found is not None
    assert 3 * HOUR_MS <= found <= 16 * HOUR_MS
    assert stopped_ms(Curve(shape=PLATEAU[shape], utilization=95.0)) is None


@pytest.mark.full
@pytest.mark.parametrize("minutes", [1.5, 10, 40])
def test_of_many_trainings_none_is_stopped_while_it_falls(minutes: float) -> None:
    seeds = range(1, 5) if minutes < 10 else range(1, 22)
    curves = [
        Curve(
            shape=shape,
            seed=seed,
            scale=(0.5, 2.0, 9.0)[seed % 3],
            epoch_ms=round(minutes * MINUTE_MS),
        )
        for shape in FALLING.values()
        for seed in seeds
    ]

    assert [curve for curve in curves if stopped_ms(curve) is not None] == []


def test_the_trend_is_that_of_mann_and_kendall() -> None:
    chance = random.Random(1)
    values = [chance.choice(range(9)) for _ in range(40)]
    score = sum(
        (after > before) - (after < before)
        for at, after in enumerate(values)
        for before in values[:at]
    )
    variance = 40 * 39 * 85 / 18

    assert mann_kendall(values) == pytest.approx(
        (score - math.copysign(1, score)) / math.sqrt(variance)
    )
    assert mann_kendall([3, 2, 1]) < 0 < mann_kendall([1, 2, 3])
    assert mann_kendall([]) == mann_kendall([1]) == mann_kendall([1, 1]) == 0


def test_the_rule_can_be_of_another_length() -> None:
    rule = Rule(window_ms=6 * MINUTE_MS, hold_ms=MINUTE_MS)
    rows = [replace(row, at_ms=row.epoch * MINUTE_MS) for row in flat_rows(20)]
    looks_ = [
        Interval(at_ms=at_ms, covered_ms=1000, utilization=1.0) for at_ms in range(0, DAY_MS, 1000)
    ]

    assert judge(rows, {"gpu": looks_}, PLAN, rule).reason == "flat"
