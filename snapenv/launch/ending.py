"""Why a run ended, and what mends it: of its state, the kernel, full disks and its last words.

Pure: values in, a cause out. The words alone do not tell: who is ended for memory says nothing, and
a full disk is ``unexpected pos`` in torch's words.
Sources: ``mm/oom_kill.c`` of Linux (``dump_oom_victim``), and NVIDIA's list of Xid errors:
https://docs.nvidia.com/deploy/xid-errors/
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.causes import Cause, find_cause
from snapenv.nvidia import advice
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.launch import RunEnd

_LAST_LINES = 12  # of an output, in which an error's own words stand
_SIGNALLED = 128  # an exit code above it is this and the number of a signal
_KILLED = _SIGNALLED + signal.SIGKILL
_WORKER_TASK = "pt_data_worker"  # torch's name of a data loader's process
_WORKER_LOST = re.compile(r"DataLoader worker \(pid.*?\d\) (exited unexpectedly|is killed by)")
_NO_SHARED_MEMORY = re.compile(r"bus error|(insufficient|out of) shared memory", re.IGNORECASE)
_VICTIM = re.compile(
    r"oom-kill:constraint=\w+,.*?(?P<whole>global_oom,)?"
    r"task_memcg=(?P<group>[^,]*),task=(?P<task>.*),pid=(?P<pid>\d{1,9}),"
)
_XID = re.compile(r"NVRM: Xid \((?P<gpu>[^)]*)\): (?P<number>\d{1,9})")
_OF_THE_PROGRAM = {13, 31, 43, 45}  # Xids that a faulty program causes, too


PAUSED = 75  # EX_TEMPFAIL of sysexits.h: what failed is to be tried again later


def handed_code(end: RunEnd) -> int:
    """Return what a command that saw a run end exits with: the run's own code, or PAUSED."""
    return PAUSED if end.stopped_by else end.exit_code or 0


class Victim(Struct, frozen=True, kw_only=True):
    """A process that the kernel ended for want of memory."""

    task: str  # its name
    whole_machine: bool  # the machine's memory was full, not the container's


class Xid(Struct, frozen=True, kw_only=True):
    """An error that NVIDIA's kernel module has reported of a GPU."""

    number: int
    gpu: str  # such as PCI:0000:3b:00


class Ending(Struct, frozen=True, kw_only=True):
    """What is seen of a run that has ended."""

    exit_code: int
    out_of_memory: bool = False  # the kernel ended one of its processes
    memory_bytes: int | None = None  # that it was limited to
    shm_bytes: int | None = None
    victims: tuple[Victim, ...] = ()
    xids: tuple[Xid, ...] = ()
    full: tuple[str, ...] = ()  # folders on whose file system nothing more can be written
    output: str = ""  # the end of it
    signalled: bool = False  # somebody sent it a signal by snapenv


def find_victims(log: Iterable[str], *, container: str | None, pid: int | None) -> list[Victim]:
    """Return who of a container, or which process, the kernel says that it ended for memory."""
    matches = (_VICTIM.search(line) for line in log)
    return [
        Victim(task=match["task"], whole_machine=match["whole"] is not None)
        for match in matches
        if match and ((container and container in match["group"]) or int(match["pid"]) == pid)
    ]


def find_xids(log: Iterable[str]) -> list[Xid]:
    """Return what NVIDIA's kernel module says of GPUs."""
    matches = (_XID.search(line) for line in log)
    return [Xid(number=int(match["number"]), gpu=match["gpu"]) for match in matches if match]


def explain_end(ending: Ending) -> Cause | None:
    """Return why a run ended; None where it ended well, was asked to, or nothing is known."""
    if ending.signalled:
        return None
    if ending.out_of_memory or ending.victims:
        return _out_of_memory(ending)
    if ending.exit_code == 0:
        return None
    last_words = "\n".join(ending.output.splitlines()[-_LAST_LINES:])
    return (
        _no_shared_memory(ending, last_words)
        or _no_space(ending)
        or _lost_gpu(ending)
        or find_cause(last_words)
        or _ended_by_signal(ending.exit_code)
    )


def _out_of_memory(ending: Ending) -> Cause:
    whole = any(victim.whole_machine for victim in ending.victims)
    limit = ending.memory_bytes
    full = f"its memory of {size(limit)} was full" if limit else "its memory was full"
    full = "the machine's memory was full" if whole else full
    more = "Free memory of the machine" if whole or not limit else "Give it more --memory"
    less = "or use a smaller batch= or fewer workers="
    if ending.exit_code == 0:
        return Cause(
            f"the kernel ended one of its processes, as {full}; it went on", f"{more}.", "memory"
        )
    if ending.exit_code == _KILLED:
        return Cause(f"the kernel ended it, as {full}", f"{more}, {less}.", "memory")
    tasks = {victim.task for victim in ending.victims}
    if _WORKER_TASK in tasks or _WORKER_LOST.search(ending.output):
        return Cause(
            f"the kernel ended a worker of its data loader, as {full}",
            f"{more}, or use fewer workers= or a smaller batch=; what lies in /dev/shm counts too.",
            "memory",
        )
    named = ", ".join(sorted(tasks)) or "one of its processes"
    return Cause(f"the kernel ended {named}, as {full}", f"{more}, {less}.", "memory")


def _no_shared_memory(ending: Ending, last_words: str) -> Cause | None:
    killed = ending.exit_code == _SIGNALLED + signal.SIGBUS
    if not (killed or _NO_SHARED_MEMORY.search(last_words)):
        return None
    has = f" of {size(ending.shm_bytes)}" if ending.shm_bytes else ""
    return Cause(
        f"its shared memory{has} was full",
        "Give it a larger --shm-size, or use fewer workers= or a smaller batch=.",
        "shared-memory",
    )


def _no_space(ending: Ending) -> Cause | None:
    if not ending.full:
        return None
    where = ", ".join(ending.full)
    return Cause(
        f"there is no room to write to {where}", f"Free some space: df -h {where}", "disk-full"
    )


def _lost_gpu(ending: Ending) -> Cause | None:
    for xid in ending.xids:
        if xid.number not in _OF_THE_PROGRAM:
            return Cause(
                f"the GPU {xid.gpu} failed: its driver reports Xid {xid.number}",
                f"See {advice.KERNEL_LOG}; reset the GPU or reboot, then go on: --resume",
                "gpu-failed",
            )
    return None


def _ended_by_signal(exit_code: int) -> Cause | None:
    number = exit_code - _SIGNALLED
    if number == signal.SIGKILL:
        return Cause(
            "it was killed: by docker kill, by a stop after its grace time, or by somebody here",
            "Where it was not you, see docker events and the kernel's log: sudo dmesg.",
            "killed",
        )
    if number in {each.value for each in signal.Signals}:
        name = signal.Signals(number).name
        return Cause(f"it was ended by {name}", "See its last lines.", name.lower())
    return None
