"""Find what holds a training back, from its measurement alone: first the machine's, then its own.

Each finding has its figure, the threshold, where that comes from, and one thing to try next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.tuning import application, framework, system
from snapenv.tuning.case import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.bench import Bench
    from snapenv.model.findings import Finding
    from snapenv.model.hardware import Hardware

RULES = (
    system.find_quota,
    system.find_cpu_bound,
    system.find_slow_clock,
    system.find_other_work,
    system.find_noise,
    system.find_narrow_bus,
    system.find_slice,
    system.find_small_shm,
    system.find_many_workers,
    application.find_data_wait,
    application.find_idle_gpu,
    application.find_free_memory,
    framework.find_no_amp,
    framework.find_channels,
    framework.find_no_compile,
    framework.find_decoding,
)
"""Each gives what it found, or nothing; the layers in their order, the gravest of each first."""


def find_findings(bench: Bench, hardware: Hardware | None = None) -> tuple[Finding, ...]:
    """Return what was found, in the order of ``RULES``; no id stands twice.

    ``hardware`` is the machine's, as the training saw it. What is unknown is not found.
    """
    case = Case(bench=bench, hardware=hardware)
    return tuple(finding for rule in RULES for finding in rule(case))


def first_to_try(findings: Sequence[Finding]) -> Finding | None:
    """Return the finding to act on: the first error, else the first warning; None without any."""
    errors = [finding for finding in findings if finding.severity == "error"]
    return next(iter([*errors, *findings]), None)
