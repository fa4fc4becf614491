from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from snapenv.model.tuning import DefaultRun, Settings, Trial
from snapenv.tuning.verdict import (
    best,
    drift,
    judge,
    judge_pairs,
    pair_order,
    reports,
    same_losses,
    score,
    so_far,
)
from tests.tuning.values import GPU, OPTIONS, RUN

SMALL, LARGE, WIDE = (Settings(batch=batch, workers=0) for batch in (4, 8, 16))


def trial(settings: Settings, score: float | None) -> Trial:
    return Trial(settings=settings, score=score)


def test_a_run_is_worth_its_images_a_second() -> None:
    assert judge(RUN, SMALL, "speed", 0) == Trial(
        settings=SMALL, score=40.0, images_per_s=40.0, setup_s=4.0, workers=0
    )


@pytest.mark.parametrize("losses", [(5.0, math.nan), (math.inf,), ()])
def test_a_run_whose_losses_are_no_numbers_is_no_candidate(losses: tuple[float, ...]) -> None:
    judged = judge(replace(RUN, losses=losses), SMALL, "speed", 0)
    assert (judged.score, judged.images_per_s) == (None, 40.0)
    assert judged.reason


def test_energy_and_time_are_better_when_less() -> None:
    on_gpu = replace(RUN, gpu=GPU)
    assert score(on_gpu, "energy", 0) == 2.0
    assert score(RUN, "energy", 0) is None
    assert score(RUN, "time", 40) == pytest.approx(1 / 5)
    slow_start = replace(RUN, setup_ms=30_000, images_per_s=80)
    assert (score(slow_start, "time", 40) or 0) < (score(RUN, "time", 40) or 0)
    assert (score(slow_start, "time", 40_000) or 0) > (score(RUN, "time", 40_000) or 0)


def test_a_run_is_compared_on_its_way_with_what_it_is_worth_until_then() -> None:
    slowing = replace(RUN, step_ms=(100.0,) * 5 + (200.0,) * 6, setup_ms=1000)

    assert reports(slowing, "speed", 0) == {5: 40.0, 10: 4000 / 150}
    assert reports(slowing, "time", 40) == {5: 1 / 2, 10: 1 / 2.5}
    assert reports(slowing, "energy", 0) == {}
    assert so_far(4, [100, 200, 200], 1000, "speed", 0) == 20


def test_the_drift_is_how_far_the_defaults_own_runs_are_apart() -> None:
    runs = [DefaultRun(after=1, score=score, images_per_s=score) for score in (30, 20, 25)]
    assert drift(runs) == pytest.approx(0.5)
    assert drift(runs[:1]) == 0


def test_the_best_is_that_with_the_best_median() -> None:
    trials = [
        trial(SMALL, 30),
        trial(LARGE, 90),
        trial(LARGE, 20),
        trial(LARGE, 21),
        trial(WIDE, 25),
    ]
    assert best(trials, 2) == (SMALL, WIDE)
    assert best([*trials, trial(Settings(batch=2, workers=0), None)], 9) == (SMALL, WIDE, LARGE)
    assert best([replace(trial(LARGE, 99), ended_after=5), trial(SMALL, 30)], 3) == (SMALL,)
    assert best([], 3) == ()


def test_pairs_change_their_order() -> None:
    assert pair_order(3) == "DCCDDC"


def test_a_gain_that_every_pair_shows_beyond_what_repeats_differ_is_proved() -> None:
    gain = judge_pairs("DCCDDC", (10, 14, 14.7, 10, 10.2, 14.1))

    assert (gain.default, gain.chosen) == ((10, 10, 10.2), (14, 14.7, 14.1))
    assert gain.ratios == pytest.approx((1.4, 1.47, 14.1 / 10.2))
    assert gain.median == pytest.approx(1.4)
    assert gain.worst == pytest.approx(14.1 / 10.2)
    assert gain.resolution == pytest.approx(0.05)
    assert gain.proven


@pytest.mark.parametrize(
    ("scores", "resolution"),
    [
        ((10, 11, 11, 10, 10, 10.2), 0.03),  # one pair gains too little
        ((10, 11, 11, 10, 11.5, 12.7), 0.15),  # all gain 10 %, and repeats differ by 15 %
        ((10, 9, 9, 10, 10, 9), 0.03),  # it is slower
        ((10, 10.2, 10.2, 10, 10, 10.2), 0.03),  # not worth it
    ],
)
def test_elsewhere_there_is_no_proven_gain(scores: tuple[float, ...], resolution: float) -> None:
    gain = judge_pairs("DCCDDC", scores)
    assert not gain.proven
    assert gain.resolution == pytest.approx(resolution)


def test_losses_are_the_same_within_what_precision_leaves() -> None:
    near = replace(RUN, losses=(5.001, 4.5, 4.25))
    far = replace(RUN, losses=(5.05, 4.5, 4.25))
    other_precision = replace(far, options=replace(OPTIONS, amp=False))
    assert same_losses(RUN, near)
    assert not same_losses(RUN, far)
    assert same_losses(RUN, other_precision)
    assert not same_losses(RUN, replace(other_precision, losses=(6.0, 4.5, 4.25)))
    assert not same_losses(RUN, replace(RUN, losses=(5.0,)))
