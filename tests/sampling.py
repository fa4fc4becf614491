"""How much of what could be tried is tried: a sample, and all of it with ``pytest --full``."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

BRIEF, FULL = "brief", "full"
Item = TypeVar("Item")


def load_profile(*, full: bool) -> None:
    """Choose how many examples hypothesis makes where a test does not say.

    Under CI they are always the same.
    """
    common = settings(
        deadline=None,
        derandomize=bool(os.environ.get("CI")),
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(BRIEF, common, max_examples=30)
    settings.register_profile(FULL, common, max_examples=500)
    settings.load_profile(FULL if full else BRIEF)


def is_full() -> bool:
    """Return whether everything is tried."""
    return settings.get_current_profile_name() == FULL


def sample(items: Sequence[Item], count: int, *, seed: str) -> list[Item]:
    """Return the first, the last and some others in their order, the same for each seed."""
    if is_full() or len(items) <= count:
        return list(items)
    middle = random.Random(seed).sample(range(1, len(items) - 1), count - 2)
    return [items[index] for index in sorted({0, len(items) - 1, *middle})]
