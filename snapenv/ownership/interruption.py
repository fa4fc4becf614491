"""Signals that end a command in order: Ctrl-C, SIGTERM and SIGHUP.

Each becomes an exception of the main thread, so that what is under way is undone by the blocks
that it is in. Other threads see it by a pipe that ends up readable.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asks for the end; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _State:
    """What this process has heard."""

    def __init__(self) -> None:
        self.heard: int | None = None  # the signal that came while no exception may be raised
        self.deferring = 0  # blocks, of the main thread
        self.pipe: tuple[int, int] | None = None

    def close(self) -> None:
        pipe, self.pipe = self.pipe, None
        for handle in pipe or ():
            os.close(handle)


_STATE = _State()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn signals into ``Interrupted`` until the block ends.

    A signal that was ignored when the program began, as under nohup, still is. Of several only
    the first counts, but for Ctrl-C, which ends the undoing too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    _STATE.pipe = os.pipe()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _STATE.close()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let no signal interrupt a short block in the main thread; it does so at the block's end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _STATE.deferring += 1
    try:
        yield
    finally:
        _STATE.deferring -= 1
        number = _STATE.heard
        if number is not None and not _STATE.deferring:
            _STATE.heard = None
            raise Interrupted(number)


def wake_handle() -> int | None:
    """Return a file descriptor that is readable once the command is interrupted, if it can be."""
    return _STATE.pipe[0] if _STATE.pipe else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    for other in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(other) is _interrupt:
            signal.signal(other, _ignore)
    if _STATE.pipe:
        os.write(_STATE.pipe[1], b"\0")
    if _STATE.deferring:
        _STATE.heard = number
        return
    raise Interrupted(number)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, no child inherits that."""
    del number, frame
