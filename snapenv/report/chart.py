"""Two small charts as values: the losses of both sides, and how far they part.

Everything is in units of the SVG's view box, as text with one decimal; y grows downwards. The
width is that of a phone, so that the letters need no shrinking there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.report.scales import (
    MOST_LABELS,
    Point,
    Tick,
    axis,
    drawable,
    linear_scale,
    place,
    point,
    round_ticks,
    unbroken_runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 60, 348, 18, 196
_INSET = 10  # from the frame to the first and to the last step
_ROW = 16  # of what has no place on a logarithmic axis: nothing, and not a number

_ALL_STEPS = 12  # that all get a label

Side = Literal["expected", "actual", "difference"]


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
    values = [value for value in (*expected, *actual) if drawable(value)]
    if not values:
        return None
    steps = max(len(expected), len(actual))
    ticks = round_ticks(min(values), max(values))
    y_of = linear_scale(ticks[0], ticks[-1], BOTTOM, TOP)
    return Plot(
        x_ticks=_step_ticks(steps),
        y_ticks=axis(ticks, y_of),
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
    y_of = linear_scale(decades[0], decades[-1], BOTTOM - _ROW, TOP + _ROW)
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
                runs=unbroken_runs(logarithms, x_of, y_of),
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
    runs = unbroken_runs(losses, _step_scale(steps), y_of)
    return (Curve(side=side, runs=runs),) if losses else ()


def _decades(values: Sequence[float]) -> tuple[int, ...]:
    """Return exponents of ten at equal distances around the values, all of them positive."""
    logarithms = [math.log10(value) for value in values if value > 0] or [0.0]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    low = min(low, high - 1)
    every = math.ceil((high - low) / (MOST_LABELS - 1))
    return tuple(range(low, high + every, every))


def _decade_ticks(
    decades: Sequence[int], y_of: Callable[[float], float], differences: Sequence[float]
) -> tuple[Tick, ...]:
    ticks = [Tick(at=place(y_of(power)), label=f"1e{power}" if power else "1") for power in decades]
    if 0 in differences:
        ticks.insert(0, Tick(at=place(BOTTOM), label="0"))
    if not all(map(math.isfinite, differences)):
        ticks.append(Tick(at=place(TOP), label="∞"))
    return tuple(ticks)


def _apart(differences: Sequence[float], x_of: Callable[[float], float]) -> Iterator[Point]:
    for step, value in enumerate(differences, start=1):
        if value == 0 or not math.isfinite(value):
            yield point(x_of(step), TOP if value else BOTTOM)


def _limit(
    limits: tuple[float, float] | None, steps: int, y_of: Callable[[float], float]
) -> tuple[Point, ...]:
    """Return a line with one stair, between the first step and the second."""
    if limits is None or min(limits) <= 0:
        return ()
    first, later = (y_of(math.log10(limit)) for limit in limits)
    if steps == 1:
        return (point(LEFT, first), point(RIGHT, first))
    stair = _step_scale(steps)(1.5)
    corners = ((LEFT, first), (stair, first), (stair, later), (RIGHT, later))
    return tuple(point(x, y) for x, y in corners)


def _step_ticks(steps: int) -> tuple[Tick, ...]:
    if steps <= _ALL_STEPS:
        shown = list(range(1, steps + 1))
    else:
        shown = [1, *(int(tick) for tick in round_ticks(1, steps) if 1 < tick <= steps)]
    x_of = _step_scale(steps)
    return tuple(Tick(at=place(x_of(step)), label=str(step)) for step in shown)


def _step_scale(steps: int) -> Callable[[float], float]:
    if steps == 1:
        return lambda _: (LEFT + RIGHT) / 2
    return linear_scale(1, steps, LEFT + _INSET, RIGHT - _INSET)


def _marker(first: int | None, steps: int) -> Tick | None:
    if first is None:
        return None
    return Tick(at=place(_step_scale(steps)(first)), label=f"step {first}")


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
