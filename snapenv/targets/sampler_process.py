"""Starts the sampler as a process of its own, or wakes it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from snapenv.ownership.lock_file import HeldError, LockFile
from snapenv.targets.aside import start_aside
from snapenv.targets.sensors import wake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def start_sampler(lock: Path, pipe: Path, environment: Mapping[str, str]) -> None:
    """Wake the process that holds the lock, or start one that will.

    It never fails: without a sampler a run's GPUs are allocated, and not covered.
    """
    with contextlib.suppress(OSError):
        try:
            LockFile.take(lock).release()
        except HeldError:
            wake(pipe)
        else:
            start_aside(("usage", "sample"), environment, keep=True)
