"""Programs of snapenv's own that outlive the command that starts them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHELL = "/bin/sh"
_DETACH = 'cd / && nice -n 5 "$@" &'
# What is killed (137 is 128 and SIGKILL), for want of memory or by somebody, begins again.
_KEEP = 'cd / && { until nice -n 5 "$@"; do [ $? = 137 ] || break; sleep 1; done; } &'


def start_aside(
    words: Sequence[str], environment: Mapping[str, str] | None = None, *, keep: bool = False
) -> None:
    """Start snapenv with these words, in a session of its own, without any terminal or stream.

    A shell starts it and ends, so that its parent is the machine's first process: nobody has to
    wait for it, and no signal of a terminal or a process group reaches it. What it prints is lost.
    With ``keep`` a shell stays, and starts it again where it is killed.
    Where the system ends all that a login has left behind (logind's KillUserProcesses), or a job of
    Slurm ends, it ends too.
    """
    nowhere = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    script = _KEEP if keep else _DETACH
    argv = (_SHELL, "-c", script, "snapenv", sys.executable, "-m", "snapenv", *words)
    variables = os.environ if environment is None else environment
    with contextlib.suppress(OSError):  # no more processes
        shell = os.posix_spawn(
            _SHELL, argv, variables, file_actions=nowhere, setsid=True, setsigmask=()
        )
        os.waitpid(shell, 0)
