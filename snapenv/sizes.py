"""Write sizes and counts as people read them."""

from __future__ import annotations

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def size(size_bytes: float) -> str:
    """Write a size in the largest power of ten that leaves at least one: ``1.2 GB``, ``512 B``."""
    for unit, bytes_each in _UNITS:
        if size_bytes >= bytes_each:
            return f"{size_bytes / bytes_each:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: ``1 package``, ``0 packages``; ``many`` is one + s, or given."""
    return f"{number} {one if number == 1 else many or one + 's'}"
