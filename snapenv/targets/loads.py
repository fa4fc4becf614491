"""What a run takes of the processors and of the memory, from outside.

Of a container its control group tells, whichever driver and version the engine uses; of other
runs their processes.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html ,
https://docs.kernel.org/admin-guide/cgroup-v1/index.html ,
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.sampling import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Groups(Struct, frozen=True, kw_only=True):
    """Where the control groups of a process lie."""

    v2: Path | None
    v1: Mapping[str, Path]  # by controller: "memory", "cpuacct"

    def read(self, name_v2: str, controller: str, name_v1: str) -> tuple[str, str | None]:
        """Return a file of v2 or, where that has none, of v1; with the name of what was read.

        Where the system mixes them, the tree of v2 has some files and no others.
        """
        places = ((self.v2, name_v2), (self.v1.get(controller), name_v1))
        for folder, name in places:
            if folder and name:
                with contextlib.suppress(OSError):
                    return name, (folder / name).read_text()
        return "", None


def find_groups(pid: int, *, proc: Path = _PROC, groups: Path = _GROUPS) -> Groups:
    """Find the control groups of a process; none where it is gone or they are not shown."""
    v2, v1 = None, dict[str, Path]()
    for line in _lines(proc / str(pid) / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if path in {"", "/"} or ".." in path:  # everything, or above what this process sees
            continue
        if not controllers:
            folders = (groups / path[1:], groups / "unified" / path[1:])
            v2 = next((each for each in folders if each.is_dir()), None)
        for controller in filter(None, controllers.split(",")):
            folder = groups / controller / path[1:]
            if folder.is_dir():
                v1[controller] = folder
    return Groups(v2=v2, v1=v1)


def load_of_group(groups: Groups) -> Load | None:
    """Look at what a control group takes; None where it is gone or does not tell."""
    cpu_ms = _cpu_ms(*groups.read("cpu.stat", "cpuacct", "cpuacct.usage"))
    _, used = groups.read("memory.current", "memory", "memory.usage_in_bytes")
    stat, fields = groups.read("memory.stat", "memory", "memory.stat")
    if cpu_ms is None or used is None or not stat:
        return None
    counts = _fields(fields or "")
    caches = counts.get("total_inactive_file", counts.get("inactive_file", 0))
    return Load(
        pids=frozenset(_pids(groups)), cpu_ms=cpu_ms, memory_bytes=max(int(used) - caches, 0)
    )


def load_of_tree(pid: int, *, proc: Path = _PROC) -> Load | None:
    """Look at what a process and its descendants take; None where it is gone.

    Processors' time of those that have ended counts once somebody has waited for them. What
    several of them share of the memory counts once.
    """
    tree, waiting, ticks = set[int](), [pid], 0
    memory = [(0, 0)]
    while waiting:
        process = waiting.pop()
        own_ticks = _ticks(proc / str(process))
        if own_ticks is None or process in tree:
            continue
        tree.add(process)
        ticks += own_ticks
        memory.append(_memory(proc / str(process)))
        waiting += _children(proc / str(process))
    if not tree:
        return None
    return Load(
        pids=frozenset(tree),
        cpu_ms=ticks * _TICK_MS,
        memory_bytes=sum(own for own, _ in memory) + max(shared for _, shared in memory),
    )


def _ticks(process: Path) -> int | None:
    """Return the processors' time of a process, and of children that were waited for."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return None
    return sum(map(int, fields[11:15]))


def _children(process: Path) -> list[int]:
    """Return the children of a process, which the kernel lists by the thread that began each."""
    lists = (_lines(Path(thread, "children")) for thread in _entries(process / "task"))
    return [int(child) for lines in lists for line in lines for child in line.split()]


def _entries(folder: Path) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder)]
    except OSError:
        return []


def _memory(process: Path) -> tuple[int, int]:
    """Return the bytes in memory that are a process's own, and those that it may share."""
    try:
        pages = [int(each) for each in (process / "statm").read_text().split()]
    except OSError:
        return 0, 0
    return (pages[1] - pages[2]) * _PAGE_BYTES, pages[2] * _PAGE_BYTES


def _cpu_ms(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if name == "cpu.stat":
        return _fields(text)["usage_usec"] // 1000
    return int(text) // 1_000_000


def _pids(groups: Groups) -> Iterator[int]:
    """Yield the processes of a group and of the groups in it."""
    folder = groups.v2 or next(iter(groups.v1.values()), None)
    for path in sorted(folder.rglob("cgroup.procs")) if folder else ():
        yield from map(int, _lines(path))


def _fields(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}  # noqa: PLR2004 - a pair


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
