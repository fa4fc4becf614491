"""A wheel that is read where it lies, from the few parts of it that are needed.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

from __future__ import annotations

import io
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from remotezip import PartialBuffer, RemoteZip

from snapenv.index.session import NoRangesError
from snapenv.network.session import RequestError

if TYPE_CHECKING:
    from zipfile import ZipFile

    from snapenv.index.session import IndexSession
    from snapenv.model.wheels import IndexWheel
    from snapenv.network.session import Response

_END_BYTES = 16 << 10  # asked for first: the end of a wheel has its list of files, often RECORD too
_PART_LIMIT_BYTES = 64 << 20
_CHUNK_BYTES = 64 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def open_remote(wheel: IndexWheel, session: IndexSession) -> tuple[ZipFile, int | None]:
    """Open a wheel where it lies; what is read of it is asked for as it is read.

    The second value is its size in bytes, as far as the host tells.

    Raises:
        NoRangesError: The host gives wheels only whole.
        RequestError: The host cannot be reached, refuses or breaks off.
        BadZipFile: It is no archive.
    """
    parts = _Parts(wheel, session)
    archive: ZipFile = RemoteZip(
        wheel.url, initial_buffer_size=_END_BYTES, fetcher=lambda *_, **__: parts
    )
    return archive, parts.total


class _Parts:
    """Gives parts to RemoteZip, in place of its own fetcher.

    That one puts addresses into its errors, takes as much as a host chooses to send, and leaves
    answers open. Here each part is read whole and at once.
    """

    def __init__(self, wheel: IndexWheel, session: IndexSession) -> None:
        self._wheel = wheel
        self._session = session
        self.total = wheel.size_bytes

    def fetch(self, wanted: tuple[int, int | None], *, stream: bool = False) -> PartialBuffer:
        """Return the bytes from the first to the last; of ``(-n, None)``, the last n bytes."""
        del stream
        first, last = wanted
        if last is None:
            return self._end(-first)
        if first < 0 or last < first:
            raise RequestError("serves a file that is not an archive")
        return self._get(f"bytes={first}-{last}", first, last - first + 1)

    def _end(self, size: int) -> PartialBuffer:
        """Ask for the end as such; where a host does not know how, by its place in the file."""
        total = self.total
        try:
            return self._get(f"bytes=-{size}", None, size)
        except NoRangesError as error:
            if not error.refused or not total:
                raise
        first = max(0, total - size)
        return self._get(f"bytes={first}-{total - 1}", first, total - first)

    def _get(self, part: str, first: int | None, size: int) -> PartialBuffer:
        """Ask for so many bytes from the first on; where that is None, for no more than so many."""
        if size > _PART_LIMIT_BYTES:
            raise RequestError("serves an archive with parts that are too large")
        with self._session.get(self._wheel, part=part) as response:
            begin, count, self.total = _place(response, self.total)
            content = _read(response, size)
        if len(content) != count or (first is not None and (begin, count) != (first, size)):
            raise RequestError("serves other ranges than requested")
        return PartialBuffer(io.BytesIO(content), begin, count, stream=False)


def _place(response: Response, total: int | None) -> tuple[int, int, int | None]:
    """Read which part came: its first byte, its size, and the size of the whole."""
    part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code != HTTPStatus.PARTIAL_CONTENT or not part:
        raise NoRangesError(refused=False)
    if total is not None and part[3] not in ("*", str(total)):
        raise RequestError("serves another file: its size differs")
    whole = total if part[3] == "*" else int(part[3])
    return int(part[1]), int(part[2]) - int(part[1]) + 1, whole


def _read(response: Response, limit: int) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise RequestError("serves other ranges than requested")
    return bytes(content)
