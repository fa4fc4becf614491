"""A whole wheel, with its hash and size checked."""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

from snapenv.index.session import NoRangesError
from snapenv.network.session import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.index.session import IndexSession
    from snapenv.model.wheels import IndexWheel
    from snapenv.network.session import Response

_CHUNK_BYTES = 1 << 20
_OTHER = "Find out why before you trust it; if the index has changed the file, capture again."


class Download:
    """A wheel on its way into a file; what has come is kept when the connection breaks."""

    def __init__(
        self,
        wheel: IndexWheel,
        into: BinaryIO,
        *,
        session: IndexSession,
        count: Callable[[int, int | None], None],
    ) -> None:
        self._wheel = wheel
        self._into = into
        self._session = session
        self._count = count
        self._restart()

    def go_on(self) -> None:
        """Fetch what is missing, and check the whole.

        Raises:
            RequestError: The host cannot be reached, refuses, breaks off, or serves other bytes.
            OSError: The file cannot be written.
        """
        part = f"bytes={self._done}-" if self._done else None
        try:
            with self._session.get(self._wheel, part=part) as response:
                if not _continues(response, self._done):
                    self._restart()
                self._take(response)
        except NoRangesError as error:
            self._restart()
            raise RequestError("closes the connection early", passing=True) from error
        self._check()

    def _restart(self) -> None:
        self._done = 0
        self._hash = hashlib.sha256()
        self._into.seek(0)
        self._into.truncate()

    def _take(self, response: Response) -> None:
        size = self._wheel.size_bytes
        for chunk in response.iter_content(_CHUNK_BYTES):
            self._into.write(chunk)
            self._hash.update(chunk)
            self._done += len(chunk)
            if size is not None and self._done > size:
                raise _other_bytes("more bytes")
            self._count(self._done, size)

    def _check(self) -> None:
        if self._wheel.size_bytes not in (None, self._done):
            raise RequestError("closes the connection early", passing=True)
        if self._hash.hexdigest() != self._wheel.sha256:
            raise _other_bytes("other bytes")


def _continues(response: Response, done: int) -> bool:
    """Return whether an answer begins where the last one broke off; at the start, any does."""
    begin = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT and begin
    return int(begin[1]) == done if goes_on and begin else done == 0


def _other_bytes(what: str) -> RequestError:
    return RequestError(f"serves {what} than its sha256 says", hint=_OTHER)
