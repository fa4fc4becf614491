"""Run a function in a child process: a library that crashes or hangs takes only the child down."""

from __future__ import annotations

import json
import os
import select
import signal
import time

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

TIMEOUT_S = 60.0
_REAPED_S = 0.5  # that a killed child gets to end: one that waits for its device cannot be killed


class Apart:
    """One function at work in a child, started when this is made."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        """Start it; what it returns must be JSON."""
        self._values = Values(_once, function, *arguments)

    def answer(self) -> Any:  # noqa: ANN401 - JSON
        """Return what the function returned; None if it raised, crashed or took too long."""
        values, end = self._values.read(silence_s=TIMEOUT_S)
        return values[0] if values and end == "done" else None


class Values:
    """A function at work in a child, which gives one JSON value after the other."""

    def __init__(self, function: Callable[..., Iterable[Any]], *arguments: object) -> None:
        """Start it."""
        self._pipe, write = os.pipe()
        self._last = time.monotonic()  # when it was started, or was heard last
        self._pid = os.fork()
        if not self._pid:
            _work(write, function, arguments)
        os.close(write)

    def read(self, *, silence_s: float) -> tuple[list[Any], str]:
        """Return all values, and how it ended: ``done``, ``raised``, ``hang`` or a signal's name.

        Values that came before a bad end count. It hangs if it says nothing for ``silence_s``.
        """
        text, end = b"", ""
        while not end:
            if not self._is_ready(silence_s):
                end = self._kill()
            elif some := os.read(self._pipe, 1 << 16):
                text, self._last = text + some, time.monotonic()
            else:
                end = _end(os.waitpid(self._pid, 0)[1])
        os.close(self._pipe)
        whole, _, _ = text.rpartition(b"\n")  # a crash may cut the last
        return [json.loads(line) for line in whole.splitlines()], end

    def _is_ready(self, silence_s: float) -> bool:
        left = self._last + silence_s - time.monotonic()
        return bool(select.select([self._pipe], [], [], max(left, 0))[0])

    def _kill(self) -> str:
        os.kill(self._pid, signal.SIGKILL)
        late = time.monotonic() + _REAPED_S
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0 and time.monotonic() < late:
            time.sleep(0.01)
        return "hang"


def _once(function: Callable[..., Any], *arguments: object) -> Iterable[Any]:
    yield function(*arguments)


def _end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "raised" if os.WEXITSTATUS(status) else "done"


def _work(
    write: int, function: Callable[..., Iterable[Any]], arguments: tuple[object, ...]
) -> None:
    """Answer and end this process, whatever happens; what a library prints is dropped."""
    status = 1
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        for value in function(*arguments):
            os.write(write, json.dumps(value).encode("ascii") + b"\n")
        status = 0
    finally:
        os._exit(status)
