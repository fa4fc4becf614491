"""An image as an engine saves it: a tar, read as it comes and never held.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from gzip import BadGzipFile, GzipFile
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import zstandard
from docker.errors import create_api_error_from_http_exception
from requests import HTTPError
from zstandard import ZstdError

from snapenv.errors import EngineError

if TYPE_CHECKING:
    from docker import APIClient

OpenTar = Callable[[], AbstractContextManager[Iterable[bytes]]]
"""Begins a tar; leaving the block before its end ends the transfer too."""

MOST_JSON_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@contextmanager
def saved_image(client: APIClient, image_id: str) -> Iterator[Iterable[bytes]]:
    """Ask for an image as a tar; leaving the block before its end ends the transfer too."""
    url = f"{client.base_url}/v{client.api_version}/images/{image_id}/get"
    with client.get(url, timeout=client.timeout, stream=True) as response:
        try:
            response.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
        yield response.iter_content(_CHUNK_BYTES)


class Content:
    """One file in a tar, which is read as it comes: once, and from its beginning."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source, self._left = source, size

    def peek(self, size: int) -> bytes:
        """Give what comes next without taking it; less than ``size`` only at the end."""
        return self._source.peek(min(size, self._left))

    def read(self, size: int = -1) -> bytes:
        """Give so many bytes, at most 4 MiB, or all that are left; fewer only at the end.

        Raises:
            tarfile.ReadError: The tar breaks off before.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        found = self._source.read(wanted)
        if len(found) < wanted:
            raise _broken_off()
        self._left -= wanted
        return found

    def pieces(self) -> Iterator[bytes]:
        """Give what is left in the pieces that it comes in, without copying them.

        Raises:
            tarfile.ReadError: The tar breaks off before.
        """
        while self._left:
            piece = self._source.take(self._left)
            if not piece:
                raise _broken_off()
            self._left -= len(piece)
            yield piece


class _Source:
    """Chunks as a file that is read forward alone, and has as much of tarfile's files as it needs.

    tarfile reads only the headers through it, and passes over what nobody has read. No more
    than 4 MiB and one chunk are held.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk, self._used = b"", 0
        self._place = 0

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        """Pass over what lies before a place; stop at the end.

        Raises:
            tarfile.ReadError: The place has been passed.
        """
        if place < self._place:
            raise tarfile.ReadError("a header leads backwards")
        while self._place < place and self.take(place - self._place):
            pass
        return self._place

    def read(self, size: int) -> bytes:
        """Give so many bytes, and fewer only at the end.

        Raises:
            tarfile.ReadError: They are more than any header or document has.
        """
        if not 0 <= size <= MOST_JSON_BYTES:
            raise tarfile.ReadError(f"a header or document of {size} bytes")
        pieces = [self.take(size)]
        left = size - len(pieces[0])
        while left and (piece := self.take(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def take(self, size: int) -> bytes:
        """Give up to so many bytes as they came; nothing at the end."""
        piece = self._following()[self._used : self._used + size]
        self._used += len(piece)
        self._place += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """Give the bytes at hand without passing them; fewer than ``size`` only at the end."""
        chunk = self._following()
        while len(chunk) - self._used < size and (more := next(self._chunks, b"")):
            self._chunk, self._used = chunk[self._used :] + more, 0
            chunk = self._chunk
        return chunk[self._used : self._used + size]

    def _following(self) -> bytes:
        """Give the chunk of which something is left, if there is one."""
        while self._used == len(self._chunk) and (chunk := next(self._chunks, b"")):
            self._chunk, self._used = chunk, 0
        return self._chunk


def plain_files(chunks: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, Content]]:
    """Give the plain files of a tar as they come, each to be read before the next is asked for.

    Raises:
        tarfile.TarError: It is none, or breaks off.
    """
    source = _Source(chunks)
    with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r:") as tar:
        for member in iter(tar.next, None):
            tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps them all
            if member.isreg() and not member.issparse():
                source.seek(member.offset_data)
                yield member, Content(source, member.size)


def _broken_off() -> tarfile.ReadError:
    return tarfile.ReadError("unexpected end of data")


def unpack(stream: Content) -> IO[bytes] | None:
    """Unpack a layer that is packed with gzip or zstd; None where it is not packed."""
    if begins(stream, _GZIP):
        return cast("IO[bytes]", GzipFile(fileobj=cast("IO[bytes]", stream)))
    if begins(stream, _ZSTD):
        return cast("IO[bytes]", zstandard.open(cast("BinaryIO", stream), "rb"))
    return None


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Give what is left of a file, never more than 1 MiB at a time.

    Raises:
        EngineError: It is damaged.
    """
    with tar_errors():
        yield from iter(partial(file.read, _CHUNK_BYTES), b"")


def begins(stream: Content, magic: bytes) -> bool:
    return stream.peek(len(magic)) == magic


@contextmanager
def tar_errors() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, BadGzipFile, zlib.error, ZstdError) as error:
        raise unreadable(f"does not arrive whole: {error}") from error


def unreadable(what: str) -> EngineError:
    return EngineError(f"the image, as the engine saves it, {what}", hint="Build it again.")
