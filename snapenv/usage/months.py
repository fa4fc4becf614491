"""Months of UTC, as the ledger tells them apart: ``2026-11``; and its moments as text."""

from __future__ import annotations

import datetime as dt
import functools
import re


def month_of(at_ms: int) -> str:
    """Return the month of a moment."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.timezone.utc).strftime("%Y-%m")


def is_month(text: str) -> bool:
    """Return whether a text is a month, from the year 2000 on."""
    return re.fullmatch(r"2[0-9]{3}-(0[1-9]|1[0-2])", text) is not None


@functools.cache
def month_span(month: str) -> tuple[int, int]:
    """Return the first moment of a month, and that of the next one."""
    return _start_ms(month), _start_ms(shift_month(month, 1))


def shift_month(month: str, by: int) -> str:
    """Return the month that is so many later, or earlier."""
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + by, 12)
    return f"{year:04}-{number + 1:02}"


def by_month(until_ms: int, duration_ms: int) -> tuple[tuple[str, int], ...]:
    """Split a time that ends at ``until_ms`` at the ends of months, the earliest month first."""
    parts = list[tuple[str, int]]()
    while True:
        month = month_of(until_ms - 1 if duration_ms else until_ms)
        part_ms = min(duration_ms, until_ms - month_span(month)[0])
        parts.append((month, part_ms))
        until_ms, duration_ms = until_ms - part_ms, duration_ms - part_ms
        if duration_ms <= 0:
            return tuple(reversed(parts))


def _start_ms(month: str) -> int:
    first = dt.datetime(int(month[:4]), int(month[5:]), 1, tzinfo=dt.timezone.utc)
    return int(first.timestamp()) * 1000
