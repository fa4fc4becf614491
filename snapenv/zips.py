"""Members of zip archives that anybody may have made: read within limits, or refused."""

from __future__ import annotations

import zipfile
import zlib
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound
DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises where an archive is damaged, hostile or encrypted."""


class _Bounded:
    """A file of which no more than so many bytes are read."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file, self._left = file, most_bytes
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes.

        Raises:
            ValueError: There are more than are allowed.
        """
        content = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("more bytes are to be read than such an archive has")
        return content


def open_bounded(file: BinaryIO, most_bytes: int) -> zipfile.ZipFile:
    """Open an archive of which no more than so many bytes are read, its directory among them.

    The directory is read whole, and a value in memory made of each of its entries.

    Raises:
        ValueError: It has more; reading its members raises this too.
        DAMAGED: The archive is damaged.
    """
    return zipfile.ZipFile(cast("IO[bytes]", _Bounded(file, most_bytes)))


def is_readable(entry: zipfile.ZipInfo, most_bytes: int) -> bool:
    """Return whether a member says that it is small enough, and is packed as is usual."""
    return entry.file_size <= most_bytes and entry.compress_type in _KNOWN


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most_bytes: int) -> bytes:
    """Read as much as the archive says, by chunks: else all that is packed would be unpacked.

    Raises:
        ValueError: It is larger than ``most_bytes``, or packed unusually.
        DAMAGED: The archive is damaged.
    """
    if not is_readable(entry, most_bytes):
        raise ValueError(f"{entry.filename[:80]!r} is too large, or packed unusually")
    with archive.open(entry) as file:
        return b"".join(iter(lambda: file.read(_CHUNK_BYTES), b""))
