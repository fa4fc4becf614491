"""What ends the programs that snapenv has started where it can no longer do so: it was killed.

The guardian is a shell that knows their process groups, and reads a pipe that ends with snapenv,
however that ends.
"""

from __future__ import annotations

import contextlib
import os
import threading

_SHELL = "/bin/sh"
_GUARD = """
trap '' HUP INT TERM
alive=
while read -r sign group; do
    left=
    for each in $alive; do
        [ "$each" = "$group" ] || left="$left $each"
    done
    alive=$left
    [ "$sign" = - ] || alive="$alive $group"
done
for each in $alive; do
    kill -s KILL -- "-$each"
done
"""


class _Guardian:
    """Ends process groups where this process can no longer do so; started with the first."""

    def __init__(self) -> None:
        self._pipe: int | None = None
        self._lock = threading.Lock()

    def watch(self, group: int) -> None:
        self._tell(f"+ {group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"- {group}\n")

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):  # what guards may itself have been ended
            if self._pipe is None:
                self._pipe = self._start()
            os.write(self._pipe, line.encode())

    @staticmethod
    def _start() -> int:
        ours, pipe = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR)
        words = (_SHELL, "-c", _GUARD)
        streams = [
            (os.POSIX_SPAWN_DUP2, handle, number)
            for number, handle in enumerate((ours, nothing, nothing))
        ]
        try:
            os.posix_spawn(_SHELL, words, {}, file_actions=streams, setpgroup=0)
        finally:
            os.close(ours)
            os.close(nothing)
        return pipe


GUARDIAN = _Guardian()
