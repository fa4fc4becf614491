"""Look at processes of this machine."""

from __future__ import annotations

import time
from pathlib import Path

_SECONDS = 5.0  # for what was killed to be gone, on a machine that has much to do


def all_end(*pids: int) -> bool:
    """Tell whether these processes are gone, or will be in a moment."""
    until = time.monotonic() + _SECONDS
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that ended and was not yet waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
