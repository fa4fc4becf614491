"""Run a function in a child process: a library that crashes or hangs takes only the child down."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import Any, Callable

TIMEOUT_S = 60.0


class Apart:
    """One function at work in a child, started when this is made."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        """Start it; what it returns must be JSON."""
        self._answer, write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _work(write, function, arguments)
        os.close(write)

    def answer(self) -> Any:  # noqa: ANN401 - JSON
        """Give what the function returned; None if it raised, crashed or took too long."""
        with os.fdopen(self._answer, encoding="ascii") as stream:
            text = stream.read() if self._is_ready() else ""
        os.waitpid(self._pid, 0)
        return json.loads(text) if text else None

    def _is_ready(self) -> bool:
        ready, _, _ = select.select([self._answer], [], [], TIMEOUT_S)
        if not ready:
            os.kill(self._pid, signal.SIGKILL)
        return bool(ready)


def _work(write: int, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    """Answer and end this process, whatever happens; what a library prints is dropped."""
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        text = json.dumps(function(*arguments))
        with os.fdopen(write, "w", encoding="ascii") as stream_out:
            stream_out.write(text)
    finally:
        os._exit(0)
