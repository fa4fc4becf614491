"""Tars that anybody may have made, read as they come."""

from __future__ import annotations

import tarfile
from typing import IO, Protocol, cast

DAMAGED = (tarfile.TarError, EOFError, OverflowError, ValueError)
"""What the standard library raises where a tar is damaged or hostile."""

_MOST_EMPTY = 3  # reads at the end; a whole tar needs one


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Ending:
    """A file that refuses to be read on and on behind its end.

    tarfile passes over what a header says to follow block by block, also where nothing is left:
    of 512 bytes that tell of an exabyte it reads for years.
    """

    def __init__(self, file: _Readable) -> None:
        self._file, self._empty = file, 0

    def read(self, size: int) -> bytes:
        """Return up to so many bytes.

        Raises:
            tarfile.ReadError: Nothing is left, and that was said before.
        """
        content = self._file.read(size)
        self._empty += not content
        if self._empty > _MOST_EMPTY:
            raise tarfile.ReadError("unexpected end of data")
        return content


def is_plain(member: tarfile.TarInfo) -> bool:
    """Return whether a member is a file whose bytes all came: one with holes may be endless."""
    return member.isreg() and not member.issparse()


def open_stream(file: _Readable, *, block_bytes: int = tarfile.RECORDSIZE) -> tarfile.TarFile:
    """Open a tar that is read forward alone.

    Raises:
        DAMAGED: It is none; reading its members raises these too.
    """
    source = cast("IO[bytes]", _Ending(file))
    return tarfile.open(fileobj=source, mode="r|", bufsize=block_bytes)
