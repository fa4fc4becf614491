"""When a run has lasted or cost as much as it may. Pure: values in, a decision out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from snapenv.model.launch import Limits, StoppedBy


class Going(Struct, frozen=True, kw_only=True):
    """How far a run is."""

    elapsed_ms: int
    epoch_ms: int | None = None  # how long an epoch takes
    since_checkpoint_ms: int | None = None  # None where there is none
    trained: bool = False  # all epochs are done: no further checkpoint comes


def reached(limits: Limits, going: Going) -> StoppedBy | None:
    """Return the limit at which a run is to be stopped now.

    That is as soon as it cannot save another checkpoint within the limit: what it trained from
    here on would be paid and lost.
    """
    for limit_ms, name in _by_length(limits):
        if going.elapsed_ms >= limit_ms or _too_late(limit_ms, going):
            return name
    return None


def _by_length(limits: Limits) -> list[tuple[int, StoppedBy]]:
    given: list[tuple[int, StoppedBy]] = []
    if limits.max_duration_ms is not None:
        given.append((limits.max_duration_ms, "max-hours"))
    if limits.cost_duration_ms is not None:
        given.append((limits.cost_duration_ms, "max-cost"))
    return sorted(given)


def _too_late(limit_ms: int, going: Going) -> bool:
    """Return whether the next checkpoint would come after the limit."""
    if going.epoch_ms is None or going.since_checkpoint_ms is None or going.trained:
        return False
    return going.elapsed_ms - going.since_checkpoint_ms + going.epoch_ms > limit_ms
