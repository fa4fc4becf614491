"""Losses of trainings as they go over 24 hours, made by formulas, with noise of a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.model.usage import EpochRow
from snapenv.usage.stop_rule import RULE, Interval, Plan, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.usage.stop_rule import Rule

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
LOOK_MS = 15_000

# The loss as a share of its scale, by the share of the day that has gone.
FALLING: dict[str, Callable[[float], float]] = {
    "normal": lambda t: 0.3 + 0.7 * math.exp(-5 * t),
    "fast, then slow": lambda t: 0.3 + 0.4 * math.exp(-40 * t) + 0.3 * (1 - t),
    "slow": lambda t: 1 - 0.25 * t,
    "slower": lambda t: 0.6 + 0.15 * (1 - t) ** 1.2,
    "power law": lambda t: 0.25 + 0.6 * (1 + 60 * t) ** -0.4,
    "cosine": lambda t: 0.35 + 0.3 * (1 + math.cos(math.pi * t)),
    "late": lambda t: 0.9 - 0.5 * t**2 - 0.06 * t,
    "logarithm": lambda t: 1 - 0.16 * math.log1p(30 * t) / math.log1p(30) - 0.12 * t,
    "rising first": lambda t: 0.8 + 0.3 * math.exp(-((t - 0.02) ** 2) / 0.0004) - 0.4 * t,
    "waves": lambda t: 0.9 - 0.4 * t + 0.01 * math.sin(60 * t),
}
PLATEAU: dict[str, Callable[[float], float]] = {
    "plateau": lambda t: 0.4 + 0.6 * math.exp(-40 * t),
    "dead": lambda _: 0.7,
    "growing": lambda t: 0.5 + 0.2 * t,
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    shape: Callable[[float], float]
    seed: int = 1
    scale: float = 2.0
    noise: float = 0.004  # of the scale
    epoch_ms: int = 10 * MINUTE_MS
    utilization: float = 25.0

    def rows(self) -> list[EpochRow]:
        chance = random.Random(self.seed)
        return [
            EpochRow(
                key="run",
                attempt=1,
                epoch=number,
                at_ms=number * self.epoch_ms,
                loss=self.scale
                * (self.shape(number * self.epoch_ms / DAY_MS) + chance.gauss(0, self.noise)),
            )
            for number in range(1, DAY_MS // self.epoch_ms + 1)
        ]

    def seen(self) -> Mapping[str, Sequence[Interval]]:
        chance = random.Random(-self.seed)
        step_ms = 4 * LOOK_MS  # as often as is needed
        return {
            "gpu": [
                Interval(
                    at_ms=at_ms,
                    covered_ms=step_ms,
                    utilization=min(max(chance.gauss(self.utilization, 8), 0), 100),
                )
                for at_ms in range(step_ms, DAY_MS + 1, step_ms)
            ]
        }


def stopped_ms(curve: Curve, rule: Rule = RULE, plan: Plan | None = None) -> int | None:
    """Return when the rule stops a training; None where it never does."""
    rows, seen = curve.rows(), curve.seen()["gpu"]
    plan = plan or Plan(epochs=len(rows), close_mosaic=10)
    step_ms = seen[0].covered_ms
    holds: int | None = None
    for end in range(1, len(rows) + 1):
        now = rows[end - 1].at_ms
        window = now - max(rule.window_ms, (rule.epochs + 1) * curve.epoch_ms)
        recent = seen[max(window // step_ms, 0) : now // step_ms]
        if not judge(rows[:end], {"gpu": recent}, plan, rule).stands_still:
            holds = None
        elif holds is None:
            holds = now
        elif now - holds >= rule.hold_ms:
            return now
    return None
