"""How the time of a run is given to its parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_S = 480.0
_END_S = 5.0  # to end what runs, and write the record


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The time of one part."""

    most_s: float  # after which it is ended
    least_s: float  # with less than that left it is not begun


def allot(limits: Limits, left_s: float) -> float | None:
    """Return how long a part may take with so much of the whole left; None: it is skipped."""
    usable_s = left_s - _END_S
    return None if usable_s < limits.least_s else min(limits.most_s, usable_s)
