"""snapenv itself as a process aside, which no end of the one that started it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def start_aside(words: Sequence[str]) -> None:
    """Start snapenv with these words, in a session of its own, without any terminal or stream.

    Its parent is the machine's first process: nobody has to wait for it. What it prints is lost.
    """
    with contextlib.suppress(OSError):  # no more processes
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        _become(words)


def _become(words: Sequence[str]) -> None:
    """Replace this process, a child that shares all with its parent, by that program."""
    try:
        os.setsid()
        if os.fork() == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            os.chdir("/")
            os.execv(sys.executable, (sys.executable, "-m", "snapenv", *words))  # noqa: S606 - no shell
    finally:
        os._exit(1)
