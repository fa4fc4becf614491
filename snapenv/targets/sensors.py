"""The real sensors: clocks, GPUs, loads, and the wait for what happens next."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from typing import TYPE_CHECKING

from snapenv import durable
from snapenv.model.sampling import GpuReading, Load, Moment
from snapenv.targets.loads import find_groups, load_of_group, load_of_tree
from snapenv.targets.venv_runs import start_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from snapenv.targets.gpu_samples import NvmlGpus


class MachineSensors:
    """This machine's sensors, as ``ports.Sensors`` says; ``wake`` is a named pipe."""

    def __init__(self, wake: Path) -> None:
        self._wake_path, self._wake = wake, -1
        self._gpus: NvmlGpus | None = None

    def now(self) -> Moment:
        """Return this moment."""
        boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return Moment(wall_ms=round(time.time() * 1000), boot_ms=round(boot_s * 1000))

    def boot_id(self) -> str:
        """Return what the kernel calls the time since its start."""
        return durable.boot_id()

    def start_ticks(self, pid: int) -> int | None:
        """Return when a process started, in clock ticks since the boot."""
        return start_ticks(pid)

    def gpus(self, elapsed_ms: int) -> tuple[GpuReading, ...]:
        """Look at every GPU and every MIG instance."""
        if self._gpus is None:
            from snapenv.targets.gpu_samples import NvmlGpus  # most ask for the clocks alone

            self._gpus = NvmlGpus()
        return self._gpus.read(elapsed_ms)

    def load(self, pid: int, *, in_group: bool) -> Load | None:
        """Look at what a process, and all that it has started, takes."""
        group = load_of_group(find_groups(pid)) if in_group else None
        return group or load_of_tree(pid)

    def wait(self, seconds: float, pids: Sequence[int]) -> None:
        """Wait until one of these processes has ended or somebody wakes this one, or so long.

        ``time.sleep`` is of a clock that jumps, in some Pythons.
        """
        with contextlib.ExitStack() as stack:
            handles = [stack.enter_context(_watched(pid)) for pid in pids]
            ready, _, _ = select.select([*filter(_is_open, handles), self._pipe()], [], [], seconds)
        if self._wake in ready:
            os.read(self._wake, 1 << 16)

    def _pipe(self) -> int:
        if self._wake < 0:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._wake_path, 0o600)
            # To write too, or it would be ready for ever once the first writer has gone.
            self._wake = os.open(self._wake_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return self._wake


def wake(path: Path) -> None:
    """Wake the process that waits at this pipe, if there is one."""
    with contextlib.suppress(OSError):  # nobody reads, or it is not there
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if stat.S_ISFIFO(os.fstat(handle).st_mode):
                os.write(handle, b"\n")
        finally:
            os.close(handle)


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[int]:
    """Return a handle that is ready to be read once a process has ended; -1 where it has."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        yield -1
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _is_open(handle: int) -> bool:
    return handle >= 0
