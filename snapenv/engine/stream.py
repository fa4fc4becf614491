"""Read the engine's JSON streams to their ends: failures arrive inside HTTP 200.

Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from snapenv.engine.failures import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from snapenv.ports import Task

Message = "Mapping[str, Any]"  # one JSON object of a stream

_MOVING = ("Downloading", "Pushing")
_MOVED = ("Download complete", "Pull complete", "Pushed")


class StreamError(Exception):
    """The error that a stream carried; never leaves this package."""


def parse_messages(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Read one JSON object a line."""
    return (json.loads(line) for line in lines if line.strip())


def drain(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Give each message of a stream, and fail at its end if one of them was an error.

    Raises:
        StreamError: The stream carried an error; its text is the engine's.
        EngineError: The stream broke off.
    """
    failed = None
    with engine_errors():
        for message in messages:
            if "error" in message or "errorDetail" in message:
                failed = failed or _error(message)
            else:
                yield message
    if failed is not None:
        raise StreamError(failed)


def _error(message: Mapping[str, Any]) -> str:
    detail = message.get("errorDetail") or {}
    return str(detail.get("message") or message.get("error") or "no reason given")


class Layers:
    """The bytes of an image's layers as they move, summed over those known so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bytes: dict[str, tuple[int, int]] = {}  # layer to (done, total)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one message of a pull or push into the count."""
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        detail = message.get("progressDetail") or {}
        if status in _MOVING and detail.get("total"):
            done = int(detail.get("current", 0))
            self._bytes[layer] = (done, max(done, int(detail["total"])))
        elif status in _MOVED and layer in self._bytes:
            total = self._bytes[layer][1]
            self._bytes[layer] = (total, total)
        else:
            return
        done, total = (sum(column) for column in zip(*self._bytes.values(), strict=True))
        self._task.count(done, total)
