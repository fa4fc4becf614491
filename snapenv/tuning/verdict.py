"""What trials and pairs tell: which settings to choose, and whether they are proved better.

Timings on a machine that others use differ more from minute to minute than settings do, so that
only runs right after one another are compared: in pairs, whose order changes, which puts two runs
of the same settings next to each other as well. How far those are apart is what cannot be seen.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from snapenv.model.tuning import Gain, Settings, Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.bench import BenchRun
    from snapenv.model.tuning import DefaultRun, Objective

LEAST_GAIN = 0.03
"""A smaller one is not worth a change, however exactly it was measured."""

REPORT_EVERY = 5
"""Steps of a run after which it is compared with others that have come as far."""

_SAME_LOSS, _NEAR_LOSS = 1e-3, 0.05  # relative; the second where precision or kernels differ


def judge(run: BenchRun, settings: Settings, objective: Objective, images: int) -> Trial:
    """Return what a run is worth; nothing where its losses are no numbers."""
    joules = run.gpu.joules_per_image if run.gpu else None
    finite = bool(run.losses) and all(map(math.isfinite, run.losses))
    return Trial(
        settings=settings,
        score=score(run, objective, images) if finite else None,
        reason=None if finite else "its losses are no numbers",
        images_per_s=run.images_per_s,
        joules_per_image=joules,
        setup_s=run.setup_ms / 1000,
        workers=run.options.workers,
    )


def score(run: BenchRun, objective: Objective, images: int) -> float | None:
    """Return how good a run is, more is better: None where no energy was measured."""
    if objective == "energy":
        joules = run.gpu.joules_per_image if run.gpu else None
        return 1 / joules if joules else None
    return _score(run.images_per_s, run.setup_ms, objective, images)


def reports(run: BenchRun, objective: Objective, images: int) -> dict[int, float]:
    """Return how good a run was after so many steps, wherever it may be compared."""
    batch = run.options.batch
    values = {
        count: so_far(batch, run.step_ms[:count], run.setup_ms, objective, images)
        for count in range(REPORT_EVERY, len(run.step_ms), REPORT_EVERY)
    }
    return {count: value for count, value in values.items() if value is not None}


def so_far(
    batch: int, step_ms: Sequence[float], setup_ms: float, objective: Objective, images: int
) -> float | None:
    """Return how good a run is until now; None where that cannot be told before its end."""
    if objective == "energy":
        return None
    return _score(speed(batch, step_ms), setup_ms, objective, images)


def speed(batch: int, step_ms: Sequence[float]) -> float:
    """Return the images a second of the median step."""
    return batch * 1000 / median(step_ms)


def _score(images_per_s: float, setup_ms: float, objective: Objective, images: int) -> float:
    if objective == "time":
        return 1 / (setup_ms / 1000 + images / images_per_s)
    return images_per_s


def drift(defaults: Sequence[DefaultRun]) -> float:
    """Return how far the default's own measurements are apart: 0.1 is 10 %."""
    scores = [each.score for each in defaults]
    return max(scores) / min(scores) - 1


def best(trials: Iterable[Trial], count: int) -> tuple[Settings, ...]:
    """Return the best settings, the best first; of repeats the median counts."""
    by_settings: dict[Settings, list[float]] = {}
    for trial in trials:
        if trial.score is not None and trial.is_candidate:
            by_settings.setdefault(trial.settings, []).append(trial.score)
    ranked = sorted(by_settings, key=lambda each: (-median(by_settings[each]), each))
    return tuple(ranked[:count])


def same_losses(reference: BenchRun, run: BenchRun) -> bool:
    """Say whether two runs of the same batches, without augmentation, trained the same."""
    left, right = reference.options, run.options
    same = (left.amp, left.compile) == (right.amp, right.compile)
    limit = _SAME_LOSS if same else _NEAR_LOSS
    return len(reference.losses) == len(run.losses) and all(
        math.isclose(a, b, rel_tol=limit) for a, b in zip(reference.losses, run.losses, strict=True)
    )


def pair_order(pairs: int) -> str:
    """Return the order of runs, ``D`` the default and ``C`` the chosen one: DC CD DC."""
    return "".join("DC" if number % 2 == 0 else "CD" for number in range(pairs))


def judge_pairs(order: str, scores: Sequence[float]) -> Gain:
    """Return what the chosen settings gain, of the scores of runs in that order."""
    pairs = [
        dict(zip(order[at : at + 2], scores[at : at + 2], strict=True))
        for at in range(0, len(order), 2)
    ]
    ratios = tuple(pair["C"] / pair["D"] for pair in pairs)
    resolution = max((LEAST_GAIN, *_repeats(order, scores)))
    return Gain(
        default=tuple(pair["D"] for pair in pairs),
        chosen=tuple(pair["C"] for pair in pairs),
        ratios=ratios,
        median=median(ratios),
        worst=min(ratios),
        resolution=resolution,
        proven=min(ratios) > 1 + resolution,
    )


def _repeats(order: str, scores: Sequence[float]) -> Iterable[float]:
    """Yield how far runs of the same settings that followed one another are apart."""
    for at in range(len(order) - 1):
        if order[at] == order[at + 1]:
            low, high = sorted(scores[at : at + 2])
            yield high / low - 1
