"""Axes of the charts: round numbers around values, and where a value stands.

Places are in units of an SVG's view box, as text with one decimal; y grows downwards.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_LABELS = 6

_LARGEST = 1e300  # beyond it a range overflows
_SMALLEST = 1e-290  # below it, nothing is left to divide
_FLAT = 1e-4  # of its values: a range that no labels could tell apart
_ROUND = (1.0, 2.0, 5.0, 10.0)


class Tick(Struct, frozen=True, kw_only=True):
    """A round number of an axis, and where it stands."""

    at: str
    label: str


class Point(Struct, frozen=True, kw_only=True):
    """The centre of a mark."""

    x: str
    y: str


def round_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 3 to 6 round numbers at equal distances, from at most ``low`` to at least ``high``.

    Where both are nearly the same, the numbers reach beyond them on both sides.
    """
    size = max(abs(low), abs(high))
    if high - low <= size * _FLAT:
        around = size * 0.05 if size > _SMALLEST else 1.0
        low, high = low - around, high + around
    rough = (high - low) / (MOST_LABELS - 2)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * size for size in _ROUND if power * size >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Write the numbers of an axis, as short as still tells them apart."""
    step, size = ticks[1] - ticks[0], max(map(abs, ticks))
    if size >= 1e5 or size < 1e-2:  # noqa: PLR2004 what fits beside the axis
        digits = math.ceil(math.log10(size / step) + 1e-9)
        return [f"{tick:.{digits}e}" if digits > 1 else f"{tick:.2g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def axis(ticks: Sequence[float], at: Callable[[float], float]) -> tuple[Tick, ...]:
    """Return the numbers of an axis as they are drawn."""
    labels = tick_labels(ticks)
    return tuple(
        Tick(at=place(at(tick)), label=label) for tick, label in zip(ticks, labels, strict=True)
    )


def linear_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return where each value stands, if ``low`` is at ``start`` and ``high`` at ``end``."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def unbroken_runs(
    values: Sequence[float], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> tuple[tuple[Point, ...], ...]:
    """Return the points of a curve, parted where a value cannot be drawn; x counts from 1."""
    steps = enumerate(values, start=1)
    return tuple(
        tuple(point(x_of(step), y_of(value)) for step, value in run)
        for can_be, run in groupby(steps, key=lambda step: drawable(step[1]))
        if can_be
    )


def drawable(value: float) -> bool:
    """Say whether a value has a place on an axis."""
    return math.isfinite(value) and abs(value) < _LARGEST


def point(x: float, y: float) -> Point:
    """Return the point of a place."""
    return Point(x=place(x), y=place(y))


def place(number: float) -> str:
    """Write a place or a length."""
    return f"{number:.1f}"
