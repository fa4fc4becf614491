"""Charts of the page of usage as values: bars, a histogram, columns and a line over months.

A bar is in hundredths of the widest one. All else is in units of the SVG's view box, which is as
wide as a phone, so that the letters need no shrinking there; y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.report.scales import (
    Point,
    Tick,
    axis,
    linear_scale,
    place,
    round_ticks,
    unbroken_runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 360, 206
LEFT, RIGHT, TOP, BOTTOM = 54, 336, 10, 168

_GAP = 0.2  # of a column's width, between two of them
_MOST_MONTHS = 5  # that get a label: "2026-11" is wide

Kind = Literal["effective", "idle", "unseen", "unallocated", "allocated", "failed"]


class Block(Struct, frozen=True, kw_only=True):
    """A rectangle; ``label`` is what a pointer is told of it."""

    kind: Kind
    x: str
    y: str = "0"
    width: str
    height: str = "0"
    label: str = ""


class Graph(Struct, frozen=True, kw_only=True):
    """All that is drawn between two axes."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    blocks: tuple[Block, ...] = ()
    line: tuple[tuple[Point, ...], ...] = ()  # parted where a month has no value
    threshold: Tick | None = None  # where on the x axis
    description: str


class Month(Struct, frozen=True, kw_only=True):
    """What a chart shows of one month."""

    name: str  # "2026-11"
    parts: Mapping[Kind, float]  # from the bottom upwards
    labels: Mapping[Kind, str]  # the same for a person


def bars(rows: Sequence[Mapping[Kind, float]]) -> tuple[tuple[Block, ...], ...]:
    """Return a bar for each row, from left to right in the order of its parts.

    A part below zero, which a correction can leave, takes no room.
    """
    widest = max((_total(row) for row in rows), default=0.0) or 1.0
    return tuple(_bar(row, 100 / widest) for row in rows)


def histogram(buckets: Sequence[float], *, threshold: int) -> Graph | None:
    """Draw the shares of time by utilisation; None where there is none.

    ``threshold`` is the first of the buckets that count as effective.
    """
    total = sum(buckets)
    if not total:
        return None
    shares = [100 * bucket / total for bucket in buckets]
    ticks = round_ticks(0, max(shares))
    y_of = linear_scale(0, ticks[-1], BOTTOM, TOP)
    count = len(shares)
    x_of = linear_scale(0, count, LEFT, RIGHT)
    blocks = tuple(
        _column(
            "effective" if index >= threshold else "idle",
            (x_of(index), x_of(index + 1)),
            (y_of(0), y_of(share)),
            f"{100 * index // count} to {100 * (index + 1) // count} %: {share:.1f} % of the time",
        )
        for index, share in enumerate(shares)
    )
    return Graph(
        x_ticks=tuple(
            Tick(at=place(x_of(index)), label=str(100 * index // count))
            for index in range(0, count + 1, 2)
        ),
        y_ticks=axis(ticks, y_of),
        blocks=blocks,
        threshold=Tick(at=place(x_of(threshold)), label=f"{100 * threshold // count} %"),
        description=f"{sum(shares[threshold:]):.1f} % of the time at"
        f" {100 * threshold // count} % utilisation or more.",
    )


def month_columns(months: Sequence[Month]) -> Graph | None:
    """Draw a stacked column for each month; None where there is nothing in any."""
    highest = max((_total(month.parts) for month in months), default=0.0)
    if not highest:
        return None
    ticks = round_ticks(0, highest)
    y_of = linear_scale(0, ticks[-1], BOTTOM, TOP)
    x_of = linear_scale(0, len(months), LEFT, RIGHT)
    return Graph(
        x_ticks=_month_ticks([month.name for month in months], x_of),
        y_ticks=axis(ticks, y_of),
        blocks=tuple(
            block
            for index, month in enumerate(months)
            for block in _stack(month, (x_of(index), x_of(index + 1)), y_of)
        ),
        description=_description(months),
    )


def month_line(names: Sequence[str], shares: Sequence[float | None]) -> Graph | None:
    """Draw a share, 0 to 1, of each month as percent; None where no month has one."""
    if all(share is None for share in shares):
        return None
    y_of = linear_scale(0, 100, BOTTOM, TOP)
    x_of = linear_scale(0, len(names), LEFT, RIGHT)
    percents = [math.nan if share is None else 100 * share for share in shares]
    return Graph(
        x_ticks=_month_ticks(names, x_of),
        y_ticks=axis((0, 25, 50, 75, 100), y_of),
        line=unbroken_runs(percents, lambda step: x_of(step - 0.5), y_of),
        description="; ".join(
            f"{name}: {'unknown' if share is None else f'{100 * share:.0f} %'}"
            for name, share in zip(names, shares, strict=True)
        )
        + ".",
    )


def _total(parts: Mapping[Kind, float]) -> float:
    return sum(max(0.0, part) for part in parts.values())


def _bar(parts: Mapping[Kind, float], scale: float) -> tuple[Block, ...]:
    blocks = []
    start = 0.0
    for kind, part in parts.items():
        if part > 0:
            blocks.append(Block(kind=kind, x=f"{start:.2f}", width=f"{part * scale:.2f}"))
            start += part * scale
    return tuple(blocks)


def _stack(
    month: Month, sides: tuple[float, float], y_of: Callable[[float], float]
) -> tuple[Block, ...]:
    blocks = []
    below = 0.0
    for kind, part in month.parts.items():
        if part > 0:
            label = f"{month.name}, {kind}: {month.labels[kind]}"
            blocks.append(_column(kind, sides, (y_of(below), y_of(below + part)), label))
            below += part
    return tuple(blocks)


def _column(kind: Kind, sides: tuple[float, float], ends: tuple[float, float], label: str) -> Block:
    (left, right), (low, high) = sides, ends
    gap = (right - left) * _GAP / 2
    return Block(
        kind=kind,
        x=place(left + gap),
        y=place(high),
        width=place(right - left - 2 * gap),
        height=place(low - high),
        label=label,
    )


def _month_ticks(names: Sequence[str], x_of: Callable[[float], float]) -> tuple[Tick, ...]:
    """Label the months at equal distances, the last one among them."""
    every = math.ceil(len(names) / _MOST_MONTHS)
    return tuple(
        Tick(at=place(x_of(index + 0.5)), label=name)
        for index, name in enumerate(names)
        if (len(names) - 1 - index) % every == 0
    )


def _description(months: Sequence[Month]) -> str:
    return (
        "; ".join(
            f"{month.name}: " + ", ".join(f"{kind} {label}" for kind, label in month.labels.items())
            for month in months
        )
        + "."
    )
