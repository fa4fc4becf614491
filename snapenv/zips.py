"""Members of zip archives that anybody may have made: read within limits, or refused."""

from __future__ import annotations

import zipfile
import zlib

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
