"""Two small charts as values: the losses of both sides, and how far they part.

Everything is in units of the SVG's view box, as text with one decimal; y grows downwards. The
width is that of a phone, so that the letters need no shrinking there.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 60, 348, 18, 196
_INSET = 10  # from the frame to the first and to the last step
_ROW = 16  # of what has no place on a logarithmic axis: nothing, and not a number

_LARGEST = 1e300  # beyond it a range overflows
_SMALLEST = 1e-290  # below it, nothing is left to divide
_FLAT = 1e-4  # of its values: a range that no labels could tell apart
_MOST_LABELS = 6
_ALL_STEPS = 12  # that all get a label
_ROUND = (1.0, 2.0, 5.0, 10.0)

Side = Literal["expected", "actual", "difference"]


class Tick(Struct, frozen=True, kw_only=True):
    """A round number of an axis, and where it stands."""

    at: str
    label: str


class Point(Struct, frozen=True, kw_only=True):
    """The centre of a mark."""

    x: str
    y: str


class Curve(Struct, frozen=True, kw_only=True):
    """One side's values, with a gap where one has no place."""

    side: Side
    runs: tuple[tuple[Point, ...], ...]  # of values without a gap between them
    lone: tuple[Point, ...] = ()  # what stands apart, on a row of its own


class Plot(Struct, frozen=True, kw_only=True):
    """All that is drawn of one chart; ``marker`` is where the first differing step stands."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    marker: Tick | None = None
    limit: tuple[Point, ...] = ()  # a line that no value may cross
    description: str


def loss_chart(
    expected: Sequence[float], actual: Sequence[float], *, first: int | None = None
) -> Plot | None:
    """Draw the losses of both sides over one another; None where there is nothing to draw.

    ``first`` is the first differing step; steps count from 1.
    """
    values = [value for value in (*expected, *actual) if _drawable(value)]
    if not values:
        return None
    steps = max(len(expected), len(actual))
    ticks = round_ticks(min(values), max(values))
    y_of = _scale(ticks[0], ticks[-1], BOTTOM, TOP)
    return Plot(
        x_ticks=_step_ticks(steps),
        y_ticks=tuple(
            Tick(at=_text(y_of(tick)), label=label)
            for tick, label in zip(ticks, _labels(ticks), strict=True)
        ),
        curves=(
            *_curve("expected", expected, steps, y_of),
            *_curve("actual", actual, steps, y_of),
        ),
        marker=_marker(first, steps),
        description=_describe(expected, actual, first),
    )


def difference_chart(
    differences: Sequence[float],
    *,
    first: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Plot | None:
    """Draw the relative difference of each step on a logarithmic axis; None where none differs.

    A step without a difference stands on a row "0" at the bottom, one without a finite
    difference on a row "∞" at the top.
    """
    positive = [value for value in differences if 0 < value < math.inf]
    if not any(differences):
        return None
    decades = _decades([*positive, *(limits or ())])
    y_of = _scale(decades[0], decades[-1], BOTTOM - _ROW, TOP + _ROW)
    x_of = _step_scale(len(differences))
    logarithms = [
        math.log10(number) if 0 < number < math.inf else math.nan for number in differences
    ]
    return Plot(
        x_ticks=_step_ticks(len(differences)),
        y_ticks=_decade_ticks(decades, y_of, differences),
        curves=(
            Curve(
                side="difference",
                runs=_runs(logarithms, x_of, y_of),
                lone=tuple(_apart(differences, x_of)),
            ),
        ),
        marker=_marker(first, len(differences)),
        limit=_limit(limits, len(differences), y_of),
        description=_describe_differences(differences),
    )


def _curve(
    side: Side, losses: Sequence[float], steps: int, y_of: Callable[[float], float]
) -> tuple[Curve, ...]:
    """Return the one curve of a side, or none where it has no losses."""
    runs = _runs(losses, _step_scale(steps), y_of)
    return (Curve(side=side, runs=runs),) if losses else ()


def round_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 3 to 6 round numbers at equal distances, from at most ``low`` to at least ``high``.

    Where both are nearly the same, the numbers reach beyond them on both sides.
    """
    size = max(abs(low), abs(high))
    if high - low <= size * _FLAT:
        around = size * 0.05 if size > _SMALLEST else 1.0
        low, high = low - around, high + around
    rough = (high - low) / (_MOST_LABELS - 2)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * size for size in _ROUND if power * size >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def _labels(ticks: Sequence[float]) -> list[str]:
    step, size = ticks[1] - ticks[0], max(map(abs, ticks))
    if size >= 1e5 or size < 1e-2:  # noqa: PLR2004 what fits beside the axis
        digits = math.ceil(math.log10(size / step) + 1e-9)
        return [f"{tick:.{digits}e}" if digits > 1 else f"{tick:.2g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _decades(values: Sequence[float]) -> tuple[int, ...]:
    """Return exponents of ten at equal distances around the values, all of them positive."""
    logarithms = [math.log10(value) for value in values if value > 0] or [0.0]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    low = min(low, high - 1)
    every = math.ceil((high - low) / (_MOST_LABELS - 1))
    return tuple(range(low, high + every, every))


def _decade_ticks(
    decades: Sequence[int], y_of: Callable[[float], float], differences: Sequence[float]
) -> tuple[Tick, ...]:
    ticks = [Tick(at=_text(y_of(power)), label=f"1e{power}" if power else "1") for power in decades]
    if 0 in differences:
        ticks.insert(0, Tick(at=_text(BOTTOM), label="0"))
    if not all(map(math.isfinite, differences)):
        ticks.append(Tick(at=_text(TOP), label="∞"))
    return tuple(ticks)


def _apart(differences: Sequence[float], x_of: Callable[[float], float]) -> Iterator[Point]:
    for step, value in enumerate(differences, start=1):
        if value == 0 or not math.isfinite(value):
            yield _point(x_of(step), TOP if value else BOTTOM)


def _limit(
    limits: tuple[float, float] | None, steps: int, y_of: Callable[[float], float]
) -> tuple[Point, ...]:
    """Return a line with one stair, between the first step and the second."""
    if limits is None or min(limits) <= 0:
        return ()
    first, later = (y_of(math.log10(limit)) for limit in limits)
    if steps == 1:
        return (_point(LEFT, first), _point(RIGHT, first))
    stair = _step_scale(steps)(1.5)
    corners = ((LEFT, first), (stair, first), (stair, later), (RIGHT, later))
    return tuple(_point(x, y) for x, y in corners)


def _step_ticks(steps: int) -> tuple[Tick, ...]:
    if steps <= _ALL_STEPS:
        shown = list(range(1, steps + 1))
    else:
        shown = [1, *(int(tick) for tick in round_ticks(1, steps) if 1 < tick <= steps)]
    x_of = _step_scale(steps)
    return tuple(Tick(at=_text(x_of(step)), label=str(step)) for step in shown)


def _step_scale(steps: int) -> Callable[[float], float]:
    if steps == 1:
        return lambda _: (LEFT + RIGHT) / 2
    return _scale(1, steps, LEFT + _INSET, RIGHT - _INSET)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _runs(
    values: Sequence[float], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> tuple[tuple[Point, ...], ...]:
    steps = enumerate(values, start=1)
    return tuple(
        tuple(_point(x_of(step), y_of(value)) for step, value in run)
        for drawable, run in groupby(steps, key=lambda step: _drawable(step[1]))
        if drawable
    )


def _marker(first: int | None, steps: int) -> Tick | None:
    if first is None:
        return None
    return Tick(at=_text(_step_scale(steps)(first)), label=f"step {first}")


def _drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < _LARGEST


def _point(x: float, y: float) -> Point:
    return Point(x=_text(x), y=_text(y))


def _text(number: float) -> str:
    return f"{number:.1f}"


def _describe(expected: Sequence[float], actual: Sequence[float], first: int | None) -> str:
    sides = (("at capture", expected), ("now", actual))
    sentences = [
        f"{name}: {len(losses)} steps, from {losses[0]:.6g} to {losses[-1]:.6g}"
        for name, losses in sides
        if losses
    ]
    if expected and actual:
        sentences.append(f"they part at step {first}" if first else "the same at every step")
    return "; ".join(sentences) + "."


def _describe_differences(differences: Sequence[float]) -> str:
    largest = max(differences)
    step = differences.index(largest) + 1
    return f"{len(differences)} steps; the largest is {largest:.1e}, at step {step}."
