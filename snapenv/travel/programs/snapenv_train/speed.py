"""Measure how fast the steps are; the first is left out, it warms up."""

from __future__ import annotations

import math
import os
import statistics
import time
from pathlib import Path

_SHM = Path("/dev/shm")  # noqa: S108 - it is looked at, not written to
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Stopwatch:
    """When each batch was there, and when the step with it had ended."""

    def __init__(self) -> None:
        self._began: list[float] = []
        self._ended: list[float] = []

    def begin(self) -> None:
        """Note that the batch of the next step is there."""
        self._began.append(time.perf_counter())

    def end(self) -> None:
        """Note that a step has ended."""
        self._ended.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The time from the end of the first step to that of the last."""
        return self._ended[-1] - self._ended[0]

    def measure(self, batch: int) -> dict[str, object]:
        """Sum up the steps with ``batch`` images each, by the names of snapenv's ``Speed``."""
        steps = sorted(end - before for before, end in zip(self._ended, self._ended[1:]))
        waits = [began - before for before, began in zip(self._ended, self._began[1:])]
        return {
            "images_per_s": round(batch * len(steps) / sum(steps), 3),
            "step_ms_median": round(statistics.median(steps) * 1000, 3),
            "step_ms_p95": round(steps[math.ceil(0.95 * len(steps)) - 1] * 1000, 3),
            "loading_share": round(sum(waits) / sum(steps), 4),
        }


def describe_place() -> dict[str, object]:
    """Describe what the process has of the machine."""
    return {"shm_bytes": _shm_bytes(), "cpu_count": _cpu_count()}


def _shm_bytes() -> int | None:
    try:
        system = os.statvfs(_SHM)
    except OSError:
        return None
    return system.f_blocks * system.f_frsize


def _cpu_count() -> int:
    """Count the processors, no more than the quota of the control group allows.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return min(allowed, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # "max" is no number
        return allowed
