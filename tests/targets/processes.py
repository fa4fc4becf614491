"""Look at processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_SECONDS = 120.0  # for what was killed to be gone, on a machine that has much to do


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


def group_of_child(word: str) -> set[int]:
    """Return the processes in the groups that children of this one lead, of one that has a word."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            leader = os.getpgid(int(process.name))
            parent = Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()[1]
            words = Path(f"/proc/{leader}/cmdline").read_text().split("\0")
            if int(parent) == os.getpid() and word in words:
                found.add(int(process.name))
    return found


def end_samplers(folder: Path) -> None:
    """End the samplers, what starts them again, and what they have started, of a folder's states."""
    while _end_some(folder):
        time.sleep(0.05)


def _end_some(folder: Path) -> bool:
    state = b"XDG_STATE_HOME=" + os.fsencode(folder.resolve()) + b"/"
    ended = False
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            words = (process / "cmdline").read_bytes().split(b"\0")
            own = any(
                value.startswith(state) for value in (process / "environ").read_bytes().split(b"\0")
            )
            if own and [b"-m", b"snapenv", b"usage"] in (words[1:4], words[5:8]):
                os.kill(int(process.name), signal.SIGKILL)
                ended = True
    return ended
