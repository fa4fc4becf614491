"""What befalls a command: a library that is preloaded counts its writes, and does it at one."""

from __future__ import annotations

import errno
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.engines.place import call, install

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOURCE = Path(__file__).with_name("injector.c")
_STATE_BYTES = 64
_NEVER = (1 << 63) - 1

Deed = Literal["count", "fail", "stop", "kill", "slow", "clock"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done to the calls ``first`` to ``last`` that write, counted from 1."""

    deed: Deed = "count"
    first: int = _NEVER
    last: int = _NEVER
    value: int = 0  # an errno, milliseconds, seconds


NO_FAULT = Fault()


def full_from(first: int) -> Fault:
    """Fill the disk up before a call; no later one finds room."""
    return Fault(deed="fail", first=first, value=errno.ENOSPC)


def full_at(first: int) -> Fault:
    """Let one call find no room; later ones do."""
    return Fault(deed="fail", first=first, last=first, value=errno.ENOSPC)


def over_quota_from(first: int) -> Fault:
    """Use the quota up before a call."""
    return Fault(deed="fail", first=first, value=errno.EDQUOT)


def broken_at(first: int) -> Fault:
    """Let the disk fail once."""
    return Fault(deed="fail", first=first, last=first, value=errno.EIO)


def broken_from(first: int) -> Fault:
    """Let the disk fail from a call on."""
    return Fault(deed="fail", first=first, value=errno.EIO)


def dark_from(first: int) -> Fault:
    """End every process before a call, in the midst of what it writes."""
    return Fault(deed="stop", first=first)


def killed_at(first: int) -> Fault:
    """Kill the command at a call, and nothing that it has started."""
    return Fault(deed="kill", first=first, last=first)


def slow(milliseconds: int) -> Fault:
    """Let every call wait first."""
    return Fault(deed="slow", first=1, value=milliseconds)


def clock_jumps(first: int, seconds: int) -> Fault:
    """Change the time of day at a call."""
    return Fault(deed="clock", first=first, value=seconds)


@dataclass(frozen=True)
class Call:
    """A call that was counted."""

    name: str
    file: tuple[int, int]  # device and inode; (0, 0) of calls by name
    size_bytes: int  # of that file, before the call; of a truncate, after it
    path: str


class Injector:
    """The library, compiled, with the files that it shares with this process in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Compile it.

        Raises:
            UnavailableError: There is no C compiler, and none can be installed.
        """
        install({"gcc": "cc", "libc6-dev": "/usr/include/stdio.h"})
        folder.mkdir(parents=True, exist_ok=True)
        self._library = folder / "injector.so"
        self._state, self._trace = folder / "state", folder / "trace"
        flags = ("-O1", "-shared", "-fPIC", "-o", str(self._library))
        call("cc", *flags, str(_SOURCE), "-ldl")

    def arm(self, fault: Fault, *folders: Path) -> Mapping[str, str]:
        """Begin to count from nothing; return the variables that a command is started with."""
        self._state.write_bytes(bytes(_STATE_BYTES))
        self._trace.write_bytes(b"")
        return {
            "LD_PRELOAD": str(self._library),
            "FIRE_STATE": str(self._state),
            "FIRE_TRACE": str(self._trace),
            "FIRE_UNDER": "\n".join(map(str, folders)),
            "FIRE_DO": fault.deed,
            "FIRE_FROM": str(fault.first),
            "FIRE_TO": str(fault.last if fault.last != _NEVER else (1 << 64) - 1),
            "FIRE_VALUE": str(fault.value),
        }

    def calls(self) -> tuple[Call, ...]:
        """Return what was called since, in order."""
        lines = self._trace.read_text(errors="surrogateescape").splitlines()
        return tuple(_read_call(line) for line in lines)

    def was_hit(self) -> bool:
        """Return whether anything was done to a call since."""
        with self._state.open("rb") as file, mmap.mmap(file.fileno(), _STATE_BYTES, access=1) as at:
            _, _, _, hit = struct.unpack_from("=QiiQ", at)
        return bool(hit)


def _read_call(line: str) -> Call:
    _, name, device, inode, size, path = line.split(" ", 5)
    return Call(name, (int(device), int(inode)), int(size), path)
