"""How long a training will take, judged by earlier ones. Pure.

A training takes what each image of an epoch takes, and what it takes beside its epochs. Both are
medians of at least three earlier runs of the same model on the same GPUs, with a data size within
a factor of five: of those with the same options if there are enough, else with other ones. How far
that may be off is how far it has been off: each earlier run is estimated by those before it.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.estimate import LEAST_MISSES, LEAST_RUNS, Best, Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snapenv.model.usage import Training, UsageRun

_OTHER_SIZE = 5.0
_LATEST = 30  # of like runs: what was long ago was with other programs
_LEAST_EPOCHS = 2  # the first one fills caches
_SHARE = 0.8  # of all estimates is as near as is told
_SAME_SIZE = 1.5
_A_POINT = 0.01  # of a metric from 0 to 1

# What is the same in runs that are compared, the closest first.
_LEVELS = (("batch", "workers", "amp"), ("amp",), ())
_OPTIONS = ("imgsz", "batch", "amp", "workers")


class _Past(Struct, frozen=True):
    images: int
    per_image_ms: float  # of an epoch
    beside_ms: float | None  # its epochs; None where it is not known


def estimate(run: UsageRun, history: Sequence[UsageRun]) -> Estimate:
    """Estimate a run whose ``training`` is what it is asked for.

    ``history`` has earlier trainings, in the order in which they started.
    """
    training = run.training
    if training is None or not training.images or not training.epochs:
        return Estimate(comparable=0)
    past, misses = _learn(history)
    for level, same in enumerate(_LEVELS):
        like = _like(past[_key(run, training, same)], training.images)
        if len(like) >= LEAST_RUNS:
            of_level = misses[level]
            if len(of_level) < LEAST_MISSES:
                return Estimate(comparable=len(like), misses=len(of_level))
            return _spread(_predict(like, training.images, training.epochs), like, of_level)
    return Estimate(comparable=len(_like(past[_key(run, training, ())], training.images)))


def _spread(duration_ms: float, like: Sequence[_Past], misses: Sequence[float]) -> Estimate:
    factor = math.exp(sorted(misses)[math.ceil(_SHARE * len(misses)) - 1])
    return Estimate(
        comparable=len(like),
        misses=len(misses),
        duration_ms=round(duration_ms),
        low_ms=round(duration_ms / factor),
        high_ms=round(duration_ms * factor),
    )


_Key = tuple[object, ...]


def _learn(history: Iterable[UsageRun]) -> tuple[dict[_Key, deque[_Past]], list[list[float]]]:
    """Return what is known of runs by what they have in common, and by level how wrong it was.

    A miss is the natural logarithm of how many times too long or too short an estimate was.
    """
    past: dict[_Key, deque[_Past]] = defaultdict(lambda: deque(maxlen=_LATEST))
    misses: list[list[float]] = [[] for _ in _LEVELS]
    for run in history:
        training = run.training
        if training is None or (known := _known(run, training)) is None:
            continue
        keys = [_key(run, training, same) for same in _LEVELS]
        if known.beside_ms is not None and run.duration_ms:
            for level, key in enumerate(keys):
                like = _like(past[key], known.images)
                if len(like) >= LEAST_RUNS:
                    predicted = _predict(like, known.images, training.epochs_done)
                    misses[level].append(abs(math.log(predicted / run.duration_ms)))
                    break
        for key in keys:
            past[key].append(known)
    return past, misses


def _known(run: UsageRun, training: Training) -> _Past | None:
    """Return what an earlier run tells; None where it trained too little."""
    if not training.images or not training.epoch_ms or training.epochs_done < _LEAST_EPOCHS:
        return None
    beside_ms = None
    # Of one that continues another, not all epochs are its own
    if run.duration_ms is not None and run.resumed_from is None:
        beside_ms = max(0.0, run.duration_ms - training.epoch_ms * training.epochs_done)
    return _Past(training.images, training.epoch_ms / training.images, beside_ms)


def _key(run: UsageRun, training: Training, same: Sequence[str]) -> _Key:
    gpus = sorted(gpu.model for gpu in run.gpus) or [run.host]  # CPUs are those of their host
    options = (getattr(training, name) for name in same)
    return (*gpus, _model(training), training.imgsz, len(same), *options)


def _model(training: Training) -> str | None:
    return PurePosixPath(training.model).stem if training.model else None


def _like(past: Iterable[_Past], images: int) -> list[_Past]:
    least, most = images / _OTHER_SIZE, images * _OTHER_SIZE
    return [each for each in past if least <= each.images <= most]


def _predict(like: Sequence[_Past], images: int, epochs: int) -> float:
    """Return milliseconds."""
    per_image_ms = statistics.median(each.per_image_ms for each in like)
    known = [each.beside_ms for each in like if each.beside_ms is not None]
    return per_image_ms * images * epochs + (statistics.median(known) if known else 0.0)


def best_comparable(
    run: UsageRun, history: Iterable[UsageRun], cost: Callable[[UsageRun], int]
) -> Best | None:
    """Return the earlier run that cost the least and reached the same, on whatever GPUs.

    It trained the same model for as many epochs on nearly as many images, ended well, and is at
    most one point of the metric worse than the best such run.
    """
    training = run.training
    if training is None:
        return None
    runs = [
        each for each in history if each.training and _is_comparable(training, each, each.training)
    ]
    reached = max((_metric(each) for each in runs), default=0.0)
    good = [each for each in runs if _metric(each) >= reached - _A_POINT]
    if not good:
        return None
    best = min(good, key=lambda each: (cost(each), each.started_ms))
    return Best(run=best, cost=cost(best), differences=_differences(run, best))


def _is_comparable(training: Training, other: UsageRun, its: Training) -> bool:
    if not (training.images and its.images and its.best and other.duration_ms):
        return False
    size = its.images / training.images
    return (
        other.exit_code == 0
        and other.resumed_from is None
        and (_model(its), its.epochs) == (_model(training), training.epochs)
        and its.metric == (training.metric or its.metric)
        and 1 / _SAME_SIZE <= size <= _SAME_SIZE
    )


def _metric(run: UsageRun) -> float:
    return (run.training.best if run.training else None) or 0.0


def _differences(run: UsageRun, best: UsageRun) -> tuple[tuple[str, str | int | bool], ...]:
    own_training, best_training = run.training, best.training
    own, others = (", ".join(sorted(gpu.model for gpu in each.gpus)) for each in (run, best))
    gpus = (("gpus", others or "none"),) if own != others else ()
    return gpus + tuple(
        (name, getattr(best_training, name))
        for name in _OPTIONS
        if getattr(best_training, name) not in (None, getattr(own_training, name))
    )
