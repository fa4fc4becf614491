"""Read the engine's JSON streams to their ends: failures arrive inside HTTP 200.

Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from docker import auth
from docker.errors import APIError
from msgspec import Struct
from requests import RequestException

from snapenv.docker_login import find_login
from snapenv.engine.failures import (
    DEFAULT_REGISTRY,
    engine_errors,
    engine_message,
    is_passing,
    is_timeout,
    refuse_failed,
    registry_failure,
)
from snapenv.errors import EngineError
from snapenv.json_text import read_json
from snapenv.network.repeat import FailedError, repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from docker import APIClient
    from requests import Response

    from snapenv.model.image import ImageRef
    from snapenv.ports import Task

_SILENCE = "no message arrived for too long"  # 20.10 cannot leave what hangs: no other try helps
_MOVING = ("Downloading", "Pushing")
_MOVED = ("Download complete", "Pull complete", "Pushed")


Answer = TypeVar("Answer")


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for an engine that speaks with a registry, and before each further try.

    An engine says what it moves all the time, but for a large layer that is read to its end.
    """

    answer_s: float = 20.0  # for one small question
    silence_s: float = 300.0  # while an image moves
    before_retries_s: tuple[float, ...] = (1.0, 5.0)


class StreamError(FailedError):
    """The error that a stream carried; never leaves this package."""

    def __init__(self, text: str) -> None:
        super().__init__(text, passing=is_passing(text))


def parse_messages(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Read one JSON object a line.

    Raises:
        EngineError: A line is none.
    """
    for line in filter(bytes.strip, lines):
        try:
            message = read_json(line, dict[str, Any])
        except ValueError as error:
            raise EngineError(
                f"the Docker engine sends what is no message: {error}",
                hint="Check what stands between: DOCKER_HOST, and proxies.",
            ) from error
        yield message


def drain(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield each message of a stream, and fail at its end if one of them was an error.

    Raises:
        StreamError: The stream carried an error; its text is the engine's.
        EngineError: The stream broke off.
    """
    failed = None
    with engine_errors():
        for message in messages:
            if "error" in message or "errorDetail" in message:
                detail = message.get("errorDetail")
                told = detail.get("message") if isinstance(detail, dict) else detail
                words = told or message.get("error") or "no reason given"
                failed = failed or str(words)
            else:
                yield message
    if failed is not None:
        raise StreamError(failed)


def ask_registry(act: Callable[[], Answer], ref: ImageRef, patience: Patience) -> Answer:
    """Ask an engine for something of a registry, again while the failure may pass.

    Raises:
        NotFoundError: The registry has no such name.
        RegistryError: The registry does not answer, or refuses.
        EngineError: The engine failed.
    """
    try:
        with engine_errors():
            return repeat(act, patience.before_retries_s)
    except StreamError as error:
        raise registry_failure(str(error), ref) from error


@contextlib.contextmanager
def open_request(
    client: APIClient, method: str, path: str, ref: ImageRef, *, timeout_s: float, **query: str
) -> Iterator[Response]:
    """Ask for something of a registry, with docker's login for it; leaving the block ends it.

    Raises:
        StreamError: The engine refused, or no message arrived for ``timeout_s``.
        LoginError: There may be a login, and it cannot be had.
    """
    url = f"{client.base_url}/v{client.api_version}/{path}"
    login = find_login(ref.registry or DEFAULT_REGISTRY)
    headers = {"X-Registry-Auth": auth.encode_header(login or {})}
    try:
        with client.request(
            method, url, params=query, headers=headers, timeout=timeout_s, stream=True
        ) as response:
            refuse_failed(response)
            yield response
    except APIError as error:
        raise StreamError(engine_message(error)) from error
    except RequestException as error:
        if not is_timeout(error):
            raise
        raise StreamError(_SILENCE) from error


def read_messages(response: Response) -> Iterator[Mapping[str, Any]]:
    """Yield the messages of an answer.

    Raises:
        StreamError: Nothing was heard for too long.
    """
    try:
        yield from parse_messages(response.iter_lines())
    except RequestException as error:
        if not is_timeout(error):
            raise
        raise StreamError(_SILENCE) from error


def text_of(message: Mapping[str, Any], name: str) -> str | None:
    """Return a text of what a message has beside its words; None where it is none."""
    aux = message.get("aux")
    text = aux.get(name) if isinstance(aux, dict) else None
    return text if isinstance(text, str) else None


class Layers:
    """The bytes of an image's layers as they move, summed over those known so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bytes: dict[str, tuple[int, int]] = {}  # layer to (done, total)

    def update(self, message: Mapping[str, Any]) -> None:
        """Take one message of a pull or push into the count."""
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        total = _count(message, "total")
        if status in _MOVING and total:
            done = _count(message, "current")
            self._bytes[layer] = (done, max(done, total))
        elif status in _MOVED and layer in self._bytes:
            total = self._bytes[layer][1]
            self._bytes[layer] = (total, total)
        else:
            return
        done, total = (sum(column) for column in zip(*self._bytes.values(), strict=True))
        self._task.count(done, total)


def _count(message: Mapping[str, Any], name: str) -> int:
    """Return a number of bytes; 0 where it is none."""
    detail = message.get("progressDetail")
    number = detail.get(name) if isinstance(detail, dict) else None
    return number if type(number) is int and number > 0 else 0
