"""The parts of a month in which no price changes, and the lines of a bill that they make. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.money import spread
from snapenv.usage.prices import day_of, day_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.usage.charges import Charge
    from snapenv.usage.prices import PriceList


class Piece(Struct, frozen=True):
    """A part of a month in which no price changes."""

    day: dt.date
    begin_ms: int
    end_ms: int


class Line(Struct, frozen=True, kw_only=True):
    """What was used at one price."""

    kind: Literal["gpu", "power"]
    model: str  # of the GPU
    since_ms: int
    until_ms: int
    quantity: int  # milliseconds of GPUs, or millijoules that the site drew
    unit_price: int  # of an hour, or of a kilowatt-hour
    list_cost: int


def pieces_of(prices: PriceList | None, begin_ms: int, end_ms: int) -> tuple[Piece, ...]:
    """Cut a month where a price changes; without prices it is one piece."""
    if prices is None:
        return (Piece(day_of(begin_ms), begin_ms, end_ms),)
    pieces = []
    for day, span_ms in day_pieces(prices, begin_ms, end_ms):
        pieces.append(Piece(day, begin_ms, begin_ms + span_ms))
        begin_ms += span_ms
    return tuple(pieces)


def in_pieces(charge: Charge, pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Divide the charged time over the pieces, by how long the run went on in each."""
    if len(pieces) == 1:
        return (charge.charged_ms,)
    times = [
        max(0, min(charge.until_ms, piece.end_ms) - max(charge.since_ms, piece.begin_ms))
        for piece in pieces
    ]
    if not any(times):  # it had no time of the clock: all of it is where it began
        times = [int(piece.begin_ms <= charge.since_ms < piece.end_ms) for piece in pieces]
    return spread(charge.charged_ms, times if any(times) else [*times[:-1], 1])
