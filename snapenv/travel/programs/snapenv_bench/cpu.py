"""What a process and its loaders take of the processors, and what their control group allows.

Sources: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/scheduler/sched-bwc.html for version 1
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOT = Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Moment(NamedTuple):
    """Counters at one moment: milliseconds, and periods of the control group, None without one."""

    wall_ms: float
    process_ms: float
    loaders_ms: float
    periods: int | None
    throttled: int | None


def read_moment() -> Moment:
    """Read the counters now."""
    used = os.times()
    periods, throttled = count_periods(_groups())
    return Moment(
        wall_ms=time.perf_counter() * 1000,
        process_ms=(used.user + used.system) * 1000,
        loaders_ms=sum(map(_cpu_ms, children())),
        periods=periods,
        throttled=throttled,
    )


def describe(begin: Moment, end: Moment) -> dict[str, object]:
    """Return what was used between two moments, by the names of snapenv's ``CpuUse``."""
    return {
        "wall_ms": round(end.wall_ms - begin.wall_ms, 1),
        "process_ms": round(end.process_ms - begin.process_ms, 1),
        "loaders_ms": round(max(end.loaders_ms - begin.loaders_ms, 0), 1),
        "available": len(os.sched_getaffinity(0)),
        "quota": quota(_groups()),
        "periods": _difference(begin.periods, end.periods),
        "throttled_periods": _difference(begin.throttled, end.throttled),
        "load_average": round(os.getloadavg()[0], 2),
    }


def quota(groups: Iterable[Path]) -> float | None:
    """Return how many CPUs the control group and those around it allow; None without a limit."""
    return min(filter(None, map(_limit, groups)), default=None)


def count_periods(groups: Iterable[Path]) -> tuple[int | None, int | None]:
    """Return the periods of the group that limits the most, and in how many it held us up."""
    for folder in sorted(groups, key=lambda group: _limit(group) or math.inf):
        try:
            lines = (folder / "cpu.stat").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = dict(line.split() for line in lines)
        if "nr_periods" in counts:
            return int(counts["nr_periods"]), int(counts["nr_throttled"])
    return None, None


def memory_bytes() -> int:
    """Return what this process and its loaders hold in memory now."""
    return sum(_own_pages(pid) for pid in ("self", *map(str, children()))) * _PAGE


def children() -> list[int]:
    """Return the processes that this one has started, and theirs."""
    processes: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        for task in Path("/proc", str(pid), "task").glob("*/children"):
            try:
                started = [int(word) for word in task.read_text(encoding="ascii").split()]
            except (OSError, ValueError):
                continue
            processes += started
            waiting += started
    return processes


def _cpu_ms(pid: int) -> float:
    try:
        text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / _TICKS
    except (OSError, ValueError, IndexError):
        return 0.0


def _own_pages(pid: str) -> int:
    """Return how many pages a process has in memory, without those that it shares."""
    try:
        pages = Path("/proc", pid, "statm").read_text(encoding="ascii").split()
        return int(pages[1]) - int(pages[2])
    except (OSError, ValueError, IndexError):
        return 0


def _groups() -> list[Path]:
    try:
        text = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return []
    return group_folders(text, _ROOT)


def group_folders(text: str, root: Path) -> list[Path]:
    """Return where the files of a group may be, then of each one around it, up to the mount.

    ``text`` is that of ``/proc/self/cgroup``. In a container the mount is the group's own folder.
    """
    folders = []
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        if names and "cpu" not in names.split(","):
            continue
        for mount in (root / names, root / "cpu") if names else (root,):
            group = PurePosixPath(path.lstrip("/"))
            folders += [mount / each for each in (group, *group.parents)]
    return folders


def _limit(group: Path) -> float | None:
    try:
        words = (group / "cpu.max").read_text(encoding="ascii").split()
        if words[0] != "max":
            return int(words[0]) / int(words[1])
    except (OSError, ValueError, IndexError):
        pass
    limit, period = (_number(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return limit / period if limit is not None and limit > 0 and period else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _difference(begin: int | None, end: int | None) -> int | None:
    return None if begin is None or end is None else end - begin
