"""The numbers that change with a file.

They are kept of tens of thousands of files: all of what ``os.stat`` gives takes four times the
memory, and the time to walk through it.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH116

from __future__ import annotations

import functools
import operator
import os
import stat

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Callable, Tuple

    # Size, mtime and ctime in ns, inode, device, mode.
    Status = Tuple[int, int, int, int, int, int]

SIZE, MTIME_NS, CTIME_NS, INODE, DEVICE, MODE = range(6)
RECENT_NS = 2_000_000_000  # the coarsest clock of a file system, that of FAT
of: Callable[[os.stat_result], Status] = operator.attrgetter(
    "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev", "st_mode"
)


def ask(path: str, *, follow: bool = True) -> Status | None:
    """Return the status of what a path leads to, or of the link itself; None where nothing is."""
    try:
        return of(os.stat(path, follow_symlinks=follow))
    except (OSError, ValueError):
        return None


def is_plain(status: Status) -> bool:
    """Return whether it is of a file that can be read to its end."""
    return stat.S_ISREG(status[MODE]) and status[DEVICE] not in _of_kernel()


def is_executable(status: Status) -> bool:
    """Return whether the owner of a file may run it."""
    return bool(status[MODE] & stat.S_IXUSR)


def is_recent(status: Status, now_ns: int) -> bool:
    """Return whether another change by ``now_ns`` may have left the same status."""
    return max(status[MTIME_NS], status[CTIME_NS]) + RECENT_NS >= now_ns


@functools.lru_cache(maxsize=None)
def _of_kernel() -> frozenset[int]:
    """Return the devices whose files have no end, or wait to be read, such as /proc/kmsg."""
    places = filter(os.path.isdir, ("/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing"))
    return frozenset(os.stat(place).st_dev for place in places)
