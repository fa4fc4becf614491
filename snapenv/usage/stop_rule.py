"""Whether a training goes on for nothing: its loss stands still while its GPUs are hardly used.

Pure: what was seen so far in, a verdict out. The best of the medians of three epochs decides, as
the best of noisy losses falls for hours by chance. A falling trend overrules it, by the test of
Mann and Kendall: z below -0.67, which one in four that stand still has too. To wait for those
costs less than to stop what still falls.
Source: https://doi.org/10.2307/1907187 (H. B. Mann, Nonparametric tests against trend, 1945).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.usage import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.model.usage import EpochRow, Sample

Reason = Literal[
    "epochs",  # too few of them, or of their time
    "warm-up",
    "closing",  # the last epochs, in which mosaics are switched off, and the loss jumps
    "improved",  # the loss, or what it is validated by
    "falling",  # the loss, slowly
    "unseen",  # too few samples of the utilisation
    "used",  # a GPU
    "flat",  # nothing speaks for it
]
_FALLING = -0.67
_SMOOTHED = 3  # epochs of a median
_TREND = 3  # windows of the trend
_GAP = 5  # so many times as long as usual is no epoch, but a pause
_SHORT_GAP_MS = 1_800_000
_MISSED = 3  # looks so many times as far apart as usual do not cover what is between them


class Rule(Struct, frozen=True, kw_only=True):
    """What counts as going on for nothing."""

    window_ms: int = 2 * HOUR_MS
    hold_ms: int = HOUR_MS  # from the warning to the pause
    epochs: int = 5  # that the window has at least
    improvement: float = 0.001  # less is none: a share of the loss, or
    absolute: bool = False  # in the loss's own unit
    utilization: float = 40.0  # percent; from here on a GPU is used
    coverage: float = 0.9  # of the window that was seen


RULE = Rule()


class Plan(Struct, frozen=True, kw_only=True):
    """What of a training's arguments tells when it is not to be judged."""

    epochs: int | None = None
    warmup_epochs: float = 3.0
    close_mosaic: int = 0


class Interval(Struct, frozen=True, kw_only=True):
    """A look at the utilisation of a GPU: percent, averaged over the time up to ``at_ms``."""

    at_ms: int
    covered_ms: int
    utilization: float


class Verdict(Struct, frozen=True, kw_only=True):
    """What was decided at the last epoch, and by what."""

    reason: Reason
    window_ms: int = 0
    improvement: float | None = None  # of the loss, as of the rule; negative where it grew
    utilization: float | None = None  # percent, of the GPU that was used most

    @property
    def stands_still(self) -> bool:
        """Whether the training goes on for nothing."""
        return self.reason == "flat"


def intervals_of(samples: Iterable[Sample], gpus: Iterable[str]) -> dict[str, list[Interval]]:
    """Return the looks at the utilisation of each GPU, in their order."""
    of_gpu: dict[str, list[Sample]] = {gpu: [] for gpu in gpus}
    for sample in samples:
        of_gpu.setdefault(sample.gpu, []).append(sample)
    return {gpu: _intervals(own) for gpu, own in of_gpu.items()}


def _intervals(samples: Sequence[Sample]) -> list[Interval]:
    steps = [after.at_ms - before.at_ms for before, after in pairwise(samples)]
    usual_ms = round(median(steps)) if steps else 0
    return [
        Interval(
            at_ms=sample.at_ms,
            covered_ms=step if 0 <= step <= _MISSED * usual_ms else usual_ms,
            utilization=sample.utilization,
        )
        for step, sample in zip(steps, samples[1:], strict=False)
        if sample.utilization is not None
    ]


def judge(
    rows: Sequence[EpochRow],
    used_by: Mapping[str, Sequence[Interval]],
    plan: Plan,
    rule: Rule = RULE,
) -> Verdict:
    """Judge a training at its last epoch: ``rows`` are of one attempt, ``seen`` is by GPU."""
    rows = _since_the_pause(rows)
    if len(rows) <= max(rule.epochs, _SMOOTHED):
        return Verdict(reason="epochs")
    now = rows[-1].at_ms
    window = window_ms(rows, rule)
    improvement = _improvement(rows, now - window, absolute=rule.absolute)
    used = [_utilization(intervals, now - window, now) for intervals in used_by.values()]
    shares = [share for share, covered_ms in used if covered_ms >= rule.coverage * window]
    reason: Reason = (
        _guard(rows[-1].epoch, plan)
        or _improving(rows, now, window, improvement, rule)
        or ("unseen" if not used or len(shares) < len(used) else None)
        or ("used" if max(shares) >= rule.utilization else "flat")
    )
    return Verdict(
        reason=reason,
        window_ms=window,
        improvement=improvement,
        utilization=max(shares) if shares else None,
    )


def window_ms(rows: Sequence[EpochRow], rule: Rule) -> int:
    """Return how long it is looked back: what the rule says, or its number of epochs if longer."""
    if len(rows) <= rule.epochs:
        return rule.window_ms
    return max(rule.window_ms, rows[-1].at_ms - rows[-1 - rule.epochs].at_ms)


def _since_the_pause(rows: Sequence[EpochRow]) -> Sequence[EpochRow]:
    """Leave out what was before the last pause, in which nothing could improve."""
    steps = [after.at_ms - before.at_ms for before, after in pairwise(rows)]
    if not steps:
        return rows
    pause_ms = max(_SHORT_GAP_MS, _GAP * median(steps))
    begin = max(
        (at for at, step in enumerate(steps, 1) if not 0 <= step <= pause_ms), default=0
    )  # a clock that was set back begins anew, too
    return rows[begin:]


def _guard(epoch: int, plan: Plan) -> Reason | None:
    if epoch <= plan.warmup_epochs + _SMOOTHED:
        return "warm-up"
    if plan.epochs is not None and epoch > plan.epochs - max(plan.close_mosaic, 1):
        return "closing"
    return None


def _improving(
    rows: Sequence[EpochRow], now: int, window: int, improvement: float | None, rule: Rule
) -> Reason | None:
    """Return why it may still become better; None where nothing speaks for that."""
    if improvement is None:
        return "epochs"
    if improvement >= rule.improvement or _better_metric(rows, now - window):
        return "improved"
    trend = [row.loss for row in rows if row.loss is not None and row.at_ms > now - _TREND * window]
    return "falling" if mann_kendall(trend) < _FALLING else None


def _improvement(rows: Sequence[EpochRow], since: int, *, absolute: bool) -> float | None:
    """Return how much better the best loss became, or by which share; None without one before.

    A window without any finite loss has become infinitely worse.
    """
    before, after = math.inf, math.inf
    for at in range(_SMOOTHED, len(rows) + 1):
        losses = [row.loss for row in rows[at - _SMOOTHED : at] if row.loss is not None]
        if losses and rows[at - 1].at_ms <= since:
            before = min(before, median(losses))
        elif losses:
            after = min(after, median(losses))
    if math.isinf(before):
        return None
    return before - after if absolute else (before - after) / (abs(before) or 1.0)


def _better_metric(rows: Sequence[EpochRow], since: int) -> bool:
    before = [row.metric for row in rows if row.metric is not None and row.at_ms <= since]
    after = [row.metric for row in rows if row.metric is not None and row.at_ms > since]
    return bool(after) and max(after) > max(before, default=-math.inf)


def _utilization(intervals: Sequence[Interval], since: int, until: int) -> tuple[float, int]:
    """Return the mean of a GPU's utilisation, and of how many milliseconds it is."""
    inside = [interval for interval in intervals if since < interval.at_ms <= until]
    covered_ms = sum(interval.covered_ms for interval in inside)
    total = sum(interval.utilization * interval.covered_ms for interval in inside)
    return (total / covered_ms if covered_ms else 0.0), covered_ms


def mann_kendall(values: Sequence[float]) -> float:
    """Return the test's z: negative where values fall, 0 where nothing can be told."""
    count, score = len(values), 0
    ordered: list[float] = []
    for value in values:
        score += bisect_left(ordered, value) - (len(ordered) - bisect_right(ordered, value))
        insort(ordered, value)
    if not score:
        return 0.0
    variance = count * (count - 1) * (2 * count + 5) / 18
    return (score - math.copysign(1, score)) / math.sqrt(variance)
