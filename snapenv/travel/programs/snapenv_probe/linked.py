"""What files of several names hashed to, known under whichever name they are met.

An installer such as uv links a file of its cache into each environment: one file, that an earlier
look at another environment has read. Each further link, and each that goes, changes the file's
ctime; so, other than in ``hash_index``, a file is taken as unchanged where its device, inode, size
and mtime are the same. Who edits it and puts its old mtime back is found out with ``--rehash``. So
it is asked only of an environment that was made a moment ago.

One file for all environments. It holds an entry for each file (``_KEY``, then ``_DAY`` when it was
last met, then its SHA-256), little-endian. What was not met for 90 days is forgotten.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH116, PTH118

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from snapenv_probe import cache
from snapenv_probe.file_status import DEVICE, INODE, MTIME_NS, RECENT_NS, SIZE

if TYPE_CHECKING:
    from snapenv_probe.file_status import Status

MAGIC = b"snapenv-linked 1\n"
MOST = 500_000  # files; past that the longest unmet are forgotten
_KEY = struct.Struct("<QqQQ")  # size, mtime in ns, inode, device
_DAY = struct.Struct("<I")  # since 1970
_SIZE = _KEY.size + _DAY.size + 32
_DAY_NS = 24 * 3600 * 1_000_000_000


class Linked:
    """The hashes of files that had more than one name when they were read."""

    def __init__(self, folder: str | None, *, now_ns: int) -> None:
        """Open what is kept in a folder, or nowhere; it is read when the first file is asked for.

        ``now_ns`` is when this look begins, since 1970.
        """
        self._file = folder and os.path.join(folder, "linked")
        self._now_ns = now_ns
        self._today = _DAY.pack(now_ns // _DAY_NS)
        self._known: dict[bytes, bytes] | None = None
        self._met: dict[bytes, bytes] = {}

    def find(self, status: Status) -> str | None:
        """Return the SHA-256 of a file that was read under this or another name, in hex."""
        key = _key(status)
        known = self._read().get(key)
        if known is None:
            return None
        if known[: _DAY.size] != self._today:
            self._met[key] = self._today + known[_DAY.size :]
        return known[_DAY.size :].hex()

    def learn(self, path: str, sha256: str, before: Status) -> None:
        """Remember a file by its status before it was read, if it has other names.

        One that had only just changed may change again unnoticed, as ``hash_index`` says.
        """
        key = _key(before)
        if self._file and key and not self._is_recent(before) and _has_other_names(path):
            self._met[key] = self._today + bytes.fromhex(sha256)

    def save(self) -> None:
        """Write what is known now, once a day or where it is more; in silence where that fails."""
        if self._file and self._met:
            body = _pack({**self._read(), **self._met}, _day(self._today))
            cache.write(self._file, MAGIC, body, self._now_ns / 1e9)

    def _read(self) -> dict[bytes, bytes]:
        if self._known is None:
            self._known = _parse(cache.read(self._file, MAGIC)) if self._file else {}
        return self._known

    def _is_recent(self, status: Status) -> bool:
        return bool(status[MTIME_NS] + RECENT_NS >= self._now_ns)


def _key(status: Status) -> bytes:
    """Pack what stays when a file is linked; empty where a number is past any file system's."""
    try:
        return _KEY.pack(status[SIZE], status[MTIME_NS], status[INODE], status[DEVICE])
    except struct.error:
        return b""


def _has_other_names(path: str) -> bool:
    try:
        return os.stat(path).st_nlink > 1
    except OSError:
        return False


def _pack(everything: dict[bytes, bytes], today: int) -> bytes:
    oldest = today - int(cache.KEPT_S * 1e9 / _DAY_NS)
    rows = [(answer, key) for key, answer in everything.items() if _day(answer) >= oldest]
    if len(rows) > MOST:
        rows = sorted(rows, key=lambda row: -_day(row[0]))[:MOST]
    return b"".join(key + answer for answer, key in rows)


def _day(answer: bytes) -> int:
    return int.from_bytes(answer[: _DAY.size], "little")


def _parse(body: bytes) -> dict[bytes, bytes]:
    return {
        body[at : at + _KEY.size]: body[at + _KEY.size : at + _SIZE]
        for at in range(0, len(body), _SIZE)
    }
