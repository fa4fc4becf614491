"""What this machine's kernel has logged, as far as this user may read it.

Source: https://docs.kernel.org/admin-guide/abi-testing.html, /dev/kmsg
"""

from __future__ import annotations

import os
import time

_DEVICE = "/dev/kmsg"
_INEXACT_S = 1.0  # the time of a run's start has no fractions
_RECORD_BYTES = 8192  # the kernel's own longest


def read_kernel_log(since_s: float) -> tuple[str, ...]:
    """Return the messages since a time, in seconds of the epoch; none where that is forbidden."""
    since_boot_us = (time.monotonic() - (time.time() - since_s) - _INEXACT_S) * 1e6
    try:
        device = os.open(_DEVICE, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ()
    messages = []
    try:
        while True:
            try:
                record = os.read(device, _RECORD_BYTES)
            except BrokenPipeError:  # it was overwritten meanwhile: the next one comes
                continue
            head, _, message = record.decode(errors="replace").partition(";")
            if float(head.split(",")[2]) >= since_boot_us:
                messages.append(message.partition("\n")[0])
    except (BlockingIOError, OSError, ValueError, IndexError):
        return tuple(messages)  # to its end
    finally:
        os.close(device)
