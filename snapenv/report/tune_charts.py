"""Charts of the page of a search as values: its trials, each setting, and the pairs at its end.

All is in units of the SVG's view box, which is as wide as a phone, so that the letters need no
shrinking there; y grows downwards. What is better depends on what was searched for: the axis says.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.report.scales import (
    MOST_LABELS,
    Point,
    Tick,
    axis,
    linear_scale,
    place,
    point,
    round_ticks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 60, 348, 18, 196

_INSET = 12  # from the frame to the first and to the last trial
_ROW = 20  # of what is invalid, and has no place on the axis
_SPREAD = 14  # between trials of the same value
_ALL_TRIALS = 12  # that all get a number
_PAIR_ROW = 26
_BAR = 12  # half of a median's length

Kind = Literal["whole", "ended", "invalid", "default", "chosen"]


class Shown(Struct, frozen=True, kw_only=True):
    """One trial as a chart shows it; ``value`` is in the unit of the axis, None where invalid."""

    kind: Kind
    number: float  # of the trial; runs of the default stand between two
    value: float | None
    label: str


class Mark(Struct, frozen=True, kw_only=True):
    """A mark of a kind; ``label`` is what a pointer is told of it."""

    kind: Kind
    x: str
    y: str
    label: str


class Span(Struct, frozen=True, kw_only=True):
    """A horizontal line or band, from ``x`` on."""

    x: str
    y: str
    width: str


class Scatter(Struct, frozen=True, kw_only=True):
    """All that is drawn between two axes."""

    height: int = HEIGHT
    bottom: int = BOTTOM
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    line: tuple[Point, ...] = ()  # from one run of the default to the next
    medians: tuple[Span, ...] = ()
    band: Span | None = None  # within which nothing can be told apart
    even: str | None = None  # where on the x axis both are alike
    description: str


def trial_chart(shown: Sequence[Shown], *, description: str) -> Scatter:
    """Draw the trials in their order, with the runs of the default among them."""
    y_of, y_ticks = _values(shown)
    last = max((each.number for each in shown), default=1)
    x_of = linear_scale(1, max(last, 2), LEFT + _INSET, RIGHT - _INSET)
    defaults = [each for each in shown if each.kind == "default" and each.value is not None]
    return Scatter(
        x_ticks=_number_ticks(int(last), x_of),
        y_ticks=y_ticks,
        marks=tuple(_mark(each, x_of(each.number), y_of) for each in shown),
        line=tuple(point(x_of(each.number), y_of(each.value or 0)) for each in defaults),
        description=description,
    )


def setting_chart(values: Sequence[tuple[str, Sequence[Shown]]], *, description: str) -> Scatter:
    """Draw the trials by the value that a setting had, with the median of those that ran whole."""
    y_of, y_ticks = _values([each for _, shown in values for each in shown])
    width = (RIGHT - LEFT) / len(values)
    centres = [LEFT + width * (index + 0.5) for index in range(len(values))]
    columns = list(zip(centres, [shown for _, shown in values], strict=True))
    return Scatter(
        x_ticks=tuple(
            Tick(at=place(centre), label=name)
            for centre, (name, _) in zip(centres, values, strict=True)
        ),
        y_ticks=y_ticks,
        marks=tuple(
            _mark(each, x, y_of)
            for centre, shown in columns
            for each, x in zip(shown, _beside(centre, len(shown), width), strict=True)
        ),
        medians=tuple(_medians(columns, y_of, width)),
        description=description,
    )


def pair_chart(
    ratios: Sequence[float], labels: Sequence[str], *, resolution: float, description: str
) -> Scatter:
    """Draw what each pair gains, and their median, beside what cannot be told apart."""
    low, high = min((*ratios, 1 - resolution)), max((*ratios, 1 + resolution))
    ticks = round_ticks(low, high)
    x_of = linear_scale(ticks[0], ticks[-1], LEFT + _INSET, RIGHT - _INSET)
    rows = [TOP + _PAIR_ROW * (index + 0.5) for index in range(len(ratios) + 1)]
    bottom = TOP + _PAIR_ROW * len(rows)
    centre = median(ratios)
    names = [*(str(number) for number in range(1, len(ratios) + 1)), "median"]
    return Scatter(
        height=bottom + HEIGHT - BOTTOM,
        bottom=bottom,
        x_ticks=axis(ticks, x_of),
        y_ticks=tuple(Tick(at=place(y), label=name) for y, name in zip(rows, names, strict=True)),
        marks=(
            *(
                Mark(kind="whole", x=place(x_of(ratio)), y=place(y), label=label)
                for ratio, y, label in zip(ratios, rows, labels, strict=False)
            ),
            Mark(
                kind="chosen",
                x=place(x_of(centre)),
                y=place(rows[-1]),
                label=f"median {centre:.2f}",
            ),
        ),
        medians=(_span(x_of(min(ratios)), x_of(max(ratios)), rows[-1]),),
        band=_span(x_of(1 - resolution), x_of(1 + resolution), TOP),
        even=place(x_of(1)),
        description=description,
    )


def _values(shown: Iterable[Shown]) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    """Return the vertical axis: where each value stands, and its numbers."""
    every = list(shown)
    values = [each.value for each in every if each.value is not None] or [0.0, 1.0]
    invalid = any(each.value is None for each in every)
    ticks = round_ticks(min(values), max(values))
    y_of = linear_scale(ticks[0], ticks[-1], BOTTOM - (_ROW if invalid else 0), TOP)
    row = (Tick(at=place(BOTTOM), label="invalid"),) if invalid else ()
    return y_of, (*row, *axis(ticks, y_of))


def _mark(shown: Shown, x: float, y_of: Callable[[float], float]) -> Mark:
    y = BOTTOM if shown.value is None else y_of(shown.value)
    return Mark(kind=shown.kind, x=place(x), y=place(y), label=shown.label)


def _number_ticks(last: int, x_of: Callable[[float], float]) -> tuple[Tick, ...]:
    every = 1 if last <= _ALL_TRIALS else -(-last // MOST_LABELS)
    numbers = [number for number in range(1, last + 1) if number == 1 or number % every == 0]
    return tuple(Tick(at=place(x_of(number)), label=str(number)) for number in numbers)


def _beside(centre: float, count: int, width: float) -> list[float]:
    """Return where so many marks of one value stand side by side, within its column."""
    step = min(_SPREAD, 0.8 * width / max(count, 1))
    return [centre + step * (index - (count - 1) / 2) for index in range(count)]


def _medians(
    columns: Sequence[tuple[float, Sequence[Shown]]], y_of: Callable[[float], float], width: float
) -> Iterable[Span]:
    half = min(_BAR + 8, 0.4 * width)
    for centre, shown in columns:
        whole = [each.value for each in shown if each.value is not None and each.kind != "ended"]
        if whole:
            yield _span(centre - half, centre + half, y_of(median(whole)))


def _span(start: float, end: float, y: float) -> Span:
    return Span(x=place(start), y=place(y), width=place(end - start))
