from __future__ import annotations

import pytest

from snapenv.model.launch import Limits, StoppedBy
from snapenv.usage.limits import Going, reached

LIMITS = Limits(max_duration_ms=1000, max_cost=1, cost_duration_ms=2000)


@pytest.mark.parametrize(
    ("limits", "going", "by"),
    [
        (Limits(), Going(elapsed_ms=10**12), None),
        (LIMITS, Going(elapsed_ms=999), None),
        (LIMITS, Going(elapsed_ms=1000), "max-hours"),
        (Limits(max_cost=1, cost_duration_ms=500), Going(elapsed_ms=500), "max-cost"),
        (Limits(max_cost=0, cost_duration_ms=0), Going(elapsed_ms=0), "max-cost"),
        # The shorter of two counts.
        (Limits(max_duration_ms=900, cost_duration_ms=800), Going(elapsed_ms=850), "max-cost"),
        # A checkpoint was saved at 700, the next one comes at 1001: it would be too late.
        (LIMITS, Going(elapsed_ms=800, epoch_ms=301, since_checkpoint_ms=100), "max-hours"),
        (LIMITS, Going(elapsed_ms=800, epoch_ms=300, since_checkpoint_ms=100), None),
        (LIMITS, Going(elapsed_ms=800, epoch_ms=301, since_checkpoint_ms=100, trained=True), None),
        (LIMITS, Going(elapsed_ms=1000, epoch_ms=1, since_checkpoint_ms=0, trained=True),
         "max-hours"),
        # How long an epoch takes is not known: the limit itself counts.
        (LIMITS, Going(elapsed_ms=999, since_checkpoint_ms=5), None),
    ],
)  # fmt: skip
def test_a_run_is_stopped_while_another_checkpoint_would_come_too_late(
    limits: Limits, going: Going, by: StoppedBy | None
) -> None:
    assert reached(limits, going) == by
