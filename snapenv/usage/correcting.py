"""What is to be added to a run's figures so that they come to the time that is right. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.money import spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.usage import RunGpu


class Difference(Struct, frozen=True, kw_only=True):
    """What is added to a RunGpu; the numbers are those of a ``Correction``."""

    gpu: str
    allocated_ms: int
    buckets: tuple[int, ...]


def differences(rows: Sequence[RunGpu], allocated_ms: int) -> Iterator[Difference]:
    """Yield what takes the GPUs of a run in a month to this time together.

    It is divided among them as their time was, and evenly where they had none. Time that is added
    was not seen. What is taken away is the time that was not seen, then that of the lowest
    utilisation. Energy stays: it was measured, whoever pays for the hours.
    """
    had = [row.allocated_ms for row in rows]
    parts = spread(allocated_ms, had if any(had) else [1] * len(rows))
    for row, part_ms in zip(rows, parts, strict=True):
        if part_ms != row.allocated_ms:
            yield Difference(
                gpu=row.gpu,
                allocated_ms=part_ms - row.allocated_ms,
                buckets=tuple(_taken(row.buckets, sum(row.buckets) - part_ms)),
            )


def _taken(buckets: Sequence[int], surplus_ms: int) -> Iterator[int]:
    """Yield what each bucket loses, as a negative number, the lowest first."""
    for bucket_ms in buckets:
        lost_ms = max(0, min(bucket_ms, surplus_ms))
        surplus_ms -= lost_ms
        yield -lost_ms
