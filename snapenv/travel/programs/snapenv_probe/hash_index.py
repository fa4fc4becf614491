"""What files hashed to when they were last read, so that those that did not change are not read.

One file for each environment. It holds, little-endian: the number of entries (8 bytes), an entry
for each file (``_ROW``, 72 bytes), and the paths of the files in the same order, with a zero byte
between. That form loads in a third of the time that JSON takes.

A file is taken as unchanged where its size, both its times, its inode and its device are the
same. Two changes within one tick of the file system's clock cannot be told apart by that; so, as
git does it, a file that had just changed when it was read is read again the next time. A file
that an installer linked is also known by what ``linked`` says.
Source: https://git-scm.com/docs/racy-git
"""

# ruff: noqa: PTH120

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

from snapenv_probe import cache, file_status, linked
from snapenv_probe.file_status import MODE

if TYPE_CHECKING:
    from snapenv_probe.file_status import Status

MAGIC = b"snapenv-hashes 2\n"
_ROW = struct.Struct("<QqqQQ32s")  # size, mtime and ctime in ns, inode, device; SHA-256
_KEY = struct.Struct("<QqqQQ")
_COUNT = struct.Struct("<Q")


class Index:
    """The hashes that are known, and those that were seen now."""

    def __init__(
        self,
        file: str | None,
        *,
        rehash: bool = False,
        is_fresh: bool = False,
        now_ns: int | None = None,
    ) -> None:
        """Open the index in ``file``, or one that is nowhere; with ``rehash``, as if empty.

        ``is_fresh`` says of an environment that it was made a moment ago: of a file that was
        linked into it, what another look saw counts. ``now_ns`` is when this look begins, since
        1970.
        """
        self._file = file
        self._now_ns = time.time_ns() if now_ns is None else now_ns
        folder = file and os.path.dirname(file)
        self._linked = linked.Linked(folder, now_ns=self._now_ns)
        self._is_fresh = is_fresh and not rehash
        known = cache.read(file, MAGIC) if file and not rehash else b""
        self._rows, self._place = _parse(known)
        self._seen: dict[str, bytes] = {}
        self._is_new = rehash

    def find(self, path: str, status: Status) -> str | None:
        """Return the SHA-256 of a file that is as it was, in hex; None where it must be read."""
        place = self._place.get(path)
        row = b"" if place is None else self._rows[place : place + _ROW.size]
        if not row or row[: _KEY.size] != _key(status):
            known: str | None = self._linked.find(status) if self._is_fresh else None
            return known
        self._seen[path] = row
        return row[_KEY.size :].hex()

    def learn(self, path: str, sha256: str, before: Status) -> None:
        """Remember a file by its status before it was read, unless it had only just changed.

        If it changes while it is read, then its status is another the next time.
        """
        self._linked.learn(path, sha256, before)
        key = _key(before)
        if key and not file_status.is_recent(before, self._now_ns):
            self._seen[path] = key + bytes.fromhex(sha256)
            self._is_new = True

    def save(self) -> None:
        """Write what was seen, where that is not what was read; nothing is said where it fails."""
        self._linked.save()
        if self._file and (self._is_new or len(self._seen) != len(self._place)):
            cache.write(self._file, MAGIC, _pack(self._seen), self._now_ns / 1e9)


def _key(status: Status) -> bytes:
    """Pack what changes with a file; empty where a number is past what any file system gives."""
    try:
        return _KEY.pack(*status[:MODE])
    except struct.error:
        return b""


def _pack(hashes: dict[str, bytes]) -> bytes:
    paths = b"\0".join(map(os.fsencode, hashes))
    return b"".join([_COUNT.pack(len(hashes)), *hashes.values(), paths])


def _parse(body: bytes) -> tuple[bytes, dict[str, int]]:
    """Return the rows as they lie there, and where in them each path has its own."""
    if len(body) < _COUNT.size:
        return b"", {}
    (count,) = _COUNT.unpack_from(body)
    rows = body[_COUNT.size : _COUNT.size + count * _ROW.size]
    paths = os.fsdecode(body[_COUNT.size + len(rows) :]).split("\0")
    return rows, dict(zip(paths, range(0, len(rows), _ROW.size)))
