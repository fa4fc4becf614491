"""What a run is expected to take, judged by earlier ones."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.usage import UsageRun

LEAST_RUNS = 3
"""How many comparable runs an estimate needs."""

LEAST_MISSES = 10
"""How many earlier estimates tell how far one may be off."""


class Estimate(Struct, frozen=True, kw_only=True):
    """What is expected of a training; None where too little is known."""

    comparable: int  # earlier runs that it is judged by
    misses: int = 0  # estimates of earlier runs whose end is known, of the same sort
    duration_ms: int | None = None
    low_ms: int | None = None  # four of five estimates were this near
    high_ms: int | None = None


class Best(Struct, frozen=True, kw_only=True):
    """The earlier run that reached the same for the least."""

    run: UsageRun
    cost: int  # as the caller counts it
    differences: tuple[tuple[str, str | int | bool], ...]  # its options that are others
