"""A wheel's own RECORD, read from its archive.

Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from remotezip import RemoteZipError

from snapenv.access.transfer import TransferError
from snapenv.model.wheels import WheelRecord

if TYPE_CHECKING:
    from snapenv.model.wheels import IndexWheel

# All that the standard library and remotezip raise where an archive is damaged or hostile.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    RemoteZipError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_LIMIT_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_UNIX = 3
_SUFFIX = ".dist-info/RECORD"
_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound


def read_record(archive: zipfile.ZipFile, wheel: IndexWheel, size_bytes: int | None) -> WheelRecord:
    """Give the one RECORD that a wheel of this name has, and what of the archive may be run.

    Raises:
        TransferError: It has none, or several, or one that is too large or packed unusually.
    """
    found = [entry for entry in archive.infolist() if _is_record(entry.filename, wheel.name)]
    if len(found) != 1:
        raise TransferError(f"serves a wheel with {len(found)} RECORD files of this name")
    (entry,) = found
    if entry.file_size > _LIMIT_BYTES or entry.compress_type not in _KNOWN:
        raise TransferError("serves a wheel whose RECORD is too large, or packed unusually")
    return WheelRecord(
        text=_unpack(archive, entry).decode(),
        size_bytes=size_bytes,
        executable=tuple(sorted(filter(None, map(_executable, archive.infolist())))),
    )


def _executable(entry: zipfile.ZipInfo) -> str | None:
    """Give the path of a file that an installer makes executable: anyone may run it."""
    is_of_unix = entry.create_system == _UNIX
    mode = entry.external_attr >> 16 if is_of_unix and not entry.is_dir() else 0
    return entry.filename if mode & 0o111 else None


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read as much as the archive says, by chunks: else all that is packed would be unpacked."""
    with archive.open(entry) as file:
        return b"".join(iter(lambda: file.read(_CHUNK_BYTES), b""))


def _is_record(path: str, name: str) -> bool:
    folder = path.removesuffix(_SUFFIX)
    return folder != path and canonicalize_name(folder.rpartition("-")[0]) == name
