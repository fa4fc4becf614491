"""Write sizes, counts and moments as people read them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def size(size_bytes: float) -> str:
    """Write a size in the largest power of ten that leaves at least one: ``1.2 GB``, ``512 B``."""
    for unit, bytes_each in _UNITS:
        if size_bytes >= bytes_each:
            return f"{size_bytes / bytes_each:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def exact_size(size_bytes: int, units: Sequence[str] = ("g", "m", "k")) -> str:
    """Write a size in the largest power of 1024 that divides it: ``8g``, ``1536m``."""
    for power, unit in zip((30, 20, 10), units, strict=True):
        if size_bytes % (1 << power) == 0:
            return f"{size_bytes >> power}{unit}"
    return str(size_bytes)


def first_of(names: Sequence[str], most: int) -> str:
    """Write the first names, and how many there are beside: ``a, b and 3 more``."""
    more = len(names) - most
    named = ", ".join(names[:most])
    return f"{named} and {more} more" if more > 0 else named


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: ``1 package``, ``0 packages``; ``many`` is one + s, or given."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def utc_text(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339, in UTC and to the second."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
