"""A wheel's own RECORD, read from its archive.

Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from remotezip import RemoteZipError

from snapenv.model.wheels import WheelRecord
from snapenv.network.session import RequestError
from snapenv.zips import DAMAGED, is_readable, read_member

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

    from snapenv.model.wheels import IndexWheel

# All that the standard library and remotezip raise where an archive is damaged or hostile.
ARCHIVE_ERRORS = (
    *DAMAGED,
    RemoteZipError,
)
_LIMIT_BYTES = 64 << 20
_SCRIPT = re.compile(r"[^/]+\.data/scripts/[^/]+")
_SCRIPT_BYTES = 256 << 10  # what is larger is a program
_UNIX = 3
_SUFFIX = ".dist-info/RECORD"


def read_record(archive: zipfile.ZipFile, wheel: IndexWheel, size_bytes: int | None) -> WheelRecord:
    """Return the one RECORD that a wheel of this name has, and what of the archive may be run.

    Raises:
        RequestError: It has none, or several, or one that is too large or packed unusually.
    """
    records = [entry for entry in archive.infolist() if _is_record(entry.filename, wheel.name)]
    if len(records) != 1:
        raise RequestError(f"serves a wheel with {len(records)} RECORD files of this name")
    (entry,) = records
    if not is_readable(entry, _LIMIT_BYTES):
        raise RequestError("serves a wheel whose RECORD is too large, or packed unusually")
    return WheelRecord(
        text=read_member(archive, entry, _LIMIT_BYTES).decode(),
        size_bytes=size_bytes,
        executable=tuple(sorted(filter(None, map(_executable, archive.infolist())))),
        cut_scripts=dict(_cut_scripts(archive)),
    )


def _cut_scripts(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the scripts that pip cuts, with their hashes when it has done so.

    Source: https://github.com/pypa/pip/blob/main/src/pip/_internal/operations/install/wheel.py
    """
    for entry in archive.infolist():
        if is_readable(entry, _SCRIPT_BYTES) and _SCRIPT.fullmatch(entry.filename):
            first, _, rest = read_member(archive, entry, _SCRIPT_BYTES).partition(b"\n")
            if first.startswith(b"#!python") and first != b"#!python":
                digest = hashlib.sha256(b"#!python\n" + rest).digest()
                encoded = base64.urlsafe_b64encode(digest).rstrip(b"=")
                yield entry.filename, f"sha256={encoded.decode()}"


def _executable(entry: zipfile.ZipInfo) -> str | None:
    """Return the path of a file that an installer makes executable: anyone may run it."""
    is_of_unix = entry.create_system == _UNIX
    mode = entry.external_attr >> 16 if is_of_unix and not entry.filename.endswith("/") else 0
    return entry.filename if mode & 0o111 else None


def _is_record(path: str, name: str) -> bool:
    folder = path.removesuffix(_SUFFIX)
    return folder != path and canonicalize_name(folder.rpartition("-")[0]) == name
